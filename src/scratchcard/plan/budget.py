"""Equal budgets: how long each training of a method may last for all of them to cost the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scratchcard.contracts import Method, Step, UserError


def shared(method: Method, sparsity: float, recipe: Mapping[str, Any]) -> float:
    """Epochs of one training, so that finding and training a ticket take ``recipe["epochs"]``.

    A method that prunes before training has all of them; a lottery ticket of n rounds divides
    them over n + 1 trainings, less what rewinding saves.

    Args:
        method: Of the ticket.
        sparsity: Of the ticket.
        recipe: The study's.

    Raises:
        UserError: A step is given in iterations, or the epochs do not suffice.
    """
    budget = recipe["epochs"]
    if cost(method, sparsity, recipe, budget) == budget:
        return float(budget)
    low, high = 0.0, float(budget)
    for _ in range(100):  # the cost rises with the length, so halving finds it to the last bit
        middle = (low + high) / 2
        low, high = (
            (low, middle) if cost(method, sparsity, recipe, middle) > budget else (middle, high)
        )
    earliest = max(_epochs(step, low) for step in (method.scored_at, method.starts_from))
    if earliest > low:
        raise UserError(
            f"equal_budget leaves {low:.3g} of {budget:g} epochs for each training at sparsity "
            f"{sparsity:g}, but the method goes back to epoch {earliest:g}; give training more "
            "epochs, or the method an earlier step or fewer rounds"
        )
    return low


def cost(method: Method, sparsity: float, recipe: Mapping[str, Any], length: float) -> float:
    """Epochs that finding and training a ticket take if one training lasts ``length``."""
    scored, start = (_epochs(step, length) for step in (method.scored_at, method.starts_from))
    rounds = len(method.rounds(sparsity))
    last = method.recipe({**recipe, "epochs": length}, sparsity)["epochs"]
    return max(scored, start) + (rounds - 1) * (scored - start) + float(last) - start


def _epochs(step: str, length: float) -> float:
    """A step of a training of ``length`` epochs, in epochs."""
    moment = Step.parse(step)
    if moment.unit == "it" and moment.value:
        raise UserError(
            f"equal_budget cannot count step {step!r}: write it in epochs ('1ep') or as a "
            "fraction of training ('0.05')"
        )
    return moment.value * length if moment.unit == "fraction" else moment.value
