"""Gradients and methods that a layer cannot have."""

from __future__ import annotations

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "ChangingState",
    "DisconnectedTensor",
    "FlatPath",
    "IntegerTensor",
    "NoGradientForm",
    "NoGradientRule",
    "NoLinearHead",
    "NoPathToScore",
    "NoRelevanceRule",
    "NotRepeatable",
    "RandomDropout",
    "TrainingModeBatchNormalization",
    "UnknownShape",
    "UnresolvedSequence",
]


class NoGradientRule(OnnxCamError):
    """An op between the layer and the score has no gradient rule."""

    def __init__(self, op_type: str, node: str, layer: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) lies between layer {layer!r} and the score and has no gradient rule. Explain a "
            f"later layer (onnxcam layers MODEL lists them), use a method without gradients (--method eigencam), or "
            f"register a rule for it: onnxcam.autodiff.vjp({op_type!r}), see docs/operators.md."
        )


class NoGradientForm(OnnxCamError):
    """An op whose gradient is known is used in a way for which it is not."""

    def __init__(self, op_type: str, node: str, use: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) is used with {use}, for which its gradient is not known. Explain a later layer "
            f"(onnxcam layers MODEL lists them), or use a method without gradients (--method eigencam)."
        )


class NoRelevanceRule(OnnxCamError):
    """Layer-wise relevance propagation meets a node for which its literature has no rule."""

    def __init__(self, op_type: str, node: str, *, table: str, why: str) -> None:
        other = "" if table == "lrp-attention" else "use lrp-attention for transformers, or "
        super().__init__(
            f"{op_type} (node {node!r}) has no relevance rule in {table!r}: {why}. Take another start (logits, not "
            f"probabilities), {other}input-x-gradient or guided-backprop, which need no such rules; or give the "
            f"table your own rule for it: table.with_rules({{{op_type!r}: Rule(…)}}), see docs/backward-tables.md."
        )


class UnknownShape(OnnxCamError):
    """A gradient rule needs a size that the model leaves open."""

    def __init__(self, op_type: str, node: str, what: str) -> None:
        super().__init__(
            f"The gradient of {op_type} (node {node!r}) needs {what}, which the model leaves open. Export it with a "
            f"fixed image size, or explain a later layer."
        )


class UnresolvedSequence(OnnxCamError):
    """A list of tensors whose length, or a position in it, shows only when the model runs."""

    def __init__(self, op_type: str, node: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) works on a list of tensors whose length, or the position it takes, shows only "
            f"when the model runs, so that its gradient cannot be written down. Export the model with fixed sizes and "
            f"positions, or explain a later layer."
        )


class TrainingModeBatchNormalization(OnnxCamError):
    """A BatchNormalization takes its statistics from the batch, so that one image's map depends on the others."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"BatchNormalization (node {node!r}) is in training mode: it normalises by the batch at hand, so one "
            f"image's heatmap would depend on the others. Export the model in evaluation mode (PyTorch: model.eval())."
        )


class RandomDropout(OnnxCamError):
    """A Dropout drops at random, since the model was exported for training."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"Dropout {node!r} is in training mode, or may be: it drops at random, and each run would be explained by "
            f"another gradient. Export the model for inference (in PyTorch: model.eval())."
        )


class NoPathToScore(OnnxCamError):
    """The score does not depend differentiably on the layer."""

    def __init__(self, layer: str, why: str) -> None:
        super().__init__(
            f"Layer {layer!r} has no gradient: {why}. Explain a later layer, or use a method without gradients "
            f"(--method eigencam)."
        )


class IntegerTensor(NoPathToScore):
    """A tensor of integers or truth values is to be differentiated, or differentiated by."""

    def __init__(self, tensor: str, kind: str) -> None:
        OnnxCamError.__init__(
            self,
            f"{tensor!r} holds numbers of type {kind}, which cannot move a little and so have no gradient. Name a "
            f"tensor of floats: the one that it was made from, or that is made of it.",
        )


class DisconnectedTensor(NoPathToScore):
    """Nothing leads from the tensor to what is differentiated."""

    def __init__(self, tensor: str, ends: str) -> None:
        OnnxCamError.__init__(
            self,
            f"{tensor!r} has no gradient: nothing leads from it to {ends}, which does not depend on it at all. Name a "
            f"tensor below that one (onnxcam layers MODEL lists those of the main path).",
        )


class FlatPath(NoPathToScore):
    """Every way from the tensor to what is differentiated leads through an op that has no derivative."""

    def __init__(self, tensor: str, ends: str, op_type: str, node: str) -> None:
        OnnxCamError.__init__(
            self,
            f"{tensor!r} has no gradient: the way to {ends} leads through {op_type} (node {node!r}), which gives "
            f"counts, indices or steps and so has no derivative. Take a tensor before it as the end (its scores, not "
            f"its choice), a layer behind it, or a method without gradients (--method eigencam).",
        )


class NoLinearHead(OnnxCamError):
    """CAM needs a linear path from the layer to the score."""

    def __init__(self, method: str, layer: str, op_type: str, node: str) -> None:
        super().__init__(
            f"Method {method!r} takes its weights from a last dense layer, but {op_type} (node {node!r}) lies between "
            f"layer {layer!r} and the score and is not linear. Use --method gradcam, the same where both exist."
        )


class NotRepeatable(OnnxCamError):
    """What lies above the layer depends on the batch in a way that forbids several targets an image."""

    def __init__(self, tensor: str, why: str) -> None:
        super().__init__(
            f"Several targets an image need what lies above the layer to run for each, but {tensor!r} {why}. Explain a "
            f"later layer, or build without multi_target."
        )


class ChangingState(OnnxCamError):
    """A loop carries a tensor whose shape changes from one iteration to the next."""

    def __init__(self, op_type: str, node: str, state: str, change: str) -> None:
        super().__init__(
            f"{op_type} (node {node!r}) carries {state!r} between iterations, and {change}, while how often "
            f"it runs shows only later: its gradient needs the states of all iterations in one tensor. Explain a later "
            f"layer (onnxcam layers MODEL lists them), use a method without gradients (--method eigencam), or export "
            f"the model with its loop unrolled (PyTorch: traced, not scripted) or with the state at its final size."
        )
