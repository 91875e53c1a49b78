"""Every field becomes a picture: timing, parity, props and purity; QTGMC as called by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from conftest import digests
from ds9vs.deinterlace import QTGMCOptions, deinterlace, qtgmc
from ds9vs.presets import load_toml, preset_names, preset_path

FORMATS = (vs.YUV420P8, vs.YUV420P10, vs.YUV420P16, vs.GRAY8)


def clip_of(pictures: list[NDArray[np.uint8]], fps: Fraction = Fraction(60000, 1001)) -> vs.VideoNode:
    """GRAY8 clip of arrays."""
    height, width = pictures[0].shape
    blank = core.std.BlankClip(
        format=vs.GRAY8, width=width, height=height, length=len(pictures), fpsnum=fps.numerator, fpsden=fps.denominator
    )

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = pictures[n]
        return out

    return core.std.ModifyFrame(blank, blank, fill)


def luma(clip: vs.VideoNode, n: int) -> NDArray[np.uint8]:
    with clip.get_frame(n) as frame:
        return np.array(frame[0])


def scene(width: int = 128, height: int = 96, length: int = 12) -> vs.VideoNode:
    """60p truth: a smooth texture that pans by 3 and 1 samples a field, with a bar that moves against it."""
    rng = np.random.default_rng(3)
    wide = rng.integers(40, 200, (height // 4 + 40, width // 4 + 40)).astype(np.uint8)
    texture = luma(
        clip_of([wide]).resize.Bicubic(width=(width // 4 + 40) * 4, height=(height // 4 + 40) * 4, filter_param_a=0), 0
    )
    pictures = []
    for n in range(length):
        picture = texture[n : n + height, 3 * n : 3 * n + width].copy()
        picture[20:44, 90 - 4 * n : 102 - 4 * n] = 225
        pictures.append(picture)
    return clip_of(pictures)


def weave(truth: vs.VideoNode, tff: bool = True, fmt: int = vs.GRAY8) -> vs.VideoNode:
    """60p to a tape whose frame n holds the fields of pictures 2n and 2n + 1."""
    clip = truth if fmt == vs.GRAY8 else truth.resize.Bicubic(format=fmt, matrix_s="170m")
    fields = clip.std.SeparateFields(tff).std.SelectEvery(4, [0, 3]).std.DoubleWeave(tff).std.SelectEvery(2, 0)
    return fields.std.SetFrameProps(_SARNum=10, _SARDen=11, _Matrix=6, DS9VS_Repeat=0, _Combed=1)


def psnr(a: vs.VideoNode, b: vs.VideoNode, skip: int = 2) -> float:
    error = [
        np.mean((luma(a, n).astype(float) - luma(b, n))[8:-8, 8:-8] ** 2) for n in range(skip, a.num_frames - skip)
    ]
    return float(10 * np.log10(255**2 / np.mean(error)))


def assert_true_props(bobbed: vs.VideoNode, tape: vs.VideoNode, rate: str) -> None:
    factor = 2 if rate == "double" else 1
    assert bobbed.num_frames == factor * tape.num_frames
    assert bobbed.fps == factor * tape.fps
    assert (bobbed.format, bobbed.width, bobbed.height) == (tape.format, tape.width, tape.height)
    for frame in bobbed.frames(close=True):
        assert frame.props["_FieldBased"] == 0
        assert "_Field" not in frame.props and "_Combed" not in frame.props
        assert Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"]) == 1 / (factor * tape.fps)
        assert (frame.props["_SARNum"], frame.props["_SARDen"], frame.props["_Matrix"]) == (10, 11, 6)
        assert frame.props["DS9VS_Repeat"] == 0
        assert not [key for key in frame.props if key.lower().startswith(("mv", "psnr", "planestats"))]


class TestFast:
    @pytest.mark.parametrize("fmt", FORMATS)
    @pytest.mark.parametrize("rate", ["double", "single"])
    def test_truth_in_props(self, fmt: int, rate: str) -> None:
        tape = weave(scene(), fmt=fmt)
        assert_true_props(deinterlace(tape, rate=rate), tape, rate)  # type: ignore[arg-type]

    @pytest.mark.parametrize("tff", [True, False])
    def test_each_picture_keeps_the_lines_of_its_field(self, tff: bool) -> None:
        truth = scene()
        bobbed = deinterlace(weave(truth, tff).std.SetFieldBased(0), tff=tff)
        for n in range(truth.num_frames):
            lines = slice((n + (not tff)) % 2, None, 2)
            assert np.array_equal(luma(bobbed, n)[lines], luma(truth, n)[lines])
        assert psnr(bobbed, truth) > 30

    def test_argument_wins_over_the_flag(self) -> None:
        truth = scene()
        flagged = weave(truth, tff=False).std.SetFieldBased(2)
        assert np.array_equal(luma(deinterlace(flagged, tff=False), 4), luma(deinterlace(weave(truth, False)), 4))

    def test_single_is_every_second(self) -> None:
        tape = weave(scene())
        double, single = deinterlace(tape), deinterlace(tape, rate="single")
        assert all(np.array_equal(luma(double, 2 * n), luma(single, n)) for n in range(tape.num_frames))

    def test_scene_changes_stay_at_the_outer_edges(self) -> None:
        tape = weave(scene()).std.SetFrameProps(_SceneChangePrev=1, _SceneChangeNext=1)
        props = [dict(frame.props) for frame in deinterlace(tape).frames(close=True)]
        assert ["_SceneChangePrev" in p for p in props[:4]] == [True, False, True, False]
        assert ["_SceneChangeNext" in p for p in props[:4]] == [False, True, False, True]

    def test_variable_rate_halves_every_duration(self) -> None:
        tape = weave(scene())
        mixed = core.std.Splice([tape[:2], tape[2:].std.AssumeFPS(fpsnum=25)])
        bobbed = deinterlace(mixed, tff=True)
        found = [Fraction(f.props["_DurationNum"], f.props["_DurationDen"]) for f in bobbed.frames(close=True)]
        assert found == [Fraction(1001, 60000)] * 4 + [Fraction(1, 50)] * 8

    def test_pure(self, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
        tape = weave(scene(length=8))
        assert_pure(lambda: deinterlace(tape))

    def test_missing_plugin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
        with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-bwdif"):
            deinterlace(weave(scene()))


@pytest.mark.parametrize(
    ("fmt", "width", "height", "says"),
    [
        (vs.YUV420P8, 64, 50, "multiple of 4"),
        (vs.GRAY8, 64, 47, "multiple of 2"),
        (vs.YUV420P8, 64, 8, "at least"),
        (vs.GRAY8, 4, 64, "at least"),
        (vs.RGB24, 64, 64, "YUV or GRAY"),
        (vs.GRAY32, 64, 64, "at most 16 bit|8 to 16 bit"),
        (vs.GRAYH, 64, 64, "8 to 16 bit"),
    ],
)
@pytest.mark.parametrize("func", [deinterlace, qtgmc])
def test_unsuitable_clips_give_a_sentence(
    func: Callable[..., vs.VideoNode], fmt: int, width: int, height: int, says: str
) -> None:
    with pytest.raises(CustomValueError, match=says):
        func(core.std.BlankClip(format=fmt, width=width, height=height, length=3), tff=True)


@pytest.mark.parametrize("func", [deinterlace, qtgmc])
def test_unknown_field_order_is_not_guessed(func: Callable[..., vs.VideoNode]) -> None:
    with pytest.raises(CustomValueError, match="tff=True"):
        func(scene())
    with pytest.raises(CustomValueError, match="double"):
        func(weave(scene()), rate="triple")


@pytest.mark.parametrize("func", [deinterlace, qtgmc])
def test_changing_formats_give_a_sentence(func: Callable[..., vs.VideoNode]) -> None:
    mixed = core.std.Splice(
        [core.std.BlankClip(width=64, height=64, length=1), core.std.BlankClip(width=32, height=64, length=1)],
        mismatch=True,
    )
    with pytest.raises(CustomValueError, match="changes"):
        func(mixed, tff=True)


def by_hand(preset: str, tape: vs.VideoNode) -> vs.VideoNode:
    """QTempGaussMC with the settings of a preset, written out anew from QTGMC's documentation."""
    from vsaa import NNEDI3
    from vsdeinterlace import QTempGaussMC as Q
    from vsdenoise import MVToolsPreset, SearchMode
    from vskernels import Catrom

    def motion(search: SearchMode, radius: int, pel: int, pel_search: int, chroma: bool) -> MVToolsPreset:
        args = {"search": search, "searchparam": radius, "pelsearch": pel_search, "mvlambda": 0}
        return MVToolsPreset(pel=pel, chroma=chroma, analyze_args={"blksize": 16, "overlap_div": 2, **args})

    very_slow = {
        "analyze_preset": motion(SearchMode.HEXAGON, 2, 2, 2, True),
        "analyze_refine": 0,
        "basic_bobber": NNEDI3(nsize=1, nns=2, qual=1, pscrn=2),
        "final_tr": 2,
    }
    settings: dict[str, dict[str, Any]] = {
        "default": {**very_slow, "source_match_mode": Q.SourceMatchMode.TWICE_REFINED},
        "veryslow": very_slow,
        "slow": {
            **very_slow,
            "analyze_preset": motion(SearchMode.HEXAGON, 2, 2, 2, False),
            "basic_bobber": NNEDI3(nsize=1, nns=1, qual=1, pscrn=2),
            "basic_tr": 1,
            "final_tr": 1,
            "back_blend_sigma": 0,
        },
        "faster": {
            "prefilter_tr": 1,
            "prefilter_mask_shimmer_args": {"erosion_distance": 0},
            "prefilter_postprocess": Q.SearchPostProcess.GAUSSBLUR,
            "analyze_preset": motion(SearchMode.HEXAGON, 2, 1, 1, False),
            "analyze_blksize": 32,
            "analyze_refine": 0,
            "basic_bobber": NNEDI3(nsize=4, nns=0, qual=1, pscrn=2),
            "basic_tr": 1,
            "final_tr": 0,
            "back_blend_sigma": 0,
        },
        "draft": {
            "prefilter_tr": 0,
            "prefilter_mask_shimmer_args": {"erosion_distance": 0},
            "prefilter_strength": False,
            "analyze_preset": motion(SearchMode.DIAMOND, 1, 1, 1, False),
            "analyze_blksize": 32,
            "analyze_overlap": 4,
            "analyze_refine": 0,
            "basic_bobber": Catrom(),
            "basic_tr": 1,
            "sharpen_strength": 0,
            "final_tr": 0,
            "final_mask_shimmer_args": {"erosion_distance": 0},
        },
    }
    return Q(**settings[preset]).bob(tape, tff=True)


