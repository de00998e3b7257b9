"""Each metric of a ticket against its dense twins: better, matches, worse, or undecided.

A call rests on an interval and on a margin that was declared beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from scratchcard.contracts import VOTING, Reading
from scratchcard.results import Cell, Measured, Results
from scratchcard.verdict.paired import LEVEL, Difference, Pair, Pool, difference, holm

Call = Literal["better", "matches", "worse", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """One metric of one ticket against its dense twins, over seeds.

    ``d``, ``lo``, ``hi`` and ``margin`` are in the metric's scale (a difference, or a log ratio),
    oriented so that more is better.

    Attributes:
        metric: Label.
        dense: Mean reading of the dense twins.
        sparse: Mean reading of the tickets.
        d: Mean difference.
        stderr: Its standard error, over seeds and examples.
        lo: Lower end of the two-sided 90 % interval of ``d``.
        hi: Upper end.
        margin: What matters; None for metrics that do not vote.
        call: The rule's answer; None for metrics that do not vote.
        seeds: How many pairs of networks.
        hollow: Better, but accuracy does not pass: a win that does not count.
    """

    metric: str
    dense: float
    sparse: float
    d: float
    stderr: float
    lo: float
    hi: float
    margin: float | None
    call: Call | None
    seeds: int
    hollow: bool = False

    @property
    def safe(self) -> bool:
        """Whether a loss of a whole margin is ruled out: what a pass asks of every metric."""
        return self.margin is not None and self.lo > -self.margin


def voters(results: Results) -> tuple[str, ...]:
    """The metrics that vote: headline ones of the paper's four dimensions.

    A pair metric never votes, for it has no reading of the dense network to compare with.
    """
    return tuple(
        label
        for label, spec in results.metrics.items()
        if label in results.margins and spec.dimension in VOTING and spec.scope == "network"
    )


def contenders(results: Results) -> tuple[str, ...]:
    """The methods that the verdict speaks of: all but the controls."""
    return tuple(label for label in results.methods if label not in results.controls)


def lineup(results: Results) -> tuple[str, ...]:
    """Every method, in the order in which they are shown: the contenders, then the controls."""
    return (*contenders(results), *(m for m in results.methods if m in results.controls))


def accuracy_label(results: Results) -> str | None:
    """The label of plain test accuracy in this study."""
    labels = (label for label, spec in results.metrics.items() if spec.name == "accuracy")
    return next(labels, None)


def compare(
    results: Results, members: Sequence[Measured], alike: tuple[Sequence[Cell], Sequence[Cell]]
) -> dict[str, Comparison]:
    """Every metric that was read of a ticket and of its twins.

    Args:
        results: The study.
        members: The ticket's networks, one per seed.
        alike: The cells whose networks vary over seeds as the dense twins do, and as the ticket's.
    """
    pairs = {label: pairs_of(results, members, label) for label in results.metrics}
    differences = {
        label: difference(
            pairs[label],
            better=spec.better,
            scale=spec.scale,
            pools=(pool_of(results, alike[0], label), pool_of(results, alike[1], label)),
        )
        for label, spec in results.metrics.items()
        if pairs[label]
    }
    votes = {label: differences[label] for label in voters(results) if label in differences}
    calls = _calls(votes, results.margins)
    comparisons = {}
    for label, estimate in differences.items():
        lo, hi = estimate.interval()
        comparisons[label] = Comparison(
            metric=label,
            dense=fmean(dense.value for dense, _ in pairs[label]),
            sparse=fmean(sparse.value for _, sparse in pairs[label]),
            d=estimate.d,
            stderr=estimate.stderr,
            lo=lo,
            hi=hi,
            margin=results.margins[label] if label in calls else None,
            call=calls.get(label),
            seeds=len(pairs[label]),
        )
    return _mark_hollow(comparisons, accuracy_label(results))


def _mark_hollow(comparisons: dict[str, Comparison], accuracy: str | None) -> dict[str, Comparison]:
    """A constant predictor is well calibrated, flat and stable: without accuracy no win counts."""
    if accuracy in comparisons and comparisons[accuracy].safe:
        return comparisons
    return {
        label: replace(c, hollow=c.call == "better" and label != accuracy)
        for label, c in comparisons.items()
    }


def _calls(differences: Mapping[str, Difference], margins: Mapping[str, float]) -> dict[str, Call]:
    """The rule, metric by metric; the tests share their level over the ticket (Holm)."""
    worse = holm([estimate.p_worse() for estimate in differences.values()])
    better = holm([estimate.p_better() for estimate in differences.values()])
    calls: dict[str, Call] = {}
    for (label, estimate), p_worse, p_better in zip(
        differences.items(), worse, better, strict=True
    ):
        (lo, hi), margin = estimate.interval(), margins[label]
        if lo > -margin and hi < margin:
            calls[label] = "matches"
        elif lo <= -margin and p_worse <= LEVEL:
            calls[label] = "worse"
        elif hi >= margin and p_better <= LEVEL:
            calls[label] = "better"
        else:
            calls[label] = "undecided"
    return calls


def pairs_of(results: Results, members: Iterable[Measured], label: str) -> list[Pair]:
    """The finite readings of dense and sparse, of the seeds where both are there."""
    twins = ((results.twin(measured.network), measured) for measured in members)
    read = ((twin and _finite(twin, label), _finite(sparse, label)) for twin, sparse in twins)
    return [(dense, sparse) for dense, sparse in read if dense and sparse]


def _finite(measured: Measured, label: str) -> Reading | None:
    reading = measured.readings.get(label)
    return reading if reading is not None and math.isfinite(reading.value) else None


def values_of(members: Iterable[Measured], label: str) -> list[float]:
    """The finite readings of a metric, one per seed that has it."""
    readings = (_finite(measured, label) for measured in members)
    return [reading.value for reading in readings if reading is not None]


def pool_of(results: Results, cells: Iterable[Cell], label: str) -> Pool:
    """What the networks of ``cells`` say about the metric's variance over seeds."""
    groups = (values_of(results.groups[cell], label) for cell in cells)
    return Pool.of(groups, results.metrics[label].scale)
