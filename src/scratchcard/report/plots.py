"""From results to the curves of every chart, with percent where a metric is a fraction.

The page and the figures draw the same panels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from scratchcard.contracts import MetricSpec, Reading
from scratchcard.report.curves import Curve, Dot, Panel, Point, ladder, position
from scratchcard.report.dimensions import by_dimension
from scratchcard.results import Measured, Results
from scratchcard.verdict import Band, Comparison, Ticket, Verdict, lineup

FAR = 100.0
"""A logarithm of a ratio that is off every chart."""


def panels(results: Results, verdict: Verdict) -> list[Panel]:
    """Every panel that has something to show, by setting and dimension, voting metrics first."""
    rungs = ladder(results)
    found = [
        _panel(results, verdict, data, model, metric, rungs)
        for data, model in results.settings
        for labels in by_dimension(results).values()
        for metric in labels
    ]
    return [panel for panel in found if panel.dense or any(c.points for c in panel.curves)]


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
        if spec.scope == "group":
            who = (data, model, method)
            return Curve(method, tuple(_common(results, who, metric, scale, rungs, tickets)), ())
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
        dots[0].n,
        ticket.region if ticket is not None else None,
        comparison,
    )


def _common(
    results: Results,
    who: tuple[str, str, str],
    metric: str,
    scale: float,
    rungs: Sequence[float],
    tickets: Mapping[float, Ticket],
) -> Iterator[Point]:
    """The readings of all seeds of a method together, from the densest rung on."""
    for cell in sorted(cell for cell in results.together if cell[:3] == who):
        reading = results.together[cell].readings.get(metric)
        if reading is None or not math.isfinite(reading.value):
            continue
        members = results.groups[cell]
        value, error = scale * reading.value, scale * reading.stderr
        known, ticket = math.isfinite(error), tickets.get(cell.target)
        yield Point(
            float(np.mean([position(m.position, rungs) for m in members])),
            float(np.mean([m.sparsity for m in members])),
            cell.target,
            value,
            value - error if known else None,
            value + error if known else None,
            len(members),
            reading.n,
            ticket.region if ticket is not None else None,
            None,
        )


def _moved(mean: float, spec: MetricSpec, c: Comparison, scale: float, end: str) -> float:
    """An end of the difference's interval, put around the mean reading of the tickets."""
    shift: float = getattr(c, end) - c.d if spec.better == "higher" else c.d - getattr(c, end)
    if spec.scale == "log":
        # The error of the logarithm of next to nothing (a trace may be negative) has no bound.
        return mean * math.exp(min(shift, FAR))
    return mean + scale * shift
