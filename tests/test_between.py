"""between() makes the picture of an instant where motion can be trusted, and leaves real pictures alone elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from conftest import digests, photograph
from ds9vs.between import between, blend
from ds9vs.measures import psnr, ssimulacra2

WIDTH, HEIGHT = 240, 160
SPEED = (6.6, 2.4)
"""Samples from one picture to the next."""


def view(time: float, fmt: int = vs.YUV420P8, *, seed: int = 11, speed: tuple[float, float] = SPEED) -> vs.VideoNode:
    """What a camera that moves over a photograph sees at a time."""
    still = photograph(400, 300, sharp=0.22, contrast=30, seed=seed)
    left, top = 40.3 + speed[0] * time, 30.2 + speed[1] * time
    window = {"src_left": left, "src_top": top, "src_width": WIDTH, "src_height": HEIGHT}
    return still.resize.Bicubic(WIDTH, HEIGHT, format=fmt, **window)


def over(below: vs.VideoNode, above: vs.VideoNode, left: int, top: int = 48, size: int = 48) -> vs.VideoNode:
    """A square of one picture before another, its left edge at an even sample."""
    patch = above.std.CropAbs(size, size, 0, 0)
    mask = core.std.BlankClip(patch, format=vs.GRAY8, color=255)
    wide = {"left": left, "right": WIDTH - size - left, "top": top, "bottom": HEIGHT - size - top}
    return below.std.MaskedMerge(patch.std.AddBorders(**wide), mask.std.AddBorders(**wide), first_plane=True)


def luma(clip: vs.VideoNode, n: int = 0) -> NDArray[np.float64]:
    with clip.get_frame(n) as frame:
        return np.array(frame[0]).astype(float)


def props(clip: vs.VideoNode, n: int = 0) -> dict[str, object]:
    with clip.get_frame(n) as frame:
        return dict(frame.props)


def refused(clip: vs.VideoNode, real: vs.VideoNode) -> bool:
    """Whether each picture is the real one, bit for bit, and says so."""
    made = any("DS9VS_Between" in props(clip, n) for n in range(clip.num_frames))
    return digests(clip) == digests(real) and not made


class TestMakes:
    @pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
    def test_a_moving_camera_is_seen_where_it_was(self, time: float) -> None:
        a, b, truth = view(0), view(1), view(time)
        made = between(a, b, time=time)
        real = a if time <= 0.5 else b
        ours, nearest, mixed = (psnr(clip, truth)[0] for clip in (made, real, blend(a, b, time=time)))
        assert ours > nearest + 9 and ours > mixed + 8 and ours > 38
        assert ssimulacra2(truth, made)[0] > 65 > ssimulacra2(truth, real)[0]
        assert props(made)["DS9VS_Between"] == time and props(made)["DS9VS_Done"] == "between"
        assert float(str(props(made)["DS9VS_Trust"])) > 0.97

    def test_chroma_moves_too(self) -> None:
        made, truth = between(view(0), view(1)), view(0.5)
        assert all(psnr(made, truth, p)[0] > psnr(view(0), truth, p)[0] + 5 for p in (1, 2))

    @pytest.mark.parametrize("time", [0.25, 0.5])
    def test_what_passes_before_something_else_hides_it_cleanly(self, time: float) -> None:
        def scene(time: float) -> vs.VideoNode:
            above = photograph(96, 96, sharp=0.2, contrast=40, seed=5).resize.Bicubic(format=vs.YUV420P8)
            return over(view(time, speed=(-4, 0)), above, 80 + int(8 * time))

        a, b, truth = (scene(t) for t in (0, 1, time))
        made = between(a, b, time=time)
        assert psnr(made, truth)[0] > max(psnr(a, truth)[0], psnr(blend(a, b, time=time), truth)[0]) + 5
        square = np.s_[52:92, 84 + int(8 * time) : 124 + int(8 * time)]
        assert np.abs(luma(made)[square] - luma(truth)[square]).mean() < 2

    @pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.GRAY8, vs.GRAY16, vs.YUV444PS])
    def test_every_format(self, fmt: int) -> None:
        a, b, truth = (view(time, fmt).std.SetFrameProps(Mine=1) for time in (0, 1, 0.5))
        made = between(a, b)
        assert made.format == a.format and props(made)["Mine"] == 1
        eight = [clip.resize.Point(format=vs.GRAY8) if fmt != vs.GRAY8 else clip for clip in (made, truth)]
        assert psnr(eight[0], eight[1])[0] > 38


class TestRefuses:
    def test_a_cut(self) -> None:
        a, b = view(0), view(0, seed=4)
        assert refused(between(a, b), a) and refused(between(a, b, time=0.75), b)
        assert float(str(props(between(a, b))["DS9VS_Trust"])) < 0.8

    def test_a_flash(self) -> None:
        a, b = view(0), view(1).akarin.Expr(["x 16 - 1.7 * 16 +", ""])
        assert refused(between(a, b), a)

    def test_a_cut_where_the_caller_says_what_to_show(self) -> None:
        a, b = view(0), view(0, seed=4)
        assert refused(between(a, b, fallback=b), b)

    def test_what_stands_still_around_moving_letters(self) -> None:
        still = view(0)
        a, b = (
            still.text.Text("DEEP SPACE", 7).std.Crop(0, 0, shift, 8 - shift).std.AddBorders(0, 0, 4, 4)
            for shift in (0, 8)
        )
        a, b = (over(still, clip.std.CropAbs(WIDTH, 160), 96) for clip in (a, b))
        made = between(a, b)
        far = np.ones((HEIGHT, WIDTH), bool)
        far[48 - 16 : 96 + 16, 96 - 16 : 144 + 16] = False
        assert np.array_equal(luma(made)[far], luma(a)[far])

    def test_grain_alone_is_no_motion(self) -> None:
        still = view(0, vs.GRAY8).std.Loop(2).noise.Add(var=9, seed=1)
        a, b = still[0], still[1]
        changed = np.abs(luma(between(a, b)) - luma(a))
        assert changed.mean() < 0.25 * np.abs(luma(a) - luma(b)).mean()

    def test_a_code_here_and_there(self) -> None:
        a = view(0, vs.GRAY8)
        b = a.akarin.Expr("X 7 * Y 13 * + 29 % 3 < x 1 - x ?")
        assert digests(between(a, b)) == digests(a)

    def test_outside_the_mask(self) -> None:
        a, b = view(0), view(1)
        where = core.std.BlankClip(a, format=vs.GRAY8, width=WIDTH // 2, color=255).std.AddBorders(right=WIDTH // 2)
        made = between(a, b, where=where)
        assert np.array_equal(luma(made)[:, WIDTH // 2 :], luma(a)[:, WIDTH // 2 :])
        assert not np.array_equal(luma(made)[:, : WIDTH // 2], luma(a)[:, : WIDTH // 2])


class TestMake:
    def test_what_is_made_well_is_taken(self) -> None:
        a, b, truth = view(0), view(1), view(0.5)
        assert psnr(between(a, b, make=lambda x, y, t: truth), truth)[0] > 45

    def test_double_images_are_not(self) -> None:
        speed = (14.0, 6.0)
        a, b = view(0, speed=speed), view(1, speed=speed)
        doubled = between(a, b, make=lambda x, y, t: blend(x, y, time=t))
        assert refused(doubled, a) or psnr(doubled, a)[0] > psnr(blend(a, b), a)[0] + 6

    def test_another_size_is_refused(self) -> None:
        with pytest.raises(CustomValueError, match="make must return"):
            between(view(0), view(1), make=lambda x, y, t: x.std.Crop(2))


class TestContracts:
    def test_pure(self, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
        a, b = (core.std.Splice([view(n + time) for n in range(5)]) for time in (0, 1))
        assert_pure(lambda: between(a, b, time=0.75))

    def test_evaluating_asks_for_no_picture(self) -> None:
        asked: list[int] = []

        def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            asked.append(n)
            return f

        a = view(0).std.Loop(9)
        clip = between(a.std.ModifyFrame(a, note), view(1).std.Loop(9))
        assert asked == []
        clip.get_frame(5).close()
        assert set(asked) == {5}

    def test_wrong_arguments_get_a_sentence(self) -> None:
        a = view(0)
        for wrong, says in (
            (lambda: between(a, a, time=1.0), "between 0 and 1"),
            (lambda: between(a, a.std.Crop(8)), "one format, size and length"),
            (lambda: between(a, a.std.Loop(2)), "one format, size and length"),
            (lambda: between(a.resize.Point(format=vs.RGB24), a.resize.Point(format=vs.RGB24)), "nearest"),
            (lambda: between(*[a.std.CropAbs(16, 8)] * 2), "16x16"),
            (lambda: blend(a, a, time=0.0), "between 0 and 1"),
        ):
            with pytest.raises(CustomValueError, match=says):
                wrong()

    @pytest.mark.parametrize("plugin", ["mvu.FlowFPS", "akarin.PropExpr"])
    def test_a_missing_plugin_is_named(self, plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
        import ds9vs.plugins

        found = ds9vs.plugins._function
        monkeypatch.setattr(ds9vs.plugins, "_function", lambda name: None if name == plugin else found(name))
        with pytest.raises(CustomRuntimeError, match=r"pip install 'vapoursynth-"):
            between(view(0), view(1))
