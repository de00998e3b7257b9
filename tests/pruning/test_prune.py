"""The way in from Python: what is refused, what a method gets to see, what is left alone."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Context, Method, UserError
from scratchcard.masks import Masks
from scratchcard.prunable import prunable
from scratchcard.pruning import prune, shrink
from scratchcard.pruning.allocation import keep_largest
from scratchcard.pruning.choose import choose
from scratchcard.registry import METHODS, method


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten afterwards."""
    METHODS.names()
    monkeypatch.setattr(METHODS, "_specs", dict(METHODS._specs))


seen: list[Context] = []


@dataclass(frozen=True)
class Looking(Method):
    """Scores by the gradient of the loss on the batch that it is given."""

    def start(self, ctx: Context) -> Masks:
        seen.append(ctx)
        assert ctx.images is not None
        assert ctx.labels is not None
        loss = nn.functional.cross_entropy(ctx.model(ctx.images), ctx.labels)
        weights = {name: ctx.model.get_parameter(name) for name in ctx.masks}
        gradients = torch.autograd.grad(loss, list(weights.values()))
        scores = {n: g.abs() for n, g in zip(weights, gradients, strict=True)}
        return keep_largest(scores, ctx.masks, ctx.sparsity, "global")


@dataclass(frozen=True)
class Reviving(Method):
    """Keeps everything, whatever was cut."""

    def start(self, ctx: Context) -> Masks:
        return Masks({name: torch.ones_like(mask) for name, mask in ctx.masks.items()})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "opm"}, r'unknown method "opm"; did you mean "omp"\? \(known: .*lth.*omp'),
        ({"sparsity": 1.0}, r"sparsity 1\.0 must lie in \[0, 1\)"),
        ({"sparsity": -0.1}, r"sparsity -0\.1 must lie in \[0, 1\)"),
        ({"sparsity": 90}, r"sparsity 90 must lie in \[0, 1\)"),
        ({"sparsity": float("nan")}, r"sparsity nan must lie in \[0, 1\)"),
        (
            {"alocation": "uniform"},
            r'method "omp" has no option "alocation"; did you mean "allocation"\? '
            r"\(known: allocation, pattern, rewind, retrain, finetune_lr\)",
        ),
        ({"allocation": "layer"}, '"layer" is not one of global, uniform'),
        ({"rewind": "early"}, "step 'early' is not one of"),
        (
            {"prunable": ["batchnorm"]},
            r'"batchnorm" \(known: conv, linear, embedding\)',
        ),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match=message):
        prune(model, **{"method": "omp", "sparsity": 0.5, **arguments})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_round_cannot_give_weights_back() -> None:
    model = network()
    masks = prune(model, "omp", sparsity=0.75)
    with pytest.raises(
        UserError,
        match=r"sparsity 0\.5 keeps more weights than the 21 that are left \(sparsity 0\.75\)",
    ):
        prune(model, "omp", sparsity=0.5, masks=masks)


def test_masks_of_another_model_are_refused() -> None:
    other = Masks.ones(nn.Linear(2, 2))
    with pytest.raises(UserError, match=r"do not belong to this model: weight of shape \(2, 2\)"):
        prune(network(), "omp", sparsity=0.5, masks=other)


