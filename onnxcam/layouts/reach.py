"""Which places of which tensors the score depends on.

Behind the last attention of a vision transformer only the class token goes on to the score: its map there is still a
tensor of all tokens, but the gradient at those of the picture is zero.
"""

from __future__ import annotations

from collections.abc import Iterable

from onnxcam.graph import Node, Tape, Value
from onnxcam.layouts.axes import Axes, is_marked, is_spatial
from onnxcam.layouts.following import MEASURES, Followed
from onnxcam.layouts.picking import PICKS, takes_only_beside

MAXIMA = frozenset(("GlobalMaxPool", "ReduceMax", "TopK"))


class Reach:
    """What of the followed tensors the score depends on.

    Args:
        tape: the graph.
        followed: what its tensors count.
        score: what is explained.
        through_maxima: whether places reach it through a maximum over all of them, which one of them alone passes.

    Attributes:
        nodes: those that compute the score from the picture, in order.
        below: all tensors that the score is computed from.
        dead: for each tensor that the nodes give the spatial axes of which no place reaches the score.
    """

    def __init__(self, tape: Tape, followed: Followed, score: Value, *, through_maxima: bool = True) -> None:
        self.tape, self.followed, self.score, self.through_maxima = tape, followed, score, through_maxima
        self.below = below([score])
        self.nodes = [
            node
            for node in tape.nodes
            if node.op_type not in MEASURES
            and not followed.reached.isdisjoint(node.inputs)
            and not self.below.isdisjoint(node.outputs)
        ]
        self.dead: dict[Value, frozenset[int]] = {}
        self._uses: dict[Value, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for index, value in enumerate(node.inputs):
                if value is not None and value in followed.axes:
                    self._uses.setdefault(value, []).append((node, index))
        for node in reversed(self.nodes):
            for value in node.outputs:
                self.dead[value] = self._dead_axes(value)

    def is_live(self, value: Value) -> bool:
        """Whether some place of the tensor reaches the score."""
        return value in self.dead and bool(self._spatial(value) - self.dead[value])

    def live_inputs(self, node: Node) -> list[Value]:
        """The node's inputs whose places reach the score through it."""
        return [
            value
            for index, value in enumerate(node.inputs)
            if value is not None
            and value in self.dead
            and any(not self._is_dead_use(node, index, axis) for axis in self._spatial(value) - self.dead[value])
        ]

    def without_maxima(self) -> Reach:
        """The same but for maxima over all places."""
        return Reach(self.tape, self.followed, self.score, through_maxima=False)

    def ends(self) -> list[Node]:
        """The nodes in which space comes to its end: of what they give no place can be told any more, nor later."""
        found, later = list[Node](), set[Value]()
        for node in reversed(self.nodes):
            outputs = self.below.intersection(node.outputs)
            if any(map(self.is_live, outputs)) or not later.isdisjoint(outputs):
                later.update(value for value in node.inputs if value is not None)
            elif self.live_inputs(node):
                found.append(node)
        return found

    def _spatial(self, value: Value) -> frozenset[int]:
        axes: Axes = self.followed.axes.get(value, ())
        return frozenset(index for index, axis in enumerate(axes) if is_spatial(axis))

    def _dead_axes(self, value: Value) -> frozenset[int]:
        uses = self._uses.get(value, [])
        return frozenset(
            axis for axis in self._spatial(value) if uses and all(self._is_dead_use(*use, axis) for use in uses)
        )

    def _is_dead_use(self, node: Node, index: int, axis: int) -> bool:
        """Whether the places on that axis of an input are lost in the node, or dead in what it gives."""
        outputs = [value for value in node.outputs if value in self.below]
        if node.op_type in MAXIMA and not self.through_maxima and not any(map(self._spatial, outputs)):
            return True
        picks = node.op_type in PICKS and index == 0
        if not picks and not any(self.dead.get(value) for value in outputs):
            return False
        found = dict(zip(node.outputs, self.followed.outputs(node, (index, axis)), strict=False))
        return all(self._is_lost(node, (index, axis), value, found.get(value)) for value in outputs)

    def _is_lost(self, node: Node, place: tuple[int, int], output: Value, axes: Axes | None) -> bool:
        if axes is None:
            return False
        there = {index for index, axis in enumerate(axes) if is_marked(axis)}
        if there:
            return there <= self.dead.get(output, frozenset())
        source = node.inputs[place[0]]
        assert source is not None  # noqa: S101 - it has axes
        return node.op_type in PICKS and takes_only_beside(node, self.followed.axes[source][place[1]])


def below(ends: Iterable[Value]) -> set[Value]:
    """The tensors and everything that they are computed from, sizes and indices apart."""
    found = set(ends)
    open_values = list(found)
    while open_values:
        producer = open_values.pop().producer
        if producer is None or producer.op_type in MEASURES:
            continue
        fresh = producer.reads - found
        found |= fresh
        open_values.extend(fresh)
    return found
