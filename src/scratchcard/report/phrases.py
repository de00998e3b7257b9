"""One ticket in words: what it is, how it did, and why, and the clauses that other sentences use.

A control is described, never judged: it neither passes nor fails, and beats nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scratchcard.contracts import VOTING, Dimension
from scratchcard.report.numbers import count, listing, moved, percent, sparse
from scratchcard.results import NOT_RUN, Cell, Measured, Results
from scratchcard.verdict import Comparison, Need, Ticket, need_of_ticket, no_ratio, voters
from scratchcard.verdict.power import Supposed

DIMENSIONS: Mapping[Dimension, str] = {
    "generalisation": "generalisation",
    "calibration": "calibration",
    "interpretability": "interpretability",
    "landscape": "loss landscape",
}
SUPPOSED: tuple[Supposed, Supposed] = ("estimated", "equal")
NEAR = 0.0005
"""A sparsity this close to its target prints like it."""


def ticket_sentence(ticket: Ticket, results: Results) -> str:
    """One ticket: what it is, how it did, and why; layers without weights are named."""
    k = len(ticket.seeds)
    if not voters(results):
        return f"{title_of(results, ticket)}: no headline metric was measured."
    who = f"{title_of(results, ticket)} at {_where(ticket)}"
    if k == 0:
        return f"{who}: {_nothing(members_of(results, ticket))}, so there is nothing to judge."
    if ticket.method in results.controls:
        who += ", a control"
    if k == 1:
        who += " (one seed: these two networks, not the method)"
    said = _described if ticket.method in results.controls else _judged
    empty = empty_layers(members_of(results, ticket))
    gone = f" No weights are left in {empty}." if empty else ""
    return f"{who}: {said(ticket, results)}{gone}"


def title_of(results: Results, ticket: Ticket) -> str:
    """The method as printed."""
    return results.methods.get(ticket.method, ticket.method)


def members_of(results: Results, ticket: Ticket) -> tuple[Measured, ...]:
    """The networks of a ticket, one a seed."""
    return results.groups[Cell(ticket.data, ticket.model, ticket.method, ticket.target)]


def empty_layers(members: Iterable[Measured]) -> str:
    """Layers without a single weight in any of the networks, by name; empty if there are none."""
    layers = sorted({layer for member in members for layer in member.collapsed})
    return listing(layers) if layers else ""


def losses(results: Results, ticket: Ticket) -> list[str]:
    """``accuracy 2.3 points lower``, the heaviest loss (in margins) first."""
    lost = [c for c in ticket.comparisons.values() if c.call == "worse"]
    return [_moved(results, c) for c in sorted(lost, key=lambda c: c.d / (c.margin or 1))]


def wins(results: Results, ticket: Ticket, *, hollow: bool) -> list[str]:
    """``accuracy 0.8 points higher``; hollow ones do not count, for accuracy does not pass."""
    won = [c for c in ticket.comparisons.values() if c.call == "better" and c.hollow == hollow]
    return [_moved(results, c) for c in won]


def doubt(results: Results, ticket: Ticket) -> str:
    """Why the data cannot tell."""
    members = members_of(results, ticket)
    votes = {label: ticket.comparisons.get(label) for label in voters(results)}
    doubtful = [k for k, c in votes.items() if c is not None and not c.safe]
    absent = [k for k, c in votes.items() if c is None]
    strange = [k for k in absent if any(k in member.silent for member in members)]
    below = _below(results, ticket)
    unread = [k for k in absent if k not in (*strange, *below)]
    said = []
    if doubtful:
        said.append(f"a loss is not ruled out on {_titles(results, doubtful)}")
    if unread:
        said.append(f"there is no reading of {_titles(results, unread)}")
    if strange:
        verb = "does" if len(strange) == 1 else "do"
        said.append(f"{_titles(results, strange)} {verb} not apply to it")
    if below:
        said.append(f"{_titles(results, below)} can only be compared above 0")
    if len(ticket.seeds) < len(members):
        said.append("not all of its seeds could be compared")
    return listing(said)


def _below(results: Results, ticket: Ticket) -> list[str]:
    """The voters of which some seeds have no ratio to dense."""
    members = members_of(results, ticket)
    return [k for k in voters(results) if any(no_ratio(results, m, k) for m in members)]


def what_decides(need: Need) -> str:
    """What would decide with a chance of 80 %; empty where nothing that is known would.

    >>> what_decides(Need(seeds=13, images=6.58, both=2.6))
    '13 seeds in all or 6.6 times as many test images'
    >>> what_decides(Need(seeds=None, images=None, both=123.4))
    '120 times as many seeds and test images'
    """
    ways = [f"{count(need.seeds, 'seed')} in all"] if need.seeds is not None else []
    if need.images is not None:
        ways.append(f"{_two_digits(need.images)} times as many test images")
    if not ways and need.both is not None:
        ways.append(f"{_two_digits(need.both)} times as many seeds and test images")
    return " or ".join(ways)


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):g}"


def touched(results: Results, dimension: Dimension) -> bool:
    """Whether the study has any metric of a dimension, if only one that does not vote."""
    return any(spec.dimension == dimension for spec in results.metrics.values())


def were_not_measured(results: Results, dimensions: Sequence[Dimension]) -> str:
    """``Interpretability was not measured, and no voting metric of calibration was measured``."""
    nothing = [DIMENSIONS[d] for d in dimensions if not touched(results, d)]
    silent = [DIMENSIONS[d] for d in dimensions if touched(results, d)]
    said = []
    if nothing:
        said.append(f"{listing(nothing)} {'was' if len(nothing) == 1 else 'were'} not measured")
    if silent:
        either = " or ".join(filter(None, [", ".join(silent[:-1]), silent[-1]]))
        said.append(f"no voting metric of {either} was measured")
    text = ", and ".join(said)
    return text[0].upper() + text[1:]


def _where(ticket: Ticket) -> str:
    """``59 % sparsity``, and the rung that it stands for where that is another."""
    if not ticket.sparsity:
        return f"the step of {percent(ticket.target)}, all weights kept"
    said = f"{sparse(ticket.sparsity)} sparsity"
    near = abs(ticket.sparsity - ticket.target) < NEAR
    return said if near else f"{said} (for {percent(ticket.target)})"


def _judged(ticket: Ticket, results: Results) -> str:
    said = _outcome(ticket, results)
    won = wins(results, ticket, hollow=False)
    if won:
        said += f"; better: {listing(won)}"
    hollow = wins(results, ticket, hollow=True)
    if hollow:
        said += f"; not counted as a win, for accuracy does not pass: {listing(hollow)}"
    partly = [
        label
        for label in voters(results)
        if (c := ticket.comparisons.get(label)) and c.seeds < len(ticket.seeds)
    ]
    if partly:
        said += f"; not every seed could be compared on {_titles(results, partly)}"
    return f"{said}.{_fate(ticket, results)}{_needed(ticket, results)}"


def _needed(ticket: Ticket, results: Results) -> str:
    """What it takes to decide a ticket that is undecided for want of precision alone."""
    if ticket.measured != "undecided" or len(ticket.seeds) < 2:
        return ""
    lacking = any(label not in ticket.comparisons for label in voters(results))
    some = len(ticket.seeds) < len(members_of(results, ticket))
    if lacking or some or _below(results, ticket):
        return ""
    found, equal = (what_decides(need_of_ticket(ticket, s)) for s in SUPPOSED)
    if not found:
        return ""
    also = f" ({equal} if there are no differences)" if equal else ""
    return (
        f" If the differences are as estimated, {found} would decide, with a chance of about 80 %"
        f"{also}."
    )


def _nothing(members: Sequence[Measured]) -> str:
    """Why not a single network could be compared."""
    if any(member.readings for member in members):
        return "no network could be compared with its dense twin"
    if {why for member in members for why in member.unread.values()} == {NOT_RUN}:
        return "it has not been measured yet"
    return "every network failed"


def _outcome(ticket: Ticket, results: Results) -> str:
    if ticket.measured == "fail":
        return f"fails, {listing(losses(results, ticket))}"
    if ticket.measured == "pass":
        kept = [DIMENSIONS[d] for d in VOTING if ticket.dimensions[d] is not None]
        return f"passes on the {count(len(kept), 'dimension')} measured ({listing(kept)})"
    return f"undecided, for {doubt(results, ticket)}"


def _fate(ticket: Ticket, results: Results) -> str:
    """Why a ticket that passes what was measured does not pass as a whole."""
    unmeasured = [d for d in VOTING if ticket.dimensions[d] is None]
    if ticket.measured != "pass" or not unmeasured:
        return ""
    return f" {were_not_measured(results, unmeasured)}, so LTH-PASS is undecided."


def _described(ticket: Ticket, results: Results) -> str:
    """How a control differs from the dense network, both ways, and no more."""
    called = [c for c in ticket.comparisons.values() if c.call in ("better", "worse")]
    if not called:
        return "no metric is shown to differ from dense by its margin."
    return f"against dense, {listing(_moved(results, c) for c in called)}."


def _moved(results: Results, c: Comparison) -> str:
    spec = results.metrics[c.metric]
    return f"{spec.title} {moved(spec, c)}"


def _titles(results: Results, labels: Sequence[str]) -> str:
    return listing(results.metrics[label].title for label in labels)
