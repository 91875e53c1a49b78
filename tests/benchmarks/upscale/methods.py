"""The methods of the upscaling benchmark: plain enlargements, networks, and what holds those.

May import `ds9vs`, and `clips` for data. What a network gives is kept on disk, at the network's own scale, so that a
guard or a stabiliser that changes is measured again in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import vapoursynth as vs
from clips import AROUND, Made, keep, kept

from ds9vs.steady import steady
from ds9vs.upscale import models_list, upscale
from ds9vs.upscale.guard import guard
from ds9vs.upscale.registry import load_model

__all__ = ["Method", "missing_models", "rows_of"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table, ready to be measured."""

    name: str
    """In the table."""
    clip: vs.VideoNode
    """YUV444P16 of the truth's size; perhaps fewer pictures."""
    seconds: float
    """A picture of this clip, by the network; NaN for what has none."""
    backend: str
    """What ran it."""


def missing_models(names: list[str]) -> dict[str, str]:
    """The names that are not on this machine, each with the command that gets it."""
    known = {model.name: model for model in models_list()}
    return {
        name: f"ds9vs models get {name}"
        for name in names
        if not name.endswith(".onnx") and name in known and not known[name].present
    }


SLOW = 2.0
"""Seconds a picture from which a network is slow."""


def _raw(made: Made, model: str, work: Path, slow: int, backend: str) -> tuple[vs.VideoNode, int, float, str]:
    """What a network gives of a clip, unguarded, at its own scale, kept or made now; and how many pictures lie around.

    Of a slow network, the first `slow` pictures and one on either side.
    """
    network = load_model(model, "benchmark")
    folder = work / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    count = made.source.num_frames
    made_of = f"{made.clip.name}-{count}-{made.kbits:.1f}-{made.source.width}"
    path = folder / f"{network.name}-{network.sha256[:10]}-{backend}-{made_of}.yuv"
    if not path.with_suffix(".json").exists():
        big = upscale(made.wider, model=model, guard=0, backend=backend)
        start = time.perf_counter()
        for _ in big[AROUND : AROUND + 2].frames(close=True):
            pass
        is_slow = (time.perf_counter() - start) / 2 > SLOW
        keep(big[AROUND - 1 : AROUND + slow + 1] if is_slow else big, path)
    clip, table = kept(path)
    around = AROUND if clip.num_frames == made.wider.num_frames else 1
    return clip, around, float(str(table["seconds"])), str(table["backend"])


def rows_of(made: Made, models: list[str], work: Path, *, slow: int, backend: str) -> Iterator[Method]:
    """Every row of a clip, in the table's order."""
    width, height = made.truth.width, made.truth.height
    nothing = {"seconds": float("nan"), "backend": ""}
    yield Method(name="the truth", clip=made.truth, **nothing)  # type: ignore[arg-type]
    lanczos = upscale(made.source, model="none", width=width, height=height)
    yield Method(name="Lanczos", clip=lanczos, **nothing)  # type: ignore[arg-type]
    spline = made.source.resize.Spline36(width, height, format=vs.YUV444P16)
    yield Method(name="spline36", clip=spline, **nothing)  # type: ignore[arg-type]
    for model in models:
        raw, around, seconds, said = _raw(made, model, work, slow, backend)
        window = slice(around, raw.num_frames - around)
        source = made.wider[AROUND - around :][: raw.num_frames]
        name = Path(model).stem if model.endswith(".onnx") else model
        held = guard(raw, source)
        if (raw.width, raw.height) != (width, height):
            raw, held = (_down(one, source, width, height) for one in (raw, held))
        for what, clip in (("", raw), (" + guard", held), (" + guard, steady", steady(held, source))):
            yield Method(name=name + what, clip=clip[window], seconds=seconds, backend=said)


def _down(big: vs.VideoNode, source: vs.VideoNode, width: int, height: int) -> vs.VideoNode:
    """To the wanted size as `upscale` does: luma by Lanczos, chroma straight from the source."""
    luma = big.std.ShufflePlanes(0, vs.GRAY).resize.Lanczos(width, height)
    plain = source.resize.Lanczos(width, height, format=vs.YUV444P16)
    joined = vs.core.std.ShufflePlanes([luma, plain, plain], [0, 1, 2], vs.YUV)
    return joined.std.CopyFrameProps(big)
