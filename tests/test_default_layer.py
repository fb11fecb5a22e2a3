"""The default layer of nets made of tokens, windows and several scales: nets of a few nodes, as ONNX text."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
from small_nets import pictures, run

import onnxcam
from onnxcam.facts import note

# 3 × 4 patches, 8 channels, a class token before them, and its normalisation.
PATCHES = """
  wps = Constant<value_ints=[8,3,4,4]>() wp = RandomNormal<shape=[8,3,4,4], seed=1.0>()
  patches = Conv<strides=[4,4]>(x, wp)
  to3 = Constant<value_ints=[0,8,12]>() flat = Reshape(patches, to3) tokens = Transpose<perm=[0,2,1]>(flat)
  cls = Constant<value = float[1,1,8] {1,2,3,4,5,6,7,8}>()
  n = Shape<start=0, end=1>(x) one8 = Constant<value_ints=[1,8]>() size = Concat<axis=0>(n, one8)
  cls_n = Expand(cls, size) all = Concat<axis=1>(cls_n, tokens)
  scale = Constant<value = float[8] {1,1,1,1,1,1,1,1}>()
"""
HEAD = " wh = RandomNormal<shape=[8,5], seed=2.0>() y = MatMul(pooled, wh)"
ZERO = " zero = Constant<value_int=0>()"
ATTENTION = """
  turned = Transpose<perm=[0,2,1]>(k) logits = MatMul(q, turned) shares = Softmax<axis=-1>(logits)
  mixed = MatMul(shares, v)
"""
SEPARATE = """
  wq = RandomNormal<shape=[8,8], seed=3.0>() wk = RandomNormal<shape=[8,8], seed=4.0>()
  wv = RandomNormal<shape=[8,8], seed=5.0>()
  q = MatMul(normed, wq) k = MatMul(normed, wk) v = MatMul(normed, wv)
"""
TOGETHER = """
  w3 = RandomNormal<shape=[8,24], seed=3.0>() b3 = RandomNormal<shape=[24], seed=4.0>()
  product = MatMul(normed, w3) qkv = Add(product, b3) q, k, v = Split<axis=2, num_outputs=3>(qkv)
"""
BLOCK = " normed = LayerNormalization(all, scale)" + SEPARATE + ATTENTION + " last = Add(all, mixed)"
LAST_NORM = " final = LayerNormalization(last, scale)"
CLASS_TOKEN = ZERO + " pooled = Gather<axis=1>(final, zero)"


def net(body: str) -> onnx.ModelProto:
    """A classifier of 12 × 16 pictures; its random weights are drawn once and for all."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[N,3,12,16] x) => (float[N,5] y) {{ {body} }}'
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for node in [node for node in model.graph.node if node.op_type == "RandomNormal"]:
        shape = next(list(a.ints) for a in node.attribute if a.name == "shape")
        weights = rng.normal(0, 0.5, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, node.output[0]))
        model.graph.node.remove(node)
    return model


def default(body: str) -> onnxcam.Layer:
    return onnxcam.layers(net(body))[0]


def test_with_a_class_token_it_is_what_the_last_attention_reads():
    layer = default(PATCHES + BLOCK + LAST_NORM + CLASS_TOKEN + HEAD)
    assert (layer.tensor, layer.layout, layer.grid, layer.prefix) == ("normed", "NTC", (3, 4), 1)
    assert "attention" in layer.reason


def test_queries_keys_and_values_in_one_product_are_passed_over():
    body = (PATCHES + BLOCK + LAST_NORM + CLASS_TOKEN + HEAD).replace(SEPARATE, TOGETHER)
    assert default(body).tensor == "normed"


def test_tokens_behind_the_last_attention_are_listed_with_what_they_lack():
    layers = {layer.tensor: layer for layer in onnxcam.layers(net(PATCHES + BLOCK + LAST_NORM + CLASS_TOKEN + HEAD))}
    assert "only its class token reaches the score" in layers["final"].reason
    assert "only its class token" not in layers["all"].reason


def test_the_gradient_of_the_default_is_not_zero_and_that_behind_the_last_attention_is():
    model, x = net(PATCHES + BLOCK + LAST_NORM + CLASS_TOKEN + HEAD), pictures(2, 3, 12, 16)
    live = run(onnxcam.convert(model, outputs=["gradient"]).model, {"x": x})["gradient"]
    dead = run(onnxcam.convert(model, layer="final", outputs=["gradient"]).model, {"x": x})["gradient"]
    assert live.shape == dead.shape == (2, 8, 3, 4)
    assert np.abs(live).min() > 0
    assert not dead.any()


