"""Super-resolution: networks over a classical enlargement, any size, any backend, held by the fidelity guard.

May import the ground rooms and the upscale rooms. `upscale()` is the public function; `registry` knows the models,
`backend` the runtimes, `tile` cuts, `engine` builds, `guard` keeps faith. Evaluating a script never fetches or builds.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import vapoursynth as vs
from vapoursynth import core

from ..errors import CustomValueError
from .backend import (
    Backend,
    BackendChoice,
    BackendReport,
    Ncnn,
    OpenVino,
    OpenVinoGpu,
    OrtCpu,
    OrtCuda,
    TensorRt,
    TensorRtRtx,
    explain_backends,
    infer,
    select_backend,
)
from .engine import engine_build, engines_list
from .guard import guard_plane
from .neighbours import around
from .network import Network
from .registry import DEFAULT_MODEL, Model, load_model, model_get, model_show, models_list
from .settings import Setting
from .tile import Size, plan_tiles
from .tune import Tuning, engine_tune, settings_told

__all__ = [
    "DEFAULT_MODEL",
    "Backend",
    "BackendChoice",
    "BackendReport",
    "Model",
    "Ncnn",
    "OpenVino",
    "OpenVinoGpu",
    "OrtCpu",
    "OrtCuda",
    "Setting",
    "TensorRt",
    "TensorRtRtx",
    "Tuning",
    "engine_build",
    "engine_tune",
    "engines_list",
    "explain_backends",
    "model_get",
    "model_show",
    "models_list",
    "select_backend",
    "settings_told",
    "upscale",
]

type Func = Callable[..., Any] | str

GUARD_PROPS = ("DS9VS_LRError", "DS9VS_Limited")
"""What the guard says of each picture."""
OWN_PROPS = (*GUARD_PROPS, "DS9VS_Backend")
RGB_MATRIX = 1
"""H.273 code of the matrix by which an RGB clip is split for networks of luma, and put together again: BT.709."""
LARGEST = 16384
"""Pixels on a side; more is a slip of the finger."""


def upscale(
    clip: vs.VideoNode,
    *,
    model: str = DEFAULT_MODEL,
    width: int | None = None,
    height: int | None = None,
    backend: str | Backend = "auto",
    guard: float = 1.0,
    strength: float = 1.0,
    passes: int = 1,
    chroma: Literal["classical", "net"] = "classical",
    tile: Size = None,
    overlap: Size = None,
    matrix: int | None = None,
) -> vs.VideoNode:
    """Enlarge a clip by a network; YUV comes back as YUV444P16 of the same matrix, RGB as RGBS. Changes size and SAR.

    The network runs `passes` times (each enlarges by its scale, 2 or 4), the result is brought to the wanted size by
    Lanczos: 720x480 to 2880x2160 with a network of 2x is one run to 1440x960, then Lanczos, which keeps what the
    source holds and invents least; `passes=2` runs it again at 1440x960, at four times the cost. What the network
    adds is an excursion from a Lanczos enlargement in fp32, so that half and bf16 inference quantise nothing; the
    guard (see `upscale.guard.guard`) limits it and locks low frequencies to the source. Values beyond the network's
    range (blacker than black, whiter than white) are carried past it.

    Props: all of the source's; `_SARNum`/`_SARDen` scaled exactly, out SAR = in SAR x (in width / out width) x
    (out height / in height), where the source has one; `_ChromaLocation` and field props gone; DS9VS_LRError and
    DS9VS_Limited from the guard, of the last run; DS9VS_Backend says what ran the network, and why nothing before it.

    Args:
        clip: Progressive YUV or RGB of constant format and size, clean: networks enlarge noise as they do detail.
        model: A name of the registry (`ds9vs models list`), the path of an .onnx file, or "none": Lanczos alone, for
            previews.
        width: Of the result; from `height` and the scale's proportion when not given. With neither, what the network
            gives.
        height: Of the result; likewise. 480 lines to 2160 are a factor of 4.5 on both axes unless width is given.
        backend: "auto" tries trt, trt_rtx, ort-cuda, ov-cpu, ort-cpu, ncnn; or one of these (and ov-gpu) by name; or
            a backend with options, `TensorRtRtx(num_streams=3)`.
        guard: Strength of the fidelity guard, 0 (off) to 1.
        strength: Share of what the network adds, 0 to 1.
        passes: How often the network runs, 1 to 3.
        chroma: "classical" enlarges chroma by Lanczos from its own samples (measured closer to the truth than every
            public network's on MPEG-2 film, and colour cannot drift); "net" takes the network's, guarded likewise.
            Networks of luma alone (our own) leave chroma to Lanczos either way.
        tile: Width and height of a tile in source pixels, or one number; None (and no overlap): as `ds9vs engine tune`
            found it fastest for this size, streams too where the backend is named; else whole where memory allows.
            Where it does not suffice, smaller tiles are tried once, with a warning.
        overlap: Source pixels that tiles share; None: as far as the network looks, up to 64.
        matrix: H.273 code of the YUV matrix, where the clip does not say (6 is NTSC's, 5 PAL's, 1 BT.709).

    Returns:
        The enlarged clip, YUV444P16 or RGBS.

    Raises:
        CustomValueError: The clip, a size or an option is none that can be; the model is unknown or no network.
        CustomRuntimeError: The model is not fetched, an engine is not built, or no backend runs here; the message
            says what to type.

    Example:
        >>> clip = core.std.BlankClip(width=720, height=480, format=vs.YUV420P8, length=1)
        >>> clip = clip.std.SetFrameProps(_Matrix=6, _SARNum=8, _SARDen=9)
        >>> big = upscale(clip, model="none", width=2880, height=2160)
        >>> big.format.name, big.width, big.height
        ('YUV444P16', 2880, 2160)
        >>> [big.get_frame(0).props[name] for name in ("_SARNum", "_SARDen")]
        [1, 1]
    """
    clip, known = _checked(clip, matrix)
    for name, value in (("guard", guard), ("strength", strength)):
        if not 0 <= value <= 1:
            raise CustomValueError(f"{name} is {value}; give 0 to 1.", upscale)
    if chroma not in ("classical", "net"):
        raise CustomValueError(f"chroma is {chroma!r}; use 'classical' or 'net'.", upscale)
    if not 1 <= passes <= 3:
        raise CustomValueError(f"passes is {passes}; give 1 to 3.", upscale)
    network = None if model == "none" else load_model(model, upscale)
    size = _size(clip, width, height, 2 if network is None else network.scale**passes)
    if network is None:
        return _finished(_plain(clip, size), clip)
    source, split = clip, network.luma_only and clip.format.color_family == vs.RGB
    if split:
        clip, known = clip.resize.Point(format=vs.YUV444PS, matrix=RGB_MATRIX), RGB_MATRIX
    whole = clip.format.color_family == vs.RGB or (chroma == "net" and not network.luma_only)
    now = _float(clip)
    for _ in range(passes):
        now = _run(clip, now, network, known, backend, guard, strength, whole, tile, overlap)
    if (now.width, now.height) != size:
        luma = (now if whole else now.std.ShufflePlanes(0, vs.GRAY)).resize.Lanczos(*size)
        now = luma if whole else core.std.ShufflePlanes([luma, _plain(clip, size)], [0, 1, 2], vs.YUV)
    return _finished(now.resize.Point(format=vs.RGBS, matrix_in=RGB_MATRIX) if split else now, source)


def _checked(clip: vs.VideoNode, matrix: int | None) -> tuple[vs.VideoNode, int]:
    if not clip.format or not clip.width:
        raise CustomValueError("The clip changes its format or size; split it first.", upscale)
    family = clip.format.color_family
    if family not in (vs.YUV, vs.RGB):
        raise CustomValueError(f"The clip is {clip.format.name}; give YUV or RGB.", upscale)
    if matrix is not None:
        clip = clip.std.SetFrameProps(_Matrix=matrix)
    with clip.get_frame(0) as frame:
        fields, known = frame.props.get("_FieldBased", 0), frame.props.get("_Matrix", 2)
    if fields:
        raise CustomValueError(
            "The clip is interlaced (_FieldBased); give pictures: ivtc() or deinterlace() first.", upscale
        )
    if family == vs.YUV and known in (2, 0, 3):
        raise CustomValueError(
            "The clip does not say its YUV matrix (_Matrix); give matrix=6 (NTSC), 5 (PAL) or 1 (BT.709).", upscale
        )
    return clip, int(known)


def _size(clip: vs.VideoNode, width: int | None, height: int | None, scale: int) -> tuple[int, int]:
    if width is None and height is None:
        return clip.width * scale, clip.height * scale
    for name, value in (("width", width), ("height", height)):
        if value is not None and not 16 <= value <= LARGEST:
            raise CustomValueError(f"{name} is {value}; give 16 to {LARGEST}.", upscale)
    if width is None and height is not None:
        width = max(16, round(Fraction(clip.width * height, clip.height)))
    if height is None and width is not None:
        height = max(16, round(Fraction(clip.height * width, clip.width)))
    return int(width or 0), int(height or 0)


def _float(clip: vs.VideoNode) -> vs.VideoNode:
    """The clip in fp32 and 4:4:4; cubic chroma, which networks were measured to like better than Lanczos."""
    return clip.resize.Bicubic(format=_float_format(clip))


def _float_format(clip: vs.VideoNode) -> int:
    return int(vs.YUV444PS if clip.format.color_family == vs.YUV else vs.RGBS)


def _plain(clip: vs.VideoNode, size: tuple[int, int]) -> vs.VideoNode:
    """The classical enlargement: Lanczos of 3 taps, straight from the samples, in fp32 and 4:4:4."""
    return clip.resize.Lanczos(*size, format=_float_format(clip))


def _run(
    clip: vs.VideoNode,
    now: vs.VideoNode,
    network: Network,
    matrix: int,
    backend: str | Backend,
    guard: float,
    strength: float,
    whole: bool,
    tile: Size,
    overlap: Size,
) -> vs.VideoNode:
    """One run of the network on `now` (fp32, 4:4:4), guarded by the source `clip`; chroma too if `whole`."""
    yuv = clip.format.color_family == vs.YUV
    size = now.width * network.scale, now.height * network.scale

    def part(full: vs.VideoNode) -> vs.VideoNode:
        """What the network is allowed to change."""
        return full if whole else full.std.ShufflePlanes(0, vs.GRAY)

    def family(made: vs.VideoNode) -> vs.VideoNode:
        """What the network takes and gives, as the clip has it."""
        if network.luma_only or not yuv:
            return made
        return part(made.resize.Point(format=vs.YUV444PS, matrix=matrix))

    rgb = now.resize.Point(format=vs.RGBS, matrix_in=matrix) if yuv else now
    fed = (part(now) if network.luma_only else rgb).std.Expr("x 0 max 1 min")
    given = tile is not None or overlap is not None
    tiling = plan_tiles(network, now.width, now.height, tile=tile, overlap=overlap, func=upscale) if given else None
    pictures = around(fed, clip, network.frames, motion=network.motion, func=upscale)
    made, chosen = infer(pictures, network, tiling, backend=backend, func=upscale)
    plain, base = _plain(clip, size), part(now).resize.Lanczos(*size)
    if network.output == "residual":
        joined = core.std.Expr([base, family(made)], f"x y {strength} * +")
    else:
        # what the network could not take, blacker than black and whiter than white, passes it by
        beyond = core.std.Expr([part(now), family(fed)], "x y -").resize.Bicubic(*size)
        picture = family(made.std.Expr("x 0 max 1 min"))
        joined = core.std.Expr([picture, beyond, base], f"x y + z - {strength} * z +")
    small, flat = part(_float(clip)), part(plain)
    planes = [
        guard_plane(
            *(one.std.ShufflePlanes(plane, vs.GRAY) for one in (joined, small, flat)),
            strength=guard,
            measure=plane == (0 if yuv else 1),
        )
        for plane in range(joined.format.num_planes)
    ]
    if whole:
        result = core.std.ShufflePlanes(planes, [0, 0, 0], clip.format.color_family)
    else:
        result = core.std.ShufflePlanes([planes[0], plain], [0, 1, 2], vs.YUV)
    result = result.std.CopyFrameProps(clip).std.CopyFrameProps(planes[0 if yuv else 1], props=list(GUARD_PROPS))
    return result.std.SetFrameProps(DS9VS_Backend=str(chosen))


def _finished(result: vs.VideoNode, clip: vs.VideoNode) -> vs.VideoNode:
    """Props, SAR and the output's format."""
    result = core.std.CopyFrameProps(result.std.CopyFrameProps(clip), result, props=list(OWN_PROPS))
    result = result.std.RemoveFrameProps(["_ChromaLocation", "_Field"]).std.SetFieldBased(0)
    shape = Fraction(clip.width * result.height, clip.height * result.width)
    if shape != 1:

        def reshape(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            if f.props.get("_SARNum") and f.props.get("_SARDen"):
                f = f.copy()
                sar = Fraction(f.props["_SARNum"], f.props["_SARDen"]) * shape
                f.props["_SARNum"], f.props["_SARDen"] = sar.numerator, sar.denominator
            return f

        result = result.std.ModifyFrame(result, reshape)
    if clip.format.color_family == vs.RGB:
        return result.std.Expr("x 0 max 1 min")
    return result.resize.Point(format=vs.YUV444P16)
