"""The tools that the cadence benchmark compares with, run as their authors advise, and an oracle that knows the truth.

May import `ds9vs`, and `score` for the data between them. Each returns an `Answer`: which fields every picture that it
shows is made of, and when. VFM, TFM and TDecimate say it in frame props. zit and ffmpeg do not: no two fields of a tape
are equal bit for bit, so the lines of a picture tell the fields they came from.

All but TDecimate hybrid show 24000/1001 pictures a second of an NTSC tape; of a PAL tape all match fields and drop
nothing. A frame that a tool calls combed is one that a deinterlacer makes, whichever it has.
"""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from score import Answer, Output
from vapoursynth import core

from ds9vs.cadence import Cadence, analyse
from ds9vs.errors import CustomRuntimeError
from ds9vs.files import run, tool
from ds9vs.simulate import TapeSpec

__all__ = ["PEERS", "decoding", "open_tape", "ours"]

type Frames = Iterator[tuple[bytes, bytes]]


def open_tape(coded: Path, spec: TapeSpec) -> vs.VideoNode:
    """The coded tape as a clip that says its field order and rate, which a reader guesses wrongly of a short file."""
    clip = core.bs.VideoSource(str(coded), showprogress=False).std.SetFieldBased(2 if spec.tff else 1)
    return clip.std.AssumeFPS(fpsnum=spec.fps.numerator, fpsden=spec.fps.denominator)


class _Clock:
    """Wall and processor time of a stretch, with that of child processes."""

    def __enter__(self) -> _Clock:
        core.clear_cache()
        self.start, self.before = time.perf_counter(), os.times()
        return self

    def __exit__(self, *_: object) -> None:
        after = os.times()
        self.seconds = time.perf_counter() - self.start
        self.cpu = sum(after[:4]) - sum(self.before[:4])


def decoding(tape: vs.VideoNode) -> tuple[float, float]:
    """Wall and processor time of decoding alone, which all share."""
    with _Clock() as clock:
        for frame in tape.frames(close=True):
            frame.close()
    return clock.seconds, clock.cpu


def ours(tape: vs.VideoNode) -> tuple[Cadence, float, float]:
    """`analyse`, from nothing, with its wall and processor time in seconds."""
    with tempfile.TemporaryDirectory() as cache, _Clock() as clock:
        cadence = analyse(tape, cache=cache, progress=False)
    return cadence, clock.seconds, clock.cpu


def _even(output: Output, tape: vs.VideoNode, clock: _Clock) -> Answer:
    """Pictures at a constant rate: film's of an NTSC tape, the tape's own of a PAL one."""
    starts = np.arange(len(output) + 1, dtype=np.float64) * (2.5 if _ntsc(tape) else 2.0)
    return Answer(output=output, starts=starts, seconds=clock.seconds, cpu=clock.cpu)


def _ntsc(tape: vs.VideoNode) -> bool:
    return bool(Fraction(tape.fps) > 26)


def _marked(tape: vs.VideoNode) -> vs.VideoNode:
    return tape.akarin.PropExpr(lambda: {"Tape": "N"})


def _matches(clip: vs.VideoNode, prop: str, starts: list[float] | None = None) -> Output:
    """Fields of each frame from the match that VFM and TFM report; the field kept is the frame's first."""
    found: Output = []
    at = Fraction(0)
    for frame in clip.frames(close=True):
        n, match = int(frame.props["Tape"]), "pcnbulh"[int(frame.props[prop])]
        first, second = 2 * n, 2 * n + 1
        pairs = {"p": (first, second - 2), "n": (first, second + 2), "b": (second, first - 2), "u": (second, first + 2)}
        combed = bool(frame.props.get("_Combed", 0))
        found.append(((first,) if combed else pairs.get(match, (first, second)), combed))
        if starts is not None:
            starts.append(float(at))
            at += Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"])
    if starts is not None:
        starts.append(float(at))
    return found


def vivtc(tape: vs.VideoNode, coded: Path, tff: bool) -> Answer:
    """VFM and VDecimate with their defaults."""
    with _Clock() as clock:
        clip = _marked(tape).vivtc.VFM(order=int(tff))
        found = _matches(clip.vivtc.VDecimate() if _ntsc(tape) else clip, "VFMMatch")
    return _even(found, tape, clock)


def tivtc(tape: vs.VideoNode, coded: Path, tff: bool) -> Answer:
    """TFM and TDecimate with their defaults."""
    with _Clock() as clock:
        clip = _marked(tape).tivtc.TFM(order=int(tff))
        found = _matches(clip.tivtc.TDecimate() if _ntsc(tape) else clip, "TFMMatch")
    return _even(found, tape, clock)


