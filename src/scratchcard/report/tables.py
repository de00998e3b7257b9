"""The page's tables as text: scorecard, numbers and cost.

A cell carries what is printed, what it is sorted by, and how it is coloured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scratchcard.contracts import Reading
from scratchcard.report import words
from scratchcard.report.numbers import sparse
from scratchcard.report.phrases import NEAR, empty_layers, members_of
from scratchcard.results import NOT_APPLICABLE, NOT_RUN, Measured, Results
from scratchcard.results import Cell as Group
from scratchcard.verdict import Comparison, Ticket, Verdict, lineup, voters
from scratchcard.verdict.sensitivity import ENOUGH, Break, breaks


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller second line, a sort key (None sorts last), a class, a tooltip."""

    text: str
    small: str = ""
    key: float | str | None = None
    kind: str = ""
    hint: str = ""

    @property
    def sort(self) -> str:
        """The sort key as an attribute; empty for cells that stay at the end."""
        return "" if self.key is None else str(self.key)


@dataclass(frozen=True)
class Row:
    """A row; its first cell is its header."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its heading cells; ``rung`` names the scorecard's sparsity."""

    caption: str
    head: tuple[Cell, ...]
    rows: tuple[Row, ...]
    rung: str = ""


def named(setting: tuple[str, str], results: Results) -> str:
    """``digits · mlp``, or nothing where a study has a single setting."""
    return " · ".join(setting) if len(results.settings) > 1 else ""


