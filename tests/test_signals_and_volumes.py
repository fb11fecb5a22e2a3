"""Models without pictures: signals (N, C, L), and volumes or videos (N, C, D, H, W)."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import Command
from formulas import scaled
from small_nets import Array
from torch_support import torch

from onnxcam import Explainer, convert, layers
from onnxcam.conversion import Request, convert_source
from onnxcam.drivers import DRIVERS
from onnxcam.errors import InputMismatch, InvalidPreprocessing, NoSpatialLayer

nn = torch.nn
functional = nn.functional
TARGETS = (3, 0)


class Net(nn.Module):  # type: ignore[misc, name-defined]
    """Two convolutions with a pool between, the mean over space, a dense layer."""

    def __init__(self, axes: int, channels: int, *, at: int = 1) -> None:
        super().__init__()
        conv, pool = getattr(nn, f"Conv{axes}d"), getattr(nn, f"MaxPool{axes}d")
        self.first, self.pool = conv(channels, 6, 3, padding=1), pool(2)
        self.second, self.head = conv(6, 8, 3, padding=1), nn.Linear(8, 5)
        self.at = at

    def features(self, x: Any) -> Any:
        return self.second(self.pool(self.first(x.movedim(self.at, 1)).relu())).relu()

    def forward(self, x: Any) -> Any:
        a = self.features(x)
        return self.head(a.mean(tuple(range(2, a.ndim))))


class Case:
    """A net, two inputs with their channels on axis `at`, and the net as ONNX with free sizes."""

    def __init__(self, axes: int, channels: int, size: tuple[int, ...], *, at: int = 1) -> None:
        torch.manual_seed(0)
        self.net = Net(axes, channels, at=at).eval()
        self.x, self.size = torch.randn(2, channels, *size).movedim(1, at).contiguous(), size
        self.model = convert_source(Request(source=self.net, example=self.x[:1])).model

    def heatmaps(self, *, targets: Any = TARGETS, **wish: Any) -> Array:
        found = Explainer(convert(self.model, **wish).to_bytes()).run(self.x.numpy(), np.array(targets))
        assert found["heatmap"].shape == (2, *self.size)
        return found["heatmap"]


MADE: dict[str, Callable[[], Case]] = {
    "signal": lambda: Case(1, 2, (40,)),
    "signal of twelve channels": lambda: Case(1, 12, (30,)),
    "signal of twelve channels, last": lambda: Case(1, 12, (50,), at=-1),
    "volume": lambda: Case(3, 1, (8, 12, 10)),
    "volume, channels last": lambda: Case(3, 2, (6, 10, 8), at=-1),
    "video, frames first": lambda: Case(3, 3, (8, 12, 10), at=2),
    "video of four frames, which come first": lambda: Case(3, 3, (4, 12, 10), at=2),
}
MODE = {1: "linear", 3: "trilinear"}


@pytest.fixture(scope="module", params=MADE)
def case(request: pytest.FixtureRequest) -> Case:
    return MADE[request.param]()


def enlarged(maps: Any, size: tuple[int, ...]) -> Array:
    """As pytorch-grad-cam's convention, of each map."""
    low = np.stack([scaled(np.maximum(m, 0), 1e-7) for m in maps])
    high = functional.interpolate(torch.from_numpy(low)[:, None], size, mode=MODE[len(size)], align_corners=False)
    return np.stack([scaled(m, 1e-7) for m in high[:, 0].numpy()])


def activation_and_gradient(case: Case) -> tuple[Any, Any]:
    a = case.net.features(case.x)
    a.retain_grad()
    score = case.net.head(a.flatten(2).mean(2))[torch.arange(2), torch.tensor(TARGETS)]
    score.sum().backward()
    return a.detach(), a.grad


FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "gradcam": lambda a, g: (g.flatten(2).mean(2)[(...,) + (None,) * (a.ndim - 2)] * a).sum(1),
    "hirescam": lambda a, g: (a * g).sum(1),
    "layercam": lambda a, g: (a * g.relu()).sum(1),
    "activation-mean": lambda a, _: a.mean(1),
}


