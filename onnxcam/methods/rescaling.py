"""DeepLIFT: what each pixel adds to the score, against a picture that says nothing, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from onnxcam.autodiff.backward import BackwardTable, Reference, rescale_table, rescale_table_of_captum
from onnxcam.errors import InvalidOption
from onnxcam.graph import Tape, Value
from onnxcam.methods.pixels import as_float32, method_of_pixels
from onnxcam.parameters import typed
from onnxcam.preprocessing import Preprocessing
from onnxcam.question import Question
from onnxcam.scores import Scores

SHRIKUMAR = "Shrikumar et al. 2017, arXiv:1704.02685"
LUNDBERG = "Lundberg and Lee 2017, arXiv:1705.07874"
COLOURS = ("black", "grey", "white")
NAMES = ("zero", *COLOURS, "mean")


def coloured(_: Tape, __: Scores, given: Mapping[str, Any], spec: Preprocessing | None) -> dict[str, Any]:
    """The options, with what black and white are for the model where that is known."""
    if spec is None:
        return dict(given)
    ends = {
        name: tuple((level * spec.scale - m) / s for m, s in zip(spec.mean, spec.std, strict=True))
        for name, level in (("black", 0), ("white", 255))
    }
    return {**ends, **given}


@method_of_pixels("deeplift", source=SHRIKUMAR, channels="sum", complete=coloured)
def deeplift(
    question: Question,
    *,
    baseline: str = "black",
    black: tuple[float, ...] = (0.0,),
    white: tuple[float, ...] = (1.0,),
) -> Value:
    """What each pixel adds to the score since a blank picture: its change times by how much that changed the score.

    `baseline`: zero, black, grey, white or mean (of the picture's own channels), or a number in the model's units.
    """
    start = Baselines("deeplift", question.tensors[-1], question.layers[-1].layout, black, white).named(baseline)
    return lifted(question, [start], rescale_table)


@method_of_pixels("deeplift-shap", source=LUNDBERG, channels="sum", complete=coloured)
def deeplift_shap(
    question: Question,
    *,
    baselines: tuple[str, ...] = COLOURS,
    black: tuple[float, ...] = (0.0,),
    white: tuple[float, ...] = (1.0,),
) -> Value:
    """The mean of DeepLIFT's attributions from several baselines."""
    of = Baselines("deeplift-shap", question.tensors[-1], question.layers[-1].layout, black, white)
    return lifted(question, [of.named(name) for name in baselines], rescale_table)


@method_of_pixels("deeplift", source=SHRIKUMAR, channels="sum", complete=coloured, like="captum")
def deeplift_of_captum(
    question: Question,
    *,
    baseline: str = "zero",
    black: tuple[float, ...] = (0.0,),
    white: tuple[float, ...] = (1.0,),
) -> Value:
    """DeepLIFT from 0 in the model's units; what is none of Captum's ten kinds of modules has its derivative."""
    start = Baselines("deeplift", question.tensors[-1], question.layers[-1].layout, black, white).named(baseline)
    return lifted(question, [start], rescale_table_of_captum)


@method_of_pixels("deeplift-shap", source=LUNDBERG, channels="sum", complete=coloured, like="captum")
def deeplift_shap_of_captum(
    question: Question,
    *,
    baselines: tuple[str, ...] = COLOURS,
    black: tuple[float, ...] = (0.0,),
    white: tuple[float, ...] = (1.0,),
) -> Value:
    """The mean of Captum's DeepLIFT over several baselines."""
    of = Baselines("deeplift-shap", question.tensors[-1], question.layers[-1].layout, black, white)
    return lifted(question, [of.named(name) for name in baselines], rescale_table_of_captum)


def lifted(question: Question, baselines: Sequence[Value], table: Callable[[Reference], BackwardTable]) -> Value:
    """The mean over the baselines of multiplier · (x − baseline), float32 (M, …)."""
    x = question.tensors[-1]
    parts = []
    for baseline in baselines:
        (multipliers,) = question.differentiate(None, [x], table(Reference(x, baseline, question.values)))
        parts.append(as_float32(multipliers) * (as_float32(x) - as_float32(baseline)))
    total = sum(parts[1:], parts[0])
    return total if len(parts) == 1 else total * (1.0 / len(parts))


class Baselines:
    """Pictures that say nothing, in the shape of the picture's tensor."""

    def __init__(self, method: str, x: Value, layout: str, black: tuple[float, ...], white: tuple[float, ...]) -> None:
        self.method, self.x, self.layout = method, x, layout
        ends = np.asarray(black, np.float32), np.asarray(white, np.float32)
        self.plain = {"zero": np.zeros(1, np.float32), "black": ends[0], "white": ends[1], "grey": sum(ends) / 2}

    def named(self, name: str) -> Value:
        """The baseline of that name, or of that number.

        Raises:
            InvalidOption: if it is neither, or the colours are of another number of channels.
        """
        op, x = self.x.tape, self.x
        if name == "mean":
            space = [axis for axis, letter in enumerate(self.layout) if letter not in "NC"]
            return op.Expand(op.ReduceMean(x, op.ints(*space), keepdims=1), op.Shape(x))
        colour = self.plain.get(name, typed(name, float))
        if colour is None:
            raise InvalidOption(self.method, "baseline", name, f"must be a number or one of {', '.join(NAMES)}")
        return op.Expand(op.constant(self._laid(np.atleast_1d(colour))), op.Shape(x))

    def _laid(self, colour: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A number for each channel, as the picture lays them out."""
        axis = self.layout.index("C")
        channels = (self.x.shape or (None,) * len(self.layout))[axis]
        if colour.size > 1 and channels not in (colour.size, None):
            wanted = f"must be one number or {channels}, as many as the picture has channels"
            raise InvalidOption(self.method, "black", tuple(colour.tolist()), wanted)
        shape = [1] * len(self.layout)
        shape[axis] = colour.size
        return colour.reshape(shape).astype(self.x.dtype or np.float32)
