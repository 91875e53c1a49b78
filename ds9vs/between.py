"""Pictures between pictures: what a camera would have seen at an instant that the tape has no picture of.

May import the ground rooms only. Knows no cadence: which pictures belong together, and which instants are wanted, is
for `ivtc` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import vapoursynth as vs
from vapoursynth import core

from .errors import CustomValueError
from .plugins import NO_SCENES, require

__all__ = ["Make", "between", "blend"]

type Func = Callable[..., Any] | str

type Make = Callable[[vs.VideoNode, vs.VideoNode, float], vs.VideoNode]
"""Makes the picture at a time (0 to 1) between each picture of a clip and that of another; `rife` gives one."""

BLOCK = 16
"""Side of a block of the motion search in samples; it is then halved."""
LEAST = 16
"""Samples: smaller pictures hold no block."""
AROUND = 4
"""Samples to each side over which differences are averaged before they are judged."""
SURE, UNSURE = 0.6, 0.8
"""How much of the pictures' difference may remain once both are moved to the instant: full trust below, none above.

Grain alone, which no motion explains, leaves 0.75 to 0.95."""
STILL, MOVING = 0.5, 1.0
"""Codes of 255 by which the two pictures differ: nothing moves below, all may above."""
SOFT = 3
"""Samples to each side over which the border of what is trusted is softened."""
WRONG, WRONG_SHARE = 8.0, 0.5
"""A sample is missed when more than these codes of 255, and more than this part of the pictures' difference, remain."""
MOST = 0.06
"""Share of missed samples beyond which the whole picture is the nearer real one.

Measured: pans up to 14 samples a field 0.00 to 0.04, people at 12 pictures a second 0.00 to 0.14, cuts 0.60 to 0.76,
flashes 0.95, an explosion 0.17 to 0.75."""
HARDER = 4
"""What a picture of `make` is missed by, by the better matching of the two, counts so many times.

A double image is matched half way by both. Measured: with 2 most of it is taken, with 4 next to none, and a network's
good pictures lose 0.1 to 0.7 dB."""


