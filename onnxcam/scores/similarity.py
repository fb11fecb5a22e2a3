"""The similarity of an embedding to that of a reference: of another picture, or of a text."""

from __future__ import annotations

import numpy as np

from onnxcam.graph import Tape, Value
from onnxcam.scores.classes import class_output, flattened
from onnxcam.scores.table import Scores, score_kind

REFERENCE = "reference"
SMALLEST = 1e-12  # what a length is at least


@score_kind("similarity")
def similarity(tape: Tape, detail: str = "") -> Scores | None:
    """The cosine between the model's embedding and a reference vector (input `reference`): a picture's, or a text's."""
    output = tape.value(detail) if detail and detail in tape else class_output(tape)
    if output is None or (detail and detail not in tape):
        return None
    embedding = flattened(output)
    size = (embedding.shape or (None, None))[1]
    given = tape.add_input(REFERENCE, np.float32, [None, size])
    reference = given if embedding.dtype == np.float32 else tape.CastLike(given, embedding)
    rows = tape.Expand(reference, tape.Concat(tape.Shape(embedding, start=0, end=1), tape.ints(1), axis=0))
    cosine = tape.ReduceSum(_unit(embedding) * _unit(rows), tape.ints(1), keepdims=1)
    return Scores(output, cosine, "similarity", 1, ranked=1)


def _unit(vector: Value) -> Value:
    """Over its length, (N, D)."""
    op = vector.tape
    square = op.ReduceSum(vector * vector, op.ints(1), keepdims=1)
    return vector / op.Sqrt(op.Max(square, op.number(SMALLEST, vector)))
