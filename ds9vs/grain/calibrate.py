"""What a denoiser and MPEG-2 do to grain, undone: synthesise, code at the disc's rate, measure again, correct.

May import the ground rooms and its neighbours. Encodes with ffmpeg's mpeg2video into a temporary folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..files import progress, run
from ..plugins import require
from ..timing import FILM, NTSC, PAL
from .coding import SCALES, Coding, Quantisers
from .evidence import BLOCK, Evidence, as_sigma, band_gain, look, not_flat, pooled, spectrum_of
from .model import BINS, CENTRES, GRID, WHITE, GrainModel, Spectrum, gaussian_spectrum, normalised, tone_weights
from .runs import Run, kept
from .synthesise import add_grain

__all__ = ["calibrated", "coded"]

type Floats = NDArray[np.float64]
type Denoiser = Callable[[vs.VideoNode], vs.VideoNode]

TIMES = 5
"""How often the grain is synthesised and measured again."""
STEP = 4.0
"""Most by which an energy is changed at once."""
MORE = 0.85
"""Share of the grain that is added where pictures are not flat and have kept some of their own."""
SEED = 1000
GUESS = 4.0
"""Grain's energy over what is left of it on a disc, to begin with."""
POWER = 1.0
"""Of a spectrum's step."""
LEAST = 0.02
"""Share of a spectrum's mean below which a frequency hardly counts."""
RIDGE = (0.0, 0.02, 0.02, 0.3, 0.3, 1.0)
"""What holds the terms of such a polynomial down: 1, x2, y2, x4, y4, x2 y2; the last tells of diagonals, which MPEG-2
drops first."""
ENOUGH = 0.05
"""Share of blocks with which a luma bin speaks for itself."""
STIFF = 0.03
"""What a bend of the noise curve costs, against the curve's distance from what was found."""
LEAST_GAIN = 0.3
"""Of what is found by what is given, for the shape of grain."""
APART = (0.0, 1.0, 1.0, 3.0, 3.0, 3.0)
"""The same for what a tone differs by from all together."""
GAUSSIAN = (0.0, 0.0, 0.0, 1e9, 1e9, 1e9)
LAMBDA = 118
"""ffmpeg's Lagrange multiplier of a quantiser_scale_code of 1, the unit of -rc_override."""
MOST = 28
"""Largest quantiser_scale_code that ffmpeg codes with the scales that are not linear."""


def calibrated(
    first: GrainModel,
    wanted: Evidence,
    plain: vs.VideoNode,
    numbers: Sequence[tuple[int, Run]],
    noisy: vs.VideoNode,
    denoise: Denoiser | None,
    coding: Coding | None,
    folder: Path,
    show: bool = False,
) -> GrainModel:
    """Change a model until its grain, through coding and denoising, measures as the disc's did.

    Args:
        first: The model to begin with: the residual as it is.
        wanted: What the disc gave.
        plain: Denoised pictures, runs one after the other, 16 bit.
        numbers: Which of them are measured, with their runs.
        noisy: The same as the disc has them.
        denoise: What made them; None if they are the truth.
        coding: How the disc is coded: each run is coded with the quantisers that the disc has there, or where only
            the rate is known, all at that; None for no coding.
        folder: For temporary files.
        show: Whether to draw a progress bar.
    """
    textured = _textured(plain, folder) if denoise is not None and coding is not None else None
    runs = list(dict.fromkeys(run for _, run in numbers))
    starts = np.cumsum([0, *(run.length for run in runs)]).tolist()
    rate = coding.rate if coding is not None else 0
    read = [coding.quantisers(*run.share) for run in runs] if coding is not None else []
    quantisers = [q for q in read if q is not None]

    def again(model: GrainModel | None) -> Evidence:
        clip = plain if model is None else add_grain(plain, model, seed=SEED)
        if textured is not None:
            # Elsewhere than in flat places the disc's own pictures, so that coding has as much to do as it had.
            more = core.akarin.Expr([noisy, clip, plain], f"x y z - {MORE} * +")
            clip = core.std.MaskedMerge(clip, more, textured)
        eight = clip.resize.Point(format=clip.format.replace(bits_per_sample=8).id)
        through = eight
        if quantisers:
            through = recoded(eight, list(pairwise(starts)), quantisers, folder)
        elif coding is not None:
            through = coded(eight, coding.rate, folder, starts[:-1])
        back = through.resize.Point(format=plain.format.id)
        clean = denoise(back).resize.Point(format=plain.format.id) if denoise is not None else plain
        return pooled([look(back, clean, n, run) for n, run in numbers])

    with progress("calibration", TIMES + 1, show=show) as tell:
        floor = again(None)
        tell(1)
        if _hardly(wanted, floor):
            return replace(first, sigma=(0.0,) * BINS, chroma=(0.0, 0.0), rate=rate)
        model, slope, before = first, np.ones(BINS), None
        if coding is not None:
            left = np.maximum(_levels(wanted) - _levels(floor), 0).sum(0)
            shape, colour = _gaussian(left), _gaussian(np.array(first.chroma_spectrum))
            model = replace(first, spectra=(shape, shape, shape), chroma_spectrum=colour)
            model = replace(model, sigma=as_sigma(GUESS * wanted.band / band_gain(model.spectra)))
        for done in range(TIMES):
            found = again(model)
            tell(done + 2)
            band = np.square(model.sigma) * band_gain(model.spectra)
            if before is not None:
                slope = _slope(before, (band, found.band), wanted.seen, slope)
            before = band, found.band
            model = _corrected(model, wanted, found, floor, slope, None if coding is None else 1 / (done + 1))
        if coding is not None:
            model = replace(model, sigma=_even(model.sigma, wanted.seen))
    return replace(model, rate=rate)


