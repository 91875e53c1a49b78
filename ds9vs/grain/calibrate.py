"""What a denoiser and MPEG-2 do to grain, undone: synthesise, code at the disc's rate, measure again, correct.

May import the ground rooms and its neighbours. Encodes with ffmpeg's mpeg2video into a temporary folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..errors import CustomValueError
from ..files import progress, run
from ..plugins import require
from ..timing import FILM, NTSC, PAL
from .coding import GOP, SCALES, Coding, b_run
from .evidence import BLOCK, Evidence, as_sigma, band_gain, look, not_flat, pooled, spectrum_of
from .model import BINS, CENTRES, GrainModel, Spectrum, gaussian_spectrum, normalised, tone_weights
from .runs import Run, kept, numbered, shown_fields
from .synthesise import add_grain

__all__ = ["Plan", "calibrated", "coded", "denoised", "pulldown", "recoded", "telecined", "woven"]

type Floats = NDArray[np.float64]
type Denoiser = Callable[[vs.VideoNode], vs.VideoNode]

TIMES = 6
"""How often the grain is synthesised and measured again."""
STEP = 4.0
"""Most by which an energy is changed at once."""
MORE = 0.85
"""Share of the grain that is added where pictures are not flat and have kept some of their own."""
LAST = 3
"""Of how many of the last tries the mean is taken."""
TWICE = 3
"""Which time the pictures that grain is put on are denoised once more."""
SLOPE = 48
"""Chroma samples from one whole code to the next and back, in pictures that grain is put on."""
SEED = 1000
GUESS = 7.0
"""Grain's energy over what is left of it on a disc, to begin with."""
LOST = 0.04
"""Samples by which the radius of grain that coding has left is too small, for coarse specks lose most."""
LARGEST = 4.0
"""Largest square of a radius."""
LEAST = 0.02
"""Share of a spectrum's mean below which a frequency hardly counts."""
TURN, BUMP = 2, 0.15
"""Which time specks are made larger, once down and once across, to see what that changes; by how much: their size is
the square of a radius."""
POWER, COLOUR = (0.2, 15.0), (0.3, 15.0)
"""How unsure the logarithm of a measured power is, in luma and in chroma: always; times the square of the share of it
that coding leaves without grain."""
FEWER = 4.0
"""The same over the root of the number of luma's windows."""
WIDE, ALIKE, ROUND = 0.25, 0.025, 0.05
"""By how much a size differs from the first guess; from tone to tone; down from across."""
FINE = 0.2
"""By how much chroma's size differs from that of luma's specks in samples twice as wide and high, each a mean of two by
two."""
USUAL, SPREAD = 0.45, 0.38
"""Chroma's deviation over luma's, to which it is held where its own hardly changes what coding leaves: three emulsions
with grain of their own give 0.6, averaged over two by two samples, and a tape's bandwidth takes a quarter; how unsure
the logarithm of that is."""
NONE, LITTLE = 0.75, 1.5e-4
"""Share of the energy in chroma that coding leaves without grain, from which on there may be none in it, so that
nothing is held to what is usual; what nobody can tell from nothing, in squares of 8-bit codes."""
TOLD = (0.15, 0.5)
"""How unsure the logarithm of chroma's measured deviation is: always; times the square of that share."""
SURE, RESTS, FEW = 0.01, 0.15, 0.003
"""How unsure a luma bin's deviation is, as a share of it: always; times what coding leaves over what grain adds; over
the root of the share of blocks."""
UNSURE = 0.12
"""From which of that on a bin is told to be carried on from its neighbours."""
STIFF = 0.12
"""How much a noise curve bends from bin to bin, as a share of it."""
_NEAR = np.exp(-np.square(np.arange(BINS)[:, None] - np.arange(BINS)[None]) / 8)
"""What a luma bin counts for another."""
LAMBDA = 118
"""ffmpeg's Lagrange multiplier of a quantiser_scale_code of 1, the unit of -rc_override."""
MOST = 28
"""Largest quantiser_scale_code that ffmpeg codes with the scales that are not linear."""


