"""What kind of shot: data beyond the cadence, from the evidence that was measured already.

May import the ground rooms and `cadence`. Reads no pixel: the block grids of `cadence/measure` are enough for a hint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..cadence.measure import Evidence, Grids
from ..cadence.model import Cadence

__all__ = ["ShotLabel", "label", "label_shots"]

_SAMPLES = 96
"""Fields of a shot that are looked at, spread over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotLabel:
    """What a shot looks like."""

    luma: float
    """Median luma of its blocks, 8-bit codes."""
    moving: float
    """Share of its blocks that change by more than noise between fields of equal parity, 0 to 1."""
    drift: float
    """Change of mean luma from its start to its end, 8-bit codes."""
    detail: float
    """Energy of vertical detail, its liveliest tenth of blocks over the median one: high for text on black."""
    names: tuple[str, ...] = ()
    """Hints: "still", "dark", "black", "fade in", "fade out", "credits"."""


def label(evidence: Evidence, cadence: Cadence) -> tuple[ShotLabel, ...]:
    """Look at every shot of a cadence; one label each.

    - still: nothing moves;
    - dark: half of the picture lies below code 45; black: all of it below 24;
    - fade in, fade out: the shot begins or ends near black and rises or falls steadily;
    - credits: a few busy blocks over a flat dark ground, as titles and credits are.

    Hints for a person or a preset, not measurements: nothing is treated differently unless told.

    Example:
        >>> from ds9vs.cadence import analyse
        >>> from ds9vs.cadence.measure import measure_fields
        >>> clip = core.std.BlankClip(width=64, height=64, length=4, format=vs.YUV420P8, fpsnum=30000, fpsden=1001)
        >>> tape = clip.std.SetFieldBased(2)
        >>> evidence = measure_fields(tape, cache=tmp_path, show_progress=False)
        >>> label(evidence, analyse(tape, cache=tmp_path, progress=False))[0].names
        ('still', 'black')
    """
    return tuple(_label(evidence.read(shot.first, shot.stop)) for shot in cadence.shots)


def label_shots(evidence: Evidence, cadence: Cadence) -> Cadence:
    """The cadence with the hints of `label` added to the notes of its shots.

    Example:
        >>> from ds9vs.cadence import analyse
        >>> from ds9vs.cadence.measure import measure_fields
        >>> clip = core.std.BlankClip(width=64, height=64, length=4, format=vs.YUV420P8, fpsnum=30000, fpsden=1001)
        >>> tape = clip.std.SetFieldBased(2)
        >>> evidence = measure_fields(tape, cache=tmp_path, show_progress=False)
        >>> label_shots(evidence, analyse(tape, cache=tmp_path, progress=False)).shots[0].notes
        ('still', 'dark', 'black')
    """
    labels = label(evidence, cadence)
    shots = (
        replace(shot, notes=tuple(dict.fromkeys((*shot.notes, *found.names))))
        for shot, found in zip(cadence.shots, labels, strict=True)
    )
    return replace(cadence, shots=tuple(shots))


def _label(grids: Grids) -> ShotLabel:
    chosen = np.unique(np.linspace(0, len(grids) - 1, _SAMPLES).astype(int))
    luma = grids.luma[chosen].astype(np.float64)
    d, s, _ = (e[chosen].astype(np.float64) for e in grids.energies())
    noise = max(0.25, float(np.quantile(d, 0.1)))
    # a shot's first and last field look over the cut
    inner = slice(1, -1) if len(chosen) > 2 else slice(None)
    moving = float((d[inner] > 4 * noise).mean())
    busy = np.quantile(s, 0.9, axis=1) / np.maximum(np.quantile(s, 0.5, axis=1), 0.25)
    middle = float(np.median(luma))
    peak = float(np.quantile(luma, 0.98))
    names = []
    if moving < 0.005:
        names.append("still")
    if peak < 24:
        names.append("black")
    elif middle < 45:
        names.append("dark")
    drift = _steady(grids.mean)
    if drift > 15 and grids.mean[:2].mean() < 30:
        names.append("fade in")
    if drift < -15 and grids.mean[-2:].mean() < 30:
        names.append("fade out")
    if middle < 40 and peak > 60 and float(np.median(busy)) > 40:
        names.append("credits")
    return ShotLabel(
        luma=round(middle, 1),
        moving=round(moving, 4),
        drift=round(drift, 1),
        detail=round(float(np.median(busy)), 1),
        names=tuple(names),
    )


def _steady(mean: NDArray[np.float32]) -> float:
    """Change over the run if nearly all of it goes one way, else 0; over thirds, so that motion does not count."""
    if len(mean) < 8:
        return 0.0
    parts = [float(part.mean()) for part in np.array_split(mean, 8)]
    steps = np.diff(parts)
    total = float(mean[-2:].mean() - mean[:2].mean())
    return total if (np.sign(total) * steps > -1).all() else 0.0
