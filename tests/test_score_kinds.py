"""What can be explained besides a class: differences, groups, expressions, regions, similarities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from numpy.typing import NDArray
from small_nets import CNN, cnn, net, pictures, run

import onnxcam
from onnxcam import errors
from onnxcam.api import explainer_of

Array = NDArray[Any]


def weight(model: onnx.ModelProto, name: str) -> Array:
    return next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name).astype(np.float64)


def explained(model: onnx.ModelProto, feeds: Mapping[str, Array], **options: Any) -> dict[str, Array]:
    outputs = ["activation", "gradient", *options.pop("outputs", ())]
    graph = onnxcam.convert(model, layer="r2", outputs=outputs, **options).model
    return run(graph, {"x": pictures(3), **feeds})


NUMBERS = {  # y is (N,): a number for each picture
    "a regressed value": ("q = Gemm(flat, w4, b4) one = Constant<value_ints=[1]>() y = Squeeze(q, one)", False),
    "a sigmoid": ("q = Gemm(flat, w4, b4) p = Sigmoid(q) one = Constant<value_ints=[1]>() y = Squeeze(p, one)", True),
    "a sigmoid behind": (
        "q = Gemm(flat, w4, b4) m = Constant<value_ints=[-1]>() r = Reshape(q, m) y = Sigmoid(r)",
        True,
    ),
}


@pytest.mark.parametrize("lead", ["N", "M"])
@pytest.mark.parametrize("score", [None, "logit", "output", "probability"])
@pytest.mark.parametrize(("ending", "is_sigmoid"), NUMBERS.values(), ids=NUMBERS)
def test_one_number_a_picture_is_a_score(ending: str, is_sigmoid: bool, score: str | None, lead: str):
    model = cnn(ending, y=f"float[{lead}] y")
    found = explained(model, {}, score=score)
    y = run(model, {"x": pictures(3)})["y"].astype(np.float64)
    logit = np.log(y / (1 - y)) if is_sigmoid else y
    probability = y if is_sigmoid else 1 / (1 + np.exp(-y))
    # A rank picks "no" where a sigmoid says that; the target is left out here, so it is the better of both.
    is_no = (probability < 0.5) & (is_sigmoid and score != "output")
    slope = {"probability": probability * (1 - probability)}.get(score or "", np.ones(3))
    slope = y * (1 - y) if is_sigmoid and score == "output" else slope
    value = {"probability": probability, "output": y}.get(score or "", logit)
    np.testing.assert_allclose(found["target_score"], np.where(is_no, -value, value), rtol=1e-4, atol=1e-6)
    rows = (np.where(is_no, -1, 1) * slope)[:, None] * weight(model, "w4")[:, 0]
    np.testing.assert_allclose(found["gradient"], spread(rows), rtol=1e-3, atol=1e-7)


def spread(rows: Array) -> Array:
    """The gradient at r2, (N, 8, 8, 8), of a score whose gradient at the pooled features is (N, 8)."""
    return np.broadcast_to(rows[..., None, None] / 64, (*rows.shape, 8, 8))


def softmax(y: Array) -> Array:
    e = np.exp(y - y.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# differences and groups


@pytest.mark.parametrize(("a", "b"), [(3, 1), (0, 4), (4, 0)])
def test_a_difference_is_one_class_minus_the_other(a: int, b: int):
    model = cnn()
    found = explained(model, {"target": np.full(3, 2 * 5 + a * 5 + b)})
    w = weight(model, "w3")
    np.testing.assert_allclose(found["target_score"], found["y"][:, a] - found["y"][:, b], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["gradient"], spread(np.tile(w[:, a] - w[:, b], (3, 1))), rtol=1e-5, atol=1e-8)
    assert found["target_index"].tolist() == [2 * 5 + a * 5 + b] * 3


def test_a_difference_needs_no_dense_last_layer():
    """The scores come out of an average of convolutions: the walk starts at a vector with two entries."""
    body = CNN.split("gap")[0] + "c3 = Conv(r2, k3)  y4 = GlobalAveragePool(c3)  y = Flatten(y4)"
    model = net(body)
    k = np.random.default_rng(5).normal(size=(5, 8, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(k, "k3"))
    found = explained(model, {"target": np.full(3, 10 + 2 * 5 + 4)})
    np.testing.assert_allclose(found["gradient"], spread(np.tile((k[2] - k[4])[:, 0, 0], (3, 1))), rtol=1e-4)


@pytest.mark.parametrize("multi", [False, True])
def test_a_group_is_the_sum_of_its_classes(multi: bool):
    model, w = cnn(), weight(cnn(), "w3")
    target = np.full((3, 1), 5) if multi else np.full(3, 5)
    found = explained(model, {"target": target}, groups={"animal": [1, 3, 4]}, multi_target=multi)
    gradient = found["gradient"][:, 0] if multi else found["gradient"]
    np.testing.assert_allclose(found["target_score"].ravel(), found["y"][:, [1, 3, 4]].sum(1), rtol=1e-5)
    np.testing.assert_allclose(gradient, spread(np.tile(w[:, [1, 3, 4]].sum(1), (3, 1))), rtol=1e-5, atol=1e-8)


def test_ranks_pass_over_groups():
    found = explained(cnn(), {"target": np.full(3, -1)}, groups={"all": [0, 1, 2, 3, 4]})
    assert found["target_index"].tolist() == found["y"].argmax(1).tolist()


def test_a_group_is_named_beside_the_labels():
    graph = onnxcam.convert(cnn(), labels=list("abcde"), groups={"vowels": [0, 4]})
    explainer = explainer_of(graph, preprocess="unit")
    photo = np.zeros((16, 16, 3), np.uint8)
    assert explainer(photo, "vowels").label == "vowels"
    assert explainer(photo, "vowels-b").label == "vowels - b"
    assert explainer(photo, "not:vowels").label == "not:vowels"


BAD_GROUPS = [({"g": []}, "has no class"), ({"g": [1, 1]}, "twice"), ({"g": [5]}, "no class 5"), ({"g": [-1]}, "no cl")]


@pytest.mark.parametrize(("groups", "words"), BAD_GROUPS)
def test_a_group_that_makes_no_sense_is_refused(groups: dict[str, list[int]], words: str):
    with pytest.raises(errors.InvalidGroup, match=words):
        onnxcam.convert(cnn(), groups=groups)


# expressions

EXPRESSIONS = [
    # expression,                     in numpy, from the logits y (N, 5)
    ("y[:, 2]", lambda y: y[:, 2]),
    ("y[:, -1] - 2 * y[:, 4 - 3]", lambda y: y[:, -1] - 2 * y[:, 1]),
    ("sum(y[:, 1:4])", lambda y: y[:, 1:4].sum(1)),
    ("softmax(y)[:, 3]", lambda y: softmax(y)[:, 3]),
    ("log(softmax(y))[:, 0]", lambda y: np.log(softmax(y))[:, 0]),
    ("-max(y) / 3 + 1", lambda y: -y.max(1) / 3 + 1),
    ("norm(y)", lambda y: np.sqrt((y**2).sum(1))),
    ("mean(tanh(y[:, ::2]) ** 2)", lambda y: (np.tanh(y[:, ::2]) ** 2).mean(1)),
    ("2 - sigmoid(y[:, 1])", lambda y: 2 - 1 / (1 + np.exp(-y[:, 1]))),
    ("'y'[:, 1 + 7 // 3]", lambda y: y[:, 3]),
]


@pytest.mark.parametrize(("text", "formula"), EXPRESSIONS, ids=[row[0] for row in EXPRESSIONS])
def test_an_expression_is_the_score_and_is_differentiated(text: str, formula: Any):
    model = cnn()
    found = explained(model, {}, score=text)
    w, b = weight(model, "w3"), weight(model, "b3")
    pooled = found["activation"].astype(np.float64).mean((2, 3))

    def score(features: Array) -> Array:
        return formula(features @ w + b)

    np.testing.assert_allclose(found["target_score"], score(pooled), rtol=1e-4, atol=1e-5)
    steps = 1e-5 * np.eye(8)
    slopes = np.stack([(score(pooled + step) - score(pooled - step)) / 2e-5 for step in steps], axis=1)
    np.testing.assert_allclose(found["gradient"], spread(slopes), rtol=1e-3, atol=1e-6)


def test_a_row_of_numbers_is_picked_from_by_targets():
    found = explained(cnn(), {"target": np.array([2, 0, -1])}, score="y[:, 1:4] * 2")
    three = found["y"][:, 1:4] * 2
    np.testing.assert_allclose(found["target_score"], [three[0, 2], three[1, 0], three[2].max()], rtol=1e-5)


def test_a_function_of_the_outputs_is_a_score():
    found = explained(cnn(), {}, score=lambda outputs: outputs["y"].tape.ReduceMax(outputs["y"], keepdims=1))
    np.testing.assert_allclose(found["target_score"], found["y"].max(), rtol=1e-5)


BAD_EXPRESSIONS = [
    ("y[:, 2", "was never closed|expected"),
    ("z[:, 1]", "no output 'z'.*outputs are 'y'"),
    ("yy[:, 1]", "did you mean 'y'"),
    ("y[:, 9]", r"axis 1 has 5 entries, none at 9 \(at character 6: '9\]'\)"),
    ("y[0, 1]", "first axis is the batch"),
    ("y[:, 1, 1]", "it has 2 axes, not 3"),
    ("y[:, 1.5]", "whole number"),
    ("summ(y)", "did you mean 'sum'"),
    ("y @ y", "operator"),
    ("__import__('os').system('true')", "cannot be part of a score"),
    ("y[:, 1] if 1 else 2", "cannot be part of a score"),
    ("[y for y in (1,)]", "cannot be part of a score"),
    ("1 + 2", "no output of the model in it"),
    ("r2", "its shape is"),
    ("sum(y, y)", "takes one tensor"),
    ("yy[:, 1]", r"did you mean 'y'\? \(at character 1: 'yy"),
    ("foo(y)", r"no function 'foo'.*\(at character 1: 'foo\(y\)'\)"),
    ("y[:, 1:4:0]", r"a step of 0 .*\(at character 10: '0\]'\)"),
    ("y[:, 3:1]", r"nothing is left of axis 1, which has 5 entries \(at character 6: '3:1\]'\)"),
    ("y[:, 1] **", r"\(at the end\)"),
    ("(y[:, 1]) % 2", r"cannot be used on tensors \(at character 11: '% 2'\)"),
    ("'ä' + y[:, 9]", r"no output 'ä'.*\(at character 1"),
    ("2 * ('ä' * 1)", r"no output 'ä'.*\(at character 6"),
    ("y[:, 0:3] + y[:, 0:4]", r"\(N, 3\) and \(N, 4\) do not go together \(at character 11"),
    ("y[:, 1] / (1 / 0)", r"no number.*\(at character 14"),
    ("10**400 * y[:, 1]", "too large"),
    ("(-1)**0.5 * y[:, 1]", "no number"),
    ("y[:, 10**30]", "so large"),
    ("softmax(y[:, 1])", "second axis, and there is none"),
    ("-" * 5000 + "y[:, 1]", "nested too deeply"),
    ("", "it is empty"),
    ("  ", "it is empty"),
]


@pytest.mark.parametrize(("text", "words"), BAD_EXPRESSIONS, ids=[row[0] for row in BAD_EXPRESSIONS])
def test_an_expression_that_does_not_parse_says_where(text: str, words: str):
    with pytest.raises((errors.InvalidExpression, errors.UnknownScore), match=words):
        onnxcam.convert(cnn(), score=text)


@pytest.mark.parametrize(
    ("given", "near"), [("logits", "logit"), ("detectr", "detector"), ("segmentatoin:x", "segmentation")]
)
def test_a_word_that_is_no_kind_of_score_names_the_near_ones(given: str, near: str):
    with pytest.raises(errors.UnknownScore, match=f"Did you mean '{near}'"):
        onnxcam.convert(cnn(), score=given)


def test_a_word_that_is_nearly_an_output_names_that():
    with pytest.raises(errors.UnknownScore, match="Did you mean 'scores'"):
        onnxcam.convert(cnn("scores = Gemm(flat, w3, b3)", y="float[N,5] scores"), score="scoers")


@pytest.mark.parametrize(("text", "formula"), [("sum(y[:, 1])", np.asarray), ("norm(y[:, 1])", np.abs)])
def test_one_number_an_image_has_no_axis_left_to_go_over(text: str, formula: Any):
    found = explained(cnn(), {}, score=text)
    np.testing.assert_allclose(found["target_score"], formula(found["y"][:, 1]), rtol=1e-6)


def test_a_slice_goes_backwards_too():
    found = explained(cnn(), {"target": np.arange(3)}, score="y[:, ::-2]")
    np.testing.assert_allclose(found["target_score"], found["y"][np.arange(3), [4, 2, 0]], rtol=1e-6)


def test_a_score_that_is_no_number_makes_a_map_of_nothing():
    explainer = explainer_of(onnxcam.convert(cnn("z = Gemm(flat, w3, b3)  y = Softmax(z)"), score="log(y[:, 1] - 2)"))
    found = explainer(np.zeros((16, 16, 3), np.uint8))
    assert np.isnan(found.target_score)
    assert found.status == "not-finite"
    assert "logarithm" in found.reason


def test_the_output_itself_keeps_its_softmax():
    found = explained(cnn("z = Gemm(flat, w3, b3)  y = Softmax(z)"), {"target": np.full(3, 1)}, score="output")
    np.testing.assert_allclose(found["target_score"], found["y"][:, 1], rtol=1e-5)


# segmentation

SEGMENTATION = CNN.split("gap")[0] + "y = Conv(r2, k3)"


def segmenter(ending: str = "", *, y: str = "float[N,4,8,8] y") -> onnx.ModelProto:
    model = net(SEGMENTATION if not ending else SEGMENTATION.replace("y =", "z =") + ending, y=y)
    k = np.random.default_rng(5).normal(size=(4, 8, 1, 1)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(k, "k3"))
    return model


ENDINGS = [
    ("logits", "", "float[N,4,8,8] y"),
    ("softmax", "y = Softmax<axis=1>(z)", "float[N,4,8,8] y"),
    ("argmax", "y = ArgMax<axis=1, keepdims=0>(z)", "int64[N,8,8] y"),
    ("channels last", "y = Transpose<perm=[0,2,3,1]>(z)", "float[N,8,8,4] y"),
]


def logits_of(found: Mapping[str, Array], model: onnx.ModelProto) -> Array:
    return np.einsum("nchw,kc->nkhw", found["activation"].astype(np.float64), weight(model, "k3")[:, :, 0, 0])


@pytest.mark.parametrize("like", [None, "pytorch-grad-cam"])
@pytest.mark.parametrize(("ending", "y"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS])
def test_a_class_of_a_segmentation_net_is_how_much_it_wins_by_where_the_net_sees_it(ending: str, y: str, like: str):
    """Another library adds up its logits."""
    model = segmenter(ending, y=y)
    found = explained(model, {"target": np.array([0, 2, 3])}, like=like)
    logits, weights = logits_of(found, model), weight(model, "k3")[:, :, 0, 0]
    second = np.argsort(logits, axis=1)[:, -2]
    for row, target in enumerate((0, 2, 3)):
        region = logits[row].argmax(0) == target
        lead = 0.0 if like else np.take_along_axis(logits[row], second[row][None], 0)[0]
        np.testing.assert_allclose(found["target_score"][row], ((logits[row, target] - lead) * region).sum(), rtol=1e-4)
        others = 0.0 if like else weights[second[row]].transpose(2, 0, 1)
        expected = (weights[target][:, None, None] - others) * region
        np.testing.assert_allclose(found["gradient"][row], expected, rtol=1e-4, atol=1e-6)


def test_the_logits_can_be_asked_for_where_the_net_sees_the_class():
    model = segmenter()
    plain, peers = ({"score": "segmentation:logits"}, {"like": "pytorch-grad-cam", "method": "hirescam"})
    found, other = (explained(model, {"target": np.array([0, 2, 3])}, **options) for options in (plain, peers))
    np.testing.assert_array_equal(found["target_score"], other["target_score"])
    np.testing.assert_array_equal(found["heatmap"], other["heatmap"])
    assert onnxcam.convert(model, **plain).metadata.score == "segmentation:logits"


@pytest.mark.parametrize("score", ["segmentation:margins", "segmentation:x"])
def test_another_score_of_a_segmentation_net_is_refused(score: str):
    with pytest.raises(errors.UnknownChoice, match="There are: logits"):
        onnxcam.convert(segmenter(), score=score)


@pytest.mark.parametrize("kind", ["logit", "probability", "output", "rest"])
def test_a_score_that_takes_nothing_behind_a_colon_says_so(kind: str):
    with pytest.raises(errors.NothingBehind, match=r"'y' stands there\. These do: detector, segmentation, similarity"):
        onnxcam.convert(cnn(), score=f"{kind}:y")


ENLARGED = [
    ("linear", "align_corners", "align-corners"),
    ("linear", "asymmetric", "asymmetric"),
    ("cubic", "asymmetric", "asymmetric"),
    ("linear", "half_pixel", "pytorch-grad-cam"),
    ("linear", "pytorch_half_pixel", "pytorch-grad-cam"),
    ("nearest", "asymmetric", "pytorch-grad-cam"),
]


@pytest.mark.parametrize(("mode", "places", "normalize"), ENLARGED)
def test_a_map_is_enlarged_as_the_net_enlarges_its_logits(mode: str, places: str, normalize: str):
    """So that what it marks lies on what the net marks; where another library's numbers are asked for, as that does."""
    resize = f'scales = Constant<value_floats=[1.0, 1.0, 2.0, 2.0]>()  y = Resize<mode="{mode}", '
    resize += f'coordinate_transformation_mode="{places}", nearest_mode="floor">(z, , scales)'
    model = segmenter(resize, y="float[N,4,16,16] y")
    assert onnxcam.convert(model).metadata.normalize == normalize
    peer = onnxcam.convert(model, like="torchcam").metadata
    assert (peer.method, peer.normalize) == ("gradcam", "torchcam")  # it has no HiResCAM
    found = explained(model, {"target": np.array([0, 2, 3])}, outputs=["raw_map"])
    low = np.maximum(found["raw_map"], 0)
    low = (low - low.min((1, 2), keepdims=True)) / (np.ptp(low, axis=(1, 2))[:, None, None] + 1e-7)
    to = enlarged(low, normalize)
    np.testing.assert_allclose(found["heatmap"], to / (to.max((1, 2), keepdims=True) + 1e-7), atol=1e-5)


