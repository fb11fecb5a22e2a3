"""torch and its model libraries, where they are installed: with a stand-in for torchvision's missing operators."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")


def _define_missing_operators() -> object:
    """A CUDA build of torchvision beside a CPU torch has no compiled operators: their schemas, so that it imports."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


try:
    import torchvision
except RuntimeError:
    OPERATORS = _define_missing_operators()
    import torchvision  # noqa: F401 - importers take it from here

timm = pytest.importorskip("timm", reason="timm is not installed")
