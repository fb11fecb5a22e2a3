"""Guided backpropagation and DeconvNet against their formulas, f′ by central differences; and the tables by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from backward_runs import Array, evaluated, model, normal, propagated, walked

from onnxcam.autodiff import FLAT, RULES, Rule
from onnxcam.autodiff.backward import TABLES, rules_named
from onnxcam.autodiff.backward.selfgated import SELF_GATED, with_activations
from onnxcam.demo import MODEL
from onnxcam.errors import UnknownChoice
from onnxcam.graph import Tape, load

STEP = 1e-6
PAGE = (Path(__file__).parent.parent / "docs" / "backward-tables.md").read_text()
NUMBERS = {
    "zero": 0.0, "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "root2": np.sqrt(2.0), "k": 0.044715,
    "c": np.sqrt(2 / np.pi), "q": 1.702, "slope": np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1),
}  # fmt: skip
RELUS = [
    "y = Relu(x)", "y = LeakyRelu<alpha=0.2>(x)", "y = PRelu(x, slope)", "y = ThresholdedRelu<alpha=0.5>(x)",
    "y = Elu(x)", "y = Selu(x)", "y = Celu<alpha=0.7>(x)", "y = Clip(x, zero, six)", "y = Clip(x, zero)",
]  # fmt: skip
SPELLED_OUT = {
    "GELU": "d = Div(x, root2); e = Erf(d); p = Add(e, one); h = Mul(x, p); y = Mul(h, half)",
    "GELU, half first": "d = Div(x, root2); e = Erf(d); p = Add(one, e); h = Mul(half, x); y = Mul(h, p)",
    "GELU by tanh": (
        "u = Mul(x, x); v = Mul(u, x); w = Mul(v, k); a = Add(x, w); b = Mul(a, c); t = Tanh(b); p = Add(t, one);"
        "h = Mul(x, half); y = Mul(h, p)"
    ),
    "GELU by tanh, with Pow": (
        "v = Pow(x, three); w = Mul(k, v); a = Add(x, w); b = Mul(c, a); t = Tanh(b); p = Add(one, t);"
        "h = Mul(half, p); y = Mul(x, h)"
    ),
    "SiLU": "s = Sigmoid(x); y = Mul(x, s)",
    "SiLU as a quotient": "m = Neg(x); e = Exp(m); d = Add(e, one); y = Div(x, d)",
    "GELU by sigmoid": "m = Mul(x, q); s = Sigmoid(m); y = Mul(s, x)",
    "Mish": "s = Softplus(x); t = Tanh(s); y = Mul(x, t)",
    "Mish, softplus spelled out": "e = Exp(x); o = Add(e, one); s = Log(o); t = Tanh(s); y = Mul(x, t)",
    "HardSwish by relu6": "a = Add(x, three); r = Clip(a, zero, six); m = Mul(x, r); y = Div(m, six)",
    "HardSwish by HardSigmoid": "s = HardSigmoid<alpha=0.16666667>(x); y = Mul(x, s)",
}
SMOOTH = [
    *SPELLED_OUT.values(), "y = Mish(x)", "y = HardSwish(x)", "y = Softplus(x)",
]  # fmt: skip
# Neither: a sigmoid is a gate, and clipped after a shift it is one too.
GATES = ["y = Sigmoid(x)", "y = Tanh(x)", "a = Add(x, three); y = Clip(a, zero, six)", "y = Clip(x, one, six)"]


def numbers_of(text: str) -> dict[str, Array]:
    words = set(text.replace(",", " ").replace(")", " ").replace("(", " ").split())
    return {name: np.asarray(value, np.float64) for name, value in NUMBERS.items() if name in words}


class Probe:
    """An activation at places off its kinks, with its slope there and a cotangent."""

    def __init__(self, text: str) -> None:
        kind = np.float32 if "Celu" in text else np.float64  # nothing runs Celu in float64
        self.x = (normal(2, 3, 4, 5) * 2.5).astype(kind)
        self.model = model(text, self.x, **numbers_of(text))
        self.start = normal(2, 3, 4, 5, seed=1).astype(kind)
        self.step = STEP if kind is np.float64 else 1e-2
        up, down = (evaluated(self.model, self.x + h) for h in (kind(self.step), kind(-self.step)))
        self.slope = (up.astype(np.float64) - down) / (2 * self.step)

    def check(self, table: str, expected: Array) -> None:
        found = propagated(self.model, TABLES[table], self.x, start=self.start)
        tolerance = 1e-6 if self.x.dtype == np.float64 else 1e-3
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("text", RELUS)
def test_guided_backpropagation_lets_what_is_positive_through_relus(text: str):
    probe = Probe(text)
    probe.check("guided", probe.slope * np.maximum(probe.start, 0))


@pytest.mark.parametrize("text", RELUS)
def test_deconvnet_lets_what_is_positive_through_relus_whatever_the_input(text: str):
    probe = Probe(text)
    probe.check("deconvnet", np.maximum(probe.start, 0))


@pytest.mark.parametrize("table", ["guided", "deconvnet"])
@pytest.mark.parametrize("text", [*SMOOTH, *GATES])
def test_what_is_no_relu_keeps_its_derivative(text: str, table: str):
    probe = Probe(text)
    probe.check(table, probe.slope * probe.start)


@pytest.mark.parametrize("text", [*RELUS, *SMOOTH])
def test_the_smooth_table_lets_what_is_positive_through_all_activations(text: str):
    probe = Probe(text)
    probe.check("guided-smooth", probe.slope * np.maximum(probe.start, 0))


@pytest.mark.parametrize("text", GATES)
def test_the_smooth_table_leaves_gates_alone(text: str):
    probe = Probe(text)
    probe.check("guided-smooth", probe.slope * probe.start)


@pytest.mark.parametrize("text", SMOOTH)
def test_relevance_passes_smooth_activations_as_it_is(text: str):
    probe = Probe(text)
    probe.check("lrp-epsilon", probe.start)


def read(text: str, *, kept: tuple[str, ...] = ()) -> list[tuple[str, list[str], str]]:
    """Op, inputs and output of each node as tables see them."""
    x = normal(2, 3, 4, 5)
    tape = Tape(model(text, x, **numbers_of(text)))
    nodes = with_activations(tape.nodes, {tape.value(name) for name in ("x", "y", *kept)})
    return [(node.op_type, [value.name for value in node.inputs if value], node.output.name) for node in nodes]


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_an_activation_in_several_nodes_is_found(name: str):
    found = [node for node in read(SPELLED_OUT[name]) if node[0] == SELF_GATED]
    assert [inputs for _, inputs, _ in found] == [["x"]]


@pytest.mark.parametrize("op_type", ["Gelu", "FastGelu", "QuickGelu", "BiasGelu"])
def test_activations_that_onnx_runtime_fused_are_found_once_the_model_is_loaded(op_type: str):
    arguments = "x, slope" if op_type == "BiasGelu" else "x"
    proto = model(
        f"y = com.microsoft.{op_type}({arguments})", np.ones((2, 3), np.float32), slope=np.ones(3, np.float32)
    )
    tape = Tape(load(proto).proto)
    nodes = with_activations(tape.nodes, {tape.value("x"), tape.value("y")})
    assert [node.op_type for node in nodes].count(SELF_GATED) == 1


def test_an_activation_begins_at_the_nearest_tensor_that_all_of_it_comes_from():
    nodes = read("r = Relu(x); a = Add(r, one); s = Sigmoid(a); y = Mul(a, s)")
    assert nodes == [("Relu", ["x"], "r"), ("Add", ["r", "one"], "a"), (SELF_GATED, ["a"], "y")]


@pytest.mark.parametrize(
    "text",
    [
        "s = Sigmoid(x); m = Mul(x, s); y = Add(m, s)",  # the gate is used elsewhere too
        "y = Mul(x, x)",
        "m = Mul(x, two); y = Mul(m, x)",  # a power
        "a = Relu(x); p = GlobalAveragePool(x); s = Sigmoid(p); y = Mul(a, s)",  # not element by element
        "m = Mul(x, slope); s = Sigmoid(m); y = Mul(x, s)",  # not the same function everywhere
    ],
)
def test_what_is_no_activation_stays_as_it_is(text: str):
    assert SELF_GATED not in [op_type for op_type, _, _ in read(text)]


def test_an_activation_is_left_apart_where_an_inner_tensor_is_asked_for():
    assert SELF_GATED not in [op_type for op_type, _, _ in read("s = Sigmoid(x); y = Mul(x, s)", kept=("s",))]


NET = """
  c1 = Conv<pads=[1,1,1,1]>(x, w1); r1 = Relu(c1); m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1);
  c2 = Conv(m, w2); r2 = Relu(c2); a = Add(r2, c2); g = GlobalAveragePool(a); f = Flatten(g); y = MatMul(f, w3)
