"""The fidelity guard: keeps an upscaled picture true to its source, whatever network made it.

May import the ground rooms. Works on any enlargement by anyone: two clips in, one out. Colour and low frequencies are
the source's own; detail may leave a plain enlargement only as far as the source's local contrast explains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import vapoursynth as vs
from vapoursynth import core

from .. import plugins
from ..errors import CustomValueError

__all__ = ["guard", "guard_plane"]

type Func = Callable[..., Any] | str

SIGMA = 2.0
"""Source pixels: what is coarser than this is taken from the source."""
CONTRAST = 0.2
"""Share of the local contrast (3x3 range in the source) by which detail may leave the plain enlargement. On film after
MPEG-2 at 2x, 0.2 costs the most faithful public network nothing (it gains 0.1 dB in bf16) and gives Real-ESRGAN x4plus
4 dB; 0.3 gives the latter 1 dB less."""
BEND = 0.8
"""And by no more than this share of the local curvature, |source - its 3x3 mean|, at its largest in 3x3: a slope is
contrast, and excuses nothing; nor does the rounding of 10-bit codes (FLOOR is taken off). 0.6 and less begins to soften
titles (by 0.8 dB), 0.8 does not."""
HEADROOM = 0.05
"""Share of the local contrast by which detail may outshine the brightest of the 3x3 source samples around it, or the
plain enlargement where that does already. Teeth and skin of Real-ESRGAN x4plus overshoot the truth by 3.2 codes with
it, by 5.7 without (99.9th percentile); it costs the most faithful public network 0.01 dB, and titles 0.1."""
STAR = 4 / 255
"""A point of light that stands out of its surroundings by more than this, whichever way one goes from it, may be as
much sharper than the plain enlargement as it stands out: its peak is what reducing to the source's size took from it,
and the low frequencies hold its energy. Strokes of letters go on in one direction or have others beside them (two to
four samples away), and are no points."""
CALM = 2.0
"""Less so much of how uneven (3x3, then 3x3 again) the surroundings are: sparkle within texture is no star."""
STAR_SIGMA = 1.5
"""Source pixels over which a star's light is summed."""
DEAD = 1 / 255
"""Local contrast below this is noise or a ramp: it excuses nothing."""
FLOOR = 0.12 / 255
"""Excursion that is always allowed: half a code of 10 bit, below what a quantised network errs by on a plain ramp."""
TOUCHED = 0.25 / 255
"""A pixel that the limit moves by more than this counts as limited."""
NOISE = 3 / 255
"""By which detail may be calmer than the plain enlargement, on the way from it to the source's low frequencies: what a
network took out as coding noise is not forced back. On film after MPEG-2 it gives film-2x 0.15 dB and 0.8 points of
SSIMULACRA2, Real-ESRGAN x4plus 0.07 dB and 0.6, and takes 0.2 codes off their overshoot."""
SMALLEST = 4
"""Pixels on a side, below which std.Convolution refuses a plane."""
_AROUND = " ".join(f"x[{dx},{dy}]" for dy in (-1, 0, 1) for dx in (-1, 0, 1))
"""The 3x3 neighbourhood, in akarin.Expr's words."""
_LARGEST, _SMALLEST = f"{_AROUND} {'max ' * 8}", f"{_AROUND} {'min ' * 8}"
_RING = " ".join(f"z[{dx},{dy}]" for dy in (-3, 0, 3) for dx in (-3, 0, 3) if dx or dy)
"""The largest of 3x3, three away all around: what lies two to four away."""
_WAYS = ((1, 0), (0, 1), (1, 1), (1, -1))
"""Directions in which a line may go on."""
CODES = 219
"""8-bit codes from black to white in limited range."""


def _gaussian(sigma: float) -> list[float]:
    """One side and the other of a Gaussian, 25 taps at most (std.Convolution's limit), reaching 3 sigma."""
    reach = min(12, math.ceil(3 * sigma))
    return [math.exp(-(x * x) / (2 * sigma * sigma)) for x in range(-reach, reach + 1)]


