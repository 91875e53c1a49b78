"""Exact time: fractions of a second, durations, timecodes v2.

A ground room: imports nothing of ours beyond `files`. Time is `Fraction` everywhere; a float
appears only in a file format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs
from jetpytools import CustomValueError

from .files import write_text

__all__ = ["FILM", "NTSC", "PAL", "durations", "field_rate", "read_timecodes", "write_timecodes"]

type Func = Callable[..., Any] | str

FILM = Fraction(24000, 1001)
"""Pictures a second of film on NTSC video (SMPTE ST 170 rate times 4/5)."""
NTSC = Fraction(30000, 1001)
"""Frames a second of an NTSC tape; twice as many fields."""
PAL = Fraction(25)
"""Frames a second of a PAL tape; twice as many fields."""


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
