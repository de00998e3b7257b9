"""How far a method goes, by three rules and within a budget: by hand, and by judging again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from scratchcard.results import Results
from scratchcard.verdict import Affordable, Reach, at_equal_budget, costs, judge, reaches
from scratchcard.verdict.reach import RULES, _Resampled, ladder_end
from scratchcard.verdict.sensitivity import rungs_of
from tests.factory import make_results
from tests.verdict.exact import exact_results

LADDER = (0.2, 0.36, 0.488, 0.5904)


def by_rule(results: Results, method: str = "lth") -> dict[str, Reach]:
    found = reaches(results, judge(results))
    return {one.rule: one for one in found if one.method == method}


def test_each_rule_ends_before_the_first_that_does_not_hold() -> None:
    # one seed, no error: a pass is a loss below the margin, or just of it for "no worse"
    losses = dict(zip(LADDER, (0.5, -0.5, -1.0, 2.0), strict=True))
    results = exact_results(
        lambda method, target, seed, label: losses[target],
        methods=("lth",),
        targets=LADDER,
        seeds=1,
    )
    found = by_rule(results)
    assert found["wins all"].sparsity == 0.2
    assert found["passes"].sparsity == 0.36
    assert found["no worse"].sparsity == pytest.approx(0.5904), "all hold"
    assert [found[rule].refuted for rule in RULES] == [0.488, math.inf, 0.36]
    assert {(one.lo, one.hi, one.seeds) for one in found.values()} == {(None, None, 1)}


def test_below_five_seeds_stand_one_by_one() -> None:
    ends = {0: 0.2, 1: 0.488, 2: 0.36}  # the last rung that a seed holds at
    results = exact_results(
        lambda method, target, seed, label: 0.5 if target <= ends[seed] else -5.0,
        methods=("lth",),
        targets=LADDER,
        seeds=3,
    )
    own = by_rule(results)["no worse"]
    assert (own.lo, own.hi, own.seeds) == (0.2, 0.488, 3)
    assert own.sparsity == 0.2, "at 0.36 one seed loses more than the two others can make good"


@pytest.mark.parametrize("rule", ["no worse", "wins all"])
def test_resampled_seeds_are_judged_as_a_study_of_just_these(rule: str) -> None:
    results = make_results(3, methods=("random",), seeds=5)
    (data, model), targets = results.settings[0], 5
    rungs = rungs_of(results, data, model, "random")
    tickets = list(judge(results).tickets)
    resampled = _Resampled(results, tickets, rungs, rule)  # type: ignore[arg-type]
    reached = set()
    for draw in np.random.default_rng(0).integers(5, size=(12, 5)):
        networks = tuple(
            replace(results.networks[group * 5 + old], network=replace(new.network, seed=number))
            for group in range(1 + targets)
            for number, old in enumerate(draw)
            for new in [results.networks[group * 5]]
        )
        ladder = judge(replace(results, networks=networks)).tickets
        assert resampled.sparsity(draw.tolist()) == ladder_end(ladder, rule)  # type: ignore[arg-type]
        reached.add(ladder_end(ladder, rule))  # type: ignore[arg-type]
    assert reached != {0.0}, "or nothing is shown here"


def test_all_seeds_together_are_the_verdict_itself() -> None:
    for seeds in (3, 5):
        results = make_results(1, seeds=seeds, examples=20_000)
        found = reaches(results, judge(results))
        for one in found:
            rungs = rungs_of(results, one.data, one.model, one.method)
            ladder = [t for t in judge(results).tickets if t.method == one.method]
            whole = _Resampled(results, ladder, rungs, one.rule).sparsity(range(seeds))
            assert whole == one.sparsity
            if one.rule == "passes" and seeds == 3:
                assert (one.lo, one.hi) == (None, None)
                continue
            assert one.lo is not None
            assert one.hi is not None
            assert one.lo <= one.hi
        assert any(one.sparsity > 0 for one in found)


def test_what_diverged_does_not_pass_in_any_resample() -> None:
    failed = {("lth", 0.36, 1): "diverged"}
    results = make_results(
        methods=("lth",), targets=(0.36, 0.59), effects=lambda m, t, k: 0.5, failed=failed
    )
    assert by_rule(results)["passes"].hi == 0.0
    assert by_rule(results)["wins all"].sparsity == 0.59


def test_a_ticket_costs_what_finding_and_training_it_took() -> None:
    results = make_results(methods=("lth", "omp", "random"), targets=LADDER)
    images = {cost.cell.method: cost.images for cost in costs(results)}
    # the factory trains lottery tickets for five rounds, one-shot pruning for one
    assert images == {"lth": 6.0, "omp": 2.0, "random": 1.0}
    cheap = next(c for c in costs(results) if c.cell.method == "random" and c.cell.target == 0.36)
    assert cheap.flops == pytest.approx(0.64), "the factory counts sparse arithmetic"


def test_a_budget_buys_the_first_rungs_only() -> None:
    """A ticket at rung n costs n + 1 trainings: three of them buy two rungs."""
    plain = exact_results(
        lambda method, target, seed, label: 1.0, methods=("lth", "random"), targets=LADDER, seeds=2
    )
    networks = []
    for measured in plain.networks:
        who = measured.network
        rounds = 1 + LADDER.index(who.target) if who.method == "lth" else 0
        find = replace(measured.train, images=rounds * measured.train.images)
        networks.append(replace(measured, find=find))
    results = replace(plain, networks=tuple(networks))
    found = at_equal_budget(results, judge(results))
    assert sorted({one.budget for one in found}) == [1.0, 2.0, 3.0, 4.0, 5.0]
    bought = {(o.method, o.budget): o.sparsity for o in found if o.rule == "wins all"}
    assert [bought["lth", float(b)] for b in range(1, 6)] == [None, *LADDER]
    assert {bought["random", float(b)] for b in range(1, 6)} == {LADDER[-1]}
    assert isinstance(found[0], Affordable)


def test_what_was_not_trained_has_no_price() -> None:
    plain = make_results(methods=("lth",), targets=(0.36,))
    nothing = replace(plain.networks[0].train, images=0)
    networks = tuple(replace(m, train=nothing) for m in plain.networks)
    assert costs(replace(plain, networks=networks)) == ()


def test_a_missing_reading_breaks_no_rule() -> None:
    """ECE is missing at 0.36; Brier loses half a margin there, which wins nothing."""
    results = exact_results(
        lambda method, target, seed, label: -0.5 if label == "brier" and target > 0.3 else 0.5,
        metrics=("ece", "brier"),
        methods=("lth",),
        targets=LADDER[:2],
        seeds=1,
    )
    *others, last = results.networks
    gone = replace(last, readings={"brier": last.readings["brier"]}, missing={"ece": "boom"})
    found = by_rule(replace(results, networks=(*others, gone)))
    assert {one.sparsity for one in found.values()} == {0.2}
    assert [found[rule].refuted for rule in RULES] == [math.inf, math.inf, 0.36]


def test_a_structure_that_cuts_nothing_reaches_nothing() -> None:
    results = exact_results(
        lambda method, target, seed, label: 1.0 if target == 0.2 else -5.0,
        methods=("channels", "long-dense"),
        targets=LADDER[:2],
        seeds=1,
        reached=dict.fromkeys([("channels", 0.2), ("long-dense", 0.2), ("long-dense", 0.36)], 0.0),
        controls=("long-dense",),
    )
    assert {one.sparsity for one in by_rule(results, "channels").values()} == {0.0}
    assert {one.sparsity for one in by_rule(results, "long-dense").values()} == {0.2}, "its rung"
    bought = at_equal_budget(results, judge(results))
    assert {a.sparsity for a in bought if a.method == "channels"} == {0.0}
