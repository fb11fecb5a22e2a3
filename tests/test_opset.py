"""Raising and lowering, judged by ONNX Runtime's answers before and after."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.helper
import onnxruntime
import pytest
from onnx import ModelProto
from onnx_runs import Array, feeds, model, run, sample_paths

from onnxcam.errors import UnknownDomain, UnsupportedOperator, UnsupportedOpset
from onnxcam.graph import lowering, raising
from onnxcam.graph.adapters import LOWERING, RAISING
from onnxcam.graph.files import read
from onnxcam.graph.opset import to_opset_18


@dataclass(frozen=True)
class Case:
    name: str
    opset: int
    text: str
    tolerance: float = 1e-6


X = "(float[N, 4, 6, 6] x) => (float[] y)"
XY = "(float[N, 4, 6, 6] x) => (float[N, 4, 6, 6] y)"
RAISED = [
    Case("BatchNormalization of pixels", 7, """(float[N, 2, 2, 2] x) => (float[] y)
        <float[2, 2, 2] s = {1, 2, 3, 4, 5, 6, 7, 8}, float[2, 2, 2] v = {1, 2, 1, 2, 1, 2, 1, 2}>
        { y = BatchNormalization <spatial = 0> (x, s, s, v, v) }"""),
    Case("BatchNormalization", 7, """(float[N, 2, 2, 2] x) => (float[] y) <float[2] s = {1, 2}, float[2] v = {3, 2}>
        { y = BatchNormalization <spatial = 1, epsilon = 0.1> (x, s, s, v, v) }"""),
    Case("Clip, both bounds", 7, f"{X} {{ y = Clip <min = -0.5, max = 0.5> (x) }}"),
    Case("Clip, one bound", 10, f"{X} {{ y = Clip <max = 0.5> (x) }}"),
    Case("Dropout, mask unused", 7, f"{X} {{ y, m = Dropout <ratio = 0.3> (x) }}"),
    Case("Dropout", 10, f"{X} {{ y = Dropout <ratio = 0.3> (x) }}"),
    Case("Hardmax over the rest", 11, f"{X} {{ y = Hardmax (x) }}"),
    Case("LogSoftmax over the rest", 9, f"{X} {{ y = LogSoftmax <axis = 2> (x) }}"),
    Case("Softmax over the rest", 7, f"{X} {{ y = Softmax (x) }}"),
    Case("Softmax, last axis", 11, f"{X} {{ y = Softmax <axis = 3> (x) }}"),
    Case("Softmax, ones behind", 11, "(float[N, 5, 1, 1] x) => (float[] y) { y = Softmax <axis = 1> (x) }"),
    Case("Pad", 9, f"{X} {{ y = Pad <pads = [0, 0, 1, 2, 0, 0, 3, 0], value = 2.5> (x) }}"),
    Case("Pad, reflected", 7, f'{X} {{ y = Pad <pads = [0, 0, 1, 2, 0, 0, 3, 0], mode = "reflect"> (x) }}'),
    *(
        Case(f"Reduce{kind}", 12, f"{X} {{ p = Abs (x) y = Reduce{kind} <axes = [1, -1], keepdims = 0> (p) }}", 1e-5)
        for kind in raising.REDUCTIONS
    ),
    Case("ReduceMean, all axes", 9, f"{X} {{ y = ReduceMean (x) }}"),
    Case("Resize, growing", 10, f"""{X} <float[4] s = {{1, 1, 2, 1.5}}> {{ y = Resize <mode = "nearest"> (x, s) }}"""),
    Case("Resize, shrinking", 10, f"""{X} <float[4] s = {{1, 1, 0.4, 0.7}}> {{ y = Resize (x, s) }}"""),
    Case("Resize, linear", 10, f"""{X} <float[4] s = {{1, 1, 2, 1.5}}> {{ y = Resize <mode = "linear"> (x, s) }}"""),
    Case("Resize to a size", 11, """(float[1, 4, 6, 6] x) => (float[] y)
        <float[0] e = {}, int64[4] s = {1, 4, 9, 5}> { y = Resize <mode = "cubic"> (x, e, e, s) }"""),
    Case("RoiAlign", 10, """(float[1, 4, 6, 6] x) => (float[] y)
        <float[1, 4] r = {0.3, 0.6, 4.1, 3.7}, int64[1] i = {0}>
        { y = RoiAlign <output_height = 3, output_width = 2, sampling_ratio = 2> (x, r, i) }"""),
    Case("Scatter", 10, """(float[3, 3] x) => (float[] y) <int64[1, 3] i = {1, 0, 2}, float[1, 3] u = {7, 8, 9}>
        { y = Scatter <axis = 0> (x, i, u) }"""),
    Case("Slice", 7, f"{X} {{ y = Slice <starts = [1, -3], ends = [3, 9], axes = [1, 3]> (x) }}"),
    Case("Slice, no axes", 9, f"{X} {{ y = Slice <starts = [0, 1], ends = [9, 3]> (x) }}"),
    Case("Split by sizes", 11, f"{X} {{ a, b = Split <axis = 1, split = [1, 3]> (x) y = Concat <axis = 1> (b, a) }}"),
    Case("Split evenly", 13, f"{X} {{ a, b = Split <axis = 1> (x) y = Concat <axis = 1> (b, a) }}"),
    Case("Squeeze and Unsqueeze", 11, f"{X} {{ a = Unsqueeze <axes = [0, 5]> (x) y = Squeeze <axes = [0]> (a) }}"),
    Case("Squeeze, no axes", 11, "(float[2, 1, 3] x) => (float[] y) { y = Squeeze (x) }"),
    Case("TopK", 7, f"{X} {{ y, i = TopK <axis = 3, k = 2> (x) }}"),
    Case("Upsample by attribute", 7, f"{X} {{ y = Upsample <scales = [1.0, 1.0, 2.0, 3.0]> (x) }}"),
    Case("Upsample by input", 9, f'{X} <float[4] s = {{1, 1, 2, 2}}> {{ y = Upsample <mode = "linear"> (x, s) }}'),
    Case("If, with an old op inside", 11, """(float[1, 4] x, bool c) => (float[] y)
        { y = If (c) <then_branch = t () => (float[] p) { p = Squeeze <axes = [0]> (x) },
                      else_branch = e () => (float[] q) { q = ReduceSum <axes = [0], keepdims = 0> (x) }> }"""),
]  # fmt: skip
LOWERED = [
    Case("AveragePool", 19, f"{X} {{ y = AveragePool <kernel_shape = [2, 2], dilations = [1, 1]> (x) }}"),
    Case("AveragePool with gaps", 19, f"""{X}
        {{ y = AveragePool <kernel_shape = [2, 3], dilations = [2, 1], strides = [1, 2]> (x) }}"""),
    Case("AveragePool with gaps, padded", 19, f"""{X}
        {{ y = AveragePool <kernel_shape = [2, 2], dilations = [2, 3], pads = [1, 0, 1, 1]> (x) }}"""),
    Case("AveragePool with gaps, padding counted", 19, f"""{X}
        {{ y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1,
            strides = [2, 3]> (x) }}"""),
    Case("AveragePool with gaps, rounded up", 19, f"""{X}
        {{ y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2], ceil_mode = 1, strides = [2, 3]> (x) }}"""),
    Case("AveragePool with gaps, rounded up from an open size", 19, """(float[N, 4, H, W] x) => (float[] y)
        { y = AveragePool <kernel_shape = [3, 3], dilations = [2, 2], ceil_mode = 1, strides = [2, 3],
            pads = [1, 1, 1, 1]> (x) }"""),
    Case("Cast", 24, f"{X} {{ h = Cast <to = 10> (x) y = Cast <to = 1> (h) }}"),
    Case("DequantizeLinear", 21, """(float[N, 4] x) => (float[] y) <float s = {0.1}, int8 z = {3}>
        { q = QuantizeLinear (x, s, z) y = DequantizeLinear <block_size = 0> (q, s, z) }"""),
    Case("QuantizeLinear, signed without a zero point", 21, """(float[N, 4] x) => (float[] y) <float s = {0.1}>
        { q = QuantizeLinear <output_dtype = 3> (x, s)
          y = DequantizeLinear (q, s) }"""),
    Case("QuantizeLinear, float16", 19, """(float[N, 4] x) => (float[] y) <float w = {0.125}, uint8 z = {128}>
        { s = Cast <to = 10> (w) h = Cast <to = 10> (x) q = QuantizeLinear (h, s, z)
          d = DequantizeLinear (q, s, z) y = Cast <to = 1> (d) }"""),
    Case("DequantizeLinear by block", 21, """(float[N, 4] x) => (float[] y)
        <uint8[5, 4] q = {1,2,3,4, 5,6,7,8, 9,10,11,12, 13,14,15,16, 17,18,19,20},
         float[3, 4] s = {1,2,3,4, 0.1,0.2,0.3,0.4, 5,6,7,8}, uint8[3, 4] z = {1,1,1,1, 2,2,2,2, 3,3,3,3}>
        { w = DequantizeLinear <axis = 0, block_size = 2> (q, s, z) t = Transpose (w) y = MatMul (x, t) }"""),
    Case("DequantizeLinear of 16 bits", 21, """(float[N, 4] x) => (float[] y) <int16[4] q = {-300, 2, 3, 400},
         float[4] s = {1, 0.2, 3, 0.4}>
        { w = DequantizeLinear <axis = 0> (q, s) y = Add (x, w) }"""),
    Case("QuantizeLinear by block", 21, """(float[4, 4] x) => (float[] y)
        <float[4, 2] s = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}, int8[4, 2] z = {0, 0, 1, 1, 2, 2, 3, 3}>
        { q = QuantizeLinear <axis = 1, block_size = 2> (x, s, z)
          y = DequantizeLinear <axis = 1, block_size = 2> (q, s, z) }"""),
    Case("DFT", 20, "(float[1, 4, 2] x) => (float[] y) <int64 a = {1}> { y = DFT (x, , a) }", 1e-5),
    Case("Gelu", 20, f"{X} {{ y = Gelu (x) }}"),
    Case("Gelu, tanh", 20, f'{X} {{ y = Gelu <approximate = "tanh"> (x) }}'),
    Case("GridSample", 20, """(float[1, 4, 6, 6] x, float[1, 3, 3, 2] g) => (float[] y) { y = GridSample (x, g) }"""),
    Case("GridSample, cubic", 20, """(float[1, 4, 6, 6] x, float[1, 3, 3, 2] g) => (float[] y)
        { y = GridSample <mode = "cubic", padding_mode = "border"> (x, g) }"""),
    Case("GroupNormalization", 21, f"""{XY} <float[4] s = {{1, 2, 3, 4}}, float[4] b = {{4, 3, 2, 1}}>
        {{ y = GroupNormalization <num_groups = 2> (x, s, b) }}""", 1e-5),
    Case("GroupNormalization, by group", 18, f"""{XY} <float[2] s = {{1, 2}}, float[2] b = {{4, 3}}>
        {{ y = GroupNormalization <num_groups = 2> (x, s, b) }}""", 1e-5),
    Case("Pad, wrapped", 19, f"""{X} <int64[8] p = {{0, 0, 1, 2, 0, 0, 3, 0}}> {{ y = Pad <mode = "wrap"> (x, p) }}"""),
    Case("Pad, wrapped, two axes", 19, f"""{X} <int64[4] p = {{1, 2, 3, 0}}, int64[2] a = {{-1, 2}}>
        {{ y = Pad <mode = "wrap"> (x, p, , a) }}"""),
    Case("Pad, wrapped and cut", 19, f"""{X} <int64[8] p = {{0, 0, -1, 2, 0, 1, 3, -2}}>
        {{ y = Pad <mode = "wrap"> (x, p) }}"""),
    Case("Pad", 21, f"{X} <int64[8] p = {{0, 0, 1, 2, 0, 0, 3, 0}}> {{ y = Pad (x, p) }}"),
    Case("ReduceMax of truth values", 20, f"""{X} <int64[1] a = {{1}}, float zero = {{0}}>
        {{ b = Greater (x, zero) r = ReduceMax <keepdims = 0> (b, a) y = Cast <to = 1> (r) }}"""),
    Case("ReduceMin of truth values", 20, f"""{X} <int64[1] a = {{1}}, float zero = {{0}}>
        {{ b = Greater (x, zero) r = ReduceMin (b, a) y = Cast <to = 1> (r) }}"""),
    Case("Resize, symmetric, sizes that do not divide", 19, f"""{X} <float[4] s = {{1, 1, 0.7, 1.3}}>
        {{ y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel_symmetric"> (x, , s) }}"""),
    Case("Resize, symmetric", 19, f"""{X} <float[4] s = {{1, 1, 2, 3}}>
        {{ y = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel_symmetric"> (x, , s) }}"""),
    Case("Swish", 24, f"{X} {{ y = Swish <alpha = 1.5> (x) }}"),
    Case("RMSNormalization, by its body", 23, f"""{X} <float[6] s = {{1, 2, 3, 4, 5, 6}}>
        {{ y = RMSNormalization (x, s) }}"""),
    Case("Attention, by its body", 23, """(float[N, 2, 5, 4] q, float[N, 2, 5, 4] k) => (float[] y)
        { y = Attention (q, k, k) }"""),
    Case("Attention of three axes, by its body", 24, """(float[N, 5, 8] q, float[N, 5, 8] k) => (float[] y)
        { y = Attention <q_num_heads = 2, kv_num_heads = 2, is_causal = 1> (q, k, k) }"""),
    Case("RotaryEmbedding, by its body", 23, """(float[1, 2, 3, 4] x, float[1, 3, 2] c) => (float[] y)
        { y = RotaryEmbedding (x, c, c) }"""),
    Case("AffineGrid", 20, """(float[1, 2, 3] x) => (float[] y) <int64[4] s = {1, 1, 4, 5}>
        { y = AffineGrid (x, s) }"""),
    Case("AffineGrid of a volume, aligned", 20, """(float[2, 3, 4] x) => (float[] y) <int64[5] s = {2, 1, 3, 4, 5}>
        { y = AffineGrid <align_corners = 1> (x, s) }"""),
]  # fmt: skip


