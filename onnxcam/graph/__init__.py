"""Models as values and nodes: the only package of onnxcam that builds ONNX protobuf."""

from onnxcam.graph.folding import drop_unused
from onnxcam.graph.loading import LoadedModel, load
from onnxcam.graph.node import Node
from onnxcam.graph.replay import between, descendants, replay
from onnxcam.graph.sealing import check, is_large, write_metadata
from onnxcam.graph.tape import Tape
from onnxcam.graph.value import Array, Dim, Operand, Value
from onnxcam.graph.writing import write

__all__ = [
    "Array",
    "Dim",
    "LoadedModel",
    "Node",
    "Operand",
    "Tape",
    "Value",
    "between",
    "check",
    "descendants",
    "drop_unused",
    "is_large",
    "load",
    "replay",
    "write",
    "write_metadata",
]
