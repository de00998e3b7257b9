"""The sentences: what a study found, in words that a newcomer cannot misread.

Nothing is said here that the verdict does not hold, and controls are no contenders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from statistics import fmean

from scratchcard.report.numbers import (
    LARGE,
    amount,
    between,
    change,
    count,
    few,
    listing,
    margin,
    moved,
    percent,
    signed,
    two,
    value,
)
from scratchcard.report.phrases import (
    doubt,
    losses,
    ticket_sentence,
    title_of,
    were_not_measured,
    wins,
)
from scratchcard.results import NOT_RUN, Results
from scratchcard.verdict import (
    Ticket,
    Verdict,
    accuracy_label,
    chance_level,
    contenders,
    voters,
)

__all__ = [
    "LARGE",
    "amount",
    "between",
    "change",
    "count",
    "few",
    "headline",
    "listing",
    "margin",
    "moved",
    "percent",
    "sentences",
    "signed",
    "ticket_sentence",
    "two",
    "value",
]

SETTINGS = 3
"""How many data sets and models the headline speaks of one by one."""
NAMES = 5
"""How many methods a sentence names before it counts the rest."""
ALIKE = 0.005
"""Sparsities this close count as one rung: structures reach none exactly."""


def headline(results: Results, verdict: Verdict) -> str:
    """The study in a few sentences, as one paragraph."""
    return " ".join(sentences(results, verdict))


def sentences(results: Results, verdict: Verdict) -> list[str]:
    """The study in a few sentences: who keeps up and how far, who fails, and what is not known."""
    judged = [t for t in verdict.tickets if t.method not in results.controls and t.sparsity]
    if not judged:
        beside = any(ticket.method in results.controls for ticket in verdict.tickets)
        who = "dense networks and controls" if beside else "dense networks"
        return [f"Only {who} were measured, so there is nothing to compare."]
    if not voters(results):
        return ["No headline metric was measured, so there is no verdict."]
    if not any(ticket.seeds for ticket in judged):
        return [_nothing(results)]
    said = []
    if max(len(ticket.seeds) for ticket in judged) == 1:
        said.append("One seed, so this speaks of these networks, not of the methods.")
    several = len(results.settings) > 1
    for data, model in results.settings[:SETTINGS]:
        tickets = [t for t in judged if (t.data, t.model) == (data, model)]
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
    reasons = [why for m in results.networks for why in m.unread.values()]
    failures = [why for why in reasons if why != NOT_RUN]
    if failures:
        return f"Nothing could be judged: {failures[0]}."
    return "Nothing has been measured yet, so there is nothing to judge."


def _setting(results: Results, tickets: Sequence[Ticket]) -> list[str]:
    """One data set and model: the winner's sentence, then the loser's."""
    if _dense_at_chance(results, tickets[0]):
        return ["The dense networks are at chance, so nothing can be won or lost: train longer."]
    ladders = {
        method: sorted((t for t in tickets if t.method == method), key=lambda t: t.sparsity)
        for method in contenders(results)
    }
    reach = {method: _furthest(ladder) for method, ladder in ladders.items()}
    reached = [ticket for ticket in reach.values() if ticket is not None]
    if not reached:
        return [_nobody(results, tickets), *_by_accuracy(results, ladders)]
    furthest = max(ticket.sparsity for ticket in reached)
    best = [ticket for ticket in reached if ticket.sparsity > furthest - ALIKE]
    end = max(ticket.target for ticket in tickets)
    said = [_winner(results, best, ladders[best[0].method], end)]
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
            reach.setdefault(_rung(held[-1]), []).append(results.methods[method])
    if not reach:
        return []
    furthest = sorted(reach, reverse=True)
    first, *others = ((few(reach[far], NAMES), percent(far)) for far in furthest)
    holds = [f"{first[0]} would hold to {first[1]}", *(f"{who} to {far}" for who, far in others)]
    return [f"By accuracy alone, within one point of dense, {listing(holds)} sparsity."]


def _rung(ticket: Ticket) -> float:
    """The rung that a ticket stands on; its own sparsity where that is far from any."""
    near = abs(ticket.sparsity - ticket.target) < ALIKE
    return ticket.target if near else ticket.sparsity


def _furthest(ladder: Sequence[Ticket]) -> Ticket | None:
    """The last ticket before the first that does not pass."""
    held = list(takewhile(lambda ticket: ticket.measured == "pass", ladder))
    return held[-1] if held else None


def _winner(results: Results, best: Sequence[Ticket], ladder: Sequence[Ticket], end: float) -> str:
    """Who keeps up longest, and what happens next to one that does alone.

    What is said of several at once is said of the densest of them. ``end`` is the sparsest target.
    """
    ticket = min(best, key=lambda one: one.sparsity)
    who = few([title_of(results, one) for one in best], NAMES)
    n = len(voters(results))
    what = f"all {n} headline metrics" if n > 1 else "the only headline metric"
    whole = all(one.outcome == "pass" for one in best)
    scope = "in all four dimensions" if whole else "measured"
    said = (
        f"{who}: no loss beyond the margin on {what} {scope}, down to "
        f"{percent(1 - ticket.sparsity)} of the weights ({percent(ticket.sparsity)} sparsity)"
    )
    if len(best) > 1:
        return f"{said}."
    won = wins(results, ticket, hollow=False)
    if won:
        said += f", where it beats dense: {few(won, 2)}"
    after = [t for t in ladder if t.sparsity > ticket.sparsity]
    if not after:
        whose = "of this study" if ticket.target == end else "of this method"
        return f"{said}. That is the sparsest step {whose}."
    step = f"{said}. At the next step, {percent(after[0].sparsity)},"
    again = [percent(t.sparsity) for t in after if t.measured == "pass"]
    later = f"; further on it passes at {listing(again)}" if again else ""
    if after[0].measured == "fail":
        return f"{step} it is worse: {few(losses(results, after[0]), 2)}{later}."
    return f"{step} {doubt(results, after[0])}{later}."


def _loser(results: Results, ladders: Sequence[Sequence[Ticket]]) -> list[str]:
    """The method that fails earliest, if any does; of several the one that loses most."""
    failing = [t for ladder in ladders for t in ladder if t.measured == "fail"]
    if not failing:
        return []
    first = min(failing, key=lambda t: (t.target, _worst(t)))
    later = [t for ladder in ladders for t in ladder if t.method == first.method]
    sparser = [t for t in later if t.sparsity > first.sparsity]
    always = bool(sparser) and all(t.measured == "fail" for t in sparser)
    where = f"from {percent(first.sparsity)} on" if always else f"at {percent(first.sparsity)}"
    return [f"{title_of(results, first)} fails {where}: {few(losses(results, first), 2)}."]


def _worst(ticket: Ticket) -> float:
    """The heaviest loss, in margins; negative."""
    return min(c.d / c.margin for c in ticket.comparisons.values() if c.margin)


def _nobody(results: Results, tickets: Sequence[Ticket]) -> str:
    fails = sum(t.measured == "fail" for t in tickets)
    passes = [
        f"{title_of(results, t)} at {percent(t.sparsity)}" for t in tickets if t.measured == "pass"
    ]
    if passes:
        who = few(passes, NAMES)
        return f"No method keeps up from its first step on, only sparser tickets do: {who}."
    if fails == len(tickets):
        densest = percent(min(t.sparsity for t in tickets))
        return (
            "No ticket keeps up with its dense twin: from "
            f"{densest} sparsity on, each is worse on at least one headline metric."
        )
    rest = count(len(tickets) - fails, "ticket")
    seeds = count(max(len(t.seeds) for t in tickets), "seed")
    return (
        f"No ticket is shown to keep up with its dense twin: {fails} of {len(tickets)} "
        f"{'is' if fails == 1 else 'are'} worse, "
        f"and for {rest} the data ({seeds}) cannot tell."
    )


def _caveats(results: Results, verdict: Verdict) -> list[str]:
    """What limits the sentences before: dimensions, failures."""
    said = []
    if verdict.unmeasured:
        unmeasured = were_not_measured(results, verdict.unmeasured)
        said.append(f"{unmeasured}, so no ticket can win everything yet.")
    unread = [m for m in results.networks if m.unread]
    waiting = [m for m in unread if set(m.unread.values()) == {NOT_RUN}]
    failed = sum(not m.readings for m in unread if m not in waiting)
    partly = sum(len(m.unread) for m in unread if m.readings and m not in waiting)
    common = [why for found in results.together.values() for why in found.unread.values()]
    partly += sum(why != NOT_RUN for why in common)
    if waiting:
        verb = "has" if len(waiting) == 1 else "have"
        said.append(f"{count(len(waiting), 'network')} {verb} not been measured in full yet.")
    lost = [count(failed, "network")] if failed else []
    lost += [count(partly, "reading")] if partly else []
    if lost:
        verb = "is" if failed + partly == 1 else "are"
        said.append(f"{listing(lost)} failed and {verb} left out.")
    return said
