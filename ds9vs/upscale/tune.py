"""Which tiles and how many streams run a network fastest here: measured by an explicit command, kept for `upscale()`.

May import the ground rooms and the upscale rooms. Each way is measured in a process of its own, so that its peak of
memory is its own and running out of memory ends nothing else. Evaluating a script never measures.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import vapoursynth as vs
from vapoursynth import core

from .. import files
from ..errors import CustomRuntimeError, CustomValueError
from .backend import (
    BACKENDS,
    Backend,
    Ncnn,
    OpenVinoGpu,
    OrtCuda,
    TensorRt,
    ask_child,
    measured,
    named_backend,
    select_backend,
)
from .devices import gpu_memory, peak_memory
from .engine import engine_build
from .registry import load_model
from .settings import Setting, settings_list
from .tile import Tiling, divisions, pad_to, plan_tiles

__all__ = ["Tuning", "engine_tune", "settings_told"]

CLOSE = 0.98
"""Of the ways that reach this share of the fastest, the one with the least memory is kept."""
PROMISING = 0.9
"""Tiles that reach this share of the fastest with one stream are tried with more."""
STREAMS = {True: (1, 2, 3, 4), False: (1, 2)}
"""Streams that are tried, on a GPU and on a processor."""
ENOUGH = 1800
"""Seconds after which one way is given up."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a measurement found."""

    kept: Setting
    """The best, which `upscale()` takes from now on."""
    tried: tuple[Setting, ...]
    """Everything that ran, in the order tried."""
    failed: tuple[str, ...]
    """What did not run, and why."""


def engine_tune(
    model: str | os.PathLike[str],
    size: tuple[int, int],
    *,
    backend: str | Backend = "auto",
    seconds: float = 3.0,
    show: bool = True,
) -> Tuning:
    """Measure tiles and streams for pictures of one size on this machine, and keep the best for `upscale()`.

    Whole pictures and 2, 4 and 6 tiles with one stream, then more streams for those within 10 % of the fastest. Kept is
    what takes the least memory within 2 % of the fastest, for this network, size, backend, precision, release of the
    plugin and processor or GPU: where one of these has changed it is passed over. Engines that TensorRT lacks are built
    first. Batches are not tried: the plugins take pictures one at a time. Nothing else should run meanwhile.

    Args:
        model: A model of the registry that is here, or an .onnx file.
        size: Width and height of the picture.
        backend: A name, a backend with options, or "auto": what `upscale()` would take now.
        seconds: How long each way is measured, after its first picture; 0.1 to 600.
        show: A progress bar on standard error.

    Returns:
        What was kept, tried, and what failed.

    Raises:
        CustomValueError: The model, size, backend or time is none that can be.
        CustomRuntimeError: The backend does not run here, or every way failed; the message says why.

    Example:
        >>> engine_tune("upconv_7_photo", (720, 0))
        Traceback (most recent call last):
        ...
        ValueError: (engine_tune) size is (720, 0); give width and height, 16 or more.
    """
    if len(size) != 2 or min(size) < 16:
        raise CustomValueError(f"size is {size!r}; give width and height, 16 or more.", engine_tune)
    if not 0.1 <= seconds <= 600:
        raise CustomValueError(f"seconds is {seconds}; give 0.1 to 600.", engine_tune)
    network = load_model(model, engine_tune)
    taken = (
        select_backend(network, *size, func=engine_tune).backend
        if backend == "auto"
        else named_backend(backend, engine_tune)
    )
    reason = taken.missing()
    if reason is not None:
        raise CustomRuntimeError(f"The backend {taken.name!r} cannot run here: {reason}.", engine_tune)
    now = measured(taken, network, size)
    tilings = divisions(network, *size)
    streams = STREAMS[isinstance(taken, TensorRt | OrtCuda | OpenVinoGpu | Ncnn)]
    tried: list[Setting] = []
    failed: list[str] = []

    def attempt(tiling: Tiling, many: int) -> None:
        try:
            tried.append(_measure(str(model), now, replace(taken, num_streams=many), tiling, seconds))  # type: ignore[call-arg]
        except CustomRuntimeError as error:
            failed.append(f"{tiling.tile[0]}x{tiling.tile[1]}, {many} streams: {error.message}")

    if isinstance(taken, TensorRt):
        for tiling in tilings:
            engine_build(model, tiling.tile, backend=taken.kind, device_id=taken.device_id, show=show)
    total = len(tilings) * len(streams)
    with files.progress(f"{network.name} {size[0]}x{size[1]} {taken.name}", total, show=show) as done:
        for count, tiling in enumerate(tilings, 1):
            attempt(tiling, 1)
            done(count)
        fastest = max((one.speed for one in tried), default=0.0)
        good = {one.tile for one in tried if one.speed >= PROMISING * fastest}
        more = [(tiling, many) for tiling in tilings if tiling.tile in good for many in streams[1:]]
        for count, (tiling, many) in enumerate(more, len(tilings) + 1):
            attempt(tiling, many)
            done(count)
        done(total)
    if not tried:
        raise CustomRuntimeError(f"{taken.name} ran {network.name!r} in no way: {failed[-1]}", engine_tune)
    kept = best(tried)
    kept.keep(engine_tune)
    return Tuning(kept=kept, tried=tuple(tried), failed=tuple(failed))


