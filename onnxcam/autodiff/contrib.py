"""Ops of com.microsoft that nothing in the default domain does; all others are lowered when a model is loaded."""

from __future__ import annotations

from onnxcam.autodiff.extents import rank_of
from onnxcam.autodiff.registry import no_gradient, vjp
from onnxcam.graph import Node, Value

no_gradient(
    "com.microsoft.BifurcationDetector",
    "com.microsoft.IsAllFinite",
    "com.microsoft.MurmurHash3",
    "com.microsoft.NGramRepeatBlock",
    "com.microsoft.ReduceSumInteger",
    "com.microsoft.Tokenizer",
)


@vjp("com.microsoft.Inverse")
def inverse(g: Value, node: Node) -> Value:
    """Y = X⁻¹: −Yᵀ g Yᵀ."""
    op, rank = node.tape, rank_of(node.x, node)
    turned = op.Transpose(node.output, perm=[*range(rank - 2), rank - 1, rank - 2])
    first = op.MatMul(turned, g)
    for value in (turned, first):  # nobody infers shapes of this domain; all are square
        op.note_shape(value, node.x)
    return op.Neg(op.MatMul(first, turned))
