"""Grain made from a model, at any size. May import the ground rooms and its neighbour `model`.

The work is done once, in the noise planes: white noise of integers (Philox, a counter-based generator) is convolved
with integer taps, and the result rounded to bytes. Each picture then shows cut-outs of these planes at places that a
hash of seed and picture number gives. What is done for a picture is arithmetic on whole numbers below 2^24, which
every processor gets alike, whatever the vector width.
"""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..errors import CustomValueError
from ..plugins import require
from .model import GRID, TONES, GrainModel, Spectrum, curve, normalised, tone_weights

__all__ = ["Shape", "add_grain", "reinject_grain", "shape_of"]

type Func = Callable[..., Any] | str
type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]
type Bytes = NDArray[np.uint8]

MARGIN = 1024
"""Samples by which a noise plane is larger than the picture: the room in which each picture's cut-out moves."""
CELLS = 8
"""The cut-out's place is drawn in one of 8 x 8 cells, in an order that keeps neighbouring pictures far apart."""
STRIDE = 27
"""Cells from one picture to the next: three across and three down."""
DEVIATION = 32
"""Codes of one standard deviation in a noise plane, whose mean is 128: bytes clip it at four."""
WEIGHT = 32
"""Steps between two tones."""
LARGEST = 255
"""Largest factor of the noise: a byte, for at 2160p all that is done to a picture is to wait for memory."""
ALIKE = 0.5
"""Log-spectral distance in dB from their mean up to which tones are made of one noise."""
FADE = 2.0
"""Deviations for which there is room beside video black and white: grain shrinks there and does not clip."""


