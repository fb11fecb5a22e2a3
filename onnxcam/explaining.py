"""Pictures explained: in one run of the graph for all of them, or in many passes for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.asking import BOX, Graph
from onnxcam.channels import parts_of
from onnxcam.driving import Driven, Plan, aimed, drive
from onnxcam.errors import InvalidReference, NotGuided
from onnxcam.explanation import INTERRUPTED, NOT_FINITE, Explanation, judged
from onnxcam.geometry import Geometry
from onnxcam.guides import KINDS, REFERENCE, Guides, is_picture, vector
from onnxcam.images import Image, Source, read
from onnxcam.metadata import Metadata
from onnxcam.preprocessing import prepare
from onnxcam.signature import TARGET_BOX

LOGITS = ("logit", "segmentation", "detector")  # scores that no gradient vanishes of
Found: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture, and the way back from the model's input to it."""

    photo: Image
    geometry: Geometry


def explain_at_once(
    graph: Graph,
    images: Sequence[Source],
    rows: Sequence[Sequence[int]],
    others: Found,
    *,
    guides: Guides,
    channels: bool,
) -> list[list[Explanation]]:
    """One row of explanations for each picture: in one run if their arrays are of one size."""
    photos = [read(image) for image in images]
    prepared = [prepare(photo, graph.spec) for photo in photos]
    if len({array.shape for array, _ in prepared}) > 1:
        parts = [slice(at, at + 1) for at in range(len(images))]
        split = [
            explain_at_once(
                graph,
                photos[at],
                rows[at],
                rows_of(others, at, len(images)),
                guides=guides.part(at),
                channels=channels,
            )
            for at in parts
        ]
        return [row for single in split for row in single]
    numbers = np.array(rows, np.int64)
    batch = np.stack([array for array, _ in prepared])
    targets = numbers if graph.metadata.multi_target else numbers[:, 0]
    count = numbers.shape[1] if graph.metadata.multi_target else None
    guided = guides.inputs([geometry for _, geometry in prepared], targets=count)
    found = graph.run(batch, targets, {**others, **guided}, graph.signature.wanted(channels=channels))
    shots = [Shot(photo, geometry) for photo, (_, geometry) in zip(photos, prepared, strict=True)]
    return [
        [explained(graph, found, (index, place), shot, channels=channels) for place in range(numbers.shape[1])]
        for index, shot in enumerate(shots)
    ]


def explain_in_passes(
    graph: Graph,
    images: Sequence[Source],
    rows: Sequence[Sequence[int]],
    others: Found,
    *,
    plan: Plan,
    guides: Guides,
    channels: bool,
) -> list[list[Explanation]]:
    """Likewise in many passes for each picture and target; what was reached, if that was interrupted."""
    results: list[list[Explanation]] = []
    for at, (image, row) in enumerate(zip(images, rows, strict=True)):
        own = rows_of(others, slice(at, at + 1), len(images))
        photo = read(image)
        x, geometry = prepare(photo, graph.spec)
        count = len(row) if graph.metadata.multi_target else None
        own |= guides.part(slice(at, at + 1)).inputs([geometry], targets=count)
        results.append([])
        for place, number in enumerate(row):
            inputs = of_target(own, place)
            wanted = graph.signature.wanted(channels=channels)
            found = graph.run(x[None], [[number]] if graph.metadata.multi_target else [number], inputs, wanted)
            driven = drive(plan, graph, aimed(number, found, inputs), x=x)
            shot = Shot(photo, geometry)
            results[-1].append(explained_in_passes(graph, found, shot, driven, plan=plan, channels=channels))
            if driven.interrupted:
                return results
    return results


