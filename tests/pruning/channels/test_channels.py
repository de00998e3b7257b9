"""Channel pruning: counts, importances, the choice, and when the structure has settled."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch_pruning as tp
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Context, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.channels import after as module
from scratchcard.pruning.channels.after import (
    ChannelPruning,
    Importance,
    TrainedChannels,
    importances,
    weights_left,
)
from scratchcard.pruning.channels.before import InitialChannels
from scratchcard.pruning.channels.dependency import Group, Trial, coupled
from scratchcard.pruning.channels.during import EarlyChannels, similarity
from scratchcard.structure import Channels
from tests.shrinkable import CASES, IMAGES, LABELS, network

ALL = ("conv", "linear")


def context(model: nn.Module, sparsity: float, kinds: tuple[str, ...] = ALL) -> Context:
    masks = Masks.ones(model, kinds)
    return Context(model, masks, sparsity, torch.Generator(), IMAGES, LABELS)


def chosen(case: str, sparsity: float, method: ChannelPruning | None = None) -> Channels:
    return (method or TrainedChannels()).start(context(network(case), sparsity))


def groups_of(model: nn.Module) -> list[Group]:
    return coupled(Trial.of(model, IMAGES.shape), set(Masks.ones(model)))


def values_of(model: nn.Module, importance: Importance) -> dict[str, torch.Tensor]:
    return module._values(context(model, 0), importance)


@pytest.mark.parametrize("case", ["vgg", "depth-wise", "resnet A", "resnet B", "concatenation"])
def test_no_other_number_of_removals_comes_nearer(case: str) -> None:
    """Every number of removals is tried, on a real network whose weights are counted."""
    model = network(case)
    masks, trial = Masks.ones(model), Trial.of(model, IMAGES.shape)
    groups, values = groups_of(model), values_of(model, "magnitude")
    order = module._order([importances(group, values) for group in groups], 1)
    counts = []
    for k in range(len(order) + 1):
        removed = [{c for g, c in order[:k] if g == number} for number in range(len(groups))]
        smaller = copy.deepcopy(model)
        Channels(trial.kept(groups, removed), masks.shapes()).apply_(smaller)
        counts.append(sum(smaller.get_parameter(name).numel() for name in masks))
    assert weights_left(groups, order, masks.shapes()) == counts
    assert counts == sorted(set(counts), reverse=True)
    for sparsity in (0.0, 0.2, 0.488, 0.738, 0.893, 0.95):
        left = chosen(case, sparsity).left
        wanted = masks.total - round(sparsity * masks.total)
        assert abs(left - wanted) == min(abs(count - wanted) for count in counts)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_networks_of_all_kinds_are_shrunk_and_train(case: str, importance: Importance) -> None:
    model = network(case)
    channels = chosen(case, 0.5, TrainedChannels(importance=importance))
    channels.apply_(model)
    assert channels.left == sum(model.get_parameter(name).numel() for name in channels.shapes)
    assert min(channels.widths().values()) >= 1
    assert model(IMAGES).shape == (12, 4)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        loss = cross_entropy(model(IMAGES), LABELS)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert all(map(math.isfinite, losses))
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.shape == parameter.shape


def silenced(model: nn.Module, channels: Channels) -> nn.Module:
    """The network with scale and shift of BatchNorm zero where channels are gone."""
    for name, part in model.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            kept = channels.kept.get(name, {}).get("out", range(part.num_features))
            gone = [c for c in range(part.num_features) if c not in kept]
            with torch.no_grad():
                part.weight[gone], part.bias[gone] = 0, 0
    return model


@pytest.mark.parametrize("case", ["resnet A", "resnet B"])
@pytest.mark.parametrize("sparsity", [0.3, 0.8])
def test_residual_networks_answer_as_with_silent_channels(case: str, sparsity: float) -> None:
    channels, model = chosen(case, sparsity), network(case)
    channels.apply_(model)
    torch.testing.assert_close(model(IMAGES), silenced(network(case), channels)(IMAGES))
    # Of shortcut A the residual stream keeps its width.
    if (case, sparsity) != ("resnet B", 0.3):
        assert ("conv1" in channels.kept) == (case == "resnet B")


def test_only_prunable_kinds_lose_channels_and_are_counted() -> None:
    model = network("lenet")
    channels = TrainedChannels().start(context(model, 0.6, ("conv",)))
    assert list(channels.shapes) == ["conv1.weight", "conv2.weight"]
    assert {layer for layer, sides in channels.kept.items() if "out" in sides} == {"conv1", "conv2"}
    assert channels.kept["fc1"].keys() == {"in"}
    channels.apply_(model)
    conv1, conv2 = model.get_parameter("conv1.weight"), model.get_parameter("conv2.weight")
    assert channels.left == conv1.numel() + conv2.numel()
    assert abs(channels.sparsity - 0.6) < 0.1


def traced(model: nn.Module) -> Iterator[tuple[Any, Group]]:
    """Torch-Pruning's own groups beside ours."""
    graph = tp.DependencyGraph().build_dependency(model, (IMAGES,), verbose=False)
    ours = {str(group): group for group in groups_of(model)}
    names = {part: name for name, part in model.named_modules()}
    for theirs in graph.get_all_groups():
        name = names[theirs[0].dep.target.module]
        if name in ours:
            yield theirs, ours[name]


