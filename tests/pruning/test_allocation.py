"""The exact choice of the largest scores, against sorting one by one."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, keep_largest


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


@pytest.mark.parametrize("allocation", ["global", "uniform"])
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
    with pytest.raises(UserError, match='"layerwise" is not one of global, uniform'):
        keep_largest({"l0": torch.rand(4)}, all_of(4), 0.5, wrong)


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
