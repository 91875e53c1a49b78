"""How close the restored pictures are to the true ones, on a simulated disc, beside what people do today.

Every method's pictures, before upscaling and grain, are compared with the true picture of their instant: of those
that the tape shows from 1.5 fields before to 1.5 fields after the instants that an output frame covers, the nearest.
The oracle is our own ivtc with the truth's map: what a perfect analysis would give.

    python tests/benchmarks/restored.py [--seconds 20] [--recipe hybrid] [--seed 5] [--footage FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

import ds9vs
from ds9vs.measures import psnr, ssimulacra2
from ds9vs.simulate import Truth


def nearest(clip: vs.VideoNode, pictures: vs.VideoNode, truth: Truth) -> tuple[list[float], list[float]]:
    """PSNR and SSIMULACRA2 of every frame of a clip of constant rate against the true picture of its instant."""
    fields = 2 * truth.spec.frames
    per_frame = Fraction(2 * truth.spec.fps) / Fraction(clip.fps)
    shown = truth.shown
    candidates = []
    for n in range(clip.num_frames):
        first, stop = n * per_frame - Fraction(3, 2), (n + 1) * per_frame + Fraction(3, 2)
        instants = np.arange(max(0, int(np.ceil(first))), min(fields, max(int(np.ceil(stop)), 1)))
        candidates.append(sorted(set(shown[instants].tolist())) or [int(shown[-1])])
    most = max(map(len, candidates))
    found = []
    for k in range(most):
        order = [c[min(k, len(c) - 1)] for c in candidates]
        found.append(psnr(clip, picked(pictures, order)))
    best = np.argmax(found, 0)
    order = [c[min(int(b), len(c) - 1)] for b, c in zip(best, candidates, strict=True)]
    truth_clip = picked(pictures, order)
    return [float(v) for v in np.max(found, 0)], ssimulacra2(clip, truth_clip)


def picked(pictures: vs.VideoNode, order: list[int]) -> vs.VideoNode:
    blank = pictures.std.BlankClip(length=len(order), keep=True)
    return blank.std.FrameEval(lambda n: pictures[order[n]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--recipe", default="hybrid")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--footage")
    options = parser.parse_args()
    core.max_cache_size = 1024
    with tempfile.TemporaryDirectory() as folder:
        made = ds9vs.simulate(
            options.footage,
            Path(folder) / "sim",
            recipe=options.recipe,
            seconds=options.seconds,
            seed=options.seed,
            iso=False,
        )
        assert made.disc
        tape = ds9vs.source(made.disc.video_ts, cache=folder)
        pictures = ds9vs.source(made.pictures, cache=folder)
        ours = ds9vs.analyse(tape, cache=folder)
        oracle = made.truth.cadence(ours.tape.content)
        matched = core.vivtc.VDecimate(core.vivtc.VFM(tape, order=1))
        rows = {
            "bob (bwdif)": ds9vs.deinterlace(tape),
            "VFM + VDecimate": matched.std.SetFieldBased(0),
            "ours": ds9vs.ivtc(tape, ours, motion="nearest"),  # the truth has no instants between fields
            "oracle": ds9vs.ivtc(tape, oracle, motion="nearest"),
        }
        print(f"{'':18}{'PSNR-Y mean':>12}{'5th pct':>9}{'SSIMULACRA2':>13}{'frames':>8}")
        for name, clip in rows.items():
            edge = {"left": 8, "right": 8}
            decibels, scores = nearest(ds9vs.crop(clip, **edge), ds9vs.crop(pictures, **edge), made.truth)
            low = np.percentile(decibels, 5)
            print(f"{name:18}{np.mean(decibels):12.2f}{low:9.2f}{np.mean(scores):13.2f}{clip.num_frames:8}", flush=True)


if __name__ == "__main__":
    main()
