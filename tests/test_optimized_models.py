"""Models as ONNX Runtime's optimiser saves them: the same gradients as those of the models before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest
from onnx import ModelProto
from onnx_runs import SAMPLES, Array, feeds, model, run

import onnxcam
from onnxcam.errors import UnsupportedOperator
from onnxcam.graph import load
from onnxcam.graph.contrib import blocks

LEVELS = {"basic": 1, "extended": 2, "all": 99}
Weights = dict[str, Array]


def saved(source: ModelProto | Path, folder: Path, level: str) -> Path:
    """The file that ONNX Runtime saves at that level of optimisation."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(LEVELS[level])
    options.optimized_model_filepath = str(folder / f"{level}.onnx")
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    data = str(source) if isinstance(source, Path) else source.SerializeToString()
    onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    return folder / f"{level}.onnx"


def foreign(path: Path) -> set[str]:
    """The domains of the nodes, and the types of those of the default domain."""
    return {node.domain or node.op_type for node in onnx.load(path).graph.node}


def gradients(source: ModelProto | Path, given: Weights) -> Array:
    """The gradient by the input, of the sum of squares of the output as ONNX Runtime computes it."""
    proto = onnxcam.gradient(source)
    assert {node.domain for node in proto.graph.node} == {""}
    return run(proto, {**given, "cotangent": 2 * run(source, given)[0]})[-1]


def with_weights(text: str, shapes: dict[str, tuple[int, ...]], *, opset: int, seed: int = 0) -> ModelProto:
    """The model with random initializers; those whose name begins with v are variances."""
    rng = np.random.default_rng(seed)
    proto = model(text, opset=opset)
    for name, shape in shapes.items():
        array = rng.uniform(0.5, 1.5, shape) if name[0] == "v" else rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


def residual_net() -> ModelProto:
    """Plain, grouped and depthwise convolutions, normalised, with residuals, pools of all kinds and an upsampling."""
    text = """(float[N, 3, H, W] x) => (float[N, 5] y) <float[4] up = {1, 1, 2, 2}, float low = {0}, float high = {6}>
        { c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, wa)  n = BatchNormalization (c, sa, ba, ma, va)
          r = Relu (n)  p = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (r)
          d = Conv <group = 24, pads = [1, 1, 1, 1]> (p, wd)  e = Clip (d, low, high)
          f = Conv (e, wf, bf)  a = Add (f, p)  s = Relu (a)
          u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (s, , up)
          v = AveragePool <kernel_shape = [2, 2], strides = [2, 2], count_include_pad = 1> (u)
          k = Concat <axis = 1> (v, s)  g = Conv (k, wg, bg)  l = LeakyRelu <alpha = 0.2> (g)
          m = GlobalAveragePool (l)  t = Flatten (m)  y = Gemm <transB = 1> (t, wy, by) }"""
    shapes = {
        "wa": (24, 3, 3, 3), "sa": (24,), "ba": (24,), "ma": (24,), "va": (24,), "wd": (24, 1, 3, 3),
        "wf": (24, 24, 1, 1), "bf": (24,), "wg": (32, 48, 1, 1), "bg": (32,), "wy": (5, 32), "by": (5,),
    }  # fmt: skip
    return with_weights(text, shapes, opset=13)


def gated_net() -> ModelProto:
    """Squeeze and excitation, and a sum of a picture and what is upsampled to its size: operands that are stretched."""
    text = """(float[N, 3, H, W] x) => (float[N, 32, H, W] y) <float[4] up = {1, 1, 2, 2}>
        { c = Conv <pads = [1, 1, 1, 1]> (x, wa, ba)  r = Relu (c)
          p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)  m = GlobalAveragePool (p)  g = Conv (m, wg)
          s = Sigmoid (g)  t = Mul (p, s)  a = Add (t, m)  d = Conv (a, wd)
          u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (d, , up)
          e = Conv (r, we)  f = Add (u, e)  y = Conv (f, wf) }"""
    shapes = {"wa": (32, 3, 3, 3), "ba": (32,), **{f"w{name}": (32, 32, 1, 1) for name in "gdef"}}
    return with_weights(text, shapes, opset=13)


