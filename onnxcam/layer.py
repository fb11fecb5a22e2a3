"""Which tensors can be explained, under the names that the model's author gave them.

Not called `layers`, which is the function `onnxcam.layers`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from onnxcam.errors import NoSpatialLayer, UnknownLayer, VanishedLayer
from onnxcam.graph import Dim, Node, Tape, Value
from onnxcam.layouts import Followed, Form, Reach, choose, find_picture, form_of, picture_layout, space_axes
from onnxcam.naming import known_names, name_layers, vanished

WISHED = "what the scores of the places are made of"
# Ops after which the same places lie in another order, or without the tokens beside them.
MOVING = frozenset(("Transpose", "Slice", "Reshape", "Squeeze", "Unsqueeze", "Identity"))


@dataclass(frozen=True, slots=True)
class Layer:
    """A tensor that can be explained.

    Attributes:
        name: by its author's module path where the file knows it, else the tensor's.
        tensor: its name in the graph.
        shape: each dimension a number, a symbol or None where unknown.
        layout: what the axes are, "NCHW", "NHWC" or, for tokens, "NTC"; "NCQT" for attention, of each token by each.
        grid: rows and columns of its places; of volumes and videos depth or frames first.
        prefix: of tokens, how many come before those of the grid: class, distillation, registers.
        heads: of attention, how many share the axis of the images, as "NQT"; 0 elsewhere.
        is_default: whether this layer is taken when none is named.
        reason: why it is the default, or what computes it.
        order: of tokens, how they run through the grid where that is not its own order: "HWD", all frames of a place.
    """

    name: str
    tensor: str
    shape: tuple[Dim, ...]
    layout: str
    is_default: bool
    reason: str
    grid: tuple[Dim, ...] = (None, None)
    prefix: int = 0
    heads: int = 0
    order: str = ""


def find_layers(tape: Tape, logits: Value, wished: Sequence[Value] = ()) -> list[Layer]:
    """Every tensor between the picture and the logits that has rows and columns: the default first, then from the last.

    Which one is the default, `onnxcam.layouts.choose` says, where `wished` does not: the defaults of scores whose space
    has no end, as of detectors and of segmentation.

    Raises:
        NoSpatialLayer: if there is none, as in a net of dense layers.
    """
    picture = find_picture(tape)
    if picture is None:
        raise NoSpatialLayer(None)
    reach = Reach(tape, Followed(tape, picture), logits)
    forms = _forms(reach)
    named = set(known_names(tape, list(forms)).values())
    if any(value in forms for value in wished):
        chosen = {_with_name(value, forms, named): WISHED for value in wished if value in forms}
    else:
        choice = choose(reach, forms)
        if choice is None:
            raise NoSpatialLayer(picture.name)
        chosen = {_with_name(choice.value, forms, named): choice.reason}
    names = name_layers(tape, list(forms))
    defaults = [_describe(value, forms, names, reason=why, is_default=True) for value, why in chosen.items()]
    others = [value for value in reversed(forms) if value not in chosen]
    return [*defaults, *(_describe(value, forms, names, reason=_reason(value, reach)) for value in others)]


def _forms(reach: Reach) -> dict[Value, Form]:
    """The tensors that a grid can be read off, in the order in which they are computed."""
    axes = reach.followed.axes
    found = {
        value: form_of(value, axes[value])
        for node in reach.nodes
        if node in node.tape.loaded
        for value in node.outputs
        if value in axes and value in reach.below and not _is_bottomless(node)
    }
    rank = len(space_axes(picture_layout(reach.followed.picture) or "NCHW"))
    return {value: form for value, form in found.items() if form is not None and len(form.grid) == rank}


def _is_bottomless(node: Node) -> bool:
    """Whether it puts an edge of −∞ around a map, for a maximum to pass over: no activation, and no map to be made."""
    filling = node.optional(2) if node.op_type == "Pad" else None
    number = None if filling is None else filling.constant
    return number is not None and number.dtype.kind == "f" and bool((number <= np.finfo(number.dtype).min).all())


def resolve(tape: Tape, layers: Sequence[Layer], wanted: str | None) -> Layer:
    """The layer of that name: its author's, a tensor's or node's, or the only one that ends so; None: the default.

    Raises:
        VanishedLayer: if its author knows the name, but the model computes it together with another layer.
        UnknownLayer: if there is none; the near ones are named.
    """
    if wanted is None:
        return layers[0]
    by_tensor = {layer.tensor: layer for layer in layers}
    names = known_names(tape, in_order(tape, [tape.value(layer.tensor) for layer in layers]))
    for found in (names.get(wanted), wanted, _tensor_of_node(tape, wanted)):
        if found in by_tensor:
            return by_tensor[found]
    known = {**{name: name for name in by_tensor}, **names}
    ending = {tensor for name, tensor in known.items() if name.endswith((f".{wanted}", f"/{wanted}"))}
    if len(ending) == 1:
        return by_tensor[ending.pop()]
    if survivor := vanished(tape).get(wanted):
        raise VanishedLayer(wanted, survivor)
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    raise UnknownLayer(wanted, near, len(layers), exists=wanted in tape)


def resolved(tape: Tape, layers: Sequence[Layer], wanted: Sequence[str]) -> tuple[Layer, ...]:
    """The layers of those names, each once: two names may be of one tensor, its author's and its own.

    Raises:
        VanishedLayer, UnknownLayer: as `resolve`.
    """
    return tuple(dict.fromkeys(resolve(tape, layers, name) for name in wanted))


def in_order(tape: Tape, values: Collection[Value]) -> list[Value]:
    """The tensors in the order in which they are computed."""
    wanted = set(values)
    return [value for node in tape.nodes for value in node.outputs if value in wanted]


def _with_name(value: Value, forms: dict[Value, Form], named: Collection[str]) -> Value:
    """The tensor, or where only an earlier one with the same places, otherwise laid out, has a name: that one."""
    same = value
    while same.name not in named and same.producer is not None and same.producer.op_type in MOVING:
        same = same.producer.x
        if same not in forms or forms[same].grid != forms[value].grid:
            return value
    return same if same.name in named else value


def _describe(
    value: Value, forms: dict[Value, Form], names: dict[Value, str], *, reason: str, is_default: bool = False
) -> Layer:
    form = forms[value]
    shape = value.shape or ()
    name, places = names[value], (form.grid, form.prefix)
    return Layer(name, value.name, shape, form.layout, is_default, reason, *places, order=form.order)


def _reason(value: Value, reach: Reach) -> str:
    """What computes it."""
    producer = value.producer
    made_by = f"{producer.op_type} {producer.name}".strip() if producer else "input"
    return f"{made_by}; only its class token reaches the score" if reach.dead.get(value) else made_by


def _tensor_of_node(tape: Tape, name: str) -> str | None:
    found: Node | None = next((node for node in tape.nodes if node.name == name and name), None)
    return found.output.name if found else None
