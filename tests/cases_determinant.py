"""Rows for determinants: singular matrices among them, which have a gradient as well."""

from conformance import Row

SIZE = "the size of the matrices must be known: test_determinant.py has symbolic batches"

ROWS = [
    Row("Det of 2 × 2", "y = Det(x)", x=(2, 2), skip_dynamic=SIZE),
    Row("Det of 1 × 1", "y = Det(x)", x=(3, 1, 1), skip_dynamic=SIZE),
    Row("Det of 3 × 3, batches", "y = Det(x)", x=(2, 3, 3, 3), skip_dynamic=SIZE),
    Row("Det of 4 × 4, singular", "y = Det(x)", x=[[1.0, 2, 3, 4], [2, 4, 6, 8], [0, 1, 0, 2], [3, 0, 1, 1]],
        skip_dynamic=SIZE),
    Row("Det of 5 × 5", "y = Det(x)", x=(5, 5), skip_dynamic=SIZE),
]  # fmt: skip