def best(tried: Iterable[Setting]) -> Setting:
    """The one with the least memory within 2 % of the fastest; where memory is not told, with the fewest streams.

    Example:
        >>> one = Setting(model="x", model_sha256="", width=720, height=480, backend="ov-cpu", precision="f32",
        ...               release="", device="", speed=10.0, memory=2000)
        >>> best([one, replace(one, speed=9.9, memory=1000), replace(one, speed=9.0, memory=10)]).memory
        1000
    """
    ways = list(tried)
    close = [way for way in ways if way.speed >= CLOSE * max(one.speed for one in ways)]
    return min(close, key=lambda way: (way.memory or 0, way.num_streams, -way.speed))


def settings_told() -> list[tuple[Setting, str]]:
    """Every setting that is kept, with why it is not taken now ("" where it is).

    Example:
        >>> isinstance(settings_told(), list)
        True
    """
    told = []
    for one in settings_list():
        kind = BACKENDS.get(one.backend)
        reason: str | None = f"there is no backend {one.backend!r}"
        if kind is not None:
            backend = kind()
            reason = backend.missing()
        if kind is not None and reason is None:
            now = replace(one, release=backend.release, device=backend.device_name)
            with contextlib.suppress(CustomValueError, CustomRuntimeError):  # a file of the user's, or not here now
                now = replace(now, model_sha256=load_model(one.model, settings_told).sha256)
            reason = one.stale(now)
        told.append((one, reason or ""))
    return told


def _measure(model: str, now: Setting, backend: Backend, tiling: Tiling, seconds: float) -> Setting:
    """One way, in a process of its own."""
    options = {field.name: getattr(backend, field.name) for field in fields(backend)}
    asked = json.dumps([model, [now.width, now.height], backend.name, options, tiling.tile, seconds])
    code = "import sys; from ds9vs.upscale.tune import _child; _child(sys.argv[1])"
    try:
        speed, memory = ask_child(code, [asked], "measured", ENOUGH, engine_tune)
    except subprocess.TimeoutExpired:
        raise CustomRuntimeError(f"It gave no answer in {ENOUGH} s.", engine_tune) from None
    except CustomRuntimeError as failed:
        raise CustomRuntimeError(str(failed.message)[:300], engine_tune) from None
    streams = int(options.get("num_streams", 1))
    return replace(now, tile=tiling.tile, num_streams=streams, speed=round(float(speed), 4), memory=int(memory) or None)


def _child(asked: str) -> None:
    """Measure and print pictures a second and bytes at the peak; leaves at once, whatever is still being computed."""
    model, size, name, options, tile, seconds = json.loads(asked)
    network = load_model(model, engine_tune)
    backend = BACKENDS[name](**options)
    streams = int(options.get("num_streams", 1))
    gpu = isinstance(backend, TensorRt | OrtCuda)
    tiling = plan_tiles(network, *size, tile=tuple(tile), func=engine_tune)
    grey = vs.GRAYS if network.luma_only else vs.RGBS
    color = [0.5] * (1 if network.luma_only else 3)
    clip = core.std.BlankClip(width=size[0], height=size[1], format=grey, length=10**6, color=color, keep=True)
    before = gpu_memory(getattr(backend, "device_id", 0)) if gpu else None
    made = backend.run([pad_to(clip, tiling.picture)] * network.frames, network, tiling, engine_tune)
    start = rate = 0.0
    for count, _ in enumerate(made.frames(prefetch=2 * streams, close=True), 1):
        if count == streams:  # the first of each stream took memory and compiled
            start = time.perf_counter()
        elsewhere = time.perf_counter() - start
        if count >= 2 * streams and elsewhere >= seconds:
            rate = (count - streams) / elsewhere
            break
    after = gpu_memory(getattr(backend, "device_id", 0)) if gpu else None
    if isinstance(backend, OpenVinoGpu | Ncnn):
        memory = 0
    elif gpu:
        memory = max(0, after - before) if after is not None and before is not None else 0
    else:
        memory = peak_memory()
    print("measured", rate, memory, flush=True)
    os._exit(0)
