"""The sentences: what a study found, in words that a newcomer cannot misread.

Nothing is said here that the verdict does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from statistics import fmean

from scratchcard.contracts import VOTING, Dimension
from scratchcard.report.numbers import (
    amount,
    change,
    count,
    listing,
    margin,
    moved,
    percent,
    signed,
    value,
)
from scratchcard.results import NOT_RUN, Results
from scratchcard.verdict import (
    Call,
    Comparison,
    Ticket,
    Verdict,
    accuracy_label,
    chance_level,
    voters,
)

__all__ = [
    "amount",
    "change",
    "count",
    "dimension_words",
    "headline",
    "listing",
    "margin",
    "moved",
    "percent",
    "sentences",
    "signed",
    "ticket_sentence",
    "value",
]

DIMENSIONS: Mapping[Dimension, str] = {
    "generalisation": "generalisation",
    "calibration": "calibration",
    "interpretability": "interpretability",
    "landscape": "loss landscape",
}
CALLS: Mapping[Call | None, str] = {
    "better": "better than dense",
    "matches": "as good as dense",
    "worse": "worse than dense",
    "undecided": "the data cannot tell",
    None: "not measured",
}
SETTINGS = 3
"""How many data sets and models the headline speaks of one by one."""


def headline(results: Results, verdict: Verdict) -> str:
    """The study in a few sentences, as one paragraph."""
    return " ".join(sentences(results, verdict))


def sentences(results: Results, verdict: Verdict) -> list[str]:
    """The study in a few sentences: who keeps up and how far, who fails, and what is not known."""
    if not verdict.tickets:
        return ["Only dense networks were measured, so there is nothing to compare."]
    if not voters(results):
        return ["No headline metric was measured, so there is no verdict."]
    if not any(ticket.seeds for ticket in verdict.tickets):
        return [_nothing(results)]
    said = []
    if max(len(ticket.seeds) for ticket in verdict.tickets) == 1:
        said.append("One seed, so this speaks of these networks, not of the methods.")
    several = len(results.settings) > 1
    for data, model in results.settings[:SETTINGS]:
        tickets = [t for t in verdict.tickets if (t.data, t.model) == (data, model)]
        place = f"On {data} with {model}: " if several else ""
        if tickets:
            found = _setting(results, tickets)
            said += [place + found[0], *found[1 : 1 if several else None]]
    if len(results.settings) > SETTINGS:
        rest = count(len(results.settings) - SETTINGS, "more setting")
        said.append(f"For {rest} see below.")
    return [*said, *_caveats(results, verdict)]


def _nothing(results: Results) -> str:
    """No ticket and twin were both read: the first reason."""
    reasons = [why for m in results.networks for why in m.missing.values()]
    failures = [why for why in reasons if why != NOT_RUN]
    if failures:
        return f"Nothing could be judged: {failures[0]}."
    return "Nothing has been measured yet, so there is nothing to judge."


def ticket_sentence(ticket: Ticket, results: Results) -> str:
    """One ticket: what it is, how it did, and why."""
    k = len(ticket.seeds)
    if not voters(results):
        return f"{_title(results, ticket)}: no headline metric was measured."
    who = f"{_title(results, ticket)} at {percent(ticket.sparsity)} sparsity"
    if k == 0:
        return f"{who}: every network failed, so there is nothing to judge."
    if k == 1:
        who += " (one seed: these two networks, not the method)"
    said = f"{who}: {_judged(ticket, results)}"
    wins = _wins(results, ticket, hollow=False)
    if wins:
        said += f"; better: {listing(wins)}"
    hollow = _wins(results, ticket, hollow=True)
    if hollow:
        said += f"; not counted as a win, for accuracy does not pass: {listing(hollow)}"
    return f"{said}.{_fate(ticket)}"


def dimension_words(ticket: Ticket) -> dict[str, str]:
    """The four dimensions by name, each with its call in words."""
    return {DIMENSIONS[d]: CALLS[ticket.dimensions[d]] for d in VOTING}


def _judged(ticket: Ticket, results: Results) -> str:
    if ticket.measured == "fail":
        return f"fails, {listing(_losses(results, ticket))}"
    if ticket.measured == "pass":
        kept = [DIMENSIONS[d] for d in VOTING if ticket.dimensions[d] is not None]
        return f"passes on the {count(len(kept), 'dimension')} measured ({listing(kept)})"
    return f"undecided, for {_doubt(results, ticket)}"


def _fate(ticket: Ticket) -> str:
    """Why a ticket that passes what was measured does not pass as a whole."""
    unmeasured = [DIMENSIONS[d] for d in VOTING if ticket.dimensions[d] is None]
    if ticket.measured != "pass" or not unmeasured:
        return ""
    return f" {_were_not_measured(unmeasured)}, so LTH-PASS is undecided."


def _setting(results: Results, tickets: Sequence[Ticket]) -> list[str]:
    """One data set and model: the winner's sentence, then the loser's."""
    if _dense_at_chance(results, tickets[0]):
        return ["The dense networks are at chance, so nothing can be won or lost: train longer."]
    ladders = {
        method: sorted((t for t in tickets if t.method == method), key=lambda t: t.sparsity)
        for method in results.methods
    }
    reach = {method: _furthest(ladder) for method, ladder in ladders.items()}
    reached = [ticket for ticket in reach.values() if ticket is not None]
    if not reached:
        return [_nobody(results, tickets), *_by_accuracy(results, ladders)]
    furthest = max(ticket.sparsity for ticket in reached)
    best = [ticket for ticket in reached if ticket.sparsity == furthest]
    said = [_winner(results, best, ladders[best[0].method])]
    winners = {ticket.method for ticket in best}
    losers = [ladder for method, ladder in ladders.items() if method not in winners]
    return said + _loser(results, losers)


def _dense_at_chance(results: Results, ticket: Ticket) -> bool:
    label = accuracy_label(results) or ""
    read = [
        m.readings[label]
        for cell, members in results.groups.items()
        if cell[:3] == (ticket.data, ticket.model, "dense")
        for m in members
        if label in m.readings
    ]
    return bool(read) and fmean(r.value for r in read) <= chance_level(read[0])


def _by_accuracy(results: Results, ladders: Mapping[str, Sequence[Ticket]]) -> list[str]:
    """How far accuracy alone would have said that a method holds: the paper's region I."""
    reach: dict[float, list[str]] = {}
    for method, ladder in ladders.items():
        held = list(takewhile(lambda ticket: ticket.region == "I", ladder))
        if held:
            reach.setdefault(held[-1].target, []).append(results.methods[method])
    if not reach:
        return []
    first, *others = ((listing(reach[far]), percent(far)) for far in sorted(reach, reverse=True))
    holds = [f"{first[0]} would hold to {first[1]}", *(f"{who} to {far}" for who, far in others)]
    return [f"By accuracy alone, within one point of dense, {listing(holds)} sparsity."]


