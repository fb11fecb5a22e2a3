"""The same maps as tf-keras-vis, of a small Keras net; without `like` the papers'."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from onnx_runs import session
from parity import agreement
from small_nets import Array
from tensorflow_support import converted

from onnxcam import convert
from onnxcam.api import explainer_of

TARGETS = (1, 3)
LAYER = "c2"


@contextmanager
def old_scipy() -> Iterator[None]:
    """tf-keras-vis 0.8.7 imports `zoom` from where SciPy 1.15 no longer has it; and warns of much."""
    place = types.ModuleType("scipy.ndimage.interpolation")
    place.zoom = scipy.ndimage.zoom  # type: ignore[attr-defined]
    sys.modules[place.__name__] = place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    sys.modules.pop(place.__name__, None)


def library(module: str) -> Any:
    """A module of tf-keras-vis, or the test is skipped."""
    with old_scipy():
        pytest.importorskip("tf_keras_vis", reason="tf-keras-vis is not installed")
        return importlib.import_module(f"tf_keras_vis.{module}")


@cache
def made() -> tuple[Any, Any, Array]:
    """The Keras model, its ONNX model and two pictures."""
    keras = pytest.importorskip("keras", reason="extra `keras` is not installed")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = keras.Sequential(
        [
            layers.Input((24, 20, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(10, 3, padding="same", activation="relu", name=LAYER),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    x = np.random.default_rng(0).normal(size=(2, 24, 20, 3)).astype(np.float32)
    return net, converted(net).model, x


def theirs(module: str, name: str) -> Array:
    net, _, x = made()
    scores = library("utils.scores").CategoricalScore(list(TARGETS))
    options = {} if name == "Saliency" else {"penultimate_layer": LAYER}
    with old_scipy():
        return np.asarray(getattr(library(module), name)(net, clone=False)(scores, x, **options))


def ours(method: str, **options: Any) -> Array:
    _, model, x = made()
    graph = convert(model, method=method, layer=None if method == "saliency" else LAYER, **options)
    if graph.metadata.driver:
        explainer = explainer_of(graph)
        return np.stack([explainer.drive(each, target).heatmap for each, target in zip(x, TARGETS, strict=True)])
    run = session(graph.model)
    return np.asarray(run.run(["heatmap"], {run.get_inputs()[0].name: x, "target": np.array(TARGETS)})[0])


ROWS = [
    ("gradcam", "gradcam", "Gradcam"),
    ("gradcam++", "gradcam_plus_plus", "GradcamPlusPlus"),
    ("layercam", "layercam", "Layercam"),
    ("scorecam", "scorecam", "Scorecam"),
    ("saliency", "saliency", "Saliency"),
]


@pytest.mark.parametrize(("method", "module", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_maps_are_those_of_tf_keras_vis(method: str, module: str, name: str):
    found = agreement(ours(method, like="tf-keras-vis"), theirs(module, name), in_unit=True)
    assert found.is_reached, found


@pytest.mark.parametrize(("method", "module", "name"), [ROWS[1], ROWS[3]], ids=["gradcam++", "scorecam"])
def test_without_like_a_method_is_as_its_paper_has_it(method: str, module: str, name: str):
    found = ours(method, normalize="tf-keras-vis")
    assert agreement(found, theirs(module, name), in_unit=True).difference > 5e-3


def test_faster_scorecam_is_scorecam_of_tf_keras_vis_with_max_n():
    net, model, x = made()
    library_of = library("scorecam").Scorecam
    for picture, target in zip(x, TARGETS, strict=True):
        score = library("utils.scores").CategoricalScore([target])
        with old_scipy():
            expected = library_of(net, clone=False)(score, picture[None], penultimate_layer=LAYER, max_N=4)
        graph = convert(model, method="faster-scorecam", layer=LAYER, like="tf-keras-vis", options={"channels": 4})
        assert graph.metadata.score == "probability"
        found = explainer_of(graph).drive(picture, target).heatmap
        assert agreement(found[None], np.asarray(expected), in_unit=True).is_reached


def test_smoothgrad_is_saliency_of_tf_keras_vis_with_the_same_noise(monkeypatch: pytest.MonkeyPatch):
    net, model, x = made()
    saliency, scores = library("saliency").Saliency, library("utils.scores")
    rng = np.random.default_rng(0)
    noise = np.stack([rng.standard_normal(x[:1].shape, np.float32) for _ in range(20)])
    monkeypatch.setattr(np.random, "normal", lambda _, sigma, __: (np.asarray(sigma) * noise).astype(np.float32))
    with old_scipy():
        expected = saliency(net, clone=False)(scores.CategoricalScore([1]), x[:1], smooth_samples=20)
    found = explainer_of(convert(model, method="smoothgrad", like="tf-keras-vis")).drive(x[0], 1).heatmap
    assert agreement(found[None], np.asarray(expected), in_unit=True).is_reached
