"""Sanity checks: which weights are randomised, that they are only moved, and what is left of maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from metric_cases import case, value
from samples import model_path, needs_samples
from small_nets import cnn, net, pictures, run

from onnxcam.api import convert
from onnxcam.appraisal import evaluate
from onnxcam.errors import MetricNeedsModel, NothingToRandomise, UnknownChoice
from onnxcam.graph import load
from onnxcam.graph.shuffling import shuffled, weighted_layers
from onnxcam.randomization import stages

PHOTO = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
RUN = {"threads": 1}


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_layers_are_found_in_the_order_in_which_they_run():
    assert weighted_layers(cnn()) == [("w1", "b1"), ("w2", "b2"), ("w3", "b3")]


def test_scales_zero_points_and_shapes_are_no_weights():
    body = """
        scale = Constant<value = float {0.1}>()
        q = DequantizeLinear(w, s, z)
        c = Conv<pads=[1,1,1,1]>(x, q)
        r = Reshape(c, shape)
        y = ReduceMean<keepdims=0>(r, axes)
    """
    model = net(body, y="float[N,8] y")
    model.graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.arange(216, dtype=np.int8).reshape(8, 3, 3, 3), "w"),
            onnx.numpy_helper.from_array(np.full(8, 0.1, np.float32), "s"),
            onnx.numpy_helper.from_array(np.zeros(8, np.int8), "z"),
            onnx.numpy_helper.from_array(np.array([0, 8, -1]), "shape"),
            onnx.numpy_helper.from_array(np.array([2]), "axes"),
        ]
    )
    assert weighted_layers(model) == [("w",)]


def test_shuffled_weights_are_the_same_numbers_in_other_places():
    before, after = weights(cnn()), weights(shuffled(cnn(), ["w2", "b2"], seed=0))
    np.testing.assert_array_equal(np.sort(after["w2"], axis=None), np.sort(before["w2"], axis=None))
    assert (after["w2"] != before["w2"]).mean() > 0.9
    assert after["w2"].shape == before["w2"].shape


def test_other_weights_and_the_model_given_stay_as_they_are():
    model = cnn()
    after = weights(shuffled(model, ["w2"], seed=0))
    for name in ("w1", "b1", "b2", "w3", "b3"):
        np.testing.assert_array_equal(after[name], weights(cnn())[name])
    assert model == cnn()


def test_shuffling_is_seeded():
    one, same, other = (weights(shuffled(cnn(), ["w2"], seed=seed))["w2"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_scale_bias_mean_and_variance_of_a_normalisation_stay_together():
    model = net("y = BatchNormalization(x, a, b, c, d)", x="float[N,9,4,4] x", y="float[N,9,4,4] y")
    for name in "abcd":
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(1, 10, dtype=np.float32), name))
    found = weights(shuffled(model, list("abcd"), seed=0))
    assert (found["a"] != np.arange(1, 10)).any()
    assert all((found[name] == found["a"]).all() for name in "bcd")


def test_cascading_adds_layer_to_layer_from_the_last():
    assert stages(cnn(), "cascading") == [("w3", "b3"), ("w3", "b3", "w2", "b2"), ("w3", "b3", "w2", "b2", "w1", "b1")]


def test_independent_takes_one_layer_at_a_time():
    assert stages(cnn(), "independent") == [("w3", "b3"), ("w2", "b2"), ("w1", "b1")]


def test_few_stages_of_many_layers_still_end_with_all_of_them():
    found = stages(cnn(), "cascading", 2)
    assert [len(names) for names in found] == [2, 6]


def test_a_model_without_weights_is_refused():
    with pytest.raises(NothingToRandomise):
        stages(net("y = ReduceMean<keepdims=0>(x)", y="float y"), "cascading")


def test_an_unknown_randomisation_is_refused():
    with pytest.raises(UnknownChoice):
        stages(cnn(), "backwards")


def test_the_last_stage_has_forgotten_the_classes():
    model, x = load(cnn()).proto, pictures(64)
    before, after = (
        run(each, {"x": x})["y"] for each in (model, shuffled(model, stages(model, "cascading")[-1], seed=0))
    )
    assert abs(np.corrcoef(before.reshape(-1), after.reshape(-1))[0, 1]) < 0.95


def test_a_map_that_no_weight_changes_fails_the_check():
    shown = np.random.default_rng(0).uniform(size=(9, 9))
    stubborn = case(shown, map=shown, randomised=lambda kind: [shown] * 3)
    for likeness in ("spearman", "pearson", "ssim", "hog"):
        assert value("cascading-randomization", stubborn, likeness=likeness) == pytest.approx(1)


def test_a_map_that_turns_flat_is_like_the_first_no_more():
    shown = np.random.default_rng(0).uniform(size=(9, 9))
    fading = case(shown, map=shown, randomised=lambda kind: [shown, 0 * shown])
    assert value("cascading-randomization", fading) == pytest.approx(0.5)


def measured(method: str, metric: str = "cascading-randomization", **options: Any) -> Any:
    found = evaluate(cnn(), [PHOTO], metrics=[metric], methods=[method], target=1, run=RUN, **options)
    return found.rows[0].curves[metric].scores


def test_the_activations_do_not_change_with_the_layers_above_them():
    assert measured("activation-mean", layers=["r1"])[0] == pytest.approx(1)
    assert measured("activation-mean", layers=["r1"])[1] == pytest.approx(1)
    assert measured("activation-mean", layers=["r1"])[2] < 0.99


def test_grad_cam_changes_with_every_layer_above():
    assert (measured("gradcam") < 0.99).all()


def test_independent_randomisation_leaves_the_other_layers_alone():
    scores = measured("activation-mean", "independent-randomization", layers=["r1"])
    np.testing.assert_allclose(scores[:2], 1)
    assert scores[2] < 0.99


def test_an_explain_graph_has_no_weights_to_randomise(tmp_path: Path):
    path = convert(cnn()).save(tmp_path / "cnn.explain.onnx")
    with pytest.raises(MetricNeedsModel, match="Give the model"):
        evaluate(path, [PHOTO], metrics=["cascading-randomization"], run=RUN)


@needs_samples
def test_an_int8_model_keeps_its_grid():
    model = load(model_path("squeezenet1.1_int8_qdq")).proto
    names = stages(model, "cascading")[-1]
    before, after = weights(model), weights(shuffled(model, names, seed=0))
    assert {before[name].dtype for name in names} >= {np.dtype(np.int8)}
    assert all(after[name].dtype == before[name].dtype for name in before)
    unmoved = [name for name in before if name not in names]
    assert all((before[name] == after[name]).all() for name in unmoved)
