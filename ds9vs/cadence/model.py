"""What every field of a tape is: shots, pictures, confidence. Frozen data and its JSON; knows no clip and no solver.

Fields are counted in time order from the tape's start: fields 2n and 2n + 1 are the first and second of frame n.
A picture is a run of fields scanned from one instant; a shot is a run of pictures with one cadence. The shots follow
each other without a gap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomValueError
from ..files import existing, write_json

__all__ = ["VERSION", "Cadence", "Kind", "Picture", "Shot", "Tape"]

type Func = Callable[..., Any] | str

VERSION = 1
"""Version of the JSON; a file of a later one is refused."""

Kind = Literal["film", "30p", "60i", "layered"]
"""What a shot is. film: one picture in 2 or 3 fields; 30p: in 2; 60i: in 1; layered: in 1, over film (`Shot.base`)."""


class Picture(NamedTuple):
    """One picture of the tape."""

    first: int
    """Its first field."""
    stop: int
    """The field after its last."""
    shot: int
    """Number of its shot."""
    kind: Kind
    """What its shot is."""
    confidence: float
    """Probability that its fields are grouped rightly."""
    combed: bool
    """Whether blocks of it comb although its fields belong together: another layer, or a fade made on video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """Which tape a cadence belongs to."""

    frames: int
    """Woven frames, two fields each."""
    fps: tuple[int, int]
    """Frames a second, numerator and denominator."""
    tff: bool
    """Whether the top field of each frame comes first."""
    content: str
    """Hash of sampled pictures: a map of another tape is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A run of fields with one cadence."""

    first: int
    """Its first field."""
    stop: int
    """The field after its last."""
    kind: Kind
    lengths: str
    """Fields in each picture, a digit each: film "23232…", 30p "222…", 60i and layered "111…"; an orphan is a "1"."""
    confidence: float
    """Probability that kind and phase are right, 0 to 1."""
    quality: tuple[int, ...] = ()
    """For each picture -10 log10 P(grouped wrongly), the Phred scale, 0 to 60; empty: as the shot."""
    base: str = ""
    """Of a layered shot: fields in each film picture of its background, as `lengths`; the sums are equal."""
    combed: tuple[int, ...] = ()
    """Pictures (counted from the shot's first) of several fields in which blocks comb all the same."""
    swapped: bool = False
    """Whether the fields of each frame were scanned in the order opposite to what the tape says."""
    notes: tuple[str, ...] = ()
    """What else was seen: "still", "fade", "blended", "dark", …"""


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """The partition of a tape into shots and pictures.

    Raises:
        CustomValueError: The shots leave a gap, overlap, or a shot's pictures do not fill it.

    Example:
        >>> tape = Tape(frames=5, fps=(30000, 1001), tff=True, content="")
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> Cadence(tape=tape, shots=(film,)).picture(1)[:2]
        (2, 5)
    """

    tape: Tape
    shots: tuple[Shot, ...]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        at = 0
        for n, shot in enumerate(self.shots):
            if shot.first != at or shot.stop <= shot.first:
                raise CustomValueError(
                    f"Shot {n} is fields {shot.first} to {shot.stop}, but must start at field {at} and not be empty.",
                    Cadence,
                )
            if shot.kind not in get_args(Kind):
                raise CustomValueError(
                    f"Shot {n} is {shot.kind!r}; a shot is one of {', '.join(get_args(Kind))}.", Cadence
                )
            for name, digits in (("lengths", shot.lengths), ("base", shot.base)):
                if (digits or name == "lengths") and (
                    not digits.isdigit() or "0" in digits or sum(map(int, digits)) != shot.stop - shot.first
                ):
                    raise CustomValueError(
                        f"The {name} of shot {n} must be digits 1 to 9 that add up to {shot.stop - shot.first}.",
                        Cadence,
                    )
            if shot.quality and len(shot.quality) != len(shot.lengths):
                raise CustomValueError(
                    f"Shot {n} has {len(shot.lengths)} pictures but a quality for {len(shot.quality)}.", Cadence
                )
            at = shot.stop
        if at != 2 * self.tape.frames:
            raise CustomValueError(f"The shots end at field {at}, but the tape has {2 * self.tape.frames}.", Cadence)

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """The first field of every picture, and the tape's field count last: shape (pictures + 1,)."""
        lengths = np.frombuffer("".join(shot.lengths for shot in self.shots).encode(), np.uint8).astype(np.int64) - ord(
            "0"
        )
        return np.concatenate([[0], np.cumsum(lengths)])

    @cached_property
    def shot_firsts(self) -> NDArray[np.int64]:
        """The first picture of every shot, and the picture count last: shape (shots + 1,)."""
        return np.concatenate([[0], np.cumsum([len(shot.lengths) for shot in self.shots])]).astype(np.int64)

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.firsts) - 1

    def picture(self, n: int) -> Picture:
        """Picture `n`, counted from 0."""
        s = int(np.searchsorted(self.shot_firsts, n, "right")) - 1
        shot, inside = self.shots[s], n - int(self.shot_firsts[s])
        sure = 1 - 10 ** (-shot.quality[inside] / 10) if shot.quality else shot.confidence
        return Picture(int(self.firsts[n]), int(self.firsts[n + 1]), s, shot.kind, sure, inside in shot.combed)

    def picture_at(self, field_number: int) -> int:
        """Number of the picture that holds a field."""
        return int(np.searchsorted(self.firsts, field_number, "right")) - 1

    def fields_by_kind(self) -> dict[Kind, int]:
        """How many fields of the tape are of each kind."""
        found: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
        for shot in self.shots:
            found[shot.kind] += shot.stop - shot.first
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, whole or not at all."""
        write_json(path, {"ds9vs_cadence": VERSION, **asdict(self)}, Cadence.save)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Cadence:
        """Read the JSON.

        Raises:
            FileWasNotFoundError: There is no such file.
            CustomValueError: It is truncated, no cadence, of a later version, or does not hold together.
        """
        try:
            table = json.loads(existing(path, cls.load).read_text(encoding="utf-8"))
            version = table.pop("ds9vs_cadence")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError) as error:
            raise CustomValueError(
                f"{str(path)!r} is truncated or no cadence map; make it again: ds9vs analyse.", cls.load
            ) from error
        if version != VERSION:
            raise CustomValueError(
                f"{str(path)!r} is a cadence map of version {version}; this ds9vs reads {VERSION}.", cls.load
            )
        try:
            shots = tuple(_shot(row) for row in table["shots"])
            tape = Tape(**{**table["tape"], "fps": tuple(table["tape"]["fps"])})
            return cls(tape=tape, shots=shots, notes=tuple(table.get("notes", ())))
        except (TypeError, KeyError) as error:
            raise CustomValueError(
                f"{Path(path).name!r} is no whole cadence map ({error}); make it again: ds9vs analyse.", cls.load
            ) from error


def _shot(row: dict[str, Any]) -> Shot:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Shot(**values)
