"""Layers that normalise over axes of one picture: by layer, by group, by length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxcam.graph import Value
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor


@reads("LayerNormalization")
def layer_normalization(layer: Layer, x: Tensor) -> Tensor:
    """(x − mean) / √(variance + ε) · γ + β over the axes; `rms_scaling`, a fault of Keras 3, takes no mean off x."""
    axes = _axes(layer, x)
    epsilon = float(layer.option("epsilon", default=1e-3))
    names = ["gamma"] * layer.option("scale", default=True) + ["beta"] * layer.option("center", default=True)
    if layer.option("rms_scaling", default=False):
        return _scaled_by_deviation(layer, x, axes=axes, epsilon=epsilon)
    given = dict(zip(names, layer.weights(*names), strict=True))
    is_sized = all(isinstance(x.shape[axis], int) for axis in axes)
    if is_sized and axes == list(range(axes[0], x.rank)):
        return _normalized_at_the_end(layer, x, given, first=axes[0], epsilon=epsilon)
    value = _standardized(x.value, _positions(x, axes), epsilon)
    if "gamma" in given:
        value = value * spread(layer, x, axes, name="gamma", array=given["gamma"])
    if "beta" in given:
        value = value + spread(layer, x, axes, name="beta", array=given["beta"])
    return x.like(value)


def _normalized_at_the_end(layer: Layer, x: Tensor, given: dict[str, Array], *, first: int, epsilon: float) -> Tensor:
    sizes = [size for size in x.shape[first:] if isinstance(size, int)]
    scale = layer.constant("gamma", given.get("gamma", np.ones(sizes, np.float32)))
    # ONNX Runtime 1.31 crashes while it loads the op without its last, optional input.
    beta = layer.constant("beta", given.get("beta", np.zeros(sizes, np.float32)))
    return Tensor(x.tape.LayerNormalization(x.plain(), scale, beta, axis=first - x.rank, epsilon=epsilon), x.shape)


def _scaled_by_deviation(layer: Layer, x: Tensor, *, axes: list[int], epsilon: float) -> Tensor:
    (gamma,) = layer.weights("gamma")
    at = x.tape.ints(*_positions(x, axes))
    centred = x.value - x.tape.ReduceMean(x.value, at)
    deviation = x.tape.Sqrt(x.tape.ReduceMean(centred * centred, at) + epsilon)
    return x.like(x.value / deviation * spread(layer, x, axes, name="gamma", array=gamma))


@reads("RMSNormalization")
def rms_normalization(layer: Layer, x: Tensor) -> Tensor:
    """x / √(mean x² + ε) · scale over the last axes."""
    axes = _axes(layer, x)
    if axes != list(range(axes[0], x.rank)):
        raise layer.refuse(f"axis={axes} is not covered: Keras lays its weights along the last axes")
    (scale,) = layer.weights("scale")
    squares = x.tape.ReduceMean(x.value * x.value, x.tape.ints(*_positions(x, axes)))
    root = x.tape.Sqrt(squares + float(layer.option("epsilon", default=1e-6)))
    return x.like(x.value / root * spread(layer, x, axes, name="scale", array=scale))


@reads("UnitNormalization")
def unit_normalization(layer: Layer, x: Tensor) -> Tensor:
    """x divided by its length over the axes; zeros stay zeros."""
    # The least square: TensorFlow's l2_normalize has it at 1e-12, Keras 3 the least length.
    least = 1e-24 if layer.keras >= (3,) else 1e-12
    squares = x.tape.ReduceSum(x.value * x.value, x.tape.ints(*_positions(x, _axes(layer, x))))
    return x.like(x.value / x.tape.Sqrt(x.tape.Max(squares, least)))


@reads("GroupNormalization")
def group_normalization(layer: Layer, x: Tensor) -> Tensor:
    """Each group of channels brought to mean 0 and variance 1 over itself and all of space, then · γ + β."""
    axis = int(layer.option("axis", default=-1)) % x.rank
    if axis not in (1, x.rank - 1):
        raise layer.refuse(f"axis={axis} is not covered: channels lie first or last")
    at_front = Tensor(x.plain(), x.shape) if axis == 1 else Tensor(x.moved(), x.shape, is_moved=True)
    channels = x.shape[axis]
    if not isinstance(channels, int):
        raise layer.refuse("the number of its channels is not known")
    groups = int(layer.option("groups", default=32))
    tape, count = x.tape, channels if groups == -1 else groups
    grouped = tape.Reshape(at_front.value, tape.ints(0, count, -1))
    epsilon = float(layer.option("epsilon", default=1e-3))
    one, zero = (tape.constant(np.full(count, number, np.float32)) for number in (1, 0))
    standard = tape.InstanceNormalization(grouped, one, zero, epsilon=epsilon)
    shaped = tape.Reshape(standard, _shape_of(at_front))
    return at_front.like(_scaled(layer, at_front, shaped, axis=axis))


def _scaled(layer: Layer, x: Tensor, value: Value, *, axis: int) -> Value:
    names = ["gamma"] * layer.option("scale", default=True) + ["beta"] * layer.option("center", default=True)
    given = dict(zip(names, layer.weights(*names), strict=True))
    if "gamma" in given:
        value = value * spread(layer, x, [axis], name="gamma", array=given["gamma"])
    if "beta" in given:
        value = value + spread(layer, x, [axis], name="beta", array=given["beta"])
    return value


def _axes(layer: Layer, x: Tensor) -> list[int]:
    """The option `axis`, counted from the front, sorted as Keras sorts them."""
    axis = layer.option("axis", default=-1)
    return sorted(each % x.rank for each in ([axis] if isinstance(axis, int) else axis))


def _positions(x: Tensor, axes: Sequence[int]) -> list[int]:
    return sorted(x.axis(axis) for axis in axes)


def _standardized(value: Value, positions: list[int], epsilon: float) -> Value:
    tape = value.tape
    centred = value - tape.ReduceMean(value, tape.ints(*positions))
    return centred / tape.Sqrt(tape.ReduceMean(centred * centred, tape.ints(*positions)) + epsilon)


def spread(layer: Layer, x: Tensor, axes: Sequence[int], *, name: str, array: Array) -> Value:
    """The weight, which has these axes, as a constant that stretches over the tensor's value."""
    shape = [1] * x.rank
    for axis, size in zip(axes, array.shape, strict=True):
        shape[axis] = size
    whole = array.reshape(shape)
    return layer.constant(name, np.moveaxis(whole, -1, 1) if x.is_moved else whole)


def _shape_of(x: Tensor) -> Value:
    """The shape of the value: numbers and one −1 where at most one size is open."""
    sizes = [x.shape[0], x.shape[-1], *x.shape[1:-1]] if x.is_moved else list(x.shape)
    known = [size if isinstance(size, int) else -1 for size in sizes]
    return x.tape.ints(*known) if known.count(-1) <= 1 else x.tape.Shape(x.value)
