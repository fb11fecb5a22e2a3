"""Models exported for one image, or for any other number, opened for many: three at once equal three by themselves."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import pytest
from onnx import ModelProto
from onnx_runs import Array, feeds, model, run, sample_paths, session

from onnxcam.graph.batch import open_batch
from onnxcam.graph.loading import load

IMAGES = 3


def one_by_one(source: ModelProto | Path, given: dict[str, Array], *, count: int = 1) -> list[Array]:
    """The outputs for each image alone, put together; the source takes it so many times."""
    each = [run(source, {name: x[[i] * count] for name, x in given.items()}) for i in range(IMAGES)]
    return [np.concatenate([part[: len(part) // count] for part in parts]) for parts in zip(*each, strict=True)]


def assert_opened(source: ModelProto | Path, opened: ModelProto, *, tolerance: float = 1e-5, count: int = 1) -> None:
    onnx.checker.check_model(opened, full_check=True)
    given = feeds(opened, batch=IMAGES)
    for expected, found in zip(one_by_one(source, given, count=count), run(opened, given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@dataclass(frozen=True)
class Case:
    name: str
    text: str


def heads(x: str, y: str) -> str:
    """(L, N, E) split into two heads of three, as torch's MultiheadAttention does: the batch merged with the heads."""
    shape = f"s{y} = Constant <value_ints = [4, 2, 3]> ()"
    return f"{shape} r{y} = Reshape ({x}, s{y}) {y} = Transpose <perm = [1, 0, 2]> (r{y})"


X = "(float[1, 2, 4, 6] x) => (float[] y)"
OPENED = [
    Case("convolution", f"{X} <float[3, 2, 1, 1] w = {{1, 2, 3, 4, 5, 6}}> {{ y = Conv (x, w) }}"),
    Case("Reshape with a baked 1", f"{X} {{ s = Constant <value_ints = [1, -1]> () y = Reshape (x, s) }}"),
    Case("Reshape with every size baked", f"{X} {{ s = Constant <value_ints = [1, 8, 6]> () y = Reshape (x, s) }}"),
    Case("Reshape that merges and parts again", f"""{X} {{ s = Constant <value_ints = [8, 6]> () r = Reshape (x, s)
        t = Constant <value_ints = [1, 2, 24]> () y = Reshape (r, t) }}"""),
    Case("Flatten", f"{X} {{ y = Flatten (x) }}"),
    Case("Shape, folded first", f"""{X} {{ s = Shape (x) i = Constant <value_ints = [0]> () g = Gather (s, i)
        m = Constant <value_ints = [-1]> () c = Concat <axis = 0> (g, m) y = Reshape (x, c) }}"""),
    Case("class token", """(float[1, 5, 4] x) => (float[] y) <float[1, 1, 4] token = {1, 2, 3, 4}>
        { c = Concat <axis = 1> (token, x) y = Softmax (c) }"""),
    Case("class token, expanded", """(float[1, 5, 4] x) => (float[] y) <float[1, 1, 4] token = {1, 2, 3, 4}>
        { s = Constant <value_ints = [1, -1, -1]> () s1 = Abs (s) e = Expand (token, s1)
          y = Concat <axis = 1> (e, x) }"""),
    Case("attention with the batch in the middle", f"""(float[1, 4, 6] x) => (float[] y)
        {{ l = Transpose <perm = [1, 0, 2]> (x) {heads("l", "q")} k = Transpose <perm = [0, 2, 1]> (q)
           a = MatMul (q, k) p = Softmax (a) o = MatMul (p, q) b = Transpose <perm = [1, 0, 2]> (o)
           t = Constant <value_ints = [4, 6]> () f = Reshape (b, t) u = Constant <value_ints = [4, 1, 6]> ()
           g = Reshape (f, u) y = Transpose <perm = [1, 0, 2]> (g) }}"""),
    Case("Resize to a baked size", f"""{X} {{ s = Constant <value_ints = [1, 2, 8, 3]> ()
        y = Resize <mode = "linear"> (x, , , s) }}"""),
    Case("Squeeze and Unsqueeze", """(float[1, 3, 1, 1] x) => (float[] y) { a = Constant <value_ints = [2, 3]> ()
        b = Constant <value_ints = [1]> () s = Squeeze (x, a) y = Unsqueeze (s, b) }"""),
    Case("reduction beside the batch", f"""{X} {{ a = Constant <value_ints = [-1, 2]> ()
        y = ReduceMean <keepdims = 0> (x, a) }}"""),
    Case("Gather beside the batch", f"{X} {{ i = Constant <value_int = 1> () y = Gather <axis = 1> (x, i) }}"),
    Case("Slice, Split and Pad beside the batch", f"""{X} <float zero = {{0}}>
        {{ s = Constant <value_ints = [1]> () e = Constant <value_ints = [3]> () a = Constant <value_ints = [2]> ()
           d = Slice (x, s, e, a) u, v = Split <axis = 3, num_outputs = 2> (d)
           w = Constant <value_ints = [0, 1, 0, 0, 0, 0, 0, 2]> () m = Add (u, v) y = Pad (m, w, zero) }}"""),
    Case("one sampling grid for all", """(float[1, 1, 3, 3] x) => (float[] y)
        <float[1, 1, 2, 2] g = {0.5, 0.1, -0.3, 0.9}> { y = GridSample (x, g) }"""),
    Case("the batch behind an einsum", """(float[1, 2, 3] x) => (float[] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}>
        { y = Einsum <equation = "ntc,cd->ntd"> (x, w) }"""),
    Case("dense layer", """(float[1, 2, 3] x) => (float[] y) <float[6, 2] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
        float[2] b = {1, 2}> { f = Flatten (x) y = Gemm (f, w, b) }"""),
    Case("rows of all images below one another", """(float[1, 5, 4] x) => (float[] y)
        { s = Constant <value_ints = [-1, 4]> () y = Reshape (x, s) }"""),
    Case("a mask for each image", """(float[1, 3, 2, 2] x, float[1, 3] m) => (float[] y)
        { f = GlobalMaxPool (x) q = Flatten (f) y = Mul (q, m) }"""),
]  # fmt: skip


