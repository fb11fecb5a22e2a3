"""Reverse-mode differentiation of an ONNX graph, in ONNX operators.

A rule says, for one op, what the cotangent of its output means for its inputs; it writes arithmetic, and the tape
turns that into nodes. The walk does the chores: it visits only nodes that lie between what is differentiated and
what it is differentiated by, adds up where paths meet, sums stretched axes back, and leaves out what has no
gradient (which is absent, not zero).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from onnxcam.autodiff.broadcasting import sum_to_shape
from onnxcam.autodiff.gates import with_gates
from onnxcam.autodiff.registry import FLAT, GATES, RULES, Rule, Table, register
from onnxcam.errors import NoGradientForm, NoGradientRule
from onnxcam.graph import Node, Value

EquivalentFunction: TypeAlias = Callable[[Node], Sequence[Value | None]]
# Ops whose inputs are stretched to one another's shape; for all others a contribution has its input's shape.
BROADCASTING = frozenset(
    "Add Sub Mul Div Pow Max Min Sum Mean Mod PRelu Where Expand MatMul Gemm Clip LayerNormalization".split()
)
FLOATING = frozenset(("float16", "bfloat16", "float32", "float64"))
# Quantised tensors carry gradients as if they were real numbers (straight-through).
QUANTIZED = frozenset(("uint8", "int8"))
# Ops that add up products of quantised numbers: their int32 outputs stand for real numbers too.
ACCUMULATING = frozenset(("ConvInteger", "MatMulInteger"))


def vjp_by_equivalent(*op_types: str) -> Callable[[EquivalentFunction], EquivalentFunction]:
    """A decorator: the function writes what these ops do in other ops, and gives the node's outputs from them.

    The walk then goes through those. What they compute again of the forward pass is paid for, so this is for ops that
    are rare, or whose gradient needs their inner states anyway.
    """

    def registered(function: EquivalentFunction) -> EquivalentFunction:
        def rule(gathered: Sequence[Value | None], node: Node) -> Mapping[Value, Value]:
            return through_equivalent(function(node), gathered, node)

        rule.__doc__ = function.__doc__
        register(op_types, Rule(rule, takes_all=True))
        return function

    return registered


def through_equivalent(
    outputs: Sequence[Value | None], gathered: Sequence[Value | None], node: Node
) -> Mapping[Value, Value]:
    """What the node's cotangents contribute to its inputs, by way of other values that equal its outputs."""
    pairs = zip(outputs, gathered, strict=False)
    seeds = {value: seed for value, seed in pairs if value is not None and seed is not None}
    wrt = node.wanted_values
    found = differentiate(seeds, wrt, node.rules, among=_makers(seeds, node.reads)) if seeds else []
    return {value: g for value, g in zip(wrt, found, strict=False) if g is not None}


def _makers(ends: Iterable[Value], sources: Collection[Value]) -> list[Node]:
    """The nodes that make the ends of the sources, in the order of the tape: a few of many."""
    found, waiting = set[Node](), list(ends)
    nodes = waiting[0].tape.nodes
    while waiting:
        value = waiting.pop()
        node = value.producer
        if node is not None and node not in found and value not in sources:
            found.add(node)
            waiting.extend(node.reads)
    return [node for node in nodes if node in found]


def differentiate(
    seeds: Mapping[Value, Value],
    wrt: Sequence[Value],
    rules: Mapping[str, Rule] = RULES,
    *,
    among: Sequence[Node] | None = None,
) -> list[Value | None]:
    """The gradient of Σ seed · value with respect to each of `wrt`; None where there is no path.

    Args:
        seeds: the cotangent of each value that is differentiated, in its shape.
        wrt: any values of the graph, inputs, inner ones or constants; nothing below them is differentiated.
        rules: the table to walk by.
        among: the nodes that lie between; by default any of the tape's may.

    Raises:
        NoGradientRule: if an op on the way is not in the table.
    """
    around = next(iter(seeds)).tape.nodes if among is None else among
    cotangents: dict[Value, list[Value]] = {value: [seed] for value, seed in seeds.items()}
    active = active_values(around, wrt)
    nodes: Sequence[Node] = _between(around, active, seeds)
    if isinstance(rules, Table):
        nodes = rules.view(nodes, {*seeds, *wrt})
    elif rules is RULES:
        nodes = with_gates(nodes, {*seeds, *wrt})
    for node in reversed(nodes):
        gathered = [_gather(cotangents, output) for output in node.outputs]
        if any(gathered):
            for value, contribution in _pull_back(node, gathered, active, rules, wrt):
                cotangents.setdefault(value, []).append(contribution)
    return [_gather(cotangents, value) for value in wrt]


