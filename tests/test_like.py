"""What `like` asks for besides a formula: a library's defaults, its score, the way it enlarges, the methods it has."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from driver_probes import linear, picture
from parity import agreement
from parity_draws import captum, of_squares, squares
from parity_rows import ROWS
from parity_small import asked, made
from sklearn.linear_model import Lasso
from small_nets import cnn, pictures, run
from test_parity_keras import ROWS as KERAS_ROWS
from torch_support import torch

from onnxcam import convert
from onnxcam.api import explainer_of
from onnxcam.conventions import LIKE
from onnxcam.drivers import DRIVERS, driver, find, variant
from onnxcam.drivers import VARIANTS as DRIVER_VARIANTS
from onnxcam.drivers.lime import lasso
from onnxcam.errors import LibraryLacks, UnknownOption
from onnxcam.methods import HAVE, METHODS, VARIANTS, find_method
from onnxcam.reports.facts import facts

SOFTMAX = "l = Gemm(flat, w3, b3) y = Softmax<axis=1>(l)"
LACKING = [
    ("captum", "eigencam"),
    ("captum", "scorecam"),
    ("torchcam", "fullgrad"),
    ("tf-keras-vis", "ablationcam"),
    ("tf-keras-vis", "lrp"),
    ("pytorch-grad-cam", "rise"),
]


@pytest.mark.parametrize(("library", "method"), LACKING)
def test_a_library_without_the_method_has_no_numbers_to_be_like(library: str, method: str):
    with pytest.raises(LibraryLacks, match=f"{library} has no method '{method}'.*Leave --like away"):
        convert(cnn(), method=method, like=library)


def test_methods_with_like_names_that_the_library_has_are_told_first():
    with pytest.raises(LibraryLacks, match=r"Did you mean 'smoothgrad' or 'gradcam\+\+'"):
        convert(cnn(), method="smooth-gradcam++", like="tf-keras-vis")


def test_what_goes_around_a_method_is_the_librarys_too():
    with pytest.raises(LibraryLacks, match="captum has no method 'tta'"):
        convert(cnn(), method="gradcam", wrap="tta", like="captum")
    assert convert(cnn(), method="gradcam", wrap="tta", like="pytorch-grad-cam").metadata.driver is not None


def test_libraries_are_those_of_like_and_have_only_methods_that_there_are():
    assert set(HAVE) == set(LIKE)
    for methods in HAVE.values():
        assert set(methods) <= {*METHODS, *DRIVERS}


def test_whatever_has_a_variant_or_is_compared_the_library_has():
    keras = {("tf-keras-vis", method) for method, *_ in KERAS_ROWS}
    for library, method in {*VARIANTS, *((row.peer, row.method) for row in ROWS), *keras}:
        assert method in HAVE[library]


@pytest.mark.parametrize("method", ["gradcam", "saliency", "lrp-epsilon", "occlusion"])
def test_a_graph_says_whose_numbers_were_asked_for(method: str):
    graph = convert(cnn(), method=method, like="captum")
    assert graph.metadata.like == "captum"
    assert ("Numbers like", "captum") in facts(explainer_of(graph), model="m")
    assert convert(cnn(), method=method).metadata.like is None


def test_a_later_driver_on_a_graph_is_the_librarys():
    model, (x,) = cnn(), pictures(1)
    graph = convert(model, method="gradcam", layer="r2", like="tf-keras-vis", outputs=["activation"])
    own = convert(model, method="scorecam", layer="r2", like="tf-keras-vis", score="logit")
    found, expected = (
        explainer_of(each).drive(x, 2, driver="scorecam").raw for each in (graph, own)
    )  # of the same score, which is the graph's
    np.testing.assert_allclose(found, expected, atol=1e-6)
    paper = explainer_of(convert(model, method="scorecam", layer="r2")).drive(x, 2).raw
    assert np.abs(found - paper).max() > 1e-2 * np.abs(found).max()


@pytest.mark.parametrize("library", [name for name in LIKE if name != "tf-keras-vis"])
def test_drivers_explain_the_output_as_it_is_as_the_librarys_targets_do(library: str):
    methods = [name for like, name in VARIANTS if like == library and VARIANTS[like, name].driver]
    assert methods
    for method in methods:
        graph = convert(cnn(SOFTMAX), method=method, like=library, layer="r2" if "cam" in method else None)
        assert graph.metadata.score == "output"


def test_a_score_that_is_asked_for_goes_before_the_librarys():
    assert convert(cnn(SOFTMAX), method="occlusion", like="captum", score="logit").metadata.score == "logit"


def test_a_variant_takes_its_defaults_and_what_is_said_goes_before_them():
    x, w = picture(), np.ones((3, 20, 32), np.float32)
    window = {"window": 4, "stride": 4}
    found = find("occlusion", "captum")(linear(w, x), window)
    np.testing.assert_allclose(found, DRIVERS["occlusion"](linear(w, x), window | {"fill": "zero"}))
    assert np.abs(found - DRIVERS["occlusion"](linear(w, x), window)).max() > 0.1
    grey = find("occlusion", "captum")(linear(w, x), window | {"fill": "grey"})
    np.testing.assert_allclose(grey, DRIVERS["occlusion"](linear(w, x), window))


def test_defaults_of_a_variant_are_those_that_are_listed():
    for library, method in VARIANTS:
        if (method, library) in DRIVER_VARIANTS:
            assert find_method(method, library).options == DRIVER_VARIANTS[method, library].options


def test_a_variant_of_options_that_there_are_not_is_refused():
    with pytest.raises(UnknownOption, match="no option 'fil'"):
        variant("occlusion", like="nobody", summary="", score="logit", defaults={"fil": "zero"})
    with pytest.raises(ValueError, match="already"):
        variant("occlusion", like="captum", summary="", score="logit", defaults={})
    with pytest.raises(ValueError, match="already"):
        driver("occlusion", source="", needs="score")(lambda probe: probe.x)


@pytest.mark.parametrize("size", [(32, 32), (22, 35)])
def test_like_captum_a_layers_map_is_enlarged_in_blocks(size: tuple[int, int]):
    attribution = pytest.importorskip("captum.attr").LayerAttribution
    graph = convert(
        cnn(x="float[N,3,H,W] x"), method="gradcam", layer="r2", like="captum", outputs=["raw_map"], preprocess="unit"
    )
    found = run(graph.model, {"x": pictures(2, 3, *size), "target": np.array([1, 3])})
    assert found["raw_map"].shape == (2, size[0] // 2, size[1] // 2)
    expected = attribution.interpolate(torch.from_numpy(found["raw_map"])[:, None], size)
    np.testing.assert_array_equal(found["heatmap"], expected[:, 0].numpy())


def test_occlusion_with_captums_window_is_captums_without_a_word_of_fill_or_score():
    (row,) = [row for row in ROWS if row.method == "occlusion"]
    assert set(row.options) == {"window", "stride"}
    assert row.score is None


def compare(found: Any, expected: Any) -> None:
    near = agreement(np.asarray(found)[None], np.asarray(expected)[None], in_unit=False)
    assert near.difference < 0.1, near
    assert near.correlation > 0.98


def drawn_by_captum(method: str, count: int, *, ours: int, theirs: int) -> tuple[Any, Any]:
    """The maps of squares by so many draws of ours, and by so many of captum's own."""
    (row,) = [row for row in ROWS if row.method == method]
    question = asked("bent", row)
    graph = convert(made("bent")[1], method=method, like="captum", options={"segments": count, "samples": ours})
    with patch("onnxcam.drivers.superpixels.cut", lambda probe, count: squares(probe.size, count)):
        found = explainer_of(graph).drive(question.x[0].numpy(), question.targets[0]).raw
    torch.manual_seed(0)
    method = captum(question, row.called.split(",")[0])
    return found, of_squares(question, method, count, n_samples=theirs, perturbations_per_eval=50)[0]


