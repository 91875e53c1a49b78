"""Inverse telecine by a map: the pictures of a tape, each woven from its own fields, in the time asked for.

May import the ground rooms, `cadence.model`, `deinterlace` and `between`. Decides nothing about the tape: what belongs
together is the map's to say. The graph is some dozens of nodes however long the tape is; what differs from picture to
picture stands in tables that `FieldHint`, `DeleteFrames`, `DuplicateFrames` and two `ModifyFrame` on clips of props
read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from .between import Make, between, blend
from .cadence.model import Cadence
from .deinterlace import deinterlace
from .errors import CustomValueError
from .memory import trimmer
from .plugins import require
from .props import as_progressive
from .timing import NTSC, PAL, pick, share, slots

__all__ = ["Motion", "Timing", "ivtc", "shown"]

type Func = Callable[..., Any] | str
type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]
type Bools = NDArray[np.bool_]

Timing = Literal["film", "native", "video"]
"""film: constant 24000/1001 (25 for PAL); native: each picture as long as its fields; video: one for each field."""

Motion = Literal["interpolate", "nearest", "blend"]
"""How 60i, 30p and layers are shown at the film rate at instants that the tape has no picture of."""

_SHIFT_COST = 0.25
"""What moving a shot's instants by a field costs, in shares of them that fall on pictures."""

_WOVEN, _RESCUED, _MERGED = range(3)
_DONE = ("woven", "rescued", "merged")
_PROPS = (
    "DS9VS_Picture",
    "DS9VS_Shot",
    "DS9VS_Kind",
    "DS9VS_Confidence",
    "DS9VS_Field",
    "DS9VS_Done",
    "_SceneChangePrev",
    "_SceneChangeNext",
)

_TRIM_EVERY = 8
"""Pictures between two trims of the heap."""
_BLOCK = 8
"""Side of the blocks, in luma samples, that are rebuilt or left."""
_TEXTURE = 1.25
"""How much the combing measure along one field, which sees noise and detail, weighs against that across both."""
_SMALL, _SMALL_NOISE, _SMALL_RAMP = 6.0, 3.0, 4.0
"""Combing of 3x3 samples that counts as none, in 8-bit codes, plus so many times the block's noise; and the ramp."""
_WIDE, _WIDE_NOISE, _WIDE_RAMP = 1.25, 0.8, 1.0
"""The same of a whole block. Measured on film through MPEG-2 at 5.5 Mb/s with a 60i layer of 3 to 60 samples over it:
with grain of 1 code 2 % of the background is touched and 98 % of stars are rebuilt, with 5 codes 4 and 60 to 80 %."""


