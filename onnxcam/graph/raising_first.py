"""Adapters from opset 6, as PyTorch and Caffe2 wrote it: broadcasting had been asked for, and from a given axis on."""

from __future__ import annotations

from onnx import NodeProto

from onnxcam.graph.adapters import Draft, Scope, give, raises, refuse, take

TRAINING = "it is in training mode: export the model for inference"


def broadcast_7(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The second input's axes had stood from `axis` of the first on; now its last stands under the last."""
    axis, is_broadcast = take(node, "axis"), take(node, "broadcast", 0)
    if not is_broadcast or axis is None:
        return [node]
    outer, inner = (scope.shape(name) for name in node.input)
    if outer is None or inner is None:
        raise refuse(node, scope, "it stretches a tensor from an axis on, and the number of its axes is unknown")
    behind = len(outer) - axis % len(outer) - len(inner)
    draft, (a, b) = Draft(node, scope), node.input
    if behind <= 0:
        return [node]
    places = draft.ints(*range(len(inner), len(inner) + behind))
    return draft.ends(node.op_type, [a, draft("Unsqueeze", [b, places])])


for _name in ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"):
    raises(_name, 7)(broadcast_7)


@raises("Gemm", 7)
def gemm_7(node: NodeProto, _: Scope) -> list[NodeProto]:
    """C is stretched without being asked."""
    take(node, "broadcast")
    return [node]


@raises("PRelu", 7)
def p_relu_7(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Slopes had been of each channel, axis 1; now they are stretched as everywhere."""
    x, slope = (scope.shape(name) for name in node.input)
    if slope is None or len(slope) != 1 or slope[0] == 1:
        return [node]
    if x is None:
        raise refuse(node, scope, "it has a slope for each channel, and the number of its axes is unknown")
    draft = Draft(node, scope)
    places = draft.ints(*range(1, len(x) - 1))
    return draft.ends("PRelu", [node.input[0], draft("Unsqueeze", [node.input[1], places])])


@raises("BatchNormalization", 7)
def batch_normalization_7(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Inference had been told by `is_test`, and shows in that there is one output."""
    return _without_training(node, scope)


@raises("Dropout", 7)
def dropout_7(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Likewise."""
    return _without_training(node, scope)


def _without_training(node: NodeProto, scope: Scope) -> list[NodeProto]:
    if not take(node, "is_test", 0) and any(name in scope.used for name in node.output[1:]):
        raise refuse(node, scope, TRAINING)
    del node.output[1:]
    return [node]


@raises("GRU", 7)
@raises("LSTM", 7)
@raises("RNN", 7)
def recurrent_7(node: NodeProto, _: Scope) -> list[NodeProto]:
    """Which outputs are wanted had been told twice."""
    take(node, "output_sequence")
    return [node]


@raises("Upsample", 7)
def upsample_7(node: NodeProto, _: Scope) -> list[NodeProto]:
    """Height and width had a factor each."""
    factors = [1.0, 1.0, take(node, "height_scale"), take(node, "width_scale")]
    give(node, "scales", factors)
    return [node]
