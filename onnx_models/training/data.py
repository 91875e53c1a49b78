"""Makes training shards: pictures as a disc gives them, with their neighbours in time, and the truth at twice the size.

    python onnx_models/training/data.py OUT --data DATA [--film VIDEO...] [--shards 4] [--seed 1] [--validation]
    python onnx_models/training/data.py OUT --disc RANGE.mkv [--shards 2] [--validation]

Runs in the package's environment (VapourSynth, ffmpeg; no torch). Truth is film scaled down, photographs under a moving
camera, effects and titles. It is blurred as optics and tape do, halved, given grain, telecined (hard 3:2 as 60i, or
soft as 24p), coded with mpeg2video at a rate scaled with its area, decoded, and woven back by the known plan.
Neighbours are moved onto the middle picture by the same function that `upscale()` calls. Clips that validate are never
trained on.

A shard is an .npz of uint8: low (N, 3, 96, 96) previous, middle, next; high (N, 192, 192); hard (N,) whether it was
interlaced on the disc. The validation file has whole pictures: low_K, high_K, name_K.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs import files
from ds9vs.simulate import vfx
from ds9vs.upscale.neighbours import moved

type Plane = NDArray[np.float32]
type Codes = NDArray[np.uint8]

TILE = 96
"""Side of a training tile at the size of the disc."""
PER_SHARD = 540
"""Tiles in a shard: 15 MB of pictures and 20 MB of truth."""
PICTURES = 22
"""Film pictures in a clip: more than a GOP, so that I, P and B pictures are all among them."""
HELD_FILM = "tos_d"
"""The film that only validates."""
AREA = 720 * 480


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Truth in 8-bit codes of limited range."""

    luma: Plane
    """(pictures, height, width)."""
    chroma: Plane
    """(pictures, 2, height / 2, width / 2)."""
    name: str
    """What it shows."""


# Resampling by matrices: exact in position, and as fast as a library for small pictures


def _kernel(name: str, x: Plane) -> Plane:
    x = np.abs(x)
    if name == "area":
        return np.clip(1 - np.clip(2 * x - 1, 0, 1), 0, 1)
    if name == "lanczos":
        return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0)
    b, c = {"catrom": (0.0, 0.5), "mitchell": (1 / 3, 1 / 3), "sharp": (0.0, 0.75)}[name]
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c
    return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6


def resampler(
    source: int, size: int, *, start: float = 0.0, span: float | None = None, kernel: str = "catrom"
) -> Plane:
    """A (size, source) matrix that takes `span` source samples from `start` on to `size` samples, edges repeated."""
    span = float(source) if span is None else span
    step = span / size
    wide = max(step, 1.0)
    at = start + (np.arange(size) + 0.5) * step - 0.5
    reach = int(np.ceil(3 * wide)) + 1
    taps = np.floor(at)[:, None] + np.arange(-reach, reach + 1)[None]
    weights = _kernel(kernel, (taps - at[:, None]) / wide)
    weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((size, source), np.float32)
    rows = np.repeat(np.arange(size)[:, None], taps.shape[1], 1)
    np.add.at(matrix, (rows, np.clip(taps, 0, source - 1).astype(int)), weights)
    return matrix


def _gauss(size: int, sigma: float) -> Plane:
    if sigma < 0.05:
        return np.eye(size, dtype=np.float32)
    at = np.arange(size)
    matrix = np.exp(-((at[:, None] - at[None]) ** 2) / (2 * sigma**2))
    return np.asarray(matrix / matrix.sum(1, keepdims=True), np.float32)


# Truth


@lru_cache(maxsize=24)
def _photo(path: Path, widest: int) -> tuple[Plane, Plane]:
    """Luma and chroma (half size) of a photograph, reduced until it is at most `widest` wide and high."""
    scale = f"scale='min(iw,{widest})':'min(ih,{widest})':force_original_aspect_ratio=decrease:force_divisible_by=4"
    filters = f"{scale}:flags=area+accurate_rnd:out_color_matrix=bt601:out_range=tv,format=yuv420p"
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-vf", filters, "-frames:v", "1", "-f", "yuv4mpegpipe", "-"],
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    return _y4m(raw)[0]


