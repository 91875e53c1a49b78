"""Measures: right on what is known by construction, monotone in damage, clear about unsuitable clips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from conftest import photograph
from ds9vs import measures
from ds9vs.measures import (
    comb,
    flicker,
    light,
    lr_consistency,
    overshoot,
    pool_psnr,
    psnr,
    ssim,
    ssimulacra2,
    warping_error,
    xpsnr,
)

PAIRS = (psnr, ssim, ssimulacra2, xpsnr, warping_error, overshoot, light)


def luma(clip: vs.VideoNode, n: int) -> NDArray[Any]:
    with clip.get_frame(n) as frame:
        return np.array(frame[0])


def picture() -> vs.VideoNode:
    return photograph(224, 160, sharp=0.2, contrast=35)


def pan(length: int = 6, step: float = 2.5, fmt: int = vs.YUV420P8) -> vs.VideoNode:
    still = picture()
    moved = [
        still.resize.Bicubic(160, 112, src_left=6 + step * n, src_top=4 + n, src_width=160, src_height=112)
        for n in range(length)
    ]
    return core.std.Splice(moved).resize.Bicubic(format=fmt)


def noisy(clip: vs.VideoNode, variance: float) -> vs.VideoNode:
    return core.noise.Add(clip, var=variance, seed=4)


class TestAgainstTruth:
    def test_same_pictures_are_perfect(self) -> None:
        clip = pan(3)
        assert psnr(clip, clip) == [math.inf] * 3
        assert xpsnr(clip, clip) == [math.inf] * 3
        assert all(value > 99.9 for value in ssimulacra2(clip, clip))

    @pytest.mark.parametrize("measure", [psnr, ssim, ssimulacra2, xpsnr])
    def test_more_noise_is_worse(self, measure: Callable[..., list[float]]) -> None:
        clip = pan(2)
        means = [np.mean(measure(clip, noisy(clip, variance))) for variance in (1, 8, 64)]
        assert means[0] > means[1] > means[2]

    @pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV420P16, vs.YUV444PS, vs.RGB24, vs.GRAY10])
    def test_psnr_is_numpys(self, fmt: int) -> None:
        clip = pan(2).resize.Bicubic(format=fmt)
        other = core.std.BoxBlur(clip)
        form = clip.format
        peak = 1.0 if form.sample_type == vs.FLOAT else 2.0**form.bits_per_sample - 1
        for n, value in enumerate(psnr(clip, other)):
            error = np.mean((luma(clip, n).astype(float) - luma(other, n)) ** 2)
            assert value == pytest.approx(10 * math.log10(peak**2 / error), abs=1e-3)

    def test_ssim_is_the_papers(self) -> None:
        """Equation 13 by NumPy, away from the borders, which plugins mirror and NumPy does not."""
        clip, other = pan(1), noisy(pan(1), 40)
        x, y = (luma(one, 0).astype(float) for one in (clip, other))
        weights = np.exp(-((np.arange(-5, 6) / 1.5) ** 2) / 2)
        window = np.outer(weights, weights) / weights.sum() ** 2

        def smooth(plane: NDArray[Any]) -> NDArray[Any]:
            return np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(plane, (11, 11)), window)

        mx, my = smooth(x), smooth(y)
        covariance, spread = smooth(x * y) - mx * my, smooth(x * x) - mx**2 + smooth(y * y) - my**2
        c1, c2 = 6.5025, 58.5225
        local = (2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (spread + c2))
        assert ssim(clip, other)[0] == pytest.approx(local.mean(), abs=0.002)

    def test_only_what_outshines_its_neighbourhood_overshoots(self) -> None:
        clip = pan(1)
        assert overshoot(clip, clip) == [0.0]
        assert overshoot(clip.std.BoxBlur(), clip) == [0.0], "a soft picture outshines nothing"
        halo = core.akarin.Expr([clip], ["x X 8 % 0 = Y 8 % 0 = and 30 0 ? +", ""])
        rare = core.akarin.Expr([clip], ["X 80 = Y 60 = and 255 x ?", ""])
        assert overshoot(halo, clip)[0] > 20
        assert overshoot(rare, clip)[0] == 0, "one pixel of 18,000 is beyond the percentile"
        assert overshoot(rare, clip, percentile=100)[0] > 50
        with pytest.raises(CustomValueError, match="percentile is 101"):
            overshoot(clip, clip, percentile=101)

    def test_the_light_of_stars_is_a_sum(self) -> None:
        stars = core.std.BlankClip(format=vs.YUV420P8, width=96, height=64, length=1, color=[16, 128, 128])
        stars = core.akarin.Expr([stars], ["X 24 % 10 = Y 24 % 10 = and 216 x ?", ""])
        soft = core.std.Convolution(stars, [1, 2, 1, 2, 4, 2, 1, 2, 1], planes=0)
        assert light(stars, stars) == [1.0]
        assert light(soft, stars)[0] == pytest.approx(1, abs=0.02), "spread is not lost"
        assert light(core.akarin.Expr([stars], ["x 16 - 0.8 * 16 +", ""]), stars)[0] == pytest.approx(0.8, abs=0.01)
        grown = stars.std.Maximum(planes=0)
        assert light(grown, stars)[0] == pytest.approx(9, abs=0.1)
        dark = stars.std.Minimum(planes=0)
        assert light(dark, stars)[0] == 0 and light(stars, dark) == [1.0]

    def test_planes_are_told_apart(self) -> None:
        clip = pan(1)
        tinted = core.std.Expr([clip], ["", "", "x 3 +"])
        assert psnr(clip, tinted, 1) == [math.inf] and psnr(clip, tinted, 2)[0] < 40

    def test_pooling_is_over_squared_errors(self) -> None:
        assert pool_psnr([40, math.inf]) == pytest.approx(40 + 10 * math.log10(2))
        assert pool_psnr([math.inf]) == math.inf

    def test_a_broken_ssimulacra2_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        measures._ssimulacra2_tested.cache_clear()
        monkeypatch.setattr(measures, "_props", lambda clip, name: [92.6] * clip.num_frames)
        with pytest.raises(CustomRuntimeError, match=r"92\.6 for identical"):
            ssimulacra2(pan(1), pan(1))

    def test_the_matrix_is_not_guessed(self) -> None:
        clip = pan(1).std.RemoveFrameProps("_Matrix")
        with pytest.raises(CustomValueError, match="_Matrix=6"):
            ssimulacra2(clip, clip)

    @pytest.mark.parametrize("measure", PAIRS)
    def test_clips_that_differ_give_a_sentence(self, measure: Callable[..., list[float]]) -> None:
        clip = pan(3)
        for other in (clip[:2], clip.resize.Bicubic(144), clip.resize.Bicubic(format=vs.YUV420P10)):
            with pytest.raises(CustomValueError, match="The clips differ"):
                measure(clip, other)

    @pytest.mark.parametrize("measure", [*PAIRS, lr_consistency, flicker])
    def test_changing_sizes_give_a_sentence(self, measure: Callable[..., list[float]]) -> None:
        mixed = core.std.Splice([pan(1), pan(1).resize.Bicubic(144)], mismatch=True)
        with pytest.raises(CustomValueError, match="changes its format or size"):
            measure(mixed, mixed)

    def test_unsuitable_formats_give_a_sentence(self) -> None:
        odd = core.std.BlankClip(format=vs.GRAY8, width=33, height=17, length=2)
        with pytest.raises(CustomValueError, match="even width"):
            xpsnr(odd, odd)
        with pytest.raises(CustomValueError, match="no plane 1"):
            psnr(odd, odd, 1)
        tiny = core.std.BlankClip(format=vs.GRAY8, width=12, height=64, length=2)
        with pytest.raises(CustomValueError, match="16x16"):
            warping_error(tiny, tiny)
        with pytest.raises(CustomValueError, match="at least 8"):
            comb(core.std.BlankClip(format=vs.GRAY8, width=64, height=4, length=2))
        with pytest.raises(CustomValueError, match="YUV or GRAY"):
            comb(core.std.BlankClip(format=vs.RGB24, width=64, height=64, length=2))


class TestConsistency:
    @pytest.mark.parametrize("size", [(320, 224), (480, 336), (400, 280)])
    def test_a_plain_enlargement_keeps_low_frequencies(self, size: tuple[int, int]) -> None:
        source = pan(2)
        assert min(lr_consistency(source.resize.Spline36(*size), source)) > 45
        assert lr_consistency(source, source) == [math.inf] * 2

    def test_fine_detail_is_free_but_a_drift_is_not(self) -> None:
        source = pan(2)
        big = source.resize.Spline36(320, 224)
        checks = core.akarin.Expr([big], ["x X Y + 2 % 16 * 8 - +", ""])
        drifted = core.std.Expr([big], ["x 3 +", ""])
        assert min(lr_consistency(checks, source)) > 45 > max(lr_consistency(drifted, source))

    def test_monotone_in_an_invention(self) -> None:
        source = pan(1)
        big = source.resize.Spline36(320, 224)
        found = [lr_consistency(waves(big, amplitude), source)[0] for amplitude in (1, 4, 16)]
        assert found[0] > found[1] > found[2]

    def test_wrong_sizes_give_a_sentence(self) -> None:
        source = pan(2)
        with pytest.raises(CustomValueError, match="smaller than its source"):
            lr_consistency(source.resize.Bicubic(80, 56), source)
        with pytest.raises(CustomValueError, match="frames"):
            lr_consistency(source[:1], source)
        with pytest.raises(CustomValueError, match="sigma"):
            lr_consistency(source, source, sigma=9)


def waves(clip: vs.VideoNode, amplitude: float) -> vs.VideoNode:
    return core.akarin.Expr([clip], [f"x X 12 / sin {amplitude} * +", ""])


class TestTime:
    def test_a_true_pan_does_not_warp(self) -> None:
        clip = pan()
        found = warping_error(clip, clip)
        assert found[0] == 0 and max(found) < 0.6

    def test_wobble_warps_more_and_more(self) -> None:
        clip = pan()
        found = [np.mean(warping_error(noisy(clip, variance), clip)) for variance in (0.01, 9, 36)]
        assert found[0] < found[1] < found[2]
        assert found[2] == pytest.approx(6 * math.sqrt(2), rel=0.25)

    def test_what_is_hidden_does_not_count(self) -> None:
        clip = pan(6).resize.Bicubic(format=vs.GRAY8)
        bar = core.std.BlankClip(clip, width=24, height=112, color=220)
        covered = core.std.Splice(
            [
                core.std.StackHorizontal(
                    [clip[n].std.Crop(right=160 - 20 - 12 * n), bar[n], clip[n].std.Crop(left=44 + 12 * n)]
                )
                for n in range(6)
            ]
        )
        assert max(warping_error(covered, covered)) < 1.5

    def test_nothing_is_compared_across_a_cut(self) -> None:
        clip = pan(4)
        cut = clip[:2] + core.std.BlankClip(clip, length=2, color=[250, 128, 128])
        found = warping_error(noisy(cut, 16), cut)
        assert found[2] == 0 < min(found[1], found[3])

    def test_depth_does_not_matter(self) -> None:
        clip = pan(3)
        deep = [c.resize.Point(format=vs.YUV420P16) for c in (noisy(clip, 9), clip)]
        assert warping_error(*deep) == pytest.approx(warping_error(noisy(clip, 9), clip), rel=0.02)

    def test_one_frame(self) -> None:
        assert warping_error(pan(1), pan(1)) == [0.0]
        assert flicker(pan(1), pan(1)) == [1.0]

    def test_still_areas_that_flicker(self) -> None:
        still = picture().std.Loop(5).resize.Bicubic(format=vs.YUV420P8)
        source = noisy(still, 1)
        big = source.resize.Bicubic(still.width * 2, still.height * 2)
        assert np.mean(flicker(source, source)) == pytest.approx(1)
        assert np.mean(flicker(big, source)) < 1.05
        restless = [np.mean(flicker(noisy(big, variance), source)) for variance in (4, 25)]
        assert 1.3 < restless[0] < restless[1]

    def test_motion_is_not_flicker(self) -> None:
        clip = pan(4, step=9)
        assert flicker(clip.resize.Bicubic(320, 224), clip) == [1.0] * 4


class TestComb:
    def test_woven_fields_comb_and_pictures_do_not(self) -> None:
        truth = pan(8, step=6, fmt=vs.GRAY8)
        fields = truth.std.SeparateFields(True).std.SelectEvery(4, [0, 3])
        tape = fields.std.DoubleWeave(True).std.SelectEvery(2, 0)
        assert min(comb(tape)) > 20 * max(comb(truth)) + 0.5

    @pytest.mark.parametrize("fmt", [vs.GRAY16, vs.GRAYS, vs.YUV420P10])
    def test_depth_does_not_matter(self, fmt: int) -> None:
        lines = core.akarin.Expr([pan(1, fmt=vs.GRAY8)], "x Y 2 % 20 * +")
        assert comb(lines.resize.Point(format=fmt)) == pytest.approx(comb(lines), rel=0.01)

    def test_faster_motion_combs_more(self) -> None:
        def woven(step: float) -> float:
            truth = pan(4, step=step, fmt=vs.GRAY8)
            fields = truth.std.SeparateFields(True).std.SelectEvery(4, [0, 3])
            return comb(fields.std.DoubleWeave(True).std.SelectEvery(2, 0))[0]

        assert woven(1) < woven(3) < woven(6)


@pytest.mark.parametrize(
    ("measure", "package"), [(ssimulacra2, "vszip"), (xpsnr, "vszip"), (warping_error, "mvutensils"), (psnr, "akarin")]
)
def test_missing_plugins(measure: Callable[..., list[float]], package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match=f"pip install 'vapoursynth-{package}"):
        measure(pan(1), pan(1))
