"""The rule's error rates, counted in simulated studies whose truth is known.

More of them are in benchmarks/verdict.md. Tickets of one study share their dense twins, so standard
errors are those over studies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, stdev

import pytest

from scratchcard.verdict import Ticket, chances
from scratchcard.verdict.paired import PRIOR, Noise
from scratchcard.verdict.power import POWER, first_enough
from tests.simulated import VOTES, Gain, Spread, Spreads, tickets_of

UNEQUAL: Spreads = {
    label: Spread(s, 0.1 * s, 0.5 * s)
    for label, s in zip(VOTES, (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0), strict=True)
}
"""Metrics that vary very differently; accuracy least."""
SHARP: Spreads = dict.fromkeys(VOTES, Spread(0.5, 0.1, 0.0))
"""The margin is twice the standard deviation over seeds; nothing is counted twice."""
STUDIES = 25


def rate(
    what: Callable[[int, Ticket], bool], seeds: int, gain: Gain, spreads: Spreads
) -> tuple[float, float]:
    """The share of tickets of which ``what`` holds, and its standard error."""
    shares = [
        fmean(what(number, ticket) for number, ticket in enumerate(tickets))
        for tickets in tickets_of(STUDIES, seeds, gain, spreads=spreads, images=50)
    ]
    return fmean(shares), stdev(shares) / math.sqrt(STUDIES)


def loses(size: float) -> Gain:
    """Each ticket loses on one metric, each on another."""
    return lambda ticket, label: -size if label == VOTES[ticket % len(VOTES)] else 0.0


def fails(number: int, ticket: Ticket) -> bool:
    return ticket.outcome == "fail"


def lost_is_safe(number: int, ticket: Ticket) -> bool:
    return ticket.comparisons[VOTES[number % len(VOTES)]].safe


@pytest.mark.parametrize("spreads", [SHARP, UNEQUAL], ids=["sharp", "unequal"])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_tickets_fail_in_at_most_5_percent(seeds: int, spreads: Spreads) -> None:
    share, error = rate(fails, seeds, lambda ticket, label: 0.0, spreads)
    assert share <= 0.05 + 3 * error
    assert share <= 0.10


@pytest.mark.parametrize("spreads", [SHARP, UNEQUAL], ids=["sharp", "unequal"])
@pytest.mark.parametrize("seeds", [2, 5])
def test_a_loss_of_one_margin_is_safe_in_at_most_5_percent(seeds: int, spreads: Spreads) -> None:
    """A ticket passes only if this metric is safe, so it passes no more often."""
    share, error = rate(lost_is_safe, seeds, loses(1.0), spreads)
    assert share <= 0.05 + 3 * error
    assert share <= 0.10


def test_a_loss_of_two_margins_is_found_with_three_seeds() -> None:
    share, error = rate(fails, 3, loses(2.0), SHARP)
    assert share - 3 * error >= 0.8


@pytest.mark.parametrize(
    ("gain", "spread"), [(0.0, Spread(0.8, 0.1, 0.0)), (0.5, Spread(0.7, 0.2, 0.4))]
)
def test_the_seeds_that_would_decide_do_in_80_percent(gain: float, spread: Spread) -> None:
    noise = Noise(spread.seeds**2, spread.seeds**2, (PRIOR, PRIOR), spread.shared**2, spread.own**2)
    tests = (len(VOTES), len(VOTES))
    seeds = first_enough(
        lambda k: chances(gain, 1.0, noise, k, tests=tests).decided >= POWER, 2, 100
    )
    assert seeds is not None
    expected = chances(gain, 1.0, noise, seeds, tests=tests).decided
    assert expected <= 0.85
    shares = [
        fmean(
            tickets[number].comparisons[label].call != "undecided"
            for number in range(4)
            for label in VOTES
        )
        for tickets in tickets_of(
            40,
            seeds,
            lambda ticket, label: gain,
            spreads=dict.fromkeys(VOTES, spread),
            methods=("lth",),
            images=50,
        )
    ]
    assert fmean(shares) == pytest.approx(expected, abs=0.04)
