"""Which metrics say the same: rank correlations over tickets, and within a rung of the ladder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.results import Results
from scratchcard.verdict import accuracy_label
from scratchcard.verdict.paired import quantile

SAME = 0.9
"""Metrics whose ranks correlate by as much, either way, are one factor."""
ALIKE = 1e-3
"""A metric that spans this share of its largest value is the same for all: a rung's rounding."""
FEWEST = 4
"""Tickets that a correlation is taken of, at least."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Spearman's rank correlations of metrics, all turned so that more is better.

    A correlation is NaN where it has too few tickets or one of its metrics is the same in all.

    Attributes:
        labels: Of the M metrics that vary, in the study's order.
        accuracy: Which of them is plain accuracy; None if none is.
        overall: [M, M], over all tickets.
        within: [M, M], the mean of the correlations within each rung.
        tickets: How many there are, controls among them.
        rungs: How many rungs have enough of them.
        df: Degrees of freedom that a correlation within rungs has, if it has all tickets.
        constant: Labels of the metrics that are about the same for all tickets.
        unread: Labels of those that were read of too few.
    """

    labels: tuple[str, ...]
    accuracy: int | None
    overall: np.ndarray
    within: np.ndarray
    tickets: int
    rungs: int
    df: int
    constant: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def doubtful(self) -> float:
        """A correlation within rungs this small may be chance: one-sided 5 %."""
        t = quantile(self.df)
        return t / math.sqrt(self.df + t * t)

    def by_chance(self, rho: float) -> float:
        """How often two unrelated metrics correlate by ``rho`` or more, either way."""
        from scipy import special

        t = rho * math.sqrt(self.df / (1 - rho * rho))
        return float(2 * special.stdtr(self.df, -t))

    def factors(self) -> list[tuple[int, ...]]:
        """Groups of metrics, each with each ``SAME`` or more within a rung, the largest first."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        apart = 1 - np.abs(np.nan_to_num(self.within))
        np.fill_diagonal(apart, 0)
        tree = linkage(squareform(apart, checks=False), "complete")
        group = fcluster(tree, 1 - max(SAME, self.doubtful) + 1e-9, "distance")
        found = [tuple(map(int, np.flatnonzero(group == k))) for k in np.unique(group)]
        return sorted((own for own in found if len(own) > 1), key=lambda own: (-len(own), own))

    def reward_weak(self) -> list[int]:
        """Metrics on which less accurate tickets are better, the plainest first."""
        if self.accuracy is None:
            return []
        with_accuracy = self.within[self.accuracy]
        order = np.argsort(with_accuracy)  # NaN last
        return [int(i) for i in order if with_accuracy[i] <= -self.doubtful]


def agreement(results: Results, setting: tuple[str, str]) -> Agreement | None:
    """The metrics of the tickets of a data set and model; None of too few tickets or metrics.

    Controls count as any other network does: it is about metrics, not about methods. What a
    network costs (efficiency) is left out: it follows from the sparsity, not from what was learnt.
    """
    tickets = [
        m
        for m in results.networks
        if (m.network.data, m.network.model) == setting and m.network.target > 0
    ]
    if not tickets:
        return None
    signs = {
        k: 1 if spec.better == "higher" else -1
        for k, spec in results.metrics.items()
        if spec.dimension != "efficiency"
    }
    values = np.array(
        [
            [signs[k] * m.readings[k].value if k in m.readings else math.nan for k in signs]
            for m in tickets
        ]
    )
    read = np.isfinite(values).sum(axis=0) >= FEWEST
    varies = [i for i in np.flatnonzero(read) if _varies(values[:, i])]
    targets = np.array([m.network.target for m in tickets])
    rungs = [t for t in np.unique(targets) if np.sum(targets == t) >= FEWEST]
    if len(varies) < 2 or not rungs:
        return None
    labels = list(signs)
    own, enough = (tuple(labels[i] for i in some) for some in (varies, np.flatnonzero(read)))
    label = accuracy_label(results)
    inside = [spearman(values[targets == t][:, varies]) for t in rungs]
    return Agreement(
        labels=own,
        accuracy=own.index(label) if label in own else None,
        overall=spearman(values[:, varies]),
        within=_mean(inside),
        tickets=len(tickets),
        rungs=len(rungs),
        df=int(np.isin(targets, rungs).sum()) - len(rungs) - 1,
        constant=tuple(k for k in enough if k not in own),
        unread=tuple(k for k in signs if k not in enough),
    )


def spearman(values: np.ndarray) -> np.ndarray:
    """Rank correlations [M, M] of columns [N, M], each pair over the rows where both are finite.

    >>> spearman(np.array([[1, 9], [2, 8], [3, 1], [4, np.nan], [5, 0]]))[0]
    array([ 1., -1.])
    """
    patterns, pattern = np.unique(np.isfinite(values), axis=1, return_inverse=True)
    columns = [np.flatnonzero(pattern.ravel() == k) for k in range(patterns.shape[1])]
    found = np.full((values.shape[1],) * 2, np.nan)
    # Metrics that were read of the same tickets are ranked together.
    for one, i in zip(patterns.T, columns, strict=True):
        for other, j in zip(patterns.T, columns, strict=True):
            rows = one & other
            if rows.sum() >= FEWEST:
                left, right = (_ranks(values[np.ix_(rows, k)]) for k in (i, j))
                found[np.ix_(i, j)] = np.clip(left.T @ right, -1, 1)
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks in each column, of mean 0 and length 1; NaN in one that does not vary."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.linalg.norm(ranks, axis=0)
    return np.asarray(ranks / np.where(length > 0, length, np.nan))


def _varies(values: np.ndarray) -> bool:
    found = values[np.isfinite(values)]
    return bool(np.ptp(found) > ALIKE * np.abs(found).max())


def _mean(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of what is known; NaN where nothing is."""
    stack = np.stack(matrices)
    known = np.isfinite(stack)
    count = known.sum(axis=0)
    return np.asarray(np.where(known, stack, 0).sum(axis=0) / np.where(count > 0, count, np.nan))