def ivtc(
    tape: vs.VideoNode,
    cadence: Cadence,
    *,
    timing: Timing = "film",
    motion: Motion = "interpolate",
    rescue: Callable[[vs.VideoNode], vs.VideoNode] | None = None,
    make: Make | None = None,
) -> vs.VideoNode:
    """Turn a tape into progressive pictures by its map; changes rate and length as `timing` says.

    Each picture of two or more fields is woven from its own: from two that were coded in one frame where there are,
    else from two neighbours. These pixels are the tape's own, bit for bit. A picture of one field (60i, an orphan at a
    cut) is that field's frame of `rescue(tape)`. In a picture that the map calls combed, and in a layered shot, blocks
    that comb in the woven picture (of the background, by `Shot.base`) are rebuilt from that frame, over a soft edge of
    a block; all other pixels are the tape's. Combing is |a - 3b + 4c - 3d + e| / 6 over five lines of the picture, less
    1.25 of the same over five lines of one field, which answers to noise and detail but not to combing. A block of 8x8
    luma samples is rebuilt where, in any plane, its average or an average of 3x3 within exceeds a margin of 1.25 or 6
    codes of 8 bit plus 0.8 or 3 times the block's noise, which is the second measure's average.

    Timings:

    - `"film"`: 24000/1001 pictures a second (25 of PAL), as long as the tape within one picture. Film pictures are
      shown once each where that keeps every picture within two fields of its true instant (0.65 on average); orphans
      go first. Of a layered shot one picture is shown for each of the background where possible. 30p, 60i and what
      moves over a background are shown as `motion` says. See `timing.slots`.
    - `"native"`: every picture once, at a variable rate (`fps` is 0), `_DurationNum` and `_DurationDen` exact: film
      pictures share the fields of their shot evenly (5/2 each in whole cycles of 3:2), other pictures last as long as
      their fields. The sum is exact at every cut.
    - `"video"`: 60000/1001 (50) pictures a second, the one on air at each field.

    Motion, at the film rate (other timings show every picture there is, whatever it says):

    - `"interpolate"`: pictures a quarter of a field or less from their slots' middle are shown as they are: every
      second slot of 60i, every fourth of 30p, every slot of 50i and 25p. The others are made at their instant, half way
      between two pictures of 60i, a quarter to three quarters of 30p, by motion (`between.between`) where it can be
      trusted; elsewhere the picture is the nearer one's. In a layered shot this is done to what moves over the
      background only, half way, between pictures of one picture of the background, which stays untouched. Nothing is
      made across a cut. 0.1 s of one core for each picture of 720x480 that is made.
    - `"nearest"`: the pictures nearest in time: 60i advances by 2 and 3 fields in turn.
    - `"blend"`: averages where "interpolate" makes pictures: double edges on everything that moves.

    All slots of nine simulated shots with tape noise, against the truth at their instants, PSNR of luma and
    SSIMULACRA2, in brackets the worst 5 %: of 60i interpolated 41.9 dB and 77 (38.8, 44), nearest 37.8 and 57 (24.6,
    -20), blended 40.0 and 70 (28.7, 13); of 30p 43.0 and 76 (38.8, 22), 35.1 and 40 (22.1, -58), 37.3 and 52
    (24.8, -31).

    Args:
        tape: Woven frames, two fields each, of any constant format; planes of an even height. `_FieldBased` of its
            first frame must be 1 or 2. The default rescue takes integers of 8 to 16 bit and float.
        cadence: The tape's map, from `analyse` or `load_cadence`.
        timing: How the pictures lie in time.
        motion: What is shown at instants that the tape has no picture of.
        rescue: A function that makes a frame of every field of a tape, in time order, in the tape's format; it reads
            the field order from `_FieldBased`. `deinterlace` unless given. Called only if a picture needs it, and a
            frame of it is made only for a picture that does.
        make: What makes the pictures of motion="interpolate": a function `(before, after, time)`, such as
            `rife.rife` gives; by default vectors. Its pictures are held to the same test.

    Returns:
        Progressive pictures in the tape's format and size, with the tape's props (of the frame that holds the
        picture's first field) and `_FieldBased` 0, `DS9VS_Picture`, `DS9VS_Shot`, `DS9VS_Kind`, `DS9VS_Confidence`,
        `DS9VS_Field`, `DS9VS_Done`, and on pictures between pictures `DS9VS_Between` and `DS9VS_Trust` (the others are
        those of the picture that is nearer); `_SceneChangePrev` and `_SceneChangeNext` on the first and last picture of
        each shot.

    Raises:
        CustomValueError: The map is of another tape (length, rate or field order), the tape is progressive, a plane
            has an odd number of lines, the timing or motion is unknown, `rescue` or `make` returns another format or
            length, or pictures are to be made in a format or size in which motion cannot be searched.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> from ds9vs.cadence.model import Cadence, Shot, Tape
        >>> tape = core.std.BlankClip(format=vs.YUV420P8, length=5, fpsnum=30000, fpsden=1001).std.SetFieldBased(2)
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> clip = ivtc(tape, Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,)))
        >>> clip.num_frames, clip.fps, clip.get_frame(3).props["DS9VS_Field"]
        (4, Fraction(24000, 1001), 7)
    """
    top_first = _check(tape, cadence, timing)
    _check_motion(motion, ivtc)
    pictures = _pictures(cadence)
    fields = Fraction(tape.fps) * 2
    plan, rate, num, den = _order(pictures, timing, motion, fields)
    table = _table(
        pictures, plan.shown, plan.quarter, None if rate else lambda p: Fraction(int(num[p]), int(den[p])) / fields
    )
    props = [*_PROPS, *(() if rate else ("_DurationNum", "_DurationDen"))]
    rescue = rescue or deinterlace
    if plan.quarter.any():
        order = np.stack([plan.before, plan.after], 1).ravel()
        pairs, combed = _composed(tape, pictures, order, top_first, rescue, _table(pictures, order))
        clip = _filled(pairs, combed, pictures, plan, table, motion, make)
    else:
        clip = _composed(tape, pictures, plan.shown, top_first, rescue, table)[0].std.CopyFrameProps(table, props)
    clip = as_progressive(clip, rate)
    return clip if rate else _variable(clip)


