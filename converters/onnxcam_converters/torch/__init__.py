"""PyTorch models to ONNX: live modules, models that timm, torchvision and transformers make by name, and files."""

from __future__ import annotations

from pathlib import Path

import torch

from onnxcam.conversion import Conversion, Request
from onnxcam_converters.torch.factories import MAKERS, build
from onnxcam_converters.torch.loading import convert_built, convert_file, convert_program, live


def convert(request: Request) -> Conversion:
    """What is asked for, as ONNX.

    Raises:
        OnnxCamError: one of its kinds, for a source that cannot be had, trusted or exported.
    """
    source = request.source
    if isinstance(source, torch.export.ExportedProgram):
        return convert_program(source)
    if isinstance(source, torch.nn.Module):
        return convert_built(live(request), request, type(source).__name__)
    if str(source).partition(":")[0] in MAKERS and not Path(source).exists():
        return convert_built(build(request), request, str(source))
    return convert_file(Path(source), request)