def active_values(nodes: Iterable[Node], wrt: Sequence[Value]) -> set[Value]:
    """The values that depend differentiably on `wrt`, itself included."""
    active = set(wrt)
    for node in nodes:
        if node.op_type not in FLAT and not active.isdisjoint(node.reads):
            is_sum = node.op_type in ACCUMULATING
            active.update(output for output in node.outputs if output.name and (is_sum or _can_carry(output)))
    return active


def _between(nodes: Sequence[Node], active: set[Value], ends: Iterable[Value]) -> list[Node]:
    """Those on active paths to the ends, in their order."""
    needed, found = set(ends), []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs) and not active.isdisjoint(node.reads) and node.op_type not in FLAT:
            found.append(node)
            needed |= active & node.reads
    return found[::-1]


def _can_carry(value: Value) -> bool:
    return value.dtype is None or value.dtype.name in FLOATING | QUANTIZED


def _gather(cotangents: dict[Value, list[Value]], value: Value) -> Value | None:
    """The sum of what has come in for the value; it is then that sum alone."""
    parts = cotangents.get(value)
    if not parts:
        return None
    with value.tape.named(f"gradient/{value.name}"):
        total = parts[0]
        for part in parts[1:]:
            total = total + part
    cotangents[value] = [total]
    return total


def _pull_back(
    node: Node, gathered: Sequence[Value | None], active: set[Value], rules: Mapping[str, Rule], wrt: Sequence[Value]
) -> Iterable[tuple[Value, Value]]:
    """What the node's cotangents contribute to each input that wants it."""
    rule = rules.get(node.op_type) or GATES.get(node.op_type)
    if rule is None:
        raise NoGradientRule(node.op_type, node.title, ", ".join(value.name for value in wrt))
    node.wanted = frozenset(index for index, value in enumerate(node.inputs) if value in active)
    node.wanted_values = sorted((value for value in node.reads if value in active), key=lambda value: value.name)
    node.rules = rules
    with node.tape.named(f"gradient/{node.output.name}"):
        if not rule.takes_all and any(gathered[1:]):
            raise NoGradientForm(node.op_type, node.title, "another output than its first")
        returned = rule.function(tuple(gathered) if rule.takes_all else gathered[0], node)
        if isinstance(returned, Mapping):
            yield from returned.items()
            return
        contributions = returned if isinstance(returned, list | tuple) else (returned,)
        _check_answer(node, contributions, rule)
        for index, (value, contribution) in enumerate(zip(node.inputs, contributions, strict=False)):
            if index in node.wanted and value is not None and isinstance(contribution, Value):
                if node.op_type in BROADCASTING:
                    contribution = sum_to_shape(contribution, value)
                node.tape.note_shape(contribution, value)
                yield value, contribution


def _check_answer(node: Node, contributions: Sequence[Value | None], rule: Rule) -> None:
    """Refuses what would be taken for a gradient of zero, and a rule that answers for inputs that there are not."""
    if len(contributions) > len(node.inputs):
        raise ValueError(f"the rule of {node.op_type} gave {len(contributions)} for {len(node.inputs)} inputs")
    lacking = [n for n in sorted(node.wanted) if n >= len(contributions) or contributions[n] is None]
    if lacking and rule.answers_all:
        raise NoGradientForm(node.op_type, node.title, f"an input {lacking[0]} that depends on the layer, too")
