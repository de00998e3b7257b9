"""SynFlow: paths counted one by one, flow conserved, and the golden table of emptied layers."""

import copy
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard import models
from scratchcard.contracts import Architecture, Context, Task, UserError
from scratchcard.masks import Masks
from scratchcard.models.normalise import Normalise
from scratchcard.pruning import prune
from scratchcard.pruning.before import synflow
from scratchcard.pruning.before.synflow import SynFlow, positive
from scratchcard.testing import check_method

TASK = Task(3, 32, 32, 10)
IMAGES = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))


def mlp(*between: nn.Module, bias: bool = False) -> nn.Module:
    """Three linear layers on images of 1x2x3, each followed by ReLU."""
    torch.manual_seed(0)
    first, second, third = (nn.Linear(i, o, bias) for i, o in ((6, 5), (5, 4), (4, 3)))
    layers = (first, *between, nn.ReLU(), second, nn.ReLU(), third)
    return nn.Sequential(nn.Flatten(), *layers).eval()


def resnet(initialise: str = "default") -> nn.Module:
    """ResNet-20 with projections; PyTorch's default initial weights, or ours."""
    model = models.build("cifar-resnet", TASK, {"depth": 20, "shortcut": "B"}, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in model.modules():
            if initialise == "default" and isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    return model.eval()


def context(
    model: nn.Module, task: Task = TASK, *, sparsity: float = 0.5, masks: Masks | None = None
) -> Context:
    masks = Masks.ones(model) if masks is None else masks
    stream = torch.Generator()
    return Context(model, masks, sparsity, stream, architecture=Architecture("toy", task, {}))


def sums(model: nn.Module, masks: Masks | None = None) -> list[float]:
    """Each layer's flow, as shares of R."""
    found = SynFlow().scores(context(model, Task(1, 2, 3, 3), masks=masks))
    total = whole(model, Task(1, 2, 3, 3), masks)
    return [float(score.sum()) / total for score in found.values()]


def whole(model: nn.Module, task: Task = TASK, masks: Masks | None = None) -> float:
    """R, the sum of the outputs."""
    network = positive(model)
    (masks or Masks.ones(model)).apply_(network)
    with torch.no_grad():
        ones = torch.ones(1, task.channels, task.height, task.width, dtype=torch.float64)
        return float(network(ones).sum())


def emptied(density: float, **options: Any) -> int:
    masks = SynFlow(**options).start(context(resnet(), sparsity=1 - density))
    assert masks.kept == masks.count_at(1 - density)
    return len(masks.collapsed)


def test_it_is_the_sum_over_paths() -> None:
    model = mlp(bias=True)
    first, second, third = (
        model.get_parameter(f"{n}.weight").detach().double().abs().numpy() for n in (1, 3, 5)
    )
    wanted = [np.zeros_like(layer) for layer in (first, second, third)]
    for i, j, k, out in product(range(6), range(5), range(4), range(3)):
        path = first[j, i] * second[k, j] * third[out, k]
        wanted[0][j, i] += path
        wanted[1][k, j] += path
        wanted[2][out, k] += path
    found = SynFlow().scores(context(model, Task(1, 2, 3, 3)))
    for score, layer in zip(found.values(), wanted, strict=True):
        assert score.dtype == torch.float64
        np.testing.assert_allclose(score, layer, rtol=1e-13)


def test_flow_is_conserved() -> None:
    """In a pruned network too, and with biases and running means, which are zero for it."""
    assert sums(mlp()) == pytest.approx([1, 1, 1], rel=1e-13)
    assert sums(mlp(bias=True)) == pytest.approx([1, 1, 1], rel=1e-13)
    masks = SynFlow().start(context(mlp(), Task(1, 2, 3, 3), sparsity=0.8))
    assert sums(mlp(), masks) == pytest.approx([1, 1, 1], rel=1e-13)
    trained = nn.BatchNorm1d(5)
    nn.init.uniform_(trained.weight, -2, 2)
    nn.init.uniform_(trained.bias, -2, 2)
    trained.get_buffer("running_mean").uniform_(-2, 2)
    trained.get_buffer("running_var").uniform_(0.5, 2)
    assert sums(mlp(trained)) == pytest.approx([1, 1, 1], rel=1e-13)


def test_biases_would_break_the_conservation() -> None:
    network = mlp(bias=True).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    weights = [network.get_parameter(f"{n}.weight") for n in (1, 3, 5)]
    total = network(torch.ones(1, 1, 2, 3).double()).sum()
    slopes = torch.autograd.grad(total, weights)
    shares = [float(((w * g).sum() / total).detach()) for w, g in zip(weights, slopes, strict=True)]
    assert shares[0] < shares[1] < shares[2] < 0.999


@pytest.mark.parametrize(
    "norm",
    [
        nn.LayerNorm(5),
        nn.RMSNorm(5),
        nn.RMSNorm(5, elementwise_affine=False),
        nn.GroupNorm(1, 5),
        nn.BatchNorm1d(5, track_running_stats=False),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norms_of_the_input_only_scale(norm: nn.Module) -> None:
    """Whatever comes before one that divides by its input would seem to carry nothing."""
    if norm.weight is not None:
        assert isinstance(norm.weight, nn.Parameter)
        nn.init.uniform_(norm.weight, -2, 2)
    model = mlp(norm)
    assert sums(model) == pytest.approx([1, 1, 1], rel=1e-13)
    once, twice = norm(IMAGES), norm(2 * IMAGES)  # the user's own still divides
    torch.testing.assert_close(once, twice, rtol=1e-3, atol=1e-4)


def test_channels_are_scaled_in_images() -> None:
    norm = nn.InstanceNorm2d(2, affine=True)
    nn.init.uniform_(norm.weight, -2, 2)
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), norm, nn.Flatten(), nn.Linear(12, 3))
    with torch.no_grad():
        conv, scale, fc = (
            model.get_parameter(n).abs().flatten() for n in ("0.weight", "1.weight", "3.weight")
        )
    wanted = conv * scale * fc.reshape(3, 2, 6).sum(dim=(0, 2))
    found = SynFlow().scores(context(model, Task(1, 2, 3, 3)))["0.weight"]
    torch.testing.assert_close(found.flatten().float(), wanted)


def test_pixel_normalisation_is_passed_over() -> None:
    """Any mean above 1 would turn the image of ones negative, and ReLU would let nothing pass."""
    model = mlp()
    wanted = SynFlow().scores(context(model, Task(1, 2, 3, 3)))
    normalised = copy.deepcopy(model)
    assert isinstance(normalised, nn.Sequential)
    normalised[0] = nn.Sequential(Normalise((1.5,), (0.25,), 1), nn.Flatten())
    found = SynFlow().scores(context(normalised, Task(1, 2, 3, 3)))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_no_layer_runs_empty_in_a_hundred_iterations() -> None:
    """The golden table: ResNet-20, 22 layers, PyTorch's default initial weights."""
    assert len(Masks.ones(resnet())) == 22
    assert 1.2e18 < whole(resnet()) < 1.4e18
    assert emptied(0.10, iterations=1) == 7
    assert emptied(0.01, iterations=1) == 14
    assert emptied(0.01, iterations=100) == 0


def test_with_wider_initial_weights_only_shortcuts_run_empty() -> None:
    """Skips carry flow around layers, so a projection may go; paths from end to end remain."""
    model = resnet("kaiming")
    masks = SynFlow(iterations=20).start(context(model, sparsity=0.99))
    assert all("downsample" in name for name in masks.collapsed)
    assert whole(model, masks=masks) > 0


def test_batch_statistics_would_empty_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_batch(model: nn.Module) -> nn.Module:
        network = positive(model)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        return network

    assert emptied(0.01, iterations=10) <= 2
    monkeypatch.setattr(synflow, "positive", by_the_batch)
    assert emptied(0.01, iterations=10) >= 5


def test_single_precision_would_overflow() -> None:
    deep = models.build("cifar-resnet", Task(3, 8, 8, 10), {"depth": 56}, 0)
    assert 1e39 < whole(deep, Task(3, 8, 8, 10)) < 1e300
    assert torch.isinf(positive(deep).float()(torch.ones(1, 3, 8, 8)).sum())
    masks = SynFlow(iterations=2).start(context(deep, Task(3, 8, 8, 10), sparsity=0.5))
    assert masks.collapsed == ()


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[Masks]:
    """The masks after each iteration."""
    found: list[Masks] = []
    keep: Callable[..., Masks] = vars(synflow)["keep_largest"]

    def recorded(*arguments: Any) -> Masks:
        found.append(keep(*arguments))
        return found[-1]

    monkeypatch.setattr(synflow, "keep_largest", recorded)
    return found


def test_densities_fall_exponentially_and_nothing_is_revived(visited: list[Masks]) -> None:
    task, model = Task(1, 8, 8, 10), models.build("mlp", Task(1, 8, 8, 10), {}, 0)
    first = SynFlow(iterations=20).start(context(model, task, sparsity=0.9))
    total = first.total
    wanted = [total - round((1 - 0.1 ** (k / 20)) * total) for k in range(1, 21)]
    assert [masks.kept for masks in visited] == wanted
    visited.clear()
    # A later round begins where the earlier one ended.
    SynFlow(iterations=4).start(context(model, task, sparsity=0.99, masks=first))
    before = first.kept / total
    wanted = [total - round((1 - before * (0.01 / before) ** (k / 4)) * total) for k in range(1, 5)]
    assert [masks.kept for masks in visited] == wanted
    for earlier, later in zip([first, *visited], visited, strict=False):
        assert not any((later[name] & ~earlier[name]).any() for name in later)


def test_iterations_rescore(visited: list[Masks]) -> None:
    task, model = Task(1, 8, 8, 10), models.build("mlp", Task(1, 8, 8, 10), {}, 0)
    once, often = (SynFlow(iterations=n).start(context(model, task, sparsity=0.9)) for n in (1, 20))
    assert once != often
    assert len(visited) == 21


def test_nothing_to_cut_costs_nothing(visited: list[Masks]) -> None:
    masks = prune(mlp(), "synflow", sparsity=0, data=[(torch.rand(2, 1, 2, 3), torch.zeros(2))])
    assert masks.density == 1
    assert visited == []


def test_data_only_give_the_shape() -> None:
    images = [torch.rand(2, 1, 2, 3, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]
    labels = torch.zeros(2)
    one, other = (prune(mlp(), "synflow", sparsity=0.5, data=[(i, labels)]) for i in images)
    assert one == other == SynFlow().start(context(mlp(), Task(1, 2, 3, 3)))
    with pytest.raises(UserError, match=r"must know the shape.*pass data="):
        prune(mlp(), "synflow", sparsity=0.5)


def test_the_network_is_left_as_it_was() -> None:
    model = mlp(nn.BatchNorm1d(5), nn.LayerNorm(5), bias=True).train()
    before, images = copy.deepcopy(model.state_dict()), torch.rand(4, 1, 2, 3)
    answer = copy.deepcopy(model)(images)
    masks = SynFlow().start(context(model, Task(1, 2, 3, 3)))
    assert masks == SynFlow().start(context(copy.deepcopy(model).eval(), Task(1, 2, 3, 3)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert torch.equal(model(images), answer)


def test_what_has_no_flow_is_refused() -> None:
    dead, huge, frozen = mlp(), mlp(), mlp()
    nn.init.zeros_(dead.get_parameter("3.weight"))
    nn.init.constant_(huge.get_parameter("3.weight"), 1e38)
    frozen.get_parameter("3.weight").requires_grad_(False)
    with pytest.raises(UserError, match="every score is zero"):
        SynFlow().start(context(dead, Task(1, 2, 3, 3)))
    for layer in ("1.weight", "5.weight"):
        nn.init.constant_(huge.get_parameter(layer), 1e38)
    huge.double().get_parameter("5.weight").data.mul_(1e300)
    with pytest.raises(UserError, match=r"R = inf is beyond float64"):
        SynFlow().start(context(huge, Task(1, 2, 3, 3)))
    with pytest.raises(UserError, match=r"3\.weight is frozen"):
        SynFlow().start(context(frozen, Task(1, 2, 3, 3)))
    with pytest.raises(UserError, match="0 iterations are too few"):
        SynFlow(iterations=0)


def test_a_transformer_keeps_every_layer() -> None:
    task = Task(1, 8, 8, 10)
    model = models.build("vit", task, {"dim": 24, "heads": 2, "depth": 2}, 0)
    assert SynFlow(iterations=20).start(context(model, task, sparsity=0.98)).collapsed == ()


def test_conformance() -> None:
    check_method("synflow")
    check_method("synflow", iterations=10, allocation="uniform")
