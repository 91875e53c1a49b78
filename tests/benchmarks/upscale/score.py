"""What the upscaling benchmark counts: one row of numbers, frame by frame, for a method on a clip; pooling; tables.

May import `ds9vs`, and `clips` for data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import vapoursynth as vs
from clips import Made
from vapoursynth import core

from ds9vs.measures import (
    flicker,
    light,
    lr_consistency,
    overshoot,
    pool_psnr,
    psnr,
    ssim,
    ssimulacra2,
    warping_error,
    xpsnr,
)

__all__ = ["COLUMNS", "Row", "cells", "measure", "pooled"]

type Row = dict[str, list[float]]
"""A number for every frame, by column."""


def measure(made: Made, big: vs.VideoNode) -> Row:
    """Everything that is measured of one method's pictures; as many as there are."""
    count = big.num_frames
    truth, source = made.truth[:count], made.source[:count]
    props = [dict(frame.props) for frame in big.frames(close=True)]
    row = {
        "psnr": psnr(truth, big),
        "ssim": ssim(truth, big),
        "ssimu2": ssimulacra2(truth, big),
        "xpsnr": xpsnr(truth, big),
        "lr": lr_consistency(big, source),
        "lr_truth": lr_consistency(truth, source),
        "warp": warping_error(big, truth),
        "warp_truth": warping_error(truth, truth),
        "flicker": flicker(big, source),
        "over": overshoot(big, truth),
        "light": light(big, truth),
        "lrerror": [float(p.get("DS9VS_LRError", math.nan)) for p in props],
        "limited": [float(p.get("DS9VS_Limited", math.nan)) for p in props],
    }
    core.clear_cache()
    return row


ROUNDED = 1 / 6
"""Codes squared: what rounding to 8 bit, as every disc does, gives to the difference of two pictures. Both sides of the
quotient of warping errors get it, or a truth on black would have nothing to divide by."""


def _energy(errors: Sequence[float]) -> float:
    """Mean square of the frames' warping errors, of those that have one."""
    counted = [error for error in errors if error > 0]
    return float(np.mean(np.square(counted))) + ROUNDED if counted else 0.0


def pooled(row: Mapping[str, Sequence[float]], count: int | None = None) -> dict[str, float]:
    """One number for each column, over the first `count` frames; NaN where a clip has nothing to count."""
    cut = {name: list(values)[:count] for name, values in row.items()}

    def mean(name: str) -> float:
        return float(np.mean(cut[name])) if cut[name] else math.nan

    own = _energy(cut["warp_truth"])
    steady = cut["flicker"][1:]
    lights = cut["light"]
    return {
        "psnr": pool_psnr(cut["psnr"]),
        "ssim": mean("ssim"),
        "ssimu2": mean("ssimu2"),
        "xpsnr": pool_psnr(cut["xpsnr"]),
        "lr": pool_psnr(cut["lr"]),
        "lr_over": pool_psnr(cut["lr"]) - pool_psnr(cut["lr_truth"]),
        "warp": math.sqrt(_energy(cut["warp"]) / own) if own > 0 else math.nan,
        "flicker": float(np.mean(steady)) if steady and any(v != 1 for v in steady) else math.nan,
        "over": mean("over"),
        "light": float(np.mean(lights)) if any(v != 1 for v in lights) else math.nan,
        "lrerror": mean("lrerror"),
        "limited": mean("limited"),
    }


COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "psnr": ("PSNR-Y dB", "{:.2f}".format),
    "d_psnr": ("over Lanczos", "{:+.2f}".format),
    "ssim": ("SSIM", "{:.4f}".format),
    "ssimu2": ("SSIMU2", "{:.1f}".format),
    "d_ssimu2": ("over Lanczos", "{:+.1f}".format),
    "xpsnr": ("XPSNR dB", "{:.2f}".format),
    "lr": ("LR dB", "{:.1f}".format),
    "lr_over": ("over truth's", "{:+.1f}".format),
    "warp": ("warp / truth's", "{:.2f}".format),
    "flicker": ("flicker / source's", "{:.2f}".format),
    "over": ("overshoot codes", "{:.1f}".format),
    "light": ("star light", "{:.2f}".format),
    "lrerror": ("LRError codes", "{:.3f}".format),
    "limited": ("Limited %", lambda v: f"{100 * v:.1f}"),
    "seconds": ("s/picture", "{:.2f}".format),
    "pictures": ("pictures", "{:.0f}".format),
}
"""Titles, and how numbers are written."""


def cells(values: Mapping[str, float]) -> list[str]:
    """A row of the table."""
    found = (values.get(name, math.nan) for name in COLUMNS)
    return [
        "-" if math.isnan(value) else "inf" if math.isinf(value) else how(value)
        for value, (_, how) in zip(found, COLUMNS.values(), strict=True)
    ]
