"""A TensorFlow graph with its weights inside, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2_as_graph

from onnxcam_converters.tensorflow.variables import settle_variables

PASSING = frozenset(("Identity", "StopGradient", "Placeholder", "PlaceholderWithDefault", "Const", "CheckNumerics"))


@dataclass(frozen=True, slots=True)
class Tap:
    """A tensor that is to be found again: "conv/Relu:0", and its number of axes."""

    tensor: str
    rank: int


@dataclass
class FrozenGraph:
    """A graph without variables and functions, on its way to ONNX.

    Attributes:
        graph: a GraphDef, which the way changes.
        inputs: from the names that the inputs are to have to tensors ("x:0").
        outputs: likewise.
        taps: from names of layers to their tensors.
        weights: what was kept out of the graph, by the name of the placeholder in its stead; read when it is needed.
    """

    graph: Any
    inputs: dict[str, str]
    outputs: dict[str, str]
    taps: dict[str, Tap] = field(default_factory=dict)
    weights: dict[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)


def freeze(function: Any, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> FrozenGraph:
    """The graph of a concrete function, functions inlined, small variables as constants, big ones as `weights`.

    Args:
        function: a ConcreteFunction.
        inputs: from names to the tensors of the function.
        outputs: likewise.
    """
    settled = settle_variables(function, is_weight)
    if settled is not None:
        graph, weights = settled
        _forget_places(graph)
        return FrozenGraph(graph, dict(inputs), dict(outputs), weights=weights)
    # Tables, loops over variables: TensorFlow's own way knows them, at the cost of four copies of all weights.
    frozen, graph = convert_variables_to_constants_v2_as_graph(function)
    before, after = (*free_inputs(function), *function.outputs), (*frozen.inputs, *frozen.outputs)
    _forget_places(graph)
    renamed = {old.name: new.name for old, new in zip(before, after, strict=True)}
    return FrozenGraph(
        graph,
        {name: renamed[tensor] for name, tensor in inputs.items()},
        {name: renamed[tensor] for name, tensor in outputs.items()},
    )


def _forget_places(graph: Any) -> None:
    """Takes out beside which variable a node is to be computed: the variables are gone."""
    for node in graph.node:
        node.attr.pop("_class", None)


def lift_constants(frozen: FrozenGraph) -> None:
    """Takes big constants and all kernels out of the graph, placeholders into their places.

    tf2onnx copies the whole graph for each of its passes: VGG16 asked for more than 19 GB. And a kernel that is out of
    sight is not multiplied by the BatchNormalization behind it, so that the convolution's own tensor stays.
    """
    for node in frozen.graph.node:
        if node.op != "Const":
            continue
        tensor = node.attr["value"].tensor
        shape, dtype = [dim.size for dim in tensor.tensor_shape.dim], tensor.dtype
        if is_weight(shape, tf.dtypes.as_dtype(dtype)):
            frozen.weights[node.name] = partial(np.asarray, tf.make_ndarray(tensor))
            name = node.name
            node.Clear()
            node.name, node.op = name, "Placeholder"
            node.attr["dtype"].type = dtype
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())


def is_weight(shape: Iterable[int], dtype: Any, *, least: int = 4096) -> bool:
    """Whether a constant is a kernel, or big; what is small tf2onnx may look at."""
    dims = list(shape)
    return bool(dtype.is_floating) and (len(dims) >= 2 or int(np.prod(dims)) >= least)


def free_inputs(function: Any) -> list[Any]:
    """The inputs of a concrete function without the variables that it captures."""
    captured = {id(placeholder) for _, placeholder in function.graph.captures}
    return [tensor for tensor in function.inputs if id(tensor) not in captured]


def tensors_of_interest(frozen: FrozenGraph) -> dict[str, Tap]:
    """Every float tensor of rank 3 to 5 between the inputs and the outputs, under its node's name."""
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph, name="")
    wanted = _between(graph, frozen.inputs.values(), frozen.outputs.values())
    return {op.name: Tap(op.outputs[0].name, op.outputs[0].shape.rank) for op in wanted if _is_of_interest(op)}


def _is_of_interest(op: Any) -> bool:
    return op.type not in PASSING and op.outputs[0].dtype.is_floating and op.outputs[0].shape.rank in (3, 4, 5)


def _between(graph: Any, inputs: Iterable[str], outputs: Iterable[str]) -> list[Any]:
    """The ops that are computed from the inputs and that the outputs are computed from, in order."""
    after = {graph.get_tensor_by_name(name).op for name in inputs}
    before = {graph.get_tensor_by_name(name).op for name in outputs}
    ops = graph.get_operations()
    for op in ops:
        if any(tensor.op in after for tensor in op.inputs):
            after.add(op)
    for op in reversed(ops):
        if op in before:
            before.update(tensor.op for tensor in op.inputs)
    return [op for op in ops if op in after and op in before and op.outputs]
