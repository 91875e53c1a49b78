"""Simulated tapes and discs whose truth is known: the ground of tests, benchmarks, demo and training.

May import the ground rooms and `cadence/model`. `spec` says what a tape is and holds its truth, `tape` makes it, `vfx`
draws, `faults` wears it, `disc` puts it on a DVD. Here: recipes, which describe a whole tape in a few numbers.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CustomValueError
from .faults import Faults, add_faults
from .spec import Grain, Layer, LayerKind, ShotSpec, Standard, TapeNoise, TapeSpec, Truth, TruthShot, plan_truth
from .tape import Footage, find_scenes, make_tape, sample_footage

if TYPE_CHECKING:
    from .disc import DiscFiles

__all__ = [
    "RECIPES",
    "Faults",
    "Footage",
    "Grain",
    "Layer",
    "Recipe",
    "Scene",
    "ShotSpec",
    "Simulation",
    "TapeNoise",
    "TapeSpec",
    "Truth",
    "TruthShot",
    "add_faults",
    "find_scenes",
    "make_tape",
    "plan_truth",
    "recipe_spec",
    "sample_footage",
    "simulate",
]

type Func = Callable[..., Any] | str
type Scene = tuple[int, int, int]
"""File of the footage, first picture, picture after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A tape in a few numbers. Phases are uniform, cuts fall on any field."""

    film: float = 0.78
    """Share of the time that is film alone."""
    p30: float = 0.04
    """Share that is 30p."""
    i60: float = 0.08
    """Share that is 60i."""
    layered: float = 0.10
    """Share in which layers of different cadence lie over each other."""
    median: float = 88
    """Median length of a shot in frames; a short tape gets shorter ones, so that about ten fit."""
    spread: float = 0.79
    """Standard deviation of the natural logarithm of the length: with 88 frames, one in ten is below 32."""
    patterns: tuple[str, ...] = ("2:3",) * 9 + ("2:3:3:2",)
    """Pulldown of a film layer, one of them at random."""
    letterbox: float = 0.08
    """Probability that a shot is letterboxed."""
    fade: float = 0.06
    """Probability that a film shot fades in or out on video."""
    dissolve: float = 0.05
    """Probability that a film shot becomes the next by a dissolve on video."""
    still: float = 0.04
    """Probability that a film shot is a frozen picture."""
    zoom: float = 0.06
    """Probability that a film shot is a slow zoom over a still picture."""
    slow: float = 0.02
    """Probability that a film shot is slowed down field by field."""
    flip: float = 0.01
    """Probability that the order of the fields flips within a shot."""
    broken: float = 0.03
    """Probability that a film shot has a repeated or a missing field."""
    exposure: tuple[float, float] = (0.85, 1.05)
    """Least and greatest exposure of a shot."""
    standard: Standard = "ntsc"
    """The tape's."""
    grain: Grain | None = field(default_factory=Grain)
    """Grain of film."""
    noise: TapeNoise = field(default_factory=TapeNoise)
    """Noise of the tape."""
    lowpass: float = 0.05
    """Vertical low-pass of the telecine."""
    faults: Faults = field(default_factory=Faults)
    """Faults of the tape."""


_HEAVY = Grain(curve=((0.0, 1.6), (0.08, 3.8), (0.3, 3.4), (0.7, 2.2), (1.0, 0.8)), size=0.8, chroma=0.4)

