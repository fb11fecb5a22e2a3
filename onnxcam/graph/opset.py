"""A model of opset 6 to 28 brought to opset 18, which the rules of the differentiator are written for.

onnx.version_converter would do much of it, but it drops the nodes' metadata (where PyTorch tells the module a node came
from) and the functions of the model, and stops at the first op that it has no adapter for. Here an adapter is a small
function for one op and one step of its history (raising.py, lowering.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import onnx.defs
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

import onnxcam.graph.lowering
import onnxcam.graph.lowering_axes
import onnxcam.graph.lowering_latest
import onnxcam.graph.lowering_pooling
import onnxcam.graph.lowering_quantized
import onnxcam.graph.lowering_running
import onnxcam.graph.lowering_sampling
import onnxcam.graph.raising
import onnxcam.graph.raising_first  # noqa: F401  (they fill the tables of adapters)
from onnxcam.errors import UnknownDomain, UnsupportedOpset
from onnxcam.graph.adapters import LOWERING, RAISING, Draft, Scope, inherit, refuse
from onnxcam.graph.contrib import DOMAINS as RUNTIME_DOMAINS
from onnxcam.graph.contrib import adopt, lower_contrib
from onnxcam.graph.expansion import EXPANDED, expand
from onnxcam.graph.quantized import REWRITES, Quantized, to_float
from onnxcam.graph.walk import all_nodes, bodies

OPSET = 18
OLDEST, NEWEST = 6, 28
OLDEST_IR, NEWEST_IR = 8, 10
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
DOMAINS = {"", "ai.onnx.ml", *RUNTIME_DOMAINS}


def to_opset_18(model: ModelProto, domains: Collection[str] = ()) -> None:
    """Leaves the model with its functions inlined, at opset 18 and an IR version from 8 to 10.

    Names, metadata and doc strings stay; nodes that replace one inherit its own. ONNX Runtime's own ops (FusedConv …)
    become those of the default domain, and integer ones (QLinearConv …) float ones between DequantizeLinear and
    QuantizeLinear; ONNX Runtime joins both again.

    Raises:
        UnsupportedOpset, UnsupportedOperator, UnknownDomain
    """
    inline_functions(model)
    _check_domains(model, DOMAINS.union(domains))
    version = _default_opset(model)
    if not OLDEST <= version <= NEWEST:
        raise UnsupportedOpset(version, OLDEST, NEWEST)
    _demote_inputs(model)
    adopt(model)
    convert_graph(model.graph, version, Scope(model, version))
    _set_versions(model)
    lower_contrib(model)
    convert_integers(model)
    _set_versions(model)


def inline_functions(model: ModelProto) -> None:
    """Replaces calls of the model's own functions by their nodes."""
    if not model.functions:
        return
    opset = _default_opset(model)
    own = {entry.version for function in model.functions for entry in function.opset_import if entry.domain in DOMAINS}
    inlined = onnx.inliner.inline_local_functions(model, convert_version=bool(own - {opset, 1}))
    model.CopyFrom(inlined)


def convert_graph(graph: GraphProto, version: int, scope: Scope) -> None:
    """Brings the graph's nodes, and those of their bodies, from `version` to opset 18."""
    for node in graph.node:
        for body in bodies(node):
            convert_graph(body, version, scope)
    replace_nodes(graph, scope, lambda node: [node] if node.domain else convert(node, version, scope))


def convert(node: NodeProto, version: int, scope: Scope) -> list[NodeProto]:
    """The nodes of opset 18 that do what the node did at `version`."""
    return [last for wide in _widened(node, scope) for last in _convert(wide, version, scope)]


def convert_integers(model: ModelProto) -> None:
    """Brings the integer ops of the main graph, at opset 18 already, to float ones."""
    if any(node.op_type in ("QuantizeLinear", *REWRITES) for node in model.graph.node):
        scope, grids = Scope(model, OPSET), dict[str, Quantized]()
        replace_nodes(model.graph, scope, lambda node: to_float(node, scope, grids))