def transformer_block() -> ModelProto:
    """A block of a vision transformer with everything spelled out, as exporters write it at opset 13."""
    norm = """{0}a = ReduceMean <axes = [-1]> ({1}) {0}b = Sub ({1}, {0}a) {0}c = Pow ({0}b, two)
        {0}d = ReduceMean <axes = [-1]> ({0}c) {0}e = Add ({0}d, eps) {0}f = Sqrt ({0}e) {0}g = Div ({0}b, {0}f)
        {0}h = Mul ({0}g, g{0}) {0} = Add ({0}h, b{0})"""
    text = f"""(float[N, 6, 8] x) => (float[N, 8] y) <float two = {{2}}, float eps = {{0.00001}}, float one = {{1}},
        float half = {{0.5}}, float root = {{1.4142135}}, float scale = {{0.5}}, int64[4] heads = {{0, 0, 2, 4}},
        int64[3] flat = {{0, 0, 8}}>
        {{ {norm.format("n", "x")}
           q1 = MatMul (n, wq) q2 = Add (bq, q1) q3 = Reshape (q2, heads) q = Transpose <perm = [0, 2, 1, 3]> (q3)
           k1 = MatMul (n, wk) k2 = Add (bk, k1) k3 = Reshape (k2, heads) k = Transpose <perm = [0, 2, 3, 1]> (k3)
           v1 = MatMul (n, wv) v2 = Add (bv, v1) v3 = Reshape (v2, heads) v = Transpose <perm = [0, 2, 1, 3]> (v3)
           s1 = MatMul (q, k) s2 = Mul (s1, scale) s = Softmax <axis = -1> (s2) o1 = MatMul (s, v)
           o2 = Transpose <perm = [0, 2, 1, 3]> (o1) o3 = Reshape (o2, flat) o4 = MatMul (o3, wo) o5 = Add (o4, bo)
           r = Add (x, o5) {norm.format("m", "r")}
           f1 = MatMul (m, wf) f2 = Add (f1, bf) e1 = Div (f2, root) e2 = Erf (e1) e3 = Add (e2, one)
           e4 = Mul (f2, e3) e = Mul (e4, half) u1 = MatMul (e, wu) u2 = Add (u1, bu) z = Add (r, u2)
           y = ReduceMean <axes = [1], keepdims = 0> (z) }}"""
    square = {f"w{name}": (8, 8) for name in "qkvo"} | {f"b{name}": (8,) for name in "qkvonmu"}
    return with_weights(text, {**square, "gn": (8,), "gm": (8,), "wf": (8, 16), "bf": (16,), "wu": (16, 8)}, opset=13)


def quantised_net() -> ModelProto:
    """Convolutions, pools and a sum between QuantizeLinear and DequantizeLinear."""

    def grid(name: str, made: str, scale: str) -> str:
        return f"{name}q = QuantizeLinear ({made}, {scale}, z) {name} = DequantizeLinear ({name}q, {scale}, z)"

    text = f"""(float[N, 4, 8, 8] x) => (float[N, 16, 1, 1] y)
        <uint8 z = {{128}}, float s = {{0.03}}, float t = {{0.05}}, float sw = {{0.01}}, int8 zw = {{0}},
        float sb = {{0.0003}}, int32 zb = {{0}}>
        {{ {grid("a", "x", "s")} w = DequantizeLinear (wq, sw, zw)  b = DequantizeLinear (bq, sb, zb)
           c = Conv <pads = [1, 1, 1, 1]> (a, w, b) {grid("d", "c", "t")}
           p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d) {grid("e", "p", "t")}
           v = DequantizeLinear (vq, sw, zw)  f = Conv (e, v) {grid("g", "f", "t")}
           h = Add (g, e) {grid("i", "h", "t")} m = GlobalAveragePool (i) {grid("y", "m", "s")} }}"""
    proto = model(text, opset=13)
    rng = np.random.default_rng(0)
    for name, shape in (("wq", (16, 4, 3, 3)), ("vq", (16, 16, 1, 1))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.integers(-90, 90, shape).astype(np.int8), name))
    bias = rng.integers(-900, 900, 16).astype(np.int32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(bias, "bq"))
    return proto


