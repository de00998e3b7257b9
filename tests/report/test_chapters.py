"""Many metrics: by dimension, in tables that fit, with large numbers and what they promise not."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from scratchcard.contracts import VOTING, Part, Reading
from scratchcard.registry import METRICS
from scratchcard.report import dimensions, guide, page, plots, readings
from scratchcard.report.numbers import tick
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.kinds import KINDS, spec
from tests.report import extras

FLOPS = spec("flops", "FLOPs", "efficiency", unit="", scale="log")
SETTING = ("digits", "mlp")


def study(**more: object) -> Results:
    return make_results(methods=("lth",), targets=(0.36,), seeds=2, examples=50, **more)  # type: ignore[arg-type]


def test_dimensions_come_in_order_and_voters_first() -> None:
    # In the study's order churn and the gap come before the voters.
    results = study(metrics=("churn", "class-gap", "hessian-trace", "nll", "accuracy"))
    assert dimensions.by_dimension(results) == {
        "generalisation": ["accuracy", "churn"],
        "calibration": ["nll"],
        "landscape": ["hessian-trace"],
        "fairness": ["class-gap"],
    }
    assert dimensions.ORDER[:4] == VOTING
    order = [label for labels in dimensions.by_dimension(results).values() for label in labels]
    assert [p.metric for p in plots.panels(results, judge(results))] == order
    chapters = guide.chapters(results)
    titles = [[entry.title for entry in entries] for entries in chapters.values()]
    assert titles == [["Accuracy", "Churn"], ["NLL"], ["Hessian trace"], ["Worst class gap"]]


@pytest.mark.parametrize(("metrics", "shares"), [(1, [1]), (6, [6]), (7, [3, 4]), (13, [4, 4, 5])])
def test_wide_tables_are_shared_out(metrics: int, shares: list[int]) -> None:
    results = study(metrics=("accuracy",))
    for i in range(metrics - 1):
        kind = spec(f"extra-{i}", f"Extra {i}", "generalisation")
        results = extras.with_reading(results, kind, Reading(0.5, 0.1, 10))
    (chapter,) = readings.numbers(results, SETTING)
    assert [len(table.head) - 3 for table in chapter.tables] == shares
    assert all(len(row.cells) == len(table.head) for table in chapter.tables for row in table.rows)
    titles = [cell.text for table in chapter.tables for cell in table.head[3:]]
    assert len(set(titles)) == metrics
    assert chapter.metrics == f"{metrics} metric{'s' * (metrics > 1)}"


def test_a_metric_that_applies_nowhere_has_no_column() -> None:
    cells = {
        (method, target, k, "class-gap"): "not applicable: because all classes are alike"
        for method, target in (("lth", 0.36), ("dense", 0.0))
        for k in range(2)
    }
    results = study(metrics=("accuracy", "class-gap"), failed=cells)
    *_, fairness = readings.numbers(results, SETTING)
    assert (fairness.dimension, fairness.tables) == ("fairness", ())
    assert fairness.note.endswith("Worst class gap.")
    some = study(metrics=("accuracy", "class-gap"), failed=dict([*cells.items()][:2]))
    *_, fairness = readings.numbers(some, SETTING)
    assert [cell.text for cell in fairness.tables[0].rows[1].cells[3:]] == ["n/a"]


def test_only_long_tables_scroll_within_the_page() -> None:
    targets = tuple(0.3 + 0.02 * i for i in range(30))
    for results, tall in ((study(), 1), (make_results(targets=targets, seeds=1, examples=40), 5)):
        # Where a number is from; of the long one those of three dimensions, and the cost.
        text = page.render(results, judge(results))
        assert text.count('class="scroll tall"') == tall


def test_every_dimension_has_its_heading_once() -> None:
    results = study(metrics=("accuracy", "nll", "class-gap"))
    text = page.render(results, judge(results))
    curves = text[text.index('id="curves"') : text.index('id="breaking"')]
    found = re.findall(r'<h3 class="dimension">(\w+)</h3>', curves)
    assert found == ["generalisation", "calibration", "fairness"]
    details = re.findall(r'<details class="wide"( open)?><summary>(\w+)<small>1 metric<', text)
    assert details == [(" open", "Generalisation"), ("", "Calibration"), ("", "Fairness")]


def test_speed_is_not_promised_to_zeros() -> None:
    results = extras.with_reading(study(), FLOPS, Reading(81.5e6, 0.0, 1))
    assert page.render(results, judge(results)).count(dimensions.ZEROS) == 2  # charts and numbers
    assert dimensions.note(results, SETTING, ["accuracy"]) == ""
    smaller = tuple(
        replace(m, parameters=m.parameters // 2) if m.network.method == "lth" else m
        for m in results.networks
    )
    assert dimensions.note(replace(results, networks=smaller), SETTING, ["flops"]) == ""


def test_large_numbers_have_a_prefix_and_all_digits_in_the_hint() -> None:
    results = extras.with_reading(study(), FLOPS, Reading(81_543_210.0, 0.0, 1))
    (chapter,) = (c for c in readings.numbers(results, SETTING) if c.dimension == "efficiency")
    cell = chapter.tables[0].rows[0].cells[3]
    assert (cell.text, cell.key) == ("81.5 M", 81_543_210.0)
    assert cell.hint.endswith("81,543,210")
    assert [tick(n) for n in (0, 0.5, 200, 1500, 2e6, -3e4)] == (
        ["0", "0.5", "200", "1.5 k", "2 M", "\N{MINUS SIGN}30 k"]
    )


def test_cautions_of_the_scorecard_are_those_of_voters() -> None:
    results = study(metrics=("accuracy", "ece"))
    assert [entry.title for entry in guide.cautions(results)] == ["ECE"]
    quiet = replace(results, margins={})
    assert guide.cautions(quiet) == []
    caution = html.escape(KINDS["ece"].spec.caution)
    assert f"† ECE.</b> {caution}" in page.render(results, judge(results))


def shown_beside(results: Results, title: str) -> set[str]:
    """The small second lines of a metric's column, of all networks."""
    tables = [table for chapter in readings.numbers(results, SETTING) for table in chapter.tables]
    table = next(t for t in tables if any(cell.text.startswith(title) for cell in t.head))
    column = next(i for i, cell in enumerate(table.head) if cell.text.startswith(title))
    return {row.cells[column].small for row in table.rows}


