"""Constants that are added on the way, and batch normalisation behind no linear layer: what they absorb."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from backward_runs import Array, evaluated, model, normal, propagated
from lrp_definitions import STABILIZER, stable

from onnxcam.autodiff import RULES
from onnxcam.autodiff.backward import TABLES, BackwardTable, relevance, relevance_table, transformers

WEIGHTS = {
    "w": normal(6, 3, 3, 3), "v": normal(3, 3, 3, 3, seed=1), "k": normal(4, 6, 1, 1, seed=2), "c": normal(6, 1, 1),
    "d": normal(6, 6, seed=3), "rows": np.array([-1, 6]), "tokens": np.array([-1, 4, 6]),
    "s": normal(6, seed=4) + 2.0, "o": normal(6, seed=5), "m": normal(6, seed=6) * 3.0,
    "q": normal(6, seed=7) ** 2 + 0.1,
}  # fmt: skip
# What stands between a constant and the linear layers before it.
BEHIND = {
    "joined": "a = Conv(x, v); r = Relu(a); j = Concat<axis=1>(a, r); n = BatchNormalization(j, s, o, m, q)",
    "pooled": "j = Conv(x, w); p = MaxPool<kernel_shape=[2,2]>(j); n = BatchNormalization(p, s, o, m, q)",
    "activated": "j = Conv(x, w); r = Relu(j); n = BatchNormalization(r, s, o, m, q)",
    "scaled and shifted": "j = Conv(x, w); r = Relu(j); f = Mul(r, c); n = Sub(f, c)",
    "subtracted": "j = Conv(x, w); r = Relu(j); n = Sub(c, r)",
}


def relevance_and_gradient(proto: onnx.ModelProto, x: Array, table: BackwardTable) -> tuple[Array, Array]:
    """The relevance that begins with y, and x·∂Σy/∂x."""
    y = evaluated(proto, x)
    return propagated(proto, table, x, start=y), x * propagated(proto, RULES, x, start=np.ones_like(y))


@pytest.mark.parametrize("name", BEHIND)
def test_epsilon_is_the_input_times_the_gradient_wherever_constants_are_added(name: str):
    """Ancona et al. 2018, proposition 1: so it is for nets of ReLUs; no quotient by a z near 0 is left over."""
    x = normal(2, 3, 6, 6, seed=8)
    proto = model(f"{BEHIND[name]}; u = Relu(n); y = Conv(u, k)", x, **WEIGHTS)
    exact = relevance_table("own", "", source="", dense=relevance.epsilon(1e-13), stabilizer=1e-13)
    found, expected = relevance_and_gradient(proto, x, exact)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_tokens_that_are_normalised_as_rows_are_too():
    x = normal(2, 4, 6, seed=8)
    text = """
      a = MatMul(x, d); f = Reshape(a, rows); n = BatchNormalization(f, s, o, m, q); t = Reshape(n, tokens);
      r = Relu(t); y = MatMul(r, d)
    """
    proto = model(text, x, **WEIGHTS)
    found, expected = relevance_and_gradient(proto, x, transformers(stabilizer=1e-13))
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_twenty_normalised_layers_do_not_overflow_float32():
    x = normal(1, 6, 4, 4, seed=8).astype(np.float32)
    layer = "c{0} = Conv(r{0}, h); m{0} = Relu(c{0}); n{0} = BatchNormalization(m{0}, g, o, m, q)"
    text = "r0 = Relu(x); " + "; ".join(f"{layer.format(place)}; r{place + 1} = Relu(n{place})" for place in range(20))
    layers = {**WEIGHTS, "h": normal(6, 6, 1, 1, seed=2) / 3.0, "g": normal(6, seed=4)}
    proto = model(f"{text}; y = GlobalAveragePool(r20)", x, **layers)
    found, expected = relevance_and_gradient(proto, x, TABLES["lrp-epsilon"])
    assert np.linalg.norm(found - expected) <= 1e-2 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ["lrp-z-plus", "lrp-gamma", "lrp-alpha2beta1", "lrp-epsilon-plus"])
def test_behind_rules_with_larger_denominators_they_absorb_nothing(name: str):
    x, start = normal(2, 3, 6, 6, seed=8), normal(2, 6, 4, 4, seed=9)
    proto = model("j = Conv(x, w); r = Relu(j); y = BatchNormalization(r, s, o, m, q)", x, **WEIGHTS)
    np.testing.assert_array_equal(propagated(proto, TABLES[name], x, start=start, wrt="r"), start)


def test_what_prepares_the_pixels_absorbs_nothing():
    x, start = normal(2, 6, 3, 3, seed=8), normal(2, 6, 3, 3, seed=9)
    proto = model("f = Mul(x, c); a = Sub(f, c); y = BatchNormalization(a, s, o, m, q)", x, **WEIGHTS)
    np.testing.assert_array_equal(propagated(proto, TABLES["lrp-epsilon"], x, start=start), start)


def test_the_rule_of_the_layers_before_decides_and_not_that_of_those_behind():
    x, start = normal(2, 3, 6, 6, seed=8), normal(2, 6, 4, 4, seed=9)
    text = "j = Conv(x, w); r = Relu(j); u = Add(r, c); y = MatMul(u, e)"
    proto = model(text, x, e=np.eye(4) * 2.0, **WEIGHTS)
    found = propagated(proto, TABLES["lrp-epsilon-plus"], x, start=start, wrt="r")
    np.testing.assert_allclose(found, propagated(proto, TABLES["lrp-epsilon-plus"], x, start=start, wrt="u"))
    mixed = TABLES["lrp-epsilon"]
    assert np.abs(propagated(proto, mixed, x, start=start, wrt="r") - found).max() > 0.1


def test_a_bias_of_attention_absorbs_its_share():
    x, start, bias = normal(2, 4, 6), normal(2, 4, 4, seed=1), normal(4, 4, seed=2)
    text = "a, b = Split<axis=2, num_outputs=2>(x); t = Transpose<perm=[0,2,1]>(b); z = MatMul(a, t); y = Add(z, bias)"
    a, b = x[..., :3], x[..., 3:]
    z = a @ b.transpose(0, 2, 1)
    s = z * start / stable(z + bias) / stable(2 * z)
    expected = np.concatenate([a * (s @ b), b * (s.transpose(0, 2, 1) @ a)], axis=2)
    found = propagated(model(text, x, bias=bias), transformers(stabilizer=STABILIZER), x, start=start)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
