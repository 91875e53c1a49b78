"""What a real series does to its fields, and what users say of them: each is found, told, or obeyed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomValueError, FileWasNotFoundError
from numpy.typing import NDArray
from test_cadence import HEIGHT, WIDTH, Picture, film, pan, pulldown, solved, video, weave
from vapoursynth import core

from ds9vs import ivtc
from ds9vs.cadence import Cadence, analyse
from ds9vs.cadence.override import Override


def exchanged(pictures: list[Picture]) -> list[Picture]:
    """The same fields, with the two of each frame the other way round."""
    return [pictures[k ^ 1] for k in range(len(pictures))]


def over(base: list[Picture], top: list[Picture], masks: list[NDArray[np.bool_]]) -> list[Picture]:
    return [np.where(mask, above, below) for below, above, mask in zip(base, top, masks, strict=True)]


def kinds(cadence: Cadence) -> list[str]:
    return [shot.kind for shot in cadence.shots for _ in range(shot.stop - shot.first)]


def test_frames_whose_fields_are_swapped_within_a_shot_are_woven_in_their_true_order(tmp_path: Path) -> None:
    pictures = film(pan(1), 0, 120)
    tape = weave(pictures[:60] + exchanged(pictures[60:]), noise=1)
    cadence = solved(tape, tmp_path)
    assert [shot.swapped for shot in cadence.shots] == [False, True]
    assert cadence.notes == ("1 of 2 shots: frames whose two fields are swapped",)
    assert abs(cadence.shots[1].first - 60) <= 2, "what lies over the edge could be told either way"
    straight = [np.asarray(f[0]) for f in ivtc(weave(pictures, noise=1), solved(weave(pictures), tmp_path)).frames()]
    mended = [np.asarray(f[0]) for f in ivtc(tape, cadence).frames()]
    assert len(mended) == len(straight)
    assert all(np.abs(a.astype(int) - b).mean() < 3 for a, b in zip(mended[28:], straight[28:], strict=True))


def test_a_layer_that_crosses_the_picture_makes_its_shot_layered_and_only_that(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ship = [(abs(x - 5 * (k - 15)) < 40) & (abs(y - 120) < 36) for k in range(90)]
    shot = over(film(pan(1), 3, 90), video(pan(4, speed=8), 90), ship)
    cadence = solved(weave([*film(pan(2), 1, 60), *shot, *film(pan(3), 0, 60)]), tmp_path)
    assert kinds(cadence) == ["film"] * 60 + ["layered"] * 90 + ["film"] * 60
    layered = next(shot for shot in cadence.shots if shot.kind == "layered")
    assert layered.base == pulldown(3, 90)


def test_credits_that_crawl_over_film_are_a_layer(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    glyphs = np.random.default_rng(3).random((997, WIDTH)) < 0.45
    crawl = [((y + 2 * k) // 18 % 2 == 0) & glyphs[(y + 2 * k) // 3 % 997, x // 3] & (x > 60) for k in range(100)]
    white = [np.full((HEIGHT, WIDTH), 220, np.float32)] * 100
    assert kinds(solved(weave(over(film(pan(1), 0, 100), white, crawl)), tmp_path)) == ["layered"] * 100


def test_a_field_lost_or_repeated_shifts_the_pattern_and_loses_no_picture(tmp_path: Path) -> None:
    pictures = film(pan(1), 0, 120)
    lost = solved(weave([*pictures[:61], *pictures[62:], pictures[-1]]), tmp_path)
    assert "".join(s.lengths for s in lost.shots).startswith(pulldown(0, 60) + "1" + pulldown(2, 50)[:10])
    again = solved(weave([*pictures[:61], pictures[60], *pictures[61:-1]]), tmp_path)
    assert set(kinds(lost) + kinds(again)) == {"film"}
    assert {60, 63}.issubset(set(again.firsts.tolist()))


def test_a_repeat_flag_gives_a_still_its_phase_and_motion_overrules_it(tmp_path: Path) -> None:
    def flagged(tape: vs.VideoNode, phase: int) -> vs.VideoNode:
        third = [(k + phase) % 5 == 4 for k in range(2 * tape.num_frames)]
        marks = [a | b << 1 for a, b in zip(third[::2], third[1::2], strict=True)]
        return core.std.FrameEval(tape, lambda n: tape.std.SetFrameProps(DS9VS_Repeat=marks[n]))

    still = weave([pan(1)(0)] * 60)
    assert solved(flagged(still, 3), tmp_path).shots[0].lengths == pulldown(3, 60)
    moving = weave(film(pan(1), 1, 60))
    overruled = solved(flagged(moving, 3), tmp_path)
    assert overruled.shots[0].lengths == pulldown(1, 60)
    assert overruled.notes == ("12 of 12 repeat flags contradict the pictures, which were believed",)


def test_a_converters_blends_are_told_and_slow_video_is_not_taken_for_them(tmp_path: Path) -> None:
    scene = pan(1)

    def blended(k: int) -> Picture:
        time = k * 25 / 59.94
        share = min(1.0, max(0.0, (time - int(time) - 0.3) / 0.4))
        return (1 - share) * scene(2.4 * int(time)) + share * scene(2.4 * (int(time) + 1))

    assert all("blended" in s.notes for s in solved(weave([blended(k) for k in range(100)]), tmp_path).shots)
    for pictures in (video(pan(2, speed=0.6), 100), film(pan(2), 0, 100), video(pan(2), 100, hold=2)):
        assert all("blended" not in s.notes for s in solved(weave(pictures), tmp_path).shots)


def test_what_a_user_says_is_obeyed_and_the_rest_is_solved_around_it(tmp_path: Path) -> None:
    tape = weave(film(pan(1), 0, 160))

    def with_(*said: Override) -> Cadence:
        return analyse(tape, cache=tmp_path, overrides=said, progress=False)

    assert kinds(with_(Override(first=40, stop=80, kind="60i"))) == ["film"] * 40 + ["60i"] * 40 + ["film"] * 80
    shifted = with_(Override(first=40, stop=80, kind="film", phase=3))
    assert [s.lengths for s in shifted.shots] == [pulldown(0, 40), pulldown(3, 40), pulldown(0, 80)]
    assert with_(Override(first=40, stop=80, kind="layered", phase=0)).shots[1].base == pulldown(0, 40)
    assert [s.first for s in with_(Override(first=50, stop=51, cut=True)).shots] == [0, 50]
    noted = with_(Override(first=50, stop=70, notes=("credits",)))
    assert [(s.first, s.notes) for s in noted.shots] == [(0, ()), (50, ("credits",)), (70, ())]
    with pytest.raises(CustomValueError, match="beyond the tape"):
        with_(Override(first=300, stop=400, kind="film"))
    with pytest.raises(FileWasNotFoundError):
        analyse(tape, cache=tmp_path, overrides=tmp_path / "none.toml", progress=False)


def test_a_stretch_called_still_takes_the_pattern_of_its_neighbours(tmp_path: Path) -> None:
    torn = film(pan(1), 0, 160)
    torn[60:100] = video(pan(1), 40)
    tape = weave(torn)
    assert "60i" in kinds(solved(tape, tmp_path))
    said = [Override(first=58, stop=102, notes=("still",))]
    calm = analyse(tape, cache=tmp_path, overrides=said, progress=False)
    assert set(kinds(calm)) == {"film"}
    assert calm.shots[-1].lengths.endswith(pulldown(2, 58)), "the pattern after it is its own"
