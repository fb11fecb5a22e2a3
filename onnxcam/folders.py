"""Many pictures explained: what is written for each, and how one bad file leaves the others alone."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxcam.errors import CannotWriteFile, Interrupted, OnnxCamError, TargetsLeft, WouldOverwriteImage
from onnxcam.explanation import INTERRUPTED, NOT_FOUND, Explanation
from onnxcam.files import write_whole
from onnxcam.jobs import HEATMAP, OVERLAY, Job
from onnxcam.records import Failure, Record, Style

if TYPE_CHECKING:
    from onnxcam.engine import Explainer
    from onnxcam.picture import Picture
    from onnxcam.shots import Result


def explain_jobs(
    explainer: Explainer,
    jobs: Sequence[Job],
    targets: Sequence[Any],
    style: Style,
    *,
    keep: Callable[[Record, Any], None] | None = None,
    asking: Mapping[str, Any] | None = None,
) -> Iterator[list[Record] | Failure]:
    """For each picture the records of its heatmaps, one a target, after they are written; or why there are none.

    `keep` sees each heatmap once it is written. `asking` are further arguments of the explainer's call. Where a method
    of many passes was interrupted, what it had is written before KeyboardInterrupt is passed on. Targets that turn out
    to be the same class (and box) of a picture have one heatmap.

    One picture at a time: of 23 photos explained in batches of 8 the time on a CPU was the same within a tenth, and
    eight photos of 24 megapixels with their heatmaps are two gigabytes.
    """
    inputs = frozenset(job.image.resolve() for job in jobs)
    for job in jobs:
        started = time.perf_counter()
        try:
            call = {"channels": style.channels > 0, **(asking or {})}
            found, is_whole = _explain(explainer, job.image, targets, call)
            ms = round((time.perf_counter() - started) * 1000 / len(found), 2)
            missing = missing_ranks(found, targets)
            there = [one for place, one in enumerate(found) if place not in missing]
            records: list[Record] = []
            stems = _stems(job, there, is_one=len(targets) < 2)
            for stem, explanation in _once(zip(stems, there, strict=True)).items():
                records.append(write_record(job.image, stem, explanation, style, ms=ms, inputs=inputs))
                if keep is not None:
                    keep(records[-1], explanation)
            yield [*records, *(_unwritten(job.image, found[place], targets[place], ms) for place in sorted(missing))]
            if not is_whole:
                raise TargetsLeft(len(found), max(1, len(targets)))
        except OnnxCamError as error:
            yield Failure(str(job.image), error)


def _explain(
    explainer: Explainer, image: Path, targets: Sequence[Any], asking: Mapping[str, Any]
) -> tuple[list[Result], bool]:
    """One explanation a target, in one run where the graph takes several; and whether Ctrl-C left them whole."""
    found: list[Result] = []
    try:
        if explainer.metadata.multi_target:
            found += explainer(image, list(targets) or [-1], **asking)
            return found, found[-1].status != INTERRUPTED
        for target in targets or [None]:
            found.append(explainer(image, target, **asking))
            if found[-1].status == INTERRUPTED:
                return found, False
    except Interrupted as stop:
        found += stop.done
        return found, False
    except KeyboardInterrupt:
        if not found:
            raise
        return found, False
    return found, True


def missing_ranks(found: Sequence[Result], targets: Sequence[Any]) -> set[int]:
    """The places of ranks that the picture does not have, so many objects there are not; but one, if it has none."""
    ranks = [isinstance(target, int) and target < 0 for target in targets]
    places = {
        place
        for place, (one, is_rank) in enumerate(zip(found, ranks, strict=False))
        if is_rank and one.status == NOT_FOUND
    }
    return places - {0} if len(places) == len(found) else places


def _stems(job: Job, found: Sequence[Result], *, is_one: bool) -> list[Path]:
    """Where the results go: with the class's number where there are several, and a count where another box has it."""
    if is_one:
        return [job.stem]
    stems, boxes = [], dict[int, list[object]]()
    for explanation in found:
        index, box = explanation.target_index, getattr(explanation, "box", None)
        known = boxes.setdefault(index, [])
        if box not in known:
            known.append(box)
        place = known.index(box)
        stems.append(job.stem.with_name(f"{job.stem.name}.{index}{f'-{place + 1}' if place else ''}"))
    return stems


def _once(pairs: Iterable[tuple[Path, Result]]) -> dict[Path, Result]:
    """The first result of each name: two targets may turn out the same, as a class and the best one."""
    found: dict[Path, Result] = {}
    for stem, result in pairs:
        found.setdefault(stem, result)
    return found


def write_record(
    image: Path,
    stem: Path,
    explanation: Result,
    style: Style,
    *,
    ms: float = 0.0,
    inputs: frozenset[Path] = frozenset(),
) -> Record:
    """What was written: STEM.cam.png, and STEM.npy or STEM.channels.cam.png if asked for; folders are made.

    The heatmap of a signal or volume is STEM.cam.npy.

    Raises:
        WouldOverwriteImage: if a result would take the place of the picture, or of one of `inputs` (resolved paths).
        CannotWriteFile: if a folder or file cannot be written.
    """
    output = stem.with_name(f"{stem.name}{OVERLAY}")
    heatmap = stem.with_name(f"{stem.name}{'.npy' if isinstance(explanation, Explanation) else HEATMAP}")
    if output.resolve() in inputs | {image.resolve()}:
        raise WouldOverwriteImage(str(output))
    make_folder(output.parent)
    drawn(explanation, style).save(output)
    if style.save_heatmap:
        _save_array(heatmap, explanation.heatmap)
    if style.channels and isinstance(explanation, Explanation):
        _save_gallery(stem, explanation, style)
    return _record(image, explanation, output=output, heatmap=heatmap if style.save_heatmap else None, ms=ms)


def _unwritten(image: Path, explanation: Result, rank: int, ms: float) -> Record:
    """The record of a rank that the picture does not have."""
    return replace(
        _record(image, explanation, ms=ms),
        reason=f"it has no detection of rank {rank} above the threshold, so nothing is written for that rank.",
    )


def _record(
    image: Path, explanation: Result, *, output: Path | None = None, heatmap: Path | None = None, ms: float
) -> Record:
    return Record(
        image=str(image),
        output=None if output is None else str(output),
        heatmap=None if heatmap is None else str(heatmap),
        ms=ms,
        reason=explanation.reason,
        report=explanation.report,
        **explanation.summary,
    )


def drawn(explanation: Result, style: Style) -> Picture:
    """The picture to write: the photo with its heatmap, a signal's plot, or a mosaic of a volume's slices."""
    if isinstance(explanation, Explanation):
        return explanation.overlay(**style.drawing())
    return explanation.sheet(style.alpha, style.colormap, legend=style.legend)


def make_folder(folder: Path) -> None:
    """Makes the folder, and those above it.

    Raises:
        CannotWriteFile: if it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file has that name" if isinstance(error, FileExistsError) else error.strerror or str(error)
        raise CannotWriteFile(str(folder), reason) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotWriteFile(str(folder), "permission denied")


def _save_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array.astype(np.float32))
    write_whole(path, buffer.getvalue())


def _save_gallery(stem: Path, explanation: Explanation, style: Style) -> None:
    """Writes STEM.channels.cam.png."""
    explanation.gallery(**style.gallery()).save(stem.with_name(f"{stem.name}.channels{OVERLAY}"))
