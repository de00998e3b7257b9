"""What a chart of one metric shows, before anyone draws it: band, means, intervals and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.contracts import MetricSpec
from scratchcard.results import Results
from scratchcard.verdict import Band, Comparison, Region

REGIONS: tuple[Region, ...] = ("I", "II", "III")
DECADES = 4
"""To either side of dense that a logarithmic axis has: networks that collapse may read 1e-57."""


@dataclass(frozen=True)
class Dot:
    """One network's reading at a position on the axis."""

    x: float
    sparsity: float
    target: float
    value: float
    stderr: float
    n: int
    seed: int


@dataclass(frozen=True)
class Point:
    """What the seeds of one method at one rung say: their mean, or a reading of all together.

    The interval is that of the difference to dense, around the mean, or one standard error to
    either side of a common reading; None where none is known.
    """

    x: float
    sparsity: float
    target: float
    mean: float
    lo: float | None
    hi: float | None
    seeds: int
    n: int
    region: Region | None
    comparison: Comparison | None


@dataclass(frozen=True)
class Curve:
    """One method's means, from the densest rung on, and its networks."""

    method: str
    points: tuple[Point, ...]
    dots: tuple[Dot, ...]

    def runs(self) -> Iterator[tuple[Region, tuple[Point, ...]]]:
        """Stretches of one region; a segment belongs to the worse region of its two ends."""
        run: list[Point] = []
        region: Region | None = None
        for a, b in zip(self.points, self.points[1:], strict=False):
            worse = max(a.region or "I", b.region or "I", key=REGIONS.index)
            if worse != region and region is not None:
                yield region, tuple(run)
                run = []
            region = worse
            run = [*(run or [a]), b]
        if region is not None:
            yield region, tuple(run)


@dataclass(frozen=True)
class Panel:
    """One metric of one data set and model; ``scale`` turns readings into what is printed."""

    data: str
    model: str
    metric: str
    spec: MetricSpec
    scale: float
    band: Band | None
    dense: tuple[Dot, ...]
    curves: tuple[Curve, ...]

    @property
    def together(self) -> bool:
        """Whether a point is one reading of all seeds, and no mean of theirs."""
        return self.spec.scope == "group"

    @property
    def _values(self) -> list[float]:
        """Every network and every mean, or the ends of every common reading's error bar."""
        points = [point for curve in self.curves for point in curve.points]
        values = [dot.value for curve in self.curves for dot in curve.dots]
        values += [dot.value for dot in self.dense] + [point.mean for point in points]
        ends = [end for point in points for end in (point.lo, point.hi) if end is not None]
        return values + (ends if self.together else [])

    @property
    def log(self) -> bool:
        """Whether a logarithmic axis is due: ratios matter, and they span more than tenfold."""
        low, high = min(self._values), max(self._values)
        return self.spec.scale == "log" and low > 0 and high > 10 * low

    @property
    def domain(self) -> tuple[float, float]:
        """Every mean and seed, and a third as much again for the bands, or where the metric ends.

        With two seeds the bands would fill the panel.
        """
        low, high = min(self._values), max(self._values)
        if self.log:
            reach = (high / low) ** (1 / 3)
            return low / reach, high * reach
        reach = (high - low or abs(high) or 1.0) / 3
        bottom, top = low - reach, high + reach
        if self.spec.unit == "fraction":
            bottom = max(bottom, 0.0) if low >= 0 else bottom
            top = min(top, self.scale) if high <= self.scale else top
        return bottom, top

    @property
    def window(self) -> tuple[float, float]:
        """What is shown: the domain; of a logarithmic one no more than is near the dense twins."""
        low, high = self.domain
        if not self.log or high <= low * 10 ** (2 * DECADES):
            return low, high
        means = sorted(p.mean for curve in self.curves for p in curve.points)
        middle = self.band.mean if self.band is not None else means[len(means) // 2]
        reach = 10**DECADES
        lowest, highest = min(middle, *means), max(middle, *means)
        return max(lowest / 10, middle / reach), min(highest * 10, middle * reach)

    def cut(self, value: float) -> float:
        """``value``, or the end of the window that it lies beyond."""
        low, high = self.window
        return min(max(value, low), high)

    @property
    def title(self) -> str:
        """The metric and which way is better: ``Accuracy ↑``."""
        return f"{self.spec.title}\N{NO-BREAK SPACE}{'↑' if self.spec.better == 'higher' else '↓'}"

    @property
    def unit(self) -> str:
        """``%`` for fractions, else empty."""
        return "%" if self.scale == 100 else ""


def targets(results: Results) -> tuple[float, ...]:
    """The sparsities aimed at, from the densest on, without the dense twin's 0."""
    return tuple(sorted({m.network.target for m in results.networks if m.network.target > 0}))


def ladder(results: Results) -> tuple[float, ...]:
    """The rungs of the axis: the targets of the methods that visit most, and any sparser one.

    A method with a sparsity of its own (2:4) stands between two rungs; it adds none for the others.
    """
    visited: dict[str, set[float]] = {}
    for m in results.networks:
        if m.network.target > 0:
            visited.setdefault(m.network.method, set()).add(m.network.target)
    longest = max(map(len, visited.values()), default=0)
    rungs = {t for own in visited.values() if len(own) == longest for t in own}
    sparser = {t for own in visited.values() for t in own if t > max(rungs)}
    return tuple(sorted(rungs | sparser))


def position(sparsity: float, rungs: Sequence[float]) -> float:
    """Where a sparsity falls on the axis: dense at 0, rung n at n, log density in between.

    >>> round(position(1 - 0.8**2, [0.2, 0.36, 0.488]), 6)
    2.0
    """
    places = [0.0, *(-math.log1p(-min(rung, 1 - 1e-12)) for rung in rungs)]
    return float(np.interp(-math.log1p(-min(sparsity, 1 - 1e-12)), places, range(len(places))))
