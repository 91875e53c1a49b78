"""What a disc or file holds: `probe()`, from headers only, as plain frozen data.

Imports ground rooms and `streams`, `dvd`, `containers`. Opens no plugin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..errors import CustomValueError
from ..files import existing
from ..timing import NTSC, PAL
from . import containers, dvd
from .streams import CLOCK, PACK, Audio, Extent, Pictures, Subtitle, Survey, Video, length, survey, transport_unit

__all__ = ["Audio", "Disc", "Subtitle", "Title", "Video", "describe", "ffmpeg_address", "probe"]

type Func = Callable[..., Any] | str
type AnyPath = str | os.PathLike[str]

TOLERANCE = 2
"""Ticks by which rounded time stamps may miss each other."""
SAMPLED = 64 << 20
"""Bytes above which the flags of a stream are sampled, not counted."""
KINDS = "VOB, VIDEO_TS folder, ISO image of a DVD, MPEG-2 video (.m2v), Matroska, transport stream or MP4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """One title of a disc, or the one that a file is. Plain data."""

    number: int
    """Counted from 1, as players show it."""
    files: tuple[str, ...]
    """The files that hold its pictures, in order."""
    duration: Fraction | None
    """Seconds, exact to a field, from the first picture that can be decoded; None: the file does not say.
    Of Matroska that is not MPEG-2 the file's, that is, of its longest track."""
    video: Video
    audio: tuple[Audio, ...]
    subtitles: tuple[Subtitle, ...]
    chapters: tuple[Fraction, ...]
    """Where each chapter starts, in seconds of the tape."""
    angles: int
    address: str
    """What `ffmpeg -i` takes for this title (its first angle): a path, or a `subfile:`/`concat:` address."""
    truncated: bool
    """Whether files are shorter than the disc's tables say; the title then plays to where they end."""
    extents: tuple[tuple[Extent, ...], ...] = field(repr=False)
    """Where its bytes lie, for each angle."""
    breaks: tuple[tuple[int, ...], ...] = field(default=((),), repr=False)
    """For each angle, the offsets among its bytes at which the clock of the stream is set back. A decoder cannot seek
    by time across these."""
    marks: tuple[tuple[int, Fraction], ...] = field(default=(), repr=False)
    """Each chapter again, as the number of the part between such breaks, and seconds in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """What `probe()` found: plain data."""

    path: str
    kind: str
    """"vob", "video_ts", "iso", "m2v", "mkv", "ts" or "mp4": by content, not by name."""
    titles: tuple[Title, ...]


def probe(path: AnyPath | Sequence[AnyPath]) -> Disc:
    """Titles, tracks, chapters, flags and colour of a disc or file, from its headers: no plugin, no decoding.

    Args:
        path: A VOB, a `VIDEO_TS` folder (or the folder that holds it), an ISO image of a DVD, MPEG-2 video (`.m2v`),
            Matroska, a transport stream with MPEG-2 video, or MP4. The kind is found by content. `VTS_01_1.VOB` means
            the whole title set: its siblings `VTS_01_2.VOB` ... follow it. A list of VOBs means just these.

    Returns:
        A frozen `Disc`. Shares of flags are counted over streams up to 64 MiB and sampled in longer ones. A title cut
        short is read to where it ends and says so (`Title.truncated`).

    Raises:
        FileWasNotFoundError: There is nothing under that path.
        CustomValueError: It is empty, encrypted, cut short where it matters (IFO, MP4 head), or no video.

    Example:
        >>> code = bytes.fromhex("000001b3 2d01e0 24 ffffe0 18  000001b5 14 82 00 01 00 00")     # sequence, extension
        >>> code += bytes.fromhex("00000100 000f fff8  000001b5 8f fff3 81 80 00") * 12          # pictures, TFF
        >>> _ = (tmp_path / "a.m2v").write_bytes(code)
        >>> video = probe(tmp_path / "a.m2v").titles[0].video
        >>> video.width, video.fps, video.aspect, video.sar, video.field_order
        (720, Fraction(30000, 1001), Fraction(4, 3), Fraction(10, 11), 'tff')
    """
    return describe(path, probe)


def describe(path: AnyPath | Sequence[AnyPath], func: Func) -> Disc:
    """`probe()`, with errors in the name of the function that calls it."""
    if not isinstance(path, (str, os.PathLike)):
        files = [_file(p, func) for p in path]
        if not files:
            raise CustomValueError("An empty list of files was given; give at least one VOB.", func)
        if other := [p.name for p in files if _sniff(p, func) != "vob"]:
            raise CustomValueError(f"{other[0]!r} is no VOB; only VOBs are given as a list.", func)
        return Disc(path=str(files[0]), kind="vob", titles=(_stream(files, "vob", func),))
    found = existing(path, func)
    if found.is_dir():
        return Disc(
            path=str(found), kind="video_ts", titles=_disc(dvd.folder_files(_video_ts(found, func)), found, func)
        )
    found = _file(found, func)
    kind = _sniff(found, func)
    if kind == "video_ts":
        return Disc(path=str(found), kind=kind, titles=_disc(dvd.folder_files(found.parent), found.parent, func))
    if kind == "iso":
        return Disc(path=str(found), kind=kind, titles=_disc(dvd.image_files(found, func), found, func))
    if kind in ("mkv", "mp4"):
        return Disc(path=str(found), kind=kind, titles=(_container(found, kind, func),))
    parts = _siblings(found) if kind == "vob" else [found]
    return Disc(path=str(found), kind=kind, titles=(_stream(parts, kind, func),))


def _file(path: AnyPath, func: Func) -> Path:
    found = existing(path, func).absolute()
    if not found.is_file():
        raise CustomValueError(f"{str(path)!r} is not a regular file.", func)
    if not found.stat().st_size:
        raise CustomValueError(f"{str(path)!r} is empty.", func)
    return found


def _video_ts(folder: Path, func: Func) -> Path:
    for candidate in (folder, *(p for p in folder.iterdir() if p.is_dir() and p.name.upper() == "VIDEO_TS")):
        if any(p.name.upper() == "VIDEO_TS.IFO" for p in candidate.iterdir()):
            return candidate.absolute()
    raise CustomValueError(
        f"The folder {str(folder)!r} holds no VIDEO_TS with a VIDEO_TS.IFO; give that folder, or a file.", func
    )


def _sniff(path: Path, func: Func) -> str:
    """What kind of file it is, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
        file.seek(16 * PACK)
        volume = file.read(6)[1:]
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "mkv"
    if head[:8] == b"DVDVIDEO":
        return "video_ts"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if head[:4] == b"\x00\x00\x01\xba":
        return "vob"
    if head.lstrip(b"\x00")[:2] == b"\x01\xb3" and head[:2] == b"\x00\x00":
        return "m2v"
    if volume in (b"CD001", b"BEA01"):
        return "iso"
    if transport_unit(head):
        return "ts"
    raise CustomValueError(f"{str(path)!r} is no video that can be read; give a {KINDS}.", func)


