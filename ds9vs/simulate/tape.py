"""Progressive pictures to an interlaced tape, with the truth about every field.

May import the ground rooms, `cadence/model` and its neighbours `footage`, `spec`, `vfx`, `faults`. Works in float32
4:2:2 and rounds once. Every random number has a seed of its own (tape seed, purpose, shot, picture or field), so that
pixels depend neither on the order nor on the threads in which they are made.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..errors import CustomRuntimeError, CustomValueError
from ..files import atomic, progress, tool
from .faults import Faults, add_faults
from .footage import Footage, Source, find_scenes, sample_footage
from .spec import Grain, ShotSpec, TapeNoise, TapeSpec, Truth, TruthShot, plan_truth
from .vfx import Element, Image, draw, key, over

__all__ = ["Footage", "find_scenes", "make_tape", "sample_footage"]

type Func = Callable[..., Any] | str
type Plane = NDArray[np.float32]
type Bytes = NDArray[np.uint8]

WIDTH = 720
ACTIVE = 704
LEFT = (WIDTH - ACTIVE) // 2


def _lanczos(positions: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], Plane]:
    """Rows to read and their weights (6 taps, unit sum) for sampling at `positions`; mirrored beyond the edges."""
    first = np.floor(positions).astype(np.int64) - 2
    taps = first[None] + np.arange(6)[:, None]
    distance = positions[None] - taps
    weights = np.sinc(distance) * np.sinc(distance / 3)
    taps = np.mod(taps, 2 * size - 2)
    return np.minimum(taps, 2 * size - 2 - taps), (weights / weights.sum(0)).astype(np.float32)


def _rows(plane: Plane, positions: NDArray[np.float64]) -> Plane:
    taps, weights = _lanczos(positions, len(plane))
    out = plane[taps[0]] * weights[0][:, None]
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        out += plane[tap] * weight[:, None]
    return np.asarray(out)


def _camera(image: Image, zoom: float, right: float, down: float) -> Image:
    """Move a window over the picture: enlarged by exp(zoom) about the middle, moved by pixels."""
    height, width = image.y.shape
    scale = float(np.exp(-zoom))
    rows = (np.arange(height) - (height - 1) / 2) * scale + (height - 1) / 2 + down
    columns = (np.arange(width) - (width - 1) / 2) * scale + (width - 1) / 2 + right

    def move(plane: Plane, across: NDArray[np.float64]) -> Plane:
        turned = np.ascontiguousarray(_rows(plane, rows).T)
        return np.ascontiguousarray(_rows(turned, across).T)

    half = columns[::2] / 2
    return Image(
        np.clip(move(image.y, columns), 0, 255),
        np.clip(move(image.u, half), 0, 255),
        np.clip(move(image.v, half), 0, 255),
    )


# --- noise ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _kernel(sigma: float) -> tuple[float, ...]:
    """A Gaussian's taps with unit energy, so that white noise keeps its variance."""
    radius = int(np.ceil(2.5 * sigma)) if sigma > 0.2 else 0
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * max(sigma, 0.2) ** 2))
    return tuple((taps / np.sqrt((taps**2).sum())).tolist())


def _noise(rng: np.random.Generator, height: int, width: int, across: float, down: float) -> Plane:
    """Gaussian noise of unit variance, blurred by Gaussians of these sigmas, in pixels."""
    a, d = _kernel(across), _kernel(down)
    white = rng.standard_normal((height + len(d) - 1, width + len(a) - 1), np.float32)
    for taps, axis in ((a, 1), (d, 0)):
        if len(taps) > 1:
            size = white.shape[axis] - len(taps) + 1
            parts = [white[:, k : k + size] if axis else white[k : k + size] for k in range(len(taps))]
            out = parts[0] * np.float32(taps[0])
            for part, tap in zip(parts[1:], taps[1:], strict=True):
                out += part * np.float32(tap)
            white = out
    return white


