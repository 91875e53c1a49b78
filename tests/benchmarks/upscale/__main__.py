"""Upscaling benchmark: networks beside Lanczos and the truth, on film that went through a simulated disc.

    python tests/benchmarks/upscale [--data FOLDER]... [--set report|large|tune] [--clips face,stars] [--frames 6]
                                    [--rate 5] [--models upconv_7_photo,a.onnx] [--slow 3] [--backend auto]
                                    [--work FOLDER] [--out upscale] [--speed] [--verify WHEELS]

Clips (see `clips`): a truth of 704x480 (or larger), halved, telecined 2:3, coded as interlaced MPEG-2 at a DVD's rate
scaled with the area (--rate, in Mb/s of a whole disc), woven back by the known plan, and enlarged by every method to
the truth's size. Files are looked for below the folders of --data (default: ../shared/data beside the checkout); clips
whose file is absent are left out, and said. --models: names of the registry or .onnx files; default: all that are on
this machine. A network that takes over 2 s a picture is asked for the first --slow pictures of each clip only, and
compared with Lanczos on those. --work keeps clips and what networks gave, so that guard and steady() are measured again
in seconds.

Columns: PSNR, SSIM and XPSNR of luma, SSIMULACRA2; what of the first and third is over Lanczos's on the same pictures;
LR: low frequencies (sigma 2) against the disc's, and how far over the truth's own; warp: motion-compensated warping
error over the truth's, each with the rounding of 8 bit; flicker of still areas over the disc's; overshoot over the
truth's 5x5 maximum, 99.9th percentile, in codes of 255; light of stars over the truth's; what the guard says of itself;
seconds a picture of this clip (352x240 as a rule) by the network and its backend. The truth's own row says what the
measures give for a perfect picture. --speed: a 720x480 picture by each model and backend, with memory. --verify:
converted networks against ncnn.

Writes OUT.md, OUT.json and OUT.png, a sheet of crops.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import clips
import methods
import score
import sheet
import speed
import vapoursynth as vs
import verify
from vapoursynth import core

from ds9vs.files import tool, write_json, write_text
from ds9vs.upscale import models_list

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
PEERS = ("upconv_7_photo", "spanx2_ch48", "animevideov3_x2", "realesrgan_x4plus")


def grid(rows: list[list[str]]) -> list[str]:
    """A Markdown table, its columns padded."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]


def over_lanczos(row: score.Row, lanczos: score.Row) -> dict[str, float]:
    """The pooled row, with what it has over Lanczos's on the same pictures."""
    count = len(row["psnr"])
    values, base = score.pooled(row), score.pooled(lanczos, count)
    values["d_psnr"] = values["psnr"] - base["psnr"]
    values["d_ssimu2"] = values["ssimu2"] - base["ssimu2"]
    values["pictures"] = count
    return values


def summary(tables: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Over clips: the mean of each column, of clips that have it; only differences for PSNR, XPSNR and SSIMULACRA2."""
    found: dict[str, dict[str, float]] = {}
    for method in dict.fromkeys(m for table in tables.values() for m in table):
        rows = [table[method] for table in tables.values() if method in table]
        found[method] = {}
        for column in score.COLUMNS:
            values = [row[column] for row in rows if math.isfinite(row.get(column, math.nan))]
            if values and column not in ("psnr", "ssimu2", "xpsnr"):
                found[method][column] = sum(values) / len(values)
    return found


def compare(given: argparse.Namespace, models: list[str], work: Path) -> list[str]:
    """Every clip by every method; the Markdown."""
    chosen = [c for c in clips.SETS[given.set] if not given.clips or c.name in given.clips.split(",")]
    rate = given.rate * 1e6 if given.rate else clips.RATE[given.set]
    tables: dict[str, dict[str, dict[str, float]]] = {}
    seen: list[tuple[clips.Made, dict[str, vs.VideoNode]]] = []
    lines: list[str] = []
    titles = ["method", *(title for title, _ in score.COLUMNS.values())]
    for clip in chosen:
        if clips.missing(clip, given.data):
            lines += [f"Left out: {clip.name}, for want of {clip.file!r}; {clip.get}.", ""]
            continue
        start = time.perf_counter()
        made = clips.make(clip, given.frames, rate, given.data, work)
        table: dict[str, dict[str, float]] = {}
        shown: dict[str, vs.VideoNode] = {}
        rows: dict[str, score.Row] = {}
        for method in methods.rows_of(made, models, work, slow=given.slow, backend=given.backend):
            rows[method.name] = score.measure(made, method.clip)
            table[method.name] = {"seconds": method.seconds}
            if "steady" not in method.name:
                shown[method.name] = method.clip
        for name, row in rows.items():
            table[name] |= over_lanczos(row, rows["Lanczos"])
        tables[clip.name] = table
        seen.append((made, shown))
        size = f"{made.truth.width}x{made.truth.height}"
        lines += [f"## {clip.name}: {size} from {made.kbits:.0f} kb/s, {made.truth.num_frames} pictures", ""]
        lines += [*grid([titles, *([name, *score.cells(row)] for name, row in table.items())]), ""]
        print(f"{clip.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    whole = summary(tables)
    head = [f"# Set {given.set!r}, {rate / 1e6:g} Mb/s scaled with the area", "", "## mean over clips", ""]
    head += [*grid([titles, *([name, *score.cells(row)] for name, row in whole.items())]), ""]
    write_json(given.out.with_suffix(".json"), {"clips": tables, "mean": whole}, "benchmark")
    if seen:
        sheet.draw(seen, given.out.with_suffix(".png"))
    return head + lines


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", help="a folder with footage; may be given again")
    parser.add_argument("--set", choices=sorted(clips.SETS), default="report")
    parser.add_argument("--clips", help="names, comma-separated; all when not given")
    parser.add_argument("--frames", type=int, default=6, help="pictures of each clip")
    parser.add_argument("--rate", type=float, help="Mb/s of a 720x480 disc; 5, and 4.2 of the set 'tune'")
    parser.add_argument("--models", help="names and .onnx files, comma-separated")
    parser.add_argument("--slow", type=int, default=3, help="pictures that a slow network is asked for")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--work", type=Path, help="a folder that keeps clips and what networks gave")
    parser.add_argument("--out", type=Path, default=Path("upscale"))
    parser.add_argument("--speed", action="store_true", help="seconds and memory by backend, instead of the clips")
    parser.add_argument("--verify", type=Path, metavar="WHEELS", help="a folder that holds the models' wheels")
    given = parser.parse_args()
    tool("ffmpeg", "benchmark")
    core.max_cache_size = 1024
    given.data = given.data or [SHARED]
    present = [m.name for m in models_list() if m.present]
    models = given.models.split(",") if given.models is not None else present
    models = [name for name in models if name]
    absent = methods.missing_models([*PEERS, *models])
    lines = [f"Not on this machine: {name}; type: {command}" for name, command in absent.items()]
    models = [name for name in models if name not in absent]
    if given.verify:
        verify.verify([m for m in models_list() if m.name in models], given.verify)
    if given.speed:
        lines += ["", *speed.table(models)]
    if not given.verify and not given.speed:
        with tempfile.TemporaryDirectory() as temporary:
            lines = compare(given, models, given.work or Path(temporary)) + lines
    text = "\n".join(lines) + "\n"
    print(text)
    write_text(given.out.with_suffix(".md"), text, "benchmark")


if __name__ == "__main__":
    main()
