"""LSTM, GRU and RNN: what is written in their place is the same, option by option; and PyTorch's gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.defs
import onnx.parser
import pytest
import torch
from cases_recurrent import GATES, ROWS
from conformance import Row, build, run_in_reference
from gradients import Array, error, evaluate, gradients, normal

from onnxcam.autodiff import RULES, differentiate
from onnxcam.autodiff.recurrent import gru, lstm, rnn
from onnxcam.errors import NoGradientForm
from onnxcam.graph import Tape, drop_unused

EQUIVALENTS = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
TIME, BATCH, FEATURES, HIDDEN = 5, 3, 4, 6


def in_float32(row: Row) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The row's model and inputs as ONNX Runtime can run them."""
    model = build(row, dynamic=True)
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float64:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), tensor.name))
    return model, {name: x.astype(np.float32) for name, x in row.inputs.items()}


@pytest.mark.parametrize("row", [row for row in ROWS if "layout" not in row.text], ids=repr)
def test_the_equivalent_computes_what_the_kernel_of_onnx_runtime_does(row: Row):
    model, feeds = in_float32(row)
    tape = Tape(model)
    node = tape.nodes[0]
    written = EQUIVALENTS[node.op_type](node)
    for output, value in zip(node.outputs, written, strict=False):
        if output.name:
            tape.add_output(value, f"written_{output.name}")
    found = evaluate(tape.model, feeds)
    count = len(found) // 2
    for kernel, ours in zip(found[:count], found[count:], strict=True):
        np.testing.assert_allclose(ours, kernel, atol=2e-6)


@pytest.mark.parametrize("row", [row for row in ROWS if "layout" not in row.text], ids=repr)
def test_the_evaluation_that_differences_are_taken_of_is_that_of_onnx_runtime(row: Row):
    model, feeds = in_float32(row)
    expected = evaluate(model, feeds)
    found = run_in_reference(build(row, dynamic=False), row.inputs, list(row.outputs))
    for ours, kernel in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, kernel, atol=2e-6)


# PyTorch's order of the gates, as ONNX's.
ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}
MODULES: dict[str, Any] = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}
OPTIONS = {"LSTM": "", "GRU": ", linear_before_reset = 1", "RNN": ""}


def torch_weights(module: torch.nn.RNNBase, kind: str) -> dict[str, torch.Tensor]:
    """w, r and b of one layer that goes both ways, as ONNX orders them."""

    def ordered(name: str, suffix: str) -> torch.Tensor:
        blocks = getattr(module, f"{name}_l0{suffix}").chunk(GATES[kind])
        return torch.cat([blocks[index] for index in ORDER[kind]])

    w, r = (torch.stack([ordered(f"weight_{side}", way) for way in ("", "_reverse")]) for side in ("ih", "hh"))
    b = torch.stack([torch.cat([ordered(f"bias_{side}", way) for side in ("ih", "hh")]) for way in ("", "_reverse")])
    return {"w": w, "r": r, "b": b}


