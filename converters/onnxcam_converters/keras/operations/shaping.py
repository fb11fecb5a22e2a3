"""Functions that give a tensor other axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.arrays import array_of
from onnxcam_converters.keras.functions import function, inner, tensor, tensors, whole, wholes, within
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.layers.merging import concatenated
from onnxcam_converters.keras.layers.shaping import padded, reshaped, transposed
from onnxcam_converters.keras.operations.reductions import without
from onnxcam_converters.keras.sizes import dims_of
from onnxcam_converters.keras.tensor import Tensor


@function("ops.Reshape tf.reshape node.Reshape", tensor="x", newshape="shape")
def reshape(layer: Layer, x: Any, shape: Any) -> Tensor:
    """Another shape, the batch included; lengths may have been computed."""
    given = tensor(layer, x)
    target, value = _target(layer, shape)
    if given.rank == 1:
        raise layer.refuse("a list of numbers is given another shape")
    rest = [n for n in target[1:] if isinstance(n, int)]
    if len(rest) == len(target) - 1 and _keeps_batch(given, target[0], rest):
        return reshaped(layer, given, tuple(rest))
    if isinstance(target[0], int) and target[0] > 0 and -1 not in target and not isinstance(given.shape[0], int):
        raise layer.refuse(f"the shape {target} fixes how many pictures there are")
    made: tuple[Dim, ...] = tuple(None if n == -1 else n for n in target)
    return Tensor(given.tape.Reshape(given.plain(), value), made)


def _keeps_batch(x: Tensor, first: Dim, rest: Sequence[int]) -> bool:
    """Whether the first entry can only be the batch: by its symbol, or since the rest is all that a picture has."""
    if x.shape[0] == first and not isinstance(first, int) and first is not None:
        return rest.count(-1) <= 1
    own = [n for n in x.shape[1:] if isinstance(n, int)]
    return -1 not in rest and len(own) == x.rank - 1 and prod(own) == prod(rest) and first in (-1, None, x.shape[0])


def _target(layer: Layer, shape: Any) -> tuple[list[Dim], Value]:
    """The entries of a shape, −1 for what is left, and the shape as a value."""
    if isinstance(shape, Tensor):
        dims = dims_of(shape.value)
        if dims is None:
            raise layer.refuse("the shape is computed in a way that cannot be followed")
        return dims, _as_ints(shape.value)
    if not isinstance(shape, list | tuple) or not any(isinstance(entry, Tensor) for entry in shape):
        entries = [-1 if n is None else n for n in shape] if isinstance(shape, list | tuple) else shape
        numbers = wholes(layer, entries)
        return [*numbers], layer.tape.ints(*numbers)
    parts = [_entry(layer, entry) for entry in shape]
    return [dim for dim, _ in parts], layer.tape.Concat(*(value for _, value in parts), axis=0)


def _entry(layer: Layer, entry: Any) -> tuple[Dim, Value]:
    if not isinstance(entry, Tensor):
        number = -1 if entry is None else whole(layer, entry)
        return number, layer.tape.ints(number)
    dims = dims_of(entry.value)
    if dims is None or len(dims) != 1:
        raise layer.refuse("the shape is computed in a way that cannot be followed")
    return dims[0], layer.tape.Reshape(_as_ints(entry.value), layer.tape.ints(1))


def _as_ints(value: Value) -> Value:
    return value if value.dtype == np.int64 else value.tape.Cast(value, to=7)


@function("tf.shape tf.compat.v1.shape ops.Shape node.Shape", input="x")
def shape_of(layer: Layer, x: Any, out_type: Any = None) -> Tensor:  # noqa: ARG001 - all whole numbers are int64 here
    """The lengths in Keras's order."""
    given = tensor(layer, x)
    dims = given.tape.Shape(given.value)
    places = [given.axis(axis) for axis in range(given.rank)]
    return Tensor(given.tape.Gather(dims, given.tape.ints(*places)) if given.is_moved else dims, (given.rank,))


