"""Convolutions: the gradient of each is a convolution again, in the form that ONNX Runtime runs fastest."""

from __future__ import annotations

from dataclasses import replace

from onnxcam.autodiff.extents import END, rank_of
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sizes import Sizes, cut, padded, reshaped, sizes_of
from onnxcam.autodiff.windows import Window, kernel_of, sliding, spreading
from onnxcam.graph import Node, Value


@vjp("Conv")
def conv(g: Value, node: Node) -> tuple[Value | None, ...]:
    """y = w ⋆ x + b: x gets g spread by w, w gets x correlated with g, b the sum of g."""
    x, w, group = node.x, node.input(1), node.attributes.get("group", 1)
    window = sliding(node, x, kernel_of(node, w))
    dx = spread(*_with_factor_in_kernel(g, w), window, sizes=sizes_of(x, 2), group=group) if node.wants(0) else None
    dw = correlate(x, g, window, kernel=sizes_of(w, 2), group=group) if node.wants(1) else None
    return (dx, dw, bias_gradient(g, node))[: len(node.inputs)]


@vjp("ConvTranspose")
def conv_transpose(g: Value, node: Node) -> tuple[Value | None, ...]:
    """x was spread by w: it gets g convolved with w; w gets g correlated with x; b the sum of g."""
    x, w, group = node.x, node.input(1), node.attributes.get("group", 1)
    window = spreading(node, x, kernel_of(node, w))
    dx = _convolve(g, w, window, node=node, group=group) if node.wants(0) else None
    dw = correlate(g, x, window, kernel=sizes_of(w, 2), group=group) if node.wants(1) else None
    return (dx, dw, bias_gradient(g, node))[: len(node.inputs)]


def _with_factor_in_kernel(g: Value, w: Value) -> tuple[Value, Value]:
    """Both, with a constant for each channel that g was multiplied by, as behind a BatchNormalization, in w instead.

    ONNX Runtime then multiplies once, on loading: it merges what follows a Conv, not what comes before.
    """
    op, node = g.tape, g.producer
    if node is None or node.op_type != "Mul" or w.shape is None:
        return g, w
    rest, factor, ones = node.input(0), node.input(1), (1,) * (len(w.shape) - 2)
    if factor.shape != (w.shape[0], *ones) or rest.shape != g.shape or not (_is_constant(factor) and _is_constant(w)):
        return g, w
    return rest, w * op.Unsqueeze(factor, op.ints(1))


def _is_constant(value: Value) -> bool:
    """Whether it is a constant, or computed from such alone."""
    node = value.producer
    return value.name in value.tape.constants if node is None else all(map(_is_constant, node.reads))


def bias_gradient(g: Value, node: Node) -> Value | None:
    """Σ g over batch and space: (N, C, space) → (C,)."""
    if not node.wants(2):
        return None
    axes = (0, *range(2, rank_of(node.x, node)))
    return g.tape.ReduceSum(g, g.tape.ints(*axes), keepdims=0)


def spread(g: Value, w: Value, window: Window, *, sizes: Sizes, group: int) -> Value:
    """What a convolution by `w` (M, C/group, kernel) does backwards to `g` (N, M, ·): (N, C, sizes)."""
    # With stride 1, a Conv takes 0.75–1.1 times the forward pass; ConvTranspose 0.8–2.7, depthwise 7×7 even 9–19.
    if window.is_dense and window.reach.numbers is not None and window.before.numbers is not None:
        return _spread_densely(g, w, window, group=group)
    if _is_depthwise(w, group) and window.reach.numbers and any(window.reach.numbers) and window.before.numbers:
        return _spread_spaced(g, w, window, sizes=sizes, group=group)
    return _spread_apart(g, w, window, sizes=sizes, group=group)


def correlate(x: Value, g: Value, window: Window, *, kernel: Sizes, group: int) -> Value:
    """The gradient in the kernel: Σ over n and o of g[n, m, o] · x[n, c, o·stride − before + j·dilation].

    A Conv with the batch in place of the channels, and strides and dilations swapped.

    Args:
        x: (N, C, space), what the window slides over.
        g: (N, M, windows).
        window: how it slides.
        kernel: sizes of the kernel j.
        group: channels come in that many groups.

    Returns:
        (M, C/group, kernel).
    """
    op, axes = x.tape, len(window.strides)
    swap = [1, 0, *range(2, 2 + axes)]
    x, pads = _with_attribute_pads(x, window)
    seen = op.Transpose(x, perm=swap) if group == 1 else _groups_into_batch(x, group, axes)
    found = op.Conv(
        seen, op.Transpose(g, perm=swap), pads=pads, strides=window.dilations, dilations=window.strides, group=group
    )
    return cut(op.Transpose(found, perm=swap), Sizes(op, [0] * axes), kernel)


def flipped(w: Value, group: int, kernel: tuple[int, ...]) -> Value:
    """The kernel (M, C/group, kernel) turned round in space, in and out swapped: (C, M/group, kernel).

    In the graph and not in numpy: ONNX Runtime folds it on loading, and the file does not hold the weights twice.
    """
    op, axes = w.tape, [axis for axis, k in enumerate(kernel) if k > 1]
    w = _swapped(w, group, len(kernel))
    if not axes:
        return w
    ends = [-kernel[axis] - 1 for axis in axes]
    minus = op.ints(*[-1] * len(axes))
    return op.Slice(w, minus, op.ints(*ends), op.ints(*(axis + 2 for axis in axes)), minus)


