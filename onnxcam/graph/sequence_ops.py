"""Lists of tensors whose lengths and places are known: made, changed, read, put together."""

from __future__ import annotations

import numpy as np
import onnx.helper
import onnx.numpy_helper
from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, source
from onnxcam.graph.lists import Known, Listed, Pieces, resolves


@resolves("SequenceConstruct")
def construct(draft: Draft, known: Known) -> None:
    """The tensors it is given."""
    known[draft.node.output[0]] = Listed(tuple(draft.node.input))


@resolves("SequenceEmpty")
def empty(draft: Draft, known: Known) -> None:
    """None yet."""
    known[draft.node.output[0]] = Listed(())


@resolves("SequenceInsert")
def insert(draft: Draft, known: Known) -> None:
    """By default the tensor goes to the end."""
    before, place = known.get(draft.node.input[0]), _place(draft, 2)
    if isinstance(before, Listed) and (place is not None or not source(draft.node, 2)):
        tensors = list(before.tensors)
        tensors.insert(len(tensors) if place is None else place, draft.node.input[1])
        known[draft.node.output[0]] = Listed(tuple(tensors))


@resolves("SequenceErase")
def erase(draft: Draft, known: Known) -> None:
    """By default the last one goes."""
    before = known.get(draft.node.input[0])
    place = _place(draft, 1) if source(draft.node, 1) else -1
    if isinstance(before, Listed) and place is not None and _is_within(place, before):
        tensors = list(before.tensors)
        del tensors[place]
        known[draft.node.output[0]] = Listed(tuple(tensors))


@resolves("SequenceAt")
def at(draft: Draft, known: Known) -> list[NodeProto] | None:
    """The tensor in that place."""
    given, place = known.get(draft.node.input[0]), _place(draft, 1)
    if isinstance(given, Pieces):
        return _piece(draft, given, draft.node.input[1])
    if not isinstance(given, Listed) or place is None or not _is_within(place, given):
        return None
    return draft.ends("Identity", [given.tensors[place]])


@resolves("SequenceLength")
def length(draft: Draft, known: Known) -> list[NodeProto] | None:
    """A number, where it is known; else as many as fit along the axis."""
    given = known.get(draft.node.input[0])
    if isinstance(given, Listed):
        number = onnx.numpy_helper.from_array(np.array(len(given.tensors)))
        return draft.ends("Constant", [], value=number)
    if isinstance(given, Pieces):
        return draft.ends("Squeeze", [_count(draft, given)])
    return None


@resolves("SplitToSequence")
def split(draft: Draft, known: Known) -> list[NodeProto] | None:
    """A Split; without sizes, slices of one, which then may lose the axis."""
    node, x, lengths = draft.node, draft.node.input[0], source(draft.node, 1)
    shape = draft.scope.shape(x)
    if shape is None:
        return None
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis = attributes.get("axis", 0) % len(shape)
    keeps_axis = bool(lengths) or bool(attributes.get("keepdims", 1))
    sizes = _sizes(draft, shape[axis], lengths)
    if isinstance(sizes, int):
        known[node.output[0]] = Pieces(x, axis, sizes, keeps_axis)
        return None
    count = _count_of(draft, lengths) if sizes is None else len(sizes)
    if not count:
        return None
    parts = _split(draft, [x, lengths if sizes is None else draft.ints(*sizes)], count, axis=axis)
    known[node.output[0]] = Listed(parts if keeps_axis else tuple(_without(draft, part, axis) for part in parts))
    return [*draft.nodes, node]


def _sizes(draft: Draft, n: int | None, lengths: str) -> list[int] | int | None:
    """How long each piece is; one number where only that is known; None where not even that is."""
    given = np.array(1) if not lengths else draft.scope.array(lengths)
    if given is None:
        return None
    if given.ndim:
        return [int(size) for size in given]
    size = int(given)
    if n is None or size < 1:
        return size if size >= 1 else None
    return [min(size, n - start) for start in range(0, n, size)]


def _count_of(draft: Draft, lengths: str) -> int | None:
    """How many lengths a list that is computed has."""
    shape = draft.scope.shape(lengths)
    return shape[0] if shape else None


def _split(draft: Draft, inputs: list[str], count: int, *, axis: int) -> tuple[str, ...]:
    stem = draft.node.output[0]
    parts = tuple(draft.scope.names.fresh(f"{stem}/{index}") for index in range(count))
    draft.nodes.append(onnx.helper.make_node("Split", inputs, parts, axis=axis))
    return parts


def _without(draft: Draft, x: str, axis: int) -> str:
    return draft("Squeeze", [x, draft.ints(axis)])


@resolves("ConcatFromSequence")
def concat(draft: Draft, known: Known) -> list[NodeProto] | None:
    """Concat; with `new_axis` each tensor gets that axis first."""
    node, given = draft.node, known.get(draft.node.input[0])
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis, is_stacked = attributes["axis"], bool(attributes.get("new_axis", 0))
    if isinstance(given, Pieces) and given.axis == axis and given.keeps_axis != is_stacked:
        return draft.ends("Identity", [given.tensor])
    if not isinstance(given, Listed) or not given.tensors:
        return None
    along = draft.ints(axis) if is_stacked else ""
    parts = [draft("Unsqueeze", [part, along]) if is_stacked else part for part in given.tensors]
    return draft.ends("Concat", parts, axis=axis)


def _place(draft: Draft, index: int) -> int | None:
    """The position that an input holds; None when it is computed or left out."""
    array = draft.scope.array(source(draft.node, index))
    return None if array is None else int(array.item())


def _is_within(place: int, given: Listed) -> bool:
    return -len(given.tensors) <= place < len(given.tensors)


def _count(draft: Draft, pieces: Pieces) -> str:
    """How many pieces there are, a list of one."""
    n = draft("Shape", [pieces.tensor], start=pieces.axis, end=pieces.axis + 1)
    if pieces.size == 1:
        return n
    return draft("Div", [draft("Add", [n, draft.ints(pieces.size - 1)]), draft.ints(pieces.size)])


def _piece(draft: Draft, pieces: Pieces, place: str) -> list[NodeProto]:
    """The piece in that place, counted from behind where that is negative."""
    if pieces.size == 1:
        chosen = draft("Reshape", [place, draft.ints(1)]) if pieces.keeps_axis else place
        return draft.ends("Gather", [pieces.tensor, chosen], axis=pieces.axis)
    listed = draft("Cast", [draft("Reshape", [place, draft.ints(1)])], to=TensorProto.INT64)
    behind = draft("Add", [listed, _count(draft, pieces)])
    index = draft("Where", [draft("Less", [listed, draft.ints(0)]), behind, listed])
    start = draft("Mul", [index, draft.ints(pieces.size)])
    end = draft("Add", [start, draft.ints(pieces.size)])
    return draft.ends("Slice", [pieces.tensor, start, end, draft.ints(pieces.axis)])
