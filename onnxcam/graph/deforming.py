"""DeformConv in ops of opset 18: the picture is read where the offsets say, and then convolved by 1 × 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxcam.graph.sampling import as_number, counted, like, read, samples, single, size_of, taps
from onnxcam.graph.value import Value


@dataclass(frozen=True, slots=True)
class Deforming:
    """A DeformConv of pictures. Below, K are the elements of its kernel, A its images times offset groups.

    Attributes:
        kernel: (height, width); the further ones likewise, `pads` those before y and before x.
        channels: of the picture.
    """

    kernel: Sequence[int]
    strides: Sequence[int]
    pads: Sequence[int]
    dilations: Sequence[int]
    channels: int
    group: int
    offset_group: int

    def write(self, x: Value, w: Value, offset: Value, bias: Value | None = None, mask: Value | None = None) -> Value:
        """y = Σ w·mask·x(p + offset) + bias, x being 0 outside: (N, C, H, W) → (N, C′, H′, W′)."""
        if x.dtype is not None and x.dtype.name == "bfloat16":  # which Conv takes in later opsets only
            wide = [None if value is None else single(value) for value in (bias, mask)]
            return like(self.write(single(x), single(w), offset, *wide), x)
        op, count = x.tape, int(np.prod(self.kernel))
        depth = self.channels // self.group * count
        columns = self._columns(x, self._places(single(offset)))
        if mask is not None:
            places = size_of(offset, 2) * size_of(offset, 3) * op.ints(count)
            columns = columns * op.Reshape(mask, op.Concat(op.ints(-1, 1), places, axis=0))
        space = [size_of(offset, axis) for axis in (2, 3)]
        # Of convolutions in float64 ONNX Runtime has none.
        if x.dtype == np.float64:
            lines = op.Reshape(columns, op.Concat(size_of(x, 0), op.ints(self.group, depth), op.ints(-1), axis=0))
            flat = op.Reshape(w, op.ints(self.group, -1, depth))
            y = op.Reshape(op.MatMul(flat, lines), op.Concat(size_of(x, 0), size_of(w, 0), *space, axis=0))
            return y if bias is None else y + op.Reshape(bias, op.ints(-1, 1, 1))
        lines = op.Reshape(columns, op.Concat(size_of(x, 0), op.ints(self.group * depth), *space, axis=0))
        return op.Conv(lines, op.Reshape(w, op.ints(-1, depth, 1, 1)), bias, group=self.group)

    def _places(self, offset: Value) -> list[Value]:
        """Where the picture is read, along y and along x, (A, K, H′, W′)."""
        op, count = offset.tape, int(np.prod(self.kernel))
        space = [size_of(offset, axis) for axis in (2, 3)]
        apart = op.Reshape(offset, op.Concat(op.ints(-1, count, 2), *space, axis=0))
        found = []
        for axis in (0, 1):
            outputs = counted(space[axis], offset) * float(self.strides[axis]) - float(self.pads[axis])
            elements = np.indices(self.kernel)[axis].reshape(-1, 1, 1) * self.dilations[axis]
            resting = op.Reshape(outputs, op.ints(*(-1, 1)[: 2 - axis])) + op.constant(elements.astype(offset.dtype))
            found.append(op.Gather(apart, op.constant(np.array(axis)), axis=2) + resting)
        return found

    def _columns(self, x: Value, places: Sequence[Value]) -> Value:
        """What is read there, (A, channels of an offset group, K·H′·W′)."""
        op, picture = x.tape, x
        if self.offset_group > 1:
            shape = op.Concat(op.ints(-1, self.channels // self.offset_group), size_of(x, 2), size_of(x, 3), axis=0)
            picture = op.Reshape(x, shape)
        sizes = [size_of(x, axis) for axis in (2, 3)]
        # GridSample is the faster by far, but ONNX Runtime has it in float32 alone.
        if x.dtype == np.float64:
            axes = [
                taps(op.Reshape(place, op.ints(0, 1, -1)), size, mode="linear", padding="zeros")
                for place, size in zip(places, sizes, strict=True)
            ]
            return read(op.Reshape(picture, op.ints(0, 0, -1)), samples(axes, sizes))
        # From −1 to 1 lie all pixels, and half of one is beyond the centres of the outer ones.
        scaled = [(place * 2.0 + 1.0) / as_number(size, place) - 1.0 for place, size in zip(places, sizes, strict=True)]
        grid = op.Concat(*(op.Unsqueeze(place, op.ints(4)) for place in reversed(scaled)), axis=4)
        drawn = op.GridSample(single(picture), op.Reshape(grid, op.ints(0, 0, -1, 2)), mode="bilinear")
        return like(op.Reshape(drawn, op.ints(0, 0, -1)), x)
