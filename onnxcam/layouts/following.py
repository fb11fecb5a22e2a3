"""The axes of every tensor computed from the picture, followed node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from onnxcam.graph import Dim, Node, Tape, Value
from onnxcam.layouts.axes import BATCH, COLUMNS, LENGTH, ROWS, Atom, Axes, Axis, joined, marked, plain, size_of
from onnxcam.layouts.pictures import picture_layout
from onnxcam.registry import entering

# What they give is a size or an index: nothing of the picture itself.
MEASURES = frozenset("Shape Size NonZero ArgMax ArgMin".split())

Shape: TypeAlias = tuple[Dim, ...]
Found: TypeAlias = Axes | list[Axes | None] | None
Rule: TypeAlias = Callable[["Step"], Found]
R = TypeVar("R", bound=Rule)
RULES: dict[str, Rule] = {}


def follows(*op_types: str) -> Callable[[R], R]:
    """Registers what the ops' outputs count: axes for all of them, a list with some for each, None where unknown."""
    return entering(RULES, *op_types, what="rule for")


@dataclass(frozen=True, slots=True)
class Step:
    """A node, and the axes of its inputs: None where they are unknown or the input is left out."""

    node: Node
    inputs: tuple[Axes | None, ...]
    shapes: tuple[Shape, ...]

    def axes(self, index: int) -> Axes:
        """The axes of the input at `index`; raises UnknownAxes where nothing is known of them."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise UnknownAxes
        return found

    def array(self, index: int) -> NDArray[Any] | None:
        """The elements of a constant input; None when it is computed or left out."""
        value = self.node.optional(index)
        return None if value is None else value.constant

    def ints(self, index: int) -> list[int] | None:
        """The same as a list of whole numbers."""
        array = self.array(index)
        return None if array is None else [int(n) for n in np.asarray(array).reshape(-1)]

    def attribute(self, name: str, default: Any) -> Any:
        """The node's attribute of that name."""
        return self.node.attributes.get(name, default)

    @property
    def shape(self) -> Shape:
        """The shape of the first output."""
        return self.shapes[0]


class UnknownAxes(Exception):
    """Nothing is known of the axes of an input that a rule asks for."""


class Followed:
    """What is known of the tensors computed from the picture.

    Attributes:
        picture: what they are computed from.
        axes: of each of them, as far as they are known.
        reached: all of them.
    """

    def __init__(self, tape: Tape, picture: Value) -> None:
        self.picture = picture
        self.axes: dict[Value, Axes] = {picture: _of_picture(picture)}
        self.reached: set[Value] = {picture}
        for node in tape.nodes:
            if node.op_type in MEASURES or self.reached.isdisjoint(node.inputs):
                continue
            found = self.outputs(node)
            self.axes.update((value, axes) for value, axes in zip(node.outputs, found, strict=True) if axes is not None)
            self.reached.update(node.outputs)

    def outputs(self, node: Node, mark: tuple[int, int] | None = None) -> list[Axes | None]:
        """The axes of the node's outputs; None where unknown. `mark`: input and axis whose places are followed."""
        shapes = [value.shape for value in node.outputs]
        inputs = [None if value is None else self._axes_of(value) for value in node.inputs]
        if mark is not None and (followed := inputs[mark[0]]) is not None:
            inputs[mark[0]] = tuple(marked(x) if i == mark[1] else x for i, x in enumerate(followed))
        if shapes[0] is None:
            return [None] * len(shapes)
        step = Step(node, tuple(inputs), tuple(() if shape is None else shape for shape in shapes))
        try:
            found = _rule(node)(step)
        except (UnknownAxes, IndexError, ValueError, ZeroDivisionError):
            found = None  # a file may state shapes of another rank than its nodes give
        each = found if isinstance(found, list) else [found] * len(shapes)
        return [x if x is not None and _fits(x, shape) else None for x, shape in zip(each, step.shapes, strict=False)]

    def _axes_of(self, value: Value) -> Axes | None:
        if value in self.reached:
            return self.axes.get(value)
        return None if value.shape is None else plain(value.shape)


def _rule(node: Node) -> Rule:
    """The rule of the op; of one that there is none for, such as a fused one, the input's axes if they fit."""
    return RULES.get(node.op_type.rpartition(".")[2].removeprefix("Fused"), aligned)


def aligned(step: Step) -> Axes:
    """Axes aligned from the back, as in broadcasting: each counts what the most telling of the inputs' does."""
    known = [axes for axes in step.inputs if axes is not None and len(axes) <= len(step.shape)]
    rank = len(step.shape)
    if not known or max(map(len, known)) < rank:
        raise UnknownAxes
    padded = [((),) * (rank - len(axes)) + axes for axes in known]
    return tuple(
        joined(candidates, size) for candidates, size in zip(zip(*padded, strict=True), step.shape, strict=True)
    )


def _of_picture(picture: Value) -> Axes:
    """One atom an axis."""
    sizes = zip(kinds_of(picture_layout(picture) or ""), picture.shape or (), strict=False)
    return tuple(() if n == 1 and kind not in BATCH else (Atom(kind, n),) for kind, n in sizes)


def kinds_of(layout: str) -> str:
    """The kind of atom for each letter of a layout: the only axis of a signal is no picture's columns."""
    return layout if ROWS in layout else layout.replace(COLUMNS, LENGTH)


def _fits(axes: Axes, shape: Shape) -> bool:
    """Whether the axes are as many and as long as the shape says, as far as both are known."""
    return len(axes) == len(shape) and all(map(_is_as_long, axes, shape))


def _is_as_long(axis: Axis, size: Dim) -> bool:
    length = size_of(axis)
    return size == length or not (isinstance(size, int) and isinstance(length, int))
