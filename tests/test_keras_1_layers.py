"""Layers as Keras 1 and early Keras 2 wrote them, which no Keras of today reads, against numpy."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
import pytest
from keras_rows import outputs, pictures

from onnxcam.errors import UnsupportedLayer


def keras_1_file(path: Any, layers: list[dict[str, Any]], inputs: list[str], output: str) -> Any:
    """A functional model of Keras 1.2.2 without weights."""
    config = {
        "name": "old",
        "layers": layers,
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": [[output, 0, 0]],
    }
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "1.2.2"
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config})
        file.create_group("model_weights").attrs["layer_names"] = [name["name"].encode() for name in layers]
        for layer in layers:
            file["model_weights"].create_group(layer["name"]).attrs["weight_names"] = []
    return path


def entry(kind: str, name: str, inputs: list[str], **config: Any) -> dict[str, Any]:
    nodes = [[[source, 0, 0] for source in inputs]] if inputs else []
    return {
        "class_name": kind,
        "name": name,
        "inbound_nodes": nodes,
        "config": {"name": name, "trainable": True, **config},
    }


@pytest.mark.parametrize(
    ("mode", "formula"),
    [
        ("sum", lambda a, b: a + b),
        ("mul", lambda a, b: a * b),
        ("ave", lambda a, b: (a + b) / 2),
        ("max", np.maximum),
        ("concat", lambda a, b: np.concatenate([a, b], axis=1)),
    ],
)
def test_merge_of_keras_1_has_its_modes(mode, formula, tmp_path):
    a, b = pictures(5, 4, 3), pictures(5, 4, 3, seed=1)
    common = {"batch_input_shape": [None, 5, 4, 3], "input_dtype": "float32"}
    merge = {"mode": mode, "mode_type": "raw", "concat_axis": 1, "dot_axes": -1, "arguments": {}, "output_shape": None}
    merge |= {"output_shape_type": "raw", "output_mask": None, "output_mask_type": "raw"}
    layers = [
        entry("InputLayer", "a", [], **common),
        entry("InputLayer", "b", [], **common),
        entry("Merge", "merge_1", ["a", "b"], **merge),
    ]
    (found,) = outputs(keras_1_file(tmp_path / "model.h5", layers, ["a", "b"], "merge_1"), [a, b])
    np.testing.assert_allclose(found, formula(a, b), atol=1e-6)


def test_merge_of_keras_1_with_a_function_is_refused(tmp_path):
    common = {"batch_input_shape": [None, 5], "input_dtype": "float32"}
    merge = {"mode": "bWFyc2hhbA==", "mode_type": "lambda", "concat_axis": 1, "dot_axes": -1, "arguments": {}}
    layers = [
        entry("InputLayer", "a", [], **common),
        entry("InputLayer", "b", [], **common),
        entry("Merge", "merge_1", ["a", "b"], **merge),
    ]
    with pytest.raises(UnsupportedLayer, match="mode_type"):
        outputs(keras_1_file(tmp_path / "model.h5", layers, ["a", "b"], "merge_1"), [pictures(5), pictures(5)])


def test_padding_of_keras_1_names_its_sides(tmp_path):
    common = {"batch_input_shape": [None, 3, 5, 4], "input_dtype": "float32"}
    sides = {"top_pad": 1, "bottom_pad": 0, "left_pad": 0, "right_pad": 2}
    layers = [
        entry("InputLayer", "x", [], **common),
        entry("ZeroPadding2D", "pad", ["x"], padding=sides, dim_ordering="th"),
        entry("UpSampling2D", "up", ["pad"], size=[2, 2], dim_ordering="th"),
    ]
    x = pictures(3, 5, 4)
    (found,) = outputs(keras_1_file(tmp_path / "model.h5", layers, ["x"], "up"), [x])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))
    np.testing.assert_array_equal(found, padded.repeat(2, axis=2).repeat(2, axis=3))


def test_bilinear_enlargement_of_keras_2_2_is_refused_since_its_versions_differ(tmp_path):
    layers = [
        entry("InputLayer", "x", [], batch_input_shape=[None, 5, 4, 3]),
        entry("UpSampling2D", "up", ["x"], size=[2, 2], data_format="channels_last", interpolation="bilinear"),
    ]
    with pytest.raises(UnsupportedLayer, match="bilinear"):
        outputs(keras_1_file(tmp_path / "model.h5", layers, ["x"], "up"), [pictures(5, 4, 3)])
