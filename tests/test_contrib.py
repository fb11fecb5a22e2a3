"""ONNX Runtime's own ops and what they are lowered to on loading, judged by ONNX Runtime's kernels.

Where its CPU has no kernel, the formula is PyTorch's. Gradients of all rows: test_conformance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import cases_contrib
import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from conformance import Array, Row, parsed
from onnx import ModelProto, TensorProto
from onnx_runs import model, run

from onnxcam.errors import UnsupportedOperator
from onnxcam.graph import load
from onnxcam.graph.contrib.conversion import ADOPTED
from onnxcam.graph.contrib.registry import EQUIVALENTS
from onnxcam.graph.opset import to_opset_18

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
F = torch.nn.functional
Formula = Callable[..., Any]


def group_norm(x: Any, s: Any, b: Any, *, silu: bool, epsilon: float = 1e-5) -> Any:
    y = F.group_norm(x, 2, s, b, eps=epsilon)
    return F.silu(y) if silu else y


def at_back(y: Any) -> Any:
    return y.movedim(1, -1)


def at_front(x: Any) -> Any:
    return x.movedim(-1, 1)


def skip_group_norm(x: Any, s: Any, b: Any, k: Any, c: Any) -> tuple[Any, Any]:
    added = x + k[:, None, None] + c
    return at_back(group_norm(at_front(added), s, b, silu=True)), added


def bias_split_gelu(x: Any, b: Any) -> Any:
    left, right = (x + b).chunk(2, -1)
    return left * F.gelu(right)


def self_attention(x: Any, w: Any) -> Any:
    q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in (x @ w).chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v, scale=0.3).transpose(1, 2).flatten(2)


def complex_product(a: Any, b: Any) -> Any:
    return torch.view_as_real(torch.view_as_complex(a) * torch.view_as_complex(b))


# By the row's name: ops for which ONNX Runtime's CPU has no kernel, or one that crashes (Attention without a bias).
FORMULAE: dict[str, Formula] = {
    "BiasSplitGelu": bias_split_gelu,
    "FusedMatMulActivation": lambda a, b: torch.tanh(a @ b.T),
    "GemmFastGelu": lambda a, b, c: F.gelu(a @ b + c, approximate="tanh"),
    "BiasAdd": lambda x, b, s: x + b + s,
    "BiasDropout": lambda x, b, r: x + b + r,
    "NhwcConv": lambda x, w, b: at_back(F.conv2d(at_front(x), w, b, padding=(1, 0))),
    "NhwcFusedConv": lambda x, w, z: torch.sigmoid(at_back(F.conv2d(at_front(x), w)) + z),
    "GroupNorm": lambda x, s, b: at_back(group_norm(at_front(x), s, b, silu=False, epsilon=0.1)),
    "GroupNorm, SiLU": lambda x, s, b: group_norm(x, s, b, silu=True),
    "SkipGroupNorm": skip_group_norm,
    "SkipGroupNorm, channels first": lambda x, s, b, k, c: group_norm(x + (k + c)[:, :, None, None], s, b, silu=False),
    "BiasSoftmax": lambda x, b: (x + b).softmax(-1),
    "BiasSoftmax, over the rest": lambda x, b: (x + b).flatten(1).softmax(-1).reshape(x.shape),
    "Attention, no bias": self_attention,
    "ComplexMul": complex_product,
    "ComplexMulConj": lambda a, b: complex_product(a, b * torch.tensor([1.0, -1.0])),
    "TorchEmbedding": lambda w: w[torch.tensor([[1, 3], [0, 1]])],
}
# Integers in or out, for which differences say nothing: tested one by one below.
INTEGER = {
    "DequantizeLinear", "NhwcMaxPool", "QAttention", "QEmbedLayerNormalization", "QLinearAveragePool", "QLinearConv",
    "QLinearGlobalAveragePool", "QuantizeLinear",
}  # fmt: skip


def single(row: Row, *, dynamic: bool) -> ModelProto:
    """The row's model as it is written, in float32."""
    proto = parsed(row, dynamic=dynamic)
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in proto.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return proto


