"""Guided backpropagation and DeconvNet: at each ReLU only what argues for the score goes on."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.selfgated import SELF_GATED, with_activations
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.autodiff.core import differentiate
from onnxcam.autodiff.gates import with_gates
from onnxcam.autodiff.quantization import along_axis, divide, is_lowest, is_nonnegative
from onnxcam.autodiff.registry import RULES, Contributions, Rule, RuleFunction
from onnxcam.graph import Node, Value

RELUS = "Relu LeakyRelu PRelu ThresholdedRelu Elu Selu Celu".split()
SMOOTH = ["HardSwish", "Mish", "Softplus"]


def gradient_table() -> BackwardTable:
    """The derivative."""
    return BackwardTable("gradient", "The derivative, as it is.", "", RULES, with_gates)


def guided_table() -> BackwardTable:
    """At ReLUs g becomes max(g, 0)·f′(x)."""
    return BackwardTable(
        "guided",
        "Guided backpropagation: at ReLUs only the positive part goes on; GELU, SiLU and so on as in the gradient.",
        "Springenberg et al. 2015",
        ChainMap({**_relus(_of_positive), SELF_GATED: Rule(_derivative)}, RULES),
        with_activations,
    )


def guided_smooth_table() -> BackwardTable:
    """Likewise at smooth activations."""
    rules = {**_relus(_of_positive), **_each(SMOOTH, _of_positive)}
    return BackwardTable(
        "guided-smooth",
        "Guided backpropagation with the same max(g, 0) at GELU, SiLU, Mish, HardSwish and Softplus.",
        "after Springenberg et al. 2015, who know ReLU only",
        ChainMap({**rules, SELF_GATED: Rule(lambda g, node: _derivative(positive(g), node))}, RULES),
        with_activations,
    )


def deconvnet_table() -> BackwardTable:
    """At ReLUs g becomes max(g, 0), whatever x."""
    return BackwardTable(
        "deconvnet",
        "DeconvNet: at ReLUs the positive part goes on, whatever the input was.",
        "Zeiler and Fergus 2014",
        ChainMap({**_relus(_unmasked), SELF_GATED: Rule(_derivative)}, RULES),
        with_activations,
    )


def is_relu(node: Node) -> bool:
    """Whether the tables have a way of their own through it, whatever the activation: a ReLU."""
    if node.op_type == "Clip":
        return _is_relu6(node)
    return node.op_type in RELUS or (node.op_type == "QuantizeLinear" and _cuts_at_zero(node))


def is_smooth_activation(node: Node) -> bool:
    """Whether it is one as GELU or SiLU, of which `guided-smooth` lets only the positive part go on."""
    return node.op_type in SMOOTH or node.op_type == SELF_GATED


def positive(g: Value) -> Value:
    """g where it is positive, else 0."""
    return g.tape.Max(g, 0.0)


def _relus(rule: RuleFunction) -> dict[str, Rule]:
    """The rule for all that is a ReLU."""
    return {
        **_each(RELUS, rule),
        "Clip": _where(_is_relu6, rule),
        "QuantizeLinear": _where(_cuts_at_zero, rule),
    }


def _each(op_types: list[str], rule: RuleFunction) -> dict[str, Rule]:
    return dict.fromkeys(op_types, Rule(rule))


def _where(is_relu: Callable[[Node], bool], rule: RuleFunction) -> Rule:
    """The rule where the node is a ReLU, its derivative elsewhere."""
    return Rule(lambda g, node: (rule if is_relu(node) else RULES[node.op_type].function)(g, node))


def _is_relu6(clip: Node) -> bool:
    return _begins_at_zero(clip) and not _is_hard_sigmoid(clip)


def _cuts_at_zero(quantizing: Node) -> bool:
    """Whether nought is the least that its integers can say, and its input is more: quantisers leave such ReLUs out."""
    return is_lowest(quantizing.optional(2)) and not is_nonnegative(quantizing.x)


def _begins_at_zero(clip: Node) -> bool:
    low = clip.optional(1)
    numbers = None if low is None else low.constant
    return numbers is not None and bool((numbers == 0.0).all())


def _is_hard_sigmoid(clip: Node) -> bool:
    """Whether a number was added before: relu6(x + 3)/6 is a gate."""
    node = clip.x.producer
    if node is None or node.op_type != "Add":
        return False
    return any(is_fixed(value) and set(value.shape or (1,)) <= {1} for value in (node.input(0), node.input(1)))


def _of_positive(g: Value, node: Node) -> Contributions:
    """f′(x)·max(g, 0)."""
    return RULES[node.op_type].function(positive(g), node)


def _unmasked(g: Value, node: Node) -> Contributions:
    """max(g, 0)."""
    is_scaled = node.op_type == "QuantizeLinear"
    return divide(positive(g), along_axis(node.input(1), node)) if is_scaled else positive(g)


def _derivative(g: Value, node: Node) -> Contributions:
    """f′(x)·g, of an activation in several nodes, by way of those."""
    return differentiate({node.output: g}, [node.x])[0]
