"""The sample segmentation net: where the relevance of what it sees lies."""

from __future__ import annotations

from functools import cache
from statistics import median

import pytest
import samples

import onnxcam
from onnxcam.images import read
from onnxcam.jobs import SUFFIXES
from onnxcam.preprocessing import prepare

pytestmark = samples.needs_samples
CAT, DOG, PERSON, TRAIN = 8, 12, 15, 19


@cache
def net() -> onnxcam.Explainer:
    graph = onnxcam.convert(samples.model_path("deeplab_v3_mnv2_voc"), preprocess="tf")
    return onnxcam.Explainer(graph.to_bytes(), threads=1)


@pytest.mark.parametrize(("photo", "index"), [("both.png", DOG), ("chelsea.png", CAT), ("astronaut.png", PERSON)])
def test_most_of_a_class_lies_where_the_net_sees_it(photo: str, index: int):
    x, _ = prepare(read(samples.IMAGES / photo), net().preprocessing)
    found = net().run(x[None], index)
    heatmap, seen = found["heatmap"][0], found[str(net().metadata.scores)][0].argmax(axis=-1) == index
    assert seen.mean() > 0.1
    assert heatmap[seen].sum() / heatmap.sum() > 0.9
    assert seen.mean() < 0.8  # so that a map without any shape would have less


def test_what_is_small_lies_where_the_net_sees_it_too():
    """Classes of a twentieth of the picture and less are a few places of the layer's grid, which is 33 x 33."""
    shares = []
    for photo in sorted(path for path in samples.IMAGES.iterdir() if path.suffix in SUFFIXES):
        x, _ = prepare(read(photo), net().preprocessing)
        best = net().run(x[None])[str(net().metadata.scores)][0].argmax(axis=-1)
        for index in range(1, 21):
            seen = best == index
            if 0.005 <= seen.mean() < 0.1:
                heatmap = net().run(x[None], index)["heatmap"][0]
                shares.append(heatmap[seen].sum() / heatmap.sum())
    assert len(shares) >= 10
    assert min(shares) > 0.5
    assert median(shares) > 0.65


def test_a_class_that_is_nowhere_is_explained_by_a_region():
    found = net()(str(samples.IMAGES / "chelsea.png"), TRAIN)
    assert found.status == "all-zero"
    assert "nowhere" in found.reason
    assert "--region" in found.reason
