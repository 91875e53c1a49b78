"""Draws log.jsonl: gain over Lanczos on validation pictures against steps, as SVG.

    python curve.py RUN/log.jsonl OUT.svg [--line NAME=DB...]

`--line upconv_7_photo=1.37` draws a level to compare with. Needs only Python.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP = 760, 420, 60, 20
COLOURS = {
    "all": "#111",
    "photo": "#1f77b4",
    "tos": "#d62728",
    "video": "#2ca02c",
    "effect": "#9467bd",
    "alone": "#999",
}


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--line", nargs="*", default=[])
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.log.read_text().splitlines()]
    levels = {name: float(value) for name, _, value in (text.partition("=") for text in given.line)}
    last = max(row["step"] for row in rows)
    high = max([max(row.get(name, 0) for name in COLOURS) for row in rows] + list(levels.values())) * 1.08

    def at(step: float, gain: float) -> str:
        x = LEFT + step / last * (WIDTH - LEFT - 110)
        y = TOP + (1 - max(gain, 0) / high) * (HEIGHT - TOP - 40)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    gain = 0.0
    while gain < high:
        a, b = at(0, gain), at(last, gain)
        parts.append(f'<path d="M{a} L{b}" stroke="#ddd"/><text x="30" y="{a.split(",")[1]}">{gain:.1f}</text>')
        gain += 0.5
    for part in range(5):
        x, y = at(last * part / 4, 0).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 18:.0f}" text-anchor="middle">{last * part // 4}</text>')
    labels: list[tuple[float, str, str]] = []
    for name, level in levels.items():
        a, b = at(0, level), at(last, level)
        parts.append(f'<path d="M{a} L{b}" stroke="#f90" stroke-dasharray="5 4"/>')
        labels.append((float(b.split(",")[1]), name, "#c70"))
    for name, colour in COLOURS.items():
        points = [at(row["step"], row[name]) for row in rows if name in row]
        if points:
            dash = ' stroke-dasharray="3 3"' if name == "alone" else ""
            parts.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>'
            )
            text = {"alone": "middle alone", "tos": "film"}.get(name, name)
            labels.append((float(points[-1].split(",")[1]), text, colour))
    lowest = 0.0
    for y, text, colour in sorted(labels):
        lowest = max(y, lowest + 13)
        parts.append(f'<text x="{WIDTH - 104}" y="{lowest + 4:.1f}" fill="{colour}">{text}</text>')
    parts.append(
        f'<text x="{LEFT}" y="{HEIGHT - 6}">steps; gain over Lanczos in dB of luma, held-out pictures</text></svg>'
    )
    given.out.write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
