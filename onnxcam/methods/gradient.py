"""Methods that weigh activations by the gradient of the score. Formulas as in the papers, with our letters.

Each has the option `eigen_smooth`: the leading component of what is summed over channels takes the place of the sum.
"""

from __future__ import annotations

from onnxcam.graph import Value
from onnxcam.methods.table import method
from onnxcam.places import as_map, mean_over_space, space
from onnxcam.principal import leading_component


@method("gradcam", source="Selvaraju et al. 2017, arXiv:1610.02391")
def gradcam(a: Value, g: Value, *, eigen_smooth: bool = False) -> Value:
    """Channels weighted by their mean gradient: Σc ⟨g⟩ a."""
    return weighted(a, mean_over_space(g), eigen_smooth=eigen_smooth)


@method("gradcam++", source="Chattopadhay et al. 2018, arXiv:1710.11063")
def gradcam_plus_plus(a: Value, g: Value, *, eigen_smooth: bool = False) -> Value:
    """Positive gradients weighted by α = g² / (2g² + Σa · g³): maps of several instances stay whole."""
    op = a.tape
    square = g * g
    divisor = 2.0 * square + op.ReduceSum(a, space(a), keepdims=1) * (square * g) + 1e-6
    # α is 0 where the gradient is; there the divisor alone may be anything.
    alpha = op.Where(square > 0.0, square / divisor, 0.0)
    return weighted(a, op.ReduceSum(op.Relu(g) * alpha, space(g), keepdims=1), eigen_smooth=eigen_smooth)


@method("xgradcam", source="Fu et al. 2020, arXiv:2008.02312")
def xgradcam(a: Value, g: Value, *, eigen_smooth: bool = False) -> Value:
    """Channels weighted by their gradient averaged over the activation: Σs g·a / Σs a."""
    op = a.tape
    total = op.ReduceSum(a, space(a), keepdims=1)
    return weighted(a, op.ReduceSum(g * a, space(a), keepdims=1) / (total + 1e-7), eigen_smooth=eigen_smooth)


@method("hirescam", source="Draelos and Carin 2020, arXiv:2011.08891")
def hirescam(a: Value, g: Value, *, eigen_smooth: bool = False) -> Value:
    """Gradient times activation, element by element, summed over channels: exact for a linear head."""
    return over_channels(g * a, eigen_smooth=eigen_smooth)


@method("layercam", source="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943")
def layercam(a: Value, g: Value, *, eigen_smooth: bool = False) -> Value:
    """Positive gradients weigh each place by itself: Σc max(g, 0) · a; good in early layers."""
    return over_channels(a.tape.Relu(g) * a, eigen_smooth=eigen_smooth)


@method("gradcam-elementwise", source="Hirschorn, in pytorch-grad-cam 2021")
def gradcam_elementwise(a: Value, g: Value, *, eigen_smooth: bool = False) -> Value:
    """Gradient times activation, negative products dropped, summed over channels: Σc max(g·a, 0)."""
    return over_channels(a.tape.Relu(g * a), eigen_smooth=eigen_smooth)


@method("cam", source="Zhou et al. 2016, arXiv:1512.04150", needs_linear_head=True)
def cam(a: Value, g: Value) -> Value:
    """Channels weighted by the last dense layer: under a linear head Σs g is just its row for the class."""
    return weighted(a, g.tape.ReduceSum(g, space(g), keepdims=1))


def weighted(a: Value, w: Value, *, eigen_smooth: bool = False) -> Value:
    """Σc w a: (N, C, h, w) and (N, C, 1, 1) → (N, h, w), as a product of matrices; or the leading component of w a."""
    if eigen_smooth:
        return leading_component(w * a)
    op = a.tape
    rows = op.Flatten(w, axis=1)
    return as_map(op.MatMul(op.Unsqueeze(rows, op.ints(1)), op.Reshape(a, op.ints(0, 0, -1))), a)


def over_channels(product: Value, *, eigen_smooth: bool = False) -> Value:
    """Σc: (N, C, h, w) → (N, h, w); or the leading component over channels."""
    op = product.tape
    return leading_component(product) if eigen_smooth else op.ReduceSum(product, op.ints(1), keepdims=0)
