"""The run half's conventions: the same names and numbers as those in the graph."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from numpy.typing import NDArray

from onnxcam import conventions, normalizing
from onnxcam.errors import UnknownChoice
from onnxcam.graph import Tape

Floats = NDArray[np.float32]


def in_graph(name: str, maps: list[Floats], size: tuple[int, int]) -> Floats:
    inputs = ", ".join(f"float[N,{raw.shape[0]},{raw.shape[1]}] m{i}" for i, raw in enumerate(maps))
    tape = Tape(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> m ({inputs}) => () {{}}'))
    values = [tape.value(f"m{i}") for i in range(len(maps))]
    tape.add_output(conventions.CONVENTIONS[name](values, tape.ints(*size)), "heatmap")
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {f"m{i}": raw[None] for i, raw in enumerate(maps)})[0][0]


def raws(layers: int, seed: int = 3) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(4 * i, 5 * i)).astype(np.float32) for i in range(1, layers + 1)]


def test_there_is_a_twin_of_every_convention():
    assert set(normalizing.CONVENTIONS) == set(conventions.CONVENTIONS)


@pytest.mark.parametrize("size", [(32, 27), (3, 4), (16, 20)])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", conventions.CONVENTIONS)
def test_a_twin_gives_the_graphs_numbers(name: str, layers: int, size: tuple[int, int]):
    maps = raws(layers)
    found = normalizing.normalize(maps, size, name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, in_graph(name, maps, size), atol=2e-6)


@pytest.mark.parametrize("name", conventions.CONVENTIONS)
@pytest.mark.parametrize("value", [0.0, -1.0, 2.0])
def test_flat_maps_are_treated_alike(name: str, value: float):
    maps = [np.full((3, 4), value, np.float32)]
    np.testing.assert_allclose(normalizing.normalize(maps, (6, 6), name), in_graph(name, maps, (6, 6)), atol=1e-6)


@pytest.mark.parametrize("name", conventions.CONVENTIONS)
def test_what_is_not_a_number_stays_so(name: str):
    maps = raws(1)
    maps[0][1, 1] = np.inf
    assert not np.isfinite(normalizing.normalize(maps, (8, 10), name)).all()


def test_an_unknown_convention_names_its_neighbours():
    with pytest.raises(UnknownChoice, match="Did you mean 'torchcam'"):
        normalizing.normalize(raws(1), (8, 8), "torch-cam")


def test_the_maps_given_are_left_as_they_are():
    maps = raws(2)
    before = [raw.copy() for raw in maps]
    for name in normalizing.CONVENTIONS:
        normalizing.normalize(maps, (9, 9), name)
    for raw, copy in zip(maps, before, strict=True):
        np.testing.assert_array_equal(raw, copy)
