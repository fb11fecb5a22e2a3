"""Maps of several layers multiplied: what is sharp early on, where the late layers see the class."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Literal

from onnxcam.conventions import CONVENTIONS, picture_size
from onnxcam.errors import NeedsLayers
from onnxcam.graph import Tape, Value
from onnxcam.layer import Layer, find_layers, resolved
from onnxcam.methods.table import find_method, method_of_question
from onnxcam.question import Question
from onnxcam.scores import Scores

Base = Literal["gradcam", "gradcam++", "xgradcam", "hirescam", "layercam", "gradcam-elementwise"]
REFINECAM = "How to Evaluate and Refine your CAM 2026, arXiv:2605.14641"
STAGES = 3


def stages(tape: Tape, scores: Scores, wanted: Sequence[str] | None) -> tuple[Layer, ...]:
    """The layers of those names; or the default and those of finer grids, or of the blocks before: up to three.

    Raises:
        NeedsLayers: if there are fewer than two.
        NoSpatialLayer, UnknownLayer, VanishedLayer: as for any method.
    """
    known = find_layers(tape, scores.values, scores.layers)
    chosen = resolved(tape, known, wanted) if wanted else _stages(known) or _blocks(known)
    if len(chosen) < 2:
        raise NeedsLayers("refinecam", [layer.name for layer in chosen])
    return tuple(chosen)


def _stages(known: Sequence[Layer]) -> list[Layer]:
    """The default layer and before it, of each grid at least half as fine again, the last large module."""
    chosen = [known[0]]
    while len(chosen) < STAGES:
        finer = [layer for layer in known if _is_finer(layer, chosen[-1])]
        if not finer:
            break
        alike = [layer for layer in finer if layer.grid == finer[0].grid]
        inside = [sum(other.name.startswith(f"{layer.name}.") for other in known) for layer in alike]
        chosen.append(next(layer for layer, count in zip(alike, inside, strict=True) if 2 * count >= max(inside)))
    return chosen[::-1] if len(chosen) > 1 else []


def _is_finer(layer: Layer, than: Layer) -> bool:
    pairs = list(zip(layer.grid, than.grid, strict=False))
    return all(isinstance(n, int) and isinstance(old, int) and 2 * n >= 3 * old for n, old in pairs)


def _blocks(known: Sequence[Layer]) -> list[Layer]:
    """Of nets with one grid the same place in each of the last blocks."""
    stem = _stem(known[0])
    return [layer for layer in known if _stem(layer) == stem][:STAGES][::-1]


@method_of_question("refinecam", source=REFINECAM, find=stages)
def refinecam(question: Question, *, base: Base = "gradcam++", eigen_smooth: bool = False) -> list[Value]:
    """The product of the heatmaps of several layers, each by `base`: early edges, kept where late layers agree."""
    size = picture_size(question.picture)
    formula = _formula(base)
    raw = [formula(a, g, eigen_smooth=eigen_smooth) for a, g in _pairs(question)]
    return [reduce(Value.__mul__, [CONVENTIONS["pytorch-grad-cam"]([each], size) for each in raw])]


@method_of_question("refinecam", source=REFINECAM, find=stages, like="torchcam")
def refinecam_at_the_largest(question: Question, *, base: Base = "gradcam++") -> list[Value]:
    """The same at the size of the largest layer, as torch-cam's RefineCAM where no size is named."""
    op, formula = question.tape, _formula(base, "torchcam")
    raw = [formula(a, g) for a, g in _pairs(question)]
    size = reduce(lambda first, second: op.Max(first, second), [op.Shape(each, start=1) for each in raw])
    return [reduce(Value.__mul__, [CONVENTIONS["torchcam"]([each], size) for each in raw])]


def _pairs(question: Question) -> Iterable[tuple[Value, Value]]:
    """Activation and gradient of each layer."""
    return zip(question.activations, question.gradients, strict=True)


def _formula(base: str, like: str | None = None) -> Callable[..., Value]:
    """What the method makes of activation and gradient."""
    formula = find_method(base, like).formula
    assert formula is not None  # noqa: S101 - `Base` names none without
    return formula


def _stem(layer: Layer) -> str:
    """Its name without the numbers of blocks: "blocks.#.norm1"."""
    return re.sub(r"(?<=[./])\d+(?=[./])", "#", layer.name)
