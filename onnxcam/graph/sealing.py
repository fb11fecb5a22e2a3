"""The last steps on a finished model: metadata, and ONNX's own check."""

from __future__ import annotations

import onnx.checker
import onnx.shape_inference
from onnx import ModelProto

from onnxcam.errors import InvalidResult
from onnxcam.graph.copying import without
from onnxcam.graph.files import external_tensors
from onnxcam.graph.shapes import is_small, tensor_type


def write_metadata(model: ModelProto, key: str, text: str) -> None:
    """Sets one entry of the model's metadata; the author's others stay."""
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=text)


def check(model: ModelProto) -> None:
    """ONNX's full checker, strict shape inference included.

    Large constants are checked as inputs of their type: the checker would copy all weights twice.

    Raises:
        InvalidResult: if the model does not pass.
    """
    try:
        onnx.checker.check_model(_without_weights(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InvalidResult(str(error).strip().splitlines()[0]) from error


def _without_weights(model: ModelProto) -> ModelProto:
    bare = without(model, "graph")
    bare.graph.CopyFrom(without(model.graph, "initializer"))
    given = {info.name for info in model.graph.input}
    for tensor in model.graph.initializer:
        if is_small(tensor):
            bare.graph.initializer.append(tensor)
        elif tensor.name not in given:
            bare.graph.input.add(name=tensor.name, type=tensor_type(tensor))
    return bare


def is_large(model: ModelProto) -> bool:
    """Whether its weights are too large to be held with it."""
    return bool(external_tensors(model))
