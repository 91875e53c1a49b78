"""DVD-Video from its bytes: IFO tables, navigation packs, and the files inside an ISO image.

Imports `streams` only. Says what titles a disc holds and which sectors each one plays; opens no decoder.
Source: the DVD-Video tables as documented by the dvd.sourceforge.net project (mpucoder), which libdvdread reads too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from ..errors import CustomValueError
from .streams import CLOCK, PACK, Audio, Extent, Subtitle, cut, length, read, survey

__all__ = ["Attributes", "Cell", "Nav", "Program", "cells_to_extents", "folder_files", "image_files", "nav", "titles"]

type Func = Callable[..., Any] | str
type Files = Mapping[str, Sequence[Extent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The smallest stretch of a title that an IFO names."""

    first: int
    """First sector, counted from the start of the title set's VOBs."""
    last: int
    """Last sector, inclusive."""
    last_unit: int
    """First sector of the last video object unit."""
    vob: int
    number: int
    interleaved: bool
    """Whether other angles' units lie between its own."""
    duration: Fraction
    """Playback time in seconds as the IFO states it, to a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What an IFO says of the streams of a title set."""

    pal: bool
    aspect: Fraction
    size: tuple[int, int]
    captions: bool
    audio: tuple[Audio, ...]
    subtitles: tuple[Subtitle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A title as an IFO describes it."""

    number: int
    title_set: int
    angles: tuple[tuple[Cell, ...], ...]
    """The cells in playing order, for each angle."""
    chapters: tuple[int, ...]
    """For each chapter the index of its first cell."""
    attributes: Attributes
    audio_ids: tuple[int, ...]
    """For each sound track its stream, as `streams.Packet.track` numbers it."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the first angle."""
        return self.angles[0]


@dataclass(frozen=True, slots=True)
class Nav:
    """A navigation pack: the head of a video object unit."""

    start: int
    """Presentation time of its first picture, ticks of 1/90000 s."""
    end: int
    """Presentation time at which its last picture ends."""
    length: int
    """Sectors of the unit."""
    vob: int
    cell: int


@dataclass(frozen=True, slots=True)
class Walk:
    """What the navigation packs of bare VOBs say."""

    start: int
    """Presentation time of the first picture, ticks."""
    played: int
    """Ticks that the pictures last altogether."""
    breaks: tuple[int, ...]
    """Bytes at which presentation times start again lower."""


class _Table:
    """Big-endian numbers of an IFO; reading past its end is the error of a file cut short."""

    def __init__(self, data: bytes, name: str, func: Func, base: int = 0) -> None:
        self.data, self.name, self.func, self.base = data, name, func, base

    def number(self, at: int, size: int) -> int:
        at += self.base
        if not 0 <= at <= len(self.data) - size:
            raise CustomValueError(
                f"{self.name} is cut short or damaged; copy the .BUP beside it over it, or read the disc again.",
                self.func,
            )
        return int.from_bytes(self.data[at : at + size])

    def at(self, offset: int) -> _Table:
        """The table that begins at an offset from this one."""
        return _Table(self.data, self.name, self.func, self.base + offset)

    def sector(self, at: int) -> _Table:
        """The table that begins at the sector of the file whose number stands here."""
        start = self.number(at, 4)
        if not start:
            raise CustomValueError(f"{self.name} lacks a table that every DVD-Video has; it is damaged.", self.func)
        return _Table(self.data, self.name, self.func, start * PACK)


def folder_files(folder: Path) -> dict[str, list[Extent]]:
    """The files of a VIDEO_TS folder by their names in capitals."""
    return {
        p.name.upper(): [Extent(path=str(p), start=0, stop=p.stat().st_size)] for p in folder.iterdir() if p.is_file()
    }


def image_files(image: Path, func: Func) -> dict[str, list[Extent]]:
    """The files under VIDEO_TS of an ISO 9660 or UDF image; extents that touch are joined.

    Raises:
        CustomValueError: The image is damaged or holds no VIDEO_TS.
    """
    iso = pycdlib.PyCdlib()
    found: dict[str, list[Extent]] = {}
    size = image.stat().st_size
    try:
        iso.open(str(image))
        try:
            kind = "udf_path" if iso.has_udf() else "iso_path"
            for child in iso.list_children(**{kind: "/VIDEO_TS"}):
                if child is None or child.is_dir() or child.is_dot() or child.is_dotdot():
                    continue
                name = child.file_identifier().decode("latin-1").partition(";")[0]
                extents = iso.get_file_byte_extents(**{kind: f"/VIDEO_TS/{child.file_identifier().decode('latin-1')}"})
                found[name.upper()] = [
                    Extent(path=str(image), start=at, stop=min(at + count, size)) for at, count in extents if at < size
                ]
        finally:
            iso.close()
    except PyCdlibException as error:
        if "not find" in str(error):
            return {}
        raise CustomValueError(f"{image.name!r} is not a whole ISO image of a DVD ({error}).", func) from error
    return found


def titles(files: Files, where: str, func: Func) -> list[Program]:
    """The titles that VIDEO_TS.IFO lists.

    Raises:
        CustomValueError: An IFO is missing, cut short or not one.
    """
    manager = _ifo(files, "VIDEO_TS.IFO", b"DVDVIDEO-VMG", where, func)
    table = manager.sector(0xC4)
    sets: dict[int, _Table] = {}
    found = []
    for n in range(table.number(0, 2)):
        entry = table.at(8 + 12 * n)
        title_set, place = entry.number(6, 1), entry.number(7, 1)
        if title_set not in sets:
            sets[title_set] = _ifo(files, f"VTS_{title_set:02d}_0.IFO", b"DVDVIDEO-VTS", where, func)
        found.append(_program(sets[title_set], n + 1, title_set, place))
    return found


def _ifo(files: Files, name: str, magic: bytes, where: str, func: Func) -> _Table:
    if name not in files:
        raise CustomValueError(f"{where!r} has no {name}; a DVD's VIDEO_TS folder needs its .IFO files.", func)
    data = read(files[name], 0, length(files[name]))
    table = _Table(data, name, func)
    if data[:12] != magic:
        if len(data) >= 12:
            raise CustomValueError(f"{name} in {where!r} is not an IFO file of a DVD.", func)
        table.number(0, 12)
    table.number((table.number(0x1C, 4) + 1) * PACK - 1, 1)  # the last sector that the table says it has
    return table


def _program(ifo: _Table, number: int, title_set: int, place: int) -> Program:
    pointers = ifo.sector(0xC8)
    start = pointers.number(8 + 4 * (place - 1), 4)
    more = place < pointers.number(0, 2)
    stop = pointers.number(8 + 4 * place, 4) if more else pointers.number(4, 4) + 1
    parts = [(pointers.number(at, 2), pointers.number(at + 2, 2)) for at in range(start, stop - 3, 4)]
    chains = ifo.sector(0xCC)
    cells: list[tuple[Cell, ...]] = []
    firsts: dict[tuple[int, int], int] = {}
    chain = None
    for at in dict.fromkeys(chain_number for chain_number, _ in parts):
        chain = chains.at(chains.number(8 + 8 * (at - 1) + 4, 4))
        begins, groups = _chain(chain)
        firsts |= {(at, program): len(cells) + index for program, index in begins.items()}
        cells += groups
    if chain is None or not cells:
        return Program(
            number=number, title_set=title_set, angles=((),), chapters=(), attributes=attributes(ifo), audio_ids=()
        )
    streams = [chain.number(0x0C + 2 * n, 2) for n in range(8)]
    said = attributes(ifo)
    kinds = {"ac3": 0xBD80, "dts": 0xBD88, "pcm_dvd": 0xBDA0, "mp2": 0xC000}
    present = [(a, streams[a.number - 1] >> 8 & 7) for a in said.audio if streams[a.number - 1] & 0x8000]
    return Program(
        number=number,
        title_set=title_set,
        angles=tuple(
            tuple(group[min(angle, len(group) - 1)] for group in cells) for angle in range(max(map(len, cells)))
        ),
        chapters=tuple(firsts[part] for part in parts if part in firsts),
        attributes=said,
        audio_ids=tuple(kinds[a.codec] + (stream << 8 if a.codec == "mp2" else stream) for a, stream in present),
    )


def _chain(chain: _Table) -> tuple[dict[int, int], list[tuple[Cell, ...]]]:
    """Of a program chain: for each program the index of its first cell, and the cells, one group for all angles."""
    programs, count = chain.number(2, 1), chain.number(3, 1)
    if not count:
        return {}, []
    map_, play, position = (chain.at(chain.number(at, 2)) for at in (0xE6, 0xE8, 0xEA))
    groups: list[list[Cell]] = []
    index: list[int] = []
    for n in range(count):
        entry, place = play.at(24 * n), position.at(4 * n)
        flags = entry.number(0, 1)
        cell = Cell(
            first=entry.number(8, 4),
            last=entry.number(20, 4),
            last_unit=entry.number(16, 4),
            vob=place.number(0, 2),
            number=place.number(3, 1),
            interleaved=bool(flags & 4),
            duration=_time(entry.number(4, 4)),
        )
        if flags >> 6 in (2, 3) and groups:
            groups[-1].append(cell)
        else:
            groups.append([cell])
        index.append(len(groups) - 1)
    begins = {n + 1: index[min(max(map_.number(n, 1), 1), count) - 1] for n in range(programs)}
    return begins, [tuple(group) for group in groups]


def _time(packed: int) -> Fraction:
    """Seconds of a DVD time: digits of hours, minutes, seconds and frames; NTSC counts 30 frames to its 1.001 s."""
    digits = [packed >> shift & 0xFF for shift in (24, 16, 8)] + [packed & 0x3F]
    hours, minutes, seconds, frames = ((value >> 4) * 10 + (value & 15) for value in digits)
    rate, base = (Fraction(25), 25) if packed >> 6 & 3 == 1 else (Fraction(30000, 1001), 30)
    return ((hours * 3600 + minutes * 60 + seconds) * base + frames) / rate


def attributes(ifo: _Table) -> Attributes:
    """Video, sound and subtitle attributes of a title set."""
    video, lines = ifo.number(0x200, 1), ifo.number(0x201, 1)
    pal = bool(video >> 4 & 3)
    width = (720, 704, 352, 352)[lines >> 2 & 3]
    height = (576 if pal else 480) // (2 if lines >> 2 & 3 == 3 else 1)
    codecs = {0: "ac3", 2: "mp2", 3: "mp2", 4: "pcm_dvd", 6: "dts"}
    audio = []
    for n in range(min(ifo.number(0x202, 2), 8)):
        entry = ifo.at(0x204 + 8 * n)
        audio.append(
            Audio(
                number=n + 1,
                codec=codecs.get(entry.number(0, 1) >> 5, "ac3"),
                channels=(entry.number(1, 1) & 7) + 1,
                language=_language(entry, entry.number(0, 1) >> 2 & 3),
                delay=None,
            )
        )
    subtitles = []
    for n in range(min(ifo.number(0x254, 2), 32)):
        entry = ifo.at(0x256 + 6 * n)
        subtitles.append(
            Subtitle(number=n + 1, codec="dvd_subtitle", language=_language(entry, entry.number(0, 1) & 3))
        )
    return Attributes(
        pal=pal,
        aspect=Fraction(16, 9) if video >> 2 & 3 == 3 else Fraction(4, 3),
        size=(width, height),
        captions=bool(lines & 0xC0),
        audio=tuple(audio),
        subtitles=tuple(subtitles),
    )


def _language(entry: _Table, stated: int) -> str | None:
    code = entry.number(2, 2).to_bytes(2)
    return code.decode("ascii") if stated and code.isalpha() else None


def nav(vobs: Sequence[Extent], sector: int) -> Nav | None:
    """The navigation pack at a sector of a title set's VOBs; None: there is none, or its times are empty."""
    data = read(vobs, sector * PACK, PACK)
    if len(data) < PACK or data[:4] != b"\x00\x00\x01\xba":
        return None
    if data[0x26:0x2A] != b"\x00\x00\x01\xbf" or data[0x400:0x404] != b"\x00\x00\x01\xbf":
        return None
    start, end, size, vob = (int.from_bytes(data[a : a + n]) for a, n in ((0x39, 4), (0x3D, 4), (0x40F, 4), (0x41F, 2)))
    if not start < end <= start + 20 * CLOCK:
        return None
    return Nav(start, end, size + 1, vob, data[0x422])


def units(vobs: Sequence[Extent], first: int, last: int) -> Iterator[tuple[int, Nav]]:
    """The video object units between two sectors, one after another, with the sector of each."""
    at = first
    while at <= last and (pack := nav(vobs, at)):
        yield at, pack
        at += pack.length


def cells_to_extents(vobs: Sequence[Extent], cells: Sequence[Cell]) -> list[Extent]:
    """The bytes that cells play; stretches that touch are joined. Of interleaved cells only their own units."""
    found: list[Extent] = []
    for cell in cells:
        spans = [(cell.first, cell.last + 1)]
        if cell.interleaved:
            own = units(vobs, cell.first, cell.last)
            spans = [(at, at + n.length) for at, n in own if (n.vob, n.cell) == (cell.vob, cell.number)]
        for first, stop in spans:
            for extent in cut(vobs, first * PACK, stop * PACK):
                if found and found[-1].path == extent.path and found[-1].stop == extent.start:
                    extent = Extent(path=extent.path, start=found.pop().start, stop=extent.stop)
                found.append(extent)
    return found


def unit_end(vobs: Sequence[Extent], at: int, unit: Nav) -> int:
    """Ticks at which the pictures of a unit end, counted: the last unit of a stream may state where its sound ends."""
    found = survey(cut(vobs, at * PACK, (at + unit.length) * PACK), "vob", whole=True, inside=True).pictures
    return unit.start + round(found.fields * CLOCK / (2 * found.fps)) if found.fields and found.fps else unit.end


def walk(vobs: Sequence[Extent]) -> Walk | None:
    """Step through VOBs from unit to unit; None: they are not navigated to their end."""
    total = length(vobs)
    played, covered = 0, 0
    breaks: list[int] = []
    start, before = None, None
    begun = 0
    for at, unit in units(vobs, 0, total // PACK):
        if before is None:
            start = begun = unit.start
        elif abs(before[1].end - unit.start) > 2:  # ticks: stamps are rounded
            played += unit_end(vobs, *before) - begun
            begun = unit.start
            if unit.start < before[1].end:
                breaks.append(at * PACK)
        before, covered = (at, unit), covered + unit.length * PACK
    if before is None or start is None or covered < total - PACK:
        return None
    return Walk(start, played + unit_end(vobs, *before) - begun, tuple(breaks))


def cell_time(vobs: Sequence[Extent], cell: Cell) -> tuple[Fraction | None, Fraction]:
    """Presentation time of a cell's first picture (None: unknown), and how long its pictures play, in seconds.

    From its navigation packs and the pictures of its last unit, else from the IFO, which counts whole frames.
    """
    head, tail = nav(vobs, cell.first), nav(vobs, cell.last_unit)
    end = unit_end(vobs, cell.last_unit, tail) if tail else 0
    if head is None or end <= head.start:
        return Fraction(head.start, CLOCK) if head else None, cell.duration
    return Fraction(head.start, CLOCK), Fraction(end - head.start, CLOCK)
