"""Which tensors a method looks at: the layers that can be explained, or the picture itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from onnxcam.errors import IntegerTensor, NoLayerNeeded, NoSpatialLayer
from onnxcam.graph import Tape, Value
from onnxcam.layer import Layer, find_layers, resolved
from onnxcam.layouts import Followed, find_picture, form_of, picture_layout, space_sides
from onnxcam.scores import Scores

# From the model, its scores and the names that were asked for to the layers.
Find: TypeAlias = Callable[[Tape, Scores, Sequence[str] | None], tuple[Layer, ...]]


def explainable(tape: Tape, scores: Scores, wanted: Sequence[str] | None) -> tuple[Layer, ...]:
    """The layers of those names, or the default ones.

    Raises:
        NoSpatialLayer, UnknownLayer, VanishedLayer: if there is none such.
    """
    known = find_layers(tape, scores.values, scores.layers)
    if wanted:
        return resolved(tape, known, wanted)
    return tuple(layer for layer in known if layer.is_default)


def of_picture(tape: Tape, _: Scores, wanted: Sequence[str] | None) -> tuple[Layer, ...]:
    """The picture's input, as a layer; where it holds integers, the first floats that are made of it.

    Raises:
        IntegerTensor: if no tensor holds the picture as floats.
        NoLayerNeeded: if another layer was asked for.
        NoSpatialLayer: if the model takes no picture.
    """
    picture = find_picture(tape)
    if picture is None:
        raise NoSpatialLayer(None)
    if wanted and list(wanted) != [picture.name]:
        raise NoLayerNeeded(wanted[0], picture.name)
    value, layout = _floats(tape, picture)
    is_input = value == picture
    reason = "the picture" if is_input else f"the first floats that are made of the picture {picture.name!r}"
    grid = space_sides(value, layout)
    return (Layer(value.name, value.name, value.shape or (), layout, True, reason, grid),)


def _floats(tape: Tape, picture: Value) -> tuple[Value, str]:
    """The picture, or of one of integers what first holds its pixels as floats, and its layout.

    Raises:
        IntegerTensor: if that cannot be told.
    """
    layout = picture_layout(picture) or "NCHW"
    if _is_float(picture):
        return picture, layout
    value: Value | None = picture
    while value is not None and not _is_float(value):
        value = _only_successor(tape, value)
    form = None if value is None else form_of(value, Followed(tape, picture).axes.get(value, ()))
    if value is None or form is None or form.grid != space_sides(picture, layout):
        raise IntegerTensor(picture.name, str(picture.dtype))
    return value, form.layout


def _is_float(value: Value) -> bool:
    return value.dtype is not None and value.dtype.kind in "fV"


def _only_successor(tape: Tape, value: Value) -> Value | None:
    """What the one node that reads the value for more than its size makes of it; None where there are several."""
    readers = [node for node in tape.nodes if value in node.reads and node.op_type not in ("Shape", "Size")]
    return readers[0].output if len(readers) == 1 else None
