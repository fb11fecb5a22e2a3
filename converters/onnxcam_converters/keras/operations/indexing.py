"""Functions that take parts of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxcam.graph import Dim
from onnxcam_converters.keras.arrays import array_of
from onnxcam_converters.keras.functions import function, inner, tensor, whole, wholes, within
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operations.reductions import without
from onnxcam_converters.keras.operations.shaping import with_axes
from onnxcam_converters.keras.tensor import Tensor

END = 2**31 - 1


@function("ops.GetItem tf.__operators__.getitem", slice_spec="key", tensor="x")
def get_item(layer: Layer, x: Any, key: Any, var: Any = None) -> Tensor:  # noqa: ARG001 - of variables only
    """x[key], key being numbers, ranges, new axes and an ellipsis."""
    given = tensor(layer, x)
    parts = [_part(layer, part) for part in (key if isinstance(key, list | tuple) else [key])]
    taken = sum(part is not None and part is not Ellipsis for part in parts)
    if parts.count(Ellipsis) > 1 or taken > given.rank:
        raise layer.refuse(f"{key!r} is no index of {given.rank} axes")
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    at = parts.index(Ellipsis)
    parts[at : at + 1] = [slice(None)] * (given.rank - taken)
    own = [part for part in parts if part is not None]
    cut = _cut(layer, given, own)
    numbers = {axis for axis, part in enumerate(own) if isinstance(part, int)}
    left = [part for part in parts if not isinstance(part, int)]
    return with_axes(without(cut, numbers), [place for place, part in enumerate(left) if part is None])


def _part(layer: Layer, part: Any) -> Any:
    """An entry of an index: a range, a number, None or an ellipsis."""
    if isinstance(part, Mapping) and part.get("class_name") == "__ellipsis__":
        return Ellipsis
    if isinstance(part, Mapping) and part.keys() == {"start", "stop", "step"}:
        part = slice(part["start"], part["stop"], part["step"])
    if isinstance(part, slice):
        bounds = (part.start, part.stop, part.step)
        return slice(*(None if bound is None else whole(layer, bound) for bound in bounds))
    return part if part is None or part is Ellipsis else whole(layer, part)


def _cut(layer: Layer, x: Tensor, parts: list[Any]) -> Tensor:
    """The ranges, and ranges of one in the place of numbers."""
    shape, rows = list(x.shape), []
    for axis, part in enumerate(parts):
        if part == slice(None):
            continue
        if axis == 0 and not isinstance(x.shape[0], int):
            raise layer.refuse("it takes pictures out of the batch")
        span = part if isinstance(part, slice) else slice(part, part + 1 or None)
        shape[axis] = 1 if isinstance(part, int) else _length(shape[axis], span)
        start, end, step = _bounds(span)
        rows.append((start, end, x.axis(axis), step))
    if not rows:
        return x
    return x.like(x.tape.Slice(x.value, *(x.tape.ints(*column) for column in zip(*rows, strict=True))), tuple(shape))


def _bounds(span: slice) -> tuple[int, int, int]:
    """As Slice has them, which knows no open ends."""
    step = 1 if span.step is None else span.step
    if step > 0:
        return span.start or 0, END if span.stop is None else span.stop, step
    return END if span.start is None else span.start, -END if span.stop is None else span.stop, step


def _length(dim: Dim, span: slice) -> Dim:
    return len(range(*span.indices(dim))) if isinstance(dim, int) else None


@function("node.StridedSlice")
def strided_slice(layer: Layer, x: Any, begin: Any, end: Any, strides: Any, **masks: Any) -> Tensor:
    """TensorFlow 1's own form of x[key]: bits say which entries are open, new axes or numbers."""
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    if masks.keys() - set(names):
        raise layer.refuse(f"its argument {min(masks.keys() - set(names))!r} is not understood")
    bits = [whole(layer, masks.get(name, 0)) for name in names]
    key: list[Any] = []
    rows = zip(*(wholes(layer, numbers) for numbers in (begin, end, strides)), strict=True)
    for i, (start, stop, step) in enumerate(rows):
        no_start, no_stop, is_ellipsis, is_new, is_number = (bool(bit >> i & 1) for bit in bits)
        span = slice(None if no_start else start, None if no_stop else stop, step if step != 1 else None)
        key.append(Ellipsis if is_ellipsis else None if is_new else start if is_number else span)
    made: Tensor = get_item(layer, x, key)
    return made


