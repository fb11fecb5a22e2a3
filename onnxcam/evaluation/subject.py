"""A model under test: its explain graph as the source of maps, and as what answers about altered pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers import find
from onnxcam.engine import Explainer
from onnxcam.evaluation.annotations import own_count
from onnxcam.evaluation.case import Array, Case, Floats
from onnxcam.evaluation.probability import flat, is_probable, outputs_for, probability
from onnxcam.evaluation.results import PROBABILITY, SCORE
from onnxcam.evaluation.sample import Sample
from onnxcam.evaluation.things import Thing
from onnxcam.explanation import INTERRUPTED, Explanation
from onnxcam.geometry import Geometry
from onnxcam.guides import REFERENCE, Guides, mask_of
from onnxcam.images import read
from onnxcam.overlay import drawable
from onnxcam.preprocessing import Preprocessing, normalised, prepare

BATCH_SIZE = 8
NOTHING: Mapping[str, Any] = MappingProxyType({})
RANKS = 5  # of the classes among which one is sought that means a thing


@dataclass(frozen=True, eq=False)
class Subject:
    """A model explained in one way.

    Attributes:
        explainer: gives the maps.
        scorer: gives the scores of altered pictures: an explain graph of the same model, best of a method that costs
            nothing; None: `explainer`.
        randomised: a kind of randomisation → explainers of the model after each of its stages; None where that cannot
            be had.
        batch_size: altered pictures in one run.
    """

    explainer: Explainer
    scorer: Explainer | None = None
    randomised: Callable[[str], Sequence[Explainer]] | None = None
    batch_size: int = BATCH_SIZE

    @property
    def method(self) -> str:
        """How it is explained: the method's name, behind that of what goes around it."""
        metadata = self.explainer.metadata
        driver = find(metadata.driver["name"]) if metadata.driver else None
        if driver is None or driver.needs != "heatmap":
            return metadata.method
        return f"{driver.name} of {metadata.method}"

    @property
    def layer(self) -> str:
        """Where it is explained, several names joined by ", "."""
        return ", ".join(self.explainer.metadata.layers)

    def explain(self, image: Any, target: Any, asking: Mapping[str, Any] = NOTHING) -> Explanation:
        """The explanation of one picture; `asking`: what else an `Explainer` is told of it."""
        found: Explanation = self.explainer(image, target, **asking, batch_size=self.batch_size)
        if found.status == INTERRUPTED:
            raise KeyboardInterrupt  # half a map is not measured
        return found

    def cases(self, sample: Sample, target: Any, *, seed: int) -> Iterator[tuple[Explanation, Case]]:
        """The picture explained for the target; without one, for each thing that is among the best five classes.

        The best class that means a thing stands for it; where there is none, the best class of all is explained.
        """
        photo, asking = read(sample.image), sample.asking
        first = self.explain(photo, target, asking)
        if target is not None:
            meant = [thing for thing in sample.things if self.means(first.target_index, thing)]
            yield first, self.case(first, meant, asking, seed=seed)
            return
        for index, meant in self.seen(first, sample.things) or [(first.target_index, [])]:
            found = first if index == first.target_index else self.explain(photo, index, asking)
            yield found, self.case(found, meant, asking, seed=seed)

    def seen(self, explanation: Explanation, things: Sequence[Thing]) -> list[tuple[int, list[Thing]]]:
        """The things that are among the best classes: the best class that means each, and the thing."""
        best = [explanation.target_index]
        if explanation.scores.size == self.explainer.classes.count:
            best = [int(index) for index in np.argsort(-explanation.scores, kind="stable")[:RANKS]]
        pairs = ((next((index for index in best if self.means(index, thing)), None), thing) for thing in things)
        return [(index, [thing]) for index, thing in pairs if index is not None]

    def means(self, index: int, thing: Thing) -> bool:
        """Whether the class of that index means the thing."""
        classes = self.explainer.classes
        return thing.is_meant_by(index, classes.label(index), own_count(classes))

    def case(
        self, explanation: Explanation, things: Sequence[Thing], asking: Mapping[str, Any] = NOTHING, *, seed: int
    ) -> Case:
        """What metrics are given about an explanation; `asking`: what else was said of the picture."""
        spec, target = self.explainer.preprocessing, explanation.target_index
        x, geometry = prepare(explanation.image, spec)
        beside = beside_of(self.explainer, x, geometry, asking)
        again = partial(beside_of, x=x, geometry=geometry, asking=asking)
        black, white = colours(spec)
        size = explanation.heatmap.shape
        regions = [thing.region((size[0], size[1])) for thing in things]
        return Case(
            x=x,
            map=drawable(explanation.map),
            scores=partial(self.probabilities, target=target, beside=beside),
            values=partial(self.values, target=target, beside=beside),
            layout="CHW" if spec.layout == "NCHW" else "HWC",
            explain=partial(self.maps, target=target, beside=beside),
            randomised=partial(self.faded, x, target, again) if self.randomised else None,
            heatmap=drawable(explanation.heatmap),
            region=np.logical_or.reduce(regions) if regions else None,
            black=black,
            white=white,
            seed=seed,
        )

    def probabilities(self, batch: Array, target: int, beside: Mapping[str, Array] = NOTHING) -> NDArray[np.float64]:
        """The probability of the target, (B,), or of a detection its confidence; its score where there is neither."""
        metadata, classes = self.explainer.metadata, self.explainer.classes
        found = self._ask(batch, target, beside)
        return np.concatenate([probability(part, target, metadata, classes) for part in found])

    def measured(self, index: int) -> str:
        """What `probabilities` gives of a target: PROBABILITY or SCORE."""
        is_known = is_probable(index, self.explainer.metadata, self.explainer.classes)
        return PROBABILITY if is_known else SCORE

    def values(self, batch: Array, target: int, beside: Mapping[str, Array] = NOTHING) -> NDArray[np.float64]:
        """The score that is explained, (B,)."""
        return np.concatenate([flat(found["target_score"]) for found in self._ask(batch, target, beside)])

    def maps(self, batch: Array, target: int, beside: Mapping[str, Array] = NOTHING) -> Floats:
        """The maps of prepared pictures, (B, h, w)."""
        return maps_of(self.explainer, batch, target, inputs=beside, batch_size=self.batch_size)

    def faded(
        self, x: Array, target: int, beside: Callable[[Explainer], Mapping[str, Array]], kind: str
    ) -> Iterable[Floats]:
        """The maps of a prepared picture after each stage of a randomisation."""
        assert self.randomised is not None  # noqa: S101 - case() has seen to it
        return (maps_of(each, x[None], target, inputs=beside(each), batch_size=1)[0] for each in self.randomised(kind))

    def _ask(self, batch: Array, target: int, beside: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        asked = self.scorer or self.explainer
        wanted = ["target_index", "target_score", *outputs_for(asked.metadata)]
        return runs(asked, batch, target, inputs=beside, wanted=wanted, step=self.batch_size)


def beside_of(explainer: Explainer, x: Array, geometry: Geometry, asking: Mapping[str, Any]) -> dict[str, Array]:
    """What goes into every run on a picture beside it, a row each: its region, what it is compared with, other inputs.

    Args:
        explainer: whose graph is run; a picture to compare with is what its model makes of that.
        x: the picture, prepared.
        geometry: how its photo lies in that.
        asking: `region`, `reference` and `inputs`, as in an explainer's call.
    """
    inputs, reference, region = asking.get("inputs") or {}, asking.get("reference"), asking.get("region")
    found = explainer.beside(x, inputs, reference=reference)
    names = [*inputs, *([REFERENCE] if reference is not None else [])]
    masks = None if region is None else [mask_of(region)]
    return {name: found[name] for name in names} | Guides(regions=masks).inputs([geometry], targets=None)


def runs(
    explainer: Explainer,
    batch: Array,
    target: int,
    *,
    inputs: Mapping[str, Array],
    wanted: Sequence[str],
    step: int,
) -> Iterator[dict[str, Array]]:
    """The graph's outputs for prepared pictures, so many at a time as the model takes."""
    step = max(1, step)
    for at in range(0, len(batch), step):
        part = batch[at : at + step]
        yield explainer.run(part, target, inputs=inputs, outputs=wanted)


def maps_of(explainer: Explainer, batch: Array, target: int, *, inputs: Mapping[str, Array], batch_size: int) -> Floats:
    """The heatmaps of prepared pictures, (B, h, w) in [0, 1]."""
    if explainer.metadata.driver is not None:
        return np.stack([driven(explainer, x, target, inputs=inputs, batch_size=batch_size) for x in batch])
    parts = runs(explainer, batch, target, inputs=inputs, wanted=["heatmap"], step=batch_size)
    found = [heatmap for part in parts for heatmap in part["heatmap"].reshape(-1, *part["heatmap"].shape[-2:])]
    return np.stack([drawable(heatmap.astype(np.float32)) for heatmap in found])


def driven(explainer: Explainer, x: Array, target: int, *, inputs: Mapping[str, Array], batch_size: int) -> Floats:
    """The heatmap of one prepared picture by a method of many passes."""
    found = explainer.drive(x, target, inputs=inputs, batch_size=batch_size)
    if found.interrupted:
        raise KeyboardInterrupt  # half a map is not measured
    return drawable(found.heatmap)


def colours(spec: Preprocessing) -> tuple[Floats, Floats]:
    """Black and white in the model's numbers, (C,) each."""
    channels = len(spec.mean)
    pixels = np.array([[0], [255]], np.uint8)[..., None].repeat(channels, axis=2)
    black, white = np.moveaxis(normalised(pixels, spec), 0 if spec.layout == "NCHW" else -1, -1).reshape(2, channels)
    return np.asarray(black, np.float64), np.asarray(white, np.float64)
