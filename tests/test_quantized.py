"""Integer ops rewritten with floats, judged by ONNX Runtime's own integer kernels: within one step of the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx.checker
import pytest
from onnx import ModelProto
from onnx_runs import SAMPLES, feeds, model, run

from onnxcam.graph.files import read
from onnxcam.graph.opset import to_opset_18
from onnxcam.graph.quantized import REWRITES


@dataclass(frozen=True)
class Case:
    op: str
    shape: tuple[int, ...]
    text: str
    constants: str = ""


SCALE = 0.05  # of every quantised output below
# The input x arrives quantised as q by (s, z); what a row leaves in `r` is quantised by (t, u).
CASES = [
    Case("QLinearConv", (1, 2, 5, 5), "r = QLinearConv <pads = [1, 1, 1, 1]> (q, s, z, w, v, k, t, u, b)",
         "int8[2, 2, 1, 1] w = {9, -7, 30, 12}, float[2] v = {0.02, 0.05}, int8[2] k = {0, 0}, int32[2] b = {90, -80}"),
    Case("QLinearConv", (1, 2, 5, 5), "r = QLinearConv <strides = [2, 2]> (q, s, z, w, v, k, t, u)",
         "uint8[1, 2, 1, 1] w = {9, 200}, float v = {0.02}, uint8 k = {128}"),
    Case("QLinearMatMul", (2, 3), "r = QLinearMatMul (q, s, z, w, v, k, t, u)",
         "uint8[3, 2] w = {9, 200, 120, 3, 40, 90}, float v = {0.02}, uint8 k = {128}"),
    Case("QGemm", (2, 3), "r = com.microsoft.QGemm <transB = 1, alpha = 0.5> (q, s, z, w, v, k, b, t, u)",
         "uint8[2, 3] w = {9, 200, 120, 3, 40, 90}, float v = {0.02}, uint8 k = {128}, int32[2] b = {500, -300}"),
    Case("QLinearAdd", (2, 3), "r = com.microsoft.QLinearAdd (q, s, z, q, s, z, t, u)"),
    Case("QLinearMul", (2, 3), "r = com.microsoft.QLinearMul (q, s, z, w, v, k, t, u)",
         "uint8[3] w = {9, 200, 120}, float v = {0.02}, uint8 k = {128}"),
    Case("QLinearConcat", (2, 3), "r = com.microsoft.QLinearConcat <axis = 1> (t, u, q, s, z, w, v, k)",
         "uint8[2, 1] w = {9, 200}, float v = {0.02}, uint8 k = {128}"),
    Case("QLinearGlobalAveragePool", (1, 2, 4, 4), "r = com.microsoft.QLinearGlobalAveragePool (q, s, z, t, u)"),
    Case("QLinearAveragePool", (1, 2, 4, 4),
         "r = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2], strides = [2, 2]> (q, s, z, t, u)"),
    Case("QLinearLeakyRelu", (2, 3), "r = com.microsoft.QLinearLeakyRelu <alpha = 0.2> (q, s, z, t, u)"),
    Case("QLinearSigmoid", (2, 3), "r = com.microsoft.QLinearSigmoid (q, s, z, t, u)"),
    Case("QLinearSoftmax", (2, 3), "r = com.microsoft.QLinearSoftmax <axis = -1, opset = 13> (q, s, z, t, u)"),
    Case("QLinearSoftmax", (2, 3, 2), "r = com.microsoft.QLinearSoftmax <axis = 1, opset = 11> (q, s, z, t, u)"),
    Case("QLinearWhere", (2, 3), "r = com.microsoft.QLinearWhere (c, q, s, z, w, v, k, t, u)",
         "bool[3] c = {1, 0, 1}, uint8[3] w = {9, 200, 120}, float v = {0.02}, uint8 k = {128}"),
]  # fmt: skip

# ONNX Runtime's tools write it, its CPU has no kernel.
MEAN = Case("QLinearReduceMean", (2, 3, 4),
            "r = com.microsoft.QLinearReduceMean <axes = [-1], keepdims = 0> (q, s, z, t, u)")  # fmt: skip


def original(case: Case) -> ModelProto:
    given = "float s = {0.03}, uint8 z = {120}, float t = {0.05}, uint8 u = {100}"
    more = f", {case.constants}" if case.constants else ""
    text = f"""(float{list(case.shape)} x) => (float[] y) <{given}{more}>
        {{ q = QuantizeLinear (x, s, z) {case.text} y = DequantizeLinear (r, t, u) }}"""
    proto = model(text, opset=13, other="com.microsoft")
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, None))
    return proto


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_an_integer_op_and_its_float_form_differ_by_one_step_at_most(case: Case):
    proto = original(case)
    x = np.random.default_rng(3).normal(size=case.shape).astype(np.float32)
    expected = run(proto, {"x": x})[0]
    to_opset_18(proto)
    np.testing.assert_allclose(run(proto, {"x": x})[0], expected, atol=SCALE * 1.01)
    assert np.ptp(expected) > SCALE  # a flat answer would prove nothing


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_only_plain_ops_are_left(case: Case):
    proto = original(case)
    to_opset_18(proto)
    assert {node.domain for node in proto.graph.node} == {""}
    assert not {node.op_type for node in proto.graph.node} & set(REWRITES)


def test_every_rewrite_has_a_case():
    assert {case.op for case in (*CASES, MEAN)} == set(REWRITES)


def test_the_mean_of_integers_is_that_of_what_they_stand_for():
    proto = original(MEAN)
    x = np.random.default_rng(3).normal(size=MEAN.shape).astype(np.float32)
    to_opset_18(proto)
    standing = (np.clip(np.round(x / 0.03) + 120, 0, 255) - 120) * 0.03
    expected = (np.clip(np.round(standing.mean(axis=-1) / 0.05) + 100, 0, 255) - 100) * 0.05
    np.testing.assert_allclose(run(proto, {"x": x})[0], expected, atol=1e-6)


def test_ops_that_move_integers_work_on_floats_afterwards():
    proto = model("""(float[1, 2, 4, 4] x) => (float[] y) <float s = {0.03}, uint8 z = {120}>
        { q = QuantizeLinear (x, s, z) p = MaxPool <kernel_shape = [2, 2]> (q) f = Flatten (p)
          y = DequantizeLinear (f, s, z) }""", opset=13)  # fmt: skip
    x = np.random.default_rng(3).normal(size=(1, 2, 4, 4)).astype(np.float32)
    expected = run(proto, {"x": x})[0]
    to_opset_18(proto)
    producers = {name: node.op_type for node in proto.graph.node for name in node.output}
    fed = [producers[node.input[0]] for node in proto.graph.node if node.op_type in ("MaxPool", "Flatten")]
    assert fed == ["DequantizeLinear", "DequantizeLinear"]
    np.testing.assert_array_equal(run(proto, {"x": x})[0], expected)


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"no sample models in {SAMPLES}")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_real_model_of_integer_ops_keeps_its_classes(seed: int):
    path = SAMPLES / "squeezenet1.1_int8_qoperator.onnx"
    proto, _ = read(path)
    to_opset_18(proto)
    given = {name: 60 * x for name, x in feeds(path, seed=seed).items()}
    expected, found = run(path, given)[0], run(proto, given)[0]
    assert found.argmax() == expected.argmax()
    np.testing.assert_allclose(found, expected, atol=1 / 255)
