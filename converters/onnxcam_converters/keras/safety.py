"""Looks for what would be executed, before anything else is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onnxcam.errors import UnsafeSource

REMEDY = (
    "Put a layer of Keras in its place (Rescaling, Reshape, an operation of keras.ops), save the model again, and "
    "convert that; or, if you trust the file, load it yourself and convert the live model: onnxcam.convert(model)."
)


def refuse_code(model: Any, source: str) -> None:
    """Refuses files with Lambda layers and serialized functions.

    Raises:
        UnsafeSource: with the name of the first.
    """
    for what in code_in(model):
        raise UnsafeSource(source, what, REMEDY)


def code_in(value: Any, name: str = "") -> Iterator[str]:
    """What holds code, and whose it is."""
    if isinstance(value, list):
        for entry in value:
            yield from code_in(entry, name)
    if not isinstance(value, Mapping):
        return
    config = value.get("config")
    own = value.get("name") or (config.get("name") if isinstance(config, Mapping) else None)
    name = str(own) if isinstance(own, str) else name
    if value.get("class_name") == "Lambda":
        yield f"the Lambda layer {name!r}"
    elif value.get("class_name") == "__lambda__" or value.get("function_type") == "lambda":
        yield f"a function in layer {name!r}"
    for key, entry in value.items():
        # Training does not travel: losses and optimizers may be anything.
        if key not in ("compile_config", "training_config"):
            yield from code_in(entry, name)


def classes_in(value: Any) -> Iterator[str]:
    """The names of all classes and functions that a file mentions."""
    if isinstance(value, Mapping):
        for key in ("class_name", "registered_name", "activation", "config"):
            name = value.get(key)
            if isinstance(name, str):
                yield from (name, name.rpartition(">")[2])
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from classes_in(entry)
