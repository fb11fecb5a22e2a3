"""Activations that a graph spells out in several nodes: x·Φ(x), x·sigmoid(x), x·tanh(softplus(x)), x·relu6(x + 3)/6.

What they share: a product (or quotient) of two scalar functions of the same x, element by element. That is looked for,
and not the wording of one exporter: from the product back to the nearest tensor that all of it is computed from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.graph import Node, Value

# What the nodes found are called on the walk, in no domain of ONNX's.
SELF_GATED = "onnxcam.SelfGated"
ELEMENTWISE = frozenset(
    "Abs Add Cast Celu Clip Div Elu Erf Exp HardSigmoid HardSwish Identity LeakyRelu Log Max Min Mul Neg Pow "
    "Reciprocal Relu Sigmoid Softplus Softsign Sqrt Sub Sum Tanh".split()
)
# Without one of these, x·x would be taken for an activation.
BENDING = frozenset(
    "Abs Celu Clip Elu Erf Exp HardSigmoid LeakyRelu Max Min Relu Sigmoid Softplus Softsign Tanh".split()
)


def with_activations(nodes: Sequence[Node], kept: Collection[Value]) -> list[Node]:
    """The nodes, in which each activation that is spelled out has become one node, `SELF_GATED`, from x to y.

    Left as they are: those of which an inner tensor is used elsewhere too, or is kept.
    """
    places = {output: place for place, node in enumerate(nodes) for output in node.outputs}
    users = _users(nodes)
    found: dict[int, Node] = {}
    hidden: set[int] = set()
    for place in reversed(range(len(nodes))):
        group = None if place in hidden else _group(nodes, place, places, kept)
        if group is None:
            continue
        x, members = group
        inner = members - {place}
        if all(_is_private(nodes[index], members, users, kept) for index in inner):
            node = nodes[place]
            found[place] = node.tape.imagine(SELF_GATED, [x], node.outputs, {})
            hidden |= inner
    return [found.get(place, node) for place, node in enumerate(nodes) if place not in hidden]


def _group(
    nodes: Sequence[Node], place: int, places: Mapping[Value, int], kept: Collection[Value]
) -> tuple[Value, set[int]] | None:
    """The tensor that both factors of a product are scalar functions of, and the nodes from there to the product."""
    members = {place}
    frontier = _varying(nodes[place], places, kept) if nodes[place].op_type in ("Mul", "Div") else set()
    if frontier is None or len(frontier) < 2:
        return None
    while len(frontier) > 1:
        latest = max(frontier, key=lambda value: places.get(value, -1))
        index = places.get(latest, -1)
        varying = _varying(nodes[index], places, kept) if index >= 0 else None
        if varying is None or latest in kept:
            return None
        members.add(index)
        frontier = frontier - {latest} | varying
    bends = any(nodes[index].op_type in BENDING for index in members)
    return (frontier.pop(), members) if bends else None


def _varying(node: Node, places: Mapping[Value, int], kept: Collection[Value]) -> set[Value] | None:
    """The inputs that are no constants; None unless the node works element by element, with single numbers."""
    if node.op_type not in ELEMENTWISE:
        return None
    varying = {value for value in node.inputs if value is not None and (value in places or value in kept)}
    rest = [value for value in node.inputs if value is not None and value not in varying]
    return varying if varying and all(map(_is_number, rest)) else None


def _is_number(value: Value) -> bool:
    return value.shape is not None and all(n == 1 for n in value.shape) and is_fixed(value)


def _is_private(node: Node, members: set[int], users: Mapping[Value, set[int]], kept: Collection[Value]) -> bool:
    """Whether only the group sees what the node computes."""
    return all(output not in kept and users.get(output, set()) <= members for output in node.outputs)


def _users(nodes: Sequence[Node]) -> dict[Value, set[int]]:
    """The places of the nodes that read each value."""
    users: dict[Value, set[int]] = {}
    for place, node in enumerate(nodes):
        for value in node.reads:
            users.setdefault(value, set()).add(place)
    return users
