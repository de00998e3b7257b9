"""The tables of all numbers: a dimension after the other, a row the seeds of one ticket."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from scratchcard.contracts import Dimension, Reading
from scratchcard.report import parts, words
from scratchcard.report.cells import (
    Cell,
    Table,
    averaged,
    column,
    finite,
    gap,
    groups_of,
    named,
    network_of,
    reasons_of,
    row_of,
    who,
)
from scratchcard.report.dimensions import by_dimension, note
from scratchcard.results import Cell as Group
from scratchcard.results import Measured, Results

FLOOR = "noise floor"
"""The part that a calibrated network would read, of metrics that noise alone lifts above 0."""
FLOORS = "The floor of a reading is what a calibrated network would get, as sure as this one."
YARDSTICKS = ("bound", "chance", "permuted images", "untrained")
"""Parts, of each concept set, that say how much an overlap is: shown as means over the sets."""
WITHOUT_SCALE = ("scale-invariant", "variance", "size")
"""Parts that a raw number is to be read beside, for it depends on scales that mean nothing."""
TURNED = ", foreign positive"
"""How parts end that are about foreign images in another way."""
ACROSS = 6
"""Metrics that a table has room for on a page 1280 pixels wide; more are shared out evenly."""


@dataclass(frozen=True)
class Chapter:
    """The numbers of one dimension."""

    dimension: Dimension
    metrics: str
    note: str
    tables: tuple[Table, ...]


def numbers(results: Results, setting: tuple[str, str]) -> list[Chapter]:
    """Every network, mean over seeds, by every metric, the dimensions in the design's order."""
    return [
        _chapter(results, setting, dimension, labels)
        for dimension, labels in by_dimension(results).items()
    ]


def _chapter(
    results: Results, setting: tuple[str, str], dimension: Dimension, labels: Sequence[str]
) -> Chapter:
    """A metric that applies to no network here has no column, but is named."""
    absent = [label for label in labels if _applies_to_none(results, setting, label)]
    said = [note(results, setting, labels)]
    if any(FLOOR in parts.names(results.networks, label) for label in labels):
        said.append(FLOORS)
    if absent:
        titles = words.listing(results.metrics[label].title for label in absent)
        said.append(f"Not applicable to any network here (why stands under Evidence): {titles}.")
    return Chapter(
        dimension,
        words.count(len(labels), "metric"),
        " ".join(filter(None, said)),
        tuple(
            _table(results, setting, part)
            for part in _shared([label for label in labels if label not in absent])
        ),
    )


def _applies_to_none(results: Results, setting: tuple[str, str], label: str) -> bool:
    groups = groups_of(results, setting)
    gaps = [m for _, members in groups for m in members]
    common = [found for cell, found in results.together.items() if cell[:2] == setting]
    told = [one for one in (*gaps, *common) if label in one.missing or label in one.readings]
    return bool(told) and all(label in one.silent for one in told)


def _shared(labels: Sequence[str]) -> list[Sequence[str]]:
    """As few parts of at most ``ACROSS`` as there can be, as equal as can be."""
    parts = -(-len(labels) // ACROSS)
    ends = [len(labels) * part // max(parts, 1) for part in range(parts + 1)]
    return [labels[a:b] for a, b in pairwise(ends)]


def _table(results: Results, setting: tuple[str, str], labels: Sequence[str]) -> Table:
    groups = groups_of(results, setting)
    head = [Cell("Network"), Cell("Sparsity"), Cell("Seeds")]
    head += [column(results, k, small=_counts(_read(results, setting, k))) for k in labels]
    rows = []
    for group, members in groups:
        cells = [*who(results, group, members)]
        for label in labels:
            together = results.metrics[label].scope == "group"
            cells.append(
                _together(results, group, members, label)
                if together
                else _mean(results, members, label)
            )
        rows.append(row_of(results, group.method, cells, network_of(group)))
    return Table(named(setting, results), tuple(head), tuple(rows))


def _read(results: Results, setting: tuple[str, str], label: str) -> list[Reading]:
    """Every reading of a metric in a setting, of networks and of all seeds together."""
    own = [m.readings for _, members in groups_of(results, setting) for m in members]
    common = [found.readings for cell, found in results.together.items() if cell[:2] == setting]
    return [readings[label] for readings in (*own, *common) if label in readings]


def _together(results: Results, group: Group, members: Sequence[Measured], label: str) -> Cell:
    """What was read off all seeds of a ticket together."""
    found = results.together.get(group)
    if found is not None and label in found.missing:
        return gap([found.missing[label]])
    reading = found.readings.get(label) if found is not None else None
    if reading is None:
        return Cell("—", kind="none", hint="it compares the tickets of all seeds with dense ones")
    if not math.isfinite(reading.value):
        return gap(["the reading is not finite"])
    spec = results.metrics[label]
    hint = f"all {words.count(len(members), 'seed')} together, n = {reading.n:,}; "
    return Cell(
        words.value(spec, reading.value, reading.stderr),
        key=reading.value,
        hint=f"{hint}standard error over examples{_exactly(reading.value)}",
    )


def _mean(results: Results, members: Sequence[Measured], label: str) -> Cell:
    spec = results.metrics[label]
    readings = [m.readings[label] for m in members if finite(m, label)]
    reasons = reasons_of(members, label)
    found = averaged(members, label)
    if found is None:
        if not reasons:
            return Cell("—", kind="none", hint="a pair metric compares with the dense twin")
        return gap(reasons)
    mean, error = found
    over = "over seeds" if len(readings) > 1 else "over examples"
    partly = [f"{len(readings)} of {words.count(len(members), 'seed')}"] if reasons else []
    small = "\n".join([*partly, *_beside(results, members, label)])
    hint = f"{words.count(len(readings), 'network')} of {_counts(readings)}; standard error {over}"
    if reasons:
        hint += f"; missing: {'; '.join(reasons)}"
    return Cell(words.value(spec, mean, error), small, mean, hint=hint + _exactly(mean))


def _beside(results: Results, members: Sequence[Measured], label: str) -> Iterator[str]:
    """What a reading is to be read beside: floors, sets, yardsticks, and what has no scale.

    A floor of 0 says how far networks stray from it that are as good as the floor.
    """
    spec, found = results.metrics[label], parts.names(members, label)
    floors = [part for m in members if (part := parts.of(m, label, FLOOR)) is not None]
    if floors:
        floor, stray = (
            fmean(getattr(part, name) for part in floors) for name in ("value", "stderr")
        )
        yield f"floor {words.value(spec, floor, None if floor else stray)}"
    sets = [name for name in found if "ood_logits" in spec.needs and not name.endswith(TURNED)]
    for name in sets if len(sets) > 1 else ():
        one = parts.mean(members, label, name)
        if one is not None:
            yield f"{name} {words.value(spec, one.value)}"
    if "concepts" in spec.needs:
        for stick in YARDSTICKS:
            own = [parts.mean(members, label, n) for n in found if n.endswith(f", {stick}")]
            known = [one.value for one in own if one is not None]
            if known:
                yield f"{stick} {words.value(spec, fmean(known))}"
    for name in WITHOUT_SCALE:
        one = parts.mean(members, label, name)
        if one is not None:
            yield f"{name} {words.value(spec, one.value)}"


def _exactly(number: float) -> str:
    """All digits of a number that is printed with a prefix."""
    return f"; {number:,.0f}" if abs(number) >= words.LARGE else ""


def _counts(readings: Iterable[Reading]) -> str:
    counts = sorted({reading.n for reading in readings})
    return (
        f"n = {counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "") if counts else ""
    )
