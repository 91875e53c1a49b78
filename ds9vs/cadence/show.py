"""A picture of a cadence: one self-contained page (HTML with inline SVG, no script) and the same lanes as a PNG.

May import the ground rooms and `cadence/model`, `measure`, `override`. Decides nothing; reads the tape only for
thumbnails.

What is drawn is a short list of marks (rectangles, bars, words), which two small writers turn into SVG and into pixels.
"""

from __future__ import annotations

import base64
import html
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from ..drawing import letters, png
from ..errors import CustomValueError
from ..files import atomic, write_text
from .measure import CHUNK, Evidence
from .model import Cadence, Kind, Shot
from .override import Override, clock, phase_of

__all__ = ["draw"]

type Floats = NDArray[np.float32]

_COLOURS = {
    "film": "#3f7fd6",
    "30p": "#2b9c74",
    "60i": "#e0871f",
    "layered": "#a95cc4",
    "good": "#7d8b99",
    "fair": "#d9a514",
    "poor": "#d8434e",
    "moves": "#7f9db9",
    "alone": "#e0871f",
    "combed": "#d8434e",
    "still": "#8d949c",
    "fade": "#a95cc4",
    "dark": "#4c5866",
    "other": "#2b9c74",
    "ink": "#1c2733",
    "faint": "#66727f",
    "line": "#d3dae1",
    "lane": "#eef1f4",
    "paper": "#ffffff",
    "mark": "#ffffff",
}
"""By what they mean; the kinds differ for colour-blind eyes too (blue, green, orange, purple of unlike lightness)."""
_DARK = {
    "ink": "#e6ebf0",
    "faint": "#98a4b0",
    "line": "#3a4552",
    "lane": "#242d37",
    "paper": "#161c23",
    "dark": "#6c7a89",
}
"""What a page on a dark screen changes."""

_WIDTH, _LEFT = 1280, 94
_LANES = (("cadence", 24), ("confidence", 18), ("moves", 14), ("alone", 14), ("flags", 10))
_ROW = sum(height + 3 for _, height in _LANES) + 20
_TOP = 64
_STEPS = {5: 5, 10: 10, 20: 10, 30: 6, 60: 12, 120: 12, 300: 10, 600: 10, 1200: 10, 3600: 12}
"""Seconds that a row may last, and into how many parts it is ruled."""
_ROWS = 24
_BINS = 600
_FAIR, _POOR = 0.99, 0.9
_THUMB = (112, 84)


@dataclass(frozen=True, slots=True)
class _Rect:
    x: float
    y: float
    w: float
    h: float
    colour: str
    title: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class _Bars:
    """Columns side by side from a ground line up; heights in pixels."""

    x: float
    ground: float
    w: float
    heights: Floats
    colour: str


@dataclass(frozen=True, slots=True)
class _Word:
    x: float
    y: float
    """Its middle."""
    text: str
    colour: str = "ink"
    right: bool = False
    """Whether `x` is its right end, not its left."""


type _Mark = _Rect | _Bars | _Word


