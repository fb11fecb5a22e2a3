"""AveragePool as opset 19 has it, over windows with gaps: a convolution with ones, which always had them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto
from onnx.helper import get_attribute_value, tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, Scope, lowers, refuse


@dataclass(frozen=True)
class Windows:
    """How windows lie, with a number for each axis of space; of paddings those in front, then those behind."""

    kernel: list[int]
    steps: list[int]
    strides: list[int]
    pads: list[int]

    def rest(self, axis: int, size: int | None) -> int | None:
        """By how much the last window reaches beyond the padding where sizes are rounded up; None where unknown."""
        reach, stride = (self.kernel[axis] - 1) * self.steps[axis] + 1, self.strides[axis]
        before, after = self.pads[axis], self.pads[axis + len(self.kernel)]
        if size is None:
            # One stride more never gives a window that starts in the padding behind, which would not count.
            return stride - 1 if reach - after >= stride else None
        count = -(-(size + before + after - reach) // stride) + 1
        if (count - 1) * stride >= size + before:
            count -= 1
        return max((count - 1) * stride + reach - size - before - after, 0)


@lowers("AveragePool", 19)
def average_pool_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The sum over each window, by how many elements count in it."""
    given = {a.name: get_attribute_value(a) for a in node.attribute}
    steps, kernel = given.pop("dilations", []), given["kernel_shape"]
    if all(step == 1 for step in steps):
        return Draft(node, scope).ends("AveragePool", list(node.input), **given)
    draft, x, shape = Draft(node, scope), node.input[0], scope.shape(node.input[0])
    if shape is None or shape[1] is None:
        raise refuse(node, scope, "its windows have gaps (dilations), and the number of channels is open")
    pads, strides = given.get("pads", [0] * 2 * len(kernel)), given.get("strides", [1] * len(kernel))
    windows = Windows(kernel, steps, strides, pads)
    if given.get("auto_pad", b"NOTSET").startswith(b"SAME"):
        raise refuse(node, scope, "of windows with gaps (dilations) that pad for themselves, no two runtimes agree")
    rests = [windows.rest(axis, n) if given.get("ceil_mode") else 0 for axis, n in enumerate(shape[2:])]
    behind = [rest for rest in rests if rest is not None]
    if len(behind) < len(rests):
        raise refuse(node, scope, "its windows have gaps (dilations), and its size is rounded up from an open one")
    sizes = draft("Concat", [draft.ints(1, 1), draft("Shape", [x], start=2)], axis=0)
    ones = draft("Expand", [draft.number(1.0, x), sizes])
    counts = _sums(draft, ones, windows, behind, channels=1, fill=float(given.get("count_include_pad", 0)))
    return draft.ends("Div", [_sums(draft, x, windows, behind, channels=shape[1], fill=0.0), counts])


def _sums(draft: Draft, x: str, windows: Windows, behind: list[int], *, channels: int, fill: float) -> str:
    """The sum over each window of every channel; `fill` stands in the padding, 0 in what lies behind that."""
    count, like = len(behind), draft.node.input[0]
    if any(windows.pads):
        front, back = windows.pads[:count], windows.pads[count:]
        x = draft("Pad", [x, draft.ints(0, 0, *front, 0, 0, *back), draft.number(fill, like)])
    if any(behind):
        x = draft("Pad", [x, draft.ints(*[0] * (count + 4), *behind), draft.number(0.0, like)])
    kind = tensor_dtype_to_np_dtype(draft.scope.element_type(like) or TensorProto.FLOAT)
    weight = draft.scope.constant(np.ones((channels, 1, *windows.kernel), kind), f"{draft.stem}/ones")
    return draft("Conv", [x, weight], group=channels, strides=windows.strides, dilations=windows.steps)
