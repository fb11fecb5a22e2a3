"""The metrics by name, and how one is added.

    @metric("deletion", source="Petsiuk et al. 2018", better="lower", needs="scores")
    def deletion(case, *, steps=20) -> Curve: ...

The first line of the docstring is the summary, keyword-only parameters are the options.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from onnxcam.errors import InvalidOption, MetricNotMeasured, UnknownChoice
from onnxcam.evaluation.case import Case, Curve
from onnxcam.parameters import Parameter, parameters_of, settings

Measure: TypeAlias = Callable[..., float | Curve]
Function = TypeVar("Function", bound=Measure)
NEEDS = ("map", "scores", "explain", "boxes", "model")
BETTER = ("higher", "lower", "")


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    Attributes:
        summary: what it measures.
        source: the paper.
        better: "higher", "lower", or "" where neither is.
        needs: "map" alone; "scores" of altered pictures; "explain": maps of altered pictures; "boxes" around what the
            target means; "model": maps of the model with other weights.
        is_quick: part of what is measured unless others are named.
        options: what can be set, by name.
        nothing: what a map gets that is flat or not finite.
        measure: a case in, a number or a curve out; a number that is not finite means that there is none.
    """

    name: str
    summary: str
    source: str
    better: str
    needs: str
    is_quick: bool
    options: Mapping[str, Parameter]
    nothing: float
    measure: Measure

    def __call__(self, case: Case, options: Mapping[str, Any] | None = None) -> float | Curve:
        """The measure of one case.

        Raises:
            UnknownOption, InvalidOption: for an option that it does not have, or a value that it cannot be.
        """
        return self.measure(case, **settings(self.name, self.options, options or {}))


METRICS: dict[str, Metric] = {}


def metric(
    name: str, *, source: str, better: str, needs: str = "map", quick: bool = False, nothing: float = float("nan")
) -> Callable[[Function], Function]:
    """Enters a function into the table; the first line of its docstring is the summary."""
    if name in METRICS or needs not in NEEDS or better not in BETTER:
        raise ValueError(f"{name} is in the table already, or needs {needs!r}, or is better {better!r}")

    def enter(measure: Function) -> Function:
        summary = (inspect.getdoc(measure) or "").partition("\n")[0]
        METRICS[name] = Metric(name, summary, source, better, needs, quick, parameters_of(measure), nothing, measure)
        return measure

    return enter


def check_options(options: Mapping[str, Mapping[str, Any]], chosen: Sequence[Metric]) -> None:
    """Refuses options that would change nothing, or that a metric cannot take, before any work is done.

    Raises:
        UnknownChoice: for a name that no metric has.
        MetricNotMeasured: for a metric that is not among the chosen.
        UnknownOption, InvalidOption: for an option that it does not have, or a value that it cannot be.
    """
    names = [row.name for row in chosen]
    for name, given in options.items():
        if name not in METRICS:
            raise UnknownChoice("metric", name, METRICS)
        if name not in names:
            raise MetricNotMeasured(name, names)
        if not isinstance(given, Mapping):
            raise InvalidOption(name, "what is given", given, "must be values by name, as {'steps': 50}")
        settings(name, METRICS[name].options, given)


def find_metrics(names: Sequence[str] | None, *, has_boxes: bool) -> list[Metric]:
    """The metrics named; "all" of them, or by default the quick ones, as far as there are boxes for them.

    Raises:
        UnknownChoice: for a name that no metric has.
    """
    if not names:
        return [row for row in METRICS.values() if row.is_quick and (has_boxes or row.needs != "boxes")]
    for name in names:
        if name not in METRICS and name != "all":
            raise UnknownChoice("metric", name, [*METRICS, "all"])
    if "all" in names:
        return [row for row in METRICS.values() if has_boxes or row.needs != "boxes"]
    return [METRICS[name] for name in dict.fromkeys(names)]
