"""Cadence benchmark: simulated hybrid tapes, MPEG-2 coded; ours, its peers and an oracle in the same run.

    python tests/benchmarks/cadence [FOOTAGE ...] [--frames 600] [--tapes bright,dark] [--seed 1] [--rounds 1]
                                    [--settings first|other] [--work FOLDER] [--again] [--ours] [--out NAME]

FOOTAGE: progressive video files and photographs that ffmpeg reads; default: the sample that the checkout ships. Film is
taken from videos, video-rate shots are videos played at video rate or a camera that moves over a picture.

Counted, with 95 % intervals (of a bootstrap over shots and Wilson's, the wider ends):

- film: pictures of film of 2 fields or more; how many are lost, repeated, and output pictures woven wrongly (`score`);
- phase: frames of film whose fields are shown in their own pictures only; the same within 4 frames of a cut;
- combed: frames of 60i and layered shots whose two true pictures differ, and how many of them no output picture weaves;
  false: frames of film and 30p from which a deinterlacer made something;
- PSNR: of luma, for one field in 7, of the best picture on air within 1.5 fields, against the oracle's in the same
  timing (film, or native), in dB: mean and 5th percentile, over all instants and over those of film shots; pictures
  that a method calls combed are made by bwdif. At 23.976 pictures a second video-rate motion is seldom shown at its
  instant, and a frame left combed, half of whose lines are right, may score above a clean picture of another instant;
- ms: how much longer or shorter than the tape the pictures last;
- fps, and milliseconds of processor time a frame: of the analysis, or of the peer's script; both with decoding;
- F1 of film, 30p, 60i and layered, by fields of which the kind can be told (within 12 fields something moves as only
  that kind does); peers report no kinds;
- reliability: of the pictures of each range of confidence how many are grouped rightly.

True pictures that are alike but for coding noise stand for one another. A "plot" needs matplotlib, which the project
does not: pip install matplotlib.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import peers
import plot
import tapes
from display import bob, instants, luma_of, psnr, timeline, weaver
from score import (
    KINDS,
    NAMES,
    Answer,
    Bin,
    Sheet,
    confusion,
    f1_of,
    interchangeable,
    interval,
    kinds,
    of_cadence,
    reliability,
    right,
    tally,
)
from vapoursynth import core

from ds9vs import ivtc
from ds9vs.cadence import Cadence
from ds9vs.files import tool, write_json, write_text
from ds9vs.simulate import Truth, sample_footage

VERSION = 2
"""Of the results that are kept beside a tape."""


def of_map(name: str, cadence: Cadence, seconds: float = 0, cpu: float = 0) -> dict[str, Answer]:
    """A map's pictures in both timings."""
    output, found = of_cadence(cadence), {}
    for timing in ("native", "film"):
        pictures, starts = timeline(cadence, timing)
        found[f"{name} {timing}"] = Answer(
            output=[output[n] for n in pictures], starts=np.array(starts, np.float64), seconds=seconds, cpu=cpu
        )
    return found


