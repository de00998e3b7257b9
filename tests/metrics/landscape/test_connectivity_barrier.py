"""Barriers that are known by hand, BatchNorm's statistics, and that walkers come home."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.connectivity_barrier import connectivity_barrier
from scratchcard.metrics.landscape.walking import Walker, batch_norms, re_estimate, sample, state
from tests.metrics.efficiency.networks import small, task
from tests.metrics.landscape.curved import weight_hessian
from tests.victims import answered, images, linear


def test_a_convex_loss_has_no_barrier() -> None:
    dense, ticket = linear(4, seed=1), linear(4, seed=2)
    ticket.get_parameter("1.weight").data[:, ::2] = 0
    seen = images(300, 4)
    found = connectivity_barrier(ticket, dense, seen, seen, images=0)
    x, y = seen.pixels.flatten(1).numpy() / 255, seen.labels.numpy()
    ends = [
        {n: p.detach().double().numpy() for n, p in m.named_parameters()} for m in (dense, ticket)
    ]
    for a in np.linspace(0, 1, 11):
        w, b = ((1 - a) * ends[0][n] + a * ends[1][n] for n in ("1.weight", "1.bias"))
        z = x @ w.T + b
        loss = -log_softmax(z, axis=1)[np.arange(300), y].mean()
        assert found.parts[f"loss at {a:.2f}"].value == pytest.approx(loss, rel=1e-5)
        wrong = (z.argmax(axis=1) != y).mean()
        assert found.parts[f"error at {a:.2f}"].value == pytest.approx(wrong, abs=1 / 300)
    assert found.parts["loss at 0.50"].value < found.parts["loss at 0.00"].value - 0.01
    assert found.parts["barrier, loss"].value == 0
    assert not any("as it is" in label for label in found.parts)


def test_where_the_loss_is_a_parabola_the_line_is_one() -> None:
    """L(a) lies d'Hd a (1 - a)/2 below the straight line, to third order in d."""
    dense, ticket, seen = linear(4, seed=1), linear(4, seed=1), images(300, 4)
    stream = torch.Generator().manual_seed(0)
    for p in ticket.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=stream)
    middle = copy.deepcopy(dense).double()
    away = []
    for p, q, m in zip(dense.parameters(), ticket.parameters(), middle.parameters(), strict=True):
        m.data = (p.data.double() + q.data.double()) / 2
        away.append((q - p).detach().double().ravel())
    d = torch.cat(away)
    bend = float(d @ weight_hessian(middle, seen) @ d)
    parts = connectivity_barrier(ticket, dense, seen, seen, images=0).parts
    ends = [parts[f"loss at {a:.2f}"].value for a in (0, 1)]
    for a in np.linspace(0.1, 0.9, 9):
        gap = parts[f"loss at {a:.2f}"].value - (1 - a) * ends[0] - a * ends[1]
        assert gap == pytest.approx(-a * (1 - a) / 2 * bend, rel=0.03)
    assert parts["barrier, loss"].value == 0


def two_units(order: list[int], rectified: bool = True) -> nn.Sequential:
    """Each of two hidden units hands on one of two pixels; in an order."""
    middle = nn.ReLU() if rectified else nn.Tanh()
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), middle)
    model.append(nn.Linear(2, 2, bias=False))
    model.get_parameter("1.weight").data = torch.eye(2)[order]
    model.get_parameter("3.weight").data = torch.eye(2)[:, order]
    return model


def pairs(n: int = 400) -> Images:
    """Two different pixels, and which is the larger: one in four times the second."""
    low, high = torch.rand(2, n, generator=torch.Generator().manual_seed(0)).sort(dim=0).values
    labels = (torch.arange(n) % 4 == 3).long()
    first, second = torch.where(labels == 0, high, low), torch.where(labels == 0, low, high)
    return Images(torch.stack([first, second], dim=1).reshape(n, 1, 1, 2), labels)