def shown(cadence: Cadence, timing: Timing = "film", *, motion: Motion = "interpolate") -> Ints:
    """Number of the picture that each frame of `ivtc(tape, cadence, timing=timing)` shows, ascending; reads no tape.

    Of a frame between two pictures it is the nearer one.

    Args:
        cadence: The map.
        timing: How the pictures lie in time, as `ivtc` has it.
        motion: What is shown between pictures, as `ivtc` has it.

    Raises:
        CustomValueError: The timing or motion is unknown, or the tape has a rate that has no film rate.

    Example:
        >>> from ds9vs.cadence.model import Cadence, Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> shown(whole).tolist(), shown(whole, "video").tolist()
        ([0, 1, 2, 3], [0, 0, 1, 1, 1, 2, 2, 3, 3, 3])
    """
    rate = Fraction(*cadence.tape.fps)
    _check_timing(timing, rate, shown)
    _check_motion(motion, shown)
    return _order(_pictures(cadence), timing, motion, 2 * rate)[0].shown


@dataclass(frozen=True, slots=True)
class _Plan:
    """What each frame shows, as arrays of shape (frames,): pictures, by their numbers."""

    shown: Ints
    before: Ints
    after: Ints
    """These two are `shown` where a frame shows a picture of the tape."""
    quarter: Ints
    """Of the way from one to the other: 0 to 3."""


def _order(
    pictures: _Pictures, timing: str, motion: str, fields: Fraction
) -> tuple[_Plan, Fraction | None, Ints, Ints]:
    """What each frame shows, the frames' rate if it is constant, and the pictures' durations in fields."""
    even = (pictures.kind == "film") & (pictures.length >= 2) & (pictures.length <= 3)
    num, den = share(pictures.length, even, pictures.cut)
    rate: Fraction | None = None
    order = np.arange(len(pictures.first))
    if timing == "film":
        order, rate = _film_slots(pictures, num / den, fields)
        if motion != "nearest":
            return _instants(pictures, order, float(fields / rate)), rate, num, den
    elif timing == "video":
        order, rate = np.repeat(order, pictures.length), fields
    return _Plan(order, order, order, np.zeros_like(order)), rate, num, den


def _check_timing(timing: str, rate: Fraction, func: Func) -> None:
    if timing not in get_args(Timing):
        raise CustomValueError(
            f"The timing is {timing!r}; it must be one of {', '.join(map(repr, get_args(Timing)))}.", func
        )
    if timing == "film" and rate not in (PAL, NTSC, 30):
        raise CustomValueError(
            f"A tape of {rate} frames a second has no film rate; it must be {NTSC}, 30 or {PAL}, else take "
            f"timing='native' or 'video'.",
            func,
        )


def _check_motion(motion: str, func: Func) -> None:
    if motion not in get_args(Motion):
        raise CustomValueError(
            f"The motion is {motion!r}; it must be one of {', '.join(map(repr, get_args(Motion)))}.", func
        )


