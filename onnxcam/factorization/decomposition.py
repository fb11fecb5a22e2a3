"""Activations as sums of a few concepts: non-negative matrix factorisation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import MissingExtra, TooManyConcepts, UnknownChoice

Floats: TypeAlias = NDArray[np.float32]

EXTRA = "concepts"
PYTORCH_GRAD_CAM = "pytorch-grad-cam"
LIKE = (PYTORCH_GRAD_CAM,)
ITERATIONS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """activation[c, place] ≈ offset[c] + Σk vectors[k, c] · maps[k, place], with nothing negative in the sum.

    Attributes:
        vectors: (K, C), the activation of each concept where it is strongest.
        maps: for each picture (K, h, w), how strong each concept is at each place: 1 at its strongest in all pictures.
        offset: (C,), what was taken off so that nothing is negative; 0 behind a ReLU.
        error: size of what is left over, as a share of the size of what was factorised.
        is_converged: whether more iterations would change little.
    """

    vectors: Floats
    maps: tuple[Floats, ...]
    offset: Floats
    error: float
    is_converged: bool


def decompose(activations: Sequence[Floats], count: int, *, seed: int = 0, like: str | None = None) -> Decomposition:
    """The activations, (C, h, w) each, as sums of `count` concepts that they share, the largest first.

    Collins, Achanta and Süsstrunk 2018, arXiv:1806.10206; computed by scikit-learn.

    Args:
        activations: of one layer; pictures may differ in size.
        count: K, how many concepts.
        seed: of the draws, for the same result again.
        like: "pytorch-grad-cam": starts at random, stops after 200 iterations, and takes each channel's minimum off
            also where it is positive, so that what a channel sees everywhere is no concept's; vectors keep the scale
            that scikit-learn gives them, and the order.

    Raises:
        TooManyConcepts: if there are fewer channels or places than concepts.
        MissingExtra: if scikit-learn is not installed.
        UnknownChoice: if `like` names no library.
    """
    check_factorizing(like)
    flat = np.concatenate([a.reshape(len(a), -1) for a in activations], axis=1)
    flat = np.nan_to_num(flat.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if count > min(flat.shape):
        raise TooManyConcepts(count, *flat.shape)
    lowest = flat.min(axis=1)
    offset = lowest if like == PYTORCH_GRAD_CAM else np.minimum(lowest, 0)
    positive = flat - offset[:, None]
    columns, rows, is_converged = factors(positive, count, seed=seed, like=like)
    if like is None:
        columns, rows = scaled(columns, rows)
    size = float(np.linalg.norm(positive))
    error = float(np.linalg.norm(positive - columns @ rows)) / size if size else 0.0
    maps = parted(rows, [a.shape[1:] for a in activations])
    return Decomposition(columns.T.copy(), maps, offset, error, is_converged)


def check_factorizing(like: str | None) -> None:
    """Refuses what could not be factorised, before any work is done.

    Raises:
        MissingExtra: if scikit-learn is not installed.
        UnknownChoice: if `like` names no library.
    """
    if like is not None and like not in LIKE:
        raise UnknownChoice("library to be like", like, LIKE)
    if find_spec("sklearn") is None:
        raise MissingExtra("factorising activations into concepts", EXTRA)


def factors(positive: Floats, count: int, *, seed: int, like: str | None) -> tuple[Floats, Floats, bool]:
    """(C, K) and (K, places), whose product is nearest to the matrix, and whether the search came to its end."""
    if not positive.any():
        return np.zeros((len(positive), count), np.float32), np.zeros((count, positive.shape[1]), np.float32), True
    from sklearn.decomposition import NMF  # type: ignore[import-untyped]
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]

    init, most = ("random", 200) if like == PYTORCH_GRAD_CAM else ("nndsvda", ITERATIONS)
    search = NMF(n_components=count, init=init, random_state=seed, max_iter=most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by what is returned
        columns = search.fit_transform(positive)
    is_converged = search.n_iter_ < most
    return np.asarray(columns, np.float32), np.asarray(search.components_, np.float32), is_converged


def scaled(columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """The same products with each row's maximum 1, and the concepts that make up most of the activations first."""
    peaks = rows.max(axis=1)
    peaks = np.where(peaks > 0, peaks, 1).astype(np.float32)
    columns, rows = columns * peaks, rows / peaks[:, None]
    order = np.argsort(-columns.sum(0) * rows.sum(1), kind="stable")
    return columns[:, order], rows[order]


def parted(rows: Floats, shapes: Sequence[tuple[int, ...]]) -> tuple[Floats, ...]:
    """(K, places of all pictures) as (K, h, w) for each picture."""
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    parts = np.split(rows, ends, axis=1)
    return tuple(part.reshape(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True))
