"""Blur-IG: integrated gradients along the way from a blurred picture to the sharp one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.integrated import report_gap, scores_before_and_after
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.quadrature import RULES, Rule, scattered
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Positive

STRONGEST, SIDE = 50.0, 224  # pixels: the blur's sigma, and the side of an input that it is meant for
CUT = 4.0  # standard deviations at which the Gaussian ends


@driver("blur-ig", source="Xu et al. 2020, arXiv:2004.03383", needs="gradient")
def blur_ig(
    probe: Probe,
    *,
    steps: Count = 100,
    sigma: Positive | None = None,
    increment: Positive = 0.01,
    rule: Rule = "left",
    channels: Channels = "absolute",
) -> Floats:
    """What each pixel adds to the score while the picture, blurred away at first, gets sharp: no baseline to choose.

    The report's `gap` is how far the sum is from score − baseline_score, the score of the most blurred picture.

    Options:
        steps: gradients on the way.
        sigma: standard deviation of the strongest blur, in pixels of the input; by default the paper's code's 50, or
            as much less as the input is smaller than 224.
        increment: of sigma, for the difference that stands for the derivative of the blur.
        rule: of the integral, see `quadrature`; "left" as in the paper's own code.
        channels: see `by_pixel`.
    """
    widest = STRONGEST * min(1.0, max(probe.size) / SIDE) if sigma is None else sigma
    return by_pixel(probe, _integrated(probe, steps=steps, sigma=widest, increment=increment, rule=rule), channels)


def _integrated(probe: Probe, *, steps: int, sigma: float, increment: float, rule: Rule) -> NDArray[np.float64]:
    """−∫ g · dx/dσ dσ from 0 to `sigma`; scaled to the weight of a whole run if it is interrupted."""
    probe.expect(steps + 2)
    change = scores_before_and_after(probe, [np.asarray(blurred(probe, sigma), np.float32)])
    places, weights = RULES[rule](steps)
    total, done = np.zeros(probe.x.shape), 0.0
    with probe.keeping():
        for at, gradient in probe.differentiated(
            scattered(steps), lambda at: np.asarray(blurred(probe, places[at] * sigma), np.float32)
        ):
            here = places[at] * sigma
            slope = (blurred(probe, here + increment) - blurred(probe, here)) / increment
            total -= weights[at] * sigma * gradient * slope
            done += weights[at]
    if probe.interrupted and done:
        total *= weights.sum() / done
    report_gap(probe, total, change)
    return total


def blurred(probe: Probe, sigma: float) -> NDArray[np.float64]:
    """x, blurred; outside of it all is 0. In float64: two that differ by a hundredth of a pixel are subtracted."""
    height, width = probe.size
    planes = np.moveaxis(probe.x, probe.channel_axis, 0).astype(np.float64)
    return np.moveaxis(gaussian(height, sigma) @ planes @ gaussian(width, sigma), 0, probe.channel_axis)


def gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """The matrix (size, size) of a Gaussian blur along an axis, symmetric, cut off at `CUT` standard deviations."""
    radius = int(CUT * sigma + 0.5)
    if radius == 0:
        return np.eye(size)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    tail = np.zeros(max(size - radius, 0))
    return np.concatenate([kernel[radius:] / kernel.sum(), tail])[distance]
