"""Models of a framework that cannot become ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnxcam.errors.base import OnnxCamError, did_you_mean

__all__ = [
    "CannotConvert",
    "ConversionMismatch",
    "InvalidSource",
    "MissingWeights",
    "NoConverter",
    "StateMismatch",
    "UnknownModel",
    "UnknownSize",
    "UnsafeSource",
    "UnsupportedLayer",
    "WrongInputSize",
]

SHOWN = 10


class CannotConvert(OnnxCamError):
    """A model of a framework cannot be brought to ONNX."""

    def __init__(self, what: str, why: str, *, log: Path | None = None) -> None:
        more = f" (the whole of it: {log})" if log else ""
        super().__init__(f"{what} cannot be converted to ONNX: {why}{more}")


class NoConverter(OnnxCamError):
    """Nothing installed reads models of this kind, or what does lacks a package."""

    def __init__(self, what: str, framework: str | None, installed: list[str], *, missing: str = "") -> None:
        remedy = f'pip install "onnxcam[{framework}]", or export' if framework else "Export"
        have = ", ".join(installed) or "none"
        why = (
            f"{what} cannot be read, its converter does not start: {missing}."
            if missing
            else f"No converter reads {what} (installed: {have})."
        )
        super().__init__(f"{why} {remedy} the model to ONNX yourself.")


class InvalidSource(OnnxCamError):
    """A file, folder or factory that holds no model of the kind that its name promises."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__(f"{source} holds no model that can be converted: {why}.")


class UnknownModel(OnnxCamError):
    """A library makes models by name, and knows none of this name."""

    def __init__(self, library: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"{library} knows no model named {name!r}.{did_you_mean(name, known)}")


class UnsafeSource(OnnxCamError):
    """A file that would run code of whoever wrote it; nothing of it was run."""

    def __init__(self, source: str, what: str, remedy: str) -> None:
        super().__init__(f"{source} holds {what}, which would run its author's code here; nothing was run. {remedy}")
        self.brief = f"it holds {what}"


class UnsupportedLayer(OnnxCamError):
    """A layer that the direct reader of Keras files does not understand completely."""

    def __init__(self, name: str, kind: str, why: str, remedy: str) -> None:
        super().__init__(f"layer {name!r} ({kind}) is not converted: {why}. {remedy}")
        self.brief = f"layer {name!r} ({kind}): {why}"


class MissingWeights(OnnxCamError):
    """A model's architecture is there, its weights are not, or not all of them."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"weights are missing in {where}: {why}.")


class StateMismatch(OnnxCamError):
    """Weights and the architecture that they are loaded into do not belong together."""

    def __init__(
        self, file: str, model: str, *, missing: Sequence[str], unexpected: Sequence[str], shapes: Sequence[str] = ()
    ) -> None:
        parts = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        told = "; ".join(f"{len(keys)} {kind}: {first_few(keys)}" for kind, keys in parts if keys)
        super().__init__(f"the weights in {file} are not those of {model}: {told}. Name the model that they are of.")


class WrongInputSize(OnnxCamError):
    """A size of pictures that the model does not take."""

    def __init__(self, what: str, size: tuple[int, int], why: str) -> None:
        super().__init__(f"{what} does not take pictures of {size[0]} x {size[1]} (height x width): {why}.")


class UnknownSize(OnnxCamError):
    """A text that is no size of pictures."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no size; write HEIGHT,WIDTH in pixels, as in 224,320, or one number for both.")


class ConversionMismatch(OnnxCamError):
    """The converted model gives other numbers than the framework's own."""

    def __init__(self, framework: str, error: float, agreement: float, limit: float) -> None:
        super().__init__(
            f"the converted model differs from {framework} on random inputs: relative error {error:.2g} (at most "
            f"{limit:.2g}), the same best class in {agreement:.0%} of them. --no-check converts all the same; "
            f"please report the model."
        )


def first_few(names: Sequence[str]) -> str:
    """The first ten, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
