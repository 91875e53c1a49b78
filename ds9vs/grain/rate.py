"""How many bits a second a disc's video has: what `measure_grain` is calibrated at. May import the ground rooms."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..files import run

__all__ = ["video_rate"]

FILES = 6
"""Of a title's files so many are looked at, evenly spread,"""
SECONDS = 90
"""and this much of each, from its start."""


def video_rate(files: Sequence[str | os.PathLike[str]]) -> int | None:
    """Bits a second of the video in a title's files, from the starts of some of them; None if they cannot be read.

    Raises:
        CustomRuntimeError: ffprobe is missing, or cannot read a file that is there.

    Example:
        >>> video_rate(["nowhere.vob"]) is None
        True
    """
    found = [Path(file) for file in files if Path(file).is_file()]
    if len(found) != len(files) or not found or any(file.suffix.lower() == ".iso" for file in found):
        return None
    bits = seconds = 0.0
    for file in found[:: max(1, len(found) // FILES)]:
        asked = ["-select_streams", "v:0", "-show_entries", "packet=size,duration_time", "-of", "csv=p=0"]
        said = run(["ffprobe", "-v", "error", "-read_intervals", f"%+{SECONDS}", *asked, file], video_rate)
        for line in said.splitlines():
            numbers = [word for word in line.split(",") if word]
            try:
                length, size = float(numbers[0]), int(numbers[1])
            except (IndexError, ValueError):
                continue
            bits, seconds = bits + 8 * size, seconds + length
    return round(bits / seconds) if seconds else None
