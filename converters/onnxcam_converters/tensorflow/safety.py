"""Ops with which a graph could do more than compute."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnxcam.errors import UnsafeSource

# SaveV2, RestoreV2 and MergeV2Checkpoints belong to every SavedModel: they run when it is saved or loaded.
UNSAFE = frozenset(
    "PyFunc PyFuncStateless EagerPyFunc ReadFile WriteFile MatchingFiles WholeFileReader WholeFileReaderV2 "
    "FixedLengthRecordReader FixedLengthRecordReaderV2 TextLineReader TextLineReaderV2 TFRecordReader TFRecordReaderV2 "
    "Save SaveSlices Restore RestoreSlice".split()
)


def refuse_unsafe(source: str, graphs: Iterable[Any]) -> None:
    """Refuses GraphDefs with ops that touch files or call Python, in functions as well.

    Raises:
        UnsafeSource: for the first of them.
    """
    for graph in graphs:
        functions = (node for function in graph.library.function for node in function.node_def)
        for node in (*graph.node, *functions):
            if node.op in UNSAFE:
                remedy = "Where you trust its author, load it yourself and convert the live object."
                raise UnsafeSource(source, f"an op {node.op} (node {node.name!r})", remedy)
