"""Whole evaluations, from Python and by the command: what is measured, written, skipped and kept."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from command_line import colour_graph, photo, saved
from explain_graphs import DARK_IS_NAN, colours
from small_nets import cnn, run
from typer.testing import CliRunner

from onnxcam import console
from onnxcam.appraisal import evaluate, gathered
from onnxcam.assessment import FREE_METHOD, Assessment
from onnxcam.commands.evaluate import evaluate as evaluate_command
from onnxcam.commands.evaluate import metrics as metrics_command
from onnxcam.engine import Explainer
from onnxcam.errors import (
    BuildOptionsUnused,
    ImageNotFound,
    MetricNeedsBoxes,
    NoLinearHead,
    OnnxCamError,
    UnknownChoice,
)
from onnxcam.evaluation import METRICS, running
from onnxcam.evaluation.probability import of_class
from onnxcam.evaluation.subject import Subject
from onnxcam.evaluation.things import Thing
from onnxcam.targets import Classes

RUN = {"threads": 1}
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate_command)


def explainer(**options: Any) -> Explainer:
    return Explainer(colours(**options).SerializeToString(), threads=1)


def left_red(path: Path) -> Path:
    """Blue, and on the left half red: the map of red, the best class, lies on the left."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4], pixels[:, 4:] = (0, 0, 250), (200, 0, 0)
    assert cv2.imwrite(str(path), pixels)
    return path


def boxes_file(folder: Path) -> Path:
    things = [{"label": "red", "box": [0, 0, 4, 8]}, {"label": "navy", "box": [0, 0, 4, 8]}]
    path = folder / "boxes.json"
    path.write_text(json.dumps({"a.png": {"objects": things}}))
    return path


def command(*args: object) -> Any:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_deletion_of_the_mean_of_a_colour_is_the_area_under_a_falling_line(tmp_path: Path):
    picture = left_red(tmp_path / "a.png")
    found = evaluate(explainer(), picture, metrics=["deletion"], options={"deletion": {"steps": 4}})
    share = 250 / 255 / 2  # red's mean; the model's numbers are scores, and softmax makes probabilities of them
    blue = 200 / 255 / 2
    # After a quarter half of the red pixels are gone, after two quarters all, then the blue ones go.
    reds, blues = np.array([1, 0.5, 0, 0, 0]) * share, np.array([1, 1, 1, 0.5, 0]) * blue
    expected = np.exp(reds) / (np.exp(reds) + 1 + np.exp(blues))
    np.testing.assert_allclose(found.rows[0].curves["deletion"].scores, expected, rtol=1e-5)


def test_without_a_target_each_thing_is_explained_by_the_class_that_means_it(tmp_path: Path):
    left_red(tmp_path / "a.png")
    found = evaluate(explainer(), tmp_path, boxes=boxes_file(tmp_path), metrics=["pointing-game", "relevance-mass"])
    assert [(row.label, row.values["relevance-mass"]) for row in found.rows] == [("red, scarlet", 1), ("blue, navy", 0)]


def test_with_a_target_the_things_that_it_means_count(tmp_path: Path):
    left_red(tmp_path / "a.png")
    found = evaluate(explainer(), tmp_path, boxes=boxes_file(tmp_path), metrics=["relevance-mass"], target="red")
    assert [row.values["relevance-mass"] for row in found.rows] == [1]


def test_a_picture_without_boxes_has_no_localisation(tmp_path: Path):
    left_red(tmp_path / "a.png")
    left_red(tmp_path / "b.png")
    found = evaluate(explainer(), tmp_path, boxes=boxes_file(tmp_path), metrics=["pointing-game", "sparseness"])
    (pointing, sparse) = found.summary
    assert (pointing.count, pointing.missing, sparse.count) == (2, 1, 3)


