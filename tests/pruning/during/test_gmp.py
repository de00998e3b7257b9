"""Gradual magnitude pruning: its path against the closed form, its cuts against sorting."""

from typing import Any

import numpy as np
import pytest
import torch

from scratchcard.contracts import Context, Moment, UserError
from scratchcard.masks import Masks
from scratchcard.pruning.during.gmp import GradualMagnitude
from scratchcard.seeds import torch_stream
from tests.asking import network, started, trained

N = 806


def test_it_starts_dense() -> None:
    method, masks = GradualMagnitude(), Masks.ones(network())
    assert started(method, network(), 0.9) == masks
    assert method.keeps(masks, 0.9) == N
    assert not method.replaces_step
    assert method.does("update")
    assert not method.does("begin")


def test_the_path_is_cubic_and_ends_exactly() -> None:
    """From step 48 to 180 of 240, at intervals of 132 // 30 steps."""
    found = {update.step: update.after.kept for update in trained(GradualMagnitude(), sparsity=0.9)}
    kept = N
    for step in (*range(52, 180, 4), 180):
        sparsity = 0.9 * (1 - (1 - (step - 48) / 132) ** 3)
        before, kept = kept, N - round(sparsity * N)
        # Towards the end, cuts are of less than a weight.
        assert found.pop(step, before) == kept, step
    assert not found
    assert kept == N - round(0.9 * N) == 81


def test_a_run_of_full_length_cuts_every_hundred_steps() -> None:
    """Counted from step 12,040; the last interval is what is left."""
    total, method = 60_200, GradualMagnitude()
    steps = range(0, total, 10)
    path = {step: method.sparsity(Moment(step, 400, total), 0.8) for step in steps}
    cuts = {step: sparsity for step, sparsity in path.items() if sparsity is not None}
    assert list(cuts) == [*range(12_140, 45_141, 100), 45_150]
    assert cuts[28_540] == pytest.approx(0.8 * (1 - (1 - 16_500 / 33_110) ** 3), rel=1e-12)
    assert cuts[45_150] == 0.8
    assert list(cuts.values()) == sorted(cuts.values())


def test_the_smallest_weights_of_all_layers_are_cut() -> None:
    for update in trained(GradualMagnitude()):
        alive = np.concatenate([m.numpy().ravel() for m in update.before.values()])
        weights = np.concatenate([w.numpy().ravel() for w in update.weights.values()])
        order = np.argsort(np.where(alive, -np.abs(weights), 1), kind="stable")
        wanted = np.zeros(N, dtype=bool)
        wanted[order[: update.after.kept]] = True
        found = np.concatenate([m.numpy().ravel() for m in update.after.values()])
        np.testing.assert_array_equal(found, wanted)


def test_what_is_cut_stays_cut() -> None:
    """Even if a weight were large again, as where nobody holds it at zero."""
    updates = trained(GradualMagnitude())
    assert all(update.grown == 0 for update in updates)
    model = network()
    masks = updates[10].after
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name)[~mask] = 99.0
    context = Context(model, masks, 0.8, torch_stream(0, "update"))
    after = GradualMagnitude().update(context, Moment(180, 20, 240))
    assert after is not None
    assert after.kept == N - round(0.8 * N)
    assert all(not (after[name] & ~masks[name]).any() for name in masks)


def test_every_run_ends_at_its_sparsity_however_short() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"until": "end"},
        {"since": "0ep", "until": "0.001"},
        {"since": "0.5", "until": "0.5"},
        {"since": "end", "until": "end"},
        {"every": "7it", "updates": 1},
        {"every": "1ep", "updates": 4},
    ]
    for method in (GradualMagnitude(**given) for given in options):
        for total in (*range(1, 20), 59):
            path = [method.sparsity(Moment(step, 3, total), 0.9) for step in range(total)]
            cuts = [sparsity for sparsity in path if sparsity is not None]
            assert cuts[-1] == 0.9, (method, total)
            assert cuts == sorted(cuts)
            assert cuts.count(0.9) == 1


def test_training_to_the_end_ends_exactly() -> None:
    for total in (1, 2, 3, 5, 17):
        for until in ("0.75", "end"):
            updates = trained(GradualMagnitude(until=until), total=total, sparsity=0.9)
            assert updates[-1].after.kept == 81, (total, until)


def test_short_runs_have_enough_updates() -> None:
    for total in (60, 100, 1001):
        moments = [Moment(step, 10, total) for step in range(total)]
        cuts = [m.step for m in moments if GradualMagnitude().sparsity(m, 0.9) is not None]
        assert len(cuts) >= 30
        assert round(0.2 * total) < cuts[0]
        assert cuts[-1] == round(0.75 * total)


@pytest.mark.parametrize("allocation", ["uniform", "erk", "lamp", "uniform+"])
def test_other_allocations_are_exact_too(allocation: Any) -> None:
    updates = trained(GradualMagnitude(allocation=allocation), total=60)
    assert updates[-1].after.kept == N - round(0.8 * N)
    assert all(update.grown == 0 for update in updates)
    if allocation == "uniform":
        assert updates[-1].after.layers() == {"0.weight": 11, "3.weight": 86, "6.weight": 64}


def test_impossible_times_are_refused() -> None:
    with pytest.raises(UserError, match=r'since = "0.8" lies after until = "0.5"'):
        GradualMagnitude(since="0.8", until="0.5")
    with pytest.raises(UserError, match=r'since = "0.8" is step 80, after until = "5ep", step 50'):
        GradualMagnitude(since="0.8", until="5ep").sparsity(Moment(0, 10, 100), 0.9)
    with pytest.raises(
        UserError, match=r'until = "500it" is step 500, but training ends after 100'
    ):
        GradualMagnitude(until="500it").sparsity(Moment(0, 10, 100), 0.9)
    with pytest.raises(UserError, match="step 'soon' is not one of"):
        GradualMagnitude(since="soon")
    with pytest.raises(UserError, match="updates = -1 must be at least 1"):
        GradualMagnitude(updates=-1)


def test_weights_that_diverged_are_refused() -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("3.weight")[0, 0, 0, 0] = float("nan")
    context = Context(model, Masks.ones(model), 0.9, torch_stream(0, "update"))
    with pytest.raises(UserError, match=r"1 scores of 3\.weight are infinite or not a number"):
        GradualMagnitude().update(context, Moment(75, 10, 100))
