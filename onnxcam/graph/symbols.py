"""What sizes that are open have to do with one another.

Behind a convolution of a picture (N, 3, H, W) ONNX's inference knows no height any more, and makes up a new symbol for
it each time. But two convolutions of the same picture by the same stride give the same height, and gradients need to
know: where it is open whether two sizes are equal, it is open whether one of them was stretched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import onnx.helper
from onnx import GraphProto, NodeProto, TypeProto

from onnxcam.graph.shape_values import Entries, ShapeValues
from onnxcam.graph.types import INFERRED
from onnxcam.graph.value import Dim

SLIDING = frozenset(("AveragePool", "Conv", "LpPool", "MaxPool"))
STRETCHING = frozenset(
    "Add And Div Equal Expand Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where "
    "Xor".split()
)
RESHAPING = frozenset(("Flatten", "Reshape", "Squeeze", "Unsqueeze"))
FLOOR = re.compile(r"\((?P<base>[^()]+)(?P<shift>[+-]\d+)\)//(?P<divisor>\d+)")


def clearer_types(graph: GraphProto, types: Mapping[str, TypeProto]) -> dict[str, TypeProto]:
    """The types of the graph's tensors of whose open sizes more can be told than ONNX does.

    A size is then written as ⌊(base + shift)/divisor⌋, "(H+1)//2", with a symbol of the model's inputs as base; equal
    sizes are written alike.
    """
    if not any(map(_is_open, types.values())):
        return {}
    meanings: dict[str, Dim] = {}
    inputs = {info.name for info in graph.input}
    values = ShapeValues({tensor.name: tensor for tensor in graph.initializer if tensor.name not in inputs})
    for node in graph.node:
        if node.domain or not node.output or node.output[0] not in types:
            continue
        shapes = [_shape(types.get(name), meanings) for name in node.input if name]
        values.follow(node, shapes)
        if node.op_type == "Expand":  # stretched to what its second input holds
            shapes[1] = _held(values.of(node.input[1]))
        found = _told(node, shapes, _shape(types[node.output[0]], meanings))
        for symbol, dim in zip(_shape(types[node.output[0]], {}) or (), found or (), strict=False):
            if isinstance(symbol, str) and symbol.startswith(INFERRED) and dim is not None:
                meanings.setdefault(symbol, dim)
    told = meanings.keys()
    return {
        name: _rewritten(kind, meanings) for name, kind in types.items() if not told.isdisjoint(_shape(kind, {}) or ())
    }


def _told(
    node: NodeProto, shapes: Sequence[tuple[Dim, ...] | None], output: tuple[Dim, ...] | None
) -> Sequence[Dim] | None:
    """The shape of the node's output, as far as it follows from those of its inputs; `output`: what is known of it."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not known:
        return None
    if node.op_type in SLIDING:
        return _slid(node, known)
    if node.op_type in STRETCHING:
        return _stretched(known)
    if node.op_type in RESHAPING and output is not None:
        return _reshaped(known[0], output)
    return _joined(node, known) if node.op_type == "Concat" else None


def _held(entries: Entries | None) -> tuple[Dim, ...] | None:
    """The shape that a computed one holds."""
    return None if entries is None else tuple(entries.reshape(-1))


def _slid(node: NodeProto, shapes: Sequence[tuple[Dim, ...]]) -> Sequence[Dim]:
    """Windows sliding over space: ⌊(n + pads − reach − 1)/stride⌋ + 1 of them."""
    attributes: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    space = shapes[0][2:]
    kernel = attributes.get("kernel_shape") or (shapes[1][2:] if len(shapes) > 1 else ())
    strides, dilations = (attributes.get(key) or [1] * len(space) for key in ("strides", "dilations"))
    pads, mode = attributes.get("pads") or [0] * (2 * len(space)), attributes.get("auto_pad", b"NOTSET").decode()
    sizes: list[Dim] = [None, None]
    for axis, (n, k, stride, dilation) in enumerate(zip(space, kernel, strides, dilations, strict=False)):
        if not isinstance(k, int) or (attributes.get("ceil_mode", 0) and stride > 1):
            sizes.append(None)
        elif mode.startswith("SAME"):
            sizes.append(_floor(n, stride - 1, stride))
        else:
            around = pads[axis] + pads[axis + len(space)] if mode == "NOTSET" else 0
            sizes.append(_floor(n, around - (k - 1) * dilation - 1 + stride, stride))
    return sizes