def _blur(clip: vs.VideoNode, sigma: float) -> vs.VideoNode:
    width, height = max(clip.width, SMALLEST), max(clip.height, SMALLEST)
    wide = clip.resize.Point(width, height, src_width=width, src_height=height)  # mirrored outwards
    for mode, size in (("h", width), ("v", height)):
        kernel = _gaussian(sigma)
        while len(kernel) > 2 * size - 1:
            kernel = kernel[1:-1]
        wide = wide.std.Convolution(kernel, mode=mode)
    return wide.std.CropAbs(clip.width, clip.height)


def _stars(small: vs.VideoNode) -> tuple[vs.VideoNode, vs.VideoNode]:
    """How far each point of light, and what is beside it, stands out of its surroundings; and these alone."""
    expr = plugins.require("akarin.Expr", "guard")
    lines = []
    for right, down in _WAYS:  # a morphological opening by five samples in a line
        window = " ".join(f"x[{k * right},{k * down}]" for k in range(-2, 3))
        lines.append(expr(expr(small, window + " min" * 4), window + " max" * 4))
    ground = expr(lines, "x y max z max a max")
    point = core.std.Expr([small, ground], "x y -")
    uneven = expr(expr(ground, f"{_LARGEST} {_SMALLEST} -"), _LARGEST)
    alone = f"x {_RING} {'max ' * 7} - y {CALM} * - {STAR} - 0 max"
    return expr(expr([point, uneven, expr(point, _LARGEST)], alone), _LARGEST), ground


def _weighed(limited: vs.VideoNode, small: vs.VideoNode, star: vs.VideoNode, ground: vs.VideoNode) -> vs.VideoNode:
    """Give every star the light that it has in the source: what is above its surroundings, times one factor."""
    expr = plugins.require("akarin.Expr", "guard")
    made = limited.resize.Bicubic(small.width, small.height)
    sums = [_blur(core.std.Expr([one, ground], "x y -"), STAR_SIGMA) for one in (small, made)]
    zone = expr(expr(star, f"{_LARGEST} 0 > 1 0 ?"), _LARGEST)
    factor = expr([*sums, zone], f"z x {DEAD} + y {DEAD} + 0.001 max / 0.2 max 1.25 min 1 ?")
    sizes = limited.width, limited.height
    return expr([limited, ground.resize.Bilinear(*sizes), factor.resize.Bilinear(*sizes)], "z 1 = x x y - z * y + ?")


