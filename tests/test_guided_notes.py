"""Methods that guide the gradient at ReLUs say so where there are none to guide it at."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from small_nets import cnn, net, pictures, run

from onnxcam import convert

ROOT = float(np.sqrt(2.0))
GELU = (
    "c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)  d = Div(c1, root)  e = Erf(d)  p = Add(e, one)  h = Mul(c1, p)"
    "  m = Mul(h, half)  c2 = Conv<pads=[1,1,1,1]>(m, w2, b2)  gap = GlobalAveragePool(c2)  flat = Flatten(gap)"
    "  y = Gemm(flat, w3, b3)"
)
GUIDED = ["guided-backprop", "deconvnet", "guided-gradcam"]


def of_activation(op: str) -> onnx.ModelProto:
    """Two convolutions with that activation between them."""
    return net(
        f"c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)  m = {op}(c1)  c2 = Conv<pads=[1,1,1,1]>(m, w2, b2)"
        "  gap = GlobalAveragePool(c2)  flat = Flatten(gap)  y = Gemm(flat, w3, b3)"
    )


def gelu_net() -> onnx.ModelProto:
    model = net(GELU)
    for name, value in (("root", ROOT), ("one", 1.0), ("half", 0.5)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    return model


def attribution(model: onnx.ModelProto, method: str, **options: object) -> np.ndarray:
    graph = convert(model, method=method, outputs=["attribution"], options=options)
    return run(graph.model, {"x": pictures(1), "target": np.array([1])})["attribution"]


@pytest.mark.parametrize("method", GUIDED)
def test_without_a_relu_a_note_says_that_nothing_is_guided_and_what_is_there_instead(method: str):
    (note,) = convert(gelu_net(), method=method).metadata.notes
    assert note.startswith("no ReLU lies between picture and score: what is guided here is the plain gradient")
    assert "--method guided-backprop --option smooth=true" in note


def test_the_note_is_true_and_so_is_its_remedy():
    plain, guided = (attribution(gelu_net(), name) for name in ("saliency", "guided-backprop"))
    np.testing.assert_array_equal(np.abs(guided), plain)
    assert np.abs(np.abs(attribution(gelu_net(), "guided-backprop", smooth=True)) - plain).max() > 0.01 * plain.max()
    assert convert(gelu_net(), method="guided-backprop", options={"smooth": True}).metadata.notes == ()


def test_without_any_activation_that_could_be_guided_no_option_is_named():
    notes = convert(of_activation("Tanh"), method="guided-backprop").metadata.notes
    assert ["smooth" in note for note in notes] == [False]
    (note,) = convert(of_activation("Tanh"), method="guided-backprop", options={"smooth": True}).metadata.notes
    assert note.startswith("no ReLU or smooth activation")


@pytest.mark.parametrize("method", GUIDED)
def test_with_a_relu_there_is_nothing_to_say(method: str):
    assert convert(cnn(), method=method).metadata.notes == ()


def test_a_leaky_relu_is_one_but_for_libraries_that_overlook_it():
    model = of_activation("LeakyRelu")
    assert convert(model, method="guided-backprop").metadata.notes == ()
    (note,) = convert(model, method="guided-backprop", like="captum").metadata.notes
    assert note.startswith("no plain ReLU")
