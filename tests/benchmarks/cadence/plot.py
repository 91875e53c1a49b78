"""The plot of the cadence benchmark, with matplotlib: film pictures wrong, display PSNR, reliability."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from score import Bin

from ds9vs.errors import CustomRuntimeError

__all__ = ["draw", "ready"]

COLOURS = ("#d62728", "#ff9896", "#1f77b4", "#2ca02c", "#17becf", "#9467bd", "#8c564b", "#7f7f7f")


def ready() -> bool:
    """Whether matplotlib is there; it is no dependency of the project."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]], bins: Sequence[Bin], path: Path, *, title: str = ""
) -> None:
    """Write the plot.

    Args:
        rows: For each tape ("all" last) and method the numbers of the table.
        bins: Of the reliability diagram.
        path: A PNG.
        title: Above it all.

    Raises:
        CustomRuntimeError: matplotlib is missing.
    """
    if not ready():
        raise CustomRuntimeError("The plot needs matplotlib; type: pip install matplotlib.", "benchmark")
    import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # type: ignore[import-not-found,unused-ignore]

    tapes = list(rows)
    methods = list(dict.fromkeys(m for tape in tapes for m in rows[tape] if not m.startswith("oracle")))
    figure, (wrong, shown, sure) = plt.subplots(1, 3, figsize=(18, 6), width_ratios=(1.2, 1.2, 1))
    for k, method in enumerate(methods):
        side = (k - (len(methods) - 1) / 2) * 0.8 / len(methods)
        here = [n for n, tape in enumerate(tapes) if method in rows[tape]]
        values = np.array([rows[tapes[n]][method]["wrong"] for n in here]) * 100
        spans = np.array([rows[tapes[n]][method]["wrong_interval"] for n in here]) * 100
        bars = np.abs(spans.T - values)
        style = {"fmt": "o", "ms": 5, "color": COLOURS[k % len(COLOURS)], "capsize": 2, "lw": 1}
        wrong.errorbar(np.array(here) + side, np.maximum(values, 0.03), yerr=bars, label=method, **style)
        behind = [n for n in here if rows[tapes[n]][method].get("mean_below") is not None]
        for key, mark in (("mean_below", "o"), ("film_mean_below", "v")):
            shown.plot(
                [n + side for n in behind],
                [rows[tapes[n]][method][key] for n in behind],
                mark,
                color=COLOURS[k % len(COLOURS)],
                ms=6,
                label=method if mark == "o" else None,
            )
    for axes in (wrong, shown):
        axes.set_xticks(range(len(tapes)), tapes)
        axes.grid(axis="y", alpha=0.3)
        for n in range(1, len(tapes)):
            axes.axvline(n - 0.5, color="#dddddd", lw=0.8)
    wrong.set_yscale("log")
    wrong.set_ylim(0.02, 100)
    wrong.set_ylabel("% of film pictures (95 % interval)")
    wrong.set_title("Film pictures lost + repeated + woven wrongly (0 drawn at 0.03)")
    wrong.legend(fontsize=8, loc="upper left", ncol=2)
    shown.set_title("Mean display PSNR against the oracle in the same timing")
    shown.axhline(0, color="black", lw=0.8)
    shown.set_yscale("symlog", linthresh=0.1)
    shown.set_ylabel("dB (o all, v film shots)")
    _reliable(sure, bins)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _reliable(axes: Any, bins: Sequence[Bin]) -> None:
    """Share of pictures that are wrong against the share that the map calls unsure, both logarithmic."""
    full = [b for b in bins if b.pictures]
    unsure = np.maximum([1 - b.mean for b in full], 1e-6)
    missed = np.array([1 - b.right / b.pictures for b in full])
    low = np.maximum([1 - b.interval[1] for b in full], 1e-6)
    high = np.array([1 - b.interval[0] for b in full])
    floor = np.maximum(missed, 1e-6)
    axes.plot([1e-6, 1], [1e-6, 1], color="black", lw=0.8)
    bars = np.maximum([floor - low, high - floor], 0)
    axes.errorbar(unsure, floor, yerr=bars, fmt="o", capsize=3, color=COLOURS[0])
    for x, y, b in zip(unsure, high, full, strict=True):
        axes.annotate(
            f"{b.pictures - b.right}/{b.pictures}", (x, y), xytext=(0, -10), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(5e-7, 1.5)
    axes.set_ylim(5e-7, 2.5)
    axes.invert_xaxis()
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set_title("Reliability: wrong/all of each range (none drawn at 1e-6)")
    axes.set_xlabel("1 - confidence (surer to the right)")
    axes.set_ylabel("share of pictures grouped wrongly (95 % interval)")
