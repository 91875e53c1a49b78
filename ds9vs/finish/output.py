"""The last step: a picture of any make becomes what an encoder takes, in its frame, with true tags.

`geometry` owns edges and shape, `colour` the conversions, `deband` the gradients; here they are put together.
May import the ground rooms and its neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ..errors import CustomValueError
from ..files import existing
from ..plugins import require
from ..presets import load_toml, preset_path, to_options
from .colour import SYSTEMS, source_system
from .deband import DebandOptions
from .deband import deband as _deband
from .geometry import Geometry, _sar, frame_geometry, parse_ratio

__all__ = ["Levels", "finish", "measure_levels"]

type Func = Callable[..., Any] | str

DITHERS = ("error_diffusion", "ordered", "random", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishOptions:
    """What a finish preset says."""

    dither: str = "error_diffusion"
    """How the last bits are dropped: one of `DITHERS`."""
    levels: str = "keep"
    """Highlights above legal white: "keep" what the source has, or "legal" for none."""
    deband: DebandOptions = dataclasses.field(default_factory=DebandOptions)
    """How to deband."""


def finish(
    clip: vs.VideoNode,
    *,
    aspect: str | Fraction | float | None = None,
    width: int | None = None,
    height: int | None = None,
    bits: int = 10,
    matrix: Literal["709", "525", "625"] = "709",
    pillarbox: bool = False,
    active: int | None = None,
    fit: Literal["exact", "bars", "crop"] = "exact",
    deband: bool | None = None,
    dither: Literal["error_diffusion", "ordered", "random", "none"] | None = None,
    levels: Literal["keep", "legal"] | None = None,
    lut: str | Path | None = None,
    preset: str = "safe",
    colour: Literal["525", "625", "709"] | None = None,
    sar: str | Fraction | None = None,
) -> vs.VideoNode:
    """Make the pictures ready to encode: YUV 4:2:0 of `bits`, limited range, BT.709, square samples. The format
    changes, the size where asked; length, rate and other props stay.

    One pass of zimg scales (Spline36), takes the primaries through linear light and the matrix, and sites chroma left;
    then bands are smoothed, depth is dithered, overshoots are limited and bars are added. A picture that
    does not fill the frame of `aspect` raises, saying what to type: nothing is cropped or stretched silently.

    Grain belongs between debanding and this function's dither: a clip from `add_grain` (`DS9VS_Grain`) is not debanded
    here; where its gradients band, call `ds9vs.deband` before `add_grain`. Grain from elsewhere counts as texture.

    Tags written: `_Matrix`, `_Primaries`, `_Transfer`, `_Range` (limited), `_ChromaLocation` (left), `_SARNum`,
    `_SARDen`. Legal values stay legal: luma lies within 16 and 235 (in 8-bit terms) or, with levels="keep", up to the
    highest code that this picture's source has above it; chroma within 16 and 240. What is blacker than black becomes
    black: it has no light.

    Args:
        clip: Progressive pictures: YUV of 8 to 16 bits or float, or RGB.
        aspect: Shape of the frame: "4:3", "16:9" or a ratio; by default the picture's own.
        width: Width of the frame, even; by default from the height. Bars of `pillarbox` not counted.
        height: Height of the frame, even: 2160, 1080, 720. By default (no width either) the clip's samples are kept.
        bits: 8, 10, 12 or 16.
        matrix: Colour system of the result: "709", or "525"/"625" to stay with standard definition.
        pillarbox: Put the frame into 16:9 with black bars: 2880x2160 into 3840x2160.
        active: Of a full 720-sample line, how many fill the frame (704); see `geometry`.
        fit: Where the shapes differ: "exact" raises, "bars" adds black, "crop" cuts.
        deband: Smooth banding in flat places; by default unless `add_grain` grained the clip.
        dither: Instead of the preset's. "ordered" is the fastest.
        levels: Instead of the preset's.
        lut: A .cube file, applied to R'G'B' of the result's colour system (colour timing).
        preset: "safe" or "clean" of `presets/finish`, or the path of a .toml.
        colour: Colour system of the clip, where its props do not say.
        sar: Its sample aspect ratio, where its props do not say. Props are read from the first picture while the script
            is evaluated; with `colour`, `sar` and `deband` given, no picture is.

    Raises:
        CustomValueError: An argument out of range, a clip that does not say its colours or shape, a picture that does
            not fill the frame, an interlaced clip.
        CustomRuntimeError: A plugin is missing.
        FileWasNotFoundError: The .cube file is not there.

    Example:
        >>> film = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=1)
        >>> out = finish(film, height=720, sar="10:11", colour="525")
        >>> (out.format.name, out.width, out.height)
        ('YUV420P10', 960, 720)
    """
    kind = clip.format
    if kind is None or not clip.width or kind.color_family not in (vs.YUV, vs.RGB):
        raise CustomValueError("Give YUV or RGB of one format and one size.", finish, kind.name if kind else None)
    if bits not in (8, 10, 12, 16):
        raise CustomValueError("bits is 8, 10, 12 or 16.", finish, bits)
    if matrix not in SYSTEMS:
        raise CustomValueError(f"matrix is one of {', '.join(SYSTEMS)}.", finish, matrix)
    if fit not in ("exact", "bars", "crop"):
        raise CustomValueError('fit is "exact", "bars" or "crop".', finish, fit)
    options = _options(preset)
    chosen, keep = dither or options.dither, levels or options.levels
    if chosen not in DITHERS:
        raise CustomValueError(f"dither is one of {', '.join(DITHERS)}.", finish, chosen)
    if keep not in ("keep", "legal"):
        raise CustomValueError('levels is "keep" or "legal".', finish, keep)
    expr = require("akarin.Expr", finish)

    clip = source_system(clip, colour, finish)
    if sar is None or colour is None or deband is None:
        with clip.get_frame(0) as frame:
            if frame.props.get("_FieldBased", 0):
                raise CustomValueError("finish takes progressive pictures; call ivtc() or deinterlace() first.", finish)
            deband = "DS9VS_Grain" not in frame.props if deband is None else deband
    place = frame_geometry(
        clip.width,
        clip.height,
        _sar(clip, sar, finish),
        aspect=None if aspect is None else parse_ratio(aspect, "aspect", finish),
        out_width=width,
        out_height=height,
        active=active,
        fit=fit,
        pillarbox=pillarbox,
        func=finish,
    )
    system = SYSTEMS[matrix]
    out = _convert(clip, place, matrix, lut)
    if deband:
        out = _deband(out, options=options.deband)
    out = out.resize.Point(format=_depth(bits), dither_type=chosen)

    # Kernels overshoot, and so does error diffusion: back to what is legal, or as far as the source goes.
    unit = 1 << (bits - 8)
    white = str(235 * unit)
    if keep == "keep" and kind.color_family == vs.YUV:
        stats = (clip.std.ShufflePlanes(0, vs.GRAY)).std.PlaneStats(prop="DS9VS_Source")
        out = out.std.CopyFrameProps(stats, props=["DS9VS_SourceMax"])
        white = f"x.DS9VS_SourceMax {_code_factor(kind, bits)} * {255 * unit} min {235 * unit} max"
    out = expr(out, [f"x {16 * unit} max {white} min", f"x {16 * unit} max {240 * unit} min"])
    left, top, right, bottom = place.bars
    if any(place.bars):
        black = [16 * unit, 128 * unit, 128 * unit]
        out = out.std.AddBorders(left=left, right=right, top=top, bottom=bottom, color=black)
    return out.std.RemoveFrameProps(["DS9VS_SourceMax"]).std.SetFrameProps(
        _Matrix=system.matrix,
        _Primaries=system.primaries,
        _Transfer=system.transfer,
        _Range=0,
        _ChromaLocation=0,
        _FieldBased=0,
        _SARNum=place.sar.numerator,
        _SARDen=place.sar.denominator,
    )


def _options(preset: str) -> FinishOptions:
    table = load_toml(preset_path("finish", preset, finish), finish)
    table["deband"] = to_options(DebandOptions, table.get("deband", {}), finish)
    return to_options(FinishOptions, table, finish)


def _depth(bits: int) -> int:
    return int(core.query_video_format(vs.YUV, vs.INTEGER, bits, 1, 1).id)


def _code_factor(kind: vs.VideoFormat, bits: int) -> float:
    """From a luma code of the source to one of `bits` bits; both limited range."""
    if kind.sample_type == vs.FLOAT:
        return 219.0 * (1 << (bits - 8))  # the offset of black is within the rounding of what this bound is for
    return float(2.0 ** (bits - kind.bits_per_sample))


def _convert(clip: vs.VideoNode, place: Geometry, matrix: str, lut: str | Path | None) -> vs.VideoNode:
    """Scale, and convert to 4:2:0 of 16 bits in the colour system wanted."""
    system = SYSTEMS[matrix]
    left, top, shown_w, shown_h = (float(v) for v in place.window)
    size: dict[str, Any] = {"width": place.width, "height": place.height}
    if (left, top, shown_w, shown_h) != (0, 0, clip.width, clip.height):
        size |= {"src_left": left, "src_top": top, "src_width": shown_w, "src_height": shown_h}
    target: dict[str, Any] = {"primaries": system.primaries, "transfer": system.transfer, "range_s": "limited"}
    if lut is None:
        return clip.resize.Spline36(
            **size, format=vs.YUV420P16, matrix=system.matrix, chromaloc_s="left", dither_type="none", **target
        )
    cube = require("timecube.Cube", finish)
    path = existing(lut, finish)
    rgb = clip.resize.Spline36(**size, format=vs.RGBS, **{**target, "range_s": "full"})
    try:
        timed = cube(rgb, str(path))
    except vs.Error as error:
        raise CustomValueError(f"{str(path)!r} is not a .cube colour table ({error}).", finish) from error
    return timed.resize.Spline36(
        format=vs.YUV420P16, matrix=system.matrix, chromaloc_s="left", range_s="limited", dither_type="none"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What a handful of pictures say about a clip's levels; shares from 0 to 1 of all luma samples."""

    below: float
    """Blacker than black (under 16 in 8-bit terms)."""
    above: float
    """Whiter than white (over 235)."""
    chroma: float
    """Chroma outside 16 to 240."""
    crushed: float
    """Exactly black: much of it in many pictures means that shadows were cut off."""
    clipped: float
    """Exactly white, or the highest code there is."""
    lowest: float
    """The lowest luma, in 8-bit codes."""
    highest: float
    """The highest luma, in 8-bit codes."""


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
    kind = clip.format
    if kind is None or kind.color_family != vs.YUV or kind.sample_type or kind.bits_per_sample > 16:
        raise CustomValueError("measure_levels reads YUV of 8 to 16 bits.", measure_levels, kind.name if kind else None)
    if frames < 1:
        raise CustomValueError("frames is 1 or more.", measure_levels, frames)
    unit = 1 << (kind.bits_per_sample - 8)
    rows: list[list[float]] = []
    for n in sorted({int((k + 0.5) * clip.num_frames / frames) for k in range(frames)}):
        with clip.get_frame(min(n, clip.num_frames - 1)) as frame:
            y = np.asarray(frame[0]).astype(np.int64)
            chroma = [np.asarray(frame[k]).astype(np.int64) for k in (1, 2)]
        rows.append(
            [
                float(np.mean(y < 16 * unit)),
                float(np.mean(y > 235 * unit)),
                float(np.mean([np.mean((c < 16 * unit) | (c > 240 * unit)) for c in chroma])),
                float(np.mean(y == 16 * unit)),
                float(np.mean((y == 235 * unit) | (y == 256 * unit - 1))),
                float(y.min()) / unit,
                float(y.max()) / unit,
            ]
        )
    table = np.array(rows)
    below, above, outside, crushed, clipped = (float(v) for v in table[:, :5].mean(axis=0))
    return Levels(
        below=below,
        above=above,
        chroma=outside,
        crushed=crushed,
        clipped=clipped,
        lowest=float(table[:, 5].min()),
        highest=float(table[:, 6].max()),
    )
