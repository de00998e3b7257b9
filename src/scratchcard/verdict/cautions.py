"""What makes a verdict doubtful whatever its numbers: short training, unequal budgets.

None of it changes a call; the report says it beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.results import Results
from scratchcard.verdict.budget import Cost, costs

FURTHER = 0.1
"""The share of its loss that a network must still be about to lose to be called under-trained."""
LAST = 5
"""The line is fitted to one part in so many of the epochs, the last."""
FEWEST_EPOCHS = 3
"""That a line is fitted to, at least."""
UNEQUAL = 1.5
"""The ratio of costs from which a comparison is not one of methods alone."""


@dataclass(frozen=True)
class Falling:
    """A dense network whose training loss still falls at the end.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        seed: Of training.
        loss: Mean training loss of the last epoch.
        further: The share of it that would go in as many epochs again, if it went on like this.
    """

    data: str
    model: str
    seed: int
    loss: float
    further: float


@dataclass(frozen=True)
class Unequal:
    """Two contenders at one rung of which one cost much more than the other.

    Attributes:
        cheapest: In training images.
        dearest: Likewise.
    """

    cheapest: Cost
    dearest: Cost


@dataclass(frozen=True)
class Cautions:
    """All that is doubtful about a study."""

    falling: tuple[Falling, ...]
    unequal: tuple[Unequal, ...]


def cautions(results: Results) -> Cautions:
    """What a reader of the verdict should hear beside it."""
    return Cautions(_falling(results), _unequal(results))


def further_fall(losses: Sequence[float]) -> float | None:
    """The share of the loss that would go in as many epochs again; None of too few epochs.

    A line is fitted to the last fifth of the epochs, three at least, and drawn on for as many
    epochs as it was fitted to. What this means depends on the schedule. At a constant rate the
    network would go on learning. Where the rate is annealed to 0, training more at its end gains
    nothing, but a loss that still falls there says that the schedule was too short for the
    network: under a longer one it would end lower. It is the training loss, with augmentation and
    smoothed labels as the recipe has them, so it says nothing of over-fitting.

    >>> round(further_fall([1.0 - 0.05 * epoch for epoch in range(15)]), 3)
    0.5
    """
    n = max(FEWEST_EPOCHS, len(losses) // LAST)
    if len(losses) < n:
        return None
    slope, start = np.polyfit(range(n), losses[-n:], 1)
    end = float(start + slope * (n - 1))
    return float(-slope * n / end) if end > 0 else 0.0


def _falling(results: Results) -> tuple[Falling, ...]:
    """A twin that is not trained to the end makes pruning look good: tickets train longer."""
    dense = [m for m in results.networks if m.network.method == "dense"]
    return tuple(
        Falling(m.network.data, m.network.model, m.network.seed, m.losses[-1], further)
        for m in dense
        if (further := further_fall(m.losses)) is not None and further > FURTHER
    )


def _unequal(results: Results) -> tuple[Unequal, ...]:
    """By data set and model, the rung where contenders' costs are furthest apart."""
    rungs: dict[tuple[str, str, float], list[Cost]] = {}
    for cost in costs(results):
        if cost.cell.method not in results.controls:
            rungs.setdefault((*cost.cell[:2], cost.cell.target), []).append(cost)
    worst: dict[tuple[str, str], Unequal] = {}
    for (data, model, _), found in rungs.items():
        own = Unequal(*(pick(found, key=lambda cost: cost.images) for pick in (min, max)))
        known = worst.get((data, model))
        if _ratio(own) > UNEQUAL and (known is None or _ratio(own) > _ratio(known)):
            worst[data, model] = own
    return tuple(worst.values())


def _ratio(pair: Unequal) -> float:
    return pair.dearest.images / pair.cheapest.images