def test_permuted_units_have_a_barrier_that_is_known() -> None:
    """At a the difference of the logits is (1 - 2a)^2 times that of the pixels: 0 half way."""
    one, other, seen = two_units([0, 1]), two_units([1, 0]), pairs()
    found = connectivity_barrier(other, one, seen, seen)
    assert found.value == 0.25
    assert found.stderr == pytest.approx(np.sqrt(0.25 * 0.75 / 400), rel=0.1)
    assert found.n == 400
    gap = (seen.pixels[:, 0, 0, 0] - seen.pixels[:, 0, 0, 1]).double().abs().numpy()
    for a in np.linspace(0, 1, 11):
        loss = np.logaddexp(0, -((1 - 2 * a) ** 2) * gap).mean()
        assert found.parts[f"loss at {a:.2f}"].value == pytest.approx(loss, rel=1e-5)
        wrong = 0.25 if np.isclose(a, 0.5) else 0
        assert found.parts[f"error at {a:.2f}"].value == wrong
    barrier = np.log(2) - np.logaddexp(0, -gap).mean()
    assert found.parts["barrier, loss"].value == pytest.approx(barrier, rel=1e-5)
    assert found.parts["barrier, error"].value == found.value


def test_between_the_points_nobody_looks() -> None:
    seen = pairs()
    coarse = connectivity_barrier(two_units([1, 0]), two_units([0, 1]), seen, seen, points=4)
    assert coarse.value == 0


def normalised(seed: int = 0, dropout: float = 0.5) -> nn.Sequential:
    stream = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout)),
        *(nn.Conv2d(6, 6, 2), nn.BatchNorm2d(6, momentum=0.3), nn.Flatten(), nn.Linear(6, 3)),
    )
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=stream)
    for layer in batch_norms(model):
        layer.running_mean = torch.randn(6, generator=stream)
        layer.running_var = torch.rand(6, generator=stream) + 0.5
    return model.eval()


def test_a_network_has_no_barrier_to_itself() -> None:
    model, seen = normalised(), images(200, 3)
    found = connectivity_barrier(model, copy.deepcopy(model), seen, seen)
    assert (found.value, found.stderr) == (0, 0)
    assert found.parts["barrier, loss"].value == 0
    # Had only the points between the ends new statistics, there would be one.
    old, new = (found.parts[f"loss at 0.50{s}"].value for s in (", as it is", ""))
    assert abs(new - old) > 0.05 * old


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: b.clone() for name, b in model.named_buffers() if "running" in name}


def test_statistics_are_averages_over_batches() -> None:
    model, seen = normalised(), images(250, 3)
    batches = [x.float() / 255 for x in torch.split(seen.pixels, [84, 83, 83])]
    ours, theirs = copy.deepcopy(model), normalised(dropout=0)
    re_estimate(ours, seen.pixels)
    update_bn(batches, theirs)
    for name, found in statistics(ours).items():
        torch.testing.assert_close(found, theirs.get_buffer(name), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        first = [model[0](x).transpose(0, 1).flatten(1).double() for x in batches]
    means, variances = ([f(x) for x in first] for f in (_mean, _variance))
    for name, rows in (("1.running_mean", means), ("1.running_var", variances)):
        wanted = torch.stack(rows).mean(dim=0)
        torch.testing.assert_close(ours.get_buffer(name).double(), wanted, rtol=1e-5, atol=1e-6)
    assert not any(module.training for module in ours.modules())
    assert [layer.momentum for layer in batch_norms(ours)] == [0.1, 0.3]


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=1)


def _variance(x: Tensor) -> Tensor:
    return x.var(dim=1)


def test_dropout_rests_while_statistics_are_taken() -> None:
    seen = images(250, 3)
    ours, torchs = normalised(), normalised()
    with torch.random.fork_rng():
        re_estimate(ours, seen.pixels)
        update_bn([x.float() / 255 for x in torch.tensor_split(seen.pixels, 3)], torchs)
    name = "5.running_var"
    assert (torchs.get_buffer(name) - ours.get_buffer(name)).abs().max() > 0.1


def naive(dense: nn.Module, ticket: nn.Module, train: Images, test: Images) -> dict[str, float]:
    """Barriers of networks without dropout, point by point."""
    curves: dict[str, list[float]] = {"error": [], "loss": [], "error as": [], "loss as": []}
    for a in np.linspace(0, 1, 5):
        mixed = copy.deepcopy(ticket)
        for (_, p), q in zip(mixed.state_dict().items(), dense.state_dict().values(), strict=True):
            if p.is_floating_point():
                p.copy_((1 - a) * q + a * p)
        for suffix in (" as", ""):
            if not suffix:
                update_bn([x.float() / 255 for x in torch.tensor_split(train.pixels, 2)], mixed)
            with torch.no_grad():
                z = mixed.eval()(test.floats())
            curves[f"loss{suffix}"].append(float(cross_entropy(z.double(), test.labels)))
            curves[f"error{suffix}"].append(float((z.argmax(1) != test.labels).double().mean()))
    line = np.linspace(0, 1, 5)
    return {
        name: max(0, max(e - (1 - a) * c[0] - a * c[-1] for a, e in zip(line, c, strict=True)))
        for name, c in curves.items()
    }