def torch_gradients(kind: str, x: Array, cotangent: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """The weights, and PyTorch's gradients by them and by x, of a layer that goes both ways."""
    torch.manual_seed(3)
    module = MODULES[kind](FEATURES, HIDDEN, bidirectional=True)
    tensors = {name: t.detach().requires_grad_() for name, t in torch_weights(module, kind).items()}
    picture = torch.tensor(x, requires_grad=True)
    # The module's own parameters, as views of the tensors in ONNX's order.
    back = [ORDER[kind].index(gate) for gate in range(GATES[kind])]

    def restored(t: torch.Tensor) -> torch.Tensor:
        blocks = t.chunk(GATES[kind])
        return torch.cat([blocks[index] for index in back])

    parameters = {}
    for index, way in enumerate(("", "_reverse")):
        parameters[f"weight_ih_l0{way}"] = restored(tensors["w"][index])
        parameters[f"weight_hh_l0{way}"] = restored(tensors["r"][index])
        of_input, of_state = tensors["b"][index].chunk(2)
        parameters |= {f"bias_ih_l0{way}": restored(of_input), f"bias_hh_l0{way}": restored(of_state)}
    y, _ = torch.func.functional_call(module, parameters, (picture,))
    # ONNX: (time, directions, batch, hidden).
    y = y.reshape(*x.shape[:2], 2, HIDDEN).transpose(1, 2)
    (y * torch.tensor(cotangent)).sum().backward()
    found = {"x": picture, **tensors}
    return {k: t.detach().numpy() for k, t in tensors.items()}, {k: t.grad.numpy() for k, t in found.items()}  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", GATES)
def test_gradients_by_input_and_weights_are_those_of_pytorch(kind: str):
    x, cotangent = normal(TIME, BATCH, FEATURES), normal(TIME, 2, BATCH, HIDDEN, seed=1)
    weights, expected = torch_gradients(kind, x, cotangent)
    text = f'y = {kind} <hidden_size = {HIDDEN}, direction = "bidirectional"{OPTIONS[kind]}> (x, w, r, b)'
    found = gradients(text, cotangent, symbolic=2, x=x, **weights)
    for name, g in zip(("x", *weights), found, strict=True):
        assert error(g, expected[name]) < 1e-5, name


@pytest.mark.parametrize("kind", GATES)
def test_one_file_is_right_at_any_length_and_batch(kind: str):
    model = open_model(kind, torch_gradients(kind, normal(1, 1, FEATURES), normal(1, 2, 1, HIDDEN))[0])
    for time, batch in [(TIME, BATCH), (2, 1), (9, 2)]:
        x, cotangent = normal(time, batch, FEATURES), normal(time, 2, batch, HIDDEN, seed=1)
        _, expected = torch_gradients(kind, x, cotangent)
        found = evaluate(model, {"x": x, "cotangent": cotangent})[1]
        assert error(found, expected["x"]) < 1e-5


def open_model(kind: str, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The op with its weights inside, and its gradient by x: time and batch are symbols."""
    options = f'hidden_size = {HIDDEN}, direction = "bidirectional"{OPTIONS[kind]}'
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[time, batch, {FEATURES}] x) => '
        f"(float[time, 2, batch, {HIDDEN}] y) {{ y = {kind} <{options}> (x, w, r, b) }}"
    )
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    tape = Tape(model)
    y = tape.value("y")
    cotangent = tape.add_input("cotangent", np.float32, y.shape)
    (g,) = differentiate({y: cotangent}, [tape.value("x")])
    assert g is not None
    assert g.shape == ("time", "batch", FEATURES)
    tape.add_output(g, "gradient")
    return tape.model


def test_frozen_weights_have_no_gradients_in_the_scan():
    model = open_model("LSTM", torch_gradients("LSTM", normal(2, 1, FEATURES), normal(2, 2, 1, HIDDEN))[0])
    backward = [node for node in model.graph.node if node.op_type == "Scan"][2:]
    # λ of H and of C, and the gradient by what the input has to say.
    assert [len(node.output) for node in backward] == [3, 3]


def test_onnx_runtime_takes_the_way_back_of_a_computed_weight_behind_a_mask():
    # 1.31 lost an input where a tensor went through Identity to an output and, transposed weights beside it, to a Gemm.
    h, lengths = normal(1, 2, 3, seed=4), np.array([1, 2], np.int32)
    text = "y = LSTM <hidden_size = 3> (x, w, r, , lengths, h, h)"
    model = parsed_with(text, x=normal(2, 2, 4), w=normal(1, 12, 4), r=normal(1, 12, 3), h=h)
    model.graph.initializer.append(onnx.numpy_helper.from_array(lengths, "lengths"))
    tape = Tape(model)
    inputs = tape.inputs
    for value, g in zip(inputs, differentiate({tape.outputs[0]: tape.outputs[0]}, inputs), strict=True):
        assert g is not None
        tape.add_output(g, f"gradient_{value.name}")
    found = evaluate(tape.model, {x.name: normal(*x.shape) for x in inputs})  # type: ignore[arg-type]
    assert all(np.isfinite(array).all() for array in found)


def parsed_with(text: str, **tensors: Array) -> onnx.ModelProto:
    declared = ", ".join(f"float[{','.join(map(str, x.shape))}] {name}" for name, x in tensors.items())
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g ({declared}) => (float[2,1,2,3] y) {{ {text} }}'
    )


def test_an_activation_whose_default_parameters_are_disputed_is_refused():
    x, w, r = normal(2, 1, 3), normal(1, 4, 3), normal(1, 4, 4)
    text = 'y = RNN <hidden_size = 4, activations = ["Affine"]> (x, w, r)'
    with pytest.raises(NoGradientForm, match=r"RNN .*'affine' without its parameters"):
        gradients(text, normal(2, 1, 1, 4), x=x, w=w, r=r)


def test_an_unknown_activation_is_refused_by_name():
    x, w, r = normal(2, 1, 3), normal(1, 4, 3), normal(1, 4, 4)
    text = 'y = RNN <hidden_size = 4, activations = ["Swish"]> (x, w, r)'
    with pytest.raises(NoGradientForm, match="the activation 'swish'"):
        gradients(text, normal(2, 1, 1, 4), x=x, w=w, r=r)


def test_half_precision_gradients_are_near_those_of_float32():
    x, w, r = normal(4, 2, 3), normal(1, 16, 3) * 0.5, normal(1, 16, 4) * 0.5
    text, cotangent = "y = LSTM <hidden_size = 4> (x, w, r)", normal(4, 1, 2, 4, seed=2)
    exact = gradients(text, cotangent, x=x, w=w, r=r)
    half = {name: t.astype(np.float16) for name, t in (("x", x), ("w", w), ("r", r))}
    found = scan_only(text, cotangent.astype(np.float16), half)
    for a, b in zip(found, exact, strict=True):
        assert error(a, b) < 2e-2


def scan_only(text: str, cotangent: Array, tensors: Mapping[str, Array]) -> list[Array]:
    """The gradients without the node itself, for which ONNX Runtime has no kernel on CPUs in float16."""
    declared = ", ".join(f"float16[{','.join(map(str, x.shape))}] {name}" for name, x in tensors.items())
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g ({declared}) => (float16[4, 1, 2, 4] y) {{ {text} }}'
    )
    tape = Tape(model)
    seed = tape.add_input("cotangent", np.float16, cotangent.shape)
    found = differentiate({tape.value("y"): seed}, [tape.value(name) for name in tensors])
    del tape.model.graph.output[:]
    for name, g in zip(tensors, found, strict=True):
        assert g is not None
        tape.add_output(g, f"gradient_{name}")
    drop_unused(tape.model)
    return evaluate(tape.model, {**tensors, "cotangent": cotangent})


def test_every_option_of_the_three_has_a_row():
    named = " ".join(row.text for row in ROWS)
    for kind in GATES:
        for option in onnx.defs.get_schema(kind, 18).attributes:
            assert option in named, option
    assert set(EQUIVALENTS) <= set(RULES)
