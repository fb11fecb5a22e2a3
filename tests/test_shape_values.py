"""What a computed shape holds, told without running it, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnxruntime
import pytest
from torch_support import timm, torch

import onnxcam
from onnxcam.graph import Tape
from onnxcam.graph.folding import fold_constants
from onnxcam.graph.shape_values import ShapeValues

OPEN = "float[N, 3, H, W] x) => (int64[] y"
# Computations on the shape of x, (N, 3, H, W), and what is known of the outcome.
CASES = {
    "y = Shape (x)": ("N", 3, "H", "W"),
    "y = Shape <start = 1, end = -1> (x)": (3, "H"),
    "s = Shape (x); i = Constant <value_int = -2> (); y = Gather (s, i)": ("H",),
    "s = Shape (x); a = Constant <value_ints = [3]> (); b = Constant <value_ints = [-9]> (); "
    "c = Constant <value_ints = [0]> (); d = Constant <value_ints = [-1]> (); y = Slice (s, a, b, c, d)": (
        "W",
        "H",
        3,
        "N",
    ),
    "s = Shape (x); o = Constant <value_ints = [1]> (); n = Constant <value_ints = [2]> (); z = Constant "
    "<value_ints = [0]> (); p = Slice (s, z, o); q = Slice (s, o, n); t = Squeeze (q); u = Unsqueeze (t, z); "
    "f = Constant <value_ints = [-1, 4]> (); y = Concat <axis = 0> (p, u, f)": ("N", 3, -1, 4),
    # expand(-1, 3, 5, -1) as the TorchScript exporter writes it
    "n = Constant <value_ints = [-1, 3, 5, -1]> (); r = Shape (n); o = ConstantOfShape <value = int64[1] {1}> (r); "
    "m = Constant <value_int = -1> (); k = Mul (o, m); e = Equal (n, k); s = Shape (x); y = Where (e, s, n)": (
        "N",
        3,
        5,
        "W",
    ),
    "s = Shape (x); m = Constant <value_int = -1> (); e = Equal (s, m); z = Constant <value_ints = [7, 7, 7, 7]> (); "
    "y = Where (e, z, s)": ("N", 3, "H", "W"),
    # Whether an open size is 2 is not known: only where both sides agree the choice does not matter.
    "s = Shape (x); m = Constant <value_int = 2> (); e = Equal (s, m); z = Constant <value_ints = [7, 3, 7, 7]> (); "
    "y = Where (e, z, s)": (None, 3, None, None),
    "s = Shape (x); o = Constant <value_ints = [1, 2, 1, 2]> (); p = Mul (s, o); z = Constant "
    "<value_ints = [0, 1, 0, 1]> (); a = Add (p, z); y = Sub (a, z)": ("N", 6, "H", None),
    "s = Shape (x); c = Cast <to = 6> (s); y = Cast <to = 7> (c)": ("N", 3, "H", "W"),
    "s = Shape (x); t = Constant <value_ints = [2, 2]> (); r = Reshape (s, t); i = Constant <value_ints = [1]> (); "
    "y = Gather <axis = 1> (r, i)": (3, "W"),
}
SIZES = {"N": 2, "H": 5, "W": 4}


def model(text, sizes=OPEN):
    """The model of the statements, whose output's shape is left open."""
    header = f'<ir_version: 8, opset_import: ["" : 18]> g ({sizes})'
    proto = onnx.parser.parse_model(header + "{" + text.replace("; ", "\n") + "}")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


@pytest.mark.parametrize("text", CASES)
def test_what_is_known_is_what_onnx_runtime_computes(text):
    proto = model(text)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": np.zeros((2, 3, 5, 4), np.float32)})

    fold_constants(proto)
    values = ShapeValues({tensor.name: tensor for tensor in proto.graph.initializer})
    for node in proto.graph.node:
        values.follow(node, [("N", 3, "H", "W")] if list(node.input) == ["x"] else [])
    found = values.of("y")

    assert found is not None
    assert tuple(found.reshape(-1)) == CASES[text]
    known = [n is not None for n in found.reshape(-1)]
    numbers = [SIZES.get(n, n) for n in found.reshape(-1)]
    assert [n for n in numbers if n is not None] == expected.reshape(-1)[known].tolist()


@pytest.mark.parametrize("text", ["s = Shape (x); y = NonZero (s)", "s = Shape (x); y = ConstantOfShape (s)"])
def test_of_what_has_no_rule_or_an_open_size_nothing_is_known(text):
    values = ShapeValues({})
    for node in model(text).graph.node:
        values.follow(node, [("N", 3, "H", "W")] if list(node.input) == ["x"] else [])
    assert values.of("y") is None


def test_large_constants_are_no_shapes():
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.INT64, [100], range(100))
    assert ShapeValues({"w": weights}).of("w") is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(("net", "prefix"), [("VisionTransformer", 1), ("VisionTransformerDistilled", 2)])
def test_tokens_of_an_old_export_with_open_batch_are_counted(net, prefix, tmp_path):
    """TorchScript's exporter repeats the class token by a computed shape, behind which ONNX knows no size."""
    create = getattr(timm.models.deit if "Distilled" in net else timm.models, net)
    torch.manual_seed(0)
    module = create(img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, num_classes=7).eval()
    path = tmp_path / "old.onnx"
    axes = {"x": {0: "N"}, "y": {0: "N"}}
    names = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(module, (torch.zeros(2, 3, 64, 64),), path, dynamo=False, dynamic_axes=axes, **names)

    layer = next(layer for layer in onnxcam.layers(path) if layer.is_default)

    assert (layer.layout, layer.grid, layer.prefix) == ("NTC", (4, 4), prefix)
    assert layer.shape == ("N", 16 + prefix, 32)
    assert layer.name == "blocks.1.norm1"


def test_sizes_of_the_tape_are_clear_behind_a_computed_stretch():
    text = (
        "n = Constant <value_ints = [-1, 3, 5, 4]> (); m = Constant <value_int = -1> (); s = Shape (x); "
        "e = Equal (n, m); t = Where (e, s, n); c = Constant <value = float[1, 3, 1, 1] {1, 2, 3}> (); "
        "b = Expand (c, t); y = Concat <axis = 2> (b, x)"
    )
    proto = model(text, "float[N, 3, 6, 4] x) => (float[] y")
    fold_constants(proto)
    tape = Tape(proto)
    assert tape.value("b").shape == ("N", 3, 5, 4)
    assert tape.value("y").shape == ("N", 3, 11, 4)
