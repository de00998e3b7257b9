"""Rounds of lottery tickets: the ladder exactly, so that rungs share their stages."""

from decimal import Decimal

import pytest
import torch

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.after.lth import LotteryTicket
from scratchcard.pruning.choose import choose
from scratchcard.study import Ladder
from scratchcard.testing import check_method


def ladder(rung: int) -> float:
    """The rung in exact arithmetic, to the 12 decimals of a study."""
    return float(round(1 - Decimal("0.8") ** rung, 12))


@pytest.mark.parametrize("rung", [1, 2, 3, 5, 10, 14, 20, 30, 60])
def test_rounds_of_the_ladder_are_its_rungs(rung: int) -> None:
    assert Ladder(rungs=(rung,)).sparsities == (ladder(rung),)
    assert LotteryTicket().rounds(ladder(rung)) == tuple(ladder(n) for n in range(1, rung + 1))


@pytest.mark.parametrize("rung", [3, 6, 9, 15, 30])
def test_a_rate_of_three_rungs_visits_every_third(rung: int) -> None:
    """0.488 is 1 - 0.8 cubed."""
    rounds = LotteryTicket(rate=0.488).rounds(ladder(rung))
    assert rounds == tuple(ladder(n) for n in range(3, rung + 1, 3))


def test_the_longer_way_begins_with_the_shorter() -> None:
    assert LotteryTicket().rounds(ladder(9))[:4] == LotteryTicket().rounds(ladder(4))


@pytest.mark.parametrize(("target", "rungs"), [(0.1, 0), (0.5, 3), (0.9, 10), (0.95, 13)])
def test_a_target_off_the_ladder_is_the_last_round(target: float, rungs: int) -> None:
    earlier = tuple(ladder(n) for n in range(1, rungs + 1))
    assert LotteryTicket().rounds(target) == (*earlier, target)


def test_nothing_to_cut_is_one_round() -> None:
    assert LotteryTicket().rounds(0.0) == (0.0,)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.2, float("nan")])
def test_a_rate_must_cut_something_and_leave_something(rate: float) -> None:
    with pytest.raises(UserError, match=f"rate {rate} must lie between 0 and 1"):
        LotteryTicket(rate=rate)


def test_steps() -> None:
    method = LotteryTicket(rewind="500it")
    assert (method.scored_at, method.starts_from) == ("end", "500it")
    with pytest.raises(UserError, match="step 'soon' is not one of"):
        LotteryTicket(rewind="soon")


def test_densities_are_counted_from_all_weights() -> None:
    """Ten rounds on 1,003 weights: no drift by rounding what is left again and again."""
    model = torch.nn.Linear(59, 17)
    masks = Masks.ones(model)
    for n, sparsity in enumerate(LotteryTicket().rounds(ladder(10)), start=1):
        chosen = choose(LotteryTicket(), model=model, masks=masks, sparsity=sparsity, seed=0)
        assert isinstance(chosen, Masks)
        masks = chosen
        assert masks.kept == 1003 - round(1003 * (1 - 0.8**n))


def test_conformance() -> None:
    check_method("lth")
    check_method("lth", rate=0.488, rewind="3ep", allocation="uniform")
