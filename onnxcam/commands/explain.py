"""`onnxcam explain`: a heatmap for each picture and target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.options import (
    AsJson,
    Building,
    Conversion,
    Describing,
    Drawing,
    Folder,
    Pointing,
    Report,
    Running,
    Scoring,
    Targets,
    expanded,
    refuse_of_arrays,
    refuse_of_films,
    targets_of,
)

if TYPE_CHECKING:
    from onnxcam.engine import Explainer
    from onnxcam.jobs import Job
    from onnxcam.records import Style


@expanded
def explain(
    model: Annotated[str, typer.Argument(help="An explain graph, or a model, which is converted on the fly.")],
    images: Annotated[list[str], typer.Argument(help="Pictures, folders or globs; of signals and volumes .npy files.")],
    output: Folder = Path(),
    target: Targets = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="The K best classes of each picture.")] = 0,
    *,
    drawing: Drawing,
    report: Report = None,
    pointing: Pointing,
    every: Annotated[int, typer.Option("--every", min=1, help="Of a film every so many frames.")] = 1,
    building: Building,
    scoring: Scoring,
    describing: Describing,
    running: Running,
    conversion: Conversion,
    as_json: AsJson = False,
) -> None:
    """Draw where the model looked, for each picture and target: STEM.cam.png, or STEM.CLASS.cam.png for several.

    Films (.mp4, .mov …) become films: STEM.cam.webm.
    """
    from onnxcam.metadata import is_explain_graph
    from onnxcam.opening import check_channels, open_explainer, parts_for
    from onnxcam.reports.keeping import check_report

    drawing.check()
    check_report(report)
    pictures, films = sorted_out(images, output)
    if films:
        refuse_of_films(drawing.of_stills())
    elif every > 1:
        raise typer.BadParameter("it is for films, and there is none", param_hint="--every")
    targets = targets_of(target, top_k)
    build = building.arguments() | scoring.arguments() | conversion.arguments()
    run, asking = describing.arguments() | running.arguments(), pointing.arguments()
    if is_explain_graph(model):
        passes, build = of_passes(build)
        asking |= passes
    if drawing.channels and not is_explain_graph(model):
        build["outputs"] = parts_for(building.method)
    explainer = open_explainer(model, build, run, several=len(targets) > 1, targets=targets)
    if explainer.form is not None:
        refuse_of_arrays(drawing.of_pictures() | {"--report": report, "a film": films}, explainer.form.wanted)
    if drawing.channels:
        check_channels(explainer.metadata)
    work = work_for(explainer, pictures, films, targets=targets, output=output, every=every)
    draw(explainer, work, style=drawing.style(), asking=asking, model=model, report=report, as_json=as_json)


def of_passes(build: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of options for a conversion those that a finished graph can take too, as arguments of a call, and the others.

    They are a method of many passes, the graph's own or another, and options of it.
    """
    from onnxcam.drivers import DRIVERS
    from onnxcam.other_names import spelled

    said = next((name for name in ("method", "wrap") if spelled(build.get(name, ""), DRIVERS) in DRIVERS), None)
    names = {"options": "options"} | ({said: "driver"} if said else {})
    taken = {call: build[name] for name, call in names.items() if name in build}
    return taken, {name: value for name, value in build.items() if name not in names}


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be explained, and where the results go."""

    jobs: Sequence[Job]
    films: Sequence[Path]
    targets: Sequence[int | str]
    output: Path
    every: int

    def __len__(self) -> int:
        return len(self.jobs) + len(self.films)


def sorted_out(images: list[str], output: Path) -> tuple[list[str], list[Path]]:
    """Pictures and films; what is not there is said before any work is done.

    Raises:
        ImageNotFound: if a source leads to none.
    """
    from onnxcam.footage import is_film
    from onnxcam.jobs import ARRAYS, SUFFIXES, find_jobs

    films = [Path(name) for name in images if is_film(name)]
    pictures = [name for name in images if not is_film(name)]
    if pictures or not films:
        find_jobs(pictures, output, suffixes=SUFFIXES | ARRAYS)
    return pictures, films


def work_for(
    explainer: Explainer,
    pictures: list[str],
    films: list[Path],
    *,
    targets: list[int | str],
    output: Path,
    every: int,
) -> Work:
    """What the explainer has to do; the folder for it is made.

    Raises:
        OnnxCamError: if there are no pictures of its kind, no such class, or no such folder.
    """
    from onnxcam.folders import make_folder
    from onnxcam.jobs import ARRAYS, SUFFIXES, find_jobs

    jobs = find_jobs(pictures, output, suffixes=ARRAYS if explainer.form else SUFFIXES) if pictures else []
    once: dict[int, int | str] = {}
    for entry in targets:
        # One that does not exist is one error, not one a picture; and one that is said twice is one.
        once.setdefault(explainer.classes.number(entry), entry)
    make_folder(output)
    return Work(jobs, films, list(once.values()), output, every)


def draw(
    explainer: Explainer,
    work: Work,
    *,
    style: Style,
    asking: Mapping[str, Any],
    model: str,
    report: Path | None,
    as_json: bool,
) -> None:
    """Explains, writes and prints, one picture or film at a time; and the report of it all."""
    from onnxcam.folders import explain_jobs
    from onnxcam.footage import explain_films
    from onnxcam.reports.keeping import reported

    many = {"pictures": len(work.jobs), "targets": max(1, len(work.targets))}
    is_long = explainer.metadata.driver is not None or "driver" in asking
    with (
        console.without_native_noise(),
        reported(report, explainer, model=model, style=style, asking=asking, **many, as_json=as_json) as page,
        console.passes(is_shown=is_long) as progress,
    ):
        call = dict(asking) if progress is None else {**asking, "progress": progress}
        results = chain(
            page.watch(explain_jobs(explainer, work.jobs, work.targets, style, keep=page.keep, asking=call)),
            explain_films(explainer, work.films, work.output, work.targets, style=style, every=work.every, asking=call),
        )
        count = len(work)
        console.report(results if is_long else console.progress(results, count), count, as_json=as_json)
