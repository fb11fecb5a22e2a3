"""How raw maps become heatmaps: named conventions, so that results can be compared with those of other libraries.

Each takes the raw maps of one or more layers, (N, h, w), and gives (N, H, W). What differs: the constant that keeps a
division from zero, whether the map is scaled before or after it is resized, and how layers are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

from onnxcam.graph import Dim, Value

Convention: TypeAlias = Callable[[Sequence[Value], Value], Value]
CONVENTIONS: dict[str, Convention] = {}
DEFAULT = "pytorch-grad-cam"
SMALLEST = 1e-30  # for a convention that adds nothing to its divisor


def convention(name: str) -> Callable[[Convention], Convention]:
    """A decorator: the function is the convention of that name."""

    def register(function: Convention) -> Convention:
        if name in CONVENTIONS:
            raise ValueError(f"there is a convention {name!r} already")
        CONVENTIONS[name] = function
        return function

    return register


@convention("pytorch-grad-cam")
def pytorch_grad_cam(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, min-max at low resolution, bilinear, mean over layers, min-max again; 1e-7."""
    return _min_max(_mean([resize(_min_max(raw.tape.Relu(raw), 1e-7), size) for raw in maps]), 1e-7)


@convention("torchcam")
def torchcam(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, min-max at low resolution, bilinear, maximum over layers; 1e-8."""
    return _maximum([resize(_min_max(raw.tape.Relu(raw), 1e-8), size) for raw in maps])


@convention("keras")
def keras(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, divided by the maximum at low resolution, bilinear, mean over layers."""
    return _mean([resize(_over_maximum(raw.tape.Relu(raw), 1e-7), size) for raw in maps])


@convention("vizgradcam")
def vizgradcam(maps: Sequence[Value], size: Value) -> Value:
    """Bilinear first, then ReLU, then min-max at full resolution; mean over layers. A flat map is 0, not its NaN."""
    return _mean([_min_max(raw.tape.Relu(resize(raw, size)), SMALLEST) for raw in maps])


@convention("captum")
def captum(maps: Sequence[Value], size: Value) -> Value:
    """The raw map, negative values included, bilinear, mean over layers: not in [0, 1]."""
    return _mean([resize(raw, size) for raw in maps])


def resize(raw: Value, size: Value) -> Value:
    """(N, h, w) → (N, H, W), bilinear with half-pixel centres, as cv2 and torch do it. `size`: int64 [H, W].

    As two products with the matrices of the axes, a third of the time of a Resize in ONNX Runtime.
    """
    op, shape = raw.tape, raw.shape or (None,) * 3
    rows, columns = (
        _stretching(raw, axis, op.Slice(size, op.ints(axis - 1), op.ints(axis), op.ints(0)), shape[axis])
        for axis in (1, 2)
    )
    return op.MatMul(op.MatMul(rows, raw), op.Transpose(columns, perm=[1, 0]))


def _stretching(raw: Value, axis: int, wanted: Value, given: Dim) -> Value:
    """The matrix (H, h) that stretches an axis: what Resize makes of the identity. ONNX Runtime folds it at load."""
    op = raw.tape
    count = op.ints(given) if isinstance(given, int) else op.Shape(raw, start=axis, end=axis + 1)
    identity = op.EyeLike(op.Expand(op.number(0.0, raw), op.Concat(count, count, axis=0)))
    plane = op.Unsqueeze(identity, op.ints(0, 1))
    stretched = op.Resize(
        plane,
        None,
        None,
        op.Concat(op.ints(1, 1), wanted, count, axis=0),
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    return op.Squeeze(stretched, op.ints(0, 1))


def _min_max(raw: Value, epsilon: float) -> Value:
    op = raw.tape
    return _over_maximum(raw - op.ReduceMin(raw, op.ints(1, 2), keepdims=1), epsilon)


def _over_maximum(raw: Value, epsilon: float) -> Value:
    op = raw.tape
    return raw * (1.0 / (op.ReduceMax(raw, op.ints(1, 2), keepdims=1) + epsilon))


def _mean(maps: Sequence[Value]) -> Value:
    return reduce(Value.__add__, maps) / float(len(maps)) if len(maps) > 1 else maps[0]


def _maximum(maps: Sequence[Value]) -> Value:
    return reduce(lambda first, second: first.tape.Max(first, second), maps)
