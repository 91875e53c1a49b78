"""What other programs say of a tape, as corrections: Wobbly projects, TFM and TDecimate files, timecodes to compare.

May import the ground rooms, `cadence/model`, `cadence/override` and `cadence/exchange`. Reads no clip.

How matches become ranges. A match names two fields that it weaves. Two neighbours in time say that these two are of one
picture; a frame marked combed says that they are not; two fields that are not neighbours say nothing. The cheapest
sequence of states is found over all frames: film at each of its five phases (PAL: two), 30p at two, 60i. A frame that
contradicts its state costs 1, a change of state 4, or nothing where the file itself says that a section begins. So a
wrong match here and there is outvoted, and ten all-c frames among film stay film, for still pictures look so. A range
covers the fields that its matches touch, without frames at its ends that would fit its neighbour as well; what is
shorter than five frames is left to the solver.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomValueError
from ..files import existing
from ..timing import read_timecodes
from .exchange import PRESETS, durations
from .model import Cadence, Kind, Tape
from .override import Override, check_together, clear, cycle

__all__ = ["check_timecodes", "read_foreign", "read_tdecimate", "read_tfm", "read_wobbly"]

type Func = Callable[..., Any] | str

_CONTRADICTS, _CHANGE = 1.0, 4.0
_RARER = {"film": 0.0, "30p": 0.01, "60i": 0.02, "layered": 0.0}
"""What a frame costs in a state, so that of equals the more usual wins."""
_LEAST = 5
"""Frames that a range must have: one cycle."""
_LARGEST = 200_000_000
"""Bytes beyond which a file is none of these; the project of a feature film has some 10 million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a file says of a run of frames that follow each other on the tape."""

    frame: int
    """The first, on the tape."""
    pairs: list[tuple[int, int] | None]
    """Of each frame the two fields woven, ascending, counted from the first field of the run; None: not said."""
    combed: list[bool]
    dropped: list[bool]
    starts: dict[int, Kind | None] = field(default_factory=dict)
    """Frames of the run where a section begins, and what it is if that is said."""


@dataclass(frozen=True, slots=True)
class _State:
    kind: Kind
    phase: int
    """Place in the cycle of field 0."""
    lengths: tuple[int, ...]

    def joined(self, a: int) -> bool:
        """Whether field `a` and the next are of one picture."""
        return (a + 1 + self.phase) % sum(self.lengths) not in np.cumsum((0, *self.lengths[:-1]))


def read_foreign(path: str | os.PathLike[str], tape: Tape, form: str | None = None) -> tuple[Override, ...]:
    """Read a Wobbly project, a file of TFM or one of TDecimate; which it is shows in it unless it is named.

    Raises:
        CustomValueError: It is none of them, or does not fit the tape.

    Example:
        >>> tape = Tape(frames=10, fps=(30000, 1001), tff=True, content="")
        >>> _ = (tmp_path / "a.txt").write_text("0,9 ccppc")
        >>> [(o.first, o.stop, o.kind, o.phase) for o in read_foreign(tmp_path / "a.txt", tape)]
        [(0, 20, 'film', 0)]
    """
    text = _text(path, read_foreign)
    if form is None:
        lines = _lines(text)
        if text.lstrip().startswith("{"):
            form = "wob"
        elif re.match(r"#\s*time(code|stamp) format", text):
            raise CustomValueError(
                f"{str(path)!r} is a timecodes file: it says when pictures are shown, not what fields are; "
                "compare it with a map: ds9vs cadence import MAP FILE --format timecodes.",
                read_foreign,
            )
        elif text.startswith("#TFM") or any(re.search(r"^field\s*=|\d [pcnbuhl]+\b", line) for line in lines):
            form = "tfm"
        elif any(re.fullmatch(r"\d+(,\d+)? [vf]", line) for line in lines):
            form = "tdecimate"
        else:
            raise CustomValueError(
                f"{str(path)!r} is no Wobbly project and no file of TFM or TDecimate that can be told; "
                "if it is one all the same, name it: --format wob, tfm or tdecimate.",
                read_foreign,
            )
    read = {"wob": read_wobbly, "tfm": read_tfm, "tdecimate": read_tdecimate}
    if form not in read:
        raise CustomValueError(f"The format is {form!r}; it must be one of {', '.join(read)}.", read_foreign)
    return read[form](path, tape)


def read_wobbly(path: str | os.PathLike[str], tape: Tape) -> tuple[Override, ...]:
    """Read a Wobbly project (format version 1 or 2) as corrections.

    Its matches (or, if there are none, its original matches), combed frames and sections are used, within its trims.
    All-c sections of which a frame in five is dropped are film whose phase is left open. A section with a preset that
    `write_wobbly` names is what that says. Frames listed as interlaced fades become the note "fade". Freeze frames,
    custom lists, other presets and filters say how to show the tape, not what it is, and are ignored.

    Raises:
        CustomValueError: It is no Wobbly project, of a later version, or its frames are not the tape's.

    Example:
        >>> import json
        >>> project = {"trim": [[0, 9]], "matches": list("ccnncccnnc"), "vfm parameters": {"order": 1}}
        >>> _ = (tmp_path / "a.wob").write_text(json.dumps(project))
        >>> tape = Tape(frames=10, fps=(30000, 1001), tff=True, content="")
        >>> [(o.first, o.stop, o.kind, o.phase) for o in read_wobbly(tmp_path / "a.wob", tape)]
        [(0, 20, 'film', 0)]
    """
    name = repr(str(path))

    def refuse(why: str) -> CustomValueError:
        return CustomValueError(f"{name} {why}", read_wobbly)

    try:
        project = json.loads(_text(path, read_wobbly))
    except (json.JSONDecodeError, RecursionError) as error:
        raise refuse("is truncated or no Wobbly project; save it again in Wobbly.") from error
    if not isinstance(project, dict) or "trim" not in project:
        raise refuse("is no Wobbly project: it has no 'trim'; give a .wob file.")
    version = project.get("project format version", 1)
    if version not in (1, 2):
        raise refuse(f"is a Wobbly project of format version {version!r}; 1 and 2 are read.")

    def numbers(key: str, values: object) -> list[int]:
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            raise refuse(f"is no whole Wobbly project: {key!r} must be a list of frame numbers.")
        return values

    order = project.get("vfm parameters", {})
    order = order.get("order") if isinstance(order, dict) else None
    if order is not None and bool(order) != tape.tff:
        said = "top" if order else "bottom"
        raise refuse(f"is of a tape with the {said} field first, but this one has the other first.")
    trims = project["trim"]
    if not isinstance(trims, list) or not trims:
        raise refuse("is no whole Wobbly project: 'trim' must be a list of pairs of frames.")
    trims = [numbers("trim", trim) for trim in trims]
    if any(len(trim) != 2 or not 0 <= trim[0] <= trim[1] for trim in trims):
        raise refuse("is no whole Wobbly project: 'trim' must be a list of pairs of frames, first and last.")
    last = max(trim[1] for trim in trims)
    if last >= tape.frames:
        raise refuse(f"reaches to frame {last}, but the tape has {tape.frames}; it is of another tape.")
    count = sum(b - a + 1 for a, b in trims)
    letters = project.get("matches") or project.get("original matches") or []
    if not isinstance(letters, list) or any(letter not in tuple("pcnbu") for letter in letters):
        raise refuse("is no whole Wobbly project: 'matches' must be a list of the letters p, c, n, b, u.")
    if len(letters) != count:
        raise refuse(f"has {len(letters)} matches for {count} frames; match the fields in Wibbly first.")

    marked = {}
    for key in ("combed frames", "decimated frames"):
        found = set(numbers(key, project.get(key, [])))
        if found and not 0 <= min(found) <= max(found) < count:
            raise refuse(f"is no whole Wobbly project: {key!r} has a frame that is none of the {count}.")
        marked[key] = found
    sections: dict[int, Kind | None] = {}
    kinds: dict[str, Kind] = {preset: kind for kind, preset in PRESETS.items()}  # type: ignore[misc]
    for section in _tables(project.get("sections", []), "sections", refuse):
        start, presets = section.get("start"), section.get("presets", [])
        if type(start) is not int or not 0 <= start < count or not isinstance(presets, list):
            raise refuse(f"is no whole Wobbly project: a section starts at {start!r}, which is none of its frames.")
        sections[start] = next((kinds[p] for p in presets if isinstance(p, str) and p in kinds), None)

    fades = [table.get("frame") for table in _tables(project.get("interlaced fades", []), "interlaced fades", refuse)]
    faded = set(numbers("interlaced fades", fades))
    overrides: list[Override] = []
    at = 0
    for first, stop in ((a, b + 1) for a, b in trims):
        here = range(at, at + stop - first)
        overrides += _ranges(
            _Said(
                frame=first,
                pairs=[_second_field(letters[n], n - at) for n in here],
                combed=[n in marked["combed frames"] for n in here],
                dropped=[n in marked["decimated frames"] for n in here],
                starts={n - at: kind for n, kind in sections.items() if n in here},
            ),
            tape,
        )
        overrides += [
            Override(first=2 * (first + a), stop=2 * (first + b), notes=("fade",))
            for a, b in _runs([n in faded for n in here])
        ]
        at += stop - first
    return _checked(overrides, tape, name)


def _tables(value: object, key: str, refuse: Callable[[str], CustomValueError]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise refuse(f"is no whole Wobbly project: {key!r} must be a list of tables.")
    return value


def read_tfm(path: str | os.PathLike[str], tape: Tape) -> tuple[Override, ...]:
    """Read what TFM wrote (`output=`) or reads (`ovr=`): matches and combed frames, as corrections.

    The field that letters refer to stands in the file (`field = top`); without it, it is the tape's first, TFM's
    default. Frames that the file does not name are left to the solver; overrides of TFM's parameters are ignored.

    Raises:
        CustomValueError: A line is no line of TFM, or names a frame that the tape does not have.

    Example:
        >>> tape = Tape(frames=10, fps=(30000, 1001), tff=True, content="")
        >>> _ = (tmp_path / "a.txt").write_text("0,9 c" + chr(10) + "0,9 +")
        >>> [(o.first, o.stop, o.kind) for o in read_tfm(tmp_path / "a.txt", tape)]
        [(0, 20, '60i')]
    """
    name = repr(str(path))
    letters: list[str] = [""] * tape.frames
    combed = [False] * tape.frames
    second = False
    for line in _lines(_text(path, read_tfm)):
        if found := re.fullmatch(r"field\s*=\s*(top|bottom)", line):
            second = (found[1] == "top") != tape.tff
        elif re.match(r"crc32\s*=", line):
            continue
        elif found := re.fullmatch(r"(\d{1,9}) ([pcnbuhl])(?: ([+-]))?(?: \[.*)?", line):
            where = _frames(found[1], None, tape, name, line, read_tfm)
            letters[where.start] = found[2]
            combed[where.start] = combed[where.start] or found[3] == "+"
        elif found := re.fullmatch(r"(\d{1,9})(?:,(\d{1,9}))? ([pcnbu]+|[+-]+)", line):
            where = _frames(found[1], found[2], tape, name, line, read_tfm)
            marks = found[3]
            for n in where:
                mark = marks[(n - where.start) % len(marks)]
                if mark in "+-":
                    combed[n] = mark == "+"
                else:
                    letters[n] = mark
        elif not re.fullmatch(r"\d{1,9}(?:,\d{1,9})? [fomMPi] -?\d{1,9}", line):
            raise CustomValueError(
                f"{name} has the line {line[:60]!r}, which TFM does not know; give its output or override file.",
                read_tfm,
            )
    if not any(letters) and not any(combed):
        raise CustomValueError(f"{name} names no match; give the output or override file of TFM.", read_tfm)
    weave = _second_field if second else _first_field
    overrides: list[Override] = []
    for a, b in _runs([bool(letter) or comb for letter, comb in zip(letters, combed, strict=True)]):
        overrides += _ranges(
            _Said(
                frame=a,
                pairs=[weave(letters[n], n - a) for n in range(a, b)],
                combed=combed[a:b],
                dropped=[False] * (b - a),
            ),
            tape,
        )
    return _checked(overrides, tape, name)


def read_tdecimate(path: str | os.PathLike[str], tape: Tape) -> tuple[Override, ...]:
    """Read an override file of TDecimate (`ovr=`): "v" is 30p, "f" is film, and so is a drop in every five frames.

    Which field a picture begins at does not show in it: the phase is left to the solver.

    Raises:
        CustomValueError: A line is no line of TDecimate, or names a frame that the tape does not have.

    Example:
        >>> tape = Tape(frames=100, fps=(30000, 1001), tff=True, content="")
        >>> _ = (tmp_path / "a.txt").write_text("0,49 v" + chr(10) + "50,99 ++++-")
        >>> [(o.first, o.stop, o.kind) for o in read_tdecimate(tmp_path / "a.txt", tape)]
        [(0, 100, '30p'), (100, 200, 'film')]
    """
    name = repr(str(path))
    said: list[Kind | None] = [None] * tape.frames
    drops: list[int] = []
    lines = _lines(_text(path, read_tdecimate))
    for line in lines:
        found = re.fullmatch(r"(\d{1,9})(?:,(\d{1,9}))? ([vf]|[+-]+)", line)
        if not found:
            raise CustomValueError(
                f"{name} has the line {line[:60]!r}, which TDecimate does not know; give its override file.",
                read_tdecimate,
            )
        where = _frames(found[1], found[2], tape, name, line, read_tdecimate)
        if found[3] in "vf":
            said[where.start : where.stop] = ["30p" if found[3] == "v" else "film"] * len(where)
        else:
            drops += [n for n in where if found[3][(n - where.start) % len(found[3])] == "-"]
    drops = sorted(set(drops))
    regular = [b - a == 5 for a, b in pairwise(drops)]
    for a, b in _runs(regular):
        if b - a >= 2:
            for n in range(max(0, drops[a] - 4), drops[b] + 1):
                said[n] = said[n] or "film"
    overrides = []
    at = 0
    for kind, group in groupby(said):
        stop = at + len(list(group))
        if kind is not None:
            overrides.append(Override(first=2 * at, stop=2 * stop, kind=kind))
        at = stop
    if not overrides:
        raise CustomValueError(
            f"{name} names no film, no video and no regular drops; there is nothing to take over.", read_tdecimate
        )
    return _checked(overrides, tape, name)


def check_timecodes(path: str | os.PathLike[str], cadence: Cadence) -> Fraction:
    """Compare timecodes v2 with a map's own times, those of `ivtc(timing="native")`; return the farthest, in seconds.

    Raises:
        CustomValueError: It is no timecodes v2 file, has another number of pictures, or differs by more than 1 ms.

    Example:
        >>> from ds9vs.cadence.exchange import write_native_timecodes
        >>> from ds9vs.cadence.model import Shot
        >>> shot = Shot(first=0, stop=4, kind="30p", lengths="22", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=2, fps=(30000, 1001), tff=True, content=""), shots=(shot,))
        >>> write_native_timecodes(whole, tmp_path / "t.txt")
        >>> check_timecodes(tmp_path / "t.txt", whole) < Fraction(1, 10**9)
        True
    """
    name = repr(str(path))
    lines = _text(path, check_timecodes).splitlines()
    bad = [line for line in lines if line.strip() and not re.fullmatch(r"\d{1,9}(\.\d{1,12})?", line.strip())]
    if [line for line in bad if not line.startswith("#")]:
        raise CustomValueError(
            f"{name} is no timecodes v2 file: after its first line each line is a time in milliseconds.",
            check_timecodes,
        )
    times = read_timecodes(path, check_timecodes)
    wanted = [Fraction(0)]
    for duration in durations(cadence):
        wanted.append(wanted[-1] + duration)
    if len(times) not in (len(cadence), len(cadence) + 1):
        raise CustomValueError(
            f"{name} has {len(times)} times, but the map has {len(cadence)} pictures; is it of timing='native'?",
            check_timecodes,
        )
    apart = [abs(time - at) for time, at in zip(times, wanted, strict=False)]
    worst = max(range(len(apart)), key=apart.__getitem__)
    if apart[worst] > Fraction(1, 1000):
        raise CustomValueError(
            f"{name} shows picture {worst} {1000 * float(apart[worst]):.2f} ms from the map's time; 1 ms is allowed.",
            check_timecodes,
        )
    return apart[worst]


def _text(path: str | os.PathLike[str], func: Func) -> str:
    """The text of a file of a size that such files have."""
    file = existing(path, func)
    try:
        if file.stat().st_size > _LARGEST:
            raise CustomValueError(f"{str(path)!r} is too large to be such a file; check the name.", func)
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CustomValueError(f"{str(path)!r} is no text file; check the name.", func) from error


def _lines(text: str) -> list[str]:
    """Lines that say something."""
    return [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] not in "#;"]


def _frames(first: str, last: str | None, tape: Tape, name: str, line: str, func: Func) -> range:
    """The frames that a line names; a last frame of 0 is the tape's."""
    a = int(first)
    b = a if last is None else int(last) or tape.frames - 1
    if not a <= b < tape.frames:
        raise CustomValueError(
            f"{name} has the line {line[:60]!r}, but the tape's frames are 0 to {tape.frames - 1}; is it of another?",
            func,
        )
    return range(a, b + 1)


