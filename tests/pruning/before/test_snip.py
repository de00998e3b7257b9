"""SNIP against finite differences of the loss; what all scores of gradients leave as it was."""

import copy
from collections.abc import Mapping

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Context, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.before.snip import Snip
from scratchcard.pruning.prune import prune
from scratchcard.testing import check_method

IMAGES = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    body = (nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(dropout))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(48, 3)).eval()


def context(model: nn.Module, masks: Masks | None = None, sparsity: float = 0.5) -> Context:
    masks = Masks.ones(model) if masks is None else masks
    return Context(model, masks, sparsity, torch.Generator(), IMAGES, LABELS)


def scores(model: nn.Module) -> torch.Tensor:
    return flat(Snip().scores(context(model)))


def flat(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def test_it_is_the_first_order_change_of_the_loss() -> None:
    model = network().double()
    found, slopes, removals = flat(Snip().scores(context(model))), [], []
    model.train()
    with torch.no_grad():
        for name in Masks.ones(model):
            weights = model.get_parameter(name).view(-1)
            for index, weight in enumerate(weights.tolist()):
                losses = []
                for factor in (1 + 1e-5, 1 - 1e-5, 1, 0):
                    weights[index] = factor * weight
                    losses.append(float(cross_entropy(model(IMAGES.double()), LABELS)))
                weights[index] = weight
                slopes.append(abs(losses[0] - losses[1]) / 2e-5)
                removals.append(abs(losses[2] - losses[3]))
    wanted = torch.tensor(slopes, dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-9)
    assert spearmanr(found, removals).statistic > 0.9


def naive(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``|w g|`` of the model as it is, mode and all."""
    weights = [model.get_parameter(name) for name in Masks.ones(model)]
    found = torch.autograd.grad(cross_entropy(model(images), labels), weights)
    return torch.cat([(w * g).abs().flatten() for w, g in zip(weights, found, strict=True)])


def test_batchnorm_normalises_by_the_batch() -> None:
    model = network()
    model.get_submodule("1").get_buffer("running_mean").fill_(0.3)
    found = scores(model)
    torch.testing.assert_close(found, naive(copy.deepcopy(model).train(), IMAGES, LABELS))
    assert not torch.allclose(found, naive(model, IMAGES, LABELS), rtol=0.1)


def test_gradients_of_images_are_summed_before_the_absolute_value() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    halves = [naive(model, IMAGES[half], LABELS[half]) for half in (slice(6), slice(6, 12))]
    torch.testing.assert_close(scores(model), naive(model, IMAGES, LABELS))
    assert not torch.allclose(scores(model), (halves[0] + halves[1]) / 2, rtol=0.1)


def test_the_weights_that_are_kept_are_those_that_were_scored() -> None:
    """Scores of a copy with new weights would not know which ones are next to nothing."""
    model, renewed = network(), network()
    with torch.no_grad():
        model.get_parameter("5.weight")[:, ::2] = 1e-7
    nn.init.xavier_normal_(renewed.get_parameter("5.weight"))
    found, other = (Snip().start(context(each))["5.weight"] for each in (model, renewed))
    assert not found[:, ::2].any()
    assert other[:, ::2].any()


def test_the_network_and_the_random_numbers_are_left_as_they_were() -> None:
    model = network(dropout=0.5)
    before, draws = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = scores(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), draws)
    assert not any(module.training for module in model.modules())
    assert torch.equal(found, scores(network()))  # a score is no draw
    model.train()
    naive(model, IMAGES, LABELS)
    assert not torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"])


def test_the_callers_modes_do_not_matter() -> None:
    wanted = scores(network())
    with torch.no_grad():
        assert torch.equal(scores(network()), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scores(network()), wanted)
        assert not torch.equal(naive(network().train(), IMAGES, LABELS), wanted)
    assert scores(network().bfloat16()).dtype == torch.float32


def test_a_cut_weight_stays_cut() -> None:
    """Gradients by masks, unlike those by weights, would revive some."""
    model = network()
    first = Snip().start(context(model, sparsity=0.6))
    first.apply_(model)
    second = Snip().start(context(model, first, 0.8))
    assert not any((second[name] & ~first[name]).any() for name in first)
    dense = dict(network().named_parameters())
    loss = cross_entropy(model.train()(IMAGES), LABELS)
    slopes = torch.autograd.grad(loss, [model.get_parameter(name) for name in first])
    by_mask = {n: (dense[n] * g).abs() for n, g in zip(first, slopes, strict=True)}
    buggy = keep_largest(by_mask, Masks.ones(model), 0.8, "global")
    assert any((buggy[name] & ~first[name]).any() for name in first)


class Odd(nn.Module):
    """A network with a layer that its forward pass does not use, or cuts off from the loss."""

    def __init__(self, detached: bool) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(36, 3), nn.Linear(3, 3)
        self.detached = detached

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.used(images.flatten(1))
        return logits.detach() if self.detached else logits


def test_weights_without_a_gradient_are_named() -> None:
    with pytest.raises(UserError, match=r"idle\.weight gets no gradient"):
        Snip().start(context(Odd(detached=False)))
    with pytest.raises(UserError, match=r"used\.weight gets no gradient"):
        Snip().start(context(Odd(detached=True)))
    model = network()
    model.get_parameter("5.weight").requires_grad_(False)
    with pytest.raises(UserError, match=r"5\.weight is frozen"):
        Snip().start(context(model))


def test_a_batch_or_a_network_that_tells_nothing_is_refused() -> None:
    one = Context(network(), Masks.ones(network()), 0.5, torch.Generator(), IMAGES[:1], LABELS[:1])
    with pytest.raises(UserError, match="BatchNorm has no statistics of a single image"):
        Snip().start(one)
    dead = network()
    nn.init.zeros_(dead.get_parameter("1.weight"))
    nn.init.zeros_(dead.get_parameter("5.weight"))
    with pytest.raises(UserError, match="every score is zero"):
        Snip().start(context(dead))


def test_conformance() -> None:
    check_method("snip")
    check_method("snip", allocation="lamp")


def test_labels_that_are_no_classes_are_named() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    batch = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 3])
    with pytest.raises(UserError, match=r"labels run from 0 to 3.*tells 3 classes: 0 to 2"):
        prune(model, "snip", sparsity=0.5, data=[batch])
