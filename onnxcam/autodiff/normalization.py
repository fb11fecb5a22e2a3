"""Normalisations.

Those that take their statistics from the input itself share one formula: with x̂ = (x − mean)/σ,

    dx = (ĝ − mean(ĝ) − x̂ mean(ĝ x̂))/σ,    ĝ the cotangent of x̂.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from onnxcam.autodiff.casting import cast_like, widened
from onnxcam.autodiff.elementwise import signed
from onnxcam.autodiff.extents import END, axis_of, rank_of, runtime_sizes_along, shape_of
from onnxcam.autodiff.registry import vjp, vjp_of_outputs
from onnxcam.errors import TrainingModeBatchNormalization
from onnxcam.graph import Node, Value


@vjp("BatchNormalization")
def batch_normalization(g: Value, node: Node) -> list[Value | None]:
    """With fixed statistics it is y = x f + …, f = scale/√(var + ε) for each channel.

    f is computed in the graph: ONNX Runtime folds it on loading, and the file holds no second copy.
    """
    if node.attributes.get("training_mode", 0):
        raise TrainingModeBatchNormalization(node.title)
    op, rank = node.tape, rank_of(node.x, node)
    scale, variance = node.input(1), node.input(4) + node.attributes.get("epsilon", 1e-5)
    deviation = op.Sqrt(variance)
    factor = scale / cast_like(deviation, scale)
    dx = g * cast_like(per_channel(factor, rank), g)
    if node.wanted <= {0}:
        return [dx]
    spatial = [axis for axis in range(rank) if axis != 1]
    db = cast_like(_sum(g, spatial), scale)
    centred = node.x - cast_like(per_channel(node.input(3), rank), g)
    dscale = cast_like(_sum(g * centred, spatial), scale) / cast_like(deviation, scale)
    dmean = -cast_like(db * factor, variance)
    return [dx, dscale, db, dmean, cast_like(dscale * scale, variance) * (-0.5) / variance]


@vjp_of_outputs("LayerNormalization", answers_all=False)  # the statistics are not of scale and bias
def layer_normalization(cotangents: Sequence[Value | None], node: Node) -> list[Value | None]:
    """The last axes together. x̂ and 1/σ come from one more LayerNormalization, whose sums are float32 throughout."""
    op, x, scale = node.tape, node.x, node.input(1)
    g, of_mean, of_inverse = (*cotangents, None, None)[:3]
    first = axis_of(x, node, default=-1)
    axes = range(first, rank_of(x, node))
    ones = op.Expand(op.number(1.0, x), runtime_sizes_along(x, axes))
    epsilon = node.attributes.get("epsilon", 1e-5)
    if x.dtype == np.float64:  # 1/σ would come out in float32
        unit, inverse = standardized(x, axes, epsilon=epsilon)
    else:
        unit, _, inverse = op.emit("LayerNormalization", [x, ones], {"axis": first, "epsilon": epsilon}, outputs=3)
        inverse = cast_like(inverse, x)
    parts = [
        _through_statistics(g * scale, unit, inverse, axes) if g is not None and node.wants(0) else None,
        # The mean's derivative is 1/n, that of 1/σ is −x̂/(n σ²).
        op.Expand(cast_like(of_mean, x) / _count(ones), shape_of(x)) if of_mean is not None else None,
        -(unit * (cast_like(of_inverse, x) * inverse * inverse / _count(ones))) if of_inverse is not None else None,
    ]
    dx = reduce(Value.__add__, present) if (present := [part for part in parts if part is not None]) else None
    return [dx, g * unit if g is not None and node.wants(1) else None, g][: len(node.inputs)]


@vjp("InstanceNormalization")
def instance_normalization(g: Value, node: Node) -> list[Value | None]:
    """Every channel of every image by itself."""
    rank, scale = rank_of(node.x, node), node.input(1)
    spatial = range(2, rank)
    unit, inverse = standardized(node.x, spatial, epsilon=node.attributes.get("epsilon", 1e-5))
    dx = _through_statistics(g * per_channel(scale, rank), unit, inverse, spatial)
    every = [axis for axis in range(rank) if axis != 1]
    return [dx, _sum(g * unit, every) if node.wants(1) else None, _sum(g, every) if node.wants(2) else None]


@vjp("GroupNormalization")
def group_normalization(g: Value, node: Node) -> list[Value | None]:
    """Channels in groups, with a scale and a bias for each group: as (N, groups, everything else)."""
    op, x, scale = node.tape, node.x, node.input(1)
    grouped = op.ints(0, node.attributes["num_groups"], -1)
    inner = op.Reshape(g, grouped)
    unit, inverse = standardized(op.Reshape(x, grouped), [2], epsilon=node.attributes.get("epsilon", 1e-5))
    dx = _through_statistics(inner * per_channel(scale, 3), unit, inverse, [2])
    return [
        op.Reshape(dx, shape_of(x)),
        _sum(inner * unit, [0, 2]) if node.wants(1) else None,
        _sum(inner, [0, 2]) if node.wants(2) else None,
    ]


@vjp("MeanVarianceNormalization")
def mean_variance_normalization(g: Value, node: Node) -> Value:
    """Over the axes named, by default all but the channels; 10⁻⁹ is added to σ, not to σ²."""
    op, axes = node.tape, node.attributes.get("axes", [0, 2, 3])
    x = widened(node.x)
    centred = x - _mean(x, axes)
    deviation = op.Sqrt(_mean(centred * centred, axes))
    return _through_statistics(g, node.output, cast_like(op.Reciprocal(deviation + 1e-9), g), axes)


@vjp("LpNormalization")
def lp_normalization(g: Value, node: Node) -> Value:
    """y = x/‖x‖: dx = (g − ∂‖x‖/∂x Σ g y)/‖x‖, with ∂‖x‖/∂x = sign(x) for p = 1 and y for p = 2; 0 where x is 0."""
    op, x, y, axis = node.tape, node.x, node.output, node.attributes.get("axis", -1)
    shared = op.ReduceSum(g * y, op.ints(axis), keepdims=1)
    if node.attributes.get("p", 2) == 1:
        norm = op.ReduceSum(op.Abs(x), op.ints(axis), keepdims=1)
        dx = g - signed(shared, x)
    else:
        norm = op.ReduceL2(x, op.ints(axis), keepdims=1)
        dx = g - y * shared
    return op.Where(norm > 0.0, dx / norm, 0.0)


@vjp("LRN")
def local_response_normalization(g: Value, node: Node) -> Value:
    """y = x b⁻ᵝ, b = k + α/n Σx² over n channels around each: dx = g b⁻ᵝ − 2αβ/n x Σ g y/b over those that see x."""
    x, size = node.x, node.attributes["size"]
    beta: float = node.attributes.get("beta", 0.75)
    bias: float = node.attributes.get("bias", 1.0)
    share: float = node.attributes.get("alpha", 1e-4) / size
    before, after = (size - 1) // 2, size // 2
    base = window_sum(x * x, node, before=before, after=after) * share + bias
    crossing = window_sum(g * node.output / base, node, before=after, after=before)
    return g * base ** (-beta) - x * (crossing * (2.0 * beta * share))


def _through_statistics(g: Value, unit: Value, inverse: Value, axes: Sequence[int]) -> Value:
    """What the cotangent of x̂ (`unit`) means for x, given 1/σ (`inverse`)."""
    return (g - _mean(g, axes) - unit * _mean(g * unit, axes)) * inverse


def standardized(x: Value, axes: Sequence[int], *, epsilon: float) -> tuple[Value, Value]:
    """x̂ and 1/σ, both of the type of `x`; the squares are summed in float32 at least."""
    op, wide = x.tape, widened(x)
    centred = wide - _mean(wide, axes)
    inverse = op.Reciprocal(op.Sqrt(_mean(centred * centred, axes) + epsilon))
    return cast_like(centred * inverse, x), cast_like(inverse, x)


def window_sum(x: Value, node: Node, *, before: int, after: int) -> Value:
    """The sum over each channel and its neighbours: `before` channels before it, `after` after it."""
    op, size = node.tape, before + after + 1
    spatial = [0] * (rank_of(node.x, node) - 2)
    padded = op.Pad(x, op.ints(0, before, *spatial, 0, after, *spatial), 0.0)
    total = None
    for shift in range(size):
        stop = shift - (size - 1) or END
        part = op.Slice(padded, op.ints(shift), op.ints(stop), op.ints(1))
        total = part if total is None else total + part
    return x if total is None else total


def per_channel(parameter: Value, rank: int) -> Value:
    """(C,) → (C, 1, …, 1), so that it stretches over (N, C, …)."""
    return parameter.tape.Unsqueeze(parameter, parameter.tape.ints(*range(1, rank - 1))) if rank > 2 else parameter


def _mean(x: Value, axes: Sequence[int]) -> Value:
    return x.tape.ReduceMean(x, x.tape.ints(*axes), keepdims=1)


def _sum(x: Value, axes: Sequence[int]) -> Value:
    return x.tape.ReduceSum(x, x.tape.ints(*axes), keepdims=0)


def _count(ones: Value) -> Value:
    """How many ones they are, as one of them."""
    return cast_like(ones.tape.Size(ones), ones)
