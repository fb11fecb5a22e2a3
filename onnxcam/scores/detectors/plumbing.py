"""Ops that move numbers about: what the columns of a head's table were before, and the table without its sigmoids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from onnxcam.graph import Dim, Node, Value

SQUASHING = frozenset(("Sigmoid", "HardSigmoid"))
STORING = frozenset(("Identity", "Cast", "Dropout", "QuantizeLinear", "DequantizeLinear"))
RESHAPING = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze"))
# Their first input holds the numbers; what else they take tells where these go.
MOVING = STORING | RESHAPING | frozenset(("Transpose", "Slice", "Split", "Gather", "ScatterND", "Expand"))
# Ops with weights, and the norms and biases that an exporter leaves beside them.
LEARNT = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "BatchNormalization"))


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring columns of a table that come from one tensor.

    Attributes:
        size: how many columns.
        source: that tensor, before it was moved here.
    """

    size: int
    source: Value

    @property
    def op_type(self) -> str:
        """What computes them; "" for a constant or an input."""
        node = self.source.producer
        return "" if node is None else node.op_type

    @property
    def is_squashed(self) -> bool:
        """Whether a sigmoid gives them."""
        return self.op_type in SQUASHING

    @property
    def is_learnt(self) -> bool:
        """Whether a product with weights gives them, whose sum may follow: they are as raw as a net makes them."""
        return is_learnt(self.source)

    @property
    def is_constant(self) -> bool:
        """Whether they are the same for every picture."""
        return is_constant(self.source)


def is_learnt(value: Value) -> bool:
    """Whether it is what a product with weights gives, a bias or a learnt scale included, moved about or not."""
    value = origin(value)
    node = value.producer
    while node is not None and node.op_type in ("Add", "Mul") and (node.is_constant(0) or node.is_constant(1)):
        value = origin(node.input(1 if node.is_constant(0) else 0))
        node = value.producer
    return node is not None and node.op_type in LEARNT


def is_constant(value: Value) -> bool:
    """Whether it does not depend on what the picture shows: a constant, or one stretched to a shape."""
    node = value.producer
    if value.constant is not None or (node is not None and node.op_type in ("Constant", "ConstantOfShape", "Range")):
        return True
    return node is not None and node.op_type in (*MOVING, "Tile") and is_constant(node.x)


def origin(value: Value) -> Value:
    """The tensor whose numbers, all of them, these are in another place, shape or type."""
    node = value.producer
    while node is not None and node.op_type in STORING | RESHAPING | {"Transpose"}:
        value = node.x
        node = value.producer
    return value


def parts(value: Value, axis: int) -> list[Part]:
    """What the entries of an axis are, in their order; neighbours of one tensor are one part."""
    found: list[Part] = []
    for part in _parts(value, axis % len(value.shape or (1,))):
        if found and found[-1].source == part.source:
            part = Part(found.pop().size + part.size, part.source)
        found.append(part)
    return found


def _parts(value: Value, axis: int) -> list[Part]:
    size, node = (value.shape or ())[axis], value.producer
    if not isinstance(size, int):
        return []
    rule = None if node is None else RULES.get(node.op_type)
    found = None if rule is None or node is None else rule(node, value, axis)
    return found if found and sum(part.size for part in found) == size else [Part(size, value)]


Found: TypeAlias = "list[Part] | None"


def _stored(node: Node, _: Value, axis: int) -> Found:
    return _parts(node.x, axis)


def _reshaped(node: Node, value: Value, axis: int) -> Found:
    before = _axis_before(node.x.shape, value.shape, axis)
    return None if before is None else _parts(node.x, before)


def _axis_before(given: tuple[Dim, ...] | None, made: tuple[Dim, ...] | None, axis: int) -> int | None:
    """The axis that a reshape left as it was: as long, with as much before it or behind it."""
    if given is None or made is None:
        return None
    alike = [index for index, size in enumerate(given) if size == made[axis]]
    ways = (
        [i for i in alike if _amount(given[i + 1 :]) == _amount(made[axis + 1 :])],
        [i for i in alike if _amount(given[:i]) == _amount(made[:axis])],
    )
    return next((way[0] for way in ways if way), None)


def _amount(shape: tuple[Dim, ...]) -> tuple[int, list[str]]:
    return prod(n for n in shape if isinstance(n, int)), sorted(str(n) for n in shape if not isinstance(n, int))


