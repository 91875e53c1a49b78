"""Temporal stability after upscaling: detail that a net invents anew in every picture is averaged along true motion.

May import the ground rooms only. Knows no net: any enlargement and the clip it was made from will do.
"""

from __future__ import annotations

import math

import vapoursynth as vs
from vapoursynth import core

from .errors import CustomValueError
from .plugins import NO_SCENES, require

__all__ = ["steady"]

BLOCK = 16
"""Side of a block of the motion search, in samples at source size; it is then halved."""
AGREES, DIFFERS = 2.0, 5.0
"""Codes of 255 by which a moved neighbour of the source may miss it: full weight below, none above."""
CLEAN, MISSED = 0.7, 6.0
"""Codes of 255: what moved neighbours of a source miss on average beyond the first is its noise, and is allowed for;
a block is counted with the second at most."""
TRUST = 18.0
"""Codes of 255: detail that differs by this from its moved neighbour has 1/e of the weight."""
GAUSS = [math.exp(-((n / 2) ** 2) / 2) for n in range(-6, 7)]
"""Sigma of 2 samples of the source: what is lower is left alone (a guard locks it). A real low-pass, since what
decimation alone leaves does not move with the picture."""
CHANGED_SAD, CHANGED_SHARE = 400, 51.0
"""A cut: SAD of an 8x8 block at 8 bit from which it has changed, and the share of such blocks in per cent."""

KEPT = ("BitsPerSample", "Chroma", "DeltaFrame", "Levels", "NBlkX", "NBlkY", "SAD", "Vectors", "XRatioUV", "YRatioUV")
"""What the vectors at source size and those at the clip's size have in common.

A vector counts in 1/pel samples: the same numbers with pel / factor, and blocks larger by factor, are the vectors of a
picture larger by factor.
"""