def enlarged(low: Array, normalize: str) -> Array:
    """(N, 8, 8) → (N, 16, 16), by numpy's interpolation along one axis after the other, minimum taken off."""
    at = {"align-corners": np.arange(16) * 7 / 15, "asymmetric": np.arange(16) / 2}
    wanted = at.get(normalize, (np.arange(16) + 0.5) / 2 - 0.5)
    for axis in (1, 2):
        low = np.apply_along_axis(lambda line: np.interp(wanted, np.arange(8), line), axis, low)
    return low - low.min((1, 2), keepdims=True)


@pytest.mark.parametrize("multi", [False, True])
def test_a_region_takes_the_place_of_what_the_net_sees(multi: bool):
    model = segmenter()
    region = np.random.default_rng(1).random((3, 8, 8)).astype(np.float32)
    target = np.array([[1, 2]] * 3) if multi else np.array([1, 1, 1])
    found = explained(model, {"target": target, "region": region}, multi_target=multi)
    gradient = found["gradient"][:, 1] if multi else found["gradient"]
    expected = weight(model, "k3")[None, 2 if multi else 1] * region[:, None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)


def test_a_region_of_the_pictures_size_is_brought_to_that_of_the_logits():
    model = segmenter()
    region = np.zeros((1, 16, 16), np.float32)
    region[:, 4:8, 2:12] = 1
    found = explained(model, {"target": np.array([1, 1, 1]), "region": region})
    halved = region.reshape(1, 8, 2, 8, 2).mean((2, 4))
    np.testing.assert_allclose(
        found["gradient"], weight(model, "k3")[None, 1] * halved[:, None] + 0 * found["gradient"], atol=1e-6
    )


