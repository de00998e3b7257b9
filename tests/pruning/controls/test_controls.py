"""Controls: what they keep of another method's ticket, and what they change."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from scratchcard import models
from scratchcard.contracts import Architecture, Context, Method, Task, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.before.random import Random
from scratchcard.pruning.choose import choose
from scratchcard.pruning.controls.reinitialised import Reinitialised
from scratchcard.pruning.controls.shuffled import Shuffled
from scratchcard.pruning.controls.sign_flipped import SignFlipped
from scratchcard.registry import METHODS

RESNET = Architecture("cifar-resnet", Task(3, 32, 32, 10), {"depth": 20, "shortcut": "B"})
DENSE = 0
"""The seed of the dense network."""


def network() -> nn.Module:
    return models.build(RESNET.kind, RESNET.task, RESNET.options, DENSE)


def other_masks(model: nn.Module, sparsity: float = 0.7) -> Masks:
    """Random ones, so that layers differ in density."""
    chosen = choose(Random(), model=model, masks=Masks.ones(model), sparsity=sparsity, seed=5)
    assert isinstance(chosen, Masks)
    return chosen


def context(model: nn.Module, other: Masks | None, seed: int = 0) -> Context:
    """As for ``start``: nothing is cut yet."""
    stream = torch.Generator().manual_seed(seed)
    return Context(model, Masks.ones(model), 0.7, stream, other=other, architecture=RESNET)


def begun(method: Method, seed: int = 0, sparsity: float = 0.7) -> tuple[nn.Module, nn.Module]:
    """A ticket before and after ``begin``, which sees the ticket's own masks."""
    model, before = network(), network()
    masks = other_masks(model, sparsity)
    masks.apply_(model)
    masks.apply_(before)
    method.begin(replace(context(model, masks, seed), masks=masks))
    return before, model


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Of Conv and Linear."""
    return {n: p.detach() for n, p in model.named_parameters() if p.ndim > 1}


def others(model: nn.Module) -> dict[str, torch.Tensor]:
    """Biases, and parameters and buffers of BatchNorm."""
    return {n: v for n, v in model.state_dict().items() if n not in weights(model)}


# What all controls share


@pytest.mark.parametrize("name", ["shuffled", "reinitialised", "sign-flipped"])
def test_the_other_method_has_to_be_named(name: str) -> None:
    spec = METHODS.get(name)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'of'"):
        spec.target()
    method: Method = spec.target(of="lth")
    assert method.of == "lth"
    assert method == spec.target(of="lth") != spec.target(of="omp")
    assert hash(method) == hash(spec.target(of="lth"))
    assert "of='lth'" in repr(method)
    with pytest.raises(AttributeError, match="cannot assign to field 'of'"):
        method.of = "omp"  # type: ignore[misc]


@pytest.mark.parametrize("method", [Shuffled("lth"), Reinitialised("lth"), SignFlipped("lth")])
def test_there_has_to_be_another_method(method: Method) -> None:
    with pytest.raises(UserError, match='no mask of "lth" to make a control of'):
        method.start(context(network(), None))


def test_where_controls_start() -> None:
    """An empty step stands for the other method's, which only a study knows."""
    assert Shuffled("lth").starts_from == SignFlipped("lth").starts_from == ""
    assert Reinitialised("lth").starts_from == "0ep"


@pytest.mark.parametrize("method", [Reinitialised("lth"), SignFlipped("lth")])
def test_other_controls_keep_the_mask_itself(method: Method) -> None:
    model = network()
    masks = other_masks(model)
    assert method.start(context(model, masks)) == masks


