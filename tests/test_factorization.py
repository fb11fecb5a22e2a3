"""Activations as sums of shared concepts, and what the model says of each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx.helper
import onnx.numpy_helper
import pytest
from command_line import Command, bytes_at, saved
from numpy.typing import NDArray
from onnx import ModelProto
from small_nets import CNN, cnn, net, pictures, run

from onnxcam import layers
from onnxcam.errors import TooManyConcepts, UnknownChoice
from onnxcam.factorization import Tail, decompose, decomposition, factorize
from onnxcam.factorization.drawing import colours, painted
from onnxcam.planning import Wish

sklearn = pytest.importorskip("sklearn.decomposition", reason="extra `concepts` is not installed")

Floats = NDArray[np.float32]
LABELS = ["ant", "bee", "cat", "dog", "eel"]
CURVED = "h = Tanh(flat) y = Gemm(h, w3, b3)"
BYPASS = "h = Tanh(r2) s = Add(h, r2) g2 = GlobalAveragePool(s) f2 = Flatten(g2) y = Gemm(f2, w3, b3)"
NHWC = """
  t = Transpose<perm=[0,2,3,1]>(r2) h = Tanh(t) space = Constant<value_ints=[1,2]>()
  m = ReduceMean<keepdims=0>(h, space) y = Gemm(m, w3, b3)
"""
PLACES = ", ".join(f"{place / 64:.3f}" for place in range(65))  # the head must tell one token from another
TOKENS = f"""
  flat_shape = Constant<value_ints=[0, 8, 64]>() one = Constant<value_ints=[1]>()
  rows = Reshape(r2, flat_shape) places = Transpose<perm=[0,2,1]>(rows)
  class_token = ReduceMean<keepdims=1>(places, one) tokens = Concat<axis=1>(class_token, places)
  h = Tanh(tokens) ramp = Constant<value_floats=[{PLACES}]>() ramps = Unsqueeze(ramp, one) s = Mul(h, ramps)
  m = ReduceMean<keepdims=0>(s, one) y = Gemm(m, w3, b3)
"""


def weights(model: ModelProto) -> dict[str, NDArray[Any]]:
    return {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}


def random(*shape: int, seed: int = 0) -> Floats:
    """Numbers as a ReLU leaves them: a third is 0."""
    return np.random.default_rng(seed).normal(0.4, 1, shape).clip(0).astype(np.float32)


def photos(count: int, height: int = 16, width: int = 16) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def parts(vectors: Floats, maps: Floats) -> list[Floats]:
    """Each concept's own sum, which does not hang on how vector and map share its scale; in a fixed order."""
    found = [np.outer(vector, where) for vector, where in zip(vectors, maps.reshape(len(maps), -1), strict=True)]
    return sorted(found, key=lambda part: float(part.sum()))


# the factorisation itself


def test_it_is_scikit_learns_factorisation_up_to_the_order():
    a = random(12, 6, 7)
    found = decompose([a], 4, seed=3)
    search = sklearn.NMF(4, init="nndsvda", random_state=3, max_iter=1000)
    expected = parts(search.fit_transform(a.reshape(12, -1)).T, search.components_)
    np.testing.assert_allclose(parts(found.vectors, found.maps[0]), expected, atol=1e-5)


def test_pictures_share_their_concepts():
    a, b = random(12, 6, 7), random(12, 5, 4, seed=1)
    found = decompose([a, b], 3)
    flat = np.concatenate([a.reshape(12, -1), b.reshape(12, -1)], axis=1)
    search = sklearn.NMF(3, init="nndsvda", random_state=0, max_iter=1000)
    vectors = search.fit_transform(flat).T
    places = np.concatenate([part.reshape(3, -1) for part in found.maps], axis=1)
    assert [part.shape for part in found.maps] == [(3, 6, 7), (3, 5, 4)]
    np.testing.assert_allclose(parts(found.vectors, places), parts(vectors, search.components_), atol=1e-5)


def test_like_pytorch_grad_cam_it_starts_at_random_and_takes_each_channels_minimum_off():
    a = random(10, 5, 5) + np.linspace(-1, 1, 10, dtype=np.float32)[:, None, None]
    found = decompose([a], 3, like="pytorch-grad-cam")
    flat = a.reshape(10, -1)
    offset = flat.min(-1)
    search = sklearn.NMF(n_components=3, init="random", random_state=0)
    vectors = search.fit_transform(flat - offset[:, None])
    np.testing.assert_allclose(found.offset, offset)
    np.testing.assert_allclose(found.vectors, vectors.T, atol=1e-5)
    np.testing.assert_allclose(found.maps[0].reshape(3, -1), search.components_, atol=1e-5)


