"""Networks that come as PyTorch weights, to ONNX, exactly and without PyTorch: the same numbers, the same arithmetic.

May import the ground rooms only; `onnx` is imported inside functions. Never fetches or stores anything: bytes in, bytes
out. A pickle can run anything when it is read: this reader lets it name tensors and dictionaries, and nothing else.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CustomValueError

if TYPE_CHECKING:
    import onnx

__all__ = ["read_tensors", "rife_to_onnx", "widened"]

type Func = Callable[..., Any] | str
type Box = tuple[int, int]

OPSET = 17
STORAGES = {"FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"), "LongStorage": np.dtype("<i8")}
FLOAT, HALF = 1, 10
"""ONNX's numbers of the two precisions."""


class _Reader(pickle.Unpickler):
    """Only what the weights of a network are made of."""

    def __init__(self, archive: zipfile.ZipFile, func: Func) -> None:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise CustomValueError("The network's weights are no file of PyTorch 1.6 or later.", func)
        super().__init__(io.BytesIO(archive.read(names[0])))
        self.archive, self.folder, self.func = archive, names[0].removesuffix("/data.pkl"), func

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise CustomValueError(f"The network's weights name {module}.{name}, which is not read here.", self.func)

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, kind, key, _, count = pid
        found = np.frombuffer(self.archive.read(f"{self.folder}/data/{key}"), kind)
        if found.size != count:
            raise CustomValueError("The network's weights are cut short.", self.func)
        return found

    def _tensor(self, storage: np.ndarray, offset: int, size: tuple[int, ...], stride: Any, *_: Any) -> np.ndarray:
        count = math.prod(size)
        plain = tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))
        if tuple(stride) != plain or not 0 <= offset <= offset + count <= storage.size:
            raise CustomValueError("The network's weights do not lie in order.", self.func)
        return storage[offset : offset + count].reshape(size)


def read_tensors(data: bytes, func: Func = "read_tensors") -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file (.pth or .pkl: a zip archive with a pickled dictionary), by name.

    Raises:
        CustomValueError: It is not one, is damaged, or holds something other than tensors by name.

    Example:
        >>> read_tensors(b"no archive")
        Traceback (most recent call last):
        ...
        ValueError: (read_tensors) The network's weights are damaged (BadZipFile).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = _Reader(archive, func).load()
    except (zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ValueError, TypeError, EOFError) as error:
        if isinstance(error, CustomValueError):
            raise
        raise CustomValueError(f"The network's weights are damaged ({type(error).__name__}).", func) from error
    tensors = {str(name): value for name, value in dict(found).items() if isinstance(value, np.ndarray)}
    if not tensors:
        raise CustomValueError("The network's weights hold no tensors.", func)
    return tensors


class _Graph:
    """An ONNX graph that is written node by node; each call gives the name of what it makes."""

    def __init__(self, tensors: dict[str, np.ndarray], func: Func) -> None:
        self.tensors, self.func = tensors, func
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, *shape: int) -> str:
        if name not in self.tensors:
            raise CustomValueError(f"The network's weights lack {name!r}.", self.func)
        return self.constant(self.tensors[name].astype(np.float32).reshape(shape or self.tensors[name].shape), name)

    def constant(self, value: Any, name: str = "", kind: Any = np.float32) -> str:
        from onnx import numpy_helper

        array = np.asarray(value, None if name else kind)
        name = name or f"c{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        made = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [made], name=f"n{len(self.nodes)}", **attributes))
        return made

    def planes(self, value: str, first: int, stop: int) -> str:
        box = [self.constant([number], kind=np.int64) for number in (first, stop, 1)]
        return self.node("Slice", value, *box)

    def resize(self, value: str, factor: float) -> str:
        if factor == 1:
            return value
        factors = self.constant([1, 1, factor, factor])
        return self.node("Resize", value, "", factors, mode="linear", coordinate_transformation_mode="half_pixel")

    def convolution(self, value: str, name: str, stride: int = 1) -> str:
        """3x3, with its PReLU."""
        weights = self.weight(f"{name}.0.weight"), self.weight(f"{name}.0.bias")
        made = self.node("Conv", value, *weights, kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2)
        return self.node("PRelu", made, self.weight(f"{name}.1.weight", -1, 1, 1))


