"""Models that cannot be brought to where onnxcam works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnxcam.errors.base import OnnxCamError, did_you_mean

__all__ = [
    "AlreadyExplainGraph",
    "InvalidResult",
    "NameTaken",
    "NoClassScores",
    "NoSpatialLayer",
    "UnknownDomain",
    "UnknownLayer",
    "UnknownScore",
    "UnknownTensor",
    "UnsupportedOperator",
    "UnsupportedOpset",
    "VanishedLayer",
]


class UnsupportedOpset(OnnxCamError):
    """The model is of an ONNX version that is too old or too new."""

    def __init__(self, opset: int, oldest: int, newest: int) -> None:
        super().__init__(
            f"the model is of ONNX opset {opset}; opsets {oldest} to {newest} can be read. Export it again with "
            f"an opset in that range, 18 at best."
        )


class UnsupportedOperator(OnnxCamError):
    """An operator of the model has no equivalent in the opset that explain graphs are made of."""

    def __init__(self, op_type: str, node: str, opset: int, *, reason: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}, opset {opset}) cannot be brought to opset 18: {reason}. Explain graphs are of "
            f"opset 18, which every runtime has; export the model without it, or at opset 18."
        )


class UnknownDomain(OnnxCamError):
    """An operator comes from a domain that is not ONNX's and not ONNX Runtime's."""

    def __init__(self, op_type: str, node: str, domain: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) is a custom operator of domain {domain!r}, which stock runtimes cannot run. "
            f"Export the model with standard ONNX operators only; or, if your runtime has it, register what its "
            f"gradient is: onnxcam.autodiff.vjp('{domain}.{op_type}'), see docs/operators.md."
        )


class InvalidResult(OnnxCamError):
    """What was built of the model does not pass ONNX's checker: it asks something of the model that it cannot do."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"what was built of this model is no valid ONNX: {reason}. Where sizes do not fit, as with a fixed number "
            f"of pictures, export the model with a dynamic batch; else try another method (onnxcam methods) or layer "
            f"(onnxcam layers MODEL)."
        )


class NoClassScores(OnnxCamError):
    """None of the model's outputs shows what is to be explained: no classes, no detections, no segmentation."""

    def __init__(self, outputs: Mapping[str, object]) -> None:
        name, shape = next(iter(outputs.items()), ("output0", None))
        example = name if isinstance(shape, tuple) and len(shape) < 2 else f"{name}[:, 0]"
        super().__init__(
            f"No output of the model is a table of class scores, (N, C), or shows detections or a segmentation: it "
            f"gives {dict(outputs)}. Say what is to be explained, a number for each picture: --score '{example}', for "
            f"instance (docs/targets.md); or export the model up to its class scores."
        )


class UnknownScore(OnnxCamError):
    """A kind of score that onnxcam does not know."""

    def __init__(self, given: str, known: Iterable[str], outputs: Iterable[str] = ()) -> None:
        kinds, tensors = list(known), list(outputs)
        has = f"choose one of {', '.join(kinds)}, or an expression over the outputs {', '.join(map(repr, tensors))}"
        super().__init__(f"There is no score {given!r}; {has}.{did_you_mean(given, [*kinds, *tensors])}")


class NoSpatialLayer(OnnxCamError):
    """No tensor between the picture and the scores has rows and columns."""

    def __init__(self, picture: str | None) -> None:
        why = (
            f"between input {picture!r} and the class scores no tensor has height and width"
            if picture
            else "no input of the model can hold pictures, (N, C, H, W) or (N, H, W, C) with 1 to 4 channels"
        )
        other = "; or take the pixels themselves: --method saliency" if picture else ""
        super().__init__(f"There is no layer to explain: {why}. A heatmap needs a convolutional feature map{other}.")


class UnknownLayer(OnnxCamError):
    """The model has no layer of that name, or none that can be explained."""

    def __init__(self, wanted: str, near: list[str], count: int, *, exists: bool) -> None:
        what = (
            f"{wanted!r} is in the model, but is no spatial activation below the scores."
            if exists
            else f"no layer named {wanted!r}."
        )
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        super().__init__(f"{what}{hint} `onnxcam layers MODEL` lists all {count}.")


class UnknownTensor(OnnxCamError):
    """The model has no tensor of that name."""

    def __init__(self, wanted: str, known: Iterable[str]) -> None:
        super().__init__(
            f"the model has no tensor named {wanted!r}.{did_you_mean(wanted, known)} Any input, weight or inner tensor "
            f"can be named, by its own name or its author's."
        )


class VanishedLayer(UnknownLayer):
    """The author knows a layer of that name, but the model computes it together with another one."""

    def __init__(self, wanted: str, survivor: str) -> None:
        OnnxCamError.__init__(
            self,
            f"Layer {wanted!r} left no tensor of its own in the model: when it was converted, it was folded into its "
            f"neighbours, or fused with them. The nearest layer that can be explained is {survivor!r}.",
        )


class NameTaken(OnnxCamError):
    """The model has a tensor of a name that the explain graph needs."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The model has a tensor called {name!r} itself, a name that the explain graph gives to what it adds. "
            f"Rename it in the model; is this an explain graph already?"
        )


class AlreadyExplainGraph(OnnxCamError):
    """A model is asked for, and an explain graph is given."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is an explain graph already. Run it (onnxcam explain {path} IMAGE), or give the model that it was "
            f"made from."
        )
