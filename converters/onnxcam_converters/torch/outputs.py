"""What modules give: tensors in tuples, mappings and dataclasses, and their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

FIRST = "logits"  # name of an output that its author gave none


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first tensor in whatever a module gives."""
    if isinstance(output, torch.Tensor):
        return output
    return next((tensor for item in parts(output).values() if (tensor := first_tensor(item)) is not None), None)


def parts(output: Any) -> Mapping[str, Any]:
    """What a tuple, mapping or dataclass holds, by name or place."""
    if isinstance(output, Mapping):
        return {str(name): item for name, item in output.items()}
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return {entry.name: getattr(output, entry.name) for entry in dataclasses.fields(output)}
    if isinstance(output, tuple | list):
        names = getattr(output, "_fields", range(len(output)))
        return {str(name): item for name, item in zip(names, output, strict=True)}
    return {}


def named_tensors(output: Any) -> dict[str, torch.Tensor]:
    """The outputs by the names that their author gave them, `logits` first; nested ones only if there is no other."""
    if isinstance(output, torch.Tensor):
        return {FIRST: output}
    tensors = {name: item for name, item in parts(output).items() if isinstance(item, torch.Tensor)}
    nested = first_tensor(output)
    if nested is None:
        return {}
    if not tensors:
        return {FIRST: nested}
    if next(iter(tensors)).isdecimal():
        return {f"output_{place}" if place else FIRST: tensor for place, tensor in enumerate(tensors.values())}
    return dict(sorted(tensors.items(), key=lambda entry: entry[0] != FIRST))
