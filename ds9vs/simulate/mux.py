"""Multiplexes a simulated disc's video and audio to a program stream (VOB) with time stamps that follow its flags.

Imports its neighbours `plan` and `stream`. Ours because mplex loses the time where hard turns to soft telecine, and
ffmpeg's muxer writes too few navigation packs. These are left empty here: dvdauthor fills them.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import CustomValueError
from .plan import CodedPicture
from .stream import PACK, TapeFile, Unit

__all__ = ["write_vob"]

type Func = Callable[..., Any] | str

CLOCK = 90_000
"""Ticks of a time stamp a second; the system clock has 300 times as many."""
SLOT = 43_886
"""System clock ticks that a pack takes at the DVD's 10.08 Mb/s."""
RUN_IN = CLOCK // 5
"""Ticks from the first pack to the first decoded picture: enough to fill the decoder's buffer."""
AHEAD = CLOCK * 3 // 10
"""Ticks that data waits in a decoder's buffer at most: more than it takes to fill, less than H.222.0's second."""
AC3_BYTES, AC3_TICKS = 768, 2_880
"""Of an AC-3 frame at 192 kb/s and 48 kHz."""
SYSTEM_HEADER = bytes.fromhex("000001bb0012 80c4e1 04e1ff b9e0e8 b8c020 bde03a bfe002")
"""As every navigation pack of a DVD has it: rate, and the buffers of video, audio and private streams."""
NAVIGATION = bytes.fromhex("000001bf03d400").ljust(986, b"\0") + bytes.fromhex("000001bf03fa01").ljust(1024, b"\0")
"""PCI and DSI packets without content."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What tells one elementary stream's packets from another's."""

    code: int
    """Stream id; private stream 1 has AC-3's header before its bytes."""
    buffer: int
    """Bytes that a player holds of it before they are decoded."""
    extension: bytes
    """The same, as the first packet says it (P-STD buffer)."""


VIDEO = _Kind(0xE0, 232 * 1024, bytes.fromhex("1e60e8"))
AUDIO = _Kind(0xBD, 16 * 1024, bytes.fromhex("1e6010"))


@dataclass(frozen=True, slots=True)
class _Access:
    """An access unit: where its bytes start, when it is decoded and shown in ticks, whether it opens a VOBU."""

    at: int
    decoded: int
    shown: int
    opens: bool = False


@dataclass(frozen=True, slots=True)
class _Packet:
    """What follows a pack's header: 2,034 bytes."""

    data: bytes
    due: int
    """Tick at which its first byte is decoded."""
    frees: list[tuple[int, int]]
    """When how many of its bytes leave the decoder's buffer: ticks, bytes."""
    opens: bool


