"""What this machine can do: plugins, backends, GPUs and programs, each called once; and what mends a gap.

Sees ground rooms and `upscale`'s backends. Native code may crash or hang, so the calls run in processes of their own.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import vapoursynth as vs
from vapoursynth import core

from .errors import CustomError, CustomRuntimeError
from .files import tool
from .plugins import PLUGINS
from .upscale.backend import AUTO_ORDER, BACKENDS, explain_backends
from .upscale.devices import cuda_devices, vulkan_devices
from .upscale.engine import EXTRAS

__all__ = ["Finding", "doctor"]

State = Literal["good", "missing", "broken", "not run"]

PLUGIN_SECONDS = 120
"""How long the plugins together may take; whichever is being called then is taken for broken."""
PROGRAM_SECONDS = 20
"""How long a program may take to say its version."""
RUNTIMES: dict[str, str] = {str(kind): extra for kind, extra in EXTRAS.items()}
"""TensorRT's two: what installs each, plugin and runtime."""
CHILD = [sys.executable, "-m", "ds9vs.doctor"]
"""What calls the plugins that are named after it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    group: str
    """"python", "plugin", "backend", "gpu" or "program"."""
    name: str
    state: State
    """good: called, and it answered rightly; missing: needed and not there; broken: there, but it failed, crashed or
    hung; not run: this machine lacks the device or the optional package, which is no fault."""
    said: str
    """What was found."""
    mend: str = ""
    """What to type to mend or to add it."""


class _Program(NamedTuple):
    purpose: str
    package: str
    """The package that holds it, in Debian's and most other collections."""
    version: str = "--version"
    """What makes it say its version, and do nothing else."""
    codes: tuple[int, ...] = (0,)
    """The exit codes with which it does so."""


PROGRAMS = {
    "vspipe": _Program("encoding", ""),
    "x265": _Program("encoding", "x265"),
    "ffmpeg": _Program("simulated discs, verification", "ffmpeg", "-version"),
    "ffprobe": _Program("verification", "ffmpeg", "-version"),
    "mkvmerge": _Program("muxing", "mkvtoolnix"),
    "dvdauthor": _Program("simulated discs", "dvdauthor", "--help", (0, 1)),
    "genisoimage": _Program("simulated discs", "genisoimage"),
    "mediainfo": _Program("tests", "mediainfo"),
}


def _grey(form: int = vs.GRAY8, size: int = 64) -> vs.VideoNode:
    return core.std.BlankClip(format=form, width=size, height=size, length=3)


