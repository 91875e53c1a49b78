"""Debanding that keeps texture: 8-bit steps in flat gradients become slopes, everything else passes bit for bit.

May import the ground rooms.
"""

from __future__ import annotations

from dataclasses import dataclass

import vapoursynth as vs
from vapoursynth import core

from ..errors import CustomValueError
from ..plugins import require
from ..presets import load_toml, preset_path, to_options

__all__ = ["DebandOptions", "deband"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DebandOptions:
    """How to deband; read from the `[deband]` table of a finish preset."""

    radii: tuple[int, ...] = (32, 16)
    """Reach of each pass at 1080 lines, in samples, 1 to 127; it grows with the picture's height."""
    luma: float = 1.5
    """Largest step taken for banding in luma, in 8-bit codes; 0 leaves luma alone."""
    chroma: float = 1.5
    """The same for chroma."""
    texture: float = 0.5
    """Mean deviation from the surroundings (5x5 at 480 lines), in 8-bit codes, from which a place counts as
    texture or grain and begins to be kept; at twice that it is kept wholly."""
    noise: float = 0.0
    """Deviation of the soft luma noise that carries smoothed dark places through an encoder, in 8-bit codes, 0 to 4;
    whole from code 17 to 64, none in black, from 112 on, and where texture is kept. A finish preset names it outside
    its `[deband]` table, because only the last step may add it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", tuple(self.radii))
        if not 1 <= len(self.radii) <= 4 or not all(isinstance(r, int) and 1 <= r <= 127 for r in self.radii):
            raise CustomValueError("radii are one to four whole numbers from 1 to 127.", DebandOptions, self.radii)
        for name, low, high in (
            ("luma", 0.0, 16.0),
            ("chroma", 0.0, 16.0),
            ("texture", 0.05, 16.0),
            ("noise", 0.0, 4.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise CustomValueError(f"{name} goes from {low} to {high}.", DebandOptions, getattr(self, name))


def deband(
    clip: vs.VideoNode, *, preset: str = "safe", options: DebandOptions | None = None, seed: int = 1
) -> vs.VideoNode:
    """Smooth the steps of flat gradients, keep texture and grain. YUV or GRAY of 16 bits in and out.

    Each pass replaces a sample by the mean of four at a random distance when that mean lies within the threshold
    (vszip.Deband, f3kdb's method). A mask from the luma's local deviation leaves out whatever is not flat, so a
    clip that has its grain already passes nearly untouched: call it before `add_grain`, or let `finish` do both
    (`grain=`). On a dark 8-bit gradient enlarged to 1080 lines the error falls from 0.29 to 0.09 codes and
    CAMBI from 14.6 to 1.4; the true gradient in 10 bits has 1.5.

    Args:
        clip: The pictures, at the size they will have.
        preset: A preset of `presets/finish`, or the path of a .toml.
        options: Instead of the preset.
        seed: Of the random distances; the same in every picture, so that nothing flickers.

    Raises:
        CustomValueError: Another format, or an option out of range.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> deband(core.std.BlankClip(format=vs.YUV420P16, length=1)).format.name
        'YUV420P16'
    """
    kind = clip.format
    if kind is None or kind.color_family not in (vs.YUV, vs.GRAY) or kind.bits_per_sample != 16 or kind.sample_type:
        raise CustomValueError(
            "deband works on YUV or GRAY of 16 bits; convert first (clip.resize.Point(format=vs.YUV444P16)).",
            deband,
            kind.name if kind else None,
        )
    if options is None:
        table = load_toml(preset_path("finish", preset, deband), deband).get("deband", {})
        options = to_options(DebandOptions, table, deband)
    smooth = require("vszip.Deband", deband, "sample_mode", "blur_first", "seed")
    blur = require("vszip.BoxBlur", deband)
    expr = require("akarin.Expr", deband)

    done = clip
    thresholds = [options.luma, options.chroma, options.chroma][: kind.num_planes]
    for radius in options.radii:
        reach = max(1, min(255, round(radius * clip.height / 1080)))
        done = smooth(done, range=reach, thr=thresholds, sample_mode=2, blur_first=1, seed=seed)

    luma = clip.std.ShufflePlanes(0, vs.GRAY) if kind.num_planes > 1 else clip
    # Texture of a disc of 480 lines, however far it was enlarged.
    grain = max(2, round(clip.height / 240))
    detail = core.std.Expr([luma, blur(luma, hradius=grain, vradius=grain)], "x y - abs 16 *")
    detail = blur(detail, hradius=4 * grain, vradius=4 * grain)
    start = options.texture * 256 * 16
    keep = core.std.Expr(detail, f"x {start} - {65535 / start} *")
    masks = [keep]
    if kind.num_planes > 1:
        small = keep
        if kind.subsampling_w or kind.subsampling_h:
            small = keep.resize.Bilinear(luma.width >> kind.subsampling_w, luma.height >> kind.subsampling_h)
        masks = [keep, small, small]
    out = [
        expr([c.std.ShufflePlanes(k, vs.GRAY) for c in (done, clip)] + [mask], "x y x - z 65535 / * +")
        if limit
        else clip.std.ShufflePlanes(k, vs.GRAY)
        for k, (limit, mask) in enumerate(zip(thresholds, masks, strict=True))
    ]
    if options.noise:
        noise = _soft_noise(luma, seed)
        out[0] = expr([out[0], keep, noise], _HOLD.format(amount=options.noise))
    whole = out[0] if len(out) == 1 else core.std.ShufflePlanes(out, [0, 0, 0], vs.YUV)
    return whole.std.CopyFrameProps(clip)


# A hash of place, picture and seed in integers of 32 bits that wrap (mix: RC6's square, upper half to lower, multiply):
# any frame in any order on any machine gives the same bits.
_MIX = "h! h@ h@ 2 * 1 + * h! h@ -65536 bitand 65536 / trunc h@ bitxor 1540483477 * "
_HASH = "X 1000003 * Y 27644437 * + N 83492791 * + {seed} + " + _MIX * 3 + "2147483648 / 16384 * 32768 +"
# x is smoothed, y says how much is kept (65535: all), z is noise of a deviation of 7694 around 32768.
_HOLD = "x 256 / l! l@ 16 - 112 l@ - 48 / min 1 min 0 max 1 y 65535 / - * z 32768 - 7694 / * {amount} 256 * * x +"


def _soft_noise(luma: vs.VideoNode, seed: int) -> vs.VideoNode:
    """GRAY16 around 32768, its grains 2.5 samples wide: x265 at CRF 18 drops noise as fine as a sample."""
    width, height = (max(2, int(size / 2.5)) for size in (luma.width, luma.height))
    small = luma.std.BlankClip(format=vs.GRAY16, width=width, height=height, keep=True)
    return small.akarin.Expr(_HASH.format(seed=seed * 7919)).resize.Bicubic(luma.width, luma.height)
