"""The exact choice of the largest scores, against sorting one by one."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, counts, densities, keep_largest

ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)


def all_of(*sizes: int) -> Masks:
    return Masks({f"l{i}": torch.ones(size, dtype=torch.bool) for i, size in enumerate(sizes)})


def partly(**alive_of: tuple[int, int]) -> Masks:
    """Layers with the first ``alive`` weights of ``size`` alive."""
    return Masks({n: torch.arange(size) < alive for n, (alive, size) in alive_of.items()})


def constant(masks: Masks, value: float = 0.0) -> dict[str, torch.Tensor]:
    return {name: torch.full(mask.shape, value) for name, mask in masks.items()}


def by_sorting(scores: dict[str, list[float]], masks: Masks, count: int) -> set[tuple[str, int]]:
    """Positions of the largest among the live, the first of equal ones."""
    live = [
        (-score, layer, i, name)
        for layer, (name, values) in enumerate(scores.items())
        for i, score in enumerate(values)
        if masks[name][i]
    ]
    return {(name, i) for _, _, i, name in sorted(live)[:count]}


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=30), min_size=1, max_size=4),
    st.floats(0, 0.99),
    st.integers(0, 2**32),
)
def test_global_choice_is_that_of_sorting(
    values: list[list[int]], sparsity: float, seed: int
) -> None:
    """Small integers, so that there are many ties."""
    stream = torch.Generator().manual_seed(seed)
    scores = {f"l{i}": [float(v) for v in layer] for i, layer in enumerate(values)}
    masks = Masks({n: torch.rand(len(v), generator=stream) < 0.7 for n, v in scores.items()})
    count = masks.count_at(sparsity)
    if count > masks.kept:
        return
    tensors = {name: torch.tensor(layer) for name, layer in scores.items()}
    chosen = keep_largest(tensors, masks, sparsity, "global")
    found = {(n, i) for n, mask in chosen.items() for i in mask.nonzero().flatten().tolist()}
    assert found == by_sorting(scores, masks, count)


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("sparsity", [0.0, 0.2, 0.5, 0.95, 0.99999])
def test_ties_are_broken_by_position(allocation: Allocation, sparsity: float) -> None:
    """All scores equal: exactly the right count, and the first."""
    masks = all_of(40_000)
    chosen = keep_largest(constant(masks), masks, sparsity, allocation)["l0"]
    kept = 40_000 - round(sparsity * 40_000)
    assert torch.equal(chosen, torch.arange(40_000) < kept)


def test_thirty_thousand_zeros() -> None:
    """A threshold would cut all of the zeros, or none."""
    scores = torch.zeros(100_000)
    scores[-70_000:] = torch.rand(70_000, generator=torch.Generator().manual_seed(0)) + 0.1
    chosen = keep_largest({"l0": scores}, all_of(100_000), 0.2, "global")["l0"]
    assert int(chosen.sum()) == 80_000
    assert chosen[-70_000:].all()
    assert torch.equal(chosen[:30_000], torch.arange(30_000) < 10_000)


def test_signed_zeros_are_equal() -> None:
    scores = torch.tensor([-0.0, 0.0, -0.0, 0.0])
    assert keep_largest({"l0": scores}, all_of(4), 0.5, "global")["l0"].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_scores_must_be_numbers(bad: float) -> None:
    scores = {"l0": torch.rand(4), "l1": torch.tensor([0.0, bad, 1.0])}
    with pytest.raises(UserError, match="1 scores of l1 are infinite or not a number"):
        keep_largest(scores, all_of(4, 3), 0.5, "global")


def test_an_unknown_allocation_is_refused() -> None:
    wrong: Any = "layerwise"
    said = '"layerwise" is not one of global, uniform, uniform\\+, er, erk, lamp'
    with pytest.raises(UserError, match=said):
        keep_largest({"l0": torch.rand(4)}, all_of(4), 0.5, wrong)
    with pytest.raises(UserError, match=said):
        densities({"l0": (4, 4)}, 0.5, wrong)
    with pytest.raises(UserError, match=said):
        counts(all_of(4), 0.5, wrong)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.floats(0, 1))
def test_uniform_is_within_one_weight_in_every_layer(sizes: list[int], sparsity: float) -> None:
    masks = all_of(*sizes)
    chosen = keep_largest(constant(masks), masks, sparsity, "uniform")
    assert chosen.kept == masks.count_at(sparsity)
    density = masks.count_at(sparsity) / masks.total
    for name, kept in chosen.layers().items():
        assert abs(kept - density * masks[name].numel()) < 1 + 1e-9


def test_uniform_keeps_the_largest_of_each_layer() -> None:
    scores = {"l0": torch.tensor([1.0, 2, 3, 4]), "l1": torch.tensor([50.0, 80, 70, 60])}
    chosen = keep_largest(scores, all_of(4, 4), 0.5, "uniform")
    assert chosen["l0"].tolist() == [0, 0, 1, 1]
    assert chosen["l1"].tolist() == [0, 1, 1, 0]


def test_what_an_empty_layer_lacks_is_shared_by_size() -> None:
    """5,000 of 10,010 shall live; a has 20, so b's share is 4,980 * 8,000 / 8,010 = 4,973.8."""
    masks = partly(a=(20, 2_000), b=(8_000, 8_000), c=(10, 10))
    chosen = keep_largest(constant(masks), masks, 1 - 5_000 / masks.total, "uniform")
    assert chosen.kept == 5_000
    assert chosen.layers() == {"a": 20, "b": 4974, "c": 6}


