"""Ops that the default domain has too, perhaps with inputs of another form."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import LOWERING, Draft, refuse, source, take
from onnxcam.graph.contrib.activations import renamed
from onnxcam.graph.contrib.registry import equals, output, several, sizes, total


@equals("GridSample", "Trilu", "GatherND", inputs=2)
def same(_: Draft, node: NodeProto) -> list[NodeProto]:
    """The op of the default domain."""
    node.domain = ""
    return [node]


@equals("Unique", inputs=1, outputs=3)
def unique(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The values in the order in which they come, where each is among them, and how often."""
    outputs = [node.output[0], "", output(node, 1), output(node, 2)]
    several(draft, "Unique", [node.input[0]], outputs, sorted=0)
    return draft.nodes


@equals("Pad", inputs=3)
def pad(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The widths may come as a row of a matrix, the value as a list of one."""
    widths = draft("Reshape", [node.input[1], draft.ints(-1)])
    value = draft("Squeeze", [node.input[2]]) if source(node, 2) else ""
    return draft.ends("Pad", [node.input[0], widths, value], mode=take(node, "mode", "constant"))


@equals("Range", inputs=3)
def range_(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Start, end and step may come as lists of one; the step is 1 by default."""
    numbers = [draft("Squeeze", [name]) for name in node.input if name]
    if len(numbers) == 2:
        numbers.append(draft.number(1, node.input[0]))
    return draft.ends("Range", numbers)


@equals("ExpandDims", inputs=2)
def expand_dims(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Unsqueeze along one axis."""
    axis = draft("Reshape", [draft("Cast", [node.input[1]], to=TensorProto.INT64), draft.ints(1)])
    return draft.ends("Unsqueeze", [node.input[0], axis])


@equals("DynamicSlice", inputs=4)
def dynamic_slice(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Slice, as it was called when its bounds first were inputs."""
    return draft.ends("Slice", list(node.input))


@equals("Crop", inputs=1)
def crop(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Without its borders (left, top, right, bottom); or of a size (height, width), from the left and top one on."""
    (left, top, right, bottom), size = take(node, "border"), take(node, "scale")
    far = np.iinfo(np.int64).max
    ends = [top + size[0], left + size[1]] if size else [-bottom or far, -right or far]
    return draft.ends("Slice", [node.input[0], draft.ints(top, left), draft.ints(*ends), draft.ints(2, 3)])


@equals("ImageScaler", inputs=1)
def image_scaler(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """scale · x + bias of each channel."""
    x, scale, bias = node.input[0], take(node, "scale", 1.0), take(node, "bias", [])
    column = draft.scope.constant(np.array(bias, np.float32).reshape(-1, 1, 1), f"{draft.stem}/bias")
    if draft.scope.element_type(x) != TensorProto.FLOAT:
        column = draft("CastLike", [column, x])
    return draft.ends("Add", [draft("Mul", [x, draft.number(scale, x)]), column])


@equals("BiasDropout", inputs=5)
def bias_dropout(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """data + bias + residual: at inference nothing is dropped."""
    take(node, "seed")
    if mode := source(node, 4):
        training = draft.scope.array(mode)
        if training is None or bool(training):
            raise refuse(draft.node, draft.scope, "it drops at random: export the model in inference mode")
    return renamed(draft, total(draft, *node.input[:3]))


@equals("QuantizeLinear", "DequantizeLinear", inputs=3)
def quantize(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """As of opset 21, with more types than 18 has: brought down by the adapters of the default domain."""
    node.domain = ""
    if not sizes(draft, node.input[1]):
        take(node, "axis")
    nodes = [node]
    for step in (21, 19):
        nodes = [last for one in nodes for last in _lowered(one, draft, step)]
    return nodes


def _lowered(node: NodeProto, draft: Draft, step: int) -> list[NodeProto]:
    is_one = node.op_type in ("QuantizeLinear", "DequantizeLinear")
    return LOWERING[node.op_type][step](node, draft.scope) if is_one else [node]


@equals("ComplexMul", inputs=2)
def complex_mul(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Products of complex numbers, whose parts are the two entries of the last axis."""
    return _complex_product(draft, node, sign=1.0)


@equals("ComplexMulConj", inputs=2)
def complex_mul_conj(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Products by the conjugate of the second."""
    return _complex_product(draft, node, sign=-1.0)


def _complex_product(draft: Draft, node: NodeProto, *, sign: float) -> list[NodeProto]:
    (a, b), (c, d) = (several(draft, "Split", [x], ["", ""], axis=-1, num_outputs=2) for x in node.input)
    d = draft("Neg", [d]) if sign < 0 else d
    real = draft("Sub", [draft("Mul", [a, c]), draft("Mul", [b, d])])
    imaginary = draft("Add", [draft("Mul", [a, d]), draft("Mul", [b, c])])
    return draft.ends("Concat", [real, imaginary], axis=-1)


@equals("Inverse", inputs=1)
def inverse(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The op itself, which has no equal; its output is noted to be of its input's type, which nobody infers."""
    scope, name = draft.scope, node.output[0]
    if scope.shape(name) is None and (kind := scope.types.get(node.input[0])):
        outputs = [info for info in scope.model.graph.output if info.name == name]
        for info in outputs or [scope.model.graph.value_info.add(name=name)]:
            info.type.CopyFrom(kind)
    return [node]
