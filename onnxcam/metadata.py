"""What an explain graph says about itself: the JSON in its `metadata_props["onnxcam"]`."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from onnxcam.errors import InvalidMetadata, MetadataTooNew

KEY = "onnxcam"
SCHEMA = 1
SPECIAL = ("groups", "ranks", "like", "options", "driver", "fillings", "layout")
REQUIRED = ("method", "layers", "score", "input")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All that the run half needs besides the graph.

    Attributes:
        layers: names of the layers explained.
        score: what is explained, "logit" or "probability" for instance.
        input: name of the picture's input.
        layout: its axes where it holds no pictures: "NCW" or "NWC" of signals, "NCDHW" or "NDHWC" of volumes,
            "NDCHW" of videos with their frames before their channels.
        scores: name of the model's own output with the class scores, (N, C) or (N, C, 1, 1).
        classes: C, where the score has classes.
        sides: a one-output sigmoid net: index 0 is "yes", index 1 "not:0".
        labels: one per class, in order.
        label_list: where nobody gave labels, the known list ("imagenet-1k") that the number of classes points to.
        preprocessing: what `preprocessing.parse` takes.
        normalize: the convention that made the heatmap.
        groups: names of the groups of classes, the last of the C.
        ranks: how many ranks can be asked for, where these are not the classes: of a detector, its detections.
        like: the library whose numbers were asked for; None: the papers'.
        options: of the method, those that were given.
        driver: the method of many passes that runs the graph, {"name", "options"}, and "like" where it is a library's.
        fillings: the model's other inputs that may be left out, and what each then is, one of `fillings.KINDS`.
        multi_target: `target` is (N, K).
        batch: why the number of pictures in a run is fixed, if it is.
        source: file name and SHA-256 of the model explained.
        conversion: how it became ONNX: "route", "attempts" that failed, "check" (against, relative_error, agreement,
            samples, saturated).
        notes: what a user should know of the model: what is inside it already, what was left out.
    """

    schema: int = SCHEMA
    method: str
    layers: tuple[str, ...]
    score: str
    input: str
    layout: str | None = None
    scores: str | None = None
    classes: int | None = None
    sides: bool = False
    labels: tuple[str, ...] | None = None
    label_list: str | None = None
    preprocessing: Mapping[str, Any] | None = None
    normalize: str = "pytorch-grad-cam"
    groups: tuple[str, ...] = ()
    ranks: int | None = None
    like: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    driver: Mapping[str, Any] | None = None
    fillings: Mapping[str, str] = field(default_factory=dict)
    multi_target: bool = False
    batch: str | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    conversion: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The text that `parse` reads, schema first; of what only some graphs have, nothing where there is nothing."""
        entries = {name: value for name, value in asdict(self).items() if name not in SPECIAL or value}
        return json.dumps(entries, ensure_ascii=False, separators=(",", ":"))


def parse(text: str) -> Metadata:
    """The metadata in a JSON text; keys that this version does not know are left out.

    Raises:
        MetadataTooNew: if a later onnxcam wrote it.
        InvalidMetadata: if none did.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidMetadata(f"it is not JSON ({error})") from error
    if not isinstance(given, dict) or not isinstance(given.get("schema"), int):
        raise InvalidMetadata('it has no "schema"')
    if given["schema"] > SCHEMA:
        raise MetadataTooNew(given["schema"], SCHEMA)
    missing = [name for name in REQUIRED if given.get(name) is None]
    if missing:
        raise InvalidMetadata(f"it lacks {', '.join(map(repr, missing))}")
    known = {entry.name for entry in fields(Metadata)}
    return Metadata(**{name: frozen(value) for name, value in given.items() if name in known})


def frozen(value: object) -> Any:
    """A list as a tuple, anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def is_explain_graph(path: str | Path) -> bool:
    """Whether the file bears this metadata: told from its bytes, without parsing the model."""
    # An entry of metadata_props begins so: field 1, its length, the key, field 2.
    entry = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12"
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.rfind(entry) >= 0
    except (OSError, ValueError):  # missing or empty; whoever opens it says so
        return False
