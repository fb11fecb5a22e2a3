"""The leading component of a feature map over its channels, in stock operators: no runtime has an eigenvalue solver.

A symmetric matrix, squared again and again, becomes the projector on its leading eigenvector.
"""

from __future__ import annotations

from math import prod

from onnxcam.graph import Value
from onnxcam.places import as_map

# K^(2^12): what is 0.2 % weaker than the leading component is then 3 600 times weaker.
SQUARINGS = 12
SMALLEST = 1e-30  # keeps a division from zero and changes nothing else
# Of the cosine between the component's weights and equal weights; below it rounding decides on which side they are.
FAINT = 1e-3


def leading_component(a: Value) -> Value:
    """Each place's coordinate on the first principal axis over channels: (N, C, h, w) → (N, h, w).

    Signed so that it rises with the mean over channels. Where that is flat, as behind a layer normalisation, the
    farthest place is on the positive side.
    """
    scores = coordinates(a)
    return as_map(scores * side_of_mean(centred(a), scores), a)


def coordinates(a: Value) -> Value:
    """The same on one side or the other: (N, C, h, w) → (N, 1, h·w)."""
    op, x = a.tape, centred(a)
    across = op.Transpose(x, perm=[0, 2, 1])
    if _has_fewer_places(a):
        gram = op.MatMul(across, x)
        v = op.MatMul(leading_vector(gram), across)
    else:
        v = leading_vector(op.MatMul(x, across))
    return op.MatMul(unit(v), x)


def centred(a: Value) -> Value:
    """(N, C, h, w) → (N, C, h·w), without each channel's mean."""
    op = a.tape
    x = op.Reshape(a, op.ints(0, 0, -1))
    return x - op.ReduceMean(x, op.ints(2), keepdims=1)


def leading_vector(matrix: Value) -> Value:
    """The eigenvector of the largest eigenvalue of a positive semidefinite matrix: (N, n, n) → (N, 1, n), length 1.

    A row of the projector, the longest, rather than its product with a start vector, which may be orthogonal to it.
    """
    op = matrix.tape
    for _ in range(SQUARINGS):
        matrix = _scaled(matrix)
        matrix = op.MatMul(matrix, matrix)
    matrix = _scaled(matrix)
    lengths = op.ReduceSum(matrix * matrix, op.ints(2), keepdims=0)
    # Compared as float: browsers compare whole numbers of 64 bits on the CPU.
    longest = op.Cast(op.ArgMax(lengths, axis=1, keepdims=1), to=1)
    is_longest = op.Cast(op.Cast(_counted(lengths), to=1).equals(longest), to=1)
    return unit(op.MatMul(op.Unsqueeze(is_longest, op.ints(1)), matrix))


def unit(v: Value) -> Value:
    """(N, 1, n) at length 1; 0 where it is 0."""
    op = v.tape
    return v / (op.Sqrt(op.ReduceSum(v * v, op.ints(2), keepdims=1)) + SMALLEST)


def identity(matrix: Value) -> Value:
    """Ones on the diagonal, in the size of (N, n, n): (n, n)."""
    op, n = matrix.tape, matrix.tape.Shape(matrix, start=2, end=3)
    return op.EyeLike(op.Expand(op.number(0.0, matrix), op.Concat(n, n, axis=0)))


def side(sign: Value) -> Value:
    """1 or -1, by a number's sign."""
    op = sign.tape
    return op.Where(sign < 0.0, op.number(-1.0, sign), op.number(1.0, sign))


def farthest(scores: Value) -> Value:
    """A number with the sign of the element that is farthest from 0: (N, 1, n) → (N, 1, 1)."""
    op = scores.tape
    return op.ReduceMax(scores, op.ints(2), keepdims=1) + op.ReduceMin(scores, op.ints(2), keepdims=1)


def side_of_mean(x: Value, scores: Value) -> Value:
    """1 or -1 for each image, so that the component rises with the mean over channels; where that is flat, `farthest`.

    x: (N, C, h·w). scores: the component's coordinates, (N, 1, h·w).
    """
    op = x.tape
    v = op.MatMul(scores, op.Transpose(x, perm=[0, 2, 1]))  # the axis, at some length
    together = op.ReduceMean(v, op.ints(2), keepdims=1)
    length = op.Sqrt(op.ReduceMean(v * v, op.ints(2), keepdims=1))
    return side(op.Where(op.Abs(together) > length * FAINT, together, farthest(scores)))


def _scaled(matrix: Value) -> Value:
    """The matrix over its largest element, so that squares neither overflow nor vanish."""
    op = matrix.tape
    return matrix / (op.ReduceMax(op.Abs(matrix), op.ints(1, 2), keepdims=1) + SMALLEST)


def _counted(lengths: Value) -> Value:
    """0, 1, … n-1 for (N, n), int64 (n,)."""
    op = lengths.tape
    zero, one, end = op.ints(0), op.ints(1), op.Shape(lengths, start=1, end=2)
    first = op.ints(0)
    return op.Range(*(op.Squeeze(number, first) for number in (zero, end, one)))


def _has_fewer_places(a: Value) -> bool:
    """Whether h·w is known to be at most C; where it is unknown, channels are the safe choice."""
    _, channels, *sides = a.shape or (None,) * 4
    known = [n for n in sides if isinstance(n, int)]
    return len(known) == len(sides) and (not isinstance(channels, int) or prod(known) <= channels)
