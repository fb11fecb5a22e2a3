"""Lists of tensors and optional ones: gone after loading where they are only plumbing; the outputs stay the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from onnx import ModelProto
from onnx_runs import Array, model, run

from onnxcam.autodiff import differentiate
from onnxcam.errors import UnresolvedSequence
from onnxcam.graph import Tape, load
from onnxcam.graph.lists import RESOLVERS
from onnxcam.graph.walk import all_nodes

X = np.random.default_rng(3).normal(size=(2, 6, 3)).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """What `y` is of x (2, 6, 3), and what numpy makes of it; `sizes` are those that the model states."""

    name: str
    text: str
    expected: Array
    sizes: str = "2, 6, 3"
    kind: str = "float"

    def __str__(self) -> str:
        return self.name

    @property
    def model(self) -> ModelProto:
        text = self.text.replace(";", "\n")
        constants = "int64 a = {1}, int64 o = {0}, int64 m = {-1}, int64[2] k = {2, 4}, int64 f = {4}"
        return model(f"(float[{self.sizes}] x) => ({self.kind}[] y) <{constants}> {{ {text} }}", opset=18)


OPEN = "N, M, 3"
CASES = [
    Case("split at lengths, one taken", "s = SplitToSequence<axis=1>(x, k); y = SequenceAt(s, a)", X[:, 2:]),
    Case("split by one length, last taken", "s = SplitToSequence<axis=1>(x, f); y = SequenceAt(s, m)", X[:, 4:]),
    Case("split at lengths that are computed", """t = Shape<start=1, end=2>(x); h = Div(t, k); c = ReduceMax(h);
         e = Sub(t, c); u = Concat<axis=0>(c, e); s = SplitToSequence<axis=1>(x, u); y = SequenceAt(s, a)""",
         X[:, 3:], OPEN),
    Case("unbound, one taken", "s = SplitToSequence<axis=1, keepdims=0>(x); y = SequenceAt(s, a)", X[:, 1]),
    Case("unbound, and unbound again", "s = SplitToSequence<axis=1, keepdims=0>(x); p = SequenceAt(s, a); "
         "t = SplitToSequence<axis=1, keepdims=0>(p); y = SequenceAt(t, o)", X[:, 1, 0], OPEN),
    Case("unbound, its axis kept", "s = SplitToSequence<axis=-2>(x); y = SequenceAt(s, a)", X[:, 1:2]),
    Case("unbound, as many as there are", "s = SplitToSequence<axis=1, keepdims=0>(x); y = SequenceAt(s, m)",
         X[:, -1], OPEN),
    Case("unbound, its axis kept, as many as there are", "s = SplitToSequence<axis=1>(x); y = SequenceAt(s, m)",
         X[:, -1:], OPEN),
    Case("split by one length, as many as there are", "s = SplitToSequence<axis=1>(x, f); y = SequenceAt(s, m)",
         X[:, 4:], OPEN),
    Case("split by one length, the first of as many as there are",
         "s = SplitToSequence<axis=1>(x, f); y = SequenceAt(s, o)", X[:, :4], OPEN),
    Case("how many there are", "s = SplitToSequence<axis=1>(x, f); y = SequenceLength(s)", np.array(2), OPEN, "int64"),
    Case("how many were unbound", "s = SplitToSequence<axis=1>(x); y = SequenceLength(s)", np.array(6), OPEN, "int64"),
    Case("how many, known", "s = SequenceConstruct(x, x, x); y = SequenceLength(s)", np.array(3), kind="int64"),
    Case("split and put together", "s = SplitToSequence<axis=1>(x, f); y = ConcatFromSequence<axis=1>(s)", X, OPEN),
    Case("unbound and stacked",
         "s = SplitToSequence<axis=1, keepdims=0>(x); y = ConcatFromSequence<axis=1, new_axis=1>(s)", X, OPEN),
    Case("put together", "n = Neg(x); s = SequenceConstruct(x, n); y = ConcatFromSequence<axis=1>(s)",
         np.concatenate([X, -X], 1)),
    Case("stacked", "n = Neg(x); s = SequenceConstruct(x, n); y = ConcatFromSequence<axis=-1, new_axis=1>(s)",
         np.stack([X, -X], -1)),
    Case("made one by one", "n = Neg(x); e = SequenceEmpty(); s = SequenceInsert(e, x); t = SequenceInsert(s, n); "
         "y = ConcatFromSequence<axis=1>(t)", np.concatenate([X, -X], 1)),
    Case("put in before the last", "n = Neg(x); s = SequenceConstruct(x, x); t = SequenceInsert(s, n, m); "
         "y = ConcatFromSequence<axis=1>(t)", np.concatenate([X, -X, X], 1)),
    Case("one taken out", "n = Neg(x); s = SequenceConstruct(x, n, x); t = SequenceErase(s, a); "
         "y = ConcatFromSequence<axis=1>(t)", np.concatenate([X, X], 1)),
    Case("the last taken out", "n = Neg(x); s = SequenceConstruct(x, n); t = SequenceErase(s); y = SequenceAt(t, o)",
         X),
    Case("passed on", "s = SequenceConstruct(x); t = Identity(s); y = SequenceAt(t, o)", X),
    Case("an optional tensor", "p = Optional(x); y = OptionalGetElement(p)", X),
    Case("a tensor that might have been optional", "y = OptionalGetElement(x)", X),
    Case("an optional list", "s = SequenceConstruct(x); p = Optional(s); t = OptionalGetElement(p); "
         "y = SequenceAt(t, o)", X),
    Case("an optional piece", "s = SplitToSequence<axis=1>(x, k); q = SequenceAt(s, a); p = Optional(q); "
         "y = OptionalGetElement(p)", X[:, 2:]),
    Case("whether a tensor is there", "p = Optional(x); y = OptionalHasElement(p)", np.array(True), kind="bool"),
    Case("whether nothing is there", "y = OptionalHasElement()", np.array(False), kind="bool"),
    Case("each list's tensors changed", """n = Neg(x); s = SequenceConstruct(x, n);
         t = SequenceMap<body = one (float[] v) => (float[] w) { e = Exp(v) w = Mul(e, x) }>(s);
         y = ConcatFromSequence<axis=1>(t)""", np.concatenate([np.exp(X) * X, np.exp(-X) * X], 1)),
    Case("two lists, tensor by tensor", """n = Neg(x); s = SequenceConstruct(x, n); r = SequenceConstruct(n, n);
         t = SequenceMap<body = two (float[] v, float[] u, float[] c) => (float[] w) { d = Sub(v, u) w = Mul(d, c) }>
             (s, r, x);
         y = ConcatFromSequence<axis=1>(t)""", np.concatenate([2 * X * X, 0 * X], 1)),
    Case("within a branch", """b = Constant<value_int=1>(); c = Cast<to=9>(b); n = Neg(x); s = SequenceConstruct(x, n);
         y = If(c) <then_branch = yes () => (float[] p) { z = Constant<value_int=1>() p = SequenceAt(s, z) },
                    else_branch = no () => (float[] q) { q = Identity(x) }>""", -X),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_lists_are_gone_and_nothing_else_has_changed(case: Case):
    loaded = load(case.model).proto
    assert not {node.op_type for node in all_nodes(loaded.graph)} & set(RESOLVERS)
    np.testing.assert_allclose(run(loaded, {"x": X})[0], case.expected, rtol=1e-6, atol=1e-6)


def test_every_op_on_lists_has_a_case():
    asked = {node.op_type for case in CASES for node in all_nodes(case.model.graph)}
    assert set(RESOLVERS) <= asked


def test_gradients_pass_lists_as_if_they_were_not_there():
    text = """s = SplitToSequence<axis=1, keepdims=0>(x); p = SequenceAt(s, a); q = SequenceAt(s, m);
        r = Mul(p, q); t = SequenceConstruct(r, p); y = ConcatFromSequence<axis=0>(t)"""
    tape = Tape(load(Case("", text, X).model).proto)
    seed = tape.add_input("g", np.float32, ["K", 3])
    (found,) = differentiate({tape.outputs[0]: seed}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    g = np.random.default_rng(4).normal(size=(4, 3)).astype(np.float32)
    expected = np.zeros_like(X)
    expected[:, 1] = g[:2] * X[:, -1] + g[2:]
    expected[:, -1] = g[:2] * X[:, 1]
    np.testing.assert_allclose(run(tape.model, {"x": X, "g": g})[1], expected, rtol=1e-6)


def test_a_list_asked_for_as_an_output_stays():
    proto = Case("", "s = SequenceConstruct(x, x); y = SequenceAt(s, o)", X).model
    del proto.graph.output[:]
    proto.graph.output.add(name="s").type.sequence_type.elem_type.tensor_type.elem_type = 1
    loaded = load(proto).proto
    assert [part.shape for part in run(loaded, {"x": X})[0]] == [X.shape, X.shape]


def test_a_place_that_is_computed_is_refused_when_a_gradient_has_to_pass():
    text = "n = Neg(x); s = SequenceConstruct(x, n); z = ArgMax<keepdims=0>(v); i = Squeeze(z); y = SequenceAt(s, i)"
    proto = model(f"(float[2, 6, 3] x, float[2, 1] v) => (float[] y) {{ {text.replace(';', ' ')} }}", opset=18)
    tape = Tape(load(proto).proto)
    seed = tape.add_input("g", np.float32, ["N", 6, 3])
    with pytest.raises(UnresolvedSequence, match=r"SequenceAt .*only when the model runs.*fixed sizes"):
        differentiate({tape.outputs[0]: seed}, [tape.value("x")])
