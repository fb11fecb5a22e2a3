"""What an explain graph will say of itself, from the plan, the model's author and the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxcam import __version__
from onnxcam.assembly import Plan
from onnxcam.errors import InvalidPreprocessing
from onnxcam.facts import author_facts
from onnxcam.graph import LoadedModel
from onnxcam.labels import LISTS, known_list, list_for, read_labels
from onnxcam.layouts import is_plane, picture_layout
from onnxcam.metadata import Metadata
from onnxcam.preprocessing import Preprocessing, check_size, parse
from onnxcam.scores import Scores, check_names


def describe(
    plan: Plan,
    loaded: LoadedModel,
    *,
    preprocessing: Preprocessing | None,
    labels: str | Path | Sequence[str] | None,
    multi_target: bool,
    story: Mapping[str, Any],
) -> Metadata:
    """The metadata of the explain graph; what the user says goes before what the model's author has noted.

    `story` is how the model was converted, as `onnxcam.sources` tells it.

    Raises:
        InvalidLabels: if there are not as many names as classes.
    """
    facts, method = author_facts(loaded.proto), plan.method
    return Metadata(
        method=method.name,
        layers=tuple(layer.name for layer in plan.layers),
        input=plan.picture.name,
        layout=None if is_plane(plan.picture) else picture_layout(plan.picture),
        **_targets(plan.scores, labels if labels is not None else facts.get("labels")),
        like=plan.like,
        options=dict(plan.options),
        driver=_driver(plan),
        preprocessing=None if preprocessing is None else preprocessing.to_dict(),
        normalize=plan.normalize,
        fillings=dict(plan.fillings),
        multi_target=multi_target,
        batch=loaded.batch_reason or None,
        source={"file": loaded.source.file or "", "sha256": loaded.source.sha256},
        versions={"onnxcam": __version__},
        conversion=story,
        notes=(*facts.get("notes", ()), *plan.scores.notes, *method.notes(plan.tape, plan.scores, plan.options)),
    )


def _targets(scores: Scores, names: str | Path | Sequence[str] | None) -> dict[str, Any]:
    """What a target may be, and what it is called: the fields about scores and classes."""
    own = scores.classes - len(scores.groups)
    named = None if names is None else read_labels(names, own)
    listed = (scores.label_list or list_for(own)) if names is None else None
    if scores.groups:
        check_names(scores.groups, named or (known_list(listed, own) if listed in LISTS else ()))
    return {
        "score": scores.kind,
        "scores": scores.output.name if scores.output is not None else None,
        "classes": scores.classes,
        "sides": scores.has_sides,
        "label_list": listed,
        "labels": None if named is None else (*named, *scores.groups),
        "groups": scores.groups,
        "ranks": None if scores.ranked in (0, own) else scores.ranked,
    }


def _driver(plan: Plan) -> Mapping[str, Any] | None:
    """What runs the graph in many passes: the method itself, or the one around it."""
    method = plan.method
    if plan.around is not None or method.driver is None:
        return plan.around
    found: dict[str, Any] = {"name": method.driver, "options": dict(plan.options)}
    return found if method.like is None else {**found, "like": method.like}


def preprocessing_of(
    plan: Plan, loaded: LoadedModel, preprocess: str | Mapping[str, Any] | None
) -> Preprocessing | None:
    """How pixels become the model's input: as the user says, else as its author has noted, else as is usual
    for such a model; None where nothing is known.

    Raises:
        InvalidPreprocessing, UnknownChoice: for a specification that makes no sense.
    """
    if not is_plane(plan.picture):
        if preprocess is not None:
            kind = picture_layout(plan.picture)
            raise InvalidPreprocessing(f"the model takes no pictures, but {kind}: arrays that are prepared already")
        return None
    spec = preprocess if preprocess is not None else author_facts(loaded.proto).get("preprocessing")
    spec = plan.scores.preprocess if spec is None else spec
    return None if spec is None else fit(spec, plan, is_said=preprocess is not None)


def fit(spec: str | Mapping[str, Any] | None, plan: Plan, *, is_said: bool = False) -> Preprocessing:
    """The specification, completed by what the model's input says: size, layout, channels, element type.

    Raises:
        InvalidPreprocessing: if it makes no sense; or, where it `is_said` by the user, another size than the model's.
    """
    layout, shape, dtype = picture_layout(plan.picture) or "NCHW", plan.picture.shape or (), plan.picture.dtype
    h, w, channels = (shape[layout.index(axis)] for axis in "HWC")
    size = (h, w) if isinstance(h, int) and isinstance(w, int) else None
    found = parse(
        spec,
        size=size,
        layout=layout,
        dtype=dtype.name if dtype is not None else None,
        channels=channels if isinstance(channels, int) else None,
    )
    if is_said:
        check_size(found, size)
    return found
