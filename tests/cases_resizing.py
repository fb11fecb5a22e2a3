"""Rows for Resize."""

import numpy as np
from conformance import Fixed, Row


def scales(*numbers: float) -> Fixed:
    return Fixed(np.array(numbers, np.float32))


def sizes(*numbers: int) -> Fixed:
    return Fixed(np.array(numbers, np.int64))


def by_scales(name: str, attributes: str, s: Fixed, x: tuple[int, ...] = (1, 2, 3, 4)) -> Row:
    return Row(f"Resize, {name}", f"y = Resize<{attributes}>(x, , s)", x=x, s=s)


def by_sizes(name: str, attributes: str, n: Fixed, x: tuple[int, ...] = (1, 2, 3, 4)) -> Row:
    return Row(f"Resize, {name}", f"y = Resize<{attributes}>(x, , , n)", x=x, n=n)


TWICE, ODD, LESS = scales(1, 1, 2, 2), scales(1, 1, 1.7, 2.4), scales(1, 1, 0.7, 0.5)
NEAREST = 'mode="nearest", coordinate_transformation_mode="{}", nearest_mode="{}"'
LINEAR, CUBIC = (
    'mode="linear", coordinate_transformation_mode="{}"',
    'mode="cubic", coordinate_transformation_mode="{}"',
)
CROP = 'mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=5.0'

