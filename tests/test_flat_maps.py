"""Maps that are the same everywhere: their status says so, and what only looks alike is not taken for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import onnxcam
from onnxcam.judgement import is_flat

RNG = np.random.default_rng(0)
GREY = np.full((8, 8, 3), 94, np.uint8)
SCENE = RNG.integers(0, 256, (8, 8, 3), np.uint8)
UNIT = {"mean": [0, 0, 0], "std": [1, 1, 1], "size": [8, 8]}


def pointwise(count: int = 4) -> onnx.ModelProto:
    """A net that sees each place by itself, so that of one colour it gives the same everywhere."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> m (float[N,3,8,8] x) => (float[N,4] y) {'
        "c = Conv(x, w) r = Relu(c) p = GlobalAveragePool(r) f = Flatten<axis=1>(p) y = MatMul(f, v) }"
    )
    w, v = RNG.normal(0, 1, (8, 3, 1, 1)), np.abs(RNG.normal(0, 1, (8, count)))
    model.graph.initializer.extend(numpy_helper.from_array(x.astype(np.float32), n) for x, n in ((w, "w"), (v, "v")))
    return model


def explained(photo: Any, **options: Any) -> Any:
    return onnxcam.explain(pointwise(), photo, 0, preprocess=UNIT, **options)


@pytest.mark.parametrize(
    ("method", "normalize"),
    [("gradcam", "keras"), ("layercam", "captum"), ("activation-mean", "percentile"), ("saliency", "percentile"),
     ("integrated-gradients", "keras")],
)  # fmt: skip
def test_a_map_that_is_the_same_everywhere_is_flat(method: str, normalize: str):
    found = explained(GREY, method=method, normalize=normalize)
    assert found.heatmap.any()
    assert np.ptp(found.heatmap) < 1e-6
    assert found.status == "flat"
    assert "the same everywhere" in found.reason


@pytest.mark.parametrize("method", ["gradcam", "layercam", "eigencam", "saliency", "occlusion", "integrated-gradients"])
def test_a_map_with_something_in_it_is_ok(method: str):
    assert explained(SCENE, method=method, normalize="keras").status == "ok"


def test_the_raw_map_of_many_passes_tells_a_flat_one_from_one_that_is_zero():
    found = explained(GREY, method="integrated-gradients", normalize="pytorch-grad-cam")
    assert not found.heatmap.any()
    assert found.status == "flat"


def test_a_map_of_negative_numbers_with_structure_is_ok_where_they_are_shown():
    model = pointwise()
    v = next(entry for entry in model.graph.initializer if entry.name == "v")
    v.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(v), "v"))
    found = onnxcam.explain(model, SCENE, 0, preprocess=UNIT, normalize="captum")
    assert found.heatmap.max() <= 0
    assert found.status == "ok"


@pytest.mark.parametrize(
    ("values", "is_so"),
    [
        ([1.0, 1.0, 1.0], True),
        ([-3.0, -3.0, -3.0], True),
        ([1e-20, 1e-20], True),
        ([1.0, 1.0 + 2**-22], True),
        ([1.0, 1.0 + 2**-19], False),
        ([1e-20, 2e-20], False),
        ([0.0, 1e-30], False),
        ([0.0, 0.0], False),
    ],
)
def test_flat_is_what_differs_by_no_more_than_rounding(values: list[float], is_so: bool):
    assert is_flat(np.array([values], np.float32)) is is_so


def without_layer_scores(ending: str, **options: Any) -> Any:
    """The explanation of a net whose layer has nothing that would raise its score."""
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> m (float[N,3,8,8] x) => (float[N,4] y) {'
        f"c = Conv(x, w) r = Relu(c) p = GlobalAveragePool(r) f = Flatten<axis=1>(p) {ending} }}"
    )
    w, v = -np.abs(RNG.normal(0, 1, (8, 3, 1, 1))), np.abs(RNG.normal(0, 1, (8, 4)))
    model.graph.initializer.extend(numpy_helper.from_array(x.astype(np.float32), n) for x, n in ((w, "w"), (v, "v")))
    return onnxcam.explain(model, SCENE, preprocess=UNIT, method="gradcam", **options)


SOFTMAX = "m = MatMul(f, v) y = Softmax<axis=1>(m)"
WHY_ZERO = [
    # score,           the rest,                            what is said,                                not said
    ("probability", {}, ["speaks for class 0", "convert with the logit", "or a class that"], []),
    ("logit", {}, ["speaks for class 0", "or a class that the model sees"], ["probability"]),
    ("output", {}, ["nothing in r raises the score.", "or another score."], ["probability", "class"]),
    ("output", {"labels": list("abcd")}, ["speaks for a."], ["probability"]),
    ("y[:, 2] * 2", {}, ["nothing in r raises the score.", "or another score."], ["probability", "class"]),
    ("similarity", {"reference": np.ones(4)}, ["more like the reference", "or another reference."], ["class", "logit"]),
]


@pytest.mark.parametrize(("score", "more", "said", "unsaid"), WHY_ZERO, ids=[f"{r[0]}, {[*r[1]]}" for r in WHY_ZERO])
def test_the_reason_of_a_map_of_zeros_fits_what_is_explained(
    score: str, more: dict[str, Any], said: list[str], unsaid: list[str]
):
    found = without_layer_scores(SOFTMAX, score=score, **more)
    assert found.status == "all-zero"
    assert [words for words in said if words not in found.reason] == []
    assert [words for words in unsaid if words in found.reason] == []


def test_a_method_without_gradients_does_not_blame_them():
    found = without_layer_scores(SOFTMAX, score="probability")
    driven = onnxcam.Explainer(onnxcam.convert(pointwise(), score="probability", preprocess=UNIT).to_bytes())
    assert "no gradient left" in found.reason
    assert "no gradient left" not in driven(np.zeros((8, 8, 3), np.uint8), 0, driver="rise").reason
