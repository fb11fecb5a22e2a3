"""Models that take four pictures at a time and can take no other number: any number is explained all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from command_line import Command, saved
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

import onnxcam
from onnxcam.errors import InputMismatch, InvalidResult, OnnxCamError
from onnxcam.factorization import factorize
from onnxcam.graph import check, load

Array = NDArray[Any]
SIZE = 4
PICKS = [5, 0, 2, 3]  # channels
ODD = "GatherND"  # keeps images apart here, which the indices alone say
RNG = np.random.default_rng(3)
WEIGHTS = {"k": RNG.normal(0, 0.3, (6, 3, 3, 3)), "b": RNG.normal(0, 0.2, 6), "w": RNG.normal(0.1, 1, (4, 5))}
PHOTOS = list(RNG.integers(0, 256, (6, 12, 12, 3), np.uint8))


def fixed(count: int = SIZE, ending: str = "y = MatMul(rows, w)", beside: str = "") -> ModelProto:
    """A convolution, of which the constant `picks` takes four channels of each picture, and a dense layer."""
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[{count},3,12,12] x{beside}) => (float[{count},5] y) {{
        c = Conv<pads=[1,1,1,1]>(x, k, b) r = Relu(c) four = GatherND<batch_dims=1>(r, picks)
        pooled = GlobalAveragePool(four) rows = Flatten(pooled) {ending} }}"""
    model = onnx.parser.parse_model(text)
    picks = np.tile(np.array(PICKS).reshape(1, 4, 1), (count, 1, 1))
    arrays = {**{name: array.astype(np.float32) for name, array in WEIGHTS.items()}, "picks": picks}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


def explainer(count: int = SIZE, **options: Any) -> onnxcam.Explainer:
    graph = onnxcam.convert(fixed(count), **{"layer": "r", "preprocess": "unit"} | options)
    return onnxcam.Explainer(graph.to_bytes(), threads=1)


def prepared(images: list[Array]) -> Array:
    return np.stack([image.transpose(2, 0, 1) / 255 for image in images]).astype(np.float32)


