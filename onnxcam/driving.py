"""A method of many passes at work on an explain graph: the probe that asks it, and the heatmap that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.asking import BOX, Aim, Graph, asker
from onnxcam.drivers import DRIVERS, Driver, Floats, Probe, Progress, find
from onnxcam.errors import GraphLacksOutput, NotOneDetection, NotWrappable, OnlyDetections, OnlyPictures, OptionsFixed
from onnxcam.images import Source, read
from onnxcam.normalizing import normalize
from onnxcam.other_names import spelled
from onnxcam.preprocessing import Preprocessing, normalised, prepare
from onnxcam.signature import TARGET_BOX

NEEDED = {
    "score": (),
    "gradient": ("gradient",),
    "activation": ("activation",),
    "both": ("activation", "gradient"),
    "heatmap": ("heatmap",),
    "candidates": ("candidates",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A driver with its options, both checked.

    Attributes:
        driver: what runs.
        options: of it, those that are set.
        batch_size: inputs in one pass.
        progress: called with the passes done and those expected.
    """

    driver: Driver
    options: Mapping[str, Any]
    batch_size: int
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """What a driver gives.

    Attributes:
        heatmap: float32 (h, w), at the model's input size; (L,) of a signal, (D, H, W) of a volume.
        raw: float32, of any size: the map before it was normalised.
        passes: how many inputs the model was run on.
        interrupted: whether it was stopped, and this is what was known by then.
        report: what the method has to say beside its map.
        attribution: like the model's input, of methods that have a number for each of its values; None for others.
    """

    heatmap: Floats
    raw: Floats
    passes: int
    interrupted: bool
    report: Mapping[str, float | int | str]
    attribution: Floats | None


def planned(
    graph: Graph, name: str | None, *, options: Mapping[str, Any], batch_size: int, progress: Progress | None
) -> Plan | None:
    """What runs the graph in many passes: the driver of that name, or the one that the graph names; None: neither.

    Raises:
        UnknownChoice: if there is no such driver.
        GraphLacksOutput: if the graph does not give what it asks for.
        NotWrappable: if it goes around another method, and the graph's is one of many passes.
        OnlyDetections: if it is for detections, and the graph has none.
        UnknownOption, InvalidOption: for options that it does not have, or cannot take.
        OptionsFixed: for options where there is no driver.
        InvalidBatchSize: for fewer inputs in a pass than one.
    """
    own = graph.metadata.driver or {}
    name = None if name is None else spelled(name, DRIVERS)
    if name is None and not own:
        if options:
            raise OptionsFixed(graph.metadata.method, options)
        return None
    is_own = name is None or name == own.get("name")
    driver = find(name or own["name"], own.get("like") if is_own else graph.metadata.like)
    if driver.of_boxes and not graph.signature.gives(TARGET_BOX):
        raise OnlyDetections(driver.name)
    if driver.needs == "heatmap" and not graph.signature.gives("heatmap"):
        raise NotWrappable(driver.name, graph.metadata.method)
    for output in NEEDED[driver.needs]:
        if not graph.signature.gives(output):
            raise GraphLacksOutput(driver.name, output)
    said = driver.own(options)
    given = {**own.get("options", {}), **said} if is_own else said
    return Plan(driver, driver.settings(given), graph.portion(batch_size), progress)


def drive(plan: Plan, graph: Graph, aim: Aim, *, x: NDArray[Any]) -> Driven:
    """The heatmap of one prepared picture, `x` without its batch axis, for one target.

    Where the picture holds what is no number, or its score is none, the map is NaN, as that of methods of one pass.

    Raises:
        OnlyPictures: if x is a signal or a volume, and the method is not for these.
        NotOneDetection: if it is for detections, and the target is the other side of one, or a difference.
    """
    form = graph.signature.form
    if x.ndim != 3 and (form is None or not plan.driver.any_axes):
        raise OnlyPictures(plan.driver.name, x.shape)
    kind = aim.target if 0 <= aim.target < (graph.metadata.classes or 0) else None
    if plan.driver.of_boxes and kind is None and not aim.is_empty:
        raise NotOneDetection(plan.driver.name)
    black, white = (0.0, 0.0) if form is not None else ends_of(graph.spec)
    probe = Probe(
        np.asarray(x, np.float32),
        asker(graph, aim),
        layout=form.layout if form is not None else graph.spec.layout.removeprefix("N"),
        black=black,
        white=white,
        batch_size=plan.batch_size,
        progress=plan.progress,
        prepare=None if form is not None else lambda source: preparing(source, graph.spec),
        guides=aim.guides,
        kind=kind,
    )
    if aim.is_empty:
        return unmoved(np.zeros(probe.sides, np.float32))
    if not (aim.is_finite and np.isfinite(probe.x).all()):
        return unmoved(np.full(probe.sides, np.nan, np.float32))
    raw = plan.driver(probe, plan.options)
    heatmap = raw if plan.driver.is_finished else normalize([raw], probe.sides, graph.metadata.normalize)
    return Driven(heatmap, raw, probe.passes, probe.interrupted, dict(probe.report), probe.attribution)


def unmoved(heatmap: Floats) -> Driven:
    """What is known without a single pass: nothing is there to explain, or its score is no number."""
    return Driven(heatmap, heatmap, 0, False, {}, None)


def ends_of(spec: Preprocessing) -> tuple[Floats, Floats]:
    """Black and white in the model's units, (C,) each."""
    whole = (np.full((1, 1, len(spec.mean)), level, np.uint8) for level in (0, 255))
    black, white = (np.asarray(normalised(level, spec), np.float32).ravel() for level in whole)
    return black, white


def aimed(number: int, found: Mapping[str, NDArray[Any]], inputs: Mapping[str, NDArray[Any]]) -> Aim:
    """The target as it stays while the picture changes: the class at a rank, and the box of a detection.

    Args:
        number: the graph's, a rank maybe.
        found: what the graph says of the whole picture.
        inputs: the model's other inputs, with one row each.
    """
    target = number if number >= 0 else int(found["target_index"].reshape(-1)[0])
    is_empty = int(found["target_index"].reshape(-1)[0]) < 0
    fixed = {BOX: np.asarray(found[TARGET_BOX], np.float32)} if TARGET_BOX in found else {}
    return Aim(target, {**inputs, **fixed}, is_empty, is_finite=bool(np.isfinite(found["target_score"]).all()))


def preparing(source: Source, spec: Preprocessing) -> Floats:
    """Another picture as the model's input."""
    array, _ = prepare(read(source), spec)
    return np.asarray(array, np.float32)
