"""Gradients of ONNX text through ONNX Runtime, in the types and sizes of real models."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import onnxruntime
from numpy.typing import NDArray

from onnxcam.autodiff import differentiate
from onnxcam.graph import Tape

Array = NDArray[Any]
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float16): "float16", np.dtype(np.int8): "int8"}


def evaluate(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return list(onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds))


def outcome(text: str, *, symbolic: int = 1, **tensors: Array) -> Array:
    """The output y of the ONNX text."""
    return evaluate(_model(text, tensors, symbolic), tensors)[0]


def gradients(text: str, cotangent: Array, *, symbolic: int = 1, **tensors: Array) -> list[Array]:
    """The gradient by each tensor; of all of them, the first `symbolic` sizes are symbols."""
    tape = Tape(_model(text, tensors, symbolic))
    y = tape.value("y")
    seed = tape.add_input("cotangent", cotangent.dtype, y.shape or ())
    found = differentiate({y: seed}, [tape.value(name) for name in tensors])
    for name, value in zip(tensors, found, strict=True):
        assert value is not None
        tape.add_output(value, f"gradient_{name}")
    return evaluate(tape.model, {**tensors, "cotangent": cotangent})[1:]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def error(found: Array, expected: Array) -> float:
    """The largest difference, relative to the largest value."""
    assert found.shape == expected.shape
    return float(np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max())


def _model(text: str, tensors: dict[str, Array], symbolic: int) -> onnx.ModelProto:
    """The sizes of weights, all tensors but the first, are known whatever `symbolic` says."""
    declared = []
    for place, (name, x) in enumerate(tensors.items()):
        sizes = [f"{name}{axis}" if axis < symbolic and not place else str(n) for axis, n in enumerate(x.shape)]
        declared.append(f"{TYPES[x.dtype]}[{','.join(sizes)}] {name}")
    kind = TYPES[next(iter(tensors.values())).dtype]
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g ({", ".join(declared)}) => ({kind}[] y) {{ {text} }}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model
