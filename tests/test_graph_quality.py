"""What is appended to a model: no more than it takes, under names that say what it is."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.parser
import onnx.shape_inference
import pytest
from onnx import ModelProto, NodeProto
from small_nets import Array, run

import onnxcam
from onnxcam.graph import Tape, load

SIZES = ("N,3,32,32", "N,3,H,W")
WEIGHTS = {
    "w1": (8, 3, 3, 3), "scale": (8,), "shift": (8,), "mean": (8,), "variance": (8,), "w2": (16, 8, 3, 3), "b2": (16,),
    "w3": (16, 8, 1, 1), "w4": (16, 1, 3, 3), "w5": (4, 16, 1, 1), "w6": (16, 4, 1, 1), "w7": (5, 16), "b7": (5,),
}  # fmt: skip
# A norm that is not merged, a shortcut with stride, a depthwise convolution, SiLU, a gate over channels.
RESIDUAL = """
  c1 = Conv<pads=[1,1,1,1]>(x, w1)
  n1 = BatchNormalization(c1, scale, shift, mean, variance)
  r1 = Relu(n1)
  p1 = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(r1)
  c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(p1, w2, b2)
  c3 = Conv<strides=[2,2]>(p1, w3)
  a1 = Add(c2, c3)
  r2 = Relu(a1)
  c4 = Conv<group=16, pads=[1,1,1,1], strides=[2,2]>(r2, w4)
  s4 = Sigmoid(c4)
  y4 = Mul(c4, s4)
  m5 = ReduceMean<keepdims=1>(y4, space)
  c5 = Conv(m5, w5)
  r5 = Relu(c5)
  c6 = Conv(r5, w6)
  s6 = Sigmoid(c6)
  y6 = Mul(y4, s6)
  gap = GlobalAveragePool(y6)
  flat = Flatten(gap)
  y = Gemm<transB=1>(flat, w7, b7)
"""


def net(size: str = SIZES[0]) -> ModelProto:
    """The net above, with random weights."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[{size}] x) => (float[N,5] y) {{ {RESIDUAL} }}'
    model, rng = onnx.parser.parse_model(text), np.random.default_rng(0)
    for name, shape in WEIGHTS.items():
        values = rng.normal(0.1, 0.4, shape).astype(np.float32)
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(abs(values) if name == "variance" else values, name)
        )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3]), "space"))
    return model


@pytest.fixture(scope="module", params=SIZES)
def gradient(request: pytest.FixtureRequest) -> ModelProto:
    return onnxcam.gradient(net(request.param))


def added(model: ModelProto) -> list[NodeProto]:
    """The nodes behind those of the net."""
    return [node for node in model.graph.node if node.output[0].startswith("gradient/")]


def ops(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in added(model))


def test_nothing_is_computed_twice(gradient: ModelProto):
    alike = Counter(
        (node.op_type, tuple(node.input), str(sorted(node.attribute, key=lambda a: a.name)))
        for node in gradient.graph.node
        if node.op_type != "Identity"
    )
    assert max(alike.values()) == 1


def test_what_the_model_computes_is_not_computed_again(gradient: ModelProto):
    assert ops(gradient)["Sigmoid"] == 0


def test_no_constant_is_made_of_zeros(gradient: ModelProto):
    given = {tensor.name for tensor in net().graph.initializer}
    arrays = [onnx.numpy_helper.to_array(t) for t in gradient.graph.initializer if t.name not in given]
    assert arrays
    assert all(array.size <= 8 or array.any() for array in arrays)


def test_no_weight_is_there_twice(gradient: ModelProto):
    before, after = (sum(map(np.prod, (t.dims for t in model.graph.initializer))) for model in (net(), gradient))
    assert after < before + 200


def test_with_known_sizes_no_arithmetic_on_shapes_is_left():
    found = ops(onnxcam.gradient(net()))
    assert not found.keys() & {"Gather", "ConstantOfShape", "Size", "Range", "NonZero"}
    # The batch is open: what is stretched over space asks for it.
    assert found["Shape"] <= 3


def test_with_open_sizes_no_axis_is_looked_for_at_run_time():
    assert ops(onnxcam.gradient(net("N,3,H,W")))["NonZero"] == 0


