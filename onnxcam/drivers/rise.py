"""Random masks, weighed by the score of what they leave over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.scorecam import Fill
from onnxcam.drivers.table import driver
from onnxcam.geometry import stretched
from onnxcam.ranges import Count, Probability, Seed

Found: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Draw:
    """The masks that are drawn: how many, of how many cells a side, the share shown, what hides the rest, the seed."""

    masks: int
    cells: int
    probability: float
    fill: Fill
    seed: int


@driver("rise", source="Petsiuk et al. 2018, arXiv:1806.07421", needs="score", score="probability", any_axes=True)
def rise(
    probe: Probe,
    *,
    masks: Count = 4000,
    cells: Count = 7,
    probability: Probability = 0.5,
    fill: Fill = "zero",
    seed: Seed = 0,
) -> Floats:
    """Σ score·mask / (N·p) over random masks that show a share p of the picture.

    `cells` along each side of a mask are shown or hidden, blown up bilinearly, and shifted by less than a cell. Scores
    that go below 0, as logits, differences and other sides do, count from the lowest that was met: the paper's are
    probabilities, and a constant less is no evidence against every pixel.
    """
    draw = Draw(masks, cells, probability, fill, seed)
    return averaged(probe, draw, ("score",), lambda found: float(found["score"]))


def averaged(probe: Probe, draw: Draw, wanted: tuple[str, ...], score: Callable[[Found], float]) -> Floats:
    """Σ score·mask / (N·p), over the masks that were reached; scores below 0 from the lowest on."""
    size, share = probe.sides, draw.probability
    most = min(size) if len(size) == 2 else max(size)
    probe.require(1 <= draw.cells <= most, "cells", draw.cells, f"must be from 1 to {most}")
    blank, total, shown, count, lowest = probe.blank(draw.fill, seed=draw.seed), np.zeros(size), np.zeros(size), 0, 0.0
    drawn = random_masks(probe.rng(draw.seed), size, count=draw.masks, cells=draw.cells, probability=share)
    probe.expect(draw.masks)
    with probe.keeping():
        for mask, found in probe.answers(drawn, lambda mask: probe.masked(mask, blank), *wanted):
            value = score(found)
            total += value * mask
            shown += mask
            count, lowest = count + 1, min(lowest, value)
    return np.asarray((total - lowest * shown) / (count * share), np.float32)


def random_masks(
    rng: np.random.Generator, size: tuple[int, ...], *, count: int, cells: int, probability: float
) -> Iterator[Floats]:
    """Masks (H, W) in [0, 1], each pixel `probability` on average.

    A grid of `cells` a side is drawn, blown up bilinearly to a cell more than the picture takes up, and cut to it at a
    place of chance. Likewise for any number of axes; along one that is shorter, as a video's few frames, there are
    fewer cells.
    """
    counts = [min(cells, length) for length in size]
    steps = [-(-length // number) for length, number in zip(size, counts, strict=True)]
    whole = tuple((number + 1) * step for number, step in zip(counts, steps, strict=True))
    for _ in range(count):
        grid = (rng.random(counts) < probability).astype(np.float32)
        starts = [int(rng.integers(step)) for step in steps]
        window = tuple(slice(start, start + length) for start, length in zip(starts, size, strict=True))
        yield np.asarray(stretched(grid, whole)[window], np.float32)
