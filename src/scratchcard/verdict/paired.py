"""The difference between sparse networks and their dense twins, with its uncertainty.

Two things make it uncertain: the seeds of training, and the examples it was measured on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratchcard.contracts import Reading

Scale = Literal["linear", "log"]
Pair = tuple[Reading, Reading]
"""The readings of a dense network and of its sparse twin, in this order."""

PRIOR = 6.0
"""Degrees of freedom that other groups' seed variance weighs beside a group's own k - 1."""
LEVEL = 0.05
"""Of the one-sided tests; the interval is two-sided at 1 - 2 x LEVEL."""
FLOOR = 1e-12
"""What a log scale makes of zero and of negative numbers (an estimated trace can be negative)."""


@dataclass(frozen=True)
class Difference:
    """An estimated mean difference, oriented so that more is better, in the metric's scale.

    Attributes:
        d: The mean over pairs.
        stderr: Its standard error, over seeds and examples; infinite where unknown.
        df: Degrees of freedom of ``stderr``.
        noise: What ``stderr`` is made of; None if that was not recorded.
    """

    d: float
    stderr: float
    df: float
    noise: Noise | None = None

    def interval(self) -> tuple[float, float]:
        """The two-sided 90 % interval of ``d``."""
        half = quantile(self.df) * self.stderr
        return self.d - half, self.d + half

    def p_worse(self) -> float:
        """One-sided p value of "d >= 0": small where sparse is worse than dense."""
        from scipy import special

        if self.stderr == 0:
            return 0.0 if self.d < 0 else 1.0
        return float(special.stdtr(self.df, self.d / self.stderr))

    def p_better(self) -> float:
        """One-sided p value of "d <= 0"."""
        return Difference(-self.d, self.stderr, self.df).p_worse()


def quantile(df: float) -> float:
    """The 95 % quantile of Student's t; of the normal distribution for infinite ``df``.

    >>> round(quantile(4), 3), round(quantile(math.inf), 3)
    (2.132, 1.645)
    """
    from scipy import special

    return float(special.stdtrit(df, 1 - LEVEL))


def on_scale(values: np.ndarray | Sequence[float], scale: Scale) -> np.ndarray:
    """``values`` as they are, or their logarithms (nothing below ``FLOOR``)."""
    values = np.asarray(values, dtype=np.float64)
    return np.log(np.maximum(values, FLOOR)) if scale == "log" else values


def seed_variance(values: Sequence[float], scale: Scale) -> float | None:
    """The variance of readings over seeds; None of a single one.

    >>> seed_variance([1.0, 3.0], "linear")
    2.0
    """
    return float(on_scale(values, scale).var(ddof=1)) if len(values) > 1 else None


@dataclass(frozen=True)
class Pool:
    """What comparable groups of networks say about a metric's variance over seeds.

    Attributes:
        squares: Sum of squared deviations from the groups' own means.
        df: Degrees of freedom: readings less groups.
    """

    squares: float = 0.0
    df: int = 0

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]], scale: Scale) -> Pool:
        """The pool of groups of readings."""
        on = [on_scale(group, scale) for group in groups]
        squares = sum(float(((values - values.mean()) ** 2).sum()) for values in on if len(values))
        return cls(squares, sum(len(values) - 1 for values in on if len(values)))

    def shrink(self, own: Pool) -> tuple[float, float]:
        """A group's variance drawn towards that of the others in the pool, and its df.

        The others weigh PRIOR degrees of freedom, or as many as they have. Without any the
        variance is unknown: nan, with 0 degrees of freedom.

        >>> Pool(squares=6.0, df=8).shrink(own=Pool(squares=4.0, df=2))
        (0.75, 8.0)
        """
        others = self.df - own.df
        prior = min(PRIOR, others)
        df = prior + own.df
        if df == 0:
            return math.nan, 0.0
        pooled = max(self.squares - own.squares, 0.0) / others if others else 0.0
        return (prior * pooled + own.squares) / df, df


@dataclass(frozen=True)
class Noise:
    """What the error of a mean difference is made of, so that it is known for any number of seeds.

    Attributes:
        dense: Variance over seeds of the dense readings.
        sparse: The same of the sparse ones.
        lent: Degrees of freedom that other groups lend to each of the two.
        shared: Variance over examples that all pairs have in common.
        own: Variance over examples that each pair has for itself, of a single pair.
    """

    dense: float
    sparse: float
    lent: tuple[float, float]
    shared: float
    own: float

    def estimate(self, seeds: float, images: float = 1.0) -> tuple[float, float]:
        """The variance that the rule works with, and its degrees of freedom (Satterthwaite's).

        Args:
            seeds: Number of pairs.
            images: How many times as many examples.
        """
        parts = [self._of_seeds(s2, images) / seeds for s2 in (self.dense, self.sparse)]
        variance = sum(parts) + self.shared / images + self.own / (seeds * images)
        spread = sum(
            part**2 / (lent + seeds - 1) for part, lent in zip(parts, self.lent, strict=True)
        )
        known = spread > 0 and math.isfinite(variance)
        return variance, variance**2 / spread if known else math.inf

    def truth(self, seeds: float, images: float = 1.0) -> float:
        """The variance that the mean difference really has: a little less than the rule's.

        What each pair has for itself also makes readings vary over seeds, so the rule counts it
        twice; to leave it out would need its exact size.
        """
        both = self._of_seeds(self.dense, images) + self._of_seeds(self.sparse, images)
        return both / seeds + self.shared / images

    def _of_seeds(self, s2: float, images: float) -> float:
        """The part of a seed variance that is due to few examples shrinks when there are more."""
        both = self.dense + self.sparse
        due = min(1.0, self.own / both) if both > 0 else 0.0
        return s2 * (1 - due * (1 - 1 / images))


def difference(
    pairs: Sequence[Pair],
    *,
    better: Literal["higher", "lower"],
    scale: Scale,
    pools: tuple[Pool, Pool] = (Pool(), Pool()),
) -> Difference:
    """Mean sparse minus dense over ``pairs`` of one seed each, the sign turned so more is better.

    The variance is ``(s_dense² + s_sparse²) / k`` with both seed variances shrunk, plus the
    variance over examples. That pairs share a seed does not reduce the first part. The degrees of
    freedom are Satterthwaite's, infinite for the examples.

    Args:
        pairs: Readings of the dense and of the sparse network, finite, at least one pair.
        better: Which way the metric is oriented.
        scale: On which differences are taken.
        pools: What networks like the dense ones, and like the sparse ones, say about the variance
            over seeds; each includes the group itself.
    """
    k = len(pairs)
    columns = [[pair[side].value for pair in pairs] for side in (0, 1)]
    dense, sparse = (on_scale(column, scale) for column in columns)
    d = float((sparse - dense).mean()) * (1 if better == "higher" else -1)
    (dense_s2, dense_df), (sparse_s2, sparse_df) = _filled(
        [pool.shrink(Pool.of([one], scale)) for pool, one in zip(pools, columns, strict=True)]
    )
    shared, own = _examples(pairs, scale)
    noise = Noise(dense_s2, sparse_s2, (dense_df - (k - 1), sparse_df - (k - 1)), shared, own)
    variance, df = noise.estimate(k)
    return Difference(d, math.sqrt(variance), df, noise)


def _filled(shrunk: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where one side's variance is unknown it is taken to be the other's.

    If both are, every group is one network: no variance, a statement about these networks.
    """
    known = [(s2, df) for s2, df in shrunk if df > 0] or [(0.0, math.inf)]
    return [(s2, df) if df > 0 else known[0] for s2, df in shrunk]


def example_variance(pairs: Sequence[Pair], scale: Scale) -> float:
    """The variance of the mean difference over the choice of test examples; infinite if unknown.

    Paired where every reading has a value per example (delta method on a log scale) or the
    statistic on common resamples. Readings with a standard error alone cannot be paired; as their
    errors may be shared by the seeds, averaging over seeds then does not shrink them.
    """
    examples = _columns(pairs, lambda reading: reading.examples)
    replicates = _columns(pairs, lambda reading: reading.replicates)
    if examples is not None:
        if scale == "log":
            examples = examples / np.maximum(examples.mean(axis=-1, keepdims=True), FLOOR)
        means = (examples[:, 1] - examples[:, 0]).mean(axis=0)
        variance = means.var(ddof=1) / len(means)
    elif replicates is not None:
        on = on_scale(replicates, scale)
        variance = (on[:, 1] - on[:, 0]).mean(axis=0).var(ddof=1)
    else:
        errors = np.array([[_relative(reading, scale) for reading in pair] for pair in pairs])
        variance = (errors**2).sum(axis=1).mean()
    return float(variance) if math.isfinite(variance) else math.inf


def _examples(pairs: Sequence[Pair], scale: Scale) -> tuple[float, float]:
    """The variance over examples: what all pairs share, and what a pair has for itself.

    That of the mean of k pairs is shared + own / k, that of a single one shared + own. Of one pair
    nothing says which is which: all of it is taken to be shared.
    """
    k, together = len(pairs), example_variance(pairs, scale)
    if k == 1 or not math.isfinite(together):
        return together, 0.0
    alone = sum(example_variance([pair], scale) for pair in pairs) / k
    own = min(max(alone - together, 0.0) * k / (k - 1), together * k)
    return together - own / k, own


def _columns(
    pairs: Sequence[Pair], column: Callable[[Reading], np.ndarray | None]
) -> np.ndarray | None:
    """The arrays of all readings as [pairs, 2, n]; None unless all have one of the same length."""
    arrays = [column(reading) for pair in pairs for reading in pair]
    if any(a is None or len(a) < 2 or len(a) != len(arrays[0]) for a in arrays):  # type: ignore[arg-type]
        return None
    return np.asarray(arrays, dtype=np.float64).reshape(len(pairs), 2, -1)


def _relative(reading: Reading, scale: Scale) -> float:
    return reading.stderr / max(reading.value, FLOOR) if scale == "log" else reading.stderr


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