def _transposed(node: Node, value: Value, axis: int) -> Found:
    order = node.attributes.get("perm", list(range(len(value.shape or ())))[::-1])
    return _parts(node.x, order[axis])


def _concatenated(node: Node, value: Value, axis: int) -> Found:
    """Beside one another, or the same columns for several scales: then those of the first tell it for all."""
    inputs = [x for x in node.inputs if x is not None and x.shape is not None and 0 not in x.shape]
    if node.attributes["axis"] % len(value.shape or ()) == axis:
        return [part for x in inputs for part in _parts(x, axis)]
    return _parts(inputs[0], axis)


def _sliced(node: Node, value: Value, axis: int) -> Found:
    size = (node.x.shape or ())[axis]
    taken = window(node, len(value.shape or ()), axis) if isinstance(size, int) else None
    if taken is None:
        return None
    return _window(_parts(node.x, axis), *taken)


def window(node: Node, rank: int, axis: int) -> tuple[int, int] | None:
    """Start and stop of a Slice on the axis; None where they are computed, or places are skipped."""
    given = [None if value is None else value.constant for value in node.inputs[1:]]
    starts, stops = given[0], given[1]
    axes = given[2] if len(given) > 2 and given[2] is not None else range(rank)
    steps = given[3] if len(given) > 3 and given[3] is not None else [1] * rank
    size = (node.x.shape or ())[axis]
    if starts is None or stops is None or not isinstance(size, int):
        return None
    for start, stop, on, step in zip(starts, stops, axes, steps, strict=False):
        if on % rank == axis:
            first, last, by = slice(int(start), int(stop), int(step)).indices(size)
            return (first, last) if by == 1 else None
    return 0, size


def _split(node: Node, value: Value, axis: int) -> Found:
    if node.attributes.get("axis", 0) % len(value.shape or ()) != axis:
        return _parts(node.x, axis)
    sizes = [(output.shape or ())[axis] for output in node.outputs]
    before = sizes[: node.outputs.index(value)]
    start = sum(size for size in before if isinstance(size, int))
    size = (value.shape or ())[axis]
    return _window(_parts(node.x, axis), start, start + size) if isinstance(size, int) else None


def _gathered(node: Node, _: Value, axis: int) -> Found:
    """One entry of another axis, which is gone then, or the same rows in another order."""
    on = node.attributes.get("axis", 0) % len(node.x.shape or ())
    rank = len(node.input(1).shape or ())
    if on <= axis < on + rank:
        return None
    return _parts(node.x, axis if axis < on else axis - rank + 1)


def _scattered(node: Node, _: Value, axis: int) -> Found:
    """Exporters write decoded boxes over some of the columns; which, is not followed."""
    return _parts(node.x, axis)


def _window(found: list[Part], start: int, stop: int) -> list[Part]:
    """Those of the columns start … stop − 1."""
    kept, at = [], 0
    for part in found:
        size = min(stop, at + part.size) - max(start, at)
        if size > 0:
            kept.append(Part(size, part.source))
        at += part.size
    return kept


Rule: TypeAlias = Callable[[Node, Value, int], Found]
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(STORING, _stored),
    **dict.fromkeys(RESHAPING, _reshaped),
    "Transpose": _transposed,
    "Concat": _concatenated,
    "Slice": _sliced,
    "Split": _split,
    "Gather": _gathered,
    "ScatterND": _scattered,
    "Expand": _stored,
}


def unsquashed(value: Value, op_type: str = "Sigmoid") -> Value:
    """The same table with what went into the sigmoids instead of what came out, where only moving lies between."""
    node = value.producer
    if node is None:
        return value
    if node.op_type == op_type:
        return node.x
    if node.op_type == "Concat":
        inputs: list[Value | None] = [unsquashed(x, op_type) for x in node.inputs if x is not None]
    elif node.op_type in MOVING - {"QuantizeLinear", "DequantizeLinear"}:
        inputs = [unsquashed(node.x, op_type), *node.inputs[1:]]
    else:
        return value
    if inputs == list(node.inputs):
        return value
    made = node.tape.emit(node.op_type, inputs, node.attributes, outputs=len(node.outputs))
    return made[node.outputs.index(value)]
