"""What stands between the logits of a segmentation net and what it hands out; and what its scores make of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from small_nets import CNN, net, pictures, run
from test_score_kinds import logits_of, segmenter, weight

import onnxcam
from onnxcam.api import explainer_of

Array = np.ndarray[Any, Any]
WIDE = 'Resize<mode="linear", coordinate_transformation_mode="align_corners">(z, , scales)'
SCALES = "scales = Constant<value_floats=[1.0, 1.0, 2.0, 2.0]>()  half = Constant<value_float=0.5>()  "


def targets(model: onnx.ModelProto, **options: Any) -> tuple[Array, onnxcam.ExplainGraph]:
    """Index and score of the best class of each of three pictures."""
    graph = onnxcam.convert(model, **options)
    return run(graph.model, {"x": pictures(3)})["target_index"], graph


ENDINGS = [
    # what the net does with its logits z (N, 4, 8, 8),          what it hands out
    (f"u = {WIDE}  y = Softmax<axis=1>(u)", "float[N,4,16,16] y"),
    (f"u = {WIDE}  s = Softmax<axis=1>(u)  y = Transpose<perm=[0,2,3,1]>(s)", "float[N,16,16,4] y"),
    (f"u = {WIDE}  t = Transpose<perm=[0,2,3,1]>(u)  y = Softmax<axis=3>(t)", "float[N,16,16,4] y"),
    (f"u = {WIDE}  y = Mul(u, half)", "float[N,4,16,16] y"),
    (f"u = {WIDE}  y = Mul(half, u)", "float[N,4,16,16] y"),
    (f"u = {WIDE}  a = ArgMax<axis=1>(u)  y = Cast<to=1>(a)", "float[N,1,16,16] y"),
    (
        f"u = {WIDE}  from = Constant<value_ints=[0, 0]>()  to = Constant<value_ints=[15, 14]>()  "
        "ax = Constant<value_ints=[2, 3]>()  y = Slice(u, from, to, ax)",
        "float[N,4,15,14] y",
    ),
    ("s = Softmax<axis=1>(z)  y = " + WIDE.replace("(z,", "(s,"), "float[N,4,16,16] y"),
]


@pytest.mark.parametrize(("ending", "y"), ENDINGS, ids=[row[0][:80] for row in ENDINGS])
def test_the_layer_before_the_classes_is_found_behind_whatever_the_net_does_with_them(ending: str, y: str):
    plain, _ = targets(segmenter(SCALES + f"y = {WIDE}", y="float[N,4,16,16] y"))
    found, graph = targets(segmenter(SCALES + ending, y=y))
    assert graph.metadata.layers == ("r2",)
    assert graph.metadata.normalize == "align-corners"
    if "Slice" not in ending:
        np.testing.assert_array_equal(found, plain)


def of_one_class(ending: str, y: str = "float[N,1,8,8] y") -> onnx.ModelProto:
    model = net(CNN.split("gap")[0] + "z = Conv(r2, k3)  " + ending, y=y)
    k = np.random.default_rng(5).normal(size=(1, 8, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(k, "k3"))
    return model


ALONE = [
    ("y = Identity(z)", "float[N,1,8,8] y"),
    ("y = Sigmoid(z)", "float[N,1,8,8] y"),
    ("s = Sigmoid(z)  y = Transpose<perm=[0,2,3,1]>(s)", "float[N,8,8,1] y"),
    ("half = Constant<value_float=0.5>()  s = Sigmoid(z)  g = Greater(s, half)  y = Cast<to=1>(g)", "float[N,1,8,8] y"),
]


@pytest.mark.parametrize(("ending", "y"), ALONE)
def test_one_class_is_seen_where_its_logit_is_above_zero(ending: str, y: str):
    model = of_one_class(ending, y)
    graph = onnxcam.convert(model, outputs=["activation"])
    found = run(graph.model, {"x": pictures(3)})
    logits = logits_of(found, model)[:, 0]
    np.testing.assert_allclose(found["target_score"], np.maximum(logits, 0).sum((1, 2)), rtol=1e-4)
    assert graph.metadata.layers == ("r2",)


def test_the_coarsest_enlargement_says_where_places_lie():
    second = 'y = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(u, , scales)'
    _, graph = targets(segmenter(SCALES + f"u = {WIDE}  {second}", y="float[N,4,32,32] y"))
    assert graph.metadata.normalize == "align-corners"


def test_sums_over_a_picture_are_not_cut_off_in_float16():
    """A hundred thousand is beyond it."""
    from test_pixel_methods import half

    wide, narrow = segmenter(), half(scaled(segmenter(), 400.0))
    x = pictures(3)
    found = run(onnxcam.convert(narrow).model, {"x": x.astype(np.float16)})
    expected = run(onnxcam.convert(wide).model, {"x": x})
    assert found["target_score"].max() > 70_000
    np.testing.assert_allclose(found["target_score"], expected["target_score"] * 400, rtol=0.05)


def scaled(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == "k3":
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(factor), "k3"))
    return model


def test_logits_far_below_zero_have_a_second_best_too():
    model = segmenter("low = Constant<value_float=-200000.0>()  y = Add(z, low)")
    low, plain = (run(onnxcam.convert(m).model, {"x": pictures(3)})["target_score"] for m in (model, segmenter()))
    np.testing.assert_allclose(low, plain, rtol=0.02)


@pytest.mark.parametrize("multi", [False, True])
def test_a_group_is_judged_against_the_classes_outside_it(multi: bool):
    """What its classes have in common counts, and what tells them apart does not."""
    model = segmenter()
    options = {"groups": {"pair": [1, 2]}, "outputs": ["activation", "gradient"], "layer": "r2", "multi_target": multi}
    target = np.full((3, 1), 4) if multi else np.full(3, 4)
    found = run(onnxcam.convert(model, **options).model, {"x": pictures(3), "target": target})
    gradient, score = (found[name].reshape(3, *found[name].shape[1 + multi :]) for name in ("gradient", "target_score"))
    activation = found["activation"].reshape(3, 8, 8, 8)
    weights = weight(model, "k3")[:, :, 0, 0]
    logits = np.einsum("nchw,kc->nkhw", activation.astype(np.float64), weights)
    inside, outside = np.array([1, 2])[logits[:, [1, 2]].argmax(1)], np.array([0, 3])[logits[:, [0, 3]].argmax(1)]
    lead = np.take_along_axis(logits, inside[:, None], 1) - np.take_along_axis(logits, outside[:, None], 1)
    np.testing.assert_allclose(score, np.maximum(lead, 0).sum((1, 2, 3)), rtol=1e-4)
    expected = (weights[inside] - weights[outside]).transpose(0, 3, 1, 2) * (lead > 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_over_a_region_a_group_is_the_sum_of_its_classes_logits():
    model, region = segmenter(), np.random.default_rng(1).random((3, 8, 8)).astype(np.float32)
    graph = onnxcam.convert(model, groups={"pair": [1, 2]}).model
    found = run(graph, {"x": pictures(3), "target": np.full(3, 4), "region": region})
    sums = (found["y"][:, [1, 2]] * region[:, None]).sum((1, 2, 3))
    np.testing.assert_allclose(found["target_score"], sums, rtol=1e-4)


def test_regions_of_several_pictures_go_with_several_targets_whatever_the_batch_is_called():
    model = segmenter(y="float[M,4,8,8] y")
    explain = explainer_of(onnxcam.convert(model, multi_target=True), preprocess="unit")
    photo, region = np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), bool)
    region[2:9, 3:12] = True
    both = explain([photo, photo], [[0, 2], [2, 0]], region=region)
    alone = explain(photo, [0, 2], region=region)
    np.testing.assert_allclose(both[0][0].heatmap, alone[0].heatmap, atol=1e-6)
    np.testing.assert_allclose(both[1][0].heatmap, alone[1].heatmap, atol=1e-6)


@pytest.mark.parametrize("places", ["align_corners", "asymmetric"])
def test_a_driver_enlarges_its_map_so_too(places: str):
    resize = f'y = Resize<mode="linear", coordinate_transformation_mode="{places}">(z, , scales)'
    model = segmenter(SCALES + resize, y="float[N,4,16,16] y")
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    explain = explainer_of(onnxcam.convert(model, method="scorecam"), preprocess="unit")
    found = explain(photo, -1)
    assert found.heatmap.shape == (16, 16)
    assert found.status == "ok"
