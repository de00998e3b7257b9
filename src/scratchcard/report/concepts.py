"""Concepts: what units of the dense twin answer to, and what the same units of tickets do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scratchcard.report import parts, words
from scratchcard.report.album import Album, Shot
from scratchcard.report.cells import groups_of, named
from scratchcard.report.curves import targets
from scratchcard.results import Cell as Group
from scratchcard.results import Results

METRIC = "concepts-kept"
MOST = 4
"""Images of a unit."""
COARSE = 64
"""Masks are drawn on so many places a side, at most."""

Drawn = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class View:
    """An image, and the path over all that is not seen, in its ``width`` by ``height`` places."""

    shot: Shot
    width: int
    height: int
    path: str


@dataclass(frozen=True)
class Unit:
    """A unit of one network: its images, its concept, and what became of that."""

    views: tuple[View, ...]
    concept: str
    iou: str
    fate: str
    words: str


@dataclass(frozen=True)
class Table:
    """The units of the dense twin and of the methods of one rung.

    Attributes:
        heading: Setting and sparsity.
        rung: As the scorecards name it.
        methods: Title of each column after the dense twin, and whether it is a control.
        rows: Number of each unit, and what it is in each column.
    """

    heading: str
    rung: str
    methods: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, tuple[Unit, ...]], ...]


def tables(results: Results, album: Album) -> list[Table]:
    """One for every rung of every setting whose units were drawn."""
    label = parts.label_of(results, METRIC)
    if label is None:
        return []
    found = []
    for target in targets(results):
        for setting in results.settings:
            heading = filter(None, [named(setting, results), f"{words.percent(target)} sparse"])
            text = " · ".join(heading)
            for columns in _alike(results, label, setting, target):
                found.append(_table(results, label, text, f"{target:g}", columns, album))
    return found


def _alike(
    results: Results, label: str, setting: tuple[str, str], target: float
) -> Iterator[dict[Group, Drawn]]:
    """Methods of a rung with the same units on the same images, so that they share a table."""
    found: dict[bytes, dict[Group, Drawn]] = {}
    for cell, _ in groups_of(results, setting):
        drawn = results.pictures.get((cell, label))
        if cell.target == target and drawn:
            key = drawn["units"].tobytes() + drawn["pixels"].tobytes()
            found.setdefault(key, {})[cell] = drawn
    yield from found.values()


def _table(
    results: Results,
    label: str,
    heading: str,
    rung: str,
    columns: Mapping[Group, Drawn],
    album: Album,
) -> Table:
    first, own = next(iter(columns.items()))
    reading = results.groups[first][0].readings.get(label)
    threshold = float(reading.params.get("threshold", 0.0)) if reading is not None else 0.0
    rows = []
    for u, number in enumerate(own["units"]):
        dense = _unit(own, u, 0, album, "Dense twin", "")
        units = [
            _unit(drawn, u, 1, album, results.methods[cell.method], _fate(drawn, u, threshold))
            for cell, drawn in columns.items()
        ]
        rows.append((f"{number}", (dense, *units)))
    methods = ((results.methods[c.method], c.method in results.controls) for c in columns)
    return Table(heading, rung, tuple(methods), tuple(rows))


def _names(drawn: Drawn) -> Sequence[str]:
    """Two for each unit, dense first."""
    return bytes(drawn["names"]).decode().split("\n")


def _fate(drawn: Drawn, u: int, threshold: float) -> str:
    """What became of a unit's concept, as the metric counts it; "none" was no detector before."""
    before, after = _names(drawn)[2 * u : 2 * u + 2]
    detected, detects = drawn["ious"][u] > threshold
    if not detected:
        return "gained" if detects else "none"
    if not detects:
        return "lost" if after else "dead"
    return "kept" if before == after else "changed"


def _unit(drawn: Drawn, u: int, who: int, album: Album, title: str, fate: str) -> Unit:
    concept, iou = _names(drawn)[2 * u + who], f"{drawn['ious'][u, who]:.2f}"
    views = tuple(
        View(album.add(pixels), *_covered(active))
        for pixels, active in list(zip(drawn["pixels"][u], drawn["active"][u, who], strict=True))[
            :MOST
        ]
    )
    said = f"{title}, unit {drawn['units'][u]}: {concept or 'no concept'}, IoU {iou}"
    return Unit(views, concept or "no activity", iou if concept else "", fate, said)


def _covered(active: np.ndarray) -> tuple[int, int, str]:
    """Width, height and the path over the places of a mask [H, W] where the unit is not active.

    >>> _covered(np.array([[True, True, False], [False, True, True]]))
    (3, 2, 'M2 0h1v1h-1zM0 1h1v1h-1z')
    """
    stride = -(-max(active.shape) // COARSE)
    active = active[::stride, ::stride]
    height, width = active.shape
    runs = []
    for y, row in enumerate(active):
        edges = np.flatnonzero(np.diff(np.concatenate([[True], row, [True]]).astype(np.int8)))
        runs += [(a, y, b - a) for a, b in edges.reshape(-1, 2).tolist()]
    return width, height, "".join(_merged(runs))


def _merged(runs: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    """Rectangles of runs (x, y, length): equal ones below each other are one."""
    tall: dict[tuple[int, int], tuple[int, int]] = {}
    for x, y, length in runs:
        top, height = tall.get((x, length), (y, 0))
        if top + height != y:
            yield f"M{x} {top}h{length}v{height}h-{length}z"
            top, height = y, 0
        tall[x, length] = (top, height + 1)
    for (x, length), (top, height) in tall.items():
        yield f"M{x} {top}h{length}v{height}h-{length}z"