def measure(folder: Path, recipe: tapes.Recipe, truth: Truth, *, with_peers: bool) -> dict[str, Any]:
    """Run everything on one tape; what comes back is JSON."""
    coded = folder / f"coded{recipe.kbits}.mkv"
    sheet = Sheet(truth=truth, looks=interchangeable(folder, truth))
    tape = peers.open_tape(coded, truth.spec)
    cadence, seconds, cpu = peers.ours(tape)
    oracle = truth.cadence(cadence.tape.content)
    answers = of_map("ds9vs", cadence, seconds, cpu) | of_map("oracle", oracle)
    getters = {
        f"{name} {timing}": luma_of(ivtc(tape, found, timing=timing, rescue=bob))
        for name, found in (("ds9vs", cadence), ("oracle", oracle))
        for timing in ("native", "film")
    }
    if with_peers:
        for name, peer in peers.PEERS.items():
            if (theirs := peer(tape, coded, recipe.tff)) is not None:
                answers[name] = theirs
                getters[name] = weaver(tape, theirs, recipe.tff)
    seen = psnr(folder, truth, {name: (get, answers[name].starts) for name, get in getters.items()})
    milliseconds = float(1000 / (2 * truth.spec.fps))
    rows = {
        name: {
            "counts": tally(a.output, sheet).tolist(),
            "psnr": seen[name],
            "late": (a.starts[-1] - len(sheet.looks)) * milliseconds,
            "frames": truth.spec.frames,
            "seconds": a.seconds,
            "cpu": a.cpu,
        }
        for name, a in answers.items()
    }
    return {
        "version": VERSION,
        "rows": rows,
        "confusion": confusion(kinds(cadence, len(sheet.looks)), sheet).tolist(),
        "film": [bool(sheet.kind[f] == "film") for f in instants(len(sheet.looks))],
        "decoding": peers.decoding(tape),
        "told": float(sheet.told.mean()),
        "confidence": [round(cadence.picture(n).confidence, 7) for n in range(len(cadence))],
        "right": right(cadence, sheet).tolist(),
    }


def timing_of(method: str) -> str:
    """The timing of the oracle that a method is compared with."""
    return "native" if "native" in method or "hybrid" in method else "film"


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The table's row of each method, over these tapes."""
    table = {}
    for method in dict.fromkeys(m for r in results for m in r["rows"]):
        having = [r for r in results if method in r["rows"]]
        rows = [(r["rows"][method], r["rows"]["oracle " + timing_of(method)]) for r in having]
        film = np.concatenate([np.array(r["film"], bool) for r in having])
        counts = np.concatenate([np.array(row["counts"]) for row, _ in rows])
        column = {name: counts[:, n] for n, name in enumerate(NAMES)}
        total = {name: int(values.sum()) for name, values in column.items()}
        errors = column["lost"] + column["repeated"] + column["woven"]

        def share(hits: Any, of: str, columns: Mapping[str, Any] = column) -> tuple[float | None, list[float] | None]:
            if not columns[of].sum():
                return None, None
            return float(hits.sum() / columns[of].sum()), list(interval(hits, columns[of]))

        seen, best = (np.concatenate([np.array(pair[k]["psnr"]) for pair in rows]) for k in (0, 1))
        frames, seconds = sum(r["frames"] for r, _ in rows), sum(r["seconds"] for r, _ in rows)
        row: dict[str, Any] = {name: total[name] for name in ("film", "lost", "repeated", "woven")}
        for name, hits, of in (
            ("wrong", errors, "film"), ("phase", column["right"], "frames"), ("cut", column["near_right"], "near"),
            ("combed", column["found"], "combed"), ("false", column["false"], "plain"),
        ):  # fmt: skip
            row[name], row[f"{name}_interval"] = share(hits, of)
        row |= {
            "mean": float(seen.mean()),
            "p5": float(np.percentile(seen, 5)),
            "mean_below": float(seen.mean() - best.mean()),
            "p5_below": float(np.percentile(seen, 5) - np.percentile(best, 5)),
            "film_mean_below": float(seen[film].mean() - best[film].mean()) if film.any() else 0.0,
            "film_p5_below": float(np.percentile(seen[film], 5) - np.percentile(best[film], 5)) if film.any() else 0.0,
            "late": max((r["late"] for r, _ in rows), key=abs),
            "fps": frames / seconds if seconds else None,
            "cpu": 1000 * sum(r["cpu"] for r, _ in rows) / frames if seconds else None,
        }
        table[method] = row
    return table


