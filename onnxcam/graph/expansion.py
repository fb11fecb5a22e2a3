"""Ops that came after opset 18 with a body of simpler ones: that body, in the op's place."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import onnx.defs
import onnx.helper
import onnx.shape_inference
from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TypeProto
from onnx.defs import OpSchema
from onnx.shape_inference import InferenceError

from onnxcam.graph.adapters import Scope, refuse, source
from onnxcam.graph.walk import bodies

# Ops that opset 18 has and that are rare enough to have no gradient rule: they are replaced by their bodies too.
EXPANDED = frozenset({"CenterCropPad", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"})


def expand(node: NodeProto, scope: Scope, version: int) -> tuple[list[NodeProto], int]:
    """The nodes of the op's body with the node's own tensors and attributes, and the opset they are of."""
    schema = onnx.defs.get_schema(node.op_type, version, "")
    body = _body(node, schema, scope)
    for inner in body.node:
        _set_attributes(inner, _attributes(node, schema))
    names = {name: source(node, index) for index, name in enumerate(body.input)}
    names |= dict(zip(body.output, node.output, strict=False))
    for inner in body.node:
        rename(inner, names, scope, node.name or node.output[0])
    opset = next(entry.version for entry in body.opset_import if not entry.domain)
    for inner in body.node:
        _note_types(inner, opset, scope)
    return list(body.node), opset


def _note_types(node: NodeProto, opset: int, scope: Scope) -> None:
    """Tells the scope the types of the node's outputs, which bodies and adapters of other ops may ask for."""
    known = {name: scope.types[name] for name in node.input if name in scope.types}
    if node.domain or len(known) < len({name for name in node.input if name}):
        return
    data = {name: scope.constants[name] for name in node.input if name in scope.constants}
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    opsets = [onnx.helper.make_opsetid("", opset)]
    with suppress(InferenceError):
        scope.types.update(onnx.shape_inference.infer_node_outputs(schema, node, known, data, opset_imports=opsets))


def _body(node: NodeProto, schema: Any, scope: Scope) -> FunctionProto:
    """The op's body; `schema` is an OpSchema, whose stubs lack half of its methods."""
    body = FunctionProto()
    if schema.has_function:
        body.CopyFrom(schema.function_body)
        return body
    if not schema.has_context_dependent_function:
        raise refuse(node, scope, "opset 18 has nothing that does the same")
    if any(name and not scope.element_type(name) for name in node.input):
        raise refuse(node, scope, "the type of its inputs is unknown")
    types = [scope.types[name] if name in scope.types else _type(name, scope) for name in node.input]
    text = schema.get_context_dependent_function_with_opset_version(
        schema.context_dependent_function_opset_versions[-1],
        node.SerializeToString(),
        [kind.SerializeToString() for kind in types],
    )
    if not text:
        raise refuse(node, scope, "ONNX gives no simpler form for these inputs")
    body.ParseFromString(text)
    return body


def _type(name: str, scope: Scope) -> TypeProto:
    """The type of a constant that a node made; an empty one for an input left out."""
    return onnx.helper.make_tensor_type_proto(scope.element_type(name), scope.shape(name)) if name else TypeProto()


def _attributes(node: NodeProto, schema: OpSchema) -> dict[str, AttributeProto]:
    """The node's attributes, and the defaults of those it lacks."""
    defaults = {name: a.default_value for name, a in schema.attributes.items() if a.default_value.name}
    return defaults | {attribute.name: attribute for attribute in node.attribute}


def _set_attributes(inner: NodeProto, given: dict[str, AttributeProto]) -> None:
    """Fills in what the body's node takes from the attributes of the op; drops what was not given."""
    for index in reversed(range(len(inner.attribute))):
        attribute = inner.attribute[index]
        if name := attribute.ref_attr_name:
            own = attribute.name
            del inner.attribute[index]
            if name in given:
                inner.attribute.add().CopyFrom(given[name])
                inner.attribute[-1].name = own
    for body in bodies(inner):
        for node in body.node:
            _set_attributes(node, given)


def rename(node: NodeProto, names: dict[str, str], scope: Scope, stem: str) -> None:
    """Gives the node's tensors their names outside, fresh ones where they have none yet."""
    node.name = ""
    for index, name in enumerate(node.input):
        node.input[index] = names.get(name, name)
    for body in bodies(node):
        _rename_body(body, dict(names), scope, stem)
    for index, name in enumerate(node.output):
        if name and name not in names:
            names[name] = scope.names.fresh(f"{stem}/{name}")
        node.output[index] = names.get(name, "")


def _rename_body(body: GraphProto, names: dict[str, str], scope: Scope, stem: str) -> None:
    for item in (*body.input, *body.initializer):
        names[item.name] = scope.names.fresh(f"{stem}/{item.name}")
        item.name = names[item.name]
    for node in body.node:
        for name in node.output:
            names.pop(name, None)
        rename(node, names, scope, stem)
    for info in body.output:
        info.name = names.get(info.name, info.name)
