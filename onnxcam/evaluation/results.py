"""What an evaluation found: a row for each explanation, means with their errors, and mean curves."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onnxcam.evaluation.case import Curve
from onnxcam.evaluation.table import METRICS
from onnxcam.files import write_whole

PROBABILITY, SCORE = "probability", "score"  # what metrics ask altered pictures for
ROUNDING = 1e-12  # of a mean
POINTS = 101  # of a mean curve, where the pictures' own have different ones


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The measures of one explanation.

    Attributes:
        image: its name.
        score: what was explained.
        status: "ok", "all-zero", "flat" or "not-finite"; maps that are not ok have no measure but for the pointing
            game, which they lose.
        values: by metric; not a number where there is none.
        curves: by metric, of those that make one.
        measured: what deletion and others follow: the "probability" of the target, of a detection its confidence, or
            where there is neither the "score" that is explained.
        box: of a detector: the detection that was explained, left, top, right, bottom in the photo's pixels.
        confidence: of a detector: how sure the model is of it, 0 to 1.
    """

    image: str
    target_index: int
    label: str | None
    score: float
    method: str
    layer: str
    status: str
    values: Mapping[str, float]
    curves: Mapping[str, Curve] = field(default_factory=dict)
    measured: str = PROBABILITY
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, a metric in each of the last; None where there is no measure.

        Box and confidence are left out where there are no detections.
        """
        kept = ["image", "target_index", "label", "score", "method", "layer", "status", "measured"]
        kept += ["box", "confidence"] if self.confidence is not None else []
        return {name: getattr(self, name) for name in kept} | {name: finite(v) for name, v in self.values.items()}


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric's mean over the explanations of one method at one layer.

    Attributes:
        error: the standard error of the mean; not a number for fewer than two.
        count: explanations with a measure.
        missing: explanations without: maps that are not ok, or without a box.
        better: "higher", "lower" or "".
    """

    method: str
    layer: str
    metric: str
    mean: float
    error: float
    count: int
    missing: int
    better: str

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, None for what is no number."""
        return asdict(self) | {"mean": finite(self.mean), "error": finite(self.error)}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All that was found.

    Attributes:
        rows: one for each explanation.
        failures: what could not be read or explained, and why, by name.
        interrupted: whether it was stopped before its end.
    """

    rows: tuple[Row, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def summary(self) -> tuple[Mean, ...]:
        """The mean of each metric for each method and layer, in the order of the rows."""
        return tuple(
            mean_of(method, layer, metric, rows=rows)
            for (method, layer), rows in self.groups().items()
            for metric in dict.fromkeys(name for row in rows for name in row.values)
        )

    @property
    def curves(self) -> dict[tuple[str, str, str], Curve]:
        """The mean curve by method, layer and metric."""
        return {
            (method, layer, metric): mean_curve([row.curves[metric] for row in rows if metric in row.curves])
            for (method, layer), rows in self.groups().items()
            for metric in dict.fromkeys(name for row in rows for name in row.curves)
        }

    def groups(self) -> dict[tuple[str, str], list[Row]]:
        """The rows by method and layer."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            found.setdefault((row.method, row.layer), []).append(row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Everything by name, ready for JSON."""
        curves = [
            {"method": method, "layer": layer, "metric": metric,
             "shares": curve.shares.tolist(), "scores": [finite(score) for score in curve.scores.tolist()]}
            for (method, layer, metric), curve in self.curves.items()
        ]  # fmt: skip
        return {
            "summary": [mean.to_dict() for mean in self.summary],
            "rows": [row.to_dict() for row in self.rows],
            "curves": curves,
            "failures": dict(self.failures),
            "interrupted": self.interrupted,
        }

    def to_csv(self) -> str:
        """A line for each explanation, a column for each metric."""
        records = [row.to_dict() for row in self.rows]
        columns = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()

    def save(self, folder: str | Path) -> list[Path]:
        """The files written: metrics.json, metrics.csv, and metrics.svg, a drawing of curves and means.

        Raises:
            CannotWriteFile: if one cannot be written.
        """
        from onnxcam.evaluation.plotting import plot

        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=1, allow_nan=False)
        contents = {"metrics.json": text + "\n", "metrics.csv": self.to_csv(), "metrics.svg": plot(self)}
        paths = [Path(folder) / name for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            write_whole(path, content.encode())
        return paths


def mean_of(method: str, layer: str, metric: str, *, rows: Iterable[Row]) -> Mean:
    """The mean of a metric over the rows that have it."""
    values = np.array([row.values.get(metric, math.nan) for row in rows])
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if known.size else math.nan
    error = float(known.std(ddof=1) / math.sqrt(known.size)) if known.size > 1 else math.nan
    if error <= ROUNDING * abs(mean):
        error = 0.0  # what adding up floats leaves is no spread
    better = METRICS[metric].better
    return Mean(method, layer, metric, mean, error, int(known.size), int(values.size - known.size), better)


def mean_curve(curves: list[Curve]) -> Curve:
    """The mean of the curves, at their own points where these are the same."""
    first = curves[0].shares
    if not all(np.array_equal(curve.shares, first) for curve in curves):
        first = np.linspace(0, 1, POINTS)
        curves = [Curve(first, np.interp(first, curve.shares, curve.scores), curve.value) for curve in curves]
    scores = np.mean([curve.scores for curve in curves], axis=0)
    return Curve(first, scores, float(np.mean([curve.value for curve in curves])))


def finite(value: float) -> float | None:
    """The number, None if it is none."""
    return float(value) if math.isfinite(value) else None