def test_activation_and_gradient_are_those_of_the_grid_alone():
    model, x = net(PATCHES + BLOCK + LAST_NORM + CLASS_TOKEN + HEAD), pictures(2, 3, 12, 16)
    told = run(onnxcam.convert(model, outputs=["activation", "gradient", "raw_map"]).model, {"x": x})
    model.graph.output.append(onnx.helper.make_tensor_value_info("normed", 1, ["N", 13, 8]))
    tokens = run(model, {"x": x})["normed"][:, 1:].reshape(2, 3, 4, 8).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(told["activation"], tokens, atol=1e-6)
    expected = (told["gradient"].mean((2, 3), keepdims=True) * tokens).sum(1)
    np.testing.assert_allclose(told["raw_map"], expected, atol=1e-5)


def test_where_tokens_are_averaged_it_is_what_the_mean_is_taken_of():
    mean = " a1 = Constant<value_ints=[1]>() pooled = ReduceMean<keepdims=0>(final, a1)"
    layer = default(PATCHES + BLOCK + LAST_NORM + mean + HEAD)
    assert (layer.tensor, layer.prefix) == ("final", 1)
    assert "averaged" in layer.reason


def test_where_patches_are_averaged_without_the_class_token_it_is_the_patches():
    mean = (
        " a1 = Constant<value_ints=[1]>() end = Constant<value_ints=[99]>() patch = Slice(final, a1, end, a1)"
        " pooled = ReduceMean<keepdims=0>(patch, a1)"
    )
    layer = default(PATCHES + BLOCK + LAST_NORM + mean + HEAD)
    assert (layer.tensor, layer.grid, layer.prefix) == ("patch", (3, 4), 0)


def test_a_name_that_the_author_gave_goes_before_a_later_tensor_of_the_same_places():
    mean = (
        " a1 = Constant<value_ints=[1]>() end = Constant<value_ints=[99]>() patch = Slice(final, a1, end, a1)"
        " pooled = ReduceMean<keepdims=0>(patch, a1)"
    )
    model = net(PATCHES + BLOCK + LAST_NORM + mean + HEAD)
    note(model, layers={"norm": "final"})
    assert onnxcam.layers(model)[0].name == "norm"


def test_of_two_poolings_of_one_map_it_is_the_map():
    body = (
        "wp = RandomNormal<shape=[8,3,4,4], seed=1.0>() map = Conv<strides=[4,4]>(x, wp)"
        " a = GlobalAveragePool(map) b = GlobalMaxPool(map) c = Add(a, b) pooled = Flatten(c)" + HEAD
    )
    assert default(body).tensor == "map"


def test_a_maximum_over_places_beside_an_attention_is_no_way_of_its_own():
    most = (
        ZERO + " a1 = Constant<value_ints=[1]>() cls_out = Gather<axis=1>(final, zero)"
        " end = Constant<value_ints=[99]>() patch = Slice(final, a1, end, a1) aux = Relu(patch)"
        " most = ReduceMax<keepdims=0>(aux, a1) pooled = Add(cls_out, most)"
    )
    assert default(PATCHES + BLOCK + LAST_NORM + most + HEAD).tensor == "normed"


def test_where_a_maximum_is_the_only_way_it_is_what_that_is_taken_of():
    body = (
        "wp = RandomNormal<shape=[8,3,4,4], seed=1.0>() map = Conv<strides=[4,4]>(x, wp)"
        " a = GlobalMaxPool(map) pooled = Flatten(a)" + HEAD
    )
    assert default(body).tensor == "map"


def test_of_two_scales_on_separate_ways_it_is_the_last_map_of_the_last_way():
    body = (
        "wa = RandomNormal<shape=[8,3,4,4], seed=1.0>() wb = RandomNormal<shape=[8,3,2,2], seed=2.0>()"
        " coarse = Conv<strides=[4,4]>(x, wa) fine = Conv<strides=[2,2]>(x, wb) after = Relu(fine)"
        " a = GlobalAveragePool(coarse) b = GlobalAveragePool(after) c = Add(a, b) pooled = Flatten(c)" + HEAD
    )
    assert default(body).tensor == "after"


