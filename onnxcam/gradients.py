"""The differentiator by itself: a model in, the same model with gradients of its tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxcam.autodiff import RULES, Rule, custom_domains, differentiate, obstacle
from onnxcam.autodiff.backward import rules_named
from onnxcam.errors import IntegerTensor, UnknownTensor
from onnxcam.graph import Tape, Value, check, drop_unused, load
from onnxcam.naming import known_names
from onnxcam.sources import open_source

COTANGENT = "cotangent"
PREFIX = "gradient/"


def gradient(
    source: Any, of: str | None = None, wrt: Sequence[str] | None = None, rules: str | Mapping[str, Rule] | None = None
) -> ModelProto:
    """The model with the gradient of a tensor appended, in stock operators of opset 18.

    The model's own inputs and outputs stay first and in order. One input is added, `cotangent`, in the shape and type
    of `of`; and one output for each of `wrt`, in that order, `gradient/<name>`: Σ cotangent · ∂of/∂wrt, in the shape
    and type of that tensor. The result can be differentiated again; where the model has such names already, ours get
    the next number: `cotangent_2`, `gradient/x_2`.

    Args:
        source: as for `convert`; a ModelProto is left as it is.
        of: the tensor to differentiate, by its own name or its author's ("layer4"); None: the first output.
        wrt: the tensors to differentiate by: inputs, inner tensors or weights; None: every float input. One string is
            one name.
        rules: how to walk back: None for the derivative, else the name of a modified backward pass ("guided", …; see
            docs/backward-tables.md) or a table of your own.

    Raises:
        UnknownTensor: if the model has no tensor of that name.
        UnknownChoice: if no table has the name given as `rules`.
        NoPathToScore: if one of `wrt` has no gradient: DisconnectedTensor, FlatPath or IntegerTensor.
        NoGradientRule, NoGradientForm, UnknownShape: if an op on the way cannot be differentiated exactly.
        OnnxCamError: what opening the source raises.
    """
    tape = Tape(load(open_source(source).onnx, domains=custom_domains()).proto)
    end = tape.outputs[0] if of is None else _find(tape, of)
    asked = [wrt] if isinstance(wrt, str) else wrt
    by = {name: _find(tape, name) for name in asked} if asked is not None else _float_inputs(tape)
    _refuse_integers([end, *by.values()])
    cotangent = tape.add_input(tape.free_name(COTANGENT), end.dtype or np.float32, end.shape)
    found = differentiate({end: cotangent}, list(by.values()), _table(rules))
    for (name, value), g in zip(by.items(), found, strict=True):
        if g is None:
            raise obstacle(value, [end])
        with tape.named(f"{PREFIX}{name}"):
            tape.add_output(g, tape.free_name(f"{PREFIX}{name}"), shape=value.shape)
    drop_unused(tape.model)
    check(tape.model)
    return tape.model


def _table(rules: str | Mapping[str, Rule] | None) -> Mapping[str, Rule]:
    """The rules to walk by."""
    if isinstance(rules, str):
        return rules_named(rules)
    return RULES if rules is None else rules


def _find(tape: Tape, name: str) -> Value:
    """The tensor of that name, its own or its author's.

    Raises:
        UnknownTensor: if there is none; near names are told.
    """
    if name in tape:
        return tape.value(name)
    known = known_names(tape, [value for node in tape.nodes for value in node.outputs if value.name])
    if name in known:
        return tape.value(known[name])
    raise UnknownTensor(name, [*known, *tape.producers, *(x.name for x in tape.inputs)])


def _float_inputs(tape: Tape) -> dict[str, Value]:
    return {x.name: x for x in tape.inputs if x.dtype is None or x.dtype.kind in "fV"}


def _refuse_integers(values: Sequence[Value]) -> None:
    """Before any rule meets them."""
    for value in values:
        if value.dtype is not None and value.dtype.kind not in "fV":
            raise IntegerTensor(value.name, value.dtype.name)
