"""What one picture says about its grain, and many together. Numpy on frames; imports only its neighbour `model`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from .model import BINS, CENTRES, COUNTS, GRID, HALF, WHITE, GrainModel, Spectrum, normalised, tone_weights
from .runs import Run

__all__ = ["Evidence", "Picture", "as_sigma", "band_gain", "look", "not_flat", "pooled", "raw_model", "spectrum_of"]

type Floats = NDArray[np.float64]
type Plane = NDArray[np.float32]

BLOCK = 16
FLAT = 0.2
"""Share of a picture's blocks that count as flat."""
OWN = 0.12
"""Share of a luma bin's blocks that count as flat, if they are not among the worst of the picture."""
WORST = 0.75
LOW = 0.6
"""Quantile of blocks, and of windows, that is taken for all: in the higher ones the denoiser has misunderstood motion
or detail, which the grain of another block cannot hide; in the lower ones coding has left nothing of faint grain."""
FLATTEST, ENOUGH = 0.5, 100
"""Of all pictures' flat blocks the share of each luma bin, and the least number, that luma is taken from: the flattest,
for faint texture that a denoiser takes away looks like fine grain. A tone with fewer has the spectrum of all."""
CALM = 0.4
"""Share of blocks, those with the least chroma, that chroma is measured in."""
_HANN = np.hanning(GRID + 1)[:-1]
WINDOW = np.outer(_HANN, _HANN)
_AT = 2 * np.pi * np.arange(HALF + 1) / GRID
BAND = (1 - (np.cos(2 * _AT)[:, None] + np.cos(2 * _AT)[None]) / 2) ** 2
"""Power response of `_band`: nothing at the lowest and the highest frequencies, where detail and rounding lie."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What was measured on one picture."""

    shot: int
    bins: NDArray[np.int64]
    """Luma bin of each flat block."""
    luma: Floats
    """Its mean luma."""
    rough: Floats
    """How far it is from flat, averaged over 4x4 samples: the grain that denoising leaves has no say."""
    band: Floats
    """Energy of luma's residual in the middle of its frequencies."""
    windows: NDArray[np.float32]
    """Periodogram of luma's residual, quadrants: shape (blocks, 9, 9)."""
    chroma: Floats
    """Covariances: yy (whole), yy (averaged), uu, vv, yu, yv, uv: shape (blocks, 7)."""
    colour: NDArray[np.float32]
    """Periodograms of U's and V's residual in larger blocks."""
    temporal: tuple[float, float]
    """Sums: the product with the next picture's residual, the root of the squares' product."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured on all."""

    band: Floats
    """Energy in the middle frequencies by luma bin, in 8-bit codes squared; bins hardly seen have their neighbours'."""
    seen: Floats
    """Share of blocks in each bin."""
    power: Floats
    """Power of luma by tone and frequency, relative to the band: (3, 9, 9)."""
    windows: Floats
    """How many windows that was taken from, by tone."""
    chroma: Floats
    """Mean covariances: yy (whole), yy (averaged), uu, vv, yu, yv, uv."""
    colour: Floats
    """Power of chroma by frequency: (9, 9)."""
    temporal: float


def _plane(frame: vs.VideoFrame, p: int) -> Plane:
    array = np.asarray(frame[p])
    return np.asarray(array.astype(np.float32) / (1 << frame.format.bits_per_sample - 8))


