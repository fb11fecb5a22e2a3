"""What a method has to say beside its map, in few words for people, and as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

Report = Mapping[str, float | int | str]


def remarks(report: Report) -> list[str]:
    """The gap to completeness, the share of the score that a fit explains, and how many passes it took, if known.

    The gap is how far an attribution's sum is from what it should be, the score less the baseline's, in percent of it.
    """
    said = [gap(report), share(report), passes(report)]
    return [text for text in said if text]


def gap(report: Report) -> str:
    """The gap to completeness; plain where there is nothing to compare it with."""
    values = [report.get(name) for name in ("gap", "score", "baseline_score")]
    numbers = [float(value) for value in values if isinstance(value, float | int)]
    if len(numbers) < len(values):
        return ""
    missing, after, before = numbers
    return f"gap {100 * abs(missing / (after - before)):.2f} %" if after != before else f"gap {abs(missing):.3g}"


def share(report: Report) -> str:
    """How much of the score's variance a fit explains."""
    value = report.get("explained")
    return f"explained {100 * value:.1f} %" if isinstance(value, float | int) else ""


def passes(report: Report) -> str:
    """How often the model was run, and on how many samples, where that is said."""
    parts = [
        (report.get("passes"), "pass" if report.get("passes") == 1 else "passes"),
        (report.get("samples"), "samples"),
    ]
    return ", ".join(f"{number} {word}" for number, word in parts if isinstance(number, int))


def plain(report: Report) -> dict[str, float | int | str | None]:
    """The report as JSON can hold it, which has no infinity and no NaN."""
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in report.items()}
