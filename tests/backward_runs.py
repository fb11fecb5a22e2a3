"""Small models in float64 as ONNX text, walked back by a table, and as the matrices that their linear layers are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from conformance import run
from numpy.typing import NDArray

from onnxcam.autodiff import Rule, differentiate
from onnxcam.graph import Tape
from onnxcam.graph.opset import to_opset_18

Array = NDArray[Any]
KINDS = {np.dtype(np.float64): "double", np.dtype(np.float32): "float", np.dtype(np.float16): "float16"}


def model(text: str, x: Array, *, free: int = 1, **weights: Array) -> onnx.ModelProto:
    """The model that computes `y` from `x` by the text, of which the first `free` sizes of x are symbols."""
    sizes = ",".join(f"n{axis}" if axis < free else str(n) for axis, n in enumerate(x.shape))
    kind, domains = KINDS[x.dtype], '"": 18' + (', "com.microsoft": 1' if "com.microsoft" in text else "")
    statements = "\n".join(part.strip() for part in text.split(";"))
    proto = onnx.parser.parse_model(
        f"<ir_version: 8, opset_import: [{domains}]> g ({kind}[{sizes}] x) => ({kind}[] y) {{ {statements} }}"
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for name, array in weights.items():
        array = np.asarray(array)
        array = array.astype(x.dtype) if array.dtype == np.float64 else array
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    if "com.microsoft" in text:
        to_opset_18(proto)
    return proto


def evaluated(proto: onnx.ModelProto, x: Array) -> Array:
    return run(proto, {"x": x}, ["y"])[0]


def walked(proto: onnx.ModelProto, rules: Mapping[str, Rule], *, wrt: str = "x") -> onnx.ModelProto:
    """The model with the input `cotangent` and the output `found`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    tape = Tape(copy)
    y = tape.outputs[0]
    cotangent = tape.add_input("cotangent", y.dtype, y.shape)
    (found,) = differentiate({y: cotangent}, [tape.value(wrt)], rules)
    assert found is not None
    tape.add_output(found, "found", shape=tape.value(wrt).shape)
    return tape.model


def propagated(proto: onnx.ModelProto, rules: Mapping[str, Rule], x: Array, *, start: Array, wrt: str = "x") -> Array:
    """What arrives at `wrt` when `start` begins at y."""
    return run(walked(proto, rules, wrt=wrt), {"x": x, "cotangent": start}, ["found"])[0]


def affine_map(proto: onnx.ModelProto, x: Array) -> tuple[Array, Array]:
    """The matrix (outputs, inputs) and the bias (outputs,) of what the model does to one sample of `x`."""
    count = int(np.prod(x.shape[1:]))
    units = np.concatenate([np.zeros((1, count)), np.eye(count)]).reshape(-1, *x.shape[1:]).astype(x.dtype)
    found = evaluated(proto, units).astype(np.float64).reshape(count + 1, -1)
    return (found[1:] - found[0]).T, found[0]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)
