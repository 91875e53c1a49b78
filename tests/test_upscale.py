"""Super-resolution: exact sizes and shapes of pixels, true colour, no seams, no crash, a sentence for each failure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from onnx import TensorProto, helper, numpy_helper
from vapoursynth import core

from conftest import photograph
from ds9vs.upscale import (
    DEFAULT_MODEL,
    Ncnn,
    OpenVino,
    OrtCpu,
    explain_backends,
    model_get,
    models_list,
    select_backend,
    upscale,
)
from ds9vs.upscale import backend as room
from ds9vs.upscale.network import inspect
from ds9vs.upscale.registry import load_model
from ds9vs.upscale.tile import Tiling, cut, paste, plan_tiles

FETCHED = "upconv_7_photo"
MODELS = {model.name: model for model in models_list() if model.use == "upscale"}
TESTED = sorted({DEFAULT_MODEL, FETCHED, "spanx2_ch48", *(name for name, model in MODELS.items() if model.present)})
"""Our own, and the two others that the suite needs, which are fetched; whatever else the user has is tested too."""


@pytest.fixture(scope="module", autouse=True)
def _models() -> None:
    for name in (FETCHED, "spanx2_ch48"):
        model_get(name, show=False)


def plane(clip: vs.VideoNode, number: int = 0, n: int = 0) -> np.ndarray:
    with clip.get_frame(n) as frame:
        return np.asarray(frame[number]).astype(np.float64)


def painted(luma: np.ndarray, u: float = 0, v: float = 0, fmt: int = vs.YUV444P16, length: int = 1) -> vs.VideoNode:
    """A YUV clip of a luma picture (0 black, 1 white) and flat chroma (-0.5 to 0.5)."""
    height, width = luma.shape
    blank = core.std.BlankClip(width=width, height=height, format=vs.YUV444PS, length=length, color=[0, u, v])

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = luma
        return f

    blank = blank.std.SetFrameProps(_Matrix=6, _Range=0, _FieldBased=0)
    return blank.std.ModifyFrame(blank, paint).resize.Bicubic(format=fmt)


def scene(width: int = 96, height: int = 72, fmt: int = vs.YUV420P8) -> vs.VideoNode:
    y, x = np.mgrid[0:height, 0:width]
    luma = 0.5 + 0.2 * np.sin(x / 5.0) * np.cos(y / 7.0) + 0.2 * (((x // 16) + (y // 12)) % 2)
    return painted(luma, 0.05, -0.04, fmt, length=3).std.SetFrameProps(_SARNum=10, _SARDen=11)


def network(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], channels: int = 3, **more) -> Path:
    """A small .onnx file: "input" to "output"."""
    size = more.get("size", ("h", "w"))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", more.get("kind", TensorProto.FLOAT), [1, channels, *size])],
        [
            helper.make_tensor_value_info(
                "output", more.get("kind", TensorProto.FLOAT), [1, more.get("planes", 3), "H", "W"]
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = helper.make_opsetid("", more.get("opset", 17))
    path.write_bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())
    return path


def doubling(path: Path, channels: int = 3, take: int = 0, planes: int = 3, factor: float = 1, **more) -> Path:
    """Doubles `planes` of its input by repeating pixels, beginning at plane `take`."""
    weights = np.zeros((4 * planes, channels, 1, 1), np.float32)
    for k in range(4 * planes):
        weights[k, take + k // 4] = factor
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["wide"], kernel_shape=[1, 1]),
        helper.make_node("DepthToSpace", ["wide"], ["output"], blocksize=2, mode="CRD"),
    ]
    return network(path, nodes, {"w": weights}, channels, planes=planes, **more)


# what comes out


@pytest.mark.parametrize("model", TESTED)
def test_every_model_gives_the_promised_picture(model: str) -> None:
    clip = scene(48, 36)
    big = upscale(clip, model=model)
    scale = load_model(model, "test").scale
    assert (big.format.id, big.width, big.height, big.num_frames) == (vs.YUV444P16, 48 * scale, 36 * scale, 3)
    assert big.fps == clip.fps
    plain = clip.resize.Lanczos(big.width, big.height, format=vs.YUV444P16)
    away = plane(big)[8:-8, 8:-8] - plane(plain)[8:-8, 8:-8]
    assert abs(away.mean()) < 32, "luma drifts"
    assert np.sqrt(np.mean(away**2)) < 8 * 256, "not the same picture"
    for number in (1, 2):
        assert np.abs(plane(big, number) - plane(plain, number)).max() <= 1, "chroma is Lanczos's"


@pytest.mark.parametrize(
    ("fmt", "out"),
    [
        (vs.YUV420P8, vs.YUV444P16),
        (vs.YUV420P10, vs.YUV444P16),
        (vs.YUV422P8, vs.YUV444P16),
        (vs.YUV411P8, vs.YUV444P16),
        (vs.YUV444P16, vs.YUV444P16),
        (vs.YUV444PS, vs.YUV444P16),
        (vs.YUV420PH, vs.YUV444P16),
        (vs.RGB24, vs.RGBS),
        (vs.RGB48, vs.RGBS),
        (vs.RGBS, vs.RGBS),
        (vs.RGBH, vs.RGBS),
    ],
)
def test_formats(fmt: int, out: int) -> None:
    clip = scene(48, 32, vs.YUV444P16).resize.Bicubic(format=fmt)
    big = upscale(clip)
    assert (big.format.id, big.width, big.height) == (out, 96, 64)
    with big.get_frame(0) as frame:
        assert frame.props["_Matrix"] == (6 if out == vs.YUV444P16 else 0)
        assert frame.props["_FieldBased"] == 0
        assert frame.props["DS9VS_LRError"] < 0.2
        assert 0 <= frame.props["DS9VS_Limited"] <= 1


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ({}, (176, 96)),
        ({"height": 108}, (198, 108)),
        ({"width": 100}, (100, 55)),
        ({"width": 352, "height": 216}, (352, 216)),
        ({"width": 64, "height": 40}, (64, 40)),
        ({"width": 301, "height": 203, "passes": 2}, (301, 203)),
    ],
)
@pytest.mark.parametrize("model", [DEFAULT_MODEL, "none"])
def test_sizes_and_the_shape_of_pixels(model: str, wanted: dict[str, int], size: tuple[int, int]) -> None:
    big = upscale(scene(88, 48), model=model, **wanted)
    assert (big.width, big.height) == size
    with big.get_frame(0) as frame:
        sar = Fraction(frame.props["_SARNum"], frame.props["_SARDen"])
        assert sar * size[0] / size[1] == Fraction(10, 11) * 88 / 48, "the picture's shape has changed"
        assert sar.denominator == frame.props["_SARDen"], "not in lowest terms"


def test_a_clip_without_sar_gets_none() -> None:
    big = upscale(scene().std.RemoveFrameProps(["_SARNum", "_SARDen"]), width=300, height=100)
    with big.get_frame(0) as frame:
        assert "_SARNum" not in frame.props


def test_props_of_the_source_stay() -> None:
    clip = scene().std.SetFrameProps(DS9VS_Shot=4, DS9VS_Kind="film", _Transfer=6, _Primaries=6, _SceneChangePrev=1)
    with upscale(clip).get_frame(1) as frame:
        found = dict(frame.props)
    assert (found["DS9VS_Shot"], found["DS9VS_Kind"], found["_SceneChangePrev"]) == (4, "film", 1)
    assert (found["_Transfer"], found["_Primaries"], found["_Matrix"]) == (6, 6, 6)
    assert "_ChromaLocation" not in found


# colour and levels


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("model", TESTED)
def test_a_grey_ramp_stays_grey_and_true(model: str, precision: str) -> None:
    codes = np.round(np.linspace(0, 1, 256) * 876) / 876  # 10-bit codes
    ramp = painted(np.tile(codes, (48, 1)))
    big = upscale(ramp, model=model, backend=OpenVino(precision=precision), chroma="net")
    plain = ramp.resize.Lanczos(big.width, big.height, format=vs.YUV444P16)
    inner = (slice(16, -16), slice(16, -16))
    assert np.abs(plane(big)[inner] - plane(plain)[inner]).max() <= 64, "luma is off by over 1 code of 10 bit"
    for number in (1, 2):
        assert np.abs(plane(big, number)[inner] - 32768).max() <= 64, "grey has a colour of over 1 code of 10 bit"


@pytest.mark.parametrize("colour", [(0.3, 0.3, -0.2), (0.2, -0.1, 0.35), (0.8, -0.4, 0.05), (0.0, 0.0, 0.0), (1, 0, 0)])
def test_flat_colours_are_exact(colour: tuple[float, float, float]) -> None:
    luma, u, v = colour
    clip = painted(np.full((40, 56), luma), u, v, vs.YUV420P8)
    for chroma in ("classical", "net"):
        big = upscale(clip, chroma=chroma)
        for number in range(3):
            error = np.abs(plane(big, number) - 256 * plane(clip, number)[0, 0]).max()
            assert error <= 64, f"plane {number} is off by {error / 64:.2f} codes of 10 bit"


def test_colours_go_through_the_network_by_the_clips_own_matrix() -> None:
    for matrix in (1, 6):
        clip = painted(np.full((40, 56), 0.45), 0.1, -0.12).std.SetFrameProps(_Matrix=matrix)
        big = upscale(clip, chroma="net", guard=0, backend="ort-cpu")
        for number in range(3):
            assert np.abs(plane(big, number) - plane(clip, number)[0, 0]).max() <= 8 * 64


@pytest.mark.parametrize("code", [3, 250])
def test_blacker_than_black_and_whiter_than_white_pass(code: int) -> None:
    clip = painted(np.full((40, 56), (code - 16) / 219), fmt=vs.YUV420P8)
    for guard in (0, 1):
        assert np.abs(plane(upscale(clip, guard=guard, backend="ort-cpu")) - 256 * code).max() <= 192


def test_full_range_stays_full_range() -> None:
    clip = core.std.BlankClip(width=40, height=32, format=vs.YUV444P8, color=[250, 128, 128], length=1)
    clip = clip.std.SetFrameProps(_Matrix=1, _Range=1)
    big = upscale(clip)
    with big.get_frame(0) as frame:
        assert int(frame.props["_Range"]) == 1
    assert np.abs(plane(big) - 250 / 255 * 65535).max() <= 64


@pytest.mark.parametrize("model", TESTED)
def test_white_titles_on_black_do_not_burst(model: str) -> None:
    card = core.std.BlankClip(width=352, height=240, format=vs.YUV444P8, length=1, color=[16, 128, 128])
    card = card.std.SetFrameProps(_Matrix=6, _Range=0)
    truth = card.text.Text("STAR TREK\nDEEP SPACE NINE", alignment=5, scale=3).resize.Bicubic(format=vs.YUV444P16)
    clip = truth.resize.Bicubic(176, 120, format=vs.YUV420P8)
    big = upscale(clip, model=model, width=352, height=240)
    plain = upscale(clip, model="none", width=352, height=240)
    ours, lanczos = (float(np.mean((plane(c) - plane(truth)) ** 2)) for c in (big, plain))
    assert 10 * np.log10(ours / lanczos) < 0.3, "the guard lets it be worse than Lanczos"


def test_the_network_helps() -> None:
    truth = scene(192, 144, vs.YUV444P16).std.Convolution([1, 2, 1, 2, 4, 2, 1, 2, 1])
    clip = truth.resize.Bicubic(96, 72, format=vs.YUV420P8)
    ours, lanczos = (np.mean((plane(upscale(clip, model=m)) - plane(truth)) ** 2) for m in (DEFAULT_MODEL, "none"))
    assert ours < 0.8 * lanczos


def test_strength_zero_is_the_plain_enlargement() -> None:
    clip = scene()
    assert np.abs(plane(upscale(clip, strength=0)) - plane(upscale(clip, model="none"))).max() <= 16
    away = [np.abs(plane(upscale(clip, strength=s)) - plane(upscale(clip, strength=0))).mean() for s in (0.3, 0.6, 1)]
    assert away == sorted(away)
    assert away[2] > 50


def test_guard_strength_is_monotone() -> None:
    free = plane(upscale(scene(), model="spanx2_ch48", guard=0))
    moved = [np.abs(plane(upscale(scene(), model="spanx2_ch48", guard=g)) - free).mean() for g in (0, 0.3, 0.6, 1)]
    assert moved[0] == 0
    assert moved == sorted(set(moved))


def test_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: upscale(scene(48, 36), height=100, chroma="net"))


def test_pure_with_tiles(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: upscale(scene(96, 40), model=FETCHED, tile=48))


def test_the_graph_does_not_grow_with_the_clip() -> None:
    long = core.std.Loop(scene(32, 32), 20000)
    assert upscale(long).num_frames == 60000


# tiles


def apart(model: str, overlap: int | None = None) -> float:
    """Codes of 255 by which two tiles differ from the whole picture at most, on a photograph, before the guard."""
    net = load_model(model, "test")
    width = -(-(2 * (overlap or net.overlap) + 64) // net.align) * net.align
    clip = photograph(width + 96, 96, sharp=0.3, contrast=40).std.CropAbs(width + 64, 64)
    clip = clip.resize.Bicubic(format=vs.YUV420P8, matrix=6).std.SetFieldBased(0)
    f32 = OpenVino(precision="f32")
    whole = upscale(clip, model=model, backend=f32, guard=0, chroma="net")
    tiled = upscale(clip, model=model, backend=f32, guard=0, chroma="net", tile=(width, 64), overlap=overlap)
    return max(float(np.abs(plane(whole, k) - plane(tiled, k)).max()) / 256 for k in range(3))


@pytest.mark.parametrize("model", TESTED)
def test_tiles_show_no_more_of_a_seam_than_the_registry_says(model: str) -> None:
    assert apart(model) < MODELS[model].seam


@pytest.mark.parametrize("model", [DEFAULT_MODEL, FETCHED, "spanx2_ch48"])
def test_an_overlap_that_is_too_small_would_be_seen(model: str) -> None:
    assert apart(model, overlap=2) > 2 * MODELS[model].seam


@pytest.mark.parametrize("align", [1, 2, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_tiles_cover_the_picture_and_share_what_they_must(axis: int, align: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        tile, size = (int(v) * align for v in np.sort(rng.integers(4, 90, 2)))
        overlap = int(rng.integers(0, (tile - align) // 2 + 1))
        tiling = Tiling(picture=(size, size), tile=(tile, tile), overlap=(overlap, overlap), align=align)
        starts = tiling.starts(axis)
        assert (starts[0], starts[-1]) == (0, size - tile)
        assert all(start % align == 0 for start in starts)
        assert all(0 < after - before <= tile - 2 * overlap for before, after in pairwise(starts))


@pytest.mark.parametrize("feather", [0, 8])
@pytest.mark.parametrize("tile", [(40, 32), (96, 32), (40, 72), (88, 70), (24, 24)])
def test_what_was_cut_is_pasted_as_it_was(tile: tuple[int, int], feather: int) -> None:
    clip = scene(96, 72).resize.Bicubic(format=vs.RGBS)
    tiling = Tiling(picture=(96, 72), tile=tile, overlap=(8, 6), feather=feather)
    back = paste(cut(clip, tiling).resize.Point(2 * tile[0], 2 * tile[1]), tiling, 2)
    assert (back.num_frames, back.fps) == (clip.num_frames, clip.fps)
    assert np.abs(plane(back, 1, 2) - plane(clip.resize.Point(192, 144), 1, 2)).max() < 1e-6


def test_tiles_that_differ_fade_into_each_other() -> None:
    clip = core.std.BlankClip(width=96, height=24, format=vs.GRAYS, length=1)
    tiling = Tiling(picture=(96, 24), tile=(64, 24), overlap=(8, 0), feather=8)
    tiles = core.std.Interleave([clip[0].std.CropAbs(64, 24), core.std.BlankClip(clip, width=64, height=24, color=1)])
    line = plane(paste(tiles, tiling, 1))[5]
    assert (line[39], line[56]) == (0, 1)
    assert np.abs(np.diff(line)).max() == pytest.approx(1 / 16)
    hard = plane(paste(tiles, Tiling(picture=(96, 24), tile=(64, 24), overlap=(8, 0)), 1))[5]
    assert sorted(set(hard)) == [0, 1]


def test_tiles_follow_memory_and_the_receptive_field() -> None:
    net = load_model(FETCHED, "test")
    assert net.radius == 7
    assert plan_tiles(net, 720, 480).whole
    huge = plan_tiles(net, 16000, 12000)
    assert not huge.whole
    assert huge.overlap == (8, 8)
    for tile, size, share in zip(huge.tile, huge.picture, huge.overlap, strict=True):
        assert 2 * share < tile <= size


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tile": 8}, "tile is 8"),
        ({"tile": (64,)}, r"tile is \(64,\)"),
        ({"tile": 32, "overlap": 16}, "larger than 2 times the overlap by 2"),
        ({"overlap": -1}, "overlap is -1"),
    ],
)
def test_wrong_tiles_are_named(options: dict[str, int], said: str) -> None:
    with pytest.raises(CustomValueError, match=said):
        upscale(scene(), **options)


def test_a_tile_larger_than_the_picture_is_the_picture() -> None:
    assert np.array_equal(plane(upscale(scene(), tile=4096, overlap=8)), plane(upscale(scene())))


# networks of the user's own


def test_neighbouring_pictures_stop_at_ends_and_cuts(tmp_path: Path) -> None:
    levels = [0.1, 0.2, 0.3, 0.4, 0.5]
    clips = [
        painted(np.full((32, 32), level)).std.SetFrameProps(DS9VS_Shot=int(n >= 3)) for n, level in enumerate(levels)
    ]
    clip = core.std.Splice(clips)
    seen = {}
    for name, take in (("before", 0), ("middle", 3), ("after", 6)):
        big = upscale(clip, model=str(doubling(tmp_path / f"{name}.onnx", 9, take)), guard=0)
        seen[name] = [round((plane(big, 0, n)[30, 30] - 4096) / 56064, 2) for n in range(5)]
    assert seen["middle"] == levels
    assert seen["before"] == [0.1, 0.1, 0.2, 0.4, 0.4]
    assert seen["after"] == [0.2, 0.3, 0.3, 0.5, 0.5]


def test_scene_change_props_stop_neighbours_too(tmp_path: Path) -> None:
    clips = [painted(np.full((32, 32), level)) for level in (0.1, 0.2, 0.3)]
    clip = core.std.Splice([clips[0], clips[1].std.SetFrameProps(_SceneChangePrev=1), clips[2]])
    big = upscale(clip, model=str(doubling(tmp_path / "before.onnx", 15, 0)), guard=0)
    assert [round((plane(big, 0, n)[30, 30] - 4096) / 56064, 2) for n in range(3)] == [0.1, 0.2, 0.3]


def test_a_luma_network_leaves_chroma_alone(tmp_path: Path) -> None:
    path = doubling(tmp_path / "luma.onnx", 1, 0, 1)
    clip = scene()
    big, plain = upscale(clip, model=str(path), chroma="net"), upscale(clip, model="none")
    assert np.abs(plane(big, 1) - plane(plain, 1)).max() <= 1
    assert np.abs(plane(big) - plane(plain)).max() > 100
    rgb = upscale(clip.resize.Bicubic(format=vs.RGB48), model=str(path), guard=0)
    again = rgb.resize.Bicubic(format=vs.YUV444P16, matrix=6)
    assert np.abs(plane(again) - plane(upscale(clip, model=str(path), guard=0))).mean() < 256, "RGB goes by way of luma"


def test_alignment_is_found_and_padded(tmp_path: Path) -> None:
    weights = {"d": np.full((3, 3, 4, 4), 1 / 48, np.float32), "u": np.full((3, 3, 8, 8), 1 / 3, np.float32)}
    nodes = [
        helper.make_node("Conv", ["input", "d"], ["low"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("ConvTranspose", ["low", "u"], ["output"], kernel_shape=[8, 8], strides=[8, 8]),
    ]
    path = network(tmp_path / "down.onnx", nodes, weights)
    assert (inspect(path).scale, inspect(path).align) == (2, 4)
    big = upscale(scene(50, 38), model=str(path))
    assert (big.width, big.height) == (100, 76)
    big.get_frame(0)


def test_a_network_of_one_size_is_tiled_or_padded(tmp_path: Path) -> None:
    path = doubling(tmp_path / "fixed.onnx", size=(64, 48))
    assert inspect(path).fixed == (48, 64)
    for width, height in ((96, 72), (30, 20)):
        big = upscale(scene(width, height), model=str(path))
        assert (big.width, big.height) == (2 * width, 2 * height)
        assert np.abs(plane(big) - plane(upscale(scene(width, height), model="none"))).mean() < 1500


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated", "folder", "noise"])
def test_damaged_files_are_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    whole = load_model(DEFAULT_MODEL, "test").path.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        content = {"empty": b"", "text": b"not a network at all\n" * 9, "truncated": whole[: len(whole) // 2]}
        path.write_bytes(content.get(kind, np.random.default_rng(1).bytes(5000)))
    with pytest.raises((CustomValueError, FileNotFoundError), match=r"bad\.onnx"):
        upscale(scene(), model=str(path))


def test_networks_that_would_crash_a_runtime_are_named(tmp_path: Path) -> None:
    valid = np.zeros((3, 3, 3, 3), np.float32)
    shrinks = [helper.make_node("Conv", ["input", "w"], ["output"], kernel_shape=[3, 3])]
    strange = [helper.make_node("Gelu", ["input"], ["output"], domain="com.microsoft")]
    two = doubling(tmp_path / "two.onnx")
    proto = onnx.load(two)
    proto.graph.input.append(helper.make_tensor_value_info("other", 1, [1, 3, 8, 8]))
    onnx.save(proto, two)
    cases = {
        "no whole multiple": network(tmp_path / "shrinks.onnx", shrinks, {"w": valid}),
        "takes 4 planes": doubling(tmp_path / "four.onnx", 4),
        "gives 2 planes": doubling(tmp_path / "two_planes.onnx", 3, 0, 2),
        "opset 99": doubling(tmp_path / "new.onnx", opset=99),
        "com.microsoft": network(tmp_path / "strange.onnx", strange, {}),
        "fp32": network(
            tmp_path / "half.onnx", [helper.make_node("Relu", ["input"], ["output"])], {}, kind=TensorProto.FLOAT16
        ),
        "2 inputs": two,
    }
    for said, path in cases.items():
        with pytest.raises(CustomValueError, match=said):
            upscale(scene(), model=str(path))


# what cannot be


def test_tiny_and_odd_sizes_survive() -> None:
    code = """
