"""Grain against a truth: measured after MPEG-2, given back at two sizes, its cost in time and bits.

    python tests/benchmarks/grain.py [FILM...] [--start 100] [--frames 144] [--rate 4.5] [--only measure,shape]

Each film is brought to 704x480, gets grain of a known curve and size, and is coded as progressive MPEG-2. A web video
has noise of its own, which is measured as grain too; of a folder of photographs (FILM is then the folder and --start
the first of them) only the grain is noise. Told are:
measure: sigma over the truth's in every luma bin that was seen (plain, calibrated by the rate alone, and by what was
read from the stream), and the spectra's distance;
shape: of synthesised grain the log-spectral distance (dB, 16x16 windows) at the source's size and of 2880x1920 averaged
back, correlation of 100 neighbouring pictures, largest correlation beyond 64 samples, the same bits by two ways;
cost: CPU time a frame at 2880x2160, 10 bit, in turns with vs-jetpack's Grainer (CPU time, for other work on the machine
does not change it; half of it is what two idle cores need); bits: what `grain_cost` tells and what x265 then takes.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core
from vsdeband import Grainer

from ds9vs.grain import GrainModel, add_grain, disc_coding, gaussian_spectrum, measure_grain
from ds9vs.grain.calibrate import coded
from ds9vs.grain.cost import grain_cost
from ds9vs.grain.model import CENTRES
from ds9vs.presets import load_toml, preset_path
from ds9vs.simulate import sample_footage

type Floats = NDArray[np.float64]

CURVE = ((0.0, 0.8), (0.25, 1.8), (0.55, 1.6), (1.0, 0.5))
CHROMA = 0.35


def sigma(luma: Floats, amount: float) -> Floats:
    """The truth: deviation in 8-bit codes at a luma."""
    at, values = zip(*CURVE, strict=True)
    return np.asarray(amount * np.interp((luma - 16) / 219, at, values))


def blurred(noise: Floats, radius: float) -> Floats:
    """White noise as grain of a Gaussian's radius, variance 1."""
    reach = int(np.ceil(3 * radius))
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * radius**2))
    taps /= np.sqrt((taps**2).sum())
    for axis in (0, 1):
        noise = np.sum([taps[k] * np.roll(noise, k - reach, axis) for k in range(len(taps))], 0)
    return noise


