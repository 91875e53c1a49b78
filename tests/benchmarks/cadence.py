"""Cadence benchmark: simulated hybrid tapes, MPEG-2 coded; ours beside VFM+VDecimate and TFM+TDecimate in the same run.

    python tests/benchmarks/cadence.py [FOOTAGE ...] [--frames 600] [--tapes bright,dark] [--seed 1] [--work FOLDER]

FOOTAGE: progressive video files or photographs that ffmpeg reads; default: the sample that the checkout ships. Film
shots are taken from videos, video-rate shots move a camera over pictures of any of them.

Counted over shots of film (layered shots are left out): of the true pictures of two or three fields how many are `lost`
(in no output picture), `rep`eated (in more than one), and output pictures that are `woven` from fields of different
true pictures. True pictures that differ by less than the coding noise count as one: a still has no phase. `phase`:
share of film fields whose picture is woven, and only from fields of one true picture. `F1`: mean over the kinds that
the tape has, by fields; peers report none.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs.cadence import Cadence, analyse
from ds9vs.files import run, tool
from ds9vs.simulate import Footage, Grain, Layer, ShotSpec, TapeNoise, TapeSpec, Truth, make_tape, sample_footage


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a simulated tape is like."""

    kbits: int = 5500
    exposure: float = 1.0
    grain: float = 1.0
    noise: float = 0.8
    shot: tuple[int, int] = (60, 200)
    weights: tuple[float, float, float, float] = (0.7, 0.08, 0.16, 0.06)
    standard: str = "ntsc"
    tff: bool = True


RECIPES = {
    "bright": Recipe(),
    "dark": Recipe(exposure=0.4, grain=1.8, noise=1.6, kbits=4500),
    "low": Recipe(kbits=3200),
    "short": Recipe(shot=(16, 70), kbits=3800, grain=1.5),
    "layered": Recipe(weights=(0.5, 0.05, 0.1, 0.35)),
    "pal": Recipe(standard="pal", weights=(0.75, 0.0, 0.2, 0.05)),
}


