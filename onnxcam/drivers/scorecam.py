"""Score-CAM and its kin: a channel weighs what the score becomes when only the channel's own place is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.table import driver
from onnxcam.geometry import stretched
from onnxcam.ranges import Count, NotNegative, Seed

Size: TypeAlias = tuple[int, int]
Fill: TypeAlias = Literal["zero", "mean", "black", "white", "grey", "blur", "noise"]
Scores: TypeAlias = NDArray[np.float64]
Masks: TypeAlias = Iterable[tuple[int, Floats]]
EPSILON = np.float32(1e-8)
WANG = "Wang et al. 2020, arXiv:1910.01279"
FASTER = "Score-CAM as in tf-keras-vis, 2020"


@driver("scorecam", source=WANG, needs="activation")
def scorecam(probe: Probe, *, channels: Count | None = None, fill: Fill = "zero") -> Floats:
    """ReLU(Σ w·a), w = softmax over channels of the score with the picture masked by the channel.

    The mask is the channel, bilinear at the picture's size, then min-max. The paper subtracts the score of an empty
    picture from every one, which the softmax undoes. Channels that are flat share one pass. `channels`: only so many,
    those that vary most over the picture; the passes go from them to the others in any case.
    """
    return _masked_once(probe, grown_then_scaled, channels=channels, fill=fill)


@driver("scorecam", source=WANG, needs="activation", score="output", like="pytorch-grad-cam")
def scorecam_pytorch_grad_cam(probe: Probe, *, channels: Count | None = None, fill: Fill = "zero") -> Floats:
    """Score-CAM with masks stretched corner to corner (align_corners)."""
    return _masked_once(probe, lambda a, size: scaled(corners_stretched(a, size)), channels=channels, fill=fill)


@driver("scorecam", source=WANG, needs="activation", score="output", like="torchcam")
def scorecam_torchcam(probe: Probe, *, channels: Count | None = None, fill: Fill = "zero") -> Floats:
    """Score-CAM with masks brought to [0, 1] before they are stretched."""
    return _masked_once(probe, scaled_then_grown, channels=channels, fill=fill)


@driver("scorecam", source=WANG, needs="activation", score="probability", like="tf-keras-vis")
def scorecam_tf_keras_vis(probe: Probe, *, channels: Count | None = None, fill: Fill = "zero") -> Floats:
    """Score-CAM weighted by the probability itself, not by its softmax over channels; masks corner to corner."""
    return _masked_once(
        probe,
        lambda a, size: scaled(corners_stretched(a, size)),
        channels=channels,
        fill=fill,
        weigh=lambda means: means,
    )


@driver("faster-scorecam", source=FASTER, needs="activation")
def faster_scorecam(probe: Probe, *, channels: Count = 10, fill: Fill = "zero") -> Floats:
    """Score-CAM with those channels alone that vary most over the picture."""
    return _masked_once(probe, grown_then_scaled, channels=channels, fill=fill)


@driver("faster-scorecam", source=FASTER, needs="activation", score="probability", like="tf-keras-vis")
def faster_scorecam_tf_keras_vis(probe: Probe, *, channels: Count = 10, fill: Fill = "zero") -> Floats:
    """As Score-CAM of tf-keras-vis, with those channels alone that vary most over the picture."""
    return scorecam_tf_keras_vis(probe, channels=channels, fill=fill)


@driver("sscam", source="Naidu and Michael 2020, arXiv:2006.14255", needs="activation")
def sscam(
    probe: Probe,
    *,
    samples: Count = 35,
    sigma: NotNegative = 2.0,
    channels: Count | None = None,
    fill: Fill = "zero",
    seed: Seed = 0,
) -> Floats:
    """Score-CAM with the score of each channel averaged over masks to which normal noise is added.

    `sigma` is the noise's standard deviation in units of the mask, which lies in [0, 1] before.
    """
    return _noisy(probe, grown_then_scaled, samples=samples, sigma=sigma, channels=channels, fill=fill, seed=seed)


@driver("sscam", source="Naidu and Michael 2020, arXiv:2006.14255", needs="activation", score="output", like="torchcam")
def sscam_torchcam(
    probe: Probe,
    *,
    samples: Count = 35,
    sigma: NotNegative = 2.0,
    channels: Count | None = None,
    fill: Fill = "zero",
    seed: Seed = 0,
) -> Floats:
    """SS-CAM with masks brought to [0, 1] before they are stretched."""
    return _noisy(probe, scaled_then_grown, samples=samples, sigma=sigma, channels=channels, fill=fill, seed=seed)


@driver("iscam", source="Naidu et al. 2020, arXiv:2010.03023", needs="activation")
def iscam(probe: Probe, *, samples: Count = 10, channels: Count | None = None, fill: Fill = "zero") -> Floats:
    """Score-CAM with the score of each channel averaged over masks of strength 1/N, 2/N … 1."""
    strengths = np.arange(1, samples + 1) / samples
    return _integrated(probe, grown_then_scaled, strengths, channels=channels, fill=fill)


@driver("iscam", source="Naidu et al. 2020, arXiv:2010.03023", needs="activation", score="output", like="torchcam")
def iscam_torchcam(probe: Probe, *, samples: Count = 10, channels: Count | None = None, fill: Fill = "zero") -> Floats:
    """IS-CAM with strengths that add up, 1/N, 3/N, 6/N … (N + 1)/2, far beyond the picture's own."""
    strengths = np.cumsum(np.arange(1, samples + 1) / samples)
    return _integrated(probe, scaled_then_grown, strengths, channels=channels, fill=fill)