def _spread_densely(g: Value, w: Value, window: Window, *, group: int) -> Value:
    """With stride 1: g, padded by d(k − 1) − p, convolved with the flipped kernel."""
    op = g.tape
    margins = [*(window.reach - window.before).known, *(window.reach - window.after).known]
    g = _without_margins(g, [max(-margin, 0) for margin in margins])
    kernel = flipped(w, group, window.kernel.known)
    pads = [max(margin, 0) for margin in margins]
    return op.Conv(g, kernel, pads=pads, dilations=window.dilations, group=group)


def _without_margins(g: Value, margins: list[int]) -> Value:
    """`g` without what lies wholly in padding; margins as pads are given, first all before, then all behind."""
    op, axes = g.tape, len(margins) // 2
    if not any(margins):
        return g
    ends = [-margin if margin else END for margin in margins[axes:]]
    return op.Slice(g, op.ints(*margins[:axes]), op.ints(*ends), op.ints(*range(2, 2 + axes)))


def _is_depthwise(w: Value, group: int) -> bool:
    """Whether each channel has a kernel of its own, and makes one channel."""
    return w.shape is not None and w.shape[:2] == (group, 1)


def _spread_spaced(g: Value, w: Value, window: Window, *, sizes: Sizes, group: int) -> Value:
    """With a stride, depthwise: zeros put between the elements of g by a ConvTranspose, then as with stride 1.

    ONNX Runtime adds up a depthwise ConvTranspose one place of the kernel after another, and takes 1.1–1.4 times as
    long for 3×3 and 5×5; a single place is all that this one has.
    """
    op, axes = g.tape, len(window.strides)
    one = op.Expand(op.number(1.0, g), op.ints(group, *[1] * (axes + 1)))
    extra = [stride - 1 for stride in window.strides]
    spaced = op.ConvTranspose(g, one, strides=window.strides, output_padding=extra, group=group)
    # So much padding behind that what comes out has the right size; where that is open, as much as it can ever take.
    after = window.reach + sizes_of(g, 2) * window.strides - sizes - window.before
    dense = replace(window, strides=(1,) * axes, after=window.after if after.numbers is None else after)
    return cut(_spread_densely(spaced, w, dense, group=group), Sizes(op, [0] * axes), sizes)


def _spread_apart(g: Value, w: Value, window: Window, *, sizes: Sizes, group: int) -> Value:
    """With a stride: a ConvTranspose, cut to size.

    Its pads are the smaller of before and behind, for CUDA has no ConvTranspose with uneven ones; and never
    output_shape, which spreads the pads anew and is wrong for TensorFlow's SAME ([0, 0, 1, 1]).
    """
    op, axes = g.tape, len(window.strides)
    trimmed = window.before.at_most(window.after)
    if trimmed.numbers is None:
        trimmed = Sizes(op, [0] * axes)
    produced = (sizes_of(g, 2) - 1) * window.strides + window.reach + 1
    missing = (sizes + window.before + trimmed - produced).at_least(0)
    # An attribute is a constant: where sizes show only at run time, as much as can ever be missing.
    output_padding = [s - 1 for s in window.strides] if missing.numbers is None else missing.numbers
    wide = op.ConvTranspose(
        g,
        w,
        pads=[*trimmed.known, *trimmed.known],
        strides=window.strides,
        dilations=window.dilations,
        output_padding=output_padding,
        group=group,
    )
    return cut(wide, window.before - trimmed, sizes)


def _convolve(g: Value, w: Value, window: Window, *, node: Node, group: int) -> Value:
    """`g`, the cotangent of a ConvTranspose, convolved with its kernel, in the size of its input."""
    op, axes = g.tape, len(window.strides)
    g, pads = _with_attribute_pads(g, window)
    found = op.Conv(g, w, pads=pads, strides=window.strides, dilations=window.dilations, group=group)
    extra = node.attributes.get("output_padding") or [0] * axes
    fits = all(e < s for e, s in zip(extra, window.strides, strict=True)) and "output_shape" not in node.attributes
    return found if fits else cut(found, Sizes(op, [0] * axes), sizes_of(node.x, 2))


def _with_attribute_pads(x: Value, window: Window) -> tuple[Value, list[int]]:
    """`x` and the pads as an attribute; padded already, and none, where they are known only at run time."""
    before, after = window.before.numbers, window.after.numbers
    if before is None or after is None:
        return padded(x, window.before, window.after), [0] * (2 * len(window.strides))
    return x, [*before, *after]


def _groups_into_batch(x: Value, group: int, axes: int) -> Value:
    """(N, group·C, space) → (C, group·N, space)."""
    apart = reshaped(x, 0, group, -1, sizes_of(x, 2))
    turned = x.tape.Transpose(apart, perm=[2, 1, 0, *range(3, 3 + axes)])
    return reshaped(turned, 0, -1, sizes_of(x, 2))


def _swapped(w: Value, group: int, axes: int) -> Value:
    """(M, C/group, kernel) → (C, M/group, kernel)."""
    if group == 1:
        return w.tape.Transpose(w, perm=[1, 0, *range(2, 2 + axes)])
    if _is_depthwise(w, group):
        return w
    apart = reshaped(w, group, -1, sizes_of(w, 1))
    turned = w.tape.Transpose(apart, perm=[0, 2, 1, *range(3, 3 + axes)])
    return reshaped(turned, -1, sizes_of(turned, 2))