def add_grain(
    clip: vs.VideoNode, model: GrainModel, *, seed: int = 0, strength: float = 1.0, plate: vs.VideoNode | None = None
) -> vs.VideoNode:
    """Add grain of a model: luma-dependent, its spectrum scaled by the enlargement, new in every picture.

    Averaged over the area of a sample of the measured size, it has that size's deviation and spectrum: as if the grain
    had been scanned at the clip's size. Every picture shows other cut-outs of large noise planes, chosen by a hash of
    seed and picture (`DS9VS_Picture` where there is one, so that a picture shown twice keeps its grain; else the frame
    number); pictures next to each other are never near in a plane. A shot (`DS9VS_Shot`) takes its group's grain. Any
    frame in any order, by any thread count, on any processor gives the same bits. There is none in video black and
    white, beside which it shrinks to what has room. Sets `DS9VS_Grain`.
    Deband before (`ds9vs.deband`): grain hides what bands are left. The planes are made with the first frame (1 to 3 s
    at 2160p).

    Args:
        clip: YUV or GRAY, 8 to 16 bit, limited range, any size and subsampling.
        model: What `measure_grain` or `load_grain` gave.
        seed: Another number gives other grain.
        strength: Multiplies the grain's standard deviation, 0 to 4; 0 gives the clip itself.
        plate: Scanned grain for luma in place of synthesised: grey film, its frames in order, of the clip's size or
            larger, YUV or GRAY of 8 to 16 bits. Its level and shading are taken out; model and strength level it.

    Raises:
        CustomValueError: The clip's format, the strength or the plate is out of range.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> model = GrainModel(size=(720, 480), sigma=(2.0,) * 16)
        >>> grey = core.std.BlankClip(format=vs.YUV420P10, width=720, height=480, length=2, color=[480, 512, 512])
        >>> grained = add_grain(grey, model)
        >>> bool(1.9 * 4 < np.asarray(grained.get_frame(0)[0]).std() < 2.1 * 4)
        True
    """
    form = clip.format
    if form is None or form.color_family not in (vs.YUV, vs.GRAY) or form.sample_type != vs.INTEGER or not clip.width:
        raise CustomValueError(
            f"Grain is added to YUV or GRAY of 8 to 16 bits, not to {form.name if form else 'a variable format'}.",
            add_grain,
        )
    if not 0 <= strength <= 4:
        raise CustomValueError(f"The strength is {strength}; it must be from 0 to 4.", add_grain)
    kinds = (model, *model.groups)
    if strength == 0 or not any(any(kind.sigma) for kind in kinds):
        return clip
    require("akarin.Expr", add_grain, "opt")
    scanned = None if plate is None else _levelled(plate, clip)
    source = clip.std.SetFrameProps(DS9VS_Grain=seed)
    made = [_grained(source, kind, seed, strength, scanned) for kind in kinds]
    if len(made) == 1:
        return made[0]
    where = {shot: n for n, kind in enumerate(kinds) for shot in kind.shots if n}

    def choose(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return made[where.get(int(f.props.get("DS9VS_Shot", -1)), 0)]

    return source.std.FrameEval(choose, prop_src=source, clip_src=made)


def reinject_grain(
    clip: vs.VideoNode,
    source: vs.VideoNode,
    model: GrainModel,
    *,
    seed: int = 0,
    strength: float = 1.0,
    plate: vs.VideoNode | None = None,
) -> vs.VideoNode:
    """Give a restored clip the grain of its source: `add_grain` after checking that the model is the source's.

    Nothing is measured or pasted back: grain is synthesised from the model, at the clip's size.

    Raises:
        CustomValueError: The model was measured at another size than `source` has, or the clips differ in length.

    Example:
        >>> model = GrainModel(size=(64, 48), sigma=(2.0,) * 16)
        >>> small = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=1)
        >>> reinject_grain(small.resize.Bicubic(128, 96), small, model).width
        128
    """
    if source.num_frames != clip.num_frames:
        raise CustomValueError(
            f"The source has {source.num_frames} frames, the clip {clip.num_frames}.", reinject_grain
        )
    if abs(source.height - model.size[1]) > model.size[1] // 4:
        raise CustomValueError(
            f"The model was measured at {model.size[0]}x{model.size[1]}, the source is {source.width}x{source.height}; "
            "measure this source: ds9vs grain measure.",
            reinject_grain,
        )
    return add_grain(clip, model, seed=seed, strength=strength, plate=plate)


# --- one clip with one kind of grain --------------------------------------------------------------------------------


def _grained(
    clip: vs.VideoNode, model: GrainModel, seed: int, strength: float, plate: vs.VideoNode | None
) -> vs.VideoNode:
    """A clip with the grain of a model or of one of its groups."""
    form = clip.format
    if not any(model.sigma):
        return clip
    shift = form.bits_per_sample - 8
    sub = (1 << form.subsampling_w, 1 << form.subsampling_h)
    scale = clip.height / model.size[1], clip.width / model.size[0]
    luma = clip if form.num_planes == 1 else clip.std.ShufflePlanes(0, vs.GRAY)
    wanted = _Wanted(
        width=clip.width,
        height=clip.height,
        sub=sub,
        spectra=_merged(model.spectra),
        chroma_spectrum=model.chroma_spectrum,
        correlation=model.correlation,
        scale=scale,
        chroma_scale=(scale[0] * model.subsampling[1] / sub[1], scale[1] * model.subsampling[0] / sub[0]),
        colour=form.num_planes > 1 and any(model.chroma),
        chroma=model.chroma,
        seed=seed,
    )
    shapes = [shape_of(spectrum, scale) for spectrum in wanted.spectra]
    noise = _planes_of(clip, wanted, plate)
    low, high = 16 << shift, 235 << shift
    limit = f"x {low} min max x {high} max min"  # what was outside video levels before stays as it was
    sigma, power = _factors(model, form.bits_per_sample, strength, shapes if plate is None else shapes[:1], WEIGHT)
    factor = luma.std.Lut(lut=sigma, bits=8)
    if plate is not None or len(wanted.spectra) == 1:
        text = f"x y 128 - {WEIGHT} * z * {1 << power} / 0.5 + floor + {limit}"
        grained = core.akarin.Expr([luma, noise[0], factor], text)
    else:
        steps = [(tone << shift, abs(tone - TONES[1]) << shift) for tone in TONES]
        dark = f"{steps[1][0]} x - 0 max {steps[0][1]} min {WEIGHT / steps[0][1]!r} * floor"
        light = f"x {steps[1][0]} - 0 max {steps[2][1]} min {WEIGHT / steps[2][1]!r} * floor"
        mixed = f"z 128 - {WEIGHT} * y z - {dark} * + a z - {light} * +"
        text = f"x {mixed} b * {1 << power} / 0.5 + floor + {limit}"
        grained = core.akarin.Expr([luma, *noise[:3], factor], text)
    if form.num_planes == 1:
        return grained
    planes = [grained]
    if not wanted.colour:
        return core.std.ShufflePlanes([grained, clip, clip], [0, 1, 2], vs.YUV).std.CopyFrameProps(clip)
    # U's and V's noise has what they differ by in itself: one factor does for both.
    shape = shape_of(model.chroma_spectrum, wanted.chroma_scale)
    sigma, power = _factors(model, form.bits_per_sample, strength * max(model.chroma), [shape], 1)
    small = luma if sub == (1, 1) else luma.resize.Point(clip.width // sub[0], clip.height // sub[1])
    factor, low, high = small.std.Lut(lut=sigma, bits=8), 16 << shift, 240 << shift
    text = f"x y 128 - z * {1 << power} / 0.5 + floor + x {low} min max x {high} max min"
    for p in (1, 2):
        planes.append(core.akarin.Expr([clip.std.ShufflePlanes(p, vs.GRAY), noise[-3 + p], factor], text))
    return core.std.ShufflePlanes(planes, [0, 0, 0], vs.YUV).std.CopyFrameProps(clip)


def _merged(spectra: tuple[Spectrum, ...]) -> tuple[Spectrum, ...]:
    """One spectrum for all tones where theirs hardly differ: a noise plane less to read for each of them."""
    tables = np.array(spectra)
    mean = tables.mean(0)
    shown = mean > 1e-3 * mean.max()
    apart = 10 * np.log10(np.maximum(tables[:, shown], 1e-9) / mean[shown])
    return (normalised(mean),) if np.sqrt(np.square(apart).mean(1)).max() <= ALIKE else spectra


def _factors(model: GrainModel, bits: int, strength: float, shapes: list[Shape], weight: int) -> tuple[list[int], int]:
    """What the noise of a plane is multiplied by at every luma code, and the power of two that divides the product."""
    code = np.arange(1 << bits) / (1 << bits - 8)
    tone = tone_weights(code) if len(shapes) == 3 else np.ones((1, len(code)))
    if len(shapes) == 3:
        # Between tones two noises are mixed that stem from the same white one, so that some of it is lost.
        mixed = np.array([[a.likeness(b) for b in shapes] for a in shapes])
        tone = tone * np.array([shape.gain for shape in shapes])[:, None]
        weights = tone_weights(code)
        lost = np.sqrt(np.maximum((weights[:, None] * weights[None] * mixed[..., None]).sum((0, 1)), 1e-6))
        gain = tone.sum(0) / lost
    else:
        gain = np.full(len(code), shapes[0].gain)
    sigma = curve(model.sigma, code) * gain * strength
    room = np.clip(np.minimum(code - 16, 235 - code), 0, None) / FADE
    sigma = np.minimum(sigma, room) * (1 << bits - 8)
    unit = DEVIATION * weight
    largest = float(sigma.max())
    power = min(22, math.floor(math.log2(LARGEST * unit / largest))) if largest > 0 else 0
    return [int(value) for value in (sigma * 2**power / unit).round()], power


# --- the shape of grain ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A filter for white noise."""

    taps: Ints
    """Integers, about 16384 in root of the sum of squares; zero phase, even in both directions."""
    gain: float
    """By what the grain's deviation at this size exceeds that at the measured one."""

    def likeness(self, other: Shape) -> float:
        """Correlation of two noises that these filters make of one white noise."""
        a, b = self.taps.astype(np.float64), other.taps.astype(np.float64)
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@functools.lru_cache(maxsize=64)
def shape_of(spectrum: Spectrum, scale: tuple[float, float]) -> Shape:
    """The filter for pictures enlarged by `scale` (vertical, horizontal), such that the area of a measured sample,
    averaged, has the measured spectrum: power beyond the measured frequencies falls off smoothly, and what the
    averaging takes away and folds back is allowed for.
    """
    power = np.array(spectrum)
    folds, takes, falls = [], [], []
    half = GRID // 2
    for r in scale:
        top = max(half * r, 1.0)
        k = np.arange(math.floor(top + 1e-9) + 1)
        f = k / GRID
        fold = np.zeros((half + 1, len(k)))
        for sign in (1, -1):
            at = (sign * k) % GRID
            inside = (at <= half) & ((sign > 0) | (k > 0))
            np.add.at(fold, (at[inside], k[inside]), 1.0)
        fold[:, k == top] /= 2  # the highest frequency of the output is its own mirror image
        x = np.pi * f
        under = r * np.sin(x / r)
        box = np.where(k == 0, 1.0, np.sin(x) / np.where(k == 0, 1, under)) if r > 1 else np.ones(len(k))
        folds.append(fold)
        takes.append(box**2)
        falls.append(np.where(f <= 0.5, 1.0, np.cos(np.pi * np.minimum(f - 0.5, 0.5)) ** 2))
    rows, columns = (np.minimum(np.arange(fold.shape[1]), half) for fold in folds)
    wide = power[rows][:, columns] * np.outer(*falls)
    seen = folds[0] @ (wide * np.outer(*takes)) @ folds[1].T
    covered = np.where(seen > 0, power[: seen.shape[0], : seen.shape[1]] / np.where(seen > 0, seen, 1), 0.0)
    mirror = [np.minimum(np.arange(fold.shape[1]) % GRID, -np.arange(fold.shape[1]) % GRID) for fold in folds]
    wide = wide * covered[mirror[0]][:, mirror[1]]
    if min(scale) < 1:
        wide = power[rows][:, columns]
    size = [2 * math.ceil(max(half * r, 1.0)) for r in scale]
    root = np.sqrt(wide)
    for axis, (count, r) in enumerate(zip(size, scale, strict=True)):
        at = np.minimum(np.abs(np.fft.fftfreq(count)) * r * GRID, root.shape[axis] - 1)
        low = np.minimum(at.astype(np.int64), max(root.shape[axis] - 2, 0))
        part = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, root.shape[axis] - 1)
        root = root.take(low, axis) * (1 - part) + root.take(high, axis) * part
    gain = math.sqrt(float((root**2).mean()) * scale[0] * scale[1])
    kernel = np.fft.fftshift(np.fft.ifft2(root).real)
    kernel *= 16384 / math.sqrt(float((kernel**2).sum()))
    return Shape(kernel.round().astype(np.int64), gain)


# --- noise planes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Everything that noise planes depend on."""

    width: int
    height: int
    sub: tuple[int, int]
    spectra: tuple[Spectrum, ...]
    chroma_spectrum: Spectrum
    correlation: tuple[float, float, float]
    scale: tuple[float, float]
    chroma_scale: tuple[float, float]
    colour: bool
    chroma: tuple[float, float]
    seed: int


def _white(seed: int, stream: int, height: int, width: int) -> NDArray[np.int32]:
    """White noise: sums of eight uniform bytes, mean 0, deviation 209; counter-based (Salmon et al., SC 2011)."""
    raw = np.random.Philox(key=[seed & (2**64 - 1), stream]).random_raw(height * width)
    even, odd = raw & np.uint64(0x00FF00FF00FF00FF), raw >> np.uint64(8) & np.uint64(0x00FF00FF00FF00FF)
    total = (even + odd) * np.uint64(0x0001000100010001) >> np.uint64(48)
    return (total.astype(np.int32) - 1020).reshape(height, width)


def _convolved(white: NDArray[np.int32], taps: Ints) -> NDArray[np.int64]:
    """A periodic convolution of integers, exactly: by FFT in blocks, whose error is far below the half to round at."""
    height, width = white.shape
    above, left = taps.shape[0] // 2, taps.shape[1] // 2
    block = 512 if max(taps.shape) < 200 else 1024
    inner = block - taps.shape[0], block - taps.shape[1]
    answer = np.fft.rfft2(taps.astype(np.float64), (block, block))
    rows, columns = (np.arange(-half, size + block) % size for half, size in ((above, height), (left, width)))
    wide = white[np.ix_(rows, columns)]
    out = np.empty((height, width), np.int64)

    def row(top: int) -> None:
        for at in range(0, width, inner[1]):
            cut = wide[top : top + block, at : at + block]
            done = np.fft.irfft2(np.fft.rfft2(cut.astype(np.float64), (block, block)) * answer, (block, block))
            kept = done[taps.shape[0] :, taps.shape[1] :]
            target = out[top : top + inner[0], at : at + inner[1]]
            target[...] = np.rint(kept[: target.shape[0], : target.shape[1]])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(row, range(0, height, inner[0])))
    return out


