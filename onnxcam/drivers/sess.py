"""Heatmaps of windows of the enlarged picture, laid together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.moving import Window, windowed
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.table import driver
from onnxcam.geometry import stretched
from onnxcam.ranges import Count, NotNegative, Positive, ShareBelowOne

BLUR = 11, 5.0  # pixels of the smoothing kernel's side, and its sigma


@driver("sess", source="Tursun et al. 2022, arXiv:2207.01769", needs="heatmap")
def sess(
    probe: Probe,
    *,
    scales: Count = 12,
    step: Positive = 2 / 7,
    discard: ShareBelowOne = 0.0,
    threshold: NotNegative = 0.0,
    pool: Literal["mean", "max"] = "mean",
    is_smooth: bool = True,
) -> Floats:
    """The heatmaps of windows of the picture at several scales, weighed by their probability and laid together.

    Windows have the input's own size and lie side by side; scale i is 1 + i·`step` times as large. `discard`: the share
    of windows with the lowest probability to leave out; `threshold`: what lies below it does not enter the mean.
    """
    windows = [window for size in sizes(probe.size, scales, step) for window in windows_of(size, probe.size)]
    cut = Cut(probe)
    strongest = 1.0
    if discard > 0 or threshold > 0:
        windows, strongest = ranked(probe, windows, cut, discard)
    probe.expect(len(windows))
    weighed, plain = Fused(probe.size, pool, threshold), Fused(probe.size, pool, threshold)
    with probe.keeping():
        for window, found in probe.answers(windows, cut, "heatmap", "probability", guides=cut.guides):
            weight = max(float(found["probability"]), 0.0) / strongest
            weighed.add(pasted(found["heatmap"] * np.float32(weight), window, probe.size))
            plain.add(pasted(found["heatmap"], window, probe.size))
    laid = weighed.result() if weighed.has_any else plain.result()
    return np.asarray(cv2.GaussianBlur(laid, (BLUR[0], BLUR[0]), BLUR[1]), np.float32) if is_smooth else laid


def ranked(probe: Probe, windows: Sequence[Window], cut: Cut, discard: float) -> tuple[list[Window], float]:
    """The windows without a share of those with the lowest probability, the best first, and the highest probability."""
    probe.expect(2 * len(windows) - int(len(windows) * discard))
    found = [
        float(answer["probability"]) for _, answer in probe.answers(windows, cut, "probability", guides=cut.guides)
    ]
    order = np.argsort(found, kind="stable")[int(len(windows) * discard) :][::-1]
    return [windows[k] for k in order], max(found[order[0]], 0.0) or 1.0


def sizes(size: tuple[int, int], count: int, step: float) -> list[tuple[int, int]]:
    """(H, W) of the enlarged pictures, the shorter side growing by whole pixels, as in pytorch-grad-cam."""
    short = min(size)
    grown = [short + round(short * step) * i for i in range(count)]
    return [(int(side * size[0] / short), int(side * size[1] / short)) for side in grown]


def windows_of(whole: tuple[int, int], window: tuple[int, int]) -> list[Window]:
    """Windows side by side that cover the whole; the last of a row or column is shifted back into it."""
    starts = ([*range(0, length - room, room), length - room] for length, room in zip(whole, window, strict=True))
    return [Window(whole, top, left) for top, left in product(*starts)]


class Cut:
    """The input for a window; the enlarged picture is kept until another scale is asked for."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._whole: NDArray[np.float32] = probe.picture()

    def __call__(self, window: Window) -> Floats:
        """The window's part of the enlarged picture, like x."""
        if self._whole.shape[:2] != window.whole:
            planes = [stretched(plane, window.whole) for plane in np.moveaxis(self._probe.picture(), 2, 0)]
            self._whole = np.stack(planes, axis=2)
        height, width = self._probe.size
        part = self._whole[window.top : window.top + height, window.left : window.left + width]
        return self._probe.laid(part)

    def guides(self, window: Window) -> dict[str, Floats]:
        """The probe's guides as they lie in the window."""
        return windowed(self._probe.guides, window, self._probe.size)


def pasted(heatmap: Floats, window: Window, size: Sequence[int]) -> Floats:
    """The window's heatmap in its place, at the picture's own size; 0 elsewhere."""
    whole = np.zeros(window.whole, np.float32)
    height, width = heatmap.shape
    whole[window.top : window.top + height, window.left : window.left + width] = heatmap
    return stretched(whole, (size[0], size[1]))


class Fused:
    """Maps laid together one by one: their maximum, or the mean of those above a threshold."""

    def __init__(self, size: tuple[int, int], pool: str, threshold: float) -> None:
        self._total, self._count = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self._pool, self._threshold = pool, threshold

    def add(self, part: Floats) -> None:
        """One more."""
        if self._pool == "max":
            np.maximum(self._total, part, out=self._total)
            return
        counts = part > self._threshold
        self._total += np.where(counts, part, 0)
        self._count += counts

    @property
    def has_any(self) -> bool:
        """Whether anything above 0 was laid down."""
        return bool(self._total.any())

    def result(self) -> Floats:
        """What they make together, (H, W)."""
        return self._total if self._pool == "max" else np.asarray(self._total / np.maximum(self._count, 1), np.float32)
