"""How a driver's raw map becomes a heatmap: the numpy twins of what `conventions.py` writes into graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import UnknownChoice
from onnxcam.geometry import between, stretched

Floats: TypeAlias = NDArray[np.float32]
Size: TypeAlias = tuple[int, ...]
Convention: TypeAlias = Callable[[Sequence[Floats], Size], Floats]
PERCENT = 99
SMALLEST = 1e-30  # for a convention that adds nothing to its divisor


def normalize(maps: Sequence[Floats], size: Size, convention: str) -> Floats:
    """The heatmap (H, W) of the raw maps (h, w) of one or more layers; NaN stays NaN.

    Likewise (L,) of those of a signal, and (D, H, W) of a volume.

    Raises:
        UnknownChoice: for a convention that does not exist.
    """
    if convention not in CONVENTIONS:
        raise UnknownChoice("normalisation", convention, CONVENTIONS)
    with np.errstate(invalid="ignore", over="ignore"):
        return CONVENTIONS[convention]([np.asarray(raw, np.float32) for raw in maps], size)


def pytorch_grad_cam(maps: Sequence[Floats], size: Size) -> Floats:
    """ReLU, min-max at low resolution, bilinear, mean over layers, min-max again; 1e-7."""
    return _scaled_twice(maps, size, stretched)


def align_corners(maps: Sequence[Floats], size: Size) -> Floats:
    """As pytorch-grad-cam, with the corners of the map on those of the picture."""
    return _scaled_twice(maps, size, _from_corner_to_corner)


def asymmetric(maps: Sequence[Floats], size: Size) -> Floats:
    """As pytorch-grad-cam, with place k of h at pixel k·H/h."""
    return _scaled_twice(maps, size, _from_the_first_corner)


def torchcam(maps: Sequence[Floats], size: Size) -> Floats:
    """ReLU, min-max at low resolution, bilinear, maximum over layers; 1e-8."""
    return reduce(np.maximum, [stretched(_min_max(_relu(raw), 1e-8), size) for raw in maps])


def torchcam_tanh(maps: Sequence[Floats], size: Size) -> Floats:
    """As torchcam; of several layers the tanh of twice each map, as its LayerCAM."""
    if len(maps) == 1:
        return torchcam(maps, size)
    return reduce(np.maximum, [stretched(np.tanh(2 * _min_max(_relu(raw), 1e-8)), size) for raw in maps])


def keras(maps: Sequence[Floats], size: Size) -> Floats:
    """ReLU, divided by the maximum at low resolution, bilinear, mean over layers."""
    return _mean([stretched(_over_maximum(_relu(raw), 1e-7), size) for raw in maps])


def vizgradcam(maps: Sequence[Floats], size: Size) -> Floats:
    """Bilinear first, then ReLU, then min-max at full resolution; mean over layers."""
    return _mean([_min_max(_relu(stretched(raw, size)), SMALLEST) for raw in maps])


def tf_keras_vis(maps: Sequence[Floats], size: Size) -> Floats:
    """ReLU, bilinear with the corners on the corners, min-max at full resolution; 1e-7; mean over layers."""
    return _mean([_min_max(_from_corner_to_corner(_relu(raw), size), 1e-7) for raw in maps])


def summed(maps: Sequence[Floats], size: Size) -> Floats:
    """ReLU, bilinear, sum over layers, min-max; 1e-7."""
    return _min_max(np.asarray(np.sum([stretched(_relu(raw), size) for raw in maps], axis=0), np.float32), 1e-7)


def captum(maps: Sequence[Floats], size: Size) -> Floats:
    """The raw map, negative values included, in blocks (nearest), mean over layers: not in [0, 1]."""
    return _mean([_in_blocks(raw, size) for raw in maps])


def percentile(maps: Sequence[Floats], size: Size) -> Floats:
    """ReLU, bilinear, over the map's 99th percentile and cut at 1, mean over layers: for single bright pixels."""
    return _mean([_over_percentile(stretched(_relu(raw), size)) for raw in maps])


CONVENTIONS: dict[str, Convention] = {
    "pytorch-grad-cam": pytorch_grad_cam,
    "align-corners": align_corners,
    "asymmetric": asymmetric,
    "torchcam": torchcam,
    "torchcam-tanh": torchcam_tanh,
    "keras": keras,
    "vizgradcam": vizgradcam,
    "tf-keras-vis": tf_keras_vis,
    "summed": summed,
    "captum": captum,
    "percentile": percentile,
}


def _from_corner_to_corner(raw: Floats, size: Size) -> Floats:
    """(h, w) → (H, W), bilinear: each end of an axis stays at the end."""
    for axis, wanted in enumerate(size):
        raw = between(raw, np.linspace(0, raw.shape[axis] - 1, wanted), axis)
    return raw


def _from_the_first_corner(raw: Floats, size: Size) -> Floats:
    """(h, w) → (H, W), bilinear: the first place of an axis stays at its first, the last is repeated behind."""
    for axis, wanted in enumerate(size):
        length = raw.shape[axis]
        raw = between(raw, np.minimum(np.arange(wanted) * (length / wanted), length - 1), axis)
    return raw


def _scaled_twice(maps: Sequence[Floats], size: Size, enlarged: Callable[[Floats, Size], Floats]) -> Floats:
    return _min_max(_mean([enlarged(_min_max(_relu(raw), 1e-7), size) for raw in maps]), 1e-7)


def _in_blocks(raw: Floats, size: Size) -> Floats:
    """(h, w) → (H, W), place k of an axis being place ⌊k·h/H⌋ of before."""
    for axis, wanted in enumerate(size):
        raw = np.take(raw, np.arange(wanted) * raw.shape[axis] // wanted, axis)
    return raw


def _relu(raw: Floats) -> Floats:
    return np.maximum(raw, np.float32(0))


def _min_max(raw: Floats, epsilon: float) -> Floats:
    return _over_maximum(raw - raw.min(), epsilon)


def _over_maximum(raw: Floats, epsilon: float) -> Floats:
    return np.asarray(raw / (raw.max() + np.float32(epsilon)), np.float32)


def _over_percentile(raw: Floats) -> Floats:
    peak = raw.max()
    if not np.isfinite(peak):  # cut at 1, an infinite map would look like a sound one
        return np.full_like(raw, np.nan)
    high = np.float32(np.percentile(raw, PERCENT)) or peak
    return np.minimum(raw / (high + np.float32(SMALLEST)), np.float32(1))


def _mean(maps: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(maps, axis=0), np.float32) if len(maps) > 1 else maps[0]
