"""The heads of Matroska and MP4 files: tracks, rates, languages, chapters, colour, read from their bytes.

Imports nothing of ours. Reads no more than heads; decodes nothing. Sources: RFC 9559 (Matroska),
ISO/IEC 14496-12 and 14496-14 (MP4), Apple's QuickTime file format (`chpl` as written by Nero and ffmpeg).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

__all__ = ["File", "Stream", "matroska", "mp4"]


@dataclass(slots=True, kw_only=True)
class Stream:
    """A track as the head of a file describes it; None: it does not say."""

    kind: str
    """"video", "audio" or "subtitle"."""
    codec: str
    language: str | None = None
    channels: int | None = None
    width: int = 0
    height: int = 0
    fps: Fraction | None = None
    sar: Fraction | None = None
    colour: tuple[int, int, int] | None = None
    """Primaries, transfer, matrix."""
    tff: bool | None = None
    """Field order; None: progressive or not stated."""
    frames: int | None = None
    start: Fraction | None = None
    """Time of the first picture or sound, seconds."""
    number: int = 0


@dataclass(slots=True)
class File:
    """What the head of a file says."""

    streams: list[Stream] = field(default_factory=list)
    chapters: list[Fraction] = field(default_factory=list)
    duration: Fraction | None = None


_CODECS = {
    "V_MPEG2": "mpeg2video",
    "V_MPEG1": "mpeg1video",
    "V_MPEG4/ISO/AVC": "h264",
    "V_MPEGH/ISO/HEVC": "hevc",
    "V_AV1": "av1",
    "V_FFV1": "ffv1",
    "V_VP9": "vp9",
    "A_AC3": "ac3",
    "A_EAC3": "eac3",
    "A_DTS": "dts",
    "A_MPEG/L2": "mp2",
    "A_MPEG/L3": "mp3",
    "A_PCM/INT/LIT": "pcm_s16le",
    "A_PCM/INT/BIG": "pcm_s16be",
    "A_AAC": "aac",
    "A_FLAC": "flac",
    "A_OPUS": "opus",
    "A_VORBIS": "vorbis",
    "S_VOBSUB": "dvd_subtitle",
    "S_TEXT/UTF8": "subrip",
    "S_HDMV/PGS": "hdmv_pgs_subtitle",
    "avc1": "h264",
    "avc3": "h264",
    "hvc1": "hevc",
    "hev1": "hevc",
    "av01": "av1",
    "ac-3": "ac3",
    "ec-3": "eac3",
    "tx3g": "mov_text",
}
_KINDS = {1: "video", 2: "audio", 17: "subtitle"}
_OBJECTS = {
    0x60: "mpeg2video",
    0x61: "mpeg2video",
    0x6A: "mpeg1video",
    0x20: "mpeg4",
    0x40: "aac",
    0x69: "mp2",
    0x6B: "mp3",
}
"""objectTypeIndication of 14496-1: what `mp4v` and `mp4a` hold."""
_RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
)


def standard_rate(rate: Fraction) -> Fraction:
    """The standard frame rate that a container's rounded one stands for, if one lies within 0.01 %."""
    best = min(_RATES, key=lambda r: abs(r - rate))
    return best if abs(best - rate) < best / 10_000 else rate


def _vint(data: bytes, at: int, *, keep: bool) -> tuple[int, int]:
    first = data[at]
    size = 9 - first.bit_length()
    if size > 8 or at + size > len(data):
        raise IndexError(at)
    value = int.from_bytes(data[at : at + size])
    return value if keep else value & ((1 << 7 * size) - 1), at + size


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        key, at = _vint(data, at, keep=True)
        size, at = _vint(data, at, keep=False)
        yield key, data[at : at + size]
        at += size


def _float(data: bytes) -> float:
    value: float = struct.unpack(">d" if len(data) == 8 else ">f", data)[0]
    return value


def matroska(path: Path) -> File:
    """Read the head of a Matroska or WebM file: info, tracks, chapters, the first time of each track.

    Raises:
        ValueError: The file ends before its tracks are described.
    """
    found, scale, clusters, numbers = File(), 1_000_000, 0, dict[int, Stream]()
    with path.open("rb") as file:
        try:
            for key, length in _top(file, path.stat().st_size):
                if key == 0x1F43B675:
                    clusters += 1
                    if _cluster(file.read(min(length, 4 << 20)), numbers, scale) or clusters == 8:
                        break
                elif key in (0x1549A966, 0x1654AE6B, 0x1043A770):
                    body = file.read(length)
                    if len(body) < length:
                        raise ValueError(key)
                    if key == 0x1549A966:
                        scale = _info(body, found)
                    elif key == 0x1654AE6B:
                        for entry, data in _elements(body):
                            if entry == 0xAE and (stream := _matroska_track(data)):
                                numbers[stream.number] = stream
                    else:
                        found.chapters = _matroska_chapters(body)
        except (IndexError, struct.error) as error:
            raise ValueError(str(error)) from error
    if not numbers:
        raise ValueError("no tracks")
    found.streams = list(numbers.values())
    return found


