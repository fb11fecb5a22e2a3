"""Ablation-CAM and Recipro-CAM against a loop over the model's tail, cut off and run by itself for each variant."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from small_nets import CNN, cnn, net, pictures, run
from tail_loops import FORMS, Cut, ablation, agree, halved, one_hot, raw_maps, reciprocal, take_form

import onnxcam
from onnxcam.errors import InvalidOption, NoPathToScore
from onnxcam.methods import reruns

GAUSSIAN = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
LAYERS = ["r2", "p1", "r1"]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the forms in turn."""
    take_form(request.param, monkeypatch)
    return str(request.param)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_channel_weighs_what_the_score_loses_without_it(layer: str, form: str):
    x, targets = pictures(3), [2, 0, 4]
    found = raw_maps(cnn(), x, targets, method="ablationcam", layer=layer)
    cut = Cut(cnn(), layer)
    agree(found, np.stack([ablation(cut, image, target) for image, target in zip(x, targets, strict=True)]))


def test_chunks_are_written_out_while_they_are_few_nodes(form: str):
    graph = onnxcam.convert(cnn(), method="ablationcam", layer="r1").model.graph
    convolutions = sum(node.op_type == "Conv" for node in graph.node)
    is_scanned = any(node.op_type == "Scan" for node in graph.node)
    assert (convolutions, is_scanned) == {"whole": (3, False), "chunks": (5, False), "scan": (2, True)}[form]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_place_weighs_what_it_scores_by_itself(layer: str, form: str):
    x, targets = pictures(2), [2, 0]
    found = raw_maps(cnn(), x, targets, method="reciprocam", layer=layer)
    cut = Cut(cnn(), layer)
    agree(found, np.stack([reciprocal(cut, image, t, one_hot()) for image, t in zip(x, targets, strict=True)]))


@pytest.mark.parametrize("layer", ["r2", "r1"])
def test_a_place_may_be_shown_with_those_around_it(layer: str):
    x, cut = pictures(1), Cut(cnn(), layer)
    found = raw_maps(cnn(), x, [3], method="reciprocam", layer=layer, options={"mask": "gaussian"})
    agree(found[0], reciprocal(cut, x[0], 3, GAUSSIAN))


@pytest.mark.parametrize("method", ["ablationcam", "reciprocam"])
@pytest.mark.parametrize("layer", ["r2", "r1"])
def test_several_targets_give_the_maps_of_each(method: str, layer: str, form: str):
    x, targets = pictures(2), np.array([[0, 3, -1], [4, 5 + 1, -2]])
    many = raw_maps(cnn(), x, targets, method=method, layer=layer, multi_target=True)
    for place in range(3):
        agree(many[:, place], raw_maps(cnn(), x, targets[:, place], method=method, layer=layer))


@pytest.mark.parametrize("method", ["ablationcam", "reciprocam"])
def test_several_targets_run_the_tail_no_oftener_than_one(method: str):
    graphs = [
        onnxcam.convert(cnn(), method=method, layer="r1", multi_target=many).model.graph for many in (False, True)
    ]
    count = [sum(node.op_type == "Conv" for node in graph.node) for graph in graphs]
    assert count == [3, 3]


@pytest.mark.parametrize("method", ["ablationcam", "reciprocam"])
@pytest.mark.parametrize("layer", ["r2", "r1"])
def test_height_and_width_may_stay_open(method: str, layer: str, form: str):
    x = pictures(2, 3, 12, 20)
    found = raw_maps(cnn(x="float[N,3,H,W] x"), x, [1, 1], method=method, layer=layer)
    agree(found, raw_maps(cnn(x="float[N,3,12,20] x"), x, [1, 1], method=method, layer=layer))


@pytest.mark.parametrize("method", ["ablationcam", "reciprocam"])
@pytest.mark.parametrize("layer", ["r2", "r1"])
def test_half_precision_gives_the_same_map(method: str, layer: str):
    x = pictures(2)
    wide = raw_maps(cnn(), x, [1, 1], method=method, layer=layer)
    half = raw_maps(halved(cnn()), x.astype(np.float16), [1, 1], method=method, layer=layer)
    assert half.dtype == np.float32
    for found, expected in zip(half, wide, strict=True):
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_channels_that_raise_a_score_below_zero_weigh_more_than_nothing():
    x, model = pictures(1), cnn()
    scores = run(model, {"x": x})["y"][0]
    target = int(scores.argmin())
    assert scores[target] < 0
    found, cut = raw_maps(model, x, [target], method="ablationcam", layer="r2")[0], Cut(model, "r2")
    agree(found, ablation(cut, x[0], target))
    agree(found, -raw_maps(model, x, [target], method="ablationcam", layer="r2", like="pytorch-grad-cam")[0])


