"""Progressive files that a simulated tape takes its pictures from: what they are, where they cut, single pictures.

May import the ground rooms and its neighbours `spec`, `vfx`. Reads with ffprobe and ffmpeg.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomRuntimeError, FileWasNotFoundError
from ..files import existing, run
from .spec import Layer
from .vfx import Image

__all__ = ["Footage", "Source", "find_scenes", "sample_footage"]

type Func = Callable[..., Any] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A progressive file (video or still picture) that layers take their pictures from."""

    path: Path
    """Anything that ffmpeg reads."""
    width: int
    """Samples a line."""
    height: int
    """Lines."""
    sar: Fraction
    """Width of a sample over its height."""
    fps: Fraction
    """Pictures a second, as stored."""
    frames: int
    """How many pictures there are."""
    matrix: str
    """"bt709" or "bt601"; of a file that does not say: by its size."""

    @classmethod
    def read(cls, path: str | os.PathLike[str], func: Func = "Footage.read") -> Footage:
        """Look a file up with ffprobe.

        Raises:
            FileWasNotFoundError: There is no such file.
            CustomRuntimeError: It holds no video.

        Example:
            >>> Footage.read(sample_footage()).frames
            300
        """
        found = existing(path, func)
        table = json.loads(
            run(
                [
                    "ffprobe",
                    "-v",
                    "error",
                    "-select_streams",
                    "v:0",
                    "-count_packets",
                    "-show_streams",
                    "-of",
                    "json",
                    found,
                ],
                func,
            )
        )
        if not table.get("streams"):
            raise CustomRuntimeError(f"{str(path)!r} holds no video; give a progressive video file.", func)
        row = table["streams"][0]
        width, height = int(row["width"]), int(row["height"])
        sar = Fraction(row.get("sample_aspect_ratio", "1:1").replace(":", "/").replace("/0", "/1")) or Fraction(1)
        said = row.get("color_space", "unknown")
        matrix = "bt709" if said == "bt709" or (said == "unknown" and (width > 1024 or height > 576)) else "bt601"
        return cls(
            path=found,
            width=width,
            height=height,
            sar=sar,
            fps=Fraction(row["r_frame_rate"]),
            frames=int(row["nb_read_packets"]),
            matrix=matrix,
        )


def sample_footage() -> Path:
    """The footage that a checkout ships: nine cuts of Tears of Steel, 704x480, 24 pictures a second, CC BY 3.0.

    Raises:
        FileWasNotFoundError: This is an installation without it.

    Example:
        >>> sample_footage().name
        'sample.mkv'
    """
    path = Path(__file__).parents[2] / "examples" / "media" / "sample.mkv"
    if not path.is_file():
        raise FileWasNotFoundError(
            "The sample footage lies in a checkout, not in an installed package; give a progressive video file.",
            sample_footage,
        )
    return path


def find_scenes(path: str | os.PathLike[str], *, limit: int = 5000) -> list[tuple[int, int]]:
    """Stretches of a progressive file without a cut, of 8 pictures or more: first picture, picture after the last.

    A cut is a picture that differs from the one before (64x48, brightness taken out) by more than 7 codes on average
    and three times as much as its neighbours do.

    Args:
        path: What to look through.
        limit: How many pictures to look at.

    Returns:
        The stretches; of a file with none that long, all of it.

    Example:
        >>> len(find_scenes(sample_footage()))
        9
    """
    width, height = 64, 48
    footage = Footage.read(path, find_scenes)
    with TemporaryDirectory() as name:
        raw = Path(name) / "small.gray"
        command: list[str | os.PathLike[str]] = ["ffmpeg", "-v", "error", "-nostdin", "-i", footage.path]
        small_grey = f"scale={width}:{height}:flags=area+bitexact,format=gray"
        command += ["-map", "0:v:0", "-vf", small_grey, "-frames:v", str(limit)]
        run([*command, "-fps_mode", "passthrough", "-f", "rawvideo", raw], find_scenes)
        small = np.fromfile(raw, np.uint8).reshape(-1, width * height).astype(np.float32)
    small -= small.mean(1, keepdims=True)
    change = np.abs(np.diff(small, axis=0)).mean(1)
    padded = np.pad(change, 3, "edge")
    around = np.median([padded[k : k + len(change)] for k in (0, 1, 2, 4, 5, 6)], axis=0)
    cuts = [0, *(np.flatnonzero((change > 7) & (change > 3 * around)) + 1).tolist(), len(small)]
    return [(a, b) for a, b in pairwise(cuts) if b - a >= 8] or [(0, len(small))]


