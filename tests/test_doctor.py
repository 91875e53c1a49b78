"""The doctor calls what it reports on, names what mends a gap, and outlives what crashes or hangs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ds9vs import doctor
from ds9vs.errors import CustomRuntimeError
from ds9vs.plugins import PLUGINS
from ds9vs.upscale.backend import BACKENDS, BackendReport
from ds9vs.upscale.devices import Gpu, VulkanDevice


def child(folder: Path, code: str) -> list[str]:
    """A process that calls plugins as the doctor's own does, with something changed before."""
    path = folder / "child.py"
    body = "for answer in doctor.call(sys.argv[1:]):\n    print(json.dumps(answer), flush=True)\n"
    path.write_text(f"import json, os, sys, time\nfrom ds9vs import doctor\n{code}\n{body}", encoding="utf-8")
    return [sys.executable, str(path)]


def test_everything_is_looked_at_and_a_gap_has_its_mend() -> None:
    found = doctor.doctor()
    assert {f.group for f in found} == {"python", "plugin", "backend", "gpu", "program"}
    assert {f.name for f in found if f.group == "plugin"} == set(PLUGINS)
    assert {f.name for f in found if f.group == "backend"} == set(BACKENDS)
    assert {f.name for f in found if f.group == "program"} == set(doctor.PROGRAMS)
    assert [f for f in found if f.state == "broken"] == []
    assert all(f.mend for f in found if f.state == "missing")
    assert not any("pip install" in f.said or f.said.startswith("not run") for f in found)
    states = {(f.group, f.name): f.state for f in found}
    needed = set(PLUGINS) - {"trt", "trt_rtx", "ncnn"}
    assert {states["plugin", name] for name in needed} == {"good"}
    assert states["plugin", "trt"] == states["plugin", "trt_rtx"] == "not run"
    assert states["program", "x265"] == states["program", "vspipe"] == "good"
    x265 = next(f for f in found if f.name == "x265")
    assert "version" in x265.said


def test_a_hidden_plugin_is_missing_with_its_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide = (
        "class Hidden:\n"
        "    def __getattr__(self, name, core=doctor.core):\n"
        "        if name == 'bwdif':\n            raise AttributeError(name)\n"
        "        return getattr(core, name)\n"
        "doctor.core = Hidden()"
    )
    monkeypatch.setattr(doctor, "CHILD", child(tmp_path, hide))
    monkeypatch.setattr(doctor, "PLUGINS", {name: PLUGINS[name] for name in ("znedi3", "bwdif", "noise")})
    monkeypatch.setattr(doctor, "vulkan_devices", tuple)
    found = {f.name: f for f in doctor._plugins()}
    assert found["bwdif"].state == "missing"
    assert found["bwdif"].mend == f"pip install '{PLUGINS['bwdif'].package}'"
    assert found["znedi3"].state == found["noise"].state == "good"


def test_crash_hang_and_error_stop_no_other_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spoil = (
        "def no(_): raise ValueError('out of {order} [x]')\n"
        "doctor.CALLS |= {'bwdif': lambda _: os._exit(3), 'akarin': lambda _: time.sleep(60), 'fh': no}"
    )
    names = ["znedi3", "bwdif", "zsmooth", "akarin", "fh", "noise"]
    monkeypatch.setattr(doctor, "CHILD", child(tmp_path, spoil))
    monkeypatch.setattr(doctor, "PLUGIN_SECONDS", 6)
    monkeypatch.setattr(doctor, "PLUGINS", {name: PLUGINS[name] for name in names})
    found = {f.name: f for f in doctor._plugins()}
    assert list(found) == names
    assert {name for name, f in found.items() if f.state == "good"} == {"znedi3", "zsmooth", "noise"}
    assert found["bwdif"].state == found["akarin"].state == found["fh"].state == "broken"
    assert "code 3" in found["bwdif"].said
    assert "no answer in 6 s" in found["akarin"].said
    assert "out of {order} [x]" in found["fh"].said
    assert found["akarin"].mend == f"pip install '{PLUGINS['akarin'].package}'"


def test_a_process_that_does_not_even_start_ends_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHILD", [sys.executable, "-c", "import nowhere_to_be_found"])
    found = list(doctor._plugins())
    assert {f.state for f in found if f.name not in doctor.RUNTIMES} <= {"broken", "not run"}
    assert any("nowhere_to_be_found" in f.said for f in found)