def photographs(folder: str, start: int, frames: int) -> vs.VideoNode:
    """Photographs from number `start` on, 40 pictures each, moved by parts of a sample: no noise of their own."""
    files, each, shown = sorted(Path(folder).glob("*.jpg")), 40, []
    for k in range(start, start + -(-frames // each)):
        image = core.bs.VideoSource(str(files[k % len(files)]), cachemode=0)[0]
        times = max(760 / image.width, 540 / image.height)
        width, height = (round(side * times / 2) * 2 for side in (image.width, image.height))
        matrix = {"matrix_in_s": "470bg", "range_in_s": "full"} if image.format.color_family == vs.YUV else {}
        still = image.resize.Point(format=vs.RGB48, **matrix)
        still = still.resize.Lanczos(width, height, format=vs.YUV420P16, matrix_s="170m", range_s="limited") * each
        speed = ((0.6, 0.3), (-0.8, 0.2), (0.35, -0.5), (1.1, 0.0), (0.0, 0.9))[k % 5]

        def moved(n: int, still: vs.VideoNode = still, speed: tuple[float, float] = speed) -> vs.VideoNode:
            room, size = (still.width - 704, still.height - 480), 1 / (1 + 0.0006 * n)
            left, top = (min(max(r / 2 + s * (n - each / 2), 0), r) for r, s in zip(room, speed, strict=True))
            return still.resize.Bicubic(
                704, 480, src_left=left, src_top=top, src_width=704 * size, src_height=480 * size
            )

        shown.append(still.std.BlankClip(width=704, height=480, keep=True).std.FrameEval(moved))
    clip = core.std.Splice(shown)[:frames]
    return clip.std.SetFrameProps(_Matrix=6, _Range=0).std.AssumeFPS(fpsnum=24000, fpsden=1001)


def truth_of(path: str, start: int, frames: int) -> vs.VideoNode:
    """The middle of a film's pictures as 704x480; of a folder, its photographs moved."""
    if Path(path).is_dir():
        return photographs(path, start, frames)
    film = core.bs.VideoSource(path, cachemode=0)[start : start + frames]
    width = min(film.width, film.height * 4 // 3) // 2 * 2
    film = film.std.CropAbs(width, film.height, (film.width - width) // 4 * 2)
    film = film.resize.Lanczos(704, 480, format=vs.YUV420P16)
    return film.std.SetFrameProps(_Matrix=6, _Range=0).std.AssumeFPS(fpsnum=24000, fpsden=1001)


def grained(truth: vs.VideoNode, seed: int, radius: float, amount: float) -> vs.VideoNode:
    """The truth with grain, 8 bit."""

    def add(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        made, random = f.copy(), np.random.default_rng([seed, n])
        luma = np.asarray(made[0]) / 256.0
        for p, level in ((0, luma), (1, luma[::2, ::2]), (2, luma[::2, ::2])):
            plane = np.asarray(made[p])
            noise = blurred(random.standard_normal(plane.shape), radius if p == 0 else 0.7 * radius)
            noise *= sigma(level, amount) * (CHROMA if p else 1)
            np.copyto(plane, np.clip(plane + 256 * noise + 0.5, 0, 65535).astype(np.uint16))
        return made

    return truth.std.ModifyFrame(truth, add).resize.Point(format=vs.YUV420P8)


def measure(path: str, given: argparse.Namespace) -> None:
    """Sigma and spectra after MPEG-2."""
    radius, amount = given.radius, given.amount
    truth = truth_of(path, given.start, given.frames)
    with tempfile.TemporaryDirectory() as folder:
        bits = round(given.rate * 1e6)
        disc = coded(grained(truth, given.seed, radius, amount), bits, Path(folder))
        read = disc_coding(Path(folder) / "grain.m2v")
        print(f"\n{Path(path).name}, grain of {radius} samples, {given.rate} Mb/s MPEG-2: sigma over the truth's")
        shape = np.array(gaussian_spectrum(radius))
        keep = shape > 1e-3 * shape.max()
        for name, calibrate, rate in (("plain", False, bits), ("by rate", True, bits), ("calibrated", True, read)):
            begin, cpu = time.perf_counter(), time.process_time()
            model = measure_grain(disc, pictures=48, rate=rate, calibrate=calibrate)
            ratio = np.array(model.sigma) / sigma(CENTRES, amount)
            seen = [k for k in range(16) if model.seen[k] > 0]
            worst = max(abs(ratio[k] - 1) for k in seen)
            distance = [
                float(np.sqrt(np.square(10 * np.log10((np.array(table) + 1e-9) / shape))[keep].mean()))
                for table in model.spectra
            ]
            print(f"  {name:11}" + " ".join(f"{CENTRES[k]:.0f}:{ratio[k]:.3f}" for k in seen))
            print(
                f"  {'':11}mean {np.mean([ratio[k] for k in seen]):.3f}, worst bin off by {100 * worst:.1f} %; spectra"
                f" {' '.join(f'{d:.2f}' for d in distance)} dB; chroma {model.chroma[0] / CHROMA:.2f}"
                f" {model.chroma[1] / CHROMA:.2f}; {time.perf_counter() - begin:.0f} s,"
                f" {time.process_time() - cpu:.0f} s of CPU here for {model.pictures} pictures",
                flush=True,
            )


def power(plane: Floats, size: int = 16) -> Floats:
    """Mean periodogram of windows."""
    rows, columns = plane.shape[0] // size, plane.shape[1] // size
    cut = plane[: rows * size, : columns * size].reshape(rows, size, columns, size).swapaxes(1, 2)
    blocks = cut.reshape(-1, size, size)
    hann = np.hanning(size + 1)[:-1]
    found = np.fft.fft2((blocks - blocks.mean((1, 2), keepdims=True)) * np.outer(hann, hann))
    return np.asarray((np.abs(found) ** 2).mean(0))


def luma(clip: vs.VideoNode, n: int) -> Floats:
    with clip.get_frame(n) as frame:
        return np.asarray(frame[0]).astype(np.float64) / 256


def shape(radius: float) -> None:
    """Synthesised grain beside grain of the truth's kind."""
    model = GrainModel(size=(720, 480), sigma=(2.0,) * 16, spectra=(gaussian_spectrum(radius),) * 3)
    random = np.random.default_rng(5)
    wanted = np.mean([power(2 * blurred(random.standard_normal((480, 720)), radius)) for _ in range(12)], 0)
    keep = wanted > 1e-3 * wanted.max()
    keep[0, 0] = False
    print(f"\nsynthesised grain of {radius} samples")
    for times in (1, 4):
        flat = core.std.BlankClip(
            format=vs.GRAY16, width=720 * times, height=480 * times, length=101, color=120 << 8, keep=True
        )
        clip = add_grain(flat, model)
        pictures = [luma(clip, n).reshape(480, times, 720, times).mean((1, 3)) for n in range(8)]
        difference = 10 * np.log10(np.mean([power(x) for x in pictures], 0) / wanted)
        deviation = np.mean([x.std() for x in pictures])
        distance = np.sqrt(np.square(difference[keep]).mean())
        print(f"  {720 * times}x{480 * times} averaged back: sigma {deviation:.4f} for 2, distance {distance:.3f} dB")
    flat = core.std.BlankClip(format=vs.GRAY16, width=720, height=480, length=101, color=120 << 8, keep=True)
    clip = add_grain(flat, model)
    planes = [luma(clip, n) - 120 for n in range(101)]
    pairs = [float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in itertools.pairwise(planes)]
    print(f"  neighbouring pictures: mean correlation {np.mean(pairs):+.5f}, largest {np.abs(pairs).max():.4f}")
    found = np.mean([np.fft.irfft2(np.abs(np.fft.rfft2(x)) ** 2, x.shape) / (x * x).sum() for x in planes[:1]], 0)
    found[:64, :64] = found[-64:, :64] = found[:64, -64:] = found[-64:, -64:] = 0
    print(f"  one picture with itself, beyond 64 samples: at most {np.abs(found).max():.4f}")
    digests = set()
    for order, threads in ((range(12), 2), (range(11, -1, -1), 1)):
        core.clear_cache()
        core.num_threads = threads
        again = add_grain(flat, model)
        got = {n: hashlib.sha256(luma(again, n).tobytes()).hexdigest() for n in order}
        digests.add(tuple(got[n] for n in range(12)))
    core.num_threads = 2
    print(f"  forwards by 2 threads and backwards by 1: {'the same bits' if len(digests) == 1 else 'OTHER BITS'}")


def cost() -> None:
    """CPU milliseconds a frame, in turns, medians of 5."""
    core.num_threads = 2
    big = core.std.BlankClip(format=vs.YUV420P10, width=2880, height=2160, length=200, color=[448, 512, 512], keep=True)
    tones = (gaussian_spectrum(0.4), gaussian_spectrum(0.7), gaussian_spectrum(1.0))
    curve = tuple(1 + k / 5 for k in range(16))
    ours = GrainModel(size=(704, 480), sigma=curve, spectra=tones, chroma=(0.5, 0.4), correlation=(0.3, -0.2, 0.4))
    one = GrainModel(size=(704, 480), sigma=curve, spectra=tones[1:2] * 3, chroma=(0.5, 0.4))
    clips = {
        "add_grain, three tones and chroma": add_grain(big, ours),
        "add_grain, one tone and chroma": add_grain(big, one),
        "Grainer.GAUSS": Grainer.GAUSS(big, (2.0, 0.5), seed=1),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in clips}
    begin = time.perf_counter()
    clips["add_grain, three tones and chroma"].get_frame(0).close()
    print(f"\n2880x2160, 10 bit, two threads; the planes are made in {time.perf_counter() - begin:.1f} s, once")
    for clip in clips.values():
        clip.get_frame(0).close()
    for turn in range(5):
        for name, clip in clips.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for frame in clip[1 + 24 * turn : 25 + 24 * turn].frames(close=True):
                frame.get_stride(0)
            times[name].append(((time.process_time() - cpu) / 24, (time.perf_counter() - wall) / 24))
    for name, found in times.items():
        middle = [1000 * statistics.median(column) for column in zip(*found, strict=True)]
        print(f"  {name:36}{middle[0]:7.1f} ms of CPU a frame, {middle[1]:7.1f} ms by the clock")


def bits(path: str, given: argparse.Namespace) -> None:
    """Told and taken, at 1440x1080."""
    film = truth_of(path, given.start, given.frames).resize.Bicubic(1440, 1080, format=vs.YUV420P10)
    table = load_toml(preset_path("x265", "fast", "benchmark"), "benchmark") | {"crf": given.crf}
    table.pop("about", None)
    words = [w for key, v in table.items() for w in ([f"--no-{key}"] if v is False else [f"--{key}", str(v)])]
    model = GrainModel(
        size=(704, 480), sigma=tuple(sigma(CENTRES, given.amount)), spectra=(gaussian_spectrum(given.radius),) * 3
    )
    told = grain_cost(film, model, preset="fast", settings={"crf": given.crf})
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        raw, stream = Path(folder) / "a.y4m", Path(folder) / "a.hevc"
        for clip in (film, add_grain(film, model)):
            with raw.open("wb") as file:
                clip.output(file, y4m=True)
            command = ["x265", "--y4m", "--input-depth", "10", "--output-depth", "10", *words, str(raw), str(stream)]
            subprocess.run(command, check=True, capture_output=True)
            taken.append(8 * stream.stat().st_size / (film.num_frames / float(film.fps)))
    print(f"\n{Path(path).name}, 1440x1080, CRF {given.crf}, {film.num_frames} frames; Mb/s told and taken")
    rows = (("without", told.without, taken[0]), ("with", told.grained, taken[1]),
            ("the grain", told.grain, taken[1] - taken[0]))  # fmt: skip
    for name, a, b in rows:
        print(f"  {name:10}{a / 1e6:8.2f}{b / 1e6:8.2f}  off by {100 * (a / b - 1):+.1f} %", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="*", default=[str(sample_footage())])
    parser.add_argument("--start", type=int, default=100)
    parser.add_argument("--frames", type=int, default=144)
    parser.add_argument("--rate", type=float, default=4.5)
    parser.add_argument("--radius", type=float, default=0.65)
    parser.add_argument("--amount", type=float, default=1.1)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--crf", type=int, default=18)
    parser.add_argument("--only", default="measure,shape,cost,bits")
    given = parser.parse_args()
    parts = given.only.split(",")
    if "shape" in parts:
        shape(given.radius)
    if "cost" in parts:
        cost()
    for film in given.films:
        if "measure" in parts:
            measure(film, given)
        if "bits" in parts:
            bits(film, given)


if __name__ == "__main__":
    main()
