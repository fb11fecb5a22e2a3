"""Ops that work along axes: they keep images apart as long as the axis that counts them is none of those."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from onnx import NodeProto

from onnxcam.graph.adapters import source
from onnxcam.graph.batch_trace import Digit, Trace, follows

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def _beside(trace: Trace, node: NodeProto, axes: Iterable[int], *, keeps: bool) -> Digit:
    """The place when those axes, none of them the batch's, are worked on and kept or dropped."""
    digit = trace.first(node)
    touched = trace.axes(node, axes)
    if digit.axis in touched:
        raise trace.mixes(node, f"works along axis {digit.axis}, which counts the images")
    return digit if keeps else replace(digit, axis=digit.axis - sum(axis < digit.axis for axis in touched))


@follows("Slice")
def slice_(trace: Trace, node: NodeProto) -> Digit:
    """Any axis but that of the images."""
    axes, starts = trace.array(node, 3), trace.array(node, 1)
    if axes is None and (starts is None or (source(node, 3))):
        raise trace.mixes(node, "takes parts of axes that are computed")
    return _beside(trace, node, range(len(starts or ())) if axes is None else axes.tolist(), keeps=True)


@follows("Gather")
def gather(trace: Trace, node: NodeProto) -> Digit:
    """Of an axis that does not count images; or by indices, from a table that is the same for all."""
    axis, data = trace.axes(node, [trace.attribute(node, "axis", 0)]).pop(), trace.digit(node)
    picked = trace.digit(node, 1)
    if data is None and picked is not None:
        return replace(picked, axis=picked.axis + axis)
    digit, width = trace.first(node), len(trace.shape(node.input[1], node))
    if digit.axis == axis:
        raise trace.mixes(node, "picks single images")
    return digit if digit.axis < axis else replace(digit, axis=digit.axis + width - 1)


@follows("GatherElements")
def gather_elements(trace: Trace, node: NodeProto) -> Digit:
    """Data and indices count the same images."""
    digit = trace.digit(node)
    axis = trace.axes(node, [trace.attribute(node, "axis", 0)])
    if digit is None or digit != trace.digit(node, 1) or digit.axis in axis:
        raise trace.mixes(node, "picks entries across images")
    return digit


@follows("Split")
def split(trace: Trace, node: NodeProto) -> Digit:
    """Any axis but that of the images."""
    return _beside(trace, node, [trace.attribute(node, "axis", 0)], keeps=True)


@follows("Softmax", "LogSoftmax", "Hardmax", "TopK", "LpNormalization")
def along_last(trace: Trace, node: NodeProto) -> Digit:
    """By default the last axis."""
    return _beside(trace, node, [trace.attribute(node, "axis", -1)], keeps=True)


@follows("CumSum")
def cumulative(trace: Trace, node: NodeProto) -> Digit:
    """The axis is an input."""
    axis = trace.array(node, 1)
    if axis is None:
        raise trace.mixes(node, "sums up along an axis that is computed")
    return _beside(trace, node, [int(axis.reshape(-1)[0])], keeps=True)


@follows("LayerNormalization")
def layer_normalization(trace: Trace, node: NodeProto) -> Digit:
    """From an axis to the last one."""
    rank = len(trace.shape(node.input[0], node))
    return _beside(trace, node, range(trace.attribute(node, "axis", -1) % rank, rank), keeps=True)


@follows("MeanVarianceNormalization")
def mean_variance(trace: Trace, node: NodeProto) -> Digit:
    """By default over the images too."""
    return _beside(trace, node, trace.attribute(node, "axes", [0, 2, 3]), keeps=True)


@follows("Trilu")
def triangle(trace: Trace, node: NodeProto) -> Digit:
    """The last two axes are the matrix."""
    return _beside(trace, node, [-1, -2], keeps=True)


@follows("ArgMax", "ArgMin")
def arg_max(trace: Trace, node: NodeProto) -> Digit:
    """One axis, which may be dropped."""
    axis = trace.attribute(node, "axis", 0)
    return _beside(trace, node, [axis], keeps=bool(trace.attribute(node, "keepdims", 1)))


@follows(*(f"Reduce{name}" for name in REDUCTIONS))
def reduction(trace: Trace, node: NodeProto) -> Digit:
    """Axes, all of them by default, which may be dropped."""
    digit, axes = trace.first(node), trace.array(node, 1)
    if axes is None and source(node, 1):
        raise trace.mixes(node, "works along axes that are computed")
    if axes is None or not axes.size:
        if trace.attribute(node, "noop_with_empty_axes", 0):
            return digit
        raise trace.mixes(node, "works along all axes, that of the images with them")
    return _beside(trace, node, axes.tolist(), keeps=bool(trace.attribute(node, "keepdims", 1)))


@follows("MatMul")
def matmul(trace: Trace, node: NodeProto) -> Digit:
    """Rows of A, columns of B or the axes before; never the one that is summed over."""
    ranks = [len(trace.shape(name, node)) for name in node.input]
    places = [
        digit.axis - rank if (digit := trace.digits.get(x)) else 0 for x, rank in zip(node.input, ranks, strict=True)
    ]
    if min(ranks) < 2 or places[0] == -1 or places[1] == -2:
        raise trace.mixes(node, "sums over the images")
    for index, free in ((0, -2), (1, -1)):
        if places[index] == free:
            if places[1 - index]:
                raise trace.mixes(node, "multiplies each image with every other")
            return replace(trace.digits[node.input[index]], axis=max(ranks) + free)
    return trace.aligned(node, (0, 1), last=2)


@follows("Gemm")
def gemm(trace: Trace, node: NodeProto) -> Digit:
    """Rows of A; the bias is the same for all of them."""
    digit = trace.first(node)
    if digit.axis != (1 if trace.attribute(node, "transA", 0) else 0):
        raise trace.mixes(node, "sums over the images")
    bias = trace.shape(node.input[2], node) if source(node, 2) else []
    if len(bias) == 2 and not trace.is_row(node, 2, 0):
        raise trace.mixes(node, "has a bias of its own for each row")
    return replace(digit, axis=0)


@follows("Einsum")
def einsum(trace: Trace, node: NodeProto) -> Digit:
    """The letter of the images stands in the result, and in no other part that is the same for all images."""
    text = trace.attribute(node, "equation", b"").decode().replace(" ", "")
    parts, _, result = text.partition("->")
    letters = {t[d.axis]: d for n, t in zip(node.input, parts.split(","), strict=True) if (d := trace.digits.get(n))}
    if "." in text or len(letters) != 1:
        raise trace.mixes(node, "joins tensors that count the images on different axes")
    letter, digit = letters.popitem()
    shared = any(letter in t for n, t in zip(node.input, parts.split(","), strict=True) if n not in trace.digits)
    if shared or letter not in result:
        raise trace.mixes(node, "sums over the images")
    return replace(digit, axis=result.index(letter))


@follows("Shape", "Size")
def measure(trace: Trace, node: NodeProto) -> None:
    """A shape is no image: it is the same for all."""