def _indices(layer: Layer, count: int, frames: int) -> NDArray[np.int64]:
    """Picture of the footage for each of the layer's own pictures: onward by `step`, back and forth in its range."""
    stop = frames if layer.stop is None else layer.stop
    span = stop - layer.start
    at = np.floor(np.arange(count) * layer.step + 1e-9).astype(np.int64)
    if span == 1:
        return np.full(count, layer.start)
    at %= 2 * span - 2
    return np.asarray(layer.start + np.minimum(at, 2 * span - 2 - at))


class Source:
    """The pictures that one layer of one shot needs, scaled, on disk while the shot is made."""

    def __init__(
        self, footage: Footage, layer: Layer, count: int, size: tuple[int, int], dar: float, folder: Path, func: Func
    ) -> None:
        self.width, self.height = size
        self.indices = _indices(layer, count, footage.frames)
        self.first = int(self.indices.min())
        wanted = int(self.indices.max()) + 1 - self.first
        shape = dar / float(footage.sar)
        crop_w = min(footage.width, round(footage.height * shape))
        crop_h = min(footage.height, round(footage.width / shape))
        left = round((footage.width - crop_w) * layer.centre)
        filters = (
            f"crop={crop_w}:{crop_h}:{left}:{(footage.height - crop_h) // 2}:exact=1,"
            f"scale={self.width}:{self.height}:flags=lanczos+accurate_rnd+full_chroma_int+bitexact"
            f":in_color_matrix={footage.matrix}:out_color_matrix=bt601:out_range=tv,format=yuv422p"
        )
        self.path = folder / f"{os.urandom(8).hex()}.yuv"
        seek = ["-ss", f"{float((self.first - Fraction(1, 2)) / footage.fps):.6f}"] if self.first else []
        command: list[str | os.PathLike[str]] = ["ffmpeg", "-v", "error", "-nostdin", "-y", *seek, "-i", footage.path]
        command += ["-map", "0:v:0", "-vf", filters, "-frames:v", str(wanted)]
        command += ["-fps_mode", "passthrough", "-f", "rawvideo"]
        run([*command, self.path], func)
        size_of = 2 * self.width * self.height
        if self.path.stat().st_size != wanted * size_of:
            raise CustomRuntimeError(
                f"{footage.path.name!r} gave {self.path.stat().st_size // size_of} of the pictures {self.first} to "
                f"{self.first + wanted}; ask for pictures that it holds.",
                func,
            )
        self.data: NDArray[np.uint8] = np.memmap(self.path, np.uint8, "r", shape=(wanted, size_of))

    def image(self, n: int) -> Image:
        """The layer's own picture `n`."""
        raw = self.data[self.indices[n] - self.first]
        luma = self.width * self.height
        chroma = (self.height, self.width // 2)
        return Image(
            raw[:luma].reshape(self.height, self.width).astype(np.float32),
            raw[luma : luma + luma // 2].reshape(chroma).astype(np.float32),
            raw[luma + luma // 2 :].reshape(chroma).astype(np.float32),
        )

    def close(self) -> None:
        """Give the disk space back."""
        self.data = np.empty((0, 0), np.uint8)
        self.path.unlink(missing_ok=True)
