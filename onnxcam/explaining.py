"""Pictures explained: in one run of the graph for all of them, or in many passes for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.asking import BOX, Graph
from onnxcam.drivers import Driver
from onnxcam.driving import Driven, Plan, aimed, drive
from onnxcam.errors import InvalidReference, NotGuided
from onnxcam.explanation import INTERRUPTED, NOT_FINITE
from onnxcam.guides import KINDS, REFERENCE, Guides, has_pictures, is_picture, vector
from onnxcam.images import Source
from onnxcam.judgement import Explained, judged
from onnxcam.shots import AnyShot, Found, Result, guided, own_fields, place_of, refuse_for_arrays, shot_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is asked of some pictures.

    Attributes:
        rows: the targets' numbers, a row for each picture.
        others: the model's other inputs, with a row for each picture or one for all.
        guides: the boxes and regions.
        channels: whether activation and gradient are kept.
    """

    rows: Sequence[Sequence[int]]
    others: Found
    guides: Guides
    channels: bool

    def of_each(self, pictures: Sequence[T], step: int) -> Iterator[tuple[Sequence[T], Asked]]:
        """So many of the pictures after the other, with what is asked of them."""
        count = len(self.rows)
        for at in range(0, count, step):
            part = slice(at, at + step)
            others = rows_of(self.others, part, count)
            yield pictures[part], Asked(self.rows[part], others, self.guides.part(part), self.channels)


def explain_all(
    graph: Graph, images: Sequence[Source], asked: Asked, *, plan: Plan | None, batch_size: int
) -> Iterator[list[Result]]:
    """One row of explanations for each picture: batch by batch, or in many passes where there is a plan for them.

    When KeyboardInterrupt comes, what there is of the row at work is given before it is passed on.
    """
    refuse_for_arrays(graph, asked.guides, channels=asked.channels)
    if plan is not None:
        yield from explain_in_passes(graph, images, asked, plan)
        return
    for some, theirs in asked.of_each(images, graph.portion(batch_size)):
        yield from explain_at_once(graph, some, theirs)


def explain_at_once(graph: Graph, images: Sequence[Source], asked: Asked) -> list[list[Result]]:
    """One row of explanations for each picture: in one run if their arrays are of one size."""
    shots = [shot_of(graph, image) for image in images]
    step = len(shots) if len({shot.x.shape for shot in shots}) == 1 else 1
    return [row for some, theirs in asked.of_each(shots, step) for row in _in_one_run(graph, some, theirs)]


def _in_one_run(graph: Graph, shots: Sequence[AnyShot], asked: Asked) -> list[list[Result]]:
    """One row of explanations for each of some pictures whose arrays are of one size."""
    numbers = np.array(asked.rows, np.int64)
    targets = numbers if graph.metadata.multi_target else numbers[:, 0]
    count = numbers.shape[1] if graph.metadata.multi_target else None
    inputs = {**asked.others, **guided(asked.guides, shots, targets=count)}
    batch = np.stack([shot.x for shot in shots])
    found = graph.run(batch, targets, inputs, graph.signature.wanted(channels=asked.channels))
    return [
        [explained(graph, found, (index, place), shot, channels=asked.channels) for place in range(numbers.shape[1])]
        for index, shot in enumerate(shots)
    ]


def explain_in_passes(graph: Graph, images: Sequence[Source], asked: Asked, plan: Plan) -> Iterator[list[Result]]:
    """Likewise in many passes for each picture and target; what was reached, if that was interrupted."""
    for (image,), own in asked.of_each(images, 1):
        row: list[Result] = []
        try:
            for explanation in _row_in_passes(graph, image, own, plan):
                row.append(explanation)  # noqa: PERF402 - what is done must be there when it ends early
        except KeyboardInterrupt:
            if row:
                yield row
            raise
        yield row
        if row[-1].status == INTERRUPTED:
            return


def _row_in_passes(graph: Graph, image: Source, asked: Asked, plan: Plan) -> Iterator[Result]:
    """The explanations of one picture, up to one that was interrupted."""
    is_multi, wanted = graph.metadata.multi_target, graph.signature.wanted(channels=asked.channels)
    shot, (row,) = shot_of(graph, image), asked.rows
    given = {**asked.others, **guided(asked.guides, [shot], targets=len(row) if is_multi else None)}
    for place, number in enumerate(row):
        inputs = of_target(given, place)
        found = graph.run(shot.x[None], [[number]] if is_multi else [number], inputs, wanted)
        driven = drive(plan, graph, aimed(number, found, inputs), x=shot.x)
        yield explained_in_passes(graph, found, shot, driven, plan=plan, channels=asked.channels)
        if driven.interrupted:
            return


def others_of(
    graph: Graph, inputs: Mapping[str, ArrayLike] | None, reference: Any, *, count: int
) -> dict[str, NDArray[Any]]:
    """The model's other inputs beside `count` photos, and what these are compared with, where there is a reference.

    Raises:
        UnknownChoice, InputMismatch, NotGuided, InvalidReference: for what does not fit.
    """
    given = dict(inputs or {})
    if reference is not None:
        given[REFERENCE] = compared_with(graph, reference, given, count=count)
    return graph.signature.with_rows(graph.signature.others(given), count)


