"""Makes docs/signals-and-volumes.webp: a beat that differs from the others, and a bright spot in a volume, found.

The two nets have filters made by hand, so that nothing needs training: one that answers to wide beats in any of three
channels, one that answers to what is bright over 3 x 3 x 3 places. Run it from the repository's root.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper, parser

from onnxcam import Explainer, convert
from onnxcam.array_explanation import SignalExplanation, VolumeExplanation
from onnxcam.images import Image
from onnxcam.legend import PAPER

PAGE = Path(__file__).parent.parent / "docs" / "signals-and-volumes.webp"
TEXT = """
<ir_version: 8, opset_import: ["" : 18]> net (float[N,{dims}] x) => (float[N,2] scores)
<int64[{axes}] space = {{{places}}}>
{{
    sums = Conv <pads = [{pads}]> (x, filters)
    found = Relu (sums)
    means = ReduceMean <keepdims = 0> (found, space)
    scores = Gemm (means, heads)
}}
"""
RATE = 250.0  # samples a second
WIDTH = 720
QUALITY = 80  # of WebP, 0 to 100


def net(filters: NDArray[np.float32], sides: tuple[int, ...]) -> ModelProto:
    """A convolution with the filter and with its opposite, the mean over space, a score each."""
    both, axes = np.stack([filters, -filters]), len(sides)
    model = parser.parse_model(
        TEXT.format(
            dims=",".join(map(str, (len(filters), *sides))),
            axes=axes,
            places=",".join(map(str, range(2, axes + 2))),
            pads=",".join([str(side // 2) for side in filters.shape[1:]] * 2),
        )
    )
    for name, values in (("filters", both), ("heads", np.eye(2))):
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    return model


def hump(at: float, width: float, length: int) -> NDArray[np.float64]:
    """A smooth hump on a line."""
    return np.asarray(np.exp(-(((np.arange(length) - at) / width) ** 2)))


def heart() -> NDArray[np.float32]:
    """Three channels of beats, of which the fourth comes early and is wide."""
    rng, length = np.random.default_rng(0), 1000
    line = np.zeros(length)
    for at in (90, 260, 430, 740, 910):
        line += 1.2 * hump(at, 5, length) - 0.3 * hump(at + 12, 5, length) + 0.25 * hump(at + 60, 20, length)
    line += 1.1 * hump(545, 20, length) - 0.5 * hump(600, 26, length)
    return np.stack([share * line + 0.03 * rng.standard_normal(length) for share in (1.0, 0.7, -0.5)]).astype(
        np.float32
    )


def body() -> NDArray[np.float32]:
    """A grey ellipsoid with a bright spot in slice 15 of 24."""
    rng, sides = np.random.default_rng(0), (24, 48, 64)
    z, y, x = np.indices(sides)
    inside = ((y - 24) / 20) ** 2 + ((x - 32) / 28) ** 2 + ((z - 12) / 14) ** 2 < 1
    spot = np.exp(-(((z - 15) / 2.2) ** 2) - ((y - 18) / 3.5) ** 2 - ((x - 42) / 3.5) ** 2)
    return np.asarray(0.4 * inside + spot + 0.02 * rng.standard_normal(sides) - 0.35, np.float32)


def wide_beat() -> NDArray[np.float32]:
    """The filter: a hump and the trough behind it, of no sum, over each channel with its sign."""
    shape = 1.1 * hump(40, 20, 121) - 0.5 * hump(95, 26, 121)
    return np.outer((1.0, 0.7, -0.5), shape - shape.mean()).astype(np.float32)


def drawn() -> Image:
    """The plot, and the mosaic below it."""
    signal, volume = heart(), body()
    beat = Explainer(convert(net(wide_beat(), signal.shape[1:])).to_bytes())(signal, 0)
    spot = Explainer(convert(net(np.ones((1, 3, 3, 3), np.float32), volume.shape)).to_bytes())(volume, 0)
    assert isinstance(beat, SignalExplanation)
    assert isinstance(spot, VolumeExplanation)
    parts = []
    for picture in (beat.overlay(rate=RATE, names=["I", "II", "aVR"]), spot.mosaic(count=8)):
        height = round(picture.array.shape[0] * WIDTH / picture.array.shape[1])
        parts.append(cv2.resize(picture.array, (WIDTH, height), interpolation=cv2.INTER_AREA))
    return np.vstack([parts[0], np.full((8, WIDTH, 3), PAPER, np.uint8), parts[1]])


if __name__ == "__main__":
    cv2.imwrite(str(PAGE), drawn()[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
