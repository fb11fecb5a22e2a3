"""Attention of many heads, and of grouped heads."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxcam.graph import Value
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.layers.embedding import Sum, project
from onnxcam_converters.keras.layers.masks import call_of, masked
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor

Attended = Tensor | list[Tensor]
# The projections by their groups in .keras files, in the order in which Keras keeps their weights.
QUERY, KEY, GATE, VALUE, OUTPUT = ("query_dense", "key_dense", "gate_dense", "value_dense", "output_dense")
# The arguments of a call behind query, value and key.
REST = (
    "query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores", "training", "use_causal_mask",
)  # fmt: skip


@dataclass(frozen=True)
class Heads:
    """The projections of an attention layer: kernels and biases by "query_dense/kernel"."""

    layer: Layer
    weights: dict[str, Array]

    def project(self, part: str, x: Value, *, rank: int, taken: int = 1) -> Value:
        """`x`, of that rank, with its last `taken` axes replaced by those of the part's kernel, and its bias added."""
        kernel = self.weights[f"{part}/kernel"]
        left, free = string.ascii_lowercase[:rank], rank - taken
        new = string.ascii_lowercase[rank : rank + kernel.ndim - taken]
        equation = Sum(left, left[free:] + new, left[:free] + new)
        y = project(self.layer, x, kernel, equation=equation, name=f"{part}/kernel")
        bias = self.weights.get(f"{part}/bias")
        return y if bias is None else y + self.layer.constant(f"{part}/bias", bias)

    def finish(self, context: Value, query: Tensor) -> Tensor:
        """The heads (N, …, heads, size) through the gate, if there is one, and the last projection."""
        if f"{GATE}/kernel" in self.weights:
            context = context * context.tape.Sigmoid(self.project(GATE, query.plain(), rank=query.rank))
        value = self.project(OUTPUT, context, rank=query.rank + 1, taken=2)
        return Tensor(value, (*query.shape[:-1], *self.weights[f"{OUTPUT}/kernel"].shape[2:]))


def _heads(layer: Layer) -> Heads:
    layer.ignore("dropout", "flash_attention", "softmax_robust_masking")
    has_gate, has_bias = layer.option("use_gate", default=False), layer.option("use_bias", default=True)
    parts = [part for part in (QUERY, KEY, GATE, VALUE, OUTPUT) if part != GATE or has_gate]
    names = [f"{part}/{name}" for part in parts for name in ("kernel", "bias")[: 1 + has_bias]]
    return Heads(layer, dict(zip(names, layer.weights(*names), strict=True)))


@dataclass(frozen=True)
class Folding:
    """From projected inputs (N, …, heads, size) to what MatMul takes: (N, axes not attended, heads, length, size).

    Attributes:
        rank: of the inputs that are projected, the batch and the channels included.
        axes: that are attended, from the front; their lengths are multiplied.
    """

    rank: int
    axes: tuple[int, ...]

    @property
    def free(self) -> list[int]:
        """The axes between batch and channels that are not attended: each place there attends for itself."""
        return [axis for axis in range(1, self.rank - 1) if axis not in self.axes]

    @property
    def order(self) -> list[int]:
        """The axes of a projected input in their new order."""
        return [0, *self.free, self.rank - 1, *self.axes, self.rank]

    def fold(self, x: Value, size: int) -> Value:
        """The projected input, `size` a head."""
        y = x.tape.Transpose(x, perm=self.order)
        return y if len(self.axes) == 1 else x.tape.Reshape(y, x.tape.ints(*self._kept, -1, size))

    def unfold(self, y: Value, like: Tensor, size: int) -> Value:
        """Back, to the lengths of the input `like`."""
        if len(self.axes) > 1:
            y = y.tape.Reshape(y, y.tape.ints(*self._kept, *self.lengths(like), size))
        return y.tape.Transpose(y, perm=[int(place) for place in np.argsort(self.order)])

    def scores(self, scores: Value, query: Tensor, key: Tensor) -> Tensor:
        """The scores with every attended axis on its own: (N, axes not attended, heads, query's axes, key's axes)."""
        if len(self.axes) > 1:
            sizes = (*self._kept, *self.lengths(query), *self.lengths(key))
            scores = scores.tape.Reshape(scores, scores.tape.ints(*sizes))
        return Tensor(scores, scores.shape or ())

    def lengths(self, x: Tensor) -> list[int]:
        """The lengths of the attended axes, −1 where open."""
        return [size if isinstance(size, int) else -1 for size in (x.shape[axis] for axis in self.axes)]

    @property
    def _kept(self) -> list[int]:
        return [0] * (len(self.free) + 2)


