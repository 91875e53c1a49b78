"""Which pictures of a clip are measured: short runs over its film shots.

May import the ground, `cadence/model` and its neighbour `coding`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ..cadence.model import Cadence
from ..timing import NTSC, PAL
from .coding import Coding

__all__ = ["Run", "film_runs", "kept", "numbered", "shown_fields", "spliced"]

LONG = 24
"""Pictures in a run of which it is not known how they are coded: two GOPs of a film disc, a second; the most that are
looked through for an I picture."""
FEWEST = 6
"""With fewer I pictures than these, pictures of all kinds are measured: one by itself is no fair sample."""
BEFORE, AFTER = 3, 3
"""Pictures that a run has at least before and after the I picture that is measured: two are denoised with it, and B
pictures need one more."""


@dataclass(frozen=True, slots=True)
class Run:
    """Pictures one after the other, of one shot."""

    first: int
    length: int
    shot: int
    """Number of the shot in the cadence map; -1: there is none."""
    fields: tuple[int, ...]
    """The first field of each picture on the tape, and where the last one ends."""
    tape: int
    """Fields of the tape."""
    chosen: tuple[int, ...]
    """Which of its pictures are measured; two or more lie on each side of them."""


def film_runs(clip: vs.VideoNode, cadence: Cadence | None, pictures: int, coding: Coding | None = None) -> list[Run]:
    """Runs with about as many measured pictures as asked, spread evenly over the film.

    Where it is known how the pictures are coded, and that not all alike, I pictures alone are measured, one in a run
    that begins with the I picture before it: they are coded for themselves, and hold several times as much of their own
    grain as what is predicted from others (at 4.5 Mb/s 0.6 to 0.97 of its amplitude, B pictures 0.2 to 0.5).
    """
    stretches = [(0, clip.num_frames, -1)]
    # Of variable rate: a frame for each picture of the map.
    varies = cadence is not None and clip.num_frames == len(cadence) and not clip.fps
    if cadence is not None:
        stretches = _film(clip, cadence, varies)
    if not stretches:
        return []
    where = _fields(clip, cadence, varies)
    tape = 2 * cadence.tape.frames if cadence is not None else where(clip.num_frames, 0)[0]
    found: list[Run] = []
    if coding is not None and (coding.kinds > 1).any():
        disc = _Disc(coding, where, tape)
        for middle, first, stop, shot in _spread(stretches, pictures):
            if (run := disc.run(middle, first, stop, shot)) is not None:
                found.append(run)
        # Such runs may overlap, for each is coded by itself.
        found = list({run.first + run.chosen[0]: run for run in found}.values())
    if len(found) < FEWEST:
        found = []
        length = min(LONG, max(stop - first for first, stop, _ in stretches))
        if pictures < len(_inside(length)):
            length = min(length, 3 * max(pictures, 1) + 2)
        for middle, first, stop, shot in _spread(stretches, round(pictures / len(_inside(length)))):
            size = min(length, stop - first)
            begin = min(max(first, middle - size // 2), stop - size)
            if not found or begin >= found[-1].first + found[-1].length:
                found.append(Run(begin, size, shot, where(begin, size), tape, _inside(size)))
    return found


def _spread(stretches: list[tuple[int, int, int]], count: int) -> Iterator[tuple[int, int, int, int]]:
    """So many places, evenly over stretches: the picture, and the stretch that it lies in."""
    starts = np.cumsum([0, *(stop - first for first, stop, _ in stretches)])
    count = max(1, count)
    for k in range(count):
        at = int((k + 0.5) * starts[-1] / count)
        s = int(np.searchsorted(starts, at, "right")) - 1
        yield stretches[s][0] + at - int(starts[s]), *stretches[s]


def _inside(length: int) -> tuple[int, ...]:
    """Pictures of a run of unknown kinds.

    Coded as MPEG-2 from an I picture on, those of a whole run are two predicted and four bidirectional ones, about as a
    disc mixes them; the kinds lose grain differently.
    """
    if length == LONG:
        return 3, 5, 8, 15, 17, 20
    return tuple(range(2, length - 2, 3)) if length >= 5 else (length // 2,)


@dataclass(frozen=True, slots=True)
class _Disc:
    """Where a disc has I pictures."""

    coding: Coding
    where: Callable[[int, int], tuple[int, ...]]
    """Fields of so many pictures from one on."""
    tape: int

    def run(self, middle: int, first: int, stop: int, shot: int) -> Run | None:
        """Up to an I picture near `middle` and three pictures after it, within a stretch, from the I picture before."""
        openings = [n for n in range(max(first, middle - 2 * LONG), min(stop, middle + LONG)) if self.opens(n)]
        found = []
        for n in range(max(first + BEFORE, middle - LONG), min(stop - AFTER, middle + LONG + 1)):
            if fields := self.fields_in(n):
                begin = max((k for k in openings if n - LONG <= k <= n - BEFORE), default=-1)
                found.append((fields, begin >= 0, -abs(n - middle), n, begin))
        if not found:
            return None
        *_, n, begin = max(found)
        if begin < 0:
            begin = max(first, n - LONG // 2)
        length = n + AFTER + 1 - begin
        return Run(begin, length, shot, self.where(begin, length), self.tape, (n - begin,))

    def fields_in(self, n: int) -> int:
        """How many of the two fields of picture `n` the disc has in I pictures."""
        begin, end = self.where(n, 1)
        return sum(self._intra(begin, end, field // 2) for field in shown_fields(begin, end))

    def opens(self, n: int) -> bool:
        """Whether the disc has the first frame of picture `n`, or the first of its fields alone, in an I picture."""
        begin, end = self.where(n, 1)
        frames = {begin // 2, begin // 2 + (begin % 2 and end - begin > 2)}
        return any(self._intra(begin, end, frame) for frame in frames)

    def _intra(self, begin: int, end: int, frame: int) -> bool:
        """Whether a frame, of a picture of these fields, is in an I picture; not coded in fields, whether that is."""
        middle = frame + 0.5 if self.coding.interlaced_in((begin / self.tape, end / self.tape)) else (begin + end) / 4
        return self.coding.kind_at(2 * middle / self.tape) == 1


def shown_fields(first: int, stop: int) -> tuple[int, int]:
    """Of the fields of a picture one of the top and one of the bottom lines, in one frame where there are."""
    top = first + first % 2
    return top, top + 1 if top + 1 < stop else top - 1


def _fields(clip: vs.VideoNode, cadence: Cadence | None, varies: bool) -> Callable[[int, int], tuple[int, ...]]:
    """Which fields of the tape so many pictures from one on have: the first of each, and where the last one ends.

    Without a map: 2, 3, 2, 3 where the clip has film's rate, else as many each.
    """
    if cadence is None:
        rate = 2 * (PAL if clip.fps in (PAL, 2 * PAL) else NTSC)
        step = rate / clip.fps if clip.fps else Fraction(2)
        return lambda first, length: tuple(int(n * step) for n in range(first, first + length + 1))

    def found(first: int, length: int) -> tuple[int, ...]:
        if not varies:
            # The picture that is on in the middle of these is known; pictures follow each other.
            middle = first + length // 2
            at = cadence.picture_at(int((middle + Fraction(1, 2)) * 2 * cadence.tape.frames / clip.num_frames))
            first = min(max(at - length // 2, 0), len(cadence) - length)
        return tuple(cadence.firsts[first : first + length + 1].tolist())

    return found


def _film(clip: vs.VideoNode, cadence: Cadence, varies: bool) -> list[tuple[int, int, int]]:
    """Frames of a clip that show each film shot of three pictures or more: first, stop, number of the shot."""
    fields = 2 * cadence.tape.frames
    step = Fraction(fields, clip.num_frames)
    found = []
    for n, shot in enumerate(cadence.shots):
        if shot.kind != "film" or "blended" in shot.notes or "credits" in shot.notes:
            continue
        first, stop = -int(-shot.first // step), int(shot.stop // step)
        if varies:
            first, stop = int(cadence.shot_firsts[n]), int(cadence.shot_firsts[n + 1])
        # The pictures beside a cut may be mixed with what lies beyond it.
        first, stop = first + 1, min(stop, clip.num_frames) - 1
        if stop - first >= 3:
            found.append((first, stop, n))
    return found


def numbered(runs: Sequence[Run]) -> list[tuple[int, Run, bool]]:
    """The measured pictures when runs lie one after the other: number, run, whether it is the run's first."""
    starts = np.cumsum([0, *(run.length for run in runs[:-1])]).tolist()
    return [(first + n, run, n == run.chosen[0]) for run, first in zip(runs, starts, strict=True) for n in run.chosen]


