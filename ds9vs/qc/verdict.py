"""The verdict on a finished file: each promise checked by reading the file back, with the figure that decided.

Imports ground rooms and `encode`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..encode import VideoFile, read_video

__all__ = ["Check", "Expected", "verdict"]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and how it was kept."""

    name: str
    good: bool
    said: str
    """What was found, and what was wanted where it differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a finished file must be."""

    frames: int
    width: int
    height: int
    dar: Fraction
    """Display aspect ratio: 4/3, 16/9."""
    duration: Fraction
    """How long the tape lasts, in seconds."""
    fps: Fraction | None = None
    """Constant rate; None when it varies."""
    bits: int = 10
    primaries: str = "bt709"
    transfer: str = "bt709"
    matrix: str = "bt709"


MILLISECOND = Fraction(1, 1000)
AC3_FRAME = Fraction(1536, 48000)
"""Seconds of one AC-3 frame at 48 kHz (ATSC A/52)."""


def verdict(path: str | os.PathLike[str], expected: Expected) -> Sequence[Check]:
    """Read a finished file back with ffprobe and check it, promise by promise.

    The video starts within 1 ms of the audio (where there is one), lasts as long as the tape within one picture, and
    ends within one picture and one AC-3 frame of the audio.

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomRuntimeError: ffprobe is missing, or the file holds no video.
    """
    file = read_video(path)
    length = file.end - file.start
    picture = 1 / expected.fps if expected.fps else Fraction(1001, 30000)
    checks = [
        _equal("codec", file.codec, "hevc"),
        _equal("profile", file.profile, "Main 10" if expected.bits == 10 else "Main"),
        _equal("size", f"{file.width}x{file.height}", f"{expected.width}x{expected.height}"),
        _equal("display aspect", str(file.dar), str(expected.dar)),
        _equal("bit depth", file.pixel_format, "yuv420p10le" if expected.bits == 10 else "yuv420p"),
        _equal(
            "colour",
            "/".join((file.primaries, file.transfer, file.matrix)),
            "/".join((expected.primaries, expected.transfer, expected.matrix)),
        ),
        _equal("range", file.range, "tv"),
        _equal("pictures", str(file.frames), str(expected.frames)),
        _within("length against the tape", length - expected.duration, picture),
    ]
    if expected.fps:
        checks.append(_rate(file, expected.fps))
    if file.audio_start is not None and file.audio_end is not None:
        checks.append(_within("start against the audio", file.start - file.audio_start, MILLISECOND))
        checks.append(_within("end against the audio", file.end - file.audio_end, picture + AC3_FRAME))
    return checks


def _rate(file: VideoFile, fps: Fraction) -> Check:
    """Compare the length that the packets have with the one that their count makes: containers round each time."""
    return _within("drift over the whole length", (file.end - file.start) - file.frames / fps, MILLISECOND)


def _equal(name: str, found: str, wanted: str) -> Check:
    return Check(name, found == wanted, found if found == wanted else f"{found or 'nothing'}, wanted {wanted}")


def _within(name: str, found: Fraction, limit: Fraction) -> Check:
    return Check(name, abs(found) <= limit, f"{float(found * 1000):+.2f} ms (allowed {float(limit * 1000):.2f})")
