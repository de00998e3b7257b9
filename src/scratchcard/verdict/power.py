"""What would decide the undecided: how many seeds, or how many times as many test images.

The chances of every call are computed from the rule itself, for a true difference that is supposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratchcard.verdict.compare import Comparison
from scratchcard.verdict.judge import Ticket
from scratchcard.verdict.paired import LEVEL, Noise

Supposed = Literal["estimated", "equal"]
"""The true difference: the one that was estimated, or none."""

POWER = 0.8
"""How likely a decision has to be."""
MOST = 1000
"""Seeds, or times as many images, beyond which nobody goes."""
NODES = (np.arange(15) + 0.5) / 15
"""Quantiles at which the estimated variance is looked at."""
TINY = 1e-12
"""The share of the variance below which that over seeds is rounding."""


@dataclass(frozen=True)
class Chances:
    """How likely the rule is to say what; ``safe`` is that a loss of a margin is ruled out."""

    matches: float
    better: float
    worse: float
    safe: float

    @property
    def decided(self) -> float:
        """How likely it is to say anything: the three calls exclude each other."""
        return self.matches + self.better + self.worse


@dataclass(frozen=True)
class Need:
    """What would decide with a chance of 80 %, each way on its own; None if it would not.

    It is always more than there is: what is there has not decided.

    Attributes:
        seeds: So many in all, on the same test images.
        images: So many times as many test images, with the same seeds.
        both: So many times as many seeds and as many images: finite, as every error shrinks then.
    """

    seeds: int | None
    images: float | None
    both: float | None


def chances(
    d: float,
    margin: float,
    noise: Noise,
    seeds: int,
    *,
    images: float = 1.0,
    tests: tuple[int, int] = (1, 1),
) -> Chances:
    """How likely the rule is to say what, if ``d`` is true.

    The estimate is normal around ``d``. The standard error that the rule works with is itself
    estimated: the part over seeds is a chi-square over its degrees of freedom.

    Args:
        d: The true difference, in the metric's scale, more is better.
        margin: The metric's.
        noise: What the error is made of.
        seeds: Pairs of networks.
        images: How many times as many examples as ``noise`` speaks of.
        tests: How many metrics share the level, for "worse" and for "better" (Holm).
    """
    from scipy import special

    spread = max(math.sqrt(noise.truth(seeds, images)), 1e-300)
    stderr, df = _estimated(noise, seeds, images)
    half = special.stdtrit(df, 1 - LEVEL) * stderr
    loss, gain = (special.stdtrit(df, 1 - LEVEL / n) * stderr for n in tests)

    def below(x: np.ndarray) -> np.ndarray:
        """How likely the estimate is below ``x``, at each node."""
        return np.asarray(special.ndtr((x - d) / spread))

    room = margin - half
    return Chances(
        matches=float(np.maximum(below(room) - below(-room), 0.0).mean()),
        better=float((1 - below(np.maximum(room, gain))).mean()),
        worse=float(below(np.minimum(-room, -loss)).mean()),
        safe=float((1 - below(-room)).mean()),
    )


def _estimated(noise: Noise, seeds: int, images: float) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors that the rule may find, and their degrees of freedom."""
    from scipy import special

    variance, df = noise.estimate(seeds, images)
    examples = noise.shared / images + noise.own / (seeds * images)
    over_seeds = variance - examples
    if not math.isfinite(df) or over_seeds <= TINY * variance:
        return np.full(1, math.sqrt(variance)), np.full(1, math.inf)
    own_df = df * (over_seeds / variance) ** 2  # of the part over seeds alone
    found = over_seeds * 2 * special.gammaincinv(own_df / 2, NODES) / own_df
    total = found + examples
    return np.sqrt(total), own_df * (total / found) ** 2


def need(comparison: Comparison, supposed: Supposed = "estimated") -> Need:
    """What would decide whether one metric is better, matches, or is worse.

    An estimate is uncertain, and so is what follows from it. What is needed if the two are truly
    equal does not depend on it: that is what it takes to be shown to match.
    """
    return _need([comparison], lambda found: found[0].decided, supposed)


def need_of_ticket(ticket: Ticket, supposed: Supposed = "estimated") -> Need:
    """What would let a ticket pass or fail: all its metrics safe, or any of them worse.

    Metrics are taken to be independent. Those that were not read of it are left out, so of a ticket
    that lacks readings this says nothing: no number of seeds stands in for them.
    """

    def settled(found: Sequence[Chances]) -> float:
        none_worse = math.prod(1 - one.worse for one in found)
        return math.prod(one.safe for one in found) + 1 - none_worse

    votes = [c for c in ticket.comparisons.values() if c.call is not None]
    return _need(votes, settled, supposed)


def _need(
    comparisons: Sequence[Comparison],
    settled: Callable[[Sequence[Chances]], float],
    supposed: Supposed,
) -> Need:
    known = [c for c in comparisons if c.noise is not None and c.margin is not None]
    if not known or len(known) < len(comparisons) or not all(map(_has_variance, known)):
        return Need(None, None, None)
    seeds = max(c.seeds for c in known)

    def power(k: int, images: float) -> float:
        found = [
            chances(
                c.d if supposed == "estimated" else 0.0,
                c.margin or 0.0,
                c.noise,  # type: ignore[arg-type]
                k,
                images=images,
                tests=c.tests,
            )
            for c in known
        ]
        return settled(found)

    more = first_enough(lambda k: power(k, 1.0) >= POWER, seeds + 1, MOST)
    images = first_enough(lambda tenths: power(seeds, tenths / 10) >= POWER, 11, 10 * MOST)
    both = first_enough(lambda t: power(math.ceil(seeds * t / 10), t / 10) >= POWER, 11, 10 * MOST)
    return Need(more, images and images / 10, both and both / 10)


def _has_variance(comparison: Comparison) -> bool:
    """Whether both errors are known: of single networks that over seeds is not."""
    noise = comparison.noise
    return noise is not None and all(map(math.isfinite, (noise.shared, *noise.lent)))


def first_enough(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number that is enough, of those from ``least`` to ``most``; None if none is.

    >>> first_enough(lambda n: n >= 37, 2, 1000), first_enough(lambda n: n > 5000, 2, 1000)
    (37, None)
    """
    low, high = least - 1, least
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
