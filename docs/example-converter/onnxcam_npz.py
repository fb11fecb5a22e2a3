"""A converter for onnxcam: nets of 3×3 convolutions whose weights lie in an .npz file.

The file holds `kernel0`, `bias0`, `kernel1` … (out, in, 3, 3) and `head` (classes, channels): each convolution is
followed by a ReLU, the last one by the mean over space and the head.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxcam.conversion import Conversion, Reference, Request
from onnxcam.errors import InvalidSource
from onnxcam.facts import note


def convert(request: Request) -> Conversion:
    """The net in the file, with something to check it against."""
    try:
        weights = dict(np.load(request.source, allow_pickle=False))
        depth = sum(name.startswith("kernel") for name in weights)
        model = build(weights, depth)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidSource(str(request.source), f"it is no net of convolutions ({error})") from error
    note(model, preprocessing={"preset": "unit"})
    return Conversion(model, "npz", reference=Reference("numpy", lambda inputs: [run(weights, depth, inputs[0])]))


def build(weights: dict[str, np.ndarray], depth: int) -> ModelProto:
    """The graph; its tensors bear the names that a user will ask for."""
    x, nodes = "input", []
    for i in range(depth):
        nodes.append(helper.make_node("Conv", [x, f"kernel{i}", f"bias{i}"], [f"sum{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"sum{i}"], [f"conv{i}"]))
        x = f"conv{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["features"]))
    nodes.append(helper.make_node("Gemm", ["features", "head"], ["scores"], transB=1))
    sizes = ["N", weights["kernel0"].shape[1], 32, 32]
    graph = helper.make_graph(
        nodes,
        "npz",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", len(weights["head"])])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(weights: dict[str, np.ndarray], depth: int, x: np.ndarray) -> np.ndarray:
    """The same net in numpy."""
    for i in range(depth):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
        x = np.einsum("nchwij,ocij->nohw", windows, weights[f"kernel{i}"]) + weights[f"bias{i}"][:, None, None]
        x = np.maximum(x, 0)
    return x.mean((2, 3)) @ weights["head"].T
