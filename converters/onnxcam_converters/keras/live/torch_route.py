"""Keras models on PyTorch: exported by torch.onnx, with what every layer gives as further outputs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from onnx import ModelProto

from onnxcam.errors import CannotConvert
from onnxcam.graph.walk import Names, all_nodes
from onnxcam_converters.anchors import Anchors, anchor, rename
from onnxcam_converters.batch import name_batch
from onnxcam_converters.keras.live.calls import recorded
from onnxcam_converters.keras.live.framework import framework_of
from onnxcam_converters.keras.live.reference import flat
from onnxcam_converters.keras.live.signature import Input, call, output_names
from onnxcam_converters.padding import protect_pads
from onnxcam_converters.quiet import quiet, reason_of

NAME = "Keras on PyTorch, torch.onnx, dynamo"
OPSET = 18
# A batch of 1 would be taken for a constant.
EXAMPLE_BATCH = 3
FAILURES = (torch.onnx.OnnxExporterError, ValueError, TypeError, RuntimeError, LookupError, AttributeError)


def convert(model: Any, inputs: Sequence[Input], what: str) -> ModelProto:
    """The model as ONNX, every layer noted under its path.

    Raises:
        CannotConvert: if PyTorch cannot export it.
    """
    known = _Names()
    examples = tuple(torch.as_tensor(tensor.example(EXAMPLE_BATCH)) for tensor in inputs)
    try:
        with quiet() as remarks, contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            # A model that was never called makes its weights now: while it is traced they would have no values.
            call(model, examples)
            exported = _export(_Exposed(model, known), examples)
    except FAILURES as error:
        remarks.keep(error)
        why = f"PyTorch cannot export it: {reason_of(error)}"
        raise CannotConvert(what, why, log=remarks.write("keras")) from error
    ends = [value.name for value in exported.graph.output]
    names = dict(zip(ends, known.outputs, strict=False))
    exposed = ends[len(known.outputs) :]
    _forget_scopes(exported)
    _name_nodes(exported, anchor(exported, zip(exposed, known.tapped, strict=True), extra=exposed))
    names |= {value.name: tensor.name for value, tensor in zip(exported.graph.input, inputs, strict=True)}
    fresh = Names(exported.graph)
    rename(exported.graph, {old: new if new == old else fresh.fresh(new) for old, new in names.items()})
    del exported.graph.value_info[:]
    name_batch(exported)
    protect_pads(exported)
    return exported


@dataclass
class _Names:
    """Of the outputs of an exposed model: the model's own, then its layers'."""

    outputs: list[str] = field(default_factory=list)
    tapped: list[str] = field(default_factory=list)


class _Exposed(torch.nn.Module):
    """A model that also gives what its layers give."""

    def __init__(self, model: Any, names: _Names) -> None:
        super().__init__()
        self.model = model
        # Attributes of a module that change while it is exported are set back.
        self.names = names

    def forward(self, *tensors: Any) -> list[Any]:
        """The model's outputs, then its layers'."""
        framework = framework_of(self.model)
        with recorded(framework, lambda _: contextlib.nullcontext()) as calls:
            given = call(self.model, tensors)
        outputs = flat(given, framework)
        self.names.outputs = output_names(self.model, given, len(outputs))
        found = {}
        for path, made in calls.outputs.items():
            for number, tensor in enumerate(flat(made, framework)):
                if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.ndim in (3, 4, 5):
                    found[f"{path}:{number}" if number else path] = tensor
        self.names.tapped = [path for path in found if path not in self.names.outputs]
        # A copy: an output that is also an input, or given twice, would be left out.
        return [*outputs, *(found[path].clone() for path in self.names.tapped)]


def _export(wrapped: torch.nn.Module, examples: tuple[Any, ...]) -> ModelProto:
    batch = torch.export.Dim("batch", min=1)
    shapes = (tuple({0: batch} for _ in examples),)
    program = torch.onnx.export(
        wrapped.eval(), examples, dynamo=True, opset_version=OPSET, dynamic_shapes=shapes, verbose=False, optimize=True
    )
    assert program is not None  # noqa: S101 - with dynamo there is always one
    model: ModelProto = program.model_proto
    return model


def _forget_scopes(model: ModelProto) -> None:
    """Takes out stack traces, and names of modules: PyTorch does not know the layers' own."""
    for node in all_nodes(model.graph):
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]


def _name_nodes(model: ModelProto, found: Anchors) -> None:
    """Names the node that a layer ends with after it, which tells of the models around it, too."""
    layers = {tensor: layer for layer, tensor in reversed(found.layers.items())}
    for node in model.graph.node:
        if node.output[0] in layers:
            node.name = f"{layers[node.output[0]]}/{node.op_type}"
