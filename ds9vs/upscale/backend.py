"""Backends: the runtimes that can run a network, each with its options, its checks, and its one call of the plugin.

May import the ground rooms and the upscale rooms `network`, `tile`, `devices`, `engine`, `settings`. What would crash
natively (planes, sizes, missing devices) is refused before a plugin is called; what cannot run says why in a sentence.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import vapoursynth as vs
from vapoursynth import core

from .. import plugins
from ..errors import CustomRuntimeError, CustomValueError
from .devices import cpu_has_bf16, cuda_devices, free_memory, processor, vulkan_devices
from .engine import EngineKind, find_engine
from .network import Network
from .settings import Setting, find_setting
from .tile import Tiling, cut, pad_to, paste, plan_tiles, smaller

__all__ = [
    "AUTO_ORDER",
    "BACKENDS",
    "Backend",
    "BackendChoice",
    "BackendReport",
    "Ncnn",
    "OpenVino",
    "OrtCpu",
    "OrtCuda",
    "TensorRt",
    "TensorRtRtx",
    "explain_backends",
    "infer",
    "select_backend",
]

type Func = Callable[..., Any] | str

logger = logging.getLogger("ds9vs.upscale")

REPORT_SECONDS = 120
"""How long the called check of one backend may take."""
NO_MEMORY = re.compile(
    r"out.?of.?memory|insufficient \w+ memory|bad_alloc|memory ?allocation|fail\w* to allocate"
    r"|(?:can|could) ?not allocate|allocate ?memory|cuda failure 2\b|inference failed",
    re.IGNORECASE,
)
"""How the runtimes say that memory does not suffice; ncnn says only that "inference failed"."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A runtime: what to ask before it is called, and how it is called."""

    name: ClassVar[str]
    """What `upscale(backend=...)` takes."""
    function: ClassVar[str]
    """The plugin's function, as in `vs.core`."""

    @property
    def half(self) -> bool:
        """Whether it takes and gives half-precision pictures."""
        return False

    @property
    def computes(self) -> str:
        """What it computes in."""
        return "f32"

    @property
    def device_name(self) -> str:
        """What it computes on."""
        return processor()

    @property
    def release(self) -> str:
        """The plugin's release."""
        raw = getattr(core, self.function.partition(".")[0]).Version().get("version", "")
        return raw.decode() if isinstance(raw, bytes) else str(raw)

    def exactly(self) -> Backend:
        """The same in single precision."""
        return self

    def doubtful(self, network: Network, tiling: Tiling) -> bool:
        """Whether memory is taken with the first picture only, and may not suffice: then a blank one is run before."""
        return False

    def arguments(self) -> dict[str, Any]:
        """What the plugin's function takes beyond clips, path and tiles."""
        return {}

    def missing(self) -> str | None:
        """Why this backend cannot run on this machine, in a sentence with what to type; None if it can."""
        try:
            plugins.require(self.function, self.name, *self.arguments())
        except CustomRuntimeError as error:
            return _sentence(error)
        return None

    def file(self, network: Network, tiling: Tiling, func: Func) -> Path:
        """What the plugin loads: the network, or an engine built from it."""
        return network.path

    def run(self, clips: Sequence[vs.VideoNode], network: Network, tiling: Tiling, func: Func) -> vs.VideoNode:
        """Call the plugin. Clips are RGBS (or GRAYS) of the padded size."""
        options = self.arguments()
        model = plugins.require(self.function, func, *options)
        path = self.file(network, tiling, func)
        tiles = [cut(clip, tiling) for clip in clips]
        given = [clip.resize.Point(format=_half(clip)) for clip in tiles] if self.half else tiles
        result = model(given, str(path), **options)
        if not isinstance(result, vs.VideoNode):
            raise CustomRuntimeError(f"core.{self.function} gave no picture for {network.name!r}.", func)
        made = result.resize.Point(format=_half(result, 32)) if self.half else result
        return paste(made, tiling, network.scale, func=func)


def _half(clip: vs.VideoNode, bits: int = 16) -> int:
    return int(clip.format.replace(bits_per_sample=bits).id)


def _sentence(error: Exception) -> str:
    """The message of an error without the function's name that vs-jetpack puts before it."""
    message = getattr(error, "message", None) or str(error)
    return " ".join(str(message).split())


