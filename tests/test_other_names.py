"""Names that methods and libraries have elsewhere."""

from __future__ import annotations

import pytest
from small_nets import cnn, pictures

import onnxcam
from onnxcam import other_names
from onnxcam.conventions import LIKE
from onnxcam.drivers import DRIVERS
from onnxcam.drivers import find as find_driver
from onnxcam.errors import UnknownChoice
from onnxcam.methods import METHODS, find_method


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("RISE", "rise"),
        ("GradCAM", "gradcam"),
        ("grad-cam", "gradcam"),
        ("grad-cam++", "gradcam++"),
        ("LIME", "lime"),
        ("KPCA_CAM", "kpca-cam"),
        ("GradCAMElementWise", "gradcam-elementwise"),
        ("Integrated Gradients", "integrated-gradients"),
        ("input_x_gradient", "input-x-gradient"),
    ],
)
def test_capitals_and_separators_do_not_matter(given: str, ours: str):
    assert find_method(given).name == ours
    if ours in DRIVERS:
        assert find_driver(given).name == ours


def test_no_two_methods_differ_in_capitals_and_separators_alone():
    for names in (METHODS, DRIVERS, LIKE):
        assert len({other_names.folded(name) for name in names}) == len(names)


def test_a_graph_of_a_name_in_capitals_has_the_methods_own():
    graph = onnxcam.convert(cnn(), method="GradCAM++")
    assert graph.metadata.method == "gradcam++"


def test_a_driver_in_capitals_keeps_the_options_that_the_graph_was_converted_with():
    explainer = onnxcam.Explainer(onnxcam.convert(cnn(), method="rise", options={"masks": 5}).to_bytes())
    x = pictures(1)[0]
    assert explainer.drive(x, 1, driver="RISE").passes == explainer.drive(x, 1).passes == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ig", "Did you mean 'integrated-gradients'?"),
        ("attention-rollout", "Did you mean 'rollout'?"),
        ("gradient", "Did you mean 'saliency'?"),
        ("vanilla-gradient", "Did you mean 'saliency'?"),
        ("VanillaGradients", "Did you mean 'saliency'?"),
        ("GradCAMPlusPlus", "Did you mean 'gradcam++'?"),
        ("gradient-x-input", "Did you mean 'input-x-gradient'?"),
        ("chefer", "Did you mean 'gradient-rollout'?"),
        ("GuidedBackpropReLUModel", "Did you mean 'guided-backprop'?"),
        ("tta", "--wrap tta"),
        ("aug_smooth", "--wrap tta"),
        ("sess", "--wrap sess"),
        ("dff", "onnxcam factorize"),
        ("gradcan", "Did you mean 'gradcam'"),
    ],
)
def test_what_a_method_is_called_elsewhere_leads_to_ours(given: str, said: str):
    with pytest.raises(UnknownChoice) as raised:
        find_method(given)
    assert str(raised.value).startswith(f"no method named {given!r}. ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("given", "ours"),
    [("pgc", "pytorch-grad-cam"), ("pytorch_grad_cam", "pytorch-grad-cam"), ("torch-cam", "torchcam"),
     ("Captum", "captum")],
)  # fmt: skip
def test_what_a_library_is_called_elsewhere_leads_to_our_name_for_it(given: str, ours: str):
    with pytest.raises(UnknownChoice, match=f"named '{given}'. Did you mean '{ours}'"):
        onnxcam.convert(cnn(), like=given)


def test_every_other_name_stands_for_one_that_there_is_and_is_not_one_itself():
    assert set(other_names.METHODS.values()) <= set(METHODS)
    assert set(other_names.LIBRARIES.values()) <= set(LIKE)
    own = {other_names.folded(name) for name in METHODS}
    for name in (*other_names.METHODS, *other_names.WAYS):
        assert other_names.folded(name) == name
        assert name not in own
