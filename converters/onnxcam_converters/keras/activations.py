"""Keras's activation functions, of every era, as nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnxcam_converters.keras.arrays import array_of
from onnxcam_converters.keras.elementwise import ELEMENTWISE
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.tensor import Tensor

# Along an axis.
ALONG_AXIS: dict[str, Callable[..., Tensor]] = {}


def activate(layer: Layer, x: Tensor, spec: Any) -> Tensor:
    """The activation applied.

    Args:
        layer: whose it is, for its era and its name.
        x: what it is applied to.
        spec: as the file has it: a name, a serialized function or activation layer of any era, None for none.

    Raises:
        UnsupportedLayer: if the function is not one of Keras's own.
    """
    name, parameters = _named(layer, spec)
    return apply(layer, x, name, **parameters)


def apply(layer: Layer, x: Tensor, name: str, **parameters: Any) -> Tensor:
    """The function of that name applied, with parameters as Keras calls them."""
    if name in ALONG_AXIS:
        return ALONG_AXIS[name](layer, x, **parameters)
    if name not in ELEMENTWISE:
        raise layer.refuse(f"the activation {name!r} is not one of Keras's own")
    return x.like(ELEMENTWISE[name](layer, x.value, **parameters))


def _named(layer: Layer, spec: Any) -> tuple[str, dict[str, Any]]:
    if spec is None:
        return "linear", {}
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping):
        raise layer.refuse(f"the activation {spec!r} is not understood")
    kind, config = str(spec.get("class_name")), spec.get("config")
    if isinstance(config, str) and kind == "function":
        return config, {}
    if isinstance(config, Mapping) and kind in LAYERS:
        return _of_layer(layer, kind, config)
    raise layer.refuse(f"the activation {kind!r} is not one of Keras's own")


# Activation layers that may stand where a function is asked for, with their options and what the function calls them.
LAYERS: dict[str, tuple[str, dict[str, str]]] = {
    "ReLU": ("relu", {"max_value": "max_value", "negative_slope": "negative_slope", "threshold": "threshold"}),
    "LeakyReLU": ("leaky_relu", {"alpha": "negative_slope", "negative_slope": "negative_slope"}),
    "ELU": ("elu", {"alpha": "alpha"}),
    "ThresholdedReLU": ("thresholded_relu", {"theta": "theta"}),
    "Softmax": ("softmax", {"axis": "axis"}),
}


def _of_layer(layer: Layer, kind: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name, options = LAYERS[kind]
    unread = sorted(config.keys() - options.keys() - {"name", "trainable", "dtype"})
    if unread:
        raise layer.refuse(f"the option {unread[0]}={config[unread[0]]!r} of its activation {kind} is not understood")
    given = {options[key]: number(value) for key, value in config.items() if key in options}
    return name, {"negative_slope": 0.3, **given} if kind == "LeakyReLU" else given


def number(value: Any) -> Any:
    """The option as a plain number: some eras wrote arrays, {"type": "ndarray", "value": …}."""
    return value if (found := array_of(value)) is None or found.size != 1 else found.item()


def softmax(layer: Layer, x: Tensor, *, axis: int | list[int] | tuple[int, ...] = -1) -> Tensor:
    """Along one axis, or over several at once."""
    axes = [axis] if isinstance(axis, int) else list(axis)
    if len(axes) == 1:
        return x.like(x.tape.Softmax(x.value, axis=_within(layer, x, axes[0])))
    op, places = x.tape, x.tape.ints(*(_within(layer, x, axis) for axis in axes))
    powers = op.Exp(x.value - op.ReduceMax(x.value, places))
    return x.like(powers / op.ReduceSum(powers, places))


def log_softmax(layer: Layer, x: Tensor, *, axis: int = -1) -> Tensor:
    """Along one axis."""
    return x.like(x.tape.LogSoftmax(x.value, axis=_within(layer, x, axis)))


def glu(layer: Layer, x: Tensor, *, axis: int = -1) -> Tensor:
    """a · sigmoid(b) with a and b the halves along the axis."""
    place, size = _within(layer, x, axis), x.shape[axis]
    if not isinstance(size, int) or size % 2:
        raise layer.refuse(f"the activation 'glu' halves an axis of {size}")
    op, half = x.tape, size // 2
    a = op.Slice(x.value, op.ints(0), op.ints(half), op.ints(place))
    b = op.Slice(x.value, op.ints(half), op.ints(size), op.ints(place))
    shape = list(x.shape)
    shape[axis] = half
    return x.like(a * op.Sigmoid(b), tuple(shape))


ALONG_AXIS.update(softmax=softmax, log_softmax=log_softmax, glu=glu)


def _within(layer: Layer, x: Tensor, axis: int) -> int:
    if not -x.rank <= axis < x.rank:
        raise layer.refuse(f"axis {axis} of its activation is none of the {x.rank} axes")
    return x.axis(axis)
