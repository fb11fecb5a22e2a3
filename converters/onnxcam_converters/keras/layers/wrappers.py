"""Layers around layers: both directions of time, each step for itself, and weights divided by their norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxcam.graph import Value
from onnxcam_converters.keras.building import call_layer, rule_of
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.layers.recurrent import (
    Passage, Run, arguments, inside, last, plans_of, sequence, state_tensors,
)  # fmt: skip
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Shape, Tensor

PARTS = ("forward_layer/", "backward_layer/")


@reads("Bidirectional")
def bidirectional(
    layer: Layer, x: Tensor | Sequence[Any], initial_state: Any = None, mask: None = None
) -> Tensor | list[Tensor]:
    """A recurrent layer and its like that goes back in time, their outputs joined step by step."""
    if mask is not None:
        raise layer.refuse("its argument 'mask' is not covered")
    x, states = arguments(x, initial_state)
    both = _directions(layer)
    half = len(states) // 2
    runs = [
        passage.run(x, given)
        for passage, given in zip(_passages(layer, both), (states[:half], states[half:]), strict=True)
    ]
    outputs = [_output(inner, run, x) for inner, run in zip(both, runs, strict=True)]
    mode = layer.option("merge_mode", default="concat")
    results = outputs if mode is None else [_merged(layer, mode, outputs)]
    if both[0].option("return_state", default=False):
        results += [state for run in runs for state in state_tensors(run, x)]
    for inner in both:
        inner.finish()
    return results[0] if len(results) == 1 else results


def _directions(layer: Layer) -> list[Layer]:
    entry = layer.option("layer")
    config = {**entry["config"], "go_backwards": not entry["config"].get("go_backwards", False)}
    back = layer.option("backward_layer", default=None) or {**entry, "config": config}
    both = [inside(layer, entry), inside(layer, back)]
    if [inner.option("go_backwards", default=False) for inner in both] != [False, True]:
        raise layer.refuse("its forward layer goes backwards")
    return both


def _passages(layer: Layer, both: Sequence[Layer]) -> list[Passage]:
    """The two ways through time with their weights, of which a file has what can be trained first."""
    plans = [plans_of(inner, part) for inner, part in zip(both, PARTS, strict=True)]
    names = [[name for plan in group for name in plan.names()] for group in plans]
    order = sorted(range(2), key=lambda side: not both[side].config.get("trainable", True))
    arrays = layer.weights(*names[order[0]], *names[order[1]])
    cut = len(names[order[0]])
    halves = dict(zip(order, (arrays[:cut], arrays[cut:]), strict=True))
    return [Passage(inner, plans[side], halves[side]) for side, inner in enumerate(both)]


def _output(inner: Layer, run: Run, x: Tensor) -> Tensor:
    return sequence(run.sequence, x) if inner.option("return_sequences", default=False) else last(run, x)


def _merged(layer: Layer, mode: str, outputs: Sequence[Tensor]) -> Tensor:
    ahead, back = outputs
    if mode == "concat":
        units = [x.shape[-1] for x in outputs]
        total = sum(size for size in units if isinstance(size, int))
        value = layer.tape.Concat(ahead.value, back.value, axis=-1)
        return Tensor(value, (*ahead.shape[:-1], total))
    if mode == "mul":
        return ahead.like(ahead.value * back.value)
    if mode not in ("sum", "ave"):
        raise layer.refuse(f"merge_mode={mode!r} is not covered")
    value = ahead.value + back.value
    return ahead.like(value if mode == "sum" else value * 0.5)


@reads("TimeDistributed")
def time_distributed(layer: Layer, x: Tensor, mask: None = None) -> Any:
    """The layer, or model, called on every step: time is folded into the batch meanwhile."""
    if mask is not None:
        raise layer.refuse("its argument 'mask' is not covered")
    result = call_layer(_inner(layer, layer.option("layer")), (_folded(x),), {})
    if isinstance(result, Tensor):
        return _unfolded(result, x)
    return [_unfolded(each, x) for each in result]


@reads("SpectralNormalization")
def spectral_normalization(layer: Layer, x: Tensor) -> Any:
    """The layer within: its weights lie in the file as they were divided last."""
    layer.ignore("power_iterations")
    inner = _inner(layer, layer.option("layer"))
    own = replace(inner, arrays=lambda names: _without_vector(layer, names))
    result = rule_of(own)(own, x)
    own.finish()
    return result


def _without_vector(layer: Layer, names: Sequence[str]) -> list[Array]:
    """The inner layer's weights; behind them lies the vector that the norm is found with."""
    return layer.arrays([*(f"layer/{name}" for name in names), "vector_u"])[: len(names)]


def _inner(layer: Layer, entry: Mapping[str, Any]) -> Layer:
    """The layer within, the same for each call."""
    known, key = layer.story.layers, f"{layer.path}/layer of it"
    if key not in known:
        known[key] = layer.inner(entry, "layer")
    return known[key]


def _folded(x: Tensor) -> Tensor:
    """(N, T, …) as (N·T, …), with channels in front where they were."""
    if not x.is_moved:
        return Tensor(_reshaped(x.value, None, x.shape[2:]), (None, *x.shape[2:]))
    # (N, C, T, …) lies as (N, T, C, …) first.
    value = x.tape.Transpose(x.value, perm=[0, 2, 1, *range(3, x.rank)])
    sizes = (x.shape[-1], *x.shape[2:-1])
    return Tensor(_reshaped(value, None, sizes), (None, *x.shape[2:]), is_moved=x.rank > 3)


def _unfolded(y: Tensor, x: Tensor) -> Tensor:
    """(N·T, …) as (N, T, …) with the steps of `x`."""
    shape: Shape = (*x.shape[:2], *y.shape[1:])
    if not y.is_moved:
        return Tensor(_reshaped(y.value, x, y.shape[1:]), shape)
    value = _reshaped(y.value, x, (y.shape[-1], *y.shape[1:-1]))
    return Tensor(value.tape.Transpose(value, perm=[0, 2, 1, *range(3, len(shape))]), shape, is_moved=True)


def _reshaped(value: Value, steps: Tensor | None, sizes: Shape) -> Value:
    """The value with its first axis split in batch and steps, or its first two joined; `sizes` are the further axes."""
    tape = value.tape
    time = [] if steps is None else [steps.shape[1]]
    wanted = [-1, *time, *sizes]
    if all(isinstance(size, int) for size in wanted):
        return tape.Reshape(value, tape.ints(*(size for size in wanted if isinstance(size, int))))
    rank = len(value.shape or ())
    further = tape.Slice(tape.Shape(value), tape.ints(2 if steps is None else 1), tape.ints(rank))
    if steps is None:
        return tape.Reshape(value, tape.Concat(tape.ints(-1), further, axis=0))
    count = tape.Slice(tape.Shape(steps.value), tape.ints(steps.axis(1)), tape.ints(steps.axis(1) + 1))
    return tape.Reshape(value, tape.Concat(tape.ints(-1), count, further, axis=0))