def _furthest(ladder: Sequence[Ticket]) -> Ticket | None:
    """The sparsest ticket that passes before any fails."""
    last = None
    for ticket in ladder:
        if ticket.measured == "fail":
            break
        if ticket.measured == "pass":
            last = ticket
    return last


def _winner(results: Results, best: Sequence[Ticket], ladder: Sequence[Ticket]) -> str:
    ticket = best[0]
    who = listing(_title(results, one) for one in best)
    n = len(voters(results))
    what = f"all {n} headline metrics" if n > 1 else "the only headline metric"
    scope = "in all four dimensions" if ticket.outcome == "pass" else "measured"
    said = (
        f"{who}: no loss beyond the margin on {what} {scope}, down to "
        f"{percent(1 - ticket.sparsity)} of the weights ({percent(ticket.sparsity)} sparsity)"
    )
    if len(best) > 1:
        return f"{said}."
    wins = _wins(results, ticket, hollow=False)
    if wins:
        said += f", where it beats dense: {_few(wins)}"
    doubtful = [t for t in ladder if t.sparsity < ticket.sparsity and t.measured != "pass"]
    if doubtful:
        said += f" (undecided on the way at {listing(percent(t.sparsity) for t in doubtful)})"
    after = [t for t in ladder if t.sparsity > ticket.sparsity]
    if not after:
        return f"{said}. That is the sparsest step of this study."
    step = f"{said}. At the next step, {percent(after[0].sparsity)},"
    if after[0].measured == "fail":
        return f"{step} it is worse: {_few(_losses(results, after[0]))}."
    return f"{step} {_doubt(results, after[0])}."


def _few(items: Sequence[str], most: int = 2) -> str:
    rest = [f"{len(items) - most} more"] if len(items) > most else []
    return listing([*items[:most], *rest])


