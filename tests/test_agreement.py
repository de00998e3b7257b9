"""Rank correlations of metrics: against SciPy, within rungs, and what is one factor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from scratchcard.agreement import Agreement, agreement, spearman
from scratchcard.contracts import Reading
from scratchcard.results import Results
from tests.factory import make_results

SETTING = ("digits", "mlp")


def measured(values: Mapping[str, Sequence[float]], targets: tuple[float, ...]) -> Results:
    """Five seeds of one method at each rung, in the order of the networks."""
    made = make_results(methods=("lth",), targets=targets, seeds=5, metrics=tuple(values))
    networks, at = [], 0
    for m in made.networks:
        if m.network.target:
            read = {k: Reading(own[at], 0.0, 9) for k, own in values.items()}
            networks.append(replace(m, readings=read))
            at += 1
        else:
            networks.append(m)
    return replace(made, networks=tuple(networks))


def among(results: Results) -> Agreement:
    found = agreement(results, SETTING)
    assert found is not None
    return found


def test_spearman_is_that_of_scipy_pair_by_pair() -> None:
    draw = np.random.default_rng(0)
    values = draw.integers(0, 6, (12, 5)).astype(float)
    values[0, 1] = values[3, 1] = values[3, 2] = np.nan
    values[5, 4] = np.inf
    found = spearman(values)
    for i in range(5):
        for j in range(5):
            rows = np.isfinite(values[:, i]) & np.isfinite(values[:, j])
            rho = stats.spearmanr(values[rows, i], values[rows, j]).statistic
            assert found[i, j] == pytest.approx(rho, abs=1e-12)


def test_what_has_no_correlation_is_nan() -> None:
    few = [1.0, 2.0, 3.0, math.nan, math.nan]
    found = spearman(np.array([few, [5.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]]).T)
    assert np.isnan(found[:2]).all()
    assert found[2, 2] == pytest.approx(1)


def test_more_is_better_of_every_metric() -> None:
    """ECE falls as accuracy rises: both say the same."""
    found = among(measured({"accuracy": [1, 2, 3, 4, 5], "ece": [9, 8, 7, 6, 5]}, (0.5,)))
    assert found.overall[0, 1] == pytest.approx(1)
    assert (found.tickets, found.rungs, found.df, found.accuracy) == (5, 1, 3, 0)


def test_sparsity_drives_all_but_not_within_a_rung() -> None:
    """Both fall from rung to rung, and within one they are opposed."""
    found = among(
        measured(
            {
                "accuracy": [*range(15, 10, -1), *range(5, 0, -1)],
                "ood-auroc": [*range(11, 16), *range(1, 6)],
            },
            (0.5, 0.9),
        )
    )
    assert found.overall[0, 1] > 0.5
    assert found.within[0, 1] == pytest.approx(-1)
    assert found.df == 7
    assert found.reward_weak() == [1]


def test_what_does_not_vary_is_left_out_by_name() -> None:
    results = measured(
        {
            "accuracy": [1, 2, 3, 4, 5],
            "nll": [1, 2, 3, 4, 6],
            "ece": [7] * 5,
            "mce": [1, 1.0005, 1, 1, 1],
            "brier": [1, 2, 3, math.nan, math.nan],
        },
        (0.5,),
    )
    found = among(results)
    assert found.labels == ("accuracy", "nll")
    assert (found.constant, found.unread) == (("ece", "mce"), ("brier",))


def test_too_few_tickets_say_nothing() -> None:
    results = measured({"accuracy": [1, 2, 3, 4, 5], "nll": [1, 2, 3, 4, 6]}, (0.5,))
    assert agreement(replace(results, networks=results.networks[:8]), SETTING) is None
    assert agreement(replace(results, networks=results.networks[:5]), SETTING) is None
    assert agreement(results, ("letters", "mlp")) is None


def correlated(within: Sequence[Sequence[float]], df: int = 8) -> Agreement:
    labels = tuple("abcdefgh"[: len(within)])
    rhos = np.array(within, float)
    return Agreement(labels, 0, rhos, rhos, 10, 1, df, (), ())


def test_a_factor_is_no_chain() -> None:
    """Like b are a and c, but a is not like c: single linkage would join all three."""
    chain = correlated([[1, 0.95, 0.8], [0.95, 1, -0.91], [0.8, -0.91, 1]])
    assert chain.factors() == [(0, 1)]
    whole = correlated([[1, 0.95, -0.9], [0.95, 1, -0.91], [-0.9, -0.91, 1]])
    assert whole.factors() == [(0, 1, 2)]
    assert correlated([[1, math.nan], [math.nan, 1]]).factors() == []


def test_chance_is_that_of_the_tables() -> None:
    """Critical values of r with 8 degrees of freedom: 0.549 (one-sided), 0.632 (two-sided)."""
    found = correlated([[1, -0.54, -0.6, 0.9, math.nan]] + [[0] * 5] * 4)
    assert found.doubtful == pytest.approx(0.549, abs=5e-4)
    assert found.by_chance(0.632) == pytest.approx(0.05, abs=2e-4)
    assert found.reward_weak() == [2]
    # With so few, even 0.94 may be chance.
    assert correlated([[1, 0.94], [0.94, 1]], df=1).factors() == []
