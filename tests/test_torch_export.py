"""Exporting PyTorch modules: numbers, names of layers, the ways that are tried, programs without their Python."""

from __future__ import annotations

import dataclasses
import functools
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnxcam_converters.torch import routes
from onnxcam_converters.torch.attention import PlainAttention
from onnxcam_converters.torch.cleaning import clean
from onnxcam_converters.torch.evaluation import runner
from onnxcam_converters.torch.exporting import export_by, export_module
from onnxcam_converters.torch.outputs import first_tensor
from onnxcam_converters.torch.programs import export_program, export_script
from small_nets import run
from torch_support import timm, torch

import onnxcam
from onnxcam.errors import CannotConvert
from onnxcam.facts import author_facts

nn = torch.nn
BOTH = pytest.mark.parametrize("route", [routes.DYNAMO, routes.SCRIPT], ids=["dynamo", "TorchScript"])


class Pair(nn.Module):
    """Gives two tensors, of which the second goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x: Any) -> Any:
        return self.conv(x), x * 2


class Net(nn.Module):
    """All that names of layers must survive: layers in place, shared, without effect, without use, with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.skip = nn.Identity()
        self.twice = nn.Conv2d(8, 8, 1)
        self.also_twice = self.twice
        self.pair = Pair()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(8, 8, 1), nn.Hardtanh(inplace=True)) for _ in range(2)])
        self.unused = nn.Conv2d(8, 8, 1)
        self.table = nn.Linear(4, 8)
        self.places = nn.Parameter(torch.randn(1, 4))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = self.skip(self.drop(self.act(self.bn(self.conv(x)))))
        x = self.pair(self.twice(self.twice(x)))[0]
        for block in self.blocks:
            x = x + block(x)
        return self.fc(x.mean((2, 3)) + self.table(self.places))


def lively(module: Any, x: Any) -> Any:
    """The module in evaluation mode; nothing in it is zero, and batch normalisation does something."""
    torch.manual_seed(0)
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module.train()(x)
    return module.eval()


def hooked(module: Any, x: Any) -> dict[str, NDArray[Any]]:
    """The first tensor that every module gives, copied at once; of several calls the last."""
    found: dict[str, NDArray[Any]] = {}
    hooks = [
        part.register_forward_hook(
            lambda _m, _x, y, path=path: found.__setitem__(path, first_tensor(y).detach().numpy().copy())
        )
        for path, part in module.named_modules(remove_duplicate=False)
    ]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return found


def inner(model: onnx.ModelProto, x: Any) -> dict[str, NDArray[Any]]:
    """What the tensors hold that the file calls layers, by their names there."""
    layers = author_facts(model)["layers"]
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    own = {info.name for info in (*model.graph.output, *model.graph.input)}
    wider.graph.output.extend(onnx.ValueInfoProto(name=name) for name in set(layers.values()) - own)
    found = run(wider, {model.graph.input[0].name: x.numpy()}) | {model.graph.input[0].name: x.numpy()}
    return {path: found[tensor] for path, tensor in layers.items()}


def net() -> tuple[Any, Any]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 10, 10)
    return lively(Net(), x), x


@functools.cache
def exported(route: Any = routes.DYNAMO) -> onnx.ModelProto:
    """The net by that route alone."""
    module, x = net()
    return export_by([route], module, (x,), names=["x"], name="Net").model


@BOTH
def test_every_layer_in_the_file_is_what_the_module_gives(route):
    module, x = net()
    seen, found = hooked(module, x), inner(exported(route), x)
    assert set(found) == set(seen) - {"", "table"}  # all but what is no layer: the root, a constant
    for path, value in found.items():
        np.testing.assert_allclose(value, seen[path], atol=1e-5, err_msg=path)


def test_a_layer_in_place_does_not_spoil_the_layer_before_it():
    module, x = net()
    before = module.bn(module.conv(x)).detach().numpy()
    assert before.min() < -0.5
    np.testing.assert_allclose(inner(exported(), x)["bn"], before, atol=1e-5)


@BOTH
def test_batch_normalisation_stays_where_convolutions_could_take_it_up(route):
    assert "BatchNormalization" in [node.op_type for node in exported(route).graph.node]


def test_the_graph_of_a_transformer_is_as_short_as_the_exporters_own_and_its_layers_are_true():
    torch.manual_seed(0)
    module = timm.create_model("test_vit", img_size=64).eval()
    x = torch.randn(2, 3, 64, 64)
    with warnings.catch_warnings(), PlainAttention():
        warnings.simplefilter("ignore")
        batch = torch.export.Dim("batch", min=1)
        own = torch.onnx.export(
            module, (x,), dynamo=True, opset_version=18, dynamic_shapes=({0: batch},), verbose=False
        )
    model = export_module(module, (x,)).model
    assert len(model.graph.node) <= len(own.model.graph)
    seen, found = hooked(module, x), inner(model, x)
    assert {"blocks.5.norm1", "blocks.5.attn.qkv", "patch_embed.proj", "fc_norm"} <= set(found)
    for path, value in found.items():
        np.testing.assert_allclose(value, seen[path], atol=2e-4, err_msg=path)


