"""Nets of clips with their frames first, (N, T, C, H, W): transformers, and nets that see frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import onnx
import pytest
from formulas import scaled
from numpy.typing import NDArray
from torch_support import torch

from onnxcam import Explainer, convert, layers
from onnxcam.conversion import Request, convert_source
from onnxcam.errors import NoAttention
from onnxcam.graph import Tape, load
from onnxcam.layouts import find_picture, picture_layout

nn = torch.nn
TARGETS = (3, 0)
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 8}


def video_net(name: str, **options: Any) -> Any:
    """A net of transformers with random weights: clips of frames of 32 × 32."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = getattr(transformers, f"{name}Config")(**TINY, image_size=32, num_labels=5, **options)
    return getattr(transformers, f"{name}ForVideoClassification")(config)


class Frames(nn.Module):  # type: ignore[misc, name-defined]
    """A net of pictures that sees each frame; then their mean, or a recurrent layer along them."""

    def __init__(self, *, is_recurrent: bool) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 8, 3), nn.Linear(8, 5)
        self.relu = nn.ReLU()
        self.along = nn.GRU(8, 8, batch_first=True) if is_recurrent else None

    def forward(self, x: Any) -> Any:
        a = self.relu(self.second(torch.tanh(self.first(x.flatten(0, 1)))))
        frames = a.mean((2, 3)).unflatten(0, x.shape[:2])
        return self.head(frames.mean(1) if self.along is None else self.along(frames)[0][:, -1])


@dataclass(frozen=True)
class Net:
    """A net, the module that gives its default layer, and how that lays out its places.

    Attributes:
        axes: of what the module gives, in full: n, c and the places t, h, w.
        prefix: tokens before those of the grid; of each frame where `layout` begins with B.
    """

    name: str
    create: Callable[[], Any]
    default: str
    layout: str
    axes: str
    grid: tuple[int, int, int]
    prefix: int = 0
    frames: int = 4

    def __repr__(self) -> str:
        return self.name

    def places(self, value: Any) -> Any:
        """What the module gives, as (N, C, t, h, w)."""
        value = value[:, self.prefix :] if "T" in self.layout else value
        sizes = {**dict(zip("thw", self.grid, strict=True)), "n": 2, "c": value.shape[self.layout.index("C")]}
        value = value.reshape([sizes[axis] for axis in self.axes])
        return value.permute([self.axes.index(axis) for axis in "ncthw"])


NETS = [
    Net("VideoMAE", lambda: video_net("VideoMAE", num_frames=4, tubelet_size=2), "videomae", "NTC", "nthwc", (2, 4, 4)),
    Net(
        "ViViT", lambda: video_net("Vivit", num_frames=8, tubelet_size=[2, 8, 8]), "vivit.layers.1.layernorm_before",
        "NTC", "nthwc", (4, 4, 4), prefix=1, frames=8,
    ),
    Net(
        "TimeSformer", lambda: video_net("Timesformer", num_frames=3), "timesformer.encoder.layer.1.layernorm_before",
        "BTC", "nthwc", (3, 4, 4), prefix=1, frames=3,
    ),
    Net(
        "TimeSformer, joint attention",
        lambda: video_net("Timesformer", num_frames=6, attention_type="joint_space_time"),
        "timesformer.encoder.layer.1.layernorm_before", "NTC", "nhwtc", (6, 4, 4), prefix=1, frames=6,
    ),
    Net("mean of frames", lambda: Frames(is_recurrent=False), "relu", "BCHW", "ntchw", (4, 13, 13)),
    Net("recurrent", lambda: Frames(is_recurrent=True), "relu", "BCHW", "ntchw", (7, 13, 13), frames=7),
]  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A net with random weights, two clips, its ONNX model, and what its default module gives."""

    net: Net
    module: Any
    x: Any
    model: onnx.ModelProto
    value: Any

    def scores(self, change: Callable[[Any], Any]) -> Any:
        """What the targets get, (2,), where the module gives something else."""

        def replaced(_: Any, __: Any, output: Any) -> Any:
            return change(output) if torch.is_tensor(output) else type(output)(last_hidden_state=change(output[0]))

        hook = self.module.get_submodule(self.net.default).register_forward_hook(replaced)
        found = self.module(self.x)
        hook.remove()
        return (found if torch.is_tensor(found) else found.logits)[range(2), TARGETS]

    def activation_and_gradient(self) -> tuple[Any, Any]:
        """(N, C, t, h, w) each."""
        value = self.value.clone().requires_grad_()
        (g,) = torch.autograd.grad(self.scores(lambda _: value).sum(), value)
        return self.net.places(self.value), self.net.places(g)


@pytest.fixture(scope="module", params=NETS, ids=repr)
def exported(request: pytest.FixtureRequest) -> Exported:
    net: Net = request.param
    torch.manual_seed(0)
    module = net.create().eval()
    for name, weights in module.named_parameters():
        if weights.ndim > 1 or "token" in name:
            nn.init.normal_(weights, std=0.3)
    x = torch.randn(2, net.frames, 3, 32, 32)
    model = convert_source(Request(source=module, example=x[:1])).model
    kept: list[Any] = []
    hook = module.get_submodule(net.default).register_forward_hook(lambda _, __, output: kept.append(output))
    with torch.no_grad():
        module(x)
    hook.remove()
    return Exported(net, module, x, model, kept[0] if torch.is_tensor(kept[0]) else kept[0][0])


def enlarged(maps: Any, size: tuple[int, ...]) -> NDArray[np.float32]:
    """As pytorch-grad-cam's convention, of each map."""
    low = np.stack([scaled(np.maximum(m, 0), 1e-7) for m in maps.numpy()])
    high = nn.functional.interpolate(torch.from_numpy(low)[:, None], size, mode="trilinear", align_corners=False)
    return np.stack([scaled(m, 1e-7) for m in high[:, 0].numpy()])


FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "gradcam": lambda a, g: (g.mean((2, 3, 4), keepdim=True) * a).sum(1),
    "layercam": lambda a, g: (a * g.relu()).sum(1),
    "hirescam": lambda a, g: (a * g).sum(1),
}


def test_the_default_layer_has_frames_rows_and_columns(exported: Exported):
    net, found = exported.net, layers(exported.model)[0]
    assert (found.layout, found.grid, found.prefix) == (net.layout, net.grid, net.prefix)
    assert found.order == ("HWD" if net.axes == "nhwtc" else "")


@pytest.mark.parametrize("method", FORMULAS)
def test_heatmaps_equal_autograd(method: str, exported: Exported):
    expected = enlarged(FORMULAS[method](*exported.activation_and_gradient()), (exported.net.frames, 32, 32))
    assert (expected.reshape(2, -1).std(1) > 0.02).all(), "the map shows nothing"
    explainer = Explainer(convert(exported.model, method=method).to_bytes())
    found = explainer.run(exported.x.numpy(), np.array(TARGETS))["heatmap"]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_several_targets_give_the_maps_of_each(exported: Exported):
    x, targets = exported.x.numpy(), np.array([[3, 1], [0, 2]])
    together = Explainer(convert(exported.model, multi_target=True).to_bytes()).run(x, targets)["heatmap"]
    single = Explainer(convert(exported.model).to_bytes())
    for column in range(2):
        alone = single.run(x, targets[:, column])["heatmap"]
        np.testing.assert_allclose(together[:, column], alone, atol=1e-4)


def raw_map(exported: Exported, **wish: Any) -> NDArray[np.float32]:
    explainer = Explainer(convert(exported.model, outputs=["raw_map"], **wish).to_bytes())
    return explainer.run(exported.x.numpy(), np.array(TARGETS))["raw_map"]


@torch.no_grad()
def test_ablationcam_hides_each_channel_in_all_frames(exported: Exported):
    """w = (y − y_c) / |y|, and Σc w a."""
    axis, y = exported.net.layout.index("C"), exported.scores(lambda value: value)
    size = exported.value.shape[axis]
    without = torch.stack([exported.scores(lambda v, c=c: without_channel(v, axis, c)) for c in range(size)], 1)
    w = (y[:, None] - without) / y.abs()[:, None]
    expected = (w[..., None, None, None] * exported.net.places(exported.value)).sum(1).numpy()
    np.testing.assert_allclose(raw_map(exported, method="ablationcam"), expected, atol=1e-4 * np.abs(expected).max())


def without_channel(value: Any, axis: int, channel: int) -> Any:
    return value.index_fill(axis, torch.tensor([channel]), 0.0)


@torch.no_grad()
def test_reciprocam_shows_each_place_of_each_frame_alone(exported: Exported):
    numbers = exported.net.places(torch.arange(exported.value.numel()).reshape(exported.value.shape)).flatten(2)
    found = raw_map(exported, method="reciprocam", options={"mask": "one-hot"}).reshape(2, -1)
    for place in range(0, numbers.shape[-1], 5):
        hidden = numbers[..., torch.arange(numbers.shape[-1]) != place].flatten()
        alone = exported.scores(lambda v, hidden=hidden: v.flatten().index_fill(0, hidden, 0.0).reshape(v.shape))
        if place == 0:
            first = alone - torch.from_numpy(found[:, 0])  # all scores less the least of them
        np.testing.assert_allclose(found[:, place], (alone - first).numpy(), atol=1e-4 * np.abs(found).max())