def test_kernelshap_of_every_subset_is_what_many_draws_of_captum_come_to():
    compare(*drawn_by_captum("kernelshap", 9, ours=512, theirs=3000))


def test_shapley_values_of_many_orders_are_what_captum_comes_to():
    compare(*drawn_by_captum("shapley-sampling", 9, ours=300, theirs=300))


def test_lime_of_many_rows_is_what_captum_comes_to():
    compare(*drawn_by_captum("lime", 9, ours=2000, theirs=2000))


def test_every_subset_gives_the_shapley_values_of_captum():
    (row,) = [row for row in ROWS if row.method == "kernelshap"]
    question = asked("bent", row)
    found, _ = drawn_by_captum("kernelshap", 4, ours=30, theirs=10)
    exact = of_squares(question, captum(question, "ShapleyValues"), 4)[0]
    np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())


def test_the_lasso_is_scikit_learns():
    rng = np.random.default_rng(1)
    rows, weights = (rng.random((40, 12)) < 0.5).astype(float), rng.random(40)
    scores = rows @ rng.normal(size=12) + rng.normal(size=40)
    for alpha in (0.01, 0.1, 10.0):
        values, level = lasso(rows, scores, weights, alpha)
        theirs = Lasso(alpha, tol=1e-10).fit(rows, scores, sample_weight=weights)
        np.testing.assert_allclose(values, theirs.coef_, atol=1e-6)
        assert level == pytest.approx(theirs.intercept_, abs=1e-6)