def test_a_layer_that_left_no_tensor_is_noted_with_the_nearest_that_did():
    vanished = author_facts(exported())["vanished"]
    assert vanished == {"blocks": "blocks.1", "unused": "blocks.1.1", "table": "blocks.1.1"}


def test_tensors_are_called_by_the_outermost_module_that_gives_them():
    model = exported()
    assert {"conv", "bn", "act", "twice", "pair", "blocks.1"} <= {
        name for node in model.graph.node for name in node.output
    }
    assert author_facts(model)["layers"]["blocks.1.1"] == "blocks.1"
    assert author_facts(model)["layers"]["drop"] == "act"


def test_the_batch_is_free():
    module, _ = net()
    model = exported()
    for count in (1, 2, 5):
        x = torch.randn(count, 3, 10, 10)
        np.testing.assert_allclose(run(model, {"x": x.numpy()})["logits"], module(x).detach().numpy(), atol=1e-5)


def test_height_and_width_are_free_on_request():
    module, x = net()
    made = export_module(module, (x,), dynamic_size=True)
    x = torch.randn(1, 3, 17, 23)
    np.testing.assert_allclose(run(made.model, {"x": x.numpy()})["logits"], module(x).detach().numpy(), atol=1e-5)
    assert "height and width free" in made.route


def test_a_module_of_one_size_keeps_it_and_says_so():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    made = export_module(module, (torch.randn(1, 3, 8, 8),), dynamic_size=True)
    assert made.route == "torch.onnx, dynamo"
    assert "height and width free" in made.attempts[0]


def test_the_module_is_left_as_it_was():
    module, x = net()
    module.bn.train()
    module.conv.register_forward_hook(lambda _m, _x, y: y)
    module(x).sum().backward()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    grads = [weight.grad for weight in module.parameters()]
    export_module(module, (x,))
    assert [part.training for part in (module, module.bn, module.conv)] == [False, True, False]
    assert [len(part._forward_hooks) for part in (module, module.bn, module.conv)] == [0, 0, 1]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(weight.grad is grad for weight, grad in zip(module.parameters(), grads, strict=True))


def test_wrappers_are_taken_off():
    module, x = net()
    assert "conv" in author_facts(export_module(nn.DataParallel(module), (x,)).model)["layers"]


class Answer(nn.Module):
    """Gives what it is told to make of two tensors."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.form, self.body = form, nn.Linear(3, 4)

    def forward(self, pixel_values: Any) -> Any:
        return self.form(self.body(pixel_values), pixel_values + 1)


@dataclasses.dataclass
class Output:
    hidden: Any
    loss: Any
    logits: Any


@pytest.mark.parametrize(
    ("form", "names"),
    [
        (lambda a, b: a, ["logits"]),
        (lambda a, b: (a, b), ["logits", "output_1"]),
        (lambda a, b: {"out": a, "aux": b}, ["out", "aux"]),
        (lambda a, b: {"hidden": b, "logits": a}, ["logits", "hidden"]),
        (lambda a, b: Output(hidden=b, loss=None, logits=a), ["logits", "hidden"]),
        (lambda a, b: [(a, b)], ["logits"]),
    ],
    ids=["tensor", "tuple", "dict", "dict with logits", "dataclass", "nested"],
)
def test_outputs_keep_their_names_and_logits_come_first(form, names):
    module, x = Answer(form), torch.randn(2, 3)
    model = export_module(module, (x,)).model
    assert [info.name for info in model.graph.input] == ["pixel_values"]
    assert [info.name for info in model.graph.output] == names
    (first, *_) = runner(module)([x.numpy()])
    np.testing.assert_allclose(run(model, {"pixel_values": x.numpy()})[names[0]], first, atol=1e-6)


MASKS = {
    "plain": {},
    "boolean mask": {"attn_mask": torch.ones(5, 7, dtype=torch.bool).tril(2)},
    "added mask": {"attn_mask": torch.linspace(-1, 1, 35).reshape(5, 7)},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.3},
}


@pytest.mark.parametrize("options", MASKS.values(), ids=MASKS.keys())
def test_attention_written_out_is_the_fused_one(options):
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 7, 6), torch.randn(2, 4, 7, 3)
    fused = nn.functional.scaled_dot_product_attention(q, k, v, **options)
    with PlainAttention():
        written_out = nn.functional.scaled_dot_product_attention(q, k, v, **options)
    torch.testing.assert_close(written_out, fused)


def test_attention_over_shared_keys_written_out_is_the_fused_one():
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 5, 6), torch.randn(2, 2, 7, 6), torch.randn(2, 2, 7, 6)
    fused = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    with PlainAttention():
        written_out = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    torch.testing.assert_close(written_out, fused)


def test_attention_over_five_axes_is_exported():
    class Windows(nn.Module):
        def forward(self, x: Any) -> Any:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    x = torch.randn(2, 3, 4, 5, 6)
    made = export_module(Windows(), (x,))
    assert made.route == "torch.onnx, dynamo"


def test_two_limits_of_one_value_are_both_kept():
    class Limits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("low", torch.tensor(-0.1))
            self.register_buffer("high", torch.tensor(0.2))
            self.register_buffer("higher", torch.tensor(0.7))

        def forward(self, x: Any) -> Any:
            x = x * 1.5
            return torch.clamp(x, self.low, self.high) + 10 * torch.clamp(x, self.low, self.higher)

    module, x = Limits(), torch.randn(2, 9)
    found = run(export_module(module, (x,)).model, {"x": x.numpy()})["logits"]
    np.testing.assert_allclose(found, module(x).numpy(), atol=1e-6)


def test_a_batch_that_python_reads_is_exported_as_one_and_opened_by_the_core():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            return self.fc(self.conv(x).mean((2, 3))).reshape(int(x.shape[0]), 5)

    module, x = Counting().eval(), torch.randn(4, 3, 9, 9)
    made = export_module(module, (x,))
    assert made.route == "torch.onnx, dynamo, batch of 1"
    assert len(made.attempts) == 1
    assert made.attempts[0].startswith("torch.onnx, dynamo: ")
    found = run(onnxcam.convert(module, x, layer="conv").model, {"x": x.numpy()})
    np.testing.assert_allclose(found["logits"], module(x).detach().numpy(), atol=1e-5)


class Asking(nn.Module):
    """Reads a number out of its input, which no program can."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Any) -> Any:
        if float(x.abs().max()) > 1e9:
            raise ValueError("far too bright")
        return self.conv(x).mean((2, 3))


