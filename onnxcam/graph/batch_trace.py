"""Where each tensor of a model counts the images, followed from the inputs to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

import numpy as np
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, Scope
from onnxcam.graph.walk import reads
from onnxcam.registry import entering

OPSET = 18
STRETCHING = ("Expand", "Tile")  # of an axis of one they make equal rows


@dataclass(frozen=True)
class Digit:
    """The place of the batch in a tensor: the dimension `axis` is outer·N·inner.

    Mostly outer = inner = 1. A batch merged with the heads of an attention, (N·12, 197, 64), has inner = 12.
    """

    axis: int
    outer: int = 1
    inner: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether the axis counts nothing but images."""
        return self.outer == self.inner == 1


class MixesImages(Exception):
    """An op that would mix images, or that nothing is known about; the text is the reason."""


Rule = Callable[["Trace", NodeProto], "Digit | None"]
R = TypeVar("R", bound=Rule)
RULES: dict[str, Rule] = {}


def follows(*op_types: str) -> Callable[[R], R]:
    """Registers where the ops' outputs count the images; called only when some input does."""
    return entering(RULES, *op_types, what="rule for")


class Trace:
    """The places of the batch in a model's tensors so far. Target shapes with a baked-in batch are opened on the way.

    Attributes:
        count: images that the model was exported for.
    """

    def __init__(self, model: ModelProto, count: int, weights: Mapping[str, TensorProto]) -> None:
        self.model, self.scope, self.count = model, Scope(model, OPSET), count
        self.digits: dict[str, Digit] = {}
        self.before: list[NodeProto] = []
        self._weights, self._makers = weights, {name: node for node in model.graph.node for name in node.output}

    def follow(self, inputs: Iterable[str]) -> None:
        """Walks the graph; raises MixesImages where a node stands in the way."""
        self.digits.update((name, Digit(0)) for name in inputs)
        nodes: list[NodeProto] = []
        for node in self.model.graph.node:
            if not self.digits.keys().isdisjoint(reads(node)):
                digit = self._rule(node)(self, node)
                self.digits.update((name, digit) for name in node.output if digit is not None)
            nodes.extend((*self.before, node))
            self.before = []
        del self.model.graph.node[:]
        self.model.graph.node.extend(nodes)

    def _rule(self, node: NodeProto) -> Rule:
        op_type = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        if op_type not in RULES:
            raise self.mixes(node, "is not known to keep images apart")
        return RULES[op_type]

    def mixes(self, node: NodeProto, what: str) -> MixesImages:
        """The reason why the node stands in the way."""
        return MixesImages(f"{node.op_type} (node {node.name or node.output[0]!r}) {what}")

    def digit(self, node: NodeProto, index: int = 0) -> Digit | None:
        """The place of the batch in the node's input at `index`."""
        return self.digits.get(node.input[index]) if index < len(node.input) else None

    def first(self, node: NodeProto) -> Digit:
        """The place in the first input, which alone may count images."""
        digit = self.digit(node)
        if digit is None or any(self.digits.get(name) for name in node.input[1:]):
            raise self.mixes(node, "takes parameters that differ between images")
        return digit

    def shape(self, name: str, node: NodeProto) -> list[int | None]:
        """The tensor's dimensions for as many images as the model was exported for."""
        shape = self.scope.shape(name)
        if shape is None:
            raise self.mixes(node, f"works on {name!r}, whose shape is unknown")
        return shape

    def array(self, node: NodeProto, index: int) -> NDArray[Any] | None:
        """The elements of a constant input; None when it is computed or left out."""
        return self.scope.array(node.input[index]) if index < len(node.input) and node.input[index] else None

    def attribute(self, node: NodeProto, name: str, default: Any) -> Any:
        """The attribute's value."""
        found = (onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name)
        return next(found, default)

    def axes(self, node: NodeProto, given: Iterable[int]) -> set[int]:
        """Axes counted from the front."""
        rank = len(self.shape(node.input[0], node))
        return {int(axis) % rank for axis in given}

    def aligned(self, node: NodeProto, indices: Iterable[int], *, last: int = 0) -> Digit:
        """The place in the result of broadcasting the inputs at `indices`; their `last` axes take no part.

        A constant that is stretched along the batch stays one; a tensor as long as the batch cannot be told from it.
        """
        indices = [index for index in indices if node.input[index]]
        names = [node.input[index] for index in indices]
        shapes = {name: self.shape(name, node) for name in names}
        rank = max(map(len, shapes.values()))
        places = {
            replace(digit, axis=digit.axis - len(shapes[name])) for name in names if (digit := self.digits.get(name))
        }
        place, *others = places
        if others:
            raise self.mixes(node, "joins tensors that count the images on different axes")
        for index, name in zip(indices, names, strict=True):
            axis = place.axis + len(shapes[name])
            is_one = -place.axis > last if name in self.digits else axis < 0 or self.is_row(node, index, axis)
            if not is_one:
                size = 1 if name in self.digits else shapes[name][axis]
                raise self.mixes(node, f"joins the images with {name!r}, which has {size} rows of its own")
        return replace(place, axis=place.axis + rank)

    def is_row(self, node: NodeProto, index: int, axis: int) -> bool:
        """Whether an input that is the same for all images has one row there; where it repeats one, it gets that."""
        name = node.input[index]
        shape = self.shape(name, node)
        if shape[axis] == 1 or shape[axis] != self.count or not self._repeats(name, axis):
            return shape[axis] == 1
        draft = Draft(node, self.scope)
        row = draft("Slice", [name, draft.ints(0), draft.ints(1), draft.ints(axis)])
        sizes = [1 if i == axis else size for i, size in enumerate(shape)]
        self.scope.types[row] = onnx.helper.make_tensor_type_proto(self.scope.element_type(name), sizes)
        self.before.extend(draft.nodes)
        node.input[index] = row
        return True

    def _repeats(self, name: str, axis: int) -> bool:
        """Whether all rows along the axis are known to be equal: of a constant, or of what stretches one."""
        tensor, maker = self._weights.get(name, self.scope.constants.get(name)), self._makers.get(name)
        if tensor is not None and tensor.data_location != TensorProto.EXTERNAL:
            rows = np.moveaxis(onnx.numpy_helper.to_array(tensor), axis, 0)
            return np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape), equal_nan=rows.dtype.kind == "f")
        if maker is None or maker.op_type not in STRETCHING:
            return False
        old, new = self.shape(maker.input[0], maker), self.shape(name, maker)
        place = axis + len(old) - len(new)
        return place < 0 or old[place] == 1

    def repeated(self, node: NodeProto, index: int, like: str) -> None:
        """A constant input of one row gets one for each image, as many as the tensor `like` has."""
        digit, shape = self.digits[like], self.shape(node.input[index], node)
        if not digit.is_alone or not self.is_row(node, index, digit.axis):
            raise self.mixes(node, f"joins the images with {node.input[index]!r}, which is the same for all")
        draft = Draft(node, self.scope)
        count = draft("Shape", [like], start=digit.axis, end=digit.axis + 1)
        parts = [draft.ints(*[1] * digit.axis), count, draft.ints(*[1] * (len(shape) - 1 - digit.axis))]
        node.input[index] = draft("Expand", [node.input[index], draft("Concat", parts, axis=0)])
        self.before.extend(draft.nodes)
        self.digits[node.input[index]] = digit


