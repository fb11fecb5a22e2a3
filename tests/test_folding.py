"""Arithmetic on shapes, done once and for all."""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from onnx import ModelProto
from onnx_runs import model, run

from onnxcam.graph.folding import drop_unused, fold_constants

N = "(float[N, 3, 4, 5] x) => (float[] y)"
# Each leaves in t a constant that Add takes; numpy says what it should be.
FOLDED = [
    ("Shape, a static part", "s = Shape <start = 1> (x) t = Cast <to = 1> (s)", [3, 4, 5]),
    ("Gather of a static entry", """s = Shape (x) i = Constant <value_int = -1> () g = Gather (s, i)
        t = Cast <to = 1> (g)""", 5),
    ("Slice backwards", """s = Shape (x) a = Constant <value_ints = [3]> () b = Constant <value_ints = [0]> ()
        c = Constant <value_ints = [-1]> () d = Slice (s, a, b, b, c) t = Cast <to = 1> (d)""", [5, 4, 3]),
    ("Concat and Unsqueeze", """s = Shape (x) i = Constant <value_int = 2> () a = Constant <value_ints = [0]> ()
        g = Gather (s, i) u = Unsqueeze (g, a) c = Concat <axis = 0> (u, a) t = Cast <to = 1> (c)""", [4, 0]),
    ("Squeeze", "s = Shape <start = 2, end = 3> (x) q = Squeeze (s) t = Cast <to = 1> (q)", 4),
    ("Size", "s = Shape <start = 1> (x) n = Size (s) t = Cast <to = 1> (n)", 3),
    ("Div towards zero", """a = Constant <value_int = -7> () b = Constant <value_int = 2> () d = Div (a, b)
        t = Cast <to = 1> (d)""", -3),
    ("Mod, sign of the divisor", """a = Constant <value_int = -7> () b = Constant <value_int = 3> () d = Mod (a, b)
        t = Cast <to = 1> (d)""", 2),
    ("Range", """a = Constant <value_int = 1> () b = Constant <value_int = 6> () c = Constant <value_int = 2> ()
        r = Range (a, b, c) t = Cast <to = 1> (r)""", [1, 3, 5]),
    ("ConstantOfShape", "a = Constant <value_ints = [2]> () t = ConstantOfShape (a)", [0, 0]),
    ("Where, Equal", """a = Constant <value_ints = [3, -1]> () b = Constant <value_ints = [-1, -1]> ()
        c = Constant <value_ints = [8, 9]> () e = Equal (a, b) w = Where (e, c, a) t = Cast <to = 1> (w)""", [3, 9]),
    ("ReduceProd", "s = Shape <start = 1> (x) p = ReduceProd <keepdims = 0> (s) t = Cast <to = 1> (p)", 60),
    ("Floor of a product", """s = Shape <start = 2> (x) f = Cast <to = 1> (s) k = Constant <value_float = 1.5> ()
        m = Mul (f, k) t = Floor (m)""", [6, 7]),
    ("Transpose, Reshape", """a = Constant <value_ints = [1, 2, 3, 4]> () b = Constant <value_ints = [2, -1]> ()
        c = Constant <value_ints = [-1]> () r = Reshape (a, b) p = Transpose <perm = [1, 0]> (r) f = Reshape (p, c)
        t = Cast <to = 1> (f)""", [1, 3, 2, 4]),
    ("Split", """a = Constant <value_ints = [5, 6, 7]> () b = Constant <value_ints = [1, 2]> () p, q = Split (a, b)
        t = Cast <to = 1> (q)""", [6, 7]),
    ("Expand", "a = Constant <value_float = 2.0> () b = Constant <value_ints = [3]> () t = Expand (a, b)", [2, 2, 2]),
    ("Max", """a = Constant <value_ints = [5, 1]> () b = Constant <value_int = 3> () m = Max (a, b)
        t = Cast <to = 1> (m)""", [5, 3]),
    ("Clip", """a = Constant <value_ints = [5, -1]> () low = Constant <value_int = 0> () m = Clip (a, low)
        t = Cast <to = 1> (m)""", [5, 0]),
]  # fmt: skip


def constants(proto: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in FOLDED], ids=[row[0] for row in FOLDED])
def test_shape_arithmetic_becomes_a_constant(text: str, expected: object):
    proto = model(f"(float[N, 3, 4, 5] x) => (float[] t, float[] y) {{ {text} y = Relu (x) }}", opset=18)
    proto.graph.output[0].name = "kept"
    proto.graph.node.append(onnx.helper.make_node("Relu", ["t"], ["kept"]))
    fold_constants(proto)
    drop_unused(proto)
    assert [node.op_type for node in proto.graph.node] == ["Relu", "Relu"]
    np.testing.assert_array_equal(constants(proto)["t"], np.array(expected))


