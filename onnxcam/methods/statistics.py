"""Methods that weigh channels by a number of their own, or by chance: the score has no say in them."""

from __future__ import annotations

import numpy as np

from onnxcam.errors import UnknownChannels
from onnxcam.graph import Value
from onnxcam.methods.gradient import over_channels, weighted
from onnxcam.methods.table import method_without_gradient
from onnxcam.places import space
from onnxcam.ranges import NotNegative, Seed

FEM = "Fuad et al. 2020, doi:10.1109/IPTA50016.2020.9286629"


@method_without_gradient("fem", source=FEM)
def fem(a: Value, *, k: NotNegative = 2.0) -> Value:
    """Where channels stand k standard deviations above their mean, each counted with that mean: Σc μ · [a > μ + k·σ].

    Of n places none can be more than √(n − 1) above: where there are 1 + k² and fewer, 5 by default, the map is zero
    everywhere, and its status says so. A smaller k helps.
    """
    mean, rare = _mean_and_rare(a, k)
    return over_channels(mean * rare)


@method_without_gradient("fem", source=FEM, like="pytorch-grad-cam")
def fem_as_weights(a: Value, *, k: NotNegative = 2.0) -> Value:
    """Channels weighted by the share of their places that stand k standard deviations above their mean: Σc ⟨[…]⟩ a."""
    _, rare = _mean_and_rare(a, k)
    return weighted(a, a.tape.ReduceMean(rare, space(a), keepdims=1))


def _mean_and_rare(a: Value, k: float) -> tuple[Value, Value]:
    """Of each channel its mean, (N, C, 1, 1), and 1 where it is k standard deviations above that, (N, C, h, w)."""
    op = a.tape
    mean = op.ReduceMean(a, space(a), keepdims=1)
    deviation = op.Sqrt(op.ReduceMean((a - mean) * (a - mean), space(a), keepdims=1))
    return mean, op.Cast(a > mean + k * deviation, to=1)


@method_without_gradient("randomcam", source="a baseline of pytorch-grad-cam: what any method must beat")
def randomcam(a: Value, *, seed: Seed = 0) -> Value:
    """Channels weighted by chance, between -1 and 1: the same weights for every picture and class."""
    channels = (a.shape or (None, None))[1]
    if not isinstance(channels, int):
        raise UnknownChannels("randomcam", a.name)
    w = np.random.default_rng(seed).uniform(-1, 1, (1, channels, 1, 1)).astype(np.float32)
    return weighted(a, a.tape.constant(w))
