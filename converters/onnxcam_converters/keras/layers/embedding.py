"""Layers of transformers' ends: tables looked up by number, and dense layers written as Einstein sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnx import TensorProto

from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.activations import activate
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Shape, Tensor


@reads("Embedding")
def embedding(layer: Layer, x: Tensor) -> Tensor:
    """The rows of the table that the numbers, of any shape, name."""
    layer.expect("mask_zero", False)
    layer.ignore("input_dim", "output_dim", "sparse", "dropout", "embeddings_zero")
    (table,) = layer.weights("embeddings")
    rows = x.tape.Cast(x.plain(), to=TensorProto.INT64)
    return Tensor(x.tape.Gather(layer.constant("embeddings", table), rows, axis=0), (*x.shape, table.shape[1]))


@dataclass(frozen=True)
class Sum:
    """An Einstein sum of two operands: "ab…,cd…->ef…", without dots.

    Attributes:
        left, right, result: the letters of the axes.
    """

    left: str
    right: str
    result: str

    @property
    def is_matmul(self) -> bool:
        """Whether it takes the last axes of the left away and puts the last of the right in their place."""
        kept = self.result.removesuffix(self.right_only)
        taken = self.left.removeprefix(kept)
        is_split = self.left == kept + taken and self.result == kept + self.right_only
        return is_split and bool(taken) and bool(self.right_only) and self.right == taken + self.right_only

    @property
    def right_only(self) -> str:
        """The axes that only the right operand has."""
        return "".join(letter for letter in self.right if letter not in self.left)


@reads("EinsumDense")
def einsum_dense(layer: Layer, x: Tensor) -> Tensor:
    """The kernel summed with the input as the equation says, then the bias and the activation."""
    layer.ignore("output_shape")
    bias_axes = layer.option("bias_axes", default=None)
    kernel, *biases = layer.weights("kernel", *["bias"] * bool(bias_axes))
    equation = parse(layer, layer.option("equation"), rank=x.rank)
    value = project(layer, x.plain(), kernel, equation=equation, name="kernel")
    if biases:
        value = value + layer.constant("bias", biases[0])
    y = Tensor(value, _sizes(equation, x.shape, kernel))
    return activate(layer, y, layer.option("activation", default=None))


def parse(layer: Layer, equation: str, *, rank: int) -> Sum:
    """The equation with letters for its dots.

    Raises:
        UnsupportedLayer: if the input has another number of axes.
    """
    operands, _, result = equation.replace(" ", "").partition("->")
    left, _, right = operands.partition(",")
    spare = [letter for letter in "ZYXWVUTSRQPONML" if letter not in equation]
    dots = "".join(spare[: rank - len(left.replace("...", ""))])
    found = Sum(*(part.replace("...", dots) for part in (left, right, result)))
    if len(found.left) != rank:
        raise layer.refuse(f"its equation {equation!r} is not for an input of {rank} axes")
    return found


def project(layer: Layer, x: Value, kernel: Array, *, equation: Sum, name: str) -> Value:
    """The sum of the input with the kernel, as a MatMul where it is one, which every runtime does fastest."""
    if not equation.is_matmul:
        whole = f"{equation.left},{equation.right}->{equation.result}"
        return x.tape.Einsum(x, layer.constant(name, kernel), equation=whole)
    new = len(equation.right_only)
    taken = len(equation.right) - new
    free = len(equation.left) - taken
    flat = kernel.reshape(math.prod(kernel.shape[:taken]), -1)
    if taken > 1:
        x = x.tape.Reshape(x, x.tape.ints(*[0] * free, -1))
    y = x.tape.MatMul(x, layer.constant(name, flat))
    return y if new == 1 else x.tape.Reshape(y, x.tape.ints(*[0] * free, *kernel.shape[taken:]))


def _sizes(equation: Sum, shape: Shape, kernel: Array) -> Shape:
    sizes: dict[str, Dim] = dict(zip(equation.right, kernel.shape, strict=True))
    sizes.update(zip(equation.left, shape, strict=True))
    return tuple(sizes[letter] for letter in equation.result)
