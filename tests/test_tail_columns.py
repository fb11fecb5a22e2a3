"""Tails that need not run again as a whole: a target reads a column of the last layer, a channel is lost in a sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from small_nets import CNN, net, pictures, run
from tail_loops import Array, Cut, ablation, agree, halved, one_hot, raw_maps, reciprocal, take_form

import onnxcam
from onnxcam.methods import reruns, without
from onnxcam.question import Question

TRUNK, _, _ = CNN.partition("gap =")
SHAPES = {
    "wc": (5, 8, 1, 1), "bc": (5,), "wk": (5, 8, 3, 3), "bk": (5,), "wh": (12, 8, 1, 1), "bh": (12,), "wg": (5, 12),
    "scale": (5,), "shift": (5,), "mean": (5,), "variance": (5,), "each": (8, 1, 1), "wd": (8, 1, 3, 3),
    "s8": (8,), "t8": (8,), "m8": (8,), "v8": (8,), "wr": (8, 8, 1, 1), "slope": (5, 1, 1), "w8": (8, 5), "b5": (5,),
    "side": (8, 8), "wo": (1, 8, 1, 1),
}  # fmt: skip
INTS = {"space": [2, 3], "places": [1, 2], "channel": [1], "table": [0, 5], "row": [-1, 5]}
# How r2, (N, 8, 8, 8), becomes y, (N, 5).
ENDINGS = {
    "Conv, Relu, mean": """
        z = Conv(r2, wc, bc)  a = Relu(z)  m = GlobalAveragePool(a)  y = Flatten(m)""",
    "Conv, norm, activation in three nodes, largest": """
        z = Conv<kernel_shape=[1,1], pads=[0,0,0,0], strides=[1,1]>(r2, wc)
        n = BatchNormalization(z, scale, shift, mean, variance)
        s = Sigmoid(n)  a = Mul(n, s)  m = ReduceMax<keepdims=0>(a, space)  y = Identity(m)""",
    "channels last": """
        t = Transpose<perm=[0,2,3,1]>(r2)  z = MatMul(t, w8)  b = Add(bc, z)  a = Relu(b)
        m = ReduceMean<keepdims=1>(a, places)  y = Reshape(m, table)""",
    "Conv of places, no activation": """
        z = Conv(r2, wc, bc)  m = AveragePool<kernel_shape=[8,8]>(z)  y = Reshape(m, row)""",
    "Conv of places, a slope each": """
        z = Conv(r2, wc, bc)  a = PRelu(z, slope)  m = GlobalAveragePool(a)  y = Flatten(m)""",
    "Conv of 3 x 3": """
        z = Conv(r2, wk, bk)  a = Relu(z)  m = GlobalAveragePool(a)  y = Flatten(m)""",
    "Conv behind the mean": """
        m = GlobalAveragePool(r2)  h = Conv(m, wh, bh)  a = HardSwish(h)  f = Flatten(a)
        y = Gemm<transB=1>(f, wg, b5)""",
    "two dense layers": """
        m = ReduceMean<keepdims=0>(r2, space)  h = Gemm<alpha=0.5>(m, w8, b5)  a = Tanh(h)
        v = Gemm<alpha=2.0>(a, square)  y = Add(v, b5)""",
    "norm, activation and pool first": """
        n = BatchNormalization(r2, s8, t8, m8, v8)  e = Mul(each, n)  a = Relu(e)
        p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)  d = Conv<group=8, pads=[1,1,1,1]>(p, wd)
        m = GlobalAveragePool(d)  f = Flatten(m)  y = Gemm(f, w8, b5)""",
    "residual sum": """
        z = Conv(r2, wr, s8)  n = BatchNormalization(z, s8, t8, m8, v8)  a = Relu(n)  r = Add(a, r2)
        m = GlobalAveragePool(r)  f = Flatten(m)  y = Gemm(f, w8, b5)""",
    "gate of channels": """
        m = GlobalAveragePool(r2)  z = Conv(m, wr, s8)  g = Sigmoid(z)  r = Mul(r2, g)
        c = Conv(r, wc, bc)  a = Relu(c)  p = GlobalAveragePool(a)  y = Flatten(p)""",
    "read by two": """
        z = Conv(r2, wc, bc)  q = Conv(r2, wk, bk)  m = GlobalAveragePool(z)  o = GlobalAveragePool(q)
        v = Add(m, o)  y = Flatten(v)""",
    "channels are the classes": """
        z = Conv(r2, wk, bk)  c = Relu(z)  m = GlobalAveragePool(c)  y = Flatten(m)""",
    "norm within the picture": """
        n = InstanceNormalization(r2, s8, t8)  z = Conv(n, wc, bc)  a = Abs(z)  m = GlobalMaxPool(a)
        y = Flatten(m)""",
    "Conv in steps": """
        z = Conv<strides=[2,2]>(r2, wc, bc)  a = Relu(z)  m = GlobalAveragePool(a)  y = Flatten(m)""",
    "Conv read before and behind a summand": """
        z = Conv(r2, wc)  b = Add(z, slope)  a = Mul(b, z)  m = GlobalAveragePool(a)  y = Flatten(m)""",
    "summand of the picture": """
        z = Conv(r2, wk, bk)  p = GlobalMaxPool(z)  q = Flatten(p)  m = GlobalAveragePool(r2)  f = Flatten(m)
        y = Gemm(f, w8, q)""",
    "product over columns": """
        z = MatMul(r2, side)  a = Relu(z)  m = GlobalAveragePool(a)  f = Flatten(m)  y = Gemm(f, w8, b5)""",
    "gate of places": """
        g = ReduceMean<keepdims=1>(r2, channel)  r = Mul(r2, g)  m = GlobalAveragePool(r)  f = Flatten(m)
        y = Gemm(f, w8, b5)""",
    "one channel becomes eight": """
        z = Conv(r2, wo)  c = Relu(z)  e = Mul(c, each)  m = GlobalAveragePool(e)  f = Flatten(m)
        y = Gemm(f, w8, b5)""",
    "probability": """
        z = Conv(r2, wc, bc)  m = GlobalAveragePool(z)  f = Flatten(m)  y = Softmax(f)""",
}  # fmt: skip
METHODS = ["ablationcam", "reciprocam"]
# The layers that are explained, where they are others than these.
LAYERS, OTHERS = ["r2", "p1"], {
    "Conv, Relu, mean": ["a", "z", "r2", "p1"], "channels are the classes": ["c", "r2"],
    "one channel becomes eight": ["c", "r2"],
}  # fmt: skip


def tail(ending: str, **options: Any) -> onnx.ModelProto:
    """The small net with that ending."""
    model = net(TRUNK + ENDINGS[ending].replace("  ", "\n"), **options)
    read, rng = {name for node in model.graph.node for name in node.input}, np.random.default_rng(7)
    weights = {name: rng.normal(0.1, 0.4, shape) for name, shape in {**SHAPES, "square": (5, 5)}.items()}
    for name, values in weights.items():
        positive = abs(values) + 3 if name in ("variance", "v8", "bc") else values  # no score is nought
        if name in read:
            model.graph.initializer.append(onnx.numpy_helper.from_array(positive.astype(np.float32), name))
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(numbers), name) for name, numbers in INTS.items() if name in read
    )
    return model


def loop(method: str, model: onnx.ModelProto, x: Array, *, layer: str, targets: list[Any]) -> Array:
    """The maps of the loop, an image and a target each."""
    cut = Cut(model, layer)
    if method == "ablationcam":
        return np.stack([ablation(cut, image, target) for image, target in zip(x, targets, strict=True)])
    return np.stack([reciprocal(cut, image, target, one_hot()) for image, target in zip(x, targets, strict=True)])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_tail_gives_the_map_of_the_loop(ending: str, method: str):
    model, x, targets = tail(ending), pictures(2), [3, 1]
    for layer in OTHERS.get(ending, LAYERS):
        found = raw_maps(model, x, targets, method=method, layer=layer, score="output")
        agree(found, loop(method, model, x, layer=layer, targets=targets))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ["Conv, Relu, mean", "two dense layers", "residual sum"])
@pytest.mark.parametrize("form", ["chunks", "scan"])
def test_tails_in_chunks_give_the_map_of_the_loop(ending: str, method: str, form: str, monkeypatch: pytest.MonkeyPatch):
    take_form(form, monkeypatch)
    model, x = tail(ending), pictures(2)
    found = raw_maps(model, x, [3, 1], method=method, layer="r2")
    agree(found, loop(method, model, x, layer="r2", targets=[3, 1]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layer", ["r2", "p1"])
@pytest.mark.parametrize("ending", ["Conv, Relu, mean", "channels last", "Conv behind the mean", "gate of channels"])
def test_each_image_has_targets_of_its_own(ending: str, layer: str, method: str):
    model, x, classes, one = tail(ending), pictures(2), 5, np.eye(5)
    first = {2: 2, classes + 4: -one[4], 2 * classes + 3 * classes + 1: one[3] - one[1]}
    second = {2 * classes + 0 * classes + 4: one[0] - one[4], 1: 1, classes + 0: -one[0]}
    found = raw_maps(model, x, [list(first), list(second)], method=method, layer=layer, multi_target=True)
    expected = [[*pair] for pair in zip(first.values(), second.values(), strict=True)]
    for place, targets in enumerate(expected):
        agree(found[:, place], loop(method, model, x, layer=layer, targets=targets))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ["Conv, Relu, mean", "two dense layers"])
def test_a_group_of_classes_is_explained_as_their_sum(ending: str, method: str):
    model, x, one = tail(ending), pictures(2), np.eye(5)
    targets = [one[1] + one[3], one[0] - one[1] - one[3]]
    found = raw_maps(model, x, [5, 2 * 6 + 0 * 6 + 5], method=method, layer="r2", groups={"both": [1, 3]})
    agree(found, loop(method, model, x, layer="r2", targets=targets))


def as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all that lies above a layer run again."""
    monkeypatch.setattr(Question, "columns", None)
    monkeypatch.setattr(without, "linear_of", lambda *_: None)
    monkeypatch.setattr(without, "layout_behind", lambda *_: None)


