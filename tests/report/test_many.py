"""A study of twenty methods: who is spoken of, who is marked, and cells without numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scratchcard.contracts import Reading
from scratchcard.report import page, ranking, readings, summary, tables, words
from scratchcard.report.cells import Table
from scratchcard.results import NOT_RUN, Results
from scratchcard.verdict import Verdict, at_equal_budget, breaks, judge
from tests import factory
from tests.factory import CAST, make_results, no_effect

SETTING = ("digits", "mlp")
CONTROLS = CAST[-5:]


@pytest.fixture(scope="module")
def study() -> tuple[Results, Verdict]:
    results = factory.everybody(examples=500)
    # In the study's order the controls stand first: the report must turn that around.
    methods = {m: results.methods[m] for m in (*CONTROLS, *CAST[:-5])}
    results = replace(results, methods=methods)
    return results, judge(results)


def first_numbers(results: Results) -> Table:
    """The first table of all numbers: generalisation's."""
    return readings.numbers(results, SETTING)[0].tables[0]


def controlled(**options: object) -> Results:
    """Two methods, of which ``random`` is a control."""
    return make_results(methods=("random", "lth"), controls=("random",), **options)  # type: ignore[arg-type]


# --- Sentences


def test_sentences_speak_of_contenders_alone(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    spoken = words.headline(results, verdict)
    states = [badge.state for badges in summary.badges(*study) for badge in badges.badges]
    titles = [results.methods[m] for m in CONTROLS]
    assert not [title for title in titles if any(title in said for said in (spoken, *states))]
    # The control that gains at every rung would have been named, had it been a contender.
    free = replace(results, controls=frozenset())
    freed = [badge.state for badges in summary.badges(free, verdict) for badge in badges.badges]
    assert any("Long dense" in state for state in freed)


def test_a_control_neither_loses_nor_keeps_up() -> None:
    def effects(method: str, target: float, metric: str) -> float:
        return -0.4 if method == "random" else 0.0

    results = controlled(effects=effects, targets=(0.36, 0.59), seeds=10, examples=5_000)
    said = words.headline(results, judge(results))
    assert said.startswith("Lottery tickets (LTH): no loss beyond the margin")
    assert "fail" not in said
    broken = controlled(effects=lambda m, t, k: -0.4 * (m == "lth"), targets=(0.36, 0.59), seeds=10)
    said = words.headline(broken, judge(broken))
    assert said.startswith("No ticket keeps up with its dense twin: from 36 % sparsity on, each")
    assert "Random" not in said


def test_a_control_is_described_and_not_judged() -> None:
    results = controlled(effects=lambda m, t, k: 0.06, targets=(0.36,))
    said = [words.ticket_sentence(t, results) for t in judge(results).tickets]
    assert said[0].startswith("Random pruning at 36 % sparsity, a control: against dense, Accuracy")
    assert "pass" not in said[0]
    assert "passes" in said[1]
    same = controlled(effects=no_effect, targets=(0.36,))
    (ticket, _) = judge(same).tickets
    assert "no metric is shown to differ from dense" in words.ticket_sentence(ticket, same)


def test_only_controls() -> None:
    results = make_results(methods=("random",), controls=("random",), targets=(0.36,))
    said = words.headline(results, judge(results))
    assert said == "Only dense networks and controls were measured, so there is nothing to compare."
    assert "is a control: what a ticket should do better than" in page.render(
        results, judge(results)
    )


def test_what_a_pattern_reaches_is_the_end_of_its_own_ladder_only() -> None:
    def effects(method: str, target: float, metric: str) -> float:
        return -0.4 if method == "lth" else 0.0

    results = make_results(
        methods=("lth", "omp-2:4"),
        targets=(0.36, 0.79),
        ladders={"omp-2:4": (0.5,)},
        effects=effects,
        seeds=10,
    )
    said = words.headline(results, judge(results))
    assert "2:4: no loss" in said
    assert "That is the sparsest step of this method." in said


def test_structures_just_beside_a_rung_share_it() -> None:
    near = {("channels", 0.59): 0.5931}
    results = make_results(
        methods=("lth", "channels"), targets=(0.59,), reached=near, effects=no_effect, seeds=10
    )
    said = words.headline(results, judge(results))
    assert "Lottery tickets (LTH) and Channel pruning: no loss" in said
    assert "(59 % sparsity)" in said, "what is said of both holds for the denser one"


def test_long_lists_are_counted() -> None:
    results = make_results(methods=CAST[:9], targets=(0.36,), effects=no_effect, seeds=10)
    said = words.headline(results, judge(results))
    assert "and 4 more: no loss beyond the margin" in said


def test_inapplicable_is_no_failure_in_words(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    assert "failed" not in words.headline(results, verdict)
    told = [line for line in summary.warnings(results) if "applicable" in line]
    assert told == ["Small dense: Mask overlap not applicable: it has no mask"]
    cells = {("lth", 0.36, k, "ece"): "not applicable: x" for k in range(5)}
    one = make_results(methods=("lth",), targets=(0.36,), effects=no_effect, failed=cells)
    (ticket,) = judge(one).tickets
    assert "undecided, for ECE does not apply to it" in words.ticket_sentence(ticket, one)


def test_what_applies_to_no_ticket_is_said_once() -> None:
    why = "not applicable: because all classes are alike"
    cells = {(m, 0.36, k, "class-gap"): why for m in ("lth", "omp", "random") for k in range(2)}
    results = make_results(targets=(0.36,), seeds=2, failed=cells)
    told = [line for line in summary.warnings(results) if why in line]
    assert told == [f"All tickets: Worst class gap {why}"]
    cells = {cell: why for cell in cells if cell[0] != "random"}
    results = make_results(targets=(0.36,), seeds=2, failed=cells)
    told = [line for line in summary.warnings(results) if why in line]
    who = "One-shot magnitude (OMP) and Lottery tickets (LTH)"
    assert told == [f"{who}: Worst class gap {why}"]


def test_collapsed_layers_are_named(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    lines = summary.warnings(results)
    assert "SNIP at 94.5 %: no weights are left in fc2.weight in 2 of 2 seeds." in lines
    ticket = next(t for t in verdict.tickets if (t.method, t.target) == ("snip", 0.945))
    assert words.ticket_sentence(ticket, results).endswith("No weights are left in fc2.weight.")
    row = next(
        row
        for row in tables.scorecard(results, verdict, SETTING, 0.945).rows
        if row.cells[0].text == "SNIP"
    )
    assert row.cells[-1].small == "region III\ncollapsed"
    assert "fc2.weight" in row.cells[-1].hint


# --- Tables


def test_controls_come_last_and_are_marked(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    titles = [results.methods[m] for m in CONTROLS]
    card = tables.scorecard(results, verdict, SETTING, 0.7903)
    assert [row.cells[0].text for row in card.rows[-5:]] == titles
    assert [row.cells[1].text for row in card.rows[-5:]] == ["control"] * 5
    assert "control" not in [row.cells[1].text for row in card.rows[:-5]]
    assert {row.kind for row in card.rows[-5:]} == {"control"}
    for table in (
        tables.breaking(results, SETTING, breaks(results)),
        first_numbers(results),
        tables.cost(results, SETTING),
    ):
        marked = [row.kind == "control" for row in table.rows]
        assert marked == sorted(marked)
        assert {row.cells[0].small for row in table.rows if row.kind == "control"} == {"control"}


def test_a_scorecard_has_the_methods_of_its_rung(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    own = tables.scorecard(results, verdict, SETTING, 0.5)
    assert [row.cells[0].text for row in own.rows] == ["One-shot magnitude (OMP), 2:4"]
    others = tables.scorecard(results, verdict, SETTING, 0.36)
    assert len(others.rows) == 19
    text = page.render(results, verdict)
    assert text.count('<div class="rung"') == 12  # of a scorecard and a radar
    assert text.count('name="rung"') == 6


def test_sparsities_off_their_rung_are_printed(study: tuple[Results, Verdict]) -> None:
    results, verdict = study
    card = tables.scorecard(results, verdict, SETTING, 0.36)
    small = {row.cells[0].text: row.cells[0].small for row in card.rows}
    assert small["Channel pruning"] == "34.8 %"
    assert small["Long dense"] == "dense"
    assert small["Lottery tickets (LTH)"] == ""
    shown = {
        (row.cells[0].text, row.cells[1].text, row.cells[1].small)
        for row in first_numbers(results).rows
    }
    assert ("Long dense", "dense", "for 36 %") in shown
    assert ("Channel pruning", "34.8 %", "for 36 %") in shown
    assert ("Dense twin", "0 %", "") in shown
    assert ("SNIP", "36 %", "") in shown


def test_cells_without_numbers_are_told_apart() -> None:
    cells = {
        ("lth", 0.36, 0, "ece"): "not applicable: it has no confidences",
        ("lth", 0.36, 0, "nll"): NOT_RUN,
        ("lth", 0.36, 0, "brier"): "boom",
    }
    results = make_results(methods=("lth",), targets=(0.36,), seeds=1, failed=cells)
    card = tables.scorecard(results, judge(results), SETTING, 0.36)
    labels = [cell.text.split("\N{NO-BREAK SPACE}")[0] for cell in card.head]
    found = dict(zip(labels, card.rows[0].cells, strict=True))
    assert (found["ECE"].text, found["ECE"].kind) == ("n/a", "none")
    assert found["ECE"].hint == "not applicable: it has no confidences"
    assert (found["NLL"].text, found["NLL"].kind) == ("not run", "none")
    assert (found["Brier score"].text, found["Brier score"].kind) == ("failed", "failed")
    (calibration,) = (
        chapter.tables[0]
        for chapter in readings.numbers(results, SETTING)
        if chapter.dimension == "calibration"
    )
    row = calibration.rows[1]
    assert [cell.text for cell in row.cells if cell.kind] == ["not run", "n/a", "failed"]


def test_holding_says_how_far(study: tuple[Results, Verdict]) -> None:
    results, _ = study
    rows = {
        row.cells[0].text: row.cells[1:]
        for row in tables.breaking(results, SETTING, breaks(results)).rows
    }
    pattern = {(cell.text, cell.small) for cell in rows["One-shot magnitude (OMP), 2:4"]}
    assert pattern == {("holds", "to 50 %")}
    assert {(c.text, c.small) for c in rows["Long dense"]} == {("holds", "to 94.5 %")}


def test_what_was_not_read_neither_holds_nor_loses() -> None:
    """ECE was read to 36 % only, so it holds no further, and by no rule is the rest a loss."""
    gone = {("lth", 0.59, k, "ece"): "boom" for k in range(3)}
    results = make_results(
        methods=("lth",), targets=(0.36, 0.59), seeds=3, effects=no_effect, failed=gone
    )
    (row,) = tables.breaking(results, SETTING, breaks(results)).rows
    held = dict(zip(("accuracy", "ood-auroc", "mce", "nll", "ece"), row.cells[1:], strict=False))
    assert (held["ece"].small, held["nll"].small) == ("to 36 %", "to 59 %")
    (row,) = tables.scorecard(results, judge(results), SETTING, 0.59).rows
    assert row.cells[-1].text == "—"
    assert row.cells[-1].hint == "not all headline metrics could be compared"
    assert row.cells[-1].small == "region I"


def test_a_method_that_nobody_could_compare_reaches_nothing_known() -> None:
    failed = {("lth", 0.36, k): "diverged" for k in range(2)}
    results = make_results(methods=("lth", "omp"), targets=(0.36,), seeds=2, failed=failed)
    verdict = judge(results)
    table = ranking.reach(results, verdict, SETTING)
    assert table is not None
    assert [cell.text for cell in table.rows[0].cells[1:4]] == ["—"] * 3
    assert [cell.text for cell in table.rows[1].cells[1:4]] != ["—"] * 3
    bought = at_equal_budget(results, verdict)
    assert {one.sparsity for one in bought if one.method == "lth"} == {None}


def test_an_unknown_error_has_no_interval() -> None:
    plain = make_results(methods=("lth",), targets=(0.36,), seeds=1, metrics=("ece",))
    networks = tuple(
        replace(m, readings={"ece": Reading(0.02, math.inf, 100)}) for m in plain.networks
    )
    results = replace(plain, networks=networks)
    (row,) = tables.scorecard(results, judge(results), SETTING, 0.36).rows
    assert "; error unknown, 1 seed" in row.cells[2].hint
    assert "undecided" in row.cells[2].small


def test_the_cost_is_in_epochs_too(study: tuple[Results, Verdict]) -> None:
    results, _ = study
    table = tables.cost(results, SETTING)
    column = [cell.text for cell in table.head].index("Epochs to find")
    row = next(row for row in table.rows if row.cells[0].text == "Lottery tickets (LTH)")
    assert (row.cells[column].text, row.cells[column].small) == ("144", "144 k images")
    train = [cell.text for cell in table.head].index("Epochs to train")
    assert row.cells[train].text == "28.7"