def guard(
    big: vs.VideoNode,
    source: vs.VideoNode,
    *,
    strength: float = 1.0,
    sigma: float = SIGMA,
    contrast: float = CONTRAST,
    backproject: float = 0.0,
) -> vs.VideoNode:
    """Keep an upscaled clip true to its source: lock its low frequencies and colour, limit what was added.

    Three steps in fp32, on each plane: what is coarser than `sigma` becomes the source's (the difference is blurred at
    source size and enlarged); the excursion from a Lanczos enlargement is limited to `contrast` times the local range
    of the source (3x3, less 1 code of 8 bit), and by the local curvature, plus 0.12 codes, and upwards to hardly more
    than the brightest of those samples, points of light (stars) excepted; by up to 3 codes it may be calmer than the
    Lanczos enlargement; the lock again, as the limit may shift it.
    Back projection is Irani and Peleg, "Improving resolution by image registration", 1991, of one step.

    Writes DS9VS_LRError (RMS of what is left of the low-frequency difference in luma, codes of 255, 0 is none) and
    DS9VS_Limited (share of luma pixels that the limit moved by over a quarter code, 0 to 1).

    Args:
        big: The upscaled clip, YUV or RGB.
        source: The clip it was made from, cleaned; same family, length and matrix, no larger than `big`.
        strength: 0 leaves the pixels as they are (the props are written), 1 is the whole guard; between, a blend:
            the error to the source falls steadily.
        sigma: In source pixels, 0.5 to 4: what is coarser is taken from the source.
        contrast: 0 and up: how far detail may leave the plain enlargement. 0.1 is strict, 0.5 lets most of it pass.
        backproject: 0 to 1: share of the remaining full-band difference to the source that is added back; sharper on
            clean sources, brings coding noise back on others.

    Returns:
        A clip of the format, size and props of `big`.

    Raises:
        CustomValueError: The clips do not belong together, or an option is out of range.

    Example:
        >>> small = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=1, color=[120, 110, 130])
        >>> small = small.std.SetFrameProps(_Matrix=6)
        >>> wrong = core.std.BlankClip(width=128, height=96, format=vs.YUV444P16, length=1, color=[40000, 30000, 30000])
        >>> held = guard(wrong.std.SetFrameProps(_Matrix=6), small)
        >>> [held.get_frame(0)[p][48, 64] for p in range(3)] == [120 * 256, 110 * 256, 130 * 256]
        True
    """
    _check(big, source, strength, sigma, contrast, backproject)
    main = 1 if big.format.color_family == vs.RGB else 0  # green speaks for luma
    single = big.resize.Bicubic(format=big.format.replace(sample_type=vs.FLOAT, bits_per_sample=32).id)
    sampled = {"subsampling_w": big.format.subsampling_w, "subsampling_h": big.format.subsampling_h}
    wanted = source.format.replace(sample_type=vs.FLOAT, bits_per_sample=32, **sampled)
    small = source.resize.Bicubic(format=wanted.id)
    plain = source.resize.Lanczos(big.width, big.height, format=wanted.id)
    planes = []
    for plane in range(big.format.num_planes):
        parts = [clip.std.ShufflePlanes(plane, vs.GRAY) for clip in (single, small, plain)]
        planes.append(
            guard_plane(
                *parts,
                strength=strength,
                sigma=sigma,
                contrast=contrast,
                backproject=backproject,
                measure=plane == main,
            )
        )
    measured = planes[main]
    held = single if strength == 0 else planes[0]
    if strength and big.format.num_planes == 3:
        held = core.std.ShufflePlanes(planes, [0, 0, 0], big.format.color_family)
    held = big if strength == 0 else held.resize.Point(format=big.format.id).std.CopyFrameProps(big)
    return held.std.CopyFrameProps(measured, props=["DS9VS_LRError", "DS9VS_Limited"])


def _check(
    big: vs.VideoNode, source: vs.VideoNode, strength: float, sigma: float, contrast: float, backproject: float
) -> None:
    if big.format.color_family != source.format.color_family:
        raise CustomValueError(
            f"The upscaled clip is {big.format.name}, its source {source.format.name}; both must be YUV, RGB or grey.",
            guard,
        )
    if big.width < source.width or big.height < source.height:
        raise CustomValueError(
            f"The upscaled clip is {big.width}x{big.height}, less than its source's {source.width}x{source.height}.",
            guard,
        )
    if big.num_frames != source.num_frames:
        raise CustomValueError(
            f"The upscaled clip has {big.num_frames} frames and its source {source.num_frames}; they must be the same.",
            guard,
        )
    for name, value, low, high in (
        ("strength", strength, 0, 1),
        ("sigma", sigma, 0.5, 4),
        ("contrast", contrast, 0, 10),
        ("backproject", backproject, 0, 1),
    ):
        if not low <= value <= high:
            raise CustomValueError(f"{name} is {value}; give {low} to {high}.", guard)


