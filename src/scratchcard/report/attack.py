"""Under attack: accuracy over the size of the attack, and signs that its gradients are masked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from scratchcard.report import parts, small, words
from scratchcard.report.cells import Cell, Row, Table, groups_of, named, row_of
from scratchcard.report.curves import targets
from scratchcard.results import Cell as Group
from scratchcard.results import Measured, Results

METRIC, MASKING = "robustness-curve", "gradient-masking"
MEDIAN = "median smallest eps"
SIGNS = (
    "one step beats many",
    "black box beats white box",
    "zero gradient",
    "stands 128/255",
)
"""Parts of ``gradient-masking`` that give alarm."""


def tables(results: Results) -> list[Table]:
    """One for every rung of every setting whose tickets were attacked."""
    label = parts.label_of(results, METRIC)
    if label is None:
        return []
    found = [
        _table(results, label, setting, target)
        for target in targets(results)
        for setting in results.settings
    ]
    return [table for table in found if table is not None]


def curves(results: Results) -> list[small.Diagram]:
    """Accuracy over eps, a small chart a method."""
    label, says = parts.label_of(results, METRIC), "Accuracy against size of attack"
    if label is None:
        return []
    return parts.curves(results, label, _places(results, label), kind="eps", says=says)


def _places(results: Results, label: str) -> dict[float, str]:
    """The parts that are accuracies, by their eps in 1/255.

    >>> float("eps 0.25/255".removeprefix("eps ").removesuffix("/255"))
    0.25
    """
    return {
        float(name.removeprefix("eps ").removesuffix("/255")): name
        for name in parts.names(results.networks, label)
        if name.startswith("eps ")
    }


def _table(results: Results, label: str, setting: tuple[str, str], target: float) -> Table | None:
    groups = [
        (cell, members)
        for cell, members in groups_of(results, setting)
        if cell.target in (0.0, target) and parts.mean(members, label) is not None
    ]
    if not any(cell.target for cell, _ in groups):
        return None
    places = _places(results, label)
    count = max(m.readings[label].n for _, own in groups for m in own if label in m.readings)
    head = [
        Cell("Network"),
        *(Cell(f"{eps:g}/255" if eps else "Clean") for eps in places),
        Cell("Median smallest eps", "in 1/255"),
    ]
    where = [f"{words.percent(target)} sparse", f"accuracy in % on {words.count(count, 'image')}"]
    rows = [_row(results, label, cell, own, places) for cell, own in groups]
    return Table(
        " · ".join(filter(None, [named(setting, results), *where])),
        tuple(head),
        tuple(rows),
        f"{target:g}",
        _masked(results, groups),
    )


def _row(
    results: Results,
    label: str,
    cell: Group,
    members: Sequence[Measured],
    places: Mapping[float, str],
) -> Row:
    title = results.methods.get(cell.method, "Dense twin")
    spec = results.metrics[label]
    found = [parts.mean(members, label, name) for name in places.values()]
    cells = [
        Cell("—", kind="none")
        if one is None
        else Cell(words.value(spec, one.value, one.stderr), key=round(one.value, 4))
        for one in found
    ]
    median = parts.mean(members, label, MEDIAN)
    if median is not None:
        text = words.value(replace(spec, unit=""), 255 * median.value, 255 * median.stderr)
        cells.append(Cell(text, key=round(median.value, 6)))
    control = "control" if cell.method in results.controls else ""
    return row_of(results, cell.method, (Cell(title, control, title, hint=title), *cells))


def _masked(results: Results, groups: Sequence[tuple[Group, Sequence[Measured]]]) -> str:
    """Who shows which signs, in how many seeds; empty if nobody was looked at."""
    label = parts.label_of(results, MASKING)
    if label is None or not any(parts.mean(own, label) for _, own in groups):
        return ""
    found = [
        f"{results.methods.get(cell.method, 'Dense twin')} ({', '.join(_signs(own, label))})"
        for cell, own in groups
        if any(_signs(own, label))
    ]
    if not found:
        return "No network here shows a sign that its gradients are masked."
    return f"Signs of masked gradients, which flatter these curves: {words.listing(found)}."


def _signs(members: Sequence[Measured], label: str) -> Iterator[str]:
    """``zero gradient in 2 of 3 seeds``.

    All signs have one threshold, so those with the largest shares gave alarm.
    """
    read = [m.readings[label] for m in members if parts.of(m, label) is not None]
    fired = [
        sorted(SIGNS, key=lambda sign: -one.parts[sign].value)[: round(one.value)] for one in read
    ]
    for sign in SIGNS:
        times = sum(sign in signs for signs in fired)
        if times:
            yield f"{sign} in {times} of {words.count(len(read), 'seed')}"
