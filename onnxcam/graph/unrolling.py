"""Control flow that is decided when the model is written: the branch that is always taken, the turns of a counted loop.

In their node's place they are plain nodes, whose shapes are known and among which layers can be found. States may then
change their shape from one turn to the next, and lists may grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx.helper
import onnx.numpy_helper
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, Scope, constant_tensor
from onnxcam.graph.walk import bodies

OPSET = 18
LIMIT_NODES = 512  # that one loop may become


def unroll(model: ModelProto) -> bool:
    """Whether there was such an If or Loop in the main graph; it has been replaced."""
    scope = Scope(model, OPSET)
    instead = [_instead(node, scope) for node in model.graph.node]
    if not any(instead):
        return False
    nodes = [new for node, others in zip(model.graph.node, instead, strict=True) for new in others or [node]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return True


def _instead(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """What the node comes to; empty where that shows only at run time."""
    if node.domain or node.op_type not in ("If", "Loop"):
        return []
    return _branch(node, scope) if node.op_type == "If" else _turns(node, scope)


def _branch(node: NodeProto, scope: Scope) -> list[NodeProto]:
    condition = scope.array(node.input[0])
    if condition is None:
        return []
    wanted = "then_branch" if condition.all() else "else_branch"
    graph = next(a.g for a in node.attribute if a.name == wanted)
    draft = Draft(node, scope)
    _hand_over(draft, _once(graph, {}, draft))
    return draft.nodes


def _turns(node: NodeProto, scope: Scope) -> list[NodeProto]:
    (graph,) = bodies(node)
    count = _known_count(node, graph, scope)
    if count is None or not 0 < count * len(graph.node) <= LIMIT_NODES:
        return []
    draft, states = Draft(node, scope), list(node.input[2:])
    piles: list[list[str]] = [[] for _ in graph.output[1 + len(states) :]]
    yes = scope.constant(np.array(True), f"{draft.stem}/condition")
    names = [info.name for info in graph.input]
    for turn in range(count):
        number = scope.constant(np.array(turn), f"{draft.stem}/turn")
        _, *found = _once(graph, dict(zip(names, (number, yes, *states), strict=True)), draft)
        states = found[: len(states)]
        for pile, name in zip(piles, found[len(states) :], strict=True):
            pile.append(draft("Unsqueeze", [name, draft.ints(0)]))
    _hand_over(draft, [*states, *(draft("Concat", pile, axis=0) for pile in piles)])
    return draft.nodes


def _known_count(node: NodeProto, graph: GraphProto, scope: Scope) -> int | None:
    """How often the Loop runs; None where that depends on what the model is given."""
    count = scope.array(node.input[0]) if node.input[0] else None
    starts = scope.array(node.input[1]) if node.input[1] else np.array(True)
    if count is None or starts is None or not starts.all() or not _goes_on(graph, scope):
        return None
    return int(count.reshape(()))


def _goes_on(graph: GraphProto, scope: Scope) -> bool:
    """Whether the body hands the condition on as it is, or always says yes."""
    made = {name: node for node in graph.node for name in node.output}
    name = graph.output[0].name
    while name in made and made[name].op_type == "Identity":
        name = made[name].input[0]
    if name == graph.input[1].name:
        return True
    own = next((tensor for tensor in graph.initializer if tensor.name == name), None)
    if name in made and made[name].op_type == "Constant":
        own = constant_tensor(made[name])
    said = onnx.numpy_helper.to_array(own) if own is not None else None if name in made else scope.array(name)
    return bool(said is not None and said.all())


def _once(graph: GraphProto, given: Mapping[str, str], draft: Draft) -> list[str]:
    """Adds the body's nodes under names of their own; the names that its outputs have then."""
    names = dict(given)
    for tensor in graph.initializer:
        names[tensor.name] = _add_constant(tensor, draft.scope)
    for node in graph.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        _rename_reads([copy], names)
        for index, name in enumerate(node.output):
            if name:
                names[name] = copy.output[index] = draft.scope.names.fresh(f"{draft.stem}/{name}")
        copy.name = draft.scope.names.fresh(f"{draft.stem}/{node.name or node.op_type}")
        draft.nodes.append(copy)
    return [names.get(info.name, info.name) for info in graph.output]


def _rename_reads(nodes: Iterable[NodeProto], names: Mapping[str, str]) -> None:
    """Renames what the nodes read, in their bodies too: what those make has names that are free around them."""
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for body in bodies(node):
            _rename_reads(body.node, names)
            for info in body.output:
                info.name = names.get(info.name, info.name)


def _add_constant(tensor: TensorProto, scope: Scope) -> str:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = scope.names.fresh(tensor.name)
    scope.model.graph.initializer.append(copy)
    scope.constants[copy.name] = scope.model.graph.initializer[-1]
    return str(copy.name)


def _hand_over(draft: Draft, results: Sequence[str]) -> None:
    """Gives the results the names of the node's outputs; the first such node has its name."""
    for result, output in zip(results, draft.node.output, strict=True):
        if output:
            draft.nodes.append(
                onnx.helper.make_node("Identity", [result], [output], name=draft.scope.names.fresh(output))
            )
