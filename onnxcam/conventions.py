"""How raw maps become heatmaps: named conventions, so that results can be compared with those of other libraries.

Each takes the raw maps of one or more layers, (N, h, w), and gives (N, H, W); of signals (N, L), of volumes (N, D, H,
W). What differs: the constant that keeps a
division from zero, whether the map is scaled before or after it is resized, and how layers are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np

from onnxcam.graph import Dim, Value
from onnxcam.layouts import picture_layout, space_size
from onnxcam.registry import entering

Convention: TypeAlias = Callable[[Sequence[Value], Value], Value]
CONVENTIONS: dict[str, Convention] = {}
DEFAULT = "pytorch-grad-cam"
PERCENTILE, PERCENT = "percentile", 99
# Whose numbers are asked for, and which convention these are in.
LIKE = {name: name for name in ("pytorch-grad-cam", "torchcam", "captum", "tf-keras-vis")}
SMALLEST = 1e-30  # for a convention that adds nothing to its divisor


def convention(name: str) -> Callable[[Convention], Convention]:
    """A decorator: the function is the convention of that name."""
    return entering(CONVENTIONS, name, what="convention")


@convention("pytorch-grad-cam")
def pytorch_grad_cam(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, min-max at low resolution, bilinear, mean over layers, min-max again; 1e-7."""
    return _scaled_twice(maps, size)


@convention("align-corners")
def align_corners(maps: Sequence[Value], size: Value) -> Value:
    """As pytorch-grad-cam, with the corners of the map on those of the picture."""
    return _scaled_twice(maps, size, places="align_corners")


@convention("asymmetric")
def asymmetric(maps: Sequence[Value], size: Value) -> Value:
    """As pytorch-grad-cam, with place k of h at pixel k·H/h: where the older Resize of TensorFlow puts it."""
    return _scaled_twice(maps, size, places="asymmetric")


