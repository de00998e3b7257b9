"""Small charts: one a method, dense and sparse over each other, at every rung of the ladder.

The page draws them all in one way, from dots that it changes with the rung.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from scratchcard.report import theme

HEIGHT = 180
MARKS: dict[str, dict[str, Any]] = {
    "dense-bar": {"color": "var(--ink)", "opacity": 0.35},
    "dense-line": {"color": "var(--ink)", "opacity": 0.6, "strokeWidth": 1.1, "strokeDash": [5, 4]},
    "dense": {"color": "var(--ink)", "opacity": 0.6},
    "tickets-bar": {"color": "var(--own)", "opacity": 0.45},
    "tickets-line": {"color": "var(--own)", "opacity": 0.85, "strokeWidth": 1.4},
    "tickets": {"color": "var(--own)", "opacity": 0.9},
}

Dots = list[dict[str, str | float]]
"""Rows with ``who`` ("dense" or "tickets"), ``x``, ``y``, and the ends ``lo`` and ``hi``."""


@dataclass(frozen=True)
class Diagram:
    """One method of a data set and model.

    Attributes:
        kind: Name of the specification that draws it.
        label: What it shows, for who cannot see it.
        setting: As ``cells.named`` gives it.
        method: Its label.
        dense: The dots of its dense twins.
        rungs: By target, those of its tickets.
    """

    kind: str
    label: str
    setting: str
    method: str
    dense: Dots
    rungs: dict[float, Dots]


def spec(
    x: alt.X,
    vertical: dict[str, Any],
    tip: Sequence[alt.Tooltip],
    *,
    size: Sequence[alt.Size] = (),
    under: Sequence[alt.Chart] = (),
) -> dict[str, Any]:
    """The chart of any method, in the colour ``--own``; its rows are the data set ``bins``.

    Args:
        x: What is to the right.
        vertical: Options of the channels ``y`` and ``lo``.
        tip: What a dot tells that is pointed at.
        size: Of the dots, if they differ.
        under: Layers to lie below.
    """
    y, low = (alt.Y(f"{end}:Q", **vertical) for end in ("y", "lo"))
    layers = [*under]
    for who in ("dense", "tickets"):
        own = alt.Chart(alt.NamedData("bins")).transform_filter(f"datum.who == '{who}'")
        dots = own.mark_point(**MARKS[who], filled=True)
        layers += [
            own.mark_rule(**MARKS[f"{who}-bar"]).encode(x, low, alt.Y2("hi:Q")),
            own.mark_line(**MARKS[f"{who}-line"]).encode(x, y),
            dots.encode(x, y, *size, tooltip=list(tip)),
        ]
    chart = alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
    )
    made: dict[str, Any] = chart.to_dict(validate=False)
    return {**made, "config": theme.vega()}
