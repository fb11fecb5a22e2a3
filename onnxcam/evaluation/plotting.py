"""An evaluation as one SVG drawing: a panel with the mean curves of each metric that has them, bars for every metric.

Drawn by hand: a few lines and texts need no plotting library, and the file stays small, sharp and the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from onnxcam.evaluation.case import Curve
from onnxcam.evaluation.results import Evaluation, Mean
from onnxcam.evaluation.table import METRICS

# Okabe and Ito's colours, told apart by most eyes; from the ninth on the lines are dashed.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a700", "#444444")
DASHES = ("", "6 3", "2 2", "8 3 2 3")
PANEL_W, PANEL_H, GAP, COLUMNS = 300, 200, 62, 3  # pixels
LINE = 18  # pixels between lines of the legend


@dataclass(frozen=True, slots=True)
class Series:
    """One method at one layer, and how it is drawn."""

    method: str
    layer: str
    index: int

    @property
    def colour(self) -> str:
        """Of its line and bar."""
        return COLOURS[self.index % len(COLOURS)]

    @property
    def dash(self) -> str:
        """Of its line."""
        return DASHES[self.index // len(COLOURS) % len(DASHES)]


def plot(evaluation: Evaluation) -> str:
    """The SVG text."""
    series = [Series(*key, index) for index, key in enumerate(evaluation.groups())]
    panels = [*curve_panels(evaluation, series), *bar_panels(evaluation.summary, series)]
    rows = -(-len(panels) // COLUMNS)
    top = 24 + LINE * len(series)
    width, height = GAP + COLUMNS * (PANEL_W + GAP), top + rows * (PANEL_H + GAP) + 20
    parts = [legend(series)]
    for place, panel in enumerate(panels):
        x = GAP + place % COLUMNS * (PANEL_W + GAP)
        y = top + 34 + place // COLUMNS * (PANEL_H + GAP)
        parts.append(f'<g transform="translate({x} {y})">{panel}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="#222">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def legend(series: Sequence[Series]) -> str:
    """A line for each of the series."""
    return "".join(
        f'<line x1="{GAP}" x2="{GAP + 28}" y1="{y}" y2="{y}" {stroke(each)}/>'
        f'<text x="{GAP + 36}" y="{y + 4}">{escape(each.method)} at {escape(each.layer)}</text>'
        for each in series
        for y in [22 + LINE * each.index]
    )


def stroke(series: Series) -> str:
    """The attributes of its line."""
    return f'stroke="{series.colour}" stroke-width="2" stroke-dasharray="{series.dash}" fill="none"'


def curve_panels(evaluation: Evaluation, series: Sequence[Series]) -> Iterator[str]:
    """A panel for each metric with curves."""
    curves = evaluation.curves
    for metric in dict.fromkeys(name for _, _, name in curves):
        drawn = [(each, curves[key]) for each in series if (key := (each.method, each.layer, metric)) in curves]
        values = [float(score) for _, curve in drawn for score in curve.scores if math.isfinite(score)]
        axis = Axis.around([0.0, *values])
        lines = "".join(line(curve, each, axis) for each, curve in drawn)
        yield frame(f"{metric}: mean curve", axis) + ticks_below() + lines


def line(curve: Curve, series: Series, axis: Axis) -> str:
    """The curve of one of the series."""
    points = " ".join(
        f"{share * PANEL_W:.1f},{axis.y(score):.1f}"
        for share, score in zip(curve.shares.tolist(), curve.scores.tolist(), strict=True)
        if math.isfinite(score)
    )
    return f'<polyline points="{points}" {stroke(series)}/>'


def bar_panels(summary: Sequence[Mean], series: Sequence[Series]) -> Iterator[str]:
    """A panel for each metric: means, with their standard errors."""
    for metric in dict.fromkeys(mean.metric for mean in summary):
        means = {(mean.method, mean.layer): mean for mean in summary if mean.metric == metric and mean.count}
        if not means:
            continue
        ends = [mean.mean + sign * spread(mean) for mean in means.values() for sign in (-1, 1)]
        axis = Axis.around([0.0, *ends])
        step = PANEL_W / len(series)
        bars = "".join(
            bar(means[each.method, each.layer], each, axis, left=each.index * step, width=step)
            for each in series
            if (each.method, each.layer) in means
        )
        better = METRICS[metric].better
        yield frame(metric + (f" ({better} is better)" if better else ""), axis) + bars


def bar(mean: Mean, series: Series, axis: Axis, *, left: float, width: float) -> str:
    """One mean, with its standard error."""
    ends = sorted((axis.y(0), axis.y(mean.mean)))
    middle, error = left + width / 2, spread(mean)
    name = f"{mean.method} at {mean.layer}: {mean.mean:.4g} ± {error:.2g}, n = {mean.count}"
    return (
        f'<g><title>{escape(name)}</title><rect x="{left + width * 0.15:.1f}" y="{ends[0]:.1f}" '
        f'width="{width * 0.7:.1f}" height="{ends[1] - ends[0]:.1f}" fill="{series.colour}"/>'
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{axis.y(mean.mean - error):.1f}" '
        f'y2="{axis.y(mean.mean + error):.1f}" stroke="#000"/></g>'
    )


def spread(mean: Mean) -> float:
    """The standard error, 0 where there is none."""
    return mean.error if math.isfinite(mean.error) else 0.0


@dataclass(frozen=True, slots=True)
class Axis:
    """The upright axis of a panel, between round numbers."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """One that holds all of the values, in four to ten steps of 1, 2 or 5 times a power of ten."""
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        power = 10.0 ** math.floor(math.log10(span / 4))
        step = max(factor * power for factor in (1, 2, 5) if factor * power <= span / 4)
        return cls(math.floor(low / step) * step, math.ceil((high or low + step) / step) * step, step)

    def y(self, value: float) -> float:
        """Where the value is, in pixels from the top."""
        return PANEL_H * (self.high - value) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """The round numbers on it."""
        return [self.low + place * self.step for place in range(round((self.high - self.low) / self.step) + 1)]


def frame(title: str, axis: Axis) -> str:
    """A panel's title and its upright axis."""
    lines = "".join(
        f'<line x1="0" x2="{PANEL_W}" y1="{axis.y(tick):.1f}" y2="{axis.y(tick):.1f}" stroke="#ddd"/>'
        f'<text x="-6" y="{axis.y(tick) + 4:.1f}" text-anchor="end">{tick + 0.0:.4g}</text>'
        for tick in (round(value, 10) for value in axis.ticks())
    )
    return f'<text x="0" y="-10" font-size="13">{escape(title)}</text>{lines}'


def ticks_below() -> str:
    """The shares under a panel of curves."""
    return "".join(
        f'<text x="{share * PANEL_W}" y="{PANEL_H + 16}" text-anchor="middle">{share:.0%}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
