"""Nodes that leave channels apart: what each of them becomes hangs on that channel alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcam.graph import Dim, Node, Value
from onnxcam.graph.batch_rules import ELEMENTWISE

BY_ELEMENT = frozenset((*ELEMENTWISE, "Dropout"))
POOLS = frozenset(("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"))
BY_CHANNEL = POOLS | {"BatchNormalization", "InstanceNormalization"}
REDUCTIONS = frozenset(
    ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
     "ReduceSum", "ReduceSumSquare")
)  # fmt: skip
MOVES = frozenset(("Flatten", "Reshape", "Squeeze"))


def layout_behind(node: Node, layouts: Mapping[Value, str]) -> str | None:
    """The layout of what the node gives, images and channels as they were; None where it mixes them, or may do so.

    Args:
        node: one that reads a tensor with channels.
        layouts: of all tensors with channels that are apart: a letter for each axis, N of the images, C of channels.
    """
    if node.op_type in BY_ELEMENT:
        return _of_elements(node, layouts)
    x = node.optional(0)
    if x is None or x not in layouts or not all(index == 0 or node.is_constant(index) for index in _given(node)):
        return None
    layout = layouts[x]
    if node.op_type in BY_CHANNEL or _is_depthwise(node):
        return layout if layout[:2] == "NC" and len(node.outputs) == 1 else None
    if node.op_type in REDUCTIONS:
        return _reduced(node, layout)
    if node.op_type == "Transpose":
        return "".join(layout[axis] for axis in node.attributes.get("perm", range(len(layout))[::-1]))
    return _moved(node, layout) if node.op_type in MOVES else None


def is_alike(node: Node) -> bool:
    """Whether a node that leaves channels apart does the same to each: no constant has a number for each of them."""
    if node.op_type in BY_ELEMENT:
        others = [x for x in node.inputs if x is not None and x.name in node.tape.constants]
        return all(set(x.shape or ()) <= {1} for x in others)
    return node.op_type in POOLS | REDUCTIONS | MOVES | {"Transpose"}


def _of_elements(node: Node, layouts: Mapping[Value, str]) -> str | None:
    """Beside channels there may be constants, if they stretch neither them nor the images."""
    apart = [node.input(index) for index in _given(node) if node.input(index) in layouts]
    layout, shape = layouts[apart[0]], apart[0].shape or ()
    others = [node.input(index) for index in _given(node) if node.input(index) not in layouts]
    is_same = all(layouts[x] == layout for x in apart) and len(node.output.shape or ()) == len(layout)
    return layout if is_same and all(_is_beside(x, layout, shape) for x in others) else None


def _is_beside(x: Value, layout: str, shape: Sequence[Dim]) -> bool:
    """Whether it is a constant with one number for all images, and one for each channel or for all of them."""
    sizes = dict(zip(reversed(layout), reversed(x.shape or ()), strict=False))
    is_constant = x.name in x.tape.constants
    return is_constant and sizes.get("N", 1) == 1 and sizes.get("C", 1) in (1, shape[layout.index("C")])


def _given(node: Node) -> list[int]:
    """The places of the inputs that are not left out."""
    return [index for index, x in enumerate(node.inputs) if x is not None]


def _is_depthwise(node: Node) -> bool:
    """Whether each channel has a kernel of its own and becomes one channel."""
    sizes = (node.input(1).shape or ())[:2] if node.op_type == "Conv" else ()
    return sizes == (node.attributes.get("group", 1), 1)


def _reduced(node: Node, layout: str) -> str | None:
    listed = node.optional(1)
    numbers = None if listed is None else listed.constant
    gone = set() if numbers is None else {layout[int(n)] for n in numbers}
    if not gone or gone & set("NC"):
        return None
    return layout if node.attributes.get("keepdims", 1) else "".join(x for x in layout if x not in gone)


def _moved(node: Node, layout: str) -> str | None:
    """Where nothing but images and channels is left, (N, C)."""
    sizes = dict(zip(layout, node.x.shape or (), strict=False))
    is_bare = all(n == 1 for letter, n in sizes.items() if letter not in "NC")
    is_in_order = layout.index("N") < layout.index("C")
    return "NC" if is_bare and is_in_order and (node.output.shape or ())[1:] == (sizes.get("C"),) else None