def _even(sigma: tuple[float, ...], seen: Floats) -> tuple[float, ...]:
    """A curve that is smooth where few blocks were seen: penalised least squares of the logarithm (Whittaker 1923)."""
    inside = np.flatnonzero(seen > 0)
    if len(inside) < 4 or not all(sigma):
        return sigma
    part = slice(inside[0], inside[-1] + 1)
    weight = np.diag(np.clip(seen[part] / ENOUGH, 0.01, 1) ** 2)
    bend = np.diff(np.eye(len(weight)), 2, axis=0)
    even = np.linalg.solve(weight + STIFF * bend.T @ bend, weight @ np.log(sigma[part]))
    whole = np.interp(np.arange(BINS), np.arange(part.start, part.stop), np.exp(even))
    return as_sigma(np.square(whole))


def _hardly(wanted: Evidence, floor: Evidence) -> bool:
    """Whether the disc has hardly more in it than pictures without grain have after coding."""
    weight = wanted.seen
    more = float(((wanted.band - floor.band) * weight).sum())
    return more < max(0.01, 0.15 * float((floor.band * weight).sum()))


def _slope(before: tuple[Floats, Floats], now: tuple[Floats, Floats], seen: Floats, slope: Floats) -> Floats:
    """By which power of the grain's energy the measured one grows, by luma: from two tries, smoothed over the bins."""
    across, up = (np.log(np.maximum(b, 1e-4) / np.maximum(a, 1e-4)) for a, b in zip(before, now, strict=True))
    weight = np.abs(across) * (seen > 0)
    near = np.exp(-np.square(np.arange(BINS)[:, None] - np.arange(BINS)[None]) / 8)
    total = near @ (weight * np.abs(across))
    found = np.where(total > 0.01, (near @ (weight * up * np.sign(across))) / np.where(total > 0.01, total, 1), slope)
    return np.clip(found, 0.9, 1.6)


