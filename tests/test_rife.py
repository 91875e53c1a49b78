"""rife() gives a network of vs-mlrt's layouts what it takes, and its pictures back in the clip's own format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError, FileWasNotFoundError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from vapoursynth import core

from conftest import photograph
from ds9vs.between import between, blend
from ds9vs.measures import psnr
from ds9vs.rife import rife


def view(time: float, fmt: int = vs.YUV420P8, width: int = 110, height: int = 70) -> vs.VideoNode:
    still = photograph(200, 140, sharp=0.15, contrast=30)
    window = {"src_left": 20 + 6 * time, "src_top": 20.0, "src_width": width, "src_height": height}
    return still.resize.Bicubic(width, height, format=fmt, **window)


def network(path: Path, planes: int, nodes: list[onnx.NodeProto]) -> Path:
    """A network of RIFE's input, cut into "a", "b", "t" and, of 11 planes, "x", "y", "sx", "sy"."""
    sizes = [3, 3, 1] + [1] * (planes - 7)
    cut = helper.make_node("Split", ["input", "sizes"], ["a", "b", "t", "x", "y", "sx", "sy"][: len(sizes)], axis=1)
    graph = helper.make_graph(
        [cut, *nodes],
        "rife",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, planes, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [
            numpy_helper.from_array(np.array(sizes), "sizes"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
            numpy_helper.from_array(np.array(6, np.float32), "six"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def mixing(path: Path, planes: int) -> Path:
    """(1 - t) a + t b."""
    make = helper.make_node
    return network(
        path,
        planes,
        [
            make("Sub", ["one", "t"], ["rest"]),
            make("Mul", ["a", "rest"], ["first"]),
            make("Mul", ["b", "t"], ["second"]),
            make("Add", ["first", "second"], ["output"]),
        ],
    )


def shifting(path: Path) -> Path:
    """The first picture, fetched t times six samples further right by the grids, as RIFE warps."""
    make = helper.make_node
    return network(
        path,
        11,
        [
            make("Mul", ["t", "six"], ["far"]),
            make("Mul", ["far", "sx"], ["step"]),
            make("Add", ["x", "step"], ["there"]),
            make("Concat", ["there", "y"], ["grid"], axis=1),
            make("Transpose", ["grid"], ["last"], perm=[0, 2, 3, 1]),
            make("GridSample", ["a", "last"], ["output"], mode="bilinear", padding_mode="border", align_corners=1),
        ],
    )


def luma(clip: vs.VideoNode) -> NDArray[np.float64]:
    with clip.get_frame(0) as frame:
        return np.array(frame[0]).astype(float)


@pytest.mark.parametrize("backend", ["ort-cpu", "ov-cpu"])
@pytest.mark.parametrize("planes", [7, 11])
def test_both_pictures_and_the_time_arrive(planes: int, backend: str, tmp_path: Path) -> None:
    make = rife(mixing(tmp_path / "mix.onnx", planes), backend=backend)
    a, b = view(0), view(1)
    for time in (0.25, 0.5):
        assert np.abs(luma(make(a, b, time)) - luma(blend(a, b, time=time))).max() <= 2


def test_the_grids_are_those_of_the_padded_picture(tmp_path: Path) -> None:
    make = rife(shifting(tmp_path / "shift.onnx"), backend="ort-cpu")
    found = luma(make(view(0), view(1), 0.5))
    assert np.abs(found[:, :100] - luma(view(0))[:, 3:103]).max() <= 2


@pytest.mark.parametrize("fmt", [vs.YUV420P8, vs.YUV422P10, vs.YUV444PS, vs.GRAY8, vs.GRAY16])
def test_the_format_and_levels_stay(fmt: int, tmp_path: Path) -> None:
    make = rife(mixing(tmp_path / "mix.onnx", 11), backend="ort-cpu")
    clip = view(0, fmt)
    same = make(clip, clip, 0.5)
    assert (same.format, same.width, same.height) == (clip.format, clip.width, clip.height)
    top = 1 if fmt == vs.YUV444PS else 1 << clip.format.bits_per_sample
    for plane in range(clip.format.num_planes):
        with same.get_frame(0) as a, clip.get_frame(0) as b:
            error = np.array(a[plane]).astype(float) - np.array(b[plane]).astype(float)
        assert np.abs(error).mean() < top / 256


def test_between_takes_what_moved_rightly_and_no_double_images(tmp_path: Path) -> None:
    a, b, truth = view(0), view(1), view(0.5)
    right = between(a, b, make=rife(shifting(tmp_path / "shift.onnx"), backend="ort-cpu"))
    assert psnr(right.std.Crop(right=10), truth.std.Crop(right=10))[0] > psnr(a, truth)[0] + 8
    double = between(a, b, make=rife(mixing(tmp_path / "mix.onnx", 7), backend="ort-cpu"))
    assert psnr(double, a)[0] > psnr(blend(a, b), a)[0] + 4


def test_a_clip_is_not_touched_before_a_picture_is_asked_for(tmp_path: Path) -> None:
    asked: list[int] = []

    def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        asked.append(n)
        return f

    a = view(0).std.Loop(5)
    clip = rife(mixing(tmp_path / "mix.onnx", 11), backend="ort-cpu")(a.std.ModifyFrame(a, note), a, 0.5)
    assert asked == []
    clip.get_frame(3).close()
    assert asked == [3]


def test_the_registrys_is_had_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS9VS_MODELS", str(tmp_path))
    with pytest.raises(CustomRuntimeError, match="type: ds9vs models get rife"):
        rife()


def test_what_is_no_such_network_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileWasNotFoundError):
        rife(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(CustomValueError):
        rife(tmp_path / "bad.onnx")
    other = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "other",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "h", "w"])],
    )
    onnx.save(helper.make_model(other), tmp_path / "other.onnx")
    with pytest.raises(CustomValueError, match="11 or 7"):
        rife(tmp_path / "other.onnx")
    with pytest.raises(CustomValueError, match="align"):
        rife(mixing(tmp_path / "mix.onnx", 11), align=0)
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=1)
    with pytest.raises((CustomValueError, CustomRuntimeError), match="no backend"):
        rife(tmp_path / "mix.onnx", backend="gpu")(clip, clip, 0.5)
