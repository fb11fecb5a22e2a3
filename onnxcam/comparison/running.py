"""The making of a comparison: each method at each layer is converted once, and explains all targets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from onnxcam import api
from onnxcam.comparison.results import Cell, Comparison, Row, gathered
from onnxcam.engine import Explainer
from onnxcam.errors import (
    InvalidLabels,
    InvalidPreprocessing,
    OnnxCamError,
    UnknownChoice,
    UnknownLayer,
    VanishedLayer,
)
from onnxcam.explanation import Explanation
from onnxcam.images import Image, read
from onnxcam.methods import METHODS, find_method, of_picture
from onnxcam.sources import open_once

Found: TypeAlias = tuple[Explanation | None, OnnxCamError | None]

# One of each kind: weights of channels, weights of places, and no weights at all.
USUAL_METHODS = ("gradcam", "gradcam++", "xgradcam", "layercam", "hirescam", "eigencam")
USUAL_TARGETS = 3  # the best classes
# What was said wrong is said once; only what a model cannot do is an empty cell.
MISTAKES = (UnknownChoice, UnknownLayer, VanishedLayer, InvalidLabels, InvalidPreprocessing)


def compare(
    model: Any,
    image: Any,
    *,
    methods: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    targets: Sequence[Any] | None = None,
    providers: Sequence[Any] | None = None,
    **options: Any,
) -> Comparison:
    """One picture explained by several methods, at several layers, for several classes.

    What cannot be had, as a method that the architecture does not allow, is a cell with the error and no heatmap.

    Args:
        model: what `onnxcam.convert` takes.
        image: one picture, as an `Explainer` takes it.
        methods: names; by default some of each kind.
        layers: each is explained by itself; by default the model's default.
        targets: as an `Explainer` takes them; by default the three best classes.
        providers: what runs the graphs.
        options: those of `convert`, for all of them.

    Raises:
        OnnxCamError: one of its kinds, if no heatmap at all can be had, or one of the names does not exist.
    """
    photo = read(image)
    opened, rest = open_once(model, options)
    rows = list(
        compared(
            opened.onnx,
            photo,
            methods=methods,
            layers=layers,
            targets=targets,
            providers=providers,
            options=rest,
        )
    )
    return gathered(photo, rows, title=names_of(image, model))


def names_of(*things: Any) -> list[str]:
    """The names of those that are files."""
    return [Path(thing).name for thing in things if isinstance(thing, str | os.PathLike)]


def compared(
    model: Any,
    photo: Image,
    *,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None,
    targets: Sequence[Any] | None,
    providers: Sequence[Any] | None,
    options: Mapping[str, Any],
) -> Iterator[Row]:
    """The rows, one by one as they are done.

    Raises:
        UnknownChoice, UnknownLayer, LabelNotFound …: for a name that does not exist.
    """
    for method, layer in pairs_of(methods or usual_methods(), layers):
        given = {**options, "method": method, **({} if layer is None else {"layer": layer})}
        try:
            explainer, is_multi = opened(model, given, providers)
        except MISTAKES:
            raise
        except OnnxCamError as error:
            yield Row(method, layer or "", error=error)
            continue
        wanted = usual_targets(explainer) if targets is None else list(targets)
        found = explained(explainer, photo, wanted, is_multi=is_multi)
        where = layer or ", ".join(explainer.metadata.layers)
        cells = (Cell(method, where, target, *result) for target, result in zip(wanted, found, strict=True))
        yield Row(method, where, tuple(cells), explainer)


def pairs_of(methods: Sequence[str], layers: Sequence[str] | None) -> list[tuple[str, str | None]]:
    """Each method at each layer; one that looks at the picture itself stands alone.

    Raises:
        UnknownChoice: for a method that does not exist.
    """
    pairs: list[tuple[str, str | None]] = []
    for name in dict.fromkeys(methods):
        has_layer = find_method(name).find is not of_picture
        pairs += [(name, layer) for layer in layers] if layers and has_layer else [(name, None)]
    return pairs


def usual_methods() -> list[str]:
    """Those that are compared where nobody says which."""
    return [name for name in USUAL_METHODS if name in METHODS]


def usual_targets(explainer: Explainer) -> list[int]:
    """The ranks of the best classes, as far as there are so many."""
    return [-rank for rank in range(1, min(USUAL_TARGETS, explainer.metadata.classes or 1) + 1)]


def opened(model: Any, given: Mapping[str, Any], providers: Sequence[Any] | None) -> tuple[Explainer, bool]:
    """What explains, and whether it takes several targets in one run, as most models do."""
    try:
        return api.explainer_of(api.convert(model, **given, multi_target=True), providers=providers), True
    except MISTAKES:
        raise
    except OnnxCamError:  # told by the next line, if it is more than that
        return api.explainer_of(api.convert(model, **given), providers=providers), False


def explained(explainer: Explainer, photo: Image, targets: Sequence[Any], *, is_multi: bool) -> list[Found]:
    """For each target its explanation, or why there is none."""
    for target in targets:
        explainer.classes.number(target)  # one that does not exist is an error of its own, not a cell
    if is_multi:
        try:
            return [(found, None) for found in explainer(photo, list(targets))]
        except OnnxCamError as error:
            return [(None, error)] * len(targets)
    results: list[Found] = []
    for target in targets:
        try:
            results.append((explainer(photo, target), None))
        except OnnxCamError as error:
            results.append((None, error))
    return results
