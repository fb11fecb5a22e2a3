"""Nets of signals and volumes as ONNX text: class 0 is a bump in the first channel, class 1 one in the last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, checker, numpy_helper, parser

Array = NDArray[np.float32]

TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
bumps (float[{dims}] {name}) => (float[N,2] scores)
<int64[{axes}] space = {{{places}}}>
{{
    {entry}
    sums = Conv <pads = [{pads}]> (x, kernels)
    found = Relu (sums)
    means = ReduceMean <keepdims = 0> (found, space)
    scores = Gemm <transB = 1> (means, heads)
}}
"""
SPREAD = 2  # a bump reaches so far on both sides


def bumps(*sides: int | str, channels: int = 2, channel_axis: int = 0) -> ModelProto:
    """The net of signals of that length, or volumes of these sides; a text stands for any length."""
    axes = len(sides)
    order = [*range(1, axes + 1)]
    order.insert(channel_axis % (axes + 1), 0)
    dims = ["N", *([channels, *sides][axis] for axis in order)]
    perm = [0, *(1 + order.index(axis) for axis in range(axes + 1))]
    model = parser.parse_model(
        TEXT.format(
            dims=", ".join(map(str, dims)),
            name="turned" if channel_axis else "x",
            axes=axes,
            places=", ".join(map(str, range(2, axes + 2))),
            entry=f"x = Transpose <perm = {perm}> (turned)" if channel_axis else "",
            pads=", ".join(["1"] * (2 * axes)),
        )
    )
    kernels = np.zeros((2, channels, *[3] * axes), np.float32)
    kernels[0, 0], kernels[1, -1] = 1, -1 if channels == 1 else 1
    for name, values in (("kernels", kernels), ("heads", np.eye(2, dtype=np.float32))):
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    checker.check_model(model, full_check=True)
    return model


def bump(at: tuple[int, ...], sides: tuple[int, ...], height: float = 3.0) -> Array:
    """A bump on a line, or in space, of these sides."""
    far = sum(((place - c) / SPREAD) ** 2 for place, c in zip(np.indices(sides), at, strict=True))
    return np.asarray(height * np.exp(-far), np.float32)


def planted(
    at: tuple[int, ...], sides: tuple[int, ...], *, channel: int = 0, channels: int = 2, channel_axis: int = 0
) -> Array:
    """Silence with a bump in one channel."""
    found = np.zeros((channels, *sides), np.float32)
    found[channel] = bump(at, sides)
    return np.moveaxis(found, 0, channel_axis)