def test_no_gradient_of_a_weight_is_computed(gradient: ModelProto):
    made = {name: node for node in gradient.graph.node for name in node.output}

    def is_constant(name: str) -> bool:
        return name not in ("x", "cotangent") and (name not in made or all(map(is_constant, made[name].input)))

    products = [node for node in added(gradient) if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")]
    assert len(products) >= 7
    assert all(is_constant(node.input[1]) for node in products)


def test_the_factor_of_a_norm_is_part_of_the_kernel(gradient: ModelProto):
    (back,) = (node for node in added(gradient) if node.op_type == "Conv" and node.output[0].startswith("gradient/c1/"))
    assert back.input[0] == "gradient/r1/Where"


def test_names_say_which_tensor_a_node_belongs_to(gradient: ModelProto):
    tensors = {name for node in net().graph.node for name in node.output} | {"x"}
    for node in added(gradient):
        parts = re.fullmatch(r"gradient/(\w+)(/[A-Z]\w+)?", node.output[0])
        assert parts
        assert parts[1] in tensors
        assert node.name == node.output[0]


def test_added_nodes_are_marked_and_the_models_own_are_not(gradient: ModelProto):
    marks = {node.output[0]: {entry.key: entry.value for entry in node.metadata_props} for node in gradient.graph.node}
    assert marks["gradient/r1/Where"] == {"onnxcam": "gradient/r1"}
    assert {name for name, mark in marks.items() if mark} == {node.output[0] for node in added(gradient)}


def test_the_result_passes_the_full_check(gradient: ModelProto):
    onnx.checker.check_model(gradient, full_check=True)


def test_the_shapes_of_gradients_can_be_read_off(gradient: ModelProto):
    inferred = onnx.shape_inference.infer_shapes(gradient, data_prop=True).graph.value_info
    dims = {info.name: [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in inferred}
    assert dims["gradient/r2/Where"] == dims["r2"]
    assert dims["gradient/r1/Where"] == dims["r1"]


def test_its_nodes_are_few():
    """onnx-ad 0.3.0 takes 13 nodes and more for a node of ResNet-18 (652 for 49)."""
    assert len(added(onnxcam.gradient(net()))) <= 5 * len(net().graph.node)


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_one_file_is_right_at_several_sizes(size: tuple[int, int]):
    model = onnxcam.gradient(net("N,3,H,W"))
    x = np.random.default_rng(1).normal(size=(2, 3, *size)).astype(np.float32)
    cotangent = np.random.default_rng(2).normal(size=(2, 5)).astype(np.float32)
    g = run(model, {"x": x, "cotangent": cotangent})["gradient/x"]
    step = 0.005 * g / np.linalg.norm(g)
    up, down = (run(net("N,3,H,W"), {"x": x + side * step})["y"] for side in (1, -1))
    np.testing.assert_allclose(((up - down) * cotangent).sum() / 0.01, np.linalg.norm(g), rtol=0.02)


def silu(x: Array) -> ModelProto:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) { s = Sigmoid(x) y = Mul(s, x) }'
    return onnx.parser.parse_model(text)


X = np.linspace(-30.0, 30.0, 601).astype(np.float32)


def test_silu_takes_four_nodes_and_is_exact():
    model = onnxcam.gradient(silu(X))
    s = 1.0 / (1.0 + np.exp(-X.astype(np.float64)))
    found = run(model, {"x": X, "cotangent": np.ones_like(X)})["gradient/x"]
    np.testing.assert_allclose(found, s * (1.0 + X * (1.0 - s)), atol=3e-6)
    assert ops(model).total() == 5  # an Identity gives the output its name


def test_silu_whose_sigmoid_is_asked_for_is_no_single_node():
    found = run(onnxcam.gradient(silu(X), wrt=["s", "x"]), {"x": X, "cotangent": np.ones_like(X)})
    s = 1.0 / (1.0 + np.exp(-X.astype(np.float64)))
    np.testing.assert_allclose(found["gradient/s"], X)
    np.testing.assert_allclose(found["gradient/x"], s * (1.0 + X * (1.0 - s)), atol=3e-6)


SYMBOLS = [
    # what computes y,                                                          x
    ("Conv<strides=[2,2], pads=[1,1,1,1]>(x, w)", "N,2,H,W"),
    ("Conv<strides=[3,1], dilations=[2,1], pads=[2,0,1,0]>(x, w)", "N,2,H,W"),
    ('Conv<strides=[2,2], auto_pad="SAME_UPPER">(x, w)', "N,2,H,W"),
    ('Conv<strides=[2,3], auto_pad="VALID">(x, w)', "N,2,H,W"),
    ("MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", "N,2,H,W"),
    ("AveragePool<kernel_shape=[2,3], strides=[2,1]>(x)", "N,2,H,W"),
]


@pytest.mark.parametrize(("text", "size"), SYMBOLS, ids=[text for text, _ in SYMBOLS])
@pytest.mark.parametrize("repeat", [1, 2])
def test_sizes_behind_windows_are_what_they_are_said_to_be(text: str, size: str, repeat: int):
    body = " ".join(f"t{i + 1} = {text.replace('(x', f'(t{i}')}" for i in range(repeat))
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[{size}] x) => (float[a,b,c,d] y) '
        f"{{ t0 = Identity(x) {body} y = Identity(t{repeat}) }}"
    )
    w = np.ones((2, 2, 3, 3), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    told = Tape(load(model).proto).value(f"t{repeat}").shape
    assert told is not None
    for h, width in ((24, 29), (31, 26), (25, 40)):
        y = run(model, {"x": np.zeros((1, 2, h, width), np.float32)})["y"]
        assert [eval(str(dim), {"N": 1, "H": h, "W": width}) for dim in told] == list(y.shape)


def test_pools_that_round_up_say_nothing():
    text = "y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[N,2,H,W] x) => (float y) {{ {text} }}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    shape = Tape(model).value("y").shape
    assert shape is not None
    assert all(dim is None or str(dim).startswith("unk__") for dim in shape[2:])
