"""What each ticket costs in dense trainings, and how far each method goes for the same price.

A lottery ticket at rung n costs n + 1 trainings; a mask found at initialisation costs one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from scratchcard.results import Cell, Measured, Results
from scratchcard.verdict.compare import lineup
from scratchcard.verdict.judge import Ticket, Verdict
from scratchcard.verdict.reach import RULES, Rule, is_rung, ladder_end, stands_at

Currency = Literal["images", "flops"]
"""What is counted: training images that were seen, or floating-point operations as if dense."""


@dataclass(frozen=True)
class Cost:
    """What it took to find and to train a ticket, as multiples of training its dense twin.

    Attributes:
        cell: Which ticket.
        images: Of training images seen.
        flops: Of training FLOPs.
        seeds: How many networks it is the mean of.
    """

    cell: Cell
    images: float
    flops: float
    seeds: int


@dataclass(frozen=True)
class Affordable:
    """How far a method goes with tickets that cost no more than a budget.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        method: Label of the method.
        rule: By which.
        budget: In dense trainings.
        sparsity: Of the last of these tickets before the first that the rule does not hold for, 0
            if it does not hold for the first; None if the budget buys no ticket that was read.
    """

    data: str
    model: str
    method: str
    rule: Rule
    budget: float
    sparsity: float | None


def costs(results: Results) -> tuple[Cost, ...]:
    """The cost of every ticket that has been trained, and its dense twin as well."""
    found = []
    for cell, members in results.groups.items():
        pairs = [
            (m, twin) for m in members if (twin := results.twin(m.network)) and _trained(m, twin)
        ]
        if pairs and cell.method != "dense":
            images, flops = (
                fmean(
                    (getattr(m.find, what) + getattr(m.train, what)) / getattr(twin.train, what)
                    for m, twin in pairs
                )
                for what in ("images", "flops")
            )
            found.append(Cost(cell, images, flops, len(pairs)))
    return tuple(found)


def _trained(*networks: Measured) -> bool:
    return all(m.train.images > 0 and m.train.flops > 0 for m in networks)


def at_equal_budget(
    results: Results, verdict: Verdict, currency: Currency = "images"
) -> tuple[Affordable, ...]:
    """Every method, by every rule, for every price that a ticket of its data and model has."""
    tickets = {(t.data, t.model, t.method, t.target): t for t in verdict.tickets}
    priced = [(tickets[cost.cell], _price(cost, currency)) for cost in costs(results)]
    found = []
    for data, model in results.settings:
        own = [(t, price) for t, price in priced if (t.data, t.model) == (data, model)]
        for budget in sorted({price for _, price in own}):
            for method in lineup(results):
                bought = [
                    t
                    for t, price in own
                    if t.method == method
                    and price <= budget
                    and is_rung(results, method, t.sparsity)
                ]
                found += [
                    Affordable(data, model, method, rule, budget, _far(bought, rule))
                    for rule in RULES
                ]
    return tuple(found)


def _price(cost: Cost, currency: Currency) -> float:
    """To a hundredth of a dense training: what is spent on a scoring batch tells no one apart."""
    return round(cost.images if currency == "images" else cost.flops, 2)


def _far(tickets: Sequence[Ticket], rule: Rule) -> float | None:
    read = any(ticket.seeds for ticket in tickets)
    return ladder_end(sorted(tickets, key=stands_at), rule) if read else None
