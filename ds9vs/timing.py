"""Exact time: fractions of a second, durations, timecodes v2, which picture is on at which instant, audio sync.

A ground room: imports nothing of ours beyond `files`. Time that is kept or compared is `Fraction`; a float appears
only in a file format, and in the costs by which `slots` chooses.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from .errors import CustomRuntimeError, CustomValueError
from .files import write_text

__all__ = [
    "DRIFT",
    "FILM",
    "NTSC",
    "PAL",
    "Sync",
    "check",
    "durations",
    "field_rate",
    "pick",
    "read_timecodes",
    "share",
    "slots",
    "write_timecodes",
]

type Func = Callable[..., Any] | str
type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]
type Bools = NDArray[np.bool_]

FILM = Fraction(24000, 1001)
"""Pictures a second of film on NTSC video (SMPTE ST 170 rate times 4/5)."""
NTSC = Fraction(30000, 1001)
"""Frames a second of an NTSC tape; twice as many fields."""
PAL = Fraction(25)
"""Frames a second of a PAL tape; twice as many fields."""
DRIFT = 2.0
"""How far, in fields, the middle of a picture may lie from the middle of the slot of constant rate that shows it.

33 ms of NTSC. On random cuts of 3:2 film a bound of 1.5 loses 6 pictures in 10,000, this one 2, and both drift 0.65
fields on average."""
_FAR, _FAR_COST = 1.5, 0.1
"""Beyond that many fields of drift, each field more costs so much in each slot: taken only to save a picture."""
_DRIFT_COST = 1e-3
"""Cost of one field of drift in one slot; it grows with the square. Small: it decides only between equals."""
_SIDE = 2
"""Pictures to each side of the one on air that a slot may show: with one field each, `DRIFT` reaches no further."""


def field_rate(tape: vs.VideoNode, func: Func) -> Fraction:
    """Fields a second of a tape of constant rate.

    Raises:
        CustomValueError: The clip has a variable rate.
    """
    if not tape.fps:
        raise CustomValueError(
            "The clip has a variable frame rate; a tape has 29.97 or 25 frames a second (std.AssumeFPS).", func
        )
    return 2 * Fraction(tape.fps)


def durations(clip: vs.VideoNode, func: Func) -> list[Fraction]:
    """The duration of every frame in seconds: from the rate, or frame by frame from the props when it varies.

    Raises:
        CustomValueError: A frame of a clip of variable rate has no `_DurationNum`/`_DurationDen`.
    """
    if clip.fps:
        return [1 / Fraction(clip.fps)] * clip.num_frames
    found = []
    for n, frame in enumerate(clip.frames(close=True)):
        try:
            found.append(Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"]))
        except (KeyError, ZeroDivisionError):
            raise CustomValueError(
                f"Frame {n} of a clip of variable rate has no duration; set _DurationNum and _DurationDen.", func
            ) from None
    return found


def write_timecodes(
    path: str | os.PathLike[str], frame_durations: Iterable[Fraction], func: Func = "write_timecodes"
) -> None:
    """Write timecodes format v2 (mkvmerge, x265): the start of each frame in milliseconds, then the end of the last.

    Times are summed exactly and rounded once, to a nanosecond, so that no drift collects.

    Example:
        >>> write_timecodes(tmp_path / "t.txt", [Fraction(1001, 30000)] * 2)
        >>> (tmp_path / "t.txt").read_text().split()[-1]
        '66.733333'
    """
    at, lines = Fraction(0), ["# timestamp format v2"]
    for duration in frame_durations:
        lines.append(f"{float(at * 1000):.6f}")
        at += duration
    lines.append(f"{float(at * 1000):.6f}")
    write_text(path, "\n".join(lines) + "\n", func)


def read_timecodes(path: str | os.PathLike[str], func: Func = "read_timecodes") -> Sequence[Fraction]:
    """Read timecodes format v2: the timestamps in seconds, in file order.

    Raises:
        CustomValueError: The file is not timecodes v2.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if not lines or "v2" not in lines[0]:
        raise CustomValueError(
            f"{str(path)!r} is not a timecodes v2 file; its first line must say '# timestamp format v2'.", func
        )
    return [Fraction(line.strip()) / 1000 for line in lines[1:] if line.strip() and not line.startswith("#")]


