"""MPEG-2 video, program streams (VOB) and transport streams read from their bytes: what a decoder does not tell.

Flags, aspect, colour, captions, time stamps, tracks, scrambling. Imports nothing of ours and
needs no plugin. Never decodes a picture. Sources: ISO/IEC 13818-1 (systems), 13818-2 (video), ATSC A/52 (AC-3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

__all__ = [
    "CLOCK",
    "PACK",
    "Audio",
    "Extent",
    "Packet",
    "Pictures",
    "Subtitle",
    "Survey",
    "Video",
    "chunks",
    "cut",
    "length",
    "read",
    "survey",
    "transport_unit",
]

CLOCK = 90_000
"""Ticks a second of presentation time stamps (13818-1, 2.4.3.7)."""
PACK = 2048
"""Bytes of a DVD sector; a pack of a VOB fills one."""
CHUNK = 4 << 20

RATES = {
    1: Fraction(24000, 1001),
    2: Fraction(24),
    3: Fraction(25),
    4: Fraction(30000, 1001),
    5: Fraction(30),
    6: Fraction(50),
    7: Fraction(60000, 1001),
    8: Fraction(60),
}
"""frame_rate_code of 13818-2, table 6-4."""
ASPECTS = {2: Fraction(4, 3), 3: Fraction(16, 9), 4: Fraction(221, 100)}
"""aspect_ratio_information of 13818-2, table 6-3; 1 is square samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A stretch of a file: bytes `start` to `stop` (exclusive)."""

    path: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """The picture track of a title."""

    codec: str
    """As ffmpeg names it: "mpeg2video", "h264", ..."""
    width: int
    height: int
    fps: Fraction
    """Frames a second as shown: of a soft-telecined film this is the tape's 30000/1001."""
    aspect: Fraction | None
    """Display aspect ratio as the disc states it, usually 4/3 or 16/9; None: it does not."""
    sar: Fraction
    """Sample aspect ratio. By BT.601 704 of 720 samples make the stated aspect: 10/11, 12/11, 40/33, 16/11."""
    field_order: str
    """"tff", "bff", or "progressive" (no fields)."""
    repeats: Fraction
    """Share of pictures that carry a repeat-field flag: 1/2 is soft telecine throughout, 0 none. Long titles are
    sampled."""
    interlaced: Fraction
    """Share of pictures coded as interlaced. Flags describe coding, not content."""
    matrix: int
    """Code of ITU-T H.273, as are the next two: 6 is ST 170M (NTSC), 5 BT.470BG (PAL), 1 BT.709."""
    primaries: int
    transfer: int
    captions: bool
    """Whether closed captions (line 21) were seen."""
    guesses: tuple[str, ...]
    """Names of the fields above that the disc does not state and that were set by custom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """A sound track of a title."""

    number: int
    """Counted from 1 in the order of the disc."""
    codec: str
    """As ffmpeg names it: "ac3", "dts", "mp2", "pcm_dvd", "aac", ..."""
    channels: int | None
    """None: the headers do not tell."""
    language: str | None
    """ISO 639, two letters on DVD, three in files; None: not stated."""
    delay: Fraction | None
    """Seconds from the tape's first picture to the first sound; positive: the sound starts later. None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtitle:
    """A subtitle track of a title."""

    number: int
    codec: str
    language: str | None


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of an elementary stream."""

    track: int
    """DVD: stream id * 256 + sub-stream; transport stream: PID."""
    codec: str
    pts: int | None
    """Presentation time in ticks of `CLOCK`, of the first picture or sound frame that starts in it."""
    scrambled: bool
    payload: bytes


@dataclass(slots=True)
class Pictures:
    """What the headers of an MPEG-2 video stream say, counted over the bytes that `feed` was given."""

    width: int = 0
    height: int = 0
    fps: Fraction | None = None
    aspect: Fraction | None = None
    square: bool = False
    mpeg2: bool = False
    progressive_sequence: bool = False
    colour: tuple[int, int, int] | None = None
    """Primaries, transfer, matrix of the sequence display extension."""
    halves: int = 0
    """Coded pictures, a field picture counting one, a frame picture two."""
    fields: int = 0
    """Fields shown, repeats included; leading pictures that cannot be decoded left out, as decoders do."""
    repeats: int = 0
    interlaced: int = 0
    top_first: int = 0
    frames: int = 0
    captions: bool = False
    references: int = 0
    """Fields of reference pictures so far."""
    closed: bool = False
    """Whether the first group of pictures is closed: its leading pictures need no earlier one."""
    leading: int = 0
    """Fields of the first group that are shown before its first coded picture."""
    opening: tuple[int, bool] = (1 << 10, True)
    """Place in its group, and whether the top field comes first, of the first picture shown."""
    _tail: bytes = b""
    _kind: int = 0
    begun: bool = False
    """Whether a picture header was met, of MPEG-1 or MPEG-2."""
    _place: int = 0
    _groups: int = 0

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """Count the headers in the next bytes of the stream."""
        data = self._tail + data
        end = len(data) if last else max(len(data) - 64, 0)
        for match in _HEADER.finditer(data):
            at = match.start()
            if at >= end:
                break
            body = data[at + 4 : at + 20]
            if len(body) >= 5:
                _PARSE[data[at + 3]](self, body)
        self._tail = b"" if last else data[end:]

    def _sequence(self, b: bytes) -> None:
        self.width, self.height = b[0] << 4 | b[1] >> 4, (b[1] & 15) << 8 | b[2]
        self.fps, self.aspect, self.square = RATES.get(b[3] & 15), ASPECTS.get(b[3] >> 4), b[3] >> 4 == 1

    def _group(self, b: bytes) -> None:
        self._groups += 1
        if not self.references:
            self.closed = bool(b[3] & 0x40)

    def _picture(self, b: bytes) -> None:
        self.begun = True
        self._place, self._kind = b[0] << 2 | b[1] >> 6, b[1] >> 3 & 7

    def _extension(self, b: bytes) -> None:
        match b[0] >> 4:
            case 1 if len(b) >= 6:
                self.mpeg2, self.progressive_sequence = True, bool(b[1] & 8)
                if self.fps:
                    self.fps *= Fraction((b[5] >> 5 & 3) + 1, (b[5] & 31) + 1)
            case 2 if b[0] & 1:
                self.colour = b[1], b[2], b[3]
            case 8:
                self._coded(b)

    def _coded(self, b: bytes) -> None:
        structure, top, repeat, progressive = b[2] & 3, bool(b[3] & 128), bool(b[3] & 2), bool(b[4] & 128)
        if structure != 3:
            shown = 1
        elif not repeat:
            shown = 2
        elif self.progressive_sequence:
            shown = 6 if top else 4
        else:
            shown = 3 if progressive else 2
        if (self._kind != 1 and not self.references) or (self._kind == 3 and self.references < 3 and not self.closed):
            return  # decoders show nothing before the first I picture, nor leading pictures of an open group
        if self._groups <= 1 and self._place < self.opening[0]:
            self.opening = self._place, top if structure == 3 else structure == 1
        if self._kind == 3:
            self.leading += shown if self.references < 3 else 0
        else:
            self.references += 2 if structure == 3 else 1
        self.halves += 2 if structure == 3 else 1
        self.fields += shown
        if structure == 3:
            self.frames += 1
            self.repeats += shown > 2
            self.top_first += top
        elif self.halves % 2:  # the first field of a pair
            self.frames += 1
            self.top_first += structure == 1
        self.interlaced += (1 if structure != 3 else 2) * (not progressive)

    def _user(self, b: bytes) -> None:
        self.captions = self.captions or b[:4] == b"CC\x01\xf8" or b[:5] == b"GA94\x03"


_HEADER = re.compile(rb"\x00\x00\x01[\x00\xb2\xb3\xb5\xb8]")
_PICTURE = re.compile(rb"\x00\x00\x01\x00.(.)", re.DOTALL)
_PARSE = {
    0x00: Pictures._picture,
    0xB2: Pictures._user,
    0xB3: Pictures._sequence,
    0xB5: Pictures._extension,
    0xB8: Pictures._group,
}


@dataclass(slots=True)
class Track:
    """An elementary stream as first met."""

    codec: str
    pts: int | None = None
    channels: int | None = None
    language: str | None = None


@dataclass(slots=True)
class Survey:
    """What a walk over a stream found."""

    pictures: Pictures = field(default_factory=Pictures)
    tracks: dict[int, Track] = field(default_factory=dict)
    start: Fraction | None = None
    """Presentation time of the first picture that a decoder shows, seconds."""
    video: str | None = None
    """Codec of the picture track; None: none was met."""
    scrambled: bool = False
    whole: bool = True
    """Whether every byte was read; if not, counts are samples."""

    def delay(self, track: Track) -> Fraction | None:
        """Seconds from the first picture to the track's first sound."""
        if track.pts is None or self.start is None:
            return None
        ticks = Fraction(track.pts, CLOCK) - self.start
        wrap = Fraction(1 << 33, CLOCK)
        return ticks - wrap * round(ticks / wrap)


