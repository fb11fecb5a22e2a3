"""Explain graphs in ONNX Runtime, on graphs whose answers can be seen in the picture."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from explain_graphs import DARK_IS_NAN, colours, sigmoid
from numpy.typing import NDArray
from onnx import ModelProto

from onnxcam.engine import Explainer


def explainer(model: ModelProto | None = None, **options: Any) -> Explainer:
    return Explainer((model or colours()).SerializeToString(), threads=1, **options)


def photo(height: int = 24, width: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Red above, green below, no blue: on average more green."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, :, 0] = 150
    image[height // 2 :, :, 1] = 250 - seed
    return image


def test_the_best_class_is_explained_unless_another_is_asked_for() -> None:
    found = explainer()(photo())
    assert (found.target_index, found.label, found.status, found.reason) == (1, "green", "ok", "")
    assert found.target_score == pytest.approx(125 / 255, abs=0.01)
    assert found.scores == pytest.approx([75 / 255, 125 / 255, 0], abs=0.01)
    assert (found.method, found.layer) == ("gradcam", "layer4")


def test_the_heatmap_lies_on_the_photos_own_pixels() -> None:
    found = explainer()(photo(), "red")
    assert found.heatmap.shape == (24, 16)
    assert found.map.shape == (8, 8)
    assert np.allclose(found.heatmap[:7], 150 / 255, atol=0.01)
    assert np.allclose(found.heatmap[17:], 0, atol=0.01)
    assert np.array_equal(found.image, photo())


TARGETS = [
    # target,       index, label
    (None, 1, "green"),
    (-1, 1, "green"),
    (-2, 0, "red, scarlet"),
    (2, 2, "blue, navy"),
    (np.int64(0), 0, "red, scarlet"),
    ("navy", 2, "blue, navy"),
    ("not:green", 4, "not:green"),
    ("not:0", 3, "not:red, scarlet"),
]


@pytest.mark.parametrize(("target", "index", "label"), TARGETS, ids=str)
def test_a_target_is_an_index_a_rank_a_label_or_its_opposite(target: Any, index: int, label: str) -> None:
    found = explainer()(photo(), target)
    assert (found.target_index, found.label) == (index, label)


def test_not_a_class_is_explained_by_minus_its_score() -> None:
    explain = explainer()
    assert explain(photo(), "not:green").target_score == -explain(photo(), "green").target_score


def test_a_sigmoid_net_has_two_sides() -> None:
    explain = explainer(sigmoid())
    dark, bright = np.full((5, 5), 10, np.uint8), np.full((5, 5), 250, np.uint8)
    assert [explain(image).target_index for image in (dark, bright)] == [1, 0]
    assert explain(bright, "not:0").target_score == -explain(bright, 0).target_score
    assert explain(dark).label == "not:0"
    assert explain(dark).layer == "a, b"


@pytest.mark.parametrize("batch", ["N", "1"])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_several_pictures_give_what_each_gives_alone(batch: str, batch_size: int) -> None:
    explain = explainer(colours(n=batch))
    images = [photo(24, 16, seed) for seed in range(5)]
    alone = [explain(image, target) for image, target in zip(images, [0, 1, 2, -1, "red"], strict=True)]
    together = explain(images, [0, 1, 2, -1, "red"], batch_size=batch_size)
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.heatmap, other.heatmap)
        assert (one.target_index, one.target_score) == (other.target_index, other.target_score)
        assert np.array_equal(one.scores, other.scores)


def runs(explain: Explainer, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, NDArray[Any]]]:
    """What is fed, run by run."""
    fed: list[dict[str, NDArray[Any]]] = []
    run = explain._graph.signature.run
    monkeypatch.setattr(
        explain._graph.signature, "run", lambda feed, outputs: (fed.append(feed), run(feed, outputs))[1]
    )
    return fed


def test_pictures_go_together_in_slices_where_the_batch_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    explain = explainer()
    fed = runs(explain, monkeypatch)
    explain(np.zeros((5, 9, 7, 3), np.uint8), batch_size=2)
    assert [len(feed["x"]) for feed in fed] == [2, 2, 1]


@pytest.mark.parametrize("model", [colours(n="1"), colours(batch="a Reshape holds it")])
def test_pictures_go_one_at_a_time_where_the_batch_is_fixed(model: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    explain = explainer(model)
    fed = runs(explain, monkeypatch)
    assert len(explain([photo()] * 3)) == 3
    assert [len(feed["x"]) for feed in fed] == [1, 1, 1]


def test_pictures_of_different_sizes_go_one_at_a_time_where_nothing_resizes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explain = explainer(colours(size=("H", "W"), preprocessing={"resize": "none"}))
    fed = runs(explain, monkeypatch)
    found = explain([photo(8, 9), photo(10, 4)])
    assert [feed["x"].shape for feed in fed] == [(1, 3, 8, 9), (1, 3, 10, 4)]
    assert [e.map.shape for e in found] == [(8, 9), (10, 4)]


def test_no_pictures_give_no_explanations() -> None:
    assert explainer()([]) == []


def test_a_multi_target_graph_gives_a_row_of_explanations_for_each_picture() -> None:
    single, multi = explainer(), explainer(colours(multi_target=True))
    rows = multi([photo(), photo(seed=9)], ["red", "not:green"])
    assert [[e.target_index for e in row] for row in rows] == [[0, 4], [0, 4]]
    for row, image in zip(rows, [photo(), photo(seed=9)], strict=True):
        for found, target in zip(row, ["red", "not:green"], strict=True):
            assert np.array_equal(found.heatmap, single(image, target).heatmap)
    assert [e.target_index for e in multi(photo(), [2, 0, -1])] == [2, 0, 1]
    assert multi(photo()).target_index == 1
    assert [[e.target_index for e in row] for row in multi([photo()] * 2, [[0], [1]])] == [[0], [1]]


def test_an_all_zero_map_is_said_with_a_reason() -> None:
    found = explainer()(photo(), "blue")
    assert found.status == "all-zero"
    assert "nothing in layer4 speaks for blue, navy" in found.reason
    assert "probability" not in found.reason
    assert "convert with the logit" in explainer(colours(score="probability"))(photo(), "blue").reason


def test_a_map_with_nan_is_said_with_a_reason_and_drawn_as_zero() -> None:
    found = explainer(colours(ending=DARK_IS_NAN))(photo(), "red")
    assert found.status == "not-finite"
    assert "32 of 64 values of the map are not finite" in found.reason
    assert np.isnan(found.map).any()
    assert np.isfinite(found.heatmap).all()
    assert (found.heatmap[20:] == 0).all()
    assert found.heatmap[:9].min() > 0.2
    assert found.overlay().array.shape == (24, 16, 3)


def test_an_explanation_without_labels_or_scores_says_so() -> None:
    found = explainer(colours(labels=None, scores=None))(photo())
    assert found.label is None
    assert found.name == "class 1"
    assert found.scores.shape == (0,)


def test_labels_and_preprocessing_given_take_the_place_of_the_graphs_own() -> None:
    explain = explainer(labels=["a", "b", "c"], preprocess={"channels": "BGR"})
    found = explain(photo())
    assert found.label == "b"
    assert found.scores == pytest.approx([0, 125 / 255, 75 / 255], abs=0.01)
    assert explain.preprocessing.size == (8, 8)


def test_an_overlay_has_the_photos_size_and_a_legend_below_it() -> None:
    found = explainer()(photo(100, 120), "red")
    assert found.overlay().array.shape == (100, 120, 3)
    dressed = found.overlay(0.3, "jet", contour=True, box=True, legend=True, blend="add").array
    assert dressed.shape[0] > 100
    assert dressed.shape[1] == 120


def test_a_raw_map_beyond_0_to_1_is_brought_there_for_the_overlay_only() -> None:
    found = explainer()(photo(), "red")
    raw = dataclasses.replace(found, heatmap=found.heatmap * 8 - 1)
    positive = np.maximum(raw.heatmap, 0)
    shown = dataclasses.replace(found, heatmap=positive / positive.max())
    assert np.array_equal(raw.overlay().array, shown.overlay().array)


def test_an_explanation_is_frozen_and_short_to_look_at() -> None:
    found = explainer()(photo())
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.status = "ok"  # type: ignore[misc]
    assert repr(found).startswith("Explanation('green', index 1, score 0.49")
    assert len(repr(found)) < 120


def test_run_takes_prepared_arrays_and_gives_the_outputs_asked_for() -> None:
    explain, batch = explainer(), np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32)
    found = explain.run(batch, [0, 4, -1])
    assert list(found) == ["scores", "heatmap", "target_index", "target_score"]
    assert np.allclose(found["scores"], batch.mean(axis=(2, 3)), atol=1e-6)
    assert np.array_equal(found["heatmap"][0], batch[0, 0])
    assert found["target_index"].tolist() == [0, 4, batch[2].mean(axis=(1, 2)).argmax()]
    assert list(explain.run(batch, outputs=["target_score"])) == ["target_score"]
    assert explain.run(batch, 2)["target_index"].tolist() == [2, 2, 2]


def test_a_bound_run_gives_what_a_plain_run_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    explain, batch = explainer(), np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32)
    plain = explain.run(batch, [0, 4, -1])
    monkeypatch.setattr(explain._graph.signature, "_is_bound", True)
    bound = explain.run(batch, [0, 4, -1])
    assert list(bound) == list(plain)
    assert all(np.array_equal(bound[name], plain[name]) for name in plain)


def test_threads_share_an_explainer() -> None:
    explain = explainer()
    images = [photo(24, 16, seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(explain, images))
    for image, found in zip(images, together, strict=True):
        assert np.array_equal(found.heatmap, explain(image).heatmap)


def test_other_inputs_are_given_by_name_with_a_row_for_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    explain = explainer(colours(extra=", float[N,2] sizes"))
    fed = runs(explain, monkeypatch)
    sizes = np.arange(6, dtype=np.float32).reshape(3, 2)
    explain([photo()] * 3, inputs={"sizes": sizes}, batch_size=2)
    assert np.array_equal(np.concatenate([feed["sizes"] for feed in fed]), sizes)