def draw(
    cadence: Cadence,
    out: str | os.PathLike[str],
    *,
    evidence: Evidence | None = None,
    tape: vs.VideoNode | None = None,
    overrides: Sequence[Override] = (),
    name: str = "MAP",
    shots: int = 60,
) -> tuple[Path, Path]:
    """Draw a tape: lanes for cadence, confidence, evidence, flags and cuts; then its least sure shots.

    Args:
        cadence: The map.
        out: Where the page goes; a PNG of its lanes goes beside it, named alike.
        evidence: What was measured; without it the lanes "moves" and "alone" stay empty.
        tape: The tape itself, for thumbnails of the shots listed.
        overrides: What was said by hand; it is underlined.
        name: The map's file, as the commands on the page name it.
        shots: How many shots are listed.

    Returns:
        The page and the PNG.

    Raises:
        CustomValueError: The tape or the evidence has another length than the map, or `shots` is no count.
        CustomRuntimeError: The folder cannot be written.

    Example:
        >>> from ds9vs.cadence.model import Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> whole = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> [path.name for path in draw(whole, tmp_path / "ep.html")]
        ['ep.html', 'ep.png']
    """
    if tape is not None and tape.num_frames != cadence.tape.frames:
        raise CustomValueError(
            f"The map is of a tape of {cadence.tape.frames} frames, this has {tape.num_frames}.", draw
        )
    if evidence is not None and evidence.fields != 2 * cadence.tape.frames:
        raise CustomValueError(
            f"The map is of {2 * cadence.tape.frames} fields, the evidence of {evidence.fields}; analyse again.", draw
        )
    if shots < 0:
        raise CustomValueError(f"{shots} shots cannot be listed; give 0 or more.", draw)
    listed = sorted(range(len(cadence.shots)), key=lambda n: (cadence.shots[n].confidence, n))[:shots]
    marks, height = _picture(cadence, _lanes(evidence) if evidence else None, overrides, set(listed))
    page = Path(out).with_suffix(".html")
    picture = page.with_suffix(".png")
    write_text(page, _page(cadence, _svg(marks, height), listed, tape, name, Path(out).stem), draw)
    with atomic(picture, draw) as temporary:
        temporary.write_bytes(png(_pixels(marks, height)))
    return page, picture


def _lanes(evidence: Evidence) -> tuple[Floats, Floats]:
    """Of each field the share of blocks that move, and of those that comb visibly with either neighbour."""
    sample = evidence.read(0, min(evidence.fields, CHUNK)).energies()[0]
    noise = max(0.25, float(np.quantile(sample, 0.1)))
    moves, alone = [], []
    for first in range(0, evidence.fields, CHUNK):
        d, s, n = evidence.read(first, first + CHUNK).energies()
        moves.append((d > 4 * noise).mean(1, dtype=np.float32))
        alone.append(((s + d - 2 * np.abs(n)) / 4 > max(8 * noise, 6)).mean(1, dtype=np.float32))
    return np.concatenate(moves), np.concatenate(alone)


def _step(seconds: float) -> int:
    """Seconds in a row of the drawing, so that a tape fills a few rows."""
    return next((step for step in _STEPS if seconds / step <= _ROWS), max(_STEPS))


