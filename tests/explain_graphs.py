"""Explain graphs small enough to check by hand: a class's score is a colour's mean, its heatmap that colour's plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper, parser

from onnxcam.metadata import Metadata

LABELS = ("red, scarlet", "green", "blue, navy")

# Classes are the channels. index: t, or the class of rank -t; t in [3, 6) is the other side of t - 3.
TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
colours (float[{n},3,{h},{w}] x{extra}, int64[{t}] target)
    => (float[{n},3] scores, float[{m},{h},{w}] heatmap, int64[{m}] target_index, float[{m}] target_score)
<int64 three = {{3}}, int64[1] threes = {{3}}, float zero = {{0.0}}, int64 none = {{0}}, int64 one = {{1}},
 int64[2] space = {{2, 3}}, float[2] off_on = {{0.0, 1.0}}, int64[1] last = {{-1}}, int64[1] second = {{1}},
 float minus = {{-1.0}}, float plus = {{1.0}}, int64[1] targets = {{-1}}>
{{
    scores = ReduceMean <keepdims=0> (x, space)
    _, order = TopK (scores, threes)
    batch = Shape <start=0, end=1> (x)
    t_shape = Concat <axis=0> (batch, last)
    t = Reshape (target, t_shape)
    negative = Neg (t)
    rank = Sub (negative, one)
    slot = Max (rank, none)
    ranked = GatherElements <axis=1> (order, slot)
    is_rank = Less (t, none)
    index = Where (is_rank, ranked, t)
    plain = Mod (index, three)
    hot = OneHot (plain, three, off_on)
    is_other = GreaterOrEqual (index, three)
    sign = Where (is_other, minus, plus)
    maps = Einsum <equation="nkc,nchw->nkhw"> (hot, x)
    own = Einsum <equation="nkc,nc->nk"> (hot, scores)
    signed = Mul (own, sign)
    {ending}
}}
"""
SINGLE = """
    heatmap = Squeeze (maps, second)
    target_index = Squeeze (index, second)
    target_score = Squeeze (signed, second)
"""
DARK_IS_NAN = """
    flat = Squeeze (maps, second)
    half = Constant <value = float {0.5}> ()
    shifted = Sub (flat, half)
    heatmap = Sqrt (shifted)
    target_index = Squeeze (index, second)
    target_score = Squeeze (signed, second)
"""
MULTI = """
    heatmap = Identity (maps)
    target_index = Identity (index)
    target_score = Identity (signed)
"""


def colours(
    *,
    n: str = "N",
    size: tuple[int | str, int | str] = (8, 8),
    multi_target: bool = False,
    ending: str = SINGLE,
    extra: str = "",
    **given: Any,
) -> ModelProto:
    """An explain graph whose picture is `x`, (N, 3, H, W); `given` goes into the metadata."""
    rows = f"{n},K" if multi_target else n
    text = TEXT.format(n=n, h=size[0], w=size[1], t=rows, m=rows, ending=MULTI if multi_target else ending, extra=extra)
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(np.full((1, 1) if multi_target else 1, -1), "target"))
    facts: dict[str, Any] = {
        "labels": LABELS,
        "preprocessing": {"preset": "unit"},
        "classes": 3,
        "scores": "scores",
        "score": "logit",
    }
    described = Metadata(method="gradcam", layers=("layer4",), input="x", multi_target=multi_target, **(facts | given))
    model.metadata_props.add(key="onnxcam", value=described.to_json())
    onnx.checker.check_model(model, full_check=True)
    return model


def sigmoid() -> ModelProto:
    """A net with one output: "yes" where the picture is bright, "no" (index 1) where it is dark."""
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    bright (float[N,1,4,4] x, int64[N] target)
        => (float[N,1] scores, float[N,4,4] heatmap, int64[N] target_index, float[N] target_score)
    <int64[1] ones = {1}, float half = {0.5}, int64[3] axes = {1, 2, 3}, int64 one = {1}, int64 none = {0}>
    {
        mean = ReduceMean <keepdims=0> (x, axes)
        yes = Sub (mean, half)
        scores = Unsqueeze (yes, ones)
        no = Neg (yes)
        best = Less (yes, no)
        best_side = Cast <to=7> (best)
        is_rank = Less (target, none)
        target_index = Where (is_rank, best_side, target)
        is_no = Equal (target_index, one)
        target_score = Where (is_no, no, yes)
        heatmap = Squeeze (x, ones)
    }
    """
    model = parser.parse_model(text)
    described = Metadata(
        method="gradcam", layers=("a", "b"), score="logit", input="x", classes=1, sides=True, scores="scores"
    )
    model.metadata_props.add(key="onnxcam", value=described.to_json())
    return model
