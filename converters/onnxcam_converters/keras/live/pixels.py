"""Whether a live model scales its pixels itself: they must not be scaled twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxcam.facts import note
from onnxcam_converters.keras.knowledge import RESIZING, SMALL_SCALE
from onnxcam_converters.keras.live.framework import Framework, layers_of
from onnxcam_converters.keras.live.signature import Input
from onnxcam_converters.keras.pixels import PASSING

SCALING = frozenset(("Rescaling", "Normalization"))


def note_scaling(model: ModelProto, live: Any, framework: Framework, *, inputs: Sequence[Input]) -> None:
    """Notes which pixels the model takes where its first layer that computes is one that scales them."""
    scaling = _first_scaling(live, framework)
    picture = next((x for x in inputs if len(x.shape) == 4), None)
    if scaling is None or picture is None:
        return
    preset, top = ("unit", 1) if _is_for_unit(scaling) else ("raw", 255)
    size = [dim for dim in picture.shape[1:3] if isinstance(dim, int)]
    note(
        model,
        preprocessing={"preset": preset, **RESIZING, **({"size": size} if len(size) == 2 else {})},
        notes=[f"The model scales its pixels itself ({scaling.name}): it takes them from 0 to {top}."],
    )


def _first_scaling(live: Any, framework: Framework) -> Any:
    """The layer that scales the picture; None where the first layer that computes is another."""
    for layer in layers_of(live):
        kind = type(layer).__name__
        if kind in SCALING:
            return layer
        is_passing = kind in PASSING or kind.startswith(("Random", "Auto", "Aug"))
        if not is_passing and not isinstance(layer, framework.module.Model):
            return None
    return None


def _is_for_unit(layer: Any) -> bool:
    """Whether it takes pixels from 0 to 1: by its factor, or by the mean that it takes off."""
    if type(layer).__name__ == "Rescaling":
        return bool(np.max(np.abs(layer.scale)) > SMALL_SCALE)
    return bool(np.max(np.abs(np.asarray(layer.mean))) <= 1)
