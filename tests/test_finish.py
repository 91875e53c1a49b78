"""finish(), crop(), deband(): true colours, true shape, legal values, one clear sentence for what cannot be."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError, FileWasNotFoundError
from vapoursynth import core

from ds9vs.cadence.model import Cadence, Shot, Tape
from ds9vs.encode import x265_args
from ds9vs.finish import (
    Bars,
    Grade,
    Light,
    ShotBars,
    Timing,
    crop,
    deband,
    finish,
    measure_bars,
    measure_edges,
    measure_levels,
    measure_light,
    paint_bars,
    report_levels,
)
from ds9vs.finish.colour import SYSTEMS, convert_codes
from ds9vs.finish.deband import DebandOptions
from ds9vs.finish.geometry import frame_geometry
from ds9vs.finish.show import draw
from ds9vs.grain import GrainModel, add_grain
from ds9vs.simulate import Layer, ShotSpec, TapeSpec, make_tape, sample_footage
from ds9vs.simulate.disc import make_disc
from ds9vs.source import source

NTSC = {"_Matrix": 6, "_Primaries": 6, "_Transfer": 6, "_Range": 0, "_ChromaLocation": 0, "_SARNum": 10, "_SARDen": 11}
# SMPTE colour bars at 75 %, and neighbours of the corners: 8-bit BT.601 codes.
BARS = np.array(
    [
        [180, 128, 128],
        [162, 44, 142],
        [131, 156, 44],
        [112, 72, 58],
        [84, 184, 198],
        [65, 100, 212],
        [35, 212, 114],
        [16, 128, 128],
        [235, 128, 128],
        [200, 90, 150],
        [60, 140, 160],
    ],
    float,
)


def flat(codes: Any, kind: int = vs.YUV444P8, **size: int) -> vs.VideoNode:
    size = {"width": 704, "height": 480, "length": 1} | size
    return core.std.BlankClip(format=kind, color=[float(c) for c in codes], **size).std.SetFrameProps(**NTSC)


def drawn(clip: vs.VideoNode, luma: np.ndarray[Any, Any]) -> vs.VideoNode:
    def put(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = luma
        return out

    return clip.std.ModifyFrame(clip, put)


def planes(clip: vs.VideoNode, n: int = 0) -> list[np.ndarray[Any, Any]]:
    with clip.get_frame(n) as frame:
        return [np.array(frame[plane]).astype(float) for plane in range(3)]


def props(clip: vs.VideoNode) -> dict[str, Any]:
    with clip.get_frame(0) as frame:
        return dict(frame.props)


@pytest.mark.parametrize("dither", ["none", "ordered", "error_diffusion"])
def test_bars_are_the_formula(dither: Any) -> None:
    for codes in BARS:
        truth = convert_codes(codes, "525", "709")
        done = planes(finish(flat(codes, width=64, height=48), height=96, dither=dither, noise=0))
        for plane, want in zip(done, truth, strict=True):
            assert np.abs(plane - want).max() <= 1


def test_the_formula_is_the_standards() -> None:
    """White is neutral, the way there and back is the identity, and luma weights are BT.709's."""
    inside = np.array([[100.0, 120, 140], [50, 128, 128], [180, 118, 138]]).T
    there = convert_codes(inside, "525", "709", target_bits=16)
    assert np.allclose(convert_codes(there, "709", "525", bits=16, target_bits=8), inside, atol=1e-6)
    red = convert_codes(np.array([235.0, 128, 128]), "709", "709", target_bits=8)
    assert np.allclose(red, [235, 128, 128])
    assert SYSTEMS["709"].kr == 0.2126 and SYSTEMS["525"].kr == 0.299


@pytest.mark.parametrize("kind", [vs.YUV444P16, vs.RGBS, vs.YUV420P16])
def test_a_grey_ramp_stays_grey(kind: vs.PresetVideoFormat) -> None:
    ramp = drawn(flat([4096, 32768, 32768], vs.YUV444P16), np.rint(np.linspace(4096, 60160, 704))[None, :])
    clip = ramp.resize.Point(format=kind).std.SetFrameProps(_SARNum=10, _SARDen=11)
    y, u, v = planes(finish(clip, deband=False))
    assert np.abs(y - np.linspace(64, 940, 704)[None, :]).max() <= 1
    assert np.abs(u - 512).max() <= 1 and np.abs(v - 512).max() <= 1


@pytest.mark.parametrize("pillarbox", [False, True])
def test_black_is_black_and_white_is_white(pillarbox: bool) -> None:
    for code, want in ((16, 64), (235, 940)):
        done = finish(flat([code, 128, 128], vs.YUV420P8), height=1080, pillarbox=pillarbox)
        y, u, v = planes(done)
        picture = y[:, 240:-240] if pillarbox else y
        assert picture.min() == picture.max() == want
        assert u.min() == u.max() == v.min() == v.max() == 512
        if pillarbox:
            assert (done.width, done.height) == (1920, 1080)
            assert y[:, :240].max() == y[:, -240:].max() == 64


def test_legal_unless_the_source_is_not() -> None:
    """Kernels overshoot at a title's edge; the result may not, but whiter than white stays as far as it was."""
    rng = np.random.default_rng(1)
    noise = rng.choice([16, 235], (480, 704)).astype(np.uint8)
    for highest, levels, want in ((235, "keep", 940), (245, "keep", 980), (245, "legal", 940)):
        picture = np.where(noise == 235, highest, 16)
        y, u, v = planes(finish(drawn(flat([16, 128, 128], vs.YUV420P8), picture), height=720, levels=levels))
        assert (y.min(), y.max()) == (64, want)
        assert min(u.min(), v.min()) >= 64 and max(u.max(), v.max()) <= 960