def _corrected(
    model: GrainModel, wanted: Evidence, found: Evidence, floor: Evidence, slope: Floats, much: float | None
) -> GrainModel:
    """A step: every energy changes by what is wanted over what was found, shapes through coding by so `much` of it."""
    band = np.square(model.sigma) * band_gain(model.spectra)
    sure = (wanted.seen > 0) & (found.seen > 0) & (found.band > 0)
    change = np.ones(BINS)
    if sure.any():
        some = np.clip((wanted.band[sure] / found.band[sure]) ** (1 / slope[sure]), 1 / STEP, STEP)
        change = np.interp(np.arange(BINS), np.flatnonzero(sure), some)
    spectra = (
        _reshaped(model.spectra, wanted, found, floor, much)
        if much
        else tuple(_shaped(*parts) for parts in zip(model.spectra, wanted.power, found.power, strict=True))
    )
    variance = band * change / np.maximum(band_gain(spectra), 0.02)
    grown = float(np.sqrt((variance * wanted.seen).sum() / max((np.square(model.sigma) * wanted.seen).sum(), 1e-9)))
    chroma, correlation, shape = list(model.chroma), list(model.correlation), model.chroma_spectrum
    if any(chroma) and grown > 0:
        for k in (0, 1):
            factor = float(np.clip(np.sqrt(wanted.chroma[2 + k] / max(found.chroma[2 + k], 1e-4)), 1 / STEP, STEP))
            chroma[k] = round(float(np.clip(chroma[k] * factor / grown, 0, 4)), 4)
        if much:
            step = _ratio(wanted.colour, found.colour)
            shape = _stepped(shape, much * _fitted(step, _share(shape), RIDGE))
        else:
            shape = _shaped(shape, wanted.colour, found.colour)
        correlation = [
            round(float(np.clip(value + 0.7 * (_rho(wanted, k) - _rho(found, k)), -0.98, 0.98)), 4)
            for k, value in enumerate(correlation)
        ]
    return replace(
        model,
        sigma=as_sigma(variance),
        spectra=(spectra[0], spectra[1], spectra[2]),
        chroma=(chroma[0], chroma[1]),
        chroma_spectrum=shape,
        correlation=(correlation[0], correlation[1], correlation[2]),
        temporal=round(float(np.clip(wanted.temporal - found.temporal, -1, 1)), 4),
    )


