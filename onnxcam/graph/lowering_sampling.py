"""Adapters for the ops of the opsets after 18 that sample pictures and volumes at computed points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, Scope, give, lowers, refuse, take


@lowers("AffineGrid", 20)
def affine_grid_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The points of the output, (…, y, x) order reversed and a 1 behind, times theta; its body in ONNX does not run."""
    size = scope.array(node.input[1])
    if size is None:
        raise refuse(node, scope, "the size of its grid is computed")
    draft, theta, kind = Draft(node, scope), node.input[0], scope.element_type(node.input[0]) or TensorProto.FLOAT
    is_aligned = bool(take(node, "align_corners", 0))
    sides = [_positions(int(n), is_aligned=is_aligned) for n in size[2:]]
    points = np.stack([*np.meshgrid(*sides, indexing="ij")[::-1], np.ones(size[2:])], axis=-1)
    rows = points.reshape(-1, points.shape[-1]).astype(tensor_dtype_to_np_dtype(kind))
    turned = draft("Transpose", [theta], perm=[0, 2, 1])
    moved = draft("MatMul", [scope.constant(rows, f"{draft.stem}/points"), turned])
    return draft.ends("Reshape", [moved, draft.ints(0, *size[2:].tolist(), len(sides))])


def _positions(count: int, *, is_aligned: bool) -> NDArray[np.float64]:
    """Where pixels lie between −1 and 1: their centres, or with the outer ones at the ends."""
    if is_aligned:
        return np.linspace(-1, 1, count) if count > 1 else np.array([-1.0])
    return (2 * np.arange(count) + 1) / count - 1


@lowers("GridSample", 20)
def grid_sample_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Volumes came, and with them linear for bilinear."""
    if len(scope.shape(node.input[0]) or ()) == 5:
        raise refuse(node, scope, "it samples volumes, which came with opset 20")
    mode = take(node, "mode", "linear")
    give(node, "mode", {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode))
    return [node]
