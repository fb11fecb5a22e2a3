"""Max pooling: each window's cotangent goes to the first of its largest elements.

Never from MaxPool's indices: asking for them takes ONNX Runtime's fast pooling away (5–29 times the time) and is an
error on WebGPU and TensorRT. The elements are compared with the maxima instead, one place in the window after another;
and one axis after another, since the largest of a window is the largest of its rows' largest: k + k places, not k·k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxcam.autodiff.casting import as_float
from onnxcam.autodiff.extents import END, rank_of
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sizes import Sizes, counting, joined, reshaped, sizes_of
from onnxcam.autodiff.windows import Window, sliding
from onnxcam.graph import Node, Value


@vjp("MaxPool")
def max_pool(g: Value, node: Node) -> Value:
    """Among equals the first has it all, as in PyTorch; a NaN in x equals nothing."""
    x = as_float(node.x)
    window = sliding(node, x, Sizes(node.tape, node.attributes["kernel_shape"]))
    axes = [axis for axis, line in enumerate(_lines(window)) if line.kernel > 1 or line.stride > 1]
    # The last axis is pooled first, so that the first of equal rows goes before the first in a row.
    pooled = [x]
    for axis in reversed(axes[1:]):
        pooled.append(node.tape.MaxPool(pooled[-1], **_along(node, axis)))
    pooled = [*pooled[: len(axes)], as_float(node.output)]
    for axis in axes:
        y = pooled.pop()
        g = _pull_back(g, y, pooled[-1], axis=axis + 2, line=_lines(window)[axis])
    return g


@vjp("GlobalMaxPool")
def global_max_pool(g: Value, node: Node) -> Value:
    """The first of the largest has it all."""
    op, x, rank = node.tape, as_float(node.x), rank_of(node.x, node)
    space = sizes_of(x, 2).numbers
    line = reshaped(x, 0, 0, -1 if space is None else math.prod(space))
    first = op.ArgMax(line, axis=2, keepdims=1)
    hit = reshaped(first.equals(counting(sizes_of(line, 2)).vector), 0, 0, sizes_of(x, 2))
    return op.Where(hit, reshaped(g, 0, 0, *[1] * (rank - 2)), 0.0)


@dataclass(frozen=True, slots=True)
class Line:
    """A window along one axis."""

    kernel: int
    stride: int
    dilation: int
    before: Sizes

    @property
    def reach(self) -> int:
        return (self.kernel - 1) * self.dilation


def _lines(window: Window) -> list[Line]:
    pairs = enumerate(zip(window.kernel.known, window.strides, window.dilations, strict=True))
    return [Line(k, s, d, window.before.axis(axis)) for axis, (k, s, d) in pairs]


def _along(node: Node, axis: int) -> dict[str, Any]:
    """The node's attributes, as far as they concern that axis."""
    given, count = node.attributes, len(node.attributes["kernel_shape"])
    alone: dict[str, Any] = {name: given[name] for name in ("auto_pad", "ceil_mode") if name in given}
    for name in ("kernel_shape", "strides", "dilations"):
        if name in given:
            alone[name] = [n if place == axis else 1 for place, n in enumerate(given[name])]
    if given.get("pads"):
        alone["pads"] = [n if place % count == axis else 0 for place, n in enumerate(given["pads"])]
    return alone


def _pull_back(g: Value, y: Value, x: Value, *, axis: int, line: Line) -> Value:
    """The cotangent of `x`, whose windows along the axis have `y` as their largest elements."""
    length, windows = sizes_of(x, axis, axis + 1), sizes_of(y, axis, axis + 1)
    extra = _extra(line, length, windows)
    total = (windows + extra) * line.stride
    field = _padded(x, axis, line.before, total - line.before - length, filling=-np.inf)
    shares = _shares(g, y, _deal(field, axis, line.stride), axis=axis, line=line, extra=extra)
    whole = _weave(shares, axis, shares[line.reach % line.stride])
    return _cut(whole, axis, line.before, length)