def _cuda_missing(version: dict[str, Any]) -> str | None:
    devices = cuda_devices()
    if not devices:
        return "no NVIDIA GPU with a driver is here"
    raw = version.get("cuda_runtime_version", b"0")
    needed = int(raw.decode() if isinstance(raw, bytes) else raw)
    if devices[0].driver // 1000 < needed // 1000:
        return (
            f"the NVIDIA driver runs CUDA {devices[0].driver // 1000}, the plugin needs {needed // 1000}; "
            "install a newer driver"
        )
    return None


def _cuda_name(device_id: int) -> str:
    devices = cuda_devices()
    return devices[device_id].name if device_id < len(devices) else f"CUDA device {device_id}"


@dataclass(frozen=True, kw_only=True)
class TensorRt(Backend):
    """NVIDIA TensorRT: the fastest, on an engine that `ds9vs engine build` made for this GPU and size."""

    name = "trt"
    function = "trt.Model"
    kind: ClassVar[EngineKind] = "trt"

    device_id: int = 0
    """CUDA device."""
    num_streams: int = 2
    """Pictures in flight at once."""
    cuda_graph: bool = True
    """Replay the engine as one CUDA graph: less work for the processor."""
    precision: Literal["fp16", "f32"] = "fp16"
    """What the engine computes in, and takes."""

    @property
    def computes(self) -> str:
        """See `Backend.computes`."""
        return self.precision

    @property
    def half(self) -> bool:
        """See `Backend.half`."""
        return self.precision == "fp16"

    def exactly(self) -> Backend:
        """See `Backend.exactly`."""
        return replace(self, precision="f32")

    @property
    def device_name(self) -> str:
        """See `Backend.device_name`."""
        return _cuda_name(self.device_id)

    def arguments(self) -> dict[str, Any]:
        """See `Backend.arguments`."""
        return {"device_id": self.device_id, "num_streams": self.num_streams, "use_cuda_graph": self.cuda_graph}

    def missing(self) -> str | None:
        """See `Backend.missing`."""
        found = super().missing()
        if found:
            return found
        return _cuda_missing(getattr(core, self.kind).Version())

    def file(self, network: Network, tiling: Tiling, func: Func) -> Path:
        """The engine for this network, size, precision, release and GPU; raises with the command that builds it."""
        return find_engine(
            network, tiling.tile, kind=self.kind, precision=self.precision, device_id=self.device_id, func=func
        )


@dataclass(frozen=True, kw_only=True)
class TensorRtRtx(TensorRt):
    """NVIDIA TensorRT for RTX: engines that build anywhere, without a GPU, for the generations 75 to 120 (not 90)."""

    name = "trt_rtx"
    function = "trt_rtx.Model"
    kind: ClassVar[EngineKind] = "trt_rtx"


@dataclass(frozen=True, kw_only=True)
class OrtCuda(Backend):
    """ONNX Runtime on an NVIDIA GPU: no engine to build."""

    name = "ort-cuda"
    function = "ort.Model"

    device_id: int = 0
    """CUDA device."""
    num_streams: int = 1
    """Pictures in flight at once."""
    fp16: bool = True
    """Compute in half precision; the base is added outside in single, so levels are kept."""
    cuda_graph: bool = False
    """Replay as one CUDA graph: faster for small networks, more memory."""

    @property
    def computes(self) -> str:
        """See `Backend.computes`."""
        return "fp16" if self.fp16 else "f32"

    @property
    def device_name(self) -> str:
        """See `Backend.device_name`."""
        return _cuda_name(self.device_id)

    def doubtful(self, network: Network, tiling: Tiling) -> bool:
        """See `Backend.doubtful`."""
        return True

    def exactly(self) -> Backend:
        """See `Backend.exactly`."""
        return replace(self, fp16=False)

    def arguments(self) -> dict[str, Any]:
        """See `Backend.arguments`."""
        return {
            "provider": "CUDA",
            "device_id": self.device_id,
            "num_streams": self.num_streams,
            "fp16": self.fp16,
            "use_cuda_graph": self.cuda_graph,
        }

    def missing(self) -> str | None:
        """See `Backend.missing`."""
        found = super().missing()
        if found:
            return found
        version = core.ort.Version()
        if "CUDA" not in str(version.get("providers", "")):
            return "the ONNX Runtime plugin was built without CUDA; type: pip install vapoursynth-mlrt-ort-cuda"
        return _cuda_missing(version)


