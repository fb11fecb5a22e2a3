"""The rescale rule as Captum's modules have it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence

from onnxcam.autodiff.backward.reference import Reference
from onnxcam.autodiff.backward.rescale import SOURCE, derivative, each, present, quotient, routed
from onnxcam.autodiff.backward.selfgated import SELF_GATED, with_activations
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.autodiff.registry import RULES, Contributions, Rule, RuleFunction
from onnxcam.graph import Node, Value

LEAST_OF_CAPTUM = 1e-10
OF_CAPTUM = "Elu LeakyRelu Relu Sigmoid Softplus Tanh".split()


def rescale_table_of_captum(reference: Reference) -> BackwardTable:
    """As Captum has it: of activations that are modules of six kinds, of MaxPool, and of a Softmax at the end."""
    rules = {
        **each(OF_CAPTUM, _hooked(quotient(reference, lambda _: LEAST_OF_CAPTUM))),
        "MaxPool": Rule(_hooked(routed(reference, gained=True, least=LEAST_OF_CAPTUM))),
        "Softmax": Rule(_softmax_of_captum(reference)),
        SELF_GATED: Rule(derivative),
    }
    return BackwardTable("rescale-captum", "DeepLIFT as in Captum.", SOURCE, ChainMap(rules, RULES), with_activations)


def _hooked(rule: RuleFunction) -> RuleFunction:
    """The rule where Captum's hooks come to it.

    Of two such modules one after the other, as ReLU and MaxPool, the hook of the first sees the gradient as it was
    before that of the second changed it: the second has its derivative.
    """

    def seen(g: Value, node: Node) -> Contributions:
        before = node.x.producer
        return (derivative if before is not None and _is_hooked(before) else rule)(g, node)

    return seen


def _is_hooked(node: Node) -> bool:
    """Whether it is such a module, a Softplus with PyTorch's way out for large numbers among them."""
    if node.op_type == "Where":
        return any(
            value is not None and value.producer is not None and value.producer.op_type == "Softplus"
            for value in node.inputs
        )
    return node.op_type in (*OF_CAPTUM, "MaxPool")


def _softmax_of_captum(reference: Reference) -> RuleFunction:
    plain = quotient(reference, lambda _: LEAST_OF_CAPTUM)

    def rule(g: Value, node: Node) -> Contributions:
        """Of the one that gives the scores: g·Δy/Δx, less its mean; of others, functions there, the derivative."""
        if node.output != reference.end:
            return RULES["Softmax"].function(g, node)
        found = plain(g, node)
        m = present(found[0] if isinstance(found, Sequence) else found, node)
        axis = node.attributes.get("axis", -1)
        return m - node.tape.ReduceMean(m, node.tape.ints(axis), keepdims=1)

    return rule