def test_the_layer_before_the_last_convolution_is_the_default_of_segmentation():
    for _, ending, y in ENDINGS:
        first = onnxcam.layers(segmenter(ending, y=y))[0]
        assert (first.name, first.is_default) == ("r2", True)
    assert onnxcam.convert(segmenter()).metadata.method == "hirescam"


def test_a_class_that_the_net_does_not_see_gives_a_map_of_zeros_and_says_so():
    model = segmenter()
    photo = np.zeros((16, 16, 3), np.uint8)
    explainer = explainer_of(onnxcam.convert(model, labels=list("abcd")), preprocess="unit")
    unseen = [found for target in range(4) if (found := explainer(photo, target)).target_score == 0]
    assert unseen
    assert all(found.status == "all-zero" and "--region" in found.reason for found in unseen)


# similarity


def test_similarity_is_the_cosine_to_the_reference():
    model = cnn()
    reference = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    found = explained(model, {"reference": reference}, score="similarity")
    w, b = weight(model, "w3"), weight(model, "b3")
    pooled = found["activation"].astype(np.float64).mean((2, 3))

    def cosine(features: Array) -> Array:
        y = features @ w + b
        return (y * reference).sum(1) / np.linalg.norm(y, axis=1) / np.linalg.norm(reference, axis=1)

    np.testing.assert_allclose(found["target_score"], cosine(pooled), rtol=1e-5)
    slopes = np.stack([(cosine(pooled + s) - cosine(pooled - s)) / 2e-5 for s in 1e-5 * np.eye(8)], axis=1)
    np.testing.assert_allclose(found["gradient"], spread(slopes), rtol=1e-3, atol=1e-7)


