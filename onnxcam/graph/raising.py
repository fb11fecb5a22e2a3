"""Adapters from the opsets before 18, one for each op and the opset in which it changed.

What changed without need of an adapter is listed in COMPATIBLE; a test compares both with ONNX's own history.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxcam.graph.adapters import Draft, Scope, give, raises, refuse, source, take

# New attributes whose defaults are the old meaning, inputs that became optional, types that were split in two.
COMPATIBLE = frozenset(
    {
        ("ArgMax", 12), ("ArgMin", 12), ("AveragePool", 7), ("AveragePool", 10), ("BatchNormalization", 15),
        ("Constant", 11), ("Constant", 12), ("DepthToSpace", 11), ("DequantizeLinear", 13), ("Erf", 13), ("GRU", 14),
        ("GatherND", 12), ("Gemm", 11), ("Identity", 14), ("LSTM", 14), ("LpPool", 18), ("MaxPool", 8), ("MaxPool", 10),
        ("OptionalHasElement", 18), ("Pad", 18), ("QuantizeLinear", 13), ("RNN", 14), ("Reshape", 14),
        ("Resize", 18), ("ScatterElements", 16), ("ScatterND", 16), ("Shape", 15), ("TopK", 11),
    }
)  # fmt: skip
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def axes_to_input(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The attribute `axes` became the second input."""
    axes = take(node, "axes")
    if axes is not None:
        node.input.append(Draft(node, scope).ints(*axes))
    return [node]


raises("Squeeze", 13)(axes_to_input)
raises("Unsqueeze", 13)(axes_to_input)
for _name in REDUCTIONS:
    raises(f"Reduce{_name}", 13 if _name == "Sum" else 18)(axes_to_input)


