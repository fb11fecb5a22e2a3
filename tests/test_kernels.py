"""Every op that a rule emits runs on a GPU: checked against the kernels that ONNX Runtime's CUDA provider registers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from conformance import Row, build, gradient_model
from kernels import KERNELS, gaps
from onnx import ModelProto, TensorProto
from onnx_runs import model
from test_conformance import ROWS

# Ops in gradients that stay on the CPU, and why.
LIKE_THE_FORWARD_PASS = "there is none, so that of the forward pass is on the CPU as well"
EXCEPTIONS = {
    "cuda": {"DFT": LIKE_THE_FORWARD_PASS, "MaxUnpool": LIKE_THE_FORWARD_PASS},
    "webgpu": {
        "Loop": LIKE_THE_FORWARD_PASS,
        "MaxUnpool": LIKE_THE_FORWARD_PASS,
        "NonZero": "Compress picks by it, and is on the CPU itself",
        "Scan": LIKE_THE_FORWARD_PASS,
        "Softsign": LIKE_THE_FORWARD_PASS,
        "SpaceToDepth": "the gradient of DepthToSpace is one node on all other providers",
    },
}


def narrowed(made: ModelProto, kind: int) -> ModelProto:
    """The model as a deployed net would have it, in float32 or float16."""
    narrow_graph(made.graph, kind)
    return made


def narrow_graph(graph: onnx.GraphProto, kind: int) -> None:
    del graph.value_info[:]
    for info in (*graph.input, *graph.output):
        if info.type.tensor_type.elem_type == TensorProto.DOUBLE:
            info.type.tensor_type.elem_type = kind
    for tensor in graph.initializer:
        narrow(tensor, kind)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if attribute.HasField("t"):
            narrow(attribute.t, kind)
        if attribute.HasField("g"):
            narrow_graph(attribute.g, kind)
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.DOUBLE:
            attribute.i = kind


def narrow(tensor: TensorProto, kind: int) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        with np.errstate(over="ignore"):
            array = onnx.numpy_helper.to_array(tensor).astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def added_gaps(row: Row, kind: int, *, dynamic: bool, provider: str = "cuda") -> set[str]:
    """What the provider has no kernel for, of the nodes that the gradient adds."""
    own = {output for node in build(row, dynamic=dynamic).graph.node for output in node.output}
    made, _ = gradient_model(row, dynamic=dynamic)
    return {str(gap) for gap in gaps(narrowed(made, kind), provider) if gap.is_added(own)}


@pytest.mark.parametrize("provider", ["cuda", "webgpu"])
@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_every_op_of_the_gradient_has_a_kernel(row, provider):
    found = added_gaps(row, TensorProto.FLOAT, dynamic=not row.skip_dynamic, provider=provider)
    known = {gap for gap in found if gap.endswith("not tried")}
    assert {gap for gap in found - known if gap.partition(":")[0] not in EXCEPTIONS[provider]} == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(float[N,3] x) => (float[N,3] y) { y = Celu(x) }", ["Celu: no kernel"]),
        ("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }", []),
        (
            "(int64[N,3] x) => (int64[N,3] y) <int64[4] p = {0, 0, 0, 0}> { y = Pad(x, p) }",
            ["Pad: no kernel for int64"],
        ),
        (
            "(float[N,3,8] x, float[3,3,3] w) => (float[N,3,6] y) { y = ConvTranspose<pads=[1,3]>(x, w) }",
            ["ConvTranspose: uneven pads"],
        ),
        ("(float[N,3] x, bool b) => (float[N,3] y) "
         "{ y = If(b) <then_branch = t () => (float[] u) { u = Hardmax(x) }, "
         "else_branch = e () => (float[] v) { v = Identity(x) }> }", ["Hardmax: no kernel"]),
    ],
)  # fmt: skip
def test_a_node_that_cuda_does_not_take_is_told(text, told):
    assert [str(gap) for gap in gaps(model(text, opset=18))] == told


def test_types_are_followed_into_the_bodies_of_loops():
    body = '(u, v) => (w, p) { w = Add(u, v) i = Cast<to = 7>(w) j = BitShift<direction = "LEFT">(i, i) p = Relu(w) }'
    text = (
        "(float[4,2] x) => (float[2] y, float[4,2] z) <float[2] s = {0, 0}> "
        f"{{ y, z = Scan<num_scan_inputs = 1, body = b {body}>(s, x) }}"
    )
    assert [str(gap) for gap in gaps(model(text, opset=18))] == ["BitShift: no kernel"]


def test_what_is_computed_of_sizes_alone_is_left_to_the_cpu():
    text = '(float[N,3] x) => (int64[2] y) { s = Shape(x) t = BitShift<direction="LEFT">(s, s) y = Identity(t) }'
    assert gaps(model(text, opset=18)) == []


def test_the_table_knows_a_kernel_by_the_version_of_the_op():
    assert "float" in KERNELS["MaxPool"]["cuda"]
    assert not KERNELS["Celu"]["cuda"]
