"""Models whose nodes are in no order, as some writers leave them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.parser
import pytest
from onnx import ModelProto
from samples import IMAGES, model_path, needs_samples

import onnxcam
from onnxcam.demo import MODEL
from onnxcam.errors import CyclicModel
from onnxcam.graph import load
from onnxcam.graph.walk import all_graphs


def shuffled(model: ModelProto) -> ModelProto:
    """The model, and what is in its bodies and functions, in another order."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for holder in (*reversed(list(all_graphs(copy.graph))), *copy.functions):
        nodes = list(holder.node)
        random.Random(4).shuffle(nodes)
        del holder.node[:]
        holder.node.extend(nodes)
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        onnx.checker.check_model(copy)
    return copy


def parsed(text: str) -> ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18, "own": 1]> {text}')


def is_sorted(model: ModelProto) -> bool:
    onnx.checker.check_model(model)  # raises where they are not
    return True


def heatmap(model: ModelProto, picture: object, tmp_path: Path) -> np.ndarray:
    path = tmp_path / "explain.onnx"
    onnxcam.convert(model).save(path)
    return onnxcam.Explainer(path)(picture).heatmap


@needs_samples
def test_a_shuffled_squeezenet_has_the_same_heatmap(tmp_path: Path):
    model, picture = onnx.load(model_path("squeezenet1.1_fp32")), IMAGES / "horses.jpg"
    np.testing.assert_array_equal(heatmap(shuffled(model), picture, tmp_path), heatmap(model, picture, tmp_path))


def test_the_demos_net_shuffled_has_the_same_heatmap(tmp_path: Path):
    model, picture = onnx.load(MODEL), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(heatmap(shuffled(model), picture, tmp_path), heatmap(model, picture, tmp_path))


BODIES = """
g (bool c, float[n, 2] x) => (float[n, 2] y) {
  a = Relu(x)
  b = If(c)
    <then_branch = t () => (float[n, 2] p) { q = Exp(a) s = Neg(q) p = Abs(s) },
     else_branch = e () => (float[n, 2] p) { q = Neg(a) s = Exp(q) p = Abs(s) }>
  y = Neg(b)
}
"""


def test_bodies_are_sorted_and_what_they_read_comes_before_them():
    given = shuffled(parsed(BODIES))
    assert [node.op_type for node in given.graph.node] != ["Relu", "If", "Neg"]
    model = load(given).proto
    assert is_sorted(model)
    assert [len(graph.node) for graph in all_graphs(model.graph)] == [3, 3, 3]


def test_functions_are_sorted():
    model = parsed(
        """
        g (float[n, 2] x) => (float[n, 2] y) { y = own.f(x) }
        <domain: "own", opset_import: ["": 18]> f (x) => (y) { a = Neg(x) b = Exp(a) c = Neg(b) y = Abs(c) }
        """
    )
    loaded = load(shuffled(model)).proto
    assert is_sorted(loaded)
    assert [node.op_type for node in loaded.graph.node] == ["Neg", "Exp", "Neg", "Abs"]


def test_an_order_that_will_do_stays():
    model = parsed("g (float[n, 2] x) => (float[n, 2] y) { b = Neg(x) a = Exp(x) d = Abs(a) c = Abs(b) y = Add(c, d) }")
    assert [node.output[0] for node in load(model).proto.graph.node] == ["b", "a", "d", "c", "y"]


def test_nodes_that_wait_for_one_another_are_told():
    model = parsed("g (float[n, 2] x) => (float[n, 2] y) { a = Add(x, c) b = Neg(a) c = Exp(b) y = Abs(c) }")
    with pytest.raises(
        CyclicModel, match=r"^the model is not an ONNX model: its nodes wait for one another, '[abc]' → "
    ):
        load(model)


def test_a_cycle_within_a_body_is_told():
    text = BODIES.replace("q = Exp(a) s = Neg(q)", "q = Add(a, s) s = Neg(q)")
    with pytest.raises(CyclicModel, match=r"'[qs]' → '[qs]' → '[qs]'"):
        load(parsed(text))
