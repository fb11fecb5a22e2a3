"""DeformConv, lowered on loading: its value against ONNX Runtime's own, its gradients against torch.autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gradients import Array, error, evaluate, normal
from loaded_models import forward, gradients_of, loaded_gradients, model, tensors

from onnxcam.errors import UnsupportedOperator
from onnxcam.graph import load

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")


@dataclass(frozen=True)
class Case:
    name: str
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    offset_group: int = 1
    has_mask: bool = False
    has_bias: bool = False

    def outputs(self, size: tuple[int, int]) -> list[int]:
        reach = [(KERNEL[i] - 1) * self.dilations[i] for i in (0, 1)]
        return [(size[i] + self.pads[i] + self.pads[i + 2] - reach[i] - 1) // self.strides[i] + 1 for i in (0, 1)]

    def text(self) -> str:
        attributes = ", ".join(
            f"{key}={list(value) if isinstance(value, tuple) else value}"
            for key, value in vars(self).items()
            if key not in ("name", "has_mask", "has_bias")
        )
        tail = f", {'b' if self.has_bias else ''}, m" if self.has_mask else ", b" * self.has_bias
        return f"y = DeformConv<{attributes}>(x, w, o{tail})"

    def feeds(self, *, images: int = 2, size: tuple[int, int] = (7, 6), kind: str = "float32") -> dict[str, Array]:
        k, outputs = int(np.prod(KERNEL)), self.outputs(size)
        feeds = {
            "x": normal(images, 4, *size),
            "w": normal(6, 4 // self.group, *KERNEL, seed=1),
            "o": normal(images, self.offset_group * k * 2, *outputs, seed=2) * 1.5,
        }
        if self.has_bias:
            feeds["b"] = normal(6, seed=4)
        if self.has_mask:
            feeds["m"] = normal(images, self.offset_group * k, *outputs, seed=5)
        return {name: x.astype(kind) for name, x in feeds.items()}


KERNEL = (3, 2)
CASES = [
    Case("plain"),
    Case("bias", has_bias=True),
    Case("mask", has_mask=True),
    Case("mask and bias", has_mask=True, has_bias=True),
    Case("strides", strides=(2, 1)),
    Case("uneven pads", pads=(1, 0, 2, 1)),
    Case("dilations", dilations=(2, 3), pads=(1, 2, 1, 2)),
    Case("groups", group=2),
    Case("offset groups", offset_group=2, has_mask=True),
    Case("everything", (1, 2), (1, 0, 2, 1), (1, 2), group=2, offset_group=2, has_mask=True, has_bias=True),
]
FIXED = "wb"


def deformed(case: Case, of: dict[str, Any]) -> Any:
    """The formula: the sum over the kernel of weight · mask · x, x read between its elements and 0 outside."""
    x, w, outputs = of["x"], of["w"], of["o"].shape[2:]
    offsets = of["o"].reshape(len(x), case.offset_group, *KERNEL, 2, *outputs)
    masks = of["m"].reshape(len(x), case.offset_group, *KERNEL, *outputs) if case.has_mask else None
    y = torch.zeros(len(x), w.shape[0], *outputs, dtype=x.dtype)
    for i, j in np.ndindex(*KERNEL):
        rows = torch.arange(outputs[0]) * case.strides[0] - case.pads[0] + i * case.dilations[0]
        columns = torch.arange(outputs[1]) * case.strides[1] - case.pads[1] + j * case.dilations[1]
        parts = []
        for group, part in enumerate(x.chunk(case.offset_group, dim=1)):
            places = offsets[:, group, i, j, 0] + rows[:, None], offsets[:, group, i, j, 1] + columns
            read = bilinear(part, *places)
            parts.append(read if masks is None else read * masks[:, group, None, i, j])
        y = y + torch.nn.functional.conv2d(torch.cat(parts, 1), w[:, :, i, j, None, None], groups=case.group)
    return y + of["b"][:, None, None] if case.has_bias else y


def bilinear(x: Any, rows: Any, columns: Any) -> Any:
    """x (N, C, H, W) at places (N, H′, W′)."""
    top, left, image = rows.detach().floor(), columns.detach().floor(), torch.arange(len(x))[:, None, None]
    y = 0
    for down, right in np.ndindex(2, 2):
        r, c = top + down, left + right
        weight = (1 - (rows - r).abs()) * (1 - (columns - c).abs())
        is_inside = (r >= 0) & (r < x.shape[2]) & (c >= 0) & (c < x.shape[3])
        found = x[image, :, r.long().clamp(0, x.shape[2] - 1), c.long().clamp(0, x.shape[3] - 1)]
        y = y + (found * (weight * is_inside)[..., None]).permute(0, 3, 1, 2)
    return y


@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_lowered_deform_conv_equals_onnx_runtimes(case: Case, kind: str):
    feeds = case.feeds(kind=kind)
    wide = {name: x.astype(np.float32) for name, x in feeds.items()} if kind == "float16" else feeds
    expected = forward(model(case.text(), wide, opset=19), wide)
    tolerance = {"float32": 1e-5, "float64": 1e-12, "float16": 5e-3}[kind]
    assert error(forward(load(model(case.text(), feeds, opset=22, fixed=FIXED)).proto, feeds), expected) < tolerance


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_of_deform_conv_equal_torch(case: Case, kind: str):
    feeds = case.feeds(kind=kind)
    wrt, of = "".join(feeds), tensors(feeds)
    y = deformed(case, of)
    feeds["cotangent"] = normal(*y.shape, seed=3).astype(kind)
    proto = model(case.text(), {name: feeds[name] for name in wrt}, opset=19, fixed=FIXED)
    expected = torch.autograd.grad(y, [of[name] for name in wrt], torch.from_numpy(feeds["cotangent"]))
    for found, wanted in zip(gradients_of(proto, feeds, wrt), expected, strict=True):
        assert error(found, wanted.numpy()) < (2e-5 if kind == "float32" else 1e-11)


def test_float16_gradients_of_deform_conv_follow_those_of_float32():
    case = CASES[-1]
    feeds = case.feeds(kind="float16")
    of = tensors(feeds)
    y = deformed(case, of)
    feeds["cotangent"] = normal(*y.shape, seed=3).astype(np.float16)
    proto = model(case.text(), {name: feeds[name] for name in of}, opset=19, fixed=FIXED)
    seed = torch.from_numpy(feeds["cotangent"].astype(np.float32))
    expected = torch.autograd.grad(y, [of[k] for k in "xwo"], seed)
    for found, wanted in zip(gradients_of(proto, feeds, "xwo"), expected, strict=True):
        assert error(found, wanted.numpy()) < 1e-2


def test_one_file_is_right_for_two_sizes_and_batches():
    case = CASES[-1]
    feeds = case.feeds()
    feeds["cotangent"] = np.zeros((2, 6, *case.outputs((7, 6))), np.float32)
    proto, _ = loaded_gradients(model(case.text(), {k: feeds[k] for k in "xwobm"}, fixed=FIXED), feeds, "xom")
    for images, size in ((2, (7, 6)), (3, (9, 12))):
        feeds = case.feeds(images=images, size=size)
        of = tensors(feeds)
        y = deformed(case, of)
        feeds["cotangent"] = normal(*y.shape, seed=3)
        expected = torch.autograd.grad(y, [of[k] for k in "xom"], torch.from_numpy(feeds["cotangent"]))
        for found, wanted in zip(evaluate(proto, feeds)[1:], expected, strict=True):
            assert error(found, wanted.numpy()) < 2e-5


def test_a_fixed_batch_of_one_is_opened():
    case = CASES[-1]
    one, three = case.feeds(images=1), case.feeds(images=3)
    loaded = load(model(case.text(), one, opset=19, fixed="xwobm"))
    assert loaded.batch_reason == ""
    expected = forward(model(case.text(), three, opset=19), three)
    assert error(forward(loaded.proto, three), expected) < 1e-5


def test_kernels_of_unknown_size_are_refused():
    with pytest.raises(UnsupportedOperator, match=r"weights are not \(out, in, height, width\) of known sizes"):
        load(model("y = DeformConv(x, w, o)", CASES[0].feeds(), opset=19))
