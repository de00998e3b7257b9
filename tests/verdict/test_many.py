"""Controls, structures and patterns: sparsities that are no rungs, and what does not apply."""

from __future__ import annotations

import math

import pytest

from scratchcard.verdict import breaks, contenders, judge, lineup
from scratchcard.verdict.sensitivity import crossing
from tests.factory import make_results, no_effect
from tests.kinds import PANEL

LADDER = (0.36, 0.5904, 0.7903)


def lossy(method: str, target: float, label: str) -> float:
    """From the second rung on every metric loses; long-dense does too."""
    return -0.4 * (target > 0.5)


def test_contenders_come_first_and_in_the_order_of_the_study() -> None:
    results = make_results(methods=("random", "omp", "lth"), targets=(0.36,), controls=("random",))
    assert contenders(results) == ("omp", "lth")
    assert lineup(results) == ("omp", "lth", "random")


def test_a_dense_control_stands_at_the_rung_it_is_a_control_of() -> None:
    flat = {("long-dense", target): 0.0 for target in LADDER}
    results = make_results(
        methods=("long-dense",), targets=LADDER, controls=("long-dense",), reached=flat
    )
    tickets = [m for m in results.networks if m.network.method == "long-dense"]
    assert {m.sparsity for m in tickets} == {0.0}
    assert sorted({m.position for m in tickets}) == list(LADDER)
    assert {m.position for m in results.networks if m.network.method == "dense"} == {0.0}


def test_a_dense_control_breaks_between_the_rungs_where_it_breaks() -> None:
    """At its own sparsity, 0 at each rung, the loss would cross the margin at 0 at once."""
    flat = {("long-dense", target): 0.0 for target in LADDER}
    results = make_results(
        methods=("long-dense",), targets=LADDER, reached=flat, effects=lossy, metrics=PANEL[:6]
    )
    found = breaks(results)
    assert len(found) == 6
    assert all(0.36 < one.sparsity < 0.5904 for one in found)
    assert crossing([0.0, 0.0, 0.0], [0.0, 0.4, 0.4], 0.01) == 0.0


def test_two_rungs_may_reach_one_sparsity() -> None:
    # A structure that cannot tell 0.36 from 0.59: it breaks right there.
    assert crossing([0.5, 0.5], [0.0, 0.02], 0.01) == pytest.approx(0.5)
    same = {("channels", target): 0.5 for target in LADDER[:2]}
    results = make_results(methods=("channels",), targets=LADDER, reached=same, effects=lossy)
    assert all(one.sparsity == pytest.approx(0.5) for one in breaks(results))


def test_a_method_may_have_a_rung_of_its_own() -> None:
    results = make_results(methods=("lth", "omp-2:4"), targets=LADDER, ladders={"omp-2:4": (0.5,)})
    tickets = judge(results).tickets
    assert [t.target for t in tickets if t.method == "omp-2:4"] == [0.5]
    held = breaks(make_results(methods=("omp-2:4",), targets=(0.5,), effects=no_effect))
    assert {one.sparsity for one in held} == {math.inf}


def test_what_does_not_apply_leaves_a_ticket_undecided_at_best() -> None:
    cells = {("lth", 0.36, k, "ece"): "not applicable: it has no confidences" for k in range(5)}
    options = {"methods": ("lth",), "targets": (0.36,), "failed": cells}
    (ticket,) = judge(make_results(**options, effects=no_effect, seeds=5)).tickets  # type: ignore[arg-type]
    assert all(c.safe for c in ticket.comparisons.values() if c.margin), "or nothing is shown here"
    assert (ticket.measured, ticket.outcome) == ("undecided", "undecided")
    assert ticket.dimensions["calibration"] == "undecided"
    (failing,) = judge(make_results(**options, effects=lambda m, t, k: -0.4)).tickets  # type: ignore[arg-type]
    assert failing.measured == "fail"
    only = {"metrics": ("accuracy", "ece")}
    (bare,) = judge(make_results(**options, **only, effects=no_effect)).tickets  # type: ignore[arg-type]
    assert bare.dimensions["calibration"] is None


def test_what_does_not_apply_is_neither_failed_nor_due() -> None:
    cells = {("lth", 0.36, 0, "ece"): "not applicable: x", ("lth", 0.36, 0, "nll"): "boom"}
    (*_, ticket) = make_results(methods=("lth",), targets=(0.36,), seeds=1, failed=cells).networks
    assert (ticket.silent, ticket.unread) == ({"ece": "not applicable: x"}, {"nll": "boom"})
