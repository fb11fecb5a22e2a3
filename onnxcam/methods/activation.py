"""Methods that look at the activation alone: no gradient, the same map for every class."""

from __future__ import annotations

from onnxcam.graph import Value
from onnxcam.methods.places import as_map
from onnxcam.methods.table import method_without_gradient

# K^(2^10): what is 1 % weaker than the leading component is then 30 000 times weaker.
SQUARINGS = 10


@method_without_gradient("activation-mean", source="the mean of the feature map, as OpenVINO XAI's ActivationMap")
def activation_mean(a: Value) -> Value:
    """The mean over channels."""
    op = a.tape
    return op.ReduceMean(a, op.ints(1), keepdims=0)


@method_without_gradient("eigencam", source="Muhammad and Yeasin 2020, arXiv:2008.00299")
def eigencam(a: Value) -> Value:
    """The activation's first principal component over channels, signed so that it rises with the mean activation."""
    op = a.tape
    x = op.Reshape(a, op.ints(0, 0, -1))
    x = x - op.ReduceMean(x, op.ints(2), keepdims=1)
    mean = op.ReduceMean(x, op.ints(1), keepdims=1)
    scores = _along_places(x, mean) if _has_fewer_places(a) else _along_channels(x, mean)
    return as_map(scores, a)


def _along_places(x: Value, mean: Value) -> Value:
    """The component as a vector over places: x is (N, C, hw), the Gram matrix hw × hw."""
    op = x.tape
    return op.MatMul(mean, _projector(op.MatMul(op.Transpose(x, perm=[0, 2, 1]), x)))


def _along_channels(x: Value, mean: Value) -> Value:
    """The same through the Gram matrix over channels, C × C: its leading vector v, then vᵀx."""
    op = x.tape
    places_first = op.Transpose(x, perm=[0, 2, 1])
    onto = op.MatMul(op.MatMul(mean, places_first), _projector(op.MatMul(x, places_first)))
    return op.MatMul(onto, x)


def _projector(gram: Value) -> Value:
    """K^(2^n) / its trace: the projector on K's leading eigenvector, so the result has the start vector's side."""
    for _ in range(SQUARINGS):
        gram = _scaled(gram)
        gram = gram.tape.MatMul(gram, gram)
    return _scaled(gram)


def _scaled(gram: Value) -> Value:
    """The matrix over its largest element, so that squares neither overflow nor vanish."""
    op = gram.tape
    return gram / (op.ReduceMax(op.Abs(gram), op.ints(1, 2), keepdims=1) + 1e-30)


def _has_fewer_places(a: Value) -> bool:
    """Whether h·w is known to be at most C; where it is unknown, channels are the safe choice."""
    _, channels, h, w = a.shape or (None,) * 4
    return isinstance(h, int) and isinstance(w, int) and (not isinstance(channels, int) or h * w <= channels)
