"""Layers that join several tensors into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from string import ascii_lowercase

from onnxcam.graph import Value
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import Operands, aligned, same_type
from onnxcam_converters.keras.registry import Rule, reads
from onnxcam_converters.keras.tensor import Tensor


@reads("Add")
def add(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The sum."""
    these = _operands(layer, xs)
    return these.tensor(_sum(these))


@reads("Multiply")
def multiply(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The product."""
    these = _operands(layer, xs)
    return these.tensor(reduce(lambda a, b: a * b, these.values))


@reads("Average")
def average(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The mean."""
    these = _operands(layer, xs)
    return these.tensor(_sum(these) / float(len(xs)))


@reads("Maximum")
def maximum(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The largest."""
    these = _operands(layer, xs)
    return these.tensor(reduce(these.tape.Max, these.values))


@reads("Minimum")
def minimum(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The smallest."""
    these = _operands(layer, xs)
    return these.tensor(reduce(these.tape.Min, these.values))


@reads("Subtract")
def subtract(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The first without the second."""
    _two(layer, xs)
    these = _operands(layer, xs)
    a, b = these.values
    return these.tensor(a - b)


@reads("Concatenate")
def concatenate(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """One behind the other."""
    return concatenated(layer, xs, axis=layer.option("axis", default=-1))


@reads("Dot")
def dot(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """The sum over one axis of each, for each picture by itself."""
    _two(layer, xs)
    axes = layer.option("axes")
    pair = [axes, axes] if isinstance(axes, int) else list(axes)
    if layer.option("normalize", default=False):
        xs = [_unit(layer, x, axis) for x, axis in zip(xs, pair, strict=True)]
    return dotted(layer, xs, pair)


MODES: dict[str, Rule] = {"sum": add, "mul": multiply, "ave": average, "max": maximum}


@reads("Merge")
def merge(layer: Layer, xs: Sequence[Tensor]) -> Tensor:
    """All of the above, as Keras 1 had it."""
    for name in ("mode_type", "output_shape_type", "output_mask_type"):
        layer.expect(name, "raw")
    for name in ("output_shape", "output_mask", "node_indices", "tensor_indices"):
        layer.expect(name, None)
    layer.expect("arguments", {}, None)
    mode, axis, axes = (layer.option(n, default=-1) for n in ("mode", "concat_axis", "dot_axes"))
    if mode in MODES:
        made: Tensor = MODES[mode](layer, xs)
        return made
    if mode == "concat":
        return concatenated(layer, xs, axis=axis)
    if mode == "dot" and len(xs) == 2 and all(x.rank <= 3 for x in xs):
        return dotted(layer, xs, [axes, axes] if isinstance(axes, int) else list(axes))
    raise layer.refuse(f"mode={mode!r} is not covered")


def concatenated(layer: Layer, xs: Sequence[Tensor], *, axis: int) -> Tensor:
    """The tensors, all of one rank, one behind the other along Keras's axis."""
    first = xs[0]
    if any(x.rank != first.rank for x in xs) or not -first.rank <= axis < first.rank:
        raise layer.refuse(f"tensors of shapes {', '.join(str(x.shape) for x in xs)} are joined along axis {axis}")
    lengths = [x.shape[axis] for x in xs]
    shape = list(first.shape)
    numbers = [n for n in lengths if isinstance(n, int)]
    shape[axis] = sum(numbers) if len(numbers) == len(xs) else None
    is_moved = any(x.is_moved for x in xs)
    values = same_type([x.moved() if is_moved else x.plain() for x in xs])
    made = Tensor(first.value, tuple(shape), is_moved)
    return made.like(values[0] if len(xs) == 1 else first.tape.Concat(*values, axis=made.axis(axis)))


def dotted(layer: Layer, xs: Sequence[Tensor], axes: Sequence[int]) -> Tensor:
    """The sum over an axis of each; of two vectors (N, 1)."""
    a, b = xs
    over = [axis % x.rank for axis, x in zip(axes, xs, strict=True)]
    if 0 in over or a.shape[over[0]] != b.shape[over[1]]:
        raise layer.refuse(f"axes={list(axes)} of tensors of shapes {a.shape} and {b.shape} do not go together")
    left = list(ascii_lowercase[: a.rank])
    right = [left[0], *ascii_lowercase[a.rank : a.rank + b.rank - 1]]
    right[over[1]] = left[over[0]]
    rest = [(c, n) for c, n in zip(left, a.shape, strict=True) if c != left[over[0]]]
    rest += [(c, n) for c, n in zip(right, b.shape, strict=True) if c not in (left[0], left[over[0]])]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(c for c, _ in rest)}"
    value = a.tape.Einsum(a.plain(), b.plain(), equation=equation)
    if len(rest) == 1:
        return Tensor(a.tape.Unsqueeze(value, a.tape.ints(1)), (a.shape[0], 1))
    return Tensor(value, tuple(n for _, n in rest))


def _unit(layer: Layer, x: Tensor, axis: int) -> Tensor:
    """Of length one along the axis; the least length is 1e-7 in Keras 3, the root of 1e-12 before."""
    op = x.tape
    length = op.ReduceL2(x.value, op.ints(x.axis(axis)))
    return x.like(x.value / op.Max(length, 1e-7 if layer.keras >= (3,) else 1e-6))


def _operands(layer: Layer, xs: Sequence[Tensor]) -> Operands:
    if not isinstance(xs, list | tuple) or not xs or not all(isinstance(x, Tensor) for x in xs):
        raise layer.refuse("it is not called on a list of tensors")
    these = aligned(layer, xs, behind_batch=True)
    return replace(these, values=same_type(these.values))


def _sum(these: Operands) -> Value:
    return reduce(lambda a, b: a + b, these.values)


def _two(layer: Layer, xs: Sequence[Tensor]) -> None:
    if len(xs) != 2:
        raise layer.refuse(f"it joins two tensors, here are {len(xs)}")
