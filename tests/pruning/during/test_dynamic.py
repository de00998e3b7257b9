"""Drop and grow against brute force, and the times of updates against counting."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from scratchcard.contracts import Context, Moment, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.before.random import Random
from scratchcard.pruning.during.dynamic import LEAST, DropAndGrow, exchange, interval
from scratchcard.pruning.during.rigl import RiggedLottery
from scratchcard.pruning.during.sparse_evolutionary import SparseEvolutionaryTraining
from scratchcard.seeds import torch_stream
from tests.asking import backward, network, started, trained

Exchange = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]

BOTH = [RiggedLottery(), SparseEvolutionaryTraining()]

MOMENT = Moment(step=100, per_epoch=20, total=10_000)
"""When both have an update."""


def check_exchange(candidate: Exchange) -> None:
    """Compare with sorting, one weight after the other; small integers make many ties."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = rng.random(60) < rng.random()
        drop = np.where(mask, rng.integers(0, 9, 60), 0)
        grow = rng.integers(0, 9, 60)
        count = int(rng.integers(0, mask.sum() + 1))
        active = sorted(np.flatnonzero(mask), key=lambda i: (-drop[i], i))
        kept = active[: len(active) - count]
        others = sorted(set(range(60)) - set(kept), key=lambda i: (-grow[i], i))
        wanted = np.zeros(60, dtype=bool)
        wanted[kept + others[:count]] = True
        layer = (3, 4, 5)
        drop, grow = drop.astype(np.float32), grow.astype(np.float32)
        one, two, three = (torch.from_numpy(a.reshape(layer)) for a in (mask, drop, grow))
        np.testing.assert_array_equal(candidate(one, two, three, count).numpy().ravel(), wanted)


def test_exchange_is_a_sort() -> None:
    check_exchange(exchange)


def gradients_masked(
    mask: torch.Tensor, drop: torch.Tensor, grow: torch.Tensor, count: int
) -> torch.Tensor:
    """Grows nothing new: cut weights have no gradient left."""
    return exchange(mask, drop, grow * mask, count)


def among_survivors(
    mask: torch.Tensor, drop: torch.Tensor, grow: torch.Tensor, count: int
) -> torch.Tensor:
    """Grows where something is already, so that layers shrink."""
    kept = exchange(mask, drop, mask.float(), count) & mask
    threshold = torch.where(kept, grow, -torch.inf).flatten().sort().values[-max(count, 1)]
    return kept & (drop > drop.min()) | kept & (grow >= threshold)


def without_the_dropped(
    mask: torch.Tensor, drop: torch.Tensor, grow: torch.Tensor, count: int
) -> torch.Tensor:
    """What was just dropped may not return."""
    return exchange(mask, drop, torch.where(mask, grow - 100, grow), count)


def by_threshold(
    mask: torch.Tensor, drop: torch.Tensor, grow: torch.Tensor, count: int
) -> torch.Tensor:
    """Of equal ones all are dropped."""
    smallest = drop[mask].sort().values[:count]
    kept = mask & (drop > (smallest[-1] if count else -1))
    others = torch.where(kept, -1, grow).flatten()
    best = others.topk(count).indices
    return kept.flatten().index_fill(0, best, True).reshape(mask.shape)


def bernoulli(
    mask: torch.Tensor, drop: torch.Tensor, grow: torch.Tensor, count: int
) -> torch.Tensor:
    """Each free place grows with the probability that gives the right number on average."""
    kept = exchange(mask, drop, drop - 100 * ~mask, count)
    free = ~kept
    chance = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0))
    return kept | free & (chance < count / max(int(free.sum()), 1))


@pytest.mark.parametrize(
    "variant", [gradients_masked, among_survivors, without_the_dropped, by_threshold, bernoulli]
)
def test_known_mistakes_are_found(variant: Exchange) -> None:
    with pytest.raises(AssertionError):
        check_exchange(variant)


@pytest.mark.parametrize("method", BOTH, ids=["rigl", "set"])
@pytest.mark.parametrize("allocation", ["erk", "uniform", "global"])
def test_layers_keep_their_counts(method: DropAndGrow, allocation: Any) -> None:
    """Bernoulli growth, as in ITOP's code, lets them drift."""
    updates = trained(replace(method, allocation=allocation))
    counts = updates[0].before.layers()
    assert len(updates) > 15
    assert sum(counts.values()) == 806 - round(0.8 * 806)
    assert all(update.after.layers() == counts for update in updates)
    assert all(update.grown > 0 for update in updates[:10])


@pytest.mark.parametrize("method", BOTH, ids=["rigl", "set"])
def test_only_zeros_are_grown(method: DropAndGrow) -> None:
    for update in trained(method):
        for name, before in update.before.items():
            assert not update.weights[name][update.after[name] & ~before].any()


def times(method: DropAndGrow, total: int, per_epoch: int = 10, among: int = 1) -> list[int]:
    """The steps at which there are updates, looking at the multiples of ``among`` only."""
    return [s for s in range(0, total, among) if method.due(Moment(s, per_epoch, total))]


def test_a_run_of_full_length_follows_the_paper() -> None:
    """160 epochs of CIFAR-10 in batches of 128."""
    total, until = 62_400, 46_800
    assert times(RiggedLottery(), total, 390, 10) == list(range(100, until, 100))
    assert times(SparseEvolutionaryTraining(), total, 390, 10) == list(range(390, until, 390))


