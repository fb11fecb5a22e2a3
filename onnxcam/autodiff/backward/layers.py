"""Linear layers: what they compute with other inputs and weights, and how that is pulled back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from onnxcam.autodiff.backward.constants import is_fixed
from onnxcam.autodiff.registry import RULES
from onnxcam.errors import NoRelevanceRule
from onnxcam.graph import Node, Value

CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))
DENSE = frozenset(("Gemm", "MatMul"))
LINEAR = CONVOLUTIONS | DENSE


@dataclass(frozen=True, slots=True)
class Response:
    """What a layer gives for some input and weights.

    Attributes:
        z: all of it, the bias included.
        product: the node that multiplies input and weights.
        place: which input of that node the layer's input is.
    """

    z: Value
    product: Node
    place: int

    def pulled_back(self, s: Value) -> Value:
        """wᵀ s: what the cotangent of `z` is for the input."""
        self.product.wanted = frozenset((self.place,))
        found = cast("Sequence[Value]", RULES[self.product.op_type].function(s, self.product))
        return found[self.place]


@dataclass(frozen=True, slots=True)
class Layer:
    """z = w·x + bias, with w and bias that no input of the model changes.

    Attributes:
        node: Conv, ConvTranspose, Gemm or MatMul; a MatMul may have its bias as third input.
        place: which input of it x is; w is the other one.
        is_whole: whether `bias` is that of the model.
    """

    node: Node
    x: Value
    w: Value
    bias: Value | None
    place: int
    is_whole: bool = True

    @property
    def own(self) -> Response:
        """What it gives for its own input and weights."""
        if self.is_whole:
            return Response(self.node.output, self.node, self.place)
        return self.respond(self.x, self.w, self.bias)

    @property
    def without_bias(self) -> Layer:
        """The same layer, less its bias."""
        return self if self.bias is None else replace(self, bias=None, is_whole=False)

    def respond(self, x: Value, w: Value, bias: Value | None) -> Response:
        """What it would give for other numbers, in the same shapes."""
        op, node = self.node.tape, self.node
        pair = [x, w] if self.place == 0 else [w, x]
        attributes = {key: value for key, value in node.attributes.items() if key not in ("alpha", "beta")}
        if bias is not None and node.op_type != "MatMul":
            pair.append(bias)
        (product,) = op.emit(node.op_type, pair, attributes)
        z = product + bias if bias is not None and node.op_type == "MatMul" else product
        return Response(z, op.producers[product.name], self.place)


def is_linear_layer(node: Node) -> bool:
    """Whether it multiplies what depends on the model's inputs with what does not, and adds nothing that does."""
    if node.op_type not in LINEAR or is_fixed(node.input(0)) == is_fixed(node.input(1)):
        return False
    bias = node.optional(2)
    return bias is None or is_fixed(bias)


def layer_of(node: Node, table: str) -> Layer:
    """The node as a linear layer, of α·A·B + β·C as well.

    Raises:
        NoRelevanceRule: if both factors, or the bias, depend on the model's inputs.
    """
    if not is_linear_layer(node):
        raise NoRelevanceRule(
            node.op_type, node.title, table=table, why="more than one of its operands depends on the image"
        )
    place = int(is_fixed(node.input(0)))
    bias = node.optional(2)
    alpha, beta = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    w = node.input(1 - place)
    return Layer(
        node,
        x=node.input(place),
        w=w if alpha == 1.0 else w * alpha,
        bias=bias if bias is None or beta == 1.0 else bias * beta,
        place=place,
    )
