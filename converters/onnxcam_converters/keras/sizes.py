"""Shapes as models compute them: `tf.shape(x)[1] * 2`, followed through the graph as far as they are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxcam.graph import Dim, Node, Value

Dims = list[Dim]
SLICE = ("start", "end", "step")  # of one axis


def dims_of(value: Value) -> Dims | None:
    """The whole numbers that the value holds, symbols for those that are open; None where they cannot be told."""
    if value.constant is not None:
        numbers = value.constant
        return [int(n) for n in numbers.reshape(-1)] if numbers.dtype.kind in "iu" else None
    node = value.producer
    follow = FOLLOWED.get(node.op_type) if node is not None else None
    return follow(node) if follow and node is not None else None


def _shape(node: Node) -> Dims | None:
    shape = node.x.shape
    return (
        None if shape is None else list(shape[node.attributes.get("start", 0) : node.attributes.get("end", len(shape))])
    )


def _same(node: Node) -> Dims | None:
    return dims_of(node.x)


def _gather(node: Node) -> Dims | None:
    dims, places = dims_of(node.x), node.input(1).constant
    return None if dims is None or places is None else [dims[int(i)] for i in places.reshape(-1)]


def _slice(node: Node) -> Dims | None:
    dims, starts, ends = (dims_of(value) for value in node.inputs[:3] if value)
    steps = dims_of(node.input(4)) if node.optional(4) is not None else [1]
    if dims is None or starts is None or ends is None or steps is None:
        return None
    bounds = [*starts, *ends, *steps]
    if len(bounds) != len(SLICE):
        return None
    start, end, step = (n if isinstance(n, int) else None for n in bounds)
    return dims[slice(start, end, step)]


def _concat(node: Node) -> Dims | None:
    parts = [dims_of(value) for value in node.inputs if value]
    return None if None in parts else [dim for part in parts for dim in part or []]


def _combined(combine: Callable[[int, int], int]) -> Callable[[Node], Dims | None]:
    def follow(node: Node) -> Dims | None:
        a, b = dims_of(node.x), dims_of(node.input(1))
        if a is None or b is None:
            return None
        count = max(len(a), len(b))
        pairs = zip(a * count if len(a) == 1 else a, b * count if len(b) == 1 else b, strict=False)
        return [combine(m, n) if isinstance(m, int) and isinstance(n, int) else None for m, n in pairs]

    return follow


FOLLOWED: dict[str, Callable[[Node], Any]] = {
    "Shape": _shape,
    "Identity": _same,
    "Cast": _same,
    "Squeeze": _same,
    "Unsqueeze": _same,
    "Reshape": _same,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Add": _combined(lambda a, b: a + b),
    "Sub": _combined(lambda a, b: a - b),
    "Mul": _combined(lambda a, b: a * b),
    "Div": _combined(lambda a, b: a // b if b else 0),
}
