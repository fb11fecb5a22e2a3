"""Whole networks, random weights: relevance and guided gradients against zennit and torch.autograd in float64."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
from backward_runs import Array
from small_nets import run
from test_against_torch import relative_l2, settle, smooth_noise
from torch_support import timm, torch, torchvision

from onnxcam.autodiff import differentiate
from onnxcam.autodiff.backward import TABLES, BackwardTable, epsilon_gamma_box, relevance, uniform
from onnxcam.conversion import Request, convert_source
from onnxcam.graph import Tape, drop_unused, load

nn = torch.nn
TOLERANCE = 1e-4
LOW, HIGH = [-3.0, -4.0, -3.5], [3.0, 4.0, 3.5]


def small_net() -> Any:
    """Groups, strides, batch normalisation, both kinds of pooling, two dense layers."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 12, 3), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 9, 10), nn.ReLU(),
        nn.Linear(10, 5),
    )  # fmt: skip
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.weight, 1.0, 0.5)
            nn.init.normal_(part.bias)
    return net.eval()


def network(name: str, size: int, *, create: Any = torchvision.models.get_model, **options: Any) -> Any:
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = create(name, **options)
    settle(net, size)
    return net


class Subject:
    """A network, two images, the cotangent that starts with the best score, and the network as an ONNX model."""

    def __init__(self, net: Any, size: int) -> None:
        torch.manual_seed(2)
        self.net, self.x = net, smooth_noise(2, size)
        scores = net(self.x).detach()
        self.start = torch.where(scores == scores.amax(1, keepdim=True), scores, 0.0)
        self.model = convert_source(Request(source=net, example=self.x[:1])).model

    def found(self, table: BackwardTable) -> Array:
        tape = Tape(load(self.model).proto)
        y, x = tape.outputs[0], tape.inputs[0]
        (value,) = differentiate({y: tape.add_input("cotangent", np.float32, y.shape)}, [x], table)
        assert value is not None
        tape.add_output(value, "found")
        drop_unused(tape.model)
        return run(tape.model, {x.name: self.x.numpy(), "cotangent": self.start.numpy()})["found"]

    def by_zennit(self, composite: Any) -> Array:
        from zennit.attribution import Gradient

        with Gradient(model=copy.deepcopy(self.net).double(), composite=composite) as attributor:
            return attributor(self.x.double(), self.start.double())[1].detach().numpy()

    def by_autograd(self, net: Any) -> Array:
        x = self.x.double().requires_grad_()
        return torch.autograd.grad(net.double()(x), x, self.start.double())[0].numpy()


@pytest.fixture(scope="module")
def small() -> Subject:
    return Subject(small_net(), 32)


@pytest.fixture(scope="module")
def resnet() -> Subject:
    return Subject(network("resnet18", 64, weights=None), 64)


@pytest.fixture(scope="module")
def convnext() -> Subject:
    net = network("convnext_atto", 64, create=timm.create_model, num_classes=10)
    for name, parameter in net.named_parameters():
        if name.endswith("gamma"):  # 10⁻⁶ before any training: the blocks would not show
            nn.init.normal_(parameter, 0.0, 0.5)
    return Subject(net, 64)


def zennit_composites() -> Any:
    return pytest.importorskip("zennit.composites", reason="zennit is not installed")


def one_rule(name: str, *arguments: float) -> Any:
    """zennit's rule of that name for all linear layers, batch normalisation merged."""
    composites = zennit_composites()
    from zennit import rules, types
    from zennit.canonizers import SequentialMergeBatchNorm

    layers = [*composites.layer_map_base(1e-6), (types.Linear, getattr(rules, name)(*arguments))]
    return composites.LayerMapComposite(layers, canonizers=[SequentialMergeBatchNorm()])


