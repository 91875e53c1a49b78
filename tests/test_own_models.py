"""Our own networks: in the package, closer to the truth than others, true at cuts and ends; and the training's data."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import vapoursynth as vs
from vapoursynth import core

from ds9vs.simulate.footage import sample_footage
from ds9vs.upscale import OpenVino, model_get, models_list, upscale
from ds9vs.upscale import neighbours as room
from ds9vs.upscale.network import inspect
from ds9vs.upscale.registry import load_model

ROOT = Path(__file__).parents[1]
OWN = [model for model in models_list() if model.origin is None]


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """onnx_models/training/data.py."""
    spec = importlib.util.spec_from_file_location("training_data", ROOT / "onnx_models" / "training" / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["training_data"] = module
    spec.loader.exec_module(module)
    return module


def plane(clip: vs.VideoNode, n: int = 0, number: int = 0) -> np.ndarray:
    with clip.get_frame(n) as frame:
        return np.asarray(frame[number]).astype(np.float64)


def clip_of(pictures: np.ndarray, fmt: int = vs.GRAYS) -> vs.VideoNode:
    """Pictures (n, height, width) of 0 to 1 as luma; chroma neutral."""
    count, height, width = pictures.shape
    kind = vs.GRAYS if fmt == vs.GRAYS else vs.YUV444PS
    blank = core.std.BlankClip(format=kind, width=width, height=height, length=count)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = pictures[n]
        return f

    clip = blank.std.ModifyFrame(blank, paint).std.SetFrameProps(_Matrix=6, _Range=0)
    return clip if fmt == vs.GRAYS else clip.resize.Bicubic(format=fmt)


def film(training: ModuleType, seconds: float, count: int = 6) -> tuple[np.ndarray, vs.VideoNode]:
    """Truth, and what a disc gives of it: the sample film halved, hard telecined and coded."""
    rng = np.random.default_rng(5)
    clip = training.film(sample_footage(), seconds, seconds + 1.2, (1.0, 1.02), rng)
    damage = training.Damage(hard=True, blur=(0.15, 0.15), kernel="area", grain=0.5, rate=5.0, careful=False)
    low = training.disc(clip, damage, rng)
    start = 6
    part = (low[start : start + count].astype(np.float32) - 16) / 219
    return clip.luma[start : start + count], clip_of(part, vs.YUV420P8)


def psnr(made: vs.VideoNode, truth: np.ndarray, n: int) -> float:
    inner = (slice(8, -8),) * 2
    return float(-10 * np.log10(np.mean(((plane(made, n) / 256 - truth[n])[inner] / 255) ** 2)))


@pytest.mark.parametrize("model", OWN, ids=lambda model: model.name)
def test_own_models_lie_in_the_package_with_a_card(model) -> None:
    assert model.path.is_file()
    assert model.path.parent.name == "onnx_models"
    assert model.onnx_size <= 10 * 2**20
    card = model.path.with_suffix(".md").read_text(encoding="utf-8")
    for word in ("Licence", "Data", "Damage", "Seeds", "Steps", "Hardware", "Scores", "Limits", "Resume"):
        assert f"**{word}" in card, f"the card says nothing of {word}"
    network, read = load_model(model.name, "test"), inspect(model.path)
    for one in (network, read):
        assert (one.output, one.motion, one.luma_only, one.frames) == ("residual", True, True, 3)
        assert one.scale == (2 if "2x" in model.name else 1)


def test_closer_to_the_truth_than_lanczos_and_the_best_public_network(training: ModuleType) -> None:
    model_get("upconv_7_photo", show=False)
    gains = []
    for seconds in (2.0, 9.0):
        truth, clip = film(training, seconds)
        plain, public, ours = (
            np.mean([psnr(upscale(clip, model=name, guard=0), truth, n) for n in (2, 4)])
            for name in ("none", "upconv_7_photo", "film-2x")
        )
        gains.append((ours - plain, ours - public))
    assert np.mean(gains, 0)[0] > 0.7, gains
    assert np.mean(gains, 0)[1] > 0.3, gains


def test_a_cleaned_disc_is_closer_to_the_truth_and_helps_other_networks(training: ModuleType) -> None:
    """At the disc's size, against the truth halved; and what a public network makes of it, against the truth."""
    model_get("upconv_7_photo", show=False)
    gains = []
    for seconds in (2.0, 9.0):
        truth, clip = film(training, seconds)
        half = clip_of((truth - 16) / 219).resize.Bicubic(clip.width, clip.height)
        small = np.stack([plane(half, n) * 219 + 16 for n in range(len(truth))])
        clean = upscale(clip, model="dvd-clean", guard=0)
        assert (clean.width, clean.height) == (clip.width, clip.height)
        before, after = (np.mean([psnr(one, small, n) for n in (2, 4)]) for one in (deep(clip), clean))
        big = [upscale(one, model="upconv_7_photo", guard=0) for one in (clip, clean)]
        plain, fed = (np.mean([psnr(one, truth, n) for n in (2, 4)]) for one in big)
        gains.append((after - before, fed - plain))
    assert np.min(gains, 0)[0] > 0.8, gains
    assert np.mean(gains, 0)[1] > 0.3, gains


