"""Architectures: sizes, names, seeds and refusals."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Task, UserError
from scratchcard.models import build
from scratchcard.models.normalise import Normalise
from scratchcard.models.resnet_cifar import Subsample

CIFAR, MNIST, DIGITS = Task(3, 32, 32, 10), Task(1, 28, 28, 10), Task(1, 8, 8, 10)
KINDS = ["mlp", "lenet", "cifar-resnet"]


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def prunable(network: nn.Module) -> int:
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return sum(m.weight.numel() for m in layers)


@pytest.mark.parametrize(
    ("kind", "task", "params", "count"),
    [
        # LeNet-300-100 has 266,610 parameters (Frankle and Carbin, table 2: 266K).
        ("mlp", MNIST, {}, 266_610),
        ("mlp", DIGITS, {"hidden": (5,)}, 64 * 5 + 5 + 50 + 10),
        # 156 + 2,416 + (784 or 64) * 120 + 120 + 10,164 + 850.
        ("lenet", MNIST, {}, 107_786),
        ("lenet", DIGITS, {}, 21_386),
        # He et al., table 6: 0.27 M, 0.46 M and 0.85 M.
        ("cifar-resnet", CIFAR, {}, 269_722),
        ("cifar-resnet", CIFAR, {"depth": 32}, 464_154),
        ("cifar-resnet", CIFAR, {"depth": 56}, 853_018),
    ],
)
def test_parameter_counts(kind: str, task: Task, params: Mapping[str, Any], count: int) -> None:
    assert parameters(build(kind, task, params, 0)) == count


def test_prunable_weights_of_shortcut_b() -> None:
    assert prunable(build("cifar-resnet", CIFAR, {"shortcut": "B"}, 0)) == 270_896


def test_lenet_width_multiplies_every_layer() -> None:
    shapes = {
        name: tuple(p.shape)
        for name, p in build("lenet", DIGITS, {"width": 0.5}, 0).named_parameters()
    }
    assert shapes["conv1.weight"] == (3, 1, 5, 5)
    assert shapes["conv2.weight"] == (8, 3, 5, 5)
    assert shapes["fc1.weight"] == (60, 32)
    assert shapes["fc3.weight"] == (10, 42)


def test_parameter_names_are_torchvisions() -> None:
    state = build("cifar-resnet", CIFAR, {"depth": 8, "shortcut": "B"}, 0).state_dict()
    block = ["conv1.weight"]
    block += [f"bn1.{n}" for n in ("weight", "bias", "running_mean", "running_var")]
    block += ["bn1.num_batches_tracked"]
    second = [name.replace("1.", "2.") for name in block]
    shortcut = [
        name.replace("conv1", "downsample.0").replace("bn1", "downsample.1") for name in block
    ]
    names = [*block, *(f"layer1.0.{name}" for name in (*block, *second))]
    for stage in (2, 3):
        names += [f"layer{stage}.0.{name}" for name in (*block, *second, *shortcut)]
    assert list(state) == [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize("kind", KINDS)
def test_seeds(kind: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (build(kind, DIGITS, {}, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first if first[name].ndim > 1)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_have_the_he_variance(kind: str) -> None:
    network = build(kind, CIFAR, {}, 0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            n = module.weight.numel()
            ratio = float(module.weight.detach().square().mean()) * fan_in / 2
            assert abs(ratio - 1) < 5 * (2 / n) ** 0.5
            assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_networks_can_be_traced(kind: str, shortcut: str) -> None:
    params = {"shortcut": shortcut} if kind == "cifar-resnet" else {}
    network = build(kind, DIGITS, params, 0).eval()
    traced = torch.fx.symbolic_trace(network)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(traced(images), network(images))


def test_second_derivatives_exist() -> None:
    network = build("cifar-resnet", Task(1, 8, 8, 3), {"depth": 8, "width": 2}, 0)
    weights = list(network.parameters())
    loss = network(torch.rand(4, 1, 8, 8)).square().mean()
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(
        sum((g.square().sum() for g in gradients), torch.zeros(())), weights
    )
    assert all(bool(g.isfinite().all()) for g in second)


def test_shortcut_a() -> None:
    x = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    out = Subsample(2, 3)(x)
    assert out.shape == (2, 6, 2, 2)
    assert not out[:, [0, 4, 5]].any()
    assert torch.equal(out[:, 1:4, 1, 0], x[:, :, 2, 0])


def test_normalisation_is_inside_and_not_in_the_state() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)
    network = build("lenet", CIFAR, {"mean": mean, "std": std}, 0)
    assert not [name for name in network.state_dict() if "normalise" in name]
    first = next(iter(network.children()))
    assert isinstance(first, Normalise)
    out = first(torch.full((1, 3, 2, 2), 0.5))
    assert out[0, :, 0, 0].tolist() == pytest.approx([0.8, 1.2, 1.6])
    assert Normalise((0.5,), (0.25,), 3)(torch.ones(1, 3, 1, 1)).flatten().tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("kind", "task", "params", "message"),
    [
        ("cifar-resnet", CIFAR, {"depth": 18}, r"depth = 18 is not 6 n \+ 2 .*; take 14 or 20"),
        ("cifar-resnet", CIFAR, {"depth": 21}, "take 20 or 26"),
        ("cifar-resnet", CIFAR, {"depth": 2}, "take 8"),
        ("cifar-resnet", CIFAR, {"width": 0}, "width = 0"),
        ("cifar-resnet", CIFAR, {"shortcut": "C"}, 'shortcut = "C" must be "A" or "B"'),
        ("cifar-resnet", CIFAR, {"widths": (8, 16)}, r"widths = \[8, 16\] must name 3 stages"),
        ("cifar-resnet", CIFAR, {"widths": (8, 0, 9)}, "of at least one channel"),
        ("cifar-resnet", CIFAR, {"widths": (8, 9, 7)}, "shrink, but shortcut A only adds"),
        ("lenet", Task(1, 3, 8, 2), {}, "at least 4x4 pixels, not 1x3x8 images in 2 classes"),
        ("lenet", CIFAR, {"width": 0.0}, "width = 0.0 must be positive"),
        ("mlp", CIFAR, {"hidden": ()}, r"hidden = \[\]"),
        ("mlp", CIFAR, {"hidden": (10, 0)}, r"hidden = \[10, 0\]"),
        ("mlp", CIFAR, {"mean": (0.1, 0.2)}, "2 numbers, but the images have 3 channels"),
        ("mlp", CIFAR, {"std": (0.0,)}, "must be positive"),
        ("mlp", CIFAR, {"hiden": (10,)}, 'no option "hiden"; did you mean "hidden"'),
        ("lenett", CIFAR, {}, 'unknown model "lenett"; did you mean "lenet"'),
    ],
)
def test_refusals(kind: str, task: Task, params: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(kind, task, params, 0)