def length(extents: Iterable[Extent]) -> int:
    """Bytes altogether."""
    return sum(e.stop - e.start for e in extents)


def chunks(extents: Iterable[Extent], size: int = CHUNK) -> Iterator[bytes]:
    """The bytes of the extents one after another, in pieces of at most `size`."""
    for extent in extents:
        with Path(extent.path).open("rb") as file:
            file.seek(extent.start)
            left = extent.stop - extent.start
            while left > 0 and (data := file.read(min(size, left))):
                yield data
                left -= len(data)


def cut(extents: Iterable[Extent], start: int, stop: int) -> list[Extent]:
    """The part of the extents between two offsets, counted over all of them."""
    found, base = [], 0
    for e in extents:
        a, b = max(start - base, 0), min(stop - base, e.stop - e.start)
        if a < b:
            found.append(replace(e, start=e.start + a, stop=e.start + b))
        base += e.stop - e.start
    return found


def read(extents: Iterable[Extent], start: int, size: int) -> bytes:
    """Bytes at an offset counted over all extents; fewer at the end."""
    return b"".join(chunks(cut(extents, start, start + size)))


def program_packets(pieces: Iterable[bytes]) -> Iterator[Packet]:
    """The packets of an MPEG-1 or MPEG-2 program stream, as VOB files hold; a broken stretch is stepped over."""
    rest = b""
    for piece in pieces:
        data, at = rest + piece, 0
        while at + 14 <= len(data):
            code = data[at + 3]
            if data[at : at + 3] != b"\x00\x00\x01" or code < 0xB9:
                found = data.find(b"\x00\x00\x01\xba", at + 1)
                at = found if found >= 0 else len(data) - 3
            elif code == 0xBA:
                at += 14 + (data[at + 13] & 7) if data[at + 4] >> 6 == 1 else 12
            elif code == 0xB9:
                at += 4
            else:
                stop = at + 6 + int.from_bytes(data[at + 4 : at + 6])
                if stop > len(data):
                    break
                if packet := _program_packet(code, data[at + 6 : stop]):
                    yield packet
                at = stop
        rest = data[at:]
    if rest[:3] == b"\x00\x00\x01" and len(rest) > 6 and (packet := _program_packet(rest[3], rest[6:])):
        yield packet


