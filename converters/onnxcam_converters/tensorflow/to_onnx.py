"""A frozen graph to ONNX, by tf2onnx."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf2onnx
from onnx import ModelProto

from onnxcam.errors import CannotConvert
from onnxcam.facts import author_facts, note
from onnxcam_converters.anchors import anchor, rename
from onnxcam_converters.batch import name_batch
from onnxcam_converters.padding import protect_pads
from onnxcam_converters.quiet import Remarks, quiet, reason_of
from onnxcam_converters.tensorflow.frozen import FrozenGraph, lift_constants
from onnxcam_converters.tensorflow.repairs import average_in_place, cancel_transposes, put_back, spell_out_erfc
from onnxcam_converters.tensorflow.shapes import fix_reshapes
from onnxcam_converters.tensorflow.taps import expose, exposed

# The highest that tf2onnx 1.17 writes.
OPSET = 18
# What tf2onnx lets through of its own and of TensorFlow's mistakes.
FAILURES = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    AssertionError,
    tf.errors.OpError,
)
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def to_onnx(frozen: FrozenGraph, what: str) -> ModelProto:
    """The graph as an ONNX model at opset 18, the layers that were tapped noted in it.

    Args:
        frozen: is used up.
        what: the source, for messages.

    Raises:
        CannotConvert: if an op has no counterpart in ONNX.
    """
    spell_out_erfc(frozen.graph)
    lift_constants(frozen)
    extra = expose(frozen)
    with quiet() as remarks:
        model = _convert(frozen, [*frozen.outputs.values(), *extra], what, remarks=remarks)
    _refuse_foreign(model, what, remarks)
    put_back(model, frozen.weights)
    cancel_transposes(model.graph)
    average_in_place(model.graph)
    anchor(model, exposed(model, frozen, extra), extra=extra)
    _name_ends(model, {tensor: name for name, tensor in (*frozen.inputs.items(), *frozen.outputs.items())})
    name_batch(model)
    fix_reshapes(model)
    protect_pads(model)
    return model


def note_tensor_names(model: ModelProto) -> None:
    """Makes layers known also as TensorFlow calls their tensors: "conv2/Relu:0"."""
    layers = author_facts(model).get("layers", {})
    note(model, layers={f"{name}:0": tensor for name, tensor in layers.items()})


def _convert(frozen: FrozenGraph, outputs: list[str], what: str, *, remarks: Remarks) -> ModelProto:
    inputs = [*frozen.inputs.values(), *(f"{name}:0" for name in frozen.weights)]
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph, name="model", input_names=inputs, output_names=outputs, opset=OPSET
        )
    except FAILURES as error:
        remarks.keep(error)
        raise CannotConvert(what, reason_of(error), log=remarks.write("tf2onnx")) from error
    return model


def _refuse_foreign(model: ModelProto, what: str, remarks: Remarks) -> None:
    """Refuses a model with ops of TensorFlow's own left in it, which tf2onnx hands over without a word."""
    said = [line for line in remarks.lines if "is not supported" in line or "Failed to convert" in line]
    if said:
        first = said[0].partition("\n")[0]
        raise CannotConvert(what, f"tf2onnx: {first}", log=remarks.write("tf2onnx"))
    for node in model.graph.node:
        if node.domain not in DOMAINS:
            raise CannotConvert(what, f"op {node.op_type} (node {node.name!r}) has no counterpart in ONNX")


def _name_ends(model: ModelProto, names: Mapping[str, str]) -> None:
    """Gives inputs and outputs the names that the source's author knows."""
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)} - names.keys()
    rename(graph, {tensor: name for tensor, name in names.items() if name not in taken})
