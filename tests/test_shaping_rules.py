"""Shaping and indexing beyond the table: clean graphs for an open batch, float16, real sizes, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import onnxruntime
import pytest
from numpy.typing import NDArray

import onnxcam
from onnxcam.autodiff import differentiate
from onnxcam.errors import RandomDropout
from onnxcam.graph import Tape


def gradient_tape(text: str, *, x: str, kind: str = "float", **constants: NDArray | list) -> Tape:
    statements = "\n".join(part.strip() for part in text.split(";"))
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g ({kind}[{x}] x) => ({kind}[] y) {{ {statements} }}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for name, array in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    tape = Tape(model)
    y = tape.value("y")
    seed = tape.add_input("cotangent", y.dtype, y.shape)
    (found,) = differentiate({y: seed}, [tape.value("x")])
    tape.add_output(found, "gradient")
    return tape


def run(tape: Tape, x: NDArray, g: NDArray) -> NDArray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(["gradient"], {"x": x, "cotangent": g})[0]


def gradient_ops(tape: Tape) -> list[str]:
    """The ops between the cotangent and the gradient."""
    needed, kept = {"gradient"}, []
    for node in reversed(tape.model.graph.node):
        if needed.intersection(node.output) and node.name != "gradient" and "gradient/" in node.name:
            kept.append(node.op_type)
        if needed.intersection(node.output):
            needed.update(node.input)
    return kept[::-1]


CLEAN = [
    ("Reshape", "y = Reshape(x, s)", {"s": [0, -1]}, ["Reshape"]),
    ("Flatten", "y = Flatten(x)", {}, ["Reshape"]),
    ("Squeeze", "r = Unsqueeze(x, a); y = Squeeze(r, a)", {"a": [2, 3]}, ["Unsqueeze", "Squeeze"]),
    ("Concat", "r = Relu(x); y = Concat<axis=1>(x, r)", {}, ["Split", "Greater", "Where", "Add"]),
    ("Concat with a constant", "y = Concat<axis=1>(x, k)", {"k": np.ones((1, 2, 6, 6), np.float32)}, ["Slice"]),
    ("Split", "a, b = Split<axis=1, num_outputs=2>(x); y = Mul(a, b)", {}, ["Mul", "Mul", "Concat"]),
    ("Split, one part", "y, b = Split<axis=1, num_outputs=2>(x)", {}, ["Pad"]),
    ("Slice", "y = Slice(x, s, e, a)", {"s": [1], "e": [3], "a": [1]}, ["Pad"]),
    ("Slice, negative", "y = Slice(x, s, e, a)", {"s": [-3], "e": [2**31 - 1], "a": [2]}, ["Pad"]),
    ("Gather, class token", "y = Gather<axis=1>(x, i)", {"i": 0}, ["Unsqueeze", "Pad"]),
    ("Gather, shuffle", "y = Gather<axis=1>(x, i)", {"i": [2, 0, 3, 1]}, ["Gather"]),
    ("Pad", "y = Pad(x, p)", {"p": [0, 0, 1, 1, 0, 0, 2, 2]}, ["Slice"]),
    ("Tile", "y = Tile(x, r)", {"r": [1, 1, 2, 2]}, ["Reshape", "ReduceSum"]),
    ("DepthToSpace", 'y = DepthToSpace<blocksize=2, mode="CRD">(x)', {}, ["SpaceToDepth", "Gather"]),
]


@pytest.mark.parametrize(("text", "constants", "ops"), [case[1:] for case in CLEAN], ids=[case[0] for case in CLEAN])
def test_an_open_batch_needs_no_arithmetic_on_shapes(text: str, constants: dict, ops: list[str]):
    found = gradient_ops(gradient_tape(text, x="N,4,6,6", **constants))
    assert found == ops


def test_strided_slices_of_an_open_batch_read_only_the_shape_of_their_zeros():
    constants = {"s": [0, 1], "e": [2**31 - 1] * 2, "a": [2, 3], "t": [2, 2]}
    found = gradient_ops(gradient_tape("y = Slice(x, s, e, a, t)", x="N,4,6,6", **constants))
    assert found.count("Shape") <= 2
    assert not {"Pad", "ScatterND", "ScatterElements"} & set(found)


@pytest.mark.parametrize(
    ("text", "constants", "expected"),
    [
        ("y = Gather(x, i)", {"i": [1, 1, 0, 1]}, [1.0, 3.0, 0.0]),
        ("y = GatherElements(x, i)", {"i": [1, 1, 0, 1]}, [1.0, 3.0, 0.0]),
        ("y = GatherND(x, i)", {"i": [[1], [1], [0], [1]]}, [1.0, 3.0, 0.0]),
        ('y = Pad<mode="reflect">(x, p)', {"p": [0, 1]}, [1.0, 2.0, 1.0]),
        ("y = Slice(x, s, e, a, t)", {"s": [0], "e": [3], "a": [0], "t": [2]}, [1.0, 0.0, 1.0]),
        ("y, i = TopK(x, k)", {"k": [2]}, [1.0, 0.0, 1.0]),
        ("c = Cast<to=1>(x); y = Cast<to=10>(c)", {}, [1.0, 1.0, 1.0]),
    ],
)
def test_float16_stays_float16(text: str, constants: dict, expected: list[float]):
    tape = gradient_tape(text, x="3", kind="float16", **constants)
    x = np.array([2, 1, 3], np.float16)
    ones = np.ones(
        [
            d.dim_value
            for d in next(i for i in tape.model.graph.input if i.name == "cotangent").type.tensor_type.shape.dim
        ],
        np.float16,
    )
    found = run(tape, x, ones)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, expected)


REAL = [
    (
        "YOLO's focus",
        "y = Slice(x, s, e, a, t)",
        {"s": [1, 0], "e": [2**31 - 1] * 2, "a": [2, 3], "t": [2, 2]},
        "x[:, :, 1::2, ::2]",
    ),
    ("pixel shuffle", 'y = DepthToSpace<blocksize=2, mode="CRD">(x)', {}, "torch.nn.functional.pixel_shuffle(x, 2)"),
    (
        "reflection",
        'y = Pad<mode="reflect">(x, p)',
        {"p": [0, 0, 3, 2, 0, 0, 1, 3]},
        "torch.nn.functional.pad(x, (2, 3, 3, 1), mode='reflect')",
    ),
    (
        "replication",
        'y = Pad<mode="edge">(x, p)',
        {"p": [0, 0, 3, 2, 0, 0, 1, 3]},
        "torch.nn.functional.pad(x, (2, 3, 3, 1), mode='replicate')",
    ),
    (
        "a table of rows",
        "y = Gather<axis=2>(x, i)",
        {"i": np.arange(60).reshape(6, 10) % 37},
        "x[:, :, torch.arange(60).reshape(6, 10) % 37]",
    ),
    ("the best 20", "y, i = TopK<axis=2>(x, k)", {"k": [20]}, "x.topk(20, dim=2).values"),
]


@pytest.mark.parametrize("sizes", ["2,8,56,56", "N,8,56,56", "N,C,H,W"])
@pytest.mark.parametrize(("text", "constants", "same"), [case[1:] for case in REAL], ids=[case[0] for case in REAL])
def test_real_sizes_agree_with_pytorch(text: str, constants: dict, same: str, sizes: str):
    torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
    x = np.random.default_rng(0).normal(size=(2, 8, 56, 56)).astype(np.float32)
    there = torch.tensor(x, requires_grad=True)
    y = eval(same, {"torch": torch, "x": there})
    g = np.random.default_rng(1).normal(size=tuple(y.shape)).astype(np.float32)
    y.backward(torch.tensor(g))
    found = run(gradient_tape(text, x=sizes, **constants), x, g)
    np.testing.assert_allclose(found, there.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_dropout_in_training_mode_is_refused():
    with pytest.raises(RandomDropout, match=r"training mode.*Export the model for inference"):
        gradient_tape("y, m = Dropout(x, r, t)", x="3", r=np.float32(0.5), t=np.array(True))


def test_slices_taken_many_times_add_up_on_several_threads():
    """ONNX Runtime's ScatterND(add) loses sums here."""
    picked = np.random.default_rng(0).integers(0, 784, 20000)
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[784,64] x) => (float[20000,64] y) { y = Gather(x, i) }'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(picked, "i"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 4
    session = onnxruntime.InferenceSession(onnxcam.gradient(model).SerializeToString(), options)
    feeds = {"x": np.zeros((784, 64), np.float32), "cotangent": np.ones((20000, 64), np.float32)}
    expected = np.bincount(picked, minlength=784)[:, None].repeat(64, 1)
    for _ in range(5):
        np.testing.assert_array_equal(session.run(["gradient/x"], feeds)[0], expected)
