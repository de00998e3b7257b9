"""What changed between two studies: planted changes are found, noise is not reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scratchcard.changes import Changes, Judged, changes
from scratchcard.contracts import Reading
from scratchcard.report import changed
from scratchcard.results import Cell, Measured, Results
from scratchcard.verdict import judge
from tests import factory

TARGETS = (0.36, 0.7903, 0.945)
LABELS = ("accuracy", "nll", "ece", "brier")


def study(seed: int, name: str = "before", fall: float = 0.0) -> Results:
    def effects(method: str, target: float, label: str) -> float:
        planted = (method, target, label) == ("omp", 0.7903, "accuracy")
        return factory.realistic(method, target, label) - (fall if planted else 0.0)

    found = factory.make_results(
        seed,
        targets=TARGETS,
        metrics=LABELS,
        effects=effects,
        examples=1_000,
        methods=("omp", "lth"),
        study=name,
    )
    return replace(found, networks=tuple(retrained(m, name) for m in found.networks))


def retrained(measured: Measured, name: str) -> Measured:
    network = replace(measured.network, weights=f"{name}-{measured.network.weights}")
    return replace(measured, network=network)


def judged(results: Results) -> Judged:
    return results, judge(results)


def test_a_planted_change_is_found_with_its_size() -> None:
    found = changes(judged(study(0)), judged(study(1, "after", fall=0.06)))
    first = min(found.real, key=lambda change: change.p)
    assert first.cell == Cell("digits", "mlp", "omp", 0.7903)
    assert first.comparison.metric == "accuracy"
    assert first.comparison.d == pytest.approx(-0.06, abs=3 * first.comparison.stderr)
    assert {turn.cell for turn in found.turns} >= {first.cell}
    text = changed.text(found, study(1, "after"), ("before", "after"), [])
    assert "One-shot magnitude (OMP) at 79 %: Accuracy worse, " in text


def test_noise_is_not_reported() -> None:
    loud = sum(
        bool(changes(judged(study(2 * k)), judged(study(2 * k + 1, "after"))).real)
        for k in range(12)
    )
    # Of studies without a true change 5 % may report one: of 12 more than 3 in one of 500.
    assert loud <= 3


def test_a_study_does_not_differ_from_itself() -> None:
    found = changes(judged(study(0)), judged(study(0)))
    assert len(found.readings) == 7 * 4
    assert not found.real
    assert not found.turns
    assert all(change.p == 1 and change.comparison.d == 0 for change in found.readings)
    assert "No reading changed" in changed.text(found, study(0), ("a", "b"), [])


def shifted(results: Results, by: float) -> Results:
    """The same networks, their NLL read ``by`` higher each."""

    def higher(reading: Reading) -> Reading:
        assert reading.examples is not None
        return replace(reading, value=reading.value * by, examples=reading.examples * by)

    return replace(
        results,
        networks=tuple(
            replace(m, readings={**m.readings, "nll": higher(m.readings["nll"])})
            for m in results.networks
        ),
    )


def test_the_same_networks_read_otherwise_differ_surely() -> None:
    # Far less than networks differ over seeds, but the same in each.
    found = changes(judged(study(0)), judged(shifted(study(0), 1.001)))
    assert {change.comparison.metric for change in found.real} == {"nll"}
    assert len(found.real) == 7
    for change in found.real:
        assert change.comparison.d == pytest.approx(-np.log(1.001))


def test_a_reading_without_a_logarithm_is_left_out() -> None:
    # An estimated trace may be negative: its ratio to another says nothing.
    def traced(seed: int, name: str, value: float) -> Judged:
        results = study(seed, name)
        first = replace(results.networks[0].readings["nll"], value=value)
        readings = {**results.networks[0].readings, "nll": first}
        changed_one = replace(results.networks[0], readings=readings)
        return judged(replace(results, networks=(changed_one, *results.networks[1:])))

    found = changes(traced(0, "before", -1.0), traced(1, "after", 1.0))
    (change,) = (
        c for c in found.readings if c.cell.method == "dense" and c.comparison.metric == "nll"
    )
    others = len(study(0).groups[change.cell]) - 1
    assert change.comparison.seeds == others
    assert abs(change.comparison.d) < 1


def test_studies_without_a_common_reading_say_so() -> None:
    one, other = (
        factory.make_results(metrics=(label,), examples=100) for label in ("accuracy", "nll")
    )
    titled = replace(other, metrics={**one.metrics, **other.metrics})
    text = changed.text(changes(judged(one), judged(other)), titled, ("a", "b"), [])
    assert "They have no reading in common." in text
    assert "beyond" not in text


def test_cells_and_metrics_that_only_one_has_are_named() -> None:
    narrow = factory.make_results(targets=TARGETS[:2], metrics=("accuracy",), examples=100)
    wide = factory.make_results(targets=TARGETS, metrics=("accuracy", "nll"), examples=100)
    found: Changes = changes(judged(narrow), judged(wide))
    assert found.cells == ((), tuple(c for c in wide.groups if c.target == TARGETS[2]))
    assert found.metrics == ((), ("nll",))
    page = changed.page(found, wide, ("a_b", "c"), ["accuracy"])
    assert "## Only in c" in page
    assert "metrics nll" in page
    assert r"# a\_b and c" in page
    assert "Measured in another way" in page


def test_the_table_holds_what_was_read() -> None:
    old, new = study(0), study(1, "after")
    rows = changed.rows(changes(judged(old), judged(new)), new)
    row = next(r for r in rows if (r["method"], r["metric"]) == ("dense", "nll"))
    for column, results in (("before", old), ("after", new)):
        twins = [m for m in results.networks if m.network.method == "dense"]
        assert row[column] == pytest.approx(np.mean([m.readings["nll"].value for m in twins]))
