"""steady() calms wobble along the source's motion, and leaves alone what it should not touch."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from conftest import digest, digests, photograph
from ds9vs.files import run
from ds9vs.measures import light, lr_consistency, pool_psnr, psnr, ssimulacra2, warping_error
from ds9vs.simulate import sample_footage
from ds9vs.steady import steady


def texture(width: int = 560, height: int = 420, seed: int = 11, contrast: float = 30) -> vs.VideoNode:
    return photograph(width, height, sharp=0.22, contrast=contrast, seed=seed)


def camera(width: int, height: int, *, length: int = 6, fmt: int = vs.YUV444P16, seed: int = 11) -> vs.VideoNode:
    """A pan over the texture by odd fractions of a sample: the truth at full size."""
    still = texture(seed=seed)
    moved = [
        still.resize.Bicubic(
            width, height, format=fmt, src_left=5 + 2.3 * n, src_top=4 + 1.4 * n, src_width=width, src_height=height
        )
        for n in range(length)
    ]
    return core.std.Splice(moved).std.SetFrameProps(_SARNum=10, _SARDen=11)


def shrunk(truth: vs.VideoNode, width: int, height: int) -> vs.VideoNode:
    return truth.resize.Bicubic(width, height, format=vs.YUV420P8).std.RemoveFrameProps(["_SARNum", "_SARDen"])


def wobbly(truth: vs.VideoNode, variance: float = 16, seed: int = 3) -> vs.VideoNode:
    """The truth with detail that a net invented anew in every picture."""
    return core.noise.Add(truth, var=variance, seed=seed)


def luma(clip: vs.VideoNode, n: int) -> NDArray[np.float64]:
    """In codes of 255."""
    with clip.get_frame(n) as frame:
        return np.array(frame[0]).astype(float) / (1 << (frame.format.bits_per_sample - 8))


def inner(values: list[float]) -> float:
    return float(np.mean(values[1:-1]))


SIZES = [(240, 160, 240, 160), (240, 160, 160, 108), (240, 160, 120, 80), (300, 210, 100, 70), (432, 330, 108, 72)]


class TestCalms:
    @pytest.mark.parametrize(("width", "height", "small_width", "small_height"), SIZES)
    def test_wobble_drops_and_pictures_come_closer_to_the_truth(
        self, width: int, height: int, small_width: int, small_height: int
    ) -> None:
        truth = camera(width, height)
        source, clip = shrunk(truth, small_width, small_height), wobbly(truth)
        calm = steady(clip, source)
        assert inner(warping_error(calm, truth)) < 0.72 * inner(warping_error(clip, truth))
        assert pool_psnr(psnr(calm, truth)) > pool_psnr(psnr(clip, truth)) + 1.2
        assert inner(ssimulacra2(truth, calm)) > inner(ssimulacra2(truth, clip))

    def test_more_strength_is_calmer(self) -> None:
        truth = camera(240, 160)
        source, clip = shrunk(truth, 120, 80), wobbly(truth)
        found = [inner(warping_error(steady(clip, source, strength=s), truth)) for s in (0, 0.3, 0.6, 1)]
        assert found == sorted(found, reverse=True) and found[3] < 0.7 * found[0]

    def test_more_pictures_are_calmer(self) -> None:
        truth = camera(240, 160, length=8)
        source, clip = core.noise.Add(shrunk(truth, 120, 80), var=14, seed=8), wobbly(truth)
        found = [inner(warping_error(steady(clip, source, radius=r), truth)) for r in (1, 2, 3)]
        assert found == sorted(found, reverse=True) and found[2] < 0.85 * found[0]

    def test_noise_of_all_frequencies_falls(self) -> None:
        """Coding errs in whole blocks as well: what is coarser than a block of the disc is calmed with the rest."""
        truth = camera(240, 160)
        coarse = core.noise.Add(truth, var=16, seed=4, xsize=25, ysize=25)
        source = shrunk(coarse, 120, 80)
        errors = [pool_psnr(psnr(one, truth)[1:-1]) for one in (coarse, steady(coarse, source))]
        assert errors[1] > errors[0] + 1

    def test_a_clip_without_wobble_is_hardly_touched(self) -> None:
        truth = camera(240, 160)
        found = psnr(steady(truth, shrunk(truth, 120, 80)), truth)
        assert pool_psnr(found) > 49 and min(found) > 47

    def test_a_still_one_is_not_touched_at_all(self) -> None:
        still = camera(240, 160, length=1).std.Loop(4)
        ten = still.resize.Bicubic(format=vs.YUV420P10)
        assert digests(steady(ten, shrunk(still, 120, 80))) == digests(ten)
        assert min(psnr(steady(still, shrunk(still, 120, 80)), still)) > 84  # half a code of 65535

    def test_the_sources_noise_is_no_motion(self) -> None:
        """A disc's coding noise differs from picture to picture; the detail above it is calmed all the same."""
        truth = camera(240, 160)
        source, clip = core.noise.Add(shrunk(truth, 120, 80), var=14, seed=8), wobbly(truth)
        calm = steady(clip, source)
        assert inner(warping_error(calm, truth)) < 0.75 * inner(warping_error(clip, truth))

    @pytest.mark.parametrize("start", [20, 106, 196])
    def test_real_motion_never_costs_likeness(self, start: int, tmp_path: Path) -> None:
        """SSIMULACRA2 of each picture of film with people and smoke, from MPEG-2: with wobble, and without any."""
        film = core.bs.VideoSource(str(sample_footage()), cachemode=0)[start : start + 6].std.CropAbs(384, 288, 160, 96)
        truth = film.resize.Bicubic(format=vs.YUV444P16).std.SetFrameProps(_Matrix=6)
        with (tmp_path / "raw.y4m").open("wb") as raw:
            truth.resize.Bicubic(192, 144, format=vs.YUV420P8).output(raw, y4m=True)
        coded = tmp_path / "coded.mkv"
        options = ["-c:v", "mpeg2video", "-q:v", "5", "-bf", "2", "-g", "12"]
        run(["ffmpeg", "-v", "error", "-y", "-i", tmp_path / "raw.y4m", *options, coded], "test")
        source = core.bs.VideoSource(str(coded), cachemode=0).std.SetFrameProps(_Matrix=6)
        plain = source.resize.Lanczos(384, 288, format=vs.YUV444P16)
        for clip in (wobbly(plain), plain):
            pairs = list(zip(ssimulacra2(truth, steady(clip, source)), ssimulacra2(truth, clip), strict=True))
            gains = [ours - theirs for ours, theirs in pairs]
            assert np.mean(gains) > 1 and min(gains) >= 0, gains

    def test_stars_that_go_their_own_ways_keep_their_light(self) -> None:
        rng = np.random.default_rng(6)
        paths = rng.uniform((12, 12, -6, -6), (276, 164, 6, 6), (60, 4))
        y, x = np.mgrid[0:176, 0:288]
        black = core.std.BlankClip(format=vs.GRAY16, width=288, height=176, length=6, color=4096)

        def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            f, sky = f.copy(), np.full(y.shape, 16.0)
            for px, py, dx, dy in paths:
                sky += 40 * np.exp(-((x - px - n * dx) ** 2 + (y - py - n * dy) ** 2) / 2)
            np.asarray(f[0])[:] = (np.minimum(sky, 235) * 256).astype(np.uint16)
            return f

        truth = black.std.ModifyFrame(black, paint)
        calm = steady(truth, truth.resize.Bicubic(144, 88))
        assert all(abs(found - 1) < 0.03 for found in light(calm, truth))


