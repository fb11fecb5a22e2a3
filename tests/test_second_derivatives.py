"""Gradients of gradients: what rules emit has rules, and what comes out is the derivative of the gradient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from conformance import STEP, Array, Row, build, gradient_model, run
from test_conformance import ROWS

from onnxcam.autodiff import FLAT, RULES, differentiate
from onnxcam.graph import Tape

TOLERANCE = 2e-5
# Rows that stand on a kink, where no difference can follow; at zeros, ReduceProd is right to the first order only.
KINKS = ("a tie is shared", "ties are shared", "none, one and two zeros")
SMOOTH = [row for row in ROWS if not row.name.endswith(KINKS)]


def emitted(row: Row, *, dynamic: bool) -> set[str]:
    """The ops that the gradient adds to the row's model."""
    model, _ = gradient_model(row, dynamic=dynamic)
    own = {name for node in build(row, dynamic=dynamic).graph.node for name in node.output}
    return {node.op_type for node in model.graph.node if own.isdisjoint(node.output)}


@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_every_op_that_a_rule_emits_has_a_rule_or_is_flat(row: Row):
    assert emitted(row, dynamic=False) <= {*RULES, *FLAT}
    if not row.skip_dynamic:
        assert emitted(row, dynamic=True) <= {*RULES, *FLAT}


@pytest.mark.parametrize("row", SMOOTH, ids=repr)
def test_the_gradient_of_the_gradient_equals_its_central_differences(row: Row):
    in_reference = bool(row.skip_onnxruntime)
    model, names = gradient_model(row, dynamic=False)
    values = run(build(row, dynamic=False), row.inputs, list(row.outputs), in_reference=in_reference)
    rng = np.random.default_rng(11)
    cotangents = {f"cotangent_{n}": rng.normal(size=v.shape) for n, v in zip(row.outputs, values, strict=True)}
    feeds: dict[str, Array] = {**row.inputs, **cotangents}
    directions = {name: rng.normal(size=x.shape) for name, x in zip(names, row.inputs.values(), strict=True)}

    def slope(given: Mapping[str, Array]) -> float:
        found = run(model, given, names, in_reference=in_reference)
        return float(sum((g * v).sum() for g, v in zip(found, directions.values(), strict=True)))

    second = derivatives(row, directions, feeds, in_reference=in_reference)
    for name, x in feeds.items():
        expected = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[index] += STEP
            down[index] -= STEP
            expected[index] = (slope({**feeds, name: up}) - slope({**feeds, name: down})) / (2 * STEP)
        found = second.get(name, np.zeros_like(x))
        assert np.abs(found - expected).max() <= TOLERANCE * max(np.abs(expected).max(), 1.0), name


def derivatives(
    row: Row, directions: Mapping[str, Array], feeds: Mapping[str, Array], *, in_reference: bool
) -> dict[str, Array]:
    """Of Σ gradient · direction, by each input that it depends on."""
    model, names = gradient_model(row, dynamic=False)
    tape = Tape(model)
    wrt = [tape.value(name) for name in feeds]
    seeds = {tape.value(name): tape.constant(directions[name]) for name in names}
    given = {value.name: g for value, g in zip(wrt, differentiate(seeds, wrt), strict=True) if g is not None}
    for name, g in given.items():
        tape.add_output(g, f"second_{name}")
    found = run(tape.model, feeds, [f"second_{name}" for name in given], in_reference=in_reference) if given else []
    return dict(zip(given, found, strict=True))
