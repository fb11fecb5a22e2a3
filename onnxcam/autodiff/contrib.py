"""Activations of the domain com.microsoft, which ONNX Runtime's optimiser writes in place of several nodes."""

from __future__ import annotations

import math

from onnxcam.autodiff.core import vjp
from onnxcam.autodiff.extents import rank_of
from onnxcam.graph import Node, Value

GELU_TANH_SCALE = math.sqrt(2.0 / math.pi)
GELU_TANH_CUBIC = 0.044715


@vjp("com.microsoft.Gelu")
def gelu(g: Value, node: Node) -> Value:
    """y = x Φ(x)."""
    return g * _gelu_slope(node.x)


@vjp("com.microsoft.BiasGelu")
def bias_gelu(g: Value, node: Node) -> list[Value | None]:
    """Gelu of x + b."""
    x, bias = node.x, node.input(1)
    through = g * _gelu_slope(x + bias)
    return [through, _to_bias(through, node) if node.wants(1) else None]


@vjp("com.microsoft.FastGelu")
def fast_gelu(g: Value, node: Node) -> list[Value | None]:
    """y = v/2 (1 + t), t = tanh(√(2/π)(v + 0.044715 v³)), v = x + b."""
    x, bias = node.x, node.optional(1)
    # Beyond ±10 the slope is 0 or 1 to the last digit, and the square of v may leave float16's range.
    v = node.tape.Clip(x if bias is None else x + bias, -10.0, 10.0)
    square = v * v
    t = node.tape.Tanh(v * (square * (GELU_TANH_SCALE * GELU_TANH_CUBIC) + GELU_TANH_SCALE))
    inner = v * (square * (3.0 * GELU_TANH_SCALE * GELU_TANH_CUBIC) + GELU_TANH_SCALE)
    through = g * ((t + 1.0 + inner * (1.0 - t * t)) * 0.5)
    return [through] if bias is None else [through, _to_bias(through, node) if node.wants(1) else None]


@vjp("com.microsoft.QuickGelu")
def quick_gelu(g: Value, node: Node) -> Value:
    """y = x s, s = sigmoid(αx): y' = s + α y (1 − s)."""
    alpha: float = node.attributes.get("alpha", 1.702)
    s = node.tape.Sigmoid(node.x * alpha)
    return g * (s + node.output * (1.0 - s) * alpha)


def _gelu_slope(x: Value) -> Value:
    """Φ(x) + x φ(x), with u = x/√2: ½ + erf(u)/2 + u/√π e^(−u²)."""
    op = x.tape
    u = x * math.sqrt(0.5)
    bell = u * op.Exp(-(u * u)) * (1.0 / math.sqrt(math.pi))
    return op.Erf(u) * 0.5 + 0.5 + bell


def _to_bias(g: Value, node: Node) -> Value:
    """The sum over all axes but the last, which is the bias's own."""
    op, rank = node.tape, rank_of(node.x, node)
    return op.ReduceSum(g, op.ints(*range(rank - 1)), keepdims=0) if rank > 1 else g
