"""Gradients in the types that models are deployed in, against the same model in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from onnx import ModelProto, TensorProto
from onnx.reference import ReferenceEvaluator
from small_nets import CNN, Array, cnn, net, pictures, run

import onnxcam

TYPES = {"float64": TensorProto.DOUBLE, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
# Without kinks: in bfloat16 every hundredth pair of numbers ties.
SMOOTH = CNN.replace("Relu", "Softplus").replace("MaxPool", "AveragePool")
HEAD = SMOOTH + "z = Gemm(flat, w3, b3)"
# What transformers are made of, on the 64 tokens of the second convolution.
ATTENTION = """
  s1 = Constant<value_ints=[0, 8, 64]>() tokens = Reshape(r2, s1) t = Transpose<perm=[0,2,1]>(tokens)
  n = LayerNormalization<axis=-1>(t, b2, b2)
  k = Transpose<perm=[0,2,1]>(n) a = MatMul(n, k) p = Softmax<axis=-1>(a) v = MatMul(p, n)
  u = Erf(v) m = Mul(u, v) e = Add(m, t) q = ReduceMean<keepdims=0>(e, one) z = Gemm(q, w3, b3)
"""


def in_type(model: ModelProto, kind: int) -> ModelProto:
    """The model with every float32 of it, weights, inputs and outputs, in another type."""
    changed = ModelProto()
    changed.CopyFrom(model)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    for tensor in changed.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    for info in (*changed.graph.input, *changed.graph.output):
        info.type.tensor_type.elem_type = kind
    return changed


def network(body: str) -> ModelProto:
    model = net(body + " y = Identity(z)")
    if "one)" in body:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
    return model


def gradient(body: str, kind: int, x: Array, cotangent: Array) -> Array:
    model = onnxcam.gradient(in_type(network(body), kind))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    feeds = {"x": x.astype(dtype), "cotangent": cotangent.astype(dtype)}
    if kind != TensorProto.FLOAT16:  # of the others ONNX Runtime's CPU lacks Conv
        found = ReferenceEvaluator(model).run(["gradient/x"], feeds)[0]
    else:
        found = run(model, feeds)["gradient/x"]
    assert found.dtype == dtype
    return found.astype(np.float64)


def relative(found: Array, expected: Array) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("body", [HEAD, SMOOTH + ATTENTION], ids=["cnn", "attention"])
@pytest.mark.parametrize(("name", "limit"), [("float16", 3e-3), ("bfloat16", 3e-2)])
def test_a_narrow_gradient_is_that_of_float64_but_for_rounding(body: str, name: str, limit: float):
    x, cotangent = pictures(2), np.random.default_rng(0).normal(size=(2, 5))
    x = x.astype(ml_dtypes.bfloat16 if name == "bfloat16" else np.float16)
    exact = gradient(body, TensorProto.DOUBLE, x.astype(np.float64), cotangent)
    assert relative(gradient(body, TYPES[name], x, cotangent), exact) <= limit


def test_float16_gradients_too_small_for_the_type_still_make_a_map():
    model = cnn("t = Mul(flat, tiny) z = Gemm(t, w3, b3) y = Mul(z, tiny)")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1e-3, np.float32), "tiny"))
    x = pictures(2).astype(np.float16)
    single = run(onnxcam.convert(model, layer="r1").model, {"x": x.astype(np.float32)})["heatmap"]
    half = run(onnxcam.convert(in_type(model, TensorProto.FLOAT16), layer="r1").model, {"x": x})["heatmap"]
    assert single.any()
    assert np.abs(half - single).max() <= 0.05
