"""What stands above and below the page's tables: badges of the dimensions, facts and warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scratchcard.contracts import VOTING, Dimension
from scratchcard.report import numbers, words
from scratchcard.report.tables import named
from scratchcard.results import Results
from scratchcard.verdict import Call, Ticket, Verdict

GLYPHS: dict[Call | None, str] = {
    "better": "+",
    "matches": "=",
    "worse": numbers.MINUS,
    "undecided": "?",
    None: "",
}


@dataclass(frozen=True)
class Strip:
    """A method's calls along the ladder."""

    title: str
    calls: tuple[Call | None, ...]
    label: str


@dataclass(frozen=True)
class Badge:
    """A dimension: how far the best method holds, and every method's calls."""

    dimension: Dimension
    state: str
    rows: tuple[Strip, ...]


@dataclass(frozen=True)
class Badges:
    """The four badges of a data set and model."""

    name: str
    badges: tuple[Badge, ...]


def badges(results: Results, verdict: Verdict) -> list[Badges]:
    """Four badges per setting, a dimension each."""
    found = []
    for setting in results.settings:
        tickets = [t for t in verdict.tickets if (t.data, t.model) == setting]
        four = tuple(_badge(results, verdict, tickets, dimension) for dimension in VOTING)
        found.append(Badges(named(setting, results), four))
    return found


def _badge(
    results: Results, verdict: Verdict, tickets: Sequence[Ticket], dimension: Dimension
) -> Badge:
    if dimension in verdict.unmeasured:
        return Badge(dimension, "Not measured yet", ())
    rows, reach = [], {}
    for method, title in results.methods.items():
        own = sorted((t for t in tickets if t.method == method), key=lambda t: t.target)
        calls = tuple(t.dimensions[dimension] for t in own)
        said = [f"{words.percent(t.target)} {t.dimensions[dimension] or 'unread'}" for t in own]
        rows.append(Strip(title, calls, f"{title}: {', '.join(said)}"))
        reach[title] = _holds(own, dimension)
    furthest = max(reach.values(), default=0)
    if furthest == 0:
        return Badge(dimension, "No method is shown to hold", tuple(rows))
    best = [title for title, target in reach.items() if target == furthest]
    hold = "holds" if len(best) == 1 else "hold"
    state = f"{words.listing(best)} {hold} to {words.percent(furthest)}"
    return Badge(dimension, state, tuple(rows))


def _holds(tickets: Sequence[Ticket], dimension: Dimension) -> float:
    """The last target before the first rung that is not better or matching; 0 if none."""
    last = 0.0
    for ticket in tickets:
        if ticket.dimensions[dimension] not in ("better", "matches"):
            break
        last = ticket.target
    return last


def chosen_rung(verdict: Verdict, rungs: Sequence[float]) -> float:
    """Where the scorecard opens: the sparsest rung where one keeps up or has its accuracy."""
    passing = [t.target for t in verdict.tickets if t.measured == "pass"]
    near = [t.target for t in verdict.tickets if t.region == "I"]
    halfway = [rungs[len(rungs) // 2]] if rungs else [0.0]
    return max(passing or near or halfway)


def facts(results: Results) -> str:
    """``profile default · 80 networks · 5 seeds``."""
    return " · ".join(
        [
            f"profile {results.profile}",
            words.count(len(results.networks), "network"),
            words.count(_seeds(results), "seed"),
        ]
    )


def warnings(results: Results, verdict: Verdict) -> list[str]:
    """What a reader must know before trusting a number."""
    found = []
    seeds = _seeds(results)
    if seeds == 1:
        found.append("One seed: the numbers speak of these networks, not of the methods.")
    elif seeds < 5:
        found.append(f"{words.count(seeds, 'seed')} only: the intervals are wide.")
    for dimension in verdict.unmeasured:
        found.append(f"{dimension.capitalize()} was not measured, so no ticket can pass outright.")
    collapsed = defaultdict(set)
    failures = defaultdict(list)
    for m in results.networks:
        who = f"{results.methods.get(m.network.method, 'Dense twin')}"
        if m.network.method != "dense":
            who += f" at {words.percent(m.network.target)}"
        if len(results.settings) > 1:
            who += f" on {m.network.data} · {m.network.model}"
        for layer in m.collapsed:
            collapsed[who].add(layer)
        for label, why in m.missing.items():
            failures[who, why, m.network.seed].append(results.metrics[label].title)
    for who, layers in collapsed.items():
        found.append(f"{who}: no weights are left in {', '.join(sorted(layers))}.")
    for (who, why, seed), titles in failures.items():
        found.append(f"{who}, seed {seed}: {', '.join(titles)} missing: {why}")
    return found


def _seeds(results: Results) -> int:
    return len({m.network.seed for m in results.networks})