def test_boxes_may_be_arrays_or_masks_that_any_target_means(tmp_path: Path):
    picture = cv2.imread(str(left_red(tmp_path / "a.png")))[..., ::-1]
    left = np.zeros((8, 8), bool)
    left[:, :4] = True
    found = evaluate(explainer(), [picture, picture], boxes=[[[4, 0, 8, 8]], left], metrics=["relevance-mass"])
    assert [row.values["relevance-mass"] for row in found.rows] == [0, 1]
    assert [row.image for row in found.rows] == ["image 0", "image 1"]


def test_a_map_that_is_all_zero_has_no_measure_and_misses(tmp_path: Path):
    left_red(tmp_path / "a.png")
    found = evaluate(
        explainer(), tmp_path, boxes=[np.ones((8, 8), bool)], target="green", metrics=["deletion", "pointing-game"]
    )
    assert found.rows[0].status == "all-zero"
    assert [(mean.metric, mean.count) for mean in found.summary] == [("deletion", 0), ("pointing-game", 1)]
    assert found.rows[0].values["pointing-game"] == 0


def test_means_come_with_their_standard_error(tmp_path: Path):
    pictures = [np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8) for seed in range(4)]
    found = evaluate(explainer(), pictures, metrics=["complexity"])
    values = [row.values["complexity"] for row in found.rows]
    (mean,) = found.summary
    assert mean.mean == pytest.approx(np.mean(values))
    assert mean.error == pytest.approx(np.std(values, ddof=1) / 2)


def test_methods_and_layers_are_compared_each_with_each():
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = evaluate(
        cnn(), [picture], methods=["gradcam", "layercam"], layers=["r1", "r2"], metrics=["sparseness"], run=RUN
    )
    assert list(found.groups()) == [("gradcam", "r1"), ("gradcam", "r2"), ("layercam", "r1"), ("layercam", "r2")]


def test_probabilities_are_the_softmax_of_the_models_scores():
    model = cnn()
    subject = Subject(built(model))
    x = np.random.default_rng(1).normal(size=(3, 3, 16, 16)).astype(np.float32)
    scores = run(model, {"x": x})["y"].astype(np.float64)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(subject.probabilities(x, 3), expected[:, 3], rtol=1e-5)
    np.testing.assert_allclose(subject.values(x, 3), scores[:, 3], rtol=1e-5)


