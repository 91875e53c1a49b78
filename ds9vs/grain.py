"""Film grain: measured on a disc, kept as plain data, given back at the output's size.

Estimator, model and synthesiser are three things: `measure_grain` -> `GrainModel` -> `add_grain`. Imports ground rooms
only. Evaluating a script never measures: only `measure_grain` reads frames.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from .errors import CustomValueError
from .files import existing, write_json
from .plugins import require

__all__ = ["GrainModel", "add_grain", "load_grain", "measure_grain", "reinject_grain"]

type Func = Callable[..., Any] | str

VERSION = 1
BINS = 16
"""Luma bins of the noise curve, over the 8-bit codes 0 to 255."""
TAPS = 7
"""Taps of a model's filters, at the measured size."""
UNIT = 4096
"""Codes of one standard deviation in the synthesised noise plane, about 32768."""
MARGIN = 1024
"""Samples by which the noise plane is larger than the picture: the room in which each picture's cut-out moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrainModel:
    """The grain of one film on one disc.

    Raises:
        CustomValueError: A curve or filter has the wrong length, or is not finite.

    Example:
        >>> GrainModel(size=(720, 480), sigma=(2.0,) * 16, filters=(((0.0,) * 3 + (1.0,) + (0.0,) * 3,) * 2,)).chroma
        (0.0, 0.0)
    """

    size: tuple[int, int]
    """Width and height of the pictures it was measured on; the spectrum scales by the enlargement."""
    sigma: tuple[float, ...]
    """Standard deviation of luma grain for each of 16 luma bins, in 8-bit codes."""
    filters: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    """The grain's spatial shape: a sum of separable filters, each (vertical, horizontal) taps; white noise goes in."""
    chroma: tuple[float, float] = (0.0, 0.0)
    """Standard deviation of U and V grain as a share of luma's."""
    pictures: int = 0
    """How many pictures were measured; 0 for a model made by hand."""

    def __post_init__(self) -> None:
        if len(self.sigma) != BINS or any(not 0 <= value < 64 for value in self.sigma):
            raise CustomValueError(f"sigma must be {BINS} numbers from 0 to 64 (8-bit codes).", GrainModel)
        if not self.filters or any(len(taps) != TAPS for pair in self.filters for taps in pair):
            raise CustomValueError(f"filters must be pairs of {TAPS} taps, at least one pair.", GrainModel)
        if not np.isfinite(np.array(self.filters)).all() or not np.array(self.filters).any():
            raise CustomValueError("The taps of the filters must be finite and not all 0.", GrainModel)
        if len(self.chroma) != 2 or any(not 0 <= share <= 4 for share in self.chroma):
            raise CustomValueError("chroma must be two shares from 0 to 4.", GrainModel)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, whole or not at all."""
        write_json(path, {"ds9vs_grain": VERSION, **asdict(self)}, GrainModel.save)


def load_grain(path: str | os.PathLike[str]) -> GrainModel:
    """Read a model that `GrainModel.save` wrote.

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomValueError: It is truncated, no grain model, or of a later version.

    Example:
        >>> taps = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
        >>> GrainModel(size=(720, 480), sigma=(2.0,) * 16, filters=((taps, taps),)).save(tmp_path / "g.json")
        >>> load_grain(tmp_path / "g.json").sigma[8]
        2.0
    """
    try:
        table = json.loads(existing(path, load_grain).read_text(encoding="utf-8"))
        version = table.pop("ds9vs_grain")
        table["size"], table["sigma"], table["chroma"] = (tuple(table[key]) for key in ("size", "sigma", "chroma"))
        table["filters"] = tuple((tuple(v), tuple(h)) for v, h in table["filters"])
        if version == VERSION:
            return GrainModel(**table)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CustomValueError(
            f"{str(path)!r} is truncated or no grain model; make it again: ds9vs grain measure.", load_grain
        ) from error
    raise CustomValueError(
        f"{str(path)!r} is a grain model of version {version}; this ds9vs reads {VERSION}.", load_grain
    )


def measure_grain(source: vs.VideoNode, clean: vs.VideoNode | None = None, *, pictures: int = 48) -> GrainModel:
    """Measure the grain that `clean` lacks: sigma by luma, spatial shape, chroma.

    The residual source - clean is read in the flattest 40 % of 16x16 blocks of evenly spread pictures, flat by the
    gradient energy of `clean`. Its variance is taken by luma bin (bins that are rarely seen take their neighbours'
    value), its mean spectrum over 32x32 windows becomes a short zero-phase filter, split into separable parts.
    The disc's coding has lost some grain and the mean keeps some: the sigma is that of the residual.

    Args:
        source: Progressive pictures with grain, YUV, 8 to 16 bit.
        clean: The same pictures without grain, same format and length; None for the motion-compensated mean of five
            pictures at 16 bit (`vsdenoise.mc_degrain`). A denoiser that spares what it is not sure of hides grain.
        pictures: How many to read.

    Raises:
        CustomValueError: The clips differ in size, format or length, or are the same pixels.

    Source: signal-dependent noise estimation as in Liu, Freeman, Szeliski, Kang, "Noise estimation from a single
    image", CVPR 2006, with a denoised reference in place of its piecewise-smooth model.

    Example:
        >>> flat = core.std.BlankClip(format=vs.YUV420P8, width=128, height=128, length=2, color=[90, 128, 128])
        >>> noisy = flat.noise.Add(var=9.0, uvar=0.0, seed=1)
        >>> 2.5 < measure_grain(noisy, flat).sigma[5] < 3.5
        True
    """
    if clean is None:
        source, clean = _averaged(source)
    _check_pair(source, clean, measure_grain)
    shift = source.format.bits_per_sample - 8
    numbers = np.unique(np.linspace(0, source.num_frames - 1, min(pictures, source.num_frames)).round().astype(int))
    count, square = np.zeros(BINS), np.zeros(BINS)
    chroma, luma_square = np.zeros(2), 0.0
    chroma_count = luma_count = 0
    spectrum, windows = np.zeros((32, 32)), 0
    for n in map(int, numbers):
        with source.get_frame(n) as noisy, clean.get_frame(n) as plain:
            level = np.asarray(plain[0]).astype(np.float32) / (1 << shift)
            residual = np.asarray(noisy[0]).astype(np.float32) / (1 << shift) - level
            means, flat = _flat_blocks(level, 16)
            blocks = _blocks(residual, 16)[flat]
            bins = np.clip(means[flat] / (256 / BINS), 0, BINS - 1).astype(int)
            np.add.at(count, bins, 1)
            np.add.at(square, bins, blocks.var(axis=(1, 2), ddof=1))
            luma_square, luma_count = luma_square + float((blocks**2).sum()), luma_count + blocks.size
            big = _blocks(residual, 32)[_flat_blocks(level, 32)[1]]
            for window in big - big.mean((1, 2), keepdims=True):
                spectrum += np.abs(np.fft.fft2(window * _HANN)) ** 2
            windows += len(big)
            for c in range(source.format.num_planes - 1):
                part = np.asarray(noisy[c + 1]).astype(np.float32) - np.asarray(plain[c + 1]).astype(np.float32)
                found = _blocks(part / (1 << shift), 8)
                quiet = np.sort(found.var(axis=(1, 2)))[: max(1, len(found) * 2 // 5)]
                chroma[c] += float(quiet.mean())
            chroma_count += 1
    if not luma_count or luma_square == 0.0:
        raise CustomValueError(
            "source and clean do not differ: no grain to measure; give the pictures with grain and those without.",
            measure_grain,
        )
    sigma = np.sqrt(_filled(count, square))
    mean_sigma = float(np.sqrt(square.sum() / max(count.sum(), 1)))
    shares = np.sqrt(chroma / max(chroma_count, 1)) / max(mean_sigma, 1e-3)
    u, v = (round(min(float(share), 4.0), 4) for share in shares)
    return GrainModel(
        size=(source.width, source.height),
        sigma=tuple(round(min(float(value), 63.9), 4) for value in sigma),
        filters=_filters(spectrum / max(windows, 1)),
        chroma=(u, v),
        pictures=len(numbers),
    )


def add_grain(clip: vs.VideoNode, model: GrainModel, *, seed: int = 0, strength: float = 1.0) -> vs.VideoNode:
    """Add grain of a model: luma-dependent, its spectrum scaled by the enlargement, new in every picture.

    Every picture shows another cut-out of one large noise plane, chosen by a counter-based hash of seed and picture
    (`DS9VS_Picture` where there is one, so that a picture shown twice keeps its grain; else the frame number). All
    arithmetic after the filter taps is in integers: any frame in any order, by any thread count, gives the same bits.
    There is none in video black and white, where it fades out over 4 codes (8 bit). Sets `DS9VS_Grain`.
    Deband before (`ds9vs.deband`): grain hides what bands are left.

    Args:
        clip: YUV or GRAY, 8 to 16 bit, limited range, any size and subsampling.
        model: What `measure_grain` or `load_grain` gave.
        seed: Another number gives other grain.
        strength: Multiplies the grain's standard deviation, 0 to 4; 0 gives the clip itself.

    Raises:
        CustomValueError: The clip's format or the strength is out of range.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> taps = (0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0)
        >>> model = GrainModel(size=(720, 480), sigma=(2.0,) * 16, filters=((taps, taps),))
        >>> grey = core.std.BlankClip(format=vs.YUV420P10, width=320, height=240, length=2, color=[480, 512, 512])
        >>> grained = add_grain(grey, model)
        >>> bool(1.8 * 4 < np.asarray(grained.get_frame(0)[0]).std() < 2.2 * 4)
        True
    """
    form = clip.format
    if form is None or form.color_family not in (vs.YUV, vs.GRAY) or form.sample_type != vs.INTEGER:
        raise CustomValueError(
            f"Grain is added to YUV or GRAY of 8 to 16 bits, not to {form.name if form else 'a variable format'}.",
            add_grain,
        )
    if not 0 <= strength <= 4:
        raise CustomValueError(f"The strength is {strength}; it must be from 0 to 4.", add_grain)
    if strength == 0:
        return clip
    require("akarin.Expr", add_grain, "opt")
    scale = clip.width / model.size[0], clip.height / model.size[1]
    shares = (1.0, *model.chroma)
    planes: list[vs.VideoNode] = []
    for p in range(form.num_planes):
        plane = clip if form.num_planes == 1 else clip.std.ShufflePlanes(p, vs.GRAY)
        if shares[p] == 0:
            planes.append(plane)
            continue
        sub = (1 << form.subsampling_w, 1 << form.subsampling_h) if p else (1, 1)
        noise = _noise(clip, plane, model, (scale[0] / sub[0], scale[1] / sub[1]), seed * 3 + p)
        luma = clip if form.num_planes == 1 else clip.std.ShufflePlanes(0, vs.GRAY)
        if (luma.width, luma.height) != (plane.width, plane.height):
            luma = luma.resize.Bilinear(plane.width, plane.height)
        sigma = luma.std.Lut(lut=_curve(model, form.bits_per_sample, strength * shares[p]), bits=16)
        low, high = (16 << form.bits_per_sample - 8), ((235 if p == 0 else 240) << form.bits_per_sample - 8)
        divisor = UNIT << (16 - form.bits_per_sample)
        grain = f"y 32768 - z * {divisor} / 0.5 + floor"
        # What was outside video levels before stays as it was; grain itself never goes there.
        legal = f"x {low} <= x {high} >= or x x {grain} + {low} {high} clip ?"
        planes.append(core.akarin.Expr([plane, noise, sigma], legal, opt=1))
    done = planes[0] if form.num_planes == 1 else core.std.ShufflePlanes(planes, [0, 0, 0], vs.YUV)
    return done.std.CopyFrameProps(clip).std.SetFrameProps(DS9VS_Grain=seed)


def reinject_grain(
    clip: vs.VideoNode, source: vs.VideoNode, model: GrainModel, *, seed: int = 0, strength: float = 1.0
) -> vs.VideoNode:
    """Give a restored clip the grain of its source: `add_grain` after checking that the model is the source's.

    Nothing is measured or pasted back: grain is synthesised from the model, at the clip's size.

    Raises:
        CustomValueError: The model was measured at another size than `source` has, or the clips differ in length.

    Example:
        >>> taps = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
        >>> model = GrainModel(size=(64, 48), sigma=(2.0,) * 16, filters=((taps, taps),))
        >>> small = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=1)
        >>> reinject_grain(small.resize.Bicubic(128, 96), small, model).width
        128
    """
    if source.num_frames != clip.num_frames:
        raise CustomValueError(
            f"The source has {source.num_frames} frames, the clip {clip.num_frames}.", reinject_grain
        )
    if abs(source.height - model.size[1]) > model.size[1] // 4:
        raise CustomValueError(
            f"The model was measured at {model.size[0]}x{model.size[1]}, the source is {source.width}x{source.height}; "
            "measure this source: ds9vs grain measure.",
            reinject_grain,
        )
    return add_grain(clip, model, seed=seed, strength=strength)


_HANN = np.outer(np.hanning(33)[:-1], np.hanning(33)[:-1])


def _averaged(source: vs.VideoNode) -> tuple[vs.VideoNode, vs.VideoNode]:
    """The source at 16 bit, and its motion-compensated mean."""
    for function in ("mvu.Degrain", "akarin.Expr"):
        require(function, measure_grain)
    if source.format.color_family == vs.RGB or min(source.width, source.height) < 32:
        return source, source
    from vsdenoise import mc_degrain

    wide = source.resize.Point(format=source.format.replace(sample_type=vs.INTEGER, bits_per_sample=16).id)
    return wide, mc_degrain(wide)


def _check_pair(source: vs.VideoNode, clean: vs.VideoNode, func: Func) -> None:
    facts = [(c.format.id, c.width, c.height, c.num_frames) for c in (source, clean)]
    if facts[0] != facts[1]:
        raise CustomValueError("source and clean must have one format, size and length.", func)
    if source.format.sample_type != vs.INTEGER or source.format.color_family == vs.RGB:
        raise CustomValueError(f"Grain is measured on YUV or GRAY of 8 to 16 bits, not {source.format.name}.", func)
    if source.width < 32 or source.height < 32:
        raise CustomValueError(f"Grain needs pictures of at least 32x32, not {source.width}x{source.height}.", func)


def _blocks(plane: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Cut a plane into blocks, shape (blocks, size, size), without the outer 8 samples, where blanking lies."""
    edge = 8 if min(plane.shape) >= size + 16 else 0
    inner = plane[edge : plane.shape[0] - edge, edge : plane.shape[1] - edge]
    rows, columns = inner.shape[0] // size, inner.shape[1] // size
    cut = inner[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return cut.swapaxes(1, 2).reshape(-1, size, size)


def _flat_blocks(level: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Mean luma of every block, and the numbers of the flattest 40 % of those that are neither black nor clipped."""
    blocks = _blocks(level, size)
    means = blocks.mean((1, 2))
    energy = (np.diff(blocks, axis=1) ** 2).mean((1, 2)) + (np.diff(blocks, axis=2) ** 2).mean((1, 2))
    lit = np.flatnonzero((means > 17) & (means < 234))
    return means, lit[np.argsort(energy[lit], kind="stable")[: max(len(lit) * 2 // 5, min(len(lit), 4))]]


def _filled(count: NDArray[np.float64], square: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance by bin; a bin with few blocks takes the interpolation of its well-seen neighbours."""
    seen = np.flatnonzero(count >= min(8, count.max()))
    return np.interp(np.arange(BINS), seen, square[seen] / count[seen])


def _filters(spectrum: NDArray[np.float64]) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
    """A zero-phase filter whose power spectrum is the one given, as at most three separable parts (SVD)."""
    symmetric = (spectrum + np.roll(spectrum[::-1, ::-1], 1, (0, 1))) / 2
    symmetric[0, 0] = (symmetric[0, 1] + symmetric[1, 0]) / 2  # the windows' means were taken off
    half = TAPS // 2
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(symmetric)).real)[16 - half : 17 + half, 16 - half : 17 + half]
    kernel /= np.sqrt((kernel**2).sum())
    u, s, vt = np.linalg.svd(kernel)
    parts = []
    for k in range(3):
        root = np.sqrt(s[k])
        if s[k] > 0.05 * s[0]:
            parts.append((tuple(map(_rounded, u[:, k] * root)), tuple(map(_rounded, vt[k] * root))))
    return tuple(parts)


