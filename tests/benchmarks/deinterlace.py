"""Deinterlacers against the true 60p: luma PSNR and SSIMULACRA2 of every picture, and pictures a second.

    python tests/benchmarks/deinterlace.py --photo street.jpg --video traffic.mp4 [--mpeg2 5M]
        [--frames 48] [--set KEY=VALUE]

A photograph is panned and slowly zoomed under a camera model; the pictures of a video (any progressive one) are taken
as 60 a second. Both are brought to 720x480 luma in 4:2:0, woven to a tape, optionally coded as interlaced MPEG-2, and
deinterlaced by every peer in the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ds9vs.deinterlace import deinterlace, qtgmc
from ds9vs.measures import pool_psnr, psnr, ssimulacra2
from ds9vs.presets import preset_names

WIDTH, HEIGHT = 720, 480


def moved(path: str, frames: int) -> vs.VideoNode:
    """60p of a camera that pans 2.7 by 0.8 samples a picture and zooms in by 0.05 %."""
    photo = core.bs.VideoSource(path)[0].resize.Bicubic(format=vs.YUV444P8, matrix_s="170m")
    photo = photo.resize.Bicubic(1440, round(1440 * photo.height / photo.width / 4) * 4)
    pictures = []
    for n in range(frames):
        scale = 1 - 0.0005 * n
        window = {"src_left": 20 + 2.7 * n, "src_top": 10 + 0.8 * n}
        pictures.append(
            photo.resize.Bicubic(
                WIDTH,
                HEIGHT,
                format=vs.YUV420P8,
                src_width=WIDTH * 1.3 * scale,
                src_height=HEIGHT * 1.3 * scale,
                **window,
            )
        )
    return core.std.Splice(pictures).std.AssumeFPS(fpsnum=60000, fpsden=1001)


def filmed(path: str, frames: int) -> vs.VideoNode:
    """The pictures of a video as 60p, cropped to 3:2."""
    video = core.bs.VideoSource(path).std.SetFrameProps(_Matrix=1)
    width = min(video.width, video.height * 3 // 2)
    left = (video.width - width) // 2
    video = video.resize.Bicubic(WIDTH, HEIGHT, format=vs.YUV420P8, matrix_s="170m", src_left=left, src_width=width)
    return video[:frames].std.AssumeFPS(fpsnum=60000, fpsden=1001)


def weave(truth: vs.VideoNode) -> vs.VideoNode:
    fields = truth.std.SetFieldBased(0).std.SeparateFields(True).std.SelectEvery(4, [0, 3])
    return fields.std.DoubleWeave(True).std.SelectEvery(2, 0)


def coded(tape: vs.VideoNode, rate: str, folder: str) -> vs.VideoNode:
    """The tape through interlaced MPEG-2."""
    path = Path(folder) / "tape.m2v"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "yuv4mpegpipe", "-i", "-", "-c:v", "mpeg2video", "-b:v", rate]
    command += ["-maxrate", "8M", "-bufsize", "1835k", "-g", "15", "-bf", "2", "-flags", "+ilme+ildct", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        tape.output(process.stdin, y4m=True)
        process.stdin.close()
    return core.bs.VideoSource(str(path), rff=False).std.SetFieldBased(2)[: tape.num_frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", action="append", default=[])
    parser.add_argument("--video", action="append", default=[])
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--mpeg2", help="bitrate, such as 5M")
    parser.add_argument(
        "--set", action="append", default=[], help="also the default preset with KEY=VALUE, or several, comma-separated"
    )
    parser.add_argument("--only", help="peers, comma-separated")
    given = parser.parse_args()
    peers: dict[str, Callable[[vs.VideoNode], vs.VideoNode]] = {
        "bwdif": lambda tape: core.bwdif.Bwdif(tape, field=3),
        "deinterlace": deinterlace,
        **{f"qtgmc {name}": (lambda tape, name=name: qtgmc(tape, preset=name)) for name in preset_names("qtgmc")},
    }
    if given.only:
        peers = {name: peer for name, peer in peers.items() if name in given.only.split(",")}
    for text in given.set:
        options = {}
        for pair in text.split(","):
            key, value = pair.split("=")
            options[key] = (float(value) if "." in value else int(value)) if value.replace(".", "").isdigit() else value
        peers[text] = lambda tape, options=options: qtgmc(tape, **options)
    clips = [(path, moved(path, given.frames)) for path in given.photo]
    clips += [(path, filmed(path, given.frames)) for path in given.video]
    for path, truth in clips:
        with tempfile.TemporaryDirectory() as folder:
            tape = weave(truth)
            if given.mpeg2:
                tape = coded(tape, given.mpeg2, folder)
            print(f"\n{Path(path).name}, {given.frames} fields{', MPEG-2 ' + given.mpeg2 if given.mpeg2 else ''}")
            print(f"{'':28}{'PSNR-Y':>8}{'SSIMU2':>8}{'pict/s':>8}")
            for name, peer in peers.items():
                start = time.perf_counter()
                pictures = peer(tape)
                for frame in pictures.frames(close=True):
                    del frame
                took = time.perf_counter() - start
                core.clear_cache()
                inner = [clip[4:-4] for clip in (truth, pictures)]
                score = np.mean(ssimulacra2(*[clip.std.SetFrameProps(_Matrix=6) for clip in inner]))
                line = f"{pool_psnr(psnr(*inner)):8.2f}{score:8.1f}{pictures.num_frames / took:8.1f}"
                print(f"{name:28}{line}", flush=True)
                core.clear_cache()


if __name__ == "__main__":
    main()
