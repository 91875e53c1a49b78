"""The video of a simulated disc: the tape as a file, the MPEG-2 encode, its flags and user data, marks of scrambling.

Imports ground rooms and its neighbour `plan`. Pixels are never changed here: a coded picture weaves two fields of the
tape, and a third that it shows is the repeat that MPEG-2's flags ask for.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomRuntimeError, CustomValueError
from ..files import atomic, existing, run, tool
from ..timing import FILM, NTSC, PAL
from .plan import CodedPicture

__all__ = ["TapeFile", "Unit", "encode_video", "read_tape", "scramble"]

type Func = Callable[..., Any] | str

PEAK_RATE = 9_300_000
"""Bits a second of video at its peak. A DVD allows 9.8 million, but all its streams, packets included, share 10.08."""
LARGEST_RATE = 9_000_000
"""Bits a second of video on average."""
VBV_BITS = 1_835_008
"""The decoder's buffer, 112 units of 16,384 bits (H.262 table 8-14, main profile at main level)."""
PICTURE = b"\x00\x00\x01\x00"
"""Start code of a picture."""
PACK = 2048
"""Bytes in a pack of a DVD's program stream, one sector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeFile:
    """What a tape's file says of itself."""

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    tff: bool

    @property
    def ntsc(self) -> bool:
        """Whether it is an NTSC tape (else PAL)."""
        return self.fps == NTSC


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture in a stream, with the headers before it."""

    at: int
    """Its first byte."""
    shown: int
    """Number of the picture in order of display."""
    opens: bool
    """Whether it opens a GOP."""


def read_tape(path: Path, func: Func) -> TapeFile:
    """Ask ffprobe what a tape is: woven frames, 720x480 at 30000/1001 or 720x576 at 25, 4:2:0 of 8 bits.

    Raises:
        CustomValueError: It is no such tape, or does not say which field comes first.
    """
    entries = "stream=width,height,r_frame_rate,pix_fmt,nb_read_packets"
    asked = ["-select_streams", "v:0", "-count_packets", "-show_entries", entries, "-of", "json"]
    said = run(["ffprobe", "-v", "error", *asked, path], func)
    streams = json.loads(said).get("streams") or [{}]
    found = streams[0]
    size, rate = (found.get("width"), found.get("height")), Fraction(found.get("r_frame_rate", 0))
    if (*size, rate, found.get("pix_fmt")) not in ((720, 480, NTSC, "yuv420p"), (720, 576, PAL, "yuv420p")):
        what = f"{size[0]}x{size[1]} {found.get('pix_fmt')} at {rate}" if found else "no video"
        raise CustomValueError(
            f"{path.name!r} is {what}; a tape is 720x480 at 30000/1001 or 720x576 at 25 frames a second, yuv420p.",
            func,
        )
    # The first frame tells; the container's tag for it changed its meaning between releases of ffmpeg.
    asked = ["-select_streams", "v:0", "-read_intervals", "%+#1", "-show_frames", "-of", "json"]
    first = json.loads(run(["ffprobe", "-v", "error", *asked, path], func))["frames"][0]
    if not first.get("interlaced_frame"):
        raise CustomValueError(
            f"{path.name!r} does not say which field comes first: it is flagged progressive; flag it tff or bff.", func
        )
    frames = int(found["nb_read_packets"])
    return TapeFile(
        path=path, width=size[0], height=size[1], fps=rate, frames=frames, tff=bool(first["top_field_first"])
    )


def encode_video(
    tape: TapeFile,
    plan: Sequence[CodedPicture],
    out: Path,
    *,
    rate: int,
    aspect: Literal["4:3", "16:9"],
    keys: Sequence[int] = (),
    closed: bool = False,
    user_data: Callable[[int, int], bytes] | None = None,
    func: Func = "encode_video",
) -> list[Unit]:
    """Encode planned pictures of a tape as a DVD's MPEG-2 elementary stream (H.262 main profile at main level).

    Runs of progressive pictures and of interlaced frames are two encodes, joined at closed GOPs. The picture headers
    then get their flags, the sequence headers the disc's frame rate, the GOPs their time codes and user data.

    Args:
        tape: The tape.
        plan: From `plan_pictures`.
        out: The .m2v to write.
        rate: Bits a second.
        aspect: Display aspect of the whole picture, in the sequence header.
        keys: Fields of the tape whose picture starts a GOP: cuts and chapters.
        closed: Whether no picture looks over the start of a GOP; always so where anything is progressive.
        user_data: Gets the first field of a GOP and the field after its last; gives what follows the GOP header.
        func: Who asks, for messages.

    Raises:
        CustomValueError: The tape does not fit into the rate.

    Returns:
        The pictures in the order of the stream.
    """
    parts = [
        _part(tape, [p for p in plan if p.progressive == kind], frozenset(keys), out.with_suffix(f".{int(kind)}.m2v"))
        for kind in sorted({p.progressive for p in plan})
    ]
    spread = rate * sum(part.seconds for part in parts) / sum(part.weight for part in parts)
    for part in parts:
        share = min(round(spread * part.weight / part.seconds), LARGEST_RATE)
        _encode(tape, part, share, aspect, closed, len(parts) > 1, func)
    units: list[Unit] = []
    with out.open("wb") as stream:
        sources = {part.progressive: _gops(part.path) for part in parts}
        at = 0
        while at < len(plan):
            gop, count = next(sources[plan[at].progressive])
            pictures = plan[at : at + count]
            if len({p.progressive for p in pictures}) != 1:
                raise CustomRuntimeError("The encoder let a GOP run over the end of a stretch.", func)
            done = _finish_gop(gop, pictures, tape, user_data)
            starts = [m.start() for m in re.finditer(PICTURE, done)]
            shown = [at + (done[n + 4] << 2 | done[n + 5] >> 6) for n in starts]
            begin = stream.tell()
            units += [Unit(begin + (n if k else 0), shown[k], not k) for k, n in enumerate(starts)]
            stream.write(done)
            at += count
        stream.write(b"\x00\x00\x01\xb7")
    for part in parts:
        part.path.unlink()
    return units


@dataclass(frozen=True, slots=True)
class _Part:
    """What one encode makes: the pictures of one kind, from all over the disc."""

    pictures: Sequence[CodedPicture]
    starts: Sequence[int]
    """Pictures, counted from 0, that begin a GOP because a stretch, a shot or a chapter does."""
    fps: Fraction
    path: Path

    @property
    def progressive(self) -> bool:
        """Whether it is film."""
        return self.pictures[0].progressive

    @property
    def gop(self) -> int:
        """Pictures in a GOP: half a second, as on most discs."""
        return 15 if self.fps == NTSC else 12

    @property
    def seconds(self) -> Fraction:
        """How long it lasts."""
        return len(self.pictures) / self.fps

    @property
    def weight(self) -> int:
        """Its share of the bits: a picture that begins a GOP takes about three times what another does."""
        bounds = [0, *self.starts, len(self.pictures)]
        return len(self.pictures) + 2 * sum(-((a - b) // self.gop) for a, b in pairwise(bounds))


def _part(tape: TapeFile, pictures: Sequence[CodedPicture], keys: frozenset[int], path: Path) -> _Part:
    starts = [
        n
        for n, (before, p) in enumerate(pairwise(pictures), 1)
        if before.first + before.shown != p.first or keys.intersection(range(p.first, p.first + p.shown))
    ]
    film = tape.ntsc and pictures[0].progressive and sum(p.shown for p in pictures) > 2.2 * len(pictures)
    return _Part(pictures, starts, FILM if film else tape.fps, path)


def _encode(tape: TapeFile, part: _Part, rate: int, aspect: str, closed: bool, joined: bool, func: Func) -> None:
    """Encode a part in two passes."""
    pictures, starts, fps, progressive = part.pictures, part.starts, part.fps, part.progressive
    flags = ("+cgop" if closed or joined or progressive else "") + ("" if progressive else "+ilme+ildct")
    colours = ("smpte170m", "smpte170m", "smpte170m") if tape.ntsc else ("bt470bg", "smpte170m", "bt470bg")
    size = f"{tape.width}x{tape.height}"
    # Two encodes that are joined do not know of each other: each keeps to half of the decoder's buffer.
    buffer = VBV_BITS // 2 if joined else VBV_BITS
    scan = "prog" if progressive else "tff" if tape.tff else "bff"
    command: list[str | Path] = [
        tool("ffmpeg", func), "-v", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-framerate", str(fps),
        # Said of what is read: an encoder of ffmpeg 7 takes colours from its pictures alone.
        "-color_primaries", colours[0], "-color_trc", colours[1], "-colorspace", colours[2], "-color_range", "tv",
        "-i", "-",
        "-vf", f"setfield={scan}",
        "-c:v", "mpeg2video", "-threads", "1", "-bitexact",
        "-intra_vlc", "1", "-non_linear_quant", "1", "-qmax", "28", "-dc", "10",
        "-b:v", str(rate), "-maxrate", str(PEAK_RATE), "-bufsize", str(buffer), "-rc_init_occupancy", str(buffer // 2),
        "-g", str(part.gop), "-bf", "2", "-sc_threshold", "1000000000",
        "-aspect", aspect, "-seq_disp_ext", "always", "-video_format", "ntsc" if tape.ntsc else "pal",
    ]  # fmt: skip
    if flags:
        command += ["-flags", flags]
    if not progressive:
        command += ["-alternate_scan", "1"]
    if starts:
        command += ["-force_key_frames", ",".join(f"{float((n - Fraction(1, 4)) / fps):.6f}" for n in starts)]
    # In a second pass ffmpeg forgets to begin a GOP at the very last picture: give it one more, and take that away.
    alone = bool(starts) and starts[-1] == len(pictures) - 1
    fed = [*pictures, pictures[-1]] if alone else pictures
    log = part.path.with_suffix("")
    command += ["-passlogfile", log]
    for number, target in ((1, ["-f", "null", "-"]), (2, ["-f", "mpeg2video", part.path])):
        _pump(tape, fed, [*command, "-pass", str(number), *target], func)
    log.with_name(f"{log.name}-0.log").unlink()
    if alone:
        with part.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            stop = data.rfind(PICTURE)
        os.truncate(part.path, stop)


def _pump(tape: TapeFile, pictures: Sequence[CodedPicture], command: Sequence[str | Path], func: Func) -> None:
    """Read the tape, weave the planned pictures, write them to an encoder's standard input."""
    reader: list[str | Path] = [tool("ffmpeg", func), "-v", "error", "-i", tape.path, "-map", "0:v:0"]
    reader += ["-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    with (
        subprocess.Popen(
            reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        ) as source,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder,
    ):
        assert source.stdout and encoder.stdin and encoder.stderr
        try:
            for frame in _woven(tape, pictures, source.stdout.read, func):
                encoder.stdin.write(frame.data)
            encoder.stdin.close()
        except BrokenPipeError:
            pass
        finally:
            source.kill()
        said = encoder.stderr.read().decode(errors="replace").strip()
        failed = encoder.wait() != 0
        if failed and re.search("bitrate (is )?too low", said):
            raise CustomValueError(
                f"{tape.path.name!r} does not fit into the rate at MPEG-2's coarsest; make the rate higher, or the "
                "material easier (full-frame noise fits into no DVD).",
                func,
            )
        if failed:
            raise CustomRuntimeError(f"ffmpeg could not encode the video: {said[-300:]}", func)