def test_tags_are_true() -> None:
    found = props(finish(flat([90, 128, 128]).std.SetFrameProps(Mine=3), height=480))
    wanted = {"_Matrix": 1, "_Primaries": 1, "_Transfer": 1, "_Range": 0, "_ChromaLocation": 0, "_FieldBased": 0}
    assert wanted.items() <= found.items()
    assert (found["_SARNum"], found["_SARDen"], found["Mine"]) == (1, 1, 3)
    assert not [name for name in found if name.startswith("DS9VS_") or name.startswith("PlaneStats")]
    kept = props(finish(flat([90, 128, 128]), matrix="525"))
    assert (kept["_Matrix"], kept["_Primaries"], kept["_SARNum"], kept["_SARDen"]) == (6, 6, 10, 11)


def test_chroma_stays_in_its_place() -> None:
    """A red edge on a left-sited disc lies where it lay, after scaling and subsampling."""
    red = flat([81, 90, 240], vs.YUV444P8)
    half = core.std.StackHorizontal([flat([60, 128, 128]).std.Crop(right=352), red.std.Crop(left=352)])
    disc = half.resize.Spline36(format=vs.YUV420P8, chromaloc_s="left").std.SetFrameProps(**NTSC)
    done = finish(disc, height=960, matrix="525", deband=False, dither="none")
    wide = done.resize.Spline36(format=vs.YUV444P16)
    y, _, v = planes(wide, 0)

    def edge(line: np.ndarray[Any, Any]) -> float:
        level = (line[100] + line[-100]) / 2
        at = int(np.argmax((line - level) * np.sign(line[-100] - line[100]) > 0))
        return at - 1 + (level - line[at - 1]) / (line[at] - line[at - 1])

    assert abs(edge(v[480]) - edge(y[480])) < 0.3


@pytest.mark.parametrize("kind", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.YUV444PS, vs.RGB24, vs.RGBS])
@pytest.mark.parametrize("bits", [8, 10])
def test_formats(kind: vs.PresetVideoFormat, bits: int) -> None:
    clip = core.std.BlankClip(format=kind, width=176, height=120, length=2)
    done = finish(clip, height=240, bits=bits, colour="525", sar="10:11", levels="keep")
    assert (done.format.bits_per_sample, done.format.subsampling_w, done.num_frames) == (bits, 1, 2)
    planes(done)


@pytest.mark.parametrize(
    ("size", "sar", "options", "result", "bars"),
    [
        ((704, 480), "10:11", {"aspect": "4:3", "out_height": 2160}, (2880, 2160), (0, 0, 0, 0)),
        ((704, 480), "10:11", {"aspect": "4:3", "out_height": 1080}, (1440, 1080), (0, 0, 0, 0)),
        ((704, 480), "10:11", {"aspect": "4:3", "out_width": 960}, (960, 720), (0, 0, 0, 0)),
        ((704, 576), "12:11", {"aspect": "4:3", "out_height": 2160}, (2880, 2160), (0, 0, 0, 0)),
        ((704, 480), "40:33", {"aspect": "16:9", "out_height": 1080}, (1920, 1080), (0, 0, 0, 0)),
        ((704, 480), "10:11", {"out_height": 2160, "pillarbox": True}, (2880, 2160), (480, 0, 480, 0)),
        ((720, 480), "10:11", {"aspect": "4:3", "out_height": 2160, "active": 704}, (2880, 2160), (0, 0, 0, 0)),
        ((720, 480), "10:11", {"aspect": "4:3", "out_height": 2160, "fit": "bars"}, (2880, 2112), (0, 24, 0, 24)),
        ((720, 480), "10:11", {"aspect": "4:3", "out_height": 2160, "fit": "crop"}, (2880, 2160), (0, 0, 0, 0)),
        ((720, 480), "10:11", {"out_height": 2160}, (2946, 2160), (0, 0, 0, 0)),
        ((2880, 2160), "1:1", {"aspect": "4:3"}, (2880, 2160), (0, 0, 0, 0)),
        ((704, 480), "10:11", {"aspect": "4:3"}, (704, 480), (0, 0, 0, 0)),
    ],
)
def test_sizes(size: Any, sar: str, options: dict[str, Any], result: Any, bars: Any) -> None:
    if "aspect" in options:
        options = options | {"aspect": Fraction(options["aspect"].replace(":", "/"))}
    place = frame_geometry(*size, Fraction(sar.replace(":", "/")), **options)
    assert ((place.width, place.height), place.bars) == (result, bars)
    assert all(n % 2 == 0 for n in (*result, *bars))
    # Never stretched: a circle stays a circle, but for rounding to even sizes.
    drawn_shape = place.window[2] / place.window[3] * Fraction(sar.replace(":", "/"))
    shown = Fraction(place.width, place.height) * place.sar
    assert abs(shown / drawn_shape - 1) < Fraction(2, min(result))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"aspect": "4:3", "height": 2160}, r"is 15:11, not 4:3; type crop\(clip, 'auto'\).*active=704"),
        ({"aspect": "16:9", "height": 2160}, "not 16:9; type fit='bars'"),
        ({"aspect": "four", "height": 480}, "aspect is a ratio"),
        ({"height": 481}, "height is an even number"),
        ({"height": 2160, "width": 3840}, "3840x2160 is not 15:11"),
        ({"bits": 9}, "bits is 8, 10, 12 or 16"),
        ({"matrix": "2020"}, "matrix is one of 525, 625, 709"),
        ({"dither": "blue"}, "dither is one of"),
        ({"levels": "full"}, '"keep" or "legal"'),
        ({"fit": "stretch"}, '"exact", "bars" or "crop"'),
        ({"active": 100}, "704 by BT.601"),
        ({"preset": "loud"}, "use clean, safe, or"),
        ({"colour": "2020"}, "colour is one of"),
    ],
)
def test_errors_say_what_to_type(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CustomValueError, match=says):
        finish(flat([90, 128, 128], vs.YUV420P8, width=720), **options)


