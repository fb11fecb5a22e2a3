"""The inputs that a model has beside the picture, and what each of them is where nobody gives it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.fillings import HEIGHT_WIDTH, ONES, WIDTH_HEIGHT, ZEROS
from onnxcam.graph import Node, Tape, Value
from onnxcam.graph.arithmetic import FOLDS

# What exporters call the size of the photo: orig_target_sizes, orig_size, im_shape, img_shape, image_size, image_hw …
SIZES = ("size", "shape", "_hw", "_wh")
# DETR's kin (RT-DETR, D-FINE, DEIM) export a postprocessor that takes width and height; others take rows first.
WIDTH_FIRST = ("orig_target_sizes", "_wh")
FIRST, SECOND = 101.0, 103.0  # two sides that can be told apart wherever they turn up
Known = dict[Value, NDArray[Any]]


def fillings_of(tape: Tape, picture: Value | None) -> dict[str, str]:
    """By name the kind, one of `fillings.KINDS`, of each other input that can be left out.

    Those that belong to the pictures can: sizes, scales, masks, and tensors of two axes or more, which are 0. A single
    number or a list, a threshold for instance, is for the user to say.
    """
    others = [value for value in tape.inputs if value != picture]
    found = {value: kind for value in others if (kind := _kind(value)) is not None}
    seeds = {value: seed for value, kind in found.items() if (seed := _seed(value, kind)) is not None}
    for value, kind in found.items():
        if kind in (HEIGHT_WIDTH, WIDTH_HEIGHT):
            found[value] = _order_used(tape, seeds, size=value) or kind
    return {value.name: kind for value, kind in found.items()}


def _kind(value: Value) -> str | None:
    name, shape, dtype = value.name.lower(), value.shape, value.dtype
    if shape is None or dtype is None or dtype.kind not in "iufbV":
        return None
    if shape[-1:] == (2,) and len(shape) <= 2 and dtype.kind in "iuf":
        if "scale" in name:
            return ONES
        if any(word in name for word in SIZES):
            return WIDTH_HEIGHT if any(word in name for word in WIDTH_FIRST) else HEIGHT_WIDTH
    if len(shape) < 2:
        return None
    # A mask of floats may be added to attention, or be a drawing: nought says nothing.
    is_mask = "mask" in name and (dtype.kind in "iub" or name in ("pixel_mask", "attention_mask"))
    return ONES if is_mask else ZEROS


def _seed(value: Value, kind: str) -> NDArray[Any] | None:
    """What to follow through the graph: one row."""
    rank = len(value.shape or ())
    if (value.shape or ())[-1:] != (2,) or rank > 2:
        return None
    row = np.ones(2) if kind == ONES else np.array([FIRST, SECOND])
    return row.astype(value.dtype).reshape((1, 2)[2 - rank :])


def _order_used(tape: Tape, seeds: Known, *, size: Value) -> str | None:
    """Which entry of the size stretches x, the first column of the boxes that it meets; None where that is open."""
    known: Known = {value: row for value, row in seeds.items() if value == size or not (row == seeds[size]).all()}
    for node in tape.nodes:
        derived = [x for x in node.inputs if x in known]
        if not derived:
            continue
        results = _folded(node, known)
        if results is not None:
            known |= zip(node.outputs, results, strict=False)
        elif node.op_type in ("Mul", "Div") and (order := _order(known[derived[0]])) is not None:
            return order
    return None


def _folded(node: Node, known: Known) -> list[NDArray[Any]] | None:
    """What the node makes of known arrays and constants; None where something else goes in."""
    inputs = [None if x is None else known.get(x, x.constant) for x in node.inputs]
    if any(x is not None and array is None for x, array in zip(node.inputs, inputs, strict=True)):
        return None
    arrays = [array for array in inputs if array is not None]
    if node.op_type == "Tile":
        return [np.tile(*arrays)]
    if node.op_type == "Split" and len(arrays) == 1:
        return np.array_split(arrays[0], len(node.outputs), axis=node.attributes.get("axis", 0))
    return FOLDS[node.op_type](inputs, node.attributes) if node.op_type in FOLDS else None


def _order(stretching: NDArray[Any]) -> str | None:
    if stretching.ndim == 0 or stretching.shape[-1] not in (2, 4):
        return None
    x, y = stretching.reshape(-1, stretching.shape[-1])[0, :2].astype(np.float64)
    return {(FIRST, SECOND): WIDTH_HEIGHT, (SECOND, FIRST): HEIGHT_WIDTH}.get((float(x), float(y)))