@raises("BatchNormalization", 9)
def batch_normalization_9(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The attribute `spatial` went; 0 meant statistics of each pixel, which is plain arithmetic."""
    if take(node, "spatial", 1):
        return [node]
    draft, (x, scale, bias, mean, variance) = Draft(node, scope), node.input
    deviation = draft("Sqrt", [draft("Add", [variance, draft.number(take(node, "epsilon", 1e-5), x)])])
    normal = draft("Div", [draft("Sub", [x, mean]), deviation])
    return draft.ends("Add", [draft("Mul", [normal, scale]), bias])


@raises("BatchNormalization", 14)
def batch_normalization_14(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The statistics of the batch, which only training computes, are no outputs any more."""
    return only_first_output(node, scope, "it is in training mode: export the model for inference")


@raises("Clip", 11)
def clip_11(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The bounds became inputs."""
    draft, x = Draft(node, scope), node.input[0]
    low, high = take(node, "min"), take(node, "max")
    bounds = ["" if bound is None else draft.number(bound, x) for bound in (low, high)]
    return draft.ends("Clip", [x, *bounds])


@raises("Dropout", 10)
def dropout_10(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The mask became a tensor of truth values."""
    return only_first_output(node, scope, "its mask is used, which only training needs")


@raises("Dropout", 12)
def dropout_12(node: NodeProto, _: Scope) -> list[NodeProto]:
    """The share to drop became an input; without training nothing is dropped."""
    take(node, "ratio")
    take(node, "seed")
    return [node]


@raises("Pad", 11)
def pad_11(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The widths and the value became inputs."""
    draft, value = Draft(node, scope), take(node, "value", 0.0)
    node.input.append(draft.ints(*take(node, "pads")))
    if value:
        node.input.append(draft.number(value, node.input[0]))
    return [*draft.nodes, node]


@raises("Resize", 11)
def resize_11(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The only way to place pixels had been x/scale; the region of interest came between the inputs."""
    x, scales = node.input
    del node.input[:]
    node.input.extend([x, "", scales])
    give(node, "coordinate_transformation_mode", "asymmetric")
    give(node, "nearest_mode", _rounding(scales, scope))
    return [node]


def _rounding(scales: str, scope: Scope) -> str:
    """How "nearest" rounded before it was said: ONNX Runtime always has rounded up where a picture shrinks."""
    factors = scope.array(scales)
    shrinks = factors is not None and bool((factors < 1).any()) and bool((factors <= 1).all())
    return "ceil" if shrinks else "floor"


@raises("Resize", 13)
def resize_13(node: NodeProto, _: Scope) -> list[NodeProto]:
    """Inputs that are not in use are left out; they had been empty tensors."""
    inputs = [*node.input, "", "", ""][:4]
    mode = next((a.s for a in node.attribute if a.name == "coordinate_transformation_mode"), b"")
    if mode != b"tf_crop_and_resize":
        inputs[1] = ""
    if inputs[3]:
        inputs[2] = ""
    del node.input[:]
    node.input.extend(inputs if inputs[3] else inputs[:3])
    return [node]


@raises("RoiAlign", 16)
def roi_align_16(node: NodeProto, _: Scope) -> list[NodeProto]:
    """Regions had been placed without the shift by half a pixel that is the default now."""
    give(node, "coordinate_transformation_mode", "output_half_pixel")
    return [node]


@raises("Scan", 9)
def scan_9(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The first form had a batch axis and sequence lengths of its own."""
    raise refuse(node, scope, "this first form of Scan was withdrawn in opset 9")


@raises("Scatter", 11)
def scatter_11(node: NodeProto, _: Scope) -> list[NodeProto]:
    """The op got another name."""
    node.op_type = "ScatterElements"
    return [node]


@raises("Slice", 10)
def slice_10(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Starts, ends and axes became inputs."""
    draft = Draft(node, scope)
    starts, ends, axes = (take(node, name) for name in ("starts", "ends", "axes"))
    axes = range(len(starts)) if axes is None else axes
    node.input.extend([draft.ints(*starts), draft.ints(*ends), draft.ints(*axes)])
    return [node]


def softmax_13(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Everything from `axis` on had been one axis; now it is that axis alone, and by default the last."""
    draft, x, axis = Draft(node, scope), node.input[0], take(node, "axis", 1)
    shape = scope.shape(x)
    if shape is not None and all(size == 1 for size in shape[axis % len(shape) + 1 :]):
        return draft.ends(node.op_type, [x], axis=axis)
    flat = draft(node.op_type, [draft("Flatten", [x], axis=axis)], axis=-1)
    return draft.ends("Reshape", [flat, draft("Shape", [x])])


for _name in ("Softmax", "LogSoftmax", "Hardmax"):
    raises(_name, 13)(softmax_13)


@raises("Split", 13)
def split_13(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The sizes became an input."""
    sizes = take(node, "split")
    if sizes is not None:
        node.input.append(Draft(node, scope).ints(*sizes))
    return [node]


@raises("Split", 18)
def split_18(node: NodeProto, _: Scope) -> list[NodeProto]:
    """Without sizes the number of parts has to be told."""
    if not source(node, 1):
        del node.input[1:]
        give(node, "num_outputs", len(node.output))
    return [node]


@raises("TopK", 10)
def top_k_10(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """How many became an input."""
    node.input.append(Draft(node, scope).ints(take(node, "k")))
    return [node]


@raises("Upsample", 9)
def upsample_9(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The factors became an input."""
    node.input.append(scope.constant(np.array(take(node, "scales"), np.float32), f"{Draft(node, scope).stem}/scales"))
    return [node]


@raises("Upsample", 10)
def upsample_10(node: NodeProto, _: Scope) -> list[NodeProto]:
    """The op got another name; some exporters called linear bilinear."""
    node.op_type = "Resize"
    mode = take(node, "mode", "nearest")
    give(node, "mode", "linear" if mode == "bilinear" else mode)
    return [node]


def only_first_output(node: NodeProto, scope: Scope, reason: str) -> list[NodeProto]:
    """The node without its further outputs, which nobody may use."""
    if any(name in scope.used for name in node.output[1:]):
        raise refuse(node, scope, reason)
    del node.output[1:]
    return [node]
