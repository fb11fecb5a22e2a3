"""Scores, groups and options of methods that were asked for and cannot be had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxcam.errors.base import OnnxCamError, did_you_mean

__all__ = [
    "InvalidExpression",
    "InvalidGroup",
    "InvalidOption",
    "LibraryLacks",
    "NeedsLayers",
    "NoAttention",
    "NoAttribution",
    "NoEmbedding",
    "NoLayerNeeded",
    "NoSuchBaseline",
    "NoSuchScore",
    "NotAPair",
    "NotATensor",
    "NothingBehind",
    "NothingToCompare",
    "OneLayerOnly",
    "SaidTwice",
    "TooManyLayers",
    "UnknownChannels",
    "UnknownOption",
]


class NoSuchScore(OnnxCamError):
    """The model has no score of the kind that was asked for."""

    def __init__(self, kind: str, outputs: object) -> None:
        super().__init__(
            f"The model has no score of kind {kind!r}: its outputs are {outputs}. Leave --score away to take what they "
            f"show, or name what is to be explained: --score 'output0[:, 4, 17]' (docs/targets.md)."
        )


class NothingBehind(OnnxCamError):
    """A kind of score with something behind its colon, where it takes nothing."""

    def __init__(self, kind: str, detail: str, others: Iterable[str]) -> None:
        super().__init__(
            f"The score {kind!r} takes nothing behind a colon, but {detail!r} stands there. These do: "
            f"{', '.join(others)} (docs/targets.md)."
        )


class NoEmbedding(OnnxCamError):
    """A tensor that was named as an embedding and is none."""

    def __init__(self, name: str, shape: object, dtype: object) -> None:
        super().__init__(
            f"The tensor {name!r} is no embedding: it is of type {dtype} and shape {shape}. Name one that the model "
            f"computes in floating point, with a row of numbers for each picture, (N, D)."
        )


class InvalidGroup(OnnxCamError):
    """A group of classes that makes no sense."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"The group {name!r} cannot be had: {reason}. It is a name and class indices: --group dog=151-268,537."
        )


class UnknownOption(OnnxCamError):
    """An option that the method does not have."""

    def __init__(self, method: str, given: str, known: Iterable[str]) -> None:
        options = sorted(known)
        has = f"There are: {', '.join(options)}." if options else "It has none."
        super().__init__(f"The method {method!r} has no option {given!r}.{did_you_mean(given, options)} {has}")


class InvalidOption(OnnxCamError):
    """An option of a method with a value that it cannot have."""

    def __init__(self, method: str, option: str, given: object, wanted: str) -> None:
        super().__init__(f"{option} of the method {method!r} is {given!r}, but {wanted}.")


class LibraryLacks(OnnxCamError):
    """The numbers of a library were asked for, of a method that it does not have."""

    def __init__(self, library: str, method: str, known: Iterable[str]) -> None:
        names = list(known)
        super().__init__(
            f"{library} has no method {method!r}, so there are no numbers to be like.{did_you_mean(method, names)} "
            f"Leave --like away for the method as its paper has it, or name one that {library} has: {', '.join(names)}."
        )


class NoSuchBaseline(OnnxCamError):
    """A baseline that is neither a blank's name nor a file."""

    def __init__(self, given: str, known: Iterable[str]) -> None:
        names = list(known)
        super().__init__(
            f"There is no baseline {given!r}.{did_you_mean(given, names)} It is one of {', '.join(names)}, the path of "
            f"a picture, of a folder of pictures, or of a .npy file with an array like the input."
        )


class NoLayerNeeded(OnnxCamError):
    """A layer was named for a method that looks at the picture itself."""

    def __init__(self, layer: str, picture: str) -> None:
        super().__init__(
            f"This method explains the picture's own pixels (input {picture!r}), not layer {layer!r}. Leave --layer "
            f"away, or choose a method that looks at a layer (onnxcam methods lists them)."
        )


