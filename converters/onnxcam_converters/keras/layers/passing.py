"""Layers that do nothing at inference: their input goes through as it is."""

from __future__ import annotations

from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor


@reads("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout",
       "GaussianNoise", "ActivityRegularization", "Identity")  # fmt: skip
def passing(layer: Layer, x: Tensor) -> Tensor:
    """The same: noise and penalties are for training."""
    layer.ignore("rate", "p", "noise_shape", "stddev", "sigma", "l1", "l2", "data_format", "dim_ordering")
    return x


@reads("Masking")
def masking(layer: Layer, x: Tensor) -> Tensor:
    """Refused: what it hides travels beside the tensors, to every layer that looks for it."""
    raise layer.refuse("masks are not covered", f"Leave it out if no step of the input ({x.shape}) is hidden.")
