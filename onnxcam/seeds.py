"""Where the reverse walk starts: the cotangents of the scores that a target picks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from onnxcam.graph import Node, Value
from onnxcam.scores import PLUMBING, Term


def cotangents(values: Value, terms: Sequence[Term], scale: float = 1.0) -> dict[Value, Value]:
    """What to differentiate, and with which cotangent, for the gradient of the selected scores times `scale`.

    Of a dense last layer only the rows of the selected classes matter. Multiplying the whole matrix by a vector that
    has a single one in it would read all of it: for mobilenet_v2 5 MB, 3 % of the forward pass.

    Args:
        values: the scores, (M, S).
        terms: columns and signs, (M, 1) each.
        scale: a factor for all.
    """
    dense = last_dense(_unquantized(values))
    if dense is not None:
        parts = [class_rows(dense, _flat(term.column)) * term.sign for term in _scaled(terms, scale)]
        return {dense.x: reduce(Value.__add__, parts)}
    return at_scores(values, terms, scale)


def at_scores(values: Value, terms: Sequence[Term], scale: float = 1.0) -> dict[Value, Value]:
    """The same from the scores themselves on, so that the last layer's own rule is asked too."""
    start = _unquantized(values)
    seed = reduce(Value.__add__, [_one_hot(values, term) for term in _scaled(terms, scale)])
    return {start: seed if len(start.shape or ()) == 2 else seed.tape.Reshape(seed, seed.tape.Shape(start))}


def _scaled(terms: Sequence[Term], scale: float) -> Sequence[Term]:
    return terms if scale == 1.0 else [Term(term.column, term.sign * scale) for term in terms]


def _unquantized(values: Value) -> Value:
    """The scores before they were quantised: one at the upper end of its integers would have no gradient left."""
    start, value = values, values
    while (node := value.producer) is not None and (node.op_type in PLUMBING or _adds_constant(node)):
        value = node.x
        start = value if node.op_type == "QuantizeLinear" else start
    return start


def _adds_constant(node: Node) -> bool:
    return node.op_type == "Add" and node.is_constant(1)


def last_dense(values: Value) -> Node | None:
    """The product x·W with a constant W that the scores are, but for a constant summand; None elsewhere."""
    node = values.producer
    while node is not None and (node.op_type == "Identity" or _adds_constant(node)):
        node = node.x.producer
    if node is None or node.op_type not in ("Gemm", "MatMul") or not node.is_constant(1):
        return None
    w = node.input(1).shape
    is_plain = w is not None and len(w) == 2 and node.x.shape is not None and len(node.x.shape) == 2
    return node if is_plain and not node.attributes.get("transA", 0) else None


def class_rows(dense: Node, index: Value) -> Value:
    """The weights of the selected classes: (M,) → (M, F), (N, K) → (N, K, F)."""
    op, w, alpha = index.tape, dense.input(1), float(dense.attributes.get("alpha", 1.0))
    if dense.attributes.get("transB", 0):
        rows = op.Gather(w, index, axis=0)
    else:
        rank = len(index.shape or (None,))
        rows = op.Transpose(op.Gather(w, index, axis=1), perm=[*range(1, rank + 1), 0])
    return rows if alpha == 1.0 else rows * alpha


def _flat(column: Value) -> Value:
    """(M, 1) → (M,)."""
    return column.tape.Squeeze(column, column.tape.ints(1))


def _one_hot(values: Value, term: Term) -> Value:
    """(M, S): the sign at the selected column, 0 elsewhere."""
    op, count = values.tape, (values.shape or (None, None))[1]
    # Computed when the file is loaded: written out, the numbers of 1000 classes are 8 kB.
    zero, one = (op.constant(np.array(n, np.int64)) for n in (0, 1))
    end = (
        op.constant(np.array(count, np.int64))
        if isinstance(count, int)
        else op.Squeeze(op.Shape(values, start=1, end=2), op.ints(0))
    )
    columns = op.Range(zero, end, one)
    return op.Where(columns.equals(term.column), term.sign, op.number(0.0, values))
