"""Models as they are after loading, run and differentiated in ONNX Runtime, and their inputs for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
from gradients import Array, evaluate
from onnx import ModelProto

from onnxcam.autodiff import differentiate
from onnxcam.graph import Tape, load

ELEMENTS = {"float32": "float", "float64": "double", "float16": "float16", "int64": "int64"}


def declared(name: str, x: Array, *, is_fixed: bool) -> str:
    sizes = ",".join(str(n) if is_fixed else f"{name}{axis}" for axis, n in enumerate(x.shape))
    return f"{ELEMENTS[x.dtype.name]}[{sizes}] {name}"


def model(text: str, feeds: dict[str, Array], *, opset: int = 20, fixed: str = "") -> ModelProto:
    """Of all sizes only those of the inputs named in `fixed` are known."""
    inputs = [declared(name, x, is_fixed=name in fixed) for name, x in feeds.items()]
    kind = ELEMENTS[next(iter(feeds.values())).dtype.name]
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": {opset}]> g ({", ".join(inputs)}) => ({kind}[] y) {{ {text} }}'
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


def forward(proto: ModelProto, feeds: dict[str, Array]) -> Array:
    return evaluate(proto, {info.name: feeds[info.name] for info in proto.graph.input})[0]


def loaded_gradients(proto: ModelProto, feeds: dict[str, Array], wrt: str) -> tuple[ModelProto, list[str]]:
    """The model as it is loaded, with a cotangent and the gradients by the tensors of these one-letter names."""
    tape = Tape(load(proto).proto)
    y = tape.value("y")
    seed = tape.add_input("cotangent", feeds["cotangent"].dtype, [f"c{i}" for i in range(feeds["cotangent"].ndim)])
    found = differentiate({y: seed}, [tape.value(name) for name in wrt])
    for name, value in zip(wrt, found, strict=True):
        assert value is not None, name
        tape.add_output(value, f"gradient_{name}")
    return tape.model, [f"gradient_{name}" for name in wrt]


def gradients_of(proto: ModelProto, feeds: dict[str, Array], wrt: str) -> list[Array]:
    return evaluate(loaded_gradients(proto, feeds, wrt)[0], feeds)[1:]


def tensors(feeds: dict[str, Array]) -> dict[str, Any]:
    """Them for PyTorch, in float32 at least."""
    import torch

    wide = {name: x.astype(np.float32) if x.dtype == np.float16 else x for name, x in feeds.items()}
    return {name: torch.from_numpy(x).requires_grad_(x.dtype.kind == "f") for name, x in wide.items()}
