"""Softmax of scores plus a mask."""

from __future__ import annotations

from onnx import NodeProto

from onnxcam.graph.adapters import Draft, take
from onnxcam.graph.contrib.registry import equals, rank, sizes, total


@equals("BiasSoftmax", inputs=2)
def bias_softmax(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Softmax over everything from `axis` on of data + bias, which is of shape 1 where it is stretched."""
    data = node.input[0]
    axis = take(node, "axis", 1) % rank(draft, data)
    take(node, "is_inner_broadcast")  # which axes are stretched: the shapes say so
    added = total(draft, *node.input)
    if all(size == 1 for size in sizes(draft, data)[axis + 1 :]):
        return draft.ends("Softmax", [added], axis=axis)
    flat = draft("Softmax", [draft("Flatten", [added], axis=axis)], axis=-1)
    return draft.ends("Reshape", [flat, draft("Shape", [data])])
