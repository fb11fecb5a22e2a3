"""Layers around layers: both directions of time, each step for itself, and weights divided by their norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxcam.graph import Value
from onnxcam_converters.keras.building import call_layer, rule_of
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.layers.cells import Run
from onnxcam_converters.keras.layers.recurrent import (
    Passage,
    arguments,
    inside,
    last,
    plans_of,
    sequence,
    state_tensors,
)  # fmt: skip
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Shape, Tensor

PARTS = ("forward_layer", "backward_layer")
Entry = Mapping[str, Any]


@reads("Bidirectional")
def bidirectional(
    layer: Layer, x: Tensor | Sequence[Any], initial_state: Any = None, mask: None = None
) -> Tensor | list[Tensor]:
    """A recurrent layer and its like that goes back in time, their outputs joined step by step."""
    x, states = arguments(layer, x, initial_state, mask=mask)
    entries, half = _entries(layer), len(states) // 2
    both = [inside(layer, entry) for entry in entries]
    passages = _passages(layer, entries, both)
    runs = [passage.run(x, given) for passage, given in zip(passages, (states[:half], states[half:]), strict=True)]
    outputs = [_output(inner, run, x) for inner, run in zip(both, runs, strict=True)]
    mode = layer.option("merge_mode", default="concat")
    results = outputs if mode is None else [_merged(layer, mode, outputs)]
    if both[0].option("return_state", default=False):
        results += [state for run in runs for state in state_tensors(run, x)]
    for inner in both:
        inner.ignore("return_sequences", "return_state")
        inner.finish()
    return results[0] if len(results) == 1 else results


def _entries(layer: Layer) -> list[Entry]:
    """The layers that go ahead and back, as a file has them."""
    entry = layer.option("layer")
    config = {**entry["config"], "go_backwards": not entry["config"].get("go_backwards", False)}
    both = [entry, layer.option("backward_layer", default=None) or {**entry, "config": config}]
    if [bool(each["config"].get("go_backwards", False)) for each in both] != [False, True]:
        raise layer.refuse("its forward layer goes backwards")
    return both


def _passages(layer: Layer, entries: Sequence[Entry], both: Sequence[Layer]) -> list[Passage]:
    """The two ways through time with their weights."""
    plans = [plans_of(inner) for inner in both]
    names = [[name for plan in group for name in plan.names()] for group in plans]
    arrays = [layer.inner(entry, part).arrays(own) for entry, part, own in zip(entries, PARTS, names, strict=True)]
    if [len(found) for found in arrays] != [len(own) for own in names]:
        # The names of an .h5 file do not tell the two apart: then they lie one behind the other.
        flat = layer.weights(*(f"{part}/{name}" for part, own in zip(PARTS, names, strict=True) for name in own))
        arrays = [flat[: len(names[0])], flat[len(names[0]) :]]
    return [Passage(*each) for each in zip(both, plans, arrays, (f"{part}/" for part in PARTS), strict=True)]


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
    result = call_layer(_inner(layer, layer.option("layer")), (folded(x),), {})
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


def _inner(layer: Layer, entry: Entry) -> Layer:
    """The layer within, the same for each call."""
    known, key = layer.story.layers, f"{layer.path}/layer of it"
    if key not in known:
        known[key] = layer.inner(entry, "layer")
    return known[key]


def folded(x: Tensor) -> Tensor:
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