def deep(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.resize.Point(format=vs.YUV444P16)


def detail(picture: np.ndarray) -> float:
    """Contrast of what is finer than two samples."""
    low = (picture[:-1, :-1] + picture[1:, :-1] + picture[:-1, 1:] + picture[1:, 1:]) / 4
    return float(np.std(picture[1:-1, 1:-1] - (low[:-1, :-1] + low[1:, :-1] + low[:-1, 1:] + low[1:, 1:]) / 4))


def test_the_detail_model_has_more_bite_and_the_guard_keeps_it_true(training: ModuleType) -> None:
    gains, contrasts = [], []
    for seconds in (2.0, 9.0):
        truth, clip = film(training, seconds)
        made = [upscale(clip, model=name) for name in ("none", "film-2x", "film-2x-detail")]
        levels = [psnr(one, truth, 3) for one in made]
        gains.append(levels[2] - levels[0])
        contrasts.append([detail(plane(one, 3) / 256) / detail(truth[3]) for one in made])
    assert min(gains) > 0, "below Lanczos"
    plain, faithful, bite = np.mean(contrasts, 0)
    assert plain < faithful < bite < 1.1, contrasts


def test_neighbours_follow_the_motion() -> None:
    rng = np.random.default_rng(3)
    wide = rng.normal(0, 1, (96, 260))
    for _ in range(4):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1) + np.roll(wide, (1, 1), (0, 1))) / 4
    wide = np.clip(0.5 + wide, 0, 1)
    pictures = np.stack([wide[:, 10 + 5 * n : 170 + 5 * n] for n in range(5)])
    fed = clip_of(pictures)
    inner = (slice(16, -16), slice(24, -24))
    before, middle, after = room.around(fed, fed, 3, motion=True)
    left, _, right = room.around(fed, fed, 3)
    for moved, still in ((before, left), (after, right)):
        apart = [np.abs(plane(c, 2) - plane(middle, 2))[inner].mean() for c in (moved, still)]
        assert apart[0] < 0.05 * apart[1]


def test_neighbours_stop_at_cuts_and_ends() -> None:
    pictures = np.stack([np.full((48, 64), level) for level in (0.2, 0.4, 0.6, 0.8)])
    pictures[:, 10:30, 20:40] += 0.1
    fed = clip_of(pictures)
    marked = core.std.Splice([fed[:2].std.SetFrameProps(DS9VS_Shot=1), fed[2:].std.SetFrameProps(DS9VS_Shot=2)])
    before, _, after = room.around(fed, marked, 3, motion=True)
    level = [[round(float(plane(c, n)[40, 50]), 2) for n in range(4)] for c in (before, after)]
    assert level == [[0.2, 0.2, 0.6, 0.6], [0.4, 0.4, 0.8, 0.8]]


