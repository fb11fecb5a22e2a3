"""Rows for convolutions, plain and transposed."""

from conformance import Row

X, W = (2, 2, 6, 5), (3, 2, 3, 3)

# The reference evaluator knows no ConvTranspose with groups, and none with output_shape:
# test_convolution.py compares those with ONNX Runtime's own Jacobian and with torch.
ROWS = [
    Row("Conv", "y = Conv(x, w)", x=X, w=W),
    Row("Conv, bias", "y = Conv(x, w, b)", x=X, w=W, b=(3,)),
    Row("Conv, 1-D", "y = Conv<pads=[1, 1], strides=[2]>(x, w)", x=(2, 3, 7), w=(2, 3, 3)),
    Row("Conv, 3-D", "y = Conv<pads=[1,0,1,1,0,1], strides=[2,1,1]>(x, w)", x=(1, 2, 4, 3, 3), w=(2, 2, 3, 2, 2)),
    Row("Conv, kernel given", "y = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)", x=X, w=W),
    Row("Conv, 1×1", "y = Conv<kernel_shape=[1,1]>(x, w)", x=X, w=(3, 2, 1, 1)),
    Row("Conv, 1×1, stride 2", "y = Conv<kernel_shape=[1,1], strides=[2,2]>(x, w)", x=X, w=(3, 2, 1, 1)),
    Row("Conv, uneven stride", "y = Conv<pads=[1,1,1,1], strides=[2,3]>(x, w)", x=X, w=W),
    Row("Conv, uneven pads", "y = Conv<kernel_shape=[3,3], pads=[0,1,2,1]>(x, w)", x=X, w=W),
    Row("Conv, uneven pads, stride 2", "y = Conv<pads=[0,0,1,1], strides=[2,2]>(x, w)", x=(1, 2, 6, 6), w=W),
    Row("Conv, more before than behind", "y = Conv<pads=[2,1,0,0], strides=[2,2]>(x, w)", x=X, w=W),
    Row("Conv, pads wider than the kernel", "y = Conv<kernel_shape=[2,1], pads=[2,1,3,1]>(x, w)", x=X, w=(3, 2, 2, 1)),
    Row("Conv, stride wider than the kernel", "y = Conv<strides=[3,2]>(x, w)", x=(1, 2, 8, 6), w=(3, 2, 2, 1)),
    Row("Conv, dilated", "y = Conv<kernel_shape=[3,2], dilations=[2,3], pads=[2,1,2,1]>(x, w)", x=X, w=(3, 2, 3, 2)),
    Row("Conv, dilated, stride 2", "y = Conv<dilations=[2,2], pads=[2,2,2,2], strides=[2,2]>(x, w)", x=X, w=W),
    Row("Conv, SAME_UPPER", 'y = Conv<kernel_shape=[3,2], auto_pad="SAME_UPPER">(x, w)', x=X, w=(3, 2, 3, 2)),
    Row("Conv, SAME_LOWER", 'y = Conv<kernel_shape=[3,2], auto_pad="SAME_LOWER">(x, w)', x=X, w=(3, 2, 3, 2)),
    Row("Conv, SAME_UPPER, stride 2", 'y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', x=X, w=W),
    Row("Conv, SAME_LOWER, stride 2", 'y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w)', x=X, w=W),
    Row(
        "Conv, SAME, stride wider than kernel",
        'y = Conv<auto_pad="SAME_UPPER", strides=[3,2]>(x, w)',
        x=X,
        w=(3, 2, 1, 1),
    ),
    Row("Conv, VALID", 'y = Conv<auto_pad="VALID", strides=[2,1]>(x, w)', x=X, w=W),
    Row("Conv, groups", "y = Conv<kernel_shape=[3,3], group=2, pads=[1,1,1,1]>(x, w)", x=(2, 4, 4, 3), w=(6, 2, 3, 3)),
    Row(
        "Conv, depthwise", "y = Conv<kernel_shape=[3,3], group=3, pads=[1,1,1,1]>(x, w)", x=(2, 3, 4, 3), w=(3, 1, 3, 3)
    ),
    Row(
        "Conv, depthwise, stride 2, 5×5",
        "y = Conv<group=2, pads=[2,2,2,2], strides=[2,2]>(x, w)",
        x=(2, 2, 6, 7),
        w=(2, 1, 5, 5),
    ),
    Row(
        "Conv, depthwise, stride 2, padded behind",
        "y = Conv<group=2, pads=[0,0,1,1], strides=[2,2]>(x, w)",
        x=(2, 2, 6, 4),
        w=(2, 1, 3, 3),
    ),
    Row(
        "Conv, depthwise, stride 2, SAME",
        'y = Conv<group=2, auto_pad="SAME_UPPER", strides=[2,2]>(x, w)',
        x=(2, 2, 6, 5),
        w=(2, 1, 3, 3),
    ),
    Row(
        "Conv, depthwise, stride 3, dilated, one column left over",
        "y = Conv<group=2, pads=[1,0,1,2], strides=[3,2], dilations=[1,2]>(x, w)",
        x=(1, 2, 9, 8),
        w=(2, 1, 3, 2),
    ),
    Row("Conv, depthwise, stride 2, 1×3", "y = Conv<group=2, strides=[2,2]>(x, w)", x=(1, 2, 5, 6), w=(2, 1, 1, 3)),
    Row("Conv, depthwise, stride 2, 1×1", "y = Conv<group=2, strides=[2,2]>(x, w)", x=(1, 2, 5, 6), w=(2, 1, 1, 1)),
    Row("Conv, depthwise, stride 2, one axis", "y = Conv<group=2, strides=[2]>(x, w)", x=(2, 2, 8), w=(2, 1, 3)),
    Row("Conv, depthwise, two each", "y = Conv<kernel_shape=[2,2], group=2>(x, w)", x=(2, 2, 4, 3), w=(4, 1, 2, 2)),
    Row(
        "Conv, depthwise, stride 2",
        "y = Conv<group=3, pads=[1,1,1,1], strides=[2,2]>(x, w)",
        x=(2, 3, 5, 4),
        w=(3, 1, 3, 3),
    ),
    Row("ConvTranspose", "y = ConvTranspose(x, w, b)", x=(2, 2, 4, 3), w=(2, 3, 3, 2), b=(3,)),
    Row(
        "ConvTranspose, stride 2",
        "y = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(x, w)",
        x=(2, 2, 4, 3),
        w=(2, 3, 3, 3),
    ),
    Row(
        "ConvTranspose, output padding",
        "y = ConvTranspose<strides=[2,3], output_padding=[1,2]>(x, w)",
        x=(1, 2, 3, 3),
        w=(2, 2, 3, 2),
    ),
    Row(
        "ConvTranspose, uneven pads",
        "y = ConvTranspose<strides=[2,2], pads=[0,1,1,0]>(x, w)",
        x=(1, 2, 3, 3),
        w=(2, 2, 3, 3),
    ),
    Row(
        "ConvTranspose, dilated",
        "y = ConvTranspose<dilations=[2,2], strides=[2,1]>(x, w)",
        x=(1, 2, 3, 3),
        w=(2, 2, 3, 2),
    ),
    Row("ConvTranspose, 1-D", "y = ConvTranspose<strides=[2]>(x, w)", x=(2, 2, 4), w=(2, 3, 3)),
    Row("ConvTranspose, 3-D", "y = ConvTranspose<strides=[2,1,1]>(x, w)", x=(1, 2, 2, 3, 2), w=(2, 2, 2, 2, 2)),
    Row(
        "ConvTranspose, SAME_UPPER",
        'y = ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">(x, w)',
        x=(1, 2, 4, 3),
        w=(2, 2, 3, 3),
    ),
    Row(
        "ConvTranspose, SAME_LOWER",
        'y = ConvTranspose<strides=[2,2], auto_pad="SAME_LOWER">(x, w)',
        x=(1, 2, 4, 3),
        w=(2, 2, 3, 3),
    ),
]
