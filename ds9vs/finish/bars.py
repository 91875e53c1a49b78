"""Letterboxed and pillarboxed shots: found per shot once, as plain data, and kept in their frame while pictures flow.

A shot in another shape than the programme's was given bars when the tape was made. Nothing here cuts or scales: the
bars are made exactly black, so that no noise of coding, grain, or ringing of enlarged edges lives in them. May import
the ground rooms and `cadence/model`.
"""

from __future__ import annotations

import bisect
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from ..cadence.model import Cadence, Tape
from ..errors import CustomValueError
from ..files import existing, progress, write_json
from ..plugins import require

__all__ = ["VERSION", "Bars", "ShotBars", "measure_bars", "paint_bars"]

type Func = Callable[..., Any] | str
type Array = NDArray[np.float64]
type Pair = tuple[int, int]

VERSION = 1
"""Version of the JSON; a file of a later one is refused."""
SPARE = (0.04, 0.025)
"""Bars at the sides and above are at least this share of the picture: less is blanking, which `crop` is for."""
ALIKE = 0.02
"""Bars of two sides differ by at most this share of the picture."""
BLOCKS = 12
"""Parts that a line is looked at in: lettering fills some of them, an edge crosses many."""
LIT = 14
"""A sample this much lighter than black, in 8-bit codes, is picture: noise and ringing of a bar stay below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotBars:
    """The bars of one shot, in luma samples."""

    first: int
    """The first field of the shot, or its first frame where no tape is named (`Bars.tape`)."""
    left: int = 0
    """Black columns on the left."""
    top: int = 0
    """Black lines on top."""
    right: int = 0
    """Black columns on the right."""
    bottom: int = 0
    """Black lines at the bottom."""

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The bars of every shot of a tape or clip; plain data, to be measured once, saved, and corrected by hand.

    Raises:
        CustomValueError: Shots out of order, or bars that leave no picture.
    """

    width: int
    """Width of what was measured."""
    height: int
    """Its height."""
    shots: tuple[ShotBars, ...]
    """Every shot, in order; each lasts until the next begins."""
    tape: Tape | None = None
    """The tape whose fields shots are counted in; None: frames of a clip."""

    def __post_init__(self) -> None:
        numbers = [s.first for s in self.shots]
        if not numbers or numbers[0] != 0 or numbers != sorted(set(numbers)):
            raise CustomValueError("The shots of Bars stand in rising order, each once, from 0 on.", Bars, numbers[:9])
        for s in self.shots:
            if min(s.sides) < 0 or s.left + s.right >= self.width or s.top + s.bottom >= self.height:
                raise CustomValueError(f"The bars of the shot from {s.first} on leave no picture.", Bars, str(s))

    def put(self, first: int, stop: int, *, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> Bars:
        """The same with other bars from `first` until before `stop`, counted as the shots are.

        Raises:
            CustomValueError: The range is empty, or the bars leave no picture.

        Example:
            >>> bars = Bars(width=720, height=480, shots=(ShotBars(first=0, top=60, bottom=60),))
            >>> [(shot.first, shot.top) for shot in bars.put(20, 30).shots]
            [(0, 60), (20, 0), (30, 60)]
        """
        if not 0 <= first < stop:
            raise CustomValueError("A range goes from first to before stop, from 0 on.", Bars.put, (first, stop))
        firsts = [s.first for s in self.shots]
        after = replace(self.shots[bisect.bisect_right(firsts, stop) - 1], first=stop)
        rows = [s for s in self.shots if not first <= s.first <= stop]
        rows += [ShotBars(first=first, left=left, top=top, right=right, bottom=bottom)]
        if self.tape is None or stop < 2 * self.tape.frames:
            rows.append(after)
        return replace(self, shots=tuple(sorted(rows, key=lambda s: s.first)))

    def cropped(self, *, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> Bars:
        """The bars of what `crop` with these numbers leaves.

        Example:
            >>> bars = Bars(width=720, height=480, shots=(ShotBars(first=0, left=98, right=98),))
            >>> bars.cropped(left=8, right=8).shots[0].left, bars.cropped(left=8, right=8).width
            (90, 704)
        """
        cut = (left, top, right, bottom)
        rows = [[max(0, side - less) for side, less in zip(s.sides, cut, strict=True)] for s in self.shots]
        shots = [
            ShotBars(first=s.first, left=row[0], top=row[1], right=row[2], bottom=row[3])
            for s, row in zip(self.shots, rows, strict=True)
        ]
        return replace(self, width=self.width - left - right, height=self.height - top - bottom, shots=tuple(shots))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, {"ds9vs_bars": VERSION, **asdict(self)}, Bars.save)

    @classmethod
    def load(cls, path: str | os.PathLike[str], tape: Tape | None = None) -> Bars:
        """Read what `save` wrote; with a tape (`Cadence.tape`), check that they are of that tape.

        Raises:
            FileWasNotFoundError: There is no such file.
            CustomValueError: It is truncated, holds no bars, is of a later version or of another tape, or does not
                hold together.

        Example:
            >>> Bars(width=720, height=480, shots=(ShotBars(first=0, top=60, bottom=60),)).save(tmp_path / "b.json")
            >>> Bars.load(tmp_path / "b.json").shots[0].top
            60
        """
        again = "make it again: ds9vs bars measure"
        try:
            table = json.loads(existing(path, cls.load).read_text(encoding="utf-8"))
            version = table.pop("ds9vs_bars")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CustomValueError(f"{str(path)!r} is truncated or holds no bars; {again}.", cls.load) from error
        if version != VERSION:
            raise CustomValueError(
                f"{str(path)!r} holds bars of version {version}; this ds9vs reads {VERSION}.", cls.load
            )
        try:
            said = table.pop("tape")
            named = None if said is None else Tape(**{**said, "fps": tuple(said["fps"])})
            found = cls(**{**table, "tape": named, "shots": tuple(ShotBars(**row) for row in table["shots"])})
        except (KeyError, TypeError) as error:
            raise CustomValueError(f"{str(path)!r} holds no whole bars ({error}); {again}.", cls.load) from error
        if tape is not None:
            found.check(tape, cls.load, str(path))
        return found

    def check(self, tape: Tape, func: Func, name: str = "") -> None:
        """Refuse bars that are not of this tape.

        Raises:
            CustomValueError: They are of another tape, or of a clip.
        """
        if self.tape != tape:
            what = "of another tape" if self.tape else "of a clip, not of a tape"
            raise CustomValueError(
                f"The bars{f' {name!r}' if name else ''} are {what}; make those of this one: ds9vs bars measure.", func
            )


def measure_bars(
    clip: vs.VideoNode,
    shots: Cadence | Sequence[int] | None = None,
    *,
    frames: int = 5,
    every: int = 12,
    show: bool = False,
) -> Bars:
    """Find the bars of every shot. Reads pictures: call it once, keep what it returns.

    Bars are lines that stay black in all the pictures looked at, on both sides alike (to 2 % of the frame), and end
    with a straight edge, which a tenth of a dark shot's light shows. Where a logo or a title stands in one of two bars,
    only the lines outside of it count. A shot too dark to show an edge takes the bars of the nearest one that does, if
    it is black there; stars in both bars are enough to have none. Sides are looked at up to three eighths of the
    picture.

    Args:
        clip: YUV or GRAY of 8 to 16 bits, limited range; with a `Cadence` the tape it was made of, whole.
        shots: A `Cadence`: its shots, told by the fields of the tape (`DS9VS_Field`). Numbers: the frames that shots
            begin with. None: shots begin where `DS9VS_Shot` changes or `_SceneChangePrev` is set, which reads every
            frame.
        frames: How many pictures of each shot to read, at least.
        every: And so many frames apart, at most: what stands in a bar for less may not be seen.
        show: Whether to draw a progress bar (standard error).

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
    if frames < 1 or every < 1:
        raise CustomValueError("frames and every are 1 or more.", measure_bars, (frames, every))
    tape, ranges = _ranges(clip, shots)
    looked: list[tuple[_Side, ...]] = []
    with progress("bars", len(ranges), show=show) as done:
        for _, first, stop in ranges:
            count = max(frames, -(-(stop - first) // every))
            chosen = sorted({first + int((k + 0.5) * (stop - first) / count) for k in range(count)})
            looked.append(_sides(_lines(clip, chosen)))
            done(len(looked))
    # Black is the darkest line, of the tape and of each shot: noise that was cut off at black lightens its bars.
    darkest = [min(float(side.mean.min()) for side in sides) for sides in looked]
    black = min(darkest)
    levels = [min(level, black + 2) for level in darkest]
    axes: list[list[Pair | None]] = []
    for a, size, share in ((0, clip.width, SPARE[0]), (1, clip.height, SPARE[1])):
        pairs = [(sides[a], sides[a + 2]) for sides in looked]
        told = [_pair(*pair, level, size, share) for pair, level in zip(pairs, levels, strict=True)]
        axes.append(_adopted(told, pairs, black))
    rows = [
        ShotBars(first=first, left=across[0], top=down[0], right=across[1], bottom=down[1])
        for (first, _, _), across, down in zip(
            ranges, *([pair or (0, 0) for pair in axis] for axis in axes), strict=True
        )
    ]
    return Bars(width=clip.width, height=clip.height, shots=tuple(rows), tape=tape)


def _ranges(
    clip: vs.VideoNode, shots: Cadence | Sequence[int] | None
) -> tuple[Tape | None, list[tuple[int, int, int]]]:
    """The tape whose fields are counted, if so; and of each shot what it begins with, and the frames to read."""
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
        return shots.tape, [
            (s.first, first, max(stop, first + 1)) for s, (first, stop) in zip(shots.shots, inner, strict=True)
        ]
    firsts = _cuts(clip) if shots is None else [int(n) for n in shots]
    if not firsts or firsts[0] != 0 or firsts != sorted(set(firsts)) or firsts[-1] >= clip.num_frames:
        raise CustomValueError(
            f"shots are rising numbers of frames from 0 on, below {clip.num_frames}.", measure_bars, firsts[:9]
        )
    return None, list(zip(firsts, firsts, [*firsts[1:], clip.num_frames], strict=True))


def _cuts(clip: vs.VideoNode) -> list[int]:
    """The frames that shots begin with, as props say."""
    cuts, last = [0], None
    for n, frame in enumerate(clip.frames(close=True)):
        shot = frame.props.get("DS9VS_Shot")
        if shot is None and "_SceneChangePrev" not in frame.props:
            raise CustomValueError(
                "The frames do not say their shots (DS9VS_Shot, _SceneChangePrev); give the cadence of the tape, the "
                "frames that shots begin with, or [0] for a single shot.",
                measure_bars,
            )
        if n and (frame.props["_SceneChangePrev"] if shot is None else shot != last):
            cuts.append(n)
        last = shot
    return cuts


@dataclass(frozen=True, slots=True)
class _Side:
    """Lines of a shot from one side inwards, as far as bars may reach, in 8-bit codes above black."""

    top: Array
    """The lightest sample of each line, in any picture."""
    mean: Array
    """The mean of each line in the picture where it is lightest."""
    parts: Array
    """The same for each of `BLOCKS` parts of a line."""

    def black(self, level: float, slack: float) -> int:
        """Outer lines that nothing lights."""
        return _run((self.top > LIT) | (self.mean > level + slack))

    def ends(self, count: int, step: float) -> bool:
        """Whether a straight edge ends these lines: nearly half of it is clearly lighter inside."""
        if count + 3 > len(self.parts):
            return False
        outside = self.parts[max(0, count - 3) : max(1, count - 1)].mean(axis=0)
        rise = self.parts[count + 1 : count + 3].mean(axis=0) - outside
        return float(np.mean(rise > step)) >= 0.4

    def edge(self, level: float) -> tuple[int, bool]:
        """Black lines, and whether an edge ends them."""
        count = self.black(level, 0.7)
        # Ringing of a bright edge may light the lines beside it, as far as two blocks of the codec reach.
        wide = self.black(level, 3.0)
        reach = 2 if self.ends(count, 0.8) else 16
        if wide - count <= reach and self.ends(wide, 5.0):
            return wide, True
        return count, reach == 2

    def behind(self, level: float) -> int | None:
        """Lines of a bar that lettering stands in; None without an edge. It leaves a quarter of the parts black."""
        count = _run(np.quantile(self.parts, 0.25, axis=1) > level + 0.7)
        return count if self.ends(count, 0.8) else None


def _run(lit: NDArray[np.bool_]) -> int:
    return int(np.argmax(lit)) if lit.any() else len(lit)


def _lines(clip: vs.VideoNode, chosen: Iterable[int]) -> list[tuple[Array, Array, Array]]:
    """Of columns and of lines: lightest sample, mean, means of parts; of these pictures the lightest of each."""
    scale = 1 << (clip.format.bits_per_sample - 8)
    found: list[tuple[Array, Array, Array]] = []
    for n in chosen:
        with clip.get_frame(n) as frame:
            y = np.asarray(frame[0]).astype(np.float32) / scale - 16
        one = []
        for view in (y.T, y):
            part = max(1, view.shape[1] // BLOCKS)
            parts = view[:, : part * BLOCKS].reshape(len(view), -1, part).mean(axis=2, dtype=np.float64)
            one.append((view.max(axis=1).astype(np.float64), view.mean(axis=1, dtype=np.float64), parts))
        found = (
            one
            if not found
            else [
                (np.maximum(a[0], b[0]), np.maximum(a[1], b[1]), np.maximum(a[2], b[2]))
                for a, b in zip(found, one, strict=True)
            ]
        )
    return found


def _sides(lines: list[tuple[Array, Array, Array]]) -> tuple[_Side, ...]:
    """Left, top, right, bottom."""
    return tuple(
        _Side(*(values[::turn][: len(values) * 3 // 8] for values in lines[axis]))
        for turn in (1, -1)
        for axis in (0, 1)
    )


def _pair(near: _Side, far: _Side, level: float, size: int, share: float) -> Pair | None:
    """The bars of two sides; 0 for a picture that is lit to its edges; None where the dark leaves it open."""
    (a, a_ends), (b, b_ends) = near.edge(level), far.edge(level)
    spare, alike = share * size, ALIKE * size
    if a_ends and b_ends and min(a, b) >= spare and abs(a - b) <= alike:
        return a, b
    for count, ends, other in ((a, a_ends, far), (b, b_ends, near)):
        hidden = other.behind(level) if ends and count >= spare else None
        if hidden is not None and abs(hidden - count) <= alike:
            return a, b
    return (0, 0) if min(a, b) < spare or (a_ends and b_ends) else None


def _adopted(found: list[Pair | None], pairs: list[tuple[_Side, _Side]], level: float) -> list[Pair | None]:
    """Bars for the shots that leave them open: those of the nearest shots that do not, the smaller that are black."""
    known = [n for n, pair in enumerate(found) if pair is not None]
    whole = list(found)
    for n, pair in enumerate(found):
        if pair is not None:
            continue
        at = bisect.bisect(known, n)
        near = [found[m] for m in known[max(0, at - 1) : at + 1]]
        black = tuple(side.black(level, 0.7) for side in pairs[n])
        fits = [p for p in near if p is not None and max(p) and p[0] <= black[0] and p[1] <= black[1]]
        whole[n] = min(fits, default=None)
    return whole


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
            samples. Frames carry `DS9VS_Field` as `ivtc` writes it if the bars are of a tape; else they are those that
            were measured.
        bars: What `measure_bars` gave.
        window: What of the measured picture is shown: left, top, width and height in its samples; None for all.
        func: Named in errors.

    Raises:
        CustomValueError: Another format; while rendering, a frame that does not say its field.

    Example:
        >>> grey = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=2, color=[99, 128, 128])
        >>> bars = Bars(width=704, height=480, shots=(ShotBars(first=0, top=60, bottom=60),))
        >>> np.asarray(paint_bars(grey, bars).get_frame(1)[0])[[0, 59, 60, 419, 420], 0].tolist()
        [16, 16, 99, 99, 16]
    """
    func = func or paint_bars
    kind = clip.format
    if kind is None or kind.color_family == vs.RGB or kind.sample_type or kind.bits_per_sample > 16:
        raise CustomValueError("Bars are painted on YUV or GRAY of 8 to 16 bits.", func, kind.name if kind else None)
    if not any(any(s.sides) for s in bars.shots):
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
    firsts = [s.first for s in bars.shots]

    def told(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        at = n
        if bars.tape is not None:
            if "DS9VS_Field" not in f[1].props:
                raise CustomValueError(
                    f"Frame {n} does not say its field (DS9VS_Field); bars of a tape go with what ivtc() made.", func
                )
            at = int(str(f[1].props["DS9VS_Field"]))
        row = table[bisect.bisect_right(firsts, at) - 1]
        out = f[0].copy()
        out.props.update(zip(_SIDES, row, strict=True))
        return out

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
