"""Rollout, gradient-weighted rollout, LeGrad and ViT-Recipro-CAM against the same formulas in PyTorch, by hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx.checker
import onnxruntime
import pytest
from numpy.typing import NDArray
from small_nets import cnn
from torch_support import timm, torch, torchvision

import onnxcam
from onnxcam.conversion import Request, convert_source
from onnxcam.errors import InvalidOption, NoAttention, UnknownLayer

TOLERANCE = 1e-4
TINY = {"embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 7, "img_size": (48, 64), "patch_size": 16}
GRID, SIZE = (3, 4), (48, 64)
METHODS = ["rollout", "gradient-rollout", "legrad", "reciprocam"]


def vit(**options: Any) -> Any:
    return timm.models.VisionTransformer(**{**TINY, **options})


@dataclass(frozen=True)
class Net:
    """A transformer, how many tokens come before those of its grid, and whether the class token is what is read."""

    name: str
    create: Callable[[], Any]
    prefix: int
    reads_class_token: bool = True

    def __repr__(self) -> str:
        return self.name


NETS = [
    Net("class token and registers", lambda: vit(reg_tokens=4), 5),
    Net("no class token", lambda: vit(class_token=False, global_pool="avg"), 0, reads_class_token=False),
    Net("mean beside a class token", lambda: vit(global_pool="avg"), 1, reads_class_token=False),
    Net("attention at the end", lambda: vit(class_token=False, global_pool="map"), 0, reads_class_token=False),
]


@dataclass(frozen=True)
class Passed:
    """One forward pass, and the tensors caught in it: attention (N, heads, T, T) and output (N, T, C) of each block."""

    scores: Any
    attention: list[Any]
    blocks: list[Any]


def passed(module: Any, x: Any) -> Passed:
    attention, blocks, hooks = list[Any](), list[Any](), list[Any]()
    for block in module.blocks:
        block.attn.fused_attn = False
        hooks.append(block.attn.attn_drop.register_forward_hook(lambda _, __, output: attention.append(output)))
        hooks.append(block.register_forward_hook(lambda _, __, output: blocks.append(output)))
    scores = module(x)
    for hook in hooks:
        hook.remove()
    return Passed(scores, attention, blocks)


def on_grid(net: Net, rows: Any) -> Any:
    return rows[:, net.prefix :].reshape(-1, *GRID)


def read(net: Net, matrix: Any) -> Any:
    """The class token's row, or the mean of those of the places."""
    return on_grid(net, matrix[:, 0] if net.reads_class_token else matrix[:, net.prefix :].mean(1))


def torch_rollout(net: Net, module: Any, x: Any, _: Any, heads: str = "mean", discard: float = 0.0) -> Any:
    """As in Abnar and Zuidema's text: half of every token stays where it is, and blocks are multiplied."""
    found = torch.eye(passed(module, x).attention[0].shape[-1])
    for attention in passed(module, x).attention:
        fused = {"mean": attention.mean(1), "max": attention.amax(1), "min": attention.amin(1)}[heads]
        flat = fused.flatten(1).clone()
        smallest = flat.topk(int(flat.shape[1] * discard), largest=False).indices
        fused = flat.scatter(1, smallest, 0.0).view_as(fused)
        both = (fused + torch.eye(fused.shape[-1])) / 2
        found = (both / both.sum(-1, keepdim=True)) @ found
    return read(net, found)


def torch_gradient_rollout(net: Net, module: Any, x: Any, targets: Any) -> Any:
    """As Chefer, Gur and Wolf's equations 5 and 6: R = R + Ā R."""
    caught = passed(module, x)
    gradients = torch.autograd.grad(caught.scores[range(len(x)), targets].sum(), caught.attention)
    found = torch.eye(gradients[0].shape[-1]).expand(len(x), -1, -1)
    for attention, g in zip(caught.attention, gradients, strict=True):
        found = found + (g * attention).clamp(min=0).mean(1) @ found
    return read(net, found)


def torch_legrad(net: Net, module: Any, x: Any, targets: Any) -> Any:
    """The head on each block's tokens, the gradient by that block's attention."""
    caught, maps = passed(module, x), []
    for attention, tokens in zip(caught.attention, caught.blocks, strict=True):
        scores = module.forward_head(module.norm(tokens))
        (g,) = torch.autograd.grad(scores[range(len(x)), targets].sum(), attention, retain_graph=True)
        maps.append(g.clamp(min=0).mean((1, 2)))
    return on_grid(net, torch.stack(maps).mean(0))


