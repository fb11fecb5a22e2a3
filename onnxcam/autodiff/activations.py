"""Activations: from their outputs where that is possible, since ONNX Runtime has those at hand anyway."""

from __future__ import annotations

import numpy as np

from onnxcam.autodiff.casting import as_float
from onnxcam.autodiff.gates import SILU
from onnxcam.autodiff.registry import GATES, Rule, vjp
from onnxcam.graph import Node, Value


@vjp("Relu")
def relu(g: Value, node: Node) -> Value:
    """Zero at zero, as every framework has it."""
    return node.tape.Where(as_float(node.output) > 0.0, g, 0.0)


@vjp("LeakyRelu")
def leaky_relu(g: Value, node: Node) -> Value:
    """1 above zero, α at and below it."""
    alpha = node.attributes.get("alpha", 0.01)
    return node.tape.Where(_is_positive(node, slope=alpha), g, g * alpha)


@vjp("PRelu")
def prelu(g: Value, node: Node) -> list[Value | None]:
    """Like LeakyRelu; the slope gets x where x is not positive."""
    op, x, slope = node.tape, node.x, node.input(1)
    active = x > 0.0
    return [op.Where(active, g, g * slope), op.Where(active, 0.0, g * x) if node.wants(1) else None]


@vjp("Elu")
def elu(g: Value, node: Node) -> Value:
    """1 above zero; α eˣ = y + α at and below it."""
    alpha = node.attributes.get("alpha", 1.0)
    return node.tape.Where(_is_positive(node, slope=alpha), g, g * (node.output + alpha))


@vjp("Selu")
def selu(g: Value, node: Node) -> Value:
    """γ above zero; γ α eˣ = y + γα at and below it."""
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get("gamma", 1.05070102214813232421875)
    y = node.output
    return node.tape.Where(_is_positive(node, slope=min(alpha, gamma)), g * gamma, g * (y + gamma * alpha))


@vjp("Celu")
def celu(g: Value, node: Node) -> Value:
    """1 above zero; e^(x/α) = y/α + 1 at and below it."""
    alpha = node.attributes.get("alpha", 1.0)
    y = node.output
    return node.tape.Where(y > 0.0, g, g * (y * (1.0 / alpha) + 1.0))


@vjp("ThresholdedRelu")
def thresholded_relu(g: Value, node: Node) -> Value:
    """1 above the threshold α."""
    return node.tape.Where(node.x > node.attributes.get("alpha", 1.0), g, 0.0)


@vjp("Clip")
def clip(g: Value, node: Node) -> list[Value | None]:
    """1 strictly between the bounds, from the output; at a bound and beyond it, the bound has it (ReLU6 in torch)."""
    op, y = node.tape, as_float(node.output)
    low, high = (value if value is None else as_float(value) for value in (node.optional(1), node.optional(2)))
    above = None if low is None else y > low
    below = None if high is None else y < high
    inside = _both(above, below)
    return [
        g if inside is None else op.Where(inside, g, 0.0),
        # A lower bound above the upper one has no say.
        op.Where(_both(op.Not(above), below), g, 0.0) if node.wants(1) and above is not None else None,
        op.Where(below, 0.0, g) if node.wants(2) else None,
    ][: len(node.inputs)]


@vjp("Sigmoid")
def sigmoid(g: Value, node: Node) -> Value:
    """s' = s(1 − s)."""
    y = node.output
    return g * (y * complement(y))


def silu(g: Value, node: Node) -> Value:
    """y = x s with s = sigmoid(x): y' = s + y (1 − s)."""
    s = node.tape.Sigmoid(node.x)
    return g * (s + node.output * complement(s))


GATES[SILU] = Rule(silu)


def complement(s: Value) -> Value:
    """1 − s, for an s between 0 and 1.

    As a HardSigmoid, which is the same to the last digit: ONNX Runtime leaves its input in the blocked layout of
    convolutions, and fetches that of a Sub out of it and back. In float32 only, for which that layout is.
    """
    return s.tape.HardSigmoid(s, alpha=-1.0, beta=1.0) if s.dtype == np.float32 else 1.0 - s


@vjp("HardSigmoid")
def hard_sigmoid(g: Value, node: Node) -> Value:
    """α where the output is strictly between 0 and 1."""
    op, y = node.tape, node.output
    return op.Where(op.And(y > 0.0, y < 1.0), g * node.attributes.get("alpha", 0.2), 0.0)


@vjp("HardSwish")
def hard_swish(g: Value, node: Node) -> Value:
    """0 up to −3, x/3 + ½ up to 3, 1 beyond."""
    op, x = node.tape, node.x
    ramp = g * (x * (1.0 / 3.0) + 0.5)
    return op.Where(x < 3.0, op.Where(x > -3.0, ramp, 0.0), g)


@vjp("Softplus")
def softplus(g: Value, node: Node) -> Value:
    """y' = sigmoid(x)."""
    return g * node.tape.Sigmoid(node.x)


@vjp("Softsign")
def softsign(g: Value, node: Node) -> Value:
    """y' = 1/(1 + |x|)²."""
    scale = node.tape.Abs(node.x) + 1.0
    return g / (scale * scale)


@vjp("Mish")
def mish(g: Value, node: Node) -> Value:
    """y = x t with t = tanh(softplus(x)): y' = t + x (1 − t²) sigmoid(x)."""
    op, x = node.tape, node.x
    t = op.Tanh(op.Softplus(x))
    return g * (t + x * ((1.0 - t * t) * op.Sigmoid(x)))


@vjp("Shrink")
def shrink(g: Value, node: Node) -> Value:
    """1 outside of ±λ, whatever the bias."""
    return node.tape.Where(node.tape.Abs(as_float(node.x)) > node.attributes.get("lambd", 0.5), g, 0.0)


def _is_positive(node: Node, *, slope: float) -> Value:
    """Where x > 0: read off the output, unless a negative slope below zero makes that positive too."""
    return (node.output if slope >= 0.0 else node.x) > 0.0


def _both(a: Value | None, b: Value | None) -> Value | None:
    """Where both hold; an absent one always does."""
    if a is None or b is None:
        return b if a is None else a
    return a.tape.And(a, b)
