"""FullGrad: the share of the input in the score, and the shares of all biases, each where it lies.

Of a net of linear and piecewise linear ops the score is exactly Σ x·∂s/∂x + Σ b·∂s/∂b. A layer's bias stands at each of
its places: b·g, g the gradient at its output. A bent activation f has one too, that of its tangent: f(x) − f′(x)·x.

Exporters fold BatchNormalization into the convolution before it. Of what it adds, β − μγ/σ, and the convolution's own
bias b, scaled by γ/σ, one sum is then left: nothing changes where b is 0, as it is before most normalisations.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Literal, TypeAlias, cast

from onnxcam.autodiff import RULES, Rule, differentiate
from onnxcam.autodiff.backward import BackwardTable
from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.selfgated import SELF_GATED, with_activations
from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.registry import FLAT
from onnxcam.conventions import picture_size
from onnxcam.enlarging import resize
from onnxcam.graph import Node, Value, between
from onnxcam.layouts import Form, form_of
from onnxcam.methods.finding import of_picture
from onnxcam.methods.table import method_of_question
from onnxcam.places import channels_first
from onnxcam.question import Question

SRINIVAS = "Srinivas and Fleuret 2019, arXiv:1905.00780"
Rescale = Literal["layer", "channel", "none"]
# From a node to what it adds to a linear map of its first input, so that it stretches to the output; None: nothing.
Bias: TypeAlias = Callable[[Node], Value | None]
# Activations that are not straight on both sides of 0.
BENT = "Celu Clip Elu HardSigmoid HardSwish Mish Selu Shrink Sigmoid Softplus Softsign Tanh".split()


@method_of_question("fullgrad", source=SRINIVAS, find=of_picture)
def fullgrad(question: Question, *, rescale: Rescale = "layer") -> list[Value]:
    """Where the input and all biases move the score, each |share| in [0, 1] over its layer, summed over all layers.

    `rescale`: over each layer as in the authors' code, over each channel, or not at all.
    """
    return [_summed(question, BIASES, rescale)]


@method_of_question("fullgrad", source=SRINIVAS, find=of_picture, like="pytorch-grad-cam")
def fullgrad_of_convolutions(question: Question) -> list[Value]:
    """Where the input and the biases of convolutions and batch normalisations move the score, channel by channel."""
    known = {op_type: BIASES[op_type] for op_type in ("Conv", "BatchNormalization")}
    return [_summed(question, known, "channel")]


def full_gradient(
    question: Question, biases: Mapping[str, Bias], *, is_wanted: Callable[[Value], bool] = lambda _: True
) -> list[tuple[Value, Value]]:
    """The shares in the score, of the input and then of each bias, each with the tensor of the model where it lies.

    Args:
        question: of which the layer is the picture.
        biases: of which ops, and how to find them.
        is_wanted: of which tensors, by default of all.
    """
    (x,) = question.once
    places, added = [x], [question.rows_of(x)]
    for node in _visible(question):
        is_biased = node.op_type in biases and is_wanted(node.output)
        bias = biases[node.op_type](_for_rows(question, node)) if is_biased else None
        if bias is not None:
            places.append(node.output)
            added.append(bias)
    gradients = question.differentiate(None, [question.rows_of(place) for place in places], TABLE)
    shares = [cast_like(bias, g) * g for bias, g in zip(added, gradients, strict=True)]
    return list(zip(shares, places, strict=True))


def _visible(question: Question) -> list[Node]:
    """The nodes between picture and score that the gradient passes, activations that are spelled out as one."""
    (x,), end = question.once, question.scores.values
    needed, nodes = {end}, []
    for node in reversed(between(question.tape, {x}, end)):
        if node.op_type not in FLAT and not needed.isdisjoint(node.outputs):
            needed |= node.reads
            nodes.append(node)
    return list(with_activations(nodes[::-1], {x, end}))


def _for_rows(question: Question, node: Node) -> Node:
    """The same node in what runs again for each row."""
    inputs = [None if value is None else question.rows_of(value) for value in node.inputs]
    outputs = [question.rows_of(value) for value in node.outputs]
    return node.tape.imagine(node.op_type, inputs, outputs, node.attributes)


def _summed(question: Question, biases: Mapping[str, Bias], rescale: Rescale) -> Value:
    """The map (M, H, W) of all shares that lie on a grid; those of one grid are added before they are enlarged."""
    (picture,), (x,) = question.layers, question.once
    forms = {x: Form(picture.layout, picture.grid)}
    for value, axes in question.followed.axes.items():
        form = form_of(value, axes)
        if form is not None and len(form.grid) == len(picture.grid) and not _is_beside(value, form):
            forms.setdefault(value, form)
    by_grid: dict[object, list[Value]] = {}
    for share, place in full_gradient(question, biases, is_wanted=forms.__contains__):
        form = forms[place]
        on_grid = channels_first(share, form.layout, grid=form.grid, prefix=form.prefix, order=form.order)
        by_grid.setdefault(form.grid, []).append(_rescaled(on_grid, rescale))
    size = picture_size(question.picture)
    return _total([resize(_total(maps), size) for maps in by_grid.values()])


def _is_beside(place: Value, form: Form) -> bool:
    """Whether the tensor only serves a statistic: a variance with one channel, and the ε that is added to it."""
    node, channels = place.producer, (place.shape or ())[form.layout.index("C")]
    return channels == 1 and node is not None and node.op_type in ("Add", "Sub")


def _rescaled(share: Value, rescale: Rescale) -> Value:
    """(M, C, …) → (M, …): the sum over channels of absolute values, all in [0, 1] or each channel by itself."""
    op, size = share.tape, share.tape.Abs(share)
    rank = len(share.shape or (None,) * 4)
    total = op.ReduceSum(size, op.ints(1), keepdims=0)
    if rescale == "none":
        return total
    if rescale == "channel":
        axes = op.ints(*range(2, rank))
        above = size - op.ReduceMin(size, axes, keepdims=1)
        return op.ReduceSum(above / (op.ReduceMax(above, axes, keepdims=1) + 1e-7), op.ints(1), keepdims=0)
    axes = op.ints(*range(1, rank))
    low, high = (op.Squeeze(f(size, axes, keepdims=1), op.ints(1)) for f in (op.ReduceMin, op.ReduceMax))
    known = (share.shape or (None, None))[1]
    count = float(known) if isinstance(known, int) else op.Cast(op.Shape(size, start=1, end=2), to=1)
    return (total - low * count) / (high - low + 1e-6)


def _total(values: Sequence[Value]) -> Value:
    return reduce(Value.__add__, values)


# What ops add.


def _of_convolution(node: Node) -> Value | None:
    """Its bias, one number for each channel."""
    bias, op = node.optional(2), node.tape
    if bias is None or not is_fixed(bias):
        return None
    return op.Unsqueeze(bias, op.ints(*range(1, len(node.output.shape or (None,) * 4) - 1)))


def _of_batch_normalization(node: Node) -> Value | None:
    """β − μγ/σ."""
    op = node.tape
    scale, bias, mean, variance = (node.input(index) for index in (1, 2, 3, 4))
    deviation = op.Sqrt(variance + node.attributes.get("epsilon", 1e-5))
    added = bias - cast_like(mean / deviation, scale) * scale
    return op.Unsqueeze(added, op.ints(*range(1, len(node.output.shape or (None,) * 4) - 1)))


def _of_product(node: Node) -> Value | None:
    """The bias of a Gemm."""
    bias, beta = node.optional(2), float(node.attributes.get("beta", 1.0))
    if bias is None or not is_fixed(bias):
        return None
    return bias if beta == 1.0 else bias * beta


def _of_layer_normalization(node: Node) -> Value | None:
    """β."""
    return node.optional(2)


def _of_sum(node: Node) -> Value | None:
    """The summand that no picture changes: a bias, the place of a token."""
    first, second = node.input(0), node.input(1)
    if is_fixed(second):
        return -second if node.op_type == "Sub" else second
    return first if is_fixed(first) else None


def _of_activation(node: Node) -> Value | None:
    """f(x) − f′(x)·x."""
    op, x, y = node.tape, node.x, node.output
    ones = op.Expand(op.number(1.0, y), op.Shape(y))
    found = TABLE[node.op_type].function(ones, node)
    slope = found if isinstance(found, Value) else cast("Sequence[Value]", found)[0]
    return y - slope * x


def _derivative(g: Value, node: Node) -> Value | None:
    """g·f′(x) of an activation in several nodes, by way of those."""
    return differentiate({node.output: g}, [node.x])[0]


TABLE = BackwardTable(
    "fullgrad",
    "The derivative, of activations in several nodes as of one.",
    SRINIVAS,
    ChainMap({SELF_GATED: Rule(_derivative)}, RULES),
    with_activations,
)
BIASES: dict[str, Bias] = {
    "Conv": _of_convolution,
    "ConvTranspose": _of_convolution,
    "BatchNormalization": _of_batch_normalization,
    "InstanceNormalization": _of_convolution,
    "LayerNormalization": _of_layer_normalization,
    "Gemm": _of_product,
    "Add": _of_sum,
    "Sub": _of_sum,
    **dict.fromkeys((SELF_GATED, *BENT), _of_activation),
}