@pytest.mark.parametrize("ending", ENDINGS)
def test_half_precision_differs_no_more_than_its_rounding(ending: str, monkeypatch: pytest.MonkeyPatch):
    model, x = halved(tail(ending)), pictures(2).astype(np.float16)
    found = raw_maps(model, x, [3, 1], method="ablationcam", layer="r2")
    as_a_whole(monkeypatch)
    expected = raw_maps(model, x, [3, 1], method="ablationcam", layer="r2")
    for one, other in zip(found, expected, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("method", "like"), [("ablationcam", None), ("reciprocam", None), ("ablationcam", "pytorch-grad-cam")]
)
def test_several_layers_and_open_sizes_change_nothing(method: str, like: str | None, monkeypatch: pytest.MonkeyPatch):
    model, x = tail("Conv, Relu, mean", x="float[N,3,H,W] x"), pictures(2, 3, 12, 20)
    options = {"method": method, "layer": ["r2", "p1", "r1"], "like": like}
    found = heatmaps(model, x, **options)
    as_a_whole(monkeypatch)
    np.testing.assert_allclose(found, heatmaps(model, x, **options), atol=1e-4)


def heatmaps(model: onnx.ModelProto, x: Array, **options: Any) -> Array:
    """Ours, [0, 1]."""
    return run(onnxcam.convert(model, **options).model, {"x": x, "target": np.array([3, 1])})["heatmap"]


