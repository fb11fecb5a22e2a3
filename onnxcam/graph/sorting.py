"""Nodes in an order in which each comes behind those that it reads from.

ONNX demands it and ONNX Runtime does not; some writers (float16 conversion by onnxconverter_common) append new nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from onnx import ModelProto, NodeProto

from onnxcam.errors import CyclicModel
from onnxcam.graph.walk import all_graphs, bodies, reads


def sort_nodes(model: ModelProto, name: str) -> None:
    """Leaves the nodes of the model, of its functions and of all bodies in order; where they are, as they were.

    Raises:
        CyclicModel: if nodes of the model, which is told by that name, wait for one another.
    """
    graphs = list(all_graphs(model.graph))
    for function in model.functions:
        graphs += [part for node in function.node for body in bodies(node) for part in all_graphs(body)]
    for holder in (*reversed(graphs), *model.functions):
        nodes = list(holder.node)
        order = _in_order(nodes, name)
        if any(place != wanted for place, wanted in enumerate(order)):
            del holder.node[:]
            holder.node.extend(nodes[place] for place in order)


def _in_order(nodes: Sequence[NodeProto], name: str) -> list[int]:
    """The nodes' places, of those that could come next always the first."""
    makers = {output: place for place, node in enumerate(nodes) for output in node.output if output}
    needs = {place: {makers[tensor] for tensor in reads(node) if tensor in makers} for place, node in enumerate(nodes)}
    sorter, order = TopologicalSorter(needs), list[int]()
    try:
        sorter.prepare()
    except CycleError as error:
        raise CyclicModel(name, [nodes[place].output[0] for place in error.args[1]]) from error
    ready = sorted(sorter.get_ready())
    while ready:
        order.append(heappop(ready))
        sorter.done(order[-1])
        for place in sorter.get_ready():
            heappush(ready, place)
    return order
