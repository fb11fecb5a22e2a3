"""Products with weights of few bits: dequantised by arithmetic, which ONNX Runtime does when it loads the model."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.registry import equals, forbid, kind_of


@equals("MatMulNBits", inputs=6)
def matmul_n_bits(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """A · Wᵀ + bias, W (N, K) in blocks along K, each with a scale and a zero point."""
    forbid(draft, node, "weight_prepacked")
    bits, block, rows, columns = (take(node, name, 4) for name in ("bits", "block_size", "N", "K"))
    take(node, "accuracy_level")  # how far a kernel may round; the product meant is the same
    if bits not in (2, 4, 8) or source(node, 4):
        raise refuse(draft.node, draft.scope, f"its weights are of {bits} bits, or sorted into groups")
    a, kind, blocks = node.input[0], kind_of(draft, node.input[0]), -(-columns // block)
    entries = draft("Reshape", [_unpacked(draft, node.input[1], bits), draft.ints(rows, blocks, block)])
    zeros = _zeros(draft, source(node, 3), bits, rows=rows, blocks=blocks)
    scales = draft("Reshape", [draft("Cast", [node.input[2]], to=TensorProto.FLOAT), draft.ints(rows, blocks, 1)])
    weights = draft("Mul", [draft("Sub", [entries, zeros]), scales])
    matrix = draft("Reshape", [weights, draft.ints(rows, blocks * block)])
    if blocks * block != columns:
        matrix = draft("Slice", [matrix, draft.ints(0), draft.ints(columns), draft.ints(1)])
    turned = draft("Cast", [draft("Transpose", [matrix], perm=[1, 0])], to=kind)
    if bias := source(node, 5):
        return draft.ends("Add", [draft("MatMul", [a, turned]), bias])
    return draft.ends("MatMul", [a, turned])


def _zeros(draft: Draft, zeros: str, bits: int, *, rows: int, blocks: int) -> str:
    """(rows, blocks, 1) of float32: given packed as the weights are, or as numbers; else the middle of the range."""
    if not zeros:
        return _number(draft, float(1 << (bits - 1)))
    if kind_of(draft, zeros) != TensorProto.UINT8:
        return draft("Reshape", [draft("Cast", [zeros], to=TensorProto.FLOAT), draft.ints(rows, blocks, 1)])
    entries = draft("Reshape", [_unpacked(draft, zeros, bits), draft.ints(rows, -1, 1)])
    return draft("Slice", [entries, draft.ints(0), draft.ints(blocks), draft.ints(1)])


def _unpacked(draft: Draft, packed: str, bits: int) -> str:
    """The entries of bytes, the lowest bits first, along one more axis, as floats."""
    whole = draft("Cast", [packed], to=TensorProto.FLOAT)
    if bits == 8:
        return whole
    parts, width = [], float(1 << bits)
    for _ in range(8 // bits):
        above = draft("Floor", [draft("Mul", [whole, _number(draft, 1 / width)])])
        parts.append(draft("Sub", [whole, draft("Mul", [above, _number(draft, width)])]))
        whole = above
    last = [draft("Unsqueeze", [part, draft.ints(-1)]) for part in parts]
    return draft("Concat", last, axis=-1)


def _number(draft: Draft, value: float) -> str:
    return draft.scope.constant(np.array(value, np.float32), f"{draft.stem}/number")
