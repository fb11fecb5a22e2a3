"""Gradients averaged over noisy copies of the picture: what a rough surface looks like from a little further off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, NotNegative, Seed, at_least

Of: TypeAlias = Literal["gradient", "absolute", "input"]
Statistic: TypeAlias = Callable[["Moments"], NDArray[np.float64]]
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


def of_moments(name: str, *, source: str, least: int = 1) -> Callable[[Statistic], Statistic]:
    """A decorator: what the function makes of the gradient's moments over noisy copies is the driver's attribution.

    Options of the driver:
        samples: copies, `least` or more.
        noise: standard deviation of the noise, as a share of the input's range.
        std: the same in the input's units, instead of `noise`.
        of: what is averaged: the "gradient"; its "absolute" value, as Captum's NoiseTunnel around Saliency does; or
            the gradient times the "input".
        channels: see `by_pixel`.
        seed: of the noise.
    """

    def register(statistic: Statistic) -> Statistic:
        def run(
            probe: Probe,
            *,
            samples: Count = SAMPLES,
            noise: NotNegative = NOISE,
            std: NotNegative | None = None,
            of: Of = "gradient",
            channels: Channels = "absolute",
            seed: Seed = 0,
        ) -> Floats:
            found = moments(probe, samples=samples, noise=noise, std=std, of=of, seed=seed)
            return by_pixel(probe, statistic(found), channels)

        run.__doc__ = statistic.__doc__
        run.__annotations__["samples"] = Annotated[int, at_least(least)]
        driver(name, source=source, needs="gradient", any_axes=True)(run)
        return statistic

    return register


@of_moments("smoothgrad", source="Smilkov et al. 2017, arXiv:1706.03825")
def smoothgrad(found: Moments) -> NDArray[np.float64]:
    """The mean gradient of noisy copies of the picture."""
    return found.mean


@of_moments("squaregrad", source="Hooker et al. 2019, arXiv:1806.10758")
def squaregrad(found: Moments) -> NDArray[np.float64]:
    """The mean squared gradient of noisy copies of the picture. Options as of smoothgrad."""
    return found.mean_square


@of_moments("vargrad", source="Adebayo et al. 2018, arXiv:1810.03307", least=2)
def vargrad(found: Moments) -> NDArray[np.float64]:
    """The variance of the gradient over noisy copies of the picture. Options as of smoothgrad."""
    return found.variance


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
    return (probe.x + spread * rng.standard_normal(probe.x.shape, np.float32) for _ in range(samples))


def deviation(probe: Probe, *, noise: float, std: float | None) -> np.float32:
    """The standard deviation in the input's units: `std`, or `noise` times the input's range."""
    if std is None:
        return np.float32(noise * float(np.ptp(probe.x)))
    return np.float32(std)


def _kept(gradient: NDArray[np.float64], copy: Floats, of: Of) -> NDArray[np.float64]:
    if of == "absolute":
        return np.abs(gradient)
    return gradient * copy if of == "input" else gradient
