"""What a film's grain is: frozen plain data and its JSON. Knows no clip. May import the ground rooms.

A spectrum is a table of 9 rows (vertical) by 9 columns (horizontal): power at 0 to 8 sixteenths of a cycle a sample,
normalised so that its mean over the whole plane of frequencies is 1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CustomValueError
from ..files import existing, write_json

__all__ = [
    "BINS",
    "CENTRES",
    "COUNTS",
    "GRID",
    "HALF",
    "TONES",
    "VERSION",
    "WHITE",
    "GrainModel",
    "Spectrum",
    "curve",
    "gaussian_spectrum",
    "load_grain",
    "normalised",
    "tone_weights",
]

type Func = Callable[..., Any] | str
type Floats = NDArray[np.float64]
type Spectrum = tuple[tuple[float, ...], ...]

VERSION = 2
"""Version of the JSON; a file of a later one is refused, one of version 1 is read."""
BINS = 16
"""Luma bins of the noise curve, over the 8-bit codes 0 to 255."""
CENTRES: Floats = np.array([(k + 0.5) * (256 / BINS) for k in range(BINS)])
"""Their middles."""
TONES = (48, 112, 176)
"""Luma at which the spectra of shadows, middle and lights hold; between them grain changes gradually."""
GRID = 16
"""Samples of the window whose spectrum is kept."""
HALF = GRID // 2
"""The last of its frequencies: half a cycle a sample."""
_TWICE = np.array([1.0, *[2.0] * (HALF - 1), 1.0])
COUNTS = np.outer(_TWICE, _TWICE)
"""How many frequencies of the whole plane each entry of a spectrum stands for."""


def normalised(power: Floats) -> Spectrum:
    """A table of power, 9 by 9, as a spectrum: mean 1, five digits.

    Raises:
        CustomValueError: It has no power, or is not finite.

    Example:
        >>> normalised(np.full((9, 9), 4.0)) == WHITE
        True
    """
    mean = float((power * COUNTS).sum() / COUNTS.sum())
    if power.shape != (HALF + 1, HALF + 1) or not np.isfinite(power).all() or power.min() < 0 or mean <= 0:
        raise CustomValueError("A spectrum is 9 rows of 9 finite numbers, none negative and not all 0.", normalised)
    return tuple(tuple(round(float(value), 5) for value in row) for row in power / mean)


WHITE: Spectrum = ((1.0,) * (HALF + 1),) * (HALF + 1)
"""The spectrum of noise without a shape."""


def gaussian_spectrum(radius: float, across: float | None = None) -> Spectrum:
    """The spectrum of grain whose every speck is a Gaussian of this sigma in samples, 0 to 3.

    Args:
        radius: Sigma, down and across.
        across: Sigma across, if it differs.

    Raises:
        CustomValueError: The radius is out of range.

    Example:
        >>> gaussian_spectrum(0.0) == WHITE
        True
    """
    lines = []
    for sigma in (radius, radius if across is None else across):
        if not 0 <= sigma <= 3:
            raise CustomValueError(
                f"The radius of a grain is {sigma}; it must be from 0 to 3 samples.", gaussian_spectrum
            )
        # A sampled Gaussian, its copies in frequency added up.
        at = (np.arange(HALF + 1)[:, None] / GRID + np.arange(-3, 4)[None]) * 2 * np.pi * sigma
        lines.append(np.exp(-(at**2) / 2).sum(1) ** 2 if sigma > 0.15 else np.ones(HALF + 1))
    return normalised(np.outer(*lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class GrainModel:
    """The grain of one film on one disc; where shots differ, that of each group of shots.

    Raises:
        CustomValueError: A curve or spectrum has the wrong length, or a number is out of range or not finite.

    Example:
        >>> GrainModel(size=(720, 480), sigma=(2.0,) * 16).chroma
        (0.0, 0.0)
    """

    size: tuple[int, int]
    """Width and height of the pictures it was measured on; the spectrum scales by the enlargement."""
    sigma: tuple[float, ...]
    """Standard deviation of luma grain for each of 16 luma bins, in 8-bit codes, at the measured size."""
    spectra: tuple[Spectrum, Spectrum, Spectrum] = (WHITE, WHITE, WHITE)
    """Power spectrum of luma grain in shadows, middle and lights, each normalised to a mean of 1."""
    chroma: tuple[float, float] = (0.0, 0.0)
    """Standard deviation of U and V grain as a share of luma's."""
    chroma_spectrum: Spectrum = WHITE
    """Power spectrum of chroma grain, in chroma samples."""
    correlation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Correlation of Y with U, Y with V, U with V; Y as averaged over a chroma sample. -1 to 1."""
    subsampling: tuple[int, int] = (2, 2)
    """Luma samples to a chroma sample, across and down, where it was measured."""
    temporal: float = 0.0
    """Correlation of the grain with that of the picture before; 0 for film, more where a coder held it still."""
    seen: tuple[float, ...] = ()
    """Share of the area measured that lay in each luma bin; empty for a model made by hand."""
    pictures: int = 0
    """How many pictures were measured; 0 for a model made by hand."""
    rate: int = 0
    """Bits a second of MPEG-2 that it was calibrated at; 0 if it was not."""
    shots: tuple[int, ...] = ()
    """Of a group: the shots of the cadence map that it is for."""
    groups: tuple[GrainModel, ...] = ()
    """Groups of shots whose grain differs from the film's; a shot in none takes the film's."""
    notes: tuple[str, ...] = ()
    """What is worth knowing of the measurement."""

    def __post_init__(self) -> None:
        if len(self.sigma) != BINS or any(not 0 <= value < 64 for value in self.sigma):
            raise CustomValueError(f"sigma must be {BINS} numbers from 0 to 64 (8-bit codes).", GrainModel)
        for spectrum in (*self.spectra, self.chroma_spectrum):
            _check_spectrum(spectrum)
        if len(self.spectra) != len(TONES):
            raise CustomValueError("spectra must be three: of shadows, middle and lights.", GrainModel)
        if len(self.chroma) != 2 or any(not 0 <= share <= 4 for share in self.chroma):
            raise CustomValueError("chroma must be two shares from 0 to 4.", GrainModel)
        if len(self.correlation) != 3 or any(not -1 <= value <= 1 for value in (*self.correlation, self.temporal)):
            raise CustomValueError("Correlations must be from -1 to 1: three of Y, U and V, one in time.", GrainModel)
        if len(self.size) != 2 or min(self.size) < 1 or any(value not in (1, 2, 4) for value in self.subsampling):
            raise CustomValueError("size must be two counts of samples, subsampling 1, 2 or 4 each.", GrainModel)
        if self.seen and (len(self.seen) != BINS or any(not 0 <= share <= 1 for share in self.seen)):
            raise CustomValueError(f"seen must be {BINS} shares from 0 to 1, or empty.", GrainModel)
        if any(group.groups for group in self.groups):
            raise CustomValueError("A group of shots has no groups itself.", GrainModel)

    def of_shot(self, shot: int | None) -> GrainModel:
        """The grain of a shot of the cadence map: its group's, or the film's.

        Example:
            >>> dark = GrainModel(size=(720, 480), sigma=(3.0,) * 16, shots=(4, 7))
            >>> GrainModel(size=(720, 480), sigma=(2.0,) * 16, groups=(dark,)).of_shot(7).sigma[0]
            3.0
        """
        return next((group for group in self.groups if shot in group.shots), self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON, whole or not at all."""
        write_json(path, {"ds9vs_grain": VERSION, **asdict(self)}, GrainModel.save)