@function("ops.Transpose tf.transpose tf.compat.v1.transpose node.Transpose", a="x", perm="axes")
def transpose(layer: Layer, x: Any, axes: Any = None, conjugate: Any = False) -> Tensor:  # noqa: ARG001 - real numbers
    """The axes in another order."""
    given = tensor(layer, x)
    order = list(reversed(range(given.rank))) if axes is None else wholes(layer, axes)
    return transposed(layer, given, order)


@function("ops.Swapaxes")
def swapaxes(layer: Layer, x: Any, axis1: Any, axis2: Any) -> Tensor:
    """Two axes exchanged."""
    given = tensor(layer, x)
    a, b = within(layer, given, axis1), within(layer, given, axis2)
    order = list(range(given.rank))
    order[a], order[b] = b, a
    return transposed(layer, given, order)


@function("ops.Moveaxis")
def moveaxis(layer: Layer, x: Any, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places."""
    given = tensor(layer, x)
    places = np.moveaxis(np.empty(range(1, given.rank + 1)), wholes(layer, source), wholes(layer, destination)).shape
    return transposed(layer, given, [n - 1 for n in places])


@function("ops.ExpandDims tf.expand_dims node.ExpandDims", input="x", dim="axis")
def expand_dims(layer: Layer, x: Any, axis: Any) -> Tensor:
    """Axes of length one more."""
    given, places = tensor(layer, x), wholes(layer, axis)
    return with_axes(given, sorted(within(layer, given, place, new=len(places)) for place in places))


def with_axes(x: Tensor, places: Sequence[int]) -> Tensor:
    """Axes of length one at these places of what comes out."""
    if not places:
        return x
    shape = list(x.shape)
    for place in places:
        shape.insert(place, 1)
    if x.rank == 2 and len(shape) > 2 and not {0, len(shape) - 1} & set(places):
        # Numbers of channels stay where ONNX has channels.
        return Tensor(x.tape.Unsqueeze(x.value, x.tape.ints(*range(2, len(shape)))), tuple(shape), is_moved=True)
    return Tensor(x.tape.Unsqueeze(x.plain(), x.tape.ints(*places)), tuple(shape))


@function("ops.Squeeze tf.squeeze tf.compat.v1.squeeze node.Squeeze", input="x", squeeze_dims="axis")
def squeeze(layer: Layer, x: Any, axis: Any = None) -> Tensor:
    """Without axes of length one."""
    given = tensor(layer, x)
    ones = [i for i, n in enumerate(given.shape) if n == 1]
    places = set(ones if axis is None or axis == [] else (within(layer, given, place) for place in wholes(layer, axis)))
    if not places <= set(ones):
        raise layer.refuse(f"axes {sorted(places)} of the shape {given.shape} are not all of length one")
    return without(given, places)


@function("ops.Concatenate tf.concat", values="xs")
def concatenate(layer: Layer, xs: Any, axis: Any = -1) -> Tensor:
    """One behind the other."""
    given = tensors(layer, xs)
    return concatenated(layer, given, axis=_joint(layer, given[0], axis))


def _joint(layer: Layer, x: Tensor, axis: Any) -> int:
    return within(layer, x, axis) if x.rank == 1 else inner(layer, x, axis)


@function("node.ConcatV2")
def concatenate_node(layer: Layer, *things: Any, N: Any = None) -> Tensor:  # noqa: ARG001 - says how many there are
    """The same, the axis last."""
    made: Tensor = concatenate(layer, list(things[:-1]), things[-1])
    return made


@function("ops.Stack tf.stack", values="xs")
def stack(layer: Layer, xs: Any, axis: Any = 0) -> Tensor:
    """One behind the other along a new axis."""
    if isinstance(xs, list | tuple) and any(isinstance(x, Tensor) and x.rank == 0 for x in xs):
        return _stacked_numbers(layer, xs)
    given = tensors(layer, xs)
    place = within(layer, given[0], axis, new=1)
    if place == 0:
        raise layer.refuse("it puts an axis before the batch")
    return concatenated(layer, [with_axes(x, [place]) for x in given], axis=place)


@function("node.Pack")
def stack_node(layer: Layer, *xs: Any, axis: Any = 0, N: Any = None) -> Tensor:  # noqa: ARG001 - says how many there are
    """The same with the list spread out."""
    made: Tensor = stack(layer, list(xs), axis)
    return made


def _stacked_numbers(layer: Layer, xs: Sequence[Any]) -> Tensor:
    """Of lengths: a shape."""
    _, value = _target(layer, list(xs))
    return Tensor(value, (len(xs),))


@function("ops.Pad tf.pad tf.compat.v1.pad node.Pad node.PadV2", tensor="x", paddings="pad_width")
def pad(layer: Layer, x: Any, pad_width: Any, constant_values: Any = 0, mode: Any = "constant") -> Tensor:
    """More at the ends of axes."""
    given, numbers = tensor(layer, x), array_of(pad_width)
    kind, fill = str(mode).lower(), array_of(constant_values if constant_values is not None else 0)
    if numbers is None or fill is None or fill.size != 1 or kind not in ("constant", "reflect", "edge"):
        raise layer.refuse(f"padding {pad_width!r} of mode {mode!r} with {constant_values!r} is not covered")
    pairs = np.broadcast_to(numbers, (given.rank, 2)).astype(int)
    if pairs[0].any() or pairs.min() < 0:
        raise layer.refuse(f"padding {pad_width!r} adds to the batch, or takes away")
    ends = {axis: (int(a), int(b)) for axis, (a, b) in enumerate(pairs) if a or b}
    return padded(layer, given, ends, number=float(fill.item()), mode=kind) if ends else given


@function("ops.Tile tf.tile node.Tile", input="x", multiples="repeats")
def tile(layer: Layer, x: Any, repeats: Any) -> Tensor:
    """The whole repeated along axes."""
    given, counts = tensor(layer, x), wholes(layer, repeats)
    if len(counts) != given.rank or (counts[0] != 1 and not isinstance(given.shape[0], int)):
        raise layer.refuse(f"repeating {counts} times is not covered for the shape {given.shape}")
    shape = tuple(
        n if c == 1 else n * c if isinstance(n, int) else None for n, c in zip(given.shape, counts, strict=True)
    )
    placed = [1] * given.rank
    for axis, count in enumerate(counts):
        placed[given.axis(axis)] = count
    return given.like(given.tape.Tile(given.value, given.tape.ints(*placed)), shape)


@function("ops.Repeat tf.repeat", input="x")
def repeat(layer: Layer, x: Any, repeats: Any, axis: Any) -> Tensor:
    """Each entry of an axis several times."""
    given, count = tensor(layer, x), whole(layer, repeats)
    place = inner(layer, given, axis)
    wide = with_axes(Tensor(given.plain(), given.shape), [place + 1])
    made: Tensor = tile(
        layer, Tensor(wide.plain(), wide.shape), [count if i == place + 1 else 1 for i in range(wide.rank)]
    )
    length = given.shape[place]
    longer = length * count if isinstance(length, int) else -1
    entries = [
        0 if i == 0 else longer if i == place else n if isinstance(n, int) else -1 for i, n in enumerate(given.shape)
    ]
    shape = tuple((longer if longer > 0 else None) if i == place else n for i, n in enumerate(given.shape))
    if entries.count(-1) > 1:
        raise layer.refuse("several of its lengths are open")
    return Tensor(given.tape.Reshape(made.value, given.tape.ints(*entries)), shape)


@function("ops.BroadcastTo tf.broadcast_to node.BroadcastTo", input="x")
def broadcast_to(layer: Layer, x: Any, shape: Any) -> Tensor:
    """Repeated along axes of length one."""
    given = tensor(layer, x)
    dims, value = _target(layer, shape)
    if len(dims) != given.rank or any(m not in (1, n) and n != -1 for m, n in zip(given.shape, dims, strict=True)):
        raise layer.refuse(f"what has the shape {given.shape} cannot have the shape {dims}")
    if -1 in dims:
        value = given.tape.ints(*(1 if n == -1 else n for n in wholes(layer, dims)))
    shape_ = tuple(m if n == -1 else n for m, n in zip(given.shape, dims, strict=True))
    return Tensor(given.tape.Expand(given.plain(), value), shape_)
