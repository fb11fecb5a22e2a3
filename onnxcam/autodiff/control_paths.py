"""Which states of a Scan or Loop a gradient comes through."""

from __future__ import annotations

from collections.abc import Container, Iterable

from onnxcam.autodiff.core import FLOATING, active_values
from onnxcam.autodiff.registry import FLAT
from onnxcam.errors import ChangingState, NoGradientForm
from onnxcam.graph import Body, Iterated, Node, State, Value


def carried(loop: Iterated, body: Body, ends: Container[Value]) -> list[State]:
    """The states that depend on what is wanted and that something in `ends`, outputs of the node, depends on."""
    active = _active(loop, body)
    able = [state for state in loop.states if body.value(state.before) in active]
    chosen = {state.after for state in able if state.final in ends}
    given = {body.value(name) for name, sliced in loop.given.items() if sliced.whole in ends}
    while True:
        needed = _leading_to(body, active, {body.value(name) for name in chosen} | given)
        more = {state.after for state in able if body.value(state.before) in needed}
        if more <= chosen:
            break
        chosen |= more
    found = [state for state in able if state.after in chosen]
    for state in found:
        _refuse(state, loop.node)
    return found


def _active(loop: Iterated, body: Body) -> set[Value]:
    """The values in the body that depend on what is wanted, in some iteration."""
    wanted = loop.node.wanted_values
    starts = set(map(body.within, wanted))
    starts.update(body.value(name) for name, sliced in loop.taken.items() if sliced.whole in wanted)
    starts.update(body.value(state.before) for state in loop.states if state.initial in wanted)
    while True:
        active = active_values(body.nodes, list(starts))
        more = {body.value(state.before) for state in loop.states if body.value(state.after) in active}
        if more <= starts:
            return active
        starts |= more


def _leading_to(body: Body, active: set[Value], ends: Iterable[Value]) -> set[Value]:
    """The active values that the ends depend on, themselves included."""
    needed = active & set(ends)
    for node in reversed(body.nodes):
        if node.op_type not in FLAT and not needed.isdisjoint(node.outputs):
            needed |= active & node.reads
    return needed


def refuse_change(state: State, node: Node) -> None:
    """Raises ChangingState where the state's values cannot lie in one tensor."""
    if state.change:
        raise ChangingState(node.op_type, node.title, state.before, state.change)


def _refuse(state: State, node: Node) -> None:
    """Raises where no cotangent can be carried for the state."""
    refuse_change(state, node)
    if state.initial.dtype is not None and state.initial.dtype.name not in FLOATING:
        raise NoGradientForm(node.op_type, node.title, f"a quantised state, {state.before!r}")
