"""Ablation-CAM and Recipro-CAM as loops over a model's tail, cut off and run by itself for each variant."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.utils
import onnxruntime
import pytest
from numpy.typing import NDArray
from small_nets import run

import onnxcam
from onnxcam.methods import reruns

Array = NDArray[Any]
# How the variants run: all at once, in three chunks that are written out, in a Scan of three.
FORMS = {"whole": (1, 1 << 30), "chunks": (3, 1 << 30), "scan": (3, 0)}


def take_form(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets them run in that form."""
    parts, nodes = FORMS[name]
    monkeypatch.setattr(reruns, "at_once", lambda _, variants: -(-_known(variants) // parts))
    monkeypatch.setattr(reruns, "MOST_NODES", nodes)


def _known(variants: reruns.Variants) -> int:
    return variants.count if isinstance(variants.count, int) else 100


class Cut:
    """A model cut in two at a layer."""

    def __init__(self, model: onnx.ModelProto, layer: str) -> None:
        typed = onnx.shape_inference.infer_shapes(model)
        extractor = onnx.utils.Extractor(typed)
        self.below = session(extractor.extract_model(["x"], [layer]))
        self.above = session(extractor.extract_model([layer], ["y"]))
        self.layer = layer

    def activation(self, x: Array) -> Array:
        """The layer's."""
        return self.below.run(None, {"x": x})[0]

    def scores(self, a: Array) -> Array:
        """Those of an activation."""
        return self.above.run(None, {self.layer: a})[0]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """On one thread, without what ONNX Runtime has to say."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def ablation(cut: Cut, x: Array, target: int | Array) -> Array:
    """One channel after the other, for one image. `target`: a column of the scores, or a number for each of them."""
    a = cut.activation(x[None])
    y = _picked(cut.scores(a), target)
    weights = []
    for channel in range(a.shape[1]):
        without = a.copy()
        without[:, channel] = 0
        weights.append((y - _picked(cut.scores(without), target)) / abs(y))
    return np.einsum("c,chw->hw", np.array(weights), a[0])


def _picked(scores: Array, target: int | Array) -> float:
    return float(scores[0, target] if isinstance(target, int) else scores[0] @ target)


def reciprocal(cut: Cut, x: Array, target: int | Array, kernel: Array) -> Array:
    """One place after the other, for one image."""
    a = cut.activation(x[None])
    scores = np.zeros(a.shape[2:])
    for place in np.ndindex(scores.shape):
        padded = np.zeros(np.array(scores.shape) + 2, np.float32)
        padded[place[0] : place[0] + 3, place[1] : place[1] + 3] = kernel
        scores[place] = _picked(cut.scores(a * padded[1:-1, 1:-1]), target)
    return scores - scores.min()


def one_hot() -> Array:
    """The kernel that leaves nothing but the place."""
    return np.pad([[1.0]], 1)


def raw_maps(model: onnx.ModelProto, x: Array, target: Any, **options: Any) -> Array:
    """Ours, of one layer."""
    graph = onnxcam.convert(model, outputs=["raw_map"], **options)
    onnx.checker.check_model(graph.model, full_check=True)
    return run(graph.model, {"x": x, "target": np.array(target, np.int64)})["raw_map"]


def agree(found: Array, expected: Array, tolerance: float = 2e-5) -> None:
    """The difference is to be small beside the largest number of a map that is not zero."""
    assert np.abs(expected).max() > 1e-3, "the map is all zero and shows nothing"
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float16."""
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model
