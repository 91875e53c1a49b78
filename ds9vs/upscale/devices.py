"""What this machine can compute on, asked in ways that cannot crash the process.

May import the ground rooms. NVIDIA's driver is asked through its own C library; Vulkan, whose drivers are known to
bring processes down, is asked in a process of its own with a time limit.
"""

from __future__ import annotations

import ctypes
import functools
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Gpu", "VulkanDevice", "cpu_has_bf16", "cuda_devices", "total_memory", "vulkan_devices"]

PROBE_SECONDS = 30
"""A driver that says nothing for so long is taken for dead."""


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
def total_memory() -> int:
    """Bytes of memory that this machine has (not what is free: the same picture must come out every time)."""
    import psutil

    return int(psutil.virtual_memory().total)