@dataclass(frozen=True, kw_only=True)
class OpenVino(Backend):
    """OpenVINO on the processor: the fastest without a GPU, up to 6 times ONNX Runtime where bf16 is native."""

    name = "ov-cpu"
    function = "ov.Model"
    device: ClassVar[str] = "CPU"

    precision: Literal["auto", "f32", "bf16"] = "auto"
    """What it computes in: auto is bf16 where the processor has it (AMX or AVX512-BF16), else f32."""
    num_streams: int = 1
    """Pictures in flight at once; more than one collapses on a processor."""
    num_threads: int = 0
    """Threads; 0 is all."""

    @property
    def computes(self) -> str:
        """See `Backend.computes`."""
        return ("bf16" if cpu_has_bf16() else "f32") if self.precision == "auto" else self.precision

    def exactly(self) -> Backend:
        """See `Backend.exactly`."""
        return replace(self, precision="f32")

    def arguments(self) -> dict[str, Any]:
        """See `Backend.arguments`."""
        if self.precision not in ("auto", "f32", "bf16"):
            raise CustomValueError(f"precision is {self.precision!r}; use auto, f32 or bf16.", "OpenVino")
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.computes, "INFERENCE_NUM_THREADS": self.num_threads}
        return {"device": "CPU", "num_streams": self.num_streams, "config": lambda: options}


@dataclass(frozen=True, kw_only=True)
class OpenVinoGpu(Backend):
    """OpenVINO on an Intel GPU; never taken by "auto", since many of them are slower than the processor beside."""

    name = "ov-gpu"
    function = "ov.Model"

    device_id: int = 0
    """Which GPU."""
    num_streams: int = 1
    """Pictures in flight at once."""
    precision: Literal["f32", "f16"] = "f16"
    """What it computes in."""

    @property
    def computes(self) -> str:
        """See `Backend.computes`."""
        return self.precision

    @property
    def device_name(self) -> str:
        """See `Backend.device_name`."""
        return f"GPU.{self.device_id} beside {processor()}"

    def doubtful(self, network: Network, tiling: Tiling) -> bool:
        """See `Backend.doubtful`."""
        return True

    def exactly(self) -> Backend:
        """See `Backend.exactly`."""
        return replace(self, precision="f32")

    def arguments(self) -> dict[str, Any]:
        """See `Backend.arguments`."""
        options = {"INFERENCE_PRECISION_HINT": self.precision}
        return {"device": f"GPU.{self.device_id}", "num_streams": self.num_streams, "config": lambda: options}

    def missing(self) -> str | None:
        """See `Backend.missing`."""
        found = super().missing()
        if found:
            return found
        devices = core.ov.AvailableDevices()
        names = devices if isinstance(devices, list) else [devices]
        plain = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
        if not any(name == "GPU" or name == f"GPU.{self.device_id}" for name in plain):
            return f"OpenVINO sees no GPU here (it sees {', '.join(plain) or 'nothing'})"
        return None


@dataclass(frozen=True, kw_only=True)
class OrtCpu(Backend):
    """ONNX Runtime on the processor, in f32: slower than OpenVINO, and exact."""

    name = "ort-cpu"
    function = "ort.Model"

    num_streams: int = 1
    """Pictures in flight at once."""

    def doubtful(self, network: Network, tiling: Tiling) -> bool:
        """See `Backend.doubtful`; a picture takes long here, so only where little more is free than it will need."""
        return self.num_streams * network.memory * tiling.tile[0] * tiling.tile[1] > free_memory() / 3

    def arguments(self) -> dict[str, Any]:
        """See `Backend.arguments`."""
        return {"provider": "", "num_streams": self.num_streams}


@dataclass(frozen=True, kw_only=True)
class Ncnn(Backend):
    """ncnn through Vulkan: any GPU that has a Vulkan driver (AMD, Intel, NVIDIA, Apple)."""

    name = "ncnn"
    function = "ncnn.Model"

    device_id: int = 0
    """Vulkan device."""
    num_streams: int = 1
    """Pictures in flight at once."""
    fp16: bool = True
    """Compute in half precision."""
    software: bool = False
    """Take a Vulkan device that is only a program on the processor, too."""

    @property
    def computes(self) -> str:
        """See `Backend.computes`."""
        return "fp16" if self.fp16 else "f32"

    @property
    def device_name(self) -> str:
        """See `Backend.device_name`."""
        return ", ".join(device.name for device in vulkan_devices())

    def doubtful(self, network: Network, tiling: Tiling) -> bool:
        """See `Backend.doubtful`."""
        return True

    def exactly(self) -> Backend:
        """See `Backend.exactly`."""
        return replace(self, fp16=False)

    def arguments(self) -> dict[str, Any]:
        """See `Backend.arguments`."""
        return {"device_id": self.device_id, "num_streams": self.num_streams, "fp16": self.fp16}

    def missing(self) -> str | None:
        """See `Backend.missing`."""
        found = super().missing()
        if found:
            return found
        devices = vulkan_devices()
        if not devices:
            return "no Vulkan device answers"
        if devices[0].software and not self.software:
            return (
                f"the only Vulkan device is {devices[0].name}, a program on the processor; Ncnn(software=True) takes it"
            )
        return None


