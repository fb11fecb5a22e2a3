"""Relevance through normalisations by the image's own statistics: linear maps, once the divisor is a constant."""

from __future__ import annotations

import numpy as np
import pytest
from backward_runs import Array, model, normal, propagated, walked
from lrp_definitions import STABILIZER, messages

from onnxcam.autodiff.backward import TABLES, relevance, relevance_table, transformers
from onnxcam.errors import NoRelevanceRule

TABLE = relevance_table("own", "", source="", dense=relevance.epsilon(), stabilizer=STABILIZER)
LRP = sorted(name for name in TABLES if name.startswith("lrp-"))
NUMBERS = {
    "a": np.array([-1]), "c": np.array([1]), "hw": np.array([2, 3]), "eps": np.float64(1e-6), "two": np.float64(2.0),
    "half": np.float64(0.5), "gain": normal(3, 1, 1),
}  # fmt: skip
# A quotient by a norm, as exporters write it.
QUOTIENTS = {
    "LpNormalization": "y = LpNormalization<axis=1, p=2>(x)",
    "torch": "n = ReduceL2<keepdims=1>(x, a); k = Clip(n, eps); s = Shape(x); e = Expand(k, s); y = Div(x, e)",
    "torch, newer": "n = ReduceL2<keepdims=1>(x, c); k = Max(n, eps); y = Div(x, k)",
    "TensorFlow": (
        "q = Mul(x, x); t = ReduceSum<keepdims=1>(q, c); k = Max(t, eps); r = Sqrt(k); i = Reciprocal(r); y = Mul(x, i)"
    ),
    "squares by Pow": (
        "q = Pow(x, two); t = ReduceSum<keepdims=0>(q, a); r = Pow(t, half); u = Unsqueeze(r, a); y = Div(x, u)"
    ),
    "root mean square": (
        "q = Pow(x, two); m = ReduceMean<keepdims=1>(q, a); v = Add(m, eps); r = Sqrt(v); i = Reciprocal(r);"
        "g = Mul(i, gain); y = Mul(g, x)"
    ),
    "sum of absolute values": "q = Abs(x); t = ReduceSum<keepdims=1>(q, a); y = Div(x, t)",
    "sum of itself": "t = ReduceSum<keepdims=0>(x, a); u = Unsqueeze(t, a); v = Add(u, eps); y = Div(x, v)",
    "one norm by the mean of all": (  # ConvNeXt V2
        "n = ReduceL2<keepdims=1>(x, hw); m = ReduceMean<keepdims=1>(n, c); v = Add(m, eps); d = Div(n, v);"
        "y = Mul(x, d)"
    ),
    "less the squared mean": (
        "q = Mul(x, x); m = ReduceMean<keepdims=1>(q, a); e = ReduceMean<keepdims=1>(x, a); f = Mul(e, e);"
        "v = Sub(m, f); r = Sqrt(v); y = Div(x, r)"
    ),
}


@pytest.mark.parametrize("form", QUOTIENTS)
@pytest.mark.parametrize("table", LRP)
def test_a_quotient_by_a_norm_passes_relevance_as_it_is(table: str, form: str):
    x, start = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=4)
    proto = model(QUOTIENTS[form], x, **NUMBERS)
    np.testing.assert_array_equal(propagated(proto, TABLES[table], x, start=start), start)


@pytest.mark.parametrize(
    "text",
    [
        "p = ReduceMean<keepdims=1>(x, hw); y = Mul(x, p)",  # how much there is, not how large it is
        "q = Mul(x, x); y = Mul(x, q)",
        "q = Mul(x, x); t = ReduceSum<keepdims=1>(q, a); r = Add(t, x); y = Div(x, r)",
        "r = Relu(x); t = ReduceSum<keepdims=1>(r, a); y = Div(x, t)",
        "n = ReduceL2<keepdims=1>(x, a); y = Div(n, x)",
    ],
)
def test_what_is_no_norm_is_refused(text: str):
    with pytest.raises(NoRelevanceRule, match="a gate or a norm"):
        walked(model(text, normal(2, 3, 4, 5), **NUMBERS), TABLES["lrp-epsilon"])


