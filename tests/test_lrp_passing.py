"""How relevance passes whole networks: all that is no linear layer, conservation, first layers, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from backward_runs import affine_map, evaluated, model, normal, propagated, walked
from lrp_definitions import STABILIZER, LinearMap, by_epsilon, expected

from onnxcam.autodiff import Rule
from onnxcam.autodiff.backward import MAXIMUM_AS_MEAN, TABLES, epsilon_gamma_box, relevance, relevance_table
from onnxcam.errors import NoGradientForm, NoRelevanceRule, TrainingModeBatchNormalization

SHARING = [
    LinearMap("AveragePool", "y = AveragePool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,0]>(x)"),
    LinearMap("GlobalAveragePool", "y = GlobalAveragePool(x)"),
    LinearMap("ReduceMean", "y = ReduceMean<keepdims=0>(x, a)", weights={"a": np.array([2, 3])}),
    LinearMap("ReduceSum", "y = ReduceSum(x, a)", weights={"a": np.array([1])}),
    LinearMap("Resize, linear", 'y = Resize<mode="linear">(x, , k)', weights={"k": np.float32([1, 1, 2, 1])}),
    LinearMap("Add, of two parts", "a, b = Split<axis=1, num_outputs=2>(x); y = Add(a, b)"),
    LinearMap("Sub, of two parts", "a, b = Split<axis=1, num_outputs=2>(x); y = Sub(a, b)"),
    LinearMap("Mean, of two parts", "a, b = Split<axis=1, num_outputs=2>(x); y = Mean(a, b)"),
]


@pytest.mark.parametrize("layer", SHARING, ids=str)
def test_sums_and_means_share_by_the_parts(layer: LinearMap):
    proto, x = layer.build()
    start = normal(*evaluated(proto, x).shape, seed=11)
    table = relevance_table("own", "", source="", dense=relevance.epsilon(), stabilizer=STABILIZER)
    found = propagated(proto, table, x, start=start)
    np.testing.assert_allclose(found, expected(proto, x, start, by_epsilon), rtol=1e-9, atol=1e-12)


PASSING = [
    "y = Relu(x)", "y = LeakyRelu(x)", "y = PRelu(x, c)", "y = Elu(x)", "y = Clip(x, z, n)", "y = Sigmoid(x)",
    "y = Tanh(x)", "y = Mish(x)", "y = HardSwish(x)", "y = Add(x, c)", "y = Sub(c, x)", "y = Mul(c, x)",
    "y = Div(x, c)", "y = LRN<size=3>(x)", "y = BatchNormalization(x, c1, c1, c1, c1)", "y = Neg(x)",
    "s = Sigmoid(x); y = Mul(x, s)", "e = Erf(x); p = Add(e, n); h = Mul(x, p); y = Mul(h, n)",
    "q = ReduceMean(x, axes); s = Sigmoid(q); y = Mul(s, x)",
    "q = ReduceMax(x, axes); s = HardSigmoid(q); y = Mul(x, s)",
]  # fmt: skip


@pytest.mark.parametrize("text", PASSING)
def test_activations_constants_and_gates_pass_relevance_as_it_is(text: str):
    x = normal(2, 3, 4, 5)
    extra = {"c": normal(3, 1, 1) + 3.0, "c1": normal(3) ** 2, "z": np.float64(0), "n": np.float64(1)}
    extra |= {"axes": np.array([2, 3])}
    start = normal(2, 3, 4, 5, seed=4)
    np.testing.assert_allclose(propagated(model(text, x, **extra), TABLES["lrp-epsilon"], x, start=start), start)


def test_relevance_passes_quantization_as_it_is():
    x, start = normal(2, 3).astype(np.float32), normal(2, 3, seed=1).astype(np.float32)
    proto = model("q = QuantizeLinear(x, s, z); y = DequantizeLinear(q, s, z)", x, s=np.float32(0.1), z=np.uint8(9))
    np.testing.assert_array_equal(propagated(proto, TABLES["lrp-epsilon"], x, start=start), start)


def test_a_quantized_kernel_is_a_kernel():
    x, start = normal(2, 4, 5, 5).astype(np.float32), normal(2, 6, 3, 3, seed=1).astype(np.float32)
    q = np.random.default_rng(0).integers(-100, 100, (6, 4, 3, 3)).astype(np.int8)
    proto = model("w = DequantizeLinear(q, s); y = Conv(x, w)", x, q=q, s=np.float32(0.1))
    plain = model("y = Conv(x, w)", x, w=(q * np.float32(0.1)).astype(np.float32))
    found, expected = (propagated(one, TABLES["lrp-z-plus"], x, start=start) for one in (proto, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_maximum_gives_all_to_the_winner():
    x = np.array([[[[1.0, 5.0], [2.0, 3.0]]]])
    proto = model("y = MaxPool<kernel_shape=[2,2]>(x)", x)
    found = propagated(proto, TABLES["lrp-epsilon-plus"], x, start=np.array([[[[7.0]]]]))
    np.testing.assert_allclose(found, [[[[0.0, 7.0], [0.0, 0.0]]]])


def test_a_maximum_may_be_treated_as_a_mean():
    x = np.array([[[[1.0, 5.0], [2.0, 3.0]]]])
    proto = model("y = MaxPool<kernel_shape=[2,2]>(x)", x)
    table = TABLES["lrp-epsilon-plus"].with_rules({"MaxPool": MAXIMUM_AS_MEAN})
    found = propagated(proto, table, x, start=np.array([[[[11.0]]]]))
    np.testing.assert_allclose(found, x, rtol=1e-5)


def test_a_dilated_maximum_is_no_mean():
    x = normal(1, 1, 5, 5)
    proto = model("y = MaxPool<kernel_shape=[2,2], dilations=[2,2]>(x)", x)
    with pytest.raises(NoGradientForm, match="dilations"):
        walked(proto, TABLES["lrp-epsilon"].with_rules({"MaxPool": MAXIMUM_AS_MEAN}))


RESIDUAL = """
  c1 = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1); r1 = Relu(c1);
  c2 = Conv<pads=[1,1,1,1], group=2>(r1, w2); a = Add(c2, r1); r2 = Relu(a);
  m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r2); k = Concat<axis=1>(m, m);
  g = GlobalAveragePool(k); f = Flatten(g); y = MatMul(f, w3)
