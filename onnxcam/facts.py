"""What the author of an ONNX file says of it in its metadata: class names, preprocessing, names of layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnx import ModelProto

# One JSON object: {"labels": [...], "preprocessing": {...}, "layers": {...}, "vanished": {...}, "notes": [...]}.
KEY = "onnxcam.model"


def author_facts(model: ModelProto) -> dict[str, Any]:
    """The object under "onnxcam.model" in the file's metadata; empty where there is none, or none that is JSON.

    - labels: one a class, in order.
    - preprocessing: what `onnxcam.preprocessing.parse` takes.
    - layers: from names that the author knows to tensors of the graph, where the tensor's own name does not say it.
    - vanished: from layers that left no tensor behind (folded, fused) to the nearest layer that did.
    - notes: sentences that a user should read: what was left out, what is inside the model already.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), "{}")
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def note(model: ModelProto, **facts: Any) -> None:
    """Adds to what the file says of itself; empty facts are left out, mappings are merged."""
    known = author_facts(model)
    for name, fact in facts.items():
        merged = {**known.get(name, {}), **fact} if isinstance(fact, Mapping) else fact
        if merged is not None and merged not in ({}, [], ()):
            known[name] = merged
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=KEY, value=json.dumps(known, ensure_ascii=False))
