"""Methods that weigh channels by a number of their own, or by chance: the score has no say in them."""

from __future__ import annotations

import numpy as np

from onnxcam.errors import UnknownChannels
from onnxcam.graph import Value
from onnxcam.methods.gradient import weighted
from onnxcam.methods.table import method_without_gradient
from onnxcam.places import space


@method_without_gradient("fem", source="Fuad et al. 2020, doi:10.1109/IPTA50016.2020.9286629")
def fem(a: Value, *, k: float = 2.0) -> Value:
    """Channels weighted by how many of their places are k standard deviations above the channel's mean.

    Of n places none can be more than √(n − 1) above: where there are 1 + k² and fewer, 5 by default, the map is zero
    everywhere, and its status says so; pytorch-grad-cam's is too. A smaller k helps.
    """
    op = a.tape
    mean = op.ReduceMean(a, space(a), keepdims=1)
    deviation = op.Sqrt(op.ReduceMean((a - mean) * (a - mean), space(a), keepdims=1))
    rare = op.Cast(a > mean + k * deviation, to=1)
    return weighted(a, op.ReduceMean(rare, space(a), keepdims=1))


@method_without_gradient("randomcam", source="a baseline of pytorch-grad-cam: what any method must beat")
def randomcam(a: Value, *, seed: int = 0) -> Value:
    """Channels weighted by chance, between -1 and 1: the same weights for every picture and class."""
    channels = (a.shape or (None, None))[1]
    if not isinstance(channels, int):
        raise UnknownChannels("randomcam", a.name)
    w = np.random.default_rng(seed).uniform(-1, 1, (1, channels, 1, 1)).astype(np.float32)
    return weighted(a, a.tape.constant(w))
