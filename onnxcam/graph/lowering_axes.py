"""Adapters for ops along an axis that is an input since opsets after 18, also where it is computed."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, Scope, give, lowers, source, take

LAST = np.iinfo(np.int64).max


@lowers("DFT", 20)
def dft_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The axis became an input, the last but one by default."""
    axis = scope.array(source(node, 2)) if source(node, 2) else np.array(-2)
    if axis is not None:
        del node.input[2:]
        give(node, "axis", int(axis.item()))
        return [node]
    draft, x, length = Draft(node, scope), node.input[0], source(node, 1)
    attributes = {name: take(node, name) for name in ("inverse", "onesided")}
    sides = Sides(draft, x, source(node, 2), end=-1)
    y = draft("DFT", [draft("Reshape", [x, sides.shape(draft.ints(-1))]), length], axis=1, **attributes)
    sizes = [draft("Shape", [y], start=axis, end=axis + 1) for axis in (1, 3)]
    return draft.ends("Reshape", [y, draft("Concat", [sides.before, sizes[0], sides.behind, sizes[1]], axis=0)])


class Sides:
    """The sizes before and behind a computed axis; with these made one each, the axis is the second of the tensor's.

    Args:
        end: where the axes behind it end, as Slice takes it.
    """

    def __init__(self, draft: Draft, x: str, axis: str, *, end: int = LAST) -> None:
        self.draft = draft
        sizes = draft("Shape", [x])
        place = draft("Cast", [draft("Reshape", [axis, draft.ints(1)])], to=TensorProto.INT64)
        place = draft("Mod", [place, draft("Size", [sizes])])
        self.before = draft("Slice", [sizes, draft.ints(0), place])
        self.along = draft("Gather", [sizes, place])
        self.behind = draft("Slice", [sizes, draft("Add", [place, draft.ints(1)]), draft.ints(end)])

    def shape(self, *more: str) -> str:
        """(all before, along, all behind), and what more there is."""
        return self.draft("Concat", [self._product(self.before), self.along, self._product(self.behind), *more], axis=0)

    def _product(self, sizes: str) -> str:
        return self.draft("ReduceProd", [self.draft("Concat", [self.draft.ints(1), sizes], axis=0)], keepdims=1)