def converted(original: ModelProto) -> ModelProto:
    result = ModelProto()
    result.CopyFrom(original)
    to_opset_18(result)
    return result


def inputs_of(case: Case, original: ModelProto) -> dict[str, Array]:
    made = {info.name for info in original.graph.input}
    shapes = {i.name: [d.dim_value or 2 for d in i.type.tensor_type.shape.dim] for i in original.graph.input}
    rng = np.random.default_rng(1)
    kinds = {i.name: i.type.tensor_type.elem_type for i in original.graph.input}
    return {n: np.array(True) if kinds[n] == 9 else rng.normal(size=shapes[n]).astype(np.float32) for n in sorted(made)}


@pytest.mark.parametrize("case", RAISED + LOWERED, ids=lambda case: f"{case.name}, {case.opset}")
def test_a_converted_op_gives_what_it_gave(case: Case):
    original = model(case.text, opset=case.opset, ir=10)
    result = converted(original)
    onnx.checker.check_model(result, full_check=True)
    given = inputs_of(case, original)
    for expected, found in zip(run(original, given), run(result, given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=case.tolerance, atol=case.tolerance)


@pytest.mark.parametrize("case", RAISED + LOWERED, ids=lambda case: f"{case.name}, {case.opset}")
def test_a_converted_model_is_of_opset_18(case: Case):
    result = converted(model(case.text, opset=case.opset, ir=10))
    assert [(entry.domain, entry.version) for entry in result.opset_import] == [("", 18)]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_onnx_runtime_joins_a_lowered_gelu_again(approximate: str, tmp_path: Path):
    text = f'{XY} {{ a = Abs (x) b = Gelu <approximate = "{approximate}"> (a) y = Neg (b) }}'
    proto = converted(model(text, opset=20))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert {node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node} - {"Gelu", "FastGelu"} == {
        "Abs",
        "Neg",
    }


@pytest.mark.parametrize("path", sample_paths())
def test_a_real_model_gives_what_it_gave(path: Path):
    proto, _ = read(path)
    to_opset_18(proto)
    onnx.checker.check_model(proto, full_check=True)
    given = feeds(path)
    tolerance = 2e-3 if "fp16" in path.stem else 1e-6
    for expected, found in zip(run(path, given), run(proto, given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def history() -> dict[str, list[onnx.defs.OpSchema]]:
    """Every version of every op of ONNX's own domain."""
    found: dict[str, list[onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema)
    return {name: sorted(schemas, key=lambda s: s.since_version) for name, schemas in found.items()}


def surface(schema: onnx.defs.OpSchema) -> object:
    """What a node of the op can be written with."""
    attributes = {
        name: (str(a.type), a.required, a.default_value.SerializeToString()) for name, a in schema.attributes.items()
    }
    ports = [[(port.name, str(port.option)) for port in ports] for ports in (schema.inputs, schema.outputs)]
    return attributes, ports, schema.deprecated


def changes(low: int, high: int) -> set[tuple[str, int]]:
    """Ops written differently from one version on, with that version."""
    found = set()
    for name, schemas in history().items():
        for old, new in pairwise(schemas):
            if low < new.since_version <= high and surface(old) != surface(new):
                found.add((name, new.since_version))
    return found


def adapters(table: dict[str, dict[int, object]]) -> set[tuple[str, int]]:
    return {(name, step) for name, steps in table.items() for step in steps}


def test_every_change_up_to_18_has_an_adapter_or_is_compatible():
    withdrawn = {("GroupNormalization", 18)}  # it came in that form
    assert changes(6, 18) - adapters(RAISING) - raising.COMPATIBLE - withdrawn == set()


def test_no_adapter_is_called_compatible():
    assert not adapters(RAISING) & raising.COMPATIBLE
    assert not adapters(LOWERING) & lowering.COMPATIBLE


def test_every_change_after_18_has_an_adapter_or_is_compatible():
    assert changes(18, 28) - adapters(LOWERING) - lowering.COMPATIBLE == set()


def test_every_op_that_came_after_18_has_an_adapter_a_body_or_no_equal():
    new = {name: schemas[0] for name, schemas in history().items() if 18 < schemas[0].since_version <= 28}
    bodies = {name for name, s in new.items() if s.has_function or s.has_context_dependent_function}
    assert set(new) == bodies | set(lowering.WITHOUT_EQUAL) | (set(new) & set(LOWERING))
    assert not bodies & set(lowering.WITHOUT_EQUAL)


@pytest.mark.parametrize(
    ("opset", "text"),
    [
        (19, """(float[N, C, 4, 4] x) => (float[] y)
            { y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2]> (x) }"""),
        (21, """(float[4, 4] x) => (float[] y) <float s = {0.1}, int16 z = {3}>
            { q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }"""),
        (20, """(float[1, 1, 4, 4, 4] x, float[1, 2, 2, 2, 3] g) => (float[] y)
            { y = GridSample <mode = "cubic"> (x, g) }"""),
        (26, "(float[1, 1, 4, 4] x) => (int32[] y) { y = BitCast <to = 6> (x) }"),
        (13, "(float[1, 1, 4, 4] x) => (float[] y) { y = NoSuchOp (x) }"),
        (9, """(float[2, 4] x) => (float[] y) <float[4] s = {1, 1, 1, 1}>
            { y, m = BatchNormalization (x, s, s, s, s) z = Add (y, m) }"""),
    ],
)  # fmt: skip
def test_what_18_cannot_say_is_refused_by_name(opset: int, text: str):
    with pytest.raises(UnsupportedOperator, match=rf"opset {opset}\) cannot be brought to opset 18"):
        to_opset_18(model(text, opset=opset, ir=10))


@pytest.mark.parametrize("opset", [5, 29])
def test_an_opset_outside_the_range_is_refused(opset: int):
    proto = model(f"{X} {{ y = Relu (x) }}", opset=13)
    proto.opset_import[0].version = opset
    with pytest.raises(UnsupportedOpset, match=f"opset {opset}; opsets 6 to 28 can be read"):
        to_opset_18(proto)


def test_a_custom_op_is_refused_by_name():
    proto = model(f"{X} {{ [deep] y = acme.Warp (x) }}", opset=13, other="acme")
    with pytest.raises(UnknownDomain, match=r"Warp \(node 'deep'\) is a custom operator of domain 'acme'"):
        to_opset_18(proto)


def test_a_domain_that_is_only_declared_is_dropped():
    proto = model(f"{X} {{ y = Relu (x) }}", opset=13, other="acme")
    assert [entry.domain for entry in converted(proto).opset_import] == [""]


def test_names_metadata_and_doc_strings_are_kept():
    proto = model(f"{X} {{ [soft] y = Softmax (x) }}", opset=11)
    proto.graph.node[0].doc_string = "said by the author"
    proto.graph.node[0].metadata_props.add(key="module", value="head")
    nodes = converted(proto).graph.node
    assert [n.name for n in nodes if "y" in n.output] == ["soft"]
    assert len(nodes) > 1
    assert {n.doc_string for n in nodes} == {"said by the author"}
    assert {(p.key, p.value) for n in nodes for p in n.metadata_props} == {("module", "head")}


def test_fresh_names_collide_with_none_not_even_inside_a_body():
    proto = model("""(float[2, 3, 4] x, bool c) => (float[] y)
        { [soft] a = Softmax (x)
          y = If (c) <then_branch = t () => (float[] p) { p = Neg (a) },
                      else_branch = e () => (float[] q) { r = Relu (a) q = Neg (r) }> }""", opset=11)  # fmt: skip
    inner = proto.graph.node[1].attribute[1].g.node
    inner[0].output[0] = inner[1].input[0] = "soft/Flatten"
    result = converted(proto)
    outer = {name for node in result.graph.node for name in node.output}
    assert "soft/Flatten" not in outer
    given = {"x": np.ones((2, 3, 4), np.float32), "c": np.array(False)}
    np.testing.assert_allclose(run(result, given)[0], run(proto, given)[0], rtol=1e-6)


def test_functions_of_the_model_are_inlined_with_their_metadata():
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13, "own": 1]>
        g (float[N, 3] x) => (float[N, 3] y) { y = own.F (x) }
        <domain: "own", opset_import: ["": 13]> F (p) => (q) { t = Relu (p) q = Softmax (t) }""")
    proto.functions[0].node[0].metadata_props.add(key="module", value="inside")
    result = converted(proto)
    assert not result.functions
    assert [n.op_type for n in result.graph.node] == ["Relu", "Softmax"]
    assert result.graph.node[0].metadata_props[0].value == "inside"


def test_weights_listed_as_inputs_in_ir_3_are_inputs_no_more():
    proto = model("(float[2] x, float[2] w) => (float[] y) <float[2] w = {1, 2}> { y = Add (x, w) }", opset=7)
    proto.ir_version = 3
    assert [info.name for info in converted(proto).graph.input] == ["x"]


def test_an_index_with_a_default_stays_an_input():
    proto = model(
        "(float[2, 2] x, int64[1] target) => (float[1, 2] y) <int64[1] target = {1}> { y = Gather (x, target) }",
        opset=13,
    )
    assert [info.name for info in converted(proto).graph.input] == ["x", "target"]


def test_bfloat16_survives_where_18_has_no_such_type():
    proto = model("""(bfloat16[1, 2, 4, 4] x) => (bfloat16[] y) <bfloat16[2, 2, 1, 1] w = {1, 2, 3, 4}>
        { c = Conv (x, w) y = Relu (c) }""", opset=22, ir=10)  # fmt: skip
    result = converted(proto)
    onnx.checker.check_model(result, full_check=True)
    assert [n.op_type for n in result.graph.node] == ["Cast", "Cast", "Conv", "Cast", "Relu"]


def test_a_float16_clip_keeps_its_type():
    proto = model("(float16[2, 3] x) => (float16[] y) { y = Clip <min = 0.0, max = 6.0> (x) }", opset=10)
    onnx.checker.check_model(converted(proto), full_check=True)
    x = np.array([[-1, 3, 9], [0, 6, 7]], np.float16)
    np.testing.assert_array_equal(run(converted(proto), {"x": x})[0], np.clip(x, 0, 6))


def test_version_converter_still_drops_what_we_keep():
    """The reason for adapters of our own; when this fails, look again."""
    import onnx.version_converter

    proto = model(f"{X} {{ y = Relu (x) }}", opset=13)
    proto.graph.node[0].metadata_props.add(key="module", value="head")
    assert not onnx.version_converter.convert_version(proto, 18).graph.node[0].metadata_props
