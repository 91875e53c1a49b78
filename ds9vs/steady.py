"""Temporal stability after upscaling: what a net, or the disc's coding, made anew in every picture is averaged along
true motion.

May import the ground rooms only. Knows no net: any enlargement and the clip it was made from will do.
"""

from __future__ import annotations

from dataclasses import dataclass

import vapoursynth as vs
from vapoursynth import core

from .errors import CustomValueError
from .plugins import NO_SCENES, SEARCH, require

__all__ = ["steady"]

BLOCK = 16
"""Side of a block of the motion search, in samples at source size; it is then halved."""
FARTHEST = 6
"""Pictures on either side that may be asked for."""
PAD = 16
"""Samples around a picture at source size that motion may reach."""
CAP = 5.0
"""Codes of 255: what moved neighbours miss in 17x17 samples of the source is the noise there, at most this. What the
farthest miss beyond the nearest is motion or change, and is taken off as if it grew evenly with the distance."""
LEAST, SHARE = 0.2, 3.0
"""The unit of what tells something: the noise there, plus the first in codes of 255, plus the second times the mean
noise of the picture. Simulated discs have noise from a twentieth of a code (stars) to 5 codes (foliage); thresholds in
codes lost 1 to 3 points of SSIMULACRA2 on effects."""
LEANS = 0.45
"""Units by which 3x3 samples may miss in one direction: noise hardly does, what is uncovered, fades, swirls or boils
does. Full weight below, none at twice that. 0.5 gains 0.1 points of SSIMULACRA2 and loses 0.4 where smoke boils."""
ALONE = 0.33
"""Weight of a neighbour beyond what the one as far on the other side has: with both, what changes evenly cancels."""
TRUST = 24.0
"""Codes of 255: a sample that differs by this from its moved neighbour gives it 1/e of the weight."""
CHANGED_SAD, CHANGED_SHARE = 400, 51.0
"""A cut: SAD of an 8x8 block at 8 bit from which it has changed, and the share of such blocks in per cent."""

KEPT = ("BitsPerSample", "Chroma", "DeltaFrame", "Levels", "NBlkX", "NBlkY", "SAD", "Vectors", "XRatioUV", "YRatioUV")
"""What the vectors at source size and those at the clip's size have in common.

A vector counts in 1/pel samples: the same numbers with pel / factor, and blocks larger by factor, are the vectors of a
picture larger by factor.
"""


def steady(clip: vs.VideoNode, source: vs.VideoNode, *, radius: int = 3, strength: float = 1.0) -> vs.VideoNode:
    """Calm an enlargement by averaging its luma with that of its neighbours in time, moved onto it.

    The motion is the source's own: vectors are found on the clean small pictures and scaled, so that wobble cannot lead
    them. A neighbour counts only where the source, moved along the same vectors, misses itself by
    no more than noise does, to neither side (nothing uncovered or hidden takes part, so nothing ghosts; fades and
    lighting stay as they are), and never across a cut: by the `_SceneChange*` or `DS9VS_Shot` of either clip, and by
    what the vectors say. Chroma is left alone.

    Wobble and the disc's coding noise fall, and what several pictures know of a detail comes together. So does grain:
    measure it before (`measure_grain`), give it back after (`reinject_grain`). Give it what wobbles or came from a
    disc: a plain enlargement of an uncoded source has nothing to gain, and loses where much moves. With a radius of 3,
    0.3 to 0.6 s a picture of 2880x2160 on two cores.

    Args:
        clip: The enlargement, YUV or GRAY of 8 to 16 bit.
        source: What it was made from: YUV or GRAY of 8 to 16 bit, the same pictures, at least 32x32, not larger.
        radius: How many pictures before and after each may take part, 1 to 6. Time grows with it.
        strength: 0 (returns `clip` itself) to 1.

    Returns:
        The clip in its own format, with its props.

    Raises:
        CustomValueError: The lengths or formats do not suit, the source is larger than the clip or too small, or the
            radius or strength is out of range.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> source = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=3)
        >>> steady(source.resize.Bicubic(128, 96), source).width
        128
    """
    for function in (
        *("mvu.Super", "mvu.Analyse", "mvu.Recalculate", "mvu.Compensate", "mvu.SCDetection"),
        *("akarin.Expr", "akarin.PropExpr"),
    ):
        require(function, steady)
    _check(clip, source, radius, strength)
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
    form = _format(clip)
    plane = _averaged(clip, source, small, luma, min(radius, clip.num_frames - 1), strength)
    plane = plane.std.CropAbs(clip.width, clip.height)
    if form.bits_per_sample < 16:
        gray = form.replace(color_family=vs.GRAY, subsampling_w=0, subsampling_h=0)
        plane = core.akarin.Expr([plane], f"x {1 << (16 - form.bits_per_sample)} /", gray.id)
    if form.num_planes > 1:
        plane = core.std.ShufflePlanes([plane, clip, clip], [0, 1, 2], form.color_family)
    return plane.std.RemoveFrameProps().std.CopyFrameProps(clip)