def test_what_is_negative_is_taken_off_and_what_is_not_stays():
    a = np.stack([random(4, 4), random(4, 4, seed=1) - 2, random(4, 4, seed=2) + 1])
    np.testing.assert_allclose(decompose([a], 2).offset, [0, a[1].min(), 0])


def test_concepts_that_are_there_are_found():
    vectors, places = np.eye(3, 9, dtype=np.float32) * 5, np.zeros((3, 6, 6), np.float32)
    places[0, :2], places[1, 2:4], places[2, 4:] = 1, 1, 1
    found = decompose([np.einsum("kc,khw->chw", vectors, places)], 3)
    assert found.error < 1e-3
    assert sorted(part.argmax() for part in found.vectors) == [0, 1, 2]
    for vector, where in zip(found.vectors, found.maps[0], strict=True):
        np.testing.assert_allclose(where, places[vector.argmax()], atol=1e-2)


def test_each_concept_is_1_where_it_is_strongest_and_the_largest_comes_first():
    found = decompose([random(12, 6, 7), random(12, 6, 7, seed=1)], 4)
    np.testing.assert_allclose(np.max([part.max((1, 2)) for part in found.maps], axis=0), 1, rtol=1e-6)
    sizes = found.vectors.sum(1) * sum(part.sum((1, 2)) for part in found.maps)
    assert list(sizes) == sorted(sizes, reverse=True)


def test_the_error_is_what_is_left_over():
    a = random(8, 5, 5)
    found = decompose([a], 2)
    left = a - np.einsum("kc,khw->chw", found.vectors, found.maps[0])
    assert found.error == pytest.approx(np.linalg.norm(left) / np.linalg.norm(a), rel=1e-4)


def test_the_same_seed_gives_the_same_and_another_need_not():
    first, again, other = (decompose([random(8, 5, 5)], 3, seed=seed, like="pytorch-grad-cam") for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.maps[0], again.maps[0])
    assert not np.allclose(first.maps[0], other.maps[0])


def test_a_layer_that_is_silent_has_empty_concepts():
    found = decompose([np.zeros((4, 3, 3), np.float32)], 2)
    assert not found.maps[0].any()
    assert (found.error, found.is_converged) == (0, True)


def test_numbers_that_are_not_finite_count_as_0():
    a = random(4, 3, 3)
    a[1, 1, 1] = np.inf
    assert np.isfinite(decompose([a], 2).maps[0]).all()


def test_more_concepts_than_channels_or_places_are_refused():
    with pytest.raises(TooManyConcepts, match="5 concepts cannot be told apart in 4 channels at 9 places"):
        decompose([random(4, 3, 3)], 5)
    with pytest.raises(UnknownChoice, match="no library to be like named 'captum'"):
        decompose([random(4, 3, 3)], 2, like="captum")


# the tail


@pytest.mark.parametrize(
    ("ending", "layer"),
    [
        ("y = Gemm(flat, w3, b3)", "r2"),
        ("y = Gemm(flat, w3, b3)", "r1"),
        (CURVED, "c2"),
        (BYPASS, "h"),
        (NHWC, "h"),
        (TOKENS, "h"),
    ],
)
def test_with_its_own_activation_the_tail_gives_the_models_own_scores(ending: str, layer: str):
    model = net(CNN + ending)
    model.graph.output.append(onnx.ValueInfoProto(name=layer))
    x = pictures(2)
    own = run(model, {"x": x})
    del model.graph.output[1:]
    (known,) = [entry for entry in layers(model) if entry.name == layer]
    seen = own[layer]
    if known.layout == "NHWC":
        seen = seen.transpose(0, 3, 1, 2)
    if known.layout == "NTC":
        assert known.prefix == 1
        seen = seen[:, 1:].transpose(0, 2, 1).reshape(2, 8, 8, 8)
    tail = Tail(model, Wish(layers=[layer]))
    for picture, activation, expected in zip(x, seen, own["y"], strict=True):
        np.testing.assert_allclose(tail(picture, np.stack([activation] * 3)), [expected] * 3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("ending", "layer", "is_closed"), [(CURVED, "r2", True), (BYPASS, "h", False)])
