"""What the author of an ONNX file says of it in its metadata: class names, preprocessing."""

from __future__ import annotations

import json
from typing import Any

from onnx import ModelProto

# One JSON object: {"labels": [...], "preprocessing": {...}}.
KEY = "onnxcam.model"


def author_facts(model: ModelProto) -> dict[str, Any]:
    """The object under "onnxcam.model" in the file's metadata; empty where there is none, or none that is JSON."""
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), "{}")
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
