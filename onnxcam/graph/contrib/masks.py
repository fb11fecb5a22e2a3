"""What is added to the scores of an attention, so that some keys are not looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, refuse, take
from onnxcam.graph.contrib.registry import rank, sizes


@dataclass(frozen=True)
class Masking:
    """How an attention masks.

    Attributes:
        tensor: of int32: 1 where a key counts, (batch, keys) or (batch, queries, keys); or (batch,) the end of the
            keys that count, or (2 · batch,) all ends and then all starts; "" for none.
        filler: added to the scores of keys that do not count.
        causal: whether a query looks only at keys up to its own place.
    """

    tensor: str
    filler: float
    causal: bool


def masking(node: NodeProto, tensor: str) -> Masking:
    """What the node's attributes say, with the tensor."""
    filler = take(node, "mask_filter_value", -10000.0)
    return Masking(tensor, filler, bool(take(node, "unidirectional", 0)))


def masked(draft: Draft, scores: str, mask: Masking, *, kind: int) -> str:
    """The scores (batch, heads, queries, keys), of the type `kind`, with the mask on them."""
    if mask.tensor:
        filler, zero = (_number(draft, value, kind) for value in (mask.filler, 0.0))
        added = draft("Where", [_counts(draft, mask.tensor, scores), zero, filler])
        scores = draft("Add", [scores, added])
    if mask.causal:
        lowest = _number(draft, float(np.finfo(_dtype(kind)).min), kind)
        scores = draft("Where", [_up_to_itself(draft, scores), scores, lowest])
    return scores


def _dtype(kind: int) -> np.dtype[np.floating]:
    return tensor_dtype_to_np_dtype(kind)


def _number(draft: Draft, value: float, kind: int) -> str:
    return draft.scope.constant(np.array(value, _dtype(kind)), f"{draft.stem}/number")


def _counts(draft: Draft, mask: str, scores: str) -> str:
    """Truth values, stretching to the scores: whether a key counts."""
    axes = rank(draft, mask)
    if axes in (2, 3):
        is_seen = draft("Greater", [mask, draft.number(0, mask)])
        return draft("Unsqueeze", [is_seen, draft.ints(1, 2) if axes == 2 else draft.ints(1)])
    if axes != 1:
        raise refuse(draft.node, draft.scope, f"its mask is of {axes} axes, which ONNX Runtime has on CUDA only")
    return _between(draft, mask, scores)


def _between(draft: Draft, ends_and_starts: str, scores: str) -> str:
    """Keys from the start to the end of their row; the start is 0 when there are only ends."""
    (count,), shape = sizes(draft, ends_and_starts), draft.scope.shape(draft.node.input[0])
    batch = draft("Shape", [scores], start=0, end=1)
    known = shape[0] if shape else None
    if count is not None and known is not None and count not in (known, 2 * known):
        raise refuse(draft.node, draft.scope, f"its mask has {count} entries for a batch of {known}")
    none = draft("Expand", [draft.scope.constant(np.zeros(1, np.int32), f"{draft.stem}/zero"), batch])
    padded = draft("Concat", [ends_and_starts, none], axis=0)
    end, start = (draft("Slice", [padded, *bounds, draft.ints(0)]) for bounds in _halves(draft, batch))
    places = _places(draft, scores, axis=3)
    is_before_end = draft("Less", [places, draft("Reshape", [end, draft.ints(-1, 1, 1, 1)])])
    is_started = draft("GreaterOrEqual", [places, draft("Reshape", [start, draft.ints(-1, 1, 1, 1)])])
    return draft("And", [is_before_end, is_started])


def _halves(draft: Draft, batch: str) -> tuple[tuple[str, str], tuple[str, str]]:
    twice = draft("Mul", [batch, draft.ints(2)])
    return (draft.ints(0), batch), (batch, twice)


def _up_to_itself(draft: Draft, scores: str) -> str:
    """(queries, keys): the queries are the last of the keys' places."""
    keys, queries = _places(draft, scores, axis=3), _places(draft, scores, axis=2)
    lengths = [draft("Cast", [draft("Shape", [scores], start=a, end=a + 1)], to=TensorProto.INT32) for a in (3, 2)]
    past = draft("Sub", lengths)
    column = draft("Unsqueeze", [draft("Add", [queries, past]), draft.ints(1)])
    return draft("LessOrEqual", [keys, column])


def _places(draft: Draft, scores: str, *, axis: int) -> str:
    """0, 1, 2 … along an axis of the scores, of int32."""
    zero, one = (draft.scope.constant(np.array(n, np.int64), f"{draft.stem}/number") for n in (0, 1))
    size = draft("Squeeze", [draft("Shape", [scores], start=axis, end=axis + 1)])
    return draft("Cast", [draft("Range", [zero, size, one])], to=TensorProto.INT32)
