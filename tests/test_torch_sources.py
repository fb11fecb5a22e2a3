"""Where PyTorch models come from: live modules, names of libraries, files; and what is refused, with the way out."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxcam_converters.torch.factories import RANDOM, build
from onnxcam_converters.torch.loading import arguments_for, live
from torch_nets import Evil, check_numbers, tiny
from torch_support import timm, torch

import onnxcam
from onnxcam.conversion import Request, convert_source
from onnxcam.errors import (
    CannotConvert,
    InvalidSource,
    MissingWeights,
    OnnxCamError,
    StateMismatch,
    UnknownModel,
    UnsafeSource,
    WrongInputSize,
)
from onnxcam.facts import author_facts

X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


def test_a_timm_model_by_name_needs_nothing_else() -> None:
    made = convert_source(Request(source="timm:test_resnet", input_size=(96, 96)))
    facts = author_facts(made.model)
    assert facts["preprocessing"]["size"] == [96, 96]
    assert RANDOM in facts["notes"]
    assert [dim.dim_value for dim in made.model.graph.input[0].type.tensor_type.shape.dim][1:] == [3, 96, 96]


def test_a_live_timm_model_needs_no_example() -> None:
    module = timm.create_model("test_resnet", num_classes=5)
    made = convert_source(Request(source=module))
    check_numbers(made, module, torch.randn(2, 3, 160, 160))
    assert author_facts(made.model)["preprocessing"]["short_side"] == 168  # 160 / 0.95


def test_a_size_takes_the_place_of_an_example() -> None:
    made = convert_source(Request(source=tiny(), input_size=(8, 8)))
    check_numbers(made, tiny(), X)


def test_the_channels_are_those_of_the_first_convolution() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(5, 2, 3), torch.nn.Flatten())
    request = Request(source=module, input_size=(8, 9))
    assert arguments_for(live(request), request, "module")[0].shape == (1, 5, 8, 9)


def test_an_example_in_64_bits_is_taken_in_the_modules_own() -> None:
    request = Request(source=tiny(), example=X.numpy().astype(np.float64))
    (x,) = arguments_for(live(request), request, "module")
    assert x.dtype == torch.float32
    assert torch.equal(x, X)


def test_a_free_size_is_passed_on() -> None:
    made = convert_source(Request(source=tiny(), example=X, dynamic_size=True))
    check_numbers(made, tiny(), torch.randn(1, 3, 20, 12))


def test_a_factory_of_the_users_own_takes_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mypkg.py").write_text("from torch_nets import tiny\n\ndef build():\n    return tiny(3)\n")
    monkeypatch.chdir(tmp_path)
    trained = tiny(3)
    torch.nn.init.normal_(trained[5].weight)
    torch.save({"state_dict": trained.state_dict()}, "w.ckpt")
    made = convert_source(Request(source="mypkg:build", weights=Path("w.ckpt"), input_size=(8, 8)))
    check_numbers(made, trained, X)
    assert author_facts(made.model)["notes"] == ["the weights are those under 'state_dict' in w.ckpt"]


def test_the_explain_graph_carries_labels_and_preprocessing(tmp_path: Path) -> None:
    graph = onnxcam.convert(str(checkpoint(tmp_path)), layer=None)
    assert graph.metadata.labels == ("cat", "dog", "bird")
    assert graph.metadata.preprocessing is not None
    assert graph.metadata.preprocessing["mean"] == [0.5, 0.5, 0.5]
    assert graph.metadata.preprocessing["size"] == [32, 32]


def checkpoint(folder: Path, **options: Any) -> str:
    """The source of a small ResNet of transformers, saved in a folder."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    names = {0: "cat", 1: "dog", 2: "bird"}
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], id2label=names, **options)
    torch.manual_seed(0)
    save(transformers.ResNetForImageClassification(config), folder)
    save(transformers.ViTImageProcessor(size={"height": 32, "width": 32}), folder)
    return f"hf:{folder}"


def save(part: Any, folder: Path) -> None:
    logging = sys.modules["transformers"].utils.logging
    logging.disable_progress_bar()
    part.save_pretrained(folder)
    logging.enable_progress_bar()


def test_a_checkpoint_of_transformers_has_its_own_weights(tmp_path: Path) -> None:
    built = build(Request(source=checkpoint(tmp_path)))
    transformers = sys.modules["transformers"]
    expected = transformers.ResNetForImageClassification.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(built.module.parameters(), expected.parameters(), strict=True))
    assert built.notes == ()
    assert built.owner.labels == ("cat", "dog", "bird")
    assert built.owner.shape == (3, 32, 32)


def test_a_config_of_transformers_takes_weights_from_a_file(tmp_path: Path) -> None:
    source = checkpoint(tmp_path)
    shutil.move(tmp_path / "model.safetensors", tmp_path.parent / "other.safetensors")
    built = build(Request(source=source, weights=tmp_path.parent / "other.safetensors"))
    again = build(Request(source=checkpoint(tmp_path)))
    assert all(torch.equal(a, b) for a, b in zip(built.module.parameters(), again.module.parameters(), strict=True))