def test_what_a_clip_does_not_say_is_asked_for() -> None:
    bare = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=1)
    with pytest.raises(CustomValueError, match="colour='525' for NTSC"):
        finish(bare, sar="10:11")
    with pytest.raises(CustomValueError, match="sar='10:11'"):
        finish(bare, colour="525")
    with pytest.raises(CustomValueError, match=r"call ivtc\(\)"):
        finish(flat([90, 128, 128]).std.SetFieldBased(2))
    with pytest.raises(CustomValueError, match="YUV or RGB"):
        finish(core.std.BlankClip(format=vs.GRAY8))


def test_pal_primaries_are_not_ntsc() -> None:
    results = [
        planes(finish(flat([81, 100, 200]), colour=name, deband=False, dither="none")) for name in ("525", "625")
    ]
    for done, name in zip(results, ("525", "625"), strict=True):
        want = convert_codes(np.array([81.0, 100, 200]), name, "709")
        assert max(abs(p[100, 100] - w) for p, w in zip(done, want, strict=True)) <= 1
    assert results[0][2][100, 100] != results[1][2][100, 100]


def test_colour_table(tmp_path: Path) -> None:
    table = tmp_path / "half.cube"
    corners = [(r, g, b) for b in (0, 0.5) for g in (0, 0.5) for r in (0, 0.5)]
    table.write_text("LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for r, g, b in corners), encoding="utf-8")
    y, u, v = planes(finish(flat([235, 128, 128]), lut=table))
    assert abs(y.mean() - (64 + 438)) <= 1 and abs(u.mean() - 512) <= 1 and abs(v.mean() - 512) <= 1
    with pytest.raises(FileWasNotFoundError, match="no file or folder"):
        finish(flat([99, 128, 128]), lut=tmp_path / "no.cube")
    table.write_text("nothing", encoding="utf-8")
    with pytest.raises(CustomValueError, match=r"not a \.cube"):
        finish(flat([99, 128, 128]), lut=table)


def gradient(noise: float = 0.0) -> tuple[np.ndarray[Any, Any], vs.VideoNode]:
    """A dark gradient in 8-bit steps, enlarged as upscaling does, and what it should have been; 8-bit codes."""
    yy, xx = np.mgrid[0:270, 0:480]
    truth = 20 + 9 * xx / 480 + 4 * np.cos(yy / 90)
    steps = np.round(truth + np.random.default_rng(0).normal(0, noise, truth.shape))
    small = core.std.BlankClip(format=vs.YUV444P16, width=480, height=270, length=1, color=[0, 32768, 32768])
    wide = [drawn(small, a * 256).resize.Spline36(1440, 810, dither_type="none") for a in (truth, steps)]
    return planes(wide[0])[0] / 256, wide[1]


def test_deband_makes_slopes_of_steps() -> None:
    truth, banded = gradient()
    before = np.sqrt(np.mean((planes(banded)[0] / 256 - truth) ** 2))
    for preset in ("safe", "clean"):
        after = np.sqrt(np.mean((planes(deband(banded, preset=preset))[0] / 256 - truth) ** 2))
        assert after < before / 2, preset


def test_deband_keeps_texture_and_grain() -> None:
    _, grainy = gradient(noise=3)
    assert np.mean(planes(deband(grainy))[0] == planes(grainy)[0]) > 0.999
    grained = gradient()[1].std.SetFrameProps(DS9VS_Grain=1, **NTSC)
    plain = finish(grained, deband=False, aspect=None, height=600)
    assert np.array_equal(planes(finish(grained, height=600))[0], planes(plain)[0])


def test_every_preset_value_counts(tmp_path: Path) -> None:
    """Each key of the [deband] table changes pixels."""
    banded = gradient(noise=0.35)[1]
    basis = planes(deband(banded, options=DebandOptions()))[0]
    for change in ({"radii": (20,)}, {"luma": 0.4}, {"texture": 0.2}):
        assert not np.array_equal(planes(deband(banded, options=DebandOptions(**change)))[0], basis), change
    own = tmp_path / "mine.toml"
    own.write_text("[deband]\nradius = 3\n", encoding="utf-8")
    with pytest.raises(CustomValueError, match="no option 'radius'"):
        deband(banded, preset=str(own))
    own.write_text("[deband]\nradii = [500]\n", encoding="utf-8")
    with pytest.raises(CustomValueError, match="from 1 to 127"):
        deband(banded, preset=str(own))
    with pytest.raises(CustomValueError, match="16 bits"):
        deband(banded.resize.Point(format=vs.YUV444P8))


def test_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=176, height=120, length=5).std.SetFrameProps(**NTSC)
    clip = core.akarin.Expr(clip, ["X 3 / N 2 * + 20 +", "Y 100 +", "X 90 +"])
    assert_pure(lambda: finish(clip, height=240, pillarbox=True))