def _check_spectrum(spectrum: Iterable[Iterable[float]]) -> None:
    try:
        table = np.array([list(row) for row in spectrum], np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.shape != (HALF + 1, HALF + 1) or not np.isfinite(table).all() or table.min() < 0 or not table.any():
        raise CustomValueError("A spectrum must be 9 rows of 9 finite numbers, none negative, not all 0.", GrainModel)


def load_grain(path: str | os.PathLike[str]) -> GrainModel:
    """Read a model that `GrainModel.save` wrote; a file of version 1 too (its filters become one spectrum).

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomValueError: It is truncated, no grain model, or of a later version.

    Example:
        >>> GrainModel(size=(720, 480), sigma=(2.0,) * 16).save(tmp_path / "g.json")
        >>> load_grain(tmp_path / "g.json").sigma[8]
        2.0
    """
    try:
        table = json.loads(existing(path, load_grain).read_text(encoding="utf-8"))
        version = table.pop("ds9vs_grain")
        if version == 1:
            return _version_1(table)
        if version == VERSION:
            return _model(table)
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, CustomValueError | FileNotFoundError):
            raise
        raise CustomValueError(
            f"{str(path)!r} is truncated or no grain model; make it again: ds9vs grain measure.", load_grain
        ) from error
    raise CustomValueError(
        f"{str(path)!r} is a grain model of version {version}; this ds9vs reads 1 to {VERSION}.", load_grain
    )


