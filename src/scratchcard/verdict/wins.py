"""Which tickets beat their dense twins on several dimensions at once, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass

from scratchcard.contracts import Dimension
from scratchcard.results import Results
from scratchcard.verdict.compare import Comparison
from scratchcard.verdict.judge import Ticket, Verdict

SEVERAL = 2


@dataclass(frozen=True)
class Win:
    """A ticket that is better than dense on several dimensions.

    Attributes:
        ticket: Which; it may lose elsewhere, and then fails.
        won: The dimensions with a metric that is better, and none that can be worse by a margin.
        lost: The dimensions with a metric that is worse.
        evidence: The metrics of these dimensions that are better, the surest first.
    """

    ticket: Ticket
    won: tuple[Dimension, ...]
    lost: tuple[Dimension, ...]
    evidence: tuple[Comparison, ...]


def wins_at_once(results: Results, verdict: Verdict) -> tuple[Win, ...]:
    """The contenders that win several dimensions: most wins first, then fewest losses.

    A win counts only if accuracy passes; each ticket's calls share one level (Holm), but tickets do
    not: of a hundred that are truly equal some few will be found here.
    """
    found = []
    for ticket in verdict.tickets:
        won = tuple(d for d, call in ticket.dimensions.items() if call == "better")
        if len(won) >= SEVERAL and ticket.method not in results.controls:
            lost = tuple(d for d, call in ticket.dimensions.items() if call == "worse")
            better = [
                c
                for c in ticket.comparisons.values()
                if c.call == "better"
                and not c.hollow
                and results.metrics[c.metric].dimension in won
            ]
            better.sort(key=lambda c: c.d / c.stderr if c.stderr else float("inf"), reverse=True)
            found.append(Win(ticket, won, lost, tuple(better)))
    return tuple(sorted(found, key=lambda win: (-len(win.won), len(win.lost))))