def tape(left: int, right: int, top: int = 0, ramp: tuple[float, ...] = ()) -> vs.VideoNode:
    """A bright 720x480 picture with black columns and lines, and darkened columns inside them."""
    y = np.broadcast_to(100 + 60 * np.sin(np.arange(480) / 30)[:, None], (480, 720)).copy()
    for k, gain in enumerate(ramp):
        for column in (left + k, 719 - right - k):
            y[:, column] = 16 + (y[:, 360] - 16) * gain
    y[:, :left] = 16
    y[:, 720 - right :] = 16
    y[:top] = 16
    clip = flat([16, 128, 128], vs.YUV420P8, width=720, length=3)
    return drawn(clip, np.rint(y))


def test_edges_are_measured() -> None:
    found = measure_edges(tape(6, 10, top=4))
    assert (found.left, found.right, found.top, found.bottom) == (6, 10, 4, 0)
    assert measure_edges(tape(0, 0)) == measure_edges(flat([16, 128, 128], vs.YUV420P8))
    letterbox = core.std.Splice([tape(0, 0), tape(0, 0, top=60)])
    assert measure_edges(letterbox).top == 0, "one letterboxed shot must not cut the others"


@pytest.mark.parametrize(("left", "right", "first"), [(8, 8, 8), (4, 10, 6), (16, 0, 16), (0, 0, 8), (2, 30, 0)])
def test_auto_keeps_the_shape(left: int, right: int, first: int) -> None:
    clip = tape(left, right)
    done = crop(clip, "auto")
    assert (done.width, done.height) == (704, 480)
    assert props(done)["_SARNum"] == 10
    assert np.array_equal(planes(done)[0], planes(clip)[0][:, first : first + 704])
    assert finish(done, aspect="4:3", height=720).width == 960


def test_crop_by_numbers_and_to_the_picture() -> None:
    clip = tape(8, 8, top=4)
    assert np.array_equal(planes(crop(clip, left=8, right=8))[0], planes(clip)[0][:, 8:-8])
    assert (crop(clip, "picture").width, crop(clip, "picture").height) == (704, 476)
    filled = crop(clip, "picture", fill=True)
    assert (filled.width, filled.height) == (720, 480) and planes(filled)[0].min() > 30
    assert crop(clip.std.Crop(left=16), "auto").width == 704


@pytest.mark.parametrize(
    ("mode", "numbers", "says"),
    [
        (None, {"left": 7}, "use 6 or 8"),
        (None, {"left": -2}, "0 or more"),
        (None, {"left": 400, "right": 400}, "leaves nothing of 720x480"),
        ("auto", {"left": 8}, 'Give "auto" or numbers'),
        ("all", {}, r'crop\(clip, "auto"\)'),
    ],
)
def test_wrong_crops_give_a_sentence(mode: Any, numbers: dict[str, int], says: str) -> None:
    with pytest.raises(CustomValueError, match=says):
        crop(tape(8, 8), mode, **numbers)


def test_a_woven_tape_keeps_its_fields() -> None:
    with pytest.raises(CustomValueError, match="one field of YUV420P8; use 0 or 4"):
        crop(tape(8, 8).std.SetFieldBased(2), top=2)


def test_levels_are_reported() -> None:
    y = np.full((480, 704), 120, np.uint8)
    y[:48], y[48:96] = 10, 245
    found = measure_levels(drawn(flat([16, 128, 128], vs.YUV420P8), y))
    assert (round(found.below, 3), round(found.above, 3), found.lowest, found.highest) == (0.1, 0.1, 10, 245)


@pytest.mark.parametrize(("namespace", "package"), [("vszip", "vapoursynth-vszip"), ("akarin", "vapoursynth-akarin")])
def test_missing_plugin(monkeypatch: pytest.MonkeyPatch, namespace: str, package: str) -> None:
    from ds9vs import plugins

    real = plugins._function
    monkeypatch.setattr(
        "ds9vs.plugins._function", lambda name: None if name.startswith(f"{namespace}.") else real(name)
    )
    with pytest.raises(CustomRuntimeError, match=f"pip install '{package}"):
        finish(flat([90, 128, 128]))


def test_every_picture_tells_its_levels() -> None:
    """Shares by counting, of 8 and of 16 bits; the pictures themselves do not change."""
    y = np.full((480, 704), 120, np.uint8)
    y[:48], y[48:96], y[96:120], y[120:132], y[132:138] = 15, 236, 16, 235, 255
    clip = drawn(flat([16, 250, 128], vs.YUV420P8), y)
    for told in (report_levels(clip), report_levels(clip.resize.Point(format=vs.YUV420P16))):
        found = props(told)
        wanted = {"BelowBlack": 0.1, "AboveWhite": 0.1 + 6 / 480, "IllegalChroma": 0.5, "Crushed": 0.05}
        wanted |= {
            "Clipped": 12 / 480 + (6 / 480 if told.format.bits_per_sample == 8 else 0),
            "Lowest": 15,
            "Highest": 255,
        }
        for name, value in wanted.items():
            assert abs(found[f"DS9VS_{name}"] - value) < 1e-6, name
    assert all(np.array_equal(a, b) for a, b in zip(planes(report_levels(clip)), planes(clip), strict=True))
    done = props(finish(clip, height=480, report=True))
    assert abs(done["DS9VS_BelowBlack"] - 0.1) < 1e-6 and "DS9VS_BelowBlack" not in props(finish(clip, height=480))
    with pytest.raises(CustomValueError, match="YUV of 8 to 16 bits"):
        finish(clip.resize.Bilinear(format=vs.RGB24), colour="525", report=True)