BACKENDS: dict[str, type[Backend]] = {
    kind.name: kind for kind in (TensorRt, TensorRtRtx, OrtCuda, OpenVino, OpenVinoGpu, OrtCpu, Ncnn)
}
"""Every backend by its name."""
AUTO_ORDER = ("trt", "trt_rtx", "ort-cuda", "ov-cpu", "ort-cpu", "ncnn")
"""What "auto" tries, in this order."""


@dataclass(frozen=True, kw_only=True)
class BackendChoice:
    """What was taken, and why nothing before it."""

    backend: Backend
    """The backend, with its options."""
    refused: tuple[tuple[str, str], ...] = ()
    """Name and reason of each that was tried before."""
    shrunk: tuple[int, int] | None = None
    """Width and height of the tiles, where memory did not suffice for what was planned."""

    def __str__(self) -> str:
        tiles = "" if self.shrunk is None else f" in tiles of {self.shrunk[0]}x{self.shrunk[1]}, for want of memory"
        reasons = "".join(f"; not {name}: {reason}" for name, reason in self.refused)
        return f"{self.backend.name}{tiles}{reasons}"


def named_backend(backend: str | Backend, func: Func) -> Backend:
    """A backend by its name, with the default options; one that is given passes through.

    Raises:
        CustomValueError: There is no such backend.
    """
    if isinstance(backend, Backend):
        return backend
    if backend not in BACKENDS:
        raise CustomValueError(f"There is no backend {backend!r}; use auto, {', '.join(BACKENDS)}.", func)
    return BACKENDS[backend]()


def infer(
    clips: Sequence[vs.VideoNode],
    network: Network,
    tiling: Tiling | None = None,
    *,
    backend: str | Backend = "auto",
    func: Func = "infer",
) -> tuple[vs.VideoNode, BackendChoice]:
    """Run a network on clips: pad, call, cut to `scale` times the size that came in.

    A backend that runs out of memory is tried once more with smaller tiles, with a warning that says so. Those that
    take memory with the first picture (GPUs; ONNX Runtime where little is free) run a blank one first.

    Args:
        clips: GRAYS or RGBS of one size, values 0 to 1; several are the neighbouring pictures that the network takes.
        network: What to run.
        tiling: How to cut; from `plan_tiles()`. None: as `ds9vs engine tune` found it fastest with this backend, and
            with as many streams where the backend is given by name; else whole where memory allows.
        backend: "auto" tries each of AUTO_ORDER; or a name, or a backend with options.
        func: The public function that asks, named in errors.

    Returns:
        The clip, and which backend was taken and why no other. The choice is logged at level INFO ("ds9vs.upscale").

    Raises:
        CustomValueError: The clips are not what the network takes, or the backend's name is unknown.
        CustomRuntimeError: The backend that was asked for, or every one, cannot run here; the message says why.

    Example:
        >>> from ds9vs.upscale.network import inspect
        >>> _ = (tmp_path / "double.onnx").write_bytes(_check_network())
        >>> network = inspect(tmp_path / "double.onnx")
        >>> clip = core.std.BlankClip(width=40, height=30, format=vs.RGBS, length=1, color=[0.25] * 3)
        >>> big, choice = infer([clip], network, backend="ort-cpu")
        >>> big.width, big.get_frame(0)[0][9, 9], str(choice)
        (80, 0.25, 'ort-cpu')
    """
    candidates = list(AUTO_ORDER) if backend == "auto" else [backend]
    tried = [named_backend(one, func) for one in candidates]
    if network.exact and isinstance(backend, str):
        tried = [one.exactly() for one in tried]
    planes = sum(clip.format.num_planes for clip in clips)
    wrong = [
        c
        for c in clips
        if c.format.id not in (vs.RGBS, vs.GRAYS) or (c.width, c.height) != (clips[0].width, clips[0].height)
    ]
    if wrong or planes != network.channels:
        raise CustomValueError(
            f"{network.name!r} takes {network.channels} planes in RGBS or GRAYS; "
            f"{planes} in {clips[0].format.name} were given.",
            func,
        )
    width, height, scale = clips[0].width, clips[0].height, network.scale
    refused: list[tuple[str, str]] = []
    for candidate in tried:
        reason = candidate.missing()
        if reason is None:
            plan, used = tiling, candidate
            if plan is None:
                plan, used = _planned(candidate, network, (width, height), isinstance(backend, str), func)
            try:
                result, taken = _shrunk(used, clips, network, plan, func)
            except (vs.Error, CustomRuntimeError) as error:
                reason = _sentence(error)
            else:
                shrunk = None if taken == plan else taken.tile
                choice = BackendChoice(backend=used, refused=tuple(refused), shrunk=shrunk)
                logger.info("%s by %s", network.name, choice)
                return result.std.CropAbs(width * scale, height * scale), choice
        refused.append((candidate.name, reason))
    if len(refused) == 1:
        raise CustomRuntimeError(f"The backend {refused[0][0]!r} cannot run {network.name!r}: {refused[0][1]}.", func)
    raise CustomRuntimeError(
        f"No backend can run {network.name!r}: {'; '.join(f'{n}: {r}' for n, r in refused)}.", func
    )