def scorecard(results: Results, verdict: Verdict, setting: tuple[str, str], target: float) -> Table:
    """Methods by voting metrics at one rung: differences in units of the margin."""
    votes = voters(results)
    tickets = [t for t in verdict.tickets if (t.data, t.model, t.target) == (*setting, target)]
    tickets.sort(key=lambda t: t.method in results.controls)
    head = [Cell("Method"), Cell("Outcome")]
    head += [_column(results, label, margin=True) for label in votes]
    return Table(
        " · ".join(filter(None, [named(setting, results), words.percent(target) + " sparse"])),
        (*head, Cell("Paper's rules")),
        tuple(
            Row(tuple(_scores(results, ticket, votes)), _kind(results, ticket.method))
            for ticket in tickets
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
    return Cell("—", small, "~", "none", hint) if control else Cell(rule, small, rule, hint=hint)


def _score(results: Results, c: Comparison) -> Cell:
    assert c.margin is not None
    assert c.call is not None
    spec = results.metrics[c.metric]
    call = "better, but hollow" if c.hollow else c.call
    hint = (
        f"{spec.title}: {words.value(spec, c.sparse)} against {words.value(spec, c.dense)} of the "
        f"dense twin; 90 % interval {c.lo / c.margin:+.1f} to {c.hi / c.margin:+.1f} margins, "
        f"{words.count(c.seeds, 'seed')}"
    )
    if c.hollow:
        hint += "; it does not count, for accuracy does not pass"
    kind = "undecided" if c.hollow else c.call
    small = f"{call}\n{words.change(spec, c).removesuffix(' points')}"
    return Cell(f"{words.signed(c.d / c.margin)} m", small, c.d / c.margin, kind, hint)


def _absent(results: Results, ticket: Ticket, label: str) -> Cell:
    reasons = _reasons(members_of(results, ticket), label)
    return _gap(reasons) if reasons else Cell("—", "no dense twin", kind="none")


def _gap(reasons: Sequence[str]) -> Cell:
    """A cell without a number: not applicable, not run, or failed."""
    why = "; ".join(reasons)
    if all(reason.startswith(NOT_APPLICABLE) for reason in reasons):
        return Cell("n/a", kind="none", hint=why)
    if set(reasons) == {NOT_RUN}:
        return Cell("not run", kind="none", hint=why)
    return Cell("failed", _short(why), kind="failed", hint=why)


def breaking(results: Results, setting: tuple[str, str]) -> Table:
    """Where each method's mean loss crosses the margin of each voting metric."""
    votes = voters(results)
    found = [b for b in breaks(results) if (b.data, b.model) == setting]
    head = [Cell("Method"), *(_column(results, label, margin=True) for label in votes)]
    rows = []
    for method in lineup(results):
        title, own = results.methods[method], {b.metric: b for b in found if b.method == method}
        first = min((b.sparsity for b in own.values()), default=math.inf)
        last = max((g.target for g in results.groups if g.method == method), default=0.0)
        cells = [_break(own[label], first, last) if label in own else Cell("—") for label in votes]
        small = "control" if method in results.controls else ""
        rows.append(Row((Cell(title, small, title, hint=title), *cells), _kind(results, method)))
    return Table(named(setting, results), tuple(head), tuple(rows))


def _break(b: Break, first: float, last: float) -> Cell:
    """Where it breaks, or that it holds to ``last``, the method's sparsest rung."""
    if math.isinf(b.sparsity):
        return Cell("holds", f"to {words.percent(last)}", 1 + last, hint="to its sparsest rung")
    ends = [] if b.lo is None or b.hi is None else [b.lo, b.hi]
    shown = ["beyond" if math.isinf(end) else words.percent(end) for end in ends]
    what = "90 % interval" if b.seeds >= ENOUGH else "range of the seeds"
    kind = "worse" if b.sparsity == first else ""
    return Cell(words.percent(b.sparsity), " to ".join(shown), b.sparsity, kind, what)


def numbers(results: Results, setting: tuple[str, str]) -> Table:
    """Every network, mean over seeds, by every metric."""
    labels = list(results.metrics)
    groups = _groups(results, setting)
    head = [Cell("Network"), Cell("Sparsity"), Cell("Seeds")]
    read = {
        label: [m.readings[label] for _, members in groups for m in members if label in m.readings]
        for label in labels
    }
    return Table(
        named(setting, results),
        (*head, *(_column(results, label, small=_counts(read[label])) for label in labels)),
        tuple(
            Row(
                (*_who(results, group, members), *(_mean(results, members, k) for k in labels)),
                _kind(results, group.method),
            )
            for group, members in groups
        ),
    )


def _groups(results: Results, setting: tuple[str, str]) -> list[tuple[Group, tuple[Measured, ...]]]:
    """The networks of a setting: dense, contenders, controls."""
    groups = [(g, m) for g, m in results.groups.items() if (g.data, g.model) == setting]
    return sorted(groups, key=lambda one: one[0].method in results.controls)


def _kind(results: Results, method: str) -> str:
    """The class of a row."""
    return "dense" if method == "dense" else "control" if method in results.controls else ""


def _who(results: Results, group: Group, members: Sequence[Measured]) -> list[Cell]:
    title = results.methods.get(group.method, "Dense twin")
    control = "control" if group.method in results.controls else ""
    sparsity = fmean(m.sparsity for m in members)
    far = abs(sparsity - group.target) >= NEAR
    own = sparse(sparsity) if group.target else words.percent(sparsity)
    rung = f"for {words.percent(group.target)}" if far else ""
    return [
        Cell(title, control, title, hint=title),
        Cell(own, rung, fmean(m.position for m in members)),
        Cell(str(len(members)), key=len(members)),
    ]


def _mean(results: Results, members: Sequence[Measured], label: str) -> Cell:
    spec = results.metrics[label]
    readings = [m.readings[label] for m in members if _finite(m, label)]
    reasons = _reasons(members, label)
    if not readings:
        if not reasons:
            return Cell("—", kind="none", hint="a pair metric compares with the dense twin")
        return _gap(reasons)
    values = [r.value for r in readings]
    if len(values) > 1:
        error, over = stdev(values) / math.sqrt(len(values)), "over seeds"
    else:
        error, over = readings[0].stderr, "over examples"
    mean = fmean(values)
    small = f"{len(values)} of {words.count(len(members), 'seed')}" if reasons else ""
    hint = f"{words.count(len(values), 'network')} of {_counts(readings)}; standard error {over}"
    if reasons:
        hint += f"; missing: {'; '.join(reasons)}"
    return Cell(words.value(spec, mean, error), small, mean, hint=hint)


def cost(results: Results, setting: tuple[str, str]) -> Table:
    """What it took to find and to train each ticket: means over seeds."""
    head = ["Network", "Sparsity", "Seeds"]
    for verb in ("find", "train"):
        head += [f"Epochs to {verb}", f"FLOPs to {verb}", f"Seconds to {verb}"]
    rows = []
    for group, members in _groups(results, setting):
        cells = _who(results, group, members)
        for budgets in ([m.find for m in members], [m.train for m in members]):
            epochs, images, flops, seconds = (
                fmean(getattr(budget, amount) for budget in budgets)
                for amount in ("epochs", "images", "flops", "seconds")
            )
            seen = f"{words.amount(images)} images" if images else ""
            cells.append(Cell(words.amount(epochs), seen, epochs))
            cells += [Cell(words.amount(spent), key=spent) for spent in (flops, seconds)]
        rows.append(Row(tuple(cells), _kind(results, group.method)))
    return Table(named(setting, results), tuple(Cell(text) for text in head), tuple(rows))


def _column(results: Results, label: str, *, margin: bool = False, small: str = "") -> Cell:
    """The heading of a metric: title, arrow for better, a dagger where it can mislead."""
    spec = results.metrics[label]
    arrow = "↑" if spec.better == "higher" else "↓"
    dagger = "\N{NO-BREAK SPACE}†" if spec.caution else ""
    unit = " %" if spec.unit == "fraction" and not margin else ""
    if margin:
        small = f"m = {words.margin(spec, results.margins[label])}"
    return Cell(f"{spec.title}\N{NO-BREAK SPACE}{arrow}{unit}{dagger}", small, hint=spec.caution)


def _counts(readings: Iterable[Reading]) -> str:
    counts = sorted({reading.n for reading in readings})
    return (
        f"n = {counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "") if counts else ""
    )


def _finite(m: Measured, label: str) -> bool:
    return label in m.readings and math.isfinite(m.readings[label].value)


def _reasons(members: Iterable[Measured], label: str) -> list[str]:
    """Why readings are absent, each reason once."""
    found = {m.missing[label] for m in members if label in m.missing}
    if any(label in m.readings and not _finite(m, label) for m in members):
        found.add("the reading is not finite")
    return sorted(found)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
