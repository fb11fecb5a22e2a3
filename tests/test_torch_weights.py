"""Weights from files into PyTorch modules: every kind of file, and none of its author's code."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxcam_converters.torch.factories import build
from onnxcam_converters.torch.loading import live
from onnxcam_converters.torch.weights import read_state
from samples import FOLDER, model_path, needs_samples
from torch_nets import Evil, ResNet20, tiny
from torch_support import torch

from onnxcam.conversion import Request
from onnxcam.errors import InvalidSource, MissingWeights, OnnxCamError, StateMismatch, UnsafeSource

NET = tiny()
STATE = NET.state_dict()
X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


def save_safetensors(path: Path) -> None:
    pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file(STATE, path)


def save(content: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path, **options)


def under(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in STATE.items()}


OTHER = {name: torch.zeros_like(tensor) for name, tensor in STATE.items()}
FILES = [
    # name,                             file,            how it is written,                              what is said
    ("safetensors", "w.safetensors", save_safetensors, ""),
    ("a state dict", "w.pth", save(STATE), ""),
    ("a state dict of the old kind", "w.th", save(STATE, _use_new_zipfile_serialization=False), ""),
    ("a name without a suffix", "weights", save(STATE), ""),
    ("Lightning", "w.ckpt", save({"epoch": 3, "state_dict": under("model.")}), "under 'state_dict' in w.ckpt"),
    ("a training script", "w.pt", save({"model": STATE, "args": argparse.Namespace(lr=0.1)}), "under 'model'"),
    ("model_state_dict", "w.pt", save({"model_state_dict": STATE, "epoch": 7}), "under 'model_state_dict'"),
    ("two levels", "w.pt", save({"net": {"state_dict": STATE}}), "under 'net.state_dict'"),
    ("averages only", "w.pt", save({"ema": STATE, "epoch": 7}), "under 'ema'"),
    ("averages too", "w.pt", save({"model": STATE, "model_ema": OTHER}), "holds 'model_ema' too, which was not taken"),
    ("DataParallel", "w.pth", save(under("module.")), "'module.' was taken off"),
    ("torch.compile", "w.pth", save(under("_orig_mod.")), "'_orig_mod.' was taken off"),
    ("two prefixes", "w.pth", save(under("module.model.")), "'module.model.' was taken off"),
    ("a loss with weights", "w.pth", save(under("net.") | {"loss.weight": torch.ones(4)}), "1 weights without 'net.'"),
    ("no counters", "w.pth", save({k: v for k, v in STATE.items() if "num_batches" not in k}), ""),
    ("half precision", "w.pth", save({k: v.half() if v.is_floating_point() else v for k, v in STATE.items()}), ""),
]


@pytest.mark.parametrize(("file", "write", "said"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_weights_are_found_and_what_was_done_is_said(
    tmp_path: Path, file: str, write: Callable[[Path], None], said: str
) -> None:
    write(tmp_path / file)
    fresh = tiny()
    for parameter in fresh.parameters():
        torch.nn.init.zeros_(parameter)
    built = live(Request(source=fresh, weights=tmp_path / file))
    tolerance = 1e-2 if "half" in str(file) or said == "" else 1e-6
    assert torch.allclose(built.module.eval()(X), NET(X), atol=tolerance)
    assert said in "; ".join(built.notes)
    assert bool(said) == bool(built.notes)


def test_the_users_own_module_is_left_as_it_was(tmp_path: Path) -> None:
    torch.save(OTHER, tmp_path / "w.pth")
    module = tiny()
    built = live(Request(source=module, weights=tmp_path / "w.pth"))
    assert built.module is not module
    assert torch.equal(module[0].weight, NET[0].weight)
    assert not built.module[0].weight.any()


@needs_samples
def test_the_sample_weights_give_the_numbers_of_the_sample_onnx_model() -> None:
    file = FOLDER / "torch" / "cifar10_resnet20.th"
    built = live(Request(source=ResNet20(), weights=file))
    session = onnxruntime.InferenceSession(str(model_path("cifar10_resnet20")), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    (expected,) = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        found = built.module.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert "'module.' was taken off the names of the weights" in built.notes


@pytest.mark.parametrize("source", ["timm:resnet10t", "torchvision:squeezenet1_1"])
def test_a_factory_is_built_for_as_many_classes_as_the_file_has(tmp_path: Path, source: str) -> None:
    library, _, name = source.partition(":")
    if library == "timm":
        trained = pytest.importorskip("timm").create_model(name, num_classes=7)
    else:
        trained = pytest.importorskip("torchvision").models.get_model(name, num_classes=7)
    torch.save(trained.state_dict(), tmp_path / "seven.pth")
    built = build(Request(source=source, weights=tmp_path / "seven.pth"))
    x = torch.randn(1, 3, 64, 64)
    assert torch.allclose(built.module.eval()(x), trained.eval()(x), atol=1e-6)
    assert "built for the 7 classes of seven.pth" in built.notes


def test_weights_under_their_first_authors_names_are_renamed_by_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    trained = timm.create_model("vit_tiny_patch16_224", num_classes=1000)
    state = trained.state_dict()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].flatten(1)  # as a linear layer
    torch.save(state, tmp_path / "linear.pth")
    built = build(Request(source="timm:vit_tiny_patch16_224", weights=tmp_path / "linear.pth"))
    assert torch.equal(built.module.patch_embed.proj.weight, trained.patch_embed.proj.weight)
    assert any("timm's own rules" in text for text in built.notes)


def test_a_mismatch_lists_the_first_ten_of_each_kind(tmp_path: Path) -> None:
    state = {f"blocks.{n}.weight": torch.ones(2) for n in range(12)} | {"0.weight": torch.ones(8, 1, 3, 3)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(StateMismatch) as raised:
        live(Request(source=tiny(), weights=tmp_path / "w.pth"))
    text = str(raised.value)
    assert "not those of Sequential" in text
    assert "7 missing: 0.bias, 1.weight" in text
    assert "12 unexpected: blocks.0.weight" in text
    assert "and 2 more" in text
    assert "1 of another shape: 0.weight [8, 1, 3, 3] instead of [8, 3, 3, 3]" in text


def test_another_number_of_classes_is_a_mismatch_where_no_factory_can_be_asked(tmp_path: Path) -> None:
    torch.save(tiny(9).state_dict(), tmp_path / "w.pth")
    with pytest.raises(StateMismatch, match=r"2 of another shape: 5\.weight \[9, 8\] instead of \[4, 8\]"):
        live(Request(source=tiny(), weights=tmp_path / "w.pth"))


def cut(path: Path, **options: Any) -> None:
    torch.save(STATE, path, **options)
    path.write_bytes(path.read_bytes()[:-700])


BAD = [
    # what,                    how it is written,                                    class,          words
    ("a cut zip", cut, InvalidSource, "it is cut short, or damaged"),
    ("a cut pickle", lambda p: cut(p, _use_new_zipfile_serialization=False), InvalidSource, "it is damaged"),
    ("text", lambda p: p.write_text("<html>404</html>" * 9), InvalidSource, "it is no file of PyTorch"),
    ("nothing", lambda p: p.write_bytes(b""), InvalidSource, "it is empty"),
    (
        "Git LFS",
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid"),
        InvalidSource,
        "git lfs pull",
    ),
    ("a list", save([1, 2]), InvalidSource, "it holds no weights, but a list"),
    ("no tensors", save({"epoch": 3}), InvalidSource, "it holds no weights, but a dict"),
    ("cut safetensors", lambda p: p.write_bytes(b"\xff\0\0\0\0\0\0\0{"), InvalidSource, "it is damaged"),
    ("no file", lambda p: None, MissingWeights, "No such file"),
]


@pytest.mark.parametrize(("write", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_file_is_an_error_in_one_line(
    tmp_path: Path, write: Callable[[Path], Any], kind: type[OnnxCamError], words: str
) -> None:
    write(tmp_path / "w.pth")
    with pytest.raises(kind, match=words) as raised:
        read_state(tmp_path / "w.pth")
    assert "w.pth" in str(raised.value)
    assert "\n" not in str(raised.value)


def evil_state(mark: Path) -> dict[str, Any]:
    return {"state_dict": STATE, "hook": Evil(mark)}


UNSAFE = [
    # what,                  how it is written
    ("a checkpoint", lambda path, mark: torch.save(evil_state(mark), path)),
    ("of the old kind", lambda path, mark: torch.save(evil_state(mark), path, _use_new_zipfile_serialization=False)),
    ("a plain pickle", lambda path, mark: path.write_bytes(pickle.dumps(Evil(mark)))),
    ("a pickle of protocol 2", lambda path, mark: path.write_bytes(pickle.dumps(Evil(mark), protocol=2))),
]


@pytest.mark.parametrize("write", [row[1] for row in UNSAFE], ids=[row[0] for row in UNSAFE])
def test_a_pickle_that_would_run_code_is_refused_by_the_name_of_what_it_calls(
    tmp_path: Path, write: Callable[[Path, Path], Any]
) -> None:
    mark = tmp_path / "was-run"
    write(tmp_path / "w.pth", mark)
    with pytest.raises(UnsafeSource, match=r"calls (posix|nt)\.mkdir.*nothing was run.*state_dict"):
        read_state(tmp_path / "w.pth")
    assert not mark.exists()


def test_a_pickled_module_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    torch.save(ResNet20(), tmp_path / "whole.pth")
    with pytest.raises(UnsafeSource, match=r"calls torch_nets\.ResNet20, torch_nets\.Block.* pass the module"):
        read_state(tmp_path / "whole.pth")


def test_the_environment_cannot_turn_safe_loading_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"hook": Evil(tmp_path / "was-run")}, tmp_path / "w.pth")
    with pytest.raises(UnsafeSource):
        read_state(tmp_path / "w.pth")
    assert not (tmp_path / "was-run").exists()
