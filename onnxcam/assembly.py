"""Model, layers, score and method made one: the explain graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxcam.conventions import CONVENTIONS, picture_size
from onnxcam.errors import NameTaken, NoAttribution, NoCandidates, NoPathToScore
from onnxcam.graph import (
    Dim,
    Tape,
    Value,
    check,
    drop_unused,
    is_large,
    write,
    write_metadata,
)
from onnxcam.layer import Layer
from onnxcam.layouts import picture_layout, space_sides
from onnxcam.linear_head import check_linear_head
from onnxcam.metadata import KEY, Metadata
from onnxcam.methods import METHODS, Method
from onnxcam.question import Question
from onnxcam.scores import Ask, Scores, Selection

CANDIDATES = "candidates"
RAW_OUTPUTS = ("activation", "gradient", "raw_map", "attribution", CANDIDATES)
OWN_NAMES = ("target", "heatmap", "target_index", "target_score", *RAW_OUTPUTS)
BEST = -1
# What a driver asks the graph for, by what it needs.
FOR_DRIVERS = {
    "score": (),
    "gradient": ("gradient",),
    "activation": ("activation",),
    "both": ("activation", "gradient"),
    "candidates": (CANDIDATES,),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be built: the parts that the user chose, found in one model.

    Attributes:
        around: the method of many passes that goes around this one, {"name", "options"}; None where none does.
        like: the library whose numbers were asked for; None: the paper's.
    """

    tape: Tape
    picture: Value
    scores: Scores
    layers: tuple[Layer, ...]
    method: Method
    normalize: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fillings: Mapping[str, str] = field(default_factory=dict)
    around: Mapping[str, Any] | None = None
    like: str | None = None


@dataclass(frozen=True, slots=True)
class ExplainGraph:
    """One ONNX file: image in; scores, class and heatmap out.

    Attributes:
        model: the ONNX model.
        metadata: what the run half needs to know, also inside the model.
    """

    model: ModelProto
    metadata: Metadata

    def save(self, path: str | Path) -> Path:
        """Where it was written: whole or not at all; models over 2 GB get one side file of weights."""
        write(self.model, path)
        return Path(path)

    @property
    def is_large(self) -> bool:
        """Whether it is over 2 GB, so that its weights lie in a side file."""
        return is_large(self.model)

    def to_bytes(self) -> bytes:
        """The file's bytes; of a large graph they are not all, so save that."""
        data: bytes = self.model.SerializeToString()
        return data


def build(plan: Plan, outputs: Sequence[str] = (), *, is_multi: bool = False) -> ModelProto:
    """The explain graph: adds input `target`, outputs `heatmap`, `target_index`, `target_score`, and those asked for.

    `target` is (N,), `heatmap` (N, H, W); with `is_multi` (N, K) and (N, K, H, W), K free at run time: the model runs
    once an image, and what lies above the lowest layer once more for each target.

    Raises:
        NoGradientRule, NoPathToScore, NoLinearHead: if the method cannot be had for this layer.
        NameTaken: if the model's own inputs or outputs bear one of our names.
    """
    check_names(plan.tape, outputs)
    question = ask(plan, is_multi=is_multi)
    if plan.method.needs_linear_head:
        check_linear_head(plan.tape, plan.layers, plan.scores, method=plan.method.name)
    raw = list(plan.method.build(question, **plan.options))
    lead = Lead(plan, question, is_multi=is_multi)
    if raw:
        with plan.tape.named("heatmap"):
            maps = CONVENTIONS[plan.normalize](raw, picture_size(plan.picture))
            heatmap = lead.parted(only_of_what_is_there(maps, question))
        sides = space_sides(plan.picture, picture_layout(plan.picture) or "NCHW")
        plan.tape.add_output(heatmap, "heatmap", shape=[*lead.dims, *sides])
    add_answers(plan, question.selection, lead)
    for name in outputs:
        extra = _candidates(plan) if name == CANDIDATES else lead.parted(_extra(plan, question, raw, name=name))
        plan.tape.add_output(extra, name)
    return plan.tape.model


def only_of_what_is_there(maps: Value, question: Question) -> Value:
    """The maps (M, …), zero where there is nothing to explain: without a gradient there would be one all the same."""
    op, is_there = maps.tape, question.selection.is_there
    if is_there is None:
        return maps
    rows = op.Reshape(is_there, op.ints(-1, *[1] * (len(maps.shape or ()) - 1)))
    return op.Where(rows, maps, op.number(0.0, maps))


