"""Expected gradients: integrated gradients from many pictures, one random step from each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onnxcam.drivers.baselines import Baseline, Baselines, Load, baselines_of
from onnxcam.drivers.integrated import report_gap, scores_before_and_after
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.smoothing import deviation
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, NotNegative, Seed

SAMPLES = 100
NOISES = 16  # pictures that the baseline "noise" stands for


@dataclass(frozen=True, slots=True)
class Step:
    """A place on the way from a baseline to (a noisy copy of) the picture."""

    start: Floats
    end: Floats
    place: np.float32


@driver("expected-gradients", source="Erion et al. 2021, arXiv:1906.10670", needs="gradient", any_axes=True)
def expected_gradients(
    probe: Probe,
    *,
    samples: Count = SAMPLES,
    baselines: Baselines = ("noise",),
    channels: Channels = "absolute",
    seed: Seed = 0,
) -> Floats:
    """Integrated gradients, averaged over baselines drawn from those given: (x − b) · g at random places of the ways.

    Options:
        samples: draws, a gradient each.
        baselines: what is drawn from: pictures of the kind that the model knows, see `baselines_of`.
        channels: see `by_pixel`.
        seed: of the draws, and of noise.
    """
    return _drawn(probe, samples=samples, baselines=baselines, noise=0.0, std=None, channels=channels, seed=seed)


@driver(
    "gradient-shap", source="Lundberg and Lee 2017, arXiv:1705.07874, as in Captum", needs="gradient", any_axes=True
)
def gradient_shap(
    probe: Probe,
    *,
    samples: Count = SAMPLES,
    baselines: Baselines = ("noise",),
    noise: NotNegative = 0.1,
    std: NotNegative | None = None,
    channels: Channels = "absolute",
    seed: Seed = 0,
) -> Floats:
    """Expected gradients of noisy copies of the picture.

    Options:
        samples: as of expected-gradients, like the others that are not said here.
        noise: standard deviation of the noise, as a share of the input's range.
        std: the same in the input's units, instead of `noise`.
    """
    return _drawn(probe, samples=samples, baselines=baselines, noise=noise, std=std, channels=channels, seed=seed)


def _drawn(
    probe: Probe,
    *,
    samples: int,
    baselines: Sequence[Baseline],
    noise: float,
    std: float | None,
    channels: Channels,
    seed: int,
) -> Floats:
    """The mean over the draws, of those made by then if it is interrupted; the report has the gap to completeness."""
    rng, spread = probe.rng(seed), deviation(probe, noise=noise, std=std)
    pool = baselines_of(probe, baselines, seed=seed, noises=NOISES)
    picks = rng.integers(len(pool), size=samples)
    times = Counter(picks.tolist())
    probe.expect(samples + len(times) + 1)
    change = scores_before_and_after(probe, (pool[pick]() for pick in times), list(times.values()))
    total, count = np.zeros(probe.x.shape), 0
    with probe.keeping():
        for step, gradient in probe.differentiated(_steps(probe, pool, picks.tolist(), spread=spread, rng=rng), _at):
            total += gradient.astype(np.float64) * (step.end - step.start)
            count += 1
    total /= max(count, 1)
    report_gap(probe, total, change)
    probe.report["samples"] = count
    return by_pixel(probe, total, channels)


def _steps(
    probe: Probe, pool: Sequence[Load], picks: Sequence[int], *, spread: np.float32, rng: np.random.Generator
) -> Iterator[Step]:
    for pick in picks:
        end = probe.x + spread * rng.standard_normal(probe.x.shape, np.float32) if spread else probe.x
        yield Step(pool[pick](), end, np.float32(rng.random()))


def _at(step: Step) -> Floats:
    return step.start + step.place * (step.end - step.start)
