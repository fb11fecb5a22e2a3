"""What the way back through a body takes from the forward pass, and what it computes again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxcam.errors import NoGradientForm
from onnxcam.graph import Body, Node, Value

# Computed again from what it is made of: that costs nothing, or as much as keeping it.
LIGHT = frozenset(
    "Identity Reshape Flatten Squeeze Unsqueeze Transpose Cast CastLike Expand Constant ConstantOfShape Range".split()
)
CONTROL = frozenset(("If", "Loop", "Scan"))
CHANCE = frozenset("RandomNormal RandomUniform RandomNormalLike RandomUniformLike Bernoulli Multinomial".split())


def residuals(body: Body, own: Sequence[Node], *, starts: Iterable[Value], ends: Iterable[Value]) -> set[Value]:
    """The tensors of an iteration that the way back reads and that are worth keeping.

    Args:
        body: the iteration and the way back through it.
        own: the iteration's nodes.
        starts: what differs between iterations to begin with.
        ends: what the way back gives.
    """
    producers = {value: node for node in own for value in node.outputs}
    varying, first = _varying(own, starts), set(own)
    asked = {value for node in body.nodes if node not in first for value in node.reads} | set(ends)
    kept: set[Value] = set()
    seen: set[Value] = set()
    while asked:
        value = asked.pop()
        if value in seen or value not in producers or value not in varying:
            continue
        seen.add(value)
        if producers[value].op_type in LIGHT | CONTROL or not _keeps_its_shape(value):
            asked |= producers[value].reads
        else:
            kept.add(value)
    return kept


def _keeps_its_shape(value: Value) -> bool:
    """Whether its sizes are sure to be the same in every iteration: numbers, or symbols of the graphs around."""
    # Inference names the sizes that it cannot tell, each in its own way.
    return value.shape is not None and not any(n is None or str(n).startswith("unk__") for n in value.shape)


def _varying(own: Sequence[Node], starts: Iterable[Value]) -> set[Value]:
    """What is not the same in every iteration."""
    varying = set(starts)
    for node in own:
        if node.op_type in CHANCE or not varying.isdisjoint(node.reads):
            varying.update(node.outputs)
    return varying


def refuse_chance(body: Body, node: Node) -> None:
    """Raises where the finished way back would draw random numbers that the forward pass has drawn already."""
    if body.op_types & CHANCE:
        raise NoGradientForm(node.op_type, node.title, "random numbers, which the way back would draw anew")