def test_timms_published_weights_come_from_its_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file
    published = timm.create_model("test_convnext")
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("timm.models._hub.hf_hub_download", lambda **_: str(tmp_path / "model.safetensors"))
    built = build(Request(source="timm:test_convnext", pretrained=True))
    assert torch.equal(built.module.head.fc.weight, published.head.fc.weight)
    assert built.notes == ()


def offline(*_: Any, **__: Any) -> Any:
    raise ConnectionError("Name or service not known\nand a long story about retries")


@pytest.mark.parametrize("source", ["timm:test_convnext", "torchvision:squeezenet1_1"])
def test_without_a_network_the_reason_is_one_line(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("timm.models._hub.hf_hub_download", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(CannotConvert, match=rf"{source} .*Name or service not known \(while fetching it\)$"):
        build(Request(source=source, pretrained=True))


def test_segmentation_nets_fetch_no_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    assert build(Request(source="torchvision:lraspp_mobilenet_v3_large")).notes == (RANDOM,)


def test_a_checkpoint_without_a_classifier_is_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    save(transformers.ResNetModel(config), tmp_path)
    with pytest.raises(StateMismatch, match=r"2 missing: classifier\.1\.bias, classifier\.1\.weight"):
        build(Request(source=f"hf:{tmp_path}"))


def test_an_architecture_of_transformers_without_weights_is_refused(tmp_path: Path) -> None:
    source = checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"an architecture only .* --weights FILE"):
        build(Request(source=source))


def test_a_checkpoint_of_transformers_that_would_run_code_is_refused(tmp_path: Path) -> None:
    source, mark = checkpoint(tmp_path), tmp_path / "was-run"
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": Evil(mark)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsafeSource, match=r"pytorch_model\.bin holds a pickle that calls (posix|nt)\.mkdir"):
        build(Request(source=source))
    assert not mark.exists()


def test_a_checkpoint_of_transformers_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    source = checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "strange", "auto_map": {"AutoConfig": "mine.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit('was run')")
    with pytest.raises(UnsafeSource, match="Python code of its own"):
        build(Request(source=source))


UNKNOWN = [
    # source,                      class,         words
    ("timm:resnet81", UnknownModel, r"timm knows no model named 'resnet81'\. Did you mean 'resnet18'"),
    ("timm:resnet18.a1_in2k", UnknownModel, r"Did you mean 'resnet18\.a1_in1k'"),
    ("torchvision:vgg61", UnknownModel, r"torchvision knows no model named 'vgg61'\. Did you mean 'vgg1[1369]'"),
    ("hf:./nowhere", InvalidSource, "no such folder"),
    ("hf:.", InvalidSource, r"there is no config\.json in that folder"),
]


@pytest.mark.parametrize(("source", "kind", "words"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_a_name_that_no_library_knows(
    source: str, kind: type[OnnxCamError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source.startswith("hf:"):
        pytest.importorskip("transformers", reason="transformers is not installed")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        build(Request(source=source))


@pytest.mark.parametrize(("source", "package"), [("timm:resnet18", "timm"), ("hf:google/vit", "transformers")])
def test_a_library_that_is_missing_is_named(source: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidSource, match=rf"{package} is not installed \(pip install {package}\)"):
        convert_source(Request(source=source))


def test_weights_and_pretrained_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(CannotConvert, match="--weights and --pretrained exclude each other"):
        build(Request(source="timm:resnet18", weights=tmp_path / "w.pth", pretrained=True))


def test_pretrained_is_for_libraries() -> None:
    with pytest.raises(CannotConvert, match="--pretrained is for names of libraries"):
        live(Request(source=tiny(), pretrained=True))


def test_an_unknown_size_asks_for_an_example() -> None:
    with pytest.raises(CannotConvert, match=r"Sequential .*give an example .* --input-size"):
        convert_source(Request(source=tiny()))


WRONG_SIZES = [
    # what is said
    {"input_size": (300, 300)},
    {"example": torch.zeros(1, 3, 300, 300)},
]


@pytest.mark.parametrize("said", WRONG_SIZES, ids=["--input-size", "example"])
def test_a_size_that_the_model_does_not_take_is_told_in_the_models_words(said: dict[str, Any]) -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=1)
    with pytest.raises(WrongInputSize, match=r"300 x 300 .*(300).*(224).*it was made for 224 x 224"):
        convert_source(Request(source=module, **said))


def test_a_size_that_a_dense_layer_does_not_take_is_told() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(72, 2))
    with pytest.raises(WrongInputSize, match=r"9 x 9 .*cannot be multiplied"):
        convert_source(Request(source=module, input_size=(9, 9)))
