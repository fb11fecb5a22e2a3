"""How linear layers share relevance, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from backward_runs import Array, evaluated, model, normal, propagated, walked
from conformance import run
from lrp_definitions import DEFINITIONS, LAYERS, STABILIZER, LinearMap, expected, messages, parts, table_of

from onnxcam.autodiff.backward import relevance


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_layer_shares_relevance_by_the_definition(name: str, layer: LinearMap):
    rule, definition = DEFINITIONS[name]
    proto, x = layer.build()
    start = normal(*evaluated(proto, x).shape, seed=11).astype(x.dtype)
    found = propagated(proto, table_of(rule), x, start=start)
    wanted = expected(proto, x, start, definition)
    assert np.abs(found - wanted).max() <= np.abs(wanted).max() * (1e-9 if x.dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_one_file_is_right_at_two_sizes(name: str):
    rule, definition = DEFINITIONS[name]
    layer = next(layer for layer in LAYERS if layer.name == "Conv, then normalised")
    proto, _ = layer.build(free=4)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    both = walked(proto, table_of(rule))
    for shape in ((2, 4, 6, 5), (3, 4, 4, 7)):
        x = normal(*shape, seed=3)
        start = normal(*evaluated(proto, x).shape, seed=4)
        (found,) = run(both, {"x": x, "cotangent": start}, ["found"])
        np.testing.assert_allclose(found, expected(proto, x, start, definition), rtol=1e-9, atol=1e-11)


def test_the_box_has_a_bound_for_each_channel():
    low, high = np.array([-3.0, -4.0, -5.0, -6.0]), np.array([3.0, 2.5, 4.0, 5.0])
    proto, x = LAYERS[9].build()
    start = normal(*evaluated(proto, x).shape, seed=11)

    def definition(x: Array, w: Array, b: Array, *, start: Array) -> Array:
        positive, negative = parts(w)
        least, most = (np.repeat(bound, 30) for bound in (low, high))
        return messages(w * x - positive * least - negative * most, 0 * b, start)

    found = propagated(proto, table_of(relevance.z_box(low, high, stabilizer=STABILIZER)), x, start=start)
    np.testing.assert_allclose(found, expected(proto, x, start, definition), rtol=1e-9)


def test_a_box_without_bounds_is_that_of_the_image_at_hand():
    proto, x = LAYERS[9].build()
    start = normal(*evaluated(proto, x).shape, seed=11)

    def definition(x: Array, w: Array, b: Array, *, start: Array) -> Array:
        positive, negative = parts(w)
        least, most = (np.repeat(f(x.reshape(4, 30), axis=1), 30) for f in (np.min, np.max))
        return messages(w * x - positive * least - negative * most, 0 * b, start)

    found = propagated(proto, table_of(relevance.z_box(stabilizer=STABILIZER)), x, start=start)
    np.testing.assert_allclose(found, expected(proto, x, start, definition), rtol=1e-9)


def test_zero_over_zero_is_zero_without_a_stabilizer():
    x = np.array([[0.0, 0.0], [1.0, 3.0]])
    proto = model("y = MatMul(x, w)", x, w=np.array([[1.0], [2.0]]))
    found = propagated(proto, table_of(relevance.epsilon(0.0)), x, start=np.array([[1.0], [7.0]]))
    np.testing.assert_allclose(found, [[0.0, 0.0], [1.0, 6.0]])


def test_alpha_and_beta_must_differ_by_one():
    with pytest.raises(ValueError, match="alpha - beta must be 1"):
        relevance.alpha_beta(2.0, 0.5)