def _siblings(vob: Path) -> list[Path]:
    """All VOBs of the title set that a VOB belongs to by its name, else that file alone."""
    match = re.fullmatch(r"(VTS_\d\d_)[1-9](\.VOB)", vob.name, re.IGNORECASE)
    if not match:
        return [vob]
    named = {p.name.upper(): p for p in vob.parent.iterdir()}
    names = [f"{match[1]}{n}{match[2]}".upper() for n in range(1, 10)]
    return [named[name] for name in names if name in named and named[name].stat().st_size]


def _whole(path: Path) -> Extent:
    return Extent(path=str(path.absolute()), start=0, stop=path.stat().st_size)


def ffmpeg_address(extents: Sequence[Extent], func: Func) -> str:
    """The ffmpeg address of some extents."""
    parts = []
    for e in extents:
        entire = e.start == 0 and e.stop == Path(e.path).stat().st_size
        parts.append(e.path if entire else f"subfile,,start,{e.start},end,{e.stop},,:{e.path}")
    if len(parts) == 1:
        return parts[0]
    if any("|" in e.path for e in extents):
        raise CustomValueError(f"The path {extents[0].path!r} contains '|', which joins files; rename it.", func)
    return "concat:" + "|".join(parts)


def _stream(files: Sequence[Path], kind: str, func: Func) -> Title:
    """The title that VOBs, a transport stream or bare MPEG-2 video make."""
    extents = tuple(_whole(p) for p in files)
    clock = dvd.walk(extents) if kind == "vob" else None
    found = survey(extents, kind, whole=clock is None or length(extents) <= SAMPLED)
    _check(found, files[0].name, func)
    fps = found.pictures.fps or NTSC
    if found.whole or clock is None:
        duration = found.pictures.fields / (2 * fps)
    else:
        lead = found.start - Fraction(clock.start, CLOCK) if found.start is not None else Fraction(0)
        duration = _to_field(Fraction(clock.played, CLOCK) - lead, fps)
    plain = Title(
        number=1,
        files=tuple(str(p) for p in files),
        duration=duration,
        video=_mpeg_video(found.pictures, None, None),
        audio=_sounds(found, None),
        subtitles=tuple(
            Subtitle(number=n + 1, codec=t.codec, language=t.language)
            for n, t in enumerate(t for _, t in sorted(found.tracks.items()) if "sub" in t.codec or "text" in t.codec)
        ),
        chapters=(),
        angles=1,
        address=ffmpeg_address(extents, func),
        truncated=False,
        extents=(extents,),
        breaks=(clock.breaks if clock else (),),
    )
    return _with_ifo(plain, files[0], func)


