"""Many pictures explained: what is written for each, and how one bad file leaves the others alone."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxcam.errors import CannotWriteFile, OnnxCamError, WouldOverwriteImage
from onnxcam.explanation import INTERRUPTED, Explanation
from onnxcam.files import write_whole
from onnxcam.jobs import HEATMAP, OVERLAY, Job

if TYPE_CHECKING:
    from onnxcam.engine import Explainer
    from onnxcam.picture import Picture
    from onnxcam.shots import Result


@dataclass(frozen=True, slots=True)
class Record:
    """One line about one heatmap.

    Attributes:
        heatmap: where the array was written; None unless it was asked for.
        ms: the heatmap's share of reading the picture and running the graph, in milliseconds.
        reason: what is wrong with the map, for people; empty when it is ok.
    """

    image: str
    output: str
    heatmap: str | None
    target_index: int
    label: str | None
    score: float
    method: str
    layer: str
    status: str
    ms: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, without the reason."""
        return {name: value for name, value in asdict(self).items() if name != "reason"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be explained, and why."""

    image: str
    error: OnnxCamError


@dataclass(frozen=True, slots=True)
class Style:
    """What is drawn and written for each heatmap; the fields are those of `Explanation.overlay`.

    Attributes:
        save_heatmap: also write the array.
        channels: also write a gallery of so many channels.
        channel_view: what it shows of them, one of `channels.KINDS`; None for the first.
    """

    alpha: float = 0.5
    colormap: str | None = None
    blend: str | None = None
    contour: bool = False
    box: bool = False
    legend: bool = False
    save_heatmap: bool = False
    channels: int = 0
    channel_view: str | None = None

    def drawing(self) -> dict[str, Any]:
        """The arguments of `Explanation.overlay` that were given."""
        other = ("save_heatmap", "channels", "channel_view")
        return {name: value for name, value in asdict(self).items() if value is not None and name not in other}

    def gallery(self) -> dict[str, Any]:
        """The arguments of `Explanation.gallery` that were given."""
        given = {"count": self.channels, "of": self.channel_view, "alpha": self.alpha, "colormap": self.colormap}
        return {name: value for name, value in given.items() if value is not None}


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
    of many passes was interrupted, what it had is written and the rest left out.

    One picture at a time: of 23 photos explained in batches of 8 the time on a CPU was the same within a tenth, and
    eight photos of 24 megapixels with their heatmaps are two gigabytes.
    """
    inputs = frozenset(job.image.resolve() for job in jobs)
    for job in jobs:
        started = time.perf_counter()
        try:
            found = _explain(explainer, job.image, targets, {"channels": style.channels > 0, **(asking or {})})
            ms = round((time.perf_counter() - started) * 1000 / len(found), 2)
            stems = _stems(job, found)
            records = []
            for stem, explanation in zip(stems, found, strict=True):
                records.append(write_record(job.image, stem, explanation, style, ms=ms, inputs=inputs))
                if keep is not None:
                    keep(records[-1], explanation)
            yield records
            if found[-1].status == INTERRUPTED:
                return
        except OnnxCamError as error:
            yield Failure(str(job.image), error)


def _explain(explainer: Explainer, image: Path, targets: Sequence[Any], asking: Mapping[str, Any]) -> list[Result]:
    """One explanation a target: in one run where the graph takes several."""
    if explainer.metadata.multi_target:
        return [*explainer(image, list(targets) or [-1], **asking)]
    found: list[Result] = []
    for target in targets or [None]:
        found.append(explainer(image, target, **asking))
        if found[-1].status == INTERRUPTED:
            break
    return found


def _stems(job: Job, found: Sequence[Result]) -> list[Path]:
    """Where the results go: with the class's number where there are several, and a count where another box has it."""
    if len(found) == 1:
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
    return Record(
        image=str(image),
        output=str(output),
        heatmap=str(heatmap) if style.save_heatmap else None,
        ms=ms,
        reason=explanation.reason,
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
