"""TensorFlow, where it is installed: imported without its warnings, and without a GPU."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import FOLDER

from onnxcam.conversion import Conversion, Request, convert_source

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow", reason="extra `keras` is not installed")
    pytest.importorskip("tf2onnx", reason="extra `keras` is not installed")

ERAS = FOLDER / "keras_eras"
HUB_STYLE = ERAS / "k215" / "hub_style_savedmodel"


def converted(source: Any, **options: Any) -> Conversion:
    return convert_source(Request(source=source, **options))


def write_graph(path: Path, build: Any) -> Path:
    """A .pb file of the graph that the function builds."""
    with tf.Graph().as_default() as graph:
        build()
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def lambda_module(call: Any) -> Any:
    """A tf.function, which is a live object of TensorFlow."""
    return tf.function(call)


class Net(tf.Module):
    """A convolution that nothing folds, a mean, a softmax."""

    def __init__(self) -> None:
        super().__init__(name="net")
        rng = np.random.default_rng(0)
        self.kernel = tf.Variable(rng.normal(size=(3, 3, 3, 5)).astype(np.float32))
        self.scale = tf.Variable(rng.normal(size=5).astype(np.float32))
        self.dense = tf.Variable(rng.normal(size=(5, 2)).astype(np.float32))

    def activation(self, x: Any) -> Any:
        return tf.nn.gelu(tf.nn.conv2d(x, self.kernel, 1, "SAME", name="conv") * self.scale, name="last")

    def head(self, a: Any) -> Any:
        return tf.nn.softmax(tf.reduce_mean(a, [1, 2]) @ self.dense)

    def __call__(self, x: Any, training: bool = True) -> Any:
        return self.head(self.activation(x)) * (100.0 if training else 1.0)


X = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)
