"""Grad-CAM as the founding texts compute it: in the framework, from the framework's own gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from founding import library
from numpy.typing import NDArray

import onnxcam
from onnxcam.api import explainer_of

Floats = NDArray[np.float32]
TOLERANCE = 1e-3  # relative, of a raw map


@dataclass(frozen=True)
class Parts:
    """Activation and gradient of one picture, both (h, w, C)."""

    activation: Floats
    gradient: Floats

    @property
    def contributions(self) -> Floats:
        """(h, w, C): each channel times its mean gradient."""
        return self.activation * self.gradient.mean((0, 1))

    @property
    def raw_map(self) -> Floats:
        """(h, w): their sum."""
        return self.contributions.sum(-1)


def by_tape(kind: str, net: Any, x: Floats, layer: str, *, index: int = 0, score: str = "probability") -> Parts:
    """What tf.GradientTape says of one picture (H, W, C), for the layer's output and a class's score.

    The logit is what the last layer, a dense one, gives without its softmax or sigmoid. `kind`: "keras" or "tf_keras".
    """
    tf, last = library("tensorflow"), net.layers[-1]
    inner = library(kind).Model(net.input, [net.get_layer(layer).output, net.output, last.input])
    with tf.GradientTape() as tape:
        activation, probabilities, features = inner(x[None])
        chosen = (probabilities if score == "probability" else dense(last, features))[:, index]
    return Parts(activation[0].numpy(), tape.gradient(chosen, activation)[0].numpy())


def by_tape_from(activation: Any, score: Any) -> Parts:
    """Likewise for a layer that no model reaches: from its output (1, h, w, C), and a function from that to a score."""
    with library("tensorflow").GradientTape() as tape:
        tape.watch(activation)
        chosen = score(activation)
    return Parts(activation[0].numpy(), tape.gradient(chosen, activation)[0].numpy())


def dense(layer: Any, features: Any) -> Any:
    """What the dense layer gives before its activation."""
    return library("tensorflow").matmul(features, layer.kernel) + layer.bias


def by_hook(net: Any, x: Any, layer: str) -> tuple[int, Parts]:
    """The best class of one picture, and what hooks at a PyTorch module see."""
    seen: list[Any] = []
    hook = net.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    scores = net(x)
    hook.remove()
    seen[0].retain_grad()
    best = int(scores.argmax())
    scores[0, best].backward()
    return best, _channels_last(seen[0].detach(), seen[0].grad)


def by_split(net: Any, x: Any, layer: str) -> tuple[int, Parts]:
    """The same from two models: the modules up to the layer, and those behind it."""
    import torch

    parts = dict(net.named_children())
    cut = list(parts).index(layer) + 1
    front, back = (torch.nn.Sequential(*half) for half in (list(parts.values())[:cut], list(parts.values())[cut:]))
    activation = front(x).detach().requires_grad_()
    scores = back(activation)
    best = int(scores.argmax())
    (gradient,) = torch.autograd.grad(scores[0, best], activation)
    return best, _channels_last(activation.detach(), gradient)


def _channels_last(activation: Any, gradient: Any) -> Parts:
    return Parts(*(values[0].permute(1, 2, 0).numpy() for values in (activation, gradient)))


def textbook(parts: Parts) -> Floats:
    """(h, w): the mean of the contributions over channels, without what is negative, over its maximum."""
    heatmap = np.maximum(parts.contributions.mean(-1), 0)
    with np.errstate(invalid="ignore"):
        return heatmap / heatmap.max()


def vizgradcam(parts: Parts, size: tuple[int, int]) -> Floats:
    """(H, W): resized first, then without what is negative, then from 0 to 1."""
    stretched = np.maximum(cv2.resize(parts.raw_map, size[::-1]), 0)
    return (stretched - stretched.min()) / (stretched.max() - stretched.min())


def jet(heatmap: Floats) -> NDArray[np.uint8]:
    """RGB (H, W, 3)."""
    return cv2.applyColorMap((255 * heatmap).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]


def relative_error(found: Floats, expected: Floats) -> float:
    """‖found − expected‖ / ‖expected‖."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def explainer(source: Any, **options: Any) -> onnxcam.Explainer:
    """Our explainer of it, which gives the raw map too."""
    return explainer_of(onnxcam.convert(source, check=False, outputs=["raw_map"], **options))