def test_barriers_against_another_implementation() -> None:
    dense, ticket = normalised(0, 0), normalised(5, 0)
    ticket.get_parameter("4.weight").data[::2] = 0
    train, test = images(150, 3), answered(dense, images(200, 3))
    found = connectivity_barrier(ticket, dense, train, test, points=5, images=0, statistics=0)
    wanted = naive(dense, ticket, train, test)
    assert wanted["error"] > 0.02
    assert abs(wanted["loss"] - wanted["loss as"]) > 0.02
    assert found.value == pytest.approx(wanted["error"], abs=1.01 / 200)
    for label, name in {"": "", ", as it is": " as"}.items():
        for kind in ("error", "loss"):
            value = found.parts[f"barrier, {kind}{label}"].value
            tolerance = 1.01 / 200 if kind == "error" else 1e-4
            assert value == pytest.approx(wanted[f"{kind}{name}"], abs=tolerance)


@pytest.mark.parametrize("kind", ["cifar-resnet", "vit", "lenet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_every_kind(kind: str, channels: int) -> None:
    wanted = task(kind, channels)
    pixels = torch.rand(24, channels, wanted.height, wanted.width)
    seen = Images(pixels, torch.arange(24) % 4)
    models = [small(kind, channels=channels, seed=s) for s in (0, 1)]
    found = connectivity_barrier(models[0], models[1], seen, seen, points=3)
    assert 0 <= found.value <= 1
    assert any("as it is" in label for label in found.parts) == bool(batch_norms(models[0]))


def test_networks_of_other_shapes_or_functions_are_not_joined() -> None:
    seen = pairs(20)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False), nn.ReLU())
    wide.append(nn.Linear(3, 2, bias=False))
    with pytest.raises(NotApplicable, match="other shapes"):
        connectivity_barrier(wide, two_units([0, 1]), seen, seen)
    with pytest.raises(NotApplicable, match="answer differently"):
        connectivity_barrier(two_units([0, 1]), two_units([0, 1], rectified=False), seen, seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 2}, "points = 2"),
        ({"images": -1}, "images = -1"),
        ({"statistics": -1}, "images = -1"),
        ({"batch_size": 0}, "batch_size must be 1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        connectivity_barrier(two_units([0, 1]), two_units([1, 0]), pairs(20), pairs(20), **options)


def test_a_walker_is_home_again_whatever_happened() -> None:
    model = normalised().train()
    before = copy.deepcopy(model.state_dict())
    walker = Walker.of(model)
    there = {name: t + 1 for name, t in walker.home.items()}

    def journey() -> None:
        with walker.at(there) as network:
            assert all(torch.equal(t, there[n]) for n, t in state(network).items())
            re_estimate(network, images(50, 3).pixels)
            raise ArithmeticError

    def too_far() -> None:
        with walker.at({"0.weight": there["0.weight"], "7.weight": torch.zeros(9)}):
            pass

    for fails, error in ((journey, ArithmeticError), (too_far, RuntimeError)):
        with pytest.raises(error):
            fails()
        assert all(torch.equal(t, before[n]) for n, t in state(walker.network).items())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_a_shared_weight_walks_once() -> None:
    one, two = nn.Linear(3, 3), nn.Linear(3, 3)
    two.weight = one.weight
    model = nn.Sequential(one, two)
    walker = Walker.of(model)
    assert "1.weight" not in walker.home
    with walker.at({"0.weight": torch.zeros(3, 3)}) as network:
        assert not network.get_parameter("1.weight").any()
    assert torch.equal(walker.network.get_parameter("1.weight"), one.weight)


def test_statistics_rest_on_the_same_images_for_every_network() -> None:
    train = images(300, 3)
    ours, again = normalised(), normalised()
    re_estimate(ours, sample(train, 120).pixels)
    re_estimate(again, sample(train, 120).pixels)
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), again.buffers(), strict=True))