def test_a_wrong_picture_or_a_crash_is_broken_and_an_absent_device_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Callable[[], str]] = dict.fromkeys(BACKENDS, lambda: "not run: no NVIDIA GPU is here")
    said["ort-cpu"] = lambda: "failed: a wrong picture (error 0.5)"
    said["ov-cpu"] = lambda: "failed: the process ended with code -11"
    said["ort-cuda"] = lambda: "not run: built without CUDA; type: pip install vapoursynth-mlrt-ort-cuda"
    said["trt"] = lambda: "not run: its plugin and GPU are here; build an engine: ds9vs engine build MODEL --size WxH"

    def refuse() -> str:
        raise CustomRuntimeError("no {device}", "ncnn")

    said["ncnn"] = refuse

    def explain(names: list[str]) -> list[BackendReport]:
        return [BackendReport(name=name, ran=False, said=said[name]()) for name in names]

    monkeypatch.setattr(doctor, "explain_backends", explain)
    found = {f.name: f for f in doctor._backends()}
    assert {name for name, f in found.items() if f.state == "broken"} == {"ort-cpu", "ov-cpu", "ncnn"}
    assert {f.state for name, f in found.items() if name not in ("ort-cpu", "ov-cpu", "ncnn")} == {"not run"}
    assert found["ort-cpu"].said == "a wrong picture (error 0.5)"
    assert (found["ort-cuda"].said, found["ort-cuda"].mend) == (
        "built without CUDA",
        "pip install vapoursynth-mlrt-ort-cuda",
    )
    assert found["trt"].mend == "ds9vs engine build MODEL --size WxH"


def test_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cuda_devices", lambda: (Gpu(name="RTX [1]", compute=(8, 9), driver=13040),))
    devices = (VulkanDevice(name="Arc", software=False), VulkanDevice(name="llvmpipe", software=True))
    monkeypatch.setattr(doctor, "vulkan_devices", lambda: devices)
    found = {f.name: f for f in doctor._gpus()}
    assert {name: f.state for name, f in found.items()} == {"RTX [1]": "good", "Arc": "good", "llvmpipe": "not run"}
    assert "8.9" in found["RTX [1]"].said
    assert "13.4" in found["RTX [1]"].said
    monkeypatch.setattr(doctor, "cuda_devices", tuple)
    monkeypatch.setattr(doctor, "vulkan_devices", tuple)
    assert {f.state for f in doctor._gpus()} == {"not run"}


@pytest.mark.parametrize("loaded", [True, False])
def test_ncnn_is_called_unless_it_is_loaded_without_a_device(monkeypatch: pytest.MonkeyPatch, loaded: bool) -> None:
    asked: list[str] = []

    def called(names: list[str]) -> list[dict[str, str]]:
        asked.extend(names)
        return [{"name": name, "state": "missing", "said": "not loaded"} for name in names]

    monkeypatch.setattr(doctor, "core", SimpleNamespace(ncnn=None) if loaded else SimpleNamespace())
    monkeypatch.setattr(doctor, "vulkan_devices", tuple)
    monkeypatch.setattr(doctor, "_called", called)
    found = {f.name: f for f in doctor._plugins()}
    assert ("ncnn" in asked) == (not loaded)
    assert found["ncnn"].state == ("not run" if loaded else "missing")
    assert found["ncnn"].mend == ("" if loaded else f"pip install '{PLUGINS['ncnn'].package}'")


def test_programs_are_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (
        ("x265", "echo no libx265; exit 7"),
        ("ffmpeg", "exec /bin/sleep 30"),
        ("mkvmerge", "echo v9.1"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "PROGRAM_SECONDS", 2)
    found = {f.name: f for f in doctor._programs()}
    assert found["x265"].state == found["ffmpeg"].state == "broken"
    assert "code 7, no libx265" in found["x265"].said
    assert found["mkvmerge"].state == "good"
    assert found["mkvmerge"].said.startswith("v9.1")
    assert found["ffprobe"].state == "missing"
    assert found["ffprobe"].mend == "apt-get install ffmpeg; elsewhere install ffmpeg with your package manager"
