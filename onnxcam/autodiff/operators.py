"""Every operator of ONNX's own domain, and what becomes of a gradient in it: what the reference page is made of."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcam.autodiff.registry import FLAT, RULES
from onnxcam.graph.loaded_operators import loaded_operators


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: as ONNX calls it.
        since: the opset in which it came.
        gradient: "rule" (one is registered), "zero" (none passes: its outputs are steps, counts, indices or texts),
            "lowered" (the loader writes it in other ops, which have rules), "function" (by the body that ONNX gives for
            it), "refused" (a model that has it cannot be loaded), or "none" (it has been forgotten here, which a test
            does not allow).
        note: what the rule says of itself, by what the op is lowered, or why it is refused.
    """

    name: str
    since: int
    gradient: str
    note: str


def operators() -> list[Operator]:
    """Every operator that ONNX's own domain has had, by name."""
    found = []
    for op in loaded_operators():
        is_kept = op.becomes == "kept" or op.name in RULES
        gradient = _gradient(op.name) if is_kept else op.becomes
        found.append(Operator(op.name, op.since, gradient, _summary(op.name) if gradient == "rule" else op.note))
    return found


def _gradient(name: str) -> str:
    return "rule" if name in RULES else "zero" if name in FLAT else "none"


def _summary(name: str) -> str:
    """The first line that the rule says of itself."""
    return (RULES[name].function.__doc__ or "").strip().partition("\n")[0]
