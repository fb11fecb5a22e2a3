"""Adapters for the ops of the opsets after 18 that read pictures and volumes at computed points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, Scope, give, lowers, refuse, take
from onnxcam.graph.deforming import Deforming
from onnxcam.graph.drafting import drafted
from onnxcam.graph.sampling import as_number, counted, drawn
from onnxcam.graph.value import Value


@lowers("AffineGrid", 20)
def affine_grid_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The points of the output, (…, y, x) order reversed and a 1 behind, times theta; its body in ONNX does not run."""
    size, is_aligned = scope.array(node.input[1]), bool(take(node, "align_corners", 0))
    if size is None:
        return drafted(node, scope, lambda theta, shape: _turned_points(theta, shape, aligned=is_aligned))
    draft, theta, kind = Draft(node, scope), node.input[0], scope.element_type(node.input[0]) or TensorProto.FLOAT
    sides = [_positions(int(n), is_aligned=is_aligned) for n in size[2:]]
    points = np.stack([*np.meshgrid(*sides, indexing="ij")[::-1], np.ones(size[2:])], axis=-1)
    rows = points.reshape(-1, points.shape[-1]).astype(tensor_dtype_to_np_dtype(kind))
    turned = draft("Transpose", [theta], perm=[0, 2, 1])
    moved = draft("MatMul", [scope.constant(rows, f"{draft.stem}/points"), turned])
    return draft.ends("Reshape", [moved, draft.ints(0, *size[2:].tolist(), len(sides))])


def _positions(count: int, *, is_aligned: bool) -> NDArray[np.float64]:
    """Where pixels lie between −1 and 1: their centres, or with the outer ones at the ends; one alone at the last."""
    if is_aligned:
        return np.linspace(-1, 1, count) if count > 1 else np.array([1.0])
    return (2 * np.arange(count) + 1) / count - 1


def _turned_points(theta: Value, shape: Value, *, aligned: bool) -> Value:
    """An AffineGrid: theta (N, axes, axes + 1) times the points (…, y, x), in the order x, y …, 1."""
    op, axes = theta.tape, int((theta.shape or (0, 0))[1] or 0)
    sizes = [op.Slice(shape, op.ints(axis), op.ints(axis + 1)) for axis in range(2, 2 + axes)]
    space = op.Concat(*sizes, axis=0)
    columns: list[Value] = []
    for axis, size in enumerate(sizes):
        count, places = as_number(size, theta), counted(size, theta)
        if aligned:  # one alone is at the last end
            last = count - 1.0
            side = op.Where(last > 0.0, places * 2.0 / last - 1.0, op.number(1.0, theta))
        else:
            side = (places * 2.0 + 1.0) / count - 1.0
        stretched = op.Expand(op.Reshape(side, op.ints(-1, *[1] * (axes - 1 - axis))), space)
        columns.insert(0, op.Reshape(stretched, op.ints(-1, 1)))
    columns.append(op.Expand(op.number(1.0, theta), op.Shape(columns[0])))
    moved = op.MatMul(op.Concat(*columns, axis=1), op.Transpose(theta, perm=[0, 2, 1]))
    return op.Reshape(moved, op.Concat(op.ints(0), space, op.ints(axes), axis=0))


@lowers("DeformConv", 19)
def deform_conv_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """It came: a GridSample where the offsets say, then a Conv of 1 × 1."""
    shape = scope.shape(node.input[1])
    if shape is None or len(shape) != 4 or None in shape:
        raise refuse(node, scope, "its weights are not (out, in, height, width) of known sizes")
    _, channels, *kernel = (size or 0 for size in shape)
    group = take(node, "group", 1)
    form = Deforming(
        kernel=kernel,
        strides=take(node, "strides", (1, 1)),
        pads=take(node, "pads", (0, 0)),
        dilations=take(node, "dilations", (1, 1)),
        channels=channels * group,
        group=group,
        offset_group=take(node, "offset_group", 1),
    )
    return drafted(node, scope, form.write)


@lowers("GridSample", 20)
def grid_sample_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Volumes came, and float64 in ONNX Runtime, which are read in plain arithmetic; and other names for the modes."""
    rank, mode = len(scope.shape(node.input[0]) or ()), take(node, "mode", "linear")
    padding, is_aligned = take(node, "padding_mode", "zeros"), bool(take(node, "align_corners", 0))
    if rank == 4 and scope.element_type(node.input[0]) != TensorProto.DOUBLE:
        give(node, "mode", {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode))
        give(node, "padding_mode", padding)
        give(node, "align_corners", int(is_aligned))
        return [node]
    if mode == "cubic" and rank > 4:
        raise refuse(node, scope, "it reads volumes by cubics, which no runtime does")

    def write(x: Value, grid: Value) -> Value:
        return drawn(x, grid, mode=mode, padding=padding, aligned=is_aligned)

    return drafted(node, scope, write)