def _woven(
    tape: TapeFile, pictures: Sequence[CodedPicture], read: Callable[[int], bytes], func: Func
) -> Iterator[NDArray[np.uint8]]:
    """The planned pictures as planar 4:2:0 bytes; frames of the tape are read once, in order."""
    samples = tape.width * tape.height * 3 // 2
    planes = ((0, tape.width), (tape.width * tape.height, tape.width // 2), (samples * 5 // 6, tape.width // 2))
    last, previous, current = -1, np.empty(0, np.uint8), np.empty(0, np.uint8)
    for picture in pictures:
        while last < (picture.first + 1) // 2:
            data, last = read(samples), last + 1
            if len(data) != samples:
                raise CustomRuntimeError(f"{tape.path.name!r} ends or cannot be read at frame {last}.", func)
            previous, current = current, np.frombuffer(data, np.uint8)
        if picture.first % 2 == 0:
            yield current
            continue
        woven = current.copy()
        parity = 1 if tape.tff else 0
        for (start, width), stop in zip(planes, (*(p[0] for p in planes[1:]), samples), strict=True):
            woven[start:stop].reshape(-1, width)[parity::2] = previous[start:stop].reshape(-1, width)[parity::2]
        yield woven


def _gops(path: Path) -> Iterator[tuple[bytearray, int]]:
    """The GOPs of a stream, each from its sequence header on, with their count of pictures."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 0
        while at < len(data):
            stop = data.find(b"\x00\x00\x01\xb3", at + 4)
            stop = len(data) if stop < 0 else stop
            gop = bytearray(data[at:stop])
            yield gop, gop.count(PICTURE)
            at = stop


def _finish_gop(
    gop: bytearray,
    pictures: Sequence[CodedPicture],
    tape: TapeFile,
    user_data: Callable[[int, int], bytes] | None,
) -> bytes:
    """Set what the encoder could not know, by the bit positions of H.262 6.2.2 and 6.2.3."""
    rate_code = 4 if tape.ntsc else 3
    header, shown_at, leading = -1, 0, False
    for match in re.finditer(b"\x00\x00\x01([\x00\xb3\xb5\xb8])", gop):
        at, code = match.start(), match[1][0]
        if code == 0xB3:  # sequence header: frame_rate_code
            gop[at + 7] = gop[at + 7] & 0xF0 | rate_code
        elif code == 0xB8:
            header = at
        elif code == 0x00:
            shown_at = gop[at + 4] << 2 | gop[at + 5] >> 6
            leading |= gop[at + 5] >> 3 & 7 == 1 and shown_at > 0
        elif gop[at + 4] >> 4 == 1:  # sequence extension: progressive_sequence
            gop[at + 5] &= ~0x08
        elif gop[at + 4] >> 4 == 8:  # picture coding extension
            picture = pictures[shown_at]
            tff = (picture.first % 2 == 0) == tape.tff
            gop[at + 7] = gop[at + 7] & 0x7C | tff << 7 | (picture.shown == 3) << 1 | picture.progressive
            gop[at + 8] = gop[at + 8] & 0x7F | picture.progressive << 7
    first, stop = pictures[0].first, pictures[-1].first + pictures[-1].shown
    seconds, count = divmod(first // 2, 30 if tape.ntsc else 25)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    # An I picture with a temporal_reference above 0 is shown after B pictures that look back into the GOP before.
    code = (hours % 24) << 20 | minutes << 14 | 1 << 13 | seconds << 7 | count << 1 | (not leading)
    gop[header + 4 : header + 8] = (code << 6).to_bytes(4, "big")
    extra = user_data(first, stop) if user_data else b""
    return bytes(gop[: header + 8]) + extra + bytes(gop[header + 8 :])


def scramble(vob: str | Path, out: str | Path) -> None:
    """Copy a VOB with the marks of CSS: the scrambling control of its video and audio packets says "scrambled".

    No cryptography: the payload stays as it is. A reader that looks at the marks must refuse the file. NAV packs and
    padding stay unmarked, as on a real disc.

    Args:
        vob: A program stream of 2,048 byte packs.
        out: The file to write.

    Raises:
        CustomValueError: The file is no program stream of whole packs.

    Example:
        >>> pack = bytes.fromhex("000001ba4400040004010189c3f8 000001e007ec810000").ljust(2048, b"x")
        >>> _ = (tmp_path / "a.vob").write_bytes(pack)
        >>> scramble(tmp_path / "a.vob", tmp_path / "b.vob")
        >>> (tmp_path / "b.vob").read_bytes()[20] >> 4 & 3
        3
    """
    with existing(vob, scramble).open("rb") as source, atomic(out, scramble) as temporary, temporary.open("wb") as copy:
        while pack := bytearray(source.read(PACK)):
            if len(pack) != PACK or pack[:4] != b"\x00\x00\x01\xba":
                raise CustomValueError(
                    f"{str(vob)!r} is no VOB: it does not consist of whole packs of 2,048 bytes.", scramble
                )
            packet = 14 + (pack[13] & 7)
            # PES_scrambling_control (H.222.0 table 2-21) of MPEG video and private stream 1.
            if bytes(pack[packet : packet + 4]) in (b"\x00\x00\x01\xe0", b"\x00\x00\x01\xbd"):
                pack[packet + 6] |= 0x30
            copy.write(pack)