def _y4m(raw: bytes) -> list[tuple[Plane, Plane]]:
    end = raw.index(b"\n")
    words = {word[:1]: word[1:] for word in raw[:end].split()[1:]}
    width, height = int(words[b"W"]), int(words[b"H"])
    size = width * height * 3 // 2
    found = []
    while end + 6 < len(raw):
        start = raw.index(b"\n", end + 1) + 1
        data = np.frombuffer(raw[start : start + size], np.uint8).astype(np.float32)
        found.append(
            (data[: width * height].reshape(height, width), data[width * height :].reshape(2, height // 2, width // 2))
        )
        end = start + size - 1
    return found


def _path(rng: np.random.Generator, room: float) -> Plane:
    """Where a camera looks, 0 to `room`, in PICTURES + 1 steps: a pan, a drift, a shake, or nothing."""
    time = np.linspace(0, 1, PICTURES + 1)
    kind = rng.choice(["still", "pan", "drift", "shake"], p=[0.12, 0.38, 0.3, 0.2])
    if kind == "still":
        return np.full(len(time), rng.uniform(0, room))
    if kind == "pan":
        a, b = rng.uniform(0, room, 2)
        return a + (b - a) * time
    if kind == "drift":
        return room * (0.5 + 0.45 * np.sin(rng.uniform(0, 6.3) + rng.uniform(0.5, 5) * time))
    return np.clip(rng.uniform(0.2, 0.8) * room + np.cumsum(rng.normal(0, 0.7, len(time))), 0, room)


def _window(axis: tuple[int, int, float, float]) -> tuple[int, int]:
    """First sample and number of those that a resampler of (source, size, start, span) looks at, with room to spare."""
    source, size, start, span = axis
    reach = int(3 * max(1.0, span / size)) + 3
    first, last = max(0, int(start) - reach), min(source, int(start + span) + reach + 1)
    return first, last - first


def camera(photo: tuple[Plane, Plane], width: int, height: int, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A photograph under a moving camera: pan, drift, shake, zoom, with the blur of half a picture's time."""
    luma, chroma = photo
    rows, columns = luma.shape
    most = min(columns / width, rows / height)
    scale = rng.uniform(min(1.1, most), min(most, 2.2))
    zoom = scale * (1 + np.linspace(0, 1, PICTURES + 1) * rng.choice([0, 0, rng.uniform(-0.12, 0.12)]))
    zoom = np.minimum(zoom, most)
    x, y = _path(rng, columns - zoom.max() * width), _path(rng, rows - zoom.max() * height)
    kernel = str(rng.choice(["catrom", "mitchell", "lanczos", "catrom"]))
    blurred = rng.random() < 0.4
    out = np.empty((PICTURES, height, width), np.float32)
    colour = np.empty((PICTURES, 2, height // 2, width // 2), np.float32)
    for n in range(PICTURES):
        across, down = [], []
        for part in (0.0, 0.17, 0.34, 0.5) if blurred else (0.0,):
            at = (1 - part) * np.array([x[n], y[n], zoom[n]]) + part * np.array([x[n + 1], y[n + 1], zoom[n + 1]])
            across.append((columns, width, at[0], at[2] * width))
            down.append((rows, height, at[1], at[2] * height))
        parts = []
        for c, r in zip(across, down, strict=True):
            (left, wide), (top, high) = _window(c), _window(r)
            columns_of = resampler(wide, c[1], start=c[2] - left, span=c[3], kernel=kernel)
            rows_of = resampler(high, r[1], start=r[2] - top, span=r[3], kernel=kernel)
            parts.append(rows_of @ luma[top : top + high, left : left + wide] @ columns_of.T)
        out[n] = np.mean(parts, 0)
        c, r = across[0], down[0]
        wide = resampler(c[0] // 2, c[1] // 2, start=c[2] / 2, span=c[3] / 2)
        high = resampler(r[0] // 2, r[1] // 2, start=r[2] / 2, span=r[3] / 2)
        colour[n] = high @ chroma @ wide.T
    return out, colour


def _over(below: tuple[Plane, Plane], above: tuple[Plane, Plane], alpha: Plane) -> tuple[Plane, Plane]:
    half = alpha.reshape(alpha.shape[0], alpha.shape[1] // 2, 2, alpha.shape[2] // 2, 2).mean((2, 4))
    return (below[0] + alpha * (above[0] - below[0]), below[1] + half[:, None] * (above[1] - below[1]))


def _matte(width: int, height: int, rng: np.random.Generator) -> Plane:
    """An ellipse with a waved edge that crosses the picture: something that hides and uncovers."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    out = np.empty((PICTURES, height, width), np.float32)
    at, speed = rng.uniform(0.2, 0.8, 2) * (width, height), rng.uniform(-6, 6, 2) * (1, 0.5)
    size, waves, soft = rng.uniform(0.12, 0.3, 2) * (width, height), rng.integers(2, 7), rng.uniform(0.5, 2)
    for n in range(PICTURES):
        dx, dy = x - at[0] - speed[0] * n, y - at[1] - speed[1] * n
        edge = 1 + 0.2 * np.sin(waves * np.arctan2(dy, dx) + 0.05 * n)
        out[n] = np.clip(0.5 + (edge - np.hypot(dx / size[0], dy / size[1])) * size.min() / soft, 0, 1)
    return out


def photographs(paths: list[Path], rng: np.random.Generator) -> Clip:
    """A photograph, one in three with something from another one that crosses it."""
    path = paths[rng.integers(len(paths))]
    photo = _photo(path, 1500)
    width, height = (576, 384) if min(photo[0].shape[1] / 576, photo[0].shape[0] / 384) > 1.15 else (384, 384)
    picture = camera(photo, width, height, rng)
    if rng.random() < 0.33:
        other = _photo(paths[rng.integers(len(paths))], 1500)
        if other[0].shape[0] >= height * 1.1 and other[0].shape[1] >= width * 1.1:
            picture = _over(picture, camera(other, width, height, rng), _matte(width, height, rng))
    return Clip(luma=picture[0], chroma=picture[1], name=f"photo {path.stem}")


def _seconds(path: Path) -> float:
    """How long a film is."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]
    return float(subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout)


def film(path: Path, first: float, last: float, shrink: tuple[float, float], rng: np.random.Generator) -> Clip:
    """A cut of a film between two instants, reduced by a factor within `shrink` on each axis."""
    width, height = 576, 384
    across, down = rng.uniform(*shrink), rng.uniform(*shrink)
    start = rng.uniform(first, last - PICTURES / 24 - 0.2)
    left, top = rng.random(2)
    size = f"{2 * int(width * across / 2)}:{2 * int(height * down / 2)}"
    crop = f"crop={size}:{left:.3f}*(iw-ow):{top:.3f}*(ih-oh)"
    filters = f"{crop},scale={width}:{height}:flags=lanczos+accurate_rnd,format=yuv420p"
    raw = subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-ss",
            f"{start:.3f}",
            "-i",
            path,
            "-vf",
            filters,
            "-frames:v",
            str(PICTURES),
            "-f",
            "yuv4mpegpipe",
            "-",
        ],
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout
    pictures = _y4m(raw)
    pictures += [pictures[-1]] * (PICTURES - len(pictures))
    return Clip(
        luma=np.stack([p[0] for p in pictures]),
        chroma=np.stack([p[1] for p in pictures]),
        name=f"{path.stem} {start:.1f}",
    )


LETTERS = (
    "THE EMISSARY",
    "A Man Alone",
    "Starring",
    "DEEP SPACE",
    "Guest Star",
    "Written by",
    "Produced by",
    "Directed by",
    "Chapter Two",
    "STARDATE 46379.1",
    "Tears of Steel",
    "Somewhere, far away",
)


def effects(paths: list[Path], rng: np.random.Generator) -> Clip:
    """Stars, a wormhole, a beam, a ship, lettering; over black, a gradient or a photograph."""
    width, height = 576, 384
    name = str(rng.choice(["stars", "wormhole", "phaser", "ship", "titles", "credits", "lettering", "lettering"]))
    ground = rng.choice(["black", "gradient", "photo"])
    if ground == "photo":
        path = [p for p in paths if "clic" in str(p) or "forensics" in str(p)] or paths
        photo = _photo(path[rng.integers(len(path))], 1500)
        if photo[0].shape[0] < height * 1.1 or photo[0].shape[1] < width * 1.1:
            photo = (np.tile(photo[0], (2, 2)), np.tile(photo[1], (1, 2, 2)))
        luma, chroma = camera(photo, width, height, rng)
    else:
        low, high = (16, 16) if ground == "black" else rng.uniform(16, 90, 2)
        luma = np.broadcast_to(
            np.linspace(low, high, height, dtype=np.float32)[:, None], (PICTURES, height, width)
        ).copy()
        chroma = np.full((PICTURES, 2, height // 2, width // 2), 128, np.float32)
        if rng.random() < 0.6:
            _stars(luma, rng)
    seed, start = int(rng.integers(1 << 30)), rng.uniform(0, 4)
    level, size, drift = rng.uniform(150, 235), rng.uniform(0.8, 2.5), rng.choice([0, 0, rng.uniform(-2, 2)])
    for n in range(PICTURES):
        if name == "lettering":
            alpha = _lettering(width, height, size, drift * n, seed)
            luma[n] += alpha * (level - luma[n])
            continue
        image = vfx.Image(luma[n], *(np.repeat(chroma[n][k], 2, 0) for k in (0, 1)))
        image = vfx.over(image, vfx.draw(name, start + n / 24, width, height, seed=seed))
        luma[n] = image.y
        for k, plane in enumerate((image.u, image.v)):
            chroma[n][k] = (plane[0::2] + plane[1::2]) / 2
    return Clip(luma=luma, chroma=chroma, name=f"{name} on {ground}")


def _stars(luma: Plane, rng: np.random.Generator) -> None:
    """A field of points that drifts."""
    many = int(rng.integers(60, 500))
    _, height, width = luma.shape
    at = rng.uniform(0, 1, (many, 2)) * (height, width)
    light = 16 + 219 * rng.power(0.5, many)
    size, speed = rng.uniform(0.45, 1.0, many), rng.uniform(-1.5, 1.5, 2) * rng.choice([0, 1, 1])
    span = np.arange(-3, 4)
    for n, picture in enumerate(luma):
        now = (at + speed * n) % (height, width)
        rows = np.floor(now[:, 0]).astype(int)[:, None, None] + span[:, None]
        columns = np.floor(now[:, 1]).astype(int)[:, None, None] + span[None]
        away = (rows - now[:, 0, None, None]) ** 2 + (columns - now[:, 1, None, None]) ** 2
        spot = light[:, None, None] * np.exp(-away / (2 * size[:, None, None] ** 2))
        rows, columns = np.broadcast_arrays(rows % height, columns % width)
        np.add.at(picture, (rows, columns), spot.astype(np.float32))
    np.clip(luma, 16, 235, out=luma)


@lru_cache(maxsize=8)
def _words(seed: int, size: float) -> Plane:
    """Some lines of bitmap letters at 6 times their size, as coverage."""
    rng = np.random.default_rng(seed)
    lines = [str(line) for line in rng.choice(LETTERS, rng.integers(1, 6))]
    longest = max(map(len, lines))
    clip = core.std.BlankClip(width=longest * 8 + 32, height=len(lines) * 16 + 32, format=vs.GRAY8, length=1)
    clip = clip.text.Text("\n".join(line.center(longest) for line in lines), 5)
    # doubled, smoothed and thresholded thrice: round letters without steps
    for _ in range(3):
        clip = clip.resize.Bicubic(clip.width * 2, clip.height * 2).std.Convolution([1, 2, 1, 2, 4, 2, 1, 2, 1])
        clip = clip.std.Expr(f"x {rng.integers(105, 150)} - 3 * 128 +")
    with clip.get_frame(0) as frame:
        return np.asarray(frame[0]).astype(np.float32) / 255


def _lettering(width: int, height: int, size: float, drift: float, seed: int) -> Plane:
    words = _words(seed, size)
    rows, columns = words.shape
    scale = 8 / size / 1.6
    across = resampler(columns, width, start=(columns - width * scale) / 2, span=width * scale, kernel="mitchell")
    down = resampler(
        rows, height, start=(rows - height * scale) / 2 + drift * scale, span=height * scale, kernel="mitchell"
    )
    return np.clip(down @ words @ across.T, 0, 1)


# The disc


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What happens to a clip on its way to the disc."""

    hard: bool
    """Telecined 3:2 and coded as 60i; else soft, as 24p."""
    blur: tuple[float, float]
    """Sigma down and across, in samples of the disc."""
    kernel: str
    """How it is halved."""
    grain: float
    """Standard deviation, in codes."""
    rate: float
    """Mb/s of a full D1 picture."""
    careful: bool
    """An encoder that decides by rate and distortion."""

    @classmethod
    def draw(cls, rng: np.random.Generator, easier: float = 1.0) -> Damage:
        """At random; `easier` multiplies the rate for truth that has more detail in each sample than film."""
        sharp = rng.random() < 0.8
        return cls(
            hard=bool(rng.random() < 0.4),
            blur=tuple(rng.uniform(0, 0.25, 2) if sharp else rng.uniform(0.2, 0.6, 2)),
            kernel=str(rng.choice(["area", "catrom", "sharp", "mitchell", "lanczos"], p=[0.3, 0.25, 0.1, 0.2, 0.15])),
            grain=float(rng.uniform(0.3, 3) if rng.random() < 0.45 else 0),
            rate=float(rng.uniform(3, 8) * rng.uniform(1, easier)),
            careful=bool(rng.random() < 0.5),
        )


def disc(clip: Clip, damage: Damage, rng: np.random.Generator) -> Codes:
    """The luma that a disc gives of each picture, (pictures, height / 2, width / 2)."""
    _, height, width = clip.luma.shape
    h, w = height // 2, width // 2
    down = _gauss(h, damage.blur[0]) @ resampler(height, h, kernel=damage.kernel)
    across = _gauss(w, damage.blur[1]) @ resampler(width, w, kernel=damage.kernel)
    luma = down @ clip.luma @ across.T
    if damage.grain:
        noise = rng.normal(0, 1, luma.shape).astype(np.float32)
        spread_y, spread_x = (_gauss(n, float(rng.uniform(0.3, 0.7))) for n in (h, w))
        noise = spread_y @ noise @ spread_x.T
        luma = luma + noise * (damage.grain / noise.std())
    colour = clip.chroma @ resampler(width // 2, w // 2, kernel="catrom").T
    if not damage.hard:
        colour = resampler(h, h // 2, kernel="catrom") @ colour
        return _coded(luma, colour, damage)
    # 3:2: pictures A B C D give the frames AA BB BC CD DD
    plan = []
    for a in range(0, len(luma) - 3, 4):
        plan += [(a, a), (a + 1, a + 1), (a + 1, a + 2), (a + 2, a + 3), (a + 3, a + 3)]
    woven, tint = np.empty((len(plan), h, w), np.float32), np.empty((len(plan), 2, h // 2, w // 2), np.float32)
    for n, (top, bottom) in enumerate(plan):
        for field, k in enumerate((top, bottom)):
            woven[n, field::2] = luma[k, field::2]
            lines = colour[k][:, field::2]
            tint[n, :, field::2] = (lines[:, 0::2] + lines[:, 1::2]) / 2
    got = _coded(woven, tint, damage)
    result = np.empty((len(plan) * 4 // 5, h, w), np.uint8)
    for field in (0, 1):
        for k in range(len(result)):
            n = next(n for n, pair in enumerate(plan) if pair[field] == k)
            result[k, field::2] = got[n, field::2]
    return result


def _coded(luma: Plane, chroma: Plane, damage: Damage) -> Codes:
    """Through mpeg2video and back."""
    frames, height, width = luma.shape
    raw = b"".join(
        np.clip(np.rint(plane), 1, 254).astype(np.uint8).tobytes()
        for n in range(frames)
        for plane in (luma[n], chroma[n])
    )
    rate = damage.rate * 1e6 * width * height / AREA
    fps = "30000/1001" if damage.hard else "24000/1001"
    options = ["-flags", "+ilme+ildct", "-top", "1", "-alternate_scan", "1"] if damage.hard else []
    options += ["-mbd", "rd", "-trellis", "1", "-cmp", "satd", "-subcmp", "satd"] if damage.careful else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "disc.m2v"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            f"{width}x{height}",
            "-r",
            fps,
        ]
        command += [
            "-i",
            "-",
            "-c:v",
            "mpeg2video",
            "-threads",
            "1",
            "-b:v",
            str(int(rate)),
            "-maxrate",
            str(int(1.5 * rate)),
        ]
        command += ["-bufsize", str(int(rate)), "-g", "15", "-bf", "2", *options, str(file)]
        subprocess.run(command, input=raw, check=True)
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout
    size = width * height * 3 // 2
    if len(done) != frames * size:
        raise RuntimeError(f"mpeg2video gave {len(done) / size} of {frames} pictures")
    return np.frombuffer(done, np.uint8).reshape(frames, size)[:, : width * height].reshape(frames, height, width)


# Tiles


def with_neighbours(luma: Codes, at: list[int]) -> Codes:
    """Each wanted picture with both neighbours moved onto it: (len(at), 3, height, width)."""
    count, height, width = luma.shape
    blank = core.std.BlankClip(format=vs.GRAY8, width=width, height=height, length=count, keep=True)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = luma[n]
        return f

    fed = blank.std.ModifyFrame(blank, paint).akarin.Expr("x 16 - 219 / 0 max 1 min", vs.GRAYS)
    out = np.empty((len(at), 3, height, width), np.uint8)
    out[:, 1] = luma[at]
    for place, offset in ((0, -1), (2, 1)):
        clip = moved(fed, offset)
        for k, n in enumerate(at):
            with clip.get_frame(n) as frame:
                out[k, place] = np.clip(np.rint(np.asarray(frame[0]) * 219 + 16), 0, 255).astype(np.uint8)
    return out


def tiles(low: Codes, high: Codes, rng: np.random.Generator) -> list[tuple[Codes, Codes]]:
    """Tiles that cover a picture; of flat ones three in ten."""
    found = []
    _, height, width = low.shape
    for top in np.linspace(0, height - TILE, max(1, height // TILE)).astype(int) // 2 * 2:
        for left in np.linspace(0, width - TILE, max(1, width // TILE)).astype(int) // 2 * 2:
            part = low[:, top : top + TILE, left : left + TILE]
            whole = high[2 * top : 2 * (top + TILE), 2 * left : 2 * (left + TILE)]
            texture = np.abs(np.diff(whole.astype(np.int16), axis=1)).mean()
            if texture > 0.6 or rng.random() < 0.3:
                found.append((part, whole))
    return found


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What truth is made of, train and validation apart."""

    photos: list[Path]
    held_photos: list[Path]
    films: list[Path]
    held_film: Path | None
    video: list[Path]
    disc: Path | None = None
    """Restored pictures of a user's disc: then they are all there is, the first 85 % to train on."""

    @classmethod
    def find(cls, data: Path, video: list[Path]) -> Sources:
        """What lies in a folder of data: every twelfth photograph and one film validate."""
        photos = sorted(p for p in (data / "photos").glob("*/*") if p.suffix.lower() in (".webp", ".jpg", ".png"))
        films = sorted((data / "film").glob("tos_*.mkv"))
        return cls(
            photos=[p for n, p in enumerate(photos) if n % 12],
            held_photos=photos[::12],
            films=[p for p in films if not p.name.startswith(HELD_FILM)],
            held_film=next((p for p in films if p.name.startswith(HELD_FILM)), None),
            video=video,
        )

    def draw(self, rng: np.random.Generator) -> Clip:
        """A clip to train on."""
        if self.disc is not None:
            return film(self.disc, 0, 0.85 * _seconds(self.disc), (1.0, 1.0), rng)
        kind = rng.choice(["photo", "film", "video", "effect"], p=[0.45, 0.28, 0.14, 0.13])
        if kind == "film":
            return film(self.films[rng.integers(len(self.films))], 0, 35, (1.02, 1.35), rng)
        if kind == "video" and self.video:
            return film(self.video[rng.integers(len(self.video))], 0, 22, (1.3, 2.3), rng)
        return effects(self.photos, rng) if kind == "effect" else photographs(self.photos, rng)


def shard(sources: Sources, seed: int) -> tuple[dict[str, Codes], dict[str, int]]:
    """Tiles of many clips; about PER_SHARD / 15 clips go into one."""
    rng = np.random.default_rng(seed)
    low: list[Codes] = []
    high: list[Codes] = []
    hard: list[bool] = []
    kinds: dict[str, int] = {}
    while len(low) < PER_SHARD:
        clip = sources.draw(rng)
        damage = Damage.draw(rng, 1.6 if clip.name.startswith("photo") else 1.0)
        luma = disc(clip, damage, rng)
        at = sorted(int(n) for n in rng.choice(np.arange(1, len(luma) - 1), 5, replace=False))
        sets = with_neighbours(luma, at)
        truth = np.clip(np.rint(clip.luma[at]), 0, 255).astype(np.uint8)
        found = [t for pair in zip(sets, truth, strict=True) for t in tiles(*pair, rng)]
        rng.shuffle(found)
        for a, b in found[:20]:
            low.append(a)
            high.append(b)
            hard.append(damage.hard)
        kinds[clip.name.split(" ")[0]] = kinds.get(clip.name.split(" ")[0], 0) + 1
    return {
        "low": np.stack(low[:PER_SHARD]),
        "high": np.stack(high[:PER_SHARD]),
        "hard": np.array(hard[:PER_SHARD]),
    }, kinds


def validation(sources: Sources, seed: int) -> dict[str, Codes]:
    """Whole pictures of clips that are never trained on; other clips, instants and damage for another seed."""
    rng = np.random.default_rng(76 + seed)
    if sources.disc is not None:
        length = _seconds(sources.disc)
        clips = [film(sources.disc, 0.85 * length, length, (1.0, 1.0), rng) for _ in range(8)]
    else:
        held = [sources.held_film] if sources.held_film else []
        clips = [photographs(sources.held_photos, rng) for _ in range(8)]
        clips += [
            film(path, start, start + 3, (1.05, 1.2), rng) for path in held for start in (2, 6, 10, 14, 20, 26, 30)
        ]
        clips += [film(path, 23, 29.5, (1.4, 2.0), rng) for path in sources.video for _ in range(3)]
        clips += [effects(sources.held_photos, rng) for _ in range(4)]
    found: dict[str, Codes] = {}
    for k, clip in enumerate(clips):
        n = k + seed - 1
        damage = Damage(
            hard=bool(n % 2),
            blur=((0.2, 0.2), (0.0, 0.0))[n // 2 % 2],
            kernel=("area", "mitchell", "catrom")[n % 3],
            grain=(0.0, 0.0, 0.0, 1.5)[n % 4],
            rate=(4.0, 5.0, 6.0, 5.0, 7.0)[n % 5],
            careful=bool(n % 4 < 2),
        )
        luma = disc(clip, damage, rng)
        at = [8]
        found[f"low_{k}"] = with_neighbours(luma, at)[0]
        found[f"high_{k}"] = np.clip(np.rint(clip.luma[at[0]]), 0, 255).astype(np.uint8)
        found[f"name_{k}"] = np.array(clip.name)
    return found


def main() -> None:
    """Read the command line and write shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="the folder with film/ and photos/")
    source.add_argument("--disc", type=Path, help="restored, progressive pictures of a disc, 8 seconds or more")
    parser.add_argument("--film", type=Path, nargs="*", default=[], help="more videos, 1080p or larger")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1, help="of the first shard, or of what validates")
    parser.add_argument("--validation", action="store_true", help="write validation.npz instead")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.disc:
        sources = Sources(photos=[], held_photos=[], films=[], held_film=None, video=[], disc=given.disc)
    else:
        sources = Sources.find(given.data, given.film)
    core.num_threads = 2
    if given.validation:
        with files.atomic(given.out / "validation.npz", "data") as temporary, temporary.open("wb") as file:
            np.savez(file, **validation(sources, given.seed))
        return
    for seed in range(given.seed, given.seed + given.shards):
        arrays, kinds = shard(sources, seed)
        with files.atomic(given.out / f"shard_{seed:04d}.npz", "data") as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        print(f"shard {seed}", json.dumps(kinds), flush=True)


if __name__ == "__main__":
    main()