def test_a_symbolic_dimension_is_left_to_the_run():
    proto = model(f"{N} {{ s = Shape (x) y = Cast <to = 1> (s) }}", opset=18)
    fold_constants(proto)
    assert [node.op_type for node in proto.graph.node] == ["Shape", "Cast"]


def test_a_reshape_that_flattens_all_but_the_batch_stays_dynamic_in_the_batch():
    proto = model("""(float[N, 3, 4] x) => (float[N, 12] y)
        { s = Shape (x) i = Constant <value_int = 0> () a = Constant <value_ints = [0]> () n = Gather (s, i)
          u = Unsqueeze (n, a) m = Constant <value_ints = [-1]> () c = Concat <axis = 0> (u, m) y = Reshape (x, c) }""",
        opset=18)  # fmt: skip
    fold_constants(proto)
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(run(proto, {"x": x})[0], x.reshape(2, 12))


def test_weights_are_not_folded():
    weights = onnx.numpy_helper.from_array(np.zeros((200, 100), np.float32), "w")
    proto = model("""(float[N, 200] x, float[200, 100] w) => (float[] y)
        { i = Transpose (w) j = Transpose (i) y = MatMul (x, j) }""", opset=18)  # fmt: skip
    proto.graph.initializer.append(weights)
    del proto.graph.input[1]
    fold_constants(proto)
    assert [node.op_type for node in proto.graph.node] == ["Transpose", "Transpose", "MatMul"]


def test_a_recipe_for_a_large_constant_is_kept():
    proto = model("""(float[N] x) => (float[N] y)
        { s = Constant <value_ints = [1000000, 1000000, 16]> () z = ConstantOfShape (s)
          m = ReduceMax (z) f = Squeeze (m) y = Add (x, f) }""", opset=18)  # fmt: skip
    fold_constants(proto)
    assert "ConstantOfShape" in [node.op_type for node in proto.graph.node]


def test_a_default_that_a_caller_may_replace_is_no_constant():
    text = "(float[N] x, int64[1] k) => (float[] y) <int64[1] k = {2}> { c = Cast <to = 1> (k) y = Mul (x, c) }"
    proto = model(text, opset=18)
    fold_constants(proto)
    assert [node.op_type for node in proto.graph.node] == ["Cast", "Mul"]


def test_what_no_output_needs_is_dropped():
    proto = model("""(float[N, 1, 4, 4] x) => (float[] y) <float dead = {1}, float live = {2}>
        { a = Mul (x, dead) b = Neg (a) c = Mul (x, live)
          y, indices = MaxPool <kernel_shape = [2, 2]> (c) }""", opset=18)  # fmt: skip
    drop_unused(proto)
    assert [node.op_type for node in proto.graph.node] == ["Mul", "MaxPool"]
    assert list(proto.graph.node[1].output) == ["y"]
    assert [tensor.name for tensor in proto.graph.initializer] == ["live"]
    assert [info.name for info in proto.graph.input] == ["x"]


def test_what_only_a_body_needs_is_kept():
    proto = model("""(float[3] x, bool c) => (float[3] y) <float k = {2}>
        { a = Neg (x)
          y = If (c) <then_branch = t () => (float[3] p) { p = Mul (a, k) },
                      else_branch = e () => (float[3] q) { q = Identity (x) }> }""", opset=18)  # fmt: skip
    drop_unused(proto)
    x = np.ones(3, np.float32)
    np.testing.assert_array_equal(run(proto, {"x": x, "c": np.array(True)})[0], -2 * x)


def test_a_graph_of_two_hundred_nodes_takes_a_fifth_of_a_second_at_most():
    steps = " ".join(f"s{i} = Shape (v{i}) r{i} = Reshape (v{i}, s{i}) v{i + 1} = Relu (r{i})" for i in range(70))
    proto = model(f"(float[2, 3] v0) => (float[] v70) {{ {steps} }}", opset=18)
    start = time.perf_counter()
    fold_constants(proto)
    drop_unused(proto)
    assert time.perf_counter() - start < 0.2
    assert not any(node.op_type == "Shape" for node in proto.graph.node)


def test_pads_that_wait_for_one_another_all_become_constants():
    level = """
      s{k} = Shape <start = 2, end = 4> (x{k}) two{k} = Constant <value_ints = [2]> () r{k} = Mod (s{k}, two{k})
      z{k} = Constant <value_ints = [0, 0]> () none{k} = Constant <value_ints = [0, 0, 0, 0]> ()
      p{k} = Concat <axis = 0> (z{k}, r{k}, none{k}) w{k} = Pad (x{k}, p{k})
      x{n} = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (w{k})"""
    body = "x0 = Relu (x)" + "".join(level.format(k=k, n=k + 1) for k in range(6)) + " y = Relu (x6)"
    proto = model(f"(float[N, 3, 99, 99] x) => (float[] y) {{ {body} }}", opset=18)
    fold_constants(proto)
    assert {node.op_type for node in proto.graph.node} == {"Relu", "Pad", "MaxPool"}
