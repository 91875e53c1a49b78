"""The tapes of the cadence benchmark: recipes, specs drawn from them by a seed, MPEG-2 coding, footage.

May import `ds9vs`. Makes tapes and their truth; scores nothing.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ds9vs.errors import CustomValueError
from ds9vs.files import run
from ds9vs.simulate import (
    Faults,
    Footage,
    Grain,
    Layer,
    ShotSpec,
    TapeNoise,
    TapeSpec,
    Truth,
    find_scenes,
    make_tape,
)

__all__ = ["RECIPES", "SETTINGS", "Material", "Recipe", "encode", "make", "random_spec", "read_footage"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a simulated tape is like. Phases are uniform; one shot in ten has an odd number of fields, and from there on
    cuts fall inside frames."""

    kbits: int = 5500
    """Average rate of the MPEG-2 stream, in 1000 bits a second."""
    gop: int = 15
    """Frames in a group of pictures."""
    exposure: tuple[float, float] = (0.9, 1.05)
    """Least and greatest gain on luma over black, drawn for each shot; drawn effects keep theirs."""
    grain: float = 1.0
    """Grain of film, as a multiple of the simulator's default (1.8 codes at a quarter of white)."""
    noise: float = 0.8
    """Noise of the tape, new in each field, in 8-bit codes."""
    shot: tuple[int, int] = (60, 200)
    """Shortest and longest shot, in fields."""
    weights: tuple[float, float, float, float] = (0.7, 0.08, 0.16, 0.06)
    """Shares of film, 30p, 60i and layered."""
    standard: str = "ntsc"
    tff: bool = True
    lowpass: float = 0.05
    """Vertical low-pass of the telecine, 0 to 0.25."""
    softness: float = 0.0
    """Horizontal blur of the tape, sigma in samples."""
    still: float = 0.04
    """Probability that a film shot is a frozen picture."""
    zoom: float = 0.06
    """Probability that a film shot is a slow zoom over a still picture."""
    fade: float = 0.05
    """Probability that a film shot fades in or out on video."""
    odd: float = 0.0
    """Probability of each of these in a film shot: 2:3:3:2, a dissolve made on video, a field repeated or missing, a
    flip of the fields' order, field-rate slow motion."""


RECIPES = {
    "bright": Recipe(),
    "dark": Recipe(exposure=(0.18, 0.36), grain=1.8, noise=1.6, kbits=4500),
    "low": Recipe(kbits=3200),
    "short": Recipe(shot=(16, 70), kbits=3800, grain=1.5),
    "layered": Recipe(weights=(0.5, 0.05, 0.1, 0.35)),
    "pal": Recipe(standard="pal", gop=12, weights=(0.75, 0.0, 0.2, 0.05)),
    "odd": Recipe(odd=0.12, zoom=0.1, fade=0.15),
}
"""bright: most of an episode; dark: underexposed and grainy; low: few bits; short: many short shots, grain; layered:
effects over film through a third of it; pal; odd: what a real series does now and then, here all the time."""

OTHER = {
    "bright": {"kbits": 6200, "grain": 1.3, "noise": 0.6, "gop": 12, "lowpass": 0.1, "shot": (50, 260)},
    "dark": {"kbits": 5000, "exposure": (0.16, 0.33), "grain": 1.6, "noise": 1.9, "gop": 12, "softness": 0.4},
    "low": {"kbits": 3500, "grain": 0.7, "noise": 1.1, "gop": 18, "lowpass": 0.12, "tff": False},
    "short": {"kbits": 4200, "grain": 1.2, "noise": 1.0, "gop": 12, "softness": 0.5, "shot": (14, 90)},
    "layered": {"kbits": 4800, "grain": 1.4, "noise": 1.0, "gop": 18, "softness": 0.3},
    "pal": {"kbits": 5000, "grain": 1.5, "noise": 1.0, "gop": 15, "lowpass": 0.1},
    "odd": {"kbits": 4800, "grain": 1.4, "noise": 1.1, "gop": 12, "softness": 0.3},
}
SETTINGS = {"first": RECIPES, "other": {name: replace(RECIPES[name], **new) for name, new in OTHER.items()}}  # type: ignore[arg-type]
"""first: what solvers may be tuned on; other: rates, grain, noise, blur, GOP and shot lengths apart from those, to
report on."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Footage with the stretches in it that have no cut."""

    footage: tuple[Footage, ...]
    scenes: tuple[tuple[int, int, int], ...]
    """File, first picture, picture after the last; of moving footage only."""


