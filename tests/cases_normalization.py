"""Rows for normalisations."""

import numpy as np
from conformance import Fixed, Row, positive, spread

PARAMETERS = {"s": positive(3), "b": (3,), "m": (3,), "v": positive(3, seed=1)}
FLOAT32_BODY = "ONNX Runtime expands it into nodes with float32 constants"
FLOAT32_STATISTICS = "ONNX Runtime gives mean and 1/σ as float32"

ROWS = [
    Row("BatchNormalization", "y = BatchNormalization(x, s, b, m, v)", x=(2, 3, 2, 2), **PARAMETERS),
    Row("BatchNormalization, epsilon", "y = BatchNormalization<epsilon=0.3>(x, s, b, m, v)", x=(2, 3, 2), **PARAMETERS),
    Row("BatchNormalization of a matrix", "y = BatchNormalization(x, s, b, m, v)", x=(2, 3), **PARAMETERS),
    Row("BatchNormalization in 3-D", "y = BatchNormalization(x, s, b, m, v)", x=(2, 3, 1, 2, 2), **PARAMETERS),
    Row("LayerNormalization", "y = LayerNormalization(x, s, b)", x=(2, 3, 4), s=(4,), b=(4,)),
    Row("LayerNormalization, no bias", "y = LayerNormalization(x, s)", x=(2, 4), s=(4,)),
    Row("LayerNormalization, two axes", "y = LayerNormalization<axis=1>(x, s, b)", x=(2, 3, 4), s=(3, 4), b=(3, 4)),
    Row("LayerNormalization, axis −2", "y = LayerNormalization<axis=-2>(x, s, b)", x=(2, 3, 4), s=(3, 4), b=(3, 4)),
    Row("LayerNormalization, epsilon", "y = LayerNormalization<epsilon=0.3>(x, s, b)", x=(2, 3, 4), s=(4,), b=(4,)),
    Row("LayerNormalization, all outputs", "y, m, v = LayerNormalization(x, s, b)", x=(2, 3, 4), s=(4,), b=(4,)),
    Row(
        "LayerNormalization, of all outputs",
        "y, m, v = LayerNormalization<axis=1>(x, s)",
        x=(2, 3, 4),
        s=(3, 4),
        outputs=("y", "m", "v"),
        skip_onnxruntime=FLOAT32_STATISTICS,
    ),
    Row(
        "LayerNormalization, of the mean",
        "y, m, v = LayerNormalization(x, s)",
        x=(2, 3, 4),
        s=Fixed(np.ones(4)),
        outputs=("m",),
        skip_onnxruntime=FLOAT32_STATISTICS,
    ),
    Row("InstanceNormalization", "y = InstanceNormalization(x, s, b)", x=(2, 3, 2, 3), s=(3,), b=(3,)),
    Row(
        "InstanceNormalization, epsilon", "y = InstanceNormalization<epsilon=0.3>(x, s, b)", x=(2, 3, 4), s=(3,), b=(3,)
    ),
    Row("GroupNormalization", "y = GroupNormalization<num_groups=2>(x, s, b)", x=(2, 4, 2, 3), s=(2,), b=(2,)),
    Row(
        "GroupNormalization, epsilon",
        "y = GroupNormalization<num_groups=2, epsilon=0.3>(x, s, b)",
        x=(2, 4, 3),
        s=(2,),
        b=(2,),
    ),
    Row(
        "GroupNormalization, a group for each channel",
        "y = GroupNormalization<num_groups=3>(x, s, b)",
        x=(2, 3, 2, 2),
        s=(3,),
        b=(3,),
    ),
    Row("MeanVarianceNormalization", "y = MeanVarianceNormalization(x)", x=(2, 3, 2, 2), skip_onnxruntime=FLOAT32_BODY),
    Row(
        "MeanVarianceNormalization, axes",
        "y = MeanVarianceNormalization<axes=[2, 3]>(x)",
        x=(2, 2, 2, 3),
        skip_onnxruntime=FLOAT32_BODY,
    ),
    Row(
        "MeanVarianceNormalization, an axis from behind",
        "y = MeanVarianceNormalization<axes=[-1]>(x)",
        x=(2, 3, 4),
        skip_onnxruntime=FLOAT32_BODY,
    ),
    Row("LpNormalization", "y = LpNormalization(x)", x=(2, 4)),
    Row("LpNormalization, axis 1", "y = LpNormalization<axis=1>(x)", x=(2, 4, 2)),
    Row("LpNormalization, p = 1", "y = LpNormalization<p=1>(x)", x=spread(2, 4)),
    Row("LpNormalization, p = 1, an axis from behind", "y = LpNormalization<axis=-2, p=1>(x)", x=spread(3, 4)),
    Row("LRN", "y = LRN<size=3>(x)", x=(2, 5, 2, 2)),
    Row("LRN, strong", "y = LRN<size=3, alpha=0.9, beta=0.6, bias=2.0>(x)", x=(2, 5, 2, 2)),
    Row("LRN, even window", "y = LRN<size=4, alpha=0.9>(x)", x=(2, 6, 1, 2)),
    Row("LRN, window wider than the channels", "y = LRN<size=7, alpha=0.9>(x)", x=(2, 3, 1, 2)),
    Row("LRN, window of one", "y = LRN<size=1, alpha=0.9>(x)", x=(2, 3, 1, 2)),
]