"""
WEIGHTS = {"w1": normal(6, 3, 3, 3), "w2": normal(4, 6, 3, 3, seed=1), "w3": normal(4, 5, seed=2)}


def test_the_table_called_gradient_is_the_derivative():
    x, start = normal(2, 3, 8, 8), normal(2, 5, seed=1)
    proto = model(NET, x, **WEIGHTS)
    plain = propagated(proto, RULES, x, start=start)
    np.testing.assert_array_equal(propagated(proto, TABLES["gradient"], x, start=start), plain)


def test_a_table_with_a_rule_of_ones_own_keeps_the_others():
    x, start = normal(2, 3, 8, 8), normal(2, 5, seed=1)
    proto = model(NET, x, **WEIGHTS)
    doubled = TABLES["guided"].with_rules({"Flatten": Rule(lambda g, node: 2.0 * RULES["Flatten"].function(g, node))})
    found = propagated(proto, doubled, x, start=start)
    np.testing.assert_allclose(found, 2.0 * propagated(proto, TABLES["guided"], x, start=start))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_takes_any_batch_and_size_from_one_file(name: str):
    x, start = normal(3, 3, 10, 8), normal(3, 5, seed=1)
    fixed = propagated(model(NET, x, free=0, **WEIGHTS), TABLES[name], x, start=start)
    proto = model(NET, x, free=4, **WEIGHTS)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    np.testing.assert_allclose(propagated(proto, TABLES[name], x, start=start), fixed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", TABLES)
def test_every_op_that_a_table_emits_can_be_differentiated_again(name: str):
    x = normal(3, 3, 10, 8)
    grown = walked(model(NET, x, **WEIGHTS), TABLES[name])
    assert {node.op_type for node in Tape(grown).nodes} <= {*RULES, *FLAT}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_summary(name: str):
    table = rules_named(name)
    assert table.name == name
    assert table.summary.endswith(".")


def test_a_name_that_no_table_has_is_answered_with_those_that_there_are():
    with pytest.raises(UnknownChoice, match=r"no backward table named 'guide'\. Did you mean 'guided'"):
        rules_named("guide")


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(MODEL, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "backward-tables.md", "exec"), names)
    for name in ("guided", "relevance"):
        assert [output.name for output in names[name].graph.output][-1] == "gradient/image"  # type: ignore[attr-defined]


def test_the_page_names_every_table():
    listed = PAGE[PAGE.index("| name |") : PAGE.index("## Guided")]
    assert set(TABLES) <= set(re.findall(r"`([a-z0-9-]+)`", listed))
