"""Running products, transforms and caches of later opsets, after loading: judged by numpy, ONNX and torch."""

from __future__ import annotations

import numpy as np
import onnx.helper
import pytest
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx_runs import Array, model, run

from onnxcam.autodiff import differentiate
from onnxcam.graph import Tape
from onnxcam.graph.opset import to_opset_18

ATTRIBUTES = ["", "<exclusive = 1>", "<reverse = 1>", "<exclusive = 1, reverse = 1>"]


def product(attributes: str, *, sizes: str = "2, 5, 3", kind: str = "float", axis: int = 1) -> ModelProto:
    return model(
        f"({kind}[{sizes}] x) => ({kind}[] y) <int64 a = {{{axis}}}> {{ y = CumProd {attributes} (x, a) }}", opset=26
    )


def expected_product(attributes: str, x: Array, axis: int) -> Array:
    is_exclusive, is_reversed = "exclusive" in attributes, "reverse" in attributes
    x = np.flip(x, axis) if is_reversed else x
    if is_exclusive:
        kept = x.take(range(x.shape[axis] - 1), axis)
        x = np.concatenate([np.ones_like(x.take([0], axis)), kept], axis)
    y = np.cumprod(x, axis)
    return np.flip(y, axis) if is_reversed else y


@pytest.mark.parametrize("sizes", ["2, 5, 3", "N, M, K"])
@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_running_products_stay_what_they_are(attributes: str, sizes: str):
    proto = product(attributes, sizes=sizes)
    to_opset_18(proto)
    x = np.random.default_rng(3).normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(run(proto, {"x": x})[0], expected_product(attributes, x, 1), rtol=1e-6)


@pytest.mark.parametrize("sizes", ["2, 5, 3", "N, M, K"])
def test_an_axis_may_be_counted_from_behind(sizes: str):
    proto = product("", sizes=sizes, axis=-3)
    to_opset_18(proto)
    x = np.random.default_rng(3).normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(run(proto, {"x": x})[0], np.cumprod(x, 0), rtol=1e-6)


def test_whole_numbers_are_multiplied_exactly():
    proto = product("", sizes="4", kind="int64", axis=0)
    to_opset_18(proto)
    x = np.array([3, -5, 2**40, 7])
    np.testing.assert_array_equal(run(proto, {"x": x})[0], np.cumprod(x))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_an_axis_may_be_computed(attributes: str, axis: int):
    proto = model(f"(float[N, 5, K] x, int32 a) => (float[] y) {{ y = CumProd {attributes} (x, a) }}", opset=26)
    to_opset_18(proto)
    x = np.random.default_rng(3).normal(size=(2, 5, 3)).astype(np.float32)
    expected = expected_product(attributes, x, axis)
    np.testing.assert_allclose(run(proto, {"x": x, "a": np.array(axis, np.int32)})[0], expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -2])
@pytest.mark.parametrize("attributes", ["", "<inverse = 1>", "<onesided = 1>"])
def test_a_transform_along_a_computed_axis_stays_what_it_is(attributes: str, axis: int):
    parts = 1 if "onesided" in attributes else 2
    proto = model(f"(float[N, 4, K, {parts}] x, int64 a) => (float[] y) {{ y = DFT {attributes} (x, , a) }}", opset=20)
    to_opset_18(proto)
    x = np.random.default_rng(3).normal(size=(3, 4, 5, parts)).astype(np.float32)
    z, along = x[..., 0] + 1j * (x[..., 1] if parts == 2 else 0), axis % 4
    function = np.fft.ifft if "inverse" in attributes else np.fft.rfft if parts == 1 else np.fft.fft
    expected = function(x[..., 0] if parts == 1 else z, axis=along)
    y = run(proto, {"x": x, "a": np.array(axis)})[0]
    np.testing.assert_allclose(y[..., 0] + 1j * y[..., 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", ["1, 6", "N, M"])
def test_the_gradient_of_a_running_product_with_a_zero_is_that_of_torch(sizes: str):
    torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
    proto = product("", sizes=sizes)
    to_opset_18(proto)
    x = np.array([[2.0, -1.5, 0.0, 3.0, 0.5, 4.0]], np.float32)
    g = np.array([[1.0, 2.0, -3.0, 4.0, 5.0, 6.0]], np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    leaf.cumprod(1).backward(torch.tensor(g))
    np.testing.assert_allclose(gradient(proto, x=x, g=g), leaf.grad.numpy(), rtol=1e-6)


def gradient(proto: ModelProto, *, x: Array, g: Array) -> Array:
    tape = Tape(proto)
    (found,) = differentiate({tape.outputs[0]: tape.add_input("g", g.dtype, g.shape)}, [tape.value("x")])
    assert found is not None
    tape.add_output(found, "dx")
    return run(tape.model, {"x": x, "g": g})[1]


CACHES = {
    "two at once": ("", (2, 3, 5, 4), (2, 3, 2, 4), [1, 3]),
    "from the start": ("", (2, 3, 5, 4), (2, 3, 2, 4), None),
    "around the end": ('<mode = "circular">', (2, 3, 5, 4), (2, 3, 3, 4), [4, 1]),
    "another axis": ('<axis = 1, mode = "circular">', (2, 5, 3), (2, 3, 3), [3, 0]),
    "the last axis": ("<axis = -1>", (2, 4, 5), (2, 4, 1), [4, 2]),
}


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("name", CACHES)
def test_caches_are_written_where_they_were(name: str, is_dynamic: bool):
    attributes, shape, written, starts = CACHES[name]
    sizes = [", ".join(f"{key}{k}" if is_dynamic else str(n) for k, n in enumerate(s)) for key, s in
             (("N", shape), ("M", written))]  # fmt: skip
    more = ", int64[2] w" if starts else ""
    proto = model(
        f"(float[{sizes[0]}] x, float[{sizes[1]}] u{more}) => (float[] y) "
        f"{{ y = TensorScatter {attributes} (x, u{', w' if starts else ''}) }}",
        opset=24,
    )
    rng = np.random.default_rng(3)
    feeds = {"x": rng.normal(size=shape).astype(np.float32), "u": rng.normal(size=written).astype(np.float32)}
    feeds |= {"w": np.array(starts)} if starts else {}
    expected = ReferenceEvaluator(proto).run(None, feeds)[0]
    to_opset_18(proto)
    np.testing.assert_array_equal(run(proto, feeds)[0], expected)


def test_what_is_written_over_in_a_cache_gets_no_gradient():
    proto = model("(float[1, 4, 1] x, float[1, 2, 1] u) => (float[] y) { y = TensorScatter (x, u) }", opset=24)
    to_opset_18(proto)
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, [1, 4, 1]))
    tape = Tape(proto)
    g = np.array([[[1.0], [2.0], [3.0], [4.0]]], np.float32)
    seed = tape.add_input("g", np.float32, g.shape)
    for name, found in zip("xu", differentiate({tape.value("y"): seed}, list(map(tape.value, "xu"))), strict=True):
        assert found is not None
        tape.add_output(found, f"d{name}")
    feeds = {"x": np.zeros((1, 4, 1), np.float32), "u": np.zeros((1, 2, 1), np.float32), "g": g}
    _, dx, du = run(tape.model, feeds)
    assert dx.ravel().tolist() == [0, 0, 3, 4]
    assert du.ravel().tolist() == [1, 2]
