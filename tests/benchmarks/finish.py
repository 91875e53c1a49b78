"""Bands of dark gradients after the last step, through x265: CAMBI with and without `finish`'s debanding and grain.

    python tests/benchmarks/finish.py [--seed 3] [--height 1080] [--frames 6] [--crf 18] [--grains 0,0.5,1.2]

A simulated space scene (a dark wide nebula, its limb, stars, a slow drift) is made at 704x480 in double precision, gets
fine grain of the deviation named (8-bit codes; 0 is a computer's picture), and is coded as MPEG-2 at 4.5 Mb/s as a disc
would be. It is enlarged plainly (Spline36), finished to 10 bits in several ways, coded by x265 at the CRF named, and
its CAMBI (Netflix, vapoursynth-cambi, default settings; 0 is none, 5 is bad) is told: mean over pictures before x265,
mean and worst after it. The first row is the undisturbed truth: what 10 bits and x265 cost.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs.encode import x265_args
from ds9vs.finish import deband, finish
from ds9vs.finish.output import finish_options
from ds9vs.grain import GrainModel, add_grain, gaussian_spectrum
from ds9vs.grain.calibrate import coded

type Floats = NDArray[np.float64]

WIDTH, HEIGHT = 704, 480
PROPS = {"_Matrix": 6, "_Primaries": 6, "_Transfer": 6, "_Range": 0, "_ChromaLocation": 0, "_SARNum": 10, "_SARDen": 11}


def space(n: int, seed: int) -> list[Floats]:
    """Picture `n` of a dark scene: Y, Cb, Cr in 8-bit codes, not rounded."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    x, drift = x + 0.7 * n, random.uniform(0, 2 * np.pi, 6)
    cloud = sum(
        np.cos((x * np.cos(a) + y * np.sin(a)) / length + a)
        for a, length in zip(drift, (60, 90, 130, 180), strict=False)
    )
    luma = 24 + 3.0 * cloud + 9 * np.exp(-(((x - 400) / 260) ** 2) - ((y - 500) / 240) ** 2)
    luma += 40 * np.exp(-np.maximum(0, np.hypot(x - 760, y - 120) - 150) / 40)
    for _ in range(60):
        at_x, at_y, bright = random.uniform(0, WIDTH + 20), random.uniform(0, HEIGHT), random.uniform(20, 150)
        luma += bright * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 1.4)
    blue = 128 + 3 * np.sin(cloud)[::2, ::2]
    return [np.clip(luma, 16, 235), blue, 128 - 2 * (cloud / 4)[::2, ::2]]


def picture_clip(frames: int, seed: int, grain: float) -> vs.VideoNode:
    """The scene as 16 bits."""

    def put(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out, random = f.copy(), np.random.default_rng([seed, n])
        for p, plane in enumerate(space(n, seed)):
            noise = random.standard_normal((plane.shape[0] + 2, plane.shape[1] + 2))
            soft = (
                noise[1:-1, 1:-1] + 0.4 * (noise[:-2, 1:-1] + noise[2:, 1:-1] + noise[1:-1, :-2] + noise[1:-1, 2:])
            ) / 1.28
            codes = 256 * (plane + (grain if p == 0 else grain / 3) * soft)
            np.copyto(np.asarray(out[p]), np.clip(codes + 0.5, 0, 65535).astype(np.uint16))
        return out

    blank = core.std.BlankClip(
        format=vs.YUV420P16, width=WIDTH, height=HEIGHT, length=frames, fpsnum=24000, fpsden=1001, keep=True
    )
    return blank.std.ModifyFrame(blank, put).std.SetFrameProps(**PROPS)


def through_x265(clip: vs.VideoNode, crf: int, speed: str, folder: Path) -> tuple[vs.VideoNode, float]:
    """The pictures coded and decoded, and the rate in Mb/s."""
    raw, stream = folder / "a.y4m", folder / "a.hevc"
    with raw.open("wb") as file:
        clip.output(file, y4m=True)
    words = x265_args(clip, preset=speed, settings={"crf": crf})
    subprocess.run(["x265", "--y4m", *words, str(raw), str(stream)], check=True, capture_output=True)
    raw.unlink()
    rate = 8 * stream.stat().st_size / clip.num_frames * 24 / 1.001 / 1e6
    back = core.bs.VideoSource(str(stream), cachemode=0)
    kept = [np.array(frame[0]) for frame in back.frames(close=True)]  # the file goes with the next encode
    blank = back.std.BlankClip(keep=True)

    def put(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), kept[n])
        return out

    return blank.std.ModifyFrame(blank, put), rate


def cambi(clip: vs.VideoNode) -> list[float]:
    return [float(frame.props["CAMBI"]) for frame in core.cambi.Cambi(clip).frames(close=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--crf", type=int, default=18)
    parser.add_argument("--grains", default="0,0.5,1.2")
    parser.add_argument("--speed", default="archive", help="a name of presets/x265")
    parser.add_argument("--only", default="", help="rows whose names begin so, by commas")
    given = parser.parse_args()
    core.max_cache_size = 1024
    size = {"height": given.height}
    print(f"{'':46}{'CAMBI':>7}   after x265 CRF {given.crf}\n{'':46}{'before':>7}{'mean':>7}{'worst':>7}{'Mb/s':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for grain in map(float, given.grains.split(",")):
            truth = picture_clip(given.frames, given.seed, grain)
            disc = coded(truth.resize.Point(format=vs.YUV420P8, dither_type="none"), 4_500_000, folder)
            disc = disc.std.SetFrameProps(**PROPS)
            wide = (round(given.height * 4 / 3), given.height)
            big = disc.resize.Spline36(*wide, format=vs.YUV420P16).std.SetFrameProps(_SARNum=1, _SARDen=1)
            # What a disc without visible grain still had on its film.
            film = GrainModel(
                size=(WIDTH, HEIGHT),
                sigma=(max(grain, 0.7),) * 16,
                spectra=(gaussian_spectrum(0.6),) * 3,
                chroma=(0.4,) * 2,
            )
            bare = {"deband": False, "dither": "none"}
            # With what it lacks of finish's noise, as restore() lays it.
            safe = finish_options("safe").noise
            whole, quarter = (
                {"noise": max(0.0, safe**2 - (share * film.sigma[2]) ** 2) ** 0.5,
                 "grain": partial(add_grain, model=film, strength=share)}
                for share in (1.0, 0.25)
            )  # fmt: skip
            rows = {
                "truth, finish without noise": finish(truth, **size, noise=0),
                "disc, enlarged only": finish(disc, **size, **bare),
                "disc, dither": finish(disc, **size, deband=False),
                "disc, safe without noise": finish(disc, **size, noise=0),
                "disc, safe": finish(disc, **size),
                "disc, clean": finish(disc, **size, preset="clean"),
                "disc, grain, no deband": finish(add_grain(big, film), deband=False),
                "disc, deband, grain (restore)": finish(disc, **size, **whole),
                "disc, quarter of it, no noise": finish(add_grain(deband(big), film, strength=0.25), deband=False),
                "disc, quarter of it (restore)": finish(disc, **size, **quarter),
            }
            for row, clip in rows.items():
                if given.only and not row.startswith(tuple(given.only.split(","))):
                    continue
                before = float(np.mean(cambi(clip)))
                back, rate = through_x265(clip, given.crf, given.speed, folder)
                after = cambi(back)
                print(
                    f"grain {grain:4.1f}: {row:34}{before:7.2f}{np.mean(after):7.2f}{max(after):7.2f}{rate:8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
