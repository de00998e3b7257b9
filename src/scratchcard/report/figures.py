"""Figures for papers in the layout of Chen et al. (2022): a metric against sparsity, or several.

They are as wide as a TMLR page; ``publish`` writes them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETUP
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from scratchcard.report import curves, numbers, theme
from scratchcard.report.curves import Curve, Panel
from scratchcard.results import Results
from scratchcard.verdict import lineup

WIDTH = 6.5
"""Inches of text on a TMLR page."""
TOGETHER = 4
"""More methods than this are spread over two panels that share their axis, as in the paper."""
MOST = 6
"""More than this in a panel, and there are twice as many panels."""
CROWD = 12
"""More entries than this make a legend of small type."""
ACROSS = 3
"""Small multiples in a row of the overview."""
TITLE, LABEL = 31, 28
"""Characters in a line above a small multiple, and beside a panel."""
APART = 0.11
"""Between methods that stand beside each other, in rungs."""
SPARSITY = "sparsity (%)"
DASHES = {"I": "solid", "II": (0, (3, 1.6)), "III": (0, (1, 1.4))}
INK = "#222222"


def one(results: Results, panels: Sequence[Panel]) -> Figure:
    """A metric: a data set and model after the other, the methods in one panel or pairs of them."""
    groups = shared(list(lineup(results)))
    across = min(2, len(groups))
    deep = len(panels) * len(groups) // across
    width = WIDTH if across > 1 else 0.62 * WIDTH
    figure = Figure(layout="constrained")
    rows = figure.subplots(deep, across, sharex=True, sharey="row", squeeze=False)
    drawn = [(panel, group) for panel in panels for group in groups]
    for (panel, group), axes in zip(drawn, rows.flat, strict=True):
        draw(axes, results, panel, group)
    for panel, row in zip(panels, rows[:: deep // len(panels)], strict=True):
        if len(results.settings) > 1:
            row[0].set_title(f"{panel.data} · {panel.model}", loc="left")
    for row, (panel, _) in zip(rows, drawn[::across], strict=True):
        row[0].set_ylabel(_label(panel, LABEL))
    for axes in rows[-1]:
        axes.set_xlabel(SPARSITY)
    figure.set_size_inches(width, 0.3 + 1.75 * deep + legend(figure, results, width))
    return figure


def overview(results: Results, panels: Sequence[Panel]) -> Figure:
    """Every panel as a small multiple, under one legend."""
    deep = -(-len(panels) // ACROSS)
    figure = Figure(layout="constrained")
    grid = figure.subplots(deep, ACROSS, sharex=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(panels):
            axes.set_axis_off()
            continue
        draw(axes, results, panels[i], lineup(results))
        axes.set_title(_label(panels[i], TITLE), loc="left")
        if i + ACROSS >= len(panels):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(SPARSITY)
    figure.set_size_inches(WIDTH, 0.35 + 1.5 * deep + legend(figure, results, WIDTH))
    return figure


def shared(methods: list[str]) -> list[list[str]]:
    """The methods of each panel, in their order: one panel, or an even number of them.

    >>> shared(["lth", "random", "omp", "snip", "grasp", "synflow"])
    [['lth', 'random', 'omp'], ['snip', 'grasp', 'synflow']]
    """
    if len(methods) <= TOGETHER:
        return [methods]
    parts = 2 * -(-len(methods) // (2 * MOST))
    ends = [len(methods) * part // parts for part in range(parts + 1)]
    return [methods[a:b] for a, b in pairwise(ends)]


def draw(axes: Axes, results: Results, panel: Panel, methods: Sequence[str]) -> None:
    """One panel: the dense band and line, and each method's interval, seeds, means and regions."""
    rungs, window = curves.ladder(results), panel.window
    if panel.log:
        axes.set_yscale("log")
    if panel.log or window[1] >= 1_000:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: numbers.tick(number)))
    if panel.band is not None:
        if panel.band.lo is not None and panel.band.hi is not None:
            axes.axhspan(panel.band.lo, panel.band.hi, color=INK, alpha=0.08, linewidth=0)
        axes.axhline(panel.band.mean, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    twins = [dot.value for dot in panel.dense]
    axes.plot([0.0] * len(twins), twins, ".", color=INK, alpha=0.6, markersize=2.5)
    looks = theme.looks(lineup(results), results.controls)
    crowd = min(1.0, MOST / max(1, len(methods)))
    bars = panel.together or len(rungs) == 1
    for curve in sorted(panel.curves, key=lambda curve: not looks[curve.method].control):
        if curve.method in methods:
            place = list(methods).index(curve.method) - (len(methods) - 1) / 2
            aside = place * min(APART, 0.7 / len(methods)) if bars else 0.0
            _curve(axes, curve, looks[curve.method], crowd, aside=aside, bars=bars)
            _beyond(axes, curve, looks[curve.method], aside, window)
    ticks = range(len(rungs) + 1)
    names = ["0", *(f"{100 * rung:.3g}" for rung in rungs)]
    every = -(-len(names) // 7)
    axes.set_xticks(list(ticks)[::-every], names[::-every])
    axes.set_xlim(-0.35, len(rungs) + 0.35 + 0.15 * (len(rungs) == 1))
    axes.set_ylim(*window)


def _beyond(
    axes: Axes, curve: Curve, look: theme.Look, aside: float, window: tuple[float, float]
) -> None:
    """A caret at the end of the axis for each mean that lies beyond it."""
    low, high = window
    for caret, end in ((CARETDOWN, low), (CARETUP, high)):
        x = [p.x + aside for p in curve.points if (p.mean < low if end == low else p.mean > high)]
        marker: Any = caret
        axes.plot(
            x,
            [end] * len(x),
            marker=marker,
            linestyle="none",
            color=look.hue.light,
            markersize=4,
        )


def _curve(
    axes: Axes, curve: Curve, look: theme.Look, crowd: float, *, aside: float, bars: bool
) -> None:
    """One method; intervals and seeds are fainter by ``crowd`` where many lie over each other.

    ``bars`` draws the intervals so, and not as a band, and ``aside`` moves everything to the right.
    """
    colour = look.hue.light
    banded = [
        (p.x + aside, p.lo, p.hi) for p in curve.points if p.lo is not None and p.hi is not None
    ]
    if banded:
        x, lo, hi = zip(*banded, strict=True)
        if not bars:
            axes.fill_between(x, lo, hi, color=colour, alpha=0.13 * crowd, linewidth=0)
        if bars or len(curve.points) == 1:
            axes.vlines(x, lo, hi, color=colour, alpha=0.5, linewidth=0.8)
    for region, points in curve.runs():
        axes.plot(
            [p.x + aside for p in points],
            [p.mean for p in points],
            color=colour,
            linewidth=0.8 if look.control else 1.2,
            linestyle=DASHES[region],
        )
    seeds = [dot.x + aside for dot in curve.dots], [dot.value for dot in curve.dots]
    axes.plot(*seeds, ".", color=colour, alpha=0.4 * crowd, markersize=2.5, markeredgewidth=0)
    means = [p.x + aside for p in curve.points], [p.mean for p in curve.points]
    axes.plot(*means, look.shape.matplotlib, markersize=3.4, **marking(look))


def marking(look: theme.Look) -> dict[str, Any]:
    """The colours of a marker, filled or hollow."""
    colour = look.hue.light
    return {
        "color": colour,
        "markerfacecolor": "white" if look.hollow else colour,
        "markeredgewidth": 0.8 if look.hollow else 0.0,
    }


def _label(panel: Panel, width: int) -> str:
    """Title and unit, in lines of at most ``width`` characters."""
    text = f"{panel.title}\N{NO-BREAK SPACE}({panel.unit})" if panel.unit else panel.title
    return "\n".join(textwrap.wrap(text, width))


def legend(figure: Figure, results: Results, width: float, *, band: bool = True) -> float:
    """Draw the legend into a figure of this width; returns the inches it is high.

    ``band`` is whether the dense twins have one.
    """
    line = Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    handles: list[Any] = [(Patch(color=INK, alpha=0.08, linewidth=0), line) if band else line]
    labels = ["Dense twin"]
    for method, look in theme.looks(lineup(results), results.controls).items():
        thick, marker = 0.8 if look.control else 1.2, look.shape.matplotlib
        handles.append(Line2D([], [], marker=marker, markersize=3.6, lw=thick, **marking(look)))
        labels.append(results.methods[method] + (" (control)" if look.control else ""))
    # Inches of handle and text at this size of type.
    size, wide = (7.5, 0.05) if len(labels) > CROWD else (8.5, 0.06)
    wide = 0.45 + wide * max(map(len, labels))
    columns = min(max(1, int(width / wide)), len(labels))
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        fontsize=size,
        handler_map={tuple: HandlerTuple(ndivide=1, pad=0)},
    )
    return 0.019 * size * -(-len(labels) // columns)