def compared_with(graph: Graph, reference: Any, inputs: Mapping[str, ArrayLike], *, count: int) -> NDArray[np.float32]:
    """The vectors, (1 or N, D), that `count` = N photos are compared with: those given, or the embedding of a picture.

    Raises:
        NotGuided: if the graph compares nothing.
        InvalidReference: if a vector does not fit.
    """
    metadata, known = graph.metadata, graph.signature.known
    if REFERENCE not in known:
        raise NotGuided(REFERENCE, metadata.score, KINDS[REFERENCE])
    size = known[REFERENCE][1] if isinstance(known[REFERENCE][1], int) else None
    is_array = graph.signature.form is not None
    several = has_pictures(reference)
    if several or not (isinstance(reference, str | os.PathLike) if is_array else is_picture(reference)):
        each = [compared_with(graph, entry, inputs, count=1) for entry in reference] if several else []
        rows = np.concatenate(each) if several else vector(reference, size)
        if len(rows) not in (1, count):
            raise InvalidReference(f"is {len(rows)} vectors for {count} picture{'s' * (count != 1)}")
        return rows
    if metadata.scores is None:
        raise InvalidReference("cannot be a picture: the embedding is no output of the model")
    x = shot_of(graph, reference).x
    blank = {REFERENCE: np.ones((1, size or 1), np.float32)}
    found = graph.run(x[None], None, {**inputs, **blank}, [metadata.scores])
    return vector(found[metadata.scores].reshape(1, -1), size)


def explained(graph: Graph, found: Found, at: tuple[int, int], shot: AnyShot, *, channels: bool) -> Result:
    """The explanation that the graph itself gives. `at`: the picture's place in the batch, and the target's."""
    metadata = graph.metadata
    heatmap = found["heatmap"][place_of(at, metadata)].astype(np.float32)
    layer, facts = ", ".join(metadata.layers), _facts(graph, found, at, shot, channels=channels)
    status, reason = judged(heatmap, asked_of(graph, facts), layer=layer if has_layer(graph) else None)
    judgement = {"status": status, "reason": reason, "method": metadata.method, "layer": layer}
    return shot.explained(heatmap, facts | judgement)


def explained_in_passes(
    graph: Graph, found: Found, shot: AnyShot, driven: Driven, *, plan: Plan, channels: bool
) -> Result:
    """The explanation that a driver gives; `found` is what the graph says of the whole picture."""
    metadata, driver = graph.metadata, plan.driver
    layer = metadata.input if driver.needs in ("score", "gradient") else ", ".join(metadata.layers)
    facts = _facts(graph, found, (0, 0), shot, channels=channels)
    status, reason = judged(
        driven.heatmap,
        asked_of(graph, facts),
        layer=layer if has_layer(graph, driver) else None,
        has_gradient=driver.needs in ("gradient", "both", "heatmap"),
        has_filling="fill" in driver.options,
        raw=driven.raw,
    )
    if driven.interrupted and status != NOT_FINITE:
        status, reason = INTERRUPTED, f"stopped after {driven.passes} passes: the map is what was known by then."
    facts |= {
        "status": status,
        "reason": reason,
        "method": f"{driver.name} of {metadata.method}" if driver.needs == "heatmap" else driver.name,
        "layer": layer,
        "report": {"passes": driven.passes, **driven.report},
        "attribution": driven.attribution,
    }
    return shot.explained(driven.heatmap, facts)


def asked_of(graph: Graph, facts: Mapping[str, Any]) -> Explained:
    """The number that is explained, for a judgement of its map."""
    return Explained(graph.metadata.score, facts["target_index"], facts["label"], facts["target_score"])


def has_layer(graph: Graph, driver: Driver | None = None) -> bool:
    """Whether the graph's method, or the driver that runs it, looks at a layer, and not at the input itself."""
    own = graph.metadata.layers != (graph.metadata.input,)
    return own and (driver is None or driver.needs not in ("score", "gradient"))


def rows_of(arrays: Found, part: slice, count: int) -> dict[str, NDArray[Any]]:
    """The rows of some pictures, from arrays that have one for each of `count`; other arrays as they are."""
    return {name: array[part] if array.shape[:1] == (count,) else array for name, array in arrays.items()}


def of_target(inputs: Found, place: int) -> dict[str, NDArray[Any]]:
    """The inputs with the box of one target alone, where there is one for each, (1, K, 4)."""
    boxes = inputs.get(BOX)
    return {**inputs, BOX: boxes[:, place : place + 1]} if boxes is not None and boxes.ndim == 3 else dict(inputs)


def _facts(graph: Graph, found: Found, at: tuple[int, int], shot: AnyShot, *, channels: bool) -> dict[str, Any]:
    """What the graph says beside the heatmap."""
    metadata, place = graph.metadata, place_of(at, graph.metadata)
    index = int(found["target_index"][place])
    scores = found[metadata.scores][at[0]].reshape(-1) if metadata.scores else np.zeros(0)
    return {
        "target_index": index,
        "target_score": float(found["target_score"][place]),
        "label": graph.classes.label(index),
        "scores": scores.astype(np.float32),
        **own_fields(graph, found, at, shot, channels=channels),
    }
