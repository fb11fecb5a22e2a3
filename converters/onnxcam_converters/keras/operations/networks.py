"""Functions of neural networks: activations, products, norms, pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxcam_converters.keras.activations import apply
from onnxcam_converters.keras.frames import Frame, framed
from onnxcam_converters.keras.functions import function, inner, operand, tensor, whole, wholes
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import Operand, as_float
from onnxcam_converters.keras.resizing import resized, smartly_resized, widened
from onnxcam_converters.keras.sizes import dims_of
from onnxcam_converters.keras.tensor import Shape, Tensor

# Functions of the names that they have among Keras's activations.
PLAIN = {
    "relu": "ops.Relu tf.nn.relu tf.keras.activations.relu node.Relu",
    "relu6": "ops.Relu6 tf.nn.relu6 node.Relu6",
    "sigmoid": "ops.Sigmoid tf.math.sigmoid tf.nn.sigmoid node.Sigmoid",
    "tanh": "ops.Tanh tf.math.tanh tf.nn.tanh node.Tanh",
    "softplus": "ops.Softplus tf.math.softplus tf.nn.softplus node.Softplus",
    "softsign": "ops.Softsign tf.nn.softsign node.Softsign",
    "silu": "ops.Silu tf.nn.silu tf.nn.swish",
    "selu": "ops.Selu tf.nn.selu node.Selu",
    "hard_silu": "ops.HardSilu ops.HardSwish",
    "hard_sigmoid": "ops.HardSigmoid",
    "hard_tanh": "ops.HardTanh",
    "tanh_shrink": "ops.TanhShrink",
    "sparse_plus": "ops.SparsePlus",
    "sparse_sigmoid": "ops.SparseSigmoid",
    "log_sigmoid": "ops.LogSigmoid tf.math.log_sigmoid",
    "mish": "ops.Mish",
}
ALONG = {
    "softmax": "ops.Softmax tf.nn.softmax node.Softmax",
    "log_softmax": "ops.LogSoftmax tf.nn.log_softmax node.LogSoftmax",
    "glu": "ops.Glu",
}


def _enter_plain(name: str, names: str) -> None:
    @function(names, features="x", input="x")
    def activation(layer: Layer, x: Any) -> Tensor:
        return apply(layer, as_float(tensor(layer, x)), name)


def _enter_along(name: str, names: str) -> None:
    @function(names, logits="x", input="x")
    def activation(layer: Layer, x: Any, axis: Any = -1) -> Tensor:
        if axis is None:
            raise layer.refuse("it runs over all axes at once")
        return apply(layer, as_float(tensor(layer, x)), name, axis=whole(layer, axis))


for _name, _names in PLAIN.items():
    _enter_plain(_name, _names)
for _name, _names in ALONG.items():
    _enter_along(_name, _names)


@function("ops.LeakyRelu tf.nn.leaky_relu node.LeakyRelu", features="x", alpha="negative_slope")
def leaky_relu(layer: Layer, x: Any, negative_slope: float = 0.2) -> Tensor:
    """A slope below zero."""
    return apply(layer, tensor(layer, x), "leaky_relu", negative_slope=negative_slope)


@function("ops.Elu tf.nn.elu node.Elu", features="x")
def elu(layer: Layer, x: Any, alpha: float = 1.0) -> Tensor:
    """Exponential below zero."""
    return apply(layer, tensor(layer, x), "elu", alpha=alpha)


@function("ops.Celu")
def celu(layer: Layer, x: Any, alpha: float = 1.0) -> Tensor:
    """Exponential below zero, smooth at it."""
    return apply(layer, tensor(layer, x), "celu", alpha=alpha)


@function("ops.Gelu", features="x")
def gelu(layer: Layer, x: Any, approximate: bool = True) -> Tensor:
    """By a tanh unless it is said otherwise."""
    return apply(layer, tensor(layer, x), "gelu", approximate=approximate)


@function("tf.nn.gelu", features="x")
def exact_gelu(layer: Layer, x: Any, approximate: bool = False) -> Tensor:
    """Exact unless it is said otherwise."""
    return apply(layer, tensor(layer, x), "gelu", approximate=approximate)


@function("ops.HardShrink")
def hard_shrink(layer: Layer, x: Any, threshold: float = 0.5) -> Tensor:
    """Nothing near zero."""
    return apply(layer, tensor(layer, x), "hard_shrink", threshold=threshold)


@function("ops.SoftShrink")
def soft_shrink(layer: Layer, x: Any, threshold: float = 0.5) -> Tensor:
    """Nearer to zero."""
    return apply(layer, tensor(layer, x), "soft_shrink", threshold=threshold)


@function("ops.Squareplus")
def squareplus(layer: Layer, x: Any, b: float = 4) -> Tensor:
    """A root."""
    return apply(layer, tensor(layer, x), "squareplus", b=b)


@function("ops.Threshold")
def threshold(layer: Layer, x: Any, threshold: float, default_value: float) -> Tensor:
    """Something else up to the threshold."""
    return apply(layer, tensor(layer, x), "threshold", threshold=threshold, default_value=default_value)


@function("ops.Normalize")
def normalize(layer: Layer, x: Any, axis: Any = -1, order: Any = 2, epsilon: Any = None) -> Tensor:
    """Of length one along an axis, or over several."""
    if order != 2:
        raise layer.refuse(f"order={order!r} is not covered")
    return _unit(layer, x, axis, least=1e-7 if epsilon is None else float(epsilon))


@function("tf.math.l2_normalize tf.compat.v1.math.l2_normalize", dim="axis")
def l2_normalize(layer: Layer, x: Any, axis: Any, epsilon: float = 1e-12) -> Tensor:
    """Of length one along an axis, or over several."""
    return _unit(layer, x, axis, least=float(epsilon) ** 0.5)


def _unit(layer: Layer, x: Any, axis: Any, *, least: float) -> Tensor:
    given = as_float(tensor(layer, x))
    places = {inner(layer, given, place) for place in wholes(layer, axis)}
    length = given.tape.ReduceL2(given.value, given.tape.ints(*sorted(given.axis(p) for p in places)))
    return given.like(given.value / given.tape.Max(length, least))


@function(
    "ops.Matmul tf.linalg.matmul node.MatMul node.BatchMatMul node.BatchMatMulV2",
    a="x1", b="x2", x="x1", y="x2", adj_x="transpose_a", adj_y="transpose_b",
)  # fmt: skip
def matmul(layer: Layer, x1: Any, x2: Any, transpose_a: Any = False, transpose_b: Any = False) -> Tensor:
    """The product of matrices, for each picture by itself."""
    a, b = (_matrix(layer, x, is_turned=turned) for x, turned in ((x1, transpose_a), (x2, transpose_b)))
    if isinstance(a, Tensor) and a.rank < 2 or isinstance(b, Tensor) and b.rank < 2 or a.shape[-1] != b.shape[-2]:
        raise layer.refuse(f"matrices of shapes {a.shape} and {b.shape} are multiplied")
    rank = max(len(a.shape), len(b.shape))
    shapes = [(1,) * (rank - len(x.shape)) + tuple(x.shape[:-2]) for x in (a, b)]
    batch = tuple(n if m == 1 else m for m, n in zip(*(s[: rank - 2] for s in shapes), strict=True))
    values = [x.plain() if isinstance(x, Tensor) else layer.tape.constant(x.astype(np.float32)) for x in (a, b)]
    return Tensor(layer.tape.MatMul(*values), (*batch, a.shape[-2], b.shape[-1]))


def _matrix(layer: Layer, thing: Any, *, is_turned: bool) -> Operand:
    x = operand(layer, thing)
    if not isinstance(x, Tensor):
        if x.ndim < 2:
            raise layer.refuse(f"a matrix is multiplied by {x.ndim} axes")
        return np.swapaxes(x, -1, -2) if is_turned else x
    if not is_turned:
        return x
    order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return Tensor(x.tape.Transpose(x.plain(), perm=order), tuple(x.shape[i] for i in order))


@function("ops.Einsum tf.einsum", equation="subscripts")
def einsum(layer: Layer, *things: Any, subscripts: Any = None) -> Tensor:
    """Einstein's sum; the letters of what comes out must be given."""
    if subscripts is None and things:
        subscripts, *things = things  # type: ignore[assignment]
    equation = str(subscripts).replace(" ", "")
    left, arrow, right = equation.partition("->")
    given = [operand(layer, thing) for thing in things]
    terms = left.split(",")
    if not arrow or "." in equation or [len(t) for t in terms] != [len(x.shape) for x in given]:
        raise layer.refuse(f"einsum of {equation!r} and {len(given)} tensors is not covered")
    lengths = {letter: n for term, x in zip(terms, given, strict=True) for letter, n in zip(term, x.shape, strict=True)}
    shape: Shape = tuple(lengths[letter] for letter in right)
    values = [x.plain() if isinstance(x, Tensor) else layer.tape.constant(x.astype(np.float32)) for x in given]
    return Tensor(layer.tape.Einsum(*values, equation=equation), shape)