def read_footage(files: Sequence[Path]) -> Material:
    """Look the files up; find the cuts of those that move.

    Raises:
        CustomValueError: None of them moves.
    """
    footage = tuple(Footage.read(path) for path in files)
    scenes = tuple(
        (n, a, b) for n, f in enumerate(footage) if f.frames > 48 for a, b in find_scenes(f.path) if b - a >= 20
    )
    if not scenes:
        raise CustomValueError("The footage has no scene of 20 pictures; give a progressive video file.", "benchmark")
    return Material(footage=footage, scenes=scenes)


def random_spec(recipe: Recipe, material: Material, frames: int, seed: int) -> TapeSpec:
    """A tape after a recipe: shots of random kind, length, phase and footage. Three film shots in four lie inside one
    scene of the footage; the others run over its cuts, as where a reel was cut before the telecine."""
    rng = np.random.default_rng(seed)
    shots: list[ShotSpec] = []
    left, at = 2 * frames, 0
    used = np.zeros(4)
    pal = recipe.standard == "pal"

    exposure = 1.0

    def scene(pictures: int) -> tuple[int, int, int]:
        long = [s for s in material.scenes if s[2] - s[1] >= pictures]
        clip, a, b = (long or material.scenes)[int(rng.integers(len(long or material.scenes)))]
        return clip, int(rng.integers(a, max(a + 1, b - pictures))), b

    def film(fields: int, **options: object) -> Layer:
        pattern = "2:2" if pal else "2:3:3:2" if rng.random() < recipe.odd else "2:3"
        clip, start, stop = scene(fields // 2 + 2)
        over = rng.random() < 0.25
        return Layer(
            clip=clip,
            start=start,
            stop=None if over else max(stop, start + 2),
            pattern=pattern,
            exposure=exposure,
            **options,  # type: ignore[arg-type]
        )

    def video(kind: str, fields: int, **options: object) -> Layer:
        if rng.random() < 0.3:
            clip, start, stop = scene(fields)
            return Layer(
                kind=kind,  # type: ignore[arg-type]
                clip=clip,
                start=start,
                stop=max(stop, start + 2),
                exposure=exposure,
                **options,  # type: ignore[arg-type]
            )
        clip = int(rng.integers(len(material.footage)))
        angle, speed = rng.uniform(0, 2 * np.pi), float(np.exp(rng.uniform(np.log(20), np.log(300))))
        return Layer(
            kind=kind,  # type: ignore[arg-type]
            clip=clip,
            start=int(rng.integers(material.footage[clip].frames)),
            step=0,
            pan=(speed * float(np.cos(angle)), 0.4 * speed * float(np.sin(angle))),
            zoom=float(rng.uniform(-0.05, 0.05)),
            exposure=exposure,
            **options,  # type: ignore[arg-type]
        )

    def film_shot(fields: int) -> ShotSpec:
        draw, odd = rng.random(3), rng.random(4) < recipe.odd
        layer = film(fields)
        shot: dict[str, object] = {}
        if draw[0] < recipe.still:
            layer = replace(layer, step=0.0)
        elif draw[1] < recipe.zoom:
            layer = replace(layer, step=0.0, zoom=float(rng.uniform(0.015, 0.06)))
        elif odd[0]:
            layer = replace(layer, speed=float(rng.choice([0.4, 0.5, 0.7])))
        layers: tuple[Layer, ...] = (layer,)
        if odd[1] and fields >= 40:
            layers = (layer, film(fields, key="dissolve"))
            length = int(rng.integers(16, min(60, fields - 20)))
            shot["dissolve"] = ((fields - length) // 2, (fields + length) // 2)
        elif odd[2] and fields >= 20 and fields % 2 == 0 and at % 2 == 0:
            shot["flip"] = 2 * int(rng.integers(1, fields // 2))
        elif odd[3] and fields >= 20:
            shot[str(rng.choice(["repeat", "missing"]))] = (int(rng.integers(4, fields - 4)),)
        if draw[2] < recipe.fade:
            shot |= {"fade": str(rng.choice(["in", "out"])), "fade_fields": int(rng.integers(15, 60))}
        return ShotSpec(fields=fields, layers=layers, **shot)  # type: ignore[arg-type]

    while left:
        fields = min(left, 2 * int(rng.integers(recipe.shot[0] // 2, recipe.shot[1] // 2)) + int(rng.random() < 0.1))
        if left - fields < recipe.shot[0]:
            fields = left
        due = np.maximum(np.array(recipe.weights) * (2 * frames - left + fields) - used, 0)  # the tape keeps the shares
        chosen = int(rng.choice(4, p=due / due.sum()))
        kind = ("film", "30p", "60i", "layered")[chosen]
        used[chosen] += fields
        exposure = float(rng.uniform(*recipe.exposure))
        if kind == "film":
            shots.append(film_shot(fields))
        elif kind == "layered":
            over = str(rng.choice(["ship", "phaser", "window", "ellipse", "stars"]))
            drawn = over not in ("window", "ellipse")
            top = Layer(kind="60i", effect=over) if drawn else video("60i", fields, key=over)
            shots.append(ShotSpec(fields=fields, layers=(film(fields), top)))
        else:
            shots.append(ShotSpec(fields=fields, layers=(video(kind, fields),)))
        left -= fields
        at += fields
    curve = tuple((x, recipe.grain * s) for x, s in Grain().curve)
    return TapeSpec(
        shots=tuple(shots),
        standard=recipe.standard,  # type: ignore[arg-type]
        tff=recipe.tff,
        seed=seed,
        grain=Grain(curve=curve),
        noise=TapeNoise(luma=recipe.noise, chroma=1.25 * recipe.noise),
        lowpass=recipe.lowpass,
    )


def encode(tape: Path, kbits: int, tff: bool, gop: int = 15) -> Path:
    """The tape as an interlaced MPEG-2 stream of a DVD's kind, beside it; one that is there is kept."""
    out = tape.with_name(f"coded{kbits}.mkv")
    if not out.exists():
        part = out.with_name(f"part-{out.name}")
        command = ["ffmpeg", "-y", "-v", "error", "-nostdin", "-i", tape, "-c:v", "mpeg2video", "-b:v", f"{kbits}k"]
        command += ["-maxrate", "9000k", "-bufsize", "1835k", "-g", gop, "-bf", "2", "-flags", "+ilme+ildct"]
        run([*map(str, command), "-threads", "1", "-vf", f"setfield={'tff' if tff else 'bff'}", str(part)], "benchmark")
        part.replace(out)
    return out


def make(name: str, recipe: Recipe, material: Material, folder: Path, frames: int, seed: int, *, threads: int) -> Truth:
    """The tape, its truth and its coded form in `folder`, unless they are there. The lossless tape is not kept.

    Raises:
        CustomValueError: There is a tape of another recipe in the folder.
    """
    spec = random_spec(recipe, material, frames, 1000 * seed + zlib.crc32(name.encode()) % 1000)
    if (folder / "truth.json").exists():
        truth = Truth.load(folder / "truth.json")
        if truth.spec != spec:
            raise CustomValueError(
                f"{str(folder)!r} holds another tape than {name!r} of this footage and seed; give another --work.",
                "benchmark",
            )
    else:
        faults = Faults(softness=recipe.softness) if recipe.softness else None
        files = [f.path for f in material.footage]
        made = folder.with_name(f"part-{folder.name}")
        shutil.rmtree(made, ignore_errors=True)
        truth = make_tape(spec, files, made, faults=faults, threads=threads, show=False)
        encode(made / "tape.mkv", recipe.kbits, recipe.tff, recipe.gop)
        (made / "tape.mkv").unlink()
        made.replace(folder)
    return truth
