"""What grain costs in an encode, told before it. May import the ground rooms and its neighbours; runs x265.

Short stretches are coded in windows cut out of the picture, without and with grain; what each kind of frame takes is
put together as a whole encode has them.
"""

from __future__ import annotations

import csv
import math
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vapoursynth as vs

from ..errors import CustomRuntimeError, CustomValueError
from ..files import progress, tool
from ..presets import preset_arguments
from .model import GrainModel
from .synthesise import add_grain

__all__ = ["Cost", "grain_cost"]

LENGTH = 18
"""Frames of a stretch."""
HEAD = 6
"""Of these, how many are not counted: the encoder's look-ahead begins."""
KEYS = 120
"""Frames from one intra frame to the next in a whole encode, cuts included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Bits a second."""

    without: float
    """Of the clip as it is."""
    grained: float
    """Of the clip with grain."""

    @property
    def grain(self) -> float:
        """What the grain adds."""
        return self.grained - self.without


def grain_cost(
    clip: vs.VideoNode,
    model: GrainModel,
    *,
    strength: float = 1.0,
    preset: str = "archive",
    settings: Mapping[str, str | int | float | bool] | None = None,
    samples: int = 12,
    window: tuple[int, int] | None = None,
    show: bool = False,
) -> Cost:
    """Tell what x265 will need for a clip without grain and with it, by coding samples of both.

    Args:
        clip: The finished clip without grain, YUV 4:2:0 of 8 or 10 bits, of constant rate.
        model: The grain.
        strength: As `add_grain` has it.
        preset: A name of `presets/x265/`, or the path of a .toml file.
        settings: x265 options that replace the preset's: {"crf": 18}.
        samples: How many stretches of 18 frames are coded, spread evenly.
        window: Width and height of the part of the picture that is coded; half of each (a quarter of the work), at
            least 320x240, if left out.
        show: Whether to draw a progress bar.

    Raises:
        CustomValueError: The clip's format or rate does not fit.
        CustomRuntimeError: x265 is missing or fails.

    Example:
        >>> grey = core.std.BlankClip(format=vs.YUV420P8, width=320, height=240, length=24, color=[90, 128, 128])
        >>> told = grain_cost(grey, GrainModel(size=(320, 240), sigma=(3.0,) * 16), samples=1, preset="fast")
        >>> told.grained > 10 * told.without
        True
    """
    form = clip.format
    if form is None or form.id not in (vs.YUV420P8, vs.YUV420P10) or not clip.fps:
        raise CustomValueError("The clip must be 4:2:0 of 8 or 10 bits and of constant rate.", grain_cost)
    if samples < 1:
        raise CustomValueError(f"{samples} samples cannot be coded; give 1 or more.", grain_cost)
    words = preset_arguments("x265", preset, settings, grain_cost)
    width, height = window or (max(320, clip.width // 2), max(240, clip.height // 2))
    width, height = min(width, clip.width) // 16 * 16 or clip.width, min(height, clip.height) // 16 * 16 or clip.height
    length = min(LENGTH, clip.num_frames)
    starts = np.unique(np.linspace(0, clip.num_frames - length, samples).round().astype(int)).tolist()
    totals: list[float] = []
    with progress("cost of grain", 2 * len(starts), show=show) as done, tempfile.TemporaryDirectory() as folder:
        for variant in (clip, add_grain(clip, model, strength=strength)):
            rates = []
            for k, first in enumerate(starts):
                part = variant[first : first + length].std.CropAbs(width, height, *_tile(k, clip, width, height))
                rates.append(_rate(part, words, Path(folder), min(KEYS, clip.num_frames)))
                done(len(totals) * len(starts) + k + 1)
            totals.append(float(np.mean(rates)) * clip.width * clip.height / (width * height))
    return Cost(without=totals[0], grained=totals[1])


def _tile(k: int, clip: vs.VideoNode, width: int, height: int) -> tuple[int, int]:
    """Where window `k` lies: by turns in each place of a grid, for a picture's middle has more in it than its edges."""
    across, down = max(1, round(clip.width / width)), max(1, round(clip.height / height))
    stride = next(n for n in range(across * down * 2 // 5 + 1, across * down + 2) if math.gcd(n, across * down) == 1)
    row, column = divmod(k * stride % (across * down), across)
    return (
        (clip.width - width) * column // max(1, across - 1) // 2 * 2,
        (clip.height - height) * row // max(1, down - 1) // 2 * 2,
    )


def _rate(part: vs.VideoNode, words: list[str], folder: Path, keys: int) -> float:
    """Bits a second of a stretch in a long encode: one intra frame in so many, the others as they came."""
    record, raw = folder / "x265.csv", folder / "part.y4m"
    record.unlink(missing_ok=True)
    with raw.open("wb") as file:
        part.output(file, y4m=True)
    bits = str(part.format.bits_per_sample)
    command = [tool("x265", grain_cost), "--y4m", "--input-depth", bits, "--output-depth", bits, *words]
    command += ["--csv", str(record), "--csv-log-level", "1", "--input", str(raw), "-o", str(folder / "part.hevc")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode or not record.is_file():
        raise CustomRuntimeError(f"x265 failed: {' / '.join(done.stderr.strip().splitlines()[-2:])}", grain_cost)
    intra, rest = [], []
    with record.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) > 4 and row[0].strip().isdigit():
                size = float(row[4])
                if "I-SLICE" in row[1]:
                    intra.append(size)
                elif int(row[2]) >= HEAD or part.num_frames <= HEAD:
                    rest.append(size)
    first = float(np.mean(intra)) if intra else 0.0
    mean = (first + (keys - 1) * float(np.mean(rest))) / keys if rest else first
    return mean * float(part.fps)
