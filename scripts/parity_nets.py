"""The nets of scripts/parity.py: timm's, with random weights that give maps, and photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from parity_peers import Asked
from parity_rows import LINEAR, MAPS, NORMS, TOKENS, Row
from samples import IMAGES
from torch_support import timm, torch
from zoo_nets import calibrate, enliven

from onnxcam.conversion import Request, convert_source

PHOTOS = ("chelsea.png", "dogs.png", "both.png", "astronaut.png")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 224


@dataclass(frozen=True)
class Net:
    """A net and where it is looked at.

    Attributes:
        name: timm's.
        layer: the last layer with places.
        earlier: another one, to be fused with it.
        offers: what rows may need, and it has.
        as_grid: turns what the layers give into (N, C, h, w).
    """

    name: str
    layer: str
    earlier: str
    offers: frozenset[str] = frozenset((MAPS,))
    as_grid: Callable[[Any], Any] | None = None


def without_class_token(tokens: Any) -> Any:
    """(N, 1 + 14·14, C) → (N, C, 14, 14)."""
    return tokens[:, 1:].reshape(len(tokens), 14, 14, -1).permute(0, 3, 1, 2)


def channels_first(maps: Any) -> Any:
    """(N, h, w, C) → (N, C, h, w)."""
    return maps.permute(0, 3, 1, 2)


NETS = {
    net.name: net
    for net in (
        Net("resnet18", "layer4", "layer3", frozenset((MAPS, LINEAR, NORMS))),
        Net("mobilenetv3_small_100", "blocks.5", "blocks.4"),
        Net("convnext_atto", "stages.3", "stages.2", frozenset((MAPS, NORMS))),
        Net("vit_tiny_patch16_224", "blocks.11.norm1", "blocks.10.norm1", frozenset((TOKENS,)), without_class_token),
        Net(
            "swin_tiny_patch4_window7_224",
            "layers.3.blocks.1.norm1",
            "layers.3.blocks.0.norm1",
            frozenset((TOKENS,)),
            channels_first,
        ),
    )
}


def photos() -> Any:
    """Four photos, (4, 3, 224, 224), prepared as for ImageNet."""
    read = [cv2.imread(str(IMAGES / name)) for name in PHOTOS]
    small = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[..., ::-1] / 255.0 for image in read]
    x = (np.stack(small) - MEAN) / STD
    return torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32))


def make(net: Net) -> Any:
    """The module: seeded weights, statistics of the photos in its batch normalisations, a head that tells classes."""
    torch.manual_seed(0)
    timm.layers.set_fused_attn(False)  # PyTorch's fused attention has no second derivative, which ShapleyCAM asks for
    module = timm.create_model(net.name)
    enliven(module)
    calibrate(module, photos())
    return module.eval()


def exported(net: Net, module: Any, folder: Path) -> Path:
    """The net as ONNX, made once; `folder` outlives the run."""
    path = folder / f"{net.name}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(convert_source(Request(source=module, example=photos()[:1])).model, path)
    return path


def distinct_best(scores: Any, count: int) -> list[int]:
    """For the pictures in turn the best class that no other has taken; `count` rounds."""
    taken: list[int] = []
    for row in [*scores] * count:
        taken.append(next(int(c) for c in torch.argsort(-row) if int(c) not in taken))
    return taken


def asked(net: Net, module: Any, row: Row) -> Asked:
    """Two photos, each with three classes, none twice; of what takes many passes one photo and its best class."""
    pictures, classes = (1, 1) if row.is_slow else (2, 3)
    x = photos()[:pictures]
    with torch.no_grad():
        targets = distinct_best(module(x), classes)
    layers = (net.earlier, net.layer)[2 - row.layers :]
    return Asked(module, layers, x.repeat(classes, 1, 1, 1), tuple(targets), net.as_grid)
