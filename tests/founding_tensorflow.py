"""The founding cases in TensorFlow: a frozen graph of its first version, and a module of TF-Hub's kind."""

from __future__ import annotations

import importlib.util
import sys
import types
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from founding import library
from numpy.typing import NDArray
from packaging.version import parse


@dataclass(frozen=True)
class FrozenGraph:
    """A graph of TensorFlow 1 with its weights made constants, and what its session computed for a batch.

    Attributes:
        data: the file.
        x: (N, 32, 32, 3).
        features: (N, 8, 8, C), before they are averaged.
        dense: (C, 10), the weights that read the average.
    """

    data: bytes
    x: NDArray[np.float32]
    features: NDArray[np.float32]
    dense: NDArray[np.float32]


@cache
def cifar() -> FrozenGraph:
    """Three convolutions, global average, ten classes: written and run as in TensorFlow 1."""
    tf = library("tensorflow")
    v1, graph = tf.compat.v1, tf.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        v1.set_random_seed(0)
        picture_in = v1.placeholder(tf.float32, (None, 32, 32, 3), "input")
        a = _tf1_convolution(tf, picture_in, 16, name="conv1", stride=1)
        a = _tf1_convolution(tf, tf.nn.max_pool2d(a, 2, 2, "SAME"), 32, name="conv2", stride=2)
        a = _tf1_convolution(tf, a, 64, name="conv3", stride=1)
        dense = v1.get_variable("dense/kernel", (64, 10))
        tf.nn.softmax(tf.matmul(tf.reduce_mean(a, (1, 2)), dense), name="probabilities")
        session.run(v1.global_variables_initializer())
        x = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
        features, weights = session.run([a, dense], {picture_in: x})
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["probabilities"])
    return FrozenGraph(frozen.SerializeToString(), x, features, weights)


def _tf1_convolution(tf: Any, x: Any, channels: int, *, name: str, stride: int) -> Any:
    with tf.compat.v1.variable_scope(name):
        kernel = tf.compat.v1.get_variable("kernel", (3, 3, x.shape[-1], channels))
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME"), name="relu")


@dataclass(frozen=True)
class HubModule:
    """A SavedModel that gives features of a picture, and what is known of its inside by who made it.

    Attributes:
        folder: where it lies.
        inside: from (N, 64, 64, 3) in [0, 1] to the last feature maps (N, 16, 16, C), which nobody else can reach.
    """

    folder: Path
    inside: Any


def hub_module(folder: Path) -> HubModule:
    """Two convolutions and their average, saved as TF-Hub's feature vectors are: a function, and no layers."""
    tf = library("tensorflow")
    rng = np.random.default_rng(0)
    module = tf.Module()
    module.kernels = [
        tf.Variable(rng.normal(scale=(2 / (9 * count)) ** 0.5, size=(3, 3, count, more)), dtype=tf.float32)
        for count, more in ((3, 16), (16, 32))
    ]

    def inside(x: Any) -> Any:
        for kernel in module.kernels:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
        return x

    module.__call__ = tf.function(
        lambda x: tf.reduce_mean(inside(x), (1, 2)), input_signature=[tf.TensorSpec((None, 64, 64, 3), tf.float32)]
    )
    tf.saved_model.save(module, str(folder), signatures=module.__call__)
    return HubModule(folder, inside)


def opaque(folder: Path, kind: str) -> tuple[HubModule, Any]:
    """A module, and a net that classifies by its features: of `tf_keras` with TF-Hub's layer, or of `keras`."""
    module, keras = hub_module(folder), library(kind)
    keras.utils.set_random_seed(0)
    if kind == "tf_keras":
        layer = tensorflow_hub().KerasLayer(str(folder))
    else:
        layer = keras.layers.TFSMLayer(str(folder), call_endpoint="__call__")
    head = keras.layers.Dense(3, activation="softmax")
    return module, keras.Sequential([keras.layers.Input((64, 64, 3)), layer, head])


def tensorflow_hub() -> Any:
    """TF-Hub's own library, or a test skipped."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("pkg_resources") is None:
            # tensorflow_hub 0.16.1 compares versions with it, and today's setuptools no longer brings it.
            stand_in = types.ModuleType("pkg_resources")
            patch.setattr(stand_in, "parse_version", parse, raising=False)
            patch.setitem(sys.modules, "pkg_resources", stand_in)
        return library("tensorflow_hub")
