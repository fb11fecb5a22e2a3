"""Models as values and nodes: the only package of onnxcam that builds ONNX protobuf."""

from onnxcam.graph.body import Body, body_of, emit_with_bodies, gradient_type, zeros_for
from onnxcam.graph.folding import drop_unread_inputs, drop_unused
from onnxcam.graph.iterated import Iterated, State
from onnxcam.graph.loading import LoadedModel, load
from onnxcam.graph.node import Node
from onnxcam.graph.replay import between, descendants, made_of, replay
from onnxcam.graph.scanning import Iteration, Sliced
from onnxcam.graph.sealing import check, is_large, write_metadata
from onnxcam.graph.tape import Tape
from onnxcam.graph.value import Array, Dim, Operand, Value
from onnxcam.graph.writing import write

__all__ = [
    "Array",
    "Body",
    "Dim",
    "Iterated",
    "Iteration",
    "LoadedModel",
    "Node",
    "Operand",
    "Sliced",
    "State",
    "Tape",
    "Value",
    "between",
    "body_of",
    "check",
    "descendants",
    "drop_unread_inputs",
    "drop_unused",
    "emit_with_bodies",
    "gradient_type",
    "is_large",
    "load",
    "made_of",
    "replay",
    "write",
    "write_metadata",
    "zeros_for",
]
