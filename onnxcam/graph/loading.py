"""Any model file as the rest of onnxcam wants it: opset 18, shapes folded, the batch open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from onnxcam.graph.batch import open_batch
from onnxcam.graph.ceiling import settle_ceilings
from onnxcam.graph.files import Source, read
from onnxcam.graph.folding import drop_unused, fold_constants
from onnxcam.graph.opset import to_opset_18
from onnxcam.graph.sequences import resolve_sequences
from onnxcam.graph.sorting import sort_nodes
from onnxcam.graph.strides import straighten
from onnxcam.graph.unrolling import unroll


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be differentiated.

    Attributes:
        proto: at opset 18, our own copy.
        source: the file it came from.
        batch_reason: why it takes no other number of images than it was exported for; "" when it takes any.
    """

    proto: ModelProto
    source: Source
    batch_reason: str


def load(source: str | Path | bytes | ModelProto, *, domains: Collection[str] = ()) -> LoadedModel:
    """The model, whatever opset and layout of files it came in; a ModelProto given is left as it is.

    `domains`: of custom operators that the caller has rules for; others are refused.

    Raises:
        OnnxCamError: what `read`, `sort_nodes` and `to_opset_18` raise.
    """
    model, origin = read(source)
    sort_nodes(model, origin.file or "the model")
    to_opset_18(model, domains)
    drop_unused(model)
    fold_constants(model)
    while unroll(model):
        drop_unused(model)
        fold_constants(model)
    if resolve_sequences(model):
        drop_unused(model)
        fold_constants(model)
    straighten(model)
    settle_ceilings(model)
    reason = open_batch(model)
    fold_constants(model)
    drop_unused(model)
    return LoadedModel(model, origin, reason)
