"""What an ONNX network is: its scale, planes, alignment, receptive field and appetite, read from its graph.

May import the ground rooms only; `onnx` is imported inside functions. Never runs a network. Everything that makes a
runtime crash (planes, sizes that are no whole multiple, unknown operators) is found here, before a plugin sees it.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CustomValueError
from ..files import existing

if TYPE_CHECKING:
    import onnx

__all__ = ["Network", "inspect", "sha256"]

type Func = Callable[..., Any] | str

ALIGNMENTS = (1, 2, 4, 8, 16, 32, 64)
DEFAULT_OVERLAP = 32
"""Source pixels, where the receptive field cannot be read from the graph or is the whole picture."""
MAX_OVERLAP = 64
"""Source pixels; deep nets have a theoretical field of hundreds, and next to no weight beyond this."""
WHOLE_PICTURE = {"GlobalAveragePool", "GlobalMaxPool", "MatMul", "Softmax", "Attention"}
"""Operators that see all of the picture at once: tiles then differ slightly whatever the overlap."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """An ONNX file that is ready to run, and what a caller must know of it."""

    name: str
    """The registry's name, or the file's."""
    path: Path
    """The ONNX file."""
    sha256: str
    """Hash of the file."""
    scale: int
    """Output pixels per input pixel on each axis."""
    channels: int
    """Planes of the input, all pictures together: 3 is RGB or three luma pictures, 1 is luma, 9 three RGB pictures."""
    planes: int = 3
    """Planes of one picture, and of the output: 3 is RGB, 1 is luma."""
    align: int = 1
    """Width and height of the input must be multiples of this."""
    fixed: tuple[int, int] | None = None
    """Width and height, where the network takes one size only."""
    radius: int | None = None
    """How far, in input pixels, an output pixel looks; None: unknown, or the whole picture."""
    overlap: int = DEFAULT_OVERLAP
    """Input pixels that tiles share, on each side."""
    memory: int = 4096
    """Bytes for each input pixel at the height of the run, by the graph."""
    output: Literal["picture", "residual"] = "picture"
    """Whether the network gives the picture, or what is to be added to a Lanczos enlargement."""
    motion: bool = False
    """Whether neighbouring pictures are to be moved onto the middle one before the network sees them."""

    exact: bool = False
    """Whether it needs single precision: a backend that is given by name computes in it then."""

    @property
    def frames(self) -> int:
        """Neighbouring pictures that the network sees at once."""
        return max(1, self.channels // self.planes)

    @property
    def luma_only(self) -> bool:
        """Whether the network takes luma alone, of one picture or of several."""
        return self.planes == 1


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inspect(path: str | os.PathLike[str], func: Func = "inspect") -> Network:
    """Read a network's scale, planes, alignment and receptive field from its graph.

    Args:
        path: An .onnx file: one input (1, planes, height, width) in fp32 with values 0 to 1, one output, ONNX's own
            operators only. One plane out is luma; then the input's planes are neighbouring luma pictures. Its metadata
            may say `output` = residual (to be added to a Lanczos enlargement) and `motion` = moved (neighbours are
            to be moved onto the middle picture).
        func: The public function that asks, named in errors.

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomValueError: It is not such a network; the message says what is wrong with it.

    Example:
        >>> import onnx
        >>> up = onnx.helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2)
        >>> shape = lambda n, *s: onnx.helper.make_tensor_value_info(n, 1, [1, *s])
        >>> graph = onnx.helper.make_graph([up], "up", [shape("x", 12, "h", "w")], [shape("y", 3, "H", "W")])
        >>> onnx.save(onnx.helper.make_model(graph), tmp_path / "up.onnx")
        >>> network = inspect(tmp_path / "up.onnx")
        >>> network.scale, network.frames
        (2, 4)
    """
    found = existing(path, func)
    if not found.is_file():
        raise CustomValueError(f"{str(path)!r} is a folder; give an .onnx file.", func)
    state = found.stat()
    return _inspect(found, state.st_mtime_ns, state.st_size, func if isinstance(func, str) else func.__name__)


@functools.lru_cache(maxsize=32)
def _inspect(path: Path, mtime: int, size: int, func: str) -> Network:
    model = _load(path, func)
    value, channels, fixed = _input_of(model, path, func)
    shapes = _Shapes(_light(model), value.name, channels)
    scale, align, planes = _scale(shapes, fixed, path, func)
    said = {entry.key: entry.value for entry in model.metadata_props}
    radius, memory = _field(model, value.name, channels)
    overlap = DEFAULT_OVERLAP if radius is None else min(radius + 1, MAX_OVERLAP)
    return Network(
        name=path.stem,
        path=path,
        sha256=sha256(path),
        scale=scale,
        channels=channels,
        planes=planes,
        align=align,
        fixed=fixed,
        radius=radius,
        overlap=-(-overlap // align) * align,
        memory=memory,
        output="residual" if said.get("output") == "residual" else "picture",
        motion=said.get("motion") == "moved",
    )


def _load(path: Path, func: str) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        said = " ".join(str(error).split())[:120]
        raise CustomValueError(f"{str(path)!r} is not a whole ONNX network ({said}).", func) from error
    if not model.graph.node:
        raise CustomValueError(f"{str(path)!r} is not a whole ONNX network (it has no operators).", func)
    foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
    if foreign:
        raise CustomValueError(
            f"{str(path)!r} uses operators of {foreign[0]!r}; export it with ONNX's own operators only.", func
        )
    newest = onnx.defs.onnx_opset_version()
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if not 7 <= opset <= newest:
        raise CustomValueError(
            f"{str(path)!r} is written in ONNX opset {opset}; export it with 7 to {newest} (17 runs everywhere).",
            func,
        )
    return model


def _input_of(model: onnx.ModelProto, path: Path, func: str) -> tuple[onnx.ValueInfoProto, int, tuple[int, int] | None]:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise CustomValueError(
            f"{str(path)!r} has {len(inputs)} inputs and {len(model.graph.output)} outputs; one of each is needed.",
            func,
        )
    for value in (inputs[0], model.graph.output[0]):
        if value.type.tensor_type.elem_type != 1:
            raise CustomValueError(
                f"{str(path)!r} computes in other than fp32 at {value.name!r}; give the fp32 network, "
                "backends make fp16 and bf16 of it themselves.",
                func,
            )
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in inputs[0].type.tensor_type.shape.dim]
    if len(dims) != 4 or dims[0] > 1:
        raise CustomValueError(
            f"{str(path)!r} takes an input of shape {dims}; (1, planes, height, width) is needed.", func
        )
    if dims[1] not in (1, 5, 7) and (dims[1] == 0 or dims[1] % 3):
        raise CustomValueError(
            f"{str(path)!r} takes {dims[1] or 'an unknown number of'} planes; 1, 3, 5 or 7 (luma of that many "
            "neighbouring pictures), 3 (RGB) or a multiple of 3 (neighbouring RGB pictures) are known.",
            func,
        )
    if bool(dims[2]) != bool(dims[3]):
        raise CustomValueError(f"{str(path)!r} fixes one of height and width; fix both or neither.", func)
    return inputs[0], dims[1], (dims[3], dims[2]) if dims[2] else None


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without its weights (their shapes stay), so that shapes are inferred in milliseconds."""
    import onnx
    from onnx import helper

    light = onnx.ModelProto()
    light.CopyFrom(model)
    del light.graph.initializer[:]
    del light.graph.value_info[:]
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= 64:
            light.graph.initializer.append(tensor)
        elif tensor.name not in {value.name for value in light.graph.input}:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    return light


