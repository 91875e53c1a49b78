"""ncnn networks (.param and .bin) to ONNX, exactly: the same weights, the same arithmetic, dynamic height and width.

Covers the layers of the SRVGG, RRDB, SPAN, CUGAN and waifu2x graphs. May import the ground rooms only; `onnx` is
imported inside functions. Never fetches or stores anything: bytes in, bytes out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CustomValueError

if TYPE_CHECKING:
    import onnx

__all__ = ["ncnn_to_onnx"]

type Func = Callable[..., Any] | str
type Value = int | float | list[int | float]

MAGIC = "7767517"
"""First line of a text .param file."""
OPSET = 17
"""The operators written; all of vs-mlrt's runtimes know them."""
FLOAT16_TAG = 0x01306B47
FLOAT32_TAGS = (0, 0x0002C056)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One line of a .param file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    outputs: tuple[str, ...]
    values: dict[int, Value]

    def integer(self, key: int, default: int = 0) -> int:
        """A numeric parameter by its ncnn number."""
        value = self.values.get(key, default)
        return default if isinstance(value, list) else int(value)

    def number(self, key: int, default: float) -> float:
        """A real parameter by its ncnn number."""
        value = self.values.get(key, default)
        return default if isinstance(value, list) else float(value)

    def several(self, key: int) -> list[int | float]:
        """An array parameter by its ncnn number; empty when it is not given."""
        value = self.values.get(key, [])
        return value if isinstance(value, list) else [value]


def _scalar(text: str) -> int | float:
    return float(text) if any(c in text for c in ".eE") else int(text)


def parse_param(text: str, func: Func) -> list[Layer]:
    """Read a text .param file.

    Raises:
        CustomValueError: It is not one, or is cut short.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise CustomValueError(
            f"The network's .param file does not begin with {MAGIC}; give the text form of an ncnn network.", func
        )
    layers = []
    try:
        count = int(lines[1].split()[0])
        for line in lines[2:]:
            words = line.split()
            if not words:
                continue
            kind, name, ins, outs = words[0], words[1], int(words[2]), int(words[3])
            values: dict[int, Value] = {}
            for word in words[4 + ins + outs :]:
                key, _, value = word.partition("=")
                if int(key) <= -23300:  # an array: its length, then its values
                    values[-int(key) - 23300] = [_scalar(part) for part in value.split(",")[1:]]
                else:
                    values[int(key)] = _scalar(value)
            outputs = tuple(words[4 + ins : 4 + ins + outs])
            layers.append(
                Layer(
                    kind=kind,
                    name=name,
                    inputs=tuple(words[4 : 4 + ins]),
                    output=outputs[0],
                    outputs=outputs,
                    values=values,
                )
            )
    except (ValueError, IndexError) as error:
        raise CustomValueError(f"The network's .param file is damaged: {error}.", func) from error
    if len(layers) != count:
        raise CustomValueError(f"The network's .param file names {count} layers and holds {len(layers)}.", func)
    return layers


class _Weights:
    """The .bin file, read in the order of the layers."""

    def __init__(self, data: bytes, func: Func) -> None:
        self.data, self.at, self.func = data, 0, func

    def raw(self, count: int) -> np.ndarray:
        """`count` floats without a tag."""
        return self._take(count, "<f4", 4 * count)

    def tagged(self, count: int) -> np.ndarray:
        """`count` weights that say whether they are half or single precision."""
        if self.at + 4 > len(self.data):
            raise self._short()
        (tag,) = struct.unpack_from("<I", self.data, self.at)
        self.at += 4
        if tag == FLOAT16_TAG:
            return self._take(count, "<f2", (2 * count + 3) // 4 * 4)
        if tag in FLOAT32_TAGS:
            return self.raw(count)
        raise CustomValueError(f"The network's .bin file has weights of an unknown kind ({tag:#x}).", self.func)

    def _take(self, count: int, dtype: str, size: int) -> np.ndarray:
        if self.at + size > len(self.data):
            raise self._short()
        values = np.frombuffer(self.data, dtype, count, self.at).astype(np.float32)
        self.at += size
        return values

    def _short(self) -> CustomValueError:
        return CustomValueError("The network's .bin file is cut short.", self.func)


class _Graph:
    """The ONNX graph while it grows: nodes, constants, and the channels of each tensor."""

    def __init__(self, weights: _Weights, channels: int, pad: int, func: Func) -> None:
        self.weights, self.channels, self.pad, self.func = weights, channels, pad, func
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.alias: dict[str, str] = {}
        self.depth: dict[str, int] = {}

    def constant(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"n{len(self.nodes)}", **attributes))

    def activated(self, layer: Layer, operator: str, inputs: list[str], **attributes: Any) -> None:
        """A layer with ncnn's fused activation (parameter 9: 0 none, 1 ReLU, 2 leaky ReLU, 4 sigmoid)."""
        kind = layer.integer(9)
        before = f"{layer.output}.pre" if kind else layer.output
        self.node(operator, inputs, before, **attributes)
        if kind == 1:
            self.node("Relu", [before], layer.output)
        elif kind == 2:
            self.node("LeakyRelu", [before], layer.output, alpha=float(layer.several(10)[0]))
        elif kind == 4:
            self.node("Sigmoid", [before], layer.output)
        elif kind:
            raise self.unknown(layer)

    def unknown(self, layer: Layer) -> CustomValueError:
        return CustomValueError(
            f"The network's layer {layer.name!r} ({layer.kind}) has options that have no exact ONNX form here.",
            self.func,
        )

    def add(self, layer: Layer) -> None:
        """Write one layer."""
        handler = _LAYERS.get(layer.kind)
        if handler is None:
            raise CustomValueError(
                f"The network has a layer {layer.kind!r}; known are {', '.join(sorted(_LAYERS))}.", self.func
            )
        handler(self, layer, [self.alias.get(name, name) for name in layer.inputs])


