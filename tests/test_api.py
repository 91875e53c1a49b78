"""The public face: every function keeps the contracts, whatever is imported first."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomError
from vapoursynth import core

import ds9vs
from ds9vs import plugins
from ds9vs.cadence.model import Shot, Tape
from ds9vs.files import run
from ds9vs.upscale import DEFAULT_MODEL, model_get

ROOT = Path(__file__).parent.parent
PUBLIC = {name: value for name, value in vars(ds9vs).items() if inspect.isfunction(value) and not name.startswith("_")}
ROOMS = sorted(path.stem for path in Path(ds9vs.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir())


TRUTH = {"_Matrix": 6, "_Primaries": 6, "_Transfer": 6, "_Range": 0, "_ChromaLocation": 0, "_SARNum": 10, "_SARDen": 11}


def drawn(frames: int = 8) -> vs.VideoNode:
    """Film pictures drawn without any plugin: a bar that moves over a texture, while the colours turn."""
    blank = core.std.BlankClip(
        format=vs.YUV420P8, width=160, height=128, length=frames, fpsnum=24000, fpsden=1001, color=[0, 0, 128]
    )

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        made = f.copy()
        x, y = np.arange(160), np.arange(128)[:, None]
        np.asarray(made[0])[:] = np.where(abs(x - 12 * n - 20) < 10, 200, (7 * x + 13 * y) % 64 + 60)
        np.asarray(made[1])[:] = (2 * x[:80] + 5 * n) % 90 + 90
        return made

    return blank.std.ModifyFrame(blank, draw).std.SetFrameProps(_FieldBased=0, **TRUTH)


def tape(frames: int = 10) -> vs.VideoNode:
    """A small woven tape: film with 3:2 pulldown."""
    film = drawn(frames * 4 // 5)
    doubled = core.std.Interleave([film, film]).std.SeparateFields(True)
    woven = doubled.std.SelectEvery(16, [0, 1, 4, 5, 4, 9, 8, 13, 12, 13]).std.DoubleWeave(True)[::2]
    return woven.std.AssumeFPS(fpsnum=30000, fpsden=1001).std.SetFrameProps(_FieldBased=2, **TRUTH)


def cadence(of: vs.VideoNode) -> ds9vs.Cadence:
    fields = 2 * of.num_frames
    shot = Shot(first=0, stop=fields, kind="film", lengths=("2323" * fields)[: fields * 2 // 5], confidence=0.9)
    known = Tape(frames=of.num_frames, fps=(30000, 1001), tff=True, content="")
    return ds9vs.Cadence(tape=known, shots=(shot,))


def video(of: vs.VideoNode) -> ds9vs.Cadence:
    known = cadence(of)
    return replace(known, shots=(replace(known.shots[0], kind="60i", lengths="1" * 2 * of.num_frames),))


def film() -> vs.VideoNode:
    return ds9vs.ivtc(tape(), cadence(tape()))


GRAIN = ds9vs.GrainModel(size=(160, 128), sigma=(2.0,) * 16)

# How a script calls each function that gives a clip, and the format that it promises.
CLIPS: dict[str, tuple[Callable[[], vs.VideoNode], str]] = {
    "ivtc": (film, "YUV420P8"),
    "qtgmc": (lambda: ds9vs.qtgmc(tape(), preset="fast"), "YUV420P8"),
    "deinterlace": (lambda: ds9vs.deinterlace(tape()), "YUV420P8"),
    "crop": (lambda: ds9vs.crop(film(), left=8, right=8), "YUV420P8"),
    "clean": (lambda: ds9vs.clean(film(), deblock=0.5, mosquito=0.5, denoise=0.5), "YUV420P8"),
    "upscale": (lambda: ds9vs.upscale(film(), model="none", height=256), "YUV444P16"),
    "guard": (lambda: ds9vs.guard(ds9vs.upscale(film(), model="none", height=256, guard=0), film()), "YUV444P16"),
    "steady": (lambda: ds9vs.steady(ds9vs.upscale(film(), model="none", height=256), film()), "YUV444P16"),
    "add_grain": (lambda: ds9vs.add_grain(film(), GRAIN), "YUV420P8"),
    "reinject_grain": (lambda: ds9vs.reinject_grain(film(), film(), GRAIN), "YUV420P8"),
    "deband": (lambda: ds9vs.deband(film().resize.Point(format=vs.YUV420P16)), "YUV420P16"),
    "finish": (lambda: ds9vs.finish(film(), height=120), "YUV420P10"),
    "per_shot": (lambda: ds9vs.per_shot(film(), cadence(tape()), {"film": lambda c: c.std.BoxBlur()}), "YUV420P8"),
    "show": (lambda: ds9vs.show(film()), "YUV420P8"),
    "compare": (lambda: ds9vs.compare(film(), film().std.BoxBlur()), "RGB24"),
}
# What else they do by other options, each with plugins of its own; what measures gives no clip.
WAYS: dict[str, Callable[[], vs.VideoNode | None]] = {name: build for name, (build, _) in CLIPS.items()} | {
    "qtgmc draft": lambda: ds9vs.qtgmc(tape(), preset="draft"),
    "qtgmc slower": lambda: ds9vs.qtgmc(tape(), preset="slower"),
    "qtgmc noise": lambda: ds9vs.qtgmc(tape(), preset="fast", denoise=True, basic_noise=0.3),
    "qtgmc eedi3": lambda: ds9vs.qtgmc(tape(), preset="fast", bobber="eedi3"),
    "qtgmc bwdif": lambda: ds9vs.qtgmc(tape(), preset="fast", bobber="bwdif"),
    "qtgmc catrom": lambda: ds9vs.qtgmc(tape(), preset="fast", bobber="catrom"),
    "qtgmc repair": lambda: ds9vs.qtgmc(film(), preset="fast", mode="repair"),
    "ivtc 60i": lambda: ds9vs.ivtc(tape(), video(tape())),
    "clean deblock": lambda: ds9vs.clean(film(), deblock=1),
    "clean rainbow": lambda: ds9vs.clean(tape(5), rainbow=1, dotcrawl=1),
    "clean shift": lambda: ds9vs.clean(film(), chroma_shift=(1, 0.5)),
    "clean chroma": lambda: ds9vs.clean(film(), chroma_upsampling=True),
    "clean edges": lambda: ds9vs.clean(film(), edges=(4, 2, 4, 2)),
    "clean denoise": lambda: ds9vs.clean(film(), denoise=1),
    "crop auto": lambda: ds9vs.crop(film(), "picture"),
    "compare diff": lambda: ds9vs.compare(film(), film().std.BoxBlur(), mode="diff"),
    "measure_grain": lambda: ds9vs.measure_grain(film(), pictures=2) and None,
    "analyse": lambda: analysed(),
    "finish lut": lambda: coloured(),
}
NETWORKS = {"ov": "ov-cpu", "ort": "ort-cpu", "ncnn": "ncnn", "trt": "trt", "trt_rtx": "trt_rtx"}


def analysed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds9vs.analyse(tape(), cache=folder, progress=False)


def network(backend: str) -> vs.VideoNode:
    return ds9vs.upscale(film(), model=DEFAULT_MODEL, backend=backend)


def coloured() -> vs.VideoNode:
    with tempfile.TemporaryDirectory() as folder:
        lut = Path(folder) / "same.cube"
        corners = [f"{n & 1} {n >> 1 & 1} {n >> 2}" for n in range(8)]
        lut.write_text("\n".join(["LUT_3D_SIZE 2", *corners]) + "\n", encoding="utf-8")
        return ds9vs.finish(film(), height=120, lut=lut)


ELSEWHERE = {"source", "restore"}  # these read discs: their own tests do the same with a disc


def test_every_function_that_gives_a_clip_is_tested_here() -> None:
    giving = {n for n, f in PUBLIC.items() if "VideoNode" in str(inspect.signature(f).return_annotation)}
    assert giving == set(CLIPS) | ELSEWHERE


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_pure(name: str, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(CLIPS[name][0])


THREADS = """
import json, sys, hashlib, vapoursynth as vs
vs.core.num_threads = int(sys.argv[1])
import conftest, test_api
assert vs.core.num_threads == int(sys.argv[1])
print(json.dumps({name: conftest.digests(build()) for name, (build, _) in test_api.CLIPS.items()}))
"""


def test_one_thread_and_four_give_the_same_pixels() -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    found = []
    for threads in (1, 4):
        done = subprocess.run(
            [sys.executable, "-c", THREADS, str(threads)], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_promised_format_and_true_props(name: str) -> None:
    clip = CLIPS[name][0]()
    assert clip.format.name == CLIPS[name][1]
    assert clip.width and clip.height and clip.fps
    for n in (0, clip.num_frames - 1):
        with clip.get_frame(n) as frame:
            assert frame.props["_FieldBased"] == 0
            assert (
                frame.props["_DurationNum"] * clip.fps.numerator == frame.props["_DurationDen"] * clip.fps.denominator
            )
            assert {"_SARNum", "_SARDen", "_Matrix", "_Range"} <= set(frame.props)


class OneCore(vs.EnvironmentPolicy):
    """A process whose only core loads no plugin by itself."""

    def on_policy_registered(self, special_api: vs.EnvironmentPolicyAPI) -> None:
        self.api = special_api
        self.environment: vs.EnvironmentData | None = special_api.create_environment(vs.DISABLE_AUTO_LOADING)

    def on_policy_cleared(self) -> None:
        if self.environment is not None:
            self.api.destroy_environment(self.environment)
        self.environment = None

    def get_current_environment(self) -> vs.EnvironmentData | None:
        return self.environment

    def set_environment(self, environment: vs.EnvironmentData | None) -> vs.EnvironmentData | None:
        return self.environment

    def is_alive(self, environment: vs.EnvironmentData) -> bool:
        return environment is self.environment


def without(hidden: list[str], libraries: dict[str, str], video_file: str) -> dict[str, str]:
    """What each function says, first frame included, in this fresh process where plugins are not; "" if it works."""
    vs.register_policy(OneCore())
    for namespace, library in libraries.items():
        if namespace not in hidden:
            core.std.LoadPlugin(library)
    globals()["film"] = lambda: drawn().std.SetFrameProps(DS9VS_Shot=0, DS9VS_Kind="film")  # needs no ivtc
    ways = WAYS | {"source": lambda: ds9vs.source(video_file)}
    for namespace in set(hidden) & set(NETWORKS):
        ways[namespace] = partial(network, NETWORKS[namespace])
    said = {}
    for name, build in ways.items():
        try:
            made = build()
            if made is not None:
                made.get_frame(0).close()
            said[name] = ""
        except CustomError as error:
            said[name] = str(error)
        except Exception as error:
            said[name] = f"NOT OURS: {error!r}"
    return said


def test_one_sentence_for_each_missing_plugin(tmp_path: Path) -> None:
    """Each plugin in turn is absent from the core: what needs it names it with its cure, all else works.

    Those that run networks are absent together, which only a network asked for by name may notice.
    """
    model_get(DEFAULT_MODEL, show=False)
    video_file = tmp_path / "tape.mkv"
    drawing = ["-f", "lavfi", "-i", "testsrc=s=720x480:r=30000/1001:d=0.3", "-c:v", "mpeg2video", "-pix_fmt", "yuv420p"]
    run(["ffmpeg", "-v", "error", *drawing, "-vf", "setfield=tff", "-flags", "+ilme+ildct", video_file], "test")
    bare = {"std", "resize", "text"}
    libraries = {p.namespace: str(p.plugin_path) for p in core.plugins() if p.namespace not in bare}
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    code = "import json, sys, test_api; print(json.dumps(test_api.without(*json.loads(sys.argv[1]))))"

    def ask(hidden: list[str]) -> dict[str, str]:
        words = [sys.executable, "-c", code, json.dumps([hidden, libraries, str(video_file)])]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, f"without {hidden}: {done.stderr}"
        said: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return said

    absent = [list(NETWORKS), *([name] for name in plugins.PLUGINS if name not in NETWORKS)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(zip(absent, pool.map(ask, absent), strict=True))
    for hidden, said in answers:
        cures = {name: f"pip install '{plugins.PLUGINS[name].package}'" for name in hidden}
        wrong = {way: words for way, words in said.items() if words and not any(c in words for c in cures.values())}
        assert not wrong, f"without {hidden}"
        for name, cure in cures.items():
            assert cure in (said[name] if name in NETWORKS else "".join(said.values())), f"nothing needs {name}"


def test_every_public_function_says_what_it_does_with_an_example() -> None:
    for name, function in PUBLIC.items():
        text = inspect.getdoc(function) or ""
        assert ">>>" in text, f"{name} has no example"
        assert "Raises:" in text, f"{name} does not say what it raises"


def test_options_are_keywords() -> None:
    for name, function in PUBLIC.items():
        positional = [
            p.name for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        assert len(positional) <= 3, f"{name} takes {positional} by position"


@pytest.mark.parametrize(
    "first", ["ds9vs", *(f"ds9vs.{room}" for room in ("clean", "source", "upscale", "restore", "cli"))]
)
def test_a_room_never_hides_its_function(first: str) -> None:
    names = sorted(set(PUBLIC) & set(ROOMS))
    assert {"clean", "source", "ivtc", "restore", "upscale", "finish", "steady"} <= set(names)
    code = f"import {first}, ds9vs, ds9vs.clean; print([n for n in {names} if not callable(getattr(ds9vs, n))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_types_are_told() -> None:
    for name, function in PUBLIC.items():
        hints = typing.get_type_hints(function)
        assert "return" in hints, name
    assert (Path(ds9vs.__file__).parent / "py.typed").exists()
