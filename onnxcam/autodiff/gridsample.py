"""GridSample: each point a sum of a few elements of x, with weights that depend on where it lies."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.extents import rank_of, shape_of
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sampling import flat, to_elements, to_points
from onnxcam.errors import NoGradientForm
from onnxcam.graph import Node, Value
from onnxcam.graph.sampling import Sample, as_number, grid_points, single, size_of

RANK = 4
MODES = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}


@vjp("GridSample")
def grid_sample(g: Value, node: Node) -> Sequence[Value | None]:
    """y = Σ w·x[i] over the elements around a point: x[i] gets w·g, the point Σ w′·x[i]·g."""
    if rank_of(node.x, node) != RANK:
        raise NoGradientForm(node.op_type, node.title, "other things than pictures (N, C, H, W)")
    g, elements = flat(single(g)), flat(single(node.x))
    points = _points(node)
    found: list[Value | None] = [None, None]
    if node.wants(0):
        found[0] = cast_like(node.tape.Reshape(to_elements(g, points, elements), shape_of(node.x)), node.x)
    if node.wants(1) and _mode(node) != "nearest":
        found[1] = cast_like(_to_grid(to_points(g, points, elements), node), node.input(1))
    return found


def _points(node: Node) -> list[Sample]:
    padding = node.attributes.get("padding_mode", "zeros")
    is_aligned = bool(node.attributes.get("align_corners", 0))
    return grid_points(node.x, node.input(1), mode=_mode(node), padding=padding, aligned=is_aligned)


def _mode(node: Node) -> str:
    return MODES[node.attributes.get("mode", "bilinear")]


def _to_grid(moved: Sequence[Value], node: Node) -> Value:
    """The cotangent of the grid, from those of the points' positions along y and x: from −1 to 1 lie n, or n − 1."""
    op, last = node.tape, float(node.attributes.get("align_corners", 0))
    counts = [as_number(size_of(node.x, axis), part) for axis, part in enumerate(moved, 2)]
    by_axis = [part * ((count - last) / 2.0) for part, count in zip(moved, counts, strict=True)]
    apart = op.Concat(*(op.Unsqueeze(part, op.ints(3)) for part in by_axis[::-1]), axis=3)
    return op.Reshape(apart, shape_of(node.input(1)))