def _check(tape: vs.VideoNode, cadence: Cadence, timing: str) -> bool:
    """Whether the top field comes first; raises if tape, map and timing do not go together."""
    if not isinstance(cadence, Cadence):
        raise CustomValueError(
            f"The cadence is a {type(cadence).__name__}, not a map; give load_cadence(path, tape) or analyse(tape).",
            ivtc,
        )
    if tape.format is None or not tape.width:
        raise CustomValueError("The tape changes format or size within; give a clip of one format and size.", ivtc)
    if (tape.height >> tape.format.subsampling_h) % 2 or tape.height % (1 << tape.format.subsampling_h):
        raise CustomValueError(
            f"A tape of {tape.height} lines in {tape.format.name} has planes that are not two fields of one height; "
            f"crop after ivtc, not before.",
            ivtc,
        )
    if cadence.tape.frames != tape.num_frames:
        raise CustomValueError(
            f"The map is of a tape of {cadence.tape.frames} frames, but this one has {tape.num_frames}; "
            f"give the whole tape that was analysed, or analyse this one.",
            ivtc,
        )
    if not tape.fps or Fraction(*cadence.tape.fps) != tape.fps:
        raise CustomValueError(
            f"The map is of a tape of {Fraction(*cadence.tape.fps)} frames a second, but this one has {tape.fps}; "
            f"give the tape at its own rate (std.AssumeFPS), or analyse this one.",
            ivtc,
        )
    _check_timing(timing, Fraction(tape.fps), ivtc)
    with tape.get_frame(0) as frame:
        order = frame.props.get("_FieldBased", 0)
    if order not in (1, 2):
        raise CustomValueError(
            "The tape is progressive or does not say which field comes first; if it is interlaced, say so with "
            f"std.SetFieldBased({1 + cadence.tape.tff}).",
            ivtc,
        )
    if cadence.tape.tff != (order == 2):
        raise CustomValueError(
            f"The map is of a tape whose {'top' if cadence.tape.tff else 'bottom'} field comes first, but in this one "
            f"it is the other; set it right with std.SetFieldBased({1 + cadence.tape.tff}), or analyse this one.",
            ivtc,
        )
    return bool(order == 2)


@dataclass(frozen=True, slots=True)
class _Pictures:
    """What to do for each picture, as arrays of shape (pictures,), and for each frame."""

    first: Ints
    length: Ints
    shot: Ints
    kind: NDArray[np.str_]
    confidence: Floats
    cut: Bools
    """Whether it is the first of its shot."""
    done: Ints
    """_WOVEN, _RESCUED or _MERGED."""
    pair: Ints
    """First of the two neighbouring fields to weave; if there is none, the first field of the frame with its field."""
    field: Ints
    """The field to rescue; if there is none, the first."""
    group: Ints
    """Pictures of one group show one instant of film."""
    swapped: Bools
    """Of each frame (not picture): whether its second field was scanned first."""


def _pictures(cadence: Cadence) -> _Pictures:
    shots = cadence.shots
    counts = np.diff(cadence.shot_firsts)
    first, length = cadence.firsts[:-1], np.diff(cadence.firsts)
    shot = np.repeat(np.arange(len(shots)), counts)
    kind = np.array([s.kind for s in shots])[shot]
    confidence = np.array([s.confidence for s in shots], np.float64)[shot]
    combed = np.zeros(len(first), bool)
    cut = np.zeros(len(first), bool)
    cut[cadence.shot_firsts[:-1]] = True

    at = np.searchsorted([s.first for s in shots], np.arange(0, 2 * cadence.tape.frames, 2), "right") - 1
    swapped = np.array([s.swapped for s in shots])[at]
    weaves = np.ones(2 * cadence.tape.frames, bool)  # whether a field and the next have the two parities
    weaves[1:-1:2] = swapped[1:] == swapped[:-1]
    weaves[-1] = False

    pair = first + (first % 2) * (length > 2)
    woven = (length > 1) & weaves[pair]
    layer = np.zeros(len(first), bool)
    fresh = np.ones(len(first), bool)
    for s, here in zip(shots, cadence.shot_firsts.tolist(), strict=False):
        if s.quality:
            confidence[here : here + len(s.quality)] = 1 - 10.0 ** (-np.array(s.quality) / 10)
        combed[[here + n for n in s.combed]] = True
        if s.kind == "layered" and s.base:
            span = slice(here, here + len(s.lengths))
            lengths = np.array([int(digit) for digit in s.base])
            number = np.repeat(np.arange(len(lengths)), lengths)
            base = np.append(number, -1)[first[span] - s.first]
            after, before = _neighbours(number, first[span] - s.first)
            after &= weaves[first[span]]
            before &= weaves[first[span] - 1]
            single = (length[span] == 1) & (after | before)
            back = before & (~after | (first[span] % 2 == 1))
            pair[span] = np.where(single, first[span] - back, pair[span])
            woven[span] |= single
            layer[span] = single
            fresh[span][1:] = base[1:] != base[:-1]
    merged = woven & (layer | (combed & (length > 1)))
    done = np.select([merged, woven], [_MERGED, _WOVEN], _RESCUED)
    return _Pictures(
        first=first,
        length=length,
        shot=shot,
        kind=kind,
        confidence=confidence.round(6),
        cut=cut,
        done=done,
        pair=np.where(woven, pair, first - first % 2),
        field=first + ((length > 1) & merged),
        group=np.cumsum(fresh) - 1,
        swapped=swapped,
    )


