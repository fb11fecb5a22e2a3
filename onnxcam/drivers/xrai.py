"""XRAI: integrated gradients gathered by pieces of the picture, the richest piece first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.baselines import Baselines, baselines_of
from onnxcam.drivers.integrated import integrated
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.quadrature import Rule
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.segments import pieces
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Seed, Share

Part: TypeAlias = NDArray[np.intp]
Floats64: TypeAlias = NDArray[np.float64]
SMALLEST_GAIN = 50  # pixels: a piece that adds fewer is passed over


@driver("xrai", source="Kapishnikov et al. 2019, arXiv:1906.02825", needs="gradient")
def xrai(
    probe: Probe,
    *,
    steps: Count = 50,
    rule: Rule = "gausslegendre",
    baselines: Baselines = ("black", "white"),
    algorithm: Literal["full", "fast"] = "full",
    area: Share = 1.0,
    channels: Channels = "largest",
    seed: Seed = 0,
) -> Floats:
    """The picture's pieces, each with its mean attribution, the best chosen first: whole things instead of dots.

    Needs scikit-image (pip install "onnxcam[superpixels]").

    Options:
        steps: as of integrated-gradients, like the others that are not said here.
        algorithm: "full" weighs what a piece adds to those chosen before; "fast" ranks all pieces once.
        area: 0 to 1, the share of the picture after which the rest becomes one piece; "full" only.
    """
    parts = list(pieces(probe.picture()))
    starts = baselines_of(probe, baselines, seed=seed)
    plane = by_pixel(probe, integrated(probe, starts, steps=steps, rule=rule), channels).astype(np.float64)
    probe.report["segments"] = len(parts)
    if not np.isfinite(plane).all():
        return plane.astype(np.float32)
    flat = plane.reshape(-1)
    regions = by_rank(flat, parts) if algorithm == "fast" else by_gain(flat, parts, area=area)
    return painted(flat, regions).reshape(plane.shape).astype(np.float32)


def by_gain(plane: Floats64, parts: Sequence[Part], *, area: float) -> list[Part]:
    """What each chosen piece added: always that whose new pixels have the highest mean.

    The sums over the pixels that pieces still have to give are kept, not made anew: every pixel is taken off once from
    each piece that it lies in.

    Args:
        plane: (H·W,), the attribution.
        parts: pixels of each piece.
        area: 0 to 1, the share of the picture at which to stop.
    """
    holders = Holders(parts, len(plane))
    counts = np.array([len(part) for part in parts], np.float64)
    sums = np.array([plane[part].sum() for part in parts])
    is_new, regions = np.ones(len(plane), bool), []
    while (~is_new).mean() <= area:
        means = np.where(counts >= SMALLEST_GAIN, sums / np.maximum(counts, 1), -np.inf)
        if len(means) == 0 or (best := int(means.argmax())) < 0 or means[best] == -np.inf:
            break
        added = parts[best][is_new[parts[best]]]
        regions.append(added)
        is_new[added] = False
        touched, owners = holders.of(added)
        counts -= np.bincount(owners, minlength=len(parts))
        sums -= np.bincount(owners, plane[touched], minlength=len(parts))
    return regions


def by_rank(plane: Floats64, parts: Sequence[Part]) -> list[Part]:
    """What each piece adds, in the order of the pieces' own means."""
    is_new, regions = np.ones(len(plane), bool), []
    for part in sorted(parts, key=lambda part: -plane[part].mean()):
        added = part[is_new[part]]
        if len(added) >= SMALLEST_GAIN:
            regions.append(added)
            is_new[added] = False
    return regions


def painted(plane: Floats64, regions: Sequence[Part]) -> Floats64:
    """The mean of the attribution over each region, and over what is in none: the sum stays as it was."""
    rest, result = np.ones(len(plane), bool), np.empty_like(plane)
    for region in regions:
        result[region] = plane[region].mean()
        rest[region] = False
    if rest.any():
        result[rest] = plane[rest].mean()
    return result


class Holders:
    """Which pieces each pixel lies in."""

    def __init__(self, parts: Sequence[Part], size: int) -> None:
        pixels = np.concatenate(parts)
        owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        order = np.argsort(pixels, kind="stable")
        self._owners = owners[order]
        self._starts = np.searchsorted(pixels[order], np.arange(size + 1))

    def of(self, pixels: Part) -> tuple[Part, Part]:
        """The pixels, each as often as it lies in a piece, and these pieces."""
        lengths = self._starts[pixels + 1] - self._starts[pixels]
        ends = np.cumsum(lengths)
        inner = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
        return np.repeat(pixels, lengths), self._owners[np.repeat(self._starts[pixels], lengths) + inner]