def compared_with(graph: Graph, reference: Any, inputs: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
    """The vectors, (1 or N, D), that photos are compared with: those given, or the embedding of a picture.

    Raises:
        NotGuided: if the graph compares nothing.
        InvalidReference: if a vector does not fit.
    """
    metadata, known = graph.metadata, graph.signature.known
    if REFERENCE not in known:
        raise NotGuided(REFERENCE, metadata.score, KINDS[REFERENCE])
    size = known[REFERENCE][1] if isinstance(known[REFERENCE][1], int) else None
    if not is_picture(reference):
        return vector(reference, size)
    if metadata.scores is None:
        raise InvalidReference("cannot be a picture: the embedding is no output of the model")
    x, _ = prepare(read(reference), graph.spec)
    blank = {REFERENCE: np.ones((1, size or 1), np.float32)}
    found = graph.run(x[None], None, {**inputs, **blank}, [metadata.scores])
    return vector(found[metadata.scores].reshape(1, -1), size)


def explained(graph: Graph, found: Found, at: tuple[int, int], shot: Shot, *, channels: bool) -> Explanation:
    """The explanation that the graph itself gives. `at`: the picture's place in the batch, and the target's."""
    metadata = graph.metadata
    heatmap = found["heatmap"][_place(at, metadata)].astype(np.float32)
    layer, facts = ", ".join(metadata.layers), _facts(graph, found, at, shot, channels=channels)
    named = facts["label"] or f"class {facts['target_index']}"
    is_there = facts["target_index"] >= 0
    status, reason = judged(
        heatmap, layer=layer, name=named, may_saturate=metadata.score not in LOGITS, is_there=is_there
    )
    return Explanation(
        heatmap=_on_photo(heatmap, shot),
        map=heatmap,
        status=status,
        reason=reason,
        method=metadata.method,
        layer=layer,
        **facts,
    )


def explained_in_passes(
    graph: Graph, found: Found, shot: Shot, driven: Driven, *, plan: Plan, channels: bool
) -> Explanation:
    """The explanation that a driver gives; `found` is what the graph says of the whole picture."""
    metadata, driver = graph.metadata, plan.driver
    layer = metadata.input if driver.needs in ("score", "gradient") else ", ".join(metadata.layers)
    facts = _facts(graph, found, (0, 0), shot, channels=channels)
    named = facts["label"] or f"class {facts['target_index']}"
    may_saturate = metadata.score not in LOGITS and driver.needs in ("gradient", "both", "heatmap")
    is_there = facts["target_index"] >= 0
    status, reason = judged(driven.heatmap, layer=layer, name=named, may_saturate=may_saturate, is_there=is_there)
    if driven.interrupted and status != NOT_FINITE:
        status, reason = INTERRUPTED, f"stopped after {driven.passes} passes: the map is what was known by then."
    return Explanation(
        heatmap=_on_photo(driven.heatmap, shot),
        map=driven.heatmap,
        status=status,
        reason=reason,
        method=f"{driver.name} of {metadata.method}" if driver.needs == "heatmap" else driver.name,
        layer=layer,
        report={"passes": driven.passes, **driven.report},
        attribution=driven.attribution,
        **facts,
    )


def rows_of(arrays: Found, part: slice, count: int) -> dict[str, NDArray[Any]]:
    """The rows of some pictures, from arrays that have one for each of `count`; other arrays as they are."""
    return {name: array[part] if array.shape[:1] == (count,) else array for name, array in arrays.items()}


def of_target(inputs: Found, place: int) -> dict[str, NDArray[Any]]:
    """The inputs with the box of one target alone, where there is one for each, (1, K, 4)."""
    boxes = inputs.get(BOX)
    return {**inputs, BOX: boxes[:, place : place + 1]} if boxes is not None and boxes.ndim == 3 else dict(inputs)


def _facts(graph: Graph, found: Found, at: tuple[int, int], shot: Shot, *, channels: bool) -> dict[str, Any]:
    """What the graph says beside the heatmap."""
    metadata, place = graph.metadata, _place(at, graph.metadata)
    index = int(found["target_index"][place])
    scores = found[metadata.scores][at[0]].reshape(-1) if metadata.scores else np.zeros(0)
    parts = parts_of(found, at, geometry=shot.geometry, targets=metadata.multi_target) if channels else None
    return {
        "image": shot.photo,
        "target_index": index,
        "target_score": float(found["target_score"][place]),
        "label": graph.classes.label(index),
        "scores": scores.astype(np.float32),
        "parts": parts,
        "box": _box(found, place, shot),
    }


def _box(found: Found, place: tuple[int, ...], shot: Shot) -> tuple[float, float, float, float] | None:
    """The box of the detection on the photo, within it; None where there is none."""
    if TARGET_BOX not in found or int(found["target_index"][place]) < 0:
        return None
    height, width = shot.geometry.photo
    edges = shot.geometry.box_to_photo(found[TARGET_BOX][place].astype(np.float32))
    x0, y0, x1, y1 = np.clip(edges, 0, [width, height, width, height]).tolist()
    return x0, y0, x1, y1


def _place(at: tuple[int, int], metadata: Metadata) -> tuple[int, ...]:
    """Where the target's row lies in an output."""
    return at if metadata.multi_target else at[:1]


def _on_photo(heatmap: NDArray[np.float32], shot: Shot) -> NDArray[np.float32]:
    return shot.geometry.to_photo(np.where(np.isfinite(heatmap), heatmap, np.float32(0)))
