"""What stands above and below the page's tables: badges of the dimensions, facts and warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from scratchcard.contracts import VOTING, Dimension
from scratchcard.report import numbers, words
from scratchcard.report.cells import named
from scratchcard.report.curves import targets
from scratchcard.report.phrases import empty_layers, touched, were_not_measured
from scratchcard.report.unsettled import unsettled
from scratchcard.report.words import NAMES, percent
from scratchcard.results import Cell, Measured, Results
from scratchcard.verdict import Call, Ticket, Verdict, cautions, lineup, no_ratio, voters
from scratchcard.verdict.cautions import Falling, Unequal

Mark = Call | Literal["absent"] | None
"""A call, ``absent`` where a method has no rung, or None where nothing was read."""
GLYPHS: dict[Mark, str] = {
    "better": "+",
    "matches": "=",
    "worse": numbers.MINUS,
    "undecided": "?",
    "absent": "",
    None: "",
}


@dataclass(frozen=True)
class Strip:
    """A method's calls along the ladder."""

    title: str
    calls: tuple[Mark, ...]
    label: str
    control: bool = False


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
        voteless = touched(results, dimension)
        return Badge(dimension, "No voting metric measured" if voteless else "Not measured yet", ())
    rows, reach = [], {}
    rungs = targets(results)
    for method in lineup(results):
        control = method in results.controls
        title = results.methods[method]
        own = {t.target: t for t in tickets if t.method == method}
        calls = {target: ticket.dimensions[dimension] for target, ticket in own.items()}
        strip: list[Mark] = [calls.get(t, "absent") for t in rungs]
        said = [f"{words.percent(t)} {calls[t] or 'unread'}" for t in rungs if t in calls]
        name = f"{title} (control)" if control else title
        rows.append(Strip(title, tuple(strip), f"{name}: {', '.join(said)}", control))
        if not control:
            reach[title] = _holds([own[t] for t in sorted(own)], dimension)
    furthest = max(reach.values(), default=0)
    if furthest == 0:
        return Badge(dimension, "No method is shown to hold", tuple(rows))
    best = [title for title, target in reach.items() if target == furthest]
    hold = "holds" if len(best) == 1 else "hold"
    state = f"{words.few(best, NAMES)} {hold} to {words.percent(furthest)}"
    return Badge(dimension, state, tuple(rows))


def _holds(tickets: Sequence[Ticket], dimension: Dimension) -> float:
    """The last target before the first rung that is not better or matching; 0 if none."""
    last = 0.0
    for ticket in tickets:
        if ticket.dimensions[dimension] not in ("better", "matches"):
            break
        last = ticket.target
    return last


