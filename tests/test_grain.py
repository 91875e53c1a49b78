"""Grain: measured truly, given back at any size, the same bits for any order, none where film shows none."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs import plugins
from ds9vs.grain import GrainModel, add_grain, gaussian_spectrum, load_grain, measure_grain, reinject_grain
from ds9vs.grain.model import curve

SOFT = (0.25, 0.5, 0.25)
FINE, USUAL, COARSE = (gaussian_spectrum(radius) for radius in (0.4, 0.6, 0.8))
MODEL = GrainModel(
    size=(720, 480),
    sigma=tuple(1 + k / 5 for k in range(16)),
    spectra=(FINE, USUAL, COARSE),
    chroma=(0.5, 0.4),
    chroma_spectrum=FINE,
    correlation=(0.3, -0.2, 0.4),
)
PLAIN = dataclasses.replace(MODEL, sigma=(2.0,) * 16, spectra=(USUAL,) * 3)


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
    weights = np.outer(SOFT, SOFT)

    def grainy(n: int) -> NDArray[np.float64]:
        white = np.random.default_rng(n).standard_normal((482, 722))
        soft = sum(weights[y, x] * white[y : y + 480, x : x + 720] for y in range(3) for x in range(3))
        return ramp + soft / soft.std() * (1 + 3 * ramp / 255)

    return with_pixels(blank, grainy), with_pixels(blank, lambda n: ramp)


def test_the_noise_curve_is_measured(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    model = measure_grain(*filmed)
    for k in range(3, 14):
        truth = 1 + 3 * (k + 0.5) * 16 / 255
        assert abs(model.sigma[k] / truth - 1) < 0.07, f"bin {k}"
    assert model.chroma == (0.0, 0.0)


def test_what_was_measured_comes_back(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    model = measure_grain(*filmed)
    again = measure_grain(add_grain(filmed[1], model), filmed[1])
    assert np.abs(np.array(again.sigma) / model.sigma - 1)[2:15].max() < 0.06
    ours, theirs = (10 * np.log10(np.array(m.spectra[1])[:6, :6]) for m in (again, model))
    assert np.sqrt(np.square(ours - theirs).mean()) < 1.0, "the spectrum differs by more than 1 dB"


def test_the_denoisers_bias_is_taken_out(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    truth = np.array([1 + 3 * (k + 0.5) * 16 / 255 for k in range(4, 13)])
    plain = np.array(measure_grain(filmed[0], pictures=3, calibrate=False).sigma[4:13])
    model = measure_grain(filmed[0], pictures=3)
    assert (plain / truth).mean() < 0.96, "the plain residual lacks what the mean of five pictures kept"
    assert np.abs(np.array(model.sigma[4:13]) / truth - 1).max() < 0.1


def reduced(x: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    height, width = x.shape[0] // times, x.shape[1] // times
    return x.reshape(height, times, width, times).mean((1, 3))


def spectrum(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean periodogram of windows of 32 samples, in dB."""
    blocks = x[: x.shape[0] // 32 * 32, : x.shape[1] // 32 * 32]
    blocks = blocks.reshape(x.shape[0] // 32, 32, x.shape[1] // 32, 32).swapaxes(1, 2).reshape(-1, 32, 32)
    window = np.outer(np.hanning(33)[:-1], np.hanning(33)[:-1])
    power = (np.abs(np.fft.fft2((blocks - blocks.mean((1, 2), keepdims=True)) * window)) ** 2).mean(0)
    return np.asarray(10 * np.log10(power))


@pytest.mark.parametrize("times", [1, 2, 4])
def test_averaged_over_the_measured_sample_it_is_the_measured_grain(times: int) -> None:
    clip = add_grain(grey(120, 720 * times, 480 * times, 3, vs.YUV420P16), PLAIN)
    pictures = [plane(clip, n) for n in range(3)]
    assert np.mean([reduced(x, times).std() for x in pictures]) == pytest.approx(2.0, rel=0.01)
    assert abs(pictures[0].mean() - 120) < 0.05
    small = add_grain(grey(120, 720, 480, 3, vs.YUV420P16), PLAIN, seed=5)
    ours = np.mean([spectrum(reduced(x, times)) for x in pictures], 0)
    theirs = np.mean([spectrum(plane(small, n)) for n in range(3)], 0)
    difference = (ours - theirs).ravel()[1:]
    assert np.sqrt(np.square(difference).mean()) <= 1.0, "log-spectral distance in dB"


def test_chroma_goes_with_luma_as_measured() -> None:
    clip = add_grain(grey(120, 1440, 960, 2, vs.YUV420P16), PLAIN)
    y, u, v = (plane(clip, 0, p) for p in range(3))
    assert 1.0 < u.std() < 1.6, "larger by what averaging takes away"
    y, u, v = reduced(y, 4), reduced(u, 2), reduced(v, 2)
    assert (u.std(), v.std()) == (pytest.approx(1.0, rel=0.02), pytest.approx(0.8, rel=0.02))
    found = [float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in ((y, u), (y, v), (u, v))]
    assert found == pytest.approx([0.3, -0.2, 0.4], abs=0.04)


def test_grain_follows_a_smooth_curve_and_each_tone_has_its_shape() -> None:
    def neighbours(x: NDArray[np.float64]) -> float:
        x = x - x.mean()
        return float((x[:, 1:] * x[:, :-1]).mean() / (x * x).mean())

    found = {code: plane(add_grain(grey(code, 720, 480, 1), MODEL)) for code in range(32, 224, 16)}
    for code, x in found.items():
        assert x.std() == pytest.approx(curve(MODEL.sigma, np.array([float(code)]))[0], rel=0.02), f"at {code}"
    shape = [neighbours(found[code]) for code in (48, 80, 112, 144, 176)]
    assert shape == sorted(shape)
    assert shape[-1] - shape[0] > 0.3


def test_no_tile_and_no_tie_between_pictures() -> None:
    clip = add_grain(grey(120, 720, 480, 101), MODEL)
    first = plane(clip)
    x = first - first.mean()
    correlation = np.fft.irfft2(np.abs(np.fft.rfft2(x)) ** 2, x.shape) / (x * x).sum()
    correlation[:64, :64] = correlation[-64:, :64] = correlation[:64, -64:] = correlation[-64:, -64:] = 0
    assert np.abs(correlation).max() <= 0.02
    pairs = [np.corrcoef(plane(clip, n).ravel(), plane(clip, n + 1).ravel())[0, 1] for n in range(100)]
    assert abs(np.mean(pairs)) <= 0.005
    assert np.abs(pairs).max() < 0.02, "two neighbours show nearly the same cut-out"


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


def test_shots_take_their_groups_grain() -> None:
    loud = dataclasses.replace(PLAIN, sigma=(4.0,) * 16, shots=(3,))
    model = dataclasses.replace(PLAIN, groups=(loud,))
    clip = grey(120, length=1).std.SetFrameProps(DS9VS_Shot=1) + grey(120, length=1).std.SetFrameProps(DS9VS_Shot=3)
    grained = add_grain(clip, model)
    assert plane(grained, 1).std() / plane(grained, 0).std() == pytest.approx(2, rel=0.02)


def test_a_plate_is_levelled_by_the_model() -> None:
    shaded = with_pixels(
        grey(128, 800, 560, 4, vs.YUV420P8),
        lambda n: 90 + np.linspace(0, 60, 800) + 7 * np.random.default_rng(n).standard_normal((560, 800)),
    )
    clip = add_grain(grey(120, 720, 480, 4), PLAIN, plate=shaded)
    assert plane(clip).std() == pytest.approx(2.0, rel=0.03)
    assert abs(np.corrcoef(plane(clip, 0).ravel(), plane(clip, 1).ravel())[0, 1]) < 0.02
    assert plane(clip)[:, :100].mean() == pytest.approx(plane(clip)[:, -100:].mean(), abs=0.1)


def test_the_same_bits_without_the_widest_instructions() -> None:
    code = (
        "import hashlib, numpy as np, vapoursynth as vs; from vapoursynth import core;"
        "import ds9vs.grain as g; {}; core.num_threads = {};"
        "c = core.std.BlankClip(format=vs.YUV420P10, width=352, height=240, length=6, color=[480, 512, 512]);"
        "m = g.GrainModel(size=(176, 120), sigma=tuple(1 + k / 5 for k in range(16)), chroma=(0.5, 0.4),"
        " spectra=tuple(g.gaussian_spectrum(r) for r in (0.4, 0.6, 0.8)), correlation=(0.3, -0.2, 0.4));"
        "c = g.add_grain(c, m, seed=3);"
        "print(hashlib.sha256(b''.join(np.asarray(c.get_frame(n)[p]).tobytes() for n in {} for p in range(3)))"
        ".hexdigest())"
    )
    narrow = {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL X86_V4"}
    found = set()
    for setup, threads, order, env in (
        ("pass", 2, "range(6)", {}),
        ("core.std.SetMaxCPU('avx2')", 1, "range(6)", narrow),
        ("[c_ for c_ in ()]", 8, "[(n, [core.clear_cache()])[0] for n in range(6)]", {}),
    ):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code.format(setup, threads, order)],
            capture_output=True, text=True, check=False, env=os.environ | env,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


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
        with pytest.raises(CustomValueError, match="no grain"):
            measure_grain(grey(code, form=vs.YUV420P8, length=8))
    with pytest.raises(CustomValueError, match="one picture"):
        measure_grain(grey(code, form=vs.YUV420P8, length=1))


def test_a_film_without_grain_gets_none(filmed: tuple[vs.VideoNode, vs.VideoNode]) -> None:
    clean = core.std.Splice([filmed[1][k].std.Expr(f"x {k % 2} +") for k in range(16)])
    with_codes = with_pixels(clean, lambda n: np.broadcast_to(np.linspace(24, 224, 720) + n / 40, (480, 720)))
    model = measure_grain(with_codes, rate=4_500_000, pictures=3)
    assert model.sigma == (0.0,) * 16
    assert "no grain" in model.notes[0]
    assert add_grain(clean, model) is clean


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
        (lambda: dataclasses.replace(MODEL, chroma_spectrum=((float("nan"),) * 9,) * 9), "finite"),
        (lambda: dataclasses.replace(MODEL, chroma_spectrum=((1.0,) * 8,) * 9), "9 rows"),
        (lambda: dataclasses.replace(MODEL, correlation=(2.0, 0.0, 0.0)), "-1 to 1"),
        (lambda: measure_grain(grey(90), rate=3), "bits a second"),
        (lambda: add_grain(grey(90), MODEL, plate=grey(90, 64, 64)), "larger"),
        (lambda: gaussian_spectrum(9), "0 to 3"),
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
        (whole.replace('grain": 2', 'grain": 9'), "version 9"),
        ("[]", "no grain"),
    ):
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
        with pytest.raises(CustomValueError, match=said):
            load_grain(path)


def test_a_model_of_version_1_is_read(tmp_path: object) -> None:
    taps = [0, 0, 0.25, 0.5, 0.25, 0, 0]
    old = {"ds9vs_grain": 1, "size": [720, 480], "sigma": [2.0] * 16, "filters": [[taps, taps]], "chroma": [0.3, 0.2],
           "pictures": 48}  # fmt: skip
    with open(f"{tmp_path}/old.json", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(old, file)
    model = load_grain(f"{tmp_path}/old.json")
    assert (model.sigma, model.chroma, model.pictures) == ((2.0,) * 16, (0.3, 0.2), 48)
    line = np.array(model.spectra[0])[0]
    assert line / line[0] == pytest.approx(np.square((1 + np.cos(np.pi * np.arange(9) / 8)) / 2), abs=1e-4)


def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-akarin"):
        add_grain(grey(90), MODEL)
