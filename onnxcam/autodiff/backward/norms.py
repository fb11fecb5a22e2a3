"""How relevance passes normalisations by the image's own statistics: they are linear once the divisor is a constant.

So AttnLRP has it (Achtibat et al. 2024, proposition 3.4): what remains is centring, scale and shift, shared by
each input's part in the result, and a division, which passes relevance as it is. Exporters also write them out in
several nodes; the divisor is then recognised by what it is computed from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.relevance import STABILIZER, divided
from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.extents import axis_of, rank_of, runtime_sizes_along
from onnxcam.autodiff.normalization import per_channel, standardized
from onnxcam.autodiff.registry import Rule, RuleFunction
from onnxcam.graph import Node, Value

NORMS = frozenset(("ReduceL1", "ReduceL2", "ReduceSumSquare"))
REDUCTIONS = frozenset(("ReduceMean", "ReduceSum", "ReduceMax", *NORMS))
RESHAPING = frozenset("Cast Expand Identity Reshape Squeeze Tile Transpose Unsqueeze".split())
ELEMENTWISE = frozenset("Add Clip Div Max Min Mul Neg Pow Reciprocal Sqrt Sub Sum".split())


def normalizing_rules(stabilizer: float = STABILIZER) -> dict[str, Rule]:
    """The rules of normalisations by the image's own statistics."""
    return {
        "LayerNormalization": Rule(_layer_normalized(stabilizer)),
        "InstanceNormalization": Rule(_instance_normalized(stabilizer)),
        "MeanVarianceNormalization": Rule(_standardized(stabilizer)),
        "LpNormalization": Rule(lambda relevance, _: relevance),
    }


def is_norm(value: Value) -> bool:
    """Whether the value measures how large others are: a norm, a deviation, or something made of such alone."""
    node = value.producer
    if node is None:
        return False
    if node.op_type in NORMS:
        return True
    if node.op_type in REDUCTIONS:
        return _is_size(node.x) or is_norm(node.x)
    if node.op_type in RESHAPING:
        return is_norm(node.x)
    if node.op_type not in ELEMENTWISE:
        return False
    if _is_size(value) and node.x.producer is not None and node.x.producer.op_type in REDUCTIONS:
        return True  # μ², in the mean square less it
    varying = [x for x in node.inputs if x is not None and not is_fixed(x)]
    return bool(varying) and all(map(is_norm, varying))


def is_scale(node: Node, place: int) -> bool:
    """Whether that operand of a Mul or Div brings the other to a common scale: a norm, or the sum of its elements."""
    if node.op_type == "Div" and place == 0:
        return False
    return is_norm(node.input(place)) or (node.op_type == "Div" and _is_total(node.input(1), node.input(0)))


def _is_total(value: Value, data: Value) -> bool:
    """Whether the value is a sum of elements of `data`, kept above 0 perhaps."""
    node = value.producer
    while node is not None and (node.op_type in RESHAPING or _is_bounding(node)):
        node = node.x.producer
    return node is not None and node.op_type == "ReduceSum" and node.x == data


def _is_bounding(node: Node) -> bool:
    return node.op_type in ("Add", "Clip", "Max") and all(x is None or is_fixed(x) for x in node.inputs[1:])


def _is_size(value: Value) -> bool:
    """Whether the value is the square or the absolute value of another, element by element."""
    node = value.producer
    if node is None or node.op_type == "Abs":
        return node is not None
    if node.op_type == "Pow":
        exponent = node.input(1).constant
        return exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2.0
    return node.op_type == "Mul" and node.input(0) == node.input(1)


def _layer_normalized(stabilizer: float) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Value:
        """x·(t − mean(t)), t = (R ⊘ y) γ/σ."""
        op, x = node.tape, node.x
        first = axis_of(x, node, default=-1)
        axes = range(first, rank_of(x, node))
        epsilon = node.attributes.get("epsilon", 1e-5)
        if x.dtype == np.float64:  # 1/σ would come out in float32
            _, inverse = standardized(x, axes, epsilon=epsilon)
        else:
            ones = op.Expand(op.number(1.0, x), runtime_sizes_along(x, axes))
            attributes = {"axis": first, "epsilon": epsilon}
            _, _, inverse = op.emit("LayerNormalization", [x, ones], attributes, outputs=3)
        t = divided(relevance, node.output, stabilizer) * node.input(1) * cast_like(inverse, x)
        return _uncentred(x, t, axes)

    return rule


def _instance_normalized(stabilizer: float) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Value:
        """Likewise over each channel's places."""
        x, rank = node.x, rank_of(node.x, node)
        axes = range(2, rank)
        _, inverse = standardized(x, axes, epsilon=node.attributes.get("epsilon", 1e-5))
        gain = per_channel(node.input(1), rank) * inverse
        return _uncentred(x, divided(relevance, node.output, stabilizer) * gain, axes)

    return rule


def _standardized(stabilizer: float) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Value:
        """Likewise over the axes named, by default all but the channels."""
        x, axes = node.x, node.attributes.get("axes", [0, 2, 3])
        _, inverse = standardized(x, axes, epsilon=1e-18)  # 10⁻⁹ is added to σ
        return _uncentred(x, divided(relevance, node.output, stabilizer) * inverse, axes)

    return rule


def _uncentred(x: Value, t: Value, axes: Sequence[int]) -> Value:
    """x·(t − mean(t)): to each its part in what was centred, t what each centred number gave."""
    return x * (t - t.tape.ReduceMean(t, t.tape.ints(*axes), keepdims=1))
