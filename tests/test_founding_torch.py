"""The founding case in PyTorch: our map equals the one of hooks, and the one of a model split in two."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from founding import Picture, flower
from founding_maps import TOLERANCE, Floats, by_hook, by_split, explainer, jet, relative_error

import onnxcam

CROPPED_224 = {"resize": "shorter", "short_side": 224, "size": [224, 224]}


@pytest.fixture(scope="module")
def resnet18() -> Any:
    import torch_support

    torch_support.torch.manual_seed(0)
    return torch_support.timm.create_model("resnet18", zero_init_last=False).eval()


@pytest.fixture(scope="module")
def photo() -> Picture:
    return flower(np.random.default_rng(0), 0, size=300)


@pytest.fixture(scope="module")
def resnet(resnet18: Any) -> onnxcam.Explainer:
    import torch

    return explainer(resnet18, example=torch.zeros(1, 3, 224, 224), layer="layer4", preprocess=CROPPED_224)


def prepared(image: Any) -> Any:
    """(1, 3, 224, 224): the shorter side to 224, cropped, from 0 to 1."""
    from PIL import Image
    from torchvision import transforms

    steps = transforms.Compose([transforms.Resize(224), transforms.CenterCrop(224), transforms.ToTensor()])
    return steps(Image.fromarray(image))[None]


@pytest.mark.parametrize("way", [by_hook, by_split], ids=["hook", "split model"])
def test_both_ways_of_the_text_give_the_map_of_layer4(resnet: onnxcam.Explainer, resnet18: Any, photo: Picture, way):
    x = prepared(photo.image[:260])
    best, parts = way(resnet18, x, "layer4")
    found = resnet.run(x.numpy(), outputs=["raw_map", "target_index"])
    assert found["target_index"][0] == best
    assert relative_error(found["raw_map"][0], parts.raw_map) <= TOLERANCE


def test_a_photo_becomes_what_the_text_feeds_to_resnet18(resnet: onnxcam.Explainer, resnet18: Any, photo: Picture):
    image = np.ascontiguousarray(photo.image[:260])
    expected = resnet18(prepared(image)).detach().numpy()[0]
    assert relative_error(resnet(image).scores, expected) <= TOLERANCE


def test_the_overlay_of_resnet18_is_half_heatmap_half_photo(resnet: onnxcam.Explainer, resnet18: Any):
    image = flower(np.random.default_rng(1), 1, size=224).image
    raw = np.maximum(by_hook(resnet18, prepared(image), "layer4")[1].raw_map, 0)
    heatmap = from_0_to_1(cv2.resize(from_0_to_1(raw), (224, 224)))
    found = resnet(image).overlay(alpha=0.5, colormap="jet").array
    expected = 0.5 * jet(heatmap) + 0.5 * image
    assert np.mean(np.abs(found - expected) > 1) < 0.01
    assert np.abs(found - expected).max() < 4


def from_0_to_1(heatmap: Floats) -> Floats:
    return (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
