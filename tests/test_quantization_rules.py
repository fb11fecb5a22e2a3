"""Quantised tensors, straight through, against PyTorch's fake quantisation."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from numpy.typing import NDArray

from onnxcam.autodiff import differentiate
from onnxcam.graph import Tape

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
Floats = NDArray[np.float32]
SHAPE = (2, 3, 4, 5)
QDQ = "q = QuantizeLinear(x, s, z); y = DequantizeLinear(q, s, z)"


def gradient_tape(text: str, *, wrt: tuple[str, ...] = ("x",), batch: str = "2", **constants: NDArray) -> Tape:
    """The text's model, grown by cotangent → gradients; the constants in `wrt` are inputs with a default."""
    statements = "\n".join(part.strip() for part in text.split(";"))
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[{batch},3,4,5] x) => (float[] y) {{ {statements} }}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    tape = Tape(model)
    y = tape.value("y")
    seed = tape.add_input("cotangent", np.float32, y.shape)
    for name, found in zip(wrt, differentiate({y: seed}, [tape.value(name) for name in wrt]), strict=True):
        tape.add_output(found, f"gradient_{name}")
    return tape


def run(tape: Tape, x: Floats, g: Floats) -> list[Floats]:
    """y and the gradients."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, {"x": x, "cotangent": g})


def samples(*, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> tuple[Floats, Floats]:
    """An input that goes beyond ±1, and a cotangent."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)


def off_the_ends(x: Floats, scale: Floats, zero: NDArray) -> Floats:
    """The same without those that 0 and 255 stand for exactly, to which PyTorch gives a gradient and we do not."""
    places = np.round(x / scale) + zero
    return np.where((places == 0) | (places == 255), np.float32(0.5) * x, x)


def ops_of(tape: Tape) -> list[str]:
    """The ops that the outputs need."""
    needed, kept = {info.name for info in tape.model.graph.output}, []
    for node in reversed(tape.model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node.op_type)
    return kept


@pytest.mark.parametrize(("kind", "zero", "low", "high"), [(np.uint8, 117, 0, 255), (np.int8, -9, -128, 127)])
def test_a_tensor_s_gradient_is_that_of_fake_quantization(kind: type, zero: int, low: int, high: int):
    x, g = samples()
    scale = np.float32(0.0083)
    tape = gradient_tape(QDQ, s=scale, z=np.array(zero, kind))
    there = torch.tensor(x, requires_grad=True)
    expected = torch.fake_quantize_per_tensor_affine(there, float(scale), zero, low, high)
    expected.backward(torch.tensor(g))
    y, found = run(tape, x, g)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-6)
    assert 0.02 < (there.grad == 0).float().mean() < 0.5, "nothing saturates, so nothing is tested"
    np.testing.assert_allclose(found, there.grad.numpy(), rtol=1e-6)


def test_a_channel_s_gradient_is_that_of_fake_quantization():
    x, g = samples()
    scale, zero = np.array([0.003, 0.01, 0.1], np.float32), np.array([100, 120, 140], np.uint8)
    x = off_the_ends(x, scale.reshape(3, 1, 1), zero.reshape(3, 1, 1))
    tape = gradient_tape(QDQ.replace("Linear(", "Linear<axis=1>("), s=scale, z=zero)
    there = torch.tensor(x, requires_grad=True)
    expected = torch.fake_quantize_per_channel_affine(
        there, torch.tensor(scale), torch.tensor(zero.astype(np.int32)), 1, 0, 255
    )
    expected.backward(torch.tensor(g))
    y, found = run(tape, x, g)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-6)
    assert 0.02 < (there.grad == 0).float().mean() < 0.5, "nothing saturates, so nothing is tested"
    np.testing.assert_allclose(found, there.grad.numpy(), rtol=1e-6)


def test_the_last_axis_counts_from_the_end():
    x, g = samples()
    scale = np.linspace(0.01, 0.05, 5, dtype=np.float32)
    text = "q = QuantizeLinear<axis=-1>(x, s, z); f = Cast<to=1>(q); y = Mul(f, k)"
    tape = gradient_tape(text, s=scale, z=np.full(5, 128, np.uint8), k=np.float32(1))
    inside = np.abs(np.round(x / scale)) < 127
    np.testing.assert_allclose(run(tape, x, g)[1], np.where(inside, g / scale, 0), rtol=1e-6)


def test_the_end_values_count_as_saturated():
    x, g = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    x.reshape(-1)[:4] = 0.0, 0.1, 25.4, 25.5
    found = run(gradient_tape(QDQ, s=np.float32(0.1), z=np.uint8(0)), x, g)[1]
    np.testing.assert_array_equal(found.reshape(-1)[:4], [0, 1, 1, 0])