def test_probabilities_of_a_model_that_ends_in_softmax_are_its_own():
    model = cnn("z = Gemm(flat, w3, b3)\n y = Softmax(z)")
    x = np.random.default_rng(1).normal(size=(3, 3, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(Subject(built(model)).probabilities(x, 2), run(model, {"x": x})["y"][:, 2], rtol=1e-5)


@pytest.mark.parametrize(("target", "side"), [(0, 1), (1, -1)])
def test_both_sides_of_a_sigmoid_are_probabilities(target: int, side: int):
    model = cnn("z = Gemm(flat, w4, b4)\n y = Sigmoid(z)", y="float[N,1] y")
    x = np.random.default_rng(1).normal(size=(3, 3, 16, 16)).astype(np.float32)
    yes = run(model, {"x": x})["y"][:, 0]
    expected = yes if side > 0 else 1 - yes
    np.testing.assert_allclose(Subject(built(model)).probabilities(x, target), expected, rtol=1e-4)


def test_a_score_without_classes_is_taken_as_it_is():
    found = {"target_score": np.array([3.5, -2.0]), "target_index": np.array([0, 0])}
    np.testing.assert_array_equal(of_class(found, None, Classes(3)), [3.5, -2.0])


def test_a_score_that_is_a_probability_is_not_squashed_again():
    x = np.random.default_rng(1).normal(size=(3, 3, 16, 16)).astype(np.float32)
    logit, direct = (Subject(built(cnn(), score=score)).probabilities(x, 2) for score in ("logit", "probability"))
    np.testing.assert_allclose(direct, logit, rtol=1e-5)


@pytest.mark.parametrize("score", [None, "output"])
def test_scores_are_asked_of_a_graph_that_explains_at_no_cost(score: str | None):
    build = {} if score is None else {"score": score}
    plan = Assessment(model=cnn(), samples=[], metrics=[], methods=["gradcam"], build=build, run=RUN)
    (subject,) = plan.subjects()
    assert isinstance(subject, Subject)
    assert subject.scorer is not None
    assert subject.scorer.metadata.method == FREE_METHOD
    assert subject.scorer.metadata.score == subject.explainer.metadata.score


def built(model: Any, **options: Any) -> Explainer:
    from onnxcam.api import convert, explainer_of

    return explainer_of(convert(model, **options), threads=1)


def test_a_picture_that_cannot_be_read_leaves_the_others_alone(tmp_path: Path):
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = evaluate(explainer(), tmp_path, metrics=["sparseness"])
    assert len(found.rows) == 1
    assert list(found.failures) == [str(tmp_path / "b.png")]


def test_a_method_that_does_not_fit_leaves_the_others_alone():
    body = cnn("g2 = Relu(flat)\n y = Gemm(g2, w3, b3)")
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = evaluate(body, [picture], methods=["cam", "gradcam"], layers=["r1"], metrics=["sparseness"], run=RUN)
    assert [row.method for row in found.rows] == ["gradcam"]
    assert list(found.failures) == ["cam at r1"]


def test_the_only_method_not_fitting_is_an_error():
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(NoLinearHead):
        evaluate(cnn(), [picture], methods=["cam"], layers=["r1"], metrics=["sparseness"], run=RUN)


def test_metrics_of_boxes_ask_for_boxes(tmp_path: Path):
    photo(tmp_path / "a.png")
    with pytest.raises(MetricNeedsBoxes, match="--boxes"):
        evaluate(explainer(), tmp_path, metrics=["pointing-game"])


def test_a_finished_explain_graph_takes_no_method(tmp_path: Path):
    photo(tmp_path / "a.png")
    with pytest.raises(BuildOptionsUnused, match="--method"):
        evaluate(colour_graph(tmp_path), tmp_path / "a.png", methods=["gradcam"])


def test_a_folder_without_pictures_is_refused(tmp_path: Path):
    with pytest.raises(ImageNotFound):
        evaluate(explainer(), tmp_path)


def test_a_limit_takes_the_first_pictures(tmp_path: Path):
    for number in range(4):
        photo(tmp_path / f"{number}.png")
    found = evaluate(explainer(), tmp_path, limit=2, metrics=["sparseness"])
    assert [Path(row.image).name for row in found.rows] == ["0.png", "1.png"]


def test_what_is_done_before_an_interruption_is_kept(tmp_path: Path):
    for number in range(3):
        photo(tmp_path / f"{number}.png")
    samples = [running.Sample(tmp_path / f"{number}.png", str(number)) for number in range(3)]
    results = running.measure(Subject(explainer()), samples, [METRICS["sparseness"]])

    def stopped() -> Any:
        yield next(results)
        yield next(results)
        raise KeyboardInterrupt

    found = gathered(stopped())
    assert (len(found.rows), found.interrupted) == (2, True)


def test_a_batch_of_any_size_gives_the_same_numbers(tmp_path: Path):
    left_red(tmp_path / "a.png")
    one, many = (
        evaluate(explainer(), tmp_path, metrics=["deletion", "infidelity"], batch_size=size) for size in (1, 50)
    )
    assert one.rows[0].values == pytest.approx(many.rows[0].values, rel=1e-6)


def test_a_model_for_one_picture_at_a_time_is_measured_too(tmp_path: Path):
    left_red(tmp_path / "a.png")
    single = explainer(n="1", batch="a Loop")
    found = evaluate(single, tmp_path, metrics=["deletion"])
    assert found.rows[0].values == pytest.approx(evaluate(explainer(), tmp_path, metrics=["deletion"]).rows[0].values)


def test_a_graph_of_several_targets_is_measured_too(tmp_path: Path):
    left_red(tmp_path / "a.png")
    names = ["deletion", "average-drop", "max-sensitivity", "coherency"]
    several = evaluate(explainer(multi_target=True), tmp_path, metrics=names)
    assert several.rows[0].values == pytest.approx(evaluate(explainer(), tmp_path, metrics=names).rows[0].values)


def test_every_metric_but_those_of_weights_runs_on_an_explain_graph(tmp_path: Path):
    left_red(tmp_path / "a.png")
    names = [name for name, row in METRICS.items() if row.needs != "model"]
    found = evaluate(explainer(), tmp_path, boxes=boxes_file(tmp_path), metrics=names, target="red")
    assert all(np.isfinite(value) for value in found.rows[0].values.values())


def test_the_files_hold_means_rows_and_curves(tmp_path: Path):
    left_red(tmp_path / "a.png")
    found = evaluate(explainer(), tmp_path, boxes=boxes_file(tmp_path), metrics=["deletion", "pointing-game"])
    paths = {path.name: path for path in found.save(tmp_path)}
    told = json.loads(paths["metrics.json"].read_text())
    assert [mean["metric"] for mean in told["summary"]] == ["deletion", "pointing-game"]
    assert told["curves"][0]["scores"] == pytest.approx(found.curves[next(iter(found.curves))].scores)
    rows = list(csv.DictReader(paths["metrics.csv"].read_text().splitlines()))
    assert [float(row["deletion"]) for row in rows] == [row.values["deletion"] for row in found.rows]


def test_what_is_no_number_is_null_in_json_and_empty_in_csv(tmp_path: Path):
    left_red(tmp_path / "b.png")
    found = evaluate(explainer(), tmp_path, boxes={"b.png": []}, metrics=["pointing-game"])
    found.save(tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"][0]["pointing-game"] is None
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1].endswith(",")


def test_the_drawing_has_a_line_for_each_curve_and_a_bar_for_each_mean(tmp_path: Path):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = evaluate(
        cnn(), [picture], methods=["gradcam", "layercam"], metrics=["deletion", "insertion", "sparseness"], run=RUN
    )
    found.save(tmp_path)
    root = ET.parse(tmp_path / "metrics.svg").getroot()
    kinds = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert kinds.count("polyline") == 4
    assert kinds.count("title") == 6


def test_bars_reach_from_zero_to_the_mean(tmp_path: Path):
    left_red(tmp_path / "a.png")
    found = evaluate(explainer(), tmp_path, metrics=["complexity"])
    found.save(tmp_path)
    root = ET.parse(tmp_path / "metrics.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    (bar,) = [element for element in root.iter(f"{space}rect") if element.get("fill") != "#fff"]
    labels = {element.text: float(element.get("y")) - 4 for element in root.iter(f"{space}text")
              if element.get("text-anchor") == "end"}  # fmt: skip
    unit = (labels["0"] - labels["0.2"]) / 0.2
    assert float(bar.get("height")) / unit == pytest.approx(found.summary[0].mean, abs=0.002)


def test_the_command_prints_a_table_and_writes_the_files(tmp_path: Path):
    left_red(tmp_path / "a.png")
    ran = command(colour_graph(tmp_path), tmp_path / "a.png", "--metric", "deletion", "-o", tmp_path / "out")
    assert ran.exit_code == 0, ran.output
    assert "deletion ↓" in ran.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metrics.csv", "metrics.json", "metrics.svg"]


def test_the_command_speaks_json(tmp_path: Path):
    left_red(tmp_path / "a.png")
    ran = command(
        colour_graph(tmp_path),
        tmp_path / "a.png",
        "--boxes",
        boxes_file(tmp_path),
        "--metric",
        "relevance-mass",
        "--json",
    )
    (mean,) = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (mean["metric"], mean["mean"], mean["count"]) == ("relevance-mass", 0.5, 2)


def test_the_command_converts_a_model_and_compares_methods(tmp_path: Path):
    photo(tmp_path / "a.png")
    model = saved(cnn(), tmp_path / "cnn.onnx")
    ran = command(
        model, tmp_path, "--method", "gradcam", "--method", "layercam", "--metric", "sparseness", "--threads", 1
    )
    assert ran.exit_code == 0, ran.output
    assert [line.split()[0] for line in ran.stdout.splitlines() if "cam" in line] == ["gradcam", "layercam"]


def test_an_interrupted_command_writes_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        photo(tmp_path / f"{number}.png")
    measure = running.row_of
    calls: list[int] = []

    def stopping(*args: Any, **given: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*args, **given)

    monkeypatch.setattr(running, "row_of", stopping)
    ran = command(colour_graph(tmp_path), tmp_path, "--metric", "sparseness", "-o", tmp_path / "out")
    assert ran.exit_code == console.INTERRUPTED
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (len(told["rows"]), told["interrupted"]) == (2, True)


def test_the_command_refuses_an_unknown_metric(tmp_path: Path):
    photo(tmp_path / "a.png")
    ran = command(colour_graph(tmp_path), tmp_path / "a.png", "--metric", "rode")
    assert isinstance(ran.exception, UnknownChoice)


def test_a_map_that_is_not_finite_is_said_and_not_measured(tmp_path: Path):
    left_red(tmp_path / "a.png")
    found = evaluate(explainer(ending=DARK_IS_NAN), tmp_path, metrics=["deletion"])
    assert found.rows[0].status == "not-finite"
    assert found.summary[0].missing == 1


def test_errors_are_those_that_a_caller_can_catch(tmp_path: Path):
    photo(tmp_path / "a.png")
    with pytest.raises(OnnxCamError):
        evaluate(tmp_path / "none.onnx", tmp_path / "a.png")


def test_things_may_be_given_by_file_name(tmp_path: Path):
    left_red(tmp_path / "a.png")
    boxes = {"a.png": [Thing("red", ((0, 0, 4, 8),))]}
    found = evaluate(explainer(), tmp_path, boxes=boxes, metrics=["relevance-mass"])
    assert found.rows[0].values["relevance-mass"] == 1


def test_a_method_of_many_passes_is_measured_too():
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = evaluate(
        cnn(), [picture], methods=["rise"], metrics=["deletion", "coherency", "cascading-randomization"],
        build={"options": {"masks": 30}}, run=RUN,
    )  # fmt: skip
    assert all(np.isfinite(value) for value in found.rows[0].values.values())


def test_half_a_map_of_an_interrupted_method_is_not_measured(monkeypatch: pytest.MonkeyPatch):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    whole = Subject(built(cnn()))
    half = replace(whole.explain(picture, None), status="interrupted")
    monkeypatch.setattr(Explainer, "__call__", lambda *_, **__: half)
    found = gathered(running.measure(whole, [running.Sample(picture, "a")], [METRICS["sparseness"]]))
    assert (found.rows, found.interrupted) == ((), True)


def test_one_name_may_stand_for_a_list():
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = evaluate(cnn(), [picture], methods="layercam", layers="r1", metrics="sparseness", run=RUN)
    assert [(row.method, row.layer, list(row.values)) for row in found.rows] == [("layercam", "r1", ["sparseness"])]


def test_the_metrics_are_listed_with_what_is_better_and_the_default_ones_marked(capsys: pytest.CaptureFixture[str]):
    metrics_command()
    lines = {line[2:].split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == set(METRICS)
    assert lines["deletion"].startswith("* deletion")
    assert "↓" in lines["deletion"]
    assert lines["road"].startswith("  road")
    assert "Rong et al. 2022" in lines["road"]


def test_shares_that_no_softmax_was_seen_to_make_are_not_squashed_again():
    rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    found = {"target_score": rows[:, 1], "target_index": np.array([1, 1]), "scores": rows}
    np.testing.assert_allclose(of_class(found, "scores", Classes(3)), rows[:, 1])