@pytest.mark.parametrize("case", ["vgg", "resnet A", "plain"])
def test_magnitudes_are_those_of_torch_pruning(case: str) -> None:
    model = network(case)
    values, oracle = values_of(model, "magnitude"), tp.importance.GroupMagnitudeImportance(p=2)
    pairs = list(traced(model))
    assert len(pairs) == 3
    for theirs, ours in pairs:
        torch.testing.assert_close(importances(ours, values).float(), oracle(theirs))


def test_scales_are_those_of_torch_pruning() -> None:
    model = network("vgg")
    values, oracle = values_of(model, "bn-scale"), tp.importance.BNScaleImportance()
    for theirs, ours in traced(model):
        torch.testing.assert_close(importances(ours, values).float(), oracle(theirs))


def test_taylor_is_that_of_torch_pruning() -> None:
    """Without BatchNorm, which Torch-Pruning 1.6 leaves out of this score by mistake."""
    model = network("plain")
    values = values_of(model, "taylor")
    torch.autograd.backward(cross_entropy(model(IMAGES), LABELS))
    oracle = tp.importance.GroupTaylorImportance(multivariable=True)
    for theirs, ours in traced(model):
        torch.testing.assert_close(
            importances(ours, values).float(), oracle(theirs), rtol=1e-3, atol=1e-5
        )


def test_taylor_is_the_slope_of_the_loss() -> None:
    """Of the loss in float64 as the tensors of one channel shrink, one after the other."""
    model = network("vgg").double()
    ctx = context(model, 0)
    ctx = Context(model, ctx.masks, 0, ctx.generator, IMAGES.double(), LABELS)
    values = module._values(ctx, "taylor")
    for group in groups_of(model):
        slopes = torch.zeros(group.size, dtype=torch.float64)
        for (layer, side), indices in group.places.items():
            for channel, own in enumerate(indices):
                losses = []
                for factor in (1 - 1e-5, 1 + 1e-5):
                    other = copy.deepcopy(model)
                    with torch.no_grad():
                        weight = other.get_parameter(f"{layer}.weight")
                        if side == "out":
                            weight[list(own)] *= factor
                        else:
                            weight[:, list(own)] *= factor
                        losses.append(float(cross_entropy(other(IMAGES.double()), LABELS)))
                slopes[channel] += abs(losses[1] - losses[0]) / 2e-5
        torch.testing.assert_close(
            importances(group, values), slopes / slopes.mean(), rtol=1e-5, atol=1e-7
        )