def test_overlaps_stand_beside_their_yardsticks_and_raw_numbers_beside_what_has_no_scale() -> None:
    results = study(metrics=("accuracy",))
    overlap = {"own, bound": 0.06, "own, chance": 0.002, "own, untrained": 0.02, "own, colour": 0.1}
    overlap |= {"streets, bound": 0.08}
    for name, given in (
        ("netdissect", overlap),
        ("weight-hessian-trace", {"scale-invariant": 33.0}),
    ):
        own = {label: Part(value, 0.01, 500) for label, value in given.items()}
        reading = Reading(0.3, 0.01, 500, parts=own)
        results = extras.with_reading(results, METRICS.get(name), reading)
    (beside,) = shown_beside(results, METRICS.get("netdissect").title)
    assert beside.splitlines() == ["bound 0.07", "chance 0.002", "untrained 0.02"]
    (beside,) = shown_beside(results, METRICS.get("weight-hessian-trace").title)
    assert beside == "scale-invariant 33"


@pytest.mark.parametrize(
    ("floor", "stray", "said"), [(0.021, 0.0, "floor 2.1"), (0.0, 0.007, "floor 0.0 ± 0.7")]
)
def test_a_noise_floor_stands_below_the_reading(floor: float, stray: float, said: str) -> None:
    """A floor of 0 alone would say nothing: how far networks stray from it does."""
    results = study(metrics=("accuracy",))
    reading = Reading(0.03, 0.01, 500, parts={"noise floor": Part(floor, stray, 500)})
    with_floor = extras.with_reading(results, KINDS["ece"].spec, reading)
    assert shown_beside(with_floor, "ECE") == {said}
    assert shown_beside(with_floor, "Accuracy") == {""}
    notes = {c.dimension: c.note for c in readings.numbers(with_floor, SETTING)}
    assert notes == {"generalisation": "", "calibration": readings.FLOORS}


def test_several_foreign_sets_are_told_one_by_one() -> None:
    results = study(metrics=("accuracy",))
    parts = {"near": 0.6, "far": 0.91, "near, foreign positive": 0.3, "far, foreign positive": 0.4}
    both = Reading(0.755, 0.01, 500, parts={k: Part(v, 0.01, 500) for k, v in parts.items()})
    single = replace(both, parts={k: both.parts[k] for k in ("near", "near, foreign positive")})
    kind = KINDS["ood-auroc"].spec
    assert shown_beside(extras.with_reading(results, kind, both), "OOD") == {"near 60\nfar 91"}
    assert shown_beside(extras.with_reading(results, kind, single), "OOD") == {""}
    # Parts of another metric are no sets.
    assert shown_beside(extras.with_reading(results, KINDS["mce"].spec, both), "mCE") == {""}
