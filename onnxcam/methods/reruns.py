"""The score in each of many variants of a tensor: what lies above runs again, for as many at once as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from onnxcam.graph import Dim, Iteration, Node, Sliced, Tape, Value, between
from onnxcam.question import Question
from onnxcam.repetition import merge_rows
from onnxcam.seeds import class_rows, last_dense

# The largest tensor of what runs at once, for one image.
CHUNK_BYTES = 8 << 20
# Of a size that is open; of a layer whose variants cannot be counted before it runs.
PRESUMED_SIZE, MOST_AT_ONCE = 32, 64
# Chunks are written one after the other while they are few nodes: runtimes without Scan run them too, and a CUDA
# graph can be captured. More of them become one Scan.
MOST_NODES, NODES_BESIDE = 1024, 16

# From the numbers of some variants, float32 (R,), to what takes the place of tensors in them, (N·R, …). The values
# come from the tape of the numbers, which may be a body's.
Make: TypeAlias = Callable[[Value], Mapping[Value, Value]]


@dataclass(frozen=True, slots=True)
class Variants:
    """Tensors of the model that are to be others.

    Attributes:
        starts: those.
        count: V, of how many variants; a number or an int64 scalar.
        make: what they are instead.
    """

    starts: Sequence[Value]
    count: int | Value
    make: Make


def scores_of(question: Question, variants: Variants) -> Value:
    """The score of each target in each variant, float32 (N, K, V)."""
    size, op = at_once(question, variants), question.tape
    if not isinstance(variants.count, int):
        return _scanned(question, variants, size)
    firsts = range(0, variants.count, size)
    nodes = len(between(op, set(variants.starts), question.scores.values)) + NODES_BESIDE
    if len(firsts) > 1 and len(firsts) * nodes > MOST_NODES:
        return _scanned(question, variants, size)
    parts = [_chunk(question, variants, counted(op, min(k + size, variants.count), first=k)) for k in firsts]
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=2)


def at_once(question: Question, variants: Variants) -> int:
    """How many variants of an image run together."""
    nodes = between(question.tape, set(variants.starts), question.scores.values)
    tensors = [*variants.starts, *(value for node in nodes for value in node.outputs)]
    fitting = max(1, CHUNK_BYTES // max(map(_bytes, tensors)))
    return min(fitting, variants.count if isinstance(variants.count, int) else MOST_AT_ONCE)


def _bytes(value: Value) -> int:
    """Of one image's part; the first axis that is open is taken for that of the images."""
    shape, width = list(value.shape or ()), 4 if value.dtype is None else value.dtype.itemsize
    opened = next((i for i, n in enumerate(shape) if not isinstance(n, int)), None)
    sizes: list[Dim] = [_factor(n) if i == opened else n for i, n in enumerate(shape)]
    return width * prod(n if isinstance(n, int) else PRESUMED_SIZE for n in sizes)


def _factor(size: Dim) -> int:
    """How many entries an image has on the axis of the images: 16 of "16*batch"."""
    front = str(size).partition("*")[0]
    return int(front) if front.isdigit() else 1


def _chunk(question: Question, variants: Variants, numbers: Value) -> Value:
    """(N, K, R)."""
    op = numbers.tape
    # Not on a body's tape: what comes in from beside the variants is repeated outside of it.
    sizes, once = numbers.shape, question.tape
    count = op.Shape(numbers) if sizes is None or sizes[0] is None else once.ints(int(sizes[0]))
    dense, replaced = last_dense(question.scores.values), variants.make(numbers)
    if dense is None:
        scores = question.pick(question.rerun(replaced, count, place=op), count)
    else:
        scores = _through(question, dense, question.rerun(replaced, count, place=op, end=dense.x))
    return scores if scores.dtype == np.float32 else op.Cast(scores, to=1)


def _through(question: Question, dense: Node, inputs: Value) -> Value:
    """The scores of each target, (N, K, R), from inputs (N·R, F) of the last dense layer: the targets' rows are enough.

    What the inputs have gained on those of the image itself gains the score that much; constants do not matter.
    """
    op, once = inputs.tape, question.tape
    features = once.Shape(dense.x, start=1)
    whole = op.Reshape(inputs, once.Concat(once.Shape(dense.x, start=0, end=1), once.ints(-1), features, axis=0))
    gained = op.Sub(whole, once.Unsqueeze(dense.x, once.ints(1)))
    parts = [
        class_rows(dense, term.column) * once.Unsqueeze(term.sign, once.ints(2)) for term in question.selection.terms
    ]
    rows = sum(parts[1:], parts[0])
    gain = op.MatMul(rows, op.Transpose(gained, perm=[0, 2, 1]))
    return op.Add(gain, once.Unsqueeze(question.selection.score, once.ints(2)))


def counted(op: Tape, count: int | Value, *, first: int = 0) -> Value:
    """The numbers from the first to below the count, float32: made when the file is loaded, not written into it."""
    start, step = (op.constant(np.array(n, np.float32)) for n in (first, 1))
    end = op.constant(np.array(count, np.float32)) if isinstance(count, int) else op.Cast(count, to=1)
    return op.Range(start, end, step)


def size_at(value: Value, axis: int) -> int | Value:
    """The length of the axis: a number where it is known, else an int64 scalar."""
    op, size = value.tape, (value.shape or ())[axis]
    return size if isinstance(size, int) else op.Squeeze(op.Shape(value, start=axis, end=axis + 1), op.ints(0))


def _scanned(question: Question, variants: Variants, size: int) -> Value:
    """The chunks one by one in a Scan; what the last one has beyond V is cut off."""
    op = question.tape
    count = op.constant(np.array(variants.count)) if isinstance(variants.count, int) else variants.count
    whole = (count + (size - 1)) / size * size
    rows = op.Reshape(counted(op, whole), op.ints(-1, size))
    body = Iteration(op)
    scores = _chunk(question, variants, body.slice(Sliced(rows)))
    _, (found,) = body.scan([], [Sliced(scores)])
    joined = op.Reshape(op.Transpose(found, perm=[1, 2, 0, 3]), op.ints(0, 0, -1))
    return op.Slice(joined, op.ints(0), op.Reshape(count, op.ints(1)), op.ints(2))


def beside(value: Value, layout: str, op: Tape) -> Value:
    """With an axis for the variants behind that of the images: "NCHW" → "NRCHW"."""
    return op.Unsqueeze(value, op.ints(layout.index("N") + 1))


def spread(mask: Value, axes: str, layout: str) -> Value:
    """A tensor of some axes, R among them, to be combined with what `beside` gives."""
    op, letters = mask.tape, layout.replace("N", "NR")
    there = [letter for letter in letters if letter in axes]
    ordered = mask if "".join(there) == axes else op.Transpose(mask, perm=[axes.index(letter) for letter in there])
    return op.Unsqueeze(ordered, op.ints(*(i for i, letter in enumerate(letters) if letter not in axes)))


def merged(variants: Value, value: Value, layout: str) -> Value:
    """(N, R, …) → (N·R, …): what `beside` gave of the value, worked on."""
    return merge_rows(variants, value, axis=layout.index("N"))
