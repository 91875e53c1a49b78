"""A picture of bars: one thumbnail for each shot, with the edges that were found drawn in. May import the ground rooms
and its neighbours.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from ..drawing import letters, png
from ..errors import CustomValueError
from ..files import atomic
from .bars import Bars

__all__ = ["draw"]

WIDTH, HEIGHT, ACROSS = 160, 120, 8
FOOT = 18
"""Lines under a thumbnail, for its number."""


def draw(bars: Bars, clip: vs.VideoNode, out: str | os.PathLike[str]) -> Path:
    """Draw the middle picture of every shot with its bars marked, eight in a row: what to look through once.

    Under each stands the frame that it begins with, and the lines above and below (or columns left and right).

    Args:
        bars: What `measure_bars` found.
        clip: What it was found in: the tape, or the clip.
        out: The PNG.

    Raises:
        CustomValueError: The clip is another than the bars were measured in.
        CustomRuntimeError: The folder cannot be written.

    Example:
        >>> from ds9vs.finish.bars import ShotBars
        >>> clip = core.std.BlankClip(format=vs.YUV420P8, width=720, height=480, length=9)
        >>> bars = Bars(width=720, height=480, shots=(ShotBars(first=0, top=60, bottom=60),))
        >>> draw(bars, clip, tmp_path / "bars.png").name
        'bars.png'
    """
    unit = 1 if bars.tape is None else 2
    if (clip.width, clip.height) != (bars.width, bars.height) or (
        bars.shots[-1].first >= unit * clip.num_frames or (bars.tape and bars.tape.frames != clip.num_frames)
    ):
        raise CustomValueError(
            f"The bars are of another clip: this one has {clip.num_frames} frames of {clip.width}x{clip.height}.", draw
        )
    still = clip.std.SetFieldBased(0)
    if unit == 2:  # one field of each frame, so that nothing combs
        still = clip.std.SeparateFields(tff=True)[::2].std.SetFieldBased(0)
    grey = still.std.ShufflePlanes(0, vs.GRAY).resize.Bilinear(WIDTH, HEIGHT, format=vs.GRAY8)
    grey = grey.std.Levels(min_in=16, max_in=235, gamma=1.8)  # the frame of a dark shot shows too
    firsts = [shot.first // unit for shot in bars.shots]
    tiles = []
    for shot, first, stop in zip(bars.shots, firsts, [*firsts[1:], clip.num_frames], strict=True):
        with grey.get_frame(min((first + stop) // 2, clip.num_frames - 1)) as frame:
            tile = np.repeat(np.asarray(frame[0])[:, :, None], 3, 2)
        _mark(tile, shot.sides, bars)
        word = f"{first}"
        for name, pair in (("", (shot.top, shot.bottom)), ("|", (shot.left, shot.right))):
            word += f"  {name}{pair[0]}+{pair[1]}" if any(pair) else ""
        foot = np.zeros((FOOT, WIDTH, 3), np.uint8)
        text = letters(word)[:, : WIDTH - 4]
        foot[1:17, 2 : 2 + text.shape[1]] = (text * 255).astype(np.uint8)[:, :, None]
        tiles.append(np.concatenate([tile, foot]))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % ACROSS)
    sheet = np.concatenate([np.concatenate(tiles[k : k + ACROSS], 1) for k in range(0, len(tiles), ACROSS)])
    target = Path(out)
    with atomic(target, draw) as temporary:
        temporary.write_bytes(png(sheet))
    return target


def _mark(tile: NDArray[np.uint8], sides: tuple[int, int, int, int], bars: Bars) -> None:
    """Red lines just outside of the picture, so that they lie on what will be black."""
    for side, length in enumerate(sides):
        if length:
            view = (tile.transpose(1, 0, 2), tile)[side % 2]
            at = max(0, round(length * len(view) / (bars.width, bars.height)[side % 2]) - 1)
            view[at if side < 2 else len(view) - 1 - at] = (255, 40, 40)