def _neighbours(number: Ints, at: Ints) -> tuple[Bools, Bools]:
    """Whether the field after each, and the one before, belong to the same picture of the background."""
    padded = np.concatenate([[-1], number, [-1]])
    here = padded[at + 1]
    return padded[at + 2] == here, padded[at] == here


def _film_slots(pictures: _Pictures, durations: Floats, fields: Fraction) -> tuple[Ints, Fraction]:
    """The picture of each slot at the film rate, and that rate."""
    rate = fields / 2 if fields == 2 * PAL else fields * 2 / 5
    film = (pictures.kind == "film") & (pictures.length > 1)
    orphan = (pictures.kind == "film") & (pictures.length == 1)
    long = durations > 1.5 * float(fields / rate)
    heads = np.flatnonzero(np.diff(pictures.group, prepend=-1))
    soft = np.where(pictures.kind == "layered", 0.05, 0)
    return slots(
        durations,
        float(fields / rate),
        pictures.group,
        np.where(film, 1e3, soft)[heads],
        np.where(film & ~long, 1e3, np.where(long, 0, 0.05))[heads],
        np.where(orphan, 0.1, 0.0),
    ), rate


def _instants(pictures: _Pictures, order: Ints, slot: float) -> _Plan:
    """What to show at the middle of each slot of a constant rate; of film, and where no motion is known, as `order`.

    The middles of a shot's slots are moved by up to a field, so that as many as can be fall on pictures: by a quarter
    of a field (4 ms) at 59.94 fields a second.
    """
    middles = pictures.first + pictures.length / 2
    centres = slot * (np.arange(len(order)) + 0.5)
    shots = pictures.shot[order]
    steps = 4 * order
    firsts = np.flatnonzero(np.diff(shots, prepend=-1))
    for start, stop in zip(firsts, np.append(firsts[1:], len(order)), strict=True):
        kind = pictures.kind[order[start]]
        if kind == "film":
            continue
        here = slice(start, stop)
        low, high = np.searchsorted(pictures.shot, [shots[start], shots[start] + 1])
        at = _aligned(centres[here], middles[low:high]) + low
        if kind == "layered":
            # Nothing may change in the background: no other picture of it, nor other fields of the same.
            same = pictures.group[1:] == pictures.group[:-1]
            back, on = np.append(False, same)[order[here]], np.append(same, False)[order[here]]
            at = order[here] + np.rint(2 * np.clip(at - order[here], -0.5 * back, 0.5 * on)) / 2
        steps[here] = np.rint(4 * at)
    before, quarter = steps // 4, steps % 4
    layered = pictures.kind[order] == "layered"
    return _Plan(np.where(layered, order, before + (quarter > 2)), before, before + (quarter > 0), quarter)


