"""Products of quantised numbers, counted in int32, as dynamically quantised models have them: straight through.

The forward pass stays as it is, to the last bit. Backwards, integers count as the real numbers that they stand for.
"""

from __future__ import annotations

from onnx import TensorProto

from onnxcam.autodiff.core import vjp_by_equivalent
from onnxcam.autodiff.extents import rank_of
from onnxcam.graph import Node, Value


@vjp_by_equivalent("MatMulInteger")
def mat_mul_integer(node: Node) -> list[Value]:
    """(A − a)(B − b), with zero points of the whole, or of each row of A and each column of B."""
    op, row = node.tape, node.optional(2)
    if row is not None and row.shape is not None and len(row.shape) == 1 and row.shape != (1,):
        row = op.Unsqueeze(row, op.ints(1))
    return [op.MatMul(_centred(node.x, row), _centred(node.input(1), node.optional(3)))]


@vjp_by_equivalent("ConvInteger")
def conv_integer(node: Node) -> list[Value]:
    """Conv of x − z and w − v; padding is zero, not z."""
    op, w, zero = node.tape, node.input(1), node.optional(3)
    if zero is not None and zero.shape:
        zero = op.Reshape(zero, op.ints(-1, *[1] * (rank_of(w, node) - 1)))
    return [op.Conv(_centred(node.x, node.optional(2)), _centred(w, zero), **node.attributes)]


@vjp_by_equivalent("com.microsoft.MatMulIntegerToFloat")
def mat_mul_integer_to_float(node: Node) -> list[Value]:
    """(A − a) s · (B − b) t + c."""
    first = _centred(node.x, node.optional(4)) * node.input(2)
    return [_product(first, node, scale=3, zero=5, bias=6)]


@vjp_by_equivalent("com.microsoft.DynamicQuantizeMatMul")
def dynamic_quantize_mat_mul(node: Node) -> list[Value]:
    """The same with A quantised by its own range."""
    quantized, scale, zero = node.tape.emit("DynamicQuantizeLinear", [node.x], {}, outputs=3)
    return [_product(_centred(quantized, zero) * scale, node, scale=2, zero=3, bias=4)]


def _product(first: Value, node: Node, *, scale: int, zero: int, bias: int) -> Value:
    """`first` times the node's B, whose scale, zero point and bias are the inputs at these places."""
    y = node.tape.MatMul(first, _centred(node.input(1), node.optional(zero)) * node.input(scale))
    added = node.optional(bias)
    return y if added is None else y + added


def _centred(x: Value, zero: Value | None) -> Value:
    """The integers less their zero point, as float32."""
    op = x.tape
    real = op.Cast(x, to=TensorProto.FLOAT)
    return real if zero is None else real - op.Cast(zero, to=TensorProto.FLOAT)
