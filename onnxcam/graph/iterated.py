"""A Scan or a Loop of the model, read: what it carries, takes and gives; its inner tensors of every iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from onnx import NodeProto, TypeProto

from onnxcam.graph.body import Body, body_of
from onnxcam.graph.inference import steady_types
from onnxcam.graph.node import Node
from onnxcam.graph.scanning import Sliced
from onnxcam.graph.tape import Tape
from onnxcam.graph.types import slice_type, stacked_type, without_symbols
from onnxcam.graph.value import Value

B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True)
class State:
    """What one iteration gives the next.

    Attributes:
        initial, final: outside the body.
        before, after: the names of what an iteration gets, and of what it makes of it.
        change: how its shape changes from one iteration to the next; "" when it does not, as far as can be told
            before the graph runs.
    """

    initial: Value
    final: Value
    before: str
    after: str
    change: str


class Iterated:
    """A Scan or a Loop.

    Attributes:
        states: what it carries.
        taken: by the name that a slice has in the body, what it is a slice of; a Loop takes none.
        given: likewise what it lays together, `whole` being the node's output.
        counters: names in the body of a Loop's own inputs, the count of iterations and the condition.
        types: of the body's inputs.
    """

    def __init__(self, node: Node) -> None:
        self.node, self.graph = node, body_of(node, "body")
        lead = 2 if self.is_loop else 0
        count = len(node.inputs) - (lead or node.attributes["num_scan_inputs"])
        names = [info.name for info in self.graph.input]
        results = [info.name for info in self.graph.output][lead // 2 :]
        self.counters = names[:lead]
        self.taken = {
            name: self._cut("input", index, node.input(count + index))
            for index, name in enumerate(names[lead + count :])
        }
        self.given = {
            name: self._cut("output", index, node.outputs[count + index]) for index, name in enumerate(results[count:])
        }
        self.types, changes = self._steady(lead, count)
        self.states = [
            State(node.input(lead + index), node.outputs[index], names[lead + index], results[index], change)
            for index in range(count)
            for change in [changes.get(names[lead + index], "")]
        ]

    @property
    def inputs(self) -> list[str]:
        """The names of all that the body is given anew in each iteration."""
        return [info.name for info in self.graph.input]

    @property
    def is_loop(self) -> bool:
        """Whether it may run without a single iteration, and counts them."""
        return self.node.op_type == "Loop"

    @property
    def surely_runs(self) -> bool:
        """Whether it is known to run at least once; no runtime takes a Scan over nothing."""
        if not self.is_loop:
            return True
        limit, condition = self.node.optional(0), self.node.optional(1)
        starts = condition is None or bool(condition.constant is not None and condition.constant.all())
        return starts and (limit is None or bool(limit.constant is not None and limit.constant.min() > 0))

    def copy(self, kind: type[B], place: Tape) -> B:
        """The body once more, for a node on that tape."""
        return kind(place, self.graph, self.types)

    def saved(self, value: Value) -> Sliced:
        """What that tensor of the body, an input or not, was in each iteration: one more output of the node."""
        return self._handed_on(value.name) or self._hand_on(value)

    def _handed_on(self, name: str) -> Sliced | None:
        """The output, if there is one, that lays together what the tensor was."""
        same = {node.output[0] for node in self.graph.node if node.op_type == "Identity" and node.input[0] == name}
        return next((sliced for result, sliced in self.given.items() if result in {name, *same}), None)

    def _hand_on(self, value: Value) -> Sliced:
        tape, kind, inner = self.node.tape, value.tape.types[value.name], value.name
        if inner in {info.name for info in (*self.graph.input, *self.graph.output)}:
            inner = tape.fresh_name("state")
            self.graph.node.append(NodeProto(op_type="Identity", name=inner, input=[value.name], output=[inner]))
        self.graph.output.add(name=inner, type=without_symbols(kind))
        for attribute in self.node.proto.attribute:
            if attribute.name in ("scan_output_axes", "scan_output_directions"):
                attribute.ints.append(0)
        return Sliced(tape.extend(self.node, tape.fresh_name("states"), stacked_type(kind)))

    def _cut(self, side: str, index: int, whole: Value) -> Sliced:
        """How the node cuts or lays together the tensor at `index` among those on its side."""
        axes, directions = (self.node.attributes.get(f"scan_{side}_{what}", []) for what in ("axes", "directions"))
        is_backward = index < len(directions) and bool(directions[index])
        return Sliced(whole, axes[index] if index < len(axes) else 0, is_backward)

    def _steady(self, lead: int, count: int) -> tuple[list[TypeProto | None], dict[str, str]]:
        """The types of the body's inputs, and for each state whose shape changes, how."""
        node = self.node
        kinds = [node.tape.type_of(value) if value else None for value in node.inputs[lead:]]
        if self.is_loop:
            return steady_types(self.graph, kinds, types=node.tape.types, constants=node.tape.constants)
        slices = [
            kind and slice_type(kind, sliced.axis)
            for kind, sliced in zip(kinds[count:], self.taken.values(), strict=True)
        ]
        return [*kinds[:count], *slices], {}