def _grained(image: Image, grain: Grain, seed: Sequence[int]) -> Image:
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(list(seed))))
    height, width = image.y.shape
    table = np.asarray([grain.sigma((code - 16) / 219) for code in range(256)], np.float32)
    sigma = table[np.clip(image.y, 0, 255).astype(np.uint8)]
    y = image.y + sigma * _noise(rng, height, width, grain.size, grain.size)
    if not grain.chroma:
        return Image(y, image.u, image.v)
    less = sigma[:, ::2] * np.float32(grain.chroma)
    u = image.u + less * _noise(rng, height, width // 2, grain.size / 2, grain.size)
    v = image.v + less * _noise(rng, height, width // 2, grain.size / 2, grain.size)
    return Image(y, u, v)


# --- one picture ------------------------------------------------------------------------------------------------


class _Shot:
    """A shot while it is made: its sources, and how one of its pictures comes about."""

    def __init__(self, spec: TapeSpec, truth: TruthShot, footage: Sequence[Footage], folder: Path, func: Func) -> None:
        self.spec, self.truth = spec, truth
        self.shot: ShotSpec = spec.shots[truth.spec]
        height = spec.height
        self.box = height if self.shot.letterbox is None else round(height * (4 / 3) / self.shot.letterbox / 4) * 4
        dar = 4 / 3 if self.shot.letterbox is None else self.shot.letterbox
        self.sources: list[Source | None] = []
        for layer, ids in zip(self.shot.layers, truth.layers, strict=True):
            if layer.effect:
                self.sources.append(None)
                continue
            material = footage[layer.clip]
            if layer.start >= material.frames or (layer.stop or 0) > material.frames:
                raise CustomValueError(
                    f"Shot {truth.spec} wants pictures {layer.start} to {layer.stop} of {material.path.name!r}, "
                    f"which has {material.frames}.",
                    func,
                )
            if max(ids) < 0:
                self.sources.append(None)
                continue
            self.sources.append(Source(material, layer, max(ids) + 1, (ACTIVE, self.box), dar, folder, func))

    def close(self) -> None:
        for source in self.sources:
            if source is not None:
                source.close()

    def _layer(self, n: int, picture: int) -> Image | Element:
        layer, source = self.shot.layers[n], self.sources[n]
        t = float(picture * layer.period / (2 * self.spec.fps))
        where = [self.spec.seed, self.truth.spec, n]
        if source is None:
            return draw(layer.effect, t, ACTIVE, self.box, seed=int(np.random.default_rng([*where, 2]).integers(2**31)))
        image = source.image(picture)
        if layer.zoom or any(layer.pan):
            image = _camera(image, layer.zoom * t, layer.pan[0] * t, layer.pan[1] * t)
        if layer.exposure != 1:
            gain = np.float32(layer.exposure)
            image = Image(16 + gain * (image.y - 16), 128 + gain * (image.u - 128), 128 + gain * (image.v - 128))
        if layer.grainy and self.spec.grain is not None:
            image = _grained(image, self.spec.grain, [*where, 3, picture])
        return image

    def picture(self, field: int) -> Image:
        """What the shot's field (in tape order, from its first) shows, on the 720 raster, before any interlacing."""
        slot = self.truth.slots[field]
        image: Image | None = None
        for n, ids in enumerate(self.truth.layers):
            if ids[field] < 0:
                continue
            layer, content = self.shot.layers[n], self._layer(n, ids[field])
            if isinstance(content, Image):
                if image is None:
                    image = content
                    continue
                t = float(ids[field] * layer.period / (2 * self.spec.fps))
                seed = int(np.random.default_rng([self.spec.seed, self.truth.spec, n, 4]).integers(2**31))
                mix = self.shot.mix
                done = min(1.0, (slot - mix.start + 1) / (len(mix) + 1)) if mix else 0.0
                matte = key(layer.key, t, done, ACTIVE, self.box, seed=seed) if layer.key else None
                image = content if matte is None else over(image, Element(matte, *content))
            else:
                image = over(_black(self.box, ACTIVE) if image is None else image, content)
        assert image is not None
        k = np.float32(self.spec.lowpass)
        if k:
            image = Image(*(_lowpass(plane, k) for plane in image))
        return self._placed(image, self._gain(slot))

    def _gain(self, slot: int) -> float:
        length = min(self.shot.fade_fields, self.shot.fields)
        if self.shot.fade == "in":
            return min(1.0, slot / length)
        return min(1.0, (self.shot.fields - 1 - slot) / length) if self.shot.fade else 1.0

    def _placed(self, image: Image, gain: float) -> Image:
        spec = self.spec
        across, down = _window(spec, self.box)
        window = across[None] * down[:, None] * np.float32(gain)
        canvas = _black(spec.height, WIDTH)
        top = (spec.height - self.box) // 2
        rows, columns, half = (
            slice(top, top + self.box),
            slice(LEFT, LEFT + ACTIVE),
            slice(LEFT // 2, (LEFT + ACTIVE) // 2),
        )
        weight = window[rows, columns]
        canvas.y[rows, columns] += weight * (image.y - 16)
        canvas.u[rows, half] += weight[:, ::2] * (image.u - 128)
        canvas.v[rows, half] += weight[:, ::2] * (image.v - 128)
        return canvas


def _black(height: int, width: int) -> Image:
    return Image(
        np.full((height, width), 16, np.float32),
        np.full((height, width // 2), 128, np.float32),
        np.full((height, width // 2), 128, np.float32),
    )


@lru_cache(maxsize=16)
def _window_of(
    width: int, height: int, blanking: tuple[float, float], ramp: float, lines: tuple[int, int]
) -> tuple[Plane, Plane]:
    x = np.arange(width) + 0.5
    inside = np.minimum(x - blanking[0], width - blanking[1] - x) + 0.5
    edge = np.clip(inside / max(ramp, 1.0), 0, 1)
    down = np.ones(height, np.float32)
    down[: lines[0]] = 0
    down[height - lines[1] :] = 0
    return (edge * edge * (3 - 2 * edge)).astype(np.float32), down


def _window(spec: TapeSpec, box: int) -> tuple[Plane, Plane]:
    return _window_of(WIDTH, spec.height, spec.blanking, spec.ramp, spec.blank_lines)


def _lowpass(plane: Plane, k: np.float32) -> Plane:
    out = plane * (1 - 2 * k)
    out[1:] += k * plane[:-1]
    out[:-1] += k * plane[1:]
    out[0] += k * plane[0]
    out[-1] += k * plane[-1]
    return out


def _halved(plane: Plane, weights: tuple[float, float, float, float]) -> Plane:
    """Halve the lines: line c of the result from lines 2c - 1 to 2c + 2, edges repeated."""
    above = np.concatenate([plane[:1], plane[1:-1:2]])
    below = np.concatenate([plane[2::2], plane[-1:]])
    w = [np.float32(x) for x in weights]
    return np.asarray(w[0] * above + w[1] * plane[::2] + w[2] * plane[1::2] + w[3] * below)


# Triangle filters of ISO/IEC 13818-2, 6.1.1.8: chroma of a frame lies midway between two lines; of a top field a
# quarter of a field line below the first of its two lines, of a bottom field three quarters.
FRAME = (0.125, 0.375, 0.375, 0.125)
TOP = (0.1875, 0.4375, 0.3125, 0.0625)
BOTTOM = (0.0625, 0.3125, 0.4375, 0.1875)


def _rounded(plane: Plane) -> Bytes:
    return np.clip(np.rint(plane), 1, 254).astype(np.uint8)


class _Field(NamedTuple):
    field: int
    planes: tuple[Bytes, Bytes, Bytes]


def _field(image: Image, spec: TapeSpec, field: int) -> _Field:
    """The lines of a picture that a field of the tape has, with the tape's noise."""
    bottom = (field % 2 == 0) != spec.tff
    weights = BOTTOM if bottom else TOP
    y = image.y[int(bottom) :: 2]
    u = _halved(image.u[int(bottom) :: 2], weights)
    v = _halved(image.v[int(bottom) :: 2], weights)
    if spec.noise is not None:
        y, u, v = _taped(y, u, v, spec.noise, [spec.seed, 5, field])
    return _Field(field, (_rounded(y), _rounded(u), _rounded(v)))


def _taped(y: Plane, u: Plane, v: Plane, noise: TapeNoise, seed: list[int]) -> tuple[Plane, Plane, Plane]:
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    y = y + np.float32(noise.luma) * _noise(rng, y.shape[0], y.shape[1], 0.6, 0)
    u = u + np.float32(noise.chroma) * _noise(rng, u.shape[0], u.shape[1], 1.6, 0)
    v = v + np.float32(noise.chroma) * _noise(rng, v.shape[0], v.shape[1], 1.6, 0)
    return y, u, v


class _Made(NamedTuple):
    picture: tuple[Bytes, Bytes, Bytes]
    fields: list[_Field]


def _make(shot: _Shot, fields: list[int]) -> _Made:
    """A picture and all fields (of the tape) that show it."""
    image = shot.picture(fields[0] - shot.truth.first)
    return _Made(
        (_rounded(image.y), _rounded(_halved(image.u, FRAME)), _rounded(_halved(image.v, FRAME))),
        [_field(image, shot.spec, field) for field in fields],
    )


def _pictures(
    truth: Truth, footage: Sequence[Footage], folder: Path, threads: int, func: Func
) -> Iterator[tuple[int, _Made]]:
    """Every picture with its number, in the truth's order, made a few ahead by threads."""
    waiting: deque[tuple[int, Future[_Made], _Shot | None]] = deque()

    def taken() -> tuple[int, _Made]:
        number, future, done = waiting.popleft()
        made = future.result()
        if done is not None:
            done.close()
        return number, made

    with ThreadPoolExecutor(threads) as pool:
        try:
            for row in truth.shots:
                shot = _Shot(truth.spec, row, footage, folder, func)
                groups: dict[int, list[int]] = {}
                for offset, number in enumerate(row.shown):
                    groups.setdefault(number, []).append(row.first + offset)
                for number in sorted(groups):
                    done = shot if number == max(groups) else None
                    waiting.append((number, pool.submit(_make, shot, groups[number]), done))
                    while len(waiting) > 3 * threads:
                        yield taken()
            while waiting:
                yield taken()
        finally:
            for _, future, _ in waiting:
                future.cancel()


# --- files ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _encoder(
    path: Path, spec: TapeSpec, func: Func, *, rate: Fraction, interlaced: bool
) -> Iterator[Callable[[bytes], Any]]:
    """FFV1 in Matroska, the same bytes for the same pictures; takes planar 4:2:0 frames."""
    field = ("tff" if spec.tff else "bff") if interlaced else "prog"
    sar = "10/11" if spec.standard == "ntsc" else "12/11"
    colour = "smpte170m" if spec.standard == "ntsc" else "bt470bg"
    command = [tool("ffmpeg", func), "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    # What is said of the pictures read reaches the file from any ffmpeg; what is said of the encoder, not from 7 on.
    command += ["-color_range", "tv", "-colorspace", colour, "-color_primaries", colour, "-color_trc", "smpte170m"]
    command += ["-chroma_sample_location", "left", "-s", f"{WIDTH}x{spec.height}", "-r", str(rate), "-i", "pipe:0"]
    command += ["-vf", f"setsar={sar},setfield={field}"]
    command += ["-c:v", "ffv1", "-level", "3", "-g", "1", "-slices", "4", "-threads", "2"]
    command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", str(path)]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        assert child.stdin is not None
        try:
            yield child.stdin.write
            child.stdin.close()
        except BaseException as error:
            if not isinstance(error, BrokenPipeError) or not child.wait():
                child.kill()
                child.wait()
                raise
        if child.wait():
            said.seek(0)
            words = " / ".join(said.read().decode(errors="replace").strip().splitlines()[-2:])
            raise CustomRuntimeError(f"ffmpeg stopped while it wrote {path.suffix[1:]}: {words}", func)


@contextlib.contextmanager
def _raw(path: Path) -> Iterator[Callable[[bytes], Any]]:
    with path.open("wb") as out:
        yield out.write


class _Weaver:
    """Collects fields until a frame has both."""

    def __init__(self, spec: TapeSpec) -> None:
        self.spec = spec
        self.open: dict[int, tuple[Bytes, Bytes, Bytes]] = {}

    def add(self, field: _Field) -> bytes | None:
        n, second = divmod(field.field, 2)
        height = self.spec.height
        complete = n in self.open
        planes = self.open.setdefault(
            n,
            (
                np.empty((height, WIDTH), np.uint8),
                np.empty((height // 2, WIDTH // 2), np.uint8),
                np.empty((height // 2, WIDTH // 2), np.uint8),
            ),
        )
        bottom = int((second == 0) != self.spec.tff)
        for plane, lines in zip(planes, field.planes, strict=True):
            plane[bottom::2] = lines
        if not complete:
            return None
        del self.open[n]
        return b"".join(plane.tobytes() for plane in planes)


def _faulty(woven: Path, tape: Path, spec: TapeSpec, faults: Faults, show: bool) -> None:
    """From the raw woven frames through the faults into the tape."""
    luma, size = WIDTH * spec.height, WIDTH * spec.height * 3 // 2
    data = np.memmap(woven, np.uint8, "r", shape=(spec.frames, size))
    blank = core.std.BlankClip(
        width=WIDTH, height=spec.height, format=vs.YUV420P8, length=spec.frames, fpsnum=spec.fps.numerator,
        fpsden=spec.fps.denominator, keep=True,
    ).std.SetFieldBased(2 if spec.tff else 1)  # fmt: skip
    blank = blank.std.SetFrameProps(_Matrix=6 if spec.standard == "ntsc" else 5, _Range=1, _ChromaLocation=0)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), data[n, :luma].reshape(spec.height, WIDTH))
        for plane in (1, 2):
            chroma = data[n, luma * (plane + 3) // 4 : luma * (plane + 4) // 4]
            np.copyto(np.asarray(out[plane]), chroma.reshape(spec.height // 2, WIDTH // 2))
        return out

    clip = add_faults(blank.std.ModifyFrame(blank, fill), faults)
    with (
        _encoder(tape, spec, make_tape, rate=spec.fps, interlaced=True) as write,
        progress("adding faults", spec.frames, show=show) as tell,
    ):
        for n, frame in enumerate(clip.frames(prefetch=4, close=True)):
            write(b"".join(np.asarray(frame[plane]).tobytes() for plane in range(3)))
            tell(n + 1)


def make_tape(
    spec: TapeSpec,
    footage: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    folder: str | os.PathLike[str],
    *,
    faults: Faults | None = None,
    threads: int | None = None,
    show: bool = True,
) -> Truth:
    """Make the tape that a spec describes, and keep its truth.

    Writes into `folder`: `tape.mkv`, the woven frames (FFV1, 720 wide, 8-bit 4:2:0 with the chroma of each field its
    own, flagged with the field order, SAR and BT.601 colour); `pictures.mkv`, every true picture before interlacing
    (FFV1, progressive, same size, with grain, blanking and low-pass, without tape noise or faults; at a nominal
    24 pictures a second, whatever they lasted); `truth.json`.

    Args:
        spec: What to make.
        footage: Progressive file or files that ffmpeg reads, numbered as `Layer.clip` says; None: `sample_footage()`.
        folder: Made if it is not there; the three files appear when whole.
        faults: Faults of an analogue chain, on the tape alone.
        threads: How many make pictures; None: as many as cores, at most 4. The bytes do not depend on it.
        show: Whether to show progress on standard error.

    Returns:
        The truth, as saved.

    Raises:
        CustomValueError: The spec wants a file or pictures that the footage does not have.
        CustomRuntimeError: ffmpeg is missing or failed, or the folder cannot be written.
        FileWasNotFoundError: The footage is not there.

    Example:
        >>> from ds9vs.simulate import Layer, ShotSpec, TapeSpec
        >>> spec = TapeSpec(shots=(ShotSpec(fields=4, layers=(Layer(start=130, phase=0),)),))
        >>> make_tape(spec, None, tmp_path, show=False).shots[0].lengths
        '22'
        >>> sorted(path.name for path in tmp_path.iterdir())
        ['pictures.mkv', 'tape.mkv', 'truth.json']
    """
    paths = [sample_footage()] if footage is None else [footage] if isinstance(footage, str | os.PathLike) else footage
    material = [Footage.read(path, make_tape) for path in paths]
    for n, shot in enumerate(spec.shots):
        for layer in shot.layers:
            if not layer.effect and layer.clip >= len(material):
                raise CustomValueError(
                    f"Shot {n} wants file {layer.clip} of the footage, but {len(material)} were given.", make_tape
                )
    truth = plan_truth(spec)
    target = Path(folder)
    count = threads or min(4, os.cpu_count() or 1)
    with (
        atomic(target / "pictures.mkv", make_tape) as pictures,
        atomic(target / "tape.mkv", make_tape) as tape,
        tempfile.TemporaryDirectory(prefix=".simulate", dir=target) as name,
    ):
        scratch = Path(name)
        woven = scratch / "woven.yuv"
        with (
            _encoder(pictures, spec, make_tape, rate=Fraction(24), interlaced=False) as write_picture,
            _raw(woven) if faults else _encoder(tape, spec, make_tape, rate=spec.fps, interlaced=True) as write_frame,
            progress("simulating the tape", spec.frames, show=show) as tell,
        ):
            weaver, frames, wanted = _Weaver(spec), 0, 0
            for number, made in _pictures(truth, material, scratch, count, make_tape):
                if number == wanted:
                    write_picture(b"".join(plane.tobytes() for plane in made.picture))
                    wanted += 1
                for field in made.fields:
                    frame = weaver.add(field)
                    if frame is not None:
                        write_frame(frame)
                        frames += 1
                        tell(frames)
        if faults:
            _faulty(woven, tape, spec, faults, show)
    truth.save(target / "truth.json")
    return truth