def guard_plane(
    big: vs.VideoNode,
    small: vs.VideoNode,
    plain: vs.VideoNode,
    *,
    strength: float = 1.0,
    sigma: float = SIGMA,
    contrast: float = CONTRAST,
    backproject: float = 0.0,
    measure: bool = True,
) -> vs.VideoNode:
    """`guard()` of one GRAYS plane, for callers that hold the plain enlargement already.

    Args:
        big: The upscaled plane.
        small: The source's plane.
        plain: The source's plane, enlarged plainly to the size of `big`.
        strength: See `guard()`.
        sigma: See `guard()`.
        contrast: See `guard()`.
        backproject: See `guard()`.
        measure: Write DS9VS_LRError and DS9VS_Limited.

    Example:
        >>> small = core.std.BlankClip(width=32, height=32, format=vs.GRAYS, length=1, color=0.5)
        >>> big = small.resize.Lanczos(64, 64)
        >>> held = guard_plane(big.akarin.Expr("x 0.1 +"), small, big)
        >>> abs(held.get_frame(0)[0][32, 32] - 0.5) < 1e-3
        True
    """
    expr = plugins.require("akarin.Expr", "guard", "format")
    props = plugins.require("akarin.PropExpr", "guard")
    width, height = big.width, big.height

    def difference(clip: vs.VideoNode) -> vs.VideoNode:
        """What the clip lacks of the source, at source size."""
        return core.std.Expr([small, clip.resize.Bicubic(small.width, small.height)], "x y -")

    def enlarged(clip: vs.VideoNode) -> vs.VideoNode:
        return clip.resize.Bicubic(width, height)

    held, touched = big, None
    if strength:
        bent = expr(small, f"x {_AROUND} {'+ ' * 8} 9 / - abs")
        edges = f"{_LARGEST} {_SMALLEST} - {DEAD} - 0 max {contrast} *"
        bends = f"{_AROUND.replace('x', 'y')} {'max ' * 8} {FLOOR} - 0 max {BEND * contrast / CONTRAST} *"
        allowed = expr([small, bent], f"{edges} {bends} min {FLOOR} +").resize.Bilinear(width, height)
        top = expr(small, f"{_LARGEST} dup {_SMALLEST} - {HEADROOM} * + {FLOOR} +").resize.Bilinear(width, height)
        star, ground = _stars(small)
        bright = star.resize.Bilinear(width, height)
        lock = enlarged(_blur(difference(big), sigma))
        calm = enlarged(_blur(small, sigma))
        least = f"z a - c 0.5 * - d z min z {NOISE} - max min"
        most = f"z a + b z max min c + d z max z {NOISE} + min max"
        limited = expr([big, lock, plain, allowed, top, bright, calm], f"x y + {least} max {most} min")
        limited = _weighed(limited, small, star, ground)
        lack = difference(limited)
        again = _blur(lack, sigma)
        again = core.std.Expr([again, _blur(again, sigma)], "x 2 * y -")  # Van Cittert: what one blur leaves of itself
        if backproject:
            again = core.std.Expr([again, lack], f"x y x - {backproject} * +")
        if strength == 1:
            held = core.std.Expr([limited, enlarged(again)], "x y +")
        else:
            held = core.std.Expr([big, limited, enlarged(again)], f"y z + x - {strength} * x +")
        touched = expr([big, lock, limited], f"x y + z - abs {strength} * {TOUCHED} > 255 0 ?", format=vs.GRAY8)
    if not measure:
        return held
    left = core.std.Expr(_blur(difference(held), sigma), "x x *").std.PlaneStats(prop="DS9VS_E")
    marks = touched if touched is not None else left.std.BlankClip(format=vs.GRAY8, color=0, keep=True)
    numbers = props(
        [left, marks.std.PlaneStats(prop="DS9VS_T")],
        lambda: {"DS9VS_LRError": f"x.DS9VS_EAverage sqrt {CODES} *", "DS9VS_Limited": "y.DS9VS_TAverage"},
    )
    return held.std.CopyFrameProps(numbers, props=["DS9VS_LRError", "DS9VS_Limited"])
