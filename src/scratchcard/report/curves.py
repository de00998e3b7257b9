"""What a chart of one metric shows, before anyone draws it: band, means, intervals and seeds.

The page and the figures draw the same curves, with percent where a metric is a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.contracts import MetricSpec, Reading
from scratchcard.results import Measured, Results
from scratchcard.verdict import Band, Comparison, Region, Ticket, Verdict, lineup

REGIONS: tuple[Region, ...] = ("I", "II", "III")


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
    """The mean over seeds of one method at one rung; the interval is None where none is known."""

    x: float
    sparsity: float
    target: float
    mean: float
    lo: float | None
    hi: float | None
    seeds: int
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
    def log(self) -> bool:
        """Whether a logarithmic axis is due: ratios matter, and they span more than tenfold."""
        values = [dot.value for curve in self.curves for dot in curve.dots]
        values += [dot.value for dot in self.dense]
        return self.spec.scale == "log" and min(values) > 0 and max(values) > 10 * min(values)

    @property
    def domain(self) -> tuple[float, float]:
        """What is shown: every mean and seed, and a third as much again for the bands.

        Bands are cut there, and where the metric ends: with two seeds they would fill the panel.
        """
        values = [dot.value for curve in self.curves for dot in curve.dots]
        values += [point.mean for curve in self.curves for point in curve.points]
        values += [dot.value for dot in self.dense]
        low, high = min(values), max(values)
        if self.log:
            reach = (high / low) ** (1 / 3)
            return low / reach, high * reach
        reach = (high - low or abs(high) or 1.0) / 3
        bottom, top = low - reach, high + reach
        if self.spec.unit == "fraction":
            bottom = max(bottom, 0.0) if low >= 0 else bottom
            top = min(top, self.scale) if high <= self.scale else top
        return bottom, top

    def cut(self, value: float) -> float:
        """``value``, or the end of the domain that it lies beyond."""
        low, high = self.domain
        return min(max(value, low), high)

    @property
    def title(self) -> str:
        """The metric and which way is better: ``Accuracy ↑``."""
        return f"{self.spec.title} {'↑' if self.spec.better == 'higher' else '↓'}"

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


def ordered(results: Results) -> list[str]:
    """Labels of the metrics, those that vote first."""
    return sorted(results.metrics, key=lambda label: label not in results.margins)


def position(sparsity: float, rungs: Sequence[float]) -> float:
    """Where a sparsity falls on the axis: dense at 0, rung n at n, log density in between.

    >>> round(position(1 - 0.8**2, [0.2, 0.36, 0.488]), 6)
    2.0
    """
    places = [0.0, *(-math.log1p(-min(rung, 1 - 1e-12)) for rung in rungs)]
    return float(np.interp(-math.log1p(-min(sparsity, 1 - 1e-12)), places, range(len(places))))


def panels(results: Results, verdict: Verdict) -> list[Panel]:
    """Every panel that has something to show, by setting, headline metrics first."""
    rungs = ladder(results)
    found = [
        _panel(results, verdict, data, model, metric, rungs)
        for data, model in results.settings
        for metric in ordered(results)
    ]
    return [panel for panel in found if panel.dense or any(c.dots for c in panel.curves)]


def _panel(
    results: Results, verdict: Verdict, data: str, model: str, metric: str, rungs: Sequence[float]
) -> Panel:
    spec = results.metrics[metric]
    scale = 100.0 if spec.unit == "fraction" else 1.0
    read = [
        m
        for m in results.networks
        if (m.network.data, m.network.model) == (data, model)
        and metric in m.readings
        and math.isfinite(m.readings[metric].value)
    ]
    band = verdict.bands.get((data, model, metric))

    def dots(networks: Sequence[Measured]) -> tuple[Dot, ...]:
        return tuple(_dot(m, m.readings[metric], scale, rungs) for m in networks)

    def curve(method: str) -> Curve:
        own = [m for m in read if m.network.method == method]
        tickets = {
            t.target: t
            for t in verdict.tickets
            if (t.data, t.model, t.method) == (data, model, method)
        }
        points = tuple(
            _point(
                dots([m for m in own if m.network.target == target]),
                target,
                tickets.get(target),
                metric,
                spec,
                scale,
            )
            for target in sorted({m.network.target for m in own})
        )
        return Curve(method, points, dots(own))

    return Panel(
        data,
        model,
        metric,
        spec,
        scale,
        _scaled(band, scale) if band is not None and math.isfinite(band.mean) else None,
        dots([m for m in read if m.network.method == "dense"]),
        tuple(curve(method) for method in lineup(results)),
    )


def _scaled(band: Band, scale: float) -> Band:
    lo, hi = (None if end is None else end * scale for end in (band.lo, band.hi))
    return Band(band.mean * scale, lo, hi)


def _dot(m: Measured, reading: Reading, scale: float, rungs: Sequence[float]) -> Dot:
    return Dot(
        position(m.position, rungs),
        m.sparsity,
        m.network.target,
        scale * reading.value,
        scale * reading.stderr,
        reading.n,
        m.network.seed,
    )


def _point(
    dots: Sequence[Dot],
    target: float,
    ticket: Ticket | None,
    metric: str,
    spec: MetricSpec,
    scale: float,
) -> Point:
    mean = float(np.mean([dot.value for dot in dots]))
    comparison = ticket.comparisons.get(metric) if ticket is not None else None
    ends: list[float | None] = [None, None]
    if comparison is not None and math.isfinite(comparison.hi - comparison.lo):
        ends = [*sorted(_moved(mean, spec, comparison, scale, end) for end in ("lo", "hi"))]
    return Point(
        float(np.mean([dot.x for dot in dots])),
        float(np.mean([dot.sparsity for dot in dots])),
        target,
        mean,
        ends[0],
        ends[1],
        len(dots),
        ticket.region if ticket is not None else None,
        comparison,
    )


def _moved(mean: float, spec: MetricSpec, c: Comparison, scale: float, end: str) -> float:
    """An end of the difference's interval, put around the mean reading of the tickets."""
    shift = getattr(c, end) - c.d if spec.better == "higher" else c.d - getattr(c, end)
    return mean * math.exp(shift) if spec.scale == "log" else mean + scale * shift
