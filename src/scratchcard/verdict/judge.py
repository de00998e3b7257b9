"""When does a sparse network perform well? The design's rule, from readings to pass or fail.

Margins are declared beforehand, differences are paired, and what the data cannot tell is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from scratchcard.contracts import VOTING, Dimension, MetricSpec
from scratchcard.results import Cell, Measured, Results
from scratchcard.verdict.compare import (
    Call,
    Comparison,
    compare,
    no_ratio,
    pairs_of,
    pools_of,
    values_of,
    voters,
)
from scratchcard.verdict.paired import Pool, on_scale, quantile, seed_variance
from scratchcard.verdict.regions import ROUNDING, Region, metric_regions, region_of

Outcome = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True)
class Ticket:
    """The verdict on one method at one sparsity, over seeds.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        method: Label of the method.
        target: The ladder's sparsity.
        sparsity: The exact one: 0 of a dense control, the nearest reachable one of a structure.
        seeds: The seeds it rests on.
        comparisons: By label of the metric, all metrics that were read.
        outcome: The design's rule: a dimension that was not measured leaves a pass undecided.
        measured: The same rule over the headline metrics of this study alone.
        region: By accuracy; None if accuracy was not read.
        regions: By label of each metric that votes and was read, by that metric alone.
        dimensions: Per voting dimension a call, or None if none of its metrics that votes was read:
            worse if any of them is, better or matches if none can be worse by its margin, else
            undecided.
        wins_all: The paper's LTH-PASS: at least as good as dense on every headline metric.
        no_worse: The same, read as "not worse by more than the margin" on the means.
    """

    data: str
    model: str
    method: str
    target: float
    sparsity: float
    seeds: tuple[int, ...]
    comparisons: Mapping[str, Comparison]
    outcome: Outcome
    measured: Outcome
    region: Region | None
    regions: Mapping[str, Region]
    dimensions: Mapping[Dimension, Call | None]
    wins_all: bool
    no_worse: bool


@dataclass(frozen=True)
class Band:
    """Where another dense network would fall: mean and 90 % prediction limits; None of one seed."""

    mean: float
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class Verdict:
    """Everything the report says about a study.

    Attributes:
        tickets: In the order of the study.
        bands: (data, model, metric) to the prediction band of the dense twins.
        unmeasured: Voting dimensions without a single headline metric in this study.
    """

    tickets: tuple[Ticket, ...]
    bands: Mapping[tuple[str, str, str], Band]
    unmeasured: tuple[Dimension, ...]


Ballot = Mapping[str, Comparison | None]
"""Label of each metric that votes to its comparison; None if no pair of networks was read."""


def judge(results: Results) -> Verdict:
    """Apply the design's rule to every ticket of a study.

    A failed network or reading is left out, and said so; a reading that is not finite has failed.
    A ticket that a headline metric does not apply to is undecided at best: what cannot be measured
    of it must not make it look good. Controls are judged too, but nobody speaks of them as winners.
    """
    regions = {cell: region_of(results, members) for cell, members in results.groups.items()}
    pools = _Pools(results, regions)
    measured = {results.metrics[label].dimension for label in voters(results)}
    return Verdict(
        tickets=tuple(
            _ticket(results, cell, regions[cell], pools)
            for cell in results.groups
            if cell.method != "dense"
        ),
        bands={
            (cell.data, cell.model, label): _band(values, spec)
            for cell, members in results.groups.items()
            for label, spec in results.metrics.items()
            if cell.method == "dense" and (values := values_of(members, spec, label))
        },
        unmeasured=tuple(dimension for dimension in VOTING if dimension not in measured),
    )


def _ticket(results: Results, cell: Cell, region: Region | None, pools: _Pools) -> Ticket:
    members = results.groups[cell]
    comparisons = compare(results, members, pools.beside(cell))
    ballot = {label: comparisons.get(label) for label in voters(results)}
    dimensions = {dimension: _dimension(results, dimension, ballot) for dimension in VOTING}
    seeds = tuple(member.network.seed for member in members if _was_read(results, member))
    measured = _outcome(ballot)
    odd = any(no_ratio(results, member, label) for member in members for label in ballot)
    if measured == "pass" and (odd or len(seeds) < len(members)):
        measured = "undecided"  # what diverged, or is no ratio, must not make a method look good
    complete = None not in dimensions.values()
    return Ticket(
        *cell,
        sparsity=median(member.sparsity for member in members),
        seeds=seeds,
        comparisons=comparisons,
        outcome=measured if complete or measured == "fail" else "undecided",
        measured=measured,
        region=region,
        regions=metric_regions(results, comparisons, region),
        dimensions=dimensions,
        wins_all=_no_loss(ballot, allowed=0.0),
        no_worse=_no_loss(ballot, allowed=1.0),
    )


class _Pools:
    """What a study says about variances over seeds, within a region of a data set and model.

    How much networks at chance scatter says nothing about those that work. Dense networks are in
    region I unless they are at chance. Where accuracy was not read all are taken together.
    """

    def __init__(self, results: Results, regions: Mapping[Cell, Region | None]) -> None:
        self._results, self._regions = results, regions
        self._known: dict[tuple[str, str, Region | None], dict[str, Pool]] = {}

    def beside(self, cell: Cell) -> tuple[Mapping[str, Pool], Mapping[str, Pool]]:
        """By label, the pools of the dense twins and of the ticket."""
        region, twins = self._regions[cell], Cell(cell.data, cell.model, "dense", 0.0)
        return self._pool(cell, region and self._regions.get(twins)), self._pool(cell, region)

    def _pool(self, cell: Cell, region: Region | None) -> dict[str, Pool]:
        key = (cell.data, cell.model, region)
        if key not in self._known:
            setting = [other for other in self._regions if other[:2] == cell[:2]]
            cells = [c for c in setting if region in (None, self._regions[c])]
            self._known[key] = pools_of(self._results, cells)
        return self._known[key]


def _outcome(ballot: Ballot) -> Outcome:
    if any(c is not None and c.call == "worse" for c in ballot.values()):
        return "fail"
    return (
        "pass" if ballot and all(c is not None and c.safe for c in ballot.values()) else "undecided"
    )


def _dimension(results: Results, dimension: Dimension, ballot: Ballot) -> Call | None:
    votes = [c for label, c in ballot.items() if results.metrics[label].dimension == dimension]
    read = [c for c in votes if c is not None]
    if not read:
        return None
    if any(c.call == "worse" for c in read):
        return "worse"
    if not all(c is not None and c.safe for c in votes):
        return "undecided"
    return "better" if any(c.call == "better" and not c.hollow for c in read) else "matches"


def _no_loss(ballot: Ballot, allowed: float) -> bool:
    """Whether no mean loss exceeds ``allowed`` margins: the paper's reading, without errors."""
    return bool(ballot) and all(
        c is not None and c.margin is not None and c.d >= -allowed * c.margin - ROUNDING
        for c in ballot.values()
    )


def _was_read(results: Results, measured: Measured) -> bool:
    return any(pairs_of(results, [measured], label) for label in results.metrics)


def _band(values: Sequence[float], spec: MetricSpec) -> Band:
    variance = seed_variance(values, spec.scale)
    if variance is None:
        return Band(fmean(values), None, None)
    k, middle = len(values), float(on_scale(values, spec.scale).mean())
    half = quantile(k - 1) * math.sqrt(variance * (1 + 1 / k))
    ends = (middle - half, middle + half)
    lo, hi = (math.exp(end) if spec.scale == "log" else end for end in ends)
    return Band(fmean(values), lo, hi)
