"""What clean() wins on a disc with each fault, and loses on a disc without: the table of gains.

Usage: python tests/benchmarks/clean.py [--pictures 24] [--fault NAME] [film.mkv[@first] ...]

Truth: pictures of 704x480 before the fault (by default parts of examples/media/sample.mkv). Every disc is MPEG-2 by
ffmpeg's mpeg2video; the disc without the fault is coded at its finest (quantiser 2, about 6 to 8 Mb/s). PSNR in dB of
every second picture away from the ends, planes Y, U, V; "edges": luma within 6 samples of a strong edge only.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ds9vs.clean import clean
from ds9vs.files import tool

SAMPLE = Path(__file__).parents[2] / "examples/media/sample.mkv"
NTSC = {"_Matrix": 6, "_Primaries": 6, "_Transfer": 6, "_Range": 0, "_ChromaLocation": 0}


def pictures(path: Path = SAMPLE, first: int = 0, count: int = 24, cache: Path | None = None) -> vs.VideoNode:
    """Progressive truth, YUV444P16 704x480, 23.976 a second."""
    film = core.bs.VideoSource(str(path), cachepath=str(cache or Path(tempfile.gettempdir()) / "ds9vs-bench"))
    film = film[first : first + count].resize.Lanczos(704, 480, format=vs.YUV444P16)
    return film.std.AssumeFPS(fpsnum=24000, fpsden=1001).std.SetFieldBased(0).std.SetFrameProps(**NTSC)


def disc_format(clip: vs.VideoNode) -> vs.VideoNode:
    """4:2:0 of 8 bits, as a disc holds it; interlaced where the clip is."""
    return clip.resize.Spline36(format=vs.YUV420P8, dither_type="error_diffusion")


def coded(clip: vs.VideoNode, folder: Path, *, rate: int | None = None) -> vs.VideoNode:
    """Through MPEG-2 and back: at `rate` kb/s, or as finely as a disc can."""
    with clip.get_frame(0) as frame:
        woven = frame.props.get("_FieldBased", 0)
    path = folder / f"{len(list(folder.glob('*.m2v')))}.m2v"
    options = ["-b:v", f"{rate}k", "-maxrate", f"{rate * 3 // 2}k"] if rate else ["-q:v", "2", "-maxrate", "9800k"]
    flags = ["-vf", "setfield=tff", "-flags", "+ilme+ildct", "-alternate_scan", "1"] if woven else []
    # fmt: off
    command = [
        tool("ffmpeg", "coded"), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p",
        "-s", f"{clip.width}x{clip.height}", "-r", f"{clip.fps.numerator}/{clip.fps.denominator}", "-i", "-",
        "-c:v", "mpeg2video", *options, "-bufsize", "1835k", "-g", "15", "-bf", "2", "-dc", "9", *flags, str(path),
    ]
    # fmt: on
    raw = b"".join(
        np.ascontiguousarray(frame[plane]).tobytes() for frame in clip.frames(close=True) for plane in range(3)
    )
    subprocess.run(command, input=raw, check=True)
    back = core.bs.VideoSource(str(path), cachepath=str(folder))
    return back.std.AssumeFPS(clip).std.SetFieldBased(woven).std.SetFrameProps(**NTSC)


def grained(clip: vs.VideoNode, sigma: float) -> vs.VideoNode:
    """Film grain: Gaussian, slightly blurred, new in each picture, half as strong in chroma."""

    def add(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        rng = np.random.default_rng([7, n])
        for plane in range(3):
            samples = np.asarray(out[plane])
            g = rng.standard_normal(samples.shape)
            g = 0.5 * g + 0.25 * (np.roll(g, 1, 1) + np.roll(g, 1, 0))
            strength = sigma * 256 * (0.5 if plane else 1) / g.std()
            samples[:] = np.clip(samples + g * strength, 0, 65535)
        return out

    return clip.std.ModifyFrame(clip, add)


def with_ramps(clip: vs.VideoNode) -> vs.VideoNode:
    """Blanking ramps: the three outermost columns on both sides fade to black."""

    def fade(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(3):
            samples = np.asarray(out[plane])
            zero = 32768.0 if plane else 4096.0
            for k, gain in enumerate((0.25, 0.6, 0.85)):
                for column in (k, samples.shape[1] - 1 - k):
                    samples[:, column] = zero + (samples[:, column] - zero) * gain
        return out

    return clip.std.ModifyFrame(clip, fade)


def chroma_moved(clip: vs.VideoNode, right: float, down: float) -> vs.VideoNode:
    """Chroma displaced, in luma samples; 4:4:4."""
    y, u, v = (clip.std.ShufflePlanes(plane, vs.GRAY) for plane in range(3))
    moved = [p.resize.Spline36(src_left=-right, src_top=-down) for p in (u, v)]
    return core.std.ShufflePlanes([y, *moved], [0, 0, 0], vs.YUV)


def chroma_miscast(clip: vs.VideoNode, *, interlaced: bool) -> vs.VideoNode:
    """4:2:0 taken through 4:2:2 with the wrong idea of its fields: up as one kind, down as the other."""
    kind = clip.format.replace(subsampling_h=0).id
    up = clip.std.SetFieldBased(0 if interlaced else 2).resize.Bilinear(format=kind)
    down = up.std.SetFieldBased(2 if interlaced else 0).resize.Bilinear(format=clip.format.id)
    return down.std.SetFieldBased(0)


def taped(clip: vs.VideoNode) -> vs.VideoNode:
    """3:2 pulldown to a woven tape of 720 columns, 704 active."""
    wide = clip.std.AddBorders(left=8, right=8, color=[4096, 32768, 32768])
    fields = wide.std.SetFieldBased(2).std.SeparateFields(tff=True)
    fields = fields.std.SelectEvery(cycle=8, offsets=[0, 1, 2, 3, 2, 5, 4, 7, 6, 7])
    woven = fields.std.DoubleWeave(tff=True).std.SelectEvery(2, 0)
    return woven.std.AssumeFPS(fpsnum=30000, fpsden=1001).std.SetFieldBased(2)


def composite(tape: vs.VideoNode, *, comb: bool = False) -> vs.VideoNode:
    """Through an NTSC signal and a cheap decoder: a notch, or a two-line comb. Rainbows, less detail."""
    signal = core.composite.Encode(tape, standard="ntsc")
    back = core.composite.Decode(signal, standard="ntsc", width=tape.width, dimensions=2 if comb else 1)
    return back.std.CopyFrameProps(tape)


def crawling(tape: vs.VideoNode, leak: float = 0.3) -> vs.VideoNode:
    """Dot crawl: a trap that lets a part of the colour subcarrier into luma; colour from the notch decoder."""
    grey = tape.std.Expr(["", "32768", "32768"])
    signals = [core.composite.Encode(c, standard="ntsc") for c in (tape, grey)]
    carrier = core.std.Expr(signals, f"x y - {leak} * 32768 +")
    # The raster of four samples a cycle against that of BT.601: SMPTE 244M, ITU-R BT.601.
    rho, first, anchor = 33 / 35, 130 + 57 / 90, 122.0
    at = anchor / rho - (first - 0.5) - 0.5 / rho
    carrier = carrier.std.SetFieldBased(0).resize.Spline36(tape.width, src_left=at, src_width=720 / rho)
    luma = core.std.Expr([tape.std.ShufflePlanes(0, vs.GRAY), carrier], "x y + 32768 -")
    colour = composite(tape)
    return core.std.ShufflePlanes([luma, colour, colour], [0, 1, 2], vs.YUV).std.CopyFrameProps(tape)


def beside_edges(clip: vs.VideoNode) -> vs.VideoNode:
    """White within 6 samples of a strong edge of the truth, but not on it."""
    edge = clip.std.ShufflePlanes(0, vs.GRAY).resize.Point(format=vs.GRAY8).std.Prewitt().std.Binarize(60)
    wide = edge
    for _ in range(6):
        wide = wide.std.Maximum()
    return core.std.Expr([wide, edge.std.Maximum()], "y 128 > 0 x ?")


def decibels(
    clip: vs.VideoNode, truth: vs.VideoNode, frames: Sequence[int], mask: vs.VideoNode | None = None
) -> list[float]:
    """PSNR of each plane over these frames together (luma alone with a mask); bars of a tape included."""
    error, count = np.zeros(3), np.zeros(3)
    for n in frames:
        with clip.get_frame(n) as a, truth.get_frame(n) as b:
            for plane in range(1 if mask is not None else 3):
                x, y = (np.asarray(f[plane]).astype(np.float64) / 2 ** (f.format.bits_per_sample - 8) for f in (a, b))
                d = (x - y) ** 2
                if mask is not None:
                    with mask.get_frame(n) as m:
                        d = d[np.asarray(m[0]) > 128]
                error[plane] += d.sum()
                count[plane] += d.size
    error, count = error[count > 0], count[count > 0]
    return [float(v) for v in 10 * np.log10(255**2 * count / np.maximum(error, 1e-9))]


def colourful(clip: vs.VideoNode) -> vs.VideoNode:
    """The lower half strewn with small flat colours of 4 to 14 samples, as in a market, a crowd, a title. 4:4:4."""
    rng = np.random.default_rng(3)

    def strew(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(3):
            np.asarray(out[plane])[pieces[plane] > 0] = pieces[plane][pieces[plane] > 0]
        return out

    pieces = np.zeros((3, clip.height, clip.width), np.uint16)
    for _ in range(3000):
        (h, w), x, y = rng.integers(4, 15, 2), rng.integers(40, clip.width - 60), rng.integers(240, clip.height - 30)
        colour = rng.integers((60, 60, 60), (190, 196, 196)) * 256
        pieces[:, y : y + h, x : x + w] = colour[:, None, None]
    return clip.std.ModifyFrame(clip, strew)


def _megabits(folder: Path, number: int, clip: vs.VideoNode) -> float:
    return (folder / f"{number}.m2v").stat().st_size * 8e-6 / (clip.num_frames / float(clip.fps))


type Disc = tuple[str, vs.VideoNode, vs.VideoNode, dict[str, object]]


def discs(truth: vs.VideoNode, folder: Path, fault: str) -> list[Disc]:
    """(what, disc, truth in the disc's format, arguments), the last one without the fault."""
    pure = disc_format(truth)
    if fault in ("deblock", "mosquito"):
        # A short stream begins with more than its rate: these make about 2.5 and 4 Mb/s of 24 pictures.
        rates = [coded(pure, folder, rate=rate) for rate in (1500, 3000)]
        return [
            (f"{_megabits(folder, k, disc):.1f} Mb/s", disc, pure, {fault: 1})
            for k, disc in enumerate([*rates, coded(pure, folder)])
        ]
    if fault == "chroma_upsampling":
        pure = disc_format(colourful(truth))
    fine = coded(pure, folder)
    if fault == "denoise":
        noisy = [(f"grain {s}", coded(disc_format(grained(truth, s)), folder, rate=8000)) for s in (3, 5)]
        return [(name, disc, pure, {fault: 1}) for name, disc in [*noisy, ("without", fine)]]
    if fault == "chroma_shift":
        rows: list[Disc] = []
        for right, down in ((1.0, 0.0), (-2.0, 1.0), (0.5, 0.0)):
            disc = coded(disc_format(chroma_moved(truth, right, down)), folder)
            rows.append((f"{right:+g} {down:+g}", disc, pure, {fault: (-right, -down)}))
        return rows
    if fault == "chroma_upsampling":
        wrong = [
            (name, coded(chroma_miscast(pure, interlaced=name == "as interlaced"), folder))
            for name in ("as interlaced", "as progressive")
        ]
        return [(name, disc, pure, {fault: True}) for name, disc in [*wrong, ("without", fine)]]
    if fault == "edges":
        ramps = coded(disc_format(with_ramps(truth)), folder)
        return [(name, disc, pure, {fault: (3, 0, 3, 0)}) for name, disc in [("ramps", ramps), ("without", fine)]]
    tape = taped(truth)
    pure = disc_format(tape)
    makers: dict[str, Callable[[vs.VideoNode], vs.VideoNode]] = {
        "notch decoder": composite,
        "comb decoder": lambda t: composite(t, comb=True),
    }
    if fault == "dotcrawl":
        makers = {"leaking trap": crawling}
    faulty = [(name, coded(disc_format(make(tape)), folder, rate=8000)) for name, make in makers.items()]
    return [(name, disc, pure, {fault: 1}) for name, disc in [*faulty, ("without", coded(pure, folder, rate=8000))]]


FAULTS = (
    "deblock",
    "mosquito",
    "rainbow",
    "dotcrawl",
    "chroma_shift",
    "chroma_upsampling",
    "edges",
    "denoise",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", nargs="*", default=[f"{SAMPLE}@{first}" for first in (10, 120, 250)])
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--fault", choices=FAULTS)
    given = parser.parse_args()
    print(f"{'fault':18s} {'footage':22s} {'disc':18s} {'before Y/U/V':>20s}   {'gain Y/U/V':>20s}  edges  ms/frame")
    for fault in [given.fault] if given.fault else FAULTS:
        for film in given.film:
            name, _, first = film.partition("@")
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                truth = pictures(Path(name), int(first or 0), given.pictures, folder)
                label = f"{Path(name).stem[:16]}@{first or 0}"
                for what, disc, pure, options in discs(truth, folder, fault):
                    frames = list(range(4, disc.num_frames - 4, 2))
                    start = time.perf_counter()
                    done = clean(disc, **options)
                    after = decibels(done, pure, frames)
                    spent = 1000 * (time.perf_counter() - start) / len(frames)
                    before = decibels(disc, pure, frames)
                    gain = " ".join(f"{a - b:+6.2f}" for a, b in zip(after, before, strict=True))
                    edges = ""
                    if fault in ("deblock", "mosquito"):
                        mask = beside_edges(pure)
                        edges = f"{decibels(done, pure, frames, mask)[0] - decibels(disc, pure, frames, mask)[0]:+.2f}"
                    print(
                        f"{fault:18s} {label:22s} {what:18s} {' '.join(f'{v:6.2f}' for v in before)}   "
                        f"{gain}  {edges:5s} {spent:6.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
