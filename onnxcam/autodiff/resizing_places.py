"""Resize written out, from where each new pixel lies: for what its gradient by matrices cannot tell.

That is where the scale is none that `scales` or `sizes` would give (a kept aspect ratio), and where the places
themselves are differentiated by: by the region of a crop, or by scales that are computed.
"""

from __future__ import annotations

from onnx import TensorProto

from onnxcam.autodiff.extents import as_int64, rank_of, shape_of
from onnxcam.autodiff.scattering import count_up, scatter
from onnxcam.autodiff.sizes import Sizes, counting, joined, sizes_of
from onnxcam.errors import NoGradientForm
from onnxcam.graph import Node, Value
from onnxcam.graph.sampling import as_number, inside, like, single, weights

CUBIC_A = -0.75


def written_out(node: Node) -> Value:
    """What the node gives, linear or cubic, as one product with a matrix for each axis that it resizes."""
    if node.attributes.get("antialias", 0):
        use = "antialias and a kept aspect ratio, or computed places"
        raise NoGradientForm(node.op_type, node.title, use)
    y, rank = single(node.x), rank_of(node.x, node)
    for place, axis in enumerate(axes_of(node)):
        y = along(y, _matrix(node, place, axis, y), axis, rank=rank)
    return like(y, node.output)


def put_back(g: Value, node: Node) -> Value:
    """The cotangent of what a Resize to the nearest picked: the node itself, run on places, tells where each came from.

    It is asked and not calculated, for halves are rounded as the runtime happens to calculate them.
    """
    op, x, outside = node.tape, node.x, -1
    counted = op.Cast(op.Reshape(count_up(op.Size(x)), shape_of(x)), to=TensorProto.INT32)
    attributes = {**node.attributes, "extrapolation_value": float(outside)}
    (places,) = op.emit("Resize", [counted, *node.inputs[1:]], attributes)
    picked, g = op.Reshape(as_int64(places), op.ints(-1)), op.Reshape(g, op.ints(-1))
    is_inside = picked > outside
    g, picked = op.Where(is_inside, g, op.number(0.0, g)), op.Where(is_inside, picked, op.number(0, picked))
    count = op.Reshape(op.Size(x), op.ints(1))
    placed = scatter("ScatterElements", g, count, indices=picked, unique=False, axis=0)
    return op.Reshape(placed, shape_of(x))


def axes_of(node: Node) -> list[int]:
    """The axes that `scales`, `sizes` and `roi` speak of."""
    rank = rank_of(node.x, node)
    return [axis % rank for axis in node.attributes.get("axes") or range(rank)]


def along(x: Value, matrix: Value, axis: int, *, rank: int) -> Value:
    """Σ over n of matrix[o, n]·x[…, n, …]."""
    op = x.tape
    across = op.Transpose(x, perm=[*(a for a in range(rank) if a != axis), axis])
    product = op.MatMul(across, op.Transpose(matrix, perm=[1, 0]))
    return op.Transpose(product, perm=[*range(axis), rank - 1, *range(axis, rank - 1)])


def _matrix(node: Node, place: int, axis: int, x: Value) -> Value:
    """How much of each element of the axis is in each new one, (o, n)."""
    op, n, o = node.tape, sizes_of(node.x, axis, axis + 1), sizes_of(node.output, axis, axis + 1)
    count, zero = as_number(n.vector, x), op.number(0.0, x)
    position = _positions(node, place, count, o)
    total = op.Expand(zero, joined(op, o, n))
    for index, weight in _taps(node, position, count):
        columns = [op.Unsqueeze(part, op.ints(1)) for part in (index, weight)]
        total = op.ScatterElements(total, *columns, axis=1, reduction="add")
    if _centre(node) == "tf_crop_and_resize":
        is_inside = op.And(position >= 0.0, position <= count - 1.0)
        return op.Where(op.Unsqueeze(is_inside, op.ints(1)), total, zero)
    return total


def _taps(node: Node, position: Value, count: Value) -> list[tuple[Value, Value]]:
    """The elements that each new one is made of, and how much of each."""
    mode, cubic = node.attributes["mode"], float(node.attributes.get("cubic_coeff_a", CUBIC_A))
    op, first = position.tape, position.tape.Floor(position)
    found = [(first + float(offset), weight) for offset, weight, _ in weights(position - first, mode, cubic)]
    if mode == "cubic" and node.attributes.get("exclude_outside", 0):
        zero = op.number(0.0, position)
        found = [(p, op.Where(op.And(p >= 0.0, p <= count - 1.0), w, zero)) for p, w in found]
        total = op.Sum(*(weight for _, weight in found))
        found = [(place, weight / total) for place, weight in found]
    return [(inside(place, count), weight) for place, weight in found]


def _centre(node: Node) -> str:
    return str(node.attributes.get("coordinate_transformation_mode", "half_pixel"))


def _positions(node: Node, place: int, count: Value, o: Sizes) -> Value:
    """Where the new elements lie among the old ones, (o,); the formulae are ONNX's."""
    op, centre, scale = node.tape, _centre(node), _scale(node, place, count, o)
    index, last = as_number(counting(o).vector, count), as_number(o.vector, count) - 1.0
    if centre == "asymmetric":
        return index / scale
    if centre in ("align_corners", "tf_crop_and_resize"):
        share = index / op.Max(last, op.number(1.0, count))
        start, end = _region(node, place, count)
        alone = (start + end) * 0.5 if centre == "tf_crop_and_resize" else op.number(0.0, count)
        return op.Where(last > 0.0, start + share * (end - start), alone) * (count - 1.0)
    half = (index + 0.5) / scale - 0.5
    if centre == "half_pixel_symmetric":
        return half + count / 2.0 * (1.0 - (last + 1.0) / (scale * count))
    return op.Where(last > 0.0, half, op.number(0.0, count)) if centre == "pytorch_half_pixel" else half


def _region(node: Node, place: int, count: Value) -> tuple[Value, Value]:
    """From where to where the crop goes along the axis, 0 to 1 for all of it."""
    op = node.tape
    if _centre(node) != "tf_crop_and_resize":
        return op.number(0.0, count), op.number(1.0, count)
    ends = (op.Gather(node.input(1), op.ints(i)) for i in (place, len(axes_of(node)) + place))
    start, end = (like(value, count) for value in ends)
    return start, end


def _scale(node: Node, place: int, count: Value, o: Sizes) -> Value:
    """By how much the axis is scaled: as told, or as the sizes come to, for all axes alike where the aspect is kept."""
    op, policy = node.tape, node.attributes.get("keep_aspect_ratio_policy", "stretch")
    if node.optional(3) is None:
        return like(op.Gather(node.input(2), op.ints(place)), count)
    if policy == "stretch":
        return as_number(o.vector, count) / count
    given = joined(op, *(sizes_of(node.x, axis, axis + 1) for axis in axes_of(node)))
    ratios = as_number(node.input(3), count) / as_number(given, count)
    return op.ReduceMin(ratios, keepdims=1) if policy == "not_larger" else op.ReduceMax(ratios, keepdims=1)
