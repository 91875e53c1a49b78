"""Colour timing by ranges of frames: lift, gamma, gain and colour tables as plain data. May import the ground rooms.

The graph does not grow with the ranges: one clip of untouched pictures, one with lift, gamma and gain from a table, one
more for each colour table; of these a frame asks only for its own.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vapoursynth as vs

from ..errors import CustomValueError
from ..files import existing
from ..plugins import require
from ..presets import load_toml, to_options

__all__ = ["Grade", "Timing", "apply_cube", "grade_rgb"]

type Func = Callable[..., Any] | str
type Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The colour timing of a range of frames: R'G'B' x from 0 to 1 becomes (gain (x + lift (1 - x))) ^ (1 / gamma).

    Lift moves black and leaves white, gain moves white and leaves black, gamma bends what lies between; a number stands
    for red, green and blue alike. The colour table comes after them.
    """

    first: int
    """The first frame of what `finish` returns."""
    stop: int
    """The frame after the last."""
    lift: Triple | float = 0.0
    """-0.5 to 0.5."""
    gamma: Triple | float = 1.0
    """0.2 to 5; above 1 is lighter."""
    gain: Triple | float = 1.0
    """0 to 4."""
    lut: str | None = None
    """A .cube file for these frames."""

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.stop:
            raise CustomValueError(
                "A range of frames goes from first to before stop, from 0 on and not empty.",
                Timing,
                (self.first, self.stop),
            )
        for name, low, high in (("lift", -0.5, 0.5), ("gamma", 0.2, 5.0), ("gain", 0.0, 4.0)):
            value = getattr(self, name)
            triple = tuple(value) if isinstance(value, (tuple, list)) else (value,) * 3
            if len(triple) != 3 or not all(isinstance(v, (int, float)) and low <= v <= high for v in triple):
                raise CustomValueError(
                    f"{name} is a number from {low} to {high}, or three of them for red, green and blue.", Timing, value
                )
            object.__setattr__(self, name, tuple(float(v) for v in triple))

    @property
    def numbers(self) -> tuple[float, ...]:
        """Lift, gamma and gain of red, green and blue."""
        triples = (v if isinstance(v, tuple) else (v,) * 3 for v in (self.lift, self.gamma, self.gain))
        return tuple(number for triple in triples for number in triple)

    @property
    def plain(self) -> bool:
        """Whether lift, gamma and gain change nothing."""
        return self.numbers == (0.0,) * 3 + (1.0,) * 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """Colour timing of a programme: ranges of frames in rising order; frames in none of them stay as they are.

    Raises:
        CustomValueError: Ranges that overlap or stand out of order.

    Example:
        >>> warm = Timing(first=0, stop=240, gain=(1.05, 1.0, 0.96))
        >>> Grade(ranges=(warm, Timing(first=240, stop=480, gamma=1.1))).ranges[1].gamma
        (1.1, 1.1, 1.1)
    """

    ranges: tuple[Timing, ...] = field(default=())

    def __post_init__(self) -> None:
        for a, b in zip(self.ranges, self.ranges[1:], strict=False):
            if b.first < a.stop:
                raise CustomValueError(
                    f"The range from {b.first} on begins before the one to {a.stop} ends; put them in order.", Grade
                )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Grade:
        r"""Read a .toml of [[range]] tables, whose keys are those of `Timing`; colour tables are looked for beside it.

        Raises:
            FileWasNotFoundError: The file, or a colour table of it, is not there.
            CustomValueError: It is no such file, or a value is out of range.

        Example:
            >>> _ = (tmp_path / "timing.toml").write_text("[[range]]\nfirst = 0\nstop = 99\ngain = [1.1, 1, 1]")
            >>> Grade.load(tmp_path / "timing.toml").ranges[0].gain
            (1.1, 1.0, 1.0)
        """
        file = existing(path, cls.load)
        table = load_toml(file, cls.load)
        rows = table.pop("range", None)
        if table or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise CustomValueError(
                f"{str(path)!r} holds no colour timing; write [[range]] tables: first, stop, lift, gamma, gain, lut.",
                cls.load,
            )
        ranges = []
        for row in rows:
            if missing := sorted({"first", "stop"} - set(row)):
                raise CustomValueError(f"A [[range]] of {str(path)!r} has no {missing[0]!r}.", cls.load)
            if "lut" in row:
                row["lut"] = str(existing(file.parent / str(row["lut"]), cls.load))
            ranges.append(to_options(Timing, row, cls.load))
        return cls(ranges=tuple(ranges))


_NAMES = [f"DS9VS_{what}{letter}" for what in ("Lift", "Gamma", "Gain") for letter in "RGB"]


def grade_rgb(
    rgb: vs.VideoNode, untouched: vs.VideoNode, grade: Grade, back: Callable[[vs.VideoNode], vs.VideoNode], func: Func
) -> vs.VideoNode:
    """Colour timing: frames of no range are `untouched`'s own bits, others `back` of the timed R'G'B'.

    Args:
        rgb: The pictures as R'G'B', float.
        untouched: The pictures as they are to be where nothing is timed.
        grade: The timing.
        back: From R'G'B' to the format of `untouched`.
        func: Named in errors.

    Raises:
        CustomValueError: A colour table that is none.
        CustomRuntimeError: A plugin is missing.
    """
    expr, select = require("akarin.Expr", func), require("akarin.Select", func)
    tables = sorted({t.lut for t in grade.ranges if t.lut})
    firsts = [t.first for t in grade.ranges]

    def told(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        at = bisect.bisect_right(firsts, n) - 1
        timing = grade.ranges[at] if at >= 0 and n < grade.ranges[at].stop else Timing(first=n, stop=n + 1)
        out = f.copy()
        out.props.update(zip(_NAMES, timing.numbers, strict=True))
        out.props["DS9VS_Timed"] = 2 + tables.index(timing.lut) if timing.lut else 0 if timing.plain else 1
        return out

    small = rgb.std.BlankClip(format=vs.GRAY8, width=1, height=1, keep=True)
    marks = small.std.ModifyFrame(small, told)
    words = [
        f"x x.DS9VS_Lift{c} 1 x - * + x.DS9VS_Gain{c} * v! x.DS9VS_Gamma{c} 1 = v@ v@ 0 max 1 x.DS9VS_Gamma{c} / pow ?"
        for c in "RGB"
    ]
    timed = expr(rgb.std.CopyFrameProps(marks, props=_NAMES), words).std.RemoveFrameProps(_NAMES)
    ways = [untouched, back(timed), *(back(apply_cube(timed, table, func)) for table in tables)]
    return select(ways, [marks], "x.DS9VS_Timed")


def apply_cube(rgb: vs.VideoNode, lut: str | os.PathLike[str], func: Func) -> vs.VideoNode:
    """A .cube colour table on R'G'B' of float.

    Raises:
        FileWasNotFoundError: The file is not there.
        CustomValueError: It is no colour table.
    """
    cube = require("timecube.Cube", func)
    path: Path = existing(lut, func)
    try:
        return cube(rgb, str(path))
    except vs.Error as error:
        raise CustomValueError(f"{str(path)!r} is not a .cube colour table ({error}).", func) from error
