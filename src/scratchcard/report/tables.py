"""The page's tables that judge and count: scorecard, first to break, and cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from scratchcard.report import words
from scratchcard.report.cells import (
    Cell,
    Table,
    column,
    gap,
    groups_of,
    named,
    reasons_of,
    row_of,
    who,
)
from scratchcard.report.numbers import sparse
from scratchcard.report.phrases import NEAR, empty_layers, members_of, what_decides
from scratchcard.results import Results
from scratchcard.verdict import Comparison, Ticket, Verdict, fails, lineup, need, no_ratio, voters
from scratchcard.verdict.sensitivity import ENOUGH, Break


def scorecard(results: Results, verdict: Verdict, setting: tuple[str, str], target: float) -> Table:
    """Methods by voting metrics at one rung: differences in units of the margin."""
    votes = voters(results)
    tickets = [t for t in verdict.tickets if (t.data, t.model, t.target) == (*setting, target)]
    tickets.sort(key=lambda t: t.method in results.controls)
    head = [Cell("Method"), Cell("Outcome")]
    head += [column(results, label, margin=True) for label in votes]
    return Table(
        " · ".join(filter(None, [named(setting, results), words.percent(target) + " sparse"])),
        (*head, Cell("Paper's rules")),
        tuple(
            row_of(results, ticket.method, _scores(results, ticket, votes)) for ticket in tickets
        ),
        f"{target:g}",
    )


def _scores(results: Results, ticket: Ticket, votes: Sequence[str]) -> Iterable[Cell]:
    title, hint = results.methods[ticket.method], words.ticket_sentence(ticket, results)
    control = ticket.method in results.controls
    far = abs(ticket.sparsity - ticket.target) >= NEAR
    yield Cell(title, sparse(ticket.sparsity) if far else "", title, hint=title)
    if control:
        yield Cell("control", "", "~", "outcome", hint)
    else:
        yield Cell(ticket.outcome, "", ticket.outcome, f"outcome {ticket.outcome}", hint)
    for label in votes:
        comparison = ticket.comparisons.get(label)
        if comparison is None:
            yield _absent(results, ticket, label)
        else:
            yield _score(results, comparison)
    yield _paper(results, ticket, control)


def _paper(results: Results, ticket: Ticket, control: bool) -> Cell:
    """The paper's rules and region; which layers are empty is a reason for region III."""
    rule = "wins all" if ticket.wins_all else "no worse" if ticket.no_worse else "loses"
    small = f"region {ticket.region}" if ticket.region else ""
    empty = empty_layers(members_of(results, ticket))
    if empty:
        small += "\ncollapsed"
    hint = f"no weights are left in {empty}" if empty else ""
    if control:
        return Cell("—", small, "~", "none", hint)
    if not (ticket.no_worse or fails(ticket, "no worse")):
        return Cell("—", small, "~", "none", hint or "not all headline metrics could be compared")
    return Cell(rule, small, rule, hint=hint)


def _score(results: Results, c: Comparison) -> Cell:
    assert c.margin is not None
    assert c.call is not None
    spec = results.metrics[c.metric]
    call = "hollow" if c.hollow else c.call
    interval = "error unknown"
    if math.isfinite(c.stderr):
        ends = (words.signed(end / c.margin) for end in (c.lo, c.hi))
        interval = f"90 % interval {' to '.join(ends)} margins"
    hint = (
        f"{spec.title}: {words.value(spec, c.sparse)} against {words.value(spec, c.dense)} of the "
        f"dense twin; {interval}, {words.count(c.seeds, 'seed')}"
    )
    if c.call == "undecided" and (decides := what_decides(need(c))):
        hint += f"; if the difference is as estimated, {decides} would decide (chance 80 %)"
    if c.hollow:
        hint += "; better, but it does not count, for accuracy does not pass"
    kind = "undecided" if c.hollow else c.call
    small = f"{call}\n{words.change(spec, c).removesuffix(' points')}"
    return Cell(f"{words.signed(c.d / c.margin)} m", small, c.d / c.margin, kind, hint)


def _absent(results: Results, ticket: Ticket, label: str) -> Cell:
    reasons = reasons_of(members_of(results, ticket), label)
    if reasons:
        return gap(reasons)
    if any(no_ratio(results, m, label) for m in members_of(results, ticket)):
        hint = "a reading is not above 0, so there is no ratio to dense"
        return Cell("n/a", "not above 0", kind="none", hint=hint)
    return Cell("—", "no dense twin", kind="none", hint="no dense twin was read")


def breaking(results: Results, setting: tuple[str, str], broken: Sequence[Break]) -> Table:
    """Where each method's mean loss crosses the margin of each voting metric."""
    votes = voters(results)
    found = [b for b in broken if (b.data, b.model) == setting]
    head = [Cell("Method"), *(column(results, label, margin=True) for label in votes)]
    rows = []
    for method in lineup(results):
        title, own = results.methods[method], {b.metric: b for b in found if b.method == method}
        first = min((b.sparsity for b in own.values()), default=math.inf)
        cells = [_break(own[label], first) if label in own else Cell("—") for label in votes]
        small = "control" if method in results.controls else ""
        rows.append(row_of(results, method, (Cell(title, small, title, hint=title), *cells)))
    return Table(named(setting, results), tuple(head), tuple(rows))


def _break(b: Break, first: float) -> Cell:
    """Where it breaks, or that it holds as far as it was read."""
    if math.isinf(b.sparsity):
        hint = "to the sparsest rung at which it was read"
        return Cell("holds", f"to {words.percent(b.end)}", 1 + b.end, hint=hint)
    ends = "" if b.lo is None or b.hi is None else words.between(b.lo, b.hi)
    what = "90 % interval" if b.seeds >= ENOUGH else "range of the seeds"
    kind = "worse" if b.sparsity == first else ""
    return Cell(words.percent(b.sparsity), ends, b.sparsity, kind, what)


def cost(results: Results, setting: tuple[str, str]) -> Table:
    """What it took to find and to train each ticket: means over seeds."""
    head = ["Network", "Sparsity", "Seeds"]
    for verb in ("find", "train"):
        head += [f"Epochs to {verb}", f"FLOPs to {verb}", f"Seconds to {verb}"]
    rows = []
    for group, members in groups_of(results, setting):
        cells = who(results, group, members)
        for budgets in ([m.find for m in members], [m.train for m in members]):
            epochs, images, flops, seconds = (
                fmean(getattr(budget, amount) for budget in budgets)
                for amount in ("epochs", "images", "flops", "seconds")
            )
            seen = f"{words.amount(images)} images" if images else ""
            cells.append(Cell(words.amount(epochs), seen, epochs))
            cells += [Cell(words.amount(spent), key=spent) for spent in (flops, seconds)]
        rows.append(row_of(results, group.method, cells))
    return Table(named(setting, results), tuple(Cell(text) for text in head), tuple(rows))
