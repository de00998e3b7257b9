"""Each metric of a ticket against its dense twins: better, matches, worse, or undecided.

A call rests on an interval and on a margin that was declared beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from scratchcard.contracts import VOTING, MetricSpec, Reading
from scratchcard.results import Cell, Measured, Results, Together
from scratchcard.verdict.paired import LEVEL, Difference, Noise, Pair, Pool, difference, holm

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
        noise: What ``stderr`` is made of.
        tests: How many of the ticket's metrics share the level with this one, for "worse" and for
            "better": those that Holm has not yet rejected.
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
    noise: Noise | None = None
    tests: tuple[int, int] = (1, 1)

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
    results: Results,
    members: Sequence[Measured],
    pools: tuple[Mapping[str, Pool], Mapping[str, Pool]],
) -> dict[str, Comparison]:
    """Every metric that was read of a ticket and of its twins.

    Args:
        results: The study.
        members: The ticket's networks, one per seed.
        pools: By label, how networks like the dense twins vary over seeds, and like the ticket's.
    """
    pairs = {label: pairs_of(results, members, label) for label in results.metrics}
    differences = {
        label: difference(
            pairs[label],
            better=spec.better,
            scale=spec.scale,
            pools=(pools[0][label], pools[1][label]),
        )
        for label, spec in results.metrics.items()
        if pairs[label]
    }
    votes = {label: differences[label] for label in voters(results) if label in differences}
    tests = _Tests(votes)
    calls = _calls(votes, tests, results.margins)
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
            noise=estimate.noise,
            tests=tests.left if label in calls else (1, 1),
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


def _calls(
    differences: Mapping[str, Difference], tests: _Tests, margins: Mapping[str, float]
) -> dict[str, Call]:
    """The rule, metric by metric."""
    calls: dict[str, Call] = {}
    for label, estimate in differences.items():
        (lo, hi), margin = estimate.interval(), margins[label]
        if lo > -margin and hi < margin:
            calls[label] = "matches"
        elif lo <= -margin and tests.worse[label] <= LEVEL:
            calls[label] = "worse"
        elif hi >= margin and tests.better[label] <= LEVEL:
            calls[label] = "better"
        else:
            calls[label] = "undecided"
    return calls


class _Tests:
    """The p values of a ticket's metrics, which share their level (Holm)."""

    def __init__(self, differences: Mapping[str, Difference]) -> None:
        estimates = differences.values()
        worse = holm([estimate.p_worse() for estimate in estimates])
        better = holm([estimate.p_better() for estimate in estimates])
        self.worse = dict(zip(differences, worse, strict=True))
        self.better = dict(zip(differences, better, strict=True))

    @property
    def left(self) -> tuple[int, int]:
        """How many are not rejected, of "worse" and of "better"; at least one."""
        worse, better = (
            sum(p > LEVEL for p in adjusted.values()) for adjusted in (self.worse, self.better)
        )
        return max(1, worse), max(1, better)


def pairs_of(results: Results, members: Iterable[Measured], label: str) -> list[Pair]:
    """The readings of dense and sparse that can be compared, of the seeds where both are there."""
    if label not in results.metrics:
        return []
    spec = results.metrics[label]
    twins = ((results.twin(measured.network), measured) for measured in members)
    read = (
        (twin and usable(twin, spec, label), usable(sparse, spec, label)) for twin, sparse in twins
    )
    return [(dense, sparse) for dense, sparse in read if dense and sparse]


def usable(measured: Measured | Together, spec: MetricSpec, label: str) -> Reading | None:
    """A finite reading; where ratios are compared one above 0, for others have none.

    An estimated trace may be negative, and a constant network's explanation is without error.
    """
    reading = measured.readings.get(label)
    if reading is None or not math.isfinite(reading.value):
        return None
    return None if spec.scale == "log" and reading.value <= 0 else reading


def no_ratio(results: Results, measured: Measured, label: str) -> bool:
    """Whether a network and its twin were read, but have no ratio: one of them is not above 0."""
    twin = results.twin(measured.network)
    if twin is None or results.metrics[label].scale != "log":
        return False
    read = [m.readings[label].value for m in (twin, measured) if label in m.readings]
    return len(read) == 2 and all(map(math.isfinite, read)) and min(read) <= 0


def values_of(members: Iterable[Measured], spec: MetricSpec, label: str) -> list[float]:
    """The readings of a metric that can be compared, one per seed that has it."""
    readings = (usable(measured, spec, label) for measured in members)
    return [reading.value for reading in readings if reading is not None]


def pools_of(results: Results, cells: Collection[Cell]) -> dict[str, Pool]:
    """By label, what the networks of ``cells`` say about the metric's variance over seeds."""
    return {
        label: Pool.of((values_of(results.groups[cell], spec, label) for cell in cells), spec.scale)
        for label, spec in results.metrics.items()
    }