@dataclass(frozen=True)
class _Neighbour:
    """A picture some places away, moved onto each at source size."""

    vectors: vs.VideoNode
    """Behind blank pictures."""
    missed: vs.VideoNode
    """|picture - neighbour|, GRAY16; DS9VS_Cut whether there is a cut, or nothing, between the two."""
    leaning: vs.VideoNode
    """The mean of picture - neighbour in 3x3 samples, around 32768."""


def _averaged(
    clip: vs.VideoNode, source: vs.VideoNode, small: vs.VideoNode, luma: vs.VideoNode, radius: int, strength: float
) -> vs.VideoNode:
    """The luma, averaged.

    Blank frames go before everything that mvu sees: it asks for its first frame as soon as a script is evaluated, which
    must not start a net.
    """
    blank = radius + 1
    behind, large = (core.std.BlankClip(c, length=blank, keep=True) + c for c in (small, luma))
    factor = luma.width // small.width
    pel = 2 if factor == 1 else 4
    fine, over = BLOCK // 2, BLOCK // 4
    coarse = {"blksize": [BLOCK], "overlap": [BLOCK // 2]}
    finer = {"blksize": [fine], "overlap": [over]}
    first = core.mvu.Super(behind, **coarse, pel=pel, pad=[PAD])
    near = core.mvu.Super(behind, **finer, pel=pel, pad=[PAD], onelevel=1)
    sizes = {"blksize": [factor * fine], "overlap": [factor * over], "pad": [factor * PAD]}
    big = core.mvu.Super(large, **sizes, pel=pel // factor, onelevel=1)
    offsets = [k for k in range(-radius, radius + 1) if k]
    vectors = {
        k: core.mvu.Recalculate(near, core.mvu.Analyse(first, **coarse, delta=k, **SEARCH), **finer, thsad=0, **SEARCH)
        for k in offsets
    }
    seen = core.mvu.SCDetection(behind, vectors[-1], thscd1=CHANGED_SAD, thscd2=CHANGED_SHARE)[blank:]
    cuts = _cuts(clip, source, seen)
    found = []
    for k in offsets:
        moved = core.mvu.Compensate(behind, near, vectors[k], **NO_SCENES)[blank:]
        missed = core.akarin.Expr([small, moved], "x y - abs").std.CopyFrameProps(_between(cuts, k))
        leaning = core.akarin.Expr([small, moved], "x y - 32768 +").std.Convolution([1] * 9)
        found.append(_Neighbour(vectors[k], missed, leaning))
    ends = [found[radius - 1], found[radius], found[0], found[-1]]
    least = "{0}.DS9VS_Cut 65535 {0} ? {1}.DS9VS_Cut 65535 {1} ? min {2}!"
    text = " ".join((least.format("x", "y", "N"), least.format("z", "a", "F")))
    grows = f"F@ 65535 = 0 F@ N@ - 0 max {max(radius - 1, 1)} / ?"
    noise = core.akarin.Expr([_box(one.missed, 17) for one in ends], f"{text} N@ {grows} - 0 max {256 * CAP} min")
    noise = noise.std.PlaneStats(prop="DS9VS_Noise")
    terms = [luma]
    for one in found:
        unit = f"z 256 / {LEAST} + z.DS9VS_NoiseAverage 256 * {SHARE} * +"
        leans = f"2 x 32768 - abs 256 / {unit} / {LEANS} / - 0 max 1 min"
        trust = core.akarin.Expr([one.leaning, one.missed, noise], f"{leans} y.DS9VS_Cut 0 255 ? *", vs.GRAY8)
        trust = trust.std.Minimum().resize.Bilinear(luma.width, luma.height)
        scaled = _scaled(large, one.vectors, small, factor, pel)
        terms += [core.mvu.Compensate(large, big, scaled, **NO_SCENES)[blank:], trust]
    return core.akarin.Expr(terms, _mean(len(found), strength))


def _scaled(large: vs.VideoNode, vectors: vs.VideoNode, small: vs.VideoNode, factor: int, pel: int) -> vs.VideoNode:
    """Vectors found at source size, as those of the enlargement."""
    fine, over = BLOCK // 2, BLOCK // 4
    geometry = {
        "BlkSizeX": fine, "BlkSizeY": fine, "OverlapX": over, "OverlapY": over, "HPad": PAD, "VPad": PAD,
        "RealWidth": small.width, "RealHeight": small.height,
        "Width": _blocks(small.width, fine, over), "Height": _blocks(small.height, fine, over),
    }  # fmt: skip
    scaled = large.std.CopyFrameProps(vectors, [f"MVUtensilsAnalysis{name}" for name in KEPT])
    scaled = scaled.std.SetFrameProps(**{f"MVUtensilsAnalysis{name}": factor * v for name, v in geometry.items()})
    return scaled.std.SetFrameProps(MVUtensilsAnalysisPel=pel // factor)


def _blocks(size: int, block: int, overlap: int) -> int:
    """The size that whole blocks cover, as mvu pads it."""
    step = block - overlap
    return -(-(size - overlap) // step) * step + overlap


def _box(plane: vs.VideoNode, side: int) -> vs.VideoNode:
    return plane.std.Convolution([1] * side, mode="h").std.Convolution([1] * side, mode="v")


def _cuts(clip: vs.VideoNode, source: vs.VideoNode, detected: vs.VideoNode) -> vs.VideoNode:
    """Write `DS9VS_Cut`: whether there is a cut, or nothing, before each picture.

    A property that is missing is NaN and equal to nothing, itself included.
    """
    told = ["x._SceneChangePrev 1 =", "N 0 ="]
    clips = [detected]
    for one in (clip, source):
        name, other = "xyzabcde"[len(clips)], "xyzabcde"[len(clips) + 1]
        clips += [one, one[0] + one[:-1]]
        told += [f"{name}._SceneChangePrev 1 =", f"{other}._SceneChangeNext 1 ="]
        known = " ".join(f"{c}.DS9VS_Shot {c}.DS9VS_Shot =" for c in (name, other))
        told.append(f"{known} and {name}.DS9VS_Shot {other}.DS9VS_Shot = not and")
    text = " ".join(told) + " or" * (len(told) - 1)
    return core.akarin.PropExpr(clips, lambda: {"DS9VS_Cut": text})


def _between(cuts: vs.VideoNode, offset: int) -> vs.VideoNode:
    """Write `DS9VS_Cut`: whether there is a cut, or an end, between each picture and the one `offset` places away."""
    many = cuts.num_frames
    steps = range(offset + 1, 1) if offset < 0 else range(1, offset + 1)
    clips = [cuts[0] * -k + cuts[: many + k] if k < 0 else cuts[k:] + cuts[-1] * k if k else cuts for k in steps]
    told = [f"{name}.DS9VS_Cut" for name in "xyzabcdefghijklm"[: len(clips)]]
    told.append(f"N {many - offset} >=" if offset > 0 else f"N {-offset} <")
    return core.akarin.PropExpr(clips, lambda: {"DS9VS_Cut": " ".join(told) + " or" * (len(told) - 1)})


def _mean(neighbours: int, strength: float) -> str:
    """X luma; then for each neighbour, in the order of time, its moved luma and its trust."""
    names = "yzabcdefghijklmnopqrstuvw"
    text, total, weights = "", "0", "1"
    for k in range(neighbours):
        moved, trust, other = names[2 * k], names[2 * k + 1], names[2 * (neighbours - k) - 1]
        text += (
            f"{moved} x - D! D@ {256 * TRUST} / dup * -1 * exp {trust} {ALONE} * {trust} {other} min {1 - ALONE} * +"
        )
        text += f" 255 / * W! D@ W@ * {total} + T{k}! W@ {weights} + W{k}! "
        total, weights = f"T{k}@", f"W{k}@"
    return f"{text} x {total} {weights} / {strength} * +"


def _gray16(clip: vs.VideoNode) -> vs.VideoNode:
    """Luma at 16 bit, without props."""
    plane = clip.std.ShufflePlanes(0, vs.GRAY).std.RemoveFrameProps()
    bits = _format(clip).bits_per_sample
    return plane if bits == 16 else core.akarin.Expr([plane], f"x {1 << (16 - bits)} *", vs.GRAY16)


def _format(clip: vs.VideoNode) -> vs.VideoFormat:
    if clip.format is None:
        raise CustomValueError("A clip changes its format; split it where it changes.", steady)
    return clip.format


def _check(clip: vs.VideoNode, source: vs.VideoNode, radius: int, strength: float) -> None:
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
    if not 1 <= radius <= FARTHEST:
        raise CustomValueError(f"radius is {radius}; it must be 1 to {FARTHEST} pictures.", steady)
    if not 0 <= strength <= 1:
        raise CustomValueError(f"strength is {strength}; it must be 0 to 1.", steady)
