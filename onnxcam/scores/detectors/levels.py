"""Which tensors tell where a detector looks: what its backbone hands over at each scale.

A head's own input is no place to look: of a candidate only its cell and a few beside it have a gradient there, so the
map is a spot in the middle of the box. Behind the backbone scales are mixed; before it, at each resolution, lies what
the whole object is recognised by. Measured in docs/detectors.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import log2

import numpy as np

from onnxcam.graph import Node, Tape, Value
from onnxcam.layouts import Followed, Form, form_of
from onnxcam.layouts.following import MEASURES
from onnxcam.layouts.reach import below
from onnxcam.scores.detectors.grids import sides
from onnxcam.scores.detectors.plumbing import LEARNT, MOVING

HALVING = Fraction(1, 2)
TOKENS_RANK = 3  # (N, T, C)
PROJECTING = MOVING | frozenset(("MatMul", "Gemm"))
FLATTENING = frozenset(("GlobalAveragePool", "GlobalMaxPool"))


def backbone_levels(tape: Tape, picture: Value, ends: Sequence[Value]) -> tuple[Value, ...]:
    """The last tensor of the backbone at each resolution that goes on to neck or heads, the finest first.

    Args:
        tape: the model.
        picture: its input.
        ends: what heads compute: class scores and boxes. A tensor that only one of them needs is a head's own.
    """
    resolutions = Resolutions(tape, picture, ends)
    strides = sorted({resolutions.strides[value] for value in resolutions.rising})
    found = (resolutions.last_common(stride) for stride in strides)
    return tuple(value for value in found if value is not None)


class Resolutions:
    """How many pixels a cell of each tensor covers, and what lies before any that was made finer again.

    Attributes:
        strides: pixels of the picture for each cell.
        rising: the tensors that come from the picture by no way that makes cells smaller.
    """

    def __init__(self, tape: Tape, picture: Value, ends: Sequence[Value]) -> None:
        followed = Followed(tape, picture)
        self.ends = set(ends)
        self.strides: dict[Value, Fraction] = {picture: Fraction(1)}
        self.rising = {picture}
        self._needed, self._bare = below(ends), _without_weights(ends)
        self._height = sides(picture)[0]
        self._forms: dict[Value, Form | None] = {v: form_of(v, axes) for v, axes in followed.axes.items()}
        self._uses: dict[Value, list[Node]] = {}
        self._order = {value: at for at, node in enumerate(tape.nodes) for value in node.outputs}
        for node in tape.nodes:
            if node.op_type not in MEASURES | FLATTENING and not self._needed.isdisjoint(node.outputs):
                self._follow(node)

    def _follow(self, node: Node) -> None:
        inputs = [value for value in node.inputs if value is not None and value in self.strides]
        if not inputs:
            return
        coarsest = max(self.strides[value] for value in inputs)
        for value in inputs:
            self._uses.setdefault(value, []).append(node)
        for value in node.outputs:
            self.strides[value] = self._measured(value) or coarsest * _factor(node)
            if self.strides[value] >= coarsest and self.rising.issuperset(inputs):
                self.rising.add(value)

    def _measured(self, value: Value) -> Fraction | None:
        """The stride by the sizes, where these are known: the nearest power of 2, for pads add rows."""
        form = self._forms.get(value)
        rows = None if form is None else form.grid[0]
        if not isinstance(rows, int) or not isinstance(self._height, int):
            return None
        return Fraction(2) ** round(log2(self._height / rows))

    def last_common(self, stride: Fraction) -> Value | None:
        """The last tensor of that resolution that all that goes on passes; None if all that goes on is made coarser."""
        level = {value for value in self.rising if self.strides[value] == stride and value in self._needed}
        leaving = {value for value in level if value in self.ends or self._leaves(value, level)}
        if not any(value in self.ends or self._goes_on(value, level) for value in leaving):
            return None
        found = list(self._commons(leaving, level))
        return next((value for value in found if not _is_projected(value)), next(iter(found), None))

    def _leaves(self, value: Value, level: set[Value]) -> bool:
        return any(level.isdisjoint(node.outputs) for node in self._uses.get(value, ()))

    def _goes_on(self, value: Value, level: set[Value]) -> bool:
        """Whether it is used otherwise than to be made coarser."""
        nodes = [node for node in self._uses.get(value, ()) if level.isdisjoint(node.outputs)]
        return any(not _factor(node) > 1 and not self._is_coarser(node, value) for node in nodes)

    def _is_coarser(self, node: Node, value: Value) -> bool:
        is_single = sum(x in self.strides for x in node.inputs if x is not None) == 1
        return is_single and self.strides[node.output] > self.strides[value]

    def _commons(self, leaving: set[Value], level: set[Value]) -> Iterable[Value]:
        """The tensors that every way out passes, the last first."""
        front = set(leaving)
        while front:
            value = max(front, key=lambda x: self._order.get(x, -1))
            form = self._forms.get(value)
            if len(front) == 1 and form is not None and value not in self._bare and value in self._order:
                yield value
            before = [] if value.producer is None else [x for x in value.producer.inputs if x is not None]
            front = (front - {value}) | level.intersection(before)


def _is_projected(value: Value) -> bool:
    """Whether queries, keys or values of an attention are made here of the tokens before."""
    node, rank = value.producer, len(value.shape or ())
    if node is None or rank != TOKENS_RANK:
        return False
    return node.op_type in PROJECTING or (node.op_type == "Add" and (node.is_constant(0) or node.is_constant(1)))


def _without_weights(ends: Iterable[Value]) -> set[Value]:
    """The tensors from which the ends are reached without a product with weights: what the last of these gives."""
    found = set(ends)
    open_values = list(found)
    while open_values:
        node = open_values.pop().producer
        if node is None or node.op_type in LEARNT or node.op_type in MEASURES:
            continue
        fresh = node.reads - found
        found |= fresh
        open_values.extend(fresh)
    return found


def _factor(node: Node) -> Fraction:
    """By how much the op makes cells larger."""
    if node.op_type in ("Resize", "ConvTranspose", "DepthToSpace", "Upsample"):
        return HALVING
    if node.op_type == "SpaceToDepth":
        return Fraction(node.attributes["blocksize"])
    if node.op_type == "Slice":
        steps = node.optional(4)
        taken = None if steps is None else steps.constant
        return Fraction(1) if taken is None else Fraction(max(1, int(np.abs(taken).max())))
    return Fraction(node.attributes.get("strides", [1])[0])