def _top(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The elements inside the segment: key and length; the file stands at the body."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(12)
        if len(head) < 2:
            return
        key, first = _vint(head, 0, keep=True)
        length, used = _vint(head, first, keep=False)
        unknown = length == (1 << 7 * (used - first)) - 1
        at += used
        if key == 0x18538067:
            continue
        file.seek(at)
        yield key, size - at if unknown else length
        if unknown:
            return
        at += length


def _info(body: bytes, found: File) -> int:
    entries = dict(_elements(body))
    scale = int.from_bytes(entries.get(0x2AD7B1, b"\x0f\x42\x40"))
    if 0x4489 in entries:
        found.duration = Fraction(_float(entries[0x4489])) * scale / 1_000_000_000
    return scale


def _matroska_track(data: bytes) -> Stream | None:
    entries = dict(_elements(data))
    kind = _KINDS.get(int.from_bytes(entries.get(0x83, b"")))
    if kind is None:
        return None
    name = entries.get(0x86, b"").decode("ascii", "replace").rstrip("\0")
    codec = _CODECS.get(name) or _CODECS.get(name.split("/")[0]) or name.partition("_")[2].lower()
    language = entries.get(0x22B59D, entries.get(0x22B59C, b"eng")).decode("ascii", "replace").rstrip("\0")
    stream = Stream(kind=kind, codec=codec, language=None if language == "und" else language)
    stream.number = int.from_bytes(entries.get(0xD7, b""))
    if 0xE1 in entries:
        stream.channels = int.from_bytes(dict(_elements(entries[0xE1])).get(0x9F, b"\x01"))
    if 0xE0 in entries:
        video = {key: int.from_bytes(body) for key, body in _elements(entries[0xE0])}
        stream.width, stream.height = video.get(0xB0, 0), video.get(0xBA, 0)
        if video.get(0x54B0) and video.get(0x54BA) and video.get(0x54B2, 0) in (0, 3):
            stream.sar = Fraction(video[0x54B0] * stream.height, video[0x54BA] * stream.width)
        if video.get(0x9A) == 1:
            stream.tff = {1: True, 9: True, 6: False, 14: False}.get(video.get(0x9D, 2))
        if nanoseconds := int.from_bytes(entries.get(0x23E383, b"")):
            stream.fps = standard_rate(Fraction(1_000_000_000, nanoseconds))
        colour = dict(_elements(dict(_elements(entries[0xE0])).get(0x55B0, b"")))
        codes = [int.from_bytes(colour.get(key, b"\x02")) for key in (0x55BB, 0x55BA, 0x55B1)]
        stream.colour = (codes[0], codes[1], codes[2]) if colour else None
    return stream


def _matroska_chapters(body: bytes) -> list[Fraction]:
    """Starts of the chapters of the first edition."""
    for key, edition in _elements(body):
        if key == 0x45B9:
            atoms = [dict(_elements(atom)) for entry, atom in _elements(edition) if entry == 0xB6]
            return sorted(Fraction(int.from_bytes(atom.get(0x91, b"")), 1_000_000_000) for atom in atoms)
    return []


def _cluster(body: bytes, numbers: dict[int, Stream], scale: int) -> bool:
    """Note the first time of each track; true when all are known."""
    at, base = 0, 0
    try:
        while at < len(body):
            key, at = _vint(body, at, keep=True)
            size, at = _vint(body, at, keep=False)
            if key == 0xE7:
                base = int.from_bytes(body[at : at + size])
            block = at
            if key == 0xA0:
                inner, block = _vint(body, at, keep=True)
                _, block = _vint(body, block, keep=False)
                key = 0xA3 if inner == 0xA1 else 0
            if key == 0xA3:
                number, block = _vint(body, block, keep=False)
                time = Fraction((base + int.from_bytes(body[block : block + 2], signed=True)) * scale, 1_000_000_000)
                if (stream := numbers.get(number)) and (stream.start is None or stream.kind == "video"):
                    stream.start = time if stream.start is None else min(time, stream.start)
            at += size
    except IndexError:
        pass
    return all(s.start is not None for s in numbers.values() if s.kind != "subtitle")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        size = size or len(data) - at
        if size < head:
            raise ValueError(size)
        yield data[at + 4 : at + 8], data[at + head : at + size]
        at += size


def mp4(path: Path) -> File:
    """Read the `moov` box of an MP4 or QuickTime file.

    Raises:
        ValueError: There is no whole `moov` box, as in a file that was cut short.
    """
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4])
            start = at + (16 if length == 1 else 8)
            length = int.from_bytes(head[8:16]) if length == 1 else length or size - at
            if length < 8:
                break
            if head[4:8] == b"moov":
                if at + length > size:
                    break
                file.seek(start)
                try:
                    return _moov(file.read(at + length - start))
                except (IndexError, struct.error, KeyError, ZeroDivisionError) as error:
                    raise ValueError(str(error)) from error
            at += length
    raise ValueError("moov")


