"""Relevance through the ops of transformers, against the propositions of AttnLRP in numpy, float64."""

from __future__ import annotations

import numpy as np
from backward_runs import model, normal, propagated
from lrp_definitions import messages, stable

from onnxcam.autodiff.backward import TABLES, relevance, transformers

STABILIZER = 0.05
TABLE = transformers(stabilizer=STABILIZER)


def test_softmax_is_expanded_at_its_input():
    x, start = normal(2, 3, 5), normal(2, 3, 5, seed=1)
    y = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    expected = x * (start - y * start.sum(1, keepdims=True))
    found = propagated(model("y = Softmax<axis=1>(x)", x), TABLE, x, start=start)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_what_is_masked_before_a_softmax_gets_nothing():
    x, start = normal(2, 3), normal(2, 3, seed=1)
    mask = np.array([[0.0, -np.inf, 0.0]])
    found = propagated(model("m = Add(x, mask); y = Softmax(m)", x, mask=mask), TABLE, x, start=start)
    assert np.isfinite(found).all()
    assert not found[:, 1].any()
    assert found[:, 0].all()


def test_each_factor_of_a_matrix_product_gets_half():
    x, start = normal(2, 4, 6), normal(2, 4, 4, seed=1)
    proto = model("a, b = Split<axis=2, num_outputs=2>(x); t = Transpose<perm=[0,2,1]>(b); y = MatMul(a, t)", x)
    a, b = x[..., :3], x[..., 3:]
    s = start / stable(2 * a @ b.transpose(0, 2, 1))
    expected = np.concatenate([a * (s @ b), b * (s.transpose(0, 2, 1) @ a)], axis=2)
    np.testing.assert_allclose(propagated(proto, TABLE, x, start=start), expected, rtol=1e-9)


def test_each_operand_of_a_product_gets_half():
    x, start = normal(2, 4, 6), normal(2, 4, 3, seed=1)
    proto = model("a, b = Split<axis=2, num_outputs=2>(x); y = Mul(a, b)", x)
    expected = np.concatenate([start, start], axis=2) / 2
    np.testing.assert_allclose(propagated(proto, TABLE, x, start=start), expected)


def test_a_constant_factor_leaves_all_to_the_other():
    x, start = normal(2, 4), normal(2, 4, seed=1)
    np.testing.assert_allclose(propagated(model("y = Mul(c, x)", x, c=normal(4)), TABLE, x, start=start), start)


def test_layer_normalization_is_linear_for_a_given_deviation():
    x, start, scale, bias = normal(3, 6), normal(3, 6, seed=1), normal(6, seed=2), normal(6, seed=3)
    proto = model("y = LayerNormalization<epsilon=1e-3>(x, s, b)", x, s=scale, b=bias)
    centring = np.eye(6) - 1 / 6
    rows = [
        messages(scale[:, None] * centring / np.sqrt(row.var() + 1e-3) * row, bias, one)
        for row, one in zip(x, start, strict=True)
    ]
    np.testing.assert_allclose(propagated(proto, TABLE, x, start=start), np.stack(rows), rtol=1e-6)


def test_linear_layers_take_the_rules_given():
    x, start = normal(3, 6), normal(3, 4, seed=1)
    proto = model("y = MatMul(x, w)", x, w=normal(6, 4))
    given = transformers(dense=relevance.z_plus())
    expected = propagated(proto, TABLES["lrp-z-plus"], x, start=start)
    np.testing.assert_allclose(propagated(proto, given, x, start=start), expected)
    assert np.abs(propagated(proto, TABLE, x, start=start) - expected).max() > 0.2 * np.abs(expected).max()
