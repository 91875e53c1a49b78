"""The last step: a picture of any make becomes what an encoder takes, in its frame, with true tags.

`geometry` owns edges and shape, `colour` the conversions, `deband` the gradients, `levels` what is legal, `bars` the
frame of letterboxed shots, `grade` colour timing, `hdr` the wide container; here they are put together.
May import the ground rooms and its neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import vapoursynth as vs
from vapoursynth import core

from ..errors import CustomValueError
from ..plugins import require
from ..presets import load_toml, preset_path, to_options
from .bars import Bars, paint_bars
from .colour import SYSTEMS, source_system
from .deband import DebandOptions
from .deband import deband as _deband
from .geometry import Geometry, _sar, frame_geometry, parse_ratio
from .grade import Grade, apply_cube, grade_rgb
from .hdr import TRANSFERS, Light, to_hdr
from .levels import report_levels

__all__ = ["FinishOptions", "finish", "finish_options"]

type Func = Callable[..., Any] | str

DITHERS = ("error_diffusion", "ordered", "random", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishOptions:
    """What a finish preset says."""

    dither: str = "error_diffusion"
    """How the last bits are dropped: one of `DITHERS`."""
    levels: str = "keep"
    """Highlights above legal white: "keep" what the source has, or "legal" for none."""
    noise: float = 0.0
    """Deviation of the soft noise laid over smoothed dark places, in 8-bit codes (`DebandOptions.noise`)."""
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
    noise: float | None = None,
    grain: Callable[[vs.VideoNode], vs.VideoNode] | None = None,
    bars: Bars | str | Path | None = None,
    report: bool = False,
    lut: str | Path | None = None,
    grade: Grade | str | Path | None = None,
    hdr: Literal["pq", "hlg"] | None = None,
    light: Light | tuple[int, int] | None = None,
    preset: str = "safe",
    colour: Literal["525", "625", "709"] | None = None,
    sar: str | Fraction | None = None,
) -> vs.VideoNode:
    """Make the pictures ready to encode: YUV 4:2:0 of `bits`, limited range, BT.709, square samples. The format
    changes, the size where asked; length, rate and other props stay.

    One pass of zimg scales (Spline36), takes the primaries through linear light and the matrix, and sites chroma left;
    then bands are smoothed, depth is dithered, overshoots are limited and bars are added. A picture that
    does not fill the frame of `aspect` raises, saying what to type: nothing is cropped or stretched silently.

    Where bands were smoothed in the dark, soft luma noise is laid (`noise`, 0.7 of an 8-bit code by the presets):
    without it x265 turns the slopes into steps again. Of a dark gradient from a disc at 1440x1080, CAMBI behind x265 at
    CRF 18 is 12.5 enlarged plainly, 6.6 with debanding alone and 0.01 with the noise, which takes 3.4 Mb/s.

    Grain belongs between debanding and dither: give `grain`, as `restore` does, with the part of the noise that weaker
    grain lacks. A clip from `add_grain` (`DS9VS_Grain`) is not debanded here: what the conversion moves off black then
    has no noise, and bands. Grain from elsewhere counts as texture.

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
        noise: Deviation of the noise on smoothed dark places, in 8-bit codes, instead of the preset's; 0 for none.
        grain: What adds grain, `lambda clip: add_grain(clip, model)`; it gets YUV 4:2:0 of 16 bits of the frame's size.
        bars: What `measure_bars` found in these pictures, or its file: letterboxed shots are kept in their frame, their
            bars black. Of a clip that was cropped since: `bars.cropped(left=8, right=8)`.
        report: Tell of every picture what was illegal or crushed in the clip given, as props (`report_levels`).
        lut: A .cube file, applied to R'G'B' of the result's colour system (colour timing).
        grade: Colour timing by ranges of frames (`Grade`), or the .toml that holds it; before `lut`. Frames in no range
            keep their bits.
        hdr: "pq" (HDR10) or "hlg": the same picture in BT.2020 with white at 203 cd/m2 (ITU-R BT.2408), for players
            that switch modes badly. An expansion of the container, not of the picture: no highlight is invented.
        light: MaxCLL and MaxFALL for HDR10, from `measure_light` of a first finish, or the two numbers; by default they
            are not stated.
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
    options = finish_options(preset)
    chosen, keep = dither or options.dither, levels or options.levels
    if chosen not in DITHERS:
        raise CustomValueError(f"dither is one of {', '.join(DITHERS)}.", finish, chosen)
    if keep not in ("keep", "legal"):
        raise CustomValueError('levels is "keep" or "legal".', finish, keep)
    if hdr is not None and (hdr not in TRANSFERS or bits == 8 or matrix != "709"):
        raise CustomValueError(
            'hdr is "pq" or "hlg", with bits=10 or more and matrix="709".', finish, (hdr, bits, matrix)
        )
    if light is not None and hdr != "pq":
        raise CustomValueError('light goes with hdr="pq": HLG and standard range have no content light level.', finish)
    if grain is not None and not callable(grain):
        raise CustomValueError("grain is a function: lambda clip: add_grain(clip, model).", finish, grain)
    stated = light if light is None or isinstance(light, Light) else _light(light)
    require("akarin.Expr", finish)

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
    if report:
        clip = report_levels(clip)
    out = _convert(clip, place, matrix, lut, Grade.load(grade) if isinstance(grade, (str, Path)) else grade)
    if deband:
        held = options.noise if noise is None else noise
        out = _deband(out, options=dataclasses.replace(options.deband, noise=held))
    out = grain(out) if grain else out
    if hdr:
        out = to_hdr(_legal(out, clip, keep, 16), hdr, stated, legal=keep == "legal")
        keep = "legal"
    out = _legal(out.resize.Point(format=_depth(bits), dither_type=chosen), clip, keep, bits)
    unit = 1 << (bits - 8)
    if bars is not None:
        bars = bars if isinstance(bars, Bars) else Bars.load(bars)
        wide, high = Fraction(bars.width, clip.width), Fraction(bars.height, clip.height)
        shown = [float(v * by) for v, by in zip(place.window, (wide, high, wide, high), strict=True)]
        out = paint_bars(out, bars, window=(shown[0], shown[1], shown[2], shown[3]), func=finish)
    left, top, right, bottom = place.bars
    if any(place.bars):
        black = [16 * unit, 128 * unit, 128 * unit]
        out = out.std.AddBorders(left=left, right=right, top=top, bottom=bottom, color=black)
    return out.std.SetFrameProps(
        _Matrix=9 if hdr else system.matrix,
        _Primaries=9 if hdr else system.primaries,
        _Transfer=TRANSFERS[hdr] if hdr else system.transfer,
        _Range=0,
        _ChromaLocation=0,
        _FieldBased=0,
        _SARNum=place.sar.numerator,
        _SARDen=place.sar.denominator,
    )


