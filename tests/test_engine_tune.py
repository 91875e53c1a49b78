"""Memory that does not suffice, and tiles and streams that were measured: tried once, said once, never fatal."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from typer.testing import CliRunner
from vapoursynth import core

from ds9vs.cli import app
from ds9vs.upscale import OpenVino, engine_tune, select_backend, settings_told, upscale
from ds9vs.upscale import backend as room
from ds9vs.upscale.backend import NO_MEMORY, infer, measured
from ds9vs.upscale.devices import free_memory, peak_memory, processor, total_memory
from ds9vs.upscale.registry import DEFAULT_MODEL, load_model
from ds9vs.upscale.settings import Setting, settings_list
from ds9vs.upscale.tile import divisions, plan_tiles, smaller
from ds9vs.upscale.tune import best

SIZE = (176, 120)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DS9VS_SETTINGS", str(tmp_path / "settings"))
    return tmp_path / "settings"


def small() -> vs.VideoNode:
    return core.std.BlankClip(width=SIZE[0], height=SIZE[1], format=vs.YUV420P8, length=2).std.SetFrameProps(_Matrix=6)


# memory

WIDE = r"""
import sys, gc, re, resource
import numpy as np, onnx, vapoursynth as vs
from onnx import helper, numpy_helper
from ds9vs.upscale.backend import infer
from ds9vs.upscale.network import inspect

core, make = vs.core, helper.make_node
rng = np.random.default_rng(1)
shapes = {"a": (256, 3, 1, 1), "b": (256, 256, 1, 1), "c": (12, 256, 1, 1)}
weights = [numpy_helper.from_array(rng.normal(0, 0.05, v).astype(np.float32), k) for k, v in shapes.items()]
nodes = [make("Conv", ["input", "a"], ["1"]), make("Relu", ["1"], ["2"]), make("Conv", ["2", "b"], ["3"]),
         make("Relu", ["3"], ["4"]), make("Conv", ["4", "c"], ["5"]),
         make("DepthToSpace", ["5"], ["output"], blocksize=2, mode="CRD")]
values = [helper.make_tensor_value_info(n, 1, [1, 3, *s]) for n, s in (("input", ["h", "w"]), ("output", ["H", "W"]))]
graph = helper.make_graph(nodes, "wide", values[:1], values[1:], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), sys.argv[2])
network = inspect(sys.argv[2])
clip = core.std.BlankClip(width=int(sys.argv[3]), height=320, format=vs.RGBS, length=1, color=[0.2, 0.5, 0.7])
clip = clip.text.Text("OUT OF MEMORY", alignment=5, scale=4)
clip.get_frame(0).close()
infer([clip.std.CropAbs(64, 48)], network, backend=sys.argv[1])[0].get_frame(0).close()  # libraries, threads
pictures = []
for limit in map(int, sys.argv[4:]):
    gc.collect()
    held = 1024 * int(re.search(r"VmSize:\s+(\d+)", open("/proc/self/status").read())[1])
    resource.setrlimit(resource.RLIMIT_AS, (held + (limit << 20) if limit else -1, -1))
    print("limit", limit, file=sys.stderr, flush=True)
    try:
        made, choice = infer([clip], network, backend=sys.argv[1])
        with made.get_frame(0) as frame:
            pictures.append(np.stack([np.asarray(frame[k]) for k in range(3)]))
        print("made", choice, flush=True)
        del made
    except RuntimeError as error:
        print("refused", str(error)[:300], flush=True)
if pictures:
    print("apart", abs(pictures[0] - pictures[-1]).max())
