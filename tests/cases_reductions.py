"""Rows for reductions and running sums."""

import numpy as np
from conformance import Fixed, Row, positive, spread

AXES = {"a": Fixed(np.array([0, 2], np.int64))}
LAST = {"a": Fixed(np.array([-1], np.int64))}
NONE = {"a": Fixed(np.array([], np.int64))}
ONE_ZERO = np.array([[2.0, 0.0, 3.0], [1.0, 2.0, 4.0], [0.0, 0.0, 5.0]])


def ways(op: str, x: np.ndarray) -> list[Row]:
    """The op over every kind of axes, kept and dropped."""
    return [
        Row(f"{op}, all", f"y = {op}(x)", x=x),
        Row(f"{op}, all, dropped", f"y = {op}<keepdims=0>(x)", x=x),
        Row(f"{op}, two axes", f"y = {op}(x, a)", x=x, **AXES),
        Row(f"{op}, two axes, dropped", f"y = {op}<keepdims=0>(x, a)", x=x, **AXES),
        Row(f"{op}, last axis", f"y = {op}(x, a)", x=x, **LAST),
        Row(f"{op}, last axis, dropped", f"y = {op}<keepdims=0>(x, a)", x=x, **LAST),
        Row(f"{op}, empty axes are all", f"y = {op}<keepdims=0>(x, a)", x=x, **NONE),
    ]


KINDS = {
    "ReduceSum": spread(2, 3, 2),
    "ReduceMean": spread(2, 3, 2),
    "ReduceMax": spread(2, 3, 2),
    "ReduceMin": spread(2, 3, 2),
    "ReduceProd": positive(2, 3, 2),
    "ReduceL1": spread(2, 3, 2),
    "ReduceL2": spread(2, 3, 2),
    "ReduceLogSum": positive(2, 3, 2),
    "ReduceLogSumExp": spread(2, 3, 2),
    "ReduceSumSquare": spread(2, 3, 2),
}

ROWS = [
    *(row for op, x in KINDS.items() for row in ways(op, x)),
    # Each element is then reduced by itself: ReduceL1 gives |x|.
    *(
        Row(f"{op}, nothing to reduce", f"y = {op}<noop_with_empty_axes=1, keepdims=0>(x)", x=x)
        for op, x in KINDS.items()
    ),
    Row(
        "ReduceSum, axes computed",
        "r = Neg(k); y = ReduceSum<keepdims=0>(x, r)",
        x=(2, 3, 2),
        k=Fixed(np.array([1, 2], np.int64)),
    ),
    Row(
        "ReduceSum, axes computed, kept",
        "r = Neg(k); y = ReduceSum(x, r)",
        x=(2, 3, 2),
        k=Fixed(np.array([1, 2], np.int64)),
    ),
    Row(
        "ReduceMean, axes computed",
        "r = Neg(k); y = ReduceMean<keepdims=0>(x, r)",
        x=(2, 3, 2),
        k=Fixed(np.array([1, 2], np.int64)),
    ),
    # Central differences of a tie's two sides are its equal shares, when two tie.
    Row("ReduceMax, ties are shared", "y = ReduceMax(x, a)", x=np.array([[1.0, 3.0, 3.0], [2.0, 1.0, 2.0]]), **LAST),
    Row("ReduceMin, ties are shared", "y = ReduceMin(x, a)", x=np.array([[5.0, 3.0, 3.0], [2.0, 9.0, 2.0]]), **LAST),
    Row("ReduceProd, none, one and two zeros", "y = ReduceProd<keepdims=0>(x, a)", x=ONE_ZERO, **LAST),
    Row("CumSum", "y = CumSum(x, k)", x=(2, 4), k=Fixed(np.array(1, np.int64))),
    Row("CumSum, exclusive", "y = CumSum<exclusive=1>(x, k)", x=(2, 4), k=Fixed(np.array(-1, np.int64))),
    Row("CumSum, reverse", "y = CumSum<reverse=1>(x, k)", x=(3, 2), k=Fixed(np.array(0, np.int32))),
    Row(
        "CumSum, exclusive and reverse",
        "y = CumSum<exclusive=1, reverse=1>(x, k)",
        x=(2, 4),
        k=Fixed(np.array(1, np.int64)),
    ),
]
