"""A cadence in the formats of other programs: timecodes v2, overrides for TFM and TDecimate.

May import the ground rooms and `cadence/model`. Reads no clip.
"""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..files import write_text
from ..timing import share, write_timecodes
from .model import Cadence

__all__ = ["durations", "matches", "write_native_timecodes", "write_tdecimate", "write_tfm"]

_CYCLE = 5


def durations(cadence: Cadence) -> list[Fraction]:
    """How long each picture is shown, in seconds; film pictures share the fields of their shot evenly.

    The sum is the tape's length, exactly, and so it is at every cut: the durations of `ivtc(timing="native")`.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> durations(whole)[0]
        Fraction(1001, 24000)
    """
    lengths = np.diff(cadence.firsts)
    counts = np.diff(cadence.shot_firsts)
    film = np.repeat(np.array([shot.kind == "film" for shot in cadence.shots], bool), counts)
    cuts = np.zeros(len(lengths), bool)
    cuts[cadence.shot_firsts[:-1]] = True
    numerators, denominators = share(lengths, film & (lengths >= 2) & (lengths <= 3), cuts)
    field = 1 / (2 * Fraction(*cadence.tape.fps))
    return [Fraction(n, d) * field for n, d in zip(numerators.tolist(), denominators.tolist(), strict=True)]


def write_native_timecodes(cadence: Cadence, path: str | os.PathLike[str]) -> None:
    """Write timecodes v2 (mkvmerge, x264, x265) for the clip that `ivtc(timing="native")` gives.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> shot = Shot(first=0, stop=4, kind="30p", lengths="22", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=2, fps=(30000, 1001), tff=True, content=""), shots=(shot,))
        >>> write_native_timecodes(whole, tmp_path / "t.txt")
        >>> (tmp_path / "t.txt").read_text().split()[4:]
        ['0.000000', '33.366667', '66.733333']
    """
    write_timecodes(path, durations(cadence), write_native_timecodes)


def matches(cadence: Cadence) -> tuple[str, NDArray[np.bool_], NDArray[np.bool_]]:
    """Field matches of the tape's frames as TFM and VFM name them, for the field of the tape's order (their default).

    Returns:
        A letter a frame: c keeps the frame, p takes the other field from the frame before. Then, shape (frames,),
        whether the frame's first field belongs with no other (it needs a deinterlacer), and whether the picture it
        shows was already shown by the frame before.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> letters, alone, again = matches(whole)
        >>> letters, again.tolist()
        ('ccppc', [False, False, True, False, False])
    """
    firsts = cadence.firsts
    number = np.repeat(np.arange(len(firsts) - 1), np.diff(firsts))
    here, after = number[0::2], number[1::2]
    before = np.append(-1, after[:-1])
    c, p = here == after, here == before
    again = np.append(False, (here[1:] == here[:-1]) & (c | p)[:-1])
    return "".join("p" if back else "c" for back in (p & ~c).tolist()), ~(c | p), again


def write_tfm(cadence: Cadence, path: str | os.PathLike[str]) -> None:
    """Write the matches of all frames as an override file for TFM (`ovr=`): the letter, and whether it is combed.

    A frame is marked combed (+) where its first field belongs with no other, or where the map says that its picture
    combs.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> write_tfm(whole, tmp_path / "a")
        >>> (tmp_path / "a").read_text().split(chr(10))[:2]
        ['0,4 ccppc', '0,4 -']
    """
    letters, alone, _ = matches(cadence)
    combed = alone.copy()
    for number in (
        n + int(first) for shot, first in zip(cadence.shots, cadence.shot_firsts, strict=False) for n in shot.combed
    ):
        combed[cadence.firsts[number] // 2 : (cadence.firsts[number + 1] + 1) // 2] = True
    lines = []
    for shot in cadence.shots:
        first, last = (shot.first + 1) // 2, (shot.stop + 1) // 2 - 1
        if last < first:
            continue
        lines.append(f"{first},{last} {letters[first : last + 1]}")
        edges = np.flatnonzero(np.diff(combed[first : last + 1])) + 1
        for a, b in zip([0, *edges.tolist()], [*edges.tolist(), last + 1 - first], strict=True):
            lines.append(f"{first + a},{first + b - 1} {'+' if combed[first + a] else '-'}")
    write_text(path, "\n".join(lines) + "\n", write_tfm)


def write_tdecimate(cadence: Cadence, path: str | os.PathLike[str]) -> list[int]:
    """Write an override file for TDecimate (`ovr=`); return all frames that repeat the one before.

    TDecimate drops one frame of each five, whatever it is told: of a cycle with several repeats it is told the first,
    of one with none nothing. What is exact is the returned list: `clip.std.DeleteFrames(frames)`.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> write_tdecimate(whole, tmp_path / "a")
        [2]
    """
    repeats = np.flatnonzero(matches(cadence)[2])
    cycles = repeats // _CYCLE
    firsts = repeats[np.append(True, cycles[1:] != cycles[:-1])] if len(repeats) else repeats
    write_text(path, "".join(f"{n} -\n" for n in firsts.tolist()), write_tdecimate)
    found: list[int] = repeats.tolist()
    return found
