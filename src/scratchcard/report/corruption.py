"""Under corruption: which kinds of damage cost sparse networks most, and how that grows.

Heat tables of the parts of the corruption error, and its curves over severity.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from scratchcard.contracts.corruptions import FAMILIES, SEVERITIES
from scratchcard.report import parts, small, words
from scratchcard.report.cells import Cell, Row, Table, groups_of, named
from scratchcard.report.curves import targets
from scratchcard.results import Cell as Group
from scratchcard.results import Measured, Results

METRIC = "corruption-error"
FULL = 0.2
"""A difference this large has the fullest colour."""
DEEPEST = 60
"""How full that is, in percent."""

Column = tuple[Group, tuple[Measured, ...]]


def tables(results: Results) -> list[Table]:
    """One for every rung of every setting whose tickets and twins were read."""
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
    """The error over severity, a small chart a method."""
    label = parts.label_of(results, METRIC)
    places = {float(severity): f"severity {severity}" for severity in SEVERITIES}
    says = "Error against severity of corruption"
    if label is None:
        return []
    return parts.curves(results, label, places, kind="severity", says=says)


def _table(results: Results, label: str, setting: tuple[str, str], target: float) -> Table | None:
    groups = groups_of(results, setting)
    columns = [
        (cell, members)
        for cell, members in groups
        if cell.target == target and parts.difference(results, members, label) is not None
    ]
    if not columns:
        return None
    dense = next(members for cell, members in groups if cell.method == "dense")
    head = [Cell("Kind"), Cell("Dense twin", "error, %")]
    for cell, _ in columns:
        title = results.methods[cell.method]
        head.append(Cell(title, "control" if cell.method in results.controls else "", hint=title))
    where = (
        named(setting, results),
        f"{words.percent(target)} sparse",
        _images(results, label, setting[0], dense),
    )
    return Table(
        " · ".join(filter(None, where)),
        tuple(head),
        tuple(
            Row((Cell(title, key=title), *_cells(results, label, name, dense, columns)), kind)
            for title, name, kind in _lines(parts.names(dense, label))
        ),
        f"{target:g}",
        equal=True,
    )


def _images(results: Results, label: str, data: str, dense: Sequence[Measured]) -> str:
    """Which images they are, and how many: official ones by the name of their folder."""
    official = tomllib.loads(results.text).get("corruptions", {}).get("official", {})
    name = Path(official[data]).name if data in official else "CIFAR-C protocol"
    counts = [m.readings[label].n for m in dense if label in m.readings]
    return f"{name}, {words.count(max(counts), 'image')}"


def _lines(found: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Title, part and class of each row: all kinds, each family and its kinds, each severity."""
    yield "All fifteen kinds", "", "family"
    for family, kinds in FAMILIES.items():
        if family in found:
            yield family.capitalize(), family, "family"
            yield from ((_spelt(kind), kind, "kind") for kind in kinds if kind in found)
    severities = [f"severity {severity}" for severity in SEVERITIES]
    yield from ((name.capitalize(), name, "severity") for name in severities if name in found)


def _spelt(kind: str) -> str:
    """A kind in words.

    >>> _spelt("gaussian_noise"), _spelt("jpeg_compression")
    ('Gaussian noise', 'JPEG compression')
    """
    return kind.replace("_", " ").capitalize().replace("Jpeg", "JPEG")


def _cells(
    results: Results, label: str, name: str, dense: Sequence[Measured], columns: Sequence[Column]
) -> Iterator[Cell]:
    """The error of the dense networks, and how far each method's is from it."""
    own = parts.mean(dense, label, name)
    assert own is not None, "a column has pairs"
    error = f"standard error {100 * own.stderr:.2g} points, {words.count(own.seeds, 'seed')}"
    yield Cell(f"{100 * own.value:.1f}", key=round(own.value, 4), hint=error)
    for _, members in columns:
        found = parts.difference(results, members, label, name)
        if found is None:
            yield Cell("—", kind="none")
        else:
            yield _heat(found)


def _heat(found: parts.Mean) -> Cell:
    """A difference in points, coloured where its interval leaves out 0."""
    text = words.signed(100 * found.value)
    seeds = words.count(found.seeds, "seed")
    hint, key = f"± {100 * found.half:.1f} points (90 %), {seeds}", round(found.value, 4)
    if abs(found.value) <= found.half:
        return Cell(text, "", key, "none", hint)
    depth = round(DEEPEST * min(abs(found.value) / FULL, 1))
    return Cell(text, "", key, "heat loss" if key > 0 else "heat gain", hint, depth)
