"""Rows for pools. Ties have no difference to compare with: test_pooling.py has them."""

from conformance import Row, positive, spread

P = spread(2, 2, 6, 5)
L = spread(2, 2, 7)
V = spread(1, 2, 4, 5, 3)

ROWS = [
    Row("MaxPool, side by side", "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", x=spread(2, 2, 6, 4)),
    Row(
        "MaxPool, side by side, rest left over",
        "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)",
        x=spread(1, 2, 5, 7),
    ),
    Row("MaxPool, overlapping", "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", x=P),
    Row("MaxPool, stride 1", "y = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)", x=P),
    Row("MaxPool, stride wider than kernel", "y = MaxPool<kernel_shape=[1,2], strides=[2,3]>(x)", x=spread(1, 2, 6, 8)),
    Row("MaxPool, uneven pads", "y = MaxPool<kernel_shape=[3,3], strides=[2,1], pads=[0,1,1,2]>(x)", x=P),
    Row("MaxPool, uneven kernel and stride", "y = MaxPool<kernel_shape=[2,3], strides=[1,2]>(x)", x=P),
    Row("MaxPool, dilated", "y = MaxPool<kernel_shape=[2,2], dilations=[2,3], strides=[1,1]>(x)", x=P),
    Row(
        "MaxPool, dilated, stride 2",
        "y = MaxPool<kernel_shape=[2,3], dilations=[2,2], strides=[2,2], pads=[1,1,1,1]>(x)",
        x=P,
    ),
    Row("MaxPool, ceil", "y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)", x=spread(1, 2, 6, 8)),
    Row("MaxPool, ceil, padded", "y = MaxPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,1,0], ceil_mode=1>(x)", x=P),
    Row("MaxPool, SAME_UPPER", 'y = MaxPool<kernel_shape=[3,2], strides=[2,2], auto_pad="SAME_UPPER">(x)', x=P),
    Row("MaxPool, SAME_LOWER", 'y = MaxPool<kernel_shape=[2,3], strides=[2,2], auto_pad="SAME_LOWER">(x)', x=P),
    Row("MaxPool, VALID", 'y = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="VALID">(x)', x=P),
    Row("MaxPool, 1-D", "y = MaxPool<kernel_shape=[3], strides=[2], pads=[1,1]>(x)", x=L),
    Row("MaxPool, 3-D", "y = MaxPool<kernel_shape=[2,2,2], strides=[2,1,1], pads=[0,1,0,0,1,0]>(x)", x=V),
    # The reference evaluator has it right in two dimensions only: test_pooling.py has the others.
    Row("GlobalMaxPool", "y = GlobalMaxPool(x)", x=P),
    Row("AveragePool, side by side", "y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x)", x=(2, 2, 6, 4)),
    Row(
        "AveragePool, side by side, rest left over",
        "y = AveragePool<kernel_shape=[2,3], strides=[2,3]>(x)",
        x=(1, 2, 5, 8),
    ),
    Row("AveragePool, stride 1", "y = AveragePool<kernel_shape=[3,2]>(x)", x=(1, 2, 6, 5)),
    Row("AveragePool, stride 1, padded", "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)", x=(1, 2, 6, 5)),
    Row(
        "AveragePool, stride 1, uneven pads",
        "y = AveragePool<kernel_shape=[3,3], pads=[0,1,2,0], count_include_pad=1>(x)",
        x=(1, 2, 6, 5),
    ),
    Row(
        "AveragePool, overlapping",
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
        x=(2, 2, 6, 5),
    ),
    Row(
        "AveragePool, overlapping, padding counts",
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], count_include_pad=1>(x)",
        x=(2, 2, 6, 5),
    ),
    Row(
        "AveragePool, uneven pads",
        "y = AveragePool<kernel_shape=[3,2], strides=[2,2], pads=[0,0,1,1]>(x)",
        x=(1, 2, 6, 5),
    ),
    Row(
        "AveragePool, stride wider than kernel", "y = AveragePool<kernel_shape=[2,1], strides=[3,2]>(x)", x=(1, 2, 9, 6)
    ),
    Row("AveragePool, ceil", "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)", x=(1, 2, 6, 8)),
    Row(
        "AveragePool, ceil, side by side",
        "y = AveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)",
        x=(1, 2, 5, 6),
    ),
    Row(
        "AveragePool, ceil, padding counts",
        "y = AveragePool<kernel_shape=[3,2], strides=[2,2], pads=[1,1,1,0], ceil_mode=1, count_include_pad=1>(x)",
        x=(1, 2, 6, 5),
    ),
    Row(
        "AveragePool, SAME_UPPER",
        'y = AveragePool<kernel_shape=[3,2], strides=[2,2], auto_pad="SAME_UPPER">(x)',
        x=(1, 2, 6, 5),
    ),
    Row(
        "AveragePool, SAME_LOWER",
        'y = AveragePool<kernel_shape=[2,3], strides=[2,2], auto_pad="SAME_LOWER">(x)',
        x=(1, 2, 6, 5),
    ),
    Row(
        "AveragePool, SAME_UPPER, stride 1",
        'y = AveragePool<kernel_shape=[2,3], auto_pad="SAME_UPPER">(x)',
        x=(1, 2, 6, 5),
    ),
    Row(
        "AveragePool, VALID", 'y = AveragePool<kernel_shape=[3,3], strides=[2,2], auto_pad="VALID">(x)', x=(1, 2, 6, 5)
    ),
    Row("AveragePool, 1-D", "y = AveragePool<kernel_shape=[3], strides=[2], pads=[1,1]>(x)", x=(2, 2, 7)),
    Row("AveragePool, 3-D", "y = AveragePool<kernel_shape=[2,2,3], strides=[2,1,2]>(x)", x=(1, 2, 4, 3, 5)),
    Row("GlobalAveragePool", "y = GlobalAveragePool(x)", x=(2, 3, 4, 5)),
    Row("GlobalAveragePool, 3-D", "y = GlobalAveragePool(x)", x=(1, 2, 2, 3, 2)),
    Row("LpPool", "y = LpPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", x=spread(1, 2, 5, 5)),
    Row("LpPool, cubes", "y = LpPool<kernel_shape=[2,2], strides=[2,2], p=3>(x)", x=positive(1, 2, 4, 4)),
]