def old(proto: ModelProto) -> ModelProto:
    """The same with the op in the default domain and of opset 9, where ONNX Runtime still has those of ADOPTED."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    if copy.graph.node[0].op_type in ADOPTED:
        copy.graph.node[0].domain = ""
        del copy.opset_import[:]
        copy.opset_import.add(domain="", version=9)
    return copy


def expected(row: Row, feeds: dict[str, Array]) -> list[Array]:
    """By the formula if there is one, else what ONNX Runtime's kernel gives."""
    if row.name not in FORMULAE:
        return run(old(single(row, dynamic=False)), feeds)
    found = FORMULAE[row.name](*map(torch.tensor, feeds.values()))
    return [y.numpy() for y in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("row", cases_contrib.ROWS, ids=repr)
def test_what_is_put_in_an_ops_place_gives_what_it_gives(row: Row):
    feeds = {name: x.astype(np.float32) for name, x in row.inputs.items()}
    wanted = expected(row, feeds)
    for dynamic in (False, True)[: 1 if row.skip_dynamic else 2]:
        proto = old(single(row, dynamic=dynamic))
        to_opset_18(proto)
        assert row.name == "Inverse" or {node.domain for node in proto.graph.node} == {""}
        for ours, theirs in zip(run(proto, feeds), wanted, strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)


def test_every_equivalent_has_a_row():
    ops = {op.removeprefix("com.microsoft.") for row in cases_contrib.ROWS for op in row.ops}
    named = {op for op in EQUIVALENTS if not op.startswith("nchwc.")} - {"LayerNormalization"}
    listed = {name for row in cases_contrib.ROWS for name in re.findall(r"com\.microsoft\.(\w+)", row.text)}
    assert named <= ops | listed | INTEGER


def integers(text: str, given: str, shape: tuple[int, ...]) -> tuple[ModelProto, dict[str, Array]]:
    """A model that quantises x, does the text, and dequantises r; and its input."""
    proto = model(f"""(float{list(shape)} x) => (float[] y) <float s = {{0.03}}, uint8 z = {{120}}{given}>
        {{ q = QuantizeLinear (x, s, z) {text} }}""", opset=13, other="com.microsoft")  # fmt: skip
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, None))
    return proto, {"x": np.random.default_rng(3).normal(size=shape).astype(np.float32)}


GRID = ", float t = {0.05}, uint8 u = {100}"
WEIGHTS = ", int8[2, 2, 1, 1] w = {9, -7, 30, 12}, float[2] v = {0.02, 0.05}, int8[2] k = {0, 0}"
LAST = [
    ("r = com.microsoft.QLinearConv <channels_last = 1, strides = [2, 1]> (q, s, z, w, v, k, t, u)", GRID + WEIGHTS),
    ("r = com.microsoft.QLinearAveragePool <channels_last = 1, kernel_shape = [2, 3]> (q, s, z, t, u)", GRID),
    ("r = com.microsoft.QLinearGlobalAveragePool <channels_last = 1> (q, s, z, t, u)", GRID),
    (
        "r = com.microsoft.NhwcMaxPool <kernel_shape = [2, 3], pads = [1, 0, 0, 1]> (q)",
        ", float t = {0.03}, uint8 u = {120}",
    ),
]


@pytest.mark.parametrize(("text", "given"), LAST, ids=lambda part: part[:40])
def test_integer_ops_with_the_channels_last_give_the_same_between_transposes(text: str, given: str):
    proto, feeds = integers(f"{text} y = DequantizeLinear (r, t, u)", given, (2, 4, 5, 2))
    wanted = run(proto, feeds)[0]
    to_opset_18(proto)
    assert {node.domain for node in proto.graph.node} == {""}
    np.testing.assert_allclose(run(proto, feeds)[0], wanted, atol=0.0501 if "Average" in text else 1e-6)


