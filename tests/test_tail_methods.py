"""Ablation-CAM and Recipro-CAM against a loop over the model's tail, cut off and run by itself for each variant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.utils
import onnxruntime
import pytest
from numpy.typing import NDArray
from small_nets import CNN, cnn, net, pictures, run

import onnxcam
from onnxcam.errors import InvalidOption, NoPathToScore
from onnxcam.methods import reruns

Array = NDArray[Any]
GAUSSIAN = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
LAYERS = ["r2", "p1", "r1"]
# How the variants run: all at once, in three chunks that are written out, in a Scan of three.
FORMS = {"whole": (1, 1 << 30), "chunks": (3, 1 << 30), "scan": (3, 0)}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the forms in turn."""
    parts, nodes = FORMS[request.param]
    monkeypatch.setattr(reruns, "at_once", lambda _, variants: -(-known(variants) // parts))
    monkeypatch.setattr(reruns, "MOST_NODES", nodes)
    return str(request.param)


def known(variants: reruns.Variants) -> int:
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
        return self.below.run(None, {"x": x})[0]

    def scores(self, a: Array) -> Array:
        return self.above.run(None, {self.layer: a})[0]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def ablation(cut: Cut, x: Array, target: int, *, sign: float = 1) -> Array:
    """One channel after the other, for one image."""
    a = cut.activation(x[None])
    y = sign * cut.scores(a)[0, target]
    weights = []
    for channel in range(a.shape[1]):
        without = a.copy()
        without[:, channel] = 0
        weights.append((y - sign * cut.scores(without)[0, target]) / abs(y))
    return np.einsum("c,chw->hw", np.array(weights), a[0])


def reciprocal(cut: Cut, x: Array, target: int, kernel: Array) -> Array:
    """One place after the other, for one image."""
    a = cut.activation(x[None])
    scores = np.zeros(a.shape[2:])
    for place in np.ndindex(scores.shape):
        padded = np.zeros(np.array(scores.shape) + 2, np.float32)
        padded[place[0] : place[0] + 3, place[1] : place[1] + 3] = kernel
        scores[place] = cut.scores(a * padded[1:-1, 1:-1])[0, target]
    return scores - scores.min()


def one_hot() -> Array:
    return np.pad([[1.0]], 1)


def raw_maps(model: onnx.ModelProto, x: Array, target: Any, **options: Any) -> Array:
    graph = onnxcam.convert(model, outputs=["raw_map"], **options)
    onnx.checker.check_model(graph.model, full_check=True)
    return run(graph.model, {"x": x, "target": np.array(target, np.int64)})["raw_map"]


def agree(found: Array, expected: Array, tolerance: float = 2e-5) -> None:
    assert np.abs(expected).max() > 1e-3, "the map is all zero and shows nothing"
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


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


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


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
    monkeypatch.setattr(reruns, "CHUNK_BYTES", 4 * 6 * 16 * 16 * 4)  # r1 of four variants
    graph = onnxcam.convert(cnn(), method="ablationcam", layer="r1").model.graph
    assert sum(node.op_type == "Conv" for node in graph.node) == 2 + 2


def test_the_other_side_of_a_class_is_what_speaks_against_it():
    x, cut = pictures(1), Cut(cnn(), "r1")
    agree(raw_maps(cnn(), x, [5 + 2], method="ablationcam", layer="r1")[0], ablation(cut, x[0], 2, sign=-1))


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
    model = onnxcam.convert(cnn(), method="ablationcam", layer="r2").model
    assert sum(node.op_type == "GlobalAveragePool" for node in model.graph.node) == 1


def test_a_graph_without_a_gradient_gives_none():
    with pytest.raises(NoPathToScore, match="takes no gradient"):
        onnxcam.convert(cnn(), method="ablationcam", outputs=["gradient"])


def test_an_unknown_mask_is_refused_with_those_that_there_are():
    with pytest.raises(InvalidOption, match=r"one-hot.*gaussian"):
        onnxcam.convert(cnn(), method="reciprocam", options={"mask": "round"})


@pytest.mark.parametrize("layer", ["0", "1"], ids=["values below zero", "none below zero"])
def test_ablation_like_pytorch_grad_cam_gives_its_map(layer: str):
    torch = pytest.importorskip("torch_support", reason="extra `torch` is not installed").torch
    peer = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    torch.manual_seed(0)
    # 70 channels are three of its batches; Tanh keeps what lies 1e7 below from going off to infinity.
    body = [torch.nn.Conv2d(3, 70, 3), torch.nn.ReLU(), torch.nn.Conv2d(70, 9, 3, stride=2), torch.nn.Tanh()]
    module = torch.nn.Sequential(*body, torch.nn.Flatten(), torch.nn.Linear(9 * 36, 5)).eval()
    x, targets = torch.randn(2, 3, 16, 16), [3, 1]
    with peer.AblationCAM(model=module, target_layers=[module[int(layer)]]) as cam:
        wanted = [peer.utils.model_targets.ClassifierOutputTarget(t) for t in targets]
        expected = cam(input_tensor=x, targets=wanted)
    graph = onnxcam.convert(module, example=x, method="ablationcam", layer=layer, like="pytorch-grad-cam")
    name = graph.model.graph.input[0].name
    found = run(graph.model, {name: x.numpy(), "target": np.array(targets)})["heatmap"]
    assert expected.any(axis=(1, 2)).all(), "the map is all zero and shows nothing"
    np.testing.assert_allclose(found, expected, atol=2e-3)
