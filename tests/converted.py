"""What tests do with converted models: run them, look at their layers, explain them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import onnxcam
from onnxcam.facts import author_facts

Array = NDArray[Any]


def relative(found: Array, wanted: Array) -> float:
    """The distance as a part of what is wanted, L2."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """The model, ready to be run; ONNX Runtime's Pad fusion is wrong."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], disabled_optimizers=["Pad_Fusion"]
    )


def predict(model: onnx.ModelProto, x: Array) -> Array:
    """The first output."""
    runner = session(model)
    found: Array = runner.run(None, {runner.get_inputs()[0].name: x})[0]
    return found


def layer_values(model: onnx.ModelProto, x: Array) -> dict[str, Array]:
    """What every layer that is noted in the model computes, channels last."""
    layers = author_facts(model)["layers"]
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    known = {value.name for value in shown.graph.output}
    for tensor in sorted(set(layers.values()) - known):
        shown.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    runner = session(shown)
    names = [value.name for value in runner.get_outputs()]
    values = dict(zip(names, runner.run(None, {runner.get_inputs()[0].name: x}), strict=True))
    return {layer: values[tensor] for layer, tensor in layers.items()}


def is_same_tensor(found: Array, wanted: Array, *, tolerance: float = 1e-5) -> bool:
    """Whether the numbers are those of a tensor with channels last, which may lie here with channels first."""
    forms = [found, np.moveaxis(found, 1, -1)] if found.ndim == wanted.ndim else []
    return any(
        form.shape == wanted.shape and np.abs(form - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())
        for form in forms
    )


def explained(model: onnx.ModelProto, layer: str | None, x: Array, target: Array, *, score: str) -> dict[str, Array]:
    """The explain graph's outputs for these pictures; activation and gradient with channels last."""
    graph = onnxcam.convert(model, layer=layer, score=score, outputs=["activation", "gradient", "raw_map"])
    runner = session(graph.model)
    feeds = {runner.get_inputs()[0].name: x, "target": target.astype(np.int64)}
    found = dict(zip((value.name for value in runner.get_outputs()), runner.run(None, feeds), strict=True))
    for name in ("activation", "gradient"):
        found[name] = np.moveaxis(found[name], 1, -1)
    return found