def _model(table: dict[str, Any]) -> GrainModel:
    groups = tuple(_model(group) for group in table.pop("groups", ()))
    return GrainModel(**{key: _tuples(value) for key, value in table.items()}, groups=groups)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _version_1(table: dict[str, Any]) -> GrainModel:
    """A model whose shape was a sum of separable filters of 7 taps."""
    kernel = sum(np.outer(vertical, horizontal) for vertical, horizontal in table.pop("filters"))
    power = np.abs(np.fft.fft2(np.asarray(kernel), (GRID, GRID))) ** 2
    mirrored = (power + np.roll(power[::-1], 1, 0)) / 2
    spectrum = normalised(mirrored[: HALF + 1, : HALF + 1])
    values = {key: _tuples(table[key]) for key in ("size", "sigma", "chroma", "pictures")}
    return GrainModel(**values, spectra=(spectrum,) * 3, chroma_spectrum=spectrum, notes=("read from version 1",))


def tone_weights(luma: Floats) -> Floats:
    """How much shadows, middle and lights count at a luma in 8-bit codes: shape (3, ...), the sum 1.

    Example:
        >>> tone_weights(np.array([0.0, 80.0, 112.0, 200.0])).tolist()
        [[1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    dark = np.clip((TONES[1] - luma) / (TONES[1] - TONES[0]), 0, 1)
    light = np.clip((luma - TONES[1]) / (TONES[2] - TONES[1]), 0, 1)
    return np.array([dark, 1 - dark - light, light])


def curve(values: Iterable[float], luma: Floats) -> Floats:
    """A smooth curve through 16 bins that never overshoots them.

    Source: Fritsch and Carlson, "Monotone piecewise cubic interpolation", SIAM J. Numer. Anal. 17, 1980; slopes are
    the harmonic means of the neighbours' differences.

    Example:
        >>> curve([1.0] * 8 + [2.0] * 8, np.array([0.0, 128.0, 255.0])).tolist()
        [1.0, 1.5, 2.0]
    """
    y = np.array(list(values), np.float64)
    step = np.diff(y)
    product = step[1:] * step[:-1]
    total = step[1:] + step[:-1]
    slope = np.zeros(len(y))
    slope[1:-1] = np.where(product > 0, 2 * product / np.where(product > 0, total, 1), 0)
    at = np.clip(luma / (256 / len(y)) - 0.5, 0, len(y) - 1)
    k = np.minimum(at.astype(np.int64), len(y) - 2)
    t = at - k
    done = (1 + 2 * t) * (1 - t) ** 2 * y[k] + t * (1 - t) ** 2 * slope[k]
    return np.asarray(done + t**2 * (3 - 2 * t) * y[k + 1] + t**2 * (t - 1) * slope[k + 1])
