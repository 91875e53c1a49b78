"""The verdict on a finished file: each promise checked by reading the file back, with the figure that decided.

Imports ground rooms and `encode`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..encode import read_video
from ..timing import check

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


def verdict(path: str | os.PathLike[str], expected: Expected) -> Sequence[Check]:
    """Read a finished file back with ffprobe and check it, promise by promise.

    The video lasts as long as the tape within one picture; its clock, and where there is audio its start and end
    against it, keep the limits of `timing.check`.

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
    has_audio = file.audio_start is not None and file.audio_end is not None
    begins = file.start if file.audio_start is None else file.audio_start
    ends = file.end if file.audio_end is None else file.audio_end
    found = check(
        [*file.times, file.end],
        tape=length,
        audio=(begins, ends - begins),
        disc_audio=(Fraction(0), length),
        rate=expected.fps or None,
        refuse=False,
        func=verdict,
    )
    names = ("start against the audio", "drift over the whole length", "end against the audio")
    told = (has_audio, bool(expected.fps), has_audio)
    times = zip(names, (found.start, found.drift, found.end), found.most, strict=True)
    return [*checks, *(_within(*row) for row, tell in zip(times, told, strict=True) if tell)]


def _equal(name: str, found: str, wanted: str) -> Check:
    return Check(name, found == wanted, found if found == wanted else f"{found or 'nothing'}, wanted {wanted}")


def _within(name: str, found: Fraction, limit: Fraction) -> Check:
    return Check(name, abs(found) <= limit, f"{float(found * 1000):+.2f} ms (allowed {float(limit * 1000):.2f})")