def _moov(moov: bytes) -> File:
    found = File()
    for name, body in _boxes(moov):
        if name == b"trak" and (stream := _trak(dict(_boxes(body)))):
            found.streams.append(stream)
        elif name == b"mvhd":
            scale, ticks = struct.unpack(">IQ" if body[0] else ">II", body[20:32] if body[0] else body[12:20])
            found.duration = Fraction(ticks, scale)
        elif name == b"udta" and (chpl := dict(_boxes(body)).get(b"chpl")):
            at = 9 if chpl[0] else 5
            for _ in range(chpl[at - 1]):
                found.chapters.append(Fraction(int.from_bytes(chpl[at : at + 8]), 10_000_000))
                at += 9 + chpl[at + 8]
    return found


def _trak(trak: dict[bytes, bytes]) -> Stream | None:
    mdia = dict(_boxes(trak[b"mdia"]))
    kind = {b"vide": "video", b"soun": "audio", b"sbtl": "subtitle", b"subp": "subtitle"}.get(mdia[b"hdlr"][8:12])
    if kind is None:
        return None
    stbl = dict(_boxes(dict(_boxes(mdia[b"minf"]))[b"stbl"]))
    name, entry = next(_boxes(stbl[b"stsd"][8:]))
    code = name.decode("latin-1")
    head = mdia[b"mdhd"]
    scale, packed = struct.unpack(">I8xH" if head[0] else ">I4xH", head[20:34] if head[0] else head[12:22])
    language = "".join(chr((packed >> shift & 31) + 0x60) for shift in (10, 5, 0))
    stream = Stream(kind=kind, codec=_CODECS.get(code, code.strip()), language=None if language == "und" else language)
    inner = dict(_boxes(entry[{"video": 78, "audio": 28}.get(kind, 8) :])) if kind != "subtitle" else {}
    if code in ("mp4v", "mp4a") and (esds := inner.get(b"esds")) and (at := esds.find(b"\x04", 4)) >= 0:
        at += 1
        while esds[at] & 0x80:
            at += 1
        stream.codec = _OBJECTS.get(esds[at + 1], code)
    runs = [struct.unpack(">II", stbl[b"stts"][at : at + 8]) for at in range(8, len(stbl[b"stts"]) - 7, 8)]
    stream.frames = sum(count for count, _ in runs)
    if kind == "audio":
        stream.channels = int.from_bytes(entry[16:18])
        if dac3 := inner.get(b"dac3"):  # the sample entry says 2 whatever it holds (ETSI TS 102 366, F.4)
            bits = int.from_bytes(dac3[:3])
            stream.channels = (2, 1, 2, 3, 3, 4, 4, 5)[bits >> 11 & 7] + (bits >> 10 & 1)
    if kind == "video":
        stream.width, stream.height = int.from_bytes(entry[24:26]), int.from_bytes(entry[26:28])
        if ticks := sum(count * delta for count, delta in runs):
            stream.fps = standard_rate(Fraction(scale * stream.frames, ticks))
        if pasp := inner.get(b"pasp"):
            stream.sar = Fraction(*struct.unpack(">II", pasp[:8]))
        if (colr := inner.get(b"colr")) and colr[:4] in (b"nclx", b"nclc"):
            primaries, transfer, matrix = struct.unpack(">HHH", colr[4:10])
            stream.colour = primaries, transfer, matrix
        if (fiel := inner.get(b"fiel")) and fiel[0] == 2:
            stream.tff = fiel[1] in (1, 9)
    return stream