def look(noisy: vs.VideoNode, plain: vs.VideoNode, n: int, run: Run, first: bool) -> Picture:
    """Measure picture `n` of two clips of 16 bits; the first of its run with the next one."""
    with noisy.get_frame(n) as a, plain.get_frame(n) as b:
        level = _plane(b, 0)
        rest = [_plane(a, p) - _plane(b, p) for p in range(noisy.format.num_planes)]
    sub = (1 << noisy.format.subsampling_w, 1 << noisy.format.subsampling_h)
    blocks = _cut(rest[0], BLOCK)
    means = _cut(level, BLOCK).mean((1, 2), dtype=np.float64)
    dark, bright = _cut(level, BLOCK).min((1, 2)), _cut(level, BLOCK).max((1, 2))
    flat = _flat(level, means, (dark > 18) & (bright < 233))
    chosen = blocks[flat].astype(np.float64)
    band = _cut(_band(rest[0]), BLOCK)[flat].astype(np.float64)
    chroma, colour = np.zeros((0, 7)), np.zeros((0, HALF + 1, HALF + 1), np.float32)
    if len(rest) == 3 and min(BLOCK // sub[0], BLOCK // sub[1]) >= 4:
        u, v = (_cut(plane, BLOCK // sub[1], BLOCK // sub[0])[flat].astype(np.float64) for plane in rest[1:])
        y = chosen.reshape(len(chosen), BLOCK // sub[1], sub[1], BLOCK // sub[0], sub[0]).mean((2, 4))
        y, u, v = (part - part.mean((1, 2), keepdims=True) for part in (y, u, v))
        pairs = ((y, y), (u, u), (v, v), (y, u), (y, v), (u, v))
        chroma = np.stack([chosen.var((1, 2)), *((p * q).mean((1, 2)) for p, q in pairs)], 1)
        size = (GRID * sub[1], GRID * sub[0])
        lit = _cut(level, *size)
        calm = _flat(level, lit.mean((1, 2), dtype=np.float64), (lit.min((1, 2)) > 18) & (lit.max((1, 2)) < 233), size)
        colour = np.concatenate([_periodograms(_cut(plane, GRID)[calm].astype(np.float64)) for plane in rest[1:]])
    temporal = (0.0, 0.0)
    if first and run.length >= 6:
        with noisy.get_frame(n + 1) as a, plain.get_frame(n + 1) as b:
            after = _cut(_band(_plane(a, 0) - _plane(b, 0)), BLOCK)[flat].astype(np.float64)
        temporal = float((band * after).sum()), float(np.sqrt((band**2).sum() * (after**2).sum()))
    return Picture(
        shot=run.shot,
        bins=np.clip(means[flat] / (256 / BINS), 0, BINS - 1).astype(np.int64),
        luma=means[flat],
        rough=_roughness(_cut(level, 4).mean((1, 2)).reshape(level.shape[0] // 4, -1), (BLOCK // 4, BLOCK // 4))[flat],
        band=(band**2).mean((1, 2)),
        windows=_periodograms(chosen),
        chroma=chroma,
        colour=colour,
        temporal=temporal,
    )


def _band(plane: Plane) -> Plane:
    """What differs from the mean of the samples two above, below, left and right."""
    around = np.roll(plane, 2, 0) + np.roll(plane, -2, 0) + np.roll(plane, 2, 1) + np.roll(plane, -2, 1)
    return np.asarray(plane - around / 4)


def _cut(plane: NDArray[np.float32], rows: int, columns: int = 0) -> NDArray[np.float32]:
    """Cut a plane into blocks, shape (blocks, rows, columns)."""
    columns = columns or rows
    down, across = plane.shape[0] // rows, plane.shape[1] // columns
    cut = plane[: down * rows, : across * columns].reshape(down, rows, across, columns)
    return cut.swapaxes(1, 2).reshape(-1, rows, columns)


def _roughness(level: Plane, size: tuple[int, int] = (BLOCK, BLOCK)) -> Floats:
    """The larger eigenvalue of each block's structure tensor, which an edge raises as texture does."""
    down, across = (np.asarray(part, np.float32) for part in np.gradient(level))
    xx, yy, xy = (_cut(part, *size).mean((1, 2)) for part in (across * across, down * down, across * down))
    return np.asarray((xx + yy + np.sqrt((xx - yy) ** 2 + 4 * xy**2)) / 2, np.float64)


def not_flat(frame: vs.VideoFrame) -> NDArray[np.bool_]:
    """Which blocks of a denoised picture are not measured, nor nearly, a row for each row of blocks."""
    level = _plane(frame, 0)
    blocks = _cut(level, BLOCK)
    lit = (blocks.min((1, 2)) > 18) & (blocks.max((1, 2)) < 233)
    rest = np.ones(len(blocks), bool)
    rest[_flat(level, blocks.mean((1, 2), dtype=np.float64), lit, more=0.05)] = False
    return rest.reshape(level.shape[0] // BLOCK, level.shape[1] // BLOCK)


def _flat(
    level: Plane,
    means: Floats,
    lit: NDArray[np.bool_],
    size: tuple[int, int] = (BLOCK, BLOCK),
    more: float = 0.0,
) -> NDArray[np.int64]:
    """Numbers of the flat blocks, and so many `more` of all."""
    where = np.flatnonzero(lit)
    if not len(where):
        return where
    energy = _roughness(level, size)[where]
    usual, worst = np.quantile(energy, [FLAT + more, WORST + more])
    limit = np.full(BINS, usual)
    bins = np.clip(means[where] / (256 / BINS), 0, BINS - 1).astype(np.int64)
    for k in np.unique(bins):
        limit[k] = max(usual, min(worst, float(np.quantile(energy[bins == k], OWN + more))))
    return np.asarray(where[energy <= limit[bins]])


def _periodograms(blocks: Floats) -> NDArray[np.float32]:
    """Periodograms of blocks, left and right mirrored, quadrants of 9 by 9; white noise of variance 1 gives 1."""
    if not len(blocks):
        return np.zeros((0, HALF + 1, HALF + 1), np.float32)
    mean = (blocks * WINDOW).sum((1, 2), keepdims=True) / WINDOW.sum()
    found = np.abs(np.fft.fft2((blocks - mean) * WINDOW)) ** 2 / (WINDOW**2).sum()
    found = (found + np.roll(found[:, ::-1], 1, 1)) / 2
    return found[:, : HALF + 1, : HALF + 1].astype(np.float32)


@functools.cache
def _lows() -> tuple[float, Floats]:
    """What the low quantile of block energies and of periodograms is of their mean, for noise: found by trying."""
    white: Plane = np.random.default_rng(1).standard_normal((16 * 64, 16 * 64)).astype(np.float32)
    for axis in (0, 1):  # as fine as film's: finer grain varies less from block to block
        white = np.asarray(white / 2 + (np.roll(white, 1, axis) + np.roll(white, -1, axis)) / 4, np.float32)
    energy = (_cut(_band(white), BLOCK).astype(np.float64) ** 2).mean((1, 2))
    found = _periodograms(_cut(white, BLOCK).astype(np.float64))
    low = np.quantile(found, LOW, axis=0) / found.mean(0)
    return float(np.quantile(energy, LOW) / energy.mean()), np.where(low > 0, low, 1.0)


def _flattest(rough: Floats, bins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which blocks are the flattest of their luma bin."""
    chosen = np.zeros(len(bins), bool)
    for k in np.unique(bins):
        mine = np.flatnonzero(bins == k)
        chosen[mine] = rough[mine] <= np.quantile(rough[mine], min(1.0, max(FLATTEST, ENOUGH / len(mine))))
    return chosen


def pooled(pictures: Sequence[Picture]) -> Evidence:
    """Put pictures together."""
    bins = np.concatenate([p.bins for p in pictures])
    band = np.concatenate([p.band for p in pictures])
    luma = np.concatenate([p.luma for p in pictures])
    windows = np.concatenate([p.windows for p in pictures])
    rough = np.concatenate([p.rough for p in pictures])
    flattest = _flattest(rough, bins)
    count = np.bincount(bins, minlength=BINS).astype(np.float64)
    least = max(16.0, 0.002 * len(bins))
    windows, band, bins, tones = windows[flattest], band[flattest], bins[flattest], tone_weights(luma[flattest]) >= 0.5
    low_band, low_power = _lows()
    enough = np.flatnonzero(count >= min(least, count.max()))
    found = np.interp(np.arange(BINS), enough, [np.quantile(band[bins == k], LOW) for k in enough]) / low_band
    # Each window counts by what its luma's grain is, so that the low quantile does not pick the quiet lumas.
    relative = windows / np.maximum(found[bins], 1e-3)[:, None, None]
    whole = np.quantile(relative, LOW, axis=0) / low_power
    power = np.stack([
        np.quantile(relative[own], LOW, axis=0) / low_power if own.sum() >= ENOUGH else whole
        for own in tones
    ])  # fmt: skip
    chroma = np.concatenate([p.chroma for p in pictures])
    covariance = np.zeros(7)
    if len(chroma):
        order = np.argsort(chroma[:, 2] + chroma[:, 3], kind="stable")
        covariance = chroma[order[: max(1, int(CALM * len(order)))]].mean(0)
    colour = np.concatenate([p.colour for p in pictures])
    both, square = (sum(p.temporal[k] for p in pictures) for k in (0, 1))
    return Evidence(
        band=found,
        seen=np.where(count >= least, count, 0.0) / max(count.sum(), 1),
        power=_lowest_filled(power),
        windows=tones.sum(1).astype(np.float64),
        chroma=covariance,
        colour=_lowest_filled(np.quantile(colour, LOW, axis=0)[None] / low_power)[0]
        if len(colour)
        else np.zeros((HALF + 1, HALF + 1)),
        temporal=both / square if square else 0.0,
    )


def _lowest_filled(power: Floats) -> Floats:
    """The lowest frequency, which is taken off each window with its mean: as its neighbours."""
    power = power.copy()
    power[:, 0, 0] = (power[:, 0, 1] + power[:, 1, 0]) / 2
    return power


def in_band(spectrum: Spectrum) -> float:
    """Which part of grain's variance `_band` sees."""
    return float((np.array(spectrum) * BAND * COUNTS).sum() / COUNTS.sum())


def band_gain(spectra: Sequence[Spectrum]) -> Floats:
    """The same for each luma bin."""
    return np.asarray(np.array([in_band(spectrum) for spectrum in spectra]) @ tone_weights(CENTRES))


def raw_model(evidence: Evidence, clip: vs.VideoNode) -> GrainModel:
    """The residual itself as a model, nothing calibrated."""
    yy, small, uu, vv, yu, yv, uv = evidence.chroma.tolist()
    shares = [min(4.0, float(np.sqrt(max(0.0, part) / yy))) if yy > 1e-6 else 0.0 for part in (uu, vv)]

    def correlation(both: float, a: float, b: float) -> float:
        return round(float(np.clip(both / np.sqrt(a * b), -1, 1)), 4) if a > 1e-6 and b > 1e-6 else 0.0

    sub = 1 << clip.format.subsampling_w, 1 << clip.format.subsampling_h
    spectra = tuple(spectrum_of(power) for power in evidence.power)
    return GrainModel(
        size=(clip.width, clip.height),
        sigma=as_sigma(evidence.band / np.maximum(band_gain(spectra), 0.02)),
        spectra=(spectra[0], spectra[1], spectra[2]),
        chroma=(round(shares[0], 4), round(shares[1], 4)),
        chroma_spectrum=spectrum_of(evidence.colour),
        correlation=(correlation(yu, small, uu), correlation(yv, small, vv), correlation(uv, uu, vv)),
        subsampling=(min(sub[0], 4), min(sub[1], 4)),
        temporal=round(float(np.clip(evidence.temporal, -1, 1)), 4),
        seen=tuple(round(float(share), 4) for share in evidence.seen),
    )


def as_sigma(variance: Floats) -> tuple[float, ...]:
    """Variances as a model's deviations."""
    return tuple(round(min(float(np.sqrt(max(value, 0.0))), 63.9), 4) for value in variance)


def spectrum_of(power: Floats) -> Spectrum:
    """Power as a spectrum; of nothing, white."""
    return normalised(np.maximum(power, 0)) if power.max(initial=0) > 1e-9 else WHITE
