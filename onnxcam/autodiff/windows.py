"""Windows that slide over space, as convolutions and pools have them: where they lie, and how big they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxcam.autodiff.extents import rank_of
from onnxcam.autodiff.sizes import Sizes, sizes_of
from onnxcam.graph import Node, Value


@dataclass(frozen=True, slots=True)
class Window:
    """A window, one entry per axis of space. Window `o` covers `o·stride − before + (0 … kernel − 1)·dilation`.

    Attributes:
        reach: (kernel − 1)·dilation, how far its last element lies from its first.
        before: the padding in front of the tensor that it slides over.
        after: the padding behind it.
    """

    kernel: Sizes
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: Sizes
    after: Sizes

    @property
    def reach(self) -> Sizes:
        return (self.kernel - 1) * self.dilations

    @property
    def is_dense(self) -> bool:
        """Whether it moves by one."""
        return set(self.strides) == {1}


def kernel_of(node: Node, w: Value) -> Sizes:
    """The size of a convolution's kernel `w` (·, ·, kernel)."""
    given = node.attributes.get("kernel_shape")
    return Sizes(node.tape, given) if given else sizes_of(w, 2)


def sliding(node: Node, x: Value, kernel: Sizes) -> Window:
    """The window of a node that slides it over `x` (N, C, space)."""
    axes = rank_of(x, node) - 2
    strides, dilations = _per_axis(node, "strides", axes), _per_axis(node, "dilations", axes)
    before, after = _pads(node, sizes_of(x, 2), strides, (kernel - 1) * dilations)
    return Window(kernel, strides, dilations, before, after)


def spreading(node: Node, x: Value, kernel: Sizes) -> Window:
    """The window of a ConvTranspose of `x`, which slides over its output."""
    axes = rank_of(x, node) - 2
    strides, dilations = _per_axis(node, "strides", axes), _per_axis(node, "dilations", axes)
    before, after = _cropping(node, sizes_of(x, 2), strides, (kernel - 1) * dilations)
    return Window(kernel, strides, dilations, before, after)


def _per_axis(node: Node, name: str, axes: int) -> tuple[int, ...]:
    return tuple(node.attributes.get(name) or [1] * axes)


def _pads(node: Node, n: Sizes, strides: Sequence[int], reach: Sizes) -> tuple[Sizes, Sizes]:
    """The padding before and behind, of a window that slides over space of size `n`."""
    mode, axes = node.attributes.get("auto_pad", "NOTSET"), len(strides)
    if mode == "VALID":
        return Sizes(node.tape, [0] * axes), Sizes(node.tape, [0] * axes)
    if not mode.startswith("SAME"):
        return _given_pads(node, axes)
    # The size cancels out where the stride is 1, so that it need not be known.
    moved = n - 1 - (n - 1) // strides * strides if set(strides) != {1} else 0
    return _shared_out((reach - moved).at_least(0), more_behind=mode == "SAME_UPPER")


def _cropping(node: Node, n: Sizes, strides: Sequence[int], reach: Sizes) -> tuple[Sizes, Sizes]:
    """What a ConvTranspose takes off before and behind."""
    mode, axes = node.attributes.get("auto_pad", "NOTSET"), len(strides)
    wanted = node.attributes.get("output_shape")
    if not wanted and not mode.startswith("SAME"):
        return _given_pads(node, axes) if mode == "NOTSET" else (Sizes(node.tape, [0] * axes),) * 2
    extra = reach + 1 + _output_padding(node, axes)
    total = (n - 1) * strides + extra - list(wanted)[-axes:] if wanted else extra - strides
    return _shared_out(total.at_least(0), more_behind=mode == "SAME_UPPER")


def _given_pads(node: Node, axes: int) -> tuple[Sizes, Sizes]:
    pads = node.attributes.get("pads") or [0] * (2 * axes)
    return Sizes(node.tape, pads[:axes]), Sizes(node.tape, pads[axes:])


def _output_padding(node: Node, axes: int) -> tuple[int, ...]:
    return tuple(node.attributes.get("output_padding") or [0] * axes)


def _shared_out(total: Sizes, *, more_behind: bool) -> tuple[Sizes, Sizes]:
    """Half of it before, half behind; the odd one goes where it is said."""
    less = total // 2
    return (less, total - less) if more_behind else (total - less, less)
