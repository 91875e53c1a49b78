"""What this machine can do: every plugin called once, every backend tried, every program found; and what mends a gap.

Sees ground rooms and `upscale`'s backends. Native code may crash, so the calls run in a process of their own.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import vapoursynth as vs
from vapoursynth import core

from .files import tool
from .plugins import PLUGINS

__all__ = ["Finding", "doctor"]

State = Literal["good", "missing", "broken", "not run"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    group: str
    """"python", "plugin", "backend" or "program"."""
    name: str
    state: State
    said: str
    """What was found."""
    mend: str = ""
    """The command that mends it."""


PROGRAMS = {
    "vspipe": ("", "pip install 'vapoursynth>=81'"),
    "x265": ("encoding", "apt-get install x265"),
    "ffmpeg": ("simulated discs, verification", "apt-get install ffmpeg"),
    "ffprobe": ("verification", "apt-get install ffmpeg"),
    "mkvmerge": ("muxing", "apt-get install mkvtoolnix"),
    "dvdauthor": ("simulated discs", "apt-get install dvdauthor"),
    "genisoimage": ("simulated discs", "apt-get install genisoimage"),
    "mediainfo": ("tests", "apt-get install mediainfo"),
}
# These need hardware or packages that most machines lack: their absence is no fault.
OPTIONAL = {"trt", "trt_rtx"}


def _grey(form: int = vs.GRAY8, size: int = 64) -> vs.VideoNode:
    return core.std.BlankClip(format=form, width=size, height=size, length=3)


def _identity(folder: Path) -> str:
    import onnx
    from onnx import TensorProto, helper

    shape: list[int | str | None] = [1, 3, "h", "w"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["input"], ["output"])], "identity", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "identity.onnx"
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


def _vectors_mv() -> vs.VideoNode:
    sup = core.mv.Super(_grey(vs.YUV420P8))
    return core.mv.Compensate(_grey(vs.YUV420P8), sup, core.mv.Analyse(sup))


def _vectors_mvu() -> vs.VideoNode:
    sup = core.mvu.Super(_grey(vs.YUV420P8), blksize=[8, 8], overlap=[4, 4])
    return core.mvu.Compensate(_grey(vs.YUV420P8), sup, core.mvu.Analyse(sup, fields=0))


CALLS: dict[str, Callable[[Path], vs.VideoNode]] = {
    "bs": _decoded,
    "mvu": lambda _: _vectors_mvu(),
    "mv": lambda _: _vectors_mv(),
    "znedi3": lambda _: core.znedi3.nnedi3(_grey(), field=1),
    "eedi3m": lambda _: core.eedi3m.EEDI3(_grey(), field=1),
    "bwdif": lambda _: core.bwdif.Bwdif(_grey(), field=3),
    "vszip": lambda _: core.vszip.LimitFilter(_grey(), _grey()),
    "zsmooth": lambda _: core.zsmooth.RemoveGrain(_grey(), 11),
    "akarin": lambda _: core.akarin.Expr([_grey()], "x 1 +"),
    "resize2": lambda _: core.resize2.Lanczos(_grey(), 96, 96),
    "fh": lambda _: core.fh.FieldHint(_grey(), matches="ccc", tff=1),
    "vivtc": lambda _: core.vivtc.VFM(_grey(vs.YUV420P8), order=1),
    "composite": lambda _: core.composite.Encode(_grey(vs.YUV444P16).resize.Point(720, 480), standard="ntsc"),
    "dotkill": lambda _: core.dotkill.DotKillS(_grey(vs.YUV420P8)),
    "deblock": lambda _: core.deblock.Deblock(_grey()),
    "dfttest2_cpu": lambda _: core.std.BlankClip(format=vs.GRAY8, length=len(core.dfttest2_cpu.Version())),
    "edgefixer": lambda _: core.edgefixer.Continuity(_grey(), left=1, top=0, right=0, bottom=0),
    "bore": lambda _: core.bore.SinglePlane(_grey(vs.GRAYS), left=1),
    "descale": lambda _: core.descale.Debilinear(_grey(vs.GRAYS), 32, 32),
    "timecube": _cube,
    "adg": lambda _: core.adg.Mask(_grey().std.PlaneStats(), 10.0),
    "ov": lambda folder: core.ov.Model(_grey(vs.RGBS), _identity(folder), device="CPU"),
    "ort": lambda folder: core.ort.Model(_grey(vs.RGBS), _identity(folder), provider=""),
    "ncnn": lambda _: core.std.BlankClip(length=max(1, len(core.ncnn.Version()))),
    "placebo": lambda _: core.placebo.Deband(_grey(vs.GRAY16)),
    "noise": lambda _: core.noise.Add(_grey(), var=1.0),
}


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


def _plugins() -> Iterator[Finding]:
    left = [name for name in PLUGINS if name in CALLS]
    while left:
        done = subprocess.run(
            [sys.executable, "-m", "ds9vs.doctor", *left], capture_output=True, text=True, check=False, timeout=120
        )
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        ended = {row["name"]: row for row in rows if row["state"] != "begun"}
        crashed = [row["name"] for row in rows if row["name"] not in ended]
        for name in [*ended, *crashed] or left:
            plugin = PLUGINS[name]
            row = ended.get(name, {"state": "broken", "said": f"the process ended with code {done.returncode}"})
            mend = "" if row["state"] == "good" else f"pip install '{plugin.package}'"
            yield Finding("plugin", name, row["state"], f"{row['said']}: {plugin.purpose}", mend)
            left.remove(name)


def _programs() -> Iterator[Finding]:
    for name, (purpose, mend) in PROGRAMS.items():
        found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
        if found:
            yield Finding("program", name, "good", purpose or tool(name, doctor))
        else:
            yield Finding("program", name, "missing", f"not on PATH: {purpose}", mend)


def doctor() -> list[Finding]:
    """Look at everything that this library may need, by calling it.

    Returns:
        One finding each for Python, the plugins, the backends and the programs; `mend` holds the command for a gap.

    Example:
        >>> any(finding.name == "akarin" and finding.state == "good" for finding in doctor())
        True
    """
    found = [
        Finding("python", "Python", "good", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("python", "VapourSynth", "good", f"R{vs.__version__.release_major}, {core.num_threads} threads"),
    ]
    return [*found, *_plugins(), *_programs()]


if __name__ == "__main__":
    for answer in call(sys.argv[1:]):
        print(json.dumps(answer), flush=True)