def test_in_attention_the_product_of_two_stays_half_and_half():
    x, start = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=4)
    proto = model("p = ReduceMean<keepdims=1>(x, hw); y = Mul(x, p)", x, **NUMBERS)
    found = propagated(proto, TABLES["lrp-attention"], x, start=start)
    mean = x.mean((2, 3), keepdims=True)
    expected = start / 2 + x * (start.sum((2, 3), keepdims=True) / 2 / mean) / 20
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def centred(x: Array, start: Array, *, groups: Array, gain: Array, bias: Array, epsilon: float) -> Array:
    """By the definition: y = gain (x − mean)/σ + bias, over the elements that have the same number in `groups`."""
    found = np.empty_like(x)
    for number in np.unique(groups):
        mine = groups == number
        row = x[mine]
        weights = gain[mine][:, None] * (np.eye(row.size) - 1 / row.size) / np.sqrt(row.var() + epsilon)
        found[mine] = messages(weights * row, bias[mine], start[mine])
    return found


def test_instance_normalization_is_linear_for_a_given_deviation():
    x, start, scale, bias = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1), normal(3, seed=2), normal(3, seed=3)
    proto = model("y = InstanceNormalization<epsilon=1e-3>(x, s, b)", x, s=scale, b=bias)
    groups = np.broadcast_to(np.arange(6).reshape(2, 3, 1, 1), x.shape)
    gain, shift = (np.broadcast_to(each.reshape(3, 1, 1), x.shape) for each in (scale, bias))
    expected = centred(x, start, groups=groups, gain=gain, bias=shift, epsilon=1e-3)
    np.testing.assert_allclose(propagated(proto, TABLE, x, start=start), expected, rtol=1e-6)


def test_normalization_by_mean_and_variance_is_linear_for_a_given_deviation():
    x, start = (normal(2, 3, 4, 5, seed=seed).astype(np.float32) for seed in (0, 1))
    groups = np.broadcast_to(np.arange(3).reshape(1, 3, 1, 1), x.shape)
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    expected = centred(x, start, groups=groups, gain=ones, bias=zeros, epsilon=0.0)
    found = propagated(model("y = MeanVarianceNormalization(x)", x), TABLE, x, start=start)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["lrp-epsilon", "lrp-epsilon-plus", "lrp-gamma"])
def test_layer_normalization_has_the_same_rule_in_every_table(name: str):
    x, start, scale = normal(2, 6), normal(2, 6, seed=1), normal(6, seed=2)
    proto = model("y = LayerNormalization(x, s)", x, s=scale)
    expected = propagated(proto, TABLES["lrp-attention"], x, start=start)
    np.testing.assert_array_equal(propagated(proto, TABLES[name], x, start=start), expected)


def test_layer_normalization_written_out_is_layer_normalization():
    x, start, scale, bias = normal(2, 6), normal(2, 6, seed=1), normal(6, seed=2), normal(6, seed=3)
    written_out = """
      z = MatMul(x, w); m = ReduceMean<keepdims=1>(z, a); d = Sub(z, m); q = Pow(d, two);
      v = ReduceMean<keepdims=1>(q, a); e = Add(v, eps); r = Sqrt(e); n = Div(d, r); f = Mul(n, s); y = Add(f, b)
    """
    one = "z = MatMul(x, w); y = LayerNormalization<epsilon=1e-6>(z, s, b)"
    weights = {"w": normal(6, 6, seed=5), "s": scale, "b": bias, **NUMBERS}
    table = transformers(stabilizer=1e-12)
    found, expected = (propagated(model(text, x, **weights), table, x, start=start) for text in (written_out, one))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()  # ONNX Runtime's σ is float32


def test_an_image_without_contrast_gets_finite_numbers():
    x, start = np.ones((1, 2, 3, 3), np.float32), np.ones((1, 2, 3, 3), np.float32)
    for text in ("y = InstanceNormalization(x, s, s)", QUOTIENTS["torch, newer"], QUOTIENTS["TensorFlow"]):
        proto = model(text, x, s=np.ones(2, np.float32), **NUMBERS)
        assert np.isfinite(propagated(proto, TABLES["lrp-epsilon"], x, start=start)).all()
