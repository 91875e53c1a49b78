"""Makes genisoimage's DVD images depend on nothing but their files: dates and padding are set to fixed values.

Imports nothing of ours. genisoimage has no option for it: it writes the clock into both file systems of the bridge
format, and leaves old memory in the sectors between files.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from pathlib import Path

__all__ = ["fix_dates"]

SECTOR = 2048
DATE = (2000, 1, 1)
"""The day that every date of the image is set to, midnight UTC."""


def fix_dates(image: Path) -> None:
    """Set every date in a DVD image (ISO 9660 with UDF 1.02 bridge) to 2000-01-01, and clear the space between files.

    Offsets are those of ECMA-119 8.4, 9.1 and ECMA-167 3/7.2, 3/10, 4/14; descriptors of UDF get their checksums anew.
    """
    year, month, day = DATE
    long = f"{year:04}{month:02}{day:02}00000000".encode() + b"\0"
    short = bytes((year - 1900, month, day, 0, 0, 0, 0))
    stamp = b"\x00\x10" + year.to_bytes(2, "little") + bytes((month, day, 0, 0, 0, 0, 0, 0))
    with image.open("r+b") as file:

        def sector(n: int) -> bytearray:
            file.seek(n * SECTOR)
            return bytearray(file.read(SECTOR))

        def put(n: int, data: bytes | bytearray) -> None:
            file.seek(n * SECTOR)
            file.write(data)

        volume = sector(16)
        sectors = int.from_bytes(volume[80:84], "little")
        volume[174:181] = short
        volume[813:881] = long * 2 + b"0" * 16 + b"\0" + long  # made, changed, never expires, valid from
        put(16, volume)

        used: set[range] = set()
        folders = [(int.from_bytes(volume[158:162], "little"), int.from_bytes(volume[166:170], "little"))]
        for first, size in folders:
            used.add(range(first, first + size // SECTOR))
            for n in range(first, first + size // SECTOR):
                data = sector(n)
                for at in _records(data):
                    data[at + 18 : at + 25] = short
                    extent, length = (int.from_bytes(data[at + a : at + a + 4], "little") for a in (2, 10))
                    if data[at + 25] & 2:
                        if (extent, length) not in folders:
                            folders.append((extent, length))
                    else:
                        used.add(range(extent, extent - (-length // SECTOR)))
                put(n, data)

        start = min(r.start for r in used)
        for n in range(17, start):
            data = sector(n)
            dates = {1: (376,), 9: (16,), 256: (16,), 261: (72, 84, 96)}.get(int.from_bytes(data[:2], "little"), ())
            if not dates or int.from_bytes(data[12:16], "little") not in (n, n - 257):
                continue
            for at in dates:
                data[at : at + 12] = stamp
            if data[0] == 1:
                # The volume set's name starts with sixteen digits that genisoimage takes from the clock.
                data[73:89] = b"0" * 16
            length = int.from_bytes(data[10:12], "little")
            data[8:10] = crc_hqx(bytes(data[16 : 16 + length]), 0).to_bytes(2, "little")
            data[4] = (sum(data[:16]) - data[4]) & 0xFF
            put(n, data)

        after = start
        for r in sorted(used, key=lambda r: r.start):
            for n in range(after, r.start):
                put(n, bytes(SECTOR))
            after = max(after, r.stop)
        for n in range(after, sectors):
            data = sector(n)
            if int.from_bytes(data[:2], "little") != 2:
                put(n, bytes(SECTOR))


def _records(data: bytes | bytearray) -> Iterator[int]:
    """Where the directory records of a sector start."""
    at = 0
    while at < len(data) and data[at]:
        yield at
        at += data[at]
