"""At which sparsity each metric breaks: where the mean loss of a method crosses the margin.

Between two rungs the loss is interpolated over the logarithm of density, the ladder's own axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from scratchcard.results import Measured, Results
from scratchcard.seeds import numpy_stream
from scratchcard.verdict.compare import pairs_of, voters
from scratchcard.verdict.paired import on_scale

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
    """

    data: str
    model: str
    method: str
    metric: str
    sparsity: float
    lo: float | None
    hi: float | None
    seeds: int


def breaks(results: Results) -> tuple[Break, ...]:
    """Every headline metric of every method, the first to break first within a method."""
    found = []
    for data, model in results.settings:
        for method in results.methods:
            rungs = [
                members
                for cell, members in results.groups.items()
                if (cell.data, cell.model, cell.method) == (data, model, method)
            ]
            rungs.sort(key=_position)
            curves = {label: _losses(results, rungs, label) for label in voters(results)}
            own = [
                Break(data, model, method, label, *_break(curve, rungs, results.margins[label]))
                for label, curve in curves.items()
                if np.isfinite(curve).any()
            ]
            found += sorted(own, key=lambda one: one.sparsity)
    return tuple(found)


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


def _position(members: Sequence[Measured]) -> float:
    return median(measured.position for measured in members)


def _losses(results: Results, rungs: Sequence[Sequence[Measured]], label: str) -> np.ndarray:
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
    return losses[:, np.isfinite(losses).any(axis=0)]


def _break(
    losses: np.ndarray, rungs: Sequence[Sequence[Measured]], margin: float
) -> tuple[float, float | None, float | None, int]:
    sparsities = [_position(members) for members in rungs]

    def of(seeds: Sequence[int]) -> float:
        chosen = losses[:, list(seeds)]
        read = np.isfinite(chosen)
        count = read.sum(axis=1)
        sums = np.where(read, chosen, 0.0).sum(axis=1)
        means = [float(s / c) if c else math.nan for s, c in zip(sums, count, strict=True)]
        return crossing(sparsities, means, margin)

    k = losses.shape[1]
    middle = of(range(k))
    if k == 1:
        return middle, None, None, k
    if k < ENOUGH:
        singles = [of([seed]) for seed in range(k)]
        return middle, min(singles), max(singles), k
    draws: np.ndarray = numpy_stream(0, "breaks", k).integers(k, size=(RESAMPLES, k))
    resampled = sorted(of(draw.tolist()) for draw in draws)
    # order statistics, not interpolated quantiles: some of the values may be infinite
    return middle, resampled[RESAMPLES // 20], resampled[-RESAMPLES // 20 - 1], k
