"""The pictures around each that a network of several pictures takes, moved onto it where the network was trained so.

May import the ground rooms only. Training data and `upscale()` come through the same functions here, so that a network
meets in use what it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vapoursynth as vs
from vapoursynth import core

from .. import plugins

__all__ = ["around", "moved"]

type Func = Callable[..., Any] | str

BLOCK = 16
"""Side of a block of the motion search, in samples; it is then halved."""
SMALLEST = 2 * BLOCK
"""Samples on a side, below which the search has no place to look."""
COARSE: dict[str, Any] = {"blksize": [BLOCK], "overlap": [BLOCK // 2]}
FINE: dict[str, Any] = {"blksize": [BLOCK // 2], "overlap": [BLOCK // 4]}


def around(
    fed: vs.VideoNode, clip: vs.VideoNode, frames: int, *, motion: bool = False, func: Func = "around"
) -> list[vs.VideoNode]:
    """The pictures around each, in the order of time; beyond the ends and across cuts the middle one again.

    A cut is a change of DS9VS_Shot, or _SceneChangePrev / _SceneChangeNext on the way; clips without them have none.

    Args:
        fed: What the network takes of each picture.
        clip: The clip whose properties tell the cuts, as long as `fed`.
        frames: How many pictures the network takes; odd.
        motion: Whether neighbours are moved onto the middle picture (`moved()`; then `fed` is GRAYS).
        func: The public function that asks, named in errors.

    Returns:
        `frames` clips, `fed` itself in the middle.

    Raises:
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> fed = core.std.BlankClip(format=vs.GRAYS, width=64, height=48, length=3)
        >>> len(around(fed, fed, 3, motion=True))
        3
    """
    select = plugins.require("akarin.Select", func) if frames > 1 else None
    search = _Search(fed, frames // 2, func) if motion and frames > 1 else None
    found = []
    for offset in range(-(frames // 2), frames // 2 + 1):
        if not offset or select is None:
            found.append(fed)
            continue
        step = 1 if offset > 0 else -1
        props = [_shifted(clip, step * k) for k in range(abs(offset) + 1)]
        names = "xyzabcdefghijklmnopqrstuvw"[: len(props)]
        mark = "_SceneChangeNext" if offset > 0 else "_SceneChangePrev"
        same = [f"x.DS9VS_Shot {names[-1]}.DS9VS_Shot = not", *(f"{name}.{mark}" for name in names[:-1])]
        text = " ".join(same) + " or" * (len(same) - 1)
        if motion:
            beyond = f"N {-offset} <" if offset < 0 else f"N {clip.num_frames - offset} >="
            text = f"{text} {beyond} or"
        other = _shifted(fed, offset) if search is None else _moved(search, offset)
        found.append(select([other, fed], props, text))
    return found


def moved(fed: vs.VideoNode, offset: int, *, func: Func = "moved") -> vs.VideoNode:
    """The picture `offset` places away, moved block by block onto each picture (overlapped blocks of 8, half samples).

    Blocks that have no match (uncovered, beyond the edge) come out wrong: a network is trained to see that. Where there
    is no such picture the result means nothing.

    Args:
        fed: GRAYS, 0 to 1.
        offset: Pictures: -1 is the one before.
        func: The public function that asks, named in errors.

    Raises:
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> fed = core.std.BlankClip(format=vs.GRAYS, width=64, height=48, length=3, color=0.5)
        >>> moved(fed, 1).format.name
        'GrayS'
    """
    return _moved(_Search(fed, abs(offset), func), offset)


class _Search:
    """What every direction of a search shares: the picture at its precisions, behind blank ones.

    mvu asks for its first frames as soon as a script is evaluated: the blank ones cost nothing.
    """

    def __init__(self, fed: vs.VideoNode, reach: int, func: Func) -> None:
        for function in ("mvu.Super", "mvu.Analyse", "mvu.Recalculate", "mvu.Compensate", "akarin.Expr"):
            plugins.require(function, func)
        whole = core.akarin.Expr([fed.std.RemoveFrameProps()], "x 65535 *", vs.GRAY16)
        if min(fed.width, fed.height) < SMALLEST:  # mirrored outwards
            wide, high = max(fed.width, SMALLEST), max(fed.height, SMALLEST)
            whole = whole.resize.Point(wide, high, src_width=wide, src_height=high)
        self.fed, self.blank = fed, reach
        self.whole = core.std.BlankClip(whole, length=reach, keep=True) + whole
        self.coarse = core.mvu.Super(self.whole, **COARSE, pel=2, pad=[16])
        self.fine = core.mvu.Super(self.whole, **FINE, pel=2, pad=[16], onelevel=1)


def _moved(search: _Search, offset: int) -> vs.VideoNode:
    found = core.mvu.Analyse(search.coarse, **COARSE, delta=offset, **plugins.SEARCH)
    vectors = core.mvu.Recalculate(search.fine, found, **FINE, thsad=0, **plugins.SEARCH)
    made = core.mvu.Compensate(search.whole, search.fine, vectors, **plugins.NO_SCENES)[search.blank :]
    made = core.akarin.Expr([made.std.RemoveFrameProps()], "x 65535 /", vs.GRAYS)
    return made.std.CropAbs(search.fed.width, search.fed.height).std.CopyFrameProps(search.fed)


def _shifted(clip: vs.VideoNode, offset: int) -> vs.VideoNode:
    """The clip `offset` pictures later, its last (or first) picture repeated."""
    many = min(abs(offset), clip.num_frames - 1)
    if not many:
        return clip
    if offset > 0:
        return clip[many:] + clip[-1] * many
    return clip[0] * many + clip[:-many]