def grainy(fmt: int = vs.GRAY8, length: int = 10) -> vs.VideoNode:
    """Truth with grain, a cut, and chroma where the format has it: each setting finds something to do."""
    clip = core.std.Expr([detailed(length, jerky=True).std.CropAbs(96, 64)], "x 128 - 0.25 * 110 +")
    moving = core.std.Splice([clip[:7], clip[7:].std.FlipHorizontal().std.Expr("x 3 +")])
    return core.noise.Add(moving.std.SetFrameProps(_Matrix=6).resize.Bicubic(format=fmt), var=4, uvar=30, seed=5)


ALTERED: dict[str, tuple[Any, dict[str, Any]]] = {
    "prefilter_tr": (0, {}),
    "prefilter_erosion": (0, {}),
    "prefilter_blur": ("none", {}),
    "block_size": (8, {}),
    "overlap": (4, {}),
    "refine": (1, {}),
    "search": ("diamond", {"search_radius": 1}),
    "search_radius": (8, {"search": "exhaustive"}),
    "pel": (1, {}),
    "pel_search": (1, {"search": "exhaustive"}),
    "chroma_motion": (False, {}),
    "coherence": (5000, {}),
    "scene_sad": (1, {}),
    "scene_share": (0.0, {}),
    "bobber": ("catrom", {}),
    "nn_size": (4, {}),
    "nn_neurons": (0, {}),
    "nn_quality": (2, {}),
    "nn_prescreen": (1, {}),
    "basic_tr": (1, {}),
    "basic_thsad": (100, {}),
    "basic_erosion": (4, {}),
    "source_match": (1, {}),
    "source_match_tr": (2, {"source_match": 3}),
    "source_match_similarity": (1.0, {"source_match": 1}),
    "source_match_enhance": (0.0, {"source_match": 2}),
    "lossless": ("postsmooth", {}),
    "lossless_anti_comb": (False, {"lossless": "postsmooth"}),
    "sharpen_mode": ("unsharp", {}),
    "sharpness": (0.3, {}),
    "sharpen_clamp": (0.0, {}),
    "sharpen_thin": (1.0, {}),
    "back_blend": ("both", {}),
    "back_blend_sigma": (0.0, {}),
    "sharpen_limit": ("spatial_after", {}),
    "sharpen_limit_radius": (0, {}),
    "sharpen_limit_overshoot": (10.0, {}),
    "final_tr": (0, {}),
    "final_thsad": (20, {}),
    "final_erosion": (0, {}),
    "denoise": (True, {}),
    "denoise_sigma": (30.0, {"denoise": True}),
    "denoise_tr": (0, {"denoise": True}),
    "denoise_compensate": (False, {"denoise": True}),
    "noise_deinterlace": ("bob", {"final_noise": 0.5}),
    "noise_stabilize": (False, {"final_noise": 0.5}),
    "basic_noise": (0.5, {}),
    "final_noise": (0.5, {}),
    "repair_sad": (0.0, {"mode": "repair"}),
}