def torch_recipro(net: Net, module: Any, x: Any, targets: Any) -> Any:
    """The last block and the head, for each place with all others hidden in the block's norm and in its residual."""
    with torch.no_grad():
        tokens = passed(module, x).blocks[-2]
        block, maps = module.blocks[-1], []
        for row, column in np.ndindex(GRID):
            padded = torch.zeros(GRID[0] + 2, GRID[1] + 2)
            padded[row : row + 3, column : column + 3] = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
            mask = torch.cat([torch.ones(net.prefix), padded[1:-1, 1:-1].flatten()])[None, :, None]
            middle = tokens * mask + block.ls1(block.attn(block.norm1(tokens) * mask))
            last = middle + block.ls2(block.mlp(block.norm2(middle)))
            maps.append(module.forward_head(module.norm(last))[range(len(x)), targets])
        scores = torch.stack(maps, 1)
        return (scores - scores.amin(1, keepdim=True)).reshape(-1, *GRID)


FORMULAS: dict[str, Callable[[Net, Any, Any, Any], Any]] = {
    "rollout": torch_rollout,
    "gradient-rollout": torch_gradient_rollout,
    "legrad": torch_legrad,
    "reciprocam": torch_recipro,
}


def sharpened(module: Any) -> Any:
    """Weights with which attention is far from even."""
    torch.manual_seed(0)
    for name, weights in module.named_parameters():
        if weights.ndim > 1 or "token" in name:
            torch.nn.init.normal_(weights, std=0.3)
    return module.eval()


@pytest.fixture(scope="module", params=NETS, ids=repr)
def exported(request: pytest.FixtureRequest) -> tuple[Net, Any, Any, Any]:
    """The net, its module, three images, and its ONNX model."""
    net: Net = request.param
    module = sharpened(net.create())
    x = torch.randn(3, 3, *SIZE)
    return net, module, x, convert_source(Request(source=module, example=x[:1])).model


def raw_maps(model: Any, x: Any, targets: Any, **options: Any) -> NDArray[np.float32]:
    graph = onnxcam.convert(model, outputs=["raw_map"], **options).model
    onnx.checker.check_model(graph, full_check=True)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), settings, ["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: x.numpy(), "target": np.array(targets, np.int64)}
    found: NDArray[np.float32] = session.run(["raw_map"], feeds)[0]
    return found


def agree(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert np.ptp(expected, axis=(1, 2)).all(), "the map is flat and shows nothing"
    np.testing.assert_allclose(found, expected, atol=TOLERANCE * np.abs(expected).max())


def in_double(formula: Callable[..., Any], net: Net, module: Any, x: Any, *rest: Any) -> NDArray[Any]:
    torch.set_default_dtype(torch.float64)
    try:
        expected = formula(net, module.double(), x.double(), *rest)
    finally:
        torch.set_default_dtype(torch.float32)
        module.float()
    array: NDArray[Any] = expected.detach().numpy()
    return array


@pytest.mark.parametrize("method", METHODS)
def test_map_equals_the_formula_by_autograd(method: str, exported: tuple[Net, Any, Any, Any]):
    net, module, x, model = exported
    targets, layer = [1, 4, 6], "blocks.2.norm1" if method == "reciprocam" else None
    found = raw_maps(model, x, targets, method=method, layer=layer)
    agree(found, in_double(FORMULAS[method], net, module, x, targets))


@pytest.mark.parametrize("method", METHODS)
def test_several_targets_give_the_maps_of_each(method: str, exported: tuple[Net, Any, Any, Any]):
    _, _, x, model = exported
    targets = np.array([[1, 2], [4, 0], [6, 5]])
    together = raw_maps(model, x, targets, method=method, multi_target=True)
    for column in range(2):
        alone = raw_maps(model, x, targets[:, column], method=method)
        np.testing.assert_allclose(together[:, column], alone, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("heads", ["max", "min"])
@pytest.mark.parametrize("discard", [0.0, 0.4])
def test_rollout_can_join_heads_otherwise_and_leave_small_weights_out(heads: str, discard: float, exported: Any):
    net, module, x, model = exported
    found = raw_maps(model, x, [0], method="rollout", options={"heads": heads, "discard": discard})
    agree(found, in_double(torch_rollout, net, module, x, None, heads, discard))


def test_legrad_looks_at_the_blocks_that_are_asked_for(exported: tuple[Net, Any, Any, Any]):
    net, module, x, model = exported
    caught = passed(module, x)
    scores = module.forward_head(module.norm(caught.blocks[1]))
    (g,) = torch.autograd.grad(scores[:, 3].sum(), caught.attention[1])
    found = raw_maps(model, x, [3], method="legrad", layer="blocks.1")
    agree(found, on_grid(net, g.clamp(min=0).mean((1, 2))).detach().numpy())


def torchvision_vit() -> tuple[Any, Any, Any]:
    module = sharpened(torchvision.models.VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=7))
    x = torch.randn(2, 3, 64, 64)
    return module, x, convert_source(Request(source=module, example=x[:1])).model


def test_legrad_like_torchcam_gives_torchcams_map():
    methods = pytest.importorskip("torchcam.methods")
    module, x, model = torchvision_vit()
    with methods.LeGrad(module, list(module.encoder.layers)) as extractor:
        scores = module(x)
        (expected,) = extractor([2, 5], scores, normalized=False)
    agree(raw_maps(model, x, [2, 5], method="legrad", like="torchcam"), expected.numpy())


class Merged(torch.nn.Module):
    """A ViT whose heads lie on the axis of the images, (N·heads, T, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, 16, 16)
        self.cls = torch.nn.Parameter(torch.zeros(1, 1, 32))
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(32) for _ in range(2))
        self.qkv = torch.nn.ModuleList(torch.nn.Linear(32, 96) for _ in range(2))
        self.out = torch.nn.ModuleList(torch.nn.Linear(32, 32) for _ in range(2))
        self.head = torch.nn.Linear(32, 7)

    def forward(self, x: Any, kept: list[Any] | None = None) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1)
        for norm, qkv, out in zip(self.norms, self.qkv, self.out, strict=True):
            n, count, _ = x.shape
            q, k, v = (part.view(n, count, 4, 8).transpose(1, 2).flatten(0, 1) for part in qkv(norm(x)).chunk(3, -1))
            attention = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1)
            if kept is not None:
                kept.append(attention)
            x = x + out((attention @ v).view(n, 4, count, 8).transpose(1, 2).flatten(2))
        return self.head(x[:, 0])


@pytest.mark.parametrize("is_multi", [False, True], ids=["one target", "two targets"])
def test_heads_may_lie_on_the_axis_of_the_images(is_multi: bool):
    module, x, kept = sharpened(Merged()), torch.randn(3, 3, *SIZE), list[Any]()
    model = convert_source(Request(source=module, example=x[:1])).model
    g = torch.autograd.grad(module(x, kept)[range(3), [1, 4, 6]].sum(), kept)
    found = torch.eye(13).expand(3, -1, -1)
    for attention, slope in zip(kept, g, strict=True):
        found = found + (slope * attention).clamp(min=0).view(3, 4, 13, 13).mean(1) @ found
    expected = found[:, 0, 1:].view(3, *GRID).detach().numpy()
    targets = [[1, 0], [4, 2], [6, 6]] if is_multi else [1, 4, 6]
    maps = raw_maps(model, x, targets, method="gradient-rollout", multi_target=is_multi)
    agree(maps[:, 0] if is_multi else maps, expected)


def test_activation_of_a_rollout_is_what_each_head_looks_at(exported: tuple[Net, Any, Any, Any]):
    net, module, x, model = exported
    graph = onnxcam.convert(model, method="rollout", layer="blocks.1", outputs=["activation"]).model
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["activation"], {session.get_inputs()[0].name: x.numpy()})
    attention = passed(module, x).attention[1]
    rows = attention[:, :, 0] if net.prefix else attention.mean(2)
    np.testing.assert_allclose(found, rows[..., net.prefix :].reshape(3, 2, *GRID).detach().numpy(), atol=1e-5)


def windowed() -> Any:
    options = {"window_size": 4, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16}
    return timm.models.SwinTransformer(img_size=64, patch_size=4, num_classes=7, **options)


@pytest.mark.parametrize("method", ["rollout", "gradient-rollout", "legrad"])
def test_attention_in_windows_is_refused_with_what_to_use(method: str):
    model = convert_source(Request(source=windowed().eval(), example=torch.randn(1, 3, 64, 64))).model
    with pytest.raises(NoAttention, match=r"windows.*--method gradcam"):
        onnxcam.convert(model, method=method)


@pytest.mark.parametrize("method", ["rollout", "gradient-rollout", "legrad"])
def test_a_net_without_attention_is_refused_with_what_to_use(method: str):
    with pytest.raises(NoAttention, match=r"nothing in the model weighs.*--method gradcam"):
        onnxcam.convert(cnn(), method=method)


def test_a_layer_that_is_no_attention_is_refused(exported: tuple[Net, Any, Any, Any]):
    with pytest.raises(UnknownLayer):
        onnxcam.convert(exported[-1], method="legrad", layer="patch_embed.proj")


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share: float, exported: Sequence[Any]):
    with pytest.raises(InvalidOption, match="at least 0 and below 1"):
        onnxcam.convert(exported[-1], method="rollout", options={"discard": share})
