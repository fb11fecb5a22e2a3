"""The mean heatmap of a picture in several lights, mirrored and not."""

from __future__ import annotations

from itertools import product

import numpy as np

from onnxcam.drivers.moving import mirrored
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.table import driver
from onnxcam.ranges import Numbers


@driver("tta", source="aug_smooth of pytorch-grad-cam, 2021", needs="heatmap", is_finished=True)
def tta(probe: Probe, *, flips: bool = True, brightness: Numbers = (0.9, 1.0, 1.1)) -> Floats:
    """The mean heatmap of the picture mirrored and not, in several lights (test-time augmentation).

    `brightness`: factors of the model's input. The mean is not brought to [0, 1] again: its maximum says how far the
    heatmaps agree.
    """
    width = 1 + (probe.channel_axis == 0)
    ways = list(product((False, True) if flips else (False,), brightness))
    probe.expect(len(ways))
    total, count = np.zeros(probe.size), 0

    def changed(way: tuple[bool, float]) -> Floats:
        return (np.flip(probe.x, width) if way[0] else probe.x) * np.float32(way[1])

    def guides(way: tuple[bool, float]) -> dict[str, Floats]:
        return mirrored(probe.guides, probe.size[1]) if way[0] else probe.guides

    with probe.keeping():
        for (is_flipped, _), found in probe.answers(ways, changed, "heatmap", guides=guides):
            total += found["heatmap"][:, ::-1] if is_flipped else found["heatmap"]
            count += 1
    return np.asarray(total / count, np.float32)
