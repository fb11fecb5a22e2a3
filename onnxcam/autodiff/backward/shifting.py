"""How relevance passes constants that are added on the way, those of a BatchNormalization among them.

They belong to the linear layer before them where they stand directly behind it (see merging.py). Where something is in
between — DenseNet normalises what it has joined, LeViT what it has reshaped, attention adds a bias to products — they
are shared by the part in the sum, or absorb nothing:

- Before the sum relevance is divided by x again if the layers there share it by quotients R/z, as ε does. R was a
  multiple of y = x + c, so that nothing but its part x·R/y can be divided by x: passed on whole, (x + c)/x is left over
  at every layer, without bounds.
- Rules like z-plus have larger denominators; there it passes as it is, and nothing is lost. So it does between the
  picture and the first layer, where constants prepare the pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.backward.passing import sharing
from onnxcam.autodiff.backward.relevance import STABILIZER
from onnxcam.autodiff.registry import Contributions, Rule
from onnxcam.errors import TrainingModeBatchNormalization
from onnxcam.graph import Node, Value


def shifting_rules(is_divided_by: Callable[[Value], bool], stabilizer: float = STABILIZER) -> dict[str, Rule]:
    """The rules of sums, differences and BatchNormalization.

    `is_divided_by`: whether the relevance of a value is going to be divided by it, further back.
    """
    share = sharing(stabilizer)

    def added(relevance: Value, node: Node) -> Contributions:
        """To each summand its part; all to the one that varies where a constant is to absorb nothing."""
        fixed = [is_fixed(node.input(0)), is_fixed(node.input(1))]
        if not any(fixed) or (not all(fixed) and is_divided_by(node.input(fixed.index(False)))):
            return share.function(relevance, node)
        return [None if is_constant else relevance for is_constant in fixed]

    def normalized(relevance: Value, node: Node) -> Contributions:
        """With fixed statistics each output has one input, and a shift."""
        if node.attributes.get("training_mode", 0):
            raise TrainingModeBatchNormalization(node.title)
        return share.function(relevance, node) if is_divided_by(node.x) else relevance

    return {"Add": Rule(added), "Sub": Rule(added), "BatchNormalization": Rule(normalized)}
