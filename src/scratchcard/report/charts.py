"""The page's charts: one Vega-Lite specification, and the data of every panel that fills it.

Methods appear in expressions only as m0, m1, ..., so no name from a study is ever evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from scratchcard.report import theme, words
from scratchcard.report.curves import REGIONS, Curve, Dot, Panel, Point
from scratchcard.report.theme import MARKS
from scratchcard.results import Results
from scratchcard.verdict import Band

HEIGHT = 210
SHOWN = "indexof(hidden, datum.m) < 0"
TIPS = {"who": "method", "at": "sparsity", "value": "value", "by": "evidence"}
LOG_TICKS = [float(f"{m}e{k}") for k in range(-12, 16) for m in (1, 2, 5)]
DASHES = ([1, 0], [5, 4], [1.5, 3.5])


def spec(methods: Sequence[str], rungs: Sequence[float], *, log: bool) -> dict[str, Any]:
    """The chart of one metric; its rows are the data sets that ``rows`` makes.

    Args:
        methods: Labels, in the study's order.
        rungs: The ladder.
        log: Whether the metric's axis is logarithmic.
    """
    names = [f"m{i}" for i in range(len(methods))]
    shapes = [look.shape.vega for look in theme.looks(methods).values()]
    ticks = ["0", *(f"{100 * rung:.3g}" for rung in rungs)]
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-0.35, len(rungs) + 0.35], nice=False),
        axis=alt.Axis(
            values=list(range(len(ticks))),
            labelExpr=f"{ticks!r}[datum.value]",
            labelOverlap="parity",
            labelFontSize=10,
            grid=False,
            title="sparsity, %",
        ),
    )
    kind = alt.Scale(type="log", nice=False, padding=6) if log else alt.Scale(zero=False)
    ticks_y = {"values": LOG_TICKS, "format": ",~g"} if log else {"tickCount": 5}
    axis = alt.Axis(title=None, **ticks_y)
    y, low = alt.Y("y:Q", scale=kind, axis=axis), alt.Y("lo:Q", scale=kind, axis=axis)
    high = alt.Y2("hi:Q")
    colour = alt.Color(
        "m:N",
        legend=None,
        scale=alt.Scale(domain=names, range=[f"var(--{name})" for name in names]),
    )
    shape = alt.Shape("m:N", legend=None, scale=alt.Scale(domain=names, range=shapes))
    dash = alt.StrokeDash(
        "region:N", legend=None, scale=alt.Scale(domain=list(REGIONS), range=list(DASHES))
    )
    run = alt.Detail("run:N")
    tip = [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    dense, twins = _data("dense"), _data("twins")
    seeds, curves, points = (
        _data(name).transform_filter(SHOWN) for name in ("seeds", "curves", "points")
    )
    chart = alt.layer(
        dense.mark_rect(**MARKS["dense-band"]).encode(low, high),
        points.mark_area(**MARKS["interval"]).encode(x, low, high, fill=colour),
        dense.mark_rule(**MARKS["dense-line"]).encode(y),
        curves.mark_line(**MARKS["curve"]).encode(x, y, colour, dash, run),
        seeds.mark_point(**MARKS["seed"]).encode(x, y, fill=colour, tooltip=tip),
        points.mark_point(**MARKS["mean"]).encode(x, y, shape, fill=colour, tooltip=tip),
        twins.mark_point(**MARKS["dense-seed"]).encode(x, y, tooltip=tip),
    ).properties(
        width="container",
        height=HEIGHT,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
    )
    made: dict[str, Any] = chart.add_params(alt.param(name="hidden", value=[])).to_dict(
        validate=False
    )
    return {**made, "config": theme.vega()}


def _data(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name=name))


def rows(panel: Panel, results: Results) -> dict[str, list[dict[str, Any]]]:
    """The named data sets of one panel."""
    keys = {method: f"m{i}" for i, method in enumerate(results.methods)}
    curves = [(keys[curve.method], results.methods[curve.method], curve) for curve in panel.curves]
    band = panel.band
    return {
        "dense": [] if band is None else [_band(panel, band)],
        "twins": [_seed(panel, dot, "Dense twin") for dot in panel.dense],
        "curves": [row for key, _, curve in curves for row in _segments(curve, key)],
        "points": [
            {"m": key, **_mean(panel, point, title)}
            for key, title, curve in curves
            for point in curve.points
        ],
        "seeds": [
            {"m": key, **_seed(panel, dot, title)}
            for key, title, curve in curves
            for dot in curve.dots
        ],
    }


def _band(panel: Panel, band: Band) -> dict[str, float]:
    lo, hi = (band.mean if end is None else panel.cut(end) for end in (band.lo, band.hi))
    return {"y": _trim(band.mean), "lo": _trim(lo), "hi": _trim(hi)}


def _segments(curve: Curve, key: str) -> Iterator[dict[str, Any]]:
    for i, (region, points) in enumerate(curve.runs()):
        for point in points:
            yield {
                "m": key,
                "run": f"{key}/{i}",
                "region": region,
                "x": _trim(point.x),
                "y": _trim(point.mean),
            }


def _mean(panel: Panel, point: Point, title: str) -> dict[str, Any]:
    call = point.comparison.call if point.comparison is not None else None
    return {
        "x": _trim(point.x),
        "y": _trim(point.mean),
        "lo": _trim(point.mean if point.lo is None else panel.cut(point.lo)),
        "hi": _trim(point.mean if point.hi is None else panel.cut(point.hi)),
        "who": title,
        "at": words.percent(point.sparsity),
        "value": words.value(panel.spec, point.mean / panel.scale) + _unit(panel),
        "by": f"mean of {words.count(point.seeds, 'seed')}" + (f": {call}" if call else ""),
    }


def _seed(panel: Panel, dot: Dot, title: str) -> dict[str, Any]:
    number = words.value(panel.spec, dot.value / panel.scale, dot.stderr / panel.scale)
    return {
        "x": _trim(dot.x),
        "y": _trim(dot.value),
        "who": title,
        "at": words.percent(dot.sparsity),
        "value": number + _unit(panel),
        "by": f"seed {dot.seed}, n = {dot.n:,}",
    }


def _unit(panel: Panel) -> str:
    return f" {panel.unit}" if panel.unit else ""


def _trim(number: float) -> float:
    """Six digits: a pixel is coarser, and the page stays small."""
    return float(f"{number:.6g}")