@convention("torchcam")
def torchcam(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, min-max at low resolution, bilinear, maximum over layers; 1e-8."""
    return _maximum([resize(_min_max(raw.tape.Relu(raw), 1e-8), size) for raw in maps])


@convention("torchcam-tanh")
def torchcam_tanh(maps: Sequence[Value], size: Value) -> Value:
    """As torchcam; of several layers the tanh of twice each map, as its LayerCAM."""
    if len(maps) == 1:
        return torchcam(maps, size)
    scaled = [_min_max(raw.tape.Relu(raw), 1e-8) for raw in maps]
    return _maximum([resize(low.tape.Tanh(low * 2.0), size) for low in scaled])


@convention("keras")
def keras(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, divided by the maximum at low resolution, bilinear, mean over layers."""
    return _mean([resize(_over_maximum(raw.tape.Relu(raw), 1e-7), size) for raw in maps])


@convention("vizgradcam")
def vizgradcam(maps: Sequence[Value], size: Value) -> Value:
    """Bilinear first, then ReLU, then min-max at full resolution; mean over layers. A flat map is 0, not its NaN."""
    return _mean([_min_max(raw.tape.Relu(resize(raw, size)), SMALLEST) for raw in maps])


@convention("tf-keras-vis")
def tf_keras_vis(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, bilinear with the corners on the corners, min-max at full resolution; 1e-7; mean over layers."""
    return _mean([_min_max(resize(raw.tape.Relu(raw), size, places="align_corners"), 1e-7) for raw in maps])


@convention("summed")
def summed(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, bilinear, sum over layers, min-max; 1e-7: a layer that nothing passes, a detector's other scale, is 0."""
    return _min_max(_sum([resize(raw.tape.Relu(raw), size) for raw in maps]), 1e-7)


@convention("captum")
def captum(maps: Sequence[Value], size: Value) -> Value:
    """The raw map, negative values included, in blocks (nearest), mean over layers: not in [0, 1]."""
    return _mean([in_blocks(raw, size) for raw in maps])


@convention("percentile")
def percentile(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, bilinear, over the map's 99th percentile and cut at 1, mean over layers: for maps of single bright pixels.

    As Smilkov et al. 2017 show gradients (arXiv:1706.03825). Where the percentile is 0 the maximum takes its place.
    """
    return _mean([_over_percentile(resize(raw.tape.Relu(raw), size)) for raw in maps])


def picture_size(picture: Value) -> Value:
    """The sides of the pictures, int64 [H, W]: a constant where the model fixes them."""
    return space_size(picture, picture_layout(picture) or "NCHW")


def resize(raw: Value, size: Value, *, places: str = "half_pixel") -> Value:
    """(N, h, w) → (N, H, W), bilinear with half-pixel centres, as cv2 and torch do it; of signals and volumes likewise.

    As a product with a matrix for each axis, a third of the time of a Resize in ONNX Runtime; but of signals by a
    Resize, since a minute of sound would have a matrix of gigabytes.

    Args:
        raw: (N, …), with one, two or three axes of space.
        size: how long these are to be, int64.
        places: where a sample lies, as Resize calls it.
    """
    shape, wanted = raw.shape or (None,) * 3, _sides(size)
    if len(shape) == 2:
        return raw if shape[1] is not None and shape[1] == wanted[0] else _lengthened(raw, size, places)
    for axis in reversed(range(1, len(shape))):
        if shape[axis] is None or shape[axis] != wanted[axis - 1]:
            raw = _stretched(raw, axis, _stretching(raw, axis, _entry(size, axis - 1), (shape[axis], places)))
    return raw


def in_blocks(raw: Value, size: Value) -> Value:
    """(N, h, w) → (N, H, W), place k of an axis being place ⌊k·h/H⌋ of before, as PyTorch's nearest has it.

    By whole numbers, for Resize divides by a rounded scale. Of signals and volumes likewise.
    """
    op = raw.tape
    for axis, given in enumerate((raw.shape or (None,) * 3)[1:], start=1):
        wanted = _entry(size, axis - 1)
        if wanted.constant is None or wanted.constant.tolist() != [given]:
            count = op.ints(given) if isinstance(given, int) else op.Shape(raw, start=axis, end=axis + 1)
            first, last, step = (op.Squeeze(end) for end in (op.ints(0), wanted, op.ints(1)))
            raw = op.Gather(raw, op.Range(first, last, step) * count / wanted, axis=axis)
    return raw


def _lengthened(raw: Value, size: Value, places: str) -> Value:
    """(N, l) → (N, L): the rows of a picture, each made longer."""
    op = raw.tape
    sizes = _joined(op.ints(1, 1), op.Shape(raw, start=0, end=1), _entry(size, 0))
    picture, how = op.Unsqueeze(raw, op.ints(0, 1)), {"mode": "linear", "coordinate_transformation_mode": places}
    return op.Squeeze(op.Resize(picture, None, None, sizes, **how), op.ints(0, 1))


def _sides(size: Value) -> tuple[Dim, ...]:
    """What is known of the entries: numbers, and the symbols of the tensor that they were measured of."""
    if size.constant is not None:
        return tuple(size.constant.tolist())
    node, count = size.producer, (size.shape or (0,))[0]
    if node is not None and node.op_type == "Gather" and (places := node.input(1).constant) is not None:
        sides = _sides(node.x)  # their axes do not lie beside one another
        return tuple(sides[place] for place in places.tolist())
    if node is None or node.op_type != "Shape" or node.x.shape is None:
        return (None,) * (count if isinstance(count, int) else 3)
    return node.x.shape[node.attributes.get("start", 0) : node.attributes.get("end")]


def _entry(size: Value, index: int) -> Value:
    """One of the sizes, int64 [1]: a constant where they are."""
    op = size.tape
    if size.constant is not None:
        return op.ints(int(size.constant[index]))
    return op.Slice(size, op.ints(index), op.ints(index + 1), op.ints(0))


def _stretched(raw: Value, axis: int, matrix: Value) -> Value:
    """The axis multiplied by a matrix (H, h)."""
    op, rank = raw.tape, len(raw.shape or (None,) * 3)
    if axis == rank - 1:
        return op.MatMul(raw, op.Transpose(matrix, perm=[1, 0]))
    if axis == rank - 2:
        return op.MatMul(matrix, raw)
    flat = op.Reshape(raw, op.ints(0, 0, -1))
    return op.Reshape(op.MatMul(matrix, flat), op.Concat(op.ints(0, -1), op.Shape(raw, start=axis + 1), axis=0))


def _stretching(raw: Value, axis: int, wanted: Value, how: tuple[Dim, str]) -> Value:
    """The matrix (H, h) that stretches an axis: what Resize makes of the identity. ONNX Runtime folds it at load."""
    op, (given, places) = raw.tape, how
    count = op.ints(given) if isinstance(given, int) else op.Shape(raw, start=axis, end=axis + 1)
    identity = op.EyeLike(op.Expand(op.number(0.0, raw), _joined(count, count)))
    plane = op.Unsqueeze(identity, op.ints(0, 1))
    stretched = op.Resize(
        plane,
        None,
        None,
        _joined(op.ints(1, 1), wanted, count),
        mode="linear",
        coordinate_transformation_mode=places,
    )
    return op.Squeeze(stretched, op.ints(0, 1))


def _joined(*sizes: Value) -> Value:
    """Lists of sizes as one: a constant where all are, which keeps the file small."""
    op, known = sizes[0].tape, [size.constant for size in sizes]
    if all(numbers is not None for numbers in known):
        return op.ints(*(int(n) for numbers in known if numbers is not None for n in numbers))
    return op.Concat(*sizes, axis=0)


def _scaled_twice(maps: Sequence[Value], size: Value, *, places: str = "half_pixel") -> Value:
    return _min_max(_mean([resize(_min_max(raw.tape.Relu(raw), 1e-7), size, places=places) for raw in maps]), 1e-7)


def _min_max(raw: Value, epsilon: float) -> Value:
    op = raw.tape
    return _over_maximum(raw - op.ReduceMin(raw, space_of(raw), keepdims=1), epsilon)


def _over_maximum(raw: Value, epsilon: float) -> Value:
    op = raw.tape
    return raw * (1.0 / (op.ReduceMax(raw, space_of(raw), keepdims=1) + epsilon))


def _over_percentile(raw: Value) -> Value:
    op = raw.tape
    peak, high = op.ReduceMax(raw, space_of(raw), keepdims=1), _percentile(raw)
    scale = op.Where(high > 0.0, high, peak)
    # Cut at 1, an infinite map would look like a sound one.
    scale = op.Where(peak < np.inf, scale, op.number(np.nan, raw))
    return op.Min(raw * (1.0 / (scale + SMALLEST)), 1.0)


def _percentile(raw: Value) -> Value:
    """PERCENT of the places lie below it, with linear interpolation between two, as numpy does it: (N, 1, …)."""
    op, rank = raw.tape, len(raw.shape or (None,) * 3)
    flat, hundred = op.Flatten(raw, axis=1), op.ints(100)
    known = (flat.shape or (None, None))[1]
    count = op.ints(known) if isinstance(known, int) else op.Shape(flat, start=1, end=2)
    position = (count - op.ints(1)) * op.ints(PERCENT)
    below = position / hundred
    largest, _ = op.emit("TopK", [flat, count - below], {"axis": 1}, outputs=2)
    last_two = op.Slice(largest, op.ints(-2), op.ints(np.iinfo(np.int64).max), op.ints(1))
    high, low = (op.Gather(last_two, op.ints(place), axis=1) for place in (0, -1))
    share = op.Cast(position - below * hundred, to=1) / 100.0
    found = low + (high - low) * share
    return op.Unsqueeze(found, op.ints(*range(2, rank))) if rank > 2 else found


def space_of(raw: Value) -> Value:
    """The axes of space of (N, …), as a constant."""
    return raw.tape.ints(*range(1, len(raw.shape or (None,) * 3)))


def _mean(maps: Sequence[Value]) -> Value:
    return _sum(maps) / float(len(maps)) if len(maps) > 1 else maps[0]


def _sum(maps: Sequence[Value]) -> Value:
    return reduce(Value.__add__, maps)


def _maximum(maps: Sequence[Value]) -> Value:
    return reduce(lambda first, second: first.tape.Max(first, second), maps)
