"""Names of layers as the file itself tells them."""

from __future__ import annotations

import onnx
import pytest
from small_nets import CNN, cnn, net

import onnxcam
from onnxcam.errors import UnknownLayer, VanishedLayer
from onnxcam.facts import note


def with_facts(model: onnx.ModelProto, **facts: dict[str, str]) -> onnx.ModelProto:
    note(model, **facts)
    return model


def default(model: onnx.ModelProto) -> str:
    return onnxcam.layers(model)[0].name


def chosen(model: onnx.ModelProto, layer: str) -> tuple[str, ...]:
    return onnxcam.convert(model, layer=layer).metadata.layers


def test_the_author_of_the_file_knows_the_names():
    model = with_facts(cnn(), layers={"stage1": "r1", "stage2": "r2"})
    assert default(model) == "stage2"
    assert chosen(model, "stage1") == ("stage1",)


def test_the_shortest_of_several_names_of_a_tensor_is_shown_and_all_are_taken():
    model = with_facts(cnn(), layers={"stage2.0.act": "r2", "stage2": "r2"})
    assert default(model) == "stage2"
    assert chosen(model, "stage2.0.act") == ("stage2",)


def test_what_the_file_says_goes_before_what_its_nodes_say():
    model = cnn()
    for node in model.graph.node:
        node.name = {"r2": "/stage1/act/Relu", "r1": "/stem/act/Relu"}.get(node.output[0], "")
    note(model, layers={"stage1": "r1"})
    layers = {layer.tensor: layer.name for layer in onnxcam.layers(model)}
    assert layers["r1"] == "stage1"
    assert chosen(model, "stage1") == ("stage1",)


def test_a_name_of_a_copy_stands_for_the_tensor():
    body = CNN.replace("gap = GlobalAveragePool(r2)", "same = Identity(r2)\n gap = GlobalAveragePool(same)")
    model = with_facts(net(body + "y = Gemm(flat, w3, b3)"), layers={"top": "same"})
    assert chosen(model, "top") == chosen(model, "same")


def test_a_layer_of_a_nested_model_goes_by_its_own_name():
    assert chosen(with_facts(cnn(), layers={"base/top_conv": "r2"}), "top_conv") == ("base/top_conv",)


def test_a_layer_that_left_no_tensor_is_told_with_the_nearest_that_did():
    model = with_facts(cnn(), layers={"act": "r2"}, vanished={"bn": "act"})
    with pytest.raises(VanishedLayer, match=r"'bn' left no tensor of its own.*'act'"):
        onnxcam.convert(model, layer="bn")


def test_facts_of_another_kind_are_no_names():
    model = cnn()
    note(model, layers=["r2"], vanished="r1")
    with pytest.raises(UnknownLayer):
        onnxcam.convert(model, layer="stage2")
