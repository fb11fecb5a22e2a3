"""Data types of layers: everything is computed in float32, and said so where the file would have it otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxcam_converters.keras.layer import Layer

FLOATS = frozenset(("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"))


def policy_name(dtype: Any) -> str:
    """The name of a policy: "mixed_float16", from the text or from the object that newer files have."""
    if isinstance(dtype, Mapping):
        config = dtype.get("config") or {}
        return str(config.get("name") or dtype.get("class_name"))
    return str(dtype or "float32")


def check_policy(layer: Layer) -> None:
    """Notes half precision and double; refuses quantised layers, whose weights mean something else."""
    name = policy_name(layer.config.get("dtype"))
    is_quantised = name.startswith(("int8", "int4", "float8", "gptq", "awq")) or "_from_" in name
    if is_quantised:
        raise layer.refuse(f"it is quantised ({name})", "Save the model before it is quantised.")
    if name in FLOATS and name != "float32":
        layer.story.note(f"The model's own precision is {name}; it is computed in float32.")
