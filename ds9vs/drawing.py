"""Drawing without a library: letters from VapourSynth's own font, PNG files. A ground room: imports nothing of ours."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

__all__ = ["letters", "png"]


def letters(text: str) -> NDArray[np.float32]:
    """A word, 8 by 16 samples a letter: 0 to 1, shape (16, 8 letters). What is not ASCII becomes "?".

    Example:
        >>> letters("ab").shape
        (16, 16)
    """
    plain = text.encode("ascii", "replace").decode()
    width = 16 + 8 * len(plain) + 16
    blank = core.std.BlankClip(format=vs.GRAY8, width=max(64, width), height=64, length=1, color=0)
    with blank.text.Text(plain, alignment=7).get_frame(0) as frame:
        image = np.asarray(frame[0])
    return np.asarray(image[16:32, 16 : 16 + 8 * len(plain)] > 200, np.float32)


def png(image: NDArray[np.uint8]) -> bytes:
    """An RGB image, shape (height, width, 3), as a PNG (ISO/IEC 15948): rows unfiltered, one deflate stream.

    Example:
        >>> png(np.zeros((2, 2, 3), np.uint8))[1:4]
        b'PNG'
    """
    rows = np.concatenate([np.zeros((image.shape[0], 1), np.uint8), image.reshape(image.shape[0], -1)], 1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