def _floor(n: Dim, shift: int, divisor: int) -> Dim:
    """⌊(n + shift)/divisor⌋, where n may be such a size itself: ⌊(⌊a/s⌋ + m)/t⌋ = ⌊(a + s m)/(s t)⌋."""
    if not isinstance(n, str) or n.startswith(INFERRED):
        return (n + shift) // divisor if isinstance(n, int) else None
    inner = FLOOR.fullmatch(n)
    base, before, by = (inner["base"], int(inner["shift"]), int(inner["divisor"])) if inner else (n, 0, 1)
    shift, divisor = before + by * shift, by * divisor
    return base if (shift, divisor) == (0, 1) else f"({base}{shift:+d})//{divisor}"


def _stretched(shapes: Sequence[tuple[Dim, ...]]) -> Sequence[Dim]:
    """Stretched to one another's shape: sizes that are alike stay, ones give way."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)
    return [_only({dim for dim in column if dim != 1} or {1}) for column in columns]


def _joined(node: NodeProto, shapes: Sequence[tuple[Dim, ...]]) -> Sequence[Dim]:
    """Laid one after the other: the other axes must be alike, so that one that is known stands for all."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0) % max(len(shapes[0]), 1)
    found = [_only({dim for dim in column if _is_clear(dim)}) for column in zip(*shapes, strict=True)]
    along = [shape[axis] for shape in shapes]
    numbers = [dim for dim in along if isinstance(dim, int)]
    found[axis] = sum(numbers) if len(numbers) == len(along) else None
    return found


def _reshaped(given: Sequence[Dim], output: Sequence[Dim]) -> Sequence[Dim] | None:
    """As many elements as before: one size that is open is the symbol that is left, or the number."""
    numbers = [prod(n for n in shape if isinstance(n, int)) for shape in (given, output)]
    left = [dim for dim in given if not isinstance(dim, int)]
    for dim in output:
        if _is_clear(dim) and dim in left:
            left.remove(dim)
    missing = [dim for dim in output if not _is_clear(dim)]
    if 0 in numbers or len(missing) != 1 or len(left) > 1 or numbers[0] % numbers[1]:
        return None
    quotient = numbers[0] // numbers[1]
    if left and quotient != 1:
        return None
    return [dim if _is_clear(dim) else (left[0] if left else quotient) for dim in output]


def _only(dims: set[Dim]) -> Dim:
    """The one size; None if there are several, or if it is not clear."""
    return next(iter(dims)) if len(dims) == 1 and all(map(_is_clear, dims)) else None


def _is_clear(dim: Dim) -> bool:
    return dim is not None and not (isinstance(dim, str) and dim.startswith(INFERRED))


def _is_open(kind: TypeProto) -> bool:
    return any(dim.dim_param.startswith(INFERRED) for dim in kind.tensor_type.shape.dim)


def _shape(kind: TypeProto | None, meanings: Mapping[str, Dim]) -> tuple[Dim, ...] | None:
    """The dimensions, symbols replaced by what they mean; None when the rank is unknown."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    found = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in dims]
    return tuple(meanings.get(dim, dim) if isinstance(dim, str) else dim for dim in found)


def _rewritten(kind: TypeProto, meanings: Mapping[str, Dim]) -> TypeProto:
    """The type with the symbols replaced by what they mean."""
    clear = TypeProto()
    clear.CopyFrom(kind)
    for dim in clear.tensor_type.shape.dim:
        meaning = meanings.get(dim.dim_param)
        if isinstance(meaning, int):
            dim.dim_value = meaning
        elif meaning is not None:
            dim.dim_param = meaning
    return clear