def measured(backend: Backend, network: Network, size: tuple[int, int]) -> Setting:
    """What a measured setting of a backend depends on, as it is now."""
    return Setting(
        model=network.name,
        model_sha256=network.sha256,
        width=size[0],
        height=size[1],
        backend=backend.name,
        precision=backend.computes,
        release=backend.release,
        device=backend.device_name,
    )


def _planned(
    backend: Backend, network: Network, size: tuple[int, int], named: bool, func: Func
) -> tuple[Tiling, Backend]:
    """Tiles as they were measured to be fastest here, and the streams; whole pictures where nothing was measured."""
    now = measured(backend, network, size)
    setting, reason = find_setting(now)
    if setting is not None:
        try:
            tiling = plan_tiles(network, *size, tile=setting.tile, func=func)
        except CustomValueError:
            reason = f"its tiles of {setting.tile[0]}x{setting.tile[1]} are no longer allowed"
        else:
            streams = named and "num_streams" in {field.name for field in fields(backend)}
            return tiling, replace(backend, **{"num_streams": setting.num_streams}) if streams else backend
    if reason is not None:
        logger.warning(
            "The setting %s is not taken: %s; type: ds9vs engine tune %s --size %dx%d --backend %s",
            now.path.name,
            reason,
            network.name,
            *size,
            backend.name,
        )
    return plan_tiles(network, *size, func=func), backend


def _shrunk(
    backend: Backend, clips: Sequence[vs.VideoNode], network: Network, tiling: Tiling, func: Func
) -> tuple[vs.VideoNode, Tiling]:
    """The network's clip, still padded, and the tiling that it took: where memory did not suffice a smaller one."""
    try:
        return _started(backend, clips, network, tiling, func), tiling
    except (vs.Error, CustomRuntimeError) as error:
        less = smaller(network, tiling)
        said = _sentence(error)
        reason = NO_MEMORY.search(said)
        if less is None or reason is None:
            raise
    gc.collect()  # outside the handler: else the error's traceback keeps the runtime, and its memory
    logger.warning(
        "%s has not enough memory for %r at %dx%d (%s); tiles of %dx%d are tried instead. "
        "To go that way at once give tile=(%d, %d), or type: ds9vs engine tune %s --size %dx%d",
        backend.name,
        network.name,
        *tiling.tile,
        said[reason.start() :].partition(".")[0][:80],
        *less.tile,
        *less.tile,
        network.name,
        clips[0].width,
        clips[0].height,
    )
    return _started(backend, clips, network, less, func), less


def _started(
    backend: Backend, clips: Sequence[vs.VideoNode], network: Network, tiling: Tiling, func: Func
) -> vs.VideoNode:
    padded = [pad_to(clip, tiling.picture) for clip in clips]
    if backend.doubtful(network, tiling):
        many = getattr(backend, "num_streams", 1)
        blank = [core.std.BlankClip(clip, length=many, keep=True) for clip in padded]
        for _ in backend.run(blank, network, tiling, func).frames(prefetch=many, close=True):
            pass
        gc.collect()
    return backend.run(padded, network, tiling, func)


