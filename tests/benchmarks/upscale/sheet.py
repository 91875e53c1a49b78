"""A sheet of crops to look at: a row a clip, a column a method, twice as large, by nearest samples.

May import `ds9vs`, and `clips` for data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import vapoursynth as vs
from clips import Made
from vapoursynth import core

from ds9vs import files

__all__ = ["draw"]

ZOOM = 2
PICTURE = 2
"""Which picture of a clip is shown."""


def _cell(made: Made, clip: vs.VideoNode | None, label: str) -> vs.VideoNode:
    left, top, side = made.clip.crop or (0, 0, 128)
    if clip is None:
        cell = core.std.BlankClip(format=vs.RGB24, width=side * ZOOM, height=side * ZOOM, length=1)
    else:
        left, top = min(left, clip.width - side), min(top, clip.height - side)
        part = clip[min(PICTURE, clip.num_frames - 1)].std.CropAbs(side, side, left, top)
        cell = part.resize.Bicubic(format=vs.RGB24, matrix_in=6).resize.Point(side * ZOOM, side * ZOOM)
    return cell.text.Text(label, 7).std.RemoveFrameProps().std.AddBorders(right=2, bottom=2)


def draw(found: Sequence[tuple[Made, Mapping[str, vs.VideoNode]]], path: Path) -> None:
    """Write the sheet as a PNG."""
    names = list(dict.fromkeys(name for _, clips in found for name in clips))
    rows = [core.std.StackHorizontal([_cell(made, clips.get(name), name) for name in names]) for made, clips in found]
    whole = core.std.StackVertical(rows)
    with files.atomic(path.with_suffix(".y4m"), "benchmark") as temporary:
        with temporary.open("wb") as raw:
            whole.resize.Point(format=vs.YUV444P8, matrix=1).output(raw, y4m=True)
        options = ["-vf", "scale=in_color_matrix=bt709:in_range=tv", "-pix_fmt", "rgb24", "-frames:v", "1"]
        files.run(
            ["ffmpeg", "-v", "error", "-y", "-nostdin", "-f", "yuv4mpegpipe", "-i", temporary, *options, path],
            "benchmark",
        )
    path.with_suffix(".y4m").unlink()