def _first_field(letter: str, n: int) -> tuple[int, int] | None:
    """The fields that a match from each frame's first field weaves, counted from the first field of frame 0."""
    return {
        "c": (2 * n, 2 * n + 1),
        "p": (2 * n - 1, 2 * n),
        "n": (2 * n, 2 * n + 3),
        "b": (2 * n - 2, 2 * n + 1),
        "u": (2 * n + 1, 2 * n + 2),
    }.get(letter)


def _second_field(letter: str, n: int) -> tuple[int, int] | None:
    """The same for a match from the second field."""
    return _first_field({"p": "b", "n": "u", "b": "p", "u": "n"}.get(letter, letter), n)


def _runs(values: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """First and stop of each run of true ones."""
    at = 0
    for value, group in groupby(values):
        stop = at + len(list(group))
        if value:
            yield at, stop
        at = stop


def _checked(overrides: Sequence[Override], tape: Tape, name: str) -> tuple[Override, ...]:
    """The corrections in order; a field that two matches claim for different pictures is left to the solver."""
    found: list[Override] = []
    for one in sorted(overrides, key=lambda one: one.first):
        before = found[-1] if found else None
        if before and before.kind and one.kind and one.first < before.stop:
            shared = (one.first, min(before.stop, one.stop))
            found[-1:] = clear([before], *shared, tape)
            found += clear([one], *shared, tape)
        else:
            found.append(one)
    check_together(found, tape, name)
    return tuple(found)


def _ranges(said: _Said, tape: Tape) -> list[Override]:
    """Corrections that say what a run of frames is, by the rule in this room's first docstring."""
    states = _states(tape)
    costs, plain = _costs(said, states, said.combed), _costs(said, states, [False] * len(said.pairs))
    overrides = []
    for first, stop in pairwise(sorted({0, *said.starts, len(said.pairs)})):
        kind = said.starts.get(first)
        own = (plain if kind == "layered" else costs)[first:stop].copy()
        allowed = np.array([state.kind == ("film" if kind == "layered" else kind) for state in states])
        if kind is not None and allowed.any():
            own[:, ~allowed] = np.inf
        path = _cheapest(own)
        fits = own < _CONTRADICTS
        for a, b in pairwise([0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), stop - first]):
            state = int(path[a])
            good = fits[:, state]
            inner = range(a, b)
            if a:  # what would fit the state before as well says nothing of where this one begins
                inner = range(next((n for n in inner if good[n] and not fits[n, path[a - 1]]), b), b)
            if b < stop - first:
                last = next((n for n in reversed(inner) if good[n] and not fits[n, path[b]]), a - 1)
                inner = range(inner.start, last + 1)
            inner = range(first + inner.start, first + inner.stop)
            if states[state].kind == "60i":  # a combed frame at its end may be an orphan of the next
                inner = range(inner.start + (a > 0), inner.stop - (b < stop - first))
            if len(inner) >= (_LEAST if kind is None else 1):
                right = float(good[inner.start - first : inner.stop - first].mean())
                shared = inner.start in said.starts and inner.start > 0
                overrides += _range(said, states[state], inner, kind or states[state].kind, right, shared, tape)
    return overrides


