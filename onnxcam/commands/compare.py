"""`onnxcam compare`: one picture of many heatmaps of one photo."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.options import (
    SOURCE,
    AsJson,
    Colouring,
    Conversion,
    Describing,
    Pointing,
    Report,
    Running,
    Scoring,
    Shaping,
    Targets,
    Wrap,
    asked,
    expanded,
    targets_of,
)

if TYPE_CHECKING:
    from onnxcam.comparison import Cell, Comparison, Row

SUFFIX = ".compare.cam.png"


@expanded
def compare(
    model: Annotated[str, typer.Argument(help=SOURCE)],
    image: Annotated[Path, typer.Argument(help="A picture.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help=f"The picture to write; STEM{SUFFIX} by default.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="A method, several times; else a few.")] = None,
    layer: Annotated[list[str] | None, typer.Option("--layer", help="A layer, several times; each by itself.")] = None,
    wrap: Wrap = None,
    target: Targets = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="The K best classes; 3 where no target is said.")] = 0,
    size: Annotated[int, typer.Option("--size", min=48, help="Pixels of each heatmap's longer side.")] = 224,
    *,
    colouring: Colouring,
    report: Report = None,
    pointing: Pointing,
    shaping: Shaping,
    scoring: Scoring,
    describing: Describing,
    running: Running,
    conversion: Conversion,
    as_json: AsJson = False,
) -> None:
    """Draw methods, layers and classes side by side in one picture."""
    from onnxcam.comparison import Wanted, compared, gathered, names_of
    from onnxcam.images import read
    from onnxcam.opening import refuse_explain_graph
    from onnxcam.reports.keeping import check_report
    from onnxcam.sources import open_once

    colouring.check()
    check_report(report)
    refuse_explain_graph(model)
    photo = read(image)
    wanted = Wanted(
        methods=method or (),
        layers=layer or (),
        targets=list(dict.fromkeys(targets_of(target, top_k))) or None,
        options=shaping.arguments() | scoring.arguments() | describing.arguments() | asked(wrap=wrap),
        run=running.arguments(),
        asking=pointing.arguments(),
    )
    with told_when_stopped():
        with console.without_native_noise():
            source, _ = open_once(model, conversion.arguments())
            rows = list(told(compared(source.onnx, photo, wanted), source.story, describing))
        comparison = gathered(photo, rows, names_of(image, model))
    path, drawing = output or Path(f"{image.stem}{SUFFIX}"), colouring.arguments()
    comparison.picture(size=size, **drawing).save(path)
    show(comparison, path, as_json=as_json)
    if report is not None:
        write_report(comparison, report, image=image, model=model, drawing=drawing)
        console.show({"report": str(report)}, as_json=as_json)
    leave_if_cut_short(comparison)


@contextmanager
def told_when_stopped() -> Iterator[None]:
    """Says that nothing is kept where Ctrl-C comes before the first heatmap, and leaves with the shell's exit code."""
    try:
        yield
    except KeyboardInterrupt:
        console.say("interrupted: no heatmap was done, and nothing is written")
        sys.exit(console.INTERRUPTED)


def told(rows: Iterator[Row], story: dict[str, Any], describing: Describing) -> Iterator[Row]:
    """The same rows; on stderr what was assumed, once, and what could not be had, at once."""
    from onnxcam.opening import tell_story

    is_told = False
    for row in rows:
        if row.explainer is not None and not is_told:
            is_told = True
            tell_story(replace(row.explainer.metadata, conversion=story))
            describing.tell_what_was_assumed(row.explainer)
        for error in dict.fromkeys(why_missing(cell) for cell in row.cells if not cell.has_heatmap):
            if error:
                console.note(f"no {row.method} at {row.layer}: {error}")
        if row.error is not None and not row.is_cut_short:
            console.note(f"no {row.method}{f' at {row.layer}' if row.layer else ''}: {row.error}")
        yield row


def why_missing(cell: Cell) -> str:
    """Why there is no heatmap; nothing where Ctrl-C came first, which is said once, at the end."""
    if cell.is_cut_short:
        return ""
    return str(cell.error) if cell.explanation is None else cell.explanation.reason


def leave_if_cut_short(comparison: Comparison) -> None:
    """After Ctrl-C says what there is, and leaves with the shell's exit code for it."""
    if comparison.interrupted:
        whole = sum(not cell.is_cut_short for cell in comparison.cells)
        count = len(comparison.cells)
        console.say(f"interrupted: {whole} of {count} heatmaps are whole, the others are cut short or missing")
        sys.exit(console.INTERRUPTED)


def show(comparison: Comparison, path: Path, *, as_json: bool) -> None:
    """What was written, on stdout; as JSON with every cell."""
    if as_json:
        cells = [cell.to_dict() for cell in comparison.cells]
        console.answer(json.dumps({"output": str(path), "cells": cells}, ensure_ascii=False))
        return
    missing = sum(not cell.has_heatmap for cell in comparison.cells)
    row: dict[str, Any] = {"output": str(path), "heatmaps": f"{len(comparison.cells) - missing} heatmaps"}
    console.show(row | ({"missing": f"{missing} missing"} if missing else {}), as_json=False)


def write_report(comparison: Comparison, path: Path, *, image: Path, model: str, drawing: dict[str, Any]) -> None:
    """The same heatmaps as a page."""
    from onnxcam.reports import Album, facts, save
    from onnxcam.reports.album import size_for

    album = Album(size_for(len(comparison.cells)), drawing)
    for cell in comparison.cells:
        if cell.explanation is not None:
            album.add(str(image), cell.explanation)
        else:
            album.fail(str(image), str(cell.error), label=str(cell.target), method=cell.method, layer=cell.layer)
    explainer = next(row.explainer for row in comparison.rows if row.explainer is not None)
    known = [fact for fact in facts(explainer, model=model) if fact[0] not in ("Method", "Layer")]
    save(album, path, title=f"{image.name} in {Path(model).name}", facts=known)
