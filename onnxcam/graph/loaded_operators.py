"""What becomes of every operator of ONNX's own domain when a model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx.defs
from onnx.defs import OpSchema

from onnxcam.graph.adapters import LOWERING, RAISING
from onnxcam.graph.contrib.registry import EQUIVALENTS
from onnxcam.graph.expansion import EXPANDED
from onnxcam.graph.lowering import WITHOUT_EQUAL
from onnxcam.graph.opset import NEWEST, OPSET
from onnxcam.graph.quantized import REWRITES


@dataclass(frozen=True)
class LoadedOperator:
    """One operator.

    Attributes:
        name: as ONNX calls it.
        since: the opset in which it came.
        becomes: "kept", "lowered" (other ops that do the same), "function" (the body that ONNX gives for it) or
            "refused".
        note: by what it is lowered, or why it is refused.
    """

    name: str
    since: int
    becomes: str
    note: str = ""


def loaded_operators() -> list[LoadedOperator]:
    """Every operator that ONNX's own domain has had up to the newest opset that can be read, by name."""
    first: dict[str, OpSchema] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= NEWEST:
            first[schema.name] = min(schema, first.get(schema.name, schema), key=lambda s: s.since_version)
    return [LoadedOperator(name, schema.since_version, *_fate(name, schema)) for name, schema in sorted(first.items())]


def runtime_operators() -> dict[str, str]:
    """What each op of ONNX Runtime's own domain is read as."""
    own = {name: _summary(entry.function) for name, entry in EQUIVALENTS.items()}
    return {name: _summary(function) for name, function in REWRITES.items()} | own


def _fate(name: str, schema: Any) -> tuple[str, str]:
    """What the loader makes of it, with a note; `schema` is an OpSchema, whose stubs lack half of its methods."""
    if name in WITHOUT_EQUAL:
        return "refused", WITHOUT_EQUAL[name]
    if name in REWRITES:
        return "lowered", "A float op between DequantizeLinear and QuantizeLinear."
    if name in EXPANDED:
        return "function", "By the body that ONNX gives for it, which opset 18 has too."
    if schema.since_version <= OPSET:
        return ("lowered", _summary(_last(RAISING[name]))) if _is_withdrawn(name) else ("kept", "")
    if schema.since_version in LOWERING.get(name, {}):
        return "lowered", _summary(LOWERING[name][schema.since_version])
    return "function", "By the body that ONNX gives for it."


def _is_withdrawn(name: str) -> bool:
    """Whether opset 18 has the op no more, and what took its place is another."""
    return name in RAISING and bool(onnx.defs.get_schema(name, OPSET, "").deprecated)


def _last(adapters: dict[int, Callable[..., Any]]) -> Callable[..., Any]:
    return adapters[max(adapters)]


def _summary(function: object) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]
