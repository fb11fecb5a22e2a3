"""A detector's class scores where its cells lie: a map for each class at each scale."""

from __future__ import annotations

from onnxcam.graph import Value
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.grids import sides


def class_maps(found: Detections, picture: Value) -> tuple[Value, ...]:
    """The logits of each scale, (N, C, h, w), of several anchors in a cell the largest; none if sizes are open."""
    height, width = sides(picture)
    if found.pyramid is None or not isinstance(height, int) or not isinstance(width, int):
        return ()
    op, start, maps = picture.tape, 0, []
    for stride in found.pyramid.strides:
        h, w, anchors = -(-height // stride), -(-width // stride), found.pyramid.anchors
        stop = start + h * w * anchors
        part = op.Slice(found.logits, op.ints(start), op.ints(stop), op.ints(1))
        shape = (0, h, w, anchors, found.count) if found.pyramid.is_cell_first else (0, anchors, h, w, found.count)
        best = op.ReduceMax(op.Reshape(part, op.ints(*shape)), op.ints(shape.index(anchors, 1)), keepdims=0)
        maps.append(op.Transpose(best, perm=[0, 3, 1, 2]))
        start = stop
    return tuple(maps)
