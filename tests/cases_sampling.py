"""Rows for the ops that read between elements: GridSample, RoiAlign, MaxRoiPool."""

from __future__ import annotations

import numpy as np
from conformance import Fixed, Row, spread


def grid(*shape: int, seed: int = 0) -> np.ndarray:
    """Points in and around the picture, none on an element or a border, where the slope jumps."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.6, 1.6, (*shape, 2))


def sampled(name: str, attributes: str, *, x: tuple[int, ...] = (1, 2, 3, 4), n: int = 1) -> Row:
    return Row(f"GridSample, {name}", f"y = GridSample<{attributes}>(x, points)", x=x, points=grid(n, 2, 3))


# In, across, smaller than an element, inside out; no sample of theirs on an element, where the slope jumps.
BOXES = np.array(
    [[0.313, 0.437, 3.171, 2.719], [-2.341, 1.137, 2.9, 6.45], [1.27, 1.61, 1.53, 1.77], [2.219, 2.613, 1.1, 1.4]]
)


def aligned(name: str, attributes: str, *, boxes: np.ndarray = BOXES, images: tuple[int, ...] = (0, 1, 1, 0)) -> Row:
    text = f"y = RoiAlign<output_height=2, output_width=3, {attributes}>(x, boxes, images)"
    x, images_of_boxes = (max(images) + 1, 2, 4, 5), Fixed(np.array(images, np.int64))
    return Row(f"RoiAlign, {name}", text, x=x, boxes=boxes, images=images_of_boxes)


MODE = 'mode="{}", padding_mode="{}", align_corners={}'
ROWS = [
    *(
        sampled(f"{mode}, {padding}{', aligned' * aligned}", MODE.format(mode, padding, aligned))
        for mode in ("bilinear", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ),
    *(
        Row(
            f"GridSample, nearest, {padding}{', aligned' * aligned}",
            f"y = GridSample<{MODE.format('nearest', padding, aligned)}>(x, points)",
            x=(1, 2, 3, 4),
            points=Fixed(grid(1, 2, 3)),
        )
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ),
    sampled("several images", "align_corners=0", x=(3, 1, 3, 2), n=3),
    sampled("one pixel, its edges", 'padding_mode="border"', x=(1, 1, 1, 1)),
    aligned("one sample a bin", "sampling_ratio=1"),
    aligned("four samples a bin", "sampling_ratio=2"),
    aligned("nine samples a bin", "sampling_ratio=3"),
    aligned("samples by size", "sampling_ratio=0"),
    aligned("one image", "sampling_ratio=2", images=(0, 0, 0, 0)),
    aligned("one image, samples by size", "sampling_ratio=0", images=(0, 0, 0, 0)),
    aligned("scaled", "sampling_ratio=2, spatial_scale=0.7"),
    aligned("unshifted", 'sampling_ratio=2, coordinate_transformation_mode="output_half_pixel"'),
    aligned("unshifted, samples by size", 'coordinate_transformation_mode="output_half_pixel"'),
    aligned("largest sample", 'sampling_ratio=1, mode="max"'),
    aligned("largest of four samples", 'sampling_ratio=2, mode="max"'),
    aligned("largest of samples by size", 'mode="max"'),
    aligned("largest of samples by size, one image", 'mode="max"', images=(0, 0, 0, 0)),
    Row(
        "MaxRoiPool, boxes in, across, small and inside out",
        "y = MaxRoiPool<pooled_shape=[2,3], spatial_scale=0.5>(x, boxes)",
        # ONNX's GatherElements has no more than 64 places.
        x=spread(2, 2, 5, 6),
        boxes=Fixed(np.array([[1, 0, 1, 9, 8], [0, -4, 5, 6, 14], [0, 3, 3, 3.4, 3], [1, 8, 9, 4, 2]], np.float64)),
    ),
    Row(
        "MaxRoiPool, one image",
        "y = MaxRoiPool<pooled_shape=[2,2]>(x, boxes)",
        x=spread(1, 2, 5, 5),
        boxes=Fixed(np.array([[0, 0, 1, 4, 4], [0, 1, 1, 3, 2]], np.float64)),
    ),
]