@reads("MultiHeadAttention")
def multi_head_attention(
    layer: Layer, query: Tensor, value: Tensor, key: Tensor | None = None, *rest: Any, **named: Any
) -> Attended:
    """softmax(q kᵀ/√d) v for each head over the attended axes, and the heads projected back together."""
    layer.ignore("num_heads", "value_dim", "output_shape", "query_shape", "key_shape", "value_shape")
    call, heads, key = call_of(layer, REST, rest, named), _heads(layer), key or value
    folding = _folding(layer, query, value)
    q, k, v = (
        folding.fold(heads.project(part, x.plain(), rank=x.rank), heads.weights[f"{part}/kernel"].shape[-1])
        for part, x in ((QUERY, query), (KEY, key), (VALUE, value))
    )
    mask = call.mask(query, value, axes=folding.axes, rank=folding.rank + 1)
    scores = _scores(q * (1.0 / math.sqrt(layer.option("key_dim"))), k, mask)
    size = heads.weights[f"{VALUE}/kernel"].shape[-1]
    context = folding.unfold(q.tape.MatMul(scores, v), query, size)
    y = heads.finish(context, query)
    return [y, folding.scores(scores, query, key)] if call.with_scores else y


def _folding(layer: Layer, query: Tensor, value: Tensor) -> Folding:
    axes = layer.option("attention_axes", default=None)
    axes = tuple(range(1, query.rank - 1)) if axes is None else tuple(axis % query.rank for axis in axes)
    found = Folding(query.rank, axes)
    if len(axes) > 1 and any(found.lengths(x).count(-1) > 1 for x in (query, value)):
        raise layer.refuse("it attends over several axes of open length")
    return found


@reads("GroupQueryAttention", "GroupedQueryAttention")
def grouped_query_attention(
    layer: Layer, query: Tensor, value: Tensor, key: Tensor | None = None, *rest: Any, **named: Any
) -> Attended:
    """Likewise, with each head of key and value shared by a group of the query's heads."""
    layer.ignore("num_query_heads")
    call, heads, key = call_of(layer, REST, rest, named), _heads(layer), key or value
    tape, folding, size = query.tape, Folding(3, (1,)), int(layer.option("head_dim"))
    q, k, v = (
        folding.fold(heads.project(part, x.plain(), rank=3), size)
        for part, x in ((QUERY, query), (KEY, key), (VALUE, value))
    )
    shared = int(layer.option("num_key_value_heads"))
    all_heads = heads.weights[f"{QUERY}/kernel"].shape[1]
    q = tape.Reshape(q, tape.ints(0, shared, all_heads // shared, -1, size))
    k, v = (tape.Unsqueeze(x, tape.ints(2)) for x in (k, v))
    scores = _scores(q * (1.0 / math.sqrt(size)), k, call.mask(query, value, axes=(1,), rank=5))
    context = tape.Reshape(tape.MatMul(scores, v), tape.ints(0, all_heads, -1, size))
    y = heads.finish(folding.unfold(context, query, size), query)
    if not call.with_scores:
        return y
    flat = tape.Reshape(scores, tape.ints(0, all_heads, *folding.lengths(query), *folding.lengths(key)))
    return [y, Tensor(flat, (query.shape[0], all_heads, query.shape[1], key.shape[1]))]


def _scores(q: Value, k: Value, mask: Value | None) -> Value:
    """softmax(q kᵀ) where the mask allows it."""
    rank = len(k.shape or ())
    turned = q.tape.Transpose(k, perm=[*range(rank - 2), rank - 1, rank - 2])
    return q.tape.Softmax(masked(q.tape.MatMul(q, turned), mask), axis=-1)
