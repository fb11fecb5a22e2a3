"""Explain graphs that cannot be loaded or run, and targets that they do not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from onnxcam.errors.base import OnnxCamError, did_you_mean

__all__ = [
    "BuildOptionsUnused",
    "ExplainGraphNotFound",
    "ExplainGraphNotLoadable",
    "InputMismatch",
    "InvalidBatchSize",
    "InvalidMetadata",
    "InvalidProviderOptions",
    "InvalidTarget",
    "LabelAmbiguous",
    "LabelNotFound",
    "MetadataTooNew",
    "MissingExtra",
    "NoChannels",
    "NoKernel",
    "NoLayerChannels",
    "NotAnExplainGraph",
    "ProviderNotAvailable",
    "RunFailed",
    "RuntimeMissing",
    "TargetOutOfRange",
    "TooManyConcepts",
]


class RuntimeMissing(OnnxCamError):
    """ONNX Runtime is not installed, or is broken."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"ONNX Runtime, which runs explain graphs, cannot be imported ({reason}). Install it: "
            f'pip install "onnxcam[cpu]" (or "onnxcam[gpu]" for NVIDIA cards, never both).'
        )


class ProviderNotAvailable(OnnxCamError):
    """An execution provider that this ONNX Runtime lacks or cannot start."""

    def __init__(self, provider: str, available: Iterable[str], reason: str) -> None:
        super().__init__(
            f"the provider {provider!r} {reason}, and onnxcam never falls back in silence. Available here: "
            f"{', '.join(available)}. Choose one of these, or install the ONNX Runtime package that has it "
            f'(for NVIDIA cards: pip install "onnxcam[gpu]").'
        )


class InvalidProviderOptions(OnnxCamError):
    """Provider options that ONNX Runtime refuses."""

    def __init__(self, providers: Iterable[str], reason: str) -> None:
        super().__init__(
            f"ONNX Runtime refuses the options for {', '.join(providers)}: {reason}. Correct or drop them."
        )


class ExplainGraphNotFound(OnnxCamError):
    """No file under the explain graph's name."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no explain graph at {path!r}. Check the path, or make one: onnxcam convert MODEL -o {path}.")


class ExplainGraphNotLoadable(OnnxCamError):
    """A file that ONNX Runtime refuses."""

    def __init__(self, source: str, reason: str) -> None:
        remedy = (
            "Its sizes do not fit together: where the model takes a fixed number of pictures, export it with a dynamic "
            "batch, or take a method that does not run its upper part on more of them (--method gradcam)."
            if "ShapeInferenceError" in reason
            else "The file is truncated, lacks its external data, or is not ONNX: copy it again, or make it again with "
            "onnxcam convert."
        )
        super().__init__(f"ONNX Runtime cannot load {source}: {reason}. {remedy}")


class NoKernel(OnnxCamError):
    """A graph of operators that ONNX Runtime has, though not for the types of numbers that they are given here."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"ONNX Runtime cannot run {source}: {reason}. It lacks the operator for numbers of this type, as Conv for "
            f"float64 on the CPU: convert the model to float32."
        )


class NotAnExplainGraph(OnnxCamError):
    """An ONNX model without onnxcam's metadata."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} is a plain ONNX model, not an explain graph: it has no heatmap to give. Make one first: "
            f"onnxcam convert MODEL -o MODEL.explain.onnx."
        )


class InvalidMetadata(OnnxCamError):
    """Metadata that an explain graph of this version never has."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the explain graph's metadata is broken: {reason}. Make the file again with onnxcam convert.")


class MetadataTooNew(OnnxCamError):
    """An explain graph from a later onnxcam."""

    def __init__(self, schema: int, known: int) -> None:
        super().__init__(
            f"the explain graph has metadata schema {schema}, this onnxcam knows up to {known}, and guessing would "
            f"give wrong maps. Upgrade: pip install -U onnxcam."
        )


class BuildOptionsUnused(OnnxCamError):
    """Options of `onnxcam.convert`, by its names, are given with an explain graph that is finished."""

    FLAGS: ClassVar[dict[str, str]] = {
        "options": "--option",
        "groups": "--group",
        "outputs": "--add-output",
        "keep_outputs": "--keep-output",
        "check": "--no-check",
    }

    def __init__(self, path: str, options: Iterable[str], made: str) -> None:
        flags = [self.FLAGS.get(name, "--" + name.replace("_", "-")) for name in options]
        super().__init__(
            f"{' and '.join(flags)} cannot change {path}, which is an explain graph already ({made}). Leave it out, "
            f"or give the model that the graph was made from."
        )