def hybrid(tape: vs.VideoNode, coded: Path, tff: bool) -> Answer | None:
    """TFM and TDecimate in two passes, film at 23.976 and video at 29.97 (mode 5, hybrid 2)."""
    if not _ntsc(tape):
        return None
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as name, _Clock() as clock:
        matches, metrics = f"{name}/matches.txt", f"{name}/metrics.txt"
        first = tape.tivtc.TFM(order=int(tff), output=matches).tivtc.TDecimate(mode=4, output=metrics)
        for frame in first.frames(close=True):
            frame.close()
        del first, frame  # the files are written when the filters go
        gc.collect()
        clip = _marked(tape).tivtc.TFM(order=int(tff), input=matches)
        clip = clip.tivtc.TDecimate(mode=5, hybrid=2, input=metrics, tfmIn=matches, mkvOut=f"{name}/times.txt")
        found = _matches(clip, "TFMMatch", starts)
        del clip
        gc.collect()
    fields = np.array(starts) * float(2 * tape.fps)
    return Answer(output=found, starts=fields, seconds=clock.seconds, cpu=clock.cpu)


def _hashes(planes: Iterator[NDArray[np.uint8]]) -> Frames:
    """Hashes of the even and the odd lines of each picture."""
    for plane in planes:
        even, odd = (np.ascontiguousarray(plane[k::2]) for k in (0, 1))
        yield hashlib.blake2b(even, digest_size=12).digest(), hashlib.blake2b(odd, digest_size=12).digest()


def _known(frames: Frames, tff: bool) -> dict[tuple[int, bytes], list[int]]:
    """Numbers of the fields that have such lines, by parity."""
    found: dict[tuple[int, bytes], list[int]] = {}
    for n, pair in enumerate(frames):
        for odd, lines in enumerate(pair):
            found.setdefault((odd, lines), []).append(2 * n + (odd if tff else 1 - odd))
    return found


def _traced(frames: Frames, known: dict[tuple[int, bytes], list[int]], name: str) -> Output:
    """The fields of each picture by their lines; one whose lines are of one field only, or none, is interpolated."""
    found: Output = []
    at = 0
    for pair in frames:
        fields = [
            min(numbers, key=lambda f: abs(f - at))
            for odd, lines in enumerate(pair)
            if (numbers := known.get((odd, lines)))
        ]
        at = min(fields) if fields else at + 2
        found.append((tuple(sorted(fields)) or (at,), len(fields) < 2))
    if not any(len(fields) > 1 for fields, _ in found):
        raise CustomRuntimeError(f"No picture of {name} is woven from the tape's fields.", "benchmark")
    return found


def zit(tape: vs.VideoNode, coded: Path, tff: bool) -> Answer:
    """IT (the zit plugin, a port of IT_YV12) with its defaults."""

    def luma(clip: vs.VideoNode) -> Iterator[NDArray[np.uint8]]:
        return (np.asarray(frame[0]) for frame in clip.frames(close=True))

    def script() -> vs.VideoNode:
        return tape.zit.IT(fps=24 if _ntsc(tape) else 30, ref="TOP" if tff else "BOTTOM")

    with _Clock() as clock:
        for _ in script().frames(close=True):
            pass
    found = _traced(_hashes(luma(script())), _known(_hashes(luma(tape)), tff), "zit")
    return _even(found, tape, clock)


def ffmpeg(tape: vs.VideoNode, coded: Path, tff: bool) -> Answer:
    """ffmpeg's fieldmatch, yadif on what is left combed, and decimate, as its manual has them."""
    filters = f"fieldmatch=order={'tff' if tff else 'bff'}:combmatch=full,yadif=deint=interlaced"
    filters += ",decimate" if _ntsc(tape) else ""
    program = [tool("ffmpeg", "benchmark"), "-v", "error", "-nostdin", "-i", str(coded)]

    def luma(*options: str) -> Iterator[NDArray[np.uint8]]:
        command = [*program, *options, "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]
        size = tape.width * tape.height
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            while len(data := child.stdout.read(size)) == size:
                yield np.frombuffer(data, np.uint8).reshape(tape.height, tape.width)

    with _Clock() as clock:
        run([*program, "-vf", filters, "-fps_mode", "passthrough", "-f", "null", "-"], "benchmark")
    every = _known(_hashes(luma("-fps_mode", "passthrough")), tff)
    found = _traced(_hashes(luma("-vf", filters, "-fps_mode", "passthrough")), every, "ffmpeg")
    return _even(found, tape, clock)


PEERS: dict[str, Callable[[vs.VideoNode, Path, bool], Any]] = {
    "VFM+VDecimate": vivtc,
    "TFM+TDecimate": tivtc,
    "TDecimate hybrid": hybrid,
    "zit": zit,
    "ffmpeg": ffmpeg,
}
