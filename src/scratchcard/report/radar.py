"""The paper's overview as a radar: every headline metric of every method at one sparsity.

The normalisation is the paper's: each axis runs from the worst to the best of the networks shown,
so that it says who is ahead, not by how much; the ends of each axis stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from scratchcard.report import figures, numbers, theme
from scratchcard.report.cells import averaged, named
from scratchcard.report.curves import ladder
from scratchcard.report.summary import chosen_rung
from scratchcard.results import Cell, Results
from scratchcard.verdict import Verdict, lineup, voters

CENTRE, RIM = -0.2, 1.1
"""Where the paper puts them, so that the worst network does not vanish in the centre."""
LEAST = 3
"""Axes that a radar needs."""
SIZE = 2.45
"""Inches that a radar is high, with its labels."""


@dataclass(frozen=True)
class Spoke:
    """One network's mean on one axis.

    Attributes:
        metric: Label.
        method: Label, or ``dense``.
        sparsity: Mean of the seeds' own.
        mean: As measured.
        stderr: Of the mean.
        place: From 0, the worst shown, to 1, the best; 1 if all are equal.
    """

    metric: str
    method: str
    sparsity: float
    mean: float
    stderr: float
    place: float


@dataclass(frozen=True)
class Radar:
    """One data set and model at one rung: the axes in their order, and what is on them."""

    setting: tuple[str, str]
    target: float
    metrics: tuple[str, ...]
    spokes: tuple[Spoke, ...]


def radars(results: Results, verdict: Verdict) -> list[Radar]:
    """A radar per setting, at the rung where the scorecard opens; none with fewer than 3 axes."""
    target = chosen_rung(results, verdict, ladder(results))
    found = [_radar(results, setting, target) for setting in results.settings]
    return [radar for radar in found if len(radar.metrics) >= LEAST]


def _radar(results: Results, setting: tuple[str, str], target: float) -> Radar:
    cells = [Cell(*setting, "dense", 0.0)]
    cells += [Cell(*setting, method, target) for method in lineup(results)]
    shown = {c: results.groups[c] for c in cells if c in results.groups}
    spokes: list[Spoke] = []
    for label in voters(results):
        read = {c.method: one for c, m in shown.items() if (one := averaged(m, label)) is not None}
        if len(read) > 1:
            means = {method: mean for method, (mean, _) in read.items()}
            places = _places(means, better=results.metrics[label].better)
            own = {c.method: fmean(m.sparsity for m in members) for c, members in shown.items()}
            spokes += [Spoke(label, m, own[m], *read[m], places[m]) for m in read]
    return Radar(setting, target, tuple(dict.fromkeys(s.metric for s in spokes)), tuple(spokes))


def _places(means: Mapping[str, float], *, better: str) -> dict[str, float]:
    low, high = min(means.values()), max(means.values())
    if low == high:
        return dict.fromkeys(means, 1.0)
    return {
        method: (mean - low if better == "higher" else high - mean) / (high - low)
        for method, mean in means.items()
    }


def figure(results: Results, verdict: Verdict) -> Figure | None:
    """The radars of all settings, six methods in each, with what their axes mean."""
    found = radars(results, verdict)
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
    told = _told(results, found[0])
    result.suptitle(told, fontsize=7.5, x=0.01, ha="left")
    below = figures.legend(result, results, width, band=False)
    result.set_size_inches(width, 0.5 + SIZE * deep + below)
    return result


def _told(results: Results, radar: Radar) -> str:
    return (
        f"Means over seeds at {numbers.percent(radar.target)} sparsity. Each axis runs from the "
        "worst (inner ring) to the best\n(outer ring) of the networks shown, whose readings stand "
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
    axes.set_xticks(angles, [_axis(results, radar, label) for label in radar.metrics])
    axes.tick_params(axis="x", pad=5, labelsize=6.8)
    for angle, text in zip(angles, axes.get_xticklabels(), strict=True):
        side = math.sin(angle)
        text.set_horizontalalignment(
            "center" if abs(side) < 0.2 else "left" if side > 0 else "right"
        )
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines["polar"].set_visible(False)
    axes.set_title(named(radar.setting, results), loc="left")


def _axis(results: Results, radar: Radar, label: str) -> str:
    """A metric with the readings at the ends of its axis, the worst first."""
    spec = results.metrics[label]
    spokes = sorted((s for s in radar.spokes if s.metric == label), key=lambda s: s.place)
    ends = [numbers.rounded(spec, s.mean, s.stderr) for s in (spokes[0], spokes[-1])]
    unit = " %" if spec.unit == "fraction" else ""
    close = "*" if _close(results, label, [s.mean for s in spokes]) else ""
    return f"{spec.title}{close}\n{ends[0]} to {ends[1]}{unit}"


def _close(results: Results, label: str, means: Sequence[float]) -> bool:
    """Whether the ends of an axis are less than the margin apart."""
    low, high = min(means), max(means)
    margin = results.margins[label]
    if results.metrics[label].scale == "log":
        return low > 0 and math.log(high / low) < margin
    return high - low < margin
