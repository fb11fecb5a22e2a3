"""How good the heatmaps of a model are, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxcam.assessment import Assessment, Unfit
from onnxcam.errors import ImageError, OnnxCamError
from onnxcam.evaluation import Evaluation, find_metrics
from onnxcam.evaluation.annotations import things_of
from onnxcam.evaluation.results import Row
from onnxcam.evaluation.running import Skipped
from onnxcam.evaluation.sample import Sample, asking_of, name_of
from onnxcam.evaluation.subject import BATCH_SIZE
from onnxcam.evaluation.table import check_options
from onnxcam.images import read
from onnxcam.jobs import find_jobs


def samples_of(
    images: Any, boxes: Any = None, limit: int | None = None, *, asking: Mapping[str, Any] | None = None
) -> list[Sample]:
    """The pictures behind paths, folders and globs, or as they are, with what is to be seen in them.

    Args:
        images: see `evaluate`, as for the next two.
        boxes: where things are.
        limit: of the number of pictures.
        asking: arguments of `sample.asking_of`: what an explainer is told beside them.

    Raises:
        ImageNotFound: if a path leads to no picture.
        InvalidBoxes, InvalidRegion, InvalidReference: if what is said of them cannot be read, or does not fit.
    """
    entries = [images] if isinstance(images, str | Path) else list(images)
    if entries and all(isinstance(entry, str | Path) for entry in entries):
        entries = [job.image for job in find_jobs([str(entry) for entry in entries], Path())]
    entries = entries[:limit]
    if boxes is not None and not isinstance(boxes, str | Path | Mapping) and limit is not None:
        boxes = boxes[:limit]
    told = zip(entries, things_of(boxes, entries), asking_of(len(entries), **(asking or {})), strict=True)
    found = [Sample(image, name_of(image, index), things, said) for index, (image, things, said) in enumerate(told)]
    for sample in found:
        check_sample(sample)
    return found


def check_sample(sample: Sample) -> None:
    """Refuses what does not fit the picture, before any work is done; what cannot be read is said in its turn.

    Raises:
        InvalidBoxes: if a thing lies outside of it.
        InvalidRegion: if its region is of another size.
    """
    if not sample.is_marked:
        return
    try:
        height, width = read(sample.image).shape[:2]
    except ImageError:
        return
    sample.check((height, width))


def evaluate(
    model: Any,
    images: Any,
    *,
    boxes: Any = None,
    metrics: str | Sequence[str] | None = None,
    methods: str | Sequence[str] = (),
    layers: str | Sequence[str] = (),
    target: Any = None,
    region: Any = None,
    reference: Any = None,
    inputs: Mapping[str, Any] | None = None,
    limit: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    build: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
) -> Evaluation:
    """How good the heatmaps of a model are, by method and layer.

    Ctrl-C ends it early: what is done is kept, and `interrupted` says so.

    Args:
        model: an `Explainer`, an explain graph or its file, or any source that `convert` takes.
        images: a folder, a path or a glob, or several; or arrays and PIL images.
        boxes: where things are: a JSON file, a mapping from file names, or boxes (K, 4) or a mask for each image; see
            `onnxcam.evaluation.boxes`.
        metrics: names in `onnxcam.evaluation.METRICS`, or "all"; None: the quick ones.
        methods: names in `onnxcam.methods.METHODS`; by default Grad-CAM.
        layers: each for itself; by default the model's default layer.
        target: what is explained in every picture. None: the best class; where there are boxes, for each thing the
            best class that means it, if it is among the best five.
        region: a mask (H, W) or its file, over what a class is explained in every picture, all being of that size; or
            one for each picture.
        reference: a picture, or a vector (D,), that all are compared with; or one for each picture.
        inputs: the model's other inputs by name, with a row for each picture, or one that holds for all.
        limit: of the number of pictures.
        options: of metrics, by metric and name: {"deletion": {"steps": 50}}.
        build: further options of `convert`: preprocess, labels, score, wrap …
        run: options of `Explainer`: providers, threads …
        batch_size: altered pictures in one run.
        seed: of every random draw.

    Raises:
        OnnxCamError: one of its kinds, for a model, method, metric, option or box that cannot be had.
    """
    chosen = find_metrics(listed(metrics), has_boxes=boxes is not None)
    check_options(options or {}, chosen)
    plan = Assessment(
        model=model,
        samples=samples_of(images, boxes, limit, asking={"region": region, "reference": reference, "inputs": inputs}),
        metrics=chosen,
        methods=listed(methods),
        layers=listed(layers),
        target=target,
        options=options or {},
        build=build or {},
        run=run or {},
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
