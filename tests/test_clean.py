"""clean(): each fault is mended where it is, left alone where it is not, and the contracts hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from vapoursynth import core

from ds9vs.clean import Faults, clean, measure_faults
from tests.benchmarks.clean import (
    beside_edges,
    chroma_moved,
    coded,
    colourful,
    crawling,
    decibels,
    disc_format,
    discs,
    grained,
    pictures,
    taped,
)

COUNT = 12
SPATIAL: dict[str, Any] = {
    "deblock": 1,
    "mosquito": 1,
    "chroma_shift": (-0.6, 0.3),
    "chroma_upsampling": True,
    "edges": (2, 0, 2, 1),
    "denoise": 1,
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> vs.VideoNode:
    """Part of the sample, 16 bits: the truth of every disc here."""
    return pictures(first=10, count=COUNT, cache=tmp_path_factory.mktemp("index"))


def moving(width: int, height: int, *, length: int = 6, kind: vs.PresetVideoFormat = vs.YUV420P8) -> vs.VideoNode:
    """A texture that moves, with edges and colour."""
    clip = core.std.BlankClip(format=vs.YUV444P16, width=width, height=height, length=length)
    luma = "X N 3 * + 32 % 14 < 46000 X 7 * Y 13 * + N 5 * + 64 % 300 * 14000 + ?"
    clip = core.akarin.Expr(clip, [luma, "X N 3 * + 48 % 24 < 29000 36000 ?", "Y 40 % 20 < 30000 35000 ?"])
    return clip.resize.Bicubic(format=kind).std.SetFrameProps(_Matrix=6, _FieldBased=0, _SARNum=10, _SARDen=11)


def pixels(clip: vs.VideoNode, n: int) -> list[np.ndarray[Any, Any]]:
    with clip.get_frame(n) as frame:
        return [np.array(frame[plane]) for plane in range(3)]


@pytest.mark.parametrize(
    ("fault", "plane", "least"),
    [
        ("deblock", 0, 0.5),
        ("mosquito", 0, 0.5),
        ("rainbow", 1, 2.0),
        ("dotcrawl", 0, 2.0),
        ("chroma_upsampling", 1, 1.0),
        ("edges", 0, 3.0),
        ("denoise", 0, 2.0),
    ],
)
def test_wins_with_the_fault_and_loses_nothing_without(
    film: vs.VideoNode, tmp_path: Path, fault: str, plane: int, least: float
) -> None:
    *faulty, without = discs(film, tmp_path, fault)
    frames = (5, 6)
    for what, disc, truth, options in faulty[:1]:
        # The noise beside edges is what `mosquito` is for, so that is where it is measured.
        mask = beside_edges(truth) if fault == "mosquito" else None
        before = decibels(disc, truth, frames, mask)
        after = decibels(clean(disc, **options), truth, frames, mask)
        assert after[plane] - before[plane] >= least, what
    _, disc, truth, options = without
    for after_one, before_one in zip(
        decibels(clean(disc, **options), truth, frames), decibels(disc, truth, frames), strict=True
    ):
        assert after_one >= before_one - 0.05


@pytest.mark.parametrize("shift", [(1.0, 0.0), (-2.0, 1.0)])
def test_chroma_shift_is_found_and_undone(film: vs.VideoNode, tmp_path: Path, shift: tuple[float, float]) -> None:
    film = colourful(film)
    truth = disc_format(film)
    disc = coded(disc_format(chroma_moved(film, *shift)), tmp_path)
    found = measure_faults(disc, frames=2).chroma_shift
    assert np.allclose(found, (-shift[0], -shift[1]), atol=0.15)
    mended, before = decibels(clean(disc, chroma_shift=found), truth, (5,)), decibels(disc, truth, (5,))
    assert mended[2] > before[2] + 3


def test_measured_faults_fit_clean(film: vs.VideoNode, tmp_path: Path) -> None:
    noisy = coded(disc_format(grained(film, 4)), tmp_path, rate=8000)
    faults = measure_faults(noisy, frames=2)
    assert (faults.denoise, faults.rainbow, faults.dotcrawl) == (1, 0, 0)
    assert faults.chroma_shift == (0, 0)
    assert clean(noisy, **faults.options()).num_frames == noisy.num_frames
    assert {field.name for field in dataclasses.fields(Faults)} <= set(clean.__annotations__)


def test_a_picture_that_was_never_coded_is_all_but_untouched(film: vs.VideoNode) -> None:
    truth = disc_format(film)
    done = clean(truth, deblock=1, mosquito=1, chroma_upsampling=True, edges=(4, 0, 4, 0), denoise=1)
    assert min(decibels(done, truth, (5,))) > 58  # a twentieth of what MPEG-2 itself does at its finest


def test_nothing_asked_nothing_done() -> None:
    clip = moving(128, 96)
    assert clean(clip) is clip


def test_stronger_does_more(film: vs.VideoNode, tmp_path: Path) -> None:
    disc = coded(disc_format(film), tmp_path, rate=1500)
    for fault in ("deblock", "mosquito"):
        done = [decibels(clean(disc, **{fault: strength}), disc, (5,))[0] for strength in (0.3, 1.0, 3.0)]
        assert done[0] > done[1] > done[2], fault


@pytest.mark.parametrize("kind", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16])
@pytest.mark.parametrize("size", [(128, 96), (90, 70)])
def test_keeps_format_size_length_and_props(kind: vs.PresetVideoFormat, size: tuple[int, int]) -> None:
    clip = moving(*size, kind=kind).std.SetFrameProps(Mine=7, _ChromaLocation=0)
    done = clean(clip, **SPATIAL)
    assert (done.format, done.width, done.height) == (clip.format, clip.width, clip.height)
    assert (done.num_frames, done.fps) == (clip.num_frames, clip.fps)
    with clip.get_frame(3) as a, done.get_frame(3) as b:
        assert dict(a.props) == dict(b.props)


@pytest.mark.parametrize("woven", [False, True])
def test_composite_keeps_format_size_length_and_props(film: vs.VideoNode, woven: bool) -> None:
    whole = disc_format(taped(film[:4])) if woven else disc_format(film[:4])
    clip = whole.std.Crop(left=10, right=22, top=4, bottom=8).std.SetFrameProps(Mine=7)
    done = clean(clip, rainbow=1, dotcrawl=1)
    assert (done.format, done.width, done.height) == (clip.format, clip.width, clip.height)
    with clip.get_frame(2) as a, done.get_frame(2) as b:
        assert dict(a.props) == dict(b.props)


def test_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: clean(moving(128, 96, length=5), **SPATIAL))


def test_composite_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    clip = moving(720, 480, length=2).std.SetFrameProps(_FieldBased=2)
    assert_pure(lambda: clean(clip, rainbow=1))


@pytest.mark.parametrize("options", [{"denoise": 1}, {"rainbow": 1, "dotcrawl": 1}])
def test_stops_at_cuts(film: vs.VideoNode, options: dict[str, int]) -> None:
    """What lies beyond a cut cannot change a picture on this side of it."""
    # The same still picture on both sides: nothing but the flags can tell the filters to stop.
    if "denoise" in options:
        clip = disc_format(grained(moving(192, 128, length=1, kind=vs.YUV444P16) * 6, 3))
    else:
        clip = disc_format(crawling(taped(film[5] * 5)))
    others = (clip[3:], clip[3:].std.Expr("x 3 +"))
    first = clip[:3]
    unbounded = [pixels(clean(first + other, **options), 2) for other in others]
    assert not all(map(np.array_equal, *unbounded)), "without flags the neighbours do count"
    results = []
    for other in others:
        clip = first + other
        flags = [clip.std.SetFrameProps(_SceneChangePrev=a, _SceneChangeNext=b) for a, b in ((0, 0), (0, 1), (1, 0))]
        clip = core.std.Splice([flags[0][:2], flags[1][2:3], flags[2][3:4], flags[0][4:]])
        results.append(pixels(clean(clip, **options), 2))
    for a, b in zip(*results, strict=True):
        assert np.array_equal(a, b)


def test_grid_follows_a_crop(film: vs.VideoNode, tmp_path: Path) -> None:
    """After an odd crop the blocks are found where they went."""
    disc = coded(disc_format(film), tmp_path, rate=1500)
    cut, truth = (c.std.Crop(left=4, top=2) for c in (disc, disc_format(film)))
    told, untold = (decibels(clean(cut, deblock=1, grid=grid), truth, (5,))[0] for grid in ((4, 2), (0, 0)))
    assert told > untold + 0.2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"deblock": -1}, "deblock is a strength from 0"),
        ({"denoise": float("nan")}, "denoise is a strength"),
        ({"chroma_shift": (0, 20)}, "from -8 to 8"),
        ({"edges": (200, 0, 0, 0)}, "at most an eighth"),
        ({"edges": (-2, 0, 0, 0)}, "at most an eighth"),
        ({"deblock": 1, "grid": (-1, 0)}, "grid is what was cropped"),
        ({"rainbow": 1, "standard": "secam"}, "'ntsc' or 'pal'"),
    ],
)
def test_wrong_values_give_a_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CustomValueError, match=says):
        clean(moving(128, 96), **options)


@pytest.mark.parametrize("kind", [vs.RGB24, vs.GRAY8, vs.YUV444PS, vs.YUV410P8])
def test_wrong_formats_give_a_sentence(kind: vs.PresetVideoFormat) -> None:
    with pytest.raises(CustomValueError, match="convert first"):
        clean(core.std.BlankClip(format=kind, width=128, height=96), deblock=1)


def test_wrong_clips_give_a_sentence() -> None:
    with pytest.raises(CustomValueError, match="64x64"):
        clean(core.std.BlankClip(format=vs.YUV420P8, width=32, height=32), deblock=1)
    with pytest.raises(CustomValueError, match=r"after ivtc\(\)"):
        clean(moving(128, 96).std.SetFieldBased(2), deblock=1)
    with pytest.raises(CustomValueError, match="standard='ntsc' or 'pal'"):
        clean(moving(128, 96).std.RemoveFrameProps(["_Matrix"]), rainbow=1)
    with pytest.raises(CustomValueError, match="before scaling"):
        clean(moving(1440, 1080, length=1), rainbow=1)


@pytest.mark.parametrize(
    ("fault", "value", "package"),
    [
        ("rainbow", 1, "vapoursynth-composite"),
        ("deblock", 1, "vapoursynth-dfttest2-cpu"),
        ("denoise", 1, "vapoursynth-dfttest2-cpu"),
        ("chroma_upsampling", True, "vapoursynth-akarin"),
    ],
)
def test_missing_plugin(monkeypatch: pytest.MonkeyPatch, fault: str, value: Any, package: str) -> None:
    from ds9vs import plugins

    found = plugins._function
    hidden = {"composite", "dfttest2_cpu"} if fault != "chroma_upsampling" else {"akarin"}
    monkeypatch.setattr(
        "ds9vs.plugins._function", lambda name: None if name.partition(".")[0] in hidden else found(name)
    )
    with pytest.raises(CustomRuntimeError, match=f"pip install '{package}"):
        clean(moving(128, 96), **{fault: value})