class TestLeavesAlone:
    def test_no_strength_is_the_clip_itself(self) -> None:
        clip = camera(240, 160)
        assert steady(clip, shrunk(clip, 120, 80), strength=0) is clip

    def test_chroma_props_and_low_frequencies(self) -> None:
        truth = camera(240, 160)
        source = shrunk(truth, 120, 80)
        clip = wobbly(truth).std.SetFrameProps(DS9VS_LRError=0.5)
        calm = steady(clip, source)
        assert psnr(calm, clip, 1) == psnr(calm, clip, 2) == [math.inf] * 6
        for n in range(6):
            with calm.get_frame(n) as a, clip.get_frame(n) as b:
                assert dict(a.props) == dict(b.props)
        low = zip(lr_consistency(calm, source), lr_consistency(clip, source), strict=True)
        assert all(ours > theirs - 2 and ours > 50 for ours, theirs in low)

    @pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV420P10, vs.YUV422P12, vs.YUV444P16, vs.GRAY8, vs.GRAY16])
    def test_format_size_length_and_rate(self, fmt: int) -> None:
        clip = wobbly(camera(238, 154, fmt=fmt)).std.AssumeFPS(fpsnum=24000, fpsden=1001)
        calm = steady(clip, shrunk(camera(238, 154), 102, 66))
        assert (calm.format, calm.width, calm.height) == (clip.format, 238, 154)
        assert (calm.num_frames, calm.fps) == (clip.num_frames, clip.fps)
        assert psnr(calm, clip)[2] < math.inf

    def test_a_fade_stays_a_fade(self) -> None:
        truth = camera(240, 160)
        fading = core.akarin.Expr([truth], ["x 4096 - 1 N 0.15 * - * 4096 +", ""])
        calm = steady(wobbly(fading, 4), shrunk(fading, 120, 80))
        for n in range(6):
            assert abs(luma(calm, n).mean() - luma(fading, n).mean()) < 0.05

    @pytest.mark.parametrize(
        ("step", "pan", "contrast"), [(12, 0.0, 30), (12, 2.7, 30), (5, 0.0, 30), (24, -4.0, 30), (12, 0.0, 7)]
    )
    def test_what_an_object_uncovers_does_not_ghost(self, step: int, pan: float, contrast: float) -> None:
        """Error against the truth, where the object was one picture before or will be one after: never larger."""
        width, height = 288, 176
        background, thing = texture(contrast=contrast), texture(80, 100, seed=5, contrast=contrast)
        thing = thing.resize.Point(format=vs.YUV444P16)
        block = core.std.BlankClip(format=vs.GRAY16, width=80, height=100, length=1, color=65535)
        pictures, masks = [], []
        for n in range(6):
            behind = background.resize.Bicubic(
                width, height, format=vs.YUV444P16, src_left=30 + pan * n, src_top=5, src_width=width, src_height=height
            )
            edges = {"left": 20 + step * n, "right": width - 100 - step * n, "top": 40, "bottom": height - 140}
            masks.append(block.std.AddBorders(**edges))
            pictures.append(core.std.MaskedMerge(behind, thing.std.AddBorders(**edges), masks[-1], first_plane=True))
        truth, where = core.std.Splice(pictures), core.std.Splice(masks)
        clip = wobbly(truth, contrast / 2)
        calm = steady(clip, shrunk(truth, width // 2, height // 2))
        for n in range(1, 5):
            before, now, after = (luma(where, k) > 0 for k in (n - 1, n, n + 1))
            for region in (before & ~now, after & ~now):
                errors = [np.mean((luma(one, n) - luma(truth, n))[region] ** 2) for one in (calm, clip)]
                assert errors[0] <= errors[1] * 1.01
            assert np.mean((luma(calm, n) - luma(truth, n))[now] ** 2) < 0.85 * contrast / 2


class TestCuts:
    """On each side of a cut the pixels are those of the clip that ends or begins there."""

    def pair(self) -> tuple[vs.VideoNode, vs.VideoNode]:
        truth = camera(240, 160, length=8)
        return wobbly(truth), shrunk(truth, 120, 80)

    def check(self, clip: vs.VideoNode, source: vs.VideoNode, at: int, *, cut: bool) -> None:
        whole = digests(steady(clip, source))
        left = digests(steady(clip[:at], source[:at]))
        right = digests(steady(clip[at:], source[at:]))
        alone = left | {at + n: one for n, one in right.items()}
        assert all((whole[n] == alone[n]) is cut for n in (at - 1, at))
        assert not cut or whole == alone

    def test_none(self) -> None:
        self.check(*self.pair(), 4, cut=False)

    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("values", [{"_SceneChangePrev": 1}, {"_SceneChangeNext": 1}, {"DS9VS_Shot": 7}])
    def test_by_props_of_either_clip(self, which: int, values: dict[str, int]) -> None:
        clips = list(self.pair())
        marked = clips[which]
        if "DS9VS_Shot" in values:
            marked = marked[:4].std.SetFrameProps(DS9VS_Shot=6) + marked[4:].std.SetFrameProps(**values)
        else:
            at = 4 if "_SceneChangePrev" in values else 3
            marked = marked[:at] + marked[at].std.SetFrameProps(**values) + marked[at + 1 :]
        clips[which] = marked
        self.check(clips[0], clips[1], 4, cut=True)

    def test_one_shot_is_no_cut(self) -> None:
        clip, source = self.pair()
        self.check(clip.std.SetFrameProps(DS9VS_Shot=3), source, 4, cut=False)

    def test_found_in_the_pictures(self) -> None:
        clip, source = self.pair()
        truth = camera(240, 160, length=4, seed=99)
        self.check(clip[:4] + wobbly(truth), source[:4] + shrunk(truth, 120, 80), 4, cut=True)


def test_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    truth = camera(200, 140)
    clip, source = wobbly(truth), shrunk(truth, 100, 70)
    assert_pure(lambda: steady(clip, source))


def test_evaluating_asks_for_no_picture() -> None:
    asked: list[int] = []

    def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        asked.append(n)
        return f

    clip, source = camera(240, 160, length=7), shrunk(camera(240, 160, length=7), 120, 80)
    noted = [core.std.ModifyFrame(one, one, note) for one in (clip, source)]
    calm = steady(noted[0], noted[1], radius=2)
    assert asked == []
    with calm.get_frame(3) as frame:
        assert digest(frame)
    assert set(asked) == {1, 2, 3, 4, 5}


def test_one_picture() -> None:
    clip = camera(240, 160, length=1)
    assert steady(clip, shrunk(clip, 120, 80)) is clip


@pytest.mark.parametrize(
    ("size", "small", "options", "says"),
    [
        ((64, 64), (32, 32), {"strength": 1.5}, "strength is 1.5"),
        ((64, 64), (32, 32), {"radius": 0}, "radius is 0; it must be 1 to 6"),
        ((64, 64), (32, 32), {"radius": 7}, "radius is 7"),
        ((64, 64), (32, 32), {"strength": float("nan")}, "must be 0 to 1"),
        ((64, 64), (128, 64), {}, "not larger than the clip"),
        ((64, 64), (30, 32), {}, "at least 32x32"),
        ((64, 64), (32, 32), {"length": 2}, "its source 2"),
        ((64, 64), (32, 32), {"format": vs.YUV444PS}, "8 to 16 bit"),
        ((64, 64), (32, 32), {"format": vs.RGB24}, "8 to 16 bit"),
    ],
)
def test_unsuitable_clips_give_a_sentence(
    size: tuple[int, int], small: tuple[int, int], options: dict[str, Any], says: str
) -> None:
    clip = core.std.BlankClip(format=options.pop("format", vs.YUV444P16), width=size[0], height=size[1], length=3)
    source = core.std.BlankClip(
        format=vs.YUV420P8, width=small[0], height=small[1], length=options.pop("length", 3), keep=True
    )
    with pytest.raises(CustomValueError, match=says):
        steady(clip, source, **options)


def test_missing_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
    clip = core.std.BlankClip(format=vs.YUV444P16, width=64, height=64, length=3)
    with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-mvutensils==9'"):
        steady(clip, clip)


ODD = """
import vapoursynth as vs
from vapoursynth import core
from ds9vs.steady import steady

for small in ((32, 32), (33, 47), (40, 36), (90, 34)):
    for scale in (1, 1.21, 2, 2.1, 3, 4.5):
        source = core.std.BlankClip(format=vs.GRAY8, width=small[0], height=small[1], length=3)
        clip = source.resize.Bicubic(int(small[0] * scale), int(small[1] * scale + 1))
        calm = steady(clip, source)
        for frame in calm.frames(close=True):
            assert (frame.width, frame.height) == (clip.width, clip.height)
print("alive")
"""


def test_no_size_crashes_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", ODD], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alive", done.stderr[-2000:]
