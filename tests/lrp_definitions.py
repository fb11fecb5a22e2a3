"""LRP as it is defined: explicit sums over the matrix that each linear layer is, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from backward_runs import Array, affine_map, model, normal

from onnxcam.autodiff.backward import relevance, uniform

STABILIZER = 0.05
IMAGE = (2, 4, 6, 5)
BATCH_NORM = {"s": normal(6, seed=1), "o": normal(6, seed=2), "m": normal(6, seed=3), "v": normal(6, seed=4) ** 2 + 0.5}


@dataclass(frozen=True)
class LinearMap:
    """Something linear as ONNX text, that tables read as one layer."""

    name: str
    text: str
    shape: tuple[int, ...] = IMAGE
    weights: dict[str, Array] = field(default_factory=dict)
    dtype: type = np.float64

    def __str__(self) -> str:
        return self.name

    def build(self, *, free: int = 1) -> tuple[onnx.ModelProto, Array]:
        x = normal(*self.shape, seed=9).astype(self.dtype)
        return model(self.text, x, free=free, **self.weights), x


def dense(name: str, text: str, *, w: tuple[int, ...] = (6, 4), shape: tuple[int, ...] = (3, 6), **more: Array):
    return LinearMap(name, text, shape, {"w": normal(*w, seed=5), **more})


def convolution(name: str, text: str, *, w: tuple[int, ...] = (6, 4, 3, 2), **more: Array) -> LinearMap:
    return LinearMap(name, text, IMAGE, {"w": normal(*w, seed=5), **more})


B4, B6 = normal(4, seed=6), normal(6, seed=6)
LAYERS = [
    dense("Gemm", "y = Gemm(x, w, b)", b=B4),
    dense("Gemm, no bias", "y = Gemm(x, w)"),
    dense("Gemm, transposed, with factors", "y = Gemm<transB=1, alpha=-0.5, beta=2.0>(x, w, b)", w=(4, 6), b=B4),
    dense("Gemm, factors, then scaled", "z = Gemm<alpha=-0.5, beta=2.0>(x, w, b); y = Mul(z, b)", b=B4),
    dense("MatMul, then a bias", "z = MatMul(x, w); y = Add(b, z)", b=B4),
    dense("MatMul, then divided and shifted", "z = MatMul(x, w); d = Div(z, b); y = Sub(d, b)", b=B4),
    dense("MatMul of rows of tokens, then a bias", "z = MatMul(x, w); y = Add(z, b)", shape=(2, 3, 6), b=B4),
    dense("MatMul, then a number", "z = MatMul(x, w); y = Add(z, b)", b=np.float64(0.7)),
    dense("MatMul by the left", "y = MatMul(w, x)", w=(5, 3), shape=(2, 3, 4)),
    convolution("Conv", "y = Conv(x, w, b)", b=B6),
    convolution("Conv, uneven pads and strides", "y = Conv<pads=[1,0,2,1], strides=[2,1]>(x, w, b)", b=B6),
    convolution("Conv, groups, dilated", "y = Conv<group=2, dilations=[2,1], pads=[1,1,1,1]>(x, w)", w=(6, 2, 3, 2)),
    convolution("Conv, depthwise", "y = Conv<group=4, pads=[1,0,1,0]>(x, w)", w=(4, 1, 3, 2)),
    convolution("Conv, SAME, strides", 'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w, b)', b=B6),
    convolution(
        "Conv, then normalised",
        "z = Conv<pads=[1,1,1,1]>(x, w, b); y = BatchNormalization(z, s, o, m, v)", b=B6, **BATCH_NORM,
    ),
    convolution(
        "Conv, no bias, then normalised, scaled and shifted",
        "c = Conv(x, w); n = BatchNormalization(c, s, o, m, v); f = Mul(n, b); y = Add(f, n1)",
        b=B6.reshape(6, 1, 1), n1=np.array([0.3]), **BATCH_NORM,
    ),
    convolution("ConvTranspose", "y = ConvTranspose<strides=[2,1]>(x, w, b)", w=(4, 6, 3, 2), b=B6),
    # In float32, in ONNX Runtime: the reference evaluator knows no ConvTranspose with groups.
    LinearMap(
        "ConvTranspose in groups, then normalised",
        "z = ConvTranspose<group=2, pads=[1,0,0,1]>(x, w, b); y = BatchNormalization(z, s, o, m, v)",
        weights={"w": normal(4, 3, 3, 2, seed=5), "b": B6, **BATCH_NORM}, dtype=np.float32,
    ),
]  # fmt: skip

LayerRuleOf = Callable[..., Array]


def stable(z: Array) -> Array:
    return np.where(z >= 0, z + STABILIZER, z - STABILIZER)


def parts(z: Array) -> tuple[Array, Array]:
    return np.maximum(z, 0), np.minimum(z, 0)


def messages(z: Array, bias: Array, start: Array) -> Array:
    """What each input gets of `start` (outputs,), by its share z (outputs, inputs) in the sum."""
    return (z * (start / stable(z.sum(1) + bias))[:, None]).sum(0)


def by_epsilon(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    return messages(w * x, b, start)


def by_epsilon_without_bias(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    return messages(w * x, 0 * b, start)


def by_alpha_beta(x: Array, w: Array, b: Array, *, start: Array, alpha: float = 2.0, beta: float = 1.0) -> Array:
    raising, lowering = parts(w * x)
    return alpha * messages(raising, parts(b)[0], start) - beta * messages(lowering, parts(b)[1], start)


def by_z_plus(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    return by_alpha_beta(x, w, b, start=start, alpha=1.0, beta=0.0)


def by_gamma(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    raising, lowering = parts(w * x)
    z = (w * x).sum(1) + b
    up = messages(w * x + 0.25 * raising, b + 0.25 * parts(b)[0], np.where(z > 0, start, 0))
    return up + messages(w * x + 0.25 * lowering, b + 0.25 * parts(b)[1], np.where(z < 0, start, 0))


def by_box(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    positive, negative = parts(w)
    return messages(w * x - positive * -3.0 - negative * 4.0, 0 * b, start)


def by_w_square(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    return messages(w**2, b**2, start)


def by_flat(x: Array, w: Array, b: Array, *, start: Array) -> Array:
    return messages((w != 0).astype(float), 0 * b, start)


DEFINITIONS = {
    "epsilon": (relevance.epsilon(STABILIZER), by_epsilon),
    "epsilon, no bias": (relevance.without_bias(relevance.epsilon(STABILIZER)), by_epsilon_without_bias),
    "z-plus": (relevance.z_plus(STABILIZER), by_z_plus),
    "alpha2beta1": (relevance.alpha_beta(2.0, 1.0, stabilizer=STABILIZER), by_alpha_beta),
    "gamma": (relevance.gamma(0.25, STABILIZER), by_gamma),
    "z-box": (relevance.z_box(-3.0, 4.0, stabilizer=STABILIZER), by_box),
    "w-square": (relevance.w_square(STABILIZER), by_w_square),
    "flat": (relevance.flat(STABILIZER), by_flat),
}


def table_of(rule: relevance.LayerRule):
    return uniform("own", "", "", rule=rule)


def expected(proto: onnx.ModelProto, x: Array, start: Array, definition: LayerRuleOf) -> Array:
    w, b = affine_map(proto, x)
    flat = [definition(one.ravel(), w, b, start=s.ravel()) for one, s in zip(x, start, strict=True)]
    return np.stack(flat).reshape(x.shape)
