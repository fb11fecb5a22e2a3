"""Which tensors are still the picture itself, and which layers inside the model scale it."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.tensor import Tensor

SCALING = frozenset(
    "Rescaling Normalization TFOpLambda SlicingOpLambda TensorFlowOpLayer TrueDivide Divide Subtract Multiply Add "
    "GetItem".split()
)
PASSING = frozenset("InputLayer Resizing CenterCrop ZeroPadding2D Identity Permute Cropping2D GaussianNoise".split())


def follow_pixels(layer: Layer, given: set[str], results: Sequence[Tensor]) -> None:
    """Notes what a layer makes of pixels: the same picture, moved or scaled; anything else are features."""
    pixels = layer.story.pixels
    is_scaling = layer.kind in SCALING
    if not given or not given <= pixels:
        return
    if is_scaling or layer.kind in PASSING or layer.kind.startswith(("Random", "Auto", "Aug")):
        pixels.update(x.value.name for x in results)
    if is_scaling:
        layer.story.scalings.append((layer.path, layer.kind, layer.config))
