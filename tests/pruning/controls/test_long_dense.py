"""Long dense: as many epochs as the lottery, counted by simulating the lottery."""

import pytest
import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.plan.budget import shared
from scratchcard.pruning.after.lth import LotteryTicket
from scratchcard.pruning.choose import choose
from scratchcard.pruning.controls.long_dense import LongDense
from scratchcard.pruning.prune import prune
from scratchcard.study import Training


def lottery(epochs: float, rate: float, sparsity: float, rewind: float) -> float:
    """Epochs of the dense training, then of each round until enough is cut."""
    spent, density = epochs, 1.0
    while True:
        density = max(density * (1 - rate), 1 - sparsity)
        spent += epochs - rewind
        if density <= (1 - sparsity) * (1 + 1e-9):
            return spent


@pytest.mark.parametrize("rate", [0.2, 0.488, 0.5, 0.9])
@pytest.mark.parametrize("sparsity", [0.0, 0.2, 0.36, 0.5904, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(("rewind", "k"), [("0ep", 0), ("3ep", 3), ("0.05", 1), ("0it", 0)])
def test_it_trains_as_long_as_the_lottery(
    rate: float, sparsity: float, rewind: str, k: float
) -> None:
    changed = LongDense(rate, rewind).recipe({"epochs": 20, "lr": 0.1}, sparsity)
    wanted = lottery(20, rate, sparsity, k)
    assert changed == {"epochs": wanted, "lr": 0.1}
    assert isinstance(changed["epochs"], int)


@pytest.mark.parametrize("rung", [1, 2, 9, 14])
def test_a_rung_of_the_ladder_is_one_training_more(rung: int) -> None:
    """A count by ``round(log)`` or a missing dense training would be off by one."""
    recipe = LongDense().recipe({"epochs": 7}, round(1 - 0.8**rung, 12))
    assert recipe["epochs"] == 7 * (rung + 1)


def test_epochs_may_be_broken() -> None:
    assert LongDense(rewind="0.02").recipe({"epochs": 20}, 0.488)["epochs"] == 78.8


def test_the_schedule_is_stretched_with_it() -> None:
    """Milestones in epochs would else come in the first tenth of training."""
    given = {
        "epochs": 182,
        "schedule": "step",
        "milestones": ["91ep", "3000it", "0.9"],
        "warmup": "2ep",
        "weight_decay": 1e-4,
    }
    changed = LongDense().recipe(given, 0.488)
    assert changed == {
        "epochs": 728,
        "schedule": "step",
        "milestones": ["364ep", "12000it", "0.9"],
        "warmup": "8ep",
        "weight_decay": 1e-4,
    }
    assert given["epochs"] == 182
    assert Training(**changed).milestones == ("364ep", "12000it", "0.9")


def test_what_a_recipe_leaves_out_stays_out() -> None:
    """Defaults are fractions, which need no stretching, and a digest holds what differs."""
    assert set(LongDense().recipe({"epochs": 20}, 0.9)) == {"epochs"}


def test_nothing_is_cut_and_the_input_is_kept() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    masks = Masks.ones(model)
    assert LongDense().keeps(masks, 0.9) == masks.total == 50
    chosen = choose(LongDense(), model=model, masks=masks, sparsity=0.9, seed=0)
    assert chosen == masks
    before = model.get_parameter("0.weight").detach().clone()
    assert prune(model, "long-dense", sparsity=0.9) == masks
    assert torch.equal(model.get_parameter("0.weight"), before)
    assert (LongDense().scored_at, LongDense().starts_from) == ("0ep", "0ep")


def test_at_equal_budget_it_is_the_dense_twin() -> None:
    recipe = {"epochs": 60}
    for sparsity in (0.2, 0.5904, 0.9):
        epochs = shared(LongDense(), sparsity, recipe)
        assert LongDense().recipe({"epochs": epochs}, sparsity)["epochs"] == pytest.approx(60)


def test_it_costs_what_lottery_tickets_cost() -> None:
    """By the planner's own account of budgets, which divides epochs instead."""
    for sparsity, rewind in ((0.2, "0ep"), (0.9, "0ep"), (0.9, "0.05"), (0.5904, "0.1")):
        of_ticket = shared(LotteryTicket(rewind=rewind), sparsity, {"epochs": 100})
        # One training of that length, n + 1 of them less rewinding: 100 epochs in all.
        assert LongDense(rewind=rewind).recipe({"epochs": of_ticket}, sparsity)[
            "epochs"
        ] == pytest.approx(100)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.2])
def test_a_rate_must_cut_something_and_leave_something(rate: float) -> None:
    with pytest.raises(UserError, match=f"rate {rate} must lie between 0 and 1"):
        LongDense(rate=rate)


def test_a_rewind_step_must_be_countable() -> None:
    with pytest.raises(UserError, match='rewind = "500it" cannot be counted in epochs'):
        LongDense(rewind="500it")
    with pytest.raises(UserError, match="step 'soon' is not one of"):
        LongDense(rewind="soon")