def _input(g: _Graph, layer: Layer, ins: list[str]) -> None:
    g.depth[layer.output] = g.channels
    if g.pad:
        g.node(
            "Pad",
            ["input", g.constant("pads", np.array([0, 0, g.pad, g.pad] * 2, np.int64))],
            layer.output,
            mode="edge",
        )
    else:
        g.alias[layer.output] = "input"
        g.depth["input"] = g.channels


def _split(g: _Graph, layer: Layer, ins: list[str]) -> None:
    for name in layer.outputs:
        g.alias[name] = ins[0]


def _convolution(g: _Graph, layer: Layer, ins: list[str]) -> None:
    count, kw = layer.integer(0), layer.integer(1)
    kh = layer.integer(11, kw)
    dw, sw, left = layer.integer(2, 1), layer.integer(3, 1), layer.integer(4)
    dh, sh, top = layer.integer(12, dw), layer.integer(13, sw), layer.integer(14, left)
    right, bottom = layer.integer(15, left), layer.integer(16, top)
    groups = layer.integer(7, 1) if layer.kind == "ConvolutionDepthWise" else 1
    size = layer.integer(6)
    weights = g.weights.tagged(size).reshape(count, size // (count * kw * kh), kh, kw)
    transposed = layer.kind == "Deconvolution"
    if transposed:
        weights = weights.transpose(1, 0, 2, 3)
    inputs = [ins[0], g.constant(f"{layer.name}.weight", weights)]
    if layer.integer(5):
        inputs.append(g.constant(f"{layer.name}.bias", g.weights.raw(count)))
    g.activated(
        layer,
        "ConvTranspose" if transposed else "Conv",
        inputs,
        kernel_shape=[kh, kw],
        strides=[sh, sw],
        dilations=[dh, dw],
        pads=[top, left, bottom, right],
        group=groups,
    )
    g.depth[layer.output] = count


def _inner_product(g: _Graph, layer: Layer, ins: list[str]) -> None:
    """A fully connected layer: on the globally pooled (1, C, 1, 1) tensor of these graphs, a 1x1 convolution."""
    count, size = layer.integer(0), layer.integer(2)
    inputs = [ins[0], g.constant(f"{layer.name}.weight", g.weights.tagged(size).reshape(count, size // count, 1, 1))]
    if layer.integer(1):
        inputs.append(g.constant(f"{layer.name}.bias", g.weights.raw(count)))
    g.activated(layer, "Conv", inputs, kernel_shape=[1, 1])
    g.depth[layer.output] = count


def _prelu(g: _Graph, layer: Layer, ins: list[str]) -> None:
    count = layer.integer(0)
    g.node(
        "PRelu", [ins[0], g.constant(f"{layer.name}.slope", g.weights.raw(count).reshape(count, 1, 1))], layer.output
    )
    g.depth[layer.output] = g.depth[ins[0]]


def _scale(g: _Graph, layer: Layer, ins: list[str]) -> None:
    count = layer.integer(0)
    g.depth[layer.output] = g.depth[ins[0]]
    if count == -233:  # the second input holds the factors
        g.node("Mul", ins, layer.output)
        return
    factor = g.constant(f"{layer.name}.scale", g.weights.raw(count).reshape(1, count, 1, 1))
    if not layer.integer(1):
        g.node("Mul", [ins[0], factor], layer.output)
        return
    g.node("Mul", [ins[0], factor], f"{layer.output}.scaled")
    bias = g.constant(f"{layer.name}.bias", g.weights.raw(count).reshape(1, count, 1, 1))
    g.node("Add", [f"{layer.output}.scaled", bias], layer.output)


def _memory(g: _Graph, layer: Layer, ins: list[str]) -> None:
    sizes = [size for size in (layer.integer(2), layer.integer(1), layer.integer(0)) if size]
    shape = [1] * (4 - len(sizes)) + sizes
    g.constant(layer.output, g.weights.raw(math.prod(shape)).reshape(shape))
    g.depth[layer.output] = shape[1]


def _concat(g: _Graph, layer: Layer, ins: list[str]) -> None:
    if layer.integer(0):
        raise g.unknown(layer)
    g.node("Concat", ins, layer.output, axis=1)
    g.depth[layer.output] = sum(g.depth[name] for name in ins)


def _eltwise(g: _Graph, layer: Layer, ins: list[str]) -> None:
    operator = {0: "Mul", 1: "Sum", 2: "Max"}.get(layer.integer(0))
    if operator is None:
        raise g.unknown(layer)
    terms = list(ins)
    for k, factor in enumerate(layer.several(1) if operator == "Sum" else []):
        if factor != 1:
            terms[k] = f"{layer.output}.term{k}"
            g.node("Mul", [ins[k], g.constant(f"{layer.name}.factor{k}", np.array(factor, np.float32))], terms[k])
    if operator == "Sum" and len(terms) == 2:
        operator = "Add"
    g.node(operator, terms, layer.output)
    g.depth[layer.output] = g.depth[ins[0]]


def _binary(g: _Graph, layer: Layer, ins: list[str]) -> None:
    operator = {0: "Add", 1: "Sub", 2: "Mul", 3: "Div"}.get(layer.integer(0))
    if operator is None:
        raise g.unknown(layer)
    if layer.integer(1):
        ins = [ins[0], g.constant(f"{layer.name}.scalar", np.array(layer.number(2, 0.0), np.float32))]
    g.node(operator, ins, layer.output)
    g.depth[layer.output] = max(g.depth.get(name, 1) for name in ins)


def _sigmoid(g: _Graph, layer: Layer, ins: list[str]) -> None:
    g.node("Sigmoid", ins, layer.output)
    g.depth[layer.output] = g.depth[ins[0]]


def _swish(g: _Graph, layer: Layer, ins: list[str]) -> None:
    g.node("Sigmoid", ins, f"{layer.output}.gate")
    g.node("Mul", [ins[0], f"{layer.output}.gate"], layer.output)
    g.depth[layer.output] = g.depth[ins[0]]


def _relu(g: _Graph, layer: Layer, ins: list[str]) -> None:
    slope = layer.number(0, 0.0)
    if slope:
        g.node("LeakyRelu", ins, layer.output, alpha=slope)
    else:
        g.node("Relu", ins, layer.output)
    g.depth[layer.output] = g.depth[ins[0]]


def _pixel_shuffle(g: _Graph, layer: Layer, ins: list[str]) -> None:
    g.node("DepthToSpace", ins, layer.output, blocksize=layer.integer(0), mode="CRD")
    g.depth[layer.output] = g.depth[ins[0]] // layer.integer(0) ** 2


def _interp(g: _Graph, layer: Layer, ins: list[str]) -> None:
    """Resize as ncnn does: nearest floors, linear and cubic (a = -0.75) take half-pixel centres, not antialiased."""
    mode = {1: "nearest", 2: "linear", 3: "cubic"}.get(layer.integer(0))
    if mode is None or layer.integer(6):
        raise g.unknown(layer)
    factors = np.array([1, 1, layer.number(1, 1.0), layer.number(2, 1.0)], np.float32)
    grid: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel"}
    if mode == "nearest":
        grid = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif mode == "cubic":
        grid["cubic_coeff_a"] = -0.75
    g.node("Resize", [ins[0], "", g.constant(f"{layer.name}.factors", factors)], layer.output, mode=mode, **grid)
    g.depth[layer.output] = g.depth[ins[0]]


def _pooling(g: _Graph, layer: Layer, ins: list[str]) -> None:
    if layer.integer(4) != 1 or layer.integer(0) != 1:
        raise g.unknown(layer)
    g.node("GlobalAveragePool", ins, layer.output)
    g.depth[layer.output] = g.depth[ins[0]]


def _crop(g: _Graph, layer: Layer, ins: list[str]) -> None:
    """By starts, ends and axes (ncnn counts axes without the batch), or the same border off every side."""
    if 9 in layer.values:
        axes = [int(axis) + (4 if axis < 0 else 1) for axis in layer.several(11)]
        starts, ends = [int(v) for v in layer.several(9)], [int(v) for v in layer.several(10)]
    else:
        left, top = layer.integer(0), layer.integer(1)
        axes, starts, ends = [2, 3], [top, left], [-top, -left]
    parts = [("starts", starts), ("ends", ends), ("axes", axes)]
    names = [g.constant(f"{layer.name}.{part}", np.array(value, np.int64)) for part, value in parts]
    g.node("Slice", [ins[0], *names], layer.output)
    g.depth[layer.output] = g.depth[ins[0]]


_LAYERS: dict[str, Callable[[_Graph, Layer, list[str]], None]] = {
    "BinaryOp": _binary,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "Crop": _crop,
    "Deconvolution": _convolution,
    "Eltwise": _eltwise,
    "InnerProduct": _inner_product,
    "Input": _input,
    "Interp": _interp,
    "MemoryData": _memory,
    "PReLU": _prelu,
    "PixelShuffle": _pixel_shuffle,
    "Pooling": _pooling,
    "ReLU": _relu,
    "Scale": _scale,
    "Sigmoid": _sigmoid,
    "Split": _split,
    "Swish": _swish,
}


def ncnn_to_onnx(param: bytes, weights: bytes, *, channels: int = 3, pad: int = 0, name: str = "network") -> bytes:
    r"""An ncnn network as an ONNX file: input (1, channels, height, width), fp32, values 0 to 1.

    The same file gives the same bytes. Compared with ncnn itself: 11 networks within 6e-5 of
    their output's range.

    Args:
        param: The text .param file.
        weights: The .bin file; half-precision weights are widened, which is exact.
        channels: Planes of the input.
        pad: Pixels that are repeated outwards on every side before the network: one whose convolutions do not pad
            loses as many, and gives whole multiples of its input with them.
        name: What the graph is called.

    Raises:
        CustomValueError: A file is damaged or cut short, or has a layer that has no exact ONNX form here.

    Example:
        >>> param = b"7767517\n2 2\nInput in 0 1 x\nPixelShuffle up 1 1 x y 0=2\n"
        >>> len(ncnn_to_onnx(param, b"", channels=4)) > 50
        True
    """
    import onnx
    from onnx import TensorProto, helper

    layers = parse_param(param.decode("ascii", "replace"), ncnn_to_onnx)
    reader = _Weights(weights, ncnn_to_onnx)
    graph = _Graph(reader, channels, pad, ncnn_to_onnx)
    for layer in layers:
        graph.add(layer)
    if reader.at != len(weights):
        raise CustomValueError(
            f"The network's .bin file has {len(weights) - reader.at} bytes more than its layers.", ncnn_to_onnx
        )
    used = {name for layer in layers for name in layer.inputs}
    last = next(layer for layer in reversed(layers) if not used & set(layer.outputs))
    for node in graph.nodes:
        for k, output in enumerate(node.output):
            node.output[k] = "output" if output == last.output else output
    proto = helper.make_graph(
        graph.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, "height", "width"])],
        [
            helper.make_tensor_value_info(
                "output", TensorProto.FLOAT, [1, graph.depth[last.output], "out_height", "out_width"]
            )
        ],
        graph.constants,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="ds9vs", producer_version="1"
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
