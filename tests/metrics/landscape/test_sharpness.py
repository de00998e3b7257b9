"""Sharpness of a softmax regression in closed form, and of other networks by brute force."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics import measure
from scratchcard.metrics.landscape.adaptive_sharpness import adaptive_sharpness
from scratchcard.metrics.landscape.ascent import worst_increase
from scratchcard.metrics.landscape.sharpness import sharpness
from scratchcard.metrics.landscape.walking import Walker, sample
from tests.metrics.efficiency.networks import small, task
from tests.victims import digits_mlp, digits_test, images, linear

METRICS = {"sharpness": sharpness, "adaptive-sharpness": adaptive_sharpness}


def data(n: int = 60, classes: int = 4) -> Images:
    return images(n, classes)


def by_hand(model: nn.Sequential, seen: Images, rho: float, adaptive: bool) -> np.ndarray:
    """Rise of each image's loss after SAM's step, of a softmax regression, in float64."""
    w = model.get_parameter("1.weight").detach().double().numpy()
    b = model.get_parameter("1.bias").detach().double().numpy()
    x, y = seen.pixels.flatten(1).double().numpy() / 255, seen.labels.numpy()
    rows = np.arange(len(y))

    def loss(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(-log_softmax(x @ w.T + b, axis=1)[rows, y])

    residual = softmax(x @ w.T + b, axis=1) - np.eye(len(b))[y]
    c, d = (np.abs(w), np.abs(b)) if adaptive else (np.ones_like(w), np.ones_like(b))
    gw, gb = residual.T @ x / len(y), residual.mean(axis=0)
    length = np.sqrt(((c * gw) ** 2).sum() + ((d * gb) ** 2).sum())
    moved = loss(w + rho * c * c * gw / length, b + rho * d * d * gb / length)
    return np.asarray(moved - loss(w, b))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("rho", [0.01, 0.5])
@pytest.mark.parametrize("batch_size", [60, 7])
def test_softmax_regression(name: str, rho: float, batch_size: int) -> None:
    model, seen = linear(4), data()
    found = METRICS[name](model, seen, rho=rho, images=0, batch_size=batch_size)
    wanted = by_hand(model, seen, rho, name == "adaptive-sharpness")
    assert found.examples is not None
    np.testing.assert_allclose(found.examples, wanted, rtol=1e-4, atol=2e-6)
    assert found.value == pytest.approx(wanted.mean(), rel=1e-4)
    assert found.stderr == pytest.approx(wanted.std(ddof=1) / np.sqrt(60), rel=1e-4)
    after = found.parts["loss at the worst point"].value
    assert found.value == pytest.approx(after - found.parts["loss"].value)


def flat_parameters(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).double()


def loss_at(model: nn.Module, seen: Images, w: Tensor) -> Tensor:
    """The mean loss where the parameters, one after another, are ``w``, in float64."""
    own, start = {}, 0
    for name, p in model.named_parameters():
        own[name] = w[start : start + p.numel()].reshape(p.shape)
        start += p.numel()
    z = functional_call(copy.deepcopy(model).double(), own, (seen.floats().double(),))
    return cross_entropy(z, seen.labels)


def test_a_small_radius_gives_the_gradients_norm_and_curvature() -> None:
    model, seen, rho = linear(4, scale=2.0), data(), 0.05
    w = flat_parameters(model).requires_grad_()
    (g,) = torch.autograd.grad(loss_at(model, seen, w), w)
    h: Tensor = torch.autograd.functional.hessian(  # type: ignore[no-untyped-call]
        lambda v: loss_at(model, seen, v), w
    )
    slope, bend = rho * float(g.norm()), rho**2 / 2 * float(g @ h @ g / g.square().sum())
    found = sharpness(model, seen, rho=rho, images=0).value
    assert bend > 0.01 * slope
    assert found == pytest.approx(slope + bend, rel=1e-3)


class Pair(nn.Module):
    """Two weights, and a loss that is no straight line in them."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.7, -0.4]]))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(3 * x.flatten(1)[:, :2] @ self.w.T)
        return torch.cat([2 * z, z.square()], dim=1)