def ask(plan: Plan, *, is_multi: bool) -> Question:
    """The question that the plan puts, with input `target`."""
    tape, scores = plan.tape, plan.scores
    dims: list[Dim] = [_batch(plan), "targets"] if is_multi else [_batch(plan)]
    default = np.full([dims[0] if isinstance(dims[0], int) else 1, 1][: len(dims)], BEST)
    target = tape.add_input("target", np.int64, dims, default=default)
    with tape.named("target"):
        images = tape.Shape(scores.values, start=0, end=1)
        wanted = (
            tape.Expand(target, tape.Concat(images, tape.ints(1), axis=0))
            if is_multi
            else tape.Unsqueeze(tape.Expand(target, images), tape.ints(1))
        )
        count = tape.Shape(wanted, start=1, end=2) if is_multi else None
        selection = scores.select(scores, Ask(wanted, plan.picture, dims))
    starts = tuple(tape.value(layer.tensor) for layer in plan.layers) if plan.method.needs_gradient else ()
    return Question(tape, plan.picture, scores, plan.layers, selection, starts, count)


class Lead:
    """The leading dimensions of what has a row for each target: [N], or [N, K]."""

    def __init__(self, plan: Plan, question: Question, *, is_multi: bool) -> None:
        self.dims: list[Dim] = [_batch(plan), "targets"] if is_multi else [_batch(plan)]
        self._sizes = plan.tape.Shape(question.selection.index) if is_multi else None

    def parted(self, value: Value) -> Value:
        """(N·K, …) → (N, K, …)."""
        op, rank = value.tape, len(value.shape or ())
        if self._sizes is None:
            return value
        return op.Reshape(value, op.Concat(self._sizes, op.Shape(value, start=1), axis=0) if rank > 1 else self._sizes)

    def narrowed(self, value: Value) -> Value:
        """(N, K, …), as the selection gives it: (N, …) where each image has one target."""
        return value if self._sizes is not None else value.tape.Squeeze(value, value.tape.ints(1))


def add_answers(plan: Plan, selection: Selection, lead: Lead) -> None:
    """Adds the outputs that tell what was explained."""
    tape, dims = plan.tape, lead.dims
    with tape.named("target"):
        index, score = lead.narrowed(selection.index), _as_float32(lead.narrowed(selection.score))
    tape.add_output(index, "target_index", shape=dims)
    tape.add_output(score, "target_score", shape=dims)
    for name, value in selection.extras.items():
        rest = (value.shape or ())[2:]
        tape.add_output(lead.narrowed(value), name, shape=[*dims, *rest])


def _candidates(plan: Plan) -> Value:
    """All that a detector's head offers, (N, B, 5 + C): of the picture, whatever the target."""
    if plan.scores.candidates is None:
        raise NoCandidates(plan.scores.kind)
    with plan.tape.named(CANDIDATES):
        return plan.scores.candidates()


def _extra(plan: Plan, question: Question, raw: Sequence[Value], *, name: str) -> Value:
    """One of RAW_OUTPUTS that has a row for each target, (M, …)."""
    if name == "raw_map":
        return raw[0]
    if name == "attribution":
        return _attribution(plan, question)
    if name == "activation":
        return question.activations[0] if question.starts else question.for_rows(question.activations_once[0])
    if not question.starts:
        raise NoPathToScore(question.layers[0].name, "this method takes no gradient")
    if question.layers[0].tensor == question.picture.name:
        return _as_float32(question.differentiate(None, question.tensors)[0])  # as the input lays it out
    return question.gradients[0]


def _attribution(plan: Plan, question: Question) -> Value:
    """What the method's map was made of; its nodes are there already."""
    method = plan.method
    if method.attribute is None:
        raise NoAttribution(method.name, [name for name, row in METHODS.items() if row.attribute is not None])
    found: Value = method.attribute(question, **plan.options)
    return found


def seal(model: ModelProto, metadata: Metadata) -> ModelProto:
    """The finished model: what nothing reads dropped, the metadata inside, checked by ONNX's full checker.

    Raises:
        InvalidResult: if it does not pass.
    """
    drop_unused(model)
    write_metadata(model, KEY, metadata.to_json())
    check(model)
    return model


def check_names(tape: Tape, outputs: Sequence[str]) -> None:
    """Refuses a model whose own tensors bear the names of what is added."""
    for name in ("target", "heatmap", "target_index", "target_score", *outputs):
        if name in tape:
            raise NameTaken(name)


def _as_float32(value: Value) -> Value:
    return value if value.dtype == np.float32 else value.tape.Cast(value, to=1)


def _batch(plan: Plan) -> Dim:
    return (plan.picture.shape or (None,))[0]