@torch.no_grad()
def test_rollout_goes_through_attention_between_all_tokens(exported: Exported):
    """Ã_L ⋯ Ã_1 with Ã = (mean over heads + I) / 2, from the class token, or on average."""
    net, x = exported.net, exported.x
    if net.layout != "NTC":
        with pytest.raises(NoAttention):
            convert(exported.model, method="rollout")
        return
    exported.module.set_attn_implementation("eager")
    looks = exported.module(x, output_attentions=True).attentions
    rolled = reduce(torch.matmul, [(a.mean(1) + torch.eye(a.shape[-1])) / 2 for a in reversed(looks)])
    row = (rolled[:, 0] if net.prefix else rolled.mean(1))[..., None]
    found = raw_map(exported, method="rollout")
    np.testing.assert_allclose(found, net.places(row)[:, 0].numpy(), atol=1e-6)


@pytest.mark.parametrize("driver", ["occlusion", "integrated-gradients"])
def test_methods_of_many_passes_take_clips(driver: str, exported: Exported):
    found = Explainer(convert(exported.model, method=driver).to_bytes())(exported.x[0].numpy(), 3)
    assert found.heatmap.shape == (exported.net.frames, 32, 32)
    assert found.heatmap.std() > 0.02


def test_a_clip_is_explained_frame_by_frame(exported: Exported):
    explainer = Explainer(convert(exported.model).to_bytes())
    clip = exported.x[0].numpy()
    found = explainer(clip, 3)
    assert found.heatmap.shape == (exported.net.frames, 32, 32)
    np.testing.assert_array_equal(found.array, clip.swapaxes(0, 1))
    assert explainer.metadata.layout == "NDCHW"


def model(shape: str, body: str, *, kernel: tuple[int, ...]) -> onnx.ModelProto:
    """A net of clips, as ONNX text, with weights `w` of that shape; `h` is what it ends with."""
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[{shape}] x) => (float[N,K] y)
    <int64[4] by_frame = {{-1, 4, 8, 8}}> {{ {body} p = GlobalAveragePool(h) y = Flatten(p) }}"""
    made = onnx.parser.parse_model(text)
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(kernel, np.float32), "w"))
    return made


TURNED = "t = Transpose<perm = [0, 2, 1, 3, 4]>(x)"
LAYOUTS = [
    # what, shape, body, kernel, layout
    ("frames, then three channels", "N,9,3,8,8", "h = Relu(x)", (1,), "NDCHW"),
    ("any number of frames", "N,T,3,8,8", "h = Relu(x)", (1,), "NDCHW"),
    ("channels, then nine slices", "N,3,9,8,8", "h = Relu(x)", (1,), "NCDHW"),
    ("either may be channels", "N,4,3,8,8", "h = Relu(x)", (1,), "NCDHW"),
    ("channels last", "N,9,8,8,3", "h = Relu(x)", (1,), "NDHWC"),
    ("a convolution of three slices", "N,4,3,8,8", "h = Conv(x, w)", (2, 4, 1, 1, 1), "NCDHW"),
    ("a convolution of open channels", "N,C,3,8,8", "h = Conv(x, w)", (2, 4, 1, 1, 1), "NCDHW"),
    ("a convolution of nine channels", "N,9,3,8,8", "h = Conv(x, w)", (2, 9, 1, 1, 1), None),
    ("turned, then a convolution", "N,4,3,8,8", f"{TURNED} h = Conv(t, w)", (2, 3, 1, 1, 1), "NDCHW"),
    ("turned and scaled, then one", "N,4,3,8,8", f"{TURNED} s = Mul(t, t) h = Conv(s, w)", (2, 3, 1, 1, 1), "NDCHW"),
    ("frame by frame", "N,3,4,8,8", "f = Reshape(x, by_frame) h = Conv(f, w)", (2, 4, 1, 1), "NDCHW"),
    (
        "turned, then frame by frame", "N,4,3,8,8", f"{TURNED} f = Reshape(t, by_frame) h = Conv(f, w)", (2, 4, 1, 1),
        "NCDHW",
    ),
    ("frames of ten channels", "N,9,10,8,8", f"{TURNED} h = Conv(t, w)", (2, 10, 1, 1, 1), "NDCHW"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "body", "kernel", "layout"), [row[1:] for row in LAYOUTS], ids=[x[0] for x in LAYOUTS]
)
def test_where_the_channels_lie_says_the_first_convolution_or_their_number(shape, body, kernel, layout):
    tape = Tape(load(model(shape, body, kernel=kernel)).proto)
    (x,) = tape.inputs
    assert picture_layout(x) == layout
    assert find_picture(tape) == (x if layout else None)
