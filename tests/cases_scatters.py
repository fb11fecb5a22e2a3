"""Rows for scatters that combine what meets, for marks and counts, and for chosen boxes."""

import numpy as np
from conformance import Fixed, Row, positive, spread


def table(*rows: list) -> Fixed:
    return Fixed(np.array(rows, np.int64))


U, V = spread(2, 3, seed=1) * 3, spread(2, 3, seed=2) * 3
COLUMNS = table([0, 1, 1], [2, -2, 1])
BOXES = np.array([[[0.0, 0, 2, 2], [0.1, 0.1, 2.1, 2.2], [3, 3, 5, 4.5], [0, 3, 1, 5]]])
SCORES = np.array([[[0.6, 0.9, 0.3, 0.7]]])
N, IOU, LOW = (Fixed(np.array([n], t)) for n, t in ((3, np.int64), (0.5, np.float32), (0.1, np.float32)))

ROWS = [
    Row("ScatterElements, largest", 'y = ScatterElements<axis=1, reduction="max">(x, i, u)', x=U, u=V, i=COLUMNS),
    Row("ScatterElements, smallest", 'y = ScatterElements<axis=1, reduction="min">(x, i, u)', x=U, u=V, i=COLUMNS),
    Row("ScatterElements, product", 'y = ScatterElements<axis=1, reduction="mul">(x, i, u)', x=U, u=V, i=COLUMNS),
    Row("ScatterElements, product of updates alone", 'y = ScatterElements<reduction="mul">(k, i, u)', u=V, i=COLUMNS,
        k=Fixed(np.full((3, 3), 2.0))),
    Row("ScatterElements, product, none, one and two zeros",
        'y = ScatterElements<axis=1, reduction="mul">(x, i, u)', i=COLUMNS,
        x=[[0.0, 2, 3], [4, 0, 5]], u=[[2.0, 0, 3], [0, 4, 5]]),
    Row("ScatterND, largest", 'y = ScatterND<reduction="max">(x, i, u)', x=spread(3, 2), u=spread(4, 2, seed=3) + 0.02,
        i=table([1], [1], [0], [1])),
    Row("ScatterND, smallest, of elements", 'y = ScatterND<reduction="min">(x, i, u)', x=spread(3, 2),
        u=spread(3, seed=3) + 0.02, i=table([1, 0], [2, 1], [1, 0])),
    Row("ScatterND, product", 'y = ScatterND<reduction="mul">(x, i, u)', x=positive(3, 2), u=positive(4, 2),
        i=table([1], [1], [0], [-2])),
    Row("OneHot", "y = OneHot(i, n, v)", v=(2,), i=table([0, 2], [1, 1]), n=Fixed(np.array(3))),
    Row("OneHot along the first axis", "y = OneHot<axis=0>(i, n, v)", v=(2,), i=table([0, -1]), n=Fixed(np.array(4))),
    Row("OneHot, index out of range", "y = OneHot(i, n, v)", v=(2,), i=table([0, 7]), n=Fixed(np.array(3))),
    Row("Range", "y = Range(a, k, d)", a=np.array(0.5), d=np.array(0.7), k=Fixed(np.array(3.1))),
    Row("Range, downwards", "y = Range(a, k, d)", a=np.array(0.5), d=np.array(-0.7), k=Fixed(np.array(-3.1))),
    Row("ConstantOfShape has no part", "s = Shape(x); c = ConstantOfShape(s); c1 = CastLike(c, x); y = Add(c1, x)",
        x=(2, 3)),
    # Which boxes are kept is a matter of steps; their scores and corners are not.
    Row("NonMaxSuppression, what was kept",
        "b1 = Cast<to=1>(b); s1 = Cast<to=1>(s); k = NonMaxSuppression(b1, s1, n, t, l); c = Gather<axis=1>(k, j); "
        "r = Reshape(c, m); v = GatherND(s, k); v1 = Reshape(v, o); w = Gather<axis=1>(b, r); y = Mul(v1, w)",
        b=BOXES, s=SCORES, n=N, t=IOU, l=LOW, j=Fixed(np.array([2])), m=Fixed(np.array([-1])),
        o=Fixed(np.array([1, -1, 1]))),
]  # fmt: skip
