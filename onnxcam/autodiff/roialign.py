"""RoiAlign by averages: each bin of a box is the mean of points sampled between the elements of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcam.autodiff.boxes import bins_of, deepened, image_of, line, lined_up, taken_apart, taps_within
from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.core import differentiate, through_equivalent
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.roimax import largest_sample
from onnxcam.autodiff.sampling import to_elements, to_points
from onnxcam.autodiff.sizes import joined, reshaped, sizes_of
from onnxcam.graph import Node, Value
from onnxcam.graph.sampling import Sample, Tap, samples, single, size_of

H, W = SPACE = 2, 3
# So many samples a bin and axis are written out one by one; more are gathered into matrices.
FEW = 2
# On maps of up to so many places the matrices are faster: they multiply by many zeros, but look no place up.
SMALL = 10_000


@vjp("RoiAlign")
def roi_align(g: Value, node: Node) -> Mapping[Value, Value] | Sequence[Value | None]:
    """y = mean of w·x[i] over a bin's samples: x[i] gets w·g of each, the box what moves its samples."""
    if node.attributes.get("mode", "avg") == "max":
        return through_equivalent([largest_sample(node)], [g], node)
    places = sizes_of(node.x, H, H + 1) * sizes_of(node.x, W, W + 1)
    is_small = places.numbers is not None and places.known[0] <= SMALL
    if 0 < int(node.attributes.get("sampling_ratio", 0)) <= FEW and not is_small:
        return _by_samples(g, node)
    return through_equivalent([_by_matrices(node)], [g], node)


def _by_samples(g: Value, node: Node) -> Sequence[Value | None]:
    """One sample of all bins after the other, for a number of them that is known and small."""
    op, elements, ratio = node.tape, lined_up(single(node.x)), int(node.attributes["sampling_ratio"])
    along = [[taps_within(bins_of(node, axis).points(i), node.x, axis) for i in range(ratio)] for axis in SPACE]
    g = op.Transpose(single(g) / float(ratio**2), perm=[1, 0, 2, 3])
    g = op.Reshape(g, joined(op, 1, sizes_of(node.x, 1, 2), -1))
    pairs = [(y, x, _crossed(y[1], x[1], node)) for y in along[0] for x in along[1]]
    found: list[Value | None] = [None, None]
    if node.wants(0):
        total = to_elements(g, [point for *_, points in pairs for point in points], elements)
        found[0] = cast_like(taken_apart(total, node.x), node.x)
    if node.wants(1):
        moved = [(y[0], x[0], to_points(g, points, elements)) for y, x, points in pairs]
        found[1] = _to_boxes(moved, node)
    return found


def _crossed(y: Sequence[Tap], x: Sequence[Tap], node: Node) -> list[Sample]:
    """Taps (R, bins) along both axes as samples of all bins (1, 1, R·bins)."""
    op, image = node.tape, image_of(node)
    axes = ([_unsqueezed(tap, 2) for tap in y], [_unsqueezed(tap, 1) for tap in x])
    if image is not None:
        image = op.Reshape(image, op.ints(-1, 1, 1))
    return [line(sample) for sample in samples(axes, [size_of(node.x, axis) for axis in SPACE], image=image)]


def _to_boxes(moved: Sequence[tuple[Value, Value, Sequence[Value]]], node: Node) -> Value | None:
    """The cotangent of the boxes, from those of their samples' places: along y they are shared by a row of bins."""
    op, seeds = node.tape, dict[Value, Value]()
    shape = joined(op, sizes_of(node.input(1), 0, 1).or_rest, sizes_of(node.output, 2))
    for *places, cotangents in moved:
        for place, cotangent, other in zip(places, cotangents, (2, 1), strict=True):
            own = op.ReduceSum(op.Reshape(cotangent, shape), op.ints(other), keepdims=0)
            seeds[place] = seeds[place] + own if place in seeds else own
    return differentiate(seeds, [node.input(1)], node.rules)[0]


def _by_matrices(node: Node) -> Value:
    """y = A x Bᵀ for each box, A and B holding a row for each of its bins; and one A for all boxes of all images.

    However many samples a bin takes, what is held is boxes × bins × C × W.
    """
    op, x = node.tape, single(node.x)
    boxes, channels, width = sizes_of(node.input(1), 0, 1).or_rest, sizes_of(x, 1, 2), sizes_of(x, W, W + 1)
    rows = _matrix(node, H)
    lines = op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), joined(op, sizes_of(x, 0, 1) * sizes_of(x, H, H + 1), -1))
    high, wide = (int(node.attributes.get(f"output_{name}", 1)) for name in ("height", "width"))
    drawn = reshaped(op.MatMul(rows, lines), boxes, channels * high, width)
    columns = op.Transpose(reshaped(_matrix(node, W), boxes, wide, width), perm=[0, 2, 1])
    bins = reshaped(op.MatMul(drawn, columns), boxes, high, channels, wide)
    return cast_like(op.Transpose(bins, perm=[0, 2, 1, 3]), node.output)


def _matrix(node: Node, axis: int) -> Value:
    """How much of each row (or column) of the map is in each bin, (R·bins, rows); the rows of all images for y."""
    op, bins, size = node.tape, bins_of(node, axis), sizes_of(node.x, axis, axis + 1)
    places, taken, most = bins.all_points()
    taps = taps_within(places, node.x, axis, taken)[1]
    image = image_of(node) if axis == H else None
    offset = op.Reshape(image, op.ints(-1, 1, 1)) * size.vector if image is not None else None
    count = sizes_of(node.input(1), 0, 1) * bins.number
    total = op.Expand(op.number(0.0, places), joined(op, count, size * sizes_of(node.x, 0, 1) if offset else size))
    share = 1.0 / op.Max(deepened(bins.count), op.number(1.0, places))
    for tap in taps:
        index = tap.index + offset if offset is not None else tap.index
        each, weight = (reshaped(part, count.or_rest, most) for part in (index, tap.weight * share))
        total = op.ScatterElements(total, each, weight, axis=1, reduction="add")
    return total


def _unsqueezed(tap: Tap, axis: int) -> Tap:
    op, axes = tap.index.tape, tap.index.tape.ints(axis)
    slope = op.Unsqueeze(tap.slope, axes) if tap.slope is not None else None
    return Tap(op.Unsqueeze(tap.index, axes), op.Unsqueeze(tap.weight, axes), slope)
