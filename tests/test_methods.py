"""Every method against its formula in numpy, and every convention against that of the library it is named after."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from formulas import Array, numpy_pytorch_grad_cam, scaled, upsampled

from onnxcam.conventions import CONVENTIONS
from onnxcam.graph import Tape
from onnxcam.methods import METHODS


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def raw_map(name: str, a: Array, g: Array, *, dynamic: bool = False) -> Array:
    """The method's map, computed in ONNX Runtime."""
    sizes = "N,C,H,W" if dynamic else "N," + ",".join(map(str, a.shape[1:]))
    text = f'<ir_version: 8, opset_import: ["" : 18]> m (float[{sizes}] a, float[{sizes}] g) => () {{}}'
    tape = Tape(onnx.parser.parse_model(text))
    tape.add_output(METHODS[name].build(tape.value("a"), tape.value("g")), "map")
    return run(tape.model, {"a": a, "g": g})


def numpy_gradcam_plus_plus(a: Array, g: Array) -> Array:
    alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdims=True) * g**3 + 1e-6)
    alpha = np.where(g == 0, 0, alpha)
    return ((np.maximum(g, 0) * alpha).sum((2, 3), keepdims=True) * a).sum(1)


def numpy_xgradcam(a: Array, g: Array) -> Array:
    w = (g * a).sum((2, 3), keepdims=True) / (a.sum((2, 3), keepdims=True) + 1e-7)
    return (w * a).sum(1)


def numpy_eigencam(a: Array, _: Array) -> Array:
    maps = []
    for image in a.astype(np.float64):
        x = image.reshape(len(image), -1).T
        x = x - x.mean(0)
        scores = x @ np.linalg.svd(x, full_matrices=False)[2][0]
        side = np.sign(scores @ x.mean(1))
        maps.append((side * scores).reshape(a.shape[2:]))
    return np.stack(maps)


FORMULAS: dict[str, Callable[[Array, Array], Array]] = {
    "gradcam": lambda a, g: (g.mean((2, 3), keepdims=True) * a).sum(1),
    "gradcam++": numpy_gradcam_plus_plus,
    "xgradcam": numpy_xgradcam,
    "hirescam": lambda a, g: (g * a).sum(1),
    "layercam": lambda a, g: (np.maximum(g, 0) * a).sum(1),
    "gradcam-elementwise": lambda a, g: np.maximum(g * a, 0).sum(1),
    "cam": lambda a, g: (g.sum((2, 3), keepdims=True) * a).sum(1),
    "activation-mean": lambda a, _: a.mean(1),
    "eigencam": numpy_eigencam,
}


def tensors(shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    a = np.maximum(rng.normal(0.3, 1, shape), 0).astype(np.float32)
    g = np.where(rng.random(shape) < 0.2, 0, rng.normal(size=shape)).astype(np.float32)
    return a, g


@pytest.mark.parametrize("shape", [(3, 6, 4, 5), (2, 40, 3, 4)], ids=["more places", "more channels"])
@pytest.mark.parametrize("name", METHODS)
def test_map_equals_the_formula(name: str, shape: tuple[int, ...]):
    a, g = tensors(shape)
    expected = FORMULAS[name](a.astype(np.float64), g.astype(np.float64))
    found = raw_map(name, a, g)
    if name == "eigencam":  # known up to its length
        found, expected = (x / np.linalg.norm(x.reshape(len(x), -1), axis=1)[:, None, None] for x in (found, expected))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", METHODS)
def test_map_is_the_same_when_no_size_is_known(name: str):
    a, g = tensors((2, 6, 4, 5), seed=1)
    found, known = raw_map(name, a, g, dynamic=True), raw_map(name, a, g)
    if name == "eigencam":
        found, known = (x / np.linalg.norm(x.reshape(len(x), -1), axis=1)[:, None, None] for x in (found, known))
    np.testing.assert_allclose(found, known, atol=2e-5 * np.abs(known).max())


def test_eigencam_rises_with_the_mean_activation():
    a, g = tensors((4, 8, 5, 5), seed=2)
    for found, mean in zip(raw_map("eigencam", a, g), a.mean(1), strict=True):
        assert np.corrcoef(found.ravel(), mean.ravel())[0, 1] > 0


def test_a_gradient_of_zero_gives_a_map_of_zero_in_gradcam_plus_plus():
    a, g = tensors((1, 3, 2, 2))
    np.testing.assert_array_equal(raw_map("gradcam++", a, 0 * g), 0)


def heatmap(name: str, maps: list[Array], size: tuple[int, int]) -> Array:
    """The convention's heatmap, computed in ONNX Runtime."""
    inputs = ", ".join(f"float[N,{m.shape[1]},{m.shape[2]}] m{i}" for i, m in enumerate(maps))
    tape = Tape(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> m ({inputs}) => () {{}}'))
    values = [tape.value(f"m{i}") for i in range(len(maps))]
    tape.add_output(CONVENTIONS[name](values, tape.ints(*size)), "heatmap")
    return run(tape.model, {f"m{i}": m for i, m in enumerate(maps)})


def numpy_keras(maps: list[Array], size: tuple[int, int]) -> Array:
    return np.mean([upsampled(np.maximum(m, 0) / (np.maximum(m, 0).max() + 1e-7), size) for m in maps], axis=0)


CONVENTION_FORMULAS: dict[str, Callable[[list[Array], tuple[int, int]], Array]] = {
    "pytorch-grad-cam": numpy_pytorch_grad_cam,
    "torchcam": lambda maps, size: np.max([upsampled(scaled(np.maximum(m, 0), 1e-8), size) for m in maps], axis=0),
    "keras": numpy_keras,
    "vizgradcam": lambda maps, size: np.mean([scaled(np.maximum(upsampled(m, size), 0), 0) for m in maps], axis=0),
    "captum": lambda maps, size: np.mean([upsampled(m, size) for m in maps], axis=0),
}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_heatmap_follows_the_convention(name: str, layers: int):
    rng = np.random.default_rng(3)
    maps = [rng.normal(size=(2, 4 * i, 5 * i)).astype(np.float32) for i in range(1, layers + 1)]
    found = heatmap(name, maps, (32, 27))
    for row, image in enumerate(found):
        expected = CONVENTION_FORMULAS[name]([m[row] for m in maps], (32, 27))
        np.testing.assert_allclose(image, expected, atol=2e-6)


def test_a_flat_map_becomes_zero_and_not_nan():
    assert not heatmap("pytorch-grad-cam", [np.full((1, 3, 3), 2, np.float32)], (6, 6)).any()


def test_a_map_without_positive_values_becomes_zero():
    assert not heatmap("pytorch-grad-cam", [-np.ones((1, 3, 3), np.float32)], (6, 6)).any()
