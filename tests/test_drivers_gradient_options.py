"""What the methods that gather gradients refuse, keep when they are stopped, and hold in memory."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gradient_probes import cubic, linear, picture, stopping, weights

from onnxcam.drivers import Probe, find
from onnxcam.errors import ImageError, InvalidOption, MissingExtra, NoSuchBaseline, OnnxCamError, UnknownChoice

BAD = [
    ("smoothgrad", {"samples": 0}, "samples"),
    ("smoothgrad", {"noise": -0.1}, "noise"),
    ("smoothgrad", {"noise": "inf"}, "noise"),
    ("smoothgrad", {"std": -1}, "std"),
    ("smoothgrad", {"of": "grad"}, "of"),
    ("smoothgrad", {"channels": "mean"}, "channels"),
    ("smoothgrad", {"seed": -1}, "seed"),
    ("squaregrad", {"samples": -3}, "samples"),
    ("vargrad", {"samples": 1}, "samples"),
    ("integrated-gradients", {"steps": 0}, "steps"),
    ("integrated-gradients", {"steps": 2.5}, "steps"),
    ("integrated-gradients", {"rule": "simpson"}, "rule"),
    ("integrated-gradients", {"baselines": ()}, "baselines"),
    ("integrated-gradients", {"baselines": np.zeros((3, 5, 5))}, "baselines"),
    ("integrated-gradients", {"baselines": np.zeros((2, 3, 5, 5))}, "baselines"),
    ("integrated-gradients", {"baselines": np.full((3, 12, 10), np.nan)}, "baselines"),
    ("blur-ig", {"steps": -1}, "steps"),
    ("blur-ig", {"sigma": 0}, "sigma"),
    ("blur-ig", {"sigma": "inf"}, "sigma"),
    ("blur-ig", {"increment": 0}, "increment"),
    ("guided-ig", {"steps": 0}, "steps"),
    ("guided-ig", {"fraction": 0}, "fraction"),
    ("guided-ig", {"fraction": 1.5}, "fraction"),
    ("guided-ig", {"distance": -0.1}, "distance"),
    ("expected-gradients", {"samples": 0}, "samples"),
    ("gradient-shap", {"noise": -1}, "noise"),
    ("xrai", {"area": 2}, "area"),
    ("xrai", {"steps": 0}, "steps"),
    ("xrai", {"algorithm": "slow"}, "algorithm"),
    ("smooth-gradcam++", {"samples": 0}, "samples"),
    ("smooth-gradcam++", {"numerator": "third"}, "numerator"),
]


@pytest.mark.parametrize(
    ("name", "options", "culprit"), BAD, ids=[f"{n}-{next(iter(o))}{i}" for i, (n, o, _) in enumerate(BAD)]
)
def test_an_option_that_makes_no_sense_is_refused_by_name(name: str, options: dict[str, Any], culprit: str):
    if name == "xrai":
        pytest.importorskip("skimage")
    with pytest.raises(InvalidOption, match=f"^{culprit} of the method '{name.replace('+', '.')}'"):
        find(name)(linear(picture(), weights()), options)


def test_an_unknown_baseline_is_refused_with_the_near_ones():
    with pytest.raises(NoSuchBaseline, match=r"'balck'.*Did you mean 'black'\?"):
        find("integrated-gradients")(linear(picture(), weights()), {"baselines": "balck"})


def test_an_unknown_method_is_refused_with_the_near_ones():
    with pytest.raises(UnknownChoice, match="'smoothgrad'"):
        find("smoothgard")


def test_nothing_is_run_before_the_options_have_been_looked_at():
    probe = linear(picture(), weights())
    for name, options, _ in BAD:
        with pytest.raises(OnnxCamError):
            find(name)(probe, options)
    assert probe.passes == 0


@pytest.mark.parametrize("name", ["zero", "mean", "black", "white", "grey", "blur", "noise"])
def test_every_blank_is_a_baseline(name: str):
    x, w = picture(), weights()
    probe = linear(x, w, black=-1.0, white=2.0)
    find("integrated-gradients")(probe, {"baselines": name, "seed": 4})
    np.testing.assert_allclose(probe.attribution, w * (x - probe.blank(name, seed=4)), rtol=1e-4, atol=1e-5)


def test_a_baseline_may_be_a_file_of_arrays(tmp_path: Path):
    x, w, bases = picture(), weights(), np.stack([picture(seed=5), picture(seed=6)])
    np.save(tmp_path / "bases.npy", bases)
    probe = linear(x, w)
    find("integrated-gradients")(probe, {"baselines": str(tmp_path / "bases.npy")})
    np.testing.assert_allclose(probe.attribution, w * (x - bases.mean(0)), rtol=1e-4, atol=1e-5)


def with_pictures(x: Any, w: Any) -> Probe:
    """A linear probe whose pictures become inputs by halving their bytes."""
    from onnxcam.images import read

    return linear(x, w, prepare=lambda source: read(source).transpose(2, 0, 1) / np.float32(2))


def test_a_baseline_may_be_a_picture_or_a_folder_of_them(tmp_path: Path):
    x, w = picture(), weights()
    for at, level in enumerate((10, 40)):
        cv2.imwrite(str(tmp_path / f"{at}.png"), np.full((12, 10, 3), level, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    for source, level in ((tmp_path / "1.png", 20.0), (tmp_path, 12.5)):
        probe = with_pictures(x, w)
        find("integrated-gradients")(probe, {"baselines": str(source)})
        np.testing.assert_allclose(probe.attribution, w * (x - level), rtol=1e-4, atol=1e-4)


def test_expected_gradients_load_each_picture_when_it_is_drawn(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((12, 10, 3), 10, np.uint8))
    x, w = picture(), weights()
    probe = with_pictures(x, w)
    find("expected-gradients")(probe, {"baselines": str(tmp_path), "samples": 3})
    np.testing.assert_allclose(probe.attribution, w * (x - 5), rtol=1e-4, atol=1e-4)


def test_noise_stands_for_several_pictures_where_baselines_are_drawn():
    from onnxcam.drivers.baselines import baselines_of

    drawn = [load() for load in baselines_of(linear(picture(), weights()), ["noise", "black"], seed=3, noises=4)]
    assert len(drawn) == 5
    assert len({row.tobytes() for row in drawn}) == 5


def test_files_that_are_no_baseline_are_refused(tmp_path: Path):
    x, w = picture(), weights()
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and nothing else")
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((5, 5, 3), np.uint8))
    np.save(tmp_path / "small.npy", np.zeros((3, 5, 5)))
    (tmp_path / "broken.npy").write_bytes(b"no array")
    for name, error in [
        ("empty", InvalidOption), ("broken.png", ImageError), ("small.png", InvalidOption),
        ("small.npy", InvalidOption), ("broken.npy", InvalidOption),
    ]:  # fmt: skip
        with pytest.raises(error):
            find("integrated-gradients")(with_pictures(x, w), {"baselines": str(tmp_path / name)})


def test_a_picture_is_no_baseline_where_nothing_says_how_it_is_prepared(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((12, 10, 3), np.uint8))
    with pytest.raises(InvalidOption, match="prepare"):
        find("integrated-gradients")(linear(picture(), weights()), {"baselines": str(tmp_path / "a.png")})


def test_without_scikit_image_xrai_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    for name in ("skimage", "skimage.segmentation", "skimage.transform"):
        monkeypatch.setitem(sys.modules, name, None)
    probe = linear(picture(), weights())
    with pytest.raises(MissingExtra, match=r"onnxcam\[superpixels\]"):
        find("xrai")(probe)
    assert probe.passes == 0


def interrupted(probe: Probe, after: int) -> Probe:
    probe._ask = stopping(probe._ask, after)
    return probe


@pytest.mark.parametrize("name", ["smoothgrad", "squaregrad"])
def test_an_interrupted_mean_is_that_of_the_samples_made(name: str):
    x, w = picture(), weights()
    probe = interrupted(cubic(x, w, batch_size=4), 2)
    find(name)(probe, {"samples": 50, "seed": 1})
    whole = cubic(x, w)
    find(name)(whole, {"samples": 8, "seed": 1})
    assert probe.interrupted
    assert probe.report["samples"] == 8
    np.testing.assert_allclose(probe.attribution, whole.attribution, rtol=1e-5)


def test_an_interrupted_integral_is_scaled_to_the_whole_way():
    x, w, base = picture(), weights(), picture(seed=5)
    probe = interrupted(cubic(x, w, batch_size=4), 4)  # one batch for the baseline's score, three for 12 gradients
    find("integrated-gradients")(probe, {"steps": 64, "baselines": base})
    assert probe.interrupted
    np.testing.assert_allclose(probe.attribution.sum(), (w * (x.astype(float) ** 3 - base**3.0) / 3).sum(), rtol=0.1)


@pytest.mark.parametrize("name", ["blur-ig", "guided-ig", "expected-gradients", "gradient-shap"])
def test_an_interrupted_run_gives_a_finite_map_and_says_so(name: str):
    probe = interrupted(cubic(picture(), weights()), 5)
    found = find(name)(probe)
    assert probe.interrupted
    assert np.isfinite(found).all()
    assert found.any()


@pytest.mark.parametrize("name", ["smoothgrad", "integrated-gradients", "guided-ig", "smooth-gradcam++"])
def test_an_interruption_before_the_first_result_ends_the_run(name: str):
    with pytest.raises(KeyboardInterrupt):
        find(name)(interrupted(cubic(picture(), weights()), 0))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("smoothgrad", {"samples": 400}), ("vargrad", {"samples": 400}), ("integrated-gradients", {"steps": 400}),
        ("expected-gradients", {"samples": 400}), ("gradient-shap", {"samples": 400}), ("blur-ig", {"steps": 400}),
    ],
)  # fmt: skip
def test_memory_does_not_grow_with_the_number_of_passes(name: str, options: dict[str, int]):
    x = picture(3, 32, 32)
    probe = linear(x, np.ones((3, 32, 32), np.float32), batch_size=4)
    tracemalloc.start()
    find(name)(probe, options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert probe.passes >= 400
    assert peak < 60 * x.nbytes  # 400 inputs would be 400, their float64 gradients 800


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("smoothgrad", {"samples": 20}), ("integrated-gradients", {"steps": 9, "baselines": "black,white"}),
        ("blur-ig", {"steps": 9}), ("guided-ig", {"steps": 9}), ("expected-gradients", {"samples": 20}),
    ],
)  # fmt: skip
def test_the_progress_ends_at_the_number_of_passes_that_was_said_first(name: str, options: dict[str, Any]):
    told: list[tuple[int, int]] = []
    probe = cubic(picture(), weights(), progress=lambda done, of: told.append((done, of)))
    find(name)(probe, options)
    assert told[-1] == (probe.passes, probe.passes)
    assert {of for _, of in told} == {probe.passes}