RECIPES: dict[str, Recipe] = {
    "hybrid": Recipe(),
    "dark": Recipe(exposure=(0.25, 0.5), grain=_HEAVY, noise=TapeNoise(luma=1.2, chroma=1.5)),
    "busy": Recipe(median=14, spread=0.5, fade=0.1, broken=0.06),
    "layered": Recipe(film=0.25, p30=0.05, i60=0.1, layered=0.6),
    "video": Recipe(film=0.3, p30=0.25, i60=0.35, layered=0.1),
    "worn": Recipe(
        faults=Faults(dot_crawl=0.8, rainbow=0.8, chroma_shift=(1.5, 1.0), head_switching=3, softness=0.5, ringing=0.12)
    ),
    "pal": Recipe(standard="pal", patterns=("2:2",), film=0.85, p30=0, layered=0.07, i60=0.08),
    "film": Recipe(film=1, p30=0, i60=0, layered=0, dissolve=0, fade=0, flip=0, broken=0, slow=0),
    "clean": Recipe(grain=None, noise=TapeNoise(luma=0.35, chroma=0.35), lowpass=0, flip=0, broken=0),
}
"""hybrid: a bright episode; dark: underexposed and grainy; busy: many short shots; layered: effects over film
through most of it; video: mostly 30p and 60i; worn: composite and analogue faults; pal; film: film alone, with cuts
and slow zooms; clean: no grain, hardly any noise."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What `simulate` made, and where."""

    folder: Path
    """Holds all that follows."""
    tape: Path
    """Woven frames, lossless."""
    pictures: Path
    """The true pictures before interlacing, lossless."""
    truth: Truth
    """Which picture every field shows; `truth.json` in the folder."""
    disc: DiscFiles | None
    """The DVD, if one was asked for."""


def recipe_spec(
    recipe: str | Recipe, scenes: Sequence[Scene], *, seconds: float = 20, seed: int = 1, func: Func = "recipe_spec"
) -> TapeSpec:
    """Draw a tape from a recipe: the same arguments give the same tape.

    Args:
        recipe: One of `RECIPES`, or one of your own.
        scenes: Stretches of the footage without a cut, see `find_scenes`.
        seconds: How long the tape is, to a frame, at least 1.
        seed: Of everything random.
        func: Named in errors.

    Raises:
        CustomValueError: The recipe is unknown or its shares do not sum to 1, there is no scene, or the tape is too
            short.

    Example:
        >>> spec = recipe_spec("hybrid", [(0, 0, 40), (0, 40, 76)], seconds=20, seed=3)
        >>> spec.frames, len(spec.shots) > 5
        (599, True)
    """
    made = _recipe(recipe, func)
    if not scenes:
        raise CustomValueError("The footage has no scene; give stretches of at least 2 pictures.", func)
    shares = {"film": made.film, "30p": made.p30, "60i": made.i60, "layered": made.layered}
    if abs(sum(shares.values()) - 1) > 1e-6 or min(shares.values()) < 0:
        raise CustomValueError(f"The shares of a recipe must sum to 1, not {sum(shares.values()):g}.", func)
    if seconds < 1:
        raise CustomValueError(f"A tape lasts at least 1 second, not {seconds}.", func)
    rng = np.random.default_rng([seed, 0])
    shell = TapeSpec(
        shots=(ShotSpec(fields=2),), standard=made.standard, seed=seed, grain=made.grain, noise=made.noise,
        lowpass=made.lowpass, blanking=(float(rng.uniform(7, 10)), float(rng.uniform(7, 10))),
    )  # fmt: skip
    total = 2 * int(seconds * shell.fps)
    lengths = [
        (kind, length)
        for kind, share in shares.items()
        for length in _lengths(rng, share * total, min(2 * made.median, total / 9), made.spread)
    ]
    order = rng.permutation(len(lengths))
    shots = [_shot(rng, made, lengths[n][0], lengths[n][1], scenes) for n in order]
    return replace(shell, shots=tuple(_fitted(shots, total)))


def _recipe(recipe: str | Recipe, func: Func) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise CustomValueError(f"There is no recipe {recipe!r}; use one of {', '.join(RECIPES)}.", func)
    return RECIPES[recipe]


def _lengths(rng: np.random.Generator, fields: float, median: float, spread: float) -> list[int]:
    """Lengths of shots, lognormal, that fill about so many fields; none below 10."""
    left, found = round(fields), list[int]()
    while left >= 10:
        length = round(float(np.clip(median * np.exp(spread * rng.standard_normal()), 10, 4 * median)))
        if left - length < 10:
            length = left
        found.append(length)
        left -= length
    return found


