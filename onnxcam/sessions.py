"""Where an explain graph lies, and what it says of itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from onnxcam import metadata as records
from onnxcam.errors import ExplainGraphNotFound, NotAnExplainGraph
from onnxcam.labels import LISTS, known_list


def located(source: str | os.PathLike[str] | bytes) -> str | bytes:
    """The file's path as ONNX Runtime takes it, if there is such a file; or the bytes."""
    if isinstance(source, bytes):
        return source
    if not Path(source).is_file():
        raise ExplainGraphNotFound(str(source))
    return str(Path(source))


def described(session: Any, source: str | os.PathLike[str] | bytes) -> records.Metadata:
    """What the graph says about itself."""
    text = session.get_modelmeta().custom_metadata_map.get(records.KEY)
    if text is None:
        raise NotAnExplainGraph("the model given as bytes" if isinstance(source, bytes) else repr(str(source)))
    return records.parse(text)


def own_labels(metadata: records.Metadata) -> tuple[str, ...] | None:
    """The class names that the graph bears, or those of the known list that it points to."""
    if metadata.labels is None and metadata.label_list in LISTS:
        own = None if metadata.classes is None else metadata.classes - len(metadata.groups)
        return (*known_list(metadata.label_list, own), *metadata.groups)
    return metadata.labels
