"""Graphs in which shapes are computed, height and width open: one file, right at two sizes and batches."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from onnx_runs import session
from torch_support import torch

import onnxcam

nn, F = torch.nn, torch.nn.functional


class Globally(nn.Module):
    """Pooled to a single pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return F.adaptive_avg_pool2d(torch.tanh(self.conv(x)), 1).flatten(1)


class Bins(Globally):
    """Pooled to 3 × 2 bins whose borders are arithmetic on the shape, as adaptive pooling has them."""

    def forward(self, x: Any) -> Any:
        x = torch.tanh(self.conv(x))
        h, w = x.shape[-2:]
        rows = [x[:, :, i * h // 3 : ((i + 1) * h + 2) // 3] for i in range(3)]
        bins = [row[..., j * w // 2 : ((j + 1) * w + 1) // 2].mean((2, 3)) for row in rows for j in range(2)]
        return torch.cat(bins, 1)


class Pyramid(nn.Module):
    """A coarse map brought to the size of a fine one."""

    def __init__(self, mode: str, *, align_corners: bool | None = None) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.how = {"mode": mode, "align_corners": align_corners}

    def forward(self, x: Any) -> Any:
        fine = torch.tanh(self.fine(x))
        coarse = torch.tanh(self.coarse(fine))
        return (fine * F.interpolate(coarse, size=fine.shape[-2:], **self.how)).sum((2, 3))


class Positions(nn.Module):
    """Tokens with position embeddings that are brought to the grid, and attention among them."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 6, 5, 5))
        self.embed, self.norm, self.qkv = nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6), nn.Linear(6, 18)

    def forward(self, x: Any) -> Any:
        tokens = self.embed(x)
        tokens = tokens + F.interpolate(self.positions, size=tokens.shape[-2:], mode="bilinear")
        q, k, v = self.qkv(self.norm(tokens.flatten(2).transpose(1, 2))).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v).mean(1)


class Windows(nn.Module):
    """Attention in shifted windows of 4 × 4, the picture padded to a multiple of 4 and cut again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        x = self.conv(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        x = F.pad(x, (0, 0, 0, (4 - w % 4) % 4, 0, (4 - h % 4) % 4))
        _, high, wide, _ = x.shape
        x = torch.roll(x, (-2, -2), (1, 2)).view(n, high // 4, 4, wide // 4, 4, c)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        x = torch.softmax(self.dense(x) @ x.transpose(1, 2), -1) @ x
        x = x.view(n, high // 4, wide // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, high, wide, c)
        return torch.roll(x, (2, 2), (1, 2))[:, :h, :w].mean((1, 2))


def by_dynamo(module: Any, x: Any) -> ModelProto:
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    return torch.onnx.export(module, (x,), dynamo=True, dynamic_shapes=(sizes,), verbose=False).model_proto


def by_torchscript(module: Any, x: Any) -> ModelProto:
    file, axes = io.BytesIO(), {"x": {0: "N", 2: "H", 3: "W"}}
    torch.onnx.export(module, (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes, opset_version=17)
    return onnx.load_from_string(file.getvalue())


class Case(NamedTuple):
    name: str
    module: Callable[[], Any]
    export: Callable[[Any, Any], ModelProto]


CASES = [
    Case("global pooling, dynamo", Globally, by_dynamo),
    Case("global pooling, TorchScript", Globally, by_torchscript),
    Case("bins, dynamo", Bins, by_dynamo),
    Case("bins, TorchScript", Bins, by_torchscript),
    Case("nearest, dynamo", lambda: Pyramid("nearest"), by_dynamo),
    Case("bilinear, TorchScript", lambda: Pyramid("bilinear", align_corners=False), by_torchscript),
    Case("bilinear, corners aligned, dynamo", lambda: Pyramid("bilinear", align_corners=True), by_dynamo),
    Case("bicubic, dynamo", lambda: Pyramid("bicubic", align_corners=False), by_dynamo),
    Case("positions, TorchScript", Positions, by_torchscript),
    Case("windows, dynamo", Windows, by_dynamo),
    Case("windows, TorchScript", Windows, by_torchscript),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_file_is_right_at_two_sizes(case: Case):
    torch.manual_seed(0)
    module = case.module().eval()
    logging.disable(logging.WARNING)  # what the exporters have to say
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = onnxcam.gradient(case.export(module, torch.randn(2, 3, 16, 20)))
    logging.disable(logging.NOTSET)
    found = session(model)
    for shape in ((1, 3, 16, 20), (3, 3, 21, 13)):
        x = torch.randn(shape, requires_grad=True)
        y = module(x)
        cotangent = torch.randn_like(y)
        (expected,) = torch.autograd.grad(y, x, cotangent)
        feeds = {found.get_inputs()[0].name: x.detach().numpy(), "cotangent": cotangent.numpy()}
        g = found.run([found.get_outputs()[-1].name], feeds)[0]
        assert np.linalg.norm(g - expected.numpy()) <= 1e-5 * np.linalg.norm(expected.numpy())