def chosen_rung(results: Results, verdict: Verdict, rungs: Sequence[float]) -> float:
    """Where the scorecard opens: the sparsest rung where one keeps up or has its accuracy.

    Controls do not count, nor do methods that stand between the rungs.
    """
    tickets = [t for t in verdict.tickets if t.method not in results.controls]
    passing = [t.target for t in tickets if t.measured == "pass" and t.target in rungs]
    near = [t.target for t in tickets if t.region == "I" and t.target in rungs]
    halfway = [rungs[len(rungs) // 2]] if rungs else [0.0]
    return max(passing or near or halfway)


def controls(results: Results) -> str:
    """What the controls are for, and which they are; empty if there are none."""
    titles = [results.methods[m] for m in lineup(results) if m in results.controls]
    if not titles:
        return ""
    one = len(titles) == 1
    return (
        f"{words.listing(titles)} {'is a control' if one else 'are controls'}: what a ticket "
        f"should do better than. {'It is' if one else 'They are'} compared with dense like the "
        f"rest, but the verdict does not speak of {'it' if one else 'them'}."
    )


def facts(results: Results) -> str:
    """``profile default · 80 networks · 5 seeds``."""
    return " · ".join(
        [
            f"profile {results.profile}",
            words.count(len(results.networks), "network"),
            words.count(_seeds(results), "seed"),
        ]
    )


def doubts(results: Results, verdict: Verdict) -> list[str]:
    """What a reader must know before trusting the verdict."""
    seeds, found = _seeds(results), list[str]()
    if seeds == 1:
        found.append("One seed: the numbers speak of these networks, not of the methods.")
    elif seeds < 5:
        found.append(f"{words.count(seeds, 'seed')} only: the intervals are wide.")
    if verdict.unmeasured:
        unmeasured = were_not_measured(results, verdict.unmeasured)
        found.append(f"{unmeasured}, so no ticket can pass outright.")
    doubtful = cautions(results)
    worst = sorted(doubtful.falling, key=lambda one: one.further)
    falling = {(one.data, one.model): one for one in worst}
    found += [_falls(results, one) for one in falling.values()]
    return found + [_costs(results, one) for one in doubtful.unequal]


def warnings(results: Results) -> list[str]:
    """What did not settle, what is missing, and which layers are empty."""
    return unsettled(results) + _collapsed(results) + _missing(results) + _no_ratios(results)


def _no_ratios(results: Results) -> list[str]:
    """Which readings a logarithm cannot compare, and in how many seeds."""
    found = []
    for label in voters(results):
        for cell, members in results.groups.items():
            without = sum(no_ratio(results, m, label) for m in members)
            if without and cell.method != "dense":
                found.append(
                    f"{place(results, cell, cell.target)}: {_titles(results, [label])} is not "
                    f"above 0 in {without} of {words.count(len(members), 'seed')}, or of their "
                    "dense twins, so these are not compared."
                )
    return found


def _falls(results: Results, one: Falling) -> str:
    setting = named((one.data, one.model), results)
    return (
        f"The training loss of the dense twins{f' on {setting}' if setting else ''} still falls at "
        f"the end, by up to {percent(one.further)} in as many epochs as the last fifth: networks "
        "that are trained too shortly make pruning look good."
    )


def _costs(results: Results, pair: Unequal) -> str:
    cheap, dear = pair.cheapest, pair.dearest
    setting = named(cheap.cell[:2], results)
    return (
        f"Budgets differ{f' on {setting}' if setting else ''}: at {percent(cheap.cell.target)}, "
        f"{results.methods[dear.cell.method]} cost {dear.images:.2g} dense trainings, "
        f"{results.methods[cheap.cell.method]} {cheap.images:.2g}."
    )


def _collapsed(results: Results) -> list[str]:
    """Which tickets have lost whole layers, and in how many seeds."""
    found = []
    for cell, members in results.groups.items():
        broken = [m for m in members if m.collapsed]
        if broken:
            who = place(results, cell, cell.target)
            seeds = f" in {len(broken)} of {words.count(len(members), 'seed')}"
            found.append(f"{who}: no weights are left in {empty_layers(broken)}{seeds}.")
    return found


def _missing(results: Results) -> list[str]:
    """What could not be read, seed by seed, and what does not apply, method by method."""
    failures: dict[tuple[str, str, int | None], list[str]] = defaultdict(list)
    silent: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for cell, members in results.groups.items():
        together = results.together.get(cell)
        for gaps in (*members, *([together] if together is not None else [])):
            seed = gaps.network.seed if isinstance(gaps, Measured) else None
            for label, why in gaps.unread.items():
                failures[place(results, cell, cell.target), why, seed].append(label)
            for label, why in gaps.silent.items():
                silent[why, _titles(results, [label])].setdefault(place(results, cell))
    return [
        *(
            f"{who}, {'all seeds together' if k is None else f'seed {k}'}: "
            f"{_titles(results, on)} missing: {why}"
            for (who, why, k), on in failures.items()
        ),
        *(f"{_everyone(results, who)}: {title} {why}" for (why, title), who in silent.items()),
    ]


def _everyone(results: Results, places: Collection[str]) -> str:
    """The names of ``places``, or that they are all there are."""
    cells = [cell for cell in results.groups if cell.target]
    if len(places) > 1 and {place(results, cell) for cell in cells} <= set(places):
        return "All tickets"
    return words.listing(places)


def place(results: Results, cell: Cell, target: float = 0.0) -> str:
    """``SNIP at 59 % on digits · mlp``: the target if it is not 0, the setting of several."""
    who = results.methods.get(cell.method, "Dense twin")
    at = f" at {words.percent(target)}" if target else ""
    setting = named((cell.data, cell.model), results)
    return who + at + (f" on {setting}" if setting else "")


def _titles(results: Results, labels: Iterable[str]) -> str:
    return ", ".join(results.metrics[label].title for label in labels)


def _seeds(results: Results) -> int:
    return len({m.network.seed for m in results.networks})
