"""Superpixels taken away one by one, or brought in one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.superpixels import Cover, Pieces
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Seed, TwoOrMore


@driver("feature-ablation", source="as in Captum; on superpixels", needs="score")
def feature_ablation(probe: Probe, *, segments: TwoOrMore = 64, fill: Cover = "mean", seed: Seed = 0) -> Floats:
    """How much the score falls when a superpixel is hidden, one after the other."""
    pieces = Pieces(probe, segments, fill=fill, seed=seed)
    probe.expect(pieces.count + 1)
    whole, values = probe.score, np.zeros(pieces.count)
    order = probe.rng(seed).permutation(pieces.count)  # interrupted, it has not seen the top alone
    with probe.keeping():
        for piece, score in probe.scored(order, lambda k: pieces.shown(np.arange(pieces.count) != k)):
            values[piece] = whole - score
    probe.report["superpixels"] = pieces.count
    return pieces.map(values)


@driver("shapley-sampling", source="Strumbelj and Kononenko 2010; as in Captum", needs="score")
def shapley_sampling(
    probe: Probe, *, samples: Count = 25, segments: TwoOrMore = 64, fill: Cover = "mean", seed: Seed = 0
) -> Floats:
    """Shapley values of superpixels: what each adds when they come in by chance, averaged over `samples` orders.

    Their sum is the score less the blank's, exactly. Of an order that was interrupted nothing is used.
    """
    pieces = Pieces(probe, segments, fill=fill, seed=seed)
    count = pieces.count
    probe.expect(2 + samples * (count - 1))
    none, whole = probe.scores(pieces.shown(np.full(count, is_shown)) for is_shown in (False, True))
    total, orders = np.zeros(count), 0
    rng = probe.rng(seed)
    with probe.keeping():
        for _ in range(samples):
            order = rng.permutation(count)
            scores = probe.scores(pieces.shown(row) for row in growing(order))
            total[order] += np.diff([none, *scores, whole])
            orders += 1
    if not orders:
        raise KeyboardInterrupt  # nothing is known yet
    probe.report |= {"superpixels": count, "orders": orders}
    return pieces.map(total / orders)


def growing(order: NDArray[np.intp]) -> Iterator[NDArray[np.bool_]]:
    """What is shown after the first of an order has come in, after the second, up to the last but one."""
    shown = np.zeros(len(order), np.bool_)
    for piece in order[:-1]:
        shown[piece] = True
        yield shown.copy()
