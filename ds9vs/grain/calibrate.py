"""What a denoiser and MPEG-2 do to grain, undone: synthesise, code at the disc's rate, measure again, correct.

May import the ground rooms and its neighbours. Encodes with ffmpeg's mpeg2video into a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..files import progress, run
from ..plugins import require
from ..timing import FILM, NTSC, PAL
from .evidence import BLOCK, Evidence, as_sigma, band_gain, look, not_flat, pooled, spectrum_of
from .model import BINS, GRID, GrainModel, Spectrum
from .runs import Run, kept
from .synthesise import add_grain

__all__ = ["calibrated", "coded"]

type Floats = NDArray[np.float64]
type Denoiser = Callable[[vs.VideoNode], vs.VideoNode]

TIMES = 4
"""How often the grain is synthesised and measured again."""
STEP = 4.0
"""Most by which an energy is changed at once."""
MORE = 0.85
"""Share of the grain that is added where pictures are not flat and have kept some of their own."""
SEED = 1000
GUESS = 2.0
"""Grain's energy over what is left of it on a disc, to begin with."""
POWER = 0.8
"""Of a spectrum's step."""
LEAST = 0.02
"""Share of a spectrum's mean below which a frequency hardly counts."""


def calibrated(
    first: GrainModel,
    wanted: Evidence,
    plain: vs.VideoNode,
    numbers: Sequence[tuple[int, Run]],
    noisy: vs.VideoNode,
    denoise: Denoiser | None,
    rate: int | None,
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
        rate: Bits a second; None for no coding.
        folder: For temporary files.
        show: Whether to draw a progress bar.
    """
    textured = _textured(plain, folder) if denoise is not None and rate is not None else None
    starts = [n for n, (at, _) in enumerate(numbers) if n == 0 or numbers[n - 1][1] is not numbers[n][1]]
    keys = [numbers[n][0] - numbers[n][1].measured(0)[0] for n in starts]

    def again(model: GrainModel | None) -> Evidence:
        clip = plain if model is None else add_grain(plain, model, seed=SEED)
        if textured is not None:
            # Elsewhere than in flat places the disc's own pictures, so that coding has as much to do as it had.
            more = core.akarin.Expr([noisy, clip, plain], f"x y z - {MORE} * +")
            clip = core.std.MaskedMerge(clip, more, textured)
        eight = clip.resize.Point(format=clip.format.replace(bits_per_sample=8).id)
        through = coded(eight, rate, folder, keys) if rate is not None else eight
        back = through.resize.Point(format=plain.format.id)
        clean = denoise(back).resize.Point(format=plain.format.id) if denoise is not None else plain
        return pooled([look(back, clean, n, run) for n, run in numbers])

    with progress("calibration", TIMES + 1, show=show) as tell:
        floor = again(None)
        tell(1)
        if _hardly(wanted, floor):
            return replace(first, sigma=(0.0,) * BINS, chroma=(0.0, 0.0), rate=rate or 0)
        model, slope, before = first, np.ones(BINS), None
        if rate is not None:
            shapes = [_smooth(spectrum) for spectrum in (*first.spectra, first.chroma_spectrum)]
            model = replace(first, spectra=(shapes[0], shapes[1], shapes[2]), chroma_spectrum=shapes[3])
            model = replace(model, sigma=as_sigma(GUESS * wanted.band / band_gain(model.spectra)))
        for done in range(TIMES):
            found = again(model)
            tell(done + 2)
            band = np.square(model.sigma) * band_gain(model.spectra)
            if before is not None:
                slope = _slope(before, (band, found.band), wanted.seen, slope)
            before = band, found.band
            model = _corrected(model, wanted, found, floor, slope, rate is not None)
    return replace(model, rate=rate or 0)


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
    return np.clip(found, 0.5, 1.6)


def _corrected(
    model: GrainModel, wanted: Evidence, found: Evidence, floor: Evidence, slope: Floats, smooth: bool
) -> GrainModel:
    """A step: every energy changes by what is wanted over what was found."""
    band = np.square(model.sigma) * band_gain(model.spectra)
    sure = (wanted.seen > 0) & (found.seen > 0) & (found.band > 0)
    change = np.ones(BINS)
    if sure.any():
        some = np.clip((wanted.band[sure] / found.band[sure]) ** (1 / slope[sure]), 1 / STEP, STEP)
        change = np.interp(np.arange(BINS), np.flatnonzero(sure), some)
    spectra = tuple(
        _shaped(spectrum, want, got, smooth)
        for spectrum, want, got in zip(model.spectra, wanted.power, found.power, strict=True)
    )
    variance = band * change / np.maximum(band_gain(spectra), 0.02)
    grown = float(np.sqrt((variance * wanted.seen).sum() / max((np.square(model.sigma) * wanted.seen).sum(), 1e-9)))
    chroma, correlation, shape = list(model.chroma), list(model.correlation), model.chroma_spectrum
    if any(chroma) and grown > 0:
        for k in (0, 1):
            factor = float(np.clip(np.sqrt(wanted.chroma[2 + k] / max(found.chroma[2 + k], 1e-4)), 1 / STEP, STEP))
            chroma[k] = round(float(np.clip(chroma[k] * factor / grown, 0, 4)), 4)
        shape = _shaped(shape, wanted.colour, found.colour, smooth)
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


def _shaped(spectrum: Spectrum, wanted: Floats, found: Floats, smooth: bool) -> Spectrum:
    """A spectrum's step: by what is wanted over what was found.

    MPEG-2 leaves hardly anything of the finest grain, so that what is found there tells of coding alone; with `smooth`
    a polynomial of the logarithm is fitted, most by the frequencies that have most power, and carries on into those.
    """
    table = np.array(spectrum)
    if found.max() <= 0 or wanted.max() <= 0:
        return spectrum
    least = LEAST * found.mean()
    ratio = np.clip((wanted / wanted.mean() * found.mean() + least) / (found + least), 1 / STEP, STEP)
    if not smooth:
        return spectrum_of(table * ratio**POWER)
    return spectrum_of(table * np.exp(POWER * _fitted(np.log(ratio), table)))


_X, _Y = (np.square(part / (GRID // 2)) for part in np.meshgrid(*[np.arange(GRID // 2 + 1.0)] * 2))
_BASIS = np.stack([np.ones_like(_X), _X, _Y, _X**2, _Y**2, _X * _Y], -1).reshape(-1, 6)


def _fitted(logarithm: Floats, table: Floats) -> Floats:
    """An even polynomial of fourth degree in both frequencies, least squares weighted by power."""
    weight = np.sqrt(np.maximum(table / table.max(), 0.003))
    weight[0, 0], weight[0, 1], weight[1, 0], weight[1, 1] = 0.0, 0.3, 0.3, 0.5  # where pictures have detail
    w = weight.reshape(-1, 1)
    ridge = np.diag([0.0, 0.02, 0.02, 0.3, 0.3, 0.3])
    system = _BASIS.T @ (w * _BASIS) + ridge
    found = np.linalg.solve(system, _BASIS.T @ (w[:, 0] * logarithm.reshape(-1)))
    return np.asarray((_BASIS @ found).reshape(logarithm.shape))


def _smooth(spectrum: Spectrum) -> Spectrum:
    """A spectrum as such a polynomial."""
    table = np.maximum(np.array(spectrum), 1e-4)
    return spectrum_of(np.exp(_fitted(np.log(table), table**2)))


def coded(clip: vs.VideoNode, rate: int, folder: Path, keys: Sequence[int] = ()) -> vs.VideoNode:
    """A clip of 8 bits through MPEG-2 and back, two passes, as a DVD's video is coded."""
    require("bs.VideoSource", "measure_grain")
    ratio = Fraction(clip.fps_num or 24000, clip.fps_den or 1001) if clip.fps_num else FILM
    fps = min((FILM, PAL, NTSC), key=lambda known: abs(known - ratio))
    four = clip.resize.Bilinear(format=vs.YUV420P8) if clip.format.id != vs.YUV420P8 else clip
    raw, stream = folder / "grain.y4m", folder / "grain.m2v"
    with raw.open("wb") as file:
        four.std.AssumeFPS(fpsnum=fps.numerator, fpsden=fps.denominator).output(file, y4m=True)
    words: list[str | Path] = ["ffmpeg", "-v", "error", "-y", "-i", raw, "-c:v", "mpeg2video", "-threads", "1"]
    words += ["-b:v", str(round(rate * fps / ratio)), "-maxrate", str(max(9_300_000, rate)), "-bufsize", "1835008"]
    words += ["-g", "12", "-bf", "2", "-sc_threshold", "1000000000", "-intra_vlc", "1", "-non_linear_quant", "1"]
    words += ["-qmax", "28", "-dc", "10", "-passlogfile", folder / "grain"]
    if any(keys):
        words += ["-force_key_frames", ",".join(f"{float((k - Fraction(1, 4)) / fps):.6f}" for k in keys if k)]
    for number, target in ((1, ["-f", "null", "-"]), (2, ["-f", "mpeg2video", stream])):
        run([*words, "-pass", str(number), *target], "measure_grain")
    decoded = core.bs.VideoSource(str(stream), cachemode=0)
    return decoded.resize.Bilinear(format=clip.format.id) if decoded.format.id != clip.format.id else decoded