def of_kinds(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """F1 with its interval (bootstrap over shots), the confusion of kinds, and how much of the tape can be told."""
    shots = np.concatenate([np.array(r["confusion"]) for r in results])
    table = shots.sum(0)
    picks = np.random.default_rng(1).integers(len(shots), size=(500, len(shots)))
    draws = [f1_of(shots[p].sum(0)) for p in picks]
    hit = 2 * np.diag(table) / np.maximum(1, table.sum(0) + table.sum(1))
    return {
        "macro": f1_of(table),
        "interval": [float(np.percentile(draws, 2.5)), float(np.percentile(draws, 97.5))],
        "by_kind": {k: float(hit[n]) for n, k in enumerate(KINDS) if table[n].sum()},
        "confusion": table.tolist(),
        "told": float(np.mean([r["told"] for r in results])),
    }


def percent(value: float | None, span: Sequence[float] | None = None, digits: int = 2) -> str:
    """A share in per cent, with its interval."""
    if value is None:
        return "-"
    text = f"{100 * value:.{digits}f}"
    return text + (f" [{100 * span[0]:.{digits}f}, {100 * span[1]:.{digits}f}]" if span else "")


def decibel(value: float) -> str:
    """A difference in dB."""
    return f"{value:+.2f}"


def markdown(
    rows: Mapping[str, Mapping[str, Any]],
    sorts: Mapping[str, Any],
    bins: Sequence[Bin],
    head: str,
    speed: tuple[float, float],
) -> str:
    """The tables; `speed` is decoding's, in frames a second and milliseconds a frame."""
    lines = [head, ""]
    titles = ["tape", "method", "film", "lost", "rep", "woven", "wrong % [95 %]", "phase %", "at cuts %"]
    titles += ["combed found %", "false %", "PSNR", "5th", "vs oracle", "5th", "film", "5th", "ms", "fps", "cpu ms"]
    body = []
    for tape, methods in rows.items():
        for method, r in methods.items():
            cells = [tape, method, *(str(r[k]) for k in ("film", "lost", "repeated", "woven"))]
            cells += [percent(r["wrong"], r["wrong_interval"]), percent(r["phase"], r["phase_interval"])]
            cells += [percent(r["cut"], r["cut_interval"], 1), percent(r["combed"], r["combed_interval"], 1)]
            cells += [percent(r["false"]), f"{r['mean']:.2f}", f"{r['p5']:.2f}"]
            cells += [decibel(r["mean_below"]), decibel(r["p5_below"])]
            cells += [decibel(r["film_mean_below"]), decibel(r["film_p5_below"]), f"{r['late']:.1f}"]
            cells += [f"{r['fps']:.0f}", f"{r['cpu']:.1f}"] if r["fps"] else ["-", "-"]
            body.append(cells)
    lines += grid(titles, body)
    lines += ["", f"Decoding alone, which all share: {speed[0]:.0f} fps, {speed[1]:.1f} ms of processor time a frame."]
    lines += ["", "Kinds of fields, ours:", ""]
    body = []
    for tape, s in sorts.items():
        by = [f"{s['by_kind'][k]:.4f}" if k in s["by_kind"] else "-" for k in KINDS]
        body.append(
            [
                tape,
                f"{s['macro']:.4f} [{s['interval'][0]:.3f}, {s['interval'][1]:.3f}]",
                *by,
                percent(s["told"], None, 1),
            ]
        )
    lines += grid(["tape", "macro F1 [95 %]", *KINDS, "told %"], body)
    everything = np.array(sorts["all"]["confusion"])
    lines += ["", "Fields that are (rows) and are called (columns):", ""]
    lines += grid(["", *KINDS], [[k, *map(str, everything[n])] for n, k in enumerate(KINDS)])
    lines += ["", "Reliability, ours:", ""]
    body = [
        [
            f"{b.low:g} to {b.high:g}",
            str(b.pictures),
            str(b.pictures - b.right),
            f"{b.mean:.4f}",
            percent(b.right / b.pictures, b.interval),
        ]
        for b in bins
        if b.pictures
    ]
    sure = [b for b in bins if b.low >= 0.99]
    count, hits = sum(b.pictures for b in sure), sum(b.right for b in sure)
    if count:
        body.append(["0.99 and more", str(count), str(count - hits), "", percent(hits / count)])
    lines += grid(["confidence", "pictures", "wrong", "mean", "right % [95 %]"], body)
    return "\n".join(lines) + "\n"


def grid(titles: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that reads well as text."""
    width = [max(map(len, column)) for column in zip(titles, *body, strict=True)]
    lines = [titles, ["-" * w for w in width], *body]
    return ["| " + " | ".join(c.ljust(w) for c, w in zip(line, width, strict=True)) + " |" for line in lines]


def main() -> None:
    """Run the benchmark; print its tables; write them with the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=600, help="length of each tape")
    parser.add_argument("--tapes", default="bright,dark,low,short,layered,pal", help="names, or all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="tapes of each name, with seeds that go up")
    parser.add_argument("--settings", choices=tapes.SETTINGS, default="first", help="simulator settings")
    parser.add_argument("--work", type=Path, help="keep tapes and results here and use tapes that are there")
    parser.add_argument(
        "--again", action="store_true", help="take the results of peers that --work keeps; their speeds are of that run"
    )
    parser.add_argument("--ours", action="store_true", help="leave the peers out")
    parser.add_argument("--out", default="cadence", help="name of the .md, .json and .png")
    options = parser.parse_args()
    tool("ffmpeg", "benchmark")
    core.max_cache_size = 1024
    recipes = tapes.SETTINGS[options.settings]
    names = list(recipes) if options.tapes == "all" else options.tapes.split(",")
    if unknown := set(names) - set(recipes):
        parser.error(f"there is no tape {', '.join(sorted(unknown))}; use some of {', '.join(recipes)}")
    material = tapes.read_footage(options.footage or [sample_footage()])
    temporary = tempfile.TemporaryDirectory()
    work = options.work or Path(temporary.name)
    work.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        for seed in range(options.seed, options.seed + options.rounds):
            folder = work / f"{name}-{seed}-{options.frames}"
            truth = tapes.make(name, recipes[name], material, folder, options.frames, seed, threads=2)
            kept = folder / "result.json"
            old = json.loads(kept.read_text()) if options.again and kept.exists() else {}
            theirs = {m: r for m, r in old.get("rows", {}).items() if m in peers.PEERS}
            use = old.get("version") == VERSION and bool(theirs)
            found = measure(folder, recipes[name], truth, with_peers=not options.ours and not use)
            if use:
                found["rows"] |= theirs
            if not options.ours:
                write_json(kept, found, "benchmark")
            results.setdefault(name, []).append(found)
            r = summary([found])
            short = "  ".join(f"{m} {r[m]['lost']}+{r[m]['repeated']}+{r[m]['woven']}" for m in r if "oracle" not in m)
            print(f"{folder.name}: {short}", file=sys.stderr, flush=True)
    groups = {**results, "all": [r for row in results.values() for r in row]}
    rows = {tape: summary(row) for tape, row in groups.items()}
    sorts = {tape: of_kinds(row) for tape, row in groups.items()}
    every = groups["all"]
    bins = reliability(
        np.concatenate([np.array(r["confidence"]) for r in every]),
        np.concatenate([np.array(r["right"]) for r in every]),
    )
    frames = options.frames * len(every)
    head = f"{frames} frames on {len(every)} tapes, settings {options.settings!r}, seeds from {options.seed}, "
    head += f"footage {len(material.footage)} file(s), {'our' if not options.footage else 'given'}"
    wall, busy = (sum(r["decoding"][k] for r in every) for k in (0, 1))
    text = markdown(rows, sorts, bins, head, (frames / wall, 1000 * busy / frames))
    print(text)
    out = (options.work or Path.cwd()) / options.out
    write_text(out.with_suffix(".md"), text, "benchmark")
    write_json(
        out.with_suffix(".json"),
        {"rows": rows, "kinds": sorts, "reliability": [asdict(b) for b in bins], "head": head},
        "benchmark",
    )
    if plot.ready():
        plot.draw(rows, bins, out.with_suffix(".png"), title=head)
    else:
        print("No plot: it needs matplotlib; type: pip install matplotlib.", file=sys.stderr)


if __name__ == "__main__":
    main()
