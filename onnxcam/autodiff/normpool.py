"""Pools that take the norm of each window: y = (Σ |x|ᵖ)^(1/p), dy/dx = sign(x)·(|x|/y)ᵖ⁻¹."""

from __future__ import annotations

import math

from onnxcam.autodiff.averagepool import shared_out
from onnxcam.autodiff.elementwise import signed
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sizes import Sizes
from onnxcam.autodiff.windows import sliding
from onnxcam.graph import Node, Value


@vjp("LpPool")
def lp_pool(g: Value, node: Node) -> Value:
    """sign(x)·|x|ᵖ⁻¹ times the sum of g/yᵖ⁻¹ over the windows that see x."""
    window = sliding(node, node.x, Sizes(node.tape, node.attributes["kernel_shape"]))
    back = shared_out(_over_norm(g, node) * float(math.prod(window.kernel.known)), node, window)
    return _steepened(back, node)


@vjp("GlobalLpPool")
def global_lp_pool(g: Value, node: Node) -> Value:
    """The same with one window that is all of space."""
    return _steepened(node.tape.Expand(_over_norm(g, node), node.tape.Shape(node.x)), node)


def _over_norm(g: Value, node: Node) -> Value:
    """g/yᵖ⁻¹; where y is 0 all of the window is, and what comes out of here will be multiplied by that."""
    p, y = node.attributes.get("p", 2), node.output
    if p == 1:
        return g
    norm = node.tape.Where(y > 0.0, y, 1.0)
    return g / norm if p == 2 else g / norm ** float(p - 1)


def _steepened(g: Value, node: Node) -> Value:
    """g·sign(x)·|x|ᵖ⁻¹."""
    p, x = node.attributes.get("p", 2), node.x
    if p == 2:
        return g * x
    return signed(g if p == 1 else g * node.tape.Abs(x) ** float(p - 1), x)
