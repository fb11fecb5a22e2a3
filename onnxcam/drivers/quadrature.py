"""Rules for the integral of a function over [0, 1]: where to look at it, and what each look weighs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats64: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = Literal["gausslegendre", "middle", "trapezoid", "left", "right", "ends", "captum-trapezoid"]

NEWTON_STEPS = 6  # from guesses that are good to 1/count⁴; each doubles the digits


def gauss_legendre(count: int) -> tuple[Floats64, Floats64]:
    """Exact for polynomials up to degree 2·count − 1.

    By Newton's method from Tricomi's guesses; numpy's leggauss needs count² numbers, which 10000 steps do not have.
    """
    x = -np.cos(np.pi * (np.arange(count) + 0.75) / (count + 0.5))
    for _ in range(NEWTON_STEPS):
        value, slope = legendre(count, x)
        x = x - value / slope
    _, slope = legendre(count, x)
    return (1 + x) / 2, 1 / ((1 - x**2) * slope**2)


def legendre(degree: int, x: Floats64) -> tuple[Floats64, Floats64]:
    """The Legendre polynomial and its derivative at x, |x| < 1."""
    before, value = np.ones_like(x), x
    for k in range(2, degree + 1):
        before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
    return value, degree * (x * value - before) / (x**2 - 1)


def middle(count: int) -> tuple[Floats64, Floats64]:
    """The middles of equal parts."""
    return (np.arange(count) + 0.5) / count, np.full(count, 1 / count)


def left(count: int) -> tuple[Floats64, Floats64]:
    """The starts of equal parts."""
    return np.arange(count) / count, np.full(count, 1 / count)


def right(count: int) -> tuple[Floats64, Floats64]:
    """The ends of equal parts."""
    return (np.arange(count) + 1) / count, np.full(count, 1 / count)


def trapezoid(count: int) -> tuple[Floats64, Floats64]:
    """From 0 to 1, both included, half weight for both; of a single look, its middle."""
    if count == 1:
        return middle(1)
    weights = np.full(count, 1 / (count - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, count), weights


def ends(count: int) -> tuple[Floats64, Floats64]:
    """From 0 to 1, both included, all of one weight: what PAIR's saliency computes."""
    return (np.linspace(0, 1, count), np.full(count, 1 / count)) if count > 1 else middle(1)


def captum_trapezoid(count: int) -> tuple[Floats64, Floats64]:
    """What Captum calls riemann_trapezoid; the weights are too small by the factor (count − 1)/count."""
    places, weights = trapezoid(count)
    return places, weights * max(count - 1, 1) / count


RULES: dict[str, Callable[[int], tuple[Floats64, Floats64]]] = {
    "gausslegendre": gauss_legendre,
    "middle": middle,
    "trapezoid": trapezoid,
    "left": left,
    "right": right,
    "ends": ends,
    "captum-trapezoid": captum_trapezoid,
}


def scattered(count: int) -> list[int]:
    """0 … count − 1 in an order whose every beginning is spread over the whole: by the bits, read backwards."""
    bits = max(count - 1, 1).bit_length()
    return sorted(range(count), key=lambda at: int(f"{at:0{bits}b}"[::-1], 2))
