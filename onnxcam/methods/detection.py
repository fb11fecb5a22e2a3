"""What a detector's head itself says of each place."""

from __future__ import annotations

from functools import reduce

import numpy as np

from onnxcam.errors import NoClassMaps
from onnxcam.graph import Value
from onnxcam.methods.table import method_of_question
from onnxcam.question import Question


@method_of_question(
    "detector-map",
    source="the class maps of a detector's head, as OpenVINO XAI's DetClassProbabilityMap",
    needs_gradient=False,
    score="detector",
)
def detector_map(question: Question) -> list[Value]:
    """The class's probability at each place: logits of all scales averaged, then a softmax over classes; no box.

    Of one class alone, the sigmoid. Two objects of a class have the same map.
    """
    scores, op = question.scores, question.tape
    if not scores.maps:
        raise NoClassMaps(scores.kind)
    size = op.Shape(scores.maps[0], start=2)
    stretched = [scores.maps[0], *(_stretched(logits, size) for logits in scores.maps[1:])]
    mean = reduce(Value.__add__, stretched) / float(len(stretched))
    shares = op.Sigmoid(mean) if scores.classes == 1 else op.Softmax(mean, axis=1)
    return [_of_targets(question, shares)]


def _stretched(logits: Value, size: Value) -> Value:
    """(N, C, h, w) at the resolution of the finest scale, bilinear."""
    op = logits.tape
    sizes = op.Concat(op.Shape(logits, start=0, end=2), size, axis=0)
    return op.Resize(logits, None, None, sizes, mode="linear", coordinate_transformation_mode="half_pixel")


def _of_targets(question: Question, shares: Value) -> Value:
    """The maps of the classes asked for, (N, C, h, w) → (M, h, w): 1 − the class's for its other side, differences."""
    op, terms = shares.tape, question.selection.terms
    flat = op.Reshape(shares, op.ints(0, 0, -1))
    signs = [op.Cast(op.Unsqueeze(term.sign, op.ints(2)), to=1) for term in terms]
    maps = [_of_class(question, term.column, flat) * sign for term, sign in zip(terms, signs, strict=True)]
    is_other = op.Where(signs[0] < 0.0, op.number(1.0, flat), op.number(0.0, flat))
    whole = reduce(Value.__add__, maps) + is_other
    return op.Reshape(whole, op.Concat(op.ints(-1), op.Shape(shares, start=2), axis=0))


def _of_class(question: Question, column: Value, flat: Value) -> Value:
    """The maps (N, K, h·w) of the classes that columns of the scores, candidates × classes, belong to."""
    op = flat.tape
    index = op.Mod(column, op.constant(np.array(question.scores.classes, np.int64)))
    places = op.Concat(op.Shape(index), op.Shape(flat, start=2), axis=0)
    return op.GatherElements(flat, op.Expand(op.Unsqueeze(index, op.ints(2)), places), axis=1)
