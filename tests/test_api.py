"""The public face: every function keeps the contracts, whatever is imported first."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import vapoursynth as vs
from jetpytools import CustomError
from vapoursynth import core

import ds9vs
from ds9vs import plugins
from ds9vs.cadence.model import Shot, Tape

PUBLIC = {name: value for name, value in vars(ds9vs).items() if inspect.isfunction(value) and not name.startswith("_")}
ROOMS = sorted(path.stem for path in Path(ds9vs.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir())


def tape(frames: int = 10) -> vs.VideoNode:
    """A small woven tape: film with 3:2 pulldown, a bar that moves over a texture."""
    film = core.std.BlankClip(
        format=vs.YUV420P8, width=160, height=128, length=frames * 4 // 5, fpsnum=24000, fpsden=1001
    )
    bar = "X N 12 * 20 + - abs 10 < 200 X 7 * Y 13 * + 64 % 60 + ?"
    film = core.akarin.Expr(film, [bar, "X 2 * N 5 * + 90 % 90 +", ""])
    doubled = core.std.Interleave([film, film]).std.SeparateFields(True)
    woven = doubled.std.SelectEvery(16, [0, 1, 4, 5, 4, 9, 8, 13, 12, 13]).std.DoubleWeave(True)[::2]
    return woven.std.AssumeFPS(fpsnum=30000, fpsden=1001).std.SetFrameProps(
        _FieldBased=2, _Matrix=6, _Primaries=6, _Transfer=6, _Range=0, _ChromaLocation=0, _SARNum=10, _SARDen=11
    )


def cadence(of: vs.VideoNode) -> ds9vs.Cadence:
    fields = 2 * of.num_frames
    shot = Shot(first=0, stop=fields, kind="film", lengths=("2323" * fields)[: fields * 2 // 5], confidence=0.9)
    known = Tape(frames=of.num_frames, fps=(30000, 1001), tff=True, content="")
    return ds9vs.Cadence(tape=known, shots=(shot,))


def film() -> vs.VideoNode:
    return ds9vs.ivtc(tape(), cadence(tape()))


GRAIN = ds9vs.GrainModel(size=(160, 128), sigma=(2.0,) * 16, filters=(((0.0,) * 3 + (1.0,) + (0.0,) * 3,) * 2,))

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
print(json.dumps({name: conftest.digests(build()) for name, (build, _) in test_api.CLIPS.items()}))
"""


def test_one_thread_and_four_give_the_same_pixels() -> None:
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here.parent}{os.pathsep}{here}"}
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


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_one_sentence_for_a_missing_plugin(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every plugin hidden from our checks, the function names the first that it needs, and the cure."""
    build = CLIPS[name][0]
    asked: list[str] = []
    real = plugins._function
    monkeypatch.setattr(plugins, "_function", lambda wanted: (asked.append(wanted), real(wanted))[1])
    build()
    outside = {wanted.split(".")[0] for wanted in asked} - {"std", "resize", "text"}
    for hidden in sorted(outside):
        monkeypatch.setattr(
            plugins, "_function", lambda w, hidden=hidden: None if w.split(".")[0] == hidden else real(w)
        )
        with pytest.raises(CustomError, match=r"pip install '[a-z0-9-]+[^']*'"):
            build()


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
