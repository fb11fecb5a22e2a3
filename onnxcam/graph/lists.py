"""What is known of a list of tensors, and the registry of what takes ops on lists out of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from onnx import NodeProto

from onnxcam.graph.adapters import Draft
from onnxcam.registry import entering


@dataclass(frozen=True)
class Listed:
    """A list of these tensors."""

    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Pieces:
    """A tensor cut into pieces of one size along an axis; how many only the running model knows."""

    tensor: str
    axis: int
    size: int
    keeps_axis: bool


@dataclass(frozen=True)
class Wrapped:
    """An optional tensor or list; "" when there is none."""

    name: str


Known: TypeAlias = dict[str, Listed | Pieces | Wrapped]
Resolver: TypeAlias = Callable[[Draft, Known], list[NodeProto] | None]
RESOLVERS: dict[str, Resolver] = {}


def resolves(op_type: str) -> Callable[[Resolver], Resolver]:
    """Registers what gives the nodes in place of one op on lists, None where it must stay."""
    return entering(RESOLVERS, op_type, what="resolver for")
