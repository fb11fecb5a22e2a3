"""Reductions: sums, means, extremes, products and norms over axes; running sums."""

from __future__ import annotations

import math

from onnxcam.autodiff.casting import as_float, cast_like, ones_where
from onnxcam.autodiff.elementwise import signed
from onnxcam.autodiff.extents import known_ints, shape_of, sizes_along
from onnxcam.autodiff.registry import vjp
from onnxcam.graph import Node, Value


@vjp("ReduceSum")
def reduce_sum(g: Value, node: Node) -> Value:
    """Every element gets all of it."""
    return _stretched(_kept(g, node), node)


@vjp("ReduceMean")
def reduce_mean(g: Value, node: Node) -> Value:
    """Every element gets its share, one over their number."""
    return _stretched(_kept(g / _count(g, node), node), node)


@vjp("ReduceSumSquare")
def reduce_sum_square(g: Value, node: Node) -> Value:
    """d Σx² = 2x dx."""
    return _kept(g, node) * (node.x * 2.0)


@vjp("ReduceL1")
def reduce_l1(g: Value, node: Node) -> Value:
    """d Σ|x| = sign(x) dx."""
    return signed(_stretched(_kept(g, node), node), node.x)


@vjp("ReduceL2")
def reduce_l2(g: Value, node: Node) -> Value:
    """y = √Σx²: y' = x/y, and 0 where y is 0."""
    op, y = node.tape, node.output
    return _kept(g / op.Where(y > 0.0, y, 1.0), node) * node.x


@vjp("ReduceLogSum")
def reduce_log_sum(g: Value, node: Node) -> Value:
    """y = ln Σx: y' = 1/Σx = e⁻ʸ."""
    return _stretched(_kept(g * node.tape.Exp(-node.output), node), node)


@vjp("ReduceLogSumExp")
def reduce_log_sum_exp(g: Value, node: Node) -> Value:
    """y = ln Σeˣ: y' = e^(x − y), the softmax."""
    return _kept(g, node) * node.tape.Exp(node.x - _kept(node.output, node))


@vjp("ReduceMax", "ReduceMin")
def reduce_extremum(g: Value, node: Node) -> Value:
    """The largest (smallest) element gets it; elements that tie share it equally, as in torch.amax."""
    op, x = node.tape, as_float(node.x)
    hits = x.equals(_kept(as_float(node.output), node))
    share = _kept(g, node) / _sum(ones_where(hits, g), node)
    return op.Where(hits, share, 0.0)


@vjp("ReduceProd")
def reduce_prod(g: Value, node: Node) -> Value:
    """The product of the others: y/x where none is zero; where one is, only it has a gradient; with two, none has.

    Right to the first order only, where there are zeros.
    """
    op, x = node.tape, node.x
    is_zero = x.equals(0.0)
    zeros, others = ones_where(is_zero, x), op.Where(is_zero, 1.0, x)
    share = _kept(g, node) * _product(others, node) / others
    return op.Where(_sum(zeros, node).equals(zeros), share, 0.0)


@vjp("CumSum")
def cum_sum(g: Value, node: Node) -> Value:
    """An element counts in all sums after it: the running sum from the other end."""
    exclusive, is_reversed = node.attributes.get("exclusive", 0), node.attributes.get("reverse", 0)
    return node.tape.CumSum(g, node.input(1), exclusive=exclusive, reverse=1 - is_reversed)


def _axes(node: Node) -> Value | None:
    """The axes that the node names; None for all."""
    axes = node.optional(1)
    return None if axes is None or (axes.constant is not None and not axes.constant.size) else axes


def _kept(y: Value, node: Node) -> Value:
    """`y`, in the shape of the node's output, with the reduced axes as 1, so that it stretches to the input."""
    axes = _axes(node)
    # What was reduced over all axes is a scalar, which stretches to anything.
    if axes is None or node.attributes.get("keepdims", 1):
        return y
    return node.tape.Unsqueeze(y, axes)


def _stretched(g: Value, node: Node) -> Value:
    """`g`, its reduced axes as 1, in the shape of the node's input."""
    x, reduced = node.x, _reduced(node)
    # Expand stretches both ways: an axis that `g` still has may be 1, so that a symbolic batch needs no Shape.
    wanted = [n if axis in reduced else 1 for axis, n in enumerate(x.shape or ())] if reduced is not None else [None]
    numbers = [n for n in wanted if isinstance(n, int)]
    return node.tape.Expand(g, node.tape.ints(*numbers) if len(numbers) == len(wanted) else shape_of(x))


def _count(g: Value, node: Node) -> Value | float:
    """How many elements went into one: a number where the model fixes it."""
    x, reduced = node.x, _reduced(node)
    sizes = sizes_along(x, sorted(reduced)) if reduced is not None else None
    return float(math.prod(sizes)) if sizes is not None else cast_like(x.tape.Size(x) / x.tape.Size(node.output), g)


def _reduced(node: Node) -> set[int] | None:
    """The axes that are reduced, counted from the front; None where only the running graph knows."""
    axes, shape = _axes(node), node.x.shape
    if shape is None:
        return None
    if axes is None:
        # With noop_with_empty_axes each element is reduced by itself.
        return set() if node.attributes.get("noop_with_empty_axes", 0) else set(range(len(shape)))
    named = known_ints(axes)
    return None if named is None else {axis % len(shape) for axis in named}


def _sum(x: Value, node: Node) -> Value:
    """The sum of `x` over what the node reduces, those axes as 1."""
    noop = node.attributes.get("noop_with_empty_axes")
    return x.tape.ReduceSum(x, _axes(node), keepdims=1, noop_with_empty_axes=noop)


def _product(x: Value, node: Node) -> Value:
    """The product of `x` over what the node reduces, those axes as 1."""
    noop = node.attributes.get("noop_with_empty_axes")
    return x.tape.ReduceProd(x, _axes(node), keepdims=1, noop_with_empty_axes=noop)