import vapoursynth as vs
from ds9vs.upscale import upscale
core = vs.core
for fmt, sizes in ((vs.YUV420P8, ((2, 2), (4, 6), (18, 34), (16, 2))), (vs.YUV444P8, ((1, 1), (3, 5), (17, 9))),
                   (vs.RGB24, ((1, 1), (7, 3), (33, 1)))):
    for w, h in sizes:
        clip = core.std.BlankClip(width=w, height=h, format=fmt, length=1)
        if fmt != vs.RGB24:
            clip = clip.std.SetFrameProps(_Matrix=6)
        for backend in ("ov-cpu", "ort-cpu"):
            big = upscale(clip, backend=backend)
            assert (big.width, big.height) == (2 * w, 2 * h)
            big.get_frame(0)
print("whole")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "whole", done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "esrgan"}, "no model 'esrgan'; use one of"),
        ({"backend": "cuda"}, "no backend 'cuda'; use auto, trt"),
        ({"guard": 2}, "guard is 2"),
        ({"strength": -1}, "strength is -1"),
        ({"passes": 0}, "passes is 0"),
        ({"chroma": "none"}, "chroma is 'none'"),
        ({"width": 8}, "width is 8"),
        ({"height": 10**6}, "height is 1000000"),
        ({"backend": OpenVino(precision="int8")}, "precision is 'int8'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(CustomValueError, match=said):
        upscale(scene(), **options)


def test_clips_that_cannot_be_enlarged_are_named() -> None:
    with pytest.raises(CustomValueError, match="interlaced"):
        upscale(scene().std.SetFieldBased(2))
    with pytest.raises(CustomValueError, match="matrix=6"):
        upscale(scene().std.RemoveFrameProps("_Matrix"))
    with pytest.raises(CustomValueError, match="Gray"):
        upscale(scene().std.ShufflePlanes(0, vs.GRAY))
    assert upscale(scene().std.RemoveFrameProps("_Matrix"), matrix=5).get_frame(0).props["_Matrix"] == 5


def test_a_model_that_is_not_fetched_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS9VS_MODELS", str(tmp_path))
    with pytest.raises(CustomRuntimeError, match=f"ds9vs models get {FETCHED}"):
        upscale(scene(), model=FETCHED)
    assert upscale(scene(), model="none").width == 192


# backends


def test_auto_takes_the_first_that_runs_and_says_why_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "cuda_devices", lambda: ())
    choice = select_backend(load_model(DEFAULT_MODEL, "test"), 720, 480)
    assert choice.backend == OpenVino()
    assert [name for name, _ in choice.refused] == ["trt", "trt_rtx", "ort-cuda"]
    assert all(len(reason) > 10 for _, reason in choice.refused)


