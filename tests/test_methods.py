"""Every method against its formula in numpy, and every convention against that of the library it is named after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx.parser
import onnxruntime
import pytest
from formulas import Array, component, kernel_component, numpy_pytorch_grad_cam, scaled, upsampled
from scipy.ndimage import zoom
from small_nets import cnn

from onnxcam import Explainer, convert
from onnxcam.conventions import CONVENTIONS
from onnxcam.errors import UnknownChannels
from onnxcam.graph import Tape
from onnxcam.methods import METHODS, VARIANTS, find_method


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> Array:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


ONE_PASS = [name for name, row in METHODS.items() if row.formula is not None]


def raw_map(name: str, a: Array, g: Array, *, dynamic: bool = False, like: str | None = None, **options: Any) -> Array:
    """The method's map, computed in ONNX Runtime."""
    sizes = "N,C,H,W" if dynamic else "N," + ",".join(map(str, a.shape[1:]))
    text = f'<ir_version: 8, opset_import: ["" : 18]> m (float[{sizes}] a, float[{sizes}] g) => () {{}}'
    tape = Tape(onnx.parser.parse_model(text))
    formula = find_method(name, like).formula
    assert formula is not None
    tape.add_output(formula(tape.value("a"), tape.value("g"), **options), "map")
    return run(tape.model, {"a": a, "g": g})


def numpy_gradcam_plus_plus_weights(a: Array, g: Array) -> Array:
    alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdims=True) * g**3 + 1e-6)
    return (np.maximum(g, 0) * np.where(g == 0, 0, alpha)).sum((2, 3), keepdims=True)


def numpy_gradcam_plus_plus_shares(a: Array, g: Array) -> Array:
    divisor = 2 * g**2 + a.sum((2, 3), keepdims=True) * g**3
    alpha = np.where(g == 0, 0, g**2 / np.where(g == 0, 1, divisor))
    alpha = alpha / alpha.sum((2, 3), keepdims=True)
    return ((np.maximum(g, 0) * alpha).sum((2, 3), keepdims=True) * a).sum(1)


def numpy_xgradcam_weights(a: Array, g: Array) -> Array:
    return (g * a).sum((2, 3), keepdims=True) / (a.sum((2, 3), keepdims=True) + 1e-7)


def numpy_rare(a: Array, k: float) -> Array:
    return a > a.mean((2, 3), keepdims=True) + k * a.std((2, 3), keepdims=True)


def numpy_fem(a: Array, _: Array, k: float = 2) -> Array:
    return (a.mean((2, 3), keepdims=True) * numpy_rare(a, k)).sum(1)


def from_zero(maps: Array) -> Array:
    return maps - maps.min((1, 2), keepdims=True)


FORMULAS: dict[str, Callable[[Array, Array], Array]] = {
    "gradcam": lambda a, g: (g.mean((2, 3), keepdims=True) * a).sum(1),
    "gradcam++": lambda a, g: (numpy_gradcam_plus_plus_weights(a, g) * a).sum(1),
    "xgradcam": lambda a, g: (numpy_xgradcam_weights(a, g) * a).sum(1),
    "hirescam": lambda a, g: (g * a).sum(1),
    "layercam": lambda a, g: (np.maximum(g, 0) * a).sum(1),
    "gradcam-elementwise": lambda a, g: np.maximum(g * a, 0).sum(1),
    "cam": lambda a, g: (g.sum((2, 3), keepdims=True) * a).sum(1),
    "activation-mean": lambda a, _: a.mean(1),
    "eigencam": lambda a, _: component(a),
    "eigengradcam": lambda a, g: component(g * a),
    "segeigencam": lambda a, g: component(np.abs(g) * a, rises=False),
    "kpca-cam": lambda a, _: kernel_component(a, "sigmoid"),
    "fem": numpy_fem,
    "randomcam": lambda a, _: np.einsum("nchw,c->nhw", a, np.random.default_rng(0).uniform(-1, 1, a.shape[1])),
}
LIKE_FORMULAS: dict[tuple[str, str], Callable[[Array, Array], Array]] = {
    ("torchcam", "gradcam++"): lambda a, g: ((g**2 * np.maximum(g, 0)).sum((2, 3), keepdims=True) * a).sum(1),
    ("tf-keras-vis", "gradcam++"): numpy_gradcam_plus_plus_shares,
    ("torchcam", "layercam"): lambda a, g: (np.maximum(g, 0) * a).sum(1),
    ("torchcam", "cam"): lambda a, g: from_zero((g.sum((2, 3), keepdims=True) * a).sum(1)),
    ("pytorch-grad-cam", "fem"): lambda a, _: (numpy_rare(a, 2).mean((2, 3), keepdims=True) * a).sum(1),
    ("pytorch-grad-cam", "kpca-cam"): lambda a, _: kernel_component(a, "sigmoid", rises=False),
}
SMOOTHED: dict[str, Callable[[Array, Array], Array]] = {
    "gradcam": lambda a, g: g.mean((2, 3), keepdims=True) * a,
    "gradcam++": lambda a, g: numpy_gradcam_plus_plus_weights(a, g) * a,
    "xgradcam": lambda a, g: numpy_xgradcam_weights(a, g) * a,
    "hirescam": lambda a, g: g * a,
    "layercam": lambda a, g: np.maximum(g, 0) * a,
    "gradcam-elementwise": lambda a, g: np.maximum(g * a, 0),
}