def _program_packet(code: int, body: bytes) -> Packet | None:
    if not (code == 0xBD or 0xC0 <= code <= 0xEF) or len(body) < 3:
        return None
    if body[0] >> 6 == 2:
        pts = _pts(body[3:8]) if body[1] & 0x80 and len(body) >= 8 else None
        scrambled, payload = bool(body[0] & 0x30), body[3 + body[2] :]
    else:
        payload = body.lstrip(b"\xff")
        payload = payload[2:] if payload[:1] and payload[0] >> 6 == 1 else payload
        mark = payload[0] >> 4 if payload else 0
        pts, scrambled = _pts(payload[:5]) if mark in (2, 3) and len(payload) >= 5 else None, False
        payload = payload[5 if mark == 2 else 10 if mark == 3 else 1 :]
    if code >= 0xE0:
        return Packet(code << 8, "mpeg2video", pts, scrambled, payload)
    if code >= 0xC0:
        return Packet(code << 8, "mp2", pts, scrambled, payload)
    if not payload:
        return None
    sub = payload[0]
    for first, last, codec, header in _SUBSTREAMS:
        if first <= sub <= last:
            return Packet(code << 8 | sub, codec, pts, scrambled, payload[header:])
    return None


_SUBSTREAMS = (
    (0x20, 0x3F, "dvd_subtitle", 1),
    (0x80, 0x87, "ac3", 4),
    (0x88, 0x8F, "dts", 4),
    (0xA0, 0xA7, "pcm_dvd", 4),
)
"""First and last number, codec, bytes before the data, of what private stream 1 holds on DVD."""


def _pts(b: bytes) -> int:
    return (b[0] >> 1 & 7) << 30 | b[1] << 22 | b[2] >> 1 << 15 | b[3] << 7 | b[4] >> 1


def transport_unit(head: bytes) -> tuple[int, int] | None:
    """Bytes of a packet of a transport stream (188, or 192 on Blu-ray) and where the first begins; None: not one."""
    for size, lead in ((188, 0), (192, 4)):
        marks = head[lead::size][:5]
        if len(marks) >= 2 and set(marks) == {0x47}:
            return size, lead
    return None


