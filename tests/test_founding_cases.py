"""The founding cases: each map equals the one that its author's own code computes in the framework."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from founding import FLOWERS, Picture, as_caffe, flower, library, pet
from founding_keras import dogs_vs_cats, efficientnet, flowers, saved, vgg16
from founding_maps import (
    TOLERANCE,
    Floats,
    by_tape,
    by_tape_from,
    dense,
    explainer,
    jet,
    relative_error,
    textbook,
    vizgradcam,
)
from founding_tensorflow import cifar, opaque

import onnxcam
from onnxcam.api import explainer_of

BOOKS_OVERLAY = {"alpha": 0.4, "colormap": "jet", "blend": "add"}


def raw_map(of: onnxcam.Explainer, x: Floats, target: Any = -1) -> Floats:
    """The raw map of one prepared picture, (H, W, C) as Keras has it."""
    fed = x if of.preprocessing.layout == "NHWC" else x.transpose(2, 0, 1)
    return of.run(fed[None].astype(np.float32), of.classes.number(target), outputs=["raw_map"])["raw_map"][0]


# a. The net that tells dogs from cats.


@pytest.fixture(scope="module")
def dogs_h5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(dogs_vs_cats(), tmp_path_factory.mktemp("dogs") / "dogs_vs_cats.h5")


@pytest.fixture(scope="module")
def dog() -> Picture:
    return pet(np.random.default_rng(100), is_dog=True)


@pytest.fixture(scope="module")
def dogs(dogs_h5: Path) -> onnxcam.Explainer:
    graph = onnxcam.convert(
        dogs_h5,
        preprocess="unit",
        labels=["dog"],
        normalize="keras",
        check=False,
        outputs=["raw_map", "activation", "gradient"],
    )
    return explainer_of(graph)


def test_the_last_convolution_of_dogs_vs_cats_is_found_by_itself(dogs_h5: Path):
    assert onnxcam.layers(dogs_h5)[0].name == "conv2d_4"


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize(("target", "sign"), [("dog", 1), ("not:dog", -1)])
def test_the_maps_for_dog_and_for_not_dog_are_those_of_the_tape(
    dogs_h5: Path, dog: Picture, target: str, sign: int, score: str
):
    net, x = dogs_vs_cats(), dog.image / np.float32(255)
    expected = sign * by_tape("tf_keras", net, x, "conv2d_4", score=score).raw_map
    found = raw_map(explainer(dogs_h5, labels=["dog"], score=score), x, target)
    assert relative_error(found, expected) <= TOLERANCE


def test_the_map_points_at_the_dog(dogs: onnxcam.Explainer, dog: Picture):
    explained = dogs(dog.image, "dog")
    assert explained.scores[0] > 0.5
    assert dog.is_pointed_at(explained.heatmap)


def test_the_map_for_not_dog_points_at_the_cat(dogs: onnxcam.Explainer):
    cat = pet(np.random.default_rng(101), is_dog=False)
    explained = dogs(cat.image)
    assert explained.label == "not:dog"
    assert cat.is_pointed_at(explained.heatmap)


def test_the_overlay_is_the_texts(dogs: onnxcam.Explainer, dog: Picture):
    heatmap = textbook(by_tape("tf_keras", dogs_vs_cats(), dog.image / np.float32(255), "conv2d_4"))
    expected = (jet(cv2.resize(heatmap, (150, 150))) * 0.4 + dog.image).clip(max=255)
    found = dogs(dog.image, "dog").overlay(**BOOKS_OVERLAY).array
    # A rounding error moves a value to the next of jet's 256 colours, here and there.
    assert np.mean(np.abs(found - expected) > 1) < 0.01
    assert np.abs(found - expected).max() < 4


def test_each_channel_contributes_what_the_tape_says(dogs: onnxcam.Explainer, dog: Picture):
    expected = by_tape("tf_keras", dogs_vs_cats(), dog.image / np.float32(255), "conv2d_4", score="logit").contributions
    explained = dogs(dog.image, "dog", channels=True)
    found = np.zeros_like(expected)
    for channel in explained.channels():
        found[..., channel.index] = channel.map
    assert relative_error(found, expected) <= TOLERANCE
    sizes = np.abs(expected).sum((0, 1))
    assert sizes[explained.channels(1)[0].index] == pytest.approx(sizes.max())


# c. Separable convolutions, and a softmax that is saturated.


@pytest.fixture(scope="module")
def flowers_h5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(flowers(), tmp_path_factory.mktemp("flowers") / "flowers.h5")


@pytest.fixture(scope="module")
def sure() -> tuple[Picture, int]:
    """Of 40 pictures the one whose class the net is surest of, and the class."""
    rng = np.random.default_rng(100)
    known = [(flower(rng, n % 5), n % 5) for n in range(40)]
    net = flowers()
    before = library("tf_keras").Model(net.input, net.layers[-1].input)
    logits = dense(net.layers[-1], before(np.stack([as_caffe(shown.image) for shown, _ in known]))).numpy()
    ahead = [2 * row[kind] - np.partition(row, -2)[-2:].sum() for row, (_, kind) in zip(logits, known, strict=True)]
    return known[int(np.argmax(ahead))]


def test_the_texts_code_fails_where_the_softmax_is_saturated(sure: tuple[Picture, int]):
    shown, kind = sure
    parts = by_tape("tf_keras", flowers(), as_caffe(shown.image), "separable_conv2d_6", index=kind)
    assert not parts.gradient.any()
    assert np.isnan(textbook(parts)).all()


def test_ours_explains_the_logit_there(flowers_h5: Path, sure: tuple[Picture, int]):
    shown, kind = sure
    x = as_caffe(shown.image)
    expected = by_tape("tf_keras", flowers(), x, "separable_conv2d_6", index=kind, score="logit").raw_map
    flower_explainer = explainer(flowers_h5, layer="separable_conv2d_6", preprocess="caffe", labels=list(FLOWERS))
    assert relative_error(raw_map(flower_explainer, x, kind), expected) <= TOLERANCE
    explained = flower_explainer(shown.image)
    assert (explained.status, explained.label, explained.scores[kind]) == ("ok", list(FLOWERS)[kind], 1)
    assert shown.is_pointed_at(explained.heatmap)


def test_asked_for_the_probability_ours_says_why_there_is_no_map(flowers_h5: Path, sure: tuple[Picture, int]):
    options = {"layer": "separable_conv2d_6", "preprocess": "caffe", "score": "probability"}
    explained = explainer(flowers_h5, **options)(sure[0].image)
    assert explained.status == "all-zero"
    assert "convert with the logit as score" in explained.reason


# d. CAM of TensorFlow 1.


def test_all_ten_class_maps_of_one_run_are_the_einsum_of_the_text(tmp_path: Path):
    frozen = cifar()
    path = tmp_path / "cifar10.pb"
    path.write_bytes(frozen.data)
    expected = np.einsum("nhwc,ck->nkhw", frozen.features, frozen.dense)
    ten = explainer(path, method="cam", multi_target=True)
    assert ten.metadata.layers == ("conv3/relu",)
    found = ten.run(frozen.x, np.tile(np.arange(10), (2, 1)))
    assert relative_error(found["raw_map"], expected) <= TOLERANCE


# e. EfficientNetB0, and a layer that Keras cannot look into.


@pytest.mark.parametrize(("kind", "name"), [("keras", "efficientnet.keras"), ("tf_keras", "efficientnet.h5")])
def test_efficientnet_gives_the_heatmap_of_vizgradcam(tmp_path: Path, kind: str, name: str):
    net, image = efficientnet(kind), flower(np.random.default_rng(3), 3).image
    path = saved(net, tmp_path / name)
    found = explainer(path, layer="top_conv", score="probability", normalize="vizgradcam")(image)
    x = image.astype(np.float32)
    parts = by_tape(kind, net, x, "top_conv", index=int(net(x[None]).numpy().argmax()))
    expected = vizgradcam(parts, (64, 64))
    assert relative_error(found.heatmap, expected) <= TOLERANCE
    half = 0.5 * jet(expected) + 0.5 * image
    assert np.mean(np.abs(found.overlay(alpha=0.5, colormap="jet").array - half) > 1) < 0.01


@pytest.mark.parametrize("kind", ["tf_keras", "keras"], ids=["TF-Hub's KerasLayer", "TFSMLayer"])
def test_a_layer_that_keras_cannot_look_into_is_explained_like_any_other(tmp_path: Path, kind: str):
    module, net = opaque(tmp_path / "module", kind)
    x = flower(np.random.default_rng(4), 4).image / np.float32(255)
    best, average = int(net(x[None]).numpy().argmax()), partial(library("tensorflow").reduce_mean, axis=(1, 2))
    expected = by_tape_from(module.inside(x[None]), lambda a: dense(net.layers[-1], average(a))[0, best])
    assert relative_error(raw_map(explainer(net, preprocess="unit"), x), expected.raw_map) <= TOLERANCE


# f. VGG16 of the textbook.


@pytest.fixture(scope="module")
def vgg_h5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(vgg16(), tmp_path_factory.mktemp("vgg") / "vgg16.h5")


@pytest.fixture(scope="module")
def vgg(vgg_h5: Path) -> onnxcam.Explainer:
    return explainer(vgg_h5, layer="block5_conv3", score="probability", normalize="keras")


def test_vgg16_is_known_to_take_pixels_in_the_mode_of_caffe(vgg: onnxcam.Explainer):
    image = flower(np.random.default_rng(5), 0).image
    assert vgg.metadata.preprocessing is not None
    np.testing.assert_allclose(vgg(image).scores, vgg16()(as_caffe(image)[None])[0], rtol=1e-4)


def test_the_map_of_block5_conv3_is_the_books(vgg: onnxcam.Explainer):
    image = flower(np.random.default_rng(5), 0).image
    x = as_caffe(image)
    best = int(vgg16()(x[None]).numpy().argmax())
    parts = by_tape("keras", vgg16(), x, "block5_conv3", index=best)
    assert relative_error(raw_map(vgg, x), parts.raw_map) <= TOLERANCE
    expected = cv2.resize(textbook(parts), (64, 64))
    assert relative_error(vgg(image).heatmap, expected) <= TOLERANCE