def test_what_lies_behind_a_cut_changes_nothing(training: ModuleType) -> None:
    _, clip = film(training, 2.0, 3)
    _, other = film(training, 9.0, 3)
    joined = clip + other
    marked = core.std.Splice([joined[:3].std.SetFrameProps(DS9VS_Shot=1), joined[3:].std.SetFrameProps(DS9VS_Shot=2)])
    f32 = OpenVino(precision="f32")
    alone, cut, blind = (plane(upscale(c, model="film-2x", guard=0, backend=f32), 2) for c in (clip, marked, joined))
    assert np.array_equal(alone, cut)
    assert np.abs(blind - cut).max() > 64, "the test has no cut in it"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (17, 33), (45, 61), (8, 40), (352, 240)])
def test_any_size(width: int, height: int) -> None:
    big = upscale(clip_of(np.full((3, height, width), 0.4), vs.YUV444P8), model="film-2x")
    assert (big.width, big.height) == (2 * width, 2 * height)
    big.get_frame(1).close()


@pytest.mark.parametrize("level", [0.0, 0.3, 0.7, 1.0])
def test_flat_stays_flat(level: float) -> None:
    clip = clip_of(np.full((1, 64, 64), level), vs.YUV444P8)
    for precision in ("f32", "bf16"):
        big = plane(upscale(clip, model="film-2x", guard=0, backend=OpenVino(precision=precision)))
        assert np.abs(big / 256 - plane(clip)[0, 0])[16:-16, 16:-16].max() < 0.75


def test_bf16_gives_what_f32_gives(training: ModuleType) -> None:
    truth, clip = film(training, 9.0, 3)
    exact, quick = (
        upscale(clip, model="film-2x", guard=0, backend=OpenVino(precision=precision)) for precision in ("f32", "bf16")
    )
    assert psnr(exact, truth, 1) - psnr(quick, truth, 1) < 0.05


def test_half_precision_gives_what_single_gives(tmp_path: Path) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    from ds9vs.upscale.engine import to_fp16

    path = load_model("film-2x", "test").path
    fed = np.random.default_rng(1).random((1, 3, 24, 32), np.float32)
    whole = ReferenceEvaluator(onnx.load(path)).run(None, {"input": fed})[0]
    half = ReferenceEvaluator(onnx.load_from_string(to_fp16(path))).run(None, {"input": fed.astype(np.float16)})[0]
    assert np.abs(half.astype(np.float32) - whole).max() < 1 / 255


# the training's data


def test_training_sees_the_same_lanczos(training: ModuleType) -> None:
    picture = np.random.default_rng(1).random((40, 56)).astype(np.float32)
    wanted = plane(clip_of(picture[None]).resize.Lanczos(112, 80))
    down, across = (training.resampler(n, 2 * n, kernel="lanczos") for n in picture.shape)
    assert np.abs(down @ picture @ across.T - wanted)[8:-8, 8:-8].max() < 1e-5


@pytest.mark.parametrize("hard", [False, True])
def test_the_simulated_disc_is_woven_back(hard: bool, training: ModuleType) -> None:
    rng = np.random.default_rng(2)
    clip = training.film(sample_footage(), 10.0, 11.3, (1.0, 1.02), rng)
    damage = training.Damage(hard=hard, blur=(0.0, 0.0), kernel="area", grain=0.0, rate=30.0, careful=False)
    low = training.disc(clip, damage, rng)
    truth = clip.luma.reshape(len(clip.luma), 192, 2, 288, 2).mean((2, 4))
    assert len(low) >= 20
    right = np.sqrt(np.mean((low - truth[: len(low)]) ** 2, (1, 2)))
    wrong = np.sqrt(np.mean((low[1:] - truth[: len(low) - 1]) ** 2, (1, 2)))
    assert right.max() < 3
    assert right.mean() < 0.7 * wrong.mean(), "the test has no motion in it"


def test_validation_and_training_share_no_source(training: ModuleType, tmp_path: Path) -> None:
    for folder, names in (("photos/a", [f"{n}.webp" for n in range(30)]), ("film", ["tos_a.mkv", "tos_d.mkv"])):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).touch()
    sources = training.Sources.find(tmp_path, [])
    assert not set(sources.photos) & set(sources.held_photos)
    assert len(sources.photos) + len(sources.held_photos) == 30
    assert sources.held_film not in sources.films
