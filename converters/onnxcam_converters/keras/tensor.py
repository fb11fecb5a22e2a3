"""A Keras tensor in the ONNX graph: the axes in Keras's own order, the data often with channels moved to the front."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcam.graph import Dim, Tape, Value

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a Keras layer takes or gives.

    Attributes:
        value: in the graph.
        shape: in Keras's order of axes, batch first; a symbol or None where it is free.
        is_moved: the value has the last of Keras's axes, the channels, at position 1: (N, H, W, C) lies as
            (N, C, H, W).
    """

    value: Value
    shape: Shape
    is_moved: bool = False

    @property
    def tape(self) -> Tape:
        """Where nodes go."""
        return self.value.tape

    @property
    def rank(self) -> int:
        """The number of axes, the batch included."""
        return len(self.shape)

    def plain(self) -> Value:
        """The value in Keras's own order of axes."""
        if not self.is_moved:
            return self.value
        return self.tape.Transpose(self.value, perm=[0, *range(2, self.rank), 1])

    def moved(self) -> Value:
        """The value with Keras's last axis at position 1."""
        if self.is_moved:
            return self.value
        return self.tape.Transpose(self.value, perm=[0, self.rank - 1, *range(1, self.rank - 1)])

    def axis(self, axis: int) -> int:
        """Where Keras's axis lies in `value`."""
        axis %= self.rank
        if not self.is_moved or axis == 0:
            return axis
        return 1 if axis == self.rank - 1 else axis + 1

    def like(self, value: Value, shape: Shape | None = None) -> Tensor:
        """A tensor of the same order of axes, of the same shape unless another is given."""
        return Tensor(value, self.shape if shape is None else shape, self.is_moved)