def _with_ifo(title: Title, vob: Path, func: Func) -> Title:
    """What the IFO beside a VOB adds: all that it says when the title set is one title, else languages."""
    match = re.fullmatch(r"VTS_(\d\d)_1\.VOB", vob.name, re.IGNORECASE)
    named = dvd.folder_files(vob.parent) if match else {}
    if not match or "VIDEO_TS.IFO" not in named or f"VTS_{match[1]}_0.IFO" not in named:
        return title
    listed = _disc(named, vob.parent, func, title_set=int(match[1]))
    if len(listed) == 1 and listed[0].extents[0] == title.extents[0]:
        return replace(listed[0], number=1)
    tracks = {a.number: a.language for t in listed for a in t.audio}
    return replace(
        title,
        audio=tuple(replace(a, language=tracks.get(a.number, a.language)) for a in title.audio),
        subtitles=listed[0].subtitles if listed else title.subtitles,
    )


def _check(found: Survey, name: str, func: Func) -> None:
    if found.scrambled:
        raise CustomValueError(
            f"{name!r} is encrypted (CSS or the like); only decrypted copies of a disc can be read.", func
        )
    if found.video not in (None, "mpeg2video"):
        raise CustomValueError(
            f"{name!r} holds {found.video} video; of program and transport streams only MPEG-2 video is read: "
            "remux it into Matroska (mkvmerge -o out.mkv in).",
            func,
        )
    if not found.pictures.halves or not found.pictures.width:
        raise CustomValueError(f"{name!r} holds no video: no whole MPEG-2 picture was found in it.", func)


def _disc(
    files: dict[str, list[Extent]], where: Path, func: Func, *, title_set: int | None = None
) -> tuple[Title, ...]:
    if "VIDEO_TS.IFO" not in files:
        raise CustomValueError(f"{str(where)!r} holds no VIDEO_TS with a VIDEO_TS.IFO; it is no DVD-Video.", func)
    programs = [p for p in dvd.titles(files, str(where), func) if p.cells]
    if title_set is not None:
        programs = [p for p in programs if p.title_set == title_set]
    found = [_dvd_title(p, files, where, func) for p in programs]
    if not found and title_set is None:
        raise CustomValueError(f"The disc {str(where)!r} lists no titles.", func)
    return tuple(found)