@pytest.mark.parametrize("case", OPENED, ids=lambda case: case.name)
def test_a_batch_of_one_is_opened(case: Case):
    original = model(case.text, opset=18)
    loaded = load(original)
    assert loaded.batch_reason == ""
    assert_opened(original, loaded.proto)


X4 = "(float[4, 2, 3, 6] x) => (float[] y)"
OF_FOUR = [
    Case("convolution", f"{X4} <float[3, 2, 1, 1] w = {{1, 2, 3, 4, 5, 6}}> {{ y = Conv (x, w) }}"),
    Case("colours first or not, three axes", "(float[3, 8, 8] x) => (float[] y) { y = Relu (x) }"),
    Case("Reshape with a baked 4", f"{X4} {{ s = Constant <value_ints = [4, -1]> () y = Reshape (x, s) }}"),
    Case("Reshape with every size baked", f"{X4} {{ s = Constant <value_ints = [4, 6, 6]> () y = Reshape (x, s) }}"),
    Case("Reshape that merges and parts again", f"""{X4} {{ s = Constant <value_ints = [24, 6]> () r = Reshape (x, s)
        t = Constant <value_ints = [4, 2, 18]> () y = Reshape (r, t) }}"""),
    Case("Shape, folded first", f"""{X4} {{ s = Shape (x) i = Constant <value_ints = [0]> () g = Gather (s, i)
        m = Constant <value_ints = [-1]> () c = Concat <axis = 0> (g, m) y = Reshape (x, c) }}"""),
    Case("class token, repeated in the file", """(float[4, 5, 2] x) => (float[] y)
        <float[4, 1, 2] token = {1, 2, 1, 2, 1, 2, 1, 2}> { y = Concat <axis = 1> (token, x) }"""),
    Case("a bias repeated in the file", """(float[4, 5, 2] x) => (float[] y)
        <float[4, 1, 2] b = {1, 2, 1, 2, 1, 2, 1, 2}> { y = Add (b, x) }"""),
    Case("a bias of a dense layer repeated in the file", """(float[4, 3, 1] x) => (float[] y)
        <float[3, 2] w = {1, 2, 3, 4, 5, 6}, float[4, 2] b = {1, 2, 1, 2, 1, 2, 1, 2}>
        { f = Flatten (x) y = Gemm (f, w, b) }"""),
    Case("class token too large to be folded, stretched by Expand", """(float[4, 1, 1100] x) => (float[] y)
        { t = Constant <value_int = 1100> () z = Constant <value_int = 0> () o = Constant <value_int = 1> ()
          r = Range (z, t, o) f = Cast <to = 1> (r) n = Sin (f) s = Constant <value_ints = [4, 1, 1100]> ()
          token = Expand (n, s) y = Concat <axis = 1> (token, x) }"""),
    Case("attention with the batch in the middle", """(float[4, 4, 6] x) => (float[] y)
        { l = Transpose <perm = [1, 0, 2]> (x) s = Constant <value_ints = [4, 8, 3]> () r = Reshape (l, s)
           q = Transpose <perm = [1, 0, 2]> (r) k = Transpose <perm = [0, 2, 1]> (q)
           a = MatMul (q, k) p = Softmax (a) o = MatMul (p, q) b = Transpose <perm = [1, 0, 2]> (o)
           t = Constant <value_ints = [16, 6]> () f = Reshape (b, t) u = Constant <value_ints = [4, 4, 6]> ()
           g = Reshape (f, u) y = Transpose <perm = [1, 0, 2]> (g) }"""),
    Case("a mask for each image", """(float[4, 3, 2, 2] x, float[4, 3] m) => (float[] y)
        { f = GlobalMaxPool (x) q = Flatten (f) y = Mul (q, m) }"""),
]  # fmt: skip


