"""What analogue chains and careless converters do to a tape: each fault switchable, with a strength.

May import the ground rooms. Faults go on the woven tape, never on its truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ..errors import CustomValueError
from ..plugins import require
from ..props import field_order

__all__ = ["Faults", "add_faults"]

type Func = Callable[..., Any] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Which faults, how strong; all off by default.

    Example:
        >>> bool(Faults()), bool(Faults(rainbow=1))
        (False, True)
    """

    dot_crawl: float = 0.0
    """Luma of a composite signal (SMPTE 170M, or PAL) split by a notch, 0 to 1 of it: dots along edges of colour."""
    rainbow: float = 0.0
    """Chroma of the same signal, 0 to 1 of it: false colour on fine luma detail."""
    chroma_shift: tuple[float, float] = (0.0, 0.0)
    """Colour moved to the right and down, in luma samples and frame lines, -8 to 8."""
    head_switching: int = 0
    """Lines at the bottom of each field that the switch of the heads tears, 0 to 12."""
    softness: float = 0.0
    """Horizontal blur of luma, sigma in samples, 0 to 3."""
    ringing: float = 0.0
    """Overshoot beside vertical edges, a share of the edge, 0 to 0.5."""
    chroma_upsampling: float = 0.0
    """Chroma of interlaced frames once converted as if progressive, 0 to 1 of it: colour of the fields mixes."""
    seed: int = 0
    """Of head switching."""

    def __post_init__(self) -> None:
        limits = {
            "dot_crawl": 1, "rainbow": 1, "head_switching": 12, "softness": 3, "ringing": 0.5, "chroma_upsampling": 1,
        }  # fmt: skip
        for name, high in limits.items():
            if not 0 <= getattr(self, name) <= high:
                raise CustomValueError(f"The fault {name} is 0 to {high}, not {getattr(self, name)}.", Faults)
        if len(self.chroma_shift) != 2 or any(abs(s) > 8 for s in self.chroma_shift):
            raise CustomValueError(f"The chroma shift is two numbers of -8 to 8, not {self.chroma_shift}.", Faults)

    def __bool__(self) -> bool:
        """Whether any fault is on."""
        return any(getattr(self, f.name) != f.default for f in fields(self) if f.name != "seed")


def add_faults(tape: vs.VideoNode, faults: Faults) -> vs.VideoNode:
    """A tape with faults: same format, size, length and props.

    Args:
        tape: Woven frames, YUV420P8 of constant size, with `_FieldBased` 1 or 2; 480 or 576 lines for dot crawl and
            rainbows.
        faults: Which, how strong.

    Raises:
        CustomValueError: The clip is no such tape.
        CustomRuntimeError: Dot crawl or rainbows are asked for and vapoursynth-composite is missing.

    Example:
        >>> tape = core.std.BlankClip(width=720, height=480, format=vs.YUV420P8, length=2).std.SetFieldBased(2)
        >>> add_faults(tape, Faults(head_switching=4)).num_frames
        2
    """
    if tape.format is None or tape.format.id != vs.YUV420P8 or not tape.height:
        raise CustomValueError("Faults go on a tape of format YUV420P8 and constant size.", add_faults)
    if tape.height % 4 or tape.width % 2:
        raise CustomValueError(
            f"A tape of {tape.width}x{tape.height} has no two fields of 4:2:0; its lines must divide by 4.", add_faults
        )
    tff = field_order(tape, None, add_faults)
    clip = tape
    if faults.softness or faults.ringing:
        clip = clip.std.Convolution(_bandwidth(faults.softness, faults.ringing), mode="h", planes=0)
    if faults.dot_crawl or faults.rainbow:
        clip = clip.std.Merge(_composite(clip), [faults.dot_crawl, faults.rainbow])
    if any(faults.chroma_shift):
        clip = _shifted(clip, *faults.chroma_shift, tff)
    if faults.chroma_upsampling:
        wrong = clip.std.SetFieldBased(0).resize.Bilinear(format=vs.YUV422P8).std.SetFieldBased(2 if tff else 1)
        clip = clip.std.Merge(wrong.resize.Bilinear(format=vs.YUV420P8), [0, faults.chroma_upsampling])
    if faults.head_switching:
        clip = _head_switching(clip, faults.head_switching, faults.seed)
    return clip.std.CopyFrameProps(tape)


def _bandwidth(softness: float, ringing: float) -> list[float]:
    """Taps of one horizontal filter: a Gaussian, then an echo of each edge 3 samples to both sides."""
    x = np.arange(-8, 9)
    blur = np.exp(-(x**2) / (2 * softness**2)) if softness > 0.1 else (x == 0).astype(float)
    blur /= blur.sum()
    echo = np.zeros(7)
    echo[[0, 3, 6]] = -ringing / 2, 1 + ringing, -ringing / 2
    taps = np.convolve(blur, echo)
    middle = len(taps) // 2
    return [float(t) for t in taps[middle - 10 : middle + 11] * 600]


def _composite(clip: vs.VideoNode) -> vs.VideoNode:
    """Through a composite signal and a decoder that has only a notch."""
    if clip.height not in (480, 486, 576):
        raise CustomValueError(
            f"Dot crawl and rainbows need a tape of 480, 486 or 576 lines, not {clip.height}.", add_faults
        )
    standard = "pal" if clip.height == 576 else "ntsc"
    encode = require("composite.Encode", add_faults, "standard")
    decode = require("composite.Decode", add_faults, "standard", "dimensions", "width")
    signal = encode(clip.resize.Bicubic(format=vs.YUV444P16), standard=standard)
    seen = decode(signal, standard=standard, dimensions=1, width=clip.width)
    return core.resize.Bicubic(seen.std.CopyFrameProps(clip), format=clip.format.id, dither_type="none")


def _shifted(clip: vs.VideoNode, right: float, down: float, tff: bool) -> vs.VideoNode:
    parted = clip.std.SeparateFields(tff=tff)
    planes = parted.std.SplitPlanes()
    moved = [plane.std.SetFieldBased(0).resize.Bicubic(src_left=-right / 2, src_top=-down / 4) for plane in planes[1:]]
    joined = core.std.ShufflePlanes([planes[0], *moved], [0, 0, 0], vs.YUV).std.CopyFrameProps(parted)
    return joined.std.DoubleWeave(tff=tff)[::2]


def _head_switching(clip: vs.VideoNode, lines: int, seed: int) -> vs.VideoNode:
    def tear(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for parity in (0, 1):
            rng = np.random.default_rng([seed, 6, n, parity])
            torn = max(1, lines - int(rng.integers(0, 2)))
            skew = float(rng.uniform(20, 60)) * np.linspace(0.2, 1, torn) ** 2 + rng.normal(0, 3, torn)
            for plane in range(3):
                data = np.asarray(out[plane])
                share = 1 if plane == 0 else 2
                rows = range(data.shape[0] - 2 * (torn // share) + parity, data.shape[0], 2)
                for k, row in enumerate(rows):
                    shift = round(skew[min(k * share, torn - 1)] / share)
                    noise = rng.normal(0, 12 / share, data.shape[1])
                    data[row] = np.clip(np.roll(data[row], shift) + noise, 16, 235).astype(np.uint8)
        return out

    return clip.std.ModifyFrame(clip, tear)
