"""per_shot: every shot gets its own treatment and only that; nothing is evaluated in vain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from vapoursynth import core

from ds9vs.cadence.model import Cadence, Shot, Tape
from ds9vs.ivtc import ivtc
from ds9vs.shots.treat import Key, Treatment, per_shot

KINDS = [
    "film",
    "film",
    "60i",
    "60i",
    "60i",
    "60i",
    "30p",
    "30p",
    "layered",
    "layered",
    "layered",
    "layered",
    "film",
    "film",
]
SHOTS = [0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4]


@pytest.fixture
def cadence() -> Cadence:
    shots = []
    for kind, lengths in (("film", "22"), ("60i", "1111"), ("30p", "22"), ("layered", "1111"), ("film", "22")):
        first = shots[-1].stop if shots else 0
        shots.append(Shot(first=first, stop=first + 4, kind=kind, lengths=lengths, confidence=1))  # type: ignore[arg-type]
    return Cadence(tape=Tape(frames=10, fps=(30000, 1001), tff=True, content=""), shots=tuple(shots))


@pytest.fixture
def clip(cadence: Cadence) -> vs.VideoNode:
    tape = core.std.BlankClip(
        width=64, height=48, format=vs.YUV420P8, length=10, fpsnum=30000, fpsden=1001, color=[0, 128, 128]
    )
    return ivtc(tape.std.SetFieldBased(2), cadence, timing="native")


def paint(value: int) -> Treatment:
    return lambda c: core.akarin.Expr(c, [str(value), ""])


def values(clip: vs.VideoNode) -> list[int]:
    return [int(np.asarray(frame[0])[0, 0]) for frame in clip.frames(close=True)]


def test_each_kind_gets_its_own(clip: vs.VideoNode, cadence: Cadence) -> None:
    table: dict[Key, Treatment] = {"film": paint(1), "60i": paint(2), "30p": paint(3), "layered": paint(4)}
    wanted = {"film": 1, "60i": 2, "30p": 3, "layered": 4}
    assert values(per_shot(clip, cadence, table)) == [wanted[kind] for kind in KINDS]


def test_vfx_default_and_what_has_none(clip: vs.VideoNode, cadence: Cadence) -> None:
    assert values(per_shot(clip, cadence, {"vfx": paint(9)})) == [9 if k in ("60i", "layered") else 0 for k in KINDS]
    made = per_shot(clip, cadence, {"default": paint(7), "vfx": paint(9), "60i": paint(2)})
    assert values(made) == [{"60i": 2, "layered": 9}.get(k, 7) for k in KINDS]
    assert values(per_shot(clip, cadence, {})) == [0] * len(KINDS)


def test_a_shots_number_goes_before_its_kind(clip: vs.VideoNode, cadence: Cadence) -> None:
    made = per_shot(clip, cadence, {"film": paint(1), (1, 4): paint(5), 4: paint(6), 3: paint(8)})
    assert values(made) == [{0: 1, 1: 5, 2: 5, 3: 5, 4: 6}[s] for s in SHOTS]


def test_only_what_is_shown_is_evaluated(clip: vs.VideoNode, cadence: Cadence) -> None:
    asked: list[int] = []

    def noting(c: vs.VideoNode) -> vs.VideoNode:
        def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            asked.append(n)
            return f

        return c.std.ModifyFrame(c, note)

    values(per_shot(clip, cadence, {"60i": noting, "film": paint(1)}))
    assert sorted(set(asked)) == [n for n, kind in enumerate(KINDS) if kind == "60i"]


def test_a_treatment_of_shots_that_do_not_occur_is_not_called(clip: vs.VideoNode, cadence: Cadence) -> None:
    def net(_: vs.VideoNode) -> vs.VideoNode:
        raise AssertionError("called")

    only_film = Cadence(tape=cadence.tape, shots=(Shot(first=0, stop=20, kind="film", lengths="2" * 10, confidence=1),))
    tape = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=10, fpsnum=30000, fpsden=1001)
    film = ivtc(tape.std.SetFieldBased(2), only_film, timing="native")
    assert values(per_shot(film, only_film, {"vfx": net, "30p": net, "film": paint(3)})) == [3] * 10


def test_format_and_size_may_change_when_all_agree(clip: vs.VideoNode, cadence: Cadence) -> None:
    def big(c: vs.VideoNode) -> vs.VideoNode:
        return c.resize.Bicubic(128, 96, format=vs.YUV444P16)

    made = per_shot(clip, cadence, {"vfx": big, "default": lambda c: big(c).std.BoxBlur()})
    assert (made.width, made.height, made.format.id, made.fps) == (128, 96, vs.YUV444P16, 0)
    for wrong in ({"film": big}, {"film": big, "default": paint(1)}, {"default": lambda c: c[1:], "film": paint(1)}):
        with pytest.raises(CustomValueError, match="must agree"):
            per_shot(clip, cadence, wrong)  # type: ignore[arg-type]


def test_works_after_other_filters_and_at_the_film_rate(cadence: Cadence) -> None:
    tape = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=10, fpsnum=30000, fpsden=1001)
    film = ivtc(tape.std.SetFieldBased(2), cadence).std.BoxBlur().resize.Bicubic(32, 32)
    made = per_shot(film, cadence, {"film": paint(1), "default": paint(2)})
    assert values(made) == [1 if f.props["DS9VS_Kind"] == "film" else 2 for f in film.frames(close=True)]


def test_pure(clip: vs.VideoNode, cadence: Cadence, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: per_shot(clip, cadence, {"film": lambda c: c.std.BoxBlur(), 1: paint(2), "default": paint(3)}))


def test_wrong_keys_and_results_get_a_sentence(clip: vs.VideoNode, cadence: Cadence) -> None:
    for wrong, says in (
        ({"movie": paint(1)}, "no kind of shot"),
        ({5: paint(1)}, "from 0 to 4"),
        ({(3, 3): paint(1)}, "no shots"),
        ({(-1, 2): paint(1)}, "no shots"),
        ({"film": lambda c: None}, "must return a clip"),
    ):
        with pytest.raises(CustomValueError, match=says):
            per_shot(clip, cadence, wrong)  # type: ignore[arg-type]


def test_a_clip_that_does_not_say_its_shots_is_refused(cadence: Cadence) -> None:
    stranger = core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=3)
    made = per_shot(stranger, cadence, {"film": paint(1), "default": paint(2)})
    with pytest.raises(vs.Error, match="does not say of which shot"):
        made.get_frame(0)


def test_a_missing_plugin_is_named(clip: vs.VideoNode, cadence: Cadence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-akarin"):
        per_shot(clip, cadence, {"film": lambda c: c})
