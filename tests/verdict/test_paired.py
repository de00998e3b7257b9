"""The estimator against its formula written out by hand, scipy's quantiles, and Holm by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from scratchcard.contracts import Reading
from scratchcard.verdict.paired import (
    Difference,
    Pair,
    Pool,
    difference,
    example_variance,
    holm,
    seed_variance,
)


def with_examples(values: list[float]) -> Reading:
    array = np.array(values)
    return Reading(float(array.mean()), float(array.std(ddof=1)) / 2, len(array), examples=array)


DENSE = [[1.0, 2.0, 4.0, 3.0], [1.5, 2.5, 3.0, 3.5], [0.5, 2.0, 4.5, 4.0]]
SPARSE = [[1.2, 2.6, 4.1, 3.9], [1.4, 2.9, 3.6, 3.8], [0.9, 2.2, 4.9, 3.7]]
PAIRS: list[Pair] = [
    (with_examples(a), with_examples(b)) for a, b in zip(DENSE, SPARSE, strict=True)
]
POOLED = 0.04
"""The variance over seeds of the other groups, of which there are many."""


def pool_with(column: list[list[float]]) -> Pool:
    """A pool of a group's own readings and 100 degrees of freedom at ``POOLED``."""
    own = Pool.of([[sum(row) / 4 for row in column]], "linear")
    return Pool(own.squares + 100 * POOLED, own.df + 100)


def test_linear_difference_follows_the_formula() -> None:
    means = [[sum(row) / 4 for row in side] for side in (DENSE, SPARSE)]
    d = sum(b - a for a, b in zip(*means, strict=True)) / 3
    shrunk = [(6 * POOLED + 2 * np.var(side, ddof=1)) / 8 for side in means]
    per_example = [sum(SPARSE[j][i] - DENSE[j][i] for j in range(3)) / 3 for i in range(4)]
    variance = sum(shrunk) / 3 + np.var(per_example, ddof=1) / 4
    df = variance**2 / (sum((s / 3) ** 2 for s in shrunk) / 8)
    half = stats.t.ppf(0.95, df) * math.sqrt(variance)

    got = difference(
        PAIRS, better="lower", scale="linear", pools=(pool_with(DENSE), pool_with(SPARSE))
    )
    assert (got.d, got.stderr, got.df) == pytest.approx((-d, math.sqrt(variance), df))
    assert got.interval() == pytest.approx((-d - half, -d + half))
    assert got.p_worse() == pytest.approx(stats.t.cdf(-d / math.sqrt(variance), df))
    assert got.p_better() == pytest.approx(stats.t.sf(-d / math.sqrt(variance), df))


def test_log_difference_agrees_with_a_brute_force_bootstrap() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=400)
    dense, sparse = (np.exp(0.5 * common + 0.2 * rng.normal(size=(2, 400))) for _ in range(2))
    pairs = [
        (with_examples(list(a)), with_examples(list(b))) for a, b in zip(dense, sparse, strict=True)
    ]
    index = rng.integers(400, size=(4_000, 400))
    logs = np.log(sparse[:, index].mean(axis=2)) - np.log(dense[:, index].mean(axis=2))
    brute = logs.mean(axis=0).var(ddof=1)
    assert example_variance(pairs, "log") == pytest.approx(brute, rel=0.1)
    got = difference(pairs, better="higher", scale="log")
    assert got.d == pytest.approx(np.mean(np.log(sparse.mean(axis=1) / dense.mean(axis=1))))
    assert got.df == math.inf


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_replicates_are_paired_by_resample(scale: str) -> None:
    rng = np.random.default_rng(1)
    drawn = 2 + 0.1 * rng.normal(size=(3, 2, 50))
    pairs: list[Pair] = [
        (Reading(2.0, 0.1, 9, replicates=a), Reading(2.0, 0.1, 9, replicates=b)) for a, b in drawn
    ]
    on = np.log(drawn) if scale == "log" else drawn
    expected = sum(on[j, 1] - on[j, 0] for j in range(3)) / 3
    assert example_variance(pairs, scale) == pytest.approx(np.var(expected, ddof=1))  # type: ignore[arg-type]


