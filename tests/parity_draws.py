"""Maps of captum's methods of chance and of features, with our draws and our features given to both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb, isqrt
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from parity_peers import Array, Asked, Theirs, not_in_place, quiet
from torch_support import torch

SEED = 0  # of our methods, where nobody says another


def squares(size: Sequence[int], count: int) -> Array:
    """The picture cut into about so many squares, numbered from 0, (H, W): what both take for superpixels."""
    side = isqrt(count)
    rows, columns = (np.arange(length) * side // length for length in size)
    return rows[:, None] * side + columns


def captum(asked: Asked, name: str, *inner: str, **options: Any) -> Any:
    """The method of captum of that name, made for the module; or for its method `inner`, of the module."""
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    module = not_in_place(asked.module)
    return getattr(attr, name)(*([getattr(attr, each)(module) for each in inner] or [module]), **options)


def noise_tunnel(kind: str) -> Theirs:
    """The (1, 3, H, W) attribution of captum's NoiseTunnel around Saliency with its defaults, by our noise."""

    def theirs(asked: Asked) -> Array:
        rng = np.random.default_rng(SEED)
        noise = torch.from_numpy(np.stack([rng.standard_normal(asked.x.shape[1:], np.float32) for _ in range(5)]))
        method = captum(asked, "NoiseTunnel", "Saliency")
        with quiet(), patch.object(torch, "normal", lambda _, spread: noise * spread):
            return np.asarray(method.attribute(asked.x.clone(), target=list(asked.targets), nt_type=kind).detach())

    return theirs


def gradient_shap(asked: Asked) -> Array:
    """The (1, 3, H, W) attribution of captum's GradientShap with its defaults, from 0, at our places of the way."""
    rng = np.random.default_rng(SEED)
    rng.integers(1, size=5)  # which baseline: there is one
    places = rng.random(5)
    method = captum(asked, "GradientShap")
    with quiet(), patch("numpy.random.uniform", lambda *_: places):
        found = method.attribute(asked.x.clone(), torch.zeros_like(asked.x), target=list(asked.targets))
    return np.asarray(found.detach())


def of_squares(asked: Asked, method: Any, count: int, **options: Any) -> Array:
    """The (N, H, W) attribution of squares by a method of captum."""
    features = torch.from_numpy(squares(asked.size, count))[None, None]
    with quiet():
        found = method.attribute(asked.x, target=list(asked.targets), feature_mask=features, **options)
    return np.asarray(found.detach()[:, 0])


def feature_ablation(asked: Asked) -> Array:
    """What captum's FeatureAblation loses by each of 64 squares."""
    return of_squares(asked, captum(asked, "FeatureAblation"), 64)


def shapley_sampling(count: int) -> Theirs:
    """The values of captum's ShapleyValueSampling, with our orders."""

    def theirs(asked: Asked) -> Array:
        rng, method = np.random.default_rng(SEED), captum(asked, "ShapleyValueSampling")
        method.permutation_generator = lambda features, samples: (rng.permutation(features) for _ in range(samples))
        return of_squares(asked, method, count)

    return theirs


def kernel_shap(count: int) -> Theirs:
    """The values of captum's KernelShap where its draw happens to be perfect: each subset as often as it should be."""

    def draw(_: Any, **__: Any) -> Iterator[Any]:
        yield from rows

    rows = [torch.from_numpy(row)[None] for row in perfect_draw(count)]

    def theirs(asked: Asked) -> Array:
        method = captum(asked, "KernelShap")
        method.perturb_func = draw
        return of_squares(asked, method, count, n_samples=len(rows))

    return theirs


def perfect_draw(count: int) -> list[Array]:
    """All, none, and the subsets of each size k in a number that goes as (n − 1) / (k·(n − k))."""
    shares = {size: (count - 1) / (size * (count - size)) / comb(count, size) for size in range(1, count)}
    rows = [np.ones(count, np.int64), np.zeros(count, np.int64)]
    for size, share in shares.items():
        times = share / min(shares.values())
        assert abs(times - round(times)) < 1e-9
        for chosen in combinations(range(count), size):
            rows += [np.isin(np.arange(count), chosen).astype(np.int64)] * round(times)
    return rows


def lime(count: int, alpha: float) -> Theirs:
    """The coefficients of captum's Lime, of our 25 rows; with its own penalty of 0.01 many a net has none left."""

    def theirs(asked: Asked) -> Array:
        def draw(_: Any, **__: Any) -> Iterator[Any]:
            rng = np.random.default_rng(SEED)
            while True:
                yield torch.from_numpy(rng.random(count) < 0.5)[None].long()

        models = pytest.importorskip("captum._utils.models.linear_model", reason="captum is not installed")
        lasso = models.SkLearnLasso(alpha=alpha, tol=1e-10, max_iter=100_000)
        return of_squares(asked, captum(asked, "Lime", interpretable_model=lasso, perturb_func=draw), count)

    return theirs
