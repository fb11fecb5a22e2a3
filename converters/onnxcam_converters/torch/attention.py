"""Attention written out: the exporters know the fused operator for some ranks and memory layouts only."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FUSED = frozenset(
    (torch.nn.functional.scaled_dot_product_attention, torch.ops.aten.scaled_dot_product_attention.default)
)


class PlainAttention(TorchFunctionMode):
    """While it is entered, `scaled_dot_product_attention` is computed by its formula."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What the call gives."""
        return (attend if func in FUSED else func)(*args, **(kwargs or {}))


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - of training only
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """softmax(q kᵀ · scale + mask) v over the last two axes; scale is 1/√d where none is given."""
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    mask = causal(query, key) if is_causal else attn_mask
    if mask is not None:
        is_choice = mask.dtype == torch.bool
        scores = scores.masked_fill(mask.logical_not(), -math.inf) if is_choice else scores + mask
    return scores.softmax(-1) @ value


def causal(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """True where a query may look: at keys of its own place and before."""
    return torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
