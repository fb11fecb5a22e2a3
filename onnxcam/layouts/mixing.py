"""Ops that sum over an axis or put a learned one in its place: products of matrices, reductions, recurrent layers."""

from __future__ import annotations

from onnxcam.layouts.axes import Axes, Axis, channels, is_spatial, joined
from onnxcam.layouts.following import Step, UnknownAxes, follows


@follows("MatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul")
def matmul(step: Step) -> Axes:
    """Rows of the first, columns of the second; what is in front is broadcast."""
    a, b = step.axes(0), step.axes(3 if step.node.op_type == "QLinearMatMul" else 1)
    rows = a[-2:-1] if len(a) > 1 else ()
    columns = b[-1:] if len(b) > 1 else ()
    rank = len(step.shape) - len(rows) - len(columns)
    leading = [((),) * (rank - len(x[:-2])) + x[:-2] for x in (a, b)]
    batch = (joined(pair, size) for pair, size in zip(zip(*leading, strict=True), step.shape, strict=False))
    return (*batch, *rows, *columns)


@follows("Gemm")
def gemm(step: Step) -> Axes:
    """Rows of the first, columns of the second, either of which may be turned."""
    a, b = step.axes(0), step.axes(1)
    return a[1 if step.attribute("transA", 0) else 0], b[0 if step.attribute("transB", 0) else 1]


@follows("Einsum")
def einsum(step: Step) -> Axes:
    """Each letter of the result is what it is in the operands."""
    operands, _, result = step.attribute("equation", "").replace(" ", "").partition("->")
    terms = operands.split(",")
    if "." in operands or not result or any(len(t) != len(step.axes(i)) for i, t in enumerate(terms)):
        raise UnknownAxes
    found: dict[str, list[Axis]] = {}
    for index, term in enumerate(terms):
        for letter, axis in zip(term, step.axes(index), strict=True):
            found.setdefault(letter, []).append(axis)
    return tuple(joined(found[letter], size) for letter, size in zip(result, step.shape, strict=True))


@follows(
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
def reduced(step: Step) -> Axes:
    """The axes that are summed over are gone, or of size one."""
    known, axes = step.axes(0), step.ints(1)
    listed = axes if axes is not None else step.attribute("axes", None)
    if listed is None and step.node.optional(1) is not None:
        raise UnknownAxes
    gone = {axis % len(known) for axis in (range(len(known)) if listed is None else listed)}
    if step.attribute("keepdims", 1):
        return tuple(() if index in gone else axis for index, axis in enumerate(known))
    return tuple(axis for index, axis in enumerate(known) if index not in gone)


@follows("LSTM", "GRU", "RNN")
def recurrent(step: Step) -> list[Axes | None]:
    """Y is (steps, directions, batch, hidden), the last states (directions, batch, hidden)."""
    steps, batch, _ = step.axes(0)
    if step.attribute("layout", 0):
        raise UnknownAxes
    hidden, directions = channels(step.shape[-1]), channels(step.shape[1])
    last = (directions, batch, hidden)
    return [(steps, directions, batch, hidden), last, last]


@follows("TopK")
def best(step: Step) -> list[Axes | None]:
    """Along the axis lie the best, wherever they come from."""
    axis = step.attribute("axis", -1) % len(step.shape)
    known = step.axes(0)
    values = tuple(channels(step.shape[i]) if i == axis and is_spatial(x) else x for i, x in enumerate(known))
    return [values, None]
