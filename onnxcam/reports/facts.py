"""What a page says of the model and the run."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from onnxcam.providers import load_runtime

if TYPE_CHECKING:
    from onnxcam.engine import Explainer

Facts = list[tuple[str, str]]


def facts(explainer: Explainer, *, model: str, asking: Mapping[str, Any] | None = None) -> Facts:
    """Name and value of what another would need to make the same heatmaps; what is not known is left out.

    `asking`: further arguments of the explainer's call. A `driver` among them takes the place of the graph's method.
    """
    known, said = explainer.metadata, asking or {}
    driver = said.get("driver")
    options = {**({} if driver else known.options), **said.get("options", {})}
    spec = explainer.preprocessing.to_dict()
    rows = [
        ("Model", model),
        ("Made from", known.source.get("file", "")),
        ("SHA-256 of the model", known.source.get("sha256", "")),
        ("Method", driver or known.method),
        ("Layer", "" if driver else ", ".join(known.layers)),
        ("Options", json.dumps(options, ensure_ascii=False) if options else ""),
        ("Numbers like", known.like or ""),
        ("Score explained", known.score),
        ("Classes", str(known.classes or "")),
        ("Normalisation", known.normalize),
        ("Preprocessing", json.dumps(spec, ensure_ascii=False)),
        ("Conversion", str(known.conversion.get("route", ""))),
        ("Notes", " ".join(known.notes)),
    ]
    return [(name, value) for name, value in rows if value] + of_the_run(", ".join(explainer.providers), known.versions)


def of_the_run(providers: str, versions: Mapping[str, str]) -> Facts:
    """Where and when. `versions`: of what made the explain graph."""
    from onnxcam import __version__

    made = versions.get("onnxcam")
    runtime = f"onnxcam {__version__}, ONNX Runtime {load_runtime().__version__}, Python {platform.python_version()}"
    return [
        ("Run on", providers),
        ("Versions", runtime if made in (None, __version__) else f"{runtime}; explain graph by onnxcam {made}"),
        ("Written", datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")),
    ]
