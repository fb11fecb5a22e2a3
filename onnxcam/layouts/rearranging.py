"""Ops that move axes about: flatten a grid to tokens, split it again, cut windows, part heads from channels."""

from __future__ import annotations

from onnxcam.layouts.axes import Axes, channels, merged, resized
from onnxcam.layouts.following import Step, UnknownAxes, aligned, follows
from onnxcam.layouts.reshaping import regroup


@follows("Reshape")
def reshape(step: Step) -> Axes | None:
    """The order in memory stays."""
    known, target = step.axes(0), step.ints(1)
    if target is not None and target[:1] == [0] and len(known) > 1 and not step.attribute("allowzero", 0):
        rest = regroup(known[1:], step.shape[1:])
        return None if rest is None else (known[0], *rest)
    return regroup(known, step.shape)


@follows("Flatten")
def flatten(step: Step) -> Axes:
    """Two axes are left."""
    known = step.axes(0)
    axis = step.attribute("axis", 1)
    cut = axis + len(known) if axis < 0 else axis
    front, back = ([atom for axis in part for atom in axis] for part in (known[:cut], known[cut:]))
    return merged(front), merged(back)


@follows("Transpose")
def transpose(step: Step) -> Axes:
    """Axes go where the permutation says."""
    known = step.axes(0)
    return tuple(known[axis] for axis in step.attribute("perm", range(len(known))[::-1]))


@follows("Squeeze")
def squeeze(step: Step) -> Axes:
    """Axes of size one are gone."""
    known, axes = step.axes(0), step.ints(1)
    if axes is None:
        return tuple(axis for axis in known if axis)
    gone = {axis % len(known) for axis in axes}
    return tuple(axis for index, axis in enumerate(known) if index not in gone)


@follows("Unsqueeze")
def unsqueeze(step: Step) -> Axes:
    """New axes of size one."""
    axes, rank = step.ints(1), len(step.shape)
    if axes is None:
        raise UnknownAxes
    new, known = {axis % rank for axis in axes}, iter(step.axes(0))
    return tuple(() if index in new else next(known) for index in range(rank))


@follows("Expand")
def expand(step: Step) -> Axes:
    """Axes aligned from the back; those that were of size one repeat what was there."""
    known = step.axes(0)
    front = len(step.shape) - len(known)
    old = ((),) * front + known
    return tuple(axis or channels(size) for axis, size in zip(old, step.shape, strict=True))


@follows("Tile")
def tile(step: Step) -> Axes:
    """What is repeated is no longer the picture's."""
    known, repeats = step.axes(0), step.ints(1)
    if repeats is None:
        return tuple(resized(axis, size) for axis, size in zip(known, step.shape, strict=True))
    return tuple(x if n == 1 else channels(size) for x, n, size in zip(known, repeats, step.shape, strict=True))


@follows("Dropout", "Identity", "Cast", "Softmax", "LogSoftmax", "LayerNormalization", "LpNormalization", "CumSum")
def first(step: Step) -> Axes:
    """As it was."""
    return step.axes(0)


@follows("Where")
def where(step: Step) -> Axes:
    """As in broadcasting."""
    return aligned(step)
