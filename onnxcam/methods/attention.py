"""The attention maps of a transformer, found in the graph, and how a look at the picture is read off them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from onnxcam.errors import NoAttention, NoSpatialLayer
from onnxcam.graph import Tape, Value
from onnxcam.layer import Layer, resolved
from onnxcam.layouts import Followed, Form, Reach, find_picture, form_of, form_of_attention, junctions
from onnxcam.naming import module_paths
from onnxcam.places import heads_apart, on_grid
from onnxcam.question import Question
from onnxcam.scores import Scores

NONE = "nothing in the model weighs the places of the picture against one another"
PARTIAL = "attention {} joins only some of its places, as in windows, or goes to fewer than it comes from"
UNJOINED = "its blocks are not joined by a sum of tokens"
UNEQUAL = "its attention maps have grids of different sizes, or class tokens only in some blocks"


def attention_maps(tape: Tape, scores: Scores, wanted: Sequence[str] | None) -> tuple[Layer, ...]:
    """The attention maps between all tokens of the picture, from the first on; or those of the names asked for.

    Raises:
        NoAttention: if there are none, or some that cannot be followed.
        NoSpatialLayer: if the model takes no picture.
        UnknownLayer: for a name that no attention map has.
    """
    picture = find_picture(tape)
    if picture is None:
        raise NoSpatialLayer(None)
    found = all_maps(Reach(tape, Followed(tape, picture), scores.values))
    return resolved(tape, found[::-1], wanted) if wanted else tuple(found)


def all_maps(reach: Reach) -> list[Layer]:
    """The same, whatever they are called.

    Raises:
        NoAttention: if there are none, or some that cannot be followed.
    """
    axes, found, gap = reach.followed.axes, list[Layer](), ""
    softmaxes = [node for node in reach.nodes if node.op_type == "Softmax" and node.output in reach.below]
    for node in softmaxes:
        value = node.output
        known = form_of_attention(value, axes[value]) if value in axes else None
        if known is not None and not gap:
            name = next(reversed(module_paths(node)), value.name)
            found.append(_layer(value, name, known.form, known.heads))
        elif known is not None or (not found and len(value.shape or ()) > 2):
            raise NoAttention(PARTIAL.format(gap or repr(node.title)))
        elif value in reach.followed.reached:
            gap = repr(node.title)  # well behind the last map of all places, as in a decoder; not between two
    if not found:
        raise NoAttention(NONE)
    if len({(layer.grid, layer.prefix) for layer in found}) > 1:
        raise NoAttention(UNEQUAL)
    return found


def _layer(value: Value, name: str, form: Form, heads: int) -> Layer:
    places = (form.grid, form.prefix, heads, form.order)
    return Layer(name, value.name, value.shape or (), form.layout, True, "attention", *places)


def maps_once(question: Question) -> list[Value]:
    """The attention of the N images, float32 (N, heads, T, T), from the first block to the last."""
    return [heads_apart(value, layer.heads) for value, layer in zip(question.once, question.layers, strict=True)]


def maps(question: Question) -> list[Value]:
    """The same for the M rows."""
    return [heads_apart(value, layer.heads) for value, layer in zip(question.tensors, question.layers, strict=True)]


def onlookers(question: Question) -> Value:
    """Who looks at the picture in the end, (1, 1, T): the class token; or all places, where the score is theirs."""
    op, layer = question.tape, question.layers[0]
    count = int((layer.shape or ())[-1] or 0)
    weights = np.zeros((1, 1, count), np.float32)
    places = prod(n for n in layer.grid if isinstance(n, int))
    if layer.prefix and not _goes_on_from_places(question):
        weights[..., 0] = 1
    else:
        weights[..., layer.prefix : layer.prefix + places] = 1 / places
    return op.constant(weights)


def _goes_on_from_places(question: Question) -> bool:
    """Whether places themselves reach the score behind the last attention."""
    reach = reach_of(question)
    return reach.is_live(stream(reach, question.layers[0])[-1])


def reach_of(question: Question) -> Reach:
    """Which places of which tensors the score hangs on."""
    return Reach(question.tape, question.followed, question.scores.values)


def stream(reach: Reach, layer: Layer) -> list[Value]:
    """The residual stream of the tokens that the attention is between: what each attention and each MLP is added to.

    Raises:
        NoAttention: if there is none.
    """
    axes = reach.followed.axes
    forms = {value: form_of(value, axes[value]) for value in junctions(reach) if value in axes}
    found = [value for value, form in forms.items() if form is not None and form.grid == layer.grid]
    if not found:
        raise NoAttention(UNJOINED)
    return found


def as_grid(rows: Value, layer: Layer) -> Value:
    """(M, T) → (M, h, w): the tokens of the grid."""
    return on_grid(rows, layer.grid, prefix=layer.prefix, order=layer.order)
