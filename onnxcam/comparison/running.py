"""The making of a comparison: each method at each layer is converted once, and explains all targets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from onnxcam import api
from onnxcam.comparison.results import Cell, Comparison, Row, gathered
from onnxcam.engine import Explainer
from onnxcam.errors import (
    Interrupted,
    InvalidGroup,
    InvalidLabels,
    InvalidPreprocessing,
    NotBegun,
    OnlyExplained,
    OnnxCamError,
    UnknownChoice,
    UnknownLayer,
    VanishedLayer,
)
from onnxcam.explanation import INTERRUPTED, Explanation
from onnxcam.images import Image, read
from onnxcam.methods import METHODS, find_method, of_picture, shared_options
from onnxcam.sources import open_once
from onnxcam.sums import with_sums

Found: TypeAlias = tuple[Explanation | None, OnnxCamError | None]

# One of each kind: weights of channels, weights of places, and no weights at all.
USUAL_METHODS = ("gradcam", "gradcam++", "xgradcam", "layercam", "hirescam", "eigencam")
USUAL_TARGETS = 3  # the best classes
# What was said wrong is said once; only what a model cannot do is an empty cell.
MISTAKES = (
    UnknownChoice, UnknownLayer, VanishedLayer, InvalidLabels, InvalidPreprocessing, InvalidGroup, OnlyExplained,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be compared.

    Attributes:
        methods: names; empty: some of each kind.
        layers: each is explained by itself; empty: the model's default.
        targets: as an `Explainer` takes them; None: the three best classes.
        options: of `onnxcam.convert`; those of the methods go to the methods that have them.
        run: options of `onnxcam.Explainer`.
        asking: what an `Explainer` takes beside a picture and a target: box, region, reference, inputs.
    """

    methods: Sequence[str] = ()
    layers: Sequence[str] = ()
    targets: Sequence[Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    asking: Mapping[str, Any] = field(default_factory=dict)


def compare(
    model: Any,
    image: Any,
    *,
    methods: str | Sequence[str] | None = None,
    layers: str | Sequence[str] | None = None,
    targets: Any = None,
    box: Any = None,
    region: Any = None,
    reference: Any = None,
    inputs: Mapping[str, Any] | None = None,
    providers: Sequence[Any] | None = None,
    threads: int | None = None,
    **options: Any,
) -> Comparison:
    """One picture explained by several methods, at several layers, for several classes.

    What cannot be had, as a method that the architecture does not allow, is a cell with the error and no heatmap.
    Ctrl-C ends it early: what is done is kept, and `interrupted` says so.

    Args:
        model: what `onnxcam.convert` takes.
        image: one picture, as an `Explainer` takes it.
        methods: names; by default some of each kind.
        layers: each is explained by itself; by default the model's default.
        targets: one or several, as an `Explainer` takes them, or sums of classes; by default the three best classes.
        box: see `Explainer.__call__`, as for the next three.
        region: over what a class is explained.
        reference: what the picture is compared with.
        inputs: the model's other inputs.
        providers: what runs the graphs.
        threads: of one run.
        options: those of `convert`, for all of them; `options={…}` of the methods goes to those that have them.

    Raises:
        OnnxCamError: one of its kinds, if no heatmap at all can be had, or one of the names does not exist.
    """
    photo = read(image)
    opened, rest = open_once(model, options)
    wanted = Wanted(
        methods=listed(methods) or (),
        layers=listed(layers) or (),
        targets=listed(targets),
        options=rest,
        run={"providers": providers, "threads": threads},
        asking={"box": box, "region": region, "reference": reference, "inputs": inputs},
    )
    return gathered(photo, list(compared(opened.onnx, photo, wanted)), title=names_of(image, model))


def listed(given: Any) -> Any:
    """Several, also where one is given; None stays."""
    return given if given is None or (hasattr(given, "__len__") and not isinstance(given, str)) else [given]


def names_of(*things: Any) -> list[str]:
    """The names of those that are files."""
    return [Path(thing).name for thing in things if isinstance(thing, str | os.PathLike)]


def compared(model: Any, photo: Image, wanted: Wanted) -> Iterator[Row]:
    """The rows, one by one as they are done; when Ctrl-C came, those that were not begun, at once.

    Raises:
        UnknownChoice, UnknownLayer, LabelNotFound …: for a name that does not exist.
    """
    methods = list(dict.fromkeys(find_method(name).name for name in wanted.methods)) or usual_methods()
    shared, is_over = dict(wanted.options), False
    own = shared_options(methods, shared.get("options") or {}, shared.get("like"), shared.get("wrap"))
    pairs = pairs_of(methods, wanted.layers)
    for method, layer in pairs:
        row = Row(method, layer or "", error=NotBegun())
        if not is_over:
            given = {**shared, "options": own[method], "method": method} | ({"layer": layer} if layer else {})
            try:
                row, groups = row_of(model, photo, given, wanted)
                shared["groups"] = groups
            except KeyboardInterrupt:
                is_over = True
        yield row
        is_over = is_over or row.is_cut_short


def row_of(model: Any, photo: Image, given: Mapping[str, Any], wanted: Wanted) -> tuple[Row, Any]:
    """All targets by one method at one layer; and the groups of classes that they need."""
    method, layer = given["method"], given.get("layer")
    try:
        explainer, known = with_sums(lambda options: opened(model, options, wanted.run), given, wanted.targets)
    except MISTAKES:
        raise
    except OnnxCamError as error:
        return Row(method, layer or "", error=error), given.get("groups")
    targets = usual_targets(explainer) if wanted.targets is None else list(wanted.targets)
    found = explained(explainer, photo, targets, wanted.asking)
    where = layer or ", ".join(explainer.metadata.layers)
    cells = (Cell(method, where, target, *result) for target, result in zip(targets, found, strict=True))
    return Row(method, where, tuple(cells), explainer), known.get("groups")


def pairs_of(methods: Sequence[str], layers: Sequence[str]) -> list[tuple[str, str | None]]:
    """Each method at each layer, once; one that looks at the picture itself stands alone.

    Raises:
        UnknownChoice: for a method that does not exist.
    """
    pairs: list[tuple[str, str | None]] = []
    for name in methods:
        has_layer = find_method(name).find is not of_picture
        pairs += [(name, layer) for layer in dict.fromkeys(layers)] if layers and has_layer else [(name, None)]
    return pairs


def usual_methods() -> list[str]:
    """Those that are compared where nobody says which."""
    return [name for name in USUAL_METHODS if name in METHODS]


def usual_targets(explainer: Explainer) -> list[int]:
    """The ranks of the best classes, as far as there are so many."""
    return [-rank for rank in range(1, min(USUAL_TARGETS, explainer.metadata.classes or 1) + 1)]


def opened(model: Any, given: Mapping[str, Any], run: Mapping[str, Any]) -> Explainer:
    """What explains: several targets in one run, as most models do, or one.

    Raises:
        OnlyExplained: if the model takes signals or volumes.
    """
    try:
        explainer = api.explainer_of(api.convert(model, **given, multi_target=True), **run)
    except MISTAKES:
        raise
    except OnnxCamError:  # told by the next line, if it is more than that
        explainer = api.explainer_of(api.convert(model, **given), **run)
    if explainer.form is not None:
        raise OnlyExplained("A comparison", explainer.form.wanted)
    return explainer


def explained(explainer: Explainer, photo: Image, targets: Sequence[Any], asking: Mapping[str, Any]) -> list[Found]:
    """For each target its explanation, or why there is none."""
    for target in targets:
        explainer.classes.number(target)  # one that does not exist is an error of its own, not a cell
    found: list[Found] = []
    try:
        if explainer.metadata.multi_target:
            found += together(explainer, photo, targets, asking)
        else:
            for target in targets:
                found += together(explainer, photo, target, asking)
                if found[-1][0] is not None and found[-1][0].status == INTERRUPTED:
                    break
    except Interrupted as error:
        found += [(one, None) for one in error.done]
    except KeyboardInterrupt:
        if not found:
            raise
    return found + [(None, NotBegun())] * (len(targets) - len(found))


def together(explainer: Explainer, photo: Image, wanted: Any, asking: Mapping[str, Any]) -> list[Found]:
    """What one call gives: the explanations of one target or of several, or why there are none."""
    is_row = explainer.metadata.multi_target
    try:
        results: Any = explainer(photo, list(wanted) if is_row else wanted, **asking)
    except OnnxCamError as error:
        return [(None, error)] * (len(wanted) if is_row else 1)
    return [(one, None) for one in (results if is_row else [results])]
