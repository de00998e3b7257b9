"""The numbers behind each figure, as rows: what is drawn, in the units in which it is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scratchcard.long_table import Row
from scratchcard.report.curves import Curve, Dot, Panel, ladder
from scratchcard.report.overview import places, radars
from scratchcard.report.summary import chosen_rung
from scratchcard.results import Results
from scratchcard.verdict import Verdict


def panel_rows(results: Results, panels: Sequence[Panel]) -> list[Row]:
    """Every mark of these panels a row: ``band``, ``dense``, ``mean`` or ``seed``.

    Of a band and of a mean, ``lo`` and ``hi`` are the ends of the 90 % interval (of a reading of
    all seeds together, of one standard error); of one network, ``stderr`` is over its examples.
    """
    return [row for panel in panels for row in _panel(results, panel)]


def _panel(results: Results, panel: Panel) -> Iterator[Row]:
    about: Row = {
        "data": panel.data,
        "model": panel.model,
        "metric": panel.metric,
        "title": panel.spec.title,
        "unit": panel.unit,
        "higher_is_better": panel.spec.better == "higher",
    }
    dense = _row(about, "dense", "Dense twin")
    if panel.band is not None:
        band = panel.band
        yield dense | {"mark": "band", "value": band.mean, "lo": band.lo, "hi": band.hi}
    for dot in panel.dense:
        yield dense | _dot("dense", dot)
    for curve in panel.curves:
        yield from _curve(_row(about, curve.method, results.methods[curve.method]), curve)


def _curve(row: Row, curve: Curve) -> Iterator[Row]:
    for point in curve.points:
        yield row | {
            "mark": "mean",
            "target_sparsity": point.target,
            "sparsity": point.sparsity,
            "seeds": point.seeds,
            "value": point.mean,
            "lo": point.lo,
            "hi": point.hi,
            "n": point.n,
            "region": point.region,
        }
    for dot in curve.dots:
        yield row | _dot("seed", dot)


def _dot(mark: str, dot: Dot) -> Row:
    """The columns that one network fills."""
    return {
        "mark": mark,
        "target_sparsity": dot.target,
        "sparsity": dot.sparsity,
        "seed": dot.seed,
        "value": dot.value,
        "stderr": dot.stderr,
        "n": dot.n,
    }


def _row(about: Row, method: str, title: str) -> Row:
    """A row with every column, in order; what a mark does not have is empty."""
    empty = ("mark", "target_sparsity", "sparsity", "seed", "seeds", "value", "lo", "hi")
    return {
        **about,
        "method": method,
        "method_title": title,
        **dict.fromkeys((*empty, "stderr", "n", "region")),
    }


def radar_rows(results: Results, verdict: Verdict) -> list[Row]:
    """Every corner of the radars: the mean as measured, and where it stands on its axis."""
    return [
        {
            "data": radar.setting[0],
            "model": radar.setting[1],
            "target_sparsity": radar.target,
            "metric": spoke.metric,
            "title": results.metrics[spoke.metric].title,
            "unit": results.metrics[spoke.metric].unit,
            "method": spoke.method,
            "method_title": results.methods.get(spoke.method, "Dense twin"),
            "sparsity": spoke.sparsity,
            "mean": spoke.mean,
            "stderr": spoke.stderr,
            "place": spoke.place,
        }
        for radar in radars(results, chosen_rung(results, verdict, ladder(results)))
        for spoke in radar.spokes
    ]


def pareto_rows(results: Results, verdict: Verdict) -> list[Row]:
    """Every ticket of the figure: its size, its worst metric, and the loss there in margins."""
    return [
        {
            "data": place.ticket.data,
            "model": place.ticket.model,
            "method": place.ticket.method,
            "method_title": results.methods[place.ticket.method],
            "target_sparsity": place.ticket.target,
            "weights_left": place.density,
            "worst_metric": place.worst.metric,
            "worst_dimension": place.dimension,
            "margins": place.margins,
            "lo": place.ends[0],
            "hi": place.ends[1],
            "all_read": place.complete,
            "best": place.best,
        }
        for setting in results.settings
        for place in places(results, verdict, setting)
    ]
