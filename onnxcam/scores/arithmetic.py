"""Numbers in an expression, and whether the shapes of its tensors go together."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

import numpy as np

from onnxcam.graph import Dim

LAST = int(np.iinfo(np.int64).max)
LARGEST = float(np.finfo(np.float32).max)
NUMBERS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: float(a) ** b,
}


def computed(kind: type[ast.operator], left: float, right: float) -> float | None:
    """What two numbers give; None where that is no real number."""
    try:
        found: object = NUMBERS[kind](left, right)  # of a negative base and a fraction a complex one
    except ArithmeticError:
        return None
    return found if isinstance(found, int | float) else None


def go_together(left: Sequence[Dim], right: Sequence[Dim]) -> bool:
    """Whether two shapes broadcast, as far as that shows; of different ranks an open axis fits none but itself."""
    pairs = zip(reversed(left), reversed(right), strict=False)
    is_open = len(left) == len(right)
    return all(a == b or 1 in (a, b) or (is_open and not (isinstance(a, int) and isinstance(b, int))) for a, b in pairs)


def shown(shape: Sequence[Dim]) -> str:
    """A shape for people."""
    return f"({', '.join(str(n) for n in shape)})"
