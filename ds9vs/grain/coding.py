"""How a disc's MPEG-2 was coded: its rate and, for every field of the tape, kind and quantiser of the coded picture.

This is what `measure_grain` is calibrated at. May import the ground rooms. Reads the bytes of the stream; never decodes
a picture. Source: ISO/IEC 13818-2, 6.2 and 7.4.2.2.
"""

from __future__ import annotations

import bisect
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, pairwise
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomValueError
from ..files import tool
from ..timing import FILM, NTSC, PAL

__all__ = ["GOP", "SCALES", "Coding", "b_run", "disc_coding", "kinds_of"]

SCALES = (0, *range(1, 9), *range(10, 25, 2), *range(28, 53, 4), *range(56, 113, 8))
"""quantiser_scale of each quantiser_scale_code where q_scale_type is 1 (table 7-6); where it is 0, twice the code."""
GOP = 12
"""Pictures from one I picture to the next where it is not known."""
_CHUNK = 4 << 20
_TAIL = 64
_RATES = {1: FILM, 2: Fraction(24), 3: PAL, 4: NTSC, 5: Fraction(30)}
_MARK = re.compile(rb"\x00\x00\x01[\x00-\xaf\xb3\xb5\xb8]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a title's video was coded.

    Raises:
        CustomValueError: The rate is not that of any video.

    Example:
        >>> Coding(rate=4_500_000).scales_of((0.0, 1.0), [1, 3, 3]) is None
        True
    """

    rate: int
    """Bits a second."""
    kinds: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    """For every field of the tape the kind of the picture that it was coded in: 1 I, 2 P, 3 B. Empty: unknown."""
    scales: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """That picture's quantiser_scale, the mean over the starts of its slices."""
    interlaced: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether that picture was coded as two fields that may differ (progressive_frame is 0)."""

    def __post_init__(self) -> None:
        if not 100_000 <= self.rate <= 100_000_000:
            raise CustomValueError(
                f"The rate is {self.rate} bits a second; it must be 100000 to 100000000, a DVD's is 2 to 9 million.",
                Coding,
            )

    def scales_of(self, share: tuple[float, float], kinds: Sequence[int]) -> list[float] | None:
        """What pictures of these kinds, evenly spread over a stretch, were quantised by; None: unknown.

        Each takes the scale of the picture of its kind that lies nearest on the tape.

        Args:
            share: Where the stretch begins and ends, as shares of the tape.
            kinds: 1 I, 2 P, 3 B.
        """
        if not len(self.kinds):
            return None
        # Of a stream without P or B pictures those of ours are coded as its others.
        where = {kind: np.flatnonzero(self.kinds == kind) for kind in set(kinds)}
        where = {kind: same if len(same) else np.flatnonzero(self.kinds) for kind, same in where.items()}
        found = []
        for n, kind in enumerate(kinds):
            at = (share[0] + (n + 0.5) / len(kinds) * (share[1] - share[0])) * len(self.kinds)
            found.append(float(self.scales[where[kind][np.abs(where[kind] + 0.5 - at).argmin()]]))
        return found

    def kinds_in(self, share: tuple[float, float], length: int) -> list[int]:
        """The kinds of pictures evenly spread over a stretch, 1 I, 2 P, 3 B, as `kinds_of` has them.

        I pictures lie where the tape has them, and at the beginning.

        Args:
            share: Where the stretch begins and ends, as shares of the tape.
            length: How many pictures.
        """
        step = (share[1] - share[0]) / length
        kinds = [self.kind_at(share[0] + (n + 0.5) * step) for n in range(length)]
        intra = [n for n, (before, kind) in enumerate(pairwise([0, *kinds])) if kind == 1 != before]
        return kinds_of(length, intra, b_run(kinds)) if any(kinds) else kinds_of(length)

    def interlaced_in(self, share: tuple[float, float]) -> bool:
        """Whether most of a stretch, between two shares of the tape, was coded as interlaced."""
        first, stop = (int(part * len(self.interlaced)) for part in share)
        return bool(np.mean(self.interlaced[first : max(stop, first + 1)]) > 0.5) if len(self.interlaced) else False

    def kind_at(self, share: float) -> int:
        """The kind of the picture at a share of the tape; 0: unknown."""
        return int(self.kinds[min(int(share * len(self.kinds)), len(self.kinds) - 1)]) if len(self.kinds) else 0


def kinds_of(length: int, intra: Iterable[int] | None = None, between: int = 2) -> list[int]:
    """The kinds of so many pictures, 1 I, 2 P, 3 B, with these I pictures and one to begin with.

    Args:
        length: How many pictures.
        intra: Numbers of I pictures; None: each `GOP` pictures.
        between: B pictures from one I or P picture to the next; the last picture is none.

    Example:
        >>> kinds_of(9, [5])
        [1, 3, 3, 2, 3, 1, 3, 3, 2]
    """
    starts = sorted({0, *(n for n in (range(0, length, GOP) if intra is None else intra) if n < length)})
    kinds = [2 if (n - starts[bisect.bisect(starts, n) - 1]) % (between + 1) == 0 else 3 for n in range(length)]
    kinds[-1] = 2
    for n in starts:
        kinds[n] = 1
    return kinds


def b_run(kinds: Sequence[int]) -> int:
    """The most B pictures one after the other, up to a DVD's 2."""
    return min(max((len(list(same)) for kind, same in groupby(kinds) if kind == 3), default=0), 2)


def disc_coding(address: str | os.PathLike[str]) -> Coding | None:
    """Read how a title's MPEG-2 was coded, from all of it: about 5 s for an hour; None if it is not MPEG-2.

    Args:
        address: What `ffmpeg -i` takes: a file, or the address that `probe` gives for a title.

    Raises:
        CustomRuntimeError: ffmpeg is missing.

    Example:
        >>> disc_coding("nowhere.vob") is None
        True
    """
    words = [tool("ffmpeg", disc_coding), "-v", "error", "-nostdin", "-i", os.fspath(address)]
    words += ["-map", "0:v:0", "-c", "copy", "-f", "mpeg2video", "pipe:1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as copying:
        assert copying.stdout is not None
        stream = _Stream()
        for data in _pieces(copying.stdout):
            if not stream.bits and data[:4] != b"\x00\x00\x01\xb3":
                copying.kill()
                return None
            stream.feed(data)
    return stream.coding()


def _pieces(pipe: IO[bytes]) -> Iterator[bytes]:
    while data := pipe.read(_CHUNK):
        yield data


@dataclass(slots=True)
class _Picture:
    """A coded picture: a frame, or one field."""

    kind: int
    place: int
    """Number of its group, times 1024, and its place in it as shown."""
    codes: int = 0
    """Sum of quantiser_scale_code over the starts of slices."""
    slices: int = 0
    fields: int = 2
    linear: bool = True
    interlaced: bool = False

    @property
    def scale(self) -> float:
        code = self.codes / max(self.slices, 1)
        return 2 * code if self.linear else float(np.interp(code, range(len(SCALES)), SCALES))


@dataclass(slots=True)
class _Stream:
    """Headers met so far."""

    pictures: list[_Picture] = field(default_factory=list)
    rate: Fraction | None = None
    group: int = 0
    bits: int = 0
    _tail: bytes = b""

    def feed(self, data: bytes) -> None:
        self.bits += 8 * len(data)
        data = self._tail + data
        end = max(len(data) - _TAIL, 0)
        for match in _MARK.finditer(data):
            if match.start() >= end:
                break
            code, at = data[match.end() - 1], match.end()
            if code == 0xB8:
                self.group += 1
            elif code == 0xB3:
                self.rate = self.rate or _RATES.get(data[at + 3] & 15)
            elif code == 0:
                self.pictures.append(
                    _Picture(data[at + 1] >> 3 & 7, self.group << 10 | data[at] << 2 | data[at + 1] >> 6)
                )
            elif self.pictures and code == 0xB5:
                if data[at] >> 4 == 8:
                    two, three, four = data[at + 2 : at + 5]
                    self.pictures[-1].fields = 1 if two & 3 != 3 else 2 + (three >> 1 & four >> 7)
                    self.pictures[-1].linear = not three & 16
                    self.pictures[-1].interlaced = not four & 128
            elif self.pictures and code <= 0xAF:
                self.pictures[-1].codes += data[at] >> 3
                self.pictures[-1].slices += 1
        self._tail = data[end:]

    def coding(self) -> Coding | None:
        shown = sorted((p for p in self.pictures if p.slices and p.kind in (1, 2, 3)), key=lambda p: p.place)
        fields = np.array([p.fields for p in shown], np.int64)
        if not shown or self.rate is None:
            return None
        fps = self.rate
        return Coding(
            rate=int(np.clip(self.bits * 2 * float(fps) / int(fields.sum()), 100_000, 100_000_000)),
            kinds=np.repeat(np.array([p.kind for p in shown], np.uint8), fields),
            scales=np.repeat(np.array([p.scale for p in shown], np.float32), fields),
            interlaced=np.repeat(np.array([p.interlaced for p in shown], np.bool_), fields),
        )
