"""Small classifiers as ONNX text, with random weights: what the tests of layers, scores and assembly explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]

# A convolution, a pool, a second convolution, global average pooling, a dense layer.
CNN = """
  c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)
  r1 = Relu(c1)
  p1 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1)
  c2 = Conv<pads=[1,1,1,1]>(p1, w2, b2)
  r2 = Relu(c2)
  gap = GlobalAveragePool(r2)
  flat = Flatten(gap)
"""
WEIGHTS = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w2": (8, 6, 3, 3), "b2": (8,), "w3": (8, 5), "b3": (5,), "w4": (8, 1), "b4": (1,),
}  # fmt: skip


def net(body: str, *, x: str = "float[N,3,16,16] x", y: str = "float[N,5] y", seed: int = 0) -> onnx.ModelProto:
    """A model with that body; it may use the weights of WEIGHTS."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({x}) => ({y}) {{ {body} }}'
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(seed)
    read = {name for node in model.graph.node for name in node.input}
    for name, shape in WEIGHTS.items():
        values = rng.normal(0.05, 0.4, shape).astype(np.float32)
        if name in read:
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


def cnn(ending: str = "y = Gemm(flat, w3, b3)", **options: Any) -> onnx.ModelProto:
    """The small classifier with that ending, which turns `flat`, (N, 8), into `y`."""
    return net(CNN + ending, **options)


def pictures(count: int, *shape: int, seed: int = 1) -> Array:
    """Random float32 inputs."""
    return np.random.default_rng(seed).normal(size=(count, *(shape or (3, 16, 16)))).astype(np.float32)


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """All outputs by name, from ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))