class LabelNotFound(OnnxCamError):
    """A target given by a text that is no label of the model."""

    def __init__(self, text: str, labels: Sequence[str], *, part: str = "", place: int = 0) -> None:
        """`part`: of a sum or difference what in it is no class, which begins at character `place`, from 1."""
        remedy = "Give an index, or labels." if not labels else "Give a label, an index, or a rank (-1 is the best)."
        held = f"the model has {len(labels)} labels" if labels else "the model carries no labels"
        within = f", nor {part!r}, which stands in it at character {place}" if part else ""
        meant = did_you_mean(part or text, labels) or did_you_mean(text, labels)
        super().__init__(f"no class is labelled {text!r}{within}; {held}.{meant} {remedy}")


class LabelAmbiguous(OnnxCamError):
    """A target given by a text that fits several classes."""

    def __init__(self, text: str, hits: Iterable[str]) -> None:
        super().__init__(f"{text!r} fits several classes: {', '.join(hits)}. Give the index of the one you mean.")


class TargetOutOfRange(OnnxCamError):
    """A class index or a rank that the model does not have."""

    def __init__(self, target: int, classes: int, ranks: int) -> None:
        super().__init__(
            f"target {target} is out of range: the model has {classes} classes, so an index lies in 0..{classes - 1} "
            f"and a rank in -1 (best)..-{ranks}."
        )


class InvalidTarget(OnnxCamError):
    """A target of the wrong kind, or not one per picture."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. A target is a class index, a label, a sum 'A+B', a difference 'A-B', 'not:A' or a negative "
            f"rank; for several pictures one for all or one each; K at once need a graph built with multi_target."
        )


class InvalidBatchSize(OnnxCamError):
    """A number of pictures in one run that is none."""

    def __init__(self, given: int) -> None:
        super().__init__(f"batch_size is {given}, and a run needs a picture: it must be 1 or more.")


class InputMismatch(OnnxCamError):
    """An array that does not fit the model's input, or an input that is missing."""

    def __init__(
        self,
        name: str,
        reason: str,
        remedy: str = "Arrays go into the model as they are: in its own layout, with a row for each picture.",
    ) -> None:
        super().__init__(f"input {name!r} {reason}. {remedy}")


class RunFailed(OnnxCamError):
    """ONNX Runtime stopped in the middle of a run."""

    def __init__(self, reason: str, fixed: str | None = None) -> None:
        """`fixed`: why the model takes no other number of pictures, if it is so."""
        remedy = (
            f"The number of pictures that the model takes is fixed ({fixed}), and some methods run its upper part on "
            f"more of them: export it with a dynamic batch, or take a method that does not (--method gradcam)."
            if fixed
            else "Try a smaller batch or providers=['cpu']."
        )
        super().__init__(f"ONNX Runtime stopped while explaining: {reason}. {remedy}")


class NoLayerChannels(OnnxCamError):
    """Single channels are asked for of a method that looks at no layer."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"The method {method!r} looks at the picture itself and at no layer, so there are no channels to show. "
            f"Leave --channels away, or choose a method that looks at a layer: --method gradcam."
        )


class NoChannels(OnnxCamError):
    """Single channels are asked for, and the explain graph gives only their sum."""

    def __init__(self) -> None:
        super().__init__(
            "This explain graph gives no activation, so its channels cannot be shown. Convert the model with "
            'outputs=["activation", "gradient"] (on the command line: --add-output activation --add-output gradient).'
        )


class MissingExtra(OnnxCamError):
    """Something is asked for that needs a package which is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs a package that is not installed. Get it by: pip install 'onnxcam[{extra}]'")


class TooManyConcepts(OnnxCamError):
    """More concepts than the activations can tell apart."""

    def __init__(self, count: int, channels: int, places: int) -> None:
        super().__init__(
            f"{count} concepts cannot be told apart in {channels} channels at {places} places. Ask for fewer "
            f"(--concepts), take an earlier layer, or more pictures."
        )
