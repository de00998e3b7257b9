"""The sentences on studies whose truth is known, and how numbers are written."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from scratchcard.report import summary, words
from scratchcard.report.numbers import MINUS
from scratchcard.results import NOT_RUN, Measured, Results
from scratchcard.verdict import Comparison, judge, reaches
from tests.factory import make_results, no_effect
from tests.kinds import KINDS


def headline(results: Results) -> str:
    return words.headline(results, judge(results))


def tickets(results: Results) -> list[str]:
    return [words.ticket_sentence(ticket, results) for ticket in judge(results).tickets]


def compared(label: str, d: float, stderr: float = 0.004) -> Comparison:
    return Comparison(label, 0.9, 0.9, d, stderr, d - 0.01, d + 0.01, 0.01, "undecided", 3)


def test_the_headline_names_the_winner_its_limit_and_the_loser() -> None:
    said = headline(make_results())
    assert said == (
        "Lottery tickets (LTH): no loss beyond the margin on all 6 headline metrics measured, "
        "down to 10.7 % of the weights (89.3 % sparsity). At the next step, 94.5 %, it is worse: "
        "NLL 7.4 % higher and OOD ROC-AUC 0.82 points lower. "
        "Random pruning fails from 79 % on: NLL 23 % higher, mCE 8.3 points higher and 4 more. "
        "Interpretability and loss landscape were not measured, "
        "so no ticket can win everything yet."
    )


def test_all_four_dimensions_measured() -> None:
    said = headline(make_results(metrics=tuple(KINDS)))
    assert "all 8 headline metrics in all four dimensions" in said
    assert "not measured" not in said


def test_everybody_passes() -> None:
    said = headline(make_results(effects=no_effect, seeds=10, examples=5_000))
    assert "Random pruning, One-shot magnitude (OMP) and Lottery tickets (LTH): no loss" in said
    assert "fails" not in said


def test_nobody_passes() -> None:
    said = headline(make_results(methods=("random",), targets=(0.79, 0.9)))
    assert said.startswith("No ticket keeps up with its dense twin: from 79 % sparsity on, each")
    vague = headline(make_results(effects=no_effect, examples=60, seeds=2))
    assert vague.startswith("No ticket is shown to keep up with its dense twin: 0 of 15 are worse")
    assert "for 15 tickets the data (2 seeds) cannot tell" in vague


def test_accuracy_alone_would_have_said() -> None:
    """Calibration breaks at once; accuracy holds to 59 % for two methods, to the end for one."""

    def effects(method: str, target: float, metric: str) -> float:
        if metric == "accuracy":
            return -0.1 * (method != "lth" and target > 0.6)
        return -1.0 * (metric == "nll")

    said = headline(make_results(targets=(0.36, 0.59, 0.79), effects=effects, examples=20_000))
    assert said.startswith("No ticket keeps up")
    assert (
        "By accuracy alone, within one point of dense, Lottery tickets (LTH) would hold to 79 % "
        "and Random pruning and One-shot magnitude (OMP) to 59 % sparsity."
    ) in said


def test_dense_networks_at_chance_win_and_lose_nothing() -> None:
    results = make_results(methods=("lth",), targets=(0.36,))
    accuracy = next(label for label, spec in results.metrics.items() if spec.name == "accuracy")

    def lowered(m: Measured) -> Measured:
        low = replace(m.readings[accuracy], value=0.1)
        return replace(m, readings={**m.readings, accuracy: low})

    said = headline(replace(results, networks=tuple(lowered(m) for m in results.networks)))
    assert said.startswith("The dense networks are at chance, so nothing can be won or lost")


def test_nothing_to_judge_says_why() -> None:
    results = make_results(methods=("lth",), targets=(0.36,), seeds=2)
    failed = [
        replace(m, readings={}, missing=dict.fromkeys(results.metrics, "train failed: loss is nan"))
        for m in results.networks
    ]
    said = headline(replace(results, networks=tuple(failed)))
    assert said == "Nothing could be judged: train failed: loss is nan."
    waiting = [replace(m, missing=dict.fromkeys(m.missing, NOT_RUN)) for m in failed]
    said = headline(replace(results, networks=tuple(waiting)))
    assert said == "Nothing has been measured yet, so there is nothing to judge."
    some = (*results.networks[:-1], waiting[-1])
    assert "1 network has not been measured in full yet" in headline(
        replace(results, networks=some)
    )


def test_a_ticket_with_failed_seeds_is_at_best_undecided() -> None:
    failed = {("lth", 0.36, k): "diverged" for k in range(2)}
    results = make_results(
        methods=("lth",), targets=(0.36,), effects=no_effect, examples=50_000, failed=failed
    )
    (ticket,) = judge(results).tickets
    assert all(c.safe for c in ticket.comparisons.values() if c.margin)
    assert ticket.measured == "undecided"
    assert "undecided, for not all of its seeds could be compared" in tickets(results)[0]
    assert "would decide" not in tickets(results)[0], "no number of seeds makes good what diverged"


def test_a_pass_after_a_failure_is_not_the_reach_of_a_method() -> None:
    results = make_results(
        methods=("lth",), targets=(0.36, 0.59), effects=lambda m, t, k: -1.0 * (t == 0.36), seeds=8
    )
    assert headline(results).startswith(
        "No method keeps up from its first step on, only sparser tickets do: Lottery tickets (LTH) "
        "at 59 %."
    )


def test_wins_at_the_end_of_the_ladder() -> None:
    results = make_results(methods=("lth",), targets=(0.36,), effects=lambda m, t, k: 0.06)
    said = headline(results)
    assert "where it beats dense: Accuracy" in said
    assert " more. That is the sparsest step of this study." in said
    assert "; better: Accuracy" in tickets(results)[0]


def test_one_seed_speaks_of_networks() -> None:
    results = make_results(seeds=1)
    assert headline(results).startswith("One seed, so this speaks of these networks")
    assert all("these two networks, not the method" in said for said in tickets(results))


def test_several_settings_get_a_sentence_each() -> None:
    said = headline(make_results(data=("digits", "shapes"), models=("mlp", "cnn"), targets=(0.36,)))
    assert said.count(": no loss beyond the margin") == 3
    assert "On digits with cnn: " in said
    assert "For 1 more setting see below." in said


def test_failures_are_said() -> None:
    failed = {("lth", 0.36, k): "diverged" for k in range(5)}
    results = make_results(targets=(0.36,), failed=failed | {("omp", 0.36, 0, "nll"): "boom"})
    assert "5 networks and 1 reading failed and are left out." in headline(results)
    assert "every network failed, so there is nothing to judge" in tickets(results)[-1]
    one = make_results(targets=(0.36,), failed={("omp", 0.36, 0, "nll"): "boom"})
    assert headline(one).endswith("1 reading failed and is left out.")


def test_nothing_to_compare() -> None:
    assert headline(make_results(methods=())).startswith("Only dense networks were measured")
    assert headline(make_results(metrics=("class-gap",))).startswith("No headline metric")


def test_a_ticket_says_why() -> None:
    passing, failing = tickets(make_results(methods=("lth",), targets=(0.36, 0.945)))
    assert passing == (
        "Lottery tickets (LTH) at 36 % sparsity: passes on the 2 dimensions measured "
        "(generalisation and calibration). Interpretability and loss landscape were not measured, "
        "so LTH-PASS is undecided."
    )
    assert "fails, NLL 7.4 % higher and OOD ROC-AUC" in failing
    unsure = tickets(make_results(methods=("lth",), targets=(0.36,), examples=60))[0]
    assert "undecided, for a loss is not ruled out on" in unsure

    def calibrated(method: str, target: float, label: str) -> float:
        return {"accuracy": -0.1, "ece": 0.02}.get(label, 0.0)

    hollow = tickets(make_results(methods=("lth",), targets=(0.5,), effects=calibrated))[0]
    assert "not counted as a win, for accuracy does not pass: ECE" in hollow


def test_what_would_decide_is_said_of_want_of_precision_alone() -> None:
    lth: dict[str, Any] = {"methods": ("lth",), "targets": (0.36,), "effects": no_effect}
    (vague,) = tickets(make_results(**lth, examples=300, seeds=3))
    found = re.search(
        r"\. If the differences are as estimated, (\d+) seeds in all would decide, with a chance "
        r"of about 80 % \(\d+ seeds in all if there are no differences\)\.$",
        vague,
    )
    assert found is not None, vague
    assert int(found[1]) > 3
    for why, said in (
        ("boom", "undecided, for there is no reading of ECE."),
        ("not applicable: it has no confidences", "undecided, for ECE does not apply to it."),
    ):
        missing = {("lth", 0.36, k, "ece"): why for k in range(5)}
        (sentence,) = tickets(make_results(**lth, examples=50_000, failed=missing))
        assert sentence.endswith(said)


def without_trace(seeds: int) -> Results:
    """The first seeds' estimated traces are negative: no ratio to dense."""
    results = make_results(
        methods=("lth",), targets=(0.36,), effects=no_effect, metrics=tuple(KINDS), examples=50_000
    )

    def negative(m: Measured) -> Measured:
        if m.network.method == "dense" or m.network.seed >= seeds:
            return m
        trace = replace(m.readings["hessian-trace"], value=-3.0)
        return replace(m, readings={**m.readings, "hessian-trace": trace})

    return replace(results, networks=tuple(negative(m) for m in results.networks))