"""
RESIDUAL_WEIGHTS = {"w1": normal(6, 3, 3, 3), "w2": normal(6, 3, 3, 3, seed=1), "w3": normal(12, 5, seed=2)}


@pytest.mark.parametrize("rule", [relevance.epsilon(1e-12), relevance.gamma(0.25, 1e-12)], ids=["epsilon", "gamma"])
def test_without_biases_nothing_is_lost(rule: relevance.LayerRule):
    x = normal(2, 3, 12, 12)
    proto = model(RESIDUAL, x, **RESIDUAL_WEIGHTS)
    start = normal(2, 5, seed=1)
    table = relevance_table("own", "", source="", dense=rule, stabilizer=1e-12)
    found = propagated(proto, table, x, start=start)
    np.testing.assert_allclose(found.sum((1, 2, 3)), start.sum(1), rtol=1e-7)


def test_the_first_layer_has_a_rule_of_its_own():
    x = normal(2, 3, 12, 12)
    proto = model(RESIDUAL, x, **RESIDUAL_WEIGHTS)
    start = normal(2, 5, seed=1)
    plain, with_first = (TABLES[name] for name in ("lrp-epsilon-plus", "lrp-epsilon-plus-flat"))
    at_first = propagated(proto, plain, x, start=start, wrt="c1")
    np.testing.assert_allclose(propagated(proto, with_first, x, start=start, wrt="c1"), at_first)
    first = model("y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1)", x, w1=RESIDUAL_WEIGHTS["w1"])
    w, _ = affine_map(first, x)
    ones = np.stack([(s.ravel()[:, None] * (w != 0) / ((w != 0).sum(1) + 1e-6)[:, None]).sum(0) for s in at_first])
    found = propagated(proto, with_first, x, start=start)
    np.testing.assert_allclose(found, ones.reshape(x.shape), rtol=1e-9)


def test_both_layers_that_read_the_image_are_first():
    x = normal(2, 3, 6, 6)
    proto = model("a = Conv(x, w1); b = Conv(x, w1b); y = Add(a, b)", x, w1=normal(4, 3, 3, 3), w1b=normal(4, 3, 3, 3))
    start = normal(2, 4, 4, 4, seed=2)
    share = start / 2  # both convolutions have the same weights
    found = propagated(proto, TABLES["lrp-epsilon-plus-flat"], x, start=start)
    single = model("y = Conv(x, w1)", x, w1=normal(4, 3, 3, 3))
    alone = propagated(single, TABLES["lrp-flat"], x, start=share)
    np.testing.assert_allclose(found, 2 * alone, rtol=1e-4)


REFUSED = [
    ("Softmax", "z = MatMul(x, w); y = Softmax(z)"),
    ("MatMul", "t = Transpose<perm=[1, 0]>(x); y = MatMul(x, t)"),
    ("Gemm", "r = Relu(x); y = Gemm(x, w, r)"),
    ("Conv", "u = Unsqueeze(x, last); r = Relu(u); y = Conv(u, r)"),
    ("Mul", "z = MatMul(x, w); r = Relu(x); y = Mul(z, r)"),
    ("Div", "z = MatMul(x, w); r = Relu(x); y = Div(z, r)"),
    ("Exp", "z = MatMul(x, w); y = Exp(z)"),
]


@pytest.mark.parametrize(("op_type", "text"), REFUSED)
def test_what_has_no_relevance_rule_is_refused_by_name(op_type: str, text: str):
    x = normal(3, 3)
    with pytest.raises(NoRelevanceRule, match=rf"{op_type} .*'lrp-epsilon-plus'"):
        walked(model(text, x, w=normal(3, 3), s=normal(3), last=np.array([2])), TABLES["lrp-epsilon-plus"])


def test_statistics_of_the_batch_are_refused():
    x = normal(2, 3, 4, 4)
    text = "y, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s)"
    with pytest.raises(TrainingModeBatchNormalization):
        walked(model(text, x, s=normal(3) ** 2), TABLES["lrp-epsilon-plus"])


def test_a_rule_of_ones_own_takes_the_place_of_a_refusal():
    x = normal(2, 3)
    table = TABLES["lrp-epsilon"].with_rules({"Softmax": Rule(lambda relevance, _: relevance)})
    start = normal(2, 3, seed=1)
    np.testing.assert_allclose(propagated(model("y = Softmax(x)", x), table, x, start=start), start)


LRP = sorted(name for name in TABLES if name.startswith("lrp-"))


@pytest.mark.parametrize("name", LRP)
def test_float16_gives_what_float64_gives(name: str):
    x = np.abs(normal(2, 3, 12, 12))
    start = np.maximum(normal(2, 5, seed=1), 0.2) * 10
    weights = {key: w / np.sqrt(w[0].size) + 0.05 for key, w in RESIDUAL_WEIGHTS.items()}
    exact = propagated(model(RESIDUAL, x, **weights), TABLES[name], x, start=start)
    half = x.astype(np.float16)
    found = propagated(model(RESIDUAL, half, **weights), TABLES[name], half, start=start.astype(np.float16))
    assert found.dtype == np.float16
    assert np.linalg.norm(found - exact) <= 0.06 * np.linalg.norm(exact)


@pytest.mark.parametrize("name", LRP)
def test_the_file_holds_no_second_copy_of_the_weights(name: str):
    x = normal(2, 3, 12, 12)
    weights = {**RESIDUAL_WEIGHTS, "w3": normal(12, 5000, seed=2)}
    grown = walked(model(RESIDUAL, x, **weights), TABLES[name])
    assert sum(len(tensor.raw_data) for tensor in grown.graph.initializer) < 1.01 * sum(
        w.nbytes for w in weights.values()
    )


def test_bounds_make_a_table_of_their_own():
    x = normal(2, 3, 12, 12)
    proto = model(RESIDUAL, x, **RESIDUAL_WEIGHTS)
    start = normal(2, 5, seed=1)
    narrow, wide = (propagated(proto, epsilon_gamma_box(-bound, bound), x, start=start) for bound in (3.0, 300.0))
    assert np.abs(narrow - wide).max() > 1e-3 * np.abs(narrow).max()