def tensors(shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    a = np.maximum(rng.normal(0.3, 1, shape), 0).astype(np.float32)
    g = np.where(rng.random(shape) < 0.2, 0, rng.normal(size=shape)).astype(np.float32)
    return a, g


SHAPES = pytest.mark.parametrize("shape", [(3, 6, 4, 5), (2, 40, 3, 4)], ids=["more places", "more channels"])


def check(found: Array, expected: Array) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def exact(shape: tuple[int, ...], seed: int = 0) -> tuple[Array, Array]:
    a, g = tensors(shape, seed)
    return a.astype(np.float64), g.astype(np.float64)


@SHAPES
@pytest.mark.parametrize("name", ONE_PASS)
def test_map_equals_the_formula(name: str, shape: tuple[int, ...]):
    check(raw_map(name, *tensors(shape)), FORMULAS[name](*exact(shape)))


@SHAPES
@pytest.mark.parametrize(("like", "name"), [key for key, row in VARIANTS.items() if row.formula is not None])
def test_map_like_another_library_equals_its_formula(like: str, name: str, shape: tuple[int, ...]):
    check(raw_map(name, *tensors(shape, seed=3), like=like), LIKE_FORMULAS[like, name](*exact(shape, seed=3)))


@SHAPES
@pytest.mark.parametrize(
    "name", [name for name, row in METHODS.items() if row.formula and "eigen_smooth" in row.options]
)
def test_eigen_smooth_takes_the_leading_component_of_what_is_summed(name: str, shape: tuple[int, ...]):
    a, g = exact(shape, seed=5)
    check(raw_map(name, *tensors(shape, seed=5), eigen_smooth=True), component(SMOOTHED[name](a, g)))


@pytest.mark.parametrize("name", [name for name in ONE_PASS if name != "randomcam"])
def test_map_is_the_same_when_no_size_is_known(name: str):
    a, g = tensors((2, 6, 4, 5), seed=1)
    check(raw_map(name, a, g, dynamic=True), raw_map(name, a, g))


def test_random_weights_need_a_count_of_channels():
    with pytest.raises(UnknownChannels, match="'randomcam' has a weight for each channel"):
        raw_map("randomcam", *tensors((2, 6, 4, 5)), dynamic=True)


def test_another_seed_gives_another_random_map():
    a, g = tensors((1, 6, 4, 5))
    assert np.abs(raw_map("randomcam", a, g, seed=1) - raw_map("randomcam", a, g)).max() > 0.1


def test_fem_counts_each_channel_with_its_mean_where_it_is_k_deviations_above_it():
    a, g = tensors((2, 6, 7, 7))
    check(raw_map("fem", a, g, k=1.0), numpy_fem(a.astype(np.float64), g, 1))


@pytest.mark.parametrize(("places", "k", "is_zero"), [(4, 2.0, True), (6, 2.0, False), (4, 1.5, False), (9, 3.0, True)])
def test_of_few_places_none_can_be_far_above_the_mean(places: int, k: float, is_zero: bool):
    a = np.zeros((1, 3, 1, places), np.float32)
    a[..., 0] = 3.0
    assert raw_map("fem", a, a, k=k).any() != is_zero


def test_a_map_of_too_few_places_for_fem_is_said_to_be_zero(tmp_path: Path):
    path, picture = tmp_path / "fem.onnx", np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    convert(cnn(x="float[N,3,4,4] x"), method="fem").save(path)
    found = Explainer(path)(picture)
    assert (found.status, found.heatmap.any()) == ("all-zero", False)


@pytest.mark.parametrize("kernel", ["sigmoid", "rbf"])
def test_kpca_cam_takes_another_kernel_and_its_width(kernel: str):
    a, g = tensors((2, 12, 5, 6))
    check(raw_map("kpca-cam", a, g, kernel=kernel, gamma=0.3), kernel_component(a, kernel, gamma=0.3))


def test_a_kernel_whose_least_eigenvalue_is_the_farthest_from_zero_gives_the_largest():
    a = np.random.default_rng(4).normal(0, 1, (1, 3, 3, 3)).astype(np.float32)
    rows = a.reshape(3, 9).T - a.mean((2, 3))
    centring = np.eye(9) - 1 / 9
    eigenvalues, vectors = np.linalg.eigh(centring @ np.tanh(1 - rows @ rows.T) @ centring)
    assert -eigenvalues[0] > 2 * eigenvalues[-1] > 0
    found = raw_map("kpca-cam", a, a, gamma=-1.0).ravel()
    np.testing.assert_allclose(np.abs(found), np.sqrt(eigenvalues[-1]) * np.abs(vectors[:, -1]), atol=1e-5)


@pytest.mark.parametrize("method", ["eigencam", "kpca-cam"])
def test_a_component_of_channels_that_cancel_has_its_farthest_place_above_zero(method: str):
    """Behind a layer normalisation the mean over channels is flat: rounding alone would choose the side."""
    x = np.random.default_rng(0).normal(size=(3, 16, 5, 5))
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    a = x.astype(np.float32)
    for found in raw_map(method, a, a):
        assert found.max() > -found.min()


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


def numpy_torchcam_tanh(maps: list[Array], size: tuple[int, int]) -> Array:
    low = [scaled(np.maximum(m, 0), 1e-8) for m in maps]
    return np.max([upsampled(np.tanh(2 * m) if len(maps) > 1 else m, size) for m in low], axis=0)


def over_percentile(whole: Array) -> Array:
    return np.minimum(whole / np.percentile(whole, 99), 1)


def zoomed(raw: Array, size: tuple[int, int]) -> Array:
    found = zoom(np.maximum(raw, 0), (size[0] / raw.shape[0], size[1] / raw.shape[1]), order=1)
    return scaled(found, 1e-7)


def twice_scaled(maps: Any, size: tuple[int, int], places: Any) -> Any:
    """Min-max, interpolation along one axis after the other at places of (h, H), mean over layers, min-max."""
    layers = []
    for raw in maps:
        low = scaled(np.maximum(raw, 0), 1e-7)
        for axis, wanted in enumerate(size):
            at, own = places(low.shape[axis], wanted), np.arange(low.shape[axis])
            low = np.stack([np.interp(at, own, line) for line in np.moveaxis(low, axis, -1)], axis=1 - axis)
        layers.append(low)
    return scaled(np.mean(layers, axis=0), 1e-7)


CONVENTION_FORMULAS: dict[str, Callable[[list[Array], tuple[int, int]], Array]] = {
    "pytorch-grad-cam": numpy_pytorch_grad_cam,
    "torchcam": lambda maps, size: np.max([upsampled(scaled(np.maximum(m, 0), 1e-8), size) for m in maps], axis=0),
    "keras": numpy_keras,
    "vizgradcam": lambda maps, size: np.mean([scaled(np.maximum(upsampled(m, size), 0), 0) for m in maps], axis=0),
    "captum": lambda maps, size: np.mean([cv2.resize(m, size[::-1], interpolation=cv2.INTER_NEAREST) for m in maps], 0),
    "torchcam-tanh": numpy_torchcam_tanh,
    "summed": lambda maps, size: scaled(np.sum([upsampled(np.maximum(m, 0), size) for m in maps], axis=0), 1e-7),
    "percentile": lambda maps, size: np.mean([over_percentile(upsampled(np.maximum(m, 0), size)) for m in maps], 0),
    "tf-keras-vis": lambda maps, size: np.mean([zoomed(m, size) for m in maps], axis=0),
    "align-corners": lambda maps, size: twice_scaled(maps, size, lambda h, n: np.arange(n) * (h - 1) / (n - 1)),
    "asymmetric": lambda maps, size: twice_scaled(maps, size, lambda h, n: np.arange(n) * h / n),
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
