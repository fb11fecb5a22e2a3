"""How good the heatmaps of a model are, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxcam.assessment import Assessment, Unfit
from onnxcam.errors import ImageError, OnnxCamError
from onnxcam.evaluation import Evaluation, find_metrics
from onnxcam.evaluation.annotations import check_places, things_of
from onnxcam.evaluation.results import Row
from onnxcam.evaluation.running import Sample, Skipped, name_of
from onnxcam.evaluation.subject import BATCH_SIZE
from onnxcam.images import read
from onnxcam.jobs import find_jobs


def samples_of(images: Any, boxes: Any = None, limit: int | None = None) -> list[Sample]:
    """The pictures behind paths, folders and globs, or as they are, with what is to be seen in them.

    Raises:
        ImageNotFound: if a path leads to no picture.
        InvalidBoxes: if the boxes cannot be read, or do not fit.
    """
    entries = [images] if isinstance(images, str | Path) else list(images)
    if entries and all(isinstance(entry, str | Path) for entry in entries):
        entries = [job.image for job in find_jobs([str(entry) for entry in entries], Path())]
    entries = entries[:limit]
    if boxes is not None and not isinstance(boxes, str | Path | Mapping) and limit is not None:
        boxes = boxes[:limit]
    things = things_of(boxes, entries)
    found = [
        Sample(image, name_of(image, index), seen)
        for index, (image, seen) in enumerate(zip(entries, things, strict=True))
    ]
    for sample in found:
        check_sample(sample)
    return found


def check_sample(sample: Sample) -> None:
    """Refuses things outside of the picture, before any work is done; what cannot be read is said in its turn.

    Raises:
        InvalidBoxes: if there is one.
    """
    if not sample.things:
        return
    try:
        height, width = read(sample.image).shape[:2]
    except ImageError:
        return
    check_places(sample.things, (height, width), sample.name)


def evaluate(
    model: Any,
    images: Any,
    *,
    boxes: Any = None,
    metrics: str | Sequence[str] | None = None,
    methods: str | Sequence[str] = (),
    layers: str | Sequence[str] = (),
    target: Any = None,
    limit: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    build: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
) -> Evaluation:
    """How good the heatmaps of a model are, by method and layer.

    Ctrl-C ends it early: what is done is kept, and `interrupted` says so.

    Args:
        model: an `Explainer`, an explain graph or its file, or any source that `convert` takes.
        images: a folder, a path or a glob, or several; or arrays and PIL images.
        boxes: where things are: a JSON file, a mapping from file names, or boxes (K, 4) or a mask for each image; see
            `onnxcam.evaluation.annotations`.
        metrics: names in `onnxcam.evaluation.METRICS`, or "all"; None: the quick ones.
        methods: names in `onnxcam.methods.METHODS`; by default Grad-CAM.
        layers: each for itself; by default the model's default layer.
        target: what is explained in every picture. None: the best class; where there are boxes, for each thing the
            best class that means it, if it is among the best five.
        limit: of the number of pictures.
        options: of metrics, by metric and name: {"deletion": {"steps": 50}}.
        build: further options of `convert`: preprocess, labels, score …
        run: options of `Explainer`: providers, threads …
        inputs: the model's other inputs, for one picture.
        batch_size: altered pictures in one run.
        seed: of every random draw.

    Raises:
        OnnxCamError: one of its kinds, for a model, method, metric or box that cannot be had.
    """
    chosen = find_metrics(listed(metrics), has_boxes=boxes is not None)
    plan = Assessment(
        model=model,
        samples=samples_of(images, boxes, limit),
        metrics=chosen,
        methods=listed(methods),
        layers=listed(layers),
        target=target,
        options=options or {},
        build=build or {},
        run=run or {},
        inputs=inputs or {},
        batch_size=batch_size,
        seed=seed,
        has_boxes=boxes is not None,
    )
    return gathered(plan.results())


def listed(names: str | Sequence[str] | None) -> Sequence[str]:
    """Several names, also where one or none is given."""
    return [names] if isinstance(names, str) else names or ()


def gathered(results: Iterable[list[Row] | Skipped | Unfit]) -> Evaluation:
    """All results as one, as far as they came before Ctrl-C.

    Raises:
        OnnxCamError: what failed first, if nothing could be measured.
    """
    rows: list[Row] = []
    failures: dict[str, OnnxCamError] = {}
    interrupted = False
    try:
        for result in results:
            if isinstance(result, list):
                rows += result
            else:
                failures[result.name] = result.error
    except KeyboardInterrupt:
        interrupted = True
    if not rows and failures and not interrupted:
        raise next(iter(failures.values()))
    return Evaluation(tuple(rows), {name: str(error) for name, error in failures.items()}, interrupted)
