"""The page's charts: one Vega-Lite specification, and the data of every panel that fills it.

Methods appear in expressions only as m0, m1, ..., so no name from a study is ever evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import altair as alt

from scratchcard.report import theme, words
from scratchcard.report.curves import REGIONS, Curve, Dot, Panel, Point
from scratchcard.report.theme import MARKS, Look
from scratchcard.results import Results
from scratchcard.verdict import Band, lineup

HEIGHT = {"linear": 210, "log": 210, "margins": 300}
SHOWN = "indexof(hidden, datum.m) < 0"
LIT = "lit == '' || lit == datum.m"
FEW = 6
"""As many intervals and seeds can lie over each other; those of more are fainter."""
TIPS = {"who": "method", "at": "sparsity", "value": "value", "by": "evidence"}
Kind = Literal["linear", "log", "margins"]
KINDS: tuple[Kind, ...] = ("linear", "log", "margins")
LOG_TICKS = [float(f"{m}e{k}") for k in range(-12, 16) for m in (1, 2, 5)]
UPRIGHT: dict[Kind, tuple[alt.Scale, dict[str, Any]]] = {
    "linear": (alt.Scale(zero=False), {"tickCount": 5}),
    "log": (alt.Scale(type="log", nice=False, padding=6), {"values": LOG_TICKS, "format": "~g"}),
    "margins": (
        alt.Scale(type="symlog", constant=2, nice=False, padding=6),
        {"values": [-300, -100, -30, -10, -3, -1, 0, 1, 3, 10, 30], "format": "d"},
    ),
}
"""The scale and the ticks of upright axes: margins are linear around 0 and logarithmic beyond."""
PREFIXED = (
    "abs(datum.value) < 1000 ? datum.label : "
    "replace(format(datum.value, '~s'), /([a-zA-Z]+)$/, ' $1')"
)
"""Labels of an axis, with the prefixes of the SI from 1,000 on."""
ACROSS: dict[str, Any] = {
    "labelOverlap": "parity",
    "labelFontSize": 10,
    "grid": False,
    "title": "sparsity, %",
}
DASHES = ([1, 0], [5, 4], [1.5, 3.5])


def spec(
    looks: Sequence[Look], rungs: Sequence[float], *, kind: Kind, steps: bool = True
) -> dict[str, Any]:
    """The chart of one metric or of losses in margins; its rows are data sets as of ``rows``.

    Args:
        looks: How each method is drawn, in the order of the legend.
        rungs: The ladder.
        kind: Of the upright axis.
        steps: Whether rungs are a step apart, which is logarithmic in density, or stand by their
            sparsity.
    """
    x = _steps(rungs) if steps else _sparsities()
    scale, ticks = UPRIGHT[kind]
    axis = alt.Axis(title=None, labelExpr=PREFIXED, **ticks)
    y, low = alt.Y("y:Q", scale=scale, axis=axis), alt.Y("lo:Q", scale=scale, axis=axis)
    high = alt.Y2("hi:Q")
    colours = [f"var(--m{i})" for i in range(len(looks))]
    hollow = zip(looks, colours, strict=True)
    fills = ["var(--paper)" if look.hollow else colour for look, colour in hollow]
    stroke, tint = _by_method(alt.Stroke, colours), _by_method(alt.Fill, colours)
    fill = _by_method(alt.Fill, fills)
    shape = _by_method(alt.Shape, [look.shape.vega for look in looks])
    controls = [f"m{i}" for i, look in enumerate(looks) if look.control]
    thin = {"test": f"indexof({controls!r}, datum.m) >= 0", "value": 1.3}
    width = alt.StrokeWidthValue(1.9, condition=thin)
    crowd = min(1.0, FEW / max(1, len(looks)))
    dash = alt.StrokeDash(
        "region:N", legend=None, scale=alt.Scale(domain=list(REGIONS), range=list(DASHES))
    )
    run = alt.Detail("run:N")
    tip = [alt.Tooltip(f"{key}:N", title=title) for key, title in TIPS.items()]
    dense, twins = _data("dense"), _data("twins")
    seeds, curves, points = (
        _data(name).transform_filter(SHOWN) for name in ("seeds", "curves", "points")
    )
    areas = points.transform_filter("!datum.bar")
    bars = points.transform_filter("datum.bar")
    front = [_data("front").mark_line(**MARKS["front"]).encode(x, y)] if kind == "margins" else []
    chart = alt.layer(
        *front,
        dense.mark_rect(**MARKS["dense-band"]).encode(low, high),
        areas.mark_area(**MARKS["interval"]).encode(x, low, high, tint, _lit(0.13 * crowd)),
        bars.mark_rule(**MARKS["bar"]).encode(x, low, high, stroke, _lit(0.5)),
        dense.mark_rule(**MARKS["dense-line"]).encode(y),
        curves.mark_line(**MARKS["curve"]).encode(x, y, stroke, dash, run, width, _lit(1)),
        seeds.mark_point(**MARKS["seed"]).encode(x, y, tint, _lit(0.4 * crowd), tooltip=tip),
        points.mark_point(**MARKS["mean"]).encode(x, y, shape, fill, stroke, _lit(1), tooltip=tip),
        twins.mark_point(**MARKS["dense-seed"]).encode(x, y, tooltip=tip),
    ).properties(
        width="container",
        height=HEIGHT[kind],
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
    )
    # Layers share a scale unless told otherwise, and hollow markers would be filled.
    chart = chart.resolve_scale(fill="independent")
    signals = alt.param(name="hidden", value=[]), alt.param(name="lit", value="")
    made: dict[str, Any] = chart.add_params(*signals).to_dict(validate=False)
    return {**made, "config": theme.vega()}


def _steps(rungs: Sequence[float]) -> alt.X:
    """The ladder, rung after rung."""
    ticks = ["0", *(f"{100 * rung:.3g}" for rung in rungs)]
    labels = f"{ticks!r}[datum.value]"
    axis = alt.Axis(**ACROSS, values=list(range(len(ticks))), labelExpr=labels)
    scale = alt.Scale(domain=[-0.35, len(rungs) + 0.35], nice=False)
    return alt.X("x:Q", scale=scale, axis=axis)


def _sparsities() -> alt.X:
    """Sparsity as it is."""
    scale = alt.Scale(domain=[-4, 102], nice=False)
    return alt.X("s:Q", scale=scale, axis=alt.Axis(**ACROSS, values=[0, 20, 40, 60, 80, 100]))


def _by_method(channel: Any, values: Sequence[Any]) -> Any:
    """An encoding by method, without a legend: the page has its own."""
    names = [f"m{i}" for i in range(len(values))]
    return channel("m:N", legend=None, scale=alt.Scale(domain=names, range=list(values)))


def _lit(opacity: float) -> Any:
    """The opacity of a mark, next to nothing while another method is pointed at."""
    return alt.OpacityValue(0.08 * opacity, condition={"test": LIT, "value": round(opacity, 3)})


def _data(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name=name))


def rows(panel: Panel, results: Results) -> dict[str, list[dict[str, Any]]]:
    """The named data sets of one panel."""
    keys = {method: f"m{i}" for i, method in enumerate(lineup(results))}
    titles = {
        m: f"{t} (control)" if m in results.controls else t for m, t in results.methods.items()
    }
    # Controls first: what is drawn later lies on top.
    drawn = sorted(panel.curves, key=lambda curve: curve.method not in results.controls)
    curves = [(keys[curve.method], titles[curve.method], curve) for curve in drawn]
    band = panel.band
    return {
        "dense": [] if band is None else [_band(panel, band)],
        "twins": [_seed(panel, dot, "Dense twin") for dot in panel.dense],
        "curves": [row for key, _, curve in curves for row in _segments(panel, curve, key)],
        "points": [
            {
                "m": key,
                "bar": panel.together or len(curve.points) == 1,
                **_mean(panel, point, title),
            }
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
    lo, hi = (panel.cut(band.mean if end is None else end) for end in (band.lo, band.hi))
    return {"y": trim(band.mean), "lo": trim(lo), "hi": trim(hi)}


def _segments(panel: Panel, curve: Curve, key: str) -> Iterator[dict[str, Any]]:
    for i, (region, points) in enumerate(curve.runs()):
        for point in points:
            yield {
                "m": key,
                "run": f"{key}/{i}",
                "region": region,
                **_across(point),
                "y": trim(panel.cut(point.mean)),
            }


def _mean(panel: Panel, point: Point, title: str) -> dict[str, Any]:
    call = point.comparison.call if point.comparison is not None else None
    seeds, error = words.count(point.seeds, "seed"), None
    by = f"mean of {seeds}" + (f": {call}" if call else "")
    if panel.together:
        by = f"all {seeds} together, n = {point.n:,}"
        error = None if point.hi is None else point.hi - point.mean
    return {
        **_across(point),
        "y": trim(panel.cut(point.mean)),
        "lo": trim(panel.cut(point.mean if point.lo is None else point.lo)),
        "hi": trim(panel.cut(point.mean if point.hi is None else point.hi)),
        "who": title,
        "at": _at(point.sparsity, point.target),
        "value": _printed(panel, point.mean, error),
        "by": by,
    }


def _seed(panel: Panel, dot: Dot, title: str) -> dict[str, Any]:
    return {
        **_across(dot),
        "y": trim(panel.cut(dot.value)),
        "who": title,
        "at": _at(dot.sparsity, dot.target),
        "value": _printed(panel, dot.value, dot.stderr),
        "by": f"seed {dot.seed}, n = {dot.n:,}",
    }


def _across(place: Dot | Point) -> dict[str, float]:
    """Where it stands on either axis, in steps and in percent; what is dense stands at its rung."""
    return {"x": trim(place.x), "s": trim(100 * (place.sparsity or place.target))}


def _at(sparsity: float, target: float) -> str:
    """Its own sparsity; what is dense at a rung names the rung."""
    dense = f"dense, for {words.percent(target)}"
    return dense if target and not sparsity else words.percent(sparsity)


def _printed(panel: Panel, number: float, error: float | None) -> str:
    """A reading with its error and unit; both come in the scale of the panel."""
    scaled = None if error is None else error / panel.scale
    text = words.value(panel.spec, number / panel.scale, scaled)
    return f"{text} {panel.unit}".rstrip()


def trim(number: float) -> float:
    """Six digits: a pixel is coarser, and the page stays small."""
    return float(f"{number:.6g}")
