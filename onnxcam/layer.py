"""Which tensors can be explained, under the names that the model's author gave them.

Not called `layers`, which is the function `onnxcam.layers`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from onnxcam.errors import NoSpatialLayer, UnknownLayer
from onnxcam.graph import Dim, Node, Tape, Value
from onnxcam.layouts import find_picture, follow_layouts
from onnxcam.naming import aliases, name_layers

# A pool only repeats what lies before it at a lower resolution.
POOLS = frozenset(("MaxPool", "AveragePool", "LpPool", "Dropout", "Identity", "QuantizeLinear", "DequantizeLinear"))


@dataclass(frozen=True, slots=True)
class Layer:
    """A tensor that can be explained.

    Attributes:
        name: by its author's module path where the file knows it, else the tensor's.
        tensor: its name in the graph.
        shape: each dimension a number, a symbol or None where unknown.
        layout: what the axes are, "NCHW" or "NHWC".
        is_default: whether this layer is taken when none is named.
        reason: why it is the default, or what computes it.
    """

    name: str
    tensor: str
    shape: tuple[Dim, ...]
    layout: str
    is_default: bool
    reason: str


def find_layers(tape: Tape, logits: Value) -> list[Layer]:
    """Every spatial activation between the picture and the logits: the default first, then from last to first.

    Raises:
        NoSpatialLayer: if there is none, as in a net of dense layers.
    """
    picture = find_picture(tape)
    layouts = follow_layouts(tape, picture) if picture else {}
    below = ancestors(logits)
    spatial = [
        value
        for node in tape.nodes
        for value in node.outputs[:1]
        if value in below and value in layouts and _is_spatial(value, layouts[value])
    ]
    if not spatial:
        raise NoSpatialLayer(picture.name if picture else None)
    default = _default(spatial)
    names = name_layers([value for value in spatial if value.producer is not None])
    last_first = [default, *(value for value in reversed(spatial) if value != default)]
    return [_describe(value, layouts[value], names[value], is_default=value == default) for value in last_first]


def resolve(tape: Tape, layers: Sequence[Layer], wanted: str | None) -> Layer:
    """The layer of that name: a module path, tensor or node name, or the only one that ends so; None: the default.

    Raises:
        UnknownLayer: if there is none; the near ones are named.
    """
    if wanted is None:
        return layers[0]
    by_tensor = {layer.tensor: layer for layer in layers}
    paths = aliases([tape.value(layer.tensor) for layer in reversed(layers)])
    for found in (paths.get(wanted), wanted, _tensor_of_node(tape, wanted)):
        if found in by_tensor:
            return by_tensor[found]
    known = {**{name: name for name in by_tensor}, **paths}
    ending = {tensor for name, tensor in known.items() if name.endswith((f".{wanted}", f"/{wanted}"))}
    if len(ending) == 1:
        return by_tensor[ending.pop()]
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    raise UnknownLayer(wanted, near, len(layers), exists=wanted in tape)


def ancestors(value: Value) -> set[Value]:
    """The value and everything that it is computed from."""
    found, open_values = {value}, [value]
    while open_values:
        producer = open_values.pop().producer
        fresh = producer.reads - found if producer else frozenset()
        found |= fresh
        open_values.extend(fresh)
    return found


def _is_spatial(value: Value, layout: str) -> bool:
    """Whether the tensor still has space in it: rows and columns that are more than one."""
    shape, dtype = value.shape, value.dtype
    if shape is None or len(shape) != len(layout) or dtype is None or dtype.kind not in "fV":
        return False
    return set(layout) == set("NCHW") and all(n != 1 for n, axis in zip(shape, layout, strict=True) if axis in "HW")


def _default(spatial: Sequence[Value]) -> Value:
    """The last spatial activation before space is averaged or flattened away, in front of a closing pool."""
    last, known = spatial[-1], set(spatial)
    while last.producer is not None and last.producer.op_type in POOLS:
        before = last.producer.inputs[0]
        if before is None or before not in known:
            break
        last = before
    return last


def _describe(value: Value, layout: str, name: str, *, is_default: bool) -> Layer:
    producer = value.producer
    made_by = f"{producer.op_type} {producer.name}".strip() if producer else "input"
    reason = "the last spatial activation before space is averaged or flattened away" if is_default else made_by
    return Layer(name, value.name, value.shape or (), layout, is_default, reason)


def _tensor_of_node(tape: Tape, name: str) -> str | None:
    found: Node | None = next((node for node in tape.nodes if node.name == name and name), None)
    return found.output.name if found else None
