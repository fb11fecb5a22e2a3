"""Attention followed through all blocks of a transformer: rollout, and rollout weighted by the gradient."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from onnxcam.graph import Value
from onnxcam.methods.attention import as_grid, attention_maps, maps, maps_once, onlookers
from onnxcam.methods.table import method_of_question
from onnxcam.places import heads_apart
from onnxcam.question import Question
from onnxcam.ranges import ShareBelowOne

Heads: TypeAlias = Literal["mean", "max", "min"]
REDUCTIONS = {"mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}


@method_of_question(
    "rollout", source="Abnar and Zuidema 2020, arXiv:2005.00928", find=attention_maps, needs_gradient=False
)
def rollout(question: Question, *, heads: Heads = "mean", discard: ShareBelowOne = 0.0) -> list[Value]:
    """What the class token looks at through all blocks: Ã_L ⋯ Ã_1 with Ã = (A + I) / 2; the same map for every class.

    `heads`: how those of a block become one. `discard`: the share of each block's weights that is dropped, the
    smallest; rows sum to 1 all the same.
    """
    op, row = question.tape, onlookers(question)
    for attention in reversed(maps_once(question)):
        fused = op.emit(REDUCTIONS[heads], [attention, op.ints(1)], {"keepdims": 0})[0]
        kept = _without_smallest(fused, discard)
        looking = _half_staying(kept, is_even=heads == "mean" and not discard)
        row = op.MatMul(row, looking)
    return [question.for_rows(as_grid(op.Squeeze(row, op.ints(1)), question.layers[0]))]


def _half_staying(attention: Value, *, is_even: bool) -> Value:
    """(A + I) / 2, its rows of sum 1; `is_even`: those of A are."""
    op = attention.tape
    both = attention + _identity(attention)
    return both * 0.5 if is_even else both / op.ReduceSum(both, op.ints(2), keepdims=1)


def _identity(attention: Value) -> Value:
    """(T, T), made when the file is loaded."""
    op, count = attention.tape, (attention.shape or ())[-1]
    tokens = op.Range(*(op.constant(np.array(n, np.float32)) for n in (0, count, 1)))
    return op.Cast(op.Equal(tokens, op.Unsqueeze(tokens, op.ints(1))), to=1)


def _without_smallest(attention: Value, share: float) -> Value:
    """(M, T, T), nought where it is among the smallest."""
    op, count = attention.tape, int((attention.shape or ())[-1] or 0)
    dropped = int(count * count * share)
    if not dropped:
        return attention
    flat = op.Reshape(attention, op.ints(0, -1))
    smallest, _ = op.emit("TopK", [flat, op.ints(dropped)], {"largest": 0}, outputs=2)
    limit = op.Unsqueeze(op.ReduceMax(smallest, op.ints(1), keepdims=1), op.ints(2))
    return op.Where(attention > limit, attention, 0.0)


@method_of_question("gradient-rollout", source="Chefer, Gur and Wolf 2021, arXiv:2103.15679", find=attention_maps)
def gradient_rollout(question: Question) -> list[Value]:
    """Rollout with weights as important as they are for the score: R ← R + ĀR, Ā = mean over heads of max(g · A, 0)."""
    op, row = question.tape, onlookers(question)
    pairs = zip(maps(question), _gradients(question), strict=True)
    for attention, g in reversed(list(pairs)):
        important = op.ReduceMean(op.Relu(g * attention), op.ints(1), keepdims=0)
        row = row + op.MatMul(row, important)
    return [as_grid(op.Squeeze(row, op.ints(1)), question.layers[0])]


def _gradients(question: Question) -> list[Value]:
    """(M, heads, T, T)."""
    found = question.differentiate(None, question.tensors)
    return [heads_apart(value, layer.heads) for value, layer in zip(found, question.layers, strict=True)]
