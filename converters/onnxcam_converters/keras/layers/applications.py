"""Layers that keras.applications defines for some of its nets, and that are exported nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.layers.norms import spread
from onnxcam_converters.keras.operands import aligned
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor


@reads("LayerScale")
def layer_scale(layer: Layer, x: Tensor) -> Tensor:
    """Each channel times its own number: of ConvNeXt."""
    channels = layer.option("projection_dim")
    layer.ignore("init_values")
    (gamma,) = layer.weights("gamma")
    if gamma.shape != (channels,) or x.shape[-1] != channels:
        raise layer.refuse(f"its weight has the shape {gamma.shape}, not the one of ConvNeXt's LayerScale")
    return x.like(x.value * spread(layer, x, [x.rank - 1], name="gamma", array=gamma))


@reads("StochasticDepth")
def stochastic_depth(layer: Layer, x: Tensor) -> Tensor:
    """The same at inference: of ConvNeXt."""
    layer.option("drop_path_rate")
    return x


@reads("CustomScaleLayer")
def custom_scale_layer(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """The first plus the second times a number: of InceptionResNetV2."""
    operands = aligned(layer, inputs)
    first, second = operands.values
    return operands.tensor(first + second * float(layer.option("scale")))
