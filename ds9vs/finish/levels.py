"""What is legal: shares of illegal, crushed and clipped values, of every picture as props or of a clip as a number.

May import the ground rooms. Changes no sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import vapoursynth as vs

from ..errors import CustomValueError
from ..plugins import require

__all__ = ["Levels", "measure_levels", "report_levels"]

type Func = Callable[..., Any] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What a handful of pictures say about a clip's levels; shares from 0 to 1 of all luma (or chroma) samples."""

    below: float
    """Blacker than black (under 16 in 8-bit terms)."""
    above: float
    """Whiter than white (over 235)."""
    chroma: float
    """Chroma outside 16 to 240; the mean of Cb and Cr."""
    crushed: float
    """Black, to half an 8-bit code: much of it in many pictures means that shadows were cut off."""
    clipped: float
    """White, or the highest code there is, to half an 8-bit code."""
    lowest: float
    """The lowest luma, in 8-bit codes."""
    highest: float
    """The highest luma, in 8-bit codes."""


_PROPS = {
    "below": "DS9VS_BelowBlack",
    "above": "DS9VS_AboveWhite",
    "chroma": "DS9VS_IllegalChroma",
    "crushed": "DS9VS_Crushed",
    "clipped": "DS9VS_Clipped",
    "lowest": "DS9VS_Lowest",
    "highest": "DS9VS_Highest",
}


def report_levels(clip: vs.VideoNode, *, func: Func | None = None) -> vs.VideoNode:
    """Tell of every picture how much of it is illegal or crushed; the pictures stay as they are.

    Props, as in `Levels`: `DS9VS_BelowBlack`, `DS9VS_AboveWhite`, `DS9VS_IllegalChroma`, `DS9VS_Crushed`,
    `DS9VS_Clipped` (shares, 0 to 1), `DS9VS_Lowest`, `DS9VS_Highest` (luma, 8-bit codes).

    Args:
        clip: YUV of 8 to 16 bits, limited range.
        func: Named in errors.

    Raises:
        CustomValueError: Another format.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> white = core.std.BlankClip(format=vs.YUV420P8, length=1, color=[240, 128, 128])
        >>> report_levels(white).get_frame(0).props["DS9VS_AboveWhite"]
        1
    """
    func = func or report_levels
    kind = clip.format
    if kind is None or kind.color_family != vs.YUV or kind.sample_type or kind.bits_per_sample > 16:
        raise CustomValueError("Levels are told of YUV of 8 to 16 bits.", func, kind.name if kind else None)
    expr, props = require("akarin.Expr", func), require("akarin.PropExpr", func)
    unit = 1 << (kind.bits_per_sample - 8)
    y, u, v = (clip.std.ShufflePlanes(p, vs.GRAY) for p in range(3))
    top = 256 * unit - 1
    shares = [
        ([y], f"x {16 * unit} <"),
        ([y], f"x {235 * unit} >"),
        ([u, v], f"x {16 * unit} < x {240 * unit} > or y {16 * unit} < + y {240 * unit} > +"),
        ([y], f"x {16 * unit} - abs {unit / 2} <"),
        ([y], f"x {235 * unit} - abs {unit / 2} < x {top} - abs {unit / 2} < or"),
    ]
    stats = [
        expr(c, f"{words} {127 if len(c) > 1 else 255} *", format=vs.GRAY8).std.PlaneStats() for c, words in shares
    ]
    scales = [255 / (127 * 2) if len(c) > 1 else 1 for c, _ in shares]
    table = {
        name: f"{letter}.PlaneStatsAverage {scale} *"
        for name, letter, scale in zip(_PROPS.values(), "yzabc", scales, strict=False)
    }
    table |= {_PROPS["lowest"]: f"d.PlaneStatsMin {unit} /", _PROPS["highest"]: f"d.PlaneStatsMax {unit} /"}
    return props([clip, *stats, y.std.PlaneStats()], lambda: table)


def measure_levels(clip: vs.VideoNode, *, frames: int = 8) -> Levels:
    """Report illegal and crushed values, from a handful of pictures spread over the clip.

    Args:
        clip: YUV of 8 to 16 bits, limited range.
        frames: How many pictures to read.

    Raises:
        CustomValueError: Another format, or no frame to read.

    Example:
        >>> white = core.std.BlankClip(format=vs.YUV420P8, length=1, color=[240, 128, 128])
        >>> measure_levels(white).above
        1.0
    """
    if frames < 1:
        raise CustomValueError("frames is 1 or more.", measure_levels, frames)
    told = report_levels(clip, func=measure_levels)
    rows: dict[str, list[float]] = {field.name: [] for field in fields(Levels)}
    for n in sorted({int((k + 0.5) * clip.num_frames / frames) for k in range(frames)}):
        with told.get_frame(min(n, clip.num_frames - 1)) as frame:
            for name, row in rows.items():
                row.append(float(str(frame.props[_PROPS[name]])))
    merge = {"lowest": min, "highest": max}
    return Levels(**{name: merge.get(name, lambda row: sum(row) / len(row))(row) for name, row in rows.items()})
