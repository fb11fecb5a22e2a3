"""Runs of a graph whose batch is fixed, for any number of pictures: in portions, the last of them filled up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

TARGET, BOX = "target", "box"
# Outputs with an axis for the targets, (N, K, …), where there are several.
OF_TARGETS = (
    "heatmap", "target_index", "target_score", "target_box", "target_confidence", "activation", "gradient", "raw_map",
    "attribution",
)  # fmt: skip


def in_portions(
    run: Callable[[Arrays], Arrays],
    feed: Arrays,
    *,
    count: int,
    size: int,
    inputs: Collection[str],
    outputs: Collection[str],
) -> dict[str, NDArray[Any]]:
    """The outputs for `count` pictures of a graph that takes `size` at a time, by name.

    Of several targets each has a run of its own: together they would make the graph's upper part take more pictures.

    Args:
        run: from the inputs of a run to its outputs.
        feed: the inputs by name.
        count: of the pictures.
        size: pictures in a run.
        inputs: names of those that have a row for each picture.
        outputs: likewise; of others the first run's are taken.
    """
    runs = [
        (held, _beside([run(each) for each in _of_each_target(part)]))
        for held, part in _portions(feed, inputs, count=count, size=size)
    ]
    return {
        name: np.concatenate([found[name][:held] for held, found in runs]) if name in outputs else array
        for name, array in runs[0][1].items()
    }


def filled_up(rows: NDArray[Any], size: int) -> NDArray[Any]:
    """(n, …) → (size, …): the last row again and again, for which any other would do."""
    return rows if len(rows) == size else np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])


def _portions(feed: Arrays, inputs: Collection[str], *, count: int, size: int) -> Iterator[tuple[int, Arrays]]:
    """How many pictures are next, and the inputs of a run for them, filled up."""
    for at in range(0, count, size):
        yield (
            min(size, count - at),
            {name: filled_up(x[at : at + size], size) if name in inputs else x for name, x in feed.items()},
        )


def _of_each_target(feed: Arrays) -> Iterator[Arrays]:
    """The inputs for one target after the other, of (N, K) and boxes (N, K, 4); as they are where there is one each."""
    targets = feed[TARGET]
    names = [name for name in (TARGET, BOX) if name in feed and feed[name].ndim == (2 if name == TARGET else 3)]
    for place in range(targets.shape[1] if targets.ndim == 2 else 1):
        yield {**feed, **{name: feed[name][:, place : place + 1] for name in names}}


def _beside(runs: Sequence[Arrays]) -> Arrays:
    """The outputs of a run for each target as those of one, (N, 1, …) → (N, K, …)."""
    if len(runs) == 1:
        return runs[0]
    return {
        name: np.concatenate([found[name] for found in runs], axis=1) if name in OF_TARGETS else array
        for name, array in runs[0].items()
    }
