"""The spatial axes of a Keras tensor, wherever its channels lie."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.tensor import Shape, Tensor

FORMATS = {"channels_last": False, "tf": False, "channels_first": True, "th": True, None: False, "default": False}


@dataclass(frozen=True, slots=True)
class Frame:
    """A tensor with its channels at position 1, as ONNX has pictures.

    Attributes:
        value: (N, C, …).
        shape: in Keras's order.
        is_first: Keras has the channels at position 1 itself.
    """

    value: Value
    shape: Shape
    is_first: bool

    @property
    def size(self) -> tuple[Dim, ...]:
        """The spatial lengths."""
        return self.shape[2:] if self.is_first else self.shape[1:-1]

    def tensor(self, value: Value, size: tuple[Dim, ...]) -> Tensor:
        """The same with other spatial lengths."""
        batch, channels = self.shape[0], self.shape[1 if self.is_first else -1]
        if self.is_first:
            return Tensor(value, (batch, channels, *size))
        return Tensor(value, (batch, *size, channels), is_moved=True)


def has_channels_first(layer: Layer) -> bool:
    """Whether the layer's data_format says so; by default channels are last."""
    spec = layer.option("data_format", "dim_ordering", default=None)
    if spec not in FORMATS:
        raise layer.refuse(f"data_format={spec!r} is not covered")
    return FORMATS[spec]


def framed(layer: Layer, x: Tensor, *, rank: int, is_first: bool) -> Frame:
    """The tensor with its channels at position 1; it must have that many axes."""
    if x.rank != rank:
        raise layer.refuse(f"its input has {x.rank} axes, not {rank}")
    return Frame(x.plain() if is_first else x.moved(), x.shape, is_first)


def scaled(size: tuple[Dim, ...], factors: tuple[int, ...]) -> tuple[Dim, ...]:
    """Lengths times factors; unknown where they were."""
    return tuple(n * f if isinstance(n, int) else n if f == 1 else None for n, f in zip(size, factors, strict=True))
