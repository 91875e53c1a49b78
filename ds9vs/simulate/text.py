"""Text on a simulated disc: EIA-608 closed captions as a DVD carries them, and bitmaps for its subtitle stream.

Imports ground rooms only.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ..errors import CustomValueError
from ..timing import NTSC

__all__ = ["Line", "caption_pairs", "caption_user_data", "subtitle_png"]

type Func = Callable[..., Any] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of text and when it is shown."""

    start: Fraction
    """Seconds from the tape's start."""
    stop: Fraction
    """Seconds from the tape's start."""
    text: str


# EIA-608 control codes of channel 1 (CEA-608-E table 51); parity is added when they are written.
RESUME_CAPTION, ERASE_HIDDEN, SHOW, ERASE_SHOWN = (0x14, 0x20), (0x14, 0x2E), (0x14, 0x2F), (0x14, 0x2C)
ROW_15_WHITE = (0x14, 0x70)
NOTHING = (0, 0)
ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;!?'\"-+%$&#()/")
LONGEST = 32
"""Characters in a caption row."""


def caption_pairs(lines: Sequence[Line], frames: int, func: Func = "caption_pairs") -> list[tuple[int, int]]:
    """Pop-on captions on row 15 as EIA-608 byte pairs, one for each frame of an NTSC tape, parity included.

    A caption is loaded in the frames before its start, two characters a frame, and shown on the frame of its start.

    Raises:
        CustomValueError: A caption has too long a text, a character outside EIA-608's basic set as ASCII has it, or
            not enough frames before its start to load it.

    Example:
        >>> pairs = caption_pairs([Line(start=Fraction(1), stop=Fraction(2), text="HELLO")], 60)
        >>> [f"{a:02x}{b:02x}" for a, b in pairs[29:33]]
        ['4f80', '942f', '942f', '8080']
    """
    slots: list[tuple[int, int] | None] = [None] * frames
    for line in lines:
        for code, time in ((SHOW, line.start), (ERASE_SHOWN, line.stop)):
            at = round(time * NTSC)
            for n in (at, at + 1):  # control codes are sent twice; the first of them acts
                if 0 <= n < frames:
                    slots[n] = code
    loaded = 0
    for line in lines:
        if not line.text or len(line.text) > LONGEST or not ALLOWED.issuperset(line.text):
            raise CustomValueError(
                f"{line.text!r} cannot be a caption: 1 to {LONGEST} letters, digits, spaces or usual punctuation.", func
            )
        text = line.text + "\0" * (len(line.text) % 2)
        codes = [RESUME_CAPTION] * 2 + [ERASE_HIDDEN] * 2 + [ROW_15_WHITE] * 2
        codes += [(ord(a), ord(b)) for a, b in zip(text[::2], text[1::2], strict=True)]
        free = [n for n in range(loaded, min(frames, round(line.start * NTSC))) if slots[n] is None]
        if len(free) < len(codes):
            raise CustomValueError(
                f"The caption {line.text!r} needs {len(codes)} free frames before {float(line.start):.3f} s to be "
                f"loaded, and there are {len(free)}; start it later.",
                func,
            )
        for n, code in zip(free[-len(codes) :], codes, strict=True):
            slots[n] = code
        loaded = round(line.start * NTSC) + 2
    return [(_odd(a), _odd(b)) for a, b in (slot or NOTHING for slot in slots)]


def _odd(value: int) -> int:
    """Seven bits with odd parity in the eighth."""
    return value | (value.bit_count() + 1) % 2 << 7


def caption_user_data(pairs: Sequence[tuple[int, int]], first: int, stop: int, tff: bool) -> bytes:
    """The caption packet of one GOP as DVDs have it: user data "CC", 01 F8, then three bytes for each field shown.

    Field 1 of line 21 (the top fields) carries the pairs, field 2 nothing.

    Args:
        pairs: One for each frame of the tape.
        first: The first field that the GOP shows.
        stop: The field after its last.
        tff: Whether the tape's even fields are top fields.
    """
    count, extra = divmod(stop - first, 2)
    top = (first % 2 == 0) == tff
    data = bytearray(b"\x00\x00\x01\xb2CC\x01\xf8")
    data.append(top << 7 | count << 1 | extra)
    for n in range(first, stop):
        odd = (n % 2 == 0) == tff
        a, b = pairs[n // 2] if odd else (_odd(0), _odd(0))
        data += bytes((0xFF if odd else 0xFE, a, b))
    return bytes(data)


def subtitle_png(text: str, path: Path) -> tuple[int, int]:
    """Write text as a PNG, white on black, as spumux reads it; gives its width and height in pixels, both even."""
    clip = core.std.BlankClip(format=vs.GRAY8, width=640, height=96, length=1).text.Text(text, alignment=5, scale=2)
    with clip.get_frame(0) as frame:
        picture = np.where(np.asarray(frame[0]) > 127, 255, 0).astype(np.uint8)
    rows, columns = (np.flatnonzero(picture.any(axis)) for axis in (1, 0))
    picture = np.pad(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 4)
    picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    height, width = picture.shape
    lines = b"".join(b"\0" + row.tobytes() for row in picture)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        ):
            file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return width, height
