"""The rules of differentiation: what one is, and where it is registered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onnxcam.graph import Node, Value

Contributions: TypeAlias = Value | Sequence[Value | None] | Mapping[Value, Value] | None
RuleFunction: TypeAlias = Callable[[Any, Node], Contributions]


@dataclass(frozen=True, slots=True)
class Rule:
    """How cotangents pass backwards through one op.

    Attributes:
        function: from (cotangent of the first output, node) to the contribution to the first input, or to a
            sequence of contributions to the first inputs, each in its input's shape before or after broadcasting; or to
            a mapping from values to contributions, for nodes whose bodies read tensors that are no inputs of theirs.
        takes_all: the function is given a tuple with the cotangents of all outputs, None where there is none.
        answers_all: it contributes to every input whose gradient is wanted; that it does not for one is then an error,
            not a gradient of zero.
    """

    function: RuleFunction
    takes_all: bool = False
    answers_all: bool = False


class Table(Mapping[str, Rule]):
    """Rules for which several nodes of the graph may be one: x·Φ(x), say, or Conv with BatchNormalization.

    A plain mapping sees each node for itself.
    """

    @abstractmethod
    def view(self, nodes: Sequence[Node], kept: Collection[Value]) -> Sequence[Node]:
        """The nodes that the walk is to visit, in order, instead of `nodes`.

        Args:
            nodes: those between what is differentiated and what it is differentiated by, in order.
            kept: the values at both ends, which must not vanish within a node.
        """


RULES: dict[str, Rule] = {}
# Rules of nodes that stand for several, see gates.py; such a node is in no model.
GATES: dict[str, Rule] = {}
# Ops through which no gradient passes: their outputs are counts, indices, truth values or steps.
FLAT: set[str] = set()


def vjp(*op_types: str, answers_all: bool = True) -> Callable[[RuleFunction], RuleFunction]:
    """A decorator: the function is the rule of these ops; it is given the cotangent of the first output.

    `answers_all`: see `Rule`; False where an input has no part in the derivative, as the second of CastLike.
    """
    return lambda function: register(op_types, Rule(function, answers_all=answers_all))


def vjp_of_outputs(*op_types: str, answers_all: bool = True) -> Callable[[RuleFunction], RuleFunction]:
    """A decorator: likewise for ops with several outputs; it is given a tuple of cotangents, None where absent."""
    return lambda function: register(op_types, Rule(function, takes_all=True, answers_all=answers_all))


def no_gradient(*op_types: str) -> None:
    """Declares that no gradient passes through these ops."""
    for op_type in op_types:
        _refuse_duplicate(op_type)
        FLAT.add(op_type)


def custom_domains() -> set[str]:
    """The domains, other than ONNX's own, of ops that a rule has been registered for."""
    return {op_type.rpartition(".")[0] for op_type in (*RULES, *FLAT)} - {""}


def register(op_types: Sequence[str], rule: Rule) -> RuleFunction:
    for op_type in op_types:
        _refuse_duplicate(op_type)
        RULES[op_type] = rule
    return rule.function


def _refuse_duplicate(op_type: str) -> None:
    if op_type in RULES or op_type in FLAT:
        raise ValueError(f"{op_type} has a rule already")
