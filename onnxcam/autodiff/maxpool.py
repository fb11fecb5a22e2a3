"""Max pooling: each window's cotangent goes to the first of its largest elements.

Never from MaxPool's indices: asking for them takes ONNX Runtime's fast pooling away (5–29 times the time) and is an
error on WebGPU and TensorRT. The elements are compared with the maxima instead, one place in the window after another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from onnxcam.autodiff.casting import as_float
from onnxcam.autodiff.core import vjp
from onnxcam.autodiff.extents import END, rank_of
from onnxcam.autodiff.sizes import Sizes, counting, cut, padded, reshaped, sizes_of
from onnxcam.autodiff.windows import Window, sliding
from onnxcam.graph import Node, Value

Place: TypeAlias = tuple[int, ...]


@vjp("MaxPool")
def max_pool(g: Value, node: Node) -> Value:
    """Among equals the first has it all, as in PyTorch; a NaN in x equals nothing."""
    x, y = as_float(node.x), as_float(node.output)
    window = sliding(node, x, Sizes(node.tape, node.attributes["kernel_shape"]))
    sizes, windows = sizes_of(x, 2), sizes_of(y, 2)
    extra = _extra(window, sizes, windows)
    length = (windows + extra) * window.strides
    field = padded(x, window.before, length - window.before - sizes, filling=-np.inf)
    phases = separated(field, window.strides)
    shares = _shares(g, y, phases, window=window, extra=extra)
    return cut(interleaved(shares, window.strides), window.before, sizes)


@vjp("GlobalMaxPool")
def global_max_pool(g: Value, node: Node) -> Value:
    """The first of the largest has it all."""
    op, x, rank = node.tape, as_float(node.x), rank_of(node.x, node)
    space = sizes_of(x, 2).numbers
    line = reshaped(x, 0, 0, -1 if space is None else math.prod(space))
    first = op.ArgMax(line, axis=2, keepdims=1)
    hit = reshaped(first.equals(counting(sizes_of(line, 2)).vector), 0, 0, sizes_of(x, 2))
    return op.Where(hit, reshaped(g, 0, 0, *[1] * (rank - 2)), 0.0)


def separated(x: Value, strides: Sequence[int]) -> dict[Place, Value]:
    """The elements of `x` (N, C, space) by their place modulo the strides, by which the sizes must divide.

    By Split, which copies 3 times faster than a Slice with steps and than SpaceToDepth.
    """
    phases: dict[Place, Value] = {(): x}
    for axis, stride in enumerate(strides, start=2):
        phases = {
            (*place, r): part for place, whole in phases.items() for r, part in enumerate(_deal(whole, axis, stride))
        }
    return phases


def interleaved(phases: Mapping[Place, Value], strides: Sequence[int]) -> Value:
    """The inverse of `separated`, one axis after another; a phase that is missing is zero."""
    some = next(iter(phases.values()))
    parts = {place: phases.get(place) for place in itertools.product(*map(range, strides))}
    for axis in reversed(range(len(strides))):
        heads = dict.fromkeys(place[:axis] for place in parts)
        parts = {head: _weave([parts[(*head, r)] for r in range(strides[axis])], axis + 2, some) for head in heads}
        some = next(part for part in parts.values() if part is not None)
    whole = parts[()]
    return some if whole is None else whole


def _shares(
    g: Value, y: Value, phases: Mapping[Place, Value], *, window: Window, extra: Sequence[int]
) -> dict[Place, Value]:
    """What each place of the window gets of `g`, moved to where it lies and added up by phase."""
    op, free = g.tape, None
    sums: dict[Place, Value] = {}
    places = list(itertools.product(*map(range, window.kernel.known)))
    for place in places:
        offset = [j * d for j, d in zip(place, window.dilations, strict=True)]
        phase = tuple(j % s for j, s in zip(offset, window.strides, strict=True))
        shift = [j // s for j, s in zip(offset, window.strides, strict=True)]
        if place == places[-1]:
            hit = free
        else:
            equal = _shifted(phases[phase], shift, extra).equals(y)
            hit = op.And(equal, free) if free else equal
            free = op.And(free, op.Not(equal)) if free else op.Not(equal)
        # What no earlier place had is the last one's: it needs no comparison.
        share = op.Where(hit, g, 0.0) if hit else g
        share = padded(share, Sizes(op, shift), Sizes(op, extra) - shift)
        sums[phase] = sums[phase] + share if phase in sums else share
    return sums


def _extra(window: Window, sizes: Sizes, windows: Sizes) -> tuple[int, ...]:
    """How many more elements than windows each phase must have, so that they hold all windows and all of `x`."""
    reach = window.reach
    extra = reach // window.strides
    spare = (windows + extra) * window.strides - window.before - sizes
    if spare.numbers is None or min(spare.numbers) < 0:
        extra = (reach + window.strides - 1) // window.strides
    return extra.known


def _shifted(phase: Value, shift: Sequence[int], extra: Sequence[int]) -> Value:
    """The elements of the phase that stand at one place of the windows, one for each window."""
    op = phase.tape
    if not any(extra):
        return phase
    ends = [q - e if q < e else END for q, e in zip(shift, extra, strict=True)]
    return op.Slice(phase, op.ints(*shift), op.ints(*ends), op.ints(*range(2, 2 + len(extra))))


def _deal(x: Value, axis: int, stride: int) -> list[Value]:
    """The elements along the axis, dealt in turn to `stride` tensors."""
    if stride == 1:
        return [x]
    rest, share = sizes_of(x, axis + 1), (sizes_of(x, axis, axis + 1) // stride).or_rest
    dealt = reshaped(x, *[0] * axis, share, stride, rest)
    parts = x.tape.emit("Split", [dealt], {"axis": axis + 1, "num_outputs": stride}, outputs=stride)
    return [reshaped(part, *[0] * axis, share, rest) for part in parts]


def _weave(parts: Sequence[Value | None], axis: int, like: Value) -> Value | None:
    """The parts' elements in turn along the axis; None, for zeros, where all are None."""
    op = like.tape
    if len(parts) == 1 or not any(parts):
        return parts[0]
    filled = [part or op.Expand(op.number(0.0, like), op.Shape(like)) for part in parts]
    woven = op.Concat(*(op.Unsqueeze(part, op.ints(axis + 1)) for part in filled), axis=axis + 1)
    length = (sizes_of(like, axis, axis + 1) * len(parts)).or_rest
    return reshaped(woven, *[0] * axis, length, sizes_of(like, axis + 1))
