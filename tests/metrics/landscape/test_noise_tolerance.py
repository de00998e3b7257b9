"""Noise tolerance of a network of one weight by quadrature, and of others by another search."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.data.base import Images
from scratchcard.metrics import measure
from scratchcard.metrics.landscape.input_noise_tolerance import (
    input_noise_tolerance,
    pixel_noise,
)
from scratchcard.metrics.landscape.noise_tolerance import noise_tolerance, weight_noise
from scratchcard.metrics.landscape.tolerance import OVERFLOWN, Noisy, Search, noisy_losses
from tests.metrics.efficiency.networks import small, task
from tests.victims import digits_mlp, digits_test, images, linear

TOLERANCES = {"weights": noise_tolerance, "inputs": input_noise_tolerance}
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(100)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0, x))


def lever(weight: float) -> nn.Sequential:
    """Of two classes, the logits are weight times the first pixel, and 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    rows = torch.zeros(2, 16)
    rows[0, 0] = weight
    model.get_parameter("1.weight").data = rows
    return model


def pixels_of(first: float, n: int) -> Images:
    """Images of class 0 whose first pixel is known, and whose others tell them apart."""
    pixels = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    pixels[:, 0, 0, 0] = first
    return Images(pixels, torch.zeros(n, dtype=torch.int64))


@pytest.mark.parametrize("mirrored", [False, True])
def test_one_weight_by_quadrature(mirrored: bool) -> None:
    def rise(sigma: float) -> float:
        mean = WEIGHTS @ softplus(-2 * (1 + sigma * NODES)) / WEIGHTS.sum()
        return float(mean - 1.1 * softplus(np.array(-2.0)))

    wanted = brentq(rise, 0.01, 2)
    found = noise_tolerance(lever(2.0), pixels_of(1.0, 2), draws=300, mirrored=mirrored)
    assert found.stderr < (0.1 if mirrored else 0.2) * wanted
    assert abs(found.value - wanted) < 3 * found.stderr
    assert found.stderr == pytest.approx(found.parts["over draws"].stderr, rel=0.2)


def test_the_error_over_draws_is_the_spread_over_seeds() -> None:
    seen = pixels_of(1.0, 2)
    found = [noise_tolerance(lever(2.0), seen, draws=12, seed=s) for s in range(24)]
    spread = np.std([reading.value for reading in found], ddof=1)
    claimed = np.mean([reading.parts["over draws"].stderr for reading in found])
    assert 0.6 < spread / claimed < 1.6


def rising(by: np.ndarray) -> Noisy:
    """Each draw raises the loss of every image alike."""
    return lambda sigma, draw: np.full(50, 1 + sigma**2 * by[draw])


def test_a_bootstrap_of_few_draws_is_not_too_narrow() -> None:
    streams, found = np.random.default_rng(0), []
    for _ in range(40):
        rise = 1 + 0.1 * streams.standard_normal(2)  # by draw, the same for all images
        found.append(Search(2, 1.1, 5.0).reading(rising(rise), np.ones(50)))
    claimed = np.mean([reading.stderr**2 for reading in found])
    assert claimed == pytest.approx(
        np.mean([reading.parts["over draws"].stderr ** 2 for reading in found]), rel=0.1
    )


def test_mirrored_draws_vary_less() -> None:
    model, seen = digits_mlp(), digits_test()
    plain = noise_tolerance(model, seen, draws=10, mirrored=False).parts["over draws"].stderr
    assert noise_tolerance(model, seen, draws=5).parts["over draws"].stderr < 0.8 * plain


def test_pixels_by_quadrature_with_clipping() -> None:
    def rise(sigma: float, *, clip: bool = True) -> float:
        x = 0.5 + sigma * NODES
        mean = WEIGHTS @ softplus(-8 * (x.clip(0, 1) if clip else x)) / WEIGHTS.sum()
        return float(mean - 3 * softplus(np.array(-4.0)))

    wanted = brentq(rise, 0.01, 2)
    found = input_noise_tolerance(lever(8.0), pixels_of(0.5, 2000), images=0, factor=3.0)
    assert found.stderr < 0.05 * wanted
    assert abs(found.value - wanted) < 3 * found.stderr
    # Unclipped noise would be another matter, at a factor that clipping reaches.
    assert rise(1.0) > 0
    high = rise(1.0, clip=False)
    assert high > 1.1 * rise(1.0)