def test_a_short_run_has_enough_updates_or_the_shortest_interval() -> None:
    """At the canonical interval, 200 steps would have a single one."""
    assert len(times(RiggedLottery(updates=1), 200)) == 1
    assert times(RiggedLottery(), 200) == list(range(8, 150, 8))
    for total in range(1, 900, 37):
        found = times(RiggedLottery(), total)
        until = round(0.75 * total)
        gap = found[0] if found else LEAST
        assert found == list(range(gap, until, gap))
        assert len(found) >= 30 or gap == LEAST, total


def test_updates_leave_time_for_training() -> None:
    """An update every step would replace every step, and nothing be trained before the end."""
    for total in (20, 100, 333):
        assert len(times(RiggedLottery(updates=10_000), total)) <= total / 8
    assert interval(1, span=1000, updates=1, least=LEAST) == 8


def test_updates_end_with_until() -> None:
    assert times(RiggedLottery(until="40it", every="10it", updates=1), 100) == [10, 20, 30]
    assert times(RiggedLottery(until="end", every="25it", updates=1), 100) == [25, 50, 75]
    assert times(RiggedLottery(until="5ep", every="2ep", updates=1), 100) == [20, 40]
    with pytest.raises(UserError, match='until = "30ep" is step 300, but training ends after 100'):
        times(RiggedLottery(until="30ep"), 100)


def test_no_step_between_updates_looks_at_anything() -> None:
    nothing = cast(Context, None)
    for step in (0, 1, 99, 101, 750_000, 900_000):
        assert RiggedLottery().update(nothing, Moment(step, 500, 1_000_000)) is None


def context(model: torch.nn.Module, masks: Masks, step: int, sparsity: float = 0.8) -> Context:
    return Context(model, masks, sparsity, torch_stream(0, "update", step))


@pytest.mark.parametrize("method", BOTH, ids=["rigl", "set"])
def test_an_update_changes_nothing_itself(method: DropAndGrow) -> None:
    model = network()
    masks = started(method, model, 0.8)
    masks.apply_(model)
    backward(model, 0)
    kept = Masks({name: mask.clone() for name, mask in masks.items()})
    values = [v.clone() for v in model.state_dict().values()]
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    state = torch.get_rng_state()
    answer = method.update(context(model, masks, 100), MOMENT)
    assert answer is not None
    assert answer != masks
    assert masks == kept
    assert all(torch.equal(a, b) for a, b in zip(values, model.state_dict().values(), strict=True))
    after = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, after, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", BOTH, ids=["rigl", "set"])
def test_a_dense_network_is_trained_like_any_other(method: DropAndGrow) -> None:
    """An update that exchanges nothing would cost it a step."""
    assert not trained(method, sparsity=0.0, total=60)


@pytest.mark.parametrize("method", BOTH, ids=["rigl", "set"])
def test_a_dense_layer_stays_dense(method: DropAndGrow) -> None:
    updates = trained(method, sparsity=0.5, total=100)
    assert updates
    assert updates[0].before["0.weight"].all()
    assert all(update.after["0.weight"].all() for update in updates)


def test_layers_without_a_weight_to_spare_stay_as_they_are() -> None:
    model = network()
    method = SparseEvolutionaryTraining()
    masks = {name: torch.zeros_like(m) for name, m in Masks.ones(model).items()}
    masks["0.weight"].view(-1)[:3] = True  # 30 % are less than one
    assert method.update(context(model, Masks(masks), 100), MOMENT) is None
    masks["3.weight"].view(-1)[:4] = True
    answer = method.update(context(model, Masks(masks), 100), MOMENT)
    assert answer is not None
    assert answer.layers() == {"0.weight": 3, "3.weight": 4, "6.weight": 0}


def test_training_starts_as_static_sparse_training_does() -> None:
    for method in BOTH:
        random = Random(allocation="erk")
        assert started(method, network(), 0.9) == started(random, network(), 0.9)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_diverged_are_refused(value: float) -> None:
    model = network()
    masks = started(BOTH[1], model, 0.8)
    with torch.no_grad():
        model.get_parameter("3.weight").view(-1)[7] = value
    with pytest.raises(UserError, match=r"weights of 3\.weight are infinite .* diverged"):
        BOTH[1].update(context(model, masks, 100), MOMENT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.0}, r"fraction = 0\.0 must lie above 0"),
        ({"fraction": 1.5}, r"fraction = 1\.5 must lie above 0, and at most at 1"),
        ({"every": "often"}, "step 'often' is not one of"),
        ({"every": "0it"}, 'every = "0it" must lie after the start'),
        ({"until": "0ep"}, 'until = "0ep" must lie after the start'),
        ({"updates": 0}, "updates = 0 must be at least 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RiggedLottery(**options)


def test_masks_of_either_memory_layout_are_the_same() -> None:
    """Ties are broken by position, not by address."""
    answers = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = network()
        masks = started(BOTH[0], model, 0.8)
        cast(Any, model).to(memory_format=layout)
        for parameter in model.parameters():
            parameter.grad = parameter.detach().sign()
        answers.append(BOTH[0].update(context(model, masks, 100), MOMENT))
    assert answers[0] is not None
    assert answers[0] == answers[1]
