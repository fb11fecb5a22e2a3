"""Every method of one pass on a small net of every kind: a map, or an error of ours that names another way."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from architecture_nets import NETS, interrupted, late_token, planes, two_inputs, windows
from numpy.typing import NDArray
from small_nets import CNN
from small_nets import net as small_net

import onnxcam
from onnxcam import errors
from onnxcam.api import explainer_of
from onnxcam.errors import OnnxCamError
from onnxcam.methods import METHODS

Array = NDArray[Any]
REFUSALS: dict[str, tuple[type[OnnxCamError], str]] = {
    # as the table has it, the error, and what it advises
    "head": (errors.NoLinearHead, "--method gradcam"),
    "places": (errors.NoSpatialLayer, "saliency"),
    "attention": (errors.NoAttention, "--method gradcam"),
    "rule": (errors.NoRelevanceRule, "input-x-gradient"),
    "layers": (errors.NeedsLayers, "--layer"),
    "detector": (errors.NoSuchScore, "--score"),
}
# What becomes of each method in each of NETS; a method without a line here fails.
TABLE = """
method                        cnn        vit        windows    mixer      last       two        dense
gradcam                       map        map        map        map        map        map        places
gradcam++                     map        map        map        map        map        map        places
xgradcam                      map        map        map        map        map        map        places
hirescam                      map        map        map        map        map        map        places
layercam                      map        map        map        map        map        map        places
gradcam-elementwise           map        map        map        map        map        map        places
cam                           map        head       map        map        map        map        places
ablationcam                   map        map        map        map        map        map        places
activation-mean               map        map        map        map        map        map        places
eigencam                      map        map        map        map        map        map        places
eigengradcam                  map        map        map        map        map        map        places
segeigencam                   map        map        map        map        map        map        places
kpca-cam                      map        map        map        map        map        map        places
shapleycam                    map        map        map        map        map        map        places
finercam                      map        map        map        map        map        map        places
detector-map                  detector   detector   detector   detector   detector   detector   detector
fullgrad                      map        map        map        map        map        map        map
saliency                      map        map        map        map        map        map        map
input-x-gradient              map        map        map        map        map        map        map
guided-backprop               map        map        map        map        map        map        map
deconvnet                     map        map        map        map        map        map        map
guided-gradcam                map        map        map        map        map        map        places
legrad                        attention  map        attention  attention  attention  attention  attention
reciprocam                    map        map        map        map        map        map        places
refinecam                     map        layers     layers     layers     map        map        places
lrp                           map        map        map        map        map        map        map
lrp-epsilon                   map        rule       rule       map        map        map        map
lrp-gamma                     map        rule       rule       map        map        map        map
lrp-epsilon-plus              map        rule       rule       map        map        map        map
lrp-epsilon-plus-flat         map        rule       rule       map        map        map        flat
lrp-epsilon-alpha2beta1       map        rule       rule       map        map        map        map
lrp-epsilon-alpha2beta1-flat  map        rule       rule       map        map        map        flat
lrp-epsilon-gamma-box         map        rule       rule       map        map        map        map
lrp-attention                 map        map        map        map        map        map        map
deeplift                      map        map        map        map        map        map        map
deeplift-shap                 map        map        map        map        map        map        map
rollout                       attention  map        attention  attention  attention  attention  attention
gradient-rollout              attention  map        attention  attention  attention  attention  attention
fem                           map        map        map        map        map        map        places
randomcam                     map        map        map        map        map        map        places
"""
LINES = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()[1:]}
ONE_PASS = [name for name, row in METHODS.items() if row.driver is None]
CELLS = [(method, net, cell) for method, cells in LINES.items() for net, cell in zip(NETS, cells, strict=True)]


@cache
def made(net: str) -> onnx.ModelProto:
    return NETS[net]()


def pictures(net: str, count: int = 2) -> Array:
    shape = (16, 16, 3) if net == "channels last" else (3, 16, 16)
    return np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)


def test_every_method_of_one_pass_has_a_line():
    assert list(LINES) == ONE_PASS


@pytest.mark.parametrize(("method", "net", "cell"), CELLS)
def test_a_method_gives_a_map_or_names_another_way(method: str, net: str, cell: str):
    if cell in REFUSALS:
        kind, advice = REFUSALS[cell]
        with pytest.raises(kind, match=advice):
            onnxcam.convert(made(net), method=method)
        return
    found = explainer_of(onnxcam.convert(made(net), method=method, outputs=["raw_map"])).run(pictures(net))
    assert np.isfinite(found["heatmap"]).all()
    assert found["heatmap"].shape == (2, 16, 16)
    assert all(np.ptp(raw) > 1e-6 for raw in found["raw_map"]) == (cell == "map")


SEVERAL = [
    ("vit", "gradcam"), ("vit", "legrad"), ("vit", "gradient-rollout"), ("vit", "lrp-attention"), ("mixer", "finercam"),
    ("channels last", "refinecam"), ("two inputs", "fullgrad"), ("windows", "reciprocam"), ("windows", "ablationcam"),
]  # fmt: skip


@pytest.mark.parametrize(("net", "method"), SEVERAL)
def test_two_targets_at_once_are_as_one_after_the_other(net: str, method: str):
    together = explainer_of(onnxcam.convert(made(net), method=method, multi_target=True))
    single = explainer_of(onnxcam.convert(made(net), method=method))
    x = pictures(net)
    found = together.run(x, [[1, 3], [1, 3]])["heatmap"]
    for at, target in enumerate((1, 3)):
        np.testing.assert_allclose(found[:, at], single.run(x, [target] * 2)["heatmap"], atol=1e-5)


def test_masks_of_windows_are_repeated_picture_by_picture():
    """Each picture's four windows have masks of their own, which nothing but the number of pictures goes into."""
    layer = "patches"
    model, x = windows(), pictures("windows", 3)
    together = explainer_of(onnxcam.convert(model, layer=layer, outputs=["gradient"], multi_target=True))
    single = explainer_of(onnxcam.convert(model, layer=layer, outputs=["gradient"]))
    found = together.run(x, [[0, 4]] * 3)["gradient"].reshape(3, 2, 8, 4, 4)
    for at, target in enumerate((0, 4)):
        np.testing.assert_allclose(found[:, at], single.run(x, [target] * 3)["gradient"], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", ["legrad", "rollout", "gradient-rollout"])
def test_attention_is_not_followed_over_a_gap(method: str):
    """The maps before and behind windows are of one size, but no product of them says what was looked at."""
    with pytest.raises(errors.NoAttention, match="attention 'a2' joins only some"):
        onnxcam.convert(interrupted(), method=method)


@pytest.mark.parametrize("method", ["legrad", "rollout", "gradient-rollout"])
def test_attention_is_not_followed_over_a_class_token_that_comes_late(method: str):
    with pytest.raises(errors.NoAttention, match="class tokens only in some blocks"):
        onnxcam.convert(late_token(), method=method)


@pytest.mark.parametrize("lowest", ["-inf", "-3.4028235e38"])
def test_an_edge_below_everything_is_no_layer(lowest: str):
    """It is there for a maximum to pass over; a map of it would not be finite."""
    ends = f"lowest = Constant<value_float={lowest}>()  sides = Constant<value_ints=[0,0,1,1,0,0,1,1]>()"
    start = CNN.replace("(r1)", "(edged)").replace("p1 =", f"{ends}  edged = Pad(r1, sides, lowest)  p1 =")
    names = [layer.name for layer in onnxcam.layers(small_net(start + "y = Gemm(flat, w3, b3)"))]
    assert "r1" in names
    assert "edged" not in names


@pytest.mark.parametrize("like", [None, "torchcam"])
def test_legrad_takes_blocks_that_keep_rows_and_columns(like: str | None):
    graph = onnxcam.convert(planes(), method="legrad", like=like, outputs=["raw_map"])
    found = explainer_of(graph).run(pictures("cnn"), [1, 1])["raw_map"]
    assert found.shape == (2, 4, 4)
    assert all(np.ptp(raw) > 1e-6 for raw in found)


def test_pictures_together_are_as_one_by_one():
    explainer = explainer_of(onnxcam.convert(windows(), layer="patches"))
    x = pictures("windows", 3)
    alone = np.concatenate([explainer.run(x[at : at + 1], [2])["heatmap"] for at in range(3)])
    np.testing.assert_allclose(explainer.run(x, [2] * 3)["heatmap"], alone, atol=1e-5)


def test_relevance_passes_a_mask_that_another_input_gives():
    """The mask is no part of the picture: all relevance goes to what it is multiplied with."""
    plain, masked = made("cnn"), two_inputs()
    x = pictures("cnn")
    found = [
        explainer_of(onnxcam.convert(model, method="lrp-epsilon", outputs=["attribution"])).run(x, [0, 0])
        for model in (plain, masked)
    ]
    np.testing.assert_allclose(found[0]["attribution"], found[1]["attribution"], rtol=1e-5, atol=1e-7)


def test_a_product_of_the_layer_with_itself_is_no_linear_head():
    model = made("cnn")
    text = onnx.printer.to_text(model)
    squared = onnx.parser.parse_model(
        text.replace("gap = GlobalAveragePool (r2)", "sq = Mul (r2, r2) gap = GlobalAveragePool (sq)")
    )
    assert [node.op_type for node in squared.graph.node].count("Mul") == 1
    with pytest.raises(errors.NoLinearHead, match="Mul"):
        onnxcam.convert(squared, method="cam", layer="r2")