NETS: dict[Callable[[], ModelProto], dict[str, set[str]]] = {
    residual_net: {"basic": set(), "extended": {"com.microsoft"}, "all": {"com.microsoft.nchwc"}},
    gated_net: {"basic": set(), "extended": {"com.microsoft"}, "all": {"com.microsoft.nchwc", "Reshape"}},
    transformer_block: {"basic": set(), "extended": {"com.microsoft", "LayerNormalization"}, "all": {"com.microsoft"}},
    quantised_net: {"basic": set(), "extended": {"QLinearConv", "com.microsoft"}, "all": {"com.microsoft"}},
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_a_saved_model_has_the_gradient_of_the_model_before(net: Callable[[], ModelProto], level: str, tmp_path: Path):
    proto = net()
    given = feeds(proto, batch=2, free=16, seed=4)
    path = saved(proto, tmp_path, level)
    if level == "all" and net in (residual_net, gated_net) and not blocks.block_of_this_machine():
        pytest.skip("ONNX Runtime has no blocked layout for this processor")
    assert NETS[net][level] <= foreign(path)  # else the optimiser did not do what is tested here
    found, wanted = gradients(path, given), gradients(proto, given)
    assert np.linalg.norm(found - wanted) <= 2e-6 * np.linalg.norm(wanted)
    assert np.abs(wanted).max() > 1e-4


def test_what_else_works_on_blocks_is_refused():
    _, inner = blocked_net(8, 24)
    inner.graph.node[1].input[0] = "turned"
    inner.graph.node.insert(1, onnx.helper.make_node("Transpose", ["c"], ["turned"], perm=[0, 1, 3, 2]))
    with pytest.raises(UnsupportedOperator, match="level extended or below"):
        load(inner)


def blocked(array: Array, block: int) -> Array:
    """Weights as ONNX Runtime puts them for a processor with such blocks: channels padded, the blocks innermost."""
    wide = np.pad(array, [(0, -array.shape[0] % block)] + [(0, 0)] * 3)
    if array.shape[1] < block:
        blocks_ = wide.reshape(-1, block, *array.shape[1:]).transpose(0, 2, 3, 4, 1)
        return blocks_.reshape(wide.shape)
    wide = np.pad(wide, [(0, 0), (0, -array.shape[1] % block), (0, 0), (0, 0)])
    out, inner, h, w = wide.shape
    parts = wide.reshape(out // block, block, inner // block, block, h, w)
    return parts.transpose(0, 2, 4, 5, 3, 1).reshape(wide.shape)


def blocked_net(block: int, channels: int) -> tuple[ModelProto, ModelProto]:
    """Two convolutions with `channels` between them as they are, and in blocks."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(channels, 3, 3, 3)), rng.normal(size=(channels, channels, 1, 1))
    bias = rng.normal(size=channels)
    plain = model("""(float[N, 3, 6, 6] x) => (float[] y)
        { c = Conv (x, a, s) d = Relu (c) y = Conv (d, b) }""", opset=13)  # fmt: skip
    text = f"""(float[N, 3, 6, 6] x) => (float[N, {channels}, 4, 4] y)
        {{ c = com.microsoft.nchwc.Conv <activation = "Relu"> (x, a, s) d = com.microsoft.nchwc.Conv (c, b)
           y = com.microsoft.nchwc.ReorderOutput <channels = {channels}> (d) }}"""
    opsets = '"": 13, "com.microsoft.nchwc": 1'
    inner = onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{opsets}]> g {text}")
    wide = np.pad(bias, (0, -channels % block))
    for proto, arrays in ((plain, (a, b, bias)), (inner, (blocked(a, block), blocked(b, block), wide))):
        for name, array in zip("abs", arrays, strict=True):
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return plain, inner


@pytest.mark.parametrize(
    ("block", "channels", "here"), [(8, 24, 0), (8, 20, 16), (16, 20, 16), (8, 32, 8), (16, 32, 16)]
)
def test_blocks_are_of_the_size_that_the_channels_tell_or_else_of_this_machines(
    block: int, channels: int, here: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(blocks, "block_of_this_machine", lambda: here)
    plain, inner = blocked_net(block, channels)
    given = {"x": np.random.default_rng(3).normal(size=(2, 3, 6, 6)).astype(np.float32)}
    np.testing.assert_allclose(run(load(inner).proto, given)[0], run(plain, given)[0], atol=1e-5)


def test_blocks_of_unknown_size_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blocks, "block_of_this_machine", lambda: 0)
    with pytest.raises(UnsupportedOperator, match="level extended or below"):
        load(blocked_net(16, 32)[1])


@pytest.mark.skipif(not SAMPLES.exists(), reason=f"no sample models in {SAMPLES}")
@pytest.mark.parametrize("name", ["cifar10_resnet20", "squeezenet1.1_int8_qdq"])
def test_a_saved_real_model_has_the_gradient_of_the_model_before(name: str, tmp_path: Path):
    source = SAMPLES / f"{name}.onnx"
    given: dict[str, Any] = {key: 40 * x for key, x in feeds(source, seed=1).items()}
    wanted = gradients(source, given)
    for level in LEVELS:
        found = gradients(saved(source, tmp_path, level), given)
        assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted)
