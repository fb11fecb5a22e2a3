"""Many passes on explain graphs: which driver runs, on which target, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from explain_graphs import colours
from numpy.typing import NDArray

from onnxcam import Explainer
from onnxcam.asking import Aim
from onnxcam.drivers import Probe
from onnxcam.driving import Plan, drive, planned
from onnxcam.errors import (
    GraphLacksOutput,
    InvalidOption,
    InvalidTarget,
    NoDriver,
    OnlyPictures,
    OptionsFixed,
    UnknownChoice,
    UnknownOption,
)
from onnxcam.normalizing import normalize

RED, GREEN, BLUE = range(3)


def half_red() -> NDArray[np.uint8]:
    """Red on the left, a weaker blue on the right."""
    photo = np.zeros((8, 8, 3), np.uint8)
    photo[:, :4, 0], photo[:, 4:, 2] = 255, 200
    return photo


def explainer(**given: Any) -> Explainer:
    return Explainer(colours(**given).SerializeToString())


@pytest.mark.parametrize(("target", "side"), [("red", slice(0, 4)), ("blue", slice(4, 8))])
def test_any_graph_can_be_asked_by_a_method_that_needs_nothing_but_the_score(target: str, side: slice):
    found = explainer()(half_red(), target, driver="occlusion", options={"window": 2, "fill": "zero"})
    assert found.method == "occlusion"
    assert found.layer == "x"
    assert found.heatmap[:, side].mean() > 0.9
    assert found.report["passes"] == 49 + 1


def test_a_rank_is_made_a_class_once_for_all_passes():
    """Hide the red half and blue is the best class: the map must stay that of red."""
    by_rank = explainer()(half_red(), driver="occlusion", options={"window": 4, "stride": 4, "fill": "zero"})
    by_name = explainer()(half_red(), "red", driver="occlusion", options={"window": 4, "stride": 4, "fill": "zero"})
    assert by_rank.target_index == RED
    np.testing.assert_array_equal(by_rank.map, by_name.map)
    assert by_rank.target_score == pytest.approx(0.5)


def test_the_other_side_is_a_target_of_many_passes_too():
    found = explainer()(half_red(), "not:blue", driver="occlusion", options={"window": 2, "fill": "grey"})
    assert found.label == "not:blue, navy"
    assert found.heatmap[:, :3].mean() > 0.9  # where there is no blue, grey brings some
    assert found.heatmap[:, 5:].max() < 0.1


def test_the_method_that_the_graph_names_runs_with_the_options_that_it_names():
    named = {"name": "rise", "options": {"masks": 12, "seed": 5}}
    own = explainer(driver=named)(half_red(), "red")
    asked = explainer()(half_red(), "red", driver="rise", options={"masks": 12, "seed": 5})
    assert own.report["passes"] == 12
    np.testing.assert_array_equal(own.map, asked.map)


def test_options_of_a_call_go_before_those_of_the_graph():
    named = {"name": "rise", "options": {"masks": 12, "seed": 5}}
    found = explainer(driver=named)(half_red(), "red", options={"masks": 20})
    assert found.report["passes"] == 20


@pytest.mark.parametrize("given", [{"n": "1"}, {"batch": "a reason"}])
def test_a_graph_with_a_fixed_batch_runs_one_by_one(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    explain = explainer(**given)
    sizes = batches(explain, monkeypatch)
    explain(half_red(), "red", driver="rise", options={"masks": 5})
    assert sizes == [1] * 6


def batches(explain: Explainer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures go into each run."""
    signature, sizes = explain._graph.signature, []
    plain = signature.run
    monkeypatch.setattr(signature, "run", lambda feed, outputs: (sizes.append(len(feed["x"])), plain(feed, outputs))[1])
    return sizes


def test_batches_are_as_large_as_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    explain = explainer()
    sizes = batches(explain, monkeypatch)
    explain(half_red(), "red", driver="rise", options={"masks": 10}, batch_size=4)
    assert sizes == [1, 4, 4, 2]


def test_the_map_is_normalised_by_the_graphs_convention():
    for convention in ("pytorch-grad-cam", "keras", "captum"):
        explain = explainer(normalize=convention)
        x = np.moveaxis(half_red(), 2, 0).astype(np.float32) / 255
        driven = explain.drive(x, BLUE, driver="occlusion", options={"window": 2})
        np.testing.assert_allclose(driven.heatmap, normalize([driven.raw], (8, 8), convention))
        found = explain(half_red(), BLUE, driver="occlusion", options={"window": 2})
        np.testing.assert_allclose(found.map, driven.heatmap, atol=1e-6)


def test_several_pictures_have_each_their_own_target():
    photos, targets = [half_red(), half_red()[:, ::-1].copy()], ["red", "blue"]
    found = explainer()(photos, targets, driver="occlusion", options={"window": 2, "fill": "zero"})
    assert [each.target_index for each in found] == [RED, BLUE]
    assert found[0].heatmap[:, :4].mean() > 0.9
    assert found[1].heatmap[:, :4].mean() > 0.9


def test_a_multi_target_graph_is_driven_for_each_target():
    explain = explainer(multi_target=True)
    red, blue = explain(half_red(), ["red", -2], driver="occlusion", options={"window": 2, "fill": "zero"})
    assert (red.target_index, blue.target_index) == (RED, BLUE)
    assert red.heatmap[:, :4].mean() > 0.9
    assert blue.heatmap[:, 4:].mean() > 0.9


