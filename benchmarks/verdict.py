"""How often the verdict errs, counted in simulated studies whose truth is known.

    PYTHONPATH=src:. python benchmarks/verdict.py [STUDIES]

prints two Markdown tables. Each study has twelve tickets with eight headline metrics and is judged
by ``scratchcard.verdict.judge`` as any other; sizes are in margins.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scratchcard.verdict import Ticket, need
from scratchcard.verdict.paired import PRIOR, Noise
from scratchcard.verdict.power import chances, first_enough
from tests.simulated import VOTES, Spread, Spreads, Widths, tickets_of

SEEDS = (2, 3, 5, 10)
LOST = 2
"""How many margins "two margins worse" is."""


@dataclass(frozen=True)
class World:
    """What a simulated study is like; ``counted`` are the tickets that errors are counted in."""

    title: str
    spreads: Spreads
    widths: Widths = lambda ticket: 1.0
    counted: range = range(12)


def everywhere(spread: Spread) -> Spreads:
    """All metrics alike."""
    return dict.fromkeys(VOTES, spread)


PLANS = (
    (0.0, Spread(0.5, 0.1, 0.3)),
    (0.0, Spread(0.8, 0.1, 0.0)),
    (0.0, Spread(1.0, 0.1, 0.3)),
    (0.0, Spread(1.0, 0.2, 0.9)),
    (0.5, Spread(0.8, 0.1, 0.3)),
    (-0.8, Spread(0.8, 0.2, 0.0)),
    (-2.0, Spread(2.0, 0.3, 0.5)),
)
"""True gains, and how the metric varies, for which seeds are planned."""
WORLDS = (
    World("plain", everywhere(Spread())),
    World("no error of a pair's own", everywhere(Spread(own=0.0))),
    World("few images", everywhere(Spread(seeds=0.5, shared=0.4, own=0.6))),
    World(
        "metrics vary from 0.2 to 2",
        {
            label: Spread(s, 0.1 * s, 0.5 * s)
            for label, s in zip(VOTES, (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0), strict=True)
        },
    ),
    World("tickets vary twice as dense ones", everywhere(Spread(own=0.0)), lambda ticket: 2.0),
    World(
        "one method varies 1.5 times as the others",
        everywhere(Spread(own=0.0)),
        lambda ticket: 1.5 if ticket >= 8 else 1.0,
        range(8, 12),
    ),
    World(
        "the sparsest rung varies twice as the others",
        everywhere(Spread(own=0.0)),
        lambda ticket: 2.0 if ticket % 4 == 3 else 1.0,
        range(3, 12, 4),
    ),
    World(
        "one method varies three times as the others",
        everywhere(Spread(own=0.0)),
        lambda ticket: 3.0 if ticket >= 8 else 1.0,
        range(8, 12),
    ),
)


def gain(size: float) -> Callable[[int, str], float]:
    """Each ticket gains ``size`` margins on one metric, and nothing on the others."""
    return lambda ticket, label: size if label == VOTES[ticket % len(VOTES)] else 0.0


Count = Callable[[int, Ticket], bool]


def rates(world: World, studies: int, seeds: int, size: float, *counts: Count) -> list[float]:
    """The shares of tickets of which each count holds."""
    found = [
        [count(i, tickets[i]) for count in counts]
        for tickets in tickets_of(
            studies, seeds, gain(size), spreads=world.spreads, widths=world.widths
        )
        for i in world.counted
    ]
    return [fmean(column) for column in zip(*found, strict=True)]


def errors(studies: int) -> None:
    """The first table: how often tickets of known truth pass, or fail."""
    print("| spread | seeds | equal: fails | equal: passes | a margin worse: passes | ", end="")
    print("that metric called safe | two margins worse: fails |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for world in WORLDS:
        for seeds in SEEDS:
            found = rates(world, studies, seeds, 0.0, fails, passes)
            found += rates(world, studies, seeds, -1.0, passes, lost_is_safe)
            found += rates(world, studies, seeds, -LOST, fails)
            cells = " | ".join(f"{100 * one:.1f} %" for one in found)
            print(f"| {world.title} | {seeds} | {cells} |", flush=True)


def fails(number: int, ticket: Ticket) -> bool:
    """Whether the ticket fails."""
    return ticket.outcome == "fail"


def passes(number: int, ticket: Ticket) -> bool:
    """Whether it passes."""
    return ticket.outcome == "pass"


def lost_is_safe(number: int, ticket: Ticket) -> bool:
    """Whether a loss of a margin is held to be ruled out where it is exactly that."""
    return ticket.comparisons[VOTES[number % len(VOTES)]].safe


def plans(studies: int) -> None:
    """The second table: how often the number of seeds that would decide does decide."""
    print("\n| true gain | spread over seeds | shared, own | seeds that would decide | ", end="")
    print("they decide | printed after 3 seeds: quartiles | those decide |")
    print("|---:|---:|---|---:|---:|---:|---:|")
    for size, spread in PLANS:
        seeds = needed(size, spread)
        decided = follow_up(range(studies * 2), [seeds] * studies * 2, size, spread)
        cells = [f"{size:g}", f"{spread.seeds:g}", f"{spread.shared:g}, {spread.own:g}"]
        cells += [
            f"{seeds}",
            f"{100 * decided:.0f} %",
            *(["", ""] if size else pilots(studies, spread)),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def follow_up(names: Iterable[int], seeds: Sequence[int], size: float, spread: Spread) -> float:
    """How often studies of so many seeds decide on a metric whose gain is ``size``."""
    called = []
    for name, k in zip(names, seeds, strict=True):
        (tickets,) = tickets_of(
            1,
            k,
            gain(size),
            first=100_000 + name,
            spreads=everywhere(spread),
            methods=("lth",),
            images=60,
        )
        called += [t.comparisons[VOTES[i]].call != "undecided" for i, t in enumerate(tickets)]
    return fmean(called)


def needed(size: float, spread: Spread) -> int:
    """The number for the truth itself, in a study with many other tickets."""
    noise = Noise(spread.seeds**2, spread.seeds**2, (PRIOR, PRIOR), spread.shared**2, spread.own**2)
    tests = (len(VOTES), len(VOTES))
    found = first_enough(
        lambda k: chances(size, 1.0, noise, k, tests=tests).decided >= 0.8, 2, 1000
    )
    assert found is not None
    return found


def pilots(studies: int, spread: Spread) -> tuple[str, str]:
    """What studies of three seeds print if all are equal, and how often that then decides.

    What is printed does not rest on the estimate here ("if truly equal"), only on the noise found.
    """
    printed = []
    for tickets in tickets_of(studies, 3, gain(0.0), spreads=everywhere(spread)):
        for ticket in tickets[::4]:
            comparison = ticket.comparisons[VOTES[0]]
            if comparison.call == "undecided":
                printed.append(need(comparison, "equal").seeds)
    known = [k for k in printed if k is not None]
    shown = sorted(k if k is not None else math.inf for k in printed)
    quartiles = " / ".join(f"{shown[len(shown) * part // 4]:g}" for part in (1, 2, 3))
    decided = follow_up(range(len(known)), [min(k, 100) for k in known], 0.0, spread)
    return quartiles, f"{100 * decided:.0f} %"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    errors(count)
    plans(count)
