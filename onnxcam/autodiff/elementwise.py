"""Arithmetic, element by element. Stretched axes are summed back by the walk."""

from __future__ import annotations

from functools import reduce

from onnxcam.autodiff.casting import as_float, cast_like, ones_where, single
from onnxcam.autodiff.extents import shape_of, zeros
from onnxcam.autodiff.registry import no_gradient, vjp
from onnxcam.graph import Node, Value


@vjp("Add")
def add(g: Value, _: Node) -> tuple[Value, Value]:
    """Both get all of it."""
    return g, g


@vjp("Sub")
def sub(g: Value, _: Node) -> tuple[Value, Value]:
    """d(a − b) = da − db."""
    return g, -g


@vjp("Mul")
def mul(g: Value, node: Node) -> tuple[Value, Value]:
    """d(ab) = b da + a db."""
    a, b = node.input(0), node.input(1)
    return g * b, g * a


@vjp("Div")
def div(g: Value, node: Node) -> tuple[Value, Value]:
    """y = a/b: dy = (da − y db)/b."""
    share = g / node.input(1)
    return share, -(share * node.output)


@vjp("Neg")
def neg(g: Value, _: Node) -> Value:
    """d(−x) = −dx."""
    return -g


@vjp("Abs")
def absolute(g: Value, node: Node) -> Value:
    """The sign, which is 0 at 0."""
    return signed(g, node.x)


@vjp("Reciprocal")
def reciprocal(g: Value, node: Node) -> Value:
    """y = 1/x: y' = −y²."""
    y = node.output
    return -(g * (y * y))


@vjp("Sqrt")
def sqrt(g: Value, node: Node) -> Value:
    """y = √x: y' = 1/(2y), infinite at 0."""
    return g * 0.5 / node.output


@vjp("Mod")
def mod(g: Value, node: Node) -> list[Value | None]:
    """y = a − n b, with n the whole quotient: dy = da − n db."""
    a, b = node.input(0), node.input(1)
    return [g, -(g * ((a - node.output) / b)) if node.wants(1) else None]


@vjp("Sum")
def variadic_sum(g: Value, node: Node) -> list[Value | None]:
    """Every input gets all of it."""
    return [g for _ in node.inputs]


@vjp("Mean")
def variadic_mean(g: Value, node: Node) -> list[Value | None]:
    """Every input gets its share, 1/n."""
    return [g * (1.0 / len(node.inputs)) for _ in node.inputs]


@vjp("Max", "Min")
def extremum(g: Value, node: Node) -> list[Value | None]:
    """The largest (smallest) input gets it; inputs that tie share it equally, as in torch.maximum."""
    op = node.tape
    if len(node.inputs) == 1:
        return [g]
    inputs = [single(as_float(node.input(index))) for index in range(len(node.inputs))]
    # ONNX Runtime's CPU leaves out roundings of float16 where it likes: its own output may equal none of the inputs.
    is_half = g.dtype is not None and g.dtype.itemsize == 2
    y = op.emit(node.op_type, inputs, {})[0] if is_half else as_float(node.output)
    hits = [x.equals(y) for x in inputs]
    share = g / reduce(Value.__add__, (ones_where(hit, g) for hit in hits))
    return [op.Where(hit, share, 0.0) for hit in hits]


@vjp("Where")
def where(g: Value, node: Node) -> list[Value | None]:
    """Each place gives its gradient to the side that it was taken from."""
    op, condition = node.tape, node.input(0)
    return [None, op.Where(condition, g, 0.0), op.Where(condition, 0.0, g)]


@vjp("Pow")
def power(g: Value, node: Node) -> list[Value | None]:
    """d(xᵖ) = p xᵖ⁻¹ dx + xᵖ ln x dp."""
    return [
        _power_of_base(g, node) if node.wants(0) else None,
        _power_of_exponent(g, node) if node.wants(1) else None,
    ]


def _power_of_base(g: Value, node: Node) -> Value:
    """g p xᵖ⁻¹, which is 0 for p = 0 at every x, 0 included."""
    op, x, p = node.tape, node.x, node.input(1)
    if p.constant is not None and p.constant.size == 1:
        return _constant_power(g, node, exponent=float(p.constant.item()))
    p = cast_like(p, x)
    lowered = op.Where(p.equals(0.0), 1.0, p) - 1.0
    return g * (p * x**lowered)


def _constant_power(g: Value, node: Node, *, exponent: float) -> Value:
    """The same in fewer nodes, for the exponents that models have."""
    x = node.x
    if exponent == 0.0:
        return zeros(shape_of(g), g)
    if exponent == 0.5:
        return g * 0.5 / node.output
    if exponent in (1.0, 2.0):
        return g if exponent == 1.0 else g * (x * 2.0)
    return g * (x ** (exponent - 1.0) * exponent)


def _power_of_exponent(g: Value, node: Node) -> Value:
    """g y ln x: 0 at x = 0, as the limit is for p > 0; not a number for x < 0, where there is no derivative."""
    x = node.x
    return g * node.output * node.tape.Log(node.tape.Where(x.equals(0.0), 1.0, x))


def signed(g: Value, x: Value) -> Value:
    """g times the sign of x. Not by Sign, which WebGPU lacks, and which lets NaN through at 0."""
    op, x = x.tape, as_float(x)
    return op.Where(x > 0.0, g, op.Where(x < 0.0, -g, 0.0))


# Steps: flat wherever they have a derivative.
no_gradient("Sign", "Floor", "Ceil", "Round")
# Truth values.
no_gradient("And", "Or", "Not", "Xor", "IsNaN", "IsInf", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")
# Sizes and places.
no_gradient("Shape", "Size", "ArgMax", "ArgMin", "NonZero")