def grown_then_scaled(a: Floats, size: Size) -> Floats:
    """A channel (h, w) as a mask (H, W): bilinear, then min-max."""
    return scaled(stretched(a, size))


def scaled_then_grown(a: Floats, size: Size) -> Floats:
    """A channel (h, w) as a mask (H, W): min-max, then bilinear."""
    return stretched(scaled(a), size)


def scaled(plane: Floats) -> Floats:
    """The plane in [0, 1]; a flat one is 0."""
    low = plane.min()
    return np.asarray((plane - low) / (plane.max() - low + EPSILON), np.float32)


def corners_stretched(plane: Floats, size: Size) -> Floats:
    """The plane at another size, bilinear, with corners on corners.

    Not as a product of matrices: for these numpy would start threads that go on spinning beside the model's.
    """
    for axis, wanted in enumerate(size):
        before, share = _between(plane.shape[axis], wanted)
        shape = [-1 if k == axis else 1 for k in range(2)]
        near, far = plane.take(before, axis), plane.take(np.minimum(before + 1, plane.shape[axis] - 1), axis)
        plane = near + (far - near) * share.reshape(shape)
    return np.asarray(plane, np.float32)


@lru_cache(maxsize=4)
def _between(length: int, wanted: int) -> tuple[NDArray[np.intp], Floats]:
    """For each of the wanted places the one before it, and how far it lies beyond that, 0 to 1."""
    places = np.linspace(0, length - 1, wanted) if wanted > 1 else np.zeros(1)
    before = np.floor(places).astype(np.intp)
    return before, np.asarray(places - before, np.float32)


def softmax(means: Scores) -> Scores:
    """Shares of 1."""
    weights = np.exp(means - means.max())
    return np.asarray(weights / weights.sum())


def _masked_once(
    probe: Probe,
    mask: Callable[[Floats, Size], Floats],
    *,
    channels: int | None,
    fill: Fill,
    weigh: Callable[[Scores], Scores] = softmax,
) -> Floats:
    a = probe.activations([probe.x])[0]
    alive, flat = _chosen(a, channels)
    probe.expect(len(alive) + bool(len(flat)))
    masks: Masks = ((k, mask(a[k], probe.size)) for k in alive)
    return _weighed(probe, a, masks, flat=flat, fill=fill, weigh=weigh)


def _noisy(
    probe: Probe,
    mask: Callable[[Floats, Size], Floats],
    *,
    samples: int,
    sigma: float,
    channels: int | None,
    fill: Fill,
    seed: int,
) -> Floats:
    rng, a = probe.rng(seed), probe.activations([probe.x])[0]
    chosen = np.concatenate(_chosen(a, channels))
    probe.expect(len(chosen) * samples)

    def masks() -> Iterator[tuple[int, Floats]]:
        for k in chosen:
            clean = mask(a[k], probe.size)
            for _ in range(samples):
                yield k, clean + np.float32(sigma) * rng.standard_normal(probe.size, np.float32)

    return _weighed(probe, a, masks(), flat=chosen[:0], fill=fill)


def _integrated(
    probe: Probe,
    mask: Callable[[Floats, Size], Floats],
    strengths: NDArray[np.float64],
    *,
    channels: int | None,
    fill: Fill,
) -> Floats:
    a = probe.activations([probe.x])[0]
    alive, flat = _chosen(a, channels)
    probe.expect(len(alive) * len(strengths) + bool(len(flat)))

    def masks() -> Iterator[tuple[int, Floats]]:
        for k in alive:
            whole = mask(a[k], probe.size)
            yield from ((k, whole * np.float32(strength)) for strength in strengths)

    return _weighed(probe, a, masks(), flat=flat, fill=fill)


def _chosen(a: Floats, count: int | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The channels that vary, those first that vary most, and the flat ones; `count` of them in all."""
    deviations = a.std(axis=(1, 2))
    order = np.argsort(-deviations, kind="stable")[:count]
    is_flat = (a.max(axis=(1, 2)) == a.min(axis=(1, 2)))[order]
    return order[~is_flat], order[is_flat]


def _weighed(
    probe: Probe,
    a: Floats,
    masks: Masks,
    *,
    flat: NDArray[np.intp],
    fill: Fill,
    weigh: Callable[[Scores], Scores] = softmax,
) -> Floats:
    """Σ w·a, w the softmax of the channels' mean scores; after an interruption, of those that were reached."""
    blank = probe.blank(fill)
    totals, counts = np.zeros(len(a)), np.zeros(len(a))
    with probe.keeping():
        for (k, _), score in probe.scored(masks, lambda entry: probe.masked(entry[1], blank)):
            totals[k] += score
            counts[k] += 1
        if len(flat):
            totals[flat], counts[flat] = probe.scores([blank])[0], 1
    reached = counts > 0
    w = weigh(totals[reached] / counts[reached]).astype(np.float32)
    return np.asarray(np.tensordot(w, a[reached], axes=1), np.float32)
