"""What the shapes that a model computes hold, number by number: sizes known, sizes open, and the rest.

ONNX's inference follows a shape through Shape, Gather and Concat, but not through a choice: exporters write
expand(-1, 4) as Where(shape == -1, 1, shape), and behind it no size is known any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

from onnxcam.graph.value import Dim

# Of objects: int, or the symbol of an open size, or None; of conditions bool or None.
Entries: TypeAlias = NDArray[Any]

# More than that is no shape.
MOST = 64
WHOLE = (TensorProto.INT64, TensorProto.INT32)


class ShapeValues:
    """The entries of the small whole-number tensors, filled node by node in the order of the graph."""

    def __init__(self, constants: Mapping[str, TensorProto]) -> None:
        self._constants = constants
        self._found: dict[str, Entries | None] = {}

    def of(self, name: str) -> Entries | None:
        """The entries of the tensor; None where nothing is known of any."""
        if name not in self._found:
            self._found[name] = _entries(self._constants[name]) if name in self._constants else None
        return self._found[name]

    def follow(self, node: NodeProto, shapes: Sequence[Sequence[Dim] | None]) -> None:
        """Notes what the node's output holds; `shapes`: of its inputs."""
        rule = RULES.get(node.op_type)
        if rule is None or node.domain:
            return
        inputs = [self.of(name) if name else None for name in node.input]
        if node.op_type == "Shape":
            inputs = [None if not shapes or shapes[0] is None else _objects(list(shapes[0]))]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if any(entries is None and name for name, entries in zip(node.input, inputs, strict=True)):
            return
        try:
            found = np.asarray(rule(attributes, *inputs), dtype=object)  # a single entry that was taken out is none yet
        except (IndexError, TypeError, ValueError):  # an axis, a number of entries or an index that is open itself
            return
        if found.size <= MOST:
            self._found[node.output[0]] = found


def _entries(tensor: TensorProto) -> Entries | None:
    """The numbers or conditions of a constant; None of one that is no shape."""
    is_shape = tensor.data_type in (*WHOLE, TensorProto.BOOL) and np.prod(tensor.dims, dtype=int) <= MOST
    return onnx.numpy_helper.to_array(tensor).astype(object) if is_shape else None


def _objects(entries: Sequence[Any], shape: Sequence[int] | None = None) -> Entries:
    """An array of just these objects."""
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return array if shape is None else array.reshape(shape)


def _ints(entries: Entries) -> list[int]:
    """The entries as numbers; raises TypeError where one is open."""
    if not all(isinstance(n, int) for n in entries.reshape(-1)):
        raise TypeError("an open size")
    return [int(n) for n in entries.reshape(-1)]


def _each(rule: Callable[..., Any]) -> Callable[..., Entries]:
    """A rule for entries as one for stretched arrays of them."""

    def of_arrays(_: Mapping[str, Any], *inputs: Entries) -> Entries:
        arrays = np.broadcast_arrays(*inputs)
        rows = zip(*(array.reshape(-1) for array in arrays), strict=True)
        return _objects([rule(*row) for row in rows], arrays[0].shape)

    return of_arrays


def _equal(a: Any, b: Any) -> bool | None:
    """No size is below 0; whether two open ones are alike is known where it is the same."""
    if None in (a, b):
        return None
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    number = next((n for n in (a, b) if isinstance(n, int)), 0)
    return True if a == b else False if number < 0 else None


def _chosen(is_first: bool | None, a: Any, b: Any) -> Any:
    if is_first is None:
        return a if a == b else None
    return a if is_first else b


def _product(a: Any, b: Any) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return b if a == 1 else a if b == 1 else None


def _sum(a: Any, b: Any) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return b if a == 0 else a if b == 0 else None


def _difference(a: Any, b: Any) -> Dim:
    return a - b if isinstance(a, int) and isinstance(b, int) else a if b == 0 else None


def _filled(attributes: Mapping[str, Any], shape: Entries) -> Entries:
    """ConstantOfShape."""
    value = onnx.numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    if value.dtype.kind not in "iu" or np.prod(_ints(shape), dtype=int) > MOST:
        raise ValueError("no shape")
    return np.full(_ints(shape), int(value[0]), dtype=object)


def _cast(attributes: Mapping[str, Any], data: Entries) -> Entries:
    if attributes["to"] not in WHOLE:
        raise ValueError("no shape")
    return data


def _cut(_: Mapping[str, Any], data: Entries, starts: Entries, ends: Entries, *more: Entries) -> Entries:
    """Slice."""
    axes = _ints(more[0]) if more else list(range(len(starts)))
    steps = _ints(more[1]) if len(more) > 1 else [1] * len(starts)
    places = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, _ints(starts), _ints(ends), steps, strict=True):
        places[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(places)]


def _squeezed(_: Mapping[str, Any], data: Entries, axes: Entries | None = None) -> Entries:
    return np.squeeze(data, None if axes is None else tuple(_ints(axes)))


RULES: Mapping[str, Callable[..., Entries]] = {
    "Shape": lambda a, entries: entries[a.get("start", 0) : a.get("end", len(entries))],
    "ConstantOfShape": _filled,
    "Identity": lambda _, data: data,
    "Cast": _cast,
    "Gather": lambda a, data, index: np.take(data, np.array(index, dtype=np.int64), axis=a.get("axis", 0)),
    "Slice": _cut,
    "Concat": lambda a, *parts: np.concatenate(parts, axis=a["axis"]),
    "Unsqueeze": lambda _, data, axes: np.expand_dims(data, tuple(_ints(axes))),
    "Squeeze": _squeezed,
    "Reshape": lambda _, data, shape: data.reshape(_ints(shape)),
    "Equal": _each(_equal),
    "Where": _each(_chosen),
    "Mul": _each(_product),
    "Add": _each(_sum),
    "Sub": _each(_difference),
}
