"""Methods of many passes converted like any other, and around others."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from explain_graphs import sigmoid
from numpy.typing import NDArray
from onnx import ModelProto
from small_nets import cnn, net, run

from onnxcam import Explainer, convert
from onnxcam.asking import probability
from onnxcam.drivers import DRIVERS
from onnxcam.errors import InvalidOption, TooManyLayers, UnknownOption

RAW = {"preset": "raw", "size": [16, 16]}


def converted(model: ModelProto, **options: Any) -> Explainer:
    return Explainer(convert(model.SerializeToString(), preprocess=RAW, **options).to_bytes())


def photo_of(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)


@pytest.mark.parametrize("method", ["scorecam", "occlusion", "rise", "lime"])
def test_a_method_of_many_passes_is_converted_and_driven_like_any_other(method: str):
    small = {"masks": 30} if method == "rise" else {"samples": 40, "segments": 9} if method == "lime" else {}
    found = converted(cnn(), method=method, options=small)(photo_of(), 3)
    assert found.method == method
    assert found.target_index == 3
    assert found.map.shape == (16, 16)
    assert found.status == "ok"


def test_scorecam_on_a_graph_is_that_of_its_own_formula():
    model = cnn()
    explain = converted(model, method="scorecam", layer="r2", outputs=["activation"])
    photo = photo_of()
    x = np.moveaxis(photo, 2, 0).astype(np.float32)
    driven = explain.drive(x, 1)
    a = explain.run(x[None], 1, outputs=["activation"])["activation"][0]
    masks = np.stack([cv2.resize(plane, (16, 16)) for plane in a])
    low, high = masks.min((1, 2), keepdims=True), masks.max((1, 2), keepdims=True)
    masks = (masks - low) / (high - low + 1e-8)
    scores = run(model, {"x": x * masks[:, None]})["y"][:, 1].astype(np.float64)
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    np.testing.assert_allclose(driven.raw, np.tensordot(weights, a, 1), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("wrap", ["tta", "sess"])
def test_a_method_goes_around_another_by_name_or_by_conversion(wrap: str):
    photo, options = photo_of(), {"scales": 2} if wrap == "sess" else {}
    wrapped = converted(cnn(), wrap=wrap)(photo, 2, options=options)
    called = converted(cnn())(photo, 2, driver=wrap, options=options)
    assert wrapped.method == called.method == f"{wrap} of gradcam"
    assert wrapped.layer == called.layer != "x"
    np.testing.assert_allclose(wrapped.map, called.map)


def test_options_that_only_the_wrap_has_go_to_it_and_the_others_to_the_method():
    explain = converted(cnn(), method="gradcam", wrap="tta", options={"brightness": "1", "eigen_smooth": True})
    assert explain.metadata.driver == {"name": "tta", "options": {"brightness": [1.0]}}
    assert explain.metadata.options == {"eigen_smooth": True}
    plain = converted(cnn(), method="gradcam", options={"eigen_smooth": True})
    both = np.stack([plain(photo, 2).map for photo in (photo_of(), photo_of()[:, ::-1].copy())])
    np.testing.assert_allclose(explain(photo_of(), 2).map, (both[0] + both[1][:, ::-1]) / 2, atol=1e-5)


def test_the_wraps_options_are_known_also_where_the_scores_choose_the_method():
    assert converted(cnn(), wrap="sess", options={"scales": 3}).metadata.driver["options"] == {"scales": 3}


def test_behind_the_wraps_name_an_option_is_the_wraps():
    explain = converted(cnn(), wrap="tta", options={"tta.flips": False})
    assert explain.metadata.driver["options"] == {"flips": False}
    assert explain(photo_of(), 2).report["passes"] == 3
    assert explain(photo_of(), 2, options={"tta.brightness": 1}).report["passes"] == 1


def test_a_name_that_both_have_is_the_methods():
    both = {"flips": DRIVERS["tta"].options["flips"]}
    given = {"flips": 1, "tta.flips": 2, "brightness": 3}
    assert DRIVERS["tta"].taken_from(given, "some", both) == ({"flips": 1}, {"flips": 2, "brightness": 3})


@pytest.mark.parametrize("method", ["gradcam", None])
def test_an_option_that_neither_has_is_refused_with_those_that_there_are(method: str | None):
    with pytest.raises(UnknownOption, match=r"'tta of gradcam' has no option 'brigthness'. Did you mean 'brightness'"):
        converted(cnn(), method=method, wrap="tta", options={"brigthness": 1})
    with pytest.raises(InvalidOption, match="brightness of the method 'tta' is 'x'"):
        converted(cnn(), method=method, wrap="tta", options={"brightness": "x"})


def test_tta_is_the_mean_of_the_graphs_own_heatmaps():
    explain = converted(cnn())
    x = np.moveaxis(photo_of(), 2, 0).astype(np.float32)
    maps = []
    for is_flipped in (False, True):
        for factor in np.float32([0.9, 1, 1.1]):
            batch = (x[..., ::-1] if is_flipped else x)[None] * factor
            found = explain.run(batch, 2, outputs=["heatmap"])["heatmap"][0]
            maps.append(found[:, ::-1] if is_flipped else found)
    np.testing.assert_allclose(explain.drive(x, 2, driver="tta").heatmap, np.mean(maps, 0), atol=1e-5)


def test_graphs_for_many_passes_have_no_heatmap_of_their_own_and_load():
    graph = convert(cnn().SerializeToString(), method="rise", preprocess=RAW)
    assert "heatmap" not in {output.name for output in graph.model.graph.output}
    assert Explainer(graph.to_bytes()).metadata.driver == {"name": "rise", "options": {}}


def test_a_probability_is_the_softmax_of_logits_and_a_share_is_taken_as_it_is():
    logits = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(probability(logits, 2), [np.exp(4) / np.exp([1, 2, 4]).sum(), 1 / 3])
    np.testing.assert_allclose(probability([[0.2, 0.8]], 1), [0.8])
    np.testing.assert_allclose(probability([[2.0]], 0), [1 / (1 + np.exp(-2))])


def test_sess_weighs_windows_by_the_sigmoid_of_a_net_with_one_output():
    photo = np.random.default_rng(0).integers(0, 256, (4, 4), np.uint8)
    explain = Explainer(sigmoid().SerializeToString())
    found = explain(photo, driver="sess", options={"scales": 1, "is_smooth": False})
    assert found.report["passes"] == 1
    low, high = photo.min(), photo.max()
    np.testing.assert_allclose(found.map, (photo - low) / (high - low), atol=1e-4)


@pytest.mark.parametrize("method", ["scorecam", "smooth-gradcam++"])
def test_many_passes_look_at_one_layer(method: str):
    with pytest.raises(TooManyLayers, match=r"'r1', 'r2' are 2\. Name one of them"):
        convert(cnn().SerializeToString(), method=method, layer=["r1", "r2"])


@pytest.mark.parametrize(
    ("method", "kind"), [("rise", "probability"), ("occlusion", "probability"), ("scorecam", "logit")]
)
def test_on_classes_the_method_chooses_the_kind_of_score(method: str, kind: str):
    assert convert(cnn().SerializeToString(), method=method).metadata.score == kind
    assert convert(cnn().SerializeToString(), method=method, score="logit").metadata.score == "logit"


def test_where_there_are_no_classes_it_takes_what_the_outputs_show():
    body = "c = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(c) y = Conv<pads=[1,1,1,1]>(r, w2, b2)"
    segmenting = net(body, y="float[N,8,16,16] y")
    assert convert(segmenting.SerializeToString(), method="rise").metadata.score == "segmentation"