def test_a_tail_knows_whether_something_goes_around_the_layer(ending: str, layer: str, is_closed: bool):
    assert Tail(net(CNN + ending), Wish(layers=[layer])).is_closed == is_closed


def test_many_activations_are_asked_in_parts(monkeypatch: pytest.MonkeyPatch):
    tail, x, given = Tail(cnn(), Wish(layers=["r2"])), pictures(1)[0], random(21, 8, 8, 8)
    whole = [tail(x, given[at : at + 1])[0] for at in range(21)]
    np.testing.assert_allclose(tail(x, given), whole, rtol=1e-5, atol=1e-6)


def test_an_input_that_is_not_needed_above_the_layer_need_not_be_given():
    model = net(CNN + "more = Add(flat, extra) both = Mul(more, flat) y = Gemm(flat, w3, b3) other = Identity(both)")
    model.graph.input.add().CopyFrom(onnx.helper.make_tensor_value_info("extra", onnx.TensorProto.FLOAT, [1, 8]))
    model.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, ["N", 8]))
    tail = Tail(model, Wish(layers=["r2"]))
    assert tail(pictures(1)[0], random(2, 8, 8, 8)).shape == (2, 5)


# what the concepts say


def test_what_a_picture_loses_without_a_concept_is_exact_under_a_linear_head():
    model = cnn()
    w3 = weights(model)["w3"]
    found = factorize(model, photos(3), concepts=3, layer="r2", preprocess="unit")
    for at in range(3):
        mean = found.decomposition.maps[at].mean((1, 2))
        expected = np.einsum("kc,cs,k->ks", found.decomposition.vectors, w3, mean)
        np.testing.assert_allclose(found.effects[at], expected, rtol=1e-3, atol=1e-5)


def test_and_under_a_curved_one():
    model = cnn(CURVED)
    own = weights(model)
    (image,) = photos(1)
    found = factorize(model, image, concepts=3, layer="r2", preprocess="unit")
    model.graph.output.append(onnx.ValueInfoProto(name="r2"))
    a = run(model, {"x": (image.transpose(2, 0, 1)[None] / 255).astype(np.float32)})["r2"][0]

    def scores(activation: Floats) -> Floats:
        return np.tanh(activation.mean((1, 2))) @ own["w3"] + own["b3"]

    np.testing.assert_allclose(found.scores[0], scores(a), rtol=1e-4)
    for k, (vector, where) in enumerate(zip(found.decomposition.vectors, found.decomposition.maps[0], strict=True)):
        without = a - vector[:, None, None] * where
        np.testing.assert_allclose(found.effects[0, k], scores(a) - scores(without), rtol=1e-3, atol=1e-5)


def test_a_concept_speaks_for_the_classes_whose_scores_its_vector_raises():
    model = cnn()
    w3 = weights(model)["w3"]
    found = factorize(model, photos(2), concepts=3, layer="r2", preprocess="unit", labels=LABELS)
    expected = found.decomposition.vectors @ w3
    np.testing.assert_allclose(found.gains, expected, rtol=1e-4, atol=1e-5)
    for concept, gains in zip(found.concepts, expected, strict=True):
        order = [at for at in np.argsort(-gains) if gains[at] > 0]
        assert [index for index, _, _ in concept.classes] == order
        assert [name for _, name, _ in concept.classes] == [LABELS[at] for at in order]


def test_what_it_adds_is_counted_from_the_offset_up():
    model = cnn(CURVED)
    own = weights(model)
    found = factorize(model, photos(2), concepts=3, layer="c2", preprocess="unit")
    offset = found.decomposition.offset
    assert (offset < 0).any(), "before its ReLU the layer has negative values"

    def scores(vectors: Floats) -> Floats:
        return np.tanh(vectors.clip(0)) @ own["w3"] + own["b3"]

    expected = scores(found.decomposition.vectors + offset) - scores(offset)
    np.testing.assert_allclose(found.gains, expected, rtol=1e-4, atol=1e-5)


def test_what_goes_around_the_layer_stays_as_each_picture_has_it():
    model = net(CNN + BYPASS)
    w3 = weights(model)["w3"]
    found = factorize(model, photos(2), concepts=2, layer="h", preprocess="unit")
    np.testing.assert_allclose(found.gains, found.decomposition.vectors @ w3, rtol=1e-3, atol=1e-4)


