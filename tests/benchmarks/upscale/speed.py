"""Seconds and memory of every model by every backend that runs here, each pair in a process of its own.

May import `ds9vs`. As a program, `python speed.py MODEL BACKEND`, it measures one pair and prints JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import vapoursynth as vs
from vapoursynth import core

from ds9vs.upscale import explain_backends, upscale
from ds9vs.upscale.backend import infer
from ds9vs.upscale.registry import load_model
from ds9vs.upscale.tile import plan_tiles

__all__ = ["one", "table"]

WIDTH, HEIGHT = 720, 480


def one(model: str, backend: str) -> dict[str, float]:
    """Seconds a picture of 720x480 by the whole of `upscale()` and by the network alone, and MB at the most."""
    blank = core.std.BlankClip(
        width=WIDTH, height=HEIGHT, format=vs.YUV420P8, length=4, color=[110, 120, 130], keep=True
    )
    clip = blank.std.SetFrameProps(_Matrix=6)
    network = load_model(model, "benchmark")
    alone: vs.VideoNode | None = None
    if network.channels in (1, 3):
        bare = blank.resize.Bicubic(format=vs.RGBS if network.channels == 3 else vs.GRAYS, matrix_in=6)
        alone, _ = infer([bare], network, plan_tiles(network, WIDTH, HEIGHT), backend=backend)
    found = {}
    for name, made in (("upscale", upscale(clip, model=model, backend=backend)), ("network", alone)):
        if made is None:
            continue
        made.get_frame(0).close()
        start = time.perf_counter()
        made.get_frame(1).close()
        found[name] = time.perf_counter() - start
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if peak:
        found["megabytes"] = int(peak[1]) / 1024
    return found


def table(models: list[str]) -> list[str]:
    """The Markdown table; why a backend does not run here, below it."""
    lines = [
        f"{WIDTH}x{HEIGHT}, s a picture:", "",
        "| model | backend | upscale() | network alone | MB at the most |", "|---|---|---|---|---|",
    ]  # fmt: skip
    reports = explain_backends()
    for model in models:
        for report in reports:
            if not report.ran:
                continue
            command = [sys.executable, __file__, model, report.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = (done.stderr.strip().splitlines() or ["it died"])[-1]
                lines.append(f"| {model} | {report.name} | {said} | | |")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            cells = [f"{found[k]:{how}}" if k in found else "-" for k, how in
                     (("upscale", ".2f"), ("network", ".2f"), ("megabytes", ".0f"))]  # fmt: skip
            lines.append(f"| {model} | {report.name} | {' | '.join(cells)} |")
    return [*lines, "", *(f"{r.name}: {r.said}" for r in reports if not r.ran)]


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1], sys.argv[2])))
