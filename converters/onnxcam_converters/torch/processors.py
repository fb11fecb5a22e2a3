"""What transformers knows of a model: its config, and the image processor that its checkpoint comes with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from onnxcam_converters.torch.facts import Owner, Size, Spec, in_channels, pair

NUMBERED = re.compile(r"LABEL_\d+")  # names for classes that nobody has named
PILLOW_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
LEVIT_SHARE = 224 / 256
CONVNEXT_UNCROPPED = 384  # pixels: from this size on ConvNeXt's processor stretches instead of cropping


def hf_owner(module: torch.nn.Module, processor: Any) -> Owner:
    """What transformers knows of a model: its config, and the image processor of the checkpoint, where there is one."""
    config: Any = module.config
    vision = getattr(config, "vision_config", config)
    size = pair(getattr(vision, "image_size", None)) or (processor_size(processor) if processor else None)
    channels = getattr(vision, "num_channels", None) or in_channels(module, None) or 3
    names = [str(config.id2label[index]) for index in sorted(config.id2label or {})]
    return Owner(
        "transformers",
        (channels, *size) if size else None,
        () if all(map(NUMBERED.fullmatch, names)) else tuple(names),
        lambda size: hf_spec(processor, size) if processor else None,
        lambda size: _hf_transform(processor) if processor and size == processor_size(processor) else None,
    )


def hf_spec(processor: Any, size: Size) -> Spec:
    """The preprocessing of an image processor, if it resizes and crops as those for classification do."""
    spec: Spec = {"size": list(size), "rounding": "down", **_hf_resize(processor, size), **_hf_values(processor)}
    spec["interpolation"] = PILLOW_FILTERS.get(int(getattr(processor, "resample", 2) or 0), "bilinear")
    if getattr(processor, "do_flip_channel_order", False):
        spec["channels"] = "BGR"
    return spec


def processor_size(processor: Any) -> Size | None:
    """(height, width) of what an image processor gives, where it is the same for every picture."""
    size = dict(getattr(processor, "size", None) or {})
    if getattr(processor, "do_center_crop", False):
        size = dict(processor.crop_size)
    side = size.get("shortest_edge") if hasattr(processor, "crop_pct") else None
    return pair(side) or (pair((size["height"], size["width"])) if {"height", "width"} <= size.keys() else None)


def _hf_resize(processor: Any, size: Size) -> Spec:
    """How a picture is resized; at another size than the processor's own everything scales along."""
    if not getattr(processor, "do_resize", False):
        return {"resize": "none"}
    given, kind, own = dict(processor.size or {}), type(processor).__name__, processor_size(processor)
    ratio = min(size) / min(own) if own else 1.0
    short = given.get("shortest_edge")
    if short is None:
        box = [given.get("height", size[0]), given.get("width", size[1])]
        is_cropped = getattr(processor, "do_center_crop", False)
        return {"resize": "stretch", "box": [round(side * ratio) for side in box] if is_cropped else list(size)}
    if kind.startswith("ConvNext") and short >= CONVNEXT_UNCROPPED:
        return {"resize": "stretch"}
    share = LEVIT_SHARE if kind.startswith(("LeViT", "Levit")) else getattr(processor, "crop_pct", None) or 1
    return {"resize": "shorter", "short_side": round(int(short / share) * ratio)}


def _hf_values(processor: Any) -> Spec:
    """(pixel·scale − offset − mean) / std; EfficientNet's processor divides by std a second time."""
    scale = processor.rescale_factor if getattr(processor, "do_rescale", False) else 1.0
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    mean, std = np.zeros(3), np.ones(3)
    if getattr(processor, "do_normalize", False):
        mean, std = np.broadcast_to(processor.image_mean, 3), np.broadcast_to(processor.image_std, 3)
    if getattr(processor, "include_top", False):
        std = std * std
    return {"scale": float(scale), "mean": [float(m) for m in mean + offset], "std": [float(s) for s in std]}


def _hf_transform(processor: Any) -> Callable[[Any], Any]:
    return lambda picture: processor(images=picture, return_tensors="np")["pixel_values"][0]
