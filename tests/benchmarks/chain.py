"""What the chain costs beyond its parts, and that its memory does not grow with the tape.

Cost: every stage is run alone on inputs held in memory, then the whole chain, in one run; and the network's bare
inference beside `upscale`. Memory: the peak of a process that reads a whole restored tape, at two lengths.

    python tests/benchmarks/chain.py [--frames 48] [--memory 300 3000] [--model NAME]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import vapoursynth as vs
from vapoursynth import core

import ds9vs
from ds9vs.upscale import DEFAULT_MODEL
from ds9vs.upscale.backend import infer
from ds9vs.upscale.registry import load_model
from ds9vs.upscale.tile import plan_tiles

CACHE = 1024
"""Megabytes of VapourSynth's frame cache when memory is measured."""
ROOM = 6000
"""Megabytes of it when cost is: 1 GB holds a dozen fp32 pictures of 2880x2160, and what falls out is made twice."""


def held(clip: vs.VideoNode) -> vs.VideoNode:
    """The same clip with its frames in memory."""
    frames = [frame.copy() for frame in clip.frames(close=True)]
    blank = clip.std.BlankClip(keep=True)
    return blank.std.ModifyFrame(blank, lambda n, f: frames[n].copy())


def seconds(clip: vs.VideoNode) -> float:
    core.clear_cache()
    start = time.perf_counter()
    for _ in clip.frames(close=True):
        pass
    return time.perf_counter() - start


def timed(clip: vs.VideoNode, runs: int) -> list[float]:
    """Seconds of each of so many runs, after one that compiles networks and takes memory from the system."""
    seconds(clip)
    return [seconds(clip) for _ in range(runs)]


def cost(frames: int, model: str, runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = ds9vs.simulate(None, Path(folder) / "sim", seconds=frames / 20, seed=3, iso=False)
        assert made.disc
        tape = ds9vs.source(made.disc.video_ts, cache=folder)
        cadence = ds9vs.analyse(tape, cache=folder)
        stages: list[tuple[str, Callable[[vs.VideoNode], vs.VideoNode]]] = [
            ("ivtc, crop", lambda clip: ds9vs.crop(ds9vs.ivtc(clip, cadence), left=8, right=8)[:frames]),
            ("clean", lambda clip: ds9vs.clean(clip, deblock=0.5, mosquito=0.5, denoise=0.3)),
            ("upscale", lambda clip: ds9vs.upscale(clip, model=model, width=2880, height=2160)),
            ("finish", lambda clip: ds9vs.finish(clip)),
        ]
        parts: dict[str, list[float]] = {"source": timed(tape, runs)}
        clip = held(tape)
        for name, stage in stages:
            out = stage(clip)
            parts[name] = timed(out, runs)
            if name == "upscale" and model != "none":
                network = load_model(model, "benchmark")
                planes = clip.resize.Bicubic(format=vs.GRAYS if network.luma_only else vs.RGBS, matrix_in=6)
                tiling = plan_tiles(network, clip.width, clip.height)
                bare, _ = infer([held(planes)], network, tiling, backend="auto")
                parts["of it: bare inference"] = timed(bare, runs)
            clip = held(out)
        del clip, out  # what is held would leave the chain no memory of its own
        whole = tape
        for _, stage in stages:
            whole = stage(whole)
        total = statistics.median(timed(whole, runs))
    singly = 0.0
    for name, values in parts.items():
        value = statistics.median(values)
        singly += 0 if name.startswith("of it") else value
        print(f"{name:24}{value / frames * 1000:9.1f} ms a picture")
    print(f"{'parts, singly':24}{singly / frames * 1000:9.1f}")
    print(f"{'the chain':24}{total / frames * 1000:9.1f}   {100 * (total / singly - 1):+.1f} % ({runs} runs, medians)")


READ = """
import pathlib, re, sys, ds9vs
from vapoursynth import core
core.max_cache_size = int(sys.argv[2])
clip = ds9vs.restore(sys.argv[1], preset="fast-480p")
for _ in clip.frames(close=True): pass
# not ru_maxrss: a child inherits the peak of the process that started it
status = pathlib.Path("/proc/self/status").read_text()
print(clip.num_frames, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024)
"""


def memory(lengths: list[int]) -> None:
    for length in lengths:
        with tempfile.TemporaryDirectory() as folder:
            made = ds9vs.simulate(None, Path(folder) / "sim", seconds=length * 1.001 / 30 + 0.05, seed=3, iso=False)
            assert made.disc
            disc = made.disc.video_ts
            ds9vs.analyse(ds9vs.source(disc), save=disc.with_name("VIDEO_TS.cadence.json"))
            done = subprocess.run(
                [sys.executable, "-c", READ, disc, str(CACHE)], capture_output=True, text=True, check=True
            )
            pictures, peak = done.stdout.split()
            print(
                f"{length:6} tape frames, {pictures:>5} pictures: peak {peak} MB (frame cache {CACHE} MB)", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=48, help="pictures for the cost; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[300, 3000])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    core.max_cache_size = ROOM
    if options.frames:
        cost(options.frames, options.model, options.runs)
    memory(options.memory)


if __name__ == "__main__":
    main()