def random_spec(recipe: Recipe, footage: Sequence[Footage], frames: int, seed: int) -> TapeSpec:
    """A tape after a recipe: shots of random kind, length, phase and footage."""
    rng = np.random.default_rng(seed)
    films = [n for n, f in enumerate(footage) if f.frames > 48]
    shots: list[ShotSpec] = []
    left = 2 * frames
    used = np.zeros(4)

    def film(fields: int) -> Layer:
        clip = int(rng.choice(films))
        start = int(rng.integers(max(1, footage[clip].frames - fields // 2 - 4)))
        pattern = "2:2" if recipe.standard == "pal" else "2:3"
        return Layer(clip=clip, start=start, pattern=pattern, exposure=recipe.exposure)

    def video(kind: str) -> Layer:
        clip = int(rng.integers(len(footage)))
        angle, speed = rng.uniform(0, 2 * np.pi), float(np.exp(rng.uniform(np.log(20), np.log(300))))
        return Layer(
            kind=kind,  # type: ignore[arg-type]
            clip=clip,
            start=int(rng.integers(footage[clip].frames)),
            step=0,
            pan=(speed * float(np.cos(angle)), 0.4 * speed * float(np.sin(angle))),
            zoom=float(rng.uniform(-0.05, 0.05)),
            exposure=recipe.exposure,
        )

    while left:
        fields = min(left, 2 * int(rng.integers(recipe.shot[0] // 2, recipe.shot[1] // 2)) + int(rng.random() < 0.1))
        if left - fields < recipe.shot[0]:
            fields = left
        due = np.maximum(np.array(recipe.weights) * (2 * frames - left + fields) - used, 0)  # the tape keeps the shares
        chosen = int(rng.choice(4, p=due / due.sum()))
        kind = ("film", "30p", "60i", "layered")[chosen]
        used[chosen] += fields
        if kind == "layered":
            over = rng.choice(["ship", "phaser", "window", "ellipse", "stars"])
            top = video("60i") if over in ("window", "ellipse") else Layer(kind="60i")
            options = {"key": str(over)} if over in ("window", "ellipse") else {"effect": str(over)}
            layers = (film(fields), Layer(**{**{n: getattr(top, n) for n in top.__slots__}, **options}))
        else:
            layers = (film(fields) if kind == "film" else video(str(kind)),)
        shots.append(ShotSpec(fields=fields, layers=layers))
        left -= fields
    curve = tuple((x, recipe.grain * s) for x, s in Grain().curve)
    return TapeSpec(
        shots=tuple(shots),
        standard=recipe.standard,  # type: ignore[arg-type]
        tff=recipe.tff,
        seed=seed,
        grain=Grain(curve=curve),
        noise=TapeNoise(luma=recipe.noise),
    )


def encode(tape: Path, kbits: int, tff: bool) -> Path:
    """The tape as an interlaced MPEG-2 stream of a DVD's kind."""
    out = tape.with_name(f"coded{kbits}.mkv")
    if not out.exists():
        command = [
            "ffmpeg",
            "-y",
            "-v",
            "error",
            "-i",
            tape,
            "-c:v",
            "mpeg2video",
            "-b:v",
            f"{kbits}k",
            "-maxrate",
            "9000k",
        ]
        command += [
            "-bufsize",
            "1835k",
            "-g",
            "15" if "ntsc" else "12",
            "-bf",
            "2",
            "-flags",
            "+ilme+ildct",
            "-threads",
            "1",
        ]
        run([*map(str, command), "-top", "1" if tff else "0", str(out)], "benchmark")
    return out


type Output = list[tuple[tuple[int, ...], bool]]
"""Pictures shown: their fields, and whether a deinterlacer made them."""


def of_cadence(cadence: Cadence) -> Output:
    """What `ivtc` would show."""
    firsts = cadence.firsts.tolist()
    return [(tuple(range(a, b)), b - a == 1) for a, b in pairwise(firsts)]


def vivtc(tape: vs.VideoNode, tff: bool) -> Output:
    """VFM and VDecimate with their defaults; a frame that VFM calls combed would go to a deinterlacer."""
    marked = tape.akarin.PropExpr(lambda: {"Tape": "N"})
    matched = marked.vivtc.VFM(order=int(tff)).vivtc.VDecimate()
    return _matches(matched, "VFMMatch", "pcnbu")


def tivtc(tape: vs.VideoNode, tff: bool) -> Output:
    """TFM and TDecimate with their defaults."""
    marked = tape.akarin.PropExpr(lambda: {"Tape": "N"})
    matched = marked.tivtc.TFM(order=int(tff)).tivtc.TDecimate()
    return _matches(matched, "TFMMatch", "pcnbul")


def _matches(clip: vs.VideoNode, prop: str, names: str) -> Output:
    found: Output = []
    for frame in clip.frames(close=True):
        n, match = int(frame.props["Tape"]), names[int(frame.props[prop])]
        first, second = 2 * n, 2 * n + 1
        pairs = {"p": (first, second - 2), "c": (first, second), "n": (first, second + 2)}
        pairs |= {"b": (second, first - 2), "u": (second, first + 2)}
        found.append((tuple(sorted(pairs.get(match, (first, second)))), bool(frame.props.get("_Combed", 0))))
    return found


def interchangeable(folder: Path, truth: Truth) -> NDArray[np.int64]:
    """For each field the number of its true picture, where pictures that look the same have one number."""
    clip = core.bs.VideoSource(str(folder / "pictures.mkv"))
    small = clip.std.ShufflePlanes(0, vs.GRAY).resize.Bilinear(clip.width // 8, clip.height // 8, format=vs.GRAYS)
    same, last = np.zeros(clip.num_frames, bool), None
    for n, frame in enumerate(small.frames(close=True)):
        now = np.array(frame[0])
        same[n] = last is not None and float(np.partition(np.abs(now - last).ravel(), -5)[-5]) * 219 < 2
        last = now
    groups = np.cumsum(~same)
    cuts = np.zeros(len(truth.shown), np.int64)
    for n, shot in enumerate(truth.shots):
        cuts[shot.first : shot.stop] = n
    return np.asarray(groups[truth.shown] * (len(truth.shots) + 1) + cuts)


@dataclass
class Score:
    """Counts of a tape; sums over tapes add up."""

    film: int = 0
    lost: int = 0
    repeated: int = 0
    woven: int = 0
    fields: int = 0
    right: int = 0


def score(output: Output, truth: Truth, looks: NDArray[np.int64]) -> Score:
    """Compare pictures shown with the true ones, in film shots."""
    film = np.zeros(len(looks), bool)
    owner = np.full(len(looks), -1)
    sizes: list[tuple[int, int]] = []
    for shot in truth.shots:
        at = shot.first
        film[at : shot.stop] = shot.kind == "film"
        for digit in shot.lengths:
            owner[at : at + int(digit)] = len(sizes)
            sizes.append((at, at + int(digit)))
            at += int(digit)
    result = Score(film=sum(1 for a, b in sizes if film[a] and b - a > 1), fields=int(film.sum()))
    shown = np.zeros(len(sizes), int)
    seen: dict[int, set[int]] = {}
    for fields, made in output:
        fields = tuple(f for f in fields if 0 <= f < len(looks))
        if not fields or not all(film[f] for f in fields):
            continue
        if len({looks[f] for f in fields}) > 1 and not made:
            result.woven += 1
        votes = [owner[f] for f in fields]
        shown[max(set(votes), key=votes.count)] += 1
        for f in fields:
            seen.setdefault(f, set()).update(fields)
    alike: dict[int, int] = {}
    for a, b in sizes:
        if film[a] and b - a > 1:
            alike[int(looks[a])] = alike.get(int(looks[a]), 0) + 1
    for n, (a, b) in enumerate(sizes):
        if film[a] and b - a > 1 and alike[int(looks[a])] == 1:
            result.lost += int(shown[n] == 0)
            result.repeated += max(0, int(shown[n]) - 1)
    for f in np.flatnonzero(film).tolist():
        a, b = sizes[owner[f]]
        with_it = seen.get(f, set()).union(*(seen.get(g, set()) for g in range(a, b)))
        result.right += len({looks[g] for g in with_it}) == 1 and (len(with_it) > 1 or b - a == 1)
    return result


def kinds(cadence: Cadence, length: int) -> list[str]:
    """The kind of every field."""
    found = [""] * length
    for shot in cadence.shots:
        found[shot.first : shot.stop] = [shot.kind] * (shot.stop - shot.first)
    return found


def f1(ours: list[str], true: list[str]) -> dict[str, float]:
    """F1 of each kind that the tape has, by fields."""
    found = {}
    for kind in sorted(set(true)):
        hit = sum(a == b == kind for a, b in zip(ours, true, strict=True))
        found[kind] = 2 * hit / max(1, ours.count(kind) + true.count(kind))
    return found


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--tapes", default=",".join(RECIPES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="keep tapes here and use those that are there")
    parser.add_argument("--ours", action="store_true", help="leave the peers out")
    options = parser.parse_args()
    tool("ffmpeg", "benchmark")
    files = options.footage or [sample_footage()]
    footage = [Footage.read(path) for path in files]
    temporary = tempfile.TemporaryDirectory()
    work = options.work or Path(temporary.name)
    print(
        f"{'tape':9}{'method':16}{'film':>6}{'lost':>6}{'rep':>6}{'woven':>6}{'phase':>9}{'F1':>8}{'fps':>7}  by kind"
    )
    for name in options.tapes.split(","):
        recipe = RECIPES[name]
        folder = work / f"{name}-{options.seed}-{options.frames}"
        if not (folder / "truth.json").exists():
            make_tape(random_spec(recipe, footage, options.frames, options.seed), files, folder, show=False)
        truth = Truth.load(folder / "truth.json")
        coded = encode(folder / "tape.mkv", recipe.kbits, recipe.tff)
        tape = core.bs.VideoSource(str(coded)).std.SetFieldBased(2 if recipe.tff else 1)
        looks = interchangeable(folder, truth)
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            cadence = analyse(tape, cache=cache, progress=False)
            rows = {"ds9vs": (of_cadence(cadence), tape.num_frames / (time.perf_counter() - start))}
        if recipe.standard == "ntsc" and not options.ours:
            for peer, method in (("VFM+VDecimate", vivtc), ("TFM+TDecimate", tivtc)):
                core.clear_cache()
                start = time.perf_counter()
                rows[peer] = method(tape, recipe.tff), tape.num_frames / (time.perf_counter() - start)
        ours = f1(kinds(cadence, len(looks)), kinds(truth.cadence(), len(looks)))
        for method_name, (output, fps) in rows.items():
            s = score(output, truth, looks)
            line = f"{name:9}{method_name:16}{s.film:6}{s.lost:6}{s.repeated:6}{s.woven:6}"
            line += f"{s.right / max(1, s.fields):9.4f}"
            extra = "  " + " ".join(f"{k} {v:.3f}" for k, v in ours.items())
            macro = f"{np.mean(list(ours.values())):8.4f}" if method_name == "ds9vs" else f"{'-':>8}"
            print(line + macro + f"{fps:7.0f}" + (extra if method_name == "ds9vs" else ""), flush=True)


if __name__ == "__main__":
    main()
