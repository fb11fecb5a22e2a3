"""PyTorch modules to ONNX: by the dynamo exporter, with a dynamic batch and the modules' names kept."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import torch
from onnx import ModelProto

from onnxcam.errors import CannotConvert

OPSET = 18
# Module paths, and the classes of the modules: what names of layers are made of.
KEPT_METADATA = ("pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy")


def convert(module: torch.nn.Module, example: Any) -> ModelProto:
    """The module as an ONNX model at opset 18, every node marked with the module path that it comes from.

    Args:
        module: in any mode; exported in evaluation mode, and left as it was.
        example: one input batch (N, …), or a tuple of the arguments of `forward`. The first dimension stays free.

    Raises:
        CannotConvert: if no example is given or PyTorch cannot export the module.
    """
    if example is None:
        raise CannotConvert(type(module).__name__, "an example input is missing: convert(module, example=batch)")
    arguments = example if isinstance(example, tuple) else (example,)
    arguments = tuple(torch.as_tensor(argument) for argument in arguments)
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        return _export(module, arguments)
    except torch.onnx.OnnxExporterError as error:
        raise CannotConvert(type(module).__name__, str(error).strip().partition("\n")[0]) from error
    finally:
        for part, was_training in modes.items():
            part.training = was_training


def _export(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> ModelProto:
    # A batch of 1 would be taken for a constant.
    doubled = tuple(torch.cat([x, x]) if x.ndim and len(x) == 1 else x for x in arguments)
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} if x.ndim else None for x in doubled)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, doubled, dynamo=True, opset_version=OPSET, dynamic_shapes=shapes, verbose=False, optimize=True
        )
    model = program.model_proto
    _forget_stack_traces(model)
    return model


def _forget_stack_traces(model: ModelProto) -> None:
    """Takes out the stack traces that the exporter notes of every node: paths of this machine, in a file to share."""
    for item in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        kept = [entry for entry in item.metadata_props if entry.key in KEPT_METADATA]
        del item.metadata_props[:]
        item.metadata_props.extend(kept)