@pytest.mark.parametrize("case", OF_FOUR, ids=lambda case: case.name)
def test_a_batch_of_another_number_is_opened(case: Case):
    original = model(case.text, opset=18)
    loaded = load(original)
    assert loaded.batch_reason == ""
    assert_opened(original, loaded.proto, count=original.graph.input[0].type.tensor_type.shape.dim[0].dim_value)


FIXED = [
    Case("Softmax (node 's') works along axis 0", f"{X} {{ [s] y = Softmax <axis = 0> (x) }}"),
    Case("ReduceMean (node 'r') works along all axes", f"{X} {{ [r] m = ReduceMean (x) y = Sub (x, m) }}"),
    Case("ReduceMax (node 'r') works along axis 0", f"""{X} {{ a = Constant <value_ints = [0]> ()
        [r] m = ReduceMax (x, a) y = Sub (x, m) }}"""),
    Case("Concat (node 'c') puts images one behind the other", f"{X} {{ [c] y = Concat <axis = 0> (x, x) }}"),
    Case("Slice (node 's') works along axis 0", f"""{X} {{ a = Constant <value_ints = [0]> ()
        b = Constant <value_ints = [1]> () [s] y = Slice (x, a, b, a) }}"""),
    Case("Gather (node 'g') picks single images", f"{X} {{ i = Constant <value_int = 0> () [g] y = Gather (x, i) }}"),
    Case("Squeeze (node 's') takes away the axis", f"{X} {{ [s] t = Squeeze (x) y = Relu (t) }}"),
    Case("TopK (node 't') works along axis 0", f"""{X} {{ k = Constant <value_ints = [1]> ()
        [t] y, i = TopK <axis = 0> (x, k) }}"""),
    Case("MatMul (node 'm') sums over the images", """(float[1, 4, 4] x) => (float[] y)
        { t = Transpose <perm = [1, 2, 0]> (x) [m] y = MatMul (t, x) }"""),
    Case("MatMul (node 'm') sums over the images", """(float[1, 4, 4] x) => (float[] y) <float[1, 3] w = {1, 2, 3}>
        { t = Transpose <perm = [1, 2, 0]> (x) [m] y = MatMul (t, w) }"""),
    Case("Gemm (node 'g') takes parameters that differ", """(float[1, 4, 1] x) => (float[] y)
        { f = Flatten (x) [g] y = Gemm <transB = 1> (f, f) }"""),
    Case("Add (node 'a') joins the images with 'k'", """(float[1, 2, 3] x) => (float[] y)
        <float[2, 1, 1] k = {1, 2}> { [a] y = Add (x, k) }"""),
    Case("Conv (node 'c') takes parameters that differ", """(float[1, 1, 3, 3] x) => (float[] y)
        { [c] y = Conv (x, x) }"""),
    Case("Conv (node 'c') works over axis 1", """(float[1, 2, 3, 3] x) => (float[] y) <float[1, 1, 1, 1] w = {2}>
        { t = Transpose <perm = [1, 0, 2, 3]> (x) [c] y = Conv (t, w) }"""),
    Case("NonZero (node 'z') is not known to keep images apart", f"""{X}
        {{ [z] i = NonZero (x) y = Cast <to = 1> (i) }}"""),
    Case("NonMaxSuppression (node 'n') is not known", """(float[1, 6, 4] x) => (float[] y)
        <float[1, 1, 6] s = {1, 2, 3, 4, 5, 6}> { [n] i = NonMaxSuppression (x, s) y = Cast <to = 1> (i) }"""),
    Case("output 'y' counts the images on axis 1", f"{X} {{ y = Transpose <perm = [1, 0, 2, 3]> (x) }}"),
    Case("output 'y' does not depend on the picture", """(float[1, 2, 3] x) => (float[] z, float[] y)
        <float[2] k = {1, 2}> { z = Relu (x) y = Neg (k) }"""),
    Case("output 'y' lays what belongs to one image behind", """(float[1, 5, 4] x) => (float[] y)
        { s = Constant <value_ints = [-1]> () y = Reshape (x, s) }"""),
    Case("input 'x' has the shape [3, 8], and pictures have three", "(float[3, 8] x) => (float[] y) { y = Relu (x) }"),
    Case("Add (node 'a') joins the images with 'k', which has 4 rows", """(float[4, 2, 3] x) => (float[] y)
        <float[4, 1, 1] k = {1, 1, 1, 2}> { [a] y = Add (x, k) }"""),
    Case("Conv (node 'c') works over axis 1", """(float[4, 2, 3, 3] x) => (float[] y) <float[1, 4, 1, 1] w = {2,3,4,5}>
        { t = Transpose <perm = [1, 0, 2, 3]> (x) [c] y = Conv (t, w) }"""),
]  # fmt: skip


