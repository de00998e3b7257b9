"""What would decide: against the rule itself, applied to many draws, and closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from scratchcard.contracts import Reading
from scratchcard.verdict import Comparison, Need, chances, judge, need, need_of_ticket
from scratchcard.verdict.paired import Noise, Pair, Pool, difference, example_variance
from tests.factory import make_results, no_effect

QUIET = Noise(0.005**2, 0.005**2, (6, 6), 1e-6, 1e-6)


def drawn(d: float, noise: Noise, k: int, tests: int, n: int = 20_000) -> dict[str, float]:
    """Shares of calls of n studies, by the rule written out again; the margin is 0.01."""
    rng = np.random.default_rng(0)
    dense = math.sqrt(noise.dense) * rng.normal(size=(n, k))
    sparse = math.sqrt(noise.sparse) * rng.normal(size=(n, k)) + d
    sparse += math.sqrt(noise.shared) * rng.normal(size=(n, 1))
    shrunk = [
        (6 * truth + (k - 1) * side.var(axis=1, ddof=1)) / (k + 5)
        for truth, side in ((noise.dense, dense), (noise.sparse, sparse))
    ]
    variance = sum(shrunk) / k + noise.shared + noise.own / k
    df = variance**2 / (sum((one / k) ** 2 for one in shrunk) / (k + 5))
    mean, half = (sparse - dense).mean(axis=1), stats.t.ppf(0.95, df) * np.sqrt(variance)
    p = stats.t.cdf(mean / np.sqrt(variance), df)
    lo, hi = mean - half, mean + half
    matches = (lo > -0.01) & (hi < 0.01)
    return {
        "matches": matches.mean(),
        "worse": (~matches & (lo <= -0.01) & (tests * p <= 0.05)).mean(),
        "better": (~matches & (hi >= 0.01) & (tests * (1 - p) <= 0.05)).mean(),
        "safe": (lo > -0.01).mean(),
    }


@pytest.mark.parametrize(
    ("d", "noise", "tests"),
    [
        (0.0, QUIET, 8),
        (-0.005, Noise(1e-4, 1e-4, (6, 6), 0.0, 2e-5), 8),
        (-0.008, Noise(3.6e-5, 1.4e-4, (6, 6), 2e-6, 1e-6), 3),
        (0.012, Noise(1e-4, 2.5e-5, (6, 6), 4e-6, 0.0), 1),
        (-0.03, Noise(9e-4, 9e-4, (6, 6), 0.0, 0.0), 8),
    ],
)
def test_the_number_of_seeds_decides_in_80_percent(d: float, noise: Noise, tests: int) -> None:
    def decided(k: int) -> float:
        return chances(d, 0.01, noise, k, tests=(tests, tests)).decided

    (k,) = {needed(d, noise, tests).seeds}
    assert k is not None
    assert decided(k - 1) < 0.8 <= decided(k)
    found, expected = chances(d, 0.01, noise, k, tests=(tests, tests)), drawn(d, noise, k, tests)
    for call, share in expected.items():
        assert getattr(found, call) == pytest.approx(share, abs=0.02), call
    assert 0.75 <= sum(expected[call] for call in ("matches", "worse", "better")) <= 0.85


def needed(d: float, noise: Noise, tests: int = 1, seeds: int = 3, margin: float = 0.01) -> Need:
    """What a comparison with just this estimate and noise needs."""
    variance, _ = noise.estimate(seeds)
    ends = (d - 2 * math.sqrt(variance), d + 2 * math.sqrt(variance))
    values = (0.9, 0.9 + d, d, math.sqrt(variance), *ends)
    comparison = Comparison("accuracy", *values, margin, "undecided", seeds)
    return need(replace(comparison, noise=noise, tests=(tests, tests)))


def test_where_the_images_dominate_only_more_images_help() -> None:
    noise = Noise(1e-6, 1e-6, (6, 6), shared=4e-5, own=0.0)
    found = needed(0.0, noise)
    assert found.seeds is None
    assert found.images is not None
    assert found.both == pytest.approx(found.images, abs=1.0)
    assert chances(0.0, 0.01, noise, 3, images=found.images).decided >= 0.8
    assert chances(0.0, 0.01, noise, 3, images=found.images - 0.1).decided < 0.8
    # of seeds alone it is the other way round
    other = needed(0.0, replace(noise, dense=1e-3, sparse=1e-3, shared=1e-7))
    assert other.images is None
    assert other.seeds is not None


def test_a_loss_of_exactly_the_margin_is_called_worse_in_the_end() -> None:
    found = needed(-0.01, QUIET, tests=8)
    assert found.seeds is not None
    many = chances(-0.01, 0.01, QUIET, 1000)
    assert many.worse > 0.94
    assert many.safe == pytest.approx(0.05, abs=0.01)


def test_of_single_networks_nothing_is_known() -> None:
    results = make_results(methods=("lth",), targets=(0.5,), seeds=1, examples=100)
    ticket = judge(results).tickets[0]
    undecided = [c for c in ticket.comparisons.values() if c.call == "undecided"]
    assert undecided
    assert {need(c) for c in undecided} == {Need(None, None, None)}
    assert need_of_ticket(ticket) == Need(None, None, None)
    assert needed(0.0, replace(QUIET, shared=math.inf)) == Need(None, None, None)


def test_a_ticket_is_decided_by_all_its_metrics() -> None:
    results = make_results(
        methods=("lth", "omp"), targets=(0.36, 0.5904), effects=no_effect, seeds=3, examples=500
    )
    ticket = next(t for t in judge(results).tickets if t.measured == "undecided")
    seeds = need_of_ticket(ticket, "equal").seeds
    votes = [c for c in ticket.comparisons.values() if c.margin is not None and c.noise is not None]
    assert seeds is not None
    assert seeds >= max(need(c, "equal").seeds or 0 for c in votes if c.call == "undecided") / 2
    for k, enough in ((seeds, True), (seeds - 1, False)):
        found = [chances(0.0, c.margin or 0.0, c.noise, k, tests=c.tests) for c in votes if c.noise]
        passes = math.prod(one.safe for one in found)
        fails = 1 - math.prod(1 - one.worse for one in found)
        assert (passes + fails >= 0.8) == enough


def test_more_images_take_away_what_they_added_to_the_seeds_variance() -> None:
    trained, image, n = 2.0, 30.0, 10  # variances: of training, of an image and network; images
    one = trained + image / n
    noise = Noise(one, one, (6, 6), shared=0.5, own=2 * image / n)
    assert noise.truth(4, 3.0) == pytest.approx(2 * (trained + image / (3 * n)) / 4 + 0.5 / 3)
    variance, df = noise.estimate(4, 3.0)
    assert variance == pytest.approx(noise.truth(4, 3.0) + 2 * image / (3 * n) / 4)
    part = (trained + image / (3 * n)) / 4
    assert df == pytest.approx(variance**2 / (2 * part**2 / 9))


def test_what_pairs_share_is_told_from_what_each_has_for_itself() -> None:
    rng = np.random.default_rng(0)
    n, k = 4_000, 4
    shared = rng.normal(size=n)
    sparse = shared + 2 * rng.normal(size=(k, n))

    def reading(values: np.ndarray) -> Reading:
        return Reading(float(values.mean()), 0.0, n, examples=values)

    pairs: list[Pair] = [(reading(np.zeros(n)), reading(row)) for row in sparse]
    pool = Pool(1.0, 10)
    got = difference(pairs, better="higher", scale="linear", pools=(pool, pool))
    assert got.noise is not None
    assert got.noise.shared == pytest.approx(1 / n, rel=0.1)
    assert got.noise.own == pytest.approx(4 / n, rel=0.1)
    both = got.noise.shared + got.noise.own / k
    assert both == pytest.approx(example_variance(pairs, "linear"))


def test_what_is_needed_is_more_than_there_is() -> None:
    """Between two calls lies a narrow gap: twenty seeds fell into it, as few others would."""
    noise = Noise(1e-4, 1e-4, (6, 6), 0.0, 0.0)
    assert chances(-0.005, 0.01, noise, 20).decided > 0.8, "or nothing is shown here"
    found = needed(-0.005, noise, seeds=20)
    assert found == Need(21, 1.1, 1.1)


def test_seeds_that_hardly_vary_leave_the_images() -> None:
    """Equal readings differ by rounding, which has no degrees of freedom to speak of."""
    found = chances(0.002, 0.01, Noise(1e-34, 1e-36, (6, 6), 1e-5, 0.0), 3)
    spread, half = math.sqrt(1e-5), stats.norm.ppf(0.95) * math.sqrt(1e-5)
    assert found.safe == pytest.approx(stats.norm.sf((-0.01 + half - 0.002) / spread))
    assert found.better == pytest.approx(stats.norm.sf((half - 0.002) / spread))
