"""Which places an attention may look at, and the other arguments of its call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxcam.graph import Value
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.tensor import Tensor

# What a masked score becomes: Keras's own number, e^-1e9 is 0.
NEVER = -1e9


@dataclass(frozen=True)
class Call:
    """The arguments of one call of an attention layer, without the tensors that are attended.

    Attributes:
        layer: that is called.
        allowed: the mask given by the caller, truth values (N, query, key): a tensor or a constant.
        with_scores: whether the scores are given too.
        is_causal: no place looks at a later one.
    """

    layer: Layer
    allowed: Any = None
    with_scores: bool = False
    is_causal: bool = False

    def mask(self, query: Tensor, value: Tensor, *, axes: tuple[int, ...], rank: int) -> Value | None:
        """Where scores of that rank, (…, query, key), count; None where all do.

        Raises:
            UnsupportedLayer: if it depends on lengths that are open, or on several axes.
        """
        window = self.layer.option("sliding_window", default=None)
        parts = [] if self.allowed is None else [self._allowed(rank)]
        if self.is_causal or window:
            band = self._band(query.shape[1], value.shape[1], window)
            parts.append(query.tape.constant(band.reshape((1,) * (rank - 2) + band.shape)))
        if parts and axes != (1,):
            raise self.layer.refuse(f"a mask over the axes {axes} is not covered")
        return parts[0] if len(parts) == 1 else query.tape.And(*parts) if parts else None

    def _band(self, rows: Any, columns: Any, window: int | None) -> Array:
        if not isinstance(rows, int) or not isinstance(columns, int):
            raise self.layer.refuse("its mask depends on a length that the file leaves open")
        ahead = np.arange(columns)[None, :] - np.arange(rows)[:, None]
        near = np.abs(ahead) < window if window else np.ones_like(ahead, bool)
        return near & (ahead <= 0) if self.is_causal else near

    def _allowed(self, rank: int) -> Value:
        """The caller's mask, its batch axis first and ones for the heads, unless it has them all."""
        tape = self.layer.tape
        is_tensor = isinstance(self.allowed, Tensor)
        mask = self.allowed.plain() if is_tensor else tape.constant(np.asarray(self.allowed, bool))
        own = self.allowed.rank if is_tensor else np.ndim(self.allowed)
        if not 2 <= own <= rank:
            raise self.layer.refuse(f"a mask of {own} axes is not covered")
        inserted = list(range(own - 2, own - 2 + rank - own))
        mask = tape.Cast(mask, to=TensorProto.BOOL)
        return tape.Unsqueeze(mask, tape.ints(*inserted)) if inserted else mask


def call_of(layer: Layer, names: Sequence[str], rest: Sequence[Any], named: Mapping[str, Any]) -> Call:
    """The arguments that stand behind the tensors, by position or by name.

    Raises:
        UnsupportedLayer: if one of them is not understood, or is a mask of padding.
    """
    given = {**dict(zip(names, rest, strict=False)), **named}
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    known = {"attention_mask", "return_attention_scores", "use_causal_mask"}
    if given.keys() - known:
        raise layer.refuse(f"its argument {min(given.keys() - known)!r} is not covered")
    return Call(layer, given.get("attention_mask"), "return_attention_scores" in given, "use_causal_mask" in given)


def masked(scores: Value, mask: Value | None) -> Value:
    """The scores, out of reach where the mask forbids."""
    return scores if mask is None else scores.tape.Where(mask, scores, NEVER)
