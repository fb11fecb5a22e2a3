"""Methods that ask more of the score than its gradient, against what their papers say, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from formulas import numpy_pytorch_grad_cam
from onnx import numpy_helper
from small_nets import Array, cnn, pictures, run

from onnxcam import convert
from onnxcam.errors import NeedsLayers, NothingToCompare

# Behind the mean over places, a score that bends: y = W (m + m²) + b.
BENT = "square = Mul(flat, flat)  bent = Add(flat, square)  y = Gemm(bent, w3, b3)"
ENDS = "y = Gemm(flat, w3, b3)"
PLACES = 8 * 8


def weights(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer}


def explained(model: onnx.ModelProto, target: Any, *outputs: str, **options: Any) -> dict[str, Array]:
    """What the explain graph gives for two pictures."""
    graph = convert(model, layer=options.pop("layer", "r2"), outputs=outputs, **options)
    return run(graph.model, {"x": pictures(2), "target": np.array(target)})


def raw_of_weights(found: dict[str, Array], w: Array) -> Array:
    return np.einsum("nc,nchw->nhw", w, found["activation"].astype(np.float64))


def close(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_shapleycam_takes_half_of_what_the_gradient_changes_by():
    model = cnn(BENT)
    found = explained(model, [1, 3], "activation", "raw_map", method="shapleycam", score="logit")
    m, w = found["activation"].astype(np.float64).mean((2, 3)), weights(model)["w3"][:, [1, 3]].T
    gradient, hessian_times_a = w * (1 + 2 * m) / PLACES, w * 2 * m / PLACES
    close(found["raw_map"], raw_of_weights(found, gradient - hessian_times_a / 2))


def test_shapleycam_is_gradcam_where_nothing_bends():
    model = cnn(ENDS)
    asked = {"score": "logit"}
    maps = [explained(model, [1, 3], "raw_map", method=name, **asked)["raw_map"] for name in ("shapleycam", "gradcam")]
    close(*maps)


def test_shapleycam_of_a_float64_net_is_what_its_paper_says():
    """Of tokens, for ONNX Runtime has no convolution of float64."""
    model = cnn64()
    graph = convert(model, method="shapleycam", layer="a", score="logit", outputs=["activation", "raw_map"]).model
    found = run(graph, {"x": pictures(2, 3, 4, 4).astype(np.float64), "target": np.array([1, 3])})
    m, w = found["activation"].astype(np.float64).mean((2, 3)), weights(model)["w"][:, [1, 3]].T
    gradient, hessian_times_a = w * (1 + 2 * m) / 16, w * 2 * m / 16
    close(found["raw_map"], raw_of_weights(found, gradient - hessian_times_a / 2))


def cnn64() -> onnx.ModelProto:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (double[N,3,4,4] x) => (double[N,5] y)
        <int64[2] space = {2, 3}> {
          rows = Transpose<perm=[0, 2, 3, 1]>(x) dense = MatMul(rows, k) bent = Tanh(dense)
          a = Transpose<perm=[0, 3, 1, 2]>(bent) m = ReduceMean<keepdims=0>(a, space)
          square = Mul(m, m) both = Add(m, square) y = MatMul(both, w) }"""
    model, rng = onnx.parser.parse_model(text), np.random.default_rng(0)
    model.graph.initializer.extend(
        numpy_helper.from_array(rng.normal(size=shape), name) for name, shape in (("k", (3, 6)), ("w", (6, 5)))
    )
    return model


def test_shapleycam_explains_the_residual_score_as_its_paper_does_and_the_logit_as_pytorch_grad_cam_does():
    model = cnn(ENDS)
    default, residual = (
        explained(model, [1, 3], "raw_map", method="shapleycam", **way) for way in ({}, {"score": "rest"})
    )
    close(default["raw_map"], residual["raw_map"])
    like = explained(model, [1, 3], "raw_map", method="shapleycam", like="pytorch-grad-cam")
    close(like["raw_map"], explained(model, [1, 3], "raw_map", method="shapleycam", score="logit")["raw_map"])
    assert np.abs(like["raw_map"] - default["raw_map"]).max() > 1e-3 * np.abs(default["raw_map"]).max()


def test_shapleycam_of_several_targets_is_that_of_each():
    both = explained(cnn(BENT), [[1, 3], [1, 3]], method="shapleycam", multi_target=True)["heatmap"]
    for column, target in enumerate((1, 3)):
        close(both[:, column], explained(cnn(BENT), [target] * 2, method="shapleycam")["heatmap"])


@pytest.mark.parametrize("ending", [ENDS, "z = Gemm(flat, w3, b3)  y = Softmax<axis=1>(z)"], ids=["logits", "softmax"])
def test_the_residual_score_is_the_logit_and_the_logarithm_of_the_probability(ending: str):
    logits = explained(cnn(ENDS), [1, 3], method="gradcam")["y"].astype(np.float64)
    expected = 2 * logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = explained(cnn(ending), [1, 3], method="gradcam", score="rest")["target_score"]
    np.testing.assert_allclose(found, expected[[0, 1], [1, 3]], rtol=1e-5)