def test_taylor_in_training_mode_would_see_no_filter() -> None:
    """On a batch's own statistics a filter's scale has no effect: the sum of w g is nearly zero.

    Nearly, for BatchNorm adds 1e-5 to the variance.
    """
    model = network("vgg").double()
    sums = {}
    for mode in (True, False):
        loss = cross_entropy(model.train(mode)(IMAGES.double()), LABELS)
        weight = model.get_parameter("4.weight")
        (slope,) = torch.autograd.grad(loss, [weight])
        sums[mode] = (weight * slope).flatten(1).sum(1).abs().max()
    assert sums[True] < 1e-2 * sums[False]
    ctx = Context(model, Masks.ones(model), 0, torch.Generator(), IMAGES.double(), LABELS)
    model.train()
    found = module._values(ctx, "taylor")["4"].flatten(1).sum(1).abs().max()
    assert found == sums[False]
    assert model.training


@pytest.mark.parametrize("importance", ["magnitude", "bn-scale", "taylor"])
def test_the_least_important_go(importance: Importance) -> None:
    """Channels 1 and 4 of the first layer hardly count, in whatever way it is measured."""
    model = network("vgg")
    with torch.no_grad():
        for name in ("0.weight", "1.weight", "1.bias"):
            model.get_parameter(name)[[1, 4]] *= 1e-6
        model.get_parameter("4.weight")[:, [1, 4]] *= 1e-6
    channels = TrainedChannels(importance=importance).start(context(model, 0.6))
    assert not {1, 4} & set(channels.kept["0"]["out"])


def test_groups_without_batchnorm_stay_whole_under_bn_scale() -> None:
    channels = chosen("depth-wise", 0.99, TrainedChannels(importance="bn-scale"))
    assert channels.widths() == {"0.weight": 1, "3.weight": 1, "6.weight": 6, "9.weight": 4}
    with pytest.raises(UserError, match="finds no BatchNorm beside a channel"):
        chosen("lenet", 0.5, TrainedChannels(importance="bn-scale"))


@pytest.mark.parametrize("method", [TrainedChannels(), InitialChannels(), EarlyChannels()])
def test_scoring_leaves_everything_as_it_was(method: ChannelPruning) -> None:
    model = network("vgg")
    next(model.children()).train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(model)
    random = torch.get_rng_state()
    one, again = (method.start(context(model, 0.7)) for _ in range(2))
    assert one == again
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in before.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    for parameter in model.parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None
        assert bool((parameter.grad == 1).all())
    modes = [[part.training for part in net.modules()] for net in (before, model)]
    assert modes[0] == modes[1]


def test_ties_go_by_position() -> None:
    """Of equal channels the last go first, those of the last group before all."""
    assert module._order([torch.ones(3), torch.ones(2)], 1) == [(1, 1), (0, 2), (0, 1)]
    scores = [torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0.5, 2.5])]
    assert module._order(scores, 1) == [(1, 0), (0, 0), (0, 2)]
    assert module._order(scores, 2) == [(0, 0)]


def test_what_stays_whatever_happens() -> None:
    for least in (1, 3, 100):
        widths = chosen("vgg", 0.999, TrainedChannels(least=least)).widths()
        assert list(widths.values()) == [min(least, n) for n in (6, 8, 10)] + [4]


def test_a_dead_layer_is_pruned_first_and_breaks_nothing() -> None:
    model = network("plain")
    with torch.no_grad():
        model.get_parameter("2.weight").zero_()
        model.get_parameter("4.weight").zero_()
    channels = TrainedChannels().start(context(model, 0.3))
    assert channels.widths() == {"0.weight": 6, "2.weight": 4, "4.weight": 5, "8.weight": 4}


