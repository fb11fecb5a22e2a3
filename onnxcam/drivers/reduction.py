"""From one number a value of the input to one a pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe

Channels: TypeAlias = Literal["absolute", "sum", "net", "maximum", "largest"]
Reduce: TypeAlias = Callable[[NDArray[Any], int], NDArray[Any]]

REDUCTIONS: dict[str, Reduce] = {
    "absolute": lambda a, axis: np.abs(a).sum(axis),
    "sum": lambda a, axis: a.sum(axis),
    "net": lambda a, axis: np.abs(a.sum(axis)),
    "maximum": lambda a, axis: np.abs(a).max(axis),
    "largest": lambda a, axis: a.max(axis),
}


def by_pixel(probe: Probe, attribution: NDArray[Any], channels: Channels) -> Floats:
    """The map (H, W) of an attribution like x, which the probe keeps for whoever wants it channel by channel.

    `channels`: "absolute", Σ|a| over the channels; "sum", Σa with its sign; "net", |Σa|; "maximum", max |a|;
    "largest", max a.
    """
    probe.attribution = np.asarray(attribution, np.float32)
    return np.asarray(REDUCTIONS[channels](attribution, probe.channel_axis), np.float32)
