"""What other libraries compute under the names of papers, where it is not what the papers say: for `like`."""

from __future__ import annotations

from onnxcam.graph import Value
from onnxcam.methods.gradient import layercam, weighted
from onnxcam.methods.table import method
from onnxcam.places import space

GRADCAM_PLUS_PLUS = "Chattopadhay et al. 2018, arXiv:1710.11063"


@method("gradcam++", source=GRADCAM_PLUS_PLUS, like="torchcam")
def gradcam_plus_plus_undivided(a: Value, g: Value) -> Value:
    """Positive gradients weighted by g² alone: torch-cam 0.5.0 divides a copy, and throws it away."""
    return weighted(a, a.tape.ReduceSum(a.tape.Relu(g) * g * g, space(g), keepdims=1))


@method("gradcam++", source=GRADCAM_PLUS_PLUS, like="tf-keras-vis")
def gradcam_plus_plus_shares(a: Value, g: Value) -> Value:
    """Positive gradients weighted by α, which tf-keras-vis scales to sum 1 over each channel."""
    op = a.tape
    square = g * g
    alpha = _or_zero(square, 2.0 * square + op.ReduceSum(a, space(a), keepdims=1) * (square * g))
    alpha = _or_zero(alpha, op.ReduceSum(alpha, space(g), keepdims=1))
    return weighted(a, op.ReduceSum(op.Relu(g) * alpha, space(g), keepdims=1))


@method(
    "layercam", source="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943", like="torchcam", normalize="torchcam-tanh"
)
def layercam_scaled(a: Value, g: Value) -> Value:
    """Positive gradients weigh each place by itself; of several layers torch-cam joins the tanh of twice each map."""
    return layercam(a, g)


@method("cam", source="Zhou et al. 2016, arXiv:1512.04150", needs_linear_head=True, like="torchcam")
def cam_unrectified(a: Value, g: Value) -> Value:
    """Channels weighted by the last dense layer; torch-cam 0.5.0 keeps what is negative: the lowest place is 0."""
    op = a.tape
    raw = weighted(a, op.ReduceSum(g, space(g), keepdims=1))
    return raw - op.ReduceMin(raw, op.ints(1, 2), keepdims=1)


def _or_zero(numerator: Value, divisor: Value) -> Value:
    """The quotient; 0 where the divisor is."""
    op = divisor.tape
    is_zero = divisor.equals(0.0)
    return op.Where(is_zero, op.number(0.0, divisor), numerator / op.Where(is_zero, op.number(1.0, divisor), divisor))