def test_shares_sum_to_1_and_colours_differ():
    found = factorize(cnn(), photos(2), concepts=4, layer="r2", preprocess="unit")
    assert sum(concept.share for concept in found.concepts) == pytest.approx(1, rel=1e-5)
    assert len({concept.colour for concept in found.concepts}) == 4
    assert len(set(colours(40))) == 40


def test_pictures_of_several_sizes_have_concepts_in_common(tmp_path: Path):
    model = cnn(x="float[N,3,H,W] x")
    images = [*photos(1), *photos(1, 24, 32)]
    found = factorize(model, images, concepts=3, layer="r1", preprocess={"resize": "none"})
    assert [part.shape for part in found.decomposition.maps] == [(3, 16, 16), (3, 24, 32)]
    assert found.heatmaps(1).shape == (3, 24, 32)


# the picture


def test_a_place_has_the_colour_of_its_strongest_concept_as_strong_as_that_is():
    image = np.full((2, 2, 3), 100, np.uint8)
    heatmaps = np.array([[[1, 0], [0.2, 0.5]], [[0.5, 0], [0.9, 0.1]]], np.float32)
    drawn = painted(image, heatmaps, alpha=1)
    first, second = colours(2)
    np.testing.assert_allclose(drawn[0, 0], first, atol=1)
    np.testing.assert_allclose(drawn[0, 1], 100, atol=1)
    np.testing.assert_allclose(drawn[1, 0], 0.9 * np.array(second) + 0.1 * 100, atol=1)
    np.testing.assert_allclose(drawn[1, 1], 0.5 * np.array(first) + 0.5 * 100, atol=1)


def test_the_key_shows_every_colour_below_the_photo():
    found = factorize(cnn(), photos(1, 200, 300), concepts=3, layer="r2", preprocess="unit", labels=LABELS)
    with_key, plain = found.picture(0).array, found.picture(0, legend=False).array
    assert plain.shape == (200, 300, 3)
    np.testing.assert_array_equal(with_key[:200], plain)
    for concept in found.concepts:
        assert (with_key[200:] == concept.colour).all(2).sum() > 50


# the command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for at, image in enumerate(photos(3, 40, 50)):
        cv2.imwrite(str(tmp_path / "in" / f"{at}.png"), image)
    return tmp_path / "in"


def test_the_command_writes_a_picture_for_each_photo(folder: Path, tmp_path: Path, command: Command):
    model = saved(cnn(), tmp_path / "net.onnx")
    ran = command("factorize", model, folder, "-o", tmp_path / "out", "-k", "3", "--preprocess", "unit")
    assert (ran.code, len(ran.out)) == (0, 3), ran.err
    assert [line for line in ran.err if "3 concepts hold" in line] == ran.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{at}.concepts.cam.png" for at in range(3)]


def test_json_tells_what_each_concept_speaks_for(folder: Path, tmp_path: Path, command: Command):
    model = saved(cnn(), tmp_path / "net.onnx")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS))
    given = ["--labels", labels, "-k", "2", "--preprocess", "unit", "--json"]
    ran = command("factorize", model, folder, "-o", tmp_path / "out", *given)
    row = json.loads(ran.out[0])
    assert row["output"] == str(tmp_path / "out" / "0.concepts.cam.png")
    assert row["label"] in LABELS
    assert sum(concept["share"] for concept in row["concepts"]) == pytest.approx(1, rel=1e-5)
    assert {entry["label"] for concept in row["concepts"] for entry in concept["classes"]} <= set(LABELS)


def test_a_picture_that_cannot_be_read_leaves_the_others_alone(folder: Path, tmp_path: Path, command: Command):
    bytes_at(folder / "1.png", b"no picture")
    model = saved(cnn(), tmp_path / "net.onnx")
    ran = command("factorize", model, folder, "-o", tmp_path / "out", "-k", "2", "--preprocess", "unit")
    assert (ran.code, len(ran.out)) == (1, 2)
    assert "is not a picture" in ran.err[0]
    assert "1 of 3 pictures could not be explained" in ran.err[-1]


def test_a_missing_scikit_learn_is_said_before_any_work(
    folder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decomposition, "find_spec", lambda _: None)
    ran = command("factorize", tmp_path / "nowhere.onnx", folder)
    assert len(ran.err) == 1
    assert "pip install 'onnxcam[concepts]'" in ran.err[0]