def scores_of(images: list[Array]) -> Array:
    """(N, 5), by ONNX Runtime on the model itself, one by one."""
    session = onnxruntime.InferenceSession(fixed(1).SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": x[None]})[0] for x in prepared(images)])


def maps_of(images: list[Array], targets: list[int]) -> Array:
    """(N, 12, 12), Grad-CAM at `r` in numpy: the mean gradient is the class's weight over the places."""
    x = np.pad(prepared(images).astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    a = np.maximum(np.einsum("nchwij,kcij->nkhw", windows, WEIGHTS["k"]) + WEIGHTS["b"][:, None, None], 0)
    raw = np.maximum(np.einsum("nkhw,kn->nhw", a[:, PICKS], WEIGHTS["w"][:, targets]), 0)
    low, high = raw.min((1, 2), keepdims=True), raw.max((1, 2), keepdims=True)
    return (raw - low) / (high - low)


def test_the_model_stays_as_it_is_and_the_op_is_named():
    assert load(fixed()).batch_reason.startswith(ODD)
    assert onnxcam.convert(fixed(), layer="r").metadata.batch.startswith(ODD)


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_any_number_of_pictures_is_explained(count: int):
    targets = [number % 5 for number in range(count)]
    found = explainer()(PHOTOS[:count], targets)
    np.testing.assert_allclose([e.map for e in found], maps_of(PHOTOS[:count], targets), atol=1e-5)
    np.testing.assert_allclose([e.scores for e in found], scores_of(PHOTOS[:count]), rtol=1e-4, atol=1e-6)


def test_one_picture_by_itself_is_explained():
    found = explainer()(PHOTOS[0], 2)
    np.testing.assert_allclose(found.map, maps_of(PHOTOS[:1], [2])[0], atol=1e-5)


def test_several_targets_of_each_picture_are_explained():
    found = explainer(multi_target=True)(PHOTOS[:5], [1, 4])
    np.testing.assert_allclose([row[0].map for row in found], maps_of(PHOTOS[:5], [1] * 5), atol=1e-5)
    np.testing.assert_allclose([row[1].map for row in found], maps_of(PHOTOS[:5], [4] * 5), atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_arrays_of_any_number_are_run(count: int):
    images = [PHOTOS[number % len(PHOTOS)] for number in range(count)]
    found = explainer().run(prepared(images), 1)
    assert [len(array) for array in found.values()] == [count] * len(found)
    np.testing.assert_allclose(found["y"], scores_of(images), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["heatmap"], maps_of(images, [1] * count), atol=1e-5)


@pytest.mark.parametrize("method", ["rise", "scorecam", "integrated-gradients", "occlusion"])
@pytest.mark.parametrize("batch_size", [3, 8])
def test_methods_of_many_passes_give_what_they_give_with_one_at_a_time(method: str, batch_size: int):
    options = {"masks": 21} if method == "rise" else {}
    layer = {"layer": "r" if method == "scorecam" else None}
    found, alone = (
        explainer(count, method=method, options=options, **layer)(PHOTOS[1], 3, batch_size=batch_size)
        for count in (SIZE, 1)
    )
    np.testing.assert_allclose(found.map, alone.map, atol=1e-4)
    assert found.report["passes"] == alone.report["passes"]


@pytest.mark.parametrize("method", ["finercam", "eigencam", "layercam", "saliency", "guided-gradcam", "fullgrad"])
def test_methods_of_one_pass_give_what_they_give_with_one_at_a_time(method: str):
    layer = None if method in ("saliency", "fullgrad") else "r"
    found, alone = (explainer(count, method=method, layer=layer)(PHOTOS[:3], [1, 2, 3]) for count in (SIZE, 1))
    np.testing.assert_allclose([e.map for e in found], [e.map for e in alone], atol=1e-4)


@pytest.mark.parametrize("method", ["ablationcam", "reciprocam"])
def test_methods_that_run_what_is_fixed_on_more_pictures_are_refused_with_a_remedy(method: str):
    with pytest.raises(OnnxCamError, match=r"fixed.* export it with a dynamic batch, or take a method"):
        explainer(method=method)(PHOTOS[0], 1)


def test_a_row_of_another_input_goes_with_each_picture():
    hints = np.random.default_rng(1).uniform(0.5, 2, (6, 4)).astype(np.float32)
    model = fixed(ending="scaled = Mul(rows, hint) y = MatMul(scaled, w)", beside=f", float[{SIZE},4] hint")
    explain = onnxcam.Explainer(onnxcam.convert(model, layer="r", preprocess="unit").to_bytes(), threads=1)
    rows = [np.linalg.lstsq(WEIGHTS["w"].T, y, rcond=None)[0] for y in scores_of(PHOTOS)]
    expected = np.stack(rows) * hints @ WEIGHTS["w"]
    found = [e.scores for e in explain(PHOTOS, 0, inputs={"hint": hints})]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    same = [e.scores for e in explain(PHOTOS[:2], 0, inputs={"hint": hints[:1]})]
    np.testing.assert_allclose(same, np.stack(rows[:2]) * hints[:1] @ WEIGHTS["w"], rtol=1e-3, atol=1e-5)
    run = explain.run(prepared(PHOTOS), inputs={"hint": hints[:1]}, outputs=["y"])["y"]
    np.testing.assert_allclose(run, np.stack(rows) * hints[:1] @ WEIGHTS["w"], rtol=1e-3, atol=1e-5)
    with pytest.raises(InputMismatch, match="'hint' has 3 rows for 2 pictures"):
        explain(PHOTOS[:2], 0, inputs={"hint": hints[:3]})


def test_outputs_without_a_row_for_each_picture_are_not_put_together():
    model = fixed(ending="y = MatMul(rows, w) all = Constant<value_ints=[0]>() z = ReduceSum<keepdims=0>(y, all)")
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [5]))
    explain = onnxcam.Explainer(onnxcam.convert(model, layer="r").to_bytes(), threads=1)
    np.testing.assert_allclose(explain.run(prepared(PHOTOS[:4]))["z"], scores_of(PHOTOS[:4]).sum(0), rtol=1e-4)
    assert len(explain.run(prepared(PHOTOS), outputs=["y"])["y"]) == 6
    with pytest.raises(InputMismatch, match=r"'x' has 6 rows.*takes 4.*'z' has no row for each. Run it on 4 at a time"):
        explain.run(prepared(PHOTOS))


def test_concepts_are_found():
    pytest.importorskip("sklearn.decomposition", reason="extra `concepts` is not installed")
    found, alone = (
        factorize(fixed(count), PHOTOS[:3], concepts=2, layer="r", preprocess="unit") for count in (SIZE, 1)
    )
    np.testing.assert_allclose(found.scores, scores_of(PHOTOS[:3]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.gains, alone.gains, rtol=1e-4, atol=1e-6)


@pytest.fixture
def onnxcam_(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and a folder of three photos."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, image in enumerate(PHOTOS[:3]):
        cv2.imwrite(str(photos / f"{number}.png"), image)
    return saved(fixed(), tmp_path / "four.onnx"), photos


def test_the_commands_take_such_a_model(files: tuple[Path, Path], onnxcam_: Command, tmp_path: Path):
    model, photos = files
    for given in (
        ["explain", model, photos / "0.png", "-o", tmp_path / "one"],
        ["explain", model, photos, "-o", tmp_path / "all", "--top-k", 2],
        ["evaluate", model, photos, "-o", tmp_path / "numbers", "--metric", "deletion"],
        ["compare", model, photos / "0.png", "-o", tmp_path / "c.png", "--method", "gradcam", "--method", "scorecam"],
    ):
        ran = onnxcam_(*given)
        assert ran.code == 0, (given[0], ran.err)
    told = onnxcam_("convert", model, "-o", tmp_path / "four.explain.onnx").err
    assert any(f"the number of pictures in a run stays fixed: {ODD}" in line for line in told)


def test_what_the_checker_refuses_is_said_with_a_remedy():
    model = fixed()
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(InvalidResult, match=r"no valid ONNX.*export the model with a dynamic batch"):
        check(model)
