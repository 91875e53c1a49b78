"""Which pictures of a clip are measured: short runs over its film shots.

May import the ground, `cadence/model` and its neighbour `coding`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ..cadence.model import Cadence
from ..timing import NTSC, PAL
from .coding import Coding

__all__ = ["LONG", "Run", "film_runs", "kept", "spliced"]

LONG = 24
"""Pictures in a run: two GOPs of a film disc, a second."""


@dataclass(frozen=True, slots=True)
class Run:
    """Pictures one after the other, of one shot."""

    first: int
    length: int
    shot: int = -1
    """Number of the shot in the cadence map; -1: there is none."""
    fields: tuple[int, ...] = ()
    """The first field of each picture on the tape, and where the last one ends."""
    tape: int = 1
    """Fields of the tape."""

    def measured(self, first: int) -> list[int]:
        """Which pictures are measured if the run begins at `first`: some with two neighbours on each side.

        Coded as MPEG-2 from an intra picture on, those of a whole run are two predicted and four bidirectional ones,
        about as a disc mixes them; the kinds lose grain differently, so that a run begins where the disc has an intra
        picture, if that is known.
        """
        if self.length == LONG:
            return [first + n for n in (3, 5, 8, 15, 17, 20)]
        inside = range(2, self.length - 2, 3) if self.length >= 5 else range(self.length // 2, self.length // 2 + 1)
        return [first + n for n in inside]


def film_runs(clip: vs.VideoNode, cadence: Cadence | None, pictures: int, coding: Coding | None = None) -> list[Run]:
    """Runs with about as many measured pictures as asked, spread evenly over the film."""
    stretches = [(0, clip.num_frames, -1)]
    # Of variable rate: a frame for each picture of the map.
    varies = cadence is not None and clip.num_frames == len(cadence) and not clip.fps
    if cadence is not None:
        stretches = _film(clip, cadence, varies)
    total = sum(stop - first for first, stop, _ in stretches)
    if not total:
        return []
    length = min(LONG, max(stop - first for first, stop, _ in stretches))
    each = len(Run(0, length).measured(0))
    count = max(1, min(round(pictures / each), total // length))
    if pictures < each:
        length = min(length, 3 * max(pictures, 1) + 2)
    starts = np.cumsum([0, *(stop - first for first, stop, _ in stretches)])
    found: dict[tuple[int, int], Run] = {}

    where = _fields(clip, cadence, varies)
    tape = 2 * cadence.tape.frames if cadence is not None else where(clip.num_frames, 0)[0]

    def intra(n: int) -> bool:
        """Whether the disc has the first frame of picture `n`, or the first of its fields alone, in an I picture."""
        if coding is None:
            return False
        begin, end = where(n, 1)
        if not coding.interlaced_in((begin / tape, end / tape)):
            return coding.kind_at((begin + end) / 2 / tape) == 1
        frames = (begin // 2, begin // 2 + (begin % 2 and end - begin > 2))
        return any(coding.kind_at((2 * frame + 1) / tape) == 1 for frame in frames)

    for k in range(count):
        at = int((k + 0.5) * total / count)
        s = int(np.searchsorted(starts, at, "right")) - 1
        first, stop, shot = stretches[s]
        size = min(length, stop - first)
        begin = min(max(first, first + at - int(starts[s]) - size // 2), stop - size)
        if coding is not None:
            near = range(max(first, begin - LONG), min(stop - size, begin + LONG) + 1)
            begin = min((n for n in near if intra(n)), key=lambda n: abs(n - begin), default=begin)
        run = Run(begin, size, shot, where(begin, size), tape)
        # Runs that would overlap are one.
        found.setdefault((shot, begin // LONG), run)
    chosen: list[Run] = []
    for run in sorted(found.values(), key=lambda r: r.first):
        if not chosen or run.first >= chosen[-1].first + chosen[-1].length:
            chosen.append(run)
    return chosen


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