def _textured(plain: vs.VideoNode, folder: Path) -> vs.VideoNode:
    """Where pictures are not flat: a mask of 16x16 blocks for all planes."""
    form = plain.format
    blank = plain.std.BlankClip(format=vs.GRAY16, keep=True)

    def draw(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        made = f[1].copy()
        target = np.asarray(made[0])
        blocks = not_flat(f[0])
        grown = np.kron(blocks, np.ones((BLOCK, BLOCK), np.uint16)) * 65535
        padded = np.pad(grown, [(0, a - b) for a, b in zip(target.shape, grown.shape, strict=True)], mode="edge")
        np.copyto(target, padded)
        return made

    luma = kept(blank.std.ModifyFrame([plain, blank], draw), folder / "flat.raw")
    if form.num_planes == 1:
        return luma
    small = luma.resize.Point(plain.width >> form.subsampling_w, plain.height >> form.subsampling_h)
    return core.std.ShufflePlanes([luma, small, small], [0, 0, 0], vs.YUV)


def _rho(evidence: Evidence, k: int) -> float:
    small, uu, vv = evidence.chroma[1:4]
    a, b = ((small, uu), (small, vv), (uu, vv))[k]
    return float(np.clip(evidence.chroma[4 + k] / np.sqrt(a * b), -1, 1)) if a > 1e-6 and b > 1e-6 else 0.0


def _levels(evidence: Evidence) -> Floats:
    """Power by tone and frequency in 8-bit codes, a tone that was seen more having more."""
    return np.asarray((tone_weights(CENTRES) * evidence.seen @ evidence.band)[:, None, None] * evidence.power)


def _ratio(wanted: Floats, found: Floats) -> Floats:
    """By what the logarithm of a shape must change: what is wanted over what was found, whatever their levels."""
    if found.max() <= 0 or wanted.max() <= 0:
        return np.zeros_like(found)
    least = LEAST * found.mean()
    ratio = (wanted / wanted.mean() * found.mean() + least) / (found + least)
    return np.asarray(np.log(np.clip(ratio, 1 / STEP, STEP)))


def _stepped(spectrum: Spectrum, step: Floats) -> Spectrum:
    return spectrum_of(np.array(spectrum) * np.exp(POWER * step))


def _share(spectrum: Spectrum) -> Floats:
    """What each frequency counts: the root of its power."""
    table = np.array(spectrum)
    return np.asarray(np.sqrt(table / table.max()))


def _reshaped(
    spectra: Sequence[Spectrum], wanted: Evidence, found: Evidence, floor: Evidence, much: float
) -> tuple[Spectrum, ...]:
    """A step of the spectra through coding, or so `much` of one: each less than the last, lest noise collect.

    MPEG-2 leaves hardly anything of the finest grain, so that what is found there tells of coding alone. Therefore a
    polynomial of the logarithm is fitted, most by the frequencies that have most power and tell most, and carries on
    into the others; first to all tones together, then, held down more, to what each of them differs by.
    """
    steps = [_ratio(*powers) for powers in zip(wanted.power, found.power, strict=True)]
    tells = np.square(np.clip(1 - _levels(floor) / np.maximum(_levels(found), 1e-9), 0.05, 1))
    shares = [_share(spectrum) for spectrum in spectra]
    weights = [tell * share for tell, share in zip(tells, shares, strict=True)]
    seen = tone_weights(CENTRES) @ wanted.seen
    total = sum(part * weight for part, weight in zip(seen, weights, strict=True))
    mean = sum(part * weight * step for part, weight, step in zip(seen, weights, steps, strict=True))
    common = _fitted(mean / np.maximum(total, 1e-9), total / max(seen.sum(), 1e-9), RIDGE)
    # Where little is told of grain, what is found hardly follows it, and a step must be so much the longer.
    whole = sum(part * share for part, share in zip(seen, shares, strict=True))
    gain = float(np.clip(total.sum() / max(whole.sum(), 1e-9), LEAST_GAIN, 1))
    return tuple(
        _stepped(spectrum, (common + _fitted(step - common, weight, APART)) * much / gain)
        for spectrum, weight, step in zip(spectra, weights, steps, strict=True)
    )


def _shaped(spectrum: Spectrum, wanted: Floats, found: Floats) -> Spectrum:
    """A spectrum's step without coding: every frequency by itself."""
    return _stepped(spectrum, _ratio(wanted, found))


_X, _Y = (np.square(part / (GRID // 2)) for part in np.meshgrid(*[np.arange(GRID // 2 + 1.0)] * 2))
_BASIS = np.stack([np.ones_like(_X), _X, _Y, _X**2, _Y**2, _X * _Y], -1).reshape(-1, 6)


def _fitted(logarithm: Floats, weight: Floats, ridge: Sequence[float]) -> Floats:
    """An even polynomial of fourth degree in both frequencies, weighted least squares."""
    weight = np.maximum(weight, 0.003)
    weight[0, 0], weight[0, 1], weight[1, 0], weight[1, 1] = 0.0, 0.3, 0.3, 0.5  # where pictures have detail
    w = weight.reshape(-1, 1)
    system = _BASIS.T @ (w * _BASIS) + np.diag(ridge)
    found = np.linalg.solve(system, _BASIS.T @ (w[:, 0] * logarithm.reshape(-1)))
    return np.asarray((_BASIS @ found).reshape(logarithm.shape))


def _gaussian(power: Floats) -> Spectrum:
    """The grain to begin with: Gaussian, as wide in each direction as what has most of a table's power."""
    if power.max() <= 0:
        return WHITE
    table = np.maximum(power / power.max(), 1e-4)
    fit = _fitted(np.log(table), table**2, GAUSSIAN)
    # The logarithm of a Gaussian's power falls by the square of pi times its radius up to half a cycle a sample.
    down, across = (float(np.sqrt(np.clip(fit[0, 0] - end, 0, 20)) / np.pi) for end in (fit[-1, 0], fit[0, -1]))
    return normalised(np.outer(np.array(gaussian_spectrum(down))[:, 0], gaussian_spectrum(across)[0]))


def coded(clip: vs.VideoNode, rate: int, folder: Path, keys: Sequence[int] = ()) -> vs.VideoNode:
    """A clip of 8 bits through MPEG-2 and back, two passes at a rate, as a DVD's video is coded."""
    ratio = Fraction(clip.fps_num or 24000, clip.fps_den or 1001) if clip.fps_num else FILM
    raw, stream = folder / "grain.y4m", folder / "grain.m2v"
    fps = _written(clip, raw)
    words: list[str | Path] = ["-b:v", str(round(rate * fps / ratio)), "-maxrate", str(max(9_300_000, rate))]
    words += ["-bufsize", "1835008", "-passlogfile", folder / "grain"]
    if any(keys):
        words += ["-force_key_frames", ",".join(f"{float((k - Fraction(1, 4)) / fps):.6f}" for k in keys if k)]
    for number, target in ((1, Path(os.devnull)), (2, stream)):
        _encode(raw, [*words, "-pass", str(number)], target)
    return _decoded(stream, clip)


def recoded(
    clip: vs.VideoNode, stretches: Sequence[tuple[int, int]], quantisers: Sequence[Quantisers], folder: Path
) -> vs.VideoNode:
    """A clip of 8 bits through MPEG-2 and back, each stretch of it coded by itself with given quantisers."""

    def one(k: int) -> bytes:
        first, stop = stretches[k]
        raw, stream = folder / f"{k}.y4m", folder / f"{k}.m2v"
        _written(clip[first:stop], raw)
        intra, predicted, between = quantisers[k]
        # Quantisers are whole codes: along the pictures those above and below take turns. An I picture after the first
        # takes the P's before it, times the factor.
        kinds = [predicted if n % 3 == 0 or n == stop - first - 1 else between for n in range(stop - first)]
        steps = "/".join(f"{n},{n},{LAMBDA * code}" for n, code in enumerate(_codes(kinds)))
        words = ["-b:v", "20M", "-qmin", "1", "-qdiff", "31", "-qblur", "0", "-b_qfactor", "-1", "-rc_override", steps]
        _encode(raw, [*words, "-i_qfactor", f"{-intra / predicted:.4f}"], stream)
        raw.unlink()
        return stream.read_bytes()

    with ThreadPoolExecutor(2) as pool:
        (folder / "grain.m2v").write_bytes(b"".join(pool.map(one, range(len(stretches)))))
    return _decoded(folder / "grain.m2v", clip)


def _codes(scales: Sequence[float]) -> list[int]:
    """quantiser_scale_code for each picture, such that the scales of each kind have their mean."""
    owed: dict[float, float] = {}
    found = []
    for scale in scales:
        wanted = scale + owed.get(scale, 0.0)
        code = min(range(1, MOST + 1), key=lambda k: abs(SCALES[k] - wanted))
        owed[scale] = wanted - SCALES[code]
        found.append(code)
    return found


def _written(clip: vs.VideoNode, path: Path) -> Fraction:
    """Write a clip for the encoder, at the rate of MPEG-2 nearest to its own; return that."""
    ratio = Fraction(clip.fps_num, clip.fps_den) if clip.fps_num else FILM
    fps = min((FILM, PAL, NTSC), key=lambda known: abs(known - ratio))
    four = clip.resize.Bilinear(format=vs.YUV420P8) if clip.format.id != vs.YUV420P8 else clip
    with path.open("wb") as file:
        four.std.AssumeFPS(fpsnum=fps.numerator, fpsden=fps.denominator).output(file, y4m=True)
    return fps


def _encode(raw: Path, words: Sequence[str | Path], stream: Path) -> None:
    """Run ffmpeg's mpeg2video with what all encodes have in common."""
    common = ["-g", "12", "-bf", "2", "-sc_threshold", "1000000000", "-intra_vlc", "1", "-non_linear_quant", "1"]
    common += ["-qmax", str(MOST), "-dc", "10", "-f", "mpeg2video"]
    start: list[str | Path] = ["ffmpeg", "-v", "error", "-y", "-i", raw, "-c:v", "mpeg2video", "-threads", "1"]
    run([*start, *words, *common, stream], "measure_grain")


def _decoded(stream: Path, like: vs.VideoNode) -> vs.VideoNode:
    require("bs.VideoSource", "measure_grain")
    made = core.bs.VideoSource(str(stream), cachemode=0)
    return made.resize.Bilinear(format=like.format.id) if made.format.id != like.format.id else made