def nearest(y: Array, target: int, count: int) -> Array:
    """The classes whose score is next to the target's."""
    return np.array([c for c in np.argsort(np.abs(y - y[target])) if c != target][:count])


def test_finercam_sets_the_class_against_the_mean_of_the_nearest():
    model = cnn(ENDS)
    found = explained(model, [1, 3], "activation", "raw_map", method="finercam", options={"references": 2})
    w, rows = weights(model)["w3"], []
    for y, target in zip(found["y"], (1, 3), strict=True):
        rows.append(w[:, target] - 0.6 * w[:, nearest(y, target, 2)].mean(1))
    close(found["raw_map"], raw_of_weights(found, np.array(rows) / PLACES))


@pytest.mark.parametrize("like", [None, "pytorch-grad-cam"])
def test_finercam_says_when_there_are_not_so_many_to_set_a_class_against(like: str | None):
    def notes(count: int) -> tuple[str, ...]:
        return tuple(convert(cnn(), method="finercam", like=like, options={"references": count}).metadata.notes)

    assert notes(4) == ()
    assert convert(cnn(), method="finercam", like=like).metadata.notes == ()
    (note,) = notes(50)
    assert "the model has 4 other scores" in note
    assert "not 50" in note


def test_finercam_of_the_other_side_is_that_of_the_class_turned_round():
    model = cnn(ENDS)
    maps = [explained(model, [t, t], "raw_map", method="finercam")["raw_map"] for t in (2, 5 + 2)]
    close(maps[1], -maps[0])


def test_finercam_like_pytorch_grad_cam_weighs_by_probability_and_differentiates_that_too():
    model, count = cnn(ENDS), 3
    found = explained(model, [1, 3], "activation", "raw_map", method="finercam", like="pytorch-grad-cam")
    w, b, rows = weights(model)["w3"], weights(model)["b3"], []
    for a, y, target in zip(found["activation"].astype(np.float64), found["y"], (1, 3), strict=True):
        others = nearest(y, target, count)

        def contrast(m: Array, others: Array = others, target: int = target) -> float:
            scores = m @ w + b
            p = (np.exp(scores) / np.exp(scores).sum())[others]
            return float((p * (scores[target] - scores[others])).sum() / (p.sum() + 1e-9))

        m, step = a.mean((1, 2)), 1e-5 * np.eye(8)
        rows.append([(contrast(m + d) - contrast(m - d)) / 2e-5 for d in step])
    close(found["raw_map"], raw_of_weights(found, np.array(rows) / PLACES))


def test_finercam_of_a_difference_sets_neither_of_the_two_against_itself():
    model, difference = cnn(ENDS), 2 * 5 + 1 * 5 + 3
    found = explained(model, [difference] * 2, "activation", "raw_map", method="finercam", options={"references": 4})
    w = weights(model)["w3"]
    row = w[:, 1] - w[:, 3] - 0.6 * w[:, [0, 2, 4]].mean(1)
    close(found["raw_map"], raw_of_weights(found, np.array([row, row]) / PLACES))


@pytest.mark.parametrize("like", [None, "pytorch-grad-cam"])
def test_finercam_takes_another_method_as_its_base(like: str | None):
    """With alpha 0 and one reference nothing is set against the class: the base alone is left."""
    given = {"base": "layercam", "alpha": 0.0, "references": 1}
    found = explained(cnn(ENDS), [1, 3], "raw_map", method="finercam", options=given, normalize="captum")["raw_map"]
    close(found, explained(cnn(ENDS), [1, 3], "raw_map", method="layercam")["raw_map"])


def test_finercam_compares_with_all_there_are_where_more_are_wanted():
    maps = [
        explained(cnn(ENDS), [1, 3], "raw_map", method="finercam", options={"references": n})["raw_map"] for n in (4, 9)
    ]
    close(*maps)


def test_finercam_of_a_single_score_says_that_there_is_nothing_to_compare():
    with pytest.raises(NothingToCompare, match=r"has one score in all\. Use --method gradcam"):
        convert(cnn("y = Gemm(flat, w4, b4)", y="float[N,1] y"), method="finercam", layer="r2")


def test_refinecam_multiplies_the_heatmaps_of_its_layers():
    found = explained(cnn(ENDS), [1, 3], method="refinecam", layer=["r1", "r2"])["heatmap"]
    each = [explained(cnn(ENDS), [1, 3], method="gradcam++", layer=name)["heatmap"] for name in ("r1", "r2")]
    for image, product in zip(found, each[0] * each[1], strict=True):
        np.testing.assert_allclose(image, numpy_pytorch_grad_cam([product], (16, 16)), atol=1e-5)


def test_refinecam_takes_the_last_layer_of_each_grid_when_none_is_named():
    assert convert(cnn(ENDS), method="refinecam").metadata.layers == ("r1", "r2")


def test_refinecam_of_one_layer_asks_for_more():
    with pytest.raises(NeedsLayers, match=r"here is only 'r2'\. Name several"):
        convert(cnn(ENDS), method="refinecam", layer="r2")
