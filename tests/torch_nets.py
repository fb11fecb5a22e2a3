"""Small PyTorch nets whose weights lie in files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from small_nets import run
from torch_support import torch

from onnxcam.conversion import Conversion

nn = torch.nn


def tiny(classes: int = 4) -> torch.nn.Module:
    """A convolution, a norm, and a classifier over the mean."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(8, classes)).eval()


class Evil:
    """What a stranger would put into a pickle: on loading it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


class Block(nn.Module):
    """Two convolutions around a shortcut that skips pixels and fills channels with zeros (He et al. 2015, option A)."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inward, outward, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outward)
        self.conv2 = nn.Conv2d(outward, outward, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outward)
        self.stride, self.more = stride, outward - inward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        kept = x[:, :, :: self.stride, :: self.stride]
        filled = nn.functional.pad(kept, (0, 0, 0, 0, self.more // 2, self.more // 2))
        return torch.relu(y + filled)


class ResNet20(nn.Module):
    """The ResNet for CIFAR-10 that the sample weights were trained in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        for number, (inward, outward, stride) in enumerate(widths, 1):
            blocks = [Block(inward, outward, stride), Block(outward, outward, 1), Block(outward, outward, 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def check_numbers(made: Conversion, module: torch.nn.Module, x: torch.Tensor) -> None:
    """The ONNX model, the reference that comes with it and the module give the same."""
    with torch.no_grad():
        expected = module.eval()(x)
    expected = getattr(expected, "logits", expected).numpy()
    (found, *_) = run(made.model, {made.model.graph.input[0].name: x.numpy()}).values()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert made.reference is not None
    np.testing.assert_allclose(made.reference.run([x.numpy()])[0], expected, atol=1e-5)
