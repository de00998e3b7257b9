"""Which metrics agree: a heat map of rank correlations, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.agreement import SAME, Agreement, agreement
from scratchcard.contracts import MetricSpec
from scratchcard.report import words
from scratchcard.report.cells import Cell, Row, Table, named
from scratchcard.report.dimensions import by_dimension
from scratchcard.results import Results

WIDTH = 824
"""Of the cells of the heat map, in pixels, if that leaves them between these sizes."""
SMALLEST, LARGEST = 12.0, 26.0
LETTERS = 30
"""A label is cut beyond as many."""
STEPS = 10
"""Depths of either colour."""
DARK = 0.65
"""Numbers on larger correlations are written in the colour of the paper."""
RHO = "\N{GREEK SMALL LETTER RHO}"
FAINT = 0.06
"""What 0 looks like, for it is no gap."""

Spot = tuple[float, int, int]
"""A correlation, and the column and row of its cell."""


@dataclass(frozen=True)
class Label:
    """A metric or, in capitals, a dimension: where it stands, in cells."""

    text: str
    full: str
    at: int
    head: bool


@dataclass(frozen=True)
class Number:
    """A correlation with accuracy, in its own column."""

    text: str
    at: int
    column: int
    bright: bool


@dataclass(frozen=True)
class Layer:
    """All cells of one depth of colour, as one path."""

    colour: str
    opacity: float
    path: str


@dataclass(frozen=True)
class Map:
    """The heat map of a data set and model, in cells of ``step`` pixels.

    Attributes:
        name: As ``cells.named`` gives it.
        step: Pixels.
        size: Rows, and columns of the square.
        beside: Columns of correlations with accuracy.
        labels: Of rows, and of columns.
        numbers: Correlations with accuracy.
        layers: The colours of the square.
        beside_layers: Those of the columns beside it.
        note: What was correlated.
        left_out: Which metrics are not there, and why.
        said: What follows.
        table: Correlations with accuracy and nearest relatives, in numbers.
    """

    name: str
    step: float
    size: int
    beside: int
    labels: tuple[Label, ...]
    numbers: tuple[Number, ...]
    layers: tuple[Layer, ...]
    beside_layers: tuple[Layer, ...]
    note: str
    left_out: str
    said: tuple[str, ...]
    table: Table


def maps(results: Results) -> list[Map]:
    """One for every data set and model with enough tickets."""
    found = [(setting, agreement(results, setting)) for setting in results.settings]
    return [_map(results, setting, own) for setting, own in found if own is not None]


def _map(results: Results, setting: tuple[str, str], own: Agreement) -> Map:
    labels = tuple(_labels(results, own))
    places = {own.labels.index(label.full): label.at for label in labels if not label.head}
    size = len(labels)
    beside = 0 if own.accuracy is None else 1 if own.rungs == 1 else 2
    titled = tuple(
        label if label.head else _titled(label, results.metrics[label.full].title)
        for label in labels
    )
    return Map(
        name=named(setting, results),
        step=round(min(max(WIDTH / size, SMALLEST), LARGEST), 1),
        size=size,
        beside=beside,
        labels=titled,
        numbers=tuple(_numbers(own, places, beside)),
        layers=_layers(_square(own, places)),
        beside_layers=_layers(_beside(own, places, beside)),
        note=_note(results, own),
        left_out=" ".join(_left_out(results, own)),
        said=tuple(_said(results, own)),
        table=_table(results, own),
    )


def _labels(results: Results, own: Agreement) -> Iterator[Label]:
    """Dimensions and, below each, its metrics by label."""
    at = 0
    for dimension, labels in by_dimension(results).items():
        inside = [label for label in labels if label in own.labels]
        if inside:
            yield Label(dimension.upper(), dimension, at, True)
            for i, label in enumerate(inside, 1):
                yield Label(label, label, at + i, False)
            at += len(inside) + 1


def _titled(label: Label, title: str) -> Label:
    short = title if len(title) <= LETTERS else title[: LETTERS - 1] + "…"
    return Label(short, title, label.at, False)


def _columns(own: Agreement, beside: int) -> Iterator[tuple[int, np.ndarray]]:
    """The columns of correlations with accuracy, from the left: over all, then within a rung."""
    if own.accuracy is not None:
        both = (own.overall, own.within)[-beside:]
        yield from ((k, matrix[own.accuracy]) for k, matrix in enumerate(both))


def _numbers(own: Agreement, places: dict[int, int], beside: int) -> Iterator[Number]:
    for column, rhos in _columns(own, beside):
        for i, at in places.items():
            if np.isfinite(rhos[i]):
                short = "1" if rhos[i] > 0.995 else words.two(rhos[i]).replace("0.", ".", 1)
                yield Number(short, at, column, abs(rhos[i]) > DARK)


def _beside(own: Agreement, places: dict[int, int], beside: int) -> Iterator[Spot]:
    for column, rhos in _columns(own, beside):
        yield from ((float(rhos[i]), column, at) for i, at in places.items())


def _square(own: Agreement, places: dict[int, int]) -> Iterator[Spot]:
    """Below the diagonal over all tickets, above it within a rung; the diagonal stays empty."""
    for i, y in places.items():
        for j, x in places.items():
            if i != j:
                yield float((own.overall if y > x else own.within)[i, j]), x, y


def _layers(spots: Iterable[Spot]) -> tuple[Layer, ...]:
    """The cells that are known, those of one depth of colour together."""
    cells: dict[int, list[str]] = {}
    for rho, x, y in spots:
        if np.isfinite(rho):
            cells.setdefault(round(STEPS * rho), []).append(f"M{x} {y}h1v1h-1z")
    return tuple(
        Layer(
            "worse" if depth < 0 else "better" if depth else "muted",
            abs(depth) / STEPS or FAINT,
            "".join(cells[depth]),
        )
        for depth in sorted(cells)
    )


def _note(results: Results, own: Agreement) -> str:
    """What was correlated."""
    controls = ", controls among them" if results.controls else ""
    n = words.count(own.tickets, "ticket")
    pairs = len(own.labels) * (len(own.labels) - 1) // 2
    if own.rungs > 1:
        said = f"Below the diagonal, over all {n}{controls}, which sparsity drives; above it, the "
        said += f"mean of the correlations within each of {own.rungs} rungs."
    else:
        said = f"Over {n} of one sparsity{controls}."
    lucky = own.by_chance(SAME) * pairs
    few = f"{lucky:.1f}" if lucky >= 0.1 else "fewer than 0.1"
    return f"{said} Of {pairs:,} pairs, {few} would reach ±{SAME} by chance."


def _left_out(results: Results, own: Agreement) -> Iterator[str]:
    """Which metrics are not there, and why."""
    for why, labels in (("the same for all", own.constant), ("read of too few", own.unread)):
        if labels:
            titles = [_title(results, label) for label in labels]
            yield f"Left out, for they are {why}: {words.listing(titles)}."


def _said(results: Results, own: Agreement) -> Iterator[str]:
    """What is one factor in disguise, and what rewards weak networks."""
    where = "within a rung" if own.rungs > 1 else "here"
    bound = f"|{RHO}| ≥ {max(SAME, own.doubtful):.2g}"
    groups = [words.listing(_relatives(results, own, group)) for group in own.factors()]
    if groups:
        yield f"One factor in disguise {where}, with {bound} between all: {'; '.join(groups)}."
    else:
        yield f"No two metrics are one factor in disguise {where}, with {bound}."
    rhos = own.within[own.accuracy or 0]
    weak = own.reward_weak()
    if weak:
        names = [f"{_of(results, own, i).title} ({words.two(rhos[i])})" for i in weak]
        yield (
            f"Weak networks are rewarded by {words.listing(names)}: these go against accuracy by "
            f"more than {words.two(-own.doubtful)}, where chance alone puts one in twenty."
        )


def _of(results: Results, own: Agreement, i: int) -> MetricSpec:
    return results.metrics[own.labels[i]]


def _relatives(results: Results, own: Agreement, group: Sequence[int]) -> Iterator[str]:
    """Titles of a factor's metrics; those that run against the first say so."""
    for i in group:
        against = own.within[group[0], i] < 0
        yield _title(results, own.labels[i]) + (" (reversed)" if against else "")


