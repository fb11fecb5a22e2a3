"""Layer, root-mean-square and group normalisation, with what is added before them."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.activations import renamed
from onnxcam.graph.contrib.convolution import ends_at_back, to_front
from onnxcam.graph.contrib.registry import equals, kind_of, output, rank, sizes, total

NARROW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@equals("LayerNormalization", inputs=3, outputs=3)
def layer_normalization(_: Draft, node: NodeProto) -> list[NodeProto]:
    """The op of the default domain, from before it was there."""
    node.domain = ""
    return [node]


@equals("SimplifiedLayerNormalization", inputs=2, outputs=2)
def simplified_layer_normalization(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """x over its root mean square from `axis` on, times the scale."""
    axis = take(node, "axis", -1)
    take(node, "stash_type")
    return _by_root_mean_square(draft, node, node.input[0], node.input[1], inverse=output(node, 1), axis=axis)


@equals("SkipLayerNormalization", inputs=5, outputs=4)
def skip_layer_normalization(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """LayerNormalization of input + skip + bias, which is the fourth output."""
    _without_statistics(draft, node)
    added = _sum(draft, node, source(node, 4))
    return _ends_in_layer_normalization(draft, node, added, node.input[2], beta=source(node, 3))


@equals("SkipSimplifiedLayerNormalization", inputs=4, outputs=4)
def skip_simplified_layer_normalization(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The root-mean-square form of it."""
    _without_statistics(draft, node)
    added = _sum(draft, node, source(node, 3))
    return _by_root_mean_square(draft, node, added, node.input[2], axis=-1, epsilon=1e-12)


def _without_statistics(draft: Draft, node: NodeProto) -> None:
    """ONNX Runtime's kernels leave the second and third output empty."""
    if output(node, 1) or output(node, 2):
        raise refuse(draft.node, draft.scope, "its mean or deviation is used, which inference does not fill")


def _sum(draft: Draft, node: NodeProto, bias: str) -> str:
    """input + skip + bias, under the name of the fourth output if that is used."""
    added = total(draft, node.input[0], node.input[1], bias)
    if name := output(node, 3):
        draft.nodes[-1].output[0] = added = name
    return added


def _ends_in_layer_normalization(draft: Draft, node: NodeProto, x: str, gamma: str, *, beta: str) -> list[NodeProto]:
    epsilon = take(node, "epsilon", 1e-12)
    return draft.ends("LayerNormalization", [x, gamma, beta], axis=-1, epsilon=epsilon)


def _by_root_mean_square(
    draft: Draft, node: NodeProto, x: str, scale: str, *, axis: int, inverse: str = "", epsilon: float = 1e-5
) -> list[NodeProto]:
    """x / √(mean x² + ε) · scale, in float32 where x is narrower, as its square may leave float16's range."""
    kind = kind_of(draft, node.input[0])
    wide = draft("Cast", [x], to=TensorProto.FLOAT) if kind in NARROW else x
    like = node.input[0] if kind not in NARROW else draft.scope.constant(np.array(0, np.float32), f"{draft.stem}/wide")
    axes = [axis] if axis == -1 else [*range(axis % rank(draft, node.input[0]), rank(draft, node.input[0]))]
    # ONNX Runtime (1.31) joins the form with Pow, but in float64 with an epsilon of its own.
    is_double = kind == TensorProto.DOUBLE
    square = draft("Mul", [wide, wide]) if is_double else draft("Pow", [wide, draft.number(2.0, like)])
    mean = draft("ReduceMean", [square, draft.ints(*axes)], keepdims=1)
    root = draft("Sqrt", [draft("Add", [mean, draft.number(take(node, "epsilon", epsilon), like)])])
    if inverse:
        draft("Reciprocal", [root], inverse)
    normal = draft("Div", [wide, root])
    narrow = draft("Cast", [normal], to=kind) if kind in NARROW else normal
    return draft.ends("Mul", [narrow, scale])


@equals("GroupNorm", inputs=3)
def group_norm(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Each group of channels normalised by itself, each channel scaled and shifted, then perhaps SiLU."""
    return _group_norm(draft, node, node.input[0])


@equals("SkipGroupNorm", inputs=5, outputs=2)
def skip_group_norm(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The same of x + skip + bias, which is the second output."""
    x, skip, bias = node.input[0], node.input[3], source(node, 4)
    last = next((attribute.i for attribute in node.attribute if attribute.name == "channels_last"), 1)
    if rank(draft, skip) == 2:
        skip = draft("Unsqueeze", [skip, draft.ints(1, 2) if last else draft.ints(2, 3)])
    if bias and not last:
        bias = draft("Reshape", [bias, draft.ints(-1, 1, 1)])
    added = total(draft, x, skip, bias)
    if name := output(node, 1):
        draft.nodes[-1].output[0] = added = name
    return _group_norm(draft, node, added)


def _group_norm(draft: Draft, node: NodeProto, x: str) -> list[NodeProto]:
    last, groups = take(node, "channels_last", 1), take(node, "groups")
    epsilon, silu = take(node, "epsilon", 1e-5), take(node, "activation", 0)
    kind = kind_of(draft, node.input[0])
    gamma, beta = (_column(draft, name, kind) for name in node.input[1:3])
    x = to_front(draft, x, 4) if last else x
    of_group = tensor_dtype_to_np_dtype(kind)
    ones, zeros = (draft.scope.constant(fill(groups, of_group), f"{draft.stem}/group") for fill in (np.ones, np.zeros))
    grouped = draft("Reshape", [x, draft.ints(0, groups, -1)])
    normal = draft("InstanceNormalization", [grouped, ones, zeros], epsilon=epsilon)
    y = draft("Add", [draft("Mul", [draft("Reshape", [normal, draft("Shape", [x])]), gamma]), beta])
    y = draft("Mul", [y, draft("Sigmoid", [y])]) if silu else y
    return ends_at_back(draft, y, 4) if last else renamed(draft, y)


def _column(draft: Draft, name: str, kind: int) -> str:
    """(C,) as (C, 1, 1) in the type of the picture."""
    column = draft("Reshape", [name, draft.ints(-1, 1, 1)])
    return column if draft.scope.element_type(name) == kind else draft("Cast", [column], to=kind)


@equals("GatedRMSNorm", inputs=3)
def gated_rms_norm(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """x over its root mean square, times the scale, times SiLU or the sigmoid of the gate."""
    x, scale, gate = node.input
    activation = take(node, "activation", "silu")
    if activation not in ("silu", "swish", "sigmoid") or sizes(draft, scale) != sizes(draft, x)[-1:]:
        raise refuse(draft.node, draft.scope, "its scale is not of the last axis, or its activation is not known")
    if kind_of(draft, x) in NARROW:
        raise refuse(draft.node, draft.scope, "it is in half precision")
    normal = draft.scope.names.fresh(f"{draft.stem}/normal")
    _by_root_mean_square(draft, node, x, scale, axis=-1)
    draft.nodes[-1].output[0] = normal
    slope = draft("Sigmoid", [gate])
    return draft.ends("Mul", [normal, slope if activation == "sigmoid" else draft("Mul", [gate, slope])])
