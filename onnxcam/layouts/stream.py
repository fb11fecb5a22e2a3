"""The residual stream: the tensors in which all ways from the picture to the score come together."""

from __future__ import annotations

from collections import Counter

from onnxcam.graph import Value
from onnxcam.layouts.reach import Reach


def junctions(reach: Reach) -> list[Value]:
    """The tensors that all passes on its way from the picture to the score, and that join several ways; in order.

    Of a transformer the residual sums: what each attention and each MLP adds its part to.
    """
    uses = Counter(value for node in reach.nodes for value in node.inputs if value is not None)
    followed, waiting, found = reach.followed.reached, set[Value](), list[Value]()
    for node in reach.nodes:
        inputs = [value for value in node.inputs if value is not None and value in followed]
        uses.subtract(inputs)
        waiting = {value for value in waiting.union(inputs, node.outputs) if uses[value] > 0}
        if len(waiting) == 1 and len(set(inputs)) > 1 and waiting <= set(node.outputs):
            found.append(node.output)
    return found
