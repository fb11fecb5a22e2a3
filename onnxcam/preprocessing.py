"""How a photo becomes the model's input: the specification, its presets, and the arithmetic on pixels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import InvalidPreprocessing, UnknownChoice
from onnxcam.geometry import Geometry, place
from onnxcam.images import Image
from onnxcam.resizing import INTERPOLATIONS, resize

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)
CROP_SHARE = 224 / 256
PRESET_SIZE = (224, 224)  # pixels: what a preset stands for where neither the model nor the user says a size
CHOICES: dict[str, tuple[str, ...]] = {
    "resize": ("shorter", "stretch", "cover", "letterbox", "none"),
    "rounding": ("torchvision", "nearest", "down"),
    "align": ("centre", "corner"),
    "interpolation": INTERPOLATIONS,
    "channels": ("RGB", "BGR", "GRAY"),
    "layout": ("NCHW", "NHWC"),
    "dtype": ("float32", "float16", "uint8"),
}
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "size": (lambda v: is_size(v), "[height, width] in whole pixels, or null"),
    "box": (lambda v: is_size(v), "[height, width] in whole pixels, or null"),
    "short_side": (lambda v: v is None or isinstance(v, int), "whole pixels, or null"),
    "antialias": (lambda v: isinstance(v, bool), "true or false"),
    "scale": (lambda v: isinstance(v, int | float), "a number"),
    "mean": (lambda v: is_list(v, (int, float)), "a list of numbers"),
    "std": (lambda v: is_list(v, (int, float)), "a list of numbers"),
    "fill": (lambda v: isinstance(v, int) and 0 <= v <= 255, "a whole number from 0 to 255"),
}
PRESETS: dict[str, dict[str, Any]] = {
    "torchvision": {"resize": "shorter", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "timm": {"resize": "shorter", "interpolation": "bicubic", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "caffe": {"channels": "BGR", "scale": 1.0, "mean": CAFFE_MEAN},
    "tf": {"scale": 1 / 127.5, "mean": (1.0, 1.0, 1.0)},
    "torch": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "unit": {},
    "raw": {"scale": 1.0},
    "letterbox": {"resize": "letterbox"},
    "yolox": {"resize": "letterbox", "align": "corner", "channels": "BGR", "scale": 1.0},
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What happens to the pixels: value = (pixel·scale − mean) / std, in the order of `channels`.

    The defaults are those of the preset "unit" and fill what a partial specification leaves out.

    Attributes:
        size: (h, w) of the input; None where the model takes any.
        resize: "shorter" (shorter side to `short_side`), "stretch" (to `box`), "cover" (in its own proportions, as
            small as covers `box`), "letterbox" (as large as fits into `box`, the rest `fill`), "none". What is then
            larger than `size` is cropped at its centre.
        box: (h, w); None: `size`.
        rounding: of the longer side and the crop: "torchvision", "nearest" or "down", see `geometry.cropped`.
        align: where a letterboxed photo lies: in the "centre", or in the top left "corner".
        fill: 0 to 255, for letterbox; what a crop lacks is filled with 0, as in torchvision.
    """

    size: tuple[int, int] | None = None
    resize: str = "stretch"
    short_side: int | None = None
    box: tuple[int, int] | None = None
    rounding: str = "torchvision"
    align: str = "centre"
    interpolation: str = "bilinear"
    antialias: bool = True
    channels: str = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: str = "NCHW"
    dtype: str = "float32"
    fill: int = 114

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON and for `parse`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def parse(
    spec: str | Mapping[str, Any] | None,
    *,
    size: tuple[int, int] | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    channels: int | None = None,
) -> Preprocessing:
    """The specification with everything filled in.

    A preset's name, a JSON object or its text, in which "preset" names what to start from; None is "torchvision" for
    colour models, "unit" for grey and for NHWC ones, "raw" for uint8 ones. The keywords are the model's own facts
    (`channels` how many it takes) and fill what is not given; a grey model takes the averages of a preset's mean and
    std. A preset that resizes takes `PRESET_SIZE` where the size stays open.

    Raises:
        UnknownChoice: for a preset, key or value that does not exist.
        InvalidPreprocessing: for one that makes no sense.
    """
    facts = {"size": size, "layout": layout, "dtype": dtype, "channels": {1: "GRAY"}.get(channels or 3)}
    if spec is None:
        spec = default_preset(dtype, channels, layout)
    entries = from_text(spec) if isinstance(spec, str) else spec
    given = {key: value for key, value in entries.items() if value is not None}
    start = given.pop("preset", "unit")
    if start not in PRESETS:
        raise UnknownChoice("preprocessing preset", str(start), PRESETS)
    merged = PRESETS[start] | {key: value for key, value in facts.items() if value is not None} | given
    if "preset" in entries and merged.get("resize") != "none" and not {"size", "short_side"} & merged.keys():
        merged["size"] = PRESET_SIZE
    return complete(checked({key: frozen(value) for key, value in merged.items()}))