def _as_bytes(noise: Ints, deviation: int, wanted: int = DEVIATION) -> Bytes:
    """Noise of a known deviation (an integer) as bytes of the wanted one: mean 128, rounded half up."""
    return np.clip((noise * (2 * wanted) + deviation) // (2 * deviation) + 128, 0, 255).astype(np.uint8)


def _deviation(*taps: Ints) -> int:
    """209 times the root of the sum of squares."""
    return math.isqrt(43690 * sum(int((part * part).sum()) for part in taps))


def _even_size(size: int, step: int) -> int:
    """The next multiple of `step`: the plane's period."""
    return -(-size // step) * step


@functools.lru_cache(maxsize=2)
def _made(wanted: _Wanted) -> tuple[Bytes, ...]:
    """The noise planes: one for each tone, then two of chroma."""
    across, down = wanted.sub
    height = _even_size(wanted.height + MARGIN, 4 * down)
    width = _even_size(wanted.width + MARGIN, 4 * across)
    white = _white(wanted.seed, 0, height, width)
    shapes = [shape_of(spectrum, wanted.scale) for spectrum in wanted.spectra]
    planes = [_as_bytes(_convolved(white, shape.taps), _deviation(shape.taps)) for shape in shapes]
    if not wanted.colour:
        return tuple(planes)
    luma = planes[len(planes) // 2].reshape(height // down, down, width // across, across).astype(np.int64) - 128
    summed = luma.sum((1, 3))
    taps = shape_of(wanted.chroma_spectrum, wanted.chroma_scale).taps
    # One white noise is the luma's own, averaged over a chroma sample; the others know nothing of luma.
    small = white.reshape(height // down, down, width // across, across).sum((1, 3), dtype=np.int32)
    own = [_convolved(_white(wanted.seed, n, *small.shape), taps) for n in (1, 2)]
    bound = _convolved(small, taps) // math.isqrt(across * down)
    most = _correlated(summed, bound)
    yu, yv, uv = wanted.correlation
    a, c = (max(-1.0, min(1.0, value / most)) if abs(most) > 0.05 else 0.0 for value in (yu, yv))
    b = math.sqrt(1 - a * a)
    d = max(-1.0, min(1.0, (uv - a * c) / b)) * math.sqrt(1 - c * c) if b > 0.05 else 0.0
    d = math.copysign(min(abs(d), math.sqrt(max(0.0, 1 - c * c))), d)
    e = math.sqrt(max(0.0, 1 - c * c - d * d))
    unit = 1024
    for level, shares in zip(wanted.chroma, ((a, b, 0.0), (c, d, e)), strict=True):
        parts = [round(share * unit) for share in shares]
        total = sum(part * plane for part, plane in zip(parts, (bound, *own), strict=True) if part)
        norm = math.isqrt(sum(part * part for part in parts))
        deviation = round(DEVIATION * level / max(wanted.chroma))
        planes.append(_as_bytes(np.asarray(total), _deviation(taps) * norm, deviation))
    return tuple(planes)


def _correlated(a: Ints, b: Ints) -> float:
    """Correlation of two planes of integers, from a corner of each; exact sums."""
    a, b = a[:1024, :1024], b[:1024, :1024] >> 8
    a, b = a - a.sum() // a.size, b - b.sum() // b.size
    return int((a * b).sum()) / math.sqrt(int((a * a).sum()) * int((b * b).sum()) or 1)


def _place(seed: int, picture: int, step: int) -> tuple[int, int]:
    """Where the cut-out of a picture lies: its cell by turns, its place in the cell by a hash; multiples of `step`."""
    digest = hashlib.blake2b(f"{seed}/{picture}".encode(), digest_size=8).digest()
    x, y = (int(word) for word in np.frombuffer(digest, "<u4"))
    cell, side = picture * STRIDE % CELLS**2, MARGIN // CELLS
    return (
        (cell % CELLS * side + x % side) // step * step,
        (cell // CELLS * side + y % side) // step * step,
    )


def _planes_of(clip: vs.VideoNode, wanted: _Wanted, plate: vs.VideoNode | None) -> list[vs.VideoNode]:
    """Noise as clips of bytes, one for each tone (one alone from a plate), then U's and V's."""
    step = max(wanted.sub)
    tones = len(wanted.spectra)
    middle = tones // 2
    lock = threading.Lock()
    held: dict[int, vs.VideoFrame] = {}

    def shown(form: int, first: int, planes: tuple[int, ...]) -> vs.VideoNode:
        """Cut-outs of a large picture whose planes are these noise planes."""
        size = {"width": wanted.width + MARGIN, "height": wanted.height + MARGIN}
        blank = core.std.BlankClip(format=form, **size, length=1, keep=True)

        def hold(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            with lock:
                if first not in held:
                    made = f.copy()
                    for p, index in enumerate(planes):
                        target = np.asarray(made[p])
                        np.copyto(target, _made(wanted)[index][: target.shape[0], : target.shape[1]])
                    held[first] = made
            return held[first]

        whole = blank.std.ModifyFrame(blank, hold)

        def cut(n: int, f: vs.VideoFrame) -> vs.VideoNode:
            x, y = _place(wanted.seed, int(f.props.get("DS9VS_Picture", n)), step)
            return whole.std.CropAbs(clip.width, clip.height, x, y)

        size = {"width": clip.width, "height": clip.height}
        return core.std.BlankClip(format=form, **size, length=clip.num_frames, keep=True).std.FrameEval(
            cut, prop_src=clip
        )

    # Chroma's planes are cut together with the middle tone's: fewer steps for each picture.
    if wanted.colour:
        joint = shown(clip.format.replace(bits_per_sample=8).id, middle, (middle, tones, tones + 1))
        parts = [joint.std.ShufflePlanes(p, vs.GRAY) for p in range(3)]
    else:
        parts = [shown(vs.GRAY8, middle, (middle,))] if plate is None else []
    if plate is not None:
        return [plate, *parts[1:]]
    around = [parts[0] if k == middle else shown(vs.GRAY8, k, (k,)) for k in range(tones)]
    return [*around, *parts[1:]]


def _levelled(plate: vs.VideoNode, clip: vs.VideoNode) -> vs.VideoNode:
    """A plate as noise: bytes about 128 with a deviation of 32, cut to the clip's size, a frame for each picture."""
    if not isinstance(plate, vs.VideoNode):
        raise CustomValueError(f"The plate must be a clip, not {plate!r}.", add_grain)
    form = plate.format
    if form is None or form.color_family not in (vs.YUV, vs.GRAY) or form.sample_type != vs.INTEGER:
        raise CustomValueError("The plate must be YUV or GRAY of 8 to 16 bits.", add_grain)
    if plate.width < clip.width or plate.height < clip.height:
        raise CustomValueError(
            f"The plate is {plate.width}x{plate.height}, the clip {clip.width}x{clip.height}; "
            "scan it larger: a plate that is laid out twice shows.",
            add_grain,
        )
    blur = require("vszip.BoxBlur", add_grain)
    luma = plate if form.num_planes == 1 else plate.std.ShufflePlanes(0, vs.GRAY)
    luma = luma.resize.Point(format=vs.GRAY16)
    shading = blur(luma, hradius=24, vradius=24, hpasses=2, vpasses=2)
    rest = core.akarin.Expr([luma, shading], "x y - 32768 +")
    square = core.akarin.Expr([rest], "x 32768 - dup * 65536 /", vs.GRAYS).std.PlaneStats(prop="Grain")
    level = f"x 32768 - {DEVIATION} * y.GrainAverage 65536 * sqrt 1 max / 128.5 + floor 0 max 255 min"
    bytes_ = core.akarin.Expr([rest, square], level, vs.GRAY8)
    room = plate.width - clip.width, plate.height - clip.height

    def cut(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        picture = int(f.props.get("DS9VS_Picture", n))
        digest = hashlib.blake2b(f"plate/{picture}".encode(), digest_size=9).digest()
        x, y = (int(word) for word in np.frombuffer(digest[:8], "<u4"))
        shown = bytes_[picture % bytes_.num_frames].std.CropAbs(
            clip.width, clip.height, x % (room[0] + 1), y % (room[1] + 1)
        )
        shown = shown.std.FlipHorizontal() if digest[8] & 1 else shown
        return shown.std.FlipVertical() if digest[8] & 2 else shown

    still = core.std.BlankClip(format=vs.GRAY8, width=clip.width, height=clip.height, length=clip.num_frames, keep=True)
    return still.std.FrameEval(cut, prop_src=clip)
