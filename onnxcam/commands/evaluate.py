"""`onnxcam evaluate`: how good the heatmaps of a model are, by method and layer."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.errors import SomeImagesFailed
from onnxcam.options import (
    Accompanying,
    AsJson,
    Conversion,
    Describing,
    Running,
    Scoring,
    Shaping,
    Wrap,
    asked,
    expanded,
    target_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from onnxcam.engine import Explainer
    from onnxcam.evaluation import Evaluation, Mean

DIGITS = 6  # behind the point, at most

Boxes = Annotated[Path | None, typer.Option("--boxes", help="Where things are: JSON, ours or COCO's.")]
MetricNames = Annotated[
    list[str] | None, typer.Option("--metric", help="See `onnxcam metrics`; or all. The quick ones by default.")
]
MethodNames = Annotated[list[str] | None, typer.Option("--method", help="Methods to compare; see `onnxcam methods`.")]
LayerNames = Annotated[list[str] | None, typer.Option("--layer", help="Layers to compare, each for itself.")]
TargetName = Annotated[
    str | None, typer.Option("--target", help="One target for all; by default the best class, or what the boxes show.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Pictures, at most.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Altered pictures in one run.")]
Seed = Annotated[int, typer.Option("--seed", help="Of every random draw.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Folder for metrics.json, .csv and .svg.")]


@expanded
def evaluate(
    model: Annotated[str, typer.Argument(help="A model, or an explain graph.")],
    images: Annotated[list[str], typer.Argument(help="Folders, pictures or globs.")],
    boxes: Boxes = None,
    metric: MetricNames = None,
    method: MethodNames = None,
    layer: LayerNames = None,
    target: TargetName = None,
    wrap: Wrap = None,
    output: Output = None,
    limit: Limit = None,
    batch: Batch = 8,
    seed: Seed = 0,
    *,
    accompanying: Accompanying,
    shaping: Shaping,
    scoring: Scoring,
    describing: Describing,
    running: Running,
    conversion: Conversion,
    as_json: AsJson = False,
) -> None:
    """Measure how good the heatmaps are: faithfulness, localisation, robustness, sanity, by method and layer."""
    from onnxcam.appraisal import gathered, samples_of
    from onnxcam.assessment import Assessment
    from onnxcam.evaluation import find_metrics
    from onnxcam.folders import make_folder

    samples = samples_of(images, boxes, limit, asking=accompanying.arguments())
    chosen = find_metrics(metric, has_boxes=boxes is not None)
    build = shaping.arguments() | scoring.arguments() | describing.arguments() | conversion.arguments()
    if output is not None:
        make_folder(output)  # before the work, which may be long
    with console.without_native_noise():
        source, build, story = opened(model, build)
        plan = Assessment(
            model=source,
            samples=samples,
            metrics=chosen,
            methods=method or (),
            layers=layer or (),
            target=None if target is None else target_of(target),
            build=build | asked(wrap=wrap),
            run=running.arguments(),
            batch_size=batch,
            seed=seed,
            has_boxes=boxes is not None,
        )
        found = gathered(console.progress(plan.results(noter(describing, story)), plan.count))
    tell(found, output, as_json=as_json)
    names = {sample.name for sample in samples}
    failed = sum(name in names for name in found.failures)
    if failed:
        raise SomeImagesFailed(failed, len(names) - failed)


def metrics(as_json: AsJson = False) -> None:
    """List the metrics that `evaluate` measures; those marked * by default."""
    from onnxcam.evaluation import METRICS

    for row in METRICS.values():
        told = {"name": row.name, "better": row.better, "needs": row.needs, "default": row.is_quick}
        told |= {"summary": row.summary, "source": row.source}
        mark, better = "*" if row.is_quick else " ", {"higher": "↑", "lower": "↓", "": " "}[row.better]
        text = f"{mark} {row.name:26} {better} {row.summary} [{row.source}]"
        console.answer(json.dumps(told, ensure_ascii=False) if as_json else text)


def opened(model: str, build: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any] | None]:
    """The model as ONNX, the options that are left, and how it was converted; None where it is an explain graph."""
    from onnxcam.metadata import is_explain_graph
    from onnxcam.sources import open_once

    if is_explain_graph(model):
        return model, build, None
    try:
        source, left = open_once(model, build)
    except KeyboardInterrupt:
        console.say("interrupted: nothing was measured yet")
        sys.exit(console.INTERRUPTED)
    return source.onnx, left, source.story


def noter(describing: Describing, story: dict[str, Any] | None) -> Callable[[Explainer], None]:
    """What notes, of the first explainer only, how the model was converted and what was assumed of it."""
    from onnxcam.opening import tell_story

    told: list[Explainer] = []

    def note(explainer: Explainer) -> None:
        if not told:
            if story is not None:
                tell_story(replace(explainer.metadata, conversion=story))
            describing.tell_what_was_assumed(explainer)
        told.append(explainer)

    return note


def tell(found: Evaluation, output: Path | None, *, as_json: bool) -> None:
    """Prints the means, writes the files, complains of what failed; leaves with the shell's code after Ctrl-C."""
    for name, reason in found.failures.items():
        console.note(f"{name}: {reason}")
    if as_json:
        for mean in found.summary:
            console.answer(json.dumps(mean.to_dict(), ensure_ascii=False))
    elif found.rows:
        show_table(table(found))
    for text in remarks(found):
        console.note(text)
    for path in found.save(output) if output is not None and found.rows else ():
        console.say(f"written: {path}")
    if found.interrupted:
        console.say(f"interrupted: the measures of {len(found.rows)} explanations are kept")
        sys.exit(console.INTERRUPTED)


