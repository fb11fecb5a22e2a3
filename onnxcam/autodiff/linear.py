"""Matrix products."""

from __future__ import annotations

from onnxcam.autodiff.extents import rank_of
from onnxcam.autodiff.registry import vjp
from onnxcam.graph import Node, Value


@vjp("MatMul")
def matmul(g: Value, node: Node) -> list[Value | None]:
    """dA = g Bᵀ, dB = Aᵀ g; a vector is a matrix of one row (on the left) or one column (on the right)."""
    op = node.tape
    a, b = node.input(0), node.input(1)
    is_row, is_column = rank_of(a, node) == 1, rank_of(b, node) == 1
    if is_row and is_column:
        return [g * b, g * a]
    left = op.Unsqueeze(a, op.ints(0)) if is_row else a
    right = op.Unsqueeze(b, op.ints(1)) if is_column else b
    if is_row or is_column:
        g = op.Unsqueeze(g, op.ints(-2 if is_row else -1))
    da = op.MatMul(g, _transposed(right, node)) if node.wants(0) else None
    db = op.MatMul(_transposed(left, node), g) if node.wants(1) else None
    return [
        op.Squeeze(da, op.ints(-2)) if is_row and da is not None else da,
        op.Squeeze(db, op.ints(-1)) if is_column and db is not None else db,
    ]


@vjp("Gemm")
def gemm(g: Value, node: Node) -> list[Value | None]:
    """Y = α A B + β C: dA = α g Bᵀ, dB = α Aᵀ g, dC = β g; what the node transposes comes out transposed."""
    beta = node.attributes.get("beta", 1.0)
    return [
        _gemm_left(g, node) if node.wants(0) else None,
        _gemm_right(g, node) if node.wants(1) else None,
        (g if beta == 1.0 else g * beta) if node.wants(2) else None,
    ][: len(node.inputs)]


def _gemm_left(g: Value, node: Node) -> Value:
    """α g Bᵀ, or its transpose α B gᵀ."""
    op, b, alpha = node.tape, node.input(1), node.attributes.get("alpha")
    is_a_transposed, is_b_transposed = _transpositions(node)
    if is_a_transposed:
        return op.Gemm(b, g, alpha=alpha, transA=int(is_b_transposed), transB=1)
    return op.Gemm(g, b, alpha=alpha, transB=int(not is_b_transposed))


def _gemm_right(g: Value, node: Node) -> Value:
    """α Aᵀ g, or its transpose α gᵀ A."""
    op, a, alpha = node.tape, node.input(0), node.attributes.get("alpha")
    is_a_transposed, is_b_transposed = _transpositions(node)
    if is_b_transposed:
        return op.Gemm(g, a, alpha=alpha, transA=1, transB=int(is_a_transposed))
    return op.Gemm(a, g, alpha=alpha, transA=int(not is_a_transposed))


def _transpositions(node: Node) -> tuple[bool, bool]:
    return bool(node.attributes.get("transA", 0)), bool(node.attributes.get("transB", 0))


def _transposed(x: Value, node: Node) -> Value:
    """`x` with its last two axes swapped."""
    rank = rank_of(x, node)
    return x.tape.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])
