"""AV1's film-grain tables (`filmgrn1`, as aomenc and grav1synth read and write them), from a model and back.

May import the ground rooms and its neighbours. AV1 makes grain by an auto-regression over 3 samples of white Gaussian
noise (deviation 32 at 8 bits), scaled by a piecewise linear function of luma; one shape holds for all tones.
Source: AV1 Bitstream and Decoding Process Specification, 7.18.3 (film grain synthesis).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomValueError
from ..files import existing, write_text
from .model import BINS, CENTRES, GRID, GrainModel, Spectrum, curve, normalised, tone_weights
from .synthesise import shape_of

__all__ = ["export_table", "import_table"]

type Func = Callable[..., Any] | str
type Floats = NDArray[np.float64]

LAG = 3
WHITE = 32.0
"""Deviation of AV1's noise at 8 bits."""
SIDE = 64
"""Frequencies at which a spectrum is evaluated, each way."""
FOREVER = 2**63 - 1
PLACES = [(dy, dx) for dy in range(-LAG, 1) for dx in range(-LAG, LAG + 1) if dy < 0 or dx < 0]


def export_table(
    model: GrainModel,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    seed: int = 7391,
    seconds: float | None = None,
) -> None:
    """Write a model as an AV1 film-grain table, for encoders that signal grain (`--film-grain-table`).

    The auto-regression is fitted to the middle tone's spectrum at the coded size (Yule-Walker equations).

    Args:
        model: The model; its groups of shots are left out.
        path: The .tbl file.
        size: Width and height of what is coded; the measured size if left out.
        seed: Of the first picture, 1 to 65535.
        seconds: For how long it holds; without end if left out.

    Raises:
        CustomValueError: The model has no grain, or size or seed is out of range.

    Example:
        >>> export_table(GrainModel(size=(720, 480), sigma=(2.0,) * 16), tmp_path / "g.tbl")
        >>> round(import_table(tmp_path / "g.tbl").sigma[8], 1)
        2.0
    """
    if not any(model.sigma):
        raise CustomValueError("The model has no grain; there is nothing to signal.", export_table)
    width, height = size or model.size
    if not 1 <= seed <= 65535 or width < 16 or height < 16:
        raise CustomValueError("seed must be 1 to 65535, and the size at least 16x16.", export_table)
    scale = height / model.size[1], width / model.size[0]
    luma = shape_of(model.spectra[1], scale)
    gain = [shape_of(spectrum, scale).gain for spectrum in model.spectra]
    chroma_scale = scale[0] * model.subsampling[1] / 2, scale[1] * model.subsampling[0] / 2
    chroma = shape_of(model.chroma_spectrum, chroma_scale)
    fits = [_fit(part.taps.astype(np.float64)) for part in (luma, chroma)]
    largest = max(float(np.abs(fit).max()) for fit in fits)
    shift = int(np.clip(math.floor(math.log2(127 / max(largest, 1e-3))), 6, 9))
    coefficients = [np.clip(np.round(fit * 2**shift), -128, 127).astype(int) for fit in fits]
    made = [WHITE * math.sqrt(_variance(c / 2**shift)) for c in coefficients]
    points, fewer = (
        _points(np.array(model.sigma), np.asarray(np.array(gain) @ tone_weights(CENTRES)), n) for n in (12, 8)
    )
    tops = [max(value for _, value in points) / made[0]]
    tops += [share * chroma.gain / luma.gain * max(v for _, v in points) / made[1] for share in model.chroma]
    power = int(np.clip(math.floor(math.log2(255 / max(*tops, 1e-6))), 8, 11))

    def scaled(curve: list[tuple[int, float]], share: float, deviation: float) -> list[tuple[int, int]]:
        return [(x, min(255, round(value * share * 2**power / deviation))) for x, value in curve]

    rows = [scaled(points, 1.0, made[0])] + [
        scaled(fewer, share * chroma.gain / luma.gain, made[1]) if share else [] for share in model.chroma
    ]
    end = FOREVER if seconds is None else round(seconds * 10_000_000)
    bound = [_bound(rho, made, shift, coefficients[1]) for rho in model.correlation[:2]]
    lines = ["filmgrn1", f"E 0 {end} 1 {seed} 1", f"\tp {LAG} {shift} 0 {power} 0 1 128 192 256 128 192 256"]
    for name, row in zip(("sY", "sCb", "sCr"), rows, strict=True):
        lines.append(f"\t{name} {len(row)}" + "".join(f" {x} {y}" for x, y in row))
    lines.append("\tcY " + " ".join(map(str, coefficients[0])))
    for name, last in zip(("cCb", "cCr"), bound, strict=True):
        lines.append(f"\t{name} " + " ".join(map(str, [*coefficients[1], last])))
    write_text(path, "\n".join(lines) + "\n", export_table)


