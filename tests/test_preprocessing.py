"""From pixels to the model's input and back; Pillow, torchvision's formulas and numpy are the judges."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pil

from onnxcam.errors import ImageSizeMismatch, InvalidPreprocessing, OnnxCamError, UnknownChoice
from onnxcam.images import read
from onnxcam.preprocessing import PRESETS, Preprocessing, parse, prepare
from onnxcam.providers import open_session

IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def torchvision_transforms() -> Any:
    """Skips where torchvision is not installed."""
    return importlib.import_module("torch_support").torchvision.transforms


def by_pillow(image: NDArray[np.uint8], size: tuple[int, int], box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    resized = Pil.fromarray(image).resize((size[1], size[0]), Pil.Resampling.BILINEAR)
    return np.asarray(resized.crop(box)).astype(float)


@pytest.mark.parametrize(("height", "width"), [(301, 457), (457, 301), (256, 256), (100, 333), (999, 230)])
def test_torchvision_is_resize_256_and_centre_crop_224(height: int, width: int) -> None:
    image = noise(height, width)
    short = min(height, width)
    h, w = (256 if side == short else int(256 * side / short) for side in (height, width))
    top, left = round((h - 224) / 2), round((w - 224) / 2)
    pixels = by_pillow(image, (h, w), (left, top, left + 224, top + 224))
    got, _ = prepare(image, parse("torchvision", size=(224, 224)))
    expected = ((pixels / 255 - IMAGENET[0]) / IMAGENET[1]).transpose(2, 0, 1)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() <= 1 / 255 / 0.224 + 1e-5
    assert np.abs(got - expected).mean() < 1e-4


def test_torchvision_agrees_with_torchvision() -> None:
    transforms = torchvision_transforms()
    image = noise(333, 500)
    normalise = transforms.Normalize(*(values.tolist() for values in IMAGENET))
    steps = [transforms.Resize(279), transforms.CenterCrop(244), transforms.ToTensor(), normalise]
    expected = transforms.Compose(steps)(Pil.fromarray(image)).numpy()
    got, _ = prepare(image, parse("torchvision", size=(244, 244)))
    assert np.abs(got - expected).max() <= 1 / 255 / 0.224 + 1e-5
    assert np.abs(got - expected).mean() < 1e-4


def test_timm_agrees_with_timms_evaluation_transform() -> None:
    transforms = torchvision_transforms()
    image = noise(333, 500)
    normalise = transforms.Normalize(*(values.tolist() for values in IMAGENET))
    bicubic = transforms.InterpolationMode.BICUBIC
    steps = [transforms.Resize(256, bicubic), transforms.CenterCrop(224), transforms.ToTensor(), normalise]
    expected = transforms.Compose(steps)(Pil.fromarray(image)).numpy()
    got, _ = prepare(image, parse("timm", size=(224, 224)))
    assert np.abs(got - expected).max() <= 1 / 255 / 0.224 + 1e-5
    assert np.abs(got - expected).mean() < 1e-4


def test_a_crop_larger_than_the_photo_is_filled_with_black_like_torchvisions() -> None:
    transforms = torchvision_transforms()
    image = noise(40, 50)
    steps = [transforms.Resize(21), transforms.CenterCrop((32, 23)), transforms.ToTensor()]
    expected = transforms.Compose(steps)(Pil.fromarray(image)).numpy()
    spec = parse({"resize": "shorter", "short_side": 21}, size=(32, 23))
    assert np.abs(prepare(image, spec)[0] - expected).max() <= 1 / 255 + 1e-6


SAMPLES = Path(os.environ.get("ONNXCAM_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
CLASSIFIERS = [
    "mobilenet_v2_fp32",
    "mobilenet_v2_int8_qdq",
    "squeezenet1.1_fp32",
    "squeezenet1.1_fp16",
    "squeezenet1.1_int8_qdq",
]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample models and photos are not here (ONNXCAM_SAMPLES)")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_real_classifiers_give_the_classes_that_pillows_pixels_give_them(name: str) -> None:
    entry = json.loads((SAMPLES / "index.json").read_text())[f"onnx/{name}.onnx"]
    given = {key: entry["pre"][key] for key in ("channels", "scale", "mean", "std", "layout")}
    given |= {"dtype": entry["pre"].get("dtype", "float32"), "size": [entry["pre"]["crop"]] * 2}
    given |= {"resize": "shorter", "short_side": int(entry["pre"]["resize"].split()[-1]), "rounding": "nearest"}
    session = open_session(str(SAMPLES / "onnx" / f"{name}.onnx"), threads=1)
    for file, (index, label) in entry["top1"].items():
        array, _ = prepare(read(SAMPLES / "images" / file), parse(given))
        (scores, *_) = session.run(None, {session.get_inputs()[0].name: array[None]})
        assert scores.argmax() == index, (file, label)


FORMULAS = {
    "caffe": lambda p: p[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    "tf": lambda p: p / 127.5 - 1,
    "torch": lambda p: (p / 255 - IMAGENET[0]) / IMAGENET[1],
    "unit": lambda p: p / 255,
    "raw": lambda p: p,
}


@pytest.mark.parametrize("preset", FORMULAS)
def test_the_stretching_presets_compute_their_formula(preset: str) -> None:
    image = noise(90, 120)
    pixels = by_pillow(image, (64, 48), (0, 0, 48, 64))
    got, _ = prepare(image, parse(preset, size=(64, 48), layout="NHWC"))
    step = np.ptp(FORMULAS[preset](np.array([[[0.0] * 3], [[1.0] * 3]])), axis=0).max()
    assert np.abs(got - FORMULAS[preset](pixels)).max() <= step + 1e-4
    assert np.abs(got - FORMULAS[preset](pixels)).mean() < step / 20


def test_letterbox_fits_the_photo_in_the_middle_of_grey_114() -> None:
    image = noise(100, 200)
    got, _ = prepare(image, parse("letterbox", size=(64, 64), layout="NHWC"))
    pixels = by_pillow(image, (32, 64), (0, 0, 64, 32))
    assert np.abs(got[16:48] * 255 - pixels).max() <= 1.01
    assert np.allclose(np.delete(got, np.s_[16:48], axis=0), 114 / 255)


def test_yolox_has_the_photo_in_the_corner_as_bgr_levels() -> None:
    image = noise(100, 200)
    got, geometry = prepare(image, parse("yolox", size=(64, 64), layout="NHWC"))
    pixels = by_pillow(image, (32, 64), (0, 0, 64, 32))
    assert np.abs(got[:32] - pixels[..., ::-1]).max() <= 1.01
    assert np.all(got[32:] == 114)
    box = np.array([20, 10, 120, 90], np.float32)
    assert np.allclose(geometry.box_to_input(box), box * 0.32)
    assert np.allclose(geometry.box_to_photo(geometry.box_to_input(box)), box)


def test_a_mask_of_the_photo_lies_on_the_input_where_the_photo_does() -> None:
    mask = np.zeros((100, 200), np.float32)
    mask[:, 100:] = 1
    _, geometry = prepare(noise(100, 200), parse("letterbox", size=(64, 64)))
    found = geometry.to_input(mask)
    assert found.shape == (64, 64)
    assert found[16:48, 33:].min() == 1
    assert found[:, :31].max() == 0
    assert found[:16].max() == found[48:].max() == 0


PLACED = [
    # what, specification, size when resized, left and top of the crop
    ("stretched to a box", {"resize": "stretch", "box": [40, 50]}, (40, 50), (9, 4)),
    ("covering", {"resize": "cover"}, (32, 48), (8, 0)),
    ("covering a box", {"resize": "cover", "box": [40, 40]}, (40, 60), (14, 4)),
    ("cut off", {"resize": "shorter", "short_side": 37, "rounding": "down"}, (37, 55), (11, 2)),
    ("rounded", {"resize": "shorter", "short_side": 37, "rounding": "nearest"}, (37, 56), (12, 2)),
    ("to even", {"resize": "shorter", "short_side": 37}, (37, 55), (12, 2)),
]


@pytest.mark.parametrize(("spec", "resized", "corner"), [row[1:] for row in PLACED], ids=[row[0] for row in PLACED])
def test_what_is_larger_than_the_input_is_cropped_at_its_centre(
    spec: dict[str, Any], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    image = noise(100, 150)
    got, _ = prepare(image, parse(spec | {"scale": 1}, size=(32, 32), layout="NHWC"))
    left, top = corner
    assert np.array_equal(got, by_pillow(image, resized, (left, top, left + 32, top + 32)))


def test_every_preset_has_been_tested() -> None:
    assert set(PRESETS) == {"torchvision", "timm", "letterbox", "yolox", *FORMULAS}


def test_grey_is_pillows_and_takes_the_mean_of_the_channels_means() -> None:
    image = noise(8, 8)
    got, _ = prepare(image, parse("torch", size=(8, 8), channels=1))
    grey = np.asarray(Pil.fromarray(image).convert("L")) / 255
    assert np.allclose(got, (grey - IMAGENET[0].mean()) / IMAGENET[1].mean(), atol=1e-6)
    assert got.shape == (1, 8, 8)


def test_uint8_input_gets_the_pixels_themselves() -> None:
    image = noise(10, 12)
    got, _ = prepare(image, parse(None, size=(10, 12), dtype="uint8", layout="NHWC"))
    assert got.dtype == np.uint8
    assert np.array_equal(got, image)


def test_float16_is_float32_rounded() -> None:
    image = noise(10, 12)
    half, _ = prepare(image, parse("torch", size=(10, 12), dtype="float16"))
    full, _ = prepare(image, parse("torch", size=(10, 12)))
    assert half.dtype == np.float16
    assert np.array_equal(half, full.astype(np.float16))


def test_without_resizing_the_photo_goes_in_as_it_is() -> None:
    image = noise(13, 7)
    got, geometry = prepare(image, parse({"resize": "none", "scale": 1}, layout="NHWC"))
    assert np.array_equal(got, image)
    assert geometry.canvas == (13, 7)


def test_a_partial_object_is_filled_from_unit_and_from_the_model() -> None:
    expected = Preprocessing(size=(4, 6), channels="BGR", scale=1.0, layout="NHWC", dtype="float16")
    for spec in ({"channels": "BGR", "scale": 1.0}, '{"channels": "BGR", "scale": 1.0}'):
        assert parse(spec, size=(4, 6), layout="NHWC", dtype="float16") == expected


def test_a_specification_survives_json() -> None:
    spec = parse("torchvision", size=(244, 244), layout="NCHW")
    assert parse(json.dumps(spec.to_dict())) == spec
    assert spec.short_side == 279


BAD = [
    # what,              spec,                                class,                 words
    ("preset", "torchvison", UnknownChoice, "no preprocessing preset named 'torchvison'. Did you mean 'torchvision'"),
    ("key", {"interpolate": "nearest"}, UnknownChoice, "Did you mean 'interpolation'"),
    ("value", {"channels": "RBG"}, UnknownChoice, "Did you mean 'RGB' or 'BGR'"),
    ("JSON", '{"mean": ', InvalidPreprocessing, "it is not JSON"),
    ("mean", {"mean": [0.5]}, InvalidPreprocessing, "need 3 numbers for RGB"),
    ("mean's kind", {"mean": ["a", 1, 2]}, InvalidPreprocessing, '"mean" must be a list of numbers'),
    ("std", {"std": [1, 0, 1]}, InvalidPreprocessing, "none of std may be 0"),
    ("scale", {"scale": "1/255"}, InvalidPreprocessing, '"scale" must be a number'),
    ("fill", {"fill": 300}, InvalidPreprocessing, "from 0 to 255"),
    ("size", {"size": [0, 5]}, InvalidPreprocessing, r"\[height, width\] in whole pixels"),
    ("no size", {"resize": "stretch"}, InvalidPreprocessing, "which the model leaves open"),
    ("no side", {"resize": "shorter"}, InvalidPreprocessing, 'needs "size" or "short_side"'),
]


@pytest.mark.parametrize(("spec", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_specification_is_an_error_that_says_what_is_wrong(spec: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        parse(spec)
    assert isinstance(raised.value, OnnxCamError)


def test_a_photo_of_another_size_is_an_error_where_nothing_is_resized() -> None:
    with pytest.raises(ImageSizeMismatch, match="the picture is 30 x 20 and the model takes 8 x 8"):
        prepare(noise(20, 30), parse({"resize": "none"}, size=(8, 8)))