def _dvd_title(program: dvd.Program, files: dict[str, list[Extent]], where: Path, func: Func) -> Title:
    vobs: list[Extent] = []
    for n in range(1, 10):
        vobs += files.get(f"VTS_{program.title_set:02d}_{n}.VOB", [])
    extents = tuple(tuple(dvd.cells_to_extents(vobs, cells)) for cells in program.angles)
    if not all(extents):
        raise CustomValueError(
            f"Title {program.number} of {str(where)!r} has no pictures: its VOBs (title set {program.title_set}) are "
            "missing or cut short.",
            func,
        )
    wanted = max(cell.last + 1 for cells in program.angles for cell in cells) * PACK
    found = survey(extents[0], "vob", whole=length(extents[0]) <= SAMPLED)
    _check(found, f"{where.name}, title {program.number}", func)
    said = program.attributes
    fps = found.pictures.fps or (PAL if said.pal else NTSC)
    times = [dvd.cell_time(vobs, cell) for cell in program.cells]
    first, lead = times[0][0], Fraction(0)
    if found.start is not None and first is not None and 0 <= found.start - first < 2:
        lead = found.start - first
    starts = list(accumulate((took for _, took in times), initial=-lead))
    breaks = tuple(_breaks(vobs, cells) for cells in program.angles)
    truncated = wanted > length(vobs)
    places, offset, part, begun = [], 0, 0, Fraction(0)
    for cell, start in zip(program.cells, starts, strict=False):
        if offset in breaks[0]:
            part, begun = part + 1, start
        places.append((part, start - begun))
        offset += length(dvd.cells_to_extents(vobs, [cell]))
    counted = found.pictures.fields / (2 * fps)
    return Title(
        number=program.number,
        files=tuple(dict.fromkeys(e.path for e in extents[0])),
        duration=counted if found.whole else None if truncated else _to_field(starts[-1], fps),
        video=_mpeg_video(found.pictures, said.aspect, said.captions),
        audio=_sounds(found, program),
        subtitles=said.subtitles,
        chapters=tuple(max(_to_field(starts[cell], fps), Fraction(0)) for cell in program.chapters),
        angles=len(program.angles),
        address=ffmpeg_address(extents[0], func),
        truncated=truncated,
        extents=extents,
        breaks=breaks,
        marks=tuple((part, max(_to_field(at, fps), Fraction(0))) for part, at in (places[c] for c in program.chapters)),
    )


def _breaks(vobs: Sequence[Extent], cells: Sequence[dvd.Cell]) -> tuple[int, ...]:
    """Offsets among the bytes of some cells at which presentation times start again lower."""
    found, offset, end = [], 0, Fraction(0)
    for cell in cells:
        start, took = dvd.cell_time(vobs, cell)
        if start is not None:
            if offset and start + Fraction(TOLERANCE, CLOCK) < end:
                found.append(offset)
            end = start + took
        offset += length(dvd.cells_to_extents(vobs, [cell]))
    return tuple(found)


def _to_field(seconds: Fraction, fps: Fraction) -> Fraction:
    """Rounded to a whole field: time stamps of 1/90000 s cannot hold half a tick."""
    return round(seconds * 2 * fps) / (2 * fps)


def _sounds(found: Survey, program: dvd.Program | None) -> tuple[Audio, ...]:
    """The sound tracks: those that an IFO lists, else those that were met."""
    if program is not None:
        listed = [
            (a, found.tracks.get(key)) for a, key in zip(program.attributes.audio, program.audio_ids, strict=False)
        ]
        return tuple(replace(a, delay=found.delay(track) if track else None) for a, track in listed)
    met = [t for _, t in sorted(found.tracks.items()) if "sub" not in t.codec and "text" not in t.codec]
    return tuple(
        Audio(number=n + 1, codec=t.codec, channels=t.channels, language=t.language, delay=found.delay(t))
        for n, t in enumerate(met)
    )


def _sar(width: int, height: int, aspect: Fraction) -> Fraction:
    """Sample aspect ratio for a stated display aspect, by BT.601: of 720 samples, 704 make up the picture."""
    if height in (480, 486, 576, 240, 288) and width in (720, 704, 480, 352):
        return (
            aspect * (480 if height == 486 else height) / (Fraction(width * 44, 45) if width in (720, 480) else width)
        )
    return aspect * height / width


def _shape(
    width: int, height: int, stated: Fraction | None, sar: Fraction | None
) -> tuple[Fraction | None, Fraction | None]:
    """Display aspect and sample aspect from what the stream states and what its container states; None: neither does.

    A container that stands for the other of 4:3 and 16:9 wins over its stream, as in players; square samples there are
    a default, not a statement.
    """
    named = None
    if sar is not None and width and height:
        both = (Fraction(4, 3), Fraction(16, 9))
        named = next((a for a in both if sar in (_sar(width, height, a), a * height / width)), None)
    aspect = named or stated
    return aspect, _sar(width, height, aspect) if aspect else sar


def _colours(height: int, stated: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], list[str]]:
    """Primaries, transfer, matrix, and which of them are guesses by size. 2 is H.273's "unspecified"."""
    custom = (5, 6, 5) if height in (576, 288) else (6, 6, 6) if height < 720 else (1, 1, 1)
    known = [value if value not in (0, 2) else None for value in stated or (2, 2, 2)]
    names = [name for name, value in zip(("primaries", "transfer", "matrix"), known, strict=True) if value is None]
    found = [value or guess for value, guess in zip(known, custom, strict=True)]
    return (found[0], found[1], found[2]), names


