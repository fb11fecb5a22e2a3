"""Copies of models without the fields that are heavy."""

from __future__ import annotations

from typing import TypeVar

from onnx import GraphProto, ModelProto

Proto = TypeVar("Proto", ModelProto, GraphProto)


def without(proto: Proto, skipped: str) -> Proto:
    """A copy without one field."""
    copy = type(proto)()
    for field, value in proto.ListFields():
        if field.name == skipped:
            continue
        if hasattr(value, "extend"):
            getattr(copy, field.name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy
