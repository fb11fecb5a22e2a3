"""RoiAlign and MaxRoiPool through ONNX Runtime: against the formula in PyTorch, and with no boxes at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gradients import Array, error, evaluate, normal
from loaded_models import forward, gradients_of, loaded_gradients, model, tensors

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")

BINS = 3, 2
SCALE = 0.73


def boxes(count: int, images: int, *, seed: int = 0) -> dict[str, Array]:
    """Some in the map, some across its border, some smaller than a bin."""
    rng = np.random.default_rng(seed)
    start, size = rng.uniform(-4, 16, (count, 2)), rng.uniform(0.3, 14, (count, 2))
    found = np.concatenate([start, start + size], axis=1).astype(np.float32)
    return {"r": found, "i": rng.integers(0, images, count)}


def aligned(x: Any, rois: Any, images: Array, *, ratio: int, shift: float) -> Any:
    """Mask R-CNN's RoIAlign by averages, box by box and bin by bin, as torchvision states it."""
    found = []
    for box, image in zip(rois, images, strict=True):
        x1, y1, x2, y2 = box * SCALE - shift
        height, width = (y2 - y1, x2 - x1) if shift else ((y2 - y1).clamp(min=1), (x2 - x1).clamp(min=1))
        rows = along(y1, height, BINS[0], ratio=ratio, size=x.shape[2])
        columns = along(x1, width, BINS[1], ratio=ratio, size=x.shape[3])
        found.append(torch.einsum("ph,chw,qw->cpq", rows, x[int(image)], columns))
    return torch.stack(found)


def along(start: Any, extent: Any, bins: int, *, ratio: int, size: int) -> Any:
    """What of each of `size` elements is in each bin: a hat about each sample, moved in from up to 1 outside."""
    count = ratio or math.ceil(float(extent.detach()) / bins)
    rows = []
    for index in range(bins):
        row = torch.zeros(size, dtype=extent.dtype)
        for sample in range(count):
            place = start + extent / bins * (index + (sample + 0.5) / count)
            if -1 <= place <= size:
                hat = 1 - (torch.arange(size) - place.clamp(0, size - 1)).abs()
                row = row + hat.clamp(min=0) / count
        rows.append(row)
    return torch.stack(rows)


def text(**attributes: Any) -> str:
    given = {"output_height": BINS[0], "output_width": BINS[1], "spatial_scale": SCALE} | attributes
    listed = ", ".join(
        f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}" for key, value in given.items()
    )
    return f"y = RoiAlign<{listed}>(x, r, i)"


@pytest.mark.parametrize("fixed", ["", "x"])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_gradients_of_roi_align_equal_torch(ratio: int, mode: str, images: int, fixed: str):
    feeds = {"x": normal(images, 4, 12, 15), **boxes(20, images)}
    proto = model(text(sampling_ratio=ratio, coordinate_transformation_mode=mode), feeds, fixed=fixed)
    of = tensors(feeds)
    y = aligned(of["x"], of["r"], feeds["i"], ratio=ratio, shift=0.5 if mode == "half_pixel" else 0.0)
    assert error(forward(proto, feeds), y.detach().numpy()) < 1e-5
    feeds["cotangent"] = normal(*y.shape, seed=3)
    expected = torch.autograd.grad(y, [of["x"], of["r"]], torch.from_numpy(feeds["cotangent"]))
    for found, wanted in zip(gradients_of(proto, feeds, "xr"), expected, strict=True):
        assert error(found, wanted.numpy()) < 2e-5


@pytest.mark.parametrize("ratio", [0, 2])
def test_float16_gradients_of_roi_align_follow_those_of_float32(ratio: int):
    feeds = {"x": normal(2, 4, 12, 15), **boxes(20, 2), "cotangent": normal(20, 4, *BINS, seed=3)}
    feeds["r"] = feeds["r"].astype(np.float16).astype(np.float32)
    half = {name: x.astype(np.float16) if x.dtype == np.float32 else x for name, x in feeds.items()}
    found, expected = (
        gradients_of(model(text(sampling_ratio=ratio), {k: f[k] for k in "xri"}), f, "xr") for f in (half, feeds)
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float16
        assert error(one, other) < 5e-3


@pytest.mark.parametrize("attributes", [{"sampling_ratio": 2}, {}, {"mode": "max"}], ids=str)
def test_one_file_is_right_for_other_sizes_and_for_no_boxes(attributes: dict[str, Any]):
    feeds = {"x": normal(2, 3, 9, 8), **boxes(5, 2), "cotangent": normal(5, 3, *BINS, seed=3)}
    proto, _ = loaded_gradients(model(text(**attributes), {k: feeds[k] for k in "xri"}), feeds, "xr")
    for count, shape in ((7, (1, 3, 14, 11)), (0, (2, 3, 9, 8))):
        feeds = {"x": normal(*shape), **boxes(count, shape[0], seed=1), "cotangent": normal(count, 3, *BINS, seed=3)}
        known = model(text(**attributes), {k: feeds[k] for k in "xri"}, fixed="xri")
        expected = gradients_of(known, feeds, "xr") if count else [np.zeros(shape), np.zeros((0, 4))]
        for found, wanted in zip(evaluate(proto, feeds)[1:], expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("images", [1, 3])
def test_the_gradient_of_max_roi_pool_goes_to_the_largest(images: int):
    found = boxes(20, images)
    feeds = {
        "x": normal(images, 4, 12, 15),
        "r": np.concatenate([found["i"][:, None], found["r"]], 1, dtype=np.float32),
    }
    proto = model(f"y = MaxRoiPool<pooled_shape={list(BINS)}, spatial_scale={SCALE}>(x, r)", feeds)
    x = torch.from_numpy(feeds["x"]).requires_grad_()
    y = pooled(x, feeds["r"])
    assert error(forward(proto, feeds), y.detach().numpy()) < 1e-6
    feeds["cotangent"] = normal(*y.shape, seed=3)
    (expected,) = torch.autograd.grad(y, x, torch.from_numpy(feeds["cotangent"]))
    assert error(gradients_of(proto, feeds, "x")[0], expected.numpy()) < 1e-6


def pooled(x: Any, rois: Array) -> Any:
    """Fast R-CNN's RoI pooling: corners rounded, bins from floor to ceiling, 0 where nothing is in one."""
    found = []
    for image, *corners in rois:
        x1, y1, x2, y2 = (math.floor(abs(c * np.float32(SCALE)) + 0.5) * (1 if c >= 0 else -1) for c in corners)
        for p, q in np.ndindex(*BINS):
            rows = window(p, y1, y2, bins=BINS[0], size=x.shape[2])
            columns = window(q, x1, x2, bins=BINS[1], size=x.shape[3])
            part = x[int(image), :, rows, columns].flatten(1)
            found.append(part.max(1).values if part.numel() else torch.zeros(x.shape[1]))
    return torch.stack(found).reshape(len(rois), *BINS, -1).permute(0, 3, 1, 2)


def window(index: int, first: int, last: int, *, bins: int, size: int) -> slice:
    width = max(last - first + 1, 1) / bins
    edges = math.floor(index * width) + first, math.ceil((index + 1) * width) + first
    return slice(*np.clip(edges, 0, size))
