"""Resize whose places are written out, computed, or told by old opsets; against ONNX Runtime's own answers."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import error, evaluate, gradients, normal, outcome
from loaded_models import model

from onnxcam.autodiff import differentiate
from onnxcam.autodiff.resizing_places import written_out
from onnxcam.graph import Tape, load

LINEAR, CUBIC = 'mode="linear", coordinate_transformation_mode=', 'mode="cubic", coordinate_transformation_mode='
NEAREST = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
CENTRES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners"]
X = normal(1, 1, 6, 7)
REGION = [0.213, 0.114, 0.731, 0.817]
TARGETS = [
    ("sizes", "value_ints=[9, 4]", "x, {}, , v"),
    ("sizes of one", "value_ints=[1, 3]", "x, {}, , v"),
    ("scales", "value_floats=[1.7, 0.6]", "x, {}, v"),
    ("scales that shrink", "value_floats=[0.4, 0.5]", "x, {}, v"),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[0])
@pytest.mark.parametrize("centre", [*CENTRES, "tf_crop_and_resize"])
@pytest.mark.parametrize("mode", ["linear", "cubic", "cubic, exclude_outside=1", "cubic, cubic_coeff_a=-0.5"])
def test_written_out_it_is_what_onnx_runtime_gives(mode: str, centre: str, target: tuple[str, str, str]):
    name, _, extra = mode.partition(", ")
    is_crop, (_, value, inputs) = centre == "tf_crop_and_resize", target
    roi = "r = Constant<value_floats=[0.2, 0.1, 0.7, 0.9]>() " if is_crop else ""
    attributes = f'axes=[2,3], mode="{name}", coordinate_transformation_mode="{centre}"{", " * bool(extra)}{extra}'
    text = f"{roi}v = Constant<{value}>() y = Resize<{attributes}>({inputs.format('r' * is_crop)})"
    tape = Tape(model(text, {"x": X}, opset=18))
    tape.add_output(written_out(tape.producers["y"]), "written")
    y, written = evaluate(tape.model, {"x": X})
    assert error(written, y) < 1e-5


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (f'y = Resize<{LINEAR}"half_pixel", axes=[2,3]>(x, , p)', [1.83, 0.77]),
        (f'y = Resize<{CUBIC}"asymmetric", axes=[2,3]>(x, , p)', [1.83, 0.77]),
        (f'n = Constant<value_ints=[4, 5]>() y = Resize<{CUBIC}"tf_crop_and_resize", axes=[2,3]>(x, p, , n)', REGION),
    ],
    ids=["linear, scales", "cubic, scales", "cubic, region"],
)
def test_computed_places_have_the_gradient_that_differences_show(text: str, places: list[float]):
    p, step = np.array(places, np.float32), 2e-3
    g = normal(*outcome(text, x=X, p=p).shape, seed=3)
    found = gradients(text, g, x=X, p=p)[1]
    moves = np.eye(len(p), dtype=np.float32) * step
    expected = [((outcome(text, x=X, p=p + m) - outcome(text, x=X, p=p - m)) * g).sum() / (2 * step) for m in moves]
    assert error(found, np.array(expected)) < 1e-2


@pytest.mark.parametrize("attributes", [NEAREST, f'{LINEAR}"half_pixel"', f'{CUBIC}"align_corners"'])
def test_one_file_is_right_at_two_sizes_of_another_tensor(attributes: str):
    text = f"hw = Shape<start=2>(t) y = Resize<{attributes}, axes=[2,3]>(x, , , hw)"
    tape = Tape(model(text, {"x": X, "t": X}, opset=18))
    y = tape.value("y")
    (found,) = differentiate({y: tape.add_input("c", np.float32, list("abcd"))}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "gradient")
    for size, target in (((1, 2, 4, 5), (1, 1, 9, 7)), ((3, 2, 6, 3), (1, 1, 3, 6))):
        x, g = normal(*size), normal(*size[:2], *target[2:], seed=3)
        fixed = f"hw = Constant<value_ints={list(target[2:])}>() y = Resize<{attributes}, axes=[2,3]>(x, , , hw)"
        (expected,) = gradients(fixed, g, x=x)
        assert error(evaluate(tape.model, {"x": x, "t": normal(*target), "c": g})[-1], expected) < 1e-5


@pytest.mark.parametrize(("opset", "mode"), [(7, "nearest"), (9, "nearest"), (9, "linear")])
def test_an_upsample_of_old_opsets_is_differentiated(opset: int, mode: str):
    scales = "s = Constant<value = float[4] {1.0, 1.0, 2.0, 3.0}>()"
    text = f'{scales} y = Upsample<mode="{mode}">(x, s)'
    if opset < 9:
        text = f'y = Upsample<mode="{mode}", scales=[1.0, 1.0, 2.0, 3.0]>(x)'
    tape = Tape(load(model(text, {"x": X}, opset=opset, fixed="x")).proto)
    (found,) = differentiate({tape.value("y"): tape.add_input("c", np.float32, (1, 1, 12, 21))}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "gradient")
    g = normal(1, 1, 12, 21, seed=3)
    if mode == "nearest":
        expected = g.reshape(1, 1, 6, 2, 7, 3).sum(axis=(3, 5))
    else:
        now = f'y = Resize<{LINEAR}"asymmetric", axes=[2,3]>(x, , s)'
        (expected,) = gradients(f"s = Constant<value_floats=[2.0, 3.0]>() {now}", g, x=X)
    assert error(evaluate(tape.model, {"x": X, "c": g})[-1], expected) < 1e-5
