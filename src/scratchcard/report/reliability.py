"""Reliability diagrams: how often networks are right when they are as sure as they are.

One small chart a method, dense and sparse over each other, at every rung of the ladder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from scratchcard.contracts import Reading
from scratchcard.metrics.calibration.binning import Bin, reliability
from scratchcard.report import small
from scratchcard.report.cells import named
from scratchcard.report.curves import targets
from scratchcard.report.parts import label_of
from scratchcard.report.small import Diagram, Dots
from scratchcard.results import Measured, Results
from scratchcard.verdict import contenders

DIAGONAL = [{"x": 0, "y": 0}, {"x": 100, "y": 100}]
LINE: dict[str, Any] = {"color": "var(--muted)", "strokeWidth": 1, "strokeDash": [2, 3]}


def diagrams(results: Results) -> list[Diagram]:
    """One for every contender whose calibration was read in bins; none without dense networks."""
    label = label_of(results, "ece")
    if label is None:
        return []
    found = []
    for setting in results.settings:
        bars = {
            cell[2:]: _pooled(label, members)
            for cell, members in results.groups.items()
            if cell[:2] == setting
        }
        dense = bars.get(("dense", 0.0), [])
        for method in contenders(results):
            own = {target: bars.get((method, target), []) for target in targets(results)}
            rungs = {target: _dots("tickets", bins) for target, bins in own.items() if bins}
            if dense and rungs:
                name = named(setting, results)
                said = f"Share of right answers against confidence: {results.methods[method]}"
                own_dense = _dots("dense", dense)
                found.append(Diagram("reliability", said, name, method, own_dense, rungs))
    return found


def _pooled(label: str, members: Iterable[Measured]) -> list[Bin]:
    """The bins of all seeds together, each network counting by its images in the bin.

    They share their images, so the error is that of one network, and not smaller for many.
    """
    bars: dict[tuple[float, float], list[Bin]] = {}
    for member in members:
        for bar in reliability(member.readings.get(label) or Reading(0.0, 0.0, 1)):
            bars.setdefault((bar.lo, bar.hi), []).append(bar)
    return [_together(bars[ends]) for ends in sorted(bars)]


def _together(bars: Sequence[Bin]) -> Bin:
    n = sum(bar.n for bar in bars)
    accuracy, stderr, confidence = (
        sum(getattr(bar, name) * bar.n for bar in bars) / n
        for name in ("accuracy", "stderr", "confidence")
    )
    return Bin(bars[0].lo, bars[0].hi, accuracy, stderr, confidence, n)


def _dots(who: str, bars: Sequence[Bin]) -> Dots:
    total = sum(bar.n for bar in bars)
    return [
        {
            "who": who,
            "x": round(100 * bar.confidence, 2),
            "y": round(100 * bar.accuracy, 2),
            "lo": round(100 * max(bar.accuracy - bar.stderr, 0), 2),
            "hi": round(100 * min(bar.accuracy + bar.stderr, 1), 2),
            "n": bar.n,
            "share": round(bar.n / total, 4),
        }
        for bar in bars
    ]


def spec() -> dict[str, Any]:
    """The chart of any method, in the colour ``--own``; its rows are the data set ``bins``."""
    ticks = alt.Axis(values=[0, 25, 50, 75, 100], labelFlush=False, labelOverlap="parity")
    scale = alt.Scale(domain=[0, 100], nice=False)
    x = alt.X("x:Q", scale=scale, axis=ticks, title="confidence, %")
    vertical: dict[str, Any] = {"scale": scale, "axis": ticks, "title": "right, %"}
    area = alt.Scale(type="sqrt", domain=[0, 1], range=[8, 130])
    size = alt.Size("share:Q", legend=None, scale=area)
    tip = [
        alt.Tooltip("who:N", title="networks"),
        alt.Tooltip("x:Q", title="confidence, %", format=".1f"),
        alt.Tooltip("y:Q", title="right, %", format=".1f"),
        alt.Tooltip("n:Q", title="answers", format=","),
        alt.Tooltip("share:Q", title="of all", format=".1%"),
    ]
    y = alt.Y("y:Q", **vertical)
    diagonal = alt.Chart(alt.InlineData(DIAGONAL)).mark_line(**LINE).encode(x, y)
    return small.spec(x, vertical, tip, size=[size], under=[diagonal])
