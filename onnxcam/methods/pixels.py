"""Methods that attribute the score to the pixels themselves: a number for each element of the picture, no layer.

They come from functions that give the attribution, in the shape of the picture's tensor; their maps join its channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from onnxcam.conventions import PERCENTILE
from onnxcam.graph import Value
from onnxcam.methods.finding import Find, of_picture
from onnxcam.methods.table import Complete, Tell, add, row_of
from onnxcam.parameters import Parameter
from onnxcam.question import Question

# From the question, and the options, to the attribution (M, …), in the layout of the last layer's tensor.
Attribute: TypeAlias = Callable[..., Value]
Joining = Literal["maximum", "absolute", "sum"]


def method_of_pixels(
    name: str,
    *,
    source: str,
    channels: Joining,
    find: Find = of_picture,
    complete: Complete | None = None,
    like: str | None = None,
    tell: Tell | None = None,
) -> Callable[[Attribute], Attribute]:
    """A decorator: the function (question, *, …) → attribution is the method of that name.

    Its layers are what `find` gives; the picture is the last of them. `channels` is the default of the option that
    says how the attribution's channels become a map.
    """

    def register(function: Attribute) -> Attribute:
        def attribute(question: Question, **options: Any) -> Value:
            own = {key: value for key, value in options.items() if key != "channels"}
            with question.tape.named(name):
                return as_float32(function(question, **own))

        def build(question: Question, *, channels: str = channels, **options: Any) -> list[Value]:
            attribution = attribute(question, **options)
            with question.tape.named(name):
                return [joined(question.on_grid(attribution, question.layers[-1]), channels)]

        row = row_of(name, source, function, build, find=find, like=like, complete=complete, tell=tell)
        options, normalize = _with_channels(row.options, channels), PERCENTILE if like is None else None
        add(replace(row, attribute=attribute, normalize=normalize, options=options))
        return function

    return register


def _with_channels(options: Mapping[str, Parameter], default: str) -> Mapping[str, Parameter]:
    own = Parameter("channels", default, str, choices=get_args(Joining))
    return MappingProxyType({**options, "channels": own})


def joined(attribution: Value, channels: str) -> Value:
    """(M, C, …) → (M, …): the largest or the sum of absolute values over channels, or the sum with its sign."""
    op = attribution.tape
    if channels == "sum":
        return op.ReduceSum(attribution, op.ints(1), keepdims=0)
    reduce = op.ReduceMax if channels == "maximum" else op.ReduceSum
    return reduce(op.Abs(attribution), op.ints(1), keepdims=0)


@method_of_pixels("saliency", source="Simonyan et al. 2014, arXiv:1312.6034", channels="maximum")
def saliency(question: Question) -> Value:
    """How much the score moves with each pixel: |gradient|, the largest of its channels."""
    (g,) = question.differentiate(None, question.tensors[-1:])
    return g.tape.Abs(g)


@method_of_pixels("input-x-gradient", source="Shrikumar et al. 2016, arXiv:1605.01713", channels="sum")
def input_x_gradient(question: Question) -> Value:
    """Each pixel times its gradient: of a net of ReLUs without biases the shares that it has in the score."""
    (x,) = question.tensors[-1:]
    (g,) = question.differentiate(None, [x])
    return as_float32(x) * as_float32(g)


def as_float32(value: Value) -> Value:
    """The same numbers as float32."""
    return value if value.dtype == np.float32 else value.tape.Cast(value, to=1)