def pick(clip: vs.VideoNode, numbers: Ints) -> vs.VideoNode:
    """The frames of a clip by their numbers, which must ascend and may repeat: two nodes however many there are.

    Example:
        >>> pick(core.std.BlankClip(length=9), np.array([0, 2, 2, 7])).num_frames
        4
    """
    used = np.zeros(clip.num_frames, bool)
    used[numbers] = True
    places = (np.cumsum(used) - 1)[numbers]
    if not used.all():
        clip = clip.std.DeleteFrames(np.flatnonzero(~used).tolist())
    repeats = places[1:][places[1:] == places[:-1]]
    return clip.std.DuplicateFrames(repeats.tolist()) if len(repeats) else clip


def share(lengths: Ints, even: Bools, cuts: Bools) -> tuple[Ints, Ints]:
    """How long each picture is shown, in fields, as numerators and denominators in lowest terms.

    A run of `even` pictures between cuts shares its fields evenly, so that the 2-3 of pulldown becomes 2.5 each; every
    other picture keeps its own. The sums at cuts, and at the end, are those of `lengths`, exactly.

    Args:
        lengths: Fields of each picture, shape (pictures,).
        even: Whether the picture shares with its neighbours.
        cuts: Whether the picture is the first of a shot.

    Example:
        >>> num, den = share(np.array([2, 3, 1, 2]), np.array([True, True, False, False]), np.zeros(4, bool))
        >>> num.tolist(), den.tolist()
        ([5, 5, 1, 2], [2, 2, 1, 1])
    """
    fresh = cuts | ~even
    fresh[1:] |= ~even[:-1]
    run = np.cumsum(fresh) - fresh[0]
    num = np.bincount(run, lengths).astype(np.int64)[run]
    den = np.bincount(run).astype(np.int64)[run]
    divisor = np.gcd(num, den)
    return num // divisor, den // divisor


def slots(durations: Floats, slot: float, groups: Ints, lost: Floats, again: Floats, shown: Floats) -> Ints:
    """Which picture each slot of a constant rate shows: the cheapest assignment of all that keep order and bounds.

    The slots are so many that they last as long as the pictures, within one slot. A picture may be shown in a slot
    only if its middle lies within `DRIFT` fields of the slot's (for a picture longer than a slot: if its part that is
    farther than half a slot from its ends does). Among these assignments the one of least cost is taken: the given
    costs, and for each slot 0.001 of the squared drift and 0.1 of what exceeds 1.5 fields. It is found by dynamic
    programming (Viterbi) over the slots, so the choice is global: a drift that an orphan costs here is won back there.

    Args:
        durations: How long each picture lasts, in fields, shape (pictures,).
        slot: How long a slot lasts, in fields.
        groups: Number of each picture's group, ascending by 0 or 1 from 0. Pictures of a group stand for one another:
            to the costs of losing and repeating they are one.
        lost: Cost of showing no picture of the group, shape (groups,).
        again: Cost of each slot beyond the first that shows the group, shape (groups,).
        shown: Cost of each slot that shows the picture, shape (pictures,).

    Returns:
        The number of the picture that each slot shows, ascending, shape (slots,).

    Example:
        >>> film = np.full(4, 2.5)
        >>> slots(film, 2.5, np.arange(4), np.ones(4), np.ones(4), np.zeros(4)).tolist()
        [0, 1, 2, 3]
    """
    pictures = len(durations)
    starts = np.concatenate([[0.0], np.cumsum(durations)])
    middles, slack = starts[:-1] + durations / 2, np.maximum(0, (durations - slot) / 2)
    total = starts[-1] / slot
    counts = sorted({max(1, int(np.floor(total + 1e-6))), max(1, int(np.ceil(total - 1e-6)))})
    centres = slot * (np.arange(counts[-1]) + 0.5)
    on_air = np.minimum(np.searchsorted(starts, centres, "right") - 1, pictures - 1)
    choices = on_air[:, None] + np.arange(-_SIDE, _SIDE + 1)
    inside = (choices >= 0) & (choices < pictures)
    choices = np.clip(choices, 0, pictures - 1)
    drift = np.maximum(0, np.abs(middles[choices] - centres[:, None]) - slack[choices])
    dear = _DRIFT_COST * drift**2 + _FAR_COST * np.maximum(0, drift - _FAR)
    here = np.where(inside & (drift <= DRIFT + 1e-6), dear + shown[choices], np.inf)
    before = np.concatenate([[0.0], np.cumsum(lost)])
    group = groups[choices]
    step = np.where(
        group[:-1, :, None] == group[1:, None, :],
        again[group[1:, None, :]],
        before[group[1:, None, :]] - before[group[:-1, :, None] + 1],
    )
    step[choices[:-1, :, None] > choices[1:, None, :]] = np.inf
    step += here[1:, None, :]

    cost = here[0] + before[group[0]]
    back = np.empty((counts[-1], choices.shape[1]), np.int8)
    ends = {1: cost}
    for n in range(1, counts[-1]):
        through = cost[:, None] + step[n - 1]
        back[n] = through.argmin(0)
        cost = through.min(0)
        if n + 1 in counts:
            ends[n + 1] = cost
    endings = {
        count: ends[count] + before[-1] - before[group[count - 1] + 1] + _DRIFT_COST * abs(count - total)
        for count in counts
    }
    count = min(counts, key=lambda c: float(endings[c].min()))
    state = int(endings[count].argmin())
    found = np.empty(count, np.int64)
    for n in range(count - 1, -1, -1):
        found[n] = choices[n, state]
        state = int(back[n, state])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """How a restored file lies against its audio, in seconds; what `check` measured."""

    start: Fraction
    """How much later than on the disc the audio starts, seen from the first picture."""
    drift: Fraction
    """How far the picture clock strays from the tape's, at worst."""
    end: Fraction
    """How much later than on the disc the pictures end, seen from the audio's end."""
    most: tuple[Fraction, Fraction, Fraction]
    """How much of each is allowed: 1 ms, 1 ms, and one picture plus one audio frame."""


