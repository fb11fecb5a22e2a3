"""Conductance: against its integral, its completeness, and interrupted; against captum in tests/test_parity.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_probes import picture
from numpy.typing import NDArray
from small_nets import cnn

from onnxcam import Explainer, convert
from onnxcam.drivers import Floats, Probe, find, from_functions
from onnxcam.errors import InvalidOption, NoSuchBaseline

CHANNELS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
WEIGHTS = np.random.default_rng(2).normal(size=(4, 1, 1)).astype(np.float32)


def layer(batch: Floats) -> Floats:
    """Four channels, each a square of a mixture of the colours."""
    return np.asarray(np.einsum("kc,nchw->nkhw", CHANNELS, batch) ** 2, np.float32)


def quadratic(x: Floats, **options: Any) -> Probe:
    """The score is Σ w·a² of the layer's a."""
    return from_functions(
        x,
        score=lambda batch: (WEIGHTS * layer(batch) ** 2).sum((1, 2, 3)),
        activation=layer,
        gradient=lambda batch: 2 * WEIGHTS * layer(batch),
        **options,
    )


@pytest.mark.parametrize("steps", [1, 7])
def test_of_a_score_that_is_quadratic_in_the_layer_it_is_exact(steps: int):
    x, base = picture(), picture(seed=5)
    probe = quadratic(x)
    found = find("conductance")(probe, {"steps": steps, "baselines": base})
    after, before = (layer(one[None])[0].astype(np.float64) for one in (x, base))
    np.testing.assert_allclose(found, (WEIGHTS * (after**2 - before**2)).sum(0), rtol=1e-3, atol=1e-4)
    assert abs(probe.report["gap"]) < 1e-3 * abs(probe.report["score"])


def test_like_captum_a_step_has_the_gradient_of_its_start_and_the_gap_shows_it():
    x, gaps = picture(), []
    for steps in (20, 40):
        probe = quadratic(x)
        find("conductance", "captum")(probe, {"steps": steps})
        gaps.append(abs(probe.report["gap"]))
    assert gaps[0] > 1.7 * gaps[1] > 0  # of the first order


def test_several_baselines_are_averaged():
    x, bases = picture(), [picture(seed=5), picture(seed=6)]
    both = find("conductance")(quadratic(x), {"steps": 3, "baselines": tuple(bases)})
    alone = [find("conductance")(quadratic(x), {"steps": 3, "baselines": base}) for base in bases]
    np.testing.assert_allclose(both, np.mean(alone, axis=0), rtol=1e-5, atol=1e-5)


def test_what_was_reached_is_kept_when_it_is_interrupted():
    seen: list[int] = []

    def stopping(done: int, _: int) -> None:
        seen.append(done)
        if done >= 20:
            raise KeyboardInterrupt

    probe = quadratic(picture(), progress=stopping, batch_size=4)
    found = find("conductance")(probe, {"steps": 50, "baselines": "zero"})
    assert probe.interrupted
    assert found.shape == picture().shape[1:]
    assert np.abs(found).max() > 0


@pytest.mark.parametrize("passes", [3 + 11 + 1, 3 + 11 + 2])
def test_of_several_baselines_only_those_that_were_reached_are_averaged(passes: int):
    def stopping(done: int, _: int) -> None:
        if done >= passes:
            raise KeyboardInterrupt

    base, other = picture(seed=5), picture(seed=6)
    alone, probe = quadratic(picture()), quadratic(picture(), progress=stopping, batch_size=1)
    wanted = find("conductance")(alone, {"steps": 10, "baselines": base})
    found = find("conductance")(probe, {"steps": 10, "baselines": (base, other)})
    assert probe.interrupted
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert probe.report["baseline_score"] == pytest.approx(alone.report["baseline_score"])


@pytest.mark.parametrize(
    ("options", "error"), [({"steps": 0}, InvalidOption), ({"baselines": "blakc"}, NoSuchBaseline)]
)
def test_steps_and_baselines_that_make_no_sense_are_refused(options: dict[str, Any], error: type[Exception]):
    with pytest.raises(error):
        convert(cnn(), method="conductance", options=options)


def test_in_a_graph_it_adds_up_to_the_change_of_the_score():
    explain = Explainer(
        convert(cnn().SerializeToString(), method="conductance", layer="r2", preprocess="unit").to_bytes()
    )
    photo: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    found = explain(photo, 1, options={"steps": 200})
    change = found.report["score"] - found.report["baseline_score"]
    assert abs(found.report["gap"]) < 2e-2 * abs(change)
