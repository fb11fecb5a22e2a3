"""The table of methods, and how a function becomes a row of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from onnxcam.graph import Value

Build: TypeAlias = Callable[[Value, Value], Value]
BuildFromActivation: TypeAlias = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class Method:
    """How activation and gradient become a map.

    Attributes:
        name: as on the command line.
        source: the paper.
        summary: one line.
        build: from a (N, C, h, w) and g, same shape, to the raw map (N, h, w), before ReLU and normalisation.
            g is ignored by methods without gradients.
        needs_gradient: whether g is used.
        needs_linear_head: whether only sums and products with constants may lie between layer and score.
    """

    name: str
    source: str
    summary: str
    build: Build
    needs_gradient: bool = True
    needs_linear_head: bool = False


METHODS: dict[str, Method] = {}


def method(name: str, *, source: str, needs_linear_head: bool = False) -> Callable[[Build], Build]:
    """A decorator: the function (a, g) → map is the method of that name; its docstring is the summary."""

    def register(build: Build) -> Build:
        _add(Method(name, source, _summary(build), build, needs_linear_head=needs_linear_head))
        return build

    return register


def method_without_gradient(name: str, *, source: str) -> Callable[[BuildFromActivation], BuildFromActivation]:
    """A decorator: likewise for a function a → map, so that nothing is differentiated."""

    def register(build: BuildFromActivation) -> BuildFromActivation:
        _add(Method(name, source, _summary(build), lambda a, _: build(a), needs_gradient=False))
        return build

    return register


def _summary(build: Callable[..., Value]) -> str:
    return (build.__doc__ or "").strip().partition("\n")[0]


def _add(row: Method) -> None:
    if row.name in METHODS:
        raise ValueError(f"there is a method {row.name!r} already")
    METHODS[row.name] = row
