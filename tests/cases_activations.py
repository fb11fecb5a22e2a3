"""Rows for activations and softmaxes."""

import numpy as np
from conformance import Fixed, Row, positive, spread

FLOAT32_ONLY = "ONNX defines it for float32 only, and ONNX Runtime then refuses the model as invalid"
ROUNDS = "ONNX Runtime takes float64 but computes in float32"

ROWS = [
    Row("Relu", "y = Relu(x)", x=spread(2, 5)),
    Row("LeakyRelu, default", "y = LeakyRelu(x)", x=spread(2, 5)),
    Row("LeakyRelu, alpha", "y = LeakyRelu<alpha=0.3>(x)", x=spread(2, 5)),
    Row("LeakyRelu, alpha of 0", "y = LeakyRelu<alpha=0.0>(x)", x=spread(2, 5)),
    Row("LeakyRelu, falling below zero", "y = LeakyRelu<alpha=-0.3>(x)", x=spread(2, 5)),
    Row("PRelu, one slope", "y = PRelu(x, s)", x=spread(2, 3, 2, 2), s=np.array([0.2])),
    Row("PRelu, a slope for each channel", "y = PRelu(x, s)", x=spread(2, 3, 2, 2), s=spread(3, 1, 1)),
    Row("Elu", "y = Elu(x)", x=spread(2, 5)),
    Row("Elu, alpha", "y = Elu<alpha=0.7>(x)", x=spread(2, 5)),
    Row("Elu, falling below zero", "y = Elu<alpha=-0.7>(x)", x=spread(2, 5)),
    Row("Selu", "y = Selu(x)", x=spread(2, 5)),
    Row("Selu, alpha and gamma", "y = Selu<alpha=0.7, gamma=1.5>(x)", x=spread(2, 5)),
    Row("Selu, falling below zero", "y = Selu<alpha=-0.7>(x)", x=spread(2, 5)),
    Row("Celu", "y = Celu(x)", x=spread(2, 5), skip_onnxruntime=FLOAT32_ONLY),
    Row("Celu, alpha", "y = Celu<alpha=0.6>(x)", x=spread(2, 5), skip_onnxruntime=FLOAT32_ONLY),
    Row("ThresholdedRelu", "y = ThresholdedRelu(x)", x=3 * spread(2, 5)),
    Row("ThresholdedRelu, alpha", "y = ThresholdedRelu<alpha=0.3>(x)", x=spread(2, 5)),
    Row("ThresholdedRelu, alpha below zero", "y = ThresholdedRelu<alpha=-0.2>(x)", x=spread(2, 5)),
    Row("Clip", "y = Clip(x, l, h)", x=spread(2, 5), l=Fixed(np.float64(-0.2)), h=Fixed(np.float64(0.3))),
    Row("Clip, by its bounds too", "y = Clip(x, l, h)", x=spread(2, 5), l=np.array(-0.2), h=np.array(0.3)),
    Row("Clip, bounds crossed", "y = Clip(x, l, h)", x=spread(2, 5), l=np.array(0.3), h=np.array(-0.2)),
    Row("Clip, lower bound only", "y = Clip(x, l)", x=spread(2, 5), l=np.array(-0.2)),
    Row("Clip, upper bound only", "y = Clip(x, , h)", x=spread(2, 5), h=np.array(0.3)),
    Row("Clip, no bounds", "y = Clip(x)", x=spread(2, 5)),
    Row("Sigmoid", "y = Sigmoid(x)", x=(2, 3)),
    Row("HardSigmoid", "y = HardSigmoid(x)", x=7 * spread(2, 5)),
    Row("HardSigmoid, alpha and beta", "y = HardSigmoid<alpha=1.5, beta=0.4>(x)", x=spread(2, 5)),
    Row("HardSwish", "y = HardSwish(x)", x=10 * spread(2, 5)),
    Row("Softplus", "y = Softplus(x)", x=(2, 3)),
    Row("Softsign", "y = Softsign(x)", x=spread(2, 3)),
    Row("Mish", "y = Mish(x)", x=(2, 3)),
    Row("Shrink", "y = Shrink(x)", x=3 * spread(2, 5), skip_onnxruntime=ROUNDS),
    Row("Shrink, bias and lambda", "y = Shrink<bias=0.2, lambd=0.3>(x)", x=spread(2, 5), skip_onnxruntime=ROUNDS),
    Row(
        "Gelu in pieces",
        "a = Div(x, r); b = Erf(a); c = Add(b, o); d = Mul(x, c); y = Mul(d, h)",
        x=(2, 3),
        r=Fixed(np.sqrt(2.0)),
        o=Fixed(np.float64(1.0)),
        h=Fixed(np.float64(0.5)),
    ),
    Row("Swish", "s = Sigmoid(x); y = Mul(x, s)", x=(2, 3)),
    Row("Softmax", "y = Softmax(x)", x=(2, 3)),
    Row("Softmax, axis 1 of 4", "y = Softmax<axis=1>(x)", x=(2, 3, 2, 2)),
    Row("Softmax, axis 0", "y = Softmax<axis=0>(x)", x=(3, 2)),
    Row("LogSoftmax", "y = LogSoftmax(x)", x=(2, 3)),
    Row("LogSoftmax, axis 1 of 3", "y = LogSoftmax<axis=1>(x)", x=(2, 3, 2)),
    Row("Hardmax is a step", "h = Hardmax(x); y = Mul(h, x)", x=positive(2, 3)),
]
