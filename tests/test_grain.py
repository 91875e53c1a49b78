"""Grain: measured truly, given back at any size, the same bits for any order, none where film shows none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs import plugins
from ds9vs.grain import GrainModel, add_grain, load_grain, measure_grain, reinject_grain

SOFT = (0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0)
MODEL = GrainModel(
    size=(720, 480), sigma=tuple(1 + k / 5 for k in range(16)), filters=((SOFT, SOFT),), chroma=(0.5, 0.4)
)


def grey(code: int, width: int = 360, height: int = 240, length: int = 3, form: int = vs.YUV444P16) -> vs.VideoNode:
    bits = core.get_video_format(form).bits_per_sample
    color = [code << bits - 8, 128 << bits - 8, 128 << bits - 8]
    return core.std.BlankClip(format=form, width=width, height=height, length=length, color=color)


def plane(clip: vs.VideoNode, n: int = 0, p: int = 0) -> NDArray[np.float64]:
    with clip.get_frame(n) as frame:
        return np.asarray(frame[p]).astype(np.float64) / (1 << clip.format.bits_per_sample - 8)


def with_pixels(clip: vs.VideoNode, make: Callable[[int], NDArray[np.float64]]) -> vs.VideoNode:
    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        made = f.copy()
        np.copyto(np.asarray(made[0]), np.clip(make(n), 0, 255).round().astype(np.uint8))
        return made

    return clip.std.ModifyFrame(clip, fill)


@pytest.fixture(scope="module")
def filmed() -> tuple[vs.VideoNode, vs.VideoNode]:
    """A luma ramp and the same under soft grain whose deviation is 1 + 3 luma / 255 codes."""
    blank = grey(128, 720, 480, 16, vs.YUV420P8)
    ramp = np.broadcast_to(np.linspace(24, 224, 720), (480, 720))
    weights = np.outer(SOFT[2:5], SOFT[2:5])

    def grainy(n: int) -> NDArray[np.float64]:
        white = np.random.default_rng(n).standard_normal((482, 722))
        soft = sum(weights[y, x] * white[y : y + 480, x : x + 720] for y in range(3) for x in range(3))
        return ramp + soft / soft.std() * (1 + 3 * ramp / 255)

    return with_pixels(blank, grainy), with_pixels(blank, lambda n: ramp)


def test_the_noise_curve_is_measured(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    model = measure_grain(*filmed)
    for k in range(3, 14):
        truth = 1 + 3 * (k + 0.5) * 16 / 255
        assert abs(model.sigma[k] / truth - 1) < 0.06, f"bin {k}"
    assert model.chroma == (0.0, 0.0)


def test_what_was_measured_comes_back(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    model = measure_grain(*filmed)
    again = measure_grain(add_grain(filmed[1], model), filmed[1])
    assert np.abs(np.array(again.sigma) / model.sigma - 1).max() < 0.06
    ours, theirs = (np.array(m.filters[0]) for m in (again, model))
    assert np.abs(ours - theirs).max() < 0.05, "the spatial shape differs"


@pytest.mark.parametrize(("width", "height"), [(720, 480), (1440, 960), (1080, 1440)])
def test_deviation_does_not_depend_on_the_enlargement(width: int, height: int) -> None:
    clip = add_grain(grey(120, width, height, 1), dataclasses.replace(MODEL, sigma=(2.0,) * 16))
    assert plane(clip).std() == pytest.approx(2.0, rel=0.06)
    assert plane(clip, p=1).std() == pytest.approx(1.0, rel=0.06)
    assert abs(plane(clip).mean() - 120) < 0.1


def test_grain_grows_with_the_picture() -> None:
    def neighbours(x: NDArray[np.float64]) -> float:
        x = x - x.mean()
        return float((x[:, 1:] * x[:, :-1]).mean() / (x * x).mean())

    small, large = (plane(add_grain(grey(120, 720 * k, 480 * k, 1), MODEL)) for k in (1, 3))
    assert neighbours(large) > 0.9 > 0.75 > neighbours(small)
    reduced = large.reshape(480, 3, 720, 3).mean((1, 3))
    assert neighbours(reduced) == pytest.approx(neighbours(small), abs=0.12)


def test_no_tile_and_no_tie_between_pictures() -> None:
    clip = add_grain(grey(120, 720, 480, 30), MODEL)
    first = plane(clip)
    x = first - first.mean()
    correlation = np.fft.irfft2(np.abs(np.fft.rfft2(x)) ** 2, x.shape) / (x * x).sum()
    correlation[:64, :64] = correlation[-64:, :64] = correlation[:64, -64:] = correlation[-64:, -64:] = 0
    assert np.abs(correlation).max() <= 0.02
    pairs = [np.corrcoef(plane(clip, n).ravel(), plane(clip, n + 1).ravel())[0, 1] for n in range(29)]
    assert abs(np.mean(pairs)) <= 0.005


def test_a_picture_shown_twice_keeps_its_grain_and_seeds_differ() -> None:
    held = grey(120).std.SetFrameProps(DS9VS_Picture=7)
    assert (plane(add_grain(held, MODEL), 0) == plane(add_grain(held, MODEL), 2)).all()
    assert (plane(add_grain(grey(120), MODEL), 0) != plane(add_grain(grey(120), MODEL), 1)).any()
    assert (plane(add_grain(held, MODEL)) != plane(add_grain(held, MODEL, seed=1))).any()


@pytest.mark.parametrize("code", [0, 16, 235, 255])
def test_none_in_black_and_clipped_white(code: int) -> None:
    assert (plane(add_grain(grey(code), MODEL)) == code).all()


@pytest.mark.parametrize("form", [vs.YUV420P8, vs.YUV420P10, vs.YUV422P10, vs.YUV444P16, vs.GRAY8, vs.GRAY16])
def test_format_props_and_levels_are_kept(form: int) -> None:
    blank = grey(18, form=form) if form not in (vs.GRAY8, vs.GRAY16) else grey(18).resize.Point(format=form)
    clip = add_grain(blank.std.SetFrameProps(_Matrix=6, DS9VS_Shot=3), MODEL, strength=4)
    assert (clip.format.id, clip.width, clip.num_frames) == (form, 360, 3)
    with clip.get_frame(1) as frame:
        assert frame.props["DS9VS_Shot"] == 3
    assert plane(clip).min() >= 16
    assert plane(clip).std() > 0


def test_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: add_grain(grey(120, 96, 64, 6, vs.YUV420P10), MODEL))


def test_strength_nought_is_the_clip() -> None:
    assert (plane(add_grain(grey(120), MODEL, strength=0)) == 120).all()


def test_a_model_is_read_as_it_was_written(tmp_path: object) -> None:
    path = f"{tmp_path}/g.json"
    MODEL.save(path)
    assert load_grain(path) == MODEL


def test_no_grain_gives_a_sentence_not_noise() -> None:
    for code in (16, 120, 255):
        with pytest.raises(CustomValueError, match="no grain"):
            measure_grain(grey(code, form=vs.YUV420P8), grey(code, form=vs.YUV420P8))


def test_one_picture_is_enough(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    model = measure_grain(filmed[0][:1], filmed[1][:1])
    assert np.isfinite(model.sigma).all()
    assert model.pictures == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: add_grain(grey(90).resize.Point(format=vs.YUV444PS), MODEL), "8 to 16 bits"),
        (lambda: add_grain(grey(90), MODEL, strength=9), "from 0 to 4"),
        (lambda: measure_grain(grey(90), grey(90)[:1]), "one format"),
        (lambda: reinject_grain(grey(90), grey(90)[:1], MODEL), "frames"),
        (lambda: reinject_grain(grey(90), grey(90), MODEL), "measured at 720x480"),
        (lambda: dataclasses.replace(MODEL, sigma=(1.0,)), "16 numbers"),
        (lambda: dataclasses.replace(MODEL, filters=((SOFT, (float("nan"),) * 7),)), "finite"),
    ],
)
def test_bad_input_gets_one_sentence(call: Callable[[], object], said: str) -> None:
    with pytest.raises(CustomValueError, match=said):
        call()


def test_a_broken_file_gets_a_sentence(tmp_path: object) -> None:
    path = f"{tmp_path}/g.json"
    MODEL.save(path)
    whole = open(path, encoding="utf-8").read()  # noqa: PTH123, SIM115
    for text, said in (
        (whole[:100], "truncated"),
        (whole.replace('grain": 1', 'grain": 9'), "version 9"),
        ("[]", "no grain"),
    ):
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
        with pytest.raises(CustomValueError, match=said):
            load_grain(path)


def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-akarin"):
        add_grain(grey(90), MODEL)