def test_the_gradient_of_a_scale_is_that_of_learned_fake_quantization():
    x, g = samples(seed=2)
    scale = np.float32(0.0083)
    x = off_the_ends(x, scale, np.array(117))
    tape = gradient_tape(QDQ, wrt=("x", "s"), s=scale, z=np.array(117, np.uint8))
    learned = torch.tensor([float(scale)], requires_grad=True)
    zero = torch.tensor([117.0])
    torch._fake_quantize_learnable_per_tensor_affine(torch.tensor(x), learned, zero, 0, 255, 1.0).backward(
        torch.tensor(g)
    )
    np.testing.assert_allclose(run(tape, x, g)[2], learned.grad.numpy()[0], rtol=1e-4)


def test_a_pair_with_one_scale_leaves_nothing_but_the_mask():
    tape = gradient_tape(QDQ, batch="N", s=np.float32(0.01), z=np.uint8(128))
    assert sorted(ops_of(tape)) == sorted(
        ["Identity", "Where", "And", "Greater", "Less", "Cast", "QuantizeLinear", "DequantizeLinear"]
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("p = Reshape(q, shape)", lambda x: x.reshape(2, 12, 5)),
        ("p = Transpose<perm=[0, 2, 3, 1]>(q)", lambda x: x.permute(0, 2, 3, 1)),
        ("p = Concat<axis=1>(q, q)", lambda x: torch.cat([x, x], 1)),
        ("p = MaxPool<kernel_shape=[2, 2], strides=[2, 1]>(q)", lambda x: torch.nn.functional.max_pool2d(x, 2, (2, 1))),
        ("p = Slice(q, one, far, two)", lambda x: x[:, :, 1:]),
        ("p, rest = Split<axis=1>(q, parts)", lambda x: x[:, :1]),
        ("p = Gather<axis=2>(q, picked)", lambda x: x[:, :, [0, 3, 0]]),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_shape_ops_carry_a_float_gradient_through_integers(text: str, same: object, kind: type):
    x, g = samples(seed=3)
    # Steps as wide as this leave no two equal neighbours, among which MaxPool would have to choose.
    x = (np.random.default_rng(3).permutation(x.size).reshape(SHAPE) - 60).astype(np.float32) * 0.05
    whole = f"q = QuantizeLinear(x, s, z); {text}; y = DequantizeLinear(p, s2, z)"
    constants = {"shape": [0, 12, 5], "one": [1], "far": [9], "two": [2], "parts": [1, 2], "picked": [0, 3, 0]}
    used = {
        name: np.array(value) for name, value in constants.items() if name in text.replace("(", " ").replace(")", ",")
    }
    tape = gradient_tape(
        whole, s=np.float32(0.05), s2=np.float32(0.1), z=np.array(3 if kind == np.int8 else 128, kind), **used
    )
    there = torch.tensor(x, requires_grad=True)
    expected = same(there) * 2
    g = np.random.default_rng(4).normal(size=tuple(expected.shape)).astype(np.float32)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(run(tape, x, g)[1], there.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_dynamic_quantization_is_the_identity_backwards():
    x, g = samples()
    text = "q, s, z = DynamicQuantizeLinear(x); y = DequantizeLinear(q, s, z)"
    np.testing.assert_allclose(run(gradient_tape(text), x, g)[1], g, rtol=1e-6)


def test_dynamic_quantization_divides_by_the_scale_it_found():
    x, g = samples()
    text = "q, s, z = DynamicQuantizeLinear(x); f = Cast<to=1>(q); y = Mul(f, f)"
    span = (max(x.max(), 0) - min(x.min(), 0)) / 255
    y, found = run(gradient_tape(text), x, g)
    np.testing.assert_allclose(found, g * 2 * np.sqrt(y) / span, rtol=1e-5)


MOVED = [
    # what lies between the integers and their requantisation, and the same in PyTorch
    ("p = MaxPool<kernel_shape=[2, 2], strides=[2, 1]>(a)", lambda a: torch.nn.functional.max_pool2d(a, 2, (2, 1))),
    ("p = Concat<axis=1>(a, a)", lambda a: torch.cat([a, a], 1)),
    ("p = AveragePool<kernel_shape=[2, 2]>(a)", lambda a: torch.nn.functional.avg_pool2d(a, 2, 1)),
]


@pytest.mark.parametrize(("text", "same"), MOVED)
def test_zero_is_no_saturation_where_nothing_can_be_below_it(text: str, same: object):
    zero, scale = np.array(0, np.uint8), np.float32(0.1)
    tape = gradient_tape(
        f"r = QuantizeLinear(x, s, z); a = DequantizeLinear(r, s, z); {text}; {QDQ.replace('(x', '(p')}",
        wrt=("a",), s=scale, z=zero,
    )  # fmt: skip
    x = np.maximum(samples()[0], 0)  # half of it zero
    a = torch.tensor(np.round(x / scale) * scale, requires_grad=True)
    expected = torch.fake_quantize_per_tensor_affine(same(a), float(scale), 0, 0, 255)
    g = samples(shape=tuple(expected.shape), seed=5)[1]
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(run(tape, x, g)[1], a.grad.numpy(), rtol=1e-6, atol=1e-7)
