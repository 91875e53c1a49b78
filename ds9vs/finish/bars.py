"""Letterboxed and pillarboxed shots: found per shot once, as plain data, and kept in their frame while pictures flow.

A shot in another shape than the programme's was given bars when the tape was made. Nothing here cuts or scales: the
bars are made exactly black, so that no noise of coding, grain, or ringing of enlarged edges lives in them. May import
the ground rooms and `cadence/model`.
"""

from __future__ import annotations

import bisect
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import vapoursynth as vs

from ..cadence.model import Cadence
from ..errors import CustomValueError
from ..files import existing, write_json
from ..plugins import require

__all__ = ["Bars", "ShotBars", "measure_bars", "paint_bars"]

type Func = Callable[..., Any] | str
type Array = np.ndarray[Any, np.dtype[np.float64]]

SPARE = (0.04, 0.025)
"""Bars at the sides and above are at least this share of the picture: less is blanking, which `crop` is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotBars:
    """The bars of one shot, in luma samples."""

    shot: int
    """Number of the shot (`DS9VS_Shot`), or the frame it begins with."""
    left: int = 0
    """Black columns on the left."""
    top: int = 0
    """Black lines on top."""
    right: int = 0
    """Black columns on the right."""
    bottom: int = 0
    """Black lines at the bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The bars of every shot of a clip; plain data, to be measured once, saved, and corrected by hand.

    Raises:
        CustomValueError: Shots out of order, or bars that leave no picture.
    """

    width: int
    """Width of the clip that was measured."""
    height: int
    """Its height."""
    by_shot: bool
    """Whether shots are known by `DS9VS_Shot`; else by the frame they begin with."""
    shots: tuple[ShotBars, ...]
    """Every shot, in order."""

    def __post_init__(self) -> None:
        numbers = [s.shot for s in self.shots]
        if numbers != sorted(set(numbers)) or min(numbers, default=0) < 0:
            raise CustomValueError("The shots of Bars stand in rising order, each once, from 0 on.", Bars, numbers[:9])
        for s in self.shots:
            if min(s.left, s.top, s.right, s.bottom) < 0 or not (
                s.left + s.right < self.width and s.top + s.bottom < self.height
            ):
                raise CustomValueError(f"The bars of shot {s.shot} leave no picture of the frame.", Bars, str(s))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, {"ds9vs_bars": 1, **asdict(self)}, Bars.save)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Bars:
        """Read what `save` wrote.

        Raises:
            FileWasNotFoundError: There is no such file.
            CustomValueError: It is no such file, or does not hold together.
        """
        try:
            table = json.loads(existing(path, cls.load).read_text(encoding="utf-8"))
            if table.pop("ds9vs_bars") != 1:
                raise KeyError("version")
            return cls(**{**table, "shots": tuple(ShotBars(**row) for row in table["shots"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, CustomValueError):
                raise
            raise CustomValueError(
                f"{str(path)!r} holds no bars; make it again: measure_bars(clip).save(path).", cls.load
            ) from error


def measure_bars(clip: vs.VideoNode, shots: Cadence | Sequence[int] | None = None, *, frames: int = 5) -> Bars:
    """Find the bars of every shot. Reads pictures: call it once, keep what it returns.

    Bars are lines without a single lit sample in all the pictures looked at, on both sides alike (to 2 % of the frame),
    that end with an edge. A shot too dark to show an edge takes the bars of a neighbouring shot if it is black there; a
    star in them is enough to have none. Sides are looked at up to three eighths of the picture.

    Args:
        clip: YUV or GRAY of 8 to 16 bits, limited range; with a `Cadence` the tape it was made of (cropped or not).
        shots: A `Cadence`: its shots, to be known again by `DS9VS_Shot`. Numbers: the frames that shots begin with.
            None: shots begin where `DS9VS_Shot` changes or `_SceneChangePrev` is set, which reads every frame.
        frames: How many pictures of each shot to read.

    Raises:
        CustomValueError: Another format, a cadence of another tape, a clip that does not tell its shots.

    Example:
        >>> wide = core.std.BlankClip(format=vs.YUV420P8, width=704, height=360, length=9, color=[99, 128, 128])
        >>> clip = wide.std.AddBorders(top=60, bottom=60, color=[16, 128, 128])
        >>> measure_bars(clip, [0]).shots[0].top
        60
    """
    kind = clip.format
    if kind is None or kind.color_family == vs.RGB or kind.sample_type or kind.bits_per_sample > 16:
        raise CustomValueError("measure_bars reads YUV or GRAY of 8 to 16 bits.", measure_bars)
    if frames < 1:
        raise CustomValueError("frames is 1 or more.", measure_bars, frames)
    by_shot, ranges = _ranges(clip, shots)
    scale = 1 << (kind.bits_per_sample - 8)
    found: list[tuple[list[int], list[bool]]] = []
    for _, first, stop in ranges:
        pictures = []
        for n in sorted({first + int((k + 0.5) * (stop - first) / frames) for k in range(frames)}):
            with clip.get_frame(n) as frame:
                y = np.asarray(frame[0]).astype(np.float64) / scale - 16
            if float(np.percentile(y, 99)) >= 8:  # a black picture has no bars to show
                pictures.append(y)
        found.append(_dark_sides(pictures))
    edges = [_credible(black, sharp, clip) for black, sharp in found]
    known = list(edges)
    for n, (black, _) in enumerate(found):
        for m in (n - 1, n + 1):
            if edges[n] is None and 0 <= m < len(edges):
                near = known[m]
                if near and any(near) and all(b >= e for b, e in zip(black, near, strict=True)):
                    known[n] = near
    rows = []
    for (shot, _, _), sides in zip(ranges, known, strict=True):
        left, top, right, bottom = sides or (0, 0, 0, 0)
        rows.append(ShotBars(shot=shot, left=left, top=top, right=right, bottom=bottom))
    return Bars(width=clip.width, height=clip.height, by_shot=by_shot, shots=tuple(rows))


def _ranges(clip: vs.VideoNode, shots: Cadence | Sequence[int] | None) -> tuple[bool, list[tuple[int, int, int]]]:
    """Whether shots are known by their numbers; and number, first frame and stop of each."""
    if isinstance(shots, Cadence):
        if clip.num_frames != shots.tape.frames:
            raise CustomValueError(
                f"The cadence is of a tape of {shots.tape.frames} frames, this clip has {clip.num_frames}; "
                "give the tape, or leave shots out for what ivtc() made.",
                measure_bars,
            )
        # Whole frames of a shot; of one shorter than that, the frame that holds its first field.
        inner = [
            ((s.first + 1) // 2, s.stop // 2) if s.stop - s.first > 2 else (s.first // 2,) * 2 for s in shots.shots
        ]
        return True, [(n, first, max(stop, first + 1)) for n, (first, stop) in enumerate(inner)]
    if shots is not None:
        firsts = [int(n) for n in shots]
        if not firsts or firsts[0] != 0 or firsts != sorted(set(firsts)) or firsts[-1] >= clip.num_frames:
            raise CustomValueError(
                f"shots are rising numbers of frames from 0 on, below {clip.num_frames}.", measure_bars, firsts[:9]
            )
        return False, list(zip(firsts, firsts, [*firsts[1:], clip.num_frames], strict=True))
    numbers: dict[int, list[int]] = {}
    cuts = [0]
    for n, frame in enumerate(clip.frames(close=True)):
        if "DS9VS_Shot" in frame.props:
            numbers.setdefault(int(str(frame.props["DS9VS_Shot"])), []).append(n)
        elif "_SceneChangePrev" not in frame.props:
            raise CustomValueError(
                "The frames do not say their shots (DS9VS_Shot, _SceneChangePrev); give the cadence of the tape, the "
                "frames that shots begin with, or [0] for a single shot.",
                measure_bars,
            )
        elif n and frame.props["_SceneChangePrev"]:
            cuts.append(n)
    if numbers:
        return True, [(shot, min(at), max(at) + 1) for shot, at in sorted(numbers.items())]
    return False, list(zip(cuts, cuts, [*cuts[1:], clip.num_frames], strict=True))


def _dark_sides(pictures: list[Array]) -> tuple[list[int], list[bool]]:
    """Lines of left, top, right and bottom that no picture lights, and whether an edge ends them."""
    if not pictures:
        return [1 << 30] * 4, [False] * 4
    counts, sharp = [], []
    for side in range(4):
        views = [(y.T, y, y.T[::-1], y[::-1])[side] for y in pictures]
        limit = views[0].shape[0] * 3 // 8
        lit = [np.flatnonzero((v[:limit].max(axis=1) > 14) | (v[:limit].mean(axis=1) > 3)) for v in views]
        count = min(int(n[0]) if len(n) else limit for n in lit)
        # An edge is steep: two lines inside it are clearly lighter than two lines outside.
        step = max(
            float(v[count + 1 : count + 3].mean() - v[max(0, count - 3) : max(1, count - 1)].mean()) for v in views
        )
        counts.append(count)
        sharp.append(count < limit and step > 5)
    return counts, sharp


def _credible(black: list[int], sharp: list[bool], clip: vs.VideoNode) -> tuple[int, int, int, int] | None:
    """The bars; all 0 for a picture that is lit to its edges; None where the dark leaves it open."""
    sides = [0, 0, 0, 0]
    for a, size, share in ((0, clip.width, SPARE[0]), (1, clip.height, SPARE[1])):
        near, far = black[a], black[a + 2]
        if min(near, far) < share * size:
            continue
        if not (sharp[a] and sharp[a + 2]):
            return None
        if abs(near - far) <= 0.02 * size:
            sides[a], sides[a + 2] = near, far
    return sides[0], sides[1], sides[2], sides[3]


def paint_bars(
    clip: vs.VideoNode,
    bars: Bars,
    *,
    window: tuple[float, float, float, float] | None = None,
    func: Func | None = None,
) -> vs.VideoNode:
    """Make the bars of every shot exactly black; everything else passes bit for bit. Evaluating reads no frame.

    Args:
        clip: YUV or GRAY of 8 to 16 bits, limited range, of any size: the bars are scaled to it, and to whole chroma
            samples. With bars by frame, the frames are those that were measured; by shot, they carry `DS9VS_Shot`.
        bars: What `measure_bars` gave.
        window: What of the measured picture is shown: left, top, width and height in its samples; None for all.
        func: Named in errors.

    Raises:
        CustomValueError: Another format; while rendering, a frame of a shot that was not measured.

    Example:
        >>> grey = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=2, color=[99, 128, 128])
        >>> bars = Bars(width=704, height=480, by_shot=False, shots=(ShotBars(shot=0, top=60, bottom=60),))
        >>> np.asarray(paint_bars(grey, bars).get_frame(1)[0])[[0, 59, 60, 419, 420], 0].tolist()
        [16, 16, 99, 99, 16]
    """
    func = func or paint_bars
    kind = clip.format
    if kind is None or kind.color_family == vs.RGB or kind.sample_type or kind.bits_per_sample > 16:
        raise CustomValueError("Bars are painted on YUV or GRAY of 8 to 16 bits.", func, kind.name if kind else None)
    if not any(s.left or s.top or s.right or s.bottom for s in bars.shots):
        return clip
    expr = require("akarin.Expr", func)
    left, top, shown_w, shown_h = window or (0.0, 0.0, float(bars.width), float(bars.height))
    wide, high = clip.width / shown_w, clip.height / shown_h
    steps = (1 << kind.subsampling_w, 1 << kind.subsampling_h)
    table = []
    for s in bars.shots:
        ends = (
            (s.left - left) * wide if s.left else 0,
            (s.top - top) * high if s.top else 0,
            (s.right - (bars.width - left - shown_w)) * wide if s.right else 0,
            (s.bottom - (bars.height - top - shown_h)) * high if s.bottom else 0,
        )
        table.append([max(0, round(end / step)) * step for end, step in zip(ends, steps * 2, strict=True)])
    numbers = [s.shot for s in bars.shots]

    def told(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        number = n
        if bars.by_shot:
            number = int(str(f[1].props.get("DS9VS_Shot", -1)))
            if number not in known:
                raise CustomValueError(f"Frame {n} is of shot {number}, which has no bars measured.", func)
        row = table[bisect.bisect_right(numbers, number) - 1]
        out = f[0].copy()
        out.props.update(zip(_SIDES, row, strict=True))
        return out

    known = set(numbers)
    small = clip.std.BlankClip(format=vs.GRAY8, width=1, height=1, keep=True)
    marked = clip.std.CopyFrameProps(small.std.ModifyFrame([small, clip], told), props=list(_SIDES))
    unit = 1 << (kind.bits_per_sample - 8)
    words = [_INSIDE.format(x=1, y=1) + f" x {16 * unit} ?"]
    if kind.num_planes > 1:
        words.append(_INSIDE.format(x=steps[0], y=steps[1]) + f" x {128 * unit} ?")
    return expr(marked, words).std.RemoveFrameProps(list(_SIDES))


_SIDES = ("DS9VS_BarLeft", "DS9VS_BarTop", "DS9VS_BarRight", "DS9VS_BarBottom")
_INSIDE = (
    "X {x} * x.DS9VS_BarLeft >= Y {y} * x.DS9VS_BarTop >= and X width - {x} * x.DS9VS_BarRight -1 * < and "
    "Y height - {y} * x.DS9VS_BarBottom -1 * < and"
)
