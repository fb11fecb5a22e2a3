"""Matrix products with more to them: transposed, scaled, activated."""

from __future__ import annotations

from onnx import NodeProto

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.activations import PARAMETERS, activate, fast_gelu_of, renamed
from onnxcam.graph.contrib.registry import equals, rank, rest, total


@equals("FusedMatMul", "TransposeMatMul", inputs=2)
def fused_matmul(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """α · A · B, either of them transposed before."""
    return renamed(draft, _product(draft, node))


@equals("FusedMatMulActivation", inputs=2)
def fused_matmul_activation(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The same, with an activation behind it."""
    name, numbers, axis = *_activation(draft, node), take(node, "activation_axis")
    y = _product(draft, node)
    if name == "Softmax":
        return draft.ends("Softmax", [y], axis=axis)
    return renamed(draft, activate(draft, y, name, numbers, like=node.input[0]))


def _product(draft: Draft, node: NodeProto) -> str:
    a, b = (_transposed(draft, node, index, side) for index, side in enumerate("AB"))
    y, alpha = draft("MatMul", [a, b]), take(node, "alpha", 1.0)
    return y if alpha == 1.0 else draft("Mul", [y, draft.number(alpha, node.input[0])])


def _transposed(draft: Draft, node: NodeProto, index: int, side: str) -> str:
    """The operand: its first axis goes last but one, then its last two are swapped; a vector stays."""
    name: str = node.input[index]
    batch, last = take(node, f"transBatch{side}", 0), take(node, f"trans{side}", 0)
    if not (batch or last) or rank(draft, name) < 2:
        return name
    axes = list(range(rank(draft, name)))
    if batch:
        axes.insert(-1, axes.pop(0))
    if last:
        axes[-2:] = axes[:-3:-1]
    return draft("Transpose", [name], perm=axes) if axes != sorted(axes) else name


@equals("FusedGemm", inputs=3)
def fused_gemm(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Gemm with an activation behind it."""
    name, numbers = _activation(draft, node)
    y = draft("Gemm", list(node.input), **rest(node))
    return renamed(draft, activate(draft, y, name, numbers, like=node.input[0]))


def _activation(draft: Draft, node: NodeProto) -> tuple[str, list[float]]:
    """Its name, and its parameters as attributes alpha, beta and gamma."""
    name = take(node, "activation", "")
    given = {key: take(node, f"activation_{key}") for key in ("alpha", "beta", "gamma")}
    numbers = [given[key] for key in PARAMETERS.get(name, ())]
    if None in numbers:
        raise refuse(draft.node, draft.scope, f"its activation {name!r} lacks a parameter")
    return name, numbers


@equals("GemmFastGelu", inputs=3)
def gemm_fast_gelu(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """FastGelu of a product plus a bias."""
    y = total(draft, draft("MatMul", list(node.input[:2])), source(node, 2))
    return renamed(draft, fast_gelu_of(draft, y, like=node.input[0]))


@equals("GatedAdd", inputs=3)
def gated_add(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """X + Y · gate."""
    x, y, gate = node.input
    return draft.ends("Add", [x, draft("Mul", [y, gate])])


@equals("BiasAdd", inputs=3)
def bias_add(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """X + bias + skip."""
    return renamed(draft, total(draft, *node.input))


@equals("CDist", inputs=2)
def cdist(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The distance of each row of A to each row of B."""
    metric = take(node, "metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise refuse(draft.node, draft.scope, f"its metric {metric!r} is not known")
    a, b = (draft("Unsqueeze", [name, draft.ints(axis)]) for name, axis in zip(node.input, (1, 0), strict=True))
    kind = "ReduceSumSquare" if metric == "sqeuclidean" else "ReduceL2"
    return draft.ends(kind, [draft("Sub", [a, b]), draft.ints(2)], keepdims=0)
