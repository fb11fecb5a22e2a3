"""Max pooling in float16 on ONNX Runtime's CPU, which rounds to it in some places and not in others."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from small_nets import net, pictures, run
from test_precision import in_type, relative

import onnxcam

POOLED = """
  c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)
  r1 = Relu(c1)
  p1 = MaxPool<{pool}>(r1)
  c2 = Conv<pads=[1,1,1,1]>(p1, w2, b2)
  y = Relu(c2)
"""


@pytest.mark.parametrize("pool", ["kernel_shape=[2,2], strides=[2,2]", "kernel_shape=[3,3], strides=[2,2]"])
def test_the_largest_of_a_window_is_found_though_it_is_rounded(pool: str):
    model = net(POOLED.format(pool=pool), x="float[N,3,33,33] x", y="float[N,8,h,w] y")
    x = pictures(2, 3, 33, 33).astype(np.float16)
    single = run(onnxcam.gradient(model, of="c2"), feeds(x.astype(np.float32), model))["gradient/x"]
    half = run(onnxcam.gradient(in_type(model, TensorProto.FLOAT16), of="c2"), feeds(x, model))["gradient/x"]
    # A few windows hold two that are equal in float16, and then the first has it all.
    assert relative(half.astype(np.float64), single.astype(np.float64)) <= 0.15


def feeds(x: np.ndarray, model: object) -> dict[str, np.ndarray]:
    shape = run(model, {"x": x.astype(np.float32)})["y"].shape
    return {"x": x, "cotangent": np.random.default_rng(0).normal(size=shape).astype(x.dtype)}


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_the_larger_of_two_is_found_though_it_is_rounded(op: str):
    body = f"c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)  n = Neg(c1)  m = {op}(c1, n)  y = Conv<pads=[1,1,1,1]>(m, w2, b2)"
    model = net(body, x="float[N,3,33,33] x", y="float[N,8,h,w] y")
    x = pictures(2, 3, 33, 33).astype(np.float16)
    single = run(onnxcam.gradient(model, of="y"), feeds(x.astype(np.float32), model))["gradient/x"]
    half = run(onnxcam.gradient(in_type(model, TensorProto.FLOAT16), of="y"), feeds(x, model))["gradient/x"]
    assert relative(half.astype(np.float64), single.astype(np.float64)) <= 0.02
