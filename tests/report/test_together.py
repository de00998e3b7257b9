"""Readings of all seeds together: in tables, charts, figures, warnings and sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scratchcard.contracts import Reading
from scratchcard.report import charts, page, plots, publish, readings, summary, words
from scratchcard.report.cells import Cell
from scratchcard.report.curves import Panel
from scratchcard.results import NOT_RUN, Results, Together
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras

TARGETS = (0.36, 0.79, 0.945)
WHY = "not applicable: because it takes two seeds"


@pytest.fixture(scope="module")
def results() -> Results:
    made = make_results(
        methods=("lth", "omp"),
        targets=TARGETS,
        seeds=2,
        examples=100,
        metrics=("accuracy", "class-gap"),
    )
    missing = {("omp", 0.36): WHY, ("omp", 0.79): "boom", ("omp", 0.945): NOT_RUN}
    return extras.with_pies(made, missing)


def pies(results: Results) -> list[Cell]:
    """The column of the metric: dense, then every method at every rung."""
    chapters = {c.dimension: c for c in readings.numbers(results, results.settings[0])}
    (table,) = chapters["fairness"].tables
    (column,) = (i for i, cell in enumerate(table.head) if cell.text.startswith("PIEs"))
    return [row.cells[column] for row in table.rows]


def panel(results: Results) -> Panel:
    (found,) = (p for p in plots.panels(results, judge(results)) if p.metric == "pie")
    return found


def test_a_cell_has_the_one_value_and_its_error(results: Results) -> None:
    dense, *tickets = pies(results)
    assert (dense.text, dense.kind, dense.key) == ("—", "none", None)
    assert [cell.text for cell in tickets[:3]] == ["1.0 ± 0.2"] * 3
    assert tickets[0].hint.startswith("all 2 seeds together, n = 500")
    assert [cell.text for cell in tickets[3:]] == ["n/a", "failed", "not run"]
    assert [cell.hint for cell in tickets[3:]] == [WHY, "boom", NOT_RUN]


def test_a_reading_that_is_not_finite_is_a_gap(results: Results) -> None:
    where = extras.cell(results, "lth", 0.36)
    broken = Together({"pie": Reading(float("nan"), 0.1, 5)}, {}, {})
    results = replace(results, together={**results.together, where: broken})
    assert pies(results)[1].hint == "the reading is not finite"
    assert [point.target for point in panel(results).curves[0].points] == [0.79, 0.945]


def test_the_chart_has_a_point_a_rung_with_its_standard_error(results: Results) -> None:
    found = panel(results)
    lth, omp = found.curves
    assert [(p.target, p.mean, p.n) for p in lth.points] == [(t, 1.0, 500) for t in TARGETS]
    assert [p.lo for p in lth.points] == pytest.approx([0.8] * 3)
    assert [p.hi for p in lth.points] == pytest.approx([1.2] * 3)
    assert (lth.dots, omp.points, found.dense, found.band) == ((), (), (), None)
    low, high = found.domain
    assert low < 0.8 < 1.2 < high, "no error bar is cut"
    rows = charts.rows(found, results)
    assert rows["seeds"] == rows["twins"] == []
    assert [(row["bar"], row["value"], row["by"]) for row in rows["points"]] == [
        (True, "1.0 ± 0.2 %", "all 2 seeds together, n = 500")
    ] * 3


def test_the_figures_are_drawn(results: Results, tmp_path: Path) -> None:
    names = {path.name for path in publish.write(results, judge(results), tmp_path)}
    assert {"pie.pdf", "pie.svg"} <= names


def test_warnings_say_why_it_is_missing(results: Results) -> None:
    lines = summary.warnings(results)
    assert f"One-shot magnitude (OMP): PIEs {WHY}" in lines
    assert "One-shot magnitude (OMP) at 79 %, all seeds together: PIEs missing: boom" in lines


def test_a_failed_reading_is_counted_in_the_sentences(results: Results) -> None:
    assert "1 reading failed and is left out" in words.headline(results, judge(results))
    whole = extras.with_pies(results)
    assert "failed and" not in words.headline(whole, judge(whole))


def test_nothing_read_is_no_panel(results: Results) -> None:
    results = replace(results, together={})
    assert not [p for p in plots.panels(results, judge(results)) if p.metric == "pie"]
    assert {cell.text for cell in pies(results)} == {"—"}
    assert page.render(results, judge(results))