@pytest.mark.parametrize("method", FORMULAS)
def test_the_heatmap_has_the_axes_of_the_input(method: str, case: Case):
    expected = enlarged(FORMULAS[method](*activation_and_gradient(case)).numpy(), case.size)
    np.testing.assert_allclose(case.heatmaps(method=method), expected, atol=2e-5)


def test_the_default_layer_is_the_last_before_space_is_averaged(case: Case):
    found = layers(case.model)[0]
    grid = tuple(n // 2 for n in case.size)
    assert found.grid == grid
    made_by = {output: node.op_type for node in case.model.graph.node for output in node.output}
    assert made_by[found.tensor] == "Relu"


@pytest.mark.parametrize("method", ["saliency", "input-x-gradient"])
def test_the_samples_themselves_can_be_explained(method: str, case: Case):
    x = case.x.clone().requires_grad_()
    (g,) = torch.autograd.grad(case.net(x)[torch.arange(2), torch.tensor(TARGETS)].sum(), x)
    raw = g.abs().amax(case.net.at) if method == "saliency" else (g * x).sum(case.net.at)
    expected = np.stack([_cut(m) for m in raw.detach().numpy()])
    np.testing.assert_allclose(case.heatmaps(method=method), expected, atol=2e-5)


def _cut(raw: Array) -> Array:
    raw = np.maximum(raw, 0)
    return np.asarray(np.minimum(raw / np.percentile(raw, 99), 1))


@pytest.mark.parametrize("method", ["gradcam++", "xgradcam", "eigencam", "guided-gradcam", "deconvnet", "fullgrad"])
def test_other_methods_show_something_too(method: str, case: Case):
    found = case.heatmaps(method=method, targets=[-1, -1])
    assert np.isfinite(found).all()
    assert (found.reshape(2, -1).max(1) > 0.99).all()
    assert (found.reshape(2, -1).std(1) > 0.02).all()


def test_relevance_is_shared_among_the_samples(case: Case):
    """ε takes next to nothing, so that Σ relevance + what biases absorb is the score; without them all of it."""
    torch.manual_seed(1)
    net = copy.deepcopy(case.net)
    for part in (net.first, net.second, net.head):
        nn.init.zeros_(part.bias)
    model = convert_source(Request(source=net, example=case.x[:1])).model
    explainer = Explainer(convert(model, method="lrp-epsilon", outputs=["attribution"]).to_bytes())
    found = explainer.run(case.x.numpy(), np.array(TARGETS))
    assert found["attribution"].shape == case.x.shape
    np.testing.assert_allclose(found["attribution"].reshape(2, -1).sum(1), found["target_score"], rtol=1e-3)


def test_several_targets_give_the_maps_that_each_gives_alone(case: Case):
    explainer = Explainer(convert(case.model, multi_target=True).to_bytes())
    many = explainer.run(case.x.numpy(), np.array([[3, 1], [0, 2]]))["heatmap"]
    np.testing.assert_allclose(many[:, 0], case.heatmaps(), atol=1e-5)


def test_layers_of_two_sizes_are_fused(case: Case):
    early = [layer.name for layer in layers(case.model) if layer.grid == case.size][-1]
    found = case.heatmaps(layer=[early, layers(case.model)[0].name])
    assert (found.reshape(2, -1).max(1) > 0.99).all()


def test_the_length_may_be_free():
    case = MADE["signal"]()
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "length"
    del model.graph.value_info[:]
    explainer = Explainer(convert(model).to_bytes())
    np.testing.assert_allclose(
        explainer.run(case.x.numpy(), np.array(TARGETS))["heatmap"], case.heatmaps(method="gradcam"), atol=1e-5
    )
    assert explainer.run(np.zeros((1, 2, 64), np.float32))["heatmap"].shape == (1, 64)


def test_a_convolution_over_the_columns_that_are_left_of_a_picture_is_no_signal():
    """Rows averaged away, as text recognisers do: what is left has columns, and heatmaps are of the picture."""

    class Lines(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Conv2d(3, 6, 3), nn.Conv1d(6, 6, 3), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.second(self.first(x).relu().mean(2)).relu().mean(2))

    x = torch.randn(1, 3, 16, 20)
    model = convert_source(Request(source=Lines().eval(), example=x)).model
    assert {len(layer.grid) for layer in layers(model)} == {2}
    assert Explainer(convert(model).to_bytes()).run(x.numpy())["heatmap"].shape == (1, 16, 20)


def test_preprocessing_for_pictures_is_refused():
    with pytest.raises(InvalidPreprocessing, match="NCW"):
        convert(MADE["signal"]().model, preprocess="torchvision")


def test_a_photo_for_a_signal_is_refused():
    explainer = Explainer(convert(MADE["signal"]().model).to_bytes())
    with pytest.raises(InputMismatch, match="shape"):
        explainer(np.zeros((30, 30, 3), np.uint8))


def test_rows_of_features_are_no_signal():
    with pytest.raises(NoSpatialLayer):
        convert(dense())


def dense() -> onnx.ModelProto:
    """A product with each of seven rows, and their mean."""
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[N,7,8] x) => (float[N,5] y) <int64[1] axis = {1}> {'
    model = onnx.parser.parse_model(text + "h = MatMul(x, w) y = ReduceMean<keepdims=0>(h, axis) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((8, 5), np.float32), "w"))
    return model


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's text, in a folder with the files that it speaks of."""
    onnx.save(Case(1, 12, (1000,)).model, tmp_path / "ecg.onnx")
    onnx.save(Case(3, 1, (8, 12, 10)).model, tmp_path / "ct.onnx")
    onnx.save(Case(3, 3, (16, 32, 32), at=2).model, tmp_path / "clips.onnx")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "ecg.npy", rng.standard_normal((12, 1000)))
    np.save(tmp_path / "ct.npy", rng.standard_normal((8, 12, 10)))
    np.save(tmp_path / "clip.npy", rng.standard_normal((16, 3, 32, 32)))
    monkeypatch.chdir(tmp_path)
    return (Path(__file__).parent.parent / "docs" / "signals-and-volumes.md").read_text(encoding="utf-8")


def test_the_pages_code_runs(page: str):
    shapes = []
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        names: dict[str, Any] = {}
        exec(compile(block, "signals-and-volumes.md", "exec"), names)
        shapes.append(names["found"].heatmap.shape)
    assert shapes == [(1000,), (8, 12, 10), (16, 32, 32)]
    assert {path.name for path in Path().glob("*.png")} == {
        "ecg.png",
        "slice.png",
        "other.png",
        "side.png",
        "mosaic.png",
        "frames.png",
    }


def test_the_pages_commands_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for line in re.search(r"```sh\n(.*?)```", page, re.DOTALL)[1].splitlines():  # type: ignore[index]
        assert Command(monkeypatch, capsys)(*shlex.split(line)[1:]).code == 0
    assert {path.name for path in Path("out").iterdir()} == {"ecg.cam.png", "ecg.cam.npy", "ct.cam.png"}


def test_the_page_names_the_methods_of_many_passes_that_work(page: str):
    told = page.split("Of the methods of many passes those work")[1].split("Black,")[0]
    working = {name for name, driver in DRIVERS.items() if driver.any_axes}
    assert set(re.findall(r"`([\w-]+)`", told)) == working


class Tokens(nn.Module):  # type: ignore[misc, name-defined]
    """A transformer of a signal: patches, a class token where asked for, one block, the mean of the patches."""

    def __init__(self, *, has_class: bool) -> None:
        super().__init__()
        self.patches, self.norm, self.head = nn.Conv1d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 5)
        self.mix = nn.Linear(8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8)) if has_class else None

    def forward(self, x: Any) -> Any:
        tokens = self.patches(x).transpose(1, 2)
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = tokens + self.mix(self.norm(tokens)).relu()
        return self.head(tokens.mean(1))


@pytest.mark.parametrize("has_class", [False, True], ids=["patches alone", "a class token before them"])
def test_the_patches_of_a_signal_are_places(has_class: bool):
    torch.manual_seed(0)
    net, x = Tokens(has_class=has_class).eval(), torch.randn(2, 3, 40)
    found = layers(convert_source(Request(source=net, example=x[:1])).model)[0]
    assert (found.grid, found.prefix) == ((10,), int(has_class))