class OneLayerOnly(OnnxCamError):
    """Several layers were named for a method that looks at one."""

    def __init__(self, method: str, layers: Sequence[str]) -> None:
        super().__init__(
            f"The method {method!r} looks at one layer, and here are {len(layers)}: {', '.join(map(repr, layers))}. "
            f"Name one of them, or use a method that joins several: --method gradcam."
        )


class NoAttribution(OnnxCamError):
    """The output `attribution` was asked for of a method that gives nothing but maps."""

    def __init__(self, method: str, others: Iterable[str]) -> None:
        super().__init__(
            f"The method {method!r} has no number for each channel of each pixel, and so no output 'attribution'. Ask "
            f"for 'raw_map', or take one of {', '.join(others)}."
        )


class UnknownChannels(OnnxCamError):
    """A method that has a number for each channel, at a layer whose channels cannot be counted."""

    def __init__(self, method: str, layer: str) -> None:
        super().__init__(
            f"The method {method!r} has a weight for each channel, and the model leaves open how many tensor {layer!r} "
            f"has. Export the model with fixed sizes, or explain another layer (onnxcam layers lists them)."
        )


class NothingToCompare(OnnxCamError):
    """A method that sets a class against others, where the model has no others."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"The method {method!r} sets a class against those that score like it, and the model has one score in all. "
            f"Use --method gradcam."
        )


class NeedsLayers(OnnxCamError):
    """A method that multiplies maps of several layers, with one."""

    def __init__(self, method: str, layers: Sequence[str]) -> None:
        super().__init__(
            f"The method {method!r} multiplies the maps of two or more layers, and here is only "
            f"{', '.join(map(repr, layers))}. Name several: --layer layer3 --layer layer4 (onnxcam layers lists them)."
        )


class TooManyLayers(OnnxCamError):
    """A method of many passes that looks at one layer, with several."""

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__(
            f"A method of many passes looks at one layer, and {', '.join(map(repr, layers))} are {len(layers)}. Name "
            f"one of them, and explain again for the next."
        )


class InvalidExpression(OnnxCamError):
    """A score written as an expression that cannot be read."""

    def __init__(self, text: str, at: int | None, reason: str) -> None:
        """`at`: the place in the text, from 0; None where the whole is meant."""
        near = "" if at is None else text[at : at + 12].strip()
        part = "" if at is None else f" (at character {at + 1}: {near!r})" if near else " (at the end)"
        super().__init__(
            f"The score {text!r} cannot be taken: {reason}{part}. It is an expression over the model's outputs, the "
            f"first axis being the batch: 'output0[:, 4 + 17, 1203]' (docs/targets.md)."
        )


class NoAttention(OnnxCamError):
    """A method that follows attention from the class token to the picture, in a model where it cannot be followed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"There is no attention to follow from the score to the picture: {reason}. Use a method that looks at "
            f"activations instead: --method gradcam, or reciprocam, which takes no gradient."
        )


class NotAPair(OnnxCamError):
    """NAME=VALUE was wanted on the command line."""

    def __init__(self, flag: str, given: str) -> None:
        super().__init__(f"{flag} takes NAME=VALUE, not {given!r}.")


class SaidTwice(OnnxCamError):
    """NAME=VALUE came several times for one name on the command line."""

    def __init__(self, flag: str, name: str) -> None:
        more = " Classes of one group stand in one list: --group dog=151-268,537." if flag == "--group" else ""
        super().__init__(f"{flag} {name}=… is there twice, and only one can hold. Say it once.{more}")


class NotATensor(OnnxCamError):
    """A function that is to make a score of the model's outputs gives something else."""

    def __init__(self, function: str, given: object) -> None:
        super().__init__(
            f"The score {function!r} gave {type(given).__name__} {given!r}, and a tensor of the graph is wanted, (N,) "
            f"or (N, S), made of the outputs that the function is given: lambda outputs: outputs['logits']."
        )
