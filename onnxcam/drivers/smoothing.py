"""Gradients averaged over noisy copies of the picture: what a rough surface looks like from a little further off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.table import driver

Of: TypeAlias = Literal["gradient", "absolute", "input"]
NOISE = 0.15  # of the input's range; the paper recommends 0.1 to 0.2
SAMPLES = 50


class Moments:
    """Mean and squared deviations of arrays that come one by one, in float64 (Welford 1962)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(shape), np.zeros(shape)

    def add(self, value: NDArray[np.float64]) -> None:
        """One more."""
        self.count += 1
        off = value - self.mean
        self.mean = self.mean + off / self.count
        self.squares = self.squares + off * (value - self.mean)

    @property
    def variance(self) -> NDArray[np.float64]:
        """The mean squared deviation."""
        return self.squares / max(self.count, 1)

    @property
    def mean_square(self) -> NDArray[np.float64]:
        """The mean of the squares."""
        return self.variance + self.mean**2


@driver("smoothgrad", source="Smilkov et al. 2017, arXiv:1706.03825", needs="gradient", any_axes=True)
def smoothgrad(
    probe: Probe,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    std: float | None = None,
    of: Of = "gradient",
    channels: Channels = "absolute",
    seed: int = 0,
) -> Floats:
    """The mean gradient of noisy copies of the picture.

    Options:
        samples: copies.
        noise: standard deviation of the noise, as a share of the input's range.
        std: the same in the input's units, instead of `noise`.
        of: what is averaged: the "gradient"; its "absolute" value, as Captum's NoiseTunnel around Saliency does; or
            the gradient times the "input".
        channels: see `by_pixel`.
        seed: of the noise.
    """
    found = moments(probe, samples=samples, noise=noise, std=std, of=of, seed=seed)
    return by_pixel(probe, found.mean, channels)


@driver("squaregrad", source="Hooker et al. 2019, arXiv:1806.10758", needs="gradient", any_axes=True)
def squaregrad(
    probe: Probe,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    std: float | None = None,
    of: Of = "gradient",
    channels: Channels = "absolute",
    seed: int = 0,
) -> Floats:
    """The mean squared gradient of noisy copies of the picture. Options as of smoothgrad."""
    found = moments(probe, samples=samples, noise=noise, std=std, of=of, seed=seed)
    return by_pixel(probe, found.mean_square, channels)


@driver("vargrad", source="Adebayo et al. 2018, arXiv:1810.03307", needs="gradient", any_axes=True)
def vargrad(
    probe: Probe,
    *,
    samples: int = SAMPLES,
    noise: float = NOISE,
    std: float | None = None,
    of: Of = "gradient",
    channels: Channels = "absolute",
    seed: int = 0,
) -> Floats:
    """The variance of the gradient over noisy copies of the picture. Options as of smoothgrad."""
    probe.require(samples > 1, "samples", samples, "must be 2 or more: a single one does not vary")
    found = moments(probe, samples=samples, noise=noise, std=std, of=of, seed=seed)
    return by_pixel(probe, found.variance, channels)


def moments(probe: Probe, *, samples: int, noise: float, std: float | None, of: Of, seed: int) -> Moments:
    """Mean and variance of the gradient over noisy copies; those made by then if it is interrupted."""
    copies = noisy(probe, samples=samples, noise=noise, std=std, seed=seed)
    found = Moments(probe.x.shape)
    probe.expect(samples)
    with probe.keeping():
        for copy, gradient in probe.differentiated(copies, lambda copy: copy):
            found.add(_kept(np.asarray(gradient, np.float64), copy, of))
    probe.report["samples"] = found.count
    return found


def noisy(probe: Probe, *, samples: int, noise: float, std: float | None, seed: int) -> Iterator[Floats]:
    """Copies of x with normal noise, one after the other; the options are looked at before the first."""
    rng, spread = probe.rng(seed), deviation(probe, noise=noise, std=std)
    probe.require(samples > 0, "samples", samples, "must be 1 or more")
    return (probe.x + spread * rng.standard_normal(probe.x.shape, np.float32) for _ in range(samples))


def deviation(probe: Probe, *, noise: float, std: float | None) -> np.float32:
    """The standard deviation in the input's units: `std`, or `noise` times the input's range."""
    probe.require(noise >= 0 and math.isfinite(noise), "noise", noise, "must be 0 or more: a share of the range")
    if std is None:
        return np.float32(noise * float(np.ptp(probe.x)))
    probe.require(std >= 0 and math.isfinite(std), "std", std, "must be 0 or more, in the input's units")
    return np.float32(std)


def _kept(gradient: NDArray[np.float64], copy: Floats, of: Of) -> NDArray[np.float64]:
    if of == "absolute":
        return np.abs(gradient)
    return gradient * copy if of == "input" else gradient
