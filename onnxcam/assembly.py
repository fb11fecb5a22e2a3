"""Model, layers, score and method made one: the explain graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnx import ModelProto

from onnxcam.autodiff import differentiate, obstacle
from onnxcam.conventions import CONVENTIONS
from onnxcam.errors import NameTaken, NoLinearHead, NoPathToScore
from onnxcam.graph import Dim, Tape, Value, between, check, drop_unused, is_large, write, write_metadata
from onnxcam.layer import Layer
from onnxcam.layouts import picture_layout
from onnxcam.metadata import KEY, Metadata
from onnxcam.methods import Method, channels_first
from onnxcam.repetition import rerun_on_repeats
from onnxcam.scores import PLUMBING, Scores, Selection, select
from onnxcam.seeds import cotangents

RAW_OUTPUTS = ("activation", "gradient", "raw_map")
OWN_NAMES = ("target", "heatmap", "target_index", "target_score", *RAW_OUTPUTS)
BEST = -1
# A map does not change with the scale of its gradients, but float16 gradients below 6e-8 are lost.
FLOAT16_SEED_SCALE = 256.0
LINEAR = PLUMBING | frozenset(
    "Gemm MatMul Conv Add Sub Mul Div Neg GlobalAveragePool AveragePool ReduceMean ReduceSum Transpose "
    "BatchNormalization Slice Gather".split()
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be built: the parts that the user chose, found in one model."""

    tape: Tape
    picture: Value
    scores: Scores
    layers: tuple[Layer, ...]
    method: Method
    normalize: str


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


def build(plan: Plan, outputs: Sequence[str] = ()) -> ModelProto:
    """The explain graph of one target an image: adds input `target` (N,) and outputs `heatmap` (N, H, W) and others.

    Raises:
        NoGradientRule, NoPathToScore, NoLinearHead: if the method cannot be had for this layer.
        NameTaken: if the model's own inputs or outputs bear one of our names.
    """
    tape, scores = plan.tape, plan.scores
    check_names(tape, outputs)
    target = tape.add_input("target", np.int64, [_batch(plan)], default=np.array([BEST]))
    with tape.named("target"):
        selection = select(scores, scores.values, tape.Expand(target, tape.Shape(scores.values, start=0, end=1)))
    activations = [tape.value(layer.tensor) for layer in plan.layers]
    found = maps(plan, activations, scores.values, selection)
    with tape.named("heatmap"):
        heatmap = CONVENTIONS[plan.normalize](found.raw, picture_size(plan.picture))
    finish(plan, heatmap, selection, lead=[_batch(plan)])
    for name in outputs:
        tape.add_output(_extra(plan, found, name), name)
    return tape.model


def build_multi_target(plan: Plan, outputs: Sequence[str] = ()) -> ModelProto:
    """The same for K targets an image: `target` is (N, K), `heatmap` (N, K, H, W); K is free at run time.

    The model runs once an image; what lies above the lowest layer runs again for each target.
    """
    tape, scores = plan.tape, plan.scores
    check_names(tape, outputs)
    target = tape.add_input("target", np.int64, [_batch(plan), "targets"], default=np.array([[BEST]]))
    with tape.named("target"):
        rows = tape.Concat(tape.Shape(scores.values, start=0, end=1), tape.ints(1), axis=0)
        wanted = tape.Expand(target, rows)
        lead, count = tape.Shape(wanted), tape.Shape(wanted, start=1, end=2)
    layers = [tape.value(layer.tensor) for layer in plan.layers]
    with tape.named("repeated"):
        repeated = rerun_on_repeats(tape, layers, scores.values, plan.picture, count=count)
    values = repeated[scores.values]
    with tape.named("target"):
        selection = select(scores, values, tape.Reshape(wanted, tape.ints(-1)))
    found = maps(plan, [repeated[layer] for layer in layers], values, selection)
    with tape.named("heatmap"):
        heatmap = _by_target(CONVENTIONS[plan.normalize](found.raw, picture_size(plan.picture)), lead)
        index, score = _by_target(selection.index, lead), _by_target(selection.score, lead)
    finish(plan, heatmap, replace(selection, index=index, score=score), lead=[_batch(plan), "targets"])
    for name in outputs:
        tape.add_output(_by_target(_extra(plan, found, name), lead), name)
    return tape.model


def _by_target(value: Value, lead: Value) -> Value:
    """(N·K, …) → (N, K, …). `lead`: int64 [N, K]."""
    op, rank = value.tape, len(value.shape or ())
    return op.Reshape(value, op.Concat(lead, op.Shape(value, start=1), axis=0) if rank > 1 else lead)


