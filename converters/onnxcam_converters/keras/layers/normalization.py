"""Batch normalisation with the statistics of training; a node of its own, so that the layer's tensor stays."""

from __future__ import annotations

import numpy as np

from onnxcam.graph import Value
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor
from onnxcam_converters.keras.windows import expect_shape


@reads("BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization")
def batch_normalization(layer: Layer, x: Tensor) -> Tensor:
    """(x − mean) / √(variance + ε) · γ + β along one axis, mean and variance as they were in training."""
    layer.ignore("momentum", "fused", "synchronized", "renorm_clipping", "renorm_momentum", "virtual_batch_size")
    layer.expect("mode", 0)
    layer.expect("renorm", False, None)
    layer.expect("adjustment", None)
    axis, epsilon = _axis(layer, x), float(layer.option("epsilon", default=1e-3))
    gamma, beta, mean, variance = _statistics(layer, x.shape[axis])
    weights = [layer.constant(name, array) for name, array in
               (("gamma", gamma), ("beta", beta), ("moving_mean", mean), ("moving_variance", variance))]  # fmt: skip
    if axis == 1 and not (x.is_moved and x.rank > 2):
        return x.like(_normalized(x.value, weights, epsilon))
    if axis == x.rank - 1:
        return Tensor(_normalized(x.moved(), weights, epsilon), x.shape, is_moved=True)
    order = [0, axis, *(i for i in range(1, x.rank) if i != axis)]
    front = x.tape.Transpose(x.plain(), perm=order)
    back = [order.index(i) for i in range(x.rank)]
    return Tensor(x.tape.Transpose(_normalized(front, weights, epsilon), perm=back), x.shape)


def _normalized(x: Value, weights: list[Value], epsilon: float) -> Value:
    return x.tape.BatchNormalization(x, *weights, epsilon=epsilon)


def _axis(layer: Layer, x: Tensor) -> int:
    """The axis of the channels, in Keras's order; the oldest files of tf.keras 2 have a list of one."""
    axis = layer.option("axis", default=-1)
    axes = axis if isinstance(axis, list | tuple) else [axis]
    if len(axes) != 1 or axes[0] % x.rank == 0:
        raise layer.refuse(f"axis={axis!r} is not covered")
    return int(axes[0] % x.rank)


def _statistics(layer: Layer, count: object) -> list[Array]:
    """γ, β, mean and variance; a γ of one and a β of zero where the layer has none."""
    has_scale, has_center = layer.option("scale", default=True), layer.option("center", default=True)
    names = ["gamma"] * bool(has_scale) + ["beta"] * bool(has_center) + ["moving_mean", "moving_variance"]
    # Keras 1 calls them running_mean and running_std, the latter a variance all the same.
    found = dict(zip(names, layer.weights(*names), strict=True))
    mean = found["moving_mean"]
    given = {"gamma": np.ones_like(mean), "beta": np.zeros_like(mean)} | found
    for name in names:
        expect_shape(layer, name, given[name], (count if isinstance(count, int) else mean.size,))
    return [given[name] for name in ("gamma", "beta", "moving_mean", "moving_variance")]