@pytest.mark.parametrize("method", [Reinitialised("lth"), SignFlipped("lth")])
def test_a_seed_decides_and_torchs_own_numbers_are_left_alone(method: Method) -> None:
    before = torch.get_rng_state()
    first, again, another = (begun(method, seed)[1].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], another[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


# Shuffled


def shuffled(other: Masks, model: nn.Module, seed: int = 0) -> Masks:
    """As the engine does it, which checks the count and that nothing is revived."""
    chosen = choose(
        Shuffled("lth"),
        model=model,
        masks=Masks.ones(model),
        sparsity=0.7,
        seed=seed,
        other=other,
    )
    assert isinstance(chosen, Masks)
    return chosen


def no_op(other: Masks, model: nn.Module, seed: int = 0) -> Masks:
    """The bug of the official SynFlow code: a local name is bound anew, the mask never changes."""
    generator = torch.Generator().manual_seed(seed)
    for mask in other.values():
        order = torch.randperm(mask.numel(), generator=generator)
        mask = mask.flatten()[order].reshape(mask.shape)
    return other


def moved(shuffle: Callable[[Masks, nn.Module], Masks]) -> bool:
    """Whether shuffling changes every layer that is neither full nor empty."""
    model = network()
    before = other_masks(model)
    after = shuffle(before, model)
    return all(
        not torch.equal(after[name], mask)
        for name, mask in before.items()
        if 0 < int(mask.sum()) < mask.numel()
    )


def test_shuffling_moves_every_layer() -> None:
    assert moved(shuffled)
    assert not moved(no_op)


def test_shuffling_keeps_the_count_of_every_layer() -> None:
    model = network()
    masks = other_masks(model)
    assert len({round(kept / masks[n].numel(), 3) for n, kept in masks.layers().items()}) > 5
    after = shuffled(masks, model)
    assert after.layers() == masks.layers()
    assert after.shapes() == masks.shapes()


def test_a_full_and_an_empty_layer_stay_so() -> None:
    model = network()
    masks = dict(other_masks(model))
    masks["conv1.weight"] = torch.ones_like(masks["conv1.weight"])
    masks["fc.weight"] = torch.zeros_like(masks["fc.weight"])
    after = shuffled(Masks(masks), model)
    assert after["conv1.weight"].all()
    assert after.collapsed == ("fc.weight",)


def test_every_place_is_equally_likely() -> None:
    """A mask of 9 in 60, shuffled 500 times: counts are those of draws without replacement."""
    model = nn.Linear(12, 5)
    mask = Masks({"weight": torch.arange(60).reshape(5, 12) < 9})
    drawn = [shuffled(mask, model, seed)["weight"].flatten().numpy() for seed in range(500)]
    expected, variance = 500 * 0.15, 500 * 0.15 * 0.85
    chi2 = float(((np.sum(drawn, axis=0) - expected) ** 2).sum() / variance) * 59 / 60
    assert 0.001 < stats.chi2.sf(chi2, df=59) < 0.999


def test_layers_are_shuffled_apart() -> None:
    """Two layers of one shape and one mask: they agree as often as chance has it."""
    model = nn.Sequential(nn.Linear(80, 80, bias=False), nn.Linear(80, 80, bias=False))
    half = torch.arange(6400).reshape(80, 80) < 3200
    one, two = shuffled(Masks({"0.weight": half, "1.weight": half}), model).values()
    assert abs(float((one == two).double().mean()) - 0.5) < 0.03


def test_a_shuffled_random_mask_is_another_random_mask() -> None:
    """Both methods draw from the same stream of a seed, which must not tie them together."""
    model = nn.Linear(300, 100)
    for seed in range(5):
        mask = choose(Random(), model=model, masks=Masks.ones(model), sparsity=0.7, seed=seed)
        assert isinstance(mask, Masks)
        both = int((mask["weight"] & shuffled(mask, model, seed)["weight"]).sum())
        # Of 9,000 kept of 30,000 twice, chance shares 2,700, give or take 36.4.
        assert abs(both - 2700) < 4 * 36.4


def test_shuffling_repeats_itself_and_leaves_torchs_own_numbers_alone() -> None:
    model = network()
    masks, before = other_masks(model), torch.get_rng_state()
    assert shuffled(masks, model) == shuffled(masks, model)
    assert shuffled(masks, model) != shuffled(masks, model, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


# Reinitialised


def likely(values: torch.Tensor, std: float) -> bool:
    """Whether values come from N(0, std^2), by Kolmogorov and Smirnov."""
    return bool(stats.kstest(values.flatten().numpy() / std, "norm").pvalue > 1e-4)


def fan_in(weight: torch.Tensor) -> int:
    return weight[0].numel()


def test_weights_are_drawn_anew_from_the_same_distribution() -> None:
    before, after = network(), begun(Reinitialised("lth"))[1]
    for name, weight in weights(after).items():
        assert likely(weight, math.sqrt(2 / fan_in(weight))), name
        old = weights(before)[name]
        together = np.corrcoef(old.flatten().numpy(), weight.flatten().numpy())[0, 1]
        assert abs(together) < 5 / math.sqrt(weight.numel()), name
        assert not torch.equal(weight.flatten().sort().values, old.flatten().sort().values), name


def test_the_default_of_pytorch_would_be_noticed() -> None:
    """The usual shortcut, ``module.reset_parameters()``, draws from another distribution."""
    model = network()
    with torch.random.fork_rng(devices=[]):
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    assert not any(likely(w, math.sqrt(2 / fan_in(w))) for w in weights(model).values())


def test_everything_else_is_as_initialised() -> None:
    """Also if the ticket was rewound to a later step, with statistics and affine parameters."""
    fresh, model = others(network()), network()
    with torch.no_grad():
        for value in others(model).values():
            value.add_(3)
    Reinitialised("lth").begin(context(model, None))
    assert all(torch.equal(value, fresh[name]) for name, value in others(model).items())


def test_it_is_a_network_of_another_seed() -> None:
    """No seed of a study: 0 to 99 are somebody's dense twin."""
    own = Architecture("mlp", Task(1, 8, 8, 10), {"hidden": (5,)})
    ticket, *twins = (models.build(own.kind, own.task, own.options, s) for s in (0, *range(100)))
    Reinitialised("lth").begin(replace(context(ticket, None), architecture=own))
    drawn = ticket.get_parameter("fc1.weight")
    assert not any(torch.equal(drawn, twin.get_parameter("fc1.weight")) for twin in twins)


def test_a_model_of_nobody_cannot_be_drawn_anew() -> None:
    model = nn.Linear(3, 2)
    stream = torch.Generator()
    with pytest.raises(UserError, match="this model is not built from the registry"):
        Reinitialised("lth").begin(Context(model, Masks.ones(model), 0.5, stream))


# Sign-flipped


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_exactly_the_share_of_each_layers_kept_weights_is_flipped(share: float) -> None:
    before, after = begun(SignFlipped("lth", share))
    for name, mask in other_masks(network()).items():
        old, new = weights(before)[name], weights(after)[name]
        assert torch.equal(old.abs(), new.abs()), name
        flipped = torch.signbit(old) != torch.signbit(new)
        assert int(flipped.sum()) == round(share * int(mask.sum())), name
        assert not (flipped & ~mask).any(), name
    state = before.state_dict()
    assert all(torch.equal(state[name], value) for name, value in others(after).items())


def negated(model: nn.Module, masks: Masks) -> None:
    """A flip by multiplication: -1 times 0 is -0.0."""
    with torch.no_grad():
        for name in masks:
            model.get_parameter(name).mul_(-1)


def flipped(model: nn.Module, masks: Masks) -> None:
    SignFlipped("lth", 1.0).begin(replace(context(model, masks), masks=masks))


@pytest.mark.parametrize(("flip", "clean"), [(flipped, True), (negated, False)])
def test_zeros_stay_zeros_to_the_bit(flip: Callable[[nn.Module, Masks], None], clean: bool) -> None:
    """Cut weights, and a kept one that is zero by itself."""
    model = network()
    masks = other_masks(model)
    masks.apply_(model)
    with torch.no_grad():
        model.get_parameter("fc.weight").zero_()
    flip(model, masks)
    zeros = [w[w == 0] for w in weights(model).values()]
    assert sum(map(len, zeros)) > masks.total - masks.kept
    assert all(not torch.signbit(zero).any() for zero in zeros) == clean


def test_before_anything_is_masked_only_kept_weights_are_flipped() -> None:
    model, masks = network(), other_masks(network())
    flipped(model, masks)
    for name, weight in weights(network()).items():
        wanted = torch.where(masks[name], -weight, weight)
        assert torch.equal(model.get_parameter(name), wanted)


def test_every_kept_weight_is_equally_likely_to_be_flipped() -> None:
    counts = np.zeros(40)
    masks = Masks({"weight": (torch.arange(60) % 3 > 0).reshape(5, 12)})
    for seed in range(500):
        model = nn.Linear(12, 5)
        with torch.no_grad():
            model.weight.fill_(1)
        stream = torch.Generator().manual_seed(seed)
        SignFlipped("lth", 0.25).begin(Context(model, masks, 1 / 3, stream))
        counts += (model.weight[masks["weight"]] < 0).detach().numpy()
    assert counts.sum() == 500 * 10
    chi2 = float(((counts - 125) ** 2).sum() / (125 * 0.75)) * 39 / 40
    assert 0.001 < stats.chi2.sf(chi2, df=39) < 0.999


def test_layouts_do_not_matter() -> None:
    """The same weights change sign when the network is laid out channels last."""
    one, two = network(), network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    masks = other_masks(one)
    laid = Masks(
        {n: m.to(memory_format=torch.channels_last) if m.ndim == 4 else m for n, m in masks.items()}
    )
    for model, own in ((one, masks), (two, laid)):
        SignFlipped("lth").begin(replace(context(model, own), masks=own))
    assert all(torch.equal(weights(one)[n], weights(two)[n]) for n in masks)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_must_be_one(share: float) -> None:
    with pytest.raises(UserError, match=f"share = {share} must lie above 0, and at most at 1"):
        SignFlipped("lth", share)