def uses(model: onnx.ModelProto, op_type: str, weights: str) -> int:
    """How many nodes of that kind read the weights."""
    return sum(node.op_type == op_type and weights in node.input for node in model.graph.node)


@pytest.mark.parametrize("ending", ["Conv, Relu, mean", "gate of channels"])
def test_of_the_last_layer_only_the_column_is_computed_again(ending: str):
    model = onnxcam.convert(tail(ending), method="ablationcam", layer="p1").model
    # Of the picture, and of zeros for its bias.
    assert uses(model, "Conv", "wc") == 2
    assert uses(model, "Conv", "w2") == 2


@pytest.mark.parametrize(
    ("ending", "op_type", "weights"),
    [
        ("Conv behind the mean", "Conv", "wh"),
        ("two dense layers", "Gemm", "w8"),
        ("residual sum", "Conv", "wr"),
        ("norm, activation and pool first", "Conv", "wd"),
    ],
)
def test_a_layer_that_reads_the_channels_is_not_run_for_each(ending: str, op_type: str, weights: str):
    model = onnxcam.convert(tail(ending), method="ablationcam", layer="r2").model
    # The depthwise one leaves channels apart: once for the picture, once for what channels are filled with.
    assert uses(model, op_type, weights) == (2 if weights == "wd" else 1)


@pytest.mark.parametrize(("is_multi", "chunks"), [(False, 1), (True, 8)])
def test_a_chunk_holds_the_columns_of_as_many_variants_as_it_may(
    is_multi: bool, chunks: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reruns, "CHUNK_BYTES", 2 * 32 * 8 * 8 * 4)  # two terms, 32 targets, 8 × 8 places
    model = onnxcam.convert(tail("Conv, Relu, mean"), method="ablationcam", layer="r2", multi_target=is_multi).model
    assert sum(node.op_type == "GlobalAveragePool" for node in model.graph.node) == 1 + chunks
