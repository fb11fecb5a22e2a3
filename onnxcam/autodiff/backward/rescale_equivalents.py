"""Ops that mix many inputs, in ops of which each has a rule by which changes add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from onnxcam.autodiff.casting import cast_like, widened
from onnxcam.autodiff.extents import axis_of, rank_of, shape_of
from onnxcam.autodiff.normalization import per_channel, window_sum
from onnxcam.graph import Node, Value

TINY = 1e-12  # less than any norm that tells something


def maximum(node: Node) -> Value:
    """max(a, b) = a + relu(b − a), one after another."""
    return reduce(lambda a, b: a + a.tape.Relu(b - a), _inputs(node))


def minimum(node: Node) -> Value:
    """min(a, b) = a − relu(a − b), one after another."""
    return reduce(lambda a, b: a - a.tape.Relu(a - b), _inputs(node))


def _inputs(node: Node) -> list[Value]:
    return [node.input(index) for index in range(len(node.inputs))]


def euclidean(node: Node) -> Value:
    """√Σx²."""
    (squares,) = node.tape.emit("ReduceSumSquare", node.inputs, node.attributes)
    return node.tape.Sqrt(squares)


def sum_of_sizes(node: Node) -> Value:
    """Σ|x|."""
    (total,) = node.tape.emit("ReduceSum", [node.tape.Abs(node.x), *node.inputs[1:]], node.attributes)
    return total


def of_unit_length(node: Node) -> Value:
    """x/‖x‖."""
    op, x = node.tape, node.x
    reducing = op.ReduceL1 if node.attributes.get("p", 2) == 1 else op.ReduceL2
    return x / op.Clip(reducing(x, op.ints(node.attributes.get("axis", -1)), keepdims=1), op.number(TINY, x))


def _divided(x: Value, axes: Sequence[int], *, epsilon: float) -> Value:
    """x̂ as a quotient by σ: of 1/σ as a factor half would be taken where σ is next to 0, on a plain baseline."""
    op, wide = x.tape, widened(x)
    centred = wide - op.ReduceMean(wide, op.ints(*axes), keepdims=1)
    return cast_like(centred / op.Sqrt(op.ReduceMean(centred * centred, op.ints(*axes), keepdims=1) + epsilon), x)


def layer_normalization(node: Node) -> Value:
    """x̂·scale + bias, from the axis on."""
    x, first = node.x, axis_of(node.x, node, default=-1)
    unit = _divided(x, range(first, rank_of(x, node)), epsilon=node.attributes.get("epsilon", 1e-5))
    scaled = unit * cast_like(node.input(1), unit)
    bias = node.optional(2)
    return scaled if bias is None else scaled + cast_like(bias, unit)


def instance_normalization(node: Node) -> Value:
    """Every channel of every image by itself."""
    rank = rank_of(node.x, node)
    unit = _divided(node.x, range(2, rank), epsilon=node.attributes.get("epsilon", 1e-5))
    return unit * per_channel(node.input(1), rank) + per_channel(node.input(2), rank)


def group_normalization(node: Node) -> Value:
    """Channels in groups, with a scale and a bias for each group."""
    op, x = node.tape, node.x
    grouped = op.Reshape(x, op.ints(0, node.attributes["num_groups"], -1))
    unit = _divided(grouped, [2], epsilon=node.attributes.get("epsilon", 1e-5))
    return op.Reshape(unit * per_channel(node.input(1), 3) + per_channel(node.input(2), 3), shape_of(x))


def local_response_normalization(node: Node) -> Value:
    """x (k + α/n Σx²)⁻ᵝ over n channels around each."""
    x, size = node.x, node.attributes["size"]
    share = node.attributes.get("alpha", 1e-4) / size
    squares = window_sum(x * x, node, before=(size - 1) // 2, after=size // 2)
    base = squares * share + node.attributes.get("bias", 1.0)
    beta: float = node.attributes.get("beta", 0.75)
    scale: Value = base ** (-beta)
    return x * scale


EQUIVALENTS: dict[str, Callable[[Node], Value]] = {
    "Max": maximum,
    "Min": minimum,
    "ReduceL1": sum_of_sizes,
    "ReduceL2": euclidean,
    "LpNormalization": of_unit_length,
    "LayerNormalization": layer_normalization,
    "InstanceNormalization": instance_normalization,
    "GroupNormalization": group_normalization,
    "LRN": local_response_normalization,
}
