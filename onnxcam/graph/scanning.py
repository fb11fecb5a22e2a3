"""A Scan in the making: its body, what it carries from one iteration to the next, what it takes and gives slices of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, TypeProto

from onnxcam.graph.body import Body, emit_with_bodies
from onnxcam.graph.tape import Tape
from onnxcam.graph.types import slice_type, stacked_type, without_symbols
from onnxcam.graph.value import Value
from onnxcam.graph.walk import outer_reads


@dataclass(frozen=True, slots=True)
class Sliced:
    """A tensor of which each iteration has one slice.

    Attributes:
        whole: for what is taken, the tensor; for what is given, the slice in the body that it will be made of.
        axis: along which it is cut.
        is_backward: whether the first iteration has the last slice.
    """

    whole: Value
    axis: int = 0
    is_backward: bool = False


class Iteration(Body):
    """The body of a Scan that is being written; `scan` puts the Scan on the tape around it."""

    def __init__(
        self, outer: Tape, graph: GraphProto | None = None, given: Sequence[TypeProto | None] | None = None
    ) -> None:
        super().__init__(outer, graph, given)
        # What a copied graph had as inputs become inputs again when it turns out that they are read.
        del self.model.graph.input[:]
        self.initial: list[Value] = []
        self.before: list[Value] = []
        self.slices: dict[str, Sliced] = {}

    def state(self, initial: Value, *, like: Value | None = None) -> Value:
        """A tensor that one iteration gives the next, as the iteration gets it; `like`: of the same type."""
        self.initial.append(initial)
        self.before.append(self.believe(self.value(self.fresh_name("state")), like or initial))
        return self.before[-1]

    def slice(self, sliced: Sliced) -> Value:
        """The iteration's slice of a tensor of the graph around."""
        part, whole = self.value(self.fresh_name("slice")), sliced.whole
        if kind := whole.tape.type_of(whole):
            self.types[part.name] = slice_type(kind, sliced.axis)
        self.slices[part.name] = sliced
        return part

    def scan(
        self,
        after: Sequence[Value],
        given: Sequence[Sliced] = (),
        *,
        on_demand: Mapping[str, Callable[[], Sliced]] | None = None,
    ) -> tuple[list[Value], list[Value]]:
        """The states at the end, and the tensors made of the given slices: outputs of a Scan on the tape around.

        Args:
            after: what becomes of each state in the iteration.
            given: slices in the body.
            on_demand: by name in the body, what it takes slices of where they are read. A Scan needs one at least.
        """
        for state, later in zip(self.before, after, strict=True):
            self.note_shape(later, state)
        graph = self.returns([*after, *(part.whole for part in given)])
        self._take(on_demand or {}, outer_reads(graph))
        for name in (*(state.name for state in self.before), *self.slices):
            graph.input.add(name=name, type=without_symbols(self.types.get(name, TypeProto())))
        outputs = emit_with_bodies(
            self.outer,
            "Scan",
            [*self.initial, *(sliced.whole for sliced in self.slices.values())],
            {"body": graph, **_directions(list(self.slices.values()), given)},
            types=[*map(self.type_of, self.before), *map(self._stacked, given)],
        )
        return list(outputs[: len(after)]), list(outputs[len(after) :])

    def _take(self, on_demand: Mapping[str, Callable[[], Sliced]], read: set[str]) -> None:
        """Takes the slices that are read, or any if there are none: their number tells how often to run."""
        self.slices |= {name: sliced() for name, sliced in on_demand.items() if name in read}
        if not self.slices:
            name, sliced = next(iter(on_demand.items()))
            self.slices[name] = sliced()

    def _stacked(self, part: Sliced) -> TypeProto | None:
        kind = self.type_of(part.whole)
        return stacked_type(kind) if kind and not part.axis else None


def _directions(taken: Sequence[Sliced], given: Sequence[Sliced]) -> dict[str, int | list[int]]:
    """The attributes of a Scan that say how tensors are cut and laid together."""
    return {
        "num_scan_inputs": len(taken),
        "scan_input_axes": [part.axis for part in taken],
        "scan_input_directions": [int(part.is_backward) for part in taken],
        **({"scan_output_axes": [part.axis for part in given]} if given else {}),
        **({"scan_output_directions": [int(part.is_backward) for part in given]} if given else {}),
    }
