"""What makes a verdict doubtful, and what is won at once: by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scratchcard.report.summary import doubts
from scratchcard.verdict import cautions, judge, wins_at_once
from scratchcard.verdict.cautions import further_fall
from tests.factory import make_results, no_effect
from tests.kinds import KINDS


def test_a_line_through_the_last_fifth_is_drawn_on() -> None:
    # twenty epochs: the last four lie on a line from 1.0 to 0.7, and four more would take 0.4
    losses = [5.0] * 16 + [1.0, 0.9, 0.8, 0.7]
    assert further_fall(losses) == pytest.approx(0.4 / 0.7)
    assert further_fall([1.0] * 10) == pytest.approx(0.0)
    assert further_fall([1.0, 2.0, 3.0]) == pytest.approx(-1.0), "it rises by its own size"
    assert further_fall([1.0, 0.5]) is None
    assert further_fall([0.0] * 5) == 0.0


def test_a_twin_that_still_learns_is_named() -> None:
    results = make_results(methods=("lth",), targets=(0.36,), seeds=2)
    settled = tuple(0.1 + math.exp(-epoch) for epoch in range(30))
    falling = tuple(2.0 - 0.05 * epoch for epoch in range(30))
    networks = tuple(
        replace(m, losses=falling if m.network.seed == 1 else settled) for m in results.networks
    )
    (found,) = cautions(replace(results, networks=networks)).falling
    # six epochs of the last fifth, six more: 0.3 of the 0.55 that is left
    assert found.seed == 1
    assert (found.loss, found.further) == pytest.approx((0.55, 6 / 11))
    assert cautions(results).falling == (), "no history, nothing to say"


def test_the_page_speaks_of_the_twin_that_learns_most() -> None:
    results = make_results(methods=("lth",), targets=(0.36,), seeds=3)
    slopes = {0: 0.02, 1: 0.05, 2: 0.03}
    networks = tuple(
        replace(m, losses=tuple(2.0 - slopes[m.network.seed] * epoch for epoch in range(30)))
        for m in results.networks
    )
    results = replace(results, networks=networks)
    (said,) = [one for one in doubts(results, judge(results)) if "training loss" in one]
    assert "still falls at the end, by up to 54.5 % in as many epochs" in said


def test_unequal_budgets() -> None:
    (pair,) = cautions(make_results(methods=("lth", "random"), targets=(0.36,), seeds=2)).unequal
    assert (pair.cheapest.cell.method, pair.dearest.cell.method) == ("random", "lth")
    same = cautions(make_results(methods=("random", "snip"), targets=(0.36,), seeds=3))
    assert same.unequal == ()


def test_what_wins_on_several_dimensions() -> None:
    def effects(method: str, target: float, label: str) -> float:
        margin = KINDS[label].spec.margin or 0.0
        wins = {"lth": ("accuracy", "nll", "ece"), "omp": ("nll",), "random": ("nll", "ece")}
        loses = {"random": ("accuracy",)}
        return margin * (8 * (label in wins[method]) - 8 * (label in loses.get(method, ())))

    results = make_results(
        methods=("random", "omp", "lth"), targets=(0.36,), effects=effects, controls=()
    )
    (win,) = wins_at_once(results, judge(results))
    assert win.ticket.method == "lth"
    assert (win.won, win.lost) == (("generalisation", "calibration"), ())
    assert {c.metric for c in win.evidence} == {"accuracy", "nll", "ece"}
    strength = [c.d / c.stderr for c in win.evidence]
    assert strength == sorted(strength, reverse=True)
    control = replace(results, controls=frozenset({"lth"}))
    assert wins_at_once(control, judge(control)) == ()
    none = make_results(targets=(0.36,), effects=no_effect)
    assert wins_at_once(none, judge(none)) == ()


def test_the_evidence_is_of_the_dimensions_that_are_won() -> None:
    """Calibration is lost, by the Brier score, though NLL is better."""
    gains = {"accuracy": 8, "hessian-trace": 8, "nll": 8, "brier": -8}
    results = make_results(
        methods=("lth",),
        targets=(0.36,),
        effects=lambda method, target, label: (KINDS[label].spec.margin or 0) * gains.get(label, 0),
        metrics=("accuracy", "nll", "brier", "hessian-trace"),
    )
    verdict = judge(results)
    assert verdict.tickets[0].comparisons["nll"].call == "better", "or nothing is shown here"
    (win,) = wins_at_once(results, verdict)
    assert (win.won, win.lost) == (("generalisation", "landscape"), ("calibration",))
    assert {c.metric for c in win.evidence} == {"accuracy", "hessian-trace"}