def import_table(path: str | os.PathLike[str], *, size: tuple[int, int] = (1920, 1080)) -> GrainModel:
    """Read an AV1 film-grain table as a model; of several entries the one that holds longest.

    Args:
        path: The .tbl file.
        size: Width and height of what was coded.

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomValueError: It is no such table, is truncated, or has no grain.

    Example:
        >>> _ = (tmp_path / "x.tbl").write_text("something else")
        >>> import_table(tmp_path / "x.tbl")
        Traceback (most recent call last):
        ...
        ValueError: (import_table) ...
    """
    try:
        words = existing(path, import_table).read_text(encoding="ascii").split()
        if words[0] != "filmgrn1":
            raise ValueError
        entry = max(_entries(words[1:]), key=lambda e: e.end - e.start)
    except (ValueError, IndexError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise CustomValueError(
            f"{str(path)!r} is truncated or no AV1 film-grain table with grain in it (it begins with filmgrn1).",
            import_table,
        ) from error
    codes = np.clip(CENTRES, 24, 227)  # beside black and white a table fades out, as add_grain does itself
    deviation = [WHITE / 2**entry.grain_shift * math.sqrt(_variance(c)) for c in entry.coefficients]
    scaled = [
        np.interp(codes, [x for x, _ in row], [y for _, y in row]) / 2**entry.power * d if row else np.zeros(BINS)
        for row, d in zip(entry.points, deviation, strict=True)
    ]
    spectrum = _spectrum(entry.coefficients[0])
    mean = float(np.sqrt(np.square(scaled[0]).mean()))
    shares = [float(np.clip(np.sqrt(np.square(s).mean()) / mean, 0, 4)) if mean > 0 else 0.0 for s in scaled[1:]]
    return GrainModel(
        size=size,
        sigma=tuple(round(min(float(value), 63.9), 4) for value in scaled[0]),
        spectra=(spectrum,) * 3,
        chroma=(round(shares[0], 4), round(shares[1], 4)),
        chroma_spectrum=_spectrum(entry.coefficients[1]),
        notes=("from an AV1 film-grain table",),
    )


# --- the file ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    """What holds for a stretch of time."""

    start: int
    end: int
    grain_shift: int
    power: int
    points: list[list[tuple[int, int]]]
    coefficients: list[Floats]
    """Of Y, U, V, each for the 24 places of a full lag."""


def _entries(words: list[str]) -> list[_Entry]:
    """The entries that have grain and parameters of their own."""
    at, found = 0, []

    def take(count: int, name: str = "") -> list[int]:
        nonlocal at
        if name:
            if words[at] != name:
                raise ValueError
            at += 1
        part = [int(word) for word in words[at : at + count]]
        if len(part) != count:
            raise ValueError
        at += count
        return part

    while at < len(words):
        start, end, applied, _, updated = take(5, "E")
        if not updated:
            continue
        lag, shift, grain_shift, power, from_luma = take(12, "p")[:5]
        if not (0 <= lag <= LAG and 6 <= shift <= 9 and 0 <= grain_shift <= 3 and 8 <= power <= 11):
            raise ValueError
        points = []
        for name, most in (("sY", 14), ("sCb", 10), ("sCr", 10)):
            count = take(1, name)[0]
            if not 0 <= count <= most:
                raise ValueError
            flat = take(2 * count)
            points.append(list(zip(flat[::2], flat[1::2], strict=True)))
        places = 2 * lag * (lag + 1)
        coefficients = [
            _widened(take(places + (name != "cY"), name)[:places], lag) / 2**shift for name in ("cY", "cCb", "cCr")
        ]
        if from_luma:
            points[1] = points[2] = points[0]
        if applied and points[0]:
            found.append(_Entry(start, end, grain_shift, power, points, coefficients))
    if not found:
        raise ValueError
    return found


def _widened(values: list[int], lag: int) -> Floats:
    """Coefficients of a smaller lag at the places of a full one."""
    own = [(dy, dx) for dy in range(-lag, 1) for dx in range(-lag, lag + 1) if dy < 0 or dx < 0]
    given = dict(zip(own, values, strict=True))
    return np.array([given.get(place, 0) for place in PLACES], np.float64)


# --- auto-regression --------------------------------------------------------------------------------------------------


def _fit(taps: Floats) -> Floats:
    """The coefficients whose auto-regression comes nearest to noise filtered by these taps (Yule-Walker)."""
    side = 2 ** math.ceil(math.log2(2 * max(*taps.shape, 8)))
    correlation = np.fft.ifft2(np.abs(np.fft.fft2(taps, (side, side))) ** 2).real
    system = np.array([[correlation[b[0] - a[0], b[1] - a[1]] for b in PLACES] for a in PLACES])
    right = np.array([correlation[-a[0], -a[1]] for a in PLACES])
    system += np.eye(len(PLACES)) * correlation[0, 0] * 1e-3  # a narrow spectrum alone would not be stable
    return np.asarray(np.linalg.solve(system, right))


def _bound(rho: float, made: list[float], shift: int, coefficients: NDArray[np.int64]) -> int:
    """AV1's coefficient from luma's grain (averaged over a chroma sample) to chroma's, for a correlation."""
    through = math.sqrt(_variance(coefficients / 2**shift))
    return int(np.clip(round(rho * made[1] / max(made[0] * through, 1e-6) * 2**shift), -128, 127))


def _response(coefficients: Floats, side: int = SIDE) -> Floats:
    """Power by frequency, of white noise of variance 1."""
    kernel = np.zeros((side, side))
    kernel[0, 0] = 1
    for (dy, dx), value in zip(PLACES, coefficients, strict=True):
        kernel[-dy, -dx] -= value
    return np.asarray(1 / np.maximum(np.abs(np.fft.fft2(kernel)) ** 2, 1e-6))


def _variance(coefficients: Floats) -> float:
    """Of the auto-regression, white noise of variance 1 going in."""
    return float(_response(coefficients, 4 * SIDE).mean())


def _spectrum(coefficients: Floats) -> Spectrum:
    """An auto-regression's spectrum, mirrored left and right, at a model's frequencies."""
    power = _response(coefficients)
    step = SIDE // GRID
    near = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    blurred = np.mean([np.roll(power, at, (0, 1)) for at in near], axis=0)
    mirrored = (blurred + np.roll(blurred[::-1], 1, 0)) / 2
    return normalised(mirrored[: SIDE // 2 + 1 : step, : SIDE // 2 + 1 : step])


def _points(sigma: Floats, gain: Floats, count: int) -> list[tuple[int, float]]:
    """A noise curve as points, `count` and the two ends (AV1 allows 14 of luma, 10 of chroma); none beyond the ends."""
    inner = np.linspace(20, 231, count)
    values = curve(sigma * gain, inner)
    return [(16, 0.0), *((round(float(x)), float(v)) for x, v in zip(inner, values, strict=True)), (235, 0.0)]
