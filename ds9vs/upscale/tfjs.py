"""TensorFlow.js networks (model.json and its weights) to ONNX, exactly: the same weights, the same arithmetic.

Covers the layers of RDN and RRDN graphs. May import the ground rooms only; `onnx` is imported inside functions. Never
fetches or stores anything: bytes in, bytes out.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from ..errors import CustomValueError

__all__ = ["tfjs_to_onnx"]

OPSET = 17


def tfjs_to_onnx(graph: bytes, weights: bytes, *, name: str = "network") -> bytes:
    """A network of TensorFlow.js's layers format as an ONNX file: input (1, 3, height, width), fp32, values 0 to 1.

    Args:
        graph: The file model.json.
        weights: The files that it names, in a row, in fp32.
        name: What the graph is called.

    Raises:
        CustomValueError: A file is damaged or cut short, or has a layer that has no exact ONNX form here.

    Example:
        >>> tfjs_to_onnx(b"{}", b"")
        Traceback (most recent call last):
        ...
        ValueError: (tfjs_to_onnx) The network's model.json is damaged (KeyError).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    try:
        model = json.loads(graph)
        config = model["modelTopology"]["model_config"]["config"]
        layers, last = config["layers"], config["output_layers"][0][0]
        tensors = _tensors(model["weightsManifest"], weights)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, CustomValueError):
            raise
        raise CustomValueError(
            f"The network's model.json is damaged ({type(error).__name__}).", tfjs_to_onnx
        ) from error
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(values: Any, called: str) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), called))
        return called

    for layer in layers:
        kind, called, options = layer["class_name"], layer["config"]["name"], layer["config"]
        if kind == "InputLayer":
            first = called
            continue
        inputs = [node[0] for node in layer["inbound_nodes"][0]]
        made: dict[str, Any] = {}
        if kind == "Conv2D" and _plain(options) and f"{called}/kernel" in tensors:
            operator = "Conv"
            kernel = tensors[f"{called}/kernel"].transpose(3, 2, 0, 1)
            made = {"kernel_shape": list(kernel.shape[2:])}
            made["pads"] = [(size - 1) // 2 for size in kernel.shape[2:]] * 2
            inputs += [constant(kernel, f"{called}/kernel"), constant(tensors[f"{called}/bias"], f"{called}/bias")]
        elif kind == "Activation" and options["activation"] == "relu":
            operator = "Relu"
        elif kind == "Concatenate" and options["axis"] in (3, -1):
            operator, made = "Concat", {"axis": 1}
        elif kind == "Add" and len(inputs) == 2:
            operator = "Add"
        elif kind == "MultiplyBeta":
            operator = "Mul"
            inputs.append(constant(options.get("beta", 0.2), f"{called}/beta"))
        elif re.fullmatch(r"PixelShuffle[0-9]x", kind):
            operator, made = "DepthToSpace", {"blocksize": int(kind[12]), "mode": "DCR"}
        else:
            raise CustomValueError(
                f"The network's layer {called!r} ({kind}) has no exact ONNX form here.", tfjs_to_onnx
            )
        nodes.append(helper.make_node(operator, inputs, [called], name=called, **made))
    for node in nodes:
        node.input[:] = ["input" if value == first else value for value in node.input]
        node.output[:] = ["output" if value == last else value for value in node.output]
    made_graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "out_height", "out_width"])],
        constants,
    )
    proto = helper.make_model(
        made_graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="ds9vs",
        producer_version="1",
    )
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))


def _plain(options: dict[str, Any]) -> bool:
    """A convolution of odd size that pads with zeros to the size it got, without an activation of its own."""
    return bool(
        options["padding"] == "same"
        and options["strides"] == [1, 1]
        and options.get("dilation_rate", [1, 1]) == [1, 1]
        and options["activation"] == "linear"
        and options["use_bias"]
        and all(size % 2 for size in options["kernel_size"])
    )


def _tensors(manifest: Any, weights: bytes) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for group in manifest:
        for entry in group["weights"]:
            count = math.prod(entry["shape"])
            if entry["dtype"] != "float32" or "quantization" in entry or at + 4 * count > len(weights):
                raise CustomValueError("The network's weights are cut short, or not in fp32.", tfjs_to_onnx)
            found[entry["name"]] = np.frombuffer(weights, "<f4", count, at).reshape(entry["shape"])
            at += 4 * count
    if at != len(weights):
        raise CustomValueError(f"The network's weights have {len(weights) - at} bytes more than named.", tfjs_to_onnx)
    return found