def _states(tape: Tape) -> list[_State]:
    """What frames may be: film at each phase, 30p at each, 60i."""
    kinds: list[tuple[Kind, tuple[int, ...]]] = [("film", (2, 3)), ("30p", (2,)), ("60i", (1,))]
    if cycle("film", tape.fps) == 2:
        kinds = [("film", (2,)), ("60i", (1,))]
    return [_State(kind, phase, lengths) for kind, lengths in kinds for phase in range(sum(lengths))]


def _costs(said: _Said, states: list[_State], marked: list[bool]) -> NDArray[np.float64]:
    """What each frame costs in each state, shape (frames, states)."""
    costs = np.empty((len(said.pairs), len(states)))
    near = np.array([pair is not None and pair[1] - pair[0] == 1 for pair in said.pairs])
    at = np.array([pair[0] if pair is not None else 0 for pair in said.pairs])
    combed = np.array(marked)
    for n, state in enumerate(states):
        if state.kind == "60i":
            against = ~combed & np.array([pair is not None for pair in said.pairs])
        else:
            joined = np.array([state.joined(k) for k in range(sum(state.lengths))])[at % sum(state.lengths)]
            against = combed | (near & ~joined)
        costs[:, n] = _CONTRADICTS * against + _RARER[state.kind]
    return costs


