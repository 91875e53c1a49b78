"""Measures of pictures: against a truth, against a source, against their own neighbours.

Each takes clips and returns a list with a number for every frame; frames are streamed, so memory does not grow with the
length. May import the ground rooms only. Measures decide nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from .errors import CustomRuntimeError, CustomValueError
from .plugins import NO_SCENES, require

__all__ = [
    "comb",
    "flicker",
    "light",
    "lr_consistency",
    "overshoot",
    "pool_psnr",
    "psnr",
    "ssim",
    "ssimulacra2",
    "warping_error",
    "xpsnr",
]

type Func = Callable[..., Any] | str


def psnr(a: vs.VideoNode, b: vs.VideoNode, plane: int = 0) -> list[float]:
    """Peak signal-to-noise ratio of one plane in dB, frame by frame; infinite where the pictures are the same.

    10 log10(peak^2 / MSE) with peak 2^bits - 1 (1 for float), whatever the range of the clip.

    Args:
        a: A clip, any format.
        b: A clip of the same format, size and length.
        plane: Which plane; 0 is luma.

    Raises:
        CustomValueError: The clips differ in format, size or length, or lack the plane.

    Example:
        >>> a = core.std.BlankClip(format=vs.GRAY8, width=16, height=16, length=2, color=100)
        >>> [round(x, 2) for x in psnr(a, core.std.Expr([a], "x 10 +"))]
        [28.13, 28.13]
    """
    _check_pair(a, b, psnr)
    form = _format(a)
    if not 0 <= plane < form.num_planes:
        raise CustomValueError(f"There is no plane {plane} in {form.name}; use 0 to {form.num_planes - 1}.", psnr)
    peak = 1 if form.sample_type == vs.FLOAT else (1 << form.bits_per_sample) - 1
    pair = [clip.std.ShufflePlanes(plane, vs.GRAY) for clip in (a, b)]
    errors = _means(_expr(pair, f"x y - {peak} / dup *", psnr))
    return [math.inf if error == 0 else -10 * math.log10(error) for error in errors]


def pool_psnr(values: Iterable[float]) -> float:
    """The PSNR of a clip from its frames': that of their mean squared error, not the mean of the decibels.

    Example:
        >>> round(pool_psnr([30.0, 40.0]), 2)
        32.6
    """
    errors = [10 ** (-value / 10) for value in values]
    mean = math.fsum(errors) / len(errors)
    return math.inf if mean == 0 else -10 * math.log10(mean)


def ssim(a: vs.VideoNode, b: vs.VideoNode) -> list[float]:
    """Structural similarity of luma, frame by frame: 1 is the same picture.

    Wang et al., Image quality assessment: from error visibility to structural similarity (2004), equation 13, with its
    Gaussian window (sigma 1.5, 11x11), K1 = 0.01, K2 = 0.03 and L = 255, at full size.

    Args:
        a: A clip, YUV or GRAY.
        b: A clip of the same format, size and length.

    Raises:
        CustomValueError: The clips differ in format, size or length, or are RGB.

    Example:
        >>> a = core.std.BlankClip(format=vs.GRAY8, width=32, height=32, length=1, color=100)
        >>> round(ssim(a, a)[0], 4)
        1.0
    """
    _check_pair(a, b, ssim)
    x, y = _grays(a, ssim), _grays(b, ssim)
    products = [_expr(pair, "x y *", ssim) for pair in ([x, x], [y, y], [x, y])]
    smooth = [_gauss(plane, 1.5) for plane in (x, y, *products)]
    local = "x y * 2 * 0.0001 + a x y * - 2 * 0.0009 + * x x * y y * + 0.0001 + z x x * - b y y * - + 0.0009 + * /"
    terms = [smooth[0], smooth[1], smooth[2], smooth[4], smooth[3]]  # means, then xx, xy, yy
    return _means(_expr(terms, local, ssim))


def ssimulacra2(a: vs.VideoNode, b: vs.VideoNode) -> list[float]:
    """SSIMULACRA 2.1 (Sneyers, Cloudinary) of each frame of `b` against the reference `a`.

    100 is the same picture (to 0.01), 90 cannot be told apart, 70 high, 50 medium, 30 low quality; it may be negative.
    Both clips are taken to RGB by the matrix in their props; YUV without one is an error. About 0.2 s a frame of
    2880x2160.

    Args:
        a: The reference, any YUV, RGB or GRAY format.
        b: A clip of the same format, size and length.

    Raises:
        CustomValueError: The clips differ in format, size or length, or say no matrix.
        CustomRuntimeError: The plugin is missing, or gives identical pictures less than 100 (some builds give 92.6).

    Example:
        >>> a = core.std.BlankClip(format=vs.RGB24, width=64, height=64, length=1)
        >>> round(ssimulacra2(a, a)[0])
        100
    """
    require("vszip.SSIMULACRA2", ssimulacra2, "reference", "distorted")
    _check_pair(a, b, ssimulacra2)
    _ssimulacra2_tested()
    pair = [_rgb(clip, ssimulacra2) for clip in (a, b)]
    return _props(core.vszip.SSIMULACRA2(*pair), "SSIMULACRA2")


@functools.cache
def _ssimulacra2_tested() -> None:
    grey = core.std.BlankClip(format=vs.RGBS, width=96, height=96, length=1, color=[0.25, 0.5, 0.75])
    ramp = grey.akarin.Expr("X width / Y height / * x +")
    found = _props(core.vszip.SSIMULACRA2(ramp, ramp), "SSIMULACRA2")[0]
    if abs(found - 100) > 0.05:
        raise CustomRuntimeError(
            f"The installed vszip gives {found:.1f} for identical pictures where SSIMULACRA2 is 100; "
            "type: pip install 'vapoursynth-vszip>=23'",
            ssimulacra2,
        )


def xpsnr(a: vs.VideoNode, b: vs.VideoNode) -> list[float]:
    """Extended PSNR of luma in dB (Helmrich et al., ITU-T H-series supplement 23): errors weigh by what masks them.

    Taken at 10 bit; infinite where the pictures are the same.

    Args:
        a: The reference, YUV or GRAY.
        b: A clip of the same format, size and length; width and height even.

    Raises:
        CustomValueError: The clips differ, are RGB, or of an odd size.

    Example:
        >>> a = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
        >>> xpsnr(a, a)
        [inf]
    """
    require("vszip.XPSNR", xpsnr, "verbose")
    _check_pair(a, b, xpsnr)
    if _format(a).color_family == vs.RGB or a.width % 2 or a.height % 2:
        raise CustomValueError(
            f"The clips are {_format(a).name} of {a.width}x{a.height}; give YUV or GRAY of even width and height.",
            xpsnr,
        )
    pair = [_luma(clip).resize.Point(format=vs.GRAY10) for clip in (a, b)]
    wrapped = [core.std.ShufflePlanes([clip] * 3, [0, 0, 0], vs.YUV) for clip in pair]
    return _props(core.vszip.XPSNR(*wrapped, verbose=0), "XPSNR_Y")


def lr_consistency(clip: vs.VideoNode, source: vs.VideoNode, *, sigma: float = 2.0) -> list[float]:
    """How far an enlargement keeps the low frequencies of its source: PSNR of luma in dB, frame by frame.

    The clip is brought down to the source's size (bicubic, area-weighted), both are blurred by a Gaussian and compared.
    An enlargement that invents nothing at that scale has 45 dB and more; nets without a guard 33 to 36.

    Args:
        clip: The enlargement; any size not smaller than the source's, any YUV or GRAY format.
        source: What it was made from, YUV or GRAY, of the same length.
        sigma: Of the Gaussian, in samples of the source, 0.5 to 4.

    Raises:
        CustomValueError: The lengths differ, a clip is RGB or smaller than its source, or sigma is out of range.

    Example:
        >>> source = core.std.BlankClip(format=vs.YUV420P8, width=32, height=32, length=1)
        >>> lr_consistency(source.resize.Bicubic(64, 64), source)[0] > 60
        True
    """
    _check_enlargement(clip, source, lr_consistency)
    if not 0.5 <= sigma <= 4:
        raise CustomValueError(f"sigma is {sigma}; it must be 0.5 to 4 samples of the source.", lr_consistency)
    small = _grays(clip, lr_consistency)
    if (clip.width, clip.height) != (source.width, source.height):
        small = small.resize.Bicubic(source.width, source.height)
    low = [_gauss(plane, sigma) for plane in (small, _grays(source, lr_consistency))]
    errors = _means(_expr(low, "x y - dup *", lr_consistency))
    return [math.inf if error == 0 else -10 * math.log10(error) for error in errors]


def warping_error(clip: vs.VideoNode, truth: vs.VideoNode) -> list[float]:
    """How much each frame differs from its predecessor moved along the true motion: RMS of luma in codes of 255.

    E = sqrt(sum w (O_t - warp O_(t-1))^2 / sum w), after Lai et al., Learning blind video temporal consistency (2018).
    The vectors are found on `truth`, and w = exp(-(d / 4)^2) with d codes by which the truth itself differs from its
    moved predecessor, so that nothing counts that is hidden, uncovered or not understood. Compare it with the truth's
    own, `warping_error(truth, truth)`: a steady clip has a quotient of 1.

    Args:
        clip: YUV or GRAY; at least 16x16.
        truth: A clip of the same format, size and length.

    Returns:
        A number for every frame; 0 for the first, and where under a fifth of the truth matches (a cut).

    Raises:
        CustomValueError: The clips differ in format, size or length, are RGB or too small.
        CustomRuntimeError: The plugin is missing.

    Example:
        >>> clip = core.std.BlankClip(format=vs.GRAY8, width=64, height=64, length=3)
        >>> warping_error(clip, clip)
        [0.0, 0.0, 0.0]
    """
    for function in ("mvu.Super", "mvu.Analyse", "mvu.Recalculate", "mvu.Flow"):
        require(function, warping_error)
    _check_pair(clip, truth, warping_error)
    if _format(clip).color_family == vs.RGB or min(clip.width, clip.height) < 16:
        raise CustomValueError(
            f"The clips are {_format(clip).name} of {clip.width}x{clip.height}; give YUV or GRAY of at least 16x16.",
            warping_error,
        )
    if clip.num_frames == 1:
        return [0.0]
    true, made = (_luma(c).resize.Point(format=vs.GRAY16) for c in (truth, clip))
    vectors = _vectors(true)
    warped = [_warp(c, vectors) for c in (true, made)]
    scale = 256
    weight = f"a b - {scale} / 4 / dup * -1 * exp"
    terms = [made, warped[1], true, warped[0]]
    weights = _means(_expr(terms, weight.replace("a", "z").replace("b", "a"), warping_error))
    errors = _means(
        _expr(terms, f"{weight.replace('a', 'z').replace('b', 'a')} x y - {scale} / dup * *", warping_error)
    )
    found = [math.sqrt(error / weight) if weight > 0.2 else 0.0 for error, weight in zip(errors, weights, strict=True)]
    return [0.0, *found[1:]]


def comb(clip: vs.VideoNode) -> list[float]:
    """Energy of combing in luma, frame by frame, in codes of 255: near 0 in a progressive picture.

    The mean of how far a line leaves both its neighbours to the same side, less what the lines of its own field differ:
    max(0, min(|x(0) - x(-1)|, |x(0) - x(1)|) - max(|x(0) - x(-2)|, |x(0) - x(2)|)).

    Args:
        clip: YUV or GRAY; at least 8 lines.

    Raises:
        CustomValueError: The clip is RGB, changes its format, or is too low.

    Example:
        >>> comb(core.std.BlankClip(format=vs.GRAY8, width=16, height=16, length=1))
        [0.0]
    """
    if clip.height < 8:
        raise CustomValueError(f"The clip is {clip.height} lines high; combing needs at least 8.", comb)
    up, down = "x[0,0] x[0,-1] - 255 *", "x[0,0] x[0,1] - 255 *"
    own = "x[0,0] x[0,-2] - 255 * abs x[0,0] x[0,2] - 255 * abs max"
    lines = f"{up} U! {down} D! U@ D@ * 0 > U@ abs D@ abs min {own} - 0 max 0 ?"
    return _means(_expr([_grays(clip, comb)], lines, comb))


def flicker(clip: vs.VideoNode, source: vs.VideoNode) -> list[float]:
    """How much still areas change from frame to frame, over how much the source's do: 1 is as steady as the source.

    Still is where the source, blurred by 2 samples, stays within 1 code of 255. The quotient of RMS changes of luma,
    each with 0.1 code added in squares, so that a source without any noise does not divide by zero.

    Args:
        clip: The enlargement; any size not smaller than the source's, any YUV or GRAY format.
        source: What it was made from, YUV or GRAY, of the same length.

    Returns:
        A number for every frame; 1 for the first, and where under 1 % of the picture is still.

    Raises:
        CustomValueError: The lengths differ, a clip is RGB, or the clip is smaller than its source.

    Example:
        >>> source = core.std.BlankClip(format=vs.GRAY8, width=32, height=32, length=2)
        >>> flicker(source.resize.Bicubic(64, 64), source)
        [1.0, 1.0]
    """
    _check_enlargement(clip, source, flicker)
    small, big = _grays(source, flicker), _grays(clip, flicker)
    low = _gauss(small, 2.0)
    still = _expr([low, _previous(low)], "x y - abs 255 * 1 < 1 0 ?", flicker).std.Minimum()
    still_big = still.resize.Point(clip.width, clip.height)
    share = _means(still)
    changes = [
        _means(_expr([plane, _previous(plane), mask], "x y - 255 * dup * z *", flicker))
        for plane, mask in ((big, still_big), (small, still))
    ]
    floor = 0.1**2
    found = [
        math.sqrt((ours / area + floor) / (theirs / area + floor)) if area > 0.01 else 1.0
        for ours, theirs, area in zip(*changes, share, strict=True)
    ]
    return [1.0, *found[1:]]


def overshoot(clip: vs.VideoNode, truth: vs.VideoNode, *, percentile: float = 99.9) -> list[float]:
    """How far a clip is brighter than anything near it in the truth, frame by frame: luma, in codes of 255.

    max(0, O - max5x5(T)) of each pixel, at a percentile of the picture. Halos, too-white teeth and bursting letters
    have it; a soft picture does not. Coding noise has some: hold it against a plain enlargement's.

    Args:
        clip: YUV or GRAY.
        truth: A clip of the same format, size and length.
        percentile: 0 to 100: of the picture's pixels.

    Raises:
        CustomValueError: The clips differ in format, size or length, are RGB, or the percentile is out of range.

    Example:
        >>> clip = core.std.BlankClip(format=vs.GRAY8, width=32, height=32, length=1, color=100)
        >>> [round(x, 3) for x in overshoot(clip.std.Expr("x 7 +"), clip)]
        [7.0]
    """
    _check_pair(clip, truth, overshoot)
    if not 0 <= percentile <= 100:
        raise CustomValueError(f"percentile is {percentile}; it must be 0 to 100.", overshoot)
    ceiling = _grays(truth, overshoot).std.Maximum().std.Maximum()
    above = _expr([_grays(clip, overshoot), ceiling], "x y - 255 * 0 max", overshoot)
    return [float(np.percentile(np.asarray(frame[0]), percentile)) for frame in above.frames(close=True)]


def light(clip: vs.VideoNode, truth: vs.VideoNode) -> list[float]:
    """The light of stars, over the truth's, frame by frame: 1 where a clip gives them as much as they have.

    Small lights are what a morphological opening of the truth's luma (7x7) takes away by over 16 codes of 255, and
    3 pixels around it; their light is luma above the opening, summed.

    Args:
        clip: YUV or GRAY.
        truth: A clip of the same format, size and length.

    Returns:
        A number for every frame; 1 where the truth has no small lights (under one pixel in ten thousand).

    Raises:
        CustomValueError: The clips differ in format, size or length, or are RGB.

    Example:
        >>> dark = core.std.BlankClip(format=vs.GRAY8, width=32, height=32, length=1)
        >>> light(dark, dark)
        [1.0]
    """
    _check_pair(clip, truth, light)
    true = _grays(truth, light)
    ground = true
    for name in ("Minimum",) * 3 + ("Maximum",) * 3:
        ground = getattr(ground.std, name)()
    spots = _expr([true, ground], "x y - 255 * 16 > 1 0 ?", light)
    shares = _means(spots)
    for _ in range(3):
        spots = spots.std.Maximum()
    sums = [_means(_expr([one, ground, spots], "x y - z *", light)) for one in (_grays(clip, light), true)]
    return [
        ours / theirs if share >= 1e-4 and theirs > 0 else 1.0
        for ours, theirs, share in zip(*sums, shares, strict=True)
    ]


def _format(clip: vs.VideoNode) -> vs.VideoFormat:
    form = clip.format
    if form is None:
        raise CustomValueError("The clip changes its format; split it where it changes.", "measures")
    return form


def _check_fixed(clip: vs.VideoNode, func: Func) -> None:
    if clip.format is None or not clip.width or not clip.height:
        raise CustomValueError("A clip changes its format or size; split it where it changes.", func)


def _check_pair(a: vs.VideoNode, b: vs.VideoNode, func: Func) -> None:
    _check_fixed(a, func)
    _check_fixed(b, func)
    said = [f"{_format(c).name} {c.width}x{c.height}, {c.num_frames} frames" for c in (a, b)]
    if said[0] != said[1]:
        raise CustomValueError(f"The clips differ ({said[0]}; {said[1]}); make format, size and length the same.", func)


def _check_enlargement(clip: vs.VideoNode, source: vs.VideoNode, func: Func) -> None:
    _check_fixed(clip, func)
    _check_fixed(source, func)
    if clip.num_frames != source.num_frames:
        raise CustomValueError(
            f"The clip has {clip.num_frames} frames and its source {source.num_frames}; they must be the same.", func
        )
    if clip.width < source.width or clip.height < source.height:
        raise CustomValueError(
            f"The clip is {clip.width}x{clip.height}, smaller than its source of {source.width}x{source.height}.", func
        )


def _luma(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.std.ShufflePlanes(0, vs.GRAY)


def _grays(clip: vs.VideoNode, func: Func) -> vs.VideoNode:
    """Luma as float, codes of 255 divided by 255 whatever the range; nominal float is taken as limited range."""
    _check_fixed(clip, func)
    form = _format(clip)
    if form.color_family == vs.RGB:
        raise CustomValueError(f"The clip is {form.name}; give YUV or GRAY.", func)
    if form.sample_type == vs.FLOAT:
        return _expr([_luma(clip)], "x 219 * 16 + 255 /", func)
    return _expr([_luma(clip)], f"x {255 << (form.bits_per_sample - 8)} /", func)


def _rgb(clip: vs.VideoNode, func: Func) -> vs.VideoNode:
    form = _format(clip)
    if form.color_family == vs.YUV:
        with clip.get_frame(0) as frame:
            if frame.props.get("_Matrix", 2) == 2:
                raise CustomValueError(
                    "The clip does not say its matrix; set it: clip.std.SetFrameProps(_Matrix=6) for a DVD.", func
                )
    if form.color_family == vs.GRAY:
        clip = core.std.ShufflePlanes([clip] * 3, [0, 0, 0], vs.RGB)
    return clip.resize.Bicubic(format=vs.RGBS).std.RemoveFrameProps().std.SetFrameProps(_Transfer=13)


def _expr(clips: list[vs.VideoNode], text: str, func: Func) -> vs.VideoNode:
    return require("akarin.Expr", func)(clips, text, vs.GRAYS)


def _gauss(plane: vs.VideoNode, sigma: float) -> vs.VideoNode:
    radius = min(12, math.ceil(3 * sigma))
    weights = [math.exp(-((n / sigma) ** 2) / 2) for n in range(-radius, radius + 1)]
    return plane.std.Convolution(weights, mode="h").std.Convolution(weights, mode="v")


def _previous(clip: vs.VideoNode) -> vs.VideoNode:
    """Each frame replaced by the one before it; the first by itself."""
    return (clip[0] + clip[:-1]) if clip.num_frames > 1 else clip


def _vectors(plane: vs.VideoNode) -> vs.VideoNode:
    """Motion from each frame's predecessor, in blocks of 8 with quarter samples."""
    above = core.mvu.Super(plane, blksize=[16], overlap=[8], pel=4)
    coarse = core.mvu.Analyse(above, blksize=[16], overlap=[8], delta=-1, chroma=0, search=3, searchparam=4)
    fine = core.mvu.Super(plane, blksize=[8], overlap=[4], pel=4, onelevel=1)
    return core.mvu.Recalculate(fine, coarse, blksize=[8], overlap=[4], thsad=0, chroma=0, search=3, searchparam=2)


def _warp(plane: vs.VideoNode, vectors: vs.VideoNode) -> vs.VideoNode:
    """The predecessor of each frame, moved onto it; scene detection off."""
    above = core.mvu.Super(plane, blksize=[8], overlap=[4], pel=4, onelevel=1)
    return core.mvu.Flow(plane, above, vectors, time=100.0, **NO_SCENES)


def _means(clip: vs.VideoNode) -> list[float]:
    return _props(clip.std.PlaneStats(), "PlaneStatsAverage")


def _props(clip: vs.VideoNode, name: str) -> list[float]:
    return [float(frame.props[name]) for frame in clip.frames(close=True)]
