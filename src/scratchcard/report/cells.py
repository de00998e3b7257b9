"""What the page's tables are made of: cells, rows, headings, and what a cell without a number says.

A cell carries what is printed, what it is sorted by, and how it is coloured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scratchcard.report import words
from scratchcard.report.numbers import sparse
from scratchcard.report.phrases import NEAR
from scratchcard.results import NOT_APPLICABLE, NOT_RUN, Measured, Results
from scratchcard.results import Cell as Group
from scratchcard.verdict import lineup


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller second line, a sort key (None sorts last), a class, a tooltip.

    ``heat`` is how full its colour is, in percent; ``metric`` is the label of a heading's metric,
    whose numbers can be looked into.
    """

    text: str
    small: str = ""
    key: float | str | None = None
    kind: str = ""
    hint: str = ""
    heat: int = 0
    metric: str = ""

    @property
    def sort(self) -> str:
        """The sort key as an attribute; empty for cells that stay at the end."""
        return "" if self.key is None else str(self.key)


@dataclass(frozen=True)
class Row:
    """A row; its first cell is its header.

    ``method`` is the name that charts have for its method, ``network`` what its numbers are of.
    """

    cells: tuple[Cell, ...]
    kind: str = ""
    method: str = ""
    network: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its heading cells.

    ``rung`` names its sparsity, ``note`` stands below, and ``equal`` makes columns of one width.
    """

    caption: str
    head: tuple[Cell, ...]
    rows: tuple[Row, ...]
    rung: str = ""
    note: str = ""
    equal: bool = False


def named(setting: tuple[str, str], results: Results) -> str:
    """``digits · mlp``, or nothing where a study has a single setting."""
    return " · ".join(setting) if len(results.settings) > 1 else ""


def groups_of(
    results: Results, setting: tuple[str, str]
) -> list[tuple[Group, tuple[Measured, ...]]]:
    """The networks of a setting: dense, contenders, controls."""
    groups = [(g, m) for g, m in results.groups.items() if (g.data, g.model) == setting]
    return sorted(groups, key=lambda one: one[0].method in results.controls)


def row_of(results: Results, method: str, cells: Iterable[Cell], network: str = "") -> Row:
    """The row of a method, or of the dense twin."""
    if method not in results.methods:
        return Row(tuple(cells), "dense", "", network)
    kind = "control" if method in results.controls else ""
    return Row(tuple(cells), kind, f"m{lineup(results).index(method)}", network)


def network_of(group: Group) -> str:
    """What the page calls the networks of all seeds of one method and sparsity."""
    return "\t".join((group.data, group.model, group.method, str(float(group.target))))


def who(results: Results, group: Group, members: Sequence[Measured]) -> list[Cell]:
    """The first cells of a row: method, sparsity, seeds."""
    title = results.methods.get(group.method, "Dense twin")
    control = "control" if group.method in results.controls else ""
    sparsity = fmean(m.sparsity for m in members)
    far = abs(sparsity - group.target) >= NEAR
    own = sparse(sparsity) if group.target else words.percent(sparsity)
    rung = f"for {words.percent(group.target)}" if far else ""
    return [
        Cell(title, control, title, hint=title),
        Cell(own, rung, fmean(m.position for m in members)),
        Cell(str(len(members)), key=len(members)),
    ]


def gap(reasons: Sequence[str]) -> Cell:
    """A cell without a number: not applicable, not run, or failed."""
    why = "; ".join(reasons)
    if all(reason.startswith(NOT_APPLICABLE) for reason in reasons):
        return Cell("n/a", kind="none", hint=why)
    if set(reasons) == {NOT_RUN}:
        return Cell("not run", kind="none", hint=why)
    return Cell("failed", _short(why), kind="failed", hint=why)


def column(results: Results, label: str, *, margin: bool = False, small: str = "") -> Cell:
    """The heading of a metric: title, arrow for better, a dagger where it can mislead."""
    spec = results.metrics[label]
    arrow = "↑" if spec.better == "higher" else "↓"
    dagger = "\N{NO-BREAK SPACE}†" if spec.caution else ""
    unit = " %" if spec.unit == "fraction" and not margin else ""
    if margin:
        small = f"m = {words.margin(spec, results.margins[label])}"
    title = f"{spec.title}\N{NO-BREAK SPACE}{arrow}{unit}{dagger}"
    return Cell(title, small, hint=spec.caution, metric=label)


def finite(m: Measured, label: str) -> bool:
    """Whether there is a reading, and a number."""
    return label in m.readings and math.isfinite(m.readings[label].value)


def averaged(members: Iterable[Measured], label: str) -> tuple[float, float] | None:
    """The mean of the finite readings and its standard error; None if there are none.

    The error is over seeds; of a single reading, over examples.
    """
    readings = [m.readings[label] for m in members if finite(m, label)]
    if not readings:
        return None
    values = [reading.value for reading in readings]
    several = len(values) > 1
    error = stdev(values) / math.sqrt(len(values)) if several else readings[0].stderr
    return fmean(values), error


def reasons_of(members: Iterable[Measured], label: str) -> list[str]:
    """Why readings are absent, each reason once."""
    found = {m.missing[label] for m in members if label in m.missing}
    if any(label in m.readings and not finite(m, label) for m in members):
        found.add("the reading is not finite")
    return sorted(found)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