def test_transposes_between_two_of_them_cancel():
    text = """m = com.microsoft.NhwcMaxPool <kernel_shape = [2, 2]> (q)
        r = com.microsoft.QLinearConv <channels_last = 1> (m, s, z, w, v, k, t, u) y = DequantizeLinear (r, t, u)"""
    proto, feeds = integers(text, GRID + WEIGHTS, (1, 4, 5, 2))
    wanted = run(proto, feeds)[0]
    proto = load(proto).proto
    assert [node.op_type for node in proto.graph.node].count("Transpose") == 2  # in and out
    np.testing.assert_allclose(run(proto, feeds)[0], wanted, atol=1e-6)


def test_attention_of_integers_equals_its_kernel():
    rng = np.random.default_rng(1)
    proto, feeds = integers("y = com.microsoft.QAttention <num_heads = 2> (q, w, b, s, v, , z, k)", "", (2, 3, 4))
    for name, array in (
        ("w", rng.integers(-100, 100, (4, 12)).astype(np.int8)), ("b", rng.normal(size=12).astype(np.float32)),
        ("v", np.array(0.02, np.float32)), ("k", np.array(3, np.int8)),
    ):  # fmt: skip
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    wanted = run(proto, feeds)[0]
    to_opset_18(proto)
    assert {node.domain for node in proto.graph.node} == {""}
    np.testing.assert_allclose(run(proto, feeds)[0], wanted, atol=1e-5)


def test_quantised_embeddings_equal_their_kernel():
    rng = np.random.default_rng(1)
    proto = model("""(int32[2, 3] i) => (float[] y) <int32[2, 3] k = {0, 1, 1, 0, 0, 1}>
        { y, m = com.microsoft.QEmbedLayerNormalization (i, k, w, p, t, g, b, , s, s, s, s, s, z, z, z, z, z) }""",
        opset=13, other="com.microsoft")  # fmt: skip
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, None))
    for name, shape in (("w", (5, 8)), ("p", (6, 8)), ("t", (2, 8)), ("g", (8,)), ("b", (8,))):
        table = rng.integers(0, 256, shape).astype(np.uint8)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(table, name))
    for name, number in (("s", np.array(0.02, np.float32)), ("z", np.array(110, np.uint8))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(number, name))
    feeds = {"i": np.array([[3, 0, 1], [2, 2, 4]], np.int32)}
    wanted = run(proto, feeds)[0]
    to_opset_18(proto)
    np.testing.assert_allclose(run(proto, feeds)[0], wanted, atol=1e-5)


def test_quantisation_of_its_own_domain_becomes_that_of_onnx():
    text = """a = com.microsoft.QuantizeLinear (x, s, z) y = com.microsoft.DequantizeLinear (a, s, z)"""
    proto, feeds = integers(text, "", (2, 3))
    wanted = run(proto, feeds)[0]
    to_opset_18(proto)
    assert {node.domain for node in proto.graph.node} == {""}
    np.testing.assert_array_equal(run(proto, feeds)[0], wanted)


def test_mask_indices_of_embeddings_count_words():
    proto = model("""(int32[2, 3] i, int32[2, 3] m, float[5, 4] w, float[4] s) => (int32[2] c)
        { y, c = com.microsoft.EmbedLayerNormalization (i, , w, w, , s, s, m) }""",
        opset=18, other="com.microsoft")  # fmt: skip
    feeds = {
        "i": np.array([[3, 0, 1], [2, 2, 4]], np.int32), "m": np.array([[1, 1, 0], [1, 1, 1]], np.int32),
        "w": np.ones((5, 4), np.float32), "s": np.ones(4, np.float32),
    }  # fmt: skip
    to_opset_18(proto)
    assert run(proto, feeds)[0].tolist() == [2, 3]


def test_nodes_in_bodies_are_lowered_too():
    proto = model("""(float[2, 3] x, bool c) => (float[2, 3] y)
        { y = If (c) <then_branch = t () => (float[2, 3] p) { p = com.microsoft.Gelu (x) },
                      else_branch = e () => (float[2, 3] r) { r = com.microsoft.QuickGelu (x) }> }""",
        opset=18, other="com.microsoft")  # fmt: skip
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32), "c": np.array(False)}
    wanted = run(proto, feeds)[0]
    to_opset_18(proto)
    assert "com.microsoft" not in {entry.domain for entry in proto.opset_import}
    np.testing.assert_allclose(run(proto, feeds)[0], wanted, atol=1e-6)


