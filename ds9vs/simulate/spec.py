"""What a simulated tape is made of, and the truth about each of its fields. Frozen data and its JSON; no pixels.

May import the ground rooms and `cadence/model`. `tape` renders what is described here.

A tape is a list of shots; a shot is a stack of layers; a layer shows pictures of the footage, or a drawn effect, with
a cadence of its own. The kind of a shot follows from its layers and is never stated twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..cadence.model import Cadence, Kind, Shot, Tape
from ..errors import CustomValueError
from ..files import existing, write_json
from ..timing import NTSC, PAL
from .vfx import EFFECTS, KEYS

__all__ = [
    "VERSION",
    "Grain",
    "Layer",
    "LayerKind",
    "ShotSpec",
    "TapeNoise",
    "TapeSpec",
    "Truth",
    "TruthShot",
    "plan_truth",
]

type Func = Callable[..., Any] | str

VERSION = 1
"""Version of the truth's JSON; a file of a later one is refused."""

LayerKind = Literal["film", "30p", "60i"]
"""How often a layer shows a new picture: film by its pulldown, 30p every 2 fields, 60i every field."""

Standard = Literal["ntsc", "pal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """Film grain: one sample of it for each film picture, so that all fields of the picture carry the same.

    Example:
        >>> Grain(curve=((0.0, 1.0), (1.0, 3.0))).sigma(0.5)
        2.0
    """

    curve: tuple[tuple[float, float], ...] = ((0.0, 0.8), (0.25, 1.8), (0.55, 1.6), (1.0, 0.5))
    """Standard deviation in 8-bit codes against luma (0 black, 1 white), linear between the points."""
    size: float = 0.7
    """Radius of a grain: sigma of its Gaussian in pixels, 0 (white noise) to 3."""
    chroma: float = 0.35
    """Standard deviation of the chroma grain relative to that of luma."""

    def __post_init__(self) -> None:
        if not self.curve or any(s < 0 for _, s in self.curve):
            raise CustomValueError("The grain's curve needs points (luma 0 to 1, sigma >= 0 in 8-bit codes).", Grain)
        if [x for x, _ in self.curve] != sorted(x for x, _ in self.curve):
            raise CustomValueError("The points of the grain's curve must go from dark to bright.", Grain)
        if not 0 <= self.size <= 3 or self.chroma < 0:
            raise CustomValueError("The grain's size is 0 to 3 pixels and its chroma share not negative.", Grain)

    def sigma(self, luma: float) -> float:
        """Standard deviation, in 8-bit codes, at a luma of 0 to 1."""
        return float(np.interp(luma, [x for x, _ in self.curve], [s for _, s in self.curve]))


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeNoise:
    """Noise of the video chain: new for each field, so that no field repeats another exactly."""

    luma: float = 0.8
    """Standard deviation in 8-bit codes."""
    chroma: float = 1.0
    """Standard deviation in 8-bit codes; it is drawn out along the lines, as colour-under recording leaves it."""

    def __post_init__(self) -> None:
        if self.luma < 0 or self.chroma < 0:
            raise CustomValueError("The sigmas of tape noise must not be negative.", TapeNoise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a shot: footage or a drawn effect, with its own cadence.

    Example:
        >>> Layer(kind="film", pattern="2:3:3:2", phase=1).lengths(10)
        [1, 3, 3, 2, 1]
    """

    kind: LayerKind = "film"
    """How often it shows a new picture."""
    clip: int = 0
    """Which file of the footage, counted from 0."""
    start: int = 0
    """Picture of that file it starts at."""
    stop: int | None = None
    """Picture it must stay before (None: the file's end); when it runs out it goes back and forth."""
    step: float = 1.0
    """Pictures of the footage it moves on for each picture of its own; 0 is a still."""
    pattern: str = "2:3"
    """Film: fields in each picture, over and over: "2:3", "2:3:3:2", "2:2" (PAL)."""
    phase: int | None = None
    """Field of the pattern it starts at; None takes one at random by the tape's seed."""
    speed: float = 1.0
    """Field-rate slow motion: 0.4 holds each picture 2.5 times as long, field by field."""
    zoom: float = 0.0
    """Camera: natural logarithm of the enlargement gained in a second; 0.03 is a slow zoom."""
    pan: tuple[float, float] = (0.0, 0.0)
    """Camera: pixels a second to the right and down, sub-pixel exact; beyond its edge the picture is mirrored."""
    centre: float = 0.5
    """Which part of a footage that is too wide is kept: 0 left, 1 right."""
    exposure: float = 1.0
    """Gain on luma over black and on chroma; 0.4 makes a dark shot."""
    effect: str = ""
    """Draw this effect of `vfx.EFFECTS` instead of footage."""
    key: str = ""
    """How it lies over the layers below: "" all over (an effect by its own alpha), or one of `vfx.KEYS`."""
    grain: bool | None = None
    """Whether it carries grain; None: film from footage does."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(LayerKind):
            raise CustomValueError(f"A layer is film, 30p or 60i, not {self.kind!r}.", Layer)
        if not self.pattern or any(not part.isdigit() or not 0 < int(part) < 10 for part in self.pattern.split(":")):
            raise CustomValueError(f'The pulldown pattern {self.pattern!r} must be like "2:3" or "2:3:3:2".', Layer)
        if self.phase is not None and not 0 <= self.phase < sum(self.cycle):
            raise CustomValueError(f"The phase {self.phase} must be 0 to {sum(self.cycle) - 1} or None.", Layer)
        if self.start < 0 or (self.stop is not None and self.stop <= self.start) or self.step < 0 or self.clip < 0:
            raise CustomValueError(
                f"A layer's footage is clip {self.clip}, pictures {self.start} to {self.stop}, step {self.step}: "
                "none of them may be negative, and the stop lies after the start.",
                Layer,
            )
        if not 0.1 <= self.speed <= 1:
            raise CustomValueError(f"A layer's speed is 0.1 to 1 (slow motion), not {self.speed}.", Layer)
        if abs(self.zoom) > 1 or self.exposure < 0 or not 0 <= self.centre <= 1:
            raise CustomValueError("A layer's zoom is -1 to 1, its exposure not negative, its centre 0 to 1.", Layer)
        if self.effect and self.effect not in EFFECTS:
            raise CustomValueError(f"There is no effect {self.effect!r}; use one of {', '.join(EFFECTS)}.", Layer)
        if self.key and self.key not in KEYS:
            raise CustomValueError(f"There is no key {self.key!r}; use one of {', '.join(KEYS)}.", Layer)

    @property
    def cycle(self) -> tuple[int, ...]:
        """Fields in each picture, over and over."""
        if self.kind == "film":
            return tuple(int(part) for part in self.pattern.split(":"))
        return (2,) if self.kind == "30p" else (1,)

    @property
    def period(self) -> Fraction:
        """Fields from one picture to the next, on average."""
        return Fraction(sum(self.cycle), len(self.cycle)) / Fraction(self.speed).limit_denominator(1000)

    @property
    def moves(self) -> bool:
        """Whether successive pictures differ: not so for a still without a camera."""
        return bool(self.effect or self.step or self.zoom or any(self.pan))

    @property
    def grainy(self) -> bool:
        """Whether it carries grain."""
        return self.kind == "film" and not self.effect if self.grain is None else self.grain

    def ids(self, slots: NDArray[np.int64], phase: int) -> NDArray[np.int64]:
        """Number of the layer's own picture, from 0, at each of the shot's instants (field periods)."""
        edges = np.cumsum(self.cycle)
        at = np.floor(slots * self.speed + 1e-9).astype(np.int64) + phase
        inside = np.searchsorted(edges, at % edges[-1], "right")
        found = at // edges[-1] * len(edges) + inside
        return np.asarray(found - np.searchsorted(edges, phase, "right"))

    def lengths(self, fields: int) -> list[int]:
        """Fields in each picture of a stretch that starts with the layer's phase (None: 0)."""
        return _runs(self.ids(np.arange(fields), self.phase or 0).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotSpec:
    """A run of fields between two cuts.

    Example:
        >>> ShotSpec(fields=25, layers=(Layer(), Layer(kind="60i", effect="ship"))).layers[1].effect
        'ship'
    """

    fields: int
    """How many fields it lasts; a cut may lie at any field."""
    layers: tuple[Layer, ...] = (Layer(),)
    """From the background up, 1 to 4."""
    letterbox: float | None = None
    """Width over height of the picture inside the 4:3 frame (1.7778), or None for the full frame."""
    fade: Literal["", "in", "out"] = ""
    """A fade from or to black made on video: every field has its own gain."""
    fade_fields: int = 40
    """Its length, at the start or the end of the shot."""
    dissolve: tuple[int, int] | None = None
    """First field, and the field after the last, of the dissolve to the layer with the key "dissolve"; None: the whole
    shot. Before it only the layers below show, after it only that layer and those above."""
    flip: int | None = None
    """Field of the shot from which on the two fields of each frame were scanned in the opposite order; it must be the
    first field of a frame."""
    repeat: tuple[int, ...] = ()
    """Fields of the shot that show the instant before once more; what follows is a field late."""
    missing: tuple[int, ...] = ()
    """Fields of the shot before which one instant was lost; what follows is a field early."""

    def __post_init__(self) -> None:
        if self.fields < 1:
            raise CustomValueError(f"A shot has at least 1 field, not {self.fields}.", ShotSpec)
        if not 1 <= len(self.layers) <= 4:
            raise CustomValueError(f"A shot has 1 to 4 layers, not {len(self.layers)}.", ShotSpec)
        if self.letterbox is not None and not 4 / 3 <= self.letterbox <= 3:
            raise CustomValueError(f"A letterboxed picture is 1.333 to 3 wide, not {self.letterbox}.", ShotSpec)
        if self.fade not in ("", "in", "out") or self.fade_fields < 1:
            raise CustomValueError(f'A fade is "", "in" or "out" over at least 1 field, not {self.fade!r}.', ShotSpec)
        if self.dissolve is not None and not 0 <= self.dissolve[0] < self.dissolve[1] <= self.fields:
            raise CustomValueError(
                f"A dissolve lies in the shot's fields 0 to {self.fields}, not {self.dissolve}.", ShotSpec
            )
        if (self.dissolve or any(layer.key == "dissolve" for layer in self.layers)) and self.mixed is None:
            raise CustomValueError('A dissolve needs one layer with the key "dissolve", above the first.', ShotSpec)
        for name, places in (("flip", (self.flip,)), ("repeat", self.repeat), ("missing", self.missing)):
            for place in places:
                if place is not None and not (0 if name == "flip" else 1) <= place < self.fields:
                    raise CustomValueError(
                        f"A shot of {self.fields} fields has no place {place} for {name!r}.", ShotSpec
                    )

    @property
    def mixed(self) -> int | None:
        """Number of the layer that a dissolve leads to."""
        found = [n for n, layer in enumerate(self.layers) if layer.key == "dissolve"]
        return found[0] if len(found) == 1 and found[0] else None

    @property
    def mix(self) -> range:
        """Fields in which layers dissolve."""
        return range(0) if self.mixed is None else range(*(self.dissolve or (0, self.fields)))


@dataclass(frozen=True, kw_only=True)
class TapeSpec:
    """A whole tape. The same spec, footage and ffmpeg give the same bytes.

    Raises:
        CustomValueError: The shots do not fill whole frames, or a flip does not begin with a frame.

    Example:
        >>> TapeSpec(shots=(ShotSpec(fields=20),), seed=3).frames
        10
    """

    shots: tuple[ShotSpec, ...]
    """In tape order, without gaps."""
    standard: Standard = "ntsc"
    """"ntsc": 720x480, 30000/1001; "pal": 720x576, 25."""
    tff: bool = True
    """Whether the top field of each frame comes first."""
    seed: int = 0
    """Of phases left open, grain, noise and effects."""
    grain: Grain | None = Grain()
    """Grain of the film layers, or None."""
    noise: TapeNoise | None = TapeNoise()
    """Noise of the tape, or None."""
    blanking: tuple[float, float] = (8.0, 8.0)
    """Black at the left and the right of 720, in pixels, 0 to 60; the picture itself is samples 8 to 712."""
    ramp: float = 3.0
    """Width of the soft edge between black and picture, in pixels."""
    blank_lines: tuple[int, int] = (0, 0)
    """Black lines at the top and the bottom."""
    lowpass: float = 0.05
    """Vertical low-pass of the telecine, kernel (lowpass, 1 - 2 lowpass, lowpass), 0 to 0.25; true pictures have it
    too."""

    def __post_init__(self) -> None:
        if not self.shots:
            raise CustomValueError("A tape has at least one shot.", TapeSpec)
        if self.standard not in get_args(Standard):
            raise CustomValueError(f'A tape is "ntsc" or "pal", not {self.standard!r}.', TapeSpec)
        if not 0 <= self.lowpass <= 0.25 or self.ramp < 0 or not all(0 <= b <= 60 for b in self.blanking):
            raise CustomValueError(
                "Blanking is 0 to 60 pixels, its ramp not negative, the low-pass 0 to 0.25.", TapeSpec
            )
        if any(not 0 <= lines <= 40 for lines in self.blank_lines):
            raise CustomValueError("Blank lines are 0 to 40 at the top and the bottom.", TapeSpec)
        at = 0
        for n, shot in enumerate(self.shots):
            if shot.flip is not None and shot.mix:
                raise CustomValueError(f"Shot {n} has both a flip and a dissolve; make it two shots.", TapeSpec)
            if shot.flip is not None and ((at + shot.flip) % 2 or (at + shot.fields) % 2):
                raise CustomValueError(
                    f"Shot {n} flips at field {at + shot.flip} of the tape and ends at {at + shot.fields}; "
                    "both must be even.",
                    TapeSpec,
                )
            at += shot.fields
        if at % 2:
            raise CustomValueError(f"The shots have {at} fields together; a tape needs an even number.", TapeSpec)

    @property
    def fields(self) -> int:
        """Fields on the tape."""
        return sum(shot.fields for shot in self.shots)

    @property
    def frames(self) -> int:
        """Woven frames on the tape."""
        return self.fields // 2

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return NTSC if self.standard == "ntsc" else PAL

    @property
    def height(self) -> int:
        """Lines of a frame."""
        return 480 if self.standard == "ntsc" else 576


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthShot:
    """The truth about one shot (a shot that flips midway is two)."""

    first: int
    """Its first field on the tape."""
    stop: int
    """The field after its last."""
    spec: int
    """Number of the `ShotSpec` it comes from."""
    kind: Kind
    """What it is."""
    lengths: str
    """Fields in each picture, a digit each, in the order of scanning."""
    base: str = ""
    """Of a layered shot: the same of its background."""
    combed: tuple[int, ...] = ()
    """Pictures of several fields whose fields differ all the same (a fade made on video)."""
    swapped: bool = False
    """Whether the fields of each frame were scanned in the order opposite to the tape's."""
    notes: tuple[str, ...] = ()
    """"still", "zoom", "fade", "dissolve", "letterbox", "slow motion", "repeat", "missing"."""
    slots: tuple[int, ...] = ()
    """For each of its fields in tape order: which instant (in field periods since the cut) it shows."""
    layers: tuple[tuple[int, ...], ...] = ()
    """For each layer and field in tape order: which picture of the layer it shows; -1 where a dissolve hides it."""
    shown: tuple[int, ...] = ()
    """For each field in tape order: its picture in `pictures.mkv`."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What every field of a simulated tape shows.

    Example:
        >>> truth = plan_truth(TapeSpec(shots=(ShotSpec(fields=10, layers=(Layer(phase=0),)),)))
        >>> truth.shots[0].lengths, truth.shown.tolist()
        ('2323', [0, 0, 1, 1, 1, 2, 2, 3, 3, 3])
        >>> truth.save(tmp_path / "truth.json")
        >>> Truth.load(tmp_path / "truth.json") == truth
        True
    """

    spec: TapeSpec
    """What the tape was made from."""
    shots: tuple[TruthShot, ...]
    """In tape order, without gaps."""

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """For each field of the tape its picture in `pictures.mkv`: shape (fields,)."""
        return np.concatenate([shot.shown for shot in self.shots]).astype(np.int64)

    @property
    def pictures(self) -> int:
        """How many pictures `pictures.mkv` has."""
        return int(self.shown.max()) + 1

    def cadence(self, content: str = "") -> Cadence:
        """The cadence map that a perfect solver would give; `content` is the tape's hash."""
        tape = Tape(
            frames=self.spec.frames,
            fps=(self.spec.fps.numerator, self.spec.fps.denominator),
            tff=self.spec.tff,
            content=content,
        )
        shots = tuple(
            Shot(
                first=shot.first,
                stop=shot.stop,
                kind=shot.kind,
                lengths=shot.lengths,
                confidence=1.0,
                base=shot.base,
                combed=shot.combed,
                swapped=shot.swapped,
                notes=shot.notes,
            )
            for shot in self.shots
        )
        return Cadence(tape=tape, shots=shots, notes=("truth of a simulated tape",))

    def references(self, cadence: Cadence | None = None) -> NDArray[np.int64]:
        """For each picture of a cadence map (None: the true one) the picture in `pictures.mkv` to compare it with.

        It is what the picture's middle field shows; of a wrong map, too.
        """
        firsts = (cadence or self.cadence()).firsts
        middle = (firsts[:-1] + firsts[1:] - 1) // 2
        return np.asarray(self.shown[middle])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, whole or not at all."""
        write_json(path, {"ds9vs_truth": VERSION, **asdict(self)}, Truth.save)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Truth:
        """Read the JSON.

        Raises:
            FileWasNotFoundError: There is no such file.
            CustomValueError: It is truncated, no truth, or of a later version.
        """
        try:
            table = json.loads(existing(path, cls.load).read_text(encoding="utf-8"))
            version = table["ds9vs_truth"]
            if version != VERSION:
                raise CustomValueError(
                    f"{str(path)!r} is a truth of version {version}; this ds9vs reads {VERSION}.", cls.load
                )
            spec = table["spec"]
            grain, noise = spec.pop("grain"), spec.pop("noise")
            shots = tuple(
                ShotSpec(**{**_frozen(row), "layers": tuple(Layer(**_frozen(layer)) for layer in row["layers"])})
                for row in spec.pop("shots")
            )
            return cls(
                spec=TapeSpec(
                    shots=shots,
                    grain=None if grain is None else Grain(**_frozen(grain)),
                    noise=None if noise is None else TapeNoise(**noise),
                    **_frozen(spec),
                ),
                shots=tuple(TruthShot(**_frozen(row)) for row in table["shots"]),
            )
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise CustomValueError(
                f"{str(path)!r} is truncated or no truth of a simulated tape; simulate it again.", cls.load
            ) from error


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    return {key: tuples(value) for key, value in row.items()}


def _runs(keys: list[Any]) -> list[int]:
    return [len(list(run)) for _, run in groupby(keys)]


def _digits(keys: list[Any]) -> str:
    parts: list[int] = []
    for run in _runs(keys):
        parts += [9] * (run // 9) + ([run % 9] if run % 9 else [])
    return "".join(map(str, parts))


def _slots(shot: ShotSpec) -> NDArray[np.int64]:
    step = np.ones(shot.fields, np.int64)
    step[0] = 0
    for place in shot.repeat:
        step[place] -= 1
    for place in shot.missing:
        step[place] += 1
    return np.cumsum(step)


def plan_truth(spec: TapeSpec) -> Truth:
    """The truth about a tape, worked out from its description alone, without a pixel.

    Pictures are numbered in the order of scanning. A shot's kind is what its layers make of it: a stack whose layers
    all change at the same fields has the kind of its background, any other is layered.

    Example:
        >>> over = (Layer(phase=0), Layer(kind="60i", effect="stars"))
        >>> plan_truth(TapeSpec(shots=(ShotSpec(fields=10, layers=over),))).shots[0].kind
        'layered'
    """
    rows: list[TruthShot] = []
    at = number = 0
    for n, shot in enumerate(spec.shots):
        rng = np.random.default_rng([spec.seed, 1, n])
        drawn = [int(rng.integers(sum(layer.cycle))) for layer in shot.layers]
        phases = [d if layer.phase is None else layer.phase for d, layer in zip(drawn, shot.layers, strict=True)]
        slots = _slots(shot)
        ids = _seen_layers(shot, [layer.ids(slots, p) for layer, p in zip(shot.layers, phases, strict=True)])
        moving = [np.where(i > 0, 0, i) if not layer.moves else i for i, layer in zip(ids, shot.layers, strict=True)]
        faded = _fade_range(shot)
        numbers = _numbers(
            [
                (*(int(i[f]) for i in moving), int(slots[f]) if f in shot.mix or f in faded else -1)
                for f in range(shot.fields)
            ],
            number,
        )
        cuts = sorted({0, shot.fields, shot.flip or 0, *([shot.mix.start, shot.mix.stop] if shot.mix else [])})
        for a, b in pairwise(cuts):
            rows.append(_row(spec, n, at, range(a, b), slots, ids, moving, numbers))
        at += shot.fields
        number = int(numbers[-1]) + 1
    return Truth(spec=spec, shots=tuple(rows))


def _seen_layers(shot: ShotSpec, ids: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """The layers' pictures, -1 where a dissolve hides the layer."""
    if shot.mixed is None:
        return ids
    fields = np.arange(shot.fields)
    hidden = [fields >= shot.mix.stop if n < shot.mixed else fields < shot.mix.start for n in range(len(ids))]
    hidden[shot.mixed + 1 :] = [np.zeros(shot.fields, bool)] * (len(ids) - shot.mixed - 1)
    return [np.where(h, -1, i) for h, i in zip(hidden, ids, strict=True)]


def _numbers(looks: list[tuple[int, ...]], first: int) -> list[int]:
    """Number the pictures of a shot: fields that look alike, but for the tape's noise, share one."""
    return [int(n) + first for n in np.cumsum([0, *(a != b for a, b in pairwise(looks))])]


def _row(
    spec: TapeSpec,
    n: int,
    at: int,
    fields: range,
    slots: NDArray[np.int64],
    ids: list[NDArray[np.int64]],
    moving: list[NDArray[np.int64]],
    numbers: list[int],
) -> TruthShot:
    """The truth about the fields of shot `n` (which starts at field `at`) between two of its seams."""
    shot = spec.shots[n]
    part = slice(fields.start, fields.stop)
    swapped = shot.flip is not None and fields.start >= shot.flip
    order = np.arange(fields.start, fields.stop)
    if swapped:
        order = order.reshape(-1, 2)[:, ::-1].ravel()
    mixing = fields.start in shot.mix
    visible = [k for k, i in enumerate(ids) if i[fields.start] >= 0]
    background = shot.layers[visible[0]]
    base = ids[visible[0]][part].tolist()
    instants = slots[part].tolist() if mixing else [0] * len(fields)
    stack = list(zip(*(ids[k][part].tolist() for k in visible), instants, strict=True))
    layered = background.kind != "60i" and _runs(stack) != _runs(base)
    lengths = _digits(stack if layered else base)
    stops = np.cumsum([int(d) for d in lengths]) + fields.start
    return TruthShot(
        first=at + fields.start,
        stop=at + fields.stop,
        spec=n,
        kind="layered" if layered else background.kind,
        lengths=lengths,
        base=_digits(base) if layered else "",
        combed=tuple(
            k
            for k, (d, stop) in enumerate(zip(lengths, stops.tolist(), strict=True))
            if len(set(numbers[stop - int(d) : stop])) > 1
        ),
        swapped=swapped,
        notes=_notes(shot, [shot.layers[k] for k in visible], fields, mixing),
        slots=tuple(slots[order].tolist()),
        layers=tuple(tuple(i[order].tolist()) for i in moving),
        shown=tuple(numbers[k] for k in order.tolist()),
    )


def _fade_range(shot: ShotSpec) -> range:
    length = min(shot.fade_fields, shot.fields)
    if shot.fade == "in":
        return range(length)
    return range(shot.fields - length, shot.fields) if shot.fade else range(0)


def _notes(shot: ShotSpec, layers: list[Layer], fields: range, mixing: bool) -> tuple[str, ...]:
    found = {
        "still": not any(layer.moves for layer in layers),
        "zoom": any(layer.zoom for layer in layers),
        "slow motion": any(layer.speed < 1 for layer in layers),
        "dissolve": mixing,
        "fade": bool(set(_fade_range(shot)) & set(fields)),
        "letterbox": shot.letterbox is not None,
        "repeat": any(place in fields for place in shot.repeat),
        "missing": any(place in fields for place in shot.missing),
    }
    return tuple(name for name, there in found.items() if there)
