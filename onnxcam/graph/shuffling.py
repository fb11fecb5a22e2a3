"""Models with the weights of some layers shuffled: every number stays, and what was learnt is gone.

The elements of each weight change places among themselves, so that shapes, types, scale, spread and quantisation grids
stay exactly as they were, in float16 and int8 models too; a fresh draw would have to guess them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx.numpy_helper
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Which inputs of an op are weights, where they are constants.
WEIGHTS: dict[str, tuple[int, ...]] = {
    "Add": (0, 1),
    "BatchNormalization": (1, 2, 3, 4),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Div": (0, 1),
    "Einsum": (0, 1),
    "GRU": (1, 2, 3),
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "Mul": (0, 1),
    "PRelu": (1,),
    "RNN": (1, 2, 3),
    "Sub": (0, 1),
}
# What may stand between a weight and the layer that uses it: the data come in first.
CARRIERS = frozenset(
    {"Cast", "DequantizeLinear", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
NUMBERS = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.INT8,
     TensorProto.UINT8, TensorProto.INT32}
)  # fmt: skip


def weighted_layers(model: ModelProto) -> list[tuple[str, ...]]:
    """The names of each layer's weights, the layers in the order in which they run; a shared weight counts once."""
    graph, found, taken = model.graph, [], set[str]()
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        inputs = [source_of(name, producers) for name in weight_inputs(node)]
        names = [name for name in inputs if name in tensors and is_weight(tensors[name]) and name not in taken]
        if names:
            taken.update(names)
            found.append(tuple(dict.fromkeys(names)))
    return found


def weight_inputs(node: NodeProto) -> Iterator[str]:
    """The inputs of a node that may be weights."""
    for index in WEIGHTS.get(node.op_type, ()):
        if index < len(node.input) and node.input[index]:
            yield node.input[index]


def source_of(name: str, producers: dict[str, NodeProto]) -> str:
    """The tensor behind casts, transposes and dequantisation."""
    while name in producers and producers[name].op_type in CARRIERS:
        name = producers[name].input[0]
    return name


def is_weight(tensor: TensorProto) -> bool:
    """Whether there are numbers in it that can change places; those of models over 2 GB lie elsewhere."""
    is_inside = tensor.data_location != TensorProto.EXTERNAL
    return is_inside and tensor.data_type in NUMBERS and int(np.prod(tensor.dims)) > 1


def shuffled(model: ModelProto, names: Collection[str], *, seed: int) -> ModelProto:
    """A copy in which the elements of these initializers have changed places; the model given stays as it is.

    Weights of one size change places alike under one seed: scale, bias, mean and variance of a normalisation stay
    together.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    shuffle(copy.graph, frozenset(names), seed)
    return copy


def shuffle(graph: GraphProto, names: frozenset[str], seed: int) -> None:
    """Lets the elements of these initializers change places."""
    for tensor in graph.initializer:
        if tensor.name in names:
            array = onnx.numpy_helper.to_array(tensor)
            order = np.random.default_rng([seed, array.size]).permutation(array.size)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.reshape(-1)[order].reshape(array.shape), tensor.name))