def _aligned(centres: NDArray[np.floating[Any]], middles: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """The centres among the middles, as numbers of these with fractions; moved so that many are whole."""
    best, most = centres, -np.inf
    for shift in sorted(np.arange(-4, 5) / 4, key=abs):
        at = np.interp(centres + shift, middles, np.arange(len(middles)))
        score = np.mean(np.isclose(at, np.rint(at))) - _SHIFT_COST * abs(shift)
        if score > most + 1e-9:
            best, most = at, score
    return best


def _table(
    pictures: _Pictures, order: Ints, quarter: Ints | None = None, duration: Callable[[int], Fraction] | None = None
) -> vs.VideoNode:
    """A clip of tiny frames that carries the props of each picture shown; with its duration, if that varies."""
    shot = pictures.shot[order]
    change = np.concatenate([[True], shot[1:] != shot[:-1], [True]])
    swapped = pictures.swapped[pictures.field[order] // 2]

    trim = trimmer()

    def write(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if n % _TRIM_EVERY == 0:
            trim()
        p = int(order[n])
        frame = f.copy()
        props = frame.props
        props["DS9VS_Picture"] = p
        props["DS9VS_Shot"] = int(shot[n])
        props["DS9VS_Kind"] = str(pictures.kind[p])
        props["DS9VS_Confidence"] = float(pictures.confidence[p])
        props["DS9VS_Field"] = int(pictures.first[p])
        props["DS9VS_Done"] = _DONE[pictures.done[p]]
        props["_SceneChangePrev"] = int(change[n])
        props["_SceneChangeNext"] = int(change[n + 1])
        props["swapped"] = int(swapped[n])
        props["quarter"] = int(quarter[n]) if quarter is not None else 0
        if duration is not None:
            props["_DurationNum"], props["_DurationDen"] = duration(p).as_integer_ratio()
        return frame

    blank = core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=len(order), keep=True)
    return blank.std.ModifyFrame(blank, write)


def _composed(
    tape: vs.VideoNode,
    pictures: _Pictures,
    order: Ints,
    top_first: bool,
    rescue: Callable[[vs.VideoNode], vs.VideoNode],
    table: vs.VideoNode,
) -> tuple[vs.VideoNode, vs.VideoNode | None]:
    """The pictures of an order; and of the merged ones, if there are any, where they were rebuilt."""
    clip = _woven(tape, pictures, order, top_first)
    done = pictures.done[order]
    if not done.any():
        return clip, None
    rescued = _rescued(tape, pictures, order, top_first, rescue, table)
    sources, combed = [clip, rescued.std.CopyFrameProps(clip)], None
    if (done == _MERGED).any():
        combed = _comb_mask(clip)
        sources.append(clip.std.MaskedMerge(rescued, combed, first_plane=True))
    which = "x.DS9VS_Done 119 = 0 x.DS9VS_Done 114 = 1 2 ? ?"  # w, r, m
    return require("akarin.Select", ivtc)(sources, table, which), combed


def _filled(
    pairs: vs.VideoNode,
    combed: vs.VideoNode | None,
    pictures: _Pictures,
    plan: _Plan,
    table: vs.VideoNode,
    motion: str,
    make: Make | None,
) -> vs.VideoNode:
    """What each frame shows, from the pictures before and after it in turn, with its props."""
    before, after = (pairs.std.SelectEvery(2, k).std.CopyFrameProps(table, [*_PROPS]) for k in (0, 1))
    places = 2 * np.arange(len(plan.shown)) + (plan.shown != plan.before)
    real = pick(pairs, places).std.CopyFrameProps(table, [*_PROPS])
    layered = pictures.kind[plan.shown] == "layered"
    sources, which = [real], "0"
    for quarter in (1, 2, 3):
        for over in (False, True):
            if ((plan.quarter == quarter) & (layered == over)).any():
                where = _either(combed) if over and combed else None
                if motion == "blend":
                    made = blend(before, after, time=quarter / 4, fallback=real, where=where)
                else:
                    made = between(before, after, time=quarter / 4, fallback=real, where=where, make=make)
                kind = f"x.DS9VS_Kind 108 = {'' if over else 'not '}"  # layered
                which = f"x.quarter {quarter} = {kind} and {len(sources)} {which} ?"
                sources.append(made)
    return require("akarin.Select", ivtc)(sources, table, which)


def _either(masks: vs.VideoNode) -> vs.VideoNode:
    """Of each pair of masks the larger value."""
    return require("akarin.Expr", ivtc)([masks.std.SelectEvery(2, k) for k in (0, 1)], "x y max")


def _woven(tape: vs.VideoNode, pictures: _Pictures, order: Ints, top_first: bool) -> vs.VideoNode:
    """The pair of fields of each picture shown, woven: even pairs are the tape's frames, odd ones lie across two."""
    numbers = pictures.pair[order]
    across = np.full(tape.num_frames, "n")  # a frame's bottom field with the next one's top
    across[pictures.swapped == top_first] = "u"  # its top with the next one's bottom
    across[-1] = "c"
    if (numbers % 2).any():
        woven = require("fh.FieldHint", ivtc, "matches")(tape, tff=True, matches="".join(across.tolist()))
        tape, numbers = core.std.Interleave([tape, woven]), numbers
    else:
        numbers = numbers // 2
    return pick(tape, numbers).std.SetFieldBased(0)


def _rescued(
    tape: vs.VideoNode,
    pictures: _Pictures,
    order: Ints,
    top_first: bool,
    rescue: Callable[[vs.VideoNode], vs.VideoNode],
    table: vs.VideoNode,
) -> vs.VideoNode:
    """The field of each picture shown, made a frame; meaningful only where there is one to rescue."""
    numbers = pictures.field[order]
    swapped = pictures.swapped[numbers // 2][pictures.done[order] != _WOVEN]
    found = []
    for swap in (False, True):
        if (swapped == swap).any():
            frames = rescue(tape.std.SetFieldBased(1 + (top_first != swap)) if swap else tape)
            if not isinstance(frames, vs.VideoNode) or (
                frames.num_frames != 2 * tape.num_frames
                or frames.format != tape.format
                or (frames.width, frames.height) != (tape.width, tape.height)
            ):
                raise CustomValueError(
                    f"The rescue must return a clip of {2 * tape.num_frames} frames, one for each field, "
                    f"{tape.width}x{tape.height} in {tape.format.name} as the tape; give a double-rate deinterlacer.",
                    ivtc,
                )
            found.append(pick(frames, numbers).std.SetFieldBased(0))
    return found[0] if len(found) == 1 else require("akarin.Select", ivtc)(found, table, "x.swapped")


def _comb_mask(woven: vs.VideoNode) -> vs.VideoNode:
    """Where a woven picture combs: grey, of its size and depth; 0 where not, full in such blocks and soft around."""
    fmt = woven.format
    code = 1 / 255 if fmt.sample_type == vs.FLOAT else float(1 << (fmt.bits_per_sample - 8))
    expr = require("akarin.Expr", ivtc)
    across = "x[0,-2] x[0,-1] 3 * - x 4 * + x[0,1] 3 * - x[0,2] + abs"
    within = "x[0,-4] x[0,-2] 3 * - x 4 * + x[0,2] 3 * - x[0,4] + abs"
    small = core.query_video_format(fmt.color_family, vs.INTEGER, 8, fmt.subsampling_w, fmt.subsampling_h).id
    # Bytes of half and quarter codes: a quarter of the memory of floats, and their averages are as exact.
    combing = expr(woven, f"{across} {within} {_TEXTURE} * - {3 * code} / 128 +", small, boundary=1)
    noise = expr(woven, f"{within} {1.5 * code} /", small, boundary=1)
    peaks = combing.std.BoxBlur()
    for _ in range(_BLOCK // 2):
        peaks = peaks.std.Maximum()
    columns, rows = -(-woven.width // _BLOCK), -(-woven.height // _BLOCK)
    score = (
        "z z[-1,0] z[1,0] z[0,-1] z[0,1] + + + + 5 256 4 * * / noise! "
        f"x 128 - 2 / {_SMALL} - noise@ {_SMALL_NOISE} * - {_SMALL_RAMP} / "
        f"y 256 / 128 - 2 / {_WIDE} - noise@ {_WIDE_NOISE} * - {_WIDE_RAMP} / max"
    )
    blocks = []
    for plane in range(fmt.num_planes):
        peak, wide, rough = (clip.std.ShufflePlanes(plane, vs.GRAY) for clip in (peaks, combing, noise))
        # Limited to limited range multiplies by 256, whatever the clip's range.
        wide, rough = (
            clip.resize.Bilinear(columns, rows, format=vs.GRAY16, range_in_s="limited", range_s="limited")
            for clip in (wide, rough)
        )
        blocks.append(expr([peak.resize.Point(columns, rows), wide, rough], score, vs.GRAYS))
    worst = "x" if fmt.num_planes == 1 else "x y max z max"
    grey = core.query_video_format(vs.GRAY, fmt.sample_type, fmt.bits_per_sample).id
    full = 1 if fmt.sample_type == vs.FLOAT else (1 << fmt.bits_per_sample) - 1
    mask = expr(blocks, f"{worst} 0 1 clamp {full} *", grey)
    around = " ".join(f"x[{x},{y}]" for x in (-1, 0, 1) for y in (-1, 0, 1)) + " max" * 8
    return expr(mask, around).resize.Bilinear(woven.width, woven.height)


def _variable(clip: vs.VideoNode) -> vs.VideoNode:
    """The same frames in a clip of variable rate (`fps` 0)."""
    rateless = clip.std.BlankClip(fpsnum=0, fpsden=1, keep=True)
    return require("akarin.Select", ivtc)([rateless, clip], clip, "1")