_TRANSPORT = {
    0x01: "mpeg1video",
    0x02: "mpeg2video",
    0x03: "mp2",
    0x04: "mp2",
    0x0F: "aac",
    0x11: "aac_latm",
    0x1B: "h264",
    0x24: "hevc",
    0x81: "ac3",
    0x82: "dts",
    0x87: "eac3",
}
"""stream_type of the program map (13818-1, table 2-34, and ATSC)."""
_DESCRIPTORS = {0x6A: "ac3", 0x7A: "eac3", 0x7B: "dts", 0x59: "dvb_subtitle", 0x56: "dvb_teletext"}
"""DVB descriptors that name the codec of private data."""
VIDEO_CODECS = {"mpeg1video", "mpeg2video", "h264", "hevc"}
SUBTITLE_CODECS = {"dvd_subtitle", "dvb_subtitle", "dvb_teletext"}


class TransportTracks(dict[int, Track]):
    """The tracks of a transport stream's program map, by PID."""

    def learn(self, section: bytes, programs: set[int]) -> None:
        """Take in a program association or program map table."""
        end = 3 + (int.from_bytes(section[1:3]) & 0xFFF) - 4
        if section[0] == 0:
            for at in range(8, min(end, len(section) - 3), 4):
                if int.from_bytes(section[at : at + 2]):
                    programs.add(int.from_bytes(section[at + 2 : at + 4]) & 0x1FFF)
            return
        if section[0] != 2 or len(section) < 12:
            return
        at = 12 + (int.from_bytes(section[10:12]) & 0xFFF)
        while at + 5 <= min(end, len(section)):
            kind, pid = section[at], int.from_bytes(section[at + 1 : at + 3]) & 0x1FFF
            stop = at + 5 + (int.from_bytes(section[at + 3 : at + 5]) & 0xFFF)
            codec, language, at = _TRANSPORT.get(kind), None, at + 5
            while at + 2 <= stop <= len(section):
                tag, size = section[at], section[at + 1]
                codec = codec or _DESCRIPTORS.get(tag)
                if tag in (0x0A, 0x59) and size >= 3:
                    language = section[at + 2 : at + 5].decode("ascii", "replace")
                at += 2 + size
            at = stop
            if codec:
                self.setdefault(pid, Track(codec, language=language))


def transport_packets(pieces: Iterable[bytes], tracks: TransportTracks, size: int, lead: int) -> Iterator[Packet]:
    """The packets of a transport stream; `tracks` fills with its program map as that is met."""
    programs: set[int] = set()
    waiting: dict[int, list[bytes]] = {}
    rest = b""
    for piece in pieces:
        data, at = rest + piece, 0
        while at + size <= len(data):
            unit = data[at + lead : at + size]
            if unit[0] != 0x47:
                at += 1
                continue
            at += size
            pid, begins, control = int.from_bytes(unit[1:3]) & 0x1FFF, bool(unit[1] & 0x40), unit[3]
            payload = unit[4 + (1 + unit[4] if control & 0x20 else 0) :] if control & 0x10 else b""
            if control & 0xC0 and pid in tracks:
                yield Packet(pid, tracks[pid].codec, None, True, b"")
            elif (pid == 0 or pid in programs) and begins and payload:
                tracks.learn(payload[1 + payload[0] :], programs)
            elif pid in tracks:
                if begins and pid in waiting:
                    yield _transport_packet(pid, tracks[pid].codec, b"".join(waiting.pop(pid)))
                if begins or pid in waiting:
                    waiting.setdefault(pid, []).append(payload)
        rest = data[at:]
    for pid, parts in waiting.items():
        yield _transport_packet(pid, tracks[pid].codec, b"".join(parts))


def _transport_packet(pid: int, codec: str, data: bytes) -> Packet:
    if len(data) < 9 or data[:3] != b"\x00\x00\x01":
        return Packet(pid, codec, None, False, b"")
    pts = _pts(data[9:14]) if data[7] & 0x80 and len(data) >= 14 else None
    return Packet(pid, codec, pts, bool(data[6] & 0x30), data[9 + data[8] :])


