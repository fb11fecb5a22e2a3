"""Several targets for each image: its rows repeated above the layer, while all below runs once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from onnxcam.errors import NotRepeatable
from onnxcam.graph import Node, Tape, Value, descendants, replay
from onnxcam.layouts import Followed

TARGET = "target"


def rerun_on_repeats(
    tape: Tape, layers: Sequence[Value], end: Value, picture: Value, *, count: Value
) -> dict[Value, Value]:
    """The layers and `end` for repeated rows: the lowest layers are repeated, and what lies above them runs again.

    Raises:
        NotRepeatable: if control flow goes into what is run again.
    """
    of_picture = descendants(tape, picture)
    lowest = [layer for layer in layers if not any(layer in descendants(tape, x) for x in layers if x != layer)]
    repeats = Repeats(Followed(tape, picture), of_picture, count)
    return replay(tape, {layer: repeats.of(layer) for layer in lowest}, end, repeats.of)


class Repeats:
    """What takes the place of tensors when each image is there several times: `count`, int64 [K]."""

    def __init__(self, followed: Followed, of_picture: set[Value], count: Value) -> None:
        self.followed, self.of_picture, self.count = followed, of_picture, count
        self._known: dict[Value, Value] = {}
        self._of_others = _of_other_inputs(count.tape, followed.picture)

    def of(self, value: Value) -> Value:
        """The tensor with each image's part K times in a row; what is made of sizes alone is made of larger ones."""
        if value not in self.of_picture and value not in self._of_others:
            return value
        if value not in self._known:
            self._known[value] = self._repeated(value)
        return self._known[value]

    def _repeated(self, value: Value) -> Value:
        if value in self._of_others and value not in self.followed.reached:
            return repeat_rows(value, self.count)
        node, is_float = value.producer, value.dtype is not None and value.dtype.kind in "fV"
        # The mask of shifted windows has a row for each of them, and places of its own for none of the images.
        if node is None or (is_float and self._is_placed(value)):
            return self._rows(value)
        return self._shape(node) if node.op_type == "Shape" else self._again(value, node)

    def _again(self, value: Value, node: Node) -> Value:
        """Arithmetic on sizes, or on tensors of which it is not known where their images lie, once more."""
        if not node.reads.issubset(node.inputs):
            raise NotRepeatable(node.output.name, f"comes from {node.op_type}, which cannot be run again")
        inputs = [None if x is None else self.of(x) for x in node.inputs]
        results = node.tape.emit(node.op_type, inputs, node.attributes, outputs=len(node.outputs))
        return results[node.outputs.index(value)]

    def _shape(self, node: Node) -> Value:
        """The shape of a repeated tensor, without repeating it."""
        op, rank = node.tape, len(node.x.shape or (None,))
        if not self._is_placed(node.x):
            return self._again(node.output, node)
        axis, _ = self._place(node.x)
        ones = [op.ints(*[1] * axis), self.count, op.ints(*[1] * (rank - 1 - axis))]
        whole = op.Shape(node.x) * op.Concat(*(x for x in ones if x.shape != (0,)), axis=0)
        start, end = node.attributes.get("start", 0), node.attributes.get("end", rank)
        return op.Slice(whole, op.ints(start), op.ints(end), op.ints(0))

    def _rows(self, value: Value) -> Value:
        axis, inner = self._place(value)
        if inner == 1:
            return repeat_rows(value, self.count, axis=axis)
        op, front = value.tape, [0] * axis
        parted = op.Reshape(value, _target(value, [*front, -1, inner], axis=axis))
        return op.Reshape(repeat_rows(parted, self.count, axis=axis), _target(value, [*front, -1], axis=axis))

    def _is_placed(self, value: Value) -> bool:
        """Whether it is known where the images lie: an axis counts them, or the first is as long as the picture's."""
        counts_images = any(atom.kind == "N" for axis in self.followed.axes.get(value, ()) for atom in axis)
        images = (self.followed.picture.shape or (None,))[0]
        is_alike = images is None or (value.shape or (None,))[0] in (images, None)
        return value in self.followed.reached and (counts_images or is_alike)

    def _place(self, value: Value) -> tuple[int, int]:
        """The axis that counts the images, and how many entries each of them has on it: heads, windows."""
        axes = self.followed.axes.get(value, ())
        index = next((i for i, axis in enumerate(axes) if any(atom.kind == "N" for atom in axis)), None)
        if index is None:
            return 0, 1
        sizes = [atom.size for atom in axes[index][1:]]
        if axes[index][0].kind != "N" or not all(isinstance(n, int) for n in sizes):
            raise NotRepeatable(value.name, f"lays the images among others on axis {index}")
        return index, prod(n for n in sizes if isinstance(n, int))


def _of_other_inputs(tape: Tape, picture: Value) -> set[Value]:
    """What is computed from inputs that have a row for each image beside the picture."""
    batch = (picture.shape or (None,))[0]
    inputs = [tape.value(info.name) for info in tape.model.graph.input if info.name not in (picture.name, TARGET)]
    per_image = [value for value in inputs if batch is not None and (value.shape or (None,))[0] == batch]
    return set().union(*(descendants(tape, value) for value in per_image))


def repeat_rows(value: Value, count: Value, *, axis: int = 0) -> Value:
    """(N, …) → (N·K, …), each row K times in a row; the rows lie on `axis`. `count`: int64 [K]."""
    op, rank = value.tape, len(value.shape or (None,) * 4)
    behind = [op.ints(*[1] * (rank - 1 - axis))] if rank - 1 > axis else []
    sizes = op.Concat(op.ints(*[1] * (axis + 1)), count, *behind, axis=0)
    return merge_rows(op.Expand(op.Unsqueeze(value, op.ints(axis + 1)), sizes), value, axis=axis)


def merge_rows(variants: Value, value: Value, *, axis: int = 0) -> Value:
    """(N, R, …) → (N·R, …): variants of a value whose rows lie on `axis`."""
    return variants.tape.Reshape(variants, _target(value, [*[0] * axis, -1], axis=axis))


def _target(value: Value, front: Sequence[int], *, axis: int) -> Value:
    """What Reshape is told: `front`, then the sizes of the value behind the axis."""
    op, rest = value.tape, (value.shape or (None,) * 4)[axis + 1 :]
    known = [n for n in rest if isinstance(n, int)]
    if len(known) == len(rest):
        return op.ints(*front, *known)
    return op.Concat(op.ints(*front), op.Shape(value, start=axis + 1), axis=0)