def test_of_an_earlier_and_a_later_map_both_pooled_it_is_the_later():
    body = (
        "wa = RandomNormal<shape=[8,3,2,2], seed=1.0>() wb = RandomNormal<shape=[8,8,2,2], seed=2.0>()"
        " early = Conv<strides=[2,2]>(x, wa) late = Conv<strides=[2,2]>(early, wb)"
        " a = GlobalAveragePool(early) b = GlobalAveragePool(late) c = Add(a, b) pooled = Flatten(c)" + HEAD
    )
    assert default(body).tensor == "late"


def test_a_gate_of_means_is_no_end_of_space():
    body = (
        "wp = RandomNormal<shape=[8,3,4,4], seed=1.0>() map = Conv<strides=[4,4]>(x, wp) m = GlobalAveragePool(map)"
        " g = Sigmoid(m) gated = Mul(map, g) a = GlobalAveragePool(gated) pooled = Flatten(a)" + HEAD
    )
    assert default(body).tensor == "gated"


def test_windows_are_not_listed_but_what_they_are_put_together_to():
    body = (
        "wp = RandomNormal<shape=[8,3,2,2], seed=1.0>() map = Conv<strides=[2,2]>(x, wp)"
        " rows = Transpose<perm=[0,2,3,1]>(map) v = Constant<value_ints=[-1,2,3,2,4,8]>() r = Reshape(rows, v)"
        " m = Transpose<perm=[0,1,3,2,4,5]>(r) u = Constant<value_ints=[-1,12,8]>() windows = Reshape(m, u)"
        " inside = Relu(windows) s = Constant<value_ints=[-1,2,2,3,4,8]>() d = Reshape(inside, s)"
        " g = Transpose<perm=[0,1,3,2,4,5]>(d)"
        " b = Constant<value_ints=[-1,6,8,8]>() whole = Reshape(g, b)"
        " a12 = Constant<value_ints=[1,2]>() pooled = ReduceMean<keepdims=0>(whole, a12)" + HEAD
    )
    layers = onnxcam.layers(net(body))
    assert (layers[0].tensor, layers[0].layout) == ("whole", "NHWC")
    assert not {"windows", "inside"} & {layer.tensor for layer in layers}


def test_tokens_laid_out_before_the_batch_are_brought_to_the_same_map():
    mean = " a1 = Constant<value_ints=[1]>() pooled = ReduceMean<keepdims=0>(final, a1)"
    turned = " first = Transpose<perm=[1,0,2]>(all) act = Tanh(first) last = Transpose<perm=[1,0,2]>(act)" + LAST_NORM
    model, x = net(PATCHES + turned + mean + HEAD), pictures(3, 3, 12, 16)
    layers = {layer.tensor: layer for layer in onnxcam.layers(model)}
    assert layers["act"].layout == "TNC"
    found = run(onnxcam.convert(model, layer="act").model, {"x": x})["heatmap"]
    np.testing.assert_allclose(found, run(onnxcam.convert(model, layer="last").model, {"x": x})["heatmap"], atol=1e-6)
    targets = np.array([[1, 4]] * 3)
    many = run(onnxcam.convert(model, layer="act", multi_target=True).model, {"x": x, "target": targets})["heatmap"]
    one = run(onnxcam.convert(model, layer="last").model, {"x": x, "target": targets[:, 1]})["heatmap"]
    np.testing.assert_allclose(many[:, 1], one, atol=1e-5)


def test_sizes_taken_from_the_batch_count_the_repeated_images_too():
    mean = (
        " count = Shape<start=0, end=1>(x) rest = Constant<value_ints=[8, 13]>() to = Concat<axis=0>(count, rest)"
        " upright = Transpose<perm=[0,2,1]>(final) same = Reshape(upright, to)"
        " a2 = Constant<value_ints=[2]>() pooled = ReduceMean<keepdims=0>(same, a2)"
    )
    model, x = net(PATCHES + BLOCK + LAST_NORM + mean + HEAD), pictures(3, 3, 12, 16)
    targets = np.array([[1, 4], [0, 2], [3, 3]])
    many = run(onnxcam.convert(model, layer="normed", multi_target=True).model, {"x": x, "target": targets})["heatmap"]
    for column in range(2):
        one = run(onnxcam.convert(model, layer="normed").model, {"x": x, "target": targets[:, column]})["heatmap"]
        np.testing.assert_allclose(many[:, column], one, atol=1e-5)
