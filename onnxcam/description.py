"""What an explain graph will say of itself, from the plan, the model's author and the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxcam import __version__
from onnxcam.assembly import Plan
from onnxcam.facts import author_facts
from onnxcam.graph import LoadedModel
from onnxcam.labels import list_for, read_labels
from onnxcam.layouts import picture_layout
from onnxcam.metadata import Metadata
from onnxcam.preprocessing import Preprocessing, parse


def describe(
    plan: Plan,
    loaded: LoadedModel,
    *,
    preprocess: str | Mapping[str, Any] | None,
    labels: str | Path | Sequence[str] | None,
    multi_target: bool,
    story: Mapping[str, Any],
) -> Metadata:
    """The metadata of the explain graph; what the user says goes before what the model's author has noted.

    `story` is how the model was converted, as `onnxcam.sources` tells it.

    Raises:
        InvalidLabels: if there are not as many names as classes.
        InvalidPreprocessing, UnknownChoice: for a specification that makes no sense.
    """
    facts = author_facts(loaded.proto)
    spec = preprocess if preprocess is not None else facts.get("preprocessing")
    names = labels if labels is not None else facts.get("labels")
    scores = plan.scores
    return Metadata(
        method=plan.method.name,
        layers=tuple(layer.name for layer in plan.layers),
        score=scores.kind,
        input=plan.picture.name,
        scores=scores.output.name,
        classes=scores.classes,
        sides=scores.has_sides,
        label_list=list_for(scores.classes) if names is None else None,
        labels=None if names is None else read_labels(names, scores.classes),
        preprocessing=None if spec is None else fit(spec, plan).to_dict(),
        normalize=plan.normalize,
        multi_target=multi_target,
        batch=loaded.batch_reason or None,
        source={"file": loaded.source.file or "", "sha256": loaded.source.sha256},
        versions={"onnxcam": __version__},
        conversion=story,
        notes=tuple(facts.get("notes", ())),
    )


def fit(spec: str | Mapping[str, Any] | None, plan: Plan) -> Preprocessing:
    """The specification, completed by what the model's input says: size, layout, channels, element type."""
    layout, shape, dtype = picture_layout(plan.picture) or "NCHW", plan.picture.shape or (), plan.picture.dtype
    h, w, channels = (shape[layout.index(axis)] for axis in "HWC")
    return parse(
        spec,
        size=(h, w) if isinstance(h, int) and isinstance(w, int) else None,
        layout=layout,
        dtype=dtype.name if dtype is not None else None,
        channels=channels if isinstance(channels, int) else None,
    )