def test_readings_without_a_ratio_are_named() -> None:
    some, none = without_trace(3), without_trace(5)
    assert "; not every seed could be compared on Hessian trace." in tickets(some)[0]
    assert tickets(none)[0].endswith("undecided, for Hessian trace can only be compared above 0.")
    assert summary.warnings(without_trace(0)) == []
    for results, n in ((some, 3), (none, 5)):
        assert summary.warnings(results) == [
            f"Lottery tickets (LTH) at 36 %: Hessian trace is not above 0 in {n} of 5 seeds, or of "
            "their dense twins, so these are not compared."
        ]


def test_a_ticket_without_any_comparison_says_which() -> None:
    lth: dict[str, Any] = {"methods": ("lth",), "targets": (0.36,), "seeds": 2}
    twins = make_results(**lth, failed={("dense", 0.0, k): "diverged" for k in range(2)})
    assert "no network could be compared with its dense twin, so there" in tickets(twins)[0]
    waiting = make_results(**lth, failed={("lth", 0.36, k): NOT_RUN for k in range(2)})
    assert "it has not been measured yet, so there is nothing to judge" in tickets(waiting)[0]


def test_a_ticket_of_which_nothing_is_cut_is_no_reach() -> None:
    results = make_results(
        methods=("channels",), targets=(0.2,), effects=no_effect, reached={("channels", 0.2): 0.0}
    )
    assert headline(results).startswith("Only dense networks were measured")
    assert "at the step of 20 %, all weights kept" in tickets(results)[0]


