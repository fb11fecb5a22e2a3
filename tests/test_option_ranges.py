"""Options out of their range are refused when a model is converted, by name, with the value and what is allowed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from small_nets import cnn, pictures, run

from onnxcam import convert
from onnxcam.errors import InvalidOption, NoSuchBaseline
from onnxcam.preprocessing import PRESETS

BAD = [
    ("randomcam", {"seed": -1}, "seed of the method 'randomcam' is -1, but must be 0 or more."),
    ("finercam", {"references": -2}, "references of the method 'finercam' is -2, but must be 1 or more."),
    ("finercam", {"references": "0"}, "references of the method 'finercam' is 0, but must be 1 or more."),
    ("fem", {"k": -1}, "k of the method 'fem' is -1.0, but must be 0 or more."),
    ("kpca-cam", {"gamma": 0}, "gamma of the method 'kpca-cam' is 0.0, but must be more than 0."),
    ("lrp-gamma", {"gamma": -1}, "gamma of the method 'lrp-gamma' is -1.0, but must be 0 or more."),
    ("lrp-epsilon", {"epsilon": 0}, "epsilon of the method 'lrp-epsilon' is 0.0, but must be more than 0."),
    ("rise", {"masks": 0}, "masks of the method 'rise' is 0, but must be 1 or more."),
    ("rise", {"probability": 1}, "probability of the method 'rise' is 1.0, but must be more than 0 and below 1."),
    ("occlusion", {"window": 0}, "window of the method 'occlusion' is 0, but must be 1 or more."),
    ("integrated-gradients", {"steps": 0}, "steps of the method 'integrated-gradients' is 0, but must be 1 or more."),
    (
        "integrated-gradients",
        {"baselines": ()},
        "baselines of the method 'integrated-gradients' is (), but must",
    ),
    ("vargrad", {"samples": 1}, "samples of the method 'vargrad' is 1, but must be 2 or more."),
    ("sobol", {"designs": 12}, "designs of the method 'sobol' is 12, but must be a power of 2, from 2."),
]
BOX = "lrp-epsilon-gamma-box"
BOXES: list[tuple[dict[str, Any], str]] = [
    (
        {"low": "0,0"},
        "low of the method 'lrp-epsilon-gamma-box' is (0.0, 0.0), but must be a number, or one for",
    ),
    (
        {"high": (1, 1, 1, 1)},
        "is (1.0, 1.0, 1.0, 1.0), but must be a number, or one for each of the 3 channels.",
    ),
    ({"low": 1, "high": 0}, "low of the method 'lrp-epsilon-gamma-box' is (1.0,), but must be at most high, (0.0,)."),
    ({"low": "0,0,2", "high": 1}, "is (0.0, 0.0, 2.0), but must be at most high, (1.0,)."),
]


@pytest.mark.parametrize(("method", "options", "said"), BAD, ids=[f"{m} {next(iter(o))}" for m, o, _ in BAD])
def test_a_value_out_of_range_is_refused_at_conversion(method: str, options: dict[str, Any], said: str):
    with pytest.raises(InvalidOption, match=re.escape(said)):
        convert(cnn(), method=method, options=options)


@pytest.mark.parametrize(("options", "said"), BOXES)
def test_bounds_that_no_pixel_lies_between_are_refused(options: dict[str, Any], said: str):
    with pytest.raises(InvalidOption, match=re.escape(said)):
        convert(cnn(), method=BOX, options=options)


def test_a_bound_below_which_the_models_own_ends_lie_is_refused():
    with pytest.raises(InvalidOption, match="must be at most high"):
        convert(cnn(), method=BOX, options={"low": 300}, preprocess=next(iter(PRESETS)))


@pytest.mark.parametrize("bound", [0, -1.5, "-1.5", (-1.5,)])
def test_one_number_stands_for_all_channels(bound: Any):
    one, each = (
        run(convert(cnn(), method=BOX, options={"low": low, "high": 3}, outputs=["raw_map"]).model, feeds())["raw_map"]
        for low in (bound, [float(np.ravel(np.asarray(bound, np.float32))[0])] * 3)
    )
    assert one.any()
    np.testing.assert_allclose(one, each, rtol=1e-4, atol=1e-6 * np.abs(one).max())


def feeds() -> dict[str, Any]:
    return {"x": pictures(1), "target": np.array([1])}


def test_a_name_that_is_no_baseline_is_refused_at_conversion():
    with pytest.raises(NoSuchBaseline, match=r"'balck'.*Did you mean 'black'"):
        convert(cnn(), method="integrated-gradients", options={"baselines": "balck"})


@pytest.mark.parametrize("name", ["black", "noise,black", "zeros.npy", "pictures/of/streets"])
def test_a_baseline_may_be_a_blank_or_a_file_that_is_there_only_later(name: str):
    graph = convert(cnn(), method="integrated-gradients", options={"baselines": name})
    assert graph.metadata.driver is not None
    assert list(graph.metadata.driver["options"]["baselines"]) == name.split(",")
