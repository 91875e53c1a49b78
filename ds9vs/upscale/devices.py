"""What this machine can compute on, asked in ways that cannot crash the process.

May import the ground rooms. NVIDIA's driver is asked through its own C library; Vulkan, whose drivers are known to
bring processes down, is asked in a process of its own with a time limit.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Gpu",
    "VulkanDevice",
    "cpu_has_bf16",
    "cuda_devices",
    "free_memory",
    "gpu_memory",
    "peak_memory",
    "processor",
    "total_memory",
    "vulkan_devices",
]

PROBE_SECONDS = 30
"""A driver that says nothing for so long is taken for dead."""
ENDLESS = 1 << 62
"""Bytes that no machine has: no limit is set."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """An NVIDIA GPU."""

    name: str
    """As the driver names it."""
    compute: tuple[int, int]
    """Compute capability: (8, 9) is SM 89."""
    driver: int
    """The newest CUDA that the driver runs: 13040 is 13.4."""


@dataclass(frozen=True, kw_only=True)
class VulkanDevice:
    """A device that ncnn could run on."""

    name: str
    """As the driver names it."""
    software: bool
    """Whether it is a program on the processor that plays a GPU: it works, and is slower than any other backend."""


@functools.cache
def cuda_devices() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that the driver offers; none without a driver."""
    name = {"win32": "nvcuda.dll", "darwin": ""}.get(sys.platform, "libcuda.so.1")
    if not name:
        return ()
    try:
        cuda = ctypes.CDLL(name)
    except OSError:
        return ()
    count, driver = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or cuda.cuDriverGetVersion(ctypes.byref(driver)):
        return ()
    found = []
    for index in range(count.value):
        text = ctypes.create_string_buffer(128)
        major, minor = ctypes.c_int(), ctypes.c_int()
        if cuda.cuDeviceGetName(text, len(text), index):
            continue
        cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, index)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, index)  # and _MINOR
        compute = (major.value, minor.value)
        found.append(Gpu(name=text.value.decode(errors="replace"), compute=compute, driver=driver.value))
    return tuple(found)


@functools.cache
def vulkan_devices() -> tuple[VulkanDevice, ...]:
    """The first Vulkan device as ncnn sees it; none where its driver is missing, fails or hangs."""
    library = {"win32": "vulkan-1.dll", "darwin": "libvulkan.dylib"}.get(sys.platform, "libvulkan.so.1")
    try:
        ctypes.CDLL(library)
    except OSError:
        if sys.platform != "darwin":  # there the plugin brings MoltenVK itself
            return ()
    code = (
        "import json, vapoursynth as vs\n"
        "p = vs.core.ncnn.DeviceProperties()\n"
        "name = p['device_name']\n"
        "name = name.decode() if isinstance(name, bytes) else name\n"
        "print('probe', json.dumps([str(name), int(p['type'])]))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (subprocess.TimeoutExpired, OSError):
        return ()
    said = [line for line in done.stdout.splitlines() if line.startswith("probe ")]
    if done.returncode or not said:
        return ()
    name, kind = json.loads(said[-1].removeprefix("probe "))
    return (VulkanDevice(name=name, software=kind == 3),)  # ncnn's type 3 is a processor


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether the processor computes in bf16 itself (AMX or AVX512-BF16); False where the system does not tell."""
    try:
        flags = next(
            (
                line
                for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                if line.startswith("flags")
            ),
            "",
        )
    except OSError:
        return False
    return platform.machine() in ("x86_64", "AMD64") and bool({"amx_bf16", "avx512_bf16"} & set(flags.split()))


@functools.cache
def processor() -> str:
    """The processor's name and how many of its threads this process may use, for settings that depend on them."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    many = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{name}, {many} threads"


@functools.cache
def total_memory() -> int:
    """Bytes of memory that this machine has, or its container may take.

    Not what is free: the same picture must come out every time.
    """
    import psutil

    return min(int(psutil.virtual_memory().total), _contained("memory.max", "memory.limit_in_bytes"))


def free_memory() -> int:
    """Bytes that this process could take now: what is free, in its container and under its own limit (ulimit -v)."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit = _contained("memory.max", "memory.limit_in_bytes")
    if limit < ENDLESS:
        free = min(free, limit - _contained("memory.current", "memory.usage_in_bytes"))
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            free = min(free, most - int(psutil.Process().memory_info().vms))
    return max(0, free)


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    with contextlib.suppress(OSError, StopIteration):  # getrusage() tells the parent's where that held more
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def gpu_memory(device_id: int = 0) -> int | None:
    """Bytes in use on an NVIDIA GPU, by all programs, as its driver tells; None where it does not.

    Asked through the driver's management library, since CUDA itself tells only those who have memory there already.
    """
    name = {"win32": ("nvcuda.dll", "nvml.dll"), "darwin": None}.get(
        sys.platform, ("libcuda.so.1", "libnvidia-ml.so.1")
    )
    if name is None or device_id >= len(cuda_devices()):
        return None
    try:
        cuda, told = ctypes.CDLL(name[0]), ctypes.CDLL(name[1])
    except OSError:
        return None
    place, handle = ctypes.create_string_buffer(32), ctypes.c_void_p()
    total_free_used = (ctypes.c_ulonglong * 3)()
    if cuda.cuDeviceGetPCIBusId(place, len(place), device_id) or told.nvmlInit_v2():
        return None
    failed = told.nvmlDeviceGetHandleByPciBusId_v2(place, ctypes.byref(handle)) or told.nvmlDeviceGetMemoryInfo(
        handle, ctypes.byref(total_free_used)
    )
    return None if failed else int(total_free_used[2])


def _contained(second: str, first: str) -> int:
    """A figure of the container's memory, by the names of control groups 2 and 1; ENDLESS where there is none."""
    for path in (Path("/sys/fs/cgroup", second), Path("/sys/fs/cgroup/memory", first)):
        with contextlib.suppress(OSError, ValueError):
            return int(path.read_text(encoding="ascii"))
    return ENDLESS