def _shares(g: Value, y: Value, phases: Sequence[Value], *, axis: int, line: Line, extra: int) -> list[Value | None]:
    """What each place of the window gets of `g`, moved to where it lies and added up by phase; None for nothing."""
    op, rest = g.tape, g
    sums: list[Value | None] = [None] * line.stride
    turns = [divmod(place * line.dilation, line.stride) for place in range(line.kernel)]
    places = [_shifted(phases[phase], axis, shift, extra) for shift, phase in turns]
    if y.dtype is not None and y.dtype.itemsize == 2:
        # ONNX Runtime's CPU computes float16 in float32 and leaves out roundings where it likes: its maximum may equal
        # none of the elements. The maximum of the very tensors that are compared equals one of them.
        y = op.Max(*places)
    for place, (shift, phase) in enumerate(turns):
        share = rest  # what no earlier place had is the last one's: it needs no comparison
        if place < line.kernel - 1:
            equal = places[place].equals(y)
            share, rest = op.Where(equal, rest, 0.0), op.Where(equal, 0.0, rest)
        share = _padded(share, axis, Sizes(op, [shift]), Sizes(op, [extra - shift]))
        known = sums[phase]
        sums[phase] = share if known is None else known + share
    return sums


def _extra(line: Line, length: Sizes, windows: Sizes) -> int:
    """How many more elements than windows each phase must have, so that they hold all windows and all of `x`."""
    extra = line.reach // line.stride
    spare = (windows + extra) * line.stride - line.before - length
    if spare.numbers is None or spare.numbers[0] < 0:
        extra = (line.reach + line.stride - 1) // line.stride
    return extra


def _shifted(phase: Value, axis: int, shift: int, extra: int) -> Value:
    """The elements of the phase that stand at one place of the windows, one for each window."""
    op = phase.tape
    if not extra:
        return phase
    return op.Slice(phase, op.ints(shift), op.ints(shift - extra if shift < extra else END), op.ints(axis))


def _deal(x: Value, axis: int, stride: int) -> list[Value]:
    """The elements along the axis, dealt in turn to `stride` tensors.

    By Split, which copies 3 times faster than a Slice with steps and than SpaceToDepth.
    """
    if stride == 1:
        return [x]
    rest, share = sizes_of(x, axis + 1), (sizes_of(x, axis, axis + 1) // stride).or_rest
    dealt = reshaped(x, *[0] * axis, share, stride, rest)
    parts = x.tape.emit("Split", [dealt], {"axis": axis + 1, "num_outputs": stride}, outputs=stride)
    return [reshaped(part, *[0] * axis, share, rest) for part in parts]


def _weave(parts: Sequence[Value | None], axis: int, like: Value | None) -> Value:
    """The inverse: the parts' elements in turn along the axis; None stands for zeros, in the shape of `like`."""
    assert like is not None  # noqa: S101 - the last place has its share
    op = like.tape
    if len(parts) == 1:
        return like
    filled = [part or op.Expand(op.number(0.0, like), op.Shape(like)) for part in parts]
    woven = op.Concat(*(op.Unsqueeze(part, op.ints(axis + 1)) for part in filled), axis=axis + 1)
    length = (sizes_of(like, axis, axis + 1) * len(parts)).or_rest
    return reshaped(woven, *[0] * axis, length, sizes_of(like, axis + 1))


def _padded(x: Value, axis: int, before: Sizes, after: Sizes, filling: float = 0.0) -> Value:
    """`x` with that much of `filling` around it along the axis; no amount may be negative."""
    if before.is_zero and after.is_zero:
        return x
    op = x.tape
    others = Sizes(op, [0] * (len(x.shape or ()) - 1))
    front, back = Sizes(op, others.known[:axis]), Sizes(op, others.known[axis:])
    return op.Pad(x, joined(op, front, before, others, after, back), op.number(filling, x) if filling else None)


def _cut(x: Value, axis: int, start: Sizes, length: Sizes) -> Value:
    """As many elements along the axis; `x` itself if that is all of it."""
    if start.is_zero and length.numbers is not None and x.shape is not None and x.shape[axis] == length.numbers[0]:
        return x
    return x.tape.Slice(x, start.vector, (start + length).vector, x.tape.ints(axis))
