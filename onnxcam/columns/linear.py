"""Layers that are products with constant weights: of the channels at each place, or of nothing but channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxcam.graph import Dim, Node, Value, between, replay

HANDED_ON = frozenset(("Identity", "Dropout"))


@dataclass(frozen=True, slots=True)
class Linear:
    """y = W·x + b, the same at each place.

    Attributes:
        node: the product.
        y: what comes of it: behind the summand and the norm that follow it, where nothing else reads what lies between.
        axis: of the channels, in x and in y.
        norm: the BatchNormalization before y; None where there is none.
    """

    node: Node
    y: Value
    axis: int
    norm: Node | None = None

    @property
    def x(self) -> Value:
        """What is multiplied."""
        return self.node.x

    @property
    def layout(self) -> str:
        """A letter for each axis of x and y: N of the images, C of the channels."""
        letters = list("NDHWUV"[: len(self.x.shape or ()) - 1])
        return "".join([*letters[: self.axis], "C", *letters[self.axis :]])

    def of_outputs(self, index: Value) -> Value:
        """The weights of these outputs: int64 (N, K) → (N, K, C)."""
        op, w = index.tape, self.node.input(1)
        if self._is_by_output:
            rows = op.Gather(w, index, axis=0)
            rows = rows if self.node.op_type == "Gemm" else op.Reshape(rows, op.ints(0, 0, -1))
        else:
            rows = op.Transpose(op.Gather(w, index, axis=1), perm=[1, 2, 0])
        rows, factor = self._times_alpha(rows), self._factor()
        return rows if factor is None else rows * op.Unsqueeze(op.Gather(factor, index, axis=0), op.ints(2))

    def of_inputs(self, index: Value) -> Value:
        """The weights of these channels: int64 (R,) → (R, F)."""
        op, w = index.tape, self.node.input(1)
        if self._is_by_output:
            columns = op.Gather(w, index, axis=1)
            columns = columns if self.node.op_type == "Gemm" else op.Reshape(columns, op.ints(0, -1))
            rows = op.Transpose(columns, perm=[1, 0])
        else:
            rows = op.Gather(w, index, axis=0)
        rows, factor = self._times_alpha(rows), self._factor()
        return rows if factor is None else op.Mul(rows, factor)

    def bias(self) -> Value:
        """b, (F,): what comes of zeros."""
        op, sizes, w = self.x.tape, [1] * len(self.layout), self.node.input(1).shape or ()
        sizes[self.axis] = int(w[1 if self._is_by_output else 0] or 0)
        zeros = op.Expand(op.number(0.0, self.x), op.ints(*sizes))
        return op.Reshape(replay(op, {self.x: zeros}, self.y, lambda constant: constant)[self.y], op.ints(-1))

    @property
    def _is_by_output(self) -> bool:
        """Whether the first axis of the weights counts outputs."""
        return self.node.op_type == "Conv" or bool(self.node.attributes.get("transB", 0))

    def _times_alpha(self, rows: Value) -> Value:
        alpha = float(self.node.attributes.get("alpha", 1.0))
        return rows if alpha == 1.0 else rows * alpha

    def _factor(self) -> Value | None:
        """What the norm multiplies each output by, (F,), in the type of the weights."""
        if self.norm is None:
            return None
        op, scale, w = self.norm.tape, self.norm.input(1), self.node.input(1)
        factor = scale / op.Sqrt(self.norm.input(4) + float(self.norm.attributes.get("epsilon", 1e-5)))
        return factor if factor.dtype == w.dtype else op.CastLike(factor, w)


def linear_of(node: Node, end: Value) -> Linear | None:
    """The node as a linear layer, with what belongs to it on the way to the end; None where it is none."""
    axis = _channels(node)
    if axis is None:
        return None
    linear, nodes = Linear(node, node.output, axis), between(node.tape, {node.output}, end)
    while (longer := _with_next(linear, nodes)) is not None:
        linear = longer
    return linear


def _channels(node: Node) -> int | None:
    """The axis of the channels; None where the node is no product of them alone with constant weights."""
    if node.op_type not in ("Gemm", "MatMul", "Conv") or not node.is_constant(1) or node.x.shape is None:
        return None
    rank, w = len(node.x.shape), node.input(1).shape or ()
    if node.op_type == "Conv":
        return 1 if _is_of_single_places(node, w) else None
    is_plain = len(w) == 2 and rank >= 2 and not node.attributes.get("transA", 0)
    summand = node.optional(2)
    return rank - 1 if is_plain and (summand is None or _is_of_channels(summand, axis=-1)) else None


def _is_of_single_places(node: Node, w: Sequence[Dim]) -> bool:
    """Whether a convolution has a kernel of one place, in steps of one."""
    found = node.attributes
    is_small = len(w) > 2 and all(n == 1 for n in w[2:]) and not any(found.get("pads", []))
    return is_small and found.get("group", 1) == 1 and all(n == 1 for n in found.get("strides", []))


def _with_next(linear: Linear, nodes: Sequence[Node]) -> Linear | None:
    """The same layer and the only node that reads what comes of it, if that is linear too, channel by channel."""
    uses, rank = [node for node in nodes if linear.y in node.reads], len(linear.layout)
    if len(uses) != 1 or len(uses[0].output.shape or ()) != rank:
        return None
    node = uses[0]
    others = [x for x in node.inputs if x is not None and x != linear.y]
    adds = node.op_type == "Add" and len(others) == 1 and _is_of_channels(others[0], axis=linear.axis - rank)
    if adds or node.op_type in HANDED_ON:
        return replace(linear, y=node.output)
    is_norm = node.op_type == "BatchNormalization" and len(node.outputs) == 1 and linear.axis == 1
    if not is_norm or linear.norm is not None or not all(node.is_constant(index) for index in range(1, 5)):
        return None
    return replace(linear, y=node.output, norm=node)


def _is_of_channels(value: Value, *, axis: int) -> bool:
    """Whether it is a constant with no more than a number for each channel; their axis is counted from the back."""
    shape = value.shape or ()
    is_alone = all(n == 1 for place, n in enumerate(shape, start=-len(shape)) if place != axis)
    return is_alone and value.name in value.tape.constants
