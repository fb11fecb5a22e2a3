"""If, Loop and Scan: what the rows cannot show."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.checker
import onnx.parser
import pytest
import torch
from gradients import Array, error, evaluate, gradients, normal

import onnxcam
from onnxcam.autodiff import differentiate
from onnxcam.errors import ChangingState, NoGradientForm
from onnxcam.graph import Tape, load

TURNS = """
y, z = Loop <body = b (int64 n, bool c, h) => (d, i, o) {
  d = Identity(c)
  m = MatMul(h, w)
  i = Tanh(m)
  o = Mul(i, i)
}> (count, , x)
"""


def parsed(text: str, inputs: str, outputs: str, *, opset: int = 18, **constants: Array) -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {text} }}'
    )
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    return model


def with_gradient(model: onnx.ModelProto, of: str, by: str) -> Tape:
    tape = Tape(model)
    y = tape.value(of)
    (g,) = differentiate({y: tape.add_input("cotangent", np.float32, y.shape)}, [tape.value(by)])
    assert g is not None
    tape.add_output(g, "gradient")
    return tape


def turns_in_torch(x: Array, w: Array, count: int, cotangent: Array) -> Array:
    h = start = torch.tensor(x, requires_grad=True)
    for _ in range(count):
        h = torch.tanh(h @ torch.tensor(w))
    (h * torch.tensor(cotangent)).sum().backward()
    assert start.grad is not None
    return start.grad.numpy()


def counted(w: Array) -> onnx.ModelProto:
    return parsed(TURNS, "float[N,4] x, int64 count", "float[N,4] y, float[T,N,4] z", w=w)


def test_a_loop_is_right_however_often_it_runs():
    w = normal(4, 4, seed=2)
    tape = with_gradient(counted(w), "y", "x")
    for count, batch in [(5, 3), (1, 2), (0, 3)]:
        x, cotangent = normal(batch, 4), normal(batch, 4, seed=1)
        found = evaluate(tape.model, {"x": x, "count": np.array(count), "cotangent": cotangent})[-1]
        assert error(found, turns_in_torch(x, w, count, cotangent)) < 1e-6


def test_the_model_gives_what_it_gave_before():
    w, x = normal(4, 4, seed=2), normal(3, 4)
    feeds = {"x": x, "count": np.array(4)}
    before = evaluate(counted(w), feeds)
    tape = with_gradient(counted(w), "y", "x")
    assert [info.name for info in tape.model.graph.output] == ["y", "z", "gradient"]
    after = evaluate(tape.model, {**feeds, "cotangent": normal(3, 4)})
    for a, b in zip(before, after, strict=False):
        np.testing.assert_array_equal(a, b)


def test_the_forward_pass_runs_once_and_its_states_are_kept_once():
    tape = with_gradient(counted(normal(4, 4)), "y", "x")
    differentiate({tape.value("z"): tape.value("z")}, [tape.value("x")])
    (loop,) = (node for node in tape.nodes if node.op_type == "Loop")
    assert len(loop.outputs) == 3


def test_frozen_weights_in_a_body_are_not_differentiated_by():
    tape = with_gradient(counted(normal(4, 4)), "y", "x")
    branch = next(node for node in tape.nodes if node.op_type == "If").attributes["then_branch"]
    (scan,) = (node for node in branch.node if node.op_type == "Scan")
    assert len(scan.output) == 1


def test_a_finished_model_with_bodies_passes_the_checker():
    model = onnxcam.gradient(counted(normal(4, 4)), wrt=["x"])
    onnx.checker.check_model(model, full_check=True)


GROWS = """
y = Loop <body = b (int64 n, bool c, h) => (d, i) {
  d = Identity(c)
  s = Sin(h)
  i = Concat <axis = 0> (s, x)
}> (count, , x)
"""


def test_a_state_that_grows_is_refused_with_what_to_do():
    model = parsed(GROWS, "float[2,3] x, int64 count", "float[M,3] y")
    with pytest.raises(ChangingState, match=r"'h' between iterations, and its shape changes from \(2, 3\) to \(4, 3\)"):
        with_gradient(model, "y", "x")


def test_a_state_that_grows_a_known_number_of_times_is_no_matter():
    model = parsed(GROWS, "float[2,3] x", "float[M,3] y", count=np.array(3))
    found = onnxcam.gradient(model, wrt=["x"])
    x, cotangent = normal(2, 3), normal(8, 3, seed=1)
    start = h = torch.tensor(x, requires_grad=True)
    for _ in range(3):
        h = torch.cat([torch.sin(h), start])
    (h * torch.tensor(cotangent)).sum().backward()
    assert start.grad is not None
    assert error(evaluate(found, {"x": x, "cotangent": cotangent})[1], start.grad.numpy()) < 1e-6


def test_a_list_among_the_states_is_refused():
    text = """
    none = SequenceEmpty ()
    l = Loop <body = b (int64 n, bool c, h) => (d, i) { d = Identity(c)
      s = Sin(x)
      i = SequenceInsert(h, s) }> (count, , none)
    y = ConcatFromSequence <axis = 0> (l)
    """
    model = parsed(text, "float[2,3] x, int64 count", "float[M,3] y")
    tape = Tape(model)
    lists, x = tape.value("l"), tape.value("x")
    with pytest.raises(ChangingState, match="it is no tensor"):
        differentiate({lists: lists}, [x])


def test_a_quantised_state_is_refused():
    text = """
    y = Scan <num_scan_inputs = 1, body = b (h, e) => (i) { f = Cast <to = 1> (h)
      m = Mul(f, e)
      i = QuantizeLinear(m, s, o) }> (x, a)
    """
    one = {"s": np.array(0.1, np.float32), "o": np.array(0, np.int8)}
    tape = Tape(parsed(text, "int8[3] x, float[T,3] a", "int8[3] y", **one))
    seed = tape.add_input("cotangent", np.float32, (3,))
    with pytest.raises(NoGradientForm, match="a quantised state, 'h'"):
        differentiate({tape.value("y"): seed}, [tape.value("a")])


def test_a_decision_in_a_loop_is_differentiated_at_any_length():
    text = """
    y = Scan <num_scan_inputs = 1, body = b (h, e) => (i) {
      s = ReduceSum <keepdims = 0> (h)
      zero = Constant <value_float = 0.0> ()
      c = Greater(s, zero)
      m = MatMul(h, w)
      i = If <then_branch = t () => (u) { p = Add(m, e)
          u = Tanh(p) }, else_branch = f () => (v) { q = Sub(m, e)
          v = Sin(q) }> (c)
    }> (start, x)
    """
    w, start = normal(4, 4, seed=2), normal(2, 4, seed=3)
    model = onnxcam.gradient(parsed(text, "float[T,2,4] x", "float[2,4] y", w=w, start=start), wrt=["x"])
    for time in (1, 7):
        x, cotangent = normal(time, 2, 4), normal(2, 4, seed=1)
        picture, h = torch.tensor(x, requires_grad=True), torch.tensor(start)
        for e in picture:
            m = h @ torch.tensor(w)
            h = torch.tanh(m + e) if h.sum() > 0 else torch.sin(m - e)
        (h * torch.tensor(cotangent)).sum().backward()
        assert picture.grad is not None
        assert error(evaluate(model, {"x": x, "cotangent": cotangent})[1], picture.grad.numpy()) < 1e-5


def test_bodies_of_older_models_are_raised_too():
    text = """
    y = If <then_branch = t () => (u) { s = Squeeze <axes = [1]> (x)
        u = Mul(s, s) }, else_branch = f () => (v) { r = Squeeze <axes = [1]> (x)
        v = Neg(r) }> (c)
    """
    model = onnxcam.gradient(parsed(text, "float[2,1] x, bool c", "float[2] y", opset=11), wrt=["x"])
    x, cotangent = normal(2, 1), normal(2, seed=1)
    for c, slope in ((True, 2 * x[:, 0]), (False, -np.ones(2))):
        found = evaluate(model, {"x": x, "c": np.array(c), "cotangent": cotangent})[1]
        np.testing.assert_allclose(found[:, 0], slope * cotangent, rtol=1e-6)


def test_half_precision_states_stay_so():
    text = "y = Scan <num_scan_inputs = 1, body = b (h, e) => (i) { m = Mul(h, e); i = Tanh(m) }> (x, a)".replace(
        ";", "\n"
    )
    x, a, cotangent = normal(2, 3), normal(4, 2, 3, seed=1), normal(2, 3, seed=2)
    exact = gradients(text, cotangent, symbolic=0, x=x, a=a)
    found = gradients(text, cotangent.astype(np.float16), symbolic=0, x=x.astype(np.float16), a=a.astype(np.float16))
    for half, single in zip(found, exact, strict=True):
        assert half.dtype == np.float16
        assert error(half, single) < 5e-3


def test_the_branch_that_is_always_taken_and_counted_turns_become_plain_nodes():
    text = "c = Constant <value_int = 1> ()\nsure = Cast <to = 9> (c)\n"
    text += "a = If <then_branch = t () => (u) { u = Sin(x) }, else_branch = f () => (v) { v = Neg(x) }> (sure)\n"
    text += TURNS.replace(", x)", ", a)")
    model = parsed(text, "float[N,4] x", "float[N,4] y, float[T,N,4] z", w=normal(4, 4), count=np.array(3))
    loaded = load(model).proto
    assert {node.op_type for node in loaded.graph.node}.isdisjoint({"If", "Loop"})
    x = normal(2, 4)
    for a, b in zip(evaluate(model, {"x": x}), evaluate(loaded, {"x": x}), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_loop_whose_condition_may_end_it_stays_a_loop():
    text = TURNS.replace("d = Identity(c)", "s = ReduceSum <keepdims = 0> (h)\nd = Greater(s, limit)")
    constants = {"w": normal(4, 4), "count": np.array(3), "limit": np.array(0, np.float32)}
    loaded = load(parsed(text, "float[N,4] x", "float[N,4] y, float[T,N,4] z", **constants)).proto
    assert [node.op_type for node in loaded.graph.node] == ["Loop"]


def test_shapes_behind_a_loop_are_known_where_it_keeps_them():
    tape = Tape(parsed(TURNS, "float[N,4] x, int64 count", "float[] y, float[] z", w=normal(4, 4)))
    del tape.model.graph.output[:]
    assert tape.value("y").shape == ("N", 4)
    assert tape.value("z").shape == (None, "N", 4)


def test_random_numbers_in_a_loop_are_those_that_were_drawn():
    text = """
    y = Loop <body = b (int64 n, bool c, h) => (d, i) { d = Identity(c)
      r = RandomUniformLike(h)
      i = Mul(h, r) }> (count, , x)
    """
    tape = with_gradient(parsed(text, "float[2,3] x, int64 count", "float[2,3] y"), "y", "x")
    x = normal(2, 3)
    y, g = evaluate(tape.model, {"x": x, "count": np.array(3), "cotangent": np.ones((2, 3), np.float32)})
    np.testing.assert_allclose(g * x, y, rtol=1e-5)


def test_random_numbers_that_would_be_drawn_again_are_refused():
    text = """
    y = If <then_branch = t () => (u) { r = RandomUniformLike(x)
        u = Mul(x, r) }, else_branch = f () => (v) { v = Neg(x) }> (c)
    """
    with pytest.raises(NoGradientForm, match="random numbers, which the way back would draw anew"):
        with_gradient(parsed(text, "float[2,3] x, bool c", "float[2,3] y"), "y", "x")
