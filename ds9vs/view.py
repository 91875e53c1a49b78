"""For the eye: what is known of each frame written over it, and two clips beside each other.

May import the ground rooms. What is made here is for previews; no other room works on its output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from .errors import CustomRuntimeError, CustomValueError
from .plugins import require
from .timing import pick

__all__ = ["Mode", "compare", "refusing", "show"]

type Func = Callable[..., Any] | str

Mode = Literal["split", "flip", "diff"]
"""split: a left, b right; flip: a and b by turns, at twice the rate; diff: a minus b around grey."""

_SHOWN = ("DS9VS_Picture", "DS9VS_Field", "DS9VS_Shot", "DS9VS_Kind", "DS9VS_Confidence", "DS9VS_Done")
_LINES = (
    "frame      {N}\n"
    "picture    {y.DS9VS_Picture}\n"
    "tape field {y.DS9VS_Field}\n"
    "shot       {y.DS9VS_Shot} {y.DS9VS_Kind}\n"
    "confidence {y.DS9VS_Confidence}\n"
    "done       {y.DS9VS_Done}"
)
_LEAST = (160, 112)
"""Least width and height that hold the six lines."""


def refusing(clip: vs.VideoNode, sentence: str, func: Func) -> vs.VideoNode:
    """A clip of the same format and length that raises `sentence` for every frame asked of it.

    For what only a frame can tell: a function chooses it by a prop, and so needs no frame when a script is read.

    Raises:
        vs.Error: On each frame, with the sentence of a `CustomRuntimeError`.

    Example:
        >>> refusing(core.std.BlankClip(length=3), "No.", "example").num_frames
        3
    """

    def refuse(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        raise CustomRuntimeError(sentence, func)

    blank = clip.std.BlankClip(keep=True)
    return blank.std.ModifyFrame(blank, refuse)


def show(clip: vs.VideoNode, *, alignment: int = 7) -> vs.VideoNode:
    """Write over each frame what is known of it: number, picture, tape field, shot, kind, confidence, what was done.

    What a frame's props do not tell is shown as "-", so that any clip may come. The props stay. The letters are
    8x16 samples up to 809 lines, twice that up to 1349, and so on.

    Args:
        clip: Any clip of 8 to 16 bit integers or 32 bit float, at least 160x112.
        alignment: Where: the key of a number pad, 7 top left, 3 bottom right.

    Raises:
        CustomValueError: The clip is too small or of half precision, or the alignment is no such key.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> show(core.std.BlankClip(length=2)).num_frames
        2
    """
    _drawable(clip, show)
    if clip.width < _LEAST[0] or clip.height < _LEAST[1]:
        raise CustomValueError(
            f"The clip is {clip.width}x{clip.height}; it must be at least {_LEAST[0]}x{_LEAST[1]} to be written on.",
            show,
        )
    if alignment not in range(1, 10):
        raise CustomValueError(f"The alignment is {alignment}; it must be a key of a number pad, 1 to 9.", show)
    text, select = require("akarin.Text", show, "prop", "scale", "vspipe"), require("akarin.Select", show)
    told = core.std.BlankClip(width=64, height=64, format=vs.GRAY8, length=clip.num_frames, keep=True)
    told = told.std.CopyFrameProps(clip)
    for name in _SHOWN:
        told = text(told, f"{{x.{name}}}", prop=name, vspipe=1)
        told = select([told, told.std.SetFrameProps(**{name: "-"})], told, f"x.{name} 60 = 1 0 ?")  # <missing key>
    return text([clip, told], _LINES, alignment=alignment, scale=_scale(clip), vspipe=1)


def compare(
    a: vs.VideoNode,
    b: vs.VideoNode,
    *,
    mode: Mode = "split",
    labels: tuple[str, str] = ("a", "b"),
    gain: float = 4,
) -> vs.VideoNode:
    """Put two clips of any size, format and rate beside each other; returns RGB24 of the size of `a`.

    `b` is scaled to the size of `a` (Spline36), and each frame of `a` meets the frame of `b` that is on at its middle;
    two clips of one length of which a rate is variable meet frame by frame. Each is converted by its own `_Matrix`.

    Args:
        a: The clip whose size, rate, length and props the result has.
        b: The other one.
        mode: `"split"`: the left half of `a`, the right half of `b`, a white line between. `"flip"`: `a` and `b` by
            turns, twice the frames at twice the rate: step with an arrow key. `"diff"`: 128 plus `gain` times
            `a` minus `b`, in codes of 8 bit.
        labels: What to write over each; an empty one writes nothing.
        gain: Enlarges the difference, greater than 0.

    Raises:
        CustomValueError: The mode is unknown, the gain is not above 0, a clip changes format or size within or is half
            precision, or a rate is variable and the lengths differ.
        CustomRuntimeError: A plugin is missing.
        vs.Error: On a frame in YUV without a `_Matrix`.

    Example:
        >>> tape = core.std.BlankClip(width=720, height=480, format=vs.RGB24, length=5, fpsnum=30000, fpsden=1001)
        >>> film = core.std.BlankClip(width=1440, height=960, format=vs.RGB48, length=4, fpsnum=24000, fpsden=1001)
        >>> both = compare(film, tape, mode="split", labels=("film", "tape"))
        >>> both.width, both.num_frames, both.format.name
        (1440, 4, 'RGB24')
    """
    if mode not in get_args(Mode):
        raise CustomValueError(
            f"The mode is {mode!r}; it must be one of {', '.join(map(repr, get_args(Mode)))}.", compare
        )
    if not gain > 0:
        raise CustomValueError(f"The gain is {gain}; it must be greater than 0.", compare)
    for clip in (a, b):
        _drawable(clip, compare)
    if not (a.fps and b.fps):
        if a.num_frames != b.num_frames:
            raise CustomValueError(
                f"A rate is variable and the lengths differ ({a.num_frames} and {b.num_frames} frames), so nothing "
                f"says which frames belong together; give clips of constant rate (ivtc's timing='film').",
                compare,
            )
    elif (a.fps, a.num_frames) != (b.fps, b.num_frames):
        step = b.fps / a.fps
        at = (2 * np.arange(a.num_frames) + 1) * step.numerator // (2 * step.denominator)
        b = pick(b, np.minimum(at, b.num_frames - 1))
    depth = vs.RGBS if mode == "diff" else vs.RGB24
    left, right = _rgb(a, a, depth), _rgb(b, a, depth)
    if mode == "diff":
        drawn = require("akarin.Expr", compare)([left, right], f"x y - {gain} 255 * * 128 + 0.5 + floor", vs.RGB24)
        return _label(drawn, " - ".join(labels) + f"  x{gain:g}" if any(labels) else "", 7)
    if mode == "flip":
        return core.std.Interleave([_label(left, labels[0], 7), _label(right, labels[1], 7)], mismatch=False)
    half = require("akarin.Expr", compare)(
        [left, right], "X width 2 / - split! split@ -1 >= split@ 1 < and 255 split@ 0 < x y ? ?"
    )
    return _label(_label(half, labels[0], 7), labels[1], 9)


def _drawable(clip: vs.VideoNode, func: Func) -> None:
    if clip.format is None or not clip.width:
        raise CustomValueError("The clip changes format or size within; give a clip of one format and size.", func)
    if clip.format.bits_per_sample != 32 if clip.format.sample_type == vs.FLOAT else clip.format.bits_per_sample > 16:
        raise CustomValueError(
            f"The clip is {clip.format.name}; it must be integers of 8 to 16 bit or 32 bit float (resize.Point).", func
        )


def _rgb(clip: vs.VideoNode, like: vs.VideoNode, format_id: int) -> vs.VideoNode:
    """The clip in RGB at the size of another, its number of frames and rate too."""
    made = clip.resize.Spline36(like.width, like.height, format=format_id)
    if clip.format.color_family == vs.YUV:
        sentence = (
            "The clip is YUV but does not say by which matrix; set it, "
            "for a DVD of NTSC with std.SetFrameProps(_Matrix=6)."
        )
        made = require("akarin.Select", compare)(
            [made, refusing(made, sentence, compare)], clip, "x._Matrix 0 = x._Matrix 2 = or 1 0 ?"
        )
    return made.std.AssumeFPS(like) if like.fps else made


def _scale(clip: vs.VideoNode) -> int:
    return max(1, int(clip.height + 270) // 540)


def _label(clip: vs.VideoNode, text: str, alignment: int) -> vs.VideoNode:
    return clip.text.Text(text, alignment, _scale(clip)) if text else clip