def _legal(out: vs.VideoNode, clip: vs.VideoNode, levels: str, bits: int) -> vs.VideoNode:
    """Kernels overshoot, and so does error diffusion: back to what is legal, or as far as the source goes."""
    unit = 1 << (bits - 8)
    white = str(235 * unit)
    if levels == "keep" and clip.format.color_family == vs.YUV:
        stats = (clip.std.ShufflePlanes(0, vs.GRAY)).std.PlaneStats(prop="DS9VS_Source")
        out = out.std.CopyFrameProps(stats, props=["DS9VS_SourceMax"])
        white = f"x.DS9VS_SourceMax {_code_factor(clip.format, bits)} * {255 * unit} min {235 * unit} max"
    expr = require("akarin.Expr", finish)
    out = expr(out, [f"x {16 * unit} max {white} min", f"x {16 * unit} max {240 * unit} min"])
    return out.std.RemoveFrameProps(["DS9VS_SourceMax"])


def _light(numbers: Sequence[int]) -> Light:
    if isinstance(numbers, str) or len(numbers) != 2 or not all(isinstance(n, int) for n in numbers):
        raise CustomValueError("light is a Light, or two whole numbers: MaxCLL and MaxFALL.", finish, numbers)
    return Light(max_cll=numbers[0], max_fall=numbers[1])


def finish_options(preset: str) -> FinishOptions:
    """What a preset of `presets/finish`, or the .toml at that path, says.

    Raises:
        CustomValueError: There is no such preset, or it names an option that there is not.

    Example:
        >>> finish_options("safe").noise
        0.7
    """
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


def _convert(
    clip: vs.VideoNode, place: Geometry, matrix: str, lut: str | Path | None, grade: Grade | None
) -> vs.VideoNode:
    """Scale, and convert to 4:2:0 of 16 bits in the colour system wanted."""
    system = SYSTEMS[matrix]
    left, top, shown_w, shown_h = (float(v) for v in place.window)
    size: dict[str, Any] = {"width": place.width, "height": place.height}
    if (left, top, shown_w, shown_h) != (0, 0, clip.width, clip.height):
        size |= {"src_left": left, "src_top": top, "src_width": shown_w, "src_height": shown_h}
    target: dict[str, Any] = {"primaries": system.primaries, "transfer": system.transfer, "range_s": "limited"}
    yuv: dict[str, Any] = {
        "format": vs.YUV420P16,
        "matrix": system.matrix,
        "chromaloc_s": "left",
        "dither_type": "none",
    }
    if lut is None and grade is None:
        return clip.resize.Spline36(**size, **yuv, **target)
    rgb = clip.resize.Spline36(**size, format=vs.RGBS, **{**target, "range_s": "full"})

    def back(timed: vs.VideoNode) -> vs.VideoNode:
        timed = timed if lut is None else apply_cube(timed, lut, finish)
        return timed.resize.Spline36(range_s="limited", **yuv)

    if grade is None:
        return back(rgb)
    untouched = back(rgb) if lut else clip.resize.Spline36(**size, **yuv, **target)
    return grade_rgb(rgb, untouched, grade, back, finish)
