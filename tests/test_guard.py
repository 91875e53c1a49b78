"""The guard: true to the source whatever a network did, gentle with what is right, steady in its strength."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomValueError
from vapoursynth import core

from conftest import photograph
from ds9vs.measures import light, lr_consistency, overshoot
from ds9vs.upscale.guard import guard


def textured(width: int = 128, height: int = 96, seed: int = 1) -> vs.VideoNode:
    """Two pictures with edges, texture, a dark title and a star; YUV444P16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    luma = 0.45 + 0.25 * np.sin(x / 9.0) * np.cos(y / 13.0) + 0.15 * (((x // 24) + (y // 16)) % 2)
    luma += rng.normal(0, 0.02, luma.shape)
    luma[20:40, 60:100] = 0.02
    luma[26:34, 66:94:4] = 0.95
    luma[30, 80] = 1.0
    blank = core.std.BlankClip(width=width, height=height, format=vs.YUV444P16, length=2).std.SetFrameProps(_Matrix=6)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = (4096 + np.clip(luma + 0.01 * n, 0, 1) * 56064).astype(np.uint16)
        np.asarray(f[1])[:] = (32768 + 6000 * np.sin(x / 21.0)).astype(np.uint16)
        np.asarray(f[2])[:] = (32768 + 6000 * np.cos(y / 17.0)).astype(np.uint16)
        return f

    return blank.std.ModifyFrame(blank, paint)


def plane(clip: vs.VideoNode, number: int = 0, n: int = 0) -> np.ndarray:
    with clip.get_frame(n) as frame:
        return np.asarray(frame[number]).astype(np.float64)


def rms(a: vs.VideoNode, b: vs.VideoNode, number: int = 0) -> float:
    return float(np.sqrt(np.mean((plane(a, number) - plane(b, number)) ** 2)))


def halved(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.resize.Bicubic(clip.width // 2, clip.height // 2)


def exploded(truth: vs.VideoNode) -> vs.VideoNode:
    """What bad networks do: a colour cast, invented texture, and bursts."""
    expr = "x 3000 + X 5 % 2 - 2500 * + X 37 % 0 = 40000 0 ? +"
    return core.akarin.Expr(truth, [expr, "x 2500 +", "x 2500 -"])


def test_colour_and_coarse_luma_are_the_sources() -> None:
    truth = textured()
    small = halved(truth)
    held = guard(exploded(truth), small)
    before = float(guard(exploded(truth), small, strength=0).get_frame(0).props["DS9VS_LRError"])
    after = float(held.get_frame(0).props["DS9VS_LRError"])
    assert before > 10
    assert after < 0.3
    for number in (0, 1, 2):
        shift = plane(held, number).mean() - plane(truth, number).mean()
        assert abs(shift) < 64, f"plane {number} is off by {shift / 64:.2f} codes of 10 bit"


def test_a_burst_ends_no_worse_than_a_plain_enlargement() -> None:
    truth = textured()
    small = halved(truth)
    held = guard(exploded(truth), small)
    plain = small.resize.Lanczos(truth.width, truth.height)
    assert rms(exploded(truth), truth) > 2 * rms(plain, truth)
    assert rms(held, truth) < rms(plain, truth)
    assert float(held.get_frame(0).props["DS9VS_Limited"]) > 0.3


def test_no_pixel_leaves_the_plain_enlargement_beyond_the_local_contrast() -> None:
    truth = textured()
    small = halved(truth)
    excursion = np.abs(plane(guard(exploded(truth), small)) - plane(small.resize.Lanczos(truth.width, truth.height)))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane(small), 2, mode="edge"), (5, 5))
    contrast = np.kron(windows.max((2, 3)) - windows.min((2, 3)), np.ones((2, 2)))
    assert excursion.max() > 1000, "nothing was let pass"
    assert (excursion - 0.2 * contrast).max() < 2048  # 8 codes of 8 bit: the second lock, where all bursts


def unsharp(clip: vs.VideoNode, amount: float = 3) -> vs.VideoNode:
    """Halos and too white teeth: what a network trained for screenshots does to highlights."""
    soft = clip.std.Convolution([1, 2, 1, 2, 4, 2, 1, 2, 1]).std.BoxBlur()
    return core.std.Expr([clip, soft], [f"x x y - {amount} * +", "", ""])


def test_highlights_do_not_outshine_the_truth() -> None:
    """And low frequencies stay the source's."""
    truth = photograph(320, 240, sharp=0.3, contrast=45).resize.Bicubic(format=vs.YUV444P16)
    small = halved(truth).resize.Bicubic(format=vs.YUV422P8)
    big = unsharp(truth)
    held = guard(big, small)
    assert overshoot(big, truth)[0] > 12
    plain = small.resize.Lanczos(320, 240, format=vs.YUV444P16)
    assert overshoot(held, truth)[0] <= overshoot(plain, truth)[0] + 4
    assert lr_consistency(big, small)[0] < lr_consistency(held, small)[0]
    assert lr_consistency(held, small)[0] > 55


def starry() -> vs.VideoNode:
    """Points of light of two sizes on black, at all phases of the samples."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:192, 0:256]
    luma = np.full(y.shape, 16.0)
    for row in range(12, 190, 24):
        for column in range(12, 250, 24):
            dy, dx = y - row - rng.uniform(0, 2), x - column - rng.uniform(0, 2)
            luma += rng.uniform(80, 210) * np.exp(-(dx * dx + dy * dy) / (2 * rng.choice([0.7, 1.1]) ** 2))
    blank = core.std.BlankClip(format=vs.GRAY16, width=256, height=192, length=1).std.SetFrameProps(_Range=0)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = (np.minimum(luma, 235) * 256).astype(np.uint16)
        return f

    return blank.std.ModifyFrame(blank, paint)


def test_stars_may_be_as_sharp_as_they_are() -> None:
    truth = starry()
    small = halved(truth)
    plain, held = small.resize.Lanczos(256, 192), guard(truth, small)
    assert rms(held, truth) < 0.6 * rms(plain, truth)
    assert overshoot(held, truth)[0] <= 10
    assert abs(light(held, truth)[0] - 1) < 0.1


def test_stars_that_burst_are_held() -> None:
    truth = starry()
    small = halved(truth)
    burst = core.std.Expr(truth.std.Maximum(), "x 4096 - 2 * 4096 + 65535 min")
    held = guard(burst, small)
    assert light(burst, truth)[0] > 2
    assert abs(light(held, truth)[0] - 1) < 0.1
    assert overshoot(held, truth)[0] <= 10
    assert rms(held, truth) < 0.3 * rms(burst, truth)


def test_white_letters_on_black_are_no_stars() -> None:
    """Strokes of one and two samples, and dots, that burst are held by their contrast."""
    blank = core.std.BlankClip(format=vs.GRAY16, width=448, height=64, length=1, color=4096).std.SetFrameProps(_Range=0)
    truth = blank.text.Text("This is the title, i.e. ...", 5, 2).std.Expr("x 20000 > 60000 4096 ?")
    small = halved(truth)
    burst = core.std.Expr([truth, truth.std.Maximum()], "x y max 10000 > 65535 0 ?")
    held = guard(burst, small)
    assert overshoot(burst, truth)[0] > 20
    assert overshoot(held, truth)[0] <= 4
    assert rms(held, truth) < 0.5 * rms(burst, truth)


def test_a_colour_cast_is_undone_and_detail_kept() -> None:
    truth = textured()
    small = halved(truth)
    cast = truth.std.Expr(["x 4000 +", "x 2500 +", "x 2500 -"])
    apart = np.abs(plane(guard(cast, small)) - plane(guard(truth, small)))[12:-12, 12:-12]
    assert apart.max() < 64  # 1 code of 10 bit


def test_the_truth_passes_better_than_a_plain_enlargement() -> None:
    truth = textured()
    small = halved(truth)
    held = guard(truth, small)
    plain = small.resize.Lanczos(truth.width, truth.height)
    assert rms(held, truth) < 0.8 * rms(plain, truth)


def test_a_plain_enlargement_is_left_alone() -> None:
    small = halved(textured())
    plain = small.resize.Lanczos(128, 96)
    held = guard(plain, small)
    assert np.abs(plane(held) - plane(plain)).max() < 128  # 2 codes of 10 bit
    assert float(held.get_frame(0).props["DS9VS_Limited"]) == 0


def test_noise_that_a_network_took_out_is_not_forced_back_and_none_is_let_in() -> None:
    flat = core.std.BlankClip(width=128, height=96, format=vs.GRAY16, length=1, color=30000)
    noise = np.random.default_rng(3).normal(0, 1.2 * 256, (96, 128))

    def noisy(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = (30000 + noise).astype(np.uint16)
        return f

    source = flat.std.ModifyFrame(flat, noisy)
    calm, plain = flat.resize.Point(256, 192), source.resize.Lanczos(256, 192)
    assert plane(guard(calm, source)).std() < 0.4 * plane(plain).std()  # the rest is low frequencies, the source's own
    loud = core.std.Expr([plain, calm], "x 3 * y 2 * -")
    assert plane(guard(loud, source)).std() < 1.5 * plane(plain).std()


def test_strength_zero_changes_nothing_and_still_measures() -> None:
    truth = textured()
    big, small = exploded(truth), halved(truth)
    same = guard(big, small, strength=0)
    for number in range(3):
        assert np.array_equal(plane(same, number), plane(big, number))
    assert float(same.get_frame(0).props["DS9VS_Limited"]) == 0
    assert float(same.get_frame(0).props["DS9VS_LRError"]) > 0


@pytest.mark.parametrize("network", ["explodes", "sharpens", "casts"])
def test_strength_is_monotone(network: str) -> None:
    """More strength: nearer to the source, nearer to the plain enlargement, further from the network, more limited."""
    truth = textured()
    small = halved(truth)
    plain = small.resize.Lanczos(truth.width, truth.height)
    big = {
        "explodes": exploded(truth),
        "sharpens": core.std.Convolution(truth, [-1, -1, -1, -1, 12, -1, -1, -1, -1]),
        "casts": truth.std.Expr(["x 4000 +", "x 2500 +", "x 2500 -"]),
    }[network]
    held = [guard(big, small, strength=s) for s in (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)]
    errors, limited = (
        [float(clip.get_frame(0).props[name]) for clip in held] for name in ("DS9VS_LRError", "DS9VS_Limited")
    )
    away, moved = [rms(clip, plain) for clip in held], [rms(clip, big) for clip in held]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 2
    assert away == sorted(away, reverse=True)
    assert moved == sorted(moved) and len({round(m, 3) for m in moved}) == 7
    assert limited == sorted(limited) and limited[0] == 0 < limited[-1]


def test_less_contrast_lets_less_pass() -> None:
    truth = textured()
    plain = halved(truth).resize.Lanczos(128, 96)
    away = [rms(guard(exploded(truth), halved(truth), contrast=c), plain) for c in (0, 0.1, 0.3, 1.0)]
    assert away == sorted(away)


def test_back_projection_brings_the_source_nearer() -> None:
    truth = textured()
    small = halved(truth)
    away = [rms(halved(guard(exploded(truth), small, backproject=b)), small) for b in (0.0, 0.5, 1.0)]
    assert away[0] > away[1] > away[2]


@pytest.mark.parametrize(
    ("big", "source"),
    [
        (vs.YUV444P16, vs.YUV420P8),
        (vs.YUV420P10, vs.YUV420P10),
        (vs.YUV444PS, vs.YUV422P8),
        (vs.RGBS, vs.RGB24),
        (vs.RGB48, vs.RGBS),
        (vs.GRAY16, vs.GRAY8),
    ],
)
def test_formats_sizes_and_props_are_kept(big: int, source: int) -> None:
    truth = textured(120, 90)
    named = {} if core.get_video_format(big).color_family != vs.RGB else {"matrix_in": 6}
    upscaled = truth.resize.Bicubic(format=big, **named).std.SetFrameProps(DS9VS_Shot=7)
    small = truth.resize.Bicubic(40, 30, format=source, **named)
    held = guard(upscaled, small)
    assert (held.format.id, held.width, held.height, held.num_frames) == (big, 120, 90, 2)
    with held.get_frame(1) as frame, upscaled.get_frame(1) as given:
        added = {"DS9VS_LRError", "DS9VS_Limited"}
        assert set(frame.props) == set(given.props) | added
        assert frame.props["DS9VS_Shot"] == 7
        assert 0 <= frame.props["DS9VS_Limited"] <= 1
        assert frame.props["DS9VS_LRError"] < 1


def test_pure(assert_pure) -> None:
    def build() -> vs.VideoNode:
        truth = textured(128, 64)
        return guard(exploded(truth), halved(truth))

    assert_pure(build)


def test_tiny_and_odd_sizes_survive() -> None:
    code = """
import vapoursynth as vs
from conftest import photograph
from ds9vs.measures import light, lr_consistency, overshoot
from ds9vs.upscale.guard import guard
for w, h, W, H in ((1, 1, 2, 2), (3, 2, 7, 5), (5, 1, 10, 2), (17, 9, 34, 18), (2, 40, 4, 80), (9, 9, 9, 9)):
    for family in (vs.YUV444P8, vs.RGBS, vs.GRAY16):
        small = vs.core.std.BlankClip(width=w, height=h, format=family, length=1).std.SetFrameProps(_Matrix=6)
        if family != vs.YUV444P8:
            small = small.std.SetFrameProps(_Matrix=0 if family == vs.RGBS else 6)
        big = vs.core.std.BlankClip(small, width=W, height=H).std.CopyFrameProps(small)
        guard(big, small).get_frame(0)
print("whole")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "whole", done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strength": 1.5}, "strength is 1.5"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"sigma": 0}, "sigma is 0"),
        ({"contrast": -1}, "contrast is -1"),
        ({"backproject": 2}, "backproject is 2"),
    ],
)
def test_wrong_options_are_named(options: dict[str, float], said: str) -> None:
    truth = textured(128, 64)
    with pytest.raises(CustomValueError, match=said):
        guard(truth, halved(truth), **options)


def test_clips_that_do_not_belong_together_are_named() -> None:
    truth = textured(128, 64)
    with pytest.raises(CustomValueError, match="less than its source's"):
        guard(halved(truth), truth)
    with pytest.raises(CustomValueError, match="frames"):
        guard(truth, halved(truth)[0])
    with pytest.raises(CustomValueError, match="both must be"):
        guard(truth, halved(truth).resize.Bicubic(format=vs.RGB24))


def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install 'vapoursynth-akarin"):
        guard(textured(128, 64), halved(textured(128, 64)))