def test_similarity_of_an_inner_tensor_compares_with_a_picture():
    net = explainer_of(onnxcam.convert(cnn(), score="similarity:flat", preprocess="unit"))
    photo = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    found = net(photo, reference=photo)
    assert found.scores.shape == (8,)
    assert found.target_score == pytest.approx(1, abs=1e-5)
    assert found.heatmap.max() > 0


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [("flatt", errors.UnknownTensor, "'flat'"), ("w3", errors.NoEmbedding, "no embedding")],
)
def test_what_cannot_be_compared_says_which_tensor_it_is(name: str, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        onnxcam.convert(cnn(), score=f"similarity:{name}")


def test_one_reference_stands_for_all_pictures():
    found = explained(cnn(), {"reference": np.ones((1, 5), np.float32)}, score="similarity")
    y = found["y"].astype(np.float64)
    np.testing.assert_allclose(found["target_score"], y.sum(1) / np.linalg.norm(y, axis=1) / np.sqrt(5), rtol=1e-5)


def test_a_kind_of_score_that_the_model_has_not_is_an_error():
    with pytest.raises(errors.NoSuchScore, match="segmentation"):
        onnxcam.convert(cnn(), score="segmentation")


def test_another_input_is_repeated_with_its_image():
    """Behind the layer comes a second input with a row for each image: several targets need it several times."""
    body = CNN + "both = Add(flat, extra)  y = Gemm(both, w3, b3)"
    model = net(body, x="float[N,3,16,16] x, float[N,8] extra")
    extra = np.random.default_rng(2).normal(size=(3, 8)).astype(np.float32)
    target = np.array([[0, 3], [1, 4], [2, 2]])
    found = explained(model, {"target": target, "extra": extra}, multi_target=True)
    for column in range(2):
        alone = explained(model, {"target": target[:, column], "extra": extra})
        np.testing.assert_allclose(found["heatmap"][:, column], alone["heatmap"], atol=1e-5)
