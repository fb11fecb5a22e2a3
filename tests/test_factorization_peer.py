"""Deep feature factorisation beside pytorch-grad-cam's."""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import numpy as np
import pytest
from torch_support import torch

from onnxcam.factorization import Factorization, factorize

ConvergenceWarning = pytest.importorskip(
    "sklearn.exceptions", reason="extra `concepts` is not installed"
).ConvergenceWarning
peer = pytest.importorskip(
    "pytorch_grad_cam.feature_factorization.deep_feature_factorization", reason="grad-cam is not installed"
)
nn = torch.nn
CONCEPTS = 4


class Net(nn.Module):
    """Two convolutions and a classifier over the mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.last = nn.Sequential(nn.Conv2d(12, 16, 3, padding=1), nn.SiLU())
        self.classifier = nn.Linear(16, 6)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.last(self.first(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8))


@pytest.fixture(scope="module")
def module() -> Any:
    torch.set_num_threads(1)
    return Net().eval()


@pytest.fixture(scope="module")
def batch(images: list[np.ndarray]) -> Any:
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


@pytest.fixture(scope="module")
def theirs(module: Any, batch: Any) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Concepts (C, K), for each picture (K, H, W) in [0, 1], and the classifier's scores (K, S) of the concepts."""
    found = peer.DeepFeatureFactorization(module, module.last, computation_on_concepts=module.classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return found(batch, CONCEPTS)


@pytest.fixture(scope="module")
def ours(module: Any, batch: Any, images: list[np.ndarray]) -> Factorization:
    options = {"example": batch[:1], "check": False, "preprocess": "unit"}
    return factorize(module, images, concepts=CONCEPTS, layer="last", like="pytorch-grad-cam", **options)


def test_the_concepts_are_the_same(ours: Factorization, theirs: Any):
    found = ours.decomposition
    np.testing.assert_allclose(found.vectors + found.offset, theirs[0].T, atol=1e-3 * np.abs(theirs[0]).max())


def test_they_lie_where_the_others_lie(ours: Factorization, theirs: Any):
    for maps, expected in zip(ours.decomposition.maps, theirs[1], strict=True):
        for where, there in zip(maps, expected, strict=True):
            low = (where - where.min()) / (1e-7 + (where - where.min()).max())
            np.testing.assert_allclose(cv2.resize(low, (24, 24)), there, atol=2e-3)


def test_the_classifier_says_the_same_of_each_concept(ours: Factorization, theirs: Any, module: Any):
    with torch.no_grad():
        nothing = module.classifier(torch.from_numpy(ours.decomposition.offset)).numpy()
    np.testing.assert_allclose(ours.gains + nothing, theirs[2], atol=1e-3 * np.abs(theirs[2]).max())
