"""What each op does to the axis that counts the images; ops without a rule here keep a batch fixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from onnxcam.graph.adapters import Draft, give, source
from onnxcam.graph.batch_trace import Digit, Trace, follows, moved

ELEMENTWISE = (
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
    "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Equal", "Erf", "Exp",
    "Floor", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less",
    "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal",
    "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum",
    "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip
# Each entry of the first axis by itself, whatever it counts.
BY_ENTRY = (
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalLpPool",
    "GlobalMaxPool", "InstanceNormalization", "LRN", "LpPool", "MaxPool", "SpaceToDepth",
)  # fmt: skip


@follows(*ELEMENTWISE)
def elementwise(trace: Trace, node: NodeProto) -> Digit:
    """Broadcasting counts axes from the back."""
    return trace.aligned(node, range(len(node.input)))


@follows("Dropout")
def dropout(trace: Trace, node: NodeProto) -> Digit:
    """Nothing happens to the first input, and the others are numbers."""
    return trace.first(node)


@follows("QuantizeLinear", "DequantizeLinear")
def quantize(trace: Trace, node: NodeProto) -> Digit:
    """A scale of each channel must not lie along the images."""
    digit = trace.first(node)
    if trace.scope.shape(node.input[1]) and trace.axes(node, [trace.attribute(node, "axis", 1)]) == {digit.axis}:
        raise trace.mixes(node, "has scales of its own for each image")
    return digit


@follows(*BY_ENTRY)
def by_entry(trace: Trace, node: NodeProto) -> Digit:
    """The images must be on the first axis."""
    digit = trace.first(node)
    if digit.axis:
        raise trace.mixes(node, f"works over axis {digit.axis}, which counts the images")
    return digit


@follows("Resize")
def resize(trace: Trace, node: NodeProto) -> Digit:
    """A size baked in for all axes becomes one of the axes that change, and so does a region."""
    digit, rank = by_entry(trace, node), len(trace.shape(node.input[0], node))
    if source(node, 3) and trace.attribute(node, "axes", None) is None:
        draft = Draft(node, trace.scope)
        node.input[3] = draft("Slice", [node.input[3], draft.ints(1), draft.ints(rank), draft.ints(0)])
        give(node, "axes", list(range(1, rank)))
        if source(node, 1):
            kept = draft.ints(*range(1, rank), *range(rank + 1, 2 * rank))
            node.input[1] = draft("Gather", [node.input[1], kept])
        trace.before.extend(draft.nodes)
    return digit


@follows("GridSample")
def grid_sample(trace: Trace, node: NodeProto) -> Digit:
    """Picture and grid belong together; one grid for all is repeated."""
    for index, other in ((0, 1), (1, 0)):
        if node.input[index] not in trace.digits:
            trace.repeated(node, index, node.input[other])
    place = trace.digits[node.input[0]]
    if place != trace.digits[node.input[1]] or place.axis:
        raise trace.mixes(node, "samples with another order of images")
    return place


@follows("Transpose")
def transpose(trace: Trace, node: NodeProto) -> Digit:
    """The axis goes where the permutation says."""
    digit, rank = trace.first(node), len(trace.shape(node.input[0], node))
    order = list(trace.attribute(node, "perm", range(rank)[::-1]))
    return replace(digit, axis=order.index(digit.axis))


@follows("Flatten")
def flatten(trace: Trace, node: NodeProto) -> Digit:
    """The order in memory stays."""
    return moved(trace, node)


@follows("Reshape")
def reshape(trace: Trace, node: NodeProto) -> Digit:
    """The order in memory stays; a size baked in where the batch now is gives way."""
    before, after = trace.first(node), moved(trace, node)
    target = trace.array(node, 1)
    draft = Draft(node, trace.scope)
    if target is not None:
        opened = _opened(trace, node, target.tolist(), stays=before == after, axis=after.axis)
        give(node, "allowzero", 0)
        if opened != target.tolist():
            node.input[1] = draft.ints(*opened)
        return after
    if before != after or after.axis:
        raise trace.mixes(node, "moves the batch to a shape that is computed at run time")
    rest = draft("Slice", [node.input[1], draft.ints(1), draft.ints(np.iinfo(np.int64).max), draft.ints(0)])
    node.input[1] = draft("Concat", [draft.ints(0), rest], axis=0)
    trace.before.extend(draft.nodes)
    return after


def _opened(trace: Trace, node: NodeProto, target: list[int], *, stays: bool, axis: int) -> list[int]:
    """The target with 0 (as it was) or −1 (whatever is left) where the batch is."""
    if target[axis] == -1 or (target[axis] == 0 and stays):
        return target
    if stays:
        return [0 if index == axis else size for index, size in enumerate(target)]
    sizes = trace.shape(node.output[0], node)
    if None in [size for index, size in enumerate(sizes) if index != axis]:
        raise trace.mixes(node, "moves the batch, and the sizes beside it are known only at run time")
    return [-1 if index == axis else int(size or 0) for index, size in enumerate(sizes)]


@follows("Squeeze")
def squeeze(trace: Trace, node: NodeProto) -> Digit:
    """Axes before it go; without a list of axes the batch of one would go too."""
    digit, shape = trace.first(node), trace.shape(node.input[0], node)
    axes = trace.array(node, 1)
    gone = {i for i, size in enumerate(shape) if size == 1} if axes is None else trace.axes(node, axes.tolist())
    if digit.axis in gone:
        raise trace.mixes(node, "takes away the axis that counts the images")
    return replace(digit, axis=digit.axis - sum(axis < digit.axis for axis in gone))


@follows("Unsqueeze")
def unsqueeze(trace: Trace, node: NodeProto) -> Digit:
    """New axes before it shift it."""
    digit, axes, rank = trace.first(node), trace.array(node, 1), len(trace.shape(node.output[0], node))
    if axes is None:
        raise trace.mixes(node, "adds axes that are computed")
    new = {axis % rank for axis in axes.tolist()}
    return replace(digit, axis=[axis for axis in range(rank) if axis not in new][digit.axis])


@follows("Expand")
def expand(trace: Trace, node: NodeProto) -> Digit:
    """A target of 1 leaves the images alone, so a size baked in becomes 1; axes may come in front."""
    digit, target = trace.first(node), trace.array(node, 1)
    old, new = trace.shape(node.input[0], node), trace.shape(node.output[0], node)
    axis = digit.axis + len(new) - len(old)
    if target is None or len(target) < len(new) or target[axis] not in (1, old[digit.axis]):
        raise trace.mixes(node, "repeats images, or to a shape that is computed at run time")
    if target[axis] != 1:
        node.input[1] = Draft(node, trace.scope).ints(*(1 if i == axis else n for i, n in enumerate(target.tolist())))
    return replace(digit, axis=axis)


@follows("Tile", "Pad")
def tile(trace: Trace, node: NodeProto) -> Digit:
    """Nothing may be laid beside the images."""
    digit, widths = trace.first(node), trace.array(node, 1)
    rank = len(trace.shape(node.input[0], node))
    listed = trace.array(node, 3) if node.op_type == "Pad" and len(node.input) > 3 and node.input[3] else None
    order = list(range(rank)) if listed is None else [axis % rank for axis in listed.tolist()]
    neutral = 1 if node.op_type == "Tile" else 0
    beside = zip([] if widths is None else widths.tolist(), [*order, *order], strict=False)
    if widths is None or any(width != neutral for width, axis in beside if axis == digit.axis):
        raise trace.mixes(node, "adds rows to the batch, or a number of them that is computed")
    return digit


@follows("Concat")
def concat(trace: Trace, node: NodeProto) -> Digit:
    """Parts that are the same for all images, such as a class token, are repeated."""
    like = next(name for name in node.input if name in trace.digits)
    digit = trace.digits[like]
    if trace.attribute(node, "axis", 0) % len(trace.shape(like, node)) == digit.axis:
        raise trace.mixes(node, "puts images one behind the other")
    for index, name in enumerate(node.input):
        if name not in trace.digits:
            trace.repeated(node, index, like)
        elif trace.digits[name] != digit:
            raise trace.mixes(node, "joins tensors that count the images on different axes")
    return digit
