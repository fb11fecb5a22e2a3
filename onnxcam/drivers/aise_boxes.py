"""AISE for a detection: spots are tried around its box, as large as it and smaller."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.aise import Search, searched
from onnxcam.drivers.moving import BOX, overlap
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.table import driver
from onnxcam.errors import OnlyDetections
from onnxcam.ranges import Count, Positive

OPENVINO = "AISE, as in OpenVINO XAI 1.1, 2024"
AROUND = 0.5  # of the box's sides, on each side of it
EPS = 0.05


@driver("aise-detection", source=OPENVINO, needs="score", score="probability", of_boxes=True)
def aise_detection(probe: Probe, *, places: Count = 50, finest: Positive = 7.0, widths: Count = 3) -> Floats:
    """AISE for a detection: spots around its box, weighed by what they keep and hide of it.

    That is the confidence in its class times the overlap with its box, of the candidate that has most of both. Places
    are looked for in the box and half its sides around it; the spots' widths go from the box's shorter side over
    `finest` to all of it.
    """
    box = probe.guides.get(BOX)
    if box is None:
        raise OnlyDetections(probe.method)
    probe.require(finest >= 1, "finest", finest, "must be at least 1")
    sides = np.maximum(box[2:] - box[:2], 1)

    def scores(inputs: Iterable[Floats]) -> NDArray[np.float64]:
        found = (answer for _, answer in probe.answers(inputs, lambda x: x, "probability", "box"))
        return np.array([float(one["probability"] * overlap(one["box"], box)) for one in found])

    return searched(probe, min(sides) / np.linspace(finest, 1, widths), Search(places, EPS, around(box, probe)), scores)


def around(box: Floats, probe: Probe) -> tuple[tuple[float, float], ...]:
    """The box and half its sides around it, as far as the picture goes: of y, then of x, in [0, 1]."""
    whole = np.array(probe.size, np.float64)
    low, high = box[1::-1] / whole, box[:1:-1] / whole
    edge = (high - low) * AROUND
    ends = np.clip([low - edge, high + edge], 0, 1).T
    return tuple((float(start), float(max(end, start + 1e-3))) for start, end in ends)
