"""DeepLIFT's rescale rule: in place of a derivative, by how much y and x differ from what they are on a baseline.

    y = f(x), element by element   Δy/Δx, the derivative where Δx is next to nothing
    y = a·b, A·B                   mean(b) to a and mean(a) to b: Δ(ab) = mean(b) Δa + mean(a) Δb
    y = a/b                        mean(1/b) to a and −mean(a)/(b b̄) to b
    y = a where c, else b          as usual; where c is another on the baseline, Δy/Δa to the one that changed most as y
    y = max x                      what y has gained to the largest of x, what it has lost to that of the baseline
    y = softmax(x)                 w (g − Σ w g/Σ w), w = Δy/Δ ln y, the logarithmic mean of y and ȳ

Each of them leaves Σ multiplier · Δx = g · Δy, so that the attribution of the input adds up to what the score has
changed. Linear ops have their derivative, normalisations go by the ops that they stand for.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from onnxcam.autodiff.backward.reference import Reference
from onnxcam.autodiff.backward.rescale_equivalents import EQUIVALENTS
from onnxcam.autodiff.backward.rescale_softmax import log_softmax, near, softmax
from onnxcam.autodiff.backward.selfgated import SELF_GATED, with_activations
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.autodiff.casting import as_float
from onnxcam.autodiff.core import differentiate, through_equivalent
from onnxcam.autodiff.quantization import along_axis
from onnxcam.autodiff.registry import RULES, Contributions, Rule, RuleFunction
from onnxcam.graph import Node, Value

# From x to the least Δx that counts.
Least: TypeAlias = Callable[[Value], Value | float]
SOURCE = "Shrikumar et al. 2017"
# Where y changes its slope at once the quotient counts however near both are. Rounding does it no harm.
BENT = "Abs Celu Clip Elu HardSigmoid HardSwish LeakyRelu PRelu Relu Selu".split()
SMOOTH = (
    "Acos Acosh Asin Asinh Atan Atanh Cos Cosh Erf Exp Mish Mod Shrink Sigmoid Sin Sinh Softplus Softsign Tan Tanh "
    "ThresholdedRelu"
).split()
# What counts as next to nothing is a share of x.
SCALING = ["Log"]
# Of two factors, or of one by itself; the derivative half way is then exact.
BILINEAR = "Conv ConvTranspose Einsum Gemm MatMul Mul ReduceSumSquare".split()
QUANTIZED_STEPS = 4.0
MAXIMA, MINIMA = "GlobalMaxPool MaxPool ReduceMax".split(), ["ReduceMin"]


def rescale_table(reference: Reference) -> BackwardTable:
    """Multipliers that add up: of each op's inputs to what its output has changed since the baseline."""
    rules = {
        **each(BENT, quotient(reference, lambda _: 0.0)),
        **each([*SMOOTH, SELF_GATED], quotient(reference, near)),
        **each(SCALING, quotient(reference, lambda x: x.tape.Abs(x) * near(x))),
        **each(BILINEAR, _half_way(reference)),
        **each(MAXIMA, routed(reference, gained=True)),
        **each(MINIMA, routed(reference, gained=False)),
        "Div": Rule(_division(reference)),
        "Pow": Rule(_power(reference)),
        "Reciprocal": Rule(lambda g, node: -(g * (node.output * reference.of(node.output)))),
        "QuantizeLinear": Rule(_quantizing(reference)),
        "Sqrt": Rule(_root(reference)),
        "Where": Rule(_choice(reference)),
        "Softmax": Rule(softmax(reference)),
        "LogSoftmax": Rule(log_softmax(reference)),
        **{op_type: _by_way_of(equivalent, RULES[op_type]) for op_type, equivalent in EQUIVALENTS.items()},
    }
    return BackwardTable("rescale", "DeepLIFT's rescale rule.", SOURCE, ChainMap(rules, RULES), with_activations)


def each(op_types: Iterable[str], rule: RuleFunction) -> dict[str, Rule]:
    return dict.fromkeys(op_types, Rule(rule))


def derivative(g: Value, node: Node) -> Value:
    """f′(x)·g with respect to the input that varies, of an activation in several nodes by way of those."""
    if node.op_type == SELF_GATED:
        return present(differentiate({node.output: g}, [node.x])[0], node)
    found = RULES[node.op_type].function(g, node)
    return present(found[min(node.wanted)] if isinstance(found, Sequence) else found, node)


def present(found: Contributions, node: Node) -> Value:
    if not isinstance(found, Value):
        raise TypeError(f"the rule of {node.op_type} gave no gradient of an input that varies")
    return found


def quotient(reference: Reference, least: Least) -> RuleFunction:
    """g·Δy/Δx where |Δx| is more than `least` says."""

    def rule(g: Value, node: Node) -> Contributions:
        """Of one input that varies; the derivative where there are several."""
        if len(node.wanted) > 1:
            return RULES[node.op_type].function(g, node)
        place = min(node.wanted)
        x = as_float(node.input(place))
        found = rescaled(g * reference.change(node.output), reference.change(x), derivative(g, node), least(x))
        return [None] * place + [found]

    return rule


