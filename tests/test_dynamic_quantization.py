"""Models that quantise while they run, as ONNX Runtime's quantize_dynamic writes them: explained as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from conformance import run_in_reference
from onnx import ModelProto
from onnx_runs import Array, model, run

import onnxcam
from onnxcam.autodiff import differentiate
from onnxcam.graph import Tape, load

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
RNG = np.random.default_rng(3)
W1 = RNG.normal(size=(5, 3, 3, 3)).astype(np.float32)
W2 = (RNG.normal(size=(5, 4)) * [0.1, 1, 3, 0.5]).astype(np.float32)
X = RNG.normal(size=(2, 3, 7, 6)).astype(np.float32)


def network() -> ModelProto:
    """Conv, Relu, mean, MatMul, Tanh: (N, 3, H, W) → (N, 4)."""
    proto = model("""(float[N, 3, H, W] x) => (float[N, 4] y) <int64[2] a = {2, 3}, float[4] b = {0.1, -0.2, 0.3, 0}>
        { c = Conv <pads = [1, 0, 1, 2], strides = [2, 1]> (x, w1) r = Relu (c) m = ReduceMean <keepdims = 0> (r, a)
          d = MatMul (m, w2) e = Add (d, b) y = Tanh (e) }""", opset=18)  # fmt: skip
    for name, array in (("w1", W1), ("w2", W2)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def quantized(tmp_path: Path, *, is_signed: bool, per_channel: bool) -> ModelProto:
    tools = pytest.importorskip("onnxruntime.quantization")
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(network(), source)
    kind = tools.QuantType.QInt8 if is_signed else tools.QuantType.QUInt8
    tools.quantize_dynamic(source, target, weight_type=kind, per_channel=per_channel)
    return onnx.load(target)


def gradient(proto: ModelProto, x: Array, g: Array) -> tuple[Array, Array]:
    """The output and dx for the cotangent g, as ONNX Runtime computes them."""
    tape = Tape(load(proto).proto)
    seed = tape.add_input("g", np.float32, ["N", *g.shape[1:]])
    (found,) = differentiate({tape.outputs[0]: seed}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    y, dx = run(tape.model, {"x": x, "g": g})
    return y, dx


def straight_through(x: Any) -> Any:
    """x on the grid of 256 steps from its least to its largest number, 0 among them; the gradient passes as it is."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = ((high - low) / 255).detach()
    zero = torch.round(-low / scale).clamp(0, 255).detach()
    on_grid = (torch.clamp(torch.round(x / scale) + zero, 0, 255) - zero) * scale
    return x + (on_grid - x).detach()


def weights(proto: ModelProto, name: str) -> Any:
    """The numbers that the model's integers stand for."""
    found = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    integers, scale, zero = (
        found[f"{name}_{part}"].astype(np.float64) for part in ("quantized", "scale", "zero_point")
    )
    if scale.ndim and scale.size > 1 and name == "w1":
        scale, zero = (part.reshape(-1, 1, 1, 1) for part in (scale, zero))
    return torch.tensor((integers - zero) * scale)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_dynamically_quantised_network_is_explained_as_it_is(tmp_path: Path, is_signed: bool, per_channel: bool):
    proto = quantized(tmp_path, is_signed=is_signed, per_channel=per_channel)
    assert {"ConvInteger", "MatMulInteger"} <= {node.op_type for node in proto.graph.node}
    g = RNG.normal(size=(2, 4)).astype(np.float32)
    y, dx = gradient(proto, X, g)
    np.testing.assert_array_equal(y, run(proto, {"x": X})[0])

    leaf = torch.tensor(X.astype(np.float64), requires_grad=True)
    padded = torch.nn.functional.pad(straight_through(leaf), (0, 2, 1, 1))
    c = torch.nn.functional.conv2d(padded, weights(proto, "w1"), stride=(2, 1))
    m = c.relu().mean((2, 3))
    e = straight_through(m) @ weights(proto, "w2") + torch.tensor([0.1, -0.2, 0.3, 0.0], dtype=torch.float64)
    e.tanh().backward(torch.tensor(g.astype(np.float64)))
    expected = leaf.grad.numpy()
    assert np.linalg.norm(dx - expected) <= 1e-5 * np.linalg.norm(expected)


def test_loading_keeps_the_integer_ops_and_every_bit_of_the_output(tmp_path: Path):
    proto = quantized(tmp_path, is_signed=True, per_channel=True)
    loaded = load(proto).proto
    assert {"ConvInteger", "MatMulInteger"} <= {node.op_type for node in loaded.graph.node}
    np.testing.assert_array_equal(run(loaded, {"x": X})[0], run(proto, {"x": X})[0])


