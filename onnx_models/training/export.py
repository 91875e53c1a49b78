"""Writes trained weights as ONNX: convolutions, ReLU, Add and DepthToSpace, opset 17, any even height and width.

    python export.py WEIGHTS OUT.onnx [--model film-2x] [--toward OTHER --share 0.5]

The graph is built node by node, so that one set of weights is one file, whatever exporter is in fashion. Its metadata
says what `upscale()` must know: the output is a residual, and neighbours are to be moved. Checks that onnx's own
reference runtime gives what torch gives.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from net import build, load_weights
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 17


def graph_of(weights: dict[str, torch.Tensor], name: str) -> onnx.ModelProto:
    """The network as ONNX."""
    nodes, tensors = [], []

    def conv(value: str, layer: str, stride: int = 1) -> str:
        for part in ("weight", "bias"):
            tensors.append(numpy_helper.from_array(weights[f"{layer}.{part}"].numpy(), f"{layer}.{part}"))
        side = weights[f"{layer}.weight"].shape[-1]
        pad = (side - stride) // 2 if stride > 1 else side // 2
        nodes.append(
            helper.make_node(
                "Conv",
                [value, f"{layer}.weight", f"{layer}.bias"],
                [layer],
                name=layer,
                kernel_shape=[side, side],
                pads=[pad] * 4,
                strides=[stride, stride],
            )
        )
        return layer

    value = conv("input", "head", 2)
    for k in range(sum(key.endswith("first.weight") for key in weights)):
        first = conv(value, f"body.{k}.first")
        nodes.append(helper.make_node("Relu", [first], [f"body.{k}.relu"], name=f"body.{k}.relu"))
        second = conv(f"body.{k}.relu", f"body.{k}.second")
        nodes.append(helper.make_node("Add", [value, second], [f"body.{k}"], name=f"body.{k}"))
        value = f"body.{k}"
    tail, side = conv(value, "tail"), math.isqrt(len(weights["tail.bias"]))
    sizes = ["height", "width"] if side == 2 else ["height_2", "width_2"]
    nodes.append(helper.make_node("DepthToSpace", [tail], ["output"], name="output", blocksize=side, mode="CRD"))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, *sizes])],
        tensors,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="ds9vs"
    )
    helper.set_model_props(model, {"output": "residual", "motion": "moved"})
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Read the command line, write, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="film-2x")
    parser.add_argument("--toward", type=Path, help="weights of a network that was finished from the same ones")
    parser.add_argument("--share", type=float, default=0.5, help="of the way from WEIGHTS to --toward")
    given = parser.parse_args()
    weights = load_weights(given.weights)
    if given.toward:
        other = load_weights(given.toward)
        weights = {name: one + given.share * (other[name] - one) for name, one in weights.items()}
    net = build(given.model)
    net.load_state_dict(weights)
    model = graph_of(weights, given.model)
    fed = torch.rand(1, 3, 34, 46, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = net(fed).numpy()
    got = ReferenceEvaluator(model).run(None, {"input": fed.numpy()})[0]
    apart = float(np.abs(got - wanted).max())
    if apart > 1e-5:
        raise SystemExit(f"The ONNX file and torch differ by {apart}.")
    data = model.SerializeToString()
    temporary = given.out.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(given.out)
    print(
        f'onnx_sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        f"onnx_size = {len(data)}\n# differs from torch by {apart:.1e}"
    )


if __name__ == "__main__":
    main()