def survey(
    extents: Sequence[Extent], kind: str, *, whole: bool, inside: bool = False, window: int = CHUNK, windows: int = 6
) -> Survey:
    """Walk over a stream: a title of a DVD ("vob"), a transport stream ("ts") or bare video ("m2v").

    Args:
        extents: Where its bytes lie.
        kind: "vob", "ts" or "m2v".
        whole: Read every byte; else the start and some windows, spread evenly, from which shares are estimated.
        inside: The bytes lie within a longer stream: leading pictures of an open group are shown, and so counted.
        window: Bytes of each window.
        windows: How many.

    Example:
        >>> code = bytes.fromhex("000001b3 2d01e0 24 ffffe0 18")       # 720x480, 4:3, 29.97
        >>> _ = (tmp_path / "a.m2v").write_bytes(code)
        >>> found = survey([Extent(path=str(tmp_path / "a.m2v"), start=0, stop=len(code))], "m2v", whole=True)
        >>> found.pictures.width, found.pictures.aspect
        (720, Fraction(4, 3))
    """
    total = length(extents)
    found = Survey(whole=whole or total <= (windows + 1) * window)
    spans = [(0, total)]
    if not found.whole:
        step = (total - window) // windows // PACK * PACK
        spans = [(n * step, n * step + window) for n in range(windows + 1)]
    transport = TransportTracks()
    unit = transport_unit(read(extents, 0, 4096)) if kind == "ts" else None
    for start, stop in spans:
        if unit:
            start = start // unit[0] * unit[0]
        pieces = chunks(cut(extents, start, stop))
        if kind == "m2v":
            packets: Iterator[Packet] = (Packet(0xE000, "mpeg2video", None, False, piece) for piece in pieces)
        elif unit:
            packets = transport_packets(pieces, transport, *unit)
        else:
            packets = program_packets(pieces)
        _walk(packets, found, first=start == 0 and not inside)
    for pid, track in transport.items():
        if track.codec not in VIDEO_CODECS:
            met = found.tracks.get(pid, track)
            found.tracks[pid] = replace(met, language=track.language)
    if found.video == "mpeg2video" and found.pictures.begun and not found.pictures.mpeg2:
        found.video = "mpeg1video"
    return found


def _walk(packets: Iterable[Packet], found: Survey, *, first: bool) -> None:
    pictures, main = found.pictures, -1
    parts: list[bytes] = []
    held, limit = 0, 0 if first else CHUNK
    stamps: list[int] = []
    if not first:
        pictures.references = 4
    for packet in packets:
        found.scrambled |= packet.scrambled
        if packet.codec not in VIDEO_CODECS:
            track = found.tracks.setdefault(packet.track, Track(packet.codec))
            if track.pts is None and first:
                track.pts = packet.pts
            track.channels = track.channels or channels(packet)
            continue
        main = packet.track if main < 0 else main
        if packet.track != main:
            continue
        found.video = found.video or packet.codec
        mpeg = packet.codec in ("mpeg1video", "mpeg2video")
        if first and packet.pts is not None and len(stamps) < (1 if mpeg else 32):
            kind = _PICTURE.search(packet.payload)
            if not mpeg or (kind and kind[1][0] >> 3 & 7 == 1):
                stamps.append(packet.pts)
        if mpeg:
            parts.append(packet.payload)
            held += len(packet.payload)
            if held >= limit:
                pictures.feed(b"".join(parts))
                parts, held = [], 0
                limit = 0 if pictures.references < 4 else CHUNK
    pictures.feed(b"".join(parts), last=True)
    if stamps:
        found.start = Fraction(min(stamps), CLOCK) - pictures.leading / (2 * (pictures.fps or RATES[4]))


def channels(packet: Packet) -> int | None:
    """Channels of sound, from the first frame header in a packet; None: it holds none."""
    data = packet.payload
    if packet.codec == "ac3" and (at := data.find(b"\x0b\x77")) >= 0 and len(data) >= at + 9:
        mode, bits = data[at + 6] >> 5, int.from_bytes(data[at + 6 : at + 9])
        skip = 3 + 2 * (mode & 1 != 0 and mode != 1) + 2 * (mode & 4 != 0) + 2 * (mode == 2)
        return (2, 1, 2, 3, 3, 4, 4, 5)[mode] + (bits >> (23 - skip) & 1)
    if packet.codec == "dts" and (at := data.find(b"\x7f\xfe\x80\x01")) >= 0 and len(data) >= at + 12:
        mode, bass = (data[at + 7] & 15) << 2 | data[at + 8] >> 6, data[at + 10] >> 1 & 3
        return ((1, 2, 2, 2, 2, 3, 3, 4, 4, 5)[mode] if mode < 10 else 6) + (bass in (1, 2))
    if packet.codec == "pcm_dvd" and len(data) > 1:
        return 1 + (data[1] & 7)
    if packet.codec == "mp2" and (found := re.search(rb"\xff[\xf4-\xff][\x10-\xef].", data, re.DOTALL)):
        return 1 if data[found.start() + 3] >> 6 == 3 else 2
    return None