@pytest.mark.parametrize("case", FIXED, ids=lambda case: case.name)
def test_what_ties_a_model_to_one_image_is_named(case: Case):
    assert load(model(case.text, opset=18)).batch_reason.startswith(case.name)


@pytest.mark.parametrize("case", FIXED, ids=lambda case: case.name)
def test_a_model_that_stays_fixed_is_left_as_it_was(case: Case):
    proto = model(case.text, opset=18)
    before = ModelProto()
    before.CopyFrom(proto)
    assert open_batch(proto)
    assert proto == before


def test_a_symbolic_batch_is_left_as_it_is():
    proto = model("(float[batch, 2] x) => (float[batch, 2] y) { y = Relu (x) }", opset=18)
    before = ModelProto()
    before.CopyFrom(proto)
    assert open_batch(proto) == ""
    assert proto == before


def test_the_open_dimension_is_named_n_in_inputs_and_outputs():
    proto = load(model(f"{X} {{ y = Relu (x) }}", opset=18)).proto
    names = [info.type.tensor_type.shape.dim[0].dim_param for info in (*proto.graph.input, *proto.graph.output)]
    assert names == ["N", "N"]


def test_a_parameter_of_all_images_stays_fixed():
    text = "(float[1, 2, 3] x, float[1] k) => (float[] y) { y = Mul (x, k) }"
    loaded = load(model(text, opset=18))
    assert loaded.batch_reason == ""
    assert [info.shape for info in session(loaded.proto).get_inputs()] == [["N", 2, 3], [1]]


def test_height_and_width_stay_symbolic():
    text = """(float[1, 2, H, W] x) => (float[1, C, D] y)
        { s = Shape (x) i = Constant <value_ints = [0, 1]> () a = Gather (s, i) m = Constant <value_ints = [-1]> ()
          c = Concat <axis = 0> (a, m) y = Reshape (x, c) }"""
    original = model(text, opset=18)
    loaded = load(original)
    assert loaded.batch_reason == ""
    x = np.random.default_rng(0).normal(size=(IMAGES, 2, 5, 7)).astype(np.float32)
    np.testing.assert_array_equal(run(loaded.proto, {"x": x})[0], one_by_one(original, {"x": x})[0])


@pytest.mark.parametrize("path", sample_paths())
def test_a_real_model_takes_any_number_of_images(path: Path):
    loaded = load(path)
    assert loaded.batch_reason == ""
    assert_opened(path, loaded.proto, tolerance=2e-3 if "fp16" in path.stem else 1e-5)


def convnet(torch: Any) -> Any:
    nn = torch.nn
    stem = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


def transformer(torch: Any) -> Any:
    nn = torch.nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.token = nn.Parameter(torch.randn(1, 1, 8))
            self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], 1)
            return self.head(self.block(tokens)[:, 0])

    return Tiny()


def fused(torch: Any) -> Any:
    """With the batch written into every Reshape, and merged with the tokens."""
    nn = torch.nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.token, self.places = (nn.Parameter(torch.randn(1, n, 8)) for n in (1, 4))
            self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            n = x.shape[0]
            tokens = self.patches(x).reshape(n, 8, 4).transpose(1, 2) + self.places
            tokens = torch.cat([self.token.repeat(n, 1, 1), tokens], 1)
            q, k, v = self.qkv(tokens).reshape(n, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
            looked = (q @ k.transpose(-1, -2)).softmax(-1) @ v
            tokens = tokens + looked.transpose(1, 2).reshape(n * 5, 8).view(n, 5, 8)
            return self.head(torch.relu(tokens[:, 0]))

    return Tiny()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("is_dynamo", [False, True], ids=["TorchScript", "dynamo"])
@pytest.mark.parametrize("build", [convnet, transformer, fused])
def test_an_export_of_torch_for_some_images_takes_any_number(build: Callable[[Any], Any], is_dynamo: bool, count: int):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    file = io.BytesIO()
    module, example = build(torch).eval(), torch.randn(count, 3, 8, 8)
    if is_dynamo:
        torch.onnx.export(module, (example,), dynamo=True, opset_version=18, verbose=False).save(file)
    else:
        torch.onnx.export(module, (example,), file, dynamo=False, opset_version=17)
    loaded = load(file.getvalue())
    assert loaded.batch_reason == ""
    x = torch.randn(IMAGES, 3, 8, 8)
    found = run(loaded.proto, {loaded.proto.graph.input[0].name: x.numpy()})[0]
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
