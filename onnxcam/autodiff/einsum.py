"""Einsum: its gradient is an Einsum of the cotangent with the other operands."""

from __future__ import annotations

import string
from collections.abc import Sequence

from onnxcam.autodiff.broadcasting import sum_to_shape
from onnxcam.autodiff.extents import rank_of, shape_of
from onnxcam.autodiff.registry import vjp
from onnxcam.graph import Node, Value


@vjp("Einsum")
def einsum(g: Value, node: Node) -> list[Value | None]:
    """The output and the operand change places in the equation, for each operand."""
    operands = [node.input(index) for index in range(len(node.inputs))]
    terms, output = _terms(node, operands)
    return [
        _of_operand(g, operands, index, terms=terms, output=output) if node.wants(index) else None
        for index in range(len(operands))
    ]


def _of_operand(g: Value, operands: Sequence[Value], index: int, *, terms: Sequence[str], output: str) -> Value:
    """The contribution to one operand, in its shape."""
    op, x, term = g.tape, operands[index], terms[index]
    others = [other for other in range(len(operands)) if other != index]
    known = set(output).union(*(terms[other] for other in others))
    labels = "".join(label for label in dict.fromkeys(term) if label in known)
    equation = ",".join([output, *(terms[other] for other in others)]) + "->" + labels
    result = op.Einsum(g, *(operands[other] for other in others), equation=equation)
    return sum_to_shape(_spread(result, x, labels=labels, term=term), x)


def _spread(g: Value, x: Value, *, labels: str, term: str) -> Value:
    """`g` over `labels`, in the axes of `x`: stretched along those that were summed, on the diagonal of repeated."""
    op = g.tape
    # A label's first axis is its own; where it comes again, only the diagonal was read.
    firsts = [term.index(label) == axis for axis, label in enumerate(term)]
    missing = [axis for axis, label in enumerate(term) if not firsts[axis] or label not in labels]
    if not missing:
        return g
    g = op.Expand(op.Unsqueeze(g, op.ints(*missing)), shape_of(x))
    for axis, label in enumerate(term):
        if not firsts[axis]:
            g = op.Where(_diagonal(x, term.index(label), axis), g, 0.0)
    return g


def _diagonal(x: Value, first: int, second: int) -> Value:
    """Where the places along two axes of `x` are equal, ready to be stretched to its shape."""
    op, rank = x.tape, len(x.shape or ())
    count = op.Squeeze(op.Shape(x, start=first, end=first + 1), op.ints(0))
    places = op.Range(op.number(0, count), count, op.number(1, count))
    along = [op.Unsqueeze(places, op.ints(*(axis for axis in range(rank) if axis != own))) for own in (first, second)]
    return along[0].equals(along[1])


def _terms(node: Node, operands: Sequence[Value]) -> tuple[list[str], str]:
    """The operands' labels and the output's, a letter for every axis: ellipses are written out."""
    left, arrow, output = node.attributes["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    letters = [label for label in string.ascii_letters if label not in left]
    widths = [_width(term, x, node) for term, x in zip(terms, operands, strict=True)]
    batch = "".join(letters[: max(widths)])
    terms = [term.replace("...", batch[len(batch) - width :]) for term, width in zip(terms, widths, strict=True)]
    if not arrow:
        # Without an arrow: the ellipsis, then all labels that come once, in order of the alphabet.
        own = left.replace(",", "").replace(".", "")
        output = "..." + "".join(sorted(label for label in own if own.count(label) == 1))
    return terms, output.replace("...", batch)


def _width(term: str, x: Value, node: Node) -> int:
    """How many axes the ellipsis of a term stands for."""
    if "..." not in term:
        return 0
    return rank_of(x, node) - len(term.replace("...", ""))
