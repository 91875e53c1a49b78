"""Corrections by hand: what a user says of a stretch of tape. Data, and the small TOML file beside a map.

May import the ground rooms and `cadence/model`. Knows no clip and no solver: the solver takes these as given and solves
everything else around them.
"""

from __future__ import annotations

import datetime
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from math import floor
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import CustomValueError
from ..files import write_text
from ..presets import load_toml
from .model import Kind, Shot, Tape

__all__ = [
    "Note",
    "Override",
    "clear",
    "clock",
    "cycle",
    "load_overrides",
    "made",
    "overrides_path",
    "phase_of",
    "put",
    "save_overrides",
    "seconds",
    "span",
]

type Func = Callable[..., Any] | str

Note = Literal["still", "fade", "credits", "blended"]
"""What a user may say of a stretch. still: nothing moves, the pattern is that of its neighbours; fade: made on video,
over pictures that are still whole; credits: text that moves at video rate; blended: a standards converter mixed fields,
no weave is clean."""

_KEYS = ("frames", "fields", "time", "cadence", "phase", "note")
_PLACES = ("frame", "field", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What a user says of a run of fields; the solver obeys, and decides what is left open.

    The phase is the place of the run's first field in the cycle of its pictures. Film on NTSC has a cycle of five
    fields, a picture of two and one of three; 30p, and film on PAL, one of two::

        place    0   1   2   3   4   0   1          phase 0: a picture of two fields begins at the first field
        film   | A   A | B   B   B | C   C |        phase 2: a picture of three begins there
        place    0   1   0   1   0   1              phase 1: the first field is the second of its picture, and so on
        30p    | A   A | B   B | C   C |

    Raises:
        CustomValueError: It is empty, says nothing, or its phase does not go with its kind.

    Example:
        >>> Override(first=1200, stop=1400, kind="film", phase=3).place(1201)
        4
    """

    first: int
    """Its first field."""
    stop: int
    """The field after its last."""
    kind: Kind | None = None
    """What the fields are; None: the solver finds it."""
    phase: int | None = None
    """Place of the first field in its cycle: film 0 to 4 (on PAL 0 or 1), 30p 0 or 1, layered that of the background
    film, 60i has none; None: the solver finds it."""
    notes: tuple[Note, ...] = ()
    """What else is so of all of it."""
    cut: bool = False
    """Whether a new shot begins at the first field."""

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.stop:
            raise CustomValueError(
                f"The fields {self.first} to {self.stop} are no range; it starts at 0 or later and is not empty.",
                Override,
            )
        if self.kind is not None and self.kind not in get_args(Kind):
            raise CustomValueError(
                f"The cadence is {self.kind!r}; it must be one of {_listed(get_args(Kind))}.", Override
            )
        for note in self.notes:
            if note not in get_args(Note):
                raise CustomValueError(f"The note is {note!r}; it must be one of {_listed(get_args(Note))}.", Override)
        if self.phase is not None:
            if self.kind is None:
                raise CustomValueError(
                    f"The phase {self.phase} is without a cadence; give cadence = 'film', '30p' or 'layered' with it.",
                    Override,
                )
            if self.kind == "60i":
                raise CustomValueError("60i has no phase, for each field is a picture; leave it out.", Override)
            if not 0 <= self.phase < cycle(self.kind):
                raise CustomValueError(
                    f"The phase of {self.kind} is {self.phase}; it must be 0 to {cycle(self.kind) - 1}.", Override
                )
        if self.kind is None and not self.notes and not self.cut:
            raise CustomValueError(
                f"Nothing is said of fields {self.first} to {self.stop}; give a cadence, a note or a cut.", Override
            )

    def place(self, field: int, fps: tuple[int, int] = (30000, 1001)) -> int | None:
        """Place in the cycle of a field of a tape of so many frames a second; None if the phase is left open."""
        if self.kind is None or self.phase is None:
            return None
        return (field - self.first + self.phase) % cycle(self.kind, fps)


def cycle(kind: Kind, fps: tuple[int, int] = (30000, 1001)) -> int:
    """Fields after which the pattern of a kind repeats, on a tape of so many frames a second.

    Example:
        >>> cycle("film"), cycle("30p"), cycle("film", (25, 1))
        (5, 2, 2)
    """
    if kind == "60i":
        return 1
    return 2 if kind == "30p" or Fraction(*fps) < 27 else 5


def phase_of(shot: Shot, tape: Tape) -> int | None:
    """Place of a shot's first field in its cycle, as an `Override` states it; None for 60i and for broken patterns.

    Example:
        >>> tape = Tape(frames=5, fps=(30000, 1001), tff=True, content="")
        >>> phase_of(Shot(first=0, stop=10, kind="film", lengths="13231", confidence=0.9), tape)
        1
    """
    lengths = shot.base or shot.lengths
    count = cycle(shot.kind, tape.fps)
    if count == 1 or (shot.kind == "layered" and not shot.base):
        return None
    heads = list(accumulate(map(int, lengths), initial=0))[:-1]
    starts = (0, 2) if count == 5 else (0,)
    for phase in range(count):
        if heads == [k for k in range(shot.stop - shot.first) if k == 0 or (k + phase) % count in starts]:
            return phase
    return None


def overrides_path(path: str | os.PathLike[str]) -> Path:
    """Where the corrections of a map lie: beside it.

    Example:
        >>> overrides_path("ep.json").name, overrides_path("S01E01.cadence.json").name
        ('ep.overrides.toml', 'S01E01.cadence.overrides.toml')
    """
    found = Path(path)
    return found.with_name(f"{found.stem if found.suffix == '.json' else found.name}.overrides.toml")


def seconds(value: object) -> Fraction | None:
    """A time on the tape: "h:mm:ss.mmm", "mm:ss", plain seconds (text or number), or TOML's own local time.

    Returns:
        Seconds, exactly; None if it is no time.

    Example:
        >>> seconds("0:01:20.02"), seconds(3), seconds("soon")
        (Fraction(4001, 50), Fraction(3, 1), None)
    """
    if isinstance(value, datetime.time):
        value = value.isoformat()
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(value)
    if not isinstance(value, str):
        return None
    found = re.fullmatch(r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,9}(?:\.\d{1,9})?)", value.strip(), re.ASCII)
    if found is None:
        return None
    hours, minutes, rest = found.groups(default="0")
    if found[2] is not None and (Fraction(rest) >= 60 or (found[1] is not None and int(minutes) >= 60)):
        return None
    return 3600 * int(hours) + 60 * int(minutes) + Fraction(rest)


def span(
    tape: Tape, key: Literal["frames", "fields", "time"], text: str, func: Func, *, name: str = "", count: int = 0
) -> tuple[int, int]:
    """The fields that a range named in one word covers: "600-700" (exclusive end), or one frame, field or instant.

    Args:
        tape: The tape.
        key: In what the range is given.
        text: The word.
        func: The function that errors name.
        name: What errors call the range; by default the option of the command line.
        count: Fields to stay within; 0: those of the tape.

    Raises:
        CustomValueError: It is no range, empty or outside of the tape.

    Example:
        >>> tape = Tape(frames=900, fps=(30000, 1001), tff=True, content="")
        >>> span(tape, "frames", "600-700", "f"), span(tape, "frames", "12", "f"), span(tape, "time", "1-2.5", "f")
        ((1200, 1400), (24, 26), (60, 150))
    """
    name = name or f"--{key}"
    words = [part.strip() for part in text.split("-", 1)]
    values = [int(word) if key != "time" and re.fullmatch(r"\d{1,9}", word, re.ASCII) else word for word in words]
    begin, *end = (_field(value, key, tape, name, func) for value in values)
    until = end[0] if end else begin + (2 if key == "frames" else 1)
    if until <= begin:
        raise CustomValueError(f"{name} {text} is empty; the end is exclusive and must lie after the first.", func)
    if until > (count or 2 * tape.frames):
        whole = f"the clip's {count} frames" if count else f"the tape's {tape.frames} frames"
        raise CustomValueError(f"{name} {text} reaches beyond {whole}.", func)
    return begin, until


def clock(field: int, tape: Tape) -> str:
    """The time at which a field begins, as `seconds` reads it back: rounded to a millisecond, which names the field.

    Example:
        >>> clock(1200, Tape(frames=900, fps=(30000, 1001), tff=True, content=""))
        '0:00:20.020'
    """
    thousandths = floor(1000 * field / (2 * Fraction(*tape.fps)) + Fraction(1, 2))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def load_overrides(path: str | os.PathLike[str], tape: Tape) -> tuple[Override, ...]:
    """Read the corrections of a tape from their TOML file; none if there is no file.

    Tables of the file, as many as wanted of each; ranges end before their second number, everything counts from 0::

        tape = "0c1f..."                    # written by us: which tape; may be left out

        [[range]]
        frames = [600, 700]                 # of the tape; or fields = [1200, 1400],
                                            # or time = ["0:00:20.020", "0:00:23.357"], snapped to the nearest field
        cadence = "film"                    # film, 30p, 60i, layered; left out: found by the solver
        phase = 3                           # see `Override`; left out: found
        note = "credits"                    # or a list: still, fade, credits, blended

        [[cut]]
        frame = 812                         # a new shot begins here; or field = 1625, or time = "0:00:27.110"

    Raises:
        CustomValueError: It is no TOML, of another tape, says something unknown or impossible, lies outside of the
            tape, or two ranges contradict each other; the sentence names the file and the table.

    Example:
        >>> tape = Tape(frames=900, fps=(30000, 1001), tff=True, content="")
        >>> text = "[[range]]" + chr(10) + "frames = [60, 70]" + chr(10) + "cadence = '60i'"
        >>> _ = (tmp_path / "ep.overrides.toml").write_text(text)
        >>> [(o.first, o.stop, o.kind) for o in load_overrides(tmp_path / "ep.overrides.toml", tape)]
        [(120, 140, '60i')]
    """
    file = Path(path)
    if not file.exists():
        return ()
    name = repr(str(path))
    try:
        table = load_toml(file, load_overrides)
    except OSError as error:
        raise CustomValueError(f"{name} cannot be read ({error.strerror}).", load_overrides) from error
    unknown = [key for key in table if key not in ("tape", "range", "cut")]
    if unknown:
        raise CustomValueError(
            f"{name} has {unknown[0]!r}; a file of corrections has tables [[range]] and [[cut]], and tape.",
            load_overrides,
        )
    if "tape" in table and table["tape"] != tape.content:
        raise CustomValueError(
            f"{name} is of another tape; take the line 'tape = ...' out of it if it belongs to this one all the same.",
            load_overrides,
        )
    found = []
    for kind, read in (("range", _range), ("cut", _cut)):
        rows = table.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise CustomValueError(f"{name}: {kind} must be tables, each headed [[{kind}]].", load_overrides)
        found += [read(row, tape, f"{name}, {kind} {n}") for n, row in enumerate(rows, 1)]
    check_together(found, tape, name)
    return tuple(found)


def check_together(overrides: Sequence[Override], tape: Tape, name: str) -> None:
    """Refuse what lies outside of the tape, and ranges that contradict each other where they overlap.

    Raises:
        CustomValueError: They do; `name` stands first in the sentence.
    """
    for one in overrides:
        if one.stop > 2 * tape.frames:
            raise CustomValueError(
                f"{name}: {_words(one, tape)} reaches beyond the tape's {tape.frames} frames "
                f"({2 * tape.frames} fields).",
                load_overrides,
            )
        if one.kind is not None and one.phase is not None and one.phase >= cycle(one.kind, tape.fps):
            raise CustomValueError(
                f"{name}: {_words(one, tape)} has phase {one.phase}; of {one.kind} at 25 frames a second it is 0 or 1.",
                load_overrides,
            )
    known = sorted((one for one in overrides if one.kind), key=lambda one: one.first)
    reach: list[Override] = []
    for one in known:
        reach = [other for other in reach if other.stop > one.first]
        for other in reach:
            places = {o.place(one.first, tape.fps) for o in (one, other)} - {None}
            if one.kind != other.kind or len(places) > 1:
                raise CustomValueError(
                    f"{name}: {_words(other, tape)} and {_words(one, tape)} overlap and contradict each other; "
                    "shorten or remove one.",
                    load_overrides,
                )
        reach.append(one)


def _words(one: Override, tape: Tape) -> str:
    where = f"frames {one.first // 2} to {one.stop // 2}"
    if one.first % 2 or one.stop % 2:
        where = f"fields {one.first} to {one.stop}"
    what = "cut" if one.kind is None and one.cut else one.kind or " ".join(one.notes)
    phase = "" if one.phase is None else f" phase {one.phase}"
    return f"{what}{phase} at {where} ({clock(one.first, tape)})"


def _range(row: dict[str, Any], tape: Tape, name: str) -> Override:
    _known(row, _KEYS, name)
    key = _one_of(row, _KEYS[:3], name)
    pair = row[key]
    if not isinstance(pair, list) or len(pair) != 2:
        raise CustomValueError(
            f"{name}: {key} is {pair!r}; give first and end, as in {_EXAMPLES[key]}.", load_overrides
        )
    first, stop = (_field(value, key, tape, name) for value in pair)
    if stop <= first:
        raise CustomValueError(
            f"{name}: {key} = {_shown(pair)} is empty; the end is exclusive and must lie after the first.",
            load_overrides,
        )
    if stop > 2 * tape.frames:
        raise CustomValueError(
            f"{name}: {key} = {_shown(pair)} reaches beyond the tape's {tape.frames} frames "
            f"({clock(2 * tape.frames, tape)}).",
            load_overrides,
        )
    notes = row.get("note", [])
    notes = [notes] if isinstance(notes, str) else notes
    phase = row.get("phase")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise CustomValueError(
            f"{name}: note is {row['note']!r}; give one or a list of {_listed(get_args(Note))}.", load_overrides
        )
    if phase is not None and type(phase) is not int:
        raise CustomValueError(f"{name}: phase is {phase!r}; it is a whole number, 0 to 4.", load_overrides)
    if "cadence" in row and not isinstance(row["cadence"], str):
        raise CustomValueError(
            f"{name}: cadence is {row['cadence']!r}; it must be one of {_listed(get_args(Kind))}.", load_overrides
        )
    return made(
        name,
        load_overrides,
        first=first,
        stop=stop,
        kind=row.get("cadence"),
        phase=phase,
        notes=tuple(dict.fromkeys(notes)),
    )


def _cut(row: dict[str, Any], tape: Tape, name: str) -> Override:
    _known(row, _PLACES, name)
    key = _one_of(row, _PLACES, name)
    first = _field(row[key], key, tape, name)
    if first >= 2 * tape.frames:
        raise CustomValueError(
            f"{name}: {key} = {_shown(row[key])} lies beyond the tape's {tape.frames} frames "
            f"({clock(2 * tape.frames, tape)}).",
            load_overrides,
        )
    return made(name, load_overrides, first=first, stop=first + 1, cut=True)


def made(name: str, func: Func, **values: Any) -> Override:
    """An override of what a user gave; if it cannot be, the sentence begins with what it is called.

    Example:
        >>> made("Range 1", "f", first=0, stop=10, kind="film").kind
        'film'
    """
    try:
        return Override(**values)
    except CustomValueError as error:
        said = str(error).partition(") ")[2]
        raise CustomValueError(f"{name}: {said}" if name else said, func) from error


_EXAMPLES = {
    "frames": "frames = [600, 700]",
    "fields": "fields = [1200, 1400]",
    "time": 'time = ["0:00:20.020", "0:00:23.357"]',
}


def _known(row: dict[str, Any], keys: Sequence[str], name: str) -> None:
    unknown = [key for key in row if key not in keys]
    if unknown:
        raise CustomValueError(f"{name} has {unknown[0]!r}; its keys are {', '.join(keys)}.", load_overrides)


def _one_of(row: dict[str, Any], keys: Sequence[str], name: str) -> str:
    given = [key for key in keys if key in row]
    if len(given) != 1:
        said = " and ".join(given) or "none"
        raise CustomValueError(f"{name} must have exactly one of {', '.join(keys)}; it has {said}.", load_overrides)
    return given[0]


def _field(value: object, key: str, tape: Tape, name: str, func: Func = load_overrides) -> int:
    """The field that a place given as a frame, a field or a time begins at."""
    if key == "time":
        at = seconds(value)
        if at is not None:
            return floor(2 * at * Fraction(*tape.fps) + Fraction(1, 2))
        raise CustomValueError(f"{name}: {_shown(value)} is no time; write 0:00:20.020 or seconds.", func)
    if type(value) is not int or value < 0:
        raise CustomValueError(
            f"{name}: {_shown(value)} is no number of a {key.removesuffix('s')}; these are whole and count from 0.",
            func,
        )
    return 2 * value if key.startswith("frame") else value


def _shown(value: object) -> str:
    return re.sub(r"datetime\.time\([^)]*\)", "...", repr(value))[:60]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def clear(overrides: Sequence[Override], first: int, stop: int, tape: Tape) -> tuple[Override, ...]:
    """The corrections without what they say of fields `first` to `stop` (exclusive); what reaches over is trimmed.

    Example:
        >>> tape = Tape(frames=900, fps=(30000, 1001), tff=True, content="")
        >>> film = Override(first=0, stop=100, kind="film", phase=0)
        >>> [(o.first, o.stop, o.phase) for o in clear([film], 40, 63, tape)]
        [(0, 40, 0), (63, 100, 3)]
    """
    return tuple(part for one in overrides for part in _outside(one, first, stop, tape))


def put(overrides: Sequence[Override], new: Override, tape: Tape) -> tuple[Override, ...]:
    """The corrections with one more; where it states a cadence, older ranges give way to it (their notes stay).

    Raises:
        CustomValueError: It lies outside of the tape.

    Example:
        >>> tape = Tape(frames=900, fps=(30000, 1001), tff=True, content="")
        >>> old = Override(first=0, stop=100, kind="60i")
        >>> new = Override(first=40, stop=60, kind="film")
        >>> [(o.first, o.stop, o.kind) for o in put([old], new, tape)]
        [(0, 40, '60i'), (60, 100, '60i'), (40, 60, 'film')]
    """
    kept: list[Override] = []
    for one in (part for whole in overrides for part in _written(whole)):
        if new.kind is None or one.kind is None or one.stop <= new.first or new.stop <= one.first:
            kept.append(one)
            continue
        kept += _outside(one, new.first, new.stop, tape)
        if one.notes:
            kept.append(Override(first=max(one.first, new.first), stop=min(one.stop, new.stop), notes=one.notes))
    found = tuple(dict.fromkeys((*kept, *_written(new))))
    check_together(found, tape, "The range")
    return found


def _outside(one: Override, first: int, stop: int, tape: Tape) -> list[Override]:
    """What is left of a correction outside of a range: none, one or two parts."""
    if one.stop <= first or stop <= one.first:
        return [one]
    parts = []
    if one.first < first:
        parts.append(replace(one, stop=first))
    if stop < one.stop and (one.kind is not None or one.notes):
        parts.append(replace(one, first=stop, phase=one.place(stop, tape.fps), cut=False))
    return parts


_HEADER = """\
# Corrections of a cadence map: they are obeyed, all else is solved around them. Frames and fields count from 0;
# a range ends before its second number. cadence: film, 30p, 60i, layered. note: still, fade, credits, blended.
"""


def save_overrides(path: str | os.PathLike[str], overrides: Sequence[Override], tape: Tape) -> None:
    """Write the corrections of a tape as a TOML file, whole or not at all.

    Tables of a file that is there and that say the same stay as they were written, with the comments before and in
    them; what is new follows.

    Raises:
        CustomValueError: They contradict each other or lie outside of the tape, or the file that is there is none.
        CustomRuntimeError: The folder cannot be written.

    Example:
        >>> tape = Tape(frames=900, fps=(30000, 1001), tff=True, content="0c1f")
        >>> film = Override(first=1200, stop=1400, kind="film", phase=3)
        >>> save_overrides(tmp_path / "ep.overrides.toml", [film], tape)
        >>> load_overrides(tmp_path / "ep.overrides.toml", tape)[0].phase
        3
    """
    check_together(overrides, tape, "The corrections")
    left = [part for one in overrides for part in _written(one)]
    pieces = [_HEADER + f'\ntape = "{tape.content}"\n' if tape.content else _HEADER]
    if Path(path).exists():
        load_overrides(path, tape)
        head, blocks = _blocks(Path(path).read_text(encoding="utf-8"))
        pieces = [head]
        for text, says in ((text, _alone(text, tape)) for text in blocks):
            if says in left:
                left.remove(says)
                pieces.append(text)
    text = "".join([*pieces, *(f"\n{_toml(one, tape)}" for one in left)])
    write_text(path, text, save_overrides)


def _written(one: Override) -> list[Override]:
    """A correction as the file has it: a cut stands alone."""
    if not one.cut or (one.kind is None and not one.notes):
        return [replace(one, stop=one.first + 1)] if one.cut else [one]
    return [replace(one, cut=False), Override(first=one.first, stop=one.first + 1, cut=True)]


def _blocks(text: str) -> tuple[str, list[str]]:
    """The text of a file before its first table, and that of each table with the comments right above it."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    starts = []
    for n, line in enumerate(lines):
        if re.match(r"\s*\[\[\s*(range|cut)\s*\]\]", line):
            while n > 0 and lines[n - 1].lstrip().startswith("#"):
                n -= 1
            while n > 0 and not lines[n - 1].strip():
                n -= 1
            starts.append(n)
    parts = ["".join(lines[a:b]) for a, b in zip([0, *starts], [*starts, len(lines)], strict=True)]
    return parts[0], parts[1:]


def _alone(text: str, tape: Tape) -> Override | None:
    """What one table of a file says."""
    table = tomllib.loads(text)
    if "range" in table:
        return _range(table["range"][0], tape, "range")
    return _cut(table["cut"][0], tape, "cut") if "cut" in table else None


def _toml(one: Override, tape: Tape) -> str:
    if one.cut:
        place = f"field = {one.first}" if one.first % 2 else f"frame = {one.first // 2}"
        return f"[[cut]]\n{place}  # {clock(one.first, tape)}\n"
    where = f"fields = [{one.first}, {one.stop}]"
    if not one.first % 2 and not one.stop % 2:
        where = f"frames = [{one.first // 2}, {one.stop // 2}]"
    lines = ["[[range]]", f"{where}  # {clock(one.first, tape)} to {clock(one.stop, tape)}"]
    if one.kind is not None:
        lines.append(f'cadence = "{one.kind}"')
    if one.phase is not None:
        lines.append(f"phase = {one.phase}")
    if one.notes:
        lines.append(f"note = [{', '.join(f'"{note}"' for note in one.notes)}]")
    return "\n".join(lines) + "\n"
