"""TensorRT and TensorRT-RTX engines: built by an explicit command, kept safely, found again or explained.

May import the ground rooms, `network`, `devices` and `registry`. Evaluating a script never builds: it raises with the
command to type. An engine is a file beside a description (JSON) of all that it depends on.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from .. import files, presets
from ..errors import CustomRuntimeError, CustomValueError
from .devices import cuda_devices
from .network import Network, sha256
from .registry import load_model, store

__all__ = ["EngineKind", "Recipe", "engine_build", "engine_dir", "engines_list", "find_engine", "to_fp16"]

type Func = Callable[..., Any] | str
type EngineKind = Literal["trt", "trt_rtx"]
type Precision = Literal["fp16", "f32"]

RTX_COMPUTE = (75, 80, 86, 89, 120)
"""GPU generations that a TensorRT-RTX engine is built for unless told: Turing to Blackwell. It knows no SM 90."""
MODULES: dict[EngineKind, tuple[str, ...]] = {
    "trt": ("tensorrt", "tensorrt_bindings"),
    "trt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
EXTRAS: dict[EngineKind, str] = {"trt": "ds9vs[tensorrt]", "trt_rtx": "ds9vs[tensorrt-rtx]"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that an engine depends on: another value anywhere is another engine."""

    kind: EngineKind
    """Which runtime."""
    model: str
    """Name of the network."""
    model_sha256: str
    """Hash of its ONNX file."""
    width: int
    """Of the picture or tile that goes in."""
    height: int
    """Of the picture or tile that goes in."""
    precision: Precision
    """What it computes in; its input and output too."""
    release: str
    """The runtime's release: engines do not travel between them."""
    target: str
    """The GPU (TensorRT), or the generations (TensorRT-RTX), that it runs on."""

    @property
    def key(self) -> str:
        """Hash of the whole recipe."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def path(self) -> Path:
        """Where the engine lies."""
        return engine_dir() / f"{self.model}-{self.width}x{self.height}-{self.precision}-{self.kind}-{self.key}.engine"


def engine_dir() -> Path:
    """The user's folder of engines: the environment's DS9VS_ENGINES, else beside the models.

    Example:
        >>> engine_dir().name
        'engines'
    """
    named = os.environ.get("DS9VS_ENGINES")
    return Path(named).expanduser().absolute() if named else store().parent / "engines"


def _module(kind: EngineKind, func: Func) -> ModuleType:
    for name in MODULES[kind]:
        if importlib.util.find_spec(name):
            return importlib.import_module(name)
    raise CustomRuntimeError(
        f"The Python part of {'TensorRT' if kind == 'trt' else 'TensorRT for RTX'} is missing; "
        f"type: pip install '{EXTRAS[kind]}'",
        func,
    )


def _release(text: str) -> str:
    return ".".join(text.split(".")[:3])


def _plugin_release(kind: EngineKind, func: Func) -> str:
    """The release that the plugin carries, of a number like 10701 (1.7.1) or 110400 (11.4.0)."""
    from vapoursynth import core

    raw = getattr(core, kind).Version()["tensorrt_version_build"]
    number = int(raw.decode() if isinstance(raw, bytes) else raw)
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def _target(kind: EngineKind, compute: tuple[int, ...], device_id: int, func: Func) -> str:
    if kind == "trt_rtx":
        return "SM " + " ".join(map(str, compute))
    devices = cuda_devices()
    if device_id >= len(devices):
        raise CustomRuntimeError(
            "TensorRT builds an engine on the GPU that will run it, and no such GPU is here; "
            "TensorRT for RTX builds without one: add --backend trt_rtx.",
            func,
        )
    gpu = devices[device_id]
    return f"{gpu.name} (SM {gpu.compute[0]}{gpu.compute[1]}, CUDA {gpu.driver // 1000})"


def to_fp16(path: Path) -> bytes:
    """A network in half precision, input and output too: TensorRT 11 and RTX take the precision from the graph."""
    import onnx
    from onnxconverter_common import float16

    model = onnx.load(path)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"  # unnamed nodes end as duplicate casts
    with warnings.catch_warnings():  # weights below half precision's smallest step become that step
        warnings.simplefilter("ignore", UserWarning)
        half = float16.convert_float_to_float16(model, keep_io_types=False)
    return bytes(half.SerializeToString())


def engine_build(
    model: str | os.PathLike[str],
    size: tuple[int, int],
    *,
    backend: EngineKind = "trt",
    precision: Precision = "fp16",
    compute: tuple[int, ...] = (),
    device_id: int = 0,
    force: bool = False,
    show: bool = True,
) -> Path:
    """Build an engine for pictures (or tiles) of one size, and keep it; does nothing when it is there and whole.

    TensorRT builds on the GPU that will run it, in minutes; TensorRT for RTX builds anywhere in seconds, and finishes
    on the GPU when it is first run. Written as a whole or not at all: an interrupted build leaves nothing.

    Args:
        model: A model of the registry, or an .onnx file.
        size: Width and height of what goes into the network: the picture's, or the tile's.
        backend: "trt" (TensorRT) or "trt_rtx" (TensorRT for RTX).
        precision: "fp16" or "f32".
        compute: GPU generations of an RTX engine (89 is SM 89); all that it knows when empty.
        device_id: Which GPU builds (TensorRT).
        force: Build again.
        show: A progress bar on standard error.

    Returns:
        The engine's file.

    Raises:
        CustomRuntimeError: The runtime's Python part is missing, no GPU is here (TensorRT), or the build failed.
        CustomValueError: The model, size or precision is none that is known.

    Example:
        >>> engine_build("upconv_7_photo", (720, 0))
        Traceback (most recent call last):
        ...
        ValueError: (engine_build) size is (720, 0); give width and height, 16 or more.
    """
    if len(size) != 2 or min(size) < 16:
        raise CustomValueError(f"size is {size!r}; give width and height, 16 or more.", engine_build)
    if backend not in MODULES or precision not in ("fp16", "f32"):
        raise CustomValueError(
            f"backend is {backend!r} and precision {precision!r}; use trt or trt_rtx, and fp16 or f32.", engine_build
        )
    unknown = sorted(set(compute) - set(RTX_COMPUTE) - {121})
    if unknown:
        raise CustomValueError(
            f"TensorRT for RTX knows no SM {unknown[0]}; use {', '.join(map(str, RTX_COMPUTE))} or 121.", engine_build
        )
    network = load_model(model, engine_build, use=None)
    if network.exact and precision == "fp16":
        raise CustomValueError(f"{network.name!r} needs single precision; add --precision f32.", engine_build)
    if size[0] % network.align or size[1] % network.align:
        raise CustomValueError(
            f"size is {size[0]}x{size[1]}; {network.name!r} needs multiples of {network.align}.", engine_build
        )
    trt = _module(backend, engine_build)
    recipe = Recipe(
        kind=backend,
        model=network.name,
        model_sha256=network.sha256,
        width=size[0],
        height=size[1],
        precision=precision,
        release=_release(trt.__version__),
        target=_target(backend, compute or RTX_COMPUTE, device_id, engine_build),
    )
    if not force and _whole(recipe.path) is None:
        return recipe.path
    onnx = to_fp16(network.path) if precision == "fp16" else network.path.read_bytes()
    with files.progress(f"{recipe.model} {size[0]}x{size[1]} {backend}", 1000, show=show) as done:
        engine = _serialise(trt, onnx, recipe, compute or RTX_COMPUTE, done)
        done(1000)
    _check(trt, engine, recipe)
    with files.atomic(recipe.path, engine_build) as temporary:
        temporary.write_bytes(engine)
    # the description comes last: an engine without one is not whole
    files.write_json(
        recipe.path.with_suffix(".json"), {**asdict(recipe), "sha256": hashlib.sha256(engine).hexdigest()}, engine_build
    )
    return recipe.path


def _monitor(trt: ModuleType, done: Callable[[int], None]) -> Any:
    """TensorRT's nested phases as one bar of 1000: each phase shares what is left of the one around it."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.phases: dict[str, tuple[float, float, int]] = {}
            self.at, self.stopped = 0.0, False

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            share = self.phases[parent][1] / max(1, self.phases[parent][2]) if parent in self.phases else 1000 - self.at
            self.phases[phase] = (self.at, share, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            start, share, steps = self.phases.get(phase, (self.at, 0.0, 1))
            self.at = max(self.at, min(999.0, start + share * (step + 1) / max(1, steps)))
            try:
                done(int(self.at))
            except KeyboardInterrupt:
                self.stopped = True
            return not self.stopped

        def phase_finish(self, phase: str) -> None:
            start, share, _ = self.phases.pop(phase, (self.at, 0.0, 1))
            self.at = max(self.at, min(999.0, start + share))

    return Monitor()


def _serialise(
    trt: ModuleType, onnx: bytes, recipe: Recipe, compute: tuple[int, ...], done: Callable[[int], None]
) -> bytes:
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        said = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))[:300]
        raise CustomRuntimeError(
            f"{recipe.model!r} is not understood by {recipe.kind} {recipe.release}: {said}", engine_build
        )
    config = builder.create_builder_config()
    monitor = _monitor(trt, done)
    config.progress_monitor = monitor
    given = network.get_input(0)
    shape = (1, given.shape[1], recipe.height, recipe.width)
    profile = builder.create_optimization_profile()
    profile.set_shape(given.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    if recipe.kind == "trt_rtx":
        config.num_compute_capabilities = len(compute)
        for index, generation in enumerate(compute):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{generation}"), index)
    engine = builder.build_serialized_network(network, config)
    if monitor.stopped:
        raise KeyboardInterrupt
    if engine is None:
        raise CustomRuntimeError(f"{recipe.kind} {recipe.release} could not build {recipe.model!r}.", engine_build)
    return bytes(engine)


def _check(trt: ModuleType, engine: bytes, recipe: Recipe) -> None:
    """Load the engine as the plugin will, where the GPU that can is here."""
    if len(engine) < 1024:
        raise CustomRuntimeError(f"The engine of {recipe.model!r} has {len(engine)} bytes only.", engine_build)
    usable = [gpu for gpu in cuda_devices() if recipe.kind == "trt" or _runs_on(recipe, gpu.compute)]
    if usable and trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(engine) is None:
        raise CustomRuntimeError(
            f"The engine of {recipe.model!r} was built and does not load on {usable[0].name}.", engine_build
        )


def _runs_on(recipe: Recipe, compute: tuple[int, int]) -> bool:
    return str(compute[0] * 10 + compute[1]) in recipe.target.removeprefix("SM ").split()


def _describe(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _whole(path: Path) -> str | None:
    """Why an engine's file cannot be trusted; None if it can."""
    if not path.is_file():
        return "is not there"
    state = path.stat()
    return _hashed(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=32)
def _hashed(path: Path, mtime: int, size: int) -> str | None:
    found = _describe(path)
    if found is None:
        return "has no description beside it"
    return None if found.get("sha256") == sha256(path) else "was changed since it was built"


def engines_list() -> list[tuple[Path, Recipe]]:
    """The engines in the user's folder, each with what it depends on.

    Example:
        >>> isinstance(engines_list(), list)
        True
    """
    found = []
    for path in sorted(engine_dir().glob("*.engine")):
        values = _describe(path)
        fields = Recipe.__dataclass_fields__
        if values is not None and set(fields) <= set(values):
            found.append((path, Recipe(**{name: values[name] for name in fields})))
    return found


def find_engine(
    network: Network,
    size: tuple[int, int],
    *,
    kind: EngineKind,
    precision: Precision = "fp16",
    device_id: int = 0,
    func: Func = "find_engine",
) -> Path:
    """The engine for a network, a size, a precision, and the release and GPU that are here.

    Raises:
        CustomRuntimeError: There is none that fits; the message says why, and the command that builds one.
    """
    release = _plugin_release(kind, func)
    gpu = cuda_devices()[device_id] if device_id < len(cuda_devices()) else None
    reasons = []
    for path, recipe in engines_list():
        if recipe.kind != kind or recipe.model != network.name:
            continue
        if (recipe.width, recipe.height) != size:
            continue
        if recipe.precision != precision:
            reasons.append(f"{path.name} computes in {recipe.precision}")
        elif recipe.model_sha256 != network.sha256:
            reasons.append(f"{path.name} was built from another file of that name")
        elif recipe.release != release:
            reasons.append(f"{path.name} was built by release {recipe.release}, the plugin is {release}")
        elif gpu is not None and kind == "trt" and recipe.target != _target(kind, (), device_id, func):
            reasons.append(f"{path.name} was built for {recipe.target}")
        elif gpu is not None and kind == "trt_rtx" and not _runs_on(recipe, gpu.compute):
            reasons.append(f"{path.name} is for {recipe.target}, the GPU is SM {gpu.compute[0]}{gpu.compute[1]}")
        elif (fault := _whole(path)) is not None:
            reasons.append(f"{path.name} {fault}")
        else:
            return path
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise CustomRuntimeError(
        f"There is no {kind} engine of {network.name!r} for {size[0]}x{size[1]}{why}; "
        f"type: {_command(network, size, kind, precision)}",
        func,
    )


def _command(network: Network, size: tuple[int, int], kind: EngineKind, precision: Precision) -> str:
    known = network.path.parent in (store(), presets.data_dir("onnx_models"))
    backend = "" if kind == "trt" else " --backend trt_rtx"
    single = " --precision f32" if precision == "f32" else ""
    return f"ds9vs engine build {network.name if known else network.path} --size {size[0]}x{size[1]}{backend}{single}"
