"""Explainers of a model whose weights are randomised, layer by layer from the last to the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxcam.api import convert, explainer_of
from onnxcam.engine import Explainer
from onnxcam.errors import NothingToRandomise, UnknownChoice
from onnxcam.graph.shuffling import shuffled, weighted_layers

STAGES = 8  # at most: each is a model to build and to hold
KINDS = ("cascading", "independent")


def stages(model: ModelProto, kind: str, count: int = STAGES) -> list[tuple[str, ...]]:
    """The weights that are randomised at each stage, evenly spread over the layers, the last layer first.

    "cascading": those of all layers from the last down to one; the last stage has all. "independent": of one layer.

    Raises:
        NothingToRandomise: if the model has none.
    """
    if kind not in KINDS:
        raise UnknownChoice("randomisation", kind, KINDS)
    layers = weighted_layers(model)[::-1]
    if not layers:
        raise NothingToRandomise
    ends = sorted({round(end) for end in np.linspace(1, len(layers), min(count, len(layers)))})
    if kind == "independent":
        return [layers[end - 1] for end in ends]
    return [tuple(name for layer in layers[:end] for name in layer) for end in ends]


def randomised(
    model: ModelProto, build: Mapping[str, Any], run: Mapping[str, Any], *, seed: int, count: int = STAGES
) -> Callable[[str], Sequence[Explainer]]:
    """From a kind of randomisation to an explainer for each of its stages, built when it is first asked for.

    Args:
        model: as `onnxcam.graph.load` gives it.
        build: how it is explained, options of `onnxcam.convert`.
        run: options of `onnxcam.Explainer`.
        seed: of the shuffling.
        count: of the stages, at most.
    """

    @cache
    def explainers(kind: str) -> Sequence[Explainer]:
        return list(built(kind))

    def built(kind: str) -> Iterator[Explainer]:
        for names in stages(model, kind, count):
            yield explainer_of(convert(shuffled(model, names, seed=seed), **build), **run)

    return explainers