def test_standard_errors_alone_are_not_paired_nor_averaged_away() -> None:
    pairs = [(Reading(2.0, 0.3, 9), Reading(4.0, 0.4, 9))] * 3
    assert example_variance(pairs, "linear") == pytest.approx(0.3**2 + 0.4**2)
    assert example_variance(pairs, "log") == pytest.approx(0.15**2 + 0.1**2)
    # examples of one side only, or of another length, cannot be paired either
    mixed = [(with_examples([1.0, 3.0]), Reading(2.0, 0.5, 2))]
    assert example_variance(mixed, "linear") == pytest.approx(mixed[0][0].stderr ** 2 + 0.25)


def test_an_unknown_error_leaves_everything_open() -> None:
    got = difference(
        [(Reading(2.0, math.nan, 9), Reading(4.0, 0.4, 9))],
        better="higher",
        scale="linear",
        pools=(Pool(1.0, 10), Pool(1.0, 10)),
    )
    assert got.interval() == (-math.inf, math.inf)
    assert got.p_worse() == got.p_better() == 0.5


def test_one_seed_borrows_the_pooled_variance_or_has_none() -> None:
    one = [PAIRS[0]]
    with_pool = difference(one, better="higher", scale="linear", pools=(Pool(4.0, 100),) * 2)
    alone = difference(one, better="higher", scale="linear")
    assert with_pool.stderr**2 - alone.stderr**2 == pytest.approx(2 * POOLED)
    assert seed_variance([1.0], "linear") is None
    assert alone.df == math.inf


def test_a_small_pool_weighs_no_more_than_it_has() -> None:
    # own: 2 df at 4; others: 3 df at 1, half of the full prior of 6
    shrunk, df = Pool(8.0 + 3.0, 5).shrink(Pool(8.0, 2))
    assert (shrunk, df) == pytest.approx(((3 * 1.0 + 8.0) / 5, 5))
    assert Pool(8.0, 2).shrink(Pool(8.0, 2)) == (4.0, 2), "alone it stands for itself"
    assert Pool().shrink(Pool())[1] == 0, "one network has no variance"


def test_an_unknown_variance_is_taken_to_be_the_twins() -> None:
    one = [PAIRS[0]]
    known = Pool(4.0, 100)
    half = difference(one, better="higher", scale="linear", pools=(known, Pool()))
    full = difference(one, better="higher", scale="linear", pools=(known, known))
    assert (half.stderr, half.df) == (full.stderr, full.df)


def test_equal_networks_differ_by_exactly_nothing() -> None:
    got = difference([(pair[0], pair[0]) for pair in PAIRS], better="lower", scale="log")
    assert got.d == 0 == example_variance([(p[0], p[0]) for p in PAIRS], "log")
    exact = Difference(0.0, 0.0, math.inf)
    assert exact.interval() == (0.0, 0.0)
    assert exact.p_worse() == exact.p_better() == 1.0
    assert Difference(-1e-9, 0.0, math.inf).p_worse() == 0.0


def test_zero_and_negative_values_have_a_logarithm() -> None:
    pairs = [(Reading(0.0, 0.0, 4), Reading(-1.0, 0.0, 4))]
    assert difference(pairs, better="lower", scale="log").d == 0.0


def test_holm_by_hand() -> None:
    # sorted 0.005, 0.011, 0.02, 0.04 times 4, 3, 2, 1, made monotone: 0.02, 0.033, 0.04, 0.04
    assert holm([0.011, 0.04, 0.005, 0.02]) == pytest.approx([0.033, 0.04, 0.02, 0.04])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_importing_the_verdict_loads_neither_scipy_nor_torch() -> None:
    code = "import sys, scratchcard.verdict; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