def test_who_is_undecided_on_the_way_is_no_winner() -> None:
    """A reading of the first rung failed for one of two methods that both pass at the second."""
    results = make_results(
        methods=("lth", "omp"),
        targets=(0.36, 0.59),
        effects=no_effect,
        examples=50_000,
        failed={("omp", 0.36, k, "ece"): "boom" for k in range(5)},
    )
    assert headline(results).startswith("Lottery tickets (LTH): no loss beyond the margin on all")
    (reach,) = {
        r.sparsity
        for r in reaches(results, judge(results))
        if (r.method, r.rule) == ("omp", "passes")
    }
    assert reach == 0
    again = replace(
        results,
        networks=tuple(m for m in results.networks if m.network.method != "lth"),
        methods={"omp": results.methods["omp"]},
    )
    assert headline(again).startswith("No method keeps up from its first step on, only sparser")


def test_a_winner_that_passes_again_further_on_says_so() -> None:
    results = make_results(
        methods=("lth",),
        targets=(0.36, 0.59, 0.79),
        effects=lambda m, t, k: -3.0 * (t == 0.59),
        examples=50_000,
        seeds=8,
    )
    said = headline(results)
    assert "(36 % sparsity). At the next step, 59 %, it is worse: " in said
    assert "; further on it passes at 79 %." in said


