"""Grain models drawn beside each other: noise curves and spectra, as a page (HTML with inline SVG) and as a PNG.

May import the ground rooms and its neighbour `model`. What is drawn is a short list of marks, which two small writers
turn into SVG and into pixels.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..drawing import letters, png
from ..errors import CustomValueError
from ..files import atomic, write_text
from .model import CENTRES, GRID, TONES, GrainModel, curve

__all__ = ["draw"]

type Floats = NDArray[np.float64]

_LINES = ("#3f7fd6", "#e0871f", "#2b9c74", "#a95cc4", "#d8434e", "#7d8b99", "#8a6d3b", "#1f9bb5")
_INK, _FAINT, _RULE, _PAPER = "#1c2733", "#66727f", "#d3dae1", "#ffffff"
_WIDTH, _PANEL, _TALL, _LEFT, _TOP, _GAP = 1280, 560, 300, 60, 40, 70
_MOST = 24


@dataclass(frozen=True, slots=True)
class _Line:
    points: Floats
    """Shape (points, 2): x, y in pixels."""
    colour: str
    wide: float = 2.0
    dots: bool = False


@dataclass(frozen=True, slots=True)
class _Word:
    x: float
    y: float
    text: str
    colour: str = _INK


type _Mark = _Line | _Word


@dataclass(frozen=True, slots=True)
class _Panel:
    """A diagram's place and its axes."""

    x: float
    y: float
    across: tuple[float, float]
    up: tuple[float, float]

    def at(self, x: Floats, y: Floats) -> Floats:
        """Where values lie, in pixels; what leaves the diagram stays at its edge."""
        right = (x - self.across[0]) / (self.across[1] - self.across[0]) * _PANEL
        high = np.clip((y - self.up[0]) / (self.up[1] - self.up[0]), 0, 1) * _TALL
        return np.stack([self.x + right, self.y + _TALL - high], 1)