@function("ops.Take tf.gather tf.compat.v1.gather node.GatherV2", params="x", validate_indices="validate")
def take(layer: Layer, x: Any, indices: Any, axis: Any = None, batch_dims: Any = 0, validate: Any = None) -> Tensor:  # noqa: ARG001
    """Entries of one axis, given as constants."""
    given, numbers = tensor(layer, x), array_of(indices)
    if numbers is None or numbers.dtype.kind not in "iu" or numbers.ndim > 1 or batch_dims:
        raise layer.refuse(f"indices {indices!r} are not covered")
    place = inner(layer, given, 0 if axis is None else axis)
    at = given.tape.ints(*(int(n) for n in numbers.reshape(-1)))
    shape = tuple(numbers.size if i == place else n for i, n in enumerate(given.shape))
    taken = given.like(given.tape.Gather(given.value, at, axis=given.axis(place)), shape)
    return without(taken, {place}) if numbers.ndim == 0 else taken


def _parts(layer: Layer, x: Tensor, place: int, lengths: list[int]) -> list[Tensor]:
    """The axis in pieces."""
    ends = np.cumsum(lengths).tolist()
    key = [slice(None)] * x.rank
    made = []
    for length, end in zip(lengths, ends, strict=True):
        made.append(_cut(layer, x, [*key[:place], slice(end - length, end), *key[place + 1 :]]))
    return made


def _length_of(layer: Layer, x: Tensor, place: int) -> int:
    length = x.shape[place]
    if not isinstance(length, int):
        raise layer.refuse(f"an axis of open length ({length}) is divided")
    return length


@function("ops.Split")
def split_at(layer: Layer, x: Any, indices_or_sections: Any, axis: Any = 0) -> list[Tensor]:
    """Equal parts, or parts that end at indices."""
    given = tensor(layer, x)
    place = inner(layer, given, axis)
    length = _length_of(layer, given, place)
    if isinstance(indices_or_sections, int):
        return _equal_parts(layer, given, place, indices_or_sections)
    ends = [min(end % (length + 1), length) for end in wholes(layer, indices_or_sections)]
    return _parts(layer, given, place, np.diff([0, *ends, length]).tolist())


@function("tf.split tf.compat.v1.split", value="x", num_or_size_splits="parts")
def split(layer: Layer, x: Any, parts: Any, axis: Any = 0, num: Any = None) -> list[Tensor]:  # noqa: ARG001 - said by parts
    """Equal parts, or parts of these lengths, of which one may be −1."""
    given = tensor(layer, x)
    place = inner(layer, given, axis)
    length = _length_of(layer, given, place)
    if isinstance(parts, int):
        return _equal_parts(layer, given, place, parts)
    lengths = wholes(layer, parts)
    rest = length - sum(n for n in lengths if n != -1)
    return _parts(layer, given, place, [rest if n == -1 else n for n in lengths])


@function("node.Split")
def split_node(layer: Layer, axis: Any, x: Any, num_split: Any) -> list[Tensor]:
    """Equal parts."""
    given = tensor(layer, x)
    return _equal_parts(layer, given, inner(layer, given, axis), whole(layer, num_split))


def _equal_parts(layer: Layer, x: Tensor, place: int, count: int) -> list[Tensor]:
    length = _length_of(layer, x, place)
    if count < 1 or length % count:
        raise layer.refuse(f"an axis of length {length} has no {count} equal parts")
    return _parts(layer, x, place, [length // count] * count)


@function("ops.Unstack tf.unstack node.Unpack", value="x")
def unstack(layer: Layer, x: Any, axis: Any = 0, num: Any = None) -> list[Tensor]:  # noqa: ARG001 - said by the shape
    """The entries of an axis."""
    given = tensor(layer, x)
    place = inner(layer, given, axis)
    return [without(part, {place}) for part in _equal_parts(layer, given, place, _length_of(layer, given, place))]


@function("ops.Flip tf.reverse", tensor="x")
def flip(layer: Layer, x: Any, axis: Any) -> Tensor:
    """Backwards along axes."""
    given = tensor(layer, x)
    places = {inner(layer, given, place) for place in wholes(layer, axis)}
    key = [slice(None, None, -1) if i in places else slice(None) for i in range(given.rank)]
    return _cut(layer, given, key)


@function("ops.Argmax tf.math.argmax", input="x", output_type="dtype")
def argmax(layer: Layer, x: Any, axis: Any, keepdims: Any = False, dtype: Any = None) -> Tensor:  # noqa: ARG001 - int64
    """The place of the largest entry, the first of equals."""
    given = tensor(layer, x)
    place = inner(layer, given, within(layer, given, axis))
    shape = tuple(1 if i == place else n for i, n in enumerate(given.shape))
    found = given.like(given.tape.ArgMax(given.value, axis=given.axis(place), keepdims=1), shape)
    return found if keepdims else without(found, {place})