def test_refusals() -> None:
    model = network("vgg")
    with torch.no_grad():
        model.get_parameter("4.weight")[0, 0] = float("nan")
    with pytest.raises(UserError, match="importances at 0 are infinite or not a number"):
        TrainedChannels().start(context(model, 0.5))
    model = network("vgg")
    cut = Masks(
        {
            n: torch.ones_like(m).index_fill(0, torch.tensor([0]), False)
            for n, m in Masks.ones(model).items()
        }
    )
    with pytest.raises(UserError, match="weights were cut before"):
        TrainedChannels().start(Context(model, cut, 0.9, torch.Generator(), IMAGES, LABELS))
    wrong: Any = "size"
    with pytest.raises(UserError, match='importance = "size" is not one of magnitude'):
        TrainedChannels(importance=wrong)
    with pytest.raises(UserError, match="least = 0 must be at least 1"):
        TrainedChannels(least=0)
    with pytest.raises(UserError, match='"bn-scale" tells nothing at initialisation'):
        InitialChannels(importance="bn-scale")
    with pytest.raises(UserError, match="step '3' is not one of"):
        TrainedChannels(rewind="3")


def test_when_they_prune() -> None:
    after = TrainedChannels(rewind="3ep")
    assert (after.scored_at, after.starts_from, after.weights) == ("end", "3ep", "rewound")
    tuned = TrainedChannels(retrain="fine-tuning", finetune_lr=0.1)
    assert tuned.weights == "trained"
    assert tuned.recipe({"lr": 0.5, "schedule": "step"}, 0.5)["lr"] == pytest.approx(0.05)
    assert after.recipe({"lr": 0.5}, 0.5) == {"lr": 0.5}
    before = InitialChannels()
    assert (before.scored_at, before.starts_from) == ("0ep", "0ep")
    assert {m.gives for m in (after, before, EarlyChannels())} == {"channels"}


def narrowed(*widths: int) -> Channels:
    """Three layers of 10, 8 and 4 channels; the last keeps its own."""
    kept = {str(n): {"out": range(width)} for n, width in enumerate(widths)}
    return Channels(kept, {"0.weight": [10, 3], "1.weight": [8, 10], "2.weight": [4, 8]})


def test_similarity() -> None:
    assert similarity(narrowed(5, 4), narrowed(5, 4)) == 1
    # |5 - 3| / 8 and |4 - 6| / 10; the layer that keeps all is left out.
    assert similarity(narrowed(5, 4), narrowed(3, 6)) == pytest.approx(1 - (0.25 + 0.2) / 2)
    assert similarity(narrowed(5), narrowed()) == pytest.approx(1 - 5 / 15)
    assert similarity(narrowed(), narrowed()) == 1
    # Other channels of the same number are the same structure.
    shifted = Channels({"0": {"out": range(5, 10)}, "1": {"out": range(4)}}, narrowed().shapes)
    assert similarity(narrowed(5, 4), shifted) == 1


def test_settled() -> None:
    """EPI by hand: one layer of 8, 6, 5, 5, 5 and 5 channels, two steps back."""
    row = [narrowed(width) for width in (8, 6, 5, 5, 5, 5)]
    epi = [1 - (3 / 13 + 1 / 11) / 2, 1 - (1 / 11 + 0) / 2, 1.0, 1.0]
    for tau, when in ((0.8, 2), (0.9, 3), (epi[1], 4), (0.99, 4), (1.0, None)):
        method = EarlyChannels(tau=tau, last=2)
        assert method.settled(row) == when
        for seen in range(len(row) + 1):
            early = method.settled(row[:seen])
            assert early == (when if when is not None and seen > when else None)
    assert epi[0] == pytest.approx(0.839, abs=1e-3)


def test_watches() -> None:
    method = EarlyChannels()
    assert method.watches == tuple(f"{k / 20:g}" for k in range(1, 11))
    assert method.scored_at == method.starts_from == "0.5"
    assert EarlyChannels(every=0.1, until=0.3, last=2).watches == ("0.1", "0.2", "0.3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.5}, "tau = 1.5"),
        ({"last": 0}, "last = 0 must lie between 1 and 9"),
        ({"last": 10}, "there are 10 steps"),
        ({"every": 0.0}, "every = 0.0"),
        ({"until": 1.0}, "until = 1.0"),
        ({"every": 0.4, "until": 0.3}, "every = 0.4"),
    ],
)
def test_early_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EarlyChannels(**options)
