"""`onnxcam factorize`: the few concepts that a layer sees in some pictures, in colours."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.errors import ImageError, SomeImagesFailed
from onnxcam.options import (
    SOURCE,
    Alpha,
    AsJson,
    Conversion,
    Describing,
    Folder,
    OtherInputs,
    Providers,
    Score,
    expanded,
    inputs_of,
)

if TYPE_CHECKING:
    from onnxcam.factorization import Factorization, Factorizer, Seen
    from onnxcam.jobs import Job

SUFFIX = ".concepts.cam.png"


@expanded
def factorize(
    model: Annotated[str, typer.Argument(help=SOURCE)],
    images: Annotated[list[str], typer.Argument(help="Pictures, folders or globs; they share their concepts.")],
    output: Folder = Path(),
    concepts: Annotated[int, typer.Option("-k", "--concepts", min=1, help="How many concepts.")] = 5,
    layer: Annotated[str | None, typer.Option("--layer", help="Where; see `onnxcam layers`.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    like: Annotated[str | None, typer.Option("--like", help="A library's numbers: pytorch-grad-cam.")] = None,
    alpha: Alpha = 0.75,
    legend: Annotated[bool, typer.Option("--legend/--no-legend", help="What each colour speaks for.")] = True,
    score: Score = None,
    other_input: OtherInputs = None,
    *,
    describing: Describing,
    provider: Providers = None,
    conversion: Conversion,
    as_json: AsJson = False,
) -> None:
    """Draw what a layer's activations are made of: a few concepts, each in a colour, with what they speak for."""
    from onnxcam.factorization import Factorizer, check_factorizing
    from onnxcam.folders import make_folder
    from onnxcam.jobs import find_jobs
    from onnxcam.opening import refuse_explain_graph, tell_story
    from onnxcam.sources import open_once

    check_factorizing(like)
    others = inputs_of(other_input)
    refuse_explain_graph(model)
    jobs = find_jobs(images, output)
    written: list[Job] = []
    with told_when_stopped(written, jobs), console.without_native_noise():
        source, _ = open_once(model, conversion.arguments())
        options = describing.arguments()
        factorizer = Factorizer(source.onnx, layer=layer, score=score, providers=provider, options=options)
        tell_story(replace(factorizer.explainer.metadata, conversion=source.story))
        describing.tell_what_was_assumed(factorizer.explainer)
        make_folder(output)
        seen = list(looked(factorizer, jobs, others))
        found = factorizer.factorized([entry for _, entry in seen], concepts, seed=seed, like=like)
        tell_fit(found)
        for at, (job, _) in enumerate(seen):
            write(found, at, job, alpha=alpha, legend=legend, as_json=as_json)
            written.append(job)
    if len(seen) < len(jobs):
        raise SomeImagesFailed(len(jobs) - len(seen), len(seen))


@contextmanager
def told_when_stopped(written: Sequence[Job], jobs: Sequence[Job]) -> Iterator[None]:
    """What Ctrl-C has left, on stderr, with the shell's exit code for it."""
    try:
        yield
    except KeyboardInterrupt:
        if written:
            console.say(f"interrupted: {len(written)} of {len(jobs)} pictures are written, and whole")
        else:
            console.say("interrupted: nothing is written, as the concepts are those of all pictures together")
        sys.exit(console.INTERRUPTED)


def looked(factorizer: Factorizer, jobs: Sequence[Job], others: Mapping[str, Any]) -> Iterator[tuple[Job, Seen]]:
    """What the layer sees in each picture, beside the other inputs; on stderr which could not be read.

    Raises:
        ImageError: if it is the only one.
    """
    from onnxcam.factorization import of_each

    for job, inputs in console.progress(zip(jobs, of_each(others, len(jobs)), strict=True), len(jobs)):
        try:
            yield job, factorizer.look(job.image, inputs)
        except ImageError as error:
            if len(jobs) == 1:
                raise
            console.complain(error)


def tell_fit(found: Factorization) -> None:
    """How much of the activations the concepts hold."""
    parts = found.decomposition
    console.note(f"{len(found.gains)} concepts hold {1 - parts.error**2:.0%} of the energy at {found.layer}")
    if not parts.is_converged:
        console.note("the factorisation was stopped before it came to rest; another --seed or fewer concepts may help")


def write(found: Factorization, at: int, job: Job, *, alpha: float, legend: bool, as_json: bool) -> None:
    """Writes STEM.concepts.cam.png, and a line about it."""
    from onnxcam.folders import make_folder

    path = job.stem.with_name(f"{job.stem.name}{SUFFIX}")
    make_folder(path.parent)
    found.picture(at, alpha=alpha, legend=legend).save(path)
    row = {"image": str(job.image), "output": str(path), **found.to_dict(at)}
    if as_json:
        console.answer(json.dumps(row, ensure_ascii=False))
        return
    named = [concept.classes[0][1] for concept in found.concepts if concept.classes]
    told = {"output": str(path), "label": row["label"], "score": row["score"], "concepts": ", ".join(named) or None}
    console.show(told, as_json=False)
