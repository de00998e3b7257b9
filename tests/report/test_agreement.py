"""Which metrics agree: a map that reads both ways, and sentences computed from it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from scratchcard.agreement import Agreement
from scratchcard.report import agreement, page
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results

SAME = "|\N{GREEK SMALL LETTER RHO}| ≥ 0.9"


@pytest.fixture(scope="module")
def results() -> Results:
    return make_results(
        seeds=2, examples=50, metrics=("accuracy", "nll", "brier", "ece", "class-gap", "churn")
    )


def say(results: Results, rhos: list[list[float]], rungs: int = 1) -> agreement.Map:
    """The map of three metrics, the same over all and within."""
    labels = ("accuracy", "nll", "ece")
    matrix = np.array(rhos)
    own = Agreement(labels, 0, matrix, matrix, 10, rungs, 8, ("brier",), ())
    return agreement._map(results, results.settings[0], own)


def test_rows_stand_by_dimension_with_room_for_its_name(results: Results) -> None:
    (found,) = agreement.maps(results)
    assert [label.text for label in found.labels if label.head] == [
        "GENERALISATION",
        "CALIBRATION",
        "FAIRNESS",
    ]
    assert [label.at for label in found.labels] == list(range(found.size))
    assert found.beside == 2
    assert "over all 30 tickets, which sparsity drives" in found.note
    assert "within each of 5 rungs. Of 15 pairs, fewer than 0.1 would" in found.note


def test_below_the_diagonal_over_all_and_above_within() -> None:
    overall, within = (np.array([[1, rho], [rho, 1]]) for rho in (0.9, -0.2))
    own = Agreement(("a", "b"), 0, overall, within, 10, 2, 7, (), ())
    assert list(agreement._square(own, {0: 1, 1: 3})) == [(-0.2, 3, 1), (0.9, 1, 3)]
    (first, second) = agreement._layers(agreement._square(own, {0: 1, 1: 3}))
    assert (first.colour, first.opacity, first.path) == ("worse", 0.2, "M3 1h1v1h-1z")
    assert (second.colour, second.opacity, second.path) == ("better", 0.9, "M1 3h1v1h-1z")
    assert agreement._layers([(float("nan"), 0, 0)]) == ()
    assert agreement._layers([(0.01, 0, 0)])[0].opacity == agreement.FAINT


def test_factors_and_weak_networks_in_words(results: Results) -> None:
    found = say(results, [[1, -0.93, -0.3], [-0.93, 1, 0.2], [-0.3, 0.2, 1]])
    assert found.said == (
        f"One factor in disguise here, with {SAME} between all: Accuracy and NLL (reversed).",
        "Weak networks are rewarded by NLL (\u22120.93): these go against accuracy by more than "
        "\u22120.55, where chance alone puts one in twenty.",
    )
    assert found.left_out == "Left out, for they are the same for all: Brier score."
    assert (
        found.note
        == "Over 10 tickets of one sparsity. Of 3 pairs, fewer than 0.1 would reach ±0.9 by chance."
    )
    assert [(n.text, n.bright) for n in found.numbers] == [
        ("1", True),
        ("\u2212.93", True),
        ("\u2212.30", False),
    ]
    none = say(results, [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]], rungs=2)
    assert none.said == (
        "No two metrics are one factor in disguise within a rung, with |\u03c1| ≥ 0.9.",
    )


def test_the_nearest_relative_is_another_metric(results: Results) -> None:
    table = say(results, [[1, -0.93, -0.3], [-0.93, 1, 0.2], [-0.3, 0.2, 1]]).table
    assert [cell.text for cell in table.head] == [
        *("Metric", "Dimension", "With accuracy", "Most alike", "\u03c1"),
    ]
    assert [[cell.text for cell in row.cells][3:] for row in table.rows] == [
        ["NLL", "\u22120.93"],
        ["Accuracy", "\u22120.93"],
        ["Accuracy", "\u22120.30"],
    ]


def test_the_page_has_the_map_where_there_are_tickets_enough(results: Results) -> None:
    text = page.render(results, judge(results))
    section = re.search(r'<section aria-labelledby="agreement">.*?</section>', text, re.S)
    assert section is not None
    assert section[0].count('class="row"') == 6
    assert section[0].count('class="row head"') == 3
    few = make_results(seeds=1, examples=50, metrics=("accuracy", "nll"))
    assert '<h2 id="agreement">' not in page.render(few, judge(few))
    blind = replace(results, metrics={k: s for k, s in results.metrics.items() if k != "accuracy"})
    assert "With accuracy" not in page.render(blind, judge(blind))
