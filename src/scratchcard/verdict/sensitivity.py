"""At which sparsity each metric breaks: where the mean loss of a method crosses the margin.

Between two rungs the loss is interpolated over the logarithm of density, the ladder's own axis.
What follows: which metrics are most sensitive to sparsity, and which methods least so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from scratchcard.results import Measured, Results
from scratchcard.seeds import numpy_stream
from scratchcard.verdict.compare import contenders, pairs_of, voters
from scratchcard.verdict.paired import on_scale
from scratchcard.verdict.regions import region_of

ALIKE = 0.005
"""Sparsities this close are one."""
RESAMPLES = 400
ENOUGH = 5
"""Seeds from which on resampling them says something; below, the seeds themselves are shown."""


@dataclass(frozen=True)
class Break:
    """Where one metric breaks under one method; infinite if it holds to the end of the ladder.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        method: Label of the method.
        metric: Label of the metric.
        sparsity: Where the mean loss crosses the margin.
        lo: Lower end of the 90 % interval over resampled seeds; below five seeds the smallest
            of the seeds' own values; None of one seed.
        hi: Upper end.
        seeds: How many seeds it rests on.
        end: The sparsest rung at which the metric was read.
    """

    data: str
    model: str
    method: str
    metric: str
    sparsity: float
    lo: float | None
    hi: float | None
    seeds: int
    end: float

    @property
    def held(self) -> float:
        """How far it is known to hold: to where it breaks, or to the end of the ladder."""
        return min(self.sparsity, self.end)


@dataclass(frozen=True)
class Sensitivity:
    """How sensitive a metric is to sparsity, over the methods of a data set and model.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        metric: Label of the metric.
        rank: Mean over methods of its place among the metrics that break: 1 breaks first. Those
            that break together, or hold, share the mean of their places.
        sparsity: Median over methods of where it breaks, the later one of two in the middle;
            infinite if it holds with half of them.
        first: With how many methods no other metric breaks before it.
        broken: With how many methods it breaks at all.
        methods: How many there are.
    """

    data: str
    model: str
    metric: str
    rank: float
    sparsity: float
    first: int
    broken: int
    methods: int


@dataclass(frozen=True)
class Longest:
    """Which methods a metric is seen to hold longest with; several if they hold equally far.

    Attributes:
        data: Label of the data set.
        model: Label of the model.
        metric: Label of the metric.
        methods: Labels.
        sparsity: How far it holds with them.
        open: Whether that is the end of their ladder, so that it may hold longer still.
    """

    data: str
    model: str
    metric: str
    methods: tuple[str, ...]
    sparsity: float
    open: bool


def breaks(results: Results) -> tuple[Break, ...]:
    """Every headline metric of every method, the first to break first within a method.

    Where accuracy is at chance or a layer has collapsed (region III) nothing holds any longer: a
    constant predictor is well calibrated, flat and stable.
    """
    found = []
    for data, model in results.settings:
        for method in results.methods:
            rungs = rungs_of(results, data, model, method)
            lost = [position(members) for members in rungs if region_of(results, members) == "III"]
            own = []
            for label in voters(results):
                losses = losses_of(results, rungs, label)
                losses = losses[:, np.isfinite(losses).any(axis=0)]
                if not losses.size:
                    continue
                read = np.flatnonzero(np.isfinite(losses).any(axis=1))
                limits = results.margins[label], min(lost, default=math.inf)
                where = _break(losses, rungs, *limits)
                own.append(Break(data, model, method, label, *where, position(rungs[read[-1]])))
            found += sorted(own, key=lambda one: one.sparsity)
    return tuple(found)


def ranking(results: Results, found: Sequence[Break]) -> tuple[Sensitivity, ...]:
    """The metrics of each data set and model, the most sensitive first; controls do not count."""
    ranked = []
    for data, model in results.settings:
        own = [b for b in found if (b.data, b.model) == (data, model)]
        ladders = [[b for b in own if b.method == method] for method in contenders(results)]
        lines = [
            _sensitivity(data, model, label, [ladder for ladder in ladders if ladder])
            for label in dict.fromkeys(b.metric for b in own if b.method not in results.controls)
        ]
        ranked += sorted(lines, key=lambda one: (one.rank, one.sparsity))
    return tuple(ranked)


def _sensitivity(
    data: str, model: str, label: str, ladders: Sequence[Sequence[Break]]
) -> Sensitivity:
    """``ladders`` are the breaks of each method, of all metrics."""
    ranks, where, first = [], [], 0
    for ladder in ladders:
        for own in (b.sparsity for b in ladder if b.metric == label):
            before = sum(b.sparsity < own for b in ladder)
            level = sum(b.sparsity == own for b in ladder)
            ranks.append(before + (level + 1) / 2)
            where.append(own)
            first += before == 0 and math.isfinite(own)
    broken = sum(map(math.isfinite, where))
    middle = sorted(where)[len(where) // 2]
    return Sensitivity(data, model, label, fmean(ranks), middle, first, broken, len(where))


def longest(results: Results, found: Sequence[Break]) -> tuple[Longest, ...]:
    """By metric, the methods that lose least with it; controls do not count.

    A method whose ladder ends early is not said to hold longer than it was looked at.
    """
    best = []
    for data, model in results.settings:
        for label in voters(results):
            own = [
                b
                for b in found
                if (b.data, b.model, b.metric) == (data, model, label)
                and b.method not in results.controls
            ]
            if own:
                furthest = max(b.held for b in own)
                those = [b for b in own if b.held > furthest - ALIKE]
                methods = tuple(b.method for b in those)
                still = any(math.isinf(b.sparsity) for b in those)
                best.append(Longest(data, model, label, methods, furthest, still))
    return tuple(best)


def crossing(sparsities: Sequence[float], losses: Sequence[float], margin: float) -> float:
    """The first sparsity at which ``losses`` exceed ``margin``; infinite if they never do.

    Rungs without a loss (NaN) are skipped; at sparsity 0 nothing is lost. Two rungs may lie at one
    sparsity, where a structure reaches no other.

    >>> round(crossing([0.2, 0.36], [0.0, 0.02], margin=0.01), 4)
    0.2845
    """
    before, held = 0.0, 0.0
    for sparsity, loss in zip(sparsities, losses, strict=True):
        if math.isnan(loss):
            continue
        if loss > margin:
            share = (margin - held) / (loss - held)
            start, end = math.log1p(-before), math.log1p(-min(sparsity, 1 - 1e-12))
            return -math.expm1(start + share * (end - start))
        before, held = sparsity, loss
    return math.inf


def rungs_of(results: Results, data: str, model: str, method: str) -> list[tuple[Measured, ...]]:
    """The tickets of a method, the densest first."""
    rungs = [
        members
        for cell, members in results.groups.items()
        if (cell.data, cell.model, cell.method) == (data, model, method)
    ]
    return sorted(rungs, key=position)


def position(members: Sequence[Measured]) -> float:
    """The sparsity at which a ticket stands on the ladder."""
    return median(measured.position for measured in members)


def losses_of(results: Results, rungs: Sequence[Sequence[Measured]], label: str) -> np.ndarray:
    """Loss against the dense twin [rungs, seeds], more is worse, NaN where it was not read."""
    spec = results.metrics[label]
    seeds = sorted({member.network.seed for members in rungs for member in members})
    losses = np.full((len(rungs), len(seeds)), np.nan)
    for row, members in enumerate(rungs):
        for member in members:
            for pair in pairs_of(results, [member], label):
                dense, sparse = on_scale([reading.value for reading in pair], spec.scale)
                loss = dense - sparse if spec.better == "higher" else sparse - dense
                losses[row, seeds.index(member.network.seed)] = loss
    return losses


def _break(
    losses: np.ndarray, rungs: Sequence[Sequence[Measured]], margin: float, lost: float
) -> tuple[float, float | None, float | None, int]:
    """Where a metric breaks, between which ends, of how many seeds; at ``lost`` at the latest."""
    sparsities = [position(members) for members in rungs]

    def of(seeds: Sequence[int]) -> float:
        chosen = losses[:, list(seeds)]
        read = np.isfinite(chosen)
        count = read.sum(axis=1)
        sums = np.where(read, chosen, 0.0).sum(axis=1)
        means = [float(s / c) if c else math.nan for s, c in zip(sums, count, strict=True)]
        return min(crossing(sparsities, means, margin), lost)

    k = losses.shape[1]
    return of(range(k)), *over_seeds(of, k), k


def over_seeds(of: Callable[[Sequence[int]], float], k: int) -> tuple[float | None, float | None]:
    """An interval of a sparsity that was found from k seeds: 90 %, by resampling whole seeds.

    Below five seeds it is the range of what each seed alone says; of one seed there is none.

    Args:
        of: The sparsity by the numbers of the seeds that it is taken of.
        k: How many there are.
    """
    if k < 2:
        return None, None
    if k < ENOUGH:
        singles = [of([seed]) for seed in range(k)]
        return min(singles), max(singles)
    draws: np.ndarray = numpy_stream(0, "breaks", k).integers(k, size=(RESAMPLES, k))
    resampled = sorted(of(draw.tolist()) for draw in draws)
    # order statistics, not interpolated quantiles: some of the values may be infinite
    return resampled[RESAMPLES // 20], resampled[-RESAMPLES // 20 - 1]