def between(
    before: vs.VideoNode,
    after: vs.VideoNode,
    *,
    time: float = 0.5,
    fallback: vs.VideoNode | None = None,
    where: vs.VideoNode | None = None,
    make: Make | None = None,
) -> vs.VideoNode:
    """The picture at an instant between each picture of `before` and the same of `after`, where motion can be trusted.

    Motion is searched both ways, in blocks of 16 then 8 with quarter samples, and both pictures are moved to the
    instant (MVTools' flow, which takes what one of them hides from the other). They should meet there. Where more than
    0.6 to 0.8 of their difference remains (over 9x9 samples of luma), and where there is none to begin with, the
    result is the fallback, over a soft edge; where they differ by less than half a code it is so bit for bit. Where
    more than 6 % of a picture misses by more than 8 codes and half of the difference (a cut, a flash, an explosion),
    the whole picture is the fallback, bit for bit. Two pictures are never averaged unmoved.

    Against the truth at that instant half way between two fields (photographs under a moving camera, a ship over stars
    and over a still, credits, two textures that cross; PSNR of luma): 7 to 18 dB closer than the nearer picture; where
    something moves by more than a sample 6 to 16 dB closer than an average of the two, where less 0 to 1 dB. Only of a
    soft glow that changes slowly is the average closer (52 dB against 47). What repeats can be matched wrongly with
    confidence: stripes that move by a quarter of their period over something else are refused by little.

    Args:
        before: Pictures, YUV or GRAY of 8 to 16 bit or 32 bit float, not 4:1:1, at least 16x16.
        after: The pictures after them, in the same format, size and number.
        time: The instant, 0 (before) to 1 (after), both excluded; to the nearest fraction of up to 64 parts.
        fallback: What is shown where motion is not trusted; the nearer of the two (before, at 0.5) unless given.
        where: Grey, of the pictures' size and depth: made only there, full where it is full.
        make: Another way of making the picture, `(before, after, time)`, such as `rife`. Whole pictures are refused as
            above; of others is taken what one of the two pictures, moved onto it, matches by the same measure.

    Returns:
        The fallback's format, length and props, with `DS9VS_Trust`, the share of samples that are not missed; where a
        picture was made, `DS9VS_Between`, the time, and `DS9VS_Done` "between".

    Raises:
        CustomValueError: The clips do not go together, the format or size does not suit, or the time is out of bounds.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> before = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=2)
        >>> between(before, before, time=0.25).get_frame(0).props["DS9VS_Between"]
        0.25
    """
    for function in ("mvu.Super", "mvu.Analyse", "mvu.Recalculate", "mvu.Flow", "mvu.FlowFPS", "akarin.Expr"):
        require(function, between)
    select, told = require("akarin.Select", between), require("akarin.PropExpr", between)
    fallback = fallback or (before if time <= 0.5 else after)
    _check(before, after, fallback, time)
    pairs = _pairs(before, after)
    vectors = _vectors(pairs)
    whole = core.mvu.Super(pairs, blksize=[BLOCK // 2], overlap=[BLOCK // 4], pel=4, pad=[BLOCK], onelevel=1)
    parted = _difference(
        core.mvu.Flow(pairs, whole, vectors[1], time=100.0 * time, **NO_SCENES)[3::2],
        core.mvu.Flow(pairs, whole, vectors[0], time=100.0 * (1 - time), **NO_SCENES)[2::2],
    ).std.BoxBlur(hradius=AROUND, vradius=AROUND)
    if make is None:
        made, missed = _flow(pairs, whole, vectors, time), parted
    else:
        made = _made(make, before, after, time)
        missed = core.akarin.Expr([_missed(made, one) for one in (before, after)], f"x y min {HARDER} *")
        missed = missed.std.BoxBlur(hradius=AROUND, vradius=AROUND)
    changed = _difference(before, after).std.BoxBlur(hradius=AROUND, vradius=AROUND)
    wrong = core.akarin.Expr(
        [changed, parted], f"y {256 * WRONG} > y x {WRONG_SHARE} * > and 255 0 ?", vs.GRAY8
    ).std.PlaneStats()
    mask = _mask(changed, missed, fallback)
    if where is not None:
        mask = core.akarin.Expr([mask, where], "x y min")
    mixed = fallback.std.MaskedMerge(made, mask, first_plane=True)
    mixed = mixed.std.SetFrameProps(DS9VS_Between=time, DS9VS_Done="between")
    clip = select([fallback, mixed], wrong, f"x.PlaneStatsAverage {MOST} > 0 1 ?")
    return told([clip, wrong], lambda: {"DS9VS_Trust": "1 y.PlaneStatsAverage -"})


def blend(
    before: vs.VideoNode,
    after: vs.VideoNode,
    *,
    time: float = 0.5,
    fallback: vs.VideoNode | None = None,
    where: vs.VideoNode | None = None,
) -> vs.VideoNode:
    """The average of each picture of `before` and the same of `after`, weighted by the time: double edges on motion.

    Args:
        before: Pictures, any integers of 8 to 16 bit or 32 bit float.
        after: The pictures after them, in the same format, size and number.
        time: The weight of `after`, 0 to 1, both excluded.
        fallback: What is shown where `where` is 0; the nearer of the two unless given.
        where: Grey, of the pictures' size and depth: blended only there, full where it is full.

    Returns:
        The format, length and props of the fallback, with `DS9VS_Between`, the time, and `DS9VS_Done` "blended".

    Raises:
        CustomValueError: The clips do not go together, or the time is out of bounds.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> black, white = (core.std.BlankClip(format=vs.GRAY8, length=1, color=value) for value in (0, 200))
        >>> blend(black, white, time=0.25).get_frame(0)[0][0, 0]
        50
    """
    fallback = fallback or (before if time <= 0.5 else after)
    _check_pair(before, after, fallback, time, blend)
    mixed = require("akarin.Expr", blend)([before, after], f"x {1 - time} * y {time} * +")
    if where is not None:
        mixed = fallback.std.MaskedMerge(mixed, where, first_plane=True)
    return (
        mixed.std.RemoveFrameProps()
        .std.CopyFrameProps(fallback)
        .std.SetFrameProps(DS9VS_Between=time, DS9VS_Done="blended")
    )


def _pairs(before: vs.VideoNode, after: vs.VideoNode) -> vs.VideoNode:
    """Both in turn. A blank pair comes first: mvu asks for its first frames as soon as a script is evaluated."""
    blank = [core.std.BlankClip(clip, length=1, keep=True) for clip in (before, after)]
    plain = [(one + clip).std.RemoveFrameProps() for one, clip in zip(blank, (before, after), strict=True)]
    return core.std.Interleave(plain)


def _vectors(pairs: vs.VideoNode) -> list[vs.VideoNode]:
    """From each frame to the next, and to the one before it. Within a pair these are the ways there and back."""
    over, fine = BLOCK // 2, BLOCK // 2
    search: dict[str, Any] = {"search": 3, "searchparam": 2, "mvlambda": 400, "satd": int(_bits(pairs) <= 16)}
    coarse = core.mvu.Super(pairs, blksize=[BLOCK], overlap=[over], pel=4, pad=[BLOCK])
    near = core.mvu.Super(pairs, blksize=[fine], overlap=[fine // 2], pel=4, pad=[BLOCK], onelevel=1)
    found = []
    for delta in (1, -1):
        vectors = core.mvu.Analyse(coarse, blksize=[BLOCK], overlap=[over], delta=delta, **search)
        found.append(core.mvu.Recalculate(near, vectors, blksize=[fine], overlap=[fine // 2], thsad=0, **search))
    return found


def _flow(pairs: vs.VideoNode, whole: vs.VideoNode, vectors: list[vs.VideoNode], time: float) -> vs.VideoNode:
    """The picture within each pair. FlowFPS, since FlowInter asks for the way from one pair to the next as well."""
    steps = Fraction(time).limit_denominator(64)
    every = 2 * steps.denominator
    faster = core.mvu.FlowFPS(
        pairs.std.AssumeFPS(fpsnum=1, fpsden=1),
        whole,
        vectors,
        num=steps.denominator,
        den=1,
        extramask=0,
        blend=0,
        **NO_SCENES,
    )
    return faster.std.SelectEvery(every, steps.numerator)[1:]


def _made(make: Make, before: vs.VideoNode, after: vs.VideoNode, time: float) -> vs.VideoNode:
    made = make(before, after, time)
    if (
        not isinstance(made, vs.VideoNode)
        or made.format != before.format
        or (made.width, made.height, made.num_frames) != (before.width, before.height, before.num_frames)
    ):
        raise CustomValueError(
            f"make must return a clip of {before.num_frames} frames, {before.width}x{before.height} in "
            f"{before.format.name}, as the pictures that it gets.",
            between,
        )
    return made


def _missed(made: vs.VideoNode, real: vs.VideoNode) -> vs.VideoNode:
    """How far a real picture, moved onto one that was made, misses it."""
    pairs = _pairs(made, real)
    near = core.mvu.Super(pairs, blksize=[BLOCK // 2], overlap=[BLOCK // 4], pel=4, pad=[BLOCK], onelevel=1)
    return _difference(made, core.mvu.Flow(pairs, near, _vectors(pairs)[0], time=100.0, **NO_SCENES)[2::2])


def _bits(clip: vs.VideoNode) -> int:
    return int(clip.format.bits_per_sample)


def _difference(a: vs.VideoNode, b: vs.VideoNode) -> vs.VideoNode:
    """Of luma, in 256ths of a code of 255."""
    luma = [clip.std.ShufflePlanes(0, vs.GRAY) for clip in (a, b)]
    code = 255 if a.format.sample_type == vs.FLOAT else 1 / (1 << (_bits(a) - 8))
    return core.akarin.Expr(luma, f"x y - abs {256 * code} *", vs.GRAY16)


def _mask(changed: vs.VideoNode, missed: vs.VideoNode, like: vs.VideoNode) -> vs.VideoNode:
    """Where to take the picture that was made: grey, of the clip's depth, soft at its borders."""
    form = like.format
    grey = form.replace(color_family=vs.GRAY, subsampling_w=0, subsampling_h=0).id
    full = 1 if form.sample_type == vs.FLOAT else (1 << _bits(like)) - 1
    trusted = f"{UNSURE} y x 128 + / - {UNSURE - SURE} / 0 1 clamp"
    moves = f"x 256 / {STILL} - {MOVING - STILL} / 0 1 clamp"
    mask = core.akarin.Expr([changed, missed], f"{trusted} {moves} * {full} *", grey)
    return mask.std.BoxBlur(hradius=SOFT, vradius=SOFT)


def _check(before: vs.VideoNode, after: vs.VideoNode, fallback: vs.VideoNode, time: float) -> None:
    _check_pair(before, after, fallback, time, between)
    form = before.format
    known = form.color_family in (vs.YUV, vs.GRAY) and form.subsampling_w < 2 and form.subsampling_h < 2
    if not known or _bits(before) not in ((32,) if form.sample_type == vs.FLOAT else range(8, 17)):
        raise CustomValueError(
            f"Motion cannot be searched in {form.name}; convert to YUV420, 422, 440, 444 or GRAY of 8 to 16 bit or "
            "32 bit float, or take the nearest pictures (motion='nearest').",
            between,
        )
    if min(before.width, before.height) < LEAST:
        raise CustomValueError(
            f"The pictures are {before.width}x{before.height}; motion is searched from {LEAST}x{LEAST} up, smaller "
            "ones take motion='nearest'.",
            between,
        )


def _check_pair(before: vs.VideoNode, after: vs.VideoNode, fallback: vs.VideoNode, time: float, func: Func) -> None:
    for clip in (before, after, fallback):
        if clip.format is None or not clip.width or not clip.height:
            raise CustomValueError("A clip changes its format or size; split it where it changes.", func)
        shape = (clip.format, clip.width, clip.height, clip.num_frames)
        if shape != (before.format, before.width, before.height, before.num_frames):
            raise CustomValueError(
                f"Pictures of one clip are {before.width}x{before.height} in {before.format.name}, "
                f"{before.num_frames} of them, of another {clip.width}x{clip.height} in {clip.format.name}, "
                f"{clip.num_frames}; give clips of one format, size and length.",
                func,
            )
    if not 0 < time < 1:
        raise CustomValueError(f"time is {time}; it must lie between 0 and 1, both excluded.", func)