def test_noise_holds_dark_slopes_only() -> None:
    """None in black, in lights and in texture; the deviation asked for elsewhere; new every picture, the same bits."""
    options = {"deband": True, "dither": "none", "colour": "709", "sar": "1:1"}
    for code, want in ((16, 0.0), (20, 0.7), (50, 0.7), (120, 0.0), (235, 0.0)):
        clip = flat([code, 128, 128], vs.YUV420P8, length=2)
        bare = planes(finish(clip, noise=0, **options))[0]
        added = [planes(finish(clip, noise=0.7, **options), n)[0] - bare for n in (1, 0)]
        assert abs(added[0].std() / 4 - want) < 0.05 and abs(added[0].mean()) < 0.1, code
        assert np.array_equal(added[0], added[1]) == (want == 0)
        assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.02 if want else True
        core.clear_cache()
        assert np.array_equal(planes(finish(clip, noise=0.7, **options), 0)[0] - bare, added[1])
    near, bare = (planes(finish(flat([17, 128, 128], vs.YUV420P8), noise=n, **options))[0] for n in (0.7, 0))
    assert 0.6 < (near - bare).std() / 4 < 0.7, "a code above black a slope bands first; half of it is cut off below 16"
    grainy = gradient(noise=3)[1].std.SetFrameProps(**NTSC)
    with_noise, without = (planes(finish(grainy, height=810, noise=n, **options))[0] for n in (0.7, 0))
    assert np.mean(with_noise == without) > 0.99
    with pytest.raises(CustomValueError, match=r"noise goes from 0\.0 to 4\.0"):
        finish(clip, noise=9, **options)


def test_a_dark_slope_survives_x265(tmp_path: Path) -> None:
    """Netflix's banding index of a space gradient behind x265 at CRF 18: the goal is 0.5, without `finish` it is 5."""
    yy, xx = np.mgrid[0:240, 0:352]
    truth = np.round(26 + 6 * np.sin(xx / 70) + 4 * np.cos(yy / 60))
    disc = drawn(flat([16, 128, 128], vs.YUV420P8, width=352, height=240, length=3), truth)
    found = []
    for n, given in enumerate(({}, {"noise": 0, "deband": False})):
        clip = finish(disc, height=720, **given)
        raw, stream = tmp_path / "a.y4m", tmp_path / f"{n}.hevc"
        with raw.open("wb") as file:
            clip.output(file, y4m=True)
        words = ["x265", "--y4m", *x265_args(clip, settings={"crf": 18, "preset": "medium"}), str(raw), str(stream)]
        subprocess.run(words, check=True, capture_output=True)
        back = core.bs.VideoSource(str(stream), cachepath=str(tmp_path))
        found.append(max(float(frame.props["CAMBI"]) for frame in core.cambi.Cambi(back).frames()))
    assert found[0] < 0.5 and found[1] > 3, found


def boxed(top: int = 0, side: int = 0, light: float = 1.0, noise: int = 2, length: int = 4) -> vs.VideoNode:
    """A shot of a 704x480 programme, in bars that carry coding noise; `light` scales the picture."""
    random = np.random.default_rng(top + side)
    y = 16 + light * (40 + 30 * np.sin(np.arange(480)[:, None] / 25 + np.arange(704)[None, :] / 40))
    inside = np.zeros((480, 704), bool)
    inside[top : 480 - top, side : 704 - side] = True
    y = np.where(inside, y, 16 + random.integers(0, noise + 1, y.shape))
    return drawn(flat([16, 128, 128], vs.YUV420P8, length=length), np.rint(y))