def _picture(
    cadence: Cadence, lanes: tuple[Floats, Floats] | None, overrides: Sequence[Override], listed: set[int]
) -> tuple[list[_Mark], int]:
    """Everything that is drawn, and the height."""
    rate = float(2 * Fraction(*cadence.tape.fps))
    fields = 2 * cadence.tape.frames
    step = _step(fields / rate)
    span = rate * step
    rows = max(1, int(np.ceil(fields / span - 1e-9)))
    lengths = np.diff(cadence.firsts)
    sure = np.concatenate(
        [
            1 - 10 ** (-np.array(shot.quality) / 10) if shot.quality else np.full(len(shot.lengths), shot.confidence)
            for shot in cadence.shots
        ]
    )
    doubt = np.repeat(1 - np.minimum(sure, np.repeat([s.confidence for s in cadence.shots], _counts(cadence))), lengths)
    combed = np.zeros(len(lengths), bool)
    for shot, first in zip(cadence.shots, cadence.shot_firsts.tolist(), strict=False):
        combed[[first + n for n in shot.combed]] = True
    flags = np.repeat(combed, lengths)

    marks: list[_Mark] = list(_legend(cadence))
    for row in range(rows):
        start, stop = round(row * span), min(fields, round((row + 1) * span))
        top = _TOP + row * _ROW
        scale = (_WIDTH - _LEFT) / span
        marks += _row_frame(row, step, top, (stop - start) * scale)
        y = dict(zip((name for name, _ in _LANES), _tops(top), strict=True))
        tall = dict(_LANES)

        bins = max(1, min(_BINS, stop - start))
        edges = start + np.arange(bins + 1) * (stop - start) // bins
        wide = (stop - start) * scale / bins

        def bars(
            lane: str,
            heights: NDArray[np.floating],
            colour: str,
            y: dict[str, float] = y,
            tall: dict[str, int] = tall,
            wide: float = wide,
        ) -> _Bars:
            return _Bars(_LEFT, y[lane] + tall[lane], wide, np.float32(tall[lane]) * heights.astype(np.float32), colour)

        worst = np.maximum.reduceat(doubt, edges[:-1])
        level = np.clip(-np.log10(np.maximum(worst, 1e-4)) / 4, 0.06, 1)
        for colour, chosen in (
            ("good", worst <= 1 - _FAIR + 1e-9),
            ("fair", (worst > 1 - _FAIR + 1e-9) & (worst <= 1 - _POOR + 1e-9)),
            ("poor", worst > 1 - _POOR + 1e-9),
        ):
            if chosen.any():
                marks.append(bars("confidence", level * chosen, colour))
        if lanes is not None:
            for lane, values in zip(("moves", "alone"), lanes, strict=True):
                mean = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
                marks.append(bars(lane, np.clip(np.sqrt(mean), 0, 1), lane))

        for n, shot in enumerate(cadence.shots):
            a, b = max(start, shot.first), min(stop, shot.stop)
            if a >= b:
                continue
            x, w = _LEFT + (a - start) * scale, (b - a) * scale
            link = f"#shot-{n}" if n in listed else ""
            marks.append(_Rect(x, y["cadence"], w, tall["cadence"], shot.kind, _told(n, shot, cadence), link))
            if shot.first == a and n:
                marks.append(_Rect(x, y["cadence"], 1, tall["cadence"], "paper"))
            if w > 8 * len(str(n)) + 8:
                marks.append(_Word(x + 5, y["cadence"] + tall["cadence"] / 2, str(n), "mark"))
            for k, note in enumerate(shot.notes[:3]):
                colour = note if note in _COLOURS else "other"
                marks.append(_Rect(x, y["flags"] + 3 * k, w, 2.4, colour, note))
        here = np.maximum.reduceat(flags, edges[:-1]) if len(flags) else flags
        if here.any():
            marks.append(bars("flags", 0.9 * here, "combed"))
        for one in overrides:
            a, b = max(start, one.first), min(stop, one.stop)
            if a < b:
                w = max(2.0, (b - a) * scale)
                marks.append(
                    _Rect(_LEFT + (a - start) * scale, y["cadence"] + tall["cadence"] - 4, w, 4, "ink", "said by hand")
                )
    return marks, _TOP + rows * _ROW + 4


def _counts(cadence: Cadence) -> NDArray[np.int64]:
    return np.diff(cadence.shot_firsts)


def _tops(top: float) -> list[float]:
    """Where each lane of a row begins."""
    found = [top]
    for _, height in _LANES[:-1]:
        found.append(found[-1] + height + 3)
    return found


def _legend(cadence: Cadence) -> Iterator[_Mark]:
    """Two lines: kinds with their shares, and what the other lanes show."""
    total = 2 * cadence.tape.frames
    x = 10.0
    for kind, count in cadence.fields_by_kind().items():
        said = f"{kind} {100 * count / max(1, total):.1f} %"
        yield _Rect(x, 12, 12, 12, kind)
        yield _Word(x + 17, 18, said)
        x += 17 + 8 * len(said) + 20
    yield _Word(x, 18, f"{len(cadence.shots)} shots, {len(cadence)} pictures, {clock(total, cadence.tape)}", "faint")
    x = 10.0
    for colour, said in (
        ("good", "99 % sure or more"),
        ("fair", "90 to 99 %"),
        ("poor", "less"),
        ("moves", "moves"),
        ("alone", "weaves with no neighbour"),
        ("still", "still"),
        ("fade", "fade"),
        ("dark", "dark"),
        ("combed", "combs"),
        ("ink", "said by hand"),
    ):
        yield _Rect(x, 36, 12, 12, colour)
        yield _Word(x + 17, 42, said, "faint")
        x += 17 + 8 * len(said) + 14


