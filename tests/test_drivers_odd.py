"""Many passes where there is nothing to gain: pictures that hold no numbers, scores that overflow, maps of zero."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from explain_graphs import colours
from onnx import numpy_helper
from small_nets import cnn

from onnxcam import Explainer, convert
from onnxcam.drivers import DRIVERS
from onnxcam.errors import NotWrappable

DARK, HALF_RED = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
HALF_RED[:, :4, 0], HALF_RED[:, 4:, 2] = 255, 200


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [name for name, row in DRIVERS.items() if not row.of_boxes])
def test_a_picture_with_what_is_no_number_has_no_map_by_any_method(name: str, odd: float):
    """As by Grad-CAM, whose map is NaN then. guided-ig went on for ever."""
    explain, x = converted_for(name), np.full((3, 16, 16), 0.5, np.float32)
    x[0, 2, 3] = odd
    assert not np.isfinite(converted_for("gradcam").run(x[None], 3, outputs=["heatmap"])["heatmap"]).any()
    driven = explain.drive(x, 3, driver=name)
    assert np.isnan(driven.heatmap).all()
    assert driven.heatmap.shape == (16, 16)
    assert driven.passes == 0


@cache
def converted_for(name: str) -> Explainer:
    is_wrap = name in DRIVERS and DRIVERS[name].needs == "heatmap"
    wrap = {"wrap": name} if is_wrap else {"method": name}
    return Explainer(convert(cnn().SerializeToString(), **wrap).to_bytes())


ENDLESS = """
    heatmap = Squeeze (maps, second)
    target_index = Squeeze (index, second)
    flat = Squeeze (signed, second)
    nought = Sub (flat, flat)
    target_score = Div (flat, nought)
"""


@pytest.mark.parametrize("driver", ["rise", "lime", "kernelshap", "aise"])
def test_a_model_whose_score_overflows_has_no_map_that_could_be_trusted(driver: str):
    explain = Explainer(colours(ending=ENDLESS).SerializeToString())
    found = explain(HALF_RED, "red", driver=driver)
    assert found.status == "not-finite"
    assert not found.heatmap.any()


@pytest.mark.parametrize(
    ("driver", "offered"),
    [
        ("occlusion", "Try another filling (option fill), another method, or a class"),
        ("tta", "Try another layer, another method, or a class"),
        (None, "Try another layer, another method, or a class"),
    ],
)
def test_what_may_help_against_a_map_of_zero_fits_the_method(driver: str | None, offered: str):
    options = {"fill": "zero"} if driver == "occlusion" else {}
    found = Explainer(colours().SerializeToString())(DARK, "green", driver=driver, options=options)
    assert found.status == "all-zero"
    assert offered in found.reason


def test_a_method_of_pixels_is_not_told_to_try_another_layer():
    model = cnn()
    for weights in model.graph.initializer:
        if weights.name.startswith("w"):
            weights.CopyFrom(numpy_helper.from_array(np.zeros(weights.dims, np.float32), weights.name))
    explain = Explainer(convert(model.SerializeToString(), method="saliency", preprocess="unit").to_bytes())
    found = explain(np.full((16, 16, 3), 90, np.uint8), 3)
    assert "nothing in the input speaks for class 3. Try another method, or a class" in found.reason


def test_what_goes_around_a_method_does_not_go_around_one_of_many_passes():
    """The remedy once was `onnxcam convert MODEL --method tta`, which does not exist."""
    rise = convert(cnn().SerializeToString(), method="rise")
    with pytest.raises(NotWrappable, match=r"'rise' takes many passes itself.* --method gradcam --wrap tta"):
        Explainer(rise.to_bytes())(HALF_RED, driver="tta")


def test_it_is_refused_before_the_model_is_opened():
    with pytest.raises(NotWrappable, match="'occlusion' takes many passes itself"):
        convert("no such model.onnx", method="occlusion", wrap="tta")
