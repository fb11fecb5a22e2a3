"""Whatever the user has, opened: ONNX as it is, anything else converted and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxcam.checking import check
from onnxcam.conversion import Request, convert_source, is_onnx

# Options of `onnxcam.convert` that say how the source is opened.
OPENING = frozenset("example weights pretrained input_size dynamic_size custom_objects keep_outputs check".split())


@dataclass(frozen=True, slots=True)
class Opened:
    """A source as ONNX.

    Attributes:
        onnx: what `onnxcam.graph.load` takes.
        story: how it came about: route, failed attempts, and the check; empty where it was ONNX already.
    """

    onnx: str | Path | bytes | ModelProto
    story: dict[str, Any] = field(default_factory=dict)


def open_source(source: Any, *, example: Any = None, is_checked: bool = False, **said: Any) -> Opened:
    """The source as ONNX.

    Args:
        source: what is to be opened, or a `Request` that says more of it.
        example: see `Request`.
        is_checked: compare what was converted with the framework's own model.
        said: further fields of `Request`.

    Raises:
        OnnxCamError: what the converter raises, and what the check finds.
    """
    request = source if isinstance(source, Request) else Request(source=source, example=example, **said)
    if is_onnx(request.source):
        return Opened(request.source)
    made = convert_source(request)
    story: dict[str, Any] = {"route": made.route}
    if made.attempts:
        story["attempts"] = list(made.attempts)
    if is_checked:
        story["check"] = check(made).to_dict()
    return Opened(made.model, story)


def open_once(source: Any, options: Mapping[str, Any]) -> tuple[Opened, dict[str, Any]]:
    """The source as ONNX for several conversions, and the options of `onnxcam.convert` that are left for each."""
    said = {name: value for name, value in options.items() if name in OPENING}
    is_checked = said.pop("check", True)
    if "keep_outputs" in said:
        said["outputs"] = tuple(said.pop("keep_outputs"))
    opened = open_source(source, is_checked=is_checked, **said)
    return opened, {name: value for name, value in options.items() if name not in OPENING}