def test_one_scarce_layer_may_make_another_scarce() -> None:
    """At 50 %, a lacks weights; what b and c must then take is more than b has."""
    masks = partly(a=(0, 100), b=(60, 100), c=(100, 100))
    chosen = keep_largest(constant(masks), masks, 0.5, "uniform")
    assert chosen.layers() == {"a": 0, "b": 60, "c": 90}


def test_no_layer_gets_more_than_it_has() -> None:
    masks = partly(a=(1, 50), b=(49, 50), c=(0, 3))
    for kept in range(51):
        chosen = keep_largest(constant(masks), masks, 1 - kept / masks.total, "uniform")
        assert chosen.kept == kept
        assert all(not (chosen[name] & ~masks[name]).any() for name in masks)


def test_more_than_is_left_cannot_be_kept() -> None:
    masks = partly(a=(3, 10))
    with pytest.raises(AssertionError, match="5 weights cannot be kept: only 3 are left"):
        keep_largest(constant(masks), masks, 0.5, "global")


# Faults of other implementations, each shown to be one.


def above_the_nth(scores: torch.Tensor, kept: int) -> int:
    """What lies above the n-th of the sorted scores, n being the number to cut."""
    cut = scores.numel() - kept
    return int((scores > scores.sort().values[cut]).sum())


def above_the_kth(scores: torch.Tensor, kept: int) -> int:
    """What lies above the largest score to cut."""
    return int((scores > scores.kthvalue(scores.numel() - kept).values).sum())


def by_lot(scores: torch.Tensor, kept: int) -> int:
    """Bernoulli draws: right on average."""
    stream = torch.Generator().manual_seed(0)
    return int((torch.rand(scores.shape, generator=stream) < kept / scores.numel()).sum())


def by_keep_largest(scores: torch.Tensor, kept: int) -> int:
    masks = all_of(scores.numel())
    return keep_largest({"l0": scores}, masks, 1 - kept / masks.total, "global").kept


DRAWN = torch.rand(100_000, generator=torch.Generator().manual_seed(1))
ZEROS = DRAWN.where(torch.arange(100_000) >= 30_000, 0.0)


@pytest.mark.parametrize(
    ("choice", "scores", "kept"),
    [
        (by_keep_largest, DRAWN, 80_000),
        (by_keep_largest, ZEROS, 80_000),
        (above_the_nth, DRAWN, 79_999),
        (above_the_kth, DRAWN, 80_000),
        (above_the_kth, ZEROS, 70_000),
    ],
)
def test_thresholds_keep_too_few(
    choice: Callable[[torch.Tensor, int], int], scores: torch.Tensor, kept: int
) -> None:
    """20,000 of 100,000 are to be cut; 20,001 and 30,000 are what thresholds cut."""
    assert choice(scores, 80_000) == kept


def test_a_lottery_drifts() -> None:
    assert by_keep_largest(DRAWN, 10_000) == 10_000 != by_lot(DRAWN, 10_000)


def test_topk_keeps_what_is_not_a_number() -> None:
    """Hence the refusal of such scores."""
    scores = torch.tensor([1.0, float("nan"), 3.0, 4.0])
    assert 1 in scores.topk(2).indices
    with pytest.raises(UserError, match="not a number"):
        keep_largest({"l0": scores}, all_of(4), 0.5, "global")


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_later_round_revives_nothing(allocation: Allocation) -> None:
    """Scores that have changed since would, if what is cut were scored again."""
    stream = torch.Generator().manual_seed(0)
    everything = Masks(
        {
            name: torch.ones(shape, dtype=torch.bool)
            for name, shape in {"conv": (16, 3, 3, 3), "mid": (90, 80), "fc": (10, 64)}.items()
        }
    )
    first = {n: torch.rand(m.shape, generator=stream) for n, m in everything.items()}
    second = {n: torch.rand(m.shape, generator=stream) for n, m in everything.items()}
    earlier = keep_largest(first, everything, 0.5, allocation)
    later = keep_largest(second, earlier, 0.8, allocation)
    afresh = keep_largest(second, everything, 0.8, allocation)
    assert later.kept == afresh.kept == everything.count_at(0.8)
    assert not any((later[name] & ~earlier[name]).any() for name in later)
    assert any((afresh[name] & ~earlier[name]).any() for name in later)


def test_a_signed_score_revives_nothing() -> None:
    """Cut weights that score 0 beat survivors with negative scores, unless they are left out."""
    masks = Masks({"l0": torch.tensor([True, True, False, True])})
    scores = {"l0": torch.tensor([-1.0, -2.0, 0.0, -3.0])}
    assert keep_largest(scores, masks, 0.5, "global")["l0"].tolist() == [1, 1, 0, 0]
    assert 2 in scores["l0"].topk(2).indices


def test_global_does_not_normalise_layers() -> None:
    """Divided by the norm of its layer, a weight of 2 would pass for one of 20."""
    scores = {"l0": torch.tensor([1.0, 2.0]), "l1": torch.tensor([10.0, 20.0])}
    chosen = keep_largest(scores, all_of(2, 2), 0.5, "global")
    assert chosen.layers() == {"l0": 0, "l1": 2}
    normalised = {name: score / score.norm() for name, score in scores.items()}
    assert keep_largest(normalised, all_of(2, 2), 0.5, "global").layers() == {"l0": 1, "l1": 1}