def noisy(key: str) -> bool:
    return "nois" in key


def check_key(key: str, folder: Path) -> None:
    """The key, in the user's own .toml, gives other pixels than the preset, in any order of asking."""
    value, others = ALTERED[key]
    others = dict(others)
    mode = others.pop("mode", "bob")
    tape = weave(grainy(vs.YUV420P8), fmt=vs.YUV420P8)
    preset = folder / "mine.toml"
    preset.write_text("".join(f"{k} = {toml(v)}\n" for k, v in {**BASE, **others, key: value}.items()))
    before = digests(qtgmc(tape, preset="medium", mode=mode, **{**BASE, **others}))
    after = digests(qtgmc(tape, preset=str(preset), mode=mode))
    assert before != after, key
    core.clear_cache()
    assert digests(qtgmc(tape, preset=str(preset), mode=mode), sorted(after, reverse=True)) == after, key


def toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


BASE = load_toml(preset_path("qtgmc", "veryslow", qtgmc), qtgmc)


class TestQTGMC:
    @pytest.mark.parametrize("preset", ["default", "veryslow", "slow", "faster", "draft"])
    def test_same_pixels_as_by_hand(self, preset: str) -> None:
        tape = weave(grainy(vs.YUV420P8), fmt=vs.YUV420P8)
        ours, theirs = qtgmc(tape, preset=preset), by_hand(preset, tape)
        assert digests(ours) == digests(theirs)

    def test_every_key_is_tried_below(self) -> None:
        assert list(ALTERED) == [field.name for field in fields(QTGMCOptions)]

    @pytest.mark.parametrize("key", [key for key in ALTERED if not noisy(key)])
    def test_every_key_changes_pixels(self, key: str, tmp_path: Path) -> None:
        check_key(key, tmp_path)

    def test_every_key_of_noise_changes_pixels(self, tmp_path: Path) -> None:
        """In a process of its own: dfttest2 aborts where the thread count was lowered before."""
        keys = [key for key in ALTERED if noisy(key)]
        code = f"from pathlib import Path\nfrom test_deinterlace import check_key\nfor key in {keys}:\n"
        code += f"    check_key(key, Path({str(tmp_path)!r}))\nprint('alive')"
        here = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])},
        )
        assert done.stdout.strip() == "alive", done.stderr[-2000:]

    @pytest.mark.parametrize("fmt", FORMATS)
    @pytest.mark.parametrize("rate", ["double", "single"])
    def test_truth_in_props(self, fmt: int, rate: str) -> None:
        tape = weave(scene(64, 64, 6), fmt=fmt)
        assert_true_props(qtgmc(tape, preset="slower", rate=rate), tape, rate)  # type: ignore[arg-type]

    def test_every_preset_names_only_keys_and_keeps_the_field_order(self) -> None:
        truth = scene()
        for tff in (True, False):
            for name in preset_names("qtgmc"):
                assert psnr(qtgmc(weave(truth, tff), preset=name), truth, 3) > 30, name

    def test_presets_rank_on_true_60p(self) -> None:
        """Coarse order on fine detail under a moving camera; the benchmark has the full table."""
        truth = detailed()
        score = {name: psnr(qtgmc(weave(truth), preset=name), truth, 4) for name in preset_names("qtgmc")}
        score["bwdif"] = psnr(core.bwdif.Bwdif(weave(truth), field=3), truth, 4)
        assert score["default"] > score["veryslow"] + 1 and score["placebo"] > score["slower"]
        assert score["veryslow"] > score["slower"] > score["slow"] > max(score[n] for n in ("medium", "fast", "faster"))
        assert score["default"] > score["bwdif"] + 2

    @pytest.mark.parametrize("length", [1, 2, 3])
    def test_repair_keeps_count_rate_and_props(self, length: int) -> None:
        clip = scene(64, 64, length).std.SetFrameProps(_SARNum=10, _SARDen=11, _Matrix=6, DS9VS_Repeat=0)
        assert_true_props(qtgmc(clip, mode="repair"), clip, "single")

    def test_repair_calms_shimmer(self) -> None:
        truth = detailed()
        shimmering = core.bwdif.Bwdif(weave(truth), field=3).std.SetFieldBased(0)
        assert psnr(qtgmc(shimmering, mode="repair", repair_sad=0.0), truth, 4) > psnr(shimmering, truth, 4) + 1

    def test_shortest_tapes(self) -> None:
        for length in (1, 2):
            assert qtgmc(weave(scene(64, 64, 2 * length))).num_frames == 2 * length

    def test_pure(self, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
        tape = weave(grainy(length=8))
        assert_pure(lambda: qtgmc(tape))

    def test_missing_plugin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
        with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-mvutensils==9'"):
            qtgmc(weave(scene()))

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"tr1": 2}, "no option 'tr1'; the options are prefilter_tr"),
            ({"basic_tr": 9}, "basic_tr is 9; it must be a whole number from 0 to 3"),
            ({"basic_tr": 1.5}, "whole number"),
            ({"basic_tr": True}, "whole number"),
            ({"sharpness": float("nan")}, "a number from 0 to 4"),
            ({"sharpness": "1"}, "a number from 0 to 4"),
            ({"search": "star"}, "one of 'diamond', 'exhaustive', 'hexagon', 'umh'"),
            ({"pel": 3}, "one of 1, 2, 4"),
            ({"pel": True}, "one of 1, 2, 4"),
            ({"pel": [2]}, "one of 1, 2, 4"),
            ({"chroma_motion": 1}, "true or false"),
            ({"source_match": 2, "basic_tr": 0}, "basic_tr of 1 to 3"),
            ({"block_size": 8, "refine": 2}, "below 4"),
            ({"preset": "best"}, "no qtgmc preset 'best'; use default, draft"),
            ({"mode": "weave"}, "'bob' or 'repair'"),
        ],
    )
    def test_wrong_settings_give_a_sentence(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(CustomValueError, match=says):
            qtgmc(weave(scene()), **options)

    def test_progressive_clips_are_sent_to_repair(self) -> None:
        with pytest.raises(CustomValueError, match='mode="repair"'):
            qtgmc(scene())

    def test_blocks_larger_than_the_picture_give_a_sentence(self) -> None:
        tape = core.std.BlankClip(format=vs.YUV420P8, width=48, height=16, length=2)
        with pytest.raises(CustomValueError, match="at least"):
            qtgmc(tape, tff=True, preset="faster")


def detailed(length: int = 16, *, jerky: bool = False) -> vs.VideoNode:
    """60p truth with a photograph's spectrum and thin slanted lines, panned by fractions of a sample."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:256, 0:384]
    spectrum = np.fft.fft2(rng.normal(size=(256, 384)))
    distance = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(384)[None])
    picture = np.real(np.fft.ifft2(spectrum / np.maximum(distance, 1 / 128) * np.exp(-((distance / 0.3) ** 2))))
    picture = 118 + picture * 28 / picture.std()
    for slope, at in ((0.11, 40), (-0.07, 150), (0.23, 90), (-0.31, 220), (0.02, 120)):
        picture += 60 * np.exp(-((np.abs(y - at - slope * x) / 1.1) ** 2))
    still = clip_of([picture.clip(16, 235).astype(np.uint8)])
    jerks = [0, 0, 0, 7, 7, 0, 3, 3] if jerky else [0] * 8
    moves = [(4 + 1.3 * n + jerks[n % 8], 4 + 0.6 * n) for n in range(length)]
    moved = [still.resize.Bicubic(144, 96, src_left=x, src_top=y, src_width=144, src_height=96) for x, y in moves]
    return core.std.Splice(moved).std.AssumeFPS(fpsnum=60000, fpsden=1001)


TINY = """
import sys
import vapoursynth as vs
from vapoursynth import core
from jetpytools import CustomValueError
from ds9vs.deinterlace import deinterlace, qtgmc

for fmt in (vs.YUV420P8, vs.YUV422P10, vs.GRAY16, vs.GRAYS):
    form = core.get_video_format(fmt)
    for width in (2, 8, 16, 18, 34):
        for height in (2, 4, 8, 16, 20, 36):
            if height % (1 << form.subsampling_h):
                continue
            tape = core.std.BlankClip(format=fmt, width=width, height=height, length=2)
            for call in (lambda: deinterlace(tape, tff=True), lambda: qtgmc(tape, tff=True, preset="slow"),
                         lambda: qtgmc(tape, tff=True, preset="draft"), lambda: qtgmc(tape, mode="repair")):
                try:
                    for frame in call().frames(close=True):
                        pass
                except CustomValueError:
                    continue
print("alive")
"""


def test_no_size_crashes_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", TINY], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "alive", done.stderr[-2000:]
