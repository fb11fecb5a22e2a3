"""If: the way back takes the branch that was taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onnxcam.autodiff.control_residuals import refuse_chance
from onnxcam.autodiff.core import differentiate
from onnxcam.autodiff.registry import vjp_of_outputs
from onnxcam.graph import Body, Node, Value, body_of, emit_with_bodies, gradient_type, zeros_for

BRANCHES = ("then_branch", "else_branch")


@vjp_of_outputs("If")
def if_(gs: Sequence[Value | None], node: Node) -> Mapping[Value, Value]:
    """An If of the same condition: each branch pulls back through itself, zeros for what it does not depend on."""
    bodies = [Body(node.tape, body_of(node, name)) for name in BRANCHES]
    found = [_through_branch(body, gs, node) for body in bodies]
    # By value, a gradient that stands for the type of both branches' own.
    reached = found[1] | found[0]
    graphs = {
        name: body.returns([_or_zeros(body, gradients, value, like=like) for value, like in reached.items()])
        for name, body, gradients in zip(BRANCHES, bodies, found, strict=True)
    }
    if not reached:
        return {}
    for body in bodies:
        refuse_chance(body, node)
    types = [gradient_type(value, like) for value, like in reached.items()]
    return dict(zip(reached, emit_with_bodies(node.tape, "If", [node.x], graphs, types=types), strict=True))


def _through_branch(body: Body, gs: Sequence[Value | None], node: Node) -> dict[Value, Value]:
    """Within the branch: what the outputs' cotangents are for the tensors that it reads."""
    seeds = summed((y, body.believe(body.within(g), y)) for y, g in zip(body.outputs, gs, strict=False) if g)
    wrt = [body.within(value) for value in node.wanted_values]
    found = differentiate(seeds, wrt, node.rules) if seeds else []
    return {value: g for value, g in zip(node.wanted_values, found, strict=False) if g}


def _or_zeros(body: Body, gradients: Mapping[Value, Value], value: Value, *, like: Value) -> Value:
    return gradients[value] if value in gradients else zeros_for(body.within(value), body, like=like)


def summed(pairs: Iterable[tuple[Value, Value]]) -> dict[Value, Value]:
    """For each first value the sum of the second ones."""
    sums: dict[Value, Value] = {}
    for value, part in pairs:
        sums[value] = sums[value] + part if value in sums else part
    return sums
