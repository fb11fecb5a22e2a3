"""Activations, alone or behind another op."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.registry import equals, total

# Each with the attributes that its parameters are, in this order.
PARAMETERS = {
    "Celu": ("alpha",),
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}


def activate(draft: Draft, y: str, name: str, numbers: Sequence[float], *, like: str) -> str:
    """The activation of that name of y, which is of the type of `like`; y itself without one."""
    if not name:
        return y
    if name == "Clip":
        return draft("Clip", [y, *(draft.number(number, like) for number in numbers[:2])])
    if name not in PARAMETERS:
        raise refuse(draft.node, draft.scope, f"its activation {name!r} is not known")
    given: dict[str, Any] = dict(zip(PARAMETERS[name], numbers, strict=False))
    return draft(name, [y], **given)


def renamed(draft: Draft, y: str) -> list[NodeProto]:
    """The nodes, the last of which gives y, with y under the name of the node's output."""
    for index, name in enumerate(draft.nodes[-1].output):
        if name == y:
            draft.nodes[-1].output[index] = draft.node.output[0]
            return draft.nodes
    return draft.ends("Identity", [y])


def gelu_of(draft: Draft, x: str, *, like: str) -> str:
    """x·Φ(x), in the form that ONNX Runtime joins."""
    error = draft("Erf", [draft("Div", [x, draft.number(math.sqrt(2), like)])])
    gate = draft("Mul", [x, draft("Add", [error, draft.number(1.0, like)])])
    return draft("Mul", [gate, draft.number(0.5, like)])


def fast_gelu_of(draft: Draft, x: str, *, like: str) -> str:
    """x/2 · (1 + tanh(√(2/π)·(x + 0.044715 x³))), in the form that ONNX Runtime joins."""
    # Cubes leave float16's range from 41 on, and infinity times a slope of zero is no number. Beyond ±10 tanh is ±1.
    narrow = draft.scope.element_type(like) == TensorProto.FLOAT16
    v = draft("Clip", [x, draft.number(-10.0, like), draft.number(10.0, like)]) if narrow else x
    cube = draft("Mul", [draft.number(0.044715, like), draft("Pow", [v, draft.number(3.0, like)])])
    slope = draft("Mul", [draft.number(math.sqrt(2 / math.pi), like), draft("Add", [v, cube])])
    gate = draft("Add", [draft("Tanh", [slope]), draft.number(1.0, like)])
    return draft("Mul", [draft("Mul", [x, draft.number(0.5, like)]), gate])


@equals("Gelu", inputs=1)
def gelu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """x·Φ(x)."""
    return renamed(draft, gelu_of(draft, node.input[0], like=node.input[0]))


@equals("BiasGelu", inputs=2)
def bias_gelu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Gelu of x + b."""
    return renamed(draft, gelu_of(draft, total(draft, *node.input), like=node.input[0]))


@equals("FastGelu", inputs=2)
def fast_gelu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The Gelu by tanh, of x or of x + b."""
    return renamed(draft, fast_gelu_of(draft, total(draft, *node.input), like=node.input[0]))


@equals("QuickGelu", inputs=1)
def quick_gelu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """x·σ(αx)."""
    x, alpha = node.input[0], take(node, "alpha", 1.702)
    scaled = x if alpha == 1.0 else draft("Mul", [x, draft.number(alpha, x)])
    return draft.ends("Mul", [x, draft("Sigmoid", [scaled])])


@equals("BiasSplitGelu", inputs=2)
def bias_split_gelu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The first half of x + b times the Gelu of the second."""
    half = draft.scope.names.fresh(f"{draft.stem}/half")
    gate = draft("Split", [total(draft, *node.input)], axis=-1, num_outputs=2)
    draft.nodes[-1].output.insert(0, half)
    return draft.ends("Mul", [half, gelu_of(draft, gate, like=node.input[0])])


@equals("ScaledSiLU", inputs=2)
def scaled_silu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """z·σ(z) of z = αx, or of x by the factor that is the second input."""
    x, alpha = node.input[0], take(node, "alpha", 1.0)
    factor = draft("CastLike", [node.input[1], x]) if source(node, 1) else draft.number(alpha, x)
    scaled = draft("Mul", [x, factor])
    return draft.ends("Mul", [scaled, draft("Sigmoid", [scaled])])


@equals("Affine", inputs=1)
def affine(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """αx + β."""
    x = node.input[0]
    scaled = draft("Mul", [x, draft.number(take(node, "alpha", 1.0), x)])
    return draft.ends("Add", [scaled, draft.number(take(node, "beta", 0.0), x)])


@equals("Scale", inputs=1)
def scale(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """A number times x."""
    return draft.ends("Mul", [node.input[0], draft.number(take(node, "scale", 1.0), node.input[0])])


@equals("ScaledTanh", inputs=1)
def scaled_tanh(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """α·tanh(βx)."""
    x = node.input[0]
    tanh = draft("Tanh", [draft("Mul", [x, draft.number(_given(draft, node, "beta"), x)])])
    return draft.ends("Mul", [tanh, draft.number(_given(draft, node, "alpha"), x)])


@equals("ParametricSoftplus", inputs=1)
def parametric_softplus(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """α·ln(e^(βx) + 1)."""
    x = node.input[0]
    softplus = draft("Softplus", [draft("Mul", [x, draft.number(_given(draft, node, "beta"), x)])])
    return draft.ends("Mul", [softplus, draft.number(_given(draft, node, "alpha"), x)])


def _given(draft: Draft, node: NodeProto, name: str) -> float:
    value = take(node, name)
    if value is None:
        raise refuse(draft.node, draft.scope, f"it lacks its attribute {name!r}, for which there is no default")
    return float(value)