def _row_frame(row: int, step: int, top: float, width: float) -> Iterator[_Mark]:
    """The empty lanes of a row, their names, and its clock."""
    at = row * step
    begins = f"{at // 3600}:{at // 60 % 60:02}:{at % 60:02}"
    for (name, height), y in zip(_LANES, _tops(top), strict=True):
        yield _Rect(_LEFT, y, width, height, "lane")
        yield _Word(_LEFT - 6, y + height / 2, begins if name == "cadence" else name, "faint", right=True)
    parts = _STEPS[step]
    for k in range(1, parts):
        x = (_WIDTH - _LEFT) * k / parts
        if x < width:
            seconds = at + step // parts * k
            yield _Rect(_LEFT + x, top, 1, _ROW - 20, "line")
            yield _Word(_LEFT + x - 14, top + _ROW - 14, f"{seconds // 60}:{seconds % 60:02}", "faint")


def _told(n: int, shot: Shot, cadence: Cadence) -> str:
    """A shot in a line."""
    phase = phase_of(shot, cadence.tape)
    parts = [
        f"shot {n}: {shot.kind}" + ("" if phase is None else f" phase {phase}"),
        f"fields {shot.first} to {shot.stop} (frames {shot.first / 2:g} to {shot.stop / 2:g})",
        f"{clock(shot.first, cadence.tape)} to {clock(shot.stop, cadence.tape)}",
        f"{100 * shot.confidence:.2f} % sure",
        *shot.notes,
    ]
    return ", ".join(parts)


def _svg(marks: Sequence[_Mark], height: int) -> str:
    """The marks as SVG; colours are the page's variables."""
    out = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="The tape: cadence, confidence, evidence, flags">'
    ]
    for mark in marks:
        match mark:
            case _Rect(x, y, w, h, colour, title, link):
                inner = f"<title>{html.escape(title)}</title>" if title else ""
                shape = f'<rect class="{_name(colour)}" x="{x:.2f}" y="{y:g}" width="{w:.2f}" height="{h:g}">'
                shape += f"{inner}</rect>"
                out.append(f'<a href="{link}">{shape}</a>' if link else shape)
            case _Bars(x, ground, w, heights, colour):
                path, level = [f"M{x:.1f} {ground:g}"], 0.0
                for k, value in enumerate(np.round(heights, 1).tolist()):
                    if value != level:
                        path.append(f"H{x + k * w:.1f}V{ground - value:.1f}")
                        level = value
                path.append(f"H{x + len(heights) * w:.1f}V{ground:g}Z")
                out.append(f'<path class="{_name(colour)}" d="{"".join(path)}"/>')
            case _Word(x, y, text, colour, right):
                anchor = ' text-anchor="end"' if right else ""
                place = f'x="{x:.1f}" y="{y:.1f}" dy=".35em"{anchor}'
                out.append(f'<text class="{_name(colour)}" {place}>{html.escape(text)}</text>')
    out.append("</svg>")
    return "\n".join(out)


def _name(colour: str) -> str:
    """A class for a colour: a name that CSS takes."""
    return f"c-{colour}"


def _pixels(marks: Sequence[_Mark], height: int) -> NDArray[np.uint8]:
    """The marks as RGB, shape (height, width, 3)."""
    image = np.empty((height, _WIDTH, 3), np.float32)
    image[:] = _rgb("paper")
    for mark in marks:
        match mark:
            case _Rect(x, y, w, h, colour, _, _):
                a, b = round(x), max(round(x) + 1, round(x + w))
                image[round(y) : round(y + h), a:b] = _rgb(colour)
            case _Bars(x, ground, w, heights, colour):
                columns = np.arange(round(x), min(_WIDTH, round(x + w * len(heights))))
                value = heights[np.clip(((columns + 0.5 - x) / w).astype(int), 0, len(heights) - 1)]
                high = int(np.ceil(heights.max(initial=0)))
                rows = np.arange(round(ground) - high, round(ground))
                cover = np.clip(value[None] - (round(ground) - 1 - rows)[:, None], 0, 1)[..., None]
                part = image[rows[0] : rows[-1] + 1, columns] if high else None
                if part is not None:
                    image[rows[0] : rows[-1] + 1, columns] = part + cover * (_rgb(colour) - part)
            case _Word(x, y, text, colour, right):
                shape = letters(text)
                left = round(x - shape.shape[1] if right else x)
                top = round(y - shape.shape[0] / 2)
                shape = shape[:, max(0, -left) : max(0, _WIDTH - left)]
                left = max(0, left)
                part = image[top : top + shape.shape[0], left : left + shape.shape[1]]
                part += shape[: len(part), :, None] * (_rgb(colour) - part)
    return image.round().astype(np.uint8)