def default_preset(dtype: str | None, channels: int | None, layout: str | None) -> str:
    """The preset for a model of which nothing is known but its input; NHWC is the way of Keras and TensorFlow."""
    if dtype == "uint8":
        return "raw"
    return "unit" if channels == 1 or layout == "NHWC" else "torchvision"


def from_text(text: str) -> dict[str, Any]:
    """The object that a preset's name or a JSON text stands for."""
    if not text.lstrip().startswith("{"):
        return {"preset": text}
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise InvalidPreprocessing(f"it is not JSON: {error}") from error


def frozen(value: object) -> object:
    """A list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def checked(given: Mapping[str, Any]) -> Preprocessing:
    """The specification, if every key and value exists."""
    known = [field.name for field in fields(Preprocessing)]
    for key, value in given.items():
        if key not in known:
            raise UnknownChoice("preprocessing key", key, known)
        if key in CHOICES and value not in CHOICES[key]:
            raise UnknownChoice(f'value of "{key}"', str(value), CHOICES[key])
    for key, (is_right, said) in SHAPES.items():
        if key in given and not is_right(given[key]):
            raise InvalidPreprocessing(f'"{key}" must be {said}, not {given[key]!r}')
    return Preprocessing(**given)


def is_size(value: object) -> bool:
    """Whether this is (height, width), or None."""
    return value is None or (is_list(value, int) and isinstance(value, tuple) and len(value) == 2 and min(value) > 0)


def is_list(value: object, kind: type | tuple[type, ...]) -> bool:
    """Whether this is a tuple of nothing but that kind."""
    return isinstance(value, tuple) and all(isinstance(entry, kind) for entry in value)


def complete(spec: Preprocessing) -> Preprocessing:
    """The specification with the short side and the grey averages worked out, if it then holds together."""
    if spec.resize == "shorter" and spec.short_side is None and spec.size is not None:
        spec = replace(spec, short_side=round(min(spec.size) / CROP_SHARE))
    if spec.channels == "GRAY":
        spec = replace(spec, mean=(sum(spec.mean) / len(spec.mean),), std=(sum(spec.std) / len(spec.std),))
    count = 1 if spec.channels == "GRAY" else 3
    if len(spec.mean) != count or len(spec.std) != count or 0 in spec.std:
        raise InvalidPreprocessing(
            f'"mean" and "std" need {count} numbers for {spec.channels}, and none of std may be 0'
        )
    if spec.resize in ("stretch", "cover", "letterbox") and spec.size is None:
        raise InvalidPreprocessing(f'"{spec.resize}" needs "size": [height, width], which the model leaves open')
    if spec.resize == "shorter" and (spec.short_side is None or spec.short_side < 1):
        raise InvalidPreprocessing('"shorter" needs "size" or "short_side", at least 1 pixel')
    return spec


def check_size(spec: Preprocessing, size: tuple[int, int] | None) -> None:
    """Refuses to make another size, (h, w), than the model takes; None: it takes any.

    Raises:
        InvalidPreprocessing: with both.
    """
    if spec.size is not None and size is not None and spec.size != size:
        raise InvalidPreprocessing(
            f'"size" is {list(spec.size)}, and the model takes {list(size)}; leave "size" out, and it is the model\'s'
        )


def prepare(image: Image, spec: Preprocessing) -> tuple[NDArray[Any], Geometry]:
    """The model's input (C, h, w) or (h, w, C), without its batch axis, and the way back to the photo.

    Args:
        image: RGB (H, W, 3), as `images.read` gives it.
        spec: what `parse` gave.
    """
    geometry = place(
        (image.shape[0], image.shape[1]),
        spec.size,
        resize=spec.resize,
        short_side=spec.short_side,
        box=spec.box,
        rounding=spec.rounding,
        align=spec.align,
    )
    pixels = ordered(image, spec.channels)
    content = resize(
        pixels,
        geometry.resized,
        interpolation=spec.interpolation,
        antialias=spec.antialias,
        window=geometry.window,
    )
    fill = spec.fill if spec.resize == "letterbox" else 0
    canvas = np.full((*geometry.canvas, pixels.shape[2]), fill, np.uint8)
    canvas[geometry.filled] = content
    return normalised(canvas, spec), geometry


def ordered(image: Image, channels: str) -> Image:
    """The channels in the order that the model takes them; grey as in ITU-R BT.601, rounded like Pillow's "L"."""
    if channels == "RGB":
        return image
    if channels == "BGR":
        return image[..., ::-1]
    weighted = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def normalised(canvas: Image, spec: Preprocessing) -> NDArray[Any]:
    """The pixels (h, w, C) as the model's numbers, in its layout and type."""
    levels = np.arange(256)[:, None]
    table = (levels * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    if spec.dtype == "uint8":
        table = np.clip(np.rint(table), 0, 255)
    typed = table.astype(spec.dtype)
    planes = [typed[canvas[..., channel], channel] for channel in range(canvas.shape[2])]
    return np.stack(planes, axis=0 if spec.layout == "NCHW" else -1)
