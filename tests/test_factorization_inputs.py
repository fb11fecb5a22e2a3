"""Concepts of models that take more than the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx.numpy_helper
import pytest
from command_line import Command, saved
from numpy.typing import NDArray
from onnx import ModelProto
from small_nets import cnn, run

from onnxcam.errors import InputMismatch, UnknownChoice
from onnxcam.factorization import factorize

pytest.importorskip("sklearn.decomposition", reason="extra `concepts` is not installed")

Array = NDArray[Any]
SCALED = "scaled = Mul(flat, hint) h = Tanh(scaled) y = Gemm(h, w3, b3)"  # above the layer
HINTS = np.random.default_rng(5).uniform(0.5, 2, (3, 8)).astype(np.float32)


def hinted(*, kind: str = "float[N,8]") -> ModelProto:
    return cnn(SCALED, x=f"float[N,3,16,16] x, {kind} hint")


def photos(count: int) -> list[Array]:
    return list(np.random.default_rng(1).integers(0, 256, (count, 16, 16, 3), np.uint8))


def of_model(model: ModelProto, images: list[Array], hints: Array) -> Array:
    x = np.stack([image.transpose(2, 0, 1) / 255 for image in images]).astype(np.float32)
    return run(model, {"x": x, "hint": hints})["y"]


def test_each_picture_has_its_own_row_of_another_input():
    model, images = hinted(), photos(3)
    found = factorize(model, images, concepts=2, layer="r2", preprocess="unit", inputs={"hint": HINTS})
    np.testing.assert_allclose(found.scores, of_model(model, images, HINTS), rtol=1e-4, atol=1e-5)


def test_what_a_concept_adds_is_the_mean_over_the_pictures_other_inputs():
    model, images = hinted(), photos(3)
    found = factorize(model, images, concepts=2, layer="r2", preprocess="unit", inputs={"hint": HINTS})
    w3 = next(onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer if entry.name == "w3")
    alone = np.tanh(found.decomposition.vectors[:, None] * HINTS).mean(1)
    np.testing.assert_allclose(found.gains, alone @ w3, rtol=1e-3, atol=1e-5)


def test_one_array_may_serve_all_pictures():
    model, images = hinted(kind="float[1,8]"), photos(3)
    found = factorize(model, images, concepts=2, layer="r2", preprocess="unit", inputs={"hint": HINTS[:1]})
    np.testing.assert_allclose(found.scores, of_model(model, images, HINTS[:1]), rtol=1e-4, atol=1e-5)


def test_what_is_filled_in_for_an_explanation_is_filled_in_here():
    model, images = hinted(), photos(2)
    found = factorize(model, images, concepts=2, layer="r2", preprocess="unit")
    np.testing.assert_allclose(found.scores, of_model(model, images, 0 * HINTS[:2]), rtol=1e-4, atol=1e-5)


def test_an_input_below_the_layer_is_given_too():
    body = "axes = Constant<value_ints=[2,3]>() u = Unsqueeze(hint, axes) r3 = Mul(r2, u) "
    body += "g = GlobalAveragePool(r3) f = Flatten(g) y = Gemm(f, w3, b3)"
    model, images = cnn(body, x="float[N,3,16,16] x, float[N,8] hint"), photos(3)
    found = factorize(model, images, concepts=2, layer="r3", preprocess="unit", inputs={"hint": HINTS})
    np.testing.assert_allclose(found.scores, of_model(model, images, HINTS), rtol=1e-4, atol=1e-5)


def test_an_input_that_nobody_can_guess_must_be_given():
    with pytest.raises(InputMismatch, match="'hint' is missing"):
        factorize(hinted(kind="float[8]"), photos(2), concepts=2, layer="r2", preprocess="unit")


def test_an_input_that_the_model_does_not_have_is_refused():
    with pytest.raises(UnknownChoice, match="no other input named 'hind'"):
        factorize(hinted(), photos(2), concepts=2, layer="r2", preprocess="unit", inputs={"hind": HINTS[:2]})


def test_the_command_reads_other_inputs_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    model, images = hinted(), photos(3)
    for at, image in enumerate(images):
        assert cv2.imwrite(str(tmp_path / f"{at}.png"), image[..., ::-1])
    np.save(tmp_path / "hint.npy", HINTS)
    given = [*sorted(tmp_path.glob("*.png")), "-o", tmp_path / "out", "-k", "2", "--preprocess", "unit", "--json"]
    command = Command(monkeypatch, capsys)
    net = saved(model, tmp_path / "net.onnx")
    ran = command("factorize", net, *given, "--layer", "r2", "--input", f"hint={tmp_path / 'hint.npy'}")
    assert ran.code == 0, ran.err
    expected = of_model(model, images, HINTS).max(1)
    np.testing.assert_allclose([json.loads(line)["score"] for line in ran.out], expected, rtol=1e-4)
