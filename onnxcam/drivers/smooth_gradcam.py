"""Smooth Grad-CAM++: Grad-CAM++ with its derivatives averaged over noisy copies of the picture."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.smoothing import NOISE, noisy
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, NotNegative, Seed

Floats64: TypeAlias = NDArray[np.float64]
PAPER = "Omeiza et al. 2019, arXiv:1908.01224"
SAMPLES = 25
EPSILON = 1e-6  # as in Grad-CAM++, so that without noise the two are one
TORCHCAM_EPSILON = 1e-8


class Powers:
    """The means of the gradient and its square and cube over the copies, (C, h, w)."""

    def __init__(self, probe: Probe, *, samples: int, noise: float, std: float | None, seed: int) -> None:
        copies = noisy(probe, samples=samples, noise=noise, std=std, seed=seed)
        probe.expect(samples + 1)
        self.activation: Floats64 = probe.activations([probe.x])[0].astype(np.float64)
        self.last_activation, self.last_gradient = self.activation, np.zeros_like(self.activation)
        self.sums, self.count = [np.zeros_like(self.activation) for _ in range(3)], 0
        with probe.keeping():
            for _, found in probe.answers(copies, lambda copy: copy, "activation", "gradient"):
                self._add(found["activation"].astype(np.float64), found["gradient"].astype(np.float64))
        probe.report["samples"] = self.count

    def _add(self, activation: Floats64, gradient: Floats64) -> None:
        for power, total in enumerate(self.sums, start=1):
            total += gradient**power
        self.last_activation, self.last_gradient, self.count = activation, gradient, self.count + 1

    def mean(self, power: int) -> Floats64:
        """⟨g^power⟩ over the copies."""
        return np.asarray(self.sums[power - 1] / max(self.count, 1), np.float64)


@driver("smooth-gradcam++", source=PAPER, needs="both")
def smooth_gradcam_plus_plus(
    probe: Probe,
    *,
    samples: Count = SAMPLES,
    noise: NotNegative = NOISE,
    std: NotNegative | None = None,
    numerator: Literal["second", "first"] = "second",
    seed: Seed = 0,
) -> Floats:
    """Grad-CAM++ with its derivatives averaged over noisy copies: α = ⟨g²⟩ / (2⟨g²⟩ + Σa · ⟨g³⟩), w = Σs α·max(⟨g⟩, 0).

    Options:
        samples: copies.
        noise: standard deviation of the noise, as a share of the input's range.
        std: the same in the input's units, instead of `noise`.
        numerator: of α: the "second" derivative, as in Grad-CAM++, to which it then comes down without noise; or the
            "first", as the paper prints it.
        seed: of the noise.
    """
    found = Powers(probe, samples=samples, noise=noise, std=std, seed=seed)
    divisor = 2 * found.mean(2) + found.activation.sum((1, 2), keepdims=True) * found.mean(3) + EPSILON
    top = found.mean(2) if numerator == "second" else found.mean(1)
    alpha = np.divide(top, divisor, out=np.zeros_like(divisor), where=found.mean(2) > 0)
    return _weighted(found.activation, alpha * np.maximum(found.mean(1), 0))


@driver("smooth-gradcam++", source=PAPER, needs="both", score="output", like="torchcam")
def smooth_gradcam_plus_plus_of_torchcam(
    probe: Probe, *, samples: Count = 4, noise: NotNegative = 0.0, std: NotNegative | None = 0.3, seed: Seed = 0
) -> Floats:
    """Smooth Grad-CAM++ as torch-cam 0.5 computes it: the last copy alone gives the gradient and the activation.

    Its divisor has Σs(⟨g³⟩·a), of the picture itself, for Σa·⟨g³⟩. Options as of smooth-gradcam++.
    """
    found = Powers(probe, samples=samples, noise=noise, std=std, seed=seed)
    third = (found.mean(3) * found.activation).sum((1, 2), keepdims=True)
    alpha = found.mean(2) / (2 * found.mean(2) + third + TORCHCAM_EPSILON)
    return _weighted(found.last_activation, alpha * np.maximum(found.last_gradient, 0))


def _weighted(activation: Floats64, places: Floats64) -> Floats:
    """Σc w a, where a channel's weight is the sum over its places: (C, h, w) both → (h, w)."""
    return np.asarray(np.tensordot(places.sum((1, 2)), activation, 1), np.float32)
