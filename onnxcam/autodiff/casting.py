"""Element types within rules: what is compared or multiplied must be of one floating type."""

from __future__ import annotations

from onnx import TensorProto

from onnxcam.graph import Value

TENSOR_TYPES = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


def cast_like(x: Value, like: Value) -> Value:
    """`x` in the floating type of `like`, float32 where that has none; itself when it is so already."""
    wanted = like.dtype.name if like.dtype is not None and like.dtype.name in TENSOR_TYPES else "float32"
    if x.dtype is None or x.dtype.name == wanted:
        return x
    return x.tape.Cast(x, to=TENSOR_TYPES[wanted])


def as_float(x: Value) -> Value:
    """Quantised elements as float32, which every runtime can compare; floating ones as they are."""
    return x if x.dtype is None or x.dtype.name in TENSOR_TYPES else x.tape.Cast(x, to=TensorProto.FLOAT)


def single(x: Value) -> Value:
    """Two-byte elements as float32; others as they are."""
    is_half = x.dtype is not None and x.dtype.itemsize == 2
    return x.tape.Cast(x, to=TensorProto.FLOAT) if is_half else x


def widened(x: Value) -> Value:
    """float16 as float32, for sums of squares, which leave float16's range at a few hundred."""
    return x.tape.Cast(x, to=TensorProto.FLOAT) if x.dtype is not None and x.dtype.name == "float16" else x


def ones_where(mask: Value, like: Value) -> Value:
    """1 where the mask holds, else 0, in the type of `like`."""
    op = mask.tape
    return op.Where(mask, op.number(1.0, like), op.number(0.0, like))
