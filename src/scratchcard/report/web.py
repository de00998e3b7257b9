"""The overview on the page: a radar at every rung as SVG, and size against the worst loss.

Colours are the page's, so that the legend hides and lights methods here, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scratchcard.report import numbers
from scratchcard.report.cells import named, row_of
from scratchcard.report.charts import trim
from scratchcard.report.curves import position
from scratchcard.report.overview import CENTRE, RIM, Place, Radar, axis, places, radars
from scratchcard.results import Results
from scratchcard.verdict import Verdict, lineup, voters

LABEL = "The worst headline metric in margins, against sparsity"
RADIUS = 150.0
"""Of the rim, in the units of the drawing."""


@dataclass(frozen=True)
class Axis:
    """One metric: where its line ends, and what stands there."""

    x: float
    y: float
    anchor: Literal["start", "middle", "end"]
    title: str
    ends: str


@dataclass(frozen=True)
class Ring:
    """One method; ``mark`` is what the page calls it, empty of the dense twin."""

    mark: str
    title: str
    control: bool
    path: str


@dataclass(frozen=True)
class Web:
    """A radar."""

    rung: str
    heading: str
    rings: tuple[float, ...]
    axes: tuple[Axis, ...]
    networks: tuple[Ring, ...]


@dataclass(frozen=True)
class Losses:
    """The data sets of one setting's chart of worst losses."""

    name: str
    datasets: dict[str, list[dict[str, Any]]]


def webs(results: Results, targets: Sequence[float]) -> list[Web]:
    """The radars of every rung and setting."""
    return [_web(results, radar) for target in targets for radar in radars(results, target)]


def _web(results: Results, radar: Radar) -> Web:
    turns = [2 * math.pi * i / len(radar.metrics) for i in range(len(radar.metrics))]
    axes = tuple(
        _axis(turn, *axis(results, radar, label))
        for turn, label in zip(turns, radar.metrics, strict=True)
    )
    where = f"{numbers.percent(radar.target)} sparse"
    return Web(
        f"{radar.target:g}",
        " · ".join(filter(None, [named(radar.setting, results), where])),
        tuple(round(_radius(place), 1) for place in (0.0, 0.5, 1.0)),
        axes,
        tuple(_rings(results, radar, turns)),
    )


def _radius(place: float) -> float:
    return RADIUS * (place - CENTRE) / (RIM - CENTRE)


def _point(turn: float, radius: float) -> tuple[float, float]:
    """Clockwise from the top."""
    return round(radius * math.sin(turn), 1), round(-radius * math.cos(turn), 1)


def _axis(turn: float, title: str, ends: str) -> Axis:
    x, y = _point(turn, RADIUS + 12)
    side = math.sin(turn)
    anchor: Literal["start", "middle", "end"] = "start" if side > 0 else "end"
    return Axis(x, y, "middle" if abs(side) < 0.2 else anchor, title, ends)


def _rings(results: Results, radar: Radar, turns: Sequence[float]) -> Iterator[Ring]:
    for method in ("dense", *lineup(results)):
        own = {s.metric: s.place for s in radar.spokes if s.method == method}
        corners = [
            _point(turn, _radius(own[label]))
            for turn, label in zip(turns, radar.metrics, strict=True)
            if label in own
        ]
        if corners:
            path = "M" + "L".join(f"{x} {y}" for x, y in corners) + "z"
            mark = row_of(results, method, ()).method
            title = results.methods.get(method, "Dense twin")
            yield Ring(mark, title, method in results.controls, path)


def losses(results: Results, verdict: Verdict, rungs: Sequence[float]) -> list[Losses]:
    """What is drawn of each setting in which anything votes."""
    found = {s: some for s in results.settings if (some := places(results, verdict, s))}
    return [
        Losses(named(setting, results), _datasets(results, some, rungs))
        for setting, some in found.items()
    ]


def _datasets(
    results: Results, some: Sequence[Place], rungs: Sequence[float]
) -> dict[str, list[dict[str, Any]]]:
    """As of ``charts.rows``: the band is a margin to either side, a line joins a method's rungs."""
    some = sorted(some, key=lambda place: -place.density)
    rows = [(place, _row(results, place, rungs)) for place in some]
    curves = [
        {"m": row["m"], "run": row["m"], "region": place.ticket.region or "I", **_where(row)}
        for place, row in rows
    ]
    return {
        "dense": [{"y": 0, "lo": -1, "hi": 1}],
        "twins": [],
        "seeds": [],
        "curves": curves,
        "points": [row for _, row in rows],
        "front": [_where(row) for place, row in rows if place.best],
    }


def _where(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("x", "s", "y")}


def _row(results: Results, place: Place, rungs: Sequence[float]) -> dict[str, Any]:
    ticket = place.ticket
    sparsity = ticket.sparsity or ticket.target
    low, high = place.ends
    title = results.metrics[place.worst.metric].title
    of = "" if place.complete else f", of {len(ticket.comparisons)} that were read"
    best = "; no other is smaller and loses less" if place.best else ""
    finite = math.isfinite(high - low)
    return {
        "m": row_of(results, ticket.method, ()).method,
        "bar": True,
        "x": trim(position(sparsity, rungs)),
        "s": trim(100 * sparsity),
        "y": trim(place.margins),
        "lo": trim(max(low, 3 * min(place.margins, -1)) if finite else place.margins),
        "hi": trim(high if finite else place.margins),
        "who": results.methods[ticket.method],
        "at": numbers.percent(ticket.sparsity),
        "value": f"{numbers.signed(place.margins)} margins",
        "by": f"{title}, the worst of {len(voters(results))}{of}{best}",
    }
