"""The head of a detector, found in the graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from onnxcam.errors import NotThatDetector, UnknownChoice
from onnxcam.graph import Tape, Value
from onnxcam.scores.detectors import anchored, heads, lists, pairs
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.settings import Settings
from onnxcam.scores.detectors.tables import scale_table, single_tables

FAMILIES = tuple(dict.fromkeys((*heads.FAMILIES, *pairs.NAMES, *lists.NAMES)))


def find_detections(tape: Tape, picture: Value, settings: Settings | None = None) -> Detections | None:
    """The candidates of the detector that the model is; None if its outputs are no detector's.

    Raises:
        DetectorUnclear: if they are one, of a kind that does not show.
        NotThatDetector: if they do not fit the kind that `settings` names.
        RawBoxes: if its boxes are offsets from anchors that nobody gives.
    """
    wanted = settings or Settings()
    if wanted.family is not None and wanted.family not in FAMILIES:
        raise UnknownChoice("kind of detector", wanted.family, FAMILIES)
    found = _found(tape, picture, settings=wanted)
    if found is None and wanted.family is not None:
        raise NotThatDetector(wanted.family, {value.name: value.shape for value in tape.outputs})
    return found


def _found(tape: Tape, picture: Value, *, settings: Settings) -> Detections | None:
    """What is finished goes first, for a list is also a table; then a table of all scales, then several outputs."""
    listed = lists.find_list(tape, picture, settings=settings)
    if listed is not None:
        return listed
    tables = list(single_tables(tape, picture))
    whole = [table for table in tables if table.pyramid is None or len(table.pyramid.strides) > 1]
    ways: list[Callable[[], Detections | None]] = [
        *(partial(heads.read, table, picture, settings=settings) for table in whole),
        partial(pairs.find_pair, tape, picture, settings=settings),
        partial(_of_scales, tape, picture, settings=settings),
        *(partial(heads.read, table, picture, settings=settings) for table in tables if table not in whole),
    ]
    return next(filter(None, (way() for way in ways)), None)


def _of_scales(tape: Tape, picture: Value, *, settings: Settings) -> Detections | None:
    """Several outputs of one head; one convolution for all of it is how heads with anchors end."""
    table = scale_table(tape, picture)
    if table is None or len(table.parts) == 1 or settings.family in anchored.COCO_ANCHORS:
        raw = anchored.find_raw(tape, picture, settings=settings)
        if raw is not None:
            return raw
    if table is None or (len(table.parts) == 1 and settings.family is None):
        return None  # maps of features are as many, too
    return heads.read(table, picture, settings=settings)