def draw(models: Sequence[GrainModel], names: Sequence[str], out: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Draw models on common axes: sigma by luma, chroma's share, and power by frequency in shadows, middle and lights.

    Groups of shots are drawn thinner, in the colour of their film. Where a luma was hardly seen, dots are left out.

    Args:
        models: One or more; of shots or of episodes.
        names: What each is called.
        out: Where the page goes; a PNG goes beside it, named alike.

    Returns:
        The page and the PNG.

    Raises:
        CustomValueError: There is no model, there are more than 24, or not as many names.

    Example:
        >>> model = GrainModel(size=(720, 480), sigma=(2.0,) * 16)
        >>> [path.name for path in draw([model], ["S01E01"], tmp_path / "grain.html")]
        ['grain.html', 'grain.png']
    """
    if not 1 <= len(models) <= _MOST or len(names) != len(models):
        raise CustomValueError(f"Give 1 to {_MOST} models, and a name for each.", draw)
    marks = list(_marks(models, names))
    height = _TOP + 2 * (_TALL + _GAP) + 20 * len(models) + 30
    page = Path(out).with_suffix(".html")
    picture = page.with_suffix(".png")
    write_text(page, _page(marks, height, models, names), draw)
    with atomic(picture, draw) as temporary:
        temporary.write_bytes(png(_pixels(marks, height)))
    return page, picture


def _marks(models: Sequence[GrainModel], names: Sequence[str]) -> Iterator[_Mark]:
    every = [part for model in models for part in (model, *model.groups)]
    top = max(0.5, 1.1 * max(max(part.sigma) for part in every))
    noise = _Panel(_LEFT, _TOP, (0, 255), (0, top))
    yield from _frame(noise, "sigma of luma (8-bit codes) by luma", range(0, 256, 32), _steps(top), "{:g}")
    second = _LEFT + _PANEL + _GAP
    panels = [
        _Panel(second, _TOP, (0, 0.5), (-30, 10)),
        _Panel(_LEFT, _TOP + _TALL + _GAP, (0, 0.5), (-30, 10)),
        _Panel(second, _TOP + _TALL + _GAP, (0, 0.5), (-30, 10)),
    ]
    for panel, name, tone in zip(panels, ("shadows", "middle", "lights"), TONES, strict=True):
        said = f"power in {name} (luma {tone}): dB by cycles a sample, across; thin: down"
        yield from _frame(panel, said, (0, 0.125, 0.25, 0.375, 0.5), (-30, -20, -10, 0, 10), "{:g}")
    frequency = np.arange(GRID // 2 + 1) / GRID
    luma = np.arange(16.0, 236.0)
    y = _TOP + 2 * (_TALL + _GAP)
    for n, (model, name) in enumerate(zip(models, names, strict=True)):
        colour = _LINES[n % len(_LINES)]
        for part in (model, *model.groups):
            main = part is model
            yield _Line(noise.at(luma, curve(part.sigma, luma)), colour, 2.2 if main else 1.0)
        seen = np.array(model.seen or (1.0,) * len(CENTRES)) > 0
        yield _Line(noise.at(CENTRES[seen], np.array(model.sigma)[seen]), colour, 5.0, dots=True)
        for panel, spectrum in zip(panels, model.spectra, strict=True):
            table = 10 * np.log10(np.maximum(np.array(spectrum), 1e-5))
            yield _Line(panel.at(frequency, table[0]), colour, 2.2)
            yield _Line(panel.at(frequency, table[:, 0]), colour, 1.0)
        yield _Line(np.array([[_LEFT, y + 20 * n + 8.0], [_LEFT + 24, y + 20 * n + 8.0]]), colour, 3.0)
        yield _Word(_LEFT + 32, y + 20 * n + 8, _said(model, name))


def _said(model: GrainModel, name: str) -> str:
    """A model in a line."""
    parts = [
        f"{name}: {model.size[0]}x{model.size[1]}",
        f"chroma {model.chroma[0]:.2f} {model.chroma[1]:.2f} of luma",
        "correlation YU {:+.2f} YV {:+.2f} UV {:+.2f}".format(*model.correlation),
        f"in time {model.temporal:+.2f}",
        f"{model.pictures} pictures",
        f"calibrated at {model.rate / 1e6:.1f} Mb/s" if model.rate else "not calibrated for coding",
    ]
    parts += [f"groups of shots: {len(model.groups)}"] if model.groups else []
    return ", ".join([*parts, *model.notes])


def _steps(top: float) -> list[float]:
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if top / s <= 8)
    return [k * step for k in range(int(top / step) + 1)]


def _frame(
    panel: _Panel, title: str, across: Sequence[float] | range, up: Sequence[float], form: str
) -> Iterator[_Mark]:
    """A diagram's rules and numbers."""
    yield _Word(panel.x, panel.y - 12, title, _FAINT)
    for x in across:
        line = panel.at(np.array([float(x)] * 2), np.array(panel.up))
        yield _Line(line, _RULE, 1.0)
        yield _Word(line[0, 0] - 8, panel.y + _TALL + 12, f"{x:g}", _FAINT)
    for y in up:
        line = panel.at(np.array(panel.across, np.float64), np.array([float(y)] * 2))
        yield _Line(line, _RULE, 1.0)
        yield _Word(panel.x - 36, line[0, 1], form.format(round(y, 3)), _FAINT)


def _page(marks: Sequence[_Mark], height: int, models: Sequence[GrainModel], names: Sequence[str]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{value:.2f}</td>" for value in model.sigma) + "</tr>"
        for name, model in zip(names, models, strict=True)
    )
    head = "".join(f"<th>{centre:.0f}</th>" for centre in CENTRES)
    out = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Noise curves and spectra of grain">']
    for mark in marks:
        match mark:
            case _Line(points, colour, wide, True):
                out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{wide / 2 + 0.5}" fill="{colour}"/>' for x, y in points]
            case _Line(points, colour, wide, False):
                path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
                out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{wide}"/>')
            case _Word(x, y, text, colour):
                out.append(f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" fill="{colour}">{html.escape(text)}</text>')
    drawing = "\n".join([*out, "</svg>"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Grain</title>
<style>body{{margin:2rem auto;max-width:1320px;padding:0 1rem;color:{_INK};background:{_PAPER};
font:15px/1.45 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}}svg{{width:100%;min-width:900px;height:auto}}
svg text{{font-size:12px}}td,th{{padding:.2rem .5rem;text-align:right;font-variant-numeric:tabular-nums}}
.wide{{overflow-x:auto}}</style></head><body><h1>Grain</h1><div class="wide">{drawing}</div>
<h2>Sigma by luma, 8-bit codes</h2><div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div></body></html>
"""


def _pixels(marks: Sequence[_Mark], height: int) -> NDArray[np.uint8]:
    """The marks as RGB, shape (height, width, 3)."""
    image = np.full((height, _WIDTH, 3), 255, np.float32)
    for mark in marks:
        colour = np.array([int(mark.colour[k : k + 2], 16) for k in (1, 3, 5)], np.float32)
        match mark:
            case _Line(points, _, wide, dots):
                for a, b in zip(points, points if dots else points[1:], strict=False):
                    _segment(image, a, b, wide / 2, colour)
            case _Word(x, y, text, _):
                shape = letters(text)
                left, top = max(0, round(x)), round(y - 8)
                shape = shape[:, : _WIDTH - left]
                part = image[top : top + 16, left : left + shape.shape[1]]
                part += shape[: len(part), :, None] * (colour - part)
    return image.round().astype(np.uint8)


def _segment(image: NDArray[np.float32], a: Floats, b: Floats, radius: float, colour: NDArray[np.float32]) -> None:
    """Draw a line with soft edges: cover falls off within a pixel of its width."""
    low = np.maximum(np.floor(np.minimum(a, b) - radius - 1).astype(int), 0)
    high = np.minimum(np.ceil(np.maximum(a, b) + radius + 2).astype(int), (image.shape[1], image.shape[0]))
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    along = b - a
    t = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(float(along @ along), 1e-9), 0, 1)
    distance = np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1])
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None].astype(np.float32)
    part = image[low[1] : high[1], low[0] : high[0]]
    part += cover * (colour - part)