def test_the_default_layer_is_that_of_the_float_model(tmp_path: Path):
    assert onnxcam.layers(network())[0].tensor == "r"
    assert onnxcam.layers(quantized(tmp_path, is_signed=True, per_channel=False))[0].tensor == "r"


A = RNG.integers(0, 256, (2, 3, 6)).astype(np.uint8)
B = {np.uint8: RNG.integers(0, 256, (6, 4)).astype(np.uint8), np.int8: RNG.integers(-128, 128, (6, 4)).astype(np.int8)}


@pytest.mark.parametrize("zero", [None, np.array(7), np.array([3, 0, -5, 9])], ids=["none", "one", "of each column"])
@pytest.mark.parametrize("has_bias", [False, True])
def test_the_joined_op_of_the_runtime_is_explained_too(zero: Array | None, has_bias: bool):
    scale = np.array([0.01, 0.02, 0.005, 0.03], np.float32)
    constants = {"b": B[np.int8], "s": scale, "c": np.arange(4, dtype=np.float32)}
    given = ("z" if zero is not None else "") + (", c" if has_bias else "")
    text = f"y = com.microsoft.DynamicQuantizeMatMul (x, b, s{', ' * bool(given)}{given})"
    if zero is not None:
        constants["z"] = zero.astype(np.int8)
        constants["s"] = scale if zero.ndim else np.array(0.02, np.float32)
    proto = with_constants(f"(float[N, 3, 6] x) => (float[N, 3, 4] y) {{ {text} }}", constants)
    x, g = RNG.normal(size=(2, 3, 6)).astype(np.float32), RNG.normal(size=(2, 3, 4)).astype(np.float32)
    y, dx = gradient(proto, x, g)
    np.testing.assert_array_equal(y, run(proto, {"x": x})[0])
    real = (B[np.int8].astype(np.float64) - (0 if zero is None else zero)) * constants["s"]
    np.testing.assert_allclose(dx, g @ real.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_the_gradient_of_the_scales_of_a_joined_product_is_their_part_in_it(kind: type):
    """Of what else can be wanted: the scale and the bias, here inputs."""
    proto = with_constants(
        """(float s, float[4] t, float[4] c) => (float[2, 3, 4] y)
        { y = com.microsoft.MatMulIntegerToFloat (a, b, s, t, z, , c) }""",
        {"a": A, "b": B[kind], "z": np.array(120, np.uint8)},
    )
    s, t = np.array(0.03, np.float32), np.array([0.01, 0.02, 0.03, 0.04], np.float32)
    c, g = np.ones(4, np.float32), RNG.normal(size=(2, 3, 4)).astype(np.float32)
    tape = Tape(load(proto).proto)
    seed = tape.add_input("g", np.float32, g.shape)
    for name, found in zip("stc", differentiate({tape.outputs[0]: seed}, list(map(tape.value, "stc"))), strict=True):
        assert found is not None
        tape.add_output(found, f"d{name}")
    _, ds, dt, dc = run(tape.model, {"s": s, "t": t, "c": c, "g": g})
    product = (A.astype(np.float64) - 120) @ B[kind].astype(np.float64)
    np.testing.assert_allclose(ds, (g * product * t).sum(), rtol=1e-4)
    np.testing.assert_allclose(dt, (g * product * s).sum((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(dc, g.sum((0, 1)), rtol=1e-4)


def test_zero_points_of_rows_and_columns_count_in_the_gradient():
    proto = with_constants(
        """(float[3, 6] x) => (float[3, 4] y) <float s = {0.02}, uint8 z = {100}, float f = {1.0}>
        { q = QuantizeLinear (x, s, z) i = MatMulInteger (q, b, r, k) y = Cast <to = 1> (i) }""",
        {"b": B[np.uint8], "r": np.array([[100], [90], [110]], np.uint8), "k": np.array([3, 100, 0, 9], np.uint8)},
    )
    x, g = RNG.normal(size=(3, 6)).astype(np.float32), RNG.normal(size=(3, 4)).astype(np.float32)
    # ONNX Runtime (1.31) has zero points of columns only; the standard has those of rows too.
    tape = Tape(load(proto).proto)
    seed = tape.add_input("g", np.float32, g.shape)
    (found,) = differentiate({tape.outputs[0]: seed}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    (dx,) = run_in_reference(tape.model, {"x": x, "g": g}, ["dx"])
    np.testing.assert_allclose(dx, g @ (B[np.uint8] - np.array([3.0, 100, 0, 9])).T / 0.02, rtol=1e-4)


def with_constants(text: str, constants: dict[str, Array]) -> ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18, "com.microsoft": 1]> g {text}')
    for name, array in constants.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto
