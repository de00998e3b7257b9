"""The rule of the verdict: boundaries, votes, regions, failures, and its error rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from scratchcard.contracts import Part, Reading
from scratchcard.results import Measured, Results
from scratchcard.verdict import Call, Ticket, judge
from tests.factory import make_results, no_effect
from tests.kinds import KINDS, PANEL

ALL = tuple(KINDS)


def exact(value: float, stderr: float = 0.0, **more: object) -> Reading:
    return Reading(value, stderr, 100, **more)  # type: ignore[arg-type]


def study(
    dense: Mapping[str, Reading], sparse: Mapping[str, Reading], collapsed: tuple[str, ...] = ()
) -> Results:
    """One dense and one sparse network with just these readings."""
    plain = make_results(methods=("lth",), targets=(0.5,), seeds=1, metrics=tuple(dense))
    networks = tuple(
        replace(m, readings=readings, collapsed=layers)
        for m, readings, layers in zip(
            plain.networks, (dense, sparse), ((), collapsed), strict=True
        )
    )
    return replace(plain, networks=networks)


def only(results: Results) -> Ticket:
    (ticket,) = judge(results).tickets
    return ticket


@pytest.mark.parametrize(
    ("shift", "stderr", "call"),
    [
        (0.0, 0.0, "matches"),
        (0.0099, 0.0, "matches"),
        (-0.0099, 0.0, "matches"),
        (-0.0101, 0.0, "worse"),
        (0.0101, 0.0, "better"),
        (-0.02, 0.02, "undecided"),
        (0.02, 0.02, "undecided"),
        (-0.02, 0.005, "worse"),  # z = -2.8: below 0, and the interval reaches beyond the margin
        (0.02, 0.005, "better"),
        (0.0, 0.0042, "matches"),  # the 90 % interval is ± 1.645 √2 0.0042 = ± 0.0098
        (0.0, 0.0044, "undecided"),
    ],
)
def test_calls_at_the_margin(shift: float, stderr: float, call: Call) -> None:
    results = study({"accuracy": exact(0.5, stderr)}, {"accuracy": exact(0.5 + shift, stderr)})
    assert only(results).comparisons["accuracy"].call == call


def test_holm_holds_over_the_metrics_of_a_ticket() -> None:
    # d / stderr = -1.8: p = 0.036 passes alone, not when it is one of two
    stderr = 0.02 / 1.8 / math.sqrt(2)
    dense, sparse = {"accuracy": exact(0.5, stderr)}, {"accuracy": exact(0.48, stderr)}
    assert only(study(dense, sparse)).comparisons["accuracy"].call == "worse"
    two = only(study({**dense, "ece": exact(0.1)}, {**sparse, "ece": exact(0.1)}))
    assert two.comparisons["accuracy"].call == "undecided"
    assert two.outcome == two.measured == "undecided"


def test_a_metric_without_a_vote_is_estimated_but_not_called() -> None:
    results = make_results(methods=("random",), targets=(0.945,))
    ticket = only(results)
    gap = ticket.comparisons["class-gap"]
    assert (gap.call, gap.margin) == (None, None)
    assert gap.lo < gap.d < gap.hi < 0
    assert "churn" not in ticket.comparisons, "the dense twin has no churn against itself"


def test_dense_against_itself_matches_everywhere() -> None:
    results = make_results(methods=("lth",), targets=(0.5,), metrics=ALL)
    twins = {m.network.seed: m.readings for m in results.networks[:5]}
    copies = [replace(m, readings=twins[m.network.seed]) for m in results.networks[5:]]
    ticket = only(replace(results, networks=(*results.networks[:5], *copies)))
    votes = [c for c in ticket.comparisons.values() if c.call is not None]
    assert len(votes) == 8
    assert all(c.d == 0 and c.lo < 0 < c.hi for c in votes)
    exact_ones = study(
        {"nll": exact(0.2), "ece": exact(0.0)}, {"nll": exact(0.2), "ece": exact(0.0)}
    )
    assert {c.call for c in only(exact_ones).comparisons.values()} == {"matches"}
    assert ticket.wins_all
    assert ticket.no_worse
    assert ticket.region == "I"


def test_the_seed_variance_is_shrunk_to_the_studys() -> None:
    results = make_results(methods=("omp", "lth"), targets=(0.36, 0.59), seeds=4)
    values = {
        cell[2:]: np.array([m.readings["ece"].value for m in members])
        for cell, members in results.groups.items()
    }
    regions = {(t.method, t.target): t.region for t in judge(results).tickets}
    assert set(regions.values()) == {"I"}, "so that all are pooled"
    dense, lth = values["dense", 0.0], values["lth", 0.59]
    shrunk = []
    for own in (("dense", 0.0), ("lth", 0.59)):
        others = np.mean([v.var(ddof=1) for cell, v in values.items() if cell != own])
        shrunk.append((6 * others + 3 * values[own].var(ddof=1)) / 9)
    of = {
        method: np.mean(np.array([m.readings["ece"].replicates for m in members]), axis=0)
        for (_, _, method, target), members in results.groups.items()
        if target in (0.0, 0.59)
    }
    variance = sum(shrunk) / 4 + (of["lth"] - of["dense"]).var(ddof=1)
    ticket = next(t for t in judge(results).tickets if (t.method, t.target) == ("lth", 0.59))
    assert ticket.comparisons["ece"].stderr == pytest.approx(math.sqrt(variance))
    assert ticket.comparisons["ece"].d == pytest.approx(dense.mean() - lth.mean())


def test_broken_networks_do_not_widen_the_others_intervals() -> None:
    def erratic(method: str, target: float, metric: str) -> float:
        return -0.8 if method == "random" and metric == "accuracy" else 0.0

    quiet = make_results(methods=("lth",), targets=(0.36,), effects=no_effect)
    loud = make_results(methods=("lth", "random"), targets=(0.36,), effects=erratic)
    (alone,) = judge(quiet).tickets
    beside = next(t for t in judge(loud).tickets if t.method == "lth")
    assert next(t for t in judge(loud).tickets if t.method == "random").region != "I"
    assert beside.comparisons["accuracy"].stderr == alone.comparisons["accuracy"].stderr


def test_an_unmeasured_dimension_leaves_a_pass_undecided() -> None:
    verdict = judge(make_results(methods=("lth",), targets=(0.36,), effects=no_effect))
    (ticket,) = verdict.tickets
    assert verdict.unmeasured == ("interpretability", "landscape")
    assert (ticket.measured, ticket.outcome) == ("pass", "undecided")
    assert ticket.dimensions["landscape"] is None
    assert ticket.dimensions["calibration"] == "matches"
    whole = only(make_results(methods=("lth",), targets=(0.36,), metrics=ALL, effects=no_effect))
    assert (whole.measured, whole.outcome) == ("pass", "pass")


def test_one_worse_metric_fails_the_ticket_and_its_dimension() -> None:
    ticket = only(
        make_results(methods=("lth",), targets=(0.36,), effects=lambda m, t, k: -0.3 * (k == "nll"))
    )
    assert ticket.outcome == ticket.measured == "fail"
    assert ticket.dimensions["calibration"] == "worse"
    assert ticket.dimensions["generalisation"] == "matches"
    assert not ticket.no_worse


def test_a_win_counts_only_if_accuracy_passes() -> None:
    def calibrated(method: str, target: float, label: str) -> float:
        return {"accuracy": -0.1, "ece": 0.02}.get(label, 0.0)

    ticket = only(make_results(methods=("lth",), targets=(0.5,), effects=calibrated))
    assert ticket.comparisons["ece"].call == "better"
    assert ticket.comparisons["ece"].hollow
    assert ticket.dimensions["calibration"] == "matches"
    sound = only(
        make_results(methods=("lth",), targets=(0.5,), effects=lambda m, t, k: 0.02 * (k == "ece"))
    )
    assert not sound.comparisons["ece"].hollow
    assert sound.dimensions["calibration"] == "better"
    assert sound.no_worse


def test_failed_networks_and_readings_are_left_out() -> None:
    failed = {
        ("lth", 0.5, 1): "diverged",
        ("dense", 0.0, 3): "killed",
        ("lth", 0.5, 0, "ece"): "boom",
    }
    results = make_results(methods=("lth",), targets=(0.5,), effects=no_effect, failed=failed)
    ticket = only(results)
    assert ticket.seeds == (0, 2, 4)
    assert ticket.comparisons["accuracy"].seeds == 3
    assert ticket.comparisons["ece"].seeds == 2


def test_a_headline_metric_that_nobody_read_leaves_it_undecided() -> None:
    failed = {("lth", 0.5, k, "ece"): "boom" for k in range(5)}
    ticket = only(make_results(methods=("lth",), targets=(0.5,), effects=no_effect, failed=failed))
    assert ticket.measured == "undecided"
    assert not ticket.wins_all
    assert not ticket.no_worse
    nothing = only(study({"nll": exact(0.2)}, {"nll": exact(math.nan)}))
    assert (nothing.seeds, dict(nothing.comparisons), nothing.region) == ((), {}, None)
    assert (nothing.outcome, nothing.wins_all) == ("undecided", False)


@pytest.mark.parametrize(
    ("value", "region"), [(0.9, "I"), (0.89, "I"), (0.8899, "II"), (0.16, "II"), (0.15, "III")]
)
def test_regions_follow_accuracy(value: float, region: str) -> None:
    # chance of ten classes with 100 images: 0.1 + 2 √(0.1 0.9 / 100) = 0.16
    parts = {f"class {k}": Part(value, 0.0, 10) for k in range(10)}
    at = math.nextafter(0.16, 1) if value == 0.16 else value
    dense = {"accuracy": exact(0.9, parts=parts)}
    assert only(study(dense, {"accuracy": exact(at + 1e-9, parts=parts)})).region == region
    gone = study(dense, {"accuracy": exact(at, parts=parts)}, collapsed=("fc2.weight",))
    assert only(gone).region == "III"


def test_each_metric_has_a_region_of_its_own() -> None:
    parts = {f"class {k}": Part(0.9, 0.0, 10) for k in range(10)}
    dense = {"accuracy": exact(0.9, parts=parts), "ece": exact(0.02), "nll": exact(0.2)}
    worn = {"accuracy": exact(0.895, parts=parts), "ece": exact(0.031), "nll": exact(0.209)}
    ticket = only(study(dense, worn))
    assert ticket.region == "I"
    assert ticket.regions == {"accuracy": "I", "ece": "II", "nll": "I"}
    # the study's margin on accuracy is another matter than the paper's tolerance
    strict = replace(study(dense, worn), margins={"accuracy": 0.001, "ece": 0.02, "nll": 0.01})
    assert only(strict).regions == {"accuracy": "I", "ece": "I", "nll": "II"}
    chance = worn | {"accuracy": exact(0.1, parts=parts)}
    assert set(only(study(dense, chance)).regions.values()) == {"III"}
    without = study({"ece": exact(0.02)}, {"ece": exact(0.02)})
    assert (only(without).region, only(without).regions) == (None, {"ece": "I"})


def test_bands_are_prediction_intervals_of_a_further_dense_network() -> None:
    results = make_results(methods=("lth",), targets=(0.5,), seeds=4)
    verdict = judge(results)
    logs = np.log([m.readings["nll"].value for m in results.networks[:4]])
    lo, hi = stats.t.interval(0.9, 3, logs.mean(), logs.std(ddof=1) * math.sqrt(1 + 1 / 4))
    band = verdict.bands["digits", "mlp", "nll"]
    assert band.mean == pytest.approx(np.exp(logs).mean())
    assert (band.lo, band.hi) == pytest.approx((np.exp(lo), np.exp(hi)))
    single = judge(make_results(seeds=1)).bands["digits", "mlp", "nll"]
    assert (single.lo, single.hi) == (None, None)
    assert ("digits", "mlp", "churn") not in verdict.bands


def rates(seeds: int, studies: int, loss: str | None = None) -> dict[str, float]:
    """Shares of outcomes of a ticket that is one margin worse on ``loss`` and equal elsewhere."""

    def effects(method: str, target: float, label: str) -> float:
        margin = KINDS[label].spec.margin
        return -margin if label == loss and margin is not None else 0.0

    found = [
        only(
            make_results(
                number,
                methods=("lth",),
                targets=(0.5,),
                seeds=seeds,
                effects=effects,
                metrics=PANEL[:6],
                examples=500,
            )
        ).measured
        for number in range(studies)
    ]
    return {outcome: found.count(outcome) / studies for outcome in ("pass", "fail", "undecided")}


def test_twins_lend_and_borrow_beside_their_like_even_where_no_accuracy_was_read() -> None:
    """The collapsed ticket is in region III, the twins and the other ticket in none."""
    results = make_results(
        methods=("lth",),
        targets=(0.36, 0.79),
        seeds=3,
        metrics=("ece",),
        collapsed=[("lth", 0.79)],
    )
    values = np.array([m.readings["ece"].value for m in results.networks]).reshape(3, 3)
    dense, other, fallen = ((group - group.mean()) @ (group - group.mean()) for group in values)
    noise = judge(results).tickets[1].comparisons["ece"].noise
    assert noise is not None
    # of the twins: their own two degrees of freedom and the four of both tickets
    assert noise.dense == pytest.approx((dense + other + fallen) / 6)
    assert noise.sparse == pytest.approx(fallen / 2)
    assert noise.lent == (4, 0)


LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 120)
"""5 %, and three standard errors of such a rate in 120 studies."""


@pytest.mark.parametrize("seeds", [2, 5])
def test_equal_tickets_are_rarely_called_worse(seeds: int) -> None:
    assert rates(seeds, 120)["fail"] <= LIMIT


@pytest.mark.parametrize("loss", ["nll", "accuracy", "ece"])
def test_a_loss_of_one_margin_rarely_passes(loss: str) -> None:
    assert rates(3, 120, loss)["pass"] <= LIMIT


def test_with_enough_seeds_equal_tickets_do_pass() -> None:
    results = make_results(methods=("lth",), targets=(0.5,), seeds=20, effects=no_effect)
    assert only(results).measured == "pass"


def test_measured_networks_keep_the_order_of_the_study() -> None:
    results = make_results()
    tickets = judge(results).tickets
    cells = [(t.method, t.target) for t in tickets]
    order = [(m.network.method, m.network.target) for m in results.networks]
    assert cells == [cell for cell in dict.fromkeys(order) if cell[0] != "dense"]
    assert isinstance(results.twin(results.networks[-1].network), Measured)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_what_has_no_ratio_to_dense_is_not_compared(value: float) -> None:
    """A floored logarithm would call a trace of -3 better by thirty log units."""
    dense = {"accuracy": exact(0.9), "hessian-trace": exact(5.0)}
    sparse = {"accuracy": exact(0.9), "hessian-trace": exact(value)}
    ticket = only(study(dense, sparse))
    assert set(ticket.comparisons) == {"accuracy"}
    assert (ticket.measured, ticket.dimensions["landscape"]) == ("undecided", None)
    assert set(only(study(dense, {**sparse, "hessian-trace": exact(3.0)})).comparisons) == set(
        dense
    )


def test_a_seed_without_a_ratio_leaves_a_pass_undecided() -> None:
    """Which seeds are left out follows from their values, so the others are no fair sample."""
    plain = make_results(
        methods=("lth",), targets=(0.5,), metrics=("accuracy", "hessian-trace"), effects=no_effect
    )
    assert only(plain).measured == "pass"
    *others, last = plain.networks
    below = replace(last.readings["hessian-trace"], value=-1.0)
    odd = replace(last, readings={**last.readings, "hessian-trace": below})
    ticket = only(replace(plain, networks=(*others, odd)))
    assert ticket.comparisons["hessian-trace"].seeds == 4
    assert ticket.measured == "undecided"
