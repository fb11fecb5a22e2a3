"""Rules in the types that models come in: float32 at the sizes of real models, float16, quantised integers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from conformance import Array

from onnxcam.autodiff import differentiate
from onnxcam.errors import TrainingModeBatchNormalization
from onnxcam.graph import Tape
from onnxcam.graph.opset import to_opset_18

TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "uint8": np.uint8, "int8": np.int8}


def evaluate(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return list(onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds))


def gradient(text: str, *, cotangent: Array, **tensors: Array) -> list[Array]:
    """y of the ONNX text, then the gradient by each tensor, all as ONNX Runtime computes them."""
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    inputs = ", ".join(f"{names[x.dtype]}[{','.join(map(str, x.shape))}] {key}" for key, x in tensors.items())
    kind = names[next(iter(tensors.values())).dtype]
    shape = ",".join(map(str, cotangent.shape))
    opsets = '"" : 18, "com.microsoft" : 1'
    model = onnx.parser.parse_model(
        f"<ir_version: 8, opset_import: [{opsets}]> g ({inputs}) => ({kind}[{shape}] y) {{ {text} }}"
    )
    if "com.microsoft" in text:
        to_opset_18(model)
    tape = Tape(model)
    seed = tape.add_input("cotangent", cotangent.dtype, cotangent.shape)
    for name, value in zip(
        tensors, differentiate({tape.value("y"): seed}, list(map(tape.value, tensors))), strict=True
    ):
        assert value is not None
        tape.add_output(value, f"gradient_{name}")
    return evaluate(tape.model, {**tensors, "cotangent": cotangent})


def relative(found: Array, expected: Array) -> float:
    return float(np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected))


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_training_mode_is_refused():
    parameters = {name: np.ones(2, np.float32) for name in "sbmv"}
    text = "y, p, q = BatchNormalization<training_mode=1>(x, s, b, m, v)"
    with pytest.raises(TrainingModeBatchNormalization, match=r"model\.eval"):
        gradient(text, cotangent=normal(2, 2, 3), x=normal(2, 2, 3), **parameters)


FLOAT16_CASES = {
    # Sums of squares leave float16's range, 65504, at elements of 256.
    "LayerNormalization of large elements": ("y = LayerNormalization(x, s, b)", 400.0),
    "InstanceNormalization of large elements": ("y = InstanceNormalization(x, s, b)", 400.0),
    "GroupNormalization of large elements": ("y = GroupNormalization<num_groups=4>(x, s, b)", 400.0),
    "FastGelu of large elements": ("t = Mul(x, s); y = com.microsoft.FastGelu(t, b)", 400.0),
    "Softmax": ("t = Softmax(x); u = Add(t, s); y = Mul(u, b)", 1.0),
    "Mish of large elements": ("t = Mish(x); u = Add(t, s); y = Mul(u, b)", 100.0),
}


@pytest.mark.parametrize("case", FLOAT16_CASES, ids=str)
def test_float16_gradients_follow_those_of_float32(case: str):
    text, size = FLOAT16_CASES[case]
    rng = np.random.default_rng(0)
    x, s, b, g = (rng.normal(size=shape).astype(np.float16) for shape in ((2, 4, 4), (4,), (4,), (2, 4, 4)))
    half = {"x": (x * size).astype(np.float16), "s": s, "b": b}
    found = gradient(text.replace(";", "\n"), cotangent=g, **half)
    single = {name: value.astype(np.float32) for name, value in half.items()}
    expected = gradient(text.replace(";", "\n"), cotangent=g.astype(np.float32), **single)
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert relative(ours, theirs) < 1e-2


@pytest.mark.parametrize("op", ["Relu", "Max", "Clip", "ReduceMax"])
def test_quantised_elements_carry_float_gradients(op: str):
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 18]> g (int8[4] x) => (int8[4] y)
        <int8 low = {{-3}}, int64[1] axes = {{0}}> {{ y = {op}({"x, axes" if "Reduce" in op else "x, low"}) }}
    """.replace("Relu(x, low)", "Relu(x)")
    )
    tape = Tape(model)
    seed = tape.add_input("cotangent", np.float32, (1,) if "Reduce" in op else (4,))
    (found,) = differentiate({tape.value("y"): seed}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "gradient")
    x = np.array([-5, -1, 2, 7], np.int8)
    result = evaluate(tape.model, {"x": x, "cotangent": np.ones(seed.shape, np.float32)})[-1]
    expected = {"Relu": [0, 0, 1, 1], "Max": [0, 1, 1, 1], "Clip": [0, 1, 1, 1], "ReduceMax": [0, 0, 0, 1]}[op]
    assert result.dtype == np.float32
    assert result.tolist() == expected


def test_shapes_survive_where_sizes_are_symbols():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]> g (float[N, 8, H, W] x) => (float[N, 8] y)
        <int64[2] axes = {2, 3}> { a = Sigmoid(x) b = Mul(x, a) y = ReduceMean<keepdims=0>(b, axes) }
    """)
    tape = Tape(model)
    (found,) = differentiate({tape.value("y"): tape.add_input("g", np.float32, ("N", 8))}, [tape.value("x")])
    assert found is not None
    assert found.shape == ("N", 8, "H", "W")
    # Looking at run time for axes that were stretched would leave the GPU.
    assert "NonZero" not in {node.op_type for node in tape.nodes}