class _Shapes:
    """Output sizes of a network for given input sizes."""

    def __init__(self, light: onnx.ModelProto, name: str, channels: int) -> None:
        self.light, self.name, self.channels = light, name, channels

    def output(self, width: int, height: int) -> tuple[int, int, int] | None:
        """(planes, width, height) of the output; None where the graph does not say, or does not take that size."""
        import onnx

        value = next(value for value in self.light.graph.input if value.name == self.name)
        for dim, size in zip(value.type.tensor_type.shape.dim, (1, self.channels, height, width), strict=True):
            dim.dim_value = size
        try:
            inferred = onnx.shape_inference.infer_shapes(self.light, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError:
            return None
        dims = [d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim]
        return (dims[1], dims[3], dims[2]) if len(dims) == 4 and all(dims[1:]) else None


def _scale(shapes: _Shapes, fixed: tuple[int, int] | None, path: Path, func: str) -> tuple[int, int, int]:
    """Scale, alignment and planes of the output.

    The alignment is the smallest at which output sizes are whole multiples, the same on both axes.
    """
    sizes = [(1, [fixed])] if fixed else [(a, _sizes(a)) for a in ALIGNMENTS]
    seen: tuple[int, int, int] | None = None
    for align, tried in sizes:
        outputs = [(size, shapes.output(*size)) for size in tried]
        scales = set()
        for (width, height), output in outputs:
            seen = output or seen
            whole = output is not None and output[1] % width == 0 and output[2] % height == 0
            scales.add((output[1] // width, output[2] // height, output[0]) if output is not None and whole else None)
        if len(scales) == 1 and (only := scales.pop()) is not None and only[0] == only[1]:
            if only[2] not in (1, 3) or shapes.channels % only[2]:
                raise CustomValueError(
                    f"{str(path)!r} takes {shapes.channels} planes and gives {only[2]} planes; 1 (luma) or 3 (RGB) "
                    "are needed, out of pictures of as many.",
                    func,
                )
            return only[0], align, only[2]
    if seen is None:
        raise CustomValueError(
            f"The output size of {str(path)!r} cannot be read from its graph; export it with fixed height and width.",
            func,
        )
    raise CustomValueError(
        f"{str(path)!r} gives {seen[1]}x{seen[2]} pictures, which is no whole multiple of its input; "
        "pad inside the network so that it is.",
        func,
    )


def _sizes(align: int) -> list[tuple[int, int]]:
    base = -(-128 // align)
    return [(base * align, (base + 1) * align), ((base + 2) * align, (base + 3) * align)]


def _constants(model: onnx.ModelProto) -> dict[str, Any]:
    from onnx import numpy_helper

    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if math.prod(t.dims) <= 64}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _field(model: onnx.ModelProto, name: str, channels: int) -> tuple[int | None, int]:
    """Receptive radius in input pixels, and bytes an input pixel at the peak, by walking the graph.

    Each tensor carries (pixels per input pixel, radius, planes). Araujo et al., "Computing receptive fields of
    convolutional neural networks", Distill 2019, with resampling layers added.
    """
    depth = {tensor.name: tensor.dims[0] if tensor.dims else 1 for tensor in model.graph.initializer}
    axis = {t.name: t.dims[1] if len(t.dims) > 1 else 1 for t in model.graph.initializer}
    constants = _constants(model)
    known: dict[str, tuple[float, float, int]] = {name: (1.0, 0.0, channels)}
    whole, peak = False, 0.0
    for node in model.graph.node:
        before = [known[i] for i in node.input if i in known]
        if not before or node.op_type == "Shape":  # numbers about pictures are none
            continue
        scale, radius = max(s for s, _, _ in before), max(r for _, r, _ in before)
        planes = max(p for _, _, p in before)
        kernel = _attribute(node, "kernel_shape", [1])
        reach = (max(kernel) - 1) * max(_attribute(node, "dilations", [1])) / 2
        stride = max(_attribute(node, "strides", [1]))
        whole |= node.op_type in WHOLE_PICTURE
        match node.op_type:
            case "Conv":
                radius, scale, planes = radius + reach / scale, scale / stride, depth.get(node.input[1], planes)
            case "ConvTranspose":
                scale *= stride
                radius += reach / scale
                planes = axis.get(node.input[1], planes) * _attribute(node, "group", 1)
            case "AveragePool" | "MaxPool":
                radius, scale = radius + reach / scale, scale / stride
            case "DepthToSpace" | "SpaceToDepth":
                block = _attribute(node, "blocksize", 1)
                up = node.op_type == "DepthToSpace"
                radius += 0 if up else (block - 1) / scale
                scale, planes = (scale * block, planes // block**2) if up else (scale / block, planes * block**2)
            case "Resize" | "Upsample":
                factors = next(
                    (constants[i] for i in node.input[1:] if i in constants and constants[i].size == 4), None
                )
                mode = _attribute(node, "mode", b"nearest")
                radius += {b"nearest": 0.5, b"linear": 1.0, b"cubic": 2.0}.get(mode, 2.0) / scale
                whole |= factors is None
                scale *= 1.0 if factors is None else float(factors[-1])
            case "Concat" if _attribute(node, "axis", 1) == 1:
                planes = sum(p for _, _, p in before)
            case "Reshape" | "Transpose":
                whole = True  # pixels may have moved anywhere
        for output in node.output:
            known[output] = (scale, radius, planes)
        peak = max(peak, sum(s * s * p for s, _, p in [*before, (scale, radius, planes)]))
    largest = max(r for _, r, _ in known.values())
    return None if whole else math.ceil(largest), math.ceil(peak * 4 * 2)


def lines(network: Network) -> Iterator[str]:
    """The network in words, a line each, for cards and logs."""
    pictures = f"{network.frames} neighbouring pictures" if network.frames > 1 else "one picture"
    planes = "luma" if network.luma_only else "RGB"
    yield f"{network.scale}x, {planes}, {pictures} at a time, gives the {network.output}"
    size = f"{network.fixed[0]}x{network.fixed[1]} only" if network.fixed else f"multiples of {network.align}"
    yield f"sizes: {size}; tiles overlap by {network.overlap} pixels"
    yield f"sees {network.radius} pixels around each" if network.radius is not None else "sees all of the picture"
    yield f"about {network.memory / 1024:.0f} KiB of memory for each source pixel"
