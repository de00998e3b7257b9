"""Two studies compared, in words: text for a terminal, Markdown to keep, and every number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from scratchcard.changes import Change, Changes, Turn
from scratchcard.long_table import Row
from scratchcard.report import numbers
from scratchcard.report.cells import named
from scratchcard.report.escape import markdown
from scratchcard.results import Cell, Results

SHOWN = 20
"""Lines of a list in a terminal."""


def text(found: Changes, results: Results, names: tuple[str, str], other: Sequence[str]) -> str:
    """What changed, for a terminal; long lists are cut.

    Args:
        found: The changes.
        results: The study after, for titles.
        names: Of the studies before and after.
        other: Labels of the metrics that are defined differently in the two.
    """
    lines = []
    for title, items in _lists(found, results, names, other):
        lines += ["", f"{title}{':' if items else '.'}"]
        lines += [f"  {item}" for item in items[:SHOWN]]
        if len(items) > SHOWN:
            lines.append(f"  and {len(items) - SHOWN} more")
    return "\n".join([_head(found, names), *lines])


def page(found: Changes, results: Results, names: tuple[str, str], other: Sequence[str]) -> str:
    """The same as Markdown, nothing cut."""
    parts = [f"# {markdown(names[0])} and {markdown(names[1])}", markdown(_head(found, names))]
    for title, items in _lists(found, results, names, other):
        parts.append(f"## {markdown(title)}")
        if items:
            parts.append("\n".join(f"- {markdown(item)}" for item in items))
    return "\n\n".join(parts) + "\n"


def rows(found: Changes, results: Results) -> list[Row]:
    """Every reading that both studies have, as measured.

    ``gain``, its error and its interval are oriented so that more is better, on the metric's scale.
    """
    return [
        {
            **change.cell._asdict(),
            "metric": change.comparison.metric,
            "title": results.metrics[change.comparison.metric].title,
            "seeds": change.comparison.seeds,
            "before": change.comparison.dense,
            "after": change.comparison.sparse,
            "gain": change.comparison.d,
            "stderr": change.comparison.stderr,
            "lo": change.comparison.lo,
            "hi": change.comparison.hi,
            "p": change.p,
            "beyond_error": change.real,
        }
        for change in found.readings
    ]


def _head(found: Changes, names: tuple[str, str]) -> str:
    cells = len({change.cell for change in found.readings})
    said = (
        f"{names[0]} (before) against {names[1]} (after): "
        f"{numbers.count(len(found.readings), 'reading')} of {numbers.count(cells, 'cell')} in both"
    )
    one = any(change.comparison.seeds == 1 for change in found.readings)
    return f"{said}{'; one seed speaks of these networks, not of the methods' if one else ''}."


def _lists(
    found: Changes, results: Results, names: tuple[str, str], other: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """Each list with its title; what there is nothing to say of is left out."""
    real = sorted(found.real, key=lambda change: (change.p, change.cell))
    if real:
        title = (
            f"{numbers.count(len(real), 'reading')} changed beyond the error "
            "(5 % of them, at most, are expected to be chance)"
        )
        yield title, [_change(change, results) for change in real]
    elif found.readings:
        yield "No reading changed beyond its error", []
    else:
        yield "They have no reading in common", []
    if found.turns:
        title = f"{numbers.count(len(found.turns), 'verdict')} changed"
        yield title, [_turn(turn, found, results) for turn in found.turns]
    else:
        yield "No verdict changed", []
    if other:
        yield "Measured in another way (version or options differ)", [_titles(results, other)]
    for name, cells, labels in zip(names, found.cells, found.metrics, strict=True):
        absent = _places(results, cells)
        absent += [f"metrics {', '.join(labels)}"] if labels else []
        if absent:
            yield f"Only in {name}", absent


def _change(change: Change, results: Results) -> str:
    c, spec = change.comparison, results.metrics[change.comparison.metric]
    unit = " %" if spec.unit == "fraction" else ""
    ends = " to ".join(numbers.value(spec, value) + unit for value in (c.dense, c.sparse))
    better = "better" if c.d > 0 else "worse"
    manifold = spec.scale == "log" and abs(c.d) > math.log(2)
    moved = numbers.moved(spec, c) if manifold else numbers.change(spec, c)
    return f"{_place(results, change.cell)}: {spec.title} {better}, {moved} ({ends})"


def _turn(turn: Turn, found: Changes, results: Results) -> str:
    said = []
    if turn.outcomes[0] != turn.outcomes[1]:
        said.append(f"{turn.outcomes[0]} to {turn.outcomes[1]}")
    if turn.regions[0] != turn.regions[1]:
        said.append(f"region {turn.regions[0] or 'unknown'} to {turn.regions[1] or 'unknown'}")
    own = [change for change in found.readings if change.cell == turn.cell]
    still = {change.comparison.metric for change in own if not change.real}
    for label, (old, new) in turn.calls.items():
        within = " (no change of the reading beyond its error)" if label in still else ""
        calls = f"{old or 'not read'} to {new or 'not read'}"
        said.append(f"{results.metrics[label].title} {calls}{within}")
    return f"{_place(results, turn.cell)}: {'; '.join(said)}"


def _place(results: Results, cell: Cell) -> str:
    """``SNIP at 59 %``, and the setting where there are several."""
    who = results.methods.get(cell.method, "Dense twin" if cell.method == "dense" else cell.method)
    at = f" at {numbers.percent(cell.target)}" if cell.target else ""
    setting = named((cell.data, cell.model), results)
    return who + at + (f" on {setting}" if setting else "")


def _places(results: Results, cells: Sequence[Cell]) -> list[str]:
    """``SNIP at 59 % and 83.2 %`` of each method."""
    rungs: dict[Cell, list[str]] = {}
    for cell in cells:
        rungs.setdefault(cell._replace(target=0.0), []).append(numbers.percent(cell.target))
    return [
        _place(results, cell) + (f" at {numbers.listing(own)}" if cell.method != "dense" else "")
        for cell, own in rungs.items()
    ]


def _titles(results: Results, labels: Sequence[str]) -> str:
    return ", ".join(results.metrics[label].title for label in labels)