def test_what_no_program_can_hold_is_recorded_in_torchscript_and_the_reasons_are_kept():
    module, x = Asking().eval(), torch.randn(2, 3, 9, 9)
    made = export_module(module, (x,))
    assert made.route == "torch.onnx, TorchScript"
    assert [attempt.partition(": ")[0] for attempt in made.attempts] == [
        "torch.onnx, dynamo", "torch.onnx, dynamo, batch of 1",
    ]  # fmt: skip
    assert all("\n" not in attempt for attempt in made.attempts)
    assert inner(made.model, x)["conv"].shape == (2, 4, 7, 7)
    assert str(Path(__file__).parent).encode() not in made.model.SerializeToString()


class Choosing(nn.Module):
    """Goes one of two ways by what it sees; a recording knows one of them only."""

    def forward(self, x: Any) -> Any:
        return x * 2 if float(x.sum()) > 0 else x - 1


def test_a_recording_that_gives_other_numbers_is_refused_and_everything_is_in_a_log():
    with pytest.raises(CannotConvert) as caught:
        export_module(Choosing(), (torch.rand(2, 3, 4, 4),))
    told = str(caught.value)
    assert "differs by" in told
    assert "\n" not in told
    (log,) = re.findall(r"the whole of it: (.*\.log)\)", told)
    text = Path(log).read_text()
    Path(log).unlink()
    assert "Traceback" in text
    assert all(route.name in text for route in (routes.DYNAMO, routes.SCRIPT, routes.SCRIPT_17))


def test_a_failing_recording_prints_nothing(capfd):
    class Unknown(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.special.bessel_j0(x)

    with pytest.raises(CannotConvert, match="bessel_j0"):
        export_by([routes.SCRIPT], Unknown(), (torch.randn(2, 3),), names=["x"], name="Unknown")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            "\x1b[96mno\x1b[0m\n## Exception summary\n\n<class 'torch.UserError'>: Batch is 2.\n more",
            "UserError: Batch is 2",
        ),
        ("Load model from /tmp/onnxcam-ab/trial.onnx failed", "Load model from trial.onnx failed"),
        ("Unsupported: Unfold. Please feel free to ask https://a.org/b/c", "Unsupported: Unfold"),
        ("", "RuntimeError"),
    ],
)
def test_reasons_are_one_short_line_without_paths(told, why):
    assert routes.reason(RuntimeError(told)) == why


def test_a_module_that_fails_on_the_example_says_so():
    with pytest.raises(CannotConvert, match=r"fails on the example: .*expected input.* to have 3 channels, but got 4"):
        export_module(Asking(), (torch.randn(1, 4, 9, 9),))


