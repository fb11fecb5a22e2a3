"""What a softmax has changed, shared among its inputs: ln y is x less one number, and the means of y are of ln y."""

from __future__ import annotations

from onnxcam.autodiff.backward.reference import Reference
from onnxcam.autodiff.registry import RuleFunction
from onnxcam.graph import Node, Value

# √ε of two, four and eight bytes: Δx where rounding spoils the quotient as much as curvature does the derivative.
NEAR = {2: 0.03, 4: 3e-4, 8: 1.5e-8}


def near(x: Value) -> float:
    """The Δx below which the derivative is nearer to the truth than a quotient."""
    return NEAR[4 if x.dtype is None else max(x.dtype.itemsize, 2)]


def softmax(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Value:
        """w (g − Σ p g): as the derivative is, with logarithmic means of y and ȳ for y."""
        w = _weights(reference, node)
        return w * g - _shared(w, w * g, node)

    return rule


def log_softmax(reference: Reference) -> RuleFunction:
    def rule(g: Value, node: Node) -> Value:
        """g − p Σ g."""
        w = _weights(reference, node)
        return g - _shared(w, g, node)

    return rule


def _shared(w: Value, g: Value, node: Node) -> Value:
    """p Σ g, with p = w/Σ w: a row that is masked as a whole has none."""
    total = _sum(w, node)
    return w / w.tape.Where(total > 0.0, total, 1.0) * _sum(g, node)


def _weights(reference: Reference, node: Node) -> Value:
    """(y − ȳ)/(ln y − ln ȳ), their mean where they are next to one another."""
    op, x = node.tape, node.x
    axis = node.attributes.get("axis", -1)
    logs = [op.LogSoftmax(value, axis=axis) for value in (x, reference.of(x))]
    y, other = (op.Exp(log) for log in logs)
    change = logs[0] - logs[1]
    # Not a number where both are −∞, as masks leave it: no comparison holds of that.
    is_far = op.Abs(change) > near(x)
    middle = (y + other) * 0.5
    whole = op.Where(op.IsNaN(middle), 0.0, middle)
    return op.Where(is_far, (y - other) / op.Where(is_far, change, 1.0), whole)


def _sum(x: Value, node: Node) -> Value:
    return x.tape.ReduceSum(x, x.tape.ints(node.attributes.get("axis", -1)), keepdims=1)