def test_other_inputs_are_repeated_for_every_pass():
    ending = """
    maps_scaled = Mul (maps, strength)
    heatmap = Squeeze (maps_scaled, second)
    target_index = Squeeze (index, second)
    flat = Squeeze (signed, second)
    own_strength = Squeeze (strength, tail)
    target_score = Mul (flat, own_strength)
    tail = Constant <value_ints = [1, 2, 3]> ()
    """
    lines = [line for line in ending.strip().splitlines() if line.strip()]
    ending = "\n".join([lines[-1], *lines[:-1]])
    explain = explainer(ending=ending, extra=", float[N,1,1,1] strength")
    options = {"window": 4, "stride": 4, "fill": "zero"}
    once, thrice = (
        explain(half_red(), "red", inputs={"strength": [[[[k]]]]}, driver="occlusion", options=options, batch_size=3)
        for k in (np.float32(1), np.float32(3))
    )
    assert thrice.target_score == pytest.approx(3 * once.target_score)
    np.testing.assert_allclose(thrice.map, once.map, atol=1e-6)


def test_a_graph_that_takes_bytes_gets_whole_levels():
    explain = explainer()
    explain._graph.signature._dtype = "uint8"
    found = explain._graph.signature.pixels(np.array([[-3.0, 1.4, 1.6, 300.0]], np.float32))
    np.testing.assert_array_equal(found, np.array([[0, 1, 2, 255]], np.uint8))


def test_the_probe_knows_the_models_black_and_white(monkeypatch: pytest.MonkeyPatch):
    seen: list[Probe] = []
    keep(monkeypatch, seen)
    explainer(preprocessing={"preset": "torchvision", "size": [8, 8]})(
        half_red(), 0, driver="rise", options={"masks": 1}
    )
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen[0].black, -mean / std, rtol=1e-5)
    np.testing.assert_allclose(seen[0].white, (1 - mean) / std, rtol=1e-5)


def keep(monkeypatch: pytest.MonkeyPatch, seen: list[Probe], stop_after: int | None = None) -> None:
    """Keeps the probes that are made, and stops them with KeyboardInterrupt after so many batches."""
    made = Probe.__init__

    def init(self: Probe, x: Any, ask: Callable[..., Any], **given: Any) -> None:
        calls: list[int] = []

        def stopping(batch: Any, wanted: Any) -> Any:
            calls.append(len(batch))
            if stop_after is not None and len(calls) > stop_after:
                raise KeyboardInterrupt
            return ask(batch, wanted)

        made(self, x, stopping, **given)
        seen.append(self)

    monkeypatch.setattr(Probe, "__init__", init)


def test_an_interrupted_run_gives_what_it_has_and_says_so(monkeypatch: pytest.MonkeyPatch):
    keep(monkeypatch, [], stop_after=3)
    found = explainer()([half_red()] * 3, "red", driver="rise", options={"masks": 100}, batch_size=4)
    assert [each.status for each in found] == ["interrupted"]
    assert found[0].reason == "stopped after 12 passes: the map is what was known by then."
    assert found[0].heatmap.any()


def test_an_interruption_with_nothing_to_keep_is_passed_on(monkeypatch: pytest.MonkeyPatch):
    keep(monkeypatch, [], stop_after=0)
    with pytest.raises(KeyboardInterrupt):
        explainer()(half_red(), "red", driver="rise")


def test_a_map_of_zero_is_said_without_talk_of_gradients():
    found = explainer()(half_red(), "green", driver="occlusion", options={"window": 2, "fill": "zero"})
    assert found.status == "all-zero"
    assert "gradient" not in found.reason


def test_progress_is_handed_on():
    told: list[tuple[int, int]] = []
    explain = explainer()
    explain(
        half_red(), "red", driver="rise", options={"masks": 9}, progress=lambda done, whole: told.append((done, whole))
    )
    assert told == [(0, 9), (8, 9), (9, 9)]


@pytest.mark.parametrize(
    ("name", "call", "error", "said"),
    [
        ("no such driver", {"driver": "rize"}, UnknownChoice, "Did you mean 'rise'"),
        ("no activation", {"driver": "scorecam"}, GraphLacksOutput, "asks the graph for 'activation'"),
        ("no gradient", {"driver": "smoothgrad"}, GraphLacksOutput, "onnxcam convert MODEL --method smoothgrad"),
        ("no such option", {"driver": "rise", "options": {"mask": 3}}, UnknownOption, "Did you mean 'masks'"),
        ("bad option", {"driver": "rise", "options": {"masks": 0}}, InvalidOption, "must be 1 or more"),
        ("options of one pass", {"options": {"masks": 3}}, OptionsFixed, "masks cannot be set any more: gradcam"),
        ("no such target", {"driver": "rise", "target": 0.5}, InvalidTarget, "no target"),
    ],
)
def test_a_bad_call_is_an_error_that_says_what_is_wrong(name: str, call: dict[str, Any], error: type, said: str):
    with pytest.raises(error, match=said):
        explainer()(half_red(), **call)


def test_there_is_nothing_to_drive_without_a_driver():
    with pytest.raises(NoDriver, match="driver='rise'"):
        explainer().drive(np.zeros((3, 8, 8), np.float32))


def test_signals_and_volumes_are_refused():
    with pytest.raises(OnlyPictures, match=r"changes pictures, .* of shape \(3, 8\)"):
        drive(planned_rise(), explainer()._graph, Aim(0, {}), x=np.zeros((3, 8), np.float32))


def planned_rise() -> Plan:
    plan = planned(explainer()._graph, "rise", options={}, batch_size=8, progress=None)
    assert plan is not None
    return plan


def test_options_are_refused_before_the_picture_is_read():
    with pytest.raises(UnknownOption):
        explainer()("no such picture.png", driver="rise", options={"mask": 3})