def test_nothing_is_cut_at_sparsity_zero() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    masks = prune(model, "omp", sparsity=0)
    assert masks == Masks.ones(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_only_prunable_weights_change() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    masks = prune(model, "random", sparsity=0.5, prunable=["conv"])
    assert list(masks) == ["0.weight"]
    for name, value in model.state_dict().items():
        kept = masks[name] if name in masks else torch.ones_like(value, dtype=torch.bool)
        assert torch.equal(value, before[name].masked_fill(~kept, 0))
    assert float((model.state_dict()["0.weight"] == 0).double().mean()) == 0.5


@pytest.mark.usefixtures("registry")
class TestData:
    images = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])

    def looking(self, data: Any, model: nn.Module | None = None) -> Masks:
        method("looking", title="Looking", when="before", needs_data=True)(Looking)
        return prune(model or network(), "looking", sparsity=0.5, data=data)

    def test_the_first_batch_is_seen(self) -> None:
        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            yield self.images, self.labels
            raise AssertionError("one batch is enough")

        masks = self.looking(batches())
        context = seen.pop()
        assert context.images is not None
        assert context.labels is not None
        assert torch.equal(context.images, self.images)
        assert torch.equal(context.labels, self.labels)
        assert masks.sparsity == 0.5

    def test_bytes_become_floats_in_0_to_1(self) -> None:
        pixels = (self.images * 255).round().to(torch.uint8)
        assert self.looking([[pixels, self.labels]]) == self.looking([(pixels / 255, self.labels)])

    @pytest.mark.parametrize(
        ("data", "first"),
        [([], "missing"), (torch.rand(6, 1, 4, 4), "Tensor"), ([(1, 2, 3)], "tuple")],
    )
    def test_what_is_no_batch(self, data: Any, first: str) -> None:
        with pytest.raises(
            UserError, match=rf"the first is {first}: pass data=\[\(images, labels\)"
        ):
            self.looking(data)

    def test_without_data_it_cannot_look(self) -> None:
        with pytest.raises(UserError, match=r"looks at training data: pass data="):
            self.looking(None)

    def test_scoring_is_done_on_a_copy(self) -> None:
        """Batch statistics move in the copy only; earlier masks are applied to it."""
        model = network().train()
        statistics = model.get_buffer("1.running_mean").clone()
        first = prune(copy.deepcopy(model), "random", sparsity=0.3)
        chosen = choose(
            Looking(),
            model=model,
            masks=first,
            sparsity=0.5,
            seed=0,
            images=self.images,
            labels=self.labels,
        )
        context = seen.pop()
        assert isinstance(chosen, Masks)
        assert torch.equal(model.get_buffer("1.running_mean"), statistics)
        assert not torch.equal(context.model.get_buffer("1.running_mean"), statistics)
        first.check(context.model)
        assert all(not (chosen[name] & ~first[name]).any() for name in first)
        with pytest.raises(AssertionError):
            first.check(model)


@pytest.mark.usefixtures("registry")
def test_a_method_that_revives_weights_is_stopped() -> None:
    model = network()
    masks = prune(model, "omp", sparsity=0.5)
    with pytest.raises(AssertionError, match=r"does not keep 42 weights"):
        choose(Reviving(), model=model, masks=masks, sparsity=0.5, seed=0)


BATCH = [(torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 2, 0]))]


def test_shrinking_really_makes_the_network_smaller() -> None:
    model = network()
    stock = copy.deepcopy(model)
    before = sum(p.numel() for p in model.parameters())
    channels = shrink(model, "channels", sparsity=0.4, data=BATCH)
    assert sum(p.numel() for p in model.parameters()) < before
    assert channels.left == sum(p.numel() for p in prunable(model).values())
    channels.apply_(stock)
    stock.load_state_dict(model.state_dict())
    assert torch.equal(stock.eval()(BATCH[0][0]), model.eval()(BATCH[0][0]))


def test_each_way_in_names_the_other() -> None:
    with pytest.raises(UserError, match=r"channels gives channels: call scratchcard\.shrink"):
        prune(network(), "channels", sparsity=0.4, data=BATCH)
    with pytest.raises(UserError, match=r"omp gives masks: call scratchcard\.prune"):
        shrink(network(), "omp", sparsity=0.4, data=BATCH)
    with pytest.raises(UserError, match="runs in a study"):
        prune(network(), "rigl", sparsity=0.4)
    with pytest.raises(UserError, match='"shuffled" needs the option "of"'):
        prune(network(), "shuffled", sparsity=0.4)


def test_an_empty_layer_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"no weight is left in 0\.weight, 3\.weight"):
        prune(network(), "omp", sparsity=0.995)
