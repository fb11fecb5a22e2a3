"""A tensor without one of its channels, and how far the model's tail need not run again for it.

As long as channels are apart, behind pools, norms and activations, what has changed is still one channel. A linear
layer that reads them gives y − (x_k − filling) · W_k: no product is left to be run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from onnxcam.columns import Columns, Linear, layout_behind, linear_of
from onnxcam.graph import Value, between, replay
from onnxcam.methods.reruns import Variants, beside, counted, merged, size_at, spread
from onnxcam.question import Question


@dataclass(frozen=True, slots=True)
class Part:
    """What is another in each variant: a tensor whose channels are apart, or what a linear layer makes of it.

    Attributes:
        value: the tensor.
        filled: what it is where all channels are filled.
        layout: a letter for each axis of both.
        linear: what reads it; None where it is something that is not linear.
    """

    value: Value
    filled: Value
    layout: str
    linear: Linear | None

    @property
    def start(self) -> Value:
        """What is another."""
        return self.value if self.linear is None else self.linear.y


def without_channels(question: Question, value: Value, *, layout: str, filled: Value) -> Variants:
    """A variant for each channel, in which it is that of `filled`, a tensor like the value."""
    op, count, columns = question.tape, size_at(value, layout.index("C")), question.columns
    last = op.constant(np.array(count - 1, np.float32)) if isinstance(count, int) else op.Cast(count - 1, to=1)
    parts = list(_parts(question, value, layout=layout, filled=filled))
    is_picked = columns is not None and [part.linear for part in parts] == [columns.linear]

    def make(numbers: Value) -> Mapping[Value, Value]:
        chosen = columns if is_picked else None
        index = numbers.tape.Cast(numbers.tape.Min(numbers, last), to=7)  # a Scan may count on beyond the last channel
        return {
            part.start: _replaced(part, numbers, count)
            if part.linear is None
            else _behind(part, part.linear, index, columns=chosen)
            for part in parts
        }

    return Variants([part.start for part in parts], count, make, is_picked)


def without_channels_of_frames(value: Value, parted: Value, *, layout: str, filled: Value) -> Variants:
    """A variant for each channel of what lays frames beside the images, (N·D, …): all above it runs again.

    `parted`: the value with an axis of frames, laid out like that; `filled`: a tensor like it.
    """
    part, count = Part(parted, filled, layout, None), size_at(parted, layout.index("C"))
    return Variants([value], count, lambda numbers: {value: _replaced(part, numbers, count, whole=value)})


def _parts(question: Question, value: Value, *, layout: str, filled: Value) -> Iterator[Part]:
    """The linear layers that read the channels, and the tensors of them that something else reads."""
    op, end = question.tape, question.scores.values
    layouts, readers = {value: layout}, dict[tuple[Value, Linear | None], None]()
    for node in between(op, {value}, end):
        apart = [x for x in node.inputs if x is not None and x in layouts]
        behind = layout_behind(node, layouts) if apart else None
        if behind is not None:
            layouts.update((output, behind) for output in node.outputs)
            continue
        linear = linear_of(node, end)
        is_along = linear is not None and apart == [linear.x] and layouts[linear.x][linear.axis] == "C"
        readers.update(((x, linear if is_along else None), None) for x in node.reads if x in layouts)
    ends = [(end, None)] if end in layouts else []
    for x, linear in [*readers, *ends]:
        yield Part(x, replay(op, {value: filled}, x, lambda constant: constant)[x], layouts[x], linear)


def _replaced(part: Part, numbers: Value, count: int | Value, *, whole: Value | None = None) -> Value:
    """(N·R, …), the tensor itself; `whole`: as it is in the model, where the part lies there in another shape."""
    place, layout, channels = numbers.tape, part.layout, counted(part.value.tape, count)
    is_gone = spread(place.Equal(channels, place.Unsqueeze(numbers, place.ints(1))), "RC", layout)
    kept, filled = (beside(x, layout, place) for x in (part.value, part.filled))
    return merged(place.Where(is_gone, filled, kept), part.value if whole is None else whole, layout)


def _behind(part: Part, linear: Linear, index: Value, *, columns: Columns | None) -> Value:
    """(N·R, …), what the linear layer gives: of all outputs, or of the columns alone."""
    place, layout = index.tape, part.layout
    lost = place.Gather(part.value - part.filled, index, axis=layout.index("C"))
    if columns is None:
        y, w = linear.y, spread(linear.of_inputs(index), "RC", layout)
    else:
        y, w = columns.y, spread(place.Gather(columns.weights, index, axis=2), "NCR", layout)
    change = place.Mul(spread(lost, layout.replace("C", "R"), layout), w)
    return merged(place.Sub(beside(y, layout, place), change), y, layout)
