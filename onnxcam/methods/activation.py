"""Methods that look at the activation alone: no gradient, the same map for every class."""

from __future__ import annotations

from onnxcam.graph import Value
from onnxcam.methods.table import method_without_gradient


@method_without_gradient("activation-mean", source="the mean of the feature map, as OpenVINO XAI's ActivationMap")
def activation_mean(a: Value) -> Value:
    """The mean over channels."""
    op = a.tape
    return op.ReduceMean(a, op.ints(1), keepdims=0)