RULES = {
    "lrp-epsilon": ("Epsilon",), "lrp-gamma": ("Gamma",), "lrp-z-plus": ("ZPlus",),
    "lrp-alpha2beta1": ("AlphaBeta", 2.0, 1.0), "lrp-w-square": ("WSquare",), "lrp-flat": ("Flat",),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_rule_for_all_layers_is_zennits(name: str, small: Subject):
    assert relative_l2(small.found(TABLES[name]), small.by_zennit(one_rule(*RULES[name]))) <= TOLERANCE


def test_a_rule_without_bias_is_zennits(small: Subject):
    composites = zennit_composites()
    from zennit import rules, types
    from zennit.canonizers import SequentialMergeBatchNorm

    layers = [*composites.layer_map_base(1e-6), (types.Linear, rules.Epsilon(zero_params="bias"))]
    theirs = composites.LayerMapComposite(layers, canonizers=[SequentialMergeBatchNorm()])
    ours = uniform("own", "", "", rule=relevance.without_bias(relevance.epsilon()))
    assert relative_l2(small.found(ours), small.by_zennit(theirs)) <= TOLERANCE


COMPOSITES = {
    "lrp-epsilon-plus": "EpsilonPlus", "lrp-epsilon-plus-flat": "EpsilonPlusFlat",
    "lrp-epsilon-alpha2beta1": "EpsilonAlpha2Beta1", "lrp-epsilon-alpha2beta1-flat": "EpsilonAlpha2Beta1Flat",
    "guided": "GuidedBackprop", "deconvnet": "DeconvNet",
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_composite_is_zennits(name: str, small: Subject):
    composite = getattr(zennit_composites(), COMPOSITES[name])
    from zennit.canonizers import SequentialMergeBatchNorm

    theirs = composite(canonizers=[SequentialMergeBatchNorm()])
    assert relative_l2(small.found(TABLES[name]), small.by_zennit(theirs)) <= TOLERANCE


@pytest.mark.parametrize("name", ["lrp-epsilon-plus", "lrp-epsilon-alpha2beta1-flat", "guided"])
def test_a_composite_is_zennits_on_a_residual_network(name: str, resnet: Subject):
    composite = getattr(zennit_composites(), COMPOSITES[name])
    from zennit.torchvision import ResNetCanonizer

    theirs = composite(canonizers=[ResNetCanonizer()])
    assert relative_l2(resnet.found(TABLES[name]), resnet.by_zennit(theirs)) <= TOLERANCE


@pytest.mark.parametrize("subject", ["small", "resnet"])
def test_the_box_is_zennits(subject: str, request: pytest.FixtureRequest):
    composites, net = zennit_composites(), request.getfixturevalue(subject)
    from zennit.torchvision import ResNetCanonizer

    low, high = (torch.tensor(bound).double()[None, :, None, None] for bound in (LOW, HIGH))
    theirs = net.by_zennit(composites.EpsilonGammaBox(low=low, high=high, canonizers=[ResNetCanonizer()]))
    assert relative_l2(net.found(epsilon_gamma_box(LOW, HIGH)), theirs) <= TOLERANCE


def test_guided_backpropagation_leaves_gelu_its_derivative(convnext: Subject):
    plain = convnext.by_autograd(copy.deepcopy(convnext.net))
    assert relative_l2(convnext.found(TABLES["guided"]), plain) <= TOLERANCE


def test_the_smooth_table_guides_at_every_gelu(convnext: Subject):
    class Guided(nn.GELU):
        def forward(self, x: Any) -> Any:
            y = super().forward(x)
            y.register_hook(lambda g: g.clamp(min=0.0))
            return y

    net = copy.deepcopy(convnext.net)
    for part in list(net.modules()):
        for name, child in part.named_children():
            if type(child).__name__ == "GELU":
                setattr(part, name, Guided())
    found, expected = convnext.found(TABLES["guided-smooth"]), convnext.by_autograd(net)
    assert relative_l2(found, expected) <= TOLERANCE
    assert relative_l2(found, convnext.by_autograd(copy.deepcopy(convnext.net))) > 0.1
