"""What the parts of readings say over seeds: means, differences to dense, and curves of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import altair as alt

from scratchcard.contracts import Part
from scratchcard.report import small
from scratchcard.report.cells import named
from scratchcard.report.curves import targets
from scratchcard.results import Measured, Results
from scratchcard.verdict import contenders
from scratchcard.verdict.paired import quantile


class Mean(NamedTuple):
    """A mean over seeds; its error is over seeds too, of one seed over examples."""

    value: float
    stderr: float
    seeds: int

    @property
    def half(self) -> float:
        """Half of its 90 % interval."""
        return self.stderr * quantile(self.seeds - 1 if self.seeds > 1 else math.inf)


def label_of(results: Results, name: str) -> str | None:
    """The first label of a metric in this study."""
    return next((label for label, spec in results.metrics.items() if spec.name == name), None)


def of(m: Measured, label: str, name: str = "") -> Part | None:
    """A part of a reading, or the whole if no name is given; None where there is no number."""
    reading = m.readings.get(label)
    if reading is None:
        return None
    whole = Part(reading.value, reading.stderr, reading.n)
    part = reading.parts.get(name) if name else whole
    return part if part is not None and math.isfinite(part.value) else None


def mean(members: Iterable[Measured], label: str, name: str = "") -> Mean | None:
    """The mean of a part over networks; None if none has it."""
    found = [part for m in members if (part := of(m, label, name)) is not None]
    return _mean([(part.value, part.stderr) for part in found])


def difference(
    results: Results, members: Iterable[Measured], label: str, name: str = ""
) -> Mean | None:
    """Sparse minus dense of the same seed, as measured; None without a pair.

    Of one seed the error takes the two networks for independent, so it is rather too large.
    """
    pairs = []
    for m in members:
        twin = results.twin(m.network)
        sparse, dense = of(m, label, name), of(twin, label, name) if twin is not None else None
        if sparse is not None and dense is not None:
            pairs.append((sparse.value - dense.value, math.hypot(sparse.stderr, dense.stderr)))
    return _mean(pairs)


def _mean(found: Sequence[tuple[float, float]]) -> Mean | None:
    if not found:
        return None
    values, k = [value for value, _ in found], len(found)
    return Mean(fmean(values), stdev(values) / math.sqrt(k) if k > 1 else found[0][1], k)


def names(members: Iterable[Measured], label: str) -> list[str]:
    """The parts that the readings of a metric have."""
    readings = [m.readings[label] for m in members if label in m.readings]
    return list(dict.fromkeys(name for reading in readings for name in reading.parts))


def curves(
    results: Results, label: str, places: Mapping[float, str], *, kind: str, says: str
) -> list[small.Diagram]:
    """A small chart of every contender, its tickets and dense; none without dense networks.

    Args:
        results: The study.
        label: Of the metric.
        places: Position to the part that stands there.
        kind: Name of the specification that draws them.
        says: What is drawn, for who cannot see it.
    """
    found = []
    for setting in results.settings:
        dots = {
            cell[2:]: _dots("tickets" if cell.target else "dense", members, label, places)
            for cell, members in results.groups.items()
            if cell[:2] == setting
        }
        dense = dots.get(("dense", 0.0), [])
        for method in contenders(results):
            own = {target: dots.get((method, target), []) for target in targets(results)}
            rungs = {target: some for target, some in own.items() if some}
            if dense and rungs:
                said = f"{says}: {results.methods[method]}"
                place = named(setting, results)
                found.append(small.Diagram(kind, said, place, method, dense, rungs))
    return found


def _dots(
    who: str, members: Sequence[Measured], label: str, places: Mapping[float, str]
) -> small.Dots:
    found = {x: mean(members, label, name) for x, name in places.items()}
    return [
        {
            "who": who,
            "x": x,
            "y": round(100 * one.value, 2),
            "lo": round(100 * max(one.value - one.stderr, 0), 2),
            "hi": round(100 * min(one.value + one.stderr, 1), 2),
        }
        for x, one in found.items()
        if one is not None
    ]


def spec(diagrams: Sequence[small.Diagram], x: str, y: str) -> dict[str, Any]:
    """How ``curves`` are drawn, all on one scale; ``x`` and ``y`` are titles of axes."""
    dots = [dot for d in diagrams for some in (d.dense, *d.rungs.values()) for dot in some]
    low, high = min(float(dot["lo"]) for dot in dots), max(float(dot["hi"]) for dot in dots)
    ends = [10 * math.floor(low / 10), 10 * math.ceil(high / 10)]
    axis = alt.Axis(labelAngle=0, labelOverlap="parity", grid=False)
    tip = [
        alt.Tooltip("who:N", title="networks"),
        alt.Tooltip("x:Q", title=x),
        alt.Tooltip("y:Q", title=y, format=".1f"),
    ]
    vertical = {
        "scale": alt.Scale(domain=ends, nice=False),
        "axis": alt.Axis(tickCount=4),
        "title": y,
    }
    return small.spec(alt.X("x:O", axis=axis, title=x), vertical, tip)