def test_bars_are_found_shot_by_shot(tmp_path: Path) -> None:
    """Letterboxed, full, pillarboxed, black; a dark one takes its neighbour's bars; a starry sky has none."""
    sky = np.full((480, 704), 17, np.uint8)
    sky[30, 100] = sky[450, 600] = 150
    sky[200:280] = 60
    stars = drawn(flat([16, 128, 128], vs.YUV420P8, length=4), sky)
    parts = [boxed(60), boxed(60, light=0.13), boxed(), stars, boxed(side=88), boxed(noise=0, light=0), boxed(8)]
    clip = core.std.Splice(parts)
    found = measure_bars(clip, range(0, 28, 4))
    sides = [(s.left, s.top, s.right, s.bottom) for s in found.shots]
    wide, none = (0, 60, 0, 60), (0, 0, 0, 0)
    assert sides[:4] == [wide, wide, none, none] and sides[4] == (88, 0, 88, 0) and sides[6] == none
    found.save(tmp_path / "bars.json")
    assert Bars.load(tmp_path / "bars.json") == found
    numbered = core.std.Splice([part.std.SetFrameProps(DS9VS_Shot=n) for n, part in enumerate(parts)])
    assert measure_bars(numbered).shots == found.shots
    cut = core.std.Splice([part.std.SetFrameProps(_SceneChangePrev=0)[1:] for part in parts])
    first = core.std.Splice([part[0].std.SetFrameProps(_SceneChangePrev=1) for part in parts])
    told = core.std.Splice([first[n // 4] if n % 4 == 0 else cut[n // 4 * 3 + n % 4 - 1] for n in range(28)])
    assert measure_bars(told).shots == found.shots
    shots = tuple(
        Shot(first=8 * n, stop=8 * n + 8, kind="film", lengths="233", confidence=1.0) for n in range(len(parts))
    )
    cadence = Cadence(tape=Tape(frames=28, fps=(30000, 1001), tff=True, content=""), shots=shots)
    of_tape = measure_bars(clip, cadence)
    assert [s.sides for s in of_tape.shots] == [s.sides for s in found.shots]
    assert [s.first for s in of_tape.shots] == [s.first for s in shots], "in fields, which a corrected map keeps"
    of_tape.save(tmp_path / "tape.json")
    assert Bars.load(tmp_path / "tape.json", cadence.tape) == of_tape
    other = replace(cadence.tape, content="other")
    with pytest.raises(CustomValueError, match=r"'.*tape\.json' are of another tape; .*ds9vs bars measure"):
        Bars.load(tmp_path / "tape.json", other)
    with pytest.raises(CustomValueError, match="of a clip, not of a tape"):
        Bars.load(tmp_path / "bars.json", cadence.tape)


def test_a_letterboxed_shot_keeps_its_frame(tmp_path: Path) -> None:
    """Enlarged, its bars are black to the last bit, its picture is what it was; frames are read only when rendered."""
    clip = core.std.Splice([boxed(60), boxed()])
    bars = measure_bars(clip, [0, 4])
    plain = finish(clip, height=1080)
    for pillarbox in (False, True):
        done = finish(clip, height=1080, bars=bars, pillarbox=pillarbox)
        y, u, v = planes(done, 1)
        assert (y[:134] == 64).all() and (y[-134:] == 64).all() and (u[:67] == 512).all() and (v[-67:] == 512).all()
        inside = slice(240, -240) if pillarbox else slice(None)
        assert np.array_equal(y[136:-136, inside], planes(plain, 1)[0][136:-136])
        assert np.array_equal(planes(done, 5)[0][:, inside], planes(plain, 5)[0])
        assert (planes(plain, 1)[0][:134] != 64).any()
    cut = finish(clip, aspect="16:9", height=810, fit="crop", bars=bars)
    assert (planes(cut, 0)[0][0] > 64).any(), "a frame of 16:9 shows nothing of a 16:9 shot's bars"
    shots = (ShotBars(first=0), ShotBars(first=7, top=20, bottom=20))
    by_field = Bars(width=704, height=480, shots=shots, tape=Tape(frames=8, fps=(30000, 1001), tff=True, content=""))
    painted = [paint_bars(clip.std.SetFrameProps(DS9VS_Field=n), by_field) for n in (6, 7)]
    assert [bool((planes(one)[0][:20] == 16).all()) for one in painted] == [False, True]
    assert "DS9VS_BarTop" not in props(painted[1])
    with pytest.raises(vs.Error, match="Frame 0 does not say its field"):
        paint_bars(clip, by_field).get_frame(0)
    bars.save(tmp_path / "bars.json")
    assert np.array_equal(
        planes(finish(clip, height=1080, bars=tmp_path / "bars.json"))[0], planes(done)[0][:, 240:-240]
    )


def test_wrong_bars_give_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CustomValueError, match="leave no picture"):
        Bars(width=64, height=48, shots=(ShotBars(first=0, top=24, bottom=24),))
    with pytest.raises(CustomValueError, match="rising order"):
        Bars(width=64, height=48, shots=(ShotBars(first=0), ShotBars(first=4), ShotBars(first=1)))
    with pytest.raises(CustomValueError, match="first to before stop"):
        Bars(width=64, height=48, shots=(ShotBars(first=0),)).put(9, 9)
    with pytest.raises(CustomValueError, match=r"or \[0\] for a single shot"):
        measure_bars(boxed())
    with pytest.raises(CustomValueError, match="rising numbers of frames"):
        measure_bars(boxed(), [0, 9])
    Bars(width=64, height=48, shots=(ShotBars(first=0),)).save(tmp_path / "x.json")
    whole = (tmp_path / "x.json").read_text(encoding="utf-8")
    for text, says in (
        ("{}", "truncated or holds no bars"),
        (whole[:60], "truncated or holds no bars"),
        (whole.replace('"ds9vs_bars": 1', '"ds9vs_bars": 9'), "of version 9; this ds9vs reads 1"),
        (whole.replace('"top"', '"roof"'), "no whole bars .*'roof'"),
        (whole.replace('"top": 0', '"top": "high"'), "no whole bars"),
        (whole.replace('"shots"', '"scenes"'), "no whole bars .*'shots'"),
    ):
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        with pytest.raises(CustomValueError, match=says):
            Bars.load(tmp_path / "x.json")
    with pytest.raises(FileWasNotFoundError, match="no file or folder"):
        Bars.load(tmp_path / "nothing.json")


@pytest.fixture(scope="module")
def boxed_disc(tmp_path_factory: pytest.TempPathFactory) -> tuple[vs.VideoNode, Cadence]:
    """Footage with tape noise through MPEG-2: letterboxed to 2.4, dark, almost black, full, wide, and a title's."""
    layer = Layer(stop=30)
    shots = (
        ShotSpec(fields=10, layers=(layer,), letterbox=2.4),
        ShotSpec(fields=10, layers=(replace(layer, exposure=0.04),), letterbox=2.4),
        ShotSpec(fields=10, layers=(replace(layer, exposure=0.015),)),
        ShotSpec(fields=10, layers=(replace(layer, exposure=0.04),), letterbox=1.8),
        ShotSpec(fields=10, layers=(layer,), letterbox=2.4),
    )
    folder = tmp_path_factory.mktemp("boxed")
    truth = make_tape(TapeSpec(shots=shots, seed=6), [sample_footage()], folder, show=False)
    silent = {"iso": False, "audio": False, "subtitles": False, "captions": False}
    disc = make_disc(folder / "tape.mkv", folder / "disc", rate=4_500_000, cadence=truth.cadence(), **silent)
    return source(disc.video_ts), truth.cadence()


def test_bars_of_footage_on_a_disc(boxed_disc: tuple[vs.VideoNode, Cadence]) -> None:
    """To a line, and never a line of the picture; a title in a bar stays, and the other bar is found all the same."""
    tape, cadence = boxed_disc
    first, stop = cadence.shots[4].first // 2, cadence.shots[4].stop // 2

    def title(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        if first < n < stop:
            np.asarray(out[0])[440:456, 200:520:2] = 210
        return out

    found = [s.sides for s in measure_bars(tape.std.ModifyFrame(tape, title), cadence).shots]
    wanted = [(106, 106), (106, 106), (0, 0), (62, 62), (106, 24)]
    assert [s[0] + s[2] for s in found] == [0] * 5
    for (_, top, _, bottom), (above, below) in zip(found, wanted, strict=True):
        assert 0 <= above - top <= 1 and 0 <= below - bottom <= 1, found


def test_pillars_and_windows_are_found(boxed_disc: tuple[vs.VideoNode, Cadence]) -> None:
    """A shot made narrower, alone and within lines above and below; the disc's own blanking is no bar."""
    tape, cadence = boxed_disc
    full = tape[cadence.shots[0].first // 2 + 1].std.Crop(left=12, right=12, top=112, bottom=112)
    narrow = full.resize.Bilinear(540, 480).std.AddBorders(left=90, right=90, color=[16, 128, 128])
    window = narrow.std.Crop(top=60, bottom=60).std.AddBorders(top=60, bottom=60, color=[16, 128, 128])
    found = measure_bars(narrow + window + tape[cadence.shots[0].first // 2 + 1], [0, 1, 2]).shots
    assert [s.sides for s in found] == [(90, 0, 90, 0), (90, 60, 90, 60), (0, 106, 0, 106)]


def test_the_sheet_shows_every_shot(boxed_disc: tuple[vs.VideoNode, Cadence], tmp_path: Path) -> None:
    tape, cadence = boxed_disc
    found = measure_bars(tape, cadence)
    sheet = draw(found, tape, tmp_path / "bars.png")
    assert sheet.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(CustomValueError, match="of another clip"):
        draw(found, tape[:-1], tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


def test_colour_timing_by_ranges(tmp_path: Path) -> None:
    """Frames of no range keep their bits; others follow the formula; a range's table counts in its frames only."""
    table = tmp_path / "half.cube"
    corners = [(r, g, b) for b in (0, 0.5) for g in (0, 0.5) for r in (0, 0.5)]
    table.write_text("LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for r, g, b in corners), encoding="utf-8")
    sheet = tmp_path / "timing.toml"
    sheet.write_text(
        "[[range]]\nfirst = 1\nstop = 3\nlift = 0.1\ngain = [1.2, 1.0, 0.9]\ngamma = [1.0, 1.5, 1.0]\n"
        "[[range]]\nfirst = 3\nstop = 4\nlut = 'half.cube'\n[[range]]\nfirst = 4\nstop = 5\ngain = 1\n",
        encoding="utf-8",
    )
    clip = drawn(flat([16, 120, 140], vs.YUV420P8, length=6), np.linspace(40, 180, 704).astype(np.uint8)[None, :])
    options = {"matrix": "525", "deband": False, "dither": "none", "bits": 16}
    plain = finish(clip, height=480, **options)
    done = finish(clip, height=480, grade=sheet, **options)
    for n in (0, 4, 5):
        assert all(np.array_equal(a, b) for a, b in zip(planes(done, n), planes(plain, n), strict=True)), n

    def rgb(clip: vs.VideoNode, n: int) -> np.ndarray[Any, Any]:
        wide = clip.resize.Bilinear(format=vs.RGBS)
        return np.array([plane[100, 50:-50] for plane in planes(wide, n)])

    x = rgb(plain, 1)
    lifted = np.array([1.2, 1.0, 0.9])[:, None] * (x + 0.1 * (1 - x))
    want = np.array([lifted[0], lifted[1] ** (1 / 1.5), lifted[2]])
    assert np.abs(rgb(done, 1) - want).max() < 0.004 and np.abs(want - x).max() > 0.1
    assert np.array_equal(rgb(done, 1), rgb(done, 2))
    assert np.abs(rgb(done, 3) - x / 2).max() < 0.004
    assert not [name for name in props(done) if name.startswith("DS9VS_")]
    # As many filters for three hundred ranges as for three.
    many = Grade(ranges=tuple(Timing(first=n, stop=n + 1, lift=n / 1000) for n in range(300)))
    assert abs(planes(finish(clip, height=480, grade=many, **options), 5)[0].mean() - planes(plain)[0].mean()) > 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[range]]\nfirst = 5\nstop = 5", "not empty"),
        ("[[range]]\nfirst = 5", "has no 'stop'"),
        ("[[range]]\nfirst = 0\nstop = 5\ngamma = 0", r"gamma is a number from 0\.2 to 5\.0"),
        ("[[range]]\nfirst = 0\nstop = 5\ngain = [1, 1]", "three of them"),
        ("[[range]]\nfirst = 0\nstop = 5\nhue = 1", "no option 'hue'"),
        ("[[range]]\nfirst = 0\nstop = 5\n[[range]]\nfirst = 4\nstop = 6", "put them in order"),
        ("lift = 1", r"write \[\[range\]\] tables"),
    ],
)
def test_wrong_timing_gives_a_sentence(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CustomValueError, match=says):
        Grade.load(tmp_path / "x.toml")


def pq(light: float) -> float:
    """SMPTE ST 2084, the inverse function."""
    power = (light / 10000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def test_hdr_is_the_same_light() -> None:
    """White is 203 cd/m2: 58 % of PQ, 75 % of HLG (BT.2408); greys keep a BT.1886 display's light."""
    for code in (16, 50, 90, 126, 180, 235):
        nits = 203 * ((code - 16) / 219) ** 2.4
        y, u, v = planes(finish(flat([code, 128, 128]), height=480, hdr="pq", noise=0, dither="none"))
        assert abs(y.mean() - (64 + 876 * pq(nits))) <= 1 and abs(u.mean() - 512) <= 1 and abs(v.mean() - 512) <= 1
    assert round((planes(finish(flat([235, 128, 128]), height=480, hdr="hlg"))[0].mean() - 64) / 876, 2) == 0.75
    # A saturated red, worked out by hand: BT.709 to BT.2020 in light (BT.2087), then PQ, then BT.2020's luma.
    codes = np.array([90.0, 110, 190])
    signal = convert_codes(codes, "709", "709", target_bits=8)
    luma, blue, red = (signal[0] - 16) / 219, (signal[1] - 128) / 224, (signal[2] - 128) / 224
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
    to_2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    wide = [pq(203 * float(c)) for c in np.array(to_2020) @ np.maximum([r, g, b], 0) ** 2.4]
    want = 64 + 876 * (0.2627 * wide[0] + 0.6780 * wide[1] + 0.0593 * wide[2])
    hd = flat(codes).std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1)
    assert abs(planes(finish(hd, height=480, hdr="pq", noise=0, dither="none"))[0].mean() - want) <= 1.5


def test_hdr_is_said_truly(tmp_path: Path) -> None:
    """Props, x265's flags, and what a decoder reads in the file."""
    half = drawn(flat([16, 128, 128], vs.YUV420P8), np.where(np.arange(704) < 352, 16, 235)[None, :])
    clip = finish(half, height=480, hdr="pq")
    light = measure_light(clip)
    assert abs(light.max_cll - 203) <= 3 and abs(light.max_fall - 102) <= 2
    done = finish(half, height=480, hdr="pq", light=light, levels="legal")
    found = props(done)
    assert (found["_Matrix"], found["_Primaries"], found["_Transfer"], found["_Range"]) == (9, 9, 16, 0)
    words = " ".join(x265_args(done))
    assert "--colorprim bt2020 --transfer smpte2084 --colormatrix bt2020nc" in words
    assert "G(15000,30000)B(7500,3000)R(32000,16500)WP(15635,16450)L(2030000,50)" in words
    assert f"--max-cll {light.max_cll},{light.max_fall}" in words and "--max-cll" not in " ".join(x265_args(clip))
    raw, stream = tmp_path / "a.y4m", tmp_path / "a.hevc"
    with raw.open("wb") as file:
        done.output(file, y4m=True)
    subprocess.run(["x265", "--y4m", *x265_args(done, preset="fast"), str(raw), str(stream)], check=True)
    back = props(core.bs.VideoSource(str(stream), cachepath=str(tmp_path)))
    assert back["_Transfer"] == 16 and back["ContentLightLevelMax"] == light.max_cll
    assert back["MasteringDisplayMaxLuminance"] == 203
    hlg = finish(half, height=480, hdr="hlg")
    assert props(hlg)["_Transfer"] == 18 and "--hdr10" not in x265_args(hlg)
    assert "MasteringDisplayMaxLuminance" not in props(finish(half, height=480))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hdr": "dolby"}, '"pq" or "hlg"'),
        ({"hdr": "pq", "bits": 8}, "bits=10 or more"),
        ({"hdr": "pq", "matrix": "525"}, 'matrix="709"'),
        ({"hdr": "hlg", "light": Light(max_cll=200, max_fall=9)}, 'light goes with hdr="pq"'),
    ],
)
def test_wrong_hdr_gives_a_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CustomValueError, match=says):
        finish(flat([90, 128, 128]), height=480, **options)
    with pytest.raises(CustomValueError, match="not above max_cll"):
        Light(max_cll=10, max_fall=20)
    with pytest.raises(CustomValueError, match=r'finish\(hdr="pq"\)'):
        measure_light(finish(flat([90, 128, 128]), height=480))


def test_grain_goes_between_debanding_and_dither() -> None:
    """Black of a colour that the conversion lifts: grain added before knows it as black, where there is none."""
    tags = {"_Matrix": 6, "_Primaries": 6, "_Transfer": 6, "_Range": 0, "_ChromaLocation": 0}
    black = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=1, color=[16, 108, 108])
    black = black.std.SetFrameProps(**tags, _SARNum=10, _SARDen=11)
    model = GrainModel(size=(704, 480), sigma=(2.0,) * 16, chroma=(0.0, 0.0))
    given: list[str] = []

    def grained(clip: vs.VideoNode) -> vs.VideoNode:
        given.append(f"{clip.format.name} {clip.width}x{clip.height}")
        return add_grain(clip, model)

    made = finish(black, height=1080, grain=grained, noise=0)
    assert given == ["YUV420P16 1440x1080"]
    early = finish(add_grain(black.resize.Point(format=vs.YUV420P16), model), height=1080)
    with made.get_frame(0) as ours, early.get_frame(0) as other:
        assert "DS9VS_Grain" in ours.props
        assert np.asarray(ours[0]).std() > 3 * np.asarray(other[0]).std()
    with pytest.raises(CustomValueError, match="grain is a function"):
        finish(black, grain="film.json")
