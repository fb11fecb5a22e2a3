"""The methods of many passes: a row for each driver of the run half. Their graph gives what the driver asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxcam.drivers import DRIVERS, VARIANTS, Driver
from onnxcam.errors import TooManyLayers
from onnxcam.graph import Tape, Value
from onnxcam.layer import Layer
from onnxcam.methods.finding import Find, explainable, of_picture
from onnxcam.methods.table import Method, add
from onnxcam.question import Question
from onnxcam.scores import Scores


def single(tape: Tape, scores: Scores, wanted: Sequence[str] | None) -> tuple[Layer, ...]:
    """The layer of that name, or the last of the default ones: what masks are made of.

    Raises:
        TooManyLayers: if several are named.
        NoSpatialLayer, UnknownLayer, VanishedLayer: if there is none such.
    """
    found = explainable(tape, scores, wanted)
    if wanted and len(found) > 1:
        raise TooManyLayers(wanted)
    return found[-1:]


FINDS: dict[str, Find] = {
    "score": of_picture,
    "candidates": of_picture,
    "gradient": of_picture,
    "activation": single,
    "both": single,
}


def _no_map(_: Question, **__: Any) -> Sequence[Value]:
    """What one pass tells is no heatmap yet."""
    return []


def _row(driver: Driver, like: str | None = None) -> Method:
    return Method(
        driver.name,
        driver.source,
        driver.summary,
        _no_map,
        driver.options,
        find=FINDS[driver.needs],
        needs_gradient=driver.needs in ("gradient", "both"),
        score=driver.score,
        like=like,
        driver=driver.name,
    )


for _driver in DRIVERS.values():
    if _driver.needs in FINDS:  # those that need a heatmap go around another method
        add(_row(_driver))
for (_, _like), _driver in VARIANTS.items():
    if _driver.needs in FINDS:
        add(_row(_driver, _like))
