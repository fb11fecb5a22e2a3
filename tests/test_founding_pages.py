"""The pages for those who come from a framework are true: their commands and code run, on the founding cases' nets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Command
from founding import FLOWERS, flower, pet
from founding_keras import dogs_vs_cats, efficientnet, flowers, saved, vgg16
from founding_tensorflow import cifar, opaque

import onnxcam

DOCS = Path(__file__).parent.parent / "docs"
NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(inplace=True), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(inplace=True)
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))

def build():
    return Net()
"""


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page on Keras speaks of."""
    folder = tmp_path_factory.mktemp("keras")
    saved(dogs_vs_cats(), folder / "dogs_vs_cats.h5")
    saved(flowers(), folder / "flowers.h5")
    saved(efficientnet("keras"), folder / "efficientnet.keras")
    saved(vgg16(), folder / "vgg16.h5")
    (folder / "flowers.json").write_text(flowers().to_json())
    flowers().save_weights(folder / "flowers.weights.h5")
    (folder / "flowers.txt").write_text("\n".join(FLOWERS))
    pet(np.random.default_rng(100), is_dog=True).save(folder / "dog.png")
    flower(np.random.default_rng(100), 0).save(folder / "flower.png")
    return folder


@pytest.fixture(scope="module")
def tensorflow_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page on TensorFlow speaks of."""
    folder = tmp_path_factory.mktemp("tensorflow")
    (folder / "cifar10.pb").write_bytes(cifar().data)
    net = opaque(folder / "hub_module", "keras")[1]
    net.export(folder / "saved_model", verbose=False)
    flower(np.random.default_rng(0), 0).save(folder / "flower.png")
    return folder


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the page on PyTorch speaks of."""
    from torch_support import timm, torch

    folder = tmp_path_factory.mktemp("torch")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    torch.manual_seed(0)
    safetensors.save_file(timm.create_model("resnet18").state_dict(), folder / "resnet18.safetensors")
    (folder / "nets.py").write_text(NETS)
    scope: dict[str, object] = {}
    exec(NETS, scope)
    net = scope["build"]().eval()  # type: ignore[operator]
    safetensors.save_file(net.state_dict(), folder / "net.safetensors")
    sizes = {"x": {0: torch.export.Dim("N")}}
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3, 64, 64),), dynamic_shapes=sizes), folder / "net.pt2")
    flower(np.random.default_rng(0), 0, size=300).save(folder / "photo.png")
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run_commands(page: str, command: Command) -> None:
    """Every command of the page, each without an error; the overlays that it writes are pictures."""
    lines = [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]
    assert lines
    for name, *arguments in lines:
        assert name == "onnxcam"
        ran = command(*arguments)
        assert ran.code == 0, (arguments, ran.err)
        for line in ran.out if arguments[0] == "explain" else ():
            assert cv2.imread(line.split()[0]) is not None, line


def run_code(page: str) -> None:
    assert blocks(page, "python")
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), {})


@pytest.mark.parametrize("page", ["from-keras.md", "from-tensorflow.md", "from-pytorch.md"])
def test_the_links_of_a_page_lead_somewhere(page: str):
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", (DOCS / page).read_text()):
        assert (DOCS / link).exists(), link


def test_the_commands_for_keras_run(keras_files: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(keras_files)
    run_commands("from-keras.md", command)
    assert (keras_files / "out" / "dog.0.cam.png").exists()
    assert (keras_files / "channels" / "dog.channels.cam.png").exists()
    assert onnxcam.Explainer("flowers.explain.onnx").metadata.layers == ("separable_conv2d_6",)


def test_the_code_for_keras_runs(keras_files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(keras_files)
    run_code("from-keras.md")
    assert cv2.imread("channels.png").shape[0] > 300


def test_the_default_layer_that_the_page_names_is_the_default(keras_files: Path, command: Command):
    first = command("layers", keras_files / "dogs_vs_cats.h5").out[0]
    assert first.split()[:2] == ["*", "conv2d_4"]


def test_the_commands_for_tensorflow_run(tensorflow_files: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tensorflow_files)
    run_commands("from-tensorflow.md", command)
    assert len(list((tensorflow_files / "out").glob("flower.*.cam.png"))) == 10


def test_the_code_for_tensorflow_runs(tensorflow_files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tensorflow_files)
    run_code("from-tensorflow.md")
    assert (tensorflow_files / "hub.png").exists()


def test_the_commands_for_pytorch_run(torch_files: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(torch_files)
    run_commands("from-pytorch.md", command)
    assert cv2.imread("out/photo.cam.png").shape[:2] == (300, 300)


def test_the_code_for_pytorch_runs(torch_files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(torch_files)
    monkeypatch.syspath_prepend(torch_files)
    run_code("from-pytorch.md")
    assert (torch_files / "cam.png").exists()