def _rgb(colour: str) -> Floats:
    code = _COLOURS[colour]
    return np.array([int(code[k : k + 2], 16) for k in (1, 3, 5)], np.float32)


def _thumbnails(cadence: Cadence, listed: Sequence[int], tape: vs.VideoNode) -> dict[int, str]:
    """A data URI for each shot listed: its first, middle and last frame, each shown by one field."""
    fields = tape.std.SeparateFields(tff=cadence.tape.tff).std.RemoveFrameProps(["_Field", "_FieldBased"])
    with tape.get_frame(0) as frame:
        matrix = {} if frame.props.get("_Matrix", 2) not in (0, 2) else {"matrix_in": 6}
    if tape.format.color_family == vs.GRAY:
        matrix = {}
    small = fields.resize.Bicubic(*_THUMB, format=vs.RGB24, **matrix)
    wanted = {n: _three(cadence.shots[n]) for n in listed}
    pictures = {}
    for k in sorted({k for three in wanted.values() for k in three}):
        with small.get_frame(k) as frame:
            pictures[k] = np.stack([np.asarray(frame[p]) for p in range(3)], 2)
    gap = np.full((_THUMB[1], 3, 3), 128, np.uint8)
    return {
        n: "data:image/png;base64,"
        + base64.b64encode(png(np.concatenate([pictures[a], gap, pictures[b], gap, pictures[c]], 1))).decode()
        for n, (a, b, c) in wanted.items()
    }


def _three(shot: Shot) -> tuple[int, int, int]:
    """Fields near a shot's start, in its middle and near its end, of one parity where it is long enough."""
    first, last = min(shot.first + 1, shot.stop - 1), max(shot.stop - 2, shot.first)
    return first - (first % 2 and first > shot.first), (first + last) // 2, last


def _page(
    cadence: Cadence, drawing: str, listed: Sequence[int], tape: vs.VideoNode | None, name: str, title: str
) -> str:
    thumbs = _thumbnails(cadence, listed, tape) if tape is not None else {}
    rows = "\n".join(_row(n, cadence, thumbs.get(n), name) for n in listed)
    unsure = sum(shot.confidence < _FAIR for shot in cadence.shots)
    light = "".join(f"--{_name(key)}:{value};" for key, value in _COLOURS.items())
    dark = "".join(f"--{_name(key)}:{value};" for key, value in _DARK.items())
    fills = "".join(f".{_name(key)}{{fill:var(--{_name(key)})}}" for key in _COLOURS)
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in cadence.notes)
    where = html.escape(shlex.quote(name))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}: cadence</title><style>