def steady(clip: vs.VideoNode, source: vs.VideoNode, *, strength: float = 1.0) -> vs.VideoNode:
    """Calm the shimmer of an enlargement by averaging its fine luma detail with that of both neighbours in time.

    The motion is the source's own: vectors are found on the clean small pictures and scaled, so that wobble cannot lead
    them. Only detail finer than about two samples of the source is averaged (what a guard does not lock to the source;
    fades and lighting stay as they are), only where the source, moved along the same vectors, matches itself within 2
    to 5 codes of 255, its noise allowed for (nothing uncovered or hidden takes part, so nothing ghosts), and never
    across a cut: by the `_SceneChange*` or `DS9VS_Shot` of either clip, and by what the vectors say. Chroma is left
    alone.

    Wobble that is independent from picture to picture drops to between a third and two thirds. Give it what wobbles or
    came from a disc, whose coding noise is calmed too: a plain enlargement of an uncoded source has nothing to gain,
    and loses up to 5 points of SSIMULACRA2 where much moves. 0.1 to 0.3 s a picture of 2880x2160 on two cores.

    Args:
        clip: The enlargement, YUV or GRAY of 8 to 16 bit.
        source: What it was made from: YUV or GRAY of 8 to 16 bit, the same pictures, at least 32x32, not larger.
        strength: 0 (returns `clip` itself) to 1.

    Returns:
        The clip in its own format, with its props.

    Raises:
        CustomValueError: The lengths or formats do not suit, the source is larger than the clip or too small, or the
            strength is not between 0 and 1.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> source = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=3)
        >>> steady(source.resize.Bicubic(128, 96), source).width
        128
    """
    for function in ("mvu.Super", "mvu.Analyse", "mvu.Recalculate", "mvu.Compensate", "mvu.SCDetection", "akarin.Expr"):
        require(function, steady)
    _check(clip, source, strength)
    if strength == 0 or clip.num_frames == 1:
        return clip
    factor = max(
        k for k in (1, 2, 4) if k == 1 or (clip.width >= k * source.width and clip.height >= k * source.height)
    )
    width, height = -(-clip.width // factor), -(-clip.height // factor)
    small = _gray16(source).resize.Bicubic(
        width,
        height,
        src_width=source.width * factor * width / clip.width,
        src_height=source.height * factor * height / clip.height,
    )
    luma = _gray16(clip)
    if (luma.width, luma.height) != (factor * width, factor * height):
        luma = luma.resize.Point(factor * width, factor * height, src_width=factor * width, src_height=factor * height)
    low = luma.resize.Bilinear(width, height).std.Convolution(GAUSS, mode="h").std.Convolution(GAUSS, mode="v")
    low = low.resize.Bicubic(luma.width, luma.height)
    detail = core.akarin.Expr([luma, low], "x y - 32768 +")
    terms = [luma, detail]
    for delta in (-1, 1):
        terms += _neighbour(clip, source, small, detail, factor, delta)
    form = _format(clip)
    plane = core.akarin.Expr(terms, _average(strength)).std.CropAbs(clip.width, clip.height)
    if form.bits_per_sample < 16:
        gray = form.replace(color_family=vs.GRAY, subsampling_w=0, subsampling_h=0)
        plane = core.akarin.Expr([plane], f"x {1 << (16 - form.bits_per_sample)} /", gray.id)
    if form.num_planes > 1:
        plane = core.std.ShufflePlanes([plane, clip, clip], [0, 1, 2], form.color_family)
    return plane.std.RemoveFrameProps().std.CopyFrameProps(clip)


def _neighbour(
    clip: vs.VideoNode, source: vs.VideoNode, small: vs.VideoNode, detail: vs.VideoNode, factor: int, delta: int
) -> list[vs.VideoNode]:
    """The detail of the neighbour in time (delta -1 or 1) moved onto each picture, and where to trust it (GRAY8).

    Two blank frames go before everything that mvu sees: it asks for its first frame as soon as a script is evaluated,
    which must not start a net.
    """
    blank = [core.std.BlankClip(c, length=2, keep=True) + c for c in (small, detail)]
    pel = 2 if factor == 1 else 4
    pad = 16
    searched = core.mvu.Super(blank[0], blksize=[BLOCK], overlap=[BLOCK // 2], pel=pel, pad=[pad])
    found = core.mvu.Analyse(
        searched, blksize=[BLOCK], overlap=[BLOCK // 2], delta=delta, chroma=0, search=3, searchparam=2, mvlambda=400
    )
    fine, over = BLOCK // 2, BLOCK // 4
    near = core.mvu.Super(blank[0], blksize=[fine], overlap=[over], pel=pel, pad=[pad], onelevel=1)
    vectors = core.mvu.Recalculate(
        near, found, blksize=[fine], overlap=[over], thsad=0, chroma=0, search=3, searchparam=2, mvlambda=400
    )
    cut = core.mvu.SCDetection(blank[0], vectors, thscd1=CHANGED_SAD, thscd2=CHANGED_SHARE)[2:]
    moved = core.mvu.Compensate(blank[0], near, vectors, **NO_SCENES)[2:]
    missed = core.akarin.Expr([small, moved], "x y - abs").std.Convolution([1] * 25)
    noise = core.akarin.Expr([missed], f"x {256 * MISSED} min").std.PlaneStats(prop="DS9VS_Noise")
    missed = _marked(missed.std.CopyFrameProps(noise), clip, source, cut, delta)
    more = f"x.DS9VS_NoiseAverage 256 * {CLEAN} - 0 max M!"
    near = f"{DIFFERS} M@ 2 * + x 256 / - {DIFFERS - AGREES} M@ + / 0 max 1 min 255 *"
    match = core.akarin.Expr([missed], f"{more} x.DS9VS_Cut 0 {near} ?", vs.GRAY8)
    match = match.std.Minimum().resize.Bilinear(detail.width, detail.height)
    scaled = blank[1].std.CopyFrameProps(vectors, [f"MVUtensilsAnalysis{name}" for name in KEPT])
    geometry = {
        "BlkSizeX": fine, "BlkSizeY": fine, "OverlapX": over, "OverlapY": over, "HPad": pad, "VPad": pad,
        "RealWidth": small.width, "RealHeight": small.height,
        "Width": _blocks(small.width, fine, over), "Height": _blocks(small.height, fine, over),
    }  # fmt: skip
    scaled = scaled.std.SetFrameProps(**{f"MVUtensilsAnalysis{name}": factor * v for name, v in geometry.items()})
    scaled = scaled.std.SetFrameProps(MVUtensilsAnalysisPel=pel // factor)
    big = core.mvu.Super(
        blank[1],
        blksize=[factor * fine],
        overlap=[factor * over],
        pel=pel // factor,
        pad=[factor * pad],
        onelevel=1,
    )
    return [core.mvu.Compensate(blank[1], big, scaled, **NO_SCENES)[2:], match]


def _blocks(size: int, block: int, overlap: int) -> int:
    """The size that whole blocks cover, as mvu pads it."""
    step = block - overlap
    return -(-(size - overlap) // step) * step + overlap


def _marked(
    target: vs.VideoNode, clip: vs.VideoNode, source: vs.VideoNode, detected: vs.VideoNode, delta: int
) -> vs.VideoNode:
    """Write `DS9VS_Cut` on `target`: whether there is a cut, or nothing, between each picture and its neighbour.

    A property that is missing is NaN and equal to nothing, itself included.
    """
    here, there = ("_SceneChangePrev", "_SceneChangeNext") if delta < 0 else ("_SceneChangeNext", "_SceneChangePrev")
    told = [f"y.{here} 1 =", f"N {0 if delta < 0 else clip.num_frames - 1} ="]
    clips = [target, detected]
    for one in (clip, source):
        name, other = "xyzabcde"[len(clips)], "xyzabcde"[len(clips) + 1]
        clips += [one, one[0] + one[:-1] if delta < 0 else one[1:] + one[-1]]
        told += [f"{name}.{here} 1 =", f"{other}.{there} 1 ="]
        known = " ".join(f"{c}.DS9VS_Shot {c}.DS9VS_Shot =" for c in (name, other))
        told.append(f"{known} and {name}.DS9VS_Shot {other}.DS9VS_Shot = not and")
    text = " ".join(told) + " or" * (len(told) - 1)
    return core.akarin.PropExpr(clips, lambda: {"DS9VS_Cut": text})


def _average(strength: float) -> str:
    """X luma, y its detail; z and b the neighbours' moved detail, a and c their trust."""
    change = "{0} y - 256 / D{0}! D{0}@ {1} / dup * -1 * exp {2} 255 / * W{0}!"
    both = " ".join(change.format(moved, TRUST, trust) for moved, trust in (("z", "a"), ("b", "c")))
    return f"{both} x Wz@ Dz@ * Wb@ Db@ * + 1 Wz@ + Wb@ + / {256 * strength} * +"


def _gray16(clip: vs.VideoNode) -> vs.VideoNode:
    """Luma at 16 bit, without props."""
    plane = clip.std.ShufflePlanes(0, vs.GRAY).std.RemoveFrameProps()
    bits = _format(clip).bits_per_sample
    return plane if bits == 16 else core.akarin.Expr([plane], f"x {1 << (16 - bits)} *", vs.GRAY16)


def _format(clip: vs.VideoNode) -> vs.VideoFormat:
    if clip.format is None:
        raise CustomValueError("A clip changes its format; split it where it changes.", steady)
    return clip.format


def _check(clip: vs.VideoNode, source: vs.VideoNode, strength: float) -> None:
    for what, one in (("clip", clip), ("source", source)):
        if one.format is None or not one.width or not one.height:
            raise CustomValueError(f"The {what} changes its format or size; split it where it changes.", steady)
        form = one.format
        if form.color_family == vs.RGB or form.sample_type != vs.INTEGER or form.bits_per_sample > 16:
            raise CustomValueError(f"The {what} is {form.name}; give YUV or GRAY of 8 to 16 bit.", steady)
    if clip.num_frames != source.num_frames:
        raise CustomValueError(
            f"The clip has {clip.num_frames} frames and its source {source.num_frames}; give what was enlarged.",
            steady,
        )
    if source.width > clip.width or source.height > clip.height or min(source.width, source.height) < 2 * BLOCK:
        raise CustomValueError(
            f"The source is {source.width}x{source.height} and the clip {clip.width}x{clip.height}; "
            f"the source must be at least {2 * BLOCK}x{2 * BLOCK} and not larger than the clip.",
            steady,
        )
    if not 0 <= strength <= 1:
        raise CustomValueError(f"strength is {strength}; it must be 0 to 1.", steady)
