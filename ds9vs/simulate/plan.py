"""Which fields of a tape each coded picture of a simulated disc holds: hard, soft and mixed telecine.

Imports ground rooms and cadence/model only; knows no pixels.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..cadence.model import Cadence
from ..errors import CustomValueError
from ..timing import NTSC

__all__ = ["CodedPicture", "Telecine", "plan_pictures"]

type Func = Callable[..., Any] | str

Telecine = Literal["hard", "soft", "mixed"]
"""How film lies on the disc. hard: every frame of the tape coded as it is; soft: film pictures coded once, with
repeat-field flags; mixed: stretches of both."""

SHORTEST_FILM = 4
"""Progressive pictures in a row that are worth a GOP of their own; fewer are coded as interlaced frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """One frame picture of the MPEG-2 stream."""

    first: int
    """The tape's field that it shows first; the one after is its second."""
    shown: int
    """Fields that it shows: 2, or 3 where the first is repeated by flag."""
    progressive: bool
    """Whether it is coded as one instant (progressive_frame)."""


def plan_pictures(
    frames: int,
    telecine: Telecine = "hard",
    cadence: str | Cadence | None = None,
    *,
    seed: int = 0,
    rate: Fraction = NTSC,
) -> list[CodedPicture]:
    """Decide which fields of a tape each coded picture holds.

    Film pictures of two or three fields become progressive pictures, a third field becomes a repeat by flag. What
    cannot be coded so (orphans, 60i, pictures that comb, swapped fields, runs shorter than four pictures) is coded as
    interlaced frames, their second field first where the phase asks for it. The fields shown are the tape's, each once.

    Args:
        frames: Frames of the tape, two fields each.
        telecine: See `Telecine`.
        cadence: Fields in each picture of the tape, a digit each, or a `Cadence`. Not used for "hard".
        seed: Of the lengths of the stretches of "mixed".
        rate: Frames a second of the tape, for the length of the stretches.

    Raises:
        CustomValueError: The cadence is missing, or does not fill the tape.

    Example:
        >>> [(p.first, p.shown) for p in plan_pictures(10, "soft", "23232323")]
        [(0, 2), (2, 3), (5, 2), (7, 3), (10, 2), (12, 3), (15, 2), (17, 3)]
    """
    fields = 2 * frames
    if telecine == "hard":
        return _pairs(0, fields)
    lengths, unfit = _lengths(cadence, plan_pictures)
    if sum(lengths) != fields:
        raise CustomValueError(
            f"The cadence has {sum(lengths)} fields, but the tape has {fields}; give the lengths of all its pictures.",
            plan_pictures,
        )
    ends = np.repeat(np.cumsum(lengths), lengths)
    film = np.repeat([n >= 2 and i not in unfit for i, n in enumerate(lengths)], lengths)
    soft = np.ones(fields, bool) if telecine == "soft" else _soft_stretches(fields, rate, seed)
    while True:
        plan = _greedy(ends, film, soft)
        runs = _runs(plan)
        short = [r for r in runs if r[0].progressive and len(r) < SHORTEST_FILM]
        if not short:
            return plan
        for r in short:
            film[r[0].first : r[-1].first + r[-1].shown] = False


def _runs(plan: Sequence[CodedPicture]) -> list[list[CodedPicture]]:
    """Maximal runs of pictures coded in one way."""
    return [list(group) for _, group in groupby(plan, key=lambda p: p.progressive)]


def _pairs(first: int, stop: int) -> list[CodedPicture]:
    return [CodedPicture(first=n, shown=2, progressive=False) for n in range(first, stop, 2)]


def _lengths(cadence: str | Cadence | None, func: Func) -> tuple[list[int], frozenset[int]]:
    """Fields of every picture, and the numbers of those whose fields cannot be coded as one instant."""
    if cadence is None:
        raise CustomValueError(
            'Soft and mixed telecine need to know the pictures; give cadence="2323..." or a Cadence.', func
        )
    if isinstance(cadence, Cadence):
        unfit: set[int] = set()
        for first, shot in zip(cadence.shot_firsts.tolist(), cadence.shots, strict=False):
            # Of a swapped shot the lengths count the fields as they were scanned, not as they lie on the tape.
            unfit.update(first + n for n in (range(len(shot.lengths)) if shot.swapped else shot.combed))
        return [int(n) for n in np.diff(cadence.firsts)], frozenset(unfit)
    if not cadence.isdecimal() or "0" in cadence:
        raise CustomValueError("A cadence is a string of the digits 1 to 9, the fields of each picture.", func)
    return [int(n) for n in cadence], frozenset()


def _soft_stretches(fields: int, rate: Fraction, seed: int) -> NDArray[np.bool_]:
    """Where a mixed disc is soft: stretches of random length by turns, at least two of each kind where it can be."""
    draw, soft = random.Random(seed), np.zeros(fields, bool)
    mean = min(max(fields / 5, float(rate)), 20 * float(rate))
    at, kind = 0, draw.random() < 0.5
    while at < fields:
        # Even lengths keep hard stretches on the tape's own frames where the film's phase allows it.
        stop = at + 2 * round(mean * draw.uniform(0.3, 0.7))
        soft[at:stop] = kind
        at, kind = stop, not kind
    return soft


def _greedy(ends: NDArray[np.int64], film: NDArray[np.bool_], soft: NDArray[np.bool_]) -> list[CodedPicture]:
    """Walk over the fields: as many of a picture's as one coded picture can show, else two as they come.

    `ends[t]` is the field after the last of field t's picture, `film[t]` whether that can be coded as film, `soft[t]`
    whether it shall be. After an odd count of repeats the phase is odd: film then goes on until it is even, so that
    hard stretches lie on the tape's own frames.
    """
    plan: list[CodedPicture] = []
    at, fields = 0, len(ends)
    while at < fields:
        left = int(ends[at]) - at
        wanted = soft[at] or (at % 2 and plan and plan[-1].progressive)
        if wanted and film[at] and left >= 2:
            plan.append(CodedPicture(first=at, shown=3 if left % 2 else 2, progressive=True))
        else:
            plan.append(CodedPicture(first=at, shown=2, progressive=False))
        at += plan[-1].shown
    if at > fields:
        # One field is left over: the last repeat is coded as a field of its own, and all after it in pairs.
        last = max(n for n, p in enumerate(plan) if p.shown == 3)
        plan[last:] = _pairs(plan[last].first, fields)
    return plan
