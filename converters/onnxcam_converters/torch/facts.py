"""What the library of a model knows of it: size of its pictures, how they are prepared, names of the classes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from onnxcam.errors import OnnxCamError
from onnxcam.preprocessing import parse, prepare
from onnxcam_converters.torch.routes import FAILURES

Size: TypeAlias = tuple[int, int]
Spec: TypeAlias = dict[str, Any]
IMAGENET_CLASSES = 1000
TRIAL_SIZES = ((331, 457), (457, 331))  # pixels, height and width of the pictures that a specification is tried on
LEVEL = 1 / 255
TOLERANCE = 0.5  # mean difference in grey levels: rounding, not another way of resizing


@dataclass(frozen=True, slots=True)
class Owner:
    """What a library knows of one model of its own; of any other model nothing is known.

    Attributes:
        name: of the library.
        shape: (channels, height, width) that the model was made for.
        labels: one a class, in order.
        spec: the preprocessing at a size, as `onnxcam.preprocessing.parse` takes it.
        transform: the library's own preprocessing at a size: PIL image to array (C, h, w).
    """

    name: str = ""
    shape: tuple[int, int, int] | None = None
    labels: tuple[str, ...] = ()
    spec: Callable[[Size], Spec | None] = lambda _: None
    transform: Callable[[Size], Callable[[Any], Any] | None] = lambda _: None


def owner_of(module: torch.nn.Module) -> Owner:
    """What timm or transformers knows of a live module of theirs."""
    if isinstance(getattr(module, "pretrained_cfg", None), Mapping) and "timm" in sys.modules:
        return timm_owner(module)
    if hasattr(getattr(module, "config", None), "to_dict") and "transformers" in sys.modules:
        # Imported late: it needs the words of this module.
        from onnxcam_converters.torch.processors import hf_owner

        return hf_owner(module, None)
    return Owner()


def tried(owner: Owner, size: Size) -> tuple[Spec | None, list[str]]:
    """The preprocessing at a size, if it gives the library's own pixels; else none, and a sentence that says so."""
    from PIL import Image

    spec, transform = owner.spec(size), owner.transform(size)
    if spec is None or transform is None or (owner.shape or (3,))[0] != 3:
        return spec, []
    rng = np.random.default_rng(0)
    try:
        for shape in TRIAL_SIZES:
            picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
            found, _ = prepare(picture, parse(spec, layout="NCHW"))
            expected = np.asarray(transform(Image.fromarray(picture)))
            if found.shape != expected.shape or _levels(found - expected, spec) > TOLERANCE:
                break
        else:
            return spec, []
    except (OnnxCamError, *FAILURES):
        pass  # something that onnxcam has no word for, or a library that wants more than a picture
    return None, [f"the preprocessing of {owner.name} cannot be noted in onnxcam's words; say it with --preprocess"]


def _levels(difference: Any, spec: Spec) -> float:
    step = spec.get("scale", LEVEL) / np.asarray(spec.get("std", (1.0,)))
    return float(np.max(np.abs(difference).mean(axis=(1, 2)) / step))


def timm_owner(module: torch.nn.Module) -> Owner:
    """What timm knows of a model that it made."""
    from timm.data import create_transform, resolve_model_data_config

    config = resolve_model_data_config(module)
    stem = module.pretrained_cfg.get("first_conv")
    channels = in_channels(module, stem) or config["input_size"][0]
    height, width = _fixed_size(module) or config["input_size"][1:]

    def transform(size: Size) -> Callable[[Any], Any]:
        made: Callable[[Any], Any] = create_transform(**config | {"input_size": (channels, *size)})
        return made

    return Owner(
        "timm", (channels, height, width), _timm_labels(module), lambda size: timm_spec(config, size), transform
    )


def timm_spec(config: Mapping[str, Any], size: Size) -> Spec:
    """timm's preprocessing for evaluation, from its data config."""
    box = [math.floor(length / config["crop_pct"]) for length in size]
    spec = {"size": list(size), "interpolation": config["interpolation"]}
    spec |= {"mean": list(config["mean"]), "std": list(config["std"])}
    if config["crop_mode"] == "squash":
        return spec | {"resize": "stretch", "box": box}
    if config["crop_mode"] == "border":
        return spec | {"resize": "letterbox", "box": box, "fill": round(255 * config["mean"][0])}
    if box[0] == box[1]:
        return spec | {"resize": "shorter", "short_side": box[0]}
    return spec | {"resize": "cover", "box": box}


def _timm_labels(module: torch.nn.Module) -> tuple[str, ...]:
    from timm.data import ImageNetInfo, infer_imagenet_subset

    classes, config = getattr(module, "num_classes", 0), module.pretrained_cfg
    told = config.get("label_names") or ()
    if isinstance(told, list | tuple) and len(told) == classes:
        return tuple(map(str, told))
    # The 1000 of ImageNet come with onnxcam, under shorter names.
    subset = None if classes == IMAGENET_CLASSES else infer_imagenet_subset({"num_classes": classes})
    return tuple(ImageNetInfo(subset).label_descriptions()) if subset else ()


def torchvision_owner(module: torch.nn.Module, name: str, *, is_pretrained: bool) -> Owner:
    """What torchvision knows of a model by the weights that it publishes; class names only where those were taken."""
    from torchvision.models import get_model_weights
    from torchvision.transforms._presets import ImageClassification

    try:
        weights = get_model_weights(name).DEFAULT
    except (ValueError, AttributeError):
        return Owner("torchvision")  # no weights are published
    preset, labels = weights.transforms(), tuple(weights.meta.get("categories") or ()) if is_pretrained else ()
    if not isinstance(preset, ImageClassification):
        return Owner("torchvision", labels=labels)
    crop = preset.crop_size[0]
    side = getattr(module, "image_size", crop)
    shape = (in_channels(module, None) or 3, side, side)
    return Owner(
        "torchvision",
        shape,
        labels,
        lambda size: torchvision_spec(preset, size),
        lambda size: preset if size == (crop, crop) else None,
    )


def torchvision_spec(preset: Any, size: Size) -> Spec:
    """torchvision's preset for classification; at another size than its own with the same share cropped away."""
    share = preset.resize_size[0] / preset.crop_size[0]
    return {
        "resize": "shorter",
        "short_side": round(min(size) * share),
        "size": list(size),
        "interpolation": preset.interpolation.value,
        "mean": list(preset.mean),
        "std": list(preset.std),
    }


def _fixed_size(module: torch.nn.Module) -> Size | None:
    """The size that the patch embedding was built for, which `img_size` of timm changes."""
    return pair(getattr(getattr(module, "patch_embed", None), "img_size", None))


def in_channels(module: torch.nn.Module, stem: Any) -> int | None:
    """How many channels the first convolution takes, where there is one."""
    parts = dict(module.named_modules())
    named = parts.get(stem) if isinstance(stem, str) else None
    first = named or next((part for part in parts.values() if isinstance(part, torch.nn.Conv2d)), None)
    return getattr(first, "in_channels", None)


def pair(size: Any) -> Size | None:
    """(height, width) from one side or two; None from anything else."""
    if isinstance(size, int):
        return (size, size)
    return (int(size[0]), int(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None