def write_vob(
    out: Path,
    m2v: Path,
    units: Sequence[Unit],
    plan: Sequence[CodedPicture],
    tape: TapeFile,
    *,
    ac3: Path | None = None,
    delay: Fraction = Fraction(0),
    func: Func = "write_vob",
) -> None:
    """Write a program stream of whole packs. Time stamps are those of the tape's fields, to a tick of 90 kHz.

    Args:
        out: The VOB to write.
        m2v: The video, from `encode_video`.
        units: What `encode_video` gave.
        plan: What was encoded.
        tape: The tape.
        ac3: The audio: 48 kHz, 192 kb/s.
        delay: Seconds from the first picture shown to the first sample heard.
        func: Who asks, for messages.

    Raises:
        CustomValueError: The video comes in too large pictures for the rate of a DVD.
    """
    late = max(0, round(-delay * CLOCK))
    origin = RUN_IN + late + int(CLOCK / tape.fps)
    shown = [origin + int(p.first * CLOCK / (2 * tape.fps)) for p in plan]
    # A picture is decoded while the one before in order of display begins to be shown.
    decoded = [RUN_IN + late, *shown]
    video = [_Access(u.at, decoded[n], shown[u.shown], u.opens) for n, u in enumerate(units)]
    with ExitStack() as stack:
        streams = [(VIDEO, _packets(VIDEO, _mapped(m2v, stack), video))]
        if ac3:
            first = origin + round(delay * CLOCK)
            ticks = [first + n * AC3_TICKS for n in range(ac3.stat().st_size // AC3_BYTES)]
            audio = [_Access(n * AC3_BYTES, at, at) for n, at in enumerate(ticks)]
            streams.append((AUDIO, _packets(AUDIO, _mapped(ac3, stack), audio)))
        with out.open("wb") as file:
            for clock, data in _schedule(streams, func):
                file.write(_pack_header(clock) + data)


def _mapped(path: Path, stack: ExitStack) -> mmap.mmap:
    file = stack.enter_context(path.open("rb"))
    return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _schedule(streams: Sequence[tuple[_Kind, Iterator[_Packet]]], func: Func) -> Iterator[tuple[int, bytes]]:
    """Order the packets by when they are due, as early as the decoder's buffers have room (H.222.0 2.5.2)."""
    clock = 0
    heads = [next(packets, None) for _, packets in streams]
    held = [0] * len(streams)
    leaving: list[deque[tuple[int, int]]] = [deque() for _ in streams]
    while any(heads):
        # The video's first navigation pack opens the stream, even where audio is due before it.
        ready = [(heads[0].due, 0, heads[0])] if heads[0] and not clock else []
        for n, ((kind, _), head) in enumerate(zip(streams, heads, strict=True)):
            while leaving[n] and leaving[n][0][0] * 300 <= clock:
                held[n] -= leaving[n].popleft()[1]
            if head and clock and held[n] + PACK <= kind.buffer and head.due * 300 <= clock + AHEAD * 300:
                ready.append((head.due, n, head))
        if not ready:
            clock += SLOT
            continue
        due, n, head = min(ready, key=lambda r: r[:2])
        if head.opens:
            yield clock, SYSTEM_HEADER + NAVIGATION
            clock += SLOT
        if clock + SLOT > due * 300:
            raise CustomValueError(
                f"At {due / CLOCK:.2f} s the pictures take more bits than a DVD can carry; make the rate lower, or the "
                "material easier.",
                func,
            )
        yield clock, head.data
        clock += SLOT
        leaving[n].extend(head.frees)
        held[n] += sum(count for _, count in head.frees)
        heads[n] = next(streams[n][1], None)


def _packets(kind: _Kind, data: mmap.mmap, units: Sequence[_Access]) -> Iterator[_Packet]:
    """Cut a stream into packets. The first unit that starts in one has its time stamps there.

    One picture at most starts in a packet, so that each has time stamps, and none runs into the next VOBU.
    """
    private = 4 if kind is AUDIO else 0
    ends = [u.at for u in units if u.opens and u.at] + [len(data)]
    at, n, vobu = 0, 0, 0
    while at < len(data):
        room = PACK - 14 - 9 - private - (0 if at else len(kind.extension))
        stop, stamps = min(ends[vobu], at + room), b""
        if n < len(units) and units[n].at < stop:
            stamps = _stamps(units[n])
            stop = min(stop, at + room - len(stamps))
            if units[n].at >= stop:  # it would start where its own time stamps stand: end before it
                stop, stamps = units[n].at, b""
            elif n + 1 < len(units) and not private:
                stop = min(stop, units[n + 1].at)
        opens = n < len(units) and units[n].at == at and units[n].opens
        begin, started, frees = at, n, []
        while at < stop:
            n += n < len(units) and units[n].at == at
            end = min(stop, units[n].at if n < len(units) else stop)
            frees.append((units[n - 1].decoded, end - at))
            at = end
        header = b""
        if private:  # AC-3 on a DVD: substream, count of frames that start here, where the first does
            pointer = units[started].at - begin + 1 if n > started else 0
            header = bytes((0x80, n - started)) + pointer.to_bytes(2, "big")
        packet = _pes(kind, stamps, b"" if begin else kind.extension, header + data[begin:stop])
        yield _Packet(packet, frees[0][0], frees, opens)
        vobu += stop == ends[vobu]


def _stamps(unit: _Access) -> bytes:
    """PTS, and DTS where it differs."""
    if unit.shown == unit.decoded:
        return _stamp(2, unit.shown)
    return _stamp(3, unit.shown) + _stamp(1, unit.decoded)


def _stamp(mark: int, ticks: int) -> bytes:
    """33 bits of time in five bytes (H.222.0 table 2-21)."""
    value = mark << 36 | (ticks >> 30 & 7) << 33 | 1 << 32 | (ticks >> 15 & 0x7FFF) << 17 | 1 << 16
    return (value | (ticks & 0x7FFF) << 1 | 1).to_bytes(5, "big")


def _pes(kind: _Kind, stamps: bytes, extension: bytes, body: bytes) -> bytes:
    """A PES packet that fills a pack: up to seven bytes are stuffed into its header, more become a padding packet."""
    optional = stamps + extension
    missing = PACK - 14 - 9 - len(optional) - len(body)
    stuffing = missing if missing < 8 else 0
    flags = {0: 0, 5: 0x80, 10: 0xC0}[len(stamps)] | bool(extension)
    length = 3 + len(optional) + stuffing + len(body)
    packet = b"\0\0\1" + bytes((kind.code,)) + length.to_bytes(2, "big")
    packet += bytes((0x81, flags, len(optional) + stuffing)) + optional + b"\xff" * stuffing + body
    left = missing - stuffing
    return packet + (b"\0\0\1\xbe" + (left - 6).to_bytes(2, "big") + b"\xff" * (left - 6) if left else b"")


def _pack_header(clock: int) -> bytes:
    """Start code, system clock reference and the rate of 25,200 units of 50 bytes (H.222.0 table 2-39)."""
    base, extension = divmod(clock, 300)
    value = 1 << 46 | (base >> 30 & 7) << 43 | 1 << 42 | (base >> 15 & 0x7FFF) << 27 | 1 << 26
    value |= (base & 0x7FFF) << 11 | 1 << 10 | extension << 1 | 1
    return b"\0\0\1\xba" + value.to_bytes(6, "big") + (25_200 << 2 | 3).to_bytes(3, "big") + b"\xf8"
