"""Rarer ops in ONNX Runtime, float32, at real sizes, against torch.autograd in float64; and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx.parser
import pytest
from conformance import Array
from onnx_runs import run
from test_rules_float import normal
from torch_rules import Case, F, rounded, torch

from onnxcam.autodiff import differentiate
from onnxcam.errors import NoGradientForm, UnknownShape
from onnxcam.graph import Tape


def ints(name: str, *numbers: int) -> str:
    return f"{name} = Constant<value_ints=[{', '.join(map(str, numbers))}]>()\n "


def scalar(name: str, number: int) -> str:
    return f"{name} = Constant<value_int={number}>()\n "


def unpooled(x: Any) -> Any:
    pooled, indices = F.max_pool2d(x, 2, 2, return_indices=True)
    return F.max_unpool2d(pooled**2, indices, 2, 2)


def cubic_norm(x: Any) -> Any:
    return (x.abs() ** 3).sum((2, 3), keepdim=True) ** (1 / 3)


def parts(z: Any) -> Any:
    return torch.view_as_real(z)


def joined(x: Any) -> Any:
    return torch.complex(x[..., 0], x[..., 1])


def spectrogram(x: Any, w: Any) -> Any:
    return parts(torch.stft(x[..., 0], 100, 40, window=w, center=False, return_complex=True)).transpose(1, 2)


INDICES = np.random.default_rng(5).integers(0, 12, (40, 8))
TABLE = "i = Constant<value_ints=[" + ", ".join(map(str, INDICES.reshape(-1))) + "]>()\n j = Reshape(i, s)\n "
SCATTER = ints("s", *INDICES.shape) + TABLE
WHERE = torch.tensor(INDICES)
ROWS = torch.tensor(INDICES[:, :1]).expand(40, 8)


def met(kind: str) -> Callable[..., Any]:
    return lambda x, u: x.scatter_reduce(0, WHERE, u, kind)


def met_in_rows(kind: str) -> Callable[..., Any]:
    return lambda x, u: x.scatter_reduce(0, ROWS, u, kind)


SLICES = (
    ints("s", 40, 1) + "i = Constant<value_ints=[" + ", ".join(map(str, INDICES[:, 0])) + "]>()\n j = Reshape(i, s)\n "
)
IMAGE = (2, 16, 28, 28)
# ONNX Runtime's transforms of lengths that are no powers of two are that rough.
ROUGH = 3e-5
TIED = {"x": rounded(12, 8), "u": rounded(40, 8, seed=1)}

CASES = [
    Case("LpPool", "y = LpPool<kernel_shape=[3, 3], strides=[2, 2]>(x)", lambda x: F.lp_pool2d(x, 2, 3, 2),
         {"x": normal(*IMAGE)}),
    Case("GlobalLpPool of cubes", "y = GlobalLpPool<p=3>(x)", cubic_norm, {"x": normal(*IMAGE)}),
    Case("MaxUnpool, as SegNet has it",
         "p, i = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(x)\n q = Mul(p, p)\n "
         "y = MaxUnpool<kernel_shape=[2, 2], strides=[2, 2]>(q, i)", unpooled, {"x": normal(*IMAGE)}),
    Case("DFT of images", "z = DFT<axis=2>(x)\n y = DFT<axis=1>(z)", lambda x: parts(torch.fft.fft2(joined(x))),
         {"x": normal(4, 24, 20, 2)}, ROUGH),
    Case("DFT, half of it", "y = DFT<axis=1, onesided=1>(x)", lambda x: parts(torch.fft.rfft(x[..., 0], dim=1)),
         {"x": normal(4, 101, 1)}, ROUGH),
    Case("DFT, half a spectrum to a signal", "y = DFT<axis=1, inverse=1, onesided=1>(x)",
         lambda x: torch.fft.irfft(joined(x), dim=1)[..., None], {"x": normal(4, 33, 2)}, ROUGH),
    Case("STFT, as of speech", scalar("s", 40) + "y = STFT<onesided=1>(x, s, w)", spectrogram,
         {"x": normal(2, 1000, 1), "w": normal(100, seed=1)}, ROUGH),
    Case("Det of 3 × 3", "y = Det(x)", torch.linalg.det, {"x": normal(64, 3, 3)}),
    Case("Det of 8 × 8", "y = Det(x)", torch.linalg.det, {"x": normal(16, 8, 8)}),
    Case("ScatterElements, largest, ties", SCATTER + 'y = ScatterElements<reduction="max">(x, j, u)', met("amax"),
         TIED),
    Case("ScatterElements, smallest, ties", SCATTER + 'y = ScatterElements<reduction="min">(x, j, u)', met("amin"),
         TIED),
    Case("ScatterElements, product, zeros", SCATTER + 'y = ScatterElements<reduction="mul">(x, j, u)', met("prod"),
         {"x": rounded(12, 8) * 0.5, "u": np.where(rounded(40, 8, seed=2) == 2, 0, normal(40, 8, seed=1)).astype("f")}),
    Case("ScatterND, largest, ties", SLICES + 'y = ScatterND<reduction="max">(x, j, u)', met_in_rows("amax"), TIED),
    Case("ScatterND, product", SLICES + 'y = ScatterND<reduction="mul">(x, j, u)', met_in_rows("prod"),
         {"x": normal(12, 8), "u": normal(40, 8, seed=1)}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_equals_torch_autograd(case: Case):
    case.check()


def graph(text: str) -> Tape:
    return Tape(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> g {text}'))


@pytest.mark.parametrize("sizes", ["2, 60, 364", "N, M, K"])
def test_the_gradient_of_columns_equals_that_of_torchs_fold(sizes: str):
    tape = graph(f"""(float[{sizes}] x) => (float[A, B, C, D] y) <int64[2] s = {{28, 30}}, int64[2] b = {{3, 5}}>
        {{ y = Col2Im<strides = [2, 1], pads = [1, 2, 1, 2], dilations = [1, 2]> (x, s, b) }}""")
    (found,) = differentiate({tape.value("y"): tape.add_input("g", np.float32, "ABCD")}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    x, g = normal(2, 60, 364), normal(2, 4, 28, 30, seed=1)
    leaf = torch.tensor(x, requires_grad=True)
    y = F.fold(leaf, (28, 30), (3, 5), padding=(1, 2), stride=(2, 1), dilation=(1, 2))
    y.backward(torch.tensor(g))
    found_y, dx = run(tape.model, {"x": x, "g": g})
    np.testing.assert_allclose(found_y, y.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(dx, leaf.grad.numpy())


def test_determinants_are_differentiated_at_any_batch_size():
    tape = graph("(float[N, M, 3, 3] x) => (float[N, M] y) { y = Det(x) }")
    (found,) = differentiate({tape.value("y"): tape.add_input("g", np.float32, ["N", "M"])}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    x, g = normal(2, 5, 3, 3), normal(2, 5, seed=1)
    leaf = torch.tensor(x, requires_grad=True)
    torch.linalg.det(leaf).backward(torch.tensor(g))
    np.testing.assert_allclose(run(tape.model, {"x": x, "g": g})[1], leaf.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "error", "why"),
    [
        ("N, 9, 9", NoGradientForm, r"Det .*matrices of 9 × 9, larger than 8"),
        ("4, N, N", UnknownShape, r"Det .*the size of its matrices"),
    ],
)
def test_determinants_that_are_too_large_or_of_any_size_are_refused(sizes: str, error: type[Exception], why: str):
    tape = graph(f"(float[{sizes}] x) => (float[K] y) {{ y = Det(x) }}")
    seed = tape.add_input("g", np.float32, ["K"])
    with pytest.raises(error, match=why):
        differentiate({tape.value("y"): seed}, [tape.value("x")])


def test_blocks_whose_size_is_computed_are_taken_as_they_come():
    tape = graph("(float[2, 12, 6] x, int64[2] s, int64[2] b) => (float[A, B, C, D] y) { y = Col2Im(x, s, b) }")
    (found,) = differentiate({tape.value("y"): tape.add_input("g", np.float32, "ABCD")}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    x, g = normal(2, 12, 6), normal(2, 2, 3, 5, seed=1)
    leaf = torch.tensor(x, requires_grad=True)
    F.fold(leaf, (3, 5), (2, 3)).backward(torch.tensor(g))
    feeds = {"x": x, "s": np.array([3, 5]), "b": np.array([2, 3]), "g": g}
    np.testing.assert_array_equal(run(tape.model, feeds)[1], leaf.grad.numpy())


def test_blocks_of_any_number_of_axes_are_refused():
    tape = graph("(float[2, 12, 6] x, int64[K] s, int64[K] b) => (float[A, B, C, D] y) { y = Col2Im(x, s, b) }")
    seed = tape.add_input("g", np.float32, "ABCD")
    with pytest.raises(UnknownShape, match=r"Col2Im .*how many axes its blocks have"):
        differentiate({tape.value("y"): seed}, [tape.value("x")])


DETECTOR = """(float[1, 3, 16, 16] x) => (float[K, 5] y)
    <int64[3] bs = {1, -1, 4}, int64[3] ss = {1, 1, -1}, int64[1] most = {12}, float[1] iou = {0.4},
     float[1] low = {0.2}, int64 last = {2}, int64[2] column = {-1, 1}, float[4] unit = {-1, -1, 1, 1}>
    {
        f = Conv <strides = [4, 4], kernel_shape = [4, 4]> (x, w)
        h = Tanh (f)
        r = Conv (h, wb)
        rt = Transpose <perm = [0, 2, 3, 1]> (r)
        corners = Reshape (rt, bs)
        e = Exp (corners)
        sized = Mul (e, unit)
        boxes = Add (sized, centres)
        q = Conv (h, ws)
        p = Sigmoid (q)
        scores = Reshape (p, ss)
        kept = NonMaxSuppression (boxes, scores, most, iou, low)
        which = Gather <axis = 1> (kept, last)
        chosen = Gather <axis = 1> (boxes, which)
        values = GatherND (scores, kept)
        c = Squeeze (chosen)
        v = Reshape (values, column)
        y = Concat <axis = 1> (c, v)
    }"""


def test_boxes_that_are_kept_have_gradients_in_corners_and_scores():
    tape = graph(DETECTOR)
    y, x = np.meshgrid(np.arange(4.0), np.arange(4.0), indexing="ij")
    constants = {
        "w": normal(6, 3, 4, 4) * 0.2, "wb": normal(4, 6, 1, 1, seed=1) * 0.5, "ws": normal(1, 6, 1, 1, seed=2),
        "centres": np.stack([y, x, y, x], -1).reshape(1, 16, 4).astype(np.float32),
    }  # fmt: skip
    for name, array in constants.items():
        tape.add_constant(onnx.numpy_helper.from_array(array, name))
    tape = Tape(tape.model)
    (found,) = differentiate({tape.value("y"): tape.add_input("g", np.float32, ["K", 5])}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    image = normal(1, 3, 16, 16, seed=3)
    w, wb, ws, centres = (torch.tensor(array) for array in constants.values())
    leaf = torch.tensor(image, requires_grad=True)
    h = F.conv2d(leaf, w, stride=4).tanh()
    boxes = F.conv2d(h, wb).permute(0, 2, 3, 1).reshape(1, -1, 4).exp() * torch.tensor([-1.0, -1, 1, 1]) + centres
    scores = F.conv2d(h, ws).sigmoid().reshape(-1)
    kept = suppressed(boxes[0].detach().numpy(), scores.detach().numpy())
    assert 2 <= len(kept) < 12
    expected = torch.cat([boxes[0, kept], scores[kept, None]], 1)
    g = normal(len(kept), 5, seed=4)
    expected.backward(torch.tensor(g))
    y, dx = run(tape.model, {"x": image, "g": g})
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(dx, leaf.grad.numpy(), rtol=1e-4, atol=1e-6)


def suppressed(boxes: Array, scores: Array, *, iou: float = 0.4, low: float = 0.2, most: int = 12) -> list[int]:
    """The boxes kept, best first: none overlaps a better one by more than `iou`."""
    kept: list[int] = []
    for index in np.argsort(-scores):
        if scores[index] > low and all(overlap(boxes[index], boxes[other]) <= iou for other in kept):
            kept.append(int(index))
    return kept[:most]


def overlap(a: Array, b: Array) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    both = sides.prod()
    return float(both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))