def _rounded(value: float) -> float:
    return round(float(value), 5)


def _curve(model: GrainModel, bits: int, factor: float) -> list[int]:
    """Sigma for every luma code of a depth, in 16-bit codes, faded out over 4 codes beside video black and white."""
    code = np.arange(1 << bits) / (1 << bits - 8)
    centres = (np.arange(BINS) + 0.5) * (256 / BINS)
    fade = np.clip(np.minimum(code - 16, 235 - code) / 4, 0, 1)
    curve = np.interp(code, centres, model.sigma) * factor * fade * 256
    return [int(value) for value in np.minimum(curve.round(), 16383)]


def _scaled(taps: Sequence[float], scale: float) -> tuple[list[int], float]:
    """Filter taps for a picture enlarged by `scale`, their cubic shape sampled finer: up to 25 integers and a unit."""
    reach = min(12, max(1, int(np.ceil((TAPS // 2 + 1) * scale)) - 1))
    at = np.arange(-reach, reach + 1) / scale
    x = np.abs(at[:, None] - np.arange(-(TAPS // 2), TAPS // 2 + 1)[None, :])
    a = -0.5  # Keys, "Cubic convolution interpolation for digital image processing", 1981
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    shape = (np.where(x <= 1, near, np.where(x < 2, far, 0)) * np.array(taps)).sum(1)
    unit = float(np.abs(shape).max() or 1) / 255
    return [int(value) for value in (shape / unit).round()], unit


def _noise(
    clip: vs.VideoNode, plane: vs.VideoNode, model: GrainModel, scale: tuple[float, float], stream: int
) -> vs.VideoNode:
    """Noise planes (GRAY16, mean 32768, deviation UNIT), one a picture: cut-outs of one large filtered plane."""
    width, height = plane.width + MARGIN, plane.height + MARGIN
    white = core.std.BlankClip(format=vs.GRAY16, width=width, height=height, length=1, keep=True)
    amplitude = 2048  # so that filtered peaks stay within 16 bits

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        raw = np.random.Philox(key=stream & (2**64 - 1)).random_raw(width * height).view(np.uint8).reshape(-1, 8)
        total = raw.sum(1, dtype=np.int32) - 1020  # Irwin-Hall: eight uniform bytes, deviation 209
        made = f.copy()
        np.copyto(np.asarray(made[0]), (32768 + total * amplitude // 209).reshape(height, width).astype(np.uint16))
        return made

    white = white.std.ModifyFrame(white, fill)
    parts: list[vs.VideoNode] = []
    gains: list[float] = []
    kernel = np.zeros((25, 25))
    for vertical, horizontal in model.filters:
        (down, unit_down), (across, unit_across) = _scaled(vertical, scale[1]), _scaled(horizontal, scale[0])
        # Each pass is divided so that white noise keeps its deviation; the part's true share comes back in `gains`.
        root_down, root_across = (float(np.sqrt(np.square(taps).sum())) for taps in (down, across))
        parts.append(_convolved(_convolved(white, down, root_down, "v"), across, root_across, "h"))
        gains.append(root_down * unit_down * root_across * unit_across)
        y, x = 12 - len(down) // 2, 12 - len(across) // 2
        kernel[y : y + len(down), x : x + len(across)] += np.outer(down, across) * (unit_down * unit_across)
    total = float(np.sqrt(np.square(kernel).sum()))
    weights = [round(gain / total * UNIT / amplitude * 1024) for gain in gains]
    terms = " ".join(f"{'xyz'[k]} 32768 - {weight} *" for k, weight in enumerate(weights)) + " +" * (len(weights) - 1)
    large = core.akarin.Expr(parts, f"{terms} 1024 / 0.5 + floor 32768 +", opt=1)

    def cut(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        picture = f.props.get("DS9VS_Picture", n)
        x, y = np.frombuffer(hashlib.blake2b(f"{stream}/{picture}".encode(), digest_size=8).digest(), "<u4")
        return large.std.CropAbs(plane.width, plane.height, int(x) % (MARGIN + 1), int(y) % (MARGIN + 1))

    still = core.std.BlankClip(
        format=vs.GRAY16, width=plane.width, height=plane.height, length=clip.num_frames, keep=True
    )
    return still.std.FrameEval(cut, prop_src=clip)


def _convolved(clip: vs.VideoNode, taps: list[int], divisor: float, mode: str) -> vs.VideoNode:
    """Convolve noise about 32768 without letting the taps' sum move its mean."""
    bias = 32768 * (1 - sum(taps) / divisor)
    return clip.std.Convolution(taps, divisor=divisor, bias=bias, mode=mode)