def test_a_rank_that_only_the_lowering_tells_is_waited_for():
    proto = model("""(float[2, 3, 4] x, float[4, 4] w) => (float[2, 3, 3] y)
        { g = com.microsoft.Gelu (x) s = Shape (g) r = Reshape (g, s)
          y = com.microsoft.FusedMatMul <transB = 1> (r, g) }""", opset=18, other="com.microsoft")  # fmt: skip
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32), "w": np.eye(4, dtype=np.float32)}
    wanted = run(proto, feeds)[0]
    to_opset_18(proto)
    np.testing.assert_allclose(run(proto, feeds)[0], wanted, atol=1e-5)


def test_names_and_metadata_stay_with_the_node_that_gives_the_output():
    proto = model("(float[2, 3] x) => (float[2, 3] y) { y = com.microsoft.Gelu (x) }", opset=18, other="com.microsoft")
    proto.graph.node[0].name = "mlp.act"
    proto.graph.node[0].metadata_props.add(key="scope", value="mlp")
    to_opset_18(proto)
    assert [node.name for node in proto.graph.node if "y" in node.output] == ["mlp.act"]
    assert {prop.value for node in proto.graph.node for prop in node.metadata_props} == {"mlp"}
    assert proto.graph.output[0].name == "y"


SQUARE = "(float[2, 3, 4] x, float[4, 4] w, float[4] b) => (float[] y)"
REFUSED = [
    ('y = com.microsoft.FusedConv <activation = "Snake"> (x, w)', "activation 'Snake'"),
    ('y = com.microsoft.FusedGemm <activation = "LeakyRelu"> (x, w)', "lacks a parameter"),
    ("y = com.microsoft.Gelu <slope = 2> (x)", "attribute 'slope'"),
    ("y = com.microsoft.Gelu (x, b)", "input 2"),
    ("y, m = com.microsoft.SkipLayerNormalization (x, x, b) z = Identity (m)", "mean or deviation"),
    ("y = com.microsoft.Attention <num_heads = 2, do_rotary = 1> (x, w, b)", "'do_rotary'"),
    ("y = com.microsoft.MultiHeadAttention <num_heads = 2> (x)", "packed"),
    ("y = com.microsoft.MatMulNBits <K = 4, N = 4, bits = 3, block_size = 16> (x, w, b)", "3 bits"),
    ("t = Constant <value = bool {1}> () y = com.microsoft.BiasDropout (x, b, , , t)", "at random"),
    ("s = Shape (x) y = com.microsoft.ConvTransposeWithDynamicPads (x, w, s)", "pads are computed"),
    ("y = com.microsoft.FusedMatMul <transA = 1> (u, w)", "rank of its input 'u'"),
    ('y = com.microsoft.CDist <metric = "cosine"> (w, w)', "metric 'cosine'"),
    ("y = com.microsoft.ScaledTanh <alpha = 1.0> (x)", "'beta'"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_not_covered_is_refused_with_its_reason(text: str, reason: str):
    extra = " u = com.microsoft.Tokenizer (x)" if "(u" in text else ""
    statements = f"{extra} {text}"
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 18, "com.microsoft": 1]> g {SQUARE} {{ {statements} }}'
    )
    if "z =" in text:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info("z"))
    with pytest.raises(UnsupportedOperator, match=re.escape(reason)):
        to_opset_18(proto)


def test_an_op_without_an_equivalent_may_stay_off_the_way():
    proto = model("""(float[2, 3] x) => (float[2, 3] y, int32[2, 3] h)
        { y = com.microsoft.Gelu (x) h = com.microsoft.MurmurHash3 <positive = 0> (x) }""",
        opset=18, other="com.microsoft")  # fmt: skip
    to_opset_18(proto)
    assert [node.op_type for node in proto.graph.node if node.domain] == ["MurmurHash3"]
