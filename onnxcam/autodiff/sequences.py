"""Lists of tensors: what loading could not take out of the model is refused, with its reason."""

from __future__ import annotations

from onnxcam.autodiff.registry import no_gradient, vjp_of_outputs
from onnxcam.errors import UnresolvedSequence
from onnxcam.graph import Node


@vjp_of_outputs(
    "ConcatFromSequence", "Optional", "OptionalGetElement", "SequenceAt", "SequenceConstruct", "SequenceErase",
    "SequenceInsert", "SequenceMap", "SplitToSequence",
)  # fmt: skip
def on_lists(_: object, node: Node) -> None:
    """Loading puts tensors in the place of lists whose lengths and positions are known; others have no rule.

    Raises:
        UnresolvedSequence: always.
    """
    raise UnresolvedSequence(node.op_type, node.title)


# Counts, and lists of nothing.
no_gradient("OptionalHasElement", "SequenceEmpty", "SequenceLength")
