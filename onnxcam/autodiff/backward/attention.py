"""Relevance through transformers: AttnLRP (Achtibat et al. 2024).

    softmax  y = softmax(x)         x·(R − y ΣR)                                Taylor at x, with its bias (prop. 3.1)
    product  z = A B                A·(s Bᵀ) and B·(Aᵀ s),  s = R ⊘ 2z          half to each factor (prop. 3.3)
    product  y = a·b                R/2 to each                                 (prop. 3.2)
    norm     y = γ(x − mean)/σ + β  x·Jᵀ(R ⊘ y), J with σ taken for a constant  (prop. 3.4)

GELU and SiLU pass relevance as it is, and linear layers have a rule of the usual ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from onnxcam.autodiff.backward.composites import relevance_table
from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.layers import is_linear_layer
from onnxcam.autodiff.backward.relevance import STABILIZER, LayerRule, divided, epsilon
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.extents import axis_of, rank_of, runtime_sizes_along
from onnxcam.autodiff.registry import RULES, Contributions, Rule, RuleFunction
from onnxcam.graph import Node, Value


def transformers(
    dense: LayerRule | None = None, convolution: LayerRule | None = None, *, stabilizer: float = STABILIZER
) -> BackwardTable:
    """AttnLRP, with these rules for linear layers, ε where none is given."""
    table = relevance_table(
        "lrp-attention",
        "LRP for transformers, AttnLRP: softmax, products of two and LayerNormalization have rules; epsilon else.",
        source="Achtibat et al. 2024",
        dense=dense or epsilon(stabilizer),
        convolution=convolution,
        stabilizer=stabilizer,
    )
    return table.with_rules(
        {
            "Softmax": Rule(_softmax),
            "LayerNormalization": Rule(_normalized(stabilizer)),
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
        """Half to each; all to one where the other is a constant."""
        if is_fixed(node.input(0)) or is_fixed(node.input(1)):
            return other.function(relevance, node)
        return [relevance * 0.5, relevance * 0.5]

    return rule


def _normalized(stabilizer: float) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Value:
        """x·(t − mean(t)), t = (R ⊘ y) γ/σ."""
        op, x = node.tape, node.x
        first = axis_of(x, node, default=-1)
        axes = range(first, rank_of(x, node))
        ones = op.Expand(op.number(1.0, x), runtime_sizes_along(x, axes))
        attributes = {"axis": first, "epsilon": node.attributes.get("epsilon", 1e-5)}
        _, _, inverse = op.emit("LayerNormalization", [x, ones], attributes, outputs=3)
        t = divided(relevance, node.output, stabilizer) * node.input(1) * cast_like(inverse, x)
        return x * (t - op.ReduceMean(t, op.ints(*axes), keepdims=1))

    return rule
