"""Live PyTorch modules, through the converter that is found by its entry point."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import run
from torch_support import torch

import onnxcam
from onnxcam.conversion import converters
from onnxcam.errors import CannotConvert


def small_module() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(inplace=True),
        torch.nn.Dropout(0.5),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    )


def test_the_converter_is_registered():
    assert "torch" in converters()


def test_a_live_module_is_explained():
    module, x = small_module().eval(), torch.randn(2, 3, 12, 12)
    graph = onnxcam.convert(module, x, layer="2")
    found = run(graph.model, {"input": x.numpy()})
    np.testing.assert_allclose(found[graph.metadata.scores], module(x).detach().numpy(), atol=1e-5)
    assert found["heatmap"].shape == (2, 12, 12)
    assert graph.metadata.layers == ("2",)


def test_a_module_in_training_is_exported_in_evaluation_and_left_in_training():
    module = small_module().train()
    graph = onnxcam.convert(module, torch.randn(1, 3, 12, 12))
    assert all(part.training for part in module.modules())
    assert not [node for node in graph.model.graph.node if node.op_type == "Dropout"]


def test_no_path_of_this_machine_gets_into_the_file():
    data = onnxcam.convert(small_module(), torch.randn(1, 3, 12, 12)).to_bytes()
    assert b"site-packages" not in data
    assert __file__.encode() not in data


def test_an_example_is_needed():
    with pytest.raises(CannotConvert, match="example"):
        onnxcam.convert(small_module())


def test_a_module_that_cannot_be_exported_says_why_in_one_line():
    class Guessing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(CannotConvert, match="Guessing") as caught:
        onnxcam.convert(Guessing(), torch.randn(1, 3, 12, 12))
    assert "\n" not in str(caught.value)
