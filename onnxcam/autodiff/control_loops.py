"""Scan and Loop: a Scan that runs backwards through the states that were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from onnxcam.autodiff.control import summed
from onnxcam.autodiff.control_paths import carried, refuse_change
from onnxcam.autodiff.control_residuals import refuse_chance, residuals
from onnxcam.autodiff.core import differentiate
from onnxcam.autodiff.extents import rank_of
from onnxcam.autodiff.registry import vjp_of_outputs
from onnxcam.graph import (
    Body,
    Iterated,
    Iteration,
    Node,
    Sliced,
    State,
    Tape,
    Value,
    emit_with_bodies,
    gradient_type,
    zeros_for,
)


@vjp_of_outputs("Scan", "Loop")
def scan(gs: Sequence[Value | None], node: Node) -> Mapping[Value, Value]:
    """A Scan from the last iteration to the first: each is computed again from its saved state, and pulls back."""
    loop, tape = Iterated(node), node.tape
    if loop.surely_runs:
        return _WayBack(loop, gs, place=tape).contributions()
    # A Loop may end before its first iteration, but no runtime takes a Scan over nothing.
    branch = Body(tape)
    return _where_it_ran(branch, _WayBack(loop, gs, place=branch))


class _WayBack:
    """The Scan that goes back through the iterations of a node.

    What it carries: λ, the cotangents of the node's states, in the order of `states`; and what the iterations that it
    has been through give to each tensor that they all read from around, `around`.

    Args:
        gs: the cotangents of the node's outputs.
        place: the tape that the Scan goes on, the node's own or that of a branch.
    """

    def __init__(self, loop: Iterated, gs: Sequence[Value | None], *, place: Tape) -> None:
        self.loop, self.node, self.place = loop, loop.node, place
        self.body = loop.copy(Iteration, place)
        self.own = list(self.body.nodes)
        self.cotangents = {y: g for y, g in zip(self.node.outputs, gs, strict=False) if g}
        self.states = carried(loop, self.body, self.cotangents)
        self.found = self._within_an_iteration()
        self.around = [value for value in self.node.wanted_values if self.body.within(value) in self.found]

    def contributions(self) -> dict[Value, Value]:
        """What the cotangents are for the values that are wanted: outputs of the Scan, which is now on its tape."""
        if not self.found:
            return {}
        after = [*map(self._earlier, self.states, list(self.body.before)), *map(self._added_up, self.around)]
        given = {name: g for name in self.loop.taken if (g := self.found.get(self.body.value(name)))}
        self._check_ranks(given)
        parts = [_reversed(self.loop.taken[name], g) for name, g in given.items()]
        starts = map(self.body.value, self.loop.inputs)
        kept = residuals(self.body, self.own, starts=starts, ends=[*after, *given.values()])
        self.body.forget(kept)
        finals, stacks = self.body.scan(after, parts, on_demand=self._on_demand(kept))
        refuse_chance(self.body, self.node)
        wholes = [self.loop.taken[name].whole for name in given]
        values = [*(state.initial for state in self.states), *self.around, *wholes]
        for value, g in zip(values, (*finals, *stacks), strict=True):
            self.place.note_shape(g, value)
        return summed(zip(values, (*finals, *stacks), strict=True))

    def _check_ranks(self, given: Mapping[str, Value]) -> None:
        """No runtime takes a Scan of tensors whose rank is open."""
        for name, g in given.items():
            self.body.note_shape(g, self.body.value(name))
        for value in (*self.body.before, *given.values()):
            rank_of(value, self.node)

    def _within_an_iteration(self) -> dict[Value, Value]:
        """In the body: the gradients by its states and slices, and by the tensors from around."""
        body, wanted = self.body, self.node.wanted_values
        seeds = summed((*self._from_later(), *self._from_outputs()))
        inner = [state.before for state in self.states]
        inner += [name for name, sliced in self.loop.taken.items() if sliced.whole in wanted]
        wrt = [*map(body.value, inner), *map(body.within, wanted)]
        found = differentiate(seeds, wrt, self.node.rules) if seeds else []
        return {value: g for value, g in zip(wrt, found, strict=False) if g}

    def _from_later(self) -> Iterator[tuple[Value, Value]]:
        """λ for each state as the iteration leaves it."""
        for state in self.states:
            initial = self.cotangents.get(state.final) or zeros_for(state.initial, self.node.tape, like=state.initial)
            yield self.body.value(state.after), self.body.state(initial, like=self.body.value(state.before))

    def _from_outputs(self) -> Iterator[tuple[Value, Value]]:
        """The slices of the cotangents of what the iterations lay together."""
        for name, sliced in self.loop.given.items():
            if sliced.whole in self.cotangents:
                inner = self.body.value(name)
                g = self.body.slice(_reversed(sliced, self.cotangents[sliced.whole]))
                yield inner, self.body.believe(g, inner)

    def _earlier(self, state: State, later: Value) -> Value:
        """λ for the state as the iteration finds it."""
        found = self.found.get(self.body.value(state.before))
        return found or zeros_for(later, self.body, like=later)

    def _added_up(self, value: Value) -> Value:
        """What the tensor from around has from this iteration and those after it."""
        part = self.found[self.body.within(value)]
        return self.body.state(zeros_for(value, self.node.tape, like=part)) + part

    def _on_demand(self, kept: Iterable[Value]) -> dict[str, Callable[[], Sliced]]:
        """What an iteration takes, by name in the body, if it reads it."""
        taken = {name: partial(_reversed, sliced) for name, sliced in self.loop.taken.items()}
        states = {state.before: partial(self._saved_state, state) for state in self.loop.states}
        others = (*map(self.body.value, self.loop.counters), *sorted(kept, key=lambda value: value.name))
        return {**taken, **{value.name: partial(self._saved, value) for value in others}, **states}

    def _saved(self, value: Value) -> Sliced:
        return _reversed(self.loop.saved(value))

    def _saved_state(self, state: State) -> Sliced:
        refuse_change(state, self.node)
        return self._saved(self.body.value(state.before))


def _reversed(sliced: Sliced, whole: Value | None = None) -> Sliced:
    """The same slices, or those of another tensor, from the last to the first."""
    return Sliced(whole or sliced.whole, sliced.axis, not sliced.is_backward)


def _where_it_ran(branch: Body, back: _WayBack) -> dict[Value, Value]:
    """An If with the way back in one branch, and in the other what there is where no iteration ran."""
    tape, inner = back.node.tape, back.contributions()
    if not inner:
        return {}
    states = [state.initial for state in back.states]
    initial = summed(zip((*states, *back.around), back.body.initial, strict=True))
    otherwise = Body(tape)
    graphs = {
        "then_branch": branch.returns(list(inner.values())),
        "else_branch": otherwise.returns([otherwise.within(initial[value]) for value in inner]),
    }
    iterations = tape.Shape(next(iter(back.body.slices.values())).whole, start=0, end=1)
    types = [gradient_type(value, g) for value, g in inner.items()]
    outputs = emit_with_bodies(tape, "If", [iterations > 0], graphs, types=types)
    return dict(zip(inner, outputs, strict=True))
