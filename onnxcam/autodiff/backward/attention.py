"""Relevance through transformers: AttnLRP (Achtibat et al. 2024).

    softmax  y = softmax(x)         x·(R − y ΣR)                                Taylor at x, with its bias (prop. 3.1)
    product  z = A B                A·(s Bᵀ) and B·(Aᵀ s),  s = R ⊘ 2z          half to each factor (prop. 3.3)
    product  y = a·b                R/2 to each                                 (prop. 3.2)

GELU and SiLU pass relevance as it is, linear layers have a rule of the usual ones, and normalisations that of norms.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from onnxcam.autodiff.backward.composites import relevance_table
from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.layers import is_linear_layer
from onnxcam.autodiff.backward.norms import is_scale
from onnxcam.autodiff.backward.relevance import STABILIZER, LayerRule, divided, epsilon
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.autodiff.registry import RULES, Contributions, Rule, RuleFunction
from onnxcam.graph import Node, Value


def transformers(
    dense: LayerRule | None = None, convolution: LayerRule | None = None, *, stabilizer: float = STABILIZER
) -> BackwardTable:
    """AttnLRP, with these rules for linear layers, ε where none is given."""
    table = relevance_table(
        "lrp-attention",
        "LRP for transformers, AttnLRP: softmax and products of two have rules; epsilon else.",
        source="Achtibat et al. 2024",
        dense=dense or epsilon(stabilizer),
        convolution=convolution,
        stabilizer=stabilizer,
    )
    return table.with_rules(
        {
            "Softmax": Rule(_softmax),
            "MatMul": Rule(_matrix_product(table["MatMul"], stabilizer)),
            "Mul": Rule(_product(table["Mul"])),
        }
    )


def _softmax(relevance: Value, node: Node) -> Value:
    """x·(R − y ΣR); 0 where x is −∞, masked."""
    op, x, y = node.tape, node.x, node.output
    total = op.ReduceSum(relevance, op.ints(node.attributes.get("axis", -1)), keepdims=1)
    return op.Where(y > 0.0, x * (relevance - y * total), 0.0)


def _matrix_product(linear: Rule, stabilizer: float) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Contributions:
        """Half to each factor, shared there by the parts in z; a constant factor makes it a linear layer."""
        if is_linear_layer(node):
            return linear.function(relevance, node)
        s = divided(relevance, node.output * 2.0, stabilizer)
        shares = cast("Sequence[Value | None]", RULES["MatMul"].function(s, node))
        return [None if share is None else node.input(index) * share for index, share in enumerate(shares)]

    return rule


def _product(other: Rule) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Contributions:
        """Half to each; all to one where the other is a constant or a norm."""
        if any(is_fixed(node.input(place)) or is_scale(node, place) for place in (0, 1)):
            return other.function(relevance, node)
        return [relevance * 0.5, relevance * 0.5]

    return rule