def table(found: Evaluation) -> Table:
    """A line for each method and layer, a column for each metric; the best mean of each column in bold."""
    from rich import box
    from rich.table import Table

    summary = found.summary
    metrics = list(dict.fromkeys(mean.metric for mean in summary))
    drawn = Table(box=box.SIMPLE_HEAD)
    for title in ("method", "layer"):
        drawn.add_column(title, no_wrap=True)
    for name in metrics:
        better = {mean.better for mean in summary if mean.metric == name}.pop()
        drawn.add_column(name + {"higher": " ↑", "lower": " ↓", "": ""}[better], justify="right", no_wrap=True)
    best = {name: best_of([mean for mean in summary if mean.metric == name]) for name in metrics}
    for method, layer in found.groups():
        means = {mean.metric: mean for mean in summary if (mean.method, mean.layer) == (method, layer)}
        cells = [cell(means[name], is_best=means[name] is best[name]) for name in metrics]
        drawn.add_row(method, layer, *cells)
    return drawn


def remarks(found: Evaluation) -> Iterator[str]:
    """What must be known to read the table: scores that are no probabilities, and boxes that were of no use."""
    from onnxcam.evaluation import METRICS
    from onnxcam.evaluation.results import SCORE

    names = dict.fromkeys(name for row in found.rows for name in row.values)
    followed = [name for name in names if name == "adcc" or METRICS[name].needs == "scores"]
    followed = [name for name in followed if name != "infidelity"]  # which always asks about that score
    rows = [row for row in found.rows if row.measured == SCORE and row.target_index >= 0]
    targets = dict.fromkeys(row.label or f"class {row.target_index}" for row in rows)
    if targets and followed:
        yield (
            f"{', '.join(followed)} follow the score that is explained, which is no probability, for "
            f"{', '.join(map(repr, targets))}"
        )
    unused = [mean for mean in found.summary if METRICS[mean.metric].needs == "boxes"]
    if unused and not any(mean.count for mean in unused):
        yield (
            "no box was used: no thing in the boxes is meant by what was explained, the target or one of the model's "
            "five best classes of the picture"
        )


def best_of(means: list[Mean]) -> Mean | None:
    """The best of several; None where there are fewer than two, or nobody says what is better."""
    known = [mean for mean in means if mean.count]
    if len(known) < 2 or not known[0].better:
        return None
    return (max if known[0].better == "higher" else min)(known, key=lambda mean: mean.mean)


def cell(mean: Mean, *, is_best: bool) -> str:
    """Mean ± standard error, and the number of explanations: "0.31 ± 0.02 (20)"."""
    if not mean.count:
        return "–"
    text = f"{number(mean)} ({mean.count})"
    return f"[bold]{text}[/bold]" if is_best else text


def number(mean: Mean) -> str:
    """Mean ± standard error to two digits, the mean no finer than that: "0.3142 ± 0.0021"."""
    if not math.isfinite(mean.error):
        return f"{mean.mean:.4g}"
    digits = max(0, 1 - math.floor(math.log10(mean.error))) if mean.error else DIGITS + 1
    if digits > DIGITS:
        return f"{mean.mean:.4g} ± {mean.error:.2g}"
    return f"{mean.mean:.{digits}f} ± {mean.error:.{digits}f}"


def show_table(drawn: Table) -> None:
    """The table on stdout: as wide as the terminal there, as wide as it needs to be in a file."""
    from rich.console import Console

    screen = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000)
    screen.print(drawn, crop=False)
