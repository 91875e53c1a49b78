"""What a viewer of each method's pictures sees: the best picture on air near an instant, against the true one.

May import `ds9vs`, and `score` for data. Pictures of peers are woven here from the tape's fields as they matched them,
and made by bwdif where they called a frame combed; pictures of a map are `ivtc`'s, with bwdif as its rescue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from score import Answer
from vapoursynth import core

from ds9vs import ivtc
from ds9vs.cadence import Cadence
from ds9vs.simulate import Truth

__all__ = ["EVERY", "REACH", "bob", "instants", "luma_of", "psnr", "timeline", "weaver"]

type Luma = NDArray[np.uint8]
type Getter = Callable[[int], Luma]

EVERY = 7
"""One field in so many is looked at: prime to 10, so that every phase of pulldown comes up."""
REACH = 1.5
"""How far, in fields, from an instant a picture may be on air."""


def bob(tape: vs.VideoNode) -> vs.VideoNode:
    """A frame of every field, by bwdif; the field order is the tape's own."""
    return tape.bwdif.Bwdif(field=3)


def weaver(tape: vs.VideoNode, answer: Answer, tff: bool) -> Getter:
    """Luma of the pictures of a peer."""
    bobbed = bob(tape)

    def get(n: int) -> Luma:
        fields, made = answer.output[n]
        fields = tuple(min(max(f, 0), 2 * tape.num_frames - 1) for f in fields)
        if made or len(fields) < 2:
            with bobbed.get_frame(fields[0]) as frame:
                return np.array(frame[0])
        luma = np.empty((tape.height, tape.width), np.uint8)
        for f in fields:
            line = int((f % 2 == 0) != tff)
            with tape.get_frame(f // 2) as frame:
                luma[line::2] = np.asarray(frame[0])[line::2]
        return luma

    return get


def timeline(cadence: Cadence, timing: str) -> tuple[list[int], list[Fraction]]:
    """Which picture of a map each output picture of `ivtc` is, and when each starts and the last ends, in fields.

    Read from the props of a real run, over a tape of nothing but props.
    """
    fps = Fraction(*cadence.tape.fps)
    blank = core.std.BlankClip(
        width=64, height=64, format=vs.YUV420P8, length=cadence.tape.frames, keep=True,
        fpsnum=fps.numerator, fpsden=fps.denominator,
    ).std.SetFieldBased(1 + cadence.tape.tff)  # fmt: skip
    clip = ivtc(blank, cadence, timing=timing, rescue=bob)  # type: ignore[arg-type]
    pictures, starts = [], [Fraction(0)]
    for frame in clip.frames(close=True):
        pictures.append(int(frame.props["DS9VS_Picture"]))
        duration = (
            1 / Fraction(clip.fps) if clip.fps else Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"])
        )
        starts.append(starts[-1] + duration * 2 * fps)
    return pictures, starts


def luma_of(clip: vs.VideoNode) -> Getter:
    """Luma of a clip's frames."""

    def get(n: int) -> Luma:
        with clip.get_frame(n) as frame:
            return np.array(frame[0])

    return get


def instants(fields: int, every: int = EVERY) -> range:
    """The fields that are looked at."""
    return range(every // 2, fields, every)


def psnr(
    folder: Path, truth: Truth, methods: Mapping[str, tuple[Getter, NDArray[np.float64]]], *, every: int = EVERY
) -> dict[str, list[float]]:
    """Luma PSNR in dB, for one field in `every`, of the best picture on air within `REACH` fields of its middle.

    Args:
        folder: Holds `pictures.mkv`.
        truth: Of the tape.
        methods: For each method how to get its pictures, and when they come on (pictures + 1 times, in fields).
        every: See `EVERY`.
    """
    true = luma_of(core.bs.VideoSource(str(folder / "pictures.mkv"), showprogress=False))
    found: dict[str, list[float]] = {name: [] for name in methods}
    for field in instants(len(truth.shown), every):
        wanted = true(int(truth.shown[field])).astype(np.int16)
        middle = field + 0.5
        for name, (get, starts) in methods.items():
            first = int(np.searchsorted(starts, middle - REACH, "right")) - 1
            stop = int(np.searchsorted(starts, middle + REACH, "left"))
            errors = [
                float(np.square((get(n) - wanted).astype(np.float32)).mean())
                for n in range(max(first, 0), min(stop, len(starts) - 1))
            ]
            worst = 255.0**2
            found[name].append(round(float(10 * np.log10(255**2 / max(min(errors, default=worst), 1e-3))), 3))
    return found