def test_measured_without_a_vote_is_not_called_unmeasured() -> None:
    """ECE does not vote here, and of the last two dimensions there is nothing."""
    voteless = make_results(methods=("lth",), targets=(0.36,), metrics=("accuracy", "ece"))
    results = replace(voteless, margins={"accuracy": 0.01})
    verdict = judge(results)
    said = (
        "Interpretability and loss landscape were not measured, and no voting metric of "
        "calibration was measured, so"
    )
    assert f"{said} no ticket can win everything yet." in headline(results)
    assert f"{said} LTH-PASS is undecided." in tickets(results)[0]
    states = [badge.state for badge in summary.badges(results, verdict)[0].badges]
    assert states[1:] == ["No voting metric measured", "Not measured yet", "Not measured yet"]
    assert summary.doubts(results, verdict)[0] == f"{said} no ticket can pass outright."
    full = replace(results, metrics={k: KINDS[k].spec for k in KINDS})
    assert "No voting metric of calibration, interpretability or loss landscape was measured" in (
        headline(full)
    )


@pytest.mark.parametrize(
    ("label", "number", "error", "text"),
    [
        ("accuracy", 0.98712, 0.0041, "98.7 ± 0.4"),
        ("accuracy", 0.98712, 0.0012, "98.71 ± 0.12"),
        ("accuracy", 0.98712, None, "98.7"),
        ("accuracy", 0.5, math.nan, "50 ± unknown"),
        ("accuracy", 1.0, 0.0, "100"),
        ("nll", 0.18284, 0.0046, "0.183 ± 0.005"),
        ("hessian-trace", 2345.6, 34.0, "2,346 ± 34"),
        ("hessian-trace", 12345.6, 234.0, "12.3 ± 0.2 k"),
        ("hessian-trace", 12345.6, None, "12.3 k"),
        ("hessian-trace", 9_999.0, None, "9,999"),
        ("hessian-trace", 1_234_567, 0.0, "1.23 M"),
        ("hessian-trace", 81_543_210, 400_000, "81.5 ± 0.4 M"),
        ("hessian-trace", 999_960, None, "1 M"),
        ("hessian-trace", -1.2e9, None, "-1.2 G"),
        ("hessian-trace", -3.5e-6, None, "-3.5e-06"),
        ("nll", math.inf, None, "not finite"),
    ],
)
def test_values(label: str, number: float, error: float | None, text: str) -> None:
    assert words.value(KINDS[label].spec, number, error) == text.replace("-", MINUS)


@pytest.mark.parametrize(
    ("label", "d", "table", "text"),
    [
        ("accuracy", -0.0231, "-2.3 ± 0.4 points", "2.3 points lower"),
        ("mce", -0.01, "+1.0 ± 0.4 points", "1 point higher"),
        ("brier", 0.012, "-0.012 ± 0.004", "0.012 lower"),
        ("nll", -0.0788, "+8.2 ± 0.4 %", "8.2 % higher"),
        ("fidelity", -0.1, "-9.5 ± 0.4 %", "9.5 % lower"),
        ("hessian-trace", -1.0, "+171.8 ± 1.1 %", "2.72 times as high"),
        ("accuracy", 0.0, "0.0 ± 0.4 points", "the same"),
    ],
)
def test_changes_are_as_measured_not_oriented(label: str, d: float, table: str, text: str) -> None:
    spec = KINDS[label].spec
    assert words.change(spec, compared(label, d)) == table.replace("-", MINUS)
    assert words.moved(spec, compared(label, d)) == text


def test_margins_and_lists() -> None:
    assert words.margin(KINDS["accuracy"].spec, 0.01) == "1 point"
    assert words.margin(KINDS["mce"].spec, 0.03) == "3 points"
    assert words.margin(KINDS["nll"].spec, 0.05) == "factor 1.05"
    assert words.margin(KINDS["brier"].spec, 0.01) == "0.01"
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.count(1, "seed") == "1 seed"
    assert words.count(1_250, "network") == "1,250 networks"
