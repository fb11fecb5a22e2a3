"""A report that grows with the heatmaps and is written when they end, however they end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcam import console
from onnxcam.errors import UnknownReportFormat
from onnxcam.folders import make_folder
from onnxcam.records import Failure, Record, Style
from onnxcam.reports.album import Album, size_for
from onnxcam.reports.facts import facts
from onnxcam.reports.page import check_extra, save

if TYPE_CHECKING:
    from onnxcam.engine import Explainer
    from onnxcam.explanation import Explanation

SUFFIXES = (".html", ".htm")


def check_report(path: Path | None) -> None:
    """Refuses a report that could not be written, before any work is done.

    Raises:
        UnknownReportFormat: if its name is no page's.
        MissingExtra: if Jinja is not installed.
        CannotWriteFile: if its folder cannot be made.
    """
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UnknownReportFormat(str(path))
    check_extra()
    make_folder(path.parent)


@dataclass(slots=True)
class Kept:
    """What goes into the report while pictures are explained; without an album nothing is kept."""

    album: Album | None
    done: int = 0

    def keep(self, record: Record, explanation: Explanation) -> None:
        """Takes a heatmap that was written."""
        if self.album is not None:
            self.album.add(
                record.image, explanation, file=None if record.output is None else Path(record.output), ms=record.ms
            )

    def watch(self, results: Iterator[list[Record] | Failure]) -> Iterator[list[Record] | Failure]:
        """The same results; those that failed are taken too."""
        for result in results:
            self.done += 1
            if isinstance(result, Failure) and self.album is not None:
                self.album.fail(result.image, str(result.error))
            yield result


@contextmanager
def reported(
    path: Path | None,
    explainer: Explainer,
    *,
    model: str,
    style: Style,
    asking: Mapping[str, Any],
    pictures: int,
    targets: int,
    as_json: bool,
) -> Iterator[Kept]:
    """What the report takes; when the block ends, well or not, the page of what was taken is written."""
    album = None if path is None else Album(size_for(pictures * targets), style.drawing())
    kept = Kept(album)
    try:
        yield kept
    finally:
        if path is not None and album is not None:
            missing = pictures - kept.done
            known = facts(explainer, model=model, asking=asking)
            save(album, path, title=Path(model).name, facts=known, missing=missing)
            row: dict[str, Any] = {"report": str(path)}
            console.show(row, as_json=as_json)
