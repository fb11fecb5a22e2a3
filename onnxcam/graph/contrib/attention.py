"""Attention of many heads in its several forms, and rotary embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from onnx import NodeProto

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.masks import Masking, masked, masking
from onnxcam.graph.contrib.registry import equals, forbid, kind_of, output, rank, several, sizes, total


@dataclass(frozen=True)
class Heads:
    """Queries, keys and values of each head, (batch, heads, length, size)."""

    q: str
    k: str
    v: str


@equals("Attention", inputs=7, outputs=2)
def attention(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Self-attention with the projection to queries, keys and values in it."""
    projected = total(draft, draft("MatMul", list(node.input[:2])), source(node, 2))
    names = [projected, source(node, 3), source(node, 4), source(node, 5), source(node, 6)]
    return _self_attention(draft, node, *names, kind=kind_of(draft, node.input[0]))


@equals("QAttention", inputs=9, outputs=2)
def q_attention(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Self-attention of integers: the input and the weights of the projection are dequantised first."""
    x, weights, bias = node.input[:3]
    x = draft("DequantizeLinear", [x, _scalar(draft, node.input[3]), _scalar(draft, source(node, 6))])
    is_by_column = bool(draft.scope.shape(node.input[4])) and sizes(draft, node.input[4]) != [1]
    scale, zero = ((n if is_by_column else _scalar(draft, n)) for n in (node.input[4], source(node, 7)))
    w = draft("DequantizeLinear", [weights, scale, zero], axis=1 if is_by_column else None)
    projected = total(draft, draft("MatMul", [x, w]), bias)
    names = [projected, source(node, 5), source(node, 8), "", ""]
    return _self_attention(draft, node, *names, kind=kind_of(draft, bias))


def _scalar(draft: Draft, name: str) -> str:
    """A number that may come as a list of one."""
    return name if not name or draft.scope.shape(name) == [] else draft("Squeeze", [name])


def _self_attention(
    draft: Draft, node: NodeProto, projected: str, mask: str, past: str, bias: str, shared: str, *, kind: int
) -> list[NodeProto]:
    forbid(draft, node, "do_rotary", "past_present_share_buffer", "rotary_embedding_dim")
    if shared:
        raise refuse(draft.node, draft.scope, "its past and present share a buffer")
    count, hidden = take(node, "num_heads"), take(node, "qkv_hidden_sizes")
    if hidden:
        parts = several(draft, "Split", [projected, draft.ints(*hidden)], ["", "", ""], axis=2)
    else:
        parts = several(draft, "Split", [projected], ["", "", ""], axis=2, num_outputs=3)
    heads = Heads(*(_by_head(draft, part, count) for part in parts))
    if past:
        before = several(draft, "Split", [past], ["", ""], axis=0, num_outputs=2)
        k, v = (draft("Squeeze", [name, draft.ints(0)]) for name in before)
        heads = Heads(heads.q, draft("Concat", [k, heads.k], axis=2), draft("Concat", [v, heads.v], axis=2))
    if present := output(node, 1):
        rows = [draft("Unsqueeze", [name, draft.ints(0)]) for name in (heads.k, heads.v)]
        draft("Concat", rows, present, axis=0)
    return _attended(draft, node, heads, masking(node, mask), bias=bias, kind=kind)


@equals("MultiHeadAttention", inputs=8, outputs=3)
def multi_head_attention(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Attention whose projections lie before it, apart from their bias."""
    names = [source(node, index) for index in range(8)]
    query, key, value, bias, mask, added, *past = names
    count, kind = take(node, "num_heads"), kind_of(draft, query)
    heads = _given_heads(draft, (query, key, value), bias, count=count)
    if all(past):
        joined = [draft("Concat", pair, axis=2) for pair in zip(past, (heads.k, heads.v), strict=True)]
        heads = Heads(heads.q, *joined)
    for index, name in ((1, heads.k), (2, heads.v)):
        if present := output(node, index):
            draft("Identity", [name], present)
    return _attended(draft, node, heads, masking(node, mask), bias=added, kind=kind)


def _given_heads(draft: Draft, names: tuple[str, str, str], bias: str, *, count: int) -> Heads:
    """Queries, keys and values with their bias, which is of (size of q + of k + of v)."""
    query, key, _ = names
    if rank(draft, query) != 3 or not key or rank(draft, key) == 5:
        raise refuse(draft.node, draft.scope, "its queries, keys and values are packed into one, as on CUDA only")
    if bias and rank(draft, key) != 3:
        raise refuse(draft.node, draft.scope, "its bias is for queries alone")
    shifts = _parts(draft, bias, draft("Shape", [query], start=2, end=3)) if bias else ["", "", ""]
    q, k, v = (
        _by_head(draft, total(draft, name, shift), count) if rank(draft, name) == 3 else name
        for name, shift in zip(names, shifts, strict=True)
    )
    return Heads(q, k, v)


def _parts(draft: Draft, bias: str, size: str) -> list[str]:
    """The bias of queries and of keys, both of that size, and of values."""
    bounds = [draft.ints(0), size, draft("Mul", [size, draft.ints(2)]), draft.ints((1 << 63) - 1)]
    return [draft("Slice", [bias, *pair, draft.ints(0)]) for pair in pairwise(bounds)]


def _by_head(draft: Draft, x: str, count: int) -> str:
    """(batch, length, heads · size) as (batch, heads, length, size)."""
    return draft("Transpose", [draft("Reshape", [x, draft.ints(0, 0, count, -1)])], perm=[0, 2, 1, 3])


def _attended(draft: Draft, node: NodeProto, heads: Heads, mask: Masking, *, bias: str, kind: int) -> list[NodeProto]:
    """softmax(scale · q kᵀ + mask + bias) · v, the heads side by side again."""
    scores = draft("MatMul", [heads.q, draft("Transpose", [heads.k], perm=[0, 1, 3, 2])])
    scores = _scaled(draft, scores, heads.q, take(node, "scale", 0.0), kind=kind)
    scores = masked(draft, total(draft, scores, bias), mask, kind=kind)
    mixed = draft("MatMul", [draft("Softmax", [scores], axis=-1), heads.v])
    rows = draft("Transpose", [mixed], perm=[0, 2, 1, 3])
    return draft.ends("Reshape", [rows, draft.ints(0, 0, -1)])


def _scaled(draft: Draft, scores: str, q: str, scale: float, *, kind: int) -> str:
    """The scores times the scale, by default one over the root of a head's size."""
    like = draft.cast(draft.ints(0), kind)
    if scale:
        return draft("Mul", [scores, draft.number(scale, like)])
    size = draft("Cast", [draft("Shape", [q], start=3, end=4)], to=kind)
    return draft("Div", [scores, draft("Sqrt", [size])])


@equals("RotaryEmbedding", inputs=4)
def rotary_embedding(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Pairs of entries turned by angles that grow with the place; pairs are halves apart, or neighbours."""
    x, places, cosines, sines = node.input
    forbid(draft, node, "is_packed_batching")
    if take(node, "scale", 1.0) != 1.0:
        raise refuse(draft.node, draft.scope, "its attribute 'scale' is set")
    turned, count, interleaved = (take(node, name, 0) for name in ("rotary_embedding_dim", "num_heads", "interleaved"))
    half = sizes(draft, cosines)[1]
    if half is None or (turned and not count):
        raise refuse(draft.node, draft.scope, "the size of its heads is unknown")
    axes = rank(draft, x)
    if axes == 3:
        x = draft("Reshape", [x, draft.ints(0, 0, count or -1, -1 if count else 2 * half)])
    angles = _angles(draft, (cosines, sines), places, draft.node.input[0], axes=axes)
    y = _turned(draft, x, angles, half=half, interleaved=bool(interleaved))
    if turned:
        kept = draft("Slice", [x, draft.ints(2 * half), draft.ints((1 << 63) - 1), draft.ints(3)])
        y = draft("Concat", [y, kept], axis=3)
    return draft.ends("Reshape", [y, draft("Shape", [draft.node.input[0]])])


def _angles(draft: Draft, tables: tuple[str, str], places: str, x: str, *, axes: int) -> list[str]:
    """Cosines and sines of each place: (batch, length, 1, half), or (batch, 1, length, half) for x of four axes."""
    if rank(draft, places) == 1:  # the place of the first; the others follow
        length = draft("Squeeze", [draft("Shape", [x], start=axes - 2, end=axes - 1)])
        zero, one = (draft("Squeeze", [draft.ints(n)]) for n in (0, 1))
        places = draft("Unsqueeze", [draft("Add", [draft("Range", [zero, length, one]), places]), draft.ints(0)])
    along = draft.ints(1 if axes == 4 else 2)
    return [draft("Unsqueeze", [draft("Gather", [table, places], axis=0), along]) for table in tables]


def _turned(draft: Draft, x: str, angles: list[str], *, half: int, interleaved: bool) -> str:
    """(a cos − b sin, a sin + b cos) of the pairs (a, b)."""
    cosines, sines = angles
    step = draft.ints(2 if interleaved else 1)
    bounds = ((0, 2 * half), (1, 2 * half)) if interleaved else ((0, half), (half, 2 * half))
    a, b = (draft("Slice", [x, draft.ints(s), draft.ints(e), draft.ints(3), step]) for s, e in bounds)
    real = draft("Sub", [draft("Mul", [a, cosines]), draft("Mul", [b, sines])])
    imaginary = draft("Add", [draft("Mul", [a, sines]), draft("Mul", [b, cosines])])
    if not interleaved:
        return draft("Concat", [real, imaginary], axis=3)
    pairs = draft("Concat", [draft("Unsqueeze", [part, draft.ints(4)]) for part in (real, imaginary)], axis=4)
    return draft("Reshape", [pairs, draft.ints(0, 0, 0, 2 * half)])
