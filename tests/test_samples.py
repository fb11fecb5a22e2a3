"""Real classifiers on real photos: the class is named, the heatmap is ok, the model's own scores are untouched."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_runs import session
from samples import IMAGES, facts, labels, model_path, needs_samples, preprocessing

from onnxcam import Explainer, Explanation, convert
from onnxcam.images import read
from onnxcam.preprocessing import prepare

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from pointing_game import MODELS, play

pytestmark = needs_samples

FLOAT16 = "squeezenet1.1_fp16"
# model, and a layer in its middle: for squeezenet the same one
MIDDLES = {
    "mobilenet_v2_fp32": "onnx::QuantizeLinear_851",
    "mobilenet_v2_int8_qdq": "561",
    "squeezenet1.1_fp32": "fire5/concat_1",
    FLOAT16: "fire5/concat_1",
    "squeezenet1.1_int8_qdq": "fire5",
    "squeezenet1.1_int8_qoperator": "fire5",
}
CLASSIFIERS = tuple(MIDDLES)
CIFAR = ("cifar10_resnet20", "cifar10_cnn")
PHOTOS = ("chelsea.png", "coffee.png", "dog_cat.jfif", "both.png", "pizza.jpg", "toaster.jpg", "rocket.jpg")
SIZE_LIMIT = 1.03
# ONNX Runtime runs the opset 7 file in float32 throughout; of Relu since opset 14 it makes a float16 Max on the CPU,
# and so rounds behind each Conv. Up to 1.8e-3 of the highest probability was seen.
FLOAT16_TOLERANCE = 4 * 2.0**-10
SAME_WEIGHTS = [
    # model,                         middle, default: correlation with float32's maps; seen on seven photos
    (FLOAT16, 0.999, 0.999),  # 0.9998, 1.0000
    ("squeezenet1.1_int8_qdq", 0.90, 0.98),  # 0.944, 0.990
    ("squeezenet1.1_int8_qoperator", 0.90, 0.98),  # 0.944, 0.990
]


@cache
def explainer(name: str, layer: str | None = None) -> Explainer:
    known = labels() if name in CLASSIFIERS else None
    graph = convert(model_path(name), layer=layer, preprocess=preprocessing(name), labels=known)
    return Explainer(graph.to_bytes(), threads=1)


@cache
def explained(name: str, layer: str | None = None, *, like: str | None = None) -> tuple[Explanation, ...]:
    """Every photo's best class, or the one that is best for the model `like`."""
    targets = [-1] * len(PHOTOS) if like is None else [facts(like)["top1"][photo][0] for photo in PHOTOS]
    explain = explainer(name, layer)
    return tuple(explain(IMAGES / photo, target) for photo, target in zip(PHOTOS, targets, strict=True))


def own_scores(name: str, photo: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the file gives by itself and what its explain graph gives, for one and the same input."""
    explain, plain = explainer(name), session(model_path(name))
    batch = prepare(read(IMAGES / photo), explain.preprocessing)[0][None]
    (given,) = plain.run(None, {plain.get_inputs()[0].name: batch})
    found = explain.run(batch)[plain.get_outputs()[0].name]
    assert (found.dtype, found.shape) == (given.dtype, given.shape)
    return given.astype(np.float64), found.astype(np.float64)


def correlations(name: str, layer: str | None, reference: str | None) -> list[float]:
    """Of the maps with those of squeezenet in float32, for the classes that are best there."""
    float32 = "squeezenet1.1_fp32"
    pairs = zip(explained(name, layer, like=float32), explained(float32, reference, like=float32), strict=True)
    return [float(np.corrcoef(found.map.ravel(), wanted.map.ravel())[0, 1]) for found, wanted in pairs]


def test_the_photos_are_those_with_a_known_class() -> None:
    for name in CLASSIFIERS:
        assert set(facts(name)["top1"]) == set(PHOTOS)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_best_class_of_each_photo_is_the_known_one(name: str) -> None:
    known = [tuple(facts(name)["top1"][photo]) for photo in PHOTOS]
    found = explained(name)
    assert [(e.target_index, e.label) for e in found] == known
    assert [int(e.scores.argmax()) for e in found] == [index for index, _ in known]


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("is_middle", [False, True], ids=["default", "middle"])
def test_every_map_is_ok_and_not_flat(name: str, is_middle: bool) -> None:
    for e in explained(name, MIDDLES[name] if is_middle else None):
        assert e.status == "ok", e.reason
        assert e.heatmap.shape == e.image.shape[:2]
        assert np.ptp(e.map) > 0.9


def test_a_class_that_saturates_its_integers_has_a_map() -> None:
    e = explained("mobilenet_v2_int8_qdq")[PHOTOS.index("toaster.jpg")]
    assert e.target_score > 25  # 255 in the integers of the last product, before the bias
    assert e.status == "ok"


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name != FLOAT16])
def test_the_models_own_scores_are_bit_equal(name: str) -> None:
    for photo in PHOTOS:
        given, found = own_scores(name, photo)
        np.testing.assert_array_equal(found, given, err_msg=photo)


def test_the_models_own_scores_in_float16_are_some_roundings_away() -> None:
    for photo in PHOTOS:
        given, found = own_scores(FLOAT16, photo)
        np.testing.assert_allclose(found, given, rtol=0, atol=FLOAT16_TOLERANCE * given.max(), err_msg=photo)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_explain_graph_is_hardly_larger_than_the_model(name: str) -> None:
    source = model_path(name)
    size = len(convert(source, preprocess=preprocessing(name)).to_bytes())
    assert size <= SIZE_LIMIT * source.stat().st_size


@pytest.mark.parametrize("name", CIFAR)
def test_small_nets_without_global_pooling_or_with_are_explained(name: str) -> None:
    source = model_path(name)
    assert len(convert(source).to_bytes()) <= SIZE_LIMIT * source.stat().st_size
    e = explainer(name)(IMAGES / "chelsea.png")
    given, found = own_scores(name, "chelsea.png")
    assert (e.status, e.target_index) == ("ok", int(given.argmax()))
    np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize(("name", "middle", "default"), SAME_WEIGHTS)
def test_the_maps_of_smaller_numbers_are_like_those_of_float32(name: str, middle: float, default: float) -> None:
    assert min(correlations(name, MIDDLES[name], MIDDLES["squeezenet1.1_fp32"])) > middle
    assert min(correlations(name, None, None)) > default


def test_grad_cam_of_a_pooled_class_map_is_that_map() -> None:
    """Behind squeezenet's default layer only a mean follows: the map is the class's own channel, scaled to 0 … 1."""
    explain = Explainer(
        convert(
            model_path("squeezenet1.1_fp32"), preprocess=preprocessing("squeezenet1.1_fp32"), outputs=["activation"]
        ).to_bytes(),
        threads=1,
    )
    batch = prepare(read(IMAGES / "rocket.jpg"), explain.preprocessing)[0][None]
    found = explain.run(batch, 657)
    channel = found["activation"][0, 657]
    at = np.unravel_index(found["heatmap"][0].argmax(), (224, 224))
    middle_of_best = (np.array(np.unravel_index(channel.argmax(), channel.shape)) + 0.5) * 224 / 13
    assert np.abs(np.array(at) + 0.5 - middle_of_best).max() <= 1


@pytest.mark.parametrize("model", MODELS)
def test_grad_cam_points_at_the_thing_that_is_asked_for(model: str) -> None:
    played = play(model, "gradcam")
    missed = [(case.photo, case.label) for case in played if not case.is_hit]
    assert len(played) >= 15
    assert 1 - len(missed) / len(played) >= 0.8, missed