def network() -> nn.Sequential:
    stream = torch.Generator().manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=stream)
    return model.eval()


@pytest.mark.parametrize("kinds", [("conv",), ("linear",), ("conv", "linear")])
def test_weights_against_another_search(kinds: tuple[str, ...]) -> None:
    model, seen = network(), images(80, 3)
    names = [n for n in ("0.weight", "4.weight") if ("conv" if n[0] == "0" else "linear") in kinds]

    def loss(sigma: float) -> float:
        total = 0.0
        for draw in range(4):
            noisy = copy.deepcopy(model)
            for name in names:
                w = noisy.get_parameter(name)
                w.data += sigma * w.data.abs() * weight_noise(w.data, 7, draw, name)
            with torch.no_grad():
                total += float(cross_entropy(noisy(seen.floats()).double(), seen.labels)) / 4
        return total

    found = noise_tolerance(
        model, seen, kinds=kinds, draws=4, mirrored=False, images=0, seed=7, batch_size=33
    )
    assert found.parts["loss"].value == pytest.approx(loss(0.0), rel=1e-5)
    assert loss(found.value) == pytest.approx(1.1 * loss(0.0), rel=1e-4)
    grid = np.linspace(0, found.value * 0.99, 12)
    first = next((s for s in grid if loss(s) > 1.1 * loss(0.0)), None)
    assert first is None, "the search passed a crossing in this case, which has one"


def test_pixels_against_another_search() -> None:
    model, seen = network(), images(80, 3)
    x = seen.floats()

    def loss(sigma: float) -> float:
        with torch.no_grad():
            noisy = [(x + sigma * pixel_noise(x, 7, draw)).clamp(0, 1) for draw in range(3)]
            rows = [cross_entropy(model(z).double(), seen.labels) for z in noisy]
        return float(torch.stack(rows).mean())

    wanted = brentq(lambda sigma: loss(sigma) - 1.1 * loss(0.0), 1e-4, 2)
    found = input_noise_tolerance(model, seen, images=0, seed=7, batch_size=33)
    assert found.value == pytest.approx(wanted, rel=2e-3)


def test_noise_of_an_image_is_its_own_and_normal() -> None:
    x = images(300).floats()
    noise = pixel_noise(x, 0, 0)
    assert torch.equal(pixel_noise(x[5:9], 0, 0), noise[5:9])
    assert not torch.equal(pixel_noise(x[:1], 0, 1), noise[:1])
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.05


class Spy(nn.Module):
    """A network that notes, through all copies, which weights it was run with."""

    def __init__(self, net: nn.Module, seen: list[Tensor]) -> None:
        super().__init__()
        self.net, self.seen = net, seen

    def __deepcopy__(self, memo: dict[int, Any]) -> Spy:
        return Spy(copy.deepcopy(self.net, memo), self.seen).eval()

    def forward(self, x: Tensor) -> Any:
        self.seen.append(self.net.get_parameter("0.weight").detach().clone())
        return self.net(x)


def test_weights_that_are_cut_stay_cut() -> None:
    model = network()
    weight = model.get_parameter("0.weight")
    weight.data[:, :, 0] = 0
    visited: list[Tensor] = []
    noise_tolerance(Spy(model, visited), images(30, 3), draws=2)
    moved = [w for w in visited if not torch.equal(w, weight)]
    assert len(moved) > 10
    assert all(torch.equal(w == 0, weight == 0) for w in moved)
    assert torch.equal(visited[0], weight)


def test_what_is_measured_next_is_not_noisy() -> None:
    model, seen = network(), images(80, 3)
    before = copy.deepcopy(model.state_dict())
    alone = input_noise_tolerance(model, seen)
    noise_tolerance(model, seen)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert input_noise_tolerance(model, seen).value == alone.value
    # The official order of things: the weights keep the last noise.
    leaky = copy.deepcopy(model)
    w = leaky.get_parameter("0.weight")
    w.data += 0.3 * w.data.abs() * weight_noise(w.data, 0, 0, "0.weight")
    assert abs(input_noise_tolerance(leaky, seen).value - alone.value) > 0.01 * alone.value


