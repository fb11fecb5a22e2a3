"""Small nets for tests of parity: convolutions with a dense layer behind the mean, with more behind it, and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from parity_peers import Asked
from parity_rows import LINEAR, MAPS, NORMS, PLAIN, SMALL, TOKENS, Row
from torch_support import timm, torch

from onnxcam.conversion import Request, convert_source

nn = torch.nn
SIDE, CLASSES = 32, 6


@dataclass(frozen=True)
class Small:
    """A net: how to make it, its last layer with places and one before, what it offers, what makes it a grid."""

    make: Callable[[], Any]
    layer: str
    earlier: str
    offers: frozenset[str]
    as_grid: Callable[[Any], Any] | None = None

    def has(self, row: Row) -> bool:
        """Whether the other library can do this here."""
        return not row.needs or row.needs in {SMALL, *self.offers}


class Linear(nn.Module):
    """A convolution whose values go below zero right before the mean; captum's LRP has no rule for nn.Flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 12, 3, 2, 1), nn.Conv2d(12, 10, 3, 2, 1)
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(10, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.head(torch.flatten(self.pool(self.last(self.relu(self.first(x)))), 1))


def bent() -> Any:
    """A score that is not linear in the last layer, and has a Hessian."""
    parts = [nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU()]
    tail = [nn.Conv2d(16, 24, 3, 1, 1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 12), nn.SiLU()]
    return nn.Sequential(*parts, *tail, nn.Linear(12, CLASSES))


def vit() -> Any:
    """Tokens behind a class token."""
    return timm.models.VisionTransformer(
        img_size=SIDE, patch_size=8, depth=2, embed_dim=24, num_heads=3, num_classes=CLASSES
    )


def swin() -> Any:
    """Channels last, in windows."""
    return timm.models.SwinTransformer(
        img_size=SIDE, patch_size=2, window_size=4, depths=(1, 2), embed_dim=16, num_heads=(2, 2), num_classes=CLASSES
    )


def channels_first(maps: Any) -> Any:
    """(N, h, w, C) → (N, C, h, w)."""
    return maps.permute(0, 3, 1, 2)


NETS = {
    "linear": Small(Linear, "last", "relu", frozenset((MAPS, LINEAR, PLAIN, NORMS))),
    "bent": Small(bent, "4", "2", frozenset((MAPS, NORMS))),
    "vit": Small(
        vit,
        "blocks.1.norm1",
        "blocks.0.norm1",
        frozenset((TOKENS,)),
        lambda tokens: tokens[:, 1:].reshape(len(tokens), 4, 4, -1).permute(0, 3, 1, 2),
    ),
    "swin": Small(
        swin,
        "layers.1.blocks.1.norm1",
        "layers.0.blocks.0.norm1",
        frozenset((TOKENS,)),
        channels_first,
    ),
}


@cache
def made(name: str) -> tuple[Any, Any]:
    """The module and its ONNX model."""
    torch.manual_seed(1)
    module = NETS[name].make()
    with torch.no_grad():
        for weight in module.parameters():
            # Where authors begin with nought, or all but that, nothing would show.
            weight.normal_(1.0 if weight.ndim == 1 and bool((weight == 1).all()) else 0.0, 0.3)
        module.train()
        module(pictures(8))
    return module.eval(), convert_source(Request(source=module, example=pictures(1))).model


def pictures(count: int) -> Any:
    """Random pictures with structure at several scales."""
    generator = torch.Generator().manual_seed(2)
    coarse = (torch.randn(count, 3, n, n, generator=generator) for n in (2, 4, 8, SIDE))
    return sum(nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear") for x in coarse)


def asked(name: str, row: Row) -> Asked:
    """Two pictures, each with two classes; of what takes many passes one of each."""
    net, module = NETS[name], made(name)[0]
    x, targets = (pictures(1), (3,)) if row.is_slow else (pictures(2).repeat(2, 1, 1, 1), (0, 1, 3, 4))
    return Asked(module, (net.earlier, net.layer)[2 - row.layers :], x, targets, net.as_grid)
