"""Adapters for two ops that came after opset 18 with no body: running products, and caches written at a place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, Scope, lowers, refuse, source, take
from onnxcam.graph.lowering_axes import LAST, Sides


@lowers("CumProd", 26)
def cum_prod_26(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """In log₂ n steps, each multiplying by what stands 1, 2, 4 … places before; where n is open, by a mask."""
    draft, x, axis = Draft(node, scope), node.input[0], scope.array(node.input[1])
    ways = {f"is_{name}": bool(take(node, name, 0)) for name in ("exclusive", "reverse")}
    shape = scope.shape(x)
    if axis is None or shape is None:
        sides = Sides(draft, x, node.input[1])
        y = _product(draft, draft("Reshape", [x, sides.shape()]), axis=1, sizes=[None] * 3, **ways)
        return draft.ends("Reshape", [y, draft("Shape", [x])])
    along = int(axis.item()) % len(shape)
    return draft.ends("Identity", [_product(draft, x, axis=along, sizes=shape, **ways)])


def _product(
    draft: Draft, x: str, *, axis: int, sizes: Sequence[int | None], is_exclusive: bool, is_reverse: bool
) -> str:
    """The running product of `x`, of these sizes."""
    rank, n, sign = len(sizes), sizes[axis], -1 if is_reverse else 1
    if is_exclusive:
        x = _moved(draft, x, axis, rank=rank, places=sign)
    if n is None:
        return _masked_product(draft, x, axis, rank=rank, backwards=is_reverse)
    for step in (2**k for k in range((n - 1).bit_length())):
        x = draft("Mul", [x, _moved(draft, x, axis, rank=rank, places=sign * step)])
    return x


def _moved(draft: Draft, x: str, axis: int, *, rank: int, places: int) -> str:
    """`x` moved up that many places along the axis (down, if negative), with ones in the room it leaves."""
    start, end = (0, -places) if places > 0 else (-places, LAST)
    kept = draft("Slice", [x, draft.ints(start), draft.ints(end), draft.ints(axis)])
    pads = [0] * (2 * rank)
    pads[axis if places > 0 else axis + rank] = abs(places)
    return draft("Pad", [kept, draft.ints(*pads), draft.number(1, draft.node.input[0])])


def _masked_product(draft: Draft, x: str, axis: int, *, rank: int, backwards: bool) -> str:
    """Every element of y as the product over a copy of x with ones in place of what does not count for it."""
    zero, one = (draft.scope.constant(np.array(n), f"{draft.stem}/number") for n in (0, 1))
    count = draft("Squeeze", [draft("Shape", [x], start=axis, end=axis + 1)])
    places = draft("Range", [zero, count, one])
    behind = [1] * (rank - axis - 1)
    factor = draft("Reshape", [places, draft.ints(1, -1, *behind)])
    product = draft("Reshape", [places, draft.ints(-1, 1, *behind)])
    counts = draft("GreaterOrEqual" if backwards else "LessOrEqual", [factor, product])
    copies = draft("Unsqueeze", [x, draft.ints(axis)])
    factors = draft("Where", [counts, copies, draft.number(1, draft.node.input[0])])
    return draft("ReduceProd", [factors, draft.ints(axis + 1)], keepdims=0)


@lowers("TensorScatter", 24)
def tensor_scatter_24(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """ScatterElements: the place of every element along the axis is where its image starts to write, and so on."""
    draft, (cache, update) = Draft(node, scope), node.input[:2]
    shape = scope.shape(cache) or scope.shape(update)
    if shape is None:
        raise refuse(node, scope, "the rank of its input is unknown")
    rank, is_circular = len(shape), take(node, "mode", "linear") == "circular"
    axis = int(take(node, "axis", -2)) % rank
    zero, one = (scope.constant(np.array(n), f"{draft.stem}/number") for n in (0, 1))
    length = draft("Squeeze", [draft("Shape", [update], start=axis, end=axis + 1)])
    places = draft("Range", [zero, length, one])
    places = draft("Reshape", [places, draft.ints(-1, *[1] * (rank - axis - 1))])
    if starts := source(node, 2):
        first = draft("Cast", [starts], to=TensorProto.INT64)
        places = draft("Add", [places, draft("Reshape", [first, draft.ints(-1, *[1] * (rank - 1))])])
    if is_circular:
        places = draft("Mod", [places, draft("Shape", [cache], start=axis, end=axis + 1)])
    indices = draft("Expand", [places, draft("Shape", [update])])
    return draft.ends("ScatterElements", [cache, indices, update], axis=axis)