def _mpeg_video(p: Pictures, aspect: Fraction | None, captions: bool | None, sar: Fraction | None = None) -> Video:
    """The picture track, from the headers of its pictures and what an IFO or container adds."""
    (primaries, transfer, matrix), guesses = _colours(p.height, p.colour)
    aspect, shape = _shape(p.width, p.height, aspect or p.aspect, Fraction(1) if p.square and sar is None else sar)
    if shape is None:
        shape = _sar(p.width, p.height, Fraction(4, 3))
        guesses.append("sar")
    top = p.opening[1] if p.repeats else 2 * p.top_first >= p.frames  # repeats turn the order of each second picture
    order = "progressive" if p.progressive_sequence else "tff" if top else "bff"
    if order != "progressive" and not p.top_first and not p.interlaced and not p.repeats:
        order = "tff"  # encoders of progressive frames leave the flag at 0, which then means nothing
        guesses.append("field_order")
    if p.fps is None:
        guesses.append("fps")
    return Video(
        codec="mpeg2video",
        width=p.width,
        height=p.height,
        fps=p.fps or (PAL if p.height in (576, 288) else NTSC),
        aspect=aspect,
        sar=shape,
        field_order=order,
        repeats=Fraction(2 * p.repeats, max(p.halves, 1)),
        interlaced=Fraction(p.interlaced, max(p.halves, 1)),
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        captions=p.captions or bool(captions),
        guesses=tuple(guesses),
    )


def _container(path: Path, kind: str, func: Func) -> Title:
    """The title that a Matroska or MP4 file is."""
    extent = _whole(path)
    try:
        file = (containers.matroska if kind == "mkv" else containers.mp4)(path)
    except ValueError:
        missing = "the description of its tracks" if kind == "mkv" else "its 'moov' box"
        raise CustomValueError(
            f"{path.name!r} is cut short or damaged: {missing} is missing; copy or record it again.", func
        ) from None
    streams = {name: [s for s in file.streams if s.kind == name] for name in ("video", "audio", "subtitle")}
    if not streams["video"]:
        raise CustomValueError(f"{path.name!r} holds no video track.", func)
    main = streams["video"][0]
    start, duration = main.start, file.duration
    if main.codec == "mpeg2video":
        found = survey([extent], "m2v", whole=extent.stop <= SAMPLED)
        _check(found, path.name, func)
        video = _mpeg_video(found.pictures, None, None, main.sar)
        if found.whole:
            duration = found.pictures.fields / (2 * video.fps)
    else:
        video = _coded_video(main)
        if main.frames:
            duration = main.frames / video.fps
    if duration is not None:
        duration = _to_field(duration, video.fps)
    return Title(
        number=1,
        files=(extent.path,),
        duration=duration,
        video=video,
        audio=tuple(
            Audio(
                number=n + 1,
                codec=s.codec,
                channels=s.channels,
                language=s.language,
                delay=s.start - start if s.start is not None and start is not None else None,
            )
            for n, s in enumerate(streams["audio"])
        ),
        subtitles=tuple(
            Subtitle(number=n + 1, codec=s.codec, language=s.language) for n, s in enumerate(streams["subtitle"])
        ),
        chapters=tuple(max(_to_field(c - (start or 0), video.fps), Fraction(0)) for c in file.chapters),
        angles=1,
        address=extent.path,
        truncated=False,
        extents=((extent,),),
    )


def _coded_video(s: containers.Stream) -> Video:
    """A picture track that is not MPEG-2, from its container alone."""
    (primaries, transfer, matrix), guesses = _colours(s.height, s.colour)
    guesses += [name for name, value in (("sar", s.sar), ("fps", s.fps)) if value is None]
    aspect, sar = _shape(s.width, s.height, None, s.sar)
    return Video(
        codec=s.codec,
        width=s.width,
        height=s.height,
        fps=s.fps or NTSC,
        aspect=aspect,
        sar=sar or Fraction(1),
        field_order={True: "tff", False: "bff", None: "progressive"}[s.tff],
        repeats=Fraction(0),
        interlaced=Fraction(s.tff is not None),
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        captions=False,
        guesses=tuple(guesses),
    )