def rife_to_onnx(weights: bytes, *, name: str = "rife") -> bytes:
    """RIFE 4.0's flownet as an ONNX file in vs-mlrt's layout of 11 planes, width and height multiples of 32.

    Zhewei Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022. The network
    proper, at full resolution and without the refinement that its own program leaves out too. That program doubles its
    four scales where the motion found exceeds 32 pixels at the second: a choice by content, which a graph cannot make;
    those pictures are taken at the plain scales.

    Args:
        weights: The file flownet.pkl.
        name: What the graph is called.

    Raises:
        CustomValueError: The file is damaged, or holds another network.

    Example:
        >>> rife_to_onnx(b"")
        Traceback (most recent call last):
        ...
        ValueError: (rife_to_onnx) The network's weights are damaged (BadZipFile).
    """
    from onnx import TensorProto, helper

    tensors = read_tensors(weights, rife_to_onnx)
    g = _Graph({key.removeprefix("module."): value for key, value in tensors.items()}, rife_to_onnx)
    before, after, time, across, down, step_x, step_y = (
        g.planes("input", *box) for box in ((0, 3), (3, 6), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11))
    )

    def moved(picture: str, flow: str) -> str:
        x = g.node("Add", across, g.node("Mul", g.planes(flow, 0, 1), step_x))
        y = g.node("Add", down, g.node("Mul", g.planes(flow, 1, 2), step_y))
        grid = g.node("Transpose", g.node("Concat", x, y, axis=1), perm=[0, 2, 3, 1])
        return g.node("GridSample", picture, grid, mode="bilinear", padding_mode="border", align_corners=1)

    def block(number: int, given: str, flow: str, scale: int) -> tuple[str, str]:
        value = g.resize(given, 1 / scale)
        if flow:
            value = g.node("Concat", value, g.node("Mul", g.resize(flow, 1 / scale), g.constant(1 / scale)), axis=1)
        first = g.convolution(g.convolution(value, f"block{number}.conv0.0", 2), f"block{number}.conv0.1", 2)
        made = first
        for layer in range(8):
            made = g.convolution(made, f"block{number}.convblock.{layer}")
        last = [g.weight(f"block{number}.lastconv.{part}") for part in ("weight", "bias")]
        made = g.node(
            "ConvTranspose", g.node("Add", made, first), *last, kernel_shape=[4, 4], pads=[1] * 4, strides=[2, 2]
        )
        made = g.resize(made, scale * 2)
        return g.node("Mul", g.planes(made, 0, 4), g.constant(scale * 2)), g.planes(made, 4, 5)

    flow, mask = block(0, g.node("Concat", before, after, time, axis=1), "", 8)
    for number, scale in ((1, 4), (2, 2), (3, 1)):
        pair = moved(before, g.planes(flow, 0, 2)), moved(after, g.planes(flow, 2, 4))
        more, change = block(number, g.node("Concat", *pair, time, mask, axis=1), flow, scale)
        flow, mask = g.node("Add", flow, more), g.node("Add", mask, change)
    share = g.node("Sigmoid", mask)
    first = g.node("Mul", moved(before, g.planes(flow, 0, 2)), share)
    second = g.node("Mul", moved(after, g.planes(flow, 2, 4)), g.node("Sub", g.constant(1.0), share))
    g.node("Add", first, second, output="output")
    graph = helper.make_graph(
        g.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 11, "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "height", "width"])],
        list(g.constants.values()),
    )
    return _written(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8))


def widened(half: bytes, weights: bytes, *, prefix: str = "", name: str = "network") -> bytes:
    """An ONNX network of half precision in single, with the weights that it was rounded from.

    Args:
        half: The .onnx file: what computes in half precision computes in single, and numbers in the graph's nodes are
            taken for the simplest fractions that round to them.
        weights: The PyTorch file whose tensors bear the names of the graph's constants.
        prefix: What the graph puts before those names.
        name: What the graph is called.

    Raises:
        CustomValueError: A file is damaged, or they are not one network: every tensor must round to the graph's.

    Example:
        >>> widened(b"", b"")
        Traceback (most recent call last):
        ...
        ValueError: (widened) The network's graph is damaged.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import numpy_helper

    try:
        model = onnx.load_from_string(half)
    except DecodeError as error:
        raise CustomValueError("The network's graph is damaged.", widened) from error
    if not model.graph.node:
        raise CustomValueError("The network's graph is damaged.", widened)
    tensors = read_tensors(weights, widened)
    for tensor in model.graph.initializer:
        if tensor.data_type != HALF:
            continue
        rounded = numpy_helper.to_array(tensor)
        exact = tensors.get(tensor.name.removeprefix(prefix))
        if exact is None or exact.shape != rounded.shape or not np.array_equal(exact.astype(np.float16), rounded):
            raise CustomValueError(f"The network's weights are not those of its graph at {tensor.name!r}.", widened)
        tensor.CopyFrom(numpy_helper.from_array(exact.astype(np.float32), tensor.name))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.tensor_type.elem_type == HALF:
            value.type.tensor_type.elem_type = FLOAT
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == HALF:
                attribute.i = FLOAT
            if attribute.HasField("t") and attribute.t.data_type == HALF:
                value = numpy_helper.to_array(attribute.t)
                wide = np.array([_unrounded(float(one)) for one in value.flat], np.float32).reshape(value.shape)
                attribute.t.CopyFrom(numpy_helper.from_array(wide, attribute.t.name))
    model.graph.name = name
    return _written(model)


def _unrounded(half: float) -> float:
    """The simplest fraction that rounds to a number of half precision: 0.6665 was 2/3, 0.60010 was 3/5."""
    for most in range(1, 1000):
        found = Fraction(half).limit_denominator(most)
        if float(np.float16(float(found))) == half:
            return float(found)
    return half


def _written(model: onnx.ModelProto) -> bytes:
    import onnx

    model.producer_name, model.producer_version = "ds9vs", "1"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
