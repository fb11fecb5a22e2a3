"""The last steps on a finished model: metadata, and ONNX's own check."""

from __future__ import annotations

import onnx.checker
import onnx.shape_inference
from onnx import ModelProto

from onnxcam.graph.files import external_tensors


def write_metadata(model: ModelProto, key: str, text: str) -> None:
    """Sets one entry of the model's metadata; the author's others stay."""
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=text)


def check(model: ModelProto) -> None:
    """ONNX's full checker, strict shape inference included; models over 2 GB are checked when they are written."""
    if not is_large(model):
        onnx.checker.check_model(model, full_check=True)


def is_large(model: ModelProto) -> bool:
    """Whether its weights are too large to be held with it."""
    return bool(external_tensors(model))
