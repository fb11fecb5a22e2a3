"""How relevance passes the ops that are no linear layers.

- Activations pass it on as it is: each output has one input. So do quotients by a norm, taken for a constant.
- Sums, means and average pools share it by each input's part in the result: x·∂y/∂x ⊙ R/y.
- Maxima give it to the winner, what moves elements about (Reshape, Slice, Concat …) to where they came from: both
  are what the gradient does.
- Of a product with a gate (a sigmoid, say) the signal has all and the gate nothing (Arras et al. 2017).
- Constants that are added have a file of their own, shifting.py, and so have normalisations, norms.py.
- All else has no rule: there NoRelevanceRule is raised, for a gradient in the place of a relevance means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.norms import is_scale, normalizing_rules
from onnxcam.autodiff.backward.relevance import STABILIZER, divided
from onnxcam.autodiff.backward.selfgated import SELF_GATED
from onnxcam.autodiff.registry import RULES, Contributions, Rule, RuleFunction
from onnxcam.errors import NoGradientForm, NoRelevanceRule
from onnxcam.graph import Node, Value

# Of one input each, the first.
PASSED = (
    "Relu LeakyRelu PRelu Elu Selu Celu ThresholdedRelu Clip Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Mish "
    "Shrink LRN Neg Identity QuantizeLinear DequantizeLinear"
).split()
# Each element of the output is one of the input, or a constant.
MOVED = (
    "Reshape Flatten Transpose Squeeze Unsqueeze Slice Split Concat Pad Gather GatherElements GatherND Expand Tile "
    "DepthToSpace SpaceToDepth Where Cast Dropout MaxPool GlobalMaxPool ReduceMax ReduceMin Max Min"
).split()
SHARED = "GlobalAveragePool AveragePool ReduceMean ReduceSum Mean Sum".split()
GATES = frozenset(("Sigmoid", "HardSigmoid", "Softmax"))
# What may stand between a gate and the product: shapes, and factors that are constant.
AROUND_GATES = frozenset("Cast Expand Flatten Identity Reshape Squeeze Tile Transpose Unsqueeze".split())


def passing_rules(table: str, stabilizer: float = STABILIZER) -> dict[str, Rule]:
    """The rules of all ops but linear layers and what is added, in the table of that name."""
    share = sharing(stabilizer)
    moved = {op_type: RULES[op_type] for op_type in MOVED if op_type in RULES}
    return {
        **dict.fromkeys((*PASSED, SELF_GATED), Rule(passed)),
        **moved,
        **dict.fromkeys(SHARED, share),
        "Resize": Rule(_resized(share)),
        **normalizing_rules(stabilizer),
        **dict.fromkeys(("Mul", "Div"), Rule(_scaled(table))),
    }


def refusing(table: str) -> Rule:
    """The rule of ops that have none in the table of that name."""

    def refuse(_: Sequence[Value | None], node: Node) -> None:
        raise NoRelevanceRule(node.op_type, node.title, table=table, why="the literature gives none that conserves it")

    return Rule(refuse, takes_all=True)


def passed(relevance: Value, _: Node) -> Value:
    """As it is, to the first input."""
    return relevance


def sharing(stabilizer: float = STABILIZER) -> Rule:
    """By the part that each input has in the result of a linear op: x·∂y/∂x ⊙ R/y."""

    def rule(relevance: Value, node: Node) -> Contributions:
        found = RULES[node.op_type].function(divided(relevance, node.output, stabilizer), node)
        parts = cast("Sequence[Value | None]", found if isinstance(found, list | tuple) else (found,))
        pairs = zip(node.inputs, parts, strict=False)
        return [x * part if x is not None and part is not None else None for x, part in pairs]

    return Rule(rule)


def maximum_as_mean(relevance: Value, node: Node) -> Contributions:
    """By the part that each input has in the mean over the window, in place of all to the winner (Bach et al. 2015)."""
    if any(d != 1 for d in node.attributes.get("dilations", ())):
        raise NoGradientForm(node.op_type, node.title, "dilations as a mean")
    op_type = "GlobalAveragePool" if node.op_type == "GlobalMaxPool" else "AveragePool"
    attributes = {key: value for key, value in node.attributes.items() if key not in ("storage_order", "dilations")}
    (mean,) = node.tape.emit(op_type, [node.x], attributes)
    pool = node.tape.producers[mean.name]
    pool.wanted = frozenset((0,))
    return sharing().function(relevance, pool)


# For tables that shall treat max pooling so: table.with_rules({"MaxPool": MAXIMUM_AS_MEAN}).
MAXIMUM_AS_MEAN = Rule(maximum_as_mean)


def _resized(share: Rule) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Contributions:
        """To where elements were taken from, or by the parts they have in what was interpolated."""
        if node.attributes.get("mode", "nearest") == "nearest":
            return RULES["Resize"].function(relevance, node)
        return share.function(relevance, node)

    return rule


def _scaled(table: str) -> RuleFunction:
    def rule(relevance: Value, node: Node) -> Contributions:
        """All to the signal, none to a constant, what comes in from beside (another input), a norm or a gate."""
        takes_none = [is_fixed(x) or not node.wants(i) for i, x in enumerate(node.inputs) if x is not None]
        if not any(takes_none):
            takes_none = [is_scale(node, 0), is_scale(node, 1)]
        if not any(takes_none) and node.op_type == "Mul":
            takes_none = [_is_gate(node.input(0)), _is_gate(node.input(1))]
        if takes_none.count(True) != 1:
            why = "both of its operands depend on the image, and not one of them alone is a gate or a norm"
            raise NoRelevanceRule(node.op_type, node.title, table=table, why=why)
        return [None if gets_none else relevance for gets_none in takes_none]

    return rule


def _is_gate(value: Value) -> bool:
    """Whether the value says how much of another passes: a sigmoid or softmax, or x clipped at 0 and above."""
    node = value.producer
    while node is not None:
        if node.op_type in GATES or (node.op_type == "Clip" and len(node.inputs) == 3):
            return True
        if node.op_type not in AROUND_GATES and not (node.op_type in ("Mul", "Div") and is_fixed(node.input(1))):
            return False
        node = node.x.producer
    return False
