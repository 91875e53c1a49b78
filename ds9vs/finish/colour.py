"""Colour as numbers: matrices, primaries and transfer of standard and high definition, and the one conversion between.

The functions on arrays are double precision and are the yardstick that the tests hold the fast path against; the
functions on clips hand the work to zimg. May import the ground rooms.

Systems, by what a DVD or a Blu-ray calls itself:

=====  ==================  ===========  ==========  ===========
name   standard            matrix       primaries   white
=====  ==================  ===========  ==========  ===========
525    SMPTE ST 170 (NTSC) ST 170M (6)  170M (6)    D65
625    BT.470 B/G (PAL)    470BG (5)    470BG (5)   D65
709    BT.709 (HD)         BT.709 (1)   BT.709 (1)  D65
=====  ==================  ===========  ==========  ===========

Light is what a reference display makes of the signal (ITU-R BT.1886: 2.4 power, black at 0) for all three, so that the
conversion keeps what was seen on the grading monitor; the cameras' curves of BT.601 and BT.709 are one and the same and
do not enter. What lies below black has no light and becomes black.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import vapoursynth as vs

from ..errors import CustomValueError

__all__ = ["SYSTEMS", "System", "convert_codes", "display_light", "display_signal", "primaries_matrix", "source_system"]

type Func = Callable[..., Any] | str
type Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A colour system of video: numbers of ITU-T H.273 for the props, and what they stand for."""

    matrix: int
    """`_Matrix`."""
    primaries: int
    """`_Primaries`."""
    transfer: int
    """`_Transfer`."""
    kr: float
    """Share of red in luma."""
    kb: float
    """Share of blue in luma."""
    xy: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    """Chromaticities of red, green, blue (CIE 1931)."""


SYSTEMS = {
    "525": System(
        matrix=6, primaries=6, transfer=6, kr=0.299, kb=0.114, xy=((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
    ),
    "625": System(
        matrix=5, primaries=5, transfer=6, kr=0.299, kb=0.114, xy=((0.640, 0.330), (0.290, 0.600), (0.150, 0.060))
    ),
    "709": System(
        matrix=1, primaries=1, transfer=1, kr=0.2126, kb=0.0722, xy=((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    ),
}
"""The systems by name. PAL's transfer is tagged 6 (BT.601): the 2.8 power of BT.470 was never what cameras made."""
D65 = (0.3127, 0.3290)


def primaries_matrix(source: str, target: str) -> Array:
    """The 3x3 matrix that takes linear R, G, B of one system to those of another (SMPTE RP 177).

    Example:
        >>> primaries_matrix("525", "709").sum(axis=1).round(6).tolist()
        [1.0, 1.0, 1.0]
    """

    def to_xyz(system: System) -> Array:
        columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in system.xy]).T
        white = np.array([D65[0] / D65[1], 1.0, (1 - sum(D65)) / D65[1]])
        return np.asarray(columns * np.linalg.solve(columns, white))

    return np.asarray(np.linalg.inv(to_xyz(SYSTEMS[target])) @ to_xyz(SYSTEMS[source]))


def display_light(signal: Array) -> Array:
    """Light (0 to 1) of an R'G'B' signal on a reference display: BT.1886, black below 0."""
    return np.asarray(np.maximum(signal, 0.0) ** 2.4)


def display_signal(light: Array) -> Array:
    """The R'G'B' signal of a light: the inverse of `display_light`."""
    return np.asarray(np.maximum(light, 0.0) ** (1 / 2.4))


def convert_codes(codes: Array, source: str, target: str, *, bits: int = 8, target_bits: int = 10) -> Array:
    """Limited-range Y'CbCr codes of one system to those of another, in double precision, not rounded.

    Args:
        codes: Array of shape (3, ...): luma, Cb, Cr of `bits` bits.
        source: A name in `SYSTEMS`.
        target: A name in `SYSTEMS`.
        bits: Depth of the codes given.
        target_bits: Depth of the codes returned.

    Example:
        >>> convert_codes(np.array([16.0, 128.0, 128.0]), "525", "709").tolist()
        [64.0, 512.0, 512.0]
    """
    a, b = SYSTEMS[source], SYSTEMS[target]
    scale, scale_out = 2.0 ** (bits - 8), 2.0 ** (target_bits - 8)
    y, cb, cr = ((codes[k] / scale - zero) / span for k, (zero, span) in enumerate(((16, 219), (128, 224), (128, 224))))
    red, blue = y + 2 * (1 - a.kr) * cr, y + 2 * (1 - a.kb) * cb
    rgb = np.array([red, (y - a.kr * red - a.kb * blue) / (1 - a.kr - a.kb), blue])
    if source != target:
        light = np.tensordot(primaries_matrix(source, target), display_light(rgb), axes=1)
        rgb = display_signal(light)
    luma = b.kr * rgb[0] + (1 - b.kr - b.kb) * rgb[1] + b.kb * rgb[2]
    out = [luma * 219 + 16]
    out += [(rgb[k] - luma) / (2 * (1 - share)) * 224 + 128 for k, share in ((2, b.kb), (0, b.kr))]
    return np.array(out) * scale_out


def source_system(clip: vs.VideoNode, colour: str | None, func: Func) -> vs.VideoNode:
    """The clip with `_Matrix`, `_Primaries` and `_Transfer` all said: by `colour`, else by its props.

    A matrix that is said stands for the primaries and transfer of its system where those are not said.

    Raises:
        CustomValueError: Neither says, or the name is unknown.
    """
    if colour is not None:
        if colour not in SYSTEMS:
            raise CustomValueError(f"colour is one of {', '.join(SYSTEMS)}.", func, colour)
        system = SYSTEMS[colour]
        clip = clip.std.SetFrameProps(_Primaries=system.primaries, _Transfer=system.transfer)
        return clip if clip.format.color_family == vs.RGB else clip.std.SetFrameProps(_Matrix=system.matrix)
    with clip.get_frame(0) as frame:
        props = {name: frame.props.get(name, 2) for name in ("_Matrix", "_Primaries", "_Transfer")}
    if (
        props["_Primaries"] == 2
        or props["_Transfer"] == 2
        or (clip.format.color_family == vs.YUV and props["_Matrix"] == 2)
    ):
        found = [s for s in SYSTEMS.values() if props["_Matrix"] == s.matrix or props["_Primaries"] == s.primaries]
        if not found or (clip.format.color_family == vs.YUV and props["_Matrix"] == 2):
            raise CustomValueError(
                "The clip does not say its colours (_Matrix, _Primaries, _Transfer); "
                "give colour='525' for NTSC, '625' for PAL or '709' for HD.",
                func,
            )
        missing = {"_Primaries": found[0].primaries, "_Transfer": found[0].transfer}
        clip = clip.std.SetFrameProps(**{name: value for name, value in missing.items() if props[name] == 2})
    return clip