@pytest.mark.parametrize("adaptive", [False, True])
def test_many_steps_find_the_worst_of_the_whole_disc(adaptive: bool) -> None:
    model, seen, rho = Pair(), images(50), 0.4
    w = flat_parameters(model)
    scale = w.abs() if adaptive else torch.ones(2)
    clean = float(loss_at(model, seen, w))
    angles = torch.linspace(0, 2 * np.pi, 721, dtype=torch.float64)
    disc = [r * torch.stack([a.cos(), a.sin()]) for r in (rho, rho / 2) for a in angles]
    worst = max(float(loss_at(model, seen, w + scale * u)) for u in disc) - clean
    metric = adaptive_sharpness if adaptive else sharpness
    one, many = (metric(model, seen, rho=rho, images=0, steps=k).value for k in (1, 50))
    assert many == pytest.approx(worst, rel=1e-4)
    assert 0.5 * worst < one < worst * (1 - 1e-4)


def test_weights_that_are_cut_do_not_move() -> None:
    model, seen = copy.deepcopy(linear(4)), data()
    weight = model.get_parameter("1.weight")
    weight.data[:, ::2] = 0
    model.get_parameter("1.bias").data.zero_()
    layer = nn.Linear(8, 4)
    layer.weight.data, layer.bias.data = weight.data[:, 1::2], torch.zeros(4)
    narrow = nn.Sequential(nn.Flatten(), layer)
    less = Images(seen.pixels.flatten(2)[:, :, 1::2].unsqueeze(3).contiguous(), seen.labels)
    ours = sharpness(model, seen, images=0).value
    assert ours == pytest.approx(sharpness(narrow, less, images=0).value, rel=1e-4)
    everywhere = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    wrong = worst_increase(Walker.of(model), everywhere, seen, rho=0.05, steps=1, batch_size=256)
    assert wrong.value > 1.1 * ours


def rescaled(model: nn.Sequential) -> nn.Sequential:
    """The same function: a hidden layer four times as large, the next a quarter."""
    other = copy.deepcopy(model)
    other.get_parameter("1.weight").data *= 4
    other.get_parameter("1.bias").data *= 4
    other.get_parameter("3.weight").data /= 4
    return other


def official(model: nn.Module, seen: Images) -> Reading:
    """With the scale of ASAM's published code."""
    scale = {
        name: p.detach().abs() + 0.01 if "weight" in name else torch.ones_like(p)
        for name, p in model.named_parameters()
    }
    return worst_increase(Walker.of(model), scale, seen, rho=0.5, steps=1, batch_size=256)


def test_rescaled_layers_are_as_sharp_in_shares_but_not_in_weights() -> None:
    model, seen = digits_mlp(), digits_test()
    other = rescaled(model)
    one, two = (adaptive_sharpness(m, seen).value for m in (model, other))
    assert one > 0.01
    assert two == pytest.approx(one, rel=1e-5)
    for moved in (sharpness, official):
        assert abs(moved(other, seen).value / moved(model, seen).value - 1) > 0.1


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", ["cifar-resnet", "vit", "lenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_every_kind(name: str, kind: str, channels: int) -> None:
    wanted = task(kind, channels)
    pixels = torch.rand(24, channels, wanted.height, wanted.width)
    model = small(kind, channels=channels)
    found = METRICS[name](model, Images(pixels, torch.arange(24) % 4), rho=0.01)
    assert found.value > 0
    assert found.n == 24


def test_the_sample_is_the_same_for_every_network_and_has_every_class() -> None:
    seen = digits_test()
    some = sample(seen, 50)
    assert len(some) == 50
    assert torch.equal(some.pixels, sample(seen, 50).pixels)
    assert set(some.labels.tolist()) == set(range(10))
    assert len(sample(seen, 0)) == len(sample(seen, 9999)) == 300
    assert sharpness(digits_mlp(), seen, images=50).n == 50


class Settled(nn.Module):
    """Sure of class 0, whatever its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(len(x), 2)
        logits[:, 0] = 200 + 0 * self.w
        return logits


@pytest.mark.parametrize("name", METRICS)
def test_without_a_slope_there_is_no_direction(name: str) -> None:
    seen = Images(images(9).pixels, torch.zeros(9, dtype=torch.int64))
    with pytest.raises(NotApplicable, match="no slope"):
        METRICS[name](Settled(), seen)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": 0.0}, "rho = 0"),
        ({"rho": float("nan")}, "rho = nan"),
        ({"steps": 0}, "steps must be 1"),
        ({"images": -1}, "images = -1"),
        ({"batch_size": 0}, "batch_size must be 1"),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        METRICS[name](linear(), images(9), **options)


def test_measure_wants_training_images() -> None:
    with pytest.raises(UserError, match="train"):
        measure(linear(), "sharpness", images(9))