def check(
    timecodes: Sequence[Fraction],
    *,
    tape: Fraction,
    audio: tuple[Fraction, Fraction],
    disc_audio: tuple[Fraction, Fraction],
    rate: Fraction | None = None,
    audio_frame: Fraction = Fraction(1536, 48000),
    refuse: bool = True,
    func: Func = "timing.check",
) -> Sync:
    """Compare the times of a restored file with the audio that came with the tape; refuse what is out of sync.

    Start and drift may be 1 ms at most, the end one picture plus one audio frame. All times are seconds.

    Args:
        timecodes: Start of each picture in the restored file and the end of the last: pictures + 1 of them.
        tape: How long the tape lasts: its frames over its rate.
        audio: Start and duration of the audio in the restored file.
        disc_audio: Start and duration of the audio on the disc, counted from the start of its video.
        rate: Pictures a second of a file of constant rate (24000/1001): each picture's time is compared with it.
            None for a variable rate: then the whole duration is compared with the tape's.
        audio_frame: Duration of an audio frame; 1536 samples of AC-3 at 48 kHz unless told.
        refuse: Whether to raise for what is out of sync; else the measures and their limits are only told.
        func: The function that the error names.

    Raises:
        CustomRuntimeError: It is out of sync; the sentence says in what and by how much.
        CustomValueError: There is no picture, or the times go backwards.

    Example:
        >>> codes = [Fraction(1001 * n, 24000) for n in range(5)]
        >>> sound = (Fraction(0), Fraction(1, 6))
        >>> check(codes, tape=Fraction(1001 * 5, 30000), audio=sound, disc_audio=sound, rate=FILM).drift
        Fraction(0, 1)
    """
    if len(timecodes) < 2:
        raise CustomValueError(
            "There are no pictures to compare; give the start of each and the end of the last.", func
        )
    if any(b <= a for a, b in itertools.pairwise(timecodes)):
        raise CustomValueError("The times of the pictures do not ascend; give them in order, in seconds.", func)
    first, last = timecodes[0], timecodes[-1]
    if rate is None:
        drift = last - first - tape
    else:
        drift = max((at - first - n / rate for n, at in enumerate(timecodes)), key=abs)
    picture = max(b - a for a, b in itertools.pairwise(timecodes))
    found = Sync(
        start=audio[0] - first - disc_audio[0],
        drift=drift,
        end=(last - sum(audio)) - (tape - sum(disc_audio)),
        most=(Fraction(1, 1000), Fraction(1, 1000), picture + audio_frame),
    )
    for what, value, most in zip(
        ("The audio starts", "The picture clock drifts", "The pictures end"),
        (found.start, found.drift, found.end),
        found.most,
        strict=True,
    ):
        if refuse and abs(value) > most:
            raise CustomRuntimeError(
                f"{what} {float(abs(value)) * 1000:.2f} ms {'late' if value > 0 else 'early'} against the tape; "
                f"{float(most) * 1000:.2f} ms is allowed.",
                func,
            )
    return found
