"""What changed between two studies: readings beyond their error, and verdicts.

Cells of the same data, model, method and sparsity are compared, seed by seed where both have it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeVar

import numpy as np

from scratchcard.results import Cell, Measured, Results, Together
from scratchcard.verdict import Call, Comparison, Outcome, Region, Ticket, Verdict, voters
from scratchcard.verdict.compare import pools_of, usable
from scratchcard.verdict.paired import (
    LEVEL,
    Difference,
    Pair,
    Pool,
    Scale,
    difference,
    example_variance,
    on_scale,
)

Judged = tuple[Results, Verdict]
T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """One metric of one cell, after against before.

    Attributes:
        cell: Whose.
        comparison: ``dense`` is before and ``sparse`` after; it neither votes nor has a margin.
        p: Two-sided, of no change.
        real: Whether it is beyond the error: of all that are, 5 % at most are expected to be
            chance (Benjamini and Hochberg, 1995).
    """

    cell: Cell
    comparison: Comparison
    p: float
    real: bool = False


@dataclass(frozen=True)
class Turn:
    """A ticket whose verdict changed; each pair is before and after.

    Attributes:
        cell: The ticket.
        outcomes: Over the headline metrics that were measured.
        regions: By accuracy.
        calls: By label, of the headline metrics whose call changed, and of those that only one
            study has if they are worse there.
    """

    cell: Cell
    outcomes: tuple[Outcome, Outcome]
    regions: tuple[Region | None, Region | None]
    calls: Mapping[str, tuple[Call | None, Call | None]]


@dataclass(frozen=True)
class Changes:
    """Two studies compared.

    Attributes:
        readings: Every metric of every cell that both have read.
        turns: The tickets whose outcome, region or calls changed.
        cells: Those that only one has: before, after.
        metrics: Those that only one has: before, after.
    """

    readings: tuple[Change, ...]
    turns: tuple[Turn, ...]
    cells: tuple[tuple[Cell, ...], tuple[Cell, ...]]
    metrics: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def real(self) -> tuple[Change, ...]:
        """The readings that changed beyond their error."""
        return tuple(change for change in self.readings if change.real)


def changes(before: Judged, after: Judged) -> Changes:
    """Compare two studies on the same data."""
    (old, _), (new, _) = before, after
    found = [
        change
        for cell in old.groups
        if cell in new.groups
        for change in _readings(before, after, cell)
    ]
    return Changes(
        _marked(found),
        tuple(_turns(before, after)),
        (_only(old.groups, new.groups), _only(new.groups, old.groups)),
        (_only(old.metrics, new.metrics), _only(new.metrics, old.metrics)),
    )


def _only(these: Mapping[T, object], others: Mapping[T, object]) -> tuple[T, ...]:
    return tuple(one for one in these if one not in others)


def _marked(found: Sequence[Change]) -> tuple[Change, ...]:
    """The changes with those marked that are beyond their error."""
    from scipy import stats

    if not found:
        return ()
    adjusted = stats.false_discovery_control([change.p for change in found])
    return tuple(
        replace(change, real=bool(p <= LEVEL)) for change, p in zip(found, adjusted, strict=True)
    )


def _readings(before: Judged, after: Judged, cell: Cell) -> Iterator[Change]:
    (old, _), (new, _) = before, after
    for label, spec in old.metrics.items():
        if label not in new.metrics:
            continue
        pairs, same = _pairs(old, new, cell, label)
        if not pairs:
            continue
        if same:
            estimate = _of_the_same(pairs, better=spec.better == "higher", scale=spec.scale)
        else:
            pools = (_pool(before, cell, label), _pool(after, cell, label))
            estimate = difference(pairs, better=spec.better, scale=spec.scale, pools=pools)
        mean = [fmean(pair[side].value for pair in pairs) for side in (0, 1)]
        lo, hi = estimate.interval()
        seeds = len(old.groups[cell]) if spec.scope == "group" else len(pairs)
        comparison = Comparison(
            label, mean[0], mean[1], estimate.d, estimate.stderr, lo, hi, None, None, seeds
        )
        p = min(1.0, 2 * min(estimate.p_worse(), estimate.p_better()))
        yield Change(cell, comparison, p)


def _pairs(old: Results, new: Results, cell: Cell, label: str) -> tuple[list[Pair], bool]:
    """Readings before and after that can be compared; whether they are of the same networks."""
    spec = old.metrics[label]
    both: list[tuple[Measured | Together, Measured | Together]]
    if spec.scope == "group":
        sides = [results.together[cell] for results in (old, new) if cell in results.together]
        both, same = [(sides[0], sides[1])] if len(sides) == 2 else [], False
    else:
        later = {m.network.seed: m for m in new.groups[cell]}
        shared = [m for m in old.groups[cell] if m.network.seed in later]
        both = [(m, later[m.network.seed]) for m in shared]
        same = all(m.network.weights == later[m.network.seed].network.weights for m in shared)
    read = [(usable(a, spec, label), usable(b, spec, label)) for a, b in both]
    return [(a, b) for a, b in read if a and b], same


def _of_the_same(pairs: Sequence[Pair], *, better: bool, scale: Scale) -> Difference:
    """The same networks read twice: only how their differences vary is uncertain."""
    old, new = (on_scale([pair[side].value for pair in pairs], scale) for side in (0, 1))
    moved = (new - old) * (1 if better else -1)
    k = len(moved)
    if not np.any(moved):
        return Difference(0.0, 0.0, math.inf)
    if k == 1:
        return Difference(float(moved[0]), math.sqrt(example_variance(pairs, scale)), math.inf)
    return Difference(float(moved.mean()), float(moved.std(ddof=1)) / math.sqrt(k), k - 1.0)


def _pool(judged: Judged, cell: Cell, label: str) -> Pool:
    """What the cells of the same setting and region say about the variance over seeds."""
    results, verdict = judged
    regions: dict[Cell, Region | None] = {_cell(t): t.region for t in verdict.tickets}
    own = regions.get(cell, "I")
    alike = [
        other
        for other in results.groups
        if other[:2] == cell[:2] and regions.get(other, "I") == own
    ]
    return pools_of(results, alike)[label]


def _cell(ticket: Ticket) -> Cell:
    return Cell(ticket.data, ticket.model, ticket.method, ticket.target)


def _turns(before: Judged, after: Judged) -> Iterator[Turn]:
    later = {_cell(ticket): ticket for ticket in after[1].tickets}
    votes = dict.fromkeys((*voters(before[0]), *voters(after[0])))
    shared = [label for label in votes if label in voters(before[0]) and label in voters(after[0])]
    for old in before[1].tickets:
        new = later.get(_cell(old))
        if new is None:
            continue
        pairs = {label: (_call(old, label), _call(new, label)) for label in votes}
        calls = {
            label: pair
            for label, pair in pairs.items()
            if pair[0] != pair[1] and (label in shared or "worse" in pair)
        }
        turn = Turn(_cell(old), (old.measured, new.measured), (old.region, new.region), calls)
        if calls or old.measured != new.measured or old.region != new.region:
            yield turn


def _call(ticket: Ticket, label: str) -> Call | None:
    comparison = ticket.comparisons.get(label)
    return comparison.call if comparison is not None else None
