"""Who goes how far, by which rule and for what price, and which metrics give way first: tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scratchcard.report import words
from scratchcard.report.cells import Cell, Row, Table, named, row_of
from scratchcard.report.phrases import DIMENSIONS
from scratchcard.results import Results
from scratchcard.verdict import (
    Affordable,
    Break,
    Cost,
    Reach,
    Rule,
    Verdict,
    at_equal_budget,
    costs,
    longest,
    ranking,
    reaches,
    wins_at_once,
)
from scratchcard.verdict.sensitivity import ENOUGH

RULES: Mapping[Rule, str] = {
    "passes": "no loss of a margin, errors counted",
    "no worse": "means within the margin",
    "wins all": "means at least as good as dense",
}
BUDGETS = 6
"""Prices that a table has room for; of more the ends and some between are shown."""


def reach(results: Results, verdict: Verdict, setting: tuple[str, str]) -> Table | None:
    """How far each method goes by three rules, and what its sparsest ticket costs."""
    own = [r for r in reaches(results, verdict) if (r.data, r.model) == setting]
    if not own:
        return None
    prices = {
        method: max((c for c in costs(results) if c.cell[:3] == (*setting, method)), key=_target)
        for method in {c.cell.method for c in costs(results) if c.cell[:2] == setting}
    }
    rows = []
    for method in dict.fromkeys(r.method for r in own):
        title = results.methods[method]
        cells = [Cell(title, _control(results, method), title, hint=title)]
        cells += [_reach(r) for rule in RULES for r in own if (r.method, r.rule) == (method, rule)]
        price = prices.get(method)
        cells.append(_price(price) if price else Cell("—", kind="none"))
        rows.append(row_of(results, method, cells))
    head = [Cell("Method"), *(Cell(rule.capitalize(), RULES[rule]) for rule in RULES)]
    head.append(Cell("Cost of the sparsest", "in dense trainings"))
    return Table(named(setting, results), tuple(head), tuple(rows))


def _target(cost: Cost) -> float:
    return cost.cell.target


def _control(results: Results, method: str) -> str:
    return "control" if method in results.controls else ""


def _reach(r: Reach) -> Cell:
    if not r.seeds:
        return Cell("—", kind="none", hint="no network could be compared")
    small, said = "", []
    if r.lo is not None and r.hi is not None and {r.lo, r.hi} != {r.sparsity}:
        small = words.between(r.lo, r.hi) if r.lo < r.hi else _percent(r.lo)
        several = r.seeds >= ENOUGH
        said.append("90 % interval over resampled seeds" if several else "range of the seeds")
    if math.isfinite(r.refuted):
        said.append(f"first fails at {words.percent(r.refuted)}")
    kind = "" if r.sparsity else "none"
    return Cell(_percent(r.sparsity), small, r.sparsity, kind, "; ".join(said))


def _percent(sparsity: float) -> str:
    return words.percent(sparsity) if sparsity else "none"


def _price(cost: Cost) -> Cell:
    hint = f"finding and training, in training images; {cost.flops:.3g} in FLOPs"
    return Cell(f"{cost.images:.3g}", f"{words.percent(cost.cell.target)}", cost.images, hint=hint)


def budgets(results: Results, verdict: Verdict, setting: tuple[str, str]) -> Table | None:
    """How far methods go for the same number of training images: who passes, and by means alone.

    None where all tickets cost the same, or none goes anywhere.
    """
    own = [a for a in at_equal_budget(results, verdict) if (a.data, a.model) == setting]
    prices = _some(sorted({a.budget for a in own}))
    if len(prices) < 2 or not any(a.sparsity for a in own):
        return None
    rows = [
        row_of(results, method, _bought(results, method, own, prices))
        for method in dict.fromkeys(a.method for a in own)
    ]
    head = [Cell("Method"), *(Cell(f"{price:.3g}") for price in prices)]
    return Table(named(setting, results), tuple(head), tuple(rows))


def _some(prices: Sequence[float]) -> list[float]:
    """At most ``BUDGETS`` of them, both ends among them."""
    last = len(prices) - 1
    if last < BUDGETS:
        return list(prices)
    return [prices[round(i * last / (BUDGETS - 1))] for i in range(BUDGETS)]


def _bought(
    results: Results, method: str, own: Sequence[Affordable], prices: Sequence[float]
) -> list[Cell]:
    title = results.methods[method]
    cells = [Cell(title, _control(results, method), title, hint=title)]
    for price in prices:
        far = {a.rule: a.sparsity for a in own if (a.method, a.budget) == (method, price)}
        passes, means = far["passes"], far["no worse"]
        if passes is None or means is None:
            cells.append(
                Cell("—", kind="none", hint="it buys no ticket of this method that was read")
            )
        else:
            kind = "" if passes or means else "none"
            cells.append(Cell(_percent(passes), f"means {_percent(means)}", passes, kind))
    return cells


def sensitive(results: Results, found: Sequence[Break], setting: tuple[str, str]) -> Table | None:
    """Metrics, the first to give way first, and the methods that each holds longest with."""
    ranks = [s for s in ranking(results, found) if (s.data, s.model) == setting]
    if not ranks:
        return None
    holders = {
        one.metric: one for one in longest(results, found) if (one.data, one.model) == setting
    }
    rows = []
    for s in ranks:
        spec, holder = results.metrics[s.metric], holders.get(s.metric)
        where = "holds" if math.isinf(s.sparsity) else words.percent(s.sparsity)
        cells = [
            Cell(spec.title, DIMENSIONS.get(spec.dimension, spec.dimension), spec.title),
            Cell(f"{s.rank:.1f}", key=s.rank),
            Cell(where, key=min(s.sparsity, 2.0)),
            Cell(f"{s.broken} of {s.methods}", key=s.broken),
        ]
        if holder is None:
            cells += [Cell("—", kind="none left"), Cell("—", kind="none")]
        else:
            names = words.few([results.methods[m] for m in holder.methods], 3)
            end = "or beyond" if holder.open else ""
            cells += [
                Cell(names, "", names, "left"),
                Cell(words.percent(holder.sparsity), end, holder.sparsity),
            ]
        rows.append(Row(tuple(cells)))
    head = [Cell(text) for text in ("Metric", "Mean place", "Breaks at", "Broken by")]
    head += [Cell("Holds longest with", kind="left"), Cell("To")]
    return Table(named(setting, results), tuple(head), tuple(rows))


def winners(results: Results, verdict: Verdict) -> list[str]:
    """The tickets that beat dense on several dimensions at once, in words."""
    said = []
    for win in wins_at_once(results, verdict):
        ticket = win.ticket
        who = f"{results.methods[ticket.method]} at {words.percent(ticket.sparsity)}"
        setting = named((ticket.data, ticket.model), results)
        on = words.listing(DIMENSIONS[d] for d in win.won)
        best = words.few([results.metrics[c.metric].title for c in win.evidence], 3)
        lost = f"; worse on {words.listing(DIMENSIONS[d] for d in win.lost)}" if win.lost else ""
        said.append(f"{who}{f' on {setting}' if setting else ''}: better on {on} ({best}){lost}.")
    return said
