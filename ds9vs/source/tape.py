"""The tape: `source()` opens a disc or file as a frame-exact clip of woven frames with true props.

Imports ground rooms and `disc`. Decoding is BestSource's; this room expands repeat-field flags, tells the truth in the
props, and owns the index cache.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import vapoursynth as vs

from ..errors import CustomRuntimeError, CustomValueError
from ..files import user_folder
from ..plugins import require
from ..props import set_duration, set_sar
from .disc import Disc, Title, describe, ffmpeg_address
from .streams import Extent, cut, length

__all__ = ["cache_folder", "source"]

type Func = Callable[..., Any] | str
type AnyPath = str | os.PathLike[str]


def source(
    path: AnyPath | Sequence[AnyPath],
    *,
    title: int | None = None,
    chapters: tuple[int, int | None] | None = None,
    angle: int = 1,
    tff: bool | None = None,
    sar: Fraction | None = None,
    matrix: int | None = None,
    cache: AnyPath | None = None,
) -> vs.VideoNode:
    """Open a disc or file as its tape: woven frames at the disc's rate, repeat-field flags expanded, true props.

    The clip is YUV420P8 at 30000/1001 or 25 frames a second (MPEG-2), every frame two fields in one constant order. Any
    frame may be asked in any order: BestSource decodes by an index, which the first call makes (about as long as
    decoding the title once) and which is kept in the cache folder. Files that are progressive and not MPEG-2 come at
    their own rate with `_FieldBased` 0, in the format that they hold.

    Props on every frame: `_FieldBased`, `_DurationNum/Den`, `_SARNum/Den`, `_Matrix`, `_Primaries`, `_Transfer`,
    `_Range`, `_ChromaLocation`; `DS9VS_Repeat` (which fields repeat an earlier one by flag: 1 the first, 2 the second,
    3 both); `DS9VS_Guess` (names of what the disc does not say and custom supplied, comma-separated; may be empty).

    Flags that break the order of fields (top, bottom, bottom, top) are mended by repeating the last field once, or by
    dropping the next repeat that was flagged where one was inserted before, so that no time collects.

    Args:
        path: As `probe` takes it.
        title: Number of the title, from 1; needed when a disc has several.
        chapters: Range of chapters as Python counts, from 0, end exclusive: (0, 1) is the first, (2, None) all from the
            third. Cut at the frame that holds the chapter's first field.
        angle: Number of the angle, from 1.
        tff: Field order, against what the flags say: True is top field first.
        sar: Sample aspect ratio, against BT.601's.
        matrix: Matrix code of ITU-T H.273 (6 ST 170M, 5 BT.470BG, 1 BT.709), against what the disc says.
        cache: Folder for indexes; default: `cache_folder()`. Nothing is ever written beside the disc.

    Raises:
        FileWasNotFoundError: There is nothing under that path.
        CustomValueError: No video, encrypted, damaged; no such title, chapter or angle; a variable rate or format.
        CustomRuntimeError: BestSource is missing, or the cache folder is full or read-only.

    Example:
        >>> from ds9vs.files import run
        >>> at = str(tmp_path / "a.m2v")
        >>> _ = run(["ffmpeg", "-f", "lavfi", "-i", "testsrc2=s=720x480:r=30000/1001:d=0.2", "-c:v", "mpeg2video",
        ...          "-vf", "setfield=tff", "-flags", "+ildct", "-aspect", "4:3", "-b:v", "4M", at], "example")
        >>> tape = source(at, cache=tmp_path / "index")
        >>> tape.num_frames, tape.fps, tape.get_frame(0).props["_SARNum"]
        (6, Fraction(30000, 1001), 10)
    """
    disc = describe(path, source)
    chosen = _title(disc, title)
    if not 1 <= angle <= chosen.angles:
        raise CustomValueError(
            f"Title {chosen.number} has no angle {angle}; it has {_count(chosen.angles, 'angle')}.", source
        )
    _check_chapters(chosen, chapters)
    video, guesses = chosen.video, list(chosen.video.guesses)
    decoded = _join(chosen, angle, cache_folder(cache))
    if video.codec == "mpeg2video":
        fps, order = video.fps, video.field_order
        coded = decoded.pictures
        if order == "progressive":  # the flag then counts repeats of whole frames
            coded = [replace(p, top_first=True) for p in coded]
        table = _expand(coded)
        if order != "progressive" and "field_order" not in guesses:
            order, mixed = _flagged_order(decoded.pictures, bool(table.marks))
            guesses += ["field_order"] * mixed
    else:
        fps, order = _rate(decoded, chosen), _decoded_order(decoded.clip)
        table = _expand([Coded(0, order == "tff")] * decoded.clip.num_frames)
    tape = _weave(decoded.clip, table, order != "bff")
    if chapters is not None:
        marks = chosen.marks or [(0, at) for at in chosen.chapters]
        begins = [table.frame(table.flagged[decoded.parts[part]] + at * 2 * fps) for part, at in marks]
        begins.append(tape.num_frames)
        first, stop = begins[chapters[0]], begins[-1 if chapters[1] is None else chapters[1]]
        if first >= min(stop, tape.num_frames):
            raise CustomValueError(
                f"Chapter {chapters[0]} of title {chosen.number} lies beyond where its files, cut short, end.",
                source,
            )
        tape = tape[first : min(stop, tape.num_frames)]
    if tff is not None:
        order, guesses = "tff" if tff else "bff", [g for g in guesses if g != "field_order"]
    codes = {"_Primaries": video.primaries, "_Transfer": video.transfer, "_Matrix": video.matrix}
    with tape.get_frame(0) as frame:
        said = {k: frame.props[k] for k in codes if frame.props.get(k, 2) not in (0, 2)}
        others = {k: v for k, v in (("_Range", 0), ("_ChromaLocation", 0)) if k not in frame.props}
    if video.codec != "mpeg2video":  # its decoder knows more than its container
        codes |= said
        guesses = [g for g in guesses if f"_{g.capitalize()}" not in said]
    if matrix is not None:
        codes["_Matrix"], guesses = matrix, [g for g in guesses if g != "matrix"]
    if sar is not None:
        guesses = [g for g in guesses if g != "sar"]
    tape = tape.std.RemoveFrameProps(["TopFieldFirst", "RepeatField"]).std.SetFieldBased(_BASED[order])
    tape = tape.std.SetFrameProps(**codes, **others, DS9VS_Guess=",".join(guesses))
    return set_duration(set_sar(tape, sar or video.sar), fps)


_BASED = {"progressive": 0, "bff": 1, "tff": 2}


def _count(number: int, what: str) -> str:
    return f"only one {what}" if number == 1 else f"{number} {what}s"


def _title(disc: Disc, number: int | None) -> Title:
    listed = ", ".join(f"{t.number} ({_clock(t.duration)}, {len(t.chapters)} chapters)" for t in disc.titles)
    if number is None:
        if len(disc.titles) == 1:
            return disc.titles[0]
        raise CustomValueError(f"{disc.path!r} has several titles: {listed}; choose one with title=.", source)
    for title in disc.titles:
        if title.number == number:
            return title
    raise CustomValueError(f"{disc.path!r} has no title {number}; there is: {listed}.", source)


def _clock(seconds: Fraction | None) -> str:
    whole = round(seconds or 0)
    return "length unknown" if seconds is None else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _check_chapters(title: Title, chapters: tuple[int, int | None] | None) -> None:
    if chapters is None:
        return
    first, stop = chapters
    count = len(title.chapters)
    last = count if stop is None else stop
    if not 0 <= first < last <= count:
        have = f"chapters 0 to {count - 1}, so (0, {count}) is all of them" if count else "no chapters"
        raise CustomValueError(
            f"Title {title.number} has no range of chapters {chapters!r}; it has {have}.", source, chapters
        )


@dataclass(frozen=True, slots=True)
class Coded:
    """The flags of one decoded picture."""

    repeats: int
    """Fields that it shows beyond its two."""
    top_first: bool
    time: int | None = None
    """Time stamp in ticks of the container; None: it has none."""


@dataclass(frozen=True, slots=True)
class Table:
    """How pictures fill the fields of the tape. All lists ascend."""

    first: list[int]
    """For each tape frame, the picture that its first field shows."""
    second: list[int]
    marks: bytes
    """DS9VS_Repeat of each frame; empty: no field repeats."""
    flagged: list[int]
    """For each picture the fields that flags put before it."""
    placed: list[int]
    """For each picture the field of the tape at which it starts: differs from `flagged` after broken flags."""

    def frame(self, field: Fraction) -> int:
        """The tape frame that holds a field counted by flags, to the nearest field."""
        at = round(field)
        picture = max(bisect.bisect_right(self.flagged, at) - 1, 0)
        return (self.placed[picture] + at - self.flagged[picture]) // 2


def _expand(pictures: Sequence[Coded]) -> Table:
    """Fields in time order: each picture shows its two, and the first again when flagged (13818-2, 6.3.10).

    Where a picture would start on the parity that was just shown (broken flags, as between cells), the last field is
    repeated once, or a flagged repeat dropped to pay for an earlier such insertion. Streams whose flags contradict each
    other often are not believed: their pictures follow each other in one order.
    """
    if not any(p.repeats for p in pictures):
        every = list(range(len(pictures)))
        return Table(every, every, b"", [2 * n for n in every], [2 * n for n in every])
    clashes, expected = 0, pictures[0].top_first
    for p in pictures:
        clashes += p.top_first != expected
        expected = p.top_first ^ bool(p.repeats & 1)
    believed = clashes <= 2 + len(pictures) // 200
    shown: list[int] = []
    repeat = bytearray()
    flagged, placed, total, owed = [], [], 0, 0
    for n, p in enumerate(pictures):
        if believed and (p.top_first ^ bool(len(shown) & 1)) != pictures[0].top_first:
            if owed and repeat[-1]:
                shown.pop()
                repeat.pop()
                owed -= 1
            else:
                shown.append(n - 1)
                repeat.append(1)
                owed += 1
        flagged.append(total)
        placed.append(len(shown))
        shown += [n] * (2 + p.repeats)
        repeat += bytes(2) + b"\1" * p.repeats
        total += 2 + p.repeats
    if len(shown) & 1:
        shown.append(shown[-1])
        repeat.append(1)
    marks = bytes(a | b << 1 for a, b in zip(repeat[::2], repeat[1::2], strict=True))
    return Table(shown[::2], shown[1::2], marks, flagged, placed)


def _weave(clip: vs.VideoNode, table: Table, top_first: bool) -> vs.VideoNode:
    """The tape by its table: a node for each field, one that weaves, one that marks repeats."""
    if not table.marks:
        return clip.std.SetFrameProps(DS9VS_Repeat=0)
    first, second = (
        clip.std.DuplicateFrames([a for a, b in pairwise(which) if a == b]) for which in (table.first, table.second)
    )
    top, bottom = (first, second) if top_first else (second, first)
    marks = table.marks

    def mark(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        marked = f.copy()
        marked.props["DS9VS_Repeat"] = marks[n]
        return marked

    woven: vs.VideoNode = require("akarin.Expr", source)([top, bottom], "Y 2 % y x ?")
    return woven.std.ModifyFrame(woven, mark)


def _flagged_order(pictures: Sequence[Coded], expanded: bool) -> tuple[str, bool]:
    """The order of the tape's fields, and whether the flags disagree about it."""
    top = sum(p.top_first for p in pictures)
    first = pictures[0].top_first if expanded else 2 * top >= len(pictures)
    return "tff" if first else "bff", not expanded and 0 < top < len(pictures)


