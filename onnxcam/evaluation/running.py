"""Subjects measured on pictures: row by row, so that whoever stops keeps what is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxcam.errors import ImageError, MetricNeedsBoxes, MetricNeedsModel
from onnxcam.evaluation.annotations import check_classes, check_names
from onnxcam.evaluation.case import Case, Curve
from onnxcam.evaluation.results import Row
from onnxcam.evaluation.sample import Sample
from onnxcam.evaluation.subject import Subject
from onnxcam.evaluation.table import Metric
from onnxcam.explanation import OK, Explanation


@dataclass(frozen=True, slots=True)
class Skipped:
    """A picture that cannot be read, and why."""

    name: str
    error: ImageError


def check_metrics(metrics: Sequence[Metric], subject: Subject, *, has_boxes: bool) -> None:
    """Refuses a metric that the subject cannot have, before any work is done."""
    for row in metrics:
        if row.needs == "boxes" and not has_boxes:
            raise MetricNeedsBoxes(row.name)
        if row.needs == "model" and subject.randomised is None:
            raise MetricNeedsModel(row.name)


def check_things(samples: Sequence[Sample], subject: Subject) -> None:
    """Refuses things that no class of the subject can mean, before any work is done."""
    things = [thing for sample in samples for thing in sample.things]
    check_classes(things, subject.explainer.classes)
    check_names(things, subject.explainer.classes)


def measure(
    subject: Subject,
    samples: Sequence[Sample],
    metrics: Sequence[Metric],
    *,
    target: Any = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> Iterator[list[Row] | Skipped]:
    """For each picture the rows of its explanations, or why there are none.

    Args:
        subject: the model, explained in one way.
        samples: the pictures.
        metrics: what is measured.
        target: the same for all pictures; None: the best class of each, or those that mean what is to be seen in it.
        options: of metrics, by metric and name.
        seed: of every random draw; a picture's draws do not depend on the others.
    """
    for sample in samples:
        try:
            cases = list(subject.cases(sample, target, seed=seed))
        except ImageError as error:
            yield Skipped(sample.name, error)
            continue
        yield [
            row_of(subject, sample.name, explanation, case=case, metrics=metrics, options=options or {})
            for explanation, case in cases
        ]


def row_of(
    subject: Subject,
    name: str,
    explanation: Explanation,
    *,
    case: Case,
    metrics: Sequence[Metric],
    options: Mapping[str, Mapping[str, Any]],
) -> Row:
    """The measures of one explanation."""
    values: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    for metric in metrics:
        if metric.needs == "boxes" and case.region is None:
            values[metric.name] = float("nan")
        elif explanation.status != OK:
            values[metric.name] = metric.nothing
        else:
            found = metric(case, options.get(metric.name))
            values[metric.name] = found.value if isinstance(found, Curve) else found
            if isinstance(found, Curve):
                curves[metric.name] = found
    said = explanation.summary | {"method": subject.method, "layer": subject.layer}
    said["measured"] = subject.measured(explanation.target_index)
    return Row(image=name, values=values, curves=curves, **said)
