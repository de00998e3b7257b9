"""The paper's overview as a figure: every headline metric of every method at one sparsity."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from scratchcard.report import figures, numbers, theme
from scratchcard.report.cells import named
from scratchcard.report.curves import ladder
from scratchcard.report.overview import CENTRE, RIM, Radar, axis, radars
from scratchcard.report.summary import chosen_rung
from scratchcard.results import Results
from scratchcard.verdict import Verdict, lineup

SIZE = 2.45
"""Inches that a radar is high, with its labels."""
SIGN = 0.044
"""Inches that a sign of the heading is wide."""


def figure(results: Results, verdict: Verdict) -> Figure | None:
    """The radars of all settings, six methods in each, with what their axes mean."""
    found = radars(results, chosen_rung(results, verdict, ladder(results)))
    if not found:
        return None
    groups = figures.shared(list(lineup(results)))
    drawn = [(radar, group) for radar in found for group in groups]
    across = min(2, len(drawn))
    deep = -(-len(drawn) // across)
    result = Figure(layout="constrained")
    grid = result.subplots(deep, across, squeeze=False, subplot_kw={"projection": "polar"})
    for (radar, group), axes in zip(drawn, grid.flat, strict=False):
        _draw(axes, results, radar, group)
    for axes in grid.flat[len(drawn) :]:
        axes.set_axis_off()
    width = figures.WIDTH if across > 1 else 0.62 * figures.WIDTH
    told = textwrap.wrap(_told(results, found[0]), int(width / SIGN))
    result.suptitle("\n".join(told), fontsize=7.5, x=0.01, ha="left")
    below = figures.legend(result, results, width, band=False)
    result.set_size_inches(width, 0.25 + 0.125 * len(told) + SIZE * deep + below)
    return result


def _told(results: Results, radar: Radar) -> str:
    return (
        f"Means over seeds at {numbers.percent(radar.target)} sparsity. Each axis runs from the "
        "worst (inner ring) to the best (outer ring) of the networks shown, whose readings stand "
        "beside it; * marks ends less than a margin apart."
    )


def _draw(axes: PolarAxes, results: Results, radar: Radar, methods: Sequence[str]) -> None:
    looks = theme.looks(lineup(results), results.controls)
    angles = np.linspace(0, 2 * math.pi, len(radar.metrics), endpoint=False)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    for method in ("dense", *methods):
        places = {s.metric: s.place for s in radar.spokes if s.method == method}
        if not places:
            continue
        radius = [places.get(label, math.nan) for label in radar.metrics]
        ring = [*angles, angles[0]], [*radius, radius[0]]
        if method == "dense":
            axes.plot(*ring, color=figures.INK, linewidth=0.9, linestyle=(0, (5, 3)))
            continue
        look = looks[method]
        thick = 0.8 if look.control else 1.2
        axes.plot(*ring, color=look.hue.light, linewidth=thick)
        axes.plot(
            *ring, look.shape.matplotlib, markersize=3.4, clip_on=False, **figures.marking(look)
        )
    axes.set_ylim(CENTRE, RIM)
    axes.set_yticks([0.0, 0.5, 1.0], [])
    axes.set_xticks(angles, ["\n".join(axis(results, radar, label)) for label in radar.metrics])
    axes.tick_params(axis="x", pad=5, labelsize=6.8)
    for angle, text in zip(angles, axes.get_xticklabels(), strict=True):
        side = math.sin(angle)
        text.set_horizontalalignment(
            "center" if abs(side) < 0.2 else "left" if side > 0 else "right"
        )
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines["polar"].set_visible(False)
    axes.set_title(named(radar.setting, results), loc="left")