def _fitted(shots: list[ShotSpec], total: int) -> list[ShotSpec]:
    """Make flips begin and end with a frame, and the sum right."""
    at = 0
    for n, shot in enumerate(shots):
        if shot.flip is not None:
            if at % 2:
                shots[n - 1] = replace(shots[n - 1], fields=shots[n - 1].fields + 1)
                at += 1
            shots[n] = shot = replace(shot, fields=shot.fields + shot.fields % 2, flip=shot.flip - shot.flip % 2)
        at += shot.fields
    if at % 2:
        shots[-1] = replace(shots[-1], fields=shots[-1].fields + 1)
        at += 1
    longest = max(range(len(shots)), key=lambda n: shots[n].fields if _plain(shots[n]) else 0)
    shots[longest] = replace(shots[longest], fields=shots[longest].fields + total - at)
    return shots


def _plain(shot: ShotSpec) -> bool:
    return shot.flip is None and shot.dissolve is None and not shot.repeat and not shot.missing


def _shot(rng: np.random.Generator, recipe: Recipe, kind: str, fields: int, scenes: Sequence[Scene]) -> ShotSpec:
    exposure = float(rng.uniform(*recipe.exposure))

    def footage(kind: LayerKind = "film", **options: Any) -> Layer:
        clip, start, stop = scenes[int(rng.integers(len(scenes)))]
        start += int(rng.integers(max(1, (stop - start) * 2 // 3)))
        pattern = recipe.patterns[int(rng.integers(len(recipe.patterns)))]
        return Layer(
            kind=kind, clip=clip, start=start, stop=max(stop, start + 1), pattern=pattern, exposure=exposure, **options
        )

    def one_of(*names: str) -> str:
        return names[int(rng.integers(len(names)))]

    def speed() -> tuple[float, float]:
        turn = rng.uniform(0, 2 * np.pi)
        fast = float(np.exp(rng.uniform(np.log(30), np.log(300))))
        return float(np.cos(turn) * fast), float(np.sin(turn) * fast * 0.4)

    def drawn(effect: str) -> Layer:
        return Layer(kind="60i", effect=effect)

    shot: dict[str, Any] = {}
    layers: tuple[Layer, ...]
    if rng.random() < recipe.letterbox:
        shot["letterbox"] = 16 / 9
    if kind == "60i":
        choice = one_of("camera", "live", "space", "credits")
        if choice == "camera":
            layers = (footage("60i", step=0, pan=speed(), zoom=float(rng.uniform(-0.03, 0.08))), drawn("ship"))
        elif choice == "live":
            layers = (footage("60i"),)
        elif choice == "space":
            layers = (drawn("stars"), drawn(one_of("wormhole", "ship")))
        else:
            layers = (footage("60i", step=0, pan=speed()), drawn("credits"))
    elif kind == "30p":
        layers = (footage("30p"),) if rng.random() < 0.6 else (footage("30p", step=0, pan=speed()),)
    elif kind == "layered":
        effect = drawn(one_of("phaser", "ship", "wormhole", "titles", "stars", "credits"))
        other = footage(key=one_of("window", "ellipse", "split"))
        plate = footage(phase=int(rng.integers(2)))
        # never the plate's phase, at any pattern
        other = replace(other, pattern=plate.pattern, phase=int(rng.integers(2, 4)) if other.cycle != (2, 2) else 0)
        choice = one_of("effect", "effect", "effect", "films", "three")
        layers = {"effect": (footage(), effect), "films": (footage(), other), "three": (footage(), other, effect)}[
            choice
        ]
    else:
        draw = rng.random(8)
        layers = (footage(),)
        if draw[0] < recipe.still:
            layers = (replace(layers[0], step=0),)
        elif draw[1] < recipe.zoom:
            layers = (replace(layers[0], step=0, zoom=float(rng.uniform(0.015, 0.06))),)
        elif draw[2] < recipe.slow:
            layers = (replace(layers[0], speed=float(rng.choice([0.4, 0.5, 0.7]))),)
        elif draw[3] < recipe.dissolve and fields >= 40:
            layers = (layers[0], footage(key="dissolve"))
            length = int(rng.integers(16, min(60, fields - 20)))
            first = (fields - length) // 2
            shot["dissolve"] = (first, first + length)
        if draw[4] < recipe.fade:
            shot |= {"fade": one_of("in", "out"), "fade_fields": int(rng.integers(15, 60))}
        if draw[5] < recipe.flip and fields >= 20 and "dissolve" not in shot:
            shot["flip"] = int(rng.integers(0, fields // 2))
        if draw[6] < recipe.broken and fields >= 20:
            shot[one_of("repeat", "missing")] = (int(rng.integers(4, fields - 4)),)
    return ShotSpec(fields=fields, layers=layers, **shot)


def _old_disc(folder: Path, *, remove: bool) -> None:
    """Make room for the disc; only what is a simulated disc may go."""
    if not folder.exists():
        return
    if not (folder / "disc.json").is_file():
        raise CustomValueError(f"{str(folder)!r} is there and no simulated disc; give another folder.", simulate)
    if remove:
        shutil.rmtree(folder)


def simulate(
    footage: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    out: str | os.PathLike[str],
    *,
    recipe: str | Recipe = "hybrid",
    seconds: float = 20,
    seed: int = 1,
    disc: bool = True,
    faults: Faults | None = None,
    threads: int | None = None,
    show: bool = True,
    **disc_options: Any,
) -> Simulation:
    """Make a hybrid DVD with its truth from progressive footage. The same arguments give the same bytes.

    Writes into `out`: `tape.mkv`, `pictures.mkv`, `truth.json` (see `make_tape`), and `disc/` (see `disc.make_disc`),
    whose audio clicks at the cuts.

    Args:
        footage: Progressive file or files (24 pictures a second are film); None: the sample of the checkout.
        out: Folder; made if it is not there. Files of an earlier simulation in it are replaced.
        recipe: One of `RECIPES`, or one of your own.
        seconds: How long the tape is.
        seed: Of everything random.
        disc: Whether to make the DVD.
        faults: Instead of the recipe's.
        threads: How many make pictures; None: as many as cores, at most 4.
        show: Whether to show progress on standard error.
        **disc_options: For `make_disc`: rate, telecine, audio_delay, iso, ...

    Raises:
        CustomValueError: The recipe is unknown, the footage too short, or the folder of the disc is in use by
            something that is no simulated disc.
        CustomRuntimeError: A program is missing or failed, or the folder cannot be written.
        FileWasNotFoundError: The footage is not there.

    Example:
        >>> made = simulate(None, tmp_path, recipe="film", seconds=1, disc=False, show=False)
        >>> made.truth.spec.frames, made.tape.name
        (29, 'tape.mkv')
    """
    wanted = _recipe(recipe, simulate)
    paths = [sample_footage()] if footage is None else [footage] if isinstance(footage, str | os.PathLike) else footage
    scenes = [(n, a, b) for n, path in enumerate(paths) for a, b in find_scenes(path)]
    spec = recipe_spec(wanted, scenes, seconds=seconds, seed=seed, func=simulate)
    folder = Path(out)
    if disc:
        from .disc import make_disc

        _old_disc(folder / "disc", remove=False)
    truth = make_tape(spec, paths, folder, faults=faults or wanted.faults or None, threads=threads, show=show)
    files = None
    if disc:
        _old_disc(folder / "disc", remove=True)
        files = make_disc(folder / "tape.mkv", folder / "disc", cadence=truth.cadence(), **disc_options)
    return Simulation(
        folder=folder, tape=folder / "tape.mkv", pictures=folder / "pictures.mkv", truth=truth, disc=files
    )
