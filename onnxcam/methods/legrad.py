"""LeGrad: how the score of each block of a transformer depends on where its attention looks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

from onnxcam.errors import NoAttention
from onnxcam.graph import Value
from onnxcam.layouts import form_of
from onnxcam.methods.attention import UNJOINED, all_maps, as_grid, attention_maps, reach_of, stream
from onnxcam.methods.table import method_of_question
from onnxcam.places import heads_apart
from onnxcam.question import Question

SOURCE = "Bousselham et al. 2024, arXiv:2404.03214"
# From the tokens that a block gives and the axes that they lie on to what the head gets of them.
Pool: TypeAlias = Callable[[Value, Sequence[int]], Value]


@method_of_question("legrad", source=SOURCE, find=attention_maps)
def legrad(question: Question) -> list[Value]:
    """How each block's own score grows with its attention: max(g, 0), averaged over heads, queries and blocks.

    The score of a block is what the model's last norm, pooling and head make of its output.
    """
    return [_map(question, lambda tokens, _: tokens)]


@method_of_question("legrad", source=SOURCE, find=attention_maps, like="torchcam")
def legrad_torchcam(question: Question) -> list[Value]:
    """LeGrad where the head sees the mean over all tokens of a block, the class token among them."""
    return [_map(question, _mean_in_each_place)]


def _mean_in_each_place(tokens: Value, axes: Sequence[int]) -> Value:
    """Whatever the model takes of the tokens then, it is their mean."""
    op = tokens.tape
    return op.Expand(op.ReduceMean(tokens, op.ints(*axes), keepdims=1), op.Shape(tokens))


def _map(question: Question, pool: Pool) -> Value:
    """(M, h, w)."""
    op, first = question.tape, question.layers[0]
    sums = stream(reach_of(question), first)
    form = form_of(sums[-1], question.followed.axes[sums[-1]])
    # Nets whose early stages are convolutions may keep rows and columns between their attentions.
    axes = [1] if form is None else [at for at, letter in enumerate(form.layout) if letter in "DHWT"]
    seen = []
    for block, attention, layer in zip(_outputs(question, sums), question.tensors, question.layers, strict=True):
        tokens = pool(question.rows_of(block), axes)
        score = question.score_of(question.values_with({sums[-1]: tokens}))
        (g,) = question.differentiate(score, [attention])
        seen.append(op.ReduceMean(op.Relu(heads_apart(g, layer.heads)), op.ints(1, 2), keepdims=0))
    return as_grid(reduce(Value.__add__, seen) / float(len(seen)), first)


def _outputs(question: Question, sums: list[Value]) -> list[Value]:
    """Of each layer's block the tokens that it gives: the last sum before the next attention.

    Raises:
        NoAttention: if there is none.
    """
    order = {value: index for index, node in enumerate(question.tape.nodes) for value in node.outputs}
    starts = [order[question.tape.value(layer.tensor)] for layer in all_maps(reach_of(question))]
    found = []
    for value in question.once:
        later = bisect_right(starts, order[value])
        end = starts[later] if later < len(starts) else len(order)
        within = [tokens for tokens in sums if order[value] < order[tokens] < end]
        if not within:
            raise NoAttention(UNJOINED)
        found.append(within[-1])
    return found