def _decoded_order(clip: vs.VideoNode) -> str:
    """The field order that a decoder other than MPEG-2's reports, by a few frames; mostly progressive."""
    found = []
    for n in sorted({clip.num_frames * k // 8 for k in range(8)}):
        with clip.get_frame(n) as frame:
            found.append(int(frame.props.get("_FieldBased", 0)))
    return "tff" if 2 in found else "bff" if 1 in found else "progressive"


@dataclass(frozen=True, slots=True)
class Decoded:
    """BestSource's clip of coded pictures, with what its index knows of them."""

    clip: vs.VideoNode
    pictures: list[Coded]
    parts: tuple[int, ...] = (0,)
    """The picture at which each part begins."""


def cache_folder(cache: AnyPath | None = None) -> Path:
    """Where indexes are kept: the folder given, else the user's cache folder as the platform has it.

    Example:
        >>> cache_folder("here").name
        'here'
    """
    if cache is not None:
        return Path(cache)
    return user_folder("cache")


def _join(title: Title, angle: int, folder: Path) -> Decoded:
    """Open a title, in parts where its clock is set back: BestSource would decode from the start for every seek."""
    extents = title.extents[angle - 1]
    offsets = [0, *title.breaks[angle - 1], length(extents)]
    parts = [
        _decode(cut(extents, a, b), title.files[0], folder, max(100 // (len(offsets) - 1), 20))
        for a, b in pairwise(offsets)
    ]
    if len(parts) == 1:
        return parts[0]
    clips = [part.clip for part in parts]
    if len({(c.format.id, c.width, c.height) for c in clips}) > 1:
        raise _mixed(title.files[0])
    begins = accumulate((c.num_frames for c in clips[:-1]), initial=0)
    return Decoded(vs.core.std.Splice(clips), [p for part in parts for p in part.pictures], tuple(begins))


def _mixed(name: str) -> CustomValueError:
    return CustomValueError(
        f"The pictures of {name!r} change their size or format on the way; give files of one format together.", source
    )


def _decode(extents: Sequence[Extent], name: str, folder: Path, megabytes: int) -> Decoded:
    """Open a stream through BestSource, its index keyed by the files and their times, and published whole.

    BestSource checks an index by the size of the file only, and writes it in place: a full disk or a killed process
    leaves half of one. So it sees a private copy.
    """
    video = require("bs.VideoSource", source, "cachemode", "cachepath", "cachesize", "variableformat", "rff")
    address = ffmpeg_address(extents, source)
    plugin = vs.core.bs.version
    key = hashlib.sha256(f"{address} {plugin} {_stamp(extents)}".encode()).hexdigest()[:24]
    with _workplace(folder) as work:
        kept = next(iter(sorted(folder.glob(f"{key}.*.bsindex"))), None)
        before = kept.read_bytes() if kept else b""
        if kept:
            (work / kept.name).write_bytes(before)
        try:
            clip = video(address, cachemode=4, cachepath=str(work / key), cachesize=megabytes, variableformat=-1, rff=0)
        except vs.Error as error:
            if "write index" in str(error):
                raise _unwritable(folder, "it is full") from error
            said = str(error).removeprefix("VideoSource: ").rstrip(".")
            raise CustomValueError(f"{name!r} cannot be decoded: {said}.", source) from error
        if clip.format is None or not clip.width:
            raise _mixed(name)
        made = next(work.glob("*.bsindex"), None)
        data = made.read_bytes() if made else b""
        pictures = _index(data)
        if pictures is None or len(pictures) != clip.num_frames:
            raise CustomRuntimeError(
                "The index of this release of BestSource is unknown; type: pip install 'vapoursynth-bestsource==22'",
                source,
            )
        if made and data != before:
            made.replace(folder / made.name)
    return Decoded(clip, pictures)


def _stamp(extents: Sequence[Extent]) -> str:
    """What tells one state of the files from another."""
    found = {e.path: Path(e.path).stat() for e in extents}
    return " ".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in found.items())


def _unwritable(folder: Path, why: str) -> CustomRuntimeError:
    return CustomRuntimeError(
        f"The cache folder {str(folder)!r} cannot be written ({why}); give another with cache=.", source
    )


@contextlib.contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A private folder inside the cache, gone afterwards; what a killed process left is swept after a day."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("work-*"):
            if old.stat().st_mtime < time.time() - 86_400:
                shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="work-", dir=folder, ignore_cleanup_errors=True) as work:
            yield Path(work)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error


def _index(data: bytes) -> list[Coded] | None:
    """The flags of each picture, in order of display, from an index file of BestSource 22; None: not a whole one.

    Layout: magic and versions (20 bytes), size of the source (8), four numbers (16), pictures (8), last duration (8),
    entries of the dictionary (4); if any, a start time (8), the entries (25 each; their times are differences), then
    for each picture an entry number and a hash (9); else for each picture a hash (8) and its own entry (25).
    """
    if data[:4] != b"BS2V" or len(data) < 72:
        return None
    count, entries, last = struct.unpack_from("<q8xiq", data, 44)
    if not 0 < count < 1 << 31 or not 0 <= entries <= 255:
        return None
    if not entries:
        whole = len(data) == 64 + 33 * count
        return [_coded(data, 72 + 33 * n) for n in range(count)] if whole else None
    if len(data) != 72 + 25 * entries + 9 * count:
        return None
    known = [_coded(data, 72 + 25 * n) for n in range(entries)]
    found = []
    for key in data[72 + 25 * entries :: 9]:
        coded = known[key]
        if coded.time is not None:
            last += coded.time
            coded = replace(coded, time=last)
        found.append(coded)
    return found


def _coded(data: bytes, at: int) -> Coded:
    """An entry: time stamp (8), repeats, format, width, height (4 each), 1 key frame + 2 top field first."""
    time, repeats, flags = struct.unpack_from("<qi12xB", data, at)
    return Coded(repeats, bool(flags & 2), None if time == -(1 << 63) else time)


def _rate(decoded: Decoded, title: Title) -> Fraction:
    """The constant rate of a clip that is not MPEG-2; its time stamps must agree.

    Raises:
        CustomValueError: They do not.
    """
    fps = decoded.clip.fps if "fps" in title.video.guesses else title.video.fps
    times = [p.time for p in decoded.pictures if p.time is not None]
    step = (times[-1] - times[0]) / max(len(times) - 1, 1) if len(times) == len(decoded.pictures) else 0
    off = max(abs(at - times[0] - n * step) for n, at in enumerate(times)) if step else 0
    if not fps or off > step:
        raise CustomValueError(
            f"{title.files[0]!r} has a variable frame rate; convert it to a constant one first.", source
        )
    return fps
