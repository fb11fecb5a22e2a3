"""Methods that ask more of the score than its gradient: how it differs from others, and how it bends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from onnxcam.errors import NothingToCompare
from onnxcam.graph import Tape, Value
from onnxcam.methods.gradient import weighted
from onnxcam.methods.table import METHODS, method_of_question
from onnxcam.places import mean_over_space
from onnxcam.question import Question
from onnxcam.ranges import Count
from onnxcam.scores import RESIDUAL, Scores

Base = Literal["gradcam", "gradcam++", "layercam"]
CAI = "Cai 2025, arXiv:2501.06261"
FINERCAM = "Zhang et al. 2025, arXiv:2501.11309"


@method_of_question("shapleycam", source=CAI, score=RESIDUAL)
def shapleycam(question: Question, *, eigen_smooth: bool = False) -> list[Value]:
    """Channels weighted by the mean of g − ½ H·a, the second-order share of each in the score; H is its Hessian.

    Gradcam where the score is piecewise linear in the layer, as behind ReLU and pooling alone.
    """
    op, maps = question.tape, []
    for layer, tensor, a in zip(question.layers, question.tensors, question.activations, strict=True):
        (g,) = question.differentiate(None, [tensor])
        wide = tensor if tensor.dtype == g.dtype else op.CastLike(tensor, g)  # of float16 the gradient is float32
        product = _per_row(g * wide)
        # d⟨g, a⟩/da is H·a + g, the second because a stands there itself.
        (both,) = question.differentiate(product, [tensor])
        weight = question.on_grid(1.5 * _as_float32(g) - 0.5 * _as_float32(both), layer)
        maps.append(weighted(a, mean_over_space(weight), eigen_smooth=eigen_smooth))
    return maps


@method_of_question("shapleycam", source=CAI, like="pytorch-grad-cam")
def shapleycam_of_the_logit(question: Question, *, eigen_smooth: bool = False) -> list[Value]:
    """The same of the class's logit, unless `score` says otherwise; the paper's is its residual score (ReST)."""
    return list(shapleycam(question, eigen_smooth=eigen_smooth))


def fewer_references(_: Tape, scores: Scores, options: Mapping[str, Any]) -> list[str]:
    """A note where there are not as many other scores as asked for."""
    others, wanted = scores.classes - 1, options.get("references", 0)  # 0: nobody asked for so many
    if wanted <= others:
        return []
    return [f"finercam: the model has {others} other scores to set one against, and not {wanted} (option references)"]


@method_of_question("finercam", source=FINERCAM, tell=fewer_references)
def finercam(
    question: Question,
    *,
    alpha: float = 0.6,
    references: Count = 3,
    base: Base = "gradcam",
    eigen_smooth: bool = False,
) -> list[Value]:
    """How far the class is ahead of those that score most like it: `base` of y − α · the mean of `references`."""
    others = _others(question, references)
    mean = _per_row(others.values * others.present) / question.tape.Max(_per_row(others.present), 1.0)
    return _of_contrast(question, question.score - alpha * (mean * others.sign), base, eigen_smooth=eigen_smooth)


@method_of_question("finercam", source=FINERCAM, like="pytorch-grad-cam", tell=fewer_references)
def finercam_by_probability(
    question: Question,
    *,
    alpha: float = 1.0,
    references: Count = 3,
    base: Base = "gradcam",
    eigen_smooth: bool = False,
) -> list[Value]:
    """The same, each class weighted by its probability, which is differentiated too."""
    op, others = question.tape, _others(question, references)
    p = op.GatherElements(op.Softmax(question.values, axis=-1), others.columns, axis=1) * others.present
    ahead = op.Unsqueeze(question.score, op.ints(1)) - alpha * (others.values * op.Unsqueeze(others.sign, op.ints(1)))
    contrast = _per_row(p * ahead) / (_per_row(p) + 1e-9)
    return _of_contrast(question, contrast, base, eigen_smooth=eigen_smooth)


class _Others:
    """The scores next to the one explained.

    Attributes:
        columns: which they are, (M, k).
        values: the scores, (M, k).
        present: 1, or 0 where no other score is left, (M, k).
        sign: that of the explained one, (M,).
    """

    def __init__(self, question: Question, count: int) -> None:
        op, values = question.tape, question.values
        numbers = _numbers(values)
        (column, sign), *_ = [(term.column, term.sign) for term in question.terms]
        for term in question.terms[1:]:  # of a difference the class that counts for it; elsewhere its sign is 0
            is_single = term.sign.equals(0.0)
            column, sign = op.Where(is_single, column, term.column), op.Where(is_single, sign, term.sign)
        distance = op.Abs(values - op.GatherElements(values, column, axis=1))
        far = op.number(np.inf, distance)
        for term in question.terms:
            # The second term of what is no difference has the sign 0.
            is_own = op.And(numbers.equals(term.column), op.Not(term.sign.equals(0.0)))
            distance = op.Where(is_own, far, distance)
        wanted = _at_most(values, count)
        nearest, self.columns = op.emit("TopK", [distance, wanted], {"axis": 1, "largest": 0}, outputs=2)
        self.values = op.GatherElements(values, self.columns, axis=1)
        self.present = op.Where(nearest < far, op.number(1.0, values), op.number(0.0, values))
        self.sign = op.Squeeze(sign, op.ints(1))


def _others(question: Question, count: int) -> _Others:
    scores = (question.values.shape or (None, None))[1]
    if scores == 1:
        raise NothingToCompare("finercam")
    return _Others(question, count)


def _of_contrast(question: Question, contrast: Value, base: str, *, eigen_smooth: bool) -> list[Value]:
    """The base method's maps, of another number than the score."""
    formula = METHODS[base].formula
    assert formula is not None  # noqa: S101 - `Base` names none without
    gradients = question.differentiate(contrast, question.tensors)
    grids = [question.on_grid(g, layer) for g, layer in zip(gradients, question.layers, strict=True)]
    return [formula(a, g, eigen_smooth=eigen_smooth) for a, g in zip(question.activations, grids, strict=True)]


def _per_row(product: Value) -> Value:
    """The sum over all axes but the first: (M, …) → (M,)."""
    op = product.tape
    return op.ReduceSum(op.Flatten(product, axis=1), op.ints(1), keepdims=0)


def _numbers(values: Value) -> Value:
    """0, 1, … S-1 of (M, S), int64 (S,)."""
    op, first = values.tape, values.tape.ints(0)
    ends = (op.ints(0), op.Shape(values, start=1, end=2), op.ints(1))
    return op.Range(*(op.Squeeze(end, first) for end in ends))


def _at_most(values: Value, count: int) -> Value:
    """The number, int64 [1], or all of the scores but one where that is less."""
    op, scores = values.tape, (values.shape or (None, None))[1]
    if isinstance(scores, int):
        return op.ints(min(count, scores - 1))
    return op.Min(op.ints(count), op.Shape(values, start=1, end=2) - op.ints(1))


def _as_float32(value: Value) -> Value:
    return value if value.dtype == np.float32 else value.tape.Cast(value, to=1)
