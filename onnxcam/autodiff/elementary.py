"""The elementary functions: exponentials, logarithms, circular and hyperbolic functions, the error function."""

from __future__ import annotations

import math

from onnxcam.autodiff.registry import vjp
from onnxcam.graph import Node, Value


@vjp("Exp")
def exp(g: Value, node: Node) -> Value:
    """y' = y."""
    return g * node.output


@vjp("Log")
def log(g: Value, node: Node) -> Value:
    """y' = 1/x."""
    return g / node.x


@vjp("Erf")
def erf(g: Value, node: Node) -> Value:
    """y' = 2/√π e^(−x²)."""
    x = node.x
    return g * (node.tape.Exp(-(x * x)) * (2.0 / math.sqrt(math.pi)))


@vjp("Sin")
def sin(g: Value, node: Node) -> Value:
    """y' = cos x."""
    return g * node.tape.Cos(node.x)


@vjp("Cos")
def cos(g: Value, node: Node) -> Value:
    """y' = −sin x."""
    return -(g * node.tape.Sin(node.x))


@vjp("Tan")
def tan(g: Value, node: Node) -> Value:
    """y' = 1 + y²."""
    y = node.output
    return g * (y * y + 1.0)


@vjp("Asin")
def asin(g: Value, node: Node) -> Value:
    """y' = 1/√(1 − x²)."""
    x = node.x
    return g / node.tape.Sqrt(1.0 - x * x)


@vjp("Acos")
def acos(g: Value, node: Node) -> Value:
    """y' = −1/√(1 − x²)."""
    x = node.x
    return -(g / node.tape.Sqrt(1.0 - x * x))


@vjp("Atan")
def atan(g: Value, node: Node) -> Value:
    """y' = 1/(1 + x²)."""
    x = node.x
    return g / (x * x + 1.0)


@vjp("Sinh")
def sinh(g: Value, node: Node) -> Value:
    """y' = cosh x. By Exp, here and below: CUDA has no hyperbolic functions but Tanh."""
    e = node.tape.Exp(node.x)
    return g * ((e + 1.0 / e) * 0.5)


@vjp("Cosh")
def cosh(g: Value, node: Node) -> Value:
    """y' = sinh x."""
    e = node.tape.Exp(node.x)
    return g * ((e - 1.0 / e) * 0.5)


@vjp("Tanh")
def tanh(g: Value, node: Node) -> Value:
    """y' = 1 − y²."""
    y = node.output
    return g * (1.0 - y * y)


@vjp("Asinh")
def asinh(g: Value, node: Node) -> Value:
    """y' = 1/√(x² + 1)."""
    x = node.x
    return g / node.tape.Sqrt(x * x + 1.0)


@vjp("Acosh")
def acosh(g: Value, node: Node) -> Value:
    """y' = 1/√(x² − 1)."""
    x = node.x
    return g / node.tape.Sqrt(x * x - 1.0)


@vjp("Atanh")
def atanh(g: Value, node: Node) -> Value:
    """y' = 1/(1 − x²)."""
    x = node.x
    return g / (1.0 - x * x)
