"""Fourier transforms: linear, so that each one's way back is a transform in the other direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.core import vjp_by_equivalent
from onnxcam.autodiff.extents import axis_of, known_ints, pad_along, rank_of, runtime_sizes_along, sizes_along
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sizes import Sizes, counting, sizes_of
from onnxcam.graph import Node, Value


@vjp("DFT")
def dft(g: Value, node: Node) -> Value:
    """y = F x: dx = Fᴴ g, which is L times the inverse transform; for the inverse, the transform over L."""
    op, axis, g = node.tape, axis_of(node.x, node, default=1), _ranked(g, node)
    is_inverse, is_half = node.attributes.get("inverse", 0), node.attributes.get("onesided", 0)
    length = _length(node, axis, is_half=bool(is_inverse and is_half))
    count = _as_number(length, like=g)
    if is_inverse and is_half:
        # Of a real signal's spectrum half is enough: but for its ends, each entry counts for its mirror image too.
        spectrum = _ranked(op.DFT(g, _scalar(length), axis=axis, onesided=1), node)
        weighed = spectrum * _mirror_weights(length, node, axis, like=g) / count
        return _fitted(weighed, node.x, axis, length=length // 2 + 1)
    # Where g is half a spectrum, its length says that the rest is zeros.
    turned = _ranked(op.DFT(g, _scalar(length), axis=axis, inverse=1 - is_inverse), node)
    scaled = turned / count if is_inverse else turned * count
    whole = scaled if node.optional(1) is None else _fitted(scaled, node.x, axis, length=length)
    return _parts_of(whole, node)


@vjp_by_equivalent("STFT")
def stft(node: Node) -> list[Value]:
    """The DFT of every frame, each times the window."""
    op, signal, window = node.tape, node.x, node.optional(2)
    length, step = _frame_length(node), _given(node, 1)
    frames = (sizes_of(signal, 1, 2) - length) // step + 1
    firsts = op.Unsqueeze((counting(frames) * step).vector, op.ints(1))
    cut = op.Gather(signal, firsts + counting(length).vector, axis=1)
    weighed = cut if window is None else cut * op.Unsqueeze(window, op.ints(1))
    return [op.DFT(weighed, axis=2, onesided=node.attributes.get("onesided", 1))]


def _length(node: Node, axis: int, *, is_half: bool) -> Sizes:
    """How long the transform is; by default as long as its input, or as what that is half the spectrum of."""
    if node.optional(1) is not None:
        return _given(node, 1)
    n = sizes_of(node.x, axis, axis + 1)
    return (n - 1) * 2 if is_half else n


def _frame_length(node: Node) -> Sizes:
    if node.optional(3) is not None:
        return _given(node, 3)
    window = node.optional(2)
    return sizes_of(node.x, 1, 2) if window is None else sizes_of(window)


def _given(node: Node, index: int) -> Sizes:
    """The one number that an input holds."""
    value = node.input(index)
    known = known_ints(value)
    op = node.tape
    return Sizes(op, known, None if known else op.Cast(op.Reshape(value, op.ints(-1)), to=7))


def _ranked(y: Value, node: Node) -> Value:
    """`y`, of the rank of x, which inference loses where the length is computed, and rules for `y` ask for."""
    return y if y.shape is not None else y.tape.Reshape(y, y.tape.ints(*[0] * rank_of(node.x, node)))


def _scalar(size: Sizes) -> Value:
    """The only size as a scalar."""
    op = size.tape
    return op.Squeeze(size.vector) if size.numbers is None else op.constant(np.array(size.numbers[0], np.int64))


def _as_number(size: Sizes, *, like: Value) -> Value:
    if size.numbers is not None:
        return like.tape.number(float(size.numbers[0]), like)
    return cast_like(size.vector, like)


def _mirror_weights(length: Sizes, node: Node, axis: int, *, like: Value) -> Value:
    """2 for each entry of half a spectrum, 1 for the first, and for the last where the length is even."""
    op, behind = like.tape, [1] * (rank_of(node.x, node) - 1 - axis)
    places = counting(length // 2 + 1).vector
    is_end = op.Or(places.equals(op.ints(0)), (places * op.ints(2)).equals(length.vector))
    weights = op.Where(is_end, op.number(1.0, like), op.number(2.0, like))
    return op.Reshape(weights, op.ints(-1, *behind))


def _fitted(back: Value, x: Value, axis: int, *, length: Sizes) -> Value:
    """`back`, of that length along the axis, in the size of `x`: what the transform cut off gets zeros."""
    op, n = back.tape, sizes_of(x, axis, axis + 1)
    missing = (n - length).at_least(0)
    if not missing.is_zero:
        back = pad_along(back, _pair(missing), [axis], rank=len(x.shape or ()))
    is_whole = n.numbers is not None and length.numbers is not None and n.numbers[0] >= length.numbers[0]
    return back if is_whole else op.Slice(back, op.ints(0), n.vector, op.ints(axis))


def _pair(after: Sizes) -> Value:
    """Pads of none before and that many after."""
    op = after.tape
    return op.ints(0, *after.numbers) if after.numbers is not None else op.Concat(op.ints(0), after.vector, axis=0)


def _parts_of(whole: Value, node: Node) -> Value:
    """Real and imaginary part, or the real part alone where x has no other."""
    op, last = node.tape, rank_of(node.x, node) - 1
    parts: Sequence[int] | None = sizes_along(node.x, [last])
    if parts is not None and parts[0] == 2:
        return whole
    ends = op.ints(1) if parts is not None else runtime_sizes_along(node.x, [last])
    return op.Slice(whole, op.ints(0), ends, op.ints(last))
