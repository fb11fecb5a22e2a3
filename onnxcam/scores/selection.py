"""How a target picks what is explained, for each image: columns of the scores, with signs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onnxcam.graph import Dim, Value

if TYPE_CHECKING:
    from onnxcam.scores.table import Scores


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of the scores while a graph is built.

    Attributes:
        target: int64 (N, K).
        picture: the picture's input.
        lead: the leading dimensions of inputs and outputs that have a row for each target: [N], or [N, K].
    """

    target: Value
    picture: Value
    lead: Sequence[Dim]


@dataclass(frozen=True, slots=True)
class Term:
    """One column of the scores for each target: `column` int64 (N, K), `sign` (N, K) in the type of the scores."""

    column: Value
    sign: Value


@dataclass(frozen=True, slots=True)
class Selection:
    """What a target picks of each image's scores: Σ sign · values[column] over the terms.

    Attributes:
        index: (N, K), what was picked, as it is reported.
        score: (N, K), what is explained.
        terms: one, or two for a difference.
        extras: further outputs of the graph by name, (N, K, …): the box that was picked.
        is_there: truth values (N, K), whether there is such a thing in the image; None where there always is.
    """

    index: Value
    score: Value
    terms: tuple[Term, ...]
    extras: Mapping[str, Value] = field(default_factory=dict)
    is_there: Value | None = None


def select_class(scores: Scores, ask: Ask) -> Selection:
    """The chosen classes of each image.

    With C classes a target t is, for 0 ≤ t < C, a class; for C ≤ t < 2C the other side of class t − C, minus its
    logit; for 2C + a·C + b the difference of classes a and b; for t < 0 a rank: −1 the best, −2 the second. A
    one-output sigmoid has two sides to rank, others C classes without their groups.
    """
    target, values, classes = ask.target, scores.values, scores.classes
    index = target.tape.Where(target < 0, _at_rank(scores, target), target)
    terms = tuple(_terms(index, classes, like=values))
    return Selection(index, chosen(values, terms), terms)


def chosen(values: Value, terms: Sequence[Term]) -> Value:
    """Σ sign · values[column]: (N, S) → (N, K)."""
    parts = [values.tape.GatherElements(values, term.column, axis=1) * term.sign for term in terms]
    return sum(parts[1:], parts[0])


def _terms(index: Value, classes: int, *, like: Value) -> Iterator[Term]:
    """What is asked of a class, of its other side, and of a difference, by quotient and remainder by C.

    The remainder's class counts once, its other side and the second of a difference less once; the first of a
    difference is the quotient's less two, and nought times class 0 elsewhere.
    """
    op, is_class = index.tape, index < classes
    zero, one, less = (op.number(number, like) for number in (0.0, 1.0, -1.0))
    if classes == 1:
        yield Term(op.Where(is_class, index, index - 1), op.Where(is_class, one, less))
        return
    count = op.constant(np.array(classes, np.int64))
    yield Term(op.Mod(index, count), op.Where(is_class, one, less))
    quotient = index / count - 2
    is_pair = quotient >= 0
    first = op.Where(is_pair, quotient, op.constant(np.array(0, np.int64)))
    yield Term(first, op.Where(is_pair, one, zero))


def _at_rank(scores: Scores, target: Value) -> Value:
    """The class at rank −1, −2 …, (N, K); whatever for targets that are no rank."""
    op, values = target.tape, scores.values
    ranked = op.Slice(values, op.ints(0), op.ints(scores.ranked), op.ints(1)) if scores.groups else values
    ranked = op.Concat(ranked, -ranked, axis=1) if scores.has_sides else ranked
    count = 2 * scores.ranked if scores.has_sides else scores.ranked
    _, order = op.emit("TopK", [ranked, op.ints(count)], {"axis": 1}, outputs=2)
    zero = op.constant(np.array(0, np.int64))
    return op.GatherElements(order, op.Where(target < 0, -1 - target, zero), axis=1)