def replace_nodes(graph: GraphProto, scope: Scope, replace: Callable[[NodeProto], list[NodeProto]]) -> None:
    """Puts in each node's place what `replace` gives for it, under its name and with its metadata."""
    nodes: list[NodeProto] = []
    is_changed = False
    for node in graph.node:
        before = NodeProto(name=node.name, output=node.output, doc_string=node.doc_string)
        before.metadata_props.extend(node.metadata_props)
        new = replace(node)
        if len(new) != 1 or new[0] is not node:
            inherit(new, before, scope)
            is_changed = True
        nodes.extend(new)
    if is_changed:
        del graph.node[:]
        graph.node.extend(nodes)


def _convert(node: NodeProto, version: int, scope: Scope) -> Iterator[NodeProto]:
    """One step up or down, then the same for what came out."""
    raising = [step for step in RAISING.get(node.op_type, ()) if version < step <= OPSET]
    lowering = [step for step in LOWERING.get(node.op_type, ()) if step <= version]
    if raising:
        nodes, version = RAISING[node.op_type][min(raising)](node, scope), min(raising)
    elif lowering:
        nodes, version = LOWERING[node.op_type][max(lowering)](node, scope), max(lowering) - 1
    elif onnx.defs.has(node.op_type, OPSET, "") and node.op_type not in EXPANDED:
        yield node
        return
    elif not onnx.defs.has(node.op_type, version, ""):
        raise refuse(node, scope, "ONNX has no such operator")
    else:
        nodes, version = expand(node, scope, version)
    for new in nodes:
        yield from _convert(new, version, scope)


def _widened(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The node between casts to float32 and back where it is in bfloat16 and opset 18 does not have it in that type."""
    if not scope.has_bfloat16 or not onnx.defs.has(node.op_type, OPSET, ""):
        return [node]
    narrow = [index for index, name in enumerate(node.input) if not _takes(node.op_type, index, name, scope)]
    if not narrow:
        return [node]
    draft = Draft(node, scope)
    for index in narrow:
        node.input[index] = draft.cast(node.input[index], TensorProto.FLOAT)
    draft.nodes.append(node)
    for index, name in enumerate(node.output):
        if scope.element_type(name) == TensorProto.BFLOAT16:
            node.output[index] = scope.names.fresh(f"{draft.stem}/float")
            draft("Cast", [node.output[index]], name, to=TensorProto.BFLOAT16)
    return draft.nodes


def _takes(op_type: str, index: int, name: str, scope: Scope) -> bool:
    """Whether opset 18 has the op with the input at `index` in bfloat16, if that is what the tensor is of."""
    schema = onnx.defs.get_schema(op_type, OPSET, "")
    if scope.element_type(name) != TensorProto.BFLOAT16 or not schema.inputs:
        return True
    kind = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
    constraint = next((c for c in schema.type_constraints if c.type_param_str == kind), None)
    return constraint is None or "tensor(bfloat16)" in constraint.allowed_type_strs


def _check_domains(model: ModelProto, known: Collection[str]) -> None:
    for node in all_nodes(model.graph):
        if node.domain == "ai.onnx":
            node.domain = ""
        if node.domain not in known:
            raise UnknownDomain(node.op_type, node.name or node.output[0], node.domain)


def _default_opset(model: ModelProto) -> int:
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), OPSET)


def _demote_inputs(model: ModelProto) -> None:
    """Weights are no inputs: IR 3 had to list them there, and exporters kept the habit.

    From IR 4 on such an input is a default that a caller may replace, so indices and scalars stay.
    """
    weights = {
        tensor.name
        for tensor in model.graph.initializer
        if model.ir_version < 4 or (tensor.dims and tensor.data_type in FLOATS)
    }
    for index in reversed(range(len(model.graph.input))):
        if model.graph.input[index].name in weights:
            del model.graph.input[index]


def _set_versions(model: ModelProto) -> None:
    """Opset 18, the other domains that are in use, and an IR version that every runtime reads."""
    used = {node.domain for node in all_nodes(model.graph)} - {""}
    others = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used}
    del model.opset_import[:]
    model.opset_import.add(domain="", version=OPSET)
    for domain in sorted(used):
        model.opset_import.add(domain=domain, version=others.get(domain, 1))
    model.ir_version = min(max(model.ir_version, OLDEST_IR), NEWEST_IR)