def spliced(clip: vs.VideoNode, runs: list[Run]) -> vs.VideoNode:
    """The runs one after the other, scene changes marked where one ends."""
    return core.std.Splice([clip[run.first : run.first + run.length] for run in runs])


def kept(clip: vs.VideoNode, path: Path) -> vs.VideoNode:
    """A clip of constant format, its pictures written to a raw file once and read from there."""
    sizes = [
        (clip.height >> (p and clip.format.subsampling_h), clip.width >> (p and clip.format.subsampling_w))
        for p in range(clip.format.num_planes)
    ]
    kind = np.uint8 if clip.format.bytes_per_sample == 1 else np.uint16
    samples = sum(height * width for height, width in sizes)
    with path.open("wb") as file:
        for frame in clip.frames(close=True):
            for p in range(clip.format.num_planes):
                np.ascontiguousarray(np.asarray(frame[p])).tofile(file)
    data = np.memmap(path, kind, "r", shape=(clip.num_frames, samples))
    blank = clip.std.BlankClip(keep=True)

    def read(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        made, at = f.copy(), 0
        for p, (height, width) in enumerate(sizes):
            np.copyto(np.asarray(made[p]), data[n, at : at + height * width].reshape(height, width))
            at += height * width
        return made

    return blank.std.ModifyFrame(blank, read)
