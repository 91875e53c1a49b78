"""The x265 arguments that a clip needs: what its pixels are, then how the preset wants them coded.

Imports ground rooms only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import vapoursynth as vs

from ..errors import CustomValueError
from ..presets import preset_arguments

__all__ = ["x265_args"]

# ITU-T H.265 Annex E (VUI) code points that television material meets, as x265 spells them.
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020"}
_TRANSFER = {1: "bt709", 6: "smpte170m", 16: "smpte2084", 18: "arib-std-b67"}
_MATRIX = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"}
_CSP = {(0, 0): "i444", (1, 0): "i422", (1, 1): "i420"}
_PROFILES = {
    ("i420", 8): "main", ("i420", 10): "main10", ("i420", 12): "main12",
    ("i422", 10): "main422-10", ("i422", 12): "main422-12",
    ("i444", 8): "main444-8", ("i444", 10): "main444-10", ("i444", 12): "main444-12",
}  # fmt: skip


def x265_args(
    clip: vs.VideoNode, *, preset: str = "archive", settings: Mapping[str, str | int | float | bool] | None = None
) -> list[str]:
    """The arguments for `x265 --y4m` (or `--input-res …` for a clip of variable rate) that describe and code a clip.

    The first half is read from the clip and its first frame: depth, SAR, primaries, transfer, matrix, range, chroma
    location; of a PQ clip the mastering display and content light level that its props state (HDR10); and, where the
    rate varies, the size and the first frame's rate for a raw pipe (x265 spreads bits by it; the times themselves go to
    the container). The second half is a preset of
    `presets/x265/`. Asking for the first frame renders it.

    Args:
        clip: YUV, 8 to 12 bit, of constant size.
        preset: A name of `presets/x265/`, or the path of a .toml file.
        settings: x265 options that replace the preset's, without dashes: {"crf": 16}. True is a bare flag, False
            its `--no-` form.

    Raises:
        CustomValueError: The clip is no YUV of 8 to 12 bits, or lacks a property (_Matrix, _SARNum, …).

    Source: ITU-T H.265 (VUI); x265 3.5 command line.

    Example:
        >>> clip = core.std.BlankClip(format=vs.YUV420P10, width=64, height=48, length=1)
        >>> tagged = clip.std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1, _Range=0, _SARNum=1, _SARDen=1)
        >>> " ".join(x265_args(tagged, settings={"crf": 20})[:8])
        '--input-depth 10 --output-depth 10 --profile main10 --sar 1:1'
    """
    if clip.format.color_family != vs.YUV or clip.format.sample_type != vs.INTEGER or clip.format.bits_per_sample > 12:
        raise CustomValueError(
            f"x265 takes YUV of 8 to 12 bits, this clip is {clip.format.name}; end the script with ds9vs.finish().",
            x265_args,
        )
    bits = clip.format.bits_per_sample
    csp = _CSP.get((clip.format.subsampling_w, clip.format.subsampling_h), "")
    if (csp, bits) not in _PROFILES:
        raise CustomValueError(
            f"No HEVC profile takes {clip.format.name}; end the script with ds9vs.finish(): 4:2:0 of 8, 10 or 12 bits.",
            x265_args,
        )
    with clip.get_frame(0) as frame:
        props = dict(frame.props)
    words = ["--input-depth", str(bits), "--output-depth", str(bits), "--profile", _PROFILES[csp, bits]]
    words += ["--sar", f"{_prop(props, '_SARNum')}:{_prop(props, '_SARDen')}"]
    words += [
        "--colorprim",
        _named(props, "_Primaries", _PRIMARIES),
        "--transfer",
        _named(props, "_Transfer", _TRANSFER),
    ]
    words += ["--colormatrix", _named(props, "_Matrix", _MATRIX)]
    words += ["--range", "full" if _full_range(props) else "limited"]
    words += ["--chromaloc", str(int(props.get("_ChromaLocation", 0)))]
    words += _hdr10(props)
    if not clip.fps:
        words += ["--input-res", f"{clip.width}x{clip.height}", "--input-csp", csp, "--frames", str(clip.num_frames)]
        words += ["--fps", f"{_prop(props, '_DurationDen')}/{_prop(props, '_DurationNum')}"]
    return words + preset_arguments("x265", preset, settings, x265_args)


def _hdr10(props: Mapping[str, Any]) -> list[str]:
    """Static metadata of a PQ clip (SMPTE ST 2086, CTA-861.3), in x265's units: 0.00002 and 0.0001 cd/m2."""
    if props.get("_Transfer") != 16:
        return []
    words = ["--hdr10"]
    names = ("PrimariesX", "PrimariesY", "WhitePointX", "WhitePointY", "MinLuminance", "MaxLuminance")
    if all(f"MasteringDisplay{name}" in props for name in names):
        xs, ys, white_x, white_y, low, high = (props[f"MasteringDisplay{name}"] for name in names)
        red, green, blue = (f"({round(x * 50000)},{round(y * 50000)})" for x, y in zip(xs, ys, strict=True))
        white = f"({round(white_x * 50000)},{round(white_y * 50000)})"
        light = f"({round(high * 10000)},{round(low * 10000)})"
        words += ["--master-display", f"G{green}B{blue}R{red}WP{white}L{light}"]
    if "ContentLightLevelMax" in props:
        words += ["--max-cll", f"{props['ContentLightLevelMax']},{props.get('ContentLightLevelAverage', 0)}"]
    return words


def _full_range(props: Mapping[str, Any]) -> bool:
    return bool(props.get("_Range", vs.RANGE_LIMITED) == vs.RANGE_FULL)


def _prop(props: Mapping[str, Any], name: str) -> int:
    if name not in props:
        raise CustomValueError(
            f"The clip's frames have no {name}; end the script with ds9vs.finish(), or set it.", x265_args
        )
    return int(props[name])


def _named(props: Mapping[str, Any], name: str, names: Mapping[int, str]) -> str:
    value = _prop(props, name)
    if value not in names:
        raise CustomValueError(
            f"{name} is {value}; x265_args knows {', '.join(map(str, names))}: end the script with ds9vs.finish().",
            x265_args,
        )
    return names[value]