"""


def wide(backend: str, width: int, limits: list[int], path: Path) -> tuple[list[str], list[str]]:
    """A network that wants 2 KiB for each source pixel, under each limit in MiB: what was made, and what was warned."""
    done = subprocess.run(
        [sys.executable, "-c", WIDE, backend, str(path), str(width), *map(str, limits)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.split("limit ")[1:]


@pytest.mark.parametrize(("backend", "limit"), [("ov-cpu", 90), ("ort-cpu", 250)])
def test_want_of_memory_leads_to_smaller_tiles(backend: str, limit: int, tmp_path: Path) -> None:
    (tiles, whole, apart), warned = wide(backend, 480, [limit, 0], tmp_path / "wide.onnx")
    assert tiles == f"made {backend} in tiles of 241x161, for want of memory"
    assert warned[0].count("has not enough memory") == 1
    assert "tile=(241, 161)" in warned[0]
    assert "ds9vs engine tune wide --size 480x320" in warned[0]
    assert whole == f"made {backend}"
    assert "memory" not in warned[1]
    assert float(apart.split()[1]) < 0.02, "the tiles make another picture"


def test_smaller_tiles_are_tried_once_and_the_reason_is_told(tmp_path: Path) -> None:
    (said,), warned = wide("ov-cpu", 1920, [100], tmp_path / "wide.onnx")
    assert said.startswith("refused (infer) The backend 'ov-cpu' cannot run 'wide':")
    assert "Failed to allocate" in said
    assert warned[0].count("has not enough memory") == 1


def test_smaller_tiles_are_smaller_and_there_is_an_end() -> None:
    network = load_model(DEFAULT_MODEL, "test")
    tiling = plan_tiles(network, 2880, 2160)
    seen = [tiling.tile]
    while (less := smaller(network, tiling)) is not None:
        tiling = less
        seen.append(tiling.tile)
        assert all(t > 2 * o for t, o in zip(tiling.tile, tiling.overlap, strict=True))
        assert len(seen) < 20
    areas = [width * height for width, height in seen]
    assert areas == sorted(areas, reverse=True)
    assert len(seen) > 2
    assert smaller(replace(network, fixed=(64, 64)), plan_tiles(replace(network, fixed=(64, 64)), 720, 480)) is None


@pytest.mark.parametrize(
    "said",
    [
        "Failed to allocate 712765616 bytes of memory",
        "CUDA failure 2: out of memory ; GPU=0",
        "insufficient gpu memory, 900 MB are needed",
        "std::bad_alloc",
        "[TRT] Error Code 2: OutOfMemory",
        "cudaErrorMemoryAllocation",
        "inference failed",
    ],
)
def test_the_runtimes_words_for_it_are_known(said: str) -> None:
    assert NO_MEMORY.search(said)
    assert not NO_MEMORY.search("The network's input has 3 planes, in memory 4")


def test_what_the_machine_says_of_its_memory() -> None:
    assert 0 < free_memory() <= total_memory()
    assert 10 << 20 < peak_memory() < total_memory()
    assert processor().endswith("threads")


# settings


def setting(**changes: object) -> Setting:
    now = measured(OpenVino(), load_model(DEFAULT_MODEL, "test"), SIZE)
    return replace(now, tile=SIZE, num_streams=2, speed=9.0, memory=10**8, **changes)  # type: ignore[arg-type]


def taken(backend: str | OpenVino = "ov-cpu") -> OpenVino:
    found = select_backend(load_model(DEFAULT_MODEL, "test"), *SIZE, backend=backend).backend
    assert isinstance(found, OpenVino)
    return found


def test_a_measured_setting_is_taken_unless_the_user_says_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    assert taken() == OpenVino()
    setting().keep("test")
    assert taken() == OpenVino(num_streams=2)
    assert taken(OpenVino()) == OpenVino(), "streams were said"
    other = select_backend(load_model(DEFAULT_MODEL, "test"), 128, 128, backend="ov-cpu").backend
    assert other == OpenVino(), "measured for another size"
    assert not caplog.records


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_sha256": "0" * 64}, "another file of that name"),
        ({"release": "v1.0"}, r"release v1.0 of the plugin \(now v"),
        ({"device": "Z80, 1 threads"}, "Z80, 1 threads"),
    ],
)
def test_a_stale_setting_is_passed_over_and_explained(
    changes: dict[str, object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = setting(**changes)
    kept.keep("test")
    assert taken() == OpenVino()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"ds9vs engine tune {DEFAULT_MODEL} --size 176x120 --backend ov-cpu" in caplog.text
    assert re.search(said, caplog.text)
    assert re.search(said, settings_told()[0][1])


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"model": 3}', "tile", "streams", "huge"])
def test_a_setting_that_cannot_be_read_is_passed_over(
    content: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = setting()
    kept.keep("test")
    values = json.loads(kept.path.read_text())
    changed = {"tile": {"tile": ["a", 0]}, "streams": {"num_streams": -1}, "huge": {"num_streams": 10**9}}
    kept.path.write_text(json.dumps({**values, **changed[content]}) if content in changed else content)
    assert taken() == OpenVino()
    assert "cannot be read" in caplog.text
    assert settings_list() == []


def test_tiles_that_are_no_longer_allowed_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    replace(setting(), tile=(33, 33)).keep("test")
    assert taken() == OpenVino()
    assert "tiles of 33x33 are no longer allowed" in caplog.text


def test_measuring_keeps_what_was_the_best(folder: Path) -> None:
    found = engine_tune(DEFAULT_MODEL, SIZE, backend="ort-cpu", seconds=0.1, show=False)
    ways = [one.tile for one in divisions(load_model(DEFAULT_MODEL, "test"), *SIZE)]
    assert [one.tile for one in found.tried if one.num_streams == 1] == ways
    assert any(one.num_streams == 2 for one in found.tried)
    assert not found.failed
    assert all(one.speed > 0 and one.memory and 50 << 20 < one.memory < 4 << 30 for one in found.tried)
    assert found.kept == best(found.tried)
    assert settings_told() == [(found.kept, "")]
    assert [path.suffix for path in folder.iterdir()] == [".json"], "a temporary file is left"
    assert select_backend(load_model(DEFAULT_MODEL, "test"), *SIZE, backend="ort-cpu").backend.num_streams == (  # type: ignore[attr-defined]
        found.kept.num_streams
    )


def test_the_least_memory_among_the_fastest_is_best() -> None:
    ways = [
        replace(setting(), speed=speed, memory=memory, num_streams=streams)
        for speed, memory, streams in ((100.0, 900, 1), (98.5, 500, 2), (97.9, 100, 1), (50.0, 10, 1))
    ]
    assert best(ways).memory == 500
    untold = [replace(one, memory=None) for one in ways]
    assert best(untold).num_streams == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": (8, 8)}, r"size is \(8, 8\)"),
        ({"backend": "cuda"}, "no backend 'cuda'"),
        ({"model": "none_such"}, "no model 'none_such'"),
        ({"seconds": 0}, "seconds is 0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"model": DEFAULT_MODEL, "size": SIZE, "show": False, **options}
    with pytest.raises(CustomValueError, match=said):
        engine_tune(given.pop("model"), given.pop("size"), **given)  # type: ignore[arg-type]


def test_a_backend_that_does_not_run_here_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(room, "cuda_devices", lambda: ())
    with pytest.raises(CustomRuntimeError, match="'ort-cuda' cannot run here"):
        engine_tune(DEFAULT_MODEL, SIZE, backend="ort-cuda", show=False)
    assert not folder.exists()


def test_a_setting_changes_no_picture() -> None:
    network, f32 = load_model(DEFAULT_MODEL, "test"), OpenVino(precision="f32")
    clip = core.std.BlankClip(width=352, height=240, format=vs.YUV420P8, length=1).std.SetFrameProps(_Matrix=6)
    clip = clip.text.Text("DEEP SPACE NINE", alignment=5, scale=3)
    tile = divisions(network, 352, 240)[1].tile
    before = np.asarray(upscale(clip, backend=f32).get_frame(0)[0]).astype(int)
    replace(measured(f32, network, (352, 240)), tile=tile).keep("test")
    assert np.abs(np.asarray(upscale(clip, backend=f32).get_frame(0)[0]) - before).max() <= 16


def test_tiles_measured_are_the_tiles_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[int, int]] = []
    real: Callable[..., vs.VideoNode] = OpenVino.run

    def note(self: OpenVino, clips: object, network: object, tiling: object, func: object) -> vs.VideoNode:
        used.append(tiling.tile)  # type: ignore[attr-defined]
        return real(self, clips, network, tiling, func)

    monkeypatch.setattr(OpenVino, "run", note)
    network = load_model(DEFAULT_MODEL, "test")
    blank = core.std.BlankClip(width=720, height=480, format=vs.GRAYS, length=1)
    tile = divisions(network, 720, 480)[1].tile
    infer([blank] * 3, network, backend="ov-cpu")
    replace(measured(OpenVino(), network, (720, 480)), tile=tile).keep("test")
    infer([blank] * 3, network, backend="ov-cpu")
    infer([blank] * 3, network, plan_tiles(network, 720, 480, tile=(600, 480)), backend="ov-cpu")
    assert used == [(720, 480), tile, (600, 480)]


def test_the_command_measures_and_tells(folder: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["engine", "tune", DEFAULT_MODEL, "--size", "64x48", "--backend", "ort-cpu", "--seconds", "0.1"])
    assert done.exit_code == 0, done.output
    assert done.output.count("kept") == 1
    assert f"{DEFAULT_MODEL}-64x48-ort-cpu-f32.json" in done.output.replace("\n", "")
    for words in (["engine", "list"], ["models", "show", DEFAULT_MODEL]):
        said = run(app, words).output
        assert "64x48" in said
        assert "pictures a second" in said
    kept = settings_list()[0]
    replace(kept, release="v0").keep("test")
    assert "not taken, it was measured with release v0" in run(app, ["engine", "list"]).output
