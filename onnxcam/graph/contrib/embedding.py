"""Tables of vectors, and what language models add to them before the first layer."""

from __future__ import annotations

from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, source, take
from onnxcam.graph.contrib.registry import equals, output, total


@equals("TorchEmbedding", inputs=4)
def torch_embedding(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Rows of the table; the other inputs matter only in training."""
    return draft.ends("Gather", list(node.input[:2]), axis=0)


@equals("EmbedLayerNormalization", inputs=9, outputs=3)
def embed_layer_normalization(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """LayerNormalization of word + position + segment, whose sum is the third output; the second counts the words."""
    ids, segments, words, positions, segment_table, gamma, beta = node.input[:7]
    segment = (segments, segment_table) if segments and segment_table else None
    return _embedded(
        draft, node, ids, (words, positions), segment, mask=source(node, 7), places=source(node, 8), scale=(gamma, beta)
    )


@equals("QEmbedLayerNormalization", inputs=18, outputs=2)
def q_embed_layer_normalization(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The same with tables of integers, whose scales are the inputs 8 to 12 and whose zero points 13 to 17."""
    words, positions, segment, gamma, beta = (_dequantized(draft, node, index) for index in range(5))
    pair = (source(node, 1), segment) if source(node, 1) and segment else None
    return _embedded(
        draft, node, node.input[0], (words, positions), pair, mask=source(node, 7), places="", scale=(gamma, beta)
    )


def _dequantized(draft: Draft, node: NodeProto, index: int) -> str:
    """The table of that index, which is the input two behind; "" if there is none."""
    grid = (_scalar(draft, node, first + index) for first in (8, 13))
    return draft("DequantizeLinear", [node.input[2 + index], *grid]) if node.input[2 + index] else ""


def _scalar(draft: Draft, node: NodeProto, index: int) -> str:
    """A number that may come as a list of one."""
    name = source(node, index)
    return name if draft.scope.shape(name) == [] else draft("Squeeze", [name])


def _embedded(
    draft: Draft,
    node: NodeProto,
    ids: str,
    tables: tuple[str, str],
    segment: tuple[str, str] | None,
    *,
    mask: str,
    places: str,
    scale: tuple[str, str],
) -> list[NodeProto]:
    """The LayerNormalization and the other outputs."""
    take(node, "mask_index_type")
    parts = [draft("Gather", [tables[0], ids], axis=0), _positions(draft, tables[1], ids, places)]
    if segment:
        parts.append(draft("Gather", [segment[1], segment[0]], axis=0))
    added = total(draft, *parts)
    if name := output(node, 2):
        draft.nodes[-1].output[0] = added = name
    if name := output(node, 1):
        _count_words(draft, ids, mask, name)
    return draft.ends("LayerNormalization", [added, *scale], axis=-1, epsilon=take(node, "epsilon", 1e-12))


def _positions(draft: Draft, table: str, ids: str, places: str) -> str:
    """The rows of the places, which are 0, 1, 2 … when they are not told."""
    if places:
        return draft("Gather", [table, places], axis=0)
    length = draft("Shape", [ids], start=1, end=2)
    return draft("Slice", [table, draft.ints(0), length, draft.ints(0)])


def _count_words(draft: Draft, ids: str, mask: str, name: str) -> None:
    """How many entries of each row of the mask are 1; 0 without a mask."""
    if mask:
        is_word = draft("Equal", [mask, draft.number(1, mask)])
        words = draft("Cast", [is_word], to=TensorProto.INT32)
    else:
        words = draft("Sub", [ids, ids])
    draft("ReduceSum", [words, draft.ints(1)], name, keepdims=0)