def calibrated(
    first: GrainModel,
    wanted: Evidence,
    plain: vs.VideoNode,
    runs: Sequence[Run],
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
        runs: The runs, in their order in `plain`.
        noisy: The same as the disc has them.
        denoise: What made them; None if they are the truth.
        coding: How the disc is coded: each run is coded with the quantisers that the disc has there, or where only
            the rate is known, all at that; None for no coding.
        folder: For temporary files.
        show: Whether to draw a progress bar.
    """
    textured = None
    if denoise is not None and coding is not None:
        plain, textured = _off_the_codes(plain), _textured(plain, folder / "flat.raw")
    starts, places = np.cumsum([0, *(run.length for run in runs)]).tolist(), numbered(runs)
    rate = coding.rate if coding is not None else 0
    read = [_plan(plain, run, coding) for run in runs] if coding is not None else []
    plans = [plan for plan in read if plan is not None]

    def disc(
        model: GrainModel | None,
        seed: int = SEED,
        plain: vs.VideoNode = plain,
        noisy: vs.VideoNode = noisy,
        textured: vs.VideoNode | None = textured,
    ) -> vs.VideoNode:
        """A model's grain as a disc has it."""
        clip = plain if model is None else add_grain(plain, model, seed=seed)
        if textured is not None:
            # Elsewhere than in flat places the disc's own pictures, so that coding has as much to do as it had.
            more = core.akarin.Expr([noisy, clip, plain], f"x y z - {MORE} * +")
            clip = core.std.MaskedMerge(clip, more, textured)
        eight = clip.resize.Point(format=clip.format.replace(bits_per_sample=8).id)
        through = eight
        if plans:
            through = recoded(eight, list(pairwise(starts)), plans, folder)
        elif coding is not None:
            through = coded(eight, coding.rate, folder, starts[:-1])
        return through.resize.Point(format=plain.format.id)

    def measured(back: vs.VideoNode) -> Evidence:
        clean = denoised(back, denoise) if denoise is not None else plain
        return pooled([look(back, clean, *place) for place in places])

    with progress("calibration", TIMES + 1, show=show) as tell:
        floor = measured(disc(None))
        tell(1)
        if _hardly(wanted, floor):
            return replace(first, sigma=(0.0,) * BINS, chroma=(0.0, 0.0), rate=rate)
        model, answer, sizes, slopes = first, _Answer(np.ones(BINS), 1.0), np.zeros((4, 2)), None
        if coding is not None:
            left = np.maximum(_levels(wanted) - _levels(floor), 0).sum(0)
            sizes = np.array([*[_size(left)] * 3, _size(np.array(first.chroma_spectrum))])
            model = _sized(replace(first, sigma=as_sigma(GUESS * np.square(first.sigma))), sizes, wanted.seen)
        before: tuple[GrainModel, Evidence] | None = None
        tries: list[GrainModel] = []
        for done in range(TIMES):
            seed = SEED + 10 * done
            back = disc(model, seed)
            found = measured(back)
            if done == TURN and coding is not None:
                larger = [_sized(model, sizes + step, wanted.seen) for step in BUMP * np.eye(2)]
                turned = [measured(disc(one, seed)) for one in larger]
                slopes = _Slopes(found, turned, floor, wanted.seen, sizes[:3])
            if done == TWICE and denoise is not None and coding is not None:
                narrow = back.resize.Point(format=back.format.replace(bits_per_sample=8).id)
                back = kept(narrow, folder / "back.raw").resize.Point(format=plain.format.id)
                again = kept(denoised(denoised(back, denoise), denoise), folder / "again.raw")
                flat = _textured(again, folder / "again_flat.raw")
                wanted = _unbiased(wanted, found, measured(disc(model, seed + 1, _off_the_codes(again), back, flat)))
            tell(done + 2)
            if before is not None:
                answer = _answer(before, (model, found), wanted.seen, answer)
            if slopes is not None:
                turn = slopes.turn(wanted, found, sizes)
                model, sizes, found = (
                    _sized(model, sizes + turn, wanted.seen),
                    sizes + turn,
                    slopes.expected(found, turn),
                )
            before = model, found
            model = _corrected(model, wanted, found, answer, floor if coding is not None else None)
            tries.append(model)
        if coding is not None:
            model = _even(_mean(tries[-LAST:]), wanted, floor)
    return replace(model, rate=rate)


def _unbiased(wanted: Evidence, found: Evidence, other: Evidence) -> Evidence:
    """What denoising does to the pictures that grain is put on, taken out.

    It leaves some grain in them and takes faint texture away, which both show in what is measured. Denoised once more,
    from grain that is known, they show what that changes: `other` over `found`, which holds for the disc as well.
    """
    near = _NEAR * wanted.seen
    change = _over(other.band, found.band, 1e-4) * (found.seen > 0) * (other.seen > 0)
    total = near.sum(1)
    even = np.where(total > 0, near @ change / np.where(total > 0, total, 1), 0)
    chroma = wanted.chroma.copy()
    for k in (2, 3):
        chroma[k] *= np.clip(other.chroma[k] / max(found.chroma[k], 1e-6), 0.6, 1.2)
    return replace(wanted, band=wanted.band * np.exp(np.clip(even, -0.2, 0.2)), chroma=chroma)


def _mean(models: Sequence[GrainModel]) -> GrainModel:
    """The mean of models: each has an error of its own, since coding is never twice the same."""

    def mean(value: Callable[[GrainModel], object]) -> Floats:
        return np.asarray(np.mean([value(model) for model in models], 0))

    shadows, middle, lights = (normalised(table) for table in mean(lambda m: m.spectra))
    chroma, correlation = mean(lambda m: m.chroma), mean(lambda m: m.correlation)
    return replace(
        models[-1],
        sigma=as_sigma(mean(lambda m: np.square(m.sigma))),
        spectra=(shadows, middle, lights),
        chroma=(round(float(chroma[0]), 4), round(float(chroma[1]), 4)),
        chroma_spectrum=normalised(mean(lambda m: m.chroma_spectrum)),
        correlation=tuple(np.round(correlation, 4).tolist()),
    )


def _even(model: GrainModel, wanted: Evidence, floor: Evidence) -> GrainModel:
    """A noise curve that is smooth where little is known: penalised least squares (Whittaker 1923).

    A bin is the less sure the fewer blocks it has and the more of what was found in them coding leaves without grain.
    """
    inside = np.flatnonzero(wanted.seen > 0)
    if len(inside) < 4 or not all(model.sigma):
        return model
    part = slice(inside[0], inside[-1] + 1)
    rest = np.minimum(floor.band / np.maximum(wanted.band, 1e-4), 0.9)[part]
    sigma, seen = np.array(model.sigma)[part], np.maximum(wanted.seen[part], 1e-5)
    unsure = np.square(SURE) + np.square(RESTS * rest / (1 - rest)) + np.square(FEW) / seen
    weight = np.diag(1 / (unsure * np.square(sigma)))
    usual = float(np.average(sigma, weights=seen))
    bend = np.diff(np.eye(len(sigma)), 2, axis=0) / (STIFF * usual)
    even = np.maximum(np.linalg.solve(weight + bend.T @ bend, weight @ sigma), sigma / 4)
    whole = np.interp(np.arange(BINS), np.arange(part.start, part.stop), even)
    weak = [f"{CENTRES[k]:.0f}" for k in np.arange(part.start, part.stop)[np.sqrt(unsure) > UNSURE]]
    said = (f"sigma at luma {', '.join(weak)} is mostly carried on from its neighbours",) if weak else ()
    return replace(model, sigma=as_sigma(np.square(whole)), notes=said)


def _hardly(wanted: Evidence, floor: Evidence) -> bool:
    """Whether the disc has hardly more in it than pictures without grain have after coding."""
    weight = wanted.seen
    more = float(((wanted.band - floor.band) * weight).sum())
    return more < max(0.01, 0.15 * float((floor.band * weight).sum()))


@dataclass(frozen=True, slots=True)
class _Answer:
    """By which power what is measured grows with the model's grain, through coding and denoising."""

    luma: Floats
    """Energy, by luma bin."""
    chroma: float
    """Deviation of chroma."""


def _answer(
    before: tuple[GrainModel, Evidence], now: tuple[GrainModel, Evidence], seen: Floats, known: _Answer
) -> _Answer:
    """The same from two tries; where these hardly differ, what was known."""

    def change(value: Callable[[GrainModel, Evidence], Floats]) -> Floats:
        return _over(value(*now), value(*before), 1e-4)

    across = change(lambda m, e: np.square(m.sigma) * band_gain(m.spectra))
    up = change(lambda m, e: e.band)
    weight = np.abs(across) * (seen > 0)
    total = _NEAR @ (weight * np.abs(across))
    luma = np.where(total > 0.01, (_NEAR @ (weight * up * np.sign(across))) / np.maximum(total, 0.01), known.luma)
    grown = float(change(lambda m, e: _colour(m, seen)).sum())
    seen_more = float(change(lambda m, e: np.sqrt(e.chroma[2:4])).sum())
    chroma = seen_more / grown if abs(grown) > 0.1 else known.chroma
    return _Answer(np.clip(luma, 0.9, 1.6), float(np.clip(chroma, 0.1, 1.5)))


def _colour(model: GrainModel, seen: Floats) -> Floats:
    """Deviations of U and V."""
    return np.asarray(np.sqrt((np.square(model.sigma) * seen).sum()) * np.array(model.chroma))


class _Slopes:
    """What changes in what is measured when specks grow, down or across: derivatives of logarithms by their size."""

    def __init__(
        self, found: Evidence, larger: Sequence[Evidence], floor: Evidence, seen: Floats, guess: Floats
    ) -> None:
        def change(value: Callable[[Evidence], Floats]) -> Floats:
            return np.stack([_over(value(one), value(found)) for one in larger]) / BUMP

        near = _NEAR * seen
        self.floor, self.guess = floor, guess
        self.seen = np.maximum(tone_weights(CENTRES) @ seen, 0.01)
        self.power = np.average(change(lambda e: e.power), 1, self.seen)
        self.colour = change(lambda e: e.colour)
        self.band = change(lambda e: e.band) @ (near / near.sum(1, keepdims=True)).T
        self.chroma = change(lambda e: e.chroma[2:4])

    def turn(self, wanted: Evidence, found: Evidence, sizes: Floats) -> Floats:
        """By what the sizes of shadows, middle, lights and chroma change, down and across: least squares.

        The level of each is left free, for it has its own correction.
        """
        luma, now = _Squares(9), sizes[:3]
        rest = _levels(self.floor) / np.maximum(_levels(wanted), 1e-6)
        for tone, own in enumerate(np.eye(3)):
            columns = [*(np.multiply.outer(own[k], slope) for k in range(3) for slope in self.power)]
            columns += [np.full_like(rest[0], value) for value in own]
            unsure = POWER[0] + POWER[1] * np.square(np.minimum(rest[tone], 1))
            unsure += FEWER / np.sqrt(max(wanted.windows[tone], 1))
            luma.add(columns, _over(wanted.power[tone], found.power[tone]), unsure)
        each = np.eye(6, 9)
        others = np.kron(np.eye(3) - 1 / 3, np.eye(2)) @ each
        luma.add(each.T, (self.guess - now).reshape(-1), WIDE)
        luma.add(others.T, (now.mean(0) - now).reshape(-1), ALIKE)
        luma.add((each[::2] - each[1::2]).T, now[:, 1] - now[:, 0], ROUND)
        turned = luma.solved()[:6].reshape(3, 2)
        colour = _Squares(3)
        rest = np.minimum(self.floor.colour / np.maximum(wanted.colour, 1e-6), 1)
        unsure = COLOUR[0] + COLOUR[1] * np.square(rest)
        colour.add([*self.colour, np.ones_like(rest)], _over(wanted.colour, found.colour), unsure)
        usual = (np.average(now + turned, 0, self.seen) + 1 / 3) / 4
        colour.add(np.eye(3, 2), usual - sizes[3], FINE)
        turned = np.vstack([turned, colour.solved()[:2]])
        return np.asarray(np.clip(sizes + turned, 0, LARGEST) - sizes)

    def expected(self, found: Evidence, turn: Floats) -> Evidence:
        """What is found after such a change."""
        more = ((tone_weights(CENTRES).T @ turn[:3]) * self.band.T).sum(1)
        chroma = found.chroma.copy()
        chroma[2:4] *= np.exp(turn[3] @ self.chroma)
        return replace(found, band=found.band * np.exp(more), chroma=chroma)


class _Squares:
    """Equations for some unknowns, each as sure as is said."""

    def __init__(self, unknowns: int) -> None:
        self.rows, self.values = [np.zeros((0, unknowns))], [np.zeros(0)]

    def add(self, columns: Iterable[Floats], values: Floats, unsure: Floats | float) -> None:
        """As many equations as there are values: for each unknown the factors in all of them."""
        sure = np.ones(values.size) / np.broadcast_to(unsure, values.shape).reshape(-1)
        self.rows.append(np.stack([column.reshape(-1) for column in columns], 1) * sure[:, None])
        self.values.append(values.reshape(-1) * sure)

    def solved(self) -> Floats:
        return np.asarray(np.linalg.lstsq(np.vstack(self.rows), np.concatenate(self.values))[0])


def _over(wanted: Floats, found: Floats, least: float = 1e-6) -> Floats:
    """The logarithm of a ratio, both at `least` that."""
    return np.asarray(np.log(np.maximum(wanted, least) / np.maximum(found, least)))


def _size(power: Floats) -> Floats:
    """The squares of the radii, down and across, of grain that coding has left so much of."""
    table = np.maximum(power / max(power.max(), 1e-9), 1e-4)
    radii = np.linspace(0.2, 1.5, 66)
    lines = np.log(np.maximum([gaussian_spectrum(0, r)[0] for r in radii], 1e-4))
    off = (np.log(table) - lines[:, None, :, None] - lines[None, :, None, :]).reshape(len(radii), len(radii), -1)
    weight = np.maximum(np.square(table), 0.003)
    weight[:2, :2] = [[0.0, 0.1], [0.1, 0.2]]  # where pictures have detail and coding its noise
    weight = weight.reshape(-1) / weight.sum()
    found = np.unravel_index(((off - (off @ weight)[..., None]) ** 2 @ weight).argmin(), off.shape[:2])
    return np.square(radii[list(found)] + LOST)


def _sized(model: GrainModel, sizes: Floats, seen: Floats) -> GrainModel:
    """A model with other sizes of specks, as much of it where it is measured, and as much in chroma."""
    shadows, middle, lights, chroma = (gaussian_spectrum(*np.sqrt(size)) for size in sizes)
    spectra = shadows, middle, lights
    variance = np.square(model.sigma) * band_gain(model.spectra) / np.maximum(band_gain(spectra), 0.02)
    share = _grown(model, variance, seen)
    return replace(
        model,
        sigma=as_sigma(variance),
        spectra=spectra,
        chroma=(min(model.chroma[0] / share, 4.0), min(model.chroma[1] / share, 4.0)),
        chroma_spectrum=chroma,
    )


def _grown(model: GrainModel, variance: Floats, seen: Floats) -> float:
    """By what the deviation grows if these are the variances."""
    return float(np.sqrt((variance * seen).sum() / max((np.square(model.sigma) * seen).sum(), 1e-9))) or 1


def _corrected(
    model: GrainModel, wanted: Evidence, found: Evidence, answer: _Answer, floor: Evidence | None
) -> GrainModel:
    """A step: every energy changes by what is wanted over what was found.

    Without coding (no `floor`) the spectra do so as well, frequency by frequency. Behind coding chroma is held to what
    is usual, for what is left of it hardly tells how much it was.
    """
    band = np.square(model.sigma) * band_gain(model.spectra)
    sure = (wanted.seen > 0) & (found.seen > 0) & (found.band > 0)
    change = np.ones(BINS)
    if sure.any():
        some = np.clip((wanted.band[sure] / found.band[sure]) ** (1 / answer.luma[sure]), 1 / STEP, STEP)
        change = np.interp(np.arange(BINS), np.flatnonzero(sure), some)
    spectra, colour = model.spectra, model.chroma_spectrum
    if floor is None:
        shadows, middle, lights = (_shaped(*parts) for parts in zip(spectra, wanted.power, found.power, strict=True))
        spectra, colour = (shadows, middle, lights), _shaped(colour, wanted.colour, found.colour)
    variance = band * change / np.maximum(band_gain(spectra), 0.02)
    grown = _grown(model, variance, wanted.seen)
    chroma, correlation = list(model.chroma), list(model.correlation)
    if any(chroma):
        for k in (0, 1):
            more = _over(wanted.chroma[2 + k], found.chroma[2 + k], 1e-4) / 2
            if floor is None:
                more = more / answer.chroma
            elif chroma[k]:
                seen = max(wanted.chroma[2 + k], LITTLE)
                rest = min(floor.chroma[2 + k] / seen, 1)
                told = (TOLD[0] + TOLD[1] * rest**2) ** -2
                usual = np.clip((NONE - rest - LITTLE / seen) / 0.3, 0, 1) * SPREAD**-2
                held = usual * np.log(USUAL * grown / chroma[k])
                more = (told * answer.chroma * more + held) / (told * answer.chroma**2 + usual)
            factor = np.clip(np.exp(more), 1 / STEP, STEP)
            chroma[k] = round(float(np.clip(chroma[k] * factor / grown, 0, 4)), 4)
        correlation = [
            round(float(np.clip(value + 0.7 * (_rho(wanted, k) - _rho(found, k)), -0.98, 0.98)), 4)
            for k, value in enumerate(correlation)
        ]
    return replace(
        model,
        sigma=as_sigma(variance),
        spectra=spectra,
        chroma=(chroma[0], chroma[1]),
        chroma_spectrum=colour,
        correlation=(correlation[0], correlation[1], correlation[2]),
        temporal=round(float(np.clip(wanted.temporal - found.temporal, -1, 1)), 4),
    )


def _textured(plain: vs.VideoNode, path: Path) -> vs.VideoNode:
    """Where pictures are not flat: a mask of 16x16 blocks for all planes."""
    form = plain.format
    columns, rows = -(-plain.width // BLOCK), -(-plain.height // BLOCK)
    blank = plain.std.BlankClip(format=vs.GRAY16, width=columns, height=rows, keep=True)

    def draw(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        made = f[1].copy()
        blocks = not_flat(f[0]).astype(np.uint16) * 65535
        padded = np.pad(blocks, [(0, rows - blocks.shape[0]), (0, columns - blocks.shape[1])], mode="edge")
        np.copyto(np.asarray(made[0]), padded)
        return made

    luma = kept(blank.std.ModifyFrame([plain, blank], draw), path)
    luma = luma.resize.Point(columns * BLOCK, rows * BLOCK).std.CropAbs(plain.width, plain.height)
    if form.num_planes == 1:
        return luma
    small = luma.resize.Point(plain.width >> form.subsampling_w, plain.height >> form.subsampling_h)
    return core.std.ShufflePlanes([luma, small, small], [0, 0, 0], vs.YUV)


def _off_the_codes(clip: vs.VideoNode) -> vs.VideoNode:
    """A clip of 16 bits with slopes of one 8-bit code in chroma.

    A disc's flat chroma lies on whole codes, and its mean as well. Grain that is put on those is coded away, but what
    lies between two codes, as the film's did, flickers from one to the other and makes up most of what is left.
    """
    slope = f"X 0.7 * Y + {SLOPE} / dup floor - 2 * 1 - abs 0.5 - 256 * x +"
    return core.akarin.Expr(clip, ["", slope, slope]) if clip.format.num_planes > 1 else clip


def denoised(clip: vs.VideoNode, denoise: Denoiser) -> vs.VideoNode:
    """What a denoiser makes of a clip, checked."""
    made = denoise(clip)
    if (made.width, made.height, made.num_frames) != (clip.width, clip.height, clip.num_frames):
        raise CustomValueError("The function clean= must keep size and length.", "measure_grain")
    return made.resize.Point(format=clip.format.id)


def _rho(evidence: Evidence, k: int) -> float:
    small, uu, vv = evidence.chroma[1:4]
    a, b = ((small, uu), (small, vv), (uu, vv))[k]
    return float(np.clip(evidence.chroma[4 + k] / np.sqrt(a * b), -1, 1)) if a > 1e-6 and b > 1e-6 else 0.0


def _levels(evidence: Evidence) -> Floats:
    """Power by tone and frequency in 8-bit codes, a tone that was seen more having more."""
    return np.asarray((tone_weights(CENTRES) * evidence.seen @ evidence.band)[:, None, None] * evidence.power)


def _shaped(spectrum: Spectrum, wanted: Floats, found: Floats) -> Spectrum:
    """A spectrum's step without coding: every frequency by itself, whatever the levels."""
    if found.max() <= 0 or wanted.max() <= 0:
        return spectrum
    least = LEAST * found.mean()
    ratio = (wanted / wanted.mean() * found.mean() + least) / (found + least)
    return spectrum_of(np.array(spectrum) * np.clip(ratio, 1 / STEP, STEP))


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


@dataclass(frozen=True, slots=True)
class Plan:
    """How a stretch of pictures is coded."""

    kinds: Sequence[int]
    """Of each coded picture, as `kinds_of` has them."""
    scales: Sequence[float]
    interlaced: bool = False
    """As two fields each."""
    fields: Sequence[int] = ()
    """The first field of each picture and where the last one ends, counted from the first coded picture, where pictures
    are spread over fields; empty: each is coded as it is."""


def _plan(clip: vs.VideoNode, run: Run, coding: Coding) -> Plan | None:
    """As the disc has it; None: unknown."""
    share, frames, fields = (run.fields[0] / run.tape, run.fields[-1] / run.tape), run.length, np.array(run.fields)
    interlaced = coding.interlaced_in(share) and clip.height % 4 == 0
    if interlaced and len(fields) == run.length + 1 and np.diff(fields).min() >= 2:
        begin = fields[0] // 2
        if fields[0] % 2 and fields[1] - fields[0] > 2 and coding.kind_at((2 * begin + 3) / run.tape) == 1:
            # The I picture is the frame that the first picture has for itself.
            begin += 1
            fields[0] = 2 * begin
        frames, fields = int(-(-fields[-1] // 2) - begin), fields - 2 * begin
        share = float(2 * begin / run.tape), float(2 * (begin + frames) / run.tape)
    else:
        fields = fields[:0]
    kinds = coding.kinds_in(share, frames)
    scales = coding.scales_of(share, kinds)
    return None if scales is None else Plan(kinds, scales, interlaced, tuple(fields.tolist()))


def recoded(
    clip: vs.VideoNode, stretches: Sequence[tuple[int, int]], plans: Sequence[Plan], folder: Path
) -> vs.VideoNode:
    """A clip of 8 bits through MPEG-2 and back, its pictures of the kinds and with the scales of plans.

    Every group of pictures is coded by itself, up to the I picture after it, the last two together: the first B picture
    of a stream is coded unlike others.
    """
    parts, groups = [], []
    for k, ((first, stop), plan) in enumerate(zip(stretches, plans, strict=True)):
        part = clip[first:stop]
        parts.append(telecined(part, plan.fields) if plan.fields else part)
        keys = [n for n, kind in enumerate(plan.kinds) if kind == 1]
        groups += [(k, a, b) for a, b in pairwise([*(keys[:-1] or keys), len(plan.kinds)])]

    def code(group: tuple[int, int, int]) -> Path:
        k, first, stop = group
        return _group_coded(parts[k], plans[k], first, stop, folder / f"{k}_{first}")

    with ThreadPoolExecutor(2) as pool:
        streams = list(pool.map(code, groups))
    made = []
    for k, plan in enumerate(plans):
        mine = [_decoded(stream, clip)[: b - a] for stream, (n, a, b) in zip(streams, groups, strict=True) if n == k]
        whole = core.std.Splice(mine)
        made.append(woven(whole, plan.fields) if plan.fields else whole)
    return core.std.Splice(made)


def _group_coded(part: vs.VideoNode, plan: Plan, first: int, stop: int, name: Path) -> Path:
    """A stream of pictures from an I on, up to the picture `stop`, an I picture; there is at most one more."""
    raw, stream = name.with_suffix(".y4m"), name.with_suffix(".m2v")
    _written(part[first : stop + 1], raw)
    kinds = plan.kinds[first : stop + 1]
    codes = _codes(plan.kinds, plan.scales)[first : stop + 1]
    words = ["-b:v", "20M", "-qmin", "1", "-qdiff", "31", "-qblur", "0", "-b_qfactor", "-1"]
    if plan.interlaced:
        words += ["-vf", "setfield=tff", "-flags", "+ilme+ildct", "-alternate_scan", "1"]
    # The second I picture takes what the last P has times a factor, the first one its own times that.
    factor = 1.0
    for second in [n for n, kind in enumerate(kinds) if n and kind == 1]:
        words += ["-force_key_frames", f"expr:eq(n,{second})"]
        last = [code for code, kind in zip(codes[:second], kinds, strict=False) if kind == 2][-1:]
        factor = codes[second] / last[0] if last else 1.0
    steps = [LAMBDA * code for code in codes]
    steps[0] = round(steps[0] / factor)
    words += ["-rc_override", "/".join(f"{n},{n},{step}" for n, step in enumerate(steps))]
    _encode(raw, [*words, "-i_qfactor", f"{-factor:.4f}"], stream, len(kinds), b_run(plan.kinds))
    raw.unlink()
    return stream


def pulldown(length: int) -> list[int]:
    """The first fields of so many pictures of film on an NTSC tape, 2, 3, 2, 3, and where the last one ends.

    Example:
        >>> pulldown(4)
        [0, 2, 5, 7, 10]
    """
    return [5 * n // 2 for n in range(length + 1)]


def telecined(pictures: vs.VideoNode, fields: Sequence[int]) -> vs.VideoNode:
    """Frames of pictures that are spread over fields, top field first.

    Args:
        pictures: As many as `fields` tells of.
        fields: The first field of each picture, from 0 on, and where the last one ends.
    """
    shown = np.clip(np.searchsorted(fields, np.arange(2 * -(-fields[-1] // 2)), "right") - 1, 0, len(fields) - 2)
    chosen = 2 * shown + np.arange(len(shown)) % 2
    halves = pictures.std.SeparateFields(tff=True).std.SelectEvery(2 * pictures.num_frames, chosen.tolist())
    return halves.std.DoubleWeave(tff=True)[::2].std.AssumeFPS(fpsnum=NTSC.numerator, fpsden=NTSC.denominator)


def woven(frames: vs.VideoNode, fields: Sequence[int]) -> vs.VideoNode:
    """The pictures again, each of two fields of its own, of one frame where there are."""
    chosen: list[int] = []
    for first, stop in pairwise(fields):
        chosen += shown_fields(first, stop)
    halves = frames.std.SeparateFields(tff=True).std.SelectEvery(2 * frames.num_frames, chosen)
    made = halves.std.DoubleWeave(tff=True)[::2].std.SetFieldBased(0)
    return made.std.AssumeFPS(fpsnum=FILM.numerator, fpsden=FILM.denominator)


def _codes(kinds: Sequence[int], scales: Sequence[float]) -> list[int]:
    """quantiser_scale_code for each picture: those above and below a scale take turns, each kind keeping its mean."""
    owed = dict.fromkeys(kinds, 0.0)
    found = []
    for kind, scale in zip(kinds, scales, strict=True):
        wanted = scale + owed[kind]
        code = min(range(1, MOST + 1), key=lambda k: abs(SCALES[k] - wanted))
        owed[kind] = wanted - SCALES[code]
        found.append(code)
    return found


def _fps(clip: vs.VideoNode) -> Fraction:
    """The rate of MPEG-2 nearest to a clip's own; film's of one whose rate varies."""
    ratio = Fraction(clip.fps_num, clip.fps_den) if clip.fps_num else FILM
    return min((FILM, PAL, NTSC), key=lambda known: abs(known - ratio))


def _written(clip: vs.VideoNode, path: Path) -> Fraction:
    """Write a clip for the encoder, at the rate of MPEG-2 nearest to its own; return that."""
    fps = _fps(clip)
    four = clip.resize.Bilinear(format=vs.YUV420P8) if clip.format.id != vs.YUV420P8 else clip
    with path.open("wb") as file:
        four.std.AssumeFPS(fpsnum=fps.numerator, fpsden=fps.denominator).output(file, y4m=True)
    return fps


def _encode(raw: Path, words: Sequence[str | Path], stream: Path, gop: int = GOP, between: int = 2) -> None:
    """Run ffmpeg's mpeg2video with what all encodes have in common."""
    common = ["-g", str(gop), "-bf", str(between), "-sc_threshold", "1000000000", "-intra_vlc", "1"]
    common += ["-non_linear_quant", "1", "-qmax", str(MOST), "-dc", "10", "-f", "mpeg2video"]
    start: list[str | Path] = ["ffmpeg", "-v", "error", "-y", "-i", raw, "-c:v", "mpeg2video", "-threads", "1"]
    run([*start, *words, *common, stream], "measure_grain")


def _decoded(stream: Path, like: vs.VideoNode) -> vs.VideoNode:
    require("bs.VideoSource", "measure_grain")
    made = core.bs.VideoSource(str(stream), cachemode=0)
    return made.resize.Bilinear(format=like.format.id) if made.format.id != like.format.id else made
