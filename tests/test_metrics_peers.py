"""Our metrics beside those of pytorch-grad-cam, torch-cam and captum: the same net, maps and perturbations."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from metric_cases import value
from torch_support import torch

from onnxcam.evaluation import Case
from onnxcam.evaluation.fidelity import noises, random_squares
from onnxcam.evaluation.imputing import impute

SIZE, COUNT = 24, 3
torch.set_num_threads(1)
# numpy's own helpers warn of torch tensors, which pytorch-grad-cam hands to them.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")


def network() -> Any:
    """A small classifier with random weights, of probabilities."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2, padding=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
        torch.nn.Softmax(dim=1),
    ).eval()


NET = network()
PICTURES = torch.randn(COUNT, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
MAPS = np.random.default_rng(2).uniform(size=(COUNT, SIZE, SIZE)).astype(np.float32)
CLASSES = [4, 0, 2]


def scores(index: int) -> Any:
    """What a case asks: the probability of one class."""

    def ask(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return NET(torch.from_numpy(np.asarray(batch, np.float32)))[:, index].double().numpy()

    return ask


def cases(**given: Any) -> list[Case]:
    return [
        Case(x=x.numpy(), map=shown, scores=scores(index), **given)
        for x, shown, index in zip(PICTURES, MAPS, CLASSES, strict=True)
    ]


def mean(name: str, **options: Any) -> float:
    return float(np.mean([value(name, case, **options) for case in cases()]))


class FixedMaps:
    """What torch-cam's metrics ask of an extractor, with maps that are given."""

    model = NET

    def __call__(self, class_idx: Any = None, scores: Any = None, **_: Any) -> list[Any]:
        return [torch.from_numpy(MAPS)]

    def fuse_cams(self, cams: list[Any]) -> Any:
        return cams[0]

    def _hooks_off(self) -> Any:
        return nullcontext()


@pytest.mark.parametrize("steps", [10, 17])
def test_deletion_and_insertion_are_torch_cams(steps: int):
    metrics = pytest.importorskip("torchcam.metrics", reason="torch-cam is not installed")
    theirs = metrics.DeletionInsertionMetric(FixedMaps(), steps=steps)
    theirs.update(PICTURES, CLASSES)
    assert mean("deletion", steps=steps) == pytest.approx(theirs.summary()["deletion_auc"], rel=1e-5)
    assert mean("insertion", steps=steps, baseline="zero") == pytest.approx(theirs.summary()["insertion_auc"], rel=1e-5)


def test_average_drop_and_increase_are_torch_cams():
    metrics = pytest.importorskip("torchcam.metrics", reason="torch-cam is not installed")
    theirs = metrics.ClassificationMetric(FixedMaps())
    theirs.update(PICTURES, CLASSES)
    assert theirs.summary()["avg_drop"] > 0
    assert mean("average-drop") == pytest.approx(theirs.summary()["avg_drop"], rel=1e-5)
    assert mean("increase") == pytest.approx(theirs.summary()["conf_increase"])


def test_imputed_pixels_are_pytorch_grad_cams():
    road = pytest.importorskip("pytorch_grad_cam.metrics.road", reason="grad-cam is not installed")
    kept = MAPS[0] < 0.4
    theirs = road.NoisyLinearImputer(noise=0.0)(PICTURES[0], torch.from_numpy(kept).float())
    ours = impute(np.moveaxis(PICTURES[0].numpy(), 0, -1), kept)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 0), theirs.numpy(), atol=1e-4)


def test_road_is_pytorch_grad_cams():
    road = pytest.importorskip("pytorch_grad_cam.metrics.road", reason="grad-cam is not installed")
    targets = [lambda output, index=index: output[index] for index in CLASSES]
    with patch.object(torch, "randn_like", torch.zeros_like):  # its noise has no seed
        theirs = road.ROADCombined()(PICTURES, MAPS, targets, NET)
    ours = [value("road", case, noise=0.0) for case in cases()]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(theirs).max() > 1e-5


def test_the_drop_of_pytorch_grad_cam_is_ours_times_the_score():
    drops = pytest.importorskip("pytorch_grad_cam.metrics.cam_mult_image", reason="grad-cam is not installed")
    targets = [lambda output, index=index: output[index] for index in CLASSES]
    theirs = drops.DropInConfidence()(PICTURES, MAPS, targets, NET)
    np.testing.assert_allclose([value("average-drop", c) * c.score for c in cases()], theirs, atol=1e-6)


def test_coherency_and_complexity_are_pytorch_grad_cams():
    arcc = pytest.importorskip("pytorch_grad_cam.metrics.arcc", reason="grad-cam is not installed")
    again = np.random.default_rng(5).uniform(size=MAPS.shape).astype(np.float32)
    theirs = arcc.Coherency()(PICTURES, MAPS, None, NET, lambda **_: again)
    ours = [value("coherency", c) for c in (
        Case(x=c.x, map=c.map, scores=c.scores, explain=lambda _, index=index: again[index][None])
        for index, c in enumerate(cases())
    )]  # fmt: skip
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose([value("complexity", c) for c in cases()], arcc.Complexity()(MAPS), rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", ["gaussian", "square"])
def test_infidelity_is_captums(kind: str, normalize: bool):
    metrics = pytest.importorskip("captum.metrics", reason="captum is not installed")
    case, count = cases()[0], 16
    if kind == "gaussian":
        altered = torch.from_numpy(np.stack(noises(case, count, 0.1)[1]))
        forecast = perturbation = PICTURES[:1] - altered
    else:
        masks = torch.from_numpy(np.stack(random_squares(case, count, 0.25)))[:, None].float()
        perturbation, altered = masks.expand(-1, 3, -1, -1) / 3, PICTURES[:1] * (1 - masks)
        forecast = perturbation
    attribution = torch.from_numpy(MAPS[:1])[:, None].expand(1, 3, SIZE, SIZE)
    theirs = metrics.infidelity(
        NET, lambda _: (forecast, altered), PICTURES[:1], attribution, target=CLASSES[0], n_perturb_samples=count,
        normalize=normalize,
    )  # fmt: skip
    ours = value("infidelity", case, kind=kind, count=count, deviation=0.1, normalize=normalize)
    assert ours == pytest.approx(float(theirs), rel=1e-3, abs=1e-12)


def test_max_sensitivity_is_captums():
    metrics = pytest.importorskip("captum.metrics", reason="captum is not installed")

    def saliency(inputs: Any) -> Any:
        with torch.enable_grad():
            x = inputs.clone().requires_grad_()
            NET(x)[:, CLASSES[0]].sum().backward()
        return x.grad.abs().sum(1)

    shown = saliency(PICTURES[:1])[0].numpy()
    case = Case(x=PICTURES[0].numpy(), map=shown, scores=scores(CLASSES[0]),
                explain=lambda batch: saliency(torch.from_numpy(batch)).numpy())  # fmt: skip
    rng = case.rng(4)
    draws = torch.from_numpy(np.stack([rng.uniform(-0.02, 0.02, case.x.shape) for _ in range(10)])).float()
    theirs = metrics.sensitivity_max(
        lambda inputs: (saliency(inputs[0]),), PICTURES[:1], lambda x: (x + draws,), n_perturb_samples=10
    )
    assert value("max-sensitivity", case) == pytest.approx(float(theirs), rel=1e-4)
