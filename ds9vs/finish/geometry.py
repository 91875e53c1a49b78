"""Edges and shape: the one room that cuts, fills, scales to a frame, or puts bars beside a picture.

A DVD's line of 720 samples holds more than the picture: by BT.601 the 704 in its middle (702 to 714 in other books) are
4:3 or 16:9, which is what a sample aspect ratio of 10:11 (NTSC 4:3), 40:33 (NTSC 16:9), 12:11 or 16:11 (PAL) says.
Nothing here cuts or stretches without being told. May import the ground rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import vapoursynth as vs

from ..errors import CustomValueError

__all__ = ["Edges", "Geometry", "crop", "crop_sides", "frame_geometry", "measure_edges", "parse_ratio"]

type Func = Callable[..., Any] | str

ACTIVE = 704
"""Samples of a DVD's 720 that hold the picture's width (ITU-R BT.601, and what SAR 10:11 means)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """What does not belong to the picture on each side, in luma samples."""

    left: int = 0
    """Black columns on the left."""
    top: int = 0
    """Black lines on top."""
    right: int = 0
    """Black columns on the right."""
    bottom: int = 0
    """Black lines at the bottom."""
    ramps: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Damaged (darkened) lines inside the black ones: left, top, right, bottom."""


def measure_edges(clip: vs.VideoNode, *, frames: int = 8) -> Edges:
    """Find black borders and the darkened lines beside them, in a handful of pictures spread over the clip.

    A border is what is black in all of them, so a dark shot or a letterboxed one does not cut a full picture. At most a
    quarter of the picture is looked at on each side; a clip that is black throughout has no edges.

    Args:
        clip: YUV or GRAY of 8 to 16 bits, limited range.
        frames: How many pictures to read.

    Raises:
        CustomValueError: Another format, or no frame to look at.

    Example:
        >>> film = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=2, color=[120, 128, 128])
        >>> measure_edges(film.std.AddBorders(left=8, right=8, color=[16, 128, 128])).left
        8
    """
    kind = clip.format
    if kind is None or kind.color_family == vs.RGB or kind.sample_type or kind.bits_per_sample > 16:
        raise CustomValueError("measure_edges reads YUV or GRAY of 8 to 16 bits.", measure_edges)
    if frames < 1:
        raise CustomValueError("frames is 1 or more.", measure_edges, frames)
    scale = 1 << (kind.bits_per_sample - 8)
    counts: list[list[int]] = []
    gains: list[list[list[float]]] = [[], [], [], []]
    for n in sorted({int((k + 0.5) * clip.num_frames / frames) for k in range(frames)}):
        with clip.get_frame(min(n, clip.num_frames - 1)) as frame:
            y = np.asarray(frame[0]).astype(np.float64) / scale - 16
        if float(np.percentile(y, 99)) < 8:  # a black picture has no borders to show
            continue
        sides = (y.T, y, y.T[::-1], y[::-1])
        found = []
        for side, view in enumerate(sides):
            limit = view.shape[0] // 4
            # Blanking carries coding noise and ringing of the picture beside it: the mean is what stays black.
            level = view[: limit + 16].mean(axis=1)
            deep = np.percentile(view[: limit + 16], 95, axis=1)
            lit = np.flatnonzero((level[:limit] > 4) | (deep[:limit] > 10))
            count = int(lit[0]) if len(lit) else limit
            found.append(count)
            inner = view[count : count + 12]
            gains[side].append([_gain(inner[k], inner[k + 1]) for k in range(8)])
        counts.append(found)
    if not counts:
        return Edges()
    left, top, right, bottom = (min(c[side] for c in counts) for side in range(4))
    ramps = []
    for side, least in enumerate((left, top, right, bottom)):
        seen = [g for g, c in zip(gains[side], counts, strict=True) if c[side] == least]
        typical = np.median(np.array(seen), axis=0)
        dark = np.flatnonzero(typical[:6] < 0.93)
        ramps.append(int(dark[-1]) + 1 if len(dark) and dark[0] == 0 else 0)
    return Edges(left=left, top=top, right=right, bottom=bottom, ramps=(ramps[0], ramps[1], ramps[2], ramps[3]))


def _gain(line: np.ndarray[Any, np.dtype[np.float64]], inside: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    energy = float(inside @ inside)
    return float(line @ inside) / energy if energy > 4 * len(line) else 1.0


def crop(
    clip: vs.VideoNode,
    mode: Literal["auto", "picture"] | None = None,
    *,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    fill: bool = False,
    frames: int = 8,
) -> vs.VideoNode:
    """Cut off blanking, or fill it. The size changes unless filled; format, SAR, length, rate and props stay.

    `crop(clip, "auto")` keeps the picture's shape: of 720 columns with a DVD's SAR it cuts the 16 that lie outside 4:3
    or 16:9, placed where the blanking is (8 and 8 where there is none); it never cuts lines, and leaves clips of other
    sizes as they are. `crop(clip, "picture")` cuts to the picture that was found, black borders and darkened lines
    alike, whatever shape is left; `finish` then asks how to fill the frame. With numbers it cuts just those.

    Darkened lines that stay are mended by `clean(clip, edges=measure_edges(clip).ramps)`, which divides each by its
    gain; `fill` invents picture instead.

    The measuring modes read `frames` pictures while the script is evaluated (some milliseconds each on a source, more
    behind slow filters: crop early). The numbers can be had from `measure_edges` once, and typed.

    Args:
        clip: YUV or GRAY of 8 to 16 bits; numbers work on any format.
        mode: "auto", "picture", or None for numbers.
        left: Columns to cut on the left; even in 4:2:0 and 4:2:2.
        top: Lines to cut on top; even in 4:2:0 or when woven, a multiple of 4 when both.
        right: Columns to cut on the right.
        bottom: Lines to cut at the bottom.
        fill: Keep the size: what was cut is replaced by the picture beside it, mirrored.
        frames: How many pictures to measure.

    Raises:
        CustomValueError: Numbers that cut too much or do not fit the chroma, or modes and numbers mixed.

    Example:
        >>> tape = core.std.BlankClip(format=vs.YUV420P8, width=720, height=480, length=1, color=[99, 128, 128])
        >>> crop(tape.std.SetFrameProps(_SARNum=10, _SARDen=11), "auto").width
        704
    """
    return _cut(clip, crop_sides(clip, mode, left=left, top=top, right=right, bottom=bottom, frames=frames), fill=fill)


def crop_sides(
    clip: vs.VideoNode,
    mode: Literal["auto", "picture"] | None = None,
    *,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    frames: int = 8,
) -> list[int]:
    """What `crop` with these arguments cuts: left, top, right, bottom.

    Raises:
        CustomValueError: As `crop`.

    Example:
        >>> crop_sides(core.std.BlankClip(format=vs.YUV420P8, width=720, height=480, length=1), left=8, right=8)
        [8, 0, 8, 0]
    """
    if clip.format is None or not clip.width:
        raise CustomValueError("Give a clip of one format and one size.", crop)
    sides = [left, top, right, bottom]
    if mode not in (None, "auto", "picture"):
        raise CustomValueError(
            'Type crop(clip, "auto"), crop(clip, "picture") or numbers: left=8, right=8.', crop, mode
        )
    if mode is not None and any(sides):
        raise CustomValueError('Give "auto" or numbers, not both.', crop, sides)
    if mode is not None:
        edges = measure_edges(clip, frames=frames)
        ends = zip((edges.left, edges.top, edges.right, edges.bottom), edges.ramps, _steps(clip) * 2, strict=True)
        sides = [-(-(black + ramp) // step) * step for black, ramp, step in ends]
    if mode == "auto":
        if clip.width != 720 or _sar(clip, None, crop) == 1:
            return [0, 0, 0, 0]
        spare = 720 - ACTIVE
        cut = (min(sides[0], spare) + spare - min(sides[2], spare)) // 4 * 2
        sides = [cut, 0, spare - cut, 0]
    _check_cut(clip, sides)
    return sides


def _woven(clip: vs.VideoNode) -> bool:
    with clip.get_frame(0) as frame:
        return bool(frame.props.get("_FieldBased", 0))


def _steps(clip: vs.VideoNode) -> tuple[int, int]:
    return 1 << clip.format.subsampling_w, (1 << clip.format.subsampling_h) * (2 if _woven(clip) else 1)


def _check_cut(clip: vs.VideoNode, sides: list[int]) -> None:
    if any(not isinstance(n, int) or n < 0 for n in sides):
        raise CustomValueError("left, top, right and bottom are whole numbers of samples, 0 or more.", crop, sides)
    if sides[0] + sides[2] > clip.width - 16 or sides[1] + sides[3] > clip.height - 16:
        raise CustomValueError(f"This leaves nothing of {clip.width}x{clip.height}; cut less.", crop, sides)
    # Only a cut of lines needs to know about fields, and so a picture.
    across = 1 << clip.format.subsampling_w
    steps = (across, _steps(clip)[1] if sides[1] or sides[3] else 1) * 2
    for name, n, step in zip(("left", "top", "right", "bottom"), sides, steps, strict=True):
        if n % step:
            raise CustomValueError(
                f"{name}={n} falls between chroma samples{' of one field' if step == 4 else ''} of "
                f"{clip.format.name}; use {n - n % step} or {n - n % step + step}.",
                crop,
            )


def _cut(clip: vs.VideoNode, sides: list[int], *, fill: bool) -> vs.VideoNode:
    if not any(sides):
        return clip
    left, top, right, bottom = sides
    out = clip.std.Crop(left=left, top=top, right=right, bottom=bottom)
    if fill:
        # zimg mirrors the picture where the window reaches beyond it; as frames, so that no line changes its field.
        window = {"src_left": -left, "src_top": -top, "src_width": clip.width, "src_height": clip.height}
        out = out.std.SetFieldBased(0).resize.Point(clip.width, clip.height, **window).std.CopyFrameProps(clip)
    return out


def _sar(clip: vs.VideoNode, sar: Fraction | str | None, func: Func) -> Fraction:
    """The sample aspect ratio: the argument, else the props of the first frame.

    Raises:
        CustomValueError: Neither says.
    """
    if sar is not None:
        return parse_ratio(sar, "sar", func)
    with clip.get_frame(0) as frame:
        num, den = frame.props.get("_SARNum", 0), frame.props.get("_SARDen", 0)
    if num <= 0 or den <= 0:
        raise CustomValueError(
            "The clip does not say the shape of its samples (_SARNum, _SARDen); "
            "give sar='10:11' for a 4:3 NTSC disc, '12:11' for PAL, or '1:1' for square.",
            func,
        )
    return Fraction(num, den)


def parse_ratio(value: Fraction | str | float, name: str, func: Func) -> Fraction:
    """A ratio of "4:3", "4/3", a number or a Fraction.

    Raises:
        CustomValueError: It is none of these, or not between 1/4 and 4.

    Example:
        >>> parse_ratio("4:3", "aspect", "example")
        Fraction(4, 3)
    """
    try:
        ratio = (
            Fraction(value.replace(":", "/")) if isinstance(value, str) else Fraction(value).limit_denominator(10000)
        )
    except (ValueError, ZeroDivisionError, TypeError, OverflowError):
        ratio = Fraction(0)
    if not Fraction(1, 4) <= ratio <= 4:
        raise CustomValueError(f'{name} is a ratio of width to height such as "4:3", "16:9" or "10:11".', func, value)
    return ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How a picture gets into its frame: the window of it that is shown, the size it takes, and the bars around."""

    window: tuple[Fraction, Fraction, Fraction, Fraction]
    """Left, top, width and height of what is shown, in samples of the clip."""
    width: int
    """Width of the picture in the frame."""
    height: int
    """Height of the picture in the frame."""
    bars: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Black samples left, top, right, bottom of it."""
    sar: Fraction = Fraction(1)
    """Sample aspect ratio of the frame."""


def _even(value: Fraction) -> int:
    return 2 * round(value / 2)


def frame_geometry(
    width: int,
    height: int,
    sar: Fraction,
    *,
    aspect: Fraction | None = None,
    out_width: int | None = None,
    out_height: int | None = None,
    active: int | None = None,
    fit: Literal["exact", "bars", "crop"] = "exact",
    pillarbox: bool = False,
    func: Func = "frame_geometry",
) -> Geometry:
    """Work out sizes for `finish`: never cropped, never stretched, unless told. Sizes are even.

    A picture whose shape is not the frame's (beyond two samples of rounding) is an error with "exact"; the message says
    what can be typed. With neither width nor height the clip's own samples are kept if they fill the frame.

    Args:
        width: Width of the clip.
        height: Height of the clip.
        sar: Its sample aspect ratio.
        aspect: Shape of the frame, or None for the clip's own.
        out_width: Width wanted, bars of `pillarbox` not counted.
        out_height: Height wanted.
        active: Of a line of 720, how many samples fill the frame (704 by BT.601); the rest is cut, centred, whatever
            size the line has been scaled to.
        fit: Where shapes differ: "exact" refuses, "bars" adds black, "crop" cuts what is over, centred.
        pillarbox: Put the frame into 16:9 with black at the sides.
        func: Named in errors.

    Raises:
        CustomValueError: Sizes that contradict the shape, or a picture that does not fill the frame.

    Example:
        >>> g = frame_geometry(704, 480, Fraction(10, 11), aspect=Fraction(4, 3), out_height=2160, pillarbox=True)
        >>> (g.width, g.height, g.bars)
        (2880, 2160, (480, 0, 480, 0))
    """
    left, top, shown_w, shown_h = Fraction(0), Fraction(0), Fraction(width), Fraction(height)
    if active is not None:
        if not 640 <= active <= 720:
            raise CustomValueError("active is how many of 720 samples fill the frame: 704 by BT.601.", func, active)
        shown_w = Fraction(width * active, 720)
        left = (width - shown_w) / 2
    for name, size in (("width", out_width), ("height", out_height)):
        if size is not None and (size % 2 or not 16 <= size <= 8192):
            raise CustomValueError(f"{name} is an even number from 16 to 8192.", func, size)
    shape = shown_w * sar / shown_h
    frame = aspect or shape

    same_size = out_width is None and out_height is None
    if same_size and sar != 1:
        # Samples stay as they are: the frame must be filled, and windows must fall on samples.
        if pillarbox or fit != "exact" or abs(shape - frame) * shown_h / sar > 2 or left.denominator != 1 or left % 2:
            raise CustomValueError(
                f"The {width}x{height} picture has samples of {_ratio(sar)}; give the size to make, such as "
                f"height=2160 or height={height}.",
                func,
            )
        return Geometry(window=(left, top, shown_w, shown_h), width=int(shown_w), height=int(shown_h), sar=sar)
    if same_size:
        out_height = height - height % 2
    if out_height is None:
        assert out_width is not None
        out_height = _even(out_width / frame)
    if out_width is None:
        out_width = _even(out_height * frame)
    if abs(out_width - out_height * frame) > 2:
        raise CustomValueError(
            f"{out_width}x{out_height} is not {_ratio(frame)}; give height={out_height} alone "
            f"({_even(out_height * frame)}x{out_height}), or the aspect that you want.",
            func,
        )

    pic_w, pic_h = out_width, out_height
    if abs(out_height * shape - out_width) > 2 and abs(out_width / shape - out_height) > 2:
        if fit == "exact":
            raise CustomValueError(_misfit(width, height, sar, shape, frame, out_height), func)
        if fit == "bars":
            if shape > frame:
                pic_h = _even(out_width / shape)
            else:
                pic_w = _even(out_height * shape)
        elif shape > frame:
            left, shown_w = left + shown_w * (1 - frame / shape) / 2, shown_w * frame / shape
        else:
            top, shown_h = top + shown_h * (1 - shape / frame) / 2, shown_h * shape / frame
    total_w, total_h = out_width, out_height
    if pillarbox:
        total_w = _even(out_height * Fraction(16, 9))
        if total_w < out_width:
            raise CustomValueError("pillarbox puts a frame narrower than 16:9 into 16:9; this one is wider.", func)
    bar_x, bar_y = (total_w - pic_w) // 4 * 2, (total_h - pic_h) // 4 * 2
    return Geometry(
        window=(left, top, shown_w, shown_h),
        width=pic_w,
        height=pic_h,
        bars=(bar_x, bar_y, total_w - pic_w - bar_x, total_h - pic_h - bar_y),
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}" if value.denominator < 1000 else f"{float(value):.4f}:1"


def _misfit(width: int, height: int, sar: Fraction, shape: Fraction, frame: Fraction, out_height: int) -> str:
    """One sentence: what the picture is, and what to type."""
    say = f"The {width}x{height} picture with samples of {_ratio(sar)} is {_ratio(shape)}, not {_ratio(frame)}; type "
    if abs(shape * ACTIVE / 720 / frame - 1) < Fraction(2, 1000):
        say += f"crop(clip, 'auto') early on or active={ACTIVE} here ({ACTIVE} of 720 samples are the frame's width), "
    return say + (
        f"fit='bars' for black bars, fit='crop' to cut, or no aspect for {_even(out_height * shape)}x{out_height}."
    )