def moved(trace: Trace, node: NodeProto) -> Digit:
    """The place of the batch after a Reshape, Flatten, Squeeze or Unsqueeze, from the order in memory.

    The batch changes every `stride` elements; the new axis is the one whose own strides enclose that. Where several
    do, an axis for the batch alone is preferred, then the same axis as before, then the first.
    """
    digit = trace.first(node)
    old, new = trace.shape(node.input[0], node), trace.shape(node.output[0], node)
    if digit.axis == 0 and digit.outer == 1 and new and old[0] == new[0]:
        return digit
    sizes, targets = [s for s in old if s is not None], [s for s in new if s is not None]
    if len(sizes) != len(old) or len(targets) != len(new):
        raise trace.mixes(node, "moves the batch, and the sizes beside it are known only at run time")
    stride = digit.inner * prod(sizes[digit.axis + 1 :])
    places = [place for axis in range(len(targets)) if (place := _place(targets, axis, stride, count=trace.count))]
    if not places:
        raise trace.mixes(node, f"cuts through the batch: {sizes} to {targets}")
    same_rank = len(sizes) == len(targets)
    return min(places, key=lambda p: (not p.is_alone, not (same_rank and p.axis == digit.axis), p.axis))


def _place(sizes: list[int], axis: int, stride: int, *, count: int) -> Digit | None:
    """The batch of so many images as a part of that axis, when it can be one."""
    within = prod(sizes[axis + 1 :])
    inner, rest = divmod(stride, within) if within else (0, 1)
    if rest or not inner or sizes[axis] % (inner * count):
        return None
    return Digit(axis, outer=sizes[axis] // (inner * count), inner=inner)