ROWS = [
    by_scales("nearest, whole number", NEAREST.format("asymmetric", "floor"), TWICE),
    by_scales(
        "nearest, whole numbers, centred", NEAREST.format("half_pixel", "round_prefer_floor"), scales(1, 1, 3, 2)
    ),
    by_scales("nearest, whole number, rounded", NEAREST.format("asymmetric", "round_prefer_floor"), TWICE),
    by_scales("nearest, three times, rounded", NEAREST.format("asymmetric", "round_prefer_floor"), scales(1, 1, 3, 3)),
    by_scales("nearest, whole number, ceil", NEAREST.format("asymmetric", "ceil"), TWICE),
    by_scales("nearest, whole number, corners", NEAREST.format("align_corners", "floor"), TWICE),
    by_scales("nearest, floor", NEAREST.format("asymmetric", "floor"), ODD),
    by_scales("nearest, ceil", NEAREST.format("half_pixel", "ceil"), ODD),
    by_scales("nearest, round_prefer_floor", NEAREST.format("half_pixel", "round_prefer_floor"), ODD),
    by_scales("nearest, round_prefer_ceil", NEAREST.format("pytorch_half_pixel", "round_prefer_ceil"), LESS),
    by_scales("nearest, 1-D", NEAREST.format("asymmetric", "floor"), scales(1, 1, 2), x=(1, 2, 4)),
    by_scales("nearest, 3-D", NEAREST.format("asymmetric", "floor"), scales(1, 1, 1.5, 1, 2), x=(1, 1, 2, 2, 3)),
    by_scales("nearest, channels too", NEAREST.format("asymmetric", "floor"), scales(1, 2, 1, 2)),
    by_sizes("nearest, to sizes", NEAREST.format("half_pixel", "floor"), sizes(1, 2, 5, 7)),
    by_sizes("nearest, to sizes, whole number", NEAREST.format("asymmetric", "floor"), sizes(1, 2, 6, 8)),
    by_scales("linear, half_pixel", LINEAR.format("half_pixel"), ODD),
    by_scales("linear, twice", LINEAR.format("half_pixel"), TWICE),
    by_scales("linear, asymmetric", LINEAR.format("asymmetric"), ODD),
    by_scales("linear, pytorch_half_pixel", LINEAR.format("pytorch_half_pixel"), scales(1, 1, 0.4, 2.4)),
    by_scales("linear, half_pixel_symmetric", LINEAR.format("half_pixel_symmetric"), ODD),
    by_scales("linear, align_corners", LINEAR.format("align_corners"), ODD),
    by_scales("linear, smaller", LINEAR.format("half_pixel"), LESS),
    by_scales("linear, smaller, antialias", LINEAR.format("half_pixel") + ", antialias=1", LESS, x=(1, 2, 6, 6)),
    by_sizes("linear, to sizes", LINEAR.format("half_pixel"), sizes(1, 2, 7, 5)),
    by_sizes("linear, to sizes of some axes", LINEAR.format("half_pixel") + ", axes=[2,3]", sizes(7, 5)),
    by_scales("linear, scales of one axis", LINEAR.format("half_pixel") + ", axes=[3]", scales(1.5)),
    by_scales("linear, channels last", LINEAR.format("half_pixel"), scales(1, 2, 1.5, 1), x=(1, 3, 4, 2)),
    by_scales("linear, 1-D", LINEAR.format("align_corners"), scales(1, 1, 2), x=(1, 2, 4)),
    by_scales("linear, 3-D", LINEAR.format("half_pixel"), scales(1, 1, 2, 1.5, 2), x=(1, 1, 2, 2, 3)),
    by_scales("linear, one pixel", LINEAR.format("half_pixel"), scales(1, 1, 3, 3), x=(1, 2, 1, 2)),
    by_scales("cubic, half_pixel", CUBIC.format("half_pixel"), ODD),
    by_scales("cubic, align_corners", CUBIC.format("align_corners"), TWICE),
    by_scales("cubic, other coefficient", CUBIC.format("asymmetric") + ", cubic_coeff_a=-0.5", ODD),
    by_scales("cubic, outside excluded", CUBIC.format("half_pixel") + ", exclude_outside=1", ODD),
    by_sizes("cubic, to sizes", CUBIC.format("half_pixel"), sizes(1, 2, 5, 6)),
    Row(
        "Resize, crop",
        f"y = Resize<{CROP}>(x, roi, , n)",
        x=(1, 2, 5, 4),
        roi=Fixed(np.array([0, 0, 0.2, 0.1, 1, 1, 0.7, 1.3], np.float64)),
        n=sizes(1, 2, 6, 5),
    ),
    Row(
        "Resize, to sizes known at run time",
        "half = Constant<value_ints=[2, 2]>(); hw = Shape<start=2>(x); nc = Shape<end=2>(x); "
        f"big = Mul(hw, half); n = Concat<axis=0>(nc, big); y = Resize<{LINEAR.format('half_pixel')}>(x, , , n)",
        x=(2, 2, 3, 4),
    ),
    Row(
        "Resize, region that is computed",
        f"y = Resize<{CROP}, axes=[2,3]>(x, roi, , n)",
        x=(1, 2, 5, 4),
        roi=np.array([0.213, 0.114, 0.731, 1.317]),
        n=sizes(6, 5),
    ),
    *(
        Row(
            f"Resize, aspect kept, {policy}, {mode}, {centre}",
            f'y = Resize<mode="{mode}", coordinate_transformation_mode="{centre}", axes=[2,3], '
            f'keep_aspect_ratio_policy="{policy}">(x, , , n)',
            x=(1, 2, 4, 5),
            n=sizes(*n),
        )
        for policy, n in (("not_larger", (9, 7)), ("not_smaller", (3, 7)))
        for mode in ("linear", "cubic", "nearest")
        # With align_corners ONNX's evaluator takes a fractional size, ONNX Runtime does not: test_resize_gradient.py.
        for centre in ("asymmetric", "half_pixel")
    ),
    Row(
        "Resize, scales of sizes known at run time",
        "shape = Shape(x); old = Cast<to=1>(shape); nc = Slice(old, zero, two); ones = Div(nc, nc); "
        "hw = Slice(old, two, four); new = Constant<value_floats=[5.0, 7.0]>(); ratio = Div(new, hw); "
        f"s = Concat<axis=0>(ones, ratio); y = Resize<{CUBIC.format('align_corners')}>(x, , s)",
        x=(2, 2, 3, 4),
        zero=sizes(0),
        two=sizes(2),
        four=sizes(4),
    ),
]
