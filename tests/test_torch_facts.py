"""What libraries know of their models: onnxcam's pixels are those of the library's own transform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxcam_converters.torch.factories import build
from onnxcam_converters.torch.facts import Owner, owner_of, timm_spec, torchvision_spec, tried
from onnxcam_converters.torch.loading import arguments_for
from onnxcam_converters.torch.processors import hf_owner, hf_spec
from PIL import Image as Pil
from samples import IMAGES, needs_samples
from torch_support import timm, torch, torchvision

from onnxcam.conversion import Request
from onnxcam.images import read
from onnxcam.preprocessing import parse, prepare

PHOTOS = ("both.png", "chelsea.png", "astronaut.png")  # upright, wide, square


def check_pixels(spec: dict[str, Any], transform: Any, *, most: int = 1) -> None:
    """Every value within so many grey levels of the library's, and nearly all of them equal."""
    for photo in PHOTOS:
        found, _ = prepare(read(IMAGES / photo), parse(spec, layout="NCHW"))
        expected = np.asarray(transform(Pil.open(IMAGES / photo).convert("RGB")))
        assert found.shape == expected.shape
        levels = np.abs(found - expected) * np.array(spec["std"])[:, None, None] / spec.get("scale", 1 / 255)
        assert levels.max() <= most + 0.01, photo
        assert levels.mean() <= 0.02, photo


TIMM = [
    # what,                          model,                            size
    ("bicubic, cropped", "resnet18", (224, 224)),
    ("bilinear, cropped", "mobilenetv3_small_100.lamb_in1k", (224, 224)),
    ("half means", "vit_tiny_patch16_224", (224, 224)),
    ("stretched, cropped", "dm_nfnet_f0", (192, 192)),
    ("another size", "resnet18", (160, 160)),
    ("not square", "resnet18", (160, 224)),
]


@needs_samples
@pytest.mark.parametrize(("model", "size"), [row[1:] for row in TIMM], ids=[row[0] for row in TIMM])
def test_timms_pixels(model: str, size: tuple[int, int]) -> None:
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model).to_dict())
    check_pixels(timm_spec(config, size), timm.data.create_transform(**config | {"input_size": (3, *size)}))