def test_rescaled_layers_bear_as_much() -> None:
    model = digits_mlp()
    other = copy.deepcopy(model)
    for name, factor in {"1.weight": 4, "1.bias": 4, "3.weight": 0.25}.items():
        other.get_parameter(name).data *= factor
    one, two = (noise_tolerance(m, digits_test()).value for m in (model, other))
    assert two == pytest.approx(one, rel=1e-5)


def test_differences_of_networks_are_paired() -> None:
    model, seen = digits_mlp(), digits_test()
    other = copy.deepcopy(model)
    other.get_parameter("3.weight").data *= 1.05
    for tolerance in TOLERANCES.values():
        one, two = (tolerance(m, seen) for m in (model, other))
        assert one.replicates is not None
        assert two.replicates is not None
        assert one.n == two.n == 300
        assert np.std(one.replicates - two.replicates) < 0.5 * one.stderr


@pytest.mark.parametrize("kind", ["cifar-resnet", "vit", "lenet"])
@pytest.mark.parametrize("what", TOLERANCES)
def test_networks_of_every_kind(kind: str, what: str) -> None:
    wanted = task(kind)
    stream = torch.Generator().manual_seed(0)
    pixels = torch.rand(24, 3, wanted.height, wanted.width, generator=stream)
    found = TOLERANCES[what](small(kind), Images(pixels, torch.arange(24) % 4), draws=2)
    assert 0 < found.value <= 5


@pytest.mark.parametrize("what", TOLERANCES)
def test_who_has_nothing_to_lose_bears_everything(what: str) -> None:
    found = TOLERANCES[what](lever(0.0), images(20), upper=1.5)
    assert found.parts["censored"].value == 1
    assert (found.value, found.stderr, found.n) == (1.5, 0.0, 20)
    assert found.parts["loss"].value == pytest.approx(np.log(2))


@pytest.mark.parametrize("what", TOLERANCES)
def test_a_multiple_of_no_loss_is_nothing(what: str) -> None:
    with pytest.raises(NotApplicable, match="a multiple of nothing"):
        TOLERANCES[what](lever(40.0), pixels_of(1.0, 8))


def test_logits_beyond_float32_count_as_a_great_loss() -> None:
    broken = np.array([[np.inf, 0], [1, 0]], np.float32)
    assert (noisy_losses(broken, np.array([0, 1])) == OVERFLOWN).all()
    # Products of layers leave float32 between one sigma and the next.
    deep = [nn.Linear(16, 16, bias=False) for _ in range(3)]
    for layer in deep:
        layer.weight.data = torch.eye(16) * 2e12
    head = nn.Linear(16, 2, bias=False)
    head.weight.data.zero_()[0, 0] = 1e-38
    found = noise_tolerance(nn.Sequential(nn.Flatten(), *deep, head), pixels_of(1.0, 8))
    assert np.isfinite([found.value, found.stderr]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 1}, "draws = 1"),
        ({"factor": 1.0}, "factor = 1"),
        ({"upper": 0.0}, "upper = 0"),
        ({"images": -1}, "images = -1"),
        ({"batch_size": 0}, "batch_size must be 1"),
    ],
)
@pytest.mark.parametrize("what", TOLERANCES)
def test_options_out_of_range(what: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TOLERANCES[what](linear(), images(9), **options)


def test_kinds_of_layers() -> None:
    with pytest.raises(NotApplicable, match="no conv layer"):
        noise_tolerance(linear(), images(9), kinds=("conv",))
    for wrong in (("convs",), ()):
        with pytest.raises(UserError, match="must be one or more of conv, linear"):
            noise_tolerance(linear(), images(9), kinds=wrong)


def test_the_profile_paper() -> None:
    seen = images(30, 3)
    weights = measure(network(), "noise-tolerance", seen, train=seen, profile="paper")
    wanted = {"kinds": ("conv",), "draws": 15, "images": 0, "upper": 5.0, "mirrored": False}
    assert {name: weights.params[name] for name in wanted} == wanted
    pixels = measure(network(), "input-noise-tolerance", seen, train=seen, profile="paper")
    wanted = {"draws": 3, "images": 0, "upper": 2.0, "factor": 1.1}
    assert {name: pixels.params[name] for name in wanted} == wanted