def _network(folder: Path) -> str:
    """A convolution that changes nothing: every runtime knows that much."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape: list[int | str | None] = [1, 3, "h", "w"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    node = helper.make_node("Conv", ["input", "weights"], ["output"], kernel_shape=[1, 1])
    weights = numpy_helper.from_array(np.eye(3, dtype=np.float32)[:, :, None, None], "weights")
    graph = helper.make_graph([node], "same", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "same.onnx"
    onnx.save(model, str(path))
    return str(path)


def _decoded(folder: Path) -> vs.VideoNode:
    path = folder / "two.y4m"
    path.write_bytes(b"YUV4MPEG2 W64 H64 F25:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + bytes(64 * 64 * 3 // 2)) * 2)
    return core.bs.VideoSource(str(path), cachemode=0, showprogress=False)


def _cube(folder: Path) -> vs.VideoNode:
    path = folder / "same.cube"
    rows = [f"{r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    path.write_text("LUT_3D_SIZE 2\n" + "\n".join(rows) + "\n", encoding="ascii")
    return core.timecube.Cube(_grey(vs.RGBS), str(path))


def _vectors() -> vs.VideoNode:
    sup = core.mvu.Super(_grey(vs.YUV420P8), blksize=[8, 8], overlap=[4, 4])
    return core.mvu.Compensate(_grey(vs.YUV420P8), sup, core.mvu.Analyse(sup, fields=0))


def _spectral() -> vs.VideoNode:
    from dfttest2 import Backend, DFTTest

    out: vs.VideoNode = DFTTest(_grey(), tbsize=1, backend=Backend.CPU())
    return out


CALLS: dict[str, Callable[[Path], vs.VideoNode]] = {
    "bs": _decoded,
    "mvu": lambda _: _vectors(),
    "znedi3": lambda _: core.znedi3.nnedi3(_grey(), field=1),
    "bwdif": lambda _: core.bwdif.Bwdif(_grey(), field=3),
    "vszip": lambda _: core.vszip.LimitFilter(_grey(), _grey()),
    "zsmooth": lambda _: core.zsmooth.RemoveGrain(_grey(), 11),
    "akarin": lambda _: core.akarin.Expr([_grey()], "x 1 +"),
    "resize2": lambda _: core.resize2.Lanczos(_grey(), 96, 96),
    "fh": lambda _: core.fh.FieldHint(_grey(), matches="ccc", tff=1),
    "composite": lambda _: core.composite.Encode(_grey(vs.YUV444P16).resize.Point(720, 480), standard="ntsc"),
    "dfttest2_cpu": lambda _: _spectral(),
    "timecube": _cube,
    "ov": lambda folder: core.ov.Model(_grey(vs.RGBS), _network(folder), device="CPU"),
    "ort": lambda folder: core.ort.Model(_grey(vs.RGBS), _network(folder), provider=""),
    "ncnn": lambda folder: core.ncnn.Model(_grey(vs.RGBS), _network(folder)),
    "noise": lambda _: core.noise.Add(_grey(), var=1.0),
}
"""How each plugin is made to filter a picture. TensorRT's need an engine besides a GPU: they have no entry."""


