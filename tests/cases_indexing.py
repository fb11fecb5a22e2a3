"""Rows for ops that pick elements by index, or put them there."""

import numpy as np
from conformance import Fixed, Row, spread


def ints(*numbers: int) -> Fixed:
    return Fixed(np.array(numbers, np.int64))


def table(*rows: list) -> Fixed:
    return Fixed(np.array(rows, np.int64))


def scalar(number: int) -> Fixed:
    return Fixed(np.array(number))


TWO, FIVE = ints(2), Fixed(np.zeros(5))

ROWS = [
    Row("Gather of one slice", "y = Gather<axis=1>(x, i)", x=(2, 4, 3), i=scalar(1)),
    Row("Gather of the last slice", "y = Gather<axis=-1>(x, i)", x=(2, 4), i=scalar(-1)),
    Row("Gather of one slice, kept as an axis", "y = Gather<axis=1>(x, i)", x=(2, 4), i=ints(2)),
    Row("Gather of neighbours", "y = Gather<axis=1>(x, i)", x=(2, 5), i=ints(1, 2, 3)),
    Row("Gather of every other slice, backwards", "y = Gather(x, i)", x=(6, 2), i=ints(5, 3, 1)),
    Row("Gather from the end", "y = Gather(x, i)", x=(5, 2), i=ints(-1, -2)),
    Row("Gather in another order", "y = Gather<axis=1>(x, i)", x=(2, 4, 2), i=ints(2, 0, 3, 1)),
    Row("Gather of some, negative among them", "y = Gather<axis=1>(x, i)", x=(2, 5), i=ints(3, -5, -1)),
    Row("Gather of one slice twice", "y = Gather<axis=1>(x, i)", x=(2, 4, 3), i=ints(1, 3, 1)),
    Row("Gather of the same slice only", "y = Gather(x, i)", x=(3, 2), i=ints(1, 1)),
    Row("Gather by a table", "y = Gather<axis=1>(x, i)", x=(2, 4, 3), i=table([0, 2, 1], [3, 2, 0])),
    Row("Gather by a table, first axis", "y = Gather(x, i)", x=(4, 3), i=table([0, 2], [3, 0])),
    Row("Gather by an index computed at run time", "i = Size(k); y = Gather<axis=1>(x, i)", x=(2, 6, 2), k=FIVE),
    Row(
        "Gather by a negative index computed at run time",
        "p = Size(k); i = Neg(p); y = Gather<axis=1>(x, i)",
        x=(2, 6, 2),
        k=FIVE,
    ),
    Row("Gather by a list of one computed at run time", "i = Shape(k); y = Gather<axis=-1>(x, i)", x=(2, 6), k=FIVE),
    Row(
        "Gather by indices computed at run time",
        "i = Shape(k); y = Gather<axis=1>(x, i)",
        x=(2, 4, 2),
        k=Fixed(np.zeros((3, 1, 3))),
    ),
    Row(
        "Gather by int32 indices computed at run time",
        "s = Shape(k); i = Cast<to=6>(s); y = Gather<axis=1>(x, i)",
        x=(2, 4),
        k=Fixed(np.zeros((3, 1, 3))),
    ),
    Row("Gather by int32", "y = Gather(x, i)", x=(4, 2), i=Fixed(np.array([3, 0, 3], np.int32))),
    Row("GatherElements", "y = GatherElements<axis=1>(x, i)", x=(2, 4), i=table([0, 3, 0], [1, -1, 2])),
    Row("GatherElements, first axis", "y = GatherElements(x, i)", x=(3, 2), i=table([2, 2], [0, 1])),
    Row("GatherND of elements", "y = GatherND(x, i)", x=(3, 4), i=table([0, 1], [2, -1], [0, 1])),
    Row("GatherND of slices", "y = GatherND(x, i)", x=(3, 4), i=table([2], [0])),
    Row("GatherND, batched", "y = GatherND<batch_dims=1>(x, i)", x=(2, 3, 4), i=table([2], [1])),
    Row(
        "GatherND, batched, of elements",
        "y = GatherND<batch_dims=1>(x, i)",
        x=(2, 3, 2),
        i=table([[2, 0], [2, 0]], [[1, 1], [0, 0]]),
    ),
    Row("ScatterElements", "y = ScatterElements<axis=1>(x, i, u)", x=(2, 4), u=(2, 2), i=table([0, 3], [1, 2])),
    Row(
        "ScatterElements, added",
        'y = ScatterElements<axis=-1, reduction="add">(x, i, u)',
        x=(2, 4),
        u=(2, 2),
        i=table([3, 3], [-1, 2]),
    ),
    Row(
        "ScatterElements, the first axis, of updates alone",
        "y = ScatterElements(k, i, u)",
        k=Fixed(np.ones((3, 2))),
        u=(1, 2),
        i=table([2, 0]),
    ),
    Row("ScatterND", "y = ScatterND(x, i, u)", x=(3, 4), u=(2, 4), i=table([2], [0])),
    Row("ScatterND of elements", "y = ScatterND(x, i, u)", x=(3, 4), u=(2,), i=table([2, 1], [0, 3])),
    Row("ScatterND, added", 'y = ScatterND<reduction="add">(x, i, u)', x=(3, 2), u=(3, 2), i=table([1], [1], [0])),
    Row("TopK", "y, i = TopK(x, n)", x=spread(3, 5), n=TWO),
    Row("TopK, smallest, along the first axis", "y, i = TopK<axis=0, largest=0>(x, n)", x=spread(5, 3), n=TWO),
    Row(
        "TopK, indices used too",
        "v, i = TopK(x, n); w = GatherElements<axis=1>(x, i); y = Mul(v, w)",
        x=spread(2, 5),
        n=TWO,
    ),
    Row("Compress", "y = Compress<axis=1>(x, c)", x=(2, 4, 2), c=Fixed(np.array([True, False, True]))),
    Row(
        "Compress along the first axis", "y = Compress<axis=0>(x, c)", x=(3, 2), c=Fixed(np.array([False, True, True]))
    ),
    Row(
        "Compress of the flattened", "y = Compress(x, c)", x=(2, 3), c=Fixed(np.array([False, True, True, False, True]))
    ),
    Row(
        "Compress of what is positive",
        "z = Constant<value_float=0.0>(); f = Cast<to=11>(z); c = Greater(x, f); "
        "c1 = Reshape(c, m); y = Compress(x, c1)",
        x=[[1.0, -1.0], [2.0, 0.5]],
        m=ints(-1),
    ),
]
