"""The similarity of an embedding to that of a reference: of another picture, or of a text."""

from __future__ import annotations

import numpy as np

from onnxcam.errors import NoEmbedding, UnknownTensor
from onnxcam.graph import Tape, Value
from onnxcam.scores.classes import flattened, row_output
from onnxcam.scores.table import Scores, score_kind

REFERENCE = "reference"
SMALLEST = 1e-12  # what a length is at least


@score_kind("similarity", more=True)
def similarity(tape: Tape, detail: str = "") -> Scores | None:
    """The cosine between the model's embedding and a reference vector (input `reference`): a picture's, or a text's."""
    output = _named(tape, detail) if detail else row_output(tape)
    if output is None:
        return None
    embedding = flattened(output)
    size = (embedding.shape or (None, None))[1]
    given = tape.add_input(REFERENCE, np.float32, [None, size])
    reference = given if embedding.dtype == np.float32 else tape.CastLike(given, embedding)
    rows = tape.Expand(reference, tape.Concat(tape.Shape(embedding, start=0, end=1), tape.ints(1), axis=0))
    cosine = tape.ReduceSum(_unit(embedding) * _unit(rows), tape.ints(1), keepdims=1)
    return Scores(output, cosine, "similarity", 1, ranked=1)


def _named(tape: Tape, name: str) -> Value:
    """The tensor of that name, an output of the model from now on: the embedding of a reference is read off it.

    Raises:
        UnknownTensor: if there is none.
        NoEmbedding: if it has no row of numbers for each picture.
    """
    if name not in tape:
        raise UnknownTensor(name, tape.producers)
    value = tape.value(name)
    if len(value.shape or ()) < 2 or value.dtype is None or value.dtype.kind not in "fV" or value.producer is None:
        raise NoEmbedding(name, value.shape, value.dtype)
    tape.expose(value)
    return value


def _unit(vector: Value) -> Value:
    """Over its length, (N, D)."""
    op = vector.tape
    square = op.ReduceSum(vector * vector, op.ints(1), keepdims=1)
    return vector / op.Sqrt(op.Max(square, op.number(SMALLEST, vector)))