def _loser(results: Results, ladders: Sequence[Sequence[Ticket]]) -> list[str]:
    """The method that fails earliest, if any does."""
    failing = [t for ladder in ladders for t in ladder if t.measured == "fail"]
    if not failing:
        return []
    first = min(failing, key=lambda t: t.sparsity)
    later = [t for ladder in ladders for t in ladder if t.method == first.method]
    always = all(t.measured == "fail" for t in later if t.sparsity > first.sparsity)
    where = f"from {percent(first.sparsity)} on" if always else f"at {percent(first.sparsity)}"
    return [f"{_title(results, first)} fails {where}: {_few(_losses(results, first))}."]


def _nobody(results: Results, tickets: Sequence[Ticket]) -> str:
    fails = sum(t.measured == "fail" for t in tickets)
    passes = [
        f"{_title(results, t)} at {percent(t.sparsity)}" for t in tickets if t.measured == "pass"
    ]
    if passes:
        return f"Only sparser tickets of methods that failed before keep up: {listing(passes)}."
    if fails == len(tickets):
        densest = percent(min(t.sparsity for t in tickets))
        return (
            "No ticket keeps up with its dense twin: from "
            f"{densest} sparsity on, each is worse on at least one headline metric."
        )
    rest = count(len(tickets) - fails, "ticket")
    seeds = count(max(len(t.seeds) for t in tickets), "seed")
    return (
        f"No ticket is shown to keep up with its dense twin: {fails} of {len(tickets)} are worse, "
        f"and for {rest} the data ({seeds}) cannot tell."
    )


def _caveats(results: Results, verdict: Verdict) -> list[str]:
    """What limits the sentences before: dimensions, failures."""
    said = []
    if verdict.unmeasured:
        names = [DIMENSIONS[d] for d in verdict.unmeasured]
        said.append(f"{_were_not_measured(names)}, so no ticket can win everything yet.")
    unread = [m for m in results.networks if m.missing]
    waiting = [m for m in unread if set(m.missing.values()) == {NOT_RUN}]
    failed = sum(not m.readings for m in unread if m not in waiting)
    partly = sum(len(m.missing) for m in unread if m.readings and m not in waiting)
    if waiting:
        verb = "has" if len(waiting) == 1 else "have"
        said.append(f"{count(len(waiting), 'network')} {verb} not been measured in full yet.")
    lost = [count(failed, "network")] if failed else []
    lost += [count(partly, "reading")] if partly else []
    if lost:
        verb = "is" if failed + partly == 1 else "are"
        said.append(f"{listing(lost)} failed and {verb} left out.")
    return said


def _were_not_measured(names: Sequence[str]) -> str:
    text = f"{listing(names)} {'was' if len(names) == 1 else 'were'} not measured"
    return text[0].upper() + text[1:]


def _title(results: Results, ticket: Ticket) -> str:
    return results.methods.get(ticket.method, ticket.method)


def _losses(results: Results, ticket: Ticket) -> list[str]:
    """``accuracy 2.3 points lower``, the heaviest loss (in margins) first."""
    lost = [c for c in ticket.comparisons.values() if c.call == "worse"]
    return [_moved(results, c) for c in sorted(lost, key=lambda c: c.d / (c.margin or 1))]


def _wins(results: Results, ticket: Ticket, *, hollow: bool) -> list[str]:
    won = [c for c in ticket.comparisons.values() if c.call == "better" and c.hollow == hollow]
    return [_moved(results, c) for c in won]


def _moved(results: Results, c: Comparison) -> str:
    spec = results.metrics[c.metric]
    return f"{spec.title} {moved(spec, c)}"


def _doubt(results: Results, ticket: Ticket) -> str:
    votes = {label: ticket.comparisons.get(label) for label in voters(results)}
    doubtful = [k for k, c in votes.items() if c is not None and not c.safe]
    unread = [k for k, c in votes.items() if c is None]
    said = []
    if doubtful:
        said.append(f"a loss is not ruled out on {_titles(results, doubtful)}")
    if unread:
        said.append(f"there is no reading of {_titles(results, unread)}")
    return listing(said or ["some of its seeds failed"])


def _titles(results: Results, labels: Sequence[str]) -> str:
    return listing(results.metrics[label].title for label in labels)