def _title(results: Results, label: str) -> str:
    return results.metrics[label].title


def _table(results: Results, own: Agreement) -> Table:
    """Each metric with accuracy and with its nearest relative."""
    head = [Cell("Metric"), Cell("Dimension")]
    if own.accuracy is not None:
        head.append(Cell("With accuracy", "all tickets" if own.rungs > 1 else ""))
    if own.accuracy is not None and own.rungs > 1:
        head.append(Cell("With accuracy", "within a rung"))
    head += [Cell("Most alike", "within a rung" if own.rungs > 1 else ""), Cell(RHO)]
    return Table("", tuple(head), tuple(_rows(results, own)))


def _rows(results: Results, own: Agreement) -> Iterator[Row]:
    columns = [rhos for _, rhos in _columns(own, 1 if own.rungs == 1 else 2)]
    for i, label in enumerate(own.labels):
        title, others = _title(results, label), np.abs(own.within[i])
        others[i] = np.nan
        cells = [Cell(title, key=title, hint=title), Cell(results.metrics[label].dimension)]
        cells += [_rho(rhos[i]) for rhos in columns]
        if np.isfinite(others).any():
            nearest = int(np.nanargmax(others))
            cells += [Cell(_title(results, own.labels[nearest])), _rho(own.within[i, nearest])]
        else:
            cells += [Cell("—", kind="none")] * 2
        yield Row(tuple(cells))


def _rho(rho: float) -> Cell:
    if not np.isfinite(rho):
        return Cell("—", kind="none")
    return Cell(words.two(rho), key=round(float(rho), 4))
