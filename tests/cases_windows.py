"""Rows for pools by a norm, for unpooling, and for columns put together to an image."""

import numpy as np
from conformance import Fixed, Row, spread


def ints(*numbers: int) -> Fixed:
    return Fixed(np.array(numbers, np.int64))


P = spread(2, 2, 6, 5)
POOLED = "p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x); q = Mul(p, p);"
OVERLAPPING = "p, i = MaxPool<kernel_shape=[2,2], strides=[1,1]>(x); q = Mul(p, p);"

# One channel: of more, ONNX's reference counts MaxPool's indices from the start of each, not of all.
ROWS = [
    Row("LpPool, side by side", "y = LpPool<kernel_shape=[2,2], strides=[2,2]>(x)", x=spread(2, 2, 6, 4)),
    Row("LpPool, stride 1", "y = LpPool<kernel_shape=[3,2]>(x)", x=P),
    Row("LpPool, sums of magnitudes", "y = LpPool<kernel_shape=[3,2], strides=[2,1], p=1>(x)", x=P),
    Row("LpPool, cubes of negative numbers", "y = LpPool<kernel_shape=[3,2], strides=[2,1], p=3>(x)", x=P),
    Row("LpPool, uneven pads", "y = LpPool<kernel_shape=[3,2], strides=[2,1], pads=[0,1,2,0]>(x)", x=P),
    Row("LpPool, dilated", "y = LpPool<kernel_shape=[2,2], dilations=[2,3]>(x)", x=P),
    Row("LpPool, dilated, stride 2",
        "y = LpPool<kernel_shape=[2,2], dilations=[2,2], strides=[2,2], pads=[1,1,1,1]>(x)", x=P),
    Row("LpPool, ceil", "y = LpPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)", x=spread(1, 2, 6, 8)),
    Row("LpPool, ceil, side by side", "y = LpPool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)",
        x=spread(1, 2, 5, 6)),
    Row("LpPool, SAME_UPPER", 'y = LpPool<kernel_shape=[3,2], strides=[2,2], auto_pad="SAME_UPPER">(x)', x=P),
    Row("LpPool, SAME_LOWER", 'y = LpPool<kernel_shape=[2,3], strides=[2,2], auto_pad="SAME_LOWER">(x)', x=P),
    Row("LpPool, 1-D", "y = LpPool<kernel_shape=[3], strides=[2], pads=[1,1]>(x)", x=spread(2, 2, 7)),
    Row("LpPool, 3-D", "y = LpPool<kernel_shape=[2,2,2], strides=[2,1,1]>(x)", x=spread(1, 2, 4, 3, 3)),
    Row("GlobalLpPool", "y = GlobalLpPool(x)", x=P),
    Row("GlobalLpPool, sums of magnitudes", "y = GlobalLpPool<p=1>(x)", x=P),
    Row("GlobalLpPool, cubes", "y = GlobalLpPool<p=3>(x)", x=spread(1, 2, 5)),
    Row("MaxUnpool of what was pooled", POOLED + "y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(q, i)",
        x=spread(1, 1, 6, 4)),
    Row("MaxUnpool, indices given", "y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(x, i)", x=(1, 2, 1, 2),
        i=Fixed(np.array([1, 6, 8, 15]).reshape(1, 2, 1, 2))),
    Row("MaxUnpool, one put over another", "y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(x, i)", x=(1, 1, 1, 3),
        i=Fixed(np.array([4, 9, 4]).reshape(1, 1, 1, 3))),
    Row("MaxUnpool of windows that overlap", OVERLAPPING + "y = MaxUnpool<kernel_shape=[2,2], strides=[1,1]>(q, i)",
        x=spread(1, 1, 4, 3)),
    Row("MaxUnpool to a larger shape", "y = MaxUnpool<kernel_shape=[2], strides=[2]>(x, i, s)", x=(2, 2, 2),
        i=Fixed(np.array([1, 2, 5, 7, 8, 11, 12, 15]).reshape(2, 2, 2)), s=ints(2, 2, 5)),
    Row("Col2Im, side by side", "y = Col2Im(x, s, b)", x=(2, 12, 1), s=ints(2, 3), b=ints(2, 3)),
    Row("Col2Im, overlapping", "y = Col2Im(x, s, b)", x=(2, 8, 6), s=ints(3, 4), b=ints(2, 2)),
    Row("Col2Im, strides", "y = Col2Im<strides=[2,1]>(x, s, b)", x=(1, 8, 6), s=ints(4, 4), b=ints(2, 2)),
    Row("Col2Im, uneven pads", "y = Col2Im<pads=[1,0,0,2]>(x, s, b)", x=(1, 4, 15), s=ints(3, 4), b=ints(2, 2)),
    Row("Col2Im, dilated", "y = Col2Im<dilations=[2,1]>(x, s, b)", x=(1, 4, 6), s=ints(4, 4), b=ints(2, 2)),
    Row("Col2Im, all at once", "y = Col2Im<pads=[1,1,0,1], strides=[2,2], dilations=[2,1]>(x, s, b)", x=(2, 8, 4),
        s=ints(5, 3), b=ints(2, 2)),
    Row("Col2Im, 1-D", "y = Col2Im(x, s, b)", x=(2, 6, 4), s=ints(6), b=ints(3)),
    Row("Col2Im, 3-D", "y = Col2Im(x, s, b)", x=(1, 8, 4), s=ints(2, 3, 3), b=ints(2, 2, 2)),
    Row("Col2Im, size computed", "s = Shape(k); y = Col2Im(x, s, b)", x=(2, 8, 6), k=Fixed(np.zeros((3, 4))),
        b=ints(2, 2)),
]  # fmt: skip
