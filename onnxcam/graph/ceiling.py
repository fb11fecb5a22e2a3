"""Pools that round the number of their windows up, where ONNX's shape inference counts one too many."""

from __future__ import annotations

from typing import Any

import onnx.helper
from onnx import ModelProto, NodeProto

from onnxcam.graph.adapters import Scope, give, take

OPSET = 18


def settle_ceilings(model: ModelProto) -> None:
    """Writes such a pool with the padding that makes the windows exact.

    A window that would begin behind the padded input is left out by every runtime, but counted by shape inference (onnx
    1.23), so that all shapes behind it would be wrong. Averages that count their padding would change, and stay.
    """
    scope = Scope(model, OPSET)
    for node in model.graph.node:
        if node.op_type in ("MaxPool", "AveragePool") and len(node.output) == 1:
            _settle(node, scope)


def _settle(node: NodeProto, scope: Scope) -> None:
    given: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    sizes = (scope.shape(node.input[0]) or [])[2:]
    if not given.get("ceil_mode") or given.get("count_include_pad") or None in sizes or not sizes:
        return
    axes = len(sizes)
    kernel, ones = given["kernel_shape"], [1] * axes
    strides, dilations = given.get("strides", ones), given.get("dilations", ones)
    pads = given.get("pads", [0] * (2 * axes))
    behind, is_overcounted = [], False
    for n, k, s, d, before, after in zip(sizes, kernel, strides, dilations, pads[:axes], pads[axes:], strict=True):
        reach = (k - 1) * d
        windows = -(-((n or 0) + before + after - reach - 1) // s) + 1
        is_overcounted |= (windows - 1) * s >= (n or 0) + before
        windows -= (windows - 1) * s >= (n or 0) + before
        behind.append(max(0, (windows - 1) * s + reach + 1 - (n or 0) - before))
    if is_overcounted:
        take(node, "ceil_mode")
        give(node, "pads", [*pads[:axes], *behind])
