"""The first opset that is read, which ONNX Runtime does not know, and types that opset 18 lacks."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.helper
import pytest
from onnx import ModelProto, TensorProto
from onnx_runs import Array, run

from onnxcam.graph.opset import to_opset_18

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
B = RNG.normal(size=3).astype(np.float32)
P = RNG.uniform(1, 2, size=3).astype(np.float32)
COLUMN = B[:, None, None]
# Name, text of opset 6, and what it means by numpy.
FIRST = [
    ("Add from an axis on", "y = Add <broadcast = 1, axis = 1> (x, b)", X + COLUMN),
    ("Div after another op", "t = Abs (x) y = Div <broadcast = 1, axis = 1> (t, b)", np.abs(X) / COLUMN),
    ("Sub of the last axes", "t = Transpose <perm = [0, 2, 3, 1]> (x) y = Sub <broadcast = 1> (t, b)",
     X.transpose(0, 2, 3, 1) - B),
    ("PRelu by channel", "y = PRelu (x, b)", np.where(X < 0, X * COLUMN, X)),
    ("BatchNormalization", "y = BatchNormalization <is_test = 1, epsilon = 0.0> (x, b, b, b, p)",
     (X - COLUMN) / np.sqrt(P[:, None, None]) * COLUMN + COLUMN),
    ("Dropout", "y, m = Dropout <is_test = 1, ratio = 0.3> (x)", X),
    ("Gemm, stretched", "t = Flatten <axis = 3> (x) y = Gemm <broadcast = 1, transB = 1> (t, t, s)",
     X.reshape(24, 5) @ X.reshape(24, 5).T + 2),
    ("Upsample", "y = Upsample <height_scale = 2.0, width_scale = 3.0> (x)", X.repeat(2, 2).repeat(3, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in FIRST], ids=[row[0] for row in FIRST])
def test_opset_6_means_what_it_meant(text: str, expected: Array):
    proto = onnx.parser.parse_model(f"""<ir_version: 3, opset_import: ["": 6]>
        g (float[2, 3, 4, 5] x, float[3] b, float[3] p, float[1] s) => (float[] y) {{ {text} }}""")
    proto.graph.output[0].type.CopyFrom(onnx.helper.make_tensor_type_proto(TensorProto.FLOAT, expected.shape))
    to_opset_18(proto)
    found = run(proto, {"x": X, "b": B, "p": P, "s": np.array([2], np.float32)})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def four_bit_weights(kind: int, *, block: int, zero: Array | None) -> ModelProto:
    """A MatMul with weights (6, 4) of 4 bits, their scales for each block of rows."""
    integers = RNG.integers(0, 8, size=(6, 4))
    scales = RNG.uniform(0.1, 1, size=(-(-6 // block), 4)).astype(np.float32)
    tensors = [onnx.helper.make_tensor("w", kind, (6, 4), integers.ravel()), onnx.numpy_helper.from_array(scales, "s")]
    if zero is not None:
        tensors.append(onnx.helper.make_tensor("z", kind, scales.shape, np.resize(zero, scales.size)))
    inputs = [tensor.name for tensor in tensors]
    nodes = [
        onnx.helper.make_node("DequantizeLinear", inputs, ["d"], axis=0, block_size=block),
        onnx.helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    x, y = (onnx.helper.make_tensor_value_info(n, 1, ["N", size]) for n, size in (("x", 6), ("y", 4)))
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("block", [2, 4])
@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
@pytest.mark.parametrize("zero", [None, np.array([1, 2, 3])])
def test_weights_of_4_bits_are_dequantised_by_block(kind: int, block: int, zero: Array | None):
    proto = four_bit_weights(kind, block=block, zero=zero)
    x = RNG.normal(size=(3, 6)).astype(np.float32)
    expected = run(proto, {"x": x})[0]
    to_opset_18(proto)
    onnx.checker.check_model(proto, full_check=True)
    np.testing.assert_allclose(run(proto, {"x": x})[0], expected, rtol=1e-6)


@pytest.mark.parametrize(("kind", "zero"), [(TensorProto.INT4, -2), (TensorProto.UINT4, 5)])
def test_activations_of_4_bits_saturate_where_they_did(kind: int, zero: int):
    tensors = [
        onnx.numpy_helper.from_array(np.array(0.25, np.float32), "s"), onnx.helper.make_tensor("z", kind, (), [zero])
    ]  # fmt: skip
    nodes = [onnx.helper.make_node(f"{name}Linear", [source, "s", "z"], [target])
             for name, source, target in (("Quantize", "x", "q"), ("Dequantize", "q", "y"))]  # fmt: skip
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [64]) for name in "xy")
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], tensors)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    given = {"x": np.linspace(-4, 4, 64, dtype=np.float32)}
    expected = run(proto, given)[0]
    to_opset_18(proto)
    np.testing.assert_array_equal(run(proto, given)[0], expected)