@dataclass(frozen=True, slots=True)
class Maps:
    """The raw map of each layer, (M, h, w), and what the first was made of, (M, C, h, w)."""

    raw: list[Value]
    activation: Value
    gradient: Value | None


def _extra(plan: Plan, found: Maps, name: str) -> Value:
    """One of RAW_OUTPUTS."""
    value = {"activation": found.activation, "gradient": found.gradient, "raw_map": found.raw[0]}[name]
    if value is None:
        raise NoPathToScore(plan.layers[0].name, f"method {plan.method.name!r} takes no gradient")
    return value


def maps(plan: Plan, activations: Sequence[Value], values: Value, selection: Selection) -> Maps:
    """The method's raw maps for the selected scores."""
    tape, method = plan.tape, plan.method
    if method.needs_linear_head:
        check_linear_head(plan, activations, values)
    gradients: list[Value | None] = [None] * len(activations)
    if method.needs_gradient:
        gradients = _gradients(plan, activations, values, selection)
    raw, first = [], None
    for layer, activation, gradient in zip(plan.layers, activations, gradients, strict=True):
        with tape.named(method.name):
            a = _on_grid(activation, layer)
            g = None if gradient is None else _unscaled(_on_grid(gradient, layer), _seed_scale(values))
            raw.append(method.build(a, a if g is None else g))
        first = first or (a, g)
    assert first is not None  # noqa: S101 - a plan has a layer
    return Maps(raw, *first)


def _gradients(plan: Plan, activations: Sequence[Value], values: Value, selection: Selection) -> list[Value | None]:
    scale = _seed_scale(values)
    found = differentiate(cotangents(plan.scores, values, selection, scale), activations)
    for layer, gradient in zip(plan.layers, found, strict=True):
        if gradient is None:
            raise obstacle(plan.tape.value(layer.tensor), [values])
    return found


def check_linear_head(plan: Plan, activations: Sequence[Value], values: Value) -> None:
    """Refuses a layer with more than sums and products with constants above it."""
    for layer, activation in zip(plan.layers, activations, strict=True):
        for node in between(plan.tape, {activation}, values):
            if node.op_type not in LINEAR:
                raise NoLinearHead(plan.method.name, layer.name, node.op_type, node.title)


def seal(model: ModelProto, metadata: Metadata) -> ModelProto:
    """The finished model: what nothing reads dropped, the metadata inside, checked by ONNX's full checker."""
    drop_unused(model)
    write_metadata(model, KEY, metadata.to_json())
    check(model)
    return model


def check_names(tape: Tape, outputs: Sequence[str]) -> None:
    """Refuses a model whose own tensors bear the names of what is added."""
    for name in ("target", "heatmap", "target_index", "target_score", *outputs):
        if name in tape:
            raise NameTaken(name)


def finish(plan: Plan, heatmap: Value, selection: Selection, lead: list[Dim]) -> None:
    """Adds the three outputs of every explain graph."""
    tape = plan.tape
    layout = picture_layout(plan.picture) or "NCHW"
    size = [(plan.picture.shape or ())[layout.index(axis)] for axis in "HW"]
    tape.add_output(heatmap, "heatmap", shape=[*lead, *size])
    tape.add_output(selection.index, "target_index", shape=lead)
    tape.add_output(_as_float32(selection.score), "target_score", shape=lead)


def picture_size(picture: Value) -> Value:
    """Height and width of the pictures, int64 (2,): a constant where the model fixes them."""
    layout, op = picture_layout(picture) or "NCHW", picture.tape
    start = layout.index("H")
    sizes = [n for n in (picture.shape or ())[start : start + 2] if isinstance(n, int)]
    return op.ints(*sizes) if len(sizes) == 2 else op.Shape(picture, start=start, end=start + 2)


def _on_grid(value: Value, layer: Layer) -> Value:
    """The layer's activation or gradient as float32 (N, C, h, w)."""
    return channels_first(value, layer.layout, grid=layer.grid, prefix=layer.prefix)


def _as_float32(value: Value) -> Value:
    return value if value.dtype == np.float32 else value.tape.Cast(value, to=1)


def _unscaled(g: Value, scale: float) -> Value:
    return g if scale == 1.0 else g / scale


def _seed_scale(values: Value) -> float:
    return FLOAT16_SEED_SCALE if values.dtype is not None and values.dtype.itemsize == 2 else 1.0


def _batch(plan: Plan) -> Dim:
    return (plan.picture.shape or (None,))[0]