def call(names: list[str]) -> Iterator[dict[str, str]]:
    """Call the plugins in turn; what happened to each, as it happens."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            yield {"name": name, "state": "begun", "said": ""}
            plugin = getattr(core, name, None)
            if plugin is None:
                yield {"name": name, "state": "missing", "said": "not loaded"}
                continue
            try:
                with CALLS[name](Path(folder)).get_frame(0):
                    version = ".".join(map(str, plugin.version)) if hasattr(plugin, "version") else ""
                    yield {"name": name, "state": "good", "said": f"{version} called"}
            except Exception as error:  # the plugin's own words are the finding
                yield {"name": name, "state": "broken", "said": str(error)}


def _called(names: list[str]) -> Iterator[dict[str, str]]:
    """`call` in a process of its own; what a crash or a hang left over goes to the next process."""
    left = list(names)
    while left:
        try:
            done = subprocess.run(
                [*CHILD, *left],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=PLUGIN_SECONDS,
            )
            printed, last = done.stdout, done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            why = "; ".join([f"the process ended with code {done.returncode}", *last])
        except subprocess.TimeoutExpired as error:
            printed, why = error.stdout or b"", f"no answer in {PLUGIN_SECONDS:g} s"
        rows = [json.loads(line) for line in printed.decode(errors="replace").splitlines() if line.startswith("{")]
        ended = {row["name"]: row for row in rows if row["state"] != "begun"}
        begun = [row["name"] for row in rows if row["name"] not in ended]
        yield from ended.values()
        lost = begun or ([] if ended else left)  # nothing was begun: then nothing can be
        yield from ({"name": name, "state": "broken", "said": why} for name in lost)
        left = [name for name in left if name not in ended and name not in lost]


def _plugins() -> Iterator[Finding]:
    idle = {"ncnn"} if hasattr(core, "ncnn") and not vulkan_devices() else set()
    rows = {row["name"]: row for row in _called([name for name in PLUGINS if name in CALLS and name not in idle])}
    for name, plugin in PLUGINS.items():
        if name in idle:
            yield Finding("plugin", name, "not run", f"loaded; no Vulkan device: {plugin.purpose}")
        elif name in RUNTIMES:
            there = "loaded" if hasattr(core, name) else "not installed"
            mend = "" if hasattr(core, name) else f"pip install '{RUNTIMES[name]}'"
            needs = "it needs an NVIDIA GPU with its driver, and an engine built"
            yield Finding("plugin", name, "not run", f"{there}; {needs}: {plugin.purpose}", mend)
        else:
            row = rows[name]
            state: State = "good" if row["state"] == "good" else "missing" if row["state"] == "missing" else "broken"
            mend = "" if state == "good" else f"pip install '{plugin.package}'"
            yield Finding("plugin", name, state, f"{row['said']}: {plugin.purpose}", mend)


def _backends() -> Iterator[Finding]:
    """Every backend on a tiny network, in a process of its own; what has no device or package here is "not run"."""
    for name in dict.fromkeys([*AUTO_ORDER, *BACKENDS]):
        try:
            (report,) = explain_backends([name])
        except (vs.Error, CustomError) as error:
            yield Finding("backend", name, "broken", str(error))
            continue
        said = re.sub("^(not run|failed): ", "", report.said)
        state: State = "good" if report.ran else "not run" if report.said.startswith("not run") else "broken"
        command = re.search(r"[;,:] *(?:type|build an engine): (.+)$", said)
        mend = command[1] if command else ""
        if name in RUNTIMES and mend.startswith("pip install"):
            mend = f"pip install '{RUNTIMES[name]}'"
        yield Finding("backend", name, state, said[: command.start()] if command else said, mend)


def _gpus() -> Iterator[Finding]:
    for gpu in cuda_devices():
        compute, driver = ".".join(map(str, gpu.compute)), f"{gpu.driver // 1000}.{gpu.driver % 1000 // 10}"
        yield Finding("gpu", gpu.name, "good", f"CUDA: compute capability {compute}, the driver runs CUDA {driver}")
    if not cuda_devices():
        yield Finding("gpu", "CUDA", "not run", "no NVIDIA GPU with a driver answers")
    for device in vulkan_devices():
        if device.software:
            yield Finding("gpu", device.name, "not run", "Vulkan: a program on the processor that plays a GPU")
        else:
            yield Finding("gpu", device.name, "good", "Vulkan")
    if not vulkan_devices():
        yield Finding("gpu", "Vulkan", "not run", "no Vulkan device answers")


def _programs() -> Iterator[Finding]:
    for name, program in PROGRAMS.items():
        mend = "pip install 'vapoursynth>=81,<82'"
        if program.package:
            mend = f"apt-get install {program.package}; elsewhere install {program.package} with your package manager"
        try:
            path = tool(name, doctor)
        except CustomRuntimeError:
            yield Finding("program", name, "missing", f"not on PATH: {program.purpose}", mend)
            continue
        wrong, words = _version(path, program)
        yield Finding(
            "program", name, "broken" if wrong else "good", f"{words}: {program.purpose}", mend if wrong else ""
        )


def _version(path: str, program: _Program) -> tuple[bool, str]:
    """Whether a program fails to say its version, and what it said."""
    try:
        done = subprocess.run(
            [path, program.version],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=PROGRAM_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True, f"{path} {program.version}: no answer in {PROGRAM_SECONDS:g} s"
    except OSError as error:
        return True, f"{path} cannot be started ({error.strerror})"
    lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()] or [path]
    said = next((line for line in lines if re.search(r"\d\.\d|\bR\d", line)), lines[0]).partition(" Copyright")[0]
    if done.returncode not in program.codes:
        return True, f"{path} {program.version} failed with code {done.returncode}, {lines[-1]}"
    return False, said


def doctor() -> list[Finding]:
    """Look at everything that this library may need, by calling it.

    Returns:
        One finding each for Python, the plugins, the backends, the GPUs and the programs; `mend` holds what to type.

    Example:
        >>> any(finding.name == "akarin" and finding.state == "good" for finding in doctor())
        True
    """
    found = [
        Finding("python", "Python", "good", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("python", "VapourSynth", "good", f"R{vs.__version__.release_major}, {core.num_threads} threads"),
    ]
    return [*found, *_plugins(), *_backends(), *_gpus(), *_programs()]


if __name__ == "__main__":
    for answer in call(sys.argv[1:]):
        print(json.dumps(answer), flush=True)
