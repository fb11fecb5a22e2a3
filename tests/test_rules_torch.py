"""Rules in ONNX Runtime, float32, at the sizes of real models, against torch.autograd in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_rules_float import normal
from torch_rules import Case, F, rounded, torch


def batch_norm(x: Any, s: Any, b: Any, m: Any, v: Any) -> Any:
    s, b, m, v = (parameter[:, None, None] for parameter in (s, b, m, v))
    return (x - m) / torch.sqrt(v + 1e-5) * s + b


IMAGE, TOKENS = (2, 32, 28, 28), (2, 197, 192)
SCALE = {"s": normal(32, seed=1), "b": normal(32, seed=2)}
MOMENTS = {"m": normal(32, seed=3), "v": normal(32, seed=4) ** 2 + 0.5}
TOKEN_SCALE = {"s": normal(192, seed=1), "b": normal(192, seed=2)}

CASES = [
    Case("BatchNormalization", "y = BatchNormalization(x, s, b, m, v)", batch_norm,
         {"x": normal(*IMAGE), **SCALE, **MOMENTS}),
    Case("LayerNormalization", "y = LayerNormalization(x, s, b)", lambda x, s, b: F.layer_norm(x, (192,), s, b),
         {"x": normal(*TOKENS), **TOKEN_SCALE}),
    Case("InstanceNormalization", "y = InstanceNormalization(x, s, b)",
         lambda x, s, b: F.instance_norm(x, weight=s, bias=b), {"x": normal(*IMAGE), **SCALE}),
    Case("LRN", "y = LRN<size=5>(x)", lambda x: F.local_response_norm(x, 5), {"x": 30 * normal(*IMAGE)}),
    Case("Softmax", "y = Softmax(x)", lambda x: x.softmax(-1), {"x": 3 * normal(2, 3, 197, 197)}),
    Case("Gelu", "y = com.microsoft.Gelu(x)", F.gelu, {"x": 3 * normal(*TOKENS)}),
    Case("FastGelu", "y = com.microsoft.FastGelu(x)", lambda x: F.gelu(x, approximate="tanh"),
         {"x": 3 * normal(*TOKENS)}),
    Case("HardSwish", "y = HardSwish(x)", F.hardswish, {"x": 3 * normal(*TOKENS)}),
    Case("Mish", "y = Mish(x)", F.mish, {"x": 8 * normal(*TOKENS)}),
    Case("MatMul, attention", "y = MatMul(a, b)", torch.matmul,
         {"a": normal(2, 3, 197, 64), "b": normal(2, 3, 64, 197, seed=1)}),
    Case("MatMul, weights", "y = MatMul(a, b)", torch.matmul, {"a": normal(*TOKENS), "b": normal(192, 64, seed=1)}),
    Case("Gemm", "y = Gemm<transB=1>(a, b, c)", lambda a, b, c: a @ b.T + c,
         {"a": normal(4, 512), "b": normal(100, 512, seed=1), "c": normal(100)}),
    Case("Relu at zero", "y = Relu(x)", F.relu, {"x": rounded(*IMAGE)}),
    Case("Clip at its bounds, as ReLU6",
         "l = Constant<value_float=0.0>()\n h = Constant<value_float=6.0>()\n y = Clip(x, l, h)", F.relu6,
         {"x": 3 * rounded(*IMAGE)}),
    Case("Max with ties", "y = Max(a, b)", torch.maximum, {"a": rounded(*IMAGE), "b": rounded(*IMAGE, seed=1)}),
    Case("ReduceMax with ties", "y = ReduceMax(x)", lambda x: x.amax((0, 1), keepdim=True), {"x": rounded(64, 28)}),
    Case("ReduceL2 of zeros", "y = ReduceL2(x)", lambda x: x.norm().reshape(1, 1), {"x": np.zeros((2, 3), np.float32)}),
    Case("ReduceProd with a zero", "y = ReduceProd(x)", lambda x: x.prod().reshape(1, 1),
         {"x": np.array([[2.0, 0.0, 3.0]], np.float32)}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_equals_torch_autograd(case: Case):
    case.check()
