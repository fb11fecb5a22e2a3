"""Which nodes of a model a GPU would not take: every op, opset and type against ONNX Runtime's own registry."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.defs
import onnx.helper
import onnx.shape_inference
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

TABLE = Path(__file__).parent / "data" / "kernels.tsv"
OPSET = 18
OWN = ("", "ai.onnx")
SMALL = 64  # elements of constants that are kept for shape inference; sizes and axes are smaller
NAMES = {
    TensorProto.FLOAT: "float", TensorProto.DOUBLE: "double", TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16", TensorProto.INT64: "int64", TensorProto.INT32: "int32",
    TensorProto.INT8: "int8", TensorProto.UINT8: "uint8", TensorProto.BOOL: "bool",
}  # fmt: skip
# Ops that ONNX Runtime replaces by their function bodies before it looks for kernels.
INLINED = frozenset(("CastLike",))
# Ops whose outputs say what sizes are: what is computed of nothing else stays on the CPU by ONNX Runtime's own choice.
SIZES = frozenset(("Shape", "Size", "Constant"))


@dataclass(frozen=True)
class Gap:
    """A node that runs on the CPU although its tensors are on the GPU."""

    node: NodeProto
    why: str

    def __str__(self) -> str:
        return f"{self.node.op_type}: {self.why}"

    __hash__ = object.__hash__

    def is_added(self, outputs: set[str]) -> bool:
        """Whether it gives none of these, of the model as it was."""
        return outputs.isdisjoint(self.node.output)


def read_table() -> dict[str, dict[str, str]]:
    """For each op its CUDA types, "T=float,…; T1=…", and whether WebGPU takes it."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {row["op"]: row for row in csv.DictReader(lines, delimiter="\t")}


KERNELS = read_table()


def gaps(model: ModelProto, provider: str = "cuda") -> list[Gap]:
    """The nodes of the model, those of inner graphs too, that "cuda" or "webgpu" has no kernel for."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert opsets.get("", opsets.get("ai.onnx")) == OPSET, f"the table is of opset {OPSET}"
    light = without_weights(model)
    graph = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    types: dict[str, str] = {}
    note_types(graph, types)
    why = {"cuda": why_not_cuda, "webgpu": why_not_webgpu}[provider]
    return [Gap(node, told) for node in walk(graph, set()) if (told := why(node, types))]


def without_weights(model: ModelProto) -> ModelProto:
    """The model with large constants as inputs: types are all that is asked of them, and 2 GB cannot be inferred."""
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = model.graph
    light.graph.name = graph.name
    light.graph.node.extend(graph.node)
    light.graph.input.extend(graph.input)
    light.graph.output.extend(graph.output)
    for tensor in graph.initializer:
        if onnx.helper.np.prod(tensor.dims) <= SMALL:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return light


def walk(graph: GraphProto, sizes: set[str]) -> Iterator[NodeProto]:
    """Each node, also of inner graphs, that works on more than sizes."""
    known = sizes | {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in SIZES or (node.input and known.issuperset(filter(None, node.input))):
            known.update(node.output)
        else:
            yield node
        for body in bodies(node):
            yield from walk(body, known)


def note_types(graph: GraphProto, types: dict[str, str]) -> None:
    """Adds the types of all values: those declared or inferred, and in bodies, which may be silent, what follows."""
    types.update({tensor.name: NAMES.get(tensor.data_type, "other") for tensor in graph.initializer})
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.tensor_type.elem_type:
            types[info.name] = NAMES.get(info.type.tensor_type.elem_type, "other")
    for node in graph.node:
        given = ["int64", "bool", *node.input[2:]] if node.op_type == "Loop" else list(node.input)
        for body in bodies(node):
            add_unknown(types, zip([info.name for info in body.input], given, strict=False))
            note_types(body, types)
            given_back = [info.name for info in body.output][node.op_type == "Loop" :]
            add_unknown(types, zip(node.output, given_back, strict=False))
        if not any(True for _ in bodies(node)):
            add_unknown(types, types_of_outputs(node, types))


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs within the node."""
    yield from (attribute.g for attribute in node.attribute if attribute.HasField("g"))


def add_unknown(types: dict[str, str], found: Iterable[tuple[str, str]]) -> None:
    """Adds what was not known; a name stands for its type."""
    for name, kind in found:
        types.setdefault(name, types.get(kind, kind) if kind in types or kind in NAMES.values() else "unknown")


def types_of_outputs(node: NodeProto, types: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What the op's schema says of its outputs: a type, or that of an input. Other domains have none here."""
    if node.domain not in OWN:
        return
    schema = onnx.defs.get_schema(node.op_type, OPSET, node.domain)
    to = [attribute.i for attribute in node.attribute if attribute.name == "to"]
    known = {formal.type_str: types.get(name, "") for name, formal in zip(node.input, schema.inputs, strict=False)}
    for name, formal in zip(node.output, schema.outputs, strict=False):
        kind = NAMES.get(to[0], "other") if to else known.get(formal.type_str) or formal.type_str[7:-1]
        yield name, kind


def why_not_cuda(node: NodeProto, types: dict[str, str]) -> str:
    """What of the node CUDA has no kernel for; "" if it has one."""
    row = KERNELS.get(node.op_type)
    if node.op_type in INLINED:
        return ""
    if node.domain not in OWN or row is None or not row["cuda"]:
        return "no kernel"
    allowed = {name: kinds.split(",") for name, _, kinds in (part.partition("=") for part in row["cuda"].split("; "))}
    for parameter, kind in parameters(node, types):
        if parameter in allowed and kind not in allowed[parameter]:
            return f"no kernel for {kind}"
    return odd_attributes(node)


def odd_attributes(node: NodeProto) -> str:
    """What CUDA refuses of ops that it has: what its GetCapability says."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    pads = list(values.get("pads", []))
    if node.op_type == "ConvTranspose" and pads[: len(pads) // 2] != pads[len(pads) // 2 :]:
        return "uneven pads"
    if node.op_type == "ConvTranspose" and values.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return "auto_pad"
    if node.op_type in ("ArgMax", "ArgMin") and values.get("select_last_index"):
        return "select_last_index"
    return ""


def why_not_webgpu(node: NodeProto, types: dict[str, str]) -> str:
    """What of the node WebGPU has no kernel for; "" if it has one, or nobody has tried."""
    row = KERNELS.get(node.op_type)
    if node.domain not in OWN or (row is not None and row["webgpu"] == "no"):
        return "no kernel"
    if row is None or not row["webgpu"]:
        return "not tried"
    if node.op_type == "MaxPool" and len(node.output) > 1:
        return "indices"
    return ""


def parameters(node: NodeProto, types: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The type parameter and the type of each tensor that the node reads and writes."""
    schema = onnx.defs.get_schema(node.op_type, OPSET, "")
    for names, formal in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for place, name in enumerate(names):
            if name and formal:
                yield formal[min(place, len(formal) - 1)].type_str, types.get(name, "unknown")