def test_a_missing_plugin_is_passed_over_by_auto_and_named_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from ds9vs import plugins

    real = plugins._function
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None if name.startswith("ov.") else real(name))
    monkeypatch.setattr(room, "cuda_devices", lambda: ())
    choice = select_backend(load_model(DEFAULT_MODEL, "test"), 64, 48)
    assert choice.backend == OrtCpu()
    assert "pip install 'vapoursynth-mlrt-ov" in dict(choice.refused)["ov-cpu"]
    with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-mlrt-ov"):
        upscale(scene(), backend="ov-cpu")


def test_no_plugin_at_all_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match="No backend can run"):
        upscale(scene(), model=FETCHED)


def test_backends_agree() -> None:
    clip = scene()
    exact = upscale(clip, backend="ort-cpu", guard=0)
    for backend, codes in ((OpenVino(precision="f32"), 0.05), (OpenVino(precision="bf16"), 4)):
        assert np.abs(plane(upscale(clip, backend=backend, guard=0)) - plane(exact)).max() / 256 < codes


def test_a_network_of_single_precision_gets_it_unless_the_user_says_otherwise() -> None:
    net = replace(load_model(DEFAULT_MODEL, "test"), exact=True)
    assert select_backend(net, 64, 48, backend="ov-cpu").backend == OpenVino(precision="f32")
    said = OpenVino(precision="bf16")
    assert select_backend(net, 64, 48, backend=said).backend == said
    exact = {name: kind().exactly().computes for name, kind in room.BACKENDS.items()}
    assert set(exact.values()) == {"f32"}


def test_every_backend_reports_and_none_crashes() -> None:
    reports = {report.name: report for report in explain_backends(["trt", "trt_rtx", "ort-cuda", "ov-cpu", "ncnn"])}
    assert reports["ov-cpu"].ran
    for name in ("trt", "trt_rtx", "ort-cuda", "ncnn"):
        assert reports[name].ran or reports[name].said.startswith("not run: "), reports[name]


def test_a_gpu_that_is_not_there_is_named_before_the_plugin_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "cuda_devices", lambda: ())
    monkeypatch.setattr(room, "vulkan_devices", lambda: ())
    for backend, said in (("ort-cuda", "no NVIDIA GPU"), ("ncnn", "no Vulkan device"), (Ncnn(software=True), "Vulkan")):
        with pytest.raises(CustomRuntimeError, match=said):
            upscale(scene(), backend=backend)