def test_a_name_of_the_exporter_gives_way_to_a_layer_of_that_name():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add, self.relu = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.relu(torch.relu(self.add(x + 1)))).sum((2, 3))

    module, x = Named().eval(), torch.randn(2, 3, 4, 4)
    model = export_module(module, (x,)).model
    layers = author_facts(model)["layers"]
    assert layers == {"add": "add", "relu": "relu"}
    np.testing.assert_allclose(inner(model, x)["relu"], hooked(module, x)["relu"], atol=1e-6)


def test_clean_drops_what_only_constants_go_into():
    module, x = net()
    raw = routes.export(module, (x,), routes.DYNAMO, names=["x"])
    assert "table" in raw.given
    _, tensors = clean(raw.model, raw.names, raw.given)
    assert "table" not in tensors


def program_of(*given: Any, **options: Any) -> Any:
    """The exported program, saved and loaded; PyTorch warns of itself on the way."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(*given, **options), file)
        file.seek(0)
        return torch.export.load(file)


def test_an_exported_program_keeps_batch_names_and_layers():
    module, x = net()
    batch = torch.export.Dim("batch", min=1)
    made = export_program(program_of(module, (x,), dynamic_shapes=({0: batch},)))
    seen, found = hooked(module, x), inner(made.model, x)
    assert {"conv", "bn", "act", "pair", "blocks.0", "blocks.1.1", "fc"} <= set(found)
    for path, value in found.items():
        np.testing.assert_allclose(value, seen[path], atol=1e-5, err_msg=path)
    assert made.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert made.reference is not None


def test_an_exported_program_of_a_fixed_batch_keeps_it():
    module, x = net()
    made = export_program(program_of(module, (x,)))
    assert made.route == "torch.onnx, dynamo, batch as exported"
    np.testing.assert_allclose(run(made.model, {"x": x.numpy()})["logits"], module(x).detach().numpy(), atol=1e-5)


def test_an_exported_program_that_was_given_its_inputs_by_name_takes_them():
    module = Answer(lambda a, b: a + b.sum(1, keepdim=True)).eval()
    x = torch.randn(2, 3)
    made = export_program(program_of(module, (), {"pixel_values": x}))
    assert [info.name for info in made.model.graph.input] == ["pixel_values"]


def test_a_program_that_takes_other_things_than_tensors_is_refused():
    class Power(nn.Module):
        def forward(self, x: Any, n: int) -> Any:
            return x**n

    with pytest.raises(CannotConvert, match="other things than tensors"):
        export_program(program_of(Power(), (torch.randn(2, 3), 2)))


@pytest.mark.parametrize("kind", ["traced", "scripted"])
def test_torchscript_keeps_the_layers_that_compute_something(kind, tmp_path):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 10, 10)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    module = lively(nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(module, x) if kind == "traced" else torch.jit.script(module)
        torch.jit.save(script, tmp_path / "net.pt")
        made = export_script(tmp_path / "net.pt", (x,))
    seen, found = hooked(module, x), inner(made.model, x)
    assert set(found) == {"0", "0.0", "0.1", "0.2", "1", "2", "3"}
    for path, value in found.items():
        np.testing.assert_allclose(value, seen[path], atol=1e-5, err_msg=path)


@pytest.fixture(scope="module")
def resnet() -> tuple[Any, Any, NDArray[Any]]:
    """timm's resnet18 with random weights, two pictures, and our map at layer4 before it is scaled, ReLU included."""
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    module = lively(timm.create_model("resnet18"), x)
    graph = onnxcam.convert(module, x, layer="layer4", outputs=("raw_map",))
    return module, x, run(graph.model, {"x": x.numpy()})["raw_map"]


def gradcam(a: Any, score: Any) -> NDArray[Any]:
    """ReLU(Σ w a) with the gradient's mean as w."""
    (g,) = torch.autograd.grad(score, a)
    return torch.relu((g.mean((2, 3), keepdim=True) * a).sum(1)).detach().numpy()


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_a_hook_at_layer4_gives_our_map(resnet):
    module, x, found = resnet
    kept: list[Any] = []
    hook = module.layer4.register_forward_hook(lambda _m, _x, y: kept.append(y))
    scores = module(x)
    hook.remove()
    expected = gradcam(kept[0], scores.max(1).values.sum())
    assert expected.max() > 0
    assert distance(found, expected) <= 1e-3


def test_the_model_split_into_features_and_head_gives_our_map(resnet):
    module, x, found = resnet
    features, head = nn.Sequential(*list(module.children())[:-2]), nn.Sequential(*list(module.children())[-2:])
    a = features(x).detach().requires_grad_()
    scores = head(a)
    expected = gradcam(a, scores.max(1).values.sum())
    assert expected.max() > 0
    assert distance(found, expected) <= 1e-3
