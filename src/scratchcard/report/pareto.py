"""Size against the worst loss: how many weights are left, and what that costs at the worst place.

A ticket's worst place is the headline metric with the heaviest loss, counted in margins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from scratchcard.contracts import Dimension
from scratchcard.report import figures, numbers, theme
from scratchcard.report.cells import named
from scratchcard.report.curves import ladder
from scratchcard.report.overview import Place, places
from scratchcard.report.phrases import DIMENSIONS
from scratchcard.results import Results
from scratchcard.verdict import Verdict, lineup

STRAIGHT = 2.0
"""Margins to either side of 0 between which the axis is linear; beyond it is logarithmic."""
TICKS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100)
HIGH = 2.6
"""Inches of a panel."""
LETTERS: dict[Dimension, str] = {
    "generalisation": "G",
    "calibration": "C",
    "interpretability": "I",
    "landscape": "L",
}


def figure(results: Results, verdict: Verdict) -> Figure | None:
    """The tickets of each setting, six methods in a panel; None where nothing votes."""
    found = {s: some for s in results.settings if (some := places(results, verdict, s))}
    if not found:
        return None
    groups = figures.shared(list(lineup(results)))
    drawn = [(setting, group) for setting in found for group in groups]
    across = min(2, len(drawn))
    deep = -(-len(drawn) // across)
    result = Figure(layout="constrained")
    grid = result.subplots(deep, across, squeeze=False, sharey=True)
    bottom = 2 * min(-1.0, *(p.margins for some in found.values() for p in some))
    for axes, (setting, group) in zip(grid.flat, drawn, strict=False):
        _draw(axes, results, found[setting], group, bottom)
        axes.set_title(named(setting, results), loc="left")
    for axes in grid.flat[len(drawn) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("worst headline metric\nagainst dense (margins)")
    width = figures.WIDTH if across > 1 else 0.75 * figures.WIDTH
    shown = dict.fromkeys(p.dimension for some in found.values() for p in some)
    letters = ", ".join(f"{LETTERS[d]} {DIMENSIONS[d]}" for d in LETTERS if d in shown)
    result.suptitle(
        f"Letters: dimension of the worst metric ({letters}).\n"
        "Bars: 90 % intervals. Grey: less than a margin from dense. Step: tickets that no other "
        "beats in both.",
        fontsize=7.5,
        x=0.01,
        ha="left",
    )
    below = figures.legend(result, results, width, band=False)
    result.set_size_inches(width, 0.5 + HIGH * deep + below)
    return result


def _draw(
    axes: Axes, results: Results, some: Sequence[Place], methods: Sequence[str], bottom: float
) -> None:
    """The tickets of ``methods``, over the step that the best of all make."""
    looks = theme.looks(lineup(results), results.controls)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=STRAIGHT, linscale=0.8)
    axes.axhline(0, color=figures.INK, linewidth=0.9, linestyle=(0, (5, 3)))
    axes.axhspan(-1, 1, color=figures.INK, alpha=0.08, linewidth=0)
    front = sorted((p for p in some if p.best), key=lambda p: p.density)
    axes.step(
        [p.density for p in front],
        [p.margins for p in front],
        where="post",
        color="#999999",
        linewidth=3,
        alpha=0.35,
        zorder=1,
    )
    rungs = ladder(results)
    step = _step(rungs, len(methods))
    for place in some:
        if place.ticket.method not in methods:
            continue
        look = looks[place.ticket.method]
        aside = methods.index(place.ticket.method) - (len(methods) - 1) / 2
        x = place.density * math.exp(step * aside)
        lo, hi = (max(end, 2 * bottom) for end in place.ends)
        if math.isfinite(hi - lo):
            axes.vlines(x, lo, hi, color=look.hue.light, alpha=0.5, linewidth=0.8)
        axes.plot(
            x,
            place.margins,
            look.shape.matplotlib,
            markersize=4.2,
            **figures.marking(look),
        )
        axes.annotate(
            LETTERS[place.dimension],
            (x, place.margins),
            (3.5, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
            color=figures.INK,
        )
    _ticks(axes, rungs)
    axes.set_ylim(bottom, None)


def _step(rungs: Sequence[float], methods: int) -> float:
    """The logarithm of a density between methods of one rung, which stand beside each other."""
    gaps = [math.log((1 - a) / (1 - b)) for a, b in pairwise(rungs)]
    return 0.5 * min(gaps, default=1.0) / max(methods, 1)


def _ticks(axes: Axes, rungs: Sequence[float]) -> None:
    every = -(-len(rungs) // 6)
    axes.xaxis.set_major_locator(FixedLocator([1 - rung for rung in rungs[::-1][::every]]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("weights left (%), methods side by side")
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}".replace("-", numbers.MINUS)))
