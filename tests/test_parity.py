"""The same maps as the libraries that people know: small nets; scripts/parity.py takes large ones."""

from __future__ import annotations

import numpy as np
import pytest
from parity import agreement, compared, our_maps
from parity_rows import ROWS, Row
from parity_small import NETS, asked, made

from onnxcam import convert
from onnxcam.methods import VARIANTS

CASES = [pytest.param(row, name, id=f"{row} {name}") for name, net in NETS.items() for row in ROWS if net.has(row)]
# Methods that mean something else where the other library follows its own mind: without `like` the two differ.
DIFFERENT = {
    ("torchcam", "gradcam++"),
    ("torchcam", "cam"),
    ("torchcam", "refinecam"),
    ("torchcam", "layercam, 2 layers"),
    ("pytorch-grad-cam", "finercam"),
}


@pytest.mark.parametrize(("row", "name"), CASES)
def test_maps_are_those_of_the_other_library(row: Row, name: str):
    found = compared(made(name)[1], row, asked(name, row))
    assert found.is_reached, found


@pytest.mark.parametrize("row", [row for row in ROWS if (row.peer, row.name) in DIFFERENT], ids=repr)
def test_without_like_a_method_is_as_its_paper_has_it(row: Row):
    question = asked("linear", row)
    found = our_maps(made("linear")[1], row, question, is_like=False)
    assert agreement(found, row.theirs(question), in_unit=True).difference > 0.02


def test_every_variant_of_a_library_with_a_formula_is_compared_with_it():
    compared_here = {(row.peer, row.method) for row in ROWS}
    formulas = {key for key, variant in VARIANTS.items() if variant.formula is not None and key[0] != "tf-keras-vis"}
    assert formulas <= compared_here


@pytest.mark.parametrize(
    ("name", "layers"), [("vit", ("blocks.0.norm1", "blocks.1.norm1")), ("swin", ("layers.0", "norm"))]
)
def test_refinecam_takes_stages_or_blocks_when_no_layer_is_named(name: str, layers: tuple[str, ...]):
    assert convert(made(name)[1], method="refinecam").metadata.layers == layers


def test_agreement_tells_a_map_that_is_turned_round():
    ramp = np.linspace(0, 1, 12).reshape(1, 3, 4)
    assert agreement(ramp, ramp, in_unit=True).is_reached
    found = agreement(1 - ramp, ramp, in_unit=True)
    assert found.difference == 1
    assert found.correlation < -0.99


def test_agreement_of_flat_maps_is_none():
    flat = np.full((2, 3, 4), 0.5)
    found = agreement(flat, flat, in_unit=True)
    assert found.flat == 2
    assert not found.is_reached
