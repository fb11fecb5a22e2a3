"""Regions cut out of feature maps."""

from __future__ import annotations

from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, refuse, take
from onnxcam.graph.contrib.registry import equals, kind_of


@equals("CropAndResize", inputs=4)
def crop_and_resize(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """A grid of points in each box (y1, x1, y2, x2), in parts of the picture, read by bilinear interpolation.

    Points outside the picture have a value of their own.
    """
    x, boxes, images, size = node.input
    outside = take(node, "extrapolation_value", 0.0)
    if take(node, "mode", "bilinear") != "bilinear":
        raise refuse(draft.node, draft.scope, "it reads the nearest pixel, with ties that opset 18 breaks otherwise")
    height, width = (_count(draft, size, place) for place in (0, 1))
    rows, columns = (_points(draft, boxes, place, count) for place, count in ((0, height), (1, width)))
    whole = draft("Concat", [draft("Shape", [boxes], start=0, end=1), height, width, draft.ints(1)], axis=0)
    y, x_ = (_spread(draft, points, axis, whole) for points, axis in ((rows, 2), (columns, 1)))
    grid = draft("Concat", [x_, y], axis=3)
    cut = draft("Gather", [x, images], axis=0)
    read = draft("GridSample", [cut, grid], align_corners=1, padding_mode="border")
    farthest = draft("ReduceMax", [draft("Abs", [grid]), draft.ints(3)], keepdims=0)
    within = draft("Unsqueeze", [draft("LessOrEqual", [farthest, draft.number(1.0, boxes)]), draft.ints(1)])
    return draft.ends("Where", [within, read, draft.number(outside, boxes)])


def _count(draft: Draft, size: str, place: int) -> str:
    """One of the two sizes, as a list of int64."""
    one = draft("Slice", [size, draft.ints(place), draft.ints(place + 1), draft.ints(0)])
    return draft("Cast", [one], to=TensorProto.INT64)


def _points(draft: Draft, boxes: str, place: int, count: str) -> str:
    """(boxes, points) from −1 to 1 over the picture: evenly from a box's start to its end; its middle for one point."""
    kind = kind_of(draft, boxes)
    start, end = (_side(draft, boxes, place + offset) for offset in (0, 2))
    steps = draft("Squeeze", [draft("Sub", [count, draft.ints(1)])])
    zero, one = draft("Squeeze", [draft.ints(0)]), draft("Squeeze", [draft.ints(1)])
    indices = draft("Cast", [draft("Range", [zero, draft("Squeeze", [count]), one])], to=kind)
    span = draft("Cast", [draft("Max", [steps, one])], to=kind)
    is_one = draft("Equal", [steps, zero])
    share = draft("Where", [is_one, draft.number(0.5, boxes), draft("Div", [indices, span])])
    points = draft("Add", [start, draft("Mul", [draft("Sub", [end, start]), share])])
    return draft("Sub", [draft("Mul", [points, draft.number(2.0, boxes)]), draft.number(1.0, boxes)])


def _side(draft: Draft, boxes: str, index: int) -> str:
    return draft("Slice", [boxes, draft.ints(index), draft.ints(index + 1), draft.ints(1)])


def _spread(draft: Draft, points: str, axis: int, whole: str) -> str:
    """(boxes, points) as (boxes, height, width, 1)."""
    return draft("Expand", [draft("Unsqueeze", [points, draft.ints(axis, 3)]), whole])