def select_backend(
    network: Network, width: int, height: int, *, backend: str | Backend = "auto", func: Func = "select_backend"
) -> BackendChoice:
    """Which backend a picture of that size would run on, and why no earlier one: what `restore` and `doctor` tell.

    Raises:
        CustomRuntimeError: None can.
    """
    planes = vs.GRAYS if network.luma_only else vs.RGBS
    blank = core.std.BlankClip(width=width, height=height, format=planes, length=1, keep=True)
    return infer([blank] * network.frames, network, backend=backend, func=func)[1]


@dataclass(frozen=True, kw_only=True)
class BackendReport:
    """What became of the called check of one backend."""

    name: str
    """The backend."""
    ran: bool
    """Whether it computed a picture rightly here."""
    said: str
    """How well, or why it did not run."""


_CHECK = """
import sys, pathlib, vapoursynth as vs
from ds9vs.upscale.backend import BACKENDS, Ncnn
from ds9vs.upscale.network import inspect
from ds9vs.upscale.tile import plan_tiles
net = inspect(sys.argv[2])
backend = Ncnn(software=True) if sys.argv[1] == "ncnn" else BACKENDS[sys.argv[1]]()
clip = vs.core.std.BlankClip(width=32, height=16, format=vs.RGBS, length=1, color=[0.25, 0.5, 0.75])
out = backend.run([clip], net, plan_tiles(net, 32, 16), "doctor")
with out.get_frame(0) as frame:
    error = max(abs(frame[p][5, 7] - v) for p, v in enumerate((0.25, 0.5, 0.75)))
print("probe", out.width, out.height, error)
"""


def explain_backends(names: Sequence[str] | None = None) -> list[BackendReport]:
    """Try every backend on a tiny network, each in a process of its own, and say what happened.

    Args:
        names: The backends to try; all when None.

    Returns:
        One report a backend, in the order in which "auto" tries them first. A backend without its device or engine
        is reported as not run, with the reason.

    Example:
        >>> [report.ran for report in explain_backends(["ort-cpu"])]
        [True]
    """
    import tempfile

    wanted = list(names) if names is not None else [*AUTO_ORDER, *(n for n in BACKENDS if n not in AUTO_ORDER)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.onnx"
        path.write_bytes(_check_network())
        return [_report(named_backend(name, explain_backends), path) for name in wanted]


def _report(backend: Backend, path: Path) -> BackendReport:
    reason = backend.missing()
    if reason is None and isinstance(backend, TensorRt):
        reason = "its plugin and GPU are here; build an engine: ds9vs engine build MODEL --size WxH"
    if reason is not None:
        return BackendReport(name=backend.name, ran=False, said=f"not run: {reason}")
    try:
        said = ask_child(_CHECK, [backend.name, str(path)], "probe", REPORT_SECONDS, explain_backends)
    except subprocess.TimeoutExpired:
        return BackendReport(name=backend.name, ran=False, said=f"failed: no answer in {REPORT_SECONDS} s")
    except CustomRuntimeError as failed:
        return BackendReport(name=backend.name, ran=False, said=f"failed: {str(failed.message)[:200]}")
    error = float(said[2])
    right = said[:2] == ["64", "32"] and error < 0.01
    verdict = f"ran, largest error {error:.4f}" if right else f"failed: a wrong picture (error {error:.4f})"
    return BackendReport(name=backend.name, ran=right, said=verdict)


def ask_child(code: str, words: Sequence[str], mark: str, seconds: float, func: Func) -> list[str]:
    """Run a piece of Python in a process of its own, which may crash; the words that it printed last after `mark`.

    Raises:
        subprocess.TimeoutExpired: It gave no answer in time.
        CustomRuntimeError: It failed; the message is the last line that it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    said = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith(f"{mark} ")]
    if done.returncode or not said:
        lines = done.stderr.strip().splitlines() or [f"the process ended with code {done.returncode}"]
        raise CustomRuntimeError(lines[-1], func)
    return said[-1]


def _check_network() -> bytes:
    """A network that doubles a picture: a 1x1 convolution to 12 planes, shuffled."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((12, 3, 1, 1), np.float32)
    for plane in range(12):
        weights[plane, plane // 4] = 1
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w"], ["wide"], kernel_shape=[1, 1]),
            helper.make_node("DepthToSpace", ["wide"], ["output"], blocksize=2, mode="CRD"),
        ],
        "check",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w_"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "oh", "ow"])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