@needs_samples
def test_timms_pixels_with_a_border() -> None:
    config = timm.data.resolve_data_config({"mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}, {"num_classes": 2})
    config["crop_mode"] = "border"
    check_pixels(timm_spec(config, (224, 224)), timm.data.create_transform(**config))


@needs_samples
@pytest.mark.parametrize("model", ["resnet18", "vgg16", "swin_v2_t", "efficientnet_b0", "vit_b_16", "regnet_y_400mf"])
def test_torchvisions_pixels(model: str) -> None:
    preset = torchvision.models.get_model_weights(model).DEFAULT.transforms()
    check_pixels(torchvision_spec(preset, tuple(preset.crop_size * 2)), preset)


HF = [
    # what,                 processor,                 options
    ("stretched", "ViTImageProcessor", {}),
    ("stretched, cropped", "DeiTImageProcessor", {}),
    ("cropped", "BitImageProcessor", {}),
    ("ConvNeXt, small", "ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
    ("ConvNeXt, large", "ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    ("EfficientNet", "EfficientNetImageProcessor", {"rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("LeViT", "LevitImageProcessor", {}),
    ("PoolFormer", "PoolFormerImageProcessor", {}),
    ("BGR", "MobileViTImageProcessor", {}),
    ("neither scaled nor normalised", "ViTImageProcessor", {"do_rescale": False, "do_normalize": False}),
]


def processor_of(name: str, **options: Any) -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    return getattr(transformers, name)(**options)


@needs_samples
@pytest.mark.parametrize(("name", "options"), [row[1:] for row in HF], ids=[row[0] for row in HF])
def test_transformers_pixels(name: str, options: dict[str, Any]) -> None:
    processor = processor_of(name, **options)

    def transform(picture: Pil.Image) -> Any:
        return processor(images=picture, return_tensors="np")["pixel_values"][0]

    size = transform(Pil.new("RGB", (300, 200))).shape[1:]
    # It resizes tensors, with weights of fewer bits than Pillow's.
    check_pixels(hf_spec(processor, (int(size[0]), int(size[1]))), transform, most=2)


def test_a_preprocessing_that_does_not_give_the_librarys_pixels_is_left_out_and_that_is_said() -> None:
    own = torchvision.transforms.Compose([torchvision.transforms.Resize((8, 8)), torchvision.transforms.ToTensor()])
    wrong = {"resize": "shorter", "short_side": 8, "size": [8, 8]}
    spec, notes = tried(Owner("some", (3, 8, 8), (), lambda _: wrong, lambda _: own), (8, 8))
    assert spec is None
    assert notes == ["the preprocessing of some cannot be noted in onnxcam's words; say it with --preprocess"]


def test_a_transform_that_fails_on_pictures_is_left_out() -> None:
    def transform(_: Any) -> Any:
        raise ValueError("Clusters must be provided")

    spec, notes = tried(Owner("some", (3, 8, 8), (), lambda _: {"size": [8, 8]}, lambda _: transform), (8, 8))
    assert spec is None
    assert len(notes) == 1


def test_a_processor_for_pieces_of_text_in_pictures_is_left_out() -> None:
    processor = processor_of("PerceiverImageProcessor")
    module = torch.nn.Module()
    module.config = type("Config", (), {"id2label": {}, "image_size": 256, "num_channels": 3})()
    assert tried(hf_owner(module, processor), (256, 256))[0] is None


SHAPES = [
    # source,                       channels, height, width
    ("timm:resnet10t", (3, 176, 176)),
    ("timm:vit_tiny_patch16_224", (3, 224, 224)),
    ("timm:test_convnext", (3, 160, 160)),
    ("torchvision:squeezenet1_1", (3, 224, 224)),
    ("torchvision:efficientnet_b1", (3, 240, 240)),
    ("torchvision:mobilenet_v3_small", (3, 224, 224)),
]


@pytest.mark.parametrize(("source", "shape"), SHAPES)
def test_the_size_of_the_pictures_is_the_librarys(source: str, shape: tuple[int, int, int]) -> None:
    built = build(Request(source=source))
    (x,) = arguments_for(built, Request(source=source), source)
    assert tuple(x.shape) == (1, *shape)


def test_a_timm_model_built_for_another_size_and_for_grey_pictures_says_so() -> None:
    assert owner_of(timm.create_model("vit_tiny_patch16_224", img_size=96)).shape == (3, 96, 96)
    assert owner_of(timm.create_model("resnet10t", in_chans=1)).shape == (1, 176, 176)


def test_class_names_of_timm_are_those_of_the_imagenet_with_so_many_classes() -> None:
    names = owner_of(timm.create_model("test_convnext", num_classes=11821)).labels
    assert len(names) == 11821
    assert names[0] == timm.data.ImageNetInfo("imagenet-12k").index_to_description(0)
    # The thousand come with onnxcam.
    assert owner_of(timm.create_model("test_convnext", num_classes=1000)).labels == ()
    assert owner_of(timm.create_model("test_convnext", num_classes=7)).labels == ()


def test_class_names_of_transformers_are_those_of_the_config() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(**sizes, image_size=32, id2label={0: "cat", 1: "dog"})
    assert owner_of(transformers.ViTForImageClassification(config)).labels == ("cat", "dog")
    unnamed = transformers.ViTConfig(**sizes, image_size=32, num_labels=5)
    owner = owner_of(transformers.ViTForImageClassification(unnamed))
    assert owner.labels == ()
    assert owner.shape == (3, 32, 32)


def test_class_names_of_torchvision_come_with_its_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(Request(source="torchvision:squeezenet1_1")).owner.labels == ()
    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    state = torchvision.models.squeezenet1_1().state_dict()
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(state, cache / Path(weights.url).name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    built = build(Request(source="torchvision:squeezenet1_1", pretrained=True))
    assert built.owner.labels == tuple(weights.meta["categories"])
    assert built.notes == ()
    assert torch.equal(built.module.classifier[1].weight, state["classifier.1.weight"])