def rescaled(change: Value, dx: Value, otherwise: Value, least: Value | float) -> Value:
    """change/Δx, where |Δx| is more than the least; else the other."""
    op = dx.tape
    is_far = op.Abs(dx) > least
    return op.Where(is_far, change / op.Where(is_far, dx, 1.0), otherwise)


def _quantizing(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Contributions:
        """By the quotient beyond some steps, for what saturation cuts off; else rounding counts as the identity."""
        step = along_axis(node.input(1), node)
        return quotient(reference, lambda _: step * QUANTIZED_STEPS)(g, node)

    return rule


def _half_way(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Contributions:
        """The derivative half way between both: of a form of the second degree that is exact."""
        inputs = [None if x is None else reference.mean(x) for x in node.inputs]
        between = node.tape.imagine(node.op_type, inputs, node.outputs, node.attributes)
        between.wanted, between.wanted_values, between.rules = node.wanted, node.wanted_values, node.rules
        return RULES[node.op_type].function(g, between)

    return rule


def _division(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Contributions:
        """Δ(a/b) = ((b + b̄) Δa − (b ȳ + b̄ y) Δb) / (b² + b̄²), y = a/b.

        That is Δa/b − ȳ Δb/b and Δa/b̄ − y Δb/b̄, the larger divisor counting more: a norm that is 0 on the baseline, as
        of a black picture without biases, blows nothing up.
        """
        b, y = node.input(1), node.output
        other, before = reference.of(b), reference.of(y)
        if other == b:
            return [g / b, None]
        share = g / (b * b + other * other)
        return [share * (b + other), -(share * (b * before + other * y))]

    return rule


def _power(reference: Reference) -> RuleFunction:
    half_way, other = _half_way(reference), quotient(reference, lambda x: x.tape.Abs(x) * near(x))

    def rule(g: Value, node: Node) -> Contributions:
        """Squares as products are."""
        exponent = None if len(node.wanted) > 1 else node.input(1).constant
        is_square = exponent is not None and exponent.size == 1 and float(exponent.item()) == 2.0
        return (half_way if is_square else other)(g, node)

    return rule


def _root(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Value:
        """Δ√x = Δx/(√x + √x̄)."""
        total = node.output + reference.of(node.output)
        return g / node.tape.Where(total > 0.0, total, 1.0)

    return rule


def routed(reference: Reference, *, gained: bool, least: float = 0.0) -> RuleFunction:
    """The rule of maxima (`gained`) and minima.

    What a maximum has gained is due to its largest element, which has gained no less; what it has lost to what was the
    largest on the baseline, which has lost no less. So no multiplier is more than g.
    """

    def rule(g: Value, node: Node) -> Value:
        op, function = node.tape, RULES[node.op_type].function
        before = reference.of(node.output).producer or node
        before.wanted, before.rules = node.wanted, node.rules
        dy = reference.change(node.output)
        up, down = g * op.Max(dy, 0.0), g * op.Min(dy, 0.0)
        here, there = (up, down) if gained else (down, up)
        change = present(function(here, node), node) + present(function(there, before), node)
        return rescaled(change, reference.change(node.x), derivative(g, node), least)

    return rule


def _choice(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Contributions:
        """To the side that is taken; where that is another on the baseline, to the one that has changed most as y."""
        op, condition = node.tape, node.input(0)
        plain = RULES["Where"].function(g, node)
        before = reference.of(condition)
        if before == condition or not isinstance(plain, Sequence):
            return plain
        differs, dy = op.Xor(condition, before), reference.change(node.output)
        changes = [reference.change(node.input(place)) for place in (1, 2)]
        second = op.Abs(changes[0] - dy) > op.Abs(changes[1] - dy)
        found: list[Value | None] = [None]
        for place, change, is_nearer in zip((1, 2), changes, (op.Not(second), second), strict=True):
            moved = rescaled(g * dy, change, g * 0.0, 0.0)
            moved = op.Where(is_nearer, moved, 0.0) if len(node.wanted) > 1 else moved
            found.append(op.Where(differs, moved, present(plain[place], node)) if node.wants(place) else None)
        return found

    return rule


def _by_way_of(equivalent: Callable[[Node], Value], otherwise: Rule) -> Rule:
    """The rule of what the op can be written in; the derivative where more than its first output is used."""

    def rule(gathered: Sequence[Value | None], node: Node) -> Contributions:
        if any(gathered[1:]) or not node.wanted_values:
            return otherwise.function(tuple(gathered) if otherwise.takes_all else gathered[0], node)
        return through_equivalent([equivalent(node)], gathered[:1], node)

    return Rule(rule, takes_all=True)
