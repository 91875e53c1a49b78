"""A cadence in the formats of other programs: Wobbly, TFM, TDecimate, timecodes, QP files, chapters.

May import the ground rooms and `cadence/model`. Reads no clip; `cadence/adopt` reads what others wrote.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomValueError
from ..files import write_json, write_text
from ..timing import share, write_timecodes
from .model import Cadence, Shot

__all__ = [
    "PRESETS",
    "durations",
    "matches",
    "write_chapters",
    "write_native_timecodes",
    "write_qp",
    "write_tdecimate",
    "write_tfm",
    "write_wobbly",
]

type Ints = NDArray[np.int64]
type Bools = NDArray[np.bool_]

PRESETS = {"film": "ds9vs_film", "30p": "ds9vs_30p", "60i": "ds9vs_60i", "layered": "ds9vs_layered"}
"""Presets of a Wobbly project that name what a section is; they change nothing."""

_CYCLE = 5
_PATTERN = 50
"""Letters that TFM reads in a line."""
_SURE = 0.95
"""Shots less sure than this get a bookmark in a Wobbly project."""


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


def _numbers(cadence: Cadence) -> Ints:
    """The picture that each field belongs to, counted over the tape; in a layered shot that of the background."""
    lengths = "".join(shot.base or shot.lengths for shot in cadence.shots)
    digits = np.frombuffer(lengths.encode(), np.uint8).astype(np.int64) - ord("0")
    return np.repeat(np.arange(len(digits)), digits)


def matches(cadence: Cadence, *, second: bool = False) -> tuple[str, Bools, Bools]:
    """Field matches of the tape's frames as TFM, VFM and Wobbly name them; of layered shots those of the background.

    Args:
        cadence: The map.
        second: Whether to match from each frame's second field, as Wobbly does, and not from its first, which is the
            default of TFM and VFM.

    Returns:
        A letter a frame: c keeps the frame, p takes the other field from the frame before, n (only from the second
        field) from the frame after. Then, shape (frames,), whether the field that is matched from belongs with no
        other (it needs a deinterlacer), and whether the picture it shows was already shown by the frame before.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> letters, alone, again = matches(whole)
        >>> letters, again.tolist()
        ('ccppc', [False, False, True, False, False])
        >>> matches(whole, second=True)[0]
        'ccnnc'
    """
    number = _numbers(cadence)
    one, two = number[0::2], number[1::2]
    other = np.append(one[1:], -1) if second else np.append(-1, two[:-1])
    own = two if second else one
    c, across = one == two, own == other
    again = np.append(False, (own[1:] == own[:-1]) & (c | across)[:-1])
    letter = "n" if second else "p"
    return "".join(letter if over else "c" for over in (across & ~c).tolist()), ~(c | across), again


def _combed(cadence: Cadence, alone: Bools) -> Bools:
    """Frames that need more than a weave: an orphan, video, another layer, or what the map calls combed."""
    combed = alone.copy()
    for shot, first in zip(cadence.shots, cadence.shot_firsts.tolist(), strict=False):
        if shot.kind == "layered":
            combed[(shot.first + 1) // 2 : (shot.stop + 1) // 2] = True
        for n in shot.combed:
            combed[cadence.firsts[first + n] // 2 : (cadence.firsts[first + n + 1] + 1) // 2] = True
    return combed


def write_tfm(cadence: Cadence, path: str | os.PathLike[str]) -> None:
    """Write the matches of all frames as an override file for TFM (`ovr=`): the letter, and whether it is combed.

    A frame is marked combed (+) where its first field belongs with no other, where the map says that its picture
    combs, and in layered shots.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> write_tfm(whole, tmp_path / "a")
        >>> (tmp_path / "a").read_text().split(chr(10))[:3]
        ['field = top', '0,4 ccppc', '0,4 -']
    """
    letters, alone, _ = matches(cadence)
    combed = _combed(cadence, alone)
    lines = [f"field = {'top' if cadence.tape.tff else 'bottom'}"]
    for shot in cadence.shots:
        first, last = (shot.first + 1) // 2, (shot.stop + 1) // 2 - 1
        if last < first:
            continue
        lines += [
            f"{a},{min(last, a + _PATTERN - 1)} {letters[a : min(last + 1, a + _PATTERN)]}"
            for a in range(first, last + 1, _PATTERN)
        ]
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


def write_wobbly(
    cadence: Cadence,
    path: str | os.PathLike[str],
    *,
    source: str = "",
    source_filter: str = "d2v.Source",
    size: tuple[int, int] | None = None,
) -> None:
    """Write a Wobbly project (`.wob`, format version 2): matches, combed and decimated frames, a section a shot.

    Each section has a preset that changes nothing and says what the shot is (`PRESETS`), so that filters can be hung
    on it; shots less sure than 0.95 are bookmarked. A cut inside a frame becomes a section that begins with the frame.
    Repeats are decimated, so that film runs at 24 and the rest at 30 frames a second; 60i is marked combed.

    Args:
        cadence: The map.
        path: The project.
        source: What Wobbly is to open; its frames must be the tape's, repeat-field flags expanded.
        source_filter: The VapourSynth function that opens it.
        size: Width and height of the tape; by default those of a DVD of its rate.

    Source: the project files of Wobbly 6 and its source, WobblyProject.cpp.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> write_wobbly(whole, tmp_path / "a.wob")
        >>> import json
        >>> project = json.loads((tmp_path / "a.wob").read_text())
        >>> "".join(project["matches"]), project["decimated frames"]
        ('ccnnc', [4])
    """
    letters, alone, again = matches(cadence, second=True)
    sections = {shot.first // 2: (n, shot) for n, shot in enumerate(cadence.shots)}
    unsure = [(frame, n, shot) for frame, (n, shot) in sections.items() if shot.confidence < _SURE]
    width, height = size or (720, 576 if Fraction(*cadence.tape.fps) == 25 else 480)
    project = {
        "wobbly version": 6,
        "project format version": 2,
        "input file": source,
        "input frame rate": list(cadence.tape.fps),
        "input resolution": [width, height],
        "user interface": {
            "bookmarks": [
                {"frame": frame, "description": f"shot {n}: {shot.kind}, {100 * shot.confidence:.0f} % sure"}
                for frame, n, shot in unsure
            ]
        },
        "trim": [[0, cadence.tape.frames - 1]],
        "vfm parameters": {"order": int(cadence.tape.tff)},
        "vdecimate parameters": {},
        "matches": list(letters),
        "combed frames": np.flatnonzero(_combed(cadence, alone)).tolist(),
        "decimated frames": np.flatnonzero(again).tolist(),
        "sections": [
            {"start": frame, "presets": [PRESETS[shot.kind]]} for frame, (_, shot) in sorted(sections.items())
        ],
        "source filter": source_filter,
        "interlaced fades": [],
        "presets": [{"name": name, "contents": f"# {kind}\n"} for kind, name in PRESETS.items()],
        "frozen frames": [],
        "custom lists": [],
    }
    write_json(path, project, write_wobbly)


def write_qp(cadence: Cadence, shown: Sequence[int] | Ints, path: str | os.PathLike[str]) -> None:
    """Write a QP file (x265 and x264, `--qpfile`) that puts a key frame on each cut; the encoder chooses the QP.

    Args:
        cadence: The map.
        shown: The picture that each frame of the encoded clip shows, ascending: `ivtc.shown(cadence, timing)`.
        path: The file.

    Raises:
        CustomValueError: The numbers are not of this map.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> parts = [Shot(first=a, stop=a + 5, kind="film", lengths="23", confidence=0.99) for a in (0, 5)]
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=tuple(parts))
        >>> write_qp(whole, [0, 1, 2, 3], tmp_path / "a.qp")
        >>> (tmp_path / "a.qp").read_text().split(chr(10))
        ['0 K', '2 K', '']
    """
    numbers = np.asarray(shown, np.int64)
    if not len(numbers) or numbers[0] < 0 or numbers[-1] >= len(cadence) or (np.diff(numbers) < 0).any():
        raise CustomValueError(
            f"The frames must show pictures 0 to {len(cadence) - 1} of the map, in order; give ivtc.shown(cadence).",
            write_qp,
        )
    starts = np.unique(np.searchsorted(numbers, cadence.shot_firsts[:-1]))
    write_text(path, "".join(f"{n} K\n" for n in starts.tolist() if n < len(numbers)), write_qp)


def write_chapters(cadence: Cadence, path: str | os.PathLike[str]) -> None:
    """Write a chapter for each shot, named by what it is, in the simple format that mkvmerge takes (`--chapters`).

    Times are the tape's, which every timing keeps to within a picture; rounded up to a millisecond, so that a player
    that seeks to a chapter does not show the picture before it.

    Example:
        >>> from ds9vs.cadence.model import Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> write_chapters(whole, tmp_path / "a.txt")
        >>> (tmp_path / "a.txt").read_text().split(chr(10))[:2]
        ['CHAPTER01=00:00:00.000', 'CHAPTER01NAME=film 2323, 99 %']
    """
    field = 1 / (2 * Fraction(*cadence.tape.fps))
    digits = max(2, len(str(len(cadence.shots))))
    lines = []
    for n, shot in enumerate(cadence.shots, 1):
        minutes, rest = divmod(ceil(1000 * shot.first * field), 60_000)
        lines.append(
            f"CHAPTER{n:0{digits}}={minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}\n"
            f"CHAPTER{n:0{digits}}NAME={_named(shot)}\n"
        )
    write_text(path, "".join(lines), write_chapters)


def _named(shot: Shot) -> str:
    """A shot in a few words: kind, how its pictures begin, how sure, what else was seen."""
    lengths = shot.base or shot.lengths
    pattern = "" if shot.kind == "60i" else f" {lengths[:5]}{'...' if len(lengths) > 5 else ''}"
    notes = "".join(f", {note}" for note in shot.notes)
    return f"{shot.kind}{pattern}, {100 * shot.confidence:.0f} %{notes}"