:root{{{light}color-scheme:light dark}}
@media (prefers-color-scheme:dark){{:root{{{dark}}}}}
{fills}{_STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class="lead">{cadence.tape.frames} frames, {html.escape(clock(2 * cadence.tape.frames, cadence.tape))},
{"top" if cadence.tape.tff else "bottom"} field first; {len(cadence.shots)} shots, {len(cadence)} pictures;
{unsure} {"shot" if unsure == 1 else "shots"} less than 99 % sure.</p>{notes}
<div class="tape">{drawing}</div>
<h2>Least sure first</h2>
<p class="lead">Point at a shot above to read what it is; click it to find it here. A command below says what a shot
is; the rest is solved again around it. <code>ds9vs cadence cut {where} --frame N</code> says that a shot begins, and
<code>ds9vs cadence unset {where} --frames A-B</code> takes back what was said.</p>
<table><thead><tr><th>shot</th><th>first, middle, last</th><th>where</th><th>what</th><th>pictures</th>
<th>sure</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


_STYLE = """
body{margin:2rem auto;max-width:1320px;padding:0 1rem;background:var(--c-paper);color:var(--c-ink);
font:15px/1.45 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2rem 0 .2rem}
.lead{color:var(--c-faint);margin:.2rem 0 1rem;max-width:60rem}
.tape{overflow-x:auto}svg{width:100%;min-width:900px;height:auto;display:block}
svg text{font-size:11px}svg a rect:hover{opacity:.75;cursor:pointer}
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600;color:var(--c-faint);font-size:.85rem}
td,th{padding:.5rem .6rem;vertical-align:top}th,.say td{border-bottom:1px solid var(--c-line)}
.say td{padding-top:0}
tr:target{background:var(--c-lane)}td img{display:block;border-radius:3px;max-width:none}
.num{font-variant-numeric:tabular-nums;white-space:nowrap}.dim{color:var(--c-faint);font-size:.85rem}
.kind{display:inline-block;border-radius:3px;padding:.05rem .45rem;color:#fff;font-weight:600}
.cells{display:flex;gap:1px;flex-wrap:wrap;max-width:15rem}.cells i{display:flex;gap:1px;margin-right:3px}
.cells b{width:5px;height:14px;border-radius:1px}
code,pre{font:12px/1.5 ui-monospace,"DejaVu Sans Mono",monospace}pre{margin:.3rem 0 0;white-space:pre-wrap}
summary{cursor:pointer;color:var(--c-faint)}
"""


def _row(n: int, cadence: Cadence, thumb: str | None, name: str) -> str:
    """A shot as a row of the table."""
    shot, tape = cadence.shots[n], cadence.tape
    phase = phase_of(shot, tape)
    sure = "poor" if shot.confidence < _POOR else "fair" if shot.confidence < _FAIR else "good"
    image = f'<img src="{thumb}" alt="">' if thumb else ""
    lines = "\n".join(_commands(shot, cadence, name))
    notes = ", ".join(shot.notes)
    if shot.combed:
        notes += f"{', ' if notes else ''}{len(shot.combed)} of {len(shot.lengths)} pictures comb"
    return (
        f'<tr id="shot-{n}"><td class="num">{n}</td><td>{image}</td>'
        f'<td class="num">{clock(shot.first, tape)}<br>{clock(shot.stop, tape)}<div class="dim">'
        f"frames {shot.first / 2:g} to {shot.stop / 2:g}<br>fields {shot.first} to {shot.stop}</div></td>"
        f'<td><span class="kind" style="background:var(--{_name(shot.kind)})">{shot.kind}</span>'
        f"{'' if phase is None else f' phase {phase}'}<div class='dim'>{html.escape(notes)}</div></td>"
        f"<td>{_cells(shot)}</td>"
        f'<td class="num" style="color:var(--{_name(sure)})"><strong>{100 * shot.confidence:.1f} %</strong></td>'
        f'</tr><tr class="say"><td></td><td colspan="5"><details><summary>to correct it</summary>'
        f"<pre>{html.escape(lines)}</pre></details></td></tr>"
    )


def _cells(shot: Shot) -> str:
    """The first fields of a shot, a little bar each, those of one picture side by side."""
    lengths, out, at = shot.base or shot.lengths, [], 0
    for digit in lengths:
        if at >= 30:
            break
        bar = f'<b style="background:var(--{_name(shot.kind)})"></b>'
        out.append(f"<i>{bar * int(digit)}</i>")
        at += int(digit)
    pattern = html.escape(lengths[:20] + ("..." if len(lengths) > 20 else ""))
    return f'<div class="cells">{"".join(out)}</div><div class="dim">{pattern}</div>'


def _commands(shot: Shot, cadence: Cadence, name: str) -> list[str]:
    """What to type to say that a shot is what it is, or something else."""
    where = f"--fields {shot.first}-{shot.stop}"
    if not shot.first % 2 and not shot.stop % 2:
        where = f"--frames {shot.first // 2}-{shot.stop // 2}"
    begin = f"ds9vs cadence set {shlex.quote(name)} {where} --cadence"
    phase = phase_of(shot, cadence.tape)
    lines = [f"{begin} {shot.kind}" + ("" if phase is None else f" --phase {phase}") + "  # it is right"]
    return lines + [f"{begin} {kind}" for kind in get_args(Kind) if kind != shot.kind]
