"""Standard range in an HDR10 or HLG container: BT.2020, PQ or HLG, white where ITU-R BT.2408 puts it.

An honest expansion: the light of a standard display, whose white becomes 203 cd/m2, and nothing beyond. No highlight
is invented and no colour is stretched; what the disc holds whiter than white ends at 251 cd/m2. May import the ground
rooms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vapoursynth as vs

from ..errors import CustomValueError
from .colour import D65, SYSTEMS

__all__ = ["TRANSFERS", "WHITE", "Light", "measure_light", "to_hdr"]

type Array = np.ndarray[Any, np.dtype[np.float64]]

WHITE = 203.0
"""Light of diffuse white in HDR, cd/m2 (ITU-R BT.2408-7, 2.2)."""
TRANSFERS = {"pq": 16, "hlg": 18}
"""`_Transfer` by name (ITU-T H.273)."""
BLACK = 0.005
"""Light of black on the display stated, cd/m2: BT.1886's reference display."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Content light level, cd/m2 (CTA-861.3)."""

    max_cll: int
    """MaxCLL: the largest component of any sample."""
    max_fall: int
    """MaxFALL: the largest mean of a picture."""

    def __post_init__(self) -> None:
        if not 0 < self.max_fall <= self.max_cll <= 10000:
            raise CustomValueError(
                "max_fall and max_cll are cd/m2 from 1 to 10000, max_fall not above max_cll.", Light, str(self)
            )


def to_hdr(clip: vs.VideoNode, kind: str, light: Light | None, *, legal: bool) -> vs.VideoNode:
    """BT.709 of 16 bits, limited range, to BT.2020 with PQ ("pq") or HLG ("hlg"), with the props of its metadata.

    The mastering display stated is the standard one: BT.709's primaries and white, 203 cd/m2 (251 unless `legal`).
    """
    out = clip.resize.Spline36(
        format=vs.YUV420P16,
        matrix_in=1,
        primaries_in=1,
        transfer_in=1,
        range_in_s="limited",
        chromaloc_in_s="left",
        matrix=9,
        primaries=9,
        transfer=TRANSFERS[kind],
        range_s="limited",
        chromaloc_s="left",
        nominal_luminance=WHITE,
        dither_type="none",
    )
    if kind == "hlg":  # has no static metadata: the light depends on the display
        return out
    peak = WHITE * (1.0 if legal else (239 / 219) ** 2.4)
    xy = SYSTEMS["709"].xy
    out = out.std.SetFrameProps(
        MasteringDisplayPrimariesX=[x for x, _ in xy],
        MasteringDisplayPrimariesY=[y for _, y in xy],
        MasteringDisplayWhitePointX=D65[0],
        MasteringDisplayWhitePointY=D65[1],
        MasteringDisplayMinLuminance=BLACK,
        MasteringDisplayMaxLuminance=float(np.ceil(peak)),
    )
    if light is not None:
        out = out.std.SetFrameProps(ContentLightLevelMax=light.max_cll, ContentLightLevelAverage=light.max_fall)
    return out


def measure_light(clip: vs.VideoNode, *, frames: int | None = None) -> Light:
    """Measure MaxCLL and MaxFALL of a PQ clip, for `finish(hdr="pq", light=...)`. Reads pictures.

    Args:
        clip: What `finish(hdr="pq")` returned.
        frames: How many pictures to read, spread over the clip; fewer than all may miss the brightest. None: all.

    Raises:
        CustomValueError: The clip is not PQ, or `frames` is less than 1.

    Source: CTA-861.3, annex P; SMPTE ST 2084.

    Example:
        >>> from ds9vs.finish import finish
        >>> white = core.std.BlankClip(format=vs.YUV420P8, width=64, height=48, length=1, color=[235, 128, 128])
        >>> measure_light(finish(white, colour="709", sar="1:1", hdr="pq")).max_fall
        203
    """
    if frames is not None and frames < 1:
        raise CustomValueError("frames is 1 or more, or None for all.", measure_light, frames)
    with clip.get_frame(0) as frame:
        if clip.format.color_family != vs.YUV or frame.props.get("_Transfer") != TRANSFERS["pq"]:
            raise CustomValueError('measure_light reads what finish(hdr="pq") returned.', measure_light)
    count = min(frames or clip.num_frames, clip.num_frames)
    chosen = sorted({int((k + 0.5) * clip.num_frames / count) for k in range(count)})
    rgb = clip.resize.Bilinear(format=vs.RGBS, matrix_in=9, range_in_s="limited")
    brightest, mean = 0.0, 0.0
    for n in chosen:
        with rgb.get_frame(n) as frame:
            largest = np.max([np.asarray(frame[p]) for p in range(3)], axis=0)
        nits = _pq_light(largest.astype(np.float64))
        brightest, mean = max(brightest, float(nits.max())), max(mean, float(nits.mean()))
    return Light(max_cll=max(1, round(brightest)), max_fall=max(1, round(mean)))


def _pq_light(signal: Array) -> Array:
    """cd/m2 of a PQ signal from 0 to 1 (SMPTE ST 2084, equation 4.1)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.clip(signal, 0.0, 1.0) ** (1 / m2)
    return np.asarray(10000 * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1))
