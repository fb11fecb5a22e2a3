"""Ops that fix the order of axes, batch, channels, then space: convolutions, pools and what works on a plane."""

from __future__ import annotations

from onnxcam.layouts.axes import BATCH, SIDES, Atom, Axes, Axis, channels, is_spatial, resized
from onnxcam.layouts.following import Step, follows, kinds_of
from onnxcam.layouts.pictures import CHANNELS_FIRST


@follows(
    "AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "DepthToSpace",
    "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LpPool",
    "LRN", "MaxPool", "MaxUnpool", "QLinearAveragePool", "QLinearConv", "QLinearGlobalAveragePool", "SpaceToDepth",
)  # fmt: skip
def plane(step: Step) -> Axes:
    """Rows and columns stay where they are, in another number; channels are mixed; the batch stays."""
    known, shape = step.inputs[0], step.shape
    if known is None or len(known) != len(shape):
        return fresh(step)
    mixed = known[1] if known[1:2] and _stays(step) else channels(shape[1])
    return (known[0], mixed, *(resized(axis, size) for axis, size in zip(known[2:], shape[2:], strict=True)))


def _stays(step: Step) -> bool:
    """Whether each channel is worked on by itself, and so goes on counting what it did."""
    return "Normalization" in step.node.op_type or step.node.op_type in ("MaxPool", "AveragePool", "LRN", "LpPool")


def fresh(step: Step) -> Axes:
    """(N, C, H, W) of an op whose input is unknown: ONNX says so."""
    letters = kinds_of(CHANNELS_FIRST.get(len(step.shape), ""))
    return tuple(_fresh(letter, step, index) for index, letter in enumerate(letters))


def _fresh(letter: str, step: Step, index: int) -> Axis:
    size = step.shape[index]
    if letter == BATCH:
        return (Atom(BATCH, size),)
    return channels(size) if size == 1 or letter not in SIDES else (Atom(letter, size),)


@follows("GridSample")
def grid_sample(step: Step) -> Axes:
    """Places of the grid, (N, H, W, 2)."""
    x, grid = step.axes(0), step.axes(1)
    places = (axis if is_spatial(axis) else old for axis, old in zip(grid[1:-1], x[2:], strict=True))
    return (*x[:2], *(resized(axis, size) for axis, size in zip(places, step.shape[2:], strict=True)))


@follows("Resize", "Upsample")
def resize(step: Step) -> Axes:
    """Each axis in another number."""
    return tuple(resized(axis, size) for axis, size in zip(step.axes(0), step.shape, strict=True))


@follows("Col2Im")
def folded(step: Step) -> Axes:
    """Patches laid back to where they came from: (N, C, H, W)."""
    return (step.axes(0)[0], *fresh(step)[1:])