@pytest.mark.parametrize("ending", ["z = MatMul(flat, w3)\n t = Add(z, b3)\n y = Softmax(t)", "y = Tanh(flat)"])
def test_any_score_can_be_explained(ending: str):
    model, x = cnn(ending, y="float[N,8] y" if "Tanh" in ending else "float[N,5] y"), pictures(2)
    found = raw_maps(model, x, [1, 3], method="ablationcam", layer="r1", score="output")
    agree(found, np.stack([ablation(Cut(model, "r1"), image, t) for image, t in zip(x, [1, 3], strict=True)]))


def test_a_chunk_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reruns, "CHUNK_BYTES", 4 * 8 * 8 * 8 * 4)  # c2 of four variants
    graph = onnxcam.convert(cnn(), method="ablationcam", layer="r1").model.graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 2 + 2


def test_the_other_side_of_a_class_is_what_speaks_against_it():
    x, cut = pictures(1), Cut(cnn(), "r1")
    agree(raw_maps(cnn(), x, [5 + 2], method="ablationcam", layer="r1")[0], ablation(cut, x[0], -np.eye(5)[2]))


RESIDUAL = CNN.replace(
    "r2 = Relu(c2)", "r2 = Relu(c2)\n  c3 = Conv<pads=[1,1,1,1]>(r2, w5)\n  s3 = Add(c3, r2)"
).replace("GlobalAveragePool(r2)", "GlobalAveragePool(s3)")


def test_what_goes_around_the_layer_is_hidden_with_it():
    model = net(RESIDUAL + "y = Gemm(flat, w3, b3)")
    w5 = np.random.default_rng(5).normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w5, "w5"))
    x = pictures(1)
    found = raw_maps(model, x, [1], method="reciprocam", layer="c3")[0]
    agree(found, reciprocal(Cut(model, "s3"), x[0], 1, one_hot()))


NEAR_ENDS: dict[str, Callable[[], onnx.ModelProto]] = {
    "GlobalAveragePool": cnn,
    "ReduceMean": lambda: net(
        CNN.replace("gap = GlobalAveragePool(r2)\n  flat = Flatten(gap)", "flat = ReduceMean<keepdims=0>(r2, space)")
        + "y = Gemm(flat, w3, b3)\n space = Constant<value_ints=[2,3]>()"
    ),
    "AveragePool": lambda: cnn_with("AveragePool<kernel_shape=[8,8]>(r2)"),
    "AveragePool of a part": lambda: cnn_with("AveragePool<kernel_shape=[7,7], strides=[7,7]>(r2)"),
    "GlobalMaxPool": lambda: cnn_with("GlobalMaxPool(r2)"),
}


def cnn_with(pool: str) -> onnx.ModelProto:
    return net(CNN.replace("GlobalAveragePool(r2)", pool) + "y = Gemm(flat, w3, b3)")


@pytest.mark.parametrize("method", ["ablationcam", "reciprocam"])
@pytest.mark.parametrize("end", NEAR_ENDS)
def test_whatever_ends_space_gives_the_map_of_the_loop(end: str, method: str):
    model, x = NEAR_ENDS[end](), pictures(1)
    if "space" in end or end == "ReduceMean":
        nodes = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([nodes[-1], *nodes[:-1]])
    cut = Cut(model, "r2")
    found = raw_maps(model, x, [1], method=method, layer="r2")[0]
    agree(found, ablation(cut, x[0], 1) if method == "ablationcam" else reciprocal(cut, x[0], 1, one_hot()))


def test_variants_of_a_mean_are_as_small_as_the_mean():
    model = onnxcam.convert(cnn(), method="reciprocam", layer="r2").model
    assert sum(node.op_type == "GlobalAveragePool" for node in model.graph.node) == 1


def test_a_graph_without_a_gradient_gives_none():
    with pytest.raises(NoPathToScore, match="takes no gradient"):
        onnxcam.convert(cnn(), method="ablationcam", outputs=["gradient"])


def test_an_unknown_mask_is_refused_with_those_that_there_are():
    with pytest.raises(InvalidOption, match=r"one-hot.*gaussian"):
        onnxcam.convert(cnn(), method="reciprocam", options={"mask": "round"})