@function("tf.nn.depth_to_space node.DepthToSpace", input="x")
def depth_to_space(layer: Layer, x: Any, block_size: Any, data_format: Any = "NHWC") -> Tensor:
    """Channels laid out as pixels."""
    frame, block = _channels_last(layer, x, data_format), whole(layer, block_size)
    height, width, channels = frame.shape[1:]
    if not isinstance(channels, int):
        raise layer.refuse("the number of channels is open")
    value = frame.value.tape.DepthToSpace(frame.value, blocksize=block, mode="DCR")
    larger = [n * block if isinstance(n, int) else None for n in (height, width)]
    return Tensor(value, (frame.shape[0], *larger, channels // block**2), is_moved=True)


@function("tf.nn.space_to_depth node.SpaceToDepth", input="x")
def space_to_depth(layer: Layer, x: Any, block_size: Any, data_format: Any = "NHWC") -> Tensor:
    """Pixels laid out as channels."""
    frame, block = _channels_last(layer, x, data_format), whole(layer, block_size)
    height, width, channels = frame.shape[1:]
    if not isinstance(channels, int):
        raise layer.refuse("the number of channels is open")
    value = frame.value.tape.SpaceToDepth(frame.value, blocksize=block)
    smaller = [n // block if isinstance(n, int) else None for n in (height, width)]
    return Tensor(value, (frame.shape[0], *smaller, channels * block**2), is_moved=True)


def _channels_last(layer: Layer, x: Any, data_format: Any) -> Frame:
    if data_format not in (None, "NHWC", "channels_last"):
        raise layer.refuse(f"data_format={data_format!r} is not covered")
    return framed(layer, as_float(tensor(layer, x)), rank=4, is_first=False)


@function("ops.Resize", images="x")
def resize(
    layer: Layer,
    x: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: Any = None,
) -> Tensor:
    """Another size, as the layer Resizing does it."""
    height, width = wholes(layer, size)
    if data_format not in (None, "channels_last", "channels_first") or fill_mode != "constant":
        raise layer.refuse(f"data_format={data_format!r} or fill_mode={fill_mode!r} is not covered")
    frame = framed(layer, as_float(tensor(layer, x)), rank=4, is_first=data_format == "channels_first")
    if crop_to_aspect_ratio and not antialias:
        return smartly_resized(layer, frame, (height, width), interpolation=interpolation)
    if crop_to_aspect_ratio:
        raise layer.refuse("antialias together with crop_to_aspect_ratio is not covered")
    frame = widened(layer, frame, (height, width), fill_value) if pad_to_aspect_ratio else frame
    return resized(layer, frame, (height, width), interpolation=interpolation, antialias=antialias)


@function("tf.image.resize", images="x")
def resize_images(
    layer: Layer,
    x: Any,
    size: Any,
    method: Any = "bilinear",
    preserve_aspect_ratio: Any = False,
    antialias: Any = False,
) -> Tensor:
    """Another size, as TensorFlow 2 does it."""
    if preserve_aspect_ratio or not isinstance(method, str):
        raise layer.refuse(f"method={method!r}, preserve_aspect_ratio={preserve_aspect_ratio!r} is not covered")
    frame = framed(layer, as_float(tensor(layer, x)), rank=4, is_first=False)
    height, width = _size(layer, size)
    return resized(layer, frame, (height, width), interpolation=method.lower(), antialias=bool(antialias))


def _size(layer: Layer, size: Any) -> tuple[int, int]:
    """A size that may have been computed, if it is known all the same."""
    entries = list(size) if isinstance(size, list | tuple) else [size]
    dims = [dim for entry in entries for dim in _known(layer, entry)]
    if len(dims) != 2 or not all(isinstance(dim, int) for dim in dims):
        raise layer.refuse(f"a size of {dims} is not covered")
    return int(dims[0] or 0), int(dims[1] or 0)


def _known(layer: Layer, entry: Any) -> list[Any]:
    return dims_of(entry.value) or [] if isinstance(entry, Tensor) else wholes(layer, entry)
