"""Frozen graphs in .pb files, of TensorFlow 1 and 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from onnxcam.conversion import Arrays, Conversion, Reference, Request
from onnxcam.errors import CannotConvert, InvalidSource, MissingWeights
from onnxcam.errors.conversion import first_few
from onnxcam.facts import note
from onnxcam_converters.quiet import quiet
from onnxcam_converters.tensorflow.frozen import FrozenGraph, tensors_of_interest
from onnxcam_converters.tensorflow.functions import FRAMEWORK, set_size
from onnxcam_converters.tensorflow.safety import refuse_unsafe
from onnxcam_converters.tensorflow.to_onnx import note_tensor_names, to_onnx

VARIABLES = frozenset(("VarHandleOp", "VariableV2", "Variable"))
# Ends of a graph that hold no prediction.
SILENT = frozenset(("NoOp", "Assert", "Const", "Placeholder", "PlaceholderWithDefault"))
# What TF1 graphs feed to dropout and BatchNormalization, and what it is when nothing is trained.
SWITCHES: dict[int, Any] = {tf.bool.as_datatype_enum: False, tf.float32.as_datatype_enum: 1.0}


def convert(request: Request, path: Path) -> Conversion:
    """The graph in the file: its inputs are the placeholders, its outputs the ends, or those that were named."""
    graph = read(path)
    notes = _settle_switches(graph)
    inputs = {node.name: f"{node.name}:0" for node in graph.node if node.op == "Placeholder"}
    if not inputs:
        raise CannotConvert(str(path), "its graph has no placeholder for the pictures")
    outputs = find_outputs(graph, inputs, request.outputs, what=str(path))
    frozen = FrozenGraph(graph, inputs, outputs)
    set_size(frozen, request.input_size, str(path))
    with quiet():
        frozen.graph = tf.compat.v1.graph_util.extract_sub_graph(graph, [_node(tensor) for tensor in outputs.values()])
        frozen.inputs = {name: tensor for name, tensor in inputs.items() if _has(frozen.graph, name)}
        frozen.taps = tensors_of_interest(frozen)
    used = list(frozen.inputs.values())
    model = to_onnx(frozen, str(path))
    note_tensor_names(model)
    note(model, notes=notes)
    return Conversion(model, "tf2onnx", reference=Reference(FRAMEWORK, _runner(path, used, list(outputs.values()))))


def read(path: Path) -> Any:
    """The GraphDef in the file.

    Raises:
        InvalidSource: if there is none.
        MissingWeights: if it has variables, whose values lie elsewhere.
        UnsafeSource: if it could do more than compute.
    """
    try:
        graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    except OSError as error:
        raise InvalidSource(str(path), error.strerror or "it cannot be read") from error
    except DecodeError as error:
        raise InvalidSource(str(path), "the file is damaged or holds no TensorFlow graph") from error
    if not graph.node or not all(node.op for node in graph.node):
        raise InvalidSource(str(path), "no TensorFlow graph is in it")
    refuse_unsafe(str(path), [graph])
    variables = [node.name for node in graph.node if node.op in VARIABLES]
    if variables:
        raise MissingWeights(str(path), f"the graph is not frozen, it has the variables {first_few(variables)}")
    return graph


def find_outputs(graph: Any, inputs: dict[str, str], wanted: tuple[str, ...], *, what: str) -> dict[str, str]:
    """The tensors that were named, else the end of what is computed from the inputs, by name.

    Raises:
        CannotConvert: if there is none of that name, or more than one end.
    """
    reached = _reached(graph, set(inputs))
    if wanted:
        missing = [name for name in wanted if not _has(graph, _node(name))]
        ends = _ends(graph, reached)
        if missing:
            raise CannotConvert(what, f"it has no node {missing[0]!r}; its ends are {first_few(ends) or 'none'}")
        return {name.removesuffix(":0"): name if ":" in name else f"{name}:0" for name in wanted}
    ends = _ends(graph, reached)
    if len(ends) != 1:
        told = (
            f"its graph has {len(ends)} ends ({first_few(ends)})"
            if ends
            else "its graph leads from no input to any end"
        )
        raise CannotConvert(what, f"{told}; name the output that is to be explained")
    return {ends[0]: f"{ends[0]}:0"}


def _reached(graph: Any, inputs: set[str]) -> set[str]:
    """The nodes that are computed from the inputs."""
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for source in node.input:
            readers.setdefault(_node(source), []).append(node.name)
    found, open_names = set(inputs), list(inputs)
    while open_names:
        fresh = set(readers.get(open_names.pop(), ())) - found
        found |= fresh
        open_names.extend(fresh)
    return found


def _ends(graph: Any, reached: set[str]) -> list[str]:
    read_names = {_node(source) for node in graph.node for source in node.input if not source.startswith("^")}
    return [n.name for n in graph.node if n.name in reached and n.name not in read_names and n.op not in SILENT]


def _settle_switches(graph: Any) -> list[str]:
    """Makes constants of placeholders for one number, which say whether the net is being trained; notes which."""
    notes = []
    for node in graph.node:
        shape = node.attr["shape"].shape
        if node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            node.attr["T"].type = node.attr["dtype"].type
            del node.attr["dtype"], node.attr["shape"]
        elif node.op == "Placeholder" and not shape.dim and not shape.unknown_rank and "shape" in node.attr:
            dtype = node.attr["dtype"].type
            if dtype in SWITCHES:
                node.op = "Const"
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(SWITCHES[dtype], tf.dtypes.as_dtype(dtype)))
                del node.attr["shape"]
                notes.append(
                    f"the input {node.name!r}, one number, was set to {SWITCHES[dtype]}, as when nothing is trained"
                )
    return notes


def _has(graph: Any, name: str) -> bool:
    return any(node.name == name for node in graph.node)


def _node(tensor: str) -> str:
    """The node of "^name", "name:0" or "name"."""
    return tensor.removeprefix("^").partition(":")[0]


def _runner(path: Path, inputs: list[str], outputs: list[str]) -> Any:
    """Runs the graph as it is in the file, which is read again: two copies of the weights are one too many."""

    def run(arrays: Arrays) -> Arrays:
        graph = read(path)
        _settle_switches(graph)
        with tf.Graph().as_default() as loaded, quiet():
            tf.graph_util.import_graph_def(graph, name="")
            with tf.compat.v1.Session(graph=loaded) as session:
                found: Arrays = session.run(outputs, dict(zip(inputs, arrays, strict=True)))
        return found

    return run