def _cheapest(costs: NDArray[np.float64]) -> NDArray[np.intp]:
    """The state of each frame in the cheapest sequence (Viterbi)."""
    frames, count = costs.shape
    origin = np.empty((frames, count), np.intp)
    stay = np.arange(count)
    total = costs[0]
    for n in range(1, frames):
        best = int(total.argmin())
        change = total[best] + _CHANGE
        kept = total <= change
        origin[n] = np.where(kept, stay, best)
        total = np.where(kept, total, change) + costs[n]
    path = np.empty(frames, np.intp)
    path[-1] = total.argmin()
    for n in range(frames - 1, 0, -1):
        path[n - 1] = origin[n, path[n]]
    return path


def _range(
    said: _Said, state: _State, inner: range, kind: Kind, right: float, shared: bool, tape: Tape
) -> list[Override]:
    """The correction that a run of frames of one state makes: over the fields that its matches touch.

    `right` is the share of frames that fit the state, `shared` whether the first field may be of the section before: a
    section begins with a frame, a cut with a field.
    """
    touched = (2 * inner.start + shared, 2 * inner.stop)
    if state.kind != "60i":
        woven = [n for n in inner if kind == "layered" or not said.combed[n]]
        pairs = [pair for n in woven if (pair := said.pairs[n]) and pair[1] - pair[0] == 1]
        if not pairs:
            return []
        least = touched[0] if kind == "layered" else -1  # all of it is combed: an orphan before it does not show
        touched = (max(least, min(pair[0] for pair in pairs)), max(pair[1] for pair in pairs) + 1)
    offset = 2 * said.frame
    first, stop = max(0, offset + touched[0]), min(2 * tape.frames, offset + touched[1])
    phase = (first - offset + state.phase) % sum(state.lengths) if kind != "60i" and right >= 0.8 else None
    if kind == "30p" and state.phase == 0 and 5 * sum(said.dropped[n] for n in inner) >= 0.8 * len(inner):
        kind, phase = "film", None
    return [Override(first=first, stop=stop, kind=kind, phase=phase)]
