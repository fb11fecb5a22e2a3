"""Layers that change pictures at random while a model is trained, and leave them alone afterwards: all but three."""

from __future__ import annotations

from onnxcam_converters.keras.arrays import array_of
from onnxcam_converters.keras.frames import framed, has_channels_first
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import as_float
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.resizing import smartly_resized
from onnxcam_converters.keras.tensor import Tensor

FULL = 255.0


@reads(
    *"AugMix CutMix Equalization MixUp RandAugment RandomBrightness "
    "RandomColorDegeneration RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip "
    "RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization "
    "RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom "
    "Solarization".split()
)
def unchanged(layer: Layer, x: Tensor) -> Tensor:
    """The same, as floats."""
    if not isinstance(x, Tensor):
        raise layer.refuse("it is called with more than pictures")
    layer.ignore(*layer.config)
    return as_float(x)


@reads("RandomCrop")
def random_crop(layer: Layer, x: Tensor) -> Tensor:
    """Before Keras 3 resized in proportion; Keras 3's versions differ in what they do to another size."""
    layer.ignore("rng_type")
    frame = framed(layer, as_float(x), rank=4, is_first=has_channels_first(layer))
    size = (int(layer.option("height")), int(layer.option("width")))
    if layer.keras >= (3,) and frame.size != size:
        raise layer.refuse(f"pictures are {frame.size}, not {size}, and the versions of Keras 3 do not agree on those")
    return smartly_resized(layer, frame, size)


@reads("AutoContrast")
def auto_contrast(layer: Layer, x: Tensor) -> Tensor:
    """Each channel of each picture stretched to the whole range; one that is all the same stays: nothing random."""
    layer.ignore("factor", "data_format", "bounding_box_format")
    spec = array_of(layer.option("value_range", default=[0, 255]))
    if spec is None or spec.shape != (2,) or x.rank != 4:
        raise layer.refuse("its value_range or its input is not understood")
    start, end = sorted(float(n) for n in spec)
    op, value = x.tape, as_float(x).value
    # Axes 1 and 2 whatever the data_format, as in Keras.
    axes = op.ints(x.axis(1), x.axis(2))
    bytes_ = (value - start) / (end - start) * FULL
    low, high = op.ReduceMin(bytes_, axes), op.ReduceMax(bytes_, axes)
    is_flat = high.equals(low)
    spread = op.Where(is_flat, 1.0, high - low)
    stretched = op.Clip((bytes_ - low) * (FULL / spread), 0.0, FULL) / FULL * (end - start) + start
    return x.like(op.Where(is_flat, value, stretched))
