"""Linear layers with all that scales and shifts their outputs: BatchNormalization, and sums and products of constants.

Rules that treat positive and negative weights apart must see the whole linear map, so it is read as one layer with
weights w·f and bias (b − mean)·f + shift. They are computed in the graph: ONNX Runtime folds them on loading, and the
file holds no second copy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.layers import CONVOLUTIONS, DENSE, is_linear_layer
from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.extents import shape_of
from onnxcam.autodiff.sizes import reshaped, sizes_of
from onnxcam.graph import Node, Value


def with_merged_layers(nodes: Sequence[Node], kept: Collection[Value]) -> list[Node]:
    """The nodes, each linear layer one with the constants that its output, used once, is scaled and shifted by."""
    users: dict[Value, list[Node]] = {}
    for node in nodes:
        for value in node.reads:
            users.setdefault(value, []).append(node)
    merged: dict[Value, Node] = {}
    hidden: set[Value] = set()
    for node in nodes:
        if not _has_channels(node):
            continue
        whole = node
        while (follower := _only(users.get(whole.output, []))) and whole.output not in kept:
            with node.tape.named(f"merged/{node.output.name}"):
                longer = _merged(whole, follower)
            if longer is None:
                break
            hidden.add(whole.output)
            whole = longer
        merged[whole.output] = whole
    return [merged.get(node.output, node) for node in nodes if node.output not in hidden]


def _only(nodes: Sequence[Node]) -> Node | None:
    return nodes[0] if len(nodes) == 1 else None


def _has_channels(node: Node) -> bool:
    """Whether it is a linear layer x·w, of which each column (or kernel) of w makes a channel of its own."""
    w = node.optional(1)
    return is_linear_layer(node) and w is not None and is_fixed(w) and len(w.shape or ()) >= 2


def _merged(layer: Node, follower: Node) -> Node | None:
    """Both as one layer; None where the follower does not scale or shift channel by channel, by constants."""
    op = layer.tape
    affine = _affine(layer, follower)
    if affine is None:
        return None
    factor, shift = affine
    plain = _without_factors(layer)
    w, bias = plain.input(1), plain.optional(2)
    if factor is not None:
        w = _scaled(w, factor, plain)
        bias = None if bias is None else bias * factor
    if shift is not None:
        bias = shift if bias is None else bias + shift
    if bias is not None and bias.shape == (1,) and plain.op_type in CONVOLUTIONS:
        bias = op.Expand(bias, sizes_of(plain.output, 1, 2).vector)
    return op.imagine(plain.op_type, [plain.x, w, bias], follower.outputs[:1], plain.attributes)


def _affine(layer: Node, follower: Node) -> tuple[Value | None, Value | None] | None:
    """The factor and the shift, each (C,) or (1,) or None, by which the follower changes the layer's output."""
    if follower.op_type == "BatchNormalization":
        return _of_batch_normalization(follower, layer) if layer.op_type in CONVOLUTIONS or _rank(layer) == 2 else None
    if follower.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    place = int(follower.input(0) == layer.output)
    other = follower.input(place)
    if not is_fixed(other) or (place == 0 and follower.op_type in ("Sub", "Div")):
        return None
    number = _per_channel(other, layer)
    if number is None:
        return None
    if follower.op_type in ("Add", "Sub"):
        return None, number if follower.op_type == "Add" else -number
    return number if follower.op_type == "Mul" else number.tape.Reciprocal(number), None


def _of_batch_normalization(node: Node, layer: Node) -> tuple[Value, Value] | None:
    """y = (x − mean) f + b, with f = scale/√(var + ε)."""
    if node.attributes.get("training_mode", 0) or not all(is_fixed(node.input(index)) for index in range(1, 5)):
        return None
    op, like = node.tape, layer.input(1)
    scale, bias, mean = (node.input(index) for index in (1, 2, 3))
    deviation = op.Sqrt(node.input(4) + node.attributes.get("epsilon", 1e-5))
    factor = scale / cast_like(deviation, scale)
    return cast_like(factor, like), cast_like(bias - cast_like(mean, scale) * factor, like)


def _per_channel(number: Value, layer: Node) -> Value | None:
    """The constant as (C,) or (1,); None unless it is the same everywhere but along the layer's channels."""
    rank, shape = _rank(layer), number.shape
    if shape is None or rank is None or len(shape) > rank:
        return None
    channels = 1 if layer.op_type in CONVOLUTIONS else rank - 1
    aligned = (1,) * (rank - len(shape)) + shape
    if any(n != 1 for axis, n in enumerate(aligned) if axis != channels):
        return None
    return number if len(shape) == 1 else number.tape.Reshape(number, number.tape.ints(-1))


def _without_factors(layer: Node) -> Node:
    """A Gemm with its α and β multiplied out; anything else as it is."""
    alpha, beta = (float(layer.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    if alpha == beta == 1.0:
        return layer
    w, bias = layer.input(1), layer.optional(2)
    inputs = [layer.x, w * alpha, None if bias is None else bias * beta]
    attributes = {key: value for key, value in layer.attributes.items() if key not in ("alpha", "beta")}
    return layer.tape.imagine(layer.op_type, inputs, layer.outputs, attributes)


def _scaled(w: Value, factor: Value, layer: Node) -> Value:
    """The weights times the factor of the channel that they lead to."""
    op, space = w.tape, len(w.shape or ()) - 2
    if layer.op_type in DENSE and not layer.attributes.get("transB", 0):
        return w * factor
    if layer.op_type != "ConvTranspose" or factor.shape == (1,):
        return w * op.Unsqueeze(factor, op.ints(*range(1, space + 2)))
    group = layer.attributes.get("group", 1)
    apart = reshaped(w, group, -1, sizes_of(w, 1))
    return op.Reshape(apart * reshaped(factor, group, 1, -1, *[1] * space), shape_of(w))


def _rank(layer: Node) -> int | None:
    return None if layer.output.shape is None else len(layer.output.shape)
